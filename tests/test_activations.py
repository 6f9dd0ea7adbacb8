"""Activations beside Keras: values and gradients over a range with the kinks in it, names,
configurations.
"""
import numpy as np
import pytest
from live import keras, same, values

import nnc

X = np.concatenate([np.linspace(-8, 8, 65),
                    [-100, -30, 30, 100, -3, 3, -1, 1, 0.5, -0.5, 6, 0.2, 1e-4]])
X = X.astype("float32").reshape(6, 13)

#: name and arguments
ACTIVATIONS = [(name, {}) for name in (
    "relu", "leaky_relu", "relu6", "softmax", "celu", "elu", "selu", "softplus", "softsign",
    "squareplus", "soft_shrink", "sparse_plus", "silu", "gelu", "tanh", "tanh_shrink", "sigmoid",
    "sparse_sigmoid", "hard_sigmoid", "hard_silu", "hard_tanh", "hard_shrink", "linear", "mish",
    "log_softmax", "log_sigmoid")]
ACTIVATIONS += [
    ("relu", {"negative_slope": 0.1}), ("relu", {"max_value": 6}), ("relu", {"max_value": 2.5}),
    ("relu", {"threshold": 1.0}),
    ("relu", {"negative_slope": 0.2, "max_value": 3.0, "threshold": 0.5}),
    ("relu", {"negative_slope": 0.2, "max_value": 3.0}), ("leaky_relu", {"negative_slope": 0.3}),
    ("elu", {"alpha": 0.5}), ("celu", {"alpha": 2.0}), ("gelu", {"approximate": True}),
    ("softmax", {"axis": 0}), ("log_softmax", {"axis": 0}), ("soft_shrink", {"threshold": 1.5}),
    ("hard_shrink", {"threshold": 1.5}), ("squareplus", {"b": 2}),
    ("threshold", {"threshold": 0.5, "default_value": -2.0})]
IDS = [f"{name}-{'-'.join(arguments)}-{i}" for i, (name, arguments) in enumerate(ACTIVATIONS)]


@pytest.mark.parametrize("name, arguments", ACTIVATIONS, ids=IDS)
def test_value_and_gradient(name, arguments):
    import tensorflow as tf

    x, z = nnc.ops.convert_to_tensor(X), tf.constant(X)
    weight = np.random.default_rng(0).normal(size=X.shape).astype("float32")
    with nnc.GradientTape() as tape:
        tape.watch(x)
        y = getattr(nnc.activations, name)(x, **arguments)
        total = nnc.ops.sum(y * weight)
    with tf.GradientTape() as theirs:
        theirs.watch(z)
        wanted = getattr(keras.activations, name)(z, **arguments)
        loss = tf.reduce_sum(wanted * weight)
    # atol: tanh_shrink and the gelu family cancel near 0, where values are of the order of 1;
    # TensorFlow's # gelu cancels at -5 too, where the gradient is 1e-6.
    same(y, wanted, rtol=3e-6, atol=1e-6)
    ours, other = values(tape.gradient(total, x)), values(theirs.gradient(loss, z))
    if name == "celu":      # TensorFlow counts both sides of the kink at 0: 2, not 1
        ours, other = ours[X != 0], other[X != 0]
    same(ours, other, rtol=1e-5, atol=5e-6)


@pytest.mark.parametrize("axis", [-1, 0])
def test_glu(axis):
    x = X[:, :12]
    same(nnc.activations.glu(x, axis), keras.activations.glu(keras.ops.array(x), axis))
    with pytest.raises(ValueError, match="even"):
        nnc.activations.glu(X, -1)


def test_exponential_and_integers():
    same(nnc.activations.exponential(X[0]), keras.activations.exponential(X[0]))
    assert values(nnc.activations.relu(np.array([-2, 3], "int32"))).tolist() == [0, 3]


@pytest.mark.parametrize("name", [name for name, arguments in ACTIVATIONS if not arguments])
def test_nan_passes(name):
    if name not in ("sparse_plus", "sparse_sigmoid", "hard_shrink", "soft_shrink"):
        y = values(getattr(nnc.activations, name)(np.array([[np.nan, 1.0]], "float32")))
        assert np.isnan(y[0, 0])


def test_names():
    import keras.src.activations as table

    for name, function in table.ALL_OBJECTS_DICT.items():
        if name in ("sparsemax",):      # needs a sort
            continue
        assert nnc.activations.get(name).__name__ == function.__name__
        ours = nnc.activations.serialize(nnc.activations.get(name))
        assert ours == keras.activations.serialize(function)
        assert nnc.activations.deserialize(function.__name__) is nnc.activations.get(name)
    assert nnc.activations.get(None) is nnc.activations.linear
    own = nnc.activations.get(abs)
    assert own is abs


@pytest.mark.parametrize("bad, text", [("rellu", "did you mean 'relu'"),
                                       (3, "Could not interpret activation")])
def test_unknown_activations_are_refused(bad, text):
    with pytest.raises(ValueError, match=text):
        nnc.activations.get(bad)
