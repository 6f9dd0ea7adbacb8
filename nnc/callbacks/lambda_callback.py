"""A callback made of functions."""
from nnc.callbacks.callback import HOOKS, Callback
from nnc.utils.text import suggest


class LambdaCallback(Callback):
    """Calls the functions that it is given.

    Args:
        on_epoch_begin: Called with `epoch`, `logs`.
        on_epoch_end: Called with `epoch`, `logs`.
        on_train_begin: Called with `logs`.
        on_train_end: Called with `logs`.
        on_train_batch_begin: Called with `batch` and the keyword `logs`.
        on_train_batch_end: Called with `batch` and the keyword `logs`.
        **kwargs: Functions for any other hook of `Callback`, by its name.
    """

    def __init__(
        self,
        on_epoch_begin=None,
        on_epoch_end=None,
        on_train_begin=None,
        on_train_end=None,
        on_train_batch_begin=None,
        on_train_batch_end=None,
        **kwargs,
    ):
        super().__init__()
        functions = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **kwargs,
        }
        for name, function in functions.items():
            if name not in HOOKS:
                raise TypeError(f"LambdaCallback: unknown hook {name!r}; {suggest(name, HOOKS)}")
            if function is None:
                continue
            if not callable(function):
                raise TypeError(
                    f"LambdaCallback: `{name}` must be a function. Received: {function!r}"
                )
            setattr(self, name, function)
