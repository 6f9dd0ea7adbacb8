"""Models with several outputs: losses, weights and metrics of each, beside Keras.

Batches have one size here: Keras counts each batch once in the mean of an output's loss where nnc
counts each sample once.
"""
import numpy as np
import pytest

import nnc

from live import keras

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 4)).astype("float32")
LABELS = RNG.integers(0, 3, 20)
VALUES = RNG.normal(size=(20, 2)).astype("float32")
WEIGHT = np.linspace(0.5, 2, 20).astype("float32")


def two(k, form):
    class Two(k.Model):
        def __init__(self):
            super().__init__()
            self.a = k.layers.Dense(3, activation="softmax")
            self.b = k.layers.Dense(2)

        def call(self, x):
            a, b = self.a(x), self.b(x)
            return {"dict": {"a": a, "b": b}, "list": [a, b], "tuple": (a, b)}[form]

    model = Two()
    model(X[:2])
    model.set_weights([np.linspace(-1, 1, int(np.prod(w.shape))).reshape(w.shape)
                       for w in model.get_weights()])
    return model


def nested(form, a, b):
    return {"dict": {"a": a, "b": b}, "list": [a, b], "tuple": (a, b)}[form]


CASES = [
    ("dict", {"loss": {"a": "sparse_categorical_crossentropy", "b": "mse"}}, {}),
    ("dict", {"loss": {"a": "sparse_categorical_crossentropy", "b": "mae"},
              "loss_weights": {"a": 0.5, "b": 2.0},
              "metrics": {"a": ["accuracy"], "b": ["mae", "mse"]},
              "weighted_metrics": {"b": ["mae"]}}, {"sample_weight": WEIGHT}),
    ("dict", {"loss": {"a": "sparse_categorical_crossentropy", "b": "mse"}},
     {"sample_weight": {"a": WEIGHT, "b": WEIGHT[::-1].copy()}}),
    ("list", {"loss": ["sparse_categorical_crossentropy", "mse"], "loss_weights": [0.5, 2.0],
              "metrics": [["accuracy"], ["mae"]]}, {}),
]


@pytest.mark.parametrize("form, compiled, options", CASES, ids=range(len(CASES)))
def test_several_outputs_are_keras(form, compiled, options):
    histories, results, names = [], [], []
    for k in (nnc, keras):
        model = two(k, form)
        model.compile(optimizer="sgd", **compiled)
        y = nested(form, LABELS, VALUES)
        fitted = model.fit(X, y, batch_size=10, epochs=2, shuffle=False, verbose=0,
                           validation_data=(X, y), **options)
        histories.append(fitted.history)
        results.append(model.evaluate(X, y, batch_size=10, verbose=0))
        names.append(model.metrics_names)
    assert set(histories[0]) == set(histories[1])
    for key, values in histories[1].items():
        # some roundings of float32 in each of six steps
        np.testing.assert_allclose(histories[0][key], values, rtol=2e-5, err_msg=key)
    np.testing.assert_allclose(results[0], results[1], rtol=2e-5)
    assert names[0] == names[1]


def functional(k, form):
    entry = k.Input((4,))
    a = k.layers.Dense(3, activation="softmax", name="a")(entry)
    b = k.layers.Dense(2, name="b")(k.layers.Dense(3, activation="tanh")(entry))
    model = k.Model(entry, nested(form, a, b))
    model.set_weights([np.linspace(-1, 1, int(np.prod(w.shape))).reshape(w.shape)
                       for w in model.get_weights()])
    return model


NAMED = {"loss": {"a": "sparse_categorical_crossentropy", "b": "mse"},
         "loss_weights": {"a": 0.5, "b": 2.0}, "metrics": {"a": ["accuracy"], "b": ["mae"]}}
LISTED = {"loss": ["sparse_categorical_crossentropy", "mse"], "loss_weights": [0.5, 2.0],
          "metrics": [["accuracy"], ["mae"]]}


@pytest.mark.parametrize("form, compiled, named", [
    ("dict", NAMED, True), ("list", NAMED, False), ("list", LISTED, False), ("list", NAMED, True),
    ("tuple", LISTED, False)])
def test_outputs_of_functional_models_have_names(form, compiled, named):
    """The layers' names are those of the logs, and what losses, metrics and targets may go by."""
    y = {"a": LABELS, "b": VALUES} if named else nested(form, LABELS, VALUES)
    histories = []
    for k in (nnc, keras):
        model = functional(k, form)
        assert model.output_names == ["a", "b"]
        model.compile(optimizer="sgd", **compiled)
        histories.append(model.fit(X, y, batch_size=10, epochs=2, shuffle=False, verbose=0,
                                   validation_data=(X, y)).history)
    assert set(histories[0]) == set(histories[1]) and "a_loss" in histories[0]
    for key, values in histories[1].items():
        # some roundings of float32 in each of four steps
        np.testing.assert_allclose(histories[0][key], values, rtol=2e-5, err_msg=key)


def test_losses_of_one_output_are_added():
    """Keras 3.15 computes only the first of them, and reports the others as 0."""
    model = nnc.Sequential([nnc.Input((4,)), nnc.layers.Dense(2, kernel_initializer="ones")])
    model.compile(optimizer="sgd", loss=["mse", "mae"], loss_weights=[1.0, 0.5])
    logs = model.evaluate(X, VALUES, verbose=0, return_dict=True)
    wrong = X.sum(1, keepdims=True, dtype="float64") - VALUES
    mse, mae = (wrong ** 2).mean(), np.abs(wrong).mean()
    assert logs == pytest.approx({"loss": mse + 0.5 * mae, "mse_loss": mse, "mae_loss": mae},
                                 rel=1e-6)          # sums of 40 float32


def test_an_output_without_a_loss():
    model = two(nnc, "list")
    model.compile(optimizer="sgd", loss=["sparse_categorical_crossentropy", None])
    both = model.evaluate(X, [LABELS], verbose=0)
    model.compile(optimizer="sgd", loss=["sparse_categorical_crossentropy", None])
    assert model.evaluate(X, [LABELS, VALUES], verbose=0) == both
    assert [p.shape for p in model.predict(X, verbose=0)] == [(20, 3), (20, 2)]


@pytest.mark.parametrize("compiled, y, text", [
    ({"loss": {"a": "mse", "c": "mse"}}, {"a": VALUES, "b": VALUES}, "names the output 'c'"),
    ({"loss": {"a": "sparse_categorical_crossentropy", "b": "mse"}}, {"a": LABELS},
     r"The loss 'mse' needs targets for the output 'b': pass `y`. Received: y with \['a'\]"),
    ({"loss": "mse"}, LABELS, "different structures: 1 targets for 2 outputs"),
    ({"loss": {"a": "sparse_categorical_crossentropy", "b": "mse"}},
     {"a": np.full(20, 3), "b": VALUES}, "label 3 in row 0"),
    ({"loss": {"a": "sparse_categorical_crossentropy", "b": "mse"}, "metrics": ["mae"]},
     {"a": LABELS, "b": VALUES}, "an entry for each of the 2 outputs"),
], ids=range(5))
def test_what_does_not_fit_the_outputs(compiled, y, text):
    model = two(nnc, "dict")
    model.compile(optimizer="sgd", **compiled)
    before = model.get_weights()
    with pytest.raises(ValueError, match=text):
        model.fit(X, y, verbose=0)
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)
