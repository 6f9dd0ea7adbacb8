"""A step recorded with names: every node of its program knows the layer that it belongs to.

While it is recorded, the `call` of each layer is wrapped by one that sets the graph's label; the
gradient rules carry labels on. Nothing of it is there when nothing is asked for.
"""
import contextlib

from . import _core, tree
from .recording import lock, noting_loss
from .variables import changes
from .warnings import told_by


class Traced:
    """The program of a step, with names.

    Attributes:
        program: The program; the loss, if it has one, is its last output.
        names: Names of labels: layers by their path, and `"loss"`, `"metrics"`, `"optimizer"`.
        nodes: List of `Node`.
        loss: The number of the output that is the loss; -1 if there is none.
    """

    def __init__(self, program, names, loss):
        self.program, self.names, self.loss = program, names, loss
        self.nodes = [Node(row, names) for row in program.nodes()]


class Node:
    """One node of a program: see `Program.nodes` in _core.pyi."""

    __slots__ = ("op", "layer", "backward", "inputs", "outputs", "writes", "makers", "cost")

    def __init__(self, row, names):
        name, activation, label, self.backward, self.inputs, self.outputs, self.writes, \
            self.makers, self.cost = row
        self.op = f"{name} {activation}" if activation else name
        self.layer = names[label]

    @property
    def phase(self):
        """`"forward"`, `"backward"` or `"update"`."""
        if self.writes:
            return "update"
        return "backward" if self.backward else "forward"

    @property
    def flops(self):
        """Multiplications and additions of a product; of anything else one for each number that it
        reads or makes, whichever are more.
        """
        kind = self.op.partition(" ")[0]
        sizes = [_size(shape) for shape, _ in self.inputs]
        made = [_size(shape) for shape, _ in self.outputs]
        if kind == "dense":
            return 2 * made[0] * self.inputs[0][0][-1]
        if kind == "matmul":
            rows = self.outputs[0][0][-2] if len(self.outputs[0][0]) > 1 else 1
            inner = self.inputs[0][0][-1] if len(self.inputs[0][0]) < 2 else \
                self.inputs[0][0][-2] * self.inputs[0][0][-1] // max(rows, 1)
            return 2 * made[0] * inner
        if kind.startswith("matmul_"):                      # a product and the step with it
            return 2 * sizes[0] * sizes[self.writes] // max(self.inputs[0][0][0], 1)
        return max([sum(made), *sizes])

    @property
    def bytes(self):
        """Bytes that it reads and writes, each once."""
        moved = [*self.inputs, *self.outputs, *self.inputs[:self.writes]]
        return sum(_size(shape) * item_size(dtype) for shape, dtype in moved)


def _size(shape):
    size = 1
    for n in shape:
        size *= n
    return size


def item_size(dtype):
    """Bytes of one number of a dtype."""
    return 1 if dtype == "bool" else 2 if dtype == "bfloat16" else \
        int("".join(filter(str.isdigit, dtype))) // 8


@contextlib.contextmanager
def wrapped(objects, wrap):
    """Within it, `wrap(object, attribute, function)` stands for each method of `objects`."""
    places = []
    try:
        for thing, attribute in objects:
            values = thing.__dict__
            places.append((values, attribute, values.get(attribute)))
            values[attribute] = wrap(thing, attribute, getattr(thing, attribute))
        changes[0] += 1                         # what layers have noted of one another is forgotten
        yield
    finally:
        for values, attribute, before in reversed(places):
            if before is None:
                values.pop(attribute, None)
            else:
                values[attribute] = before
        changes[0] += 1


def _operations(model):
    found = {id(layer): layer for layer in model._flatten_layers(include_self=False)}
    for part in (model, *list(found.values())):
        for operation in getattr(part, "operations", None) or ():
            found.setdefault(id(operation), operation)
    return list(found.values())


def watching_calls(model, seen):
    """A context in which `seen(layer, outputs)` is told each call of a layer of the model."""
    def wrap(layer, attribute, call):
        def told(*args, **kwargs):
            outputs = call(*args, **kwargs)
            seen(layer, outputs)
            return outputs
        return told
    return wrapped([(layer, "call") for layer in _operations(model)], wrap)


def labelled(model, graph, names):
    """A context in which nodes are labelled by who appends them; `names` is filled."""
    parts = {"compute_loss": "loss", "compute_metrics": "metrics", "_loss_of": "metrics",
             "apply_gradients": "optimizer"}
    numbers, stack = {}, []

    def wrap(thing, attribute, function):
        own = parts.get(attribute, getattr(thing, "name", "?"))

        def called(*args, **kwargs):
            path = own if attribute in parts or not stack else f"{stack[-1]}/{own}"
            if path not in numbers:
                numbers[path] = len(names)
                names.append(path)
            before, graph.label = graph.label, numbers[path]
            stack.append(path)
            try:
                return function(*args, **kwargs)
            finally:
                stack.pop()
                graph.label = before
        return called
    methods = [(layer, "call") for layer in _operations(model)]
    methods += [(model, name) for name in ("compute_loss", "compute_metrics", "_loss_of")]
    if model.optimizer is not None:
        methods.append((model.optimizer, "apply_gradients"))
    return wrapped(methods, wrap)


def trace(run, rows, without=()):
    """The step of a `Run` for batches of `rows`, recorded with names.

    Args:
        run: The `Run`.
        rows: Samples in a batch.
        without: Names of the passes that are left out.

    Raises:
        TraceError: If the step cannot be recorded.
    """
    model, graph, names = run.model, _core.Graph(), ["other"]
    with lock:
        with labelled(model, graph, names), told_by(model), noting_loss(model), graph:
            inputs = run._inputs(lambda a, dtype: graph.input((rows, *a.shape[1:]), dtype))
            result = getattr(model, f"{run.kind}_step")(inputs)
        loss = model.__dict__.pop("_last_loss", None)
        model.__dict__["_last_results"] = {}
        outputs = [_core.convert(leaf) for leaf in tree.flatten(result)] \
            if run.kind == "predict" else [] if loss is None else [loss]
        for name in without:
            _core.pass_enable(name, False)
        try:
            program = _core.Program(graph, outputs, excess=True)
        finally:
            for name in without:
                _core.pass_enable(name, True)
    return Traced(program, names, 0 if run.kind != "predict" and outputs else -1)
