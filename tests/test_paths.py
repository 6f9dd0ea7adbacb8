"""Paths of layers and variables: those of Keras, whoever builds a layer and when."""
import numpy as np
import pytest
from live import keras

import nnc


def lazily(k):
    """A layer that is built by its first call, one that builds it, and both within another."""
    class Lazy(k.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = k.layers.Dense(2, name="dense")

        def call(self, x):
            return self.dense(x)

    class Builds(Lazy):
        def build(self, shape):
            self.dense.build(shape)
            self.scale = self.add_weight(shape=(2,), name="scale")

        def call(self, x):
            return self.dense(x) * self.scale

    class Both(k.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.lazy, self.builds = Lazy(name="lazy"), Builds(name="builds")

        def call(self, x):
            return self.lazy(x) + self.builds(x)
    return Lazy, Builds, Both


def layer(k, kind):
    return lazily(k)[kind](name="top")


def model(k):
    class Model(k.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.both = lazily(k)[2](name="both")
            self.row = k.Sequential([k.layers.Dense(2, name="one"), lazily(k)[0](name="two")],
                                    name="row")

        def call(self, x):
            return self.row(self.both(x))
    return Model(name="top")


def functional(k):
    inputs = k.Input((3,))
    inner = k.Model(inputs, k.layers.Dense(2, name="x")(inputs), name="inner")
    return k.Model(inputs, lazily(k)[2](name="both")(inner(inputs)), name="top")


def row(k):
    return k.Sequential([k.layers.Dense(2, name="one"), lazily(k)[2](name="two")], name="top")


MAKERS = {"lazy": lambda k: layer(k, 0), "builds": lambda k: layer(k, 1),
          "both": lambda k: layer(k, 2), "model": model, "functional": functional, "row": row}
X = np.ones((4, 3), "float32")
WAYS = {"symbolic": lambda k, thing: thing(k.Input((3,))), "eager": lambda k, thing: thing(X),
        "build": lambda k, thing: thing.build((None, 3)),
        "built, then called": lambda k, thing: (thing.build((None, 3)), thing(X))}


@pytest.mark.parametrize("name, way", [
    (name, way) for name in MAKERS for way in WAYS
    if (name, way) != ("model", "build")])      # Keras leaves the layers within unbuilt
def test_paths(name, way):
    found = []
    for k in (keras, nnc):
        thing = MAKERS[name](k)
        WAYS[way](k, thing)
        found.append((thing.path, [v.path for v in thing.weights],
                      sorted(str(layer.path) for layer in thing._flatten_layers())))
    assert found[1] == found[0]


def test_paths_of_slots():
    found = []
    for k in (keras, nnc):
        k.utils.clear_session()
        thing = model(k)
        thing.compile("adam", "mse")
        thing.fit(X, np.ones((4, 2), "float32"), verbose=0)
        found.append([v.path for v in thing.optimizer.variables])
    assert found[1] == found[0]
