"""Strings of whatever a user passes: recognized, as arrays, and packed for the core.

There are no tensors of strings. Layers that take strings compute with NumPy arrays of str, bytes or
objects, and with the core's functions over a `Packed`: all the strings in one block of bytes, and
where each begins and ends.
"""
import numpy as np

from . import _core
from ._core import Tensor


class Packed:
    """Strings for the core.

    Attributes:
        bytes: uint8, the strings' UTF-8.
        begin, end: int64, string i is `bytes[begin[i]:end[i]]`.
        shape: The shape that they have in the user's array.
    """

    __slots__ = ("bytes", "begin", "end", "shape")

    def __init__(self, bytes, begin, end, shape=None):
        self.bytes, self.begin, self.end = bytes, begin, end
        self.shape = (len(begin),) if shape is None else shape

    @property
    def parts(self):
        """The three arrays."""
        return self.bytes, self.begin, self.end

    def tolist(self):
        """The strings as a flat list of str; bytes that are no UTF-8 come as `\\udc..`."""
        block = self.bytes.tobytes()
        return [block[i:j].decode("utf-8", "surrogateescape")
                for i, j in zip(self.begin.tolist(), self.end.tolist())]


def holds_strings(value):
    """Whether a value is a string, an array of strings, or lists that begin with one."""
    if isinstance(value, (str, bytes)):
        return True
    while isinstance(value, (list, tuple)):
        if not value:
            return False
        value = value[0]
    if isinstance(value, (str, bytes)):
        return True
    if isinstance(value, (Tensor, _core.Variable, int, float)) or value is None:
        return False
    dtype = getattr(value, "dtype", None)
    kind = getattr(dtype, "kind", None)
    if kind == "O":
        array = np.asarray(value)
        return array.dtype.kind in "UST" or array.size > 0 and isinstance(array.flat[0],
                                                                          (str, bytes))
    return kind in ("U", "S", "T") or str(getattr(dtype, "name", dtype)) in ("string", "str",
                                                                              "category")


def string_array(value, what):
    """`value` as an array of str, bytes or objects, contiguous.

    Raises:
        TypeError: If it holds anything but strings; the text begins with `what`.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{what}: its rows have different lengths ({error}).") from None
    if array.dtype.kind == "T" or not array.dtype.isnative:
        array = array.astype(object)
    if array.dtype.kind not in "USO":
        raise TypeError(f"{what} must hold strings. Received: an array of dtype {array.dtype}")
    return np.ascontiguousarray(array) if array.ndim else array


def pack(value, what):
    """A `Packed` of strings in whatever form.

    Raises:
        TypeError, ValueError: Which element is no string.
    """
    array = string_array(value, what)
    try:
        return Packed(*_core.pack_strings(array), array.shape)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{what}: {error}") from None


def unpack(value, what):
    """An array of str objects of strings in whatever form, in the same shape."""
    packed = pack(value, what)
    array = np.empty(len(packed.begin), object)
    array[:] = packed.tolist()
    return array.reshape(packed.shape)
