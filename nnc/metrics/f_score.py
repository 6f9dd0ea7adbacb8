"""F-scores: precision and recall in one number, for each class."""
from .. import config, ops
from .._core import op
from ..ops.core import cast_array
from .metric import Metric

_KEPT = ("true_positives", "false_positives", "false_negatives", "intermediate_weights")


class FBetaScore(Metric):
    """`(1 + beta^2) * precision * recall / (beta^2 * precision + recall)` of each class.

    Args:
        average: `None`: one number a class; `"micro"`: over all classes together; `"macro"`: their
            mean; `"weighted"`: their mean weighted by how often they occur.
        beta: Float > 0: how much recall counts beside precision. Defaults to `1.0`.
        threshold: Float, above 0 to 1: predictions above are positive; `None`: the largest of each
            sample is.
        name: Name.
        dtype: See `Metric`.
    """

    _direction = "up"

    def __init__(self, average=None, beta=1.0, threshold=None, name="fbeta_score", dtype=None):
        super().__init__(name=name, dtype=dtype)
        if average not in (None, "micro", "macro", "weighted"):
            raise ValueError(f"{self.name}: `average` must be None, 'micro', 'macro' or "
                             f"'weighted'. Received: average={average!r}")
        if not isinstance(beta, float) or beta <= 0:
            raise ValueError(f"{self.name}: `beta` must be a float > 0. Received: beta={beta!r}")
        if threshold is not None and not (isinstance(threshold, float) and 0 < threshold <= 1):
            raise ValueError(f"{self.name}: `threshold` must be a float with 0 < threshold <= 1, "
                             f"or None. Received: threshold={threshold!r}")
        self.average = average
        self.beta = beta
        self.threshold = threshold
        self.axis = None if average == "micro" else 0
        self._built = False

    def _build(self, y_true_shape, y_pred_shape):
        if len(y_true_shape) != 2 or len(y_pred_shape) != 2:
            raise ValueError(f"{self.name}: expected arrays of shape (batch_size, output_dim). "
                             f"Received: y_true.shape={tuple(y_true_shape)}, "
                             f"y_pred.shape={tuple(y_pred_shape)}")
        shape = () if self.average == "micro" else (y_pred_shape[-1],)
        for kept in _KEPT:
            setattr(self, kept, self.add_variable(shape, "zeros", self.dtype, name=kept))
        self._built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = cast_array(y_true, self.dtype), cast_array(y_pred, self.dtype)
        if not self._built:
            self._build(y_true.shape, y_pred.shape)
        if self.threshold is None:
            top = op.greater_equal(y_pred, ops.max(y_pred, -1, True))
            positive = op.logical_and(top, op.greater(op.absolute(y_pred), 1e-9))
        else:
            positive = op.greater(y_pred, self.threshold)
        y_pred = op.cast(positive, self.dtype)
        if sample_weight is not None:
            sample_weight = ops.expand_dims(cast_array(sample_weight, self.dtype), 1)
        counts = (op.multiply(y_pred, y_true), op.multiply(y_pred, op.subtract(1.0, y_true)),
                  op.multiply(op.subtract(1.0, y_pred), y_true), y_true)
        for kept, values in zip(_KEPT, counts):
            if sample_weight is not None:
                values = op.multiply(values, sample_weight)
            getattr(self, kept).assign_add(ops.sum(values, self.axis))

    def result(self):
        if not self._built:
            return op.fill((), 0.0, self.dtype)
        tp, small = self.true_positives, config.epsilon()
        precision, recall = (op.divide(tp, op.add(op.add(tp, other), small))
                             for other in (self.false_positives, self.false_negatives))
        below = op.add(op.add(op.multiply(precision, self.beta**2), recall), small)
        score = op.multiply(op.divide(op.multiply(precision, recall), below), 1 + self.beta**2)
        if self.average == "weighted":
            weights = self.intermediate_weights
            weights = op.divide(weights, op.add(ops.sum(weights), small))
            return ops.sum(op.multiply(score, weights))
        return score if self.average is None else ops.mean(score)

    def get_config(self):
        return {**super().get_config(), "average": self.average, "beta": self.beta,
                "threshold": self.threshold}


class F1Score(FBetaScore):
    """`2 * precision * recall / (precision + recall)` of each class.

    Args:
        average: See `FBetaScore`.
        threshold: See `FBetaScore`.
        name: Name.
        dtype: See `Metric`.
    """

    def __init__(self, average=None, threshold=None, name="f1_score", dtype=None):
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self):
        found = super().get_config()
        del found["beta"]
        return found
