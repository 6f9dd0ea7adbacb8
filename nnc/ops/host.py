"""The functions of the op `host`: what NumPy computes (LAPACK, FFT), and their gradients.

A function takes arrays and the two whole numbers of the node and gives one array; what has several
results lays them flat behind one another in the last axis, so that a node has one output. A rule
takes the inputs, the output, its gradient, which inputs need one, and the numbers, and is made of
ordinary ops: gradients have gradients. Letters: `T` transposed, `d` before a name its gradient.

Sources: Giles 2008, "Collected matrix derivative results"; Murray 2016, arXiv:1602.07527
(Cholesky); Roberts and Roberts 2020, arXiv:2009.10071 (QR); Townsend 2016, "Differentiating the
singular value decomposition"; Seeger et al. 2017, arXiv:1710.08717 (eigenvectors).
"""
import numpy as np

from .. import _core
from .._core import op
from . import arrays


# ---- small forms ---------------------------------------------------------------------------------

def transposed(x):
    """The last two axes exchanged."""
    rank = len(x.shape)
    return op.transpose(x, (*range(rank - 2), rank - 1, rank - 2))


def _mm(*factors):
    result = factors[0]
    for factor in factors[1:]:
        result = op.matmul(result, factor, 0, 0)
    return result


def _column(v):
    """(..., n) as (..., n, 1)."""
    return op.reshape(v, (*v.shape, 1))


def _row(v):
    """(..., n) as (..., 1, n)."""
    return op.reshape(v, (*v.shape[:-1], 1, v.shape[-1]))


def _half_diagonal(n, dtype):
    """Ones below the diagonal, a half on it, zeros above."""
    mask = np.tril(np.ones((n, n)))
    mask[np.arange(n), np.arange(n)] = 0.5
    return _core.Tensor(mask, dtype)


def _diagonal_matrix(v):
    return op.multiply(_column(v), arrays.eye(v.shape[-1], dtype=v.dtype))


def _safe_inverse(x):
    """1 / x, and 0 where x is 0."""
    zero = op.equal(x, 0.0)
    return op.where(zero, 0.0, op.divide(1.0, op.where(zero, 1.0, x)))


def _differences(v):
    """1 / (v[j] - v[i]) at i, j; 0 where they are equal."""
    return _safe_inverse(op.subtract(_row(v), _column(v)))


def unpack(y, *shapes):
    """The arrays of these shapes that lie behind one another in the last axis of `y`."""
    parts, at = [], 0
    batch = tuple(y.shape[:-1])
    for shape in shapes:
        size = int(np.prod(shape, dtype=np.int64))
        parts.append(op.reshape(y[..., at:at + size], (*batch, *shape)))
        at += size
    return parts


def _pack(rank, *parts):
    """What unpack undoes; `rank`: how many leading axes are the batch."""
    return np.concatenate([p.reshape(*p.shape[:rank], int(np.prod(p.shape[rank:])))
                           for p in parts], -1)


def _lapack(name, function, *arguments, **options):
    """The function's result; its LinAlgError as a ValueError that names the op."""
    try:
        return function(*arguments, **options)
    except np.linalg.LinAlgError as error:
        raise ValueError(f"{name}: {_REASONS.get(name, str(error).lower())}") from None


_REASONS = {
    "cholesky": "the matrix is not positive definite",
    "inv": "the matrix is singular",
    "solve": "the matrix `a` is singular",
    "solve_triangular": "the matrix `a` has a zero on its diagonal",
}


# ---- linear systems ------------------------------------------------------------------------------

def _cholesky(a, *_):
    lower = _lapack("cholesky", np.linalg.cholesky, a)
    if not np.isfinite(lower).all():
        raise ValueError("cholesky: the matrix is not positive definite")
    return lower


def _cholesky_gradient(inputs, y, dy, need, *_):
    # a = l lT: da = sym(l^-T phi(lT dl) l^-1), phi the lower triangle with half its diagonal.
    phi = op.multiply(_mm(transposed(y), arrays.tril(dy)), _half_diagonal(y.shape[-1], y.dtype))
    left = call("solve_triangular", phi.shape, y.dtype, transposed(y), phi, 0)
    s = transposed(call("solve_triangular", phi.shape, y.dtype, transposed(y), transposed(left),
                        0))
    return [op.multiply(0.5, op.add(s, transposed(s)))]


def _inv(a, *_):
    return _lapack("inv", np.linalg.inv, a)


def _inv_gradient(inputs, y, dy, need, *_):
    return [op.negative(_mm(transposed(y), dy, transposed(y)))]


def _solve(a, b, *_):
    return _lapack("solve", np.linalg.solve, a, b)


def _solve_gradient(inputs, y, dy, need, *_):
    # a y = b: db = a^-T dy, da = -db yT
    a, b = inputs
    db = call("solve", y.shape, y.dtype, transposed(a), dy)
    da = op.negative(_mm(db, transposed(y)))
    return [op.sum_to(da, tuple(a.shape)) if need[0] else None,
            op.sum_to(db, tuple(b.shape)) if need[1] else None]


def _solve_triangular(a, b, lower, _):
    a = np.tril(a) if lower else np.triu(a)
    return _lapack("solve_triangular", np.linalg.solve, a, b)


def _solve_triangular_gradient(inputs, y, dy, need, lower, _):
    a, b = inputs
    db = call("solve_triangular", y.shape, y.dtype, transposed(a), dy, 1 - lower)
    da = op.negative(_mm(db, transposed(y)))
    da = arrays.tril(da) if lower else arrays.triu(da)
    return [op.sum_to(da, tuple(a.shape)) if need[0] else None,
            op.sum_to(db, tuple(b.shape)) if need[1] else None]


def _det(a, *_):
    return np.linalg.det(a)


def _det_gradient(inputs, y, dy, need, *_):
    a, = inputs
    scale = op.multiply(dy, y)
    return [op.multiply(_column(_column(scale)), transposed(call("inv", a.shape, a.dtype, a)))]


def _slogdet(a, *_):
    return np.stack(np.linalg.slogdet(a), -1)


def _slogdet_gradient(inputs, y, dy, need, *_):
    a, = inputs
    inverse = transposed(call("inv", a.shape, a.dtype, a))
    return [op.multiply(op.reshape(dy[..., 1], (*a.shape[:-2], 1, 1)), inverse)]


# ---- decompositions ------------------------------------------------------------------------------

def _lu_steps(a):
    """L and U in one square matrix, and the order of the rows: Doolittle with partial pivoting."""
    lu = a.reshape(-1, *a.shape[-2:]).copy()
    count, n = lu.shape[0], lu.shape[-1]
    order = np.tile(np.arange(n), (count, 1))
    each = np.arange(count)
    for k in range(n):
        pivot = k + np.argmax(np.abs(lu[:, k:, k]), 1)
        for rows in (lu, order):
            rows[each, k], rows[each, pivot] = rows[each, pivot], rows[each, k].copy()
        scale = lu[:, k, k]
        factors = lu[:, k + 1:, k] / np.where(scale == 0, 1, scale)[:, None]
        lu[:, k + 1:, k] = factors
        lu[:, k + 1:, k + 1:] -= factors[:, :, None] * lu[:, k, None, k + 1:]
    return lu.reshape(a.shape), order.reshape(a.shape[:-1])


def _lu(a, *_):
    return _lu_steps(a)[0]


def _lu_order(a, *_):
    return np.argsort(_lu_steps(a)[1], -1)


def _lu_gradient(inputs, y, dy, need, *_):
    # p a = l u: da = pT l^-T (strictly lower(lT dl) + upper(du uT)) u^-T
    a, = inputs
    n = a.shape[-1]
    eye = arrays.eye(n, dtype=y.dtype)
    lower, upper = op.add(arrays.tril(y, -1), eye), arrays.triu(y)
    inner = op.add(arrays.tril(_mm(transposed(lower), arrays.tril(dy, -1)), -1),
                   arrays.triu(_mm(arrays.triu(dy), transposed(upper))))
    left = call("solve_triangular", a.shape, y.dtype, transposed(lower), inner, 0)
    right = transposed(call("solve_triangular", a.shape, y.dtype, upper, transposed(left), 0))
    back = call("lu_order", a.shape[:-1], "int32", a)
    return [_mm(op.one_hot(back, n, -1, y.dtype), right)]


def _qr(a, complete, _):
    q, r = np.linalg.qr(a, "complete" if complete else "reduced")
    return _pack(a.ndim - 2, q, r)


def _qr_gradient(inputs, y, dy, need, complete, _):
    a, = inputs
    m, n = a.shape[-2:]
    if complete and m > n:
        raise NotImplementedError("qr: mode='complete' has no gradient for more rows than columns. "
                                  f"Received: x.shape={tuple(a.shape)}. Use mode='reduced'")
    k = min(m, n)
    (q, r), (dq, dr) = unpack(y, (m, k), (k, n)), unpack(dy, (m, k), (k, n))
    if m < n:       # a = (a1, a2) = q (u, v): v = qT a2
        dv, rest = dr[..., m:], a[..., m:]
        dq = op.add(dq, _mm(rest, transposed(dv)))
        return [op.concatenate(_qr_square(q, r[..., :m], dq, dr[..., :m]), _mm(q, dv), -1)]
    return [_qr_square(q, r, dq, dr)]


def _qr_square(q, r, dq, dr):
    # w = r drT - dqT q: da = (dq + q copy_lower(w)) r^-T
    w = op.subtract(_mm(r, transposed(dr)), _mm(transposed(dq), q))
    w = op.add(arrays.tril(w), transposed(arrays.tril(w, -1)))
    right = transposed(op.add(dq, _mm(q, w)))
    return transposed(call("solve_triangular", right.shape, r.dtype, r, right, 0))


def _svd(a, full, _):
    return _pack(a.ndim - 2, *_lapack("svd", np.linalg.svd, a, bool(full)))


def _svd_gradient(inputs, y, dy, need, full, _):
    a, = inputs
    m, n = a.shape[-2:]
    if full and m != n:
        raise NotImplementedError("svd: full_matrices=True has no gradient for u and v of a matrix "
                                  f"that is not square. Received: x.shape={tuple(a.shape)}. Use "
                                  "full_matrices=False")
    k = min(m, n)
    shapes = (m, k), (k,), (k, n)
    (u, s, vt), (du, ds, dvt) = unpack(y, *shapes), unpack(dy, *shapes)
    v, dv = transposed(vt), transposed(dvt)
    f = _differences(op.square(s))
    left, right = _mm(transposed(u), du), _mm(vt, dv)
    left = op.multiply(f, op.subtract(left, transposed(left)))
    right = op.multiply(f, op.subtract(right, transposed(right)))
    middle = op.add(op.add(op.multiply(left, _row(s)), op.multiply(_column(s), right)),
                    _diagonal_matrix(ds))
    inverse = _row(_safe_inverse(s))
    da = _mm(u, middle, vt)
    if m > k:
        rest = op.subtract(du, _mm(u, transposed(u), du))
        da = op.add(da, _mm(op.multiply(rest, inverse), vt))
    if n > k:
        rest = op.subtract(dv, _mm(v, vt, dv))
        da = op.add(da, _mm(u, transposed(op.multiply(rest, inverse))))
    return [da]


def _singular_values(a, *_):
    return _lapack("svd", np.linalg.svd, a, compute_uv=False)


def _singular_values_gradient(inputs, y, dy, need, *_):
    a, = inputs
    m, n = a.shape[-2:]
    k = min(m, n)
    packed = call("svd", (*a.shape[:-2], k * (m + n + 1)), a.dtype, a, a=0)
    u, _, vt = unpack(packed, (m, k), (k,), (k, n))
    return [_mm(op.multiply(u, _row(dy)), vt)]


def _eigh(a, *_):
    return _pack(a.ndim - 2, *_lapack("eigh", np.linalg.eigh, a))


def _eigh_gradient(inputs, y, dy, need, *_):
    # NumPy reads the lower triangle: what belongs above the diagonal is added below it.
    n = inputs[0].shape[-1]
    (w, v), (dw, dv) = unpack(y, (n,), (n, n)), unpack(dy, (n,), (n, n))
    middle = op.add(_diagonal_matrix(dw), op.multiply(_differences(w), _mm(transposed(v), dv)))
    g = _mm(v, middle, transposed(v))
    return [op.multiply(op.add(g, transposed(g)), _half_diagonal(n, y.dtype))]


def _eig(*arguments):
    # a, or its real and its imaginary part; parts: 2 where the results are complex, else 1
    *a, parts, _ = arguments
    w, v = _lapack("eig", np.linalg.eig, a[0] if len(a) == 1 else a[0] + 1j * a[1])
    if parts == 2:
        return _pack(a[0].ndim - 2, w.real, w.imag, v.real, v.imag)
    if np.iscomplexobj(w) and (w.imag.any() or v.imag.any()):
        raise ValueError("eig: the matrix has complex eigenvalues, and there is no complex128 for "
                         "those of float64. Cast `x` to float32, whose results are complex64")
    return _pack(a[0].ndim - 2, w.real, v.real)


def eig_parts(packed, n, parts):
    """Values (..., n) and vectors (..., n, n) of what _eig gives."""
    if parts == 1:
        return unpack(packed, (n,), (n, n))
    w_real, w_imag, v_real, v_imag = unpack(packed, (n,), (n,), (n, n), (n, n))
    return [op.complex(w_real, w_imag), op.complex(v_real, v_imag)]


def _same(x):
    return x


def _complex(x):
    return op.complex(x, op.multiply(x, 0.0))


def _linear(function, a, b):
    """`function(a, b)`, linear in b: of complex numbers on [[real, -imag], [imag, real]] and
    [real, imag]."""
    if a.dtype != "complex64":
        return function(a, b)
    n, real, imag = a.shape[-1], op.real(a), op.imag(a)
    whole = arrays.concatenate([arrays.concatenate([real, op.negative(imag)], -1),
                                arrays.concatenate([imag, real], -1)], -2)
    y = function(whole, arrays.concatenate([op.real(b), op.imag(b)], -2))
    return op.complex(y[..., :n, :], y[..., n:, :])


def _eig_gradient(inputs, y, dy, need, parts, _):
    # H: conjugate transposed, F[i,j] = 1/(w[j] - w[i]), dv's part along v taken off, since vectors
    # have length 1: da = v^-H (diag(dw) + conj(F) (vH dv - vH v diag(real(vH dv)))) vH
    n = inputs[0].shape[-1]
    (w, v), (dw, dv) = eig_parts(y, n, parts), eig_parts(dy, n, parts)
    eye = arrays.eye(n, dtype=y.dtype)
    gap = op.subtract(_row(w), _column(w))
    if parts == 1:
        conjugate = real = cast = _same
        equal = op.equal(gap, 0.0)
    else:
        conjugate, real, cast = op.conj, op.real, _complex
        equal = op.logical_and(op.equal(op.real(gap), 0.0), op.equal(op.imag(gap), 0.0))
    equal = op.cast(equal, y.dtype)             # 1 on the diagonal at least
    f = op.multiply(conjugate(op.reciprocal(op.add(gap, cast(equal)))),
                    cast(op.subtract(1.0, equal)))
    vh = conjugate(transposed(v))
    along, vdv = _linear(_mm, vh, v), _linear(_mm, vh, dv)
    length = cast(op.sum(op.multiply(real(vdv), eye), (-2,), False))
    middle = op.add(op.multiply(_column(dw), cast(eye)),
                    op.multiply(f, op.subtract(vdv, op.multiply(along, _row(length)))))
    da = _linear(lambda a, b: call("solve", b.shape, b.dtype, a, b), vh, _linear(_mm, middle, vh))
    return [da] if parts == 1 else [op.real(da), op.imag(da)][:len(inputs)]


# ---- Fourier transforms: (2, ..., n), the real parts and the imaginary ones ----------------------

def _parts(z):
    return np.stack([z.real, z.imag])


def _fft(z, axes, inverse):
    """Over the last `axes` axes, without a factor both ways."""
    z, where = z[0] + 1j * z[1], tuple(range(-axes, 0))
    return _parts(np.fft.ifftn(z, axes=where, norm="forward") if inverse
                  else np.fft.fftn(z, axes=where))


def _fft_gradient(inputs, y, dy, need, axes, inverse):
    # The adjoint of a matrix f is its conjugate transposed: the transform the other way.
    return [call("fft", dy.shape, dy.dtype, dy, axes, 1 - inverse)]


def _rfft(x, *_):
    return _parts(np.fft.rfft(x))


def _rfft_gradient(inputs, y, dy, need, *_):
    n = inputs[0].shape[-1]
    missing = n - dy.shape[-1]
    full = op.pad(dy, (0,) * (2 * len(dy.shape) - 1) + (missing,), 0.0) if missing else dy
    return [call("fft", full.shape, dy.dtype, full, 1, 1)[0]]


def _irfft(z, n, _):
    return np.fft.irfft(z[0] + 1j * z[1], n)


def _irfft_gradient(inputs, y, dy, need, n, _):
    # Each bin stands for two, but for the first and, where n is even, the last.
    weight = np.full(n // 2 + 1, 2.0 / n)
    weight[0] = 1.0 / n
    if n % 2 == 0:
        weight[-1] = 1.0 / n
    bins = call("rfft", inputs[0].shape, dy.dtype, dy)
    return [op.multiply(bins, _core.Tensor(weight, dy.dtype))]


# ---- categories: whole numbers ----------------------------------------------------------------------

def _hash(x, key, bins, salted):
    hashes = _core.hash_integers(np.ascontiguousarray(x, "int64"), bins,
                                 tuple(key.tolist()) if salted else None)
    return hashes.reshape(x.shape)


def _cross(x, bins, _):
    return _core.cross_integers(np.ascontiguousarray(x, "int64"), bins)


def _refuse_unknown(x, unknown, *_):
    if unknown.any():
        raise ValueError("IntegerLookup: with num_oov_indices=0 all inputs must be in the "
                         f"vocabulary. Received: {x[unknown].flat[0]}")
    return np.zeros_like(x)


# ---- the table -----------------------------------------------------------------------------------

_TABLE = {
    "cholesky": (_cholesky, _cholesky_gradient),
    "inv": (_inv, _inv_gradient),
    "solve": (_solve, _solve_gradient),
    "solve_triangular": (_solve_triangular, _solve_triangular_gradient),
    "det": (_det, _det_gradient),
    "slogdet": (_slogdet, _slogdet_gradient),
    "lu": (_lu, _lu_gradient),
    "lu_order": (_lu_order, None),
    "qr": (_qr, _qr_gradient),
    "svd": (_svd, _svd_gradient),
    "singular_values": (_singular_values, _singular_values_gradient),
    "eigh": (_eigh, _eigh_gradient),
    "eig": (_eig, _eig_gradient),
    "fft": (_fft, _fft_gradient),
    "rfft": (_rfft, _rfft_gradient),
    "irfft": (_irfft, _irfft_gradient),
    "hash": (_hash, None),
    "cross": (_cross, None),
    "refuse_unknown": (_refuse_unknown, None),
}
NUMBERS = {name: number for number, name in enumerate(_TABLE)}
_core._host_register(tuple(row[0] for row in _TABLE.values()),
                     tuple(row[1] for row in _TABLE.values()))


def call(name, shape, dtype, *arguments, a=None, b=None):
    """Runs or records a function of the table; whole numbers behind the arrays are its `a` and `b`.
    """
    inputs = [x for x in arguments if type(x) is not int]
    numbers = [x for x in arguments if type(x) is int]
    numbers += [n for n in (a, b) if n is not None]
    numbers += [0] * (2 - len(numbers))
    return op.host(*inputs, tuple(shape), NUMBERS[name], *numbers, dtype)
