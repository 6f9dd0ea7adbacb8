"""`nnc.metrics`: what is reported of training and evaluation."""
from .. import identifiers
from ..losses.losses import (binary_crossentropy, binary_focal_crossentropy,
                             categorical_crossentropy, categorical_focal_crossentropy,
                             categorical_hinge, hinge, huber, kl_divergence, log_cosh,
                             mean_absolute_error, mean_absolute_percentage_error,
                             mean_squared_error, mean_squared_logarithmic_error, poisson,
                             sparse_categorical_crossentropy, squared_hinge)
from .accuracy import (Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy,
                       SparseTopKCategoricalAccuracy, TopKCategoricalAccuracy, accuracy,
                       binary_accuracy, categorical_accuracy, sparse_categorical_accuracy,
                       sparse_top_k_categorical_accuracy, top_k_categorical_accuracy)
from .confusion import (AUC, FalseNegatives, FalsePositives, Precision, PrecisionAtRecall, Recall,
                        RecallAtPrecision, SensitivityAtSpecificity, SpecificityAtSensitivity,
                        TrueNegatives, TruePositives)
from .correlation import (ConcordanceCorrelation, PearsonCorrelation, concordance_correlation,
                          pearson_correlation)
from .f_score import F1Score, FBetaScore
from .iou import BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU
from .metric import Metric
from .probabilistic import (BinaryCrossentropy, CategoricalCrossentropy, KLDivergence, Poisson,
                            SparseCategoricalCrossentropy)
from .reduction import Mean, MeanMetricWrapper, Sum
from .regression import (CategoricalHinge, CosineSimilarity, Hinge, LogCoshError, MeanAbsoluteError,
                         MeanAbsolutePercentageError, MeanSquaredError, MeanSquaredLogarithmicError,
                         R2Score, RootMeanSquaredError, SquaredHinge)

_CLASSES = (Metric, Mean, Sum, MeanMetricWrapper, MeanSquaredError, RootMeanSquaredError,
            MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredLogarithmicError,
            CosineSimilarity, LogCoshError, R2Score, Hinge, SquaredHinge, CategoricalHinge,
            KLDivergence, Poisson, BinaryCrossentropy, CategoricalCrossentropy,
            SparseCategoricalCrossentropy, Accuracy, BinaryAccuracy, CategoricalAccuracy,
            SparseCategoricalAccuracy, TopKCategoricalAccuracy, SparseTopKCategoricalAccuracy, AUC,
            FalseNegatives, FalsePositives, Precision, PrecisionAtRecall, Recall, RecallAtPrecision,
            SensitivityAtSpecificity, SpecificityAtSensitivity, TrueNegatives, TruePositives,
            ConcordanceCorrelation, PearsonCorrelation, F1Score, FBetaScore, BinaryIoU, IoU,
            MeanIoU, OneHotIoU, OneHotMeanIoU)
_SNAKE = {"kl_divergence": KLDivergence, "log_cosh_error": LogCoshError, "r2_score": R2Score,
          "sum": Sum, "mean": Mean, "metric": Metric, "mean_metric_wrapper": MeanMetricWrapper,
          "mean_squared_error": MeanSquaredError, "root_mean_squared_error": RootMeanSquaredError,
          "mean_absolute_error": MeanAbsoluteError, "poisson": Poisson, "hinge": Hinge,
          "mean_absolute_percentage_error": MeanAbsolutePercentageError,
          "mean_squared_logarithmic_error": MeanSquaredLogarithmicError,
          "squared_hinge": SquaredHinge, "cosine_similarity": CosineSimilarity,
          "categorical_hinge": CategoricalHinge, "binary_crossentropy": BinaryCrossentropy,
          "categorical_crossentropy": CategoricalCrossentropy,
          "sparse_categorical_crossentropy": SparseCategoricalCrossentropy, "accuracy": Accuracy,
          "binary_accuracy": BinaryAccuracy, "categorical_accuracy": CategoricalAccuracy,
          "sparse_categorical_accuracy": SparseCategoricalAccuracy,
          "top_k_categorical_accuracy": TopKCategoricalAccuracy,
          "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
          "auc": AUC, "false_negatives": FalseNegatives, "false_positives": FalsePositives,
          "precision": Precision, "precision_at_recall": PrecisionAtRecall, "recall": Recall,
          "recall_at_precision": RecallAtPrecision, "true_negatives": TrueNegatives,
          "sensitivity_at_specificity": SensitivityAtSpecificity,
          "specificity_at_sensitivity": SpecificityAtSensitivity, "true_positives": TruePositives,
          "concordance_correlation": ConcordanceCorrelation, "f1_score": F1Score,
          "pearson_correlation": PearsonCorrelation, "f_beta_score": FBetaScore,
          "binary_io_u": BinaryIoU, "io_u": IoU, "mean_io_u": MeanIoU, "one_hot_io_u": OneHotIoU,
          "one_hot_mean_io_u": OneHotMeanIoU}
#: What a `MeanMetricWrapper` may be made of by name.
FUNCTIONS = {function.__name__: function for function in (
    binary_crossentropy, binary_focal_crossentropy, categorical_crossentropy,
    categorical_focal_crossentropy, categorical_hinge, hinge, huber, kl_divergence, log_cosh,
    mean_absolute_error, mean_absolute_percentage_error, mean_squared_error,
    mean_squared_logarithmic_error, poisson, sparse_categorical_crossentropy, squared_hinge,
    concordance_correlation, pearson_correlation,
    accuracy, binary_accuracy, categorical_accuracy, sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy, top_k_categorical_accuracy)}
_SHORT = {"bce": BinaryCrossentropy, "mse": MeanSquaredError, "mae": MeanAbsoluteError,
          "mape": MeanAbsolutePercentageError, "msle": MeanSquaredLogarithmicError}
ALL_OBJECTS = {cls.__name__: cls for cls in _CLASSES}
ALL_OBJECTS.update(_SNAKE)
ALL_OBJECTS.update(_SHORT)
ALL_OBJECTS.update({name.upper(): cls for name, cls in _SHORT.items()})


def serialize(metric):
    """The configuration of a metric as a dictionary."""
    return identifiers.serialize(metric)


def deserialize(config, custom_objects=None):
    """The metric (or its function) that a name or a configuration describes."""
    return identifiers.deserialize(config, ALL_OBJECTS, "metric", custom_objects)


def get(identifier):
    """The metric that `identifier` stands for: a name, a configuration, a class, a callable or
    `None`.
    """
    return None if identifier is None else identifiers.get(identifier, ALL_OBJECTS, "metric")
