"""GradientTape: against TensorFlow, against differences, and against the same step recorded."""
import os

import numpy as np
import pytest

import nnc
from nnc import ops

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def value(x, dtype="float64", **options):
    return nnc.Variable(np.asarray(x), dtype=dtype, **options)


def test_a_square():
    x = value(3.0)
    with nnc.GradientTape() as tape:
        y = x * x + 2.0 * x
    assert float(tape.gradient(y, x)) == 8.0


def test_structures_of_sources():
    a, b = value([1.0, 2.0]), value([3.0, 4.0])
    with nnc.GradientTape() as tape:
        y = ops.sum(a * b)
    grads = tape.gradient(y, {"a": a, "rest": [b]})
    np.testing.assert_array_equal(grads["a"], [3.0, 4.0])
    np.testing.assert_array_equal(grads["rest"][0], [1.0, 2.0])


def test_tensors_must_be_watched():
    x = nnc.Tensor(np.array([2.0, 3.0]))
    with nnc.GradientTape() as tape:
        y = x * x
    assert tape.gradient(y, x) is None
    with nnc.GradientTape() as tape:
        tape.watch(x)
        y = x * x
    np.testing.assert_array_equal(tape.gradient(y, x), [4.0, 6.0])


def test_only_trainable_variables_are_watched_by_themselves():
    a, b = value(2.0), value(3.0, trainable=False)
    with nnc.GradientTape() as tape:
        y = a * b
    assert [g is None for g in tape.gradient(y, [a, b])] == [False, True]
    with nnc.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(b)
        y = a * b
    assert [g is None for g in tape.gradient(y, [a, b])] == [True, False]


def test_persistent():
    x = value(2.0)
    with nnc.GradientTape(persistent=True) as tape:
        y = x * x
        z = y * y
    assert float(tape.gradient(z, x)) == 32.0 and float(tape.gradient(y, x)) == 4.0
    assert float(tape.gradient(z, x)) == 32.0
    with nnc.GradientTape() as tape:
        y = x * x
    tape.gradient(y, x)
    with pytest.raises(RuntimeError, match=r"persistent=True"):
        tape.gradient(y, x)


def test_output_gradients_and_several_targets():
    x = value([1.0, 2.0, 3.0])
    with nnc.GradientTape(persistent=True) as tape:
        y, z = x * x, 3.0 * x
    np.testing.assert_array_equal(tape.gradient(y, x, output_gradients=np.array([1.0, 0.0, 2.0])),
                                  [2.0, 0.0, 12.0])
    np.testing.assert_array_equal(tape.gradient([y, z], x), [5.0, 7.0, 9.0])
    with pytest.raises(ValueError, match=r"another shape than its target"):
        tape.gradient(y, x, output_gradients=np.ones(2))


def test_unconnected():
    x, other = value([1.0, 2.0]), value([5.0])
    with nnc.GradientTape(persistent=True) as tape:
        y = x * 2.0
        tape.watch(other)
    assert tape.gradient(y, other) is None
    np.testing.assert_array_equal(tape.gradient(y, other, unconnected_gradients="zero"), [0.0])
    with pytest.raises(ValueError, match="unconnected_gradients"):
        tape.gradient(y, other, unconnected_gradients="nothing")


def test_stop_recording_and_stop_gradient():
    x = value(2.0)
    with nnc.GradientTape() as tape:
        y = x * x
        with tape.stop_recording():
            z = y * 100.0
        w = y + z
    assert float(tape.gradient(w, x)) == 4.0
    with nnc.GradientTape() as tape:
        y = x * ops.stop_gradient(x)
    assert float(tape.gradient(y, x)) == 2.0


def test_gradients_of_gradients():
    x = value(0.7)
    with nnc.GradientTape() as outer:
        with nnc.GradientTape() as inner:
            y = ops.tanh(x) * ops.exp(x)
        first = inner.gradient(y, x)
    second = outer.gradient(first, x)
    t, e = np.tanh(0.7), np.exp(0.7)
    s = 1 - t * t
    np.testing.assert_allclose(float(first), e * (t + s), rtol=1e-12)       # float64
    np.testing.assert_allclose(float(second), e * (t + 2 * s - 2 * t * s), rtol=1e-12)


def test_variables_changed_after_they_were_read():
    """The gradient is that of the values which were read."""
    x = value(3.0)
    with nnc.GradientTape() as tape:
        y = x * x
        x.assign(100.0)
    assert float(tape.gradient(y, x)) == 6.0


def test_bad_targets_and_sources():
    x = value(1.0)
    with nnc.GradientTape(persistent=True) as tape:
        y = x * 2.0
    with pytest.raises(ValueError, match=r"target must be a tensor.*3.0"):
        tape.gradient(3.0, x)
    with pytest.raises(ValueError, match=r"sources must be variables or tensors.*'x'"):
        tape.gradient(y, "x")
    with pytest.raises(ValueError, match=r"only floating-point.*int32"):
        tape.watch(nnc.Tensor(np.arange(3, dtype="int32")))
    with pytest.raises(ValueError, match=r"jacobian: the target must be a tensor.*list"):
        tape.jacobian([y], x)
    with pytest.raises(RuntimeError, match=r"nothing was recorded"):
        nnc.GradientTape().gradient(y, x)


def in_steps(tape, x):
    """Recorded in two goes."""
    with tape:
        y = x * x
    with tape:
        return y * y


#: What a tape is asked, given the library's (tape class, ops, Variable, tensor, zero).
QUESTIONS = {
    "a tensor as its own target": lambda k: k.gradient(lambda t, x: x),
    "a variable as its own target": lambda k: k.gradient(lambda t, v: v, variable=True),
    "entered again": lambda k: k.gradient(in_steps, variable=True, enter=False),
    "reset within": lambda k: k.gradient(lambda t, v: (v * v, t.reset(), v * 3.0)[2],
                                         variable=True),
    "reset after what it needs": lambda k: k.gradient(
        lambda t, v: (y := v * v, t.reset(), y * 3.0)[2], variable=True),
    "jacobian": lambda k: k.gradient(lambda t, x: k.ops.sum(x * x, axis=1), ask="jacobian"),
    "jacobian of a number": lambda k: k.gradient(lambda t, x: k.ops.sum(x * x), ask="jacobian"),
    "jacobian of what does not depend": lambda k: k.gradient(lambda t, x: k.ops.ones((2,)),
                                                             ask="jacobian"),
    "zero jacobian": lambda k: k.gradient(lambda t, x: k.other * 2.0, ask="jacobian", zero=True),
    "batch_jacobian": lambda k: k.gradient(lambda t, x: k.ops.concatenate([x * x, x[:, :1]], 1),
                                           ask="batch_jacobian"),
    "batch_jacobian of what does not depend": lambda k: k.gradient(lambda t, x: k.other * 2.0,
                                                                   ask="batch_jacobian"),
    "empty targets": lambda k: k.gradient(lambda t, x: []),
    "whole numbers as a target": lambda k: k.gradient(lambda t, x: k.ops.cast(x * 3, "int32")),
    "watched in the middle": lambda k: k.gradient(
        lambda t, x: (k.note(y := x * x), t.watch(y), y * y)[2], source=lambda: k.noted),
    "three tapes": lambda k: third(k),
}


def third(k):
    x = k.variable(2.0)
    with k.tape() as a, k.tape() as b, k.tape() as c:
        y = x * x * x * x
        one = c.gradient(y, x)
        two = b.gradient(one, x)
    return [one, two, a.gradient(two, x)]


class Library:
    """One of the two, with the same words."""

    def __init__(self, tape, operations, variable, tensor, zero):
        self.tape, self.ops, self.variable, self.tensor = tape, operations, variable, tensor
        self.zero, self.noted = zero, None
        self.other = tensor(SQUARE + 1)

    def note(self, y):
        self.noted = y

    def gradient(self, function, ask="gradient", variable=False, enter=True, zero=False,
                 source=None):
        x = (self.variable if variable else self.tensor)(SQUARE)
        tape = self.tape()
        if enter:
            with tape:
                if variable:
                    self.ops.sum(x)                 # a variable is watched when it is read
                else:
                    tape.watch([x, self.other])
                y = function(tape, x)
        else:
            y = function(tape, x)
        options = {"unconnected_gradients": self.zero} if zero else {}
        return getattr(tape, ask)(y, x if source is None else source(), **options)


SQUARE = np.arange(6.0).reshape(3, 2) + 0.5


@pytest.mark.parametrize("name", QUESTIONS)
def test_answers_as_tensorflow(name):
    keras = pytest.importorskip("keras")
    tf = pytest.importorskip("tensorflow")
    theirs = Library(tf.GradientTape, keras.ops, lambda v: tf.Variable(v, dtype="float64"),
                     lambda v: tf.constant(v, "float64"), tf.UnconnectedGradients.ZERO)
    ours = Library(nnc.GradientTape, ops, value, lambda v: nnc.Tensor(np.array(v)), "zero")
    want, got = QUESTIONS[name](theirs), QUESTIONS[name](ours)
    assert (want is None) == (got is None)
    for a, b in zip(nnc.tree.flatten(got), tf.nest.flatten(want)):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-12)


def model_gradients(build, x, y, loss):
    """Gradients of a model's loss by an eager tape."""
    model = build(nnc)
    model.build((None, *x.shape[1:]))
    with nnc.GradientTape() as tape:
        value = loss(nnc)(y, model(x, training=True))
    return model, tape.gradient(value, model.trainable_variables)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "softmax", "gelu", "elu", "selu",
                                        "softplus", "silu", "leaky_relu", "linear"])
def test_dense_against_tensorflow(activation):
    keras = pytest.importorskip("keras")
    tf = pytest.importorskip("tensorflow")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(9, 5)).astype("float32")
    y = rng.normal(size=(9, 4)).astype("float32")

    def build(k):
        return k.Sequential([k.layers.Dense(7, activation=activation),
                             k.layers.Dense(4, use_bias=False)])

    def loss(k):
        return k.losses.MeanSquaredError()

    ours, grads = model_gradients(build, x, y, loss)
    theirs = build(keras)
    theirs.build((None, 5))
    theirs.set_weights(ours.get_weights())
    with tf.GradientTape() as tape:
        value = loss(keras)(y, theirs(x, training=True))
    for a, b in zip(grads, tape.gradient(value, theirs.trainable_variables)):
        # float32: sums of tens of terms, exp within 2 ulp
        np.testing.assert_allclose(a, b.numpy(), rtol=2e-4, atol=2e-6)


def test_dense_against_differences():
    """Central differences in float64: error of order step^2 = 1e-10."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    nnc.utils.set_random_seed(1)

    def build(k):
        return k.Sequential([k.layers.Dense(4, activation="tanh", dtype="float64"),
                             k.layers.Dense(2, activation="gelu", dtype="float64")])

    model = build(nnc)
    model.build((None, 3))
    loss = nnc.losses.MeanSquaredError(dtype="float64")
    with nnc.GradientTape() as tape:
        total = loss(y, model(nnc.Tensor(x)))
    grads = tape.gradient(total, model.trainable_variables)
    for variable, grad in zip(model.trainable_variables, grads):
        start, grad = variable.numpy(), grad.numpy()
        for index in np.ndindex(*start.shape):
            sides = []
            for step in (1e-5, -1e-5):
                moved = start.copy()
                moved[index] += step
                variable.assign(moved)
                sides.append(float(loss(y, model(nnc.Tensor(x)))))
            variable.assign(start)
            np.testing.assert_allclose(grad[index], (sides[0] - sides[1]) / 2e-5, rtol=1e-6,
                                       atol=1e-9)
