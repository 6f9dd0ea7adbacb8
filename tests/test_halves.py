"""float16 and bfloat16: each op on them is the float32 op on the widened numbers, rounded once."""
import numpy as np
import pytest

from nnc import _core, ops
from nnc._core import Graph, Program, Variable, op
from reference import ROWS

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
