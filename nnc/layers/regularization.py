"""Layers that make training harder, so that networks generalize."""
from .. import random
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
