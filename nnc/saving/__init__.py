"""`nnc.saving`: objects as dictionaries and back, models and weights as files."""
from .api import load_model, load_weights, save_model, save_weights
from .file_editor import KerasFileEditor
from .object_registration import (CustomObjectScope, custom_object_scope, deserialize_keras_object,
                                  get_custom_objects, get_registered_name, get_registered_object,
                                  register_keras_serializable, serialize_keras_object)
