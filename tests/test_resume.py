"""Training that is killed and run again ends with the same bits as training that was not.

A child process kills itself (SIGKILL: nothing is flushed or cleaned up) at a chosen moment. The
same training is then run again here, with other seeds: what it ends with comes from the backup.
"""
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import nnc
from fitting import classifier, samples, state
from nnc import callbacks

EPOCHS = 4
HERE = os.path.dirname(os.path.abspath(__file__))


class Dataset(nnc.utils.PyDataset):
    """Batches by index; its own order changes after each epoch."""

    def __init__(self):
        super().__init__()
        self.rng, self.order = np.random.default_rng(3), np.arange(100)

    def __len__(self):
        return 4

    def __getitem__(self, index):
        x, y = samples(100)
        rows = self.order[25 * index:25 * index + 25]
        return x[rows], y[rows]

    def on_epoch_end(self):
        self.order = self.rng.permutation(100)


def generator():
    x, y = samples(100)
    for i in range(4 * EPOCHS):
        rows = np.random.default_rng(i).permutation(100)[:25]
        yield x[rows], y[rows]


def arrays():
    return dict(zip("xy", samples(100)), batch_size=30, validation_data=samples(20, seed=1))


class OwnNoise(nnc.layers.Layer):
    """Draws from the global generator."""

    def call(self, x, training=False):
        return x + 0.1 * nnc.random.normal((12,)) if training else x


def noisy(**compiled):
    model = classifier(dropout=0.4, **compiled)
    made = nnc.Sequential([nnc.Input((12,)), OwnNoise(), *model.layers])
    made.compile(optimizer=model.optimizer, loss=model.loss, metrics=["accuracy"])
    return made


#: Name of a case: model, what fit is given, options of the backup.
CASES = {
    "epochs": (lambda seed: classifier(0.4, seed=seed), arrays, {}),
    "batches": (lambda seed: classifier(0.4, seed=seed), arrays, {"save_freq": 3}),
    "each": (lambda seed: noisy(seed=seed), arrays, {"save_freq": 1, "double_checkpoint": True}),
    "part": (lambda seed: classifier(0.4, seed=seed, steps_per_execution=2), lambda: {
        **arrays(), "steps_per_epoch": 3, "shuffle": "batch"}, {"save_freq": 2}),
    "each part": (lambda seed: classifier(0.4, seed=seed), lambda: {
        **arrays(), "steps_per_epoch": 3}, {"save_freq": 1}),
    "eager": (lambda seed: classifier(0.4, seed=seed, run_eagerly=True), arrays,
              {"save_freq": 3}),
    "dataset": (lambda seed: classifier(0.4, seed=seed), lambda: {"x": Dataset()},
                {"save_freq": 3}),
    "dataset part": (lambda seed: classifier(0.4, seed=seed), lambda: {
        "x": Dataset(), "steps_per_epoch": 3}, {"save_freq": 2}),
    "generator": (lambda seed: classifier(0.4, seed=seed), lambda: {
        "x": generator(), "steps_per_epoch": 4}, {"save_freq": 3}),
    "averages": (lambda seed: classifier(0.4, seed=seed, optimizer=nnc.optimizers.Adam(
        use_ema=True)), arrays, {}),
}


class Killer(callbacks.Callback):
    """Kills the process at a hook's n-th call, or within the n-th save."""

    def __init__(self, place, count):
        super().__init__()
        self.left = count
        if place in ("replace", "fsync"):
            whole = getattr(os, place)
            setattr(os, place, lambda *args: (self.count(), whole(*args)))
        else:
            setattr(self, place, self.count)

    def count(self, *args, **kwargs):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def helpers(case):
    """Callbacks that remember something, or change the rate in relation to what it is."""
    if case == "part":
        return [callbacks.OneCycle(0.01)]
    if case == "averages":
        return [callbacks.SwapEMAWeights(swap_on_epoch=True)]
    return [callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.5),
            callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True, mode="max"),
            callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9)]


def train(case, folder, seed, *more):
    make, data, options = CASES[case]
    model = make(seed)
    backup = [callbacks.BackupAndRestore(folder, **options)] if folder else []
    history = model.fit(**data(), epochs=EPOCHS, verbose=0,
                        callbacks=[*backup, *helpers(case), *more])
    return model, history


def killed(case, folder, place, count, seed=7):
    """Trains in a child until it is killed."""
    child = os.fork()
    if child == 0:
        try:
            train(case, folder, seed, Killer(place, count))
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


def test_killed_process_of_its_own(tmp_path):
    code = (f"import sys; sys.path.insert(0, {HERE!r}); import test_resume as t; "
            f"t.train('batches', {str(tmp_path)!r}, 7, t.Killer('on_train_batch_end', 7))")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert state(train("batches", tmp_path, 99)[0]) == wanted("batches")[0]


_wanted = {}


def wanted(case):
    if case not in _wanted:
        model, history = train(case, None, 7)
        _wanted[case] = state(model), history.history
    return _wanted[case]


@pytest.mark.parametrize("case, place, count", [
    ("epochs", "on_epoch_end", 3), ("epochs", "on_train_batch_end", 7),
    ("epochs", "replace", 2), ("epochs", "fsync", 4), ("epochs", "on_train_end", 1),
    ("batches", "on_train_batch_begin", 6), ("batches", "on_test_begin", 2),
    ("each", "on_train_batch_end", 6), ("each", "on_epoch_begin", 3), ("each", "replace", 6),
    ("part", "on_train_batch_end", 4), ("part", "on_epoch_end", 2),
    ("each part", "on_epoch_end", 2), ("each part", "on_train_batch_end", 7),
    ("dataset part", "on_epoch_end", 2), ("dataset part", "on_epoch_end", 3),
    ("dataset part", "on_train_batch_end", 7), ("eager", "on_train_batch_end", 7),
    ("dataset", "on_train_batch_end", 11), ("generator", "on_train_batch_end", 12),
    ("averages", "on_epoch_begin", 3),
])
def test_same_bits_after_a_kill(tmp_path, case, place, count):
    folder = tmp_path / "backup"
    killed(case, folder, place, count)
    model, history = train(case, folder, seed=99)
    bits, expected = wanted(case)
    assert state(model) == bits
    assert not folder.exists()                          # delete_checkpoint
    for name, values in history.history.items():        # the epochs that were run here
        assert values == expected[name][EPOCHS - len(values):], name
    assert history.epoch == list(range(EPOCHS - len(history.epoch), EPOCHS))


def test_killed_before_the_first_backup_and_twice(tmp_path):
    killed("batches", tmp_path / "b", "on_train_batch_end", 2)
    killed("batches", tmp_path / "b", "on_train_batch_end", 5)
    killed("batches", tmp_path / "b", "on_train_batch_end", 5, seed=50)
    assert state(train("batches", tmp_path / "b", 99)[0]) == wanted("batches")[0]


def backup(tmp_path, case="epochs", **options):
    """A folder with the backup of a whole training, and the callback."""
    callback = callbacks.BackupAndRestore(tmp_path / "b", delete_checkpoint=False, **options)
    model = CASES[case][0](7)
    model.fit(**arrays(), epochs=2, verbose=0, callbacks=callback)
    return callback, model


def test_delete_checkpoint(tmp_path):
    callback, model = backup(tmp_path, double_checkpoint=True)
    assert sorted(os.listdir(tmp_path / "b")) == ["latest.safetensors", "previous.safetensors"]
    before = state(model)
    history = model.fit(**arrays(), epochs=2, verbose=0, callbacks=callback)
    assert history.epoch == [] and state(model) == before
    (tmp_path / "b" / "mine.txt").write_text("kept")
    callback.delete_checkpoint = True
    assert model.fit(**arrays(), epochs=3, verbose=0, callbacks=callback).epoch == [2]
    assert os.listdir(tmp_path / "b") == ["mine.txt"]


@pytest.mark.parametrize("damage", ["cut", "bit", "header", "empty"])
def test_damaged(tmp_path, damage):
    backup(tmp_path)
    path = tmp_path / "b" / "latest.safetensors"
    data = bytearray(path.read_bytes())
    data[{"bit": len(data) - 9, "header": 200}.get(damage, 0)] ^= 4 if damage in (
        "bit", "header") else 0
    path.write_bytes({"cut": data[:-40], "empty": b""}.get(damage, data))
    fresh = classifier(0.4)
    before = state(fresh)
    with pytest.raises(ValueError, match="latest.safetensors is damaged: .*Delete it"):
        fresh.fit(**arrays(), epochs=3, verbose=0,
                  callbacks=callbacks.BackupAndRestore(tmp_path / "b"))
    assert state(fresh)[:6] == before[:6]


def test_damaged_with_double_checkpoint(tmp_path):
    killed("each", tmp_path / "b", "on_train_batch_end", 7)
    path = tmp_path / "b" / "latest.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="damaged.*goes on from the backup before it"):
        model, _ = train("each", tmp_path / "b", 99)
    assert state(model) == wanted("each")[0]


def test_of_another_model_or_other_data(tmp_path):
    backup(tmp_path)
    again = callbacks.BackupAndRestore(tmp_path / "b")
    for other, text in ((classifier(0.4, units=9), "another model: variable"),
                        (classifier(0.4, optimizer="sgd"), "another model or optimizer")):
        with pytest.raises(ValueError, match=text):
            other.fit(**arrays(), verbose=0, callbacks=again)
    killed("batches", tmp_path / "c", "on_train_batch_end", 7)
    with pytest.raises(ValueError, match="within an epoch with batch=30, this one has 10"):
        classifier(0.4).fit(**{**arrays(), "batch_size": 10}, epochs=3, verbose=0,
                            callbacks=callbacks.BackupAndRestore(tmp_path / "c"))


def test_bad_folder_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    model = classifier()
    before = state(model)
    with pytest.raises(NotADirectoryError, match="must be a folder"):
        model.fit(**arrays(), verbose=0, callbacks=callbacks.BackupAndRestore(tmp_path / "file"))
    assert state(model)[:6] == before[:6]
    if os.geteuid():
        os.chmod(tmp_path, 0o500)
        with pytest.raises(PermissionError):
            model.fit(**arrays(), verbose=0, callbacks=callbacks.BackupAndRestore(tmp_path / "n"))


@pytest.mark.parametrize("options, text", [
    ({"backup_dir": ""}, "must name a folder"), ({"backup_dir": None}, "must name a folder"),
    ({"backup_dir": "b", "save_freq": 0}, "`save_freq` must be"),
    ({"backup_dir": "b", "save_freq": "batch"}, "`save_freq` must be"),
    ({"backup_dir": "b", "save_freq": True}, "`save_freq` must be"),
])
def test_refused(options, text):
    with pytest.raises(ValueError, match=text):
        callbacks.BackupAndRestore(**options)


def test_early_stopping_is_not_undone(tmp_path):
    """A run that had ended when it was killed does not train on."""
    stop = callbacks.EarlyStopping("loss", mode="max", patience=1)
    backup = callbacks.BackupAndRestore(tmp_path / "b", delete_checkpoint=False)
    model = classifier()
    ran = model.fit(**arrays(), epochs=9, verbose=0, callbacks=[backup, stop]).epoch
    assert len(ran) < 9
    assert model.fit(**arrays(), epochs=9, verbose=0, callbacks=[backup, stop]).epoch == []


@pytest.mark.filterwarnings("ignore:.*ran out of data")
@pytest.mark.parametrize("fit", [{}, {"shuffle": "batch"}, {"steps_per_epoch": 3},
                                 {"shuffle": False}], ids=str)
@pytest.mark.parametrize("file", ["m.keras", "m.weights.h5"])
def test_a_saved_model_goes_on_with_its_orders(tmp_path, file, fit):
    """Whatever is drawn in between, and however the new process is seeded."""
    whole = classifier(0.4, seed=5)
    whole.fit(**arrays(), **fit, epochs=4, verbose=0)
    model = classifier(0.4, seed=5)
    model.fit(**arrays(), **fit, epochs=2, verbose=0)
    (model.save if file == "m.keras" else model.save_weights)(tmp_path / file)
    nnc.utils.set_random_seed(99)
    if file == "m.keras":
        again = nnc.saving.load_model(tmp_path / file)
    else:
        again = classifier(0.4, seed=6)
        again.optimizer.build(again.trainable_variables)
        again.load_weights(tmp_path / file)
    again.fit(**arrays(), **fit, initial_epoch=2, epochs=4, verbose=0)
    model.fit(**arrays(), **fit, initial_epoch=2, epochs=4, verbose=0)
    for other in (model, again):
        for a, b in zip(whole.get_weights(), other.get_weights(), strict=True):
            assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("text", [
    b"", b"{", b"[1]", b'{"epoch": 2}', b"x" * 2000,
    b'{"epoch": 2, "seed": -1, "taken": 0, "count": 1, "batch": 1, "steps": 1, "shuffle": true}',
    b'{"epoch": 2, "seed": 1, "taken": 1e99, "count": 1, "batch": 1, "steps": 1, "shuffle": []}'])
def test_orders_of_a_file_that_are_none(tmp_path, text):
    import h5py

    model = classifier(seed=5)
    model.fit(**arrays(), epochs=1, verbose=0)
    model.save_weights(tmp_path / "m.weights.h5")
    with h5py.File(tmp_path / "m.weights.h5", "r+") as file:
        del file["nnc/order"]
        file["nnc/order"] = np.frombuffer(text, "uint8")
    again = classifier(seed=6)
    again.load_weights(tmp_path / "m.weights.h5")
    assert again._order is None
    again.fit(**arrays(), initial_epoch=1, epochs=2, verbose=0)
