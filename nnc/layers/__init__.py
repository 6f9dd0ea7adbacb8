"""`nnc.layers`: what models are made of."""
from ..saving.object_registration import deserialize_keras_object, serialize_keras_object
from .core import Activation, Dense, Identity
from .input_layer import Input, InputLayer
from .input_spec import InputSpec
from .layer import Layer
from .regularization import Dropout
from .reshaping import Flatten

ALL_OBJECTS = {cls.__name__: cls
               for cls in (Activation, Dense, Dropout, Flatten, Identity, InputLayer, Layer)}


def serialize(layer):
    """The configuration of a layer as a dictionary."""
    return serialize_keras_object(layer)


def deserialize(config, custom_objects=None):
    """The layer that a configuration describes."""
    return deserialize_keras_object(config, custom_objects=custom_objects)
