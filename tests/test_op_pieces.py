"""Ops on more elements than a piece has: what moves data, sorting, common powers, beside NumPy, bit
for bit."""
import numpy as np
import pytest

from nnc._core import op


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def bits(tensor):
    return tensor.numpy().tobytes()


X = numbers(70, 300, 3)
MOVES = {
    "copy": (lambda: op.copy(X), lambda: X),
    "slice": (lambda: op.slice(X, (3, 0, 0, 70, 299, 3, 2, 3, 1)), lambda: X[3:70:2, 0:299:3]),
    "slice backwards": (lambda: op.slice(X, (69, 299, 2, -1, -1, -1, -1, -1, -1)),
                        lambda: X[::-1, ::-1, ::-1]),
    "pad": (lambda: op.pad(X, (1, 0, 2, 0, 5, 1), 0.5),
            lambda: np.pad(X, ((1, 0), (0, 5), (2, 1)), constant_values=0.5)),
    "concatenate 0": (lambda: op.concatenate(X, X[:5], X, 0),
                      lambda: np.concatenate([X, X[:5], X], 0)),
    "concatenate 1": (lambda: op.concatenate(X, X[:, :7], X[:, :0], X, 1),
                      lambda: np.concatenate([X, X[:, :7], X], 1)),
    "concatenate -1": (lambda: op.concatenate(X, X[..., :1], -1),
                       lambda: np.concatenate([X, X[..., :1]], -1)),
    "isnan": (lambda: op.isnan(np.sqrt(X * X - 1)), lambda: np.isnan(np.sqrt(X * X - 1))),
    "logical_not": (lambda: op.logical_not(X > 0), lambda: X <= 0),
    "where": (lambda: op.where(X > 0, X, -1.0), lambda: np.where(X > 0, X, np.float32(-1))),
    "fill": (lambda: op.fill((70, 900), 2.0, "float32"), lambda: np.full((70, 900), 2, "f4")),
}


@pytest.mark.parametrize("name", MOVES)
def test_what_moves_elements(name, threads):
    with np.errstate(invalid="ignore"):
        ours, theirs = MOVES[name][0](), MOVES[name][1]()
    assert ours.shape == theirs.shape and bits(ours) == theirs.tobytes()


def test_unslice_is_zero_elsewhere(threads):
    ranges, part = (3, 0, 0, 70, 299, 3, 2, 3, 1), X[3:70:2, 0:299:3]
    want = np.zeros_like(X)
    want[3:70:2, 0:299:3] = part
    assert bits(op.unslice(part, ranges, *X.shape, *[0] * 5)) == want.tobytes()


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_one_hot(axis, threads):
    labels = np.random.default_rng(1).integers(-2, 12, (300, 40))
    want = np.moveaxis((labels[..., None] == np.arange(10)).astype("float32"), -1, axis)
    assert bits(op.one_hot(labels, 10, axis, "float32")) == np.ascontiguousarray(want).tobytes()


# ---- sorting -------------------------------------------------------------------------------------

def sortable(dtype, n):
    rng = np.random.default_rng(n)
    if dtype == "bool":
        return rng.integers(0, 2, n).astype(bool)
    if np.dtype(dtype).kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, n, dtype=dtype, endpoint=True)
    return np.round(rng.normal(size=n) * 3, 1).astype(dtype)


def with_odd(x):
    """Zeros of both signs, NaN of both signs and infinities at many places."""
    odd = np.array([0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf], x.dtype)
    x = x.copy()
    x[::3] = odd[np.arange(len(x[::3])) % 6]
    return x


def stable_order(x, descending):
    """Largest first keeps the order of equals too, and puts NaN first."""
    key = np.where(x == 0, 0, x) if x.dtype.kind == "f" else x
    if not descending:
        return np.argsort(key, kind="stable")
    return len(x) - 1 - np.argsort(key[::-1], kind="stable")[::-1]


DTYPES = ("float32", "float64", "float16", "int8", "uint8", "int16", "uint16", "int32", "uint32",
          "int64", "uint64", "bool")


@pytest.mark.parametrize("descending", [0, 1])
@pytest.mark.parametrize("n", [1, 47, 49, 5000])
@pytest.mark.parametrize("dtype", DTYPES)
def test_sorting_is_stable_and_keeps_every_bit(dtype, n, descending):
    x = sortable(dtype, n)
    for values in (x, with_odd(x)) if x.dtype.kind == "f" else (x,):
        order = stable_order(values, descending)
        assert np.array_equal(op.argsort(values, 0, descending).numpy(), order)
        assert bits(op.sort(values, 0, descending)) == values[order].tobytes()
        top, places = op.top_k(values, n // 3)
        first = stable_order(values, True)[:n // 3]
        assert np.array_equal(places.numpy(), first) and bits(top) == values[first].tobytes()


@pytest.mark.parametrize("axis", [0, 1])
def test_sorting_along_any_axis(axis, threads):
    x = numbers(130, 170)
    assert bits(op.sort(x, axis, 0)) == np.sort(x, axis).tobytes()
    assert np.array_equal(op.argsort(x, axis, 0).numpy(), np.argsort(x, axis, kind="stable"))


# ---- powers --------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("exponent", [2.0, 3.0, 0.5])
def test_common_powers(exponent, dtype):
    """A cube of float32 is two products: the first one's half a unit may become a whole one. Roots
    and squares are exact to half a unit, C's pow to one. Neighbours change nothing."""
    odd = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -2.0, 1e30, 1e-30, 1e-12, -1e-12])
    x = np.concatenate([odd, numbers(99) * 5]).astype(dtype)
    with np.errstate(all="ignore"):
        want = x.astype("longdouble") ** np.longdouble(exponent)
        same = op.power(x, np.asarray(exponent, dtype)).numpy()
        rounded = want.astype(dtype)
        finite = np.isfinite(rounded) & (abs(rounded) > np.finfo(dtype).tiny)
        assert np.array_equal(same[~finite], rounded[~finite], equal_nan=True)
        error = abs(same - want)[finite] / np.spacing(abs(rounded[finite]))
    assert error.max() <= ((1.5 if dtype == "float32" else 1.0) if exponent == 3 else 0.5)
    mixed = np.resize(np.array([exponent, 1.7, 3.0], dtype), len(x))
    beside = op.power(x, mixed).numpy()
    assert same[::3].tobytes() == beside[::3].tobytes()
