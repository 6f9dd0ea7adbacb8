"""The ops of `keras.ops` that neural networks are made of: activations, cross-entropies,
normalization.

`softmax` and `sigmoid` leave their input on the result as `_keras_logits`; a cross-entropy that is
given such probabilities works on the logits, which loses nothing where a probability rounds to 0 or
1. A loss casts both where it computes in another dtype than the model; Keras, which casts the
probabilities alone, takes logarithms of numbers of 16 bits in mixed precision.
"""
import math

from .. import config
from .._core import Tensor, op
from ..warnings import tell
from . import arrays, numpy
from .core import (_ARRAYS, _FLOATS, cast_array, float_array, many_axes, one_axis, op_of_files,
                   standardize_dtype, tensor)
from .linalg import norm


# ---- activations ---------------------------------------------------------------------------------

def _activation(name, text, row=None):
    run = getattr(op, row or name)

    def function(x):
        return run(float_array(x))
    function.__name__ = function.__qualname__ = name
    function.__doc__ = text
    return function


softplus = _activation("softplus", "`log(1 + exp(x))` without overflow.")
softsign = _activation("softsign", "`x / (1 + |x|)`.")
sparse_plus = _activation("sparse_plus", "0 up to -1, `x` from 1 on, a parabola between.")
sparse_sigmoid = _activation("sparse_sigmoid", "0 up to -1, 1 from 1 on, a straight line between.")
silu = _activation("silu", "`x * sigmoid(x)`.")
swish = _activation("swish", "`x * sigmoid(x)`.", "silu")
log_sigmoid = _activation("log_sigmoid", "`log(sigmoid(x))` without overflow.")
hard_sigmoid = _activation("hard_sigmoid", "`relu6(x + 3) / 6`.")
hard_silu = _activation("hard_silu", "`x * hard_sigmoid(x)`.")
hard_swish = _activation("hard_swish", "`x * hard_sigmoid(x)`.", "hard_silu")
selu = _activation("selu", "The scaled exponential linear unit.")
hard_tanh = _activation("hard_tanh", "`x` moved into -1 to 1.")
tanh_shrink = _activation("tanh_shrink", "`x - tanh(x)`.")


def relu(x):
    """`max(x, 0)`; keeps the dtype of integers."""
    x = tensor(x)
    return op.relu(x) if x.dtype in _FLOATS else op.maximum(x, 0)


def relu6(x):
    """`min(max(x, 0), 6)`; keeps the dtype of integers."""
    x = tensor(x)
    return op.relu6(x) if x.dtype in _FLOATS else op.minimum(op.maximum(x, 0), 6)


def sigmoid(x):
    """`1 / (1 + exp(-x))`."""
    x = float_array(x)
    y = op.sigmoid(x)
    y._keras_logits = x
    return y


def leaky_relu(x, negative_slope=0.2):
    """`x` above 0, `negative_slope * x` below."""
    return op.leaky_relu(float_array(x), float(negative_slope))


def elu(x, alpha=1.0):
    """`x` above 0, `alpha * (exp(x) - 1)` below."""
    return op.elu(float_array(x), float(alpha))


def celu(x, alpha=1.0):
    """`x` above 0, `alpha * (exp(x / alpha) - 1)` below."""
    return op.celu(float_array(x), float(alpha))


def gelu(x, approximate=True):
    """`x` times the normal distribution's share below `x`; `approximate`: by tanh."""
    x = float_array(x)
    return op.gelu_tanh(x) if approximate else op.gelu(x)


def soft_shrink(x, threshold=0.5):
    """0 within `threshold` of 0, moved towards 0 by `threshold` elsewhere."""
    return op.soft_shrink(float_array(x), float(threshold))


def hard_shrink(x, threshold=0.5):
    """0 within `threshold` of 0, `x` elsewhere."""
    return op.hard_shrink(float_array(x), float(threshold))


def threshold(x, threshold, default_value):
    """`x` above `threshold`, `default_value` elsewhere."""
    x = float_array(x)
    return op.where(op.greater(x, threshold), x, default_value)


def squareplus(x, b=4):
    """`(x + sqrt(x * x + b)) / 2`; `b` is a number, or a tensor that is broadcast with `x`."""
    x = float_array(x)
    if not isinstance(b, _ARRAYS):
        return op.squareplus(x, float(b))
    return op.multiply(op.add(x, op.sqrt(op.add(op.square(x), b))), 0.5)


def glu(x, axis=-1):
    """The first half along an axis times the sigmoid of the second half."""
    x = float_array(x)
    axis = one_axis("glu", axis, len(x.shape))
    if x.shape[axis] % 2:
        raise ValueError(f"glu: the size of axis {axis} must be even. Received: "
                         f"x.shape={tuple(x.shape)}")
    a, b = arrays.split(x, 2, axis)
    return op.multiply(a, op.sigmoid(b))


def _over_axes(name, x, axis):
    """An op of one axis on `x`, over one axis, several, or (`None`) all of them."""
    run, rank = getattr(op, name), len(x.shape)
    if axis is not None and not isinstance(axis, (tuple, list)):
        return run(x, one_axis(name, axis, rank))
    axes = many_axes(name, axis, rank)
    order = [a for a in range(rank) if a not in axes] + list(axes)
    back = tuple(sorted(range(rank), key=order.__getitem__))
    moved = op.transpose(x, tuple(order))
    flat = op.reshape(moved, (*moved.shape[:rank - len(axes)], math.prod(x.shape[a] for a in axes)))
    return op.transpose(op.reshape(run(flat, rank - len(axes)), tuple(moved.shape)), back)


def softmax(x, axis=-1):
    """`exp(x) / sum(exp(x))` along an axis or several (over all elements for `None`)."""
    x = float_array(x)
    y = _over_axes("softmax", x, axis)
    y._keras_logits = x
    return y


def log_softmax(x, axis=-1):
    """`log(softmax(x))` along an axis or several (over all elements for `None`) without overflow.
    """
    return _over_axes("log_softmax", float_array(x), axis)


# ---- labels --------------------------------------------------------------------------------------

def one_hot(x, num_classes, axis=-1, dtype=None, sparse=False):
    """A 1 at the place that each label names along a new axis, 0 elsewhere.

    Args:
        x: Integer labels; one outside 0 to `num_classes - 1` gives zeros only.
        num_classes: The size of the new axis.
        axis: The place of the new axis. Defaults to `-1`.
        dtype: Defaults to `floatx()`.
        sparse: Must be false: all tensors are dense.
    """
    if sparse:
        raise ValueError("one_hot: sparse tensors do not exist here. Received: sparse=True")
    x = tensor(x)
    x = cast_array(x, "int32") if x.dtype in _FLOATS or x.dtype == "bool" else x
    axis = one_axis("one_hot", axis, len(x.shape) + 1)
    return op.one_hot(x, int(num_classes), axis, standardize_dtype(dtype))


def multi_hot(inputs, num_classes=None, axis=-1, dtype=None, sparse=False):
    """A 1 at each place that a row's labels name, 0 elsewhere."""
    if num_classes is None:
        raise ValueError("multi_hot: `num_classes` must be given.")
    inputs = tensor(inputs)
    hot = one_hot(inputs, num_classes, axis, dtype, sparse)
    return numpy.max(hot, 1 if len(inputs.shape) > 1 else 0)


def in_top_k(targets, predictions, k):
    """Whether fewer than `k` classes of a row score above its target; not if its score is NaN or
    Inf.
    """
    predictions = float_array(predictions)
    targets = tensor(targets)
    if len(predictions.shape) != 2 or tuple(targets.shape) != tuple(predictions.shape[:1]):
        raise ValueError("in_top_k: expected targets of shape (batch,) and predictions of shape "
                         f"(batch, classes). Received: targets.shape={tuple(targets.shape)}, "
                         f"predictions.shape={tuple(predictions.shape)}")
    chosen = one_hot(targets, predictions.shape[-1], dtype="bool")
    score = op.sum(op.where(chosen, predictions, 0.0), (1,), 1)
    above = op.sum(cast_array(op.greater(predictions, score), "int32"), (1,), 0)
    known = op.logical_and(op.isfinite(score), op.any(chosen, (1,), 1))
    return op.logical_and(op.less(above, int(k)), op.reshape(known, tuple(targets.shape)))


# ---- cross-entropies -----------------------------------------------------------------------------

def _logits(name, output, from_logits):
    """What `output` was made of, if softmax or sigmoid made it, and whether that is logits."""
    logits = getattr(output, "_keras_logits", None)
    if logits is None:
        return output, from_logits
    if from_logits:
        tell("from-logits", f"{name}: from_logits=True, but `output` are probabilities that a "
             "softmax or sigmoid activation made, not logits. Was this intended?")
    return (logits if logits.dtype == output.dtype else op.cast(logits, output.dtype)), True


def _same_shape(name, target, output):
    if tuple(target.shape) != tuple(output.shape):
        raise ValueError(f"{name}: `target` and `output` must have the same shape. Received: "
                         f"target.shape={tuple(target.shape)}, output.shape={tuple(output.shape)}")


def binary_crossentropy(target, output, from_logits=False):
    """`-(t log(p) + (1 - t) log(1 - p))`, element-wise.

    Args:
        target: Numbers of 0 to 1, the shape of `output`.
        output: Probabilities, or logits if `from_logits`.
        from_logits: Whether a sigmoid is still to be applied.
    """
    output = float_array(output)
    target = cast_array(target, output.dtype)
    _same_shape("binary_crossentropy", target, output)
    output, from_logits = _logits("binary_crossentropy", output, from_logits)
    opposite = op.subtract(1.0, target)
    if from_logits:
        # -log(sigmoid(x)) = softplus(-x), -log(1 - sigmoid(x)) = softplus(x)
        return op.add(op.multiply(target, op.softplus(op.negative(output))),
                      op.multiply(opposite, op.softplus(output)))
    epsilon = config.epsilon()
    output = numpy.clip(output, epsilon, 1.0 - epsilon)
    return op.negative(op.add(op.multiply(target, op.log(output)),
                              op.multiply(opposite, op.log(op.subtract(1.0, output)))))


def categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """`-sum(t log(p))` along an axis.

    Args:
        target: A distribution over classes along `axis`, the shape of `output`.
        output: Probabilities (made to sum to 1), or logits if `from_logits`.
        from_logits: Whether a softmax is still to be applied.
        axis: The axis of the classes. Defaults to `-1`.
    """
    output = float_array(output)
    target = cast_array(target, output.dtype)
    if not len(output.shape):
        raise ValueError("categorical_crossentropy: `target` and `output` must have at least one "
                         f"axis. Received: target.shape={tuple(target.shape)}, output.shape=()")
    _same_shape("categorical_crossentropy", target, output)
    axis = one_axis("categorical_crossentropy", axis, len(output.shape))
    output, from_logits = _logits("categorical_crossentropy", output, from_logits)
    if from_logits:
        return op.softmax_crossentropy(arrays.moveaxis(output, axis, -1),
                                       arrays.moveaxis(target, axis, -1))[0]
    output = op.divide(output, op.sum(output, (axis,), 1))
    epsilon = config.epsilon()
    output = numpy.clip(output, epsilon, 1.0 - epsilon)
    return op.negative(op.sum(op.multiply(target, op.log(output)), (axis,), 0))


def sparse_categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """`-log(p[label])`, for integer labels.

    Args:
        target: Labels from 0 to `classes - 1`: the shape of `output` without its last axis, or with
            1 there.
        output: Probabilities, or logits if `from_logits`.
        from_logits: Whether a softmax is still to be applied.
        axis: The axis of the classes: the last one.
    """
    name = "sparse_categorical_crossentropy"
    output, target = float_array(output), tensor(target)
    rank = len(output.shape)
    if not rank or axis not in (-1, rank - 1):
        raise ValueError(f"{name}: the classes must be the last axis of `output`. Received: "
                         f"output.shape={tuple(output.shape)}, axis={axis}")
    if len(target.shape) == rank and target.shape[-1] == 1:
        target = op.reshape(target, tuple(target.shape[:-1]))
    if tuple(target.shape) != tuple(output.shape[:-1]):
        raise ValueError(f"{name}: `target` must have the shape of `output` without its last axis, "
                         f"{tuple(output.shape[:-1])}. Received: "
                         f"target.shape={tuple(target.shape)}, "
                         f"output.shape={tuple(output.shape)}")
    target = op.cast(target, "int32") if target.dtype == "bool" else target
    output, from_logits = _logits(name, output, from_logits)
    if not from_logits:
        epsilon = config.epsilon()
        output = op.log(numpy.clip(output, epsilon, 1.0 - epsilon))
    return op.sparse_softmax_crossentropy(output, target)[0]


# ---- normalization -------------------------------------------------------------------------------

def normalize(x, axis=-1, order=2, epsilon=None):
    """`x` divided by its norm of that order along an axis; `epsilon` is the least divisor."""
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise ValueError(f"normalize: `order` must be an integer >= 1. Received: order={order!r}")
    x = float_array(x)
    x = op.reshape(x, (1,)) if not len(x.shape) else x
    epsilon = config.epsilon() if epsilon is None else epsilon
    if order == 2:
        square = op.maximum(numpy.sum(op.square(x), axis, True), epsilon * epsilon)
        return op.multiply(x, op.minimum(op.rsqrt(square), 1.0 / epsilon))  # finite slopes at 0
    return op.divide(x, op.maximum(norm(x, order, axis, True), epsilon))


def _wide(x):
    """`x`, or in float32 what has 16 bits: statistics need more."""
    return op.cast(x, "float32") if x.dtype in ("float16", "bfloat16") else x


def moments(x, axes, keepdims=False, synchronized=False):
    """The mean and the variance along axes.

    Raises:
        ValueError: If `synchronized`: there are no replicas to average over.
    """
    if synchronized:
        raise ValueError("moments: there are no replicas here. Received: synchronized=True")
    x = float_array(x)
    kept, x = x.dtype, _wide(x)
    axes = many_axes("moments", axes, len(x.shape))
    mean = numpy.mean(x, axes, True)
    variance = numpy.mean(op.square(op.subtract(x, op.stop_gradient(mean))), axes, keepdims)
    if not keepdims:
        mean = op.reshape(mean, tuple(variance.shape))
    return cast_array(mean, kept), cast_array(variance, kept)


def batch_normalization(x, mean, variance, axis, offset=None, scale=None, epsilon=1e-3):
    """`(x - mean) / sqrt(variance + epsilon) * scale + offset`, all of them vectors along
    `axis`.
    """
    x = float_array(x)
    axis = one_axis("batch_normalization", axis, len(x.shape))
    shape = tuple(n if a == axis else 1 for a, n in enumerate(x.shape))

    def vector(name, v):
        v = cast_array(v, x.dtype)
        if tuple(v.shape) != (x.shape[axis],):
            raise ValueError(f"batch_normalization: `{name}` must have shape ({x.shape[axis]},), "
                             f"the size of axis {axis} of x.shape={tuple(x.shape)}. "
                             f"Received: {name}.shape={tuple(v.shape)}")
        return op.reshape(v, shape)
    factor = op.rsqrt(op.add(vector("variance", variance), epsilon))
    factor = factor if scale is None else op.multiply(factor, vector("scale", scale))
    shift = op.negative(op.multiply(vector("mean", mean), factor))
    shift = shift if offset is None else op.add(shift, vector("offset", offset))
    return op.add(op.multiply(x, factor), shift)


def _stretch(v, x, axes):
    """`v`, with the sizes of `axes` only, in a shape that broadcasts against `x`."""
    v = cast_array(v, x.dtype)
    if len(v.shape) == len(x.shape):
        return v
    return op.reshape(v, tuple(n if a in axes else 1 for a, n in enumerate(x.shape)))


def layer_normalization(x, gamma=None, beta=None, axis=-1, epsilon=None, **kwargs):
    """`(x - mean) / sqrt(variance + epsilon) * gamma + beta`, over `axis` of each sample.

    With `rms_scaling=True`, of older scripts, it is `x / sqrt(variance + epsilon) * gamma`.
    """
    rms_scaling = kwargs.pop("rms_scaling", False)
    if kwargs:
        raise TypeError(f"layer_normalization: unknown arguments {sorted(kwargs)}")
    x = float_array(x)
    kept, x = x.dtype, _wide(x)
    epsilon = config.epsilon() if epsilon is None else epsilon
    axes = many_axes("layer_normalization", axis, len(x.shape))
    centred = op.subtract(x, numpy.mean(x, axes, True))
    y = op.multiply(x if rms_scaling else centred,
                    op.rsqrt(op.add(numpy.mean(op.square(centred), axes, True), epsilon)))
    y = y if gamma is None else op.multiply(y, _stretch(gamma, x, axes))
    beta = None if rms_scaling else beta
    return cast_array(y if beta is None else op.add(y, _stretch(beta, x, axes)), kept)


def rms_normalization(x, scale=None, axis=-1, epsilon=None):
    """`x / sqrt(mean(x * x) + epsilon) * scale`, over `axis` of each sample."""
    x = float_array(x)
    x = op.reshape(x, (1,)) if not len(x.shape) else x
    kept, x = x.dtype, _wide(x)
    epsilon = config.epsilon() if epsilon is None else epsilon
    axes = many_axes("rms_normalization", axis, len(x.shape))
    y = op.multiply(x, op.rsqrt(op.add(numpy.mean(op.square(x), axes, True), epsilon)))
    return cast_array(y if scale is None else op.multiply(y, _stretch(scale, x, axes)), kept)


def psnr(x1, x2, max_val):
    """The peak signal-to-noise ratio in decibels: `20 log10(max_val) - 10 log10(mean((x1 -
    x2)^2))`.
    """
    x1 = float_array(x1)
    x2 = cast_array(x2, x1.dtype)
    _same_shape("psnr", x1, x2)
    error = numpy.mean(op.square(op.subtract(x1, x2)))
    peak = op.log10(Tensor(float(max_val), x1.dtype))
    return op.subtract(op.multiply(peak, 20.0), op.multiply(op.log10(error), 10.0))


def __getattr__(name):
    """Keras's `ops.nn` has the ops of these files too."""
    return op_of_files(__name__, name, ("attention", "conv_family", "ctc"),
                       ("polar", "sparsemax"))
