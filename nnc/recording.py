"""Steps recorded as programs, and run again.

A step (`train_step`, `test_step`, `predict_step`) is a Python function. It is called once on
symbolic tensors for each kind and size of batch; the program made of what it did is replayed by the
core on all batches. A step that asks for numbers while it is recorded cannot be: it runs eagerly
from then on.
"""
import math
import threading
import traceback
import warnings

import numpy as np

from . import _core, config, tree
from ._core import Tensor
from .autograd import telling_gradients
from .data import pack_x_y_sample_weight
from .data.mapped import Mapped
from .ops.core import _FLOATS, numpy_dtype
from .variables import changes
from .warnings import NumericWarning, outside, tell, told_by

# Recording changes layers (weights are made) and metrics: one thread at a time.
lock = threading.RLock()
_KEPT = 64      # programs a model keeps


class Recorded:
    """A step for batches of one size.

    Attributes:
        program: The program.
        structure: The nest of what the step returned; for training and testing the names of its
            logs.
        shapes: Shape and dtype of each output.
        silent: Whether the logs are read from the metrics afterwards instead of from outputs.
        guard: The number of one more output, the loss; -1 if there is none.
    """

    __slots__ = ("program", "structure", "shapes", "silent", "rows", "guard")

    def __init__(self, program, structure, silent, rows, guard=-1):
        self.program, self.structure, self.silent, self.rows = program, structure, silent, rows
        self.guard = guard
        shapes = program.output_signature[:guard] if guard >= 0 else program.output_signature
        self.shapes = [(shape, numpy_dtype(dtype)) for shape, dtype in shapes]


class Run:
    """The samples of a run and the step that runs on them.

    Args:
        model: The model.
        kind: `"train"`, `"test"` or `"predict"`.
        data: The `Data`.
    """

    def __init__(self, model, kind, data):
        self.model, self.kind, self.data = model, kind, data
        self._by_rows, self._stamp = {}, None
        self.last_logs, self._reads = None, 0
        self._mapped = Mapped.of(data.arrays)
        self.watch, self.guarded, self.step = None, False, 0    # see watching.py

    def feed(self, data):
        """Takes the next batch of a stream."""
        if data.signature != self.data.signature:
            self._by_rows = {}
        self.data = data
        self.model._check_labels(data, self.kind)

    def recorded(self, rows):
        """The recorded step for batches of so many rows; `None` if the step runs eagerly."""
        if self._stamp != changes[0]:
            self._by_rows, self._stamp = {}, changes[0]
        if rows not in self._by_rows:
            found = self._find(rows)
            if self._stamp != changes[0]:
                self._by_rows, self._stamp = {}, changes[0]
            self._by_rows[rows] = found
        return self._by_rows[rows]

    def _find(self, rows):
        model = self.model
        if model.run_eagerly or self.kind in model._eager_kinds:
            return None
        with lock:
            found = model._programs.get(self._key(rows))
            if found is None:
                found = self._record(rows)
                if found is not None:
                    if len(model._programs) >= _KEPT:
                        model._programs.pop(next(iter(model._programs)))
                    model._programs[self._key(rows)] = found
        return found

    def _key(self, rows):
        """What the program depends on: batch, signature, and the state of the layers."""
        model = self.model
        layers = tuple((id(layer), layer._version) for layer in model._flatten_layers())
        optimizer = model.optimizer if self.kind == "train" else None
        trained = None if optimizer is None else (
            id(optimizer), optimizer._settings(),
            tuple(id(v) for v in model.trainable_weights))
        return self.kind, rows, self.data.signature, layers, trained

    def _inputs(self, make):
        """The nest that a step takes, of `make(array, dtype)` for each array."""
        model, data = self.model, self.data
        x = [make(a, model._feed_dtype(a.dtype)) for a in tree.flatten(data.x)]
        y = [make(a, config.floatx() if a.dtype.kind == "f" else a.dtype.name)
             for a in tree.flatten(data.y)]
        weights = [make(a, config.floatx()) for a in tree.flatten(data.sample_weight)]
        return pack_x_y_sample_weight(*data.nest(x + y + weights))

    def _record(self, rows):
        graph = _core.Graph()
        step = getattr(self.model, f"{self.kind}_step")
        try:
            with graph, told_by(self.model), noting_loss(self.model):
                inputs = self._inputs(lambda a, dtype: graph.input((rows, *a.shape[1:]), dtype))
                result = step(inputs)
        except _core.TraceError as error:
            self._turn_eager(error)
            return None
        if self.kind == "predict":
            leaves = [_core.convert(leaf) for leaf in tree.flatten(result)]
            structure = tree.map_leaves(lambda leaf: True, result)
            return Recorded(self._program(graph, leaves), structure, False, rows)
        logs = _flat(result) if isinstance(result, dict) else {"loss": result}
        kept = self.model._last_results
        silent = isinstance(result, dict) and set(logs) == set(kept) and all(
            logs[name] is kept[name] for name in logs)
        self.model.__dict__["_last_results"] = {}
        outputs = [] if silent else [_core.convert(logs[name]) for name in logs]
        loss = self.model.__dict__.pop("_last_loss", None)
        guard = len(outputs) if self.kind == "train" and isinstance(loss, Tensor) \
            and loss.symbolic else -1
        if guard >= 0:
            outputs.append(loss)
        return Recorded(self._program(graph, outputs), list(logs), silent, rows, guard)

    def _program(self, graph, outputs):
        """A program in the memory of the model's others: they never run at the same time."""
        others = (found.program for found in self.model._programs.values()
                  if isinstance(found, Recorded))
        return _core.Program(graph, outputs, next(others, None), excess=True)

    def _turn_eager(self, error):
        model = self.model
        model._eager_kinds.add(self.kind)
        model.__dict__.pop("_last_loss", None)
        place = _user_frame(error)
        where = f"{place.filename}, line {place.lineno}" if place else "the step"
        warnings.warn(f"Model '{model.name}': {self.kind}_step cannot be recorded and runs "
                      f"eagerly, which is slower: {where}: {error}", UserWarning,
                      stacklevel=outside())

    # ---- running ----

    def run(self, rows, first, steps, order, seconds=0.0, targets=None):
        """Runs up to `steps` batches of `rows` samples, from place `first` of `order` on.

        Returns how many it ran: fewer if `seconds` (> 0) are over, without a program, or where the
        pages of a mapped file are given back before the next ones.
        """
        if self._mapped is not None:
            steps = min(steps, self._mapped.limit(rows))
        recorded = self.recorded(rows)
        if recorded is None:
            self.last_logs = self._run_eagerly(rows, first, order)
            done = 1
        else:
            done = self._replay(recorded, rows, first, steps, order, seconds, targets)
        if self._mapped is not None:
            self._mapped.note(done * rows)
        return done

    def _replay(self, recorded, rows, first, steps, order, seconds, targets):
        made = None
        if targets is None and not recorded.silent and self.kind != "predict":
            made = targets = [np.empty((steps, *shape), dtype) for shape, dtype in recorded.shapes]
        if recorded.guard >= 0 and targets is not None:
            targets = [*targets, None]
        guard = recorded.guard if self.guarded else -1
        done = recorded.program.replay(self.data.arrays, order, first, steps, targets, seconds,
                                       guard)
        if done < 0:
            done, self.guarded = -1 - done, False
            self.watch.stopped(rows, first + done * rows, order, done)
            if not done:
                recorded = self.recorded(rows)
                done = recorded.program.replay(self.data.arrays, order, first, steps, targets,
                                               seconds)
        if made is not None:
            self.last_logs = {name: values[done - 1]
                              for name, values in zip(recorded.structure, made)}
        else:
            self.last_logs = None
        return done

    def batch(self, rows, first, order):
        """What a step takes, of the rows from place `first` of `order` on."""
        def part(array, dtype):
            some = array[first:first + rows] if order is None else array[order[first:first + rows]]
            return _core.convert(some, dtype, given=order is not None)
        return self._inputs(part)

    def _run_eagerly(self, rows, first, order):
        """One batch without a program: the result of the step."""
        step, inputs = getattr(self.model, f"{self.kind}_step"), self.batch(rows, first, order)
        if not self.guarded:
            return step(inputs)

        def look(target, sources, gradients):
            loss = self.model.__dict__.pop("_last_loss", target)
            if self.guarded and self.watch.found(rows, first, order, loss, sources, gradients):
                self.guarded = False
        with telling_gradients(look):
            return step(inputs)

    def logs(self):
        """Name and number of what the last step returned; of the metrics, if it returned those."""
        logs = self.last_logs
        if logs is None:
            logs = self._metrics_read()
            if logs is not None:
                return logs
            logs = self.model.get_metrics_result()
        elif not isinstance(logs, dict):
            logs = {"loss": logs}
        return {name: _number(value) for name, value in _flat(logs).items()}

    def log_names(self, rows):
        """The names in `logs` after a step of so many rows; `None` where only the step tells."""
        recorded = self.recorded(rows)
        if recorded is None:
            return None
        return list(_flat(self.model.get_metrics_result()) if recorded.silent
                    else recorded.structure)

    def _metrics_read(self):
        """The metrics' results by a program of their own, from the third time on; else `None`.

        What follows every batch must not cost a Python call for each metric.
        """
        self._reads += 1
        if self._reads < 3:
            return None
        kept = self.model._programs.get("results")
        if kept is None or kept[0] != changes[0]:
            with lock:
                kept = (changes[0], *_results_program(self.model))
                self.model._programs["results"] = kept
        _, names, program, row = kept
        if program is None:
            return None
        program.replay((), None, 0, 1, (row,))
        return dict(zip(names, row.tolist()[0]))


def noting_loss(model):
    """A context in which what a step first asks gradients of is noted as its loss, unless the step
    says itself what that is (`Trainer._loss_of`)."""
    return telling_gradients(
        lambda target, *_: model.__dict__.setdefault("_last_loss", target))


def _results_program(model):
    """The metrics' results as one row of numbers: their names, the program, and where it writes to.

    The program is `None` where a result may depend on more than variables (a class of the user's)
    or is no number.
    """
    from . import ops
    from .metrics import Metric
    from .trainer import Trainer

    nothing = (), None, None
    if model.run_eagerly or type(model).get_metrics_result is not Trainer.get_metrics_result:
        return nothing
    todo = list(model.metrics)
    while todo:
        metric = todo.pop()
        if not isinstance(metric, Metric) or not type(metric).__module__.startswith("nnc."):
            return nothing
        todo += getattr(metric, "metrics", metric._metrics)
    graph = _core.Graph()
    try:
        with graph:
            results = dict(model.get_metrics_result())
            leaves = [_core.convert(value) for value in results.values()]
            kinds = {(leaf.shape, leaf.dtype) for leaf in leaves}
            if kinds not in ({((), "float32")}, {((), "float64")}):
                return nothing
            row = ops.reshape(ops.stack(leaves), (1, len(leaves)))
    except (_core.TraceError, ValueError, TypeError):
        return nothing
    finally:
        model.__dict__["_last_results"] = {}
    return tuple(results), _core.Program(graph, [row]), \
        np.empty((1, len(leaves)), numpy_dtype(leaves[0].dtype))


def _flat(logs):
    """Logs with those of a dict in them (a metric of several values) in its place."""
    flat = {}
    for name, value in logs.items():
        flat.update(_flat(value) if isinstance(value, dict) else {name: value})
    return flat


def _number(value):
    """A Python float; arrays stay arrays."""
    if isinstance(value, (Tensor, _core.Variable)):
        value = value.numpy()
    value = np.asarray(value)
    return float(value) if value.size == 1 else value


def _user_frame(error):
    """The innermost line of the traceback that is not nnc's."""
    folder = __file__.rpartition("recording.py")[0]
    found = None
    for frame in traceback.extract_tb(error.__traceback__):
        if not frame.filename.startswith(folder):
            found = frame
    return found


def check_finite(data, logs, model, who):
    """Warns, once, of NaN or Inf in the inputs when the loss is not finite.

    Returns:
        Whether it has warned.
    """
    loss = logs.get("loss")
    if not isinstance(loss, float) or math.isfinite(loss):
        return False
    for name, nest in (("x", data.x), ("y", data.y)):
        for leaf in tree.flatten(nest):
            bad = _core.first_nonfinite(leaf) if leaf.dtype.kind == "f" else None
            if bad is not None:
                value = leaf.reshape(leaf.shape[0], -1)[bad]
                tell("not-finite", f"{who}: the loss of model '{model.name}' is {loss} because the "
                     f"data is not finite: `{name}` holds {value} in row {bad[0]}, column "
                     f"{bad[1]}. Remove or replace such values.", model, NumericWarning)
                return True
    return False


def feed_dtype(dtype, floatx):
    """The dtype that an array of a NumPy dtype is fed as where a model does not say."""
    return floatx if dtype.kind == "f" or dtype.name in _FLOATS else dtype.name
