"""Layers: arguments, shapes, numbers and configurations beside Keras; what the base class does."""
import copy
import os

import numpy as np
import pytest

import nnc
from nnc import ops

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")


def keras():
    return pytest.importorskip("keras")


LAYERS = [
    ("Dense", {"units": 3}, (4,)),
    ("Dense", {"units": 3, "activation": "relu", "use_bias": False, "name": "d"}, (4,)),
    ("Dense", {"units": 3, "activation": "softmax", "kernel_regularizer": "l2",
               "bias_initializer": "ones",
               "bias_regularizer": "l1", "kernel_constraint": "max_norm",
               "bias_constraint": "non_neg",
               "activity_regularizer": "l2", "kernel_initializer": "he_normal", "trainable": False},
               (4,)),
    ("Dense", {"units": 2, "dtype": "float64"}, (3, 4)),
    ("Flatten", {}, (3, 4)),
    ("Flatten", {"data_format": "channels_first", "name": "f"}, (3, 4, 2)),
    ("Flatten", {}, ()),
    ("Activation", {"activation": "tanh"}, (4,)),
    ("Activation", {"activation": "leaky_relu"}, (4,)),
    ("Dropout", {"rate": 0.5, "seed": 3}, (4,)),
    ("Dropout", {"rate": 0.0, "noise_shape": (None, 1)}, (4,)),
    ("Identity", {}, (4,)),
]


def make(k, name, options):
    return getattr(k.layers, name)(**options)


def plain(config):
    """A configuration with tuples as lists, as in JSON, and floats rounded as Keras does some."""
    if isinstance(config, dict):
        return {key: plain(value) for key, value in config.items()}
    if isinstance(config, float):
        return float(np.float32(config))
    return [plain(value) for value in config] if isinstance(config, (list, tuple)) else config


@pytest.mark.parametrize("name, options, shape", LAYERS)
def test_against_keras(name, options, shape):
    options = {"name": "layer", **options}
    ours, theirs = make(nnc, name, options), make(keras(), name, options)
    x = np.random.default_rng(1).normal(size=(6, *shape)).astype("float32")
    a = ours(x)
    theirs.build(x.shape)
    theirs.set_weights(ours.get_weights())
    b = np.asarray(theirs(x))
    # float32: sums of a few terms, exp within 2 ulp
    np.testing.assert_allclose(a.numpy(), b, rtol=2e-5, atol=2e-6)
    assert str(a.numpy().dtype) == str(b.dtype) and ours.built
    assert ours.compute_output_shape((None, *shape)) == tuple(theirs.compute_output_shape((None,
                                                                                           *shape)))
    assert plain(ours.get_config()) == plain(theirs.get_config())
    assert ours.count_params() == theirs.count_params()
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    assert len(ours.trainable_weights) == len(theirs.trainable_weights)
    assert len(ours.non_trainable_weights) == len(theirs.non_trainable_weights)
    for p, q in zip(ours.losses, theirs.losses):
        np.testing.assert_allclose(float(p), float(q), rtol=1e-4)
    assert len(ours.losses) == len(theirs.losses)


@pytest.mark.parametrize("name, options, shape", LAYERS)
def test_configurations_go_both_ways(name, options, shape):
    for source, target in ((nnc, keras()), (keras(), nnc)):
        layer = make(source, name, options)
        if not layer.built:
            layer.build((None, *shape))
        config = source.saving.serialize_keras_object(layer)
        other = target.saving.deserialize_keras_object(copy.deepcopy(config))
        assert plain(target.saving.serialize_keras_object(other)) == plain(config)
        assert other.built


def test_names_are_numbered():
    first = nnc.layers.Dense(1).name
    number = int(first.rpartition("_")[2]) if first != "dense" else 0
    assert nnc.layers.Dense(1).name == f"dense_{number + 1}"

    class MyHTTPLayer(nnc.layers.Layer):
        pass

    assert MyHTTPLayer().name.startswith("my_http_layer")


def test_dropout():
    layer = nnc.layers.Dropout(0.25, seed=1)
    x = np.ones((200, 50), "float32")
    y = layer(x, training=True).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    share = (y == 0).mean()
    assert abs(share - 0.25) < 5 * np.sqrt(0.25 * 0.75 / y.size)        # five standard deviations
    assert (layer(x, training=True).numpy() != y).any()                     # a new mask each time
    np.testing.assert_array_equal(layer(x).numpy(), x)
    np.testing.assert_array_equal(nnc.layers.Dropout(0.25, seed=1)(x, training=True).numpy(), y)
    rows = nnc.layers.Dropout(0.5, noise_shape=(None, 1), seed=2)(x, training=True).numpy()
    assert ((rows == 0).all(1) | (rows == 2).all(1)).all()


# ---- the base ------------------------------------------------------------------------------------

class Scale(nnc.layers.Layer):
    """A layer as users write them."""

    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="w")

    def call(self, x):
        return x * self.w * self.factor


class Block(nnc.layers.Layer):
    """Layers in attributes, lists and dicts."""

    def __init__(self):
        super().__init__()
        self.first = nnc.layers.Dense(4)
        self.more = []
        for _ in range(2):
            self.more.append(nnc.layers.Dense(4))
        self.named = {"drop": nnc.layers.Dropout(0.5), "scale": [Scale()]}

    def call(self, x, training=False):
        self.trained = training
        x = self.first(x)
        for layer in self.more:
            x = layer(x)
        return self.named["scale"][0](self.named["drop"](x))


def test_custom_layer():
    layer = Scale(3.0)
    assert not layer.built and layer.weights == []
    np.testing.assert_array_equal(layer(X).numpy(), X * 3)
    assert layer.built and [w.name for w in layer.weights] == ["w"]
    assert layer.get_build_config() == {"input_shape": (5, 4)}
    assert layer.compute_output_shape((None, 4)) == (None, 4)               # by recording `call`


def test_nested_layers_are_found():
    block = Block()
    block(X)
    assert len(block.weights) == 7 and len(block.trainable_weights) == 7
    assert len(block.variables) == 8                                        # and the dropout's seed
    assert block.count_params() == 3 * 20 + 4
    block.trainable = False
    assert block.trainable_weights == [] and not block.more[1].trainable
    assert all(not w.trainable for w in block.weights)
    block.trainable = True
    assert len(block.trainable_weights) == 7
    weights = [w + 1 for w in block.get_weights()]
    block.set_weights(weights)
    for a, b in zip(block.get_weights(), weights):
        np.testing.assert_array_equal(a, b)


def test_training_reaches_inner_layers():
    block = Block()
    x = np.ones((100, 4), "float32")
    assert (block(x, training=True).numpy() == 0).any()
    assert block.trained is True
    assert (block(x).numpy() != 0).all() and block.trained is False
    assert (block(x, True).numpy() == 0).any()                              # by position


def test_losses():
    class Adds(nnc.layers.Layer):
        def call(self, x):
            self.add_loss(ops.sum(x))
            return x

    class Outer(nnc.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = Adds()
            self.dense = nnc.layers.Dense(2, kernel_regularizer="l2", activity_regularizer="l1")

        def call(self, x):
            return self.dense(self.inner(self.inner(x)))

    layer = Outer()
    for _ in range(2):                                                      # each call begins anew
        y = layer(X).numpy()
        kernel = layer.dense.kernel.numpy()
        expected = [X.sum(), X.sum(), np.abs(y).sum() * 0.01 / 5, (kernel ** 2).sum() * 0.01]
        np.testing.assert_allclose([float(v) for v in layer.losses], expected, rtol=1e-4)
    with pytest.raises(ValueError, match="on a tensor input. Received invalid value: 3.0"):
        layer.add_loss(3.0)


def test_masks_are_passed_on():
    class Source(nnc.layers.Layer):
        def call(self, x):
            return x

        def compute_mask(self, inputs, previous_mask):
            return ops.greater(inputs[:, 0], 0.0)

    class Sink(nnc.layers.Layer):
        def __init__(self):
            super().__init__()
            self.supports_masking = True

        def call(self, x, mask=None):
            return x * ops.expand_dims(ops.cast(mask, "float32"), -1)

    y = Sink()(nnc.layers.Activation("linear")(Source()(X)))
    np.testing.assert_array_equal(y.numpy(), X * (X[:, :1] > 0))
    with pytest.warns(UserWarning, match="does not support masking"):
        Scale()(Source()(X))


def test_input_forms():
    layer = nnc.layers.Dense(2)
    expected = layer(X).numpy()
    for x in (X.tolist(), nnc.Tensor(X), X.astype("float64"), np.asfortranarray(X), X.astype(">f4"),
              nnc.Variable(X)):
        np.testing.assert_array_equal(layer(x).numpy(), expected)
    np.testing.assert_array_equal(layer(inputs=X).numpy(), expected)
    assert layer(np.ones((2, 4), "int32")).dtype == "float32"


def test_mistakes_are_named():
    class NoSuper(nnc.layers.Layer):
        def __init__(self):
            self.x = 3

    with pytest.raises(RuntimeError, match=r"'NoSuper', `super\(\).__init__\(\)`"):
        NoSuper()
    with pytest.raises(NotImplementedError, match="Layer does not have a `call"):
        nnc.layers.Layer()(X)
    with pytest.raises(ValueError, match=r"min_ndim=2, found ndim=1.*\(5,\)"):
        nnc.layers.Dense(2)(np.zeros(5))
    with pytest.raises(ValueError, match="without the character '/'"):
        nnc.layers.Dense(2, name="a/b")
    with pytest.raises(ValueError, match="isn't built"):
        nnc.layers.Dense(2).count_params()
    with pytest.raises(ValueError, match="`trainable` to be a boolean"):
        nnc.layers.Dense(2, trainable=1)


def test_symbolic_inputs():
    x = nnc.Input((28, 28), name="pixels")
    assert x.shape == (None, 28, 28) and x.dtype == "float32" and x.name == "pixels"
    y = nnc.layers.Dense(3)(nnc.layers.Flatten()(x))
    assert y.shape == (None, 3)
    assert Scale()(y).shape == (None, 3)
    assert nnc.Input(shape=(3,), batch_size=4, dtype="int32").shape == (4, 3)
    assert nnc.Input(batch_shape=(None, 2)).shape == (None, 2)
    with pytest.raises(ValueError, match="holds no values"):
        np.asarray(x)
    with pytest.raises(ValueError, match="exactly one of `shape` and `batch_shape`"):
        nnc.Input()


def test_registered_classes_and_no_others():
    @nnc.saving.register_keras_serializable("test_layers")
    class Mine(nnc.layers.Layer):
        def get_config(self):
            return {**super().get_config()}

    config = nnc.saving.serialize_keras_object(Mine(name="m"))
    assert config["registered_name"] == "test_layers>Mine"
    assert nnc.saving.deserialize_keras_object(config).name == "m"
    config["registered_name"] = config["class_name"] = "Other"
    with pytest.raises(TypeError, match="'Other'.*register_keras_serializable"):
        nnc.saving.deserialize_keras_object(config)
    with nnc.saving.CustomObjectScope({"Other": Mine}):
        assert type(nnc.saving.deserialize_keras_object(config)) is Mine
    with pytest.raises(TypeError, match="Could not locate class 'system'"):
        nnc.saving.deserialize_keras_object(
            {"module": "os", "class_name": "system", "config": {}, "registered_name": None})
    with pytest.raises(ValueError, match="never"):
        nnc.saving.deserialize_keras_object({"class_name": "__lambda__", "config": {"value": "x"}})


def test_variables():
    v = nnc.Variable(np.arange(3.0), name="v")
    assert v.dtype == "float32" and v.shape == (3,) and v.path == "v" and v.trainable
    v.assign([3, 2, 1])
    v.assign_add(np.ones(3))
    v.assign_sub([0.0, 1.0, 0.0])
    np.testing.assert_array_equal(v.numpy(), [4.0, 2.0, 2.0])
    np.testing.assert_array_equal((v * 2 + 1).numpy(), [9.0, 5.0, 5.0])
    assert nnc.Variable([1, 2]).dtype == "int32"
    assert nnc.Variable("ones", shape=(2, 2)).numpy().sum() == 4
    assert nnc.Variable(lambda shape, dtype: np.ones(shape, dtype), shape=2,
                        dtype="int64").dtype == "int64"
    with pytest.raises(ValueError, match=r"\(3,\).*\(4,\)|\(4,\).*\(3,\)"):
        v.assign(np.zeros(4))
    with pytest.raises(ValueError, match="`shape` must be given"):
        nnc.Variable("ones")
    with pytest.raises(ValueError, match="`aggregation` must be one of"):
        nnc.Variable(1.0, aggregation="product")
    with nnc.name_scope("outer"):
        assert nnc.Variable(1.0, name="w").path == "outer/w"
    array = np.zeros(2, "float32")
    v = nnc.Variable(array)
    v.assign([1, 1])
    assert not array.any()                      # a variable owns its values
