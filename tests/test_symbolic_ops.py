"""Ops on KerasTensors beside Keras's: shapes and dtypes, and numbers once a model computes them.
"""
import numpy as np
import pytest
from live import keras, values

import nnc

SHAPES = {"s": ((), "float32"), "v": ((3,), "float32"), "u": ((None, 3), "float32"),
          "m": ((2, 3), "float32"), "b": ((3,), "bool"), "i": ((3,), "int32"),
          "j": ((None, 3), "int32")}
CALLS = [
    "linspace(s, 5.0, 4)", "linspace(0.0, v, 4)", "linspace(v, v, 4, axis=-1)",
    "linspace(u, u, 4)", "linspace(i, 9, 4)", "linspace(v, 1.0, 4, endpoint=False)",
    "logspace(s, 5.0, 4)", "logspace(0.0, v, 4, base=2)",
    "logspace(u, u, 3, axis=-1)", "geomspace(v, 2.0, 4)", "geomspace(1.0, v, 4, axis=-1)",
    "histogram(v)", "histogram(u, bins=4, range=(0.0, 1.0))", "nonzero(v)", "nonzero(u)",
    "unique(v)", "unique(i, return_inverse=True, return_counts=True)", "unique(v, size=2)",
    "unique(u, axis=0)", "unique(m, axis=-1, return_inverse=True)",
    "unique(v, return_index=True, return_inverse=True, size=3, fill_value=0)", "bincount(i)",
    "squareplus(v, s)", "squareplus(v, v)", "squareplus(v, 3)",
    "nancumsum(v)", "nancumprod(u)", "nancumsum(u, axis=1)", "cumsum(m)", "size(u)", "size(m)",
    "bitwise_and(i, i)", "bitwise_not(j)", "bitwise_left_shift(i, 1)", "right_shift(j, i)",
    "gcd(j, j)", "lcm(i, i)",
]


@pytest.mark.parametrize("call", CALLS)
def test_shapes_and_dtypes_are_keras_s(call):
    found = []
    for k in (nnc, keras):
        names = {name: k.KerasTensor(*like) for name, like in SHAPES.items()}
        result = eval(f"ops.{call}", {"ops": k.ops, **names})
        found.append((type(result).__name__, [(tuple(leaf.shape), leaf.dtype)
                                              for leaf in k.tree.flatten(result)]))
    assert found[0] == found[1]


A = np.array([[0.5, 2.0, 2.0], [4.0, 0.0, 0.5]], "float32")
IN_MODELS = [
    ("linspace", lambda o, x: o.linspace(x, 2 * x + 1, 5)),
    ("linspace, open", lambda o, x: o.linspace(x, 1.0, 4, endpoint=False, axis=-1)),
    ("geomspace", lambda o, x: o.geomspace(x + 1, 9.0, 3)),
    ("squareplus", lambda o, x: o.squareplus(x, 2.5)),
    ("nonzero", lambda o, x: o.nonzero(x)),
    ("unique", lambda o, x: o.unique(x, return_inverse=True)),
    ("bincount", lambda o, x: o.bincount(o.cast(o.reshape(x, (-1,)), "int32"), minlength=6)),
    ("cumsum", lambda o, x: o.nancumsum(x)),
    ("size", lambda o, x: o.size(x)),
]


@pytest.mark.parametrize("function", [f for _, f in IN_MODELS], ids=[n for n, _ in IN_MODELS])
def test_models_compute_them_as_keras_s(function):
    results = []
    for k in (nnc, keras):
        x = k.Input((3,))
        results.append(k.tree.flatten(k.Model(x, function(k.ops, x))(A)))
    assert len(results[0]) == len(results[1])
    for ours, theirs in zip(*results):
        assert tuple(ours.shape) == tuple(theirs.shape)
        # float32 sums and powers in another order
        np.testing.assert_allclose(values(ours), values(theirs), rtol=1e-6, atol=1e-6)


def test_options_may_be_symbolic():
    """One with a default too: it is no option then, and is not lost."""
    x, slope = nnc.Input((3,)), nnc.Input((3,))
    b = np.full((2, 3), 9.0, "float32")
    model = nnc.Model([x, slope], nnc.ops.squareplus(x, slope))
    np.testing.assert_allclose(model([A, b]), (A + np.sqrt(A * A + 9)) / 2, rtol=1e-6)
    again = nnc.Model.from_config(model.get_config())
    np.testing.assert_array_equal(again([A, b]), model([A, b]))


def test_histogram_in_a_model_is_numpys():
    """Recorded, not run eagerly; Keras's fails there on TensorFlow."""
    x = nnc.Input((3,))
    model = nnc.Model(x, nnc.ops.histogram(x, 4))
    for a in (A, np.full((2, 3), 2.0, "float32")):
        for got in (model(a), nnc.Function([x], model.outputs)([a])):
            for ours, want in zip(got, np.histogram(a, 4)):
                np.testing.assert_allclose(ours, want, rtol=1e-6)


def test_where_of_a_condition_is_nonzero():
    """Keras's KerasTensor has the shape of the condition; what it computes is that of `nonzero`."""
    for k in (nnc, keras):
        found = k.ops.where(k.ops.convert_to_tensor(A > 1))
        for ours, want in zip(found, np.nonzero(A > 1)):
            np.testing.assert_array_equal(values(ours), want)
    symbols = nnc.ops.where(nnc.KerasTensor((None, 3), "bool"))
    assert [(s.shape, s.dtype) for s in symbols] == [((None,), "int32")] * 2
    with pytest.raises(ValueError, match="where: both of"):
        nnc.ops.where(nnc.KerasTensor((3,), "bool"), 1.0)


LINES = [(A, A + 1, {}), (A, 2.0, {"num": 1}), (1.0, A, {"num": 0}),
         (A[0], A, {"num": 4, "axis": 1}), (A, A[1], {"num": 3, "endpoint": False, "axis": -1}),
         (np.float64(0.1), A.astype("float64"), {"num": 7}), (A, -A, {"num": 4, "dtype": "int32"})]


@pytest.mark.parametrize("start, stop, options", LINES)
def test_linspace_of_tensors_is_numpys(start, stop, options):
    made, step = nnc.ops.linspace(nnc.ops.array(start), nnc.ops.array(stop), retstep=True,
                                  **options)
    want, distance = np.linspace(start, stop, retstep=True, **{
        **options, "dtype": options.get("dtype", made.dtype)})
    np.testing.assert_allclose(made, want, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(step, np.broadcast_to(distance, step.shape), rtol=1e-6)


def test_gradients_reach_the_ends_of_linspace():
    start, stop = nnc.Variable(1.0), nnc.Variable(3.0)
    with nnc.GradientTape() as tape:
        y = nnc.ops.sum(nnc.ops.linspace(start, stop, 5) * np.arange(5, dtype="float32"))
    # weights 1 - i/4 and i/4
    np.testing.assert_allclose(tape.gradient(y, [start, stop]), [2.5, 7.5])
