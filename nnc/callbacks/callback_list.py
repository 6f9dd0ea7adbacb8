"""Several callbacks called as one."""
from nnc.callbacks.callback import HOOKS, Callback, overrides
from nnc.callbacks.history import History
from nnc.callbacks.progbar_logger import ProgbarLogger

_BATCH_HOOKS = {
    "train": ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end"),
    "test": ("on_test_batch_begin", "on_test_batch_end"),
    "predict": ("on_predict_batch_begin", "on_predict_batch_end"),
}


class CallbackList(Callback):
    """Calls every callback of a list, in order.

    Args:
        callbacks: `None`, a callback, or a (nested) list of callbacks.
        add_history: Whether to add a `History` if the list has none.
        add_progbar: Whether to add a `ProgbarLogger` if the list has none.
        model: The model of the run.
        **params: Given to each callback's `set_params`: `verbose`, `epochs`, `steps`.
    """

    def __init__(self, callbacks=None, add_history=False, add_progbar=False, model=None, **params):
        super().__init__()
        self.callbacks = _flatten(callbacks)
        self._progbar = _last(self.callbacks, ProgbarLogger)
        self._history = _last(self.callbacks, History)
        if self._history is None and add_history:
            self._history = History()
            self.callbacks.append(self._history)
        if self._progbar is None and add_progbar:
            self._progbar = ProgbarLogger()
            self.callbacks.append(self._progbar)
        self.set_model(model)
        self.set_params(params)

    @property
    def history(self):
        """The `History` of the list, or `None`."""
        return self._history

    def append(self, callback):
        """Adds a callback at the end."""
        self.callbacks.extend(_flatten(callback))

    def set_params(self, params):
        self.params = params
        if params:
            for callback in self.callbacks:
                callback.set_params(params)

    def set_model(self, model):
        if model is None:
            return
        super().set_model(model)
        if self._history is not None:
            model.history = self._history
        for callback in self.callbacks:
            callback.set_model(model)

    def needs_batch_hooks(self, kind):
        """Whether a callback must be called at every batch.

        Args:
            kind: `"train"`, `"test"` or `"predict"`.

        Where it is false, the loop may run many batches at once and call `on_*_batch_end` with the
        last of them, as often as the progress bar shall move; see `needs_updates`.
        """
        return any(
            not getattr(callback, "skips_batches", False)
            and getattr(callback, "needs_batches", lambda: True)()
            and any(overrides(callback, hook) for hook in _BATCH_HOOKS[kind])
            for callback in self.callbacks
        )

    def batch_caller(self, hook):
        """What calls a hook of batches, for those who have one; `None` if nobody has.

        The loop asks once an epoch: a callback that leaves the hook as it is costs nothing a batch.
        """
        if getattr(type(self), hook) is not getattr(CallbackList, hook) or hook in self.__dict__:
            return getattr(self, hook)
        names = (hook, hook.replace("_train", "")) if "_train_" in hook else (hook,)
        calls = [getattr(callback, hook) for callback in self.callbacks
                 if any(overrides(callback, name) for name in names)]
        if not calls:
            return None

        def call(batch, logs=None):
            logs = plain_logs(logs)
            for one in calls:
                one(batch, logs=logs)
        return call

    def needs_updates(self, kind):
        """Whether a progress bar wants to move within the epoch."""
        return any(
            getattr(callback, "skips_batches", False) and callback.is_live(kind)
            for callback in self.callbacks
        )


def _caller(hook):
    """The method that calls `hook` of every callback with plain floats as logs."""
    if hook.endswith(("_begin", "_end")) and hook.split("_")[-2] in ("train", "test", "predict"):
        def call(self, logs=None):
            logs = plain_logs(logs)
            for callback in self.callbacks:
                getattr(callback, hook)(logs)
    elif "batch" in hook:
        def call(self, batch, logs=None):
            logs = plain_logs(logs)
            for callback in self.callbacks:
                getattr(callback, hook)(batch, logs=logs)
    else:
        def call(self, epoch, logs=None):
            logs = plain_logs(logs)
            for callback in self.callbacks:
                getattr(callback, hook)(epoch, logs)
    call.__name__ = hook
    call.__doc__ = f"Calls `{hook}` of every callback."
    return call


for _hook in HOOKS:
    setattr(CallbackList, _hook, _caller(_hook))


def plain_logs(logs):
    """A flat dict, sorted by name, of Python floats; what is no number stays as it is."""
    if not logs:
        return {}
    result = {}
    for name, value in sorted(logs.items()):
        if type(value) is float:
            result[name] = value
            continue
        if isinstance(value, dict):
            result.update(plain_logs(value))
            continue
        if not isinstance(value, float):
            try:
                value = float(value)
            except (TypeError, ValueError):
                pass
        result[name] = value
    return result


def _flatten(callbacks):
    if callbacks is None:
        return []
    if isinstance(callbacks, (list, tuple)):
        return [c for part in callbacks for c in _flatten(part)]
    if isinstance(callbacks, type):
        raise TypeError(
            f"callbacks: received the class {callbacks.__name__}; pass an object: "
            f"{callbacks.__name__}()"
        )
    missing = [name for name in (*HOOKS, "set_model", "set_params")
               if not callable(getattr(callbacks, name, None))]
    if missing:
        raise TypeError(
            f"callbacks: each must be a `Callback`. Received: {callbacks!r} (of type "
            f"{type(callbacks).__name__}), which has no `{missing[0]}`"
        )
    return [callbacks]


def _last(callbacks, cls):
    found = [c for c in callbacks if isinstance(c, cls)]
    return found[-1] if found else None
