"""Keras itself (on TensorFlow), which nnc is compared with; tests that need it are skipped without
it.
"""
import os
import re

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
keras = pytest.importorskip("keras")
if keras.backend.backend() != "tensorflow":
    pytest.skip("Keras must run on TensorFlow here", allow_module_level=True)


def label(thing):
    """A test's name for an argument, the same in every process: no addresses."""
    return re.sub(" at 0x[0-9a-f]+", "", str(thing))


def values(thing):
    """A NumPy array of what an nnc or Keras op gave."""
    return np.asarray(thing.numpy() if hasattr(thing, "numpy") else thing)


def same(ours, theirs, rtol=2e-6, atol=1e-6):
    """Equal shapes, dtypes and numbers.

    rtol: both compute in float32 (unit 6e-8); a chain of some ten roundings and two libraries' exp
        and log.
    """
    ours, theirs = values(ours), values(theirs)
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)


def answer(function, *arguments):
    """What Keras gives. TensorFlow's convolutions take channels first only where its fast kernels
    support the processor: elsewhere there is nothing to compare with.
    """
    try:
        return function(*arguments)
    except Exception as error:
        if "only supports the NHWC tensor format on the CPU" in str(error):
            pytest.skip("TensorFlow convolves channels first on other processors only")
        raise


def plain(config):
    """A configuration with tuples as lists, as a file would give it back."""
    if isinstance(config, dict):
        return {key: plain(value) for key, value in config.items()}
    return [plain(value) for value in config] if isinstance(config, (list, tuple)) else config
