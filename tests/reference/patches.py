"""Patches of images and the functions of the host."""
import numpy as np

from nnc.ops.host import NUMBERS

from .row import ROWS, Row, numbers


def _places(window, sizes):
    """Yields (output position, kernel place, source) along each axis."""
    k, s, d, low, high = (window[i:i + 3] for i in range(0, 15, 3))
    out = [max(0, (n + a + b - (kk - 1) * dd - 1) // ss + 1)
           for n, kk, ss, dd, a, b in zip(sizes, k, s, d, low, high)]
    for o in np.ndindex(*out):
        for p in np.ndindex(*k):
            at = tuple(o[i] * s[i] + p[i] * d[i] - low[i] for i in range(3))
            yield o, p, at, all(0 <= a < n for a, n in zip(at, sizes))


def _out(window, sizes):
    k, s, d, low, high = (window[i:i + 3] for i in range(0, 15, 3))
    return tuple(max(0, (n + a + b - (kk - 1) * dd - 1) // ss + 1)
                 for n, kk, ss, dd, a, b in zip(sizes, k, s, d, low, high))


def patches(x, window, value):
    n, *sizes, c = x.shape
    y = np.full((n, *_out(window, sizes), *window[:3], c), value, x.dtype)
    for o, p, at, inside in _places(window, sizes):
        if inside:
            y[(slice(None), *o, *p)] = x[(slice(None), *at)]
    return y


def patches_grad(y, window):
    sizes = window[15:]
    x = np.zeros((y.shape[0], *sizes, y.shape[-1]), y.dtype)
    for o, p, at, inside in _places(window, sizes):
        if inside:
            x[(slice(None), *at)] += y[(slice(None), *o, *p)]
    return x


WINDOWS = [((1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0), (2, 1, 2, 3, 2)),
           ((1, 2, 3, 1, 2, 1, 1, 1, 1, 0, 0, 1, 0, 1, 1), (1, 1, 4, 3, 2)),
           ((2, 1, 2, 1, 1, 2, 1, 1, 2, 1, 0, 0, 0, 0, 2), (2, 2, 1, 4, 1)),
           ((1, 1, 2, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0), (0, 1, 1, 3, 2)),
           ((1, 1, 4, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0), (1, 1, 1, 3, 2))]
BAD = (1, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0)

ROWS["patches"] = Row(
    patches, [([numbers(*shape)], (window, 0.5)) for window, shape in WINDOWS], wrt=(0,),
    exact=("int32", "uint8", "bool"),
    exact_cases=lambda row, dtype: [([(numbers(1, 1, 4, 3, 2) > 0).astype(dtype)],
                                     (WINDOWS[1][0], 0.0))],
    refused=(([numbers(1, 1, 4, 3, 2)], (BAD, 0.0), ValueError),
             ([numbers(4, 3, 2)], (WINDOWS[0][0], 0.0), ValueError),
             ([numbers(1, 1, 4, 3, 2)], ((1, 1), 0.0), ValueError)))
ROWS["patches_grad"] = Row(
    patches_grad, [([numbers(shape[0], *_out(window, shape[1:4]), *window[:3], shape[4])],
                    (window + shape[1:4],)) for window, shape in WINDOWS], wrt=(0,),
    scale=10.0,
    refused=(([numbers(1, 1, 2, 3, 1, 1, 1, 2)], (WINDOWS[0][0] + (1, 2, 2),), ValueError),
             ([numbers(1, 1, 4, 3, 2)], (WINDOWS[0][0] + (1, 4, 3),), ValueError),
             ([numbers(1, 1, 2, 3, 1, 1, 1, 2).astype("int32")], (WINDOWS[0][0] + (1, 2, 3),),
              TypeError)))


# ---- host: the function's number, and the shape of its result, are attributes --------------------

def host(*arguments):
    return np.linalg.solve(*arguments[:2])


SQUARE = numbers(2, 3, 3) + 4 * np.eye(3)

ROWS["host"] = Row(
    host, [([SQUARE, numbers(2, 3, 2)], ((2, 3, 2), NUMBERS["solve"], 0, 0, "float64"))],
    wrt=(0, 1), gives=None,
    # The result is float64 whatever comes in, but NumPy computes float32 inputs in float32: 2^29
    # units of float64 are one of float32. Exactness in float64 is for test_linalg.
    scale=10.0, units=2.0**31,
    refused=(([SQUARE], ((2, 3, 3), len(NUMBERS), 0, 0, "float64"), ValueError),
             ([SQUARE], ((2, 3), NUMBERS["inv"], 0, 0, "float64"), ValueError),
             ([SQUARE], ((-1,), NUMBERS["inv"], 0, 0, "float64"), ValueError)))
