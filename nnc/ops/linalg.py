"""Norms, linear systems and decompositions.

NumPy's LAPACK computes the decompositions (see host.py); everything around them is ordinary ops.
Matrices are the last two axes, all axes before them are a batch.
"""
from .._core import op
from . import arrays, host, numpy as _numpy
from .core import cast_array, float_array, is_complex, many_axes

_INFINITY = float("inf")
_EPSILON = {"float32": 2.0 ** -23, "float64": 2.0 ** -52}


# ---- checks --------------------------------------------------------------------------------------

def _matrix(name, x, square=False, argument="x"):
    x = float_array(x)
    if len(x.shape) < 2 or (square and x.shape[-1] != x.shape[-2]):
        raise ValueError(f"{name}: `{argument}` must be a {'square ' if square else ''}matrix or a "
                         f"batch of them. Received: {argument}.shape={tuple(x.shape)}")
    if x.dtype not in _EPSILON:
        raise TypeError(f"{name}: `{argument}` must be of float32 or float64. Received: "
                        f"{argument}.dtype={x.dtype}")
    return x


def _system(name, a, b):
    """a (..., n, n) and b (..., n, k), and whether b was a vector (..., n)."""
    a, b = _matrix(name, a, True, "a"), float_array(b)
    dtype = "float64" if "float64" in (a.dtype, b.dtype) else a.dtype
    a, b = cast_array(a, dtype), cast_array(b, dtype)
    vector = len(b.shape) == len(a.shape) - 1
    if vector:
        b = op.reshape(b, (*b.shape, 1))
    if len(b.shape) != len(a.shape) or tuple(b.shape[:-1]) != tuple(a.shape[:-1]):
        raise ValueError(f"{name}: `b` must have the rows of `a`, and its rank or one less. "
                         f"Received: a.shape={tuple(a.shape)}, b.shape="
                         f"{tuple(b.shape[:-1] if vector else b.shape)}")
    return a, b, vector


# ---- linear systems ------------------------------------------------------------------------------

def cholesky(x, upper=False):
    """The triangular `l` with `l @ transpose(l) = x` (its transpose if `upper`), of positive
    definite matrices.

    Raises:
        ValueError: If a matrix is not positive definite.
    """
    x = _matrix("cholesky", x, True)
    lower = host.call("cholesky", x.shape, x.dtype, x)
    return host.transposed(lower) if upper else lower


def cholesky_inverse(x, upper=False):
    """The inverse of the matrix whose Cholesky factor `x` is (`upper`: the upper one)."""
    x = _matrix("cholesky_inverse", x, True)
    eye = op.broadcast_to(arrays.eye(x.shape[-1], dtype=x.dtype), tuple(x.shape))
    inverse = host.call("solve_triangular", x.shape, x.dtype, x, eye, 0 if upper else 1)
    return op.matmul(inverse, inverse, 0, 1) if upper else op.matmul(inverse, inverse, 1, 0)


def inv(x):
    """The inverse of square matrices.

    Raises:
        ValueError: If a matrix is singular.
    """
    x = _matrix("inv", x, True)
    return host.call("inv", x.shape, x.dtype, x)


def det(x):
    """The determinant of square matrices."""
    x = _matrix("det", x, True)
    return host.call("det", x.shape[:-2], x.dtype, x)


def slogdet(x):
    """The sign and the logarithm of the absolute value of the determinant of square matrices."""
    x = _matrix("slogdet", x, True)
    both = host.call("slogdet", (*x.shape[:-2], 2), x.dtype, x)
    return both[..., 0], both[..., 1]


def logdet(x):
    """The logarithm of the determinant of positive definite matrices, by `cholesky`."""
    diagonal = arrays.diagonal(cholesky(_matrix("logdet", x, True)), 0, -2, -1)
    return op.multiply(2.0, _numpy.sum(op.log(diagonal), -1))


def solve(a, b):
    """The `x` with `a @ x = b`, for square matrices `a`; `b` of matrices or of vectors.

    Raises:
        ValueError: If a matrix is singular.
    """
    a, b, vector = _system("solve", a, b)
    x = host.call("solve", b.shape, b.dtype, a, b)
    return op.reshape(x, tuple(x.shape[:-1])) if vector else x


def solve_triangular(a, b, lower=False):
    """As `solve`, reading only the upper (or `lower`) triangle of `a`."""
    a, b, vector = _system("solve_triangular", a, b)
    x = host.call("solve_triangular", b.shape, b.dtype, a, b, 1 if lower else 0)
    return op.reshape(x, tuple(x.shape[:-1])) if vector else x


# ---- decompositions ------------------------------------------------------------------------------

def lu_factor(x):
    """`(lu, p)`: both factors of square matrices in one (the ones on the diagonal of the lower one
    left out), and for each row of `x` where it went.
    """
    x = _matrix("lu_factor", x, True)
    return (host.call("lu", x.shape, x.dtype, x),
            host.call("lu_order", x.shape[:-1], "int32", op.stop_gradient(x)))


def qr(x, mode="reduced"):
    """`(q, r)` with `q @ r = x`, the columns of `q` orthonormal and `r` upper triangular.

    Args:
        x: Matrices of m rows and n columns.
        mode: `"reduced"` for min(m, n) columns of `q`, `"complete"` for m.
    """
    if mode not in ("reduced", "complete"):
        raise ValueError(f"qr: `mode` must be 'reduced' or 'complete'. Received: mode={mode!r}")
    x = _matrix("qr", x)
    m, n = x.shape[-2:]
    k = m if mode == "complete" else min(m, n)
    packed = host.call("qr", (*x.shape[:-2], m * k + k * n), x.dtype, x, int(mode == "complete"))
    return tuple(host.unpack(packed, (m, k), (k, n)))


def svd(x, full_matrices=True, compute_uv=True):
    """`(u, s, vh)` with `u @ diag(s) @ vh = x`, or `s` alone.

    With `full_matrices`, `u` and `vh` are square; then only `s` has a gradient unless `x` is
    square.
    """
    x = _matrix("svd", x)
    m, n = x.shape[-2:]
    k, batch = min(m, n), tuple(x.shape[:-2])
    if not compute_uv:
        return host.call("singular_values", (*batch, k), x.dtype, x)
    full = bool(full_matrices) and m != n
    rows, columns = (m, n) if full else (k, k)
    packed = host.call("svd", (*batch, m * rows + k + columns * n), x.dtype, x, int(full))
    u, s, vh = host.unpack(packed, (m, rows), (k,), (columns, n))
    return (u, svd(x, compute_uv=False) if full else s, vh)


def eigh(x):
    """`(values, vectors)` of symmetric matrices, smallest first; the lower triangle is read."""
    x = _matrix("eigh", x, True)
    n = x.shape[-1]
    packed = host.call("eigh", (*x.shape[:-2], n + n * n), x.dtype, x)
    return tuple(host.unpack(packed, (n,), (n, n)))


def eig(x):
    """`(values, vectors)` of square matrices; the vectors, of length 1, are the columns.

    The results are complex64, of float32 and of complex64. There is no complex128: those of float64
    are float64, and the eigenvalues must be real then.

    The gradient is that of distinct eigenvalues. A complex vector may be turned by any phase: the
    gradient is right for functions that do not depend on it.

    Raises:
        ValueError: If a matrix of float64 has complex eigenvalues.
    """
    x = float_array(x)
    pair = is_complex(x)
    inputs = [_matrix("eig", part, True) for part in ([op.real(x), op.imag(x)] if pair else [x])]
    n, dtype, parts = x.shape[-1], inputs[0].dtype, 1 if x.dtype == "float64" else 2
    packed = host.call("eig", (*x.shape[:-2], parts * (n + n * n)), dtype, *inputs, parts)
    return tuple(host.eig_parts(packed, n, parts))


def _cut_inverse(s, rcond):
    """1 / s for the singular values of at least `rcond` times the largest, 0 for the others."""
    largest = _numpy.max(s, -1, keepdims=True)
    kept = op.logical_and(op.greater_equal(s, op.multiply(largest, rcond)), op.greater(s, 0.0))
    return op.where(kept, op.divide(1.0, op.where(kept, s, 1.0)), 0.0)


def lstsq(a, b, rcond=None):
    """The `x` of least norm for which `a @ x` is nearest to `b`.

    Args:
        a: A matrix of m rows and n columns.
        b: A vector of m numbers or a matrix of m rows.
        rcond: Singular values below `rcond` times the largest count as 0. Defaults to the machine's
            precision times the larger of m and n.
    """
    a, b = float_array(a), float_array(b)
    if len(a.shape) != 2 or len(b.shape) not in (1, 2) or a.shape[0] != b.shape[0]:
        raise ValueError("lstsq: expected a matrix `a` and a vector or matrix `b` of as many rows. "
                         f"Received: a.shape={tuple(a.shape)}, b.shape={tuple(b.shape)}")
    a = _matrix("lstsq", a, argument="a")
    epsilon = _EPSILON[a.dtype]
    rcond = epsilon * max(a.shape) if rcond is None else epsilon if rcond < 0 else float(rcond)
    vector = len(b.shape) == 1
    b = op.reshape(b, (b.shape[0], 1)) if vector else b
    u, s, vh = svd(a, full_matrices=False)
    inverse = op.reshape(_cut_inverse(s, rcond), (s.shape[0], 1))
    x = op.matmul(vh, op.multiply(inverse, op.matmul(u, b, 1, 0)), 1, 0)
    return op.reshape(x, (x.shape[0],)) if vector else x


def pinv(x, rcond=None):
    """The pseudoinverse of matrices; singular values up to `rcond` times the largest count as 0.

    `rcond` defaults to 10 times the larger size times the machine's precision.
    """
    x = _matrix("pinv", x)
    rcond = 10.0 * max(x.shape[-2:]) * _EPSILON[x.dtype] if rcond is None else rcond
    u, s, vh = svd(x, full_matrices=False)
    inverse = _cut_inverse(s, rcond)
    inverse = op.reshape(inverse, (*inverse.shape[:-1], 1, inverse.shape[-1]))
    return op.matmul(op.multiply(host.transposed(vh), inverse), host.transposed(u), 0, 0)


def matrix_rank(x, tol=None):
    """How many singular values are above `tol`: by default the largest of them times the larger
    size times the machine's precision.
    """
    x = _matrix("matrix_rank", x)
    s = svd(x, compute_uv=False)
    if tol is None:
        tol = op.multiply(_numpy.max(s, -1, keepdims=True),
                          max(x.shape[-2:]) * _EPSILON[x.dtype])
    return _numpy.sum(cast_array(op.greater(s, tol), "int32"), -1)


# ---- norms ---------------------------------------------------------------------------------------

def norm(x, ord=None, axis=None, keepdims=False):
    """A norm of vectors (one axis) or matrices (two axes).

    Args:
        x: The array; integers are cast to `floatx()`.
        ord: `None` (the 2-norm of all elements, or Frobenius), a number or `inf`/`-inf` for
            vectors; `"fro"`, `"nuc"`, 1, -1, 2, -2, `inf` or `-inf` for matrices.
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
    if ord in ("nuc", 2, -2):
        s = svd(arrays.moveaxis(x, (row, column), (-2, -1)), compute_uv=False)
        reduce = _numpy.sum if ord == "nuc" else _numpy.max if ord == 2 else _numpy.min
        result = reduce(s, -1)
        return arrays.expand_dims(result, (row, column)) if keepdims else result
    reduce = _numpy.max if ord in (1, _INFINITY) else _numpy.min
    if ord in (1, -1):
        inner, outer = row, column
    elif ord in (_INFINITY, -_INFINITY):
        inner, outer = column, row
    else:
        raise ValueError("norm: `ord` must be None, 'fro', 'nuc', 1, -1, 2, -2, inf or -inf "
                         "for matrices. "
                         f"Received: ord={ord!r}")
    sums = _numpy.sum(_numpy.absolute(x), inner, keepdims=True)
    result = reduce(sums, outer, keepdims=True)
    return result if keepdims else arrays.squeeze(result, (row, column))


def __getattr__(name):
    if name == "jvp":               # beside the other functions of functions
        from .control import jvp

        return jvp
    raise AttributeError(f"module 'nnc.ops.linalg' has no attribute {name!r}")
