"""Layers that make numbers ready for a network: scaling, normalization by the data's statistics,
codes of categories.
"""
import math

import numpy as np

from .. import config, ops
from ..ops.core import cast_array
from .layer import Layer, numeric_array


class DataLayer(Layer):
    """Base of layers that prepare data: they can be called on arrays, outside of any model."""

    def convert_weight(self, weight):
        """A weight as `call` computes with it: as it is."""
        return weight


class Rescaling(DataLayer):
    """`x * scale + offset`.

    Args:
        scale: Number or array.
        offset: Number or array. Defaults to `0.0`.
        **kwargs: See `Layer`.
    """

    _plain = True

    def __init__(self, scale, offset=0.0, **kwargs):
        super().__init__(**kwargs)
        self.scale, self.offset = scale, offset
        self.supports_masking = True

    def call(self, inputs):
        x = cast_array(inputs, self.compute_dtype)
        scale, offset = (cast_array(np.asarray(v), self.compute_dtype)
                         for v in (self.scale, self.offset))
        return ops.add(ops.multiply(x, scale), offset)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        from ..saving.object_registration import serialize_keras_object

        return {**super().get_config(), "scale": serialize_keras_object(self.scale),
                "offset": serialize_keras_object(self.offset)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The layer that `get_config` described."""
        from ..saving.object_registration import deserialize_keras_object

        config = dict(config)
        for key in ("scale", "offset"):
            config[key] = deserialize_keras_object(config[key], custom_objects)
        return cls(**config)


class CategoryEncoding(DataLayer):
    """Codes of whole numbers from 0 to `num_tokens - 1`.

    Args:
        num_tokens: Integer > 0.
        output_mode: `"multi_hot"` (1 for each number in a row), `"one_hot"` or `"count"`.
        sparse: Must be `False`: all tensors are dense.
        **kwargs: See `Layer`.
    """

    def __init__(self, num_tokens=None, output_mode="multi_hot", sparse=False, **kwargs):
        super().__init__(**kwargs)
        if output_mode == "binary":
            output_mode = "multi_hot"
        if output_mode not in ("count", "one_hot", "multi_hot"):
            raise ValueError("CategoryEncoding: `output_mode` must be 'count', 'one_hot' or "
                             f"'multi_hot'. Received: output_mode={output_mode!r}")
        if isinstance(num_tokens, bool) or not isinstance(num_tokens, int) or num_tokens < 1:
            raise ValueError("CategoryEncoding: `num_tokens` must be an integer >= 1. Received: "
                             f"num_tokens={num_tokens!r}")
        if sparse:
            raise ValueError("CategoryEncoding: `sparse=True` is not possible here: all tensors "
                             "are dense.")
        self.num_tokens, self.output_mode, self.sparse = num_tokens, output_mode, False
        self.autocast = False
        self._build_at_init()

    def call(self, inputs, count_weights=None):
        if count_weights is not None and self.output_mode != "count":
            raise ValueError(f"CategoryEncoding layer '{self.name}': `count_weights` is for "
                             f"output_mode='count'. Received: output_mode={self.output_mode!r}")
        x = inputs if inputs.dtype.startswith(("int", "uint")) else cast_array(inputs, "int32")
        x = ops.reshape(x, (1,)) if not x.shape else x
        if self.output_mode == "one_hot":
            if len(x.shape) > 1 and x.shape[-1] == 1:
                x = ops.reshape(x, x.shape[:-1])
            return ops.one_hot(x, self.num_tokens, dtype=self.compute_dtype)
        codes = ops.one_hot(x, self.num_tokens, dtype=self.compute_dtype)
        if count_weights is not None:
            weights = cast_array(count_weights, self.compute_dtype)
            codes = ops.multiply(codes, ops.reshape(weights, (*weights.shape, 1)))
        axis = len(x.shape) - 1
        return ops.max(codes, axis=axis) if self.output_mode == "multi_hot" \
            else ops.sum(codes, axis=axis)

    def compute_output_shape(self, input_shape):
        shape = tuple(input_shape)
        if self.output_mode == "one_hot" and (len(shape) == 1 or shape and shape[-1] != 1):
            return (*shape, self.num_tokens)
        return (*shape[:-1], self.num_tokens)

    def get_config(self):
        return {**super().get_config(), "num_tokens": self.num_tokens,
                "output_mode": self.output_mode}


class Normalization(DataLayer):
    """`(x - mean) / sqrt(variance)`, by statistics that `adapt` finds or that are given.

    Args:
        axis: Integer, tuple of integers or `None`: the axes that have statistics of their own.
        mean: Number or array, with `variance`.
        variance: Number or array, with `mean`.
        invert: Whether the opposite is done: `x * sqrt(variance) + mean`.
        **kwargs: See `Layer`.
    """

    _plain = True

    def __init__(self, axis=-1, mean=None, variance=None, invert=False, **kwargs):
        super().__init__(**kwargs)
        self.axis = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        if (mean is None) != (variance is None):
            raise ValueError("Normalization: `mean` and `variance` must be passed together. "
                             f"Received: mean={mean}, variance={variance}")
        self.input_mean, self.input_variance, self.invert = mean, variance, bool(invert)
        self.supports_masking = True

    def build(self, input_shape):
        if self.built:
            return
        rank = len(input_shape)
        if any(not -rank <= a < rank for a in self.axis):
            raise ValueError(f"Normalization layer '{self.name}': an axis of {self.axis} is out of "
                             f"range. Received: input_shape={tuple(input_shape)}")
        kept = tuple(sorted(a % rank for a in self.axis))
        shape = tuple(input_shape[a] for a in kept)
        if None in shape:
            raise ValueError(f"Normalization layer '{self.name}': the axes to be kept must have a "
                             f"known size. Received: input_shape={tuple(input_shape)}, "
                             f"axis={self.axis}")
        self._keep_axis, self._keep_shape = kept, shape
        self._reduce_axis = tuple(a for a in range(rank) if a not in kept)
        self._broadcast_shape = tuple(n if a in kept else 1 for a, n in enumerate(input_shape))
        if self.input_mean is None:
            self.adapt_mean = self.add_weight(name="mean", shape=shape, initializer="zeros",
                                              trainable=False)
            self.adapt_variance = self.add_weight(name="variance", shape=shape, initializer="ones",
                                                  trainable=False)
            self.count = self.add_weight(name="count", shape=(), dtype="int32",
                                         initializer="zeros", trainable=False)
        else:
            for value in (self.input_mean, self.input_variance):
                np.broadcast_to(np.asarray(value), self._broadcast_shape)

    def adapt(self, data):
        """Finds mean and variance.

        Args:
            data: An array or tensor, or an iterable of batches.
        """
        if self.input_mean is not None:
            raise ValueError(f"Normalization layer '{self.name}': `adapt` is not possible where "
                             "`mean` and `variance` were passed.")
        batches = [data] if hasattr(data, "shape") else data
        if not hasattr(batches, "__iter__"):
            raise TypeError("adapt: expected an array or an iterable of batches. Received: "
                            f"{type(data).__name__}")
        count = mean = variance = 0.0
        for batch in batches:
            x = numeric_array(batch, "adapt: `data`").astype("float64")
            self.build(x.shape)
            if tuple(x.shape[a] for a in self._keep_axis) != self._keep_shape:
                raise ValueError(f"Normalization layer '{self.name}': `data` has an incompatible "
                                 f"shape {x.shape}: the axes {self._keep_axis} must have the sizes "
                                 f"{self._keep_shape}.")
            new = math.prod(x.shape[a] for a in self._reduce_axis)
            share = new / (count + new)
            m, v = x.mean(self._reduce_axis), x.var(self._reduce_axis)
            variance = variance * (1 - share) + v * share + (m - mean) ** 2 * share * (1 - share)
            mean = mean + (m - mean) * share
            count += new
        if not count:
            raise ValueError("adapt: received no data.")
        self.adapt_mean.assign(np.asarray(mean))
        self.adapt_variance.assign(np.asarray(variance))

    def finalize_state(self):
        """Nothing: the statistics are read where they are."""

    def call(self, inputs):
        given = self.input_mean is not None
        x = cast_array(inputs, self.compute_dtype)
        mean, variance = (np.asarray(self.input_mean), np.asarray(self.input_variance)) if given \
            else (self.adapt_mean, self.adapt_variance)
        if given:
            shape = (1,) * (len(x.shape) - len(self._broadcast_shape)) + self._broadcast_shape
            mean, variance = (np.array(np.broadcast_to(v, shape)) for v in (mean, variance))
        else:
            mean, variance = (ops.reshape(v, self._broadcast_shape) for v in (mean, variance))
        mean, variance = (cast_array(v, self.compute_dtype) for v in (mean, variance))
        deviation = ops.maximum(ops.sqrt(variance), config.epsilon())
        if self.invert:
            return ops.add(mean, ops.multiply(x, deviation))
        return ops.divide(ops.subtract(x, mean), deviation)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        mean, variance = (None if v is None else np.asarray(v).tolist()
                          for v in (self.input_mean, self.input_variance))
        return {**super().get_config(), "axis": self.axis, "invert": self.invert, "mean": mean,
                "variance": variance}
