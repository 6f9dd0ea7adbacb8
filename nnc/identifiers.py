"""How the `get`, `serialize` and `deserialize` functions read names and configurations.

Every family (losses, optimizers ...) has one closed table: name -> class or function. A name is
looked up there, then among what the user registered; nothing is ever imported by name.
"""
import inspect

from .utils.text import suggest


def _registered(name, custom_objects):
    from .saving.object_registration import get_registered_object

    return get_registered_object(name, custom_objects)


def lookup(name, table, kind, custom_objects=None):
    """The entry of `table` (or a registered object) called `name`.

    Raises:
        ValueError: If there is none; the text names the nearest one there is.
    """
    found = (custom_objects or {}).get(name)
    if found is None:
        found = table.get(name)
    if found is None:
        found = _registered(name, custom_objects)
    if found is None:
        # Names come in two spellings; the nearest one is looked for among those of the same kind.
        known = [key for key in table if key.islower()] if str(name).islower() else table
        raise ValueError(f"Unknown {kind}: {name!r}; {suggest(name, known or table)}")
    return found


def deserialize(config, table, kind, custom_objects=None):
    """The object or function that a configuration (or a bare name) describes.

    Args:
        config: `{"class_name": ..., "config": {...}}`, with `"module"` and `"registered_name"` or
            without; for a function `{"class_name": "function", "config": name}`; or a name.
        table: The family's table.
        kind: What the family is called in messages.
        custom_objects: More names, looked at first.
    """
    if isinstance(config, str):
        return lookup(config, table, kind, custom_objects)
    if not isinstance(config, dict) or "class_name" not in config:
        raise ValueError(f"Could not interpret {kind} configuration. Expected a dictionary with "
                         f"'class_name' and 'config'. Received: {config!r}")
    name, inner = config["class_name"], config.get("config")
    if name == "function":
        return lookup(inner, table, kind, custom_objects)
    registered = config.get("registered_name")
    found = _registered(registered, custom_objects) if registered else None
    if found is None:
        found = lookup(name, table, kind, custom_objects)
    if not inspect.isclass(found):
        return found
    if not hasattr(found, "from_config"):
        raise TypeError(f"Unable to reconstruct an instance of '{name}' as {kind}: the class has "
                        "no `from_config()` method.")
    from .saving.object_registration import make_shared

    return make_shared(config, lambda: found.from_config(dict(inner) if inner else {}))


def get(identifier, table, kind, custom_objects=None):
    """What `identifier` stands for: a name, a configuration, a class (an instance is made) or a
    callable.

    Raises:
        ValueError: If it is none of these, or an unknown name.
    """
    if isinstance(identifier, (str, dict)):
        identifier = deserialize(identifier, table, kind, custom_objects)
    if inspect.isclass(identifier):
        return identifier()
    if callable(identifier):
        return identifier
    raise ValueError(f"Could not interpret {kind} identifier. Expected a name, a configuration "
                     f"dictionary, a class or a callable. Received: {identifier!r} (of type "
                     f"{type(identifier).__name__})")


def serialize(thing):
    """The configuration dictionary of an object or function, in Keras's form."""
    from .saving.object_registration import serialize_keras_object

    return serialize_keras_object(thing)
