"""`model.summary()`: Keras's text, character for character, beside Keras itself."""
import os

import pytest

import nnc
from nnc import summary

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(autouse=True)
def wide_screen(monkeypatch):
    """Keras cuts a table at the screen's width; here it is wide enough for all lines asked for."""
    monkeypatch.setenv("COLUMNS", "150")


def build(library):
    layers = library.layers
    return library.Sequential([
        library.Input((28, 28)), layers.Flatten(name="f"),
        layers.Dense(300, name="a_name_that_is_too_long_for_its_column_and_is_therefore_cut"),
        layers.Dropout(0.2, name="d"), layers.Dense(10, name="e"),
    ], name="net")


def text(library, change=lambda model: None, make=build, **options):
    model, out = make(library), []
    change(model)
    model.summary(print_fn=lambda line, *args, **kwargs: out.append(line), **options)
    return "".join(out)


def both(**options):
    keras = pytest.importorskip("keras")
    return text(nnc, **options), text(keras, **options)


@pytest.mark.parametrize("options", [
    {}, {"show_trainable": True}, {"line_length": 64}, {"line_length": 140},
    {"positions": [0.3, 0.5, 1.0]}, {"layer_range": ["d", "e"]}, {"layer_range": ["e", "f"]},
    {"line_length": 50, "show_trainable": True},
], ids=str)
def test_is_keras_text(options):
    ours, theirs = both(**options)
    assert ours == theirs


def test_is_keras_text_at_every_width():
    pytest.importorskip("keras")
    for width in range(30, 140, 3):
        ours, theirs = both(line_length=width)
        assert ours == theirs, width


def test_frozen_layers_and_a_trained_optimizer():
    import numpy as np

    def change(model):
        model.layers[1].trainable = False
        model.compile("adam", "mse")
        model.fit(np.zeros((2, 28, 28)), np.zeros((2, 10)), verbose=0)

    ours, theirs = both(change=change, show_trainable=True)
    assert ours == theirs and "Optimizer params" in ours


@pytest.mark.parametrize("expand", [False, True])
def test_nested(expand):
    def make(library):
        last = library.layers.Dense(3, name="last")
        return library.Sequential([library.Input((28, 28)), build(library), last], name="outer")

    ours, theirs = both(make=make, expand_nested=expand)
    assert ours == theirs and ("└ e (Dense)" in ours) is expand


@pytest.mark.parametrize("layers", [lambda k: [k.layers.Dense(3, name="d")], lambda k: []])
def test_unbuilt_and_empty(layers):
    ours, theirs = both(make=lambda library: library.Sequential(layers(library), name="net"))
    assert ours == theirs


def test_prints_without_print_fn(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "92")
    build(nnc).summary()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'Model: "net"' and len(lines[1]) == 88
    assert lines[-3] == " Total params: 238,510 (931.68 KB)"


@pytest.mark.parametrize("options, message", [
    ({"line_length": 10}, "line of 10 characters is too short"),
    ({"positions": [0.5, 1.0]}, "`positions` must have 3 values"),
    ({"layer_range": ["f"]}, "must be two layer names"),
    ({"layer_range": ["f", "zzz"]}, "no layer matches.*'f', 'a_name"),
])
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        build(nnc).summary(**options)


@pytest.mark.parametrize("size, shown", [(0, "0.00 B"), (1023, "1023.00 B"), (1536, "1.50 KB"),
                                         (3 * 1024**2, "3.00 MB"), (1024**6, "1024.00 PB")])
def test_memory_text(size, shown):
    assert summary.memory_text(size) == shown
