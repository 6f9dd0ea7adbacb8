"""Gradients of every call in the tables of `nnc.ops`, beside TensorFlow's of the same call in Keras."""
import numpy as np
import pytest
import tensorflow as tf
from live import keras, values
from test_keras_ops import CALLS
from test_keras_sorting import CALLS as MORE

import nnc

#: Where TensorFlow gives no gradient, or another than the function's.
LEFT_OUT = {
    "slice_update": "has none in TensorFlow",
    "nextafter": "has none in TensorFlow, as a constant; here the slope, 1",
}


def is_left_out(name, args, kwargs):
    """Of logits with targets that do not add up to 1, TensorFlow's gradient takes them as if."""
    return name in LEFT_OUT or name == "categorical_crossentropy" and kwargs.get("from_logits")


def is_float(x):
    return isinstance(x, (np.ndarray, np.floating)) and np.asarray(x).dtype == np.float32


def places(args):
    """Where float32 arrays are among the arguments, also one list deep."""
    for i, x in enumerate(args):
        if is_float(x):
            yield (i,)
        elif isinstance(x, (list, tuple)):
            yield from ((i, j) for j, part in enumerate(x) if is_float(part))


def put(args, at, value):
    args = list(args)
    if len(at) == 2:
        args[at[0]] = type(args[at[0]])(value if j == at[1] else part
                                        for j, part in enumerate(args[at[0]]))
    else:
        args[at[0]] = value
    return args


def flat(result):
    """The floating-point tensors of a result."""
    if isinstance(result, (list, tuple)):
        return [x for part in result for x in flat(part)]
    return [result] if "float" in str(getattr(result, "dtype", "")) else []


def gradient(k, tape, tensor, name, args, kwargs, at):
    """Of a weighted sum of all that the call gives."""
    x = tensor(args[at[0]] if len(at) == 1 else args[at[0]][at[1]])
    with tape() as t:
        t.watch(x)
        total, weights = 0.0, np.random.default_rng(1)
        for y in flat(getattr(k.ops, name)(*put(args, at, x), **kwargs)):
            weight = weights.normal(size=tuple(y.shape)).astype(values(y).dtype)
            finite = np.isfinite(values(y))         # what is infinite weighs nothing
            total = total + k.ops.sum(k.ops.where(finite, y, 0) * weight)
    if isinstance(total, float):
        return None
    found = t.gradient(total, x)
    return None if found is None else values(tf.convert_to_tensor(found) if k is keras else found)


CASES = [(name, args, kwargs, at) for name, args, kwargs in CALLS + MORE
         if isinstance(name, str) and not is_left_out(name, args, kwargs) for at in places(args)]


@pytest.mark.parametrize("name, args, kwargs, at", CASES,
                         ids=[f"{i}-{case[0]}" for i, case in enumerate(CASES)])
def test_gradient(name, args, kwargs, at):
    theirs = gradient(keras, tf.GradientTape, tf.convert_to_tensor, name, args, kwargs, at)
    ours = gradient(nnc, nnc.GradientTape, nnc.ops.convert_to_tensor, name, args, kwargs, at)
    if theirs is None or ours is None:
        assert theirs is None or not theirs.any()
        assert ours is None or not ours.any()
        return
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-5)
