"""`nnc.layers`: what models are made of."""
from ..saving.object_registration import deserialize_keras_object, serialize_keras_object
from .convolutional import (Conv1D, Conv1DTranspose, Conv2D, Conv2DTranspose, Conv3D,
                            Conv3DTranspose, Convolution1D, Convolution1DTranspose, Convolution2D,
                            Convolution2DTranspose, Convolution3D, Convolution3DTranspose,
                            DepthwiseConv1D, DepthwiseConv2D, SeparableConv1D, SeparableConv2D,
                            SeparableConvolution1D, SeparableConvolution2D)
from .core import Activation, Dense, Identity
from .input_layer import Input, InputLayer
from .input_spec import InputSpec
from .layer import Layer
from .pooling import (AdaptiveAveragePooling1D, AdaptiveAveragePooling2D, AdaptiveAveragePooling3D,
                      AdaptiveMaxPooling1D, AdaptiveMaxPooling2D, AdaptiveMaxPooling3D,
                      AveragePooling1D, AveragePooling2D, AveragePooling3D, AvgPool1D, AvgPool2D,
                      AvgPool3D, GlobalAveragePooling1D, GlobalAveragePooling2D,
                      GlobalAveragePooling3D, GlobalAvgPool1D, GlobalAvgPool2D, GlobalAvgPool3D,
                      GlobalMaxPool1D, GlobalMaxPool2D, GlobalMaxPool3D, GlobalMaxPooling1D,
                      GlobalMaxPooling2D, GlobalMaxPooling3D, MaxPool1D, MaxPool2D, MaxPool3D,
                      MaxPooling1D, MaxPooling2D, MaxPooling3D)
from .regularization import Dropout
from .reshaping import Flatten

ALL_OBJECTS = {cls.__name__: cls
               for cls in (Activation, Dense, Dropout, Flatten, Identity, InputLayer, Layer)}
_FAMILIES = (Conv1D, Conv1DTranspose, Conv2D, Conv2DTranspose, Conv3D, Conv3DTranspose,
             DepthwiseConv1D, DepthwiseConv2D, SeparableConv1D, SeparableConv2D,
             AdaptiveAveragePooling1D, AdaptiveAveragePooling2D, AdaptiveAveragePooling3D,
             AdaptiveMaxPooling1D, AdaptiveMaxPooling2D, AdaptiveMaxPooling3D, AveragePooling1D,
             AveragePooling2D, AveragePooling3D, GlobalAveragePooling1D, GlobalAveragePooling2D,
             GlobalAveragePooling3D, GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D,
             MaxPooling1D, MaxPooling2D, MaxPooling3D)
ALL_OBJECTS.update((cls.__name__, cls) for cls in _FAMILIES)


def serialize(layer):
    """The configuration of a layer as a dictionary."""
    return serialize_keras_object(layer)


def deserialize(config, custom_objects=None):
    """The layer that a configuration describes."""
    return deserialize_keras_object(config, custom_objects=custom_objects)
