"""GradientTape: gradients of what is computed within a `with` block.

Eagerly, a tape of the core records the ops. Inside a step that is being recorded everything is on
the graph anyway: the tape asks the graph for gradients, and stays out of the way otherwise.
"""
from . import _core, tree
from .ops.core import _FLOATS

_CHOICES = ("none", "zero")


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
        self._watched = set()
        self._recording = False
        self._spent = False

    def __enter__(self):
        if self._recording:
            raise ValueError("GradientTape: the tape is already recording.")
        self._start(fresh=True)
        return self

    def __exit__(self, *exc):
        if self._recording:
            self._stop()

    def _start(self, fresh=False):
        graph = _core.current_graph()
        if graph is not None:
            self._graph = graph
        else:
            if self._tape is None or fresh and not self._persistent:
                self._tape = _core.Tape()
                self._tape.watch_variables = self._watch_variables
            self._tape.push()
        self._spent = False
        self._recording = True

    def _stop(self):
        self._recording = False
        if self._graph is None:
            self._tape.pop()

    def watch(self, tensor):
        """Makes the tape follow tensors (or variables), one or a nest of them."""
        for leaf in tree.flatten(tensor):
            if not isinstance(leaf, (_core.Tensor, _core.Variable)):
                raise ValueError("GradientTape.watch: expected tensors or variables. "
                                 f"Received: {leaf!r} (of type {type(leaf).__name__})")
            if leaf.dtype not in _FLOATS:
                raise ValueError("GradientTape.watch: only floating-point values have gradients. "
                                 f"Received: dtype={leaf.dtype}")
            self._watched.add(id(leaf))
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
        if recording:
            self._start(fresh=True)

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
        if unconnected_gradients not in _CHOICES:
            raise ValueError("GradientTape.gradient: `unconnected_gradients` must be one of "
                             f"{_CHOICES}. Received: "
                             f"unconnected_gradients={unconnected_gradients!r}")
        if self._spent:
            raise RuntimeError("GradientTape.gradient: a tape that is not persistent can be asked "
                               "once; make it with GradientTape(persistent=True).")
        if self._tape is None and self._graph is None:
            raise RuntimeError("GradientTape.gradient: nothing was recorded; compute the target "
                               "within `with tape:`.")
        targets = [_target(t) for t in tree.flatten(target)]
        leaves = tree.flatten(sources)
        for leaf in leaves:
            if not isinstance(leaf, (_core.Tensor, _core.Variable)):
                raise ValueError("GradientTape.gradient: sources must be variables or tensors. "
                                 f"Received: {leaf!r} (of type {type(leaf).__name__})")
        seeds = _seeds(targets, output_gradients)
        recording = self._recording
        if recording and not self._persistent:
            self._stop()
        found = self._gradients(targets, leaves, seeds)
        if not self._persistent:
            self._spent = True
            self._tape = None if self._graph is None else self._tape
        if unconnected_gradients == "zero":
            found = [_core.op.fill(tuple(leaf.shape), 0.0, leaf.dtype) if g is None else g
                     for g, leaf in zip(found, leaves)]
        return tree.pack(sources, found)

    def _gradients(self, targets, leaves, seeds):
        used = [i for i, leaf in enumerate(leaves) if leaf.dtype in _FLOATS and self._follows(leaf)]
        kept = [i for i, t in enumerate(targets) if t.dtype in _FLOATS]
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


def _target(value):
    if not isinstance(value, (_core.Tensor, _core.Variable)):
        raise ValueError("GradientTape.gradient: the target must be a tensor computed while the "
                         f"tape recorded. Received: {value!r} (of type {type(value).__name__})")
    return value if isinstance(value, _core.Tensor) else _core.op.copy(value)


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
