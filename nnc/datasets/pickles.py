"""Arrays and lists from the pickles that some old data sets come as, and nothing else from them.

Only NumPy's arrays, numbers, strings, lists and dicts are made; a pickle that names anything else
is refused.
"""
import pickle
import zipfile

import numpy as np

_ALLOWED = {
    ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core")
      for name in ("_reconstruct", "scalar")),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no data set needs")
        if name in ("_reconstruct", "scalar"):
            module = "numpy._core.multiarray" if hasattr(np, "_core") else "numpy.core.multiarray"
        return super().find_class(module, name)


def read_pickle(path):
    """The dict of arrays and lists in a pickle, with its keys as strings."""
    try:
        with open(path, "rb") as f:
            found = _Unpickler(f, encoding="bytes").load()
        return {k.decode() if isinstance(k, bytes) else k: v for k, v in found.items()}
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, TypeError) as error:
        raise ValueError(f"{path} is not a data file: {error}") from error


def read_npz_objects(path, names):
    """List of the arrays `names` of an .npz file, which may be arrays of lists."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [_read_npy(archive, name) for name in names]
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{path} is not a data file with the arrays {', '.join(names)}: {error}") from error


def _read_npy(archive, name):
    with archive.open(f"{name}.npy") as f:
        version = np.lib.format.read_magic(f)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else \
            np.lib.format.read_array_header_2_0
        _, _, dtype = read(f)
        if dtype.hasobject:
            return _Unpickler(f, encoding="bytes").load()
    with archive.open(f"{name}.npy") as f:
        return np.lib.format.read_array(f, allow_pickle=False)
