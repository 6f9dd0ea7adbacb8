"""Where random numbers begin: a state of two 32-bit words, the seed and how often it was drawn
from.

A draw is a function of the state alone (Philox in the core), so one state gives the same numbers on
any number of threads. What has no seed takes one from Python's `random`, which
`utils.set_random_seed` seeds.
"""
import random as python_random

import numpy as np

from .. import _core
from .._core import Tensor, op

_state = {"generator": None, "seed": None}


def make_default_seed():
    """A seed from Python's `random`."""
    return python_random.randint(1, 10**9)


class SeedGenerator:
    """Gives a new state each time that it is asked.

    Args:
        seed: Integer, or `None`: one is drawn.
        name: Name. Defaults to one made from the class.

    Raises:
        ValueError: If `seed` is not an integer.
    """

    def __init__(self, seed=None, name=None):
        from ..naming import auto_name
        from ..variables import Variable

        self.name = name or auto_name("SeedGenerator")
        self._initial_seed = seed
        seed = make_default_seed() if seed is None else seed
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
            raise ValueError(f"Argument `seed` must be an integer. Received: seed={seed!r}")
        value = _words(seed)
        self.state = Variable(lambda shape, dtype=None: Tensor(value), shape=(2,), dtype="uint32",
                              trainable=False, name="seed_generator_state")

    def next(self, ordered=True):
        """What the state is now, as a (2,) uint32 tensor; the state goes on by one."""
        return op.seed_next(self.state)

    def get_config(self):
        """The arguments of `__init__` as a dictionary."""
        return {"seed": self._initial_seed, "name": self.name}

    @classmethod
    def from_config(cls, config):
        """The generator that `get_config` described, at its beginning."""
        return cls(**config)


def _words(seed):
    return np.array([int(seed) & 0xFFFFFFFF, 0], "uint32")


def global_seed_generator(seed=None):
    """The generator that random ops without a seed draw from; `seed` is for the first call."""
    if _state["generator"] is None:
        _state["generator"] = SeedGenerator(seed, name="global_seed_generator")
    return _state["generator"]


def set_global_seed(seed):
    """Puts the global generator at the beginning of `seed`."""
    _state["seed"] = seed
    with _core.no_trace():
        global_seed_generator(seed).state.assign(_words(seed))


def global_seed():
    """What `set_global_seed` was last given, or `None`."""
    return _state["seed"]


def draw_seed(seed):
    """A state to draw with: of an integer, a `SeedGenerator`, or (`None`) the global generator.

    Raises:
        ValueError: If `seed` is none of these.
    """
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if seed is None:
        return global_seed_generator().next()
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
        return Tensor(_words(seed))
    raise ValueError("Argument `seed` must be either an integer or an instance of `SeedGenerator`. "
                     f"Received: seed={seed!r} (of type {type(seed).__name__})")
