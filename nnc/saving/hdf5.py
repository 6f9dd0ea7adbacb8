"""HDF5 files: looked through before they are read, and stores of variables in them.

`check` walks the whole tree first: only groups and plain datasets that this very file holds, each
once, of numbers, with as many bytes stored as their shape says. Then nothing that is read later can
lead out of the file, run a filter plugin, or take more memory than the file is large.

`Store` gives each object of a model the mapping that its `save_own_variables` writes to and its
`load_own_variables` reads from: the group `path/vars`, as in Keras.
"""
import contextlib
import errno
import json
import os

import numpy as np

from .. import _core
from .archive import Window

OBJECTS = 1_000_000                 # groups and datasets in a file
DEPTH = 64
_SMALL = 1 << 26                    # bytes a dataset may declare beyond what is stored
_RATIO = 1100                       # deflate gives 1032 at most
_DIRECT = 1 << 16                   # bytes from which a dataset is read past HDF5
_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}


def h5py():
    """The module `h5py`; says what to install where it is missing."""
    try:
        import h5py as module
    except ImportError:
        raise ImportError("Files of weights need h5py: pip install h5py") from None
    return module


@contextlib.contextmanager
def opened(f, what):
    """An HDF5 file for reading that has passed `check`; damage that HDF5 finds is a `ValueError`.

    Args:
        f: A path or a file.
        what: How messages call it.
    """
    module = h5py()
    try:
        if isinstance(f, (str, os.PathLike)):
            with open(f, "rb") as handle, module.File(handle, "r") as file:
                _checked(file, what, handle)
                with _known(file, Window(handle, 0, os.fstat(handle.fileno()).st_size)):
                    yield file
        else:
            with module.File(f, "r") as file:
                _checked(file, what, f)
                with _known(file, f):
                    yield file
    except (OSError, RuntimeError, KeyError) as error:
        # The system's, not the library's; but an address in a damaged file may be none.
        if getattr(error, "errno", None) not in (None, errno.EINVAL, errno.EOVERFLOW, errno.EFBIG):
            raise
        raise ValueError(f"{what} is no HDF5 file, or a damaged one: {error}") from None


_windows = {}       # HDF5's number of an open file -> the `Window` that it is read through


@contextlib.contextmanager
def _known(file, window):
    """Within it, `into` finds the window."""
    number = h5py().h5o.get_info(file.id).fileno
    if isinstance(window, Window) and window.fills():
        _windows[number] = window
    try:
        yield
    finally:
        _windows.pop(number, None)


def _checked(file, what, handle):
    """`check`, and the heaps; whatever h5py trips over in a damaged file is a `ValueError`."""
    try:
        check_heaps(handle, check(file, what), what)
    except (AttributeError, TypeError, OverflowError, MemoryError, SystemError, LookupError,
            NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{what} is no HDF5 file, or a damaged one: {error}") from None


def check(file, what):
    """Refuses links that lead out, virtual and external data, plugins, and shapes without bytes.

    Returns:
        Where the numbers of datasets lie: pairs of offset and size.

    Raises:
        ValueError: Which member, and why.
    """
    module = h5py()
    seen, stack, places = set(), [("", file, 0)], []
    file_bytes = file.id.get_filesize()
    while stack:
        path, group, depth = stack.pop()
        if depth > DEPTH:
            _refuse(what, path, f"more than {DEPTH} levels of groups")
        _check_attributes(module, group, path, what, file_bytes)
        for name in group:
            inner = f"{path}/{name}" if path else name
            if not isinstance(name, str):
                _refuse(what, inner, "its name is no UTF-8 text")
            link = group.get(name, getlink=True)
            if not isinstance(link, module.HardLink):
                _refuse(what, inner, f"it is a link ({type(link).__name__}); only what the file "
                                     "itself holds is read")
            thing = group[name]
            mark = module.h5o.get_info(thing.id).addr
            if mark in seen:
                _refuse(what, inner, "it is there twice, under several names or in a circle")
            seen.add(mark)
            if len(seen) > OBJECTS:
                _refuse(what, inner, f"more than {OBJECTS} objects in the file")
            if isinstance(thing, module.Group):
                stack.append((inner, thing, depth + 1))
            elif isinstance(thing, module.Dataset):
                _check_dataset(thing, inner, what, file_bytes)
                if thing.id.get_offset() is not None:
                    places.append((thing.id.get_offset(), thing.id.get_storage_size()))
                _check_attributes(module, thing, inner, what, file_bytes)
            else:
                _refuse(what, inner, "it is neither a group nor a dataset")
    return places


def check_heaps(handle, places, what):
    """Refuses damaged heaps of strings: HDF5 walks one with an entry of no size for ever.

    A heap begins with GCOL, a version, three zeros and its size; then come entries of a number
    (two bytes), a count (two), four zeros and a size, each rounded up to 8 bytes. Number 0 is what
    is free; its size counts the 16 bytes before it. They lie outside of `places`.
    Source: the HDF5 file format specification, III.E.
    """
    at, end = 0, handle.seek(0, os.SEEK_END)
    for begin, size in [*sorted(places), (end, 0)]:
        if begin > at:
            handle.seek(at)
            data = handle.read(min(begin, end) - at)
            found = data.find(b"GCOL\1")
            while found >= 0:
                _check_heap(data, found, at + found, what)
                found = data.find(b"GCOL\1", found + 1)
        at = max(at, begin + size)


def _check_heap(data, start, place, what):
    end = start + int.from_bytes(data[start + 8:start + 16], "little")
    at = start + 16
    while at + 16 <= end:
        size = int.from_bytes(data[at + 8:at + 16], "little")
        if data[at:at + 2] != b"\0\0":
            size = 16 + (size + 7) // 8 * 8
        if size < 16 or at + size > end or end > len(data):
            _refuse(what, f"heap of strings at byte {place}", "it is damaged")
        at += size


def _check_dataset(data, path, what, file_bytes):
    plist = data.id.get_create_plist()
    if data.is_virtual:
        _refuse(what, path, "it is a virtual dataset")
    if plist.get_external_count():
        _refuse(what, path, "its data lie in another file")
    for i in range(plist.get_nfilters()):
        number = plist.get_filter(i)[0]
        if number not in _FILTERS:
            _refuse(what, path, f"filter {number} is not allowed; {sorted(_FILTERS.values())} are")
    if data.dtype.kind not in "biufSV" or data.dtype.hasobject or data.dtype.names is not None:
        _refuse(what, path, f"its values are no numbers (dtype {data.dtype})")
    if data.shape is None:
        _refuse(what, path, "it has no shape")
    declared = data.dtype.itemsize
    for size in data.shape:
        declared *= size
    stored = data.id.get_storage_size()
    if stored > file_bytes:
        _refuse(what, path, f"it says that {stored} bytes are stored, the file has {file_bytes}")
    room = stored if plist.get_nfilters() == 0 else max(_SMALL, _RATIO * stored)
    if declared > room:
        _refuse(what, path, f"shape {data.shape} is {declared} bytes, only {stored} are stored")


def _check_attributes(module, thing, path, what, file_bytes):
    for name in thing.attrs:
        attribute = module.h5a.open(thing.id, name.encode())
        size = attribute.get_space().get_simple_extent_npoints() * attribute.get_type().get_size()
        if size > file_bytes:
            _refuse(what, f"{path}@{name}", f"it says {size} bytes, the file has {file_bytes}")


def _refuse(what, path, why):
    raise ValueError(f"{what}: {path or '/'!r} refused: {why}")


def read(dataset):
    """The numbers of a dataset as an array (bfloat16 where it says so)."""
    if dataset.attrs.get("dtype") == "bfloat16" or dataset.dtype.kind == "V":
        import ml_dtypes

        value = dataset[()]
        return np.asarray(value).view(ml_dtypes.bfloat16) if dataset.dtype.itemsize == 2 and \
            dataset.dtype.kind in "Vui" else np.asarray(value).astype(ml_dtypes.bfloat16)
    return np.asarray(dataset[()])


def into(dataset, variable):
    """Reads the numbers of a dataset into a variable of its shape: straight into its memory where
    they lie in the file as they do there.
    """
    window = None
    if dataset.id.get_storage_size() >= _DIRECT and _core.current_graph() is None:
        window = _windows.get(h5py().h5o.get_info(dataset.id).fileno)
    if window is not None and _lies_alike(dataset, variable._view()):
        window.fill(variable, dataset.id.get_offset(), dataset.id.get_storage_size())
    else:
        variable.assign(read(dataset))


def _lies_alike(dataset, array):
    """Whether the bytes of a dataset, one behind the other, are those of an array."""
    if dataset.id.get_offset() is None or dataset.chunks is not None or \
            dataset.id.get_storage_size() != array.nbytes or array.dtype.kind == "b" or \
            dataset.shape != array.shape:
        return False
    if array.dtype.name == "bfloat16":
        return dataset.attrs.get("dtype") == "bfloat16" and dataset.dtype.kind == "V" and \
            dataset.dtype.itemsize == 2
    return dataset.attrs.get("dtype") != "bfloat16" and \
        dataset.id.get_type().equal(h5py().h5t.py_create(array.dtype))


def array_of(value):
    """An array of a variable, tensor or array, for as long as nothing is written: no copy."""
    if hasattr(value, "_view"):
        return value._view()
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)


def write(group, name, value):
    """Writes an array; bfloat16 as Keras does, two bytes and an attribute."""
    value = array_of(value)
    if value.dtype.name == "bfloat16":
        group.create_dataset(name, data=value).attrs["dtype"] = "bfloat16"
    else:
        group.create_dataset(name, data=value)


class Entry:
    """The variables of one object: a mapping from names to arrays."""

    def __init__(self, group=None, make=None, arrays=None):
        self._group, self._make, self._arrays = group, make, arrays

    def __len__(self):
        return len(self.keys())

    def __iter__(self):
        return iter(self.keys())

    def __contains__(self, key):
        return key in self.keys()

    def keys(self):
        if self._arrays is not None:
            return list(self._arrays)
        return [] if self._group is None else list(self._group.keys())

    def shape(self, key):
        """The shape of an array without reading it."""
        return tuple(self._at(key).shape)

    def _at(self, key):
        if self._arrays is not None:
            return self._arrays[key]
        if self._group is None or key not in self._group:
            raise KeyError(f"'{key}' is not among the saved variables {self.keys()}")
        return self._group[key]

    def __getitem__(self, key):
        found = self._at(key)
        return found if isinstance(found, np.ndarray) else read(found)

    def into(self, key, variable):
        """Reads an array into a variable of its shape."""
        found = self._at(key)
        if isinstance(found, np.ndarray):
            variable.assign(found)
        else:
            into(found, variable)

    def __setitem__(self, key, value):
        if self._group is None:
            self._group = self._make()
        write(self._group, str(key), value)


class Store:
    """The variables of a model, in one HDF5 file."""

    def __init__(self, file):
        self.file = file

    def make(self, path, name=None):
        """Where an object's variables are written to."""
        where = f"{path}/vars" if path else "vars"
        if name is None:
            return Entry(make=lambda: self.file.create_group(where))
        group = self.file.create_group(where)
        group.attrs["name"] = name
        return Entry(group)

    def get(self, path):
        """Where an object's variables are read from; empty if there are none."""
        for way in (path, path.replace("layers", "_layer_checkpoint_dependencies")):
            where = f"{way}/vars" if way else "vars"
            if where in self.file:
                found = self.file[where]
                return Entry(found if hasattr(found, "keys") else None)
        return Entry()

    def has(self, path):
        """Whether there is anything under a path."""
        return path in self.file


class Shards:
    """Variables over several HDF5 files, none larger than a limit, and a map of them in JSON."""

    def __init__(self, limit, name, create):
        """`name(i)` is the name of file `i`, `create(name)` opens it for writing and reading."""
        self._limit, self._name, self._create = limit, name, create
        self._map, self._names, self._file = {}, [], None
        self._size = self._total = 0

    def _next(self):
        if self._file is not None:
            self._file.close()
        self._names.append(self._name(len(self._names)))
        self._file = h5py().File(self._create(self._names[-1]), "w")
        self._size = 0

    def make(self, path, name=None):
        return _ShardEntry(self, f"{path}/vars" if path else "vars", name)

    def put(self, where, name, key, value):
        """Writes an array into the last file, or a new one where it is full."""
        value = array_of(value)
        if value.nbytes > self._limit:
            raise ValueError(f"save_weights: '{where}/{key}' has {value.nbytes} bytes, more than "
                             f"`max_shard_size` allows ({self._limit:.0f})")
        if self._file is None or self._size + value.nbytes > self._limit:
            self._next()
        group = self._file.require_group(where)
        if name is not None:
            group.attrs["name"] = name
        write(group, key, value)
        self._size += value.nbytes
        self._total += value.nbytes
        files = self._map.setdefault(f"/{where}", [])
        if self._names[-1] not in files:
            files.append(self._names[-1])

    def close(self):
        """Ends the last file; the text of the map."""
        if self._file is None:
            self._next()
        self._file.close()
        config = {"metadata": {"total_size": self._total}, "weight_map": self._map}
        return json.dumps(config, indent=4)


class _ShardEntry:
    def __init__(self, shards, where, name):
        self._shards, self._where, self._name = shards, where, name

    def __setitem__(self, key, value):
        self._shards.put(self._where, self._name, str(key), value)


class ShardReader:
    """Variables that `Shards` (nnc's or Keras's) wrote: the files opened once, checked.

    Attributes:
        files: The open HDF5 files by name.
    """

    def __init__(self, path, stack):
        with open(path, "rb") as f:
            config = parse_json(f.read(1 << 26), str(path))
        folder = os.path.dirname(os.path.abspath(path))
        self._map, self.files = {}, {}
        weight_map = config.get("weight_map")
        if not isinstance(weight_map, dict):
            raise ValueError(f"{path}: 'weight_map' must be an object of paths and files")
        for where, names in weight_map.items():
            names = [names] if isinstance(names, str) else names
            for name in names:
                if not isinstance(name, str) or os.path.basename(name) != name or \
                        not name.endswith(".h5"):
                    _refuse(str(path), str(name), "a shard must be an .h5 file beside the map")
                full = os.path.join(folder, name)
                if not os.path.isfile(full):
                    _refuse(str(path), name, "there is no such file beside the map")
                if name not in self.files:
                    self.files[name] = stack.enter_context(opened(full, name))
            self._map[where.strip("/")] = names

    def get(self, path):
        where = f"{path}/vars" if path else "vars"
        arrays = {}
        for name in self._map.get(where, ()):
            if where in self.files[name]:
                arrays.update(self.files[name][where].items())
        return Entry(arrays=arrays)

    def has(self, path):
        return any(where == path or where.startswith(f"{path}/") for where in self._map)


def parse_json(data, what, depth=200):
    """A value of JSON text from a file that nobody vouches for.

    Raises:
        ValueError: If it is no JSON, or nested deeper than any configuration.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what} is no JSON: {error}") from None
    level, rest = 0, [value]
    while rest:
        level += 1
        if level > depth:
            raise ValueError(f"{what}: nested deeper than {depth} levels")
        rest = [part for outer in rest if isinstance(outer, (dict, list))
                for part in (outer.values() if isinstance(outer, dict) else outer)]
    return value
