"""The record of a training run."""
import math

from nnc.callbacks.callback import Callback


class History(Callback):
    """Keeps the logs of each epoch; `fit` adds one and returns it.

    Attributes:
        epoch: List of the epochs' numbers, from 0.
        history: Dict of name and list of values, one an epoch.
        params: Dict of the run: `verbose`, `epochs`, `steps`.

    In a notebook it shows itself as curves and a table; `plot()` draws them with matplotlib.
    """

    def __init__(self):
        super().__init__()
        self.epoch = []
        self.history = {}

    def on_train_begin(self, logs=None):
        self.epoch = []

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
        self.model.history = self

    def best_index(self):
        """Index of the best epoch, by `val_loss`, else `loss`; `None` if there is none."""
        losses = self.history.get("val_loss") or self.history.get("loss") or []
        finite = [(v, i) for i, v in enumerate(losses) if isinstance(v, float) and math.isfinite(v)]
        return min(finite)[1] if finite else None

    def epoch_numbers(self):
        """Numbers of the rows of `history`, from 1."""
        count = max((len(v) for v in self.history.values()), default=0)
        if len(self.epoch) == count:
            return [e + 1 for e in self.epoch]
        return list(range(1, count + 1))            # rows of several runs: counted through

    def __repr__(self):
        count = max((len(v) for v in self.history.values()), default=0)
        if not count:
            return "<History: no epoch yet>"
        lines = [f"<History: {count} epoch{'s' if count > 1 else ''}",
                 f"  last ({self._label(count - 1)}): {self._row(count - 1)}"]
        best = self.best_index()
        if best is not None:
            lines.append(f"  best ({self._label(best)}): {self._row(best)}")
        return "\n".join(lines) + ">"

    def _label(self, index):
        return f"epoch {self.epoch_numbers()[index]}"

    def _row(self, index):
        values = [(k, v[index]) for k, v in self.history.items() if index < len(v)]
        return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values)

    def _repr_html_(self):
        from nnc.html import history_html

        return history_html(self)

    def to_pandas(self):
        """A pandas table with a row an epoch, by the epochs' numbers from 1."""
        try:
            import pandas
        except ImportError as error:
            raise ImportError("History.to_pandas needs pandas: pip install pandas") from error
        index = pandas.Index(self.epoch_numbers(), name="epoch")
        series = {k: pandas.Series(v, index[:len(v)]) for k, v in self.history.items()}
        return pandas.DataFrame(series, index=index)

    def save(self, path):
        """Writes the history as JSON."""
        import json

        from nnc.utils.file import atomic_write

        found = {"epoch": self.epoch, "history": self.history, "params": self.params}
        with atomic_write(path, "w", encoding="utf-8") as f:
            json.dump(found, f, default=lambda value: value.tolist())

    @classmethod
    def load(cls, path):
        """The history that `save` wrote."""
        import json

        with open(path, encoding="utf-8") as f:
            found = json.load(f)
        if not isinstance(found, dict) or not {"epoch", "history"} <= set(found):
            raise ValueError(f"History.load: {path} holds no history.")
        made = cls()
        made.epoch, made.history = found["epoch"], found["history"]
        made.params = found.get("params")
        return made

    def __add__(self, other):
        """Both histories as one, for a run that was resumed: `first + second`."""
        if not isinstance(other, History):
            return NotImplemented
        made = History()
        made.epoch = [*self.epoch, *other.epoch]
        names = [*self.history, *(k for k in other.history if k not in self.history)]
        count = len(self.epoch)
        for name in names:
            begin = list(self.history.get(name, []))
            if name in other.history and len(begin) < count:
                begin += [float("nan")] * (count - len(begin))
            made.history[name] = begin + list(other.history.get(name, []))
        made.params = other.params
        return made

    def plot(self, metrics=None, ax=None):
        """Draws the curves with matplotlib.

        Args:
            metrics: List of names without `val_`, or `None` for all. Validation is drawn dashed.
            ax: Axes to draw into; by default one new axes a name, side by side.

        Returns:
            The matplotlib figure.

        Raises:
            ImportError: If matplotlib is not installed.
            ValueError: If a name is not in the history.
        """
        groups = self.curve_groups()
        if isinstance(metrics, str):
            metrics = [metrics]
        names = list(groups) if metrics is None else list(metrics)
        for name in names:
            if name not in groups:
                from nnc.utils.text import suggest

                raise ValueError(f"History.plot: no curve {name!r}; {suggest(name, groups)}")
        if not names:
            raise ValueError("History.plot: there is no epoch to draw yet.")
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError(
                "History.plot needs matplotlib: pip install matplotlib"
            ) from error
        if ax is None:
            size = (4.5 * len(names), 3.2)
            figure, row = plt.subplots(1, len(names), figsize=size, squeeze=False)
            axes = list(row[0])
        else:
            figure, axes = ax.figure, [ax] * len(names)
        for name, axis in zip(names, axes):
            for label, values in groups[name].items():
                style = "--" if label.startswith("val_") else "-"
                axis.plot(range(1, len(values) + 1), values, style, marker=".", label=label)
            axis.set_xlabel("epoch")
            axis.legend()
        if ax is None:
            figure.tight_layout()
        return figure

    def curve_groups(self):
        """`{"loss": {"loss": [...], "val_loss": [...]}, ...}`: what belongs into one picture."""
        groups = {}
        for name, values in self.history.items():
            if values and all(isinstance(v, (int, float)) for v in values):
                groups.setdefault(name.removeprefix("val_"), {})[name] = values
        return {k: dict(sorted(groups[k].items())) for k in sorted(groups)}
