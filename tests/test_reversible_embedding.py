"""`ReversibleEmbedding` beside Keras's: numbers, masks, quantization, adapters, files both ways."""
import numpy as np
import pytest

import nnc
from tests.live import keras, plain, same, values
from tests.test_lora_and_int8 import alike, fill_adapters

IDS = np.array([[1, 4, 0], [2, 2, 6], [6, 5, 3], [0, 1, 2]])
HIDDEN = np.random.default_rng(3).normal(size=(4, 3, 5)).astype("float32")


def pair(ids=7, **options):
    """A model of ours and one of Keras's that goes both ways, with the same weights."""
    made = []
    for k in (nnc, keras):
        layer = k.layers.ReversibleEmbedding(ids, 5, name="table", **options)
        inputs = k.Input((3,), dtype="int32")
        made.append(k.Model(inputs, layer(k.ops.multiply(layer(inputs), 2.0), reverse=True)))
    ours, theirs = made
    rng = np.random.default_rng(7)
    ours.set_weights([rng.normal(size=w.shape).astype("float32") for w in ours.weights])
    theirs.set_weights(ours.get_weights())
    return ours, theirs


def layers(*models):
    return [model.get_layer("table") for model in models]


OPTIONS = [{}, {"tie_weights": False}, {"logit_soft_cap": 1.5}, {"reverse_dtype": "float64"},
           {"tie_weights": False, "logit_soft_cap": 0.5, "embeddings_regularizer": "l2"}]


@pytest.mark.parametrize("options", OPTIONS)
def test_both_ways(options):
    ours, theirs = pair(**options)
    alike(ours, theirs)
    same(ours(IDS), theirs(IDS), rtol=1e-5, atol=1e-5)
    a, b = layers(ours, theirs)
    same(a(IDS), b(IDS))
    same(a(HIDDEN, reverse=True), b(HIDDEN, reverse=True), rtol=1e-5, atol=1e-5)
    assert tuple(a.compute_output_shape((2, 3))) == tuple(b.compute_output_shape((2, 3)))
    assert tuple(a.compute_output_shape((2, 3, 5), reverse=True)) == (2, 3, 7)
    assert plain(a.get_config()) == plain(b.get_config())
    again = nnc.layers.ReversibleEmbedding.from_config(a.get_config())
    assert plain(again.get_config()) == plain(a.get_config())
    np.testing.assert_array_equal(values(ours.predict(IDS, verbose=0)), values(ours(IDS)))


@pytest.mark.parametrize("reverse_dtype", [None, "float32"])
def test_mixed_precision(reverse_dtype):
    ours, theirs = pair(dtype="mixed_bfloat16", reverse_dtype=reverse_dtype)
    # Numbers that bfloat16 holds: whether the table is rounded as it is read makes no difference.
    ours.set_weights([values(nnc.ops.cast(nnc.ops.cast(w, "bfloat16"), "float32"))
                      for w in ours.weights])
    theirs.set_weights(ours.get_weights())
    a, b = layers(ours, theirs)
    assert (a(IDS).dtype, b(IDS).dtype.name) == ("bfloat16", "bfloat16")
    # Numbers of 8 bits are multiplied exactly; without `reverse_dtype`, one rounding to 8 bits.
    rtol = 1e-6 if reverse_dtype else 1 / 128
    for dtype in ("float32", "bfloat16"):
        x, y = (layer(k.ops.cast(HIDDEN, dtype), reverse=True)
                for k, layer in ((nnc, a), (keras, b)))
        assert x.dtype == y.dtype.name == (reverse_dtype or dtype)
        same(nnc.ops.cast(x, "float32"), keras.ops.cast(y, "float32"), rtol=rtol, atol=1e-5)


def test_training_of_the_shared_table():
    """Both ways add to the one gradient; three epochs end at Keras's weights."""
    for options in ({}, {"tie_weights": False}, {"logit_soft_cap": 2.0}):
        ours, theirs = pair(**options)
        for model, k in ((ours, nnc), (theirs, keras)):
            model.compile(k.optimizers.SGD(0.1), loss=k.losses.SparseCategoricalCrossentropy(
                from_logits=True))
            model.fit(IDS, IDS[:, ::-1].copy(), batch_size=4, epochs=3, shuffle=False, verbose=0)
        for a, b in zip(ours.weights, theirs.weights, strict=True):
            same(a, b, rtol=2e-5, atol=2e-5)            # three steps, each relative to the last


def test_masks():
    """The way to the rows masks, the way back does not; in functional models too."""
    for k in (nnc, keras):
        layer = k.layers.ReversibleEmbedding(7, 5, mask_zero=True)
        rows = layer(IDS)
        np.testing.assert_array_equal(values(rows._keras_mask), IDS != 0)
        assert getattr(layer(rows, reverse=True), "_keras_mask", None) is None
        assert layer.compute_mask(IDS) is None
    ours, theirs = [], []
    for k, made in ((nnc, ours), (keras, theirs)):
        inputs = k.Input((3,), dtype="int32")
        layer = k.layers.ReversibleEmbedding(7, 5, mask_zero=True)
        made.append(k.Model(inputs, k.layers.GlobalAveragePooling1D()(layer(inputs))))
    theirs[0].set_weights(ours[0].get_weights())
    same(ours[0](IDS), theirs[0](IDS))
    same(ours[0].predict(IDS, verbose=0), theirs[0](IDS))


# ---- whole numbers, adapters ---------------------------------------------------------------------

MODES = {"int8": lambda k: k.quantizers.Int8QuantizationConfig(),
         "int8-weights": lambda k: k.quantizers.Int8QuantizationConfig(activation_quantizer=None),
         "int4": lambda k: k.quantizers.Int4QuantizationConfig(),
         "int4-2": lambda k: k.quantizers.Int4QuantizationConfig(block_size=2),
         "int4-channel": lambda k: k.quantizers.Int4QuantizationConfig(
             block_size=None, activation_quantizer=k.quantizers.AbsMaxQuantizer(axis=-1))}


def quantized(mode, **options):
    ours, theirs = pair(**options)
    exact = values(ours(IDS))
    for model, k in ((ours, nnc), (theirs, keras)):
        model.quantize(mode.partition("-")[0], config=MODES[mode](k))
    return ours, theirs, exact


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_whole_numbers(mode, tie):
    ours, theirs, exact = quantized(mode, tie_weights=tie, logit_soft_cap=30.0)
    alike(ours, theirs)
    for a, b in zip(ours.weights, theirs.weights, strict=True):
        same(a, b, rtol=1e-6)
    a, b = layers(ours, theirs)
    assert a.dtype_policy.name == b.dtype_policy.name
    same(a(IDS), b(IDS))
    same(a(HIDDEN, reverse=True), b(HIDDEN, reverse=True), rtol=2e-5, atol=1e-5)
    same(ours(IDS), theirs(IDS), rtol=2e-5, atol=1e-5)
    # 8 bits: an output sums 5 products, each within 1/127 of the largest of its row and column; 4
    # bits: within 1/7 (blocks of two cut numbers of one sign further).
    if mode != "int4-2":
        assert np.abs(values(ours(IDS)) - exact).max() < np.abs(exact).max() * (
            0.05 if mode.startswith("int8") else 0.4)


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("mode", [None, "int8", "int4", "int4-2", "int4-channel"])
def test_files_both_ways(tmp_path, mode, tie):
    ours, theirs = quantized(mode, tie_weights=tie)[:2] if mode else pair(tie_weights=tie)
    for writer, reader in ((ours, keras), (theirs, nnc)):
        writer.save(tmp_path / "m.keras")
        again = reader.saving.load_model(tmp_path / "m.keras")
        alike(*((again, writer) if reader is nnc else (writer, again)))
        same(again(IDS) if reader is nnc else writer(IDS),
             writer(IDS) if reader is nnc else again(IDS), rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("tie", [True, False])
def test_adapters(tmp_path, tie):
    ours, theirs = pair(tie_weights=tie)
    for layer in layers(ours, theirs):
        layer.enable_lora(2)
    alike(ours, theirs)
    fill_adapters(*(type("", (), {"layers": [layer]}) for layer in layers(ours, theirs)))
    same(ours(IDS), theirs(IDS), rtol=2e-5, atol=2e-5)
    for writer, reader in ((ours, keras), (theirs, nnc)):
        writer.save_weights(tmp_path / "m.weights.h5")
        again = pair(tie_weights=tie)[reader is keras]
        again.load_weights(tmp_path / "m.weights.h5")
        np.testing.assert_allclose(values(again(IDS)), values(writer(IDS)), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("mode", ["int8", "int4-2"])
def test_adapters_of_whole_numbers_count_both_ways(mode):
    """The way back is that of the merged table, as files hold it."""
    ours, _, _ = quantized(mode)
    layer, = layers(ours)
    layer.enable_lora(2)
    fill_adapters(*(type("", (), {"layers": [layer]}) for _ in range(2)))
    table = values(layer.embeddings)
    same(layer(IDS), table[IDS], rtol=1e-5, atol=1e-5)
    # Inputs of 8 bits: each product is within 1/254 of the largest of its row.
    bound = np.abs(HIDDEN).max(-1, keepdims=True) * np.abs(table).sum(-1) / 254
    assert (np.abs(values(layer(HIDDEN, reverse=True)) - HIDDEN @ table.T) <= bound + 1e-5).all()


# ---- what is refused -----------------------------------------------------------------------------

@pytest.mark.parametrize("call, error, text", [
    (lambda: nnc.layers.ReversibleEmbedding(3, 2, logit_soft_cap=0), ValueError, "logit_soft_cap"),
    (lambda: nnc.layers.ReversibleEmbedding(3, 2, reverse_dtype="int32"), ValueError,
     "reverse_dtype"),
    (lambda: nnc.layers.ReversibleEmbedding(3, 2)(np.zeros((2, 3)), reverse=True), ValueError,
     "output_dim"),
    (lambda: nnc.layers.ReversibleEmbedding(3, 2)(np.array([[5]])), ValueError, "5"),
])
def test_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_weights_as_an_argument():
    tables = [np.ones((3, 2), "float32"), np.full((2, 3), 2.0, "float32")]
    layer = nnc.layers.ReversibleEmbedding(3, 2, tie_weights=False, weights=tables)
    for a, b in zip(layer.get_weights(), tables, strict=True):
        np.testing.assert_array_equal(a, b)
