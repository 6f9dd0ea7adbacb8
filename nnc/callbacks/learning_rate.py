"""Callbacks that change the learning rate between epochs."""
import warnings

import numpy as np

from nnc.callbacks.callback import Callback
from nnc.callbacks.monitor import MonitorCallback
from nnc.utils.io import print_message


def _learning_rate(optimizer):
    if not hasattr(optimizer, "learning_rate"):
        raise ValueError('Optimizer must have a "learning_rate" attribute.')
    return float(np.asarray(optimizer.learning_rate))


class LearningRateScheduler(Callback):
    """Sets the learning rate at the beginning of each epoch.

    Args:
        schedule: Function of the epoch (from 0) and the present rate that returns the new one as a
            float. A function of the epoch alone will do.
        verbose: `1` says each new rate.
    """

    def __init__(self, schedule, verbose=0):
        super().__init__()
        if not callable(schedule):
            raise TypeError(
                f"LearningRateScheduler: `schedule` must be a function. Received: {schedule!r}"
            )
        self.schedule = schedule
        self.verbose = verbose
        self._takes_rate = None

    def on_epoch_begin(self, epoch, logs=None):
        optimizer = self.model.optimizer
        rate = self._call(epoch, _learning_rate(optimizer))
        if not isinstance(rate, (float, np.floating)):
            try:
                # a 0-d array or tensor of floats will do; an integer is mostly a slip
                if np.asarray(rate).dtype.kind != "f" or np.ndim(rate):
                    raise TypeError
            except (TypeError, ValueError):
                raise ValueError(
                    "The output of the `schedule` function should be a float. "
                    f"Got: {rate!r}"
                ) from None
        rate = float(rate)
        optimizer.learning_rate = rate
        if self.verbose > 0:
            print_message(
                f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}."
            )

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["learning_rate"] = _learning_rate(self.model.optimizer)

    def _call(self, epoch, rate):
        if self._takes_rate is None:
            self._takes_rate = _accepts_two(self.schedule)
        return self.schedule(epoch, rate) if self._takes_rate else self.schedule(epoch)


def _accepts_two(function):
    import inspect

    try:
        inspect.signature(function).bind(0, 0.0)
    except TypeError:
        return False
    except ValueError:                              # a built-in without a signature
        pass
    return True


class ReduceLROnPlateau(MonitorCallback):
    """Lowers the learning rate when a monitored quantity has stopped improving.

    Args:
        monitor: Name of the quantity in the logs.
        factor: The rate is multiplied by this. Below 1.
        patience: Epochs without improvement after which the rate is lowered.
        verbose: `1` says each new rate.
        mode: `"min"`, `"max"`, or `"auto"`: by the metric of that name.
        min_delta: A change of less than this is no improvement.
        cooldown: Epochs to wait after a change before counting again.
        min_lr: The rate is never lowered below this.
    """

    state_names = ("best", "cooldown_counter", "wait")

    def __init__(
        self,
        monitor="val_loss",
        factor=0.1,
        patience=10,
        verbose=0,
        mode="auto",
        min_delta=1e-4,
        cooldown=0,
        min_lr=0.0,
    ):
        super().__init__(monitor, mode, min_delta=min_delta)
        if factor >= 1.0:
            raise ValueError(f"ReduceLROnPlateau: `factor` must be < 1. Received: factor={factor}")
        self.factor = factor
        self.min_lr = min_lr
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self._reset()

    def _reset(self):
        self.best = None
        self.cooldown_counter = 0
        self.wait = 0

    def on_train_begin(self, logs=None):
        self._reset()

    def on_epoch_end(self, epoch, logs=None):
        if self.monitor_op is None:
            self._set_monitor_op()
        logs = {} if logs is None else logs
        logs["learning_rate"] = _learning_rate(self.model.optimizer)
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(
                f"Learning rate reduction is conditioned on metric `{self.monitor}` which is not "
                f"available. Available metrics are: {','.join(logs)}.",
                stacklevel=2,
            )
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_improvement(current, self.best):
            self.best = current
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and self._reduce(epoch):
                self.cooldown_counter = self.cooldown
                self.wait = 0

    def _reduce(self, epoch):
        optimizer = self.model.optimizer
        old = _learning_rate(optimizer)
        if old <= np.float32(self.min_lr):          # the rate is kept in float32
            return False
        new = max(old * self.factor, self.min_lr)
        optimizer.learning_rate = new
        if self.verbose > 0:
            print_message(
                f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {new}."
            )
        return True

    def in_cooldown(self):
        """Whether the callback still waits after its last change."""
        return self.cooldown_counter > 0
