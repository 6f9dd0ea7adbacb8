"""Weights of an ONNX file in a second file beside it, which has no limit of size.

`net.onnx` names the file, `net.onnx.data`, and for each tensor where its bytes begin and how many
they are. Writing: the data come first, under a name that no other file has; then `net.onnx` takes
its name in one step, so that it is the old model or the new one, whole, at any time; then data that
nothing names any more are removed. Reading: the file must lie beside, be no link, and hold what is
asked of it; no more is read than it has.

Source: ONNX's External Data specification.
"""
import contextlib
import os
import re
import stat

import numpy as np

_ALIGN = 4096                   # so that tensors may be mapped into memory
LEAST = 1024                    # bytes of a tensor that goes into the second file
MOST_INSIDE = 2 ** 31 - (1 << 24)       # bytes of all tensors that go into one file, with its graph


class Data:
    """A model whose large tensors wait to be written.

    Args:
        model: The `ModelProto`; tensors of `arrays` have no data in it.
        arrays: Pairs of a `TensorProto` in the model and its array.
    """

    def __init__(self, model, arrays, onnx):
        self._model, self._arrays, self._onnx = model, arrays, onnx

    def write(self, path):
        """Writes both files."""
        from ..utils.file import atomic_write, hold, remove

        path = os.path.realpath(path)
        folder, base = os.path.split(path)
        name = f"{base}.data"
        if _data_of(folder, base):
            name = f"{base}-{os.urandom(4).hex()}.data"
        with contextlib.ExitStack() as undo:
            f = undo.enter_context(open(os.path.join(folder, name), "xb"))
            undo.callback(remove, os.path.join(folder, name))
            hold(f)
            self._write_arrays(f, name)
            f.flush()
            os.fsync(f.fileno())
            with atomic_write(path) as main:
                main.write(self._model.SerializeToString())
            undo.pop_all()
        f.close()
        for other in _data_of(folder, base):
            if other != name:
                remove(os.path.join(folder, other), unheld=True)

    def _write_arrays(self, f, name):
        at = 0
        for tensor, array in self._arrays:
            f.write(b"\0" * (-at % _ALIGN))
            at += -at % _ALIGN
            tensor.data_location = self._onnx.TensorProto.EXTERNAL
            del tensor.external_data[:]
            for key, value in (("location", name), ("offset", at), ("length", array.nbytes)):
                entry = tensor.external_data.add()
                entry.key, entry.value = key, str(value)
            f.write(np.ascontiguousarray(array).reshape(-1).view("uint8"))
            at += array.nbytes


def _data_of(folder, base):
    """The names of all files that could hold the data of a model."""
    pattern = re.compile(re.escape(base) + r"(-[0-9a-f]{8})?\.data")
    return [name for name in os.listdir(folder) if pattern.fullmatch(name)]


class Files:
    """The files beside an ONNX file that its tensors may lie in.

    Args:
        folder: Where the ONNX file is.
        where: How messages call it.
    """

    def __init__(self, folder, where):
        self._folder, self._where = folder, where
        self._found, self._used = {}, {}

    def read(self, tensor, dtype, count):
        """The array of a tensor of `count` numbers that is in another file.

        Raises:
            ValueError: If the file is not beside this one, or has not those bytes for it.
        """
        told = {one.key: one.value for one in tensor.external_data}
        name = tensor.name or "a constant"
        size = count * dtype.itemsize
        unknown = set(told) - {"location", "offset", "length", "checksum"}
        if unknown or len(told) != len(tensor.external_data):
            self._refuse(name, f"unknown or repeated keys {sorted(unknown)}")
        offset, length = (self._number(name, told, key) for key in ("offset", "length"))
        offset, length = offset or 0, size if length is None else length
        path, stored = self._file(name, told.get("location", ""))
        if length != size:
            self._refuse(name, f"it says {length} bytes, its shape {tuple(tensor.dims)} has {size}")
        if offset + size > stored:
            self._refuse(name, f"it says bytes {offset} to {offset + size}, the file has {stored}")
        self._take(name, path, size)
        array = np.empty(count, dtype)
        with open(path, "rb") as f:
            f.seek(offset)
            if f.readinto(array.view("uint8")) != size:
                self._refuse(name, "the file ends within it")
        if "checksum" in told:
            import hashlib

            if hashlib.sha1(array.view("uint8")).hexdigest() != told["checksum"].lower():
                self._refuse(name, "its checksum is wrong: the file is damaged")
        return array.reshape(tuple(tensor.dims))

    def _refuse(self, name, why):
        raise ValueError(f"{self._where}: the data of {name!r}, which are in another file, are "
                         f"refused: {why}")

    def _number(self, name, told, key):
        text = told.get(key)
        if text is not None and not (text.isascii() and text.isdigit() and len(text) < 19):
            self._refuse(name, f"its {key} is no number: {text[:40]!r}")
        return None if text is None else int(text)

    def _file(self, name, location):
        """Path and size of a file beside the ONNX file."""
        if location not in self._found:
            if not location or "/" in location or "\\" in location or ":" in location or \
                    "\0" in location or location in (".", ".."):
                self._refuse(name, f"{location[:80]!r} is no name of a file beside this one")
            path = os.path.join(self._folder, location)
            try:
                facts = os.lstat(path)
            except OSError:
                self._refuse(name, f"there is no file {location!r} beside this one")
            if not stat.S_ISREG(facts.st_mode):
                self._refuse(name, f"{location!r} is a link, or no plain file")
            self._found[location] = path, facts.st_size
        return self._found[location]

    def _take(self, name, path, size):
        """Counts bytes: no more are read than the file has, so that a small one cannot fill the
        memory by saying them often.
        """
        self._used[path] = self._used.get(path, 0) + size
        if self._used[path] > os.path.getsize(path):
            self._refuse(name, "tensors ask for more bytes than the file has")
