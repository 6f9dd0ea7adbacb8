"""Arrays of numbers, of whatever a user passes."""
import numpy as np

from .. import _core
from .._core import Tensor


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
        kind = {"O": "Python objects", "U": "strings", "S": "bytes", "c": "complex numbers",
                "M": "dates", "m": "time spans"}.get(array.dtype.kind, "no numbers")
        raise TypeError(f"{what} holds {kind} (dtype {array.dtype}); expected numbers: convert "
                        "them first, for example with .astype('float32').")
    return array.astype("float64") if array.dtype.itemsize > 8 else array
