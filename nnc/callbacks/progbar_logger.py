"""The callback that shows progress."""
from nnc.callbacks.callback import Callback
from nnc.progress import Progbar
from nnc.utils.io import print_message


class ProgbarLogger(Callback):
    """Prints a progress bar and the metrics; `fit`, `evaluate` and `predict` add it themselves.

    `on_*_batch_end` may be called less often than once a batch: `batch` says how far the loop is.
    """

    #: The loop need not return to Python for this callback's batch hooks at every batch.
    skips_batches = True

    def __init__(self):
        super().__init__()
        self.progbar = None
        self.seen = 0
        self.target = None
        self.verbose = 1
        self.epochs = 1
        self._in_fit = False

    def set_params(self, params):
        self.params = params
        verbose = params["verbose"]
        self.verbose = 1 if verbose == "auto" else int(verbose)
        self.epochs = params["epochs"] if "epochs" in params else 1
        self.target = params["steps"]

    def is_live(self, kind):
        """Whether the bar moves during a `"train"`, `"test"` or `"predict"` loop."""
        if self.verbose != 1 or (kind == "test" and self._in_fit):
            return False
        return (self.progbar or Progbar(None)).kind != "plain"

    def on_train_begin(self, logs=None):
        self._in_fit = True                         # its validation shows no bar of its own

    def on_train_end(self, logs=None):
        self._in_fit = False

    def on_epoch_begin(self, epoch, logs=None):
        self._start()
        if not self.verbose or self.epochs <= 1:
            return
        if self.verbose == 1 and self.progbar.kind == "plain":
            self.progbar.prefix = f"Epoch {epoch + 1}/{self.epochs} - "
        else:
            print_message(f"Epoch {epoch + 1}/{self.epochs}")

    def on_test_begin(self, logs=None):
        if not self._in_fit:
            self._start()

    def on_predict_begin(self, logs=None):
        self._start()

    def on_train_batch_end(self, batch, logs=None):
        self._update(batch, logs)

    def on_test_batch_end(self, batch, logs=None):
        if not self._in_fit:
            self._update(batch, logs)

    def on_predict_batch_end(self, batch, logs=None):
        self._update(batch, None)

    def on_epoch_end(self, epoch, logs=None):
        self._finish(logs)

    def on_test_end(self, logs=None):
        if not self._in_fit:
            self._finish(logs)

    def on_predict_end(self, logs=None):
        self._finish(None)

    def _start(self):
        self.seen = 0
        self.progbar = Progbar(self.target, verbose=self.verbose, stateless_metrics=())

    def _update(self, batch, logs):
        if self.progbar is None:
            self._start()
        self.seen = batch + 1 if self.target is None else min(batch + 1, self.target)
        if self.verbose == 1:
            self.progbar.update(self.seen, list((logs or {}).items()), finalize=False)

    def _finish(self, logs):
        if self.progbar is None:
            return
        if self.target is None:
            self.target = self.progbar.target = self.seen
        self.progbar.update(self.target, list((logs or {}).items()), finalize=True)
