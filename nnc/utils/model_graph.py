"""What a model is made of, as boxes and edges: for pictures, DOT and Mermaid.

A functional or sequential model says so itself. A subclassed one is called once on symbolic
tensors, with each call of one of its layers labelled: what is computed of what tells the edges.
"""
from nnc import _core, tree
from nnc.ops.operation import node_of
from nnc.utils.layout import is_acyclic


class Box:
    """A layer, an op, or (with `inner`) a nested model that is drawn open.

    Attributes:
        layer: The layer or operation; `None` for an op in the `call` of a subclassed model.
        name, kind: Its name and the name of its class.
        inputs, outputs: Shapes of its first call, or `None`.
        dtype: The dtype of its output, or `None`.
        inner: A `Diagram`, or `None`.
        calls: How often it is called.
    """

    def __init__(self, layer, name=None, kind=None, inputs=None, outputs=None, dtype=None):
        self.layer = layer
        self.name = name or layer.name
        self.kind = kind or getattr(layer, "class_name", None) or type(layer).__name__
        self.inputs, self.outputs, self.dtype = inputs, outputs, dtype
        self.inner, self.calls = None, 1


class Diagram:
    """The boxes of a model.

    Attributes:
        name: The model's name.
        boxes: List of `Box`.
        edges: List of `(from, to, number of the output, number of the input)`.
        entries, exits: Boxes of the model's inputs and outputs.
    """

    def __init__(self, name, boxes, edges, entries, exits):
        self.name, self.boxes, self.edges = name, boxes, edges
        self.entries, self.exits = entries, exits

    def pairs(self):
        """The edges as pairs of boxes, each once."""
        return list(dict.fromkeys((a, b) for a, b, *_ in self.edges))


def diagram_of(model, expand=False):
    """The `Diagram` of a model; with `expand` those of models in it, too.

    Raises:
        ValueError: If the model has not been built.
    """
    from nnc.models.functional import Functional
    from nnc.models.sequential import Sequential

    if not model.built:
        raise ValueError(f"This model ('{model.name}') has not yet been built. Build the model "
                         "first by calling `build()` or by calling the model on a batch of data.")
    if isinstance(model, Sequential):
        made = _of_sequential(model)
    elif isinstance(model, Functional):
        made = _of_functional(model)
    else:
        made = _of_subclass(model)
    if expand:
        for box in made.boxes:
            if box.layer is not model and isinstance(box.layer, (Sequential, Functional)):
                box.inner = diagram_of(box.layer, True)
    return made


def _of_sequential(model):
    boxes = []
    for layer in model._layers:
        nodes = layer._inbound_nodes
        boxes.append(_box_of(nodes[0]) if nodes else Box(layer))
    edges = [(i, i + 1, 0, 0) for i in range(len(boxes) - 1)]
    return Diagram(model.name, boxes, edges, [0], [len(boxes) - 1])


def _box_of(node):
    outputs = [t.shape for t in node.output_tensors]
    return Box(node.operation, inputs=[t.shape for t in node.input_tensors] or None,
               outputs=outputs, dtype=node.output_tensors[0].dtype if outputs else None)


def _of_functional(model):
    nodes = model._nodes
    numbers = {id(node): i for i, node in enumerate(nodes)}
    edges = []
    for i, node in enumerate(nodes):
        for k, tensor in enumerate(node.input_tensors):
            source = numbers.get(id(node_of(tensor)))
            if source is not None:
                edges.append((source, i, tensor._keras_history.tensor_index, k))
    entries = [numbers[id(node_of(tensor))] for tensor in model.inputs]
    exits = [numbers[id(node_of(tensor))] for tensor in model.outputs]
    made = Diagram(model.name, [_box_of(node) for node in nodes], edges, entries, exits)
    return _joined(made)


def _joined(found):
    """One box for all calls of a layer, where that makes no circle."""
    places, order = {}, []
    for box in found.boxes:
        key = id(box.layer) if box.layer is not None else id(box)
        if key not in places:
            places[key] = len(order)
            order.append(box)
    index = [places[id(b.layer) if b.layer is not None else id(b)] for b in found.boxes]
    edges = list(dict.fromkeys((index[a], index[b], o, k) for a, b, o, k in found.edges))
    counts = [index.count(i) for i in range(len(order))]
    if not is_acyclic(len(order), list({(a, b) for a, b, *_ in edges})):
        seen = {}
        for box, i in zip(found.boxes, index):
            if counts[i] > 1:
                seen[i] = seen.get(i, 0) + 1
                box.name = f"{box.name} (call {seen[i]})"
        return found
    for box, count in zip(order, counts):
        box.calls = count
    return Diagram(found.name, order, edges, [index[i] for i in found.entries],
                   [index[i] for i in found.exits])


# ---- subclassed models ---------------------------------------------------------------------------

_BATCH = 7                  # stands for the size of the batch while the call is recorded


def _of_subclass(model):
    shapes = (model._build_shapes or {}).get("input_shape")
    for dtype in (model.input_dtype, "int32") if shapes is not None else ():
        try:
            return _recorded(model, shapes, dtype)
        except (TypeError, ValueError, IndexError):     # not with such inputs, or not at all
            continue
    return Diagram(model.name, [Box(model)], [], [0], [0])


def _none_first(shape):
    return tuple(None if i == 0 and n == _BATCH else n for i, n in enumerate(shape))


def _shapes_of(nest):
    return [_none_first(leaf.shape) for leaf in tree.flatten(nest) if hasattr(leaf, "shape")]


def _recorded(model, shapes, dtype):
    """The diagram of what a call on inputs of these shapes does."""
    from nnc.layers.nests import _placeholders
    from nnc.recording import lock
    from nnc.tracing import wrapped

    graph, boxes, busy = _core.Graph(), [], []

    def start(box):
        boxes.append(box)
        graph.label = len(boxes)

    def kept(value):
        """The value, as a node of its own: a layer may give back what it got."""
        if not isinstance(value, _core.Tensor):
            return value
        made = _core.op.copy(value)
        made.__dict__.update(value.__dict__)
        return made

    def wrap(layer, attribute, call):
        def called(*args, **kwargs):
            if busy:
                return call(*args, **kwargs)            # within another layer: part of it
            busy.append(layer)
            start(Box(layer, inputs=_shapes_of(args)))
            box = boxes[-1]
            try:
                outputs = tree.map_leaves(kept, call(*args, **kwargs))
            finally:
                busy.pop()
                graph.label = 0
            box.outputs = _shapes_of(outputs)
            box.dtype = tree.flatten(outputs)[0].dtype
            return outputs
        return called

    def entry(shape):
        number = sum(box.kind == "InputLayer" for box in boxes)
        start(Box(None, "input" + (f"_{number}" if number else ""), "InputLayer",
                  outputs=[tuple(shape)], dtype=dtype))
        made = _core.op.copy(graph.input([_BATCH if n is None else n for n in shape], dtype))
        graph.label = 0
        return made
    with lock, wrapped([(layer, "call") for layer in model._flatten_layers(False)], wrap), graph:
        result = model(tree.map_leaves(lambda leaf: entry(leaf.shape),
                                       _placeholders(shapes, dtype)))
    outputs = [leaf for leaf in tree.flatten(result) if isinstance(leaf, _core.Tensor)]
    return _joined(_from_program(model, graph, outputs, boxes))


def _from_program(model, graph, outputs, boxes):
    program = _without_passes(graph, outputs)
    edges, boxes_of = {}, []
    for name, _, label, _, inputs, made, _, makers, _ in program.nodes():
        if not label:                                   # an op of the model's own `call`
            boxes.append(Box(None, name, name, [_none_first(s) for s, _ in inputs],
                             [_none_first(s) for s, _ in made], made[0][1] if made else None))
            label = len(boxes)
        boxes_of.append(label - 1)
        for maker in makers:
            if maker >= 0 and boxes_of[maker] != label - 1:
                edges.setdefault((boxes_of[maker], label - 1))
    exits = [boxes_of[k] for k in program.makers() if k >= 0]
    edges = [(a, b, 0, 0) for a, b in edges]
    # What no output depends on (a constant of the call) is left out.
    used = {i for a, b, *_ in edges for i in (a, b)} | set(exits)
    numbers = {old: new for new, old in enumerate(sorted(used))}
    entries = [numbers[i] for i in sorted(used) if boxes[i].kind == "InputLayer"]
    return Diagram(model.name, [boxes[i] for i in sorted(used)],
                   [(numbers[a], numbers[b], o, k) for a, b, o, k in edges], entries,
                   [numbers[i] for i in exits])


def _without_passes(graph, outputs):
    """A program with every node as it was recorded."""
    off = ("fold", "fuse", "update", "order")
    for name in off:
        _core.pass_enable(name, False)
    try:
        return _core.Program(graph, outputs)
    finally:
        for name in off:
            _core.pass_enable(name, True)


def get_source_inputs(tensor):
    """The inputs that a KerasTensor is computed of, as a list; what is no KerasTensor itself."""
    if getattr(tensor, "_keras_history", None) is None:
        return tensor
    found, waiting, seen = [], [tensor], set()
    while waiting:
        tensor = waiting.pop(0)
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        node = node_of(tensor)
        if node.is_input:
            found += [t for t in node.output_tensors if all(t is not f for f in found)]
        else:
            waiting.extend(node.input_tensors)
    return found
