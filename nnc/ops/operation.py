"""Operations: what can be called on KerasTensors, and the nodes that such calls leave.

A node holds the arguments of one call and what it gave; each KerasTensor knows the operation, the
node's number among the operation's and its own number among the outputs. A functional model is the
nodes between its inputs and its outputs.
"""
import collections

from .. import _core, tree
from ..naming import auto_name
from .keras_tensor import KerasTensor, any_symbolic_tensors

KerasHistory = collections.namedtuple("KerasHistory", ("operation", "node_index", "tensor_index"))

# What stands for a size not known, in two recordings of a call: large enough for the windows of
# stacked convolutions, and many-times even, so that halves and quarters go.
_STAND_INS = (96, 144)


class Node:
    """One call of an operation on KerasTensors.

    Args:
        operation: The operation; the node becomes its last one.
        args, kwargs: The arguments.
        outputs: Nest of KerasTensors; their history becomes this node.
    """

    __slots__ = ("operation", "args", "kwargs", "outputs", "input_tensors", "output_tensors",
                 "__weakref__")

    def __init__(self, operation, args=(), kwargs=None, outputs=None):
        self.operation, self.args, self.kwargs = operation, tuple(args), dict(kwargs or {})
        self.outputs = outputs
        self.input_tensors = [leaf for leaf in tree.flatten([list(self.args), self.kwargs])
                              if isinstance(leaf, KerasTensor)]
        self.output_tensors = tree.flatten(outputs)
        nodes = operation._inbound_nodes
        for i, leaf in enumerate(self.output_tensors):
            leaf._keras_history = KerasHistory(operation, len(nodes), i)
        nodes.append(self)

    @property
    def is_input(self):
        """Whether it stands for what enters a model."""
        return not self.input_tensors

    @property
    def parent_nodes(self):
        """The nodes that the inputs come from."""
        return [node_of(tensor) for tensor in self.input_tensors
                if tensor._keras_history is not None]

    def __repr__(self):
        return f"<Node operation={self.operation}>"


def node_of(tensor):
    """The node that made a KerasTensor."""
    operation, index, _ = tensor._keras_history
    return operation._inbound_nodes[index]


class _Side:
    """`input` or `output`: the KerasTensors of the first call; an attribute of that name wins."""

    def __init__(self, attribute):
        self._attribute = attribute

    def __set_name__(self, owner, name):
        self._name = name

    def __get__(self, operation, owner=None):
        if operation is None:
            return self
        nodes = operation.__dict__.get("_inbound_nodes")
        if not nodes:
            raise AttributeError(f"'{operation.name}' has never been called on symbolic tensors "
                                 f"and thus has no defined {self._name}.")
        tensors = getattr(nodes[0], self._attribute)
        return tensors[0] if len(tensors) == 1 else list(tensors)


class Operation:
    """What computes tensors of tensors, and can be called on KerasTensors. `Layer` is one.

    Args:
        name: Name. Defaults to one made from the class.
    """

    def __init__(self, name=None):
        if name is not None and (not isinstance(name, str) or "/" in name):
            raise ValueError(f"{type(self).__name__}: `name` must be a string without the "
                             f"character '/'. Received: name={name!r}")
        self.name = name or auto_name(type(self).__name__)
        self._inbound_nodes = []

    input = _Side("input_tensors")
    output = _Side("output_tensors")

    def __call__(self, *args, **kwargs):
        if any_symbolic_tensors(args, kwargs):
            return self.symbolic_call(*args, **kwargs)
        return self.call(*args, **kwargs)

    def call(self, *args, **kwargs):
        """What the operation computes. Override it."""
        raise NotImplementedError(f"{type(self).__name__} does not have a `call()` method.")

    def symbolic_call(self, *args, **kwargs):
        """The call on KerasTensors; it leaves a node."""
        outputs = fresh(self.compute_output_spec(*args, **kwargs))
        Node(self, args, kwargs, outputs)
        return outputs

    def compute_output_spec(self, *args, **kwargs):
        """A KerasTensor for each output."""
        return traced_spec(self.call, args, kwargs)

    def get_config(self):
        """The arguments of `__init__` as a dictionary."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config):
        """The operation that `get_config` described."""
        return cls(**config)

    def __repr__(self):
        return f"<Operation name={self.name}>"


def fresh(outputs):
    """The outputs, with new KerasTensors for those that another node made."""
    return tree.map_leaves(
        lambda leaf: KerasTensor(leaf.shape, leaf.dtype) if leaf._keras_history is not None
        else leaf, outputs)


def traced_spec(function, args, kwargs):
    """The KerasTensors of a call: it is recorded twice, with two sizes in the place of `None`.

    What differs between the two depends on a size not known.
    """
    known = all(None not in leaf.shape for leaf in tree.flatten([list(args), dict(kwargs)])
                if isinstance(leaf, KerasTensor))
    results = []
    for size in _STAND_INS[:1] if known else _STAND_INS:
        graph = _core.Graph()

        def concrete(value, size=size, graph=graph):
            if not isinstance(value, KerasTensor):
                return value
            made = graph.input(tuple(size if n is None else n for n in value.shape), value.dtype)
            mask = value.__dict__.get("_keras_mask")
            if mask is not None:
                made._keras_mask = concrete(mask)
            return made
        with graph:
            results.append(function(*tree.map_leaves(concrete, list(args)),
                                    **tree.map_leaves(concrete, dict(kwargs))))
    flat = [_spec(a, b) for a, b in zip(*(tree.flatten(r) for r in (results[0], results[-1])))]
    return tree.pack(results[0], flat)


def _spec(a, b):
    """The KerasTensor that two recorded results are cases of."""
    if not hasattr(a, "shape"):
        return _spec(_core.convert(a), _core.convert(b))
    made = KerasTensor([m if m == n else None for m, n in zip(a.shape, b.shape)], a.dtype)
    masks = [getattr(leaf, "__dict__", {}).get("_keras_mask") for leaf in (a, b)]
    if masks[0] is not None:
        made._keras_mask = _spec(*masks)
    return made
