"""`nnc.tree`: nests of lists, tuples and dicts and their leaves.

Leaves of dicts come in the order of sorted keys; a dict that is made like another has its keys in
that one's order. `None` is a leaf, but not of `flatten`, `map_leaves` and `pack`.
"""


class MAP_TO_NONE:
    """Returned by a function of `traverse`: the value becomes `None`."""


def is_nest(value):
    """Whether `value` is a list, tuple or dict."""
    return isinstance(value, (list, tuple, dict))


def is_nested(structure):
    """Whether `structure` is a list, tuple or dict."""
    return is_nest(structure)


def flatten(structure, keep_none=False):
    """The leaves of a nest as a list; without `None` unless asked for."""
    if isinstance(structure, dict):
        return [leaf for key in sorted(structure) for leaf in flatten(structure[key], keep_none)]
    if isinstance(structure, (list, tuple)):
        return [leaf for part in structure for leaf in flatten(part, keep_none)]
    return [] if structure is None and not keep_none else [structure]


def map_leaves(function, value):
    """The nest with `function(leaf)` in the place of each leaf; `None` stays."""
    if isinstance(value, dict):
        return in_order_of(value, {key: map_leaves(function, value[key]) for key in sorted(value)})
    if isinstance(value, (list, tuple)):
        return _like(value, [map_leaves(function, part) for part in value])
    return None if value is None else function(value)


def in_order_of(structure, parts):
    """The dict `parts` with its keys as they come in the dict `structure`."""
    return {key: parts[key] for key in structure}


def pack(structure, leaves):
    """A nest like `structure`, `None`s included, with these leaves in the order of `flatten`."""
    remaining = iter(leaves)
    return map_leaves(lambda leaf: next(remaining), structure)


def _like(sequence, parts):
    """A list, tuple or named tuple of parts."""
    if isinstance(sequence, list):
        return parts
    return type(sequence)(*parts) if hasattr(sequence, "_fields") else tuple(parts)


# ---- keras.tree ----------------------------------------------------------------------------------

def flatten_with_path(structure):
    """A list of `(path, leaf)`; a path is a tuple of keys and indices."""
    if isinstance(structure, dict):
        parts = [(key, structure[key]) for key in sorted(structure)]
    elif isinstance(structure, (list, tuple)):
        names = getattr(structure, "_fields", range(len(structure)))
        parts = list(zip(names, structure))
    else:
        return [((), structure)]
    return [((key, *path), leaf) for key, part in parts for path, leaf in flatten_with_path(part)]


def map_structure(func, *structures, none_is_leaf=True):
    """The nest of `func(leaf, ...)` for the leaves at the same places of nests of one structure.

    Raises:
        TypeError: If `func` cannot be called.
        ValueError: If there are no structures, or they differ.
    """
    if not callable(func):
        raise TypeError(f"map_structure: `func` must be callable. Received: func={func!r}")
    if not structures:
        raise ValueError("map_structure: at least one structure must be passed.")
    for other in structures[1:]:
        assert_same_structure(structures[0], other)
    return _map_up_to(structures[0], func, structures, none_is_leaf)


def map_shape_structure(func, structure):
    """The nest of `func(shape)` for the shapes (sequences of integers and `None`) in a nest."""
    if isinstance(structure, (list, tuple)) and all(
            n is None or isinstance(n, int) for n in structure):
        return func(structure)
    if isinstance(structure, dict):
        return in_order_of(structure, {key: map_shape_structure(func, structure[key])
                                       for key in sorted(structure)})
    if isinstance(structure, (list, tuple)):
        return _like(structure, [map_shape_structure(func, part) for part in structure])
    return func(structure)


def map_structure_up_to(shallow_structure, func, *structures):
    """As `map_structure`, down to the leaves of `shallow_structure` only."""
    if not structures:
        raise ValueError("map_structure_up_to: at least one structure must be passed.")
    return _map_up_to(shallow_structure, func, structures, True)


def _map_up_to(shallow, func, structures, none_is_leaf):
    if isinstance(shallow, dict):
        for other in structures:
            if not isinstance(other, dict) or set(other) != set(shallow):
                raise ValueError("The structures differ: expected a dict with the keys "
                                 f"{sorted(shallow)}. Received: {other!r}")
        return in_order_of(shallow, {
            key: _map_up_to(shallow[key], func, [s[key] for s in structures], none_is_leaf)
            for key in sorted(shallow)})
    if isinstance(shallow, (list, tuple)):
        for other in structures:
            if not isinstance(other, (list, tuple)) or len(other) != len(shallow):
                raise ValueError(f"The structures differ: expected a sequence of {len(shallow)} "
                                 f"parts. Received: {other!r}")
        return _like(shallow, [_map_up_to(part, func, [s[i] for s in structures], none_is_leaf)
                               for i, part in enumerate(shallow)])
    if shallow is None and not none_is_leaf:
        return None
    return func(*structures)


def assert_same_structure(a, b, check_types=None):
    """Raises ValueError, unless two nests differ in their leaves only.

    `check_types` has no effect, as in Keras; it warns where it is given.
    """
    if check_types is not None:
        import warnings

        warnings.warn("assert_same_structure: `check_types` has no effect; leave it out. "
                      "`assert_same_paths` takes lists and tuples as the same.",
                      DeprecationWarning, stacklevel=2)
    _compare(a, b, ())


def assert_same_paths(a, b):
    """Raises ValueError, unless the leaves of two nests are at the same paths."""
    paths = [[path for path, _ in flatten_with_path(nest)] for nest in (a, b)]
    if set(paths[0]) != set(paths[1]):
        raise ValueError("`a` and `b` don't have the same paths. Received: "
                         f"{sorted(set(paths[0]) ^ set(paths[1]), key=str)} in only one of them")


def _compare(a, b, path):
    kinds = [list if isinstance(v, list) else tuple if isinstance(v, tuple) else
             dict if isinstance(v, dict) else None for v in (a, b)]
    same = kinds[0] is kinds[1]
    if same and kinds[0] is dict:
        same = set(a) == set(b)
    elif same and kinds[0] is not None:
        same = len(a) == len(b)
    if not same:
        raise ValueError("`a` and `b` don't have the same structure: they differ at "
                         f"{'/'.join(map(str, path)) or 'the top'}. Received: a={a!r}, b={b!r}")
    if kinds[0] is dict:
        for key in a:
            _compare(a[key], b[key], (*path, key))
    elif kinds[0] is not None:
        for i, (x, y) in enumerate(zip(a, b)):
            _compare(x, y, (*path, i))


def pack_sequence_as(structure, flat_sequence):
    """A nest like `structure` with the leaves of a flat sequence."""
    flat = list(flat_sequence) if is_nest(flat_sequence) else [flat_sequence]
    wanted = len(flatten(structure, keep_none=True))
    if len(flat) != wanted:
        raise ValueError(f"pack_sequence_as: the structure has {wanted} leaves. Received: "
                         f"{len(flat)} in `flat_sequence`")
    remaining = iter(flat)
    return _map_up_to(structure, lambda _: next(remaining), [structure], True)


def traverse(func, structure, top_down=True):
    """The nest after `func` on each nest and leaf in it.

    What `func` returns takes the place of what it was given (top-down: and is not gone into);
    `None` leaves it as it is, `MAP_TO_NONE` makes it `None`.
    """
    if top_down:
        made = func(structure)
        if made is not None:
            return None if made is MAP_TO_NONE else made
    result = structure
    if isinstance(structure, dict):
        result = in_order_of(structure, {key: traverse(func, structure[key], top_down)
                                         for key in sorted(structure)})
    elif isinstance(structure, (list, tuple)):
        result = _like(structure, [traverse(func, part, top_down) for part in structure])
    if not top_down:
        made = func(result)
        if made is not None:
            return None if made is MAP_TO_NONE else made
    return result


def lists_to_tuples(structure):
    """The nest with tuples in the place of lists."""
    if isinstance(structure, dict):
        return {key: lists_to_tuples(part) for key, part in structure.items()}
    if isinstance(structure, (list, tuple)):
        parts = [lists_to_tuples(part) for part in structure]
        return type(structure)(*parts) if hasattr(structure, "_fields") else tuple(parts)
    return structure
