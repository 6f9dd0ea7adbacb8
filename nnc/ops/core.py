"""Conversion, dtypes, axes: what every op of `nnc.ops` begins with, and the public ops of that
kind.

An op takes Tensors, Variables, NumPy arrays, nested lists and Python scalars. A Python scalar is
weak: it takes the dtype of the other operand. Variables go to the core as they are, so that tapes
and traces see them; everything else is converted once.
"""
import numpy as np

from .. import _core, config
from .._core import Tensor, op
from .keras_tensor import KerasTensor

_FLOATS = frozenset(("float32", "float64", "bfloat16", "float16"))
_SIGNED = frozenset(("int8", "int16", "int32", "int64"))
_UNSIGNED = frozenset(("uint8", "uint16", "uint32", "uint64"))
_COMPLEX = frozenset(("complex64",))
_DIFFERENTIABLE = _FLOATS | _COMPLEX
_DTYPES = _DIFFERENTIABLE | _SIGNED | _UNSIGNED | {"bool"}
_ARRAYS = (Tensor, _core.Variable)
_SCALARS = (bool, int, float, complex)
_NAMES = {"float": "float32", "half": "float16", "double": "float64", "int": "int64", int: "int64",
          float: "float32", bool: "bool", complex: "complex64"}


def standardize_dtype(dtype):
    """The name of a dtype: `None` is `floatx()`; strings, Python types and NumPy dtypes are
    understood.
    """
    if dtype is None:
        return config.floatx()
    try:
        if dtype in _DTYPES:
            return str(dtype)
        if dtype in _NAMES:
            return _NAMES[dtype]
    except TypeError:
        pass
    name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None)
    if name in _DTYPES:
        return name
    raise ValueError(
        f"Unknown dtype. Received: dtype={dtype!r}. Expected one of {sorted(_DTYPES)}.")


def standardize_symbol_dtype(dtype):
    """As `standardize_dtype`, but KerasTensors may also stand for strings (`"string"`)."""
    name = getattr(dtype, "name", dtype)
    return "string" if isinstance(name, str) and name == "string" else standardize_dtype(dtype)


def result_type(*dtypes):
    """The dtype that values of these dtypes promote to (Keras's lattice). `float` and `int` are
    weak.
    """
    values = []
    for dtype in dtypes:
        if dtype in (float, int, bool):
            values.append(dtype(1))
        else:
            values.append(Tensor(np.zeros(()), standardize_dtype(dtype)))
    return _core.result_dtype(*values)


def numpy_dtype(name):
    """NumPy's dtype for the name of one of ours; bfloat16 is ml_dtypes'."""
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def is_float(dtype):
    """Whether the dtype's name is that of a floating-point type."""
    return dtype in _FLOATS


def tensor(x):
    """`x` itself if it is a Tensor or a Variable, else a Tensor made of it."""
    return x if isinstance(x, _ARRAYS) else _core.convert(x)


def operand(x):
    """As `tensor`, but a Python scalar stays one (it is weak)."""
    return x if isinstance(x, _ARRAYS) or type(x) in _SCALARS else _core.convert(x)


def float_array(x):
    """As `tensor`, with integers and booleans cast to `floatx()`."""
    if not isinstance(x, _ARRAYS):
        x = _core.convert(x)
    return x if x.dtype in _DIFFERENTIABLE else op.cast(x, config.floatx())


def is_complex(x):
    """Whether an operand is complex: a tensor, or a Python scalar."""
    return x.dtype in _COMPLEX if isinstance(x, _ARRAYS) else type(x) is complex


def by_parts(function, x):
    """`function` of the real and of the imaginary part of a complex tensor, put together."""
    return op.complex(function(op.real(x)), function(op.imag(x)))


def cast_array(x, dtype):
    """As `tensor`, in the given dtype (a name)."""
    if not isinstance(x, _ARRAYS):
        return _core.convert(x, dtype)
    return x if x.dtype == dtype else op.cast(x, dtype)


def op_of_files(module, name, files, more=()):
    """The op of a name for `module`, which has those of some files besides its own.

    Args:
        module: The module's name.
        name: The op's.
        files: Names of files of this package; ops made by functions of numpy.py count as its.
        more: Names of ops of other files.

    Raises:
        AttributeError: If it is in none of them.
    """
    if not name.startswith("_"):
        from .. import ops

        found = getattr(ops, name, None)
        home = getattr(getattr(found, "_nnc_op", found), "__module__", None)
        if name in more or home in [f"{__package__}.{file}" for file in files]:
            return found
    raise AttributeError(f"module '{module}' has no attribute '{name}'")


def one_axis(name, axis, rank):
    """`axis` as a number of 0 to rank - 1."""
    try:
        number = axis.__index__()
    except AttributeError:
        raise ValueError(f"{name}: `axis` must be an integer. Received: axis={axis!r}") from None
    if not -rank <= number < rank:
        raise ValueError(f"{name}: axis {number} is out of range for an array of rank {rank}. "
                         + (f"Expected {-rank} to {rank - 1}." if rank
                            else "A scalar has no axes."))
    return number + rank if number < 0 else number


def many_axes(name, axis, rank):
    """A sorted tuple of axes; `None` is all of them."""
    if axis is None:
        return tuple(range(rank))
    if not isinstance(axis, (tuple, list)):
        return (one_axis(name, axis, rank),)
    axes = sorted(one_axis(name, a, rank) for a in axis)
    if len(set(axes)) != len(axes):
        raise ValueError(f"{name}: an axis is named twice. Received: axis={tuple(axis)}")
    return tuple(axes)


def static_shape(name, shape):
    """A shape as a tuple of integers >= 0; an integer is a shape of rank 1."""
    try:
        sizes = (shape.__index__(),)
    except (AttributeError, TypeError):
        try:
            sizes = tuple(size.__index__() for size in shape)
        except (AttributeError, TypeError):
            raise ValueError(
                f"{name}: `shape` must hold integers. Received: shape={shape!r}") from None
    if any(size < 0 for size in sizes):
        raise ValueError(f"{name}: sizes must be >= 0. Received: shape={sizes}")
    return sizes


# ---- public --------------------------------------------------------------------------------------

def is_tensor(x):
    """Whether `x` is a tensor (eager or symbolic)."""
    return isinstance(x, (Tensor, KerasTensor))


def shape(x):
    """The shape as a tuple of integers (and `None` for sizes that a KerasTensor does not know)."""
    return tuple(x.shape if isinstance(x, KerasTensor) else tensor(x).shape)


def dtype(x):
    """The name of the dtype."""
    return x.dtype if isinstance(x, KerasTensor) else tensor(x).dtype


def convert_to_tensor(x, dtype=None, sparse=None, ragged=None):
    """A tensor of `x`, in `dtype` if one is given.

    Raises:
        ValueError: If `sparse` or `ragged` is true: all tensors are dense.
    """
    if sparse or ragged:
        raise ValueError("convert_to_tensor: sparse and ragged tensors do not exist here, all "
                         f"tensors are dense. Received: sparse={sparse}, ragged={ragged}")
    if dtype is not None:
        dtype = standardize_dtype(dtype)
    if isinstance(x, Tensor) and (dtype is None or x.dtype == dtype):
        return x
    return _core.convert(x) if dtype is None else _core.convert(x, dtype)


def convert_to_numpy(x):
    """A NumPy array with a copy of the values."""
    return np.array(x.numpy() if isinstance(x, _ARRAYS) else x)


def cast(x, dtype):
    """`x` in another dtype; float to integer truncates, anything to bool is `!= 0`, and of a complex
    number only the real part becomes a real one.
    """
    dtype = standardize_dtype(dtype)
    if dtype not in _COMPLEX and dtype != "bool":
        x = tensor(x)
        x = op.real(x) if is_complex(x) else x
    return convert_to_tensor(x, dtype)


_LIMITS = {"float16": 65504.0, "bfloat16": 3.3895313892515355e38, "float32": 3.4028234663852886e38}


def saturate_cast(x, dtype):
    """As `cast`, with what `dtype` cannot hold moved to the nearest value it can."""
    x, dtype = tensor(x), standardize_dtype(dtype)
    if dtype == "bool" or x.dtype == dtype or dtype == "float64" or x.dtype == "bool":
        return cast(x, dtype)
    if dtype in _FLOATS:
        low, high = -_LIMITS[dtype], _LIMITS[dtype]
    else:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    if x.dtype in _FLOATS:
        # The largest float that is not above the limit: float32 cannot hold 2^31 - 1.
        kind = np.float64 if x.dtype == "float64" else np.float32
        top, bottom = kind(high), kind(low)
        top = float(np.nextafter(top, kind(0))) if int(top) > high else float(top)
        inside = cast(op.minimum(op.maximum(x, float(bottom)), top), dtype)
        return op.where(op.greater(x, top), Tensor(np.array(high, dtype)), inside)
    info = np.iinfo(x.dtype)
    x = op.maximum(x, int(low)) if low > info.min else x
    x = op.minimum(x, int(high)) if high < info.max else x
    return cast(x, dtype)


def stop_gradient(variable):
    """`variable`, through which no gradient flows."""
    return op.stop_gradient(tensor(variable))


def slice(inputs, start_indices, shape):
    """The block of `shape` that begins at `start_indices`."""
    inputs = tensor(inputs)
    starts = tuple(int(i) for i in start_indices)
    sizes = tuple(int(n) for n in shape)
    rank = len(inputs.shape)
    if len(starts) != rank or len(sizes) != rank:
        raise ValueError(f"slice: `start_indices` and `shape` must hold {rank} integers, one an "
                         f"axis of inputs.shape={tuple(inputs.shape)}. Received: "
                         f"start_indices={starts}, "
                         f"shape={sizes}")
    for start, size, limit in zip(starts, sizes, inputs.shape):
        if start < 0 or size < 0 or start + size > limit:
            raise ValueError(f"slice: a block of shape {sizes} at {starts} does not lie in "
                             f"inputs.shape={tuple(inputs.shape)}")
    stops = tuple(start + size for start, size in zip(starts, sizes))
    return op.slice(inputs, starts + stops + (1,) * rank)


def slice_update(inputs, start_indices, updates):
    """`inputs` with `updates` written over the block that begins at `start_indices`."""
    inputs = tensor(inputs)
    updates = cast_array(updates, inputs.dtype)
    starts = tuple(int(i) for i in start_indices)
    sizes = tuple(updates.shape)
    if len(starts) != len(inputs.shape) or len(sizes) != len(inputs.shape):
        raise ValueError("slice_update: inputs, start_indices and updates must have one rank. "
                         f"Received: inputs.shape={tuple(inputs.shape)}, start_indices={starts}, "
                         f"updates.shape={sizes}")
    after = tuple(limit - start - size for start, size, limit in zip(starts, sizes, inputs.shape))
    if any(n < 0 for n in starts + after):
        raise ValueError(f"slice_update: a block of shape {sizes} at {starts} does not lie in "
                         f"inputs.shape={tuple(inputs.shape)}")
    inside = op.pad(Tensor(np.ones(sizes, "bool")), starts + after, 0.0)
    return op.where(inside, op.pad(updates, starts + after, 0.0), inputs)


def unstack(x, num=None, axis=0):
    """The slices along `axis`, as a list; `num`, if given, must be their number."""
    x = tensor(x)
    axis = one_axis("unstack", axis, len(x.shape))
    count = x.shape[axis]
    if num is not None and num != count:
        raise ValueError(f"unstack: axis {axis} of x.shape={tuple(x.shape)} has {count} slices. "
                         f"Received: num={num}")
    before = (np.s_[:],) * axis
    return [x[before + (i,)] for i in range(count)]
