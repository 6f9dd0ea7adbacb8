"""Operations: what can be called on KerasTensors, and the nodes that such calls leave.

A node holds the arguments of one call and what it gave; each KerasTensor knows the operation, the
node's number among the operation's and its own number among the outputs. A functional model is the
nodes between its inputs and its outputs.
"""
import collections

from .. import _core, tree
from ..naming import auto_name
from ..rematerialization import get_current_remat_mode, rematerialized
from ..stateless import SymbolicScope
from .keras_tensor import KerasTensor, any_symbolic_tensors

KerasHistory = collections.namedtuple("KerasHistory", ("operation", "node_index", "tensor_index"))

# What stands for a size not known, in two recordings of a call: large enough for the windows of
# stacked convolutions, and many-times even, so that halves and quarters go.
STAND_INS = (96, 144)


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
        self._remat_mode = get_current_remat_mode()

    _takes_strings = False      # whether it may be called on KerasTensors and arrays of strings

    input = _Side("input_tensors")
    output = _Side("output_tensors")

    def __call__(self, *args, **kwargs):
        if any_symbolic_tensors(args, kwargs):
            return self.symbolic_call(*args, **kwargs)
        return self.rematerialized_call(self.call, *args, **kwargs)(*args, **kwargs)

    def rematerialized_call(self, fn, *args, **kwargs):
        """`fn`, computed again in the backward pass if the `RematScope` in which the operation was
        made says so.
        """
        return fn if self._remat_mode is None else rematerialized(self, fn)

    def quantized_call(self, *args, **kwargs):
        """What the operation computes with quantized weights. Only some layers have it."""
        raise NotImplementedError(f"{type(self).__name__} does not have a `quantized_call()` "
                                  "method.")

    def call(self, *args, **kwargs):
        """What the operation computes. Override it."""
        raise NotImplementedError(f"{type(self).__name__} does not have a `call()` method.")

    def symbolic_call(self, *args, **kwargs):
        """The call on KerasTensors; it leaves a node."""
        self._refuse_strings(args, kwargs)
        outputs = fresh(self.compute_output_spec(*args, **kwargs))
        Node(self, args, kwargs, outputs)
        return outputs

    def _refuse_strings(self, args, kwargs):
        """Raises ValueError if a KerasTensor of strings is among the arguments, unless it takes
        them."""
        if not self._takes_strings and any(
                isinstance(leaf, KerasTensor) and leaf.dtype == "string"
                for leaf in tree.flatten([list(args), kwargs])):
            raise ValueError(f"'{self.name}' ({type(self).__name__}) takes numbers. Received: a "
                             "KerasTensor of dtype 'string'; layers such as StringLookup, Hashing "
                             "or TextVectorization make numbers of strings.")

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


def traced_spec(function, args, kwargs, weights=()):
    """The KerasTensors of a call: it is recorded twice, with two sizes in the place of `None`.

    What differs between the two depends on a size not known. A call that takes neither may
    broadcast a size not known with a fixed one, of an argument or of `weights`: see `_matched`.
    """
    leaves = tree.flatten([list(args), dict(kwargs)])
    if all(None not in leaf.shape for leaf in leaves if isinstance(leaf, KerasTensor)):
        result = _recorded(function, args, kwargs, 1)
        return tree.pack(result, [_spec(leaf, leaf) for leaf in tree.flatten(result)])
    try:
        a, b = (_recorded(function, args, kwargs, size) for size in STAND_INS)
    except ValueError:
        found = _matched(function, args, kwargs, [*leaves, *weights])
        if found is None:
            raise
        return found
    return tree.pack(a, [_spec(p, q) for p, q in zip(tree.flatten(a), tree.flatten(b))])


def _recorded(function, args, kwargs, size):
    """What a call gives that is recorded with `size` in the place of `None`."""
    graph = _core.Graph()

    def concrete(value):
        if not isinstance(value, KerasTensor):
            return value
        made = graph.input(tuple(size if n is None else n for n in value.shape), value.dtype)
        mask = value.__dict__.get("_keras_mask")
        if mask is not None:
            made._keras_mask = concrete(mask)
        return made
    with graph, SymbolicScope():
        return function(*tree.map_leaves(concrete, list(args)),
                        **tree.map_leaves(concrete, dict(kwargs)))


def _matched(function, args, kwargs, leaves):
    """The KerasTensors of a call in which sizes not known meet fixed ones; `None` if it has none.

    A size not known can then only be 1, which broadcasts, or the fixed one: the call is recorded
    with 1 and with each fixed size that there is. Where only one of them can be recorded, what is
    of that size along an axis that some argument does not know is not known either; and if several
    axes are not known, it need not be the size of all of them.
    """
    shapes = [leaf.shape for leaf in leaves if hasattr(leaf, "shape")]
    unknown = {i for shape in shapes for i, n in enumerate(shape) if n is None}
    results = {}
    for size in sorted({1}.union(*shapes) - {None, 0}):
        try:
            results[size] = _recorded(function, args, kwargs, size)
        except ValueError:
            pass
    if not results or (len(results) == 1 and 1 not in results and len(unknown) > 1):
        return None
    first = next(iter(results.values()))
    made = []
    for same in zip(*map(tree.flatten, results.values())):
        if len({len(leaf.shape) for leaf in same}) > 1:
            return None
        spec = _spec(same[0], same[0])
        sizes = zip(*(leaf.shape for leaf in same))
        spec.shape = tuple(n[0] if len(set(n)) == 1 else None for n in sizes)
        if len(results) == 1:
            spec.shape = tuple(None if n in results and i in unknown else n
                               for i, n in enumerate(spec.shape))
        made.append(spec)
    return tree.pack(first, made)


def _spec(a, b):
    """The KerasTensor that two recorded results are cases of."""
    if not hasattr(a, "shape"):
        return _spec(_core.convert(a), _core.convert(b))
    made = KerasTensor([m if m == n else None for m, n in zip(a.shape, b.shape)], a.dtype)
    masks = [getattr(leaf, "__dict__", {}).get("_keras_mask") for leaf in (a, b)]
    if masks[0] is not None:
        made._keras_mask = _spec(*masks)
    return made
