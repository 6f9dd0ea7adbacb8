"""What `fit` looks at between epochs, and at the step at which the loss is no number any more.

The loss is looked at before anything is written (see `Program.replay`, guard), which costs nothing:
when it is NaN or Inf, the variables are still what the step before left. That step is run again,
node by node and without writing, and the value is followed back from the loss to the first node
that made it of finite numbers. If a weight is no number by then, the step before wrote it; it is
found again from a copy of the variables of the epoch's start, where there is one.
"""
import math
import time

import numpy as np

from . import _core, tree
from ._core import TraceError, Tensor, op
from .data import Batches, unpack_x_y_sample_weight
from .data.mapped import pick
from .ops.core import numpy_dtype
from .optimizers import LossScaleOptimizer
from .recording import check_finite
from .warnings import NumericWarning, tell, wanted

SHARE = 0.01                # of the time of training that looking at layers may take
COPIED = 1 << 26            # bytes of variables, at most, that are copied ...
EVERY = 200                 # ... once in so many steps: a step takes longer than a copy, so that
#                             copies take less than a hundredth of the time
SMALL = 1 << 18             # bytes that are copied before the first step, however few there are
AGAIN = 30.0                # seconds, at most, that steps are run again
LOOKS = 4                   # at layers, at most, because a bias stood still, whatever time they take
_ROWS = 64                  # rows that layers are looked at with
_STILL, _MOVED = 1e-6, 1e-2  # a loss that stands still; that has ever moved (relative)


class Watch:
    """Looks on while a model is trained.

    Args:
        model: The model.
        run: The `Run` of its training.
        batches: Where its batches come from.
    """

    def __init__(self, model, run, batches):
        self.model, self.run, self.batches = model, run, batches
        self.began = time.monotonic()
        self.spent = 0.0
        self.epoch = 0
        self.losses = []
        self.copies = []                        # (place of the batches, values), the last two
        self.sample = self.program = self.dead = None
        self.looking = None                     # seconds that the last look took
        self.biases, self.extra_looks = None, 0
        run.watch, run.guarded = self, wanted("not-finite", model)

    # ---- epochs ----

    def begin(self, epoch):
        """An epoch begins."""
        self.epoch = epoch
        if not self.run.guarded or not isinstance(self.batches, Batches):
            return
        taken = self.batches.taken
        if self.copies and taken - self.copies[-1][0]["taken"] < EVERY:
            return
        variables = self._variables()
        size = 4 * sum(v.size for v in variables)
        if size <= COPIED and (self.copies or size <= SMALL or self.batches.steps >= EVERY):
            place = self.batches.where()
            self.copies = [*self.copies[-1:], (place, [v.numpy() for v in variables])]

    def end(self, logs):
        """An epoch has ended."""
        loss = logs.get("loss")
        if not isinstance(loss, float):
            return
        if not math.isfinite(loss):
            if wanted("not-finite", self.model) and not check_finite(
                    self.run.data, logs, self.model, "fit"):
                tell("not-finite", f"fit: the loss of model '{self.model.name}' is {loss} after "
                     f"epoch {self.epoch + 1}. Where it began is not known, because the step is "
                     "not one that nnc can look into. A smaller learning rate, or `clipnorm`, "
                     "often helps.", self.model, NumericWarning)
            return
        self._constant(loss)
        self._dead()

    def validated(self, data, results):
        """A validation has ended."""
        if wanted("not-finite", self.model):
            check_finite(data, results, self.model, "fit: validation")

    def _constant(self, loss):
        self.losses.append(loss)
        first, last = self.losses[0], self.losses[-2:][0]
        if len(self.losses) < 2 or not loss or not wanted("softmax-of-one", self.model) \
                or abs(loss - last) > _STILL * abs(loss) or abs(loss - first) > _MOVED * abs(first):
            return
        model = self.model
        waits = getattr(model.optimizer, "gradient_accumulation_steps", None)
        if waits and self.batches.steps and waits > self.batches.steps:
            return                              # no weight was to change in each epoch
        rate = getattr(model.optimizer, "learning_rate", None)
        rate = float(rate.numpy()) if hasattr(rate, "numpy") else rate
        why = "no weight is trainable" if not model.trainable_weights else \
            "the learning rate is 0" if rate == 0 else \
            "the gradients are 0: a layer may be dead (relu of nothing but negative numbers), or " \
            "the output may not depend on the weights"
        tell("constant-loss", f"fit: the loss of model '{model.name}' did not change in epoch "
             f"{self.epoch + 1}: it is {loss:.6g}, as after the first epoch. Most likely {why}.",
             model)

    # ---- dead layers ----

    def _due(self):
        """Whether a look at the layers is within the time that looking may take."""
        expected = self.looking
        if expected is None:
            expected = 2e-3 + 3e-4 * len(self.model._flatten_layers())
        trained = time.monotonic() - self.began - self.spent
        return self.spent + expected <= SHARE * trained

    def _stood(self):
        """Whether the bias of some layer is what it was an epoch ago, as that of a dead one is."""
        if self.biases is None:
            self.biases = [[v, None] for layer in self.model._flatten_layers()
                           for v in layer._own_variables
                           if v.trainable and len(v.shape) == 1 and v.size <= _ROWS ** 2]
        stood = False
        for entry in self.biases:
            now = entry[0]._view().tobytes()
            stood = stood or now == entry[1]
            entry[1] = now
        self.extra_looks += stood
        return stood and self.extra_looks <= LOOKS

    def _dead(self):
        if self.dead == () or not wanted("dead-layer", self.model):
            return
        stood = self._stood()
        if not stood and not self._due():
            return
        began = time.monotonic()
        dead = self._dead_layers()
        self.looking = time.monotonic() - began
        self.spent += self.looking
        for name in dead:
            if self.dead and name in self.dead:
                tell("dead-layer", f"fit: layer '{name}' of model '{self.model.name}' is dead: its "
                     f"relu gave 0 for all of {len(self.sample[0])} rows that were looked at, "
                     "before and after the epoch, so nothing in front of it is trained any more. "
                     "Try a smaller learning rate, another initializer, LeakyReLU, or scaled "
                     "inputs.", self.model)
                break
        if self.program is None:
            self.dead = ()                      # there is nothing to be looked at
        else:
            self.dead = dead

    def _dead_layers(self):
        """Names of the relu layers that give nothing but 0 for a sample of the rows."""
        if self.sample is None:
            data = self.run.data
            rows = np.arange(0, data.count, max(data.count // _ROWS, 1))[:_ROWS]
            self.sample = [pick(a, rows) for a in tree.flatten(data.x)]
            self.program, self.names = self._relu_program()
        if self.program is None:
            return []
        largest = [np.empty(1, numpy_dtype(dtype)) for _, dtype in self.program.output_signature]
        self.program.replay(self.sample, None, 0, 1, largest)
        return [name for name, value in zip(self.names, largest) if value[0] == 0]

    def _relu_program(self):
        """A program that gives the largest output of each relu layer, and their names."""
        from .advice import activation_name
        from .layers import ReLU
        from .recording import lock
        from .tracing import watching_calls

        model, graph, found = self.model, _core.Graph(), {}

        def seen(layer, outputs):
            relu = layer.negative_slope == 0 if isinstance(layer, ReLU) else \
                activation_name(layer) == "relu"
            if relu and isinstance(outputs, Tensor) and outputs.symbolic:
                top = op.max(outputs, tuple(range(len(outputs.shape))), 0)
                before = found.get(layer.name)
                found[layer.name] = top if before is None else op.maximum(before, top)
        leaves = [graph.input(a.shape, model._feed_dtype(a.dtype)) if a.shape else a
                  for a in self.sample]
        leaves = iter(leaves)
        try:
            with lock, watching_calls(model, seen), graph:
                model(tree.map_leaves(lambda _: next(leaves), self.run.data.x), training=False)
        except TraceError:
            return None, []
        if not found:
            return None, []
        return _core.Program(graph, list(found.values()), excess=True), list(found)

    # ---- a loss that is no number ----

    def _variables(self):
        return [*self.model.variables, *self.model.optimizer.variables]

    def stopped(self, rows, first, order, done):
        """The loss of the batch at `first` is no number; its step has changed nothing."""
        if check_finite(self.run.data, {"loss": math.nan}, self.model, "fit"):
            return
        where = self._where(done)
        wrong = [v for v in self.model.variables
                 if v.dtype.startswith(("float", "bf")) and _core.first_nonfinite(v.numpy())]
        if not wrong:
            text = self._origin(rows, first, order, "loss")
        else:
            text = self._before(wrong, self.batches.taken + done)
        tell("not-finite", f"fit: the loss of model '{self.model.name}' is not finite from {where} "
             f"on. {text}", self.model, NumericWarning)

    def _where(self, done):
        return f"epoch {self.epoch + 1}, step {self.run.step + done + 1}"

    def found(self, rows, first, order, loss, sources, gradients):
        """A step that runs eagerly has its gradients and has changed nothing yet. Returns whether
        there was something to tell: a loss or gradients that are NaN or Inf."""
        if not np.isfinite(loss.numpy()).all():
            self.stopped(rows, first, order, 0)
            return True
        wrong = [source for source, gradient in zip(sources, gradients)
                 if gradient is not None and not _is_finite(gradient.numpy())]
        if not wrong or isinstance(self.model.optimizer, LossScaleOptimizer):
            return False                        # which leaves such steps out
        names = ", ".join(str(getattr(v, "path", "an input")) for v in wrong[:3])
        names += f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        tell("not-finite", f"fit: gradients of model '{self.model.name}' are not finite from "
             f"{self._where(0)} on, while its loss still is ({names}). "
             f"{self._origin(rows, first, order, 'gradients')}", self.model, NumericWarning)
        return True

    def _layer(self, rows, first, order):
        """What is known of a step that cannot be recorded: the layer that made NaN or Inf."""
        from .recording import lock
        from .tracing import watching_calls

        seen, now = [], [v.numpy() for v in self._variables()]

        def look(layer, outputs):
            made = [t for t in tree.flatten(outputs) if isinstance(t, Tensor)]
            if not seen and not all(_is_finite(t.numpy()) for t in made):
                seen.append(layer)
        try:
            with lock, watching_calls(self.model, look):
                self.model(unpack_x_y_sample_weight(self.run.batch(rows, first, order))[0],
                           training=True)
        finally:
            self._assign(now)                   # the state of dropout, moving averages
        where = f"in layer '{seen[0].name}'" if seen else "behind the last layer, in the loss"
        return f"NaN or Inf first rises {where}. The step cannot be recorded, so the op is not known."

    def _origin(self, rows, first, order, of):
        """Where NaN or Inf of the loss, or of the gradients, rises in a step; as a sentence."""
        from .tracing import trace

        try:
            traced = trace(self.run, rows, without=("fuse", "update"))
        except TraceError:
            return self._layer(rows, first, order) if of == "loss" else ""
        seen = traced.program.watch(self.run.data.arrays, order, first, 0, True, False)
        bad = [nonfinite for *_, nonfinite in seen]
        if of == "loss":
            starts = traced.program.makers()[traced.loss:]
        else:
            starts = [maker for node in traced.nodes if node.layer == "optimizer"
                      for maker in node.makers[node.writes:]]
        node = first_bad(traced.nodes, bad, [k for k in starts if k >= 0 and bad[k]])
        if node is None:
            return "" if of == "gradients" else "It did not show again when the step was repeated."
        shapes = ", ".join(str(shape) for shape, _ in node.inputs)
        part = f"layer '{node.layer}'"
        if node.layer in ("loss", "optimizer", "metrics"):
            part = f"the {node.layer}"
        elif node.layer == "other":
            part = "the model's own computation, outside of its layers"
        return (f"NaN or Inf first rises in {part}, in the op {node.op}"
                f"{' of the gradient' if node.backward else ''} (inputs of shape {shapes}, all "
                "finite). A smaller learning rate, `clipnorm`, or keeping what goes into log, "
                "sqrt and divisions away from 0 helps.")

    def _before(self, wrong, taken):
        """What is known of the step that made weights NaN or Inf."""
        names = ", ".join(getattr(v, "path", v.name) for v in wrong[:3])
        text = f"The step before it made weights NaN or Inf ({names}"
        text += f" and {len(wrong) - 3} more). " if len(wrong) > 3 else "). "
        known = [(place, values) for place, values in self.copies
                 if place["taken"] < taken and all(_is_finite(v) for v in values)]
        if not known or self.run.recorded(self.batches.sizes()[0]) is None:
            return text + "What of its gradient or update was the first is not known: the " \
                "variables from before it are not kept. A smaller learning rate, or `clipnorm`, " \
                "often helps."
        now = [v.numpy() for v in self._variables()]
        try:
            return text + self._repeat(*known[-1], taken)
        finally:
            self._assign(now)

    def _repeat(self, place, values, taken):
        """Goes from a copy of the variables to the step before `taken`, and looks into it."""
        self._assign(values)
        batches = self.batches
        again = Batches(batches.count, batches.batch, batches.shuffle, batches.steps, batches.seed)
        again.seek(place, 0)
        left, deadline = taken - 1 - place["taken"], time.monotonic() + AGAIN
        while True:
            for rows, first, count in again.epoch():
                todo = min(count, left)
                if todo:
                    done = self.run.recorded(rows).program.replay(
                        self.run.data.arrays, again.order, first, todo, None, AGAIN)
                    if done < todo or time.monotonic() > deadline:
                        return "Finding out how would take too long. A smaller learning rate, " \
                            "or `clipnorm`, often helps."
                    left -= todo
                if todo < count:
                    return self._gradients(rows, first + todo * rows, again.order)

    def _gradients(self, rows, first, order):
        """What went wrong in the step of a batch whose loss is finite."""
        text = self._origin(rows, first, order, "gradients")
        self.run.recorded(rows).program.replay(self.run.data.arrays, order, first, 1)
        if all(_is_finite(v.numpy()) for v in self.model.variables):
            return "It did not show again when the steps were repeated."
        return text or "Its gradients were finite: the update itself was too large. Use a " \
            "smaller learning rate, or `clipnorm`."

    def _assign(self, values):
        for variable, value in zip(self._variables(), values):
            variable.assign(value)


def _is_finite(value):
    return value.dtype.kind != "f" or _core.first_nonfinite(value) is None


def first_bad(nodes, bad, starts):
    """The node that made NaN or Inf of finite inputs and that `starts` have theirs from.

    Args:
        nodes: List of nodes.
        bad: Whether each node's values are NaN or Inf.
        starts: Numbers of nodes to go back from.
    """
    if not starts:
        return None
    place = min(starts)
    while True:
        sources = [k for k in nodes[place].makers if k >= 0 and bad[k]]
        if not sources:
            return nodes[place]
        place = min(sources)
