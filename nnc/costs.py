"""What a model will cost before it runs: multiply-adds, activations, time and peak memory.

The forward pass and, if the model is compiled, the training step are recorded with the names of
their layers for a batch of the asked size and made into the programs that `predict` and `fit`
would run; their arenas are planned, but nothing of them is touched. Peak memory is then the
weights, the optimizer's slots and the arena, which holds the batch, activations, gradients and
workspaces. All programs of a model lie in one arena: a shorter last batch and validation in batches
of the same size need none of their own. The user's arrays, the outputs and Python itself come on
top.

Time: products by their multiply-adds at a share of the measured peak, everything else by the core's
own estimates. It is right within a factor of two or so on an idle machine.
"""
import contextlib
import copy
import math

import numpy as np

from . import _core, initializers, tree
from .compile_utils import CompileLoss, CompileMetrics, spread
from .data import Data, unpack_x_y_sample_weight
from .predicting import BLOCK
from .recording import Run, lock
from .summary import memory_bytes
from .tracing import item_size, trace

_PEAK_SHARE = 0.7           # of the measured peak that products reach
_PRODUCTS = ("dense", "matmul")


class Costs:
    """What `model_costs` found.

    Attributes:
        batch_size: Samples in a batch.
        layers: Dict of a layer's path (`"dense"`, `"inner/dense"`) and a dict of `multiply_adds`
            (of a batch), `activation_bytes` (what its ops make for a batch) and `seconds`, forward.
        block: Rows that `predict` takes at once.
        predict_bytes: Peak memory of `predict`: weights and arena.
        train_bytes: The same of `fit`, with the optimizer's slots; `None` if that is not known.
        train_reason: Why it is not known.
        predict_seconds, train_seconds: Estimated time of a batch.
        weights_bytes, optimizer_bytes: Parts of these.
    """

    def __init__(self, batch_size):
        self.batch_size, self.layers, self.block = batch_size, {}, batch_size
        self.predict_bytes = self.train_bytes = self.predict_seconds = self.train_seconds = None
        self.weights_bytes = self.optimizer_bytes = 0
        self.train_reason = None

    def of(self, path):
        """The sums over a layer and what is in it."""
        found = {"multiply_adds": 0, "activation_bytes": 0, "seconds": 0.0}
        for name, part in self.layers.items():
            if name == path or name.startswith(path + "/"):
                for key in found:
                    found[key] += part[key]
        return found


def model_costs(model, batch_size=32):
    """The `Costs` of a model for batches of `batch_size` samples.

    Raises:
        ValueError: If the shapes of the inputs are not known, or more than the batch is open.
        TraceError: If the forward pass cannot be recorded, because it asks for values.
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError("summary: `batch_size` must be an integer >= 1. Received: batch_size="
                         f"{batch_size!r}")
    found = Costs(batch_size)
    x = _input_rows(model, batch_size)
    found.weights_bytes = memory_bytes(model.weights)
    peak = _core.peak_rate("float64" if model.compute_dtype == "float64" else "float32", 0.02)
    traced = trace(Run(model, "predict", Data(x)), batch_size)
    found.block = BLOCK if model._rows_are_independent() else batch_size
    found.predict_bytes = found.weights_bytes + _arena(model, x, batch_size, found.block, traced)
    found.predict_seconds = _seconds(traced.nodes, peak)
    for node in traced.nodes:
        part = found.layers.setdefault(
            node.layer, {"multiply_adds": 0, "activation_bytes": 0, "seconds": 0.0})
        part["multiply_adds"] += _multiply_adds(node)
        part["activation_bytes"] += sum(math.prod(s) * item_size(d) for s, d in node.outputs)
        part["seconds"] += _node_seconds(node, peak)
    _add_training(found, model, x, peak)
    return found


def _arena(model, x, batch_size, block, traced):
    """Bytes of the arena of `predict`, which may take other blocks of rows than batches."""
    if block != batch_size:
        traced = trace(Run(model, "predict", Data(x)), block)
    return traced.program.stats()["arena_bytes"]


def _add_training(found, model, x, peak):
    """The figures of the training step, or why there are none."""
    if not model.compiled or model.optimizer is None:
        found.train_reason = "the model is not compiled"
        return
    try:
        with _apart(model) as optimizer:
            data = Data(x, _targets(model, x, found.batch_size))
            traced = trace(Run(model, "train", data), found.batch_size)
            found.optimizer_bytes = memory_bytes(optimizer.variables)
    except Exception as error:              # a train_step of the user's may want other targets
        found.train_reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        return
    found.train_bytes = found.weights_bytes + found.optimizer_bytes \
        + traced.program.stats()["arena_bytes"]
    found.train_seconds = _seconds(traced.nodes, peak)


@contextlib.contextmanager
def _apart(model):
    """Within it, recording a step leaves nothing behind: an optimizer that is not built, the losses
    and the metrics are others. Gives the optimizer."""
    names = ("optimizer", "_compile_loss", "_compile_metrics")
    values, given = model.__dict__, model._compile_arguments
    kept = {name: values[name] for name in names}
    try:
        if not model.optimizer.built:
            values["optimizer"] = _without_memory(copy.deepcopy(model.optimizer))
        if model._compile_loss is not None:
            values["_compile_loss"] = CompileLoss(
                given["loss"], tree.map_leaves(float, given["loss_weights"]))
        if model._compile_metrics is not None:
            values["_compile_metrics"] = CompileMetrics(
                *copy.deepcopy((given["metrics"], given["weighted_metrics"])))
        yield model.optimizer
    finally:
        values.update(kept)


class _Untouched(initializers.Zeros):
    """Zeros that nobody has touched: the system gives them no memory."""

    __module__ = initializers.__name__          # a variable takes them as they are

    def __call__(self, shape, dtype=None):
        if dtype in ("bfloat16", None):
            return super().__call__(shape, dtype)
        return _core.Tensor(np.zeros(shape, dtype), dtype)


def _without_memory(optimizer):
    """The optimizer, whose slots take no memory: programs are made of it, not run."""
    add = optimizer.add_variable

    def add_variable(shape, initializer="zeros", *args, **kwargs):
        return add(shape, _Untouched(), *args, **kwargs)
    optimizer.__dict__["add_variable"] = add_variable
    return optimizer


# ---- what would be fed ---------------------------------------------------------------------------

class _Leaf:
    """Shape and dtype of an input."""

    def __init__(self, shape, dtype):
        self.shape, self.dtype = shape, dtype


def _rows(count, shape, dtype="float32"):
    """Rows that take no memory."""
    dtype = "float32" if dtype in ("bfloat16", "float16") else dtype
    return np.broadcast_to(np.zeros((), dtype), (count, *shape))


def _input_rows(model, count):
    """Rows for each input, as a nest."""
    struct = getattr(model, "_inputs_struct", None)
    if struct is None and getattr(model, "built", False):
        shapes = (model._build_shapes or {}).get("input_shape") or getattr(
            model, "input_shape", None)
        struct = _leaves(model, shapes) if shapes else None
    if struct is None:
        raise ValueError(f"summary: detail=True needs the shapes of the inputs of model "
                         f"'{model.name}'. Build it first: `model.build(input_shape)`, or begin "
                         "it with an `Input`.")
    for leaf in tree.flatten(struct):
        if any(size is None for size in leaf.shape[1:]):
            raise ValueError("summary: detail=True needs every size but the batch. Received: "
                             f"model '{model.name}' with an input of shape {tuple(leaf.shape)}")
    return tree.map_leaves(lambda leaf: _rows(count, leaf.shape[1:], str(leaf.dtype)), struct)


def _leaves(model, shapes):
    """Shapes as a nest of leaves; a list of numbers is a shape too."""
    if isinstance(shapes, dict):
        return {key: _leaves(model, part) for key, part in shapes.items()}
    if all(size is None or isinstance(size, int) for size in shapes):
        return _Leaf(tuple(shapes), model.input_dtype)
    return [_leaves(model, part) for part in shapes]


def _targets(model, x, count):
    """Targets as the losses want them: class numbers, or what has the shape of the output."""
    if model._compile_loss is None:
        return None
    graph = _core.Graph()
    with lock, graph:
        inputs = Run(model, "predict", Data(x))._inputs(
            lambda a, dtype: graph.input(a.shape, dtype))
        outputs = model(unpack_x_y_sample_weight(inputs)[0], training=False)
    flat, losses = tree.flatten(outputs), model._compile_arguments["loss"]
    given = [losses] if len(flat) == 1 else \
        spread(losses, outputs, getattr(model, "output_names", None), "loss")
    made = [_target(loss, output.shape, count) for loss, output in zip(given, flat)
            if loss is not None]
    return made[0] if len(flat) == 1 else tuple(made)


def _target(loss, shape, count):
    names = [getattr(one, "name", None) or getattr(one, "__name__", None) or str(one)
             for one in tree.flatten(loss)]
    if any("sparse" in name.lower() for name in names):
        return _rows(count, shape[1:-1], "int32")
    return _rows(count, shape[1:])


# ---- figures -------------------------------------------------------------------------------------

def _multiply_adds(node):
    kind = node.op.partition(" ")[0]
    return node.flops // 2 if kind in _PRODUCTS or kind.startswith("matmul_") else 0


def _node_seconds(node, peak):
    products = _multiply_adds(node)
    if products:
        return 2 * products / (_PEAK_SHARE * peak)
    return node.cost / 1e9 / _core.get_num_threads()


def _seconds(nodes, peak):
    return sum(_node_seconds(node, peak) for node in nodes)
