"""RandomElasticTransform: images drawn on rubber that is pulled here and there."""
from ... import ops, random
from ...ops.core import cast_array
from ...ops.sampling import _sample
from .base import BaseImagePreprocessingLayer


class RandomElasticTransform(BaseImagePreprocessingLayer):
    """Moves each pixel of some images by its own way; ways of neighbors are alike.

    Args:
        factor: A number or a pair, from 0 to 1: the range of the probability. Defaults to 1.
        scale: A number or a pair, from 0 to 1: the range of the strength, one for all images of a
            batch. Defaults to 1.
        interpolation: `"bilinear"` or `"nearest"`.
        fill_mode: `"constant"`, `"nearest"`, `"wrap"`, `"reflect"` (`d c b a | a b c d`) or
            `"mirror"` (`d c b | a b c d`): what lies outside of images. Defaults to `"reflect"`.
        fill_value: A number, for `"constant"`.
        value_range: The lowest and highest value: images are cut there. Defaults to `(0, 255)`.
        seed: Seed.
        data_format, **kwargs: See `BaseImagePreprocessingLayer`.

    Ways along the height and the width are drawn apart, and masks go the ways of their images
    (Keras 3.15 draws both alike, and others for masks). Bounding boxes can't be moved.

    Reference: Simard et al., "Best practices for convolutional neural networks", 2003
    """

    _USE_BASE_FACTOR = False
    _FACTOR_BOUNDS = (0, 1)

    def __init__(self, factor=1.0, scale=1.0, interpolation="bilinear", fill_mode="reflect",
                 fill_value=0.0, value_range=(0, 255), seed=None, data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self._set_factor(factor)
        self.scale = self._range_of("scale", scale)
        for name, value, known in (
                ("interpolation", interpolation, ("nearest", "bilinear")),
                ("fill_mode", fill_mode, ("constant", "nearest", "wrap", "mirror", "reflect"))):
            if value not in known:
                raise NotImplementedError(f"RandomElasticTransform: `{name}` must be one of "
                                          f"{known}. Received: {name}={value!r}")
        self.interpolation, self.fill_mode = interpolation, fill_mode
        self.fill_value = fill_value
        self._set_value_range(value_range)
        self._set_seed(seed)

    def get_elastic_transform_params(self, height, width, factor):
        """How far pixels are pulled, and over how many the pull is smoothed, for a strength."""
        return max(height, width) * (0.1 * factor), min(height, width) * (0.05 * factor)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training or self.scale[1] == 0 or self.factor[1] == 0:
            return None
        batch, size = self._batch(data), self._size(self._shape(data))
        probability = self._uniform((batch,), *self.factor, seed)
        chosen = ops.less(self._uniform((batch,), 0, 1, seed), probability)
        strength = self._uniform((), *self.scale, seed)
        noise = random.normal((batch, *size, 2), dtype=self.compute_dtype,
                              seed=self.generator if seed is None else seed)
        return {"apply_transform": chosen, "distortion_factor": strength,
                "ways": self._ways(noise, strength)}

    def _ways(self, noise, strength):
        """How far each pixel is pulled down and to the right: smoothed noise, (n, h, w, 2)."""
        height, width = noise.shape[1:3]
        alpha, sigma = self.get_elastic_transform_params(height, width, strength)
        most = 3 * int(self.get_elastic_transform_params(height, width, self.scale[1])[1])
        at = ops.arange(-most, most + 1, dtype=noise.dtype)
        bell = ops.exp(-0.5 * ops.square(at / ops.maximum(sigma, 1e-6)))
        bell = ops.where(ops.less_equal(ops.absolute(at), 3.0 * ops.floor(sigma)), bell, 0.0)
        bell = ops.reshape(bell / ops.sum(bell), (-1, 1, 1, 1))
        smooth = noise * sigma
        for axes in ((0, 1, 2, 3), (1, 0, 2, 3)):
            smooth = ops.depthwise_conv(smooth, ops.tile(ops.transpose(bell, axes), (1, 1, 2, 1)),
                                        1, "same", "channels_last")
        return alpha * smooth

    def _transform_images(self, images, transformation, interpolation):
        if transformation is None:
            return images
        last = self.data_format == "channels_last"
        x = cast_array(images if last else ops.transpose(images, (0, 2, 3, 1)), self.compute_dtype)
        ways = cast_array(transformation["ways"], x.dtype)
        height, width = x.shape[1:3]
        down = ops.reshape(ops.arange(height, dtype=x.dtype), (1, height, 1)) + ways[..., 0]
        right = ops.reshape(ops.arange(width, dtype=x.dtype), (1, 1, width)) + ways[..., 1]
        made = _sample(x, down, right, interpolation, self.fill_mode, self.fill_value)
        made = cast_array(made if last else ops.transpose(made, (0, 3, 1, 2)), images.dtype)
        return ops.where(ops.reshape(transformation["apply_transform"], (-1, 1, 1, 1)), made,
                         images)

    def transform_images(self, images, transformation, training=True):
        made = super().transform_images(images, transformation, training=training)
        return ops.clip(made, *self.value_range) if training and transformation is not None \
            else made

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        """Not possible but where nothing moves."""
        if not training or transformation is None:
            return bounding_boxes
        raise NotImplementedError(f"RandomElasticTransform layer '{self.name}': bounding boxes "
                                  "cannot be moved.")

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "factor": self.factor, "scale": self.scale,
                "interpolation": self.interpolation, "fill_mode": self.fill_mode,
                "fill_value": self.fill_value, "value_range": self.value_range, "seed": self.seed}
