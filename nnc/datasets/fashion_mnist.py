"""Fashion-MNIST: 70,000 pictures of clothes, in MNIST's shape.

Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747. Licence: MIT.
"""
import numpy as np

from nnc.datasets.loading import FOLDER, find_file

_FILES = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
          "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")


def load_data():
    """Loads the pictures: see `mnist.load_data` for the shapes.

    The four files are looked for in `$NNC_DATA_DIR/fashion-mnist`, then in the cache.
    """
    arrays = []
    for name in _FILES:
        path = find_file("fashion_mnist", name, FOLDER + name, None, "fashion-mnist")
        arrays.append(_read_idx(path, 16 if "images" in name else 8))
    x_train, y_train, x_test, y_test = arrays
    return (x_train.reshape(-1, 28, 28), y_train), (x_test.reshape(-1, 28, 28), y_test)


def _read_idx(path, header):
    import gzip
    import zlib

    try:
        with gzip.open(path, "rb") as f:
            return np.frombuffer(f.read(), np.uint8, offset=header)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ValueError(f"{path} is not a data file of Fashion-MNIST: {error}") from error
