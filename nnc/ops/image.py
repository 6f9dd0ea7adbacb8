"""`nnc.ops.image`: images `(h, w, c)` or `(n, h, w, c)`, channels first on demand.

Resizing is a matrix product along each axis: row i of the matrix holds the weights of the pixels
that output pixel i is made of. Pixel centers lie at half numbers, as TensorFlow's do.
"""
import math

import numpy as np

from .. import config
from .._core import Tensor, op
from . import arrays, conv_family, numpy as _numpy
from .core import _FLOATS, cast_array, float_array, saturate_cast, tensor
from .sampling import affine_transform, perspective_transform  # noqa: F401
from .warping import elastic_transform, map_coordinates, scale_and_translate  # noqa: F401

_INTERPOLATIONS = ("bilinear", "nearest", "lanczos3", "lanczos5", "bicubic", "area")


def _images(name, images, data_format, ranks=(3, 4)):
    """The images, channels last, and a function that puts the result back in their order."""
    images = tensor(images)
    rank = len(images.shape)
    if rank not in ranks:
        raise ValueError(f"{name}: expected images of rank {ranks[0]} or {ranks[1]}. Received: "
                         f"images.shape={tuple(images.shape)}")
    if config.standardize_data_format(data_format) == "channels_last":
        return images, lambda x: x
    channel = rank - ranks[0]
    return (arrays.moveaxis(images, channel, -1),
            lambda x: arrays.moveaxis(x, -1, len(x.shape) - ranks[0]))


# ---- colors --------------------------------------------------------------------------------------

def rgb_to_grayscale(images, data_format=None):
    """`0.2989 r + 0.587 g + 0.114 b`, one channel; gray images stay as they are."""
    x, back = _images("rgb_to_grayscale", images, data_format)
    if x.shape[-1] not in (1, 3):
        raise ValueError("rgb_to_grayscale: expected 1 or 3 channels. Received: images.shape="
                         f"{tuple(tensor(images).shape)}")
    if x.shape[-1] == 1:
        return back(x)
    dtype = x.dtype
    weights = Tensor(np.array([[0.2989], [0.5870], [0.1140]]), dtype if dtype in _FLOATS
                     else config.floatx())
    return back(cast_array(op.matmul(cast_array(x, weights.dtype), weights, 0, 0), dtype))


def _colors(name, images, data_format):
    x, back = _images(name, images, data_format)
    if x.dtype not in _FLOATS or x.shape[-1] != 3:
        raise ValueError(f"{name}: expected 3 channels of a floating-point dtype. Received: "
                         f"images.shape={tuple(x.shape)} (channels last), dtype={x.dtype}")
    return x, back


def rgb_to_hsv(images, data_format=None):
    """Red, green, blue in 0 to 1 as hue, saturation and value in 0 to 1."""
    x, back = _colors("rgb_to_hsv", images, data_format)
    r, g, b = (x[..., i:i + 1] for i in range(3))
    value = _numpy.max(x, -1, keepdims=True)
    span = op.subtract(value, _numpy.min(x, -1, keepdims=True))
    gray = op.equal(span, 0.0)
    safe = op.where(gray, 1.0, span)
    saturation = op.where(op.greater(value, 0.0),
                          op.divide(span, op.where(op.equal(value, 0.0), 1.0, value)), 0.0)
    hue = op.where(op.equal(value, r), op.divide(op.subtract(g, b), safe),
                   op.where(op.equal(value, g),
                            op.add(op.divide(op.subtract(b, r), safe), 2.0),
                            op.add(op.divide(op.subtract(r, g), safe), 4.0)))
    hue = op.where(gray, 0.0, op.divide(hue, 6.0))
    hue = op.where(op.less(hue, 0.0), op.add(hue, 1.0), hue)
    return back(op.concatenate(hue, saturation, value, -1))


def hsv_to_rgb(images, data_format=None):
    """What undoes `rgb_to_hsv`."""
    x, back = _colors("hsv_to_rgb", images, data_format)
    hue, saturation, value = (x[..., i:i + 1] for i in range(3))
    sixth = op.multiply(hue, 6.0)
    parts = [op.subtract(op.absolute(op.subtract(sixth, 3.0)), 1.0),
             op.subtract(2.0, op.absolute(op.subtract(sixth, 2.0))),
             op.subtract(2.0, op.absolute(op.subtract(sixth, 4.0)))]
    full = _numpy.clip(op.concatenate(*parts, -1), 0.0, 1.0)
    mixed = op.add(op.subtract(1.0, saturation), op.multiply(full, saturation))
    return back(op.multiply(mixed, value))


# ---- sizes ---------------------------------------------------------------------------------------

def _sinc_window(radius):
    return lambda x: np.where(np.abs(x) < radius, np.sinc(x) * np.sinc(x / radius), 0.0)


def _cubic(x):
    """Keys 1981, a = -1/2."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


_KERNELS = {"bilinear": lambda x: np.maximum(0.0, 1 - np.abs(x)), "bicubic": _cubic,
            "lanczos3": _sinc_window(3), "lanczos5": _sinc_window(5)}


def _weights(size, target, interpolation, antialias):
    """(target, size): what each output pixel takes of each input pixel."""
    scale = size / target
    edge, pixel = np.arange(target)[:, None] * scale, np.arange(size)
    if interpolation == "nearest":
        # In float32, as TensorFlow does: it decides where a center falls between two pixels.
        centers = (np.arange(target, dtype="float32")[:, None] + np.float32(0.5)) \
            * (np.float32(size) / np.float32(target))
        nearest = np.minimum(np.floor(centers), size - 1)
        return (pixel == nearest).astype("float64")
    if interpolation == "area":
        weights = np.clip(np.minimum(edge + scale, pixel + 1) - np.maximum(edge, pixel), 0, None)
    else:
        widen = max(scale, 1.0) if antialias else 1.0
        weights = _KERNELS[interpolation]((edge + scale / 2 - pixel - 0.5) / widen)
    return weights / weights.sum(1, keepdims=True)


def _aspect_crop(x, size):
    h, w = x.shape[-3:-1]
    ch = max(min(h, int(w * size[0] / size[1])), 1)
    cw = max(min(w, int(h * size[1] / size[0])), 1)
    top, left = (h - ch) // 2, (w - cw) // 2
    return x[..., top:top + ch, left:left + cw, :]


def _aspect_pad(x, size, value):
    h, w = x.shape[-3:-1]
    top = (max(h, int(w * size[0] / size[1])) - h) // 2
    left = (max(w, int(h * size[1] / size[0])) - w) // 2
    widths = (0,) * (len(x.shape) - 3) + (top, left, 0)
    return op.pad(x, widths * 2, float(value))


def resize(images, size, interpolation="bilinear", antialias=False, crop_to_aspect_ratio=False,
           pad_to_aspect_ratio=False, fill_mode="constant", fill_value=0.0, data_format=None):
    """Images of another size.

    Args:
        images: `(h, w, c)` or `(n, h, w, c)`.
        size: `(height, width)`.
        interpolation: `"bilinear"`, `"nearest"`, `"bicubic"`, `"lanczos3"`, `"lanczos5"` or
            `"area"`.
        antialias: Whether the filter grows with the pixels when an image shrinks.
        crop_to_aspect_ratio: Whether the image is cut to the new aspect ratio first.
        pad_to_aspect_ratio: Whether it is padded to it first.
        fill_mode: `"constant"`.
        fill_value: What is padded with.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.

    Integers are rounded to the nearest and kept within their dtype.
    """
    if interpolation not in _INTERPOLATIONS:
        raise ValueError(f"resize: `interpolation` must be one of {_INTERPOLATIONS}. Received: "
                         f"interpolation={interpolation!r}")
    if fill_mode != "constant":
        raise ValueError("resize: `fill_mode` must be 'constant'. Received: "
                         f"fill_mode={fill_mode!r}")
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError("resize: only one of `crop_to_aspect_ratio` and `pad_to_aspect_ratio` "
                         "can be true")
    size = conv_family.whole_numbers("resize", "size", size, 2) \
        if isinstance(size, (tuple, list)) else conv_family.whole_numbers("resize", "size", None, 2)
    x, back = _images("resize", images, data_format)
    if crop_to_aspect_ratio:
        x = _aspect_crop(x, size)
    elif pad_to_aspect_ratio:
        x = _aspect_pad(x, size, fill_value)
    dtype, y = x.dtype, float_array(x)
    for axis, target in ((-3, size[0]), (-2, size[1])):
        if interpolation == "nearest":
            weights = _weights(x.shape[axis], target, interpolation, False)
            y = op.take(y, Tensor(weights.argmax(1).astype("int32")), len(y.shape) + axis)
            continue
        weights = Tensor(_weights(x.shape[axis], target, interpolation, antialias), y.dtype)
        y = arrays.moveaxis(op.matmul(arrays.moveaxis(y, axis, -1), weights, 0, 1), -1, axis)
    return back(y if y.dtype == dtype else saturate_cast(op.round(y), dtype))


def _amounts(name, kind, first, last, target, size, inside):
    """Amounts before and after an axis, of which one, or the target size, was left out."""
    if [first, last, target].count(None) != 1:
        raise ValueError(f"{name}: exactly two of both {kind} amounts and the target size of an "
                         f"axis must be given. Received: {first}, {last} and {target}")
    total = None if target is None else (size - target if inside else target - size)
    first = total - last if first is None else first
    last = total - first if last is None else last
    if first < 0 or last < 0 or (inside and first + last > size):
        raise ValueError(f"{name}: amounts must be >= 0 and leave something of the image. "
                         f"Received: {first} and {last} for an axis of size {size}")
    return int(first), int(last)


def pad_images(images, top_padding=None, left_padding=None, bottom_padding=None,
               right_padding=None, target_height=None, target_width=None, data_format=None):
    """Zeros around images; for each axis two of the amounts and the target size are given."""
    x, back = _images("pad_images", images, data_format)
    top, bottom = _amounts("pad_images", "padding", top_padding, bottom_padding, target_height,
                           x.shape[-3], False)
    left, right = _amounts("pad_images", "padding", left_padding, right_padding, target_width,
                           x.shape[-2], False)
    batch = (0,) * (len(x.shape) - 3)
    return back(op.pad(x, (*batch, top, left, 0, *batch, bottom, right, 0), 0.0))


def crop_images(images, top_cropping=None, left_cropping=None, bottom_cropping=None,
                right_cropping=None, target_height=None, target_width=None, data_format=None):
    """Images without their margins; for each axis two of the amounts and the target size are given.
    """
    x, back = _images("crop_images", images, data_format)
    h, w = x.shape[-3:-1]
    top, bottom = _amounts("crop_images", "cropping", top_cropping, bottom_cropping, target_height,
                           h, True)
    left, right = _amounts("crop_images", "cropping", left_cropping, right_cropping, target_width,
                           w, True)
    return back(x[..., top:h - bottom, left:w - right, :])


# ---- neighborhoods -------------------------------------------------------------------------------

def _patches_of(name, images, size, strides, dilation_rate, padding, data_format, axes):
    size = conv_family.whole_numbers(name, "size", size, axes)
    x, back = _images(name, images, data_format, (axes + 1, axes + 2))
    batched = len(x.shape) == axes + 2
    x = x if batched else op.reshape(x, (1, *x.shape))
    window = conv_family._window_of(name, x, size, axes, strides or size,
                                    conv_family.padding_of(name, padding), dilation_rate)
    y = window.cut(x)
    y = op.reshape(y, (*(x.shape[:1] if batched else ()), *window.positions,
                       math.prod(size) * x.shape[-1]))
    return back(y)


def extract_patches(images, size, strides=None, dilation_rate=1, padding="valid",
                    data_format=None):
    """The patches under a window, flat in the last axis; three sizes for volumes.

    Args:
        images: `(h, w, c)` or `(n, h, w, c)`.
        size: Integer or two (three: see `extract_patches_3d`) of them.
        strides: The same; `None` is `size`.
        dilation_rate: The same.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
    """
    axes = 3 if isinstance(size, (tuple, list)) and len(size) == 3 else 2
    return _patches_of("extract_patches", images, size, strides, dilation_rate, padding,
                       data_format, axes)


def extract_patches_3d(volumes, size, strides=None, dilation_rate=1, padding="valid",
                       data_format=None):
    """As `extract_patches`, of volumes `(d, h, w, c)` or `(n, d, h, w, c)`."""
    return _patches_of("extract_patches_3d", volumes, size, strides, dilation_rate, padding,
                       data_format, 3)


def gaussian_blur(images, kernel_size=(3, 3), sigma=(1.0, 1.0), data_format=None):
    """Every channel convolved with a normal distribution; beyond the borders are zeros.

    Args:
        images: `(h, w, c)` or `(n, h, w, c)`, floating point.
        kernel_size: Integer or two of them: height and width.
        sigma: Number or two: deviations along the width and along the height.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
    """
    size = conv_family.whole_numbers("gaussian_blur", "kernel_size", kernel_size, 2)
    sigma = tuple(float(s) for s in sigma) if isinstance(sigma, (tuple, list)) \
        else (float(sigma),) * 2
    if len(sigma) != 2 or min(sigma) <= 0:
        raise ValueError(f"gaussian_blur: `sigma` must be > 0, one or two numbers. Received: "
                         f"sigma={sigma}")
    x, back = _images("gaussian_blur", images, data_format)
    x = float_array(x)
    batched = len(x.shape) == 4
    y = x if batched else op.reshape(x, (1, *x.shape))
    for axis, (count, deviation) in enumerate(zip(size, sigma[::-1])):
        bell = np.exp(-0.5 * ((np.arange(count) - (count - 1) / 2) / deviation) ** 2)
        bell = (bell / bell.sum()).reshape((count, 1) if axis == 0 else (1, count))
        kernel = np.repeat(bell[:, :, None, None], x.shape[-1], 2)
        y = conv_family.depthwise_conv(y, Tensor(kernel, x.dtype), 1, "same", "channels_last")
    return back(y if batched else op.reshape(y, tuple(y.shape[1:])))


# ---- edges and likeness --------------------------------------------------------------------------

def sobel_edges(images, data_format=None):
    """How steeply images rise downwards and to the right: each pixel's neighbors weighted 1, 2, 1
    along the other axis, the difference of the two sides. Beyond the borders is the mirror.

    Args:
        images: `(n, h, w, c)`, floating point, `h` and `w` at least 2.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.

    Returns:
        The images with an axis of size 2 behind: down, right.
    """
    shape = tuple(tensor(images).shape)
    if len(shape) != 4:
        raise ValueError(f"sobel_edges: expected images of rank 4. Received: images.shape={shape}")
    x, back = _images("sobel_edges", images, data_format)
    if x.dtype not in _FLOATS or min(x.shape[1:3]) < 2:
        raise ValueError("sobel_edges: expected floating-point images of at least 2 x 2 pixels. "
                         f"Received: images.shape={shape}, dtype={x.dtype}")
    for axis in (1, 2):
        size = x.shape[axis]
        order = np.array([1, *range(size), size - 2], "int32")
        x = op.take(x, Tensor(order), axis)
    edges = []
    for axis, other in ((1, 2), (2, 1)):
        before, here, behind = _three(x, other)
        smooth = op.add(op.add(before, behind), op.multiply(here, 2.0))
        first, _, last = _three(smooth, axis)
        edges.append(back(op.subtract(last, first)))
    return arrays.stack(edges, -1)


def _three(x, axis):
    """`x` without the last two places of an axis, without the first and last, without the first
    two.
    """
    size = x.shape[axis]
    return [x[(slice(None),) * axis + (slice(first, size - 2 + first),)] for first in range(3)]


def ssim(image1, image2, max_val=1.0, filter_size=11, filter_sigma=1.5, k1=0.01, k2=0.03,
         data_format=None):
    """How alike images look (structural similarity): -1 to 1, which is the same image.

    Args:
        image1, image2: `(h, w, c)` or `(n, h, w, c)`, of one shape.
        max_val: The largest value that a pixel can have.
        filter_size: Integer > 0: the side of the window. Images must not be smaller.
        filter_sigma: Number > 0: the deviation of the weights in it.
        k1, k2: What keeps the quotients away from 0 / 0.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.

    Returns:
        A number for each image (one for a single image), in the dtype of `image1`.
    Reference: Wang et al., "Image quality assessment: from error visibility to structural
    similarity", 2004
    """
    (x, _), (y, _) = (_images("ssim", image, data_format) for image in (image1, image2))
    dtype = x.dtype
    x = float_array(x)
    y = cast_array(y, x.dtype)
    size = conv_family.whole_numbers("ssim", "filter_size", filter_size, 1)[0]
    if x.shape != y.shape or min(x.shape[-3:-1]) < size or not float(filter_sigma) > 0:
        raise ValueError("ssim: expected two images of one shape, at least `filter_size` high and "
                         "wide, and `filter_sigma` > 0. Received: shapes "
                         f"{tuple(tensor(image1).shape)} and {tuple(tensor(image2).shape)}, "
                         f"filter_size={filter_size}, filter_sigma={filter_sigma}")
    single = len(x.shape) == 3
    x, y = (op.reshape(z, (1, *z.shape)) if single else z for z in (x, y))
    c1, c2 = ((float(k) * float(max_val)) ** 2 for k in (k1, k2))
    bell = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / float(filter_sigma)) ** 2)
    bell = np.tile((bell / bell.sum())[:, None, None, None], (1, 1, x.shape[-1], 1))
    kernels = [Tensor(np.ascontiguousarray(k), x.dtype) for k in (bell, bell.swapaxes(0, 1))]

    def mean(z):
        for kernel in kernels:
            z = conv_family.depthwise_conv(z, kernel, 1, "valid", "channels_last")
        return z
    mx, my = mean(x), mean(y)
    square_x, square_y, both = op.square(mx), op.square(my), op.multiply(mx, my)
    spread = op.add(op.subtract(mean(op.square(x)), square_x),
                    op.subtract(mean(op.square(y)), square_y))
    shared = op.subtract(mean(op.multiply(x, y)), both)
    top = op.multiply(op.add(op.multiply(both, 2.0), c1), op.add(op.multiply(shared, 2.0), c2))
    bottom = op.multiply(op.add(op.add(square_x, square_y), c1), op.add(spread, c2))
    made = cast_array(_numpy.mean(op.divide(top, bottom), (1, 2, 3)), dtype)
    return op.reshape(made, ()) if single else made
