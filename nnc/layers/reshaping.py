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


class Reshape(Layer):
    """The numbers of each sample in another shape.

    Args:
        target_shape: The shape without the batch axis; one size may be `-1`.
        **kwargs: See `Layer`.
    """

    _plain = True

    def __init__(self, target_shape, **kwargs):
        super().__init__(**kwargs)
        target_shape = tuple(target_shape)
        if sum(n == -1 for n in target_shape) > 1 or not all(
                isinstance(n, int) and (n >= -1) for n in target_shape):
            raise ValueError("Reshape: `target_shape` must hold integers >= 0 and at most one -1. "
                             f"Received: target_shape={target_shape}")
        self.target_shape = target_shape
        self._build_at_init()

    def call(self, inputs):
        target = self.compute_output_shape(tuple(inputs.shape))[1:]
        return op.reshape(inputs, (inputs.shape[0], *target))

    def compute_output_shape(self, input_shape):
        sizes, target = input_shape[1:], self.target_shape
        if None in sizes:
            return (input_shape[0], *(None if n == -1 else n for n in target))
        size, known = math.prod(sizes), math.prod(n for n in target if n != -1)
        if -1 not in target and size != known or -1 in target and (not known or size % known):
            raise ValueError(f"Reshape layer '{self.name}': the total size of the array must be "
                             f"unchanged. Received: input_shape={tuple(input_shape)}, "
                             f"target_shape={target}")
        return (input_shape[0], *(size // known if n == -1 else n for n in target))

    def get_config(self):
        return {**super().get_config(), "target_shape": self.target_shape}


class Permute(Layer):
    """The axes of each sample in another order.

    Args:
        dims: The axes, counted from 1, in their new order.
        **kwargs: See `Layer`.
    """

    _plain = True

    def __init__(self, dims, **kwargs):
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError("Permute: `dims` must be the integers from 1 to the number of axes, "
                             f"in some order. Received: dims={dims}")
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs):
        return op.transpose(inputs, (0, *self.dims))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *(input_shape[d] for d in self.dims))

    def get_config(self):
        return {**super().get_config(), "dims": self.dims}


class RepeatVector(Layer):
    """Vectors `(batch_size, features)` repeated along a new axis: `(batch_size, n, features)`.

    Args:
        n: Integer, how often.
        **kwargs: See `Layer`.
    """

    _plain = True

    def __init__(self, n, **kwargs):
        super().__init__(**kwargs)
        if isinstance(n, bool) or not isinstance(n, int):
            raise TypeError(f"RepeatVector: `n` must be an integer. Received: n={n!r} (of type "
                            f"{type(n).__name__})")
        if n < 1:
            raise ValueError(f"RepeatVector: `n` must be >= 1. Received: n={n}")
        self.n = n
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs):
        b, c = inputs.shape
        return op.broadcast_to(op.reshape(inputs, (b, 1, c)), (b, self.n, c))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.n, input_shape[1])

    def get_config(self):
        return {**super().get_config(), "n": self.n}


def _pairs(layer, name, value, rank, low=0):
    """A pair of integers for each axis, of an integer, integers or pairs."""
    forms = "a pair of" if rank == 1 else f"{rank} integers or {rank} pairs of"
    wrong = ValueError(f"{layer}: `{name}` must be an integer or {forms} integers >= {low}. "
                       f"Received: {name}={value!r}")
    number = isinstance(value, int)
    if number:
        value = (value,) * rank
    if not isinstance(value, (list, tuple)):
        raise wrong
    if rank == 1 and len(value) == 2 and all(isinstance(v, int) for v in value):
        value = (tuple(value),)
    if len(value) != rank or rank == 1 and isinstance(value[0], int) and not number:
        raise wrong
    pairs = tuple((v, v) if isinstance(v, int) else tuple(v) for v in value)
    if any(len(p) != 2 or any(isinstance(n, bool) or not isinstance(n, int) or n < low for n in p)
           for p in pairs):
        raise wrong
    return pairs


class _Spatial(Layer):
    """Base of the layers that change the sizes of an image's (a sequence's, a volume's) axes.

    A derived class says the new size of an axis, `_size(i, n)`, and does the work in `call`.
    """

    _plain = True
    _rank = None

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = "channels_last" if self._rank == 1 and data_format is None \
            else config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self._rank + 2)

    @property
    def _first(self):
        return 2 if self.data_format == "channels_first" else 1

    def compute_output_shape(self, input_shape):
        shape = list(input_shape)
        for i in range(self._rank):
            n = shape[self._first + i]
            shape[self._first + i] = None if n is None else self._size(i, n)
        return tuple(shape)

    def get_config(self):
        base = super().get_config()
        return base if self._rank == 1 else {**base, "data_format": self.data_format}


class _Cropping(_Spatial):
    """Base of Cropping1D to Cropping3D."""

    def __init__(self, cropping, data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        pairs = _pairs(type(self).__name__, "cropping", cropping, self._rank)
        self.cropping = pairs[0] if self._rank == 1 else pairs
        self._each = pairs

    def _size(self, i, n):
        left = n - sum(self._each[i])
        if left <= 0:
            raise ValueError(f"Layer '{self.name}': `cropping` must be smaller than the input's "
                             f"axis of size {n}. Received: cropping={self.cropping}")
        return left

    def call(self, inputs):
        self.compute_output_shape(inputs.shape)
        key = [slice(None)] * len(inputs.shape)
        for i, (before, after) in enumerate(self._each):
            axis = self._first + i
            key[axis] = slice(before, inputs.shape[axis] - after)
        return inputs[tuple(key)]

    def get_config(self):
        return {**super().get_config(), "cropping": self.cropping}


class Cropping1D(_Cropping):
    """Cuts steps off both ends of sequences.

    Args:
        cropping: Integer or pair: how many at the beginning and the end.
        **kwargs: See `Layer`.
    """

    _plain = True
    _rank = 1

    def __init__(self, cropping=(1, 1), **kwargs):
        super().__init__(cropping, None, **kwargs)


class Cropping2D(_Cropping):
    """Cuts rows and columns off images.

    Args:
        cropping: Integer, pair of integers (rows, columns) or pair of pairs.
        data_format: `"channels_last"` or `"channels_first"`.
        **kwargs: See `Layer`.
    """

    _plain = True
    _rank = 2

    def __init__(self, cropping=((0, 0), (0, 0)), data_format=None, **kwargs):
        super().__init__(cropping, data_format, **kwargs)


class Cropping3D(_Cropping):
    """Cuts slices off volumes. See `Cropping2D`."""

    _plain = True
    _rank = 3

    def __init__(self, cropping=((1, 1), (1, 1), (1, 1)), data_format=None, **kwargs):
        super().__init__(cropping, data_format, **kwargs)


class _ZeroPadding(_Spatial):
    """Base of ZeroPadding1D to ZeroPadding3D."""

    def __init__(self, padding, data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self._each = _pairs(type(self).__name__, "padding", padding, self._rank)
        self.padding = self._each[0] if self._rank == 1 else self._each

    def _size(self, i, n):
        return n + sum(self._each[i])

    def call(self, inputs):
        before, after = [0] * len(inputs.shape), [0] * len(inputs.shape)
        for i, (a, b) in enumerate(self._each):
            before[self._first + i], after[self._first + i] = a, b
        return op.pad(inputs, (*before, *after), 0.0)

    def get_config(self):
        base = super().get_config()
        base.pop("data_format", None)
        return {**base, "padding": self.padding, "data_format": self.data_format}


class ZeroPadding1D(_ZeroPadding):
    """Zeros before and behind sequences.

    Args:
        padding: Integer or pair.
        data_format: `"channels_last"` or `"channels_first"`.
        **kwargs: See `Layer`.
    """

    _plain = True
    _rank = 1

    def __init__(self, padding=1, data_format=None, **kwargs):
        super().__init__(padding, config.standardize_data_format(data_format), **kwargs)


class ZeroPadding2D(_ZeroPadding):
    """Zeros about images.

    Args:
        padding: Integer, pair of integers (rows, columns) or pair of pairs.
        data_format: `"channels_last"` or `"channels_first"`.
        **kwargs: See `Layer`.
    """

    _plain = True
    _rank = 2

    def __init__(self, padding=(1, 1), data_format=None, **kwargs):
        super().__init__(padding, data_format, **kwargs)


class ZeroPadding3D(_ZeroPadding):
    """Zeros about volumes. See `ZeroPadding2D`."""

    _plain = True
    _rank = 3

    def __init__(self, padding=((1, 1), (1, 1), (1, 1)), data_format=None, **kwargs):
        super().__init__(padding, data_format, **kwargs)


class _UpSampling(_Spatial):
    """Base of UpSampling1D to UpSampling3D: each place is repeated."""

    def __init__(self, size, data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        sizes = (size,) * self._rank if isinstance(size, int) else tuple(size)
        if len(sizes) != self._rank or any(isinstance(n, bool) or not isinstance(n, int) or n < 1
                                           for n in sizes):
            raise ValueError(f"{type(self).__name__}: `size` must be an integer or {self._rank} "
                             f"integers >= 1. Received: size={size!r}")
        self._each = sizes
        self.size = sizes[0] if self._rank == 1 else sizes

    def _size(self, i, n):
        return n * self._each[i]

    def call(self, inputs):
        x = inputs
        for i, times in enumerate(self._each):
            axis, shape = self._first + i, list(x.shape)
            wide = [*shape[:axis + 1], 1, *shape[axis + 1:]]
            x = op.reshape(x, tuple(wide))
            wide[axis + 1] = times
            shape[axis] *= times
            x = op.reshape(op.broadcast_to(x, tuple(wide)), tuple(shape))
        return x

    def get_config(self):
        return {**super().get_config(), "size": self.size}


class UpSampling1D(_UpSampling):
    """Each step of a sequence repeated.

    Args:
        size: Integer, how often.
        **kwargs: See `Layer`.
    """

    _plain = True
    _rank = 1

    def __init__(self, size=2, **kwargs):
        super().__init__(size, None, **kwargs)


class UpSampling2D(_UpSampling):
    """Each row and column of an image repeated, or the image resized by a filter.

    Args:
        size: Integer or pair (rows, columns): how often.
        data_format: `"channels_last"` or `"channels_first"`.
        interpolation: `"nearest"`, `"bilinear"`, `"bicubic"`, `"lanczos3"` or `"lanczos5"`.
        **kwargs: See `Layer`.
    """

    _plain = True
    _rank = 2
    _FILTERS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")

    def __init__(self, size=(2, 2), data_format=None, interpolation="nearest", **kwargs):
        if interpolation not in self._FILTERS:
            raise ValueError("UpSampling2D: `interpolation` must be one of "
                             f"{', '.join(self._FILTERS)}. Received: interpolation="
                             f"{interpolation!r}")
        super().__init__(size, data_format, **kwargs)
        self.interpolation = interpolation

    def call(self, inputs):
        if self.interpolation == "nearest":
            return super().call(inputs)
        from ..ops.image import resize

        size = [inputs.shape[self._first + i] * times for i, times in enumerate(self._each)]
        return resize(inputs, size, self.interpolation, data_format=self.data_format)

    def get_config(self):
        return {**super().get_config(), "interpolation": self.interpolation}


class UpSampling3D(_UpSampling):
    """Each slice of a volume repeated. See `UpSampling2D`."""

    _plain = True
    _rank = 3

    def __init__(self, size=(2, 2, 2), data_format=None, **kwargs):
        super().__init__(size, data_format, **kwargs)
