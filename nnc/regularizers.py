"""Regularizers: a weight goes in, a penalty (a scalar) that is added to the loss comes out."""
import math

from . import identifiers, ops
from ._core import op
from .ops.core import tensor


def _penalty(value, name):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"Invalid value for argument {name}: expected a non-negative float. "
                         f"Received: {name}={value}")
    return float(value)


class Regularizer:
    """Base class: override `__call__` and `get_config`."""

    def __call__(self, x):
        """The penalty of weight `x`."""
        return 0.0

    def get_config(self):
        """The arguments of `__init__` as a dictionary."""
        raise NotImplementedError(f"{self} does not implement get_config()")

    @classmethod
    def from_config(cls, config):
        """The regularizer that `get_config` described."""
        return cls(**config)


class L1L2(Regularizer):
    """`l1 * sum(|x|) + l2 * sum(x^2)`.

    Args:
        l1: Float >= 0. Defaults to `0.0`.
        l2: Float >= 0. Defaults to `0.0`.
    """

    def __init__(self, l1=0.0, l2=0.0):
        self.l1 = _penalty(0.0 if l1 is None else l1, "l1")
        self.l2 = _penalty(0.0 if l2 is None else l2, "l2")

    def __call__(self, x):
        x = tensor(x)
        parts = [op.multiply(ops.sum(each(x)), factor)
                 for factor, each in ((self.l1, op.absolute), (self.l2, op.square)) if factor]
        if not parts:
            return op.fill((), 0.0, x.dtype)
        return parts[0] if len(parts) == 1 else op.add(*parts)

    def get_config(self):
        return {"l1": self.l1, "l2": self.l2}


class L1(Regularizer):
    """`l1 * sum(|x|)`.

    Args:
        l1: Float >= 0. Defaults to `0.01`.
    """

    def __init__(self, l1=0.01):
        self.l1 = _penalty(0.01 if l1 is None else l1, "l1")

    def __call__(self, x):
        return op.multiply(ops.sum(op.absolute(tensor(x))), self.l1)

    def get_config(self):
        return {"l1": self.l1}


class L2(Regularizer):
    """`l2 * sum(x^2)`.

    Args:
        l2: Float >= 0. Defaults to `0.01`.
    """

    def __init__(self, l2=0.01):
        self.l2 = _penalty(0.01 if l2 is None else l2, "l2")

    def __call__(self, x):
        return op.multiply(ops.sum(op.square(tensor(x))), self.l2)

    def get_config(self):
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """Makes the rows (or columns) of a matrix orthogonal: the mean |cosine| between two of them.

    Args:
        factor: Float >= 0, times the penalty. Defaults to `0.01`.
        mode: `"rows"` or `"columns"`. Defaults to `"rows"`.
    """

    def __init__(self, factor=0.01, mode="rows"):
        self.factor = _penalty(factor, "factor")
        if mode not in ("rows", "columns"):
            raise ValueError("Invalid value for argument `mode`. Expected 'rows' or 'columns'. "
                             f"Received: mode={mode}")
        self.mode = mode

    def __call__(self, inputs):
        inputs = tensor(inputs)
        if len(inputs.shape) != 2:
            raise ValueError("Inputs to OrthogonalRegularizer must have rank 2. Received: "
                             f"inputs.shape={tuple(inputs.shape)}")
        rows = self.mode == "rows"
        unit = ops.normalize(inputs, axis=1 if rows else 0)
        product = op.matmul(unit, unit, 0, 1) if rows else op.matmul(unit, unit, 1, 0)
        size = product.shape[0]
        apart = op.multiply(op.absolute(product),
                            op.subtract(1.0, ops.eye(size, dtype=product.dtype)))
        pairs = size * (size - 1.0) / 2.0
        return op.divide(op.multiply(ops.sum(apart), 0.5 * self.factor), pairs)

    def get_config(self):
        return {"factor": self.factor, "mode": self.mode}


l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer
ALL_OBJECTS = {cls.__name__: cls for cls in (Regularizer, L1, L2, L1L2, OrthogonalRegularizer)}
ALL_OBJECTS.update(regularizer=Regularizer, l1=L1, l2=L2, l1l2=L1L2, l1_l2=L1L2,
                   orthogonal_regularizer=OrthogonalRegularizer)


def serialize(regularizer):
    """The configuration of a regularizer as a dictionary."""
    return identifiers.serialize(regularizer)


def deserialize(config, custom_objects=None):
    """The regularizer that a configuration describes."""
    return identifiers.deserialize(config, ALL_OBJECTS, "regularizer", custom_objects)


def get(identifier):
    """The regularizer that `identifier` stands for: a name, a configuration, a class, a callable or
    `None`.
    """
    return None if identifier is None else identifiers.get(identifier, ALL_OBJECTS, "regularizer")
