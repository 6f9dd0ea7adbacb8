"""Activations on every dtype beside Keras: what comes out, of which dtype, and what is refused."""
import numpy as np
import pytest

from live import keras, values

import nnc

NAMES = sorted(set(dir(keras.activations)) & set(dir(nnc.activations))
               - {"deserialize", "get", "serialize"})
NAMES = [name for name in NAMES if callable(getattr(keras.activations, name))]
# Keras's sparsemax adds sums of sums: see test_keras_sorting.py for what it should be.
NAMES.remove("sparsemax")
MORE = {"threshold": {"threshold": 0.5, "default_value": -1}}
FLOATS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 3e-6, "float64": 1e-12}
WHOLE = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"]
X = np.concatenate([np.linspace(-4, 4, 41), [-20, 20, 0.5, -0.5, 6, 3, -3]]).reshape(4, 12)
# Keras composes these of several roundings of a half; ours round once. The bounds count its steps.
STEPS = 8


def activate(library, name, x):
    return getattr(library.activations, name)(x, **MORE.get(name, {}))


def numbers(dtype):
    x = np.abs(X) if dtype[0] in "ub" else X
    return np.floor(x).astype(dtype) if dtype in WHOLE else x


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", NAMES)
def test_floats(name, dtype):
    ours, theirs = (activate(k, name, k.ops.cast(X, dtype)) for k in (nnc, keras))
    assert str(ours.dtype) == keras.backend.standardize_dtype(theirs.dtype) == dtype
    a, b = (values(k.ops.cast(y, "float64")) for k, y in ((nnc, ours), (keras, theirs)))
    unit = FLOATS[dtype] * (STEPS if "16" in dtype else 1)
    if dtype == "float64" and name in ("gelu", "leaky_relu"):
        unit = 3e-7         # TensorFlow's constants in them are float32 numbers
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, rtol=unit, atol=unit)
    if "16" in dtype:       # and nearer the float64 values than a rounding, where Keras may not be
        wide = activate(nnc, name, nnc.ops.cast(nnc.ops.cast(X, dtype), "float64"))
        wide = np.clip(values(wide), -65504, 65504)
        np.testing.assert_allclose(np.clip(a, -65504, 65504), wide, rtol=FLOATS[dtype],
                                   atol=1e-6 + 2.0**-24)


@pytest.mark.parametrize("dtype", WHOLE)
@pytest.mark.parametrize("name", NAMES)
def test_whole_numbers(name, dtype):
    """Taken where Keras takes them, of the dtype that it gives; else refused."""
    x = numbers(dtype)
    try:
        theirs = activate(keras, name, keras.ops.convert_to_tensor(x))
    except Exception:
        theirs = None
    if theirs is None:
        try:
            result = activate(nnc, name, nnc.ops.convert_to_tensor(x))
        except (TypeError, ValueError):
            return
        wide = values(activate(nnc, name, x.astype("float64")))
        np.testing.assert_allclose(values(result).astype("float64"), wide, rtol=1e-5, atol=1e-5)
        return
    ours = activate(nnc, name, nnc.ops.convert_to_tensor(x))
    assert str(ours.dtype) == keras.backend.standardize_dtype(theirs.dtype)
    np.testing.assert_allclose(values(ours).astype("float64"), values(theirs).astype("float64"),
                               rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_shapes(name):
    """Any rank, no elements, and symbolic: shape and dtype as they come."""
    last = 6
    for shape in ((last,), (0, last), (2, 3, last), (1, 2, 1, 2, last)):
        x = np.linspace(-2, 2, int(np.prod(shape))).reshape(shape).astype("float32")
        y = activate(nnc, name, x)
        wanted = activate(keras, name, keras.ops.convert_to_tensor(x))
        assert values(y).shape == tuple(wanted.shape), shape
        np.testing.assert_allclose(values(y), values(wanted), rtol=3e-6, atol=1e-6)
    symbolic = activate(nnc, name, nnc.KerasTensor((None, 3, last), dtype="float16"))
    assert symbolic.dtype == "float16"
    assert symbolic.shape == (None, 3, 3 if name == "glu" else last)
    if name not in ("hard_silu", "hard_swish", "mish"):         # Keras's fail on a KerasTensor
        known = activate(keras, name, keras.KerasTensor((None, 3, last), dtype="float16"))
        assert symbolic.shape == known.shape and symbolic.dtype == known.dtype
