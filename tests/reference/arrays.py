"""Products, reductions, where elements lie, and picking by index."""
import numpy as np

from .elementwise import UNARY, WORDS
from .row import ANY, INTEGERS, ROWS, SHAPES, Row, cast_cases, numbers, quiet

# ---- products ------------------------------------------------------------------------------------

def turned(a, turn):
    return np.swapaxes(a, -1, -2) if turn else a


def matmul(a, b, turn_a=0, turn_b=0):
    a, b = turned(a, turn_a), turned(b, turn_b)
    return (a[..., :, :, None] * b[..., None, :, :]).sum(-2)


def magnitude(a, b, *turns):
    return matmul(abs(a), abs(b), *turns)


def products():
    for m, k, n in [(1, 1, 1), (2, 3, 4), (7, 17, 9), (1, 33, 20), (13, 1, 5), (17, 8, 1),
                    (33, 40, 35),
                    (0, 3, 2), (3, 0, 2), (3, 2, 0)]:
        for turn_a in (0, 1):
            for turn_b in (0, 1):
                a, b = numbers(m, k), numbers(k, n, seed=2)
                yield [np.ascontiguousarray(turned(a, turn_a)),
                       np.ascontiguousarray(turned(b, turn_b))], \
                    (turn_a, turn_b)
    for a, b in [((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((3, 1, 2, 4), (2, 4, 3)),
                 ((3, 4), (2, 4, 5)),
                 ((0, 3, 4), (4, 5)), ((2, 1, 3, 4), (1, 5, 4, 2))]:
        yield [numbers(*a), numbers(*b, seed=2)], (0, 0)
        yield [np.ascontiguousarray(turned(numbers(*a), 1)), numbers(*b, seed=2)], (1, 0)


ROWS["matmul"] = Row(
    matmul, list(products()), (0, 1),
    [([numbers(*a), numbers(*b, seed=2)], t) for a, b, t in
     [((2, 3), (3, 4), (0, 0)), ((3, 2), (3, 4), (1, 0)), ((2, 3), (4, 3), (0, 1)),
      ((3, 2), (4, 3), (1, 1)),
      ((2, 2, 3), (3, 2), (0, 0)), ((2, 3, 2), (3, 2), (1, 0)), ((2, 2, 3), (2, 3, 2), (0, 0)),
      ((2, 3), (2, 3, 2), (0, 0)), ((2, 1, 2, 3), (3, 2, 3), (0, 1))]],
    scale=magnitude,
    refused=(([np.ones((2, 3)), np.ones((4, 2))], (0, 0), ValueError),
             ([np.ones(3), np.ones((3, 2))], (0, 0), ValueError),
             ([np.ones((2, 3, 3)), np.ones((3, 3, 3))], (0, 0), ValueError),
             ([np.ones((2, 2), "int32")] * 2, (0, 0), TypeError)))


def symmetric_product(a, b, turn_a=0, turn_b=0):
    """What lies on and below the diagonal, and its mirror."""
    below = np.tril(matmul(a, b, turn_a, turn_b))
    return below + np.tril(below, -1).T


def symmetric_products():
    """Sizes about the block of 96 rows; the last two have products that are not symmetric."""
    for n, k in [(1, 1), (2, 3), (17, 9), (96, 5), (97, 1), (200, 33), (300, 70), (0, 3), (3, 0)]:
        x = numbers(n, k)
        yield [x, x], (0, 1)
        yield [np.ascontiguousarray(x.T), np.ascontiguousarray(x.T)], (1, 0)
    for turns in [(0, 0), (1, 1)]:
        yield [numbers(210, 210), numbers(210, 210, seed=2)], turns


ROWS["symmetric_product"] = Row(
    symmetric_product, list(symmetric_products()),
    scale=lambda a, b, *turns: matmul(abs(a), abs(b), *turns).max(initial=0),
    refused=(([np.ones((2, 3)), np.ones((4, 2))], (0, 0), ValueError),
             ([np.ones((2, 3)), np.ones((3, 4))], (0, 0), ValueError),
             ([np.ones((2, 3, 3)), np.ones((2, 3, 3))], (0, 0), ValueError),
             ([np.ones((2, 2), "int32")] * 2, (0, 0), TypeError)))


def dense(x, w, bias, activation=None, alpha=0.0):
    z = x @ w + bias
    return z if activation is None else UNARY[activation][0](z, alpha)


ROWS["dense"] = Row(
    dense, [([numbers(*x), numbers(x[-1], n, seed=1), numbers(n, seed=2)], attributes)
            for x, n in [((5, 7), 3), ((33, 20), 17), ((2, 3, 4), 5), ((1, 1), 1), ((0, 3), 2),
                         ((3, 0), 4)]
            for attributes in [(None,), ("relu",), ("tanh",), ("leaky_relu", 0.2), ("gelu",),
                               ("sigmoid",)]],
    (0, 1, 2), [([numbers(*x), numbers(x[-1], 2, seed=1), numbers(2, seed=2)], attributes)
                for x in [(3, 4), (2, 2, 3)]
                for attributes in [(None,), ("tanh",), ("elu", 0.5), ("gelu",)]],
    scale=lambda x, w, bias, *_: abs(x) @ abs(w) + abs(bias),
    refused=(([np.ones((2, 3)), np.ones((4, 2)), np.ones(2)], (None,), ValueError),
             ([np.ones((2, 3)), np.ones((3, 2)), np.ones(3)], (None,), ValueError),
             ([np.ones((2, 2), "int32"), np.ones((2, 2), "int32"), np.ones(2, "int32")], (None,),
              TypeError)))


def dense_int8(x, w, scale, bias, activation=None, alpha=0.0, low=-127.0, high=127.0,
               epsilon=1e-7):
    """In float32 step by step, as Keras computes it: the sums are whole numbers, exact."""
    x, scale, bias = (a.astype(np.float32) for a in (x, scale, bias))
    x_scale = np.float32(high) / (abs(x).max(-1, keepdims=True, initial=0) + np.float32(epsilon))
    q = np.clip(np.rint(x * x_scale), low, high).astype(np.int64)
    z = (q @ w.astype(np.int64)).astype(np.float32) / (x_scale * scale) + bias
    return z if activation is None else UNARY[activation][0](z, alpha)


def int8_case(x, n, *attributes, least=-128):
    rng = np.random.default_rng((*x, n))
    w = rng.integers(least, 128, (x[-1], n)).astype(np.int8)
    return [numbers(*x).astype(np.float32), w, rng.uniform(1, 2, n).astype(np.float32),
            numbers(n, seed=2).astype(np.float32)], (*attributes, *(None, 0.0, -127.0, 127.0,
                                                                    1e-7)[len(attributes):])


INT8 = [np.ones((2, 3), "float32"), np.ones((3, 2), "int8"), *[np.ones(2, "float32")] * 2]
PLAIN = (None, 0.0, -127.0, 127.0, 1e-7)
ROWS["dense_int8"] = Row(
    dense_int8, [int8_case((1, 1), 1), int8_case((5, 7), 3), int8_case((33, 20), 17, "relu"),
                 int8_case((7, 1030), 65), int8_case((100, 513), 34, "leaky_relu", 0.2),
                 int8_case((2, 3, 4), 5, "tanh"), int8_case((3, 17), 600, None, 0.0, -100.0, 90.0),
                 int8_case((0, 3), 2), int8_case((3, 0), 4), int8_case((4, 9), 32),
                 int8_case((1, 9), 33)],
    gives=lambda dtype: ("float32",),
    refused=(([INT8[0], INT8[0].T, *INT8[2:]], PLAIN, TypeError),
             ([INT8[0][:, :2], *INT8[1:]], PLAIN, ValueError),
             ([*INT8[:3], np.ones(3, "float32")], PLAIN, ValueError),
             (INT8, (None, 0.0, -128.0, 127.0, 1e-7), ValueError)))


# ---- over axes -----------------------------------------------------------------------------------

def reducer(function):
    def call(x, axes=(), keepdims=0):
        return function(x, axis=tuple(axes) or None, keepdims=bool(keepdims))
    return call


REDUCED = [((2, 3, 5), axes, k) for axes in [(), (0,), (1,), (-1,), (0, 2), (1, 2), (0, 1, 2)]
           for k in (0, 1)]
REDUCED += [((), (), 0), ((41,), (), 0), ((33, 5), (0,), 0), ((5, 33), (1,), 0), ((4, 0), (0,), 0),
            ((0, 3), (1,), 1)]
ALSO_EMPTY = [((0,), (), 0), ((3, 0, 2), (1,), 0)]
WRONG_AXES = tuple(([np.ones((2, 3))], axes, ValueError)
                   for axes in [((2,), 0), ((-3,), 0), ((0, 0), 0)])


def reduced(shapes):
    return [([numbers(*shape)], (axes, keepdims)) for shape, axes, keepdims in shapes]


def summed(dtype):
    small = np.dtype(dtype).itemsize < 4
    return ("int32" if np.dtype(dtype).kind in "ib" else "uint32",) if small else (dtype,)


def add_reduction(name, function, shapes=REDUCED + ALSO_EMPTY, refused=(), **options):
    ROWS[name] = Row(reducer(function), reduced(shapes), exact_cases=cast_cases,
                     refused=WRONG_AXES + refused, **options)


def total(x, axes, keepdims):
    return reducer(np.sum)(abs(x), axes, keepdims)


NOTHING = (([np.ones((2, 0))], ((1,), 0), ValueError),)
add_reduction("sum", np.sum, wrt=(0,), scale=total, exact=(*INTEGERS, "bool"), gives=summed)
add_reduction("mean", quiet(np.mean), REDUCED, wrt=(0,), scale=1.0, exact=(*INTEGERS, "bool"),
              gives=lambda dtype: (dtype if "float" in dtype else "float32",))
add_reduction("prod", np.prod, wrt=(0,), units=32)
add_reduction("max", np.max, REDUCED, wrt=(0,), exact=(*INTEGERS, "bool"), refused=NOTHING)
add_reduction("min", np.min, REDUCED, wrt=(0,), exact=(*INTEGERS, "bool"), refused=NOTHING)
add_reduction("any", np.any, gives=lambda dtype: ("bool",))
add_reduction("all", np.all, gives=lambda dtype: ("bool",))
for _name in ("any", "all"):
    ROWS[_name].cases = [([np.asarray(x > 0)], attributes)
                         for (x,), attributes in ROWS[_name].cases]
for _name, _function in (("argmax", np.argmax), ("argmin", np.argmin)):
    ROWS[_name] = Row(
        lambda x, axis, keepdims=0, f=_function:
        f(x, axis=axis, keepdims=bool(keepdims)).astype("int32"),
        [([numbers(*s)], (axis, k)) for s, axis, k in
         [((7,), 0, 0), ((3, 5), 0, 0), ((3, 5), 1, 1), ((3, 5), -1, 0), ((2, 3, 35), 1, 0),
          ((65, 33), 0, 0),
          ((33, 65), 1, 0), ((0, 3), 1, 0)]]
        + [([np.array([[1.0, 2, 2, 0], [0, 0, 0, 0]])], (1, 0)),
           ([np.array([1, np.nan, 3, np.nan])], (0, 0))],
        exact=INTEGERS, exact_cases=cast_cases, gives=lambda dtype: ("int32",),
        refused=(([np.ones((2, 3))], (2, 0), ValueError), ([np.ones((2, 0))], (1, 0), ValueError)))


def sum_to(x, shape):
    lead = x.ndim - len(shape)
    x = x.sum(tuple(range(lead)))
    return x.sum(tuple(d for d in range(len(shape)) if shape[d] == 1), keepdims=True)


ROWS["sum_to"] = Row(
    sum_to, [([numbers(*x)], (to,)) for x, to in
             [((2, 3, 5), ()), ((2, 3, 5), (5,)), ((2, 3, 5), (3, 1)), ((2, 3, 5), (2, 1, 5)),
              ((4,), (4,)), ((), ()),
              ((2, 0), (1,)), ((33, 7), (7,)), ((3, 33), (3, 1))]],
    (0,), scale=lambda x, shape: sum_to(abs(x), shape),
    refused=(([np.ones((2, 3))], ((2,),), ValueError), ([np.ones((2, 3))], ((-1,),), ValueError),
             ([WORDS[0]], ((),), TypeError)))


# ---- where elements lie --------------------------------------------------------------------------

def add_move(name, function, calls, refused, wrt=(0,), exact=ANY, **options):
    ROWS[name] = Row(function, [([numbers(*shape)], attributes) for shape, *attributes in calls],
                     wrt,
                     exact=exact, exact_cases=cast_cases, refused=refused, **options)


def ranges(x, flat):
    rank = x.ndim
    return tuple(slice(a, None if b == -1 and s < 0 else b, s)
                 for a, b, s in zip(flat[:rank], flat[rank:2 * rank], flat[2 * rank:]))


def unslice(x, flat, *shape):
    y = np.zeros(shape[:x.ndim], x.dtype)
    y[ranges(x, flat)] = x
    return y


def pad(x, widths, value):
    rank = x.ndim
    return np.pad(x, list(zip(widths[:rank], widths[rank:])) or 0,
                  constant_values=np.array(value).astype(x.dtype))


add_move("reshape", np.reshape,
         [((2, 3), (6,)), ((6,), (2, -1)), ((0, 3), (3, 0)), ((), (1, 1)), ((1,), ())],
         (([np.ones(6)], ((4,),), ValueError), ([np.ones(6)], ((-1, -1),), ValueError),
          ([np.ones(6)], ((-1, 4),), ValueError)))
add_move("stop_gradient", lambda x: x, [(s,) for s in SHAPES], (), wrt=())
add_move("copy", lambda x: x, [(s,) for s in SHAPES], ())
add_move("broadcast_to", np.broadcast_to,
         [((), (2, 3)), ((3,), (2, 3)), ((2, 1), (2, 5)), ((2, 1, 3), (4, 2, 5, 3)),
                                           ((1,), (0,)), ((3,), (3,))],
         (([np.ones(3)], ((2,),), ValueError), ([np.ones((2, 3))], ((3,),), ValueError)))
add_move("transpose", lambda x, perm: x.transpose(perm or None),
         [((2, 3), ()), ((2, 3), (1, 0)), ((2, 3, 5), (2, 0, 1)), ((2, 3, 5), (0, 2, 1)),
          ((2, 3, 5), (1, 0, 2)),
          ((2, 3, 4, 5), (3, 1, 0, -2)), ((65, 33), ()), ((3, 0), ()), ((), ()), ((5,), (0,))],
         (([np.ones((2, 3))], ((0,),), ValueError), ([np.ones((2, 3))], ((0, 0),), ValueError),
          ([np.ones((2, 3))], ((0, 2),), ValueError)))
ROWS["concatenate"] = Row(
    lambda *x: np.concatenate(x[:-1], x[-1]),
    [([numbers(*s, seed=i) for i, s in enumerate(shapes)], (axis,)) for shapes, axis in
     [([(3,)], 0), ([(2,), (0,), (3,)], 0), ([(2, 3), (2, 1)], 1), ([(2, 3), (2, 1)], -1),
      ([(1, 3), (2, 3), (4, 3)], 0),
      ([(2, 1, 3), (2, 5, 3)], 1)]],
    (0, 1, 2), [([numbers(2, 3), numbers(2, 1, seed=1), numbers(2, 2)], (1,))], ANY, cast_cases,
    refused=(([np.ones((2, 3)), np.ones((3, 3))], (1,), ValueError),
             ([np.ones((2, 3)), np.ones(3)], (0,), ValueError),
             ([np.ones(2)], (1,), ValueError)))
add_move("slice", lambda x, flat: x[ranges(x, flat)],
         [((7,), (1, 6, 1)), ((7,), (0, 7, 3)), ((7,), (6, -1, -1)), ((7,), (5, 0, -2)),
          ((7,), (3, 3, 1)),
          ((3, 5), (0, 1, 3, 4, 2, 2)), ((3, 5), (2, 4, -1, -1, -1, -1)), ((), ())],
         (([np.ones(7)], ((0, 8, 1),), ValueError), ([np.ones(7)], ((0, 7, 0),), ValueError),
          ([np.ones(7)], ((0, 7),), ValueError)))
add_move("unslice", unslice, [((5,), (1, 6, 1), 7), ((3,), (0, 7, 3), 7), ((7,), (6, -1, -1), 7),
                              ((2, 2), (0, 1, 3, 4, 2, 2), 3, 5), ((0,), (3, 3, 1), 7)],
         (([np.ones(4)], ((1, 6, 1), 7), ValueError), ([np.ones(5)], ((1, 6, 1), 5), ValueError)))
add_move("pad", pad, [((3,), (1, 2), 0.0), ((2, 3), (0, 1, 2, 0), 1.0), ((0,), (2, 1), 1.0),
                      ((2, 3), (0, 0, 0, 0), 5.0),
                      ((), (), 0.0)],
         (([np.ones(3)], ((1,), 0.0), ValueError), ([np.ones(3)], ((1, -1), 0.0), ValueError)))
EVERY = ("float32", "float64", *ANY)
ROWS["fill"] = Row(lambda shape, value, dtype: np.full(shape, value, dtype),
                   [([], (s, 3.0, d)) for s in SHAPES for d in EVERY], gives=None,
                   refused=(([], ((-1,), 0.0, "float32"), ValueError),
                            ([], ((1,) * 9, 0.0, "float32"), ValueError)))
ROWS["arange"] = Row(lambda a, s, n, dtype: (a + s * np.arange(n)).astype(dtype),
                     [([], (a, s, n, d))
                      for a, s, n in [(0, 1, 5), (3, 2, 7), (0.5, 0.25, 300), (9, -1, 4), (2, 1, 0)]
                      for d in ("float32", "float64", "int32", "int64")], gives=None,
                     refused=(([], (0, 1, -1, "int32"), ValueError),))


# ---- by index ------------------------------------------------------------------------------------

def take_grad(dy, indices, shape, axis):
    y = np.zeros(shape, dy.dtype)
    axis %= len(shape)
    last = np.moveaxis(dy, range(axis, axis + indices.ndim), range(indices.ndim))
    np.add.at(np.moveaxis(y, axis, 0), indices, last)
    return y


def picks():
    for x, indices, axis in [((5, 3), [0, 4, 0], 0), ((5, 3), [[0, 2]], 1), ((5, 3), 2, -1),
                             ((5,), [], 0),
                             ((2, 5, 3), [[4, 1], [0, 0]], 1), ((4, 33), [3, 3, 1], 0),
                             ((2, 0), [1], 0)]:
        yield numbers(*x), np.array(indices, "int64"), axis


OUT_OF_RANGE = tuple(([numbers(5, 3), np.array(i)], (0,), IndexError)
                     for i in ([5], [0, -1], [2**40]))
ROWS["take"] = Row(
    np.take, [([x, i.astype(t)], (axis,)) for x, i, axis in picks()
              for t in ("int64", "uint8", "int32")], (0,),
    [([x, i], (axis,)) for x, i, axis in picks()], ANY, cast_cases,
    refused=OUT_OF_RANGE + (([numbers(5, 3), np.array([1.0])], (0,), TypeError),
                            ([numbers(5, 3), np.array([1])], (2,), ValueError)))
ROWS["take_grad"] = Row(
    take_grad, [([np.take(x, i, axis), i], (x.shape, axis)) for x, i, axis in picks()], (0,),
    exact=INTEGERS, exact_cases=cast_cases, scale=3.0,
    refused=(([numbers(1, 3), np.array([5])], ((5, 3), 0), IndexError),
             ([numbers(1, 2), np.array([4])], ((5, 3), 0), ValueError)))


def one_hot(x, classes, axis, dtype):
    axis %= x.ndim + 1
    each = np.arange(classes).reshape(-1, *[1] * (x.ndim - axis))
    return (np.expand_dims(x, axis) == each).astype(dtype)


ROWS["one_hot"] = Row(
    one_hot, [([np.array(x)], (c, axis, d))
              for x, axis in [([0, 2, 1], -1), ([[0, 5], [-1, 3]], 1), (2, 0), ([[1, 1]], 0)]
              for c in (4, 0) for d in ("float32", "float64", "int32", "bool")], gives=None,
    refused=(([np.array([0.5])], (3, -1, "float32"), TypeError),
             ([np.array([0])], (3, 2, "float32"), ValueError),
             ([np.array([0])], (-1, -1, "float32"), ValueError)))
