"""Excess precision: the programs of fit, evaluate, predict and of calls keep bfloat16 values in float32
without rounding them, where the processor has no products of bfloat16, so that a mixed_bfloat16 step
is that of float32. What leaves a program, what a user casts, and float16 are rounded."""
import ml_dtypes
import numpy as np
import pytest

import nnc
from nnc import _core, ops
from nnc._core import Graph, Program, Variable, op
from nnc.recording import Recorded
from test_widen import HALVES, NUMPY, OPS, TILED, dtype_of, operands

layers = nnc.layers
BF16 = NUMPY["bfloat16"]
UNIT = 2.0 ** -8        # bfloat16's: half a unit of the last place of 1


@pytest.fixture(autouse=True)
def passes():
    _core.pass_enable("verify", True)
    yield
    _core.pass_enable("excess", True)
    _core.pass_enable("verify", False)


def rounded(x):
    return np.asarray(x, "float32").astype(BF16).astype("float32")


# ---- programs ----

def programs_of(function, arrays, **how):
    graph = Graph()
    with graph:
        outputs = function(*[graph.input(a.shape, dtype_of(a)) for a in arrays])
    return Program(graph, outputs, **how)


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", OPS)
def test_every_op(isa, name, half):
    """Outputs have the shape and dtype of before; their bits for float16, else they are as near as
    the roundings left out (two of them, at most, in these programs). Where there are tiles only
    those between a product and its activation are."""
    function, shapes = OPS[name]
    arrays = operands(half, *shapes)
    exact, loose = (programs_of(function, arrays, excess=e)(*arrays) for e in (False, True))
    for got, want in zip(loose, exact, strict=True):
        assert got.dtype == want.dtype and got.shape == want.shape
        if half == "float16":
            assert got.numpy().tobytes() == want.numpy().tobytes()
        elif want.dtype in ("bfloat16", "float16", "float32", "float64"):
            a, b = (t.numpy().astype("float64") for t in (got, want))
            finite = np.isfinite(b)
            np.testing.assert_array_equal(a[~finite], b[~finite])
            np.testing.assert_allclose(a[finite], b[finite], rtol=4 * UNIT,
                                       atol=4 * UNIT * np.abs(b[finite]).max(initial=0))


def test_what_is_rounded(isa):
    """Outputs are, once; values inside are not; what a user casts is."""
    x = np.float32([1 + 2.0 ** -9, 1 + 3 * 2.0 ** -9])

    def inside(a):
        return [op.subtract(op.cast(op.cast(a, "bfloat16"), "float32"), 1.0)]

    def outside(a):
        return [op.cast(a, "bfloat16")]

    def asked(a):
        return [ops.subtract(ops.cast(ops.cast(a, "bfloat16"), "float32"), 1.0),
                ops.subtract(ops.cast(ops.convert_to_tensor(a, "bfloat16"), "float32"), 1.0)]

    got = programs_of(inside, [x], excess=True)(x)[0].numpy()
    np.testing.assert_array_equal(got, rounded(x) - 1 if isa in TILED else x - 1)
    assert programs_of(outside, [x], excess=True)(x)[0].numpy().tobytes() == \
        x.astype(BF16).tobytes()
    for got in programs_of(asked, [x], excess=True)(x):
        np.testing.assert_array_equal(got.numpy(), rounded(x) - 1)
    np.testing.assert_array_equal(programs_of(inside, [x])(x)[0].numpy(), rounded(x) - 1)


@pytest.mark.parametrize("turned", [0, 1])
def test_a_weight_that_a_user_casts_is_rounded_in_products(isa, turned):
    """A dense is made of what the user writes; the rounding of its weight and bias stays."""
    rng = np.random.default_rng(0)
    x, w, b = (rng.uniform(-1, 1, s).astype("float32") for s in ((5, 40), (40, 7), (7,)))
    kernel, bias = Variable(w.T.copy() if turned else w), Variable(b)

    def work(a):
        y = op.matmul(op.cast(a, "bfloat16"), ops.cast(kernel, "bfloat16"), 0, turned)
        return [op.cast(op.relu(op.add(y, ops.cast(bias, "bfloat16")), 0.0), "float32")]

    got = programs_of(work, [x], excess=True)(x)[0].numpy()
    want = np.maximum((rounded(x) if isa in TILED else x) @ rounded(w) + rounded(b), 0)
    tolerance = 2 * UNIT if isa in TILED else 1e-6      # rounded at the end; the order of sums
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


def test_variables_of_bfloat16_are_rounded_as_they_are_written(isa):
    w = Variable(np.full(3, 1.0, BF16), "bfloat16")
    graph = Graph()
    with graph:
        x = graph.input((3,), "float32")
        op.assign(w, op.cast(op.multiply(x, 1.0), "bfloat16"))
        out = op.cast(op.add(op.cast(w, "float32"), 0.0), "bfloat16")
    value = np.float32([1 + 2.0 ** -9, 3.0, 1 + 3 * 2.0 ** -9])
    got = Program(graph, [out], excess=True)(value)[0]
    assert w.dtype == "bfloat16"
    assert w.numpy().tobytes() == got.numpy().tobytes() == value.astype(BF16).tobytes()


@pytest.mark.parametrize("large", [False, True])
def test_products_with_variables_of_bfloat16(isa, large):
    """They are read in 16 bits; what is added to them afterwards is not."""
    rng = np.random.default_rng(3)
    shape = (1100, 1000) if large else (40, 7)
    w, b = (rng.uniform(-1, 1, s).astype(BF16) for s in (shape, shape[1:]))
    kernel, bias, plain = Variable(w), Variable(b), Variable(w.astype("float32"))
    x = rng.uniform(-1, 1, (5, shape[0])).astype(BF16)

    def work(a):
        return [op.tanh(op.add(op.matmul(a, kernel, 0, 0), bias), 0.0),
                op.tanh(op.dense(a, kernel, bias, -1, 0.0), 0.0),
                op.tanh(op.add(op.matmul(a, ops.cast(plain, "bfloat16"), 0, 0), bias), 0.0)]

    want = np.tanh(x.astype("float64") @ w.astype("float64") + b.astype("float64"))
    for got in programs_of(work, [x], excess=True)(x):
        assert got.dtype == "bfloat16"
        # rounded once or twice before tanh, up to 16 or, large, 64, and once after it
        atol = 2 * UNIT * (64 if large else 16) * (1 - want ** 2) + UNIT
        assert (np.abs(got.numpy().astype("float64") - want) <= atol).all()


def test_bodies_of_branches_and_loops():
    def work(a):
        a = op.cast(a, "bfloat16")
        grown = ops.fori_loop(0, 3, lambda i, v: ops.multiply(v, 1.5), a)
        return [ops.cond(ops.sum(a) > 0, lambda: grown, lambda: a)]

    x = np.float32([[1 + 2.0 ** -9, -0.3]])
    want = x.astype("float64") * 1.5 ** 3
    exact, loose = (programs_of(work, [x], excess=e)(x)[0] for e in (False, True))
    assert loose.dtype == exact.dtype == "bfloat16"
    # one rounding a round, of half a unit of the last place, and those at the ends
    np.testing.assert_allclose(loose.numpy().astype("float64"), want, rtol=5 * UNIT)
    np.testing.assert_allclose(exact.numpy().astype("float64"), want, rtol=5 * UNIT)


# ---- models ----

def mlp(dtype, k=nnc):
    return [k.layers.Dense(20, activation="relu", dtype=dtype),
            k.layers.Dense(20, activation="relu", dtype=dtype),
            k.layers.Dense(4, activation="softmax", dtype=dtype)]


def deep(dtype):
    return [layers.Dense(48, dtype=dtype), layers.Activation("gelu", dtype=dtype),
            layers.Dropout(0.2, dtype=dtype), layers.Dense(40, activation="tanh", dtype=dtype),
            layers.Dense(4, activation="softmax", dtype=dtype)]


def pictures(dtype):
    return [layers.Reshape((5, 5, 4), dtype=dtype),
            layers.Conv2D(6, 3, activation="relu", dtype=dtype),
            layers.MaxPooling2D(dtype=dtype), layers.Flatten(dtype=dtype),
            layers.Dense(4, activation="softmax", dtype=dtype)]


MODELS = {"mlp": mlp, "deep": deep, "pictures": pictures}


def data(count=160):
    rng = np.random.default_rng(7)
    x = rng.standard_normal((count, 100)).astype("float32")
    return x, np.argmax(x[:, :4], 1)


def network(make, dtype, loss="sparse_categorical_crossentropy"):
    nnc.utils.set_random_seed(11)
    model = nnc.Sequential([nnc.Input((100,)), *make(dtype)])
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def recorded(model):
    return {(kind[0], kind[1]): found.program for kind, found in model._programs.items()
            if isinstance(found, Recorded)}


def nodes(program):
    """Op, activation, shapes and dtypes of each node."""
    return [(name, activation, inputs, outputs)
            for name, activation, _, _, inputs, outputs, *_ in program.nodes()]


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_a_mixed_step_is_that_of_float32(isa, make):
    """Node for node; what `predict` gives is rounded as it leaves."""
    if isa in TILED:
        pytest.skip("bfloat16 is multiplied as it is there")
    x, y = data()
    found = []
    for dtype in ("float32", "mixed_bfloat16"):
        model = network(make, dtype)
        model.fit(x, y, batch_size=32, verbose=0)
        model.evaluate(x, y, batch_size=32, verbose=0)
        assert model.predict(x, verbose=0).dtype == (BF16 if dtype != "float32" else "float32")
        found.append(recorded(model))
    assert found[0].keys() == found[1].keys() and len(found[0]) >= 3
    for key, plain in found[0].items():
        assert nodes(found[1][key]) == nodes(plain), key


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_a_mixed_step_has_the_bits_of_float32(isa, make):
    """The same nodes on the same weights."""
    if isa in TILED:
        pytest.skip("bfloat16 is multiplied as it is there")
    x, y = data()
    found = []
    for dtype in ("float32", "mixed_bfloat16"):
        model = network(make, dtype)
        history = model.fit(x, y, batch_size=32, epochs=2, verbose=0).history
        found.append((history, model.evaluate(x, y, verbose=0),
                      [w.tobytes() for w in model.get_weights()],
                      rounded(model.predict(x, verbose=0)).tobytes()))
    assert found[0] == found[1]


@pytest.mark.parametrize("make", [mlp, deep])
def test_float16_is_rounded_all_the_same(make):
    x, y = data()
    found = []
    for on in (True, False):
        _core.pass_enable("excess", on)
        model = network(make, "mixed_float16")
        model.fit(x, y, batch_size=32, verbose=0)
        found.append([model.predict(x, verbose=0).tobytes(),
                      *(w.tobytes() for w in model.get_weights())])
        assert any("round_f16" in program.text() for program in recorded(model).values())
    assert found[0] == found[1]


def test_float16_overflows_where_it_should():
    """70000 is no float16: the scale of the loss halves and the weights stay."""
    model = nnc.Sequential([nnc.Input((2,)), layers.Dense(1, dtype="mixed_float16")])
    scaled = nnc.optimizers.LossScaleOptimizer(nnc.optimizers.SGD(0.1), initial_scale=2.0 ** 16)
    model.compile(scaled, "mse")
    before = [w.tobytes() for w in model.get_weights()]
    model.fit(np.float32([[1.0, 2.0]]), np.float32([[5e4]]), verbose=0)
    assert [w.tobytes() for w in model.get_weights()] == before
    assert float(scaled.dynamic_scale.numpy()) == 2.0 ** 15


def test_layers_of_several_policies():
    """A float16 layer between others still rounds; so does the border of the dtypes."""
    x = data(8)[0]
    nnc.utils.set_random_seed(5)
    model = nnc.Sequential([nnc.Input((100,)), layers.Dense(8, dtype="mixed_bfloat16"),
                            layers.Dense(8, dtype="mixed_float16"),
                            layers.Dense(3, dtype="mixed_bfloat16"),
                            layers.Activation("linear", dtype="float32")])
    with nnc.GradientTape():
        eager = model(x).numpy()            # op by op
    got = model.predict(x, verbose=0)
    assert got.dtype == "float32"
    # three products of numbers of about 1, each from numbers rounded to 8 bits, or not
    np.testing.assert_allclose(got, eager, atol=8 * UNIT * np.abs(eager).max())


def test_what_a_user_casts_in_a_layer_is_rounded():
    class Emulated(layers.Layer):
        def call(self, x):
            return ops.subtract(ops.cast(ops.cast(x, "bfloat16"), "float32"), x)

    x = data(8)[0]
    for dtype in ("float32", "mixed_bfloat16"):
        model = nnc.Sequential([nnc.Input((100,)), Emulated(dtype="float32"),
                                layers.Activation("linear", dtype=dtype)])
        want = rounded(x) - x
        got = model.predict(x, verbose=0).astype("float32")
        np.testing.assert_array_equal(got, rounded(want) if dtype != "float32" else want)


def functional(make):
    x = y = nnc.Input((100,))
    for layer in make("mixed_bfloat16"):
        y = layer(y)
    return nnc.Model(x, y)


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("kind", ["sequential", "functional"])
def test_calls_are_predictions(isa, make, kind):
    """From the first call on, whatever the input is made of; under a tape each op is rounded."""
    x = data()[0]
    model = network(make, "mixed_bfloat16") if kind == "sequential" else functional(make)
    for rows in (1, 4, 32):
        part = x[:rows]
        want = model.predict(part, verbose=0)
        for given in (part, ops.convert_to_tensor(part), part.astype("float64"), part.tolist(), part,
                      part):
            got = model(given)
            assert got.dtype == "bfloat16"
            if isa not in TILED:
                assert got.numpy().tobytes() == want.tobytes()
    with nnc.GradientTape():
        exact = model(x[:32])
    # probabilities: 0.008 apart at most, of 0.25 to 1; a unit of the last place of 1 is 2 ** -7
    np.testing.assert_allclose(rounded(exact.numpy()), rounded(want), atol=4 * UNIT)


def test_calls_of_many_shapes(isa):
    """Beyond those that are kept, a shape goes op by op until it comes again and again."""
    x = data()[0]
    model = network(mlp, "mixed_bfloat16")
    want = [model.predict(x[:rows], verbose=0) for rows in range(1, 12)]
    for _ in range(4):
        for rows in range(1, 12):
            got = rounded(model(x[:rows]).numpy())
            np.testing.assert_allclose(got, rounded(want[rows - 1]), atol=4 * UNIT)
    assert len(model._repeated.attempts) == 8
    for _ in range(3):
        got = model(x[:11])
    if isa not in TILED:
        assert got.numpy().tobytes() == want[10].tobytes()


def test_run_eagerly_is_near():
    x, y = data()
    found = []
    for eagerly in (False, True):
        model = network(mlp, "mixed_bfloat16")
        model.run_eagerly = eagerly
        found.append(model.fit(x, y, batch_size=32, epochs=2, shuffle=False,
                               verbose=0).history["loss"])
    np.testing.assert_allclose(*found, rtol=2 * UNIT)


def test_resumed(tmp_path):
    """A run that is saved and gone on with has the bits of one that was not."""
    x, y = data()
    whole = network(deep, "mixed_bfloat16")
    whole.fit(x, y, batch_size=32, epochs=4, shuffle=False, verbose=0)
    first = network(deep, "mixed_bfloat16")
    first.fit(x, y, batch_size=32, epochs=2, shuffle=False, verbose=0)
    first.save(tmp_path / "half.keras")
    again = nnc.saving.load_model(tmp_path / "half.keras")
    again.fit(x, y, batch_size=32, epochs=4, initial_epoch=2, shuffle=False, verbose=0)
    for a, b in zip(whole.get_weights(), again.get_weights(), strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_threads(make):
    x, y = data()
    before, found = _core.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            _core.set_num_threads(count)
            model = network(make, "mixed_bfloat16")
            history = model.fit(x, y, batch_size=32, epochs=2, verbose=0).history
            found.append((history, model.predict(x, verbose=0).tobytes(),
                          [w.tobytes() for w in model.get_weights()]))
    finally:
        _core.set_num_threads(before)
    assert found[0] == found[1] == found[2]
