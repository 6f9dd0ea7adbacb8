"""Calls without lasting effect: variables hold given values during a call, and their own again
after it.
"""
import threading

import numpy as np

from . import _core
from .variables import live, watchers

_turn = threading.RLock()       # held while a scope is open: it changes variables, which all share
_open = []                      # the scopes of the thread that holds it, the innermost last
_symbolic = threading.local()


def apart(variables, values, call):
    """What `call()` gives and what it leaves in `variables` when they begin as `values`.

    Args:
        variables: The variables; they keep their own values.
        values: A value for each.
        call: A function without arguments.

    Returns:
        The result of `call` and a list of tensors, one a variable.

    Raises:
        ValueError: If a value has another shape than its variable; nothing is called then.
    """
    values = [_core.convert(value) for value in values]
    for variable, value in zip(variables, values):
        if tuple(variable.shape) != tuple(value.shape):
            raise ValueError("Expected a value of the shape of its variable "
                             f"{getattr(variable, 'path', variable.name)}, "
                             f"{tuple(variable.shape)}. Received: {tuple(value.shape)}")
    kept = [_core.op.copy(variable) for variable in variables]
    try:
        for variable, value in zip(variables, values):
            variable.assign(_core.op.cast(value, variable.dtype))
        result = call()
        return result, [_core.op.copy(variable) for variable in variables]
    finally:
        for variable, value in zip(variables, kept):
            variable.assign(value)


class StatelessScope:
    """A context in which variables hold given values, and after which all hold their own again.

    Args:
        state_mapping: Pairs of a variable and its value: an array-like, a tensor or a variable.
        collect_losses: Whether what layers add as losses is put into `losses`.
        initialize_variables: Must be `True`: variables made within have their values at once.

    Attributes:
        losses: What was added.
        state_mapping: The values by the `id` of their variable; on leaving, those of every variable
            that changed within are added.

    Raises:
        ValueError: If a key is no variable, or a value has another shape than its variable.
        RuntimeError: On entering, within a step that is being recorded.

    Whatever way a variable is changed within, it is put back: entering copies the values of all
    variables there are. The values stand in the variables themselves, so that other threads see them
    too; scopes of several threads wait for one another. Gradients with respect to the values are
    those of the variables: ask a tape for these (it refuses to follow the values). Within an inner
    scope, the outer's values do not hold.

    Example:

        with nnc.StatelessScope([(v, nnc.ops.ones(v.shape)) for v in model.weights]) as scope:
            model(x)
        new = [scope.get_current_value(v) for v in model.weights]
    """

    def __init__(self, state_mapping=None, collect_losses=False, initialize_variables=True):
        if initialize_variables is not True:
            raise ValueError("StatelessScope: `initialize_variables` must be True, variables have "
                             "their values as soon as they are made. Received: "
                             f"initialize_variables={initialize_variables!r}")
        self.collect_losses, self.initialize_variables = bool(collect_losses), True
        self.losses, self.state_mapping = [], {}
        self._variables = {}            # by id: keeps those alive whose ids are known
        self._own = None                # while open: (variable, its own values) by id
        for variable, value in state_mapping or ():
            self._set(variable, value)

    def _set(self, variable, value):
        if not isinstance(variable, _core.Variable):
            raise ValueError("StatelessScope: the keys must be variables. Received: "
                             f"{variable!r} (of type {type(variable).__name__})")
        if isinstance(value, _core.Variable):
            value = _core.op.copy(value)
        value = _core.convert(value, _dtype_of(variable))
        if tuple(value.shape) != tuple(variable.shape):
            raise ValueError("StatelessScope: expected a value of the shape of its variable "
                             f"{getattr(variable, 'path', '')}, {tuple(variable.shape)}. "
                             f"Received: {tuple(value.shape)}")
        self._variables[id(variable)], self.state_mapping[id(variable)] = variable, value
        return value

    def __enter__(self):
        if _core.current_graph() is not None:
            raise RuntimeError("StatelessScope: a step that is being recorded cannot give variables "
                               "other values; compile with run_eagerly=True.")
        if self._own is not None:
            raise RuntimeError("StatelessScope: the scope is open already.")
        _turn.acquire()
        if _open:
            _open[-1]._leave()
        _open.append(self)
        self._take()
        return self

    def __exit__(self, *exc):
        try:
            self._leave()
        finally:
            _open.pop()
            if _open:
                _open[-1]._take()
            _turn.release()

    def _take(self):
        """Puts the values into the variables."""
        from .autograd import tell_tapes

        self._own = {id(v): (v, v.numpy()) for v in [*live(), *self._variables.values()]}
        watchers.append(self._made)
        for key, value in self.state_mapping.items():
            self._variables[key].assign(value)
        tell_tapes(list(self.state_mapping.values()))

    def _leave(self):
        """Notes what the variables hold, and gives them back their own values."""
        watchers.remove(self._made)
        own, self._own = self._own, None
        for key, (variable, value) in own.items():
            now = variable._view()
            if key in self.state_mapping or not _same_bits(value, now):
                self._variables[key] = variable
                self.state_mapping[key] = _core.convert(now.copy(), _dtype_of(variable))
                variable.assign(value)

    def _made(self, variable):
        """A variable was made while the scope is open."""
        self._own[id(variable)] = variable, variable.numpy()

    def add_loss(self, loss):
        """Adds a scalar to `losses`."""
        self.losses.append(loss)

    def add_update(self, update):
        """Sets the value of a variable: `update` is a pair of both."""
        variable, value = update
        value = self._set(variable, value)
        if self._own is not None:
            variable.assign(value)

    def get_current_value(self, variable):
        """The value of a variable, a tensor; `None` if none was given and it has not changed."""
        key = id(variable)
        if self._own is None:
            return self.state_mapping.get(key)
        now, own = variable._view(), self._own.get(key)
        if key not in self.state_mapping and (own is None or _same_bits(own[1], now)):
            return None
        return _core.convert(now.copy(), _dtype_of(variable))


def _dtype_of(variable):
    outer = _core.set_autocast(None)            # not the dtype that a layer reads it in
    try:
        return variable.dtype
    finally:
        _core.set_autocast(outer)


def _same_bits(a, b):
    return np.array_equal(np.ascontiguousarray(a).reshape(-1).view(np.uint8),
                          np.ascontiguousarray(b).reshape(-1).view(np.uint8))


def given():
    """The values that hold in this thread's open scope."""
    scope = get_stateless_scope() if _open else None
    return [] if scope is None else list(scope.state_mapping.values())


class SymbolicScope:
    """A context for calls that are made for the shapes of their results only: no `StatelessScope`
    around it collects losses from them. Calls on KerasTensors have one around them.
    """

    def __enter__(self):
        _symbolic.depth = getattr(_symbolic, "depth", 0) + 1
        return self

    def __exit__(self, *exc):
        _symbolic.depth -= 1


def in_symbolic_scope():
    """Whether this thread is in a `SymbolicScope`."""
    return getattr(_symbolic, "depth", 0) > 0


def in_stateless_scope():
    """Whether a `StatelessScope` of this thread is open."""
    return get_stateless_scope() is not None


def get_stateless_scope():
    """This thread's open `StatelessScope`, or `None`."""
    if not _open or not _turn.acquire(blocking=False):
        return None
    try:
        return _open[-1] if _open else None
    finally:
        _turn.release()


def collect_loss(loss):
    """Tells the open scope, if it wants to know, of a loss that a layer adds."""
    scope = get_stateless_scope() if _open else None
    if scope is not None and scope.collect_losses and not in_symbolic_scope() \
            and not loss.symbolic:
        scope.add_loss(loss)
