"""A loss scale that finds itself, around another optimizer: for gradients in half precision."""
from functools import reduce

from .. import initializers, ops
from .._core import op
from ..ops.core import cast_array
from .optimizer import Optimizer

_INNER = {"weight_decay": None, "clipnorm": None, "global_clipnorm": None, "clipvalue": None,
          "use_ema": False, "ema_momentum": 0.99, "ema_overwrite_frequency": None,
          "loss_scale_factor": None, "gradient_accumulation_steps": None}


class LossScaleOptimizer(Optimizer):
    """Multiplies the loss by a scale and divides the gradients by it. A step whose gradients are
    not finite is left out and halves the scale; `dynamic_growth_steps` good steps in a row double
    it.

    Args:
        inner_optimizer: The `Optimizer` that takes the steps.
        initial_scale: Float, the first scale. Defaults to `2.0**15`.
        dynamic_growth_steps: Integer. Defaults to `2000`.
        name: Name. Defaults to one made from the class.

    Raises:
        ValueError: For other arguments of optimizers: they belong to `inner_optimizer`.
    """

    def __init__(self, inner_optimizer, initial_scale=2.0**15, dynamic_growth_steps=2000,
                 name=None, **kwargs):
        if not isinstance(inner_optimizer, Optimizer):
            raise ValueError("LossScaleOptimizer: `inner_optimizer` must be an Optimizer. "
                             f"Received: inner_optimizer={inner_optimizer!r}")
        if not kwargs.pop("dynamic", True):
            raise ValueError("LossScaleOptimizer: `dynamic=False` does not exist; set "
                             "`loss_scale_factor` on the inner optimizer instead.")
        for argument, default in _INNER.items():
            value = kwargs.pop(argument, default)
            if value != default:
                raise ValueError(f"LossScaleOptimizer: `{argument}` must be set on the "
                                 f"`inner_optimizer`. Received: {argument}={value}")
        if kwargs:
            raise ValueError(f"LossScaleOptimizer: argument(s) not recognized: {kwargs}")
        super().__init__(0.0, name=name)
        self.inner_optimizer = inner_optimizer
        self.initial_scale = initial_scale
        self.dynamic_growth_steps = dynamic_growth_steps
        self.dynamic_scale = self.step_counter = None
        inner_optimizer.loss_scale_factor = None

    def build(self, variables):
        if self.built:
            return
        variables = list(variables)
        self._make_scale()
        self.inner_optimizer.build(variables)
        super().build(variables)

    def _make_scale(self):
        """The scale and the counter, made by whichever comes first: `build`, or a step that is
        recorded and scales its loss.
        """
        if self.dynamic_scale is None:
            self.step_counter = self.add_variable((), "zeros", "int64", name="step_counter")
            self.dynamic_scale = self.add_variable((), initializers.Constant(self.initial_scale),
                                                   "float32", name="dynamic_scale")

    @property
    def variables(self):
        return self._variables + self.inner_optimizer.variables

    @property
    def iterations(self):
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self):
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.inner_optimizer.learning_rate = learning_rate

    def _settings(self):
        return super()._settings(), self.inner_optimizer._settings()

    def apply(self, grads, trainable_variables=None):
        grads = list(grads)
        if not grads:
            return
        weights = self._weights(grads, trainable_variables)
        scale = self.dynamic_scale

        def step():
            rate = op.copy(scale)
            self.inner_optimizer.apply([None if g is None else op.divide(g, cast_array(rate, g.dtype))
                                        for g in grads], weights)
            grown = op.equal(self.step_counter, int(self.dynamic_growth_steps) - 1)
            scale.assign(op.where(grown, op.multiply(rate, 2.0), rate))
            self.step_counter.assign(op.where(grown, 0, op.add(self.step_counter, 1)))

        def skip():
            scale.assign(op.multiply(scale, 0.5))
            self.step_counter.assign(0)
        ops.cond(self.check_finite(grads), step, skip)

    def check_finite(self, grads):
        """Whether all numbers of all gradients are finite, as a tensor."""
        return reduce(op.logical_and, [ops.all(op.isfinite(g)) for g in grads if g is not None],
                      True)

    def scale_loss(self, loss):
        self._make_scale()
        return op.multiply(loss, self.dynamic_scale)

    def finalize_variable_values(self, var_list):
        self.inner_optimizer.finalize_variable_values(var_list)

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def get_config(self):
        from . import serialize

        return {"name": self.name, "inner_optimizer": serialize(self.inner_optimizer),
                "initial_scale": self.initial_scale,
                "dynamic_growth_steps": self.dynamic_growth_steps}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        from . import deserialize

        config = dict(config)
        return cls(deserialize(config.pop("inner_optimizer"), custom_objects), **config)
