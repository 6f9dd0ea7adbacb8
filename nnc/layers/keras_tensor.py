"""Symbolic tensors outside of traces: a shape, with `None` for what is not known, and a dtype."""
from ..naming import auto_name


class KerasTensor:
    """What `Input` gives, and what a layer gives that is called on one.

    Args:
        shape: The shape; `None` for a size not known.
        dtype: The dtype.
        name: Name. Defaults to a numbered `"keras_tensor"`.
    """

    def __init__(self, shape, dtype="float32", name=None):
        self.shape = standardize_shape(shape)
        self.dtype = dtype
        self.sparse = self.ragged = False
        self.name = name or auto_name("KerasTensor")
        self._keras_history = None              # (layer, node, output) that made it

    @property
    def ndim(self):
        """The number of axes."""
        return len(self.shape)

    def _refuse(self, *args, **kwargs):
        raise ValueError(f"{self!r} is a symbolic placeholder and holds no values: give it to a "
                         "layer, or compute with arrays or with model(...).")

    __array__ = __bool__ = __float__ = __int__ = __iter__ = __len__ = _refuse

    def __repr__(self):
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"


def standardize_shape(shape):
    """A shape as a tuple of integers >= 0 and `None`s."""
    if shape is None:
        raise ValueError("Undefined shapes are not supported. Received: shape=None")
    if not hasattr(shape, "__iter__") or isinstance(shape, str):
        raise ValueError(f"Cannot convert {shape!r} to a shape: expected a tuple of integers.")
    sizes = []
    for size in shape:
        if size is not None:
            if isinstance(size, bool) or not hasattr(size, "__index__"):
                raise ValueError(f"Cannot convert {tuple(shape)!r} to a shape: found the entry "
                                 f"{size!r}, expected integers or None.")
            size = size.__index__()
            if size < 0:
                raise ValueError(f"Cannot convert {tuple(shape)!r} to a shape: negative sizes are "
                                 "not allowed.")
        sizes.append(size)
    return tuple(sizes)
