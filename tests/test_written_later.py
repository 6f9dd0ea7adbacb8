"""An array that is overwritten after it was used (a buffer that is filled again for each batch): what
was made of it stays as it was, and so do gradients. Keras on TensorFlow is held to the same."""
import numpy as np
import pytest

import nnc

MOST = 20_000           # rows of 64 floats: 5 MB, which models use where they lie


@pytest.fixture(params=["nnc", "keras"])
def k(request):
    if request.param == "nnc":
        return nnc
    from live import keras

    return keras


def aligned(rows):
    """Ones, (rows, 64), at the start of a cache line: such memory can be shared."""
    room = np.ones(64 * rows + 16, "float32")
    start = (-room.ctypes.data // 4) % 16
    return room[start:start + 64 * rows].reshape(rows, 64)


def assigned(k, a):
    variable = k.Variable(np.zeros(a.shape, "float32"))
    variable.assign(a)
    return variable


def sequential(k, *layers):
    return k.Sequential([k.Input((64,)), *layers])


def functional(k, *layers):
    inputs = outputs = k.Input((64,))
    for layer in layers:
        outputs = layer(outputs)
    return k.Model(inputs, outputs)


#: What is made of an array.
MADE = {
    "convert_to_tensor": lambda k, a: k.ops.convert_to_tensor(a),
    "convert_to_tensor of a dtype": lambda k, a: k.ops.convert_to_tensor(a, "float32"),
    "cast": lambda k, a: k.ops.cast(a, "float32"),
    "reshape": lambda k, a: k.ops.reshape(a, (-1,)),
    "stop_gradient": lambda k, a: k.ops.stop_gradient(a),
    "Variable": lambda k, a: k.Variable(a),
    "assign": assigned,
    "Identity": lambda k, a: k.layers.Identity()(a),
    "Dropout": lambda k, a: k.layers.Dropout(0.5)(a),
    "Flatten": lambda k, a: k.layers.Flatten()(a),
    "Sequential": lambda k, a: sequential(k, k.layers.Dropout(0.5), k.layers.Reshape((8, 8)))(a),
    "functional": lambda k, a: functional(k, k.layers.Reshape((8, 8)))(a),
    "functional, the input": lambda k, a: functional(k, k.layers.Dropout(0.5))(a),
    "softmax alone": lambda k, a: sequential(k, k.layers.Activation("softmax"))(a),
}


@pytest.mark.parametrize("rows", [3, MOST])
@pytest.mark.parametrize("name", MADE)
def test_what_was_made_of_an_array_stays(k, name, rows):
    if k is not nnc and (rows == MOST or name == "stop_gradient"):
        pytest.skip("Keras has one way for all sizes, and shares memory in stop_gradient")
    array = aligned(rows)
    made = MADE[name](k, array)
    expected = np.array(made)
    array[:] = np.arange(64)
    np.testing.assert_array_equal(np.asarray(made), expected)
    if hasattr(made, "_keras_logits"):
        assert np.max(np.array(made._keras_logits)) == 1.0


@pytest.mark.parametrize("times", [1, 5])       # from the third on a call outside a tape replays
@pytest.mark.parametrize("build", [sequential, functional])
def test_repeated_calls_of_a_model(build, times):
    model = build(nnc, nnc.layers.Reshape((8, 8)))
    array = aligned(MOST)
    for _ in range(times):
        made = model(array)
    array[:] = 5
    assert np.max(made.numpy()) == 1.0 and not nnc._core.is_lent(made)


#: What is differentiated: a function of a Dense layer and the array that it takes.
DIFFERENTIATED = {
    "layer": lambda k, dense, a: dense(a),
    "layer of a tensor": lambda k, dense, a: dense(k.ops.convert_to_tensor(a)),
    "matmul": lambda k, dense, a: k.ops.matmul(a, dense.kernel),
    "matmul of a view": lambda k, dense, a: k.ops.matmul(k.ops.reshape(a, (-1, 64)), dense.kernel),
    "Sequential": lambda k, dense, a: sequential(k, dense)(a),
    "Sequential in training": lambda k, dense, a: sequential(k, dense)(a, training=True),
    "functional": lambda k, dense, a: functional(k, dense)(a),
}


@pytest.mark.parametrize("rows", [3, MOST])
@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_a_gradient_is_of_the_array_as_it_was(k, name, rows):
    if k is nnc:
        tape_of, weight = nnc.GradientTape, lambda variable: variable
    else:
        tape_of, weight = pytest.importorskip("tensorflow").GradientTape, lambda v: v.value
    dense = k.layers.Dense(1, use_bias=False)
    dense.build((None, 64))
    array = aligned(rows)
    with tape_of() as tape:
        loss = k.ops.sum(DIFFERENTIATED[name](k, dense, array))
    array[:] = 5
    gradient = tape.gradient(loss, [weight(dense.kernel)])[0]
    np.testing.assert_array_equal(np.array(gradient), np.full((64, 1), rows, "float32"))
