"""The instruction set levels against one another and the definition, through ops: products of all
sizes, accuracy of functions in units in the last place, and bits that depend on no position."""
import math

import numpy as np
import pytest

from nnc import _core
from nnc._core import op
from reference import ROWS, UNARY

# What simd/math.h states for sigmoid, exp, log, tanh, erf; 2 for other functions of one formula,
# more where a product follows one. The reference's own error, of float64, is nothing beside these.
LIMITS = {"sigmoid": 1.7, "exp": 0.9, "log": 0.8, "tanh": 1.3, "erf": 1.4, "silu": 3, "log2": 2.5,
          "log10": 2.5}
FUNCTIONS = {
    "exp": (np.exp, -85, 88), "log": (np.log, 1e-30, 1e30), "log1p": (np.log1p, -0.999, 1e6),
    "expm1": (np.expm1, -20, 80), "tanh": (np.tanh, -12, 12),
    "sigmoid": (UNARY["sigmoid"][0], -80, 80),
    "erf": (UNARY["erf"][0], -4, 4), "sin": (np.sin, -100, 100), "cos": (np.cos, -100, 100),
    "sqrt": (np.sqrt, 0, 1e30), "silu": (UNARY["silu"][0], -80, 80), "log2": (np.log2, 1e-30, 1e30),
    "log10": (np.log10, 1e-30, 1e30), "reciprocal": (np.reciprocal, 1e-30, 1e30),
}


def sweep(low, high, dtype):
    """Numbers over a range: evenly, over the magnitudes, and about 0 and 1."""
    even = np.linspace(low, high, 4001)
    magnitudes = np.geomspace(max(low, 1e-30), high, 2001)
    about = np.concatenate([1 + np.geomspace(1e-7, 0.5, 301), 1 - np.geomspace(1e-7, 0.5, 301)])
    x = np.concatenate([even, magnitudes, -magnitudes, about, -about]).astype(dtype)
    return x[(x >= low) & (x <= high)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_accuracy_in_float32(isa, name):
    """Against float64, in units in the last place of the float32 result."""
    function, low, high = FUNCTIONS[name]
    x = sweep(low, high, "float32")
    with np.errstate(divide="ignore"):
        want = np.asarray(function(x.astype("float64"),
                                   *([0] if name in ("sigmoid", "erf", "silu") else [])))
    got = getattr(op, name)(x).numpy().astype("float64")
    unit = np.spacing(np.maximum(abs(want),
                                 np.finfo("float32").tiny).astype("float32")).astype("float64")
    same = (got == want) | (np.isinf(got) & (abs(want) > np.finfo("float32").max))
    ulp = np.where(same, 0, abs(np.where(same, 0, got) - np.where(same, 0, want)) / unit)
    assert ulp.max() <= LIMITS.get(name, 2), f"{ulp.max():.2f} ulp at {x[ulp.argmax()]!r}"


@pytest.mark.parametrize("name",
                         ["exp", "log", "log1p", "expm1", "tanh", "sigmoid", "erf", "sin", "cos"])
def test_accuracy_in_float64(isa, name):
    """Against math's functions, which are within a unit themselves."""
    _, low, high = FUNCTIONS[name]
    x = sweep(low, high, "float64")[::7]
    function = {"sigmoid": lambda v: 1 / (1 + math.exp(-v))
                if v > 0 else math.exp(v) / (1 + math.exp(v))}.get(
        name, getattr(math, name, None))
    want = np.array([function(v) for v in x.tolist()])
    ulp = abs(getattr(op, name)(x).numpy() - want) / np.spacing(np.maximum(abs(want), 1e-300))
    assert ulp.max() <= 5, f"{ulp.max():.2f} ulp at {x[ulp.argmax()]!r}"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_edges_of_the_range(isa, dtype):
    info = np.finfo(dtype)
    x = np.array([info.max, -info.max, info.tiny, info.tiny / 4, info.smallest_subnormal, 0.0, -0.0,
                  np.inf,
                  -np.inf, np.nan], dtype)
    with np.errstate(all="ignore"):
        for name, function in [("exp", np.exp), ("sqrt", np.sqrt), ("floor", np.floor),
                               ("ceil", np.ceil),
                               ("round", np.rint), ("absolute", np.abs), ("negative", np.negative),
                               ("reciprocal", np.reciprocal), ("square", np.square)]:
            np.testing.assert_array_equal(getattr(op, name)(x).numpy(), function(x), err_msg=name)
        np.testing.assert_allclose(op.log(x).numpy(), np.log(x), rtol=4 * info.eps)
        assert op.tanh(x).numpy()[[0, 1, 7, 8]].tolist() == [1, -1, 1, -1]
        assert op.sigmoid(x).numpy()[[0, 1, 7, 8]].tolist() == [1, 0, 1, 0]
        assert np.signbit(op.tanh(x).numpy()[6]) and np.signbit(op.negative(x).numpy()[5])


# ---- no element's bits depend on where it stands -------------------------------------------------

def lengths():
    """Around the lanes of each level: 4, 8, 16 of them, with full vectors before."""
    return sorted({n for lanes in (2, 4, 8, 16)
                   for n in (1, lanes - 1, lanes, lanes + 1, 3 * lanes + 5)})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_do_not_depend_on_the_position(isa, dtype):
    x = np.linspace(0.1, 2.9, 70).astype(dtype)
    y = x[::-1].copy()
    for name in UNARY:
        whole = getattr(op, name)(x, 0.5).numpy()
        gradient = getattr(op, f"{name}_grad")(x, whole, y, 0.5).numpy()
        for n in lengths():
            for start in (0, 1, 3):
                part = slice(start, start + n)
                alone = getattr(op, name)(x[part], 0.5).numpy()
                assert whole[part].tobytes() == alone.tobytes(), (name, n)
                part_gradient = getattr(op, f"{name}_grad")(x[part], whole[part], y[part],
                                                            0.5).numpy()
                assert gradient[part].tobytes() == part_gradient.tobytes(), (name, n)
    for name in ("add", "divide", "maximum", "power", "mod", "arctan2", "floor_divide", "less"):
        whole = getattr(op, name)(x, y).numpy()
        for n in lengths():
            part = getattr(op, name)(x[3:3 + n], y[3:3 + n]).numpy()
            assert whole[3:3 + n].tobytes() == part.tobytes(), (name, n)


# ---- products ------------------------------------------------------------------------------------

SIZES = [(1, 1, 1), (1, 784, 20), (2, 5, 3), (5, 1, 7), (6, 16, 16), (7, 17, 15), (13, 33, 31),
         (31, 64, 33),
         (32, 784, 20), (97, 129, 63), (128, 128, 128), (145, 300, 111), (3, 1000, 2),
         (200, 3, 200), (1, 64, 1),
         (64, 1, 64), (17, 513, 130)]


def check_product(got, a, b, dtype):
    """A sum of k products is off by at most (k + 1) / 2 units of sum |a| |b|: half one a step."""
    a, b = a.astype("float64"), b.astype("float64")
    limit = (a.shape[-1] + 1) / 2 * np.finfo(dtype).eps * (abs(a) @ abs(b))
    assert (abs(got - a @ b) <= limit + 1e-300).all()


@pytest.mark.parametrize("m, k, n", SIZES)
def test_products_of_odd_sizes(isa, m, k, n):
    rng = np.random.default_rng(m * n + k)
    for dtype in ("float32", "float64"):
        a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
        plain = op.matmul(a, b, 0, 0).numpy()
        check_product(plain, a, b, dtype)
        at, bt = np.ascontiguousarray(a.T), np.ascontiguousarray(b.T)
        for got in (op.matmul(at, b, 1, 0), op.matmul(a, bt, 0, 1), op.matmul(at, bt, 1, 1)):
            check_product(got.numpy(), a, b, dtype)


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 7, 12, 13, 33, 100])
def test_a_row_does_not_depend_on_the_rows_beside_it(isa, rows):
    rng = np.random.default_rng(0)
    for k, n in ((20, 20), (784, 20), (64, 130), (300, 10), (7, 1)):
        x = rng.normal(size=(100, k)).astype("float32")
        w, bias = rng.normal(size=(k, n)).astype("float32"), rng.normal(size=n).astype("float32")
        whole, dense = op.matmul(x, w).numpy(), op.dense(x, w, bias, "relu").numpy()
        for start in {0, 1, 100 - rows}:
            part = slice(start, start + rows)
            if part.stop <= 100:
                assert op.matmul(x[part], w).numpy().tobytes() == whole[part].tobytes()
                assert op.dense(x[part], w, bias, "relu").numpy().tobytes() == dense[part].tobytes()


@pytest.mark.parametrize("activation", [None, *UNARY])
def test_dense_is_its_parts_bit_for_bit(isa, activation):
    rng = np.random.default_rng(1)
    for m, k, n in ((1, 5, 3), (9, 20, 17), (64, 33, 40)):
        x, w, b = (rng.uniform(0.1, 1, s).astype("float32") for s in ((m, k), (k, n), (n,)))
        parts = op.add(op.matmul(x, w), b)
        if activation:
            parts = getattr(op, activation)(parts, 0.5)
        assert op.dense(x, w, b, activation, 0.5).numpy().tobytes() == parts.numpy().tobytes()


def test_nan_in_one_row_stays_there(isa):
    x, w = np.ones((40, 30), "float32"), np.ones((30, 20), "float32")
    x[17, 3], w[4, 9] = np.nan, np.inf
    y = op.matmul(x, w).numpy()
    assert np.isnan(y[17]).all() and np.isinf(np.delete(y, 17, 0)[:, 9]).all()
    assert (np.delete(np.delete(y, 17, 0), 9, 1) == 30).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_levels_agree_on_every_op(isa, dtype):
    """The rows of the table with their own tolerances, on each level."""
    from test_ops import check_values, in_dtype
    for name, row in ROWS.items():
        for inputs, attributes in row.cases[:12]:
            check_values(name, in_dtype(inputs, dtype), attributes, f"{dtype} on {isa}")


def test_random_bits_are_the_same_on_all_levels():
    before = _core.isa()
    seen = set()
    try:
        for level in _core.isa_available():
            _core.set_isa(level)
            state = np.array([5, 9], "uint32")
            seen.add(op.random_uniform(state, (7, 33), 0.0, 1.0, "float32").numpy().tobytes()
                     + op.random_integers(state, (100,), 0, 10, "int32").numpy().tobytes()
                     + op.dropout(np.ones(1000, "float32"), state, 0.3).numpy().tobytes())
    finally:
        _core.set_isa(before)
    assert len(seen) == 1
