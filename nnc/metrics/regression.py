"""How far predictions are off."""
import warnings

from .. import ops
from .._core import op
from ..losses import losses
from ..losses.loss import squeeze_or_expand_to_same_rank
from ..ops.core import cast_array
from .metric import Metric
from .reduction import Mean, NamedMean, named_mean

MeanSquaredError = named_mean("MeanSquaredError", losses.mean_squared_error, "mean_squared_error",
                              "down", __name__)
MeanAbsoluteError = named_mean("MeanAbsoluteError", losses.mean_absolute_error,
                               "mean_absolute_error", "down", __name__)
MeanAbsolutePercentageError = named_mean("MeanAbsolutePercentageError",
                                         losses.mean_absolute_percentage_error,
                                         "mean_absolute_percentage_error", "down", __name__)
MeanSquaredLogarithmicError = named_mean("MeanSquaredLogarithmicError",
                                         losses.mean_squared_logarithmic_error,
                                         "mean_squared_logarithmic_error", "down", __name__)
LogCoshError = named_mean("LogCoshError", losses.log_cosh, "logcosh", "down", __name__)
Hinge = named_mean("Hinge", losses.hinge, "hinge", "down", __name__)
SquaredHinge = named_mean("SquaredHinge", losses.squared_hinge, "squared_hinge", "down", __name__)
CategoricalHinge = named_mean("CategoricalHinge", losses.categorical_hinge, "categorical_hinge",
                              "down", __name__)


class RootMeanSquaredError(Mean):
    """The square root of the mean of `(y_true - y_pred)^2`.

    Args:
        name: Name.
        dtype: See `Metric`.
    """

    _direction = "down"

    def __init__(self, name="root_mean_squared_error", dtype=None):
        super().__init__(name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = squeeze_or_expand_to_same_rank(cast_array(y_true, self.dtype),
                                                        cast_array(y_pred, self.dtype))
        super().update_state(op.square(op.subtract(y_pred, y_true)), sample_weight)

    def result(self):
        return op.sqrt(super().result())


def cosine_similarity(y_true, y_pred, axis=-1):
    """`sum(l2_norm(y_true) * l2_norm(y_pred))` along `axis`: 1 for the same direction."""
    return op.negative(losses.cosine_similarity(y_true, y_pred, axis))


class CosineSimilarity(NamedMean):
    """The mean cosine of the angle between `y_true` and `y_pred`.

    Args:
        name: Name.
        dtype: See `Metric`.
        axis: The axis of the features. Defaults to `-1`.
    """

    _direction = "up"

    def __init__(self, name="cosine_similarity", dtype=None, axis=-1):
        super().__init__(cosine_similarity, name, dtype, axis=axis)


class R2Score(Metric):
    """The share of the variance that is explained: `1 - sum((y - p)^2) / sum((y - mean(y))^2)`.

    Args:
        class_aggregation: How the outputs are brought together: `"uniform_average"`,
            `"variance_weighted_average"` or `None` (a score for each).
        num_regressors: For the adjusted score: the number of inputs; 0 for the plain score.
        name: Name.
        dtype: See `Metric`.
    """

    _direction = "up"

    def __init__(self, class_aggregation="uniform_average", num_regressors=0, name="r2_score",
                 dtype=None):
        super().__init__(name=name, dtype=dtype)
        known = (None, "uniform_average", "variance_weighted_average")
        if class_aggregation not in known:
            raise ValueError("Invalid value for argument `class_aggregation`. Expected one of "
                             f"{known}. Received: class_aggregation={class_aggregation}")
        if num_regressors < 0:
            raise ValueError("Invalid value for argument `num_regressors`. Expected a value >= 0. "
                             f"Received: num_regressors={num_regressors}")
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors
        self.num_samples = self.add_variable((), "zeros", name="num_samples")
        self._built = False

    def _build(self, y_true, y_pred):
        if len(y_true.shape) != 2 or len(y_pred.shape) != 2:
            raise ValueError("R2Score expects 2D inputs with shape (batch_size, output_dim). "
                             f"Received input shapes: y_pred.shape={tuple(y_pred.shape)} and "
                             f"y_true.shape={tuple(y_true.shape)}.")
        shape = (y_pred.shape[-1],)
        self.squared_sum = self.add_variable(shape, "zeros", name="squared_sum")
        self.sum = self.add_variable(shape, "zeros", name="sum")
        self.total_mse = self.add_variable(shape, "zeros", name="residual")
        self.count = self.add_variable(shape, "zeros", name="count")
        self._built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = squeeze_or_expand_to_same_rank(cast_array(y_true, self.dtype),
                                                        cast_array(y_pred, self.dtype))
        if not self._built:
            self._build(y_true, y_pred)
        weight = cast_array(1.0 if sample_weight is None else sample_weight, self.dtype)
        weight = ops.expand_dims(weight, 1) if len(weight.shape) == 1 else weight
        weight = ops.broadcast_to(weight, y_true.shape)
        weighted = op.multiply(y_true, weight)
        error = op.square(op.subtract(y_true, y_pred))
        self.sum.assign_add(ops.sum(weighted, 0))
        self.squared_sum.assign_add(ops.sum(op.multiply(y_true, weighted), 0))
        self.total_mse.assign_add(ops.sum(op.multiply(error, weight), 0))
        self.count.assign_add(ops.sum(weight, 0))
        self.num_samples.assign_add(float(ops.size(y_true)))

    def result(self):
        total = op.subtract(self.squared_sum, op.divide(op.square(self.sum), self.count))
        scores = op.subtract(1.0, op.divide(self.total_mse, total))
        scores = op.where(op.isinf(scores), 0.0, scores)
        if self.class_aggregation == "uniform_average":
            scores = ops.mean(scores)
        elif self.class_aggregation == "variance_weighted_average":
            scores = op.divide(ops.sum(op.multiply(total, scores)), ops.sum(total))
        return self._adjusted(scores) if self.num_regressors else scores

    def _adjusted(self, scores):
        """The score less what `num_regressors` inputs would explain by chance."""
        free = float(self.num_samples.numpy()) - 1.0 - self.num_regressors
        if free <= 0:
            warnings.warn("R2Score: an adjusted score needs more samples than regressors + 1; the "
                          "standard score is given.", stacklevel=2)
            return scores
        factor = (free + self.num_regressors) / free
        return op.subtract(1.0, op.multiply(op.subtract(1.0, scores), factor))

    def get_config(self):
        return {**super().get_config(), "class_aggregation": self.class_aggregation,
                "num_regressors": self.num_regressors}
