"""Arrays in memory-mapped files: rows that have been read do not stay resident.

The pages of a mapping count as the process's memory for as long as they are mapped in. After every
stretch of rows they are given back: the system keeps them in its cache for as long as it likes, and
nothing is lost of what was written into a shared mapping. A copy-on-write mapping (mode "c") would
lose the user's changes and is left alone.
"""
import numpy as np

#: Bytes that may be mapped in before they are given back.
_RESIDENT = 32 << 20
#: What Linux maps in, at first guess, around a row that is read alone: from 4 KiB to the largest
#: pages of its cache. `note` learns it.
_AROUND = 512 << 10


class Mapped:
    """The mappings behind arrays, those larger than what may stay resident.

    Args:
        arrays: Arrays that batches are gathered from.
    """

    def __init__(self, arrays):
        found, self._row = {}, 0
        for array in arrays:
            mapping = _mapping(array) if array.nbytes > _RESIDENT else None
            if mapping is not None:
                found[id(mapping)] = mapping
                self._row += array.nbytes // len(array)
        self._maps, self._read, self._rows = list(found.values()), 0, 0
        self._scattered = self._row + _AROUND * len(found)      # bytes for a row among others
        self._base = _resident() if found else 0

    def __bool__(self):
        return bool(self._maps)

    def limit(self, rows, scattered):
        """How many batches of `rows` rows may be read before pages are given back."""
        cost = self._scattered if scattered else self._row
        return max((_RESIDENT - self._read) // (rows * cost), 1)

    def note(self, rows, scattered):
        """Notes that rows were read; gives the pages back when there are enough of them.

        Where the system says how much is resident, what a scattered row costs is learned from it.
        """
        self._read += rows * (self._scattered if scattered else self._row)
        self._rows += rows
        grown = _resident() - self._base
        if scattered and grown > 0:
            self._scattered = max(grown // self._rows, self._row)
            self._read = max(grown, self._rows * self._row)
        if max(self._read, grown) >= _RESIDENT // 2:
            self.drop()

    def drop(self):
        """Gives all pages back."""
        import mmap

        self._read = self._rows = 0
        for mapping in self._maps:
            mapping.madvise(mmap.MADV_DONTNEED)


def _resident():
    """Bytes of files that are mapped in, as far as the system says."""
    import mmap

    try:
        with open("/proc/self/statm", "rb") as f:
            return int(f.read().split()[2]) * mmap.PAGESIZE
    except OSError:
        return 0


def _mapping(array):
    """The mapping of a shared memory map that an array is a view of, or `None`."""
    shared = False
    while array is not None:
        if isinstance(array, np.memmap):
            shared = array.mode in ("r", "r+", "w+")
        elif shared and hasattr(array, "madvise"):
            import mmap

            return array if hasattr(mmap, "MADV_DONTNEED") else None
        array = getattr(array, "base", None)
    return None
