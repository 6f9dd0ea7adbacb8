"""`KerasTensor` beside the layers that give it; it is defined with the ops."""
from ..ops.keras_tensor import KerasTensor, standardize_shape

__all__ = ["KerasTensor", "standardize_shape"]
