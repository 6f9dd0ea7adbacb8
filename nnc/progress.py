"""The progress bar: Keras's text, fed with counters.

Three manners, chosen by where the output goes:
- a terminal: one line, redrawn over itself with a carriage return, in Keras's colours;
- a notebook: the same line, about ten times a second;
- anything else (a file, a pipe): one plain line at the end, without control characters.
A line wider than the terminal would scroll at each update, so an unfinished line is cut to the
width.
"""
import shutil
import sys
import time

from nnc.utils import io

_BOLD, _GREEN, _WHITE, _OFF = "\x1b[1m", "\x1b[32m", "\x1b[37m", "\x1b[0m"


def display_kind():
    """`"terminal"`, `"notebook"` or `"plain"`: how the standard output shows text."""
    out = sys.stdout
    if not io.is_interactive_logging_enabled():
        return "plain"
    if type(out).__module__.partition(".")[0] == "ipykernel":
        return "notebook"
    isatty = getattr(out, "isatty", None)
    try:
        return "terminal" if isatty is not None and isatty() else "plain"
    except ValueError:                              # closed
        return "plain"


class Progbar:
    """Shows how far a loop is.

    Args:
        target: Number of steps, or `None` if unknown.
        width: Characters of the bar.
        verbose: `0` silent, `1` a bar, `2` one line at the end.
        interval: Seconds between two updates, at least.
        stateful_metrics: Names of metrics shown as they are; all others are averaged over the
            steps.
        stateless_metrics: Names of metrics averaged over the steps; all others are shown as they
            are.
        unit_name: What one step is called.
    """

    def __init__(
        self,
        target,
        width=20,
        verbose=1,
        interval=0.05,
        stateful_metrics=None,
        stateless_metrics=None,
        unit_name="step",
    ):
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ValueError(
                "Progbar: only one of `stateful_metrics` and `stateless_metrics` can be given."
            )
        self.target = target
        self.width = width
        self.verbose = verbose
        self.unit_name = unit_name
        self.prefix = ""                            # set before the plain line: "Epoch 1/5 - "
        self.kind = display_kind()
        self.interval = max(interval, 0.1) if self.kind == "notebook" else interval
        self._stateful = None if stateful_metrics is None else set(stateful_metrics)
        self._stateless = None if stateless_metrics is None else set(stateless_metrics)
        self._values = {}                           # name: [sum, weight]
        self._seen = 0
        self._start = time.time()
        self._after_first = None
        self._last_update = 0.0
        self._shown = 0                             # characters on the line now

    def update(self, current, values=None, finalize=None):
        """Shows step `current`.

        Args:
            current: Steps done.
            values: List of `(name, value of the steps since the last update)`.
            finalize: Whether this is the last update. Defaults to `current >= target`.
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        self._gather(current, values or (), finalize)
        now = time.time()
        per_unit = self._step_time(current, now)
        if self.verbose == 1 and self.kind != "plain":
            if now - self._last_update < self.interval and not finalize:
                return
            self._draw(current, now, per_unit, finalize)
        elif self.verbose and finalize:
            io.print_message(self._plain_line(current, now, per_unit))
        self._last_update = now

    def add(self, n, values=None):
        """Shows `n` steps more."""
        self.update(self._seen + n, values)

    def _gather(self, current, values, finalize):
        for name, value in values:
            if self._stateless is not None:
                averaged = name in self._stateless
            else:
                averaged = self._stateful is None or name not in self._stateful
            if not averaged or finalize:
                self._values[name] = [value, 1]
                continue
            steps = max(current - self._seen, 1)
            pair = self._values.setdefault(name, [0.0, 0])
            pair[0] = pair[0] + value * steps
            pair[1] += steps
        self._seen = current

    def _step_time(self, current, now):
        """Seconds a step, without the first one (it compiles and warms up) where that is known."""
        if not current:
            return 0
        if self._after_first is not None and current > 1:
            return (now - self._after_first) / (current - 1)
        if current == 1:
            self._after_first = now
        return (now - self._start) / current

    def _draw(self, current, now, per_unit, finalize):
        known = self.target is not None and self.target > 0
        if known:
            done = int(self.width * min(current / self.target, 1.0))
            count = f"{current:{len(str(self.target))}d}/{self.target}"
            head = f"{_BOLD}{count}{_OFF} "
            if done > 0:
                head += f"{_GREEN}{'━' * done}{_OFF}"
            head += f"{_WHITE}{'━' * (self.width - done)}{_OFF}"
            length = len(count) + 1 + self.width
        else:
            head = f"{current:7d}/Unknown"
            length = len(head)
        if known and not finalize:
            clock = format_eta(per_unit * (self.target - current))
        else:
            clock = f"{now - self._start:.0f}s"
        tail = format_step_time(per_unit, self.unit_name) + self._metrics()
        length += 1 + len(clock)
        if not finalize:
            room = shutil.get_terminal_size().columns - 1 - length
            tail = tail[:max(room, 0)]
        length += len(tail)
        blank = " " * (self._shown - length)
        end = "\n" if finalize else ""
        io.print_message(f"\r{head} {_BOLD}{clock}{_OFF}{tail}{blank}{end}", line_break=False)
        self._shown = length

    def _plain_line(self, current, now, per_unit):
        count = f"{current}"
        if self.target is not None and self.target > 0:
            count = f"{current:{len(str(self.target))}d}/{self.target}"
        step = format_step_time(per_unit, self.unit_name)
        return f"{self.prefix}{count} - {now - self._start:.0f}s -{step}{self._metrics()}"

    def _metrics(self):
        text = ""
        for name, (total, weight) in self._values.items():
            try:
                value = float(total) / max(1, weight)
            except TypeError:                       # an array: its mean
                import numpy as np

                value = float(np.mean(total)) / max(1, weight)
            text += f" - {name}: " + (f"{value:.4f}" if abs(value) > 1e-3 else f"{value:.4e}")
        return text


ProgressBar = Progbar


def format_eta(seconds):
    """`"1:01:01"`, `"1:01"` or `"59s"`."""
    if seconds > 3600:
        return f"{int(seconds // 3600)}:{int(seconds % 3600 // 60):02d}:{int(seconds % 60):02d}"
    if seconds > 60:
        return f"{int(seconds // 60)}:{int(seconds % 60):02d}"
    return f"{int(seconds)}s"


def format_step_time(seconds, unit):
    """`" 2s/step"`, `" 3ms/step"` or `" 40us/step"`."""
    if seconds >= 1 or seconds == 0:
        return f" {seconds:.0f}s/{unit}"
    if seconds >= 1e-3:
        return f" {seconds * 1e3:.0f}ms/{unit}"
    return f" {seconds * 1e6:.0f}us/{unit}"
