"""`nnc.utils.legacy`: the same as in `nnc.saving`."""
from ..saving import deserialize_keras_object, serialize_keras_object

__all__ = ["deserialize_keras_object", "serialize_keras_object"]
