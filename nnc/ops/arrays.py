"""The ops of `keras.ops` that make arrays or say where elements lie, with NumPy's names."""
import math

import numpy as np

from .. import _core, config
from .._core import Tensor, op
from . import numpy as _numpy
from .keras_tensor import KerasTensor
from .core import (_ARRAYS, _FLOATS, _SCALARS, _SIGNED, cast_array, convert_to_tensor, many_axes,
                   one_axis, result_type, standardize_dtype, static_shape, tensor)


# ---- made from nothing ---------------------------------------------------------------------------

def full(shape, fill_value, dtype=None):
    """An array of `shape` filled with `fill_value`."""
    dtype = standardize_dtype(dtype)
    shape = static_shape("full", shape)
    # A float holds no whole number beyond 2^53: such a one is converted by itself.
    exact = type(fill_value) in _SCALARS and -2**53 <= fill_value <= 2**53
    if exact or isinstance(fill_value, float):
        return op.fill(shape, float(fill_value), dtype)
    return op.broadcast_to(cast_array(fill_value, dtype), shape)


def zeros(shape, dtype=None):
    """Zeros of `shape`."""
    return op.fill(static_shape("zeros", shape), 0.0, standardize_dtype(dtype))


def ones(shape, dtype=None):
    """Ones of `shape`."""
    return op.fill(static_shape("ones", shape), 1.0, standardize_dtype(dtype))


def empty(shape, dtype=None):
    """An array of `shape`; here zeros."""
    return op.fill(static_shape("empty", shape), 0.0, standardize_dtype(dtype))


def full_like(x, fill_value, dtype=None):
    """An array of the shape (and, unless given, dtype) of `x` filled with `fill_value`."""
    x = tensor(x)
    return full(x.shape, fill_value, x.dtype if dtype is None else dtype)


def zeros_like(x, dtype=None):
    """Zeros of the shape (and, unless given, dtype) of `x`."""
    return full_like(x, 0.0, dtype)


def ones_like(x, dtype=None):
    """Ones of the shape (and, unless given, dtype) of `x`."""
    return full_like(x, 1.0, dtype)


def empty_like(x, dtype=None):
    """An array of the shape (and, unless given, dtype) of `x`; here zeros."""
    return full_like(x, 0.0, dtype)


def array(x, dtype=None):
    """A tensor of `x`, in `dtype` if one is given."""
    return convert_to_tensor(x, dtype)


def copy(x):
    """A copy of `x`."""
    return op.copy(tensor(x))


def _scalar(value):
    return value.item() if hasattr(value, "item") else value


def _dtype_of(value):
    """What `value` promotes as: its dtype, or its Python type (weak)."""
    return value.dtype if hasattr(value, "dtype") else type(value)


def arange(start, stop=None, step=None, dtype=None):
    """Numbers from `start` (0 if `stop` is missing) up to but without `stop`, `step` apart."""
    if dtype is None:
        dtype = result_type(*(_dtype_of(v) for v in (start, stop, step) if v is not None))
    first, last = (0, start) if stop is None else (start, stop)
    first, last, step = _scalar(first), _scalar(last), 1 if step is None else _scalar(step)
    if step == 0:
        raise ValueError("arange: `step` must not be 0. Received: step=0")
    count = max(0, math.ceil((last - first) / step))
    return op.arange(float(first), float(step), count, standardize_dtype(dtype))


def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    """`num` evenly spaced numbers from `start` to `stop` (with it if `endpoint`), along a new axis.

    Args:
        start, stop: Numbers or arrays, broadcast; gradients reach those that are tensors.
        num: Integer >= 0.
        endpoint: Whether `stop` is the last of the numbers.
        retstep: Whether the distance of two of them is returned too.
        dtype: Defaults to the floating-point dtype that `start` and `stop` promote to. Integers
            are rounded down.
        axis: Where the new axis lies in the result.
    """
    if num < 0:
        raise ValueError(f"linspace: `num` must be >= 0. Received: num={num}")
    if dtype is None:
        dtype = result_type(*(v.dtype if hasattr(v, "dtype") else type(v)
                              for v in (start, stop) if not isinstance(v, (list, tuple))), float)
    dtype = standardize_dtype(dtype)
    if any(isinstance(v, _ARRAYS) for v in (start, stop)):
        values, step = _linspace_of_tensors(start, stop, num, endpoint, dtype, axis)
        return (values, step) if retstep else values
    values, step = np.linspace(np.asarray(start), np.asarray(stop), num, endpoint, retstep=True,
                               axis=axis)
    values = np.floor(values) if dtype not in _FLOATS else values
    values = _core.convert(values, dtype)
    return (values, _core.convert(step, dtype if dtype in _FLOATS else config.floatx())) \
        if retstep else values


def _linspace_of_tensors(start, stop, num, endpoint, dtype, axis):
    """The numbers and their distance (NaN if there are no two), as NumPy's `linspace` has them."""
    compute = {"float16": "float32", "bfloat16": "float32"}.get(
        dtype, dtype if dtype in _FLOATS else "float64")
    start, stop = cast_array(start, compute), cast_array(stop, compute)
    span, pieces = op.subtract(stop, start), num - 1 if endpoint else num
    column = (num,) + (1,) * len(span.shape)
    at = _core.convert(np.arange(num).reshape(column), compute)
    step = op.divide(span, float(pieces)) if pieces > 0 else op.multiply(span, math.nan)
    values = op.add(op.multiply(at, step if pieces > 0 else span), start)
    if endpoint and num > 1:
        values = op.where(_core.convert((np.arange(num) == num - 1).reshape(column)), stop, values)
    values = values if dtype in _FLOATS else op.floor(values)
    return (cast_array(moveaxis(values, 0, axis), dtype),
            cast_array(step, dtype if dtype in _FLOATS else config.floatx()))


def eye(N, M=None, k=0, dtype=None):
    """An `N` by `M` matrix (`N` by `N` by default) with ones on diagonal `k`, zeros elsewhere."""
    return _core.convert(np.eye(N, M, k, "bool"), standardize_dtype(dtype))


def identity(n, dtype=None):
    """The `n` by `n` identity matrix."""
    return eye(n, dtype=dtype)


def tri(N, M=None, k=0, dtype=None):
    """An `N` by `M` matrix with ones on and below diagonal `k`, zeros elsewhere."""
    return _core.convert(np.tri(N, M, k, "bool"), standardize_dtype(dtype))


# ---- shapes --------------------------------------------------------------------------------------

def ndim(x):
    """The number of axes."""
    return len(x.shape if isinstance(x, KerasTensor) else tensor(x).shape)


def size(x):
    """The number of elements."""
    return math.prod(tensor(x).shape)


def reshape(x, newshape):
    """The elements in the same order under another shape; one size may be -1."""
    x = tensor(x)
    sizes = [newshape] if isinstance(newshape, int) else list(newshape)
    total, known = math.prod(x.shape), math.prod(n for n in sizes if n != -1)
    unknown = sizes.count(-1)
    if unknown > 1 or any(not hasattr(n, "__index__") or n < -1 for n in sizes):
        raise ValueError(f"reshape: sizes must be integers >= 0, one of them -1 at most. "
                         f"Received: newshape={newshape}")
    if (known == 0 or total % known) if unknown else known != total:
        raise ValueError(f"reshape: {total} elements of x.shape={tuple(x.shape)} do not fit "
                         f"newshape={tuple(sizes)}")
    return op.reshape(x, tuple(total // known if n == -1 else int(n) for n in sizes))


def ravel(x):
    """All elements in one row."""
    x = tensor(x)
    return op.reshape(x, (math.prod(x.shape),))


def expand_dims(x, axis):
    """New axes of size 1, at the places `axis` (integer or several) of the result."""
    x = tensor(x)
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    axes = many_axes("expand_dims", axis, len(x.shape) + count)
    sizes = iter(x.shape)
    return op.reshape(x, tuple(1 if a in axes else next(sizes)
                               for a in range(len(x.shape) + count)))


def squeeze(x, axis=None):
    """Without axes of size 1: those named, or all."""
    x = tensor(x)
    if axis is None:
        return op.reshape(x, tuple(n for n in x.shape if n != 1))
    axes = many_axes("squeeze", axis, len(x.shape))
    for a in axes:
        if x.shape[a] != 1:
            raise ValueError(f"squeeze: axis {a} of x.shape={tuple(x.shape)} has size "
                             f"{x.shape[a]}, "
                             "expected 1.")
    return op.reshape(x, tuple(n for a, n in enumerate(x.shape) if a not in axes))


def transpose(x, axes=None):
    """The axes in another order; reversed by default."""
    x = tensor(x)
    rank = len(x.shape)
    if axes is None:
        return op.transpose(x, tuple(range(rank))[::-1]) if rank > 1 else x
    perm = tuple(one_axis("transpose", a, rank) for a in axes)
    if sorted(perm) != list(range(rank)):
        raise ValueError(f"transpose: `axes` must name each of the {rank} axes once. "
                         f"Received: axes={tuple(axes)}")
    return x if perm == tuple(range(rank)) else op.transpose(x, perm)


def moveaxis(x, source, destination):
    """Axes moved to other places, the others in their order."""
    x = tensor(x)
    rank = len(x.shape)
    sources, places = ([one_axis("moveaxis", a, rank) for a in
                        (v if isinstance(v, (tuple, list)) else (v,))]
                       for v in (source, destination))
    if len(sources) != len(places) or len(set(sources)) < len(sources) or len(set(places)) < len(
        places):
        raise ValueError("moveaxis: `source` and `destination` must name as many axes, each once. "
                         f"Received: source={source}, destination={destination}")
    perm = [a for a in range(rank) if a not in sources]
    for place, a in sorted(zip(places, sources)):
        perm.insert(place, a)
    return transpose(x, perm)


def swapaxes(x, axis1, axis2):
    """Two axes exchanged."""
    x = tensor(x)
    perm = list(range(len(x.shape)))
    a, b = (one_axis("swapaxes", v, len(perm)) for v in (axis1, axis2))
    perm[a], perm[b] = perm[b], perm[a]
    return transpose(x, perm)


def broadcast_to(x, shape):
    """`x` repeated along axes of size 1 to reach `shape`."""
    x, shape = tensor(x), static_shape("broadcast_to", shape)
    return x if tuple(x.shape) == shape else op.broadcast_to(x, shape)


def meshgrid(*x, indexing="xy"):
    """The coordinates of a grid over vectors, one array a vector."""
    if indexing not in ("xy", "ij"):
        raise ValueError("meshgrid: `indexing` must be 'xy' or 'ij'. Received: "
                         f"indexing={indexing!r}")
    x = [ravel(v) for v in x]
    order = list(range(len(x)))
    if indexing == "xy" and len(x) > 1:
        order[0], order[1] = 1, 0
    shape = tuple(x[order.index(a)].shape[0] for a in range(len(x)))
    return [broadcast_to(op.reshape(v, tuple(v.shape[0] if a == place else 1
                                             for a in range(len(x)))),
                         shape)
            for v, place in zip(x, order)]


# ---- joined and cut ------------------------------------------------------------------------------

def _same_dtype(name, xs):
    xs = [tensor(x) for x in xs]
    if not xs:
        raise ValueError(f"{name}: expected at least one array, received none.")
    dtypes = {x.dtype for x in xs}
    if len(dtypes) > 1:
        dtype = result_type(*dtypes)
        xs = [cast_array(x, dtype) for x in xs]
    return xs


def concatenate(xs, axis=0):
    """Arrays joined along an axis they have."""
    xs = _same_dtype("concatenate", xs)
    axis = one_axis("concatenate", axis, len(xs[0].shape))
    return op.concatenate(*xs, axis)


def stack(x, axis=0):
    """Arrays of one shape joined along a new axis."""
    xs = _same_dtype("stack", x)
    shape = tuple(xs[0].shape)
    for i, v in enumerate(xs):
        if tuple(v.shape) != shape:
            raise ValueError("stack: all arrays must have one shape. Received: array 0 has shape "
                             f"{shape}, "
                             f"array {i} has shape {tuple(v.shape)}")
    axis = one_axis("stack", axis, len(shape) + 1)
    return op.concatenate(*(op.reshape(v, shape[:axis] + (1,) + shape[axis:]) for v in xs), axis)


def hstack(xs):
    """Arrays joined along axis 1 (0 for vectors)."""
    xs = [op.reshape(tensor(x), (1,)) if not len(tensor(x).shape) else tensor(x) for x in xs]
    return concatenate(xs, 0 if len(xs[0].shape) == 1 else 1)


def vstack(xs):
    """Arrays joined along axis 0; vectors become rows."""
    return concatenate([tensor(x) if len(tensor(x).shape) > 1 else reshape(x, (1, -1)) for x in xs],
                       0)


def append(x1, x2, axis=None):
    """`x2` behind `x1` along an axis; both flattened by default."""
    return concatenate((ravel(x1), ravel(x2)), 0) if axis is None else concatenate((x1, x2), axis)


def split(x, indices_or_sections, axis=0):
    """`x` cut along an axis: into that many equal parts, or at those indices."""
    x = tensor(x)
    axis = one_axis("split", axis, len(x.shape))
    total = x.shape[axis]
    if isinstance(indices_or_sections, int):
        if indices_or_sections < 1 or total % indices_or_sections:
            raise ValueError(f"split: axis {axis} of x.shape={tuple(x.shape)} cannot be cut into "
                             f"{indices_or_sections} equal parts.")
        part = total // indices_or_sections
        cuts = [part * i for i in range(1, indices_or_sections)]
    else:
        cuts = [int(i) for i in indices_or_sections]
    before = (np.s_[:],) * axis
    return [x[before + (np.s_[a:b],)] for a, b in zip([0] + cuts, cuts + [total])]


def tile(x, repeats):
    """`x` laid beside itself, `repeats` times along each axis."""
    x = tensor(x)
    repeats = (repeats,) if isinstance(repeats, int) else tuple(repeats)
    rank = max(len(x.shape), len(repeats))
    x = op.reshape(x, (1,) * (rank - len(x.shape)) + tuple(x.shape))
    for axis, count in enumerate((1,) * (rank - len(repeats)) + repeats):
        if count == 0:
            x = x[(np.s_[:],) * axis + (np.s_[:0],)]
        elif count > 1:
            x = op.concatenate(*(x,) * count, axis)
    return x


def repeat(x, repeats, axis=None):
    """Each element (slice, along an axis) `repeats` times, or a number of times each of its own."""
    x = ravel(x) if axis is None else tensor(x)
    axis = 0 if axis is None else one_axis("repeat", axis, len(x.shape))
    index = np.repeat(np.arange(x.shape[axis], dtype="int32"), np.asarray(repeats))
    return op.take(x, Tensor(index), axis)


def flip(x, axis=None):
    """The order of elements reversed along axes (all of them by default)."""
    x = tensor(x)
    axes = many_axes("flip", axis, len(x.shape))
    return x[tuple(np.s_[::-1] if a in axes else np.s_[:] for a in range(len(x.shape)))]


def roll(x, shift, axis=None):
    """Elements shifted along axes, what falls off coming in again at the other end."""
    x = tensor(x)
    if axis is None:
        return op.reshape(roll(ravel(x), shift, 0), tuple(x.shape))
    pairs = zip(np.broadcast_to(shift, np.shape(axis)).tolist(), axis) \
        if isinstance(axis, (tuple, list)) else [(int(shift), axis)]
    for count, a in pairs:
        a = one_axis("roll", a, len(x.shape))
        count %= max(x.shape[a], 1)
        if count:
            before = (np.s_[:],) * a
            x = op.concatenate(x[before + (np.s_[-count:],)], x[before + (np.s_[:-count],)], a)
    return x


def pad(x, pad_width, mode="constant", constant_values=None):
    """`x` with elements before and after along each axis.

    Args:
        x: The array.
        pad_width: A number, a pair, or a pair for each axis: how many before, how many after.
        mode: `"constant"`, `"reflect"` (without the edge) or `"symmetric"` (with it).
        constant_values: The number to pad with, for `"constant"`. Defaults to 0.
    """
    x = tensor(x)
    rank = len(x.shape)
    widths = np.broadcast_to(np.asarray(pad_width), (rank, 2)).tolist()
    if any(n < 0 for pair in widths for n in pair):
        raise ValueError(f"pad: `pad_width` must be >= 0. Received: pad_width={pad_width}")
    if mode == "constant":
        low, high = (tuple(pair[i] for pair in widths) for i in (0, 1))
        return op.pad(x, low + high, float(constant_values or 0))
    if constant_values is not None:
        raise ValueError(f"pad: `constant_values` is for mode='constant'. Received: mode={mode!r}")
    if mode not in ("reflect", "symmetric"):
        raise ValueError("pad: `mode` must be 'constant', 'reflect' or 'symmetric'. "
                         f"Received: mode={mode!r}")
    for axis, pair in enumerate(widths):
        if any(pair):
            index = np.pad(np.arange(x.shape[axis], dtype="int32"), pair, mode=mode)
            x = op.take(x, Tensor(index), axis)
    return x


# ---- by index ------------------------------------------------------------------------------------

def get_item(x, key):
    """`x[key]`; a key with slices may be a list, as files have it."""
    if isinstance(key, list) and any(isinstance(k, slice) or k is Ellipsis for k in key):
        key = tuple(key)
    return tensor(x)[key]


def _whole_indices(name, indices, limit):
    """Indices of a whole-number dtype, the negative ones counted from the end."""
    if not isinstance(indices, _ARRAYS):
        indices = np.asarray(indices)
        if indices.dtype.kind not in "iu" and indices.size:
            raise ValueError(f"{name}: indices must be integers. Received: dtype={indices.dtype}")
        indices = np.where(indices < 0, indices + limit, indices)
        return _core.convert(indices, "int32" if limit < 2**31 else "int64")
    if indices.dtype in _FLOATS or indices.dtype == "bool":
        raise ValueError(f"{name}: indices must be integers. Received: dtype={indices.dtype}")
    if indices.dtype in _SIGNED:
        return op.where(op.less(indices, 0), op.add(indices, limit), indices)
    return indices


def take(x, indices, axis=None):
    """The elements (slices, along an axis) at `indices`; negative ones count from the end."""
    x = ravel(x) if axis is None else tensor(x)
    axis = 0 if axis is None else one_axis("take", axis, len(x.shape))
    return op.take(x, _whole_indices("take", indices, x.shape[axis]), axis)


def take_along_axis(x, indices, axis=None):
    """The elements at `indices` along an axis, an index for each place of the other axes."""
    x = ravel(x) if axis is None else tensor(x)
    axis = 0 if axis is None else one_axis("take_along_axis", axis, len(x.shape))
    length = x.shape[axis]
    indices = _whole_indices("take_along_axis", indices, length)
    if len(indices.shape) != len(x.shape):
        raise ValueError("take_along_axis: `x` and `indices` must have one rank. Received: "
                         f"x.shape={tuple(x.shape)}, indices.shape={tuple(indices.shape)}")
    x, indices = moveaxis(x, axis, -1), moveaxis(indices, axis, -1)
    outer = np.broadcast_shapes(tuple(x.shape[:-1]), tuple(indices.shape[:-1]))
    rows = math.prod(outer)
    x = broadcast_to(x, outer + (length,))
    indices = broadcast_to(indices, outer + (indices.shape[-1],))
    starts = np.arange(rows, dtype="int64").reshape(outer + (1,)) * length
    flat = op.add(cast_array(indices, "int64"), Tensor(starts))
    return moveaxis(op.take(op.reshape(x, (rows * length,)), flat, 0), -1, axis)


def diagonal(x, offset=0, axis1=0, axis2=1):
    """The diagonals of the matrices over two axes, as a new last axis."""
    x = tensor(x)
    rank = len(x.shape)
    if rank < 2:
        raise ValueError(
            f"diagonal: expected at least two axes. Received: x.shape={tuple(x.shape)}")
    x = moveaxis(x, (one_axis("diagonal", axis1, rank), one_axis("diagonal", axis2, rank)),
                 (-2, -1))
    rows, columns = x.shape[-2:]
    count = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    index = (np.arange(count) - min(offset, 0)) * columns + np.arange(count) + max(offset, 0)
    flat = op.reshape(x, tuple(x.shape[:-2]) + (rows * columns,))
    return op.take(flat, Tensor(index.astype("int64")), rank - 2)


def diag(x, k=0):
    """The matrix with vector `x` on diagonal `k`, or that diagonal of a matrix."""
    x = tensor(x)
    if len(x.shape) == 2:
        return diagonal(x, k)
    if len(x.shape) != 1:
        raise ValueError(f"diag: `x` must have one axis or two. Received: x.shape={tuple(x.shape)}")
    n = x.shape[0]
    square = op.where(Tensor(np.eye(n, dtype="bool")), op.reshape(x, (n, 1)),
                      op.fill((), 0.0, x.dtype))
    return pad(square, ((max(-k, 0), max(k, 0)), (max(k, 0), max(-k, 0))))


def trace(x, offset=0, axis1=0, axis2=1):
    """The sum of the diagonals of the matrices over two axes."""
    return _numpy.sum(diagonal(x, offset, axis1, axis2), -1)


def _triangle(name, x, mask):
    x = tensor(x)
    if len(x.shape) < 2:
        raise ValueError(f"{name}: expected at least two axes. Received: x.shape={tuple(x.shape)}")
    return op.where(Tensor(mask(*x.shape[-2:])), x, op.fill((), 0.0, x.dtype))


def tril(x, k=0):
    """`x` with zeros above diagonal `k` of its last two axes."""
    return _triangle("tril", x, lambda rows, columns: np.tri(rows, columns, k, "bool"))


def triu(x, k=0):
    """`x` with zeros below diagonal `k` of its last two axes."""
    return _triangle("triu", x, lambda rows, columns: ~np.tri(rows, columns, k - 1, "bool"))
