"""Nests: lists, tuples and dicts (in the order of their sorted keys) of leaves."""


def is_nest(value):
    """Whether `value` is a list, tuple or dict."""
    return isinstance(value, (list, tuple, dict))


def flatten(value, keep_none=False):
    """The leaves of a nest as a list; without `None` unless asked for."""
    if isinstance(value, dict):
        return [leaf for key in sorted(value) for leaf in flatten(value[key], keep_none)]
    if isinstance(value, (list, tuple)):
        return [leaf for part in value for leaf in flatten(part, keep_none)]
    return [] if value is None and not keep_none else [value]


def map_leaves(function, value):
    """The nest with `function(leaf)` in the place of each leaf; `None` stays."""
    if isinstance(value, dict):
        return {key: map_leaves(function, value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        parts = [map_leaves(function, part) for part in value]
        if isinstance(value, list):
            return parts
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return None if value is None else function(value)


def pack(structure, leaves):
    """A nest like `structure`, `None`s included, with these leaves in the order of `flatten`."""
    remaining = iter(leaves)
    return map_leaves(lambda leaf: next(remaining), structure)
