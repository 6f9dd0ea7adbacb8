"""Arrays of numbers, of whatever a user passes."""
import numpy as np

from .. import _core
from .._core import Tensor, op


#: How an object that is no array becomes one, by a method that it has.
_DENSE = {"toarray": "`.toarray()` makes one of it", "collect": "`.collect()` reads the rows",
          "to_tensor": "`.to_tensor()` makes rows of one length"}


def _as_one(value):
    """What to say of an object that NumPy takes for a single one."""
    if isinstance(value, dict):
        return f"dict with the keys {sorted(map(str, value))}; pass the array itself, or name the " \
               "model's inputs so"
    advice = [text for method, text in _DENSE.items() if hasattr(value, method)]
    return "; ".join([type(value).__name__, *advice])


def numeric_array(value, what):
    """`value` as a NumPy array of numbers.

    Raises:
        TypeError: If it holds anything else; the text begins with `what`.
    """
    if isinstance(value, (Tensor, _core.Variable)):
        return value.numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{what} is no array of numbers: its rows have different lengths "
                         f"({error}).") \
            from None
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        if array.dtype.kind == "O" and not array.shape:
            raise TypeError(f"{what}: expected an array of numbers. Received: {_as_one(value)}.")
        kind = {"O": "Python objects", "U": "strings", "S": "bytes", "c": "complex numbers",
                "M": "dates", "m": "time spans"}.get(array.dtype.kind, "no numbers")
        raise TypeError(f"{what} holds {kind} (dtype {array.dtype}); expected numbers: convert "
                        "them first, for example with .astype('float32').")
    return array.astype("float64") if array.dtype.itemsize > 8 else array


def entering(array, dtype, given=False):
    """A NumPy array of numbers as a tensor that a layer of `dtype` takes in; see `_core.convert`. It
    keeps its precision where float32 computes what is of bfloat16."""
    if dtype == "bfloat16" and array.dtype.kind == "f" and _core.widens_bfloat16():
        return op.cast(_core.convert(array, "float32", given), dtype)
    return _core.convert(array, dtype, given)
