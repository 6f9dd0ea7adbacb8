"""Boston housing: 506 suburbs with 13 features and the median price of houses.

Harrison & Rubinfeld 1978. One feature is built on race: use `california_housing` where it can be
used instead.
"""
from nnc.datasets import words
from nnc.datasets.loading import FOLDER, find_file, read_npz

_ORIGIN = FOLDER + "boston_housing.npz"
_SHA256 = "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5"


def load_data(path="boston_housing.npz", test_split=0.2, seed=113):
    """Loads the data: float64, `x` of shape `(n, 13)`, `y` of shape `(n,)` in 1000 dollars.

    Args:
        path: Name of the file: see `mnist.load_data`.
        test_split: Share of the test set.
        seed: Seed of the order.

    Returns:
        `(x_train, y_train), (x_test, y_test)`.
    """
    words.check_share(test_split)
    x, y = read_npz(find_file("boston_housing", path, _ORIGIN, _SHA256), ("x", "y"))
    return words.split_rows(x, y, test_split, seed)
