"""One call that makes a whole script repeatable."""
import random

import numpy as np


def set_random_seed(seed):
    """Seeds Python's `random`, NumPy and nnc: weights, dropout, shuffling, `nnc.random`.

    Args:
        seed: Integer, `0 <= seed < 2**32` (NumPy's range).

    Raises:
        ValueError: If `seed` is not an integer in that range.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise ValueError(
            f"set_random_seed: `seed` must be an integer. Received: seed={seed!r} "
            f"(of type {type(seed).__name__})"
        )
    if not 0 <= seed < 2**32:
        raise ValueError(
            f"set_random_seed: `seed` must be from 0 to 2**32 - 1. Received: seed={seed}"
        )
    from nnc.random import seed_generator

    seed = int(seed)
    random.seed(seed)
    np.random.seed(seed)
    seed_generator.set_global_seed(seed)


def get_random_seed():
    """The seed of the last `set_random_seed`, or `None`."""
    from nnc.random import seed_generator

    return seed_generator.global_seed()
