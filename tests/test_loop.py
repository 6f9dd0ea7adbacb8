"""The loop's costs and memory: logs between batches, mapped files, predict of one row."""
import subprocess
import sys

import numpy as np
import pytest

import nnc
from nnc.data.mapped import give_back, large_mapping

X = np.random.default_rng(0).normal(size=(64, 5)).astype("float32")
Y = np.random.default_rng(1).integers(0, 3, 64)


def network(metrics, **compiled):
    nnc.utils.set_random_seed(1)
    model = nnc.Sequential([nnc.Input((5,)), nnc.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=metrics, **compiled)
    return model


class Own(nnc.metrics.Mean):
    """A metric whose result is more than its variables."""

    factor = 1.0

    def result(self):
        return super().result() * self.factor


@pytest.mark.parametrize("metrics, compiled", [
    (["accuracy"], {}),
    (None, {}),
    (["accuracy", "sparse_top_k_categorical_accuracy"], {"steps_per_execution": 3}),
    ([nnc.metrics.MeanMetricWrapper(lambda t, p: nnc.ops.max(p, axis=-1), name="own")], {}),
    (["accuracy"], {"run_eagerly": True}),
], ids=["accuracy", "loss", "grouped", "wrapper", "eager"])
def test_logs_of_batches_are_the_metrics(metrics, compiled):
    """The program that reads the metrics gives the bits that they give one by one."""
    model, pairs = network(metrics, **compiled), []

    def end(batch, logs):
        pairs.append((logs, {name: float(v) for name, v in model.get_metrics_result().items()}))
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0,
              callbacks=[nnc.callbacks.LambdaCallback(on_train_batch_end=end)])
    assert len(pairs) == (16 if "steps_per_execution" not in compiled else 6)
    assert all(logs == wanted for logs, wanted in pairs)
    assert len({logs["loss"] for logs, _ in pairs}) == len(pairs)


def test_logs_of_a_metric_of_ones_own_are_read_from_it():
    own = Own(name="own")

    class Model(nnc.Sequential):
        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            own.update_state(y_pred)
            return {**super().compute_metrics(x, y, y_pred, sample_weight)}

        @property
        def metrics(self):
            return [*super().metrics, own]

    model = Model([nnc.Input((5,)), nnc.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    seen = []

    def end(batch, logs):
        own.factor = float(batch)
        seen.append(model.get_metrics_result()["own"] if batch else 0.0)
        logs_seen.append(logs["own"])
    logs_seen = []
    model.fit(X, Y, batch_size=8, verbose=0, shuffle=False,
              callbacks=[nnc.callbacks.LambdaCallback(on_train_batch_end=end)])
    # The factor that the callback set after the batch before shows in the logs of the next one.
    assert logs_seen[5] / logs_seen[6] == pytest.approx(4 / 5, rel=1e-5)


def test_hooks_that_nobody_has_are_not_called():
    from nnc.callbacks.callback_list import CallbackList

    only_end = nnc.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    found = CallbackList([only_end, nnc.callbacks.History()])
    assert found.batch_caller("on_train_batch_begin") is None
    assert found.batch_caller("on_train_batch_end") is not None

    class Older(nnc.callbacks.Callback):
        def on_batch_end(self, batch, logs=None):
            seen.append((batch, logs))
    seen = []
    CallbackList([Older()]).batch_caller("on_train_batch_end")(3, {"loss": np.float32(2)})
    assert seen == [(3, {"loss": 2.0})]

    class Whole(CallbackList):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(batch)
    Whole([]).batch_caller("on_train_batch_end")(4)
    assert seen[-1] == 4


def mapped_file(folder, mode="r", rows=20000):
    path = folder / "x.bin"
    with open(path, "ab") as f:
        f.truncate(rows * 4000)
    return np.memmap(path, "float32", mode, shape=(rows, 1000))


@pytest.mark.parametrize("mode, given_back", [("r", True), ("r+", True), ("c", False)])
def test_which_mappings_are_given_back(tmp_path, mode, given_back):
    """Views count too; what is written to a private mapping must not be lost."""
    x = mapped_file(tmp_path, mode)
    for view in (x, x[10:], np.asarray(x), np.asarray(x)[5:15000], x.reshape(-1, 10)):
        assert (large_mapping(view) is not None) == given_back
    assert large_mapping(np.zeros(3)) is None and large_mapping(x[:10]) is None
    if mode != "r":
        x[7] = 5.0
    if given_back:
        give_back(large_mapping(np.asarray(x)))
    assert x[7, 3] == (0.0 if mode == "r" else 5.0)


CODE = """
import sys, numpy as np, nnc
def high():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM")) // 1024
x = np.memmap(sys.argv[1], "float32", "r", shape=(100000, 1000))
y = np.arange(100000) % 3
model = nnc.Sequential([nnc.Input((1000,)), nnc.layers.Dense(3, activation="softmax")])
model.compile("sgd", "sparse_categorical_crossentropy")
model.fit(x[:64], y[:64], verbose=0)
first = high()
model.fit(x, y, batch_size=100, shuffle=sys.argv[2] == "True", verbose=0, steps_per_epoch=500)
model.evaluate(x, y, batch_size=100, steps=300, verbose=0)
model.predict(x[:50000], batch_size=100, verbose=0)
print(high() - first)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_mapped_file_does_not_stay_resident(tmp_path, shuffle):
    """400 MB are read here of 400 MB; the budget of pages is 32 MB. In a random order each row
    can map in a large page of the system's cache."""
    mapped_file(tmp_path, rows=100000)
    done = subprocess.run([sys.executable, "-c", CODE, str(tmp_path / "x.bin"), str(shuffle)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 200


@pytest.mark.parametrize("shuffle", [True, False, "batch"])
def test_training_from_a_mapped_file_is_training(tmp_path, shuffle):
    """How rows are read changes no bit."""
    x = mapped_file(tmp_path, "r+", rows=9000)
    x[:, :50] = np.random.default_rng(0).normal(size=(9000, 50))
    y = np.arange(9000) % 3

    def trained(x):
        nnc.utils.set_random_seed(3)
        model = nnc.Sequential([nnc.Input((1000,)), nnc.layers.Dense(3, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        history = model.fit(x, y, epochs=2, batch_size=128, verbose=0, validation_split=0.1,
                            shuffle=shuffle, class_weight={0: 2.0})
        return history.history, model.predict(x, verbose=0)
    ours, other = trained(x), trained(np.array(x))
    assert ours[0] == other[0]
    np.testing.assert_array_equal(ours[1], other[1])


def resident_kib():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_predict_of_one_row_keeps_memory_flat():
    model = network(None)
    for _ in range(2000):
        model.predict(X[:1], verbose=0)
    before = resident_kib()
    for _ in range(100_000):
        model.predict(X[:1], verbose=0)
    assert resident_kib() - before < 512            # KiB: 5 bytes a call at most
