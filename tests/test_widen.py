"""Programs that keep 16-bit floats in float32, rounded: the bits of the same ops run one by one, at
every level, on any threads; and what they keep of variables follows whoever writes them. (What a
trainer's programs may leave unrounded: test_excess.py.)"""
import itertools

import ml_dtypes
import numpy as np
import pytest

import nnc as keras
from nnc import _core, ops
from nnc._core import Graph, Program, Variable, op
from test_memory import allocations, failing, live

HALVES = ("bfloat16", "float16")
NUMPY = {"bfloat16": np.dtype(ml_dtypes.bfloat16), "float16": np.dtype("float16")}
ROUNDED = {"bfloat16": "round_bf16", "float16": "round_f16"}
#: Levels that multiply bfloat16 by instructions of their own and keep it as it is.
TILED = ("avx512bf16", "amx")


@pytest.fixture(autouse=True)
def passes():
    yield
    for name in ("widen", "turn", "excess"):
        _core.pass_enable(name, True)
    _core.pass_enable("verify", False)


def is_wide(isa, half):
    return half == "float16" or isa not in TILED


# ---- the rounding ----

@pytest.mark.parametrize("half", HALVES)
def test_rounding_is_the_formats(isa, half):
    """All exponents, ties, ends of the range, NaNs of every kind; runs of all lengths."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2 ** 32, 70000, dtype="uint32")
    upper = np.arange(0, 2 ** 16, dtype="uint32") << 16
    for lower in (0, 1, 0x7fff, 0x8000, 0x8001, 0xffff):
        bits = np.concatenate([bits, upper | np.uint32(lower)])
    x = bits.view("float32")
    with np.errstate(over="ignore", invalid="ignore"):
        want = x.astype(NUMPY[half]).astype("float32")
    got = getattr(op, ROUNDED[half])(x).numpy()
    nan = np.isnan(x)
    assert np.isnan(got[nan]).all()
    assert got[~nan].tobytes() == want[~nan].tobytes()
    for n in range(70):
        assert getattr(op, ROUNDED[half])(x[:n].copy()).numpy().tobytes() == got[:n].tobytes()


@pytest.mark.parametrize("half", HALVES)
def test_rounding_is_a_cast_there_and_back(isa, half):
    x = np.random.default_rng(1).integers(0, 2 ** 32, 5000, dtype="uint32").view("float32")
    there = ops.cast(ops.cast(x, half), "float32").numpy()
    assert getattr(op, ROUNDED[half])(x).numpy().tobytes() == there.tobytes()


# ---- ops ----

def operands(half, *shapes):
    rng = np.random.default_rng(2)
    return [rng.uniform(-2, 2, s).astype(NUMPY[half]) for s in shapes]


S = (5, 70)
OPS = {
    **{name: (lambda a, name=name: [getattr(op, name)(a, 0.3)], [S])
       for name in ("relu", "tanh", "exp", "sigmoid", "negative", "floor", "erf")},
    **{name: (lambda a, b, name=name: [getattr(op, name)(a, b)], [S, (70,)])
       for name in ("add", "subtract", "multiply", "divide", "maximum", "less", "equal")},
    "relu_grad": (lambda a, b: [op.relu_grad(a, a, b, 0.0)], [S, S]),
    "tanh_grad": (lambda a, b: [op.tanh_grad(a, a, b, 0.0)], [S, S]),
    "where": (lambda a, b: [op.where(op.less(a, b), a, b)], [S, S]),
    "softmax": (lambda a: [op.softmax(a, -1), op.log_softmax(a, -1)], [S]),
    "reduce": (lambda a: [op.sum(a, (0,), 0), op.mean(a, (1,), 1), op.max(a, (1,), 0)], [S]),
    "sum_to": (lambda a: [op.sum_to(a, (70,))], [S]),
    "loss": (lambda a, b: list(op.softmax_crossentropy(a, b)), [S, S]),
    "moves": (lambda a, b: [op.transpose(a, (1, 0)), op.concatenate(a, b, 0),
                            op.slice(a, (1, 2, 4, 60, 1, 3)), op.reshape(a, (7, 50)),
                            op.broadcast_to(a, (3, *S)), op.take(a, np.array([2, 0]), 0)], [S, S]),
    "pad": (lambda a: [op.pad(a, (1, 2, 0, 3), v) for v in (0.0, -np.inf, 0.3)], [S]),
    "casts": (lambda a: [op.cast(a, "int32"), op.cast(a, "float64"), op.cast(a, "bool"),
                         op.cast(op.cast(a, "float64"), "float16"), op.cast(a, "bfloat16"),
                         op.cast(op.cast(a, "int32"), "bfloat16")], [S]),
    "left": (lambda a: [op.sort(a, -1, 0), op.isnan(a), op.argmax(a, 1, 0)], [S]),
    "constants": (lambda a: [op.multiply(a, np.ones(70, a.dtype)),
                             op.add(op.fill(S, 0.3, a.dtype), a)], [S]),
    "matmul": (lambda a, b: [op.matmul(a, b, 0, 1), op.matmul(a, b, 1, 0)], [S, S]),
    "many": (lambda a, b: [op.matmul(a, b, 0, 0)], [(3, 5, 40), (3, 40, 9)]),
    "narrow": (lambda a, b, c: [op.dense(a, b, c, -1, 0.0)], [(33, 900), (900, 10), (10,)]),
    "large": (lambda a, b, c: [op.dense(a, b, c, list(_core.op_table).index("tanh"), 0.0)],
              [(130, 600), (600, 300), (300,)]),
    "apart": (lambda a, b, c: [op.tanh(op.add(op.matmul(a, b, 0, 0), c), 0.0),
                               op.tanh(op.dense(a, b, c, -1, 0.0), 0.0),
                               op.relu(op.dense(a, b, c, -1, 0.0), 0.0)],
              [(33, 90), (90, 10), (10,)]),
    "chain": (lambda a, b: [op.tanh(op.add(op.multiply(a, b), a), 0.0)], [S, S]),
    "dropout": (lambda a: [op.dropout(a, np.array([3, 1], "uint32"), 0.4)], [S]),
}


def dtype_of(array):
    return {np.dtype(ml_dtypes.bfloat16): "bfloat16"}.get(array.dtype, array.dtype.name)


def recorded(function, arrays):
    graph = Graph()
    with graph:
        symbols = [graph.input(a.shape, dtype_of(a)) for a in arrays]
        outputs = function(*symbols)
    return Program(graph, outputs)


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", OPS)
def test_a_program_gives_the_bits_of_its_ops(isa, name, half):
    function, shapes = OPS[name]
    arrays = operands(half, *shapes)
    _core.pass_enable("verify", True)
    program = recorded(function, arrays)
    for got, want in zip(program(*arrays), function(*arrays), strict=True):
        assert got.dtype == want.dtype and got.shape == want.shape
        assert got.numpy().tobytes() == want.numpy().tobytes(), name


@pytest.mark.parametrize("half", HALVES)
def test_values_inside_are_float32(isa, half):
    """Between what comes in and goes out nothing is cast; a chain is one node."""
    def work(a, b):
        a = op.cast(a, half)
        a = op.tanh(op.add(op.multiply(a, op.cast(b, half)), a), 0.0)
        return [op.cast(op.matmul(a, a, 0, 1), "float32")]

    text = recorded(work, operands("float16", S, S)).text()
    if is_wide(isa, half):
        assert text.count(" cast ") == 2 and text.count(" chain ") == 1, text
        assert text.count("round_") >= 3
    else:
        assert "round_" not in text


@pytest.mark.parametrize("half", HALVES)
def test_a_rounded_gradient_stays_rounded(isa, half):
    """A product that is rounded, then cast, is not the float32 gradient that a step may be joined
    with; of bfloat16 with a turned first factor it is (passes/narrow.c)."""
    x, dz = operands(half, (6, 40), (6, 30))
    w = Variable(np.zeros((40, 30), "float32"))
    graph = Graph()
    with graph:
        a, d = graph.input(x.shape, half), graph.input(dz.shape, half)
        op.sgd(w, op.cast(op.matmul(a, d, 1, 0), "float32"), np.float32(-1))
    Program(graph, [])(x, dz)
    sums = op.matmul(x.astype("float32"), dz.astype("float32"), 1, 0).numpy()
    if half == "float16":
        sums = sums.astype(half).astype("float32")
    elif isa in TILED:
        np.testing.assert_allclose(w.numpy(), sums, atol=1e-5)
        return
    assert w.numpy().tobytes() == sums.tobytes()


# ---- models ----

def network(policy, units=20, width=300, head=None):
    keras.utils.set_random_seed(3)
    layer = keras.layers
    return keras.Sequential([
        keras.Input((width,)), layer.Dense(units, activation="relu", dtype=policy),
        layer.Dropout(0.2, dtype=policy), layer.LayerNormalization(dtype=policy),
        layer.Dense(units, activation="gelu", dtype=policy),
        layer.Dense(4, activation="softmax", dtype=head or policy)])


def rows(count=300, width=300):
    rng = np.random.default_rng(4)
    return rng.standard_normal((count, width)).astype("float32"), rng.integers(0, 4, count)


def trained(policy, units, **fit):
    x, y = rows()
    model = network(policy, units)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, batch_size=32, epochs=2, verbose=0, **fit).history
    made = [model.predict(x, verbose=0), model(x[:3]).numpy(), *model.get_weights()]
    return [history, model.evaluate(x, y, verbose=0), [np.asarray(a).tobytes() for a in made]]


@pytest.mark.parametrize("units", [20, 70])
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
def test_training_and_predictions_keep_every_bit(isa, policy, units):
    found = []
    _core.pass_enable("excess", False)
    for on in (True, False):
        _core.pass_enable("widen", on)
        found.append(trained(policy, units))
    assert found[0] == found[1]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("excess", [True, False])
def test_threads(policy, excess):
    before, found = _core.get_num_threads(), []
    _core.pass_enable("excess", excess)
    try:
        for count in (1, 2, 3, 8):
            _core.set_num_threads(count)
            found.append(trained(policy, 300))
    finally:
        _core.set_num_threads(before)
    assert all(one == found[0] for one in found)


def test_convolutions_keep_every_bit():
    keras.utils.set_random_seed(5)
    x = np.random.default_rng(5).standard_normal((6, 9, 9, 3)).astype("float32")
    layers = [keras.layers.Conv2D(8, 3, padding="same", activation="relu"),
              keras.layers.MaxPooling2D(padding="same"), keras.layers.BatchNormalization(),
              keras.layers.Flatten(), keras.layers.Dense(3)]
    for layer in layers:
        layer.dtype_policy = keras.DTypePolicy("mixed_bfloat16")
    first, found = keras.Sequential([keras.Input((9, 9, 3)), *layers]), []
    start = first.get_weights()
    _core.pass_enable("excess", False)
    for on in (True, False):
        _core.pass_enable("widen", on)
        model = keras.models.clone_model(first)
        model.set_weights(start)
        model.compile("sgd", "mse")
        model.fit(x, np.ones((6, 3), "float32"), batch_size=3, verbose=0, shuffle=False)
        found.append([model.predict(x, verbose=0).tobytes(),
                      *(w.tobytes() for w in model.get_weights())])
    assert found[0] == found[1]


# ---- what is kept of variables ----

def made(model, x):
    """What `predict` gives, and what a call does the first time and when it is replayed."""
    calls = {model(x).numpy().tobytes() for _ in range(5)}
    assert len(calls) == 1
    return model.predict(x, verbose=0).tobytes(), calls.pop()


def fresh(model, x):
    """What a model that has never predicted before gives with these weights."""
    again = keras.models.clone_model(model)
    again.set_weights(model.get_weights())
    return made(again, x)


@pytest.mark.parametrize("units", [20, 70])
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_predictions_follow_who_writes_the_weights(policy, units, tmp_path):
    x, y = rows()
    model = network(policy, units)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.save_weights(tmp_path / "start.weights.h5")
    model.save(tmp_path / "start.keras")
    seen = set()

    def check():
        want = fresh(model, x)
        assert made(model, x) == want
        seen.add(want)

    check()
    kernel = model.layers[0].kernel
    kernel.assign(kernel.numpy() * 2)
    check()
    kernel.assign_add(np.ones(kernel.shape, "float32"))
    check()
    model.fit(x, y, verbose=0)
    check()
    model.train_on_batch(x[:32], y[:32])
    check()
    model.load_weights(tmp_path / "start.weights.h5")
    check()
    model.set_weights([w * 3 for w in model.get_weights()])
    check()
    loaded = keras.saving.load_model(tmp_path / "start.keras")
    assert made(loaded, x) in seen
    assert len(seen) == 6               # the start came back


def test_a_program_that_writes_a_weight_reads_it_anew():
    w = Variable(np.full((4, 3), 1.003, "float32"))
    graph = Graph()
    with graph:
        x = graph.input((2, 4), "bfloat16")
        y = op.matmul(x, op.cast(w, "bfloat16"), 0, 0)
        op.assign_add(w, np.ones((4, 3), "float32"))
    program, x = Program(graph, [y]), np.ones((2, 4), NUMPY["bfloat16"])
    found = [float(program(x)[0].numpy()[0, 0]) for _ in range(3)]
    assert found == [4.0, 8.0, 12.0]


@pytest.mark.parametrize("half", HALVES)
def test_weights_larger_than_what_is_kept_in_float32(isa, half):
    """Beyond a million numbers a weight is kept in 16 bits: the bits are the same, and it follows
    who writes it, be it read by products or by others, or given back."""
    rng = np.random.default_rng(6)
    x = rng.standard_normal((9, 1100)).astype("float32")
    w, b, v = (Variable(rng.uniform(-1, 1, s).astype("float32"))
               for s in ((1100, 1000), (1000,), (1000, 1100)))

    def work(a):
        a, kernel = ops.cast(a, half), ops.cast(w, half)
        y = op.dense(a, kernel, ops.cast(b, half), -1, 0.0)
        return [y, op.matmul(y, kernel, 0, 1), op.matmul(a, ops.cast(v, half), 0, 1), kernel,
                op.max(op.multiply(kernel, kernel), (0,), 0)]

    programs = [recorded(work, [x[:n]]) for n in (1, 9)]
    for step in range(3):
        for program, n in zip(programs, (1, 9)):
            for _ in range(2):
                for got, want in zip(program(x[:n]), work(op.copy(x[:n])), strict=True):
                    assert got.dtype == want.dtype == half
                    assert got.numpy().tobytes() == want.numpy().tobytes()
        [w, b, v][step].assign_add(np.full([w, b, v][step].shape, 0.3, "float32"))


def test_weights_written_by_their_program_are_rounded_as_they_are_read():
    rng = np.random.default_rng(6)
    x = rng.standard_normal((3, 1100)).astype("float32")
    start = rng.uniform(-1, 1, (1100, 1000)).astype("float32")
    w = Variable(start.copy())
    graph = Graph()
    with graph:
        a = graph.input(x.shape, "float32")
        y = op.matmul(op.cast(a, "bfloat16"), op.cast(w, "bfloat16"), 0, 0)
        op.assign_add(w, op.fill(w.shape, 1.0, "float32"))
    program = Program(graph, [y])
    for added in (0, 1, 2):
        kernel = (start + np.float32(added)) if added < 2 else start + np.float32(1) + np.float32(1)
        want = op.matmul(x.astype(NUMPY["bfloat16"]), kernel.astype(NUMPY["bfloat16"]), 0, 0)
        assert program(x)[0].numpy().tobytes() == want.numpy().tobytes()


def test_every_allocation_may_fail():
    x, y = rows(64)
    model = network("mixed_bfloat16")

    def work():
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.predict(x, verbose=0)
        model.fit(x, y, verbose=0, shuffle=False)

    count = allocations(work)
    before = live()
    assert failing(work, min(count, 400)) > 0
    work()
    assert live() <= before + 4


def test_failures_leave_the_weights():
    x, y = rows(64)
    model = network("mixed_bfloat16", head="float32")
    model.compile("sgd", "sparse_categorical_crossentropy")
    before, failures = model.get_weights(), 0
    for n in itertools.count(1):
        _core.alloc_fail_at(n)
        try:
            model.fit(x, y, batch_size=32, epochs=1, verbose=0, shuffle=False)
            break
        except MemoryError:
            failures += 1
            for a, b in zip(before, model.get_weights(), strict=True):
                assert a.tobytes() == b.tobytes()
        finally:
            _core.alloc_fail_at(0)
    assert failures > 5
