"""Adam with weights that decay beside the gradient, not through it."""
from .adam import Adam
from .optimizer import documented


@documented
class AdamW(Adam):
    """`Adam` after `w -= learning_rate * weight_decay * w`.

    Args:
        learning_rate: Float, schedule or callable. Defaults to `0.001`.
        weight_decay: Float. Defaults to `0.004`.
        beta_1: Float, how much of the old mean gradient is kept. Defaults to `0.9`.
        beta_2: Float, how much of the old mean square is kept. Defaults to `0.999`.
        epsilon: Float, keeps the divisor off 0. Defaults to `1e-7`.
        amsgrad: Whether the largest mean square so far divides. Defaults to `False`.
        {base}

    Reference: Loshchilov and Hutter, 2019, arXiv:1711.05101.
    """

    def __init__(self, learning_rate=0.001, weight_decay=0.004, beta_1=0.9, beta_2=0.999,
                 epsilon=1e-7, amsgrad=False, clipnorm=None, clipvalue=None, global_clipnorm=None,
                 use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None,
                 loss_scale_factor=None, gradient_accumulation_steps=None, name=None, **kwargs):
        if weight_decay is None:
            raise ValueError("Argument `weight_decay` must be a float. Received: weight_decay=None")
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, clipnorm,
                         clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
                         loss_scale_factor, gradient_accumulation_steps, name, **kwargs)
