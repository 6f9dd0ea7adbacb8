"""Properties for any shapes: broadcasting, reductions, products, moves and picks against NumPy."""
import numpy as np
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from nnc import _core
from nnc._core import op
from nnc._core import Graph, Program

# Derandomized: a run that fails fails again. No deadline: others may have the processor.
settings.register_profile("nnc", max_examples=80, deadline=None, derandomize=True, database=None)
settings.load_profile("nnc")

side = st.integers(0, 9)
wide = st.sampled_from([0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 65])
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9)
dtypes = st.sampled_from(["float32", "float64", "int32", "int64", "uint8"])


def numbers(shape, dtype, seed=0):
    x = np.random.default_rng(seed).normal(size=shape) * 5
    return np.asarray(abs(x) if dtype == "uint8" else x).astype(dtype)


def same(got, want):
    got = got.numpy()
    assert got.shape == want.shape
    np.testing.assert_array_equal(got, want)


@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=7, min_side=0), dtypes)
def test_broadcasting(pair, dtype):
    a, b = (numbers(shape, dtype, i) for i, shape in enumerate(pair.input_shapes))
    for name in ("add", "subtract", "multiply", "maximum", "minimum", "less", "equal"):
        with np.errstate(all="ignore"):
            want = getattr(np, name)(a, b)
        same(getattr(op, name)(a, b), want)
    same(op.where(a > b, a, b), np.where(a > b, a, b))


@given(shapes, shapes)
def test_shapes_that_do_not_broadcast_are_refused_as_numpy_does(a, b):
    try:
        want = np.broadcast_shapes(a, b)
    except ValueError:
        want = None
    try:
        got = op.add(np.zeros(a, "float32"), np.zeros(b, "float32")).shape
    except ValueError as error:
        assert str(a) in str(error) and str(b) in str(error)
        got = None
    assert got == want


@given(st.data(), shapes, st.booleans(), dtypes)
def test_reductions(draws, shape, keepdims, dtype):
    axes = tuple(draws.draw(st.lists(st.integers(0, len(shape) - 1), unique=True))) if shape else ()
    signed = tuple(a - len(shape) if draws.draw(st.booleans()) else a for a in axes)
    x = numbers(shape, dtype)
    axis = axes or None
    got = op.sum(x, signed, keepdims).numpy()
    want = np.sum(x.astype("float64"), axis, keepdims=keepdims)
    # n additions round n times at most; integers wrap at 64 bits, which these do not reach
    limit = x.size * np.finfo(dtype).eps * np.sum(abs(x), axis,
                                                  keepdims=keepdims) if "float" in dtype else 0
    assert got.shape == want.shape and (abs(got - want) <= limit).all()
    if x.size:
        same(op.max(x, signed, keepdims), np.max(x, axis, keepdims=keepdims))
        same(op.min(x, signed, keepdims), np.min(x, axis, keepdims=keepdims))
    same(op.any(x, signed, keepdims), np.any(x, axis, keepdims=keepdims))
    same(op.all(x, signed, keepdims), np.all(x, axis, keepdims=keepdims))


@given(st.data(), hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=9))
def test_argmax_over_any_axis(draws, shape):
    axis = draws.draw(st.integers(-len(shape), len(shape) - 1))
    x = numbers(shape, "int32") % 4                 # many ties: the first counts
    same(op.argmax(x, axis, 0), np.argmax(x, axis))
    same(op.argmin(x.astype("float32"), axis, 0), np.argmin(x, axis))


@given(wide, wide, wide, st.booleans(), st.booleans(), st.sampled_from(["float32", "float64"]))
def test_products(m, k, n, turn_a, turn_b, dtype):
    # whole numbers: every sum is exact, in any order
    rng = np.random.default_rng((m, k, n))
    a, b = (rng.integers(-9, 10, s).astype(dtype) for s in ((m, k), (k, n)))
    want = a.astype("float64") @ b.astype("float64")
    same(op.matmul(np.ascontiguousarray(a.T) if turn_a else a,
                   np.ascontiguousarray(b.T) if turn_b else b,
                   turn_a, turn_b), want.astype(dtype))


@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3, min_side=0), side,
       side, side)
def test_products_of_stacks(pair, m, k, n):
    a, b = pair.input_shapes
    x, y = (np.rint(numbers(s, "float32", 1)) for s in ((*a, m, k), (*b, k, n)))
    same(op.matmul(x, y), np.matmul(x.astype("float64"), y.astype("float64")).astype("float32"))


@given(st.data(), shapes, dtypes)
def test_transposes(draws, shape, dtype):
    perm = tuple(draws.draw(st.permutations(range(len(shape)))))
    x = numbers(shape, dtype)
    same(op.transpose(x, perm), x.transpose(perm))


@given(st.data(), hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=9), dtypes)
def test_indexing(draws, shape, dtype):
    x = numbers(shape, dtype)
    key = draws.draw(hnp.basic_indices(shape, allow_newaxis=True, max_dims=6))
    same(_core.Tensor(x)[key], x[key])


@given(st.data(), hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=7))
def test_picks(draws, shape):
    axis = draws.draw(st.integers(-len(shape), len(shape) - 1))
    indices = draws.draw(hnp.arrays("int64",
                                    hnp.array_shapes(min_dims=0, max_dims=2, min_side=0,
                                                     max_side=5),
                                    elements=st.integers(0, shape[axis] - 1)))
    x = numbers(shape, "float32")
    same(op.take(x, indices, axis), np.take(x, indices, axis))


@given(st.data(), st.lists(side, min_size=1, max_size=4), shapes.filter(bool))
def test_concatenations(draws, sizes, shape):
    axis = draws.draw(st.integers(-len(shape), len(shape) - 1))
    parts = []
    for i, size in enumerate(sizes):
        one = list(shape)
        one[axis] = size
        parts.append(numbers(one, "float32", i))
    same(op.concatenate(*parts, axis), np.concatenate(parts, axis))


@given(st.data(), shapes)
def test_reshapes(draws, shape):
    x = numbers(shape, "float32")
    target = draws.draw(st.sampled_from([shape[::-1], (x.size,), (1, *shape), (*shape, 1)]))
    same(op.reshape(x, target), x.reshape(target))


@given(shapes, st.sampled_from(["float32", "float64"]), st.integers(0, 2**32 - 1),
       st.integers(0, 2**32 - 1))
def test_random_numbers_are_parts_of_one_stream(shape, dtype, seed, step):
    """A smaller draw is the beginning of a larger one; all lie in the range."""
    state, size = np.array([seed, step], "uint32"), int(np.prod(shape))
    whole = op.random_uniform(state, (size + 50,), -2.0, 3.0, dtype).numpy()
    same(op.random_uniform(state, shape, -2.0, 3.0, dtype), whole[:size].reshape(shape))
    assert (whole >= -2).all() and (whole < 3).all()
    whole = op.random_normal(state, (size + 50,), 0.0, 1.0, dtype).numpy()
    same(op.random_normal(state, shape, 0.0, 1.0, dtype), whole[:size].reshape(shape))


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 30), st.booleans())
def test_replays_take_the_rows_they_should(rows, batch, first, ordered):
    source = np.arange(2 * rows, dtype="float32").reshape(rows, 2)
    order = np.random.default_rng(rows).permutation(rows) if ordered else None
    steps = max(0, rows - first) // batch
    graph = Graph()
    with graph:
        y = op.add(graph.input((batch, 2), "float32"), 1.0)
    out = np.zeros((steps * batch, 2), "float32")
    assert Program(graph, [y]).replay([source], order, min(first, rows), steps, [out]) == steps
    picked = (np.arange(rows) if order is None else order)[first:first + steps * batch]
    np.testing.assert_array_equal(out, source[picked] + 1)
