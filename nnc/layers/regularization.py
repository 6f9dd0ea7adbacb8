"""Layers that make training harder, so that networks generalize."""
import math

from .. import config, ops, random, regularizers
from .input_spec import InputSpec
from .layer import Layer


class Dropout(Layer):
    """In training, sets a share `rate` of the numbers to 0 and divides the others by `1 - rate`.

    Args:
        rate: Float, 0 to 1.
        noise_shape: What is dropped together: sizes that are 1 or the input's; `None` for an axis
            (or for all) is the input's size.
        seed: Integer, or `None`.
        **kwargs: See `Layer`.

    Reference: [Srivastava et al., 2014](https://jmlr.org/papers/v15/srivastava14a.html)
    """

    _plain = True

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        super().__init__(**kwargs)
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
            raise ValueError("Dropout: invalid value for `rate`, expected a float from 0 to 1. "
                             f"Received: rate={rate!r}")
        self.rate = rate
        self.seed = seed
        self.noise_shape = _noise_shape(noise_shape)
        if rate > 0:
            self.seed_generator = random.SeedGenerator(seed)
        self.supports_masking = True
        self._build_at_init()

    def call(self, inputs, training=False):
        if training and self.rate > 0:
            return random.dropout(inputs, self.rate, noise_shape=self.noise_shape,
                                  seed=self.seed_generator)
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed,
                "noise_shape": self.noise_shape}


def _noise_shape(noise_shape):
    if noise_shape is None:
        return None
    if not isinstance(noise_shape, (list, tuple)):
        raise ValueError("Dropout: `noise_shape` must be a tuple of integers and None. "
                         f"Received: noise_shape={noise_shape!r}")
    for size in noise_shape:
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size <= 0):
            raise ValueError("Dropout: `noise_shape` must hold positive integers and None. "
                             f"Received: noise_shape={tuple(noise_shape)}")
    return tuple(noise_shape)


def _rate(layer, name, value, low=0.0, high=1.0):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{layer}: invalid value for `{name}`, expected a float from {low} to "
                         f"{high}. Received: {name}={value!r}")
    return value


class _Noise(Layer):
    """Base of the layers that disturb their input in training."""

    _plain = True

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.supports_masking = True
        self._build_at_init()

    def compute_output_shape(self, input_shape):
        return input_shape


class GaussianNoise(_Noise):
    """In training, adds normally distributed noise.

    Args:
        stddev: Float >= 0, its standard deviation.
        seed: Integer, or `None`.
        **kwargs: See `Layer`.
    """

    _plain = True

    def __init__(self, stddev, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.stddev = _rate("GaussianNoise", "stddev", stddev, 0, float("inf"))
        if stddev > 0:
            self.seed_generator = random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        if not training or self.stddev == 0:
            return inputs
        return ops.add(inputs, random.normal(inputs.shape, 0.0, self.stddev, inputs.dtype,
                                             self.seed_generator))

    def get_config(self):
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}


class GaussianDropout(_Noise):
    """In training, multiplies by normally distributed numbers about 1, of standard deviation
    `sqrt(rate / (1 - rate))`.

    Args:
        rate: Float, 0 to 1.
        seed: Integer, or `None`.
        **kwargs: See `Layer`.
    """

    _plain = True

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.rate = _rate("GaussianDropout", "rate", rate)
        if rate > 0:
            self.seed_generator = random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        deviation = math.sqrt(self.rate / (1.0 - self.rate)) if self.rate < 1 else float("inf")
        return ops.multiply(inputs, random.normal(inputs.shape, 1.0, deviation, inputs.dtype,
                                                  self.seed_generator))

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


class AlphaDropout(_Noise):
    """Dropout that keeps mean and variance of the output of `selu`: dropped numbers become SELU's
    lowest value, then everything is scaled and shifted.

    Args:
        rate: Float, 0 to 1.
        noise_shape: What is dropped together; see `Dropout`.
        seed: Integer, or `None`.
        **kwargs: See `Layer`.

    Reference: [Klambauer et al., 2017](https://arxiv.org/abs/1706.02515)
    """

    _plain = True

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.rate = _rate("AlphaDropout", "rate", rate)
        self.noise_shape = _noise_shape(noise_shape)
        if rate > 0:
            self.seed_generator = random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        shape = tuple(inputs.shape)
        if self.noise_shape is not None:
            shape = tuple(n if m is None else m for m, n in zip(self.noise_shape, shape))
        lowest = -1.6732632423543772 * 1.0507009873554805
        drawn = random.uniform(shape, 0.0, 1.0, inputs.dtype, self.seed_generator)
        kept = ops.greater_equal(drawn, self.rate)
        a = ((1 - self.rate) * (1 + self.rate * lowest ** 2)) ** -0.5
        return ops.add(ops.multiply(ops.where(kept, inputs, lowest), a), -a * lowest * self.rate)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed,
                "noise_shape": self.noise_shape}


class ActivityRegularization(Layer):
    """The input, with a penalty on its size.

    Args:
        l1: Float, weight of the sum of the absolute values.
        l2: Float, weight of the sum of the squares.
        **kwargs: See `Layer`.
    """

    def __init__(self, l1=0.0, l2=0.0, **kwargs):
        super().__init__(activity_regularizer=regularizers.L1L2(l1=l1, l2=l2), **kwargs)
        self.l1, self.l2 = l1, l2
        self.supports_masking = True
        self._build_at_init()

    def call(self, inputs):
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config.pop("activity_regularizer", None)
        return {**config, "l1": self.l1, "l2": self.l2}


class _SpatialDropout(Dropout):
    """Base of the dropouts of whole channels."""

    _rank = None

    def __init__(self, rate, data_format=None, seed=None, name=None, dtype=None):
        super().__init__(rate, seed=seed, name=name, dtype=dtype)
        self.data_format = data_format
        self.input_spec = InputSpec(ndim=self._rank + 2)

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        shape = inputs.shape
        ones = (1,) * self._rank
        noise = (shape[0], shape[1], *ones) if self.data_format == "channels_first" \
            else (shape[0], *ones, shape[-1])
        return random.dropout(inputs, self.rate, noise_shape=noise, seed=self.seed_generator)

    def get_config(self):
        config = {"rate": self.rate, "seed": self.seed, "name": self.name, "dtype": self.dtype}
        return config if self._rank == 1 else {**config, "data_format": self.data_format}


class SpatialDropout1D(_SpatialDropout):
    """Dropout of whole channels of sequences `(batch_size, time, channels)`.

    Args:
        rate: Float, 0 to 1.
        seed: Integer, or `None`.
        name: Name.
        dtype: See `Layer`.
    """

    _plain = True
    _rank = 1

    def __init__(self, rate, seed=None, name=None, dtype=None):
        super().__init__(rate, None, seed, name, dtype)


class SpatialDropout2D(_SpatialDropout):
    """Dropout of whole channels of images.

    Args:
        rate: Float, 0 to 1.
        data_format: `"channels_last"` or `"channels_first"`.
        seed: Integer, or `None`.
        name: Name.
        dtype: See `Layer`.
    """

    _plain = True
    _rank = 2

    def __init__(self, rate, data_format=None, seed=None, name=None, dtype=None):
        super().__init__(rate, config.standardize_data_format(data_format), seed, name, dtype)


class SpatialDropout3D(SpatialDropout2D):
    """Dropout of whole channels of volumes. See `SpatialDropout2D`."""

    _plain = True
    _rank = 3
