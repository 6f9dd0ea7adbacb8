"""Random numbers, variables and optimizers."""
import math
from statistics import NormalDist

import numpy as np

from nnc import _core

from .row import INTEGERS, ROWS, SHAPES, Row, cast_cases, numbers

# ---- random numbers ------------------------------------------------------------------------------

M64, M32 = 2**64 - 1, np.uint64(2**32 - 1)


def mix(x):
    """SplitMix64's finalizer."""
    x = (x + 0x9e3779b97f4a7c15) & M64
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9 & M64
    x = (x ^ x >> 27) * 0x94d049bb133111eb & M64
    return x ^ x >> 31


def philox(seed, step, count, stream=0):
    """The first words of Philox4x32-10 for the counters (0, step), (1, step) ...: Salmon 2011."""
    index = np.arange((count + 3) // 4, dtype="uint64")
    key = mix(mix(seed) ^ stream)
    k0, k1 = np.uint64(key) & M32, np.uint64(key >> 32)
    shift = np.uint64(32)
    c = [index & M32, index >> shift, np.full_like(index, step), np.zeros_like(index)]
    for _ in range(10):
        p0, p1 = np.uint64(0xd2511f53) * c[0], np.uint64(0xcd9e8d57) * c[2]
        c = [p1 >> shift ^ c[1] ^ k0, p1 & M32, p0 >> shift ^ c[3] ^ k1, p0 & M32]
        k0, k1 = k0 + np.uint64(0x9e3779b9) & M32, k1 + np.uint64(0xbb67ae85) & M32
    return np.stack(c, 1).ravel()[:count]


def uniforms(state, count, dtype):
    """Numbers in [0, 1): 24 bits of a word, or 53 of two."""
    if dtype == "float32":
        return (philox(*map(int, state), count) >> np.uint64(8)) / 2.0**24
    w = philox(*map(int, state), 2 * count).reshape(-1, 2)
    return ((w[:, 1] << np.uint64(32) | w[:, 0]) >> np.uint64(11)) / 2.0**53


def dropout(x, state, rate):
    keep = (philox(*map(int, state), x.size) >> np.uint64(8)) / 2.0**24 >= rate
    return np.where(keep.reshape(x.shape), x / (1 - rate) if rate < 1 else 0 * x, 0 * x)


def random_uniform(state, shape, low, high, dtype):
    return (low + (high - low) * uniforms(state, math.prod(shape), dtype)).reshape(shape)


def random_normal(state, shape, mean, stddev, dtype):
    n = math.prod(shape)
    u = uniforms(state, n + n % 2, dtype).reshape(-1, 2)
    radius, angle = np.sqrt(-2 * np.log1p(-u[:, 0])), 2 * np.pi * u[:, 1]
    z = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).ravel()[:n]
    return (mean + stddev * z).reshape(shape)


def random_truncated_normal(state, shape, mean, stddev, dtype):
    step = 2.0**-24 if dtype == "float32" else 2.0**-53
    p = (2 * uniforms(state, math.prod(shape), dtype) - 1 + step) * math.erf(math.sqrt(2))
    z = np.array([NormalDist().inv_cdf((1 + q) / 2) for q in p], "float64")
    return (mean + stddev * np.clip(z, -2, 2)).reshape(shape)


def random_integers(state, shape, low, high, dtype):
    w = philox(*map(int, state), 2 * math.prod(shape)).reshape(-1, 2)
    words = [int(a) | int(b) << 32 for a, b in w]
    return np.array([low + (word * (high - low) >> 64)
                     for word in words]).astype(dtype).reshape(shape)


STATES = [np.array(s, "uint32") for s in ([0, 0], [1, 2], [2**32 - 1, 2**32 - 1])]
NO_STATES = [np.array([0, 0], "int32"), np.array([0], "uint32")]
DRAWN = [(), (1,), (7,), (0, 3), (5, 33)]
ROWS["dropout"] = Row(
    dropout, [([numbers(*s), state], (rate,)) for s in SHAPES for state in STATES[1:]
              for rate in (0.0, 0.3, 1.0)], (0,),
    [([numbers(3, 5), STATES[1]], (0.4,))],
    refused=(([np.ones(2), STATES[0]], (1.5,), ValueError),
             ([np.ones(2), STATES[0]], (math.nan,), ValueError),
             ([np.ones(2), NO_STATES[0]], (0.5,), ValueError),
             ([np.ones(2, "int32"), STATES[0]], (0.5,), TypeError)))
for _name, _function, _scale in [("random_uniform", random_uniform, 3.0),
                                 ("random_normal", random_normal, 9.0),
                                 ("random_truncated_normal", random_truncated_normal, 9.0)]:
    ROWS[_name] = Row(_function,
                      [([state], (s, -1.0, 2.0, d)) for s in DRAWN for state in STATES
                       for d in ("float32", "float64")],
                      gives=None, scale=_scale,
                      refused=tuple(([state], ((2,), 0.0, 1.0, "float32"), ValueError)
                                    for state in NO_STATES)
                      + (([STATES[0]], ((2,), 0.0, 1.0, "int32"), TypeError),
                         ([STATES[0]], ((-2,), 0.0, 1.0, "float32"), ValueError)))
ROWS["random_integers"] = Row(
    random_integers, [([state], (s, low, high, d)) for s in DRAWN for state in STATES[:2]
                      for low, high, d in [(0, 10, "int32"), (-128, 128, "int8"), (0, 256, "uint8"),
                                           (-5, 2**40, "int64")]],
    gives=None, refused=(([STATES[0]], ((2,), 3, 3, "int32"), ValueError),
                         ([STATES[0]], ((2,), 0, 257, "uint8"), ValueError),
                         ([STATES[0]], ((2,), 0, 9, "float32"), TypeError),
                         ([NO_STATES[1]], ((2,), 0, 9, "int32"), ValueError)))
ROWS["seed_next"] = Row(lambda s: (s + np.array([0, 1], "uint32"), s), [([s], ()) for s in STATES],
                        effects=1,
                        gives=lambda dtype: ("uint32",),
                        refused=tuple(([s], (), ValueError) for s in NO_STATES))


def block(state, index):
    """The four words of one counter, as numbers in (0, 1)."""
    index = np.array([index], "uint64")
    key = mix(mix(int(state[0])) ^ 0)
    k0, k1 = np.uint64(key) & M32, np.uint64(key >> 32)
    shift = np.uint64(32)
    c = [index & M32, index >> shift, np.full_like(index, int(state[1])), np.zeros_like(index)]
    for _ in range(10):
        p0, p1 = np.uint64(0xd2511f53) * c[0], np.uint64(0xcd9e8d57) * c[2]
        c = [p1 >> shift ^ c[1] ^ k0, p1 & M32, p0 >> shift ^ c[3] ^ k1, p0 & M32]
        k0, k1 = k0 + np.uint64(0x9e3779b9) & M32, k1 + np.uint64(0xbb67ae85) & M32
    return [(int(word[0]) + 0.5) / 2.0**32 for word in c]


def log_gamma(state, index, alpha):
    """Marsaglia & Tsang 2000."""
    d = max(alpha, alpha + (alpha < 1)) - 1 / 3
    while True:
        u = block(state, index)
        x = math.sqrt(-2 * math.log(u[0])) * math.cos(2 * math.pi * u[1])
        v = (1 + x / math.sqrt(9 * d)) ** 3
        if v > 0 and math.log(u[2]) < x * x / 2 + d - d * v + d * math.log(v):
            return math.log(d * v) + (math.log(u[3]) / alpha if alpha < 1 else 0)
        index += 1


def each(function):
    """Of a state and arrays: the function of each element's number and parameters."""
    def call(state, *rest):
        parameters = [np.ravel(a) for a in rest[:-1]]
        values = [function(state, e << 20, *map(float, row)) if min(row) >= 0 else math.nan
                  for e, row in enumerate(zip(*parameters))]
        return np.array(values, "float64").reshape(np.shape(rest[0]))
    return call


def beta_number(state, index, a, b):
    x, y = log_gamma(state, index, a), log_gamma(state, index + 2**19, b)
    return 1 / (1 + math.exp(y - x))


def inverted_binomial(state, index, n, p):
    """The smallest k whose distribution function is above a uniform number (means below 10)."""
    words = [int(u * 2**32) for u in block(state, index)]
    u, q = ((words[1] << 32 | words[0]) >> 11) / 2.0**53, min(p, 1 - p)
    k, below = 0, (1 - q) ** n
    while u > below and k < n:
        k += 1
        below += math.comb(int(n), k) * q**k * (1 - q) ** (n - k)
    return n - k if p > 0.5 else k


_ALPHA = [numbers(*s, low=0.2, high=6.0, seed=i) for i, s in enumerate([(), (0,), (3, 41)])]
_PAIR = (([NO_STATES[0], np.ones(2)], ("float32",), ValueError),
         ([STATES[0], np.ones(2, "int32")], ("float32",), TypeError),
         ([STATES[0], np.ones(2)], ("int32",), TypeError))
ROWS["random_gamma"] = Row(
    each(lambda *a: math.exp(log_gamma(*a))),
    [([s, alpha], (d,)) for s in STATES for alpha in _ALPHA for d in ("float64",)],
    gives=None, units=2000.0, scale=1.0, refused=_PAIR)    # logarithms and their inverse
ROWS["random_beta"] = Row(
    each(beta_number), [([s, alpha, alpha[..., ::-1] if alpha.ndim else alpha], ("float64",))
                        for s in STATES for alpha in _ALPHA],
    gives=None, units=2000.0, scale=1.0,
    refused=tuple(([a, b, b], d, e) for (a, b), d, e in _PAIR)
    + (([STATES[0], np.ones(2), np.ones(3)], ("float32",), ValueError),))
ROWS["random_binomial"] = Row(
    each(inverted_binomial),
    [([s, np.full((3, 41), n), np.full((3, 41), p)], (d,)) for s in STATES
     for n, p in ((9.0, 0.5), (40.0, 0.1), (12.0, 0.9)) for d in ("float32", "float64")],
    gives=None, refused=ROWS["random_beta"].refused)
ROWS["random_permutation"] = Row(
    lambda state, n: _core.permutation(n, int(state[0]), 0, int(state[1])),
    [([s], (n,)) for s in STATES for n in (0, 1, 2, 100)],
    gives=lambda dtype: ("int64",),
    refused=(([NO_STATES[0]], (3,), ValueError), ([STATES[0]], (-1,), ValueError)))


# ---- variables and optimizers --------------------------------------------------------------------

def add_step(name, function, slots, attributes, counter=False, after=(), scale=1.0):
    """w, slots, g, lr, where there is a counter the steps done before, and what comes after."""
    def call(shape, done):
        w, g = numbers(*shape), numbers(*shape, seed=1)
        # a mean and a mean of squares of something, so that centered variances are positive
        kept = [numbers(*shape, low=0.3, high=0.6, seed=7) if slot == "mean" else
                numbers(*shape, low=0.5, high=2.0, seed=i) for i, slot in enumerate(slots)]
        return [w, *kept, *([] if name == "decay_weights" else [g]), np.array(0.01),
                *([np.array(done)] if counter else []), *map(np.array, after)]
    shapes = [(), (0,), (7,), (3, 41)]
    cases = [(call(s, done), a) for s in shapes for a in attributes
             for done in ((0, 1, 1000) if counter else (0,))]
    wrong = call((3,), 0)
    half = [a.astype("float32") if i == 0 else a for i, a in enumerate(wrong)]
    rate = len(wrong) - 1 - counter - len(after)
    refused = [([*wrong[:rate], np.ones(2), *wrong[rate + 1:]], attributes[0], ValueError)]
    if name != "decay_weights":
        refused += [([np.ones(4), *wrong[1:]], attributes[0], ValueError),
                    (half, attributes[0], TypeError)]
    ROWS[name] = Row(function, cases, effects=1 + len(slots), gives=lambda dtype: (), scale=scale,
                     refused=tuple(refused))


def momentum(w, v, g, lr, rate, nesterov):
    v = rate * v - lr * g
    return (w + rate * v - lr * g if nesterov else w + v), v


def rmsprop(w, v, g, lr, rho, epsilon, mean=None, kept=None, rate=0.0):
    """New w, v, mean and momentum, those that there are."""
    v = rho * v + (1 - rho) * g * g
    mean = None if mean is None else rho * mean + (1 - rho) * g
    step = lr * g / np.sqrt(v - (0 if mean is None else mean**2) + epsilon)
    kept = None if kept is None else rate * kept + step
    return tuple(a for a in (w - (step if kept is None else kept), v, mean, kept) if a is not None)


def adam(w, m, v, g, lr, t, beta_1, beta_2, epsilon, largest=None):
    alpha = lr * np.sqrt(1 - beta_2 ** (t + 1.0)) / (1 - beta_1 ** (t + 1.0))
    m, v = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g * g
    largest = None if largest is None else np.maximum(largest, v)
    w = w - alpha * m / (np.sqrt(v if largest is None else largest) + epsilon)
    return (w, m, v) if largest is None else (w, m, v, largest)


def adadelta(w, a, d, g, lr, rho, epsilon):
    a = rho * a + (1 - rho) * g * g
    step = np.sqrt(d + epsilon) / np.sqrt(a + epsilon) * g
    return w - lr * step, a, rho * d + (1 - rho) * step**2


def adamax(w, m, u, g, lr, t, beta_1, beta_2, epsilon):
    m, u = beta_1 * m + (1 - beta_1) * g, np.maximum(beta_2 * u, np.abs(g))
    return w - lr / (1 - beta_1 ** (t + 1.0)) * m / (u + epsilon), m, u


def ftrl(w, a, z, g, lr, power, l1, l2, shrinkage, beta):
    after = a + g * g
    z = z + g + 2 * shrinkage * w - (after**-power - a**-power) / lr * w
    quadratic = after**-power / lr + 2 * l2 + beta / lr
    return (np.clip(z, -l1, l1) - z) / quadratic, after, z


def lion(w, m, g, lr, beta_1, beta_2):
    return (w - lr * np.sign(beta_1 * m + (1 - beta_1) * g), beta_2 * m + (1 - beta_2) * g)


def nadam(w, m, v, g, lr, t, product, beta_1, beta_2, epsilon):
    now, after = (beta_1 * (1 - 0.5 * 0.96 ** (t + k)) for k in (1.0, 2.0))
    m, v = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g * g
    mean = after * m / (1 - product * after) + (1 - now) * g / (1 - product)
    return w - lr * mean / (np.sqrt(v / (1 - beta_2 ** (t + 1.0))) + epsilon), m, v


def schedule_free_adamw(w, z, v, g, lr, t, beta_1, beta_2, epsilon, warmup):
    t = t + 1.0
    x = (w - (1 - beta_1) * z) / beta_1
    v = beta_2 * v + (1 - beta_2) * g * g
    rate = lr * min(t / warmup, 1) if warmup else lr
    z = z - rate * g / (np.sqrt(v / (1 - beta_2**t)) + epsilon)
    x = (1 - 1 / t) * x + z / t
    return (1 - beta_1) * z + beta_1 * x, z, v


def lamb(w, m, v, g, lr, t, beta_1, beta_2, epsilon):
    m, v = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g * g
    u = m / (1 - beta_1 ** (t + 1.0)) / (np.sqrt(v / (1 - beta_2 ** (t + 1.0))) + epsilon)
    norms = [np.sqrt((x * x).sum()) for x in (w, u)]
    return w - lr * (norms[0] / norms[1] if min(norms) > 0 else 1) * u, m, v


def adafactor(w, r, c, v, g, lr, t, decay, epsilon_1, epsilon_2, threshold):
    """New w, r, c and v; w and v if there are no r and c."""
    def rms(x):
        return np.sqrt(np.square(x).mean()) if x.size else 1.0
    new = (t + 1.0) ** decay
    square = g * g + epsilon_1
    if r is None:
        v = (1 - new) * v + new * square
    else:
        r, c = (1 - new) * r + new * square.mean(-1), (1 - new) * c + new * square.mean(-2)
        v = (r / r.mean(-1, keepdims=True))[..., None] * c[..., None, :]
    u = g / np.sqrt(v)
    rate = max(epsilon_2, rms(w)) * min(lr, 1 / np.sqrt(t + 1.0))
    w = w - rate / max(1.0, rms(u) / threshold) * u
    return (w, v) if r is None else (w, r, c, v)


RHO = [(0.9, 1e-7), (0.5, 1e-3)]
ADAM = [(0.9, 0.999, 1e-7), (0.5, 0.9, 1e-3)]
add_step("decay_weights", lambda w, lr, rate: w * (1 - lr * rate), "", [(0.1,), (0.0,)])
add_step("sgd", lambda w, g, lr: w - lr * g, "", [()])
add_step("momentum", momentum, ["v"], [(0.9, 0), (0.9, 1), (0.0, 1)])
add_step("rmsprop", rmsprop, ["v"], RHO)
add_step("rmsprop_centered", lambda w, v, mean, g, lr, *a: rmsprop(w, v, g, lr, *a, mean),
         ["v", "mean"], RHO)
add_step("rmsprop_momentum", lambda w, v, kept, g, lr, rho, epsilon, rate:
         rmsprop(w, v, g, lr, rho, epsilon, None, kept, rate), ["v", "kept"],
         [(*a, 0.8) for a in RHO])
add_step("rmsprop_centered_momentum", lambda w, v, mean, kept, g, lr, rho, epsilon, rate:
         rmsprop(w, v, g, lr, rho, epsilon, mean, kept, rate), ["v", "mean", "kept"],
         [(*a, 0.8) for a in RHO])
add_step("adam", adam, ["m", "v"], ADAM, counter=True)
add_step("adam_amsgrad", lambda w, m, v, largest, g, lr, t, *a: adam(w, m, v, g, lr, t, *a,
                                                                     largest),
         ["m", "v", "largest"], ADAM, counter=True)
add_step("adagrad", lambda w, a, g, lr, epsilon: (w - lr * g / np.sqrt(a + g * g + epsilon),
                                                  a + g * g), ["a"],
         [(1e-7,), (0.1,)])


def add_update(step, slots, attributes, counter=False):
    """matmul_<step>: the step of an optimizer whose gradient is a product."""
    function = ROWS[step].function

    def update(*args):
        *rest, turn_a, turn_b = args
        w, *kept = rest[:1 + len(slots)]
        a, b, *rest = rest[1 + len(slots):]
        # wider than what is tested: a sum of 65 products rounds here as well
        wide = (x.T if turn else x for x, turn in ((a.astype("longdouble"), turn_a),
                                                   (b.astype("longdouble"), turn_b)))
        g = np.matmul(*wide).astype("float64")
        return function(w, *kept, g, *rest)

    def case(m, n, k, turn_a, turn_b, numbers_of_step, done=3):
        w = numbers(m, n)
        kept = [numbers(m, n, low=0.5, high=2.0, seed=i) for i in range(len(slots))]
        a, b = numbers(m, k, seed=1) * 0.3, numbers(k, n, seed=2) * 0.3
        return ([w, *kept, a.T.copy() if turn_a else a, b.T.copy() if turn_b else b, np.array(0.01),
                 *([np.array(done)] if counter else [])], (*numbers_of_step, turn_a, turn_b))

    cases = [case(*size, turn_a, turn_b, attributes[i % len(attributes)])
             for i, size in enumerate([(3, 41, 7), (1, 5, 3), (33, 17, 65), (0, 4, 2), (5, 3, 0)])
             for turn_a in (0, 1) for turn_b in (0, 1)]
    inputs, numbers_of_step = case(3, 5, 7, 1, 0, attributes[0])
    at = 1 + len(slots)
    ROWS[f"matmul_{step}"] = Row(
        update, cases, effects=at, gives=lambda dtype: (), scale=1.0,
        refused=((inputs[:at] + [inputs[at][1:]] + inputs[at + 1:], numbers_of_step, ValueError),
                 ([w[:, :2] for w in inputs[:at]] + inputs[at:], numbers_of_step, ValueError)))


add_update("sgd", [], [()])
add_update("momentum", ["v"], [(0.9, 0), (0.9, 1)])
add_update("rmsprop", ["v"], RHO)
add_update("adam", ["m", "v"], ADAM, counter=True)
add_step("adadelta", adadelta, ["a", "d"], RHO)
add_step("adamax", adamax, ["m", "u"], ADAM, counter=True)
add_step("ftrl", ftrl, ["a", "z"], [(-0.5, 0.0, 0.0, 0.0, 0.0), (-0.5, 0.1, 0.2, 0.3, 0.4),
                                    (-0.7, 0.1, 0.0, 0.0, 0.0), (0.0, 0.0, 0.1, 0.0, 1.0)],
         scale=100.0)       # differences of powers, divided by a learning rate of 0.01
add_step("lion", lion, ["m"], [(0.9, 0.99), (0.5, 0.5)])
add_step("nadam", nadam, ["m", "v"], ADAM, counter=True, after=(0.4,))
add_step("schedule_free_adamw", schedule_free_adamw, ["z", "v"],
         [(0.9, 0.999, 1e-8, 0.0), (0.5, 0.9, 1e-3, 5.0)], counter=True)
add_step("lamb", lamb, ["m", "v"], ADAM, counter=True)
ADAFACTOR = [(-0.8, 1e-30, 1e-3, 1.0), (-0.5, 1e-3, 0.9, 0.4), (-0.8, 0.1, 0.5, 9.0)]
add_step("adafactor_vector", lambda w, v, *a: adafactor(w, None, None, v, *a), ["v"], ADAFACTOR,
         counter=True)


def add_adafactor():
    def call(shape, done):
        w, v, g = numbers(*shape), numbers(*shape), numbers(*shape, seed=1)
        r, c = (numbers(*size, low=0.5, high=2.0, seed=i)
                for i, size in enumerate([shape[:-1], shape[:-2] + shape[-1:]]))
        return [w, r, c, v, g, np.array(0.01), np.array(done)]
    # 600 rows are two pieces, of 512 and 88; three matrices
    cases = [(call(shape, done), attributes) for attributes in ADAFACTOR for done in (0, 1, 1000)
             for shape in [(3, 41), (1, 1), (600, 5), (2, 3, 1, 4, 17), (0, 3, 2), (70, 300)]]
    wrong, attributes = call((3, 5), 0), ADAFACTOR[0]
    refused = [([*wrong[:i], np.ones(4), *wrong[i + 1:]], attributes, ValueError)
               for i in range(6)]
    refused.append(([wrong[0].astype("float32"), *wrong[1:]], attributes, TypeError))
    # units: up to 512 numbers of a column are added one after another; 4.5 was measured
    ROWS["adafactor"] = Row(adafactor, cases, effects=4, gives=lambda dtype: (), scale=1.0,
                            units=16, refused=tuple(refused))


add_adafactor()
for _name, _function in (("assign", lambda v, x: x), ("assign_add", lambda v, x: v + x)):
    ROWS[_name] = Row(_function, [([numbers(*s), numbers(*s, seed=1)], ()) for s in SHAPES],
                      effects=1,
                      gives=lambda dtype: (), exact=INTEGERS, exact_cases=cast_cases, scale=6.0,
                      refused=(([np.ones(2), np.ones(3)], (), ValueError),
                               ([np.ones(2), np.ones((2, 1))], (), ValueError)))
