"""Files of models: round trips in every format, and what comes back goes on as if nothing were."""
import errno
import io
import json
import os
import warnings
import zipfile

import numpy as np
import pytest

import nnc
from nnc import layers, saving

X = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")


@saving.register_keras_serializable("tests")
class Scale(layers.Layer):
    """A custom layer with a layer in a list and a weight that is not trained."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.parts = [layers.Dense(units), layers.Dense(units)]

    def build(self, input_shape):
        self.count = self.add_weight(shape=(), initializer="ones", trainable=False, name="count")
        self.scale = self.add_weight(shape=(self.units,), initializer="ones", name="scale")
        for part in self.parts:
            part.build(input_shape)

    def call(self, x):
        return (self.parts[0](x) + self.parts[1](x)) * self.scale * self.count

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def make(*more, optimizer="adam"):
    """A trained model."""
    nnc.utils.set_random_seed(3)
    model = nnc.Sequential([nnc.Input((4,)), layers.Dense(5, "relu", kernel_regularizer="l2"),
                            layers.Dropout(0.3), *more, layers.Dense(2, "softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, shuffle=False)
    return model


def go_on(model):
    """Two more epochs; the losses and the weights after them."""
    history = model.fit(X, Y, batch_size=8, epochs=2, verbose=0, shuffle=False)
    return history.history["loss"] + [w.tobytes() for w in model.get_weights()]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop", "adagrad"])
def test_training_goes_on_bit_for_bit(tmp_path, optimizer):
    model = make(Scale(), optimizer=optimizer)
    model.save(tmp_path / "m.keras")
    again = saving.load_model(tmp_path / "m.keras")
    assert again.predict(X, verbose=0).tobytes() == model.predict(X, verbose=0).tobytes()
    assert go_on(again) == go_on(model)             # dropout's masks among it: counters are kept


@pytest.mark.parametrize("name", ["m.weights.h5", "m.weights.json", "m.keras", "m.h5", "m.npz",
                                  "m.safetensors"])
def test_weights(tmp_path, name):
    model, path = make(nnc.Sequential([layers.Dense(3), Scale()])), tmp_path / name
    if name in ("m.keras", "m.h5"):
        model.save(path)
    else:
        model.save_weights(path, max_shard_size=1e-7 if name.endswith("json") else None)
    other = make(nnc.Sequential([layers.Dense(3), Scale()]))
    other.set_weights([w + 1 for w in other.get_weights()])
    if name in ("m.npz", "m.safetensors"):          # these go by the names of layers
        other = model
        before = [w.copy() for w in model.get_weights()]
        other.set_weights([w + 1 for w in before])
        other.load_weights(path)
        assert [w.tobytes() for w in other.get_weights()] == [w.tobytes() for w in before]
        return
    other.load_weights(path)
    assert [w.tobytes() for w in other.get_weights()] == [w.tobytes() for w in model.get_weights()]


def test_paths_are_those_of_keras(tmp_path):
    h5py = pytest.importorskip("h5py")
    model = make(Scale())
    model.save_weights(tmp_path / "m.weights.h5")
    with h5py.File(tmp_path / "m.weights.h5") as file:
        found = []
        file.visititems(lambda name, thing: found.append(name) if hasattr(thing, "shape") else None)
        assert file["layers/scale/vars/0"].shape == (3,)            # trained ones first
        assert file["layers/dense/vars"].attrs["name"] == model.layers[0].name
    assert {"layers/dense/vars/0", "layers/dense_1/vars/1", "layers/scale/parts/dense/vars/0",
            "layers/scale/parts/dense_1/vars/1", "optimizer/vars/0"} <= set(found)


def test_members_and_a_folder(tmp_path):
    model = make()
    model.save(tmp_path / "m.keras")
    model.save(tmp_path / "folder", zipped=False)
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["metadata.json", "config.json", "model.weights.h5"]
        assert "nnc_version" in json.loads(archive.read("metadata.json"))
    again = saving.load_model(tmp_path / "folder")
    assert go_on(again) == go_on(model)
    with open(tmp_path / "m.keras", "rb") as f:
        assert not saving.load_model(f, compile=False).compiled


@pytest.mark.parametrize("width", [5, 300])             # small and large arrays take other ways
def test_open_files(tmp_path, width):
    """A model goes into anything with `write`, at its end, and comes from what can be sought in."""
    model = make(layers.Dense(width), layers.Dense(width))
    memory = io.BytesIO()
    model.save(memory)
    with open(tmp_path / "m", "wb") as f:
        f.write(b"before")
        saving.save_model(model, f)
    memory.seek(0)
    expected = model.predict(X, verbose=0).tobytes()
    wanted = go_on(model)
    again = saving.load_model(memory)
    assert again.predict(X, verbose=0).tobytes() == expected and go_on(again) == wanted
    data = (tmp_path / "m").read_bytes()
    assert data[:6] == b"before" and len(data) == 6 + len(memory.getvalue())
    assert go_on(nnc.models.load_model(io.BytesIO(data[6:]))) == wanted
    with pytest.raises(ValueError, match="`zipped=False` makes a folder"):
        model.save(memory, zipped=False)
    with pytest.raises(ValueError, match="no zip archive"):
        saving.load_model(io.BytesIO(data[6:-100]))

    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "full")
    with pytest.raises(OSError, match="full"):
        model.save(Full())


@pytest.mark.parametrize("name", ["m.weights.h5", "m.keras", "m.h5", "m.safetensors", "m.npz"])
def test_a_disk_that_fails_midway_is_told(tmp_path, monkeypatch, name):
    """Which weights have the file's values by then, and which one may be half read."""
    model = make()
    (model.save if name in ("m.keras", "m.h5") else model.save_weights)(tmp_path / name)
    other = make()
    other.set_weights([w + 1 for w in other.get_weights()])
    before = {v.path: v.numpy() for v in other.weights}
    left = [3]

    def failing(whole):
        def read(*args):
            left[0] -= 1
            if left[0] == 0:
                raise OSError(errno.EIO, "Input/output error")
            return whole(*args)
        return read
    from nnc.saving import arrays, hdf5
    monkeypatch.setattr(hdf5, "into", failing(hdf5.into))
    for kind in vars(arrays).values():
        if isinstance(kind, type) and "into" in vars(kind):
            monkeypatch.setattr(kind, "into", failing(kind.into))
    with pytest.raises(OSError, match="reading failed.*Input/output error") as caught:
        other.load_weights(tmp_path / name)
    changed = [v.path for v in other.weights if (before[v.path] != v.numpy()).any()]
    text = str(caught.value)
    assert changed == [v.path for v in other.weights[:2]] and caught.value.errno == errno.EIO
    assert f"'{other.weights[2].path}' may be half read" in text
    assert "the file's values: " + ", ".join(changed) + "; all others are as they were" in text
    left[0] = 1
    with pytest.raises(OSError, match="reading failed.*may be half read; all others"):
        other.load_weights(tmp_path / name)



def test_schedules_and_shared_objects(tmp_path):
    rate = nnc.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)
    model = make(optimizer=nnc.optimizers.SGD(rate, momentum=0.9))
    shared = nnc.initializers.RandomNormal(seed=4)
    model.layers[0].kernel_initializer = model.layers[2].kernel_initializer = shared
    model.save(tmp_path / "m.keras")
    again = saving.load_model(tmp_path / "m.keras")
    assert again.layers[0].kernel_initializer is again.layers[2].kernel_initializer
    assert go_on(again) == go_on(model)


def test_custom_objects_must_be_known(tmp_path):
    class Plain(layers.Layer):
        def call(self, x):
            return x

    model = nnc.Sequential([nnc.Input((4,)), Plain(), layers.Dense(2)])
    model.save(tmp_path / "m.keras")
    with pytest.raises(TypeError, match="'Plain'"):
        saving.load_model(tmp_path / "m.keras")
    again = saving.load_model(tmp_path / "m.keras", custom_objects={"Plain": Plain})
    assert type(again.layers[0]) is Plain


@pytest.mark.parametrize("suffix", ["weights.h5", "h5", "npz", "safetensors"])
def test_a_file_that_does_not_fit_changes_nothing(tmp_path, suffix):
    model = make()
    (model.save if suffix == "h5" else model.save_weights)(tmp_path / f"m.{suffix}")
    other = nnc.Sequential([nnc.Input((4,)), layers.Dense(5, name=model.layers[0].name),
                            layers.Dense(3, name=model.layers[2].name)])
    before = [w.tobytes() for w in other.get_weights()]
    with pytest.raises(ValueError, match="shape|is not in"):
        other.load_weights(tmp_path / f"m.{suffix}")
    assert [w.tobytes() for w in other.get_weights()] == before


def test_by_name_and_skip_mismatch(tmp_path):
    model = make()
    model.save(tmp_path / "m.h5")
    other = nnc.Sequential([nnc.Input((4,)), layers.Dense(5, name=model.layers[0].name),
                            layers.Dense(7, name="new")])
    other.load_weights(tmp_path / "m.h5", by_name=True)
    assert other.get_weights()[0].tobytes() == model.get_weights()[0].tobytes()
    other = nnc.Sequential([nnc.Input((4,)), layers.Dense(5), layers.Dense(3)])
    with pytest.warns(UserWarning, match="has shape"):
        other.load_weights(tmp_path / "m.h5", skip_mismatch=True)
    assert other.get_weights()[1].tobytes() == model.get_weights()[1].tobytes()


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_names_that_one_side_alone_has(tmp_path, suffix):
    """Refused, unless asked for by name, or for what fits; then that alone changes."""
    def net(*names):
        return nnc.Sequential([nnc.Input((4,)), *(layers.Dense(4, name=name) for name in names)])

    def values(model):
        return {v.path.partition("/")[2]: v.numpy().tobytes() for v in model.weights}

    path, saved = tmp_path / f"m.{suffix}", net("a", "b")
    saved.set_weights([np.full(w.shape, 7) for w in saved.get_weights()])
    saved.save_weights(path)
    for names, text in ((("a", "c"), "'c/kernel' of the model is not in the file"),
                        (("a",), "'b/kernel' of the file is not in the model"),
                        (("a", "b", "c"), "'c/bias' of the model is not in the file")):
        other = net(*names)
        before = values(other)
        with pytest.raises(ValueError, match=f"{text}.*by_name"):
            other.load_weights(path)
        assert values(other) == before
        for options in ({"by_name": True}, {"skip_mismatch": True}):
            other = net(*names)
            before = values(other)
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                other.load_weights(path, **options)
            assert [text in str(one.message) for one in told] == \
                ([] if "by_name" in options else [True])
            want = {name: values(saved).get(name, was) for name, was in before.items()}
            assert values(other) == want != before
    with pytest.warns(UserWarning, match="no weight was set"):
        net("x", "y").load_weights(path, by_name=True)
    other = net("x", "y")                           # no name is the same: in order
    other.load_weights(path)
    assert list(values(other).values()) == list(values(saved).values())
    other = nnc.Sequential([nnc.Input((4,)), layers.Dense(5, name="a"), layers.Dense(4, name="b")])
    with pytest.raises(ValueError, match="'a/kernel' has shape"):
        other.load_weights(path, by_name=True)
    with pytest.warns(UserWarning, match="'a/kernel' has shape"):
        other.load_weights(path, by_name=True, skip_mismatch=True)
    assert values(other)["b/bias"] == values(saved)["b/bias"]


@pytest.mark.parametrize("call, error, text", [
    (lambda m, d: m.save(d / "m.txt"), ValueError, "must end in"),
    (lambda m, d: m.save_weights(d / "m.h5"), ValueError, "must end in"),
    (lambda m, d: m.save_weights(d / "m.weights.h5", max_shard_size=1e-12), ValueError,
     "max_shard"),
    (lambda m, d: m.save(d / "m.keras", format="x"), ValueError, "unknown arguments"),
    (lambda m, d: m.load_weights(d / "no.weights.h5"), FileNotFoundError, "no.weights.h5"),
    (lambda m, d: m.load_weights(d / "m.keras", by_name=True), ValueError, "by_name"),
    (lambda m, d: saving.load_model(d / "no.keras"), ValueError, "not found"),
    (lambda m, d: saving.load_model(d, safe_mode=False), ValueError, "safe_mode"),
    (lambda m, d: nnc.Sequential([layers.Dense(2)]).save_weights(d / "m.weights.h5"), ValueError,
     "no weights yet"),
])
def test_refusals(tmp_path, call, error, text):
    with pytest.raises(error, match=text):
        call(make(), tmp_path)
    assert os.listdir(tmp_path) == []


def test_overwrite(tmp_path):
    model = make()
    model.save(tmp_path / "m.keras")
    with pytest.raises(FileExistsError):
        model.save(tmp_path / "m.keras", overwrite=False)


def test_file_editor(tmp_path):
    model = make()
    model.save(tmp_path / "m.keras")
    editor = saving.KerasFileEditor(tmp_path / "m.keras")
    assert editor.compare(model) == {"status": "success", "error_count": 0, "match_count": 4}
    editor.rename_object("dense_1", "other")
    editor.delete_object("optimizer")
    editor.add_object("layers/new", {"0": np.ones(3)})
    editor.add_weights("new", {"1": np.zeros(2)})
    editor.delete_weight("layers/new", "0")
    # an object is missing, and two are there that the model has not
    assert editor.compare(model)["error_count"] == 3
    editor.save(tmp_path / "e.weights.h5")
    again = saving.KerasFileEditor(tmp_path / "e.weights.h5").weights_dict
    assert sorted(again) == ["layers"] and sorted(again["layers"]) == ["dense", "dropout", "new",
                                                                       "other"]
    assert list(again["layers"]["new"]) == ["1"]


def test_bfloat16_and_large_archives(tmp_path):
    from nnc.saving import arrays
    from nnc.saving.archive import Reader, Window, Writer

    ml_dtypes = pytest.importorskip("ml_dtypes")
    values = {"a": np.arange(6, dtype=ml_dtypes.bfloat16).reshape(2, 3), "b": np.float64(2.5),
              "c": np.zeros((0, 3), "int8"), "d": np.array([True, False])}
    arrays.save(tmp_path / "v.safetensors", values)
    again = arrays.load(tmp_path / "v.safetensors")
    for name, value in values.items():
        assert again[name].dtype == value.dtype and again[name].tobytes() == value.tobytes()
    with open(tmp_path / "z", "w+b") as f:          # a window that grows, and Zip64's fields
        writer = Writer(f)
        with writer.open("a/b") as window:
            window.seek(10)
            window.write(b"xyz")
            window.seek(0)
            window.write(b"0123456789")
        writer.close()
        reader = Reader(f, "z")
        assert reader.read("a/b") == b"0123456789xyz" == reader.open("a/b").read()
        assert isinstance(reader.open("a/b"), Window)


# ---- what classes of the user bring --------------------------------------------------------------

@saving.register_keras_serializable("assets")
class Words(layers.Layer):
    """A layer with a file of its own, and an array that is no variable."""

    def __init__(self, words=(), **kwargs):
        super().__init__(**kwargs)
        self.words, self.table = list(words), np.zeros(2)

    def save_assets(self, folder):
        os.makedirs(os.path.join(folder, "more"))
        for name in ("words.txt", "more/again.txt"):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                f.write("\n".join(self.words))

    def load_assets(self, folder):
        both = []
        for name in ("words.txt", "more/again.txt"):
            with open(os.path.join(folder, name), encoding="utf-8") as f:
                both.append(f.read().split("\n"))
        assert both[0] == both[1]
        self.words = both[0]

    def save_own_variables(self, store):
        store["table"] = self.table

    def load_own_variables(self, store):
        self.table = np.array(store["table"])

    def call(self, x):
        return x

    def get_config(self):
        return super().get_config()


@pytest.mark.parametrize("zipped", [None, False])
def test_assets(tmp_path, zipped):
    words = Words(["ä", "b"], name="words")
    words.table = np.array([3.0, 4.0])
    model = nnc.Sequential([nnc.Input((4,)), layers.Dense(2), words])
    path = tmp_path / "m.keras"
    for _ in range(2):
        model.save(path, zipped=zipped)
        again = saving.load_model(path).layers[-1]
        assert again.words == ["ä", "b"] and again.table.tolist() == [3, 4]
    if zipped is None:
        with zipfile.ZipFile(path) as archive:
            assert {"assets/layers/words/words.txt", "assets/layers/words/more/again.txt"} \
                < set(archive.namelist())
    else:
        os.remove(path / "assets/layers/words/words.txt")
        os.symlink("/etc/passwd", path / "assets/layers/words/words.txt")
        with pytest.raises(ValueError, match="words.txt' refused: it is a link"):
            saving.load_model(path)


def test_assets_and_keras(tmp_path):
    """Keras reads ours, and ours are read as Keras's are."""
    from tests.live import keras

    def words_of(module):
        base = module.layers.Layer

        def init(self, words=(), **kwargs):
            base.__init__(self, **kwargs)
            self.words, self.table = list(words), np.zeros(2)

        kept = ("save_assets", "load_assets", "save_own_variables", "load_own_variables", "call")
        made = type("Both", (base,), {**{name: vars(Words)[name] for name in kept},
                                      "__init__": init, "__module__": "tests.both",
                                      "get_config": lambda self: base.get_config(self)})
        return module.saving.register_keras_serializable("both")(made)

    both = {module: words_of(module) for module in (nnc, keras)}
    for writer, reader in ((nnc, keras), (keras, nnc)):
        words = both[writer](["x", "y"], name="words")
        words.table = np.array([5.0, 6.0])
        writer.Sequential([writer.Input((4,)), writer.layers.Dense(2), words]).save(
            tmp_path / "m.keras")
        again = reader.saving.load_model(tmp_path / "m.keras").layers[-1]
        assert again.words == ["x", "y"] and again.table.tolist() == [5, 6]


@saving.register_keras_serializable("plain")
class Plainly(layers.Layer):
    """Without `get_config`: its arguments are plain values."""

    def __init__(self, units, scale=2.0, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.scale = layers.Dense(units), scale

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return self.dense(x) * self.scale


@saving.register_keras_serializable("plain")
class Narrow(nnc.Model):
    """No `**kwargs`, and a list that holds itself."""

    def __init__(self, units):
        super().__init__()
        self.blocks = [layers.Dense(units)]
        self.blocks.append(self.blocks)

    def call(self, x):
        return self.blocks[0](x)


@saving.register_keras_serializable("plain")
class Compiles(Narrow):
    def compile(self, *args, **kwargs):
        super().compile(*args, **kwargs)


def test_configurations_of_plain_arguments(tmp_path):
    for model in (nnc.Sequential([nnc.Input((4,)), Plainly(3, scale=0.5, name="p")]), Narrow(3)):
        model(X)
        model.save(tmp_path / "m.keras")
        again = saving.load_model(tmp_path / "m.keras")
        again(X)
        np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
    config = Plainly(3, name="p", dtype="float16").get_config()
    assert config["units"] == 3 and config["scale"] == 2.0 and config["name"] == "p"
    assert Narrow(3).get_config() == {"units": 3}
    with pytest.raises(NotImplementedError, match="no plain values"):
        Plainly(2, scale=np.ones(3)).get_config()


def test_compile_that_is_overridden_is_not_called(tmp_path):
    model = Compiles(3)
    model.compile("sgd", "mse")
    model(X)
    model.save(tmp_path / "m.keras")
    with pytest.warns(UserWarning, match="was not called as part of model loading"):
        assert not saving.load_model(tmp_path / "m.keras").compiled


def test_layers_as_activations(tmp_path):
    model = nnc.Sequential([nnc.Input((4,)), layers.Dense(3, activation=layers.LeakyReLU(0.15))])
    model.save(tmp_path / "m.keras")
    again = saving.load_model(tmp_path / "m.keras")
    assert again.layers[-1].activation.negative_slope == 0.15
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))


@saving.register_keras_serializable("plain")
class Grows:
    """No layer, and without `from_config`."""

    def __call__(self, x):
        return x * 2

    def get_config(self):
        return {}


def test_classes_that_cannot_be_made_again(tmp_path):
    model = nnc.Sequential([nnc.Input((4,)), layers.Dense(2, activation=Grows())])
    model.save(tmp_path / "m.keras")
    with pytest.raises(TypeError, match="no `from_config"):
        saving.load_model(tmp_path / "m.keras")


def test_registered_names():
    config = {"class_name": "Dense", "module": "keras.layers", "config": {"units": 1}}
    for name in ("builtins.eval", "pkg>Dense"):
        with pytest.raises(ValueError, match="under which nothing is registered"):
            saving.deserialize_keras_object({**config, "registered_name": name})
    for name in (None, "", "Dense"):
        assert saving.deserialize_keras_object({**config, "registered_name": name}).units == 1

    @saving.register_keras_serializable("some_package")
    def rarely_named(x):
        return x

    for name in ("rarely_named", "some_package>rarely_named"):
        assert saving.deserialize_keras_object({
            "module": "builtins", "class_name": "function", "config": name,
            "registered_name": "function"}) is rarely_named
