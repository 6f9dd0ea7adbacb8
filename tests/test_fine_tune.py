"""Fine-tuning: cut off a head, freeze, add a head, compile again, tune at a lower rate."""
import numpy as np
import pytest

import nnc

RNG = np.random.default_rng(3)
X = RNG.normal(size=(64, 6)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")


def pretrained():
    """A trained network with a normalization, whose moving statistics must not move either."""
    nnc.utils.set_random_seed(1)
    model = nnc.Sequential([nnc.Input((6,)), nnc.layers.Dense(8, "relu"),
                            nnc.layers.BatchNormalization(), nnc.layers.Dense(5, "tanh"),
                            nnc.layers.Dense(2, "softmax", name="head")])
    fit(model, 0.01)
    return model


def fit(model, rate, optimizer="Adam", epochs=2, **compiled):
    model.compile(getattr(nnc.optimizers, optimizer)(rate),
                  loss="sparse_categorical_crossentropy", metrics=["accuracy"], **compiled)
    return model.fit(X, Y, batch_size=16, epochs=epochs, verbose=0)


def bits(weights):
    return [w.numpy().tobytes() for w in weights]


def cut_sequential(model):
    model.pop()
    model.trainable = False
    return model, nnc.Sequential([model, nnc.layers.Dense(2, "softmax")])


def cut_functional(model):
    body = nnc.Model(model.inputs, model.layers[-2].output)
    body.trainable = False
    inputs = nnc.Input((6,))
    return body, nnc.Model(inputs, nnc.layers.Dense(2, "softmax")(body(inputs, training=False)))


@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.parametrize("optimizer", ["Adam", "SGD", "RMSprop"])
@pytest.mark.parametrize("cut", [cut_sequential, cut_functional])
def test_frozen_weights_keep_their_bits(tmp_path, cut, optimizer, run_eagerly):
    pretrained().save(tmp_path / "m.keras")
    body, model = cut(nnc.models.load_model(tmp_path / "m.keras"))
    before, head = bits(body.weights), bits(model.layers[-1].weights)
    assert len(before) == 8
    fit(model, 0.01, optimizer, run_eagerly=run_eagerly)
    assert bits(body.weights) == before
    assert all(a != b for a, b in zip(bits(model.layers[-1].weights), head))
    # The optimizer knows of the new head only: its slots have the head's shapes.
    assert [v.path for v in model.trainable_variables] == \
        [v.path for v in model.layers[-1].trainable_variables]
    slots = [tuple(v.shape) for v in model.optimizer.variables if v.shape]
    assert set(slots) <= {(5, 2), (2,)}


def test_thawed_weights_move_after_compiling_again():
    body, model = cut_sequential(pretrained())
    fit(model, 0.01)
    body.trainable = True
    before = bits(body.trainable_weights)
    fit(model, 1e-4, epochs=1)
    assert all(a != b for a, b in zip(bits(body.trainable_weights), before))
    slots = [v for v in model.optimizer.variables if v.shape]
    assert len(slots) == 2 * len(model.trainable_weights) == 2 * 8


def test_some_layers_frozen():
    """Freezing single layers of one model, and what a saved model remembers of it."""
    model = pretrained()
    for layer in model.layers[:-1]:
        layer.trainable = False
    before, head = bits(model.weights[:-2]), bits(model.weights[-2:])
    fit(model, 0.01)
    assert bits(model.weights[:-2]) == before
    assert all(a != b for a, b in zip(bits(model.weights[-2:]), head))


def test_a_saved_frozen_model_stays_frozen(tmp_path):
    _, model = cut_functional(pretrained())
    fit(model, 0.01)
    model.save(tmp_path / "m.keras")
    again = nnc.models.load_model(tmp_path / "m.keras")
    before = bits(again.layers[1].weights)
    assert len(again.trainable_weights) == 2
    a = model.fit(X, Y, batch_size=16, epochs=1, verbose=0, shuffle=False).history
    b = again.fit(X, Y, batch_size=16, epochs=1, verbose=0, shuffle=False).history
    assert a == b and bits(again.layers[1].weights) == before
