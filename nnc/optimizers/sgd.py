"""Stochastic gradient descent, with momentum and Nesterov's look-ahead."""
from .._core import op
from .optimizer import Optimizer, documented


@documented
class SGD(Optimizer):
    """Gradient descent: `w -= learning_rate * g`; with momentum `v = momentum * v - learning_rate *
    g`, `w += v` (Nesterov: `w += momentum * v - learning_rate * g`).

    Args:
        learning_rate: Float, schedule or callable. Defaults to `0.01`.
        momentum: Float, 0 to 1. Defaults to `0.0`.
        nesterov: Whether to look ahead. Defaults to `False`.
        {base}

    Reference: Sutskever et al., 2013.
    """

    def __init__(self, learning_rate=0.01, momentum=0.0, nesterov=False, weight_decay=None,
                 clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema=False,
                 ema_momentum=0.99, ema_overwrite_frequency=None, loss_scale_factor=None,
                 gradient_accumulation_steps=None, name=None, **kwargs):
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
                         ema_momentum, ema_overwrite_frequency, loss_scale_factor,
                         gradient_accumulation_steps, name, **kwargs)
        if not isinstance(momentum, (float, int)) or not 0 <= momentum <= 1:
            raise ValueError("`momentum` must be a float between [0, 1]. Received: "
                             f"momentum={momentum}")
        self.momentum = momentum
        self.nesterov = nesterov

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.momentums = []
        if self.momentum:
            self.momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient, variable, learning_rate):
        if not self.momentum:
            op.sgd(variable, gradient, learning_rate)
            return
        velocity = self.momentums[self._get_variable_index(variable)]
        op.momentum(variable, velocity, gradient, learning_rate, float(self.momentum),
                    int(self.nesterov))

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}
