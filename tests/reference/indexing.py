"""Running sums, orders, places by index, ids, and the bits of integers."""
import math

import numpy as np

from .row import ANY, INTEGERS, ROWS, Row, cast_cases, numbers, quiet

# ---- along an axis -------------------------------------------------------------------------------

LINES = [((7,), 0), ((3, 5), 0), ((3, 5), -1), ((2, 3, 4), 1), ((41,), 0), ((0, 3), 0), ((3, 0), 0),
         ((2, 1, 3), 1)]
NEAR = [((4,), 0), ((2, 3), 0), ((2, 3, 2), 1)]


def backward(function):
    """`function` from the other end where the last attribute says so."""
    def call(*inputs_axis_reverse):
        *inputs, axis, reverse = inputs_axis_reverse
        if reverse:
            return np.flip(function(*[np.flip(x, axis) for x in inputs], axis), axis)
        return function(*inputs, axis)
    return call


def lines(shapes, count=1, **options):
    return [([numbers(*shape, seed=i, **options) for i in range(count)], (axis, reverse))
            for shape, axis in shapes for reverse in (0, 1)]


def recurrence(a, b, axis):
    a, b = np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0)
    y = np.array(b)
    for i in range(1, len(b)):
        y[i] = a[i] * y[i - 1] + b[i]
    return np.moveaxis(y, 0, axis)


WRONG_AXIS = ([np.ones((2, 3))], (2, 0), ValueError)
for _name, _function, _scale in (("cumsum", np.cumsum, lambda x, *_: np.sum(abs(x))),
                                 ("cumprod", np.cumprod, 0.0)):
    ROWS[_name] = Row(
        backward(_function), lines(LINES), (0,), lines(NEAR), INTEGERS,
        lambda row, dtype: [(inputs, a) for inputs, a in cast_cases(row, dtype)
                            if inputs[0].size < 20],
        scale=_scale, units=32.0,
        refused=(WRONG_AXIS, ([np.ones(2, "bool")], (0, 0), TypeError)))
# A 0 among the factors: no gradient divides by it.
ROWS["cumprod"].near.append(([np.array([1.5, 0.0, -2.0, 0.0, 0.5])], (0, 0)))
ROWS["recurrence"] = Row(
    backward(recurrence), lines(LINES, 2, low=-1.0, high=1.0), (0, 1),
    lines(NEAR, 2), units=32.0, scale=1.0,
    refused=(([np.ones((2, 3)), np.ones((2, 1))], (0, 0), ValueError),
             ([np.ones(2, "int32"), np.ones(2, "int32")], (0, 0), TypeError)))


# ---- order ---------------------------------------------------------------------------------------

def argsort(x, axis, descending):
    if not descending:
        return np.argsort(x, axis, kind="stable").astype("int32")
    turned = np.flip(x, axis)
    places = np.flip(np.argsort(turned, axis, kind="stable"), axis)
    return (x.shape[axis] - 1 - places).astype("int32")


def sort(x, axis, descending):
    return np.take_along_axis(x, argsort(x, axis, descending), axis)


def top_k(x, k):
    places = argsort(x, -1, 1)[..., :k]
    return np.take_along_axis(x, places, -1), places


TIES = np.array([2.0, 1.0, 2.0, -0.0, 0.0, 1.0, -1.0] * 3)
HARD = [([TIES], (0, 0)), ([TIES], (0, 1)), ([np.array([np.nan, 1, -np.inf, np.nan, np.inf])],
                                             (0, 0)),
        ([numbers(3000)], (0, 0)), ([numbers(60, 70)], (0, 0)), ([np.round(numbers(900))], (0, 1))]
ROWS["sort"] = Row(sort, lines(LINES) + HARD, (0,), lines(NEAR), ANY, cast_cases,
                   refused=(WRONG_AXIS,))
ROWS["argsort"] = Row(argsort, lines(LINES) + HARD, (), None, ANY, cast_cases,
                      lambda _: ("int32",), refused=(WRONG_AXIS,))
ROWS["top_k"] = Row(
    top_k, [([numbers(*shape)], (k,)) for shape, k in
            [((7,), 3), ((3, 5), 5), ((2, 3, 4), 1), ((4, 0), 0), ((5000,), 7), ((2, 300), 100)]]
    + [([TIES], (4,)), ([np.tile(TIES, 30)], (5,))],
    (0,), [([numbers(2, 5)], (2,))], ANY, cast_cases, lambda dtype: (dtype, "int32"),
    refused=(([np.ones((2, 3))], (4,), ValueError), ([np.ones((2, 3))], (-1,), ValueError)))
STEPS = np.array([-1.0, 0.0, 0.0, 0.5, 2.0, 2.0, np.inf])
ROWS["searchsorted"] = Row(
    lambda a, x, right: np.searchsorted(a, x, "right" if right else "left").astype("int32"),
    [([STEPS, x], (right,)) for right in (0, 1)
     for x in (np.array([-2.0, -1, -0.0, 0.25, 2, 3, np.inf, np.nan]), numbers(3, 4),
               np.array(0.5), np.empty((0, 2)))] + [([np.empty(0), numbers(3)], (0,))],
    exact=INTEGERS, exact_cases=lambda row, dtype: [
        ([np.array([0, 1, 1, 5, 9], dtype), np.arange(11).astype(dtype)], (right,))
        for right in (0, 1)],
    gives=lambda _: ("int32",), refused=(([np.ones((2, 2)), np.ones(2)], (0,), ValueError),))


# ---- places --------------------------------------------------------------------------------------

def take_along_grad(dy, indices, shape, axis):
    y = np.zeros(shape, dy.dtype)
    where = list(np.indices(indices.shape))
    where[axis] = indices
    np.add.at(y, tuple(where), dy)
    return y


def along():
    for shape, axis, n in [((5,), 0, 3), ((3, 4), 0, 2), ((3, 4), -1, 6), ((2, 3, 4), 1, 5),
                           ((3, 4), 1, 0)]:
        size = list(shape)
        size[axis] = n
        yield numbers(*shape), np.random.default_rng(7).integers(0, shape[axis], size), axis


ROWS["take_along"] = Row(
    np.take_along_axis, [([x, i], (axis,)) for x, i, axis in along()], (0,), exact=ANY,
    exact_cases=cast_cases,
    refused=(([np.ones((2, 3)), np.zeros((3, 3), int)], (1,), ValueError),
             ([np.ones(3), np.array([3])], (0,), IndexError),
             ([np.ones(3), np.array([0.5])], (0,), TypeError)))
ROWS["take_along_grad"] = Row(
    take_along_grad, [([numbers(*i.shape), i], (x.shape, axis)) for x, i, axis in along()], (0,),
    scale=3.0, refused=(([np.ones(2), np.array([0, 9])], ((3,), 0), IndexError),
                        ([np.ones(2), np.array([0])], ((3,), 0), ValueError)))


def put(x, indices, rows):
    y = np.array(x)
    for i, row in zip(indices, rows):
        y[i] = row
    return y


ROWS["put"] = Row(
    put, [([numbers(*x), np.array(i, "int64"), numbers(len(i), *x[1:], seed=1)], ())
          for x, i in [((5,), [1, 3]), ((5, 3), [4, 0, 4]), ((3, 2, 2), [2]), ((4, 3), []),
                       ((3, 0), [1])]], (0, 2), exact=ANY, exact_cases=cast_cases,
    refused=(([np.ones(3), np.array([3]), np.ones(1)], (), IndexError),
             ([np.ones(3), np.array([0]), np.ones(2)], (), ValueError),
             ([np.ones(3), np.array([0.5]), np.ones(1)], (), TypeError)))


def segments(function, empty):
    def call(x, ids, count):
        rows = [x[ids == k] for k in range(count)]
        return np.array([function(r, axis=0) if len(r) else np.full(x.shape[1:], empty(x.dtype))
                         for r in rows], x.dtype).reshape((count, *x.shape[1:]))
    return call


def lowest(dtype):
    return np.finfo("float32").min if dtype.kind == "f" else np.iinfo(dtype).min


def highest(dtype):
    return np.finfo("float32").max if dtype.kind == "f" else np.iinfo(dtype).max


for _name, _function, _empty in (("segment_max", np.max, lowest), ("segment_min", np.min, highest),
                                 ("segment_prod", np.prod, lambda dtype: 1)):
    ROWS[_name] = Row(
        segments(_function, _empty), [([numbers(*x), np.array(i)], (count,)) for x, i, count in
                                      [((5,), [0, 2, 1, 0, 2], 3), ((4, 3), [1, 1, 0, 1], 2),
                                       ((3, 2, 2), [0, 0, 0], 1), ((0, 2), np.zeros(0, int), 0)]],
        (0,), exact=INTEGERS, exact_cases=cast_cases, units=8.0,
        refused=(([np.ones(3), np.array([0, 1, 2])], (2,), IndexError),
                 ([np.ones(3), np.array([0, 1])], (2,), ValueError),
                 ([np.ones(1), np.array([0.5])], (2,), TypeError)))
ROWS["segment_prod"].near = [([numbers(5, low=0.5), np.array([0, 2, 1, 0, 2])], (3,)),
                             ([numbers(4, 2, low=0.5), np.array([1, 1, 0, 1])], (2,))]


# ---- bits ----------------------------------------------------------------------------------------

def shifted(function, beyond):
    def call(a, b):
        width = np.iinfo(a.dtype).bits
        wide = b.astype("uint64") >= width      # negative ones too
        return np.where(wide, beyond(a), function(a, np.where(wide, 0, b).astype(a.dtype)))
    return call


def bit_pairs(_, dtype):
    info = np.iinfo(dtype)
    a = np.array([info.min, info.max, 0, 1, 5, 12, 100, info.max - 3], dtype)
    return [([a[:, None], np.array([0, 1, 3, 6, 7, info.bits, info.max], dtype)], ()),
            ([a, a[::-1].copy()], ())]


def whole(function):
    """By Python's integers, then wrapped."""
    def call(a, b):
        values = np.vectorize(lambda x, y: function(int(x), int(y)) % 2**64, otypes=[object])(a, b)
        return values.astype("uint64").astype(a.dtype)
    return call


FEW = [([np.array([[1], [6]]), np.array([2, 3, 9])], ()), ([np.array([], "int32")] * 2, ()),
       ([np.array(12, "uint8"), np.array(5, "uint8")], ())]
for _name, _function in (
        ("bitwise_and", np.bitwise_and), ("bitwise_or", np.bitwise_or),
        ("bitwise_xor", np.bitwise_xor), ("left_shift", shifted(np.left_shift, np.zeros_like)),
        ("right_shift", shifted(np.right_shift, lambda a: np.where(a < 0, -1, 0).astype(a.dtype))),
        ("gcd", whole(math.gcd)), ("lcm", whole(math.lcm))):
    ROWS[_name] = Row(quiet(_function), FEW, exact=INTEGERS, exact_cases=bit_pairs,
                      gives=lambda dtype: ("uint8" if "float" in dtype else dtype,),
                      refused=(([np.ones(2), np.ones(2)], (), TypeError),
                               ([np.ones(2, int), np.ones(3, int)], (), ValueError)))
ROWS["bitwise_not"] = Row(
    np.invert, [([np.arange(-3, 4)], ()), ([np.array([True, False])], ()),
                ([np.array(3, "uint8")], ())],
    gives=lambda dtype: ("uint8",), refused=(([np.ones(2)], (), TypeError),))
ROWS["bitcast"] = Row(
    lambda x, dtype: x.view(dtype),
    [([np.arange(12, dtype="int32").reshape(3, 4)], ("uint32",)),
     ([np.arange(8, dtype="uint8").reshape(2, 4)], ("uint32",)),
     ([np.arange(4, dtype="int64")], ("uint8",)), ([np.array(7, "int32")], ("float32",))],
    gives=None, refused=(([np.arange(3, dtype="uint8")], ("int16",), ValueError),
                         ([np.array(1, "int32")], ("int8",), ValueError)))
