"""Layers that turn categories into numbers without a vocabulary: Hashing, HashedCrossing."""
import numpy as np

from .. import _core, config, ops
from .._core import Tensor
from ..ops import host
from ..ops.core import cast_array
from ..strings import pack
from .keras_tensor import KerasTensor
from .lookup import hashed_integers
from .string_layer import CategoryLayer, check_modes, check_salt, encode, encoded_shape
from .vocabulary import StringVocabulary


class Hashing(CategoryLayer):
    """The hash of each string or whole number, modulo `num_bins`.

    Args:
        num_bins: Integer > 0: how many different results.
        mask_value: The string or number that gets 0, which then no other gets.
        salt: One or two integers: SipHash with them, instead of FarmHash.
        output_mode: `"int"`, `"one_hot"`, `"multi_hot"` or `"count"`.
        sparse: Must be `False`: all tensors are dense.
        **kwargs: See `Layer`. `dtype`, that of the output, defaults to `"int64"` for `"int"`, else
            to `floatx()`.

    Whole numbers are hashed as their decimal digits; floats lose their fraction first.
    """

    def __init__(self, num_bins, mask_value=None, salt=None, output_mode="int", sparse=False,
                 **kwargs):
        output_mode = check_modes("Hashing", output_mode, sparse)
        if kwargs.get("dtype") is None:
            kwargs["dtype"] = "int64" if output_mode == "int" else config.floatx()
        super().__init__(**kwargs)
        if isinstance(num_bins, bool) or not isinstance(num_bins, int) or num_bins < 1:
            raise ValueError("Hashing: `num_bins` must be an integer >= 1. Received: "
                             f"num_bins={num_bins!r}")
        if output_mode == "int" and self.dtype not in ("int32", "int64"):
            raise ValueError("Hashing: with output_mode='int' `dtype` must be 'int32' or 'int64'. "
                             f"Received: dtype={kwargs['dtype']!r}")
        self.num_bins, self.mask_value, self.sparse = num_bins, mask_value, False
        self.salt, self.output_mode = check_salt("Hashing", salt), output_mode

    def call(self, inputs):
        masked = self.mask_value is not None and self.num_bins > 1
        bins = self.num_bins - masked
        if isinstance(inputs, (Tensor, _core.Variable)):
            x = self._integers(inputs)
            ids = hashed_integers(x, bins, self.salt)
            if masked:
                ids = ops.where(ops.equal(inputs, self.mask_value), 0, ops.add(ids, 1))
        else:
            packed = pack(inputs, f"Hashing layer '{self.name}'")
            ids = _core.hash_strings(*packed.parts, bins, self.salt)
            if masked:
                is_mask = StringVocabulary([self.mask_value]).find(packed) == 0
                ids = np.where(is_mask, 0, ids + 1)
            ids = _core.convert(ids.reshape(packed.shape))
        if self.output_mode == "int":
            return cast_array(ids, self.dtype)
        return encode(ids, self.output_mode, self.num_bins, self.dtype)

    def _depth(self):
        return self.num_bins

    def _float_dtype(self):
        return self.dtype

    def compute_output_spec(self, inputs):
        spec = self._of(inputs)
        return KerasTensor(spec.shape, self.dtype)

    def get_config(self):
        return {**super().get_config(), "num_bins": self.num_bins, "salt": self.salt,
                "mask_value": self.mask_value, "output_mode": self.output_mode, "sparse": False}


class HashedCrossing(CategoryLayer):
    """The hash of each combination of several features, modulo `num_bins`.

    Args:
        num_bins: Integer > 0: how many different results.
        output_mode: `"int"` or `"one_hot"`.
        sparse: Must be `False`: all tensors are dense.
        name: Name.
        dtype: The dtype of the output. Defaults to `"int64"` for `"int"`, else to `floatx()`.

    The input is a list of two or more arrays of strings or whole numbers, all of the shape
    `(batch_size,)`, `(batch_size, 1)` or `()`.
    """

    def __init__(self, num_bins, output_mode="int", sparse=False, name=None, dtype=None, **kwargs):
        output_mode = check_modes("HashedCrossing", output_mode, sparse, ("int", "one_hot"))
        if dtype is None and output_mode == "int":
            dtype = "int64"
        super().__init__(name=name, dtype=dtype, **kwargs)
        if isinstance(num_bins, bool) or not isinstance(num_bins, int) or num_bins < 1:
            raise ValueError("HashedCrossing: `num_bins` must be an integer >= 1. Received: "
                             f"num_bins={num_bins!r}")
        self.num_bins, self.output_mode, self.sparse = num_bins, output_mode, False

    def _convert(self, value, positional):
        if positional:
            self._check_list(value)
            return [super(HashedCrossing, self)._convert(part, True) for part in value]
        return super()._convert(value, positional)

    def _check_list(self, value):
        if not isinstance(value, (list, tuple)) or len(value) < 2:
            raise ValueError(f"HashedCrossing layer '{self.name}': the input must be a list of two "
                             f"or more arrays. Received: {type(value).__name__}"
                             + (f" of {len(value)}" if isinstance(value, (list, tuple)) else ""))

    def _check_shapes(self, shapes):
        first = tuple(shapes[0])
        if len(first) > 2 or len(first) == 2 and first[-1] != 1 or \
                any(tuple(shape) != first for shape in shapes):
            raise ValueError(f"HashedCrossing layer '{self.name}': all inputs must have one shape: "
                             "(), (batch_size,) or (batch_size, 1). Received: "
                             f"{[tuple(shape) for shape in shapes]}")

    def call(self, inputs):
        self._check_list(inputs)
        self._check_shapes([x.shape for x in inputs])
        shape = tuple(inputs[0].shape)
        size = int(np.prod(shape))
        rows = ops.stack([ops.reshape(self._fingerprints(x), (size,)) for x in inputs])
        ids = ops.reshape(host.call("cross", (size,), "int64", rows, self.num_bins, 0), shape)
        if self.output_mode == "int":
            return cast_array(ids, self.dtype)
        return encode(ids, "one_hot", self.num_bins, self.dtype)

    def _fingerprints(self, x):
        """Whole numbers as they are; the 64 bits of a string's hash."""
        if isinstance(x, (Tensor, _core.Variable)):
            if x.dtype.startswith(("float", "bfloat")):
                raise TypeError(f"HashedCrossing layer '{self.name}': inputs must hold whole "
                                f"numbers or strings. Received: dtype={x.dtype}")
            return self._integers(x)
        packed = pack(x, f"HashedCrossing layer '{self.name}'")
        return _core.convert(_core.hash_strings(*packed.parts, 0, None).reshape(packed.shape))

    def compute_output_shape(self, input_shape):
        self._check_list(input_shape)
        self._check_shapes(input_shape)
        shape = tuple(input_shape[0])
        return shape if self.output_mode == "int" else encoded_shape(shape, "one_hot",
                                                                     self.num_bins)

    def compute_output_spec(self, inputs):
        self._check_list(inputs)
        return KerasTensor(self.compute_output_shape([x.shape for x in inputs]), self.dtype)

    def get_config(self):
        return {"num_bins": self.num_bins, "output_mode": self.output_mode, "sparse": False,
                "name": self.name, "dtype": self.dtype}
