"""Names: snake case, numbered when they repeat; paths of variables: "sequential/dense/kernel"."""
import re
import threading


class _Scope(threading.local):
    path = ()


_scope = _Scope()
_counts = {}
_lock = threading.Lock()


def to_snake_case(name):
    """`"DenseBlock"` as `"dense_block"`."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def uniquify(name):
    """`name` the first time, then `name_1`, `name_2` ..."""
    with _lock:
        count = _counts.get(name, -1) + 1
        _counts[name] = count
    return name if count == 0 else f"{name}_{count}"


def get_uid(prefix=""):
    """How many times this has been asked with that prefix since `clear_session()`, from 1 on."""
    with _lock:
        _counts["uid", prefix] = count = _counts.get(("uid", prefix), 0) + 1
    return count


def auto_name(prefix):
    """A unique name made from a class's name."""
    return uniquify(to_snake_case(prefix))


def reset_names():
    """Numbers begin anew."""
    with _lock:
        _counts.clear()


def clear_session(free_memory=True):
    """Numbers in names begin anew. Nothing else is kept between models, so there is nothing more to
    clear; `free_memory` collects what nobody refers to.
    """
    reset_names()
    if free_memory:
        import gc

        gc.collect()


class name_scope:
    """Within `with name_scope(name)` new variables get paths below it."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self._before = _scope.path
        _scope.path = (*_scope.path, self.name)
        return self

    def __exit__(self, *exc):
        _scope.path = self._before


def current_path():
    """The open scopes, joined by slashes."""
    return "/".join(_scope.path)
