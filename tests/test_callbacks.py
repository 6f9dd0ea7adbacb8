"""Callbacks: hooks and their order, logs, and what each callback does, beside Keras itself."""
import csv
import io
import os
import sys
import warnings

import numpy as np
import pytest

import nnc
from nnc import callbacks
from nnc.callbacks.callback import HOOKS

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


class Model:
    """What callbacks see of a model, with losses that the test chooses."""

    class _Optimizer:
        learning_rate = 0.1

    def __init__(self):
        self.stop_training = False
        self.optimizer = self._Optimizer()
        self.metrics = []
        self.history = None
        self.weights = [np.zeros(1)]

    def get_weights(self):
        return [w.copy() for w in self.weights]

    def set_weights(self, weights):
        self.weights = [w.copy() for w in weights]


def drive(cls, callback, values, name="val_loss"):
    """Feeds one value an epoch to a callback; returns (epochs run, final weight, rates)."""
    model, rates = Model(), []
    callback.set_model(model)
    callback.set_params({"verbose": 0, "epochs": len(values), "steps": 1})
    callback.on_train_begin()
    epoch = -1
    for epoch, value in enumerate(values):
        callback.on_epoch_begin(epoch)
        model.weights = [np.full(1, float(epoch))]
        logs = {name: value}
        callback.on_epoch_end(epoch, logs)
        rates.append(float(model.optimizer.learning_rate))
        if model.stop_training:
            break
    callback.on_train_end()
    return epoch + 1, float(model.weights[0][0]), rates


def keras_callbacks():
    return pytest.importorskip("keras").callbacks


# ----------------------------------------------------------------------------------------- the list

def recorder(base, log):
    """A callback that notes each hook, its index and the names in its logs."""
    def make(hook):
        def call(self, *args, logs=None):
            if args and not isinstance(args[-1], int):
                *args, logs = args
            names = sorted(logs or {})
            log.append((hook, *(int(a) for a in args), *names))
        return call

    plain = [h for h in HOOKS if h not in ("on_batch_begin", "on_batch_end")]
    return type("Recorder", (base,), {hook: make(hook) for hook in plain})()


def script(library, log):
    """One script in either library: fit with validation, evaluate, predict."""
    x = np.linspace(-1, 1, 40, dtype=np.float32).reshape(20, 2)
    y = x.sum(axis=1, keepdims=True)
    model = library.Sequential([library.Input((2,)), library.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse", metrics=["mae"])
    seen = recorder(library.callbacks.Callback, log)
    model.fit(x, y, batch_size=8, epochs=2, validation_data=(x, y), validation_batch_size=10,
              verbose=0, callbacks=[seen])
    log.append(tuple(sorted(seen.params.items())))
    model.evaluate(x, y, batch_size=8, verbose=0, callbacks=[seen])
    model.predict(x, batch_size=8, verbose=0, callbacks=[seen])


def test_hooks_come_in_keras_order_with_keras_logs():
    keras = pytest.importorskip("keras")
    ours, theirs = [], []
    script(nnc, ours)
    script(keras, theirs)
    assert ours == theirs


def test_batch_logs_are_running_means():
    x = np.arange(8, dtype=np.float32).reshape(8, 1)
    model = nnc.Sequential([nnc.Input((1,)), nnc.layers.Dense(1, kernel_initializer="zeros")])
    model.compile(optimizer=nnc.optimizers.SGD(0.0), loss="mse")
    losses = []
    hook = callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: losses.append(logs["loss"]))
    model.fit(x, x, batch_size=2, shuffle=False, verbose=0, callbacks=[hook])
    squares = np.arange(8.0) ** 2
    assert losses == pytest.approx([squares[:n].mean() for n in (2, 4, 6, 8)], rel=1e-6)
    assert all(type(v) is float for v in losses)


def test_list_flattens_adds_and_finds():
    a, b = callbacks.Callback(), callbacks.History()
    many = callbacks.CallbackList([a, [b]], add_history=True, add_progbar=True, model=Model(),
                                  verbose=0, epochs=1, steps=3)
    assert many.callbacks[:2] == [a, b] and len(many.callbacks) == 3
    assert many.history is b and many.model.history is b
    assert a.params == {"verbose": 0, "epochs": 1, "steps": 3} and a.model is many.model


def test_every_hook_reaches_every_callback():
    calls = []
    cls = type("All", (callbacks.Callback,), {
        h: lambda self, *args, _h=h, **kw: calls.append(_h) for h in HOOKS})
    many = callbacks.CallbackList([cls(), cls()])
    for hook in HOOKS:
        takes_index = "batch" in hook or "epoch" in hook
        getattr(many, hook)(*([0] if takes_index else []), {"b": np.float32(1), "a": {"c": 2}})
    assert calls == [h for h in HOOKS for _ in range(2)]


def test_logs_are_shared_between_callbacks():
    class Adds(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["extra"] = 7.0

    many = callbacks.CallbackList([Adds()], add_history=True, model=Model())
    many.on_train_begin()
    many.on_epoch_end(0, {"loss": np.float32(0.5)})
    assert many.history.history == {"loss": [0.5], "extra": [7.0]}
    assert type(many.history.history["loss"][0]) is float


@pytest.mark.parametrize("make, kind, expected", [
    (lambda: callbacks.Callback(), "train", False),
    (lambda: callbacks.History(), "train", False),
    (lambda: callbacks.ProgbarLogger(), "train", False),
    (lambda: callbacks.TerminateOnNaN(), "train", True),
    (lambda: callbacks.TerminateOnNaN(), "test", False),
    (lambda: callbacks.LambdaCallback(on_epoch_end=print), "train", False),
    (lambda: callbacks.LambdaCallback(on_train_batch_end=print), "train", True),
    (lambda: callbacks.LambdaCallback(on_predict_batch_begin=print), "predict", True),
    (lambda: callbacks.LambdaCallback(on_predict_batch_begin=print), "test", False),
])
def test_only_batch_hooks_need_batches(make, kind, expected):
    assert callbacks.CallbackList([make()]).needs_batch_hooks(kind) is expected


@pytest.mark.parametrize("wrong, text", [
    (callbacks.EarlyStopping, r"the class EarlyStopping; pass an object: EarlyStopping\(\)"),
    (3, r"Received: 3 \(of type int\), which has no `on_train_begin`"),
])
def test_list_refuses_what_is_no_callback(wrong, text):
    with pytest.raises(TypeError, match=text):
        callbacks.CallbackList([wrong])


# ----------------------------------------------------------------------------------- early stopping

CURVES = [
    [1.0, 0.9, 0.95, 0.94, 0.93, 0.2], [1.0, 1.0, 1.0, 1.0],
    [3.0, 2.0, 1.0, 1.5, 0.5, 0.6, 0.7, 0.8],
    [0.1, 0.2, 0.3], [1.0], [2.0, float("nan"), 1.0, 1.0, 1.0],
]
OPTIONS = [
    {}, {"patience": 2}, {"patience": 1, "min_delta": 0.3}, {"mode": "max", "patience": 1},
    {"baseline": 0.9, "patience": 2}, {"restore_best_weights": True, "patience": 1},
    {"restore_best_weights": True, "baseline": 0.1, "patience": 2}, {"start_from_epoch": 2},
    {"start_from_epoch": 1, "patience": 1, "restore_best_weights": True},
]


@pytest.mark.parametrize("curve", CURVES, ids=range(len(CURVES)))
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_early_stopping_is_keras(curve, options):
    ours = callbacks.EarlyStopping(**options)
    theirs = keras_callbacks().EarlyStopping(**options)
    assert drive(callbacks, ours, curve) == drive(None, theirs, curve)
    for name in ("wait", "stopped_epoch", "best_epoch"):
        assert getattr(ours, name) == getattr(theirs, name), name


def test_early_stopping_in_fit_restores_the_best_weights(capsys):
    nnc.utils.set_random_seed(1)
    x = np.linspace(-1, 1, 32, dtype=np.float32).reshape(-1, 1)
    model = nnc.Sequential([nnc.Input((1,)), nnc.layers.Dense(1)])
    model.compile(optimizer=nnc.optimizers.SGD(50.0), loss="mse")       # diverges
    stop = callbacks.EarlyStopping("loss", patience=2, restore_best_weights=True, verbose=1)
    history = model.fit(x, 3 * x, epochs=9, batch_size=32, verbose=0, callbacks=[stop])
    assert len(history.epoch) == 3 and stop.best_epoch == 0
    for weight, best in zip(model.get_weights(), stop.best_weights):
        np.testing.assert_array_equal(weight, best)
    out = capsys.readouterr().out
    assert "Epoch 3: early stopping" in out and "best epoch: 1." in out


def test_early_stopping_warns_of_a_missing_quantity():
    stop = callbacks.EarlyStopping("val_los", mode="min")
    with pytest.warns(UserWarning, match="`val_los` which is not available.*loss"):
        drive(callbacks, stop, [1.0], name="loss")


def test_monitor_direction():
    def direction(name, metrics=()):
        stop = callbacks.EarlyStopping(name)
        stop.set_model(Model())
        stop.model.metrics = list(metrics)
        stop._set_monitor_op()
        return "max" if stop.monitor_op(2, 1) else "min"

    class Metric:
        name, _direction = "mine", "up"

    assert direction("val_loss") == "min" and direction("val_accuracy") == "max"
    assert direction("mine", [Metric()]) == "max"
    with pytest.raises(ValueError, match="pass mode='min' or mode='max'"):
        direction("mine")
    with pytest.warns(UserWarning, match="unknown mode 'up'"):
        assert callbacks.EarlyStopping(mode="up").mode == "auto"


# ----------------------------------------------------------------------------------- learning rates

@pytest.mark.parametrize("options", [
    {"patience": 1}, {"patience": 2, "factor": 0.5}, {"patience": 1, "cooldown": 2},
    {"patience": 1, "min_lr": 0.02}, {"patience": 2, "min_delta": 0.2},
    {"patience": 1, "mode": "max", "factor": 0.3},
], ids=str)
@pytest.mark.parametrize("curve", CURVES[:5], ids=range(5))
def test_reduce_on_plateau_is_keras(curve, options):
    curve = curve + [0.9, 0.9, 0.9, 0.9]
    ours, theirs = callbacks.ReduceLROnPlateau, keras_callbacks().ReduceLROnPlateau
    assert drive(None, ours(**options), curve) == drive(None, theirs(**options), curve)


def test_reduce_on_plateau_refuses_a_factor_of_one():
    with pytest.raises(ValueError, match="`factor` must be < 1. Received: factor=1.5"):
        callbacks.ReduceLROnPlateau(factor=1.5)


@pytest.mark.parametrize("schedule", [
    lambda epoch, rate: rate * 0.5, lambda epoch: 1.0 / (epoch + 1),
])
def test_scheduler_is_keras(schedule):
    ours, theirs = callbacks.LearningRateScheduler, keras_callbacks().LearningRateScheduler
    assert drive(None, ours(schedule), [1, 1, 1]) == drive(None, theirs(schedule), [1, 1, 1])


def test_scheduler_in_fit_is_in_the_history():
    x = np.ones((4, 1), np.float32)
    model = nnc.Sequential([nnc.Input((1,)), nnc.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    schedule = callbacks.LearningRateScheduler(lambda epoch, rate: 0.5 ** epoch)
    history = model.fit(x, x, epochs=3, verbose=0, callbacks=[schedule])
    assert history.history["learning_rate"] == [1.0, 0.5, 0.25]


@pytest.mark.parametrize("value", [1, None, "0.1", [0.1, 0.2]])
def test_scheduler_refuses_what_is_no_float(value):
    with pytest.raises(ValueError, match="should be a float"):
        drive(None, callbacks.LearningRateScheduler(lambda epoch, rate: value), [1])


def test_scheduler_lets_the_schedules_own_errors_through():
    def schedule(epoch, rate):
        raise TypeError("from inside")

    with pytest.raises(TypeError, match="from inside"):
        drive(None, callbacks.LearningRateScheduler(schedule), [1])


# --------------------------------------------------------------------------------------- the others

def test_terminate_on_nan(capsys):
    stop = callbacks.TerminateOnNaN()
    stop.set_model(Model())
    stop.on_train_batch_end(3, {"loss": 1.0})
    assert not stop.model.stop_training
    stop.on_train_batch_end(4, {"loss": float("inf")})
    assert stop.model.stop_training
    assert capsys.readouterr().out == "Batch 4: Invalid loss, terminating training\n"
    with pytest.raises(RuntimeError, match="batch 5 is nan"):
        callbacks.TerminateOnNaN(raise_error=True).on_train_batch_end(5, {"loss": float("nan")})


def test_terminate_on_nan_ends_fit_within_the_epoch():
    x = np.ones((64, 1), np.float32)
    y = x.copy()
    y[8] = np.nan
    model = nnc.Sequential([nnc.Input((1,)), nnc.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    batches = []
    seen = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batches.append(batch))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nnc.NumericWarning)
        model.fit(x, y, batch_size=4, shuffle=False, epochs=3, verbose=0,
                  callbacks=[seen, callbacks.TerminateOnNaN()])
    assert batches == [0, 1, 2]


def test_lambda_callback():
    calls = []
    callback = callbacks.LambdaCallback(
        on_train_begin=lambda logs: calls.append("begin"),
        on_test_end=lambda logs: calls.append("test"))
    callbacks.CallbackList([callback]).on_train_begin()
    callbacks.CallbackList([callback]).on_test_end({})
    assert calls == ["begin", "test"]
    with pytest.raises(TypeError, match="'on_epoch_ends'; did you mean 'on_epoch_end'"):
        callbacks.LambdaCallback(on_epoch_ends=print)
    with pytest.raises(TypeError, match="`on_epoch_end` must be a function. Received: 3"):
        callbacks.LambdaCallback(on_epoch_end=3)


@pytest.mark.parametrize("options", [{}, {"separator": ";"}, {"append": True}], ids=str)
def test_csv_logger_is_keras(tmp_path, options):
    texts = []
    for library in (callbacks, keras_callbacks()):
        path = tmp_path / f"{library.__name__}.csv"
        logger = library.CSVLogger(str(path), **options)
        for _ in range(2):
            logger.set_model(Model())
            logger.on_train_begin()
            logger.on_epoch_end(0, {"loss": 0.5, "accuracy": 0.25})
            logger.on_epoch_end(1, {"loss": 0.4, "list": np.array([1, 2])})
            logger.on_train_end()
        texts.append(path.read_text())
    assert texts[0] == texts[1]
    rows = list(csv.reader(io.StringIO(texts[0]), delimiter=options.get("separator", ",")))
    assert rows[0] == ["epoch", "accuracy", "loss", "val_accuracy", "val_loss"]
    assert rows[2] == ["1", "NA", "0.4", "NA", "NA"]


# ------------------------------------------------------------------------------------------ the bar

def fit_output(monkeypatch, out, verbose, library=nnc, epochs=2):
    x = np.ones((10, 1), np.float32)
    model = library.Sequential([library.Input((1,)), library.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse", metrics=["mae"])
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        model.fit(x, x, epochs=epochs, batch_size=4, verbose=verbose, validation_data=(x, x))
        model.evaluate(x, x, batch_size=4, verbose=verbose)
        model.predict(x, batch_size=4, verbose=verbose)
    return out.getvalue()


def test_plain_output_is_a_line_an_epoch(monkeypatch):
    lines = fit_output(monkeypatch, io.StringIO(), "auto").splitlines()
    assert len(lines) == 4 and not any(ord(c) < 32 for line in lines for c in line)
    assert lines[0].startswith("Epoch 1/2 - 3/3 - 0s - ")
    for name in ("loss: ", "mae: ", "val_loss: ", "val_mae: "):
        assert f" - {name}" in lines[1]
    assert "val_" not in lines[2] and lines[3].startswith("3/3 - ") and "loss" not in lines[3]


def test_terminal_output_has_keras_lines(monkeypatch):
    import re

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def shape(text):
        """Final lines with the numbers that depend on the clock and the weights taken out."""
        lines = [line.rpartition("\r")[2] for line in text.replace("\b", "").split("\n")]
        lines = [re.sub(r"\x1b\[\d+m", "", line).rstrip() for line in lines]
        numbers = r"\d+(ms|us|s)/step|: \d+\.\d+(e-\d+)?|\b\d+s\b"
        return [re.sub(numbers, "#", line) for line in lines]

    keras = pytest.importorskip("keras")
    monkeypatch.setenv("COLUMNS", "200")
    ours = fit_output(monkeypatch, Terminal(), 1)
    theirs = fit_output(monkeypatch, Terminal(), 1, library=keras)
    assert shape(ours) == shape(theirs)


def test_verbose_2_has_keras_lines_and_0_is_silent(monkeypatch):
    lines = fit_output(monkeypatch, io.StringIO(), 2).splitlines()
    assert lines[0] == "Epoch 1/2" and lines[1].startswith("3/3 - 0s - ")
    assert fit_output(monkeypatch, io.StringIO(), 0) == ""


# ------------------------------------------------------------------------------------------ history

def history(**curves):
    h = callbacks.History()
    h.set_model(Model())
    h.on_train_begin()
    for epoch, values in enumerate(zip(*curves.values())):
        h.on_epoch_end(epoch, dict(zip(curves, values)))
    return h


def test_history_repr_names_last_and_best():
    h = history(loss=[0.9, 0.5, 0.4], val_loss=[0.8, 0.6, 0.7])
    assert repr(h) == ("<History: 3 epochs\n  last (epoch 3): loss 0.4, val_loss 0.7\n"
                       "  best (epoch 2): loss 0.5, val_loss 0.6>")
    assert repr(callbacks.History()) == "<History: no epoch yet>"
    assert "best" not in repr(history(loss=[float("nan")]))


def test_history_plot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    h = history(loss=[0.9, 0.5], val_loss=[0.8, 0.6], accuracy=[0.1, 0.2])
    figure = h.plot()
    assert [len(axis.lines) for axis in figure.axes] == [1, 2]
    np.testing.assert_array_equal(figure.axes[1].lines[0].get_ydata(), [0.9, 0.5])
    assert len(h.plot("loss").axes) == 1
    assert h.plot(["loss", "accuracy"], ax=figure.axes[0]) is figure
    with pytest.raises(ValueError, match="no curve 'los'; did you mean 'loss'"):
        h.plot("los")
    with pytest.raises(ValueError, match="no epoch"):
        callbacks.History().plot()
    matplotlib.pyplot.close("all")
