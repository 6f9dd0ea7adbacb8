"""Layers that change where numbers lie."""
import math

from .. import config
from .._core import op
from .input_spec import InputSpec
from .layer import Layer


class Flatten(Layer):
    """All numbers of a sample in one row.

    Args:
        data_format: `"channels_last"` or `"channels_first"`; the rows are those of channels-last
            data. Defaults to `image_data_format()`.
        **kwargs: See `Layer`.

    Input shape: `(batch_size, ...)`. Output shape: `(batch_size, numbers)`; `(batch_size, 1)` for
        vectors.
    """

    _plain = True

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)
        self._channels_first = self.data_format == "channels_first"

    def call(self, inputs):
        shape = inputs.shape
        if self._channels_first and len(shape) > 2:
            inputs = op.transpose(inputs, (0, *range(2, len(shape)), 1))
        return op.reshape(inputs, (shape[0], math.prod(shape[1:])))

    def compute_output_shape(self, input_shape):
        sizes = input_shape[1:]
        return (input_shape[0], None if any(n is None for n in sizes) else math.prod(sizes))

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format}
