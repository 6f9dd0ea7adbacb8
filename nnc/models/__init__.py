"""`nnc.models`: layers put together."""
from .model import Model
from .sequential import Sequential
