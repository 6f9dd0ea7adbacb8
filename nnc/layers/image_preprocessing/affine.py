"""Layers that move, turn, scale and shear images at random, with their masks and bounding boxes.

Each draws the eight numbers of `ops.image.affine_transform`, which lead from places in the output to
places in the input; boxes go the other way: the box around the four corners, cut at the edges.
"""
import math

from ... import ops
from ...ops.core import cast_array
from ...utils import bounding_boxes as boxes_in
from .base import BaseImagePreprocessingLayer


class _Affine(BaseImagePreprocessingLayer):
    """Base: `_numbers` gives a0, a1, a2, b0, b1, b2, each of shape `(batch_size,)`."""

    def __init__(self, fill_mode, interpolation, seed, fill_value, data_format, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        for name, value, known in (
                ("fill_mode", fill_mode, ("reflect", "wrap", "constant", "nearest")),
                ("interpolation", interpolation, ("nearest", "bilinear"))):
            if value not in known:
                raise ValueError(f"{type(self).__name__}: `{name}` must be one of {known}. "
                                 f"Received: {name}={value!r}")
        self.fill_mode, self.interpolation = fill_mode, interpolation
        self.fill_value = fill_value
        self._set_seed(seed)

    def _pair_of(self, name, value, low=-1.0, high=1.0):
        """A number as the range to both sides of 0; or a pair, sorted; all within bounds."""
        pair = isinstance(value, (tuple, list)) and len(value) == 2
        numbers = value if pair else (value,)
        if not all(isinstance(n, (int, float)) and low <= n <= high for n in numbers):
            raise ValueError(f"{type(self).__name__}: `{name}` must be a number, or a pair of "
                             f"numbers, from {low} to {high}. Received: {name}={value!r}")
        return tuple(sorted(value)) if pair else (-abs(value), abs(value))

    def _numbers(self, transformation, height, width):
        raise NotImplementedError

    def _transform_images(self, images, transformation, interpolation):
        if transformation is None:
            return images
        numbers = self._numbers(transformation, *self._size(images.shape))
        none = ops.zeros_like(numbers[0])
        return ops.image.affine_transform(
            images, ops.stack([*numbers, none, none], axis=1), interpolation, self.fill_mode,
            self.fill_value, self.data_format)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        """The boxes around where their corners go; those outside get the label -1."""
        if not training or transformation is None:
            return bounding_boxes
        height, width = self._size(transformation["input_shape"])
        boxes = boxes_in.convert_format(bounding_boxes, self.bounding_box_format, "xyxy", height,
                                        width)
        a0, a1, a2, b0, b1, b2 = (ops.reshape(n, (-1, 1, 1)) for n in self._numbers(
            transformation, height, width))
        x1, y1, x2, y2 = (boxes["boxes"][..., i:i + 1] for i in range(4))
        xs = ops.concatenate([x1, x2, x2, x1], -1) - a2
        ys = ops.concatenate([y1, y1, y2, y2], -1) - b2
        area = a0 * b1 - a1 * b0
        xs, ys = (b1 * xs - a1 * ys) / area, (a0 * ys - b0 * xs) / area
        corners = [ops.min(xs, -1), ops.min(ys, -1), ops.max(xs, -1), ops.max(ys, -1)]
        boxes = boxes_in.clip_to_image_size({**boxes, "boxes": ops.stack(corners, -1)}, height,
                                            width)
        return boxes_in.convert_format(boxes, "xyxy", self.bounding_box_format, height, width)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "fill_mode": self.fill_mode,
                "interpolation": self.interpolation, "seed": self.seed,
                "fill_value": self.fill_value}


class _Moving(_Affine):
    """Base of layers with Keras's helper for places."""

    def get_transformed_x_y(self, x, y, transform):
        """Where the eight numbers of `transform` (last axis) lead the places `x`, `y`."""
        a0, a1, a2, b0, b1, b2, c0, c1 = ops.split(transform, 8, axis=-1)
        depth = c0 * x + c1 * y + 1.0
        return (a0 * x + a1 * y + a2) / depth, (b0 * x + b1 * y + b2) / depth


class _Shifting(_Moving):
    """Base of layers with Keras's helper for boxes that move."""

    def get_shifted_bbox(self, bounding_boxes, w_shift_factor, h_shift_factor):
        """A new dict with boxes (`xyxy`) moved left and up by these numbers, one an image."""
        boxes = ops.convert_to_tensor(bounding_boxes["boxes"])
        left, up = (ops.convert_to_tensor(n, boxes.dtype)
                    for n in (w_shift_factor, h_shift_factor))
        if len(boxes.shape) == 3:
            left, up = ops.expand_dims(left, -1), ops.expand_dims(up, -1)
        x1, y1, x2, y2 = ops.split(boxes, 4, axis=-1)
        return {**bounding_boxes, "boxes": ops.concatenate(
            [x1 - left, y1 - up, x2 - left, y2 - up], axis=-1)}


class RandomRotation(_Affine):
    """Turns images about their middle.

    Args:
        factor: A number or a pair, from -1 to 1: the range of the angle, in full turns. A positive
            one turns against the clock.
        fill_mode, interpolation, fill_value, data_format: See `ops.image.affine_transform`.
            `fill_mode` defaults to `"reflect"`.
        seed: Seed.
        **kwargs: See `BaseImagePreprocessingLayer`.
    """

    def __init__(self, factor, fill_mode="reflect", interpolation="bilinear", seed=None,
                 fill_value=0.0, data_format=None, **kwargs):
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, factor=factor,
                         **kwargs)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        low, high = (n * 360.0 for n in self.factor)
        return {"angle": self._uniform((self._batch(data),), low, high, seed, "float32"),
                "input_shape": self._shape(data)}

    def _numbers(self, transformation, height, width):
        angle = transformation["angle"] * (math.pi / 180.0)
        cos, sin = ops.cos(angle), ops.sin(angle)
        x, y = (width - 1) / 2.0, (height - 1) / 2.0
        return cos, -sin, x - x * cos + y * sin, sin, cos, y - x * sin - y * cos

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


class RandomTranslation(_Shifting):
    """Moves images.

    Args:
        height_factor, width_factor: A number or a pair, from -1 to 1: the range of the way, as a share
            of the height and width; down and to the right.
        fill_mode, interpolation, fill_value, seed, data_format, **kwargs: See `RandomRotation`.
    """

    _USE_BASE_FACTOR = False

    def __init__(self, height_factor, width_factor, fill_mode="reflect", interpolation="bilinear",
                 seed=None, fill_value=0.0, data_format=None, **kwargs):
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **kwargs)
        self.height_factor, self.width_factor = height_factor, width_factor
        self._height = self._pair_of("height_factor", height_factor)
        self._width = self._pair_of("width_factor", width_factor)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        height, width = self._size(self._shape(data))
        batch = (self._batch(data), 1)
        down = self._uniform(batch, *self._height, seed, "float32") * height
        right = self._uniform(batch, *self._width, seed, "float32") * width
        return {"translations": ops.concatenate([right, down], axis=1),
                "input_shape": self._shape(data)}

    def _numbers(self, transformation, height, width):
        right, down = (cast_array(transformation["translations"], "float32")[:, i] for i in (0, 1))
        one, none = ops.ones_like(right), ops.zeros_like(right)
        return one, none, -right, none, one, -down

    def get_config(self):
        return {**super().get_config(), "height_factor": self.height_factor,
                "width_factor": self.width_factor}


class RandomZoom(_Moving):
    """Shrinks and enlarges images about their middle.

    Args:
        height_factor, width_factor: A number or a pair, from -1 (not included) to 1: 0.2 shows a fifth
            more of the height or width, -0.2 a fifth less. `width_factor=None` keeps the aspect ratio.
        fill_mode, interpolation, fill_value, seed, data_format, **kwargs: See `RandomRotation`.
    """

    _USE_BASE_FACTOR = False

    def __init__(self, height_factor, width_factor=None, fill_mode="reflect",
                 interpolation="bilinear", seed=None, fill_value=0.0, data_format=None, **kwargs):
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **kwargs)
        least = math.nextafter(-1.0, 0.0)
        self.height_factor, self.width_factor = height_factor, width_factor
        self._height = self._pair_of("height_factor", height_factor, least)
        self._width = None if width_factor is None else \
            self._pair_of("width_factor", width_factor, least)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        batch = (self._batch(data), 1)
        tall = self._uniform(batch, 1.0 + self._height[0], 1.0 + self._height[1], seed, "float32")
        wide = tall if self._width is None else self._uniform(
            batch, 1.0 + self._width[0], 1.0 + self._width[1], seed, "float32")
        return {"height_zoom": tall, "width_zoom": wide, "input_shape": self._shape(data)}

    def _numbers(self, transformation, height, width):
        tall, wide = (cast_array(ops.reshape(transformation[name], (-1,)), "float32")
                      for name in ("height_zoom", "width_zoom"))
        none = ops.zeros_like(tall)
        return (wide, none, (width - 1.0) / 2.0 * (1.0 - wide),
                none, tall, (height - 1.0) / 2.0 * (1.0 - tall))

    def get_clipped_bbox(self, bounding_boxes, h_end, h_start, w_end, w_start):
        """A new dict with boxes (`xyxy`) cut at these edges, one an image, and counted from the
        upper left one."""
        boxes = ops.convert_to_tensor(bounding_boxes["boxes"])
        edges = [ops.convert_to_tensor(n, boxes.dtype) for n in (h_end, h_start, w_end, w_start)]
        if len(boxes.shape) == 3:
            edges = [ops.expand_dims(edge, -1) for edge in edges]
        h_end, h_start, w_end, w_start = edges
        ends = (w_start, w_end), (h_start, h_end), (w_start, w_end), (h_start, h_end)
        return {**bounding_boxes, "boxes": ops.concatenate(
            [ops.minimum(ops.maximum(part, low), high) - low
             for part, (low, high) in zip(ops.split(boxes, 4, axis=-1), ends)], axis=-1)}

    def get_config(self):
        return {**super().get_config(), "height_factor": self.height_factor,
                "width_factor": self.width_factor}


class RandomShear(_Shifting):
    """Shears images, to either side.

    Args:
        x_factor, y_factor: A number or a pair, from 0 to 1: the range of the shift of a row, per row,
            and of a column, per column.
        interpolation, fill_mode, fill_value, data_format, seed, **kwargs: See `RandomRotation`.

    Bounding boxes follow the image. (Keras 3.15 shears them as if it were a square.)
    """

    _USE_BASE_FACTOR = False

    def __init__(self, x_factor=0.0, y_factor=0.0, interpolation="bilinear", fill_mode="reflect",
                 fill_value=0.0, data_format=None, seed=None, **kwargs):
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **kwargs)
        self.x_factor, self.y_factor = self._shear("x_factor", x_factor), \
            self._shear("y_factor", y_factor)

    def _shear(self, name, value):
        # What a configuration holds: a pair made of one number, from its negative on.
        if isinstance(value, (tuple, list)) and len(value) == 2 and value[0] == -value[1]:
            value = value[1]
        return self._pair_of(name, value, 0.0)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        batch = (self._batch(data), 1)
        side = ops.where(ops.greater(self._uniform(batch, 0, 1, seed), 0.5), -1.0, 1.0)
        y, x = (self._uniform(batch, *factor, seed) for factor in (self.y_factor, self.x_factor))
        return {"shear_factor": ops.concatenate([x, y], axis=1) * side,
                "input_shape": self._shape(data)}

    def _numbers(self, transformation, height, width):
        x, y = (cast_array(transformation["shear_factor"], "float32")[:, i] for i in (0, 1))
        one, none = ops.ones_like(x), ops.zeros_like(x)
        return one, x, none, y, one, none

    def get_config(self):
        return {**super().get_config(), "x_factor": self.x_factor, "y_factor": self.y_factor}
