"""Layers that mix images of a batch, or put noise into parts of them: MixUp, CutMix, RandomErasing."""
from ... import ops, random
from ...ops.core import cast_array
from .base import BaseImagePreprocessingLayer, ColorLayer


def _box_masks(layer, shape, boxes):
    """Whether each pixel of images of a shape lies in the box `(x0, x1, y0, y1)` of its image."""
    height, width = layer._size(shape)
    x0, x1, y0, y1 = (ops.reshape(part, (-1, 1, 1)) for part in boxes)
    y = ops.reshape(ops.arange(height, dtype=layer.compute_dtype), (1, height, 1))
    x = ops.reshape(ops.arange(width, dtype=layer.compute_dtype), (1, 1, width))
    inside = ops.logical_and(ops.logical_and(ops.greater_equal(x, x0), ops.less(x, x1)),
                             ops.logical_and(ops.greater_equal(y, y0), ops.less(y, y1)))
    return ops.expand_dims(inside, -1 if layer.data_format == "channels_last" else 1)


def _span(layer, batch, length, ratio, seed):
    """Beginning and end of a part of an axis, at a random place; it need not be whole."""
    size = ratio * length
    start = layer._uniform((batch,), 0, 1, seed) * (length - size)
    return start, start + size


class MixUp(BaseImagePreprocessingLayer):
    """Averages each image with another one of the batch, and their labels.

    Args:
        alpha: The weights are drawn from Beta(alpha, alpha). Defaults to 0.2.
        data_format, seed, **kwargs: See `RandomFlip`.

    Labels must be one-hot or numbers that can be averaged. Boxes and their labels are joined.
    Reference: [Zhang et al., 2018](https://arxiv.org/abs/1710.09412)
    """

    def __init__(self, alpha=0.2, data_format=None, seed=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        if not isinstance(alpha, (int, float)) or alpha <= 0:
            raise ValueError(f"MixUp: `alpha` must be > 0. Received: alpha={alpha!r}")
        self.alpha = alpha
        self._set_seed(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        batch, seed = self._batch(data), self.generator if seed is None else seed
        return {"mix_weight": random.beta((batch,), self.alpha, self.alpha, seed=seed),
                "permutation_order": random.shuffle(ops.arange(batch, dtype="int64"), seed=seed)}

    def _mixed(self, x, transformation):
        weight = cast_array(ops.reshape(transformation["mix_weight"],
                                        (-1,) + (1,) * (len(x.shape) - 1)), x.dtype)
        return weight * x + (1.0 - weight) * ops.take(x, transformation["permutation_order"], 0)

    def transform_images(self, images, transformation=None, training=True):
        images = cast_array(images, self.compute_dtype)
        return self._mixed(images, transformation) if training else images

    def transform_labels(self, labels, transformation, training=True):
        """Averages of labels."""
        if not training:
            return labels
        return self._mixed(cast_array(labels, self.compute_dtype), transformation)

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        """Averages of masks."""
        if not training:
            return segmentation_masks
        return self._mixed(cast_array(segmentation_masks, self.compute_dtype), transformation)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        """The boxes of both images."""
        if not training:
            return bounding_boxes
        order = transformation["permutation_order"]
        return {**bounding_boxes, **{
            key: ops.concatenate([bounding_boxes[key], ops.take(bounding_boxes[key], order, 0)], 1)
            for key in ("boxes", "labels")}}

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "seed": self.seed}


class CutMix(BaseImagePreprocessingLayer):
    """Puts a part of another image of the batch into each image; labels are averaged by area.

    Args:
        factor: A number or a pair, from 0 to 1: alpha is drawn from this range, one for a batch, and
            shares of areas from Beta(alpha, alpha). Defaults to 1.
        seed, data_format, **kwargs: See `RandomFlip`.

    A single image stays as it is. Bounding boxes are not possible, as in Keras.
    Reference: [Yun et al., 2019](https://arxiv.org/abs/1905.04899)
    """

    _USE_BASE_FACTOR = False
    _FACTOR_BOUNDS = (0, 1)

    def __init__(self, factor=1.0, seed=None, data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self._set_factor(factor)
        self._set_seed(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        shape = self._shape(data)
        if not training or len(shape) == 3:
            return None
        seed, batch, (height, width) = self.generator if seed is None else seed, shape[0], \
            self._size(shape)
        alpha = self._uniform((), *self.factor, seed) + 1e-6
        share = random.beta((batch,), alpha, alpha, self.compute_dtype, seed)
        ratio = ops.sqrt(1.0 - share)
        x0, x1 = _span(self, batch, width, ratio, seed)
        y0, y1 = _span(self, batch, height, ratio, seed)
        return {"permutation_order": random.shuffle(ops.arange(batch, dtype="int32"), seed=seed),
                "batch_masks": _box_masks(self, shape, (x0, x1, y0, y1)),
                "mix_weight": 1.0 - (x1 - x0) * (y1 - y0) / (width * height)}

    def transform_images(self, images, transformation=None, training=True):
        return self._cut(cast_array(images, self.compute_dtype), transformation, training)

    def _cut(self, images, transformation, training):
        if not training or transformation is None:
            return images
        other = ops.take(images, transformation["permutation_order"], 0)
        return ops.where(transformation["batch_masks"], other, images)

    def transform_labels(self, labels, transformation, training=True):
        """Averages of labels, by the area of each image."""
        if not training or transformation is None:
            return labels
        labels = cast_array(labels, self.compute_dtype)
        weight = ops.reshape(transformation["mix_weight"], (-1,) + (1,) * (len(labels.shape) - 1))
        return weight * labels + (1.0 - weight) * ops.take(
            labels, transformation["permutation_order"], 0)

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        """Masks, cut alike."""
        return self._cut(segmentation_masks, transformation, training)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        """Not possible."""
        raise NotImplementedError(f"CutMix layer '{self.name}': bounding boxes cannot be cut.")

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "factor": self.factor, "seed": self.seed}


class RandomErasing(ColorLayer):
    """Puts noise, or a color, into a rectangle of some images.

    Args:
        factor: A number or a pair, from 0 to 1: the range of the probability. Defaults to 1.
        scale: The range of the shares of height and width, squared. Defaults to `(0.02, 0.33)`.
        fill_value: A number or three, a color; `None`: noise.
        value_range, seed, data_format, **kwargs: See `RandomBrightness`.

    Reference: [Zhong et al., 2017](https://arxiv.org/abs/1708.04896)
    """

    _USE_BASE_FACTOR = False
    _FACTOR_BOUNDS = (0, 1)

    def __init__(self, factor=1.0, scale=(0.02, 0.33), fill_value=None, value_range=(0, 255),
                 seed=None, data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self._set_factor(factor)
        self.scale = self._range_of("scale", scale)
        if not (fill_value is None or isinstance(fill_value, (int, float))
                or isinstance(fill_value, (tuple, list)) and len(fill_value) == 3):
            raise ValueError("RandomErasing: `fill_value` must be None, a number or three. "
                             f"Received: fill_value={fill_value!r}")
        self.fill_value = fill_value
        self._set_value_range(value_range)
        self._set_seed(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        shape, seed = self._shape(data), self.generator if seed is None else seed
        batch, (height, width) = self._batch(data), self._size(shape)
        share = ops.sqrt(self._uniform((batch, 2), *self.scale, seed))
        x = _span(self, batch, width, share[:, 0], seed)
        y = _span(self, batch, height, share[:, 1], seed)
        probability = self._uniform((batch,), *self.factor, seed)
        return {"batch_masks": _box_masks(self, shape, (*x, *y)),
                "apply_erasing": ops.less(self._uniform((batch,), 0, 1, seed), probability),
                "fill_value": self._filling(shape, seed)}

    def _filling(self, shape, seed):
        if self.fill_value is None:
            value = random.normal(shape, dtype=self.compute_dtype, seed=seed) * self.value_range[1]
        else:
            value = ops.convert_to_tensor(self.fill_value, self.compute_dtype)
            if value.shape and self.data_format == "channels_first":
                value = ops.reshape(value, (3, 1, 1))
        return ops.clip(value, *self.value_range)

    def transform_images(self, images, transformation=None, training=True):
        images = cast_array(images, self.compute_dtype)
        if not training or transformation is None:
            return images
        chosen = ops.logical_and(ops.reshape(transformation["apply_erasing"], (-1, 1, 1, 1)),
                                 transformation["batch_masks"])
        return ops.where(chosen, transformation["fill_value"], images)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale, "fill_value": self.fill_value}
