"""Norms. Decompositions (solve, qr, svd ...) are not here yet."""
from . import arrays, numpy as _numpy
from .core import cast_array, float_array, many_axes

_INFINITY = float("inf")


def norm(x, ord=None, axis=None, keepdims=False):
    """A norm of vectors (one axis) or matrices (two axes).

    Args:
        x: The array; integers are cast to `floatx()`.
        ord: `None` (the 2-norm of all elements, or Frobenius), a number or `inf`/`-inf` for
            vectors; `"fro"`, 1, -1, `inf` or `-inf` for matrices.
        axis: Integer, pair of integers or `None`: everything flattened if `ord` is `None`.
        keepdims: Whether reduced axes stay with size 1.

    Raises:
        ValueError: If `ord` is not one of those, or does not fit the number of axes.
    """
    x = float_array(x)
    axes = many_axes("norm", axis, len(x.shape))
    if ord is None or (ord == "fro" and len(axes) == 2):
        return _numpy.sqrt(_numpy.sum(_numpy.square(x), axes, keepdims))
    if len(axes) == 1:
        return _vector_norm(x, ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, ord, axis if axis is not None else axes, keepdims)
    raise ValueError(f"norm: one axis or two with ord={ord!r}. Received: axis={axis}, "
                     f"x.shape={tuple(x.shape)}")


def _vector_norm(x, ord, axes, keepdims):
    if isinstance(ord, str):
        raise ValueError(f"norm: `ord` must be a number for vectors. Received: ord={ord!r}")
    if ord == 2:
        return _numpy.sqrt(_numpy.sum(_numpy.square(x), axes, keepdims))
    x = _numpy.absolute(x)
    if ord == _INFINITY:
        return _numpy.max(x, axes, keepdims)
    if ord == -_INFINITY:
        return _numpy.min(x, axes, keepdims)
    if ord == 0:
        return _numpy.sum(cast_array(_numpy.not_equal(x, 0), x.dtype), axes, keepdims)
    if ord == 1:
        return _numpy.sum(x, axes, keepdims)
    return _numpy.power(_numpy.sum(_numpy.power(x, float(ord)), axes, keepdims), 1.0 / ord)


def _matrix_norm(x, ord, axis, keepdims):
    rank = len(x.shape)
    row, column = (many_axes("norm", a, rank)[0] for a in axis)
    reduce = _numpy.max if ord in (1, _INFINITY) else _numpy.min
    if ord in (1, -1):
        inner, outer = row, column
    elif ord in (_INFINITY, -_INFINITY):
        inner, outer = column, row
    else:
        raise ValueError("norm: `ord` must be None, 'fro', 1, -1, inf or -inf for matrices. "
                         f"Received: ord={ord!r}")
    sums = _numpy.sum(_numpy.absolute(x), inner, keepdims=True)
    result = reduce(sums, outer, keepdims=True)
    return result if keepdims else arrays.squeeze(result, (row, column))
