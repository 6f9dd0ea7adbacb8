"""Layers that cut, resize and flip images, with their masks and bounding boxes."""
from ... import ops
from ...ops.core import cast_array
from ...utils import bounding_boxes as boxes_in
from ..keras_tensor import KerasTensor
from .base import BaseImagePreprocessingLayer


class _Sized(BaseImagePreprocessingLayer):
    """Base of layers whose images have a given size."""

    _USE_BASE_FACTOR = False

    def __init__(self, height, width, data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        for name, size in (("height", height), ("width", width)):
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ValueError(f"{type(self).__name__}: `{name}` must be an integer > 0. "
                                 f"Received: {name}={size!r}")
        self.height, self.width = height, width

    def _sized(self, shape):
        shape = list(shape)
        at = -3 if self.data_format == "channels_last" else -2
        shape[at], shape[at + 1] = self.height, self.width
        return tuple(shape)

    def compute_output_shape(self, input_shape):
        if isinstance(input_shape, dict):
            return {key: self._sized(part) if key in ("images", "segmentation_masks") else part
                    for key, part in input_shape.items()}
        return self._sized(input_shape)

    def _window(self, images, top, left, height, width):
        """Rows from `top` on and columns from `left` on; both may be tensors."""
        at = len(images.shape) - (3 if self.data_format == "channels_last" else 2)
        rows = ops.arange(height, dtype="int32") + top
        columns = ops.arange(width, dtype="int32") + left
        return ops.take(ops.take(images, rows, axis=at), columns, axis=at + 1)

    def _largest(self, height, width):
        """The largest window in the middle that has the aspect ratio: `(top, left, height, width)`.
        """
        h = max(min(height, int(float(width * self.height) / self.width)), 1)
        w = max(min(width, int(float(height * self.width) / self.height)), 1)
        return (height - h) // 2, (width - w) // 2, h, w

    def _resized(self, images, interpolation="bilinear", **options):
        return ops.image.resize(images, (self.height, self.width), interpolation,
                                data_format=self.data_format, **options)

    def _in_pixels(self, boxes, height, width):
        return boxes_in.convert_format(boxes, self.bounding_box_format, "xyxy", height, width)

    def _clipped(self, boxes):
        """Boxes in pixels, cut at the edges of the output, in the user's format."""
        boxes = boxes_in.clip_to_image_size(boxes, self.height, self.width)
        return boxes_in.convert_format(boxes, "xyxy", self.bounding_box_format, self.height,
                                       self.width)

    def get_config(self):
        return {**super().get_config(), "height": self.height, "width": self.width}


def _moved(boxes, left, top, scale_x=1.0, scale_y=1.0):
    x1, y1, x2, y2 = (boxes["boxes"][..., i] for i in range(4))
    return {**boxes, "boxes": ops.stack([
        (x1 - left) * scale_x, (y1 - top) * scale_y, (x2 - left) * scale_x,
        (y2 - top) * scale_y], axis=-1)}


class CenterCrop(_Sized):
    """Cuts the middle out of images; smaller ones are cut to the aspect ratio and resized.

    Args:
        height, width: The size, in pixels.
        data_format, **kwargs: See `BaseImagePreprocessingLayer`.
    """

    def get_random_transformation(self, data, training=True, seed=None):
        return {"input_shape": self._shape(data)}

    def transform_images(self, images, transformation=None, training=True):
        return self._transform_images(cast_array(images, self.compute_dtype), None, "bilinear")

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        """Masks, cut alike; resized ones take the nearest value."""
        return self._transform_images(segmentation_masks, None, "nearest")

    def _transform_images(self, images, transformation, interpolation):
        height, width = self._size(images.shape)
        if height >= self.height and width >= self.width:
            return self._window(images, (height - self.height) // 2, (width - self.width) // 2,
                                self.height, self.width)
        return self._resized(self._window(images, *self._largest(height, width)), interpolation)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        """Boxes within the part that is left; the others get the label -1."""
        height, width = self._size(transformation["input_shape"])
        boxes = self._in_pixels(bounding_boxes, height, width)
        if height >= self.height and width >= self.width:
            top, left = (height - self.height) // 2, (width - self.width) // 2
            return self._clipped(_moved(boxes, left, top))
        top, left, h, w = self._largest(height, width)
        return self._clipped(_moved(boxes, left, top, self.width / w, self.height / h))


class RandomCrop(_Sized):
    """Cuts a part of a given size out of images, at a random place, the same for a batch.

    Args:
        height, width: The size, in pixels.
        seed: Seed.
        data_format, **kwargs: See `BaseImagePreprocessingLayer`.

    In use (`training=False`), and where an image is no larger, the largest window in the middle that
    has the aspect ratio is resized. (Keras 3.15 leaves images uncut in use, other than it says.)
    """

    def __init__(self, height, width, seed=None, data_format=None, name=None, **kwargs):
        super().__init__(height, width, data_format=data_format, name=name, **kwargs)
        self._set_seed(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        height, width = self._size(self._shape(data))
        if not training or height <= self.height or width <= self.width:
            return self._largest(height, width)
        top, left = (ops.cast(self._uniform((), 0, float(n), seed, "float32"), "int32")
                     for n in (height - self.height + 1, width - self.width + 1))
        return top, left, self.height, self.width

    def transform_images(self, images, transformation, training=True):
        return self._cut(cast_array(images, self.compute_dtype), transformation, "bilinear")

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        """Masks, cut alike; resized ones take the nearest value."""
        return self._cut(segmentation_masks, transformation, "nearest")

    def _cut(self, images, transformation, interpolation):
        images = self._window(images, *transformation)
        return images if tuple(transformation[2:]) == (self.height, self.width) \
            else self._resized(images, interpolation)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        """Boxes within the part that is left; the others get the label -1."""
        if (self.bounding_box_format or "").startswith("rel_"):
            raise NotImplementedError(f"RandomCrop layer '{self.name}': relative bounding boxes "
                                      "cannot be cut: use a format in pixels. Received: "
                                      f"bounding_box_format={self.bounding_box_format!r}")
        top, left, h, w = transformation
        top, left = (ops.cast(n, "float32") for n in (top, left))
        boxes = boxes_in.convert_format(bounding_boxes, self.bounding_box_format, "xyxy")
        return self._clipped(_moved(boxes, left, top, self.width / w, self.height / h))

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


class Resizing(_Sized):
    """Resizes images; in use as in training.

    Args:
        height, width: The size, in pixels.
        interpolation: `"bilinear"`, `"nearest"`, `"bicubic"`, `"lanczos3"`, `"lanczos5"` or
            `"area"`.
        crop_to_aspect_ratio: Whether images are cut to the aspect ratio first, not distorted.
        pad_to_aspect_ratio: Whether they are filled up to it instead.
        fill_mode: Must be `"constant"`: how they are filled up.
        fill_value: With what. Defaults to 0.
        antialias: Whether shrinking averages.
        data_format, **kwargs: See `BaseImagePreprocessingLayer`.

    Whole numbers are rounded back to their dtype.
    """

    def __init__(self, height, width, interpolation="bilinear", crop_to_aspect_ratio=False,
                 pad_to_aspect_ratio=False, fill_mode="constant", fill_value=0.0, antialias=False,
                 data_format=None, **kwargs):
        super().__init__(height, width, data_format=data_format, **kwargs)
        known = ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5", "area")
        if interpolation not in known:
            raise ValueError(f"Resizing: `interpolation` must be one of {known}. Received: "
                             f"interpolation={interpolation!r}")
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise ValueError("Resizing: only one of `crop_to_aspect_ratio` and "
                             "`pad_to_aspect_ratio` may be true. Received both.")
        if fill_mode != "constant":
            raise ValueError("Resizing: `fill_mode` must be 'constant'. Received: "
                             f"fill_mode={fill_mode!r}")
        self.interpolation, self.antialias = interpolation, bool(antialias)
        self.crop_to_aspect_ratio, self.pad_to_aspect_ratio = crop_to_aspect_ratio, \
            pad_to_aspect_ratio
        self.fill_mode, self.fill_value = fill_mode, fill_value

    def get_random_transformation(self, data, training=True, seed=None):
        return self._size(self._shape(data))

    def transform_images(self, images, transformation=None, training=True):
        return self._transform_images(images, transformation, self.interpolation)

    def transform_segmentation_masks(self, segmentation_masks, transformation=None, training=True):
        """Masks, resized to the nearest value."""
        return self._transform_images(segmentation_masks, transformation, "nearest")

    def _transform_images(self, images, transformation, interpolation):
        return self._resized(
            images, interpolation, antialias=self.antialias,
            crop_to_aspect_ratio=self.crop_to_aspect_ratio,
            pad_to_aspect_ratio=self.pad_to_aspect_ratio, fill_mode=self.fill_mode,
            fill_value=self.fill_value)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        """Boxes, moved and scaled alike; those of all 0 or all -1 stand for none and become 0."""
        height, width = transformation
        given = bounding_boxes["boxes"]
        none = ops.logical_or(ops.all(ops.equal(given, -1), -1), ops.all(ops.equal(given, 0), -1))
        x, y = self.width / width, self.height / height
        left = top = 0.0
        if self.pad_to_aspect_ratio:
            x = y = min(x, y)
            left, top = (-((n - size * x) // 2) / x
                         for n, size in ((self.width, width), (self.height, height)))
        elif self.crop_to_aspect_ratio:
            x = y = max(x, y)
            left, top = (((size * x - n) // 2) / x
                         for n, size in ((self.width, width), (self.height, height)))
        boxes = boxes_in.clip_to_image_size(
            _moved(self._in_pixels(bounding_boxes, height, width), left, top, x, y), self.height,
            self.width)
        boxes["boxes"] = ops.where(ops.expand_dims(none, -1), 0.0, boxes["boxes"])
        return boxes_in.convert_format(boxes, "xyxy", self.bounding_box_format, self.height,
                                       self.width)

    def compute_output_spec(self, inputs, training=True):
        if isinstance(inputs, KerasTensor):
            return KerasTensor(self._sized(inputs.shape), inputs.dtype)
        return super().compute_output_spec(inputs)

    def get_config(self):
        names = ("interpolation", "crop_to_aspect_ratio", "pad_to_aspect_ratio", "fill_mode",
                 "fill_value", "antialias")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class RandomFlip(BaseImagePreprocessingLayer):
    """Flips half of the images, each by itself.

    Args:
        mode: `"horizontal"`, `"vertical"`, or `"horizontal_and_vertical"`: both at once.
        seed: Seed.
        data_format, **kwargs: See `BaseImagePreprocessingLayer`.
    """

    _USE_BASE_FACTOR = False

    def __init__(self, mode="horizontal_and_vertical", seed=None, data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        if mode not in ("horizontal", "vertical", "horizontal_and_vertical"):
            raise ValueError("RandomFlip: `mode` must be 'horizontal', 'vertical' or "
                             f"'horizontal_and_vertical'. Received: mode={mode!r}")
        self.mode = mode
        self._set_seed(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        return {"flips": ops.less_equal(self._uniform(self._of_each(data), 0, 1, seed), 0.5),
                "input_shape": self._shape(data)}

    def transform_images(self, images, transformation, training=True):
        images = cast_array(images, self.compute_dtype)
        return self._flipped(images, transformation) if training else images

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        """Masks, flipped alike."""
        return self._flipped(segmentation_masks, transformation) if training \
            else segmentation_masks

    def _flipped(self, images, transformation):
        if transformation is None:
            return images
        width = -2 if self.data_format == "channels_last" else -1
        axes = [axis for axis, name in ((width, "horizontal"), (width - 1, "vertical"))
                if name in self.mode]
        return ops.where(transformation["flips"], ops.flip(images, axes), images)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        """Boxes, flipped alike."""
        if not training or transformation is None:
            return bounding_boxes
        height, width = self._size(transformation["input_shape"])
        form = self.bounding_box_format
        boxes = boxes_in.convert_format(bounding_boxes, form, "xyxy", height, width)
        x1, y1, x2, y2 = (boxes["boxes"][..., i] for i in range(4))
        flips = ops.reshape(transformation["flips"], (-1, 1))
        if "horizontal" in self.mode:
            x1, x2 = ops.where(flips, width - x2, x1), ops.where(flips, width - x1, x2)
        if "vertical" in self.mode:
            y1, y2 = ops.where(flips, height - y2, y1), ops.where(flips, height - y1, y2)
        boxes = boxes_in.clip_to_image_size({**boxes, "boxes": ops.stack([x1, y1, x2, y2], -1)},
                                            height, width)
        return boxes_in.convert_format(boxes, "xyxy", form, height, width)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "seed": self.seed, "mode": self.mode}


class MaxNumBoundingBoxes(BaseImagePreprocessingLayer):
    """Cuts or fills the bounding boxes of each image to one number.

    Args:
        max_number: How many.
        fill_value: What missing boxes and labels are filled with. Defaults to -1.
        **kwargs: See `BaseImagePreprocessingLayer`.
    """

    def __init__(self, max_number, fill_value=-1, **kwargs):
        super().__init__(**kwargs)
        self.max_number, self.fill_value = int(max_number), int(fill_value)

    def transform_images(self, images, transformation=None, training=True):
        return images

    def transform_segmentation_masks(self, segmentation_masks, transformation=None, training=True):
        """As they are."""
        return segmentation_masks

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        """Boxes and labels of `max_number` rows."""
        def fit(x):
            x = x[:, :self.max_number]
            missing = self.max_number - x.shape[1]
            widths = ((0, 0), (0, missing)) + ((0, 0),) * (len(x.shape) - 2)
            return ops.pad(x, widths, constant_values=self.fill_value) if missing else x

        return {**bounding_boxes, "boxes": fit(bounding_boxes["boxes"]),
                "labels": fit(bounding_boxes["labels"])}

    def compute_output_shape(self, input_shape):
        if not isinstance(input_shape, dict) or "bounding_boxes" not in input_shape:
            return input_shape
        boxes = {key: (shape[0], self.max_number, *shape[2:])
                 for key, shape in input_shape["bounding_boxes"].items()}
        return {**input_shape, "bounding_boxes": boxes}

    def get_config(self):
        made = super().get_config()
        return {**made, "max_number": self.max_number, "fill_value": self.fill_value}
