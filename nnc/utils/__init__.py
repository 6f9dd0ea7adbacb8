"""Utilities: `keras.utils` names that need no model.

What is heavy or rarely used (downloads, archives) is imported when it is called.
"""
from nnc.utils.file import atomic_write, get_file
from nnc.utils.io import (
    disable_interactive_logging,
    enable_interactive_logging,
    is_interactive_logging_enabled,
)
from nnc.utils.numerical import normalize, to_categorical
from nnc.utils.rng import set_random_seed

__all__ = [
    "CustomObjectScope", "Progbar", "PyDataset", "Sequence", "atomic_write", "clear_session",
    "custom_object_scope", "is_keras_tensor",
    "deserialize_keras_object", "disable_interactive_logging", "enable_interactive_logging",
    "get_custom_objects", "get_file", "get_registered_name", "get_registered_object",
    "is_interactive_logging_enabled", "normalize", "register_keras_serializable",
    "serialize_keras_object", "set_random_seed", "to_categorical",
]

# Public here as in Keras, defined beside the registry that they work on.
_REGISTRY = {
    "CustomObjectScope", "custom_object_scope", "deserialize_keras_object", "get_custom_objects",
    "get_registered_name", "get_registered_object", "register_keras_serializable",
    "serialize_keras_object",
}

# Imported when first used: name and module.
_LATER = {
    "Config": "nnc.utils.settings", "PyDataset": "nnc.data", "Sequence": "nnc.data",
    "FeatureSpace": "nnc.utils.feature_space", "clear_session": "nnc.naming",
    "is_keras_tensor": "nnc.ops.keras_tensor",
    "standardize_dtype": "nnc.utils.kinds",
    "pack_x_y_sample_weight": "nnc.data", "unpack_x_y_sample_weight": "nnc.data",
    "pad_sequences": "nnc.utils.sequences",
    "timeseries_dataset_from_array": "nnc.utils.sequences",
    **{name: "nnc.utils.images" for name in ("array_to_img", "img_to_array", "load_img",
                                             "save_img")},
    "get_source_inputs": "nnc.utils.model_graph",
    **{name: "nnc.utils.model_visualization" for name in ("model_to_dot", "model_to_mermaid",
                                                          "plot_model")},
    "audio_dataset_from_directory": "nnc.utils.audio",
    **{name: "nnc.utils.folders" for name in (
        "image_dataset_from_directory", "split_dataset", "text_dataset_from_directory")},
}
__all__ += sorted(set(_LATER) - set(__all__))


def __getattr__(name):
    if name == "Progbar":                           # the bar itself needs nnc.utils.io
        from nnc.progress import Progbar

        return Progbar
    if name in _LATER:
        import importlib

        return getattr(importlib.import_module(_LATER[name]),
                       "PyDataset" if name == "Sequence" else name)
    if name in ("bounding_boxes", "legacy"):
        import importlib

        return importlib.import_module(f"nnc.utils.{name}")
    if name in _REGISTRY:
        from nnc.saving import object_registration

        return getattr(object_registration, name)
    raise AttributeError(f"module 'nnc.utils' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
