"""Learning-rate schedules: a learning rate of the step number, computed inside the recorded step.

Numbers are float32, as the learning rate is; a schedule is a few scalar ops on the optimizer's
counter.
"""
import math

from .. import identifiers
from .._core import Tensor, op
from ..ops.core import cast_array


class LearningRateSchedule:
    """Base class: override `__call__` and `get_config`."""

    def __call__(self, step):
        """The learning rate at `step`, the number of steps done."""
        raise NotImplementedError(f"Learning rate schedule '{type(self).__name__}' must override "
                                  "`__call__(self, step)`.")

    def get_config(self):
        """The arguments of `__init__` as a dictionary."""
        raise NotImplementedError(f"Learning rate schedule '{type(self).__name__}' must override "
                                  "`get_config()` in order to be serializable.")

    @classmethod
    def from_config(cls, config):
        """The schedule that `get_config` described."""
        return cls(**config)


def _check_steps(name, steps):
    if steps <= 0:
        raise ValueError(f"Argument `{name}` must be > 0. Received: {name}={steps}")
    return steps


def _number(value):
    return Tensor(float(value), "float32")


def _real(step):
    return cast_array(step, "float32")


class ExponentialDecay(LearningRateSchedule):
    """`initial_learning_rate * decay_rate^(step / decay_steps)`.

    Args:
        initial_learning_rate: Float.
        decay_steps: Integer > 0.
        decay_rate: Float.
        staircase: Whether the exponent is rounded down. Defaults to `False`.
        name: Name.
    """

    def __init__(self, initial_learning_rate, decay_steps, decay_rate, staircase=False,
                 name="ExponentialDecay"):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _check_steps("decay_steps", decay_steps)
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step):
        p = op.divide(_real(step), float(self.decay_steps))
        p = op.floor(p) if self.staircase else p
        return op.multiply(op.power(_number(self.decay_rate), p), float(self.initial_learning_rate))

    def get_config(self):
        return {"initial_learning_rate": self.initial_learning_rate,
                "decay_steps": self.decay_steps, "decay_rate": self.decay_rate,
                "staircase": self.staircase, "name": self.name}


class InverseTimeDecay(ExponentialDecay):
    """`initial_learning_rate / (1 + decay_rate * step / decay_steps)`.

    Args:
        initial_learning_rate: Float.
        decay_steps: Integer > 0.
        decay_rate: Float.
        staircase: Whether `step / decay_steps` is rounded down. Defaults to `False`.
        name: Name.
    """

    def __init__(self, initial_learning_rate, decay_steps, decay_rate, staircase=False,
                 name="InverseTimeDecay"):
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)

    def __call__(self, step):
        p = op.divide(_real(step), float(self.decay_steps))
        p = op.floor(p) if self.staircase else p
        divisor = op.add(op.multiply(p, float(self.decay_rate)), 1.0)
        return op.divide(float(self.initial_learning_rate), divisor)


class PiecewiseConstantDecay(LearningRateSchedule):
    """`values[i]` up to and at step `boundaries[i]`, the last of `values` after all of them.

    Args:
        boundaries: Rising step numbers.
        values: Floats, one more than boundaries.
        name: Name.
    """

    def __init__(self, boundaries, values, name="PiecewiseConstant"):
        if len(boundaries) != len(values) - 1:
            raise ValueError("The length of boundaries should be 1 less than the length of values. "
                             f"Received: boundaries={boundaries} of length {len(boundaries)}, and "
                             f"values={values} of length {len(values)}.")
        self.boundaries = boundaries
        self.values = values
        self.name = name

    def __call__(self, step):
        rate = _number(self.values[-1])
        for boundary, value in zip(reversed(self.boundaries), reversed(self.values[:-1])):
            rate = op.where(op.less_equal(step, boundary), float(value), rate)
        return rate

    def get_config(self):
        return {"boundaries": self.boundaries, "values": self.values, "name": self.name}


class PolynomialDecay(LearningRateSchedule):
    """From the initial to the end learning rate in `decay_steps`, as `(1 - step /
    decay_steps)^power`.

    Args:
        initial_learning_rate: Float.
        decay_steps: Integer > 0.
        end_learning_rate: Float. Defaults to `0.0001`.
        power: Float. Defaults to `1.0`.
        cycle: Whether it goes on beyond `decay_steps`, each time over one more of them.
        name: Name.
    """

    def __init__(self, initial_learning_rate, decay_steps, end_learning_rate=0.0001, power=1.0,
                 cycle=False, name="PolynomialDecay"):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _check_steps("decay_steps", decay_steps)
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name

    def __call__(self, step):
        step, steps = _real(step), float(self.decay_steps)
        if self.cycle:
            times = op.where(op.equal(step, 0), 1.0, op.ceil(op.divide(step, steps)))
            p = op.divide(step, op.multiply(times, steps))
        else:
            p = op.divide(op.minimum(step, steps), steps)
        span = self.initial_learning_rate - self.end_learning_rate
        share = op.power(op.subtract(1.0, p), float(self.power))
        return op.add(op.multiply(share, span), float(self.end_learning_rate))

    def get_config(self):
        return {"initial_learning_rate": self.initial_learning_rate,
                "decay_steps": self.decay_steps, "end_learning_rate": self.end_learning_rate,
                "power": self.power, "cycle": self.cycle, "name": self.name}


def _half_cosine(fraction):
    return op.multiply(op.add(op.cos(op.multiply(fraction, math.pi)), 1.0), 0.5)


class CosineDecay(LearningRateSchedule):
    """Half a cosine wave down in `decay_steps`, after a straight rise in `warmup_steps` if wanted.

    Args:
        initial_learning_rate: Float: where the decay begins, or the rise if there is one.
        decay_steps: Integer > 0.
        alpha: Float: the share of the first learning rate that remains. Defaults to `0.0`.
        name: Name.
        warmup_target: Float, where the rise ends and the decay begins; `None`: no rise.
        warmup_steps: Integer, the length of the rise. Defaults to `0`.

    Reference: Loshchilov and Hutter, 2016, arXiv:1608.03983.
    """

    def __init__(self, initial_learning_rate, decay_steps, alpha=0.0, name="CosineDecay",
                 warmup_target=None, warmup_steps=0):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _check_steps("decay_steps", decay_steps)
        self.alpha = alpha
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps

    def _decayed(self, step, first):
        wave = _half_cosine(op.divide(op.minimum(step, float(self.decay_steps)),
                                      float(self.decay_steps)))
        share = op.add(op.multiply(wave, 1.0 - self.alpha), float(self.alpha))
        return op.multiply(share, float(first))

    def __call__(self, step):
        step = _real(step)
        if self.warmup_target is None:
            return self._decayed(step, self.initial_learning_rate)
        decayed = self._decayed(op.subtract(step, float(self.warmup_steps)), self.warmup_target)
        if not self.warmup_steps:
            return decayed
        rise = (self.warmup_target - self.initial_learning_rate) / self.warmup_steps
        risen = op.add(op.multiply(step, rise), float(self.initial_learning_rate))
        return op.where(op.less(step, float(self.warmup_steps)), risen, decayed)

    def get_config(self):
        return {"initial_learning_rate": self.initial_learning_rate,
                "decay_steps": self.decay_steps, "alpha": self.alpha, "name": self.name,
                "warmup_target": self.warmup_target, "warmup_steps": self.warmup_steps}


class CosineDecayRestarts(LearningRateSchedule):
    """`CosineDecay` that begins again and again, each time longer and lower.

    Args:
        initial_learning_rate: Float.
        first_decay_steps: Integer > 0, the length of the first wave.
        t_mul: Float, how many times longer the next one is. Defaults to `2.0`.
        m_mul: Float, how many times higher the next one begins. Defaults to `1.0`.
        alpha: Float: the share of the first learning rate that remains. Defaults to `0.0`.
        name: Name.

    Reference: Loshchilov and Hutter, 2016, arXiv:1608.03983.
    """

    def __init__(self, initial_learning_rate, first_decay_steps, t_mul=2.0, m_mul=1.0, alpha=0.0,
                 name="SGDRDecay"):
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = _check_steps("first_decay_steps", first_decay_steps)
        self._t_mul = t_mul
        self._m_mul = m_mul
        self.alpha = alpha
        self.name = name

    def __call__(self, step):
        fraction = op.divide(_real(step), float(self.first_decay_steps))
        if self._t_mul == 1.0:
            restart = op.floor(fraction)
            fraction = op.subtract(fraction, restart)
        else:
            # Wave i begins at (1 - t^i) / (1 - t) of the first wave's length and is t^i long.
            grown = op.subtract(1.0, op.multiply(fraction, 1.0 - self._t_mul))
            restart = op.floor(op.divide(op.log(grown), math.log(self._t_mul)))
            length = op.power(_number(self._t_mul), restart)
            start = op.divide(op.subtract(1.0, length), 1.0 - self._t_mul)
            fraction = op.divide(op.subtract(fraction, start), length)
        wave = op.multiply(_half_cosine(fraction), op.power(_number(self._m_mul), restart))
        share = op.add(op.multiply(wave, 1.0 - self.alpha), float(self.alpha))
        return op.multiply(share, float(self.initial_learning_rate))

    def get_config(self):
        return {"initial_learning_rate": self.initial_learning_rate,
                "first_decay_steps": self.first_decay_steps, "t_mul": self._t_mul,
                "m_mul": self._m_mul, "alpha": self.alpha, "name": self.name}


ALL_OBJECTS = {cls.__name__: cls for cls in (
    LearningRateSchedule, ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay,
    PolynomialDecay, CosineDecay, CosineDecayRestarts)}


def serialize(learning_rate_schedule):
    """The configuration of a schedule as a dictionary."""
    return identifiers.serialize(learning_rate_schedule)


def deserialize(config, custom_objects=None):
    """The schedule that a configuration describes."""
    return identifiers.deserialize(config, ALL_OBJECTS, "learning rate schedule", custom_objects)
