"""Checks for test suites of those who move a model from Keras to nnc."""
import numpy as np

from nnc import tree


def assert_close_to_keras(model, keras_model, x, rtol=1e-4, atol=1e-5, weights=True):
    """Fails unless both models give the same outputs for `x`.

    Args:
        model: The nnc model.
        keras_model: The Keras model.
        x: Inputs: an array, or a list or dict of arrays.
        rtol, atol: How far outputs may be apart: `atol + rtol * |Keras's output|`. The defaults
            allow for float32 sums in another order through some dozen layers.
        weights: Whether the nnc model gets Keras's weights first (and its own back afterwards).

    Raises:
        AssertionError: With the place of the largest difference, and the first layer whose weights
            have another shape.
    """
    kept = model.get_weights()
    if weights:
        given = keras_model.get_weights()
        for i, (ours, theirs) in enumerate(zip(kept, given)):
            if ours.shape != theirs.shape:
                variable = model.weights[i]
                raise AssertionError(f"weight {i} ({getattr(variable, 'path', variable.name)}) has "
                                     f"shape {ours.shape}, Keras's has {theirs.shape}")
        if len(kept) != len(given):
            raise AssertionError(f"the model has {len(kept)} weights, Keras's has {len(given)}")
        model.set_weights(given)
    try:
        ours = tree.flatten(model.predict(x, verbose=0))
        theirs = tree.flatten(keras_model.predict(x, verbose=0))
    finally:
        if weights:
            model.set_weights(kept)
    if len(ours) != len(theirs):
        raise AssertionError(f"the model has {len(ours)} outputs, Keras's has {len(theirs)}")
    for i, (a, b) in enumerate(zip(ours, theirs)):
        _check(i, np.asarray(a), np.asarray(b), rtol, atol)


def _check(number, ours, theirs, rtol, atol):
    if ours.shape != theirs.shape:
        raise AssertionError(f"output {number} has shape {ours.shape}, Keras's has {theirs.shape}")
    if np.allclose(ours, theirs, rtol=rtol, atol=atol, equal_nan=True):
        return
    apart = np.abs(ours.astype("float64") - theirs)
    apart = np.where(np.isnan(ours) & np.isnan(theirs), 0, np.nan_to_num(apart, nan=np.inf))
    place = tuple(int(i) for i in np.unravel_index(apart.argmax(), apart.shape))
    raise AssertionError(f"output {number} differs most at {place}: {ours[place]}, Keras gives "
                         f"{theirs[place]} (rtol={rtol}, atol={atol})")
