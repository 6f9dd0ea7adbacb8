"""Warning classes, and what training tells before hours are lost: each once a model, each by name.

A warning of training has a name, in brackets at the end of its text. `silence` switches it off by
that name; Python's own filters work too, on the classes.
"""
import contextlib
import sys
import threading
import warnings


class TrainingWarning(UserWarning):
    """Training runs, but most likely not as it was meant. See `NAMES`."""


class NumericWarning(TrainingWarning):
    """Training meets NaN or Inf. The text says where: in which row and column of the data, or at
    which step and op."""


#: What training can tell, by name.
NAMES = {
    "softmax-of-one": "softmax over an axis of size 1: the output is always 1",
    "from-logits": "probabilities into a loss with from_logits=True, or logits into one without",
    "unscaled-images": "images with values of 0 to 255",
    "constant-loss": "the loss did not change in an epoch",
    "dead-layer": "a relu layer whose output is 0 for all rows that were looked at",
    "validation-in-training": "rows to validate with that are rows to train with",
    "not-finite": "the loss, or the data, is NaN or Inf",
}

silenced = set()


class _Owner(threading.local):
    """The model whose step is being recorded by this thread."""

    model = None


_owner = _Owner()


def silence(*names, on=True):
    """Switches warnings of training off by their names (or, with `on=False`, on again).

    Args:
        *names: Names of `NAMES`; none: all of them.
        on: Whether they are silent.

    Raises:
        ValueError: If there is no warning of that name; nothing was changed.
    """
    for name in names:
        if name not in NAMES:
            raise ValueError(f"silence: there is no warning of the name {name!r}. Known: "
                             f"{', '.join(NAMES)}")
    (silenced.update if on else silenced.difference_update)(names or NAMES)


@contextlib.contextmanager
def told_by(model):
    """Within it, `tell` without a model tells it for this one, once."""
    before, _owner.model = _owner.model, model
    try:
        yield
    finally:
        _owner.model = before


def wanted(name, model):
    """Whether a warning would still be told."""
    return name not in silenced and name not in model.__dict__.setdefault("_told", set())


def outside():
    """The stack level of the innermost caller that is not nnc's own."""
    folder, level = __file__.rpartition("warnings.py")[0], 2
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(folder):
        frame, level = frame.f_back, level + 1
    return level


def tell(name, text, model=None, category=TrainingWarning):
    """Warns once a model (each time, if none is known), unless that name is silent."""
    model = _owner.model if model is None else model
    if name in silenced:
        return
    if model is not None:
        told = model.__dict__.setdefault("_told", set())
        if name in told:
            return
        told.add(name)
    warnings.warn(f"{text} [{name}]", category, stacklevel=outside())
