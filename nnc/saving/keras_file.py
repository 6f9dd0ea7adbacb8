"""`.keras` files: a zip of `config.json`, `metadata.json`, `model.weights.h5` and the files of layers
below `assets/`; or a folder of them.
"""
import contextlib
import json
import os
import shutil
import tempfile
import time

from . import assets, hdf5
from .archive import CONFIG_BYTES, Reader, Writer
from .object_registration import (SharedObjects, deserialize_keras_object,
                                  serialize_keras_object)
from .state import limited, load_random, load_state, save_random, save_state

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
#: The version of Keras whose format this is.
KERAS_VERSION = "3.15.0"


def _texts(model):
    """The two JSON members."""
    from .. import _core

    with SharedObjects():
        serialize_keras_object(model)                   # counts what is there more than once
        config = json.dumps(serialize_keras_object(model))
    stamp = time.strftime("%Y-%m-%d@%H:%M:%S")
    metadata = {"keras_version": KERAS_VERSION, "date_saved": stamp,
                "nnc_version": _core.__version__}
    return config.encode(), json.dumps(metadata).encode()


def write_weights(model, f, skip=()):
    """Writes the state of a model as HDF5 into a file open for writing and reading."""
    with hdf5.h5py().File(f, "w") as file:
        save_state(model, hdf5.Store(file), skip)
        save_random(model, file)


def save(model, path):
    """Writes a `.keras` file; `path` is the old file or the whole new one at any time."""
    from ..utils.file import atomic_write

    with _archived(model) as write, atomic_write(path, "w+b") as f:
        write(f)


def save_into(model, file):
    """The same into an open file, which gets all of it when it is made."""
    with _archived(model) as write, tempfile.TemporaryFile() as f:
        write(f)
        f.seek(0)
        shutil.copyfileobj(f, file, 1 << 20)


@contextlib.contextmanager
def _archived(model):
    """A function that writes the archive into a file open for writing and reading."""
    config, metadata = _texts(model)
    hdf5.h5py()
    with assets.collected(model) as found:
        yield lambda f: _write(model, f, config, metadata, found)


def _write(model, f, config, metadata, found):
    writer = Writer(f)
    writer.add(METADATA, metadata)
    writer.add(CONFIG, config)
    with writer.open(WEIGHTS) as window:
        write_weights(model, window)
    for name, full in found:
        with open(full, "rb") as asset:
            writer.add(name, asset.read())
    writer.close()


def save_folder(model, path):
    """The same as files in a folder, which is made."""
    from ..utils.file import atomic_write

    config, metadata = _texts(model)
    hdf5.h5py()
    os.makedirs(path, exist_ok=True)
    with atomic_write(os.path.join(path, WEIGHTS), "w+b") as f:
        write_weights(model, f)
    with assets.collected(model) as found:
        for name, full in found:
            os.makedirs(os.path.join(path, os.path.dirname(name)), exist_ok=True)
            with open(full, "rb") as asset, atomic_write(os.path.join(path, name)) as f:
                f.write(asset.read())
    for name, data in ((METADATA, metadata), (CONFIG, config)):
        with atomic_write(os.path.join(path, name)) as f:
            f.write(data)


@contextlib.contextmanager
def members(path):
    """A function that gives the bytes of a member, one that opens the weights, and one that has a
    model read its assets. With `late`
    their checksum is compared when they have been read: all that was made of them is to be thrown
    away if it is wrong.
    """
    what = str(path)
    with contextlib.ExitStack() as stack:
        if not hasattr(path, "read") and os.path.isdir(path):
            def read(name, limit=CONFIG_BYTES):
                with open(os.path.join(path, name), "rb") as f:
                    data = f.read(limit + 1)
                if len(data) > limit:
                    raise ValueError(f"{what}: member {name!r} refused: more than {limit} bytes")
                return data

            def read_assets(model):
                files = _files_below(path, assets.FOLDER, what)
                room = sum(files.values())
                assets.load(model, files, lambda name: read(name, room), room)
            yield (read, lambda late=False: hdf5.opened(os.path.join(path, WEIGHTS),
                                                        f"{what}/{WEIGHTS}"), read_assets)
            return
        f = path if hasattr(path, "read") else stack.enter_context(open(path, "rb"))
        reader = Reader(f, what)
        yield (reader.read, lambda late=False: _weights_of(reader, what, late),
               lambda model: assets.load(model, reader.names, reader.read_all, reader.length))


def _files_below(path, folder, what):
    """Names, with `/`, and sizes of the files below a folder of a model that is no archive."""
    found = {}
    for outer, _, names in os.walk(os.path.join(path, folder)):
        for name in names:
            full = os.path.join(outer, name)
            inner = os.path.relpath(full, path).replace(os.sep, "/")
            if os.path.islink(full) or not os.path.isfile(full):
                raise ValueError(f"{what}: member {inner!r} refused: it is a link, or no file")
            found[inner] = os.path.getsize(full)
    return found


@contextlib.contextmanager
def _weights_of(reader, what, late):
    window = reader.open(WEIGHTS, late)
    with hdf5.opened(window, f"{what}: {WEIGHTS}") as file:
        yield file
    if late:
        reader.check(WEIGHTS, window)


def load(path, custom_objects=None, compile=True):
    """The model that a `.keras` file (or folder, or open file) holds."""
    with members(path) as (read, weights, read_assets):
        config = hdf5.parse_json(read(CONFIG), f"{path}: {CONFIG}")
        if not isinstance(config, dict):
            raise ValueError(f"{path}: {CONFIG} must be an object. Received: a "
                             f"{type(config).__name__}")
        check_config(config, str(path))
        if not compile:
            config["compile_config"] = None
        with weights(late=True) as file:
            with limited(_stored(file), str(path)):
                model = make(config, custom_objects, str(path))
                load_state(model, hdf5.Store(file), who=str(path))
            load_random(model, file)
        read_assets(model)
    return model


def make(config, custom_objects, what):
    """The object of a configuration; what a class says about nonsense becomes a `ValueError`."""
    from ..layers.layer import Layer

    try:
        with SharedObjects():
            model = deserialize_keras_object(config, custom_objects)
    except (ValueError, TypeError):
        raise
    except (AttributeError, KeyError, IndexError, RecursionError, OverflowError, MemoryError,
            ZeroDivisionError) as error:
        raise ValueError(f"{what}: the configuration is not one of a model: "
                         f"{type(error).__name__}: {error}") from error
    if not isinstance(model, Layer):
        raise ValueError(f"{what}: the configuration is not one of a model. Received: "
                         f"{type(model).__name__}")
    return model


def _stored(file):
    total = 0

    def add(_, thing):
        nonlocal total
        if hasattr(thing, "shape"):
            total += thing.dtype.itemsize * int(thing.size or 0)
    file.visititems(add)
    return total


def check_config(config, what):
    """Refuses configurations that would have classes read other files.

    A `vocabulary` that is a path would be opened when the layer is made.
    """
    rest = [("", config)]
    while rest:
        path, value = rest.pop()
        if isinstance(value, dict):
            for key, part in value.items():
                if key in ("vocabulary", "idf_weights") and isinstance(part, str):
                    raise ValueError(f"{what}: '{path}/{key}' refused: it is the path of a file "
                                     f"({part!r}); a saved model must hold its vocabulary")
                rest.append((f"{path}/{key}", part))
        elif isinstance(value, list):
            rest.extend((f"{path}/{i}", part) for i, part in enumerate(value)
                        if isinstance(part, (dict, list)))
