"""`nnc.legacy`: names of Keras that were moved."""
from . import saving
