"""Files that Keras (on TensorFlow) wrote, read here, and back: both go on training alike."""
import warnings

import numpy as np
import pytest

import nnc
from live import keras, same

X = np.random.default_rng(1).normal(size=(16, 4)).astype("float32")
Y = (X[:, 0] + X[:, 1] > 0).astype("int32")
OPTIMIZERS = {
    "adam": lambda k: k.optimizers.Adam(0.01, amsgrad=True, clipnorm=1.0),
    "adamw": lambda k: k.optimizers.AdamW(k.optimizers.schedules.CosineDecay(0.02, 9), use_ema=True,
                                          ema_overwrite_frequency=3),
    "rmsprop": lambda k: k.optimizers.RMSprop(0.01, centered=True, momentum=0.5),
}


def make(k, optimizer="rmsprop"):
    """The same model in `k`, trained a little."""
    k.utils.set_random_seed(2)
    inner = k.Sequential([k.layers.Dense(4, "gelu"), k.layers.Flatten()], name="inner")
    model = k.Sequential([k.Input((4,)), k.layers.Dense(5, "tanh", kernel_regularizer="l2",
                                                        bias_constraint="non_neg"),
                          inner, k.layers.Dropout(0.0), k.layers.Dense(2)])
    model.compile(OPTIMIZERS[optimizer](k),
                  k.losses.SparseCategoricalCrossentropy(from_logits=True),
                  metrics=["accuracy", k.metrics.SparseCategoricalCrossentropy(from_logits=True)])
    train(model)
    return model


def train(model):
    return model.fit(X, Y, batch_size=8, epochs=2, verbose=0, shuffle=False).history


def agree(ours, theirs):
    """Equal weights and optimizer state, and equal numbers after training both on.

    rtol, atol: four steps of float32 on each side.
    """
    for a, b in [*zip(ours.weights, theirs.weights, strict=True),
                 *zip(ours.optimizer.variables, theirs.optimizer.variables, strict=True)]:
        same(a, b, rtol=0, atol=0)
    ours_history, theirs_history = train(ours), train(theirs)
    assert list(ours_history) == list(theirs_history)
    for key, values in ours_history.items():
        np.testing.assert_allclose(values, theirs_history[key], rtol=2e-5, atol=2e-6)
    for a, b in zip(ours.weights, theirs.weights):
        same(a, b, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name, optimizer", [*(("m.keras", key) for key in OPTIMIZERS),
                                             ("m.h5", "adam")])
def test_both_ways(tmp_path, name, optimizer):
    theirs = make(keras, optimizer)
    theirs.save(tmp_path / name)
    ours = nnc.saving.load_model(tmp_path / name)
    ours.save(tmp_path / f"again{name[1:]}")
    again = keras.saving.load_model(tmp_path / f"again{name[1:]}")
    for a, b in zip(ours.weights, theirs.weights):
        same(a, b, rtol=0, atol=0)
    for a, b in zip(ours.optimizer.variables, theirs.optimizer.variables, strict=True):
        same(a, b, rtol=0, atol=0)
    # Keras 3.15 builds the optimizer of an `.h5` file for no weights: there, its first model goes on
    agree(ours, again if name == "m.keras" else theirs)


@pytest.mark.parametrize("name, shard", [("m.weights.h5", None), ("m.weights.json", 3e-7)])
def test_weights_both_ways(tmp_path, name, shard):
    theirs, ours = make(keras), make(nnc)
    theirs.save_weights(tmp_path / name, max_shard_size=shard)
    ours.load_weights(tmp_path / name)
    for a, b in zip(ours.weights, theirs.weights):
        same(a, b, rtol=0, atol=0)
    train(ours)
    (tmp_path / "o").mkdir()
    ours.save_weights(tmp_path / "o" / name, max_shard_size=shard)
    theirs.load_weights(tmp_path / "o" / name)
    for a, b in zip(ours.weights, theirs.weights):
        same(a, b, rtol=0, atol=0)


def test_dtypes_and_keras_2_layout(tmp_path):
    """Attributes as Keras 2 wrote them: `batch_input_shape`, `__tuple__`, names ending in `:0`."""
    import h5py
    import json

    layers = [{"class_name": "InputLayer", "config": {
        "batch_input_shape": {"class_name": "__tuple__", "items": [None, 4]}, "dtype": "float32",
        "sparse": False, "ragged": False, "name": "input_1"}},
        {"class_name": "Dense", "config": {
            "name": "dense", "trainable": True, "dtype": "float32", "units": 2,
            "activation": "relu", "use_bias": True,
            "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}},
            "bias_initializer": {"class_name": "Zeros", "config": {}},
            "kernel_regularizer": None, "bias_regularizer": None, "activity_regularizer": None,
            "kernel_constraint": None, "bias_constraint": None}}]
    config = {"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}}
    training = {"loss": "mse", "metrics": ["mae"], "weighted_metrics": None, "loss_weights": None,
                "optimizer_config": {"class_name": "Adam", "config": {
                    "name": "Adam", "learning_rate": 0.01, "decay": 0.0, "beta_1": 0.9,
                    "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": False}}}
    kernel = np.arange(8, dtype="f").reshape(4, 2)
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = "2.10.0", "tensorflow"
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["training_config"] = json.dumps(training)
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.array([b"dense"])
        group = group.create_group("dense")
        group.attrs["weight_names"] = np.array([b"dense/kernel:0", b"dense/bias:0"])
        group["dense/kernel:0"], group["dense/bias:0"] = kernel, np.ones(2, "f")
    ours = nnc.saving.load_model(tmp_path / "old.h5")
    np.testing.assert_array_equal(ours.get_weights()[0], kernel)
    assert ours.optimizer.name and float(ours.optimizer.learning_rate.numpy()) == np.float32(0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = keras.saving.load_model(tmp_path / "old.h5", compile=False)
    np.testing.assert_allclose(ours.predict(X, verbose=0), theirs.predict(X, verbose=0), rtol=1e-5)


def test_bfloat16_weights_both_ways(tmp_path):
    def tiny(k):
        return k.Sequential([k.Input((3,)), k.layers.Dense(2, dtype="bfloat16")])

    theirs = tiny(keras)
    theirs.save_weights(tmp_path / "m.weights.h5")
    from nnc.saving import KerasFileEditor

    saved = KerasFileEditor(tmp_path / "m.weights.h5").weights_dict["layers"]["dense"]["0"]
    assert saved.dtype.name == "bfloat16"
    np.testing.assert_array_equal(saved.astype("f"), np.asarray(theirs.weights[0]).astype("f"))
    KerasFileEditor(tmp_path / "m.weights.h5").save(tmp_path / "again.weights.h5")
    theirs.load_weights(tmp_path / "again.weights.h5")
    np.testing.assert_array_equal(saved.astype("f"), np.asarray(theirs.weights[0]).astype("f"))


def test_subclassed_models_both_ways(tmp_path):
    """Layers in attributes behind `layers` in the alphabet are saved below that name."""
    def make(k):
        class Net(k.Model):
            def __init__(self):
                super().__init__()
                self.tail, self.blocks = k.layers.Dense(2), [k.layers.Dense(4), k.layers.Dense(4)]
                self.middle, self._own = k.layers.LayerNormalization(), k.layers.Dense(4)

            def call(self, x):
                x = self._own(self.blocks[0](x) + self.blocks[1](x))
                return self.tail(self.middle(x))

        net = Net()
        net(X)
        return net

    def equal(ours, theirs):
        for a, b in zip(*([w for layer in (net.tail, *net.blocks, net.middle, net._own)
                           for w in layer.weights] for net in (ours, theirs)), strict=True):
            same(a, b, rtol=0, atol=0)

    ours, theirs = make(nnc), make(keras)
    theirs.save_weights(tmp_path / "k.weights.h5")
    ours.load_weights(tmp_path / "k.weights.h5")
    equal(ours, theirs)
    other = make(nnc)
    other.save_weights(tmp_path / "n.weights.h5")
    theirs.load_weights(tmp_path / "n.weights.h5")
    equal(other, theirs)
