"""Arrays on their way into a model: checked once, split, weighted, cut into batches.

Arrays are fed as they are, whatever their dtype: the core converts each batch to what the program
wants. Only what it cannot read in rows (byte-swapped, Fortran-ordered, longer floats) is copied
here, once.
"""
import math
import warnings

import numpy as np

from .. import _core, config, tree
from ..warnings import outside
from .frames import array_of, columns_xy, frame_arrays, is_columns, is_frame, is_sparse

# Stream of the random generator that orders of samples are drawn from.
_SHUFFLE = 0x73687566


class Data:
    """Inputs, targets and sample weights of a run, as flat lists of arrays with equally many rows.

    Attributes:
        x, y, sample_weight: Nests of arrays, or `None`.
        arrays: All of these arrays, flat.
        count: How many samples.
        signature: What programs depend on: structures, shapes of rows and dtypes.
    """

    def __init__(self, x, y=None, sample_weight=None):
        self.x, self.y, self.sample_weight = x, y, sample_weight
        self.arrays = tree.flatten([x, y, sample_weight])
        self.count = len(self.arrays[0])
        shapes = [(a.shape[1:], a.dtype.str) for a in self.arrays]
        self.signature = (_structure(x), _structure(y), _structure(sample_weight), tuple(shapes))

    def slice(self, begin, end):
        """The samples from `begin` on, before `end`."""
        def part(array):
            return array[begin:end]
        return Data(*(tree.map_leaves(part, nest) for nest in (self.x, self.y, self.sample_weight)))

    def nest(self, leaves):
        """`(x, y, sample_weight)` with other leaves in the place of the arrays."""
        leaves = iter(leaves)
        return tuple(tree.map_leaves(lambda _: next(leaves), nest)
                     for nest in (self.x, self.y, self.sample_weight))


def _structure(nest):
    if isinstance(nest, dict):
        return tuple((key, _structure(nest[key])) for key in sorted(nest))
    if isinstance(nest, (list, tuple)):
        return (type(nest).__name__, *(_structure(part) for part in nest))
    return nest is not None


# ---- arrays --------------------------------------------------------------------------------------

def standardize(x, y=None, sample_weight=None, class_weight=None, who="fit", names=None,
                enter=None):
    """`Data` of what a user passed; `names` are the model's inputs, for tables. With `enter` the
    inputs may hold strings, and what it gives for them enters the program instead.

    Raises:
        TypeError: If something holds no numbers.
        ValueError: If lengths differ, there are no samples, or weights do not fit.
    """
    if x is None:
        raise ValueError(f"{who}: `x` must be an array (or a list or dict of arrays). Received: "
                         "x=None")
    if is_columns(x):
        x, labels = columns_xy(x, who)
        y = labels if y is None else y
    if getattr(x, "entered", False):
        enter = None
    strings = enter is not None
    if is_frame(x):
        x = frame_arrays(x, names, "x", who, strings)
    elif not hasattr(x, "entered"):
        x = _nest(x, "x", who, strings)
    y = None if y is None else _nest(y, "y", who)
    if sample_weight is not None:
        if class_weight is not None:
            raise ValueError(f"{who}: `class_weight` and `sample_weight` cannot both be passed; "
                             "multiply the class weights into the sample weights.")
        sample_weight = _nest(sample_weight, "sample_weight", who)
    _check_lengths({"x": x, "y": y, "sample_weight": sample_weight}, who)
    if class_weight is not None:
        sample_weight = class_weights(y, class_weight, who)
    if sample_weight is not None:
        if y is None:
            raise ValueError(f"{who}: `sample_weight` needs targets: pass `y`. Received: y=None")
        _check_weights(sample_weight, who)
    return Data(enter(x) if strings else x, y, sample_weight)


def _nest(value, name, who, strings=False):
    """Arrays in the structure of `value`. A list of numbers (or of lists) is one array."""
    if is_sparse(value):                            # some of these are dicts
        return _leaf(value, name, who)
    if isinstance(value, dict):
        if not value:
            raise ValueError(f"{who}: `{name}` is an empty dict, expected arrays.")
        return {key: _nest(part, f"{name}[{key!r}]", who, strings) for key, part in value.items()}
    if isinstance(value, (list, tuple)) and value and all(map(_is_part, value)):
        return tuple(_nest(part, f"{name}[{i}]", who, strings) for i, part in enumerate(value))
    if is_frame(value):
        return frame_arrays(value, None, name, who, strings)
    return _leaf(value, name, who, strings)


def _is_part(value):
    """Whether a member of a list is an array (or a nest of them) and not a row of numbers."""
    if isinstance(value, dict):
        return True
    if isinstance(value, (list, tuple)):
        return bool(value) and all(map(_is_part, value))
    shape = getattr(value, "shape", None)
    return bool(getattr(value, "ndim", 0)) or isinstance(shape, tuple) and bool(shape)


def _leaf(value, name, who, strings=False):
    """An array whose rows the core can read; or one of strings, where they are allowed."""
    array = array_of(value, f"{who}: `{name}`", strings)
    if array.ndim == 0:
        raise ValueError(f"{who}: `{name}` must hold one row for each sample. Received: a single "
                         "number")
    if array.shape[0] == 0:
        raise ValueError(f"{who}: `{name}` holds no samples, expected at least one. "
                         f"Received: shape={array.shape}")
    return readable(array)


def readable(array):
    """The array itself if its rows are contiguous and in native byte order, else a copy."""
    if not array.dtype.isnative:
        return np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    if array.flags.c_contiguous:
        return array
    size = array.itemsize
    for length, stride in zip(array.shape[:0:-1], array.strides[:0:-1]):
        if length != 1 and stride != size:
            return np.ascontiguousarray(array)
        size *= length
    return array if array.strides[0] >= 0 else np.ascontiguousarray(array)


def _check_lengths(parts, who):
    sizes = {}
    for name, nest in parts.items():
        leaves = tree.flatten(nest)
        for i, leaf in enumerate(leaves):
            sizes[name if len(leaves) == 1 else f"{name}[{i}]"] = leaf.shape[0]
    if len(set(sizes.values())) > 1:
        text = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        raise ValueError(f"{who}: all arrays must have the same number of samples. Received: "
                         f"{text}")


def _check_weights(sample_weight, who):
    for leaf in tree.flatten(sample_weight):
        bad = None if leaf.dtype.kind != "f" else _core.first_nonfinite(leaf)
        if bad is not None:
            raise ValueError(f"{who}: `sample_weight` must be finite. Received: "
                             f"{leaf.reshape(len(leaf), -1)[bad]} in row {bad[0]}")


def class_weights(y, class_weight, who="fit"):
    """The weight of each sample's class, as a float array; classes not named weigh 1."""
    if not isinstance(class_weight, dict) or not all(
            isinstance(w, (int, float, np.number)) for w in class_weight.values()):
        raise ValueError(f"{who}: `class_weight` must be a dict of class numbers and weights. "
                         f"Received: class_weight={class_weight!r}")
    if not isinstance(y, np.ndarray):
        raise ValueError(f"{who}: `class_weight` needs one array of targets. Received: "
                         f"y={type(y).__name__}")
    labels = y
    if labels.ndim > 1:
        labels = labels.argmax(-1) if labels.shape[-1] != 1 else labels[..., 0]
    if labels.ndim > 1:
        raise ValueError(f"{who}: `class_weight` needs one label (or one-hot row) for each sample. "
                         f"Received: y.shape={y.shape}")
    values, places = np.unique(np.round(labels).astype("int64"), return_inverse=True)
    table = {int(key): float(weight) for key, weight in class_weight.items()}
    return np.array([table.get(int(v), 1.0) for v in values], "float32")[places.reshape(-1)]


def split(data, validation_split, who="fit"):
    """The first part to train with, and the last, a share `validation_split`, to validate with."""
    at = split_point(data.count, validation_split, who)
    return data.slice(0, at), data.slice(at, data.count)


def split_point(count, validation_split, who="fit"):
    """How many of `count` samples are trained with."""
    if isinstance(validation_split, bool) or not isinstance(validation_split, (int, float)) \
            or not 0 < validation_split < 1:
        raise ValueError(f"{who}: `validation_split` must be a number between 0 and 1. "
                         f"Received: validation_split={validation_split!r}")
    at = math.floor(count * (1.0 - validation_split))
    if at in (0, count):
        raise ValueError(f"{who}: {count} samples are not enough to split off a share of "
                         f"validation_split={validation_split}; pass more data or another share.")
    return at


def unpack_x_y_sample_weight(data):
    """`(x, y, sample_weight)` of `x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)`."""
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if 1 <= len(data) <= 3:
        return (*data, None, None)[:3]
    raise ValueError("Data is expected to be in the format x, (x,), (x, y) or (x, y, "
                     f"sample_weight). Received: a tuple of {len(data)}")


def pack_x_y_sample_weight(x, y=None, sample_weight=None):
    """The shortest tuple that holds what is not `None`; `x` alone if it is an array."""
    if y is None:
        return x if not isinstance(x, (tuple, list)) else (x,)
    return (x, y) if sample_weight is None else (x, y, sample_weight)


# ---- batches -------------------------------------------------------------------------------------

def check_count(value, name, who, least=1):
    """`value` as an integer >= `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{who}: `{name}` must be an integer >= {least}. Received: "
                         f"{name}={value!r}")
    return int(value)


def limited(steps, full=None):
    """`steps`, or a pass of `full` steps, within `config.max_steps_per_epoch()`."""
    most = config.max_steps_per_epoch()
    if most is None:
        return steps
    return min(n for n in (steps, full, most) if n is not None)


def warn_end(who, what, done, steps):
    """Says that the data had fewer batches left than an epoch was to have."""
    warnings.warn(f"{who}: your input ran out of data: {what} gave {done} of the {steps} batches "
                  "asked for and then came to its end. Make sure that it gives as many as all "
                  "epochs take together (for `fit`: `steps_per_epoch * epochs`).",
                  stacklevel=outside())


class Batches:
    """The samples of a run in batches: pass after pass, each pass in an order of its own if
    shuffled.

    Args:
        count: How many samples.
        batch: How many in a batch; the last of a pass may have fewer.
        shuffle: `True`, `False`, or `"batch"`: only within each batch.
        steps: How many batches an epoch has; `None`: a pass. With `steps`, an epoch goes on where
            the last one ended, up to the end of the pass; the next one begins a new pass.
        seed: Seed of the orders.
    """

    def __init__(self, count, batch, shuffle=False, steps=None, seed=0):
        self.count, self.batch, self.shuffle, self.seed = count, min(batch, count), shuffle, seed
        self.per_pass = -(-count // self.batch)
        self.steps = self.per_pass if steps is None else steps
        self._passes = self.taken = 0               # taken: batches, over all epochs
        self._position = self.per_pass              # nothing left: the first epoch draws an order
        self.order = None

    def close(self):
        """Nothing to be closed."""

    def restart(self):
        """The next epoch begins with the first samples (of a new order, if shuffled)."""
        self._position = self.per_pass

    def sizes(self):
        """The different sizes of batches."""
        full, rest = divmod(self.count, self.batch)
        return [self.batch] * (full > 0) + [rest] * (rest > 0)

    def more(self):
        """Whether there is another batch to begin an epoch with: arrays can be read again."""
        return True

    def ended(self, step):
        """Called at the end of an epoch of `step` steps that was not broken off."""
        if step < self.steps:
            warn_end("fit", "`x`", step, self.steps)

    def epoch(self, step=0):
        """Runs of batches of one size: `(rows in each, first row, how many batches)`; from `step`
        of the epoch on. It ends with the pass, if that has fewer batches left.
        """
        remaining = self.steps - step
        full, rest = divmod(self.count, self.batch)
        if not step and self._position >= self.per_pass:
            self._next_pass()
        while remaining and self._position < self.per_pass:
            if self._position < full:
                steps = min(remaining, full - self._position)
                yield self.batch, self._position * self.batch, steps
            else:
                steps = 1
                yield rest, full * self.batch, 1
            self._position += steps
            remaining -= steps

    def where(self):
        """What `seek` needs, as a dictionary for JSON."""
        return {"seed": self.seed, "taken": self.taken, **self._shape()}

    def _shape(self):
        return {"count": self.count, "batch": self.batch, "steps": self.steps,
                "shuffle": self.shuffle}

    def check(self, where, step):
        """Refuses to go on within an epoch of other batches."""
        for name, value in self._shape().items() if step else ():
            if where.get(name) != value:
                raise ValueError(f"fit: the backup was made within an epoch with {name}="
                                 f"{where.get(name)!r}, this one has {value!r}. Pass the same data "
                                 "and arguments, or delete the backup.")

    def seek(self, where, step):
        """Goes to where another run over such samples was. Where the samples or batches are others,
        the next epoch is a first one.
        """
        self.seed = where["seed"] if where["seed"] is not None else self.seed
        if any(where.get(name) != value for name, value in self._shape().items()):
            return
        self.taken = where["taken"]
        self._passes, position = divmod(self.taken, self.per_pass)
        if position:
            self._next_pass()
            self._position = position

    def follow(self, kept, epoch):
        """Goes on with the orders of a `fit` that had done so many epochs of such batches.

        kept: What `where` gave then, and "epoch"; or `None`.
        """
        if kept is not None and kept["epoch"] == epoch and all(
                kept.get(name) == value for name, value in self._shape().items()):
            self.seek(kept, 0)

    def _next_pass(self):
        self._position = 0
        if self.shuffle == "batch":
            parts = []
            for i, first in enumerate(range(0, self.count, self.batch)):
                rows = min(self.batch, self.count - first)
                parts.append(first + _core.permutation(rows, self.seed, _SHUFFLE + 1 + i,
                                                       self._passes))
            self.order = np.concatenate(parts)
        elif self.shuffle:
            self.order = _core.permutation(self.count, self.seed, _SHUFFLE, self._passes)
        self._passes += 1
