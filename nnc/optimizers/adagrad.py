"""Adagrad: gradients divided by the size of all gradients so far."""
from .. import initializers
from .._core import op
from .optimizer import Optimizer, documented


@documented
class Adagrad(Optimizer):
    """`a += g^2`, `w -= learning_rate * g / sqrt(a + epsilon)`.

    Args:
        learning_rate: Float, schedule or callable. Defaults to `0.001`.
        initial_accumulator_value: Float >= 0, the first `a`. Defaults to `0.1`.
        epsilon: Float, keeps the divisor off 0. Defaults to `1e-7`.
        {base}

    Reference: Duchi et al., 2011.
    """

    def __init__(self, learning_rate=0.001, initial_accumulator_value=0.1, epsilon=1e-7,
                 weight_decay=None, clipnorm=None, clipvalue=None, global_clipnorm=None,
                 use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None,
                 loss_scale_factor=None, gradient_accumulation_steps=None, name=None, **kwargs):
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
                         ema_momentum, ema_overwrite_frequency, loss_scale_factor,
                         gradient_accumulation_steps, name, **kwargs)
        if initial_accumulator_value < 0:
            raise ValueError("`initial_accumulator_value` must be >= 0. Received: "
                             f"initial_accumulator_value={initial_accumulator_value}")
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        first = initializers.Constant(self.initial_accumulator_value)
        self._accumulators = self.add_optimizer_variables(variables, "accumulator", first)

    def update_step(self, gradient, variable, learning_rate):
        accumulator = self._accumulators[self._get_variable_index(variable)]
        op.adagrad(variable, accumulator, gradient, learning_rate, float(self.epsilon))

    def get_config(self):
        return {**super().get_config(), "initial_accumulator_value": self.initial_accumulator_value,
                "epsilon": self.epsilon}
