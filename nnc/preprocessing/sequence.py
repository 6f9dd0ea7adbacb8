"""`keras.preprocessing.sequence`."""
from nnc.utils.sequences import pad_sequences

__all__ = ["pad_sequences"]
