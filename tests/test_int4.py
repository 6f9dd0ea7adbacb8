"""Weights of 4 bits beside Keras's: numbers, variables, training of adapters, files both ways."""
import numpy as np
import pytest

import nnc
from tests.live import keras, plain, same, values
from tests.test_lora_and_int8 import LAYERS, alike, fill_adapters, pair

#: block sizes: None is a scale a channel; 4 does not divide the 6 inputs
BLOCKS = (None, 2, 4, 128)
#: Keras's own code fails for an equation with dots.
NOT_KERAS = ("einsum-dots",)


def quantize(ours, theirs, block, **more):
    for model, k in ((ours, nnc), (theirs, keras)):
        model.quantize("int4", config=k.quantizers.Int4QuantizationConfig(
            block_size=block, **{name: make(k) for name, make in more.items()}))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("key", [key for key in LAYERS if key not in NOT_KERAS])
def test_numbers_and_variables(key, block):
    ours, theirs, x = pair(key)
    exact = values(ours(x))
    quantize(ours, theirs, block)
    alike(ours, theirs)
    for a, b in zip(ours.weights, theirs.weights):
        if a.dtype == "int8":
            assert (values(a) == values(b)).all()
        else:
            same(a, b, rtol=1e-6)
    same(ours(x), theirs(x), rtol=2e-5, atol=1e-5)
    # 15 steps from the smallest to the largest number (7 to the largest, without blocks): an output
    # sums up to 18 of them. 0.02 to 0.33 of the largest output were measured. In blocks of two,
    # numbers of one sign are cut (the zero point must be one of the 16): up to 0.9.
    if block != 2:
        assert np.abs(values(ours(x)) - exact).max() < 0.4 * max(1, np.abs(exact).max())
    layer = ours.layers[-1]
    assert layer.dtype_policy.name == theirs.layers[-1].dtype_policy.name
    assert layer.quantization_mode == "int4"
    same(ours.predict(x, verbose=0), ours(x), rtol=2e-5, atol=1e-5)


def test_the_default_is_blocks_of_128():
    ours, theirs, x = pair("dense")
    for model in (ours, theirs):
        model.quantize("int4")
    alike(ours, theirs)
    assert ours.layers[-1].dtype_policy.name == "int4/128_from_float32"
    layer = nnc.layers.Dense(5)
    layer.build((None, 6))
    layer.quantize("int4")
    assert [tuple(v.shape) for v in layer.weights] == \
        [tuple(v.shape) for v in theirs.layers[-1].weights]


@pytest.mark.parametrize("key", ["dense", "dense-3d", "einsum", "einsum-heads"])
def test_quantizers_of_weights_and_inputs(key):
    """With a scale a channel, weights and inputs may have quantizers of one's own."""
    ours, theirs, x = pair(key)
    more = {"activation_quantizer": lambda k: k.quantizers.AbsMaxQuantizer(axis=-1)}
    if key == "dense":
        more["weight_quantizer"] = lambda k: k.quantizers.AbsMaxQuantizer(
            axis=0, value_range=(-8, 7), epsilon=0.5)
    quantize(ours, theirs, -1, **more)
    for a, b in zip(ours.weights, theirs.weights):
        same(a, b, rtol=1e-6)
    same(ours(x), theirs(x), rtol=2e-5, atol=1e-5)


# Keras computes nothing with adapters below a kernel whose last axis is summed over.
@pytest.mark.parametrize("block", [None, 4])
@pytest.mark.parametrize("key, lora", [
    *((key, lora) for key in ("dense", "embedding", "einsum-heads") for lora in (False, True)),
    ("einsum-turned", False)])
def test_files_both_ways(tmp_path, key, lora, block):
    ours, theirs, x = pair(key)
    quantize(ours, theirs, block)
    if lora:
        for model in (ours, theirs):
            model.layers[-1].enable_lora(2)
        alike(ours, theirs)
        fill_adapters(ours, theirs)
        same(ours(x), theirs(x), rtol=2e-5, atol=2e-5)
    read = []
    for writer, reader in ((ours, keras), (theirs, nnc)):
        writer.save(tmp_path / "m.keras")
        again = reader.saving.load_model(tmp_path / "m.keras")
        alike(*((again, writer) if reader is nnc else (writer, again)))
        assert again.layers[-1].quantization_config.block_size == block
        read.append(again)
        if not lora:
            np.testing.assert_allclose(values(again(x)), values(writer(x)), rtol=2e-5, atol=1e-5)
    # With adapters, both have rounded the merged weight again, to the same numbers.
    for a, b in zip(read[0].weights, read[1].weights, strict=True):
        same(a, b, rtol=1e-5, atol=1e-6)
    same(read[0](x), read[1](x), rtol=2e-5, atol=1e-5)
    config = plain(ours.layers[-1].get_config())
    assert config["quantization_config"]["config"]["block_size"] == block


def test_adapters_are_trained():
    """The packed weight keeps its bits while adapters learn, as Keras's do."""
    ours, theirs, x = pair("dense")
    quantize(ours, theirs, 2)
    y = values(ours(x)) + 1
    for model, k in ((ours, nnc), (theirs, keras)):
        model.layers[-1].enable_lora(2)
        model.compile(k.optimizers.SGD(0.05), loss="mse")
    fill_adapters(ours, theirs)
    kept = values(ours.layers[-1]._main).tobytes()
    for model in (ours, theirs):
        model.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0)
    for a, b in zip(ours.weights, theirs.weights):
        same(a, b, rtol=2e-4, atol=2e-5)                # three steps, each relative to the last
    assert values(ours.layers[-1]._main).tobytes() == kept


def test_gradient_of_the_input():
    for block in (None, 2):
        ours, theirs, x = pair("dense")
        quantize(ours, theirs, block)
        layer, x = ours.layers[-1], nnc.ops.convert_to_tensor(x)
        with nnc.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = nnc.ops.sum(nnc.ops.square(y))
        np.testing.assert_allclose(values(tape.gradient(loss, x)),
                                   2 * values(y) @ values(layer._floating()).T, rtol=1e-5, atol=1e-5)


def test_an_equation_with_dots():
    """Keras cannot; it is the same function as `Dense` over the last axis."""
    ours, _, x = pair("einsum-dots")
    dense = nnc.Sequential([nnc.Input((2, 6)), nnc.layers.Dense(5)])
    dense.set_weights(ours.get_weights())
    for model in (ours, dense):
        model.quantize("int4", config=nnc.quantizers.Int4QuantizationConfig(block_size=4))
    same(ours(x), dense(x), rtol=1e-6, atol=1e-6)
