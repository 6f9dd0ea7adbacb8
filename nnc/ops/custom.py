"""`custom_gradient`: functions whose gradients are told instead of derived."""
import functools

from .. import _core, tree
from .._core import op
from .core import _ARRAYS, _DIFFERENTIABLE
from .keras_tensor import any_symbolic_tensors
from .operation import Operation


class _Apart(Operation):
    """A call of a function with a gradient of its own, on KerasTensors."""

    def __init__(self, function):
        super().__init__()
        self._function = function

    def call(self, *args, **kwargs):
        """The function on these tensors."""
        return self._function(*args, **kwargs)

    def get_config(self):
        """Refuses: a function cannot be written to a file."""
        raise NotImplementedError(f"{self.name}: a function made by `custom_gradient` cannot be "
                                  "saved in a model; call it in a layer's `call()` instead.")


def _keywords(grad):
    """Whether a gradient takes `variables`, and whether it wants `upstream` by keyword alone."""
    code = getattr(grad, "__code__", None)
    if code is None:
        return False, False
    names = code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]
    only = code.co_varnames[code.co_argcount:code.co_argcount + code.co_kwonlyargcount]
    known = getattr(grad, "__kwdefaults__", None) or {}
    return ("variables" in names or bool(code.co_flags & 8),
            "upstream" in only and "upstream" not in known)


class _Watch:
    """Finds the variables that are read in a `with` block while something is recorded."""

    def __enter__(self):
        self._graph, self._tape = _core.current_graph(), None
        if self._graph is not None:
            self._first = self._graph.node_count
        else:
            self._tape = _core.Tape()
            self._tape.push()
        return self

    def __exit__(self, *exc):
        if self._tape is not None:
            self._tape.pop()

    @property
    def variables(self):
        """The trainable ones."""
        found = self._tape.watched if self._graph is None else self._graph.variables(self._first)
        return [v for v in found if v.trainable and v.dtype in _DIFFERENTIABLE]


def _flat(ys):
    """One vector of all tensors, in the widest of their dtypes."""
    dtype = _core.result_dtype(*ys)
    return op.concatenate(*(op.cast(op.reshape(y, (y.size,)), dtype) for y in ys), 0)


def _parts(vector, like):
    """The vector cut into tensors like those of a list."""
    found, first = [], 0
    for y in like:
        part = op.slice(vector, (first, first + y.size, 1))
        found.append(op.cast(op.reshape(part, tuple(y.shape)), y.dtype))
        first += y.size
    return found


def _check_count(given, xs, what):
    grads = list(given) if isinstance(given, (list, tuple)) else [given]
    if len(grads) != len(xs):
        raise ValueError(f"custom_gradient: the function `grad` must give a gradient for each of "
                         f"the {len(xs)} {what}. Received: {len(grads)}")
    for i, (grad, x) in enumerate(zip(grads, xs)):
        if grad is None or x.dtype not in _DIFFERENTIABLE:
            grads[i] = None
            continue
        grads[i] = grad = _core.convert(grad, x.dtype)
        if tuple(grad.shape) != tuple(x.shape):
            raise ValueError("custom_gradient: a gradient must have the shape of what it belongs "
                             f"to, {tuple(x.shape)}. Received: {tuple(grad.shape)}")
    return grads


def _route(ys, xs, grad, variables):
    """The tensors `ys` with the gradients that `grad` makes for `xs` and `variables`."""
    takes_variables, by_keyword = _keywords(grad)
    if variables and not takes_variables:
        raise TypeError("custom_gradient: the function reads variables, so `grad` must have an "
                        "argument `variables` and return a pair: the gradients of the arguments "
                        "and a list with those of the variables. Received: variables "
                        f"{[getattr(v, 'path', v) for v in variables]}")

    def rule(seed):
        upstream = [seed] if len(ys) == 1 else _parts(seed, ys)
        options = {"variables": variables} if variables else {}
        if by_keyword:
            given = grad(*xs, upstream=upstream[0] if len(ys) == 1 else upstream, **options)
        else:
            given = grad(*upstream, **options)
        rest = []
        if variables:
            if not isinstance(given, (list, tuple)) or len(given) != 2:
                raise ValueError("custom_gradient: with `variables`, `grad` must give a pair: the "
                                 "gradients of the arguments and those of the variables. "
                                 f"Received: {given!r}")
            given, rest = given
        return _check_count(given, xs, "arguments") + _check_count(rest, variables, "variables")

    if len(ys) == 1:
        return [_core._custom(rule, ys[0], *xs, *variables)]
    return _parts(_core._custom(rule, _flat(ys), *xs, *variables), ys)


def custom_gradient(f):
    """Decorator: a function that brings its own gradient.

    Args:
        f: Function of (nests of) tensors. It returns a pair: the output (a nest of tensors), and a
            function `grad(*upstream)` of the gradients with respect to each tensor of the output,
            which returns those with respect to each tensor argument. `grad(*args, upstream)` is
            understood as well. If `f` reads trainable variables, `grad` must take a keyword
            `variables` (a list) and return a pair, the second a list of their gradients.

    Returns:
        A function that returns the output; gradients through it are those that `grad` gives.

    Raises:
        TypeError: If `f` is no function, gives no pair, or reads variables that `grad` does not
            take.
        ValueError: If `grad` gives another number of gradients, or one of another shape.
    """
    if not callable(f):
        raise TypeError(f"custom_gradient: expected a function. Received: {f!r}")

    @functools.wraps(f)
    def wrapped(*args, **kwargs):
        if any_symbolic_tensors(args, kwargs):
            return _Apart(wrapped)(*args, **kwargs)
        with _Watch() as watch:
            result = f(*args, **kwargs)
        if not isinstance(result, (list, tuple)) or len(result) != 2 or not callable(result[1]):
            raise TypeError(f"custom_gradient: {getattr(f, '__name__', 'the function')} must "
                            "return a pair: the output and a function `grad`. Received: "
                            f"{result!r}")
        output, grad = result
        xs = [x if isinstance(x, _ARRAYS) else _core.convert(x) for x in tree.flatten(list(args))]
        leaves = [_core.convert(leaf) for leaf in tree.flatten(output)]
        floats = [i for i, leaf in enumerate(leaves) if leaf.dtype in _DIFFERENTIABLE]
        given = {id(x) for x in xs}
        variables = [v for v in watch.variables if id(v) not in given]
        if floats and xs + variables:
            ys = [leaves[i] for i in floats]
            for i, y in zip(floats, _route(ys, xs, grad, variables)):
                leaves[i] = y
        return tree.pack(output, leaves)
    return wrapped
