"""Objects as dictionaries and back, in Keras's form.

An object becomes `{"module", "class_name", "config", "registered_name"}`, with `"build_config"` and
`"compile_config"` where it has them. On the way back a class is looked up in a closed table, by
module and name, or among what the user registered; nothing is ever imported by name, and no code is
ever loaded.
"""
import inspect
import threading
import types

import numpy as np

from .. import _core
from .._core import Tensor
from ..utils.text import suggest

_PLAIN = (str, int, float, bool)
_objects = {}       # "package>name" -> class or function
_names = {}         # class or function -> "package>name"


class _Scopes(threading.local):
    objects = {}


_scopes = _Scopes()


class CustomObjectScope:
    """Within `with CustomObjectScope({"Name": cls})` configurations may name these objects."""

    def __init__(self, custom_objects):
        self.custom_objects = dict(custom_objects or {})

    def __enter__(self):
        self._before = _scopes.objects
        _scopes.objects = {**self._before, **self.custom_objects}
        return self

    def __exit__(self, *exc):
        _scopes.objects = self._before


custom_object_scope = CustomObjectScope


class _Sharing(threading.local):
    seen = None         # id of an object -> the object and how often it was written
    made = None         # number in a file -> the object made of it


_sharing = _Sharing()


class SharedObjects:
    """Within it, objects that are written more than once are marked (from the second pass on), and
    come back as one object.
    """

    def __enter__(self):
        self._before = _sharing.seen, _sharing.made
        _sharing.seen, _sharing.made = {}, {}
        return self

    def __exit__(self, *exc):
        _sharing.seen, _sharing.made = self._before


def _note_shared(obj, config):
    """Marks the dictionary of an object that was written more than once in the pass before."""
    if _sharing.seen is None or inspect.isclass(obj):
        return
    entry = _sharing.seen.setdefault(id(obj), [obj, 0])
    if entry[1] > 1:
        config["shared_object_id"] = id(obj)
    entry[1] += 1


def make_shared(config, make):
    """What `make()` gives; for a marked dictionary one object each time."""
    number = config.get("shared_object_id")
    if _sharing.made is None or not isinstance(number, int):
        return make()
    if number not in _sharing.made:
        _sharing.made[number] = make()
    return _sharing.made[number]


def get_custom_objects():
    """The dictionary of what was registered; it may be changed."""
    return _objects


def register_keras_serializable(package="Custom", name=None):
    """A decorator that registers a class (with `get_config`) or a function as `package>name`."""
    def decorator(thing):
        if inspect.isclass(thing) and not hasattr(thing, "get_config"):
            raise ValueError("register_keras_serializable: a class needs a `get_config()` method. "
                             f"Received: {thing.__name__}")
        registered = f"{package}>{thing.__name__ if name is None else name}"
        _objects[registered] = thing
        _names[thing] = registered
        return thing
    return decorator


def get_registered_name(obj):
    """The name that `obj` was registered under, or its own."""
    return _names.get(obj, getattr(obj, "__name__", None))


def get_registered_object(name, custom_objects=None, module_objects=None):
    """What was registered under a name (or stands in one of the dictionaries), or `None`."""
    for table in (_scopes.objects, _objects, custom_objects, module_objects):
        if table and name in table:
            return table[name]
    return None


# ---- the closed table ----------------------------------------------------------------------------

_table = {}         # "keras.layers" -> {"Dense": Dense, ...}


def _public():
    """Public module -> name -> class or function. Made on first use."""
    if not _table:
        from .. import (activations, constraints, dtype_policies, initializers, layers, losses,
                        metrics, models, optimizers, quantized_policies, quantizers, random,
                        regularizers)

        for module in (activations, constraints, initializers, layers, losses, metrics, optimizers,
                       quantizers, regularizers):
            _table[f"keras.{module.__name__.rpartition('.')[2]}"] = dict(module.ALL_OBJECTS)
        schedules = getattr(optimizers, "schedules", None)
        _table["keras.optimizers.schedules"] = {
            name: cls for name, cls in vars(schedules).items()
            if inspect.isclass(cls)} if schedules else {}
        _table["keras.random"] = {"SeedGenerator": random.SeedGenerator}
        _table["keras"] = {"Sequential": models.Sequential, "Model": models.Model,
                           "DTypePolicy": dtype_policies.DTypePolicy,
                           "FloatDTypePolicy": dtype_policies.DTypePolicy}
        from .. import distillation
        from ..utils import feature_space

        _table["keras.distillation"] = dict(distillation.ALL_OBJECTS)
        _table["keras.utils"] = {"FeatureSpace": feature_space.FeatureSpace}
        for place in ("keras.src", "keras"):
            _table[f"{place}.layers.preprocessing.feature_space"] = {
                name: getattr(feature_space, name)
                for name in ("Cross", "Feature", "TFDConcat", "TFDIdentity")}
        _table["keras.src.models.functional"] = {"Functional": models.Functional}
        _table["keras.models"] = {**_table["keras"], "Functional": models.Functional}
        _table["keras.dtype_policies"] = {**_table["keras"], **quantized_policies.ALL_OBJECTS,
                                          "DTypePolicyMap": dtype_policies.DTypePolicyMap}
    return _table


def _public_module(cls):
    """`"keras.layers"` for a public class, else `None`."""
    for module, names in _public().items():
        if names.get(cls.__name__) is cls:
            return module
    return None


def _find(config, custom_objects):
    """The class or function that a configuration names."""
    name, module = config["class_name"], config.get("module") or ""
    registered = config.get("registered_name")
    function = name == "function"
    if function:
        name = config["config"]
    for key in (registered, name):
        found = get_registered_object(key, custom_objects) if key else None
        if found is not None:
            return found
    tables = _public()
    if module == "builtins" or function or not module:
        places = [names for key, names in tables.items() if not function or key in
                  ("keras.activations", "keras.losses", "keras.metrics", "keras.initializers",
                   "keras.regularizers", "keras.constraints")]
    else:
        module = module.replace("keras.src.", "keras.").replace("nnc", "keras", 1) \
            if module.startswith(("keras.src.", "nnc")) else module
        places = [tables[module]] if module in tables else \
            [names for key, names in tables.items() if module.startswith(key + ".")]
    for names in places:
        if name in names:
            if registered and registered not in (name, config["class_name"]):
                raise ValueError(f"'{name}' is a class or function of Keras's own, but the "
                                 f"configuration gives it the registered_name {registered!r}, "
                                 "under which nothing is registered")
            return names[name]
    if function:                                    # registered, but written without the package
        found = [thing for key, thing in _objects.items() if key.rpartition(">")[2] == name]
        if len(found) == 1:
            return found[0]
    known = sorted({key for names in places or tables.values() for key in names})
    where = f" of module '{module}'" if module and module != "builtins" else ""
    raise TypeError(f"Could not locate {'function' if function else 'class'} '{name}'{where}; "
                    f"{suggest(name, known)} Custom classes and functions must be decorated with "
                    "@nnc.saving.register_keras_serializable(), or passed in `custom_objects`.")


# ---- to a dictionary -----------------------------------------------------------------------------

def serialize_keras_object(obj):
    """A dictionary (of dictionaries, lists and plain values) that describes `obj`.

    Raises:
        ValueError: For a lambda, which no file can hold without holding code.
    """
    if obj is None or isinstance(obj, _PLAIN):
        return obj
    if isinstance(obj, (list, tuple)):
        parts = [serialize_keras_object(part) for part in obj]
        return tuple(parts) if isinstance(obj, tuple) else parts
    if isinstance(obj, dict):
        return {key: serialize_keras_object(part) for key, part in obj.items()}
    if hasattr(obj, "_keras_form"):
        return obj._keras_form()
    special = _serialize_special(obj)
    if special is not None:
        return special
    if isinstance(obj, types.FunctionType):
        return _serialize_function(obj)
    if isinstance(obj, np.generic) or isinstance(obj, np.ndarray):
        return obj.item()
    cls = obj if inspect.isclass(obj) else type(obj)
    if not hasattr(obj, "get_config"):
        raise TypeError(f"Cannot serialize {obj!r} of type {cls.__name__}: it has no "
                        "`get_config()` method.")
    module = _public_module(cls)
    config = {"module": module or cls.__module__, "class_name": cls.__name__,
              "config": serialize_keras_object(obj.get_config()),
              "registered_name": get_registered_name(cls) if not module or "src" in module
              else None}
    _note_shared(obj, config)
    for key in ("build_config", "compile_config"):
        method = getattr(obj, f"get_{key}", None)
        part = method() if method is not None else None
        if part is not None:
            config[key] = serialize_keras_object(part)
    return config


def _serialize_special(obj):
    if isinstance(obj, bytes):
        return {"class_name": "__bytes__", "config": {"value": obj.decode("utf-8")}}
    if isinstance(obj, slice):
        return {"class_name": "__slice__",
                "config": {key: serialize_keras_object(getattr(obj, key)) for key in ("start",
                                                                                      "stop",
                                                                                      "step")}}
    if obj is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(obj, (Tensor, _core.Variable)):
        return {"class_name": "__tensor__", "config": {"value": obj.numpy().tolist(),
                                                       "dtype": obj.dtype}}
    if isinstance(obj, np.ndarray) and obj.ndim > 0:
        return {"class_name": "__numpy__", "config": {"value": obj.tolist(),
                                                      "dtype": obj.dtype.name}}
    return None


def _serialize_function(function):
    if function.__name__ == "<lambda>":
        raise ValueError("A lambda cannot be serialized: use a named function decorated with "
                         "@nnc.saving.register_keras_serializable().")
    for names in _public().values():
        if names.get(function.__name__) is function:
            return {"module": "builtins", "class_name": "function", "config": function.__name__,
                    "registered_name": function.__name__}
    name = get_registered_name(function)
    return {"module": "builtins", "class_name": "function", "config": name, "registered_name": name}


# ---- and back ------------------------------------------------------------------------------------

def deserialize_keras_object(config, custom_objects=None, safe_mode=True, **kwargs):
    """The object that `serialize_keras_object` described.

    Args:
        config: The dictionary, or a list of such, or a plain value.
        custom_objects: Dictionary of name and class or function, looked at beside what is
            registered.
        safe_mode: Must be `True`: code in a configuration is never run.

    Raises:
        TypeError: If a class or function is not known; the nearest known name is shown.
    """
    if not safe_mode:
        raise ValueError("deserialize_keras_object: `safe_mode=False` would run code from the "
                         "configuration, which nnc never does.")
    module_objects = kwargs.pop("module_objects", None)
    if kwargs:
        raise ValueError(f"deserialize_keras_object: unknown arguments {sorted(kwargs)}")
    if config is None or isinstance(config, _PLAIN):
        if isinstance(config, str):
            found = get_registered_object(config, custom_objects, module_objects)
            return config if found is None else found
        return config
    if isinstance(config, (list, tuple)):
        parts = [deserialize_keras_object(part, custom_objects) for part in config]
        return tuple(parts) if isinstance(config, tuple) else parts
    if not isinstance(config, dict):
        raise TypeError(f"Could not parse config: {config!r}")
    if "class_name" not in config or "config" not in config:
        return {key: deserialize_keras_object(part, custom_objects) for key, part in config.items()}
    return _deserialize_object(config, custom_objects)


#: Where Keras's classes of ops are.
OP_MODULES = ("keras.src.ops.", "keras.ops", "keras.src.activations.")


def _deserialize_object(config, custom_objects):
    name, inner = config["class_name"], config["config"]
    if isinstance(name, str) and name.startswith("__") and name.endswith("__"):
        return _deserialize_special(name, inner)
    if str(config.get("module")).startswith(OP_MODULES):
        from ..ops.symbolic import from_keras_form

        return from_keras_form({**config, "config": deserialize_keras_object(inner)})
    return make_shared(config, lambda: _make(config, custom_objects))


def _make(config, custom_objects):
    name, inner = config["class_name"], config["config"]
    found = _find(config, custom_objects)
    if name == "function" or not inspect.isclass(found):
        return found
    if not hasattr(found, "from_config"):
        raise TypeError(f"Cannot make a {name} of a configuration: it has no `from_config()` "
                        "method.")
    with CustomObjectScope(custom_objects):
        made = found.from_config(dict(inner) if isinstance(inner, dict) else inner)
        build = config.get("build_config")
        if build and not made.built:
            made.build_from_config(_as_shapes(build))
            made.built = True
        compiled = config.get("compile_config")
        if compiled:
            made.compile_from_config(compiled)
    return made


def _deserialize_special(name, inner):
    if name == "__tensor__":
        return Tensor(np.array(inner["value"], inner["dtype"]))
    if name == "__numpy__":
        return np.array(inner["value"], inner["dtype"])
    if name == "__bytes__":
        return inner["value"].encode("utf-8")
    if name == "__slice__":
        return slice(inner["start"], inner["stop"], inner["step"])
    if name == "__ellipsis__":
        return Ellipsis
    raise ValueError(f"The configuration holds {name.strip('_')} code or types, which nnc never "
                     "loads. Use registered functions and classes instead.")


def _as_shapes(config):
    """Lists of a JSON file as the tuples that shapes are."""
    if isinstance(config, dict):
        return {key: _as_shapes(part) for key, part in config.items()}
    if isinstance(config, list):
        return tuple(_as_shapes(part) for part in config)
    return config
