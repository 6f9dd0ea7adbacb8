"""Adapters and weights of 8 bits beside Keras's: numbers, variables, files in both directions."""
import numpy as np
import pytest

import nnc
from tests.live import keras, plain, same, values

IDS = np.array([[1, 4, 0], [2, 2, 6], [6, 5, 3], [0, 1, 2]])
#: layer, arguments, shape of a sample (None: ids)
LAYERS = {
    "dense": ("Dense", {"units": 5, "activation": "relu"}, (6,)),
    "dense-3d": ("Dense", {"units": 5, "use_bias": False, "activation": "softmax"}, (3, 6)),
    "embedding": ("Embedding", {"input_dim": 7, "output_dim": 4}, None),
    "einsum": ("EinsumDense", {"equation": "abc,cd->abd", "output_shape": (None, 5),
                               "bias_axes": "d", "activation": "tanh"}, (3, 6)),
    "einsum-heads": ("EinsumDense", {"equation": "abc,cde->abde", "output_shape": (None, 2, 3),
                                     "bias_axes": "de"}, (3, 6)),
    "einsum-back": ("EinsumDense", {"equation": "abcd,cde->abe", "output_shape": (None, 5)},
                    (3, 2, 3)),
    "einsum-turned": ("EinsumDense", {"equation": "abc,dc->adb", "output_shape": (4, None)},
                      (3, 6)),
    "einsum-dots": ("EinsumDense", {"equation": "...x,xy->...y", "output_shape": 5,
                                    "bias_axes": "y"}, (2, 6)),
    "einsum-batch": ("EinsumDense", {"equation": "abc,bcd->abd", "output_shape": (3, 5)}, (3, 6)),
}
#: The same for layers that have adapters only.
CONVOLUTIONS = {
    "conv1d": ("Conv1D", {"filters": 4, "kernel_size": 3, "padding": "causal", "dilation_rate": 2,
                          "activation": "relu"}, (9, 3)),
    "conv2d": ("Conv2D", {"filters": 5, "kernel_size": (2, 3), "strides": 2, "padding": "same"},
               (6, 7, 3)),
    "conv2d-groups": ("Conv2D", {"filters": 6, "kernel_size": 3, "groups": 3, "use_bias": False},
                      (5, 5, 6)),
    "conv3d": ("Conv3D", {"filters": 3, "kernel_size": 2, "activation": "tanh"}, (3, 4, 3, 2)),
}


def data(shape, rows=4):
    return IDS if shape is None else \
        np.random.default_rng(5).normal(size=(rows, *shape)).astype("float32")


def pair(key, **more):
    """A layer of ours and Keras's with the same weights, as the only layer of a model."""
    name, arguments, shape = (LAYERS | CONVOLUTIONS)[key]
    made = []
    for k in (nnc, keras):
        layer = getattr(k.layers, name)(**arguments, **more)
        made.append(k.Sequential([k.Input((3,), dtype="int32") if shape is None else
                                  k.Input(shape), layer]))
    ours, theirs = made
    rng = np.random.default_rng(7)
    ours.set_weights([rng.normal(size=w.shape).astype("float32") for w in ours.weights])
    theirs.set_weights(ours.get_weights())
    return ours, theirs, data(shape)


def fill_adapters(ours, theirs):
    rng = np.random.default_rng(9)
    for a, b in zip(ours.layers[-1].weights, theirs.layers[-1].weights, strict=True):
        if "lora" in a.name:
            value = rng.normal(size=a.shape).astype("float32")
            a.assign(value), b.assign(value)


def alike(ours, theirs):
    """The same variables in the same order: names, shapes, dtypes, what is trained."""
    def seen(model, kind):
        return [(v.name, tuple(v.shape), str(v.dtype)) for v in getattr(model, kind)]
    for kind in ("weights", "trainable_weights", "non_trainable_weights"):
        assert seen(ours, kind) == seen(theirs, kind)


# ---- adapters ------------------------------------------------------------------------------------

@pytest.mark.parametrize("alpha", [None, 6])
@pytest.mark.parametrize("key", LAYERS | CONVOLUTIONS)
def test_lora_numbers_and_variables(key, alpha):
    ours, theirs, x = pair(key)
    before = values(ours(x))
    for model in (ours, theirs):
        model.layers[-1].enable_lora(2, lora_alpha=alpha)
    alike(ours, theirs)
    assert ours.layers[-1].lora_enabled
    np.testing.assert_allclose(values(ours(x)), before, rtol=2e-6, atol=1e-6)   # b begins as zeros
    fill_adapters(ours, theirs)
    same(ours(x), theirs(x), rtol=2e-5, atol=1e-5)      # sums of 18 products, in another order
    main = "embeddings" if key == "embedding" else "kernel"
    same(getattr(ours.layers[-1], main), getattr(theirs.layers[-1], main), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("key", ["dense", "einsum", "embedding", "conv1d", "conv2d"])
def test_lora_trains_adapters_only(key):
    """Three steps of both; the frozen weight keeps its bits, and thawing the layer leaves it."""
    ours, theirs, x = pair(key)
    y = values(ours(x)) + 1
    kept = values(ours.layers[-1]._main).tobytes()
    for model, k in ((ours, nnc), (theirs, keras)):
        model.layers[-1].enable_lora(2)
        model.compile(k.optimizers.SGD(0.05), loss="mse")
    fill_adapters(ours, theirs)
    for model in (ours, theirs):
        model.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0)
    for a, b in zip(ours.weights, theirs.weights):
        same(a, b, rtol=2e-4, atol=2e-5)                # three steps, each relative to the last
    assert values(ours.layers[-1]._main).tobytes() == kept
    ours.trainable = False
    ours.trainable = True
    assert not ours.layers[-1]._main.trainable and len(ours.trainable_weights) == \
        len(theirs.trainable_weights)


@pytest.mark.parametrize("key", ["dense", "embedding", "einsum-heads", *CONVOLUTIONS])
def test_lora_files_both_ways(tmp_path, key):
    """A file holds the merged weight; what is loaded has adapters that begin from zero."""
    ours, theirs, x = pair(key, lora_rank=2)
    fill_adapters(ours, theirs)
    expected = values(ours(x))
    for writer, reader in ((ours, keras), (theirs, nnc)):
        writer.save(tmp_path / "m.keras")
        again = reader.saving.load_model(tmp_path / "m.keras")
        layer = again.layers[-1]
        assert layer.lora_enabled and layer.lora_rank == 2
        np.testing.assert_allclose(values(again(x)), expected, rtol=2e-5, atol=1e-5)
        assert not any(values(v).any() for v in layer.weights if "lora" in v.name)
    assert plain(ours.layers[-1].get_config())["lora_alpha"] == 2


def test_adapters_saved_alone(tmp_path):
    """What Keras does for adapters alone: their variables, by name, through one's own store."""
    ours, _, x = pair("dense")
    ours.layers[-1].enable_lora(2, lora_alpha=4)
    fill_adapters(ours, ours)
    ours.layers[-1].lora_kernel_b.assign(np.ones((2, 5), "float32"))
    before = values(ours(x))
    np.savez(tmp_path / "lora.npz", **{v.name: v.numpy() for v in ours.trainable_weights
                                       if "lora" in v.name})
    other, _, _ = pair("dense")
    other.layers[-1].enable_lora(2, lora_alpha=4)
    with np.load(tmp_path / "lora.npz") as file:
        assert set(file) == {"lora_kernel_a", "lora_kernel_b"}
        for v in other.trainable_weights:
            if v.name in file:
                v.assign(file[v.name])
    assert values(other(x)).tobytes() == before.tobytes()


@pytest.mark.parametrize("key", CONVOLUTIONS)
def test_convolution_op(key):
    """The convolution alone, of any kernel; bias and activation are not in it."""
    ours, theirs, x = pair(key)
    layer, rng = ours.layers[-1], np.random.default_rng(3)
    kernel = rng.normal(size=layer.kernel.shape).astype("float32")
    got = layer.convolution_op(x, kernel)
    name, arguments, shape = CONVOLUTIONS[key]
    alone = getattr(keras.layers, name)(**{**arguments, "use_bias": False, "activation": None})
    alone.build((None, *shape))
    alone.set_weights([kernel])
    same(got, alone(x), rtol=2e-5, atol=1e-5)
    if arguments.get("padding") != "causal":                # of which Keras's method knows nothing
        same(got, theirs.layers[-1].convolution_op(x, kernel), rtol=2e-5, atol=1e-5)


def test_convolution_op_overridden():
    """What a derived class makes of it is what calls, training and prediction compute."""
    def derived(k):
        class Standardized(k.layers.Conv2D):
            def convolution_op(self, inputs, kernel):
                mean, variance = k.ops.moments(kernel, axes=[0, 1, 2], keepdims=True)
                return super().convolution_op(inputs, (kernel - mean) / k.ops.sqrt(variance + 1e-5))
        return k.Sequential([k.Input((6, 6, 3)), Standardized(4, 3), k.layers.Flatten(),
                             k.layers.Dense(1)])
    nnc.utils.set_random_seed(1)                # some first weights make four steps diverge
    ours, theirs = derived(nnc), derived(keras)
    theirs.set_weights(ours.get_weights())
    x = data((6, 6, 3), 8)
    same(ours(x), theirs(x), rtol=2e-5, atol=1e-5)
    for model, k in ((ours, nnc), (theirs, keras)):     # at 0.05 it diverges
        model.compile(k.optimizers.SGD(0.002), loss="mse")
        model.fit(x, np.ones((8, 1), "float32"), batch_size=4, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(ours.weights, theirs.weights):
        same(a, b, rtol=1e-5, atol=1e-6)        # four steps' sums: 2.3e-7 of 0.4 was measured
    same(ours.predict(x, verbose=0), theirs(x), rtol=2e-5, atol=1e-5)


# ---- eight bits ----------------------------------------------------------------------------------

@pytest.mark.parametrize("key", [key for key in LAYERS if key != "einsum-dots"])
def test_int8_numbers_and_variables(key):
    ours, theirs, x = pair(key)
    exact = values(ours(x))
    for model in (ours, theirs):
        model.quantize("int8")
    alike(ours, theirs)
    for a, b in zip(ours.weights, theirs.weights):
        if a.dtype == "int8":
            assert (values(a) == values(b)).all()
        else:
            same(a, b, rtol=1e-6)
    same(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
    # 127 steps to the largest number, of weights and of inputs: about 1 % of the largest output.
    assert np.abs(values(ours(x)) - exact).max() < 0.03 * max(1, np.abs(exact).max())
    assert ours.layers[-1].dtype_policy.name == "int8_from_float32"
    assert ours.layers[-1].quantization_mode == "int8"
    assert ours.predict(x, verbose=0).tobytes() == values(ours(x)).tobytes()


def test_int8_of_an_equation_with_dots():
    """Keras cannot; it is the same function as `Dense` over the last axis."""
    ours, _, x = pair("einsum-dots")
    dense = nnc.Sequential([nnc.Input((2, 6)), nnc.layers.Dense(5)])
    dense.set_weights(ours.get_weights())
    for model in (ours, dense):
        model.quantize("int8")
    assert values(ours(x)).tobytes() == values(dense(x)).tobytes()
    low = nnc.Sequential([nnc.Input((2, 6)), nnc.layers.EinsumDense("ab...,bc->ac...", 3)])
    low.quantize("int8")
    assert low.layers[-1](nnc.ops.ones((2, 2, 6))).shape == (2, 3, 6)


# Keras computes nothing with adapters below an int8 kernel whose last axis is summed over.
@pytest.mark.parametrize("key, lora", [
    *((key, lora) for key in ("dense", "dense-3d", "embedding", "einsum-heads")
      for lora in (False, True)), ("einsum-turned", False)])
def test_int8_files_both_ways(tmp_path, key, lora):
    ours, theirs, x = pair(key)
    for model in (ours, theirs):
        model.quantize("int8")
        if lora:
            model.layers[-1].enable_lora(2)
    if lora:
        alike(ours, theirs)
        fill_adapters(ours, theirs)
        same(ours(x), theirs(x), rtol=2e-5, atol=2e-5)
    for writer, reader in ((ours, keras), (theirs, nnc)):
        writer.save(tmp_path / "m.keras")
        again = reader.saving.load_model(tmp_path / "m.keras")
        alike(*((again, writer) if reader is nnc else (writer, again)))
        if not lora:
            np.testing.assert_allclose(values(again(x)), values(writer(x)), rtol=1e-5, atol=1e-5)
    kept = nnc.saving.load_model(tmp_path / "m.keras")
    kept.save(tmp_path / "n.keras")
    final = keras.saving.load_model(tmp_path / "n.keras")
    # With adapters, the merged weight is rounded to 127 steps again, each number by up to 0.4 % of the
    # largest; an output sums several: 0.3 to 1.5 % of the largest output were measured.
    expected = values(theirs(x))
    np.testing.assert_allclose(values(final(x)), expected, rtol=1e-5,
                               atol=0.02 * np.abs(expected).max() if lora else 1e-5)


def test_int8_gradient_of_the_input():
    """As if the whole numbers over the scale were the weights (Keras's rule)."""
    ours, _, x = pair("dense")
    ours.quantize("int8")
    layer, x = ours.layers[-1], nnc.ops.convert_to_tensor(x)
    with nnc.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        loss = nnc.ops.sum(nnc.ops.square(y))
    dx = tape.gradient(loss, x)
    weights = values(layer._main) / values(layer.kernel_scale)
    np.testing.assert_allclose(values(dx), 2 * values(y) @ weights.T, rtol=1e-5, atol=1e-5)


def test_int8_below_adapters_trains():
    ours, theirs, x = pair("dense")
    y = values(ours(x)) + 1
    for model, k in ((ours, nnc), (theirs, keras)):
        model.quantize("int8")
        model.layers[-1].enable_lora(2)
        model.compile(k.optimizers.SGD(0.05), loss="mse")
    fill_adapters(ours, theirs)
    for model in (ours, theirs):
        model.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0)
    for a, b in zip(ours.weights, theirs.weights):
        same(a, b, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("settings", [
    {"activation_quantizer": None},
    {"activation_quantizer": {"value_range": (-100, 90), "axis": -1}},
    {"weight_quantizer": {"axis": 0, "value_range": (-127, 127)}},
    {"activation_quantizer": {"value_range": (-128, 127)}},
])
def test_int8_with_quantizers_of_ones_own(tmp_path, settings):
    ours, theirs, x = pair("dense")
    for model, k in ((ours, nnc), (theirs, keras)):
        given = {key: value and k.quantizers.AbsMaxQuantizer(**value)
                 for key, value in settings.items()}
        model.quantize(config=k.quantizers.Int8QuantizationConfig(**given))
    same(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
    ours.save(tmp_path / "m.keras")
    same(ours(x), keras.saving.load_model(tmp_path / "m.keras")(x), rtol=1e-5, atol=1e-5)
    theirs.save(tmp_path / "m.keras")
    same(nnc.saving.load_model(tmp_path / "m.keras")(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_model_quantize_chooses_layers():
    model = nnc.Sequential([nnc.Input((4,)), nnc.layers.Dense(3, name="a"),
                            nnc.layers.Dense(3, name="b"), nnc.layers.Dense(3, name="c1")])
    model.quantize("int8", filters=["^a$", "c."])
    assert [layer.quantization_mode for layer in model.layers] == ["int8", None, "int8"]
    with pytest.raises(ValueError, match="already quantized"):
        model.quantize("int8")
    assert model.layers[1].quantization_mode is None            # nothing changed
    model.quantize("int8", filters=lambda layer: layer.name == "b")
    assert model.layers[1].quantization_mode == "int8"


def test_a_fitted_model_predicts_alike_after_quantize():
    """The recorded steps of before are not used again."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(40, 8)).astype("float32")
    model = nnc.Sequential([nnc.Input((8,)), nnc.layers.Dense(16, "relu"), nnc.layers.Dense(3)])
    model.compile("adam", loss="mse")
    model.fit(x, x[:, :3], epochs=1, verbose=0)
    before = model.predict(x, verbose=0)
    model.quantize("int8")
    after = model.predict(x, verbose=0)
    assert not np.array_equal(before, after)
    # Weights and inputs are rounded to 127 steps: up to 1.4 % of the largest output over 30 seeds.
    np.testing.assert_allclose(after, before, rtol=0, atol=0.03 * np.abs(before).max())
    assert after.tobytes() == model.predict(x[:40], batch_size=7, verbose=0).tobytes()


REFUSED = [
    (lambda: nnc.layers.Dense(3).enable_lora(2), ValueError, "no weights yet"),
    (lambda: built().enable_lora(0), ValueError, "positive integer"),
    (lambda: built(kernel_constraint="non_neg").enable_lora(2), ValueError, "constraint"),
    (lambda: built(lora_rank=2).enable_lora(2), ValueError, "adapters already"),
    (lambda: nnc.layers.Dense(3, lora_rank=-1), ValueError, "lora_rank"),
    (lambda: nnc.layers.Conv2D(3, 3).enable_lora(2), ValueError, "no weights yet"),
    (lambda: nnc.layers.Conv1D(3, 3, lora_rank=0), ValueError, "Conv1D: `lora_rank`"),
    (lambda: nnc.layers.Dense(3).quantize("int8"), ValueError, "no weights"),
    (lambda: built().quantize("int7"), ValueError, "must be one of"),
    (lambda: built().quantize("float8"), NotImplementedError, "'int8', 'int4'"),
    (lambda: built().quantize("int4", config=nnc.quantizers.Int8QuantizationConfig()), ValueError,
     "contradict"),
    (lambda: nnc.quantizers.Int4QuantizationConfig(block_size=0), ValueError, "block_size=0"),
    (lambda: nnc.quantizers.Int4QuantizationConfig(nnc.quantizers.AbsMaxQuantizer()), ValueError,
     "one's own"),
    (lambda: nnc.quantizers.Int4QuantizationConfig(nnc.quantizers.AbsMaxQuantizer(), block_size=-1),
     ValueError, "value_range"),
    (lambda: built().quantize(), ValueError, "`mode` or `config`"),
    (lambda: built().quantize(config=3), ValueError, "QuantizationConfig"),
    (lambda: nnc.layers.Dense(3, dtype="float8_from_float32"), NotImplementedError, "int8"),
    (lambda: nnc.layers.Dropout(0.5).quantize("int8"), NotImplementedError, "Dropout"),
    (lambda: nnc.quantizers.quantize_and_dequantize(1.0, 1.0, "float8_e4m3fn", "float32"),
     (NotImplementedError, ValueError), "float8"),
    (lambda: nnc.quantizers.AbsMaxQuantizer(value_range=(-300, 3)), ValueError, "value_range"),
    (lambda: nnc.dtype_policies.Int4DTypePolicy("int4/0"), ValueError, "int4/<block_size>"),
    (lambda: nnc.dtype_policies.QuantizedDTypePolicy("int9", "float32"), ValueError, "mode"),
]


def built(**arguments):
    layer = nnc.layers.Dense(3, **arguments)
    layer.build((None, 4))
    return layer


@pytest.mark.parametrize("call, kind, text", REFUSED)
def test_refused(call, kind, text):
    with pytest.raises(kind, match=text):
        call()
