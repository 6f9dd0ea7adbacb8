"""Branches and loops: against their definitions in NumPy and Keras on TensorFlow, their gradients,
and recorded against eager."""
import numpy as np
import pytest

import nnc
from nnc import _core, ops

X = np.random.default_rng(1).normal(size=(5, 3)).astype("float32")


def recorded(function, *arrays):
    """The outputs of a function of tensors, from a program."""
    graph = _core.Graph()
    with graph:
        outputs = function(*(graph.input(a.shape, a.dtype.name) for a in arrays))
    return [np.asarray(out) for out in _core.Program(graph, nnc.tree.flatten(outputs))(*arrays)]


def cumulative(carry, x):
    carry = carry + ops.square(x)
    return carry, {"twice": carry * 2, "x": x}


CASES = {
    "scan": (lambda x: ops.scan(cumulative, ops.zeros((3,)), x),
             lambda x: [(x**2).sum(0), (x**2).cumsum(0) * 2, x]),
    "scan backwards": (lambda x: ops.scan(cumulative, ops.zeros((3,)), x, reverse=True),
                       lambda x: [(x**2).sum(0), (x**2)[::-1].cumsum(0)[::-1] * 2, x]),
    "scan without xs": (lambda x: ops.scan(lambda c, _: (c * x[0, 0], c), ops.ones(()), length=3),
                        lambda x: [x[0, 0]**3, x[0, 0] ** np.arange(3)]),
    "scan without ys": (lambda x: ops.scan(lambda c, v: (c + v, None), ops.zeros((3,)), x)[0],
                        lambda x: [x.sum(0)]),
    "map": (lambda x: ops.map(lambda v: {"a": ops.sum(v), "b": v * 2}, x),
            lambda x: [x.sum(1), x * 2]),
    "map of a nest": (lambda x: ops.map(lambda v: v[0] * v[1], (x, x[:, :1])),
                      lambda x: [x * x[:, :1]]),
    "vectorized_map": (lambda x: ops.vectorized_map(lambda v: ops.outer(v, v), x),
                       lambda x: [x[:, :, None] * x[:, None, :]]),
    "fori_loop": (lambda x: ops.fori_loop(1, 4, lambda i, v: v * i + x, x),
                  lambda x: [((x * 1 + x) * 2 + x) * 3 + x]),
    "associative_scan": (lambda x: ops.associative_scan(lambda a, b: a + b, x, axis=0),
                         lambda x: [x.cumsum(0)]),
    "associative_scan, another axis": (
        lambda x: ops.associative_scan(lambda a, b: a * b, x, reverse=True, axis=-1),
        lambda x: [x[:, ::-1].cumprod(1)[:, ::-1]]),
    "associative_scan of a nest": (     # s = a s + b, as pairs
        lambda x: ops.associative_scan(lambda p, q: (p[0] * q[0], p[1] * q[0] + q[1]), (x, x + 1)),
        lambda x: [x.cumprod(0), linear(x, x + 1)]),
    "cond": (lambda x: ops.cond(True, lambda: x + 1, lambda: x - 1), lambda x: [x + 1]),
    "switch": (lambda x: [ops.switch(i, [lambda v: v, lambda v: v * 2, lambda v: v * 3], x)
                          for i in (-1, 1, 7)], lambda x: [x, x * 2, x * 3]),
}


def linear(a, b):
    s, found = np.zeros_like(b[0]), []
    for p, q in zip(a, b):
        s = p * s + q
        found.append(s)
    return np.array(found)


@pytest.mark.parametrize("name", CASES)
def test_values_recorded_and_slopes(name):
    function, definition = CASES[name]
    eager = [np.asarray(v) for v in nnc.tree.flatten(function(ops.convert_to_tensor(X)))]
    want = definition(X.astype("float64"))
    assert len(eager) == len(want)
    for got, right in zip(eager, want):
        np.testing.assert_allclose(got, right, rtol=2e-5, atol=2e-6)     # a few roundings each
    for got, again in zip(recorded(function, X), eager):
        assert got.tobytes() == again.tobytes()

    def total(x):
        return sum(float(ops.sum(v * v)) for v in nnc.tree.flatten(function(x)))

    x = nnc.Variable(X.astype("float64"), dtype="float64")
    with nnc.GradientTape() as tape:
        loss = sum(ops.sum(v * v) for v in nnc.tree.flatten(function(x.value)))
    gradient = tape.gradient(loss, x).numpy()
    for place in [(0, 0), (2, 1), (4, 2)]:
        step = np.zeros_like(X, "float64")
        step[place] = 1e-6
        slope = (total(X + step) - total(X - step)) / 2e-6
        assert gradient[place] == pytest.approx(slope, rel=1e-6, abs=1e-6)


def test_while_loop():
    count, total = ops.while_loop(lambda i, s: i < 5, lambda i, s: (i + 1, s + i), (0, 0))
    assert (int(count), int(total)) == (5, 10)
    assert int(ops.while_loop(lambda i: i < 5, lambda i: i + 1, 0)) == 5
    kept = ops.while_loop(lambda i: True, lambda i: [i + 1], [0], maximum_iterations=7)
    assert type(kept) is list and int(kept[0]) == 7
    x = nnc.Variable(2.0)
    with nnc.GradientTape() as tape:
        y, = ops.while_loop(lambda y: y < 100, lambda y: (y * x.value,), (x.value,))
    assert float(y) == 128 and float(tape.gradient(y, x)) == 7 * 2**6


def test_only_the_branch_that_is_taken_runs():
    calls = []
    for pred in (True, ops.convert_to_tensor(0.0), np.bool_(True)):
        ops.cond(pred, lambda: calls.append(1), lambda: calls.append(2))
    assert calls == [1, 2, 1]


def test_python_that_branches_on_data_makes_a_step_eager():
    class Model(nnc.Model):
        def __init__(self):
            super().__init__()
            self.dense = nnc.layers.Dense(1)

        def call(self, x):
            y = self.dense(x)
            if ops.sum(y) > 0:                      # the line that the notice names
                return y
            return -y

    line = Model.call.__code__.co_firstlineno + 2
    model = Model()
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match=f"runs eagerly.*test_control_flow.py, line {line}") as seen:
        model.fit(X, X[:, :1], epochs=3, verbose=0)
    assert len([w for w in seen if "runs eagerly" in str(w.message)]) == 1
    assert np.sum(model(X)) >= 0


@pytest.mark.parametrize("call, error, text", [
    (lambda: ops.cond(True, 1, lambda: 2), TypeError, "cond: `true_fn`"),
    (lambda: ops.switch(0, []), ValueError, "switch: `branches`"),
    (lambda: ops.while_loop(lambda i: True, lambda i: (i, i), (0,)), ValueError, "while_loop: `body`"),
    (lambda: ops.scan(cumulative, 0.0), ValueError, "scan: .*`length`"),
    (lambda: ops.scan(cumulative, 0.0, X, length=2), ValueError, "scan: `length`"),
    (lambda: ops.scan(cumulative, 0.0, X, unroll=-1), ValueError, "scan: `unroll`"),
    (lambda: ops.map(lambda v: v, (X, X[:2])), ValueError, "map: .*leading size"),
    (lambda: ops.map(lambda v: v, X[:0]), ValueError, "map: `xs`"),
    (lambda: ops.associative_scan(lambda a, b: a, X, axis=2), ValueError, "associative_scan: axis"),
    (lambda: ops.fori_loop(0, 3, None, X), TypeError, "fori_loop: `body_fun`")])
def test_refusals(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_jvp():
    a, b = X.astype("float64"), np.abs(X[0]).astype("float64")
    da, db = np.ones_like(a), np.arange(3.0)

    def function(a, b):
        return {"y": ops.sin(a) * b, "s": ops.sum(ops.log(b))}

    out, along = ops.jvp(function, (a, b), (da, db))
    step = 1e-6
    high, low = (function(ops.convert_to_tensor(a + s * da, "float64"),
                          ops.convert_to_tensor(b + s * db, "float64")) for s in (step, -step))
    for key in ("y", "s"):
        slope = (np.asarray(high[key]) - np.asarray(low[key])) / (2 * step)
        np.testing.assert_allclose(along[key], slope, rtol=1e-7, atol=1e-8)
        np.testing.assert_allclose(out[key], function(a, b)[key], rtol=1e-15)
    got, = recorded(lambda x: ops.jvp(ops.square, (x,), (x,))[1], X)
    np.testing.assert_allclose(got, 2 * X * X, rtol=1e-6)
    assert ops.jvp(lambda x: (x * 2, "more"), (X,), (X,), has_aux=True)[2] == "more"
    assert not np.asarray(ops.jvp(lambda x: ops.ones((2,)), (X,), (X,))[1]).any()
    with pytest.raises(ValueError, match="jvp: `tangents`"):
        ops.jvp(ops.sin, (X,), (X[:2],))


def test_like_keras():
    keras = pytest.importorskip("keras")
    theirs, ours = keras.ops, ops
    for o in (theirs, ours):
        carry, ys = o.scan(lambda c, x: (c + x, c * 2), o.zeros((3,)), o.convert_to_tensor(X),
                           reverse=True)
        last = o.associative_scan(lambda a, b: a * b, o.convert_to_tensor(X), reverse=True, axis=1)
        loop = o.while_loop(lambda i, v: o.sum(v) < 50, lambda i, v: (i + 1, v * 2),
                            (0, o.convert_to_tensor(np.abs(X))))
        mapped = o.map(lambda v: o.cumsum(v), o.convert_to_tensor(X))
        part = o.switch(5, [lambda v: v, lambda v: v + 1], o.convert_to_tensor(X))
        found = [np.asarray(v) for v in (carry, ys, last, loop[0], loop[1], mapped, part)]
        if o is theirs:
            wanted = found
    for got, right in zip(found, wanted):
        np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-6)    # other orders of sums
