"""The older formats: whole models and weights in one `.h5` file; and weights in shards.

In `.h5` files the configuration is an attribute, weights lie under the names of layers, in the
order "trained first". Written as Keras 3 writes them; read as Keras 2 and 3 wrote them.
"""
import contextlib
import json
import os
import re
import warnings

import numpy as np

from . import assets, hdf5, keras_file
from .object_registration import serialize_keras_object
from .state import begin, limited, load_state, save_state, settle

_MODELS = {"Sequential": "keras", "Functional": "keras.src.models.functional", "Model": "keras"}
_LIMIT = 64512              # bytes of an attribute in an object's header


def _legacy_weights(layer):
    return layer.trainable_weights + layer.non_trainable_weights


# ---- writing -------------------------------------------------------------------------------------

def save(model, path, include_optimizer=True):
    """Writes a model as one `.h5` file."""
    from ..utils.file import atomic_write

    with assets.collected(model) as found:
        kept = found[0][0] if found else None
    if kept is not None:
        raise ValueError(f"{path}: .h5 files cannot hold the files of layers, such as {kept!r}. "
                         "Save as '.keras', or pass the vocabulary to the layer when it is made.")
    config = {"class_name": type(model).__name__,
              "config": serialize_keras_object(model.get_config())}
    optimizer = model.optimizer if include_optimizer and getattr(model, "compiled", False) else None
    training = None
    if optimizer is not None:
        training = dict(model.get_compile_config())
        training.pop("optimizer", None)
        training["optimizer_config"] = {
            "class_name": type(optimizer).__name__,
            "config": serialize_keras_object(optimizer.get_config())}
    module = hdf5.h5py()
    with atomic_write(path, "w+b") as f, module.File(f, "w") as file:
        file.attrs["keras_version"] = keras_file.KERAS_VERSION
        file.attrs["backend"] = "nnc"
        file.attrs["model_config"] = json.dumps(config).encode()
        if training is not None:
            file.attrs["training_config"] = json.dumps(training).encode()
        write_weights(model, file.create_group("model_weights"))
        if optimizer is not None and optimizer.variables:
            _write_group(file.create_group("optimizer_weights"), optimizer.variables)


def write_weights(model, group):
    """Writes the weights of the layers under their names."""
    _write_names(group, "layer_names", [layer.name for layer in model.layers])
    group.attrs["backend"] = b"nnc"
    group.attrs["keras_version"] = keras_file.KERAS_VERSION.encode()
    for layer in sorted(model.layers, key=lambda layer: layer.name):
        _write_group(group.create_group(layer.name), _legacy_weights(layer))
    _write_group(group.create_group("top_level_model_weights"), model._own_in_order())


def _write_group(group, variables):
    names, used = [], {}
    for variable in variables:
        name = variable.path
        used[name] = used.get(name, -1) + 1
        names.append(f"{name}_{used[name]}" if used[name] else name)
    _write_names(group, "weight_names", names)
    for name, variable in zip(names, variables):
        hdf5.write(group, name, variable)


def _write_names(group, key, names):
    data = np.asarray([name.encode() for name in names])
    if any(len(name.encode()) > _LIMIT for name in names):
        raise ValueError(f"save: a name is longer than {_LIMIT} bytes, which HDF5 cannot hold")
    count = 1
    while any(part.nbytes > _LIMIT for part in np.array_split(data, count)):
        count += 1
    if count == 1:
        group.attrs[key] = data
    else:
        for i, part in enumerate(np.array_split(data, count)):
            group.attrs[f"{key}{i}"] = part


# ---- reading -------------------------------------------------------------------------------------

def _text(value):
    return value.decode("utf-8", "replace") if hasattr(value, "decode") else str(value)


def _names(group, key):
    if key in group.attrs:
        return [_text(name) for name in group.attrs[key]]
    found, i = [], 0
    while f"{key}{i}" in group.attrs:
        found += [_text(name) for name in group.attrs[f"{key}{i}"]]
        i += 1
    return found


def _json(file, key, what):
    text = file.attrs.get(key)
    if text is None:
        return None
    value = _decode(hdf5.parse_json(_text(text), f"{what}: attribute '{key}'"))
    if not isinstance(value, dict):
        raise ValueError(f"{what}: attribute '{key}' must be an object")
    keras_file.check_config(value, what)
    return value


def _decode(value):
    """Keras 2's tuples and shapes as tuples; its names of arguments as those of Keras 3."""
    if isinstance(value, list):
        return [_decode(part) for part in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") in ("__tuple__", "TensorShape") and "items" in value:
        return tuple(_decode(part) for part in value["items"])
    value = {key: _decode(part) for key, part in value.items()}
    inner = value.get("config")
    if isinstance(inner, dict) and "module" not in value and "class_name" in value:
        _modernize(value["class_name"], inner)
    return value


def _modernize(name, config):
    shape = config.pop("batch_input_shape", None)
    if shape is not None:
        config["batch_shape" if name == "InputLayer" else "batch_input_shape"] = shape
    axis = config.get("axis")
    if isinstance(axis, (list, tuple)) and len(axis) == 1 and "Normalization" in str(name):
        config["axis"] = int(axis[0])
    for old in ("jit_compile", "is_legacy_optimizer", "decay") if "learning_rate" in config else ():
        config.pop(old, None)
    if "ema_momentum" in config and config.get("weight_decay") == 0:
        config["weight_decay"] = None


def _place(value, module):
    """Says where the classes of a configuration without modules are: names alone are ambiguous."""
    if isinstance(value, (list, tuple)):
        for part in value:
            _place(part, module)
    elif isinstance(value, dict):
        inner = value.get("config")
        if "class_name" in value:
            value.setdefault("module", _MODELS.get(value["class_name"], module)
                             if isinstance(value["class_name"], str) else module)
            if isinstance(inner, dict) and module == "keras.layers":
                for key in ("layers", "layer", "cell", "cells"):
                    _place(inner.get(key), module)
        else:
            for part in value.values():
                _place(part, module)


def load(path, custom_objects=None, compile=True):
    """The model that an `.h5` file holds."""
    with hdf5.opened(path, path) as file:
        config = _json(file, "model_config", path)
        if config is None:
            raise ValueError(f"{path}: no model configuration in the file (attribute "
                             "'model_config'). If it holds weights only, make the model and use "
                             "`load_weights`.")
        if "model_weights" not in file:
            raise ValueError(f"{path}: there is no group 'model_weights'")
        _place(config, "keras.layers")
        with limited(keras_file._stored(file), path):
            model = keras_file.make(config, custom_objects, path)
            if not model.built and model.weights == [] and _names(file["model_weights"],
                                                                 "layer_names"):
                warnings.warn(f"{path}: the model of the file was saved without its input's shape "
                              "and is not built: its weights were not loaded.", stacklevel=3)
                return model
            load_weights(model, file["model_weights"])
            training = _json(file, "training_config", path) if compile else None
            if training is None:
                if compile:
                    warnings.warn(f"{path}: no training configuration in the file: the model was "
                                  "not compiled. Compile it.", stacklevel=3)
                return model
            _compile(model, training, custom_objects)
            if "optimizer_weights" in file:
                _load_optimizer(model, file["optimizer_weights"], path)
    return model


def _compile(model, training, custom_objects):
    from .object_registration import CustomObjectScope

    known = ("loss", "loss_weights", "metrics", "weighted_metrics", "run_eagerly",
             "steps_per_execution", "jit_compile")
    config = {key: training[key] for key in known if training.get(key) is not None}
    config["optimizer"] = training.get("optimizer_config", "rmsprop")
    for key, value in config.items():
        _place(value, {"optimizer": "keras.optimizers", "loss": "keras.losses"}.get(
            key, "keras.metrics"))
    with CustomObjectScope(custom_objects):
        model.compile_from_config(config)


def _load_optimizer(model, group, path):
    values = _values(group, path)
    model.optimizer.build(model.trainable_variables) if not model.optimizer.built else None
    try:
        model.optimizer.set_weights(values)
    except ValueError as error:
        warnings.warn(f"{path}: the optimizer's state was not loaded, it begins anew: {error}",
                      stacklevel=4)


def _values(group, what):
    found = []
    for name in _names(group, "weight_names"):
        data = group.get(name)
        if not hasattr(data, "shape"):
            raise ValueError(f"{what}: there is no dataset '{name}' in '{group.name}'")
        found.append(hdf5.read(data))
    return found


def load_weights(model, group, by_name=None, skip_mismatch=False):
    """Reads weights: layers in their order, or (`by_name`) those of the same names.

    Raises:
        ValueError: If numbers or shapes differ; then no weight was changed.
    """
    if "layer_names" not in group.attrs and "model_weights" in group:
        group = group["model_weights"]
    what = f"load_weights: {group.file.filename if hasattr(group, 'file') else 'file'}"
    saved = []
    for name in _names(group, "layer_names"):
        inner = group.get(name)
        if inner is None or not hasattr(inner, "keys"):
            raise ValueError(f"{what}: there is no group '{name}' of layer '{name}'")
        saved.append((name, inner))
    if by_name:
        pairs = [(name, inner, layer) for name, inner in saved for layer in model.layers
                 if layer.name == name]
    else:
        saved = [(name, inner) for name, inner in saved if _names(inner, "weight_names")]
        layers = [layer for layer in model.layers if layer.weights]
        if len(layers) != len(saved):
            raise ValueError(f"{what}: layer count mismatch: the model has {len(layers)} layers "
                             f"with weights, the file {len(saved)}")
        pairs = [(name, inner, layer) for (name, inner), layer in zip(saved, layers)]
    jobs = []
    for name, inner, layer in pairs:
        jobs += _match(_legacy_weights(layer), inner, f"layer '{layer.name}' ('{name}' in the "
                                                      "file)", skip_mismatch, what)
    top = group.get("top_level_model_weights")
    if top is not None and hasattr(model, "_own_in_order"):
        jobs += _match(model._own_in_order(), top, "the model's own weights", skip_mismatch, what)
    for variable, data in jobs:
        begin(variable)
        hdf5.into(data, variable)
        settle(variable)


def _match(variables, group, where, skip_mismatch, what):
    """Pairs of variable and dataset; refused (or left out with a warning) if they do not fit."""
    names = _names(group, "weight_names")
    if len(names) != len(variables):
        text = f"{what}: {where} expects {len(variables)} weights, the file has {len(names)}"
        if not skip_mismatch:
            raise ValueError(text)
        warnings.warn(text, stacklevel=4)
        return []
    jobs = []
    for name, variable in zip(names, variables):
        data = group.get(name)
        shape = getattr(data, "shape", None)
        if shape is None:
            raise ValueError(f"{what}: there is no dataset '{name}' of {where}")
        if tuple(shape) != tuple(variable.shape):
            text = (f"{what}: {where}: weight '{variable.path}' has shape "
                    f"{tuple(variable.shape)}, the saved one {tuple(shape)}")
            if not skip_mismatch:
                raise ValueError(text)
            warnings.warn(text, stacklevel=4)
            continue
        jobs.append((variable, data))
    return jobs


# ---- shards --------------------------------------------------------------------------------------

def save_shards(model, path, limit, skip=()):
    """Writes weights into several files and a map of them: all of the old ones count until the map
    is written, which is the last step, then all of the new ones.

    Files get Keras's names where none is there yet, else names that no other save has; Keras opens
    the first of its own names before it looks at the map, so an empty file stays there. Files that
    no map names any more are removed, those of a writer that was killed too.
    """
    from ..utils.file import atomic_write, hold, remove

    folder = os.path.dirname(os.path.abspath(path))
    base = os.path.basename(path).removesuffix(".json").removesuffix(".weights")
    mark = f"-{os.urandom(4).hex()}" if _shards_of(folder, base) else ""
    with contextlib.ExitStack() as undo:
        files = {}

        def create(name):
            full = os.path.join(folder, name)
            files[name] = undo.enter_context(open(full, "x+b"))
            undo.callback(remove, full)
            hold(files[name])                       # as long as it is open, it is not litter
            return files[name]
        shards = hdf5.Shards(limit, lambda i: f"{base}_{i:05}{mark}.weights.h5", create)
        save_state(model, shards, skip)
        text = shards.close()
        for f in files.values():
            f.flush()
            os.fsync(f.fileno())
        with atomic_write(path, "w", encoding="utf-8") as f:
            f.write(text)
        undo.pop_all()
        for f in files.values():
            f.close()
    first = f"{base}_00000.weights.h5"
    if first not in files:
        with atomic_write(os.path.join(folder, first), "w+b") as f, hdf5.h5py().File(f, "w"):
            pass
    for name in _shards_of(folder, base):
        if name not in files and name != first:
            remove(os.path.join(folder, name), unheld=True)


def _shards_of(folder, base):
    """The names of all files that could be shards of this map."""
    pattern = re.compile(re.escape(base) + r"_[0-9]{5,}(-[0-9a-f]{8})?\.weights\.h5")
    return [name for name in os.listdir(folder) if pattern.fullmatch(name)]


def load_shards(model, path, skip_mismatch=False, skip=()):
    """Reads what `save_shards` (or Keras) wrote."""
    with contextlib.ExitStack() as stack:
        load_state(model, hdf5.ShardReader(path, stack), skip_mismatch, skip)
