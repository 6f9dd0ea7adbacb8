"""Arrays sampled at places between their numbers: `map_coordinates`, `elastic_transform`,
`scale_and_translate` of `nnc.ops.image`.

A place mixes the 2^d numbers around it, each weighted by how near it lies along every axis; what
lies outside is read from inside, as `fill_mode` says, or is `fill_value`.
"""
import itertools
import math

import numpy as np

from .. import config
from .._core import Tensor, op
from . import arrays, numpy as _numpy
from .core import _FLOATS, cast_array, float_array, result_type, saturate_cast, tensor

_FILL_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")
_INTERPOLATIONS = ("nearest", "bilinear")
_METHODS = {"linear": "linear", "bilinear": "linear", "trilinear": "linear", "triangle": "linear",
            "cubic": "cubic", "bicubic": "cubic", "tricubic": "cubic", "lanczos3": "lanczos3",
            "lanczos5": "lanczos5"}


def _check(name, argument, value, known):
    if value not in known:
        raise ValueError(f"{name}: `{argument}` must be one of {tuple(known)}. Received: "
                         f"{argument}={value!r}")


# ---- any places ----------------------------------------------------------------------------------

def _inside(index, size, fill_mode):
    """Indices (int64) along an axis, those outside mapped into it; where they were inside, or
    `None` if that does not matter.
    """
    last = size - 1
    if fill_mode in ("constant", "nearest"):
        near = op.minimum(op.maximum(index, 0), last)
        return near, (op.equal(near, index) if fill_mode == "constant" else None)
    if fill_mode == "wrap":
        return _numpy.mod(index, size), None
    if fill_mode == "reflect":                          # d c b a | a b c d | d c b a
        index = _numpy.mod(index, 2 * size)
        return op.minimum(index, op.subtract(2 * size - 1, index)), None
    period = max(2 * last, 1)                           # d c b | a b c d | c b a
    index = _numpy.mod(index, period)
    return op.minimum(index, op.subtract(period, index)) if last else index, None


def _around(at, order):
    """The whole places around `at` along an axis, and their weights (`None` is 1)."""
    if order == 0:
        return [(op.cast(_numpy.round(at), "int64"), None)]
    low = op.floor(at)
    share, index = op.subtract(at, low), op.cast(low, "int64")
    return [(index, op.subtract(1.0, share)), (op.add(index, 1), share)]


def _interpolate(flat, first, sizes, places, order, fill_mode, fill_value):
    """Rows of `flat` (numbers, c) at `places`, an array for each of the axes of `sizes`, which lie
    in `flat` in C order from row `first` on: (*places, c), in the dtype of the places.
    """
    dtype, total = places[0].dtype, None
    strides = [math.prod(sizes[k + 1:]) for k in range(len(sizes))]
    axes = [[(*_inside(index, size, fill_mode), weight) for index, weight in _around(at, order)]
            for at, size in zip(places, sizes)]
    fill = Tensor(np.asarray(fill_value, "float64"), flat.dtype)
    for corner in itertools.product(*axes):
        row, weight, inside = first, None, None
        for (index, valid, share), stride in zip(corner, strides):
            row = op.add(row, op.multiply(index, stride))
            weight = share if weight is None else op.multiply(weight, share)
            if valid is not None:
                inside = valid if inside is None else op.logical_and(inside, valid)
        value = op.take(flat, row, 0)
        if inside is not None:
            value = op.where(arrays.expand_dims(inside, -1), value, fill)
        value = cast_array(value, dtype)
        if weight is not None:
            value = op.multiply(arrays.expand_dims(weight, -1), value)
        total = value if total is None else op.add(total, value)
    return total


def _settled(made, dtype):
    """Numbers in the dtype of the input; whole ones are rounded and kept within it."""
    if made.dtype == dtype:
        return made
    return cast_array(made, dtype) if dtype in _FLOATS else saturate_cast(_numpy.round(made), dtype)


def map_coordinates(inputs, coordinates, order, fill_mode="constant", fill_value=0):
    """An array read at any places.

    Args:
        inputs: Tensor with d axes, none of size 0.
        coordinates: `(d, ...)`: for each place its coordinates along the axes.
        order: `0`, the nearest number (halves to even), or `1`, linear interpolation.
        fill_mode: What lies outside of `a b c d`: `"constant"` (`fill_value`), `"nearest"`
            (`a a | a b c d | d d`), `"wrap"` (`c d | a b c d | a b`), `"mirror"`
            (`c b | a b c d | c b`) or `"reflect"` (`b a | a b c d | d c`).
        fill_value: A number.

    Returns:
        A tensor of the shape `coordinates.shape[1:]` and the dtype of `inputs`. Gradients flow to
        `inputs`, and to `coordinates` if `order` is 1.

    Keras 3.15 on TensorFlow leaves these rules below 0 in `"reflect"`, and beyond the end in
    `"mirror"`.
    """
    x, at = tensor(inputs), tensor(coordinates)
    if order not in (0, 1) or isinstance(order, bool):
        raise NotImplementedError("map_coordinates: `order` must be 0 or 1. Received: "
                                  f"order={order!r}")
    _check("map_coordinates", "fill_mode", fill_mode, _FILL_MODES)
    if len(at.shape) < 2 or at.shape[0] != len(x.shape) or 0 in x.shape:
        raise ValueError("map_coordinates: `coordinates` must have at least 2 axes, the first as "
                         "long as `inputs` has axes, none of which is empty. Received: "
                         f"inputs.shape={tuple(x.shape)}, coordinates.shape={tuple(at.shape)}")
    at = at if at.dtype in ("float32", "float64") else op.cast(at, config.floatx() if order
                                                             else "float64")
    flat = op.reshape(x, (math.prod(x.shape), 1))
    made = _interpolate(flat, 0, tuple(x.shape), [at[k] for k in range(len(x.shape))], order,
                        fill_mode, fill_value)
    return _settled(arrays.squeeze(made, -1), x.dtype)


# ---- elastic -------------------------------------------------------------------------------------

def elastic_transform(images, alpha=20.0, sigma=5.0, interpolation="bilinear",
                      fill_mode="reflect", fill_value=0.0, seed=None, data_format=None):
    """Moves each pixel by its own way; ways of neighbors are alike.

    The ways down and to the right are normal noise of deviation `sigma`, smoothed by
    `gaussian_blur` with `sigma` over `6 int(sigma) + 1` pixels, times `alpha`.

    Args:
        images: `(h, w, c)` or `(n, h, w, c)`.
        alpha: Number: the strength.
        sigma: Number > 0: deviation of the noise, and over how many pixels it is smoothed.
        interpolation: `"bilinear"` or `"nearest"`.
        fill_mode, fill_value: See `map_coordinates`.
        seed: Integer, `SeedGenerator` or `None`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.

    The two ways are drawn apart (Keras 3.15 draws both alike).
    Reference: Simard et al., "Best practices for convolutional neural networks", 2003
    """
    from ..random import normal
    from .image import _images, gaussian_blur

    _check("elastic_transform", "interpolation", interpolation, _INTERPOLATIONS)
    _check("elastic_transform", "fill_mode", fill_mode, _FILL_MODES)
    x, back = _images("elastic_transform", images, data_format)
    if not float(sigma) > 0 or 0 in x.shape:
        raise ValueError("elastic_transform: `sigma` must be > 0 and images must not be empty. "
                         f"Received: sigma={sigma}, images.shape={tuple(tensor(images).shape)}")
    n, (height, width, channels) = math.prod(x.shape[:-3]), x.shape[-3:]
    dtype = x.dtype if x.dtype in ("float32", "float64") else "float32"
    size = 6 * int(sigma) | 1
    ways = op.multiply(normal((n, height, width, 2), dtype=dtype, seed=seed), float(sigma))
    ways = op.multiply(gaussian_blur(ways, (size, size), float(sigma), "channels_last"),
                       float(alpha))
    down = op.add(ways[..., 0], Tensor(np.arange(height).reshape(1, height, 1), dtype))
    right = op.add(ways[..., 1], Tensor(np.arange(width).reshape(1, 1, width), dtype))
    first = Tensor(np.arange(n, dtype="int64").reshape(n, 1, 1) * (height * width))
    made = _interpolate(op.reshape(x, (n * height * width, channels)), first, (height, width),
                        [down, right], _INTERPOLATIONS.index(interpolation), fill_mode, fill_value)
    return back(_settled(op.reshape(made, tuple(x.shape)), x.dtype))


# ---- scale and translate -------------------------------------------------------------------------

def _cubic(x):
    """Keys 1981, a = -1/2."""
    near = op.add(op.multiply(op.multiply(op.subtract(op.multiply(x, 1.5), 2.5), x), x), 1.0)
    far = op.add(op.multiply(op.subtract(op.multiply(op.add(op.multiply(x, -0.5), 2.5), x), 4.0),
                             x), 2.0)
    return op.where(op.less(x, 1.0), near, op.where(op.less(x, 2.0), far, 0.0))


def _lanczos(x, radius):
    """`sinc(x) sinc(x / radius)`; near 0, where the quotient loses its digits, 1."""
    y = op.multiply(op.multiply(op.sin(op.multiply(x, math.pi)),
                                op.sin(op.multiply(x, math.pi / radius))), radius)
    far = op.greater(x, 1e-3)
    y = op.divide(y, op.multiply(op.square(op.where(far, x, 1.0)), math.pi ** 2))
    return op.where(op.greater(x, radius), 0.0, op.where(far, y, 1.0))


_KERNELS = {"linear": lambda x: op.maximum(op.subtract(1.0, x), 0.0), "cubic": _cubic,
            "lanczos3": lambda x: _lanczos(x, 3.0), "lanczos5": lambda x: _lanczos(x, 5.0)}


def _weights(size, target, scale, translation, kernel, antialias):
    """(size, target): what each place of the output takes of each number of the input."""
    dtype, inverse = scale.dtype, op.reciprocal(scale)
    at = op.subtract(op.multiply(op.subtract(Tensor(np.arange(target) + 0.5, dtype), translation),
                                 inverse), 0.5)
    far = op.absolute(op.subtract(at, Tensor(np.arange(size).reshape(size, 1), dtype)))
    if antialias:
        far = op.divide(far, op.maximum(inverse, 1.0))
    weights = kernel(far)
    total = _numpy.sum(weights, 0, keepdims=True)
    there = op.greater(op.absolute(total), 1000 * float(np.finfo("float32").eps))
    inside = op.logical_and(op.greater_equal(at, -0.5), op.less_equal(at, size - 0.5))
    return op.where(op.logical_and(there, inside),
                    op.divide(weights, op.where(there, total, 1.0)), 0.0)


def _placed(name, images, output_shape, spatial_dims, scale, translation):
    """The arguments of `scale_and_translate`, checked; scale and translation in floats."""
    rank = len(images.shape)
    dims = tuple(spatial_dims)
    wrong = any(isinstance(d, bool) or not isinstance(d, int) or not -rank <= d < rank
                for d in dims)
    dims = dims if wrong else tuple(d % rank for d in dims)
    if wrong or len(set(dims)) != len(dims):
        raise ValueError(f"{name}: `spatial_dims` must be different axes of `images`. Received: "
                         f"spatial_dims={spatial_dims}, images.shape={tuple(images.shape)}")
    shape = tuple(int(size) for size in output_shape)
    if len(shape) != rank or any(shape[d] != images.shape[d] for d in range(rank)
                                 if d not in dims) or min(shape, default=1) < 0:
        raise ValueError(f"{name}: `output_shape` must be that of `images` but for `spatial_dims`. "
                         f"Received: output_shape={output_shape}, images.shape="
                         f"{tuple(images.shape)}, spatial_dims={spatial_dims}")
    scale, translation = tensor(scale), tensor(translation)
    for argument, value in (("scale", scale), ("translation", translation)):
        if tuple(value.shape) != (len(dims),):
            raise ValueError(f"{name}: `{argument}` must hold a number for each of the "
                             f"{len(dims)} spatial dimensions. Received: {argument}.shape="
                             f"{tuple(value.shape)}")
    dtype = result_type(scale.dtype, translation.dtype)
    dtype = dtype if dtype in ("float32", "float64") else "float32"
    return dims, shape, cast_array(scale, dtype), cast_array(translation, dtype)


def scale_and_translate(images, output_shape, scale, translation, spatial_dims, method,
                        antialias=True):
    """An array of another size, scaled and moved along some axes: place `x` of the input comes to
    lie at `x * scale + translation`, where pixel `i` covers `i` to `i + 1`. Places that come from
    outside are 0.

    Args:
        images: Tensor.
        output_shape: Sizes of the output: those of `images` but for `spatial_dims`.
        scale: Numbers > 0, one for each of `spatial_dims`.
        translation: Numbers, one for each.
        spatial_dims: Axes of `images`.
        method: `"linear"` (or `"bilinear"`, `"trilinear"`, `"triangle"`), `"cubic"` (or
            `"bicubic"`, `"tricubic"`), `"lanczos3"` or `"lanczos5"`.
        antialias: Whether the filter grows with the pixels where an image shrinks.

    Whole numbers are rounded and kept between the least and the largest of `images`. Gradients flow
    to `images`, `scale` and `translation`.
    """
    _check("scale_and_translate", "method", method, _METHODS)
    x = tensor(images)
    dims, shape, scale, translation = _placed("scale_and_translate", x, output_shape, spatial_dims,
                                              scale, translation)
    if not dims:
        return x
    y = float_array(x)
    for i, d in enumerate(dims):
        weights = cast_array(_weights(x.shape[d], shape[d], scale[i], translation[i],
                                      _KERNELS[_METHODS[method]], antialias), y.dtype)
        y = arrays.moveaxis(op.matmul(arrays.moveaxis(_matrix(y), d, -1), weights, 0, 0), -1, d)
        y = op.reshape(y, tuple(y.shape)[:len(x.shape)]) if len(y.shape) > len(x.shape) else y
    if x.dtype in _FLOATS or 0 in x.shape:
        return cast_array(y, x.dtype)
    low, high = (cast_array(f(x), y.dtype) for f in (_numpy.min, _numpy.max))
    return op.cast(op.minimum(op.maximum(_numpy.round(y), low), high), x.dtype)


def _matrix(x):
    """`x` with an axis of size 1 behind if it has but one."""
    return arrays.expand_dims(x, -1) if len(x.shape) == 1 else x
