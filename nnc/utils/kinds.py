"""The names of dtypes."""
import numpy as np

_KNOWN = ("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64",
          "float16", "float32", "float64", "bfloat16", "string")
_PYTHON = {bool: "bool", int: "int64", float: "float32", str: "string", "int": "int64",
           "float": "float32"}


def standardize_dtype(dtype):
    """The name of a dtype: `"float32"` for `np.float32`, `float`, `"float32"` or `None`.

    Raises:
        ValueError: If there is no such dtype.
    """
    from nnc import config

    if dtype is None:
        return config.floatx()
    name = _PYTHON.get(dtype, dtype) if isinstance(dtype, (type, str)) else dtype
    if not isinstance(name, str):
        text = str(dtype)
        name = text.rpartition(".")[2] if text.startswith("torch.") else \
            getattr(dtype, "name", None) or np.dtype(dtype).name
    if name not in _KNOWN:
        raise ValueError(f"Invalid dtype: {dtype}; known: {', '.join(_KNOWN)}")
    return name
