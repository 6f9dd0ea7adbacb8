"""Rematerialization: what a function or a layer computes is not kept for the backward pass but
computed again there, which needs less memory and more time; every bit stays the same.

It works in recorded steps (`fit`), where the program knows who reads what. Functions that run
eagerly keep what a tape needs, as they always do.
"""
import collections
import functools
import threading

from . import _core, tree

RematMode = collections.namedtuple("RematMode", ("mode", "output_size_threshold", "layer_names"))
_MODES = ("full", "activations", "larger_than", "list_of_layers", None)
_scopes = threading.local()


class RematScope:
    """A context in which layers are made that compute again in the backward pass.

    Args:
        mode: `"full"`: all layers; `"activations"`: the `activation` of layers that have one;
            `"larger_than"`: layers whose output has more numbers a sample than
            `output_size_threshold`; `"list_of_layers"`: those of `layer_names`; `None`: none.
        output_size_threshold: See `"larger_than"`. Defaults to `1024`.
        layer_names: See `"list_of_layers"`.
    """

    def __init__(self, mode="full", output_size_threshold=1024, layer_names=None):
        if mode not in _MODES:
            raise ValueError(f"RematScope: `mode` must be one of {_MODES}. Received: mode={mode!r}")
        self.mode = mode
        self.output_size_threshold = output_size_threshold
        self.layer_names = layer_names or []

    def __enter__(self):
        stack = _scopes.__dict__.setdefault("stack", [])
        stack.append(RematMode(self.mode, self.output_size_threshold, self.layer_names))
        return self

    def __exit__(self, *exc):
        _scopes.stack.pop()


def get_current_remat_mode():
    """The mode of the innermost scope, or `None`."""
    stack = _scopes.__dict__.get("stack")
    return stack[-1] if stack else None


def _size(leaf):
    """Numbers a sample."""
    return leaf.size // max(leaf.shape[0], 1) if leaf.shape else 1


def remat_above(f, threshold):
    """`remat` where what `f` gives has more than `threshold` numbers a sample."""
    @functools.wraps(f)
    def wrapped(*args, **kwargs):
        graph = _core.current_graph()
        if graph is None or not graph.begin_segment():
            return f(*args, **kwargs)
        kept = ()
        try:
            result = f(*args, **kwargs)
            leaves = [leaf for leaf in tree.flatten(result) if isinstance(leaf, _core.Tensor)]
            kept = leaves if sum(_size(leaf) for leaf in leaves) > threshold else None
        finally:
            graph.end_segment(kept)
        return result
    return wrapped


def remat(f):
    """A function that is computed again in the backward pass instead of kept for it.

    Args:
        f: Function of tensors, or a layer's `call`.

    Returns:
        A function that gives the same. It matters in recorded steps (`fit`) only; within another
        `remat` the outer one counts.
    """
    if not callable(f):
        raise TypeError(f"remat: expected a function. Received: {f!r}")
    return remat_above(f, -1)


def rematerialized(layer, call):
    """A layer's `call` as the mode that the layer was made in says."""
    mode, threshold, names = layer._remat_mode
    if mode == "full" or mode == "list_of_layers" and layer.name in names:
        return remat(call)
    if mode == "larger_than":
        return remat_above(call, threshold)
    if mode != "activations" or getattr(layer, "activation", None) is None:
        return call

    @functools.wraps(call)
    def with_activation(*args, **kwargs):
        values, own = layer.__dict__, layer.activation
        values["activation"] = remat(own)
        try:
            return call(*args, **kwargs)
        finally:
            values["activation"] = own
    return with_activation
