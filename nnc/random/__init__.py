"""`nnc.random`: draws from distributions, and the seeds that they begin with."""
from .random import categorical, dropout, normal, randint, truncated_normal, uniform
from .seed_generator import SeedGenerator
