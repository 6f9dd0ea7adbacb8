"""Sequential: the stack, deferred building, shapes, calls and configurations, beside Keras."""
import copy
import json
import os

import numpy as np
import pytest

import nnc
from nnc import naming

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
X = np.random.default_rng(0).normal(size=(7, 6)).astype("float32")


def keras():
    return pytest.importorskip("keras")


@pytest.fixture(autouse=True)
def fresh_names():
    """Automatic names are numbered alike in both libraries."""
    naming.reset_names()
    keras().utils.clear_session()


def plain(config):
    if isinstance(config, dict):
        return {key: plain(value) for key, value in config.items()}
    return [plain(value) for value in config] if isinstance(config, (list, tuple)) else config


def stack(k, **first):
    return k.Sequential([
        k.layers.Dense(8, activation="relu", kernel_regularizer="l2", name="a", **first),
        k.layers.Dropout(0.2, name="b"), k.layers.Activation("tanh", name="c"),
        k.layers.Dense(3, activation="softmax", name="d")], name="net")


def with_input(k):
    return k.Sequential([k.Input((6,), name="in"), *stack(k).layers], name="net")


def nested(k):
    return k.Sequential([k.Input((6,), name="in"), stack(k), k.layers.Dense(2, name="out")],
                        name="outer")


def images(k):
    return k.Sequential([k.Input((4, 4), batch_size=None, dtype="float32", name="in"),
                         k.layers.Flatten(name="f"), k.layers.Dense(2, name="out")], name="net")


@pytest.mark.parametrize("build", [stack, with_input, nested, images])
def test_configuration_is_keras(build):
    ours, theirs = build(nnc), build(keras())
    assert plain(ours.get_config()) == plain(theirs.get_config())
    assert plain(nnc.saving.serialize_keras_object(ours)) == plain(
        keras().saving.serialize_keras_object(theirs))
    if ours.built:
        assert ours.input_shape == theirs.input_shape and ours.output_shape == theirs.output_shape
        assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
        assert ours.count_params() == theirs.count_params()
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]


@pytest.mark.parametrize("build", [stack, with_input, nested, images])
def test_configuration_goes_both_ways(build):
    ours, theirs = build(nnc), build(keras())
    there = keras().Sequential.from_config(copy.deepcopy(ours.get_config()))
    back = nnc.Sequential.from_config(copy.deepcopy(theirs.get_config()))
    assert plain(there.get_config()) == plain(back.get_config()) == plain(ours.get_config())
    # JSON has lists for tuples
    text = nnc.Sequential.from_config(json.loads(json.dumps(ours.get_config())))
    assert plain(text.get_config()) == plain(ours.get_config()) and text.built == ours.built


def test_compiled_configuration_goes_both_ways():
    compiled = []
    for k in (nnc, keras()):
        model = with_input(k)
        model.compile(k.optimizers.Adam(0.01), "sparse_categorical_crossentropy",
                      metrics=["accuracy"])
        compiled.append(k.saving.serialize_keras_object(model))
    ours, theirs = (plain(c["compile_config"]) for c in compiled)
    assert ours == theirs
    model = nnc.saving.deserialize_keras_object(compiled[1])
    assert model.compiled and model.optimizer.built
    np.testing.assert_allclose(float(model.optimizer.learning_rate), 0.01, rtol=1e-6)   # float32


@pytest.mark.parametrize("build", [stack, with_input, nested])
def test_numbers_are_keras(build):
    ours, theirs = build(nnc), build(keras())
    a = ours(X)
    theirs(X)
    theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(a.numpy(), np.asarray(theirs(X)), rtol=1e-5, atol=1e-6)   # float32


def test_deferred_building():
    model = stack(nnc)
    assert not model.built and model.weights == []
    with pytest.raises(AttributeError, match="no defined input shape yet"):
        model.input_shape
    model.build((None, 6))
    assert model.built and model.input_shape == (None, 6) and model.output_shape == (None, 3)
    assert len(model.weights) == 4
    by_call = stack(nnc)
    by_call(X)
    assert by_call.input_shape == (None, 6)
    by_fit = stack(nnc)
    by_fit.compile("sgd", "mse")
    by_fit.fit(X, np.zeros((7, 3)), verbose=0)
    assert by_fit.output_shape == (None, 3)


@pytest.mark.parametrize("first", [{"input_shape": (6,)}, {"input_dim": 6},
                                   {"batch_input_shape": (None, 6)}])
def test_shapes_as_in_older_scripts(first):
    model = stack(nnc, **first)
    assert model.built and model.input_shape == (None, 6)
    assert [layer.name for layer in model.layers] == ["a", "b", "c", "d"]


def test_add_and_pop():
    model = nnc.Sequential()
    model.add(nnc.Input((6,)))
    model.add(nnc.layers.Dense(4, name="a"))
    assert model.output_shape == (None, 4)
    model.add(nnc.layers.Dense(2, name="b"))
    assert model.output_shape == (None, 2) and model(X).shape == (7, 2)
    kernel = model.layers[0].get_weights()[0]
    top = model.pop()
    assert top.name == "b" and model.output_shape == (None, 4) and model(X).shape == (7, 4)
    np.testing.assert_array_equal(kernel, model.layers[0].get_weights()[0])
    model.add(nnc.layers.Dense(5))
    assert model(X).shape == (7, 5) and model.predict(X, verbose=0).shape == (7, 5)


def test_changes_of_the_stack_reach_fit_and_predict():
    model = with_input(nnc)
    model.compile("sgd", "mse")
    y = np.zeros((7, 3))
    model.fit(X, y, verbose=0)
    first = model.predict(X, verbose=0)
    model.pop()
    assert model.predict(X, verbose=0).shape == (7, 8)
    model.add(nnc.layers.Dense(3))
    model.compile("sgd", "mse")
    model.fit(X, y, verbose=0)
    assert not np.allclose(model.predict(X, verbose=0), first)


def test_inputs_are_cast_and_squeezed():
    model = nnc.Sequential([nnc.Input((1,)), nnc.layers.Dense(2)])
    x = np.arange(5)
    expected = model(x.astype("float32")[:, None]).numpy()
    for form in (x, x[:, None], x.astype("uint8"), x[:, None].astype("float64"), x.tolist()):
        np.testing.assert_array_equal(model(form).numpy(), expected)
        np.testing.assert_array_equal(model.predict(np.asarray(form), verbose=0), expected)


def test_repeated_calls_take_the_short_way_and_agree():
    model = with_input(nnc)
    first = model(X).numpy()
    for _ in range(3):
        np.testing.assert_array_equal(model(X).numpy(), first)
        np.testing.assert_array_equal(model(nnc.Tensor(X)).numpy(), first)
    assert (model(X, training=True).numpy() != first).any()
    np.testing.assert_array_equal(model(X[:2]).numpy(), first[:2])
    with nnc.GradientTape() as tape:
        y = model(X)
    assert all(g is not None for g in tape.gradient(y, model.trainable_variables))
    model.layers[0].activation = nnc.activations.tanh
    assert not np.allclose(model(X).numpy(), first)


def test_get_layer():
    model = with_input(nnc)
    assert model.get_layer("c") is model.layers[2] is model.get_layer(index=2)
    with pytest.raises(ValueError, match="either a layer name or an index"):
        model.get_layer()
    with pytest.raises(AttributeError, match="reserved"):
        model.layers = []


def test_custom_layers_and_subclasses():
    class Twice(nnc.layers.Layer):
        def call(self, x, training=None):
            return x * (3.0 if training else 2.0)

    model = nnc.Sequential([nnc.Input((6,)), Twice(), nnc.layers.Dense(2)])
    assert model.output_shape == (None, 2)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(model(X).numpy(), X * 2 @ kernel + bias, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model(X, training=True).numpy(), X * 3 @ kernel + bias, rtol=1e-5,
                               atol=1e-6)

    class Two(nnc.Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = nnc.layers.Dense(4, activation="relu"), nnc.layers.Dense(1)

        def call(self, x):
            return self.b(self.a(x))

    model = Two()
    model.compile("adam", "mse", metrics=["mae"])
    y = X[:, :1] * 2
    history = model.fit(X, y, epochs=30, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] and len(model.weights) == 4
    assert model.predict(X, verbose=0).shape == (7, 1)
    built = Two()
    built.build((None, 6))
    assert built.built and len(built.weights) == 4


def test_several_inputs_of_a_subclass():
    class Both(nnc.Model):
        def __init__(self):
            super().__init__()
            self.out = nnc.layers.Dense(1)

        def call(self, inputs):
            return self.out(nnc.ops.concatenate([inputs["a"], inputs["b"]], -1))

    model = Both()
    model.compile("sgd", "mse")
    x = {"a": X, "b": X[:, :2]}
    model.fit(x, X[:, :1], verbose=0, batch_size=3)
    assert model.predict(x, verbose=0).shape == (7, 1)
    assert model.evaluate(x, X[:, :1], verbose=0) > 0


# ---- a call that comes again and again ----------------------------------------------------------

def called_often(*last):
    return nnc.Sequential([nnc.Input((6,)), nnc.layers.Dense(8, activation="relu"),
                           nnc.layers.Dropout(0.5), *last])


@pytest.mark.parametrize("way", ["sequential", "functional"])
def test_float64_layers_get_what_keras_gives_them(way):
    """A Sequential hands tensors on as they come, others cast to float32, and so do data sets: the
    same in the first call as in later ones."""
    x = np.random.default_rng(2).normal(size=(5, 6))
    def outputs(k):
        k.utils.set_random_seed(3)
        layer = k.layers.Dense(4, dtype="float64")
        if way == "sequential":
            model = k.Sequential([layer])
            model.build((None, 6))
        else:
            given = k.Input((6,))
            model = k.Model(given, layer(given))
        model.set_weights([np.arange(24.0).reshape(6, 4) / 7, np.zeros(4)])
        model.compile("sgd", "mse")
        tensor = k.ops.convert_to_tensor(x)
        calls = [np.asarray(model(tensor)) for _ in range(4)] + [np.asarray(model(x))]
        return calls + [model.predict(x, verbose=0), model.evaluate(x, x[:, :4], verbose=0)]
    for got, want in zip(outputs(nnc), outputs(keras())):
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("last", ["softmax", "sigmoid", None])
def test_later_calls_give_the_bits_of_the_first(last):
    model = called_often(nnc.layers.Dense(3, activation=last))
    first = model(X)
    for again in (X, nnc.ops.convert_to_tensor(X), X.astype("float64"), X.tolist(), X, X, X):
        result = model(again)
        assert result.numpy().tobytes() == first.numpy().tobytes()
        assert hasattr(result, "_keras_logits") == hasattr(first, "_keras_logits")
    assert model._repeated.attempts
    y = np.zeros((7, 1))
    if last == "softmax":
        loss = nnc.losses.SparseCategoricalCrossentropy()
        assert loss(y, model(X)) == loss(y, first)
    assert model(X[:2]).shape == (2, 3) and model(X[:0]).shape == (0, 3)
    model.set_weights([np.zeros(w.shape) for w in model.get_weights()])
    assert len(set(model(X).numpy().ravel().tolist())) == 1
    model.add(nnc.layers.Dense(2))
    assert model(X).shape == (7, 2)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
@pytest.mark.parametrize("last", ["float32", None])
@pytest.mark.parametrize("known", [True, False])
def test_later_calls_cast_as_the_first(policy, last, known):
    layers = [nnc.layers.Dense(8, activation="relu", dtype=policy),
              nnc.layers.Dense(5, use_bias=False, dtype=policy),
              nnc.layers.Dense(3, activation="softmax", dtype=last or policy)]
    model = nnc.Sequential([nnc.Input((6,))] * known + layers)
    model.dtype_policy = policy
    first = model(X)
    for given in (X, nnc.ops.convert_to_tensor(X)):
        for again in (given,) * 6:
            result = model(again)
            assert result.dtype == first.dtype
            assert result.numpy().tobytes() == first.numpy().tobytes()
    assert model._repeated.attempts
    with nnc.GradientTape() as tape:
        loss = nnc.ops.sum(model(X))
    assert all(g is not None for g in tape.gradient(loss, model.trainable_variables))
    model.set_weights([np.zeros(w.shape) for w in model.get_weights()])
    assert len(set(model(X).numpy().astype("float32").ravel().tolist())) == 1


def test_later_calls_train_differentiate_and_refuse():
    model = called_often(nnc.layers.Dense(1))
    for _ in range(5):
        plain = model(X).numpy()
    assert (model(X, training=True).numpy() != plain).any()
    with nnc.GradientTape() as tape:
        loss = nnc.ops.sum(model(X))
    gradients = tape.gradient(loss, model.trainable_variables)
    np.testing.assert_allclose(gradients[-1].numpy(), [7.0], rtol=1e-6)
    twin = copy.deepcopy(model)
    assert twin(X).numpy().tobytes() == plain.tobytes()
    with pytest.raises(ValueError, match="shape"):
        model(X[:, :5])


def test_what_a_user_writes_runs_in_every_call():
    calls = []

    class Counting(nnc.layers.Layer):
        def call(self, x):
            calls.append(x.shape)
            return x

    def activation(x):
        calls.append(x.shape)
        return x

    for layer in (Counting(), nnc.layers.Dense(2, activation=activation),
                  nnc.layers.Lambda(activation), nnc.layers.Activation(activation)):
        model = called_often(layer)
        model(X)
        calls.clear()
        for _ in range(6):
            model(X)
        assert len(calls) == 6
