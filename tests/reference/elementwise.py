"""Element-wise ops: of one number, of two, of truth values."""
import math

import ml_dtypes
import numpy as np

from nnc import _core

from .row import ANY, INTEGERS, PAIRS, ROWS, SHAPES, Row, cast_cases, numbers, quiet

# ---- one number ----------------------------------------------------------------------------------

erf = np.vectorize(math.erf, otypes=["float64"])
where = np.where


def sigmoid(x):
    return where(x >= 0, 1 / (1 + np.exp(-abs(x))), np.exp(-abs(x)) / (1 + np.exp(-abs(x))))


def phi(x):
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def softplus(x):
    return np.logaddexp(0, x)


def gelu_tanh(x):
    return x * sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3))


def gelu_tanh_slope(x):
    s = sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3))
    return s + x * s * (1 - s) * 2 * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x ** 2)


def mish_slope(x):
    t = np.tanh(softplus(x))
    return t + x * sigmoid(x) * (1 - t * t)


def relu6_of(x):
    return np.clip(x + 3, 0, 6) / 6


erfc = np.vectorize(math.erfc, otypes=["float64"])


@np.vectorize
def erfinv(x):
    """By Newton's steps from 0: erf is concave above 0, so they never step over."""
    y = 0.0
    for _ in range(60):
        y += (abs(x) - math.erf(y)) * math.sqrt(math.pi) / 2 * math.exp(y * y)
    return math.copysign(y, x)


erfinv.otypes = "d"


@np.vectorize
def bessel(x, order):
    """The power series: its terms have one sign."""
    x = float(x)
    return math.fsum((x / 2) ** (2 * k + order) / (math.factorial(k) * math.factorial(k + order))
                     for k in range(80))


bessel.otypes = "d"
L, A = 1.0507009873554805, 1.6732632423543772       # selu's
REAL, POSITIVE = (-6.0, 6.0), (0.05, 9.0)
one, none = np.ones_like, np.zeros_like
#   name: y(x, alpha), dy/dx, domain, alpha, kinks, whether terms of the size of x cancel
UNARY = {
    "relu": (lambda x, a: np.maximum(x, 0), lambda x, a: (x > 0) * 1.0, REAL, 0, (0,), False),
    "relu6": (lambda x, a: np.clip(x, 0, 6), lambda x, a: ((x > 0) & (x < 6)) * 1.0, (-9, 9), 0,
              (0, 6), False),
    "leaky_relu": (lambda x, a: where(x > 0, x, a * x), lambda x, a: where(x > 0, 1, a), REAL, 0.3,
                   (0,),
                   False),
    "elu": (lambda x, a: where(x > 0, x, a * np.expm1(x)),
            lambda x, a: where(x > 0, 1, a * np.exp(x)),
            REAL, 1.5, (0,), False),
    "selu": (lambda x, a: L * where(x > 0, x, A * np.expm1(x)),
             lambda x, a: L * where(x >= 0, 1, A * np.exp(x)), REAL, 0, (0,), False),
    "celu": (lambda x, a: where(x > 0, x, a * np.expm1(x / a)),
             lambda x, a: where(x > 0, 1, np.exp(x / a)), REAL, 0.7, (0,), False),
    "gelu": (lambda x, a: x * (1 + erf(x / math.sqrt(2))) / 2,
             lambda x, a: (1 + erf(x / math.sqrt(2))) / 2 + x * phi(x), REAL, 0, (), True),
    "gelu_tanh": (lambda x, a: gelu_tanh(x), lambda x, a: gelu_tanh_slope(x), REAL, 0, (), True),
    "silu": (lambda x, a: x * sigmoid(x), lambda x, a: sigmoid(x) * (1 + x * (1 - sigmoid(x))),
             REAL, 0, (),
             False),
    "sigmoid": (lambda x, a: sigmoid(x), lambda x, a: sigmoid(x) * sigmoid(-x), REAL, 0, (), False),
    "log_sigmoid": (lambda x, a: -softplus(-x), lambda x, a: sigmoid(-x), REAL, 0, (), False),
    "hard_sigmoid": (lambda x, a: relu6_of(x), lambda x, a: (abs(x) < 3) / 6, REAL, 0, (-3, 3),
                     False),
    "hard_silu": (lambda x, a: x * relu6_of(x), lambda x, a: relu6_of(x) + x * (abs(x) < 3) / 6,
                  REAL, 0,
                  (-3, 3), True),
    "sparse_sigmoid": (lambda x, a: np.clip((x + 1) / 2, 0, 1), lambda x, a: (abs(x) < 1) / 2, REAL,
                       0,
                       (-1, 1), True),
    "tanh": (lambda x, a: np.tanh(x), lambda x, a: np.cosh(x) ** -2, REAL, 0, (), False),
    "softplus": (lambda x, a: softplus(x), lambda x, a: sigmoid(x), REAL, 0, (), False),
    "softsign": (lambda x, a: x / (1 + abs(x)), lambda x, a: (1 + abs(x)) ** -2, REAL, 0, (),
                 False),
    "mish": (lambda x, a: x * np.tanh(softplus(x)), lambda x, a: mish_slope(x), REAL, 0, (), True),
    "hard_tanh": (lambda x, a: np.clip(x, -1, 1), lambda x, a: (abs(x) <= 1) * 1.0, REAL, 0,
                  (-1, 1), False),
    "tanh_shrink": (lambda x, a: x - np.tanh(x), lambda x, a: np.tanh(x) ** 2, REAL, 0, (), True),
    "soft_shrink": (lambda x, a: np.sign(x) * np.maximum(abs(x) - a, 0),
                    lambda x, a: (abs(x) > a) * 1.0,
                    REAL, 0.5, (-0.5, 0.5), True),
    "hard_shrink": (lambda x, a: x * (abs(x) > a), lambda x, a: (abs(x) > a) * 1.0, REAL, 0.5,
                    (-0.5, 0.5),
                    False),
    "squareplus": (lambda x, a: (x + np.sqrt(x * x + a)) / 2,
                   lambda x, a: (1 + x / np.sqrt(x * x + a)) / 2, REAL, 4, (), True),
    "sparse_plus": (lambda x, a: where(x <= -1, 0, where(x < 1, (x + 1) ** 2 / 4, x)),
                    lambda x, a: np.clip((x + 1) / 2, 0, 1), REAL, 0, (-1, 1), True),
    "exp": (lambda x, a: np.exp(x), lambda x, a: np.exp(x), REAL, 0, (), False),
    "expm1": (lambda x, a: np.expm1(x), lambda x, a: np.exp(x), REAL, 0, (), False),
    "log": (lambda x, a: np.log(x), lambda x, a: 1 / x, POSITIVE, 0, (), False),
    "log1p": (lambda x, a: np.log1p(x), lambda x, a: 1 / (1 + x), (-0.9, 9.0), 0, (), False),
    "log2": (lambda x, a: np.log2(x), lambda x, a: 1 / (x * math.log(2)), POSITIVE, 0, (), False),
    "log10": (lambda x, a: np.log10(x), lambda x, a: 1 / (x * math.log(10)), POSITIVE, 0, (),
              False),
    "sqrt": (lambda x, a: np.sqrt(x), lambda x, a: 0.5 / np.sqrt(x), POSITIVE, 0, (), False),
    "rsqrt": (lambda x, a: 1 / np.sqrt(x), lambda x, a: -0.5 * x ** -1.5, POSITIVE, 0, (), False),
    "square": (lambda x, a: x * x, lambda x, a: 2 * x, REAL, 0, (), False),
    "absolute": (lambda x, a: abs(x), lambda x, a: np.sign(x), REAL, 0, (0,), False),
    "negative": (lambda x, a: -x, lambda x, a: -one(x), REAL, 0, (), False),
    "reciprocal": (lambda x, a: 1 / x, lambda x, a: -1 / (x * x), POSITIVE, 0, (), False),
    "sign": (lambda x, a: np.sign(x), lambda x, a: none(x), REAL, 0, (0,), False),
    "floor": (lambda x, a: np.floor(x), lambda x, a: none(x), REAL, 0, range(-6, 7), False),
    "ceil": (lambda x, a: np.ceil(x), lambda x, a: none(x), REAL, 0, range(-6, 7), False),
    "round": (lambda x, a: np.round(x), lambda x, a: none(x), REAL, 0, np.arange(-6.5, 7), False),
    "sin": (lambda x, a: np.sin(x), lambda x, a: np.cos(x), (-20.0, 20.0), 0, (), False),
    "cos": (lambda x, a: np.cos(x), lambda x, a: -np.sin(x), (-20.0, 20.0), 0, (), False),
    "erf": (lambda x, a: erf(x), lambda x, a: 2 / math.sqrt(math.pi) * np.exp(-x * x), REAL, 0, (),
            False),
}
UNARY.update({
    "erfc": (lambda x, a: erfc(x), lambda x, a: -2 / math.sqrt(math.pi) * np.exp(-x * x), REAL, 0,
             (), False),
    "erfinv": (lambda x, a: erfinv(x),
               lambda x, a: math.sqrt(math.pi) / 2 * np.exp(erfinv(x) ** 2), (-0.95, 0.95), 0, (),
               False),
    "exp2": (lambda x, a: np.exp2(x), lambda x, a: np.exp2(x) * math.log(2), REAL, 0, (), False),
    "cbrt": (lambda x, a: np.cbrt(x), lambda x, a: np.cbrt(x) ** -2 / 3, POSITIVE, 0, (), False),
    "sinh": (lambda x, a: np.sinh(x), lambda x, a: np.cosh(x), REAL, 0, (), False),
    "cosh": (lambda x, a: np.cosh(x), lambda x, a: np.sinh(x), REAL, 0, (), False),
    "arcsin": (lambda x, a: np.arcsin(x), lambda x, a: (1 - x * x) ** -0.5, (-0.95, 0.95), 0, (),
               False),
    "arccos": (lambda x, a: np.arccos(x), lambda x, a: -(1 - x * x) ** -0.5, (-0.95, 0.95), 0, (),
               False),
    "arctan": (lambda x, a: np.arctan(x), lambda x, a: 1 / (1 + x * x), REAL, 0, (), False),
    "arcsinh": (lambda x, a: np.arcsinh(x), lambda x, a: (1 + x * x) ** -0.5, REAL, 0, (), False),
    "arccosh": (lambda x, a: np.arccosh(x), lambda x, a: (x * x - 1) ** -0.5, (1.1, 9.0), 0, (),
                False),
    "arctanh": (lambda x, a: np.arctanh(x), lambda x, a: 1 / (1 - x * x), (-0.95, 0.95), 0, (),
                False),
    "sinc": (lambda x, a: np.sinc(x), lambda x, a: (np.cos(np.pi * x) - np.sinc(x)) / x,
             (0.4, 3.0), 0, (), True),
    "i0": (lambda x, a: bessel(x, 0), lambda x, a: bessel(x, 1), REAL, 0, (), False),
    "i1": (lambda x, a: bessel(x, 1), lambda x, a: bessel(x, 0) - bessel(x, 1) / x, (0.3, 6.0), 0,
           (), False),
})
ON_INTEGERS = ("relu", "square", "absolute", "negative", "sign", "floor", "ceil", "round")
WORDS = (np.array([1, 2], "int32"),)


def whole(dtype, a):
    """Integers of a dtype, its ends among them."""
    ends = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max], dtype)
    return np.append((a if ends[0] < 0 else abs(a)).astype(dtype), ends)


def add_unary(name, value, slope, domain, alpha, kinks, cancels):
    low, high = domain
    cases = [([numbers(*shape, low=low, high=high)], (alpha,)) for shape in SHAPES]
    cases.append(([np.array([k for k in kinks if low <= k <= high], "float64")], (alpha,)))
    ints = INTEGERS if name in ON_INTEGERS else ()
    near = [([numbers(3, 4, low=low, high=high, away=kinks, seed=1)], (alpha,))]
    ROWS[name] = Row(value, cases, (0,), near, ints,
                     lambda _, dtype: [([whole(dtype, np.arange(-7, 8))], (alpha,))],
                     scale=(lambda x, a: abs(x)) if cancels else 0.0,
                     refused=() if ints else (([WORDS[0]], (alpha,), TypeError),))

    def gradient(x, y, dy, a):
        return slope(x, a) * dy

    def triple(x, seed):
        return [x, np.asarray(value(x, alpha), "float64"), numbers(*x.shape, seed=seed)]

    # y is an input of its own: a gradient may be written with it. Its terms have the size of dy.
    x, y, dy = triple(near[0][0][0], 5)
    ROWS[f"{name}_grad"] = Row(
        gradient, [(triple(inputs[0], 3), (alpha,)) for inputs, _ in cases], (0, 1, 2),
        [([x, y, dy], (alpha,))],
        scale=lambda x, y, dy, a: abs(dy) * (1 + abs(x)),
        refused=(([x, y, dy[0]], (alpha,), ValueError),
                 ([x, y.astype("float32"), dy], (alpha,), TypeError),
                 ([WORDS[0]] * 3, (alpha,), TypeError)))


for _name, _row in UNARY.items():
    add_unary(_name, *_row)


# ---- two numbers ---------------------------------------------------------------------------------

def pairs(low=-3.0, high=3.0, low_b=None, high_b=None, away=()):
    """Operands that broadcast; no two elements nearly equal."""
    low_b, high_b = low if low_b is None else low_b, high if high_b is None else high_b
    return [([numbers(*a, low=low, high=high),
              numbers(*b, low=low_b, high=high_b, seed=9, away=away)], ())
            for a, b in PAIRS]


def whole_pairs(_, dtype, exponents=False):
    a = np.repeat(whole(dtype, np.arange(-5, 6)), 5)[None]
    b = np.arange(4).astype(dtype) if exponents else whole(dtype, np.array([-3, -1, 0, 1, 2]))
    return [([a, b[:, None]], ())]


def add_binary(name, function, cases, wrt=(0, 1), ints=INTEGERS, **options):
    shapes = ([np.ones((2, 3)), np.ones((2, 4))], (), ValueError)
    refused = [shapes]
    if not ints:
        refused.append(([WORDS[0], WORDS[0]], (), TypeError))
    ROWS[name] = Row(function, cases, wrt, exact=ints, refused=tuple(refused),
                     **{"exact_cases": whole_pairs, **options})


larger = pairs()
sums = dict(scale=lambda a, b: abs(a) + abs(b))
add_binary("add", np.add, pairs(), **sums)
add_binary("subtract", np.subtract, pairs(), **sums)
add_binary("multiply", np.multiply, pairs())
add_binary("divide", np.divide, pairs(low_b=0.5), ints=())
add_binary("maximum", np.maximum, larger)
add_binary("minimum", np.minimum, larger)
add_binary("power", quiet(np.power), pairs(0.2, 4.0, -3.0, 3.0), units=16,
           exact_cases=lambda row, dtype: whole_pairs(row, dtype, True))
add_binary("floor_divide", quiet(np.floor_divide), pairs(low_b=0.5), wrt=())
# fma(-floor(a / b), b, a): the error is that of one rounding of a
add_binary("mod", quiet(np.mod), pairs(low_b=0.5), scale=lambda a, b: abs(a) + abs(b),
           near=[([np.array([1.3, -1.3, 2.7]), np.array([0.8, 0.9, -1.1])], ())])
add_binary("arctan2", np.arctan2, pairs(), ints=())
add_binary("fmod", quiet(np.fmod), pairs(low_b=0.5), ints=(),
           near=[([np.array([1.3, -1.3, 2.7]), np.array([0.8, 0.9, -1.1])], ())])
add_binary("hypot", np.hypot, pairs(), ints=())
add_binary("nextafter", np.nextafter, pairs(), wrt=(), ints=())

for _name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
    _cases = pairs() + [([np.array([0.0, 1.0, np.nan, np.inf]),
                          np.array([-0.0, 1.0, np.nan, np.inf])], ())]
    add_binary(_name, getattr(np, _name), _cases, (), (*INTEGERS,), gives=lambda dtype: ("bool",))
TRUTH = [([np.array(a, "bool"), np.array(b, "bool")], ())
         for a, b in [((), ()), ([True, False], [[True], [False]]), (True, [True, False]),
                      ([], [True])]]
for _name in ("logical_and", "logical_or", "logical_xor"):
    ROWS[_name] = Row(getattr(np, _name), TRUTH, gives=lambda dtype: ("bool",),
                      refused=(([np.ones(2, "bool"), np.ones(3, "bool")], (), ValueError),))
ROWS["logical_not"] = Row(np.logical_not, [([a], ()) for (a, b), _ in TRUTH],
                          gives=lambda dtype: ("bool",))
ODD = [([np.array([0.0, -0.0, 1e-310, 1.0, -np.inf, np.inf, np.nan, -np.nan])], ()),
       ([np.empty((2, 0))], ()),
       ([np.array(np.nan)], ())]
for _name in ("isnan", "isinf", "isfinite"):
    ROWS[_name] = Row(getattr(np, _name), ODD, exact=("int8", "uint64"),
                      gives=lambda dtype: ("bool",),
                      exact_cases=lambda _, dtype: [([np.arange(3).astype(dtype)], ())])

CHOICE = [np.arange(6).reshape(2, 3) % 2 == 0, np.array(True), np.array([False, True, True])]
ROWS["where"] = Row(
    np.where, [([c, numbers(2, 3), numbers(2, 3, seed=1)], ()) for c in CHOICE]
    + [([CHOICE[0], numbers(3), numbers()], ()), ([CHOICE[2], numbers(4, 1), numbers(1)], ()),
       ([np.empty((0,), "bool"), numbers(), numbers(1)], ())],
    (1, 2), exact=ANY, exact_cases=cast_cases,
    refused=(([CHOICE[0], np.ones(3), np.ones(4)], (), ValueError),
             ([CHOICE[0], np.ones((4, 1, 1)), np.ones(2)], (), ValueError)))
ROWS["cast"] = Row(
    lambda x, dtype: x.astype(dtype),
    [([numbers(*s)], (d,)) for s in SHAPES for d in ("float64",)]
    + [([numbers(9, low=0, high=99)], (d,)) for d in INTEGERS]
    + [([np.array([0, 0.5, -0.0, 3, np.nan])], ("bool",)), ([numbers(9)], ("float16",))],
    (0,), [([numbers(5)], ("float64",))], ("int8", "int32", "bool", "uint64"),
    lambda _, dtype: [([np.arange(5).astype(dtype)], (to,))
                      for to in ("float32", "int64", "uint8", "bool")],
    gives=None, refused=(([np.ones(2)], ("float128",), ValueError),))

for _name, _half in (("round_bf16", ml_dtypes.bfloat16), ("round_f16", "float16")):
    ROWS[_name] = Row(
        lambda x, half=_half: x.astype("float32").astype(half).astype("float64"),
        [([numbers(*s).astype("float32")], ()) for s in SHAPES],
        gives=lambda _: ("float32",),
        refused=(([np.ones(2, "float64")], (), TypeError), ([np.ones(2, "int32")], (), TypeError)))


# ---- several in one node: (name, operands, dtype): numbers are inputs, letters results -----------

def packed(steps, alphas=()):
    """A chain's attributes for a shape (2, 3, 5); a step's slot is 0, 1, ..., the last's 31."""
    words = [3]
    for j, (name, operands, *dtype) in enumerate(steps):
        word = list(_core.op_table).index(name) | (dtype or [14])[0] << 33
        for k, operand in enumerate(operands):
            word |= (32 + "abcdefgh".index(operand) if isinstance(operand, str) else operand) \
                << (12 + 6 * k)
        words.append(word | (31 if j + 1 == len(steps) else j) << 38)
    return (words, 2, 3, 5, 0, 0, 0, 0, 0, *alphas, *[0.0] * (6 - len(alphas)))


def chain(*arguments):
    inputs, words = arguments[:-15], arguments[-15]
    names, results = list(_core.op_table), []
    for word in words[1:]:
        row = _core.op_table[names[word & 0xfff]]
        operands = [word >> (12 + 6 * k) & 63 for k in range(row[0])]
        values = [np.asarray(results[o - 32] if o >= 32 else inputs[o]) for o in operands]
        alpha = (arguments[-6 + (word >> 30 & 7)],) if row[2].startswith("f:") else ()
        results.append(np.broadcast_to(ROWS[names[word & 0xfff]].function(*values, *alpha),
                                       (2, 3, 5)))
    return results[-1]


_SWISH = [("sigmoid", [0]), ("multiply", [0, "a"])]
_HUBER = [("absolute", [0]), ("less", ["a", 1], 0), ("square", [0]), ("subtract", ["a", 1]),
          ("where", ["b", "c", "d"])]
_ROWS = [("subtract", [0, 1]), ("multiply", ["a", 2]), ("leaky_relu", ["b"]), ("add", ["c", 2])]
ROWS["chain"] = Row(
    chain, [([numbers(2, 3, 5)], packed(_SWISH)), ([numbers(3, 1)], packed(_SWISH)),
            ([numbers(2, 3, 5), np.array(1.0)], packed(_HUBER)),
            ([numbers(2, 3, 5), numbers(2, 3, 1), numbers(5)], packed(_ROWS, (0.25,))),
            ([numbers(), numbers(1), numbers()], packed(_ROWS, (0.25,)))],
    scale=10.0,
    refused=(([numbers(2, 3, 5)], ([3, *packed(_SWISH)[0][2:]], *packed(_SWISH)[1:]), ValueError),
             ([numbers(2, 3, 4)], packed(_SWISH), ValueError),
             ([numbers(2, 3, 5)], ([3], *packed(_SWISH)[1:]), ValueError),
             ([numbers(2, 3, 5)], packed([("multiply", [0, 1])]), ValueError),
             ([numbers(2, 3, 5)], packed([("multiply", [0, "a"])]), ValueError),
             ([numbers(2, 3, 5)], packed([("matmul", [0, 0])]), ValueError),
             ([numbers(2, 3, 5)], packed([("less", [0, 0])]), ValueError),
             ([numbers(2, 3, 5)], ([9, *packed(_SWISH)[0][1:]], *packed(_SWISH)[1:]), ValueError),
             ([numbers(2, 3, 5)] * 17, packed(_SWISH), ValueError)))

# ---- complex numbers: beside TensorFlow in test_complex.py ---------------------------------------

COMPLEX = [(numbers(*shape) + 1j * numbers(*shape, seed=2)).astype("complex64") for shape in SHAPES]


def parts(dtype, gives, function):
    return Row(function, [([x], ()) for x in COMPLEX], gives=lambda _: (gives,),
               refused=(([np.ones(2, dtype)], (), TypeError),))


ROWS["complex"] = Row(
    lambda re, im: re + 1j * im, [([x.real.copy(), x.imag.copy()], ()) for x in COMPLEX],
    gives=lambda _: ("complex64",),
    refused=(([np.ones(2)] * 2, (), TypeError),
             ([np.ones(2, "float32"), np.ones((2, 1), "float32")], (), ValueError)))
ROWS["real"] = parts("float32", "float32", lambda x: x.real)
ROWS["imag"] = parts("int32", "float32", lambda x: x.imag)
ROWS["conj"] = parts("float16", "complex64", np.conj)
