"""What CIFAR-10 and CIFAR-100 share. Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html.
"""
import os

import numpy as np

from nnc import config
from nnc.datasets.loading import explain
from nnc.datasets.pickles import read_pickle
from nnc.utils.file import data_dir, get_file

_SITE = "https://www.cs.toronto.edu/~kriz/"


def find_folder(dataset, archive, cache_name, inner, sha256):
    """The folder with the unpacked files: in `$NNC_DATA_DIR`, in the cache, or downloaded."""
    folder = data_dir()
    if folder and os.path.isdir(os.path.join(folder, inner)):
        return os.path.join(folder, inner)
    try:
        path = get_file(cache_name, _SITE + archive, file_hash=sha256, extract=True)
    except OSError as error:
        raise explain(dataset, inner, _SITE + archive, error) from error
    return os.path.join(path, inner)


def read_batches(folder, files, key):
    """Pictures and labels of some files, in the configured order of axes."""
    images, labels = [], []
    for name in files:
        found = read_pickle(os.path.join(folder, name))
        try:
            images.append(np.asarray(found["data"], np.uint8).reshape(-1, 3, 32, 32))
            labels.append(np.asarray(found[key]))
        except (KeyError, ValueError) as error:
            raise ValueError(f"{os.path.join(folder, name)} is not a data file of CIFAR: {error}") \
                from error
    x, y = np.concatenate(images), np.concatenate(labels).reshape(-1, 1)
    return x.transpose(0, 2, 3, 1) if config.image_data_format() == "channels_last" else x, y
