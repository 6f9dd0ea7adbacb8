"""What training tells in time: each mistake once, by its name, and nothing where all is well."""
import warnings

import numpy as np
import pytest

import nnc
from nnc import warnings as told

SPARSE, CATEGORICAL = "sparse_categorical_crossentropy", "categorical_crossentropy"


def seen_in(function):
    """The names of the warnings of training that a call raises, each time that it raises them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    return [str(w.message).rpartition("[")[2].rstrip("]") for w in caught
            if issubclass(w.category, told.TrainingWarning)]


def data(count=200, width=12, classes=3):
    x = np.random.default_rng(0).normal(size=(count, width)).astype("float32")
    return x, x[:, :classes].argmax(1)


def network(*layers, loss=SPARSE, width=12, **compiled):
    nnc.utils.set_random_seed(1)
    model = nnc.Sequential([nnc.Input((width,) if isinstance(width, int) else width), *layers])
    model.compile("sgd", loss, **compiled)
    return model


def dense(units, activation=None, **kwargs):
    return nnc.layers.Dense(units, activation=activation, **kwargs)


def from_logits(name):
    return {"sparse": nnc.losses.SparseCategoricalCrossentropy,
            "categorical": nnc.losses.CategoricalCrossentropy,
            "binary": nnc.losses.BinaryCrossentropy}[name](from_logits=True)


def functional(activation):
    entry = nnc.Input((12,))
    out = nnc.layers.Reshape((3,))(dense(3, activation)(dense(8, "relu")(entry)))
    model = nnc.Model(entry, out)
    model.compile("sgd", SPARSE)
    return model


def nested(activation):
    return network(dense(8, "relu"), nnc.Sequential([dense(3), nnc.layers.Activation(activation)]))


OUTPUTS = {
    "softmax of one": (lambda: network(dense(1, "softmax"), loss="mse"), ["softmax-of-one"]),
    "sigmoid of one": (lambda: network(dense(1, "sigmoid"), loss="binary_crossentropy"), []),
    "softmax, from_logits": (lambda: network(dense(3, "softmax"), loss=from_logits("sparse")),
                             ["from-logits"]),
    "sigmoid, from_logits": (lambda: network(dense(1, "sigmoid"), loss=from_logits("binary")),
                             ["from-logits"]),
    "logits, from_logits": (lambda: network(dense(3), loss=from_logits("sparse")), []),
    "logits": (lambda: network(dense(3)), ["from-logits"]),
    "logits, binary": (lambda: network(dense(1), loss="binary_crossentropy"), ["from-logits"]),
    "logits, mse": (lambda: network(dense(1), loss="mse"), []),
    "softmax": (lambda: network(dense(3, "softmax")), []),
    "softmax layer": (lambda: network(dense(3), nnc.layers.Softmax()), []),
    "functional, logits": (lambda: functional(None), ["from-logits"]),
    "functional, softmax": (lambda: functional("softmax"), []),
    "nested, linear": (lambda: nested("linear"), ["from-logits"]),
    "nested, softmax": (lambda: nested("softmax"), []),
}


@pytest.mark.parametrize("row", OUTPUTS)
def test_outputs_against_losses(row):
    """Two epochs, a short last batch and a validation: one warning all the same."""
    make, expected = OUTPUTS[row]
    x, y = data()
    model = make()
    y = y if model.output_shape[-1] == 3 else (y > 0).astype("float32")

    def fit():
        model.fit(x, y, epochs=2, validation_split=0.2, verbose=0)
        model.fit(x, y, verbose=0)
    assert seen_in(fit) == expected


def test_the_text_names_the_layer_and_the_way_out():
    x, y = data()
    with pytest.warns(told.TrainingWarning, match="layer 'last' has no activation.*from_logits=Tru"
                                                  "e.*activation='softmax'"):
        network(dense(3, name="last")).fit(x, y, verbose=0)


def images(shape, dtype="uint8", high=255):
    values = np.random.default_rng(0).integers(0, high + 1, (64, *shape))
    return values.astype(dtype)


IMAGES = {
    "flat bytes": (images((784,)), dense, True),
    "flat floats": (images((784,), "float32"), dense, True),
    "scaled": (images((784,), "float32") / 255, dense, False),
    "no square": (images((12,)), dense, False),
    "small numbers": (images((784,), "uint8", 16), dense, False),
    "colours": (images((8, 8, 3)), lambda n: nnc.layers.Conv2D(4, 3), True),
    "halves": (images((784,), "float32") + 0.5, dense, False),
    "rescaled": (images((784,)), lambda n: nnc.layers.Rescaling(1 / 255), False),
    "normalized": (images((784,)), lambda n: nnc.layers.BatchNormalization(), False),
    "flattened": (images((28, 28)), lambda n: nnc.layers.Flatten(), True),
}


@pytest.mark.parametrize("row", IMAGES)
@pytest.mark.parametrize("kind", ["sequential", "functional"])
def test_unscaled_images(row, kind):
    x, first, expected = IMAGES[row]
    layers = [first(4), nnc.layers.Flatten(), dense(3, "softmax")]
    if kind == "sequential":
        model = network(*layers, width=x.shape[1:])
    else:
        entry = nnc.Input(x.shape[1:])
        out = entry
        for layer in layers:
            out = layer(out)
        model = nnc.Model(entry, out)
        model.compile("sgd", SPARSE)
    y = np.zeros(len(x), "int64")
    assert seen_in(lambda: model.fit(x, y, verbose=0)) == ["unscaled-images"] * expected


def overlap_cases():
    x, y = data(5000)
    other, labels = np.random.default_rng(9).normal(size=(500, 12)).astype("float32"), y[:500]
    few = np.random.default_rng(0).integers(0, 2, (5000, 3)).astype("float32")
    mixed = other.copy()
    mixed[::2] = x[1000:1250]
    return {
        "the same": (x, y, (x, y), True),
        "a part": (x, y, (x[4000:4500], y[4000:4500]), True),
        "a half of it": (x, y, (mixed, labels), True),
        "as doubles": (x, y, (x[:500].astype("float64"), y[:500]), True),
        "others": (x, y, (other, labels), False),
        "flags": (few, y, (few[:500], y[:500]), False),
    }


@pytest.mark.parametrize("row", overlap_cases())
def test_validation_rows_that_are_training_rows(row):
    x, y, validation, expected = overlap_cases()[row]
    model = network(dense(3, "softmax"), width=x.shape[1])
    seen = seen_in(lambda: model.fit(x, y, batch_size=500, validation_data=validation, verbose=0))
    assert seen == ["validation-in-training"] * expected


def test_the_text_names_two_equal_rows():
    import re

    x, y = data(1000)
    with pytest.warns(told.TrainingWarning) as caught:
        network(dense(3, "softmax")).fit(x, y, validation_data=(x[100:200], y[100:200]), verbose=0)
    theirs, ours = map(int, re.search(r"row (\d+) of the validation's `x` is row (\d+)",
                                      str(caught[0].message)).groups())
    assert ours == theirs + 100 and "about 100%" in str(caught[0].message)


def test_compile_lets_it_be_told_again():
    x, y = data()
    model = network(dense(3))
    assert seen_in(lambda: model.fit(x, y, verbose=0)) == ["from-logits"]
    model.compile("sgd", SPARSE)
    assert seen_in(lambda: model.fit(x, y, verbose=0)) == ["from-logits"]


def test_silence():
    x, y = data()
    with pytest.raises(ValueError, match="no warning of the name 'logits'. Known: softmax-of-one"):
        told.silence("from-logits", "logits")
    assert not told.silenced
    told.silence("from-logits")
    try:
        assert seen_in(lambda: network(dense(3)).fit(x, y, verbose=0)) == []
        assert seen_in(lambda: network(dense(1, "softmax"), loss="mse").fit(x, y, verbose=0)) \
            == ["softmax-of-one"]
    finally:
        told.silence(on=False)
    assert not told.silenced
    assert seen_in(lambda: network(dense(3)).fit(x, y, verbose=0)) == ["from-logits"]
