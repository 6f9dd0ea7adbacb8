"""Draws beside their distributions. Seeds are fixed: each test draws the same numbers every time;
the thresholds are those that a right generator passes, with another seed, in 999 999 of 1 000 000
cases.
"""
import math

import numpy as np
import pytest

import nnc

COUNT = 20000
#: sup |F_n - F| sqrt(n) is above it with a chance of 2 exp(-2 x^2) = 1e-6 (Kolmogorov).
KOLMOGOROV = math.sqrt(-math.log(0.5e-6) / 2)


def distance(draws, cdf):
    """Kolmogorov-Smirnov: the largest difference of distribution functions, times sqrt(n)."""
    x = np.sort(np.asarray(draws, "float64"))
    f, n = cdf(x), len(x)
    steps = np.arange(n + 1) / n
    return max(np.max(steps[1:] - f), np.max(f - steps[:-1])) * math.sqrt(n)


def integrated(density, x, low=0.0):
    """A distribution function from its density, by the midpoint rule on a fine grid."""
    top = float(np.max(x)) * (1 + 1e-9)
    edges = low + (top - low) * np.linspace(0, 1, 400001) ** 3
    middle = (edges[1:] + edges[:-1]) / 2
    below = np.concatenate([[0.0], np.cumsum(density(middle) * np.diff(edges))])
    return np.interp(x, edges, below)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.5, 40.0])
def test_gamma(alpha):
    draws = np.asarray(nnc.random.gamma((COUNT,), alpha, seed=3))

    def density(y):
        return np.exp((alpha - 1) * np.log(y) - y - math.lgamma(alpha))
    assert distance(draws, lambda x: integrated(density, x)) < KOLMOGOROV


@pytest.mark.parametrize("a, b", [(1.0, 1.0), (2.0, 5.0), (0.7, 3.0)])
def test_beta(a, b):
    draws = np.asarray(nnc.random.beta((COUNT,), a, b, seed=4, dtype="float64"))
    whole = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)

    def density(y):
        return np.exp(whole + (a - 1) * np.log(y) + (b - 1) * np.log1p(-y))
    assert distance(draws, lambda x: np.minimum(integrated(density, x), 1)) < KOLMOGOROV


@pytest.mark.parametrize("name, arguments, cdf", [
    ("uniform", (-1.0, 3.0), lambda x: (x + 1) / 4),
    ("normal", (1.0, 2.0), lambda x: np.array([0.5 * math.erfc(-(v - 1) / math.sqrt(8))
                                               for v in x])),
    ("truncated_normal", (0.0, 1.0), lambda x: np.array(
        [0.5 + math.erf(v / math.sqrt(2)) / math.erf(math.sqrt(2)) / 2 for v in x]))],
    ids=["uniform", "normal", "truncated_normal"])
def test_continuous(name, arguments, cdf):
    draws = np.asarray(getattr(nnc.random, name)((COUNT,), *arguments, seed=5))
    assert distance(draws, cdf) < KOLMOGOROV


def chi_square_is_ordinary(counts, chances):
    """Wilson and Hilferty: (X / k)^(1/3) is about normal; 4.75 sigma is a chance of 1e-6."""
    kept = chances * counts.sum() >= 5
    seen = np.append(counts[kept], counts[~kept].sum())
    wanted = np.append(chances[kept], chances[~kept].sum()) * counts.sum()
    seen, wanted = seen[wanted > 0], wanted[wanted > 0]
    k = len(seen) - 1
    x = np.sum((seen - wanted) ** 2 / wanted)
    return ((x / k) ** (1 / 3) - (1 - 2 / (9 * k))) / math.sqrt(2 / (9 * k)) < 4.75


@pytest.mark.parametrize("n, p", [(5, 0.3), (20, 0.9), (60, 0.4), (1000, 0.05), (300, 0.75)])
def test_binomial(n, p):
    draws = np.asarray(nnc.random.binomial((COUNT,), n, p, seed=6)).astype(int)
    assert draws.min() >= 0 and draws.max() <= n
    k = np.arange(n + 1)
    log = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in k]
    chances = np.exp(np.array(log) + k * math.log(p) + (n - k) * math.log1p(-p))
    assert chi_square_is_ordinary(np.bincount(draws, minlength=n + 1), chances)


def test_randint_and_categorical():
    draws = np.asarray(nnc.random.randint((COUNT,), 0, 13, seed=7))
    assert chi_square_is_ordinary(np.bincount(draws, minlength=13), np.full(13, 1 / 13))
    p = np.array([0.1, 0.2, 0.3, 0.4])
    draws = np.asarray(nnc.random.categorical(np.log(p)[None].astype("float32"), COUNT, seed=8))
    assert chi_square_is_ordinary(np.bincount(draws[0], minlength=4), p)


def test_shuffle():
    """Every order of four things comes equally often; slices stay whole."""
    counts = {}
    generator = nnc.random.SeedGenerator(9)
    for _ in range(4800):
        order = tuple(np.asarray(nnc.random.shuffle(np.arange(4), seed=generator)).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 24
    assert chi_square_is_ordinary(np.array(list(counts.values())), np.full(24, 1 / 24))
    x = np.arange(12).reshape(3, 4)
    columns = np.asarray(nnc.random.shuffle(x, axis=1, seed=1))
    assert sorted(columns.T.tolist()) == x.T.tolist()


@pytest.mark.parametrize("name, arguments", [("gamma", (0.7,)), ("beta", (0.7, 2.0)),
                                             ("binomial", (50.0, 0.3))])
def test_bits_do_not_depend_on_threads(name, arguments, threads):
    draws = np.asarray(getattr(nnc.random, name)((40000,), *arguments, seed=2))
    before = nnc._core.get_num_threads()
    nnc._core.set_num_threads(1)
    alone = np.asarray(getattr(nnc.random, name)((40000,), *arguments, seed=2))
    nnc._core.set_num_threads(before)
    np.testing.assert_array_equal(draws, alone)


def test_dtypes_shapes_and_bad_parameters():
    for dtype in ("float32", "float64", "float16", "bfloat16"):
        assert nnc.random.gamma((2, 3), [1.0, 2.0, 3.0], dtype=dtype, seed=1).dtype == dtype
    assert np.isnan(np.asarray(nnc.random.gamma((2,), -1.0, seed=1))).all()
    assert np.isnan(np.asarray(nnc.random.binomial((2,), 3, 1.5, seed=1))).all()
    assert np.asarray(nnc.random.binomial((2,), 3, [0.0, 1.0], seed=1)).tolist() == [0, 3]
    with pytest.raises(ValueError, match="floating point"):
        nnc.random.beta((2,), 1.0, 1.0, dtype="int32")
    with pytest.raises(ValueError, match="axis"):
        nnc.random.shuffle(np.arange(3), axis=1)
