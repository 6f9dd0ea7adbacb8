"""MNIST: 70,000 handwritten digits.

LeCun, Cortes, Burges; http://yann.lecun.com/exdb/mnist/. Licence: CC BY-SA 3.0.
"""
from nnc.datasets.loading import find_file, read_npz

_ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


def load_data(path="mnist.npz"):
    """Loads MNIST: 60,000 training and 10,000 test images of 28x28 pixels.

    Args:
        path: Name of the file. It is looked for in the folder `$NNC_DATA_DIR`, then in the cache
            (`$NNC_HOME/datasets`, `$KERAS_HOME/datasets`, else `~/.keras/datasets`), then it is
            downloaded into the cache. An absolute path names the file itself.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: uint8 arrays; `x` of shape `(n, 28, 28)` from 0 to
        255, `y` of shape `(n,)` from 0 to 9.

    Raises:
        OSError: If the file is nowhere and cannot be downloaded; the text says where to put it.
        ValueError: If the file does not hold these arrays.
    """
    file = find_file("mnist", path, _ORIGIN, _SHA256)
    x_train, y_train, x_test, y_test = read_npz(file, ("x_train", "y_train", "x_test", "y_test"))
    return (x_train, y_train), (x_test, y_test)
