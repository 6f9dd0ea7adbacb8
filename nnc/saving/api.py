"""`save_model`, `load_model`, `save_weights`, `load_weights`: which format a name stands for."""
import os

from .state import load_random, load_state, telling

_FORMATS = ".keras, .h5, .hdf5"


def _keep(path, overwrite, who):
    if not overwrite and os.path.exists(path):
        raise FileExistsError(f"{who}: {path} is there already, and overwrite=False")


def save_model(model, filepath, overwrite=True, zipped=None, **kwargs):
    """Saves a model: configuration, weights, and how far training is.

    Args:
        model: The model.
        filepath: Path ending in `.keras`; in `.h5` or `.hdf5` for the format of Keras 2. Or a file
            open for writing bytes (`io.BytesIO`), which gets what a `.keras` file holds.
        overwrite: Whether a file that is there may be replaced. Unlike Keras, which asks, `False`
            raises a `FileExistsError`.
        zipped: `False` makes a folder of the members instead of one `.keras` file.
        **kwargs: `include_optimizer` (for `.h5`).

    The old file stays whole until the new one is on the disk.
    """
    from . import keras_file, legacy

    include_optimizer = kwargs.pop("include_optimizer", True)
    kwargs.pop("save_format", None)
    if kwargs:
        raise ValueError(f"save_model: unknown arguments {sorted(kwargs)}")
    if hasattr(filepath, "write"):
        if zipped is False:
            raise ValueError("save_model: `zipped=False` makes a folder. Received: an open file")
        keras_file.save_into(model, filepath)
        return
    path = os.fspath(filepath)
    _keep(path, overwrite, "save_model")
    if zipped is False:
        keras_file.save_folder(model, path)
    elif path.endswith((".h5", ".hdf5")):
        if zipped:
            raise ValueError(f"save_model: `zipped=True` is for `.keras` files. Received: {path}")
        legacy.save(model, path, include_optimizer)
    elif path.endswith(".keras"):
        keras_file.save(model, path)
    else:
        raise ValueError(f"save_model: the name must end in one of {_FORMATS}. Received: "
                         f"filepath={path}")


def load_model(filepath, custom_objects=None, compile=True, safe_mode=True):
    """The model that a file holds; it goes on training where it was.

    Args:
        filepath: A `.keras` or `.h5` file, a folder of a `.keras` file's members, or an open file.
        custom_objects: Names and the classes or functions that they stand for in the file.
        compile: Whether the model is compiled as it was.
        safe_mode: Must be `True`: no code in a file is ever run.

    Raises:
        ValueError: If the file is damaged, or holds what no file needs; the text says which member.
        TypeError: If it names a class that is neither nnc's nor registered.
    """
    from . import keras_file, legacy

    if not safe_mode:
        raise ValueError("load_model: `safe_mode=False` would run code from the file, which nnc "
                         "never does. Register the functions that the model uses instead.")
    if hasattr(filepath, "read"):
        return keras_file.load(filepath, custom_objects, compile)
    path = os.fspath(filepath)
    if not os.path.exists(path):
        raise ValueError(f"load_model: file not found: filepath={path}. Please ensure the file is "
                         "an accessible `.keras` or `.h5` file.")
    if path.endswith(".keras") or os.path.isdir(path):
        return keras_file.load(path, custom_objects, compile)
    if path.endswith((".h5", ".hdf5")):
        return legacy.load(path, custom_objects, compile)
    raise ValueError(f"load_model: the name must end in one of {_FORMATS}. Received: "
                     f"filepath={path}")


def save_weights(model, filepath, overwrite=True, max_shard_size=None, **kwargs):
    """Saves the weights of a model and the state of its optimizer.

    Args:
        model: A built model.
        filepath: Path ending in `.weights.h5`; in `.weights.json` for several files of
            `max_shard_size`; in `.npz` or `.safetensors` for the weights alone, by their paths.
        overwrite: Whether a file that is there may be replaced.
        max_shard_size: Number of GB that a file may have.
        **kwargs: `objects_to_skip`: layers or others to leave out.
    """
    from ..utils.file import atomic_write
    from . import arrays, hdf5, keras_file, legacy

    skip = kwargs.pop("objects_to_skip", None)
    if kwargs:
        raise ValueError(f"save_weights: unknown arguments {sorted(kwargs)}")
    path = os.fspath(filepath)
    if not model.built:
        raise ValueError("save_weights: the model has no weights yet. Build it first by calling it "
                         "on some data or by using `build()`.")
    if max_shard_size is not None:
        if not path.endswith((".weights.h5", ".weights.json")):
            raise ValueError("save_weights: the name must end in `.weights.json` where "
                             f"`max_shard_size` is given. Received: filepath={path}")
        path = path.removesuffix(".h5").removesuffix(".json") + ".json"
        _keep(path, overwrite, "save_weights")
        legacy.save_shards(model, path, float(max_shard_size) * (1 << 30), skip)
        return
    if path.endswith((".npz", ".safetensors")):
        _keep(path, overwrite, "save_weights")
        arrays.save(path, arrays.named_weights(model))
        return
    if not path.endswith(".weights.h5"):
        raise ValueError("save_weights: the name must end in `.weights.h5`, `.npz` or "
                         f"`.safetensors`. Received: filepath={path}")
    _keep(path, overwrite, "save_weights")
    hdf5.h5py()
    with atomic_write(path, "w+b") as f:
        keras_file.write_weights(model, f, skip)


def load_weights(model, filepath, skip_mismatch=False, **kwargs):
    """Loads weights into a built model; shapes are compared before any weight changes, and so are
    a `.keras` file's checksums. Where the disk fails later, the error says which weights have
    changed.

    Args:
        model: A built model.
        filepath: A `.weights.h5`, `.weights.json`, `.keras`, `.h5`, `.npz` or `.safetensors` file.
        skip_mismatch: Whether what does not fit is left as it is, with a warning.
        **kwargs: `by_name=True` (for `.h5`, `.npz` and `.safetensors`): layers are found by name;
            `objects_to_skip` (for `.weights.h5`).
    """
    from . import arrays, hdf5, keras_file, legacy

    skip, by_name = kwargs.pop("objects_to_skip", None), kwargs.pop("by_name", None)
    if kwargs:
        raise ValueError(f"load_weights: unknown arguments {sorted(kwargs)}")
    path = os.fspath(filepath)
    new = path.endswith((".keras", ".weights.h5", ".weights.json"))
    if by_name is not None and new:
        raise ValueError("load_weights: `by_name` is for `.h5` files of Keras 2. Received: "
                         f"filepath={path}")
    if skip is not None and not path.endswith((".weights.h5", ".weights.json")):
        raise ValueError("load_weights: `objects_to_skip` is for `.weights.h5` files. Received: "
                         f"filepath={path}")
    if not model.built:
        raise ValueError("load_weights: the model has no weights yet. Build it first by calling it "
                         "on some data or by using `build()`.")
    with telling(f"load_weights: {path}"):
        if path.endswith(".weights.json"):
            legacy.load_shards(model, path, skip_mismatch, skip)
        elif path.endswith(".weights.h5"):
            with hdf5.opened(path, path) as file:
                load_state(model, hdf5.Store(file), skip_mismatch, skip)
                load_random(model, file)
        elif path.endswith(".keras"):
            with keras_file.members(path) as (_, weights, _), weights() as file:
                load_state(model, hdf5.Store(file), skip_mismatch)
                load_random(model, file)
        elif path.endswith((".h5", ".hdf5")):
            with hdf5.opened(path, path) as file:
                legacy.load_weights(model, file, by_name, skip_mismatch)
        elif path.endswith((".npz", ".safetensors")):
            arrays.load_into(model, path, by_name, skip_mismatch)
        else:
            raise ValueError("load_weights: the name must end in .weights.h5, .weights.json, "
                             f".keras, .h5, .npz or .safetensors. Received: filepath={path}")
