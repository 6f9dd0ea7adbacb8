"""Steps that work row by row go on with a part of the rows: the same bits as one after another."""
import numpy as np
import pytest

import nnc as keras
from nnc import _core
from nnc._core import Graph, Program, Tensor, op

ROWS = [33, 64, 250, 256, 300, 1000]


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


W1, B1 = Tensor(numbers(20, 32, seed=1)), Tensor(numbers(32, seed=2))
W2, B2 = Tensor(numbers(32, 7, seed=3)), Tensor(numbers(7, seed=4))
WIDE = Tensor(numbers(32, 4096, seed=5))


def dense(x, w, b, activation=-1):
    return op.dense(x, w, b, activation, 0.0)


def mlp(x):
    return op.softmax(dense(op.relu(dense(x, W1, B1), 0.0), W2, B2), -1)


def element_wise(x):
    h = dense(x, W1, B1)
    g = op.multiply(op.tanh(h, 0.0), op.sigmoid(h, 0.0))
    return op.add(op.matmul(g, W2, 0, 0), B2), op.exp(op.negative(op.absolute(g, 0.0), 0.0), 0.0)


def columns(x):
    """An operand with a number for each row."""
    h = dense(x, W1, B1)
    top = op.max(h, [1], 1)
    return op.log_softmax(op.subtract(h, top), -1), op.argmax(h, -1, 0)


def whole_between(x):
    """A step that needs all rows cuts a run in two."""
    h = op.relu(dense(x, W1, B1), 0.0)
    centred = op.subtract(h, op.mean(h, [0], 1))
    return op.softmax(dense(op.tanh(centred, 0.0), W2, B2), -1)


def also_turned(x):
    """All rows of one value are an operand of each row of another."""
    h = op.relu(dense(x, W1, B1), 0.0)
    return op.relu(op.matmul(op.tanh(h, 0.0), h, 0, 1), 0.0)


def large_weight(x):
    """A weight that is no part of a second-level cache stays with the tiles' own cut."""
    return op.relu(op.matmul(op.tanh(dense(x, W1, B1), 0.0), WIDE, 0, 0), 0.0)


FUNCTIONS = [mlp, element_wise, columns, whole_between, also_turned, large_weight]


def outputs_of(function, x):
    made = function(x)
    return list(made) if isinstance(made, tuple) else [made]


def program_of(function, rows):
    graph = Graph()
    with graph:
        made = outputs_of(function, graph.input((rows, 20), "float32"))
    return Program(graph, made)


def replayed(program, x, steps, shapes):
    rows = len(x) // steps
    out = [np.zeros((steps * rows, *shape[1:]), dtype) for shape, dtype in shapes]
    assert program.replay((x,), None, 0, steps, out) == steps
    return out


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_bits_are_those_of_eager_calls_on_any_number_of_threads(function, rows, isa, threads):
    x = numbers(12 * rows, 20)
    eager = [[y.numpy() for y in outputs_of(function, Tensor(x[k:k + rows]))]
             for k in range(0, len(x), rows)]
    shapes = [(y.shape, y.dtype) for y in eager[0]]
    made = replayed(program_of(function, rows), x, 12, shapes)
    for k, y in enumerate(made):
        assert y.tobytes() == np.concatenate([step[k] for step in eager]).tobytes()


def runs_of(program):
    """Names of the ops of each run, as the schedule says."""
    runs, inside = [], False
    for line in program.text().splitlines()[:-1]:
        mark, name = line[5], line[7:].split()[0]
        if mark == "#":
            if not inside or line[4] == "|":
                runs.append([])
            runs[-1].append(name)
        inside = mark == "#"
    return runs


def test_which_steps_go_together():
    assert runs_of(program_of(mlp, 512)) == [["dense", "dense", "softmax"]]
    assert runs_of(program_of(mlp, 64)) == []           # too few rows
    assert all("mean" not in run and "max" not in run
               for f in FUNCTIONS for run in runs_of(program_of(f, 512)))
    assert runs_of(program_of(whole_between, 2048)) == [["chain", "dense", "softmax"]]
    assert not any({"dense", "matmul"} <= set(run) for run in runs_of(program_of(also_turned, 512)))
    assert not any("matmul" in run for run in runs_of(program_of(large_weight, 512)))


def test_memory_that_is_used_again_within_a_run():
    """Values of other widths take the place of dead ones: a part may not write where another part's
    rows still lie."""
    widths = [20, 48, 5, 48, 20, 33, 3, 64, 20]
    weights = [(Tensor(numbers(a, b, seed=a + b)), Tensor(numbers(b, seed=b)))
               for a, b in zip(widths, widths[1:])]

    def function(x):
        for w, b in weights:
            x = op.tanh(dense(x, w, b), 0.0)
        return x

    x = numbers(4096, 20)
    before, bits = _core.get_num_threads(), set()
    try:
        for count in (1, 2, 3, 8):
            _core.set_num_threads(count)
            bits.add(replayed(program_of(function, 1024), x, 4, [((1024, 20), "float32")])[0]
                     .tobytes())
    finally:
        _core.set_num_threads(before)
    eager = np.concatenate([function(Tensor(x[k:k + 1024])).numpy() for k in range(0, 4096, 1024)])
    assert bits == {eager.tobytes()}


# ---- a step of training: few rows ----------------------------------------------------------------

WIDTHS = {"narrow": (784, [20, 20]), "two parts of k": (1100, [24, 12, 7]), "wide": (100, [96, 40])}
LOSSES = {"sparse": ("sparse_categorical_crossentropy", "softmax", ["accuracy"]),
          "one_hot": ("categorical_crossentropy", "softmax", ["accuracy"]),
          "binary": ("binary_crossentropy", "sigmoid", []), "mse": ("mse", "tanh", ["mae"])}


def fitted(widths, loss, batch, dtype="float32", weights=False, rows=None):
    """A model after two epochs, its history and what it has come to."""
    keras.utils.set_random_seed(3)
    width, units = WIDTHS[widths]
    name, last, metrics = LOSSES[loss]
    rng = np.random.default_rng(0)
    rows = rows or 5 * batch
    x = rng.normal(size=(rows, width)).astype(dtype)
    labels = rng.integers(0, 5, rows)
    y = labels if loss == "sparse" else np.eye(5, dtype=dtype)[labels]
    model = keras.Sequential([keras.Input((width,), dtype=dtype)] + [
        keras.layers.Dense(n, activation="relu", dtype=dtype) for n in units] + [
        keras.layers.Dense(5, activation=last, dtype=dtype)])
    model.compile("adam", name, metrics=metrics)
    given = {"sample_weight": rng.random(rows).astype("float32")} if weights else {}
    history = model.fit(x, y, batch_size=batch, epochs=2, verbose=0, **given).history
    return model, [history, model.evaluate(x, y, batch_size=batch, verbose=0),
                   [w.tobytes() for w in model.get_weights()]]


def on_threads(counts, work):
    before = _core.get_num_threads()
    try:
        for count in counts:
            _core.set_num_threads(count)
            yield work()
    finally:
        _core.set_num_threads(before)


@pytest.mark.parametrize("batch", [32, 33, 47, 100, 250])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("widths", WIDTHS)
def test_a_step_has_the_bits_of_one_thread(widths, loss, batch):
    one, *others = on_threads((1, 2, 3, 8), lambda: fitted(widths, loss, batch)[1])
    assert all(other == one for other in others)


@pytest.mark.parametrize("how", [{"dtype": "float64"}, {"weights": True}, {"rows": 1000}])
def test_a_step_of_another_kind(isa, how):
    one, *others = on_threads((1, 2, 3), lambda: fitted("narrow", "sparse", 32, **how)[1])
    assert all(other == one for other in others)


def program_of_kind(model, kind, rows):
    return next(found.program for key, found in model._programs.items()
                if key[:2] == (kind, rows) and hasattr(found, "program"))


def test_what_of_a_step_goes_together():
    """From the rows' sums of the first product to the last gradient of rows; sums over rows wait."""
    model = fitted("narrow", "sparse", 32)[0]
    products = ["dense"] * 3
    text = program_of_kind(model, "train", 32).text()
    assert runs_of(program_of_kind(model, "train", 32)) == [
        [*products, "softmax_loss", "matmul", "relu_grad", "matmul", "relu_grad"]]
    names = [line[7:].split()[0] for line in text.splitlines()[:-1]]
    assert names.count("sum_to") == 3
    assert all(names[i + 1] == "adam" for i, name in enumerate(names) if name == "sum_to")
    model = fitted("narrow", "sparse", 100)[0]
    assert runs_of(program_of_kind(model, "test", 100)) == [[*products, "softmax_loss"]]
    assert runs_of(program_of_kind(fitted("narrow", "sparse", 16)[0], "train", 16)) == []


def test_small_effects_are_shared_out():
    """One thread steps the second layer, another the third, while all are at the first."""
    model = fitted("narrow", "sparse", 32)[0]
    lines = program_of_kind(model, "train", 32).text().splitlines()
    owners = [line[5] for line in lines if line[7:].startswith("matmul_adam")]
    assert owners == ["=", "1", "2"]


def test_a_label_outside_is_told_and_changes_nothing():
    for model, _ in on_threads((1, 2, 3), lambda: fitted("narrow", "sparse", 32)):
        before = [w.tobytes() for w in model.get_weights()]
        x, y = np.zeros((32, 784), "float32"), np.full(32, 9)
        with pytest.raises((ValueError, IndexError), match="9"):
            model.fit(x, y, batch_size=32, verbose=0)
        assert [w.tobytes() for w in model.get_weights()] == before
