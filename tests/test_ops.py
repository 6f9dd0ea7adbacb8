"""The op table row by row against tests/reference: values, gradients, recording, refusals."""
import warnings

import numpy as np
import pytest

from nnc import _core
from nnc._core import Graph, Program, Tape, Tensor, Variable, op
from reference import ROWS, UNARY

NAMES = list(_core.op_table)
DIFFERENTIABLE = [name for name in NAMES if name in ROWS and ROWS[name].wrt]


def test_each_op_has_a_reference_and_nothing_else_does():
    assert set(NAMES) == set(ROWS) == set(_core.op_names)


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


def tuple_of(result):
    return tuple(result) if isinstance(result,
                                       (tuple, list)) else () if result is None else (result,)


def in_dtype(inputs, dtype):
    return [a.astype(dtype) if a.dtype == "float64" else a for a in inputs]


def eager(name, inputs, attributes):
    """What the written inputs hold afterwards, then the outputs, as arrays."""
    effects = ROWS[name].effects
    variables = [Variable(a) for a in inputs[:effects]]
    outputs = tuple_of(getattr(op, name)(*variables, *inputs[effects:], *attributes))
    return [v.numpy() for v in variables] + [y.numpy() for y in outputs]


def recorded(name, inputs, attributes):
    """The same through a trace and a program."""
    effects = ROWS[name].effects
    variables = [Variable(a) for a in inputs[:effects]]
    fed = inputs[effects:]
    graph = Graph()
    with graph:
        symbols = [graph.input(a.shape, a.dtype.name) for a in fed]
        outputs = tuple_of(getattr(op, name)(*variables, *symbols, *attributes))
    outputs = Program(graph, outputs)(*fed) if symbols or variables else outputs
    return [v.numpy() for v in variables] + [y.numpy() for y in outputs]


def expected(name, inputs, attributes):
    wide = [a.astype("float64") if a.dtype == "float32" else a for a in inputs]
    return [np.asarray(y) for y in tuple_of(ROWS[name].function(*wide, *attributes))]


def same_bits(ours, theirs):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        assert a.shape == b.shape and a.dtype == b.dtype
        assert a.tobytes() == b.tobytes(), (a, b)


def check_values(name, inputs, attributes, dtype):
    """Within `units` roundings of the dtype, relative to the result and the row's scale."""
    row = ROWS[name]
    wide = [a.astype("float64") if a.dtype == "float32" else a for a in inputs]
    scale = row.scale(*wide, *attributes) if callable(row.scale) else row.scale
    for got, want in zip(eager(name, inputs, attributes), expected(name, inputs, attributes),
                         strict=True):
        assert got.shape == want.shape
        if want.dtype.kind != "f" or got.dtype.kind != "f":
            np.testing.assert_array_equal(got, want)
            continue
        unit = np.finfo(got.dtype).eps
        size = abs(want) + (scale if np.ndim(scale) == 0
                            or np.shape(scale) == want.shape else np.max(scale, initial=0))
        error = abs(got.astype("float64") - want)
        wrong = ~((error <= row.units * unit * size) | (got == want)
                  | (np.isnan(got) & np.isnan(want)))
        worst = np.max(error[wrong] / (unit * size[wrong]), initial=0)
        assert not wrong.any(), (f"{name}{attributes} in {dtype}: {got[wrong][:3]} is not "
                                 f"{want[wrong][:3]}, {worst} units off")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values(name, dtype):
    for inputs, attributes in ROWS[name].cases:
        check_values(name, in_dtype(inputs, dtype), attributes, dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_dtypes_of_results(name, dtype):
    row = ROWS[name]
    if row.gives is None:                       # an attribute says it
        for inputs, attributes in row.cases:
            assert eager(name, in_dtype(inputs, dtype), attributes)[0].dtype == attributes[-1]
        return
    inputs, attributes = row.cases[-1]
    results = eager(name, in_dtype(inputs, dtype), attributes)[row.effects:]
    assert tuple(y.dtype.name for y in results) == row.gives(dtype)


@pytest.mark.parametrize("name", [name for name in NAMES if name in ROWS and ROWS[name].exact])
def test_exact_dtypes(name):
    row = ROWS[name]
    for dtype in row.exact:
        for inputs, attributes in row.exact_cases(row, dtype):
            gives = row.gives(dtype) if row.gives else (attributes[-1],)
            with np.errstate(all="ignore"):
                wants = expected(name, inputs, attributes)
            gots = eager(name, inputs, attributes)
            assert tuple(y.dtype.name for y in gots[row.effects:]) == gives
            for got, want in zip(gots, wants, strict=True):
                np.testing.assert_array_equal(got, want.astype(got.dtype),
                                              err_msg=f"{name} of {dtype}")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_recorded_is_eager_bit_for_bit(name, dtype):
    for inputs, attributes in ROWS[name].cases:
        inputs = in_dtype(inputs, dtype)
        same_bits(recorded(name, inputs, attributes), eager(name, inputs, attributes))


@pytest.mark.parametrize("name", [name for name in NAMES if name in ROWS and ROWS[name].refused])
def test_refusals_name_the_op(name):
    label = "sparse_categorical_crossentropy"       # the public name, for labels out of range
    for inputs, attributes, error in ROWS[name].refused:
        for call in (eager, recorded):
            with pytest.raises(error) as caught:
                call(name, inputs, attributes)
            assert name in str(caught.value) or (error is IndexError and label in str(caught.value))
    eager(name, *ROWS[name].cases[0])               # and the next call is as good as ever


# ---- gradients -----------------------------------------------------------------------------------

def real_of(result):
    """The outputs of floating point: indices beside them have no gradient."""
    return tuple(y for y in tuple_of(result) if y.dtype.startswith("float"))


def taped(function, inputs, wrt, seeds):
    """d sum(seeds * function(inputs)) / d inputs[wrt], as tensors; records on outer tapes too."""
    tape = Tape()
    for i in wrt:
        tape.watch(inputs[i])
    tape.push()
    try:
        outputs = real_of(function(*inputs))
    finally:
        tape.pop()
    return tape.gradients(outputs, [inputs[i] for i in wrt], seeds)


def weights(outputs):
    """Fixed numbers to weigh outputs with."""
    return [Tensor(np.cos(np.arange(y.size) * 1.7 + k).reshape(y.shape))
            for k, y in enumerate(outputs)]


def weighed(function, inputs, seeds):
    return sum(float(np.sum(y.numpy() * c.numpy()))
               for y, c in zip(real_of(function(*inputs)), seeds))


def check_gradient(function, inputs, wrt, label):
    """Against central differences: with h = 1e-5 their error is about h^2 + 1e-16 / h, some 1e-10
    of the size of the numbers; 1e-6 leaves room for third derivatives of up to thousands."""
    tensors = [Tensor(a) for a in inputs]
    seeds = weights(real_of(function(*tensors)))
    gradients = taped(function, tensors, wrt, seeds)
    for i, gradient in zip(wrt, gradients):
        got = np.zeros(inputs[i].shape) if gradient is None else gradient.numpy()
        want = np.zeros(inputs[i].shape)
        assert got.shape == want.shape and got.dtype == "float64"
        for at in np.ndindex(want.shape):
            sums = []
            for h in (1e-5, -1e-5):
                moved = inputs[i].copy()
                moved[at] += h
                sums.append(weighed(function, [*tensors[:i], Tensor(moved), *tensors[i + 1:]],
                                    seeds))
            want[at] = (sums[0] - sums[1]) / 2e-5
        np.testing.assert_allclose(got, want, rtol=1e-6,
                                   atol=1e-6 * max(1.0, abs(want).max(initial=0)),
                                   err_msg=f"{label}, input {i}")


def samples(name):
    row = ROWS[name]
    for inputs, attributes in row.near or row.cases:
        if sum(a.size for a in inputs) <= 80 and len(inputs) > max(row.wrt):
            yield inputs, lambda *x, a=attributes: getattr(op, name)(*x, *a)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradient(name):
    cases = list(samples(name))
    assert cases
    for inputs, function in cases:
        check_gradient(function, inputs, ROWS[name].wrt, name)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_second_gradient(name):
    """The gradient as a function is differentiated like any other."""
    wrt = ROWS[name].wrt
    for inputs, function in list(samples(name))[:4]:
        seeds = weights(real_of(function(*map(Tensor, inputs))))

        def gradient(*x):
            return [g for g in taped(function, x, wrt, seeds) if g is not None]

        check_gradient(gradient, inputs, wrt, f"gradient of {name}")


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_recorded_gradient_is_the_tapes_bit_for_bit(name):
    wrt = ROWS[name].wrt
    for inputs, function in samples(name):
        tensors = [Tensor(a) for a in inputs]
        seeds = weights(real_of(function(*tensors)))
        ours = [g for g in taped(function, tensors, wrt, seeds) if g is not None]
        graph = Graph()
        with graph:
            symbols = [graph.input(a.shape, a.dtype.name) for a in inputs]
            found = graph.gradients(real_of(function(*symbols)), [symbols[i] for i in wrt], seeds)
            found = [g for g in found if g is not None]
        program = Program(graph, found)
        same_bits([g.numpy() for g in program(*inputs)], [g.numpy() for g in ours])


@pytest.mark.parametrize("name",
                         [name for name in NAMES if name in ROWS
                          and not (ROWS[name].effects or ROWS[name].once)])
def test_other_inputs_have_no_gradient(name):
    row = ROWS[name]
    for inputs, attributes in row.cases[-2:]:
        rest = [i for i in range(min(len(inputs), 3))
                if i not in row.wrt and inputs[i].dtype == "float64"]
        if rest:
            found = taped(lambda *x: getattr(op, name)(*x, *attributes),
                          [Tensor(a) for a in inputs], rest, None)
            assert found == [None] * len(rest)


# ---- what tables do not say ----------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_and_infinities_pass(dtype):
    """Nothing hides a NaN, and at the ends of the range functions have their limits."""
    odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], dtype)
    for unary in UNARY:
        assert np.isnan(getattr(op, unary)(odd, 0.5).numpy()[0]), unary
    for binary in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "mod",
                   "floor_divide", "arctan2"):
        for a, b in ((odd[:1], odd[1:]), (odd[1:], odd[:1])):
            assert np.isnan(getattr(op, binary)(a, b).numpy()).all(), binary
    for reduction in ("sum", "mean", "prod", "max", "min"):
        for x in (odd, odd[::-1], np.tile(np.append(odd[1:2], odd[:1]), 33)):
            assert np.isnan(getattr(op, reduction)(x, (), 0).numpy()), reduction
        wide = np.ones((5, 70), dtype)
        wide[2, 41] = np.nan
        found = np.isnan(getattr(op, reduction)(wide, (0,), 0).numpy())
        assert found[41] and found.sum() == 1, reduction
    with np.errstate(all="ignore"):
        for unary, function in [("exp", np.exp), ("log", np.log), ("sqrt", np.sqrt),
                                ("tanh", np.tanh), ("log1p", np.log1p),
                                ("expm1", np.expm1), ("reciprocal", np.reciprocal),
                                ("floor", np.floor)]:
            np.testing.assert_array_equal(getattr(op, unary)(odd).numpy(), function(odd),
                                          err_msg=unary)


def test_ties_of_max_share_the_gradient():
    """As in TensorFlow: equal parts."""
    x = Tensor(np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]))
    for name in ("max", "min"):
        dx, = taped(lambda x: getattr(op, name)(x, (1,), 0), [x], [0], None)
        np.testing.assert_allclose(dx.numpy().sum(1), 1)
    np.testing.assert_allclose(taped(lambda x: op.max(x, (1,), 0), [x], [0], None)[0].numpy(),
                               [[0, 0.5, 0.5], [1 / 3] * 3], rtol=1e-15)


def test_nothing_warns():
    """Overflow, division by zero and NaN are results, not Python warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for x in (np.array([0.0, -1.0, 1e300, np.nan]), np.array([0, -1, 7])):
            op.floor_divide(x, x * 0), op.mod(x, x * 0), op.power(x, x), op.square(x)
