"""Every combination of weights, splits, steps and frequencies: hooks, their order and logs, and what each
callback notes, beside Keras itself.
"""
import itertools

import numpy as np
import pytest

import nnc
from nnc.callbacks.callback import HOOKS

from live import keras

RNG = np.random.default_rng(0)
X = RNG.normal(size=(46, 4)).astype("float32")
Y = RNG.integers(0, 3, 46)
WEIGHT = np.linspace(0.2, 2.0, 46).astype("float32")
#: What a fit of 46 rows is given; one choice of each list, all combinations.
AXES = {
    "weights": [{}, {"sample_weight": WEIGHT}, {"class_weight": {0: 2.0, 1: 0.5, 2: 1.0}}],
    "validation": [{}, {"validation_split": 0.3}, {"validation_data": (X[:20] + 1, Y[:20])},
                   {"validation_data": (X[:20] + 1, Y[:20], WEIGHT[:20]), "validation_steps": 2,
                    "validation_batch_size": 6}],
    "steps": [{}, {"steps_per_epoch": 3}],
    "frequency": [{}, {"validation_freq": 2}],
}
CASES = [dict(itertools.chain(*(part.items() for part in parts)))
         for parts in itertools.product(*AXES.values())
         if parts[1] or not parts[3]]            # a frequency needs a validation


def model(k, **compiled):
    made = k.Sequential([k.Input((4,)), k.layers.Dense(5, activation="tanh"),
                         k.layers.Dense(3, activation="softmax")])
    made.set_weights([np.linspace(-1, 1, int(np.prod(w.shape))).reshape(w.shape)
                      for w in made.get_weights()])
    made.compile(**{"optimizer": k.optimizers.SGD(0.1), "loss": "sparse_categorical_crossentropy",
                    "metrics": ["accuracy"], "weighted_metrics": ["sparse_categorical_crossentropy"],
                    "jit_compile": False, **compiled})
    return made


def recorder(k, log):
    """A callback that notes each hook with its index and logs."""
    def make(hook):
        def call(self, *args, logs=None):
            if args and not isinstance(args[-1], (int, np.integer)):
                *args, logs = args
            log.append((hook, [int(a) for a in args],
                        {name: float(value) for name, value in (logs or {}).items()
                         if np.ndim(value) == 0}))
        return call

    plain = [hook for hook in HOOKS if hook not in ("on_batch_begin", "on_batch_end")]
    return type("Recorder", (k.callbacks.Callback,), {hook: make(hook) for hook in plain})()


def same_logs(ours, theirs):
    assert [entry[:2] for entry in ours] == [entry[:2] for entry in theirs]
    for (hook, index, a), (*_, b) in zip(ours, theirs):
        assert set(a) == set(b), (hook, index)
        for name in b:
            # float32 in both, some dozen steps of a small network
            assert a[name] == pytest.approx(b[name], rel=2e-4, abs=1e-6), (hook, index, name)


@pytest.mark.parametrize("number", range(len(CASES)))
@pytest.mark.filterwarnings("ignore")           # Keras's data that ends early, nnc's rows seen twice
def test_hooks_and_logs_are_keras(number):
    logs = []
    for k in (nnc, keras):
        log = []
        logs.append(log)
        fitted = model(k)
        history = fitted.fit(X, Y, batch_size=8, epochs=3, shuffle=False, verbose=0,
                             callbacks=[recorder(k, log)], **CASES[number]).history
        log.append(("history", [], {f"{name}_{i}": value for name, values in history.items()
                                    for i, value in enumerate(values)}))
    same_logs(*logs)


def noting(k, folder, name):
    """A callback by its name, as a user would make it, and what it notes."""
    path = f"{folder}/{k.__name__}"
    made = {
        "csv": lambda: k.callbacks.CSVLogger(path + ".csv"),
        "stop": lambda: k.callbacks.EarlyStopping("val_loss", min_delta=0.01, patience=1,
                                                  restore_best_weights=True),
        "plateau": lambda: k.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=0.05, factor=0.5),
        "schedule": lambda: k.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.7),
        "checkpoint": lambda: k.callbacks.ModelCheckpoint(path + ".weights.h5", save_weights_only=True,
                                                          save_best_only=True, monitor="val_loss"),
        "nan": lambda: k.callbacks.TerminateOnNaN(),
        "ema": lambda: k.callbacks.SwapEMAWeights(swap_on_epoch=True),
        "backup": lambda: k.callbacks.BackupAndRestore(path, save_freq=3),
        "monitor": lambda: k.callbacks.RemoteMonitor("http://127.0.0.1:9"),     # nobody listens
        "lambda": lambda: k.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: logs.update(square=logs["loss"] ** 2)),
    }
    return made[name](), path


@pytest.mark.parametrize("name", ["csv", "stop", "plateau", "schedule", "checkpoint", "nan", "ema",
                                  "backup", "monitor", "lambda"])
@pytest.mark.parametrize("weights", AXES["weights"][:2], ids=["plain", "weighted"])
@pytest.mark.filterwarnings("ignore")
def test_callbacks_in_a_fit_are_keras(name, weights, tmp_path):
    """Within a whole fit: its logs, its weights and its files."""
    logs, ends, files = [], [], []
    for k in (nnc, keras):
        log = []
        fitted = model(k, optimizer=k.optimizers.SGD(1e9 if name == "nan" else 0.3,
                                                     use_ema=name == "ema"))
        callback, path = noting(k, tmp_path, name)
        x = X * (1e30 if name == "nan" else 1)
        fitted.fit(x, Y, batch_size=8, epochs=6, shuffle=False, verbose=0, validation_split=0.3,
                   callbacks=[callback, recorder(k, log)], **weights)
        logs.append(log)
        ends.append(fitted.get_weights())
        if name == "checkpoint":
            fitted.load_weights(path + ".weights.h5")
            files.append(fitted.get_weights())
        if name == "csv":
            with open(path + ".csv", encoding="utf-8") as f:
                files.append(f.read().splitlines())
    if name != "nan":
        same_logs(*logs)
        for ours, theirs in (ends, *([files] if name == "checkpoint" else [])):
            for a, b in zip(ours, theirs):
                np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5)   # as the logs
    else:
        assert [entry[:2] for entry in logs[0]] == [entry[:2] for entry in logs[1]]
    if name == "csv":
        ours, theirs = ([line.split(",") for line in lines] for lines in files)
        assert ours[0] == theirs[0] and len(ours) == len(theirs) == 7
        np.testing.assert_allclose(np.array(ours[1:], float), np.array(theirs[1:], float), rtol=2e-4)


@pytest.mark.parametrize("hook", ["on_train_begin", "on_epoch_begin", "on_train_batch_begin",
                                  "on_train_batch_end", "on_test_begin", "on_epoch_end"])
@pytest.mark.parametrize("batches", [True, False], ids=["batch hooks", "epoch hooks"])
@pytest.mark.filterwarnings("ignore")
def test_stopping_from_any_hook_is_keras(hook, batches):
    """The batch at hand is the last one, also where it was asked for before the epoch began."""
    results = []
    for k in (nnc, keras):
        def stop(self, *args, **kwargs):
            self.model.stop_training = True
        log, fitted = [], model(k)
        noting = [recorder(k, log)] * batches
        history = fitted.fit(X, Y, batch_size=8, epochs=3, shuffle=False, verbose=0,
                             validation_data=(X[:20] + 1, Y[:20]), callbacks=[
                                 *noting, type("Stop", (k.callbacks.Callback,), {hook: stop})()])
        log.append(("history", [], {f"{name}_{i}": value for name, values in history.history.items()
                                    for i, value in enumerate(values)}))
        results.append((log, fitted.get_weights()))
    same_logs(results[0][0], results[1][0])
    for a, b in zip(results[0][1], results[1][1]):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-6)   # as in `same_logs`
