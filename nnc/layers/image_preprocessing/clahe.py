"""Equalization by tiles: each pixel goes through the tables of the four tiles around it."""
import numpy as np

from ... import ops
from ...ops.core import cast_array
from .base import ColorLayer

_VALUES = 256


def _around(size, tiles):
    """For an axis cut into tiles: their length, the places that fill them up (the edge mirrored),
    and for each place the tile before and behind, and the share of the latter (float32).
    """
    length = -(-size // tiles)
    padded = length * tiles
    places = np.pad(np.arange(size), (0, padded - size), "symmetric").astype("int32")
    at = (np.arange(size, dtype="float32") - np.float32(length / 2)) / np.float32(length) + 1
    before = np.floor(at)
    first, second = (np.clip(before + i, 0, tiles - 1).astype("int32") for i in (-1, 0))
    return length, places, first, second, at - before


class ContrastLimitedAdaptiveHistogramEqualization(ColorLayer):
    """Spreads the values of each channel within tiles of an image, so that all are about equally
    frequent there; flat tiles are kept from gaining too much contrast.

    Args:
        value_range: The lowest and highest value. Defaults to `(0, 255)`.
        clip_limit: A number >= 0: how many times as frequent as the mean a value may count; what is
            beyond goes to all values alike. 0: no limit. Defaults to 4.0.
        tile_grid_size: Two integers > 0: tiles along the height and the width. Defaults to
            `(8, 8)`.
        data_format, **kwargs: See `BaseImagePreprocessingLayer`.

    Input and output: images of the same shape and dtype, with `training=False` too.

    Reference: Zuiderveld, "Contrast limited adaptive histogram equalization", 1994
    """

    _USE_BASE_FACTOR = False

    def __init__(self, value_range=(0, 255), clip_limit=4.0, tile_grid_size=(8, 8),
                 data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self._set_value_range(value_range)
        if isinstance(clip_limit, bool) or not isinstance(clip_limit, (int, float)) \
                or not clip_limit >= 0:
            raise ValueError(f"{type(self).__name__}: `clip_limit` must be a number >= 0. "
                             f"Received: clip_limit={clip_limit!r}")
        if not isinstance(tile_grid_size, (tuple, list)) or len(tile_grid_size) != 2 or not all(
                type(n) is int and n > 0 for n in tile_grid_size):
            raise ValueError(f"{type(self).__name__}: `tile_grid_size` must be two integers > 0. "
                             f"Received: tile_grid_size={tile_grid_size!r}")
        self.clip_limit, self.tile_grid_size = clip_limit, tuple(tile_grid_size)

    def transform_images(self, images, transformation=None, training=True):
        if len(images.shape) == 3:
            return self.transform_single_image(images, transformation, training=training)
        dtype, last = images.dtype, self.data_format == "channels_last"
        x = cast_array(images, "float32")
        x = self._scaled(x if last else ops.transpose(x, (0, 2, 3, 1)), self.value_range, (0, 255))
        x = self._scaled(self._equalized(x), (0, 255), self.value_range)
        return cast_array(x if last else ops.transpose(x, (0, 3, 1, 2)), dtype)

    def _equalized(self, x):
        n, height, width, channels = x.shape
        rows, columns = self.tile_grid_size
        tall, down, top, bottom, y = _around(height, rows)
        wide, right, left, other, x_share = _around(width, columns)
        places = ops.cast(ops.clip(x, 0, _VALUES - 1), "int32")
        tables = self._tables(ops.take(ops.take(places, down, axis=1), right, axis=2),
                              (n, rows, tall, columns, wide, channels))
        first = np.arange(n, dtype="int32").reshape(n, 1, 1, 1)
        color = np.arange(channels, dtype="int32")

        def read(row, column):
            tile = (first * rows + row.reshape(-1, 1, 1)) * columns + column.reshape(-1, 1)
            return ops.take(tables, ops.add((tile * channels + color) * _VALUES, places))

        def mixed(a, b, share):
            return a * (1.0 - share) + b * share
        x_share, y = x_share.reshape(-1, 1), y.reshape(-1, 1, 1)
        return mixed(mixed(read(top, left), read(top, other), x_share),
                     mixed(read(bottom, left), read(bottom, other), x_share), y)

    def _tables(self, places, shape):
        """What each value becomes in each tile and channel, flat."""
        n, rows, tall, columns, wide, channels = shape
        count, size = n * rows * columns * channels, tall * wide
        tiles = ops.transpose(ops.reshape(places, shape), (0, 1, 3, 5, 2, 4))
        ids = ops.reshape(tiles, (count, size)) + np.arange(
            count, dtype="int32").reshape(count, 1) * _VALUES
        ids = ops.reshape(ids, (-1,))
        found = ops.cast(ops.segment_sum(ops.ones(ids.shape, "int32"), ids, count * _VALUES),
                         "float32")
        found = ops.reshape(found, (count, _VALUES))
        if self.clip_limit > 0:
            limited = ops.minimum(found, self.clip_limit * size / _VALUES)
            found = limited + ops.sum(found - limited, -1, keepdims=True) / _VALUES
        total = ops.cumsum(found, -1)
        least = ops.min(total, -1, keepdims=True)
        rest = float(size) - least
        rest = ops.where(ops.equal(rest, 0.0), 1.0, rest)
        return ops.reshape(ops.clip((total - least) * 255.0 / rest, 0, 255), (-1,))

    def get_config(self):
        return {**super().get_config(), "clip_limit": self.clip_limit,
                "tile_grid_size": self.tile_grid_size}
