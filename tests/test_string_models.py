"""Models with inputs of strings: training, files both ways with Keras, what cannot be."""
import copy
import pickle
import zipfile

import numpy as np
import pytest

import nnc
from tests.live import keras

L = nnc.layers
RNG = np.random.default_rng(3)
TEXTS = np.array([" ".join(RNG.choice(list("abcde"), RNG.integers(1, 7))) for _ in range(90)])
Y = np.array([text.count("a") > 1 for text in TEXTS], "float32")
TABLE = {"s": RNG.choice(list("abc"), 90), "n": RNG.normal(size=(90, 2)).astype("float32"),
         "i": RNG.integers(0, 9, 90)}


def text_model(length, K=nnc, adapt=True):
    layer = K.layers.TextVectorization(output_sequence_length=length)
    layer.adapt(TEXTS)
    return K.Sequential([K.Input((1,), dtype="string"), layer, K.layers.Embedding(8, 4),
                         K.layers.GlobalAveragePooling1D(), K.layers.Dense(1)])


def table_model(K=nnc):
    s, n = K.Input((1,), dtype="string", name="s"), K.Input((2,), name="n")
    i = K.Input((1,), dtype="int64", name="i")
    lookup = K.layers.StringLookup(output_mode="one_hot")
    lookup.adapt(TABLE["s"])
    x = K.layers.Concatenate()([
        lookup(s), n, K.layers.HashedCrossing(7, output_mode="one_hot")([s, i]),
        K.layers.Hashing(5, output_mode="one_hot")(s)])
    return K.Model({"s": s, "n": n, "i": i}, K.layers.Dense(2)(x))


@pytest.mark.parametrize("length", [5, None])
def test_training_on_text(length):
    model = text_model(length)
    rest = nnc.Sequential(model.layers[1:])         # the same weights behind the text
    ids = model.layers[0](TEXTS).numpy()
    model.compile("sgd", "mse")
    nnc.utils.set_random_seed(1)
    history = model.fit(TEXTS, Y, epochs=2, verbose=0, batch_size=90, shuffle=False)
    twin = text_model(length)
    twin.layers[0].set_vocabulary(model.layers[0].get_vocabulary())
    rest.compile("sgd", "mse")
    np.testing.assert_array_equal(model.predict(TEXTS, verbose=0, batch_size=90),
                                  rest.predict(ids, verbose=0, batch_size=90))
    assert history.history["loss"][1] < history.history["loss"][0]
    assert model.evaluate(TEXTS, Y, verbose=0, batch_size=90) == pytest.approx(
        rest.evaluate(ids, Y, verbose=0, batch_size=90), abs=0)
    np.testing.assert_array_equal(model(TEXTS), model.predict(TEXTS, verbose=0, batch_size=90))


@pytest.mark.parametrize("form", [lambda t: t, lambda t: t[:, None], lambda t: t.tolist(),
                                  lambda t: t.astype(object), lambda t: t.astype("S")])
def test_forms_of_text(form):
    model = text_model(6)
    np.testing.assert_array_equal(model.predict(form(TEXTS), verbose=0),
                                  model.predict(TEXTS, verbose=0))
    np.testing.assert_array_equal(model(form(TEXTS)), model(TEXTS))


def test_text_in_batches_of_a_generator():
    def batches():
        for first in range(0, 90, 30):
            yield TEXTS[first:first + 30], Y[first:first + 30]

    one, two = text_model(6), text_model(6)
    two.set_weights(one.get_weights())
    for model in (one, two):
        model.compile("sgd", "mse")
    one.fit(TEXTS, Y, batch_size=30, shuffle=False, epochs=1, verbose=0)
    two.fit(batches(), epochs=1, verbose=0)
    for a, b in zip(one.get_weights(), two.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert one.train_on_batch(TEXTS[:9], Y[:9]) == two.train_on_batch(TEXTS[:9].tolist(), Y[:9])
    np.testing.assert_array_equal(one.predict_on_batch(TEXTS), two.predict_on_batch(TEXTS))


def test_a_table_with_columns_of_both_kinds():
    model = table_model()
    model.compile("sgd", "mse")
    y = RNG.normal(size=(90, 2))
    model.fit(TABLE, y, epochs=2, verbose=0, validation_split=0.2, shuffle=True)
    out = model.predict(TABLE, verbose=0)
    np.testing.assert_allclose(out, model(TABLE), rtol=1e-6, atol=1e-6)   # another batch size
    pandas = pytest.importorskip("pandas")
    one = nnc.Input((1,), name="n")
    s = nnc.Input((1,), dtype="string", name="s")
    frame = pandas.DataFrame({"s": TABLE["s"], "n": TABLE["n"][:, 0]})
    small = nnc.Model([s, one], L.Concatenate()([L.Hashing(3, output_mode="one_hot")(s), one]))
    np.testing.assert_array_equal(small.predict(frame, verbose=0), small.predict(
        [TABLE["s"], TABLE["n"][:, :1]], verbose=0))


def test_a_sequential_without_input_is_built_by_what_comes():
    for x in (TEXTS, np.arange(90)):
        model = nnc.Sequential([L.Hashing(10), L.Embedding(10, 3), L.Flatten(), L.Dense(1)])
        model.compile("sgd", "mse")
        model.fit(x[:, None], Y, verbose=0)
        np.testing.assert_array_equal(model.predict(x[:, None], verbose=0, batch_size=90),
                                      model(x[:, None]))


@pytest.mark.parametrize("make", [lambda K: text_model(5, K), table_model], ids=["text", "table"])
def test_files_go_both_ways(make, tmp_path):
    import tensorflow as tf

    ours, other = make(nnc), make(keras)
    data = TEXTS if isinstance(ours, nnc.Sequential) else TABLE
    theirs = tf.constant(TEXTS[:, None]) if data is TEXTS else {
        key: tf.constant(value if value.ndim == 2 else value[:, None])
        for key, value in TABLE.items()}
    ours.save(tmp_path / "ours.keras")
    other.save(tmp_path / "theirs.keras")
    wanted = ours.predict(data, verbose=0)
    for found in (keras.saving.load_model(tmp_path / "ours.keras").predict(theirs, verbose=0),
                  nnc.saving.load_model(tmp_path / "ours.keras").predict(data, verbose=0),
                  copy.deepcopy(ours).predict(data, verbose=0),
                  pickle.loads(pickle.dumps(ours)).predict(data, verbose=0)):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)     # float32, two libraries
    np.testing.assert_allclose(
        nnc.saving.load_model(tmp_path / "theirs.keras").predict(data, verbose=0),
        other.predict(theirs, verbose=0), rtol=1e-5, atol=1e-6)
    ours.save(tmp_path / "folder", zipped=False)
    np.testing.assert_array_equal(
        nnc.saving.load_model(tmp_path / "folder").predict(data, verbose=0), wanted)
    with zipfile.ZipFile(tmp_path / "ours.keras") as a, zipfile.ZipFile(
            tmp_path / "theirs.keras") as b:
        assert set(a.namelist()) == set(b.namelist())


def test_damaged_assets_are_refused(tmp_path):
    layer = L.StringLookup()
    layer.adapt(["a", "b"])
    model = nnc.Sequential([nnc.Input((1,), dtype="string"), layer])
    path = tmp_path / "m.keras"
    model.save(path)
    for data in (None, b"\xff\xfe", b"[UNK]\na\na\n"):
        broken = tmp_path / "broken.keras"
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(broken, "w") as new:
            for name in old.namelist():
                if not name.startswith("assets"):
                    new.writestr(name, old.read(name))
                elif data is not None:
                    new.writestr(name, data)
        with pytest.raises(ValueError, match="string_lookup"):
            nnc.saving.load_model(broken)
    with pytest.raises(ValueError, match="h5"):
        model.save(tmp_path / "m.h5")
    layer.set_vocabulary(["a\nb"])
    with pytest.raises(ValueError, match="end of a line"):
        model.save(path)


def test_what_cannot_be_is_refused_by_name():
    s = nnc.Input((1,), dtype="string", name="s")
    number = L.Dense(1, name="number")(nnc.Input((1,)))
    lookup = L.StringLookup(vocabulary=["a"])
    for call, text in ((lambda: L.Dense(1, name="dense")(s), "'dense'"),
                       (lambda: s + 1, "string"), (lambda: nnc.ops.sum(s), "string"),
                       (lambda: L.Concatenate()([s, s]), "string"),
                       (lambda: lookup(number), "string"),
                       (lambda: L.StringLookup(vocabulary=["a"], invert=True)(number), "invert")):
        with pytest.raises(ValueError, match=text):
            call()
    ids = L.IntegerLookup(vocabulary=[1])(number)
    inputs = [number._keras_history.operation.input, s]
    with pytest.raises(ValueError, match="takes strings"):
        nnc.Model(inputs, L.HashedCrossing(3)([s, ids]))
    model = nnc.Model(s, lookup(s))
    for x, error in ((np.ones((2, 1)), TypeError), (np.array([["a", "b"]]), ValueError),
                     (np.array([[None]], object), TypeError)):
        with pytest.raises(error):
            model(x)
        with pytest.raises(error):
            model.predict(x, verbose=0)
    with pytest.raises(NotImplementedError, match="strings"):
        model.export("m.c", format="c")
    with pytest.raises(TypeError, match="strings"):
        nnc.Sequential([nnc.Input((1,)), L.Dense(1)]).predict(np.array([["a"]]))


def test_a_model_of_ones_own_takes_strings_when_called():
    class Own(nnc.Model):
        def __init__(self):
            super().__init__()
            self.hash, self.dense = L.Hashing(5, output_mode="one_hot"), L.Dense(2)

        def call(self, x):
            return self.dense(self.hash(x))

    model = Own()
    np.testing.assert_array_equal(model(TEXTS[:, None]), model(TEXTS[:, None].tolist()))
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match="strings"):
        model.fit(TEXTS[:, None], np.zeros((90, 2)), verbose=0)


def test_reports_and_profiles():
    for length in (5, None):
        model = text_model(length)
        model = nnc.Sequential([nnc.Input((1,), dtype="string"), *model.layers[:-1],
                                L.Dense(2, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        assert nnc.report(model, TEXTS, Y.astype(int)).confusion.sum() == 90
        assert nnc.profile(model, TEXTS, Y.astype(int)) is not None
        with pytest.raises(ValueError, match="one array"):
            model.fit([TEXTS, TEXTS], Y, verbose=0)


def test_a_model_in_a_model():
    s = nnc.Input((1,), dtype="string")
    inner = nnc.Model(s, L.Hashing(6, output_mode="one_hot")(s))
    outer = nnc.Sequential([nnc.Input((1,), dtype="string"), inner, L.Dense(2)])
    np.testing.assert_array_equal(outer.predict(TEXTS, verbose=0, batch_size=90), outer(TEXTS))
    trained = nnc.Model(s, L.Dense(1)(L.Hashing(6, output_mode="one_hot")(s)))
    t = nnc.Input((1,), dtype="string")
    with pytest.raises(ValueError, match="weights that are trained"):
        nnc.Model(t, trained(t))
