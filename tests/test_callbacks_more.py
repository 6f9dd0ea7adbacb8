"""Callbacks that save, send, draw and steer: what they do at which moment."""
import http.server
import json
import shutil
import sys
import threading
import types

import numpy as np
import pytest

import nnc
from live import keras
from nnc import callbacks

X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
Y = X.sum(1, keepdims=True)


class Saving(nnc.Sequential):
    """Notes what is saved instead of saving it."""

    def save(self, path, overwrite=True):
        self.__dict__.setdefault("saved", []).append(path)

    save_weights = save


def model(cls=Saving, **options):
    nnc.utils.set_random_seed(1)
    made = cls([nnc.Input((3,)), nnc.layers.Dense(1)])
    made.compile(**{"optimizer": nnc.optimizers.SGD(0.05), "loss": "mse", **options})
    return made


def fit(m, *given, **options):
    return m.fit(X, Y, **{"batch_size": 10, "epochs": 3, "verbose": 0, "shuffle": False,
                          "callbacks": list(given), **options})


@pytest.mark.parametrize("options, expected", [
    ({"filepath": "m.keras"}, ["m.keras"] * 3),
    ({"filepath": "{epoch:02d}.keras"}, ["01.keras", "02.keras", "03.keras"]),
    ({"filepath": "{epoch}-{batch}.weights.h5", "save_weights_only": True, "save_freq": 6},
     ["2-2.weights.h5", "3-4.weights.h5"]),
    ({"filepath": "{epoch}.keras", "monitor": "loss", "save_best_only": True},
     ["1.keras", "2.keras", "3.keras"]),
    ({"filepath": "{epoch}.keras", "monitor": "loss", "save_best_only": True, "mode": "max"},
     ["1.keras"]),
    ({"filepath": "{epoch}.keras", "monitor": "loss", "save_best_only": True,
      "initial_value_threshold": 0.0}, []),
], ids=range(6))
def test_model_checkpoint(tmp_path, options, expected):
    m = model()
    fit(m, callbacks.ModelCheckpoint(**{**options, "filepath": tmp_path / options["filepath"]}))
    assert [p.rpartition("/")[2] for p in m.__dict__.get("saved", [])] == expected


@pytest.mark.parametrize("options, error, text", [
    ({"filepath": "m.txt"}, ValueError, "end with .keras or .h5"),
    ({"filepath": "m.keras", "save_weights_only": True}, ValueError, "end with .weights.h5"),
    ({"filepath": "m.keras", "save_freq": "day"}, ValueError, "`save_freq` must be"),
    ({"filepath": "{epoch.keras"}, ValueError, "`filepath` is no format"),
    ({"filepath": "{batch}.keras"}, ValueError, "may name {batch} only where `save_freq`"),
], ids=range(5))
def test_model_checkpoint_refuses(options, error, text):
    with pytest.raises(error, match=text):
        callbacks.ModelCheckpoint(**options)


def test_model_checkpoint_says_before_training_what_will_fail(tmp_path):
    m = model()
    before = m.get_weights()[0].copy()
    (tmp_path / "folder.keras").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        fit(m, callbacks.ModelCheckpoint(tmp_path / "folder.keras"))
    np.testing.assert_array_equal(m.get_weights()[0], before)
    with pytest.raises(ValueError, match="val_loss"):
        fit(m, callbacks.ModelCheckpoint(tmp_path / "{val_loss}.keras"))


#: Callbacks that write below a path, and whether what they write grows with the model.
WRITERS = {
    "ModelCheckpoint": (lambda path: callbacks.ModelCheckpoint(f"{path}/m.keras"), True),
    "of weights": (lambda path: callbacks.ModelCheckpoint(f"{path}/m.weights.h5",
                                                          save_weights_only=True), True),
    "with names": (lambda path: callbacks.ModelCheckpoint(f"{path}/{{epoch}}/m.keras"), True),
    "BackupAndRestore": (callbacks.BackupAndRestore, True),
    "CSVLogger": (lambda path: callbacks.CSVLogger(f"{path}/log.csv"), False),
    "TensorBoard": (callbacks.TensorBoard, False),
    "TensorBoard without graph": (lambda path: callbacks.TensorBoard(path, write_graph=False),
                                  False),
}


@pytest.mark.parametrize("name", WRITERS)
def test_what_cannot_be_written_is_refused_before_the_first_step(tmp_path, monkeypatch, name):
    make, grows = WRITERS[name]
    if "TensorBoard" in name:
        pytest.importorskip("tensorboardX")
    (tmp_path / "file").write_text("")
    m = model(nnc.Sequential)

    def refused(error, text, path):
        with pytest.raises(error, match=text):
            fit(m, make(path))
        assert int(m.optimizer.iterations) == 0

    refused(NotADirectoryError, "file", tmp_path / "file" / "sub")
    refused(OSError, "No such file", "/proc/none")
    if grows:
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=8))
        refused(OSError, "the disk of the folder .* is too full: a file needs about", tmp_path)
    if grows and name != "BackupAndRestore":
        monkeypatch.undo()
        monkeypatch.setitem(sys.modules, "h5py", None)
        refused(ImportError, "need h5py: pip install h5py", tmp_path)


def test_swap_ema_weights():
    seen = {}

    def note(name):
        return lambda *_: seen.setdefault(name, []).append(m.get_weights()[0].copy())

    m = model(optimizer=nnc.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.9))
    swap = callbacks.SwapEMAWeights(swap_on_epoch=True)
    fit(m, swap, callbacks.LambdaCallback(on_epoch_end=note("end")))
    plain = model(optimizer=nnc.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.9))
    fit(plain)                                      # ends with the averages in the model
    np.testing.assert_array_equal(m.get_weights()[0], plain.get_weights()[0])
    np.testing.assert_array_equal(seen["end"][-1], m.get_weights()[0])
    first = model(optimizer=nnc.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.9))
    fit(first, epochs=1)
    np.testing.assert_array_equal(seen["end"][0], first.get_weights()[0])
    with pytest.raises(ValueError, match="use_ema"):
        fit(model(), callbacks.SwapEMAWeights())


@pytest.mark.parametrize("as_json", [True, False])
def test_remote_monitor(as_json):
    from urllib import parse

    received = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            received.append(json.loads(text if as_json else parse.parse_qs(text)["data"][0]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    root = f"http://127.0.0.1:{server.server_port}"
    history = fit(model(), callbacks.RemoteMonitor(root, send_as_json=as_json))
    server.shutdown()
    server.server_close()
    assert [r["epoch"] for r in received] == [0, 1, 2]
    assert [r["loss"] for r in received] == history.history["loss"]
    with pytest.warns(UserWarning, match="could not be reached"):
        fit(model(), callbacks.RemoteMonitor(root), epochs=1)


def test_one_cycle_rises_and_falls():
    rates = []
    m = model()
    fit(m, callbacks.OneCycle(0.1, rise=0.5, start_divisor=10, end_divisor=100),
        callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: rates.append(
            float(m.optimizer.learning_rate.numpy()))))
    top = int(np.argmax(rates))
    assert len(rates) == 12 and 4 <= top <= 7
    assert rates[0] == pytest.approx(0.01) and rates[-1] == pytest.approx(0.001)
    assert all(np.diff(rates[:top + 1]) > 0) and all(np.diff(rates[top:]) < 0)
    with pytest.raises(ValueError, match="OneCycle"):
        callbacks.OneCycle(0.0)


def test_lr_find_leaves_the_model_as_it_was():
    m = model()
    before = [v.numpy() for v in (*m.variables, *m.optimizer.variables)]
    found = callbacks.lr_find(m, X, Y, low=1e-4, high=10.0, steps=40, batch_size=10)
    for a, b in zip(before, [v.numpy() for v in (*m.variables, *m.optimizer.variables)]):
        np.testing.assert_array_equal(a, b)
    assert 1e-4 <= found["suggestion"] < 1.0 and len(found["rates"]) == len(found["losses"])
    assert len(callbacks.lr_find(m, X, Y, high=1e-3, steps=10, batch_size=10)["rates"]) == 10
    with pytest.raises(ValueError, match="low"):
        callbacks.lr_find(m, X, Y, low=1.0, high=0.1)


def test_tensorboard_writes_what_keras_names(monkeypatch, tmp_path):
    written = []

    class SummaryWriter:
        def __init__(self, folder):
            self.part = folder.rpartition("/")[2]

        def add_scalar(self, name, value, step):
            written.append((self.part, name, step))

        def add_histogram(self, name, value, step):
            written.append((self.part, "histogram", step))

        flush = close = lambda *_: None

    monkeypatch.setitem(sys.modules, "tensorboardX",
                        types.SimpleNamespace(SummaryWriter=SummaryWriter))
    board = callbacks.TensorBoard(tmp_path, histogram_freq=2, update_freq=3, write_graph=False)
    fit(model(), board, validation_data=(X, Y), epochs=2)
    assert written == [
        ("train", "batch_loss", 3), ("train", "epoch_loss", 0), ("train", "epoch_learning_rate", 0),
        ("validation", "epoch_loss", 0), ("train", "histogram", 0), ("train", "histogram", 0),
        ("train", "batch_loss", 6), ("train", "epoch_loss", 1), ("train", "epoch_learning_rate", 1),
        ("validation", "epoch_loss", 1)]


def read_back(folder):
    """What TensorBoard's own reader finds."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(folder), size_guidance={"images": 0, "histograms": 0})
    return found.Reload()


def branched():
    entry = nnc.Input((6, 6, 1), name="entry")
    inner = nnc.Sequential([nnc.Input((6, 6, 1), name="door"), nnc.layers.Conv2D(3, 3, name="conv"),
                            nnc.layers.Flatten(name="flat")], name="inner")
    hidden = inner(entry)
    out = nnc.layers.Dense(1, name="out")(
        nnc.layers.Add(name="add")([hidden, nnc.layers.Dense(48, name="side")(hidden)]))
    made = nnc.Model(entry, out)
    made.compile("sgd", "mse")
    return made


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_is_keras(tmp_path):
    """The same scalars in the same folders at the same steps, and histograms of as many weights."""
    pytest.importorskip("tensorboardX")
    make_ndarray = pytest.importorskip("tensorboard.util.tensor_util").make_ndarray
    found = []
    for k, name in ((nnc, "ours"), (keras, "theirs")):
        made = k.Sequential([k.Input((3,)), k.layers.Dense(5, activation="tanh"), k.layers.Dense(1)])
        made.set_weights([np.linspace(-1, 1, int(np.prod(w.shape))).reshape(w.shape)
                          for w in made.get_weights()])
        made.compile(k.optimizers.SGD(0.1), "mse", metrics=["mae"])
        made.fit(X, Y, batch_size=8, epochs=3, shuffle=False, verbose=0,
                 validation_data=(X[:8], Y[:8]), callbacks=[k.callbacks.TensorBoard(
                     str(tmp_path / name), histogram_freq=1, write_graph=False, update_freq="epoch")])
        scalars, histograms = {}, {}
        for part in ("train", "validation"):
            read = read_back(tmp_path / name / part)
            for tag in read.Tags()["scalars"]:
                scalars[part, tag] = [(e.step, e.value) for e in read.Scalars(tag)]
            for tag in read.Tags()["tensors"]:                  # as TensorFlow writes them
                values = [(e.step, make_ndarray(e.tensor_proto)) for e in read.Tensors(tag)]
                if values[0][1].ndim == 0:
                    scalars[part, tag] = [(step, float(value)) for step, value in values]
                else:
                    histograms[part, tag] = [step for step, _ in values]
            for tag in read.Tags()["histograms"]:
                histograms[part, tag] = [e.step for e in read.Histograms(tag)]
        found.append((scalars, histograms))
    (ours, our_histograms), (theirs, their_histograms) = found
    written = {key for key in theirs if key[1].startswith("epoch_")}
    assert {key for key in ours if key[1].startswith("epoch_")} == written and len(written) >= 4
    for key in written:
        assert [step for step, _ in ours[key]] == [step for step, _ in theirs[key]] == [0, 1, 2]
        np.testing.assert_allclose([v for _, v in ours[key]], [v for _, v in theirs[key]], rtol=1e-5,
                                   err_msg=str(key))       # three epochs of float32
    assert len(our_histograms) == 4
    assert sorted(our_histograms.values()) == sorted(their_histograms.values())


def test_tensorboard_reads_what_is_written(tmp_path):
    pytest.importorskip("tensorboardX")
    made, x = branched(), np.random.default_rng(0).normal(size=(20, 6, 6, 1)).astype("float32")
    board = callbacks.TensorBoard(tmp_path, histogram_freq=1, write_images=True, update_freq=2,
                                  write_steps_per_second=True)
    history = made.fit(x, np.ones((20, 1)), batch_size=5, epochs=3, verbose=0, callbacks=[board],
                       validation_data=(-x[:5], np.ones((5, 1)))).history
    train, held = read_back(tmp_path / "train"), read_back(tmp_path / "validation")
    for part, name in ((train, "loss"), (held, "val_loss")):
        scalars = part.Scalars("epoch_loss")
        assert [e.step for e in scalars] == [0, 1, 2]
        np.testing.assert_allclose([e.value for e in scalars], history[name], rtol=1e-6)  # float32
    assert [e.step for e in train.Scalars("batch_loss")] == [2, 4, 6, 8, 10, 12]
    assert len(train.Scalars("epoch_steps_per_second")) == 3
    assert set(train.Tags()["histograms"]) == {w.path for w in made.weights}
    last = train.Histograms(made.weights[0].path)[-1].histogram_value
    value = made.weights[0].numpy()
    np.testing.assert_allclose([last.min, last.max, last.num], [value.min(), value.max(), value.size],
                               rtol=1e-6)           # float32
    nodes = {node.name: node for node in train.Graph().node}
    assert {name: list(node.input) for name, node in nodes.items()} == {
        "entry": [], "inner/door": ["entry"], "inner/conv": ["inner/door"],
        "inner/flat": ["inner/conv"], "side": ["inner/flat"], "add": ["inner/flat", "side"], "out": ["add"]}
    assert nodes["inner/conv"].op == "Conv2D"
    image = train.Images(made.get_layer("out").kernel.path)[-1]
    assert (image.width, image.height) == (1, 48)


def test_tensorboard_has_the_graph_of_an_eager_model(tmp_path):
    pytest.importorskip("tensorboardX")

    class Two(nnc.Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = nnc.layers.Dense(3, name="a"), nnc.layers.Dense(1, name="b")

        def call(self, x):
            return self.b(self.a(x))

    made = Two()
    made.compile("sgd", "mse", run_eagerly=True)
    made.fit(X, Y, verbose=0, callbacks=[callbacks.TensorBoard(tmp_path)])
    assert {"a", "b"} <= {node.name for node in read_back(tmp_path / "train").Graph().node}


def reader(sizes=(9, 4)):
    made = nnc.Sequential([nnc.Input((3,), dtype="int32"), nnc.layers.Embedding(*sizes, name="words"),
                           nnc.layers.Flatten(), nnc.layers.Dense(1)])
    made.compile("sgd", "mse")
    return made


def test_embeddings_are_what_the_projector_reads(tmp_path):
    """By the plugin itself: names, tables of all epochs asked for, metadata."""
    pytest.importorskip("tensorboardX")
    projector = pytest.importorskip("tensorboard.plugins.projector.projector_plugin")
    test = pytest.importorskip("werkzeug.test")
    context = pytest.importorskip("tensorboard.plugins.base_plugin").TBContext(logdir=str(tmp_path))
    (tmp_path / "words.tsv").write_text("".join(f"word{i}\n" for i in range(9)))
    made, tables = reader(), []
    note = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: tables.append(made.layers[0].embeddings.numpy()))
    x = np.arange(30).reshape(10, 3) % 9
    made.fit(x, np.ones((10, 1)), epochs=3, verbose=0, callbacks=[note, callbacks.TensorBoard(
        tmp_path, embeddings_freq=2, embeddings_metadata={"words": "words.tsv"})])
    plugin = projector.ProjectorPlugin(context)
    plugin._update_configs()
    assert [e.tensor_name for e in plugin._configs["."].embeddings] == ["words (epoch 0)",
                                                                       "words (epoch 2)"]

    def served(what, epoch):
        request = test.EnvironBuilder(query_string={
            "run": ".", "name": f"words (epoch {epoch})"}).get_environ()
        return b"".join(getattr(plugin, what)(request, lambda *args: None))
    for epoch in (0, 2):
        np.testing.assert_array_equal(
            np.frombuffer(served("_serve_tensor", epoch), "float32").reshape(9, 4), tables[epoch])
    assert served("_serve_metadata", 0).decode().split()[8] == "word8"


def test_embeddings_that_are_not_there(tmp_path):
    pytest.importorskip("tensorboardX")
    for make, options, text in ((model, {}, "needs a model with an `Embedding` layer"),
                                (reader, {"embeddings_metadata": {"other": "a"}}, "'other'")):
        made = make()
        with pytest.raises(ValueError, match=text):
            made.fit(X, Y, verbose=0, callbacks=callbacks.TensorBoard(tmp_path, embeddings_freq=1,
                                                                      **options))
        assert made.optimizer.iterations.numpy() == 0


@pytest.mark.parametrize("shape, images", [
    ((), None), ((5,), (1, 5, 1, 1)), ((5, 3), (1, 3, 5, 1)), ((3, 5), (1, 3, 5, 1)),
    ((3, 4, 1, 2), (2, 3, 4, 1)), ((2, 2, 2, 2), None)])
def test_images_of_weights(shape, images):
    from nnc.callbacks.tensorboard import weight_images

    made = weight_images(np.arange(int(np.prod(shape)), dtype="float32").reshape(shape))
    assert made is None if images is None else made.shape == images and made.min() == 0 \
        and made.max() == 1


def test_live_plot_and_refused_arguments():
    plot = callbacks.LivePlot()
    fit(model(), plot, validation_data=(X, Y))
    assert plot.html().count("<svg") == 1 and "val_loss" in plot.html()
    with pytest.raises(ValueError, match="update_freq"):
        callbacks.TensorBoard(update_freq=0)
    with pytest.raises(NotImplementedError, match="profile_batch.*nnc.profile"):
        callbacks.TensorBoard(profile_batch=2)
    with pytest.raises(ValueError, match="`embeddings_metadata` needs `embeddings_freq`"):
        callbacks.TensorBoard(embeddings_metadata="words.tsv")


@pytest.mark.parametrize("seconds, expected", [(0.0625, 4), (0.5, 18), (2.0, 18)])
def test_live_plot_updates_one_display_twice_a_second(monkeypatch, seconds, expected):
    """Seventeen epochs by a clock of the test's: updates in place, and one at the end."""
    now, shown, updated = [100.0], [], []
    handle = types.SimpleNamespace(update=lambda html: updated.append((now[0], html)))
    ipython = types.ModuleType("IPython.display")
    ipython.HTML = lambda text: text
    ipython.display = lambda html, display_id: shown.append((now[0], html)) or handle
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", ipython)
    monkeypatch.setattr("nnc.progress.display_kind", lambda: "notebook")
    monkeypatch.setattr("nnc.callbacks.live_plot.time",
                        types.SimpleNamespace(monotonic=lambda: now[0]))
    plot = callbacks.LivePlot()
    plot.on_train_begin()
    for epoch in range(17):
        plot.on_epoch_end(epoch, {"loss": 1.0 / (epoch + 1)})
        now[0] += seconds
    plot.on_train_end()
    times = [at for at, _ in shown + updated]
    assert len(shown) == 1 and all(html.count("<svg") == 1 for _, html in shown + updated)
    assert min(b - a for a, b in zip(times, times[1:-1])) >= 0.5
    assert len(times) == expected and updated[-1][1] == plot.html()


# ---- the history, and what fit adds to Keras -----------------------------------------------------

def test_history_as_table_and_file(tmp_path):
    pandas = pytest.importorskip("pandas")
    m = model()
    one = fit(m, epochs=2)
    first = dict(one.history)
    two = fit(m, epochs=3, initial_epoch=2, validation_data=(X, Y))
    both = one + two
    assert both.epoch == [0, 1, 2] and both.history["loss"] == first["loss"] + two.history["loss"]
    assert np.isnan(both.history["val_loss"][:2]).all() and len(both.history["val_loss"]) == 3
    table = both.to_pandas()
    assert isinstance(table, pandas.DataFrame) and table.index.tolist() == [1, 2, 3]
    both.save(tmp_path / "h.json")
    again = callbacks.History.load(tmp_path / "h.json")
    assert again.epoch == both.epoch and again.history["loss"] == both.history["loss"]
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(ValueError, match="holds no history"):
        callbacks.History.load(tmp_path / "other.json")
    with pytest.raises(TypeError):
        one + 3


def test_keep_best_ends_with_the_best_weights():
    kept = []
    note = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: kept.append((logs["loss"], m.get_weights()[0].copy())))
    m = model(optimizer=nnc.optimizers.SGD(2.0))    # so large a rate that it diverges
    fit(m, note, epochs=4, keep="best")
    best = min(kept, key=lambda pair: pair[0])
    np.testing.assert_array_equal(m.get_weights()[0], best[1])
    assert kept[-1][0] > best[0]
    with pytest.raises(ValueError, match="`keep` must be"):
        fit(m, keep="worst")


def test_limits_of_epochs_and_steps():
    nnc.config.set_max_epochs(2)
    nnc.config.set_max_steps_per_epoch(3)
    try:
        m = model()
        with pytest.warns(UserWarning, match="gave 1 of the 3 batches"):
            assert fit(m, epochs=9).epoch == [0, 1]
        assert m.optimizer.iterations.numpy() == 4      # three of the pass, and the last one
        assert m.evaluate(X, Y, batch_size=10, verbose=0) == m.evaluate(
            X[:30], Y[:30], batch_size=10, verbose=0)
        assert len(m.predict(X, batch_size=10, verbose=0)) == 30
    finally:
        nnc.config.set_max_epochs(None)
        nnc.config.set_max_steps_per_epoch(None)
    with pytest.raises(ValueError, match="set_max_epochs"):
        nnc.config.set_max_epochs(0)


def test_functions_for_loops_of_ones_own():
    a, b = model(), model()
    step, batches = a.make_train_function(), iter([(X[:10], Y[:10]), (X[10:20], Y[10:20])])
    first, second = step(batches), step(batches)
    fit(b, epochs=1, steps_per_epoch=2)
    np.testing.assert_array_equal(a.get_weights()[0], b.get_weights()[0])
    assert set(first) == {"loss"} and second["loss"] == b.history.history["loss"][0]
    tested = a.make_test_function()
    a.reset_metrics()
    assert tested(iter([(X, Y)]))["loss"] == pytest.approx(a.evaluate(X, Y, verbose=0), rel=1e-6)
    np.testing.assert_array_equal(a.make_predict_function()(iter([(X,)])), a.predict(X, verbose=0))
    with pytest.raises(StopIteration):
        step(batches)


# ---- names in the file names of checkpoints ------------------------------------------------------

class _Adds(nnc.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["mine"] = 1.0


#: A name in braces, what `fit` and the checkpoint are given besides, and what the error says; `None`:
#: there is none before the first step.
CHECKPOINT_NAMES = {
    "misspelt": ("acuracy", {}, {}, "asks for 'acuracy', which is not among .*'accuracy'"),
    "metric": ("accuracy:.2f", {}, {}, None),
    "epoch and loss": ("epoch:02d}-{loss[0]", {"validation_split": 0.5}, {}, None),
    "validation": ("val_accuracy", {"validation_split": 0.5}, {}, None),
    "no validation": ("val_loss", {}, {}, "asks for 'val_loss'.* There is no validation"),
    "batch": ("batch}-{loss", {}, {"save_freq": 1}, None),
    "validation, of batches": ("val_loss", {"validation_split": 0.5}, {"save_freq": 1},
                               "asks for 'val_loss'"),
    "rate": ("learning_rate", {"callbacks": [
        nnc.callbacks.ReduceLROnPlateau(monitor="loss")]}, {}, None),
    "no rate": ("learning_rate", {}, {}, "asks for 'learning_rate'"),
    "added by a callback": ("mine", {"callbacks": [_Adds()]}, {}, None),
    "no name": ("", {}, {}, "asks for ''"),
}


@pytest.mark.parametrize("name", CHECKPOINT_NAMES)
def test_names_of_checkpoints_are_checked_before_the_first_step(name, tmp_path):
    text, given, options, expected = CHECKPOINT_NAMES[name]
    model = nnc.Sequential([nnc.Input((2,)), nnc.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    before = model.get_weights()[0]
    checkpoint = nnc.callbacks.ModelCheckpoint(tmp_path / f"a{{{text}}}.keras", **options)

    def run():
        model.fit(np.ones((8, 2), "float32"), np.zeros(8, "int32"), verbose=0, batch_size=4,
                  **{**given, "callbacks": [*given.get("callbacks", ()), checkpoint]})
    if expected is None:
        if "[" in text:
            with pytest.raises(TypeError, match="not subscriptable"):   # a number has no parts
                run()
        else:
            run()
            assert list(tmp_path.iterdir())
    else:
        with pytest.raises(ValueError, match=expected):
            run()
        np.testing.assert_array_equal(model.get_weights()[0], before)


def test_a_name_that_only_a_step_can_tell_is_missed_after_it(tmp_path):
    model = nnc.Sequential([nnc.Input((2,)), nnc.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    checkpoint = nnc.callbacks.ModelCheckpoint(tmp_path / "a{accuracy}.keras")
    with pytest.raises(KeyError, match="asks for 'accuracy', which is not among .*'loss'"):
        model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0, callbacks=[checkpoint])
