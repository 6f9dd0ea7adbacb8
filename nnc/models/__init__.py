"""`nnc.models`: layers put together."""
from .cloning import clone_model, model_from_json
from .functional import Functional
from .model import Model
from .sequential import Sequential
from ..saving.api import load_model, save_model
