"""RMSprop: gradients divided by a moving average of their size."""
from .._core import op
from .optimizer import Optimizer, documented


@documented
class RMSprop(Optimizer):
    """`v = rho * v + (1 - rho) * g^2`, `w -= learning_rate * g / sqrt(v + epsilon)`.

    Args:
        learning_rate: Float, schedule or callable. Defaults to `0.001`.
        rho: Float, how much of the old average is kept. Defaults to `0.9`.
        momentum: Float. Defaults to `0.0`.
        epsilon: Float, keeps the divisor off 0. Defaults to `1e-7`.
        centered: Whether to divide by the estimated variance instead. Defaults to `False`.
        {base}

    Reference: Hinton, 2012.
    """

    def __init__(self, learning_rate=0.001, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False,
                 weight_decay=None, clipnorm=None, clipvalue=None, global_clipnorm=None,
                 use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None,
                 loss_scale_factor=None, gradient_accumulation_steps=None, name=None, **kwargs):
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
                         ema_momentum, ema_overwrite_frequency, loss_scale_factor,
                         gradient_accumulation_steps, name, **kwargs)
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon
        self.centered = centered

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._velocities = self.add_optimizer_variables(variables, "velocity")
        self._momentums, self._average_gradients = [], []
        if self.momentum > 0:
            self._momentums = self.add_optimizer_variables(variables, "momentum")
        if self.centered:
            self._average_gradients = self.add_optimizer_variables(variables, "average_gradient")

    def update_step(self, gradient, variable, learning_rate):
        i = self._get_variable_index(variable)
        slots = [self._velocities[i]]
        name = "rmsprop"
        if self.centered:
            slots.append(self._average_gradients[i])
            name += "_centered"
        constants = [float(self.rho), float(self.epsilon)]
        if self.momentum > 0:
            slots.append(self._momentums[i])
            constants.append(float(self.momentum))
            name += "_momentum"
        getattr(op, name)(variable, *slots, gradient, learning_rate, *constants)

    def get_config(self):
        return {**super().get_config(), "rho": self.rho, "momentum": self.momentum,
                "epsilon": self.epsilon, "centered": self.centered}
