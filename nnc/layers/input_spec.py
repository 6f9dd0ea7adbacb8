"""What a layer demands of its inputs, and the check that names who got what."""
from .. import tree
from .keras_tensor import standardize_shape


class InputSpec:
    """Rank, dtype and sizes that an input must have.

    Args:
        dtype: The dtype.
        shape: The shape; `None` for any size.
        ndim: The rank.
        max_ndim: The largest rank.
        min_ndim: The smallest rank.
        axes: Dictionary of axis and size.
        allow_last_axis_squeeze: Whether a last axis of size 1 more or less does not matter.
        name: The input's name.
        optional: Whether `None` is allowed.
    """

    def __init__(self, dtype=None, shape=None, ndim=None, max_ndim=None, min_ndim=None, axes=None,
                 allow_last_axis_squeeze=False, name=None, optional=False):
        self.dtype = dtype
        self.shape = None if shape is None else standardize_shape(shape)
        self.ndim = ndim if shape is None else len(self.shape)
        self.max_ndim = max_ndim
        self.min_ndim = min_ndim
        self.name = name
        self.optional = optional
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        try:
            self.axes = {int(axis): size for axis, size in (axes or {}).items()}
        except (TypeError, ValueError, AttributeError):
            raise ValueError("InputSpec: `axes` must be a dictionary of integers. "
                             f"Received: axes={axes!r}") from None
        limit = self.ndim if self.ndim is not None else self.max_ndim
        if self.axes and limit is not None and max(self.axes) > limit - 1:
            raise ValueError(f"InputSpec: axis {max(self.axes)} is greater than the largest "
                             f"allowed value {limit - 1}.")

    def get_config(self):
        """The arguments of `__init__` as a dictionary."""
        return {"dtype": self.dtype, "shape": self.shape, "ndim": self.ndim,
                "max_ndim": self.max_ndim,
                "min_ndim": self.min_ndim, "axes": self.axes, "optional": self.optional}

    @classmethod
    def from_config(cls, config):
        """The specification that `get_config` described."""
        return cls(**config)

    def __repr__(self):
        parts = [f"{key}={value}" for key, value in self.get_config().items() if value]
        return f"InputSpec({', '.join(parts)})"


def assert_input_compatibility(input_spec, inputs, layer_name):
    """Raises ValueError, where `inputs` are not as specified."""
    specs = tree.flatten(input_spec, keep_none=True)
    leaves = tree.flatten(inputs, keep_none=True)
    if len(leaves) != len(specs):
        raise ValueError(f"Layer '{layer_name}' expects {len(specs)} input(s), but it received "
                         f"{len(leaves)} input tensors.")
    for index, (x, spec) in enumerate(zip(leaves, specs)):
        if spec is None or x is None and spec.optional:
            continue
        if not hasattr(x, "shape"):
            raise ValueError(f"Inputs to a layer should be tensors. Received: {x!r} (of type "
                             f"{type(x).__name__}) as input of layer '{layer_name}'.")
        problem = _problem(spec, tuple(x.shape), x.dtype)
        if problem is not None:
            name = f" with name '{spec.name}'" if spec.name else ""
            raise ValueError(f"Input {index}{name} of layer '{layer_name}' is incompatible with "
                             f"the layer: {problem}. Full shape received: {tuple(x.shape)}")


def _problem(spec, shape, dtype):
    """What is wrong, or `None`."""
    rank = len(shape)
    if spec.ndim is not None and not spec.allow_last_axis_squeeze and rank != spec.ndim:
        return f"expected ndim={spec.ndim}, found ndim={rank}"
    if spec.max_ndim is not None and rank > spec.max_ndim:
        return f"expected max_ndim={spec.max_ndim}, found ndim={rank}"
    if spec.min_ndim is not None and rank < spec.min_ndim:
        return f"expected min_ndim={spec.min_ndim}, found ndim={rank}"
    if spec.dtype is not None and dtype != spec.dtype:
        return f"expected dtype={spec.dtype}, found dtype={dtype}"
    for axis, size in spec.axes.items():
        if size is not None and shape[axis] not in (size, None):
            return f"expected axis {axis} of input shape to have value {size}, found {shape[axis]}"
    if spec.shape is not None:
        wanted, found = spec.shape, shape
        if spec.allow_last_axis_squeeze:
            wanted, found = (s[:-1] if s and s[-1] == 1 else s for s in (wanted, found))
        if len(wanted) != len(found) or any(a is not None and b is not None and a != b
                                            for a, b in zip(wanted, found)):
            return f"expected shape={spec.shape}, found shape={shape}"
    return None
