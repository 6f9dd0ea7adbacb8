"""`nnc.layers`: what models are made of."""
from ..saving.object_registration import deserialize_keras_object, serialize_keras_object
from .activation import ELU, LeakyReLU, PReLU, ReLU, Softmax
from .convolutional import (Conv1D, Conv1DTranspose, Conv2D, Conv2DTranspose, Conv3D,
                            Conv3DTranspose, Convolution1D, Convolution1DTranspose, Convolution2D,
                            Convolution2DTranspose, Convolution3D, Convolution3DTranspose,
                            DepthwiseConv1D, DepthwiseConv2D, SeparableConv1D, SeparableConv2D,
                            SeparableConvolution1D, SeparableConvolution2D)
from .core import Activation, Dense, Identity, Lambda, Masking
from .discretization import Discretization
from .einsum_dense import EinsumDense
from .embedding import Embedding
from .hashing import HashedCrossing, Hashing
from .image_preprocessing import (AugMix, AutoContrast, CenterCrop,
                                  ContrastLimitedAdaptiveHistogramEqualization, CutMix,
                                  Equalization, MaxNumBoundingBoxes, MixUp, RandAugment,
                                  RandomBrightness, RandomColorDegeneration, RandomColorJitter,
                                  RandomContrast, RandomCrop, RandomElasticTransform,
                                  RandomErasing, RandomFlip, RandomGaussianBlur,
                                  RandomGrayscale, RandomHue, RandomInvert, RandomPerspective,
                                  RandomPosterization, RandomRotation, RandomSaturation,
                                  RandomSharpness, RandomShear, RandomTranslation, RandomZoom,
                                  Resizing, Solarization)
from .input_layer import Input, InputLayer
from .input_spec import InputSpec
from .layer import Layer
from .lookup import IntegerLookup, StringLookup
from .merging import (Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract, add,
                      average, concatenate, dot, maximum, minimum, multiply, subtract)
from .normalization import (BatchNormalization, GroupNormalization, LayerNormalization,
                            RMSNormalization, SpectralNormalization, UnitNormalization)
from .pipeline import Pipeline
from .pooling import (AdaptiveAveragePooling1D, AdaptiveAveragePooling2D, AdaptiveAveragePooling3D,
                      AdaptiveMaxPooling1D, AdaptiveMaxPooling2D, AdaptiveMaxPooling3D,
                      AveragePooling1D, AveragePooling2D, AveragePooling3D, AvgPool1D, AvgPool2D,
                      AvgPool3D, GlobalAveragePooling1D, GlobalAveragePooling2D,
                      GlobalAveragePooling3D, GlobalAvgPool1D, GlobalAvgPool2D, GlobalAvgPool3D,
                      GlobalMaxPool1D, GlobalMaxPool2D, GlobalMaxPool3D, GlobalMaxPooling1D,
                      GlobalMaxPooling2D, GlobalMaxPooling3D, MaxPool1D, MaxPool2D, MaxPool3D,
                      MaxPooling1D, MaxPooling2D, MaxPooling3D)
from .preprocessing import CategoryEncoding, Normalization, Rescaling
from .regularization import (ActivityRegularization, AlphaDropout, Dropout, GaussianDropout,
                             GaussianNoise, SpatialDropout1D, SpatialDropout2D, SpatialDropout3D)
from .reshaping import (Cropping1D, Cropping2D, Cropping3D, Flatten, Permute, RepeatVector, Reshape,
                        UpSampling1D, UpSampling2D, UpSampling3D, ZeroPadding1D, ZeroPadding2D,
                        ZeroPadding3D)
from .reversible_embedding import ReversibleEmbedding
from .spectrograms import MelSpectrogram, STFTSpectrogram
from .text_vectorization import TextVectorization
from .wrapper import TimeDistributed, Wrapper

ALL_OBJECTS = {name: cls for name, cls in globals().items()
               if isinstance(cls, type) and issubclass(cls, Layer)}


def serialize(layer):
    """The configuration of a layer as a dictionary."""
    return serialize_keras_object(layer)


def deserialize(config, custom_objects=None):
    """The layer that a configuration describes."""
    return deserialize_keras_object(config, custom_objects=custom_objects)
