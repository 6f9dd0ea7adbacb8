"""Sounds from WAV files, read by Python's `wave`."""
import os

import numpy as np

from nnc.utils.folders import from_folder


def read_wav(path):
    """Samples as float32 from -1 to 1, of shape `(samples, channels)`, and the rate.

    Whole numbers of 8, 16, 24 or 32 bits are read.
    """
    import wave

    try:
        with wave.open(os.fspath(path), "rb") as f:
            rate, channels, width = f.getframerate(), f.getnchannels(), f.getsampwidth()
            raw = f.readframes(f.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"audio_dataset_from_directory: {path} is no WAV file of whole numbers: "
                         f"{error}") from error
    raw = raw[:len(raw) // (width * channels) * width * channels]
    if width == 1:                                  # the only width without a sign
        x = (np.frombuffer(raw, "u1").astype("float32") - 128) / 128
    elif width == 3:
        wide = np.zeros((len(raw) // 3, 4), "u1")
        wide[:, 1:] = np.frombuffer(raw, "u1").reshape(-1, 3)
        x = wide.view("<i4")[:, 0].astype("float32") / 2.0 ** 31
    else:
        x = np.frombuffer(raw, f"<i{width}").astype("float32") / 2.0 ** (8 * width - 1)
    return x.reshape(-1, channels).astype("float32"), rate


def _resampled(x, rate, wanted):
    """`x` at another rate, by SciPy's polyphase filter."""
    if rate == wanted:
        return x
    try:
        from scipy.signal import resample_poly
    except ImportError as error:
        raise ImportError(f"audio_dataset_from_directory: `sampling_rate={wanted}` for a file of "
                          f"{rate} samples a second needs SciPy: pip install scipy") from error
    return resample_poly(x, wanted, rate, axis=0).astype("float32")


def audio_dataset_from_directory(directory, labels="inferred", label_mode="int", class_names=None,
                                 batch_size=32, sampling_rate=None, output_sequence_length=None,
                                 ragged=False, shuffle=True, seed=None, validation_split=None,
                                 subset=None, follow_links=False, verbose=True):
    """Sounds (`.wav`) with the class of the subfolder that they lie in.

    Args:
        sampling_rate: Samples a second that all are brought to (SciPy does it), or `None`.
        output_sequence_length: Samples of each sound: longer ones are cut, zeros are added to
            shorter ones. By default a batch is as long as its longest.
        ragged: Whether sounds of a batch keep their lengths: an array of arrays.

    The other arguments are those of `text_dataset_from_directory`.

    Returns:
        A `PyDataset` whose batches have the shape `(batch, samples, channels)`, from -1 to 1.
    """
    for name, value in (("sampling_rate", sampling_rate),
                        ("output_sequence_length", output_sequence_length)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)
                                  or value < 1):
            raise ValueError(f"audio_dataset_from_directory: `{name}` must be an integer >= 1 or "
                             f"None. Received: {name}={value!r}")
    if ragged and output_sequence_length is not None:
        raise ValueError("audio_dataset_from_directory: sounds of `output_sequence_length="
                         f"{output_sequence_length}` have one length; pass `ragged=False`.")

    def sound(path):
        x, rate = read_wav(path)
        if output_sequence_length is not None:
            x = x[:output_sequence_length]
            x = np.pad(x, ((0, output_sequence_length - len(x)), (0, 0)))
        return x if sampling_rate is None else _resampled(x, rate, sampling_rate)

    def read(paths):
        sounds = [sound(path) for path in paths]
        if ragged:
            batch = np.empty(len(sounds), object)
            for i, x in enumerate(sounds):
                batch[i] = x
            return batch
        channels = {x.shape[1] for x in sounds}
        if len(channels) > 1:
            raise ValueError("audio_dataset_from_directory: all sounds of a batch must have as "
                             f"many channels. Received: {sorted(channels)}")
        longest = max(map(len, sounds))
        return np.stack([np.pad(x, ((0, longest - len(x)), (0, 0))) for x in sounds])

    return from_folder(directory, (".wav",), read, labels, label_mode, class_names, batch_size,
                       shuffle, seed, validation_split, subset, follow_links, verbose)
