"""Saves the model, or its weights, while it is trained."""
import os
import re
import string
import warnings

from nnc.callbacks.lambda_callback import LambdaCallback
from nnc.callbacks.learning_rate import LearningRateScheduler, ReduceLROnPlateau
from nnc.callbacks.monitor import MonitorCallback
from nnc.utils.file import check_folder, size_of
from nnc.utils.io import print_message


class ModelCheckpoint(MonitorCallback):
    """Saves the model after each epoch, or after so many batches.

    Args:
        filepath: Where to; may hold `{epoch}`, `{batch}` and names of the logs, with formats:
            `"{epoch:02d}-{val_loss:.2f}.keras"`. Ends with `.keras` or `.h5`, with
            `save_weights_only` with `.weights.h5`.
        monitor: Name of the quantity that `save_best_only` watches.
        verbose: `1` says when it saves.
        save_best_only: Whether to save only where the quantity has never been better.
        save_weights_only: Whether weights are saved instead of the model.
        mode: `"min"`, `"max"`, or `"auto"`: by the metric of that name.
        save_freq: `"epoch"`, or a number of batches.
        initial_value_threshold: Value that the first saved model must be better than.

    When training begins, names that the logs will not hold are refused, if that can be known; the
    folder is made (up to the first name in braces) and tried to be
    written to; space on its disk, and h5py, are looked for.
    """

    state_names = ("best", "_waiting", "_last")

    def __init__(self, filepath, monitor="val_loss", verbose=0, save_best_only=False,
                 save_weights_only=False, mode="auto", save_freq="epoch",
                 initial_value_threshold=None):
        super().__init__(monitor, mode, initial_value_threshold)
        self.filepath = os.fspath(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self._epoch, self._waiting, self._last = 0, 0, None
        if save_freq != "epoch" and (isinstance(save_freq, bool) or not isinstance(save_freq, int)
                                     or save_freq < 1):
            raise ValueError("ModelCheckpoint: `save_freq` must be 'epoch' or an integer >= 1. "
                             f"Received: save_freq={save_freq!r}")
        endings = (".weights.h5",) if save_weights_only else (".keras", ".h5")
        if not self.filepath.endswith(endings):
            raise ValueError(f"ModelCheckpoint: `filepath` must end with {' or '.join(endings)} "
                             f"(save_weights_only={save_weights_only}). Received: "
                             f"filepath={self.filepath!r}")
        try:
            self._names = [re.match(r"[^.[]*", name)[0] for _, name, _, _ in
                           string.Formatter().parse(self.filepath) if name is not None]
        except ValueError as error:
            raise ValueError(f"ModelCheckpoint: `filepath` is no format: {error}. Received: "
                             f"filepath={self.filepath!r}") from None
        if "batch" in self._names and save_freq == "epoch":
            raise ValueError("ModelCheckpoint: `filepath` may name {batch} only where `save_freq` "
                             f"is a number of batches. Received: filepath={self.filepath!r}")

    def on_train_begin(self, logs=None):
        from nnc.saving.hdf5 import h5py

        h5py()
        optimizer = None if self.save_weights_only else self.model.optimizer
        size = size_of(self.model.weights) + size_of(optimizer.variables if optimizer else ())
        check_folder(os.path.dirname(self.filepath.partition("{")[0]), "ModelCheckpoint", size)
        if os.path.isdir(self.filepath):
            raise IsADirectoryError(f"ModelCheckpoint: {self.filepath} is a folder; pass the name "
                                    "of a file.")

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.save_freq == "epoch":
            return
        new = batch + 1 if self._last is None or batch <= self._last else batch - self._last
        self._last = batch
        self._waiting += new
        if self._waiting >= self.save_freq:
            self._waiting = 0
            self._save(self._epoch, batch, logs or {})

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq == "epoch":
            self._save(epoch, None, logs or {})

    def needs_batches(self):
        """Whether the loop must return here after each batch."""
        return self.save_freq != "epoch"

    def _save(self, epoch, batch, logs):
        path = self._path(epoch, batch, logs)
        if not self._is_due(epoch, logs, path):
            return
        if os.path.dirname(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        save = self.model.save_weights if self.save_weights_only else self.model.save
        save(path, overwrite=True)
        if self.verbose > 0:
            print_message(f"\nEpoch {epoch + 1}: finished saving model to {path}")

    def _path(self, epoch, batch, logs):
        names = {"epoch": epoch + 1, **({} if batch is None else {"batch": batch + 1}), **logs}
        try:
            return self.filepath.format(**names)
        except KeyError as error:
            raise KeyError(self._missing(error.args[0], names)) from None

    def _missing(self, name, known):
        val = " There is no validation in it." if name.startswith("val_") and not any(
            other.startswith("val_") for other in known) else ""
        return (f"ModelCheckpoint: filepath={self.filepath!r} asks for {name!r}, which is not among "
                f"what it can be made of: {sorted(known)}.{val}")

    def _is_due(self, epoch, logs, path):
        say = print_message if self.verbose > 0 else (lambda text: None)
        if not self.save_best_only:
            say(f"\nEpoch {epoch + 1}: saving model to {path}")
            return True
        current = logs.get(self.monitor)
        if current is None or getattr(current, "shape", ()):
            what = "is not there" if current is None else f"is no single number: {current}"
            warnings.warn(f"ModelCheckpoint: monitor={self.monitor!r} {what}, so the model is "
                          f"saved whatever it is. The logs hold {sorted(logs)}.", stacklevel=2)
            return True
        if self.monitor_op is None:
            self._set_monitor_op()
        best = "None" if self.best is None else f"{self.best:.5f}"
        if not self._is_improvement(current, self.best):
            say(f"\nEpoch {epoch + 1}: {self.monitor} did not improve from {best}")
            return False
        say(f"\nEpoch {epoch + 1}: {self.monitor} improved from {best} to {current:.5f}, saving "
            f"model to {path}")
        self.best = current
        return True


def check_names(callbacks, run, batches, validation):
    """Refuses a `filepath` with a name that no log will hold, before the first step.

    That is known of steps that are recorded, if all callbacks are nnc's own and call no function of
    the user's: others may add to the logs.

    Args:
        callbacks: All callbacks of a `fit`.
        run, batches: What it trains with.
        validation: Those that it validates with, or `None`.
    """
    asking = [c for c in callbacks if isinstance(c, ModelCheckpoint) and c._names]
    if not asking or not all(type(c).__module__.startswith("nnc.callbacks.")
                             and not isinstance(c, LambdaCallback) for c in callbacks):
        return
    size = next(iter(batches.sizes()), None)
    names = None if size is None else run.log_names(size)
    held = ()
    if names is not None and validation is not None:
        size = next(iter(validation[1].sizes()), None)
        held = None if size is None else validation[0].log_names(size)
    if names is None or held is None:
        return
    if any(isinstance(c, (LearningRateScheduler, ReduceLROnPlateau)) for c in callbacks):
        names = [*names, "learning_rate"]
    for callback in asking:
        epochs = callback.save_freq == "epoch"
        known = {"epoch", *names, *((f"val_{name}" for name in held) if epochs else ("batch",))}
        for name in callback._names:
            if name not in known:
                raise ValueError(callback._missing(name, known))
