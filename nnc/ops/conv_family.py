"""Convolutions and pooling over 1 to 3 spatial axes, composed of `patches` and ordinary ops.

Everything is brought to (n, d, h, w, c), missing axes with size 1 in front. A convolution is the
matrix product of patches and kernel; a transposed one the product, then the adjoint of patches;
pooling reduces over a patch. "same" padding is TensorFlow's: as little as gives ceil(size / stride)
positions, the odd one behind. Letters: `n` images, `k` places of the kernel, `c` channels.
"""
import math

import numpy as np

from .. import config
from .._core import Tensor, op
from . import arrays, numpy as _numpy
from .core import _FLOATS, cast_array, float_array, result_type, tensor


# ---- arguments -----------------------------------------------------------------------------------

def whole_numbers(name, argument, value, rank, least=1):
    """An integer or `rank` of them as a tuple, none below `least`."""
    try:
        numbers = (value.__index__(),) * rank
    except AttributeError:
        try:
            numbers = tuple(v.__index__() for v in value)
        except (AttributeError, TypeError):
            numbers = ()
    if len(numbers) != rank or min(numbers) < least or isinstance(value, bool):
        raise ValueError(f"{name}: `{argument}` must be an integer >= {least} or {rank} of them. "
                         f"Received: {argument}={value!r}")
    return numbers


def padding_of(name, padding, allowed=("valid", "same")):
    text = padding.lower() if isinstance(padding, str) else padding
    if text not in allowed:
        raise ValueError(f"{name}: `padding` must be one of {allowed}. Received: "
                         f"padding={padding!r}")
    return text


def _spatial(name, inputs, data_format):
    """The input in channels-last order, its number of spatial axes, and whether it was
    channels-first.
    """
    data_format = config.standardize_data_format(data_format)
    rank = len(inputs.shape) - 2
    if not 1 <= rank <= 3:
        raise ValueError(f"{name}: `inputs` must have 1 to 3 spatial axes between or behind batch "
                         f"and channels. Received: inputs.shape={tuple(inputs.shape)}")
    first = data_format == "channels_first"
    return (_channels_last(inputs) if first else inputs), rank, first


def _channels_last(x):
    return op.transpose(x, (0, *range(2, len(x.shape)), 1))


def _channels_first(x):
    return op.transpose(x, (0, len(x.shape) - 1, *range(1, len(x.shape) - 1)))


def _same_amounts(sizes, kernel, strides, dilation):
    """Padding before and after each axis that gives ceil(size / stride) positions."""
    low, high = [], []
    for size, k, stride, step in zip(sizes, kernel, strides, dilation):
        total = max((-(-size // stride) - 1) * stride + (k - 1) * step + 1 - size, 0)
        low.append(total // 2)
        high.append(total - total // 2)
    return low, high


class _Window:
    """A window over `rank` axes, as the attribute list of the op patches: three axes each."""

    def __init__(self, sizes, kernel, strides, dilation, padding):
        rank = len(sizes)
        amounts = _same_amounts(sizes, kernel, strides, dilation) if padding == "same" \
            else padding if padding != "valid" else ([0] * rank, [0] * rank)
        self.kernel, self.rank = tuple(kernel), rank
        self.sizes = (1,) * (3 - rank) + tuple(sizes)
        parts = zip((kernel, strides, dilation, *amounts), (1, 1, 1, 0, 0))
        self.list = tuple(n for part, rest in parts for n in (*(rest,) * (3 - rank), *part))

    def cut(self, x, value=0.0):
        """x (n, spatial, c) as patches (n, positions, places, c)."""
        y = op.patches(op.reshape(x, (x.shape[0], *self.sizes, x.shape[-1])), self.list, value)
        self.positions = tuple(y.shape[4 - self.rank:4])
        return op.reshape(y, (y.shape[0], math.prod(y.shape[1:4]), math.prod(self.kernel),
                              y.shape[-1]))

    def counts(self):
        """How many places the window has along each of the three axes."""
        k, s, d, low, high = (self.list[i:i + 3] for i in range(0, 15, 3))
        return tuple(max(0, (n + a + b - (k - 1) * d - 1) // s + 1)
                     for n, k, s, d, a, b in zip(self.sizes, k, s, d, low, high))

    def back(self, y):
        """The adjoint: y (n, positions, places, c) added up in (n, spatial, c)."""
        n, c = y.shape[0], y.shape[-1]
        kernel = (1,) * (3 - self.rank) + self.kernel
        x = op.patches_grad(op.reshape(y, (n, *self.counts(), *kernel, c)),
                            self.list + self.sizes)
        return op.reshape(x, (n, *self.sizes[3 - self.rank:], c))


def _pair(name, inputs, kernel):
    inputs, kernel = float_array(inputs), float_array(kernel)
    if inputs.dtype != kernel.dtype:
        dtype = result_type(inputs.dtype, kernel.dtype)
        inputs, kernel = cast_array(inputs, dtype), cast_array(kernel, dtype)
    if len(inputs.shape) != len(kernel.shape):
        raise ValueError(f"{name}: `inputs` and `kernel` must have one rank. Received: "
                         f"inputs.shape={tuple(inputs.shape)}, kernel.shape={tuple(kernel.shape)}")
    return inputs, kernel


def _window_of(name, x, kernel, rank, strides, padding, dilation_rate):
    window = _Window(tuple(x.shape[1:-1]), kernel, whole_numbers(name, "strides", strides, rank),
                     whole_numbers(name, "dilation_rate", dilation_rate, rank), padding)
    if 0 in window.counts():
        raise ValueError(f"{name}: the kernel is larger than the input. Received: "
                         f"inputs.shape={tuple(x.shape)} (channels last), kernel size "
                         f"{tuple(kernel)}, padding={padding!r}")
    return window


# ---- convolutions --------------------------------------------------------------------------------

def conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """Convolution over 1 to 3 spatial axes.

    Args:
        inputs: `(n, *spatial, c)`, or `(n, c, *spatial)` for channels first.
        kernel: `(*kernel size, c / groups, filters)`; the number of groups follows from it.
        strides: Integer or one for each spatial axis.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        dilation_rate: Integer or one for each spatial axis.

    Raises:
        ValueError: If ranks or channels do not fit, or the kernel is larger than the input.
    """
    padding = padding_of("conv", padding)
    inputs, kernel = _pair("conv", inputs, kernel)
    x, rank, first = _spatial("conv", inputs, data_format)
    *places, c, filters = kernel.shape
    groups = x.shape[-1] // c if c else 0
    if not groups or groups * c != x.shape[-1] or filters % groups:
        raise ValueError("conv: the channels of `inputs` must be a multiple of the kernel's, and "
                         "its filters a multiple of their ratio. Received: "
                         f"inputs.shape={tuple(inputs.shape)}, kernel.shape={tuple(kernel.shape)}")
    window = _window_of("conv", x, places, rank, strides, padding, dilation_rate)
    y, n, k = window.cut(x), x.shape[0], math.prod(places)
    positions = window.positions
    if groups == 1:
        y = op.matmul(op.reshape(y, (y.shape[0] * y.shape[1], k * c)),
                      op.reshape(kernel, (k * c, filters)), 0, 0)
    else:
        y = op.reshape(y, (y.shape[0] * y.shape[1], k, groups, c))
        y = op.reshape(op.transpose(y, (2, 0, 1, 3)), (groups, y.shape[0], k * c))
        w = op.reshape(kernel, (k * c, groups, filters // groups))
        y = op.transpose(op.matmul(y, op.transpose(w, (1, 0, 2)), 0, 0), (1, 0, 2))
    y = op.reshape(y, (n, *positions, filters))
    return _channels_first(y) if first else y


def depthwise_conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """Convolution of each channel by itself, with `multiplier` kernels.

    Args:
        inputs: `(n, *spatial, c)`, or `(n, c, *spatial)` for channels first.
        kernel: `(*kernel size, c, multiplier)`; `c * multiplier` channels come out.
        strides: Integer or one for each spatial axis.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        dilation_rate: Integer or one for each spatial axis.
    """
    padding = padding_of("depthwise_conv", padding)
    inputs, kernel = _pair("depthwise_conv", inputs, kernel)
    x, rank, first = _spatial("depthwise_conv", inputs, data_format)
    *places, c, multiplier = kernel.shape
    if c != x.shape[-1]:
        raise ValueError("depthwise_conv: `kernel` must have the channels of `inputs`. Received: "
                         f"inputs.shape={tuple(inputs.shape)}, kernel.shape={tuple(kernel.shape)}")
    window = _window_of("depthwise_conv", x, places, rank, strides, padding, dilation_rate)
    y, k = window.cut(x), math.prod(places)
    y = op.multiply(op.reshape(y, (*y.shape, 1)), op.reshape(kernel, (1, 1, k, c, multiplier)))
    y = op.reshape(op.sum(y, (2,), 0), (x.shape[0], *window.positions, c * multiplier))
    return _channels_first(y) if first else y


def separable_conv(inputs, depthwise_kernel, pointwise_kernel, strides=1, padding="valid",
                   data_format=None, dilation_rate=1):
    """`depthwise_conv`, then a convolution with `pointwise_kernel`, of size 1."""
    y = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(y, pointwise_kernel, 1, "valid", data_format, 1)


def transpose_size(size, kernel, stride, padding, output_padding, dilation):
    """The size of an axis after a transposed convolution; `None` for an unknown one."""
    if size is None:
        return None
    kernel = (kernel - 1) * dilation + 1
    if padding == "valid":
        more = max(kernel, stride) - kernel if output_padding is None else output_padding
        return (size - 1) * stride + kernel + more
    if output_padding is None:
        return size * stride
    return (size - 1) * stride + kernel % 2 + output_padding


def conv_transpose(inputs, kernel, strides=1, padding="valid", output_padding=None,
                   data_format=None, dilation_rate=1):
    """The transposed convolution: what carries gradients back through `conv`.

    Args:
        inputs: `(n, *spatial, c)`, or `(n, c, *spatial)` for channels first.
        kernel: `(*kernel size, filters, c)`.
        strides: Integer or one for each spatial axis.
        padding: `"valid"` or `"same"`.
        output_padding: Integer or one for each spatial axis, added to the output's size; must be
            less than the stride. `None`: chosen so that `conv` would give the input's size.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        dilation_rate: Integer or one for each spatial axis.
    """
    name = "conv_transpose"
    padding = padding_of(name, padding)
    inputs, kernel = _pair(name, inputs, kernel)
    x, rank, first = _spatial(name, inputs, data_format)
    *places, filters, c = kernel.shape
    if c != x.shape[-1]:
        raise ValueError(f"{name}: the last size of `kernel` must be the channels of `inputs`. "
                         f"Received: inputs.shape={tuple(inputs.shape)}, "
                         f"kernel.shape={tuple(kernel.shape)}")
    strides = whole_numbers(name, "strides", strides, rank)
    dilation = whole_numbers(name, "dilation_rate", dilation_rate, rank)
    more = (None,) * rank if output_padding is None else \
        whole_numbers(name, "output_padding", output_padding, rank, 0)
    sizes = tuple(transpose_size(size, k, s, padding, o, d)
                  for size, k, s, o, d in zip(x.shape[1:-1], places, strides, more, dilation))
    window = _Window(sizes, places, strides, dilation, padding)
    if min(sizes) < 1 or window.counts()[3 - rank:] != tuple(x.shape[1:-1]):
        raise ValueError(f"{name}: `output_padding` does not fit the strides. Received: "
                         f"output_padding={output_padding}, strides={strides}, "
                         f"inputs.shape={tuple(inputs.shape)}")
    k, n = math.prod(places), x.shape[0]
    count = math.prod(x.shape[1:-1])
    y = op.matmul(op.reshape(x, (n * count, c)), op.reshape(kernel, (k * filters, c)), 0, 1)
    y = window.back(op.reshape(y, (n, count, k, filters)))
    return _channels_first(y) if first else y


# ---- pooling -------------------------------------------------------------------------------------

def _pool(name, inputs, pool_size, strides, padding, data_format):
    padding = padding_of(name, padding)
    x, rank, first = _spatial(name, inputs, data_format)
    pool_size = whole_numbers(name, "pool_size", pool_size, rank)
    strides = pool_size if strides is None else strides
    return x, _window_of(name, x, pool_size, rank, strides, padding, 1), first


def _pooled(x, y, window, first):
    y = op.reshape(y, (x.shape[0], *window.positions, x.shape[-1]))
    return _channels_first(y) if first else y


def max_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    """The largest number under a window; the gradient goes to the first of equal ones.

    Args:
        inputs: `(n, *spatial, c)`, or `(n, c, *spatial)` for channels first.
        pool_size: Integer or one for each spatial axis.
        strides: The same; `None` is `pool_size`.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
    """
    inputs = tensor(inputs)
    whole = inputs.dtype if inputs.dtype not in _FLOATS else None
    inputs = float_array(inputs) if whole is None else cast_array(inputs, "float64")
    x, window, first = _pool("max_pool", inputs, pool_size, strides, padding, data_format)
    patches = window.cut(x, -math.inf)
    places = op.one_hot(op.argmax(patches, 2, 0), patches.shape[2], 2, "bool")
    y = op.sum(op.where(places, patches, 0.0), (2,), 0)
    y = _pooled(x, y, window, first)
    return y if whole is None else cast_array(y, whole)


def average_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    """The mean under a window, of what lies inside the input.

    Args:
        inputs: `(n, *spatial, c)`, or `(n, c, *spatial)` for channels first.
        pool_size: Integer or one for each spatial axis.
        strides: The same; `None` is `pool_size`.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
    """
    inputs = float_array(inputs)
    x, window, first = _pool("average_pool", inputs, pool_size, strides, padding, data_format)
    total = op.sum(window.cut(x), (2,), 0)
    if any(window.list[9:]):
        inside = op.fill((1, *x.shape[1:-1], 1), 1.0, x.dtype)
        y = op.divide(total, op.sum(window.cut(inside), (2,), 0))
    else:
        y = op.divide(total, float(math.prod(window.kernel)))
    return _pooled(x, y, window, first)


def _bins(size, count):
    """First and last + 1 position of each of `count` bins over an axis."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def _adaptive(name, inputs, output_size, data_format, one_axis):
    x, rank, first = _spatial(name, float_array(inputs), data_format)
    sizes = whole_numbers(name, "output_size", output_size, rank)
    for axis, size in enumerate(sizes, 1):
        x = one_axis(x, axis, _bins(x.shape[axis], size))
    return _channels_first(x) if first else x


def _average_axis(x, axis, bins):
    weights = np.zeros((len(bins), x.shape[axis]))
    for row, (low, high) in zip(weights, bins):
        row[low:high] = 1.0 / (high - low)
    y = op.matmul(arrays.moveaxis(x, axis, -1), Tensor(weights, x.dtype), 0, 1)
    return arrays.moveaxis(y, -1, axis)


def _max_axis(x, axis, bins):
    widest = max(high - low for low, high in bins)
    index = [[min(low + j, high - 1) for j in range(widest)] for low, high in bins]
    return _numpy.max(op.take(x, Tensor(np.array(index, "int32")), axis), axis + 1)


def adaptive_average_pool(inputs, output_size, data_format=None):
    """The mean over each of `output_size` nearly equal parts of every spatial axis."""
    return _adaptive("adaptive_average_pool", inputs, output_size, data_format, _average_axis)


def adaptive_max_pool(inputs, output_size, data_format=None):
    """The largest number of each of `output_size` nearly equal parts of every spatial axis."""
    return _adaptive("adaptive_max_pool", inputs, output_size, data_format, _max_axis)


# ---- patches and blocks --------------------------------------------------------------------------

def _sliding(name, sizes, kernel_size, dilation, padding, stride):
    kernel = whole_numbers(name, "kernel_size", kernel_size, 2)
    around = whole_numbers(name, "padding", padding, 2, 0)
    window = _Window(sizes, kernel, whole_numbers(name, "stride", stride, 2),
                     whole_numbers(name, "dilation", dilation, 2), (around, around))
    return window, math.prod(kernel)


def unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    """The patches of images `(n, c, h, w)` as `(n, c * kh * kw, positions)`."""
    x = float_array(x)
    if len(x.shape) != 4:
        raise ValueError(f"unfold: `x` must have rank 4. Received: x.shape={tuple(x.shape)}")
    window, k = _sliding("unfold", tuple(x.shape[2:]), kernel_size, dilation, padding, stride)
    y = window.cut(_channels_last(x))
    return op.reshape(op.transpose(y, (0, 3, 2, 1)), (x.shape[0], x.shape[1] * k, y.shape[1]))


def fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Patches `(n, c * kh * kw, positions)` added up in images `(n, c, *output_size)`."""
    x = float_array(x)
    sizes = whole_numbers("fold", "output_size", output_size, 2)
    window, k = _sliding("fold", sizes, kernel_size, dilation, padding, stride)
    positions = math.prod(window.counts())
    if len(x.shape) != 3 or x.shape[1] % k or x.shape[2] != positions:
        raise ValueError(f"fold: expected `x` of shape (n, c * {k}, {positions}). Received: "
                         f"x.shape={tuple(x.shape)}")
    n, c = x.shape[0], x.shape[1] // k
    y = op.transpose(op.reshape(x, (n, c, k, positions)), (0, 3, 2, 1))
    return _channels_first(window.back(y))


def _blocks(name, x, block_size, data_format):
    x = tensor(x)
    if isinstance(block_size, bool) or not isinstance(block_size, int) or block_size < 2:
        raise ValueError(f"{name}: `block_size` must be an integer >= 2. Received: "
                         f"block_size={block_size!r}")
    if len(x.shape) != 4:
        raise ValueError(f"{name}: `x` must have rank 4. Received: x.shape={tuple(x.shape)}")
    first = config.standardize_data_format(data_format) == "channels_first"
    return _channels_last(x) if first else x, first


def depth_to_space(x, block_size, data_format="channels_last"):
    """Channels as blocks of pixels: `(n, h, w, c * b * b)` to `(n, h * b, w * b, c)`."""
    x, first = _blocks("depth_to_space", x, block_size, data_format)
    n, h, w, c = x.shape
    if c % (block_size * block_size):
        raise ValueError("depth_to_space: the channels must be a multiple of block_size ** 2. "
                         f"Received: {c} channels, block_size={block_size}")
    c //= block_size * block_size
    x = op.transpose(op.reshape(x, (n, h, w, block_size, block_size, c)), (0, 1, 3, 2, 4, 5))
    x = op.reshape(x, (n, h * block_size, w * block_size, c))
    return _channels_first(x) if first else x


def space_to_depth(x, block_size, data_format="channels_last"):
    """Blocks of pixels as channels: `(n, h * b, w * b, c)` to `(n, h, w, c * b * b)`."""
    x, first = _blocks("space_to_depth", x, block_size, data_format)
    n, h, w, c = x.shape
    if h % block_size or w % block_size:
        raise ValueError("space_to_depth: height and width must be multiples of block_size. "
                         f"Received: {h} and {w}, block_size={block_size}")
    h, w = h // block_size, w // block_size
    x = op.transpose(op.reshape(x, (n, h, block_size, w, block_size, c)), (0, 1, 3, 2, 4, 5))
    x = op.reshape(x, (n, h, w, block_size * block_size * c))
    return _channels_first(x) if first else x
