"""What lookup layers count and look up: vocabularies of strings and of whole numbers.

A counter takes tokens batch by batch and gives them in the order of a vocabulary: the most frequent
first, of equally many the larger one (by its bytes) first. A vocabulary gives the place of each
token in it.
"""
import numpy as np

from .. import _core, ops
from ..strings import pack


class StringVocabulary:
    """Strings and their places.

    Args:
        tokens: Sequence of str.
        last: One more string, or `None`, that gets the place behind them.
    """

    def __init__(self, tokens=(), last=None):
        self.tokens, self._last = [str(token) for token in tokens], last
        self._table = _core.StringTable()
        keys = self.tokens if last is None else [*self.tokens, last]
        if keys:
            self._table.add(*pack(np.array(keys, object), "vocabulary").parts)

    def __reduce__(self):
        return StringVocabulary, (self.tokens, self._last)

    def __len__(self):
        return len(self.tokens)

    def find(self, packed):
        """The place of each string, -1 where it is none of them."""
        return self._table.find(*packed.parts)


class IntegerVocabulary:
    """Whole numbers and their places.

    Args:
        tokens: Sequence of integers.
        last: Of no effect here.
    """

    def __init__(self, tokens=(), last=None):
        self.tokens = [int(token) for token in tokens]
        values = np.array(self.tokens, "int64")
        self._places = np.argsort(values, kind="stable")
        self._sorted = values[self._places]

    def __len__(self):
        return len(self.tokens)

    def find(self, x):
        """The place of each number of a tensor, -1 where it is none of them; as ops."""
        if not self.tokens:
            return ops.full_like(x, -1)
        at = ops.minimum(ops.searchsorted(self._sorted, x), len(self.tokens) - 1)
        found = ops.equal(ops.take(self._sorted, at), x)
        return ops.where(found, ops.take(self._places, at), -1)


class StringCounter:
    """Counts strings, and in how many rows each is."""

    def __init__(self):
        self._table = _core.StringTable()
        self._counts = np.zeros(0, "int64")
        self._rows = np.zeros(0, "int64")
        self.rows = 0

    def __getstate__(self):
        return {**self.__dict__, "_table": self._table.keys()}

    def __setstate__(self, state):
        self.__dict__.update(state, _table=_core.StringTable())
        if state["_table"]:
            self._table.add(*pack(np.array(state["_table"], object), "vocabulary").parts)

    def add(self, packed, row_of, rows, documents):
        """Takes tokens, each of a row; `documents`: whether rows are counted."""
        ids = self._table.add(*packed.parts)
        self._counts, self._rows = _counted(ids, len(self._table), self._counts, self._rows,
                                            row_of if documents else None)
        self.rows += rows

    def result(self, without):
        """Tokens in the order of a vocabulary, and in how many rows each is."""
        keys = np.empty(len(self._table), object)
        keys[:] = self._table.keys()
        order = np.lexsort((keys, self._counts))[::-1]
        tokens = [keys[i].decode("utf-8") for i in order]
        keep = [i for i, token in enumerate(tokens) if token not in without]
        return [tokens[i] for i in keep], self._rows[order][keep]


class IntegerCounter:
    """The same of whole numbers."""

    def __init__(self):
        self._keys = np.zeros(0, "int64")
        self._counts = np.zeros(0, "int64")
        self._rows = np.zeros(0, "int64")
        self.rows = 0

    def add(self, values, row_of, rows, documents):
        """Takes tokens, each of a row; `documents`: whether rows are counted."""
        keys, ids = np.unique(np.concatenate([self._keys, values]), return_inverse=True)
        before, ids = ids[:len(self._keys)], ids[len(self._keys):]
        old = [np.zeros(len(keys), "int64") for _ in range(2)]
        old[0][before], old[1][before] = self._counts, self._rows
        self._keys = keys
        self._counts, self._rows = _counted(ids, len(keys), *old, row_of if documents else None)
        self.rows += rows

    def result(self, without):
        """Tokens in the order of a vocabulary, and in how many rows each is."""
        order = np.lexsort((self._keys, self._counts))[::-1]
        keep = order[~np.isin(self._keys[order], [v for v in without if v is not None])]
        return self._keys[keep].tolist(), self._rows[keep]


def _counted(ids, size, counts, rows, row_of):
    """Both counts, of `size` tokens now, with those of a batch."""
    counts = np.bincount(ids, minlength=size).astype("int64") + _longer(counts, size)
    rows = _longer(rows, size)
    if row_of is not None and len(ids):
        pairs = np.sort(row_of.astype("int64") * size + ids)
        once = pairs[np.concatenate([[True], pairs[1:] != pairs[:-1]])] % size
        rows = rows + np.bincount(once, minlength=size)
    return counts, rows


def _longer(values, size):
    return np.concatenate([values, np.zeros(size - len(values), "int64")])


def repeated(tokens):
    """The tokens that are there more than once."""
    seen, twice = set(), []
    for token in tokens:
        if token in seen and token not in twice:
            twice.append(token)
        seen.add(token)
    return twice


def row_numbers(row, count):
    """The row of each token, of where rows begin."""
    return np.repeat(np.arange(count), np.diff(row))


