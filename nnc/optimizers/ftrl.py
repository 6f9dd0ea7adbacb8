"""Ftrl: follow the regularized leader, for sparse linear models."""
from .. import initializers
from .._core import op
from .optimizer import Optimizer, documented


@documented
class Ftrl(Optimizer):
    """The weights that would have been best so far, under L1 and L2 penalties.

    With `a` the sum of `g^2` and p the power: `z += g + 2 * shrinkage * w - (a_new^-p - a^-p) /
    learning_rate * w`, `w = (clip(z, -l1, l1) - z) / (a_new^-p / learning_rate + 2 * l2 + beta /
    learning_rate)`.

    Args:
        learning_rate: Float, schedule or callable. Defaults to `0.001`.
        learning_rate_power: Float <= 0, the power p. Defaults to `-0.5`.
        initial_accumulator_value: Float >= 0, the first `a`. Defaults to `0.1`.
        l1_regularization_strength: Float >= 0, `l1`. Defaults to `0.0`.
        l2_regularization_strength: Float >= 0, `l2`. Defaults to `0.0`.
        l2_shrinkage_regularization_strength: Float >= 0, `shrinkage`. Defaults to `0.0`.
        beta: Float. Defaults to `0.0`.
        {base}

    Reference: McMahan et al., 2013, Ad Click Prediction.
    """

    def __init__(self, learning_rate=0.001, learning_rate_power=-0.5,
                 initial_accumulator_value=0.1, l1_regularization_strength=0.0,
                 l2_regularization_strength=0.0, l2_shrinkage_regularization_strength=0.0,
                 beta=0.0, weight_decay=None, clipnorm=None, clipvalue=None,
                 global_clipnorm=None, use_ema=False, ema_momentum=0.99,
                 ema_overwrite_frequency=None, loss_scale_factor=None,
                 gradient_accumulation_steps=None, name=None, **kwargs):
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
                         ema_momentum, ema_overwrite_frequency, loss_scale_factor,
                         gradient_accumulation_steps, name, **kwargs)
        if learning_rate_power > 0:
            raise ValueError("Ftrl: `learning_rate_power` must be <= 0. Received: "
                             f"learning_rate_power={learning_rate_power}")
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta
        for argument in _NOT_NEGATIVE:
            if getattr(self, argument) < 0:
                raise ValueError(f"Ftrl: `{argument}` must be >= 0. Received: "
                                 f"{argument}={getattr(self, argument)}")

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        first = [initializers.Constant(self.initial_accumulator_value), "zeros"]
        self._accumulators, self._linears = self.add_optimizer_variables(
            variables, ["accumulator", "linear"], first)

    def update_step(self, gradient, variable, learning_rate):
        i = self._get_variable_index(variable)
        op.ftrl(variable, self._accumulators[i], self._linears[i], gradient, learning_rate,
                float(self.learning_rate_power), float(self.l1_regularization_strength),
                float(self.l2_regularization_strength),
                float(self.l2_shrinkage_regularization_strength), float(self.beta))

    def get_config(self):
        names = ("learning_rate_power", *_NOT_NEGATIVE, "beta")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


_NOT_NEGATIVE = ("initial_accumulator_value", "l1_regularization_strength",
                 "l2_regularization_strength", "l2_shrinkage_regularization_strength")
