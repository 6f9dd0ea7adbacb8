"""Branches and loops as nodes of a recording: their functions are recorded as bodies, once each.

A body reads what it likes of the recording around it. Loops whose body cannot be one (it needs the
number of the round, its carry changes in shape or dtype, Python makes one of its gradients) are
left to who asked, who unrolls them: `None` is returned then.

What a layer adds as a loss within a body belongs to a branch or a round, and is not seen outside:
loops are unrolled for it; otherwise who asks for the losses is told to run eagerly.
"""
import threading

from .. import _core, tree
from .._core import op
from ..stateless import in_symbolic_scope
from .core import _ARRAYS, tensor

#: Loops of so many rounds are unrolled: what is known of each round helps more than it costs.
UNROLLED = 8


def is_symbolic(value):
    """Whether a value will be known when the recording runs."""
    return isinstance(value, _core.Tensor) and value.symbolic


def any_symbolic(*nests):
    """Whether a tensor in one of the nests is not known yet."""
    return any(is_symbolic(leaf) for leaf in tree.flatten(list(nests)))


def traced(value):
    """A number that a recording would have to know: a symbolic tensor, or `None` if it is known."""
    if _core.current_graph() is None or not isinstance(value, _ARRAYS):
        return None
    value = op.copy(value) if isinstance(value, _core.Variable) else value
    return value if value.symbolic else None


class _Open(threading.local):
    """The bodies that this thread is recording."""

    def __init__(self):
        self.bodies = []


_open = _Open()
_OUT_OF_REACH = object()      # in a layer's list of losses: one that was added within a body


def loss_is_within(losses):
    """Whether a body is being recorded, to run; `losses`, the list of a layer that adds one, gets a
    mark then."""
    if not _open.bodies or in_symbolic_scope():
        return False
    losses.append(_OUT_OF_REACH)
    for body in _open.bodies:
        body.marked.append(losses)
    return True


def in_reach(losses):
    """The losses of a layer.

    Raises:
        TraceError: If one was added within a body.
    """
    if any(loss is _OUT_OF_REACH for loss in losses):
        raise _core.TraceError("`add_loss` was called within a branch or a `while_loop` that is "
                               "recorded, and what it was given is not known outside")
    return losses


class Body:
    """A function, recorded.

    Args:
        function: Function of symbolic tensors.
        like: For each of them a tensor of its shape and dtype.
    """

    def __init__(self, function, like):
        self.graph = _core.Graph(_core.current_graph())
        self.marked = []                # lists of losses to which layers have added a mark
        _open.bodies.append(self)
        try:
            with self.graph:
                result = function(*(self.graph.input(tuple(t.shape), t.dtype) for t in like))
                self.structure = result
                self.outputs = tuple(_core.convert(leaf) for leaf in tree.flatten(result))
        finally:
            _open.bodies.pop()

    def unmark(self):
        """Takes back the marks: the function will be called again."""
        for losses in self.marked:
            del losses[max(i for i, loss in enumerate(losses) if loss is _OUT_OF_REACH)]
        for around in _open.bodies:
            del around.marked[len(around.marked) - len(self.marked):]

    @property
    def signature(self):
        """Shape and dtype of each output."""
        return [(tuple(leaf.shape), leaf.dtype) for leaf in self.outputs]


def branch(who, index, functions):
    """What the function of a number gives, the number being known when the recording runs.

    Args:
        who: The op, for messages.
        index: A symbolic tensor of one element.
        functions: Functions without arguments; what they give must be alike.
    """
    if index.size != 1:
        raise ValueError(f"{who}: what decides must be one number. Received: shape "
                         f"{tuple(index.shape)}")
    index = op.reshape(op.cast(index, "int32"), ())
    bodies = [Body(function, ()) for function in functions]
    first = bodies[0]
    for body in bodies[1:]:
        if body.signature != first.signature:
            raise ValueError(f"{who}: all functions must give tensors of the same shapes and "
                             f"dtypes. Received: {first.signature} and {body.signature}")
    found = _core._branch(_core.current_graph(), index, tuple(b.graph for b in bodies),
                          tuple(b.outputs for b in bodies))
    return tree.pack(first.structure, list(found))


_INDEX = _core.convert(0, "int32")


def _carries(init):
    return [leaf if is_symbolic(leaf) else tensor(leaf) for leaf in tree.flatten(init)]


def loop(function, init, slices, rounds, start=0, reverse=False):
    """Rounds of `function(i, carry leaves, slice leaves) -> carry nest, results nest`.

    Args:
        function: The function; results may be `None`.
        init: Nest: the first carry.
        slices: Tensors whose first axis has a place for each round.
        rounds: How many there are.
        start: `i` of the first place.
        reverse: Whether the last place comes first.

    Returns:
        The last carry and the stacked results, or `None`: it has to be unrolled.
    """
    carries = _carries(init)
    parts = [_Part(leaf) for leaf in slices]
    made = []

    def body(i, *leaves):
        carry, results = function(i, tree.pack(init, list(leaves[:len(carries)])),
                                  list(leaves[len(carries):]))
        made[:] = carry, results
        return [tree.flatten(carry), tree.flatten(results)]
    try:
        recorded = Body(body, [_INDEX, *carries, *parts])
    except _core.TraceError:
        return None
    carry, results = made
    signature = [(tuple(leaf.shape), leaf.dtype) for leaf in carries]
    recorded.unmark()
    if recorded.signature[:len(carries)] != signature or recorded.graph.python_rules \
            or recorded.marked \
            or len(tree.flatten(carry)) != len(carries):
        return None
    found = _core._loop(_core.current_graph(), (recorded.graph,), (recorded.outputs,),
                        (*carries, *slices), len(carries), rounds, start, reverse)
    last = tree.pack(init, list(found[:len(carries)]))
    stacked = list(found[len(carries):-1])
    return last, tree.pack(results, stacked) if stacked else None


class _Part:
    """Shape and dtype of a part along the first axis."""

    def __init__(self, leaf):
        self.shape, self.dtype = leaf.shape[1:], leaf.dtype


def while_loop(condition, function, values, limit):
    """Rounds of `function(*values) -> values` while `condition(*values)`.

    Args:
        condition, function: Functions of the values.
        values: Tuple of nests of tensors.
        limit: Rounds at the most, or `None`.

    Returns:
        The last values.
    """
    carries = _carries(values)

    def body(_, *leaves):
        return function(*tree.pack(values, list(leaves)))

    def test(*leaves):
        return op.reshape(op.cast(condition(*tree.pack(values, list(leaves))), "bool"), ())
    recorded, decides = Body(body, [_INDEX, *carries]), Body(test, carries)
    signature = [(tuple(leaf.shape), leaf.dtype) for leaf in carries]
    if recorded.signature != signature:
        raise ValueError("while_loop: `body` must give values of the shapes and dtypes of "
                         f"`loop_vars`, {signature}. Received: {recorded.signature}")
    found = _core._loop(_core.current_graph(), (recorded.graph, decides.graph),
                        (recorded.outputs, decides.outputs), tuple(carries), len(carries),
                        -1 if limit is None else limit, 0, False)
    return tree.pack(values, list(found[:-1]))
