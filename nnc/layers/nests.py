"""What layers look for: parts in attributes, and arrays and masks in nests of arguments."""
from .. import tree
from .._core import Tensor
from .keras_tensor import KerasTensor


# ---- parts of a layer ----------------------------------------------------------------------------

def _flatten(layer):
    found, seen = [layer], {id(layer)}

    def add(outer):
        for inner in outer._sublayers:
            if id(inner) not in seen:
                seen.add(id(inner))
                found.append(inner)
                add(inner)
    add(layer)
    return found


def _collect(value, kind, found, seen):
    if isinstance(value, kind):
        _add_once(value, found, seen)
    elif isinstance(value, (list, tuple, dict)) and id(value) not in seen:
        seen.add(id(value))                         # one may hold itself
        for part in value.values() if isinstance(value, dict) else value:
            _collect(part, kind, found, seen)


def _add_once(value, found, seen):
    if id(value) not in seen:
        seen.add(id(value))
        found.append(value)


# ---- nests of arguments --------------------------------------------------------------------------

def _is_data(value):
    leaves = tree.flatten(value)
    return bool(leaves) and all(hasattr(leaf, "shape") and hasattr(leaf, "dtype")
                                for leaf in leaves)


def _holds_arrays(values):
    return any(hasattr(leaf, "shape") for leaf in tree.flatten(values))


def _mask_of(value):
    if type(value) is Tensor:
        return getattr(value, "_keras_mask", None)         # `__dict__` would be made for it
    if isinstance(value, (list, tuple)):
        masks = [_mask_of(part) for part in value]
        return masks if any(mask is not None for mask in masks) else None
    return None


def _has_mask(value):
    return any("_keras_mask" in getattr(leaf, "__dict__", ()) for leaf in tree.flatten(value))


def _placeholders(shape, dtype):
    if isinstance(shape, dict):
        return {key: _placeholders(part, dtype) for key, part in shape.items()}
    if shape and all(isinstance(part, (list, tuple)) for part in shape):
        return type(shape)(_placeholders(part, dtype) for part in shape)
    return KerasTensor(shape, dtype)
