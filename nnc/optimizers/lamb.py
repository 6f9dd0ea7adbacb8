"""Lamb: Adam's steps, each layer's as long as its weights ask for."""
from .._core import op
from .optimizer import Optimizer, documented


@documented
class Lamb(Optimizer):
    """Adam's bias-corrected step `u`, scaled for each weight by its norm over that of `u` (by 1 if
    either is 0): `w -= learning_rate * |w| / |u| * u`.

    Args:
        learning_rate: Float, schedule or callable. Defaults to `0.001`.
        beta_1: Float, how much of the old mean gradient is kept. Defaults to `0.9`.
        beta_2: Float, how much of the old mean square is kept. Defaults to `0.999`.
        epsilon: Float, keeps the divisor off 0. Defaults to `1e-7`.
        {base}

    Reference: You et al., 2019, arXiv:1904.00962.
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
        self._momentums, self._velocities = self.add_optimizer_variables(variables,
                                                                         ["momentum", "velocity"])

    def update_step(self, gradient, variable, learning_rate):
        i = self._get_variable_index(variable)
        op.lamb(variable, self._momentums[i], self._velocities[i], gradient, learning_rate,
                self.iterations, float(self.beta_1), float(self.beta_2), float(self.epsilon))

    def get_config(self):
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2,
                "epsilon": self.epsilon}
