"""What all data sets share: where their files are, and how they are read."""
import os

import numpy as np

from nnc.utils.file import data_dir, get_file, home


def find_file(dataset, path, origin, sha256):
    """Path of a data set's file: in `$NNC_DATA_DIR`, in the cache, or downloaded into it.

    Args:
        dataset: Name of the data set, for messages.
        path: Name of the file, or an absolute path.
        origin: URL.
        sha256: Hash of the file at `origin`. A file in `$NNC_DATA_DIR` or at an absolute path is
            the user's own and need not have it.
    """
    path = os.path.expanduser(os.fspath(path))
    folder = data_dir()
    if os.path.isabs(path):
        if os.path.exists(path):
            return path
        raise FileNotFoundError(f"{dataset}.load_data: there is no file {path}")
    if folder and os.path.exists(os.path.join(folder, path)):
        return os.path.join(folder, path)
    try:
        return get_file(path, origin, file_hash=sha256)
    except OSError as error:
        places = os.path.join(home(), "datasets", path)
        if folder:
            places += f" or {os.path.join(folder, path)}"
        raise OSError(
            f"{dataset}.load_data: the data is not on this machine and could not be downloaded "
            f"({error}). Put the file from {origin} at {places}, or name a folder that holds "
            f"{path} in the environment variable NNC_DATA_DIR."
        ) from error


def read_npz(path, names):
    """List of the arrays `names` of an .npz file, which is read without pickle."""
    import zipfile

    try:
        with np.load(path, allow_pickle=False) as f:
            return [f[name] for name in names]
    except (KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is not a data file with the arrays {', '.join(names)}: {error}"
        ) from error
