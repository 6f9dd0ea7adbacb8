"""Fourier transforms and short-time Fourier transforms.

There is no complex dtype: complex arrays are pairs (real parts, imaginary parts), as Keras's. NumPy
computes the transforms (see host.py); framing, windows and padding are ordinary ops.
"""
import numpy as np

from .._core import Tensor, op
from . import arrays, host
from .core import cast_array, float_array


def _real(name, x, rank=1):
    x = float_array(x)
    if x.dtype not in ("float32", "float64"):
        raise TypeError(f"{name}: expected float32 or float64. Received: x.dtype={x.dtype}")
    if len(x.shape) < rank:
        raise ValueError(f"{name}: `x` must have at least {rank} axes. Received: "
                         f"x.shape={tuple(x.shape)}")
    return x


def _complex(name, x, rank=1):
    """A pair as one array (2, ...)."""
    if not isinstance(x, (tuple, list)) or len(x) != 2:
        raise ValueError(f"{name}: `x` must be a pair (real parts, imaginary parts). Received: "
                         f"x={x!r}")
    real, imaginary = (_real(name, part, rank) for part in x)
    if tuple(real.shape) != tuple(imaginary.shape):
        raise ValueError(f"{name}: both parts must have one shape. Received: "
                         f"{tuple(real.shape)} and {tuple(imaginary.shape)}")
    dtype = "float64" if "float64" in (real.dtype, imaginary.dtype) else real.dtype
    return arrays.stack([cast_array(real, dtype), cast_array(imaginary, dtype)], 0)


def _sized(x, size):
    """The last axis cut, or filled with zeros, to `size`."""
    have = x.shape[-1]
    if have > size:
        return x[..., :size]
    return op.pad(x, (0,) * (2 * len(x.shape) - 1) + (size - have,), 0.0) if have < size else x


def _length(name, fft_length):
    if isinstance(fft_length, bool) or not isinstance(fft_length, (int, np.integer)) \
            or fft_length < 1:
        raise ValueError(f"{name}: `fft_length` must be an integer >= 1. Received: "
                         f"fft_length={fft_length!r}")
    return int(fft_length)


def fft(x):
    """The Fourier transform of a pair over the last axis, as a pair."""
    z = _complex("fft", x)
    y = host.call("fft", z.shape, z.dtype, z, 1, 0)
    return y[0], y[1]


def fft2(x):
    """The Fourier transform of a pair over the last two axes, as a pair."""
    z = _complex("fft2", x, 2)
    y = host.call("fft", z.shape, z.dtype, z, 2, 0)
    return y[0], y[1]


def ifft2(x):
    """What undoes `fft2`."""
    z = _complex("ifft2", x, 2)
    y = op.divide(host.call("fft", z.shape, z.dtype, z, 2, 1),
                  float(max(1, z.shape[-1] * z.shape[-2])))
    return y[0], y[1]


def rfft(x, fft_length=None):
    """The Fourier transform of a real array over the last axis, as a pair of `fft_length // 2 + 1`
    bins; the axis is cut, or filled with zeros, to `fft_length`.
    """
    x = _real("rfft", x)
    n = x.shape[-1] if fft_length is None else _length("rfft", fft_length)
    x = _sized(x, n)
    y = host.call("rfft", (2, *x.shape[:-1], n // 2 + 1), x.dtype, x)
    return y[0], y[1]


def irfft(x, fft_length=None):
    """What undoes `rfft`: a real array of `fft_length` (default: twice the bins less one)."""
    z = _complex("irfft", x)
    n = 2 * (z.shape[-1] - 1) if fft_length is None else _length("irfft", fft_length)
    z = _sized(z, n // 2 + 1)
    return host.call("irfft", (*z.shape[1:-1], n), z.dtype, z, n)


# ---- frames --------------------------------------------------------------------------------------

def _frames(size, length, stride):
    """Where the elements of each frame lie: (frames, length)."""
    count = max(0, (size - length) // stride + 1)
    return Tensor((np.arange(count)[:, None] * stride + np.arange(length)).astype("int32"))


def extract_sequences(x, sequence_length, sequence_stride):
    """Sequences of `sequence_length`, `sequence_stride` apart, of the last axis: `(..., sequences,
    sequence_length)`.
    """
    x = _real("extract_sequences", x)
    for name, value in (("sequence_length", sequence_length), ("sequence_stride", sequence_stride)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"extract_sequences: `{name}` must be an integer >= 1. Received: "
                             f"{name}={value!r}")
    index = _frames(x.shape[-1], int(sequence_length), int(sequence_stride))
    return op.take(x, index, len(x.shape) - 1)


def _window(name, window, sequence_length, fft_length):
    """`window` in the middle of `fft_length` zeros, as a float64 array; `None` for none."""
    if fft_length < sequence_length:
        raise ValueError(f"{name}: `fft_length` must be at least `sequence_length`. Received: "
                         f"fft_length={fft_length}, sequence_length={sequence_length}")
    if window is None:
        return None
    if isinstance(window, str):
        if window not in ("hann", "hamming"):
            raise ValueError(f"{name}: `window` must be 'hann', 'hamming', an array or None. "
                             f"Received: window={window!r}")
        mean = 0.5 if window == "hann" else 0.54
        angle = 2 * np.pi * np.arange(sequence_length) / sequence_length
        window = mean - (1 - mean) * np.cos(angle)
    window = np.asarray(window, "float64")
    if window.shape != (sequence_length,):
        raise ValueError(f"{name}: `window` must have shape ({sequence_length},). Received: "
                         f"window.shape={window.shape}")
    before = (fft_length - sequence_length) // 2
    return np.pad(window, (before, fft_length - sequence_length - before))


def stft(x, sequence_length, sequence_stride, fft_length, window="hann", center=True):
    """Fourier transforms of windowed frames of the last axis: a pair `(..., frames, bins)`.

    Args:
        x: A real array `(..., samples)`.
        sequence_length: Size of the window.
        sequence_stride: From one frame to the next.
        fft_length: Size of a frame, at least `sequence_length`.
        window: `"hann"`, `"hamming"`, an array of `sequence_length` numbers, or `None`. The named
            ones are periodic for odd sizes too (TensorFlow's are not).
        center: Whether frame k is centered at sample `k * sequence_stride`, the ends mirrored.
    """
    x = _real("stft", x)
    weights = _window("stft", window, sequence_length, fft_length)
    if center:
        half = fft_length // 2
        x = arrays.pad(x, [(0, 0)] * (len(x.shape) - 1) + [(half, half)], mode="reflect")
    frames = extract_sequences(x, fft_length, sequence_stride)
    if weights is not None:
        frames = op.multiply(frames, Tensor(weights, frames.dtype))
    return rfft(frames, fft_length)


def istft(x, sequence_length, sequence_stride, fft_length, length=None, window="hann", center=True):
    """What undoes `stft`: frames added up, divided by the windows they were weighed with.

    Args:
        x: A pair `(..., frames, bins)`.
        sequence_length: Size of the window.
        sequence_stride: From one frame to the next.
        fft_length: Size of a frame, at least `sequence_length`.
        length: Samples of the result; `None` for all.
        window: As in `stft`.
        center: As in `stft`.
    """
    weights = _window("istft", window, sequence_length, fft_length)
    frames = irfft(x, fft_length)
    if len(frames.shape) < 2:
        raise ValueError("istft: the parts of `x` must have at least 2 axes. Received: shape "
                         f"{tuple(frames.shape)}")
    if weights is not None:
        turns = -(-fft_length // sequence_stride)
        total = np.pad(weights ** 2, (0, turns * sequence_stride - fft_length))
        total = np.tile(total.reshape(turns, sequence_stride).sum(0), turns)[:fft_length]
        weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
        frames = op.multiply(frames, Tensor(weights, frames.dtype))
    size = fft_length + sequence_stride * (frames.shape[-2] - 1)
    index = _frames(size, fft_length, sequence_stride)
    y = op.take_grad(frames, index, (*frames.shape[:-2], size), len(frames.shape) - 2)
    first = fft_length // 2 if center else 0
    last = first + length if length is not None else size - (fft_length // 2 if center else 0)
    return y[..., first:min(last, size)]
