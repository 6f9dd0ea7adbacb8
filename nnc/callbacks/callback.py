"""The base of all callbacks."""

#: Every hook, in the order in which a reader meets them.
HOOKS = (
    "on_train_begin", "on_train_end", "on_test_begin", "on_test_end", "on_predict_begin",
    "on_predict_end", "on_epoch_begin", "on_epoch_end", "on_batch_begin", "on_batch_end",
    "on_train_batch_begin", "on_train_batch_end", "on_test_batch_begin", "on_test_batch_end",
    "on_predict_batch_begin", "on_predict_batch_end",
)


class Callback:
    """Base class: subclass it and override the hooks that you need.

    Attributes:
        params: Dict of the run: `verbose`, `epochs`, `steps`.
        model: The model that runs.
        state_names: Names of the attributes (numbers, strings, lists of arrays) that
            `BackupAndRestore` keeps.

    `logs` is a dict of names and floats: of the running means at a batch's end, of the epoch's
    results (validation's with the prefix `val_`) at an epoch's end. A callback may add to it;
    later callbacks and the history see what it added.

    Overriding a hook of batches makes the loop return to Python at every batch; without one, whole
    stretches of an epoch run in C.
    """

    state_names = ()

    def __init__(self):
        self.params = None
        self._model = None

    def set_params(self, params):
        """Receives the run's parameters before it starts."""
        self.params = params

    def set_model(self, model):
        """Receives the model before the run starts."""
        self._model = model

    @property
    def model(self):
        """The model that runs."""
        return self._model

    def on_batch_begin(self, batch, logs=None):
        """Older name of `on_train_batch_begin`."""

    def on_batch_end(self, batch, logs=None):
        """Older name of `on_train_batch_end`."""

    def on_epoch_begin(self, epoch, logs=None):
        """Before an epoch of `fit`. `epoch` counts from 0."""

    def on_epoch_end(self, epoch, logs=None):
        """After an epoch of `fit`, validation included."""

    def on_train_batch_begin(self, batch, logs=None):
        """Before a batch of `fit`."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch, logs=None):
        """After a batch of `fit`."""
        self.on_batch_end(batch, logs=logs)

    def on_test_batch_begin(self, batch, logs=None):
        """Before a batch of `evaluate`, or of the validation in `fit`."""

    def on_test_batch_end(self, batch, logs=None):
        """After a batch of `evaluate`, or of the validation in `fit`."""

    def on_predict_batch_begin(self, batch, logs=None):
        """Before a batch of `predict`."""

    def on_predict_batch_end(self, batch, logs=None):
        """After a batch of `predict`; `logs["outputs"]` are its results."""

    def on_train_begin(self, logs=None):
        """When `fit` begins."""

    def on_train_end(self, logs=None):
        """When `fit` ends; `logs` are the last epoch's."""

    def on_test_begin(self, logs=None):
        """When `evaluate`, or the validation in `fit`, begins."""

    def on_test_end(self, logs=None):
        """When `evaluate`, or the validation in `fit`, ends."""

    def on_predict_begin(self, logs=None):
        """When `predict` begins."""

    def on_predict_end(self, logs=None):
        """When `predict` ends."""


def overrides(callback, hook):
    """Whether a callback brings its own version of a hook: in its class, or set on the object."""
    if hook in getattr(callback, "__dict__", ()):
        return True
    return getattr(type(callback), hook, None) is not getattr(Callback, hook)
