"""Pooling layers: under a window, over all positions (global), and into a given number of parts
(adaptive).

A family is one class with all of the code; the public classes say how many spatial axes there are
and what is computed.
"""
from .. import config
from .._core import op
from ..ops import arrays, conv_family as _ops, numpy as _numpy
from ..ops.core import cast_array
from .convolutional import output_size
from .input_spec import InputSpec
from .layer import Layer


def _joined(input_shape, data_format, sizes):
    """The shape with other spatial sizes."""
    if data_format == "channels_last":
        return (input_shape[0], *sizes, input_shape[-1])
    return (input_shape[0], input_shape[1], *sizes)


# ---- under a window ------------------------------------------------------------------------------

class _Pooling(Layer):
    _plain = True
    _rank = None

    def __init__(self, pool_size, strides=None, padding="valid", data_format=None, name=None,
                 **kwargs):
        super().__init__(name=name, **kwargs)
        who = type(self).__name__
        self.pool_size = _ops.whole_numbers(who, "pool_size", pool_size, self._rank)
        self.strides = self.pool_size if strides is None else \
            _ops.whole_numbers(who, "strides", strides, self._rank)
        self.padding = _ops.padding_of(who, padding)
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self._rank + 2)
        self._build_at_init()

    def call(self, inputs):
        return self._run(inputs, self.pool_size, self.strides, self.padding, self.data_format)

    def compute_output_shape(self, input_shape):
        last = self.data_format == "channels_last"
        sizes = [output_size(n, k, s, self.padding, 1) for n, k, s in
                 zip(input_shape[1:-1] if last else input_shape[2:], self.pool_size, self.strides)]
        if any(n is not None and n < 1 for n in sizes):
            raise ValueError(f"{type(self).__name__}: the window is larger than the input. "
                             f"Received: input_shape={tuple(input_shape)}, "
                             f"pool_size={self.pool_size}")
        return _joined(input_shape, self.data_format, sizes)

    def get_config(self):
        return {**super().get_config(), "pool_size": self.pool_size, "padding": self.padding,
                "strides": self.strides, "data_format": self.data_format}



class AveragePooling1D(_Pooling):
    """The mean under a window over one axis.

    Args:
        pool_size: Integer.
        strides: The same; `None` is `pool_size`.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        name: The layer's name.
        **kwargs: See `Layer`.
    """
    _plain = True
    _rank = 1
    _run = staticmethod(_ops.average_pool)


class AveragePooling2D(_Pooling):
    """The mean under a window over two axes.

    Args:
        pool_size: Integer or 2 of them.
        strides: The same; `None` is `pool_size`.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        name: The layer's name.
        **kwargs: See `Layer`.
    """
    _plain = True
    _rank = 2
    _run = staticmethod(_ops.average_pool)


class AveragePooling3D(_Pooling):
    """The mean under a window over three axes.

    Args:
        pool_size: Integer or 3 of them.
        strides: The same; `None` is `pool_size`.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        name: The layer's name.
        **kwargs: See `Layer`.
    """
    _plain = True
    _rank = 3
    _run = staticmethod(_ops.average_pool)


class MaxPooling1D(_Pooling):
    """The largest number under a window over one axis.

    Args:
        pool_size: Integer. Defaults to `2`.
        strides: The same; `None` is `pool_size`.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        name: The layer's name.
        **kwargs: See `Layer`.
    """
    _plain = True
    _rank = 1
    _run = staticmethod(_ops.max_pool)

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None,
                 name=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)


class MaxPooling2D(_Pooling):
    """The largest number under a window over two axes.

    Args:
        pool_size: Integer or 2 of them. Defaults to `(2, 2)`.
        strides: The same; `None` is `pool_size`.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        name: The layer's name.
        **kwargs: See `Layer`.
    """
    _plain = True
    _rank = 2
    _run = staticmethod(_ops.max_pool)

    def __init__(self, pool_size=(2, 2), strides=None, padding="valid", data_format=None,
                 name=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)


class MaxPooling3D(_Pooling):
    """The largest number under a window over three axes.

    Args:
        pool_size: Integer or 3 of them. Defaults to `(2, 2, 2)`.
        strides: The same; `None` is `pool_size`.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        name: The layer's name.
        **kwargs: See `Layer`.
    """
    _plain = True
    _rank = 3
    _run = staticmethod(_ops.max_pool)

    def __init__(self, pool_size=(2, 2, 2), strides=None, padding="valid", data_format=None,
                 name=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)


# ---- global --------------------------------------------------------------------------------------

class _GlobalPooling(Layer):
    _plain = True
    _rank = None

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format)
        self.keepdims = bool(keepdims)
        self.input_spec = InputSpec(ndim=self._rank + 2)
        first = 1 if self.data_format == "channels_last" else 2
        self._axes = tuple(range(first, first + self._rank))
        self._build_at_init()

    def call(self, inputs):
        return self._run(inputs, self._axes, self.keepdims)

    def compute_output_shape(self, input_shape):
        sizes = (1,) * self._rank if self.keepdims else ()
        return _joined(input_shape, self.data_format, sizes)

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format, "keepdims": self.keepdims}


class GlobalAveragePooling1D(_GlobalPooling):
    """The mean of each channel over the axis.

    Args:
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        keepdims: Whether the axes stay with size 1. Defaults to `False`.
        **kwargs: See `Layer`.
    """
    _plain = False
    _rank = 1
    _run = staticmethod(_numpy.mean)

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(data_format, keepdims, **kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        if mask is None:
            return super().call(inputs)
        mask = arrays.expand_dims(cast_array(mask, "bool"), 3 - self._axes[0])
        total = op.sum(op.where(mask, inputs, 0.0), self._axes, int(self.keepdims))
        count = op.sum(cast_array(mask, inputs.dtype), self._axes, int(self.keepdims))
        return op.divide(total, count)

    def compute_mask(self, inputs, mask=None):
        return None


class GlobalAveragePooling2D(_GlobalPooling):
    """The mean of each channel over all 2 axes.

    Args:
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        keepdims: Whether the axes stay with size 1. Defaults to `False`.
        **kwargs: See `Layer`.
    """
    _plain = True
    _rank = 2
    _run = staticmethod(_numpy.mean)


class GlobalAveragePooling3D(_GlobalPooling):
    """The mean of each channel over all 3 axes.

    Args:
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        keepdims: Whether the axes stay with size 1. Defaults to `False`.
        **kwargs: See `Layer`.
    """
    _plain = True
    _rank = 3
    _run = staticmethod(_numpy.mean)


class GlobalMaxPooling1D(_GlobalPooling):
    """The largest number of each channel over the axis.

    Args:
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        keepdims: Whether the axes stay with size 1. Defaults to `False`.
        **kwargs: See `Layer`.
    """
    _plain = True
    _rank = 1
    _run = staticmethod(_numpy.max)


class GlobalMaxPooling2D(_GlobalPooling):
    """The largest number of each channel over all 2 axes.

    Args:
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        keepdims: Whether the axes stay with size 1. Defaults to `False`.
        **kwargs: See `Layer`.
    """
    _plain = True
    _rank = 2
    _run = staticmethod(_numpy.max)


class GlobalMaxPooling3D(_GlobalPooling):
    """The largest number of each channel over all 3 axes.

    Args:
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        keepdims: Whether the axes stay with size 1. Defaults to `False`.
        **kwargs: See `Layer`.
    """
    _plain = True
    _rank = 3
    _run = staticmethod(_numpy.max)


# ---- adaptive ------------------------------------------------------------------------------------

class _AdaptivePooling(Layer):
    _plain = True
    _rank = None

    def __init__(self, output_size, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.output_size = _ops.whole_numbers(type(self).__name__, "output_size", output_size,
                                              self._rank)
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self._rank + 2)
        self._build_at_init()

    def call(self, inputs):
        return self._run(inputs, self.output_size, self.data_format)

    def compute_output_shape(self, input_shape):
        return _joined(input_shape, self.data_format, self.output_size)

    def get_config(self):
        return {**super().get_config(), "output_size": self.output_size,
                "data_format": self.data_format}


class AdaptiveAveragePooling1D(_AdaptivePooling):
    """The mean of each of `output_size` nearly equal parts of one axis.

    Args:
        output_size: Integer, the sizes of the result.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        **kwargs: See `Layer`.
    """
    _plain = True
    _rank = 1
    _run = staticmethod(_ops.adaptive_average_pool)


class AdaptiveAveragePooling2D(_AdaptivePooling):
    """The mean of each of `output_size` nearly equal parts of two axes.

    Args:
        output_size: Integer or 2 of them, the sizes of the result.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        **kwargs: See `Layer`.
    """
    _plain = True
    _rank = 2
    _run = staticmethod(_ops.adaptive_average_pool)


class AdaptiveAveragePooling3D(_AdaptivePooling):
    """The mean of each of `output_size` nearly equal parts of three axes.

    Args:
        output_size: Integer or 3 of them, the sizes of the result.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        **kwargs: See `Layer`.
    """
    _plain = True
    _rank = 3
    _run = staticmethod(_ops.adaptive_average_pool)


class AdaptiveMaxPooling1D(_AdaptivePooling):
    """The largest number of each of `output_size` nearly equal parts of one axis.

    Args:
        output_size: Integer, the sizes of the result.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        **kwargs: See `Layer`.
    """
    _plain = True
    _rank = 1
    _run = staticmethod(_ops.adaptive_max_pool)


class AdaptiveMaxPooling2D(_AdaptivePooling):
    """The largest number of each of `output_size` nearly equal parts of two axes.

    Args:
        output_size: Integer or 2 of them, the sizes of the result.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        **kwargs: See `Layer`.
    """
    _plain = True
    _rank = 2
    _run = staticmethod(_ops.adaptive_max_pool)


class AdaptiveMaxPooling3D(_AdaptivePooling):
    """The largest number of each of `output_size` nearly equal parts of three axes.

    Args:
        output_size: Integer or 3 of them, the sizes of the result.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `image_data_format()`.
        **kwargs: See `Layer`.
    """
    _plain = True
    _rank = 3
    _run = staticmethod(_ops.adaptive_max_pool)


AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
GlobalAvgPool1D, GlobalAvgPool2D = GlobalAveragePooling1D, GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
GlobalMaxPool1D, GlobalMaxPool2D = GlobalMaxPooling1D, GlobalMaxPooling2D
GlobalMaxPool3D = GlobalMaxPooling3D
