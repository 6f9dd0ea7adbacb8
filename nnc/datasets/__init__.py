"""Data sets: `load_data()` gives NumPy arrays, from `$NNC_DATA_DIR`, the cache or the network."""
from nnc.datasets import mnist

#: Imported when first used.
_MORE = ("boston_housing", "california_housing", "cifar10", "cifar100", "fashion_mnist", "imdb",
         "reuters")
__all__ = ["mnist", *_MORE]


def __getattr__(name):
    if name in _MORE:
        import importlib

        return importlib.import_module(f"nnc.datasets.{name}")
    raise AttributeError(f"module 'nnc.datasets' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
