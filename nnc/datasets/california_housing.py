"""California housing: 20,640 districts with 8 features and the median price of houses.

Pace & Barry 1997.
"""
from nnc.datasets import words
from nnc.datasets.loading import FOLDER, find_file, read_npz

_ORIGIN = FOLDER + "california_housing.npz"
_SHA256 = "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f"


def load_data(version="large", path="california_housing.npz", test_split=0.2, seed=113):
    """Loads the data: float32, `x` of shape `(n, 8)`, `y` of shape `(n,)` in dollars.

    Args:
        version: `"large"`, or `"small"`: the first 600 districts.
        path: Name of the file: see `mnist.load_data`.
        test_split: Share of the test set.
        seed: Seed of the order.

    Returns:
        `(x_train, y_train), (x_test, y_test)`.
    """
    words.check_share(test_split)
    if version not in ("small", "large"):
        raise ValueError("california_housing.load_data: `version` must be 'small' or 'large'. "
                         f"Received: version={version!r}")
    x, y = read_npz(find_file("california_housing", path, _ORIGIN, _SHA256), ("x", "y"))
    rows = slice(600 if version == "small" else None)
    return words.split_rows(x[rows], y[rows], test_split, seed)
