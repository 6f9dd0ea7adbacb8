"""The base of layers that change images, and what goes with them: labels, boxes, masks.

A call draws a transformation once (`get_random_transformation`) and applies it to each part of the
data. With `training=False` nothing is changed at random.
"""
from ... import config, ops, random
from ..._core import Tensor
from ...ops.core import cast_array
from ...random.seed_generator import SeedGenerator
from ..arrays import numeric_array
from ..keras_tensor import KerasTensor
from ..preprocessing import DataLayer


class BaseImagePreprocessingLayer(DataLayer):
    """Base class: override `get_random_transformation` and the `transform_...` methods.

    Args:
        factor: A number or a pair, within `_FACTOR_BOUNDS`; only where `_USE_BASE_FACTOR`.
        bounding_box_format: The format of bounding boxes; needed if there are any.
        data_format: `"channels_last"` or `"channels_first"`.
        **kwargs: See `Layer`.

    The input is an array of images `(batch_size, height, width, channels)`, one image, or a dict with
    `"images"` and perhaps `"labels"`, `"bounding_boxes"` (a dict of `"boxes"` and `"labels"`) and
    `"segmentation_masks"`. A dict gives a new dict.
    """

    _USE_BASE_FACTOR = True
    _FACTOR_BOUNDS = (-1, 1)

    def __init__(self, factor=None, bounding_box_format=None, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.bounding_box_format = bounding_box_format
        self.data_format = config.image_data_format() if data_format is None else data_format
        if self.data_format not in ("channels_last", "channels_first"):
            raise ValueError(f"{type(self).__name__}: `data_format` must be 'channels_last' or "
                             f"'channels_first'. Received: data_format={data_format!r}")
        if self._USE_BASE_FACTOR:
            self._set_factor(factor or 0.0)
        elif factor is not None:
            raise ValueError(f"{type(self).__name__} does not take `factor`. Received: "
                             f"factor={factor}")
        self.autocast = False
        self._build_at_init()

    # ---- arguments ----

    def _range_of(self, name, value):
        """A number (from its negative, or the lower bound, to it) or a pair, as a sorted pair."""
        low, high = self._FACTOR_BOUNDS
        pair = isinstance(value, (tuple, list)) and len(value) == 2
        single = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (pair and value[0] <= high and value[1] >= low or single and low <= value <= high):
            raise ValueError(f"{type(self).__name__}: `{name}` must be a number, or a pair of "
                             f"numbers, from {low} to {high}. Received: {name}={value!r}")
        return tuple(sorted(value)) if pair else (max(-abs(value), low), abs(value))

    def _set_factor(self, factor):
        self.factor = self._range_of("factor", factor)

    def _set_value_range(self, value_range):
        if not isinstance(value_range, (tuple, list)) or len(value_range) != 2:
            raise ValueError(f"{type(self).__name__}: `value_range` must be a pair of numbers. "
                             f"Received: value_range={value_range!r}")
        self.value_range = sorted(value_range)

    def _set_seed(self, seed):
        self.seed = seed
        self.generator = SeedGenerator(seed)

    # ---- what is drawn ----

    def _shape(self, data):
        shape = tuple((data["images"] if isinstance(data, dict) else data).shape)
        if len(shape) not in (3, 4):
            raise ValueError(f"{type(self).__name__} layer '{self.name}': images must have 3 axes, "
                             f"or 4 in a batch. Received: shape={shape}")
        return shape

    def _batch(self, data):
        """How many images; 1 for a single one."""
        shape = self._shape(data)
        return shape[0] if len(shape) == 4 else 1

    def _size(self, shape):
        """Height and width of a shape."""
        return shape[-3:-1] if self.data_format == "channels_last" else shape[-2:]

    def _uniform(self, shape, low, high, seed, dtype=None):
        return random.uniform(shape, low, high, dtype or self.compute_dtype,
                              self.generator if seed is None else seed)

    def _of_each(self, data):
        """The shape of a number for each image, and the axes of images."""
        return (self._batch(data), 1, 1, 1)

    def get_random_transformation(self, data, training=True, seed=None):
        """What is drawn for data: any nest of arrays, or `None`."""
        return None

    # ---- parts of the data ----

    def transform_images(self, images, transformation, training=True):
        """Images, transformed."""
        images = cast_array(images, self.compute_dtype)
        return self._transform_images(images, transformation, self.interpolation) if training \
            else images

    def _transform_images(self, images, transformation, interpolation):
        raise NotImplementedError

    def transform_labels(self, labels, transformation, training=True):
        """The images' labels: as they are, unless overridden."""
        return labels

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        """Dict of boxes and their labels."""
        raise NotImplementedError

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        """Masks: as images."""
        return self._transform_images(segmentation_masks, transformation, "nearest") if training \
            else segmentation_masks

    def _single(self, method, value, transformation, training):
        made = method({key: ops.expand_dims(part, 0) for key, part in value.items()}
                      if isinstance(value, dict) else ops.expand_dims(value, 0), transformation,
                      training=training)
        return {key: ops.squeeze(part, 0) for key, part in made.items()} \
            if isinstance(made, dict) else ops.squeeze(made, 0)

    def transform_single_image(self, image, transformation, training=True):
        """One image."""
        return self._single(self.transform_images, image, transformation, training)

    def transform_single_label(self, label, transformation, training=True):
        """The label of one image."""
        return self._single(self.transform_labels, label, transformation, training)

    def transform_single_bounding_box(self, bounding_box, transformation, training=True):
        """The boxes of one image."""
        return self._single(self.transform_bounding_boxes, bounding_box, transformation, training)

    def transform_single_segmentation_mask(self, segmentation_mask, transformation, training=True):
        """One mask."""
        return self._single(self.transform_segmentation_masks, segmentation_mask, transformation,
                            training)

    # ---- calling ----

    def _convert(self, value, positional):
        if positional and isinstance(value, dict):
            return {key: self._boxes_of(part) if key == "bounding_boxes"
                    else self._array_of(part, key) for key, part in value.items()}
        return self._array_of(value, "input") if positional else super()._convert(value, positional)

    def _array_of(self, value, key):
        if isinstance(value, (Tensor, KerasTensor)):
            return value
        return ops.convert_to_tensor(numeric_array(
            value, f"{type(self).__name__} layer '{self.name}': `{key}`"))

    def _boxes_of(self, value):
        """Boxes and labels as tensors; rows of different lengths are filled with 0 and -1."""
        who = f"{type(self).__name__} layer '{self.name}'"
        if not isinstance(value, dict) or not {"boxes", "labels"} <= set(value):
            raise ValueError(f"{who}: `bounding_boxes` must be a dict with 'boxes' and 'labels'. "
                             f"Received: {sorted(value) if isinstance(value, dict) else value!r}")
        if not self.bounding_box_format:
            raise ValueError(f"{who}: for bounding boxes `bounding_box_format` must be passed to "
                             "the layer, such as 'xyxy'.")
        boxes, labels = value["boxes"], value["labels"]
        if isinstance(boxes, list) and boxes and isinstance(boxes[0], list) and len(
                {len(row) for row in boxes}) > 1:
            most = max(len(row) for row in boxes)
            boxes = [row + [[0, 0, 0, 0]] * (most - len(row)) for row in boxes]
            labels = [list(row) + [-1] * (most - len(row)) for row in labels]
        return {**value, "boxes": cast_array(self._array_of(boxes, "boxes"), "float32"),
                "labels": self._array_of(labels, "labels")}

    def call(self, data, training=True):
        transformation = self.get_random_transformation(data, training=training)
        single = len(self._shape(data)) == 3
        methods = {"images": (self.transform_images, self.transform_single_image),
                   "labels": (self.transform_labels, self.transform_single_label),
                   "bounding_boxes": (self.transform_bounding_boxes,
                                      self.transform_single_bounding_box),
                   "segmentation_masks": (self.transform_segmentation_masks,
                                          self.transform_single_segmentation_mask)}
        if not isinstance(data, dict):
            return methods["images"][single](data, transformation, training=training)
        return {key: methods[key][single](part, transformation, training=training)
                if key in methods else part for key, part in data.items()}

    def get_config(self):
        made = {**super().get_config(), "data_format": self.data_format}
        if self.bounding_box_format is not None:
            made["bounding_box_format"] = self.bounding_box_format
        return made

    def _scaled(self, images, source, target):
        """Values of one range as those of another."""
        if tuple(source) == tuple(target):
            return images
        images = cast_array(images, self.compute_dtype)
        share = (images - source[0]) / (source[1] - source[0])
        return share * (target[1] - target[0]) + target[0]


class ColorLayer(BaseImagePreprocessingLayer):
    """Base of layers that change colors only: everything else stays."""

    def compute_output_shape(self, input_shape):
        return input_shape

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        """As they are."""
        return bounding_boxes

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        """As they are."""
        return segmentation_masks

    def get_config(self):
        names = ("factor", "value_range", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names
                                           if hasattr(self, name)}}
