"""`nnc.models`: layers put together."""
from .cloning import clone_model, model_from_json
from .functional import Functional
from .model import Model
from .sequential import Sequential
from ..saving.api import load_model, save_model


def load_onnx(filepath, name=None):
    """A functional model of an ONNX file: see `nnc.export.onnx_load`."""
    from ..export.onnx_load import load_onnx as load

    return load(filepath, name)
