"""Activation functions with settings or weights, as layers."""
import numbers

from .. import activations, constraints, initializers, ops, regularizers
from .input_spec import InputSpec
from .layer import Layer


def _number(layer, name, value, least=None):
    """`value` if it is a number (>= `least`)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) \
            or least is not None and not value >= least:
        bound = "" if least is None else f" >= {least}"
        raise ValueError(f"{layer}: `{name}` must be a number{bound}. Received: {name}={value!r}")
    return value


class _Same(Layer):
    """Base of layers whose output has the input's shape."""

    _plain = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self._build_at_init()

    def compute_output_shape(self, input_shape):
        return input_shape


class ReLU(_Same):
    """`max(x, 0)`, with three ways to bend it; see `activations.relu`.

    Args:
        max_value: Float >= 0 or `None`: the largest value.
        negative_slope: Float >= 0: the slope below `threshold`.
        threshold: Float >= 0: what lies at or below it counts as off.
        **kwargs: See `Layer`.
    """

    _plain = True

    def __init__(self, max_value=None, negative_slope=0.0, threshold=0.0, **kwargs):
        super().__init__(**kwargs)
        self.max_value = None if max_value is None else _number("ReLU", "max_value", max_value, 0)
        self.negative_slope = _number("ReLU", "negative_slope",
                                      0.0 if negative_slope is None else negative_slope, 0)
        self.threshold = _number("ReLU", "threshold", 0.0 if threshold is None else threshold, 0)

    def call(self, inputs):
        return activations.relu(inputs, negative_slope=self.negative_slope,
                                max_value=self.max_value, threshold=self.threshold)

    def get_config(self):
        return {**super().get_config(), "max_value": self.max_value,
                "negative_slope": self.negative_slope, "threshold": self.threshold}


class LeakyReLU(_Same):
    """`x` above 0, `negative_slope * x` below.

    Args:
        negative_slope: Float >= 0. Defaults to `0.3`.
        **kwargs: See `Layer`.
    """

    _plain = True

    def __init__(self, negative_slope=0.3, **kwargs):
        negative_slope = kwargs.pop("alpha", negative_slope)
        super().__init__(**kwargs)
        self.negative_slope = _number("LeakyReLU", "negative_slope", negative_slope, 0)

    def call(self, inputs):
        return activations.leaky_relu(inputs, negative_slope=self.negative_slope)

    def get_config(self):
        return {**super().get_config(), "negative_slope": self.negative_slope}


class ELU(_Same):
    """`x` above 0, `alpha * (exp(x) - 1)` below.

    Args:
        alpha: Float. Defaults to `1.0`.
        **kwargs: See `Layer`.
    """

    _plain = True

    def __init__(self, alpha=1.0, **kwargs):
        super().__init__(**kwargs)
        self.alpha = _number("ELU", "alpha", alpha)

    def call(self, inputs):
        return activations.elu(inputs, alpha=self.alpha)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha}


class PReLU(Layer):
    """`x` above 0, `alpha * x` below, where `alpha` is trained.

    Args:
        alpha_initializer: First values of `alpha`, of the shape of a sample.
        alpha_regularizer: Its penalty.
        alpha_constraint: What it is mapped by after each step.
        shared_axes: Axes along which one `alpha` serves (1 is the first after the batch).
        **kwargs: See `Layer`.
    """

    _plain = True

    def __init__(self, alpha_initializer="Zeros", alpha_regularizer=None, alpha_constraint=None,
                 shared_axes=None, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        self.shared_axes = None if shared_axes is None else \
            list(shared_axes) if isinstance(shared_axes, (list, tuple)) else [shared_axes]

    def build(self, input_shape):
        shape = list(input_shape[1:])
        for axis in self.shared_axes or ():
            if not 1 <= axis <= len(shape):
                raise ValueError(f"Layer '{self.name}': `shared_axes` must be from 1 to "
                                 f"{len(shape)}. Received: shared_axes={self.shared_axes}")
            shape[axis - 1] = 1
        self.alpha = self.add_weight(shape=shape, name="alpha", initializer=self.alpha_initializer,
                                     regularizer=self.alpha_regularizer,
                                     constraint=self.alpha_constraint)
        axes = {i: input_shape[i] for i in range(1, len(input_shape))
                if i not in self.shared_axes} if self.shared_axes else {}
        self.input_spec = InputSpec(ndim=len(input_shape), axes=axes)

    def call(self, inputs):
        below = ops.multiply(self.alpha, ops.relu(ops.negative(inputs)))
        return ops.subtract(ops.relu(inputs), below)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(),
                "alpha_initializer": initializers.serialize(self.alpha_initializer),
                "alpha_regularizer": regularizers.serialize(self.alpha_regularizer),
                "alpha_constraint": constraints.serialize(self.alpha_constraint),
                "shared_axes": self.shared_axes}


class Softmax(_Same):
    """`exp(x) / sum(exp(x))` along an axis, or several; masked places get 0.

    Args:
        axis: Integer or list of integers. Defaults to `-1`.
        **kwargs: See `Layer`.
    """

    _plain = False

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, inputs, mask=None):
        if mask is not None:
            shape, wanted = tuple(mask.shape), tuple(inputs.shape)
            if len(shape) > len(wanted) or any(m not in (1, n) for m, n in
                                               zip(shape[::-1], wanted[::-1])):
                raise ValueError(f"Softmax layer '{self.name}': the mask must be broadcastable to "
                                 f"the inputs. Received: inputs.shape={wanted}, mask.shape={shape}")
            mask = mask if mask.dtype == "bool" else ops.greater(mask, 0.5)
            low = -3e4 if inputs.dtype == "float16" else -1e9
            inputs = ops.where(mask, inputs, low)
        if isinstance(self.axis, (list, tuple)) and len(self.axis) > 1:
            total = ops.logsumexp(inputs, axis=tuple(self.axis), keepdims=True)
            outputs = ops.exp(ops.subtract(inputs, total))
        else:
            axis = self.axis[0] if isinstance(self.axis, (list, tuple)) else self.axis
            outputs = activations.softmax(inputs, axis=axis)
        return outputs if mask is None else ops.where(mask, outputs, 0.0)

    def get_config(self):
        return {**super().get_config(), "axis": self.axis}
