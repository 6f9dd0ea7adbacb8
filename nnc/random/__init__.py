"""`nnc.random`: draws from distributions, and the seeds that they begin with."""
from .random import (beta, binomial, categorical, dropout, gamma, normal, randint, shuffle,
                     truncated_normal, uniform)
from .seed_generator import SeedGenerator
