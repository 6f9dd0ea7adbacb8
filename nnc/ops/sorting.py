"""Order and what rests on it: sort, top_k, quantiles, counts, sets; running sums; and the
reductions that pass over NaN.
"""
import math

import numpy as np

from .. import _core
from .._core import Tensor, op
from . import arrays as _arrays, numpy as _numpy
from .core import (_FLOATS, cast_array, float_array, many_axes, one_axis, result_type,
                   standardize_dtype, tensor)
from .keras_tensor import KerasTensor, sized_by_values


# ---- running along an axis -----------------------------------------------------------------------

def _running(name, x, axis, dtype):
    x = tensor(x)
    dtype = (_numpy._SUM_DTYPE["bool"] if x.dtype == "bool" else x.dtype) if dtype is None \
        else standardize_dtype(dtype)
    x = cast_array(x, "int32" if dtype == "bool" else dtype)
    x = _arrays.ravel(x) if axis is None else x
    axis = 0 if axis is None else one_axis(name, axis, len(x.shape))
    return cast_array(getattr(op, name)(x, axis, 0), dtype)


def cumsum(x, axis=None, dtype=None):
    """Running sums along an axis; of the flattened array by default."""
    return _running("cumsum", x, axis, dtype)


def cumprod(x, axis=None, dtype=None):
    """Running products along an axis; of the flattened array by default."""
    return _running("cumprod", x, axis, dtype)


def _without_nan(x, value):
    x = tensor(x)
    return op.where(op.isnan(x), value, x) if x.dtype in _FLOATS else x


def nancumsum(x, axis=None, dtype=None):
    """As `cumsum`, NaN counting as 0."""
    return _running("cumsum", _without_nan(x, 0.0), axis, dtype)


def nancumprod(x, axis=None, dtype=None):
    """As `cumprod`, NaN counting as 1."""
    return _running("cumprod", _without_nan(x, 1.0), axis, dtype)


# ---- order ---------------------------------------------------------------------------------------

def sort(x, axis=-1):
    """Ascending order along an axis (`None`: of the flattened array); NaN last."""
    x = _arrays.ravel(x) if axis is None else tensor(x)
    return op.sort(x, one_axis("sort", -1 if axis is None else axis, len(x.shape)), 0)


def argsort(x, axis=-1):
    """The indices (int32) that would sort along an axis; equal elements keep their order."""
    x = _arrays.ravel(x) if axis is None else tensor(x)
    return op.argsort(x, one_axis("argsort", -1 if axis is None else axis, len(x.shape)), 0)


def argpartition(x, kth, axis=-1):
    """Indices (int32) with that of the `kth` smallest in its place, the smaller before it and the
    larger behind; here fully sorted, which is one of the answers.
    """
    x = tensor(x)
    axis = one_axis("argpartition", axis, len(x.shape))
    for k in kth if isinstance(kth, (tuple, list)) else (kth,):
        one_axis("argpartition: `kth`", k, x.shape[axis])
    return op.argsort(x, axis, 0)


def top_k(x, k, sorted=True):
    """The `k` largest elements of the last axis, largest first, and their indices (int32). They
    are in order whether or not `sorted` asks for it.
    """
    return op.top_k(tensor(x), int(k))


def searchsorted(sorted_sequence, values, side="left"):
    """Where each value would go into a sorted vector (int32): before its equals, or behind them
    with `side="right"`.
    """
    if side not in ("left", "right"):
        raise ValueError(f"searchsorted: `side` must be 'left' or 'right'. Received: side={side!r}")
    sequence = tensor(sorted_sequence)
    if len(sequence.shape) != 1:
        raise ValueError("searchsorted: `sorted_sequence` must have one axis. Received: "
                         f"sorted_sequence.shape={tuple(sequence.shape)}")
    return op.searchsorted(sequence, tensor(values), int(side == "right"))


def digitize(x, bins):
    """The number (int32) of the bin that each element falls into: how many of the ascending
    edges `bins` are not above it.
    """
    return searchsorted(bins, x, "right")


def _unique_spec(x, sorted=True, return_index=False, return_inverse=False, return_counts=False,
                 axis=None, size=None, fill_value=None):
    place = 0 if axis is None else one_axis("unique", axis, len(x.shape))
    shape = (size,) if axis is None else (*x.shape[:place], size, *x.shape[place + 1:])
    made = [KerasTensor(shape, x.dtype)]
    for wanted, shape in ((return_index, (size,)),
                          (return_inverse, x.shape if axis is None else (x.shape[place],)),
                          (return_counts, (size,))):
        if wanted:
            made.append(KerasTensor(shape, "int32"))
    return made[0] if len(made) == 1 else tuple(made)


@sized_by_values(_unique_spec)
def unique(x, sorted=True, return_index=False, return_inverse=False, return_counts=False,
           axis=None, size=None, fill_value=None):
    """The different elements (slices, along an axis), in ascending order whether or not `sorted`
    asks for it; on demand with the index of the first of each, the number of each element's
    equal, and how many there are (all int32). How many differ only the values know, so it runs
    eagerly. With `size` the result is cut or filled up (with `fill_value`, by default the
    smallest) to that length.
    """
    x = tensor(x)
    values, first, inverse, counts = np.unique(
        x.numpy(), return_index=True, return_inverse=True, return_counts=True, axis=axis)
    place = 0 if axis is None else one_axis("unique", axis, len(x.shape))
    if size is not None:
        missing = max(size - len(counts), 0)
        values = np.take(values, np.arange(min(size, len(counts))), place)
        first, counts = (np.append(a[:size], np.full(missing, fill, a.dtype))
                         for a, fill in ((first, first[0] if len(first) else 0), (counts, 0)))
        if missing:
            fill = np.take(values, [0] * missing, place) if fill_value is None else np.full(
                [missing if a == place else n for a, n in enumerate(values.shape)], fill_value)
            values = np.concatenate((values, fill.astype(values.dtype)), place)
    results = [_core.convert(values, x.dtype)]
    shape = x.shape if axis is None else (x.shape[place],)
    for wanted, array in ((return_index, first), (return_inverse, inverse.reshape(shape)),
                          (return_counts, counts)):
        if wanted:
            results.append(Tensor(array.astype("int32")))
    return results[0] if len(results) == 1 else tuple(results)


def _nonzero_spec(x):
    return tuple(KerasTensor((None,), "int32") for _ in x.shape)


@sized_by_values(_nonzero_spec)
def nonzero(x):
    """The indices of the elements that are not 0, a vector (int32) for each axis. How many there
    are only the values know, so it runs eagerly.
    """
    return tuple(Tensor(index.astype("int32")) for index in np.nonzero(tensor(x).numpy()))


def isin(x1, x2, assume_unique=False, invert=False):
    """Whether each element of `x1` is one of `x2` (is none, with `invert`)."""
    x1, x2 = tensor(x1), _arrays.ravel(x2)
    dtype = result_type(x1.dtype, x2.dtype)
    x1, x2 = cast_array(x1, dtype), op.sort(cast_array(x2, dtype), 0, 0)
    if not x2.shape[0]:
        return op.fill(tuple(x1.shape), float(bool(invert)), "bool")
    place = op.minimum(op.searchsorted(x2, x1, 0), x2.shape[0] - 1)
    found = op.equal(op.take(x2, place, 0), x1)
    return op.logical_not(found) if invert else found


def _bincount_spec(x, weights=None, minlength=0, sparse=False):
    if sparse or x.dtype in _FLOATS or len(x.shape) not in (1, 2):
        return None         # the recording says what is wrong
    dtype = "int32" if weights is None else result_type(
        weights.dtype if isinstance(weights, KerasTensor) else tensor(weights).dtype)
    return KerasTensor((*x.shape[:-1], None), dtype)


@sized_by_values(_bincount_spec)
def bincount(x, weights=None, minlength=0, sparse=False):
    """How often each number 0, 1, ... occurs (int32), or the sum of the `weights` beside it; along
    the last axis. The length is one more than the largest number, at least `minlength`: only the
    values know it, so it runs eagerly.
    """
    if sparse:
        raise ValueError("bincount: all tensors are dense here. Received: sparse=True")
    x = tensor(x)
    if x.dtype in _FLOATS or len(x.shape) not in (1, 2):
        raise ValueError("bincount: `x` must be integers with one axis or two. Received: "
                         f"x.shape={tuple(x.shape)}, x.dtype={x.dtype}")
    x = cast_array(x, "int64")
    length = int(minlength)
    if math.prod(x.shape):
        length = max(length, int(op.max(x, (), 0).numpy()) + 1)
    rows = x.shape[0] if len(x.shape) == 2 else 1
    dtype = "int32" if weights is None else result_type(tensor(weights).dtype)
    compute = "float32" if dtype == "float32" else "float64"
    parts = op.fill(tuple(x.shape), 1.0, compute) if weights is None \
        else cast_array(weights, compute)
    if tuple(parts.shape) != tuple(x.shape):
        raise ValueError("bincount: `weights` must have the shape of `x`. Received: x.shape="
                         f"{tuple(x.shape)}, weights.shape={tuple(parts.shape)}")
    if rows > 1 or len(x.shape) == 2:
        x = op.add(x, Tensor(np.arange(rows, dtype="int64")[:, None] * length))
    flat = op.take_grad(_arrays.ravel(parts), _arrays.ravel(x), (rows * length,), 0)
    return cast_array(op.reshape(flat, (rows, length) if len(x.shape) == 2 else (length,)), dtype)


def histogram(x, bins=10, range=None):
    """How many elements fall into each of `bins` equal intervals (in the dtype of `x`, as
    Keras counts), and the edges. The last interval holds its upper edge too.

    Args:
        x: The array.
        bins: Integer >= 1.
        range: A pair: the outer edges. Defaults to the least and the largest element.
    """
    if not isinstance(bins, int):
        raise TypeError(f"histogram: `bins` must be an integer. Received: bins={bins!r}")
    if bins < 1:
        raise ValueError(f"histogram: `bins` must be >= 1. Received: bins={bins}")
    if range and (not isinstance(range, tuple) or len(range) != 2 or range[1] < range[0]):
        raise ValueError("histogram: `range` must be a tuple (low, high). Received: "
                         f"range={range}")
    x = _arrays.ravel(float_array(x))
    if range:
        low, high = (float(edge) for edge in range)
    elif x.shape[0]:
        low, high = op.min(x, (), 0), op.max(x, (), 0)
        apart = op.where(op.equal(low, high), 0.5, op.fill((), 0.0, x.dtype))
        low, high = op.subtract(low, apart), op.add(high, apart)
    else:
        low, high = 0.0, 1.0
    if range and low == high:
        low, high = low - 0.5, high + 0.5
    edges = _arrays.linspace(low, high, bins + 1, dtype=x.dtype)
    # Past the edges: numbers 0 and bins + 2 of the bins counted, the upper edge belongs inside.
    place = op.searchsorted(edges, x, 1)
    place = op.where(op.equal(x, edges[-1]), bins, place)
    counts = op.take_grad(op.fill(tuple(x.shape), 1.0, "float64"), place, (bins + 2,), 0)
    return cast_array(counts[1:bins + 1], x.dtype), edges


# ---- quantiles -----------------------------------------------------------------------------------

_METHODS = ("linear", "lower", "higher", "nearest", "midpoint")


def _rows(name, x, axis):
    """`x` with the reduced axes joined to one, the last; and the shape with them kept."""
    x = float_array(x)
    axes = many_axes(name, axis, len(x.shape))
    kept = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    rest = tuple(a for a in range(len(x.shape)) if a not in axes)
    size = math.prod(x.shape[a] for a in axes)
    if not size:
        raise ValueError(f"{name}: nothing to reduce: x.shape={tuple(x.shape)}, axis={axis}")
    x = _numpy._permuted(x, rest + axes)
    return op.reshape(x, tuple(x.shape[:len(rest)]) + (size,)), kept, axes


def _quantile(name, x, q, axis, method, keepdims, nan):
    if method not in _METHODS:
        raise ValueError(f"{name}: `method` must be one of {_METHODS}. Received: "
                         f"method={method!r}")
    x, kept, axes = _rows(name, x, axis)
    q = cast_array(q, x.dtype)
    q_shape = tuple(q.shape)
    rows = op.sort(x, len(x.shape) - 1, 0)
    lead = tuple(rows.shape[:-1])
    size = rows.shape[-1]
    bad = op.isnan(x)
    count = op.fill(lead, float(size), "int32")
    if nan:
        count = op.sum(cast_array(op.logical_not(bad), "int32"), (len(lead),), 0)
    # Positions (..., q): between 0 and the number of elements less one.
    last = op.subtract(count, 1)
    flat_q = op.reshape(q, (1,) * len(lead) + (math.prod(q_shape),))
    last = op.reshape(op.maximum(last, 0), lead + (1,))
    at = op.multiply(cast_array(last, x.dtype), flat_q)
    low, high = op.floor(at), op.ceil(at)
    if method == "nearest":
        low = high = op.round(at)
    low, high = {"lower": (low, low), "higher": (high, high)}.get(method, (low, high))

    def pick(place):
        # The place is cut to the row, for a q outside 0 to 1.
        place = op.minimum(op.maximum(cast_array(place, "int32"), 0), last)
        return op.take_along(rows, place, len(lead))
    below, above = pick(low), pick(high)
    part = 0.5 if method == "midpoint" else op.subtract(at, low)
    y = below if method in ("lower", "higher", "nearest") else \
        op.add(below, op.multiply(op.subtract(above, below), part))
    none = op.equal(count, 0) if nan else op.any(bad, (len(lead),), 0)
    y = op.where(op.reshape(none, lead + (1,)), math.nan, y)
    y = op.transpose(y, (len(lead), *range(len(lead)))) if lead else y
    return op.reshape(y, q_shape + (kept if keepdims else lead))


def quantile(x, q, axis=None, method="linear", keepdims=False):
    """The numbers below which a part `q` of the elements along axes (all by default) lies; NaN
    where there is one.

    Args:
        x: The array; integers are cast to `floatx()`.
        q: A number or numbers, 0 to 1; its axes come first in the result.
        axis: Integer or tuple. Defaults to all axes.
        method: Between two elements: `"linear"`, `"lower"`, `"higher"`, `"nearest"` or
            `"midpoint"`.
        keepdims: Whether the reduced axes stay, with size 1.
    """
    return _quantile("quantile", x, q, axis, method, keepdims, False)


def nanquantile(x, q, axis=None, method="linear", keepdims=False):
    """As `quantile`, passing over NaN; NaN where there is nothing else."""
    return _quantile("nanquantile", x, q, axis, method, keepdims, True)


def percentile(x, q, axis=None, method="linear", keepdims=False):
    """As `quantile`, with `q` from 0 to 100."""
    return _quantile("percentile", x, op.divide(float_array(q), 100.0), axis, method, keepdims,
                     False)


def nanpercentile(x, q, axis=None, method="linear", keepdims=False):
    """As `percentile`, passing over NaN; NaN where there is nothing else."""
    return _quantile("nanpercentile", x, op.divide(float_array(q), 100.0), axis, method, keepdims,
                     True)


def median(x, axis=None, keepdims=False):
    """The middle element along axes (all by default), or the mean of the middle two."""
    return _quantile("median", x, 0.5, axis, "linear", keepdims, False)


def nanmedian(x, axis=None, keepdims=False):
    """As `median`, passing over NaN; NaN where there is nothing else."""
    return _quantile("nanmedian", x, 0.5, axis, "linear", keepdims, True)


# ---- reductions that pass over NaN ---------------------------------------------------------------

def nansum(x, axis=None, keepdims=False):
    """The sum along axes, NaN counting as 0."""
    return _numpy.sum(_without_nan(x, 0.0), axis, keepdims)


def nanprod(x, axis=None, keepdims=False):
    """The product along axes, NaN counting as 1."""
    return _numpy.prod(_without_nan(x, 1.0), axis, keepdims)


def nanmean(x, axis=None, keepdims=False):
    """The mean of what is not NaN along axes; NaN where there is nothing else."""
    x = float_array(x)
    count = _numpy.sum(cast_array(op.logical_not(op.isnan(x)), x.dtype), axis, keepdims)
    return op.divide(nansum(x, axis, keepdims), count)


def nanvar(x, axis=None, keepdims=False):
    """The variance of what is not NaN along axes; NaN where there is nothing else."""
    x = float_array(x)
    away = op.subtract(_without_nan(x, 0.0), nanmean(x, axis, True))
    return nanmean(op.where(op.isnan(x), x, op.square(away)), axis, keepdims)


def nanstd(x, axis=None, keepdims=False):
    """The standard deviation of what is not NaN along axes."""
    return op.sqrt(nanvar(x, axis, keepdims))


def _nan_extremum(reduce, x, axis, keepdims, start):
    x = tensor(x)
    if x.dtype not in _FLOATS:
        return reduce(x, axis, keepdims)
    bad = op.isnan(x)
    y = reduce(op.where(bad, start, x), axis, keepdims)
    return op.where(_numpy.all(bad, axis, keepdims), math.nan, y)


def nanmax(x, axis=None, keepdims=False):
    """The largest that is not NaN along axes; NaN where there is nothing else."""
    return _nan_extremum(_numpy.max, x, axis, keepdims, -math.inf)


def nanmin(x, axis=None, keepdims=False):
    """The smallest that is not NaN along axes; NaN where there is nothing else."""
    return _nan_extremum(_numpy.min, x, axis, keepdims, math.inf)


def _nan_arg(argument, x, axis, keepdims, start):
    x = tensor(x)
    if x.dtype not in _FLOATS:
        return argument(x, axis, keepdims)
    bad = op.isnan(x)
    y = argument(op.where(bad, start, x), axis, keepdims)
    return op.where(_numpy.all(bad, axis, keepdims), -1, y)


def nanargmax(x, axis=None, keepdims=False):
    """The index (int32) of the largest that is not NaN; -1 where there is nothing else."""
    return _nan_arg(_numpy.argmax, x, axis, keepdims, -math.inf)


def nanargmin(x, axis=None, keepdims=False):
    """The index (int32) of the smallest that is not NaN; -1 where there is nothing else."""
    return _nan_arg(_numpy.argmin, x, axis, keepdims, math.inf)


def sparsemax(x, axis=-1):
    """The point of the simplex nearest to `x` along an axis: a softmax with exact zeros.
    It sums to 1, as the reference has it; Keras 3.15's does not.

    Reference: [Martins & Astudillo, 2016](https://arxiv.org/abs/1602.02068)
    """
    x = float_array(x)
    axis = one_axis("sparsemax", axis, len(x.shape))
    ordered = op.sort(x, axis, 1)
    shape = tuple(x.shape[axis] if a == axis else 1 for a in range(len(x.shape)))
    number = op.reshape(op.arange(1.0, 1.0, x.shape[axis], x.dtype), shape)
    sums = op.cumsum(ordered, axis, 0)
    # The k largest are in while 1 + k z_k exceeds their sum.
    inside = op.greater(op.add(op.multiply(ordered, number), 1.0), sums)
    count = op.sum(cast_array(inside, x.dtype), (axis,), 1)
    total = op.sum(op.where(inside, ordered, 0.0), (axis,), 1)
    return op.maximum(op.subtract(x, op.divide(op.subtract(total, 1.0), count)), 0.0)
