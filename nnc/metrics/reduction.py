"""Sums and means over all samples of an epoch, the base of most metrics."""
from .. import identifiers, ops
from .._core import op
from ..losses.loss import apply_mask, squeeze_or_expand_to_same_rank
from ..ops.core import cast_array
from .metric import Metric


def reduce_to_samplewise_values(values, sample_weight, reduce_fn, dtype):
    """One weighted value for each sample, and its weight.

    Args:
        values: A value for each sample and place.
        sample_weight: Weights for samples (and places), or `None`.
        reduce_fn: How places are brought together: `ops.sum` or `ops.mean`.
        dtype: What to compute in.
    """
    mask = getattr(values, "_keras_mask", None)
    values = cast_array(values, dtype)
    if sample_weight is not None:
        sample_weight = apply_mask(cast_array(sample_weight, dtype), mask, dtype, "sum")
        values, sample_weight = squeeze_or_expand_to_same_rank(values, sample_weight)
        ndim = len(sample_weight.shape)
        if len(values.shape) > ndim:
            values = reduce_fn(values, tuple(range(ndim, len(values.shape))))
        sample_weight = ops.broadcast_to(sample_weight, values.shape)
        values = op.multiply(values, sample_weight)
        if ndim > 1:
            sample_weight = reduce_fn(sample_weight, tuple(range(1, ndim)))
    if len(values.shape) > 1:
        values = reduce_fn(values, tuple(range(1, len(values.shape))))
    return values, sample_weight


class Sum(Metric):
    """The (weighted) sum of values.

    Args:
        name: Name.
        dtype: See `Metric`.
    """

    def __init__(self, name="sum", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", self.dtype, name="total")

    def update_state(self, values, sample_weight=None):
        values, _ = reduce_to_samplewise_values(values, sample_weight, ops.sum, self.dtype)
        self.total.assign_add(ops.sum(values))

    def result(self):
        return ops.cast(self.total, self.dtype)


class Mean(Metric):
    """The (weighted) mean of values.

    Args:
        name: Name.
        dtype: See `Metric`.
    """

    def __init__(self, name="mean", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", self.dtype, name="total")
        self.count = self.add_variable((), "zeros", self.dtype, name="count")

    def update_state(self, values, sample_weight=None):
        values, sample_weight = reduce_to_samplewise_values(values, sample_weight, ops.mean,
                                                            self.dtype)
        self.total.assign_add(ops.sum(values))
        if sample_weight is not None:
            self.count.assign_add(ops.sum(sample_weight))
        else:
            self.count.assign_add(float(values.shape[0]) if values.shape else 1.0)

    def result(self):
        return ops.divide_no_nan(self.total, self.count)


class MeanMetricWrapper(Mean):
    """The mean of a function of `(y_true, y_pred, **kwargs)`.

    Args:
        fn: The function: a value for each sample.
        name: Name.
        dtype: See `Metric`.
        **kwargs: What else the function is called with.
    """

    def __init__(self, fn, name=None, dtype=None, **kwargs):
        super().__init__(name=name, dtype=dtype)
        self._fn = fn
        self._fn_kwargs = kwargs

    def update_state(self, y_true, y_pred, sample_weight=None):
        mask = getattr(y_pred, "_keras_mask", None)
        values = self._fn(y_true, y_pred, **self._fn_kwargs)
        sample_weight = apply_mask(sample_weight, mask, self.dtype, "sum")
        super().update_state(values, sample_weight)

    def get_config(self):
        config = {**super().get_config(), "fn": identifiers.serialize(self._fn)}
        config.update(identifiers.serialize(self._fn_kwargs))
        return config

    @classmethod
    def from_config(cls, config):
        if isinstance(config.get("fn"), (str, dict)):
            from . import FUNCTIONS

            config = dict(config, fn=identifiers.deserialize(config["fn"], FUNCTIONS,
                                                             "metric function"))
        return cls(**config)


class NamedMean(MeanMetricWrapper):
    """A mean of a function whose configuration is a name, a dtype and the arguments named in the
    class.

    Args:
        fn: The function.
        name: Name.
        dtype: See `Metric`.
        **kwargs: What else the function is called with; those in `_config_names` are attributes.
    """

    _config_names = ()
    _direction = None       # "up" or "down": what is better

    def __init__(self, fn, name, dtype, **kwargs):
        super().__init__(fn, name, dtype, **kwargs)
        for key in self._config_names:
            setattr(self, key, kwargs[key])

    def get_config(self):
        config = {"name": self.name, "dtype": self.dtype}
        config.update({name: getattr(self, name) for name in self._config_names})
        return config

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def named_mean(name, function, public, direction, module):
    """A metric class for a function without further arguments.

    Args:
        name: The class's name.
        function: A value for each sample, of `(y_true, y_pred)`.
        public: The metric's name unless given.
        direction: `"up"` or `"down"`: what is better; `None`: not said.
        module: Where the class is defined.
    """
    def __init__(self, name=public, dtype=None):
        NamedMean.__init__(self, function, name, dtype)
    __init__.__qualname__ = f"{name}.__init__"
    text = f"The mean over samples of `{function.__name__}`: {function.__doc__}\n\n" \
        "Args:\n    name: Name.\n    dtype: See `Metric`.\n"
    return type(name, (NamedMean,), {"__init__": __init__, "__doc__": text, "__module__": module,
                                     "_direction": direction})
