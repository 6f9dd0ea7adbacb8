"""custom_gradient, jacobian, batch_jacobian and watched_variables: against TensorFlow's, eager
against recorded."""
import gc
import weakref

import numpy as np
import pytest

import nnc
from nnc import _core, ops

from live import keras, same

tf = pytest.importorskip("tensorflow")
X = np.random.default_rng(3).normal(size=(4, 3)).astype("float32")


def clipped(o):
    """Two outputs, and a gradient that is not theirs."""
    @o.custom_gradient
    def function(x, w):
        a, b = o.sum(x * w, axis=-1), o.exp(x)

        def grad(da, db):
            return o.expand_dims(da, -1) * w + o.clip(db, -0.5, 0.5), o.sum(x, axis=0) * 3.0
        return (a, b), grad
    return function


def total(o, a, b, x):
    return o.sum(a * a) + o.sum(b * x) * 0.1


def theirs(x, w):
    x, w = tf.constant(x), tf.constant(w)
    with tf.GradientTape() as tape:
        tape.watch([x, w])
        a, b = clipped(keras.ops)(x, w)
        loss = total(keras.ops, a, b, x)
    return loss, *tape.gradient(loss, [x, w])


def step(x, w):
    with nnc.GradientTape() as tape:
        tape.watch([x, w])
        a, b = clipped(ops)(x, w)
        loss = total(ops, a, b, x)
    return (loss, *tape.gradient(loss, [x, w]))


def recorded(function, *arrays):
    graph = _core.Graph()
    with graph:
        outputs = function(*(graph.input(a.shape, a.dtype.name) for a in arrays))
    return [np.asarray(out) for out in _core.Program(graph, nnc.tree.flatten(outputs))(*arrays)]


def test_as_tensorflow_eager_and_recorded():
    w = X[0]
    eager = step(ops.convert_to_tensor(X), ops.convert_to_tensor(w))
    for got, want in zip(eager, theirs(X, w)):
        same(got, want, rtol=1e-5)      # sums of twelve terms
    for got, again in zip(recorded(step, X, w), eager):
        assert got.tobytes() == np.asarray(again).tobytes()


def test_second_derivatives():
    def second(tape_of, o, x):
        @o.custom_gradient
        def cube(v):
            return v * v * v, lambda dy: dy * 5.0 * v * v
        with tape_of() as outer:
            outer.watch(x)
            with tape_of() as inner:
                inner.watch(x)
                y = o.sum(cube(x))
            g = inner.gradient(y, x)
        return outer.gradient(g, x)
    want = second(tf.GradientTape, keras.ops, tf.constant(X))
    same(second(nnc.GradientTape, ops, ops.convert_to_tensor(X)), want)
    (got,) = recorded(lambda x: second(nnc.GradientTape, ops, x), X)
    same(got, want)


def test_variables_need_an_argument():
    v = nnc.Variable(np.float32(2.0))

    @ops.custom_gradient
    def without(x):
        return x * v, lambda dy: dy

    @ops.custom_gradient
    def with_them(x):
        def grad(dy, variables):
            assert variables == [v]
            return dy * 7.0, [ops.sum(dy * x) * 11.0]
        return x * v, grad

    with pytest.raises(TypeError, match="`variables`"):
        without(ops.convert_to_tensor(X))
    for run in (lambda f: [np.asarray(a) for a in f(ops.convert_to_tensor(X))],
                lambda f: recorded(f, X)):
        def both(x):
            with nnc.GradientTape() as tape:
                tape.watch(x)
                y = ops.sum(with_them(x))
            return tape.gradient(y, [x, v])
        dx, dv = run(both)
        np.testing.assert_array_equal(dx, np.full_like(X, 7.0))
        np.testing.assert_allclose(dv, 11 * X.sum(), rtol=1e-5)     # twelve roundings


@pytest.mark.parametrize("grad, text", [
    (lambda dy: (dy, dy), "each of the 1 arguments"), (lambda dy: dy[:1], "shape"),
])
def test_wrong_gradients_are_refused(grad, text):
    f = ops.custom_gradient(lambda x: (x * 2, grad))
    x = nnc.Variable(X)
    with nnc.GradientTape() as tape:
        y = f(x)
    with pytest.raises(ValueError, match=text):
        tape.gradient(y, x)


@pytest.mark.parametrize("result", [None, 3, (1, 2), (1, 2, 3)])
def test_what_is_no_pair_is_refused(result):
    with pytest.raises(TypeError, match="must return a pair"):
        ops.custom_gradient(lambda x: result)(X)


def test_upstream_by_keyword():
    @ops.custom_gradient
    def f(x):
        return x * 2, lambda *args, upstream: upstream * args[0]
    x = nnc.Variable(X)
    with nnc.GradientTape() as tape:
        y = ops.sum(f(x))
    np.testing.assert_array_equal(tape.gradient(y, x), X)


class Reversal(nnc.layers.Layer):
    """The identity, with the gradient's sign turned."""

    def call(self, x):
        @ops.custom_gradient
        def turn(v):
            return v + 0.0, lambda dy: -dy
        return turn(x)


def test_in_layers_training_is_recorded_and_equals_eager():
    def train(eagerly, turned):
        nnc.utils.set_random_seed(1)
        model = nnc.Sequential([nnc.Input((3,)), nnc.layers.Dense(4, "tanh"),
                                Reversal() if turned else nnc.layers.Identity(),
                                nnc.layers.Dense(1)])
        model.compile("sgd", "mse", run_eagerly=eagerly)
        model.fit(X, X[:, :1], batch_size=2, epochs=2, shuffle=False, verbose=0)
        return model, [w.numpy() for w in model.weights]
    model, graph = train(False, True)
    assert not model._eager_kinds and model._programs
    for a, b in zip(graph, train(True, True)[1]):
        assert a.tobytes() == b.tobytes()
    assert any((a != b).any() for a, b in zip(graph, train(False, False)[1]))


def test_in_functional_models():
    x = nnc.Input((3,))
    double = ops.custom_gradient(lambda v: (v * 2, lambda dy: dy * 10.0))
    model = nnc.Model(x, double(x))
    np.testing.assert_array_equal(model.predict(X, verbose=0), X * 2)
    data = ops.convert_to_tensor(X)
    with nnc.GradientTape() as tape:
        tape.watch(data)
        y = model(data)
    np.testing.assert_array_equal(tape.gradient(y, data), np.full_like(X, 10.0))


def test_a_recording_does_not_keep_itself_alive():
    class Canary:
        pass
    canary = Canary()
    seen = weakref.ref(canary)

    def keep(x):
        held = canary
        y = ops.exp(x)

        def grad(dy):
            return dy * y if held else dy
        return y, grad
    graph = _core.Graph()
    with graph:
        out = ops.custom_gradient(keep)(graph.input((2,), "float32"))
        program = _core.Program(graph, [out])
    del keep, canary, out, graph
    gc.collect()
    assert seen() is None and program is not None


# ---- Jacobians ----

def jacobians(o, tape_of, x, w):
    """Of functions of one and of two arguments, some that do not depend on them."""
    with tape_of(persistent=True) as tape:
        tape.watch([x, w])
        y = o.tanh(o.matmul(x, w))
        s = o.sum(w * w)
    found = [*tape.jacobian(y, [x, w]), tape.jacobian(s, w), tape.jacobian(s, x),
             tape.jacobian(s, x, unconnected_gradients="zero") if o is ops else
             tape.jacobian(s, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)]
    found.append(tape.batch_jacobian(y, x))
    return found


def test_jacobians_as_tensorflow():
    w = np.random.default_rng(4).normal(size=(3, 2)).astype("float32")
    want = jacobians(keras.ops, tf.GradientTape, tf.constant(X), tf.constant(w))
    got = jacobians(ops, nnc.GradientTape, ops.convert_to_tensor(X), ops.convert_to_tensor(w))
    assert [g is None for g in got] == [g is None for g in want]
    for a, b in zip(got, want):
        if a is not None:
            same(a, b, rtol=1e-5)       # tanh's slope, 1 - y^2, loses a digit
    again = recorded(lambda x, w: [g for g in jacobians(ops, nnc.GradientTape, x, w)
                                   if g is not None], X, w)
    for a, b in zip([g for g in got if g is not None], again):
        assert np.asarray(a).tobytes() == b.tobytes()


def test_a_hessian():
    x = nnc.Variable(X[0])
    with nnc.GradientTape() as outer:
        with nnc.GradientTape() as inner:
            y = ops.sum(x * x * x) + x[0] * x[1]
        g = inner.gradient(y, x)
    want = np.diag(6 * X[0])
    want[0, 1] = want[1, 0] = 1
    np.testing.assert_allclose(outer.jacobian(g, x), want, rtol=1e-6)


def test_jacobians_refuse():
    x = nnc.Variable(X)
    with nnc.GradientTape() as tape:
        y = x * 2
    with pytest.raises(ValueError, match="same first axis"):
        tape.batch_jacobian(y[:2], x)
    tape.jacobian(y[0, 0], x)
    with pytest.raises(RuntimeError, match="persistent"):
        tape.jacobian(y, x)


def test_watched_variables():
    a, b, c = (nnc.Variable(X) for _ in range(3))
    frozen = nnc.Variable(X, trainable=False)

    def read():
        ops.sum(c)
        with nnc.GradientTape() as tape:
            y = a * b + frozen
            tape.watch(a)
        assert tape.watched_variables() == (a, b)
        with nnc.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(b)
            ops.sum(a + b)
        assert tape.watched_variables() == (b,)
        tape.reset()
        assert tape.watched_variables() == ()
        return y
    read()
    graph = _core.Graph()
    with graph:
        read()
