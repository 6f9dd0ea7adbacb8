"""Images sampled at places that an affine or projective map gives: pixels of the output ask for
those of the input.

Places between pixels mix the four around them, or take the nearest; places outside are mapped into
the image, or are `fill_value`. Numbers are those of TensorFlow's ImageProjectiveTransformV3.
"""
import math

import numpy as np

from .._core import Tensor, op
from . import arrays, numpy as _numpy
from .core import _FLOATS, cast_array, saturate_cast, tensor

_INTERPOLATIONS = ("bilinear", "nearest")
_FILL_MODES = ("constant", "nearest", "wrap", "reflect")


def _inside(at, size, fill_mode):
    """Places along an axis, those outside of 0 to `size - 1` mapped into it (but `"constant"`)."""
    if fill_mode == "constant":
        return at
    if fill_mode == "reflect":                      # d c b a | a b c d | d c b a
        at = op.where(op.less(at, 0.0), op.subtract(-1.0, at), at)
        at = op.subtract(at, op.multiply(2.0 * size, op.floor(op.divide(at, 2.0 * size))))
        at = op.where(op.greater_equal(at, float(size)), op.subtract(2.0 * size - 1.0, at), at)
    elif fill_mode == "mirror" and size > 1:        # d c b | a b c d | c b a
        at, period = op.absolute(at), 2.0 * (size - 1)
        at = op.subtract(at, op.multiply(period, op.floor(op.divide(at, period))))
        at = op.minimum(at, op.subtract(period, at))
    elif fill_mode == "wrap" and size > 1:          # a b c d | a b c d, as TensorFlow rounds
        below = op.add(at, op.multiply(float(size), op.add(op.floor(op.divide(
            op.negative(at), size - 1.0)), 1.0)))
        above = op.subtract(at, op.multiply(float(size), op.floor(op.divide(at, size - 1.0))))
        at = op.where(op.less(at, 0.0), below, op.where(op.greater(at, size - 1.0), above, at))
    return op.minimum(op.maximum(at, 0.0), size - 1.0)


def _read(flat, first, y, x, size, fill_value):
    """The pixels at whole places; `fill_value` outside. flat: (n h w, c); y, x: (n, h', w')."""
    height, width = size
    inside = op.logical_and(
        op.logical_and(op.greater_equal(y, 0.0), op.less(y, float(height))),
        op.logical_and(op.greater_equal(x, 0.0), op.less(x, float(width))))
    at = op.add(op.multiply(op.minimum(op.maximum(y, 0.0), height - 1.0), float(width)),
                op.minimum(op.maximum(x, 0.0), width - 1.0))
    pixels = op.take(flat, op.add(op.cast(at, "int64"), first), 0)
    inside = op.reshape(inside, (*inside.shape, 1))
    return op.where(inside, pixels, Tensor(np.asarray(fill_value, "float64"), flat.dtype))


def _sample(images, y, x, interpolation, fill_mode, fill_value):
    """images (n, h, w, c) in floats at the places y, x (n, h', w')."""
    n, height, width, channels = images.shape
    y, x = _inside(y, height, fill_mode), _inside(x, width, fill_mode)
    flat = op.reshape(images, (n * height * width, channels))
    first = Tensor(np.arange(n, dtype="int64").reshape(n, 1, 1) * (height * width))

    def read(y, x):
        return _read(flat, first, y, x, (height, width), fill_value)
    if interpolation == "nearest":                  # halves away from zero
        y, x = (op.multiply(_numpy.sign(v), op.floor(op.add(op.absolute(v), 0.5)))
                for v in (y, x))
        return read(y, x)
    top, left = op.floor(y), op.floor(x)
    bottom, right = op.add(top, 1.0), op.add(left, 1.0)
    down, across = (op.reshape(op.subtract(v, low), (*v.shape, 1))
                    for v, low in ((y, top), (x, left)))

    def row(at):
        return op.add(op.multiply(op.subtract(1.0, across), read(at, left)),
                      op.multiply(across, read(at, right)))
    return op.add(op.multiply(op.subtract(1.0, down), row(top)), op.multiply(down, row(bottom)))


def _mapped(name, images, transform, interpolation, fill_mode, fill_value, data_format):
    from .image import _images

    for argument, value, known in (("interpolation", interpolation, _INTERPOLATIONS),
                                   ("fill_mode", fill_mode, _FILL_MODES)):
        if value not in known:
            raise ValueError(f"{name}: `{argument}` must be one of {known}. Received: "
                             f"{argument}={value!r}")
    x, back = _images(name, images, data_format)
    single = len(x.shape) == 3
    transform = cast_array(transform, "float32")
    if single:
        x = arrays.expand_dims(x, 0)
        transform = op.reshape(transform, (1, math.prod(transform.shape)))
    if len(transform.shape) != 2 or transform.shape[1] != 8 or \
            transform.shape[0] not in (1, x.shape[0]):
        raise ValueError(f"{name}: `transform` must hold 8 numbers for each image. Received: "
                         f"images.shape={tuple(tensor(images).shape)}, "
                         f"transform.shape={tuple(transform.shape)}")
    n, height, width, _ = x.shape
    rows = Tensor(np.arange(height, dtype="float32").reshape(1, height, 1))
    columns = Tensor(np.arange(width, dtype="float32").reshape(1, 1, width))
    a0, a1, a2, b0, b1, b2, c0, c1 = (op.reshape(part, (transform.shape[0], 1, 1))
                                      for part in arrays.split(transform, 8, 1))

    def plane(u, v, w):
        return arrays.broadcast_to(op.add(op.add(op.multiply(u, columns), op.multiply(v, rows)), w),
                                   (n, height, width))
    depth = plane(c0, c1, Tensor(np.ones((), "float32")))
    made = _sample(x if x.dtype in _FLOATS else op.cast(x, "float32"),
                   op.divide(plane(b0, b1, b2), depth), op.divide(plane(a0, a1, a2), depth),
                   interpolation, fill_mode, fill_value)
    if made.dtype != x.dtype:
        made = saturate_cast(_numpy.round(made), x.dtype)
    return back(op.reshape(made, tuple(made.shape[1:])) if single else made)


def affine_transform(images, transform, interpolation="bilinear", fill_mode="constant",
                     fill_value=0, data_format=None):
    """Images moved, turned, scaled: output pixel `(x, y)` is input pixel
    `((a0 x + a1 y + a2) / k, (b0 x + b1 y + b2) / k)` with `k = c0 x + c1 y + 1`.

    Args:
        images: `(h, w, c)` or `(n, h, w, c)`.
        transform: `(a0, a1, a2, b0, b1, b2, c0, c1)`, or one such row for each image.
        interpolation: `"bilinear"` or `"nearest"`.
        fill_mode: What lies outside: `"constant"` (`fill_value`), `"nearest"`, `"wrap"` (the other
            side) or `"reflect"` (the mirror, with the edge twice).
        fill_value: A number.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.

    Gradients flow to the images, and to `transform` where `interpolation` is `"bilinear"`.
    """
    return _mapped("affine_transform", images, transform, interpolation, fill_mode, fill_value,
                   data_format)


def homography(start_points, end_points):
    """The eight numbers (n, 8) of the projective map that leads from each of four end points to its
    start point. Points: (n, 4, 2), x and y.
    """
    start, end = (cast_array(points, "float64") for points in (start_points, end_points))
    sx, sy, x, y = start[..., 0], start[..., 1], end[..., 0], end[..., 1]
    one, none = arrays.ones_like(x), arrays.zeros_like(x)
    rows = [arrays.stack(columns, -1) for columns in (
        (x, y, one, none, none, none, op.negative(op.multiply(sx, x)),
         op.negative(op.multiply(sx, y))),
        (none, none, none, x, y, one, op.negative(op.multiply(sy, x)),
         op.negative(op.multiply(sy, y))))]
    from .linalg import solve

    right = arrays.expand_dims(arrays.concatenate([sx, sy], 1), -1)
    return op.cast(arrays.squeeze(solve(arrays.concatenate(rows, 1), right), -1), "float32")


def perspective_transform(images, start_points, end_points, interpolation="bilinear", fill_value=0,
                          data_format=None):
    """Images warped so that four points come to lie at four others.

    Args:
        images: `(h, w, c)` or `(n, h, w, c)`.
        start_points: `(4, 2)`, or `(n, 4, 2)`: points `(x, y)` of the input.
        end_points: Where they come to lie.
        interpolation, fill_value, data_format: See `affine_transform`.

    Raises:
        ValueError: If the points have other shapes, or three of them lie on a line.
    """
    points = [tensor(value) for value in (start_points, end_points)]
    shapes = [tuple(value.shape) for value in points]
    if shapes[0] != shapes[1] or len(shapes[0]) not in (2, 3) or shapes[0][-2:] != (4, 2):
        raise ValueError("perspective_transform: `start_points` and `end_points` must both have the "
                         "shape (4, 2) or (n, 4, 2). Received: start_points.shape="
                         f"{shapes[0]}, end_points.shape={shapes[1]}")
    points = [op.reshape(value, (1, 4, 2)) if len(value.shape) == 2 else value for value in points]
    return _mapped("perspective_transform", images, homography(*points), interpolation, "constant",
                   fill_value, data_format)
