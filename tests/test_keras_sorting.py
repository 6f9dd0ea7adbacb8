"""The ops of nnc/ops/{elementwise,sorting,indexing}.py beside `keras.ops` on TensorFlow: values,
shapes, dtypes, parameters and gradients; beside NumPy where Keras on TensorFlow has a gap.
"""
import inspect
import math

import numpy as np
import pytest
from live import keras, same, values

import nnc

rng = np.random.default_rng(11)
A = rng.normal(size=(3, 4)).astype("float32")
B = rng.normal(size=(3, 4)).astype("float32")
UNIT = rng.uniform(-0.95, 0.95, (3, 4)).astype("float32")
ABOVE = (1.0 + rng.random((3, 4)) * 3 + 0.1).astype("float32")
CUBE = rng.normal(size=(2, 3, 4)).astype("float32")
INT = rng.integers(-4, 5, (3, 4)).astype("int32")
COUNT = rng.integers(0, 6, (3, 4)).astype("int32")
BYTE = rng.integers(0, 200, (3, 4)).astype("uint8")
BOOL = rng.random((3, 4)) < 0.5
HOLES = np.where(BOOL, A, np.nan).astype("float32")
HOLES[1] = np.nan
SPECIAL = np.array([np.nan, np.inf, -np.inf, 1.0, -0.0, 0.0, -2.0], "float32")
IDS = np.array([2, 0, 2], "int32")
EDGES = np.array([-1.0, 0.0, 0.5, 1.0], "float32")
PLACES = np.array([[0, 1], [2, 3], [0, 1]], "int32")


def every(*names, over=(A,), extra=()):
    return [(name, (x, *extra), {}) for name in names for x in over]


AXES = [{"axis": axis, "keepdims": keepdims} for axis in (None, 0, (0, -1))
        for keepdims in (False, True)]
CALLS = [
    *every("arccos", "arcsin", "arctanh", "erfinv", over=(UNIT,)),
    *every("arctan", "arcsinh", "sinh", "cosh", "deg2rad", "rad2deg", "exp2", "erfc", "sinc", "i0",
           "angle", over=(A,)),
    *every("arccosh", over=(ABOVE,)), *every("cbrt", over=(ABOVE, INT)),
    *every("arctan", "sinh", "deg2rad", "exp2", over=(INT,)),
    *every("arctan2", "hypot", "fmax", "fmin", "fmod", "heaviside", "logaddexp2", "nextafter",
           over=(A,), extra=(B,)),
    *every("arctan2", "hypot", "heaviside", over=(INT,), extra=(COUNT,)),
    *every("fmod", over=(INT,), extra=(3,)), ("fmod", (INT, -3), {}), ("fmax", (HOLES, B), {}),
    ("fmin", (HOLES, B), {}), ("ldexp", (A, INT), {}),
    *every("gcd", "lcm", over=(INT,), extra=(COUNT,)),
    *every("bitwise_and", "bitwise_or", "bitwise_xor", over=(INT, COUNT), extra=(COUNT,)),
    *every("left_shift", "right_shift", "bitwise_left_shift", "bitwise_right_shift", over=(INT,),
           extra=(COUNT,)),
    *every("bitwise_not", "bitwise_invert", over=(INT, BYTE)),
    *every("signbit", "isposinf", "isneginf", over=(SPECIAL, INT)),
    *every("isreal", "real", "imag", "conj", "conjugate", over=(A,)),
    ("view", (A,), {"dtype": "int32"}), ("view", (BYTE,), {"dtype": "uint32"}),
    ("view", (INT,), {"dtype": "uint8"}), ("select", ([A > 0, A < -0.5], [A, B], 7.0), {}),
    *[(name, (x,), {"axis": axis}) for name in ("cumsum", "cumprod", "nancumsum", "nancumprod")
      for x in (A, INT) for axis in (None, 0, -1)],
    ("cumsum", (BOOL,), {"axis": 1}), ("cumsum", (INT,), {"axis": 1, "dtype": "float32"}),
    ("nancumsum", (HOLES,), {"axis": 0}), ("nancumprod", (HOLES,), {"axis": 1}),
    *[(name, (x,), {"axis": axis}) for name in ("sort", "argsort") for x in (CUBE, INT)
      for axis in (None, 0, -1)],
    ("top_k", (CUBE, 2), {}), ("top_k", (INT, 3), {}), ("top_k", (A, 1), {"sorted": False}),
    ("searchsorted", (EDGES, A[0]), {}), ("searchsorted", (EDGES, EDGES), {"side": "right"}),
    ("digitize", (A, EDGES), {}), ("digitize", (INT, np.array([-1, 2], "int32")), {}),
    ("isin", (INT, np.array([1, -2, 9], "int32")), {}), ("isin", (INT, [1, -2]), {"invert": True}),
    ("bincount", (COUNT[0],), {}), ("bincount", (COUNT[0],), {"minlength": 9}),
    ("bincount", (COUNT,), {}), ("bincount", (COUNT[0],), {"weights": A[0]}),
    ("histogram", (A[0],), {}), ("histogram", (A[0],), {"bins": 4, "range": (-1.0, 1.0)}),
    ("nonzero", (INT,), {}),
    *[("median", (CUBE,), arguments) for arguments in AXES],
    *[("quantile", (CUBE, q), arguments) for q in (0.3, [0.0, 0.5, 1.0]) for arguments in AXES],
    *[("quantile", (A, 0.4), {"axis": 1, "method": method})
      for method in ("lower", "higher", "nearest", "midpoint")],
    ("percentile", (A, 30.0), {"axis": 0}), ("percentile", (A, [10.0, 90.0]), {}),
    ("nanmedian", (HOLES,), {"axis": 1}), ("nanquantile", (HOLES, 0.3), {"axis": 0}),
    ("nanpercentile", (HOLES, 30.0), {}),
    *[(name, (HOLES,), {"axis": axis, "keepdims": keepdims})
      for name in ("nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nanmax", "nanmin",
                   "nanargmax", "nanargmin") for axis in (None, 1) for keepdims in (False, True)],
    *every("nansum", "nanmax", "nanmean", "nanargmin", over=(INT,)),
    ("scatter", (PLACES, A[0, :3], (3, 4)), {}), ("scatter", (PLACES[:, :1], A, (5, 4)), {}),
    ("scatter", (PLACES, INT[0, :3], (3, 4)), {}),
    ("scatter_update", (A, PLACES[:2], B[0, :2]), {}),
    *[("scatter_update", (A, PLACES, B[0, :3]), {"reduction": reduction})
      for reduction in ("add", "max", "min", "mul")],
    ("scatter_update", (INT, PLACES[:2, :1], COUNT[:2]), {}),
    *[(f"segment_{how}", (x, IDS), {"num_segments": count}) for how in ("sum", "max", "min", "prod")
      for x in (A, INT) for count in (3, 4)],
    ("segment_max", (A, np.array([0, -1, 1], "int32")), {"num_segments": 2}),
    ("segment_sum", (A, np.array([0, -1, 1], "int32")), {"num_segments": 2}),
    ("segment_sum", (A, np.array([0, 0, 1], "int32")), {"sorted": True}),
    ("unravel_index", (np.array([0, 5, 11], "int32"), (3, 4)), {}),
    ("array_split", (A, 3), {"axis": 1}), ("vsplit", (A, 3), {}),
    ("hsplit", (A, 2), {}), ("hsplit", (A[0], [1, 3]), {}), ("dsplit", (CUBE, 2), {}),
    ("dstack", ([A, B],), {}), ("dstack", ([CUBE, CUBE],), {}), ("fliplr", (A,), {}),
    ("flipud", (A,), {}), *[("rot90", (A,), {"k": k}) for k in (1, 3, -1)],
    ("diagflat", (A[:2, :2],), {"k": -1}), ("diff", (CUBE,), {}),
    ("diff", (INT,), {"n": 2, "axis": 0}), ("kron", (A[:2, :2], B[:2, :3]), {}),
    ("kron", (INT[:2, :2], COUNT[:2, :3]), {}), ("vander", (A[0],), {}),
    ("vander", (INT[0],), {"N": 3, "increasing": True}), ("cross", (A[:, :3], B[:, :3]), {}),
    ("cross", (A[:, :2], B[:, :3]), {}), ("cross", (CUBE, CUBE[::-1].copy()), {"axis": 1}),
    ("trapezoid", (A,), {"dx": 0.5}), ("trapezoid", (A,), {"x": B, "axis": -1}),
    ("trapezoid", (CUBE,), {"axis": 1}), ("corrcoef", (A,), {}),
    *[("correlate", (A[0], B[0, :n]), {"mode": mode}) for n in (2, 3, 4)
      for mode in ("valid", "same", "full")],
    ("correlate", (A[0, :2], B[0]), {"mode": "full"}),
    ("cdist", (A, B[:2]), {}), ("logspace", (0.0, 2.0), {"num": 5}),
    ("logspace", (0.0, 3.0), {"num": 4, "base": 2, "endpoint": False}),
    ("geomspace", (1.0, 100.0), {"num": 5}),
    *[(name, (n,), {}) for name in ("bartlett", "blackman", "hamming", "hanning") for n in (1, 6)],
    ("kaiser", (7, 4.0), {}), ("rearrange", (CUBE, "a b c -> c (a b)"), {}),
    ("rearrange", (CUBE, "a b (h w) -> (a h) b w"), {"h": 2}),
]
#: where keras.ops on TensorFlow wants tensors, not arrays
ARRAYS_ALLOWED = {"dstack", "select", "isin"}


def flat(result):
    return list(result) if isinstance(result, (list, tuple)) else [result]


@pytest.mark.parametrize("name, positional, arguments", CALLS,
                         ids=[f"{i}-{name}" for i, (name, _, _) in enumerate(CALLS)])
def test_same_as_keras(name, positional, arguments):
    theirs = positional
    if name not in ARRAYS_ALLOWED:
        theirs = [keras.ops.convert_to_tensor(x) if isinstance(x, np.ndarray) else x
                  for x in positional]
    wanted = flat(getattr(keras.ops, name)(*theirs, **arguments))
    got = flat(getattr(nnc.ops, name)(*positional, **arguments))
    assert len(got) == len(wanted)
    for ours, other in zip(got, wanted):
        # rtol: a dozen float32 roundings, and TensorFlow's polynomials of some ulp.
        same(ours, other, rtol=5e-6, atol=2e-6)


def test_same_parameters_as_keras():
    for name in {name for name, _, _ in CALLS}:
        ours, theirs = ({k: p.default for k, p in
                         inspect.signature(getattr(module, name)).parameters.items()}
                        for module in (nnc.ops, keras.ops))
        assert ours == theirs, name


# ---- gradients as TensorFlow has them ------------------------------------------------------------

GRADIENTS = [
    ("sort", lambda o, x: o.sort(x, axis=0)), ("top_k", lambda o, x: o.top_k(x, 2)[0]),
    ("cumsum", lambda o, x: o.cumsum(x, axis=1)), ("cumprod", lambda o, x: o.cumprod(x, axis=0)),
    ("quantile", lambda o, x: o.quantile(x, 0.3, axis=1)),
    ("median", lambda o, x: o.median(x, axis=0)),
    ("scatter", lambda o, x: o.scatter(o.convert_to_tensor(PLACES[:, :1]), x, (3, 4))),
    ("scatter_update", lambda o, x: o.scatter_update(x, o.convert_to_tensor(PLACES[:2]),
                                                     o.sin(x)[0, :2])),
    *[(f"segment_{how}", lambda o, x, how=how: getattr(o, f"segment_{how}")(
        x, o.convert_to_tensor(IDS), 3)) for how in ("sum", "max", "min", "prod")],
    ("take_along_axis", lambda o, x: o.take_along_axis(x, o.convert_to_tensor(COUNT % 3), axis=0)),
    ("sinc", lambda o, x: o.sinc(x)),
    ("erfinv", lambda o, x: o.erfinv(x * 0.3)), ("cross", lambda o, x: o.cross(x[:, :3], B[:, :3])),
]


@pytest.mark.parametrize("name, function", GRADIENTS, ids=[name for name, _ in GRADIENTS])
def test_gradient_is_tensorflows(name, function):
    import tensorflow as tf
    z, x = tf.constant(A), nnc.ops.convert_to_tensor(A)
    with tf.GradientTape() as theirs:
        theirs.watch(z)
        wanted = keras.ops.sum(keras.ops.sin(function(keras.ops, z)))
    with nnc.GradientTape() as ours:
        ours.watch(x)
        got = nnc.ops.sum(nnc.ops.sin(function(nnc.ops, x)))
    same(ours.gradient(got, x), theirs.gradient(wanted, z), rtol=2e-5, atol=5e-6)


def test_gradients_with_zeros_among_the_factors():
    """Where TensorFlow's cumprod divides by 0, the definition: products of the others."""
    x = nnc.ops.convert_to_tensor(np.array([2.0, 0.0, 3.0, 0.0, 0.0, 1.5]))
    with nnc.GradientTape(persistent=True) as tape:
        tape.watch(x)
        running = nnc.ops.sum(nnc.ops.cumprod(x))
        joined = nnc.ops.sum(nnc.ops.segment_prod(x, np.array([0, 0, 0, 1, 1, 2]), 3))
    np.testing.assert_allclose(values(tape.gradient(running, x)), [1, 2 + 6, 0, 0, 0, 0])
    np.testing.assert_allclose(values(tape.gradient(joined, x)), [0, 6, 0, 0, 0, 1])


# ---- beside NumPy: what Keras on TensorFlow lacks or does otherwise ------------------------------

BESIDE_NUMPY = [
    ("sort", (SPECIAL,), {}), ("argsort", (np.array([3, 1, 3, 1, 2] * 30),), {}),
    ("argsort", (SPECIAL,), {}), ("quantile", (HOLES, 0.5), {"axis": 0}),
    ("median", (HOLES,), {"axis": 1}), ("unravel_index", (np.array([[0, 5], [11, 2]]), (3, 4)), {}),
    ("searchsorted", (EDGES, A), {}), ("histogram", (CUBE,), {"bins": 7}),
    ("array_split", (A, [1, 2]), {}),
    *every("bitwise_and", "bitwise_or", "bitwise_xor", over=(BOOL,), extra=(BOOL[::-1],)),
    *[("rot90", (CUBE,), {"k": k, "axes": axes}) for k in (1, 2, 3) for axes in ((0, 1), (2, 1))],
    ("unique", (INT,), {}), ("unique", (INT % 2,), {"axis": 0}),
    ("unique", (INT,), {"return_index": True, "return_inverse": True, "return_counts": True}),
    ("cross", (A[:, :2], B[:, 2:]), {}), ("geomspace", (-8.0, -1.0), {"num": 4}),
    ("sinc", (np.array([0.0, 1e-30, 1.0, 2.0, 1e6], "float32"),), {}),
    ("i0", (np.array([0.0, -3.0, 19.9, 20.1, 88.0], "float32"),), {}),
    ("cbrt", (np.array([-27.0, -1e-30, 0.0], "float32"),), {}),
    ("hypot", (np.array([3e38, 1e-40], "float32"), np.array([1e38, 1e-40], "float32")), {}),
    ("ldexp", (np.array([1e-38, 3e38], "float32"), np.array([252, -270])), {}),
    ("digitize", (np.array([np.nan, np.inf, -np.inf], "float32"), EDGES), {}),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name, positional, arguments", BESIDE_NUMPY,
                         ids=[f"{i}-{name}" for i, (name, _, _) in enumerate(BESIDE_NUMPY)])
def test_same_as_numpy(name, positional, arguments):
    function = getattr(np, name)
    if name == "argsort":
        arguments = {"kind": "stable"}
    wanted = flat(function(*positional, **arguments))
    got = flat(getattr(nnc.ops, name)(*positional, **{k: v for k, v in arguments.items()
                                                      if k != "kind"}))
    assert len(got) == len(wanted)
    for ours, other in zip(got, wanted):
        ours = values(ours)
        assert ours.shape == np.shape(other)
        np.testing.assert_allclose(ours, other, rtol=2e-6, atol=1e-6 if name == "sinc" else 0)


def test_long_rows_sort_as_numpy_does():
    """Radix sort, selection, several pieces: lengths about the limits between them."""
    for n in (47, 48, 49, 1000, 20000):
        for dtype in ("float32", "float64", "int8", "int64", "uint16"):
            x = (rng.normal(size=(3, n)) * 50).astype(dtype)
            np.testing.assert_array_equal(values(nnc.ops.sort(x)), np.sort(x))
            np.testing.assert_array_equal(values(nnc.ops.argsort(x)),
                                          np.argsort(x, kind="stable"))
            for k in (1, 5, n // 2):
                top, places = nnc.ops.top_k(x, k)
                np.testing.assert_array_equal(values(top), np.sort(x)[:, ::-1][:, :k])
                np.testing.assert_array_equal(
                    values(places), n - 1 - np.argsort(x[:, ::-1], kind="stable")[:, ::-1][:, :k])


def test_sparsemax_is_the_nearest_point_of_the_simplex():
    """By bisection for the threshold. Keras's sums are not 1: it adds up running sums."""
    for x, axis in ((A, -1), (CUBE * 3, 1)):
        low, high = x.max(axis, keepdims=True) - 1.0, x.max(axis, keepdims=True)
        for _ in range(60):
            middle = (low + high) / 2
            over = np.maximum(x - middle, 0).sum(axis, keepdims=True) > 1
            low, high = np.where(over, middle, low), np.where(over, high, middle)
        np.testing.assert_allclose(values(nnc.ops.sparsemax(x, axis)), np.maximum(x - low, 0),
                                   atol=2e-6)
        np.testing.assert_array_equal(values(nnc.activations.sparsemax(x, axis)),
                                      values(nnc.ops.sparsemax(x, axis)))


def test_vectorize_and_unique_of_a_size():
    double = nnc.ops.vectorize(lambda a, b: nnc.ops.add(a, nnc.ops.multiply(b, 2.0)))
    np.testing.assert_allclose(values(double(A, B[0])), A + 2 * B[0], rtol=1e-6)
    assert values(nnc.ops.unique(np.array([3, 1, 3]), size=4)).tolist() == [1, 3, 1, 1]
    assert values(nnc.ops.unique(np.array([3, 1, 3]), size=3, fill_value=9)).tolist() == [1, 3, 9]
    assert values(nnc.ops.unique(np.array([3, 1, 3]), size=1)).tolist() == [1]


BAD = [
    (lambda o: o.cumsum(A, axis=2), "cumsum: axis 2"), (lambda o: o.sort(A, axis=5), "sort: axis"),
    (lambda o: o.top_k(A, 5), "top_k: k must be 0 to 4"),
    (lambda o: o.searchsorted(A, A), "searchsorted: `sorted_sequence` must have one axis"),
    (lambda o: o.searchsorted(EDGES, A, side="middle"), "searchsorted: `side`"),
    (lambda o: o.quantile(A, 0.5, method="cubic"), "quantile: `method`"),
    (lambda o: o.median(np.zeros((0, 2), "float32"), axis=0), "median: nothing to reduce"),
    (lambda o: o.bitwise_and(A, A), "bitwise_and: expected integers"),
    (lambda o: o.gcd(A, 2), "gcd: expected integers"),
    (lambda o: o.ldexp(A, B), "ldexp: `x2` must be of an integer dtype"),
    (lambda o: o.view(A[0, 0], "int8"), "bitcast"),
    (lambda o: o.scatter(PLACES, A, (3, 4)), "scatter: expected values of shape"),
    (lambda o: o.scatter(np.array([[9, 0]]), A[0, :1], (3, 4)), "take_grad: index"),
    (lambda o: o.scatter_update(A, PLACES, B[0, :3], reduction="sub"), "`reduction`"),
    (lambda o: o.segment_sum(A, np.array([0, 1]), 2), "segment_sum: `segment_ids`"),
    (lambda o: o.segment_max(A, np.array([0, 7, 1]), 2), "segment_max: index 7"),
    (lambda o: o.rot90(A[0]), "rot90"), (lambda o: o.dsplit(A, 2), "dsplit: expected at least 3"),
    (lambda o: o.cross(A, A), "cross: vectors"), (lambda o: o.correlate(A, B), "correlate"),
    (lambda o: o.histogram(A, bins=2.5), "histogram: `bins`"),
    (lambda o: o.histogram(A, range=(2, 1)), "histogram: `range`"),
    (lambda o: o.bincount(A), "bincount: `x` must be integers"),
    (lambda o: o.bincount(np.array([-1, 2])), "index -1"),
    (lambda o: o.rearrange(A, "a b -> a"), "rearrange: both sides"),
    (lambda o: o.rearrange(A, "a (b c) -> a b c", b=3), "rearrange: the sizes"),
    (lambda o: o.select([], []), "select"), (lambda o: o.vander(A), "vander"),
    (lambda o: o.array_split(A, 0), "array_split"),
    (lambda o: o.vectorize(math.sin, signature="()->()"), "vectorize"),
]


@pytest.mark.parametrize("call, text", BAD, ids=[text for _, text in BAD])
def test_errors_name_the_op(call, text):
    with pytest.raises((ValueError, TypeError, IndexError, NotImplementedError), match=text):
        call(nnc.ops)
