"""Data sets: `load_data()` gives NumPy arrays, from `$NNC_DATA_DIR`, the cache or the network."""
from nnc.datasets import mnist

__all__ = ["mnist"]
