"""Adadelta: steps as large as the last steps were, for the size of the gradients."""
from .._core import op
from .optimizer import Optimizer, documented


@documented
class Adadelta(Optimizer):
    """`a` averages `g^2`, `d` averages `s^2` of the steps `s = sqrt(d + epsilon) / sqrt(a +
    epsilon) * g`; `w -= learning_rate * s`.

    Args:
        learning_rate: Float, schedule or callable. Defaults to `0.001`; the paper has 1.
        rho: Float, how much of the old averages is kept. Defaults to `0.95`.
        epsilon: Float, keeps the divisor off 0. Defaults to `1e-7`.
        {base}

    Reference: Zeiler, 2012, arXiv:1212.5701.
    """

    def __init__(self, learning_rate=0.001, rho=0.95, epsilon=1e-7, weight_decay=None,
                 clipnorm=None, clipvalue=None,
                 global_clipnorm=None, use_ema=False, ema_momentum=0.99,
                 ema_overwrite_frequency=None, loss_scale_factor=None,
                 gradient_accumulation_steps=None, name=None, **kwargs):
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
                         ema_momentum, ema_overwrite_frequency, loss_scale_factor,
                         gradient_accumulation_steps, name, **kwargs)
        self.rho = rho
        self.epsilon = epsilon

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._accumulated_grads, self._accumulated_delta_vars = self.add_optimizer_variables(
            variables, ["accumulated_grad", "accumulated_delta_var"])

    def update_step(self, gradient, variable, learning_rate):
        i = self._get_variable_index(variable)
        op.adadelta(variable, self._accumulated_grads[i], self._accumulated_delta_vars[i],
                    gradient, learning_rate, float(self.rho), float(self.epsilon))

    def get_config(self):
        return {**super().get_config(), "rho": self.rho, "epsilon": self.epsilon}
