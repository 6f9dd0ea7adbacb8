"""STFTSpectrogram and MelSpectrogram against Keras; training of kernels; errors."""
import json

import numpy as np
import pytest

import nnc
from tests.live import answer, keras, plain, values

layers, theirs = nnc.layers, keras.layers
RNG = np.random.default_rng(2)
WAVES = RNG.normal(size=(2, 500, 2)).astype("float32")


def check(ours, other, atol):
    ours, other = values(ours), values(other)
    assert ours.shape == other.shape and ours.dtype == other.dtype
    np.testing.assert_allclose(ours, other, rtol=2e-4, atol=atol)


OPTIONS = [dict(mode=mode) for mode in ("log", "magnitude", "psd", "real", "imag", "stft")] + [
    {"mode": "magnitude", "expand_dims": True}, {"mode": "real", "padding": "same"},
    {"mode": "real", "frame_length": 60, "frame_step": 17, "window": "hamming"},
    {"mode": "real", "fft_length": 512, "scaling": "spectrum", "periodic": True},
    {"mode": "imag", "scaling": None, "expand_dims": True}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("form", ["channels_last", "channels_first"])
def test_stft_is_keras(options, form):
    x = WAVES if form == "channels_last" else np.moveaxis(WAVES, -1, 1).copy()
    ours, other = (module.STFTSpectrogram(data_format=form, **options)
                   for module in (layers, theirs))
    # atol: sums of 256 products, with Keras's sines in float32 (measured: 3.3e-4 without a scale,
    # where ours of 0 is 1.5e-13); a logarithm of small magnitudes.
    check(ours(x), answer(other, x), 1e-3 if options.get("scaling", "") is None else 2e-4)
    assert tuple(ours.compute_output_shape(x.shape)) == ours(x).shape
    mine, wanted = (json.loads(json.dumps(plain(layer.get_config()))) for layer in (ours, other))
    assert {**mine, "name": 0} == {**wanted, "name": 0}
    assert layers.STFTSpectrogram.from_config(mine).get_config() == ours.get_config()


def test_angles():
    layer = layers.STFTSpectrogram(mode="angle")
    real, imag = (values(layers.STFTSpectrogram(mode=mode)(WAVES)) for mode in ("real", "imag"))
    np.testing.assert_allclose(values(layer(WAVES)), np.arctan2(imag, real), atol=1e-6)


def test_kernels_can_be_trained_and_saved(tmp_path):
    model = nnc.Sequential([nnc.Input((500, 2)), layers.STFTSpectrogram(mode="magnitude"),
                            layers.GlobalAveragePooling1D(), layers.Dense(1)])
    before = values(model.layers[0].real_kernel).copy()
    model.compile("sgd", "mse")
    model.fit(WAVES, np.zeros(2), epochs=2, verbose=0)
    assert (values(model.layers[0].real_kernel) != before).any()
    model.save(tmp_path / "m.keras")
    other = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(model.predict(WAVES, verbose=0), other.predict(WAVES, verbose=0),
                               rtol=1e-4, atol=1e-5)     # sums of 256 products, float32


MELS = [{}, {"power_to_db": False}, {"num_mel_bins": 20, "min_freq": 100.0, "max_freq": 3000.0},
        {"fft_length": 512, "sequence_length": 400, "sequence_stride": 160, "window": "hamming"},
        {"mag_exp": 1.0, "top_db": 30.0, "ref_power": 2.0, "sampling_rate": 8000}]


@pytest.mark.parametrize("options", MELS, ids=str)
def test_mel_is_keras(options):
    options = {"fft_length": 256, "sequence_stride": 100, "num_mel_bins": 16, **options}
    ours, other = (module.MelSpectrogram(**options) for module in (layers, theirs))
    for x in (WAVES[..., 0], WAVES[0, :, 0]):
        if options["fft_length"] > 256:
            x = np.concatenate([x, x], -1)
        check(ours(x), other(x), 2e-3)          # decibels
        assert tuple(ours.compute_output_shape(x.shape)) == ours(x).shape
    check(ours.linear_to_mel_weight_matrix(), other.linear_to_mel_weight_matrix(), 1e-5)
    mine, wanted = (json.loads(json.dumps(plain(layer.get_config()))) for layer in (ours, other))
    assert {**mine, "name": 0} == {**wanted, "name": 0}


def test_mel_in_a_model():
    layer = layers.MelSpectrogram(fft_length=128, sequence_stride=64, num_mel_bins=8)
    model = nnc.Sequential([nnc.Input((500,)), layer])
    np.testing.assert_allclose(model.predict(WAVES[..., 0], verbose=0), layer(WAVES[..., 0]),
                               rtol=1e-5)


ERRORS = [(dict(mode="power"), "mode"), (dict(frame_length=0), "frame_length"),
          (dict(frame_step=300), "frame_step"), (dict(fft_length=128), "fft_length"),
          (dict(scaling="none"), "scaling"), (dict(padding="full"), "padding"),
          (dict(data_format="last"), "data_format")]


@pytest.mark.parametrize("options, text", ERRORS)
def test_wrong_arguments(options, text):
    with pytest.raises(ValueError, match=text):
        layers.STFTSpectrogram(**options)


def test_other_errors():
    with pytest.raises(ValueError, match="sequence_length"):
        layers.MelSpectrogram(fft_length=128, sequence_length=256)
    with pytest.warns(UserWarning, match="power of two"):
        layers.STFTSpectrogram(fft_length=300)
    with pytest.raises(TypeError, match="floats"):
        layers.STFTSpectrogram()(np.ones((1, 300, 1), "int32"))
