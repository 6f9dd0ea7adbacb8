"""Layers that change the colors of images at random."""
from ... import config, ops, random
from ...ops.core import cast_array
from .base import ColorLayer


class RandomBrightness(ColorLayer):
    """Adds one number to all of an image.

    Args:
        factor: A number or a pair, from -1 to 1: the range of what is added, as a share of the range
            of values.
        value_range: The lowest and highest value. Defaults to `(0, 255)`.
        seed: Seed.
        **kwargs: See `BaseImagePreprocessingLayer`.
    """

    def __init__(self, factor, value_range=(0, 255), seed=None, **kwargs):
        super().__init__(factor=factor, **kwargs)
        self._set_seed(seed)
        self._set_value_range(value_range)

    def get_random_transformation(self, data, training=True, seed=None):
        shape = self._of_each(data)
        if not training:
            return {"rgb_delta": ops.zeros(shape)}
        return {"rgb_delta": self._uniform(shape, *self.factor, seed) * (
            self.value_range[1] - self.value_range[0])}

    def transform_images(self, images, transformation, training=True):
        images = cast_array(images, self.compute_dtype)
        if not training:
            return images
        return ops.clip(images + cast_array(transformation["rgb_delta"], images.dtype),
                        *self.value_range)


class RandomContrast(ColorLayer):
    """Moves each value away from, or towards, the mean of its channel.

    Args:
        factor: A number or a pair, from 0 to 1: distances are multiplied by `1 - lower` to
            `1 + upper`.
        value_range, seed, **kwargs: See `RandomBrightness`.
    """

    _FACTOR_BOUNDS = (0, 1)

    def __init__(self, factor, value_range=(0, 255), seed=None, **kwargs):
        super().__init__(**kwargs)
        self._set_factor(factor)
        self._set_value_range(value_range)
        self._set_seed(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        shape = self._of_each(data)
        if not training:
            return {"contrast_factor": ops.zeros(shape)}
        return {"contrast_factor": self._uniform(shape, 1.0 - self.factor[0], 1.0 + self.factor[1],
                                                 seed)}

    def transform_images(self, images, transformation, training=True):
        images = cast_array(images, self.compute_dtype)
        if not training:
            return images
        axes = (-3, -2) if self.data_format == "channels_last" else (-2, -1)
        mean = ops.mean(images, axis=axes, keepdims=True)
        factor = cast_array(transformation["contrast_factor"], images.dtype)
        return ops.clip((images - mean) * factor + mean, *self.value_range)


class RandomGrayscale(ColorLayer):
    """Takes the colors out of some images.

    Args:
        factor: The share of the images, from 0 to 1. Defaults to 0.5.
        data_format, seed, **kwargs: See `RandomBrightness`.
    """

    def __init__(self, factor=0.5, data_format=None, seed=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        if not isinstance(factor, (int, float)) or not 0 <= factor <= 1:
            raise ValueError("RandomGrayscale: `factor` must be a number from 0 to 1. Received: "
                             f"factor={factor!r}")
        self.factor = factor
        self._set_seed(seed)

    def get_random_transformation(self, images, training=True, seed=None):
        return ops.less(self._uniform(self._of_each(images), 0, 1, seed), self.factor)

    def transform_images(self, images, transformation, training=True):
        images = cast_array(images, self.compute_dtype)
        if not training:
            return images
        gray = ops.image.rgb_to_grayscale(images, data_format=self.data_format)
        return ops.where(transformation, gray, images)


class _Factored(ColorLayer):
    """Base of layers with a factor, a range of values and a seed."""

    _USE_BASE_FACTOR = False

    def __init__(self, factor, value_range=(0, 255), data_format=None, seed=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self._set_factor(factor)
        self._set_value_range(value_range)
        self._set_seed(seed)


class RandomHue(_Factored):
    """Turns the circle of hues.

    Args:
        factor: A number or a pair, from 0 to 1: the range of the turn, to either side; 1 is half of
            the circle.
        value_range, data_format, seed, **kwargs: See `RandomBrightness`.
    """

    _FACTOR_BOUNDS = (0, 1)

    def get_random_transformation(self, data, training=True, seed=None):
        batch = (self._batch(data),)
        side = ops.where(ops.greater(self._uniform(batch, 0, 1, seed), 0.5), -1.0, 1.0)
        return {"factor": side * self._uniform(batch, *self.factor, seed) * 0.5}

    def transform_images(self, images, transformation=None, training=True):
        images = cast_array(images, self.compute_dtype)
        if not training:
            return images
        axis = -1 if self.data_format == "channels_last" else -3
        images = self._scaled(images, self.value_range, (0, 1))
        h, s, v = ops.split(ops.image.rgb_to_hsv(images, data_format=self.data_format), 3, axis)
        h = h + ops.reshape(cast_array(transformation["factor"], images.dtype), (-1, 1, 1, 1))
        h = ops.where(ops.greater(h, 1.0), h - 1.0, h)
        h = ops.where(ops.less(h, 0.0), h + 1.0, h)
        images = ops.image.hsv_to_rgb(ops.concatenate([h, s, v], axis),
                                      data_format=self.data_format)
        return self._scaled(ops.clip(images, 0, 1), (0, 1), self.value_range)


class RandomSaturation(_Factored):
    """Multiplies the saturation.

    Args:
        factor: A number or a pair, from 0 to 1: 0 takes all color out, 0.5 leaves an image as it is,
            1 makes it as colorful as can be.
        value_range, data_format, seed, **kwargs: See `RandomBrightness`.
    """

    def get_random_transformation(self, data, training=True, seed=None):
        factor = self._uniform((self._batch(data),), *self.factor, seed)
        return {"factor": factor / (1 - factor + config.epsilon())}

    def transform_images(self, images, transformation=None, training=True):
        images = cast_array(images, self.compute_dtype)
        if not training:
            return images
        axis = -1 if self.data_format == "channels_last" else -3
        h, s, v = ops.split(ops.image.rgb_to_hsv(images, data_format=self.data_format), 3, axis)
        factor = ops.reshape(cast_array(transformation["factor"], images.dtype), (-1, 1, 1, 1))
        s = ops.clip(s * factor, *self.value_range)
        return ops.image.hsv_to_rgb(ops.concatenate([h, s, v], axis),
                                    data_format=self.data_format)


class RandomInvert(ColorLayer):
    """Turns some images into their negatives.

    Args:
        factor: A number or a pair, from 0 to 1: the range of the probability. Defaults to 1.
        value_range, seed, data_format, **kwargs: See `RandomBrightness`.
    """

    _USE_BASE_FACTOR = False
    _FACTOR_BOUNDS = (0, 1)

    def __init__(self, factor=1.0, value_range=(0, 255), seed=None, data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self._set_factor(factor)
        self._set_value_range(value_range)
        self._set_seed(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        batch = (self._batch(data),)
        probability = self._uniform(batch, *self.factor, seed)
        return {"apply_inversion": ops.less(self._uniform(batch, 0, 1, seed), probability)}

    def transform_images(self, images, transformation, training=True):
        images = cast_array(images, self.compute_dtype)
        if not training:
            return images
        chosen = ops.reshape(transformation["apply_inversion"], (-1, 1, 1, 1))
        return ops.where(chosen, self.value_range[1] - images, images)


class RandomPosterization(_Factored):
    """Keeps the upper bits of each value.

    Args:
        factor: An integer or a pair, from 1 to 8: how many bits.
        value_range, data_format, seed, **kwargs: See `RandomBrightness`.
    """

    _FACTOR_BOUNDS = (1, 8)

    def __init__(self, factor, value_range=(0, 255), data_format=None, seed=None, **kwargs):
        super().__init__(factor, value_range, data_format, seed, **kwargs)
        if any(n != int(n) for n in self.factor):
            raise ValueError("RandomPosterization: `factor` must be an integer or two. Received: "
                             f"factor={factor!r}")

    def get_random_transformation(self, data, training=True, seed=None):
        batch = (self._batch(data),)
        if self.factor[0] == self.factor[1]:
            bits = ops.full(batch, self.factor[0], "uint8")
        else:
            bits = random.randint(batch, int(self.factor[0]), int(self.factor[1]), "uint8",
                                  self.generator if seed is None else seed)
        return {"shift_factor": ops.cast(8 - ops.cast(bits, "int32"), "uint8")}

    def transform_images(self, images, transformation=None, training=True):
        images = cast_array(images, self.compute_dtype)
        if not training:
            return images
        shift = ops.reshape(transformation["shift_factor"], (-1, 1, 1, 1))
        bits = ops.cast(self._scaled(images, self.value_range, (0, 255)), "uint8")
        bits = ops.left_shift(ops.right_shift(bits, shift), shift)
        return self._scaled(cast_array(bits, self.compute_dtype), (0, 255), self.value_range)


class Solarization(ColorLayer):
    """Adds a number to an image, and inverts the values from a threshold on.

    Args:
        addition_factor: A number or a pair, from 0 to 1: the range of what is added, as a share of 255.
        threshold_factor: The same for the threshold.
        value_range, seed, **kwargs: See `RandomBrightness`.
    """

    _USE_BASE_FACTOR = False
    _FACTOR_BOUNDS = (0, 1)

    def __init__(self, addition_factor=0.0, threshold_factor=0.0, value_range=(0, 255), seed=None,
                 **kwargs):
        super().__init__(**kwargs)
        self._set_seed(seed)
        self.addition_factor = self._range_of("addition_factor", addition_factor)
        self.threshold_factor = self._range_of("threshold_factor", threshold_factor)
        self._set_value_range(value_range)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        shape = self._of_each(data)
        return {name: self._uniform(shape, low, high * 255, seed) for name, (low, high) in (
            ("additions", self.addition_factor), ("thresholds", self.threshold_factor))}

    def transform_images(self, images, transformation, training=True):
        images = cast_array(images, self.compute_dtype)
        if not training or transformation is None:
            return images
        added = ops.clip(self._scaled(images, self.value_range, (0, 255))
                         + transformation["additions"], 0, 255)
        result = ops.where(ops.less(added, transformation["thresholds"]), added, 255 - added)
        return self._scaled(result, (0, 255), self.value_range)

    def get_config(self):
        return {**super().get_config(), "addition_factor": self.addition_factor,
                "threshold_factor": self.threshold_factor}


class AutoContrast(ColorLayer):
    """Spreads each channel of each image over the whole range of values; in use as in training.

    Args:
        value_range, **kwargs: See `RandomBrightness`.
    """

    _USE_BASE_FACTOR = False

    def __init__(self, value_range=(0, 255), **kwargs):
        super().__init__(**kwargs)
        self._set_value_range(value_range)

    def transform_images(self, images, transformation=None, training=True):
        before = images = cast_array(images, self.compute_dtype)
        images = self._scaled(images, self.value_range, (0, 255))
        axes = (1, 2) if self.data_format == "channels_last" else (2, 3)
        low, high = ops.min(images, axes, keepdims=True), ops.max(images, axes, keepdims=True)
        scale = 255.0 / (high - low)
        made = self._scaled(ops.clip(images * scale - low * scale, 0.0, 255.0), (0, 255),
                            self.value_range)
        return ops.where(ops.equal(high, low), before, made)


class RandomSharpness(_Factored):
    """Sharpens or smooths images.

    Args:
        factor: A number or a pair, from 0 to 1: 0 smooths, 0.5 leaves an image as it is, 1 sharpens.
        value_range, data_format, seed, **kwargs: See `RandomBrightness`.
    """

    _FACTOR_BOUNDS = (0, 1)

    def get_random_transformation(self, data, training=True, seed=None):
        return {"factor": self._uniform((self._batch(data),), *self.factor, seed)}

    def transform_images(self, images, transformation=None, training=True):
        images = cast_array(images, self.compute_dtype)
        if not training:
            return images
        last = self.data_format == "channels_last"
        x = images if last else ops.transpose(images, (0, 2, 3, 1))
        amount = ops.reshape(cast_array(transformation["factor"], x.dtype) * 2, (-1, 1, 1, 1))
        kernel = ops.full((3, 3, x.shape[-1], 1), 1.0 / 13.0, x.dtype)
        center = ops.pad(ops.full((1, 1, x.shape[-1], 1), 4.0 / 13.0, x.dtype),
                         ((1, 1), (1, 1), (0, 0), (0, 0)))
        smooth = ops.depthwise_conv(x, kernel + center, 1, "same", "channels_last")
        x = ops.clip(x + (1.0 - amount) * (smooth - x), *self.value_range)
        return x if last else ops.transpose(x, (0, 3, 1, 2))


class RandomColorDegeneration(_Factored):
    """Moves colors towards gray, or away from it.

    Args:
        factor: A number or a pair, from -1 to 1: the range of the share of the way; 0 leaves an image
            as it is, 1 makes it gray. One number is taken to both sides.
        value_range, data_format, seed, **kwargs: See `RandomBrightness`.
    """

    def get_random_transformation(self, data, training=True, seed=None):
        return {"factor": self._uniform(self._of_each(data), *self.factor, seed)}

    def transform_images(self, images, transformation=None, training=True):
        images = cast_array(images, self.compute_dtype)
        if not training:
            return images
        gray = ops.image.rgb_to_grayscale(images, data_format=self.data_format)
        factor = cast_array(transformation["factor"], images.dtype)
        return ops.clip(images + factor * (gray - images), *self.value_range)


class RandomColorJitter(ColorLayer):
    """Brightness, contrast, saturation and hue at random, in this order.

    Args:
        value_range: See `RandomBrightness`.
        brightness_factor, contrast_factor, saturation_factor, hue_factor: The factors of those layers;
            `None` leaves one out.
        seed, data_format, **kwargs: See `RandomBrightness`.
    """

    _PARTS = (("brightness", RandomBrightness), ("contrast", RandomContrast),
              ("saturation", RandomSaturation), ("hue", RandomHue))

    def __init__(self, value_range=(0, 255), brightness_factor=None, contrast_factor=None,
                 saturation_factor=None, hue_factor=None, seed=None, data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self._set_value_range(value_range)
        self._set_seed(seed)
        factors = (brightness_factor, contrast_factor, saturation_factor, hue_factor)
        for (name, cls), factor in zip(self._PARTS, factors):
            setattr(self, f"{name}_factor", factor)
            setattr(self, f"random_{name}", None if factor is None else cls(
                factor=factor, value_range=value_range, seed=seed, data_format=self.data_format))

    def transform_images(self, images, transformation, training=True):
        images = cast_array(images, self.compute_dtype)
        for name, _ in self._PARTS if training else ():
            layer = getattr(self, f"random_{name}")
            if layer is not None:
                drawn = layer.get_random_transformation(images, seed=self.generator)
                images = layer.transform_images(images, drawn)
        return images

    def get_config(self):
        made = super().get_config()
        made.pop("factor")
        return {**made, **{f"{name}_factor": getattr(self, f"{name}_factor")
                           for name, _ in self._PARTS}}


class RandomGaussianBlur(ColorLayer):
    """Blurs some images.

    Args:
        factor: A number or a pair, from 0 to 1: the range of the probability. Defaults to 1.
        kernel_size: An odd number or a pair of such. Defaults to 3.
        sigma: A number or a pair, from 0 to 1: the range of the standard deviation, in pixels, one
            for all images of a batch.
        value_range, data_format, seed, **kwargs: See `RandomBrightness`.
    """

    _USE_BASE_FACTOR = False
    _FACTOR_BOUNDS = (0, 1)

    def __init__(self, factor=1.0, kernel_size=3, sigma=1.0, value_range=(0, 255), data_format=None,
                 seed=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self._set_factor(factor)
        sizes = tuple(kernel_size) if isinstance(kernel_size, (tuple, list)) else \
            (kernel_size, kernel_size)
        if len(sizes) != 2 or not all(isinstance(n, int) and n > 0 and n % 2 for n in sizes):
            raise ValueError("RandomGaussianBlur: `kernel_size` must be an odd number or a pair of "
                             f"such. Received: kernel_size={kernel_size!r}")
        self.kernel_size, self.sigma = sizes, self._range_of("sigma", sigma)
        self._set_value_range(value_range)
        self._set_seed(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        batch = (self._batch(data),)
        probability = self._uniform(batch, *self.factor, seed)
        return {"should_apply_blur": ops.less(self._uniform(batch, 0, 1, seed), probability),
                "blur_factor": self._uniform((2,), *self.sigma, seed) + 1e-6}

    def transform_images(self, images, transformation=None, training=True):
        images = cast_array(images, self.compute_dtype)
        if not training or transformation is None:
            return images
        last = self.data_format == "channels_last"
        x = images if last else ops.transpose(images, (0, 2, 3, 1))
        kernel = self._kernel(cast_array(transformation["blur_factor"], x.dtype))
        blurred = ops.depthwise_conv(x, ops.tile(kernel, (1, 1, x.shape[-1], 1)), 1, "same",
                                     "channels_last")
        blurred = blurred if last else ops.transpose(blurred, (0, 3, 1, 2))
        chosen = ops.reshape(transformation["should_apply_blur"], (-1, 1, 1, 1))
        return ops.clip(ops.where(chosen, blurred, images), *self.value_range)

    def _kernel(self, sigma):
        """(height, width, 1, 1); as in Keras, `sigma[0]` is that along the width."""
        rows, columns = self.kernel_size
        bells = []
        for count, deviation in ((rows, sigma[1]), (columns, sigma[0])):
            x = ops.arange(count, dtype=sigma.dtype) - (count - 1) / 2
            bell = ops.exp(-0.5 * ops.square(x / deviation))
            bells.append(bell / ops.sum(bell))
        return ops.reshape(bells[0], (rows, 1, 1, 1)) * ops.reshape(bells[1], (1, columns, 1, 1))

    def get_config(self):
        return {**super().get_config(), "kernel_size": self.kernel_size, "sigma": self.sigma}


class Equalization(ColorLayer):
    """Spreads the values of each channel so that all are about equally frequent; over all images of
    a batch together, as in Keras.

    Args:
        value_range: See `RandomBrightness`.
        bins: How many values are told apart. Defaults to 256.
        data_format, **kwargs: See `RandomBrightness`.
    """

    def __init__(self, value_range=(0, 255), bins=256, data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        if not isinstance(bins, int) or bins < 2:
            raise ValueError(f"Equalization: `bins` must be an integer > 1. Received: bins={bins!r}")
        self.bins = bins
        self._set_value_range(value_range)

    def transform_images(self, images, transformation, training=True):
        images = cast_array(images, self.compute_dtype)
        if not training:
            return images
        axis = -1 if self.data_format == "channels_last" else -3
        channels = ops.split(self._scaled(images, self.value_range, (0, 255)), images.shape[axis],
                             axis)
        made = ops.concatenate([self._equalized(channel) for channel in channels], axis)
        return self._scaled(made, (0, 255), self.value_range)

    def _equalized(self, channel):
        places = ops.cast(ops.clip(channel * (self.bins - 1) / 255.0, 0, self.bins - 1), "int32")
        flat = ops.reshape(places, (-1,))
        counts = ops.segment_sum(ops.ones(flat.shape, "int32"), flat, self.bins)
        total = ops.cumsum(counts)
        lowest = ops.min(ops.where(ops.greater(total, 0), total, total[-1]))
        rest = ops.maximum(total[-1] - lowest, 1)
        table = ops.cast(total - lowest, "float32") * 255.0 / ops.cast(rest, "float32")
        table = ops.clip(ops.round(table), 0, 255)
        several = ops.greater(ops.sum(ops.cast(ops.greater(counts, 0), "int32")), 1)
        return ops.where(several, cast_array(ops.take(table, places), channel.dtype), channel)

    def get_config(self):
        made = super().get_config()
        made.pop("factor")
        return {**made, "bins": self.bins}
