"""FeatureSpace against Keras: columns of every type, crosses, files both ways; its errors."""
import json

import numpy as np
import pytest

import nnc
from tests.live import keras, plain

RNG = np.random.default_rng(0)
N = 150
DATA = {"f": RNG.normal(size=N).astype("float32"), "g": RNG.normal(2, 3, N).astype("float32"),
        "d": RNG.normal(size=N).astype("float32"), "r": RNG.normal(size=N).astype("float32"),
        "s": RNG.choice(list("abcde"), N), "i": RNG.integers(0, 6, N),
        "h": RNG.integers(0, 100, N), "t": RNG.choice(["x", "yy", "z"], N)}
FEATURES = {"f": lambda F: "float", "g": lambda F: "float_normalized",
            "d": lambda F: F.float_discretized(5), "r": lambda F: F.float_rescaled(2.0, 1.0),
            "s": lambda F: F.string_categorical(max_tokens=4),
            "i": lambda F: "integer_categorical", "h": lambda F: "integer_hashed",
            "t": lambda F: F.string_hashed(7)}


def space(K, mode="concat", crosses=True, names=FEATURES):
    F = K.utils.FeatureSpace
    return F({name: FEATURES[name](F) for name in names}, output_mode=mode, crosses=[
        ("s", "i"), F.cross(("h", "t"), 9)] if crosses else None)


def close(ours, other):
    """atol: a mean and a variance of 150 numbers, in float64 and in float32."""
    ours, other = np.asarray(ours), np.asarray(other)
    assert ours.shape == other.shape
    np.testing.assert_allclose(ours, other, rtol=0, atol=2e-6)


def test_columns_joined():
    ours, other = space(nnc), space(keras)
    ours.adapt(DATA)
    other.adapt(DATA)
    close(ours(DATA), other(DATA))
    one = {name: column[0].item() for name, column in DATA.items()}
    close(ours(one), other(DATA)[0])
    close(ours({name: column[:, None] for name, column in DATA.items()}), other(DATA))


def test_columns_apart():
    for names in (FEATURES, ("s", "i", "h", "t")):
        ours, other = (space(K, "dict", names=names) for K in (nnc, keras))
        ours.adapt(DATA)
        other.adapt(DATA)
        part = {name: DATA[name] for name in names}
        a, b = ours(part), other(part)
        assert set(a) == set(b)
        for name in a:
            close(a[name], b[name])


def test_configurations_are_keras():
    ours, other = space(nnc), space(keras)
    mine, wanted = (json.loads(json.dumps(plain(s.get_config()))) for s in (ours, other))
    for config in (mine, wanted):
        for feature in config["features"].values():
            inner = feature["config"]["preprocessor"]
            inner.pop("build_config", None)
            if "TFD" in inner["class_name"]:            # Keras's has no module but its own
                inner.pop("registered_name"), inner.pop("module")
    assert mine == wanted


def test_files_go_both_ways(tmp_path):
    ours, other = space(nnc), space(keras)
    ours.adapt(DATA)
    other.adapt(DATA)
    ours.save(tmp_path / "ours.keras")
    other.save(tmp_path / "theirs.keras")
    for loaded in (nnc.saving.load_model(tmp_path / "ours.keras"),
                   nnc.saving.load_model(tmp_path / "theirs.keras"),
                   keras.saving.load_model(tmp_path / "ours.keras")):
        close(loaded(DATA), other(DATA))


def test_a_model_takes_the_table(tmp_path):
    made = space(nnc)
    made.adapt(DATA)
    model = nnc.Model(made.get_inputs(), nnc.layers.Dense(1)(made.get_encoded_features()))
    model.compile("adam", "mse")
    losses = model.fit(DATA, DATA["f"], epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    close(model.predict(DATA, verbose=0), model(DATA))
    inner = nnc.Sequential([nnc.Input((made(DATA).shape[-1],)), model.layers[-1]])
    close(model.predict(DATA, verbose=0), inner.predict(made(DATA).numpy(), verbose=0))
    model.save(tmp_path / "m.keras")
    loaded = nnc.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.predict(DATA, verbose=0), model.predict(DATA, verbose=0))
    import tensorflow as tf

    theirs = keras.saving.load_model(tmp_path / "m.keras")
    close(theirs.predict({k: tf.constant(v[:, None]) for k, v in DATA.items()}, verbose=0),
          model.predict(DATA, verbose=0))


def test_sources_to_adapt_to():
    wanted = space(nnc)
    wanted.adapt(DATA)
    rows = [{name: column[k] for name, column in DATA.items()} for k in range(N)]
    sets = [rows, ({name: column[k:k + 32] for name, column in DATA.items()}
                   for k in range(0, N, 32))]
    pandas = pytest.importorskip("pandas")
    for data in (*sets, pandas.DataFrame(DATA)):
        made = space(nnc)
        made.adapt(data)
        close(made(DATA), wanted(DATA))


def test_a_layer_of_ones_own():
    F = nnc.utils.FeatureSpace
    texts = ["first words", "second words", "third"]
    made = F({"t": F.feature("string", nnc.layers.TextVectorization(output_mode="tf_idf"),
                             "float")})
    made.adapt({"t": texts})
    other = keras.utils.FeatureSpace({"t": keras.utils.FeatureSpace.feature(
        "string", keras.layers.TextVectorization(output_mode="tf_idf"), "float")})
    other.adapt({"t": texts})
    close(made({"t": texts}), other({"t": texts}))


def test_errors_name_what_is_wrong():
    F = nnc.utils.FeatureSpace
    fresh = F({"a": "float_normalized"})
    ready = F({"a": "float", "b": "string_hashed"})
    for call, error, text in (
            (lambda: F({}), ValueError, "features"), (lambda: F({"a": "number"}), ValueError, "'a'"),
            (lambda: F({"a": "float"}, output_mode="list"), ValueError, "output_mode"),
            (lambda: F({"a": "float"}, crosses=[("a", "z")]), ValueError, "z"),
            (lambda: F.cross(("a", "b"), 3, output_mode="float"), ValueError, "output_mode"),
            (lambda: F.feature("float32", None, "all"), ValueError, "output_mode"),
            (lambda: fresh({"a": [1.0]}), ValueError, "adapt"),
            (lambda: fresh.adapt({"b": [1.0]}), ValueError, "'a'"),
            (lambda: fresh.adapt([[1.0]]), ValueError, "dicts"),
            (lambda: fresh.adapt(3), ValueError, "int"),
            (lambda: ready([1.0]), ValueError, "dict"),
            (lambda: ready({"a": [1.0]}), ValueError, "'b'"),
            (lambda: ready({"a": [1.0], "b": [None]}), TypeError, "'b'"),
            (lambda: F({"a": F.integer_hashed(3, output_mode="int")}).get_inputs(), ValueError,
             "output_mode='dict'")):
        with pytest.raises(error, match=text):
            call()
