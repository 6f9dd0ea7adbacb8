"""What the callbacks that watch one quantity share: which direction is better, and by how much."""
import operator
import warnings

from nnc.callbacks.callback import Callback

# Direction of metrics that say nothing themselves.
_UP = ("acc", "accuracy", "auc", "precision", "recall", "f1_score", "r2_score")


class MonitorCallback(Callback):
    """Base of callbacks that watch `logs[monitor]`.

    Args:
        monitor: Name of the quantity.
        mode: `"min"`, `"max"`, or `"auto"`: by the metric of that name.
        baseline: First best value, or `None`.
        min_delta: A change of less than this is no improvement.
    """

    def __init__(self, monitor="val_loss", mode="auto", baseline=None, min_delta=0):
        super().__init__()
        if mode not in ("auto", "min", "max"):
            warnings.warn(
                f"{type(self).__name__}: unknown mode {mode!r}, 'auto' is used. "
                "Known: 'auto', 'min', 'max'.",
                stacklevel=3,
            )
            mode = "auto"
        self.monitor = monitor
        self.mode = mode
        self.best = baseline
        self.min_delta = abs(min_delta)
        self.monitor_op = None

    def _set_monitor_op(self):
        """Chooses the comparison; later than `__init__` because the metrics must exist."""
        mode = self.mode if self.mode != "auto" else self._direction()
        if mode is None:
            raise ValueError(
                f"{type(self).__name__}: it is not known whether monitor={self.monitor!r} should "
                "be small or large; pass mode='min' or mode='max'."
            )
        self.monitor_op = operator.gt if mode == "max" else operator.lt
        self.min_delta = abs(self.min_delta) if mode == "max" else -abs(self.min_delta)

    def _direction(self):
        name = self.monitor.removeprefix("val_")
        if name == "loss":
            return "min"
        for metric in _all_metrics(getattr(self.model, "metrics", None)):
            if getattr(metric, "name", None) == name and getattr(metric, "_direction", None):
                return "max" if metric._direction == "up" else "min"
        if name in _UP or name.endswith(("_accuracy", "_acc")):
            return "max"
        return "min" if name.endswith(("_loss", "_error", "_crossentropy")) else None

    def _is_improvement(self, value, reference):
        return reference is None or self.monitor_op(value - self.min_delta, reference)


def _all_metrics(metrics):
    for metric in metrics or ():
        yield metric
        yield from _all_metrics(getattr(metric, "metrics", None))
