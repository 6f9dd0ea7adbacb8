"""TextVectorization against Keras over a table of arguments; forms of text; errors."""
import json

import numpy as np
import pytest

import nnc
from tests.live import keras, plain, values

layers, theirs = nnc.layers, keras.layers
TEXTS = np.array(["The cat sat, on the mat!", "A  dog; the cat\tand\na mouse.", "", "Über-cool Straße",
                  "... !!", "the the the cat", "日本 語 text", "it's 5 o'clock -- (really)?"])


def check(ours, other):
    """Equal; rtol: logarithms and a mean in float32, unit 6e-8."""
    ours, other = values(ours), values(other)
    assert ours.shape == other.shape
    np.testing.assert_allclose(ours, other, rtol=2e-6, atol=0)


OPTIONS = [{}, {"standardize": None}, {"standardize": "lower"}, {"standardize": "strip_punctuation"},
           {"split": "character"}, {"ngrams": 2}, {"ngrams": (1, 3)}, {"max_tokens": 6},
           {"output_sequence_length": 3}, {"output_sequence_length": 30},
           {"split": "character", "ngrams": 2, "output_sequence_length": 5},
           {"output_mode": "multi_hot"}, {"output_mode": "count"}, {"output_mode": "tf_idf"},
           {"output_mode": "count", "max_tokens": 40, "pad_to_max_tokens": True},
           {"output_mode": "tf_idf", "ngrams": 2, "max_tokens": 10},
           {"split": None}, {"split": None, "output_mode": "count"},
           {"vocabulary": ["cat", "the"]}, {"vocabulary": ["", "[UNK]", "the"]},
           {"vocabulary": ["cat", "the"], "output_mode": "tf_idf", "idf_weights": [0.5, 2.0]}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_is_keras(options):
    ours, other = (module.TextVectorization(**options) for module in (layers, theirs))
    if "vocabulary" not in options:
        for layer in (ours, other):
            layer.adapt(TEXTS)
    assert ours.get_vocabulary() == other.get_vocabulary()
    assert ours.get_vocabulary(include_special_tokens=False) == \
        other.get_vocabulary(include_special_tokens=False)
    for x in (TEXTS, TEXTS[:, None], TEXTS[[0]], np.array(["never seen"])):
        check(ours(x), other(x))
    mine, wanted = (json.loads(json.dumps(plain(layer.get_config()))) for layer in (ours, other))
    assert {**mine, "name": 0} == {**wanted, "name": 0}
    again = layers.TextVectorization.from_config(mine)
    if "vocabulary" not in options:
        again.adapt(TEXTS)
    check(again(TEXTS), ours(TEXTS))


def test_batches_of_an_iterable():
    whole, parts = (layers.TextVectorization(output_mode="tf_idf") for _ in range(2))
    whole.adapt(TEXTS)
    parts.adapt(TEXTS[i:i + 3] for i in range(0, 8, 3))
    assert whole.get_vocabulary() == parts.get_vocabulary()
    check(whole(TEXTS), parts(TEXTS))


def test_functions_of_ones_own():
    def swap(texts):
        return np.char.replace(texts.astype(str), "cat", "dog")

    layer = layers.TextVectorization(standardize=swap,
                                     split=lambda texts: [text.split("o") for text in texts])
    layer.adapt(["cat", "a cat"])
    assert layer.get_vocabulary()[2:] == ["g", "d", "a d"]
    assert layer(["catog"]).numpy().tolist() == [[3, 2, 2]]
    with pytest.raises(ValueError, match="2 texts"):
        layers.TextVectorization(split=lambda texts: [["a"]], vocabulary=["a"])(["a", "b"])


def test_ragged_rows_keep_their_lengths():
    layer = layers.TextVectorization(ragged=True, vocabulary=["a", "b"])
    rows = layer(["a b a", "", "b"])
    assert [row.tolist() for row in rows] == [[2, 3, 2], [], [3]]
    with pytest.raises(ValueError, match="ragged"):
        layer(nnc.Input((1,), dtype="string"))


def test_long_text_and_many_rows():
    rng = np.random.default_rng(1)
    texts = [" ".join(f"t{k}" for k in rng.zipf(1.3, n) % 5000) for n in rng.integers(0, 400, 300)]
    ours, other = (module.TextVectorization(max_tokens=1000, output_sequence_length=100)
                   for module in (layers, theirs))
    for layer in (ours, other):
        layer.adapt(texts)
    assert ours.get_vocabulary() == other.get_vocabulary()
    check(ours(texts), other(np.array(texts)))


ERRORS = [
    (dict(standardize="upper"), "standardize"), (dict(split="comma"), "split"),
    (dict(ngrams="2"), "ngrams"), (dict(ngrams=(0,)), "ngrams"),
    (dict(output_mode="all"), "output_mode"), (dict(output_sequence_length=0), "output_sequence"),
    (dict(output_mode="count", output_sequence_length=3), "output_sequence_length"),
    (dict(ragged=True, output_mode="count"), "ragged"), (dict(sparse=True), "sparse"),
    (dict(encoding="utf-16"), "encoding"), (dict(max_tokens=1), "max_tokens"),
    (dict(output_mode="one_hot"), "split=None")]


@pytest.mark.parametrize("options, text", ERRORS)
def test_wrong_arguments(options, text):
    with pytest.raises(ValueError, match=text):
        layers.TextVectorization(**options)


def test_wrong_inputs():
    layer = layers.TextVectorization(vocabulary=["a"])
    for x, error, text in ((np.ones((2, 1)), TypeError, "strings"),
                           (np.array([["a", "b"]]), ValueError, "batch_size, 1"),
                           (nnc.ops.ones((2,)), TypeError, "strings")):
        with pytest.raises(error, match=text):
            layer(x)
    with pytest.raises(ValueError, match="UTF-8"):
        layers.TextVectorization(vocabulary=["a"], split="character")([b"\xff"])
    with pytest.raises(ValueError, match="vocabulary"):
        layer.adapt(["a"])
    with pytest.raises(ValueError, match="dtype"):
        layer(nnc.Input((1,)))
