"""Named arrays in `.npz` and `.safetensors` files.

npz: a zip of `.npy` members; read here so that neither pickles nor headers that promise more than
is stored get anywhere. safetensors: 8 bytes of length, a JSON header of names, dtypes, shapes and
offsets, then the bytes. Source: the safetensors format (Hugging Face); NumPy's NEP 1.
"""
import contextlib
import json
import os
import struct
import warnings

import numpy as np

from .. import _core
from .archive import Reader, Window, Writer
from ..ops.core import numpy_dtype
from .hdf5 import array_of, parse_json
from .state import begin

_HEADER = 100 << 20
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
           "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U64": "uint64",
           "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool"}
_CODES = {name: code for code, name in _DTYPES.items()}


def named_weights(model):
    """Path and variable of each weight; a path that repeats gets a number."""
    found = {}
    for variable in model.weights:
        path, n = variable.path, 1
        while path in found:
            path, n = f"{variable.path}_{n}", n + 1
        found[path] = variable
    return found


def save(path, values):
    """Writes a dict of names and arrays (or variables), one at a time."""
    (save_npz if str(path).endswith(".npz") else save_safetensors)(path, values)


def load(path):
    """A dict of names and arrays."""
    with opened(path) as found:
        return {name: stored.read() for name, stored in found.items()}


class Stored:
    """An array in a file: its shape is known, its numbers are read when they are asked for.

    Args:
        shape, dtype: Of the array.
        read: A function that gives it.
        window: The part of the file that it lies in, from the byte `start` on.
    """

    def __init__(self, shape, dtype, read, window, start=0):
        self.shape, self.dtype, self.read = tuple(shape), dtype, read
        self._window, self._start = window, start

    def into(self, variable):
        """Reads it into a variable of its shape, straight into its memory if they lie alike."""
        alike = _core.current_graph() is None and self._window.fills() and self.dtype.kind != "b" \
            and variable._view().dtype == self.dtype and self.dtype.isnative
        if alike:
            self._window.fill(variable, self._start, variable._view().nbytes)
        else:
            variable.assign(self.read())


@contextlib.contextmanager
def opened(path):
    """A dict of names and `Stored`, of a file that has passed all checks."""
    with open(path, "rb") as f:
        yield (_open_npz if str(path).endswith(".npz") else _open_safetensors)(f, path)


def _array(value):
    array = array_of(value)
    return array if array.dtype.byteorder in "=|<" else array.astype(array.dtype.newbyteorder("<"))


def save_npz(path, values):
    """Writes an `.npz` file. bfloat16, which NumPy has not, goes as float32."""
    from ..utils.file import atomic_write

    with atomic_write(path, "w+b") as f:
        writer = Writer(f)
        for name, value in values.items():
            array = _array(value)
            if array.dtype.name == "bfloat16":
                array = array.astype("float32")
            with writer.open(f"{name}.npy") as window:
                array = np.ascontiguousarray(array).reshape(array.shape)
                fmt = np.lib.format
                fmt.write_array_header_1_0(window, fmt.header_data_from_array_1_0(array))
                if array.size:
                    window.write(array.reshape(-1).view("uint8"))
        writer.close()


def load_npz(path):
    """Reads an `.npz` file; pickles and shapes without bytes are refused."""
    return load(path)


def _open_npz(f, path):
    reader, found = Reader(f, str(path)), {}
    for name in reader.names:
        if not name.endswith(".npy"):
            raise ValueError(f"{path}: member {name!r} refused: it is no array (.npy)")
        found[name.removesuffix(".npy")] = _npy(reader.open(name), f"{path}: {name}")
    return found


def _npy(f, what):
    fmt = np.lib.format
    try:
        version = fmt.read_magic(f)
        read = {(1, 0): fmt.read_array_header_1_0, (2, 0): fmt.read_array_header_2_0}[version]
        shape, fortran, dtype = read(f)
    except (ValueError, KeyError, TypeError, SyntaxError, OverflowError, RecursionError,
            MemoryError) as error:
        raise ValueError(f"{what}: its header is damaged: {error}") from None
    if dtype.hasobject or dtype.names is not None or dtype.kind not in "biufc":
        raise ValueError(f"{what} refused: its values are no numbers (dtype {dtype})")
    start, count = f.tell(), 1
    fortran = fortran and len(shape) > 1
    left = f.seek(0, os.SEEK_END) - start
    for n in shape:
        count *= n
    if min(shape, default=0) < 0 or count * dtype.itemsize != left:
        raise ValueError(f"{what} refused: shape {shape} of {dtype} is {count * dtype.itemsize} "
                         f"bytes, {left} are stored")

    def read():
        f.seek(start)
        array = np.frombuffer(f.read(), dtype)
        return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)
    return Stored(shape, np.dtype(object) if fortran else dtype, read, f, start)


def save_safetensors(path, values, metadata=None):
    """Writes a `.safetensors` file."""
    from ..utils.file import atomic_write

    header, at = {"__metadata__": {"format": "nnc", **(metadata or {})}}, 0
    for name, value in values.items():
        dtype = str(getattr(value.dtype, "name", value.dtype))
        if dtype not in _CODES:
            raise ValueError(f"safetensors: '{name}' has dtype {dtype}, which the format does not "
                             f"know; it knows {sorted(_CODES)}")
        count = numpy_dtype(dtype).itemsize
        for n in value.shape:
            count *= n
        header[name] = {"dtype": _CODES[dtype], "shape": list(value.shape),
                        "data_offsets": [at, at + count]}
        at += count
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(path) as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for value in values.values():
            array = np.ascontiguousarray(_array(value))
            f.write(array.view("uint8").data if array.ndim and array.size else array.tobytes())


def read_header(path):
    """The header of a `.safetensors` file and where its data begin, checked as a whole."""
    size = os.path.getsize(path)
    with open(path, "rb") as f:
        first = f.read(8)
        length = struct.unpack("<Q", first)[0] if len(first) == 8 else -1
        if not 2 <= length <= min(_HEADER, size - 8):
            raise ValueError(f"{path}: no safetensors file: a header of {length} bytes in a file "
                             f"of {size}")
        header = parse_json(f.read(length), f"{path}: header", depth=8)
    if not isinstance(header, dict):
        raise ValueError(f"{path}: the header must be an object")
    begin, spans = 8 + length, []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if not isinstance(entry, dict) or entry.get("dtype") not in _DTYPES or not _whole(
                entry.get("shape")) or not _whole(entry.get("data_offsets"), 2):
            raise ValueError(f"{path}: tensor {name!r} refused: its entry is damaged or of an "
                             f"unknown dtype: {str(entry)[:200]}")
        start, stop = entry["data_offsets"]
        count = numpy_dtype(_DTYPES[entry["dtype"]]).itemsize
        for n in entry["shape"]:
            count *= n
        if stop - start != count or stop > size - begin:
            raise ValueError(f"{path}: tensor {name!r} refused: shape {entry['shape']} is {count} "
                             f"bytes, its place {start}:{stop} of {size - begin}")
        spans.append((start, stop, name))
    at = 0
    for start, stop, name in sorted(spans):
        if start != at:
            raise ValueError(f"{path}: tensor {name!r} refused: its bytes overlap another's, or "
                             "there is a gap before them")
        at = stop
    if at != size - begin:
        raise ValueError(f"{path}: {size - begin - at} bytes belong to no tensor")
    return header, begin


def _whole(value, count=None):
    return isinstance(value, list) and (count is None or len(value) == count) and all(
        type(n) is int and n >= 0 for n in value)


def load_safetensors(path):
    """Reads a `.safetensors` file."""
    return load(path)


def _open_safetensors(f, path):
    header, begin = read_header(path)

    def stored(entry):
        start, stop = entry["data_offsets"]
        dtype = numpy_dtype(_DTYPES[entry["dtype"]])

        def read():
            f.seek(begin + start)
            data = f.read(stop - start)
            if len(data) < stop - start:
                raise ValueError(f"{path}: the file ends within a tensor")
            return np.frombuffer(data, dtype).reshape(entry["shape"])
        return Stored(entry["shape"], dtype, read, Window(f, begin + start, stop - start))
    return {name: stored(entry) for name, entry in header.items() if name != "__metadata__"}


def load_into(model, path, by_name=None, skip_mismatch=False):
    """Sets weights from a file of named arrays: by path, or in order where no path is the same.

    Args:
        by_name: Whether only weights whose names are on both sides are set, as Keras means it for
            `.h5` files: names that one side alone has are nobody's mistake.
        skip_mismatch: Whether what does not fit is left as it is, with a warning.

    Raises:
        ValueError: If a name is on one side alone, or a shape differs; then no weight was changed.
    """
    with opened(path) as values:
        weights, values = _alike(named_weights(model), values, model.name)
        _set(weights, values, path, by_name, skip_mismatch)


def _alike(weights, values, name):
    """Both with names that meet, if they do so without the names of the models, which a
    `Sequential` puts before those of its layers and which count up from one model to the next.
    """
    own = [weights, _without(weights, name)]
    theirs = [values, _without(values, next(iter(values), "").partition("/")[0])]
    for a in own:
        for b in theirs:
            if set(a) & set(b):
                return a, b
    return weights, values


def _without(named, first):
    if all(name.startswith(f"{first}/") for name in named):
        return {name[len(first) + 1:]: value for name, value in named.items()}
    return named


def _set(weights, values, path, by_name, skip_mismatch):
    if not by_name and not set(values) & set(weights):
        if len(values) != len(weights):
            raise ValueError(f"load_weights: {path} holds {len(values)} arrays, the model "
                             f"{len(weights)} weights, and no name is the same")
        values = dict(zip(weights, values.values()))
    jobs, wrong = [], []
    for name, variable in weights.items():
        if name not in values:
            wrong += [] if by_name else [f"'{name}' of the model is not in the file"]
        elif values[name].shape != tuple(variable.shape):
            wrong.append(f"'{name}' has shape {tuple(variable.shape)}, the saved one "
                         f"{values[name].shape}")
        else:
            jobs.append((variable, values[name]))
    if not by_name:
        wrong += [f"'{name}' of the file is not in the model" for name in values
                  if name not in weights]
    if by_name and not jobs:
        warnings.warn(f"load_weights: {path}: no weight was set: `by_name=True`, and no name is "
                      "the same", stacklevel=5)
    if wrong:
        text = f"load_weights: {path}: " + "; ".join(wrong[:10])
        if not skip_mismatch:
            raise ValueError(f"{text}. `by_name=True` sets those of the same names, "
                             "`skip_mismatch=True` those that fit; no weight was changed")
        warnings.warn(text, stacklevel=5)
    for variable, value in jobs:
        begin(variable)
        value.into(variable)
