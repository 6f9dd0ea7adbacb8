"""Layers that turn waves into spectrograms: STFTSpectrogram, MelSpectrogram."""
import math
import warnings

import numpy as np

from .. import config, initializers, ops
from ..ops.core import cast_array
from .convolutional import output_size
from .input_spec import InputSpec
from .layer import Layer
from .preprocessing import DataLayer

_MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")
_MEL_BREAK, _MEL_Q = 700.0, 1127.0          # of the HTK's mel scale: Q log(1 + f / break)


class STFTSpectrogram(Layer):
    """Short-time Fourier transforms, as convolutions whose kernels may be trained.

    Args:
        mode: `"log"`, `"magnitude"`, `"psd"` (power), `"real"`, `"imag"`, `"angle"` or `"stft"` (real
            and imaginary parts, one behind the other).
        frame_length: Samples in a frame. Defaults to 256.
        frame_step: Samples from a frame to the next. Defaults to half of `frame_length`.
        fft_length: Size of the transform, `>= frame_length`. Defaults to the next power of two.
        window: `"hann"`, `"hamming"`, another name of SciPy's, or an array.
        periodic: Whether a window by name is periodic. Defaults to `False`.
        scaling: `"density"`, `"spectrum"` or `None`; see `initializers.STFT`.
        padding: `"valid"` or `"same"`.
        expand_dims: Whether the frequencies have an axis of their own, as in an image.
        data_format: `"channels_last"` or `"channels_first"`.
        **kwargs: See `Layer`.

    Input shape: `(batch_size, samples, channels)`, or `(batch_size, channels, samples)` for
        channels first.
    Output shape: `(batch_size, frames, channels * bins)`, with `expand_dims` `(batch_size, frames,
        bins, channels)`; for channels first `(batch_size, channels * bins, frames)` or
        `(batch_size, channels, frames, bins)`.
    """

    def __init__(self, mode="log", frame_length=256, frame_step=None, fft_length=None,
                 window="hann", periodic=False, scaling="density", padding="valid",
                 expand_dims=False, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self._check("mode", mode, mode in _MODES, f"one of {_MODES}")
        self._check("frame_length", frame_length, isinstance(frame_length, int)
                    and frame_length > 0, "an integer > 0")
        self._check("frame_step", frame_step, frame_step is None or 1 <= frame_step <= frame_length,
                    f"from 1 to frame_length={frame_length}")
        self._check("fft_length", fft_length, fft_length is None or fft_length >= frame_length,
                    f"at least frame_length={frame_length}")
        self._check("scaling", scaling, scaling in (None, "density", "spectrum"),
                    "None, 'density' or 'spectrum'")
        self._check("padding", padding, padding in ("valid", "same"), "'valid' or 'same'")
        if fft_length is not None and fft_length & (fft_length - 1):
            warnings.warn(f"STFTSpectrogram: `fft_length` should be a power of two. Received: "
                          f"fft_length={fft_length}", stacklevel=2)
        self.mode, self.frame_length, self.frame_step = mode, frame_length, frame_step
        self._step = frame_step or frame_length // 2 or 1
        self.fft_length = fft_length
        self._size = fft_length or 2 ** math.ceil(math.log2(frame_length))
        self.window, self.periodic, self.scaling = window, periodic, scaling
        self.padding, self.expand_dims = padding, expand_dims
        self.data_format = config.image_data_format() if data_format is None else data_format
        self._check("data_format", data_format, self.data_format in ("channels_last",
                                                                     "channels_first"),
                    "'channels_last' or 'channels_first'")
        self.input_spec = InputSpec(ndim=3)

    def _check(self, name, value, good, wanted):
        if not good:
            raise ValueError(f"STFTSpectrogram: `{name}` must be {wanted}. Received: "
                             f"{name}={value!r}")

    def build(self, input_shape):
        shape = (self.frame_length, 1, self._size // 2 + 1)
        for side in ("real", "imag"):
            if self.mode not in ("real", "imag") or self.mode == side:
                setattr(self, f"{side}_kernel", self.add_weight(
                    name=f"{side}_kernel", shape=shape,
                    initializer=initializers.STFT(side, self.window, self.scaling, self.periodic)))

    def _convolved(self, x, kernel):
        """(b, samples, channels) to (b, channels, bins, frames)."""
        batch, samples, channels = x.shape
        x = ops.reshape(ops.transpose(x, (0, 2, 1)), (batch * channels, samples, 1))
        y = ops.conv(x, cast_array(kernel, x.dtype), self._step, self.padding, "channels_last")
        return ops.transpose(ops.reshape(y, (batch, channels, *y.shape[1:])), (0, 1, 3, 2))

    def call(self, inputs):
        if inputs.dtype not in ("float16", "float32", "float64", "bfloat16"):
            raise TypeError(f"STFTSpectrogram layer '{self.name}': the input must hold floats. "
                            f"Received: dtype={inputs.dtype}")
        x = inputs if self.data_format == "channels_last" else ops.transpose(inputs, (0, 2, 1))
        real = None if self.mode == "imag" else self._convolved(x, self.real_kernel)
        imag = None if self.mode == "real" else self._convolved(x, self.imag_kernel)
        return self._arranged(self._combined(real, imag))

    def _combined(self, real, imag):
        if self.mode in ("real", "imag"):
            return real if imag is None else imag
        if self.mode == "angle":
            return ops.arctan2(imag, real)
        if self.mode == "stft":
            return ops.concatenate([real, imag], axis=2)
        power = ops.add(ops.square(real), ops.square(imag))
        if self.mode == "psd":          # inner bins stand for two frequencies
            inner = ops.pad(power[:, :, 1:-1, :], ((0, 0), (0, 0), (1, 1), (0, 0)))
            return ops.add(power, inner)
        size = ops.sqrt(ops.maximum(power, config.epsilon()))
        return size if self.mode == "magnitude" else ops.log(ops.maximum(size, config.epsilon()))

    def _arranged(self, y):
        """(b, channels, bins, frames) as the output."""
        last = self.data_format == "channels_last"
        if self.expand_dims:
            return ops.transpose(y, (0, 3, 2, 1) if last else (0, 1, 3, 2))
        batch, channels, bins, frames = y.shape
        y = ops.reshape(y, (batch, channels * bins, frames))
        return ops.transpose(y, (0, 2, 1)) if last else y

    def compute_output_shape(self, input_shape):
        last = self.data_format == "channels_last"
        batch, samples, channels = input_shape if last else (input_shape[0], input_shape[2],
                                                             input_shape[1])
        frames = output_size(samples, self.frame_length, self._step, self.padding, 1)
        bins = (self._size // 2 + 1) * (2 if self.mode == "stft" else 1)
        if self.expand_dims:
            return (batch, frames, bins, channels) if last else (batch, channels, frames, bins)
        return (batch, frames, bins * channels) if last else (batch, bins * channels, frames)

    def get_config(self):
        return {**super().get_config(), "mode": self.mode, "frame_length": self.frame_length,
                "frame_step": self.frame_step, "fft_length": self.fft_length,
                "window": self.window, "periodic": self.periodic, "scaling": self.scaling,
                "padding": self.padding, "data_format": self.data_format,
                "expand_dims": self.expand_dims}


class MelSpectrogram(DataLayer):
    """The power of waves in bands of the mel scale.

    Args:
        fft_length: Size of the transform. Defaults to 2048.
        sequence_stride: Samples from a frame to the next. Defaults to 512.
        sequence_length: Size of the window, at most `fft_length`. Defaults to `fft_length`.
        window: `"hann"` or `"hamming"`.
        sampling_rate: Samples a second, Hz. Defaults to 16000.
        num_mel_bins: How many bands. Defaults to 128.
        min_freq, max_freq: The edges of all bands, Hz. Default to 20 and half of `sampling_rate`.
        power_to_db: Whether decibels come out.
        top_db: Then the largest less this is the smallest, over all of the input.
        mag_exp: The power of the magnitude: 1 magnitude, 2 power.
        min_power, ref_power: Decibels are `10 log10(max(power, min_power) / ref_power)`.
        **kwargs: See `Layer`.

    Input shape: `(samples,)` or `(batch_size, samples)`.
    Output shape: `(num_mel_bins, frames)` or `(batch_size, num_mel_bins, frames)`.

    As in Keras `top_db` looks at the whole batch: a row's output depends on the others.
    """

    def __init__(self, fft_length=2048, sequence_stride=512, sequence_length=None, window="hann",
                 sampling_rate=16000, num_mel_bins=128, min_freq=20.0, max_freq=None,
                 power_to_db=True, top_db=80.0, mag_exp=2.0, min_power=1e-10, ref_power=1.0,
                 **kwargs):
        super().__init__(**kwargs)
        self.sequence_length = sequence_length or fft_length
        if fft_length < self.sequence_length:
            raise ValueError("MelSpectrogram: `fft_length` must be at least `sequence_length`. "
                             f"Received: fft_length={fft_length}, "
                             f"sequence_length={sequence_length}")
        self.fft_length, self.sequence_stride, self.window = fft_length, sequence_stride, window
        self.sampling_rate, self.num_mel_bins = sampling_rate, num_mel_bins
        self.min_freq, self.max_freq = min_freq, max_freq or int(sampling_rate / 2)
        self.power_to_db, self.top_db, self.mag_exp = power_to_db, top_db, mag_exp
        self.min_power, self.ref_power = min_power, ref_power
        self._build_at_init()

    def call(self, inputs):
        dtype = self.compute_dtype if self.compute_dtype == "float64" else "float32"
        real, imag = ops.stft(cast_array(inputs, dtype), self.sequence_length,
                              self.sequence_stride, self.fft_length, self.window, center=True)
        size = ops.power(ops.sqrt(ops.add(ops.square(real), ops.square(imag))), self.mag_exp)
        matrix = self.linear_to_mel_weight_matrix(
            self.num_mel_bins, size.shape[-1], self.sampling_rate, self.min_freq, self.max_freq)
        bands = ops.matmul(size, cast_array(matrix, dtype))
        if self.power_to_db:
            bands = self._decibels(bands)
        return cast_array(ops.swapaxes(bands, -1, -2), self.compute_dtype)

    def _decibels(self, power):
        reference = 10.0 * math.log10(max(abs(self.ref_power), self.min_power))
        level = ops.subtract(ops.multiply(10.0, ops.log10(ops.maximum(power, self.min_power))),
                             reference)
        return ops.maximum(level, ops.subtract(ops.max(level), self.top_db))

    def linear_to_mel_weight_matrix(self, num_mel_bins=20, num_spectrogram_bins=129,
                                    sampling_rate=8000, lower_edge_hertz=125.0,
                                    upper_edge_hertz=3800.0, dtype="float32"):
        """The matrix (num_spectrogram_bins, num_mel_bins) of triangles in the mel scale.

        Args:
            num_mel_bins: How many triangles.
            num_spectrogram_bins: How many bins from 0 to half of `sampling_rate`.
            sampling_rate: Samples a second, Hz.
            lower_edge_hertz, upper_edge_hertz: Where the first begins and the last ends.
            dtype: The dtype of the result.
        """
        def mel(hertz):
            return _MEL_Q * np.log(1.0 + np.asarray(hertz, "float64") / _MEL_BREAK)

        places = mel(np.linspace(0.0, sampling_rate / 2.0, num_spectrogram_bins)[1:])[:, None]
        edges = np.linspace(mel(lower_edge_hertz), mel(upper_edge_hertz), num_mel_bins + 2)
        low, middle, high = edges[:-2], edges[1:-1], edges[2:]
        weights = np.maximum(0.0, np.minimum((places - low) / (middle - low),
                                             (high - places) / (high - middle)))
        return ops.convert_to_tensor(np.pad(weights, ((1, 0), (0, 0))), dtype)

    def compute_output_shape(self, input_shape):
        samples = input_shape[-1]
        frames = None if samples is None else samples // self.sequence_stride + 1
        return (*input_shape[:-1], self.num_mel_bins, frames)

    def get_config(self):
        return {**super().get_config(), **{name: getattr(self, name) for name in (
            "fft_length", "sequence_stride", "sequence_length", "window", "sampling_rate",
            "num_mel_bins", "min_freq", "max_freq", "power_to_db", "top_db", "mag_exp",
            "min_power", "ref_power")}}
