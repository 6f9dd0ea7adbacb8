"""The base class of losses, and how the losses of a batch become one number.

A loss of y_true and y_pred is computed for each sample (and place), multiplied by its weight
(sample weights and mask together) and reduced.
"""
import math

from .. import config, ops
from .._core import op
from ..naming import auto_name
from ..ops.core import cast_array, standardize_dtype, tensor

REDUCTIONS = ("sum_over_batch_size", "sum", None, "none", "mean", "mean_with_sample_weight")


def standardize_reduction(reduction):
    """`reduction`, if it is one of those there are."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"Invalid value for argument `reduction`. Expected one of {REDUCTIONS}. "
                         f"Received: reduction={reduction}")
    return reduction


def compute_dtype(dtype):
    """The name of the dtype to compute in, of a name, a dtype policy or `None` (`floatx()`)."""
    return standardize_dtype(getattr(dtype, "compute_dtype", dtype) or config.floatx())


def map_structure(function, *structures):
    """`function` of the leaves of equal nests of dictionaries and of lists and tuples of arrays."""
    first = structures[0]
    if isinstance(first, dict):
        return {key: map_structure(function, *(s[key] for s in structures)) for key in first}
    if isinstance(first, (list, tuple)) and any(isinstance(v, dict) or getattr(v, "shape", ())
                                                for v in first):
        return type(first)(map_structure(function, *parts) for parts in zip(*structures))
    return function(*structures)


def cast_prediction(y_pred, dtype):
    """`y_pred` in `dtype`, and with it the logits that a softmax or sigmoid made it of: the loss of
    a 16-bit model is computed from them in `dtype`, not from probabilities rounded to 16 bits.
    """
    cast, logits = cast_array(y_pred, dtype), getattr(y_pred, "_keras_logits", None)
    if logits is not None and cast is not y_pred:
        cast._keras_logits = cast_array(logits, dtype)
    return cast


class Loss:
    """Base class: override `call`, and `get_config` if there are more arguments.

    Args:
        name: Name. Defaults to one made from the class.
        reduction: What becomes of the losses of a batch: `"sum_over_batch_size"` or `"mean"` (their
            sum over their number), `"sum"`, `"mean_with_sample_weight"` (their sum over the sum of
            weights), or `None` or `"none"`: nothing.
        dtype: What to compute in: a dtype or a dtype policy. Defaults to `floatx()`.
    """

    def __init__(self, name=None, reduction="sum_over_batch_size", dtype=None):
        self.name = name or auto_name(self.__class__.__name__)
        self.reduction = standardize_reduction(reduction)
        self._dtype = compute_dtype(dtype)

    @property
    def dtype(self):
        """The dtype that the loss is computed in."""
        return self._dtype

    def _labels(self, y_true):
        return cast_array(y_true, self._dtype)

    def __call__(self, y_true, y_pred, sample_weight=None):
        """The reduced loss.

        Args:
            y_true: Targets.
            y_pred: Predictions.
            sample_weight: A weight for each sample (or place), or `None`.
        """
        mask = getattr(y_pred, "_keras_mask", None)
        y_pred = map_structure(lambda x: cast_prediction(x, self._dtype), y_pred)
        y_true = map_structure(self._labels, y_true)
        losses = self.call(y_true, y_pred)
        inner = getattr(losses, "_keras_mask", None)
        if mask is not None and inner is not None:
            mask = ops.logical_and(mask, inner)
        mask = inner if mask is None else mask
        return reduce_weighted_values(losses, sample_weight, mask, self.reduction, self._dtype)

    def call(self, y_true, y_pred):
        """The loss of each sample (and place)."""
        raise NotImplementedError(f"{self.__class__.__name__} must override `call()`.")

    def get_config(self):
        """The arguments of `__init__` as a dictionary."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config):
        """The loss that `get_config` described."""
        return cls(**config)

    def __repr__(self):
        return f"<{self.__class__.__name__} name={self.name}>"


def squeeze_or_expand_to_same_rank(x1, x2, expand_rank_1=True):
    """Both arrays, the one with a last axis of size 1 too many without it (or the vector with
    it).
    """
    rank1, rank2 = len(x1.shape), len(x2.shape)
    if rank1 == rank2 + 1 and x1.shape[-1] == 1:
        if rank2 == 1 and expand_rank_1:
            x2 = ops.expand_dims(x2, -1)
        else:
            x1 = ops.squeeze(x1, -1)
    elif rank2 == rank1 + 1 and x2.shape[-1] == 1:
        if rank1 == 1 and expand_rank_1:
            x1 = ops.expand_dims(x1, -1)
        else:
            x2 = ops.squeeze(x2, -1)
    return x1, x2


def reduce_values(values, sample_weight=None, reduction="sum_over_batch_size"):
    """Weighted losses reduced; `sample_weight` is what they were weighted with."""
    if reduction in (None, "none") or tuple(values.shape) in ((), (0,)):
        return values
    if reduction == "sum":
        return ops.sum(values)
    if reduction == "mean_with_sample_weight" and sample_weight is not None:
        return ops.divide_no_nan(ops.sum(values), cast_array(ops.sum(sample_weight), values.dtype))
    return ops.mean(values) if math.prod(values.shape) else op.fill((), 0.0, values.dtype)


def reduce_weighted_values(values, sample_weight=None, mask=None, reduction="sum_over_batch_size",
                           dtype=None):
    """Losses multiplied by their weights and reduced. See `Loss`."""
    reduction = standardize_reduction(reduction)
    values = tensor(values) if dtype is None else cast_array(values, dtype)
    if sample_weight is not None:
        sample_weight = cast_array(sample_weight, values.dtype)
    sample_weight = apply_mask(sample_weight, mask, values.dtype, reduction)
    if sample_weight is not None:
        values, sample_weight = squeeze_or_expand_to_same_rank(values, sample_weight)
        _check_weight(values, sample_weight)
        values = op.multiply(values, sample_weight)
    return reduce_values(values, sample_weight, reduction)


def _check_weight(values, sample_weight):
    """Refuses weights that would broadcast the losses to something larger (but for a single
    loss).
    """
    shape, weights = tuple(values.shape), tuple(sample_weight.shape)
    if not shape:
        return
    pairs = zip(shape[::-1], weights[::-1])
    if len(weights) > len(shape) or any(m not in (1, n) for n, m in pairs):
        raise ValueError("`sample_weight` must broadcast to the losses: they have shape "
                         f"{shape}. Received: sample_weight.shape={weights}")


def apply_mask(sample_weight, mask, dtype, reduction):
    """Sample weights with the mask in them: 0 where it is false.

    For means the others grow by `total / valid`, so that dividing by the total divides by the valid
    ones.
    """
    if mask is None:
        return sample_weight
    weight = cast_array(mask, dtype)
    if reduction in ("mean", "sum_over_batch_size"):
        total = float(math.prod(weight.shape))
        valid = cast_array(op.not_equal(weight, 0), dtype)
        weight = op.multiply(valid, ops.divide_no_nan(total, ops.sum(weight)))
    if sample_weight is None:
        return weight
    weight, sample_weight = squeeze_or_expand_to_same_rank(weight, cast_array(sample_weight, dtype))
    return op.multiply(sample_weight, weight)
