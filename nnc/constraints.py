"""Constraints: a weight goes in after each update, the nearest allowed one comes out."""
from . import config, identifiers, ops
from ._core import op
from .ops.core import tensor


class Constraint:
    """Base class: override `__call__`, and `get_config` if there are arguments."""

    def __call__(self, w):
        """The constrained weight."""
        return w

    def get_config(self):
        """The arguments of `__init__` as a dictionary."""
        return {}

    @classmethod
    def from_config(cls, config):
        """The constraint that `get_config` described."""
        return cls(**config)


def _norms(w, axis):
    return op.sqrt(ops.sum(op.square(w), axis, True))


class MaxNorm(Constraint):
    """Norms along `axis` are at most `max_value`.

    Args:
        max_value: The largest norm. Defaults to `2`.
        axis: Integer or tuple, what one norm runs over. Defaults to `0`: the inputs of a `Dense`
            unit.
    """

    def __init__(self, max_value=2, axis=0):
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w):
        w = tensor(w)
        norms = _norms(w, self.axis)
        desired = ops.clip(norms, 0.0, float(self.max_value))
        return op.multiply(w, op.divide(desired, op.add(norms, config.epsilon())))

    def get_config(self):
        return {"max_value": self.max_value, "axis": self.axis}


class NonNeg(Constraint):
    """No weight is below 0."""

    def __call__(self, w):
        return op.maximum(tensor(w), 0)


class UnitNorm(Constraint):
    """Norms along `axis` are 1.

    Args:
        axis: Integer or tuple, what one norm runs over. Defaults to `0`.
    """

    def __init__(self, axis=0):
        self.axis = axis

    def __call__(self, w):
        w = tensor(w)
        return op.divide(w, op.add(_norms(w, self.axis), config.epsilon()))

    def get_config(self):
        return {"axis": self.axis}


class MinMaxNorm(Constraint):
    """Norms along `axis` are moved towards `min_value` to `max_value`.

    Args:
        min_value: The smallest norm. Defaults to `0.0`.
        max_value: The largest norm. Defaults to `1.0`.
        rate: How far a step goes: 1 all the way, less a share of it. Defaults to `1.0`.
        axis: Integer or tuple, what one norm runs over. Defaults to `0`.
    """

    def __init__(self, min_value=0.0, max_value=1.0, rate=1.0, axis=0):
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w):
        w = tensor(w)
        norms = _norms(w, self.axis)
        desired = op.add(op.multiply(ops.clip(norms, float(self.min_value), float(self.max_value)),
                                     float(self.rate)), op.multiply(norms, 1.0 - self.rate))
        return op.multiply(w, op.divide(desired, op.add(norms, config.epsilon())))

    def get_config(self):
        return {"min_value": self.min_value, "max_value": self.max_value, "rate": self.rate,
                "axis": self.axis}


max_norm, non_neg, unit_norm, min_max_norm = MaxNorm, NonNeg, UnitNorm, MinMaxNorm
ALL_OBJECTS = {cls.__name__: cls for cls in (Constraint, MaxNorm, NonNeg, UnitNorm, MinMaxNorm)}
ALL_OBJECTS.update(constraint=Constraint, max_norm=MaxNorm, non_neg=NonNeg, unit_norm=UnitNorm,
                   min_max_norm=MinMaxNorm)


def serialize(constraint):
    """The configuration of a constraint as a dictionary."""
    return identifiers.serialize(constraint)


def deserialize(config, custom_objects=None):
    """The constraint that a configuration describes."""
    return identifiers.deserialize(config, ALL_OBJECTS, "constraint", custom_objects)


def get(identifier):
    """The constraint that `identifier` stands for: a name, a configuration, a class, a callable or
    `None`.
    """
    return None if identifier is None else identifiers.get(identifier, ALL_OBJECTS, "constraint")
