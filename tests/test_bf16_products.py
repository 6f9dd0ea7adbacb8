"""Products of bfloat16: every level and layout beside float64, the same bits on any threads, what the
training step makes of weights in float32."""
import os
import subprocess
import sys

import numpy as np
import pytest

import nnc
from nnc import _core
from nnc._core import Graph, Program, Variable, op
from test_memory import allocations, failing, live

ml_dtypes = pytest.importorskip("ml_dtypes")
HALF = np.dtype(ml_dtypes.bfloat16)
#: Levels with instructions of their own for these products.
TILED = ("avx512bf16", "amx")
SIZES = [(1, 1, 1), (1, 300, 50), (3, 7, 15), (15, 17, 31), (17, 33, 16), (31, 65, 33), (33, 700, 65),
         (65, 1030, 3), (7, 130, 1100), (300, 33, 101), (260, 530, 40), (4, 0, 5), (0, 3, 5)]


def matrix(rng, rows, columns, turned=False):
    shape = (columns, rows) if turned else (rows, columns)
    return rng.standard_normal(shape).astype(HALF)


def bound(a, b, c):
    """What float32 sums in any order may differ by, and the rounding of the result: half a unit."""
    k = a.shape[1]
    return (np.abs(a) @ np.abs(b)) * (k + 1) * 2.0 ** -24 + np.abs(c) * 2.0 ** -8 * 1.01


@pytest.mark.parametrize("turned", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_products_beside_float64(isa, turned):
    rng = np.random.default_rng(2)
    for m, n, k in SIZES:
        a, b = matrix(rng, m, k, turned[0]), matrix(rng, k, n, turned[1])
        y = op.matmul(a, b, *turned).numpy()
        assert y.dtype == HALF and y.shape == (m, n)
        a, b = (x.astype("float64").T if t else x.astype("float64") for x, t in zip((a, b), turned))
        assert (np.abs(y.astype("float64") - a @ b) <= bound(a, b, a @ b)).all(), (m, n, k)


@pytest.mark.parametrize("activation", [None, "relu", "tanh"])
def test_dense_beside_float64(isa, activation):
    rng = np.random.default_rng(3)
    code = -1 if activation is None else list(_core.op_table).index(activation)
    for m, n, k in SIZES:
        x, w, bias = matrix(rng, m, k), matrix(rng, k, n), rng.standard_normal(n).astype(HALF)
        y = op.dense(x, w, bias, code, 0.0).numpy().astype("float64")
        x, w, bias = (v.astype("float64") for v in (x, w, bias))
        want, z = x @ w + bias, x @ w
        slack = bound(x, w, z) + np.abs(want) * 2.0 ** -8
        want = {"relu": lambda v: np.maximum(v, 0), "tanh": np.tanh}.get(activation, lambda v: v)(want)
        assert (np.abs(y - want) <= slack).all(), (m, n, k)


def test_many_products_at_once(isa):
    """Leading dimensions, one of them spread."""
    rng = np.random.default_rng(4)
    a, b = rng.standard_normal((3, 2, 5, 40)).astype(HALF), rng.standard_normal((2, 40, 9)).astype(HALF)
    y = op.matmul(a, b, 0, 0).numpy().astype("float64")
    for i in range(3):
        for j in range(2):
            u, v = a[i, j].astype("float64"), b[j].astype("float64")
            assert (np.abs(y[i, j] - u @ v) <= bound(u, v, u @ v)).all()


def test_special_numbers(isa):
    def last(x, y):
        a, b = np.zeros((1, 40)), np.ones((40, 1))
        a[0, 37], b[37, 0] = x, y
        return float(op.matmul(a.astype(HALF), b.astype(HALF), 0, 0).numpy()[0, 0])

    assert np.isnan(last(np.nan, 1.0)) and np.isnan(last(np.inf, 0.0))
    assert last(np.inf, 2.0) == np.inf and last(-np.inf, 2.0) == -np.inf
    assert last(2.0 ** -126, 1.0) == 2.0 ** -126
    assert last(2.0 ** -130, 1.0) == (0 if isa in TILED else 2.0 ** -130)
    assert last(2.0 ** -130, 2.0 ** 100) == (0 if isa in TILED else 2.0 ** -30)


def test_the_bits_do_not_depend_on_threads_or_other_rows(isa):
    rng = np.random.default_rng(5)
    before = _core.get_num_threads()
    for m, n, k in [(70, 1030, 600), (600, 300, 70), (513, 513, 513)]:
        a, b = matrix(rng, m, k), matrix(rng, k, n)
        bits = set()
        try:
            for count in (1, 2, 3, 8):
                _core.set_num_threads(count)
                bits.add(op.matmul(a, b, 0, 0).numpy().tobytes())
        finally:
            _core.set_num_threads(before)
        assert len(bits) == 1
        y = op.matmul(a, b, 0, 0).numpy()
        for rows in (1, 5, 33):
            assert op.matmul(a[:rows].copy(), b, 0, 0).numpy().tobytes() == y[:rows].tobytes()


def test_a_forked_child_goes_on(isa):
    """What the system gave this process for tiles, and the threads, are there in a child as well."""
    rng = np.random.default_rng(10)
    a, b = matrix(rng, 300, 600), matrix(rng, 600, 500)
    want = op.matmul(a, b, 0, 0).numpy().tobytes()
    child = os.fork()
    if child == 0:
        os._exit(0 if op.matmul(a, b, 0, 0).numpy().tobytes() == want else 1)
    assert os.waitpid(child, 0)[1] == 0


# ---- weights in float32 ----

def step(w, slots, x, dz, optimizer):
    """A program: y = x cast(w), dx = dz cast(w)^T, dw = cast(x^T dz), w steps with dw."""
    rate, count = np.float32(0.01), np.int64(0)
    graph = Graph()
    with graph:
        a, d = graph.input(x.shape, "bfloat16"), graph.input(dz.shape, "bfloat16")
        narrow = op.cast(w, "bfloat16")
        y, dx = op.matmul(a, narrow, 0, 0), op.matmul(d, narrow, 0, 1)
        dw = op.cast(op.matmul(a, d, 1, 0), "float32")
        if optimizer == "adam":
            op.adam(w, *slots, dw, rate, count, 0.9, 0.999, 1e-7)
        elif optimizer == "momentum":
            op.momentum(w, slots[0], dw, rate, 0.9, 0)
        elif optimizer == "rmsprop":
            op.rmsprop(w, slots[0], dw, rate, 0.9, 1e-7)
        else:
            op.sgd(w, dw, rate)
    return Program(graph, [y, dx])


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "rmsprop", "adam"])
@pytest.mark.parametrize("sizes", [(5, 40, 9), (33, 70, 300), (17, 530, 1040)])
def test_a_step_reads_and_writes_float32_weights(isa, threads, optimizer, sizes):
    b, m, n = sizes
    rng = np.random.default_rng(6)
    x, dz = matrix(rng, b, m), matrix(rng, b, n)
    start = rng.standard_normal((m, n)).astype("float32")
    w, slots = Variable(start.copy()), [Variable(np.zeros((m, n), "float32")) for _ in range(2)]
    program = step(w, slots, x, dz, optimizer)
    text = program.text()
    # no cast of the weight or its gradient; where there are no tiles, of what comes in and goes out
    assert text.count(" cast ") == (0 if isa in TILED else 4) and " round_bf16 " not in text
    assert f"matmul_{optimizer}" in text or isa not in TILED    # there is no gradient in memory
    y, dx = (v.numpy().astype("float64") for v in program(x, dz))
    x, dz, narrow = (v.astype("float64") for v in (x, dz, start.astype(HALF)))
    assert (np.abs(y - x @ narrow) <= bound(x, narrow, x @ narrow)).all()
    assert (np.abs(dx - dz @ narrow.T) <= bound(dz, narrow.T, dz @ narrow.T)).all()
    g = x.T @ dz
    want = {"sgd": 0.01 * g, "momentum": 0.01 * g, "rmsprop": 0.01 * g / np.sqrt(0.1 * g * g + 1e-7),
            "adam": 0.01 * np.sqrt(0.001) / 0.1 * 0.1 * g / (np.sqrt(0.001 * g * g) + 1e-7)}[optimizer]
    # The gradient is not rounded to 16 bits: float32 sums of b products. A quotient moves by as much
    # as they do in proportion, by 2 at most where they may change sign; then some ten roundings.
    error = (b + 1) * 2.0 ** -24 * (np.abs(x.T) @ np.abs(dz))
    slack = 1e-6 + 3e-6 * np.abs(want) + 0.01 * error
    if optimizer in ("rmsprop", "adam"):
        slack += 0.04 * np.minimum(2, error / np.maximum(np.abs(g), 1e-30))
    assert (np.abs(w.numpy() - (start - want)) <= slack).all()


def test_a_step_gives_the_same_bits_on_any_threads(isa):
    rng = np.random.default_rng(7)
    x, dz = matrix(rng, 70, 600), matrix(rng, 70, 1100)
    start = rng.standard_normal((600, 1100)).astype("float32")
    before, bits = _core.get_num_threads(), set()
    try:
        for count in (1, 2, 3, 8):
            _core.set_num_threads(count)
            w = Variable(start.copy())
            slots = [Variable(np.zeros(start.shape, "float32")) for _ in range(2)]
            program = step(w, slots, x, dz, "adam")
            out = [v.numpy() for _ in range(3) for v in program(x, dz)]
            bits.add(b"".join(v.tobytes() for v in [w.numpy(), slots[0].numpy(), *out]))
    finally:
        _core.set_num_threads(before)
    assert len(bits) == 1


def test_weights_are_read_before_they_step(isa):
    """The products read the weight of before, though its step is recorded between them."""
    rng = np.random.default_rng(8)
    x, dz = matrix(rng, 4, 40), matrix(rng, 4, 30)
    w = Variable(rng.standard_normal((40, 30)).astype("float32"))
    start = w.numpy().astype(HALF).astype("float64")
    graph = Graph()
    with graph:
        a, d = graph.input(x.shape, "bfloat16"), graph.input(dz.shape, "bfloat16")
        narrow = op.cast(w, "bfloat16")
        op.sgd(w, op.cast(op.matmul(a, d, 1, 0), "float32"), np.float32(0.5))
        dx, later = op.matmul(d, narrow, 0, 1), op.matmul(a, op.cast(w, "bfloat16"), 0, 0)
    dx, later = (v.numpy().astype("float64") for v in Program(graph, [dx, later])(x, dz))
    d, x = dz.astype("float64"), x.astype("float64")
    assert (np.abs(dx - d @ start.T) <= bound(d, start.T, d @ start.T)).all()
    now = w.numpy().astype(HALF).astype("float64")
    assert (now != start).any()
    assert (np.abs(later - x @ now) <= bound(x, now, x @ now)).all()


def classifier():
    nnc.utils.set_random_seed(1)
    layers = [nnc.layers.Dense(width, activation="relu", dtype="mixed_bfloat16") for width in (50, 70)]
    model = nnc.Sequential([nnc.Input((30,)), *layers, nnc.layers.Dense(4)])
    model.compile("adam", nnc.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def rows():
    rng = np.random.default_rng(9)
    return rng.standard_normal((64, 30)).astype("float32"), rng.integers(0, 4, 64)


def test_training_learns_and_predicts_rows_alike(isa):
    x, y = rows()
    model = classifier()
    losses = model.fit(x, y, epochs=12, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    whole = model.predict(x, verbose=0)
    assert np.array_equal(model.predict(x[:1], verbose=0), whole[:1])


def test_every_allocation_may_fail():
    x, y = rows()
    model = classifier()

    def work():
        model.fit(x, y, batch_size=64, verbose=0, shuffle=False)
        model.compile("sgd", nnc.losses.SparseCategoricalCrossentropy(from_logits=True))

    count = allocations(work)
    before = live()
    assert failing(work, min(count, 400)) > 0
    work()
    assert live() <= before + 4


def test_fit_and_profile_need_no_ml_dtypes_imported_before():
    """In a process of its own: watching a run and profiling it hold arrays of bfloat16."""
    code = """
import numpy as np, nnc
nnc.config.set_dtype_policy("mixed_bfloat16")
layers = [nnc.layers.Dense(16, activation="relu"), nnc.layers.Dense(4, activation="softmax")]
model = nnc.Sequential([nnc.Input((30,)), *layers])
model.compile("adam", "sparse_categorical_crossentropy")
x, y = np.random.rand(64, 30).astype("float32"), np.arange(64) % 4
profile = nnc.profile(model, x, y)
assert all(row["share_of_peak"] <= 1 for part in profile.parts.values() for row in part.rows)
model.fit(x, y, epochs=30, verbose=0)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
