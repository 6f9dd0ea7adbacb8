"""How often predictions are right."""
from .. import config, ops
from .._core import op
from ..losses.loss import squeeze_or_expand_to_same_rank
from ..ops.core import _FLOATS, cast_array, tensor
from .reduction import NamedMean, named_mean


def _matches(values):
    return op.cast(values, config.floatx())


def accuracy(y_true, y_pred):
    """1 where `y_true == y_pred`, 0 elsewhere."""
    y_true, y_pred = squeeze_or_expand_to_same_rank(tensor(y_true), tensor(y_pred))
    return _matches(op.equal(y_true, y_pred))


def binary_accuracy(y_true, y_pred, threshold=0.5):
    """1 where `y_true` is what `y_pred > threshold` says, 0 elsewhere."""
    y_true, y_pred = squeeze_or_expand_to_same_rank(tensor(y_true), tensor(y_pred))
    return _matches(op.equal(y_true, cast_array(op.greater(y_pred, threshold), y_true.dtype)))


def categorical_accuracy(y_true, y_pred):
    """1 where the largest of `y_true` stands where the largest of `y_pred` does, 0 elsewhere."""
    return _matches(op.equal(ops.argmax(y_true, -1), ops.argmax(y_pred, -1)))


def sparse_categorical_accuracy(y_true, y_pred):
    """1 where label `y_true` is the place of the largest of `y_pred`, 0 elsewhere."""
    y_true, y_pred = tensor(y_true), tensor(y_pred)
    shape = tuple(y_true.shape)
    if len(shape) == len(y_pred.shape) and shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    matches = _matches(op.equal(y_true, ops.argmax(y_pred, -1)))
    if len(shape) > 1 and shape[-1] != 1:
        matches = ops.reshape(matches, shape)
    return matches


def _rows(y_true, y_pred):
    """Labels and predictions with all axes but the classes' flattened into one."""
    if len(y_pred.shape) > 2:
        y_pred = ops.reshape(y_pred, (-1, y_pred.shape[-1]))
    return ops.ravel(y_true), y_pred


def top_k_categorical_accuracy(y_true, y_pred, k=5):
    """1 where the largest of `y_true` stands among the `k` largest of `y_pred`, 0 elsewhere."""
    return sparse_top_k_categorical_accuracy(ops.argmax(y_true, -1), y_pred, k)


def sparse_top_k_categorical_accuracy(y_true, y_pred, k=5, from_sorted_ids=False):
    """1 where label `y_true` is among the `k` largest of `y_pred`, 0 elsewhere.

    Args:
        y_true: Labels.
        y_pred: Scores; or, if `from_sorted_ids`, labels sorted from the best on.
        k: How many count. Defaults to `5`.
        from_sorted_ids: What `y_pred` holds.
    """
    y_true, y_pred = tensor(y_true), tensor(y_pred)
    shape = tuple(y_true.shape)
    labels, y_pred = _rows(y_true, y_pred)
    if from_sorted_ids:
        matches = ops.any(op.equal(ops.expand_dims(labels, 1), y_pred[:, :k]), 1)
    else:
        labels = cast_array(labels, "int32") if labels.dtype in _FLOATS else labels
        matches = ops.in_top_k(labels, y_pred, k)
    return _matches(ops.reshape(matches, shape) if len(shape) > 1 else matches)


Accuracy = named_mean("Accuracy", accuracy, "accuracy", "up", __name__)
CategoricalAccuracy = named_mean("CategoricalAccuracy", categorical_accuracy,
                                 "categorical_accuracy", "up", __name__)
SparseCategoricalAccuracy = named_mean("SparseCategoricalAccuracy", sparse_categorical_accuracy,
                                       "sparse_categorical_accuracy", "up", __name__)


class BinaryAccuracy(NamedMean):
    """How often `y_pred > threshold` says what `y_true` (0 or 1) is.

    Args:
        name: Name.
        dtype: See `Metric`.
        threshold: Float. Defaults to `0.5`.
    """

    _config_names = ("threshold",)
    _direction = "up"

    def __init__(self, name="binary_accuracy", dtype=None, threshold=0.5):
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)


class TopKCategoricalAccuracy(NamedMean):
    """How often the true class (`y_true` one-hot) is among the `k` best.

    Args:
        k: Integer. Defaults to `5`.
        name: Name.
        dtype: See `Metric`.
    """

    _config_names = ("k",)
    _direction = "up"

    def __init__(self, k=5, name="top_k_categorical_accuracy", dtype=None):
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)


class SparseTopKCategoricalAccuracy(NamedMean):
    """How often the label is among the `k` best.

    Args:
        k: Integer. Defaults to `5`.
        name: Name.
        dtype: See `Metric`.
        from_sorted_ids: Whether `y_pred` holds labels sorted from the best on. Defaults to `False`.
    """

    _config_names = ("k",)
    _direction = "up"

    def __init__(self, k=5, name="sparse_top_k_categorical_accuracy", dtype=None,
                 from_sorted_ids=False):
        super().__init__(sparse_top_k_categorical_accuracy, name, dtype, k=k,
                         from_sorted_ids=from_sorted_ids)
        self.from_sorted_ids = from_sorted_ids

    def get_config(self):
        config = super().get_config()
        if self.from_sorted_ids:
            config["from_sorted_ids"] = True
        return config
