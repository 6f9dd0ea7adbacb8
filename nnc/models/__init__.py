"""`nnc.models`: layers put together."""
from .model import Model
from .sequential import Sequential
from ..saving.api import load_model, save_model
