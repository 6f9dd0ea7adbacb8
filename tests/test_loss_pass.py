"""The pass that joins a step's cross-entropy, its gradient and the accuracy: where it applies, the
bits it must keep, and what is left as it was."""
import numpy as np
import pytest

import nnc as keras
from nnc import _core, layers, losses
from nnc._core import Graph, Program, op

ROWS = (1, 2, 3, 7, 8, 9, 10, 33, 70)
CLASSES = (1, 2, 3, 7, 8, 9, 10, 16, 17, 33)
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


@pytest.fixture(autouse=True)
def passes():
    yield
    _core.pass_enable("loss", True)
    _core.pass_enable("verify", False)


def case(rows, classes, dtype="float32", dense=False, seed=0):
    """Logits, some of them equal, and labels or targets."""
    rng = np.random.default_rng(seed + 100 * rows + classes)
    x = rng.normal(size=(rows, classes)).astype(dtype) * 3
    x[::3, -1] = x[::3, classes // 2]
    labels = rng.integers(0, classes, rows)
    labels[::2] = x[::2].argmax(1)
    return x, rng.random((rows, classes)).astype(dtype) if dense else labels


def loss_step(x, y, weights=None, of_p=True):
    """What a step of training makes: mean, mean times a number, gradient, hits."""
    dense = len(y.shape) == len(x.shape)
    crossentropy = op.softmax_crossentropy if dense else op.sparse_softmax_crossentropy
    loss, p = crossentropy(x, y)
    values = loss if weights is None else op.multiply(loss, weights)
    mean = op.mean(values, (), 0)
    rows = tuple(loss.shape)
    share = np.asarray(1 / np.prod(rows), x.dtype)
    dloss = op.fill(rows, float(share), x.dtype) if weights is None else op.multiply(weights, share)
    if dense:
        column = op.reshape(dloss, (*rows, 1))
        total = op.sum(y, (len(rows),), 1)
        dx = op.multiply(op.subtract(op.multiply(p, total), y), column)
    else:
        dx = op.sparse_softmax_crossentropy_grad(p, y, dloss)
    place = op.argmax(p if of_p else x, -1, 0)
    wanted = op.argmax(y, -1, 0) if dense else y
    hit = op.cast(op.equal(wanted, place), x.dtype)
    return mean, op.multiply(mean, float(np.prod(rows))), dx, op.sum(hit, (), 0)


def recorded(step, *arrays):
    graph = Graph()
    with graph:
        values = step(*(graph.input(a.shape, a.dtype.name) for a in arrays))
    return Program(graph, list(values))


def run(program, *arrays):
    out = [np.empty((1, *shape), dtype) for shape, dtype in program.output_signature]
    program.replay(arrays, None, 0, 1, out, 0.0)
    return [a[0] for a in out]


def is_joined(program):
    text = program.text()
    return "softmax_loss" in text and "crossentropy" not in text and "argmax" not in text and \
        " mean " not in text and " equal " not in text


def reference(x, y):
    """Of float64: mean, gradient, hits of logits."""
    x = x.astype("float64")
    e = np.exp(x - x.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    log_p = x - x.max(1, keepdims=True) - np.log(e.sum(1, keepdims=True))
    t = y.astype("float64") if y.ndim == 2 else np.eye(x.shape[1])[y]
    mean = -(t * log_p).sum(1).mean()
    return mean, (p * t.sum(1, keepdims=True) - t) / len(x), (x.argmax(1) == t.argmax(1)).sum()


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("dense", (False, True))
def test_joined_is_the_parts_bit_for_bit_and_right(isa, dense, dtype):
    # A loss of up to 20 and a gradient of up to sum(t) / rows, after sums of some 40 roundings.
    tolerance = 60 * np.finfo(dtype).eps
    for rows in ROWS:
        for classes in CLASSES:
            x, y = case(rows, classes, dtype, dense)
            results = {}
            for on in (False, True):
                _core.pass_enable("loss", on)
                for of_p in (False, True):
                    program = recorded(lambda a, b, p=of_p: loss_step(a, b, of_p=p), x, y)
                    assert is_joined(program) is on
                    results[on, of_p] = run(program, x, y)
            for of_p in (False, True):
                for got, want in zip(results[True, of_p], results[False, of_p]):
                    assert got.tobytes() == want.tobytes(), (rows, classes, of_p)
            mean, dx, hits = reference(x, y)
            got = results[True, False]
            scale = max(1, y.sum(1).max()) if dense else 1
            assert abs(got[0] - mean) <= tolerance * 20 * scale
            assert np.abs(got[2] - dx).max() <= tolerance * scale
            assert got[3] == hits


@pytest.mark.parametrize("integer", INTEGERS)
def test_labels_of_every_dtype(integer):
    x, y = case(33, 10)
    want = run(recorded(loss_step, x, y), x, y)
    got = run(recorded(loss_step, x, y.astype(integer)), x, y.astype(integer))
    assert [a.tobytes() for a in got] == [a.tobytes() for a in want]
    through = recorded(lambda a, b: loss_step(a, op.cast(b, "float32")), x, y.astype(integer))
    assert [a.tobytes() for a in run(through, x, y.astype(integer))] == \
        [a.tobytes() for a in want]
    assert is_joined(through)


def test_nan_and_infinities_count_as_argmax_counts_them():
    x, y = case(33, 10)
    x[3, 4], x[9, 0], x[10], x[20, 9] = np.nan, np.inf, -np.inf, -np.inf
    x[30] = np.nan
    y[[3, 9, 10, 20, 30]] = [4, 0, 0, 2, 0]
    for of_p in (False, True):
        _core.pass_enable("loss", True)
        joined = run(recorded(lambda a, b: loss_step(a, b, of_p=of_p), x, y), x, y)
        _core.pass_enable("loss", False)
        apart = run(recorded(lambda a, b: loss_step(a, b, of_p=of_p), x, y), x, y)
        assert joined[3] == apart[3]
        assert np.array_equal(joined[2], apart[2], equal_nan=True)
        assert np.isnan(joined[0]) and np.isnan(apart[0])


@pytest.mark.parametrize("label", (-1, 10))
def test_a_label_outside_is_told_with_its_row(label):
    x, y = case(33, 10)
    y[17] = label
    with pytest.raises(IndexError, match=rf"label {label} at row 17 is outside 0\.\.9"):
        run(recorded(loss_step, x, y), x, y)


def test_weights_are_joined():
    x, y = case(33, 10)
    weights = np.random.default_rng(1).random(33).astype("float32")
    results = []
    for on in (True, False):
        _core.pass_enable("loss", on)
        program = recorded(loss_step, x, y, weights)
        assert is_joined(program) is on
        results.append([a.tobytes() for a in run(program, x, y, weights)])
    assert results[0] == results[1]


@pytest.mark.parametrize("rows,classes", ((4096, 10), (300, 100), (5, 9000)))
def test_threads_change_no_bit(threads, rows, classes):
    x, y = case(rows, classes)
    program = recorded(loss_step, x, y)
    assert is_joined(program)
    got = [a.tobytes() for a in run(program, x, y)]
    _core.set_num_threads(1)
    assert got == [a.tobytes() for a in run(program, x, y)]


# ---- what the pass leaves as it is ----

def test_who_else_reads_the_rows_still_gets_them():
    """Rows of losses and probabilities are outputs of the joint node where they are asked for."""
    x, y = case(9, 10)

    def step(a, b):
        loss, p = op.sparse_softmax_crossentropy(a, b)
        dx = op.sparse_softmax_crossentropy_grad(p, b, op.fill((9,), 0.5, "float32"))
        return loss, p, dx, op.mean(loss, (), 0)
    results = []
    for on in (True, False):
        _core.pass_enable("loss", on)
        program = recorded(step, x, y)
        assert ("softmax_loss" in program.text()) is on
        results.append([a.tobytes() for a in run(program, x, y)])
    assert results[0] == results[1]


def test_a_gradient_that_depends_on_the_loss_stays_apart():
    x, y = case(9, 10)

    def step(a, b):
        loss, p = op.sparse_softmax_crossentropy(a, b)
        return op.sparse_softmax_crossentropy_grad(p, b, op.square(loss)), op.mean(loss, (), 0)
    _core.pass_enable("verify", True)
    program = recorded(step, x, y)
    assert "sparse_softmax_crossentropy_grad" in program.text()
    joined = run(program, x, y)
    _core.pass_enable("loss", False)
    for got, want in zip(joined, run(recorded(step, x, y), x, y)):
        assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("change", (
    lambda y: op.cast(y, "int8"),           # 300 classes do not fit
    lambda y: op.minimum(y, 5),             # other labels
))
def test_other_labels_are_compared_apart(change):
    x, y = case(9, 300)

    def step(a, b):
        loss, p = op.sparse_softmax_crossentropy(a, b)
        place = op.argmax(p, -1, 0)
        wanted = change(b)
        return op.mean(loss, (), 0), op.cast(op.equal(wanted, op.cast(place, wanted.dtype)),
                                             "float32")
    program = recorded(step, x, y)
    assert "argmax" in program.text()
    joined = run(program, x, y)
    _core.pass_enable("loss", False)
    for got, want in zip(joined, run(recorded(step, x, y), x, y)):
        assert got.tobytes() == want.tobytes()


# ---- the op by itself ----

def test_the_op_gives_everything_at_once():
    x, y = case(9, 40)
    loss, p, dx, hit, mean, scaled, hits = (a.numpy() for a in
                                            op.softmax_loss(x, y, 0, 0, 0, 9.0))
    loss_apart, p_apart = op.sparse_softmax_crossentropy(x, y)
    assert loss.tobytes() == loss_apart.numpy().tobytes()
    assert p.tobytes() == p_apart.numpy().tobytes()
    one = op.sparse_softmax_crossentropy_grad(p, y, np.ones(9, "float32")).numpy()
    assert dx.tobytes() == one.tobytes()
    assert hit.tolist() == (p.argmax(1) == y).tolist() and hits == hit.sum()
    assert scaled == mean * np.float32(9) and abs(mean - loss.mean()) < 1e-6 * mean


# ---- models ----

def model(classes, activation, loss, seed=3):
    keras.utils.set_random_seed(seed)
    m = keras.Sequential([layers.Input((6,)), layers.Dense(12, activation="relu"),
                          layers.Dense(classes, activation=activation)])
    m.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    return m


MODELS = {
    "labels": ("softmax", "sparse_categorical_crossentropy", False, {}),
    "logits": (None, losses.SparseCategoricalCrossentropy(from_logits=True), False, {}),
    "column": ("softmax", "sparse_categorical_crossentropy", "column", {}),
    "one_hot": ("softmax", "categorical_crossentropy", True, {}),
    "weights": ("softmax", "sparse_categorical_crossentropy", False,
                {"class_weight": {k: 1.0 + k for k in range(10)}}),
}
APART = {
    "smoothing": ("softmax", losses.CategoricalCrossentropy(label_smoothing=0.1), True, {}),
    "ignored": ("softmax", losses.SparseCategoricalCrossentropy(ignore_class=3), False, {}),
    "focal": ("softmax", "categorical_focal_crossentropy", True, {}),
}


@pytest.mark.parametrize("name", [*MODELS, *APART])
def test_fit_and_evaluate_keep_every_bit(name):
    activation, loss, dense, options = {**MODELS, **APART}[name]
    rng = np.random.default_rng(0)
    x, y = rng.random((45, 6)).astype("float32"), rng.integers(0, 10, 45)
    y = np.eye(10, dtype="float32")[y] if dense is True else y[:, None] if dense else y
    seen = []
    for on in (True, False):
        _core.pass_enable("loss", on)
        m = model(10, activation, loss)
        history = m.fit(x, y, batch_size=16, epochs=3, verbose=0, **options).history
        result = m.evaluate(x, y, batch_size=16, verbose=0)
        seen.append((history, result, [w.tobytes() for w in m.get_weights()]))
        texts = [r.program.text() for r in m._programs.values() if hasattr(r, "program")]
        if name in MODELS:
            assert all(("softmax_loss" in t) is on and ("argmax" in t) is not on for t in texts)
    assert seen[0] == seen[1]
