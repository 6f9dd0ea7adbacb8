"""RandomPerspective: images as if seen from the side."""
from ... import ops
from ...ops.core import cast_array
from ...ops.sampling import homography
from ...utils import bounding_boxes as boxes_in
from .base import BaseImagePreprocessingLayer


class RandomPerspective(BaseImagePreprocessingLayer):
    """Moves the corners of some images, each by itself.

    Args:
        factor: A number or a pair, from 0 to 1: the range of the probability. Defaults to 1.
        scale: How far, from 0 to 1: each coordinate of a corner is multiplied by a number from
            `1 - scale / 2` to `1 + scale / 2`. Defaults to 1.
        interpolation, fill_value, data_format: See `ops.image.perspective_transform`.
        seed: Seed.
        **kwargs: See `BaseImagePreprocessingLayer`.
    """

    _USE_BASE_FACTOR = False
    _FACTOR_BOUNDS = (0, 1)

    def __init__(self, factor=1.0, scale=1.0, interpolation="bilinear", fill_value=0.0, seed=None,
                 data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self._set_factor(factor)
        if not isinstance(scale, (int, float)) or not 0 <= scale <= 1:
            raise ValueError("RandomPerspective: `scale` must be a number from 0 to 1. Received: "
                             f"scale={scale!r}")
        if interpolation not in ("nearest", "bilinear"):
            raise ValueError("RandomPerspective: `interpolation` must be 'nearest' or 'bilinear'. "
                             f"Received: interpolation={interpolation!r}")
        self.scale, self.interpolation, self.fill_value = scale, interpolation, fill_value
        self._set_seed(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        batch = self._batch(data)
        height, width = self._size(self._shape(data))
        probability = self._uniform((batch,), *self.factor, seed)
        chosen = ops.less(self._uniform((batch,), 0, 1, seed), probability)
        x, y = width - 1.0, height - 1.0
        start = ops.tile(ops.convert_to_tensor([[[0.0, 0.0], [x, 0.0], [0.0, y], [x, y]]],
                                               self.compute_dtype), (batch, 1, 1))
        moved = self._uniform((batch, 4, 2), -0.5 * self.scale, 0.5 * self.scale, seed)
        return {"apply_perspective": chosen, "start_points": start,
                "end_points": start + start * moved, "input_shape": self._shape(data)}

    def _transform_images(self, images, transformation, interpolation):
        if transformation is None:
            return images
        made = ops.image.perspective_transform(
            images, transformation["start_points"], transformation["end_points"], interpolation,
            self.fill_value, self.data_format)
        return ops.where(ops.reshape(transformation["apply_perspective"], (-1, 1, 1, 1)), made,
                         images)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        """The boxes around where their corners go; those outside get the label -1."""
        if not training or transformation is None:
            return bounding_boxes
        height, width = self._size(transformation["input_shape"])
        form = self.bounding_box_format
        boxes = boxes_in.convert_format(bounding_boxes, form, "xyxy", height, width)
        numbers = homography(transformation["end_points"], transformation["start_points"])
        a0, a1, a2, b0, b1, b2, c0, c1 = (ops.reshape(numbers[:, i], (-1, 1, 1))
                                          for i in range(8))
        x1, y1, x2, y2 = (boxes["boxes"][..., i:i + 1] for i in range(4))
        xs, ys = ops.concatenate([x1, x2, x2, x1], -1), ops.concatenate([y1, y1, y2, y2], -1)
        depth = c0 * xs + c1 * ys + 1.0
        xs, ys = (a0 * xs + a1 * ys + a2) / depth, (b0 * xs + b1 * ys + b2) / depth
        moved = ops.stack([ops.min(xs, -1), ops.min(ys, -1), ops.max(xs, -1), ops.max(ys, -1)], -1)
        chosen = ops.reshape(transformation["apply_perspective"], (-1, 1, 1))
        boxes = boxes_in.clip_to_image_size(
            {**boxes, "boxes": ops.where(chosen, cast_array(moved, "float32"), boxes["boxes"])},
            height, width)
        return boxes_in.convert_format(boxes, "xyxy", form, height, width)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "factor": self.factor, "scale": self.scale,
                "interpolation": self.interpolation, "fill_value": self.fill_value,
                "seed": self.seed}
