"""A small classifier and data for it, which the tests of invariants train."""
import numpy as np

import nnc


def samples(count=300, width=12, classes=3, seed=0):
    """Rows of random numbers; the label is the largest of the first numbers."""
    x = np.random.default_rng(seed).normal(size=(count, width)).astype("float32")
    return x, x[:, :classes].argmax(1)


def classifier(dropout=0.0, optimizer="adam", units=16, seed=7, **compiled):
    """A compiled model whose weights and dropout masks come from the seed."""
    nnc.utils.set_random_seed(seed)
    layers = [nnc.layers.Dense(units, activation="relu"),
              nnc.layers.Dense(units, activation="tanh"),
              nnc.layers.Dense(3, activation="softmax")]
    if dropout:
        layers.insert(1, nnc.layers.Dropout(dropout))
    model = nnc.Sequential([nnc.Input((12,)), *layers])
    model.compile(**{"optimizer": optimizer, "loss": "sparse_categorical_crossentropy",
                     "metrics": ["accuracy"], **compiled})
    return model


def state(model):
    """Everything that training changes, as bytes: weights, optimizer slots, the step."""
    return [v.numpy().tobytes() for v in (*model.variables, *model.optimizer.variables)]
