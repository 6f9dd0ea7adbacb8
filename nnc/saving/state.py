"""The state of a model, object by object, under Keras's paths: `layers/dense/vars/0`.

An object's path is the attribute that leads to it; in a list or dict it is the class's name in
snake case, numbered. `Sequential` and functional models begin with `layers`; attributes come in
alphabetical order, private ones last; each object is saved where it is met first.

Random generators are not among what Keras saves: their counters go into the group `nnc`, which
Keras does not look at, so that a model goes on with the numbers it would have drawn.
"""
import contextlib
import math
import threading

import numpy as np

from ..naming import to_snake_case

_DEPTH = 100
_LARGE = 1 << 18                    # bytes of a weight whose first value is worth sparing
RANDOM = "nnc/random"
ORDER = "nnc/order"        # of `fit`'s batches


class _Budget(threading.local):
    left = None
    what = ""
    later = None        # id -> a variable whose first value is not drawn yet


budget = _Budget()


@contextlib.contextmanager
def limited(count, what):
    """Within it, variables may take as many bytes as a file can fill, and some more.

    A small file can name a huge layer; it must not get its memory. Besides what is stored there are
    the slots of optimizers and what metrics hold: a constant and a few times the size.
    First values of large weights wait until it ends: the file's are read in their place.
    """
    before = budget.left, budget.what, budget.later
    budget.left, budget.what, budget.later = (64 << 20) + 8 * count, what, {}
    try:
        yield
        for variable in budget.later.values():
            variable.assign(variable.initializer(variable.shape, dtype=variable.dtype))
    finally:
        budget.left, budget.what, budget.later = before


def take(shape, dtype, name):
    """Called for each new variable, before its memory is taken."""
    if budget.left is None:
        return
    size = 8 if dtype in ("float64", "int64", "uint64") else 4
    for n in shape:
        size *= int(n)
    budget.left -= size
    if budget.left < 0:
        raise ValueError(f"{budget.what}: variable '{name}' of shape {tuple(shape)} refused: the "
                         "configuration asks for more memory than the file has values for")


def may_wait(layer, initializer, shape):
    """Whether the first value of a layer's weight needs not be drawn: a file is being read, which
    holds it, by nnc's own reading, which says so.
    """
    if budget.later is None or type(initializer).__module__ != "nnc.initializers" or \
            not type(layer).load_own_variables.__module__.startswith("nnc."):
        return False
    if not isinstance(shape, (tuple, list)) or not all(isinstance(n, int) for n in shape):
        return False
    return type(layer).__module__.startswith("nnc.") and 4 * math.prod(shape) >= _LARGE


def wait(variable, initializer):
    """Notes that a variable has zeros where its first value should be."""
    variable.initializer = initializer
    budget.later[id(variable)] = variable


def settle(variable):
    """Notes that a variable has its value."""
    if budget.later:
        budget.later.pop(id(variable), None)


class _Filling(threading.local):
    variables = None    # those that a file's values are read into, in order


_filling = _Filling()


@contextlib.contextmanager
def telling(what):
    """Within it, an error says which variables have the file's values by then."""
    before, _filling.variables = _filling.variables, []
    try:
        yield
    except (OSError, MemoryError, ValueError) as error:
        if not _filling.variables:
            raise
        *whole, last = (getattr(v, "path", v.name) for v in _filling.variables)
        names = ", ".join(whole[:20]) + (f" and {len(whole) - 20} more" if len(whole) > 20 else "")
        text = (f"{what}: reading failed: {error}. '{last}' may be half read"
                + (f", and these variables have the file's values: {names}" if whole else "")
                + "; all others are as they were.")
        number = getattr(error, "errno", None)
        kind = next(k for k in (OSError, MemoryError, ValueError) if isinstance(error, k))
        raise (kind(text) if number is None else kind(number, text)) from error
    finally:
        _filling.variables = before


def begin(variable):
    """Notes that a file's values are read into a variable now."""
    if _filling.variables is not None:
        _filling.variables.append(variable)


def fill(variable, store, key):
    """Reads a saved array of the same shape into a variable: from nnc's own stores straight into
    its memory.
    """
    begin(variable)
    if hasattr(store, "into"):
        store.into(key, variable)
    else:
        variable.assign(store[key])
    settle(variable)


# ---- the walk ------------------------------------------------------------------------------------

_skipped = {}


def _skip(kind):
    """The attributes of a family that are its own bookkeeping."""
    if kind not in _skipped:
        from ..layers.layer import Layer
        from ..metrics.metric import Metric
        from ..optimizers.optimizer import Optimizer

        made = {"layer": Layer, "metric": Metric, "optimizer": lambda: Optimizer(1.0)}[kind]
        _skipped[kind] = set(dir(made())) | (Layer._UNTRACKED - {"optimizer"}) | {
            "_operations", "operations", "_functional", "_nodes", "_inbound_nodes",
            "_outbound_nodes", "_nodes_by_depth", "_operations_by_depth"}
    return _skipped[kind]


def _kind(thing):
    from ..layers.layer import Layer
    from ..metrics.metric import Metric
    from ..optimizers.optimizer import Optimizer

    for kind, cls in (("layer", Layer), ("optimizer", Optimizer), ("metric", Metric)):
        if isinstance(thing, cls):
            return kind
    return None


def _is_stack(thing):
    """Whether a model is one of layers in an order: `Sequential` or functional."""
    return any(cls.__name__ in ("Sequential", "Functional") for cls in type(thing).__mro__)


def _children(thing, kind):
    """The attributes that may lead to more state, as pairs of name and value.

    A model's `layers` come first in stacks; in subclassed models they are one of the attributes, so
    that layers in attributes behind it in the alphabet are saved below `layers`.
    """
    from ..models.model import Model

    skip, stack = _skip(kind), kind == "layer" and _is_stack(thing)
    if stack:
        yield "layers", thing.layers
    names = {name for name in vars(thing) if not name.startswith("__") and name not in skip}
    if isinstance(thing, Model):
        names = names - {"_layers"} | {"layers"} if not stack else names - {"_layers", "layers"}
    for name in sorted(names, key=lambda name: f"~{name}" if name.startswith("_") else name):
        yield name, getattr(thing, "layers") if name == "layers" else vars(thing)[name]


def walk(model):
    """Each object that can have state, once: pairs of path and object, in Keras's order.

    Raises:
        ValueError: If containers are nested deeper than any model's.
    """
    seen = set()

    def visit(thing, path, depth):
        if depth > _DEPTH:
            raise ValueError(f"'{path}': containers or layers nested deeper than {_DEPTH}")
        kind = _kind(thing)
        if kind is not None:
            if id(thing) in seen:
                return
            seen.add(id(thing))
            yield path, thing
            for name, value in _children(thing, kind):
                yield from visit(value, f"{path}/{name}" if path else name, depth + 1)
        elif isinstance(thing, (list, tuple, dict)):
            if id(thing) in seen:
                return
            seen.add(id(thing))
            kept.append(thing)
            used = {}
            for part in list(thing.values() if isinstance(thing, dict) else thing):
                if _kind(part) is not None:
                    name = to_snake_case(type(part).__name__)
                elif isinstance(part, (list, tuple, dict)):
                    name = "container"
                else:
                    continue
                used[name] = used.get(name, -1) + 1
                name = f"{name}_{used[name]}" if used[name] else name
                yield from visit(part, f"{path}/{name}", depth + 1)

    kept = []                           # made on the way: an id must not be used twice
    yield from visit(model, "", 0)


# ---- saving and loading --------------------------------------------------------------------------

def save_state(model, store, skip=()):
    """Writes the variables of a model and of all in it into a store."""
    skipped = {id(thing) for thing in skip or ()}
    for path, thing in walk(model):
        if id(thing) not in skipped and hasattr(thing, "save_own_variables"):
            thing.save_own_variables(store.make(path, getattr(thing, "name", None)))


def load_state(model, store, skip_mismatch=False, skip=(), who="load_weights"):
    """Reads them; shapes are compared for all before the first value changes.

    Raises:
        ValueError: Which object could not be loaded, and why (a warning with `skip_mismatch`).
    """
    skipped = {id(thing) for thing in skip or ()}
    parts = [(path, thing, store.get(path)) for path, thing in walk(model)
             if id(thing) not in skipped and hasattr(thing, "load_own_variables")]
    failed = {}
    for path, thing, entry in parts:
        check = getattr(thing, "_check_own_variables", None)
        if check is not None:
            try:
                check(entry)
            except (ValueError, KeyError) as error:
                failed[path] = thing, error
    if failed and not skip_mismatch:
        _report(failed, who)
    for path, thing, entry in parts:
        if path in failed:
            continue
        try:
            thing.load_own_variables(entry)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            failed[path] = thing, error
    if failed:
        _report(failed, who, skip_mismatch)


def _report(failed, who, warn=False):
    path, (thing, error) = next(iter(failed.items()))
    text = (f"{who}: {len(failed)} objects could not be loaded; the first is {thing!r} at "
            f"'{path}': {error} All of them: {sorted(failed)}")
    if not warn:
        raise ValueError(text)
    import warnings

    warnings.warn(text, stacklevel=4)


def _generators(model):
    """Pairs of path and random generator."""
    from ..layers.layer import Layer
    from ..random.seed_generator import SeedGenerator

    for path, thing in walk(model):
        if isinstance(thing, Layer):
            for i, generator in enumerate(thing._parts(SeedGenerator)):
                yield f"{path}/{i}" if path else str(i), generator


def _order(data):
    """What `save_random` wrote; `None` where that is something else."""
    import json                                     # not with nnc: it would slow the import

    if data.dtype != np.uint8 or len(data.shape) != 1 or not 0 < data.shape[0] < 1000:
        return None
    try:
        order = json.loads(data[()].tobytes())
    except (ValueError, RecursionError):
        return None
    numbers = ("epoch", "seed", "taken", "count", "batch", "steps")
    if not isinstance(order, dict) or order.keys() != {*numbers, "shuffle"} or \
            order["shuffle"] not in (True, False, "batch") or not all(
                type(order[name]) is int and 0 <= order[name] < 1 << 32 for name in numbers):
        return None
    return order


def save_random(model, file):
    """Writes the counters of the model's random generators, and where `fit`'s orders are."""
    import json

    for path, generator in _generators(model):
        file.create_dataset(f"{RANDOM}/{path}", data=generator.state.numpy())
    order = getattr(model, "_order", None)
    if order is not None:
        text = json.dumps(order).encode()
        file.create_dataset(ORDER, data=np.frombuffer(text, "uint8"))


def load_random(model, file):
    """Reads them, as far as they are there."""
    order = _order(file.get(ORDER)) if ORDER in file else None
    if order is not None:
        model.__dict__["_order"] = order
    if RANDOM not in file:
        return
    for path, generator in _generators(model):
        data = file[RANDOM].get(path)
        if data is not None and getattr(data, "shape", None) == tuple(generator.state.shape) and \
                data.dtype == np.uint32:
            generator.state.assign(data[()])
