"""Curves in a notebook that move while the model is trained."""
import time

from nnc.callbacks.callback import Callback


class LivePlot(Callback):
    """Shows the curves of the history in a notebook, in one place, at most twice a second.

    Args:
        interval: Seconds between two updates, at least.

    Outside a notebook it does nothing.
    """

    def __init__(self, interval=0.5):
        super().__init__()
        self.interval = interval
        self._curves, self._shown, self._handle = {}, 0.0, None

    def on_train_begin(self, logs=None):
        self._curves, self._shown, self._handle = {}, 0.0, None

    def on_epoch_end(self, epoch, logs=None):
        for name, value in (logs or {}).items():
            if isinstance(value, float):
                group = self._curves.setdefault(name.removeprefix("val_"), {})
                group.setdefault(name, []).append(value)
        if time.monotonic() - self._shown >= self.interval:
            self._show()

    def on_train_end(self, logs=None):
        self._show()

    def html(self):
        """The pictures as HTML."""
        from nnc.html import curves_svg

        return "".join(curves_svg(name, dict(sorted(curves.items())))
                       for name, curves in sorted(self._curves.items()))

    def _show(self):
        from nnc.progress import display_kind

        if display_kind() != "notebook" or not self._curves:
            return
        from IPython.display import HTML, display

        self._shown = time.monotonic()
        if self._handle is None:
            self._handle = display(HTML(self.html()), display_id=True)
        else:
            self._handle.update(HTML(self.html()))
