"""CIFAR-10: 60,000 colour pictures of 32x32 pixels in 10 classes."""
from nnc.datasets.cifar import find_folder, read_batches

_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"


def load_data():
    """Loads the pictures.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: uint8; `x` of shape `(n, 32, 32, 3)`, or `(n, 3, 32,
        32)` with the image data format `"channels_first"`; `y` of shape `(n, 1)`.

    The files are looked for in `$NNC_DATA_DIR/cifar-10-batches-py`, then in the cache.
    """
    folder = find_folder("cifar10", "cifar-10-python.tar.gz", "cifar-10-batches-py-target",
                         "cifar-10-batches-py", _SHA256)
    x_train, y_train = read_batches(folder, [f"data_batch_{i}" for i in range(1, 6)], "labels")
    x_test, y_test = read_batches(folder, ["test_batch"], "labels")
    return (x_train, y_train.astype("uint8")), (x_test, y_test.astype("uint8"))
