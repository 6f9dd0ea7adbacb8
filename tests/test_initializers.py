"""Initializers beside Keras: ranges, moments, seeds, configurations, names; regularizers and
constraints.
"""
import math

import numpy as np
import pytest
from live import keras, plain, same, values

import nnc

RANDOM = [
    ("RandomNormal", {}), ("RandomNormal", {"mean": 1.0, "stddev": 0.5}), ("RandomUniform", {}),
    ("RandomUniform", {"minval": 1.0, "maxval": 3.0}), ("TruncatedNormal", {}),
    ("TruncatedNormal", {"mean": 1.0, "stddev": 0.5}), ("VarianceScaling", {}),
    ("VarianceScaling", {"scale": 2.0, "mode": "fan_out", "distribution": "uniform"}),
    ("VarianceScaling", {"scale": 0.3, "mode": "fan_in", "distribution": "truncated_normal"}),
    ("RandomUniform", {"minval": -5.0, "maxval": 2.0}),
    ("VarianceScaling", {"mode": "fan_avg", "distribution": "untruncated_normal"}),
    ("GlorotUniform", {}), ("GlorotNormal", {}), ("HeUniform", {}), ("HeNormal", {}),
    ("LecunUniform", {}), ("LecunNormal", {}), ("Orthogonal", {}), ("Orthogonal", {"gain": 2.0}),
]
FIXED = [("Zeros", {}), ("Ones", {}), ("Constant", {"value": 2.5}), ("Identity", {"gain": 3.0})]


def moments(x):
    return x.mean(), x.std(), np.abs(x - x.mean()).max()


@pytest.mark.parametrize("name, arguments", RANDOM, ids=str)
@pytest.mark.parametrize("shape", [(200, 300), (3, 5, 40, 60)], ids=str)
def test_distribution(name, arguments, shape):
    """Mean, standard deviation and range are Keras's.

    A sample of n = 36,000 and more has a mean within 5 deviations / sqrt(n) = 2.6 % of the
    deviation and a deviation within 5 / sqrt(2 n) = 1.9 % but once in two million.
    """
    ours, theirs = (values(getattr(library.initializers, name)(**arguments, seed=5)(shape))
                    for library in (nnc, keras))
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    (mean, deviation, reach), (mean2, deviation2, reach2) = moments(ours), moments(theirs)
    assert abs(mean - mean2) < 2 * 0.026 * deviation2
    assert abs(deviation / deviation2 - 1) < 0.04
    if name != "RandomNormal" and arguments.get("distribution") != "untruncated_normal" and \
            name != "Orthogonal":
        assert abs(reach / reach2 - 1) < 0.06       # both bounded by the same number


@pytest.mark.parametrize("name, arguments", FIXED, ids=str)
def test_fixed(name, arguments):
    for dtype in (None, "float64", "int32")[:2 if "gain" in arguments else 3]:
        same(getattr(nnc.initializers, name)(**arguments)((4, 4), dtype=dtype),
             getattr(keras.initializers, name)(**arguments)((4, 4), dtype=dtype))


def test_constant_array():
    row = np.array([1.0, 2.0, 3.0], "float32")
    assert values(nnc.initializers.Constant(row)((2, 3))).tolist() == [[1, 2, 3]] * 2


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (2, 3, 5)], ids=str)
def test_orthogonal(shape):
    q = values(nnc.initializers.Orthogonal(seed=1)(shape)).reshape(-1, shape[-1]).astype("float64")
    product = q @ q.T if q.shape[0] < q.shape[1] else q.T @ q
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-6)   # rounded to float32
    with pytest.raises(ValueError, match="two-dimensional"):
        nnc.initializers.Orthogonal()((3,))


def test_truncated_normal_is_one():
    """Kolmogorov-Smirnov against the truncated normal distribution, n = 100,000: 1.95 / sqrt(n) is
    the distance that a sample passes in 999 of 1,000 cases (the seed is fixed)."""
    make = nnc.initializers.TruncatedNormal(0.0, 1.0, seed=3)
    x = np.sort(values(make((100000,))).astype("float64"))
    phi = np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x])
    low = 0.5 * (1 + math.erf(-2 / math.sqrt(2)))
    wanted = (phi - low) / (1 - 2 * low)
    n = len(x)
    distance = max(np.max(wanted - np.arange(n) / n), np.max(np.arange(1, n + 1) / n - wanted))
    assert distance < 1.95 / math.sqrt(n)
    assert np.abs(x).max() <= 2


@pytest.mark.parametrize("name, arguments", RANDOM, ids=str)
def test_seeds(name, arguments):
    make = getattr(nnc.initializers, name)
    one, two = make(**arguments, seed=1), make(**arguments, seed=2)
    np.testing.assert_array_equal(values(one((8, 8))), values(one((8, 8))))
    np.testing.assert_array_equal(values(one((8, 8))), values(one.clone()((8, 8))))
    assert not np.array_equal(values(one((8, 8))), values(two((8, 8))))
    moving = make(**arguments, seed=nnc.random.SeedGenerator(3))
    assert not np.array_equal(values(moving((8, 8))), values(moving((8, 8))))
    nnc.utils.set_random_seed(9)
    first = values(make(**arguments)((8, 8)))
    assert not np.array_equal(first, values(make(**arguments)((8, 8))))
    nnc.utils.set_random_seed(9)
    np.testing.assert_array_equal(first, values(make(**arguments)((8, 8))))


@pytest.mark.parametrize("name, arguments", RANDOM + FIXED, ids=str)
def test_configuration(name, arguments):
    if name not in [fixed for fixed, _ in FIXED]:
        arguments = {**arguments, "seed": 4}
    ours, theirs = (getattr(library.initializers, name)(**arguments) for library in (nnc, keras))
    if name != "Identity":      # Keras forgets its gain
        assert plain(ours.get_config()) == plain(theirs.get_config())
        ours_config, theirs_config = (library.initializers.serialize(one)
                                      for library, one in ((nnc, ours), (keras, theirs)))
        assert plain(ours_config) == plain(theirs_config)
    back = nnc.initializers.deserialize(nnc.initializers.serialize(ours))
    assert type(back) is type(ours) and back.get_config() == ours.get_config()
    np.testing.assert_array_equal(values(back((4, 4))), values(ours((4, 4))))


def test_fans():
    from keras.src.initializers.random_initializers import compute_fans

    for shape in ((), (3,), (3, 4), (5, 3, 4), (2, 5, 3, 4)):
        assert nnc.initializers.compute_fans(shape) == compute_fans(shape)
    arguments = ((3, 4, 5), (0, 1), (2,))
    assert nnc.initializers.compute_fans(*arguments) == compute_fans(*arguments)


def test_names():
    import keras.src.initializers as table

    for name, cls in table.ALL_OBJECTS_DICT.items():
        if "stft" in name.lower() or name.lower() == "initializer":
            continue
        assert type(nnc.initializers.get(name)).__name__ == cls.__name__
    assert nnc.initializers.get(None) is None
    array = np.arange(6, dtype="float32").reshape(2, 3)
    np.testing.assert_array_equal(values(nnc.initializers.get(array)((2, 3))), array)
    with pytest.raises(ValueError, match="shape"):
        nnc.initializers.get(array)((3, 2))


BAD = [
    (lambda: nnc.initializers.get("glorot_unifrm"), "did you mean 'glorot_uniform'"),
    (lambda: nnc.initializers.get(3), "Could not interpret initializer"),
    (lambda: nnc.initializers.VarianceScaling(scale=-1.0), "scale"),
    (lambda: nnc.initializers.VarianceScaling(mode="fan"), "mode"),
    (lambda: nnc.initializers.VarianceScaling(distribution="flat"), "distribution"),
    (lambda: nnc.initializers.HeNormal(seed="one"), "seed"),
    (lambda: nnc.initializers.Identity()((3,)), "2D"),
    (lambda: nnc.regularizers.get("l3"), "Unknown regularizer"),
    (lambda: nnc.regularizers.L1(-1.0), "l1"),
    (lambda: nnc.regularizers.L2(math.inf), "l2"),
    (lambda: nnc.regularizers.OrthogonalRegularizer(mode="both"), "mode"),
    (lambda: nnc.regularizers.OrthogonalRegularizer()(np.ones(3, "float32")), "rank 2"),
    (lambda: nnc.constraints.get("maxnorm"), "did you mean 'MaxNorm'|did you mean 'max_norm'"),
    (lambda: nnc.random.SeedGenerator(1.5), "seed"),
    (lambda: nnc.random.normal((2,), seed="a"), "seed"),
    (lambda: nnc.random.uniform((2,), dtype="int32"), "floating point"),
    (lambda: nnc.random.randint((2,), 3, 3), "maxval"),
    (lambda: nnc.random.dropout(np.ones(2, "float32"), 1.5), "rate"),
    (lambda: nnc.random.normal((2, -1)), ">= 0"),
]


@pytest.mark.parametrize("call, text", BAD, ids=[text for _, text in BAD])
def test_bad_arguments(call, text):
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.parametrize("name, arguments", [
    ("L1", {}), ("L1", {"l1": 0.3}), ("L2", {}), ("L2", {"l2": 0.3}), ("L1L2", {}),
    ("L1L2", {"l1": 0.1, "l2": 0.2}), ("L1L2", {"l1": 0.1}), ("OrthogonalRegularizer", {}),
    ("OrthogonalRegularizer", {"factor": 0.5, "mode": "columns"})], ids=str)
def test_regularizers(name, arguments):
    w = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    ours, theirs = (getattr(library.regularizers, name)(**arguments) for library in (nnc, keras))
    same(ours(w), theirs(keras.ops.array(w)), rtol=1e-5)
    same(ours(nnc.Variable(w)), theirs(keras.ops.array(w)), rtol=1e-5)
    for key, value in theirs.get_config().items():
        # Keras holds L1's and the orthogonal factor as float32 numbers.
        mine = ours.get_config()[key]
        assert mine == value or mine == pytest.approx(value, rel=1e-7)
    back = nnc.regularizers.deserialize(nnc.regularizers.serialize(ours))
    assert type(back) is type(ours) and back.get_config() == ours.get_config()
    assert type(nnc.regularizers.get(name)) is type(ours)


@pytest.mark.parametrize("name, arguments", [
    ("MaxNorm", {}), ("MaxNorm", {"max_value": 0.5, "axis": 1}), ("NonNeg", {}), ("UnitNorm", {}),
    ("UnitNorm", {"axis": (0, 1)}), ("MinMaxNorm", {}),
    ("MaxNorm", {"max_value": 1, "axis": [0, 1]}), ("MaxNorm", {"axis": None}),
    ("UnitNorm", {"axis": -1}), ("UnitNorm", {"axis": None}), ("MinMaxNorm", {"rate": 0.0}),
    ("MinMaxNorm", {"min_value": 1.5, "max_value": 1.6, "axis": [0, 1]}),
    ("MinMaxNorm", {"min_value": 0.5, "rate": 0.3})], ids=str)
def test_constraints(name, arguments):
    w = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    ours, theirs = (getattr(library.constraints, name)(**arguments) for library in (nnc, keras))
    same(ours(w), theirs(w), rtol=1e-5)
    same(ours(nnc.Variable(w)), theirs(w), rtol=1e-5)
    assert plain(ours.get_config()) == plain(theirs.get_config())
    assert plain(nnc.constraints.serialize(ours)) == plain(keras.constraints.serialize(theirs))
    back = nnc.constraints.deserialize(nnc.constraints.serialize(ours))
    assert type(back) is type(ours) and back.get_config() == ours.get_config()


# ---- random --------------------------------------------------------------------------------------

def test_random_draws():
    x = values(nnc.random.normal((50000,), 2.0, 3.0, seed=1))
    assert abs(x.mean() - 2) < 5 * 3 / math.sqrt(50000)
    assert abs(x.std() / 3 - 1) < 5 / math.sqrt(100000)
    x = values(nnc.random.uniform((50000,), -1.0, 3.0, seed=1))
    assert x.min() >= -1 and x.max() < 3 and abs(x.mean() - 1) < 5 * 4 / math.sqrt(12 * 50000)
    x = values(nnc.random.randint((50000,), -2, 3, seed=1))
    assert x.dtype == np.int32
    counts = np.bincount(x + 2, minlength=5)
    assert len(counts) == 5 and (abs(counts - 10000) < 5 * math.sqrt(50000 * 0.2 * 0.8)).all()
    same(nnc.random.normal((2,), np.zeros(2), np.array([0.0, 0.0]), seed=1), np.zeros(2, "float32"))


def test_categorical():
    logits = np.log(np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]]) + 1e-30).astype("float32")
    x = values(nnc.random.categorical(logits, 20000, seed=3))
    assert x.shape == (2, 20000) and x.dtype == np.int32
    share = np.array([np.bincount(row, minlength=3) for row in x]) / 20000
    assert (abs(share - np.exp(logits)) < 5 * 0.5 / math.sqrt(20000)).all()


def test_dropout():
    x = np.ones((200, 100), "float32")
    y = values(nnc.random.dropout(x, 0.3, seed=5))
    assert set(np.unique(y)) == {0.0, np.float32(1) / np.float32(0.7)} or len(np.unique(y)) == 2
    assert abs((y == 0).mean() - 0.3) < 5 * math.sqrt(0.3 * 0.7 / 20000)
    np.testing.assert_array_equal(y, values(nnc.random.dropout(x, 0.3, seed=5)))
    rows = values(nnc.random.dropout(x, 0.5, noise_shape=(None, 1), seed=1))
    assert all(len(np.unique(row)) == 1 for row in rows) and len(np.unique(rows)) == 2
    np.testing.assert_array_equal(values(nnc.random.dropout(x, 0.0)), x)
    assert not values(nnc.random.dropout(x, 1.0)).any()


def test_seed_generator():
    one = nnc.random.SeedGenerator(7)
    assert values(one.next()).tolist() == [7, 0] and values(one.next()).tolist() == [7, 1]
    a, b = values(nnc.random.normal((4,), seed=one)), values(nnc.random.normal((4,), seed=one))
    assert not np.array_equal(a, b)
    again = nnc.random.SeedGenerator.from_config(one.get_config())
    assert again.get_config() == one.get_config() and values(again.next()).tolist() == [7, 0]
    nnc.utils.set_random_seed(3)
    a = values(nnc.random.normal((4,)))
    b = values(nnc.random.normal((4,)))
    nnc.utils.set_random_seed(3)
    np.testing.assert_array_equal(a, values(nnc.random.normal((4,))))
    assert not np.array_equal(a, b)


@pytest.mark.parametrize("arguments", [
    {}, {"side": "imag"}, {"window": "hamming", "scaling": "spectrum"}, {"window": None},
    {"window": "blackman", "periodic": True, "scaling": None}], ids=str)
def test_stft(arguments):
    """The kernel applied to a frame is the windowed Fourier transform of it."""
    initializer = nnc.initializers.STFT(**arguments)
    kernel = np.asarray(initializer((8, 1, 9), dtype="float64"))
    assert kernel.shape == (8, 1, 9)
    window = {"hann": np.hanning, "hamming": np.hamming, None: np.ones,
              "blackman": lambda n: np.blackman(n + 1)[:-1]}[initializer.window](8)
    scale = {"density": np.sqrt(np.sum(window**2)), "spectrum": np.sum(np.abs(window)),
             None: 1.0}[initializer.scaling] if initializer.window else 1.0
    frame = np.random.default_rng(0).normal(size=8)
    spectrum = np.fft.rfft(frame * window, 16) / scale
    want = spectrum.real if initializer.side == "real" else spectrum.imag
    np.testing.assert_allclose(frame @ kernel[:, 0], want, atol=1e-12)      # float64, 8 terms
    again = nnc.initializers.get({"class_name": "STFT", "config": initializer.get_config()})
    assert again.get_config() == initializer.get_config()
    for bad in ({"side": "left"}, {"scaling": "loud"}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            nnc.initializers.STFT(**bad)
