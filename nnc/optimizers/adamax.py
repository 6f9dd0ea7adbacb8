"""Adamax: Adam with the largest gradient so far in place of the mean square."""
from .._core import op
from .optimizer import Optimizer, documented


@documented
class Adamax(Optimizer):
    """`m` averages `g`, `u = max(beta_2 * u, |g|)`; `w -= alpha * m / (u + epsilon)`, where
    `alpha = learning_rate / (1 - beta_1^t)` at step t.

    Args:
        learning_rate: Float, schedule or callable. Defaults to `0.001`.
        beta_1: Float, how much of the old `m` is kept. Defaults to `0.9`.
        beta_2: Float, how much of the old `u` is kept. Defaults to `0.999`.
        epsilon: Float, keeps the divisor off 0. Defaults to `1e-7`.
        {base}

    Reference: Kingma and Ba, 2014, arXiv:1412.6980, section 7.
    """

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7,
                 weight_decay=None, clipnorm=None, clipvalue=None,
                 global_clipnorm=None, use_ema=False, ema_momentum=0.99,
                 ema_overwrite_frequency=None, loss_scale_factor=None,
                 gradient_accumulation_steps=None, name=None, **kwargs):
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
                         ema_momentum, ema_overwrite_frequency, loss_scale_factor,
                         gradient_accumulation_steps, name, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._m, self._u = self.add_optimizer_variables(variables, ["momentum", "norm"])

    def update_step(self, gradient, variable, learning_rate):
        i = self._get_variable_index(variable)
        op.adamax(variable, self._m[i], self._u[i], gradient, learning_rate, self.iterations,
                  float(self.beta_1), float(self.beta_2), float(self.epsilon))

    def get_config(self):
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2,
                "epsilon": self.epsilon}
