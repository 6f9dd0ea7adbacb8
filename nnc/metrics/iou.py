"""Intersection over union of predicted and true classes, from a confusion matrix."""
import warnings

from .. import config, ops
from .._core import op
from ..ops.core import cast_array, tensor
from .metric import Metric


class IoU(Metric):
    """`tp / (tp + fp + fn)`, the mean over some classes.

    Args:
        num_classes: Integer, the number of classes.
        target_class_ids: The classes whose mean is taken; those that never occur do not count.
        name: Name.
        dtype: Dtype of the confusion matrix. Defaults to int64.
        ignore_class: A class whose places do not count, or `None`.
        sparse_y_true: Whether targets are class numbers, and not one-hot.
        sparse_y_pred: Whether predictions are class numbers, and not scores.
        axis: The axis of one-hot targets and scores. Defaults to `-1`.
    """

    _direction = "up"

    def __init__(self, num_classes, target_class_ids, name=None, dtype=None, ignore_class=None,
                 sparse_y_true=True, sparse_y_pred=True, axis=-1):
        super().__init__(name=name, dtype=dtype or "int64")
        ids = list(target_class_ids)
        if not ids or max(ids) >= num_classes or min(ids) < 0:
            raise ValueError(f"{self.name}: `target_class_ids` must be within [0, {num_classes}). "
                             f"Received: target_class_ids={ids}")
        self.num_classes = num_classes
        self.target_class_ids = ids
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis
        self.total_cm = self.add_variable((num_classes, num_classes), "zeros", self.dtype,
                                          name="total_confusion_matrix")

    def _classes(self, y, sparse):
        y = tensor(y) if sparse else ops.argmax(y, self.axis)
        return ops.reshape(cast_array(y, "int32"), (-1,))

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true = self._classes(y_true, self.sparse_y_true)
        y_pred = self._classes(y_pred, self.sparse_y_pred)
        n = self.num_classes
        inside = op.greater_equal(op.minimum(y_true, y_pred), 0)
        inside = op.logical_and(inside, op.less(op.maximum(y_true, y_pred), n))
        if self.ignore_class is not None:
            inside = op.logical_and(inside, op.not_equal(y_true, int(self.ignore_class)))
        weight = op.fill(tuple(y_true.shape), 1.0, "float64")
        if sample_weight is not None:
            weight = ops.broadcast_to(self._weight(sample_weight), y_true.shape)
        place = op.where(inside, op.add(op.multiply(y_true, n), y_pred), 0)
        # float64 holds whole numbers up to 2^53 exactly
        counts = op.take_grad(op.where(inside, weight, 0.0), place, (n * n,), 0)
        self.total_cm.assign_add(cast_array(ops.reshape(counts, (n, n)), self.dtype))

    def _weight(self, sample_weight):
        weight = tensor(sample_weight)
        if weight.dtype.startswith(("float", "bfloat")) and "int" in self.dtype:
            warnings.warn(f"{self.name}: `sample_weight` is of dtype {weight.dtype} and is cut to "
                          f"whole numbers: the metric's dtype is {self.dtype}. Give the metric a "
                          "float dtype, or whole weights.", stacklevel=3)
        weight = cast_array(cast_array(weight, self.dtype), "float64")
        return ops.reshape(weight, (-1,)) if len(weight.shape) > 1 else weight

    def result(self):
        matrix = ops.cast(self.total_cm, "float32")
        both = ops.diagonal(matrix)
        union = op.subtract(op.add(ops.sum(matrix, 0), ops.sum(matrix, 1)), both)
        ids = op.copy(tensor(self.target_class_ids))
        both, union = (op.take(x, ids, 0) for x in (both, union))
        occurs = op.greater(union, 1e-9)
        shares = op.where(occurs, op.divide(both, op.add(union, config.epsilon())), 0.0)
        count = op.add(ops.sum(op.cast(occurs, "float32")), config.epsilon())
        return op.divide(ops.sum(shares), count)

    _config_names = ("num_classes", "target_class_ids", "ignore_class", "sparse_y_true",
                     "sparse_y_pred", "axis")

    def get_config(self):
        return {**super().get_config(), **{key: getattr(self, key) for key in self._config_names}}


class BinaryIoU(IoU):
    """`IoU` of the classes 0 and 1, of predictions below and from a threshold on.

    Args:
        target_class_ids: The classes whose mean is taken. Defaults to `(0, 1)`.
        threshold: Float. Defaults to `0.5`.
        name: Name.
        dtype: See `IoU`.
    """

    _config_names = ("target_class_ids", "threshold")

    def __init__(self, target_class_ids=(0, 1), threshold=0.5, name=None, dtype=None):
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_pred = op.greater_equal(cast_array(y_pred, "float32"), float(self.threshold))
        super().update_state(y_true, op.cast(y_pred, "int32"), sample_weight)


class MeanIoU(IoU):
    """`IoU` of all classes.

    Args:
        num_classes: See `IoU`.
        name: Name.
        dtype: See `IoU`.
        ignore_class: See `IoU`.
        sparse_y_true: See `IoU`.
        sparse_y_pred: See `IoU`.
        axis: See `IoU`.
    """

    _config_names = ("num_classes", "ignore_class", "sparse_y_true", "sparse_y_pred", "axis")

    def __init__(self, num_classes, name=None, dtype=None, ignore_class=None, sparse_y_true=True,
                 sparse_y_pred=True, axis=-1):
        super().__init__(num_classes, range(num_classes), name, dtype, ignore_class, sparse_y_true,
                         sparse_y_pred, axis)


class OneHotIoU(IoU):
    """`IoU` of one-hot targets.

    Args:
        num_classes: See `IoU`.
        target_class_ids: See `IoU`.
        name: Name.
        dtype: See `IoU`.
        ignore_class: See `IoU`.
        sparse_y_pred: See `IoU`. Defaults to `False`.
        axis: See `IoU`.
    """

    _config_names = ("num_classes", "target_class_ids", "ignore_class", "sparse_y_pred", "axis")

    def __init__(self, num_classes, target_class_ids, name=None, dtype=None, ignore_class=None,
                 sparse_y_pred=False, axis=-1):
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False,
                         sparse_y_pred, axis)


class OneHotMeanIoU(MeanIoU):
    """`IoU` of all classes of one-hot targets.

    Args:
        num_classes: See `IoU`.
        name: Name.
        dtype: See `IoU`.
        ignore_class: See `IoU`.
        sparse_y_pred: See `IoU`. Defaults to `False`.
        axis: See `IoU`.
    """

    _config_names = ("num_classes", "ignore_class", "sparse_y_pred", "axis")

    def __init__(self, num_classes, name=None, dtype=None, ignore_class=None, sparse_y_pred=False,
                 axis=-1):
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)
