"""Training that was interrupted goes on where it was, with the same bits.

A backup is one safetensors file, written beside the old one and renamed over it: the values of all
variables (weights, optimizer, random generators, within an epoch the metrics too), and as JSON in
its header where training is: epoch, step, seed of the orders and place in the data, what other
callbacks remember, and a checksum of everything.
"""
import os
import warnings

import numpy as np

from nnc import _core
from nnc.callbacks.callback import Callback
from nnc.utils.file import _remove_litter, check_folder, size_of

_LATEST, _PREVIOUS = "latest.safetensors", "previous.safetensors"


class Position:
    """Where a `fit` is. It puts backups behind all other callbacks: they keep what those decided.

    Attributes:
        epoch: The epoch to begin with.
        step: The step of that epoch to begin with; 0 for all later ones.
        batches: The `Batches` or `Stream` that the training reads.
    """

    def __init__(self, batches, callbacks, epoch):
        self.batches, self.epoch, self.step = batches, epoch, 0
        self.callbacks = callbacks.callbacks
        self.callbacks.sort(key=lambda c: isinstance(c, BackupAndRestore))
        for callback in self.callbacks:
            if isinstance(callback, BackupAndRestore):
                callback._position = self

    def begin(self):
        """The step that the epoch begins with."""
        step, self.step = self.step, 0
        return step

    def others(self):
        """The other callbacks that remember something, by place and class."""
        return {f"{i}/{type(c).__name__}": c for i, c in enumerate(self.callbacks)
                if getattr(c, "state_names", ())}


class BackupAndRestore(Callback):
    """Saves how far training is, and lets the next `fit` go on there.

    Args:
        backup_dir: Folder of the backup, for this training alone. It is made if needed.
        save_freq: `"epoch"`, or a number of batches.
        double_checkpoint: Whether the backup before the last one is kept too, for the case that the
            last one is damaged.
        delete_checkpoint: Whether the backup is deleted when training has ended. The folder goes
            too if nothing else is in it.

    A script that is killed at any moment and is run again ends with the same bits as one that was
    not, shuffling and dropout included (Keras's does not), if it makes the same model and passes
    the same data. A generator, or an iterable with an order of its own, is read again from its
    beginning to where training was; it must give the same batches again.

    It is called after all other callbacks. Those of nnc go on with what they remembered;
    callbacks of your own do so with the attributes named in their `state_names`.

    Raises:
        ValueError: If an argument is wrong; when training begins, if the backup is damaged or of
            another model. Then nothing was changed.
        OSError: When training begins, if the folder cannot be written to or its disk is full.
    """

    def __init__(self, backup_dir, save_freq="epoch", double_checkpoint=False,
                 delete_checkpoint=True):
        super().__init__()
        if not backup_dir:
            raise ValueError("BackupAndRestore: `backup_dir` must name a folder. Received: "
                             f"backup_dir={backup_dir!r}")
        if save_freq != "epoch" and (isinstance(save_freq, bool) or not isinstance(save_freq, int)
                                     or save_freq < 1):
            raise ValueError("BackupAndRestore: `save_freq` must be 'epoch' or an integer >= 1. "
                             f"Received: save_freq={save_freq!r}")
        self.backup_dir = os.fspath(backup_dir)
        self.save_freq = save_freq
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        self._path = os.path.join(self.backup_dir, _LATEST)
        self._previous = os.path.join(self.backup_dir, _PREVIOUS)
        self._position = self._again = None
        self._epoch = self._waiting = self._before = 0
        self._last = -1

    def needs_batches(self):
        """Whether the loop must return here after each batch."""
        return self.save_freq != "epoch"

    # ---- hooks ----

    def on_train_begin(self, logs=None):
        if self._position is None:
            raise RuntimeError("BackupAndRestore works within `fit` only.")
        self._again, self._waiting, self._last = None, 0, -1
        check_folder(self.backup_dir, "BackupAndRestore", size_of(self._variables().values()))
        found = self._read()
        if found is None:
            return
        values, state = found
        jobs = self._jobs(values, state)
        position = self._position
        position.batches.seek(state["data"], state["step"])
        position.epoch, position.step = state["epoch"], state["step"]
        if state["stopped"]:
            position.epoch, position.step = self.params["epochs"], 0
        self._waiting, self._last = state["waiting"], state["step"] - 1
        self._assign(jobs, state)
        if position.step:
            self._again = values, state

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._before = self._position.batches.taken - self._position.step   # of this epoch's first
        if self._again is None:
            self._last = -1
            return
        (values, state), self._again = self._again, None    # other callbacks began the epoch anew
        self._assign(self._jobs(values, state), state)
        self._assign_metrics(values)

    def on_train_batch_end(self, batch, logs=None):
        if self.save_freq == "epoch":
            return
        step = self._position.batches.taken - self._before      # `batch` counts a group as whole
        self._waiting += step - 1 - self._last
        self._last = step - 1
        if self._waiting >= self.save_freq and not self.model.stop_training:
            self._waiting = 0
            self._save(self._epoch, step)

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq == "epoch" or self.model.stop_training:
            self._save(epoch + 1, 0)

    def on_train_end(self, logs=None):
        self._position = self._again = None
        if not self.delete_checkpoint or not os.path.isdir(self.backup_dir):
            return
        for path in (self._previous, self._path):
            if os.path.exists(path):
                os.unlink(path)
            _remove_litter(self.backup_dir, os.path.basename(path))
        if not os.listdir(self.backup_dir):
            os.rmdir(self.backup_dir)

    # ---- saving ----

    def _variables(self):
        """Name and variable of what training changes."""
        from nnc.random.seed_generator import global_seed_generator

        model, optimizer = self.model, self.model.optimizer
        if optimizer is not None and not optimizer.built:
            optimizer.build(model.trainable_variables)
        parts = {"model": model.variables,
                 "optimizer": optimizer.variables if optimizer is not None else [],
                 "random": [global_seed_generator().state]}
        return {f"{part}/{i}": variable for part, found in parts.items()
                for i, variable in enumerate(found)}

    def _metric_variables(self):
        return {f"metrics/{i}/{j}": variable for i, metric in enumerate(self.model.metrics)
                for j, variable in enumerate(metric.variables)}

    def _save(self, epoch, step):
        import json

        from nnc.saving.arrays import save_safetensors

        position = self._position
        values = self._variables()
        if step:
            values.update(self._metric_variables())
        arrays, others = {}, {}
        for place, callback in position.others().items():
            others[place] = kept = {}
            for name in callback.state_names:
                value = getattr(callback, name)
                if isinstance(value, list):                 # of weights
                    arrays.update({f"{place}/{name}/{i}": np.asarray(v)
                                   for i, v in enumerate(value)})
                    value = {"arrays": len(value)}
                kept[name] = value.item() if isinstance(value, np.generic) else value
        values.update(arrays)
        state = {"epoch": epoch, "step": step, "waiting": self._waiting,
                 "stopped": self.model.stop_training and not step,
                 "data": position.batches.where(), "callbacks": others}
        text = json.dumps(state)
        if self.double_checkpoint and os.path.exists(self._path):
            os.replace(self._path, self._previous)
        save_safetensors(self._path, values, {"state": text, "crc32": str(_checksum(values, text))})

    # ---- restoring ----

    def _read(self):
        """Values and state of the newest backup that is whole; `None` if there is none."""
        failed = None
        for path in (self._path, self._previous):
            if not os.path.exists(path):
                continue
            try:
                found = _load(path)
            except ValueError as error:
                failed = failed or error
                continue
            if failed is not None:
                os.unlink(self._path)               # it must not take the place of the whole one
                warnings.warn(f"{failed} Training goes on from the backup before it.",
                              stacklevel=2)
            return found
        if failed is not None:
            raise failed
        return None

    def _jobs(self, values, state):
        """Pairs of variable and value, if they fit the model and the data."""
        variables = self._variables()
        saved = {name for name in values if name.split("/")[0] in ("model", "optimizer", "random")}
        if saved != set(variables):
            raise ValueError(f"BackupAndRestore: {self.backup_dir} is of another model or "
                             f"optimizer: it holds {len(saved)} variables, expected "
                             f"{len(variables)}. Delete it, or use another folder.")
        for name, variable in variables.items():
            value = values[name]
            if value.shape != tuple(variable.shape) or value.dtype.name != str(variable.dtype):
                raise ValueError(
                    f"BackupAndRestore: {self.backup_dir} is of another model: variable "
                    f"'{variable.name}' ({name}) has shape {value.shape} of {value.dtype}, "
                    f"expected {tuple(variable.shape)} of {variable.dtype}. Delete it, or use "
                    "another folder.")
        self._position.batches.check(state["data"], state["step"])
        return [(variable, values[name]) for name, variable in variables.items()]

    def _assign(self, jobs, state):
        for variable, value in jobs:
            variable.assign(value)
        others = self._position.others()
        for place, kept in state["callbacks"].items():
            for name, value in kept.items() if place in others else ():
                if isinstance(value, dict):
                    value = [state["arrays"][f"{place}/{name}/{i}"]
                             for i in range(value["arrays"])]
                setattr(others[place], name, value)

    def _assign_metrics(self, values):
        for i, metric in enumerate(self.model.metrics):
            saved = [values[f"metrics/{i}/{j}"] for j in range(len(values))
                     if f"metrics/{i}/{j}" in values]
            if saved and not getattr(metric, "built", True):
                _after_build(metric, saved)
                continue
            for variable, value in zip(metric.variables, saved):
                variable.assign(value)


def _after_build(metric, saved):
    """Sets the values of a metric as soon as its first batch has made its variables."""
    def build(*args):
        del metric.build
        metric.build(*args)
        for variable, value in zip(metric.variables, saved):
            variable.assign(value)

    metric.build = build


def _checksum(values, text):
    crc = _core.crc32(text.encode())
    for name, value in values.items():
        array = np.ascontiguousarray(value.numpy() if hasattr(value, "numpy") else value)
        crc = _core.crc32(array.reshape(-1).view("uint8"), _core.crc32(name.encode(), crc))
    return crc


def _load(path):
    """Values and state of a backup.

    Raises:
        ValueError: If it is damaged.
    """
    import json

    from nnc.saving.arrays import load_safetensors, read_header

    try:
        values = load_safetensors(path)
        told = read_header(path)[0]["__metadata__"]
        whole = int(told["crc32"]) == _checksum(values, told["state"])
        state = json.loads(told["state"]) if whole else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"BackupAndRestore: {path} is damaged: {error}. Delete it to train from "
                         "the beginning.") from None
    if not whole:
        raise ValueError(f"BackupAndRestore: {path} is damaged: its checksum does not fit. Delete "
                         "it to train from the beginning.")
    state["arrays"] = values
    return values, state
