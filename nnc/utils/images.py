"""Pictures as arrays and back, by Pillow, which is imported when it is needed."""
import os

import numpy as np

from nnc import config

_RESAMPLE = {"nearest": 0, "bilinear": 2, "bicubic": 3, "lanczos": 1, "box": 4, "hamming": 5}
_MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}


def pillow(who):
    """The module `PIL.Image`."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(f"{who} needs Pillow: pip install pillow") from error
    return Image


def array_to_img(x, data_format=None, scale=True, dtype=None):
    """A Pillow image of an array.

    Args:
        x: Array of rank 3.
        data_format: Where the channels stand; by default as configured.
        scale: Whether the values are stretched to 0..255.
        dtype: What to compute in. Defaults to `floatx()`.
    """
    data_format = config.standardize_data_format(data_format)
    image = pillow("array_to_img")
    x = np.array(x, dtype=dtype or config.floatx())
    if x.ndim != 3:
        raise ValueError("array_to_img: expected an array of rank 3 (a single image). Received: "
                         f"shape={x.shape}")
    if data_format == "channels_first":
        x = x.transpose(1, 2, 0)
    if x.shape[2] not in (1, 3, 4):
        raise ValueError("array_to_img: an image has 1, 3 or 4 channels. Received: "
                         f"{x.shape[2]} channels")
    if scale:
        x = x - x.min()
        x = x / (x.max() or 1) * 255
    if x.shape[2] == 1:
        wide = x.max() > 255
        return image.fromarray(x[:, :, 0].astype("int32" if wide else "uint8"))
    return image.fromarray(x.astype("uint8"))


def img_to_array(img, data_format=None, dtype=None):
    """An array of rank 3 of a Pillow image.

    Args:
        img: The image.
        data_format: Where the channels shall stand; by default as configured.
        dtype: Defaults to `floatx()`.
    """
    data_format = config.standardize_data_format(data_format)
    x = np.asarray(img, dtype=dtype or config.floatx())
    if x.ndim not in (2, 3):
        raise ValueError(f"img_to_array: unsupported image shape. Received: shape={x.shape}")
    x = x[:, :, None] if x.ndim == 2 else x
    return x.transpose(2, 0, 1) if data_format == "channels_first" else x


def load_img(path, color_mode="rgb", target_size=None, interpolation="nearest",
             keep_aspect_ratio=False):
    """A Pillow image from a file.

    Args:
        path: Path, or a file open for reading.
        color_mode: `"grayscale"`, `"rgb"` or `"rgba"`.
        target_size: `(height, width)` to resize to, or `None`.
        interpolation: `"nearest"`, `"bilinear"`, `"bicubic"`, `"lanczos"`, `"box"`, `"hamming"`.
        keep_aspect_ratio: Whether the middle of the image is cut out in the target's proportions.
    """
    if color_mode not in _MODES:
        raise ValueError("load_img: `color_mode` must be 'grayscale', 'rgb' or 'rgba'. Received: "
                         f"color_mode={color_mode!r}")
    if interpolation not in _RESAMPLE:
        raise ValueError(f"load_img: `interpolation` must be one of {sorted(_RESAMPLE)}. "
                         f"Received: interpolation={interpolation!r}")
    image = pillow("load_img")
    img = image.open(os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else path)
    img.load()
    deep = color_mode == "grayscale" and img.mode in ("L", "I;16", "I")
    if img.mode != _MODES[color_mode] and not deep:
        img = img.convert(_MODES[color_mode])
    if target_size is None or img.size == (target_size[1], target_size[0]):
        return img
    size = (target_size[1], target_size[0])
    box = _middle(img.size, size) if keep_aspect_ratio else None
    return img.resize(size, _RESAMPLE[interpolation], box=box)


def _middle(size, target):
    """The largest box of the target's proportions in the middle of an image."""
    width = min(size[0], size[1] * target[0] // target[1])
    height = min(size[1], size[0] * target[1] // target[0])
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return left, top, left + width, top + height


def save_img(path, x, data_format=None, file_format=None, scale=True, **kwargs):
    """Writes an array as an image file.

    Args:
        path: Path, or a file open for writing.
        x: Array of rank 3.
        data_format: Where the channels stand; by default as configured.
        file_format: By default what the path ends with.
        scale: Whether the values are stretched to 0..255.
        **kwargs: Given to Pillow's `save`.
    """
    if file_format is None and isinstance(path, (str, os.PathLike)):
        file_format = os.path.splitext(os.fspath(path))[1][1:].lower()
    if file_format and file_format.lower() == "jpg":
        file_format = "jpeg"
    img = array_to_img(x, data_format=data_format, scale=scale)
    if img.mode == "RGBA" and file_format == "jpeg":
        img = img.convert("RGB")                    # JPEG has no transparency
    img.save(path, format=file_format, **kwargs)


def read_image(path, size, color_mode, interpolation, fit, data_format):
    """A float32 array of `size` from a file; `fit` is `None`, `"crop"` or `"pad"`.

    The numbers are Keras's: `interpolation` is that of `ops.image.resize`, which, unlike Pillow,
    takes no averages where it makes a picture smaller.
    """
    from nnc import ops

    x = img_to_array(load_img(path, color_mode), "channels_last", "float32")
    part, edges = tuple(size), None
    if fit == "crop":
        x = smart_resize(x, size, interpolation, "channels_last")
    elif fit == "pad":
        share = max(x.shape[0] / size[0], x.shape[1] / size[1])
        exact = [n / share for n in x.shape[:2]]
        part = tuple(max(int(n), 1) for n in exact)
        before = [int((n - m) / 2) for n, m in zip(size, exact)]
        edges = [(k, n - m - k) for n, m, k in zip(size, part, before)]
    if x.shape[:2] != part:
        x = ops.image.resize(x, part, interpolation, data_format="channels_last").numpy()
    if edges is not None:
        x = np.pad(x, (*edges, (0, 0)))
    first = config.standardize_data_format(data_format) == "channels_first"
    return x.transpose(2, 0, 1) if first else x


def smart_resize(x, size, interpolation="bilinear", data_format="channels_last"):
    """Images in another size without a change of proportions: what does not fit is cut off.

    The largest part of the target's proportions is taken from the middle, then resized.

    Args:
        x: An image `(height, width, channels)` or a batch of images.
        size: `(height, width)`.
        interpolation: See `ops.image.resize`.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        An array if `x` is one, else a tensor, with the dtype that `ops.image.resize` gives.
    """
    from nnc import _core, ops

    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise ValueError("smart_resize: `size` must be a tuple of 2 integers. Received: "
                         f"size={size!r}")
    data_format = config.standardize_data_format(data_format)
    images = _core.convert(x)
    if len(images.shape) not in (3, 4):
        raise ValueError("smart_resize: expected an image of shape (height, width, channels) or a "
                         f"batch of images. Received: shape={tuple(images.shape)}")
    last = data_format == "channels_last"
    height, width = images.shape[-3:-1] if last else images.shape[-2:]
    rows = max(min(height, int(width * size[0] / size[1])), 1)
    columns = max(min(width, int(height * size[1] / size[0])), 1)
    top, left = int((height - rows) / 2), int((width - columns) / 2)
    part = (slice(top, top + rows), slice(left, left + columns))
    images = images[(..., *part, slice(None))] if last else images[(..., *part)]
    images = ops.image.resize(images, tuple(size), interpolation=interpolation,
                              data_format=data_format)
    return images.numpy() if isinstance(x, np.ndarray) else images
