"""Where the time of a model goes: `nnc.profile`.

The forward pass and, with targets, the whole training step are recorded with the names of their
layers, made into the program that `predict` or `fit` would run, and run node by node between two
barriers, on all threads, or on one where that is quicker, as `fit` does with short steps. A node's
time is the median of the repetitions. The barriers cost what they cost: the sum of the nodes is
somewhat more than the time of a step run at a stretch, which is measured too.
"""
import statistics
import time

import numpy as np

from . import _core
from .ops.core import numpy_dtype
from .recording import Run
from .tracing import item_size, trace

_PHASES = {"forward": "#3b78c2", "backward": "#d9762b", "update": "#3f9b57"}
_MOST = 400                 # repetitions


class Profile:
    """What `nnc.profile` found.

    Attributes:
        name: The model's name.
        batch_size: Samples in a batch.
        threads: Threads that worked.
        peak: GFLOP/s of multiply-adds of these threads, measured in the same call; in mixed_bfloat16
            of products of bfloat16.
        parts: Dict of `"predict"` and `"train"` (with targets), a `Part` each.
        weights_bytes, optimizer_bytes: Memory of the variables.

    Its text is a table; in a notebook it is HTML. `chrome_trace(path)` writes what
    chrome://tracing and Perfetto load, `svg()` gives a picture, `to_dict()` everything.
    """

    def __init__(self, name, batch_size, threads, peak, parts, weights_bytes, optimizer_bytes):
        self.name, self.batch_size, self.threads, self.peak = name, batch_size, threads, peak
        self.parts = parts
        self.weights_bytes, self.optimizer_bytes = weights_bytes, optimizer_bytes

    def to_dict(self):
        """All figures, as JSON takes them."""
        return {"name": self.name, "batch_size": self.batch_size, "threads": self.threads,
                "peak_gflops": self.peak, "weights_bytes": self.weights_bytes,
                "optimizer_bytes": self.optimizer_bytes,
                "parts": {kind: part.to_dict() for kind, part in self.parts.items()}}

    def chrome_trace(self, path=None):
        """A timeline for chrome://tracing or ui.perfetto.dev: written to `path` if it is given.

        Returns:
            The trace as a dictionary.
        """
        import json

        events = []
        for number, (kind, part) in enumerate(self.parts.items()):
            events.append({"name": "process_name", "ph": "M", "pid": number, "tid": 0,
                           "args": {"name": f"{self.name}: {kind}"}})
            for row in part.rows:
                events.append({
                    "name": row["op"], "cat": row["phase"], "ph": "X", "pid": number, "tid": 0,
                    "ts": row["begin"] * 1e6, "dur": row["seconds"] * 1e6,
                    "args": {"layer": row["layer"], "gflops": row["gflops"],
                             "bytes": row["bytes"], "shapes": row["shapes"]}})
        made = {"traceEvents": events, "displayTimeUnit": "ns"}
        if path is not None:
            from .utils.file import atomic_write

            with atomic_write(path, "w", encoding="utf-8") as f:
                json.dump(made, f)
        return made

    def svg(self, path=None):
        """The parts as bars of their nodes, longest first: SVG as text, written to `path` if it is
        given.
        """
        text = _svg(self)
        if path is not None:
            from .utils.file import atomic_write

            with atomic_write(path, "w", encoding="utf-8") as f:
                f.write(text)
        return text

    def _head(self):
        from .summary import memory_text

        memory = f"weights {memory_text(self.weights_bytes)}"
        if self.optimizer_bytes:
            memory += f", optimizer {memory_text(self.optimizer_bytes)}"
        return (f"{self.name}: batch of {self.batch_size}, {self.threads} thread"
                f"{'s' if self.threads > 1 else ''}, {_core.isa()}, peak {self.peak:.0f} GFLOP/s; "
                f"{memory}")

    def __repr__(self):
        lines = [self._head()]
        for kind, part in self.parts.items():
            lines += ["", part._title(kind)]
            lines += _text_table(_HEADER, [_cells(row, part) for row in part.table()])
        return "\n".join(lines)

    def _repr_html_(self):
        from .html import _escape, table_html

        text = f"<div><b>{_escape(self._head())}</b>{self.svg()}"
        for kind, part in self.parts.items():
            text += f"<br><b>{_escape(part._title(kind))}</b>" + table_html(
                _HEADER, [_cells(row, part) for row in part.table()], _SIDES)
        return text + "</div>"


class Part:
    """One of the two programs.

    Attributes:
        rows: List of dicts, one a node in the order of the schedule: `layer`, `op`, `phase`,
            `begin`, `seconds`, `flops`, `gflops`, `share_of_peak`, `bytes`, `shapes`, `count`.
        step_seconds: The time of a step that is run at a stretch.
        arena_bytes: Memory for the values of a step.
    """

    def __init__(self, rows, step_seconds, arena_bytes):
        self.rows, self.step_seconds, self.arena_bytes = rows, step_seconds, arena_bytes

    @property
    def seconds(self):
        """The sum over the nodes."""
        return sum(row["seconds"] for row in self.rows)

    def table(self):
        """The rows of the text: nodes of one layer, op and phase together, longest first."""
        groups = {}
        for row in self.rows:
            key = row["layer"], row["op"], row["phase"]
            if key not in groups:
                groups[key] = dict(row)
                continue
            group = groups[key]
            for name in ("seconds", "flops", "bytes", "count"):
                group[name] += row[name]
        for group in groups.values():
            seconds = max(group["seconds"], 1e-12)
            factor = group["flops"] / seconds / 1e9 / max(group["gflops"], 1e-30)
            group["gflops"] *= factor
            group["share_of_peak"] *= factor
        return sorted(groups.values(), key=lambda row: -row["seconds"])

    def to_dict(self):
        """All figures."""
        return {"rows": [dict(row) for row in self.rows], "seconds": self.seconds,
                "step_seconds": self.step_seconds, "arena_bytes": self.arena_bytes}

    def _title(self, kind):
        from .summary import memory_text

        flops = sum(row["flops"] for row in self.rows)
        what = {"predict": "forward pass", "train": "training step"}[kind]
        return (f"{what}: {self.step_seconds * 1e6:.1f} us a step at a stretch "
                f"({flops / self.step_seconds / 1e9:.1f} GFLOP/s), {self.seconds * 1e6:.1f} us as "
                f"the sum of {len(self.rows)} nodes, arena {memory_text(self.arena_bytes)}")


def profile(model, x, y=None, sample_weight=None, batch_size=32, seconds=0.5):
    """Times each op of a model.

    Args:
        model: The model, compiled if `y` is given.
        x: Inputs, at least a batch of them.
        y: Targets: the training step is timed too. The model is as before afterwards.
        sample_weight: Weights of the samples.
        batch_size: Samples in a batch.
        seconds: How long each program is timed.

    Returns:
        A `Profile`.

    Raises:
        ValueError: If the model is not compiled, or there are too few samples.
        TraceError: If the model's step cannot be recorded, because it asks for values.
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError("profile: `batch_size` must be an integer >= 1. Received: "
                         f"batch_size={batch_size!r}")
    if not isinstance(seconds, (int, float)) or not seconds > 0:
        raise ValueError(f"profile: `seconds` must be > 0. Received: seconds={seconds!r}")
    if y is not None:
        model._check_compiled("profile")
    data = model._standardized(x, y, sample_weight, who="profile")
    if data.count < batch_size:
        raise ValueError(f"profile: a batch of {batch_size} samples is asked for. Received: "
                         f"{data.count} samples")
    forward = model._standardized(x, who="profile")
    parts = {"predict": _timed(Run(model, "predict", forward), batch_size, seconds, ())}
    slots = []
    if y is not None:
        run = Run(model, "train", data)
        model._prepare(run, [batch_size])
        slots = model.optimizer.variables
        state = [*model.variables, *slots, *(v for m in model.metrics for v in m.variables)]
        parts["train"] = _timed(run, batch_size, seconds, state)
    kind = model.compute_dtype if model.compute_dtype in ("float64", "bfloat16") else "float32"
    threads, peak = _core.get_num_threads(), _core.peak_rate(kind, 0.05) / 1e9
    for part in parts.values():
        for row in part.rows:
            row["share_of_peak"] = row["gflops"] / peak
    return Profile(model.name, batch_size, threads, peak, parts, _bytes(model.variables),
                   _bytes(slots))


def _bytes(variables):
    return sum(v.size * item_size(v.dtype) for v in variables)


def _timed(run, rows, seconds, state):
    """The `Part` of a program; the variables of `state` get their values back."""
    traced = trace(run, rows)
    program, arrays = traced.program, run.data.arrays
    before = [v.numpy() for v in state]
    try:
        times = min((_watched(program, arrays, threads, seconds / 4)
                     for threads in sorted({1, _core.get_num_threads()})), key=sum)
        steps, end = [], time.perf_counter() + seconds / 2
        targets = [np.empty(shape, numpy_dtype(dtype))
                   for shape, dtype in program.output_signature]
        while len(steps) < 3 or len(steps) < 10 * _MOST and time.perf_counter() < end:
            began = time.perf_counter()
            program.replay(arrays, None, 0, 1, targets)
            steps.append(time.perf_counter() - began)
    finally:
        for variable, value in zip(state, before):
            variable.assign(value)
    return Part(_rows(traced, times), statistics.median(steps), program.stats()["arena_bytes"])


def _watched(program, arrays, threads, seconds):
    """Seconds that each node takes on so many threads."""
    program.watch(arrays, None, 0, threads)                 # the first one meets cold memory
    tries, end = [], time.perf_counter() + seconds
    while not tries or len(tries) < _MOST and time.perf_counter() < end:
        tries.append(program.watch(arrays, None, 0, threads))
    return [statistics.median(end - begin for begin, end, *_ in node) for node in zip(*tries)]


def _rows(traced, times):
    """A dictionary a node."""
    rows, begin = [], 0.0
    for node, took in zip(traced.nodes, times):
        shapes = " ".join(str(shape) for shape, _ in node.inputs)
        made = " ".join(str(shape) for shape, _ in node.outputs)
        rows.append({
            "layer": node.layer, "op": node.op, "phase": node.phase, "begin": begin,
            "seconds": took, "flops": node.flops, "gflops": node.flops / max(took, 1e-9) / 1e9,
            "share_of_peak": 0.0, "bytes": node.bytes, "count": 1,
            "shapes": f"{shapes} -> {made}" if made else shapes})
        begin += took
    return rows


# ---- tables and pictures -------------------------------------------------------------------------

_HEADER = ("Layer", "Op", "Phase", "Count", "us", "% of time", "GFLOP/s", "% of peak", "MB",
           "GB/s")
_SIDES = ("left", "left", "left", *["right"] * 7)


def _cells(row, part):
    seconds = max(row["seconds"], 1e-12)
    return (row["layer"], row["op"], row["phase"], str(row["count"]), f"{1e6 * seconds:.1f}",
            f"{100 * seconds / max(part.seconds, 1e-12):.1f}", f"{row['gflops']:.1f}",
            f"{100 * row['share_of_peak']:.0f}", f"{row['bytes'] / 1e6:.3f}",
            f"{row['bytes'] / seconds / 1e9:.1f}")


def _text_table(header, rows):
    widths = [max(len(row[k]) for row in (header, *rows)) for k in range(len(header))]
    for row in (header, ["-" * w for w in widths], *rows):
        yield "  ".join(cell.ljust(w) if side == "left" else cell.rjust(w)
                        for cell, w, side in zip(row, widths, _SIDES)).rstrip()


def _svg(found, most=16):
    """Bars: a row a group of nodes, as wide as its share of the time."""
    from .html import _escape

    width, label, bar, line = 880, 260, 400, 20
    parts, y = [], 24
    for kind, part in found.parts.items():
        parts.append(f'<text x="8" y="{y}" font-weight="bold">'
                     f'{_escape(part._title(kind))}</text>')
        y += 10
        rows, total = part.table(), max(part.seconds, 1e-12)
        longest = max((row["seconds"] for row in rows), default=1) or 1
        for row in rows[:most]:
            name = f"{row['layer']}: {row['op']}"
            name = name if len(name) <= 40 else name[:39] + "…"
            long = max(bar * row["seconds"] / longest, 0.5)
            text = f"{1e6 * row['seconds']:.1f} us, {100 * row['seconds'] / total:.0f} %"
            if row["share_of_peak"] >= 0.005:
                text += f", {100 * row['share_of_peak']:.0f} % of peak"
            parts.append(
                f'<text x="{label - 6}" y="{y + 14}" text-anchor="end">{_escape(name)}</text>'
                f'<rect x="{label}" y="{y + 3}" width="{long:.1f}" height="{line - 6}" '
                f'fill="{_PHASES[row["phase"]]}"/>'
                f'<text x="{label + long + 5:.1f}" y="{y + 14}" fill="#888">{text}</text>')
            y += line
        if len(rows) > most:
            rest = sum(row["seconds"] for row in rows[most:])
            parts.append(f'<text x="{label}" y="{y + 14}">and {len(rows) - most} more, together '
                         f'{1e6 * rest:.1f} us</text>')
            y += line
        y += 26
    x = label
    for phase, colour in _PHASES.items():
        parts.append(f'<rect x="{x}" y="{y - 16}" width="12" height="12" fill="{colour}"/>'
                     f'<text x="{x + 17}" y="{y - 6}">{phase}</text>')
        x += 100
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y + 6}" '
            f'viewBox="0 0 {width} {y + 6}" font-family="sans-serif" font-size="12" fill="#777" '
            f'role="img"><title>{_escape(found.name)}: time of each op</title>'
            + "".join(parts) + "</svg>")
