"""The element-wise ops, products and reductions of `keras.ops` that have NumPy's names.

Functions that only name a row of the op table are made by loops over tables at the top; what needs
Keras's rules for dtypes and axes follows. Where elements lie (reshape, concatenate ...) is in
arrays.py.
"""
import math
import operator

from .._core import Tensor, op
from .core import (_DIFFERENTIABLE, _FLOATS, _SCALARS, _UNSIGNED, by_parts, cast_array,
                   float_array, is_complex, many_axes, one_axis, op_of_files, operand,
                   result_type, tensor)
from .keras_tensor import sized_by_values


def _named(function, name, text):
    function.__name__ = function.__qualname__ = name
    function.__doc__ = text
    return function


# ---- one array in, floating point out ------------------------------------------------------------

def _float_unary(name, text):
    run = getattr(op, name)

    def function(x):
        return run(float_array(x))
    return _named(function, name, text)


exp = _float_unary("exp", "e to the power of `x`, element-wise.")
expm1 = _float_unary("expm1", "`exp(x) - 1`, exact near 0.")
log = _float_unary("log", "The natural logarithm.")
log1p = _float_unary("log1p", "`log(1 + x)`, exact near 0.")
log2 = _float_unary("log2", "The logarithm to base 2.")
log10 = _float_unary("log10", "The logarithm to base 10.")
sqrt = _float_unary("sqrt", "The square root; NaN below 0.")
rsqrt = _float_unary("rsqrt", "`1 / sqrt(x)`.")
reciprocal = _float_unary("reciprocal", "`1 / x`; integers are cast to `floatx()`.")
sin = _float_unary("sin", "The sine of radians.")
cos = _float_unary("cos", "The cosine of radians.")
tanh = _float_unary("tanh", "The hyperbolic tangent.")
erf = _float_unary("erf", "The error function.")
floor = _float_unary("floor", "The largest whole number not above `x`, as floating point.")
ceil = _float_unary("ceil", "The smallest whole number not below `x`, as floating point.")
isnan = _float_unary("isnan", "Whether each element is NaN.")
isinf = _float_unary("isinf", "Whether each element is infinite.")
isfinite = _float_unary("isfinite", "Whether each element is neither NaN nor infinite.")


def tan(x):
    """The tangent of radians."""
    x = float_array(x)
    return op.divide(op.sin(x), op.cos(x))


# ---- one array in, the same dtype out ------------------------------------------------------------

def negative(x):
    """`-x`."""
    x = tensor(x)
    return op.negative(x) if x.dtype in _DIFFERENTIABLE else op.subtract(0, x)


def absolute(x):
    """The absolute value; of complex numbers `sqrt(real ** 2 + imag ** 2)`."""
    x = tensor(x)
    if x.dtype in _DIFFERENTIABLE:
        return x.__abs__()
    return x if x.dtype == "bool" or x.dtype in _UNSIGNED else op.maximum(x, op.subtract(0, x))


abs = _named(lambda x: absolute(x), "abs", "The absolute value.")


def fabs(x):
    """The absolute value as floating point."""
    return op.absolute(float_array(x))


def square(x):
    """`x * x`; booleans become integers."""
    x = tensor(x)
    if x.dtype in _DIFFERENTIABLE:
        return op.square(x)
    x = cast_array(x, "int32") if x.dtype == "bool" else x
    return op.multiply(x, x)


def sign(x):
    """-1, 0 or 1 as `x` is below, at or above 0."""
    x = tensor(x)
    if x.dtype in _FLOATS:
        return op.sign(x)
    return op.subtract(cast_array(op.greater(x, 0), x.dtype), cast_array(op.less(x, 0), x.dtype))


def round(x, decimals=0):
    """To the nearest number of `decimals` decimals, halves to the even one."""
    x = tensor(x)
    if x.dtype not in _FLOATS:
        if decimals >= 0:
            return x
        return cast_array(round(float_array(x), decimals), x.dtype)
    if decimals == 0:
        return op.round(x)
    factor = math.pow(10.0, decimals)
    return op.divide(op.round(op.multiply(x, factor)), factor)


def trunc(x):
    """The whole part: towards 0."""
    x = tensor(x)
    return op.multiply(op.sign(x), op.floor(op.absolute(x))) if x.dtype in _FLOATS else x


def logical_not(x):
    """Whether each element is false (0)."""
    return op.logical_not(cast_array(x, "bool"))


# ---- two arrays in -------------------------------------------------------------------------------

def _binary(name, row, text):
    run = getattr(op, row)

    def function(x1, x2):
        return run(x1, x2)
    return _named(function, name, text)


subtract = _binary("subtract", "subtract", "`x1 - x2`, broadcast.")
maximum = _binary("maximum", "maximum", "The larger of each pair; NaN if either is.")
minimum = _binary("minimum", "minimum", "The smaller of each pair; NaN if either is.")
floor_divide = _binary("floor_divide", "floor_divide",
                       "The largest whole number not above `x1 / x2`.")
mod = _binary("mod", "mod", "The remainder of `x1 / x2`, with the sign of `x2`.")


def _equality(name, compare, text):
    run = getattr(op, name)

    def function(x1, x2):
        x1, x2 = operand(x1), operand(x2)
        if is_complex(x1) or is_complex(x2):
            return compare(tensor(x1), tensor(x2))
        return run(x1, x2)
    return _named(function, name, text)


equal = _equality("equal", operator.eq, "Whether the elements of each pair are equal.")
not_equal = _equality("not_equal", operator.ne, "Whether the elements of each pair differ.")
less = _binary("less", "less", "`x1 < x2`, element-wise.")
less_equal = _binary("less_equal", "less_equal", "`x1 <= x2`, element-wise.")
greater = _binary("greater", "greater", "`x1 > x2`, element-wise.")
greater_equal = _binary("greater_equal", "greater_equal", "`x1 >= x2`, element-wise.")


def _logical(name, text):
    run = getattr(op, name)

    def function(x1, x2):
        return run(cast_array(x1, "bool"), cast_array(x2, "bool"))
    return _named(function, name, text)


logical_and = _logical("logical_and", "Whether both elements of each pair are true (not 0).")
logical_or = _logical("logical_or", "Whether an element of each pair is true (not 0).")
logical_xor = _logical("logical_xor", "Whether exactly one element of each pair is true (not 0).")


def _is_bool(x):
    return type(x) is bool or (type(x) not in _SCALARS and x.dtype == "bool")


def add(x1, x2):
    """`x1 + x2`, broadcast; of two booleans: or."""
    if type(x1) is Tensor and x1.dtype != "bool":
        return op.add(x1, x2)
    x1, x2 = operand(x1), operand(x2)
    return op.logical_or(x1, x2) if _is_bool(x1) and _is_bool(x2) else op.add(x1, x2)


def multiply(x1, x2):
    """`x1 * x2`, broadcast; of two booleans: and."""
    if type(x1) is Tensor and x1.dtype != "bool":
        return op.multiply(x1, x2)
    x1, x2 = operand(x1), operand(x2)
    return op.logical_and(x1, x2) if _is_bool(x1) and _is_bool(x2) else op.multiply(x1, x2)


def _float_pair(x1, x2):
    """Both operands such that they promote to a floating-point dtype."""
    x1, x2 = operand(x1), operand(x2)
    scalar1, scalar2 = type(x1) in _SCALARS, type(x2) in _SCALARS
    float1 = not scalar1 and x1.dtype in _FLOATS
    float2 = not scalar2 and x2.dtype in _FLOATS
    if not (float1 or float2):
        return (float_array(x1), float(x2)) if scalar2 else \
            (float(x1) if scalar1 else float_array(x1), float_array(x2))
    if not (float1 or scalar1):
        x1 = cast_array(x1, x2.dtype)
    if not (float2 or scalar2):
        x2 = cast_array(x2, x1.dtype)
    return x1, x2


def divide(x1, x2):
    """`x1 / x2`, broadcast; two integers give floating point."""
    return op.divide(*_float_pair(x1, x2))


true_divide = _named(lambda x1, x2: divide(x1, x2), "true_divide", divide.__doc__)


def divide_no_nan(x1, x2):
    """`x1 / x2`, and 0 where `x2` is 0."""
    x1, x2 = _float_pair(x1, x2)
    if type(x2) in _SCALARS and type(x1) not in _SCALARS:
        x2 = cast_array(x2, x1.dtype)       # as weak as it was beside x1
    zero = op.equal(x2, 0)
    # The divisor is made safe first, so that no gradient is NaN.
    return op.where(zero, 0.0, op.divide(x1, op.where(zero, 1.0, x2)))


def power(x1, x2):
    """`x1` to the power of `x2`."""
    return op.power(operand(x1), operand(x2))


def logaddexp(x1, x2):
    """`log(exp(x1) + exp(x2))` without overflow."""
    x1, x2 = _float_pair(x1, x2)
    difference = op.subtract(x1, x2)
    same = op.isnan(difference)     # both inf or both -inf (or NaN): their sum says which
    return op.where(same, op.add(x1, x2),
                    op.add(op.maximum(x1, x2), op.softplus(op.negative(op.absolute(difference)))))


def _where_spec(condition, x1=None, x2=None):
    if x1 is None and x2 is None:
        from .sorting import nonzero

        return nonzero._nnc_spec(condition)
    return None


@sized_by_values(_where_spec)
def where(condition, x1=None, x2=None):
    """`x1` where `condition` holds and `x2` elsewhere; without both, `nonzero(condition)`.

    Raises:
        ValueError: If only one of `x1` and `x2` is given.
    """
    if x1 is None and x2 is None:
        from .sorting import nonzero

        return nonzero(condition)
    if x1 is None or x2 is None:
        raise ValueError("where: both of `x1` and `x2` must be given or none. Received: "
                         f"x1={x1!r}, x2={x2!r}")
    return op.where(cast_array(condition, "bool"), operand(x1), operand(x2))


def clip(x, x_min, x_max):
    """`x` with what lies below `x_min` or above `x_max` moved there; keeps the dtype of `x`."""
    x = tensor(x)
    x = cast_array(x, "int32") if x.dtype == "bool" else x
    low, high = operand(x_min), operand(x_max)
    low = low if type(low) in _SCALARS and x.dtype in _FLOATS else cast_array(low, x.dtype)
    high = high if type(high) in _SCALARS and x.dtype in _FLOATS else cast_array(high, x.dtype)
    return op.minimum(op.maximum(x, low), high)


def isclose(x1, x2, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Whether `|x1 - x2| <= atol + rtol |x2|`; equal infinities are close."""
    x1, x2 = _float_pair(tensor(x1), tensor(x2))
    near = op.less_equal(op.absolute(op.subtract(x1, x2)),
                         op.add(op.multiply(op.absolute(x2), rtol), atol))
    result = op.logical_or(op.equal(x1, x2), op.logical_and(near, op.isfinite(x2)))
    if not equal_nan:
        return result
    return op.logical_or(result, op.logical_and(op.isnan(x1), op.isnan(x2)))


def allclose(x1, x2, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Whether all elements are close, as `isclose` has it."""
    return all(isclose(x1, x2, rtol, atol, equal_nan))


_LARGEST = {"float16": 65504.0, "bfloat16": 3.3895313892515355e38, "float32": 3.4028234663852886e38,
            "float64": 1.7976931348623157e308}


def nan_to_num(x, nan=0.0, posinf=None, neginf=None):
    """`x` with NaN and the infinities replaced (by the largest finite numbers, if not told)."""
    x = tensor(x)
    if x.dtype not in _FLOATS:
        return x
    largest = _LARGEST[x.dtype]
    infinite = op.isinf(x)
    top = largest if posinf is None else posinf
    bottom = -largest if neginf is None else neginf
    x = op.where(op.isnan(x), float(nan), x)
    x = op.where(op.logical_and(infinite, op.greater(x, 0)), top, x)
    return op.where(op.logical_and(infinite, op.less(x, 0)), bottom, x)


# ---- products ------------------------------------------------------------------------------------

def _product_pair(x1, x2):
    """Both operands in a floating-point dtype to compute in, and the dtype of the result."""
    x1, x2 = tensor(x1), tensor(x2)
    if x1.dtype == x2.dtype and x1.dtype in _DIFFERENTIABLE:
        return x1, x2, x1.dtype
    dtype = "int32" if x1.dtype == x2.dtype == "int8" else result_type(x1.dtype, x2.dtype)
    # Integers are multiplied in float64, which holds whole numbers up to 2^53.
    compute = dtype if dtype in _DIFFERENTIABLE else "float64"
    return cast_array(x1, compute), cast_array(x2, compute), dtype


def matmul(x1, x2):
    """The matrix product of the last two axes, the others broadcast."""
    x1, x2, dtype = _product_pair(x1, x2)
    rank1, rank2 = len(x1.shape), len(x2.shape)
    if not rank1 or not rank2:
        raise ValueError("matmul: scalars have no matrix product. Received: "
                         f"x1.shape={tuple(x1.shape)}, x2.shape={tuple(x2.shape)}")
    if rank1 == 1:
        x1 = op.reshape(x1, (1,) + tuple(x1.shape))
    if rank2 == 1:
        x2 = op.reshape(x2, tuple(x2.shape) + (1,))
    y = x1 @ x2
    if rank1 == 1 or rank2 == 1:
        shape = tuple(y.shape)
        tail = (() if rank1 == 1 else shape[-2:-1]) + (() if rank2 == 1 else shape[-1:])
        y = op.reshape(y, shape[:-2] + tail)
    return cast_array(y, dtype)


def _permuted(x, perm):
    return x if perm == tuple(range(len(perm))) else op.transpose(x, perm)


def tensordot(x1, x2, axes=2):
    """The sum of products over pairs of axes.

    Args:
        x1: First array.
        x2: Second array.
        axes: A number n (the last n axes of `x1` with the first n of `x2`) or a pair of lists of
            axes.
    """
    x1, x2, dtype = _product_pair(x1, x2)
    rank1, rank2 = len(x1.shape), len(x2.shape)
    if isinstance(axes, int):
        over1, over2 = tuple(range(rank1 - axes, rank1)), tuple(range(axes))
        if axes < 0 or axes > rank1 or axes > rank2:
            raise ValueError(f"tensordot: arrays of rank {rank1} and {rank2} do not both have "
                             f"{axes} axes. Received: axes={axes}")
    else:
        over1, over2 = (tuple(one_axis("tensordot", a, rank) for a in
                              (side if isinstance(side, (tuple, list)) else (side,)))
                        for side, rank in zip(axes, (rank1, rank2)))
    if [x1.shape[a] for a in over1] != [x2.shape[a] for a in over2]:
        raise ValueError("tensordot: the summed axes differ in size. Received: "
                         f"x1.shape={tuple(x1.shape)}"
                         f", x2.shape={tuple(x2.shape)}, axes={axes}")
    free1 = tuple(a for a in range(rank1) if a not in over1)
    free2 = tuple(a for a in range(rank2) if a not in over2)
    size = math.prod(x1.shape[a] for a in over1)
    shape1, shape2 = tuple(x1.shape[a] for a in free1), tuple(x2.shape[a] for a in free2)
    a = op.reshape(_permuted(x1, free1 + over1), (math.prod(shape1), size))
    b = op.reshape(_permuted(x2, over2 + free2), (size, math.prod(shape2)))
    return cast_array(op.reshape(op.matmul(a, b, 0, 0), shape1 + shape2), dtype)


def dot(x1, x2):
    """The product of the last axis of `x1` with the last but one of `x2` (its only one, if 1-D)."""
    x1, x2 = tensor(x1), tensor(x2)
    rank1, rank2 = len(x1.shape), len(x2.shape)
    if not rank1 or not rank2:
        return multiply(x1, x2)
    return tensordot(x1, x2, ((rank1 - 1,), (rank2 - 1 if rank2 == 1 else rank2 - 2,)))


def inner(x1, x2):
    """The product over the last axis of both."""
    x1, x2 = tensor(x1), tensor(x2)
    if not len(x1.shape) or not len(x2.shape):
        return multiply(x1, x2)
    return tensordot(x1, x2, ((-1,), (-1,)))


def vdot(x1, x2):
    """The sum of products of two arrays, both flattened."""
    return tensordot(op.reshape(tensor(x1), (math.prod(tensor(x1).shape),)),
                     op.reshape(tensor(x2), (math.prod(tensor(x2).shape),)), 1)


def outer(x1, x2):
    """All products of an element of `x1` with one of `x2`, both flattened."""
    x1, x2 = tensor(x1), tensor(x2)
    return multiply(op.reshape(x1, (math.prod(x1.shape), 1)),
                    op.reshape(x2, (1, math.prod(x2.shape))))


# ---- reductions ----------------------------------------------------------------------------------

_SUM_DTYPE = {"bool": "int32", "int8": "int32", "int16": "int32", "uint8": "uint32",
              "uint16": "uint32"}


def sum(x, axis=None, keepdims=False):
    """The sum over axes (all of them by default); small integers are summed as 32-bit ones."""
    x = tensor(x)
    x = cast_array(x, _SUM_DTYPE.get(x.dtype, x.dtype))
    axes = many_axes("sum", axis, len(x.shape))
    if is_complex(x):
        return by_parts(lambda part: sum(part, axis, keepdims), x)
    return op.sum(x, axes, int(keepdims)) if axes else x


def prod(x, axis=None, keepdims=False, dtype=None):
    """The product over axes (all of them by default)."""
    x = tensor(x)
    x = cast_array(x, _SUM_DTYPE.get(x.dtype, x.dtype) if dtype is None else dtype)
    axes = many_axes("prod", axis, len(x.shape))
    y = op.prod(x, axes, int(keepdims)) if axes else x
    return y if dtype is None else cast_array(y, dtype)     # small integers gave 32-bit ones


def mean(x, axis=None, keepdims=False):
    """The mean over axes (all of them by default); integers give floating point."""
    x = float_array(x)
    axes = many_axes("mean", axis, len(x.shape))
    if is_complex(x):
        return by_parts(lambda part: mean(part, axis, keepdims), x)
    return op.mean(x, axes, int(keepdims)) if axes else x


def _extremum(name, x, axis, keepdims, initial):
    x = tensor(x)
    axes = many_axes(name, axis, len(x.shape))
    if initial is None and not math.prod(x.shape[a] for a in axes):
        raise ValueError(f"{name}: nothing to reduce: x.shape={tuple(x.shape)}, axis={axis}. "
                         "Give `initial`.")
    pair = getattr(op, name + "imum")
    if x.dtype == "bool":
        y = getattr(op, "any" if name == "max" else "all")(x, axes, int(keepdims)) if axes else x
        if initial is None:
            return y
        return cast_array(pair(cast_array(y, "int32"), int(initial)), "bool")
    if initial is not None and not math.prod(x.shape):
        kept = [(1 if a in axes else n) for a, n in enumerate(x.shape) if keepdims or a not in axes]
        return op.fill(tuple(kept), float(initial), x.dtype)
    y = getattr(op, name)(x, axes, int(keepdims)) if axes else x
    return y if initial is None else cast_array(pair(y, initial), x.dtype)


def max(x, axis=None, keepdims=False, initial=None):
    """The largest element along axes (all of them by default), NaN if there is one."""
    return _extremum("max", x, axis, keepdims, initial)


def min(x, axis=None, keepdims=False, initial=None):
    """The smallest element along axes (all of them by default), NaN if there is one."""
    return _extremum("min", x, axis, keepdims, initial)


def amax(x, axis=None, keepdims=False):
    """The largest element along axes."""
    return _extremum("max", x, axis, keepdims, None)


def amin(x, axis=None, keepdims=False):
    """The smallest element along axes."""
    return _extremum("min", x, axis, keepdims, None)


def ptp(x, axis=None, keepdims=False):
    """The largest less the smallest element along axes."""
    return subtract(max(x, axis, keepdims), min(x, axis, keepdims))


def any(x, axis=None, keepdims=False):
    """Whether an element along axes is true (not 0)."""
    x = cast_array(x, "bool")
    axes = many_axes("any", axis, len(x.shape))
    return op.any(x, axes, int(keepdims)) if axes else x


def all(x, axis=None, keepdims=False):
    """Whether all elements along axes are true (not 0)."""
    x = cast_array(x, "bool")
    axes = many_axes("all", axis, len(x.shape))
    return op.all(x, axes, int(keepdims)) if axes else x


def count_nonzero(x, axis=None):
    """How many elements along axes are not 0."""
    return sum(not_equal(tensor(x), 0), axis)


def _arg_extremum(name, x, axis, keepdims):
    x = tensor(x)
    x = cast_array(x, "int32") if x.dtype == "bool" else x
    rank = len(x.shape)
    if axis is None:
        y = getattr(op, name)(op.reshape(x, (math.prod(x.shape),)), 0, 0)
        y = op.reshape(y, (1,) * rank) if keepdims else y
    else:
        y = getattr(op, name)(x, one_axis(name, axis, rank), int(keepdims))
    return cast_array(y, "int32")


def argmax(x, axis=None, keepdims=False):
    """The index of the largest element along an axis (of the flattened array by default), int32."""
    return _arg_extremum("argmax", x, axis, keepdims)


def argmin(x, axis=None, keepdims=False):
    """The index of the smallest element along an axis (of the flattened array by default),
    int32.
    """
    return _arg_extremum("argmin", x, axis, keepdims)


def var(x, axis=None, keepdims=False):
    """The variance along axes: the mean of squared distances from the mean."""
    x = float_array(x)
    axes = many_axes("var", axis, len(x.shape))
    return mean(op.square(op.subtract(x, mean(x, axes, True))), axes, keepdims)


def std(x, axis=None, keepdims=False):
    """The standard deviation along axes."""
    return op.sqrt(var(x, axis, keepdims))


def average(x, axis=None, weights=None):
    """The mean along an axis, weighted if `weights` (the shape of `x`, or one for `axis`) are
    given.
    """
    if weights is None:
        return mean(x, axis)
    x, weights = _float_pair(tensor(x), tensor(weights))
    if axis is None or len(x.shape) == len(weights.shape):
        return op.divide(sum(op.multiply(x, weights), axis), sum(weights, axis))
    axis = one_axis("average", axis, len(x.shape))
    return op.divide(tensordot(x, weights, ((axis,), (0,))), sum(weights))


def logsumexp(x, axis=None, keepdims=False):
    """`log(sum(exp(x)))` along axes without overflow."""
    x = float_array(x)
    axes = many_axes("logsumexp", axis, len(x.shape))
    if not axes:
        return x
    top = op.stop_gradient(op.max(x, axes, 1))
    top = op.where(op.isfinite(top), top, 0.0)
    total = op.log(op.sum(op.exp(op.subtract(x, top)), axes, int(keepdims)))
    if not keepdims:
        top = op.reshape(top, tuple(n for a, n in enumerate(x.shape) if a not in axes))
    return op.add(total, top)


def __getattr__(name):
    """Keras's `ops.numpy` has the ops of these files too."""
    return op_of_files(__name__, name, ("arrays", "complex_numbers", "elementwise", "indexing",
                                        "sorting", "einstein", "numpy"), ("slogdet",))
