"""Initializers: given a shape and a dtype they make the first values of a weight, drawn in the
core.
"""
import math

import numpy as np

from . import _core, identifiers, ops, random
from ._core import Tensor, op
from .naming import to_snake_case
from .ops.core import cast_array, convert_to_tensor, standardize_dtype, static_shape
from .random.seed_generator import SeedGenerator, make_default_seed


class Initializer:
    """Base class: override `__call__`, and `get_config` if there are arguments."""

    def __call__(self, shape, dtype=None):
        """A tensor of `shape` and `dtype` (`None`: `floatx()`)."""
        raise NotImplementedError("Initializer subclasses must implement the `__call__()` method.")

    def get_config(self):
        """The arguments of `__init__` as a dictionary."""
        return {}

    @classmethod
    def from_config(cls, config):
        """The initializer that `get_config` described."""
        return cls(**config)

    def clone(self):
        """A new initializer with the same arguments."""
        return self.__class__.from_config(self.get_config())


class Zeros(Initializer):
    """Zeros."""

    def __call__(self, shape, dtype=None):
        return ops.zeros(shape, dtype)


class Ones(Initializer):
    """Ones."""

    def __call__(self, shape, dtype=None):
        return ops.ones(shape, dtype)


class Constant(Initializer):
    """One value everywhere, or an array that broadcasts to the shape.

    Args:
        value: Number or array. Defaults to `0.0`.
    """

    def __init__(self, value=0.0):
        self.value = value

    def __call__(self, shape, dtype=None):
        dtype = standardize_dtype(dtype)
        return ops.broadcast_to(convert_to_tensor(self.value, dtype),
                                static_shape("Constant", shape))

    def get_config(self):
        return {"value": identifiers.serialize(self.value)}

    @classmethod
    def from_config(cls, config):
        value = config["value"]
        if isinstance(value, dict):
            from .saving.object_registration import deserialize_keras_object

            value = deserialize_keras_object(value)
        return cls(value)


#: Cosine windows: the weights of cos(0), cos(x), cos(2x) with alternating signs.
_WINDOWS = {"hann": (0.5, 0.5), "hanning": (0.5, 0.5), "hamming": (0.54, 0.46),
            "blackman": (0.42, 0.5, 0.08), "boxcar": (1.0,)}


def _window(name, length, periodic):
    """A window by name; those that are no sum of cosines come from SciPy, if that is there."""
    if name in _WINDOWS:
        turns = 2 * np.pi * np.arange(length) / max(length - (not periodic), 1)
        weights = enumerate(_WINDOWS[name])
        values = sum((-1) ** k * weight * np.cos(k * turns) for k, weight in weights)
        return values if length > 1 else np.ones(length)
    try:
        from scipy.signal import get_window
    except ImportError:
        raise ValueError(f"STFT: `window` must be one of {sorted(_WINDOWS)} (others need SciPy). "
                         f"Received: window={name!r}") from None
    return get_window(name, length, periodic)


class STFT(Initializer):
    """The kernel of a convolution that gives short-time Fourier transforms: cosines or minus sines
    of shape `(frame_length, 1, fft_length // 2 + 1)`, under a window.

    Args:
        side: `"real"` or `"imag"`. Defaults to `"real"`.
        window: The name of a window, an array of `frame_length` numbers, or `None`. Defaults to
            `"hann"`.
        scaling: `"density"`: divided by the root of the sum of the window's squares; `"spectrum"`:
            by its sum; or `None`. Defaults to `"density"`.
        periodic: Whether a window by name is periodic, and not symmetric. Defaults to `False`.
    """

    def __init__(self, side="real", window="hann", scaling="density", periodic=False):
        if side not in ("real", "imag"):
            raise ValueError(f"STFT: `side` must be 'real' or 'imag'. Received: side={side!r}")
        if scaling not in (None, "density", "spectrum"):
            raise ValueError("STFT: `scaling` must be None, 'density' or 'spectrum'. Received: "
                             f"scaling={scaling!r}")
        if isinstance(window, str):
            _window(window, 1, periodic)
        self.side = side
        self.window = window
        self.scaling = scaling
        self.periodic = periodic

    def __call__(self, shape, dtype=None):
        dtype = standardize_dtype(dtype)
        if len(shape) != 3:
            raise ValueError("STFT: `shape` must be (frame_length, input_channels, fft_length // 2 "
                             f"+ 1). Received: shape={tuple(shape)}")
        length, _, bins = shape
        times, rates = np.arange(length).reshape(-1, 1, 1), np.arange(bins) / (2 * (bins - 1))
        turns = -2 * np.pi * times * rates
        kernel = np.cos(turns) if self.side == "real" else np.sin(turns)
        window = self.window
        if window is not None:
            named = isinstance(window, str)
            window = _window(window, length, self.periodic) if named else np.asarray(window)
            if window.shape != (length,):
                raise ValueError(f"STFT: `window` must have the shape ({length},) of a frame. "
                                 f"Received: window.shape={window.shape}")
            scale = {"density": lambda w: np.sqrt(np.sum(w**2)), "spectrum":
                     lambda w: np.sum(np.abs(w)), None: lambda w: 1.0}[self.scaling](window)
            kernel = kernel * window.reshape(-1, 1, 1) / scale
        return convert_to_tensor(kernel, dtype)

    def get_config(self):
        return {"side": self.side, "window": self.window, "periodic": self.periodic,
                "scaling": self.scaling}


class Identity(Initializer):
    """The identity matrix, times `gain`.

    Args:
        gain: Float. Defaults to `1.0`.
    """

    def __init__(self, gain=1.0):
        self.gain = gain

    def __call__(self, shape, dtype=None):
        if len(shape) != 2:
            raise ValueError("Identity matrix initializer can only be used for 2D matrices. "
                             f"Received: shape={tuple(shape)} of rank {len(shape)}.")
        return op.multiply(ops.eye(*shape, dtype=dtype), self.gain)

    def get_config(self):
        return {"gain": self.gain}


class _RandomInitializer(Initializer):
    """Holds the seed: an integer or `None` gives the same values at each call, a generator new
    ones.
    """

    def __init__(self, seed=None):
        self._init_seed = seed
        if seed is None:
            seed = make_default_seed()
        elif isinstance(seed, dict):
            seed = SeedGenerator.from_config(seed.get("config", seed))
        elif isinstance(seed, bool) or not isinstance(seed, (int, np.integer, SeedGenerator)):
            raise ValueError("`seed` argument should be an instance of "
                             "`keras.random.SeedGenerator()` or "
                             f"an integer. Received: seed={seed!r}")
        self.seed = seed

    def _seed_config(self):
        return identifiers.serialize(self._init_seed)

    def get_config(self):
        return {"seed": self._seed_config()}


class RandomNormal(_RandomInitializer):
    """Normally distributed values.

    Args:
        mean: Float. Defaults to `0.0`.
        stddev: Float. Defaults to `0.05`.
        seed: Integer, `SeedGenerator` or `None`.
    """

    def __init__(self, mean=0.0, stddev=0.05, seed=None):
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def __call__(self, shape, dtype=None):
        return random.normal(shape, self.mean, self.stddev, dtype, self.seed)

    def get_config(self):
        return {"seed": self._seed_config(), "mean": self.mean, "stddev": self.stddev}


class TruncatedNormal(RandomNormal):
    """Normally distributed values within two standard deviations of the mean.

    Args:
        mean: Float. Defaults to `0.0`.
        stddev: Float. Defaults to `0.05`.
        seed: Integer, `SeedGenerator` or `None`.
    """

    def __call__(self, shape, dtype=None):
        return random.truncated_normal(shape, self.mean, self.stddev, dtype, self.seed)


class RandomUniform(_RandomInitializer):
    """Values evenly spread over `minval` to `maxval`.

    Args:
        minval: Float. Defaults to `-0.05`.
        maxval: Float. Defaults to `0.05`.
        seed: Integer, `SeedGenerator` or `None`.
    """

    def __init__(self, minval=-0.05, maxval=0.05, seed=None):
        super().__init__(seed)
        self.minval = minval
        self.maxval = maxval

    def __call__(self, shape, dtype=None):
        return random.uniform(shape, self.minval, self.maxval, dtype, self.seed)

    def get_config(self):
        return {"seed": self._seed_config(), "minval": self.minval, "maxval": self.maxval}


def compute_fans(shape, input_axes=None, output_axes=None):
    """How many inputs and outputs a weight of `shape` joins: `(fan_in, fan_out)`.

    Without axes: the last two are inputs and outputs, those before them a convolution's window.
    """
    shape = tuple(shape)
    if input_axes is not None and output_axes is not None:
        return (math.prod(shape[a] for a in input_axes), math.prod(shape[a] for a in output_axes))
    if len(shape) < 2:
        size = math.prod(shape)
        return size, size
    window = math.prod(shape[:-2])
    return shape[-2] * window, shape[-1] * window


class VarianceScaling(_RandomInitializer):
    """Values whose variance is `scale / n`, n counting inputs, outputs or the mean of both.

    Args:
        scale: Float > 0. Defaults to `1.0`.
        mode: `"fan_in"`, `"fan_out"` or `"fan_avg"`. Defaults to `"fan_in"`.
        distribution: `"truncated_normal"`, `"untruncated_normal"` or `"uniform"`.
        seed: Integer, `SeedGenerator` or `None`.
        input_axes: The axes that count inputs, or `None`: see `compute_fans`.
        output_axes: The axes that count outputs, or `None`.
    """

    def __init__(self, scale=1.0, mode="fan_in", distribution="truncated_normal", seed=None,
                 input_axes=None, output_axes=None):
        super().__init__(seed)
        if scale <= 0.0:
            raise ValueError(f"Argument `scale` must be positive float. Received: scale={scale}")
        modes = ("fan_in", "fan_out", "fan_avg")
        if mode not in modes:
            raise ValueError(f"Invalid `mode` argument: {mode}. Please use one of {modes}")
        distribution = distribution.lower()
        distribution = "truncated_normal" if distribution == "normal" else distribution
        distributions = ("uniform", "truncated_normal", "untruncated_normal")
        if distribution not in distributions:
            raise ValueError(f"Invalid `distribution` argument: {distribution}. "
                             f"Please use one of {distributions}")
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.input_axes = input_axes
        self.output_axes = output_axes

    def __call__(self, shape, dtype=None):
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        count = {"fan_in": fan_in, "fan_out": fan_out,
                 "fan_avg": (fan_in + fan_out) / 2.0}[self.mode]
        variance = self.scale / max(1.0, count)
        if self.distribution == "truncated_normal":
            # Cut at two standard deviations, a normal distribution keeps 0.8796... of its own.
            stddev = math.sqrt(variance) / 0.87962566103423978
            return random.truncated_normal(shape, 0.0, stddev, dtype, self.seed)
        if self.distribution == "untruncated_normal":
            return random.normal(shape, 0.0, math.sqrt(variance), dtype, self.seed)
        limit = math.sqrt(3.0 * variance)
        return random.uniform(shape, -limit, limit, dtype, self.seed)

    def get_config(self):
        return {"seed": self._seed_config(), "scale": self.scale, "mode": self.mode,
                "distribution": self.distribution, "input_axes": self.input_axes,
                "output_axes": self.output_axes}


class _Preset(VarianceScaling):
    """A `VarianceScaling` whose first three arguments a subclass fixes."""

    _preset = None

    def __init__(self, seed=None, input_axes=None, output_axes=None):
        super().__init__(*self._preset, seed=seed, input_axes=input_axes, output_axes=output_axes)

    def get_config(self):
        return {"seed": self._seed_config(), "input_axes": self.input_axes,
                "output_axes": self.output_axes}


class GlorotUniform(_Preset):
    """Uniform within `sqrt(6 / (fan_in + fan_out))` of 0. Reference: Glorot and Bengio, 2010."""

    _preset = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Preset):
    """Truncated normal of variance `2 / (fan_in + fan_out)`. Reference: Glorot and Bengio, 2010."""

    _preset = (1.0, "fan_avg", "truncated_normal")


class LecunUniform(_Preset):
    """Uniform within `sqrt(3 / fan_in)` of 0. Reference: LeCun et al., 1998."""

    _preset = (1.0, "fan_in", "uniform")


class LecunNormal(_Preset):
    """Truncated normal of variance `1 / fan_in`. Reference: LeCun et al., 1998."""

    _preset = (1.0, "fan_in", "truncated_normal")


class HeUniform(_Preset):
    """Uniform within `sqrt(6 / fan_in)` of 0. Reference: He et al., 2015, arXiv:1502.01852."""

    _preset = (2.0, "fan_in", "uniform")


class HeNormal(_Preset):
    """Truncated normal of variance `2 / fan_in`. Reference: He et al., 2015, arXiv:1502.01852."""

    _preset = (2.0, "fan_in", "truncated_normal")


class Orthogonal(_RandomInitializer):
    """Orthogonal columns (rows, if the matrix is wide); more axes are flattened into the first.

    Args:
        gain: Float, times the matrix. Defaults to `1.0`.
        seed: Integer, `SeedGenerator` or `None`.

    Reference: Saxe et al., 2014, arXiv:1312.6120.
    """

    def __init__(self, gain=1.0, seed=None):
        super().__init__(seed)
        self.gain = gain

    def __call__(self, shape, dtype=None):
        if len(shape) < 2:
            raise ValueError("The tensor to initialize must be at least two-dimensional. Received: "
                             f"shape={tuple(shape)} of rank {len(shape)}.")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        drawn = random.normal((max(rows, columns), min(rows, columns)), dtype="float64",
                              seed=self.seed)
        q, r = np.linalg.qr(drawn.numpy())
        q = q * np.sign(np.diagonal(r))     # else q would not be evenly distributed
        q = q.T if rows < columns else q
        return cast_array(Tensor(np.ascontiguousarray(self.gain * q.reshape(shape))),
                          standardize_dtype(dtype))

    def get_config(self):
        return {"seed": self._seed_config(), "gain": self.gain}


_CLASSES = (Initializer, Constant, Identity, Ones, Zeros, GlorotNormal, GlorotUniform, HeNormal,
            HeUniform, LecunNormal, LecunUniform, Orthogonal, RandomNormal, RandomUniform,
            TruncatedNormal, VarianceScaling, STFT)
ALL_OBJECTS = {cls.__name__: cls for cls in _CLASSES}
ALL_OBJECTS.update({to_snake_case(cls.__name__): cls for cls in _CLASSES})
ALL_OBJECTS.update(IdentityInitializer=Identity, OrthogonalInitializer=Orthogonal,
                   STFTInitializer=STFT, stft=STFT,
                   normal=RandomNormal, uniform=RandomUniform, one=Ones, zero=Zeros)

constant, identity, ones, zeros = Constant, Identity, Ones, Zeros
glorot_normal, glorot_uniform = GlorotNormal, GlorotUniform
he_normal, he_uniform = HeNormal, HeUniform
lecun_normal, lecun_uniform = LecunNormal, LecunUniform
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal
variance_scaling, orthogonal = VarianceScaling, Orthogonal
IdentityInitializer, OrthogonalInitializer = Identity, Orthogonal
stft = STFTInitializer = STFT


def serialize(initializer):
    """The configuration of an initializer as a dictionary."""
    return identifiers.serialize(initializer)


def deserialize(config, custom_objects=None):
    """The initializer that a configuration describes."""
    return identifiers.deserialize(config, ALL_OBJECTS, "initializer", custom_objects)


def _of_values(values):
    """An initializer that gives `values`, an array."""
    def initialize(shape, dtype=None):
        if tuple(shape) != tuple(values.shape):
            raise ValueError(f"Expected `shape` to be {tuple(values.shape)} for direct tensor as "
                             f"initializer. Received shape={tuple(shape)}")
        return convert_to_tensor(values, standardize_dtype(dtype))
    return initialize


def get(identifier):
    """The initializer that `identifier` stands for.

    Args:
        identifier: A name, a configuration, a class, a callable of `(shape, dtype)`, an array of
            values, or `None`, which stays `None`.
    """
    if identifier is None:
        return None
    if isinstance(identifier, (Tensor, _core.Variable, np.ndarray, np.generic)):
        return _of_values(identifier)
    return identifiers.get(identifier, ALL_OBJECTS, "initializer")
