"""More element-wise ops of `keras.ops`: trigonometry, special functions, bits of integers, tests
of signs and infinities.
"""
import math

from .._core import op
from .core import (_FLOATS, _SCALARS, cast_array, float_array, operand, standardize_dtype, tensor)
from .numpy import _float_pair, _float_unary, _named

arccos = _float_unary("arccos", "The angle whose cosine is `x`, 0 to pi.")
arcsin = _float_unary("arcsin", "The angle whose sine is `x`, -pi/2 to pi/2.")
arctan = _float_unary("arctan", "The angle whose tangent is `x`, -pi/2 to pi/2.")
arccosh = _float_unary("arccosh", "The inverse of `cosh`, >= 0; NaN below 1.")
arcsinh = _float_unary("arcsinh", "The inverse of `sinh`.")
arctanh = _float_unary("arctanh", "The inverse of `tanh`; NaN outside -1 to 1.")
cosh = _float_unary("cosh", "The hyperbolic cosine.")
sinh = _float_unary("sinh", "The hyperbolic sine.")
cbrt = _float_unary("cbrt", "The cube root, of negative numbers too.")
exp2 = _float_unary("exp2", "2 to the power of `x`.")
erfc = _float_unary("erfc", "`1 - erf(x)`, exact where that is small.")
erfinv = _float_unary("erfinv", "The number whose `erf` is `x`; NaN outside -1 to 1.")
sinc = _float_unary("sinc", "`sin(pi x) / (pi x)`, and 1 at 0.")
i0 = _float_unary("i0", "The modified Bessel function of the first kind, order 0.")


def deg2rad(x):
    """Degrees in radians."""
    return op.multiply(float_array(x), math.pi / 180)


def rad2deg(x):
    """Radians in degrees."""
    return op.multiply(float_array(x), 180 / math.pi)


# ---- two arrays in -------------------------------------------------------------------------------

def _float_binary(name, text):
    run = getattr(op, name)

    def function(x1, x2):
        return run(*_float_pair(x1, x2))
    return _named(function, name, text)


arctan2 = _float_binary("arctan2", "The angle of the point `(x2, x1)`, -pi to pi.")
hypot = _float_binary("hypot", "`sqrt(x1 ** 2 + x2 ** 2)` without overflow.")
nextafter = _float_binary("nextafter", "The next floating-point number after `x1` towards `x2`.")


def fmod(x1, x2):
    """The remainder of `x1 / x2`, with the sign of `x1`."""
    x1, x2 = operand(x1), operand(x2)
    if all(type(x) is not float and (type(x) in _SCALARS or x.dtype not in _FLOATS)
           for x in (x1, x2)):
        rest = op.mod(x1, x2)       # has the sign of x2
        wrong = op.logical_and(op.not_equal(rest, 0),
                               op.not_equal(op.less(x1, 0), op.less(rest, 0)))
        return op.where(wrong, op.subtract(rest, x2), rest)
    return op.fmod(*_float_pair(x1, x2))


def fmax(x1, x2):
    """The larger of each pair, a number before a NaN."""
    x1, x2 = operand(x1), operand(x2)
    return op.where(op.isnan(x1), x2, op.where(op.isnan(x2), x1, op.maximum(x1, x2)))


def fmin(x1, x2):
    """The smaller of each pair, a number before a NaN."""
    x1, x2 = operand(x1), operand(x2)
    return op.where(op.isnan(x1), x2, op.where(op.isnan(x2), x1, op.minimum(x1, x2)))


def heaviside(x1, x2):
    """0 where `x1` is negative, 1 where it is positive, `x2` where it is 0; NaN of NaN."""
    x1, x2 = _float_pair(tensor(x1), tensor(x2))
    step = op.where(op.less(x1, 0), 0.0, op.where(op.greater(x1, 0), 1.0, x1))
    return op.where(op.equal(x1, 0), x2, step)


def ldexp(x1, x2):
    """`x1 * 2 ** x2` for whole `x2`.

    Raises:
        TypeError: If `x2` is not of an integer dtype.
    """
    x1, x2 = float_array(x1), tensor(x2)
    if x2.dtype in _FLOATS:
        raise TypeError(f"ldexp: `x2` must be of an integer dtype. Received: x2.dtype={x2.dtype}")
    # In three parts, so that no power overflows where the result does not.
    x2 = cast_array(x2, x1.dtype)
    part = op.round(op.divide(x2, 3.0))
    power = op.exp2(part)
    return op.multiply(op.multiply(op.multiply(x1, power), power),
                       op.exp2(op.subtract(x2, op.add(part, part))))


def logaddexp2(x1, x2):
    """`log2(2 ** x1 + 2 ** x2)` without overflow."""
    x1, x2 = _float_pair(x1, x2)
    difference = op.subtract(x1, x2)
    small = op.log1p(op.exp2(op.negative(op.absolute(difference))))
    return op.where(op.isnan(difference), op.add(x1, x2),
                    op.add(op.maximum(x1, x2), op.multiply(small, 1 / math.log(2))))


def gcd(x1, x2):
    """The greatest common divisor of integers, >= 0."""
    return op.gcd(operand(x1), operand(x2))


def lcm(x1, x2):
    """The least common multiple of integers, >= 0."""
    return op.lcm(operand(x1), operand(x2))


# ---- bits ----------------------------------------------------------------------------------------

def _bits(name, row, text):
    run = getattr(op, row)

    def function(x, y):
        return run(operand(x), operand(y))
    return _named(function, name, text)


bitwise_and = _bits("bitwise_and", "bitwise_and", "The bits that both integers have.")
bitwise_or = _bits("bitwise_or", "bitwise_or", "The bits that an integer of each pair has.")
bitwise_xor = _bits("bitwise_xor", "bitwise_xor", "The bits that exactly one integer has.")
left_shift = _bits("left_shift", "left_shift", "The bits of `x` moved up by `y` places.")
right_shift = _bits("right_shift", "right_shift",
                    "The bits of `x` moved down by `y` places; the sign is kept.")
bitwise_left_shift = _named(lambda x, y: left_shift(x, y), "bitwise_left_shift",
                            left_shift.__doc__)
bitwise_right_shift = _named(lambda x, y: right_shift(x, y), "bitwise_right_shift",
                             right_shift.__doc__)


def bitwise_not(x):
    """Each bit of the integers turned over."""
    return op.bitwise_not(tensor(x))


bitwise_invert = _named(lambda x: bitwise_not(x), "bitwise_invert", bitwise_not.__doc__)


def view(x, dtype=None):
    """The same bits as another dtype. A larger or smaller element changes the last axis."""
    x = tensor(x)
    return x if dtype is None else op.bitcast(x, standardize_dtype(dtype))


# ---- signs and infinities ------------------------------------------------------------------------

_AS_INTEGER = {"float16": "int16", "bfloat16": "int16", "float32": "int32", "float64": "int64"}


def signbit(x):
    """Whether the sign bit is set: of negative numbers, -0 and negative NaN."""
    x = tensor(x)
    if x.dtype == "bool":
        return op.fill(tuple(x.shape), 0.0, "bool")
    return op.less(op.bitcast(x, _AS_INTEGER[x.dtype]) if x.dtype in _FLOATS else x, 0)


def isposinf(x):
    """Whether each element is positive infinity."""
    x = tensor(x)
    infinite = op.isinf(x)
    return op.logical_and(infinite, op.greater(x, 0)) if x.dtype in _FLOATS else infinite


def isneginf(x):
    """Whether each element is negative infinity."""
    x = tensor(x)
    infinite = op.isinf(x)
    return op.logical_and(infinite, op.less(x, 0)) if x.dtype in _FLOATS else infinite


def select(condlist, choicelist, default=0):
    """Where the first condition that holds is, the choice beside it; else `default`."""
    if len(condlist) != len(choicelist) or not condlist:
        raise ValueError("select: `condlist` and `choicelist` must have one length, at least 1. "
                         f"Received: {len(condlist)} and {len(choicelist)}")
    result = operand(default)
    for condition, choice in zip(reversed(list(condlist)), reversed(list(choicelist))):
        result = op.where(cast_array(condition, "bool"), operand(choice), result)
    return result


def vectorize(pyfunc, *, excluded=None, signature=None):
    """A function of arrays from one of elements: called on every combination of the broadcast
    arguments, the results stacked. For what no op says; each element is a call.

    Raises:
        NotImplementedError: If `excluded` or `signature` is given.
    """
    if excluded is not None or signature is not None:
        raise NotImplementedError("vectorize: `excluded` and `signature` are not supported. "
                                  f"Received: excluded={excluded}, signature={signature!r}")

    def function(*args):
        from .arrays import broadcast_to, ravel, reshape, stack
        import numpy as np
        args = [tensor(x) for x in args]
        shape = np.broadcast_shapes(*(tuple(x.shape) for x in args))
        rows = [ravel(broadcast_to(x, shape)) for x in args]
        results = [tensor(pyfunc(*(row[i] for row in rows))) for i in range(math.prod(shape))]
        if not results:
            raise ValueError("vectorize: no elements to call the function on. Received: shape "
                             f"{shape}")
        return reshape(stack(results), shape + tuple(results[0].shape))
    return _named(function, getattr(pyfunc, "__name__", "vectorized"), pyfunc.__doc__)
