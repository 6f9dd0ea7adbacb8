"""GradientTape: gradients of what is computed within a `with` block.

Eagerly, a tape of the core records the ops. Inside a step that is being recorded everything is on
the graph anyway: the tape asks the graph for gradients, and stays out of the way otherwise.
"""
import contextlib
import math
import threading

from . import _core, tree
from .ops.core import _DIFFERENTIABLE
from .stateless import given

_CHOICES = ("none", "zero")


class _Told(threading.local):
    """Who is told of the gradients that this thread asks for."""

    function = None

    def __init__(self):
        self.tapes = []             # those that record eagerly


_told = _Told()


@contextlib.contextmanager
def telling_gradients(function):
    """Within it, `function(target, sources, gradients)` is told of each call of `gradient`."""
    before, _told.function = _told.function, function
    try:
        yield
    finally:
        _told.function = before


def tell_tapes(values):
    """Tells the tapes of this thread of values that a StatelessScope has put into variables."""
    for tape in _told.tapes:
        tape._given.extend(values)


class GradientTape:
    """Records ops for differentiation.

    Args:
        persistent: Whether `gradient` can be called more than once.
        watch_accessed_variables: Whether trainable variables are watched when they are read.
    """

    def __init__(self, persistent=False, watch_accessed_variables=True):
        self._persistent = persistent
        self._watch_variables = bool(watch_accessed_variables)
        self._tape = None
        self._graph = None
        self._watched = {}
        self._given = []                    # values in variables that a StatelessScope put there
        self._first = 0                     # the node of the trace that recording begins with
        self._recording = False
        self._spent = False

    def __enter__(self):
        if self._recording:
            raise ValueError("GradientTape: the tape is already recording.")
        self._start()
        return self

    def __exit__(self, *exc):
        if self._recording:
            self._stop()

    def _start(self):
        graph = _core.current_graph()
        if graph is not None:
            if self._graph is None:
                self._first = graph.node_count
            self._graph = graph
        else:
            if self._tape is None:
                self._tape = _core.Tape()
                self._tape.watch_variables = self._watch_variables
            self._tape.push()
            _told.tapes.append(self)
            self._given.extend(given())
        self._spent = False
        self._recording = True

    def _stop(self):
        self._recording = False
        if self._graph is None:
            self._tape.pop()
            _told.tapes.remove(self)

    def watch(self, tensor):
        """Makes the tape follow tensors (or variables), one or a nest of them."""
        for leaf in tree.flatten(tensor):
            if not isinstance(leaf, (_core.Tensor, _core.Variable)):
                raise ValueError("GradientTape.watch: expected tensors or variables. "
                                 f"Received: {leaf!r} (of type {type(leaf).__name__})")
            if leaf.dtype not in _DIFFERENTIABLE:
                raise ValueError("GradientTape.watch: only floating-point values have gradients. "
                                 f"Received: dtype={leaf.dtype}")
            self._watched[id(leaf)] = leaf
            if self._graph is None and self._tape is not None:
                self._tape.watch(leaf)

    def stop_recording(self):
        """A context in which the tape does not record."""
        return _Pause(self)

    def reset(self):
        """Forgets what was recorded."""
        recording = self._recording
        if recording:
            self._stop()
        self._tape = self._graph = None
        self._watched.clear()
        self._given.clear()
        if recording:
            self._start()

    def watched_variables(self):
        """The variables that the tape follows, in the order in which they were first read."""
        if self._graph is None:
            return self._tape.watched if self._tape is not None else ()
        read = self._graph.variables(self._first) if self._watch_variables else []
        found = {id(v): v for v in self._watched.values() if isinstance(v, _core.Variable)}
        found.update((id(v), v) for v in read if v.trainable and v.dtype in _DIFFERENTIABLE)
        return tuple(found.values())

    def gradient(self, target, sources, output_gradients=None, unconnected_gradients="none"):
        """The gradients of the sum of `target` with respect to each of `sources`.

        Args:
            target: A tensor, or a nest of tensors, computed while the tape recorded.
            sources: A variable or watched tensor, or a nest of them.
            output_gradients: What each of `target` is weighted with; ones by default.
            unconnected_gradients: What sources that `target` does not depend on get: `"none"` or
                `"zero"`.

        Returns:
            Gradients in the structure of `sources`.

        Raises:
            RuntimeError: If a tape that is not persistent is asked a second time.
        """
        leaves = self._check("gradient", sources, unconnected_gradients)
        targets = [self._target("gradient", t) for t in tree.flatten(target)]
        seeds = _seeds(targets, output_gradients)
        if self._recording and not self._persistent:
            self._stop()
        found = self._gradients(targets, leaves, seeds)
        self._end()
        if _told.function is not None:
            _told.function(targets[0], leaves, found)
        if unconnected_gradients == "zero":
            found = [_core.op.fill(tuple(leaf.shape), 0.0, leaf.dtype) if g is None else g
                     for g, leaf in zip(found, leaves)]
        return tree.pack(sources, found)

    def _check(self, method, sources, unconnected_gradients):
        """The sources in a list, where all is as it must be."""
        if unconnected_gradients not in _CHOICES:
            raise ValueError(f"GradientTape.{method}: `unconnected_gradients` must be one of "
                             f"{_CHOICES}. Received: "
                             f"unconnected_gradients={unconnected_gradients!r}")
        if self._spent:
            raise RuntimeError(f"GradientTape.{method}: a tape that is not persistent can be asked "
                               "once; make it with GradientTape(persistent=True).")
        if self._tape is None and self._graph is None:
            raise RuntimeError(f"GradientTape.{method}: nothing was recorded; compute the target "
                               "within `with tape:`.")
        leaves = tree.flatten(sources)
        for leaf in leaves:
            if not isinstance(leaf, (_core.Tensor, _core.Variable)):
                raise ValueError(f"GradientTape.{method}: sources must be variables or tensors. "
                                 f"Received: {leaf!r} (of type {type(leaf).__name__})")
        if self._given and (
                any(leaf is value for leaf in leaves for value in self._given)
                or any(g is not None for g in self._gradients(self._given, leaves, None))):
            raise NotImplementedError(f"GradientTape.{method}: a value given to a StatelessScope is "
                                      "not followed into the variable that holds it. Ask for the "
                                      "gradient of the variable.")
        return leaves

    def _end(self):
        if not self._persistent:
            self._spent = True
            self._tape = None if self._graph is None else self._tape

    def jacobian(self, target, sources, unconnected_gradients="none", parallel_iterations=None,
                 experimental_use_pfor=True):
        """The derivatives of each element of `target` with respect to each of `sources`.

        Args:
            target: A tensor computed while the tape recorded.
            sources: A variable or watched tensor, or a nest of them.
            unconnected_gradients: See `gradient`.
            parallel_iterations, experimental_use_pfor: How TensorFlow would compute it; without
                meaning here, where it is a backward pass an element of `target`.

        Returns:
            Tensors of shape `target.shape + source.shape` in the structure of `sources`.
        """
        leaves = self._check("jacobian", sources, unconnected_gradients)
        target = self._target("jacobian", target)
        shape = tuple(target.shape)
        count = math.prod(shape)
        rows = self._rows(target, leaves, [_one_hot(i, count, shape, target.dtype)
                                           for i in range(count)])
        found = [_joined(parts, shape + tuple(leaf.shape), leaf, unconnected_gradients)
                 for parts, leaf in zip(rows, leaves)]
        return tree.pack(sources, found)

    def batch_jacobian(self, target, source, unconnected_gradients="none",
                       parallel_iterations=None, experimental_use_pfor=True):
        """The Jacobian of each row of `target` with respect to the same row of `source`.

        Args:
            target: A tensor with a batch axis, whose row `i` depends on row `i` of `source` only.
            source: A watched tensor or variable with the same batch axis.
            unconnected_gradients, parallel_iterations, experimental_use_pfor: See `jacobian`.

        Returns:
            A tensor of shape `(batch,) + target.shape[1:] + source.shape[1:]`; as in TensorFlow
            zeros, not `None`, where `target` does not depend on `source`.
        """
        (leaf,) = self._check("batch_jacobian", [source], unconnected_gradients)
        target = self._target("batch_jacobian", target)
        if not target.shape or not leaf.shape or target.shape[0] != leaf.shape[0]:
            raise ValueError("GradientTape.batch_jacobian: `target` and `source` must have the "
                             f"same first axis. Received: shapes {tuple(target.shape)} and "
                             f"{tuple(leaf.shape)}")
        batch, inner, shape = target.shape[0], tuple(target.shape[1:]), tuple(target.shape)
        count = math.prod(inner)
        seeds = [_core.op.broadcast_to(_one_hot(i, count, (1, *inner), target.dtype), shape)
                 for i in range(count)]
        ((*parts,),) = self._rows(target, [leaf], seeds)
        made = _joined(parts, (count, *leaf.shape), leaf, "zero")
        axes = (1, 0, *range(2, 1 + len(leaf.shape)))
        return _core.op.reshape(_core.op.transpose(made, axes),
                                (batch, *inner, *leaf.shape[1:]))

    def _target(self, method, value):
        """A target. (A variable is one as the tape has read it; a recording reads it now.)"""
        if not isinstance(value, (_core.Tensor, _core.Variable)):
            raise ValueError(f"GradientTape.{method}: the target must be a tensor computed while "
                             f"the tape recorded. Received: {value!r} (of type "
                             f"{type(value).__name__})")
        if self._graph is None or isinstance(value, _core.Tensor):
            return value
        return _core.op.copy(value)

    def _rows(self, target, leaves, seeds):
        """For each source the gradients that the seeds of `target` give."""
        if self._recording and not self._persistent:
            self._stop()
        rows = [self._gradients([target], leaves, [seed]) for seed in seeds]
        self._end()
        return [list(parts) for parts in zip(*rows)] if rows else [[] for _ in leaves]

    def _gradients(self, targets, leaves, seeds):
        used = [i for i, leaf in enumerate(leaves)
                if leaf.dtype in _DIFFERENTIABLE and self._follows(leaf)]
        kept = [i for i, t in enumerate(targets) if t.dtype in _DIFFERENTIABLE]
        found = [None] * len(leaves)
        if not used or not kept:
            return found
        owner = self._tape if self._graph is None else self._graph
        values = owner.gradients([targets[i] for i in kept], [leaves[i] for i in used],
                                 None if seeds is None else [seeds[i] for i in kept])
        for i, value in zip(used, values):
            found[i] = value
        return found

    def _follows(self, leaf):
        """Whether a variable was watched. (For tensors the tape, or the graph, knows.)"""
        if isinstance(leaf, _core.Tensor) or id(leaf) in self._watched:
            return True
        return self._watch_variables and leaf.trainable


class _Pause:
    def __init__(self, tape):
        self.tape = tape

    def __enter__(self):
        if not self.tape._recording:
            raise ValueError("GradientTape.stop_recording: the tape is not recording.")
        if self.tape._graph is not None:
            raise _core.TraceError("GradientTape.stop_recording: a step that is being recorded "
                                   "cannot leave ops out; it runs eagerly instead.")
        self.tape._stop()

    def __exit__(self, *exc):
        self.tape._start()


def _one_hot(i, count, shape, dtype):
    place = _core.op.one_hot(_core.convert(i, "int32"), count, -1, dtype)
    return _core.op.reshape(place, shape)


def _joined(parts, shape, leaf, unconnected):
    """The gradients on a new first axis, in a shape; `None` if there are none."""
    if not parts or all(part is None for part in parts):
        if parts and unconnected == "none":
            return None
        return _core.op.fill(shape, 0.0, leaf.dtype)
    parts = [_core.op.fill(tuple(leaf.shape), 0.0, leaf.dtype) if part is None else part
             for part in parts]
    flat = _core.op.concatenate(*(_core.op.reshape(part, (1, leaf.size)) for part in parts), 0)
    return _core.op.reshape(flat, shape)


def _seeds(targets, output_gradients):
    if output_gradients is None:
        return None
    seeds = tree.flatten(output_gradients, keep_none=True)
    if len(seeds) != len(targets):
        raise ValueError("GradientTape.gradient: `output_gradients` must hold one for each target. "
                         f"Received: {len(seeds)} for {len(targets)} targets")
    for i, (seed, target) in enumerate(zip(seeds, targets)):
        if seed is not None:
            seeds[i] = seed = _core.convert(seed, target.dtype)
            if tuple(seed.shape) != tuple(target.shape):
                raise ValueError("GradientTape.gradient: an output gradient has another shape than "
                                 f"its target. Received: {tuple(seed.shape)}, expected "
                                 f"{tuple(target.shape)}")
    return seeds
