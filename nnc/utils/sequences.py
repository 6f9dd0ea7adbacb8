"""Sequences of different lengths as one array, and windows of a long one."""
import numpy as np

from nnc.data.py_dataset import PyDataset


def pad_sequences(sequences, maxlen=None, dtype="int32", padding="pre", truncating="pre",
                  value=0.0):
    """Sequences as the rows of one array.

    Args:
        sequences: List of sequences of numbers (or of arrays of one shape).
        maxlen: Length of the rows. Defaults to that of the longest sequence.
        dtype: Dtype of the array.
        padding: `"pre"` or `"post"`: where short sequences are filled up.
        truncating: `"pre"` or `"post"`: where long ones lose.
        value: What they are filled up with.

    Returns:
        Array of shape `(len(sequences), maxlen, ...)`.
    """
    if not hasattr(sequences, "__len__"):
        raise ValueError("pad_sequences: `sequences` must be a list of sequences. Received: "
                         f"{type(sequences).__name__}")
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("pre", "post"):
            raise ValueError(f"pad_sequences: `{name}` must be 'pre' or 'post'. Received: "
                             f"{name}={side!r}")
    for i, part in enumerate(sequences):
        if not hasattr(part, "__len__"):
            raise ValueError("pad_sequences: `sequences` must be a list of iterables. Received: "
                             f"{part!r} at position {i}")
    kind = np.dtype(dtype).kind
    if isinstance(value, str) and kind not in "OUS":
        raise ValueError(f"pad_sequences: `value` {value!r} does not fit dtype={dtype}; pass "
                         "dtype=object.")
    if maxlen is None:
        maxlen = max(map(len, sequences), default=0)
    shape = next((np.asarray(part).shape[1:] for part in sequences if len(part)), ())
    rows = np.full((len(sequences), maxlen, *shape), value, dtype=dtype)
    for i, part in enumerate(sequences):
        part = part[len(part) - maxlen:] if truncating == "pre" and len(part) > maxlen else \
            part[:maxlen]
        if not len(part):
            continue
        part = np.asarray(part, dtype=dtype)
        if part.shape[1:] != shape:
            raise ValueError(f"pad_sequences: the sequence at position {i} holds parts of shape "
                             f"{part.shape[1:]}, expected {shape}")
        rows[i, slice(len(part)) if padding == "post" else slice(maxlen - len(part), None)] = part
    return rows


class Windows(PyDataset):
    """Batches of windows of a long sequence: see `timeseries_dataset_from_array`."""

    def __init__(self, data, targets, starts, offsets, batch_size):
        super().__init__()
        self._data, self._targets = data, targets
        self._starts, self._offsets, self._batch = starts, offsets, batch_size

    def __len__(self):
        return len(self._starts) if self._batch is None else -(-len(self._starts) // self._batch)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        if self._batch is None:
            starts = self._starts[index]
            x = self._data[starts + self._offsets]
        else:
            starts = self._starts[index * self._batch:(index + 1) * self._batch]
            x = self._data[starts[:, None] + self._offsets]
        return x if self._targets is None else (x, self._targets[starts])


def timeseries_dataset_from_array(data, targets, sequence_length, sequence_stride=1,
                                  sampling_rate=1, batch_size=128, shuffle=False, seed=None,
                                  start_index=None, end_index=None, format="tf"):
    """Windows of a long sequence, in batches.

    Args:
        data: Array; its first axis is time.
        targets: Array with the target of the window that begins at each time, or `None`.
        sequence_length: Steps in a window.
        sequence_stride: Steps between the beginnings of two windows.
        sampling_rate: Steps between two of a window.
        batch_size: Windows in a batch; `None`: single windows.
        shuffle: Whether windows come in a random order.
        seed: Seed of that order.
        start_index, end_index: The part of `data` that is used, without the end.
        format: `"tf"`, Keras's default; `"grain"` is refused. See `text_dataset_from_directory`.

    Returns:
        A `PyDataset` (which can be iterated over), with batches `x` or `(x, y)`.
    """
    from nnc.utils.folders import check_format

    check_format(format, "timeseries_dataset_from_array")
    data = np.asarray(data)
    begin, end = start_index or 0, len(data) if end_index is None else end_index
    for name, value in (("sequence_length", sequence_length), ("sequence_stride", sequence_stride),
                        ("sampling_rate", sampling_rate)):
        if not 0 < value <= len(data) or name != "sequence_length" and value == len(data):
            raise ValueError(f"timeseries_dataset_from_array: `{name}` must be higher than 0 and "
                             f"lower than the length of the data, {len(data)}. Received: "
                             f"{name}={value}")
    if not 0 <= begin < end <= len(data):
        raise ValueError("timeseries_dataset_from_array: expected 0 <= start_index < end_index <= "
                         f"{len(data)}. Received: start_index={start_index}, "
                         f"end_index={end_index}")
    count = end - begin - (sequence_length - 1) * sampling_rate
    if targets is not None:
        targets = np.asarray(targets)[begin:]
        count = min(count, len(targets))
    starts = np.arange(0, count, sequence_stride)
    if not len(starts):
        raise ValueError("timeseries_dataset_from_array: no window fits: a window spans "
                         f"{(sequence_length - 1) * sampling_rate + 1} steps of {end - begin}.")
    if shuffle:
        np.random.RandomState(seed).shuffle(starts)
    offsets = np.arange(sequence_length) * sampling_rate
    return Windows(data[begin:end], targets, starts, offsets, batch_size)
