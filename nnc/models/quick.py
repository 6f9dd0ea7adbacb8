"""Calls that come again and again: the third alike is recorded, later ones replay it.

A program of bfloat16 layers keeps float32 between the ops where the processor has no products of
bfloat16, as those of `predict` do: calls of such models are recorded the first time, so that each
gives the same numbers.
"""
from .. import _core, tree
from .._core import Tensor, op
from ..ops.symbolic import OpOperation
from ..variables import changes

#: Inputs, and outputs with their logits, that `Program.attempt` takes at most.
MOST = 8
#: Programs that a model keeps, and kinds of calls that it counts.
MOST_PROGRAMS, MOST_KINDS = 8, 256


def is_ours(operation):
    """Whether an operation and the functions that it was given are nnc's: what a user writes may do
    more than compute, and runs each time."""
    if isinstance(operation, OpOperation):
        return operation._function.__module__.startswith("nnc.ops.") and not any(
            callable(option) for option in tree.flatten(list(operation._options.values())))
    given = [type(operation), getattr(operation, "activation", None),
             getattr(operation, "function", None), getattr(operation, "layer", None)]
    return all(str(getattr(part, "__module__", None)).startswith("nnc.")
               for part in given if part is not None)


#: NumPy's characters of bool, integers, float32 and float64.
PLAIN_NUMBERS = "?bBhHiIlLqQfd"
#: Bytes from which on copying an array would be felt.
LARGE = 1 << 19


class Repeated:
    """The calls of a model that have come, by kind, and the programs of those that came often.

    Attributes:
        stamp: What `changes` was when they were made: all is forgotten when a layer has changed.
        attempts: A function for each program; it gives `None` for inputs of another kind.
    """

    def __init__(self):
        self.stamp, self.attempts = None, ()
        self._programs, self._times, self._keeps = {}, {}, False

    def attempt(self, inputs):
        """What one of the programs gives for the inputs, or `None`."""
        if self.stamp == changes[0]:
            for attempt in self.attempts:
                outputs = attempt(inputs)
                if outputs is not None:
                    return outputs
        return None

    def is_due(self, model, key):
        """Notes one more call of a kind; returns whether it is the one to record."""
        if self.stamp != changes[0]:
            self.stamp, self.attempts, self._programs, self._times = changes[0], (), {}, {}
            self._keeps = _core.widens_bfloat16() and any(
                layer.compute_dtype == "bfloat16" for layer in model._flatten_layers())
        if len(self._times) >= MOST_KINDS and key not in self._times:
            self._times = {}
        times = self._times[key] = self._times.get(key, 0) + 1
        at_once = self._keeps and len(self._programs) < MOST_PROGRAMS
        return key not in self._programs and times >= (1 if at_once else 3) \
            and _core.current_graph() is None

    def keep(self, key, attempt):
        """A program for calls of a kind, in the place of the oldest if there are many; `None`: there
        can be none, which is not tried again."""
        programs = dict(self._programs)
        programs[key] = attempt
        if attempt is not None and len(programs) > MOST_PROGRAMS:
            oldest = next(iter(programs))
            del programs[oldest]
            self._times.pop(oldest, None)
        self._programs = programs
        self.attempts = tuple(reversed([one for one in programs.values() if one is not None]))


def lends(array):
    """Whether a model may use an array's memory where it lies: a large one, if nothing that is made
    of it outlives the call; see `taking_back`."""
    return array.nbytes >= LARGE and array.dtype.char in PLAIN_NUMBERS \
        and not _core.tape_active() and _core.current_graph() is None


def taking_back(outputs):
    """Outputs of a model that was lent an array, in memory of their own."""
    def own(x):
        if not isinstance(x, Tensor):
            return x
        logits = x.__dict__.get("_keras_logits")
        if logits is not None:
            x._keras_logits = own(logits)
        if not _core.is_lent(x):
            return x
        copy = op.copy(x)
        copy.__dict__.update(x.__dict__)
        return copy
    return tree.map_leaves(own, outputs)


def record(call, signature):
    """Makes a call a program.

    Args:
        call: Gives the outputs (a nest) for a list of inputs.
        signature: `(shape, dtype)` of each input.

    Returns:
        What gives the outputs for arrays or tensors of this signature (one, or a list of several)
        and `None` for others; `None` if the call cannot be a program.
    """
    graph = _core.Graph()
    try:
        with graph:
            inputs = [graph.input(shape, dtype) for shape, dtype in signature]
            made = call(inputs)
    except _core.TraceError:
        return None
    flat = tree.flatten(made)
    if not flat or any(type(leaf) is not Tensor or any(leaf is x for x in inputs)
                       or not set(leaf.__dict__) <= {"_keras_logits"} for leaf in flat):
        return None
    noted = [i for i, leaf in enumerate(flat) if leaf.__dict__]
    with graph:
        # Those of bfloat16 leave in the float32 that they may have.
        outputs = flat + [op.cast(x, "float32") if x.dtype == "bfloat16" else x
                          for x in (flat[i]._keras_logits for i in noted)]
    if len(outputs) > MOST or len(inputs) > MOST:
        return None
    program = _core.Program(graph, outputs, excess=True)
    if made is flat[0]:
        return program.attempt_logits if noted else program.attempt
    attempt = program.attempt
    structure, size = tree.map_leaves(lambda _: 0, made), len(flat)

    def replay(x):
        results = attempt(x)
        if results is None:
            return None
        if type(results) is not tuple:
            results = (results,)
        for i, logits in zip(noted, results[size:]):
            results[i]._keras_logits = logits
        return tree.pack(structure, results[:size])
    return replay
