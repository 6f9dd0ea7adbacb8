"""What the layers share that take strings or categories: how they are called, and their codes."""
import numpy as np

from .. import _core, ops
from .._core import Tensor
from ..ops.core import cast_array
from ..strings import holds_strings, string_array
from .keras_tensor import KerasTensor
from .preprocessing import DataLayer

MODES = ("int", "one_hot", "multi_hot", "count")


class CategoryLayer(DataLayer):
    """Base of layers that take categories: whole numbers, and strings where `_takes_strings`.

    Strings stay arrays of NumPy: they are looked at on the host, before anything that a model has
    recorded. Numbers are tensors as everywhere.
    """

    _takes_strings = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.autocast = False
        self._build_at_init()

    def _convert(self, value, positional):
        if isinstance(value, (Tensor, KerasTensor)) or value is None:
            return value
        if holds_strings(value):
            if not self._takes_strings:
                raise TypeError(f"{type(self).__name__} layer '{self.name}': the input must hold "
                                "whole numbers. Received: strings")
            return string_array(value, f"{type(self).__name__} layer '{self.name}': the input")
        if isinstance(value, (int, float, bool, np.generic)):
            return _core.convert(np.asarray(value, "int64"))
        if positional and isinstance(value, (list, tuple)):
            value = np.asarray(value)
        return super()._convert(value, positional)

    def _integers(self, inputs):
        """The input as a tensor of int64."""
        if not isinstance(inputs, (Tensor, _core.Variable)):
            raise TypeError(f"{type(self).__name__} layer '{self.name}': the input must hold whole "
                            f"numbers. Received: {type(inputs).__name__} of dtype "
                            f"{getattr(inputs, 'dtype', None)}")
        return cast_array(inputs, "int64")

    def _of(self, spec):
        """The KerasTensor of the codes of what a KerasTensor holds."""
        mode = self.output_mode
        shape = spec.shape if mode == "int" else encoded_shape(spec.shape, mode, self._depth())
        return KerasTensor(shape, "int64" if mode == "int" else self._float_dtype())

    def compute_output_shape(self, input_shape):
        if self.output_mode == "int":
            return tuple(input_shape)
        return encoded_shape(tuple(input_shape), self.output_mode, self._depth())

    def compute_output_spec(self, inputs):
        return self._of(inputs)


def check_modes(who, output_mode, sparse, modes=MODES):
    """The output mode by its present name; refuses others, and sparse outputs."""
    output_mode = {"binary": "multi_hot", "tf-idf": "tf_idf"}.get(output_mode, output_mode)
    if output_mode not in modes:
        raise ValueError(f"{who}: `output_mode` must be one of {modes}. Received: "
                         f"output_mode={output_mode!r}")
    if sparse:
        raise ValueError(f"{who}: `sparse=True` is not possible here: all tensors are dense. "
                         "Received: sparse=True")
    return output_mode


def check_salt(who, salt):
    """A salt as `None` or a list of two integers."""
    if salt is None:
        return None
    if isinstance(salt, int) and not isinstance(salt, bool):
        return [salt, salt]
    if isinstance(salt, (tuple, list)) and len(salt) == 2 and all(isinstance(n, int)
                                                                  for n in salt):
        return list(salt)
    raise ValueError(f"{who}: `salt` must be an integer or a tuple of two. Received: salt={salt!r}")


def encoded_shape(shape, mode, depth):
    """The shape of the codes of categories of a shape; `mode` is not `"int"`."""
    if mode == "one_hot" and (len(shape) < 2 or shape[-1] != 1):
        return (*shape, depth)
    return (*shape[:-1], depth)


def encode(ids, mode, depth, dtype):
    """Codes of whole numbers; those outside of 0 to `depth - 1` leave nothing.

    Args:
        ids: Integer tensor.
        mode: `"one_hot"`: a 1 at each number (an axis of size 1 at the end goes first);
            `"multi_hot"`: at all numbers of the last axis; `"count"`: how often each is there.
        depth: The size of the new axis.
        dtype: The dtype of the codes.

    `multi_hot` and `count` make one number for each input and each code: no one-hot codes lie
    between.
    """
    shape = tuple(ids.shape) or (1,)
    if mode == "one_hot":
        shape = shape[:-1] if len(ids.shape) > 1 and shape[-1] == 1 else tuple(ids.shape)
        return ops.one_hot(ops.reshape(ids, shape), depth, dtype=dtype)
    rows = int(np.prod(shape[:-1]))
    flat = ops.reshape(ids, (rows, shape[-1]))
    inside = ops.logical_and(ops.greater_equal(flat, 0), ops.less(flat, depth))
    places = ops.add(flat, np.arange(rows, dtype="int64").reshape(rows, 1) * depth)
    places = ops.reshape(ops.where(inside, places, -1), (rows * shape[-1],))
    counts = ops.segment_sum(ops.ones(places.shape, dtype), places, rows * depth)
    if mode == "multi_hot":
        counts = ops.minimum(counts, 1)
    return ops.reshape(ops.cast(counts, dtype), (*shape[:-1], depth))


def batches(data, steps, who):
    """What `adapt` goes through: pairs of a batch and whether it is all of the data, an array or a
    list.
    """
    if isinstance(data, (list, tuple, str, bytes, Tensor)) or hasattr(data, "__array__") \
            and not hasattr(data, "cardinality"):
        if steps is not None:
            raise ValueError(f"{who}: `steps` is for data that comes in batches. Received: "
                             f"steps={steps} and an array")
        yield data, True
        return
    if not hasattr(data, "__iter__"):
        raise TypeError(f"{who}: expected an array, a list or an iterable of batches. Received: "
                        f"{type(data).__name__}")
    for i, batch in enumerate(data):
        if steps is not None and i >= steps:
            return
        yield batch, False

