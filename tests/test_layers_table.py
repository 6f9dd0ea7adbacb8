"""Every layer beside Keras's: configuration both ways, weights, numbers, gradients, shapes, masks.

A row is a layer, its arguments and the shape of one sample (a list of shapes for many inputs). The
weights of ours are put into Keras's, so both compute the same function of the same numbers.
"""
import copy

import numpy as np
import pytest

from tests.live import keras, plain, values

import nnc
from nnc import ops

IMAGE, VOLUME = (4, 5, 2), (3, 4, 2, 2)
PAIR = [(3, 4), (3, 4)]
ROWS = [
    ("Add", {}, PAIR), ("Add", {}, [(3, 4), (4,)]), ("Add", {}, [(2, 4), (1, 4), (2, 1)]),
    ("Subtract", {}, PAIR), ("Multiply", {}, [*PAIR, (3, 1)]), ("Average", {}, [*PAIR, (3, 4)]),
    ("Maximum", {}, PAIR), ("Minimum", {}, PAIR),
    ("Concatenate", {}, [(3, 4), (3, 2)]), ("Concatenate", {"axis": 1}, [(3, 4), (1, 4)]),
    ("Dot", {"axes": 1}, [(4,), (4,)]), ("Dot", {"axes": (1, 2)}, [(3, 4), (2, 3)]),
    ("Dot", {"axes": -1, "normalize": True}, PAIR),
    ("Reshape", {"target_shape": (6, 2)}, (3, 4)), ("Reshape", {"target_shape": (-1, 2)}, (3, 4)),
    ("Permute", {"dims": (2, 1)}, (3, 4)), ("Permute", {"dims": (3, 1, 2)}, IMAGE),
    ("RepeatVector", {"n": 3}, (4,)), ("RepeatVector", {"n": 1}, (4,)),
    ("Reshape", {"target_shape": [3, -1]}, (12,)), ("Reshape", {"target_shape": (-1,)}, (3, 4)),
    ("Dot", {"axes": (-1, -2)}, [(3, 4), (4, 3)]), ("Dot", {"axes": [2, 1]}, [(3, 4), (4,)]),
    ("Add", {}, [(4,), (3, 4), (2, 3, 4)]), ("Maximum", {}, [(3, 1), (1, 4)]),
    ("Concatenate", {"axis": -2}, [(3, 4), (1, 4)]),
    ("Cropping1D", {}, (5, 2)), ("Cropping1D", {"cropping": (0, 2)}, (5, 2)),
    ("Cropping2D", {"cropping": ((1, 0), (0, 2))}, IMAGE), ("Cropping2D", {"cropping": 1}, IMAGE),
    ("Cropping2D", {"cropping": (1, 0), "data_format": "channels_first"}, (2, 4, 5)),
    ("Cropping3D", {"cropping": ((1, 0), 1, (0, 1))}, (3, 4, 3, 2)),
    ("ZeroPadding1D", {"padding": (1, 2)}, (3, 2)), ("ZeroPadding1D", {"padding": 2}, (3, 2)),
    ("ZeroPadding2D", {"padding": ((1, 0), (0, 2))}, IMAGE), ("ZeroPadding2D", {}, IMAGE),
    ("ZeroPadding2D", {"padding": 1, "data_format": "channels_first"}, (2, 3, 3)),
    ("ZeroPadding3D", {}, VOLUME), ("ZeroPadding3D", {"padding": (1, 2, 0)}, VOLUME),
    ("ZeroPadding3D", {"padding": ((1, 2), (0, 1), (2, 0)), "data_format": "channels_first"},
     VOLUME),
    ("ZeroPadding1D", {"padding": (1, 2), "data_format": "channels_first"}, (2, 3)),
    ("UpSampling1D", {"size": 3}, (3, 2)), ("UpSampling2D", {}, IMAGE),
    ("UpSampling2D", {"size": (1, 3), "data_format": "channels_first"}, (2, 3, 3)),
    ("UpSampling2D", {"size": (2, 3), "interpolation": "bilinear"}, IMAGE),
    ("UpSampling2D", {"size": 2, "interpolation": "bicubic", "data_format": "channels_first"},
     (2, 3, 3)),
    ("UpSampling3D", {"size": (2, 1, 3)}, VOLUME),
    ("ReLU", {}, (4,)), ("ReLU", {"max_value": 1.0, "negative_slope": 0.1, "threshold": 0.2}, (4,)),
    ("LeakyReLU", {}, (4,)), ("LeakyReLU", {"negative_slope": 0.1}, (4,)),
    ("ReLU", {"max_value": 0, "threshold": 1}, (3, 4)), ("LeakyReLU", {"negative_slope": 0}, (4,)),
    ("ELU", {"alpha": 0.7}, (4,)), ("ELU", {"alpha": 0.0}, (4,)),
    ("PReLU", {"alpha_constraint": "non_neg", "shared_axes": (2,)}, IMAGE),
    ("PReLU", {"alpha_initializer": "ones"}, (3, 4)),
    ("PReLU", {"shared_axes": [1], "alpha_regularizer": "l2"}, (3, 4)),
    ("Softmax", {}, (4,)), ("Softmax", {"axis": [1, 2]}, (3, 4)),
    ("Softmax", {"axis": (-1, -2)}, (2, 3, 4)), ("Masking", {"mask_value": 1.0}, (3, 4)),
    ("Rescaling", {"scale": [1.0, 2.0, 3.0, 4.0], "offset": [0.0, 1.0, 0.0, -1.0]}, (3, 4)),
    ("Masking", {}, (3, 4)), ("Rescaling", {"scale": 0.5, "offset": -1.0}, (4,)),
    ("ActivityRegularization", {"l1": 0.1, "l2": 0.2}, (4,)),
    ("GaussianNoise", {"stddev": 0.5}, (4,)), ("GaussianDropout", {"rate": 0.5}, (4,)),
    ("AlphaDropout", {"rate": 0.2, "noise_shape": (None, 1)}, (4,)),
    ("SpatialDropout1D", {"rate": 0.5}, (3, 4)), ("SpatialDropout2D", {"rate": 0.5}, IMAGE),
    ("SpatialDropout3D", {"rate": 0.5, "data_format": "channels_first"}, VOLUME),
    ("BatchNormalization", {}, (4,)),
    ("BatchNormalization", {"axis": 1, "momentum": 0.5, "scale": False}, IMAGE),
    ("BatchNormalization", {"center": False, "epsilon": 0.1, "gamma_initializer": "ones",
                            "gamma_regularizer": "l2"}, IMAGE),
    ("BatchNormalization", {"renorm": True}, (4,)),
    ("BatchNormalization", {"renorm": True, "renorm_momentum": 0.7, "momentum": 0.6, "axis": 1,
                            "renorm_clipping": {"rmin": 0.9, "rmax": 1.1, "dmax": 0.2}}, IMAGE),
    ("BatchNormalization", {"renorm": True, "scale": False, "center": False,
                            "renorm_clipping": {"dmax": 0.3}}, (3, 4)),
    ("BatchNormalization", {"renorm": True, "center": False,
                            "moving_variance_initializer": "zeros"}, (4,)),
    ("BatchNormalization", {"axis": -1, "momentum": 0.0, "beta_constraint": "non_neg",
                            "beta_regularizer": "l1", "gamma_constraint": "unit_norm"}, (3, 4)),
    ("BatchNormalization", {"axis": 2, "momentum": 1.0, "gamma_regularizer": "l1"}, VOLUME),
    ("LayerNormalization", {"axis": (1, -1), "beta_constraint": "non_neg",
                            "beta_regularizer": "l2", "gamma_constraint": "unit_norm"}, IMAGE),
    ("LayerNormalization", {"axis": 1, "gamma_regularizer": "l1", "center": False}, (3, 4)),
    ("GroupNormalization", {"groups": 2, "axis": -2, "beta_regularizer": "l2",
                            "gamma_constraint": "non_neg", "epsilon": 0.5}, (4, 3)),
    ("GroupNormalization", {"groups": 1, "axis": 2, "scale": False}, IMAGE),
    ("UnitNormalization", {"axis": [0, 1]}, (3, 4)),
    ("LayerNormalization", {}, (3, 4)), ("LayerNormalization", {"axis": [1, 2]}, (3, 4)),
    ("LayerNormalization", {"center": False, "scale": False, "epsilon": 0.1}, (4,)),
    ("GroupNormalization", {"groups": 2}, (3, 4)), ("GroupNormalization", {"groups": -1}, IMAGE),
    ("GroupNormalization", {"groups": 2, "axis": 1, "center": False}, IMAGE),
    ("RMSNormalization", {}, (3, 4)), ("UnitNormalization", {}, (3, 4)),
    ("UnitNormalization", {"axis": [1, 2]}, (3, 4)),
    ("EinsumDense", {"equation": "ab,bc->ac", "output_shape": 3, "bias_axes": "c"}, (4,)),
    ("EinsumDense", {"equation": "abc,cd->abd", "output_shape": (None, 3), "bias_axes": "d",
                     "activation": "relu"}, (3, 4)),
    ("EinsumDense", {"equation": "...x,xy->...y", "output_shape": 3, "bias_axes": "y"}, (3, 4)),
    ("EinsumDense", {"equation": "ab...,bc->ac...", "output_shape": 3, "bias_axes": "c"}, (3, 4)),
    ("EinsumDense", {"equation": "abc,cde->abde", "output_shape": (None, 2, 3),
                     "bias_axes": "de"}, (3, 4)),
    ("EinsumDense", {"equation": "abcd,cde->abe", "output_shape": (None, 3)}, (3, 2, 4)),
    ("Normalization", {"mean": 2.0, "variance": 4.0}, (4,)),
    ("Normalization", {"axis": None, "mean": 1.0, "variance": 2.0, "invert": True}, (4,)),
]
IDS = [f"{name}-{i}" for i, (name, _, _) in enumerate(ROWS)]


def data(shape, seed=1):
    """Arrays of a batch of 5 for a shape, or for each of several."""
    rng = np.random.default_rng(seed)
    shapes = shape if isinstance(shape, list) else [shape]
    made = [rng.normal(size=(5, *s)).astype("float32") for s in shapes]
    return made if isinstance(shape, list) else made[0]


def unknown(shape):
    """The shape of a batch of any size."""
    return [(None, *s) for s in shape] if isinstance(shape, list) else (None, *shape)


def rounded(config):
    """Floats as float32 holds them: Keras rounds those of regularizers."""
    if isinstance(config, dict):
        return {key: rounded(value) for key, value in config.items()}
    if isinstance(config, list):
        return [rounded(value) for value in config]
    return float(np.float32(config)) if isinstance(config, float) else config


def both(name, options, shape):
    """Our layer and Keras's, built, with the same weights."""
    options = {"name": "layer", **options}
    ours, theirs = (getattr(k.layers, name)(**options) for k in (nnc, keras))
    ours(data(shape))
    if not theirs.built:
        theirs.build([x.shape for x in data(shape)] if isinstance(shape, list)
                     else data(shape).shape)
    weights = [w + 0.1 * np.random.default_rng(i).random(w.shape).astype(w.dtype)
               for i, w in enumerate(ours.get_weights())]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    return ours, theirs


def gradients(k, layer, x, training):
    """Output, and gradients of a weighted sum of it by inputs and weights."""
    import tensorflow as tf

    tape = (nnc if k is nnc else tf).GradientTape()
    x = [ops.convert_to_tensor(a) if k is nnc else tf.convert_to_tensor(a)
         for a in (x if isinstance(x, list) else [x])]
    with tape:
        for a in x:
            tape.watch(a)
        y = layer(x if len(x) > 1 else x[0], training=training)
        weights = np.cos(np.arange(np.prod(y.shape))).reshape(y.shape).astype("float32")
        total = k.ops.sum(y * weights)
    variables = [v if k is nnc else v.value for v in layer.trainable_weights]
    return y, tape.gradient(total, x + variables)


NOISE = ("GaussianNoise", "GaussianDropout", "AlphaDropout", "SpatialDropout1D",
         "SpatialDropout2D", "SpatialDropout3D")


@pytest.mark.parametrize("name, options, shape", ROWS, ids=IDS)
def test_numbers_and_gradients(name, options, shape):
    ours, theirs = both(name, options, shape)
    x = data(shape)
    a, da = gradients(nnc, ours, x, name not in NOISE)
    b, db = gradients(keras, theirs, x, name not in NOISE)
    assert a.shape == tuple(b.shape)
    # float32: sums of up to 60 terms, rsqrt of variances that are 0.1 and more
    np.testing.assert_allclose(values(a), values(b), rtol=2e-5, atol=5e-6)
    for p, q in zip(da, db):
        assert (p is None) == (q is None)
        if p is not None:
            np.testing.assert_allclose(values(p), values(q), rtol=1e-4, atol=2e-5)
    for p, q in zip(ours.get_weights(), theirs.get_weights()):      # moving statistics
        np.testing.assert_allclose(p, q, rtol=1e-5, atol=1e-6)
    for p, q in zip(ours.losses, theirs.losses):
        np.testing.assert_allclose(float(p), float(q), rtol=1e-5)
    np.testing.assert_allclose(values(ours(x)), values(theirs(x)), rtol=2e-5, atol=5e-6)


@pytest.mark.parametrize("name, options, shape", ROWS, ids=IDS)
def test_configurations_weights_and_shapes(name, options, shape):
    ours, theirs = both(name, options, shape)
    assert rounded(plain(ours.get_config())) == rounded(plain(theirs.get_config()))
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    assert len(ours.trainable_weights) == len(theirs.trainable_weights)
    # Keras's RMSNormalization loses masks.
    assert ours.supports_masking == (theirs.supports_masking or name == "RMSNormalization")
    expected = tuple(theirs.compute_output_shape(unknown(shape)))
    made = tuple(ours.compute_output_shape(unknown(shape)))
    if name == "EinsumDense":               # Keras forgets sizes that `output_shape` leaves out
        made = tuple(n if m is not None else None for m, n in zip(expected, made, strict=True))
    assert made == expected
    for source, target in ((nnc, keras), (keras, nnc)):
        layer = ours if source is nnc else theirs
        config = source.saving.serialize_keras_object(layer)
        again = target.saving.deserialize_keras_object(copy.deepcopy(config))
        assert again.built
        assert rounded(plain(again.get_config())) == rounded(plain(layer.get_config()))


@pytest.mark.parametrize("name, options, shape", ROWS, ids=IDS)
def test_in_a_model_and_copied(name, options, shape):
    layer = getattr(nnc.layers, name)(**options)
    shapes = shape if isinstance(shape, list) else [shape]
    inputs = [nnc.Input(s) for s in shapes]
    outputs = layer(inputs if len(inputs) > 1 else inputs[0])
    model = nnc.Model(inputs, outputs)
    x = data(shape)
    expected = values(model(x))
    assert (None, *expected.shape[1:]) == outputs.shape
    assert model.predict(x, verbose=0).tobytes() == values(model(x)).tobytes()
    assert values(copy.deepcopy(model)(x)).tobytes() == expected.tobytes()


def across(x):
    """An activation in which the rows of a batch depend on one another."""
    return x - ops.max(x, axis=0)


@pytest.mark.parametrize("make", [
    lambda: nnc.layers.Dense(2, activation=across), lambda: nnc.layers.Activation(across),
    lambda: nnc.layers.Conv1D(2, 1, activation=across), lambda: nnc.layers.UnitNormalization(0),
    lambda: nnc.layers.UnitNormalization([-3, 2]), lambda: nnc.layers.Softmax(0),
    lambda: nnc.Sequential([nnc.layers.Activation(across)])])
def test_predict_keeps_batches_whole(make):
    """Five samples are one batch, whatever blocks other layers are computed in."""
    x = data((3, 4))
    inputs = nnc.Input((3, 4))
    model = nnc.Model(inputs, make()(inputs))
    assert model.predict(x, batch_size=5, verbose=0).tobytes() == values(model(x)).tobytes()
    by_three = [values(model(part)) for part in (x[:3], x[3:])]
    assert model.predict(x, batch_size=3, verbose=0).tobytes() == np.concatenate(by_three).tobytes()


def test_time_distributed_takes_steps_apart():
    x = data((3, 4))
    ours, theirs = (k.layers.TimeDistributed(k.layers.Activation(
        lambda a, k=k: a - k.ops.max(a, axis=0))) for k in (nnc, keras))
    np.testing.assert_array_equal(values(ours(x)), values(theirs(x)))


@pytest.mark.parametrize("name, options, shape, deviation", [
    ("GaussianNoise", {"stddev": 0.5, "seed": 1}, (4000,), 0.5),
    ("GaussianDropout", {"rate": 0.5, "seed": 1}, (4000,), 1.0),
    ("AlphaDropout", {"rate": 0.2, "seed": 1}, (4000,), None),
])
def test_noise(name, options, shape, deviation):
    layer = getattr(nnc.layers, name)(**options)
    x = np.ones((5, *shape), "float32")
    y = values(layer(x, training=True))
    # 20,000 numbers: the mean's deviation is below 0.01, that of a deviation too
    if deviation is not None:
        assert abs(y.mean() - 1.0) < 0.04 and abs(y.std() - deviation) < 0.04
    else:
        assert len(np.unique(y)) == 2 and abs((y == y.min()).mean() - 0.2) < 0.02
    assert not np.array_equal(y, values(layer(x, training=True)))
    assert np.array_equal(values(layer(x)), x)


@pytest.mark.parametrize("name, options, sample", [
    ("SpatialDropout1D", {}, (6, 200)), ("SpatialDropout2D", {}, (3, 2, 200)),
    ("SpatialDropout2D", {"data_format": "channels_first"}, (200, 3, 2)),
    ("SpatialDropout3D", {}, (2, 3, 2, 200)),
])
def test_spatial_dropout_drops_whole_channels(name, options, sample):
    layer = getattr(nnc.layers, name)(0.5, seed=1, **options)
    y = values(layer(np.ones((3, *sample), "float32"), training=True))
    y = np.moveaxis(y, 1, -1) if "data_format" in options else y
    y = y.reshape(3, -1, 200)
    assert np.array_equal(y.min(1), y.max(1)) and set(np.unique(y)) == {0.0, 2.0}
    assert 0.4 < (y == 0).mean() < 0.6          # 600 channels: 5 deviations of 0.02


def test_masks():
    x = np.array([[[1, 2], [0, 0], [3, 0]]], "float32")
    ids = np.array([[1, 0, 2]])
    for k in (nnc, keras):
        masked = k.layers.Masking()(x)
        table = k.layers.Embedding(4, 2, mask_zero=True)(ids)
        masks = [masked._keras_mask, table._keras_mask,
                 k.layers.Add()([masked, table])._keras_mask,
                 k.layers.Concatenate(axis=1)([masked, table])._keras_mask,
                 k.layers.Concatenate()([masked, k.ops.ones((1, 3, 2))])._keras_mask,
                 k.layers.TimeDistributed(k.layers.Dense(2))(masked)._keras_mask]
        if k is nnc:
            ours = [values(m) for m in masks]
    for a, b in zip(ours, masks):
        assert np.array_equal(a, values(b))
    sums = [values(k.layers.Softmax()(x, mask=k.ops.convert_to_tensor(x > 0)))
            for k in (nnc, keras)]
    np.testing.assert_allclose(*sums, rtol=1e-6)
    normed = []
    for k in (nnc, keras):
        layer = k.layers.BatchNormalization(momentum=0.0)
        layer(k.layers.Masking()(x), training=True)
        normed.append(layer.get_weights())
    for a, b in zip(*normed):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("mode, ids", [
    ("multi_hot", [[0, 1], [0, 0], [1, 2], [3, 1]]), ("one_hot", [3, 2, 0, 1]),
    ("one_hot", [[3], [2]]), ("count", [[0, 1], [0, 0], [1, 2], [3, 1]]),
])
def test_category_encoding(mode, ids):
    ours, theirs = (k.layers.CategoryEncoding(num_tokens=4, output_mode=mode, name="c")
                    for k in (nnc, keras))
    a, b = ours(np.array(ids)), theirs(np.array(ids))
    assert np.array_equal(values(a), values(b)) and values(a).dtype == values(b).dtype
    assert plain(ours.get_config()) == plain(theirs.get_config())
    if mode == "count":
        weights = np.array([[0.1, 0.2], [0.1, 0.1], [0.2, 0.3], [0.4, 0.2]], "float32")
        np.testing.assert_allclose(values(ours(np.array(ids), count_weights=weights)),
                                   values(theirs(np.array(ids), count_weights=weights)), rtol=1e-6)


def test_embedding():
    ids = np.array([[1, 0, 3], [2, 2, 1]])
    ours, theirs = (k.layers.Embedding(4, 3, name="e") for k in (nnc, keras))
    ours(ids)
    theirs.build()
    theirs.set_weights(ours.get_weights())
    assert np.array_equal(values(ours(ids)), values(theirs(ids)))
    assert np.array_equal(values(ours(ids.astype("float32"))), values(theirs(ids)))
    assert plain(ours.get_config()) == plain(theirs.get_config())
    table = np.ones((4, 3), "float32")
    assert np.array_equal(nnc.layers.Embedding(4, 3, weights=[table]).get_weights()[0], table)
    model = nnc.Sequential([nnc.Input((3,), dtype="int32"), ours, nnc.layers.Flatten(),
                            nnc.layers.Dense(1)])
    model.compile("sgd", "mse")
    before = ours.get_weights()[0].copy()
    model.fit(ids, np.ones((2, 1)), verbose=0)
    assert (ours.get_weights()[0] != before).all(1).tolist() == [True, True, True, True]


@pytest.mark.parametrize("axis", [-1, None, (1,), (1, 2)])
def test_normalization_adapts(axis):
    x = data((3, 4)) * 3 + 1
    ours, theirs = (k.layers.Normalization(axis=axis, name="n") for k in (nnc, keras))
    ours.adapt([x[:2], x[2:]])
    theirs.adapt(x)
    np.testing.assert_allclose(values(ours(x)), values(theirs(x)), rtol=1e-5, atol=1e-5)
    assert plain(ours.get_config()) == plain(theirs.get_config())


def test_spectral_normalization():
    x = data((4,))
    ours, theirs = (k.layers.SpectralNormalization(k.layers.Dense(3, name="d"), 2, name="s")
                    for k in (nnc, keras))
    ours(x)
    theirs.build(x.shape)
    theirs.set_weights(ours.get_weights())
    for layer in (ours, theirs):
        layer(x, training=True)
    for a, b in zip(ours.get_weights(), theirs.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert plain(ours.get_config()) == plain(theirs.get_config())


def test_normalized_weights():
    """Beside Keras's, and nothing changes."""
    x = data((4,))
    ours, theirs = (k.layers.SpectralNormalization(k.layers.Dense(3, name="d"), 3, name="s")
                    for k in (nnc, keras))
    ours(x)
    theirs.build(x.shape)
    before = ours.get_weights()
    theirs.set_weights(before)
    for a, b in zip(ours.normalized_weights(), theirs.normalized_weights(), strict=True):
        np.testing.assert_allclose(values(a), values(b), rtol=1e-5, atol=1e-6)
    for a, b in zip(before, ours.get_weights()):
        np.testing.assert_array_equal(a, b)


@pytest.mark.filterwarnings("ignore:.*rms_scaling")
@pytest.mark.parametrize("options, shape", [({}, (3, 4)), ({"axis": [1, 2], "epsilon": 0.1}, (3, 4)),
                                            ({"scale": False}, (4,))])
def test_layer_normalization_with_rms_scaling(options, shape):
    ours, theirs = both("LayerNormalization", {"rms_scaling": True, **options}, shape)
    x = data(shape)
    a, da = gradients(nnc, ours, x, True)
    b, db = gradients(keras, theirs, x, True)
    np.testing.assert_allclose(values(a), values(b), rtol=2e-5, atol=5e-6)
    for p, q in zip(da, db, strict=True):
        np.testing.assert_allclose(values(p), values(q), rtol=1e-4, atol=2e-5)
    assert rounded(plain(ours.get_config())) == rounded(plain(theirs.get_config()))
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]


def test_time_distributed():
    x = data((3, 4))
    for inner in (lambda k: k.layers.Dense(2, name="d"),
                  lambda k: k.layers.BatchNormalization(name="d")):
        ours, theirs = (k.layers.TimeDistributed(inner(k), name="t") for k in (nnc, keras))
        ours(x)
        theirs.build(x.shape)
        theirs.set_weights(ours.get_weights())
        np.testing.assert_allclose(values(ours(x, training=True)),
                                   values(theirs(x, training=True)), rtol=1e-5, atol=1e-5)
        for a, b in zip(ours.get_weights(), theirs.get_weights()):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        assert rounded(plain(ours.get_config())) == rounded(plain(theirs.get_config()))


@pytest.mark.parametrize("make, text", [
    (lambda: nnc.layers.Add()(np.ones((2, 3))), "should be called on a list"),
    (lambda: nnc.layers.Add()([np.ones((2, 3)), np.ones((2, 4))]), "incompatible shapes"),
    (lambda: nnc.layers.Subtract()([np.ones((2, 3))] * 3), "expected 2"),
    (lambda: nnc.layers.Concatenate()([np.ones((2, 3)), np.ones((3, 3))]), "matching shapes"),
    (lambda: nnc.layers.Dot(0)([np.ones((2, 3))] * 2), "batch axis"),
    (lambda: nnc.layers.Reshape((5,))(np.ones((2, 4))), "must be unchanged"),
    (lambda: nnc.layers.Permute((1, 3)), "`dims`"),
    (lambda: nnc.layers.RepeatVector(0), "`n` must be"),
    (lambda: nnc.layers.Cropping1D((1,)), "a pair of"),
    (lambda: nnc.layers.ZeroPadding1D([1]), "a pair of"),
    (lambda: nnc.layers.Cropping1D(3)(np.ones((2, 5, 1))), "must be smaller"),
    (lambda: nnc.layers.ZeroPadding2D((1, 2, 3)), "`padding`"),
    (lambda: nnc.layers.UpSampling2D(0), "`size`"),
    (lambda: nnc.layers.UpSampling2D(2, interpolation="cubic"), "`interpolation`"),
    (lambda: nnc.layers.ReLU(max_value=-1), "max_value"),
    (lambda: nnc.layers.PReLU(shared_axes=[3])(np.ones((2, 4))), "shared_axes"),
    (lambda: nnc.layers.GaussianNoise(-1), "stddev"),
    (lambda: nnc.layers.BatchNormalization(axis=5)(np.ones((2, 4))), "out of bounds"),
    (lambda: nnc.layers.BatchNormalization(renorm=True, renorm_clipping={"r": 1}), "other than"),
    (lambda: nnc.layers.BatchNormalization(renorm=True, renorm_clipping={"rmin": 2, "rmax": 1}),
     "rmin <= rmax"),
    (lambda: nnc.layers.BatchNormalization(renorm=True, renorm_clipping={"dmax": -1}), "dmax >= 0"),
    (lambda: nnc.layers.GroupNormalization(3)(np.ones((2, 4))), "multiple"),
    (lambda: nnc.layers.Embedding(0, 2), "input_dim"),
    (lambda: nnc.layers.Embedding(3, 2)(np.array([[5]])), "5"),
    (lambda: nnc.layers.EinsumDense("ab->c", 3), "equation"),
    (lambda: nnc.layers.EinsumDense("abc,cd->abd", 3)(np.ones((2, 3, 4))), "must hold 2 sizes"),
    (lambda: nnc.layers.CategoryEncoding(4, sparse=True), "dense"),
    (lambda: nnc.layers.Normalization(mean=1.0), "together"),
    (lambda: nnc.layers.TimeDistributed(nnc.layers.Dense(2))(np.ones((2, 4))), "3 axes"),
    (lambda: nnc.layers.Wrapper(3), "must be a layer"),
    (lambda: nnc.layers.SpectralNormalization(nnc.layers.ReLU())(np.ones((2, 4))), "kernel"),
])
def test_errors(make, text):
    with pytest.raises((ValueError, TypeError, IndexError), match=text):
        make()
