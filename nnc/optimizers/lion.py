"""Lion: the sign of a moving average of gradients."""
from .._core import op
from .optimizer import Optimizer, documented


@documented
class Lion(Optimizer):
    """`w -= learning_rate * sign(beta_1 * m + (1 - beta_1) * g)`, then `m` averages `g`.

    Args:
        learning_rate: Float, schedule or callable. Defaults to `0.001`.
        beta_1: Float, above 0 to 1: the share of `m` in the step. Defaults to `0.9`.
        beta_2: Float, how much of the old `m` is kept. Defaults to `0.99`.
        {base}

    Reference: Chen et al., 2023, arXiv:2302.06675.
    """

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.99, weight_decay=None,
                 clipnorm=None, clipvalue=None,
                 global_clipnorm=None, use_ema=False, ema_momentum=0.99,
                 ema_overwrite_frequency=None, loss_scale_factor=None,
                 gradient_accumulation_steps=None, name=None, **kwargs):
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
                         ema_momentum, ema_overwrite_frequency, loss_scale_factor,
                         gradient_accumulation_steps, name, **kwargs)
        if not 0 < beta_1 <= 1:
            raise ValueError("Lion: `beta_1` must be above 0 and at most 1. Received: "
                             f"beta_1={beta_1}")
        self.beta_1 = beta_1
        self.beta_2 = beta_2

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient, variable, learning_rate):
        momentum = self._momentums[self._get_variable_index(variable)]
        op.lion(variable, momentum, gradient, learning_rate, float(self.beta_1),
                float(self.beta_2))

    def get_config(self):
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2}
