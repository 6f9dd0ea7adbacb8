"""Keras scripts of users, run by nnc and by Keras on TensorFlow: the same results."""
import guides
import guides_examples  # noqa: F401
import guides_training  # noqa: F401
import numpy as np
import pytest
import tensorflow as tf
from live import keras, values

import nnc


def compare(ours, theirs, where="result"):
    """The same nests, texts and counts, and numbers within float32's reach."""
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs) or sorted(ours) == sorted(theirs), where
        for key in theirs:
            compare(ours[key], theirs[key], f"{where}[{key!r}]")
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs), (where, ours, theirs)
        for i, (a, b) in enumerate(zip(ours, theirs)):
            compare(a, b, f"{where}[{i}]")
    elif theirs is None or isinstance(theirs, (str, bool, int)):
        assert ours == theirs, where
    else:
        a, b = values(ours), values(theirs)
        assert a.shape == b.shape, where
        # a few dozen steps of float32 with two libraries' exp and sums
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5, err_msg=where)


@pytest.mark.parametrize("name", guides.GUIDES)
def test_guide(name):
    script = guides.GUIDES[name]
    keras.backend.clear_session()
    theirs = script(keras, tf.GradientTape)
    nnc.utils.clear_session()
    compare(script(nnc, nnc.GradientTape), theirs)
