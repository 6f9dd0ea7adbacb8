"""Variables: what training changes in place."""
import types
import weakref

import numpy as np

from . import _core
from .naming import auto_name, current_path
from .saving.state import take

#: [0]: how often a variable was made or a layer changed. Who keeps what it found in layers compares
#: it.
changes = [0]
#: Called with each variable that is made.
watchers = []
_live = weakref.WeakValueDictionary()       # by id: variables are compared by their values
_AGGREGATIONS = (None, "none", "mean", "sum", "only_first_replica")
_SYNCHRONIZATIONS = (None, "none", "on_read", "on_write", "auto")


class Variable(_core.Variable):
    """Values that ops read and that `assign` changes in place.

    Args:
        initializer: The first value: an array-like, or a callable (or the name of an initializer)
            that makes one from `shape` and `dtype`.
        shape: The shape; needed if `initializer` is a callable or a name.
        dtype: The dtype. Defaults to `floatx()`, or to the dtype of an array with whole numbers.
        trainable: Whether tapes watch the variable by themselves and optimizers change it.
        autocast: Whether layers that compute in another dtype read it in theirs.
        aggregation: How replicas would be brought together.
        layout: Must be `None`: nothing is distributed.
        synchronization: When replicas would be brought together.
        name: Name. Defaults to a numbered `"variable"`.

    Raises:
        ValueError: If an argument is not one of those allowed, or the value has another shape.
    """

    def __init__(self, initializer, shape=None, dtype=None, trainable=True, autocast=True,
                 aggregation="none", layout=None, synchronization="auto", name=None):
        name = name or auto_name("Variable")
        if not isinstance(name, str) or "/" in name:
            raise ValueError("Variable: `name` must be a string without the character '/'. "
                             f"Received: name={name!r}")
        _check_choice(name, "aggregation", aggregation, _AGGREGATIONS)
        _check_choice(name, "synchronization", synchronization, _SYNCHRONIZATIONS)
        if layout is not None:
            raise ValueError(f"Variable {name!r}: `layout` must be None, nothing is distributed "
                             f"here. Received: layout={layout!r}")
        with _core.no_trace():
            value = _first_value(name, initializer, shape, dtype)
            super().__init__(value, None, _is_given(initializer))
        changes[0] += 1
        self.name = name
        scope = current_path()
        self.path = f"{scope}/{name}" if scope else name
        self.trainable = bool(trainable)
        self.autocast = bool(autocast)
        self.aggregation = "none" if aggregation is None else aggregation
        self.synchronization = "none" if synchronization is None else synchronization
        self.overwrite_with_gradient = False
        self.regularizer = None
        self.constraint = None
        self.initializer = initializer if callable(initializer) else None
        _note(self)

    def __reduce__(self):
        """For `copy` and `pickle`: a variable of its own with this one's value."""
        state = {"autocast": self.autocast, **self.__dict__}
        if isinstance(self.initializer, types.FunctionType):
            state["initializer"] = None             # functions made on the way cannot be pickled
        return _restore, (type(self), self.numpy(), self.trainable, state)

    def __repr__(self):
        return (f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}, "
                f"value={self.numpy()}>")


def _is_given(initializer):
    """Whether an initializer makes a tensor that it keeps no hold of."""
    return isinstance(initializer, str) or initializer is _core.zeros or (
        type(initializer).__module__ == "nnc.initializers"
        and type(initializer).__name__ != "Constant")               # which may give its own tensor


def _restore(cls, value, trainable, state):
    variable = cls.__new__(cls)
    _core.Variable.__init__(variable, value)
    variable.trainable = trainable
    variable.autocast = state.pop("autocast")
    variable.__dict__.update(state)
    changes[0] += 1
    _note(variable)
    return variable


def _note(variable):
    _live[id(variable)] = variable
    for told in watchers:
        told(variable)


def live():
    """All variables that there are."""
    return list(_live.values())


def _check_choice(name, argument, value, choices):
    if value not in choices:
        raise ValueError(f"Variable {name!r}: `{argument}` must be one of {choices}. "
                         f"Received: {argument}={value!r}")


def _first_value(name, initializer, shape, dtype):
    """The tensor (not shared with anyone) that a variable begins with."""
    from .ops.core import standardize_dtype

    if isinstance(initializer, str):
        from . import initializers

        initializer = initializers.get(initializer)
    if callable(initializer) and not isinstance(initializer, (_core.Tensor, _core.Variable)):
        if shape is None:
            raise ValueError(f"Variable {name!r}: with a callable initializer the argument `shape` "
                             f"must be given. Received: initializer={initializer}, shape=None")
        shape = _check_shape(name, shape)
        dtype = standardize_dtype(dtype)
        take(shape, dtype, name)
        value = _core.convert(initializer(shape, dtype=dtype), dtype)
    else:
        value = initializer
        if dtype is None:
            kept = getattr(getattr(value, "dtype", None), "name", getattr(value, "dtype", None))
            value = _core.convert(value, None if kept is None or kept == "float64" else str(kept))
            if value.dtype in ("float32", "float64", "float16", "bfloat16"):
                value = _core.convert(value, standardize_dtype(None))
        else:
            value = _core.convert(value, standardize_dtype(dtype))
        shape = tuple(value.shape) if shape is None else _check_shape(name, shape)
    if tuple(value.shape) != shape:
        raise ValueError(f"Variable {name!r}: the initial value has another shape than `shape`. "
                         f"Received: value.shape={tuple(value.shape)}, shape={shape}")
    return value


def _check_shape(name, shape):
    sizes = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 0:
            raise ValueError(f"Variable {name!r}: the shape must hold whole numbers >= 0. "
                             f"Received: shape={sizes}")
    return tuple(int(size) for size in sizes)
