"""Symbolic tensors outside of traces: a shape, with `None` for what is not known, and a dtype.

Operators and indexing are ops; each notes itself in the history of what it gives (operation.py).
"""
from ..naming import auto_name


class KerasTensor:
    """What `Input` gives, and what a layer or an op gives that is called on one.

    Args:
        shape: The shape; `None` for a size not known.
        dtype: The dtype, or `"string"`.
        sparse: Must be false: all tensors are dense.
        ragged: Must be false.
        record_history: Whether what is computed of it is noted, so that models can be made of it.
        name: Name. Defaults to a numbered `"keras_tensor"`.
    """

    __array_priority__ = 1000       # array + tensor is the tensor's operator
    __array_ufunc__ = None

    def __init__(self, shape, dtype="float32", sparse=False, ragged=False, record_history=True,
                 name=None):
        from .core import standardize_symbol_dtype

        if sparse or ragged:
            raise ValueError("KerasTensor: sparse and ragged tensors do not exist here. Received: "
                             f"sparse={sparse}, ragged={ragged}")
        self.shape = standardize_shape(shape)
        self.dtype = standardize_symbol_dtype(dtype)
        self.sparse = self.ragged = False
        self.record_history = record_history
        self.name = name or auto_name("KerasTensor")
        self._keras_history = None              # (operation, node, output) that made it

    @property
    def ndim(self):
        """The number of axes."""
        return len(self.shape)

    def reshape(self, newshape):
        """See `ops.reshape`."""
        return _ops().reshape(self, newshape)

    def squeeze(self, axis=None):
        """See `ops.squeeze`."""
        return _ops().squeeze(self, axis)

    @property
    def T(self):
        """See `ops.transpose`."""
        return _ops().transpose(self)

    def _refuse(self, *args, **kwargs):
        raise ValueError(f"{self!r} is a symbolic placeholder and holds no values: give it to a "
                         "layer or an op, or compute with arrays or with model(...).")

    __array__ = __bool__ = __float__ = __int__ = __iter__ = __len__ = numpy = _refuse

    def __getitem__(self, key):
        return _ops().get_item(self, key)

    def __abs__(self):
        return _ops().absolute(self)

    def __neg__(self):
        return _ops().negative(self)

    def __invert__(self):
        return _ops().logical_not(self)

    def __round__(self, ndigits=None):
        return _ops().round(self, ndigits or 0)

    __hash__ = object.__hash__

    def __repr__(self):
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"


def _ops():
    from .. import ops

    return ops


def _operator(name, swapped=False):
    def run(self, other):
        function = getattr(_ops(), name)
        return function(other, self) if swapped else function(self, other)
    return run


for _method, _name in (("add", "add"), ("sub", "subtract"), ("mul", "multiply"),
                       ("truediv", "true_divide"), ("floordiv", "floor_divide"), ("mod", "mod"),
                       ("pow", "power"), ("matmul", "matmul"), ("and", "logical_and"),
                       ("or", "logical_or"), ("xor", "logical_xor"), ("lshift", "left_shift"),
                       ("rshift", "right_shift")):
    setattr(KerasTensor, f"__{_method}__", _operator(_name))
    setattr(KerasTensor, f"__r{_method}__", _operator(_name, True))
for _method, _name in (("lt", "less"), ("le", "less_equal"), ("gt", "greater"),
                       ("ge", "greater_equal"), ("ne", "not_equal"), ("eq", "equal")):
    setattr(KerasTensor, f"__{_method}__", _operator(_name))


def is_keras_tensor(x):
    """Whether `x` is a `KerasTensor`."""
    return isinstance(x, KerasTensor)


def any_symbolic_tensors(args=None, kwargs=None):
    """Whether a KerasTensor is among the arguments or in nests there."""
    return _holds_symbol((args or ())) or _holds_symbol((kwargs or {}).values())


def _holds_symbol(values):
    for value in values:
        if isinstance(value, KerasTensor) or (
                isinstance(value, (list, tuple, dict))
                and _holds_symbol(value.values() if isinstance(value, dict) else value)):
            return True
    return False


def sized_by_values(spec):
    """A decorator of ops whose results' sizes only values tell, so that no recording can hold them.

    Args:
        spec: Function of the op's arguments, KerasTensors among them: the KerasTensors of what it
            gives, or `None` if the call can be recorded to learn them.
    """
    def mark(function):
        function._nnc_spec = spec
        return function
    return mark


def standardize_shape(shape):
    """A shape as a tuple of integers >= 0 and `None`s."""
    if shape is None:
        raise ValueError("Undefined shapes are not supported. Received: shape=None")
    if not hasattr(shape, "__iter__") or isinstance(shape, str):
        raise ValueError(f"Cannot convert {shape!r} to a shape: expected a tuple of integers.")
    sizes = []
    for size in shape:
        if size is not None:
            if isinstance(size, bool) or not hasattr(size, "__index__"):
                raise ValueError(f"Cannot convert {tuple(shape)!r} to a shape: found the entry "
                                 f"{size!r}, expected integers or None.")
            size = size.__index__()
            if size < 0:
                raise ValueError(f"Cannot convert {tuple(shape)!r} to a shape: negative sizes are "
                                 "not allowed.")
        sizes.append(size)
    return tuple(sizes)
