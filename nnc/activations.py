"""Activation functions: one element-wise (or, for softmax, axis-wise) function a public name."""
import types

from . import identifiers, ops
from ._core import op
from .ops.core import float_array, tensor
from .ops.symbolic import dispatching


def linear(x):
    """`x` itself."""
    return x


@dispatching
def relu(x, negative_slope=0.0, max_value=None, threshold=0.0):
    """The rectified linear unit: `max(x, 0)`, with three ways to bend it.

    Args:
        x: Input.
        negative_slope: Slope below `threshold`. Defaults to `0.0`.
        max_value: The largest value returned; `None` is no limit.
        threshold: What lies at or below it counts as off. Defaults to `0.0`.
    """
    x = tensor(x)
    if negative_slope == 0.0 and threshold == 0.0:
        if max_value is None:
            return ops.relu(x)
        return ops.relu6(x) if max_value == 6 else op.minimum(ops.relu(x), max_value)
    if max_value is None and threshold == 0.0:
        return ops.leaky_relu(x, negative_slope)
    x = float_array(x)
    above = op.where(op.greater(x, threshold), x, 0.0) if threshold else op.relu(x)
    if max_value is not None:
        above = op.minimum(above, float(max_value))
    if negative_slope == 0.0:
        return above
    return op.subtract(above, op.multiply(op.relu(op.subtract(threshold, x)), negative_slope))


def leaky_relu(x, negative_slope=0.2):
    """`x` above 0, `negative_slope * x` below."""
    return ops.leaky_relu(x, negative_slope)


def relu6(x):
    """`min(max(x, 0), 6)`."""
    return ops.relu6(x)


def softmax(x, axis=-1):
    """`exp(x) / sum(exp(x))` along an axis: positive numbers that sum to 1."""
    return ops.softmax(x, axis)


def sparsemax(x, axis=-1):
    """The point of the simplex nearest to `x` along an axis: a softmax with exact zeros."""
    return ops.sparsemax(x, axis)


def log_softmax(x, axis=-1):
    """The logarithm of `softmax`, without overflow."""
    return ops.log_softmax(x, axis)


def elu(x, alpha=1.0):
    """`x` above 0, `alpha * (exp(x) - 1)` below. Reference: Clevert et al., 2016,
    arXiv:1511.07289.
    """
    return ops.elu(x, alpha)


def celu(x, alpha=1.0):
    """`x` above 0, `alpha * (exp(x / alpha) - 1)` below. Reference: Barron, 2017,
    arXiv:1704.07483.
    """
    return ops.celu(x, alpha)


def selu(x):
    """`elu` scaled so that activations keep mean 0 and variance 1.

    Reference: Klambauer et al., 2017, arXiv:1706.02515.
    """
    return ops.selu(x)


def softplus(x):
    """`log(exp(x) + 1)`."""
    return ops.softplus(x)


def softsign(x):
    """`x / (|x| + 1)`."""
    return ops.softsign(x)


def soft_shrink(x, threshold=0.5):
    """0 within `threshold` of 0, elsewhere moved towards 0 by `threshold`."""
    return ops.soft_shrink(x, threshold)


def hard_shrink(x, threshold=0.5):
    """0 within `threshold` of 0, `x` elsewhere."""
    return ops.hard_shrink(x, threshold)


def tanh_shrink(x):
    """`x - tanh(x)`."""
    return ops.tanh_shrink(x)


def threshold(x, threshold, default_value):
    """`x` above `threshold`, `default_value` elsewhere."""
    return ops.threshold(x, threshold, default_value)


def sparse_plus(x):
    """0 up to -1, `x` from 1 on, `(x + 1)^2 / 4` between."""
    return ops.sparse_plus(x)


def sparse_sigmoid(x):
    """0 up to -1, 1 from 1 on, `(x + 1) / 2` between."""
    return ops.sparse_sigmoid(x)


def silu(x):
    """`x * sigmoid(x)`, also called swish. Reference: Ramachandran et al., 2017,
    arXiv:1710.05941.
    """
    return ops.silu(x)


swish = silu


def squareplus(x, b=4):
    """`(x + sqrt(x^2 + b)) / 2`. Reference: Barron, 2021, arXiv:2112.11687."""
    return ops.squareplus(x, b)


def gelu(x, approximate=False):
    """`x` times the normal distribution's share below `x`; `approximate`: by tanh.

    Reference: Hendrycks and Gimpel, 2016, arXiv:1606.08415.
    """
    return ops.gelu(x, approximate)


def glu(x, axis=-1):
    """The first half along `axis` times the sigmoid of the second half.

    Reference: Dauphin et al., 2017, arXiv:1612.08083.
    """
    return ops.glu(x, axis)


def tanh(x):
    """The hyperbolic tangent."""
    return ops.tanh(x)


def hard_tanh(x):
    """`x` moved into -1 to 1."""
    return ops.hard_tanh(x)


def sigmoid(x):
    """`1 / (1 + exp(-x))`."""
    return ops.sigmoid(x)


def log_sigmoid(x):
    """The logarithm of `sigmoid`, without overflow."""
    return ops.log_sigmoid(x)


def hard_sigmoid(x):
    """`relu6(x + 3) / 6`."""
    return ops.hard_sigmoid(x)


def hard_silu(x):
    """`x * hard_sigmoid(x)`. Reference: Howard et al., 2019, arXiv:1905.02244."""
    return ops.hard_silu(x)


hard_swish = hard_silu


def exponential(x):
    """`exp(x)`."""
    return ops.exp(x)


@dispatching
def mish(x):
    """`x * tanh(softplus(x))`. Reference: Misra, 2019, arXiv:1908.08681."""
    return op.mish(float_array(x))


_FUNCTIONS = (relu, leaky_relu, relu6, softmax, celu, elu, selu, softplus, softsign, squareplus,
              soft_shrink, sparse_plus, silu, gelu, glu, tanh, tanh_shrink, threshold, sigmoid,
              sparse_sigmoid, exponential, hard_sigmoid, hard_silu, hard_tanh, hard_shrink, linear,
              mish, log_softmax, log_sigmoid, sparsemax)
ALL_OBJECTS = {function.__name__: function for function in _FUNCTIONS}
ALL_OBJECTS.update(swish=silu, hard_swish=hard_silu)


def serialize(activation):
    """The name of a function, or the configuration of an object."""
    function = isinstance(activation, types.FunctionType)
    if function and ALL_OBJECTS.get(activation.__name__) is activation:
        return activation.__name__
    config = identifiers.serialize(activation)
    if isinstance(activation, types.FunctionType) and isinstance(config, dict) \
            and isinstance(config.get("config"), str):
        return config["config"]
    return config


def deserialize(config, custom_objects=None):
    """The activation that a name or a configuration describes; a layer may be one."""
    if isinstance(config, dict) and str(config.get("module")).startswith("keras.layers"):
        from .saving.object_registration import deserialize_keras_object

        return deserialize_keras_object(config, custom_objects)
    return identifiers.deserialize(config, ALL_OBJECTS, "activation", custom_objects)


def get(identifier):
    """The activation that `identifier` stands for: a name, a configuration, a callable; `None` is
    linear.
    """
    if isinstance(identifier, dict):
        return deserialize(identifier)
    return linear if identifier is None else identifiers.get(identifier, ALL_OBJECTS, "activation")
