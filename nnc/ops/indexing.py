"""Writing at indices, joining by ids, and shapes of arrays: scatter, segment_*, what splits, turns
and combines, windows, and `rearrange`.
"""
import math

import numpy as np

from .. import config
from .._core import Tensor, op
from . import arrays as _arrays, numpy as _numpy
from .core import (_FLOATS, cast_array, float_array, one_axis, result_type, standardize_dtype,
                   static_shape, tensor)


# ---- at indices ----------------------------------------------------------------------------------

def _flat_indices(name, indices, shape):
    """Indices (..., depth) into the first axes of `shape` as places in their product, a vector;
    and the depth. Negative ones count from the end.
    """
    indices = tensor(indices)
    if indices.dtype in _FLOATS or indices.dtype == "bool" or not len(indices.shape):
        raise ValueError(f"{name}: `indices` must be integers with at least one axis. Received: "
                         f"indices.shape={tuple(indices.shape)}, dtype={indices.dtype}")
    depth = indices.shape[-1]
    if depth > len(shape):
        raise ValueError(f"{name}: the last axis of `indices` names {depth} axes. Received: an "
                         f"array of shape {shape}")
    count = math.prod(indices.shape[:-1])
    columns = op.reshape(cast_array(indices, "int64"), (count, depth))
    limits = Tensor(np.array(shape[:depth], "int64"))
    columns = op.where(op.less(columns, 0), op.add(columns, limits), columns)
    strides = np.array([math.prod(shape[a + 1:depth]) for a in range(depth)], "int64")
    flat = op.sum(op.multiply(columns, Tensor(strides)), (1,), 0)
    # What is outside along one axis must not lie inside along the next.
    inside = op.all(op.logical_and(op.greater_equal(columns, 0), op.less(columns, limits)), (1,), 0)
    return op.where(inside, flat, -1), depth


def _row_shape(name, updates, indices, shape, depth):
    wanted = tuple(tensor(indices).shape[:-1]) + tuple(shape[depth:])
    if tuple(updates.shape) != wanted:
        raise ValueError(f"{name}: expected values of shape {wanted}. Received: shape "
                         f"{tuple(updates.shape)}")


def scatter(indices, values, shape):
    """Zeros of `shape` with `values` added at `indices`, whose last axis names the place along the
    first axes.
    """
    values, shape = tensor(values), static_shape("scatter", shape)
    flat, depth = _flat_indices("scatter", indices, shape)
    _row_shape("scatter", values, indices, shape, depth)
    lead, rest = math.prod(shape[:depth]), math.prod(shape[depth:])
    rows = op.reshape(values, (flat.shape[0], rest))
    return op.reshape(op.take_grad(rows, flat, (lead, rest), 0), shape)


def scatter_update(inputs, indices, updates, reduction=None):
    """`inputs` with `updates` written at `indices`, whose last axis names the place along the first
    axes; of several for one place the last wins.

    Args:
        inputs: The array.
        indices: Integers (..., depth).
        updates: What to write, the leading axes of `indices` first.
        reduction: How an update joins what is there: `None` (replaces it), `"add"`, `"max"`,
            `"min"` or `"mul"`.
    """
    if reduction not in (None, "add", "max", "min", "mul"):
        raise ValueError("scatter_update: `reduction` must be None, 'add', 'max', 'min' or 'mul'. "
                         f"Received: reduction={reduction!r}")
    inputs = tensor(inputs)
    updates, shape = cast_array(updates, inputs.dtype), tuple(inputs.shape)
    flat, depth = _flat_indices("scatter_update", indices, shape)
    _row_shape("scatter_update", updates, indices, shape, depth)
    lead, rest = math.prod(shape[:depth]), math.prod(shape[depth:])
    x, rows = op.reshape(inputs, (lead, rest)), op.reshape(updates, (flat.shape[0], rest))
    if reduction is None:
        y = op.put(x, flat, rows)
    elif reduction == "add":
        y = op.add(x, op.take_grad(rows, flat, (lead, rest), 0))
    elif reduction == "mul":
        y = op.multiply(x, op.segment_prod(rows, flat, lead))
    else:
        touched = op.put(op.fill((lead,), 0.0, "bool"), flat, op.fill(tuple(flat.shape), 1.0,
                                                                      "bool"))
        joined = getattr(op, f"segment_{reduction}")(rows, flat, lead)
        y = op.where(op.reshape(touched, (lead, 1)), getattr(op, f"{reduction}imum")(x, joined), x)
    return op.reshape(y, shape)


def _segment(name, data, segment_ids, num_segments, combine):
    data, ids = tensor(data), tensor(segment_ids)
    if ids.dtype in _FLOATS or ids.dtype == "bool" or len(ids.shape) != 1 or \
            not len(data.shape) or data.shape[0] != ids.shape[0]:
        raise ValueError(f"{name}: `segment_ids` must be integers, one for each row of `data`. "
                         f"Received: data.shape={tuple(data.shape)}, "
                         f"segment_ids.shape={tuple(ids.shape)}, dtype={ids.dtype}")
    ids = cast_array(ids, "int64")
    if num_segments is None:
        num_segments = int(op.max(ids, (), 0).numpy()) + 1 if ids.shape[0] else 0
    count, rest = int(num_segments), tuple(data.shape[1:])
    # Rows with a negative id go to one segment more, which is cut off.
    ids = op.where(op.less(ids, 0), count, ids)
    rows = op.reshape(data, (ids.shape[0], math.prod(rest)))
    y = op.take_grad(rows, ids, (count + 1, math.prod(rest)), 0) if combine == "sum" \
        else getattr(op, f"segment_{combine}")(rows, ids, count + 1)
    return op.reshape(y[:count], (count,) + rest)


def segment_sum(data, segment_ids, num_segments=None, sorted=False):
    """The sums of the rows of `data` with the same id. Rows with a negative id are left out.

    Args:
        data: The array.
        segment_ids: Integers, one a row, in any order.
        num_segments: Integer, the number of results. Defaults to one more than the largest id
            (only the values know that: it runs eagerly then).
        sorted: A promise that the ids ascend; nothing depends on it.
    """
    return _segment("segment_sum", data, segment_ids, num_segments, "sum")


def segment_max(data, segment_ids, num_segments=None, sorted=False):
    """As `segment_sum`, the largest instead; the lowest number of the dtype where there is none."""
    return _segment("segment_max", data, segment_ids, num_segments, "max")


def segment_min(data, segment_ids, num_segments=None, sorted=False):
    """As `segment_sum`, the smallest instead; the largest number of the dtype where there is
    none.
    """
    return _segment("segment_min", data, segment_ids, num_segments, "min")


def segment_prod(data, segment_ids, num_segments=None, sorted=False):
    """As `segment_sum`, the product instead; 1 where there is none."""
    return _segment("segment_prod", data, segment_ids, num_segments, "prod")


def unravel_index(indices, shape):
    """The index along each axis of `shape` for places in the flattened array."""
    indices, shape = tensor(indices), static_shape("unravel_index", shape)
    result = []
    for size in reversed(shape):
        result.append(op.mod(indices, size))
        indices = op.floor_divide(indices, size)
    return tuple(reversed(result))


# ---- cut, joined, turned -------------------------------------------------------------------------

def array_split(x, indices_or_sections, axis=0):
    """As `split`; the parts may differ by one where they cannot be equal."""
    x = tensor(x)
    if not isinstance(indices_or_sections, int):
        return _arrays.split(x, indices_or_sections, axis)
    axis = one_axis("array_split", axis, len(x.shape))
    if indices_or_sections < 1:
        raise ValueError("array_split: the number of parts must be >= 1. Received: "
                         f"indices_or_sections={indices_or_sections}")
    part, more = divmod(x.shape[axis], indices_or_sections)
    cuts = [part * i + min(i, more) for i in range(1, indices_or_sections)]
    return _arrays.split(x, cuts, axis)


def _split_along(name, axis, least):
    def function(x, indices_or_sections):
        x = tensor(x)
        if len(x.shape) < least:
            raise ValueError(f"{name}: expected at least {least} axes. Received: "
                             f"x.shape={tuple(x.shape)}")
        along = 0 if name == "hsplit" and len(x.shape) == 1 else axis
        return _arrays.split(x, indices_or_sections, along)
    return _numpy._named(function, name, f"`split` along axis {axis}"
                         + (" (0 of vectors)." if name == "hsplit" else "."))


vsplit = _split_along("vsplit", 0, 2)
hsplit = _split_along("hsplit", 1, 1)
dsplit = _split_along("dsplit", 2, 3)


def dstack(xs):
    """Arrays joined along axis 2; vectors become rows, matrices get a last axis."""
    def deep(x):
        x = tensor(x)
        shape = tuple(x.shape)
        shape = {0: (1, 1, 1), 1: (1, *shape, 1), 2: (*shape, 1)}.get(len(shape), shape)
        return op.reshape(x, shape)
    return _arrays.concatenate([deep(x) for x in xs], 2)


def fliplr(x):
    """The order along axis 1 reversed."""
    return _arrays.flip(x, 1)


def flipud(x):
    """The order along axis 0 reversed."""
    return _arrays.flip(x, 0)


def rot90(array, k=1, axes=(0, 1)):
    """Turned by `k` quarters from the first of two axes towards the second."""
    x = tensor(array)
    if len(axes) != 2 or len(x.shape) < 2:
        raise ValueError("rot90: expected two axes of an array with at least two. Received: "
                         f"axes={axes}, array.shape={tuple(x.shape)}")
    a, b = (one_axis("rot90", axis, len(x.shape)) for axis in axes)
    if a == b:
        raise ValueError(f"rot90: the axes must differ. Received: axes={axes}")
    k %= 4
    if k == 0:
        return x
    if k == 2:
        return _arrays.flip(x, (a, b))
    return _arrays.swapaxes(_arrays.flip(x, b), a, b) if k == 1 \
        else _arrays.flip(_arrays.swapaxes(x, a, b), b)


def diagflat(x, k=0):
    """The matrix with the flattened `x` on diagonal `k`."""
    return _arrays.diag(_arrays.ravel(x), k)


# ---- differences, products -----------------------------------------------------------------------

def diff(a, n=1, axis=-1):
    """The differences of neighbours along an axis, `n` times; of booleans, whether they differ."""
    x = tensor(a)
    axis = one_axis("diff", axis, len(x.shape))
    before = (np.s_[:],) * axis
    for _ in range(n):
        later, earlier = x[before + (np.s_[1:],)], x[before + (np.s_[:-1],)]
        x = op.not_equal(later, earlier) if x.dtype == "bool" else op.subtract(later, earlier)
    return x


def kron(x1, x2):
    """The Kronecker product: a copy of `x2` times each element of `x1`."""
    x1, x2 = tensor(x1), tensor(x2)
    rank = max(len(x1.shape), len(x2.shape))
    a, b = ((1,) * (rank - len(x.shape)) + tuple(x.shape) for x in (x1, x2))
    y = _numpy.multiply(op.reshape(x1, tuple(n for pair in zip(a, (1,) * rank) for n in pair)),
                        op.reshape(x2, tuple(n for pair in zip((1,) * rank, b) for n in pair)))
    return op.reshape(y, tuple(m * n for m, n in zip(a, b)))


def vander(x, N=None, increasing=False):
    """The powers N - 1, ..., 1, 0 of a vector as columns (`N` defaults to its length), or in
    ascending order.
    """
    x = tensor(x)
    if len(x.shape) != 1:
        raise ValueError(f"vander: `x` must have one axis. Received: x.shape={tuple(x.shape)}")
    count = x.shape[0] if N is None else int(N)
    powers = np.arange(count, dtype="float32")
    powers = powers if increasing else powers[::-1]
    compute = x.dtype if x.dtype in _FLOATS else "float64"
    y = op.power(op.reshape(cast_array(x, compute), (x.shape[0], 1)),
                 cast_array(Tensor(powers.copy()), compute))
    return cast_array(y, x.dtype)


def cross(x1, x2, axisa=-1, axisb=-1, axisc=-1, axis=None):
    """The cross product of vectors of 3 (or 2, then with 0 as the third; of two such only the
    third number).
    """
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    x1, x2 = tensor(x1), tensor(x2)
    a, b = (_arrays.moveaxis(x, along, -1) for x, along in ((x1, axisa), (x2, axisb)))
    if a.shape[-1] not in (2, 3) or b.shape[-1] not in (2, 3):
        raise ValueError("cross: vectors must have 2 or 3 elements. Received: x1.shape="
                         f"{tuple(x1.shape)}, x2.shape={tuple(x2.shape)}")
    flat = a.shape[-1] == b.shape[-1] == 2
    a, b = ([x[..., i] for i in range(x.shape[-1])] for x in (a, b))
    zero = op.fill((), 0.0, result_type(x1.dtype, x2.dtype))
    a, b = (x if len(x) == 3 or flat else [*x, zero] for x in (a, b))

    def part(i, j):
        return op.subtract(op.multiply(a[i], b[j]), op.multiply(a[j], b[i]))
    if flat:
        return part(0, 1)
    return _arrays.moveaxis(_arrays.stack([part(1, 2), part(2, 0), part(0, 1)], -1), -1, axisc)


def trapezoid(y, x=None, dx=1.0, axis=-1):
    """The integral along an axis by the trapezoidal rule, at places `x` or `dx` apart."""
    y = float_array(y)
    axis = one_axis("trapezoid", axis, len(y.shape))
    y = _arrays.moveaxis(y, axis, -1)
    if x is not None:
        x = cast_array(x, y.dtype)
        dx = diff(x if len(x.shape) == 1 else _arrays.moveaxis(x, axis, -1))
    mean = op.multiply(op.add(y[..., 1:], y[..., :-1]), 0.5)
    return op.sum(op.multiply(mean, dx), (len(y.shape) - 1,), 0)


def corrcoef(x):
    """The correlations between the rows of a matrix."""
    x = float_array(x)
    if len(x.shape) not in (1, 2):
        raise ValueError("corrcoef: `x` must have one axis or two. Received: x.shape="
                         f"{tuple(x.shape)}")
    if len(x.shape) == 1:
        return op.fill((), 1.0, x.dtype)
    away = op.subtract(x, _numpy.mean(x, -1, True))
    covariance = op.matmul(away, away, 0, 1)
    size = op.sqrt(_arrays.diagonal(covariance))
    r = op.divide(covariance, op.multiply(op.reshape(size, (x.shape[0], 1)), size))
    return op.minimum(op.maximum(r, -1.0), 1.0)


def correlate(x1, x2, mode="valid"):
    """The sums of products of two vectors at each shift: where they overlap fully (`"valid"`),
    somewhere (`"full"`), or as many as the longer has (`"same"`).
    """
    if mode not in ("valid", "same", "full"):
        raise ValueError("correlate: `mode` must be 'valid', 'same' or 'full'. Received: "
                         f"mode={mode!r}")
    x1, x2 = tensor(x1), tensor(x2)
    dtype = result_type(x1.dtype, x2.dtype)
    dtype = "float64" if dtype == "int64" else dtype if dtype in _FLOATS else "float32"
    x1, x2 = cast_array(x1, dtype), cast_array(x2, dtype)
    if len(x1.shape) != 1 or len(x2.shape) != 1 or not x1.shape[0] or not x2.shape[0]:
        raise ValueError("correlate: expected two vectors that are not empty. Received: x1.shape="
                         f"{tuple(x1.shape)}, x2.shape={tuple(x2.shape)}")
    turned = x1.shape[0] < x2.shape[0]
    long, short = (x2, x1) if turned else (x1, x2)
    m, n = long.shape[0], short.shape[0]
    before = {"full": n - 1, "same": n // 2 if not turned else (n - 1) // 2, "valid": 0}[mode]
    count = {"full": m + n - 1, "same": m, "valid": m - n + 1}[mode]
    before = n - 1 - (n - 1) // 2 if mode == "same" and not turned else before
    after = count + n - 1 - m - before
    padded = op.pad(long, (before, after), 0.0)
    windows = np.arange(count)[:, None] + np.arange(n)
    y = op.matmul(op.take(padded, Tensor(windows), 0), op.reshape(short, (n, 1)), 0, 0)
    y = op.reshape(y, (count,))
    return _arrays.flip(y) if turned else y


def cdist(x, y):
    """The Euclidean distances between the rows of two matrices (the last two axes)."""
    x, y = float_array(x), float_array(y)
    away = op.subtract(_arrays.expand_dims(x, -2), _arrays.expand_dims(y, -3))
    squares = op.sum(op.square(away), (len(away.shape) - 1,), 0)
    zero = op.equal(squares, 0)         # its root has no slope there: 0
    return op.where(zero, 0.0, op.sqrt(op.where(zero, 1.0, squares)))


# ---- numbers on a scale, windows -----------------------------------------------------------------

def logspace(start, stop, num=50, endpoint=True, base=10, dtype=None, axis=0):
    """`num` numbers from `base ** start` to `base ** stop`, even on a logarithmic scale."""
    start, stop = _apart(start, stop)
    y = op.power(float(base), _arrays.linspace(start, stop, num, endpoint, dtype=start.dtype,
                                               axis=axis))
    return y if dtype is None else cast_array(y, standardize_dtype(dtype))


def _apart(start, stop):
    start, stop = float_array(start), float_array(stop)
    dtype = result_type(start.dtype, stop.dtype)
    return cast_array(start, dtype), cast_array(stop, dtype)


def geomspace(start, stop, num=50, endpoint=True, dtype=None, axis=0):
    """`num` numbers from `start` to `stop` (of one sign), each the same multiple of the one
    before.
    """
    start, stop = _apart(start, stop)
    logs = _arrays.linspace(op.log(op.absolute(start)), op.log(op.absolute(stop)), num, endpoint,
                            dtype=start.dtype, axis=axis)
    y = op.multiply(op.exp(logs), _arrays.expand_dims(op.sign(start), axis)
                    if len(start.shape) else op.sign(start))
    return y if dtype is None else cast_array(y, standardize_dtype(dtype))


def _window(name, text, *terms):
    """A sum of cosines over one turn: terms[k] cos(2 pi k i / (n - 1))."""
    def function(x):
        n = int(tensor(x).numpy())
        turn = 2 * np.pi * np.arange(n) / max(n - 1, 1)
        y = sum(c * np.cos(k * turn) for k, c in enumerate(terms)) if n > 1 else np.ones(n)
        return Tensor(np.asarray(y).astype(config.floatx()))
    return _numpy._named(function, name, text)


hanning = _window("hanning", "The Hann window of `x` points: one raised cosine.", 0.5, -0.5)
hamming = _window("hamming", "The Hamming window of `x` points.", 0.54, -0.46)
blackman = _window("blackman", "The Blackman window of `x` points.", 0.42, -0.5, 0.08)


def bartlett(x):
    """The triangular window of `x` points."""
    n = int(tensor(x).numpy())
    y = 1 - abs(2 * np.arange(n) / max(n - 1, 1) - 1) if n > 1 else np.ones(n)
    return Tensor(y.astype(config.floatx()))


def kaiser(x, beta):
    """The Kaiser window of `x` points with shape `beta`."""
    n = int(tensor(x).numpy())
    beta = float(tensor(beta).numpy())
    return Tensor(np.kaiser(n, beta).astype(config.floatx()))


# ---- rearrange -----------------------------------------------------------------------------------

def _groups(side):
    """"b (h w) c" as [["b"], ["h", "w"], ["c"]]."""
    groups, inside = [], None
    for word in side.replace("(", " ( ").replace(")", " ) ").split():
        if word == "(" and inside is None:
            inside = []
        elif word == ")" and inside is not None:
            groups.append(inside)
            inside = None
        elif word.isidentifier() or word == "1" or word == "...":
            (groups.append([word]) if inside is None else inside.append(word))
        else:
            raise ValueError(f"rearrange: cannot read {word!r} in the pattern {side.strip()!r}")
    if inside is not None:
        raise ValueError(f"rearrange: a parenthesis is not closed in {side.strip()!r}")
    return groups


def rearrange(tensor, pattern, **axes_lengths):
    """Axes split, moved and joined as a pattern says: `rearrange(x, "b (h w) c -> b h w c", h=8)`.

    Args:
        tensor: The array.
        pattern: The axes before and after `->` by name; those in parentheses lie in one axis, and
            `1` is an axis of size 1.
        axes_lengths: The sizes of axes that the pattern alone does not tell.
    """
    x = _numpy.tensor(tensor)
    if pattern.count("->") != 1 or "..." in pattern:
        raise ValueError("rearrange: expected a pattern of named axes with one '->'. Received: "
                         f"pattern={pattern!r}")
    left, right = (_groups(side) for side in pattern.split("->"))
    if len(left) != len(x.shape):
        raise ValueError(f"rearrange: the pattern {pattern!r} names {len(left)} axes. Received: "
                         f"an array of shape {tuple(x.shape)}")
    sizes = {"1": 1, **axes_lengths}
    for group, total in zip(left, x.shape):
        unknown = [name for name in group if name not in sizes]
        known = math.prod(sizes[name] for name in group if name in sizes)
        if len(unknown) > 1 or (known == 0 and unknown) or \
                (total % known if unknown else total != known):
            raise ValueError(f"rearrange: the sizes of {group} do not fit an axis of {total}. "
                             f"Received: pattern={pattern!r}, {axes_lengths}")
        for name in unknown:
            sizes[name] = total // known
    before = [name for group in left for name in group if name != "1"]
    after = [name for group in right for name in group if name != "1"]
    if sorted(before) != sorted(after) or len(set(before)) != len(before):
        raise ValueError("rearrange: both sides must name the same axes, each once. Received: "
                         f"pattern={pattern!r}")
    x = op.reshape(x, tuple(sizes[name] for name in before))
    x = _arrays.transpose(x, [before.index(name) for name in after])
    return op.reshape(x, tuple(math.prod(sizes[name] for name in group) for group in right))
