"""`nnc.losses`: what training makes small."""
from .. import identifiers
from .loss import Loss
from .losses import (BinaryCrossentropy, BinaryFocalCrossentropy, CategoricalCrossentropy,
                     CategoricalFocalCrossentropy, CategoricalHinge, CosineSimilarity, Dice, Hinge,
                     Huber, KLDivergence, LogCosh, LossFunctionWrapper, MeanAbsoluteError,
                     MeanAbsolutePercentageError, MeanSquaredError, MeanSquaredLogarithmicError,
                     Poisson, SparseCategoricalCrossentropy, SquaredHinge, Tversky,
                     binary_crossentropy, binary_focal_crossentropy, categorical_crossentropy,
                     categorical_focal_crossentropy, categorical_hinge, cosine_similarity, dice,
                     hinge, huber, kl_divergence, log_cosh, mean_absolute_error,
                     mean_absolute_percentage_error, mean_squared_error,
                     mean_squared_logarithmic_error, poisson, sparse_categorical_crossentropy,
                     squared_hinge, tversky)
from .similarity import (CTC, CategoricalGeneralizedCrossEntropy, Circle,
                         categorical_generalized_cross_entropy, circle, ctc)

_ALL = (Loss, LossFunctionWrapper, BinaryCrossentropy, BinaryFocalCrossentropy,
        CategoricalCrossentropy, CategoricalFocalCrossentropy, CategoricalHinge, CosineSimilarity,
        Dice, Hinge, Huber, KLDivergence, LogCosh, MeanAbsoluteError, MeanAbsolutePercentageError,
        MeanSquaredError, MeanSquaredLogarithmicError, Poisson, SparseCategoricalCrossentropy,
        SquaredHinge, Tversky, binary_crossentropy, binary_focal_crossentropy,
        categorical_crossentropy, categorical_focal_crossentropy, categorical_hinge,
        cosine_similarity, dice, hinge, huber, kl_divergence, log_cosh, mean_absolute_error,
        mean_absolute_percentage_error, mean_squared_error, mean_squared_logarithmic_error, poisson,
        sparse_categorical_crossentropy, squared_hinge, tversky, CTC, Circle,
        CategoricalGeneralizedCrossEntropy, ctc, circle, categorical_generalized_cross_entropy)
_SHORT = {"bce": binary_crossentropy, "kld": kl_divergence, "mae": mean_absolute_error,
          "mse": mean_squared_error, "mape": mean_absolute_percentage_error,
          "msle": mean_squared_logarithmic_error}
ALL_OBJECTS = {thing.__name__: thing for thing in _ALL}
ALL_OBJECTS.update(_SHORT)
ALL_OBJECTS.update({name.upper(): function for name, function in _SHORT.items()})


def serialize(loss):
    """The configuration of a loss as a dictionary."""
    return identifiers.serialize(loss)


def deserialize(name, custom_objects=None):
    """The loss that a name or a configuration describes."""
    return identifiers.deserialize(name, ALL_OBJECTS, "loss", custom_objects)


def get(identifier):
    """The loss that `identifier` stands for: a name, a configuration, a class, a callable or
    `None`.
    """
    return None if identifier is None else identifiers.get(identifier, ALL_OBJECTS, "loss")
