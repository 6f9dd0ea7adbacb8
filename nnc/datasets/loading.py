"""What all data sets share: where their files are, and how they are read."""
import os

import numpy as np

from nnc.utils.file import data_dir, get_file, home


#: Where most of the files are.
FOLDER = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


def find_file(dataset, path, origin, file_hash, subfolder=""):
    """Path of a data set's file: in `$NNC_DATA_DIR`, in the cache, or downloaded into it.

    Args:
        dataset: Name of the data set, for messages.
        path: Name of the file, or an absolute path.
        origin: URL.
        file_hash: Hash (SHA-256 or MD5) of the file at `origin`, or `None`. A file in
            `$NNC_DATA_DIR` or at an absolute path is the user's own and need not have it.
        subfolder: Folder within `$NNC_DATA_DIR` and the cache.
    """
    path = os.path.expanduser(os.fspath(path))
    folder = data_dir()
    if os.path.isabs(path):
        if os.path.exists(path):
            return path
        raise FileNotFoundError(f"{dataset}.load_data: there is no file {path}")
    inner = os.path.join(subfolder, path)
    if folder and os.path.exists(os.path.join(folder, inner)):
        return os.path.join(folder, inner)
    try:
        return get_file(path, origin, file_hash=file_hash,
                        cache_subdir=os.path.join("datasets", subfolder))
    except OSError as error:
        raise explain(dataset, inner, origin, error) from error


def explain(dataset, path, origin, error):
    """The OSError that says where a file can be put that is nowhere."""
    folder = data_dir()
    places = os.path.join(home(), "datasets", path)
    if folder:
        places += f" or {os.path.join(folder, path)}"
    return OSError(
        f"{dataset}.load_data: the data is not on this machine and could not be downloaded "
        f"({error}). Put the file from {origin} at {places}, or name a folder that holds "
        f"{path} in the environment variable NNC_DATA_DIR.")


def read_json(path):
    """What a JSON file holds."""
    import json

    with open(path, encoding="utf-8") as f:
        return json.load(f)


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
