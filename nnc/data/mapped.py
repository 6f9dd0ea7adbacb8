"""Arrays in memory-mapped files: rows that have been read do not stay resident.

The pages of a mapping count as the process's memory for as long as they are mapped in. They are
given back after every stretch of rows: the system keeps them in its cache for as long as it likes,
and nothing is lost of what was written into a shared mapping. A copy-on-write mapping (mode "c")
would lose the user's changes and is left alone.
"""
import numpy as np

#: Bytes that may be mapped in before they are given back.
_RESIDENT = 32 << 20
#: The most that Linux maps in for a row that is read alone: a large page of its cache.
_AROUND = 2 << 20


class Mapped:
    """The large mappings behind arrays whose rows are read in the order in which they lie.

    Args:
        arrays: Arrays that batches are gathered from.
    """

    def __init__(self, arrays):
        found, self._row = {}, 0
        for array in arrays:
            mapping = large_mapping(array)
            if mapping is not None:
                found[id(mapping)] = mapping
                self._row += array.nbytes // len(array)
        self._maps, self._read = list(found.values()), 0

    @classmethod
    def of(cls, arrays):
        """`Mapped(arrays)`, or `None` where nothing is a large mapping."""
        mapped = cls(arrays)
        return mapped if mapped._maps else None

    def limit(self, rows):
        """How many batches of `rows` rows may be read before pages are given back."""
        return max((_RESIDENT - self._read) // (rows * self._row), 1)

    def note(self, rows):
        """Notes that rows were read; gives the pages back when there are enough of them."""
        self._read += rows * self._row
        if self._read >= _RESIDENT // 2:
            self._read = 0
            for mapping in self._maps:
                give_back(mapping)


def gather(array, mapping, rows):
    """`array[rows]`, a few rows at a time; each may map in a large page."""
    many = max(_RESIDENT // (array.nbytes // len(array) + _AROUND), 1)
    out = np.empty((len(rows), *array.shape[1:]), array.dtype)
    for i in range(0, len(rows), many):
        out[i:i + many] = array[rows[i:i + many]]
        give_back(mapping)
    return out


def pick(array, rows):
    """`array[rows]`, of a mapped file by `gather`."""
    mapping = large_mapping(array)
    return np.ascontiguousarray(array[rows]) if mapping is None else gather(array, mapping, rows)


def give_back(mapping):
    """Takes all pages of a mapping out of the process."""
    import mmap

    mapping.madvise(mmap.MADV_DONTNEED)


def large_mapping(array):
    """The mapping of a shared memory map that a large array is a view of, or `None`."""
    shared = False
    while array is not None:
        if isinstance(array, np.ndarray) and array.nbytes <= _RESIDENT:
            return None
        if isinstance(array, np.memmap):
            shared = array.mode in ("r", "r+", "w+")
        elif shared and hasattr(array, "madvise"):
            import mmap

            return array if hasattr(mmap, "MADV_DONTNEED") else None
        array = getattr(array, "base", None)
    return None
