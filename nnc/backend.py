"""`nnc.backend`: what scripts ask of `keras.backend`: names of the session, dtypes, and defaults."""
from .config import (backend, epsilon, floatx, image_data_format, set_epsilon, set_floatx,
                     set_image_data_format)
from .naming import clear_session, get_uid
from .ops.core import result_type, standardize_dtype
from .ops.keras_tensor import is_keras_tensor

__all__ = ["backend", "clear_session", "epsilon", "floatx", "get_uid", "image_data_format",
           "is_float_dtype", "is_int_dtype", "is_keras_tensor", "result_type", "set_epsilon",
           "set_floatx", "set_image_data_format", "standardize_dtype"]


def is_float_dtype(dtype):
    """Whether a dtype (`None`: `floatx()`) is one of floating-point numbers."""
    return standardize_dtype(dtype).startswith(("float", "bfloat"))


def is_int_dtype(dtype):
    """Whether a dtype is one of integers, with or without a sign; bool is none."""
    return standardize_dtype(dtype).startswith(("int", "uint"))
