"""What `fit` takes beside arrays, as sources of batches.

A source iterates over the batches of one pass at a time. Other libraries' loaders are recognised by
the modules that their objects come from: nnc imports none of them.
"""
import itertools
import sys

import numpy as np

from .. import _core, tree
from .arrays import _SHUFFLE, _check_lengths, _leaf, _nest, split_point
from .frames import is_column, is_columns, is_sparse
from .mapped import gather, large_mapping
from .py_dataset import batches_of


class Source:
    """Batches, pass after pass.

    Attributes:
        steps: How many batches a pass has; `None` if it is not known.
        once: Whether there is one pass only.
        what: What the user passed, for messages.
        until: How many batches of the pass may be asked for in advance; `None`: all.
    """

    once = False
    until = None

    def __init__(self, value, steps=None):
        self.value, self.steps = value, steps
        self.what = type(value).__name__

    def batches(self, number):
        """Iterates over the batches of pass `number`."""
        return iter(self.value)

    def hook(self, name):
        """Calls the user's hook of that name, if there is one."""


class Once(Source):
    """A generator or another iterator: it goes on where it is, and ends once."""

    once = True


class Indexed(Source):
    """A `PyDataset`: batches by index, in a new order in each pass if shuffled."""

    def __init__(self, value, shuffle, seed):
        super().__init__(value, value.num_batches if hasattr(value, "num_batches") else len(value))
        self._shuffle, self._seed = shuffle, seed

    def batches(self, number):
        if self.steps is None:
            return batches_of(self.value, itertools.count(), self)
        indices = range(self.steps)
        if self._shuffle:
            indices = _core.permutation(self.steps, self._seed, _SHUFFLE, number).tolist()
        return batches_of(self.value, indices, self)

    def hook(self, name):
        getattr(self.value, name, lambda: None)()


class Tensorflow(Source):
    """A `tf.data.Dataset`."""

    def __init__(self, value):
        steps = int(value.cardinality())            # -1: no end, -2: not known
        super().__init__(value, steps if steps >= 0 else None)
        self.what = "tf.data.Dataset"

    def batches(self, number):
        return iter(self.value.as_numpy_iterator())


class Rows(Source):
    """Nests of arrays of which some do not lie in memory as rows: SciPy's sparse matrices, HDF5,
    large memory-mapped files that are read in a random order.

    Each batch gathers its rows and makes them dense, while the model computes.
    """

    def __init__(self, parts, span, batch, shuffle, seed):
        self._parts, self._span = parts, span
        self._batch, self._shuffle, self._seed = batch, shuffle, seed
        count = span[1] - span[0]
        super().__init__(parts[0], -(-count // batch))

    def split(self, share, batch):
        """The source without the last rows, and one of them."""
        first, end = self._span
        at = first + split_point(end - first, share)
        return (Rows(self._parts, (first, at), self._batch, self._shuffle, self._seed),
                Rows(self._parts, (at, end), batch, False, 0))

    def batches(self, number):
        first, end = self._span
        for begin in range(0, end - first, self._batch):
            if begin == 0:
                order = np.arange(end - first) if not self._shuffle else \
                    _core.permutation(end - first, self._seed, _SHUFFLE, number)
            rows = first + order[begin:begin + self._batch]
            yield tuple(tree.map_leaves(lambda leaf: _gather(leaf, rows), part)
                        for part in self._parts if part is not None)


def _gather(leaf, rows):
    if hasattr(leaf, "toarray"):
        return leaf[rows].toarray()
    if isinstance(leaf, np.ndarray):
        mapping = large_mapping(leaf)
        return leaf[rows] if mapping is None else gather(leaf, mapping, rows)
    order = np.argsort(rows, kind="stable")         # HDF5 reads rows in rising order only
    out = np.empty((len(rows), *leaf.shape[1:]), leaf.dtype)
    out[order] = leaf[rows[order]]
    return out


def is_lazy(value):
    """Whether an array's rows are gathered batch by batch: a sparse matrix or an HDF5 data set."""
    return is_sparse(value) or type(value).__module__.startswith("h5py.") and hasattr(
        value, "shape")


def _by_rows(nest):
    """The nest with sparse matrices that are dicts themselves in a form whose rows can be read."""
    if isinstance(nest, dict):
        return nest.tocsr() if is_sparse(nest) else {k: _by_rows(v) for k, v in nest.items()}
    if isinstance(nest, (list, tuple)) and any(isinstance(part, dict) for part in nest):
        return tuple(map(_by_rows, nest))
    return nest


def open_rows(x, y, sample_weight, batch, shuffle, seed, who, strings=None):
    """A `Rows` if one of the arrays is lazy, or is shuffled in a mapped file; else `None`.

    `batch`: how many rows a batch has, as a function of how many there are.
    `strings`: whether there may be strings, and then (`"batches"`) whether they must come in
    batches.
    """
    x = _by_rows(x)
    if getattr(x, "entered", False) or strings != "batches" and not any(
            is_lazy(leaf) or shuffle is True and large_mapping(leaf) is not None
            for leaf in tree.flatten(x)):
        return None

    def read(leaf, name):
        if not is_lazy(leaf):
            return _leaf(leaf, name, who, bool(strings) and name == "x")
        return leaf.tocsr() if hasattr(leaf, "tocsr") else leaf

    parts = [tree.map_leaves(lambda leaf: read(leaf, "x"), x) if strings != "batches"
             else _nest(x, "x", who, True)]
    parts += [None if part is None else _nest(part, name, who)
              for part, name in ((y, "y"), (sample_weight, "sample_weight"))]
    _check_lengths(dict(zip(("x", "y", "sample_weight"), parts)), who)
    count = tree.flatten(parts[0])[0].shape[0]
    return Rows(parts, (0, count), batch(count), bool(shuffle), seed)


def open_source(value, shuffle=False, seed=0):
    """A `Source` if `value` gives batches by itself; `None` if it is an array or a nest of arrays.
    """
    if value is None or tree.is_nest(value) or isinstance(value, (np.ndarray, str, bytes)) \
            or hasattr(value, "__array__") or is_lazy(value) or hasattr(value, "to_numpy") \
            or is_column(value):
        return None
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and isinstance(value, tensorflow.data.Dataset):
        return Tensorflow(value)
    if any(cls.__name__ == "PyDataset" for cls in type(value).__mro__):
        return Indexed(value, shuffle, seed)
    if hasattr(value, "__next__"):
        return Once(value)
    if is_columns(value):
        return None
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.utils.data.Dataset) \
            and not hasattr(value, "__iter__"):
        raise TypeError(f"`x` is a PyTorch data set ({type(value).__name__}), which gives single "
                        "samples; pass batches of it: torch.utils.data.DataLoader(x, batch_size="
                        "32)")
    if hasattr(value, "__iter__") and not hasattr(value, "shape"):
        try:
            return Source(value, len(value))
        except TypeError:
            return Source(value)
    return None
