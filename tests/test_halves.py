"""float16 and bfloat16: each op on them is the float32 op on the widened numbers, rounded once."""
import numpy as np
import pytest

from nnc import _core, ops
from nnc._core import Graph, Program, Variable, op
from reference import ROWS
from test_bf16_products import TILED

ml_dtypes = pytest.importorskip("ml_dtypes")
HALVES = {"bfloat16": np.dtype(ml_dtypes.bfloat16), "float16": np.dtype("float16")}
# Ops of NumPy's functions, and what keeps a generator's state: neither has arithmetic of ours.
NAMES = [name for name in _core.op_table if name != "host"]


@pytest.fixture(params=HALVES)
def half(request):
    return HALVES[request.param]


def tuple_of(result):
    return tuple(result) if isinstance(result, (tuple, list)) else (
        () if result is None else (result,))


def run(name, inputs, attributes, record=False):
    """What the written inputs hold afterwards, then the outputs, as arrays."""
    effects = ROWS[name].effects
    variables, fed = [Variable(a) for a in inputs[:effects]], inputs[effects:]
    function = getattr(op, name)
    if not record:
        outputs = tuple_of(function(*variables, *fed, *attributes))
    else:
        graph = Graph()
        with graph:
            symbols = [graph.input(a.shape, str(a.dtype)) for a in fed]
            outputs = tuple_of(function(*variables, *symbols, *attributes))
        outputs = Program(graph, outputs)(*fed) if symbols or variables else outputs
    return [v.numpy() for v in variables] + [y.numpy() for y in outputs]


def same(got, want, half):
    assert len(got) == len(want)
    for a, b in zip(got, want):
        b = b.astype(half) if b.dtype == "float32" and a.dtype == half else b
        assert a.dtype == b.dtype and a.shape == b.shape
        nan = a != a
        np.testing.assert_array_equal(nan, b != b)
        assert np.where(nan, 0, a).astype(a.dtype).tobytes() == \
            np.where(nan, 0, b).astype(b.dtype).tobytes(), (a, b)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:.*(overflow|invalid value) encountered")
def test_an_op_is_the_float32_one_rounded(name, half):
    for inputs, attributes in ROWS[name].cases:
        if not any(a.dtype == "float64" for a in inputs):
            continue
        narrow = [a.astype(half) if a.dtype == "float64" else a for a in inputs]
        wide = [a.astype("float32") if a.dtype == half else a for a in narrow]
        got = run(name, narrow, attributes)
        same(run(name, narrow, attributes, record=True), got, half)
        if name != "bitcast":
            same(got, run(name, wide, attributes), half)


PRODUCTS = [(1, 300, 50), (5, 7, 9), (33, 700, 65), (130, 257, 96), (300, 33, 101), (64, 3, 1), (40, 784, 10),
            (3, 784, 20), (33, 300, 1), (2, 300, 3)]


@pytest.mark.parametrize("turned", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_products_at_each_level_and_on_any_threads(half, turned):
    """As the float32 product of the widened numbers, rounded: bit for bit. Levels with products of
    bfloat16 of their own sum in another order (test_bf16_products.py)."""
    rng = np.random.default_rng(1)
    level, threads = _core.isa(), _core.get_num_threads()
    try:
        for name in _core.isa_available():
            if half.name == "bfloat16" and name in TILED:
                continue
            _core.set_isa(name)
            for m, k, n in PRODUCTS:
                a = rng.standard_normal((k, m) if turned[0] else (m, k)).astype(half)
                b = rng.standard_normal((n, k) if turned[1] else (k, n)).astype(half)
                bias = rng.standard_normal(n).astype(half)
                wide = [x.astype("float32") for x in (a, b, bias)]
                want = [op.matmul(*wide[:2], *turned).numpy()]
                if turned == (0, 0):
                    want.append(op.dense(*wide, -1, 0.0).numpy())
                for count in (1, 2, 3, 8):
                    _core.set_num_threads(count)
                    got = [op.matmul(a, b, *turned).numpy()]
                    if turned == (0, 0):
                        got.append(op.dense(a, b, bias, -1, 0.0).numpy())
                    same(got, want, half)
    finally:
        _core.set_isa(level)
        _core.set_num_threads(threads)


def test_every_half_is_widened_and_narrowed_alike_at_each_level(half):
    """All 65536 of them, and the floats between two of them."""
    bits = np.arange(65536, dtype="uint16")
    wide = bits.view(half).astype("float32")
    level = _core.isa()
    with np.errstate(all="ignore"):
        between = (wide[:-1].astype("float64") + wide[1:]) / 2
        floats = np.concatenate([wide, between.astype("float32"),
                                 np.nextafter(wide, np.float32(np.inf))])
        narrow = floats.astype(half)
    try:
        for name in _core.isa_available():
            _core.set_isa(name)
            same([ops.cast(bits.view(half), "float32").numpy()], [wide], half)
            same([ops.cast(floats, half.name).numpy()], [narrow], half)
    finally:
        _core.set_isa(level)


def test_uniform_numbers_stay_below_their_bound(half):
    state = np.uint32([3, 0])
    for low, high in ((0.0, 1.0), (-2.0, -1.0), (-1.0, 0.0)):
        y = op.random_uniform(state, (40000,), low, high, half.name).numpy().astype("float32")
        assert y.min() >= low and y.max() < high
        assert abs(y.mean() - (low + high) / 2) < 0.02      # a unit in the last place, 7 sigmas
