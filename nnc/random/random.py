"""Draws from distributions, by Philox in the core: the same seed gives the same numbers
everywhere.
"""
import numpy as np

from .._core import Tensor, op
from ..ops.core import (_FLOATS, cast_array, float_array, is_float, one_axis, standardize_dtype,
                        static_shape, tensor)
from .seed_generator import draw_seed

_DRAWN = ("float32", "float64")


def _float_dtype(name, dtype):
    """The dtype asked for, and the one to draw in."""
    dtype = standardize_dtype(dtype)
    if not is_float(dtype):
        raise ValueError(f"`nnc.random.{name}` requires a floating point `dtype`. Received: "
                         f"dtype={dtype}")
    return dtype, dtype if dtype in _DRAWN else "float32"


def _scaled(name, row, shape, one, two, dtype, seed):
    """Draws of `row` with two parameters: numbers go into the op, arrays scale standard draws."""
    dtype, drawn = _float_dtype(name, dtype)
    shape = static_shape(name, shape)
    state = draw_seed(seed)
    if isinstance(one, (int, float)) and isinstance(two, (int, float)):
        y = getattr(op, row)(state, shape, float(one), float(two), drawn)
    else:
        y = getattr(op, row)(state, shape, 0.0, 1.0, drawn)
        one, two = cast_array(one, drawn), cast_array(two, drawn)
        factor = op.subtract(two, one) if row == "random_uniform" else two
        y = op.add(op.multiply(y, factor), one)
    return cast_array(y, dtype)


def normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Normally distributed numbers.

    Args:
        shape: The shape of the result.
        mean: The mean. Defaults to `0.0`.
        stddev: The standard deviation. Defaults to `1.0`.
        dtype: A floating-point dtype. Defaults to `floatx()`.
        seed: Integer (the same numbers at each call), a `SeedGenerator`, or `None`: the global
            generator.
    """
    return _scaled("normal", "random_normal", shape, mean, stddev, dtype, seed)


def truncated_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """As `normal`, within two standard deviations of the mean."""
    return _scaled("truncated_normal", "random_truncated_normal", shape, mean, stddev, dtype, seed)


def uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
    """Numbers evenly spread over `minval` (possible) to `maxval` (not). See `normal`."""
    return _scaled("uniform", "random_uniform", shape, minval, maxval, dtype, seed)


def randint(shape, minval, maxval, dtype="int32", seed=None):
    """Whole numbers evenly spread over `minval` to `maxval - 1`. See `normal`."""
    dtype = standardize_dtype(dtype)
    if is_float(dtype) or dtype == "bool":
        raise ValueError("`nnc.random.randint` requires an integer `dtype`. Received: "
                         f"dtype={dtype}")
    if int(maxval) <= int(minval):
        raise ValueError("`nnc.random.randint`: `maxval` must be above `minval`. "
                         f"Received: minval={minval}, maxval={maxval}")
    drawn = dtype if dtype in ("int32", "int64") else "int64"
    y = op.random_integers(draw_seed(seed), static_shape("randint", shape), int(minval),
                           int(maxval), drawn)
    return cast_array(y, dtype)


def categorical(logits, num_samples, dtype="int32", seed=None):
    """Class numbers drawn with probabilities `softmax(logits)`.

    Args:
        logits: Of shape `(batch, classes)`.
        num_samples: How many to draw for each row.
        dtype: An integer dtype. Defaults to `"int32"`.
        seed: See `normal`.

    Returns:
        Numbers of shape `(batch, num_samples)`.
    """
    logits = float_array(logits)
    if len(logits.shape) != 2:
        raise ValueError("`logits` should be a 2-D tensor with shape [batch_size, num_classes]. "
                         f"Received: logits.shape={tuple(logits.shape)}")
    batch, classes = logits.shape
    # The largest of logits + Gumbel noise falls on class k with probability softmax(logits)[k].
    u = uniform((batch, int(num_samples), classes), seed=seed, dtype=logits.dtype)
    noise = op.negative(op.log(op.negative(op.log(u))))
    chosen = op.argmax(op.add(noise, op.reshape(logits, (batch, 1, classes))), 2, 0)
    return cast_array(chosen, standardize_dtype(dtype))


def _drawn(name, row, shape, parameters, dtype, seed):
    """Draws of `row`, of parameters that broadcast to `shape`."""
    from ..ops.arrays import broadcast_to

    dtype, drawn = _float_dtype(name, dtype)
    shape = static_shape(name, shape)
    wide = [broadcast_to(cast_array(p, "float64"), shape) for p in parameters]
    return cast_array(getattr(op, row)(draw_seed(seed), *wide, drawn), dtype)


def gamma(shape, alpha, dtype=None, seed=None):
    """Numbers of the gamma distribution with scale 1.

    Args:
        shape: The shape of the result.
        alpha: Float or array that broadcasts to `shape`, > 0 (else NaN): the distribution's shape.
        dtype: A floating-point dtype. Defaults to `floatx()`.
        seed: See `normal`.
    """
    return _drawn("gamma", "random_gamma", shape, (alpha,), dtype, seed)


def beta(shape, alpha, beta, dtype=None, seed=None):
    """Numbers of the beta distribution.

    Args:
        shape: The shape of the result.
        alpha: Float or array that broadcasts to `shape`, > 0 (else NaN).
        beta: The same.
        dtype: A floating-point dtype. Defaults to `floatx()`.
        seed: See `normal`.
    """
    return _drawn("beta", "random_beta", shape, (alpha, beta), dtype, seed)


def binomial(shape, counts, probabilities, dtype=None, seed=None):
    """How often something of a probability happens in a number of trials.

    Args:
        shape: The shape of the result.
        counts: Numbers of trials, that broadcast to `shape`; NaN comes of those below 0.
        probabilities: Probabilities, that broadcast to `shape`; NaN comes of those not 0 to 1.
        dtype: A floating-point dtype. Defaults to `floatx()`.
        seed: See `normal`.
    """
    return _drawn("binomial", "random_binomial", shape, (counts, probabilities), dtype, seed)


def shuffle(x, axis=0, seed=None):
    """`x` with its slices along `axis` in random order.

    Args:
        x: The array.
        axis: Integer. Defaults to `0`.
        seed: See `normal`.
    """
    x = tensor(x)
    axis = one_axis("nnc.random.shuffle", axis, len(x.shape))
    return op.take(x, op.random_permutation(draw_seed(seed), x.shape[axis]), axis)


def dropout(inputs, rate, noise_shape=None, seed=None):
    """`inputs` with a share `rate` of the elements set to 0, the others divided by `1 - rate`.

    Args:
        inputs: The array.
        rate: Float, 0 to 1.
        noise_shape: What is dropped together: a shape that broadcasts against `inputs`; `None` for
            an axis is its full size.
        seed: See `normal`.
    """
    inputs = tensor(inputs)
    if not 0 <= rate <= 1:
        raise ValueError(f"`nnc.random.dropout`: `rate` must be 0 to 1. Received: rate={rate}")
    if inputs.dtype not in _FLOATS:
        raise ValueError("`nnc.random.dropout`: `inputs` must be floating point. "
                         f"Received: inputs.dtype={inputs.dtype}")
    if rate == 0:
        return inputs
    if rate == 1:
        return op.multiply(inputs, 0.0)
    state = draw_seed(seed)
    if noise_shape is None:
        return op.dropout(inputs, state, float(rate))
    shape = tuple(n if m is None else int(m) for m, n in zip(noise_shape, inputs.shape))
    fits = all(m in (1, n) for m, n in zip(shape, inputs.shape))
    if len(noise_shape) != len(inputs.shape) or not fits:
        raise ValueError("`nnc.random.dropout`: `noise_shape` must broadcast against `inputs`. "
                         f"Received: noise_shape={tuple(noise_shape)}, "
                         f"inputs.shape={tuple(inputs.shape)}")
    kept = op.dropout(Tensor(np.ones(shape, inputs.dtype)), state, float(rate))
    return op.multiply(inputs, kept)
