"""Data on its way into a model: arrays (arrays.py) and sources of batches (streams.py)."""
from .arrays import (Batches, Data, check_count, class_weights, pack_x_y_sample_weight, split,
                     standardize, unpack_x_y_sample_weight)
from .py_dataset import PyDataset
from .sources import open_source
from .streams import Stream

__all__ = ["Batches", "Data", "PyDataset", "Stream", "check_count", "class_weights", "open_source",
           "pack_x_y_sample_weight", "split", "standardize", "unpack_x_y_sample_weight"]
