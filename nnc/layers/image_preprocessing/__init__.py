"""Layers that prepare images and change them at random."""
from .affine import RandomRotation, RandomShear, RandomTranslation, RandomZoom
from .clahe import ContrastLimitedAdaptiveHistogramEqualization
from .color import (AutoContrast, Equalization, RandomBrightness, RandomColorDegeneration,
                    RandomColorJitter, RandomContrast, RandomGaussianBlur, RandomGrayscale,
                    RandomHue, RandomInvert, RandomPosterization, RandomSaturation,
                    RandomSharpness, Solarization)
from .elastic import RandomElasticTransform
from .geometry import CenterCrop, MaxNumBoundingBoxes, RandomCrop, RandomFlip, Resizing
from .mixing import CutMix, MixUp, RandomErasing
from .perspective import RandomPerspective
from .rand_augment import AugMix, RandAugment

__all__ = [name for name, value in list(globals().items()) if isinstance(value, type)]
