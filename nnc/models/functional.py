"""Functional models: the layers and ops between KerasTensors.

The nodes between inputs and outputs are put in order once; a call goes through them with tensors in
the place of the KerasTensors, eagerly or in a recording. Configurations have Keras's form: every
operation with the arguments of its calls, in which a tensor is the name of an operation, the number
of its node (among those of the model) and of the output.
"""
import warnings

import numpy as np

from .. import _core, tree
from .._core import Tensor, op
from ..layers.arrays import entering
from ..layers.input_layer import Input, InputLayer
from ..layers.keras_tensor import KerasTensor
from ..layers.layer import Layer, context
from ..naming import current_path, name_scope
from ..ops.operation import Node, node_of
from ..recording import feed_dtype
from ..strings import holds_strings, string_array
from ..variables import changes
from .front import Entered, Front, fit_shape, fit_strings
from .graph import fill, find_nodes, replay, sort_operations
from .model import Model
from .quick import Repeated, is_ours, lends, record, taking_back
from .sequential import Sequential
from ..trainer import Trainer


def make_functional(cls):
    """Makes the classes between a class and `Model` derive from `Functional` instead."""
    if cls is Functional or Functional in cls.__mro__:
        return
    cls.__bases__ = tuple(Functional if base is Model else base for base in cls.__bases__)
    for base in cls.__bases__:
        if issubclass(base, Model):
            make_functional(base)


class Functional(Model):
    """What `Model(inputs, outputs)` makes.

    Args:
        inputs: Nest of KerasTensors.
        outputs: Nest of KerasTensors that depend on them.
        name: Name.
        trainable: Whether the weights are trained; `None` leaves the layers as they are.
        **kwargs: See `Layer`.

    Raises:
        ValueError: If something is no KerasTensor, an input is missing, or names repeat.
    """

    def __init__(self, inputs, outputs, name=None, trainable=None, **kwargs):
        for argument, nest in (("inputs", inputs), ("outputs", outputs)):
            for leaf in tree.flatten(nest):
                if not isinstance(leaf, KerasTensor) or leaf._keras_history is None:
                    raise ValueError(f"Model: all `{argument}` values must be KerasTensors that "
                                     f"`Input` or a layer gave. Received: {leaf!r} (of type "
                                     f"{type(leaf).__name__})")
        flat = tree.flatten(inputs)
        if len({id(leaf) for leaf in flat}) != len(flat):
            raise ValueError("Model: an input is named twice. Received: "
                             f"inputs={[leaf.name for leaf in flat]}")
        if not all(node_of(leaf).is_input for leaf in flat):
            inputs, outputs = _from_the_middle(inputs, outputs)
        Layer.__init__(self, name=name, **kwargs)
        Trainer.__init__(self)
        self.autocast = False                           # inputs have dtypes of their own
        self._repeated = Repeated()                     # see _again
        self._set_graph(inputs, outputs)
        if trainable is not None:
            self.trainable = trainable

    def _set_graph(self, inputs, outputs):
        """Finds the nodes between inputs and outputs."""
        self._inputs_struct, self._outputs_struct = inputs, outputs
        self.inputs, self.outputs = tree.flatten(inputs), tree.flatten(outputs)
        self.output_names = [tensor._keras_history.operation.name for tensor in self.outputs]
        nodes, numbers = find_nodes(self.inputs, self.outputs)
        self.operations = sort_operations(self.inputs, nodes, numbers)
        nodes[:0] = [node_of(tensor) for tensor in self.inputs if node_of(tensor) not in nodes]
        names = [operation.name for operation in self.operations]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"Model '{self.name}': the name \"{twice}\" is used "
                             f"{names.count(twice)} times in the model. All operation names should "
                             "be unique.")
        self._nodes = nodes
        self._layers = [o for o in self.operations if isinstance(o, Layer)]
        self._plain = all(isinstance(o, Layer) and o._plain for o in self.operations)
        self._front = Front(self.name, self.inputs, nodes) \
            if any(tensor.dtype == "string" for tensor in self.inputs) else None
        with name_scope(self.name):
            self._path = current_path()
        self.built = True

    # ---- what it is made of ----

    @property
    def layers(self):
        """The layers, inputs among them, from the inputs on."""
        return self._layers[:]

    @layers.setter
    def layers(self, _):
        raise AttributeError("`Model.layers` is reserved: name the attribute otherwise.")

    @property
    def input(self):
        """The symbolic inputs, in the structure that they were passed in."""
        return self._inputs_struct

    @property
    def output(self):
        """The symbolic outputs, in the structure that they were passed in."""
        return self._outputs_struct

    @property
    def input_shape(self):
        """The input's shape; a list of shapes if there are several."""
        shapes = [leaf.shape for leaf in self.inputs]
        return shapes[0] if len(shapes) == 1 else shapes

    @property
    def output_shape(self):
        """The output's shape; a list of shapes if there are several."""
        shapes = [leaf.shape for leaf in self.outputs]
        return shapes[0] if len(shapes) == 1 else shapes

    def build(self, input_shape=None):
        """Nothing: the layers were built as they were called."""
        self.built = True

    def compute_output_shape(self, input_shape):
        """The outputs' shapes for inputs of these shapes."""
        return Layer.compute_output_shape(self, input_shape)

    def compute_output_spec(self, inputs, training=None, mask=None):
        """A KerasTensor for each output."""
        from ..layers.layer import _traced_spec

        if self._front is not None:             # strings cannot be recorded
            return tree.map_leaves(lambda leaf: KerasTensor(leaf.shape, leaf.dtype),
                                   self._outputs_struct)
        try:
            return _traced_spec(self, (inputs,), {})
        except _core.TraceError:                # a layer asks for values; it may say its own shape
            return self._spec_by_nodes(inputs)

    def _spec_by_nodes(self, inputs):
        """A KerasTensor for each output, of what each operation says of its own."""
        values = {}
        for tensor, x in zip(self.inputs, self._flat_inputs(inputs)):
            shape = tuple(x.shape)
            if len(shape) != len(tensor.shape):
                raise ValueError(f"Invalid input shape for input '{tensor.name}' of model "
                                 f"'{self.name}': expected {tensor.shape}, received {shape}.")
            values[id(tensor)] = KerasTensor(shape, tensor.dtype)
        replay(self._nodes, values, lambda operation, args, kwargs:
               operation.compute_output_spec(*args, **kwargs))
        return fill(self._outputs_struct, values)

    def _feed_dtype(self, dtype):
        return feed_dtype(dtype, self.compute_dtype)

    # ---- strings ----

    @property
    def _takes_strings(self):
        return self.__dict__.get("_front") is not None

    def _string_inputs(self):
        front = self._front
        return None if front is None else "whole" if front.is_fixed else "batches"

    def _enter(self, inputs):
        """What enters the recorded part, of arrays."""
        flat = self._flat_inputs(inputs)
        return self._front.enter({
            id(tensor): (fit_strings if tensor.dtype == "string" else fit_shape)(
                x, tensor.shape, self._who(tensor)) for tensor, x in zip(self.inputs, flat)})

    def _who(self, tensor):
        return f"Input '{tensor.name}' of model '{self.name}'"

    # ---- calling ----

    def __call__(self, *args, **kwargs):
        """As of any layer. Inputs like those that have gone through before take the short way."""
        if len(args) != 1 or context.training or kwargs and (
                len(kwargs) > 1 or kwargs.get("training", True)):
            return super().__call__(*args, **kwargs)
        inputs, repeated = args[0], self._repeated
        if repeated.stamp == changes[0] and _is_plain(inputs):
            for attempt in repeated.attempts:
                outputs = attempt(inputs)
                if outputs is not None:
                    return outputs
        if type(inputs) is np.ndarray and lends(inputs) and _only_computes(self):
            dtype = self.compute_dtype if inputs.dtype.kind == "f" and self.autocast else None
            return taking_back(super().__call__(entering(inputs, dtype, given=True), **kwargs))
        return super().__call__(*args, **kwargs)

    def call(self, inputs, training=None, mask=None):
        """Goes through the nodes."""
        entered = type(inputs) is Entered
        tensors = self._front.cut if entered else self.inputs
        flat = [self._adjust(x, wanted) for x, wanted in zip(
            inputs if entered else self._flat_inputs(inputs), tensors)]
        if mask is not None:
            masks = tree.flatten(mask, keep_none=True)
            if len(masks) != len(flat):
                raise ValueError(f"Model '{self.name}': expected {len(flat)} masks. Received: "
                                 f"{len(masks)}")
            for i, one in enumerate(masks):
                if one is not None:
                    flat[i] = op.copy(flat[i])
                    flat[i]._keras_mask = one
        if training or context.training or entered or self._front is not None \
                or any("_keras_mask" in x.__dict__ for x in flat):
            return self._run(flat, training, entered)
        outputs = self._repeated.attempt(flat if len(flat) > 1 else flat[0])
        return self._again(flat, self._run(flat, training)) if outputs is None else outputs

    def _run(self, flat, training, entered=False):
        """The outputs for a list of all inputs, or of what the front has made of them."""
        tensors, nodes = (self._front.cut, self._front.rest) if entered \
            else (self.inputs, self._nodes)
        values = {id(tensor): x for tensor, x in zip(tensors, flat)}

        def call(operation, args, kwargs):
            if training is not None and isinstance(operation, Layer) and operation._signature.training:
                kwargs["training"] = training       # also where the layer was called with its own, as in Keras
            return operation(*args, **kwargs)
        replay(nodes, values, call)
        return fill(self._outputs_struct, values)

    def _again(self, flat, outputs):
        """Notes a call outside training and what it gave; makes a program of it if it is due, whose
        outputs are returned then."""
        key = tuple((tuple(x.shape), x.dtype) for x in flat)
        if not self._repeated.is_due(self, key):
            return outputs
        self._repeated.keep(key, record(lambda x: self._run(x, False), key)
                            if _only_computes(self) else None)
        again = self._repeated.attempt(flat if len(flat) > 1 else flat[0])
        return outputs if again is None else again

    def _convert(self, value, positional):
        if self._front is None or isinstance(value, (Tensor, KerasTensor)):
            return super()._convert(value, positional)
        return convert_strings(value, f"Model '{self.name}'", super()._convert)

    def _flat_inputs(self, inputs):
        """The inputs as a flat list."""
        struct = self._inputs_struct
        if isinstance(inputs, dict):
            inputs = self._by_name(inputs)
        flat = tree.flatten(inputs)
        if len(flat) != len(self.inputs):
            raise ValueError(f"Model '{self.name}' expects {len(self.inputs)} input(s) "
                             f"({[t.name for t in self.inputs]}), but it received {len(flat)}."
                             + (f" Expected a dict with the keys {sorted(struct)}."
                                if isinstance(struct, dict) else ""))
        return flat

    def _by_name(self, inputs):
        """The values of a dict in the order of the inputs; others in it do not matter."""
        struct, own = self._inputs_struct, [
            tensor._keras_history.operation.name for tensor in self.inputs]
        names = sorted(struct) if isinstance(struct, dict) else own
        missing = [name for name in names if name not in inputs]
        if missing and all(name in inputs for name in own):
            warnings.warn(f"Model '{self.name}': the structure of `inputs` doesn't match the "
                          "expected structure: the inputs are taken by their names. Expected: "
                          f"{tree.map_leaves(lambda tensor: tensor.name, struct)}. Received: a "
                          f"dict with the keys {sorted(inputs)}", stacklevel=2)
            return [inputs[name] for name in own]
        if missing:
            raise ValueError(f"Model '{self.name}': the input {missing[0]!r} is missing. Expected "
                             f"a dict with the keys {names}. Received: {sorted(inputs)}")
        return [inputs[name] for name in names]

    def _adjust(self, x, wanted):
        """One input with a last axis of size 1 added or dropped, and in its dtype."""
        if wanted.dtype == "string":
            return fit_strings(x, wanted.shape, self._who(wanted))
        if not isinstance(x, Tensor):
            x = _core.convert(x)
        shape, target = tuple(x.shape), wanted.shape
        if len(shape) == len(target) + 1 and shape[-1] == 1:
            x = _with_mask_of(op.reshape(x, shape[:-1]), x)
        elif len(shape) == len(target) - 1 and target[-1] == 1:
            x = _with_mask_of(op.reshape(x, (*shape, 1)), x)
        shape = tuple(x.shape)
        if len(shape) != len(target) or any(a is not None and a != b
                                            for a, b in zip(target[1:], shape[1:])):
            raise ValueError(f"Invalid input shape for input '{wanted.name}' of model "
                             f"'{self.name}': expected {target}, received {shape}.")
        return x if x.dtype == wanted.dtype else _with_mask_of(op.cast(x, wanted.dtype), x)

    # ---- copies ----

    def __getstate__(self):
        """The graph as a flat list: nodes with numbers in the place of tensors."""
        state = super().__getstate__()
        for key in ("_inputs_struct", "_outputs_struct", "inputs", "outputs", "_nodes",
                    "operations", "_layers", "_front"):
            state.pop(key)
        tensors = [tensor for node in self._nodes for tensor in node.output_tensors]
        numbers = {id(tensor): _Number(i) for i, tensor in enumerate(tensors)}
        state["_graph"] = [(node.operation, fill(node.args, numbers), fill(node.kwargs, numbers),
                            fill(node.outputs, numbers)) for node in self._nodes]
        state["_tensors"] = [(t.shape, t.dtype, t.name) for t in tensors]
        state["_ends"] = (fill(self._inputs_struct, numbers), fill(self._outputs_struct, numbers))
        return state

    def __setstate__(self, state):
        state = dict(state)
        graph, ends = state.pop("_graph"), state.pop("_ends")
        tensors = [KerasTensor(shape, dtype, name=name)
                   for shape, dtype, name in state.pop("_tensors")]
        super().__setstate__(state)

        def revive(nest):
            return tree.map_leaves(lambda leaf: tensors[leaf.value] if isinstance(leaf, _Number)
                                   else leaf, nest)
        for operation, args, kwargs, outputs in graph:
            if isinstance(operation, InputLayer):
                operation._inbound_nodes.clear()
            Node(operation, revive(args), revive(kwargs), revive(outputs))
        self._set_graph(*(revive(end) for end in ends))

    # ---- configuration ----

    def get_config(self):
        if type(self).__init__ not in (Functional.__init__, Model.__init__):
            return Model.get_config(self)
        return graph_config(self)


def _is_plain(inputs):
    """Whether inputs are arrays, or tensors without a mask: one, or several in a list or tuple."""
    if type(inputs) is np.ndarray:
        return True
    if type(inputs) is Tensor:
        return "_keras_mask" not in inputs.__dict__
    return type(inputs) in (list, tuple) and len(inputs) > 1 and all(
        type(x) is np.ndarray or type(x) is Tensor and "_keras_mask" not in x.__dict__
        for x in inputs)


def _only_computes(operation):
    """Whether a call, not in training, is known to do nothing but compute."""
    if not isinstance(operation, Layer):
        return is_ours(operation)
    if operation.activity_regularizer is not None or "call" in operation.__dict__:
        return False
    if type(operation) is Sequential:
        return all(_only_computes(layer) for layer in operation.layers)
    if isinstance(operation, Functional):
        return type(operation).call is Functional.call \
            and type(operation).__call__ is Functional.__call__ and operation._front is None \
            and not any(node.kwargs.get("training") for node in operation._nodes) \
            and all(_only_computes(part) for part in operation.operations)
    return operation._plain and is_ours(operation)


def convert_strings(value, who, convert):
    """A nest with its strings as arrays; the rest by `convert(leaf, positional)`."""
    if isinstance(value, dict):
        return {key: convert_strings(part, who, convert) for key, part in value.items()}
    if isinstance(value, (list, tuple)) and any(hasattr(part, "shape") or isinstance(part, dict)
                                                for part in value):
        return tuple(convert_strings(part, who, convert) for part in value) \
            if type(value) is not Entered else value
    if isinstance(value, (Tensor, KerasTensor)) or not holds_strings(value):
        return convert(value, True)
    return string_array(value, f"{who}: the input")


class _Number:
    """A tensor's number in a copy of a graph."""

    def __init__(self, value):
        self.value = value


def _with_mask_of(made, x):
    mask = x.__dict__.get("_keras_mask")
    if mask is not None:
        made._keras_mask = mask
    return made


def _from_the_middle(inputs, outputs):
    """Inputs and outputs of a copy of the nodes that begins at tensors within a graph."""
    flat = tree.flatten(inputs)
    nodes, _ = find_nodes(flat, tree.flatten(outputs))
    values = {}
    for tensor in flat:
        values[id(tensor)] = tensor if node_of(tensor).is_input else Input(
            batch_shape=tensor.shape, dtype=tensor.dtype)
    entries = {id(node_of(tensor)) for tensor in flat}

    def call(operation, args, kwargs):
        return operation(*args, **kwargs)
    replay([node for node in nodes if id(node) not in entries], values, call)
    return fill(inputs, values), fill(outputs, values)


# ---- configurations ------------------------------------------------------------------------------

def graph_config(model):
    """The configuration of a functional model in Keras's form."""
    from ..saving.object_registration import serialize_keras_object

    kept = {id(node) for node in model._nodes}
    layers = []
    for operation in model.operations:
        nodes = [node for node in operation._inbound_nodes if id(node) in kept]
        config = serialize_keras_object(operation)
        config["name"] = operation.name
        config["inbound_nodes"] = [
            {"args": _to_config(node.args, kept), "kwargs": _to_config(node.kwargs, kept)}
            for node in nodes if not node.is_input]
        layers.append(config)

    def place(tensor):
        operation, index, output = tensor._keras_history
        # Keras counts a node of its own in a functional model.
        return [operation.name, _node_number(operation, index, kept)
                + isinstance(operation, Functional), output]
    return {"name": model.name, "trainable": model.trainable, "layers": layers,
            "input_layers": tree.map_leaves(place, model._inputs_struct),
            "output_layers": tree.map_leaves(place, model._outputs_struct)}


def _node_number(operation, index, kept):
    return sum(id(node) in kept for node in operation._inbound_nodes[:index])


def _to_config(value, kept):
    from ..saving.object_registration import serialize_keras_object

    if isinstance(value, KerasTensor):
        operation, index, output = value._keras_history
        return {"class_name": "__keras_tensor__", "config": {
            "shape": value.shape, "dtype": value.dtype,
            "keras_history": [operation.name, _node_number(operation, index, kept), output]}}
    if isinstance(value, (list, tuple)):
        return type(value)(_to_config(part, kept) for part in value) \
            if not hasattr(value, "_fields") else [_to_config(part, kept) for part in value]
    if isinstance(value, dict):
        return {key: _to_config(part, kept) for key, part in value.items()}
    return serialize_keras_object(value)


class _NotYet(Exception):
    """A node needs one that is not there yet."""


def functional_from_config(cls, config, custom_objects=None):
    """The model that `get_config` (nnc's or Keras's) described, with new weights.

    Raises:
        ValueError: If nodes refer to one another in a circle, or to what does not exist.
    """
    from ..saving.object_registration import deserialize_keras_object

    config = dict(config)
    layers, inputs, outputs = (config.pop(key)
                               for key in ("layers", "input_layers", "output_layers"))
    made, waiting = {}, []
    for data in layers:
        made[data["name"]] = deserialize_keras_object(data, custom_objects=custom_objects)
        waiting.append((made[data["name"]], list(data["inbound_nodes"])))
    # A functional model has no node yet; an input layer has the one of its own.
    while waiting:
        before = sum(len(nodes) for _, nodes in waiting)
        for operation, nodes in waiting:
            try:
                while nodes:
                    args, kwargs = _arguments(nodes[0], made, custom_objects)
                    operation(*args, **kwargs)
                    nodes.pop(0)
            except _NotYet:
                pass
        waiting = [(operation, nodes) for operation, nodes in waiting if nodes]
        if waiting and sum(len(nodes) for _, nodes in waiting) == before:
            raise ValueError("Invalid Functional model configuration: the nodes of "
                             f"{[o.name for o, _ in waiting]} depend on nodes that do not exist.")

    def place(value):
        if isinstance(value, (list, tuple)) and len(value) == 3 and isinstance(value[0], str):
            operation = made[value[0]]
            index = value[1] - isinstance(operation, Functional)
            return operation._inbound_nodes[index].output_tensors[value[2]]
        if isinstance(value, dict):
            return {key: place(part) for key, part in value.items()}
        return type(value)(place(part) for part in value)
    if config.get("trainable"):                 # each layer says it for itself: some are frozen
        config["trainable"] = None
    return cls(inputs=place(inputs), outputs=place(outputs), **config)


def _arguments(node, made, custom_objects):
    """Positional and named arguments of a node's call."""
    from ..saving.object_registration import deserialize_keras_object

    if isinstance(node, list):                  # Keras 2: [[name, node, tensor, kwargs], ...]
        tensors = [_tensor(part[:3], made) for part in node]
        kwargs = node[0][3] if len(node[0]) > 3 else {}
        return [tensors[0] if len(tensors) == 1 else tensors], kwargs

    def revive(value):
        if isinstance(value, dict):
            if value.get("class_name") == "__keras_tensor__":
                return _tensor(value["config"]["keras_history"], made)
            if "class_name" in value:
                return deserialize_keras_object(value, custom_objects=custom_objects)
            return {key: revive(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(revive(part) for part in value)
        return value
    return revive(node["args"]), revive(node["kwargs"])


def _tensor(history, made):
    name, index, output = history
    if name not in made:
        raise ValueError("Invalid Functional model configuration: there is no layer "
                         f"{name!r}. Layers: {sorted(made)}")
    nodes = made[name]._inbound_nodes
    if index >= len(nodes):
        raise _NotYet
    return nodes[index].output_tensors[output]
