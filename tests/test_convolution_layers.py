"""Convolution and pooling layers beside Keras's: paddings, strides, dilations, groups, odd sizes,
batches of 0 and 1, both data formats; numbers, gradients, shapes, configurations and mistakes.

TensorFlow convolves channels first on other processors only, so a layer that takes channels first
is compared with Keras's channels last on the turned numbers.
"""
from itertools import product

import numpy as np
import pytest

from live import keras, plain, values

import nnc

SIZES = {1: (9, 4), 2: (7, 6, 4), 3: (5, 4, 6, 4)}
# Sums of up to 3^3 * 8 products of numbers of size 1, in another order.
TOLERANCE = {"rtol": 2e-5, "atol": 2e-5}


def convolutions(rank):
    """Rows of (name, options) for the layers with kernels of one rank."""
    def at(name):
        return f"{name}{rank}D" if "Transpose" not in name else f"Conv{rank}DTranspose"

    size = (3, 2, 2)[:rank]
    for padding, strides in product(("valid", "same"), (1, 2, 3)):
        ways = {"padding": padding, "strides": strides}
        yield at("Conv"), {"filters": 6, "kernel_size": size, "groups": 2, **ways}
        yield at("ConvTranspose"), {"filters": 3, "kernel_size": 3, "use_bias": False, **ways}
        if rank < 3:
            yield at("DepthwiseConv"), {"kernel_size": 3, "depth_multiplier": 2, **ways}
            yield at("SeparableConv"), {"filters": 3, "kernel_size": 3, "activation": "tanh",
                                        **ways}
    for padding, dilation in product(("valid", "same"), (2, (2, 1, 2)[:rank])):
        ways = {"padding": padding, "dilation_rate": dilation}
        yield at("Conv"), {"filters": 5, "kernel_size": 2, "activation": "relu", **ways}
        if rank < 3:
            yield at("DepthwiseConv"), {"kernel_size": 2, "use_bias": False, **ways}
            yield at("SeparableConv"), {"filters": 2, "kernel_size": 2, "depth_multiplier": 3,
                                        **ways}
    yield at("Conv"), {"filters": 4, "kernel_size": 1, "groups": 4}
    yield at("Conv"), {"filters": 2, "kernel_size": size, "strides": (1, 2, 3)[:rank]}
    yield at("ConvTranspose"), {"filters": 2, "kernel_size": 2, "strides": 3, "output_padding": 1}
    yield at("ConvTranspose"), {"filters": 2, "kernel_size": 4, "strides": 2, "padding": "same"}
    if rank == 1:
        for more in ({}, {"strides": 2}, {"dilation_rate": 3}, {"groups": 2}):
            yield "Conv1D", {"filters": 4, "kernel_size": 3, "padding": "causal", **more}


def pools(rank):
    for kind, padding in product(("Max", "Average"), ("valid", "same")):
        for size, strides in ((2, None), (3, 2), (2, 1), ((1, 2, 3)[:rank], (2, 1, 2)[:rank]),
                              (1, 2), (4, 4)):
            yield f"{kind}Pooling{rank}D", {"pool_size": size, "strides": strides,
                                            "padding": padding}
    for kind, keepdims in product(("Max", "Average"), (False, True)):
        yield f"Global{kind}Pooling{rank}D", {"keepdims": keepdims}
    for kind, size in product(("Max", "Average"), (1, 3, (2, 4, 1)[:rank])):
        yield f"Adaptive{kind}Pooling{rank}D", {"output_size": size}


ROWS = [(rank, name, options) for rank in (1, 2, 3)
        for name, options in (*convolutions(rank), *pools(rank))]


def short(row):
    rank, name, options = row
    return "-".join([name, *(f"{key}={value}" for key, value in options.items())])


def turn(x, back=False):
    """Channels first, or last again; nothing to turn without axes of an image."""
    x = np.asarray(x)
    return x if x.ndim < 3 else np.ascontiguousarray(
        np.moveaxis(x, 1, -1) if back else np.moveaxis(x, -1, 1))


def gradients(library, layer, x, weight):
    """The output, and the gradients of its weighted sum by input and weights."""
    import tensorflow as tf

    tape = nnc.GradientTape() if library is nnc else tf.GradientTape()
    x = library.ops.convert_to_tensor(x)
    with tape:
        tape.watch(x)
        y = layer(x)
        total = library.ops.sum(y * library.ops.convert_to_tensor(weight))
    weights = [w if library is nnc else w.value for w in layer.trainable_weights]
    return values(y), [values(g) for g in tape.gradient(total, [x, *weights])]


def pair(row):
    rank, name, options = row
    ours, theirs = (getattr(k.layers, name)(**options, name="layer") for k in (nnc, keras))
    shape = (None, *SIZES[rank])
    ours.build(shape), theirs.build(shape)
    rng = np.random.default_rng(3)
    weights = [rng.normal(size=w.shape).astype("float32") for w in theirs.get_weights()]
    assert [w.shape for w in ours.get_weights()] == [w.shape for w in weights]
    ours.set_weights(weights), theirs.set_weights(weights)
    return ours, theirs


def same_config(ours, theirs):
    ours, theirs = plain(ours.get_config()), plain(theirs.get_config())
    assert ours == theirs


@pytest.mark.parametrize("row", ROWS, ids=short)
def test_as_keras(row):
    rank, name, options = row
    ours, theirs = pair(row)
    rng = np.random.default_rng(5)
    x = rng.normal(size=(2, *SIZES[rank])).astype("float32")
    wanted = values(theirs(x))
    assert ours.compute_output_shape((None, *SIZES[rank])) == \
        tuple(theirs.compute_output_shape((None, *SIZES[rank])))
    assert ours.compute_output_shape(x.shape) == wanted.shape
    same_config(ours, theirs)
    weight = rng.normal(size=wanted.shape).astype("float32")
    y, grads = gradients(nnc, ours, x, weight)
    np.testing.assert_allclose(y, wanted, **TOLERANCE)
    if name.startswith("AdaptiveMax") and options["output_size"] == 1:
        # TensorFlow's own gradient of it holds numbers that nobody wrote
        theirs = getattr(keras.layers, f"GlobalMaxPooling{rank}D")(keepdims=True)
    wanted, others = gradients(keras, theirs, x, weight)
    for a, b in zip(grads, others, strict=True):
        np.testing.assert_allclose(a, b, rtol=5e-5, atol=1e-4)      # sums over the batch too
    for batch in (1, 0):
        part = values(ours(x[:batch]))
        assert part.shape == (batch, *y.shape[1:]) and part.tobytes() == y[:batch].tobytes()


@pytest.mark.parametrize("row", [row for row in ROWS if row[2].get("padding") != "causal"],
                         ids=short)
def test_channels_first(row):
    rank, name, options = row
    ours, _ = pair(row)
    first = type(ours)(**options, data_format="channels_first", name="layer")
    x = np.random.default_rng(5).normal(size=(2, *SIZES[rank])).astype("float32")
    turned = turn(x)
    first.build(turned.shape)
    first.set_weights(ours.get_weights())
    y = values(ours(x))
    z = values(first(turned))
    np.testing.assert_allclose(turn(z, back=True), y, **TOLERANCE)
    assert first.compute_output_shape(turned.shape) == z.shape
    assert first.compute_output_shape((None, *turned.shape[1:])) == (None, *z.shape[1:])
    _, grads = gradients(nnc, ours, x, np.cos(y))
    _, others = gradients(nnc, first, turned, turn(np.cos(y)))
    np.testing.assert_allclose(turn(others[0], back=True), grads[0], rtol=5e-5, atol=1e-4)
    for a, b in zip(grads[1:], others[1:], strict=True):
        np.testing.assert_allclose(a, b, rtol=5e-5, atol=1e-4)
    theirs = getattr(keras.layers, name)(**options, data_format="channels_first", name="layer")
    same_config(first, theirs)
    shape = theirs.compute_output_shape((None, *turned.shape[1:]))
    assert first.compute_output_shape((None, *turned.shape[1:])) == tuple(shape)


@pytest.mark.parametrize("name, options", [
    ("Conv1D", {"filters": 2, "kernel_size": 3}), ("Conv2D", {"filters": 2, "kernel_size": 3}),
    ("Conv3D", {"filters": 2, "kernel_size": 2}),
    ("Conv1DTranspose", {"filters": 2, "kernel_size": 3}),
    ("Conv2DTranspose", {"filters": 2, "kernel_size": 3}),
    ("Conv3DTranspose", {"filters": 2, "kernel_size": 2}),
    ("DepthwiseConv1D", {"kernel_size": 3}), ("DepthwiseConv2D", {"kernel_size": 3}),
    ("SeparableConv1D", {"filters": 2, "kernel_size": 3}),
    ("SeparableConv2D", {"filters": 2, "kernel_size": 3}),
    ("MaxPooling1D", {}), ("MaxPooling2D", {}), ("MaxPooling3D", {}), ("AveragePooling1D", {
        "pool_size": 2}), ("AveragePooling2D", {"pool_size": 2}), ("GlobalMaxPooling1D", {}),
    ("GlobalMaxPooling2D", {}), ("GlobalAveragePooling3D", {}),
    ("AdaptiveAveragePooling1D", {"output_size": 2}), ("AdaptiveMaxPooling2D", {"output_size": 2}),
], ids=str)
def test_refused_where_keras_refuses(name, options):
    """A changed argument that Keras refuses is refused; one that it takes is taken."""
    rank = int(next(c for c in name if c.isdigit()))
    conv = "kernel_size" in options
    changes = [{"data_format": "nhwc"}, {"name": 3}]
    if conv:
        changes += [{"kernel_size": 0}, {"kernel_size": (2,) * (rank + 1)}, {"strides": 0},
                    {"dilation_rate": 0}, {"padding": "full"}, {"strides": 2, "dilation_rate": 2},
                    {"kernel_size": -1}, {"kernel_size": (3,) * rank}, {"kernel_size": [2] * rank},
                    {"padding": "SAME"}, {"padding": "causal"}, {"activation": "softplus"},
                    {"bias_initializer": "ones"}, {"trainable": False}, {"dtype": "float64"}]
        changes += [{"filters": 0}, {"filters": -2}] if "filters" in options else \
            [{"depth_multiplier": 0}]
        changes += [{"groups": 0}, {"groups": 3}] if name.startswith("Conv") and \
            "Transpose" not in name else []
    elif "output_size" in options:
        changes += [{"output_size": (2,) * (rank + 1)}, {"output_size": 0}, {"output_size": "a"}]
    elif "Global" not in name:
        changes += [{"pool_size": 0}, {"strides": 0}, {"padding": "full"},
                    {"pool_size": (2,) * (rank + 1)}, {"strides": (1,) * rank},
                    {"padding": "Valid"}]
    for change in changes:
        found = []
        for k in (nnc, keras):
            try:
                layer = getattr(k.layers, name)(**{**options, **change})
                x = np.ones((2, *SIZES[rank]), "float32")
                found.append(values(layer(x)).shape)
            except Exception as error:      # TensorFlow's own for what Keras did not look at
                found.append(type(error))
        assert isinstance(found[0], tuple) == isinstance(found[1], tuple), (change, found)
        assert found[0] in (ValueError, TypeError) or found[0] == found[1], (change, found)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
@pytest.mark.parametrize("row", [row for row in ROWS if row[2].get("strides") == 2 or
                                 row[2].get("keepdims") or row[2].get("output_size") == 3],
                         ids=short)
def test_dtypes(row, dtype):
    """In halves each output number is the float32 sum rounded once: 2^-11 or 2^-8 of it."""
    rank, name, options = row
    ours, theirs = (getattr(k.layers, name)(**options, dtype=dtype) for k in (nnc, keras))
    x = np.random.default_rng(5).normal(size=(2, *SIZES[rank])).astype("float32")
    x = values(nnc.ops.cast(x, dtype)).astype("float32")
    ours.build(x.shape), theirs.build(x.shape)
    ours.set_weights(theirs.get_weights())
    y = ours(x)
    assert str(y.dtype) == dtype
    wide = type(ours)(**options, dtype="float64")
    wide.build(x.shape)
    wide.set_weights([np.asarray(values(nnc.ops.cast(w, "float64"))) for w in ours.get_weights()])
    unit = {"float64": 1e-12, "float16": 2e-3, "bfloat16": 1.6e-2}[dtype]
    np.testing.assert_allclose(values(nnc.ops.cast(y, "float64")), values(wide(x)), rtol=unit,
                               atol=unit)
    if dtype == "float64" and "Pooling3D" not in name:      # which TensorFlow has not
        np.testing.assert_allclose(values(y), values(theirs(x.astype(dtype))), rtol=1e-12,
                                   atol=1e-12)
