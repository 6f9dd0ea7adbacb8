"""Metrics of the confusion matrix at thresholds: counts, precision, recall, and areas under curves.

A prediction above a threshold is positive. Where thresholds lie evenly over 0 to 1, predictions are
sorted into the spaces between them once (a scatter-add), and the counts above each threshold are
sums of spaces (a product with a triangle of ones); else each threshold is compared with all.
Letters: t thresholds, n predictions, c labels.
"""
import numpy as np

from .. import config, ops
from .._core import Tensor, op
from ..losses.loss import squeeze_or_expand_to_same_rank
from ..ops.core import cast_array, tensor
from .metric import Metric

_LOWEST = -1e10     # takes the place of predictions that are not among the top k


def check_thresholds(name, thresholds, default):
    """The thresholds as a list."""
    given = default if thresholds is None else thresholds
    given = list(given) if isinstance(given, (list, tuple)) else [given]
    if thresholds is not None and any(t is None or not 0 <= t <= 1 for t in given):
        raise ValueError(f"{name}: `thresholds` must be in [0, 1]. Received: "
                         f"thresholds={thresholds}")
    return given


def lie_evenly(thresholds):
    """Whether three or more thresholds divide 0 to 1 into equal parts."""
    n = len(thresholds)
    return n >= 3 and np.allclose(thresholds, np.arange(n) / (n - 1), atol=config.epsilon())


def _only_top_k(x, k):
    """`x` with all but the k largest of the last axis replaced by a very low number."""
    classes, rest, kept = x.shape[-1], x, None
    for _ in range(min(int(k), classes)):
        one = ops.one_hot(ops.argmax(rest, -1), classes, dtype="bool")
        kept = one if kept is None else op.logical_or(kept, one)
        rest = op.where(kept, -float("inf"), x)
    return op.where(kept, x, _LOWEST)


def _prepared(metric, y_true, y_pred, sample_weight, label_weights):
    """Labels (bool), predictions and weights (or `None`), all of one shape."""
    dtype = metric._count_dtype
    y_true, y_pred = cast_array(y_true, dtype), cast_array(y_pred, dtype)
    y_pred, y_true = squeeze_or_expand_to_same_rank(y_pred, y_true)
    if sample_weight is not None:
        sample_weight = ops.expand_dims(cast_array(sample_weight, dtype), -1)
        _, sample_weight = squeeze_or_expand_to_same_rank(y_true, sample_weight, False)
    if getattr(metric, "top_k", None) is not None:
        y_pred = _only_top_k(y_pred, metric.top_k)
    class_id = getattr(metric, "class_id", None)
    if class_id is not None:
        if len(y_pred.shape) == 1:
            raise ValueError(f"{metric.name}: with `class_id`, `y_pred` must have shape "
                             "(num_samples, num_classes). Received: y_pred.shape="
                             f"{tuple(y_pred.shape)}")
        part = (..., slice(class_id, class_id + 1) if class_id != -1 else slice(class_id, None))
        y_true, y_pred = y_true[part], y_pred[part]
    weight = None
    for one in (sample_weight, label_weights):
        if one is not None:
            one = ops.broadcast_to(one, y_pred.shape)
            weight = one if weight is None else op.multiply(weight, one)
    return op.not_equal(y_true, 0), y_pred, weight


def _even_counts(labels, y_pred, weight, t, below_zero, columns):
    """tp, fp, tn, fn of shape (t, columns): columns 1 or c."""
    dtype = y_pred.dtype
    weight = op.fill(tuple(y_pred.shape), 1.0, dtype) if weight is None else weight
    place = op.subtract(op.ceil(op.multiply(ops.clip(y_pred, 0.0, 1.0), float(t - 1))), 1.0)
    place = op.add(op.cast(place, "int32"), 1)
    place = op.minimum(op.maximum(place, int(below_zero)), t)
    if columns > 1:
        place = op.add(op.multiply(place, columns), ops.arange(columns, dtype="int32"))
    place = ops.reshape(place, (-1,))
    above = Tensor(np.arange(t)[:, None] < np.arange(t + 1)[None], dtype)
    found = []
    for one in (op.where(labels, weight, 0.0), op.where(labels, 0.0, weight)):
        spaces = op.take_grad(ops.reshape(one, (-1,)), place, ((t + 1) * columns,), 0)
        spaces = ops.reshape(spaces, (t + 1, columns))
        positive = op.matmul(above, spaces, 0, 0)
        found.append((positive, op.subtract(ops.sum(spaces, 0, True), positive)))
    (tp, fn), (fp, tn) = found
    return tp, fp, tn, fn


def _compared_counts(labels, y_pred, weight, thresholds):
    """tp, fp, tn, fn of shape (t, ...): `labels` and the others have shape (n, ...)."""
    limits = Tensor(np.array(thresholds).reshape((-1,) + (1,) * len(y_pred.shape)), y_pred.dtype)
    positive = op.greater(ops.expand_dims(y_pred, 0), limits)
    labels = ops.expand_dims(labels, 0)
    weight = 1.0 if weight is None else ops.expand_dims(weight, 0)

    def count(condition):
        return ops.sum(op.where(condition, op.multiply(op.cast(condition, y_pred.dtype), weight),
                                0.0), 1)
    negative, others = op.logical_not(positive), op.logical_not(labels)
    return tuple(count(op.logical_and(a, b)) for a, b in (
        (labels, positive), (others, positive), (others, negative), (labels, negative)))


def confusion_counts(metric, y_true, y_pred, sample_weight, thresholds, even, multi_label=False,
                     label_weights=None):
    """Weighted true and false positives, true and false negatives at each threshold.

    Args:
        metric: The metric: the dtype of its counts, its `top_k` and `class_id` are followed.
        y_true: Labels, 0 or 1.
        y_pred: Predictions.
        sample_weight: Weights of samples (or of each prediction), or `None`.
        thresholds: The thresholds.
        even: Whether they lie evenly.
        multi_label: Whether to count each column for itself.
        label_weights: Weights of columns, or `None`.

    Returns:
        Four arrays of shape `(t,)`, or `(t, c)` with `multi_label`.
    """
    labels, y_pred, weight = _prepared(metric, y_true, y_pred, sample_weight, label_weights)
    columns = y_pred.shape[-1] if multi_label else 1
    t = len(thresholds)
    if even:
        below = thresholds[0] < 0 or thresholds[-1] > 1
        counts = _even_counts(labels, y_pred, weight, t, below, columns)
        return counts if multi_label else tuple(ops.reshape(x, (t,)) for x in counts)
    if not multi_label:
        labels, y_pred = ops.reshape(labels, (-1,)), ops.reshape(y_pred, (-1,))
        weight = None if weight is None else ops.reshape(weight, (-1,))
    return _compared_counts(labels, y_pred, weight, thresholds)


_KINDS = ("true_positives", "false_positives", "true_negatives", "false_negatives")


class _Counting(Metric):
    """Keeps some of the four counts, in variables of their names."""

    _kinds = _KINDS

    def _add_counts(self, shape):
        for kind in self._kinds:
            setattr(self, kind, self.add_variable(shape, "zeros", name=kind))

    @property
    def _count_dtype(self):
        return getattr(self, self._kinds[0]).dtype

    def _count(self, *args, **kwargs):
        for kind, more in zip(_KINDS, confusion_counts(self, *args, **kwargs)):
            if kind in self._kinds:
                getattr(self, kind).assign_add(more)

    def update_state(self, y_true, y_pred, sample_weight=None):
        self._count(y_true, y_pred, sample_weight, self.thresholds, self._even)


def _rate(part, other):
    return ops.divide_no_nan(part, op.add(part, other))


class _Count(Metric):
    """Counts predictions that are {what}.

    Args:
        thresholds: Float or list of floats, 0 to 1: predictions above count as positive, for each
            threshold by itself. Defaults to `0.5`.
        name: Name.
        dtype: See `Metric`; the counts are kept in `floatx()`.
    """

    def __init__(self, thresholds=None, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.thresholds = check_thresholds(self.name, thresholds, 0.5)
        self._even = lie_evenly(self.thresholds)
        self.accumulator = self.add_variable((len(self.thresholds),), "zeros", name="accumulator")

    @property
    def _count_dtype(self):
        return self.accumulator.dtype

    def update_state(self, y_true, y_pred, sample_weight=None):
        counts = confusion_counts(self, y_true, y_pred, sample_weight, self.thresholds, self._even)
        self.accumulator.assign_add(counts[self._which])

    def result(self):
        return self.accumulator[0] if len(self.thresholds) == 1 else op.copy(self.accumulator)

    def get_config(self):
        return {**super().get_config(), "thresholds": self.init_thresholds}


def _count_class(name, which):
    text = _Count.__doc__.replace("{what}", _KINDS[which].replace("_", " "))
    return type(name, (_Count,), {"__doc__": text, "__module__": __name__, "_which": which})


TruePositives = _count_class("TruePositives", 0)
FalsePositives = _count_class("FalsePositives", 1)
TrueNegatives = _count_class("TrueNegatives", 2)
FalseNegatives = _count_class("FalseNegatives", 3)


class _Share(_Counting):
    """A share of the true positives, at thresholds, for the top k or for a class."""

    _direction = "up"

    def __init__(self, thresholds=None, top_k=None, class_id=None, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id
        self.thresholds = check_thresholds(self.name, thresholds,
                                           0.5 if top_k is None else _LOWEST)
        self._even = lie_evenly(self.thresholds)
        self._add_counts((len(self.thresholds),))

    def result(self):
        result = _rate(*(getattr(self, kind) for kind in self._kinds))
        return result[0] if len(self.thresholds) == 1 else result

    def get_config(self):
        return {**super().get_config(), "thresholds": self.init_thresholds, "top_k": self.top_k,
                "class_id": self.class_id}


_SHARE_ARGUMENTS = """

    Args:
        thresholds: Float or list of floats, 0 to 1: predictions above are positive. Defaults to
            `0.5`, with `top_k` to any prediction among those.
        top_k: Integer: only the k largest predictions of a sample can be positive.
        class_id: Integer: only this column of the last axis is looked at.
        name: Name.
        dtype: See `Metric`; the counts are kept in `floatx()`.
    """


class Precision(_Share):
    __doc__ = "The share of positive predictions that are right." + _SHARE_ARGUMENTS
    _kinds = ("true_positives", "false_positives")


class Recall(_Share):
    __doc__ = "The share of positive labels that are predicted." + _SHARE_ARGUMENTS
    _kinds = ("true_positives", "false_negatives")


class _AtValue(_Counting):
    """The best of one rate where another is at least a value."""

    _direction = "up"
    _name = None        # of the argument

    def __init__(self, value, num_thresholds=200, class_id=None, name=None, dtype=None):
        if not 0 <= value <= 1:
            raise ValueError(f"{type(self).__name__}: `{self._name}` must be in the range [0, 1]. "
                             f"Received: {self._name}={value}")
        if num_thresholds <= 0:
            raise ValueError(f"{type(self).__name__}: `num_thresholds` must be an integer > 0. "
                             f"Received: num_thresholds={num_thresholds}")
        super().__init__(name=name, dtype=dtype)
        setattr(self, self._name, value)
        self.value = value
        self.num_thresholds = num_thresholds
        self.class_id = class_id
        self._even = num_thresholds > 1
        self.thresholds = [i / (num_thresholds - 1) for i in range(num_thresholds)] \
            if self._even else [0.5]
        self._add_counts((len(self.thresholds),))

    def _rates(self):
        """Sensitivity (recall), specificity and precision."""
        tp, fp, tn, fn = (getattr(self, kind) for kind in _KINDS)
        return {"sensitivity": _rate(tp, fn), "recall": _rate(tp, fn),
                "specificity": _rate(tn, fp), "precision": _rate(tp, fp)}

    def result(self):
        rates = self._rates()
        enough = op.greater_equal(rates[self._name], float(self.value))
        return ops.max(op.where(enough, rates[self._wanted], 0.0))

    def get_config(self):
        return {**super().get_config(), "class_id": self.class_id,
                "num_thresholds": self.num_thresholds, self._name: self.value}


_AT_ARGUMENTS = """

    Args:
        {name}: Float, 0 to 1.
        num_thresholds: Integer > 0: how many thresholds are tried. Defaults to `200`.
        class_id: Integer: only this column of the last axis is looked at.
        name: Name.
        dtype: See `Metric`; the counts are kept in `floatx()`.
    """


class SensitivityAtSpecificity(_AtValue):
    __doc__ = ("The best sensitivity at thresholds where the specificity is at least a value."
               + _AT_ARGUMENTS.replace("{name}", "specificity"))
    _name, _wanted = "specificity", "sensitivity"

    def __init__(self, specificity, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(specificity, num_thresholds, class_id, name, dtype)


class SpecificityAtSensitivity(_AtValue):
    __doc__ = ("The best specificity at thresholds where the sensitivity is at least a value."
               + _AT_ARGUMENTS.replace("{name}", "sensitivity"))
    _name, _wanted = "sensitivity", "specificity"

    def __init__(self, sensitivity, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)


class PrecisionAtRecall(_AtValue):
    __doc__ = ("The best precision at thresholds where the recall is at least a value."
               + _AT_ARGUMENTS.replace("{name}", "recall"))
    _name, _wanted = "recall", "precision"

    def __init__(self, recall, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(recall, num_thresholds, class_id, name, dtype)


class RecallAtPrecision(_AtValue):
    __doc__ = ("The best recall at thresholds where the precision is at least a value."
               + _AT_ARGUMENTS.replace("{name}", "precision"))
    _name, _wanted = "precision", "recall"

    def __init__(self, precision, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(precision, num_thresholds, class_id, name, dtype)


def _choice(argument, value, choices):
    """The choice that `value` names, in one of its spellings."""
    value = getattr(value, "value", value)
    for choice in choices:
        if value in (choice, choice.lower(), choice.capitalize()):
            return choice
    raise ValueError(f"AUC: `{argument}` must be one of {list(choices)}. Received: "
                     f"{argument}={value!r}")


class AUC(_Counting):
    """The area under the ROC, precision-recall or precision-recall-gain curve, as a sum over
    thresholds.

    Args:
        num_thresholds: Integer > 1. Defaults to `200`.
        curve: `"ROC"`, `"PR"` or `"PRGAIN"`. Defaults to `"ROC"`.
        summation_method: `"interpolation"`: trapezoids (for PR: Davis and Goadrich's);
            `"minoring"` and `"majoring"`: the lower and the upper sum.
        name: Name.
        dtype: See `Metric`; the counts are kept in `floatx()`.
        thresholds: Floats, 0 to 1, in place of `num_thresholds` even ones.
        multi_label: Whether each column has an area of its own, of which the mean is given.
        num_labels: Integer: the number of columns, if `multi_label`.
        label_weights: A weight for each column.
        from_logits: Whether predictions are logits, and not probabilities.

    Reference: Davis and Goadrich, 2006; Flach and Kull, 2015.
    """

    _direction = "up"

    def __init__(self, num_thresholds=200, curve="ROC", summation_method="interpolation", name=None,
                 dtype=None, thresholds=None, multi_label=False, num_labels=None,
                 label_weights=None, from_logits=False):
        self.curve = _choice("curve", curve, ("ROC", "PR", "PRGAIN"))
        self.summation_method = _choice("summation_method", summation_method,
                                        ("interpolation", "majoring", "minoring"))
        self._own_thresholds = thresholds is not None
        if thresholds is not None:
            inner = sorted(check_thresholds("AUC", list(thresholds), None))
            self._even = lie_evenly([0.0, *inner, 1.0])
        else:
            if num_thresholds <= 1:
                raise ValueError("AUC: `num_thresholds` must be an integer > 1. Received: "
                                 f"num_thresholds={num_thresholds}")
            inner = [(i + 1) / (num_thresholds - 1) for i in range(num_thresholds - 2)]
            self._even = True
        if num_labels and not multi_label:
            raise ValueError("AUC: `num_labels` is needed only when `multi_label` is True. "
                             f"Received: num_labels={num_labels}")
        self.num_thresholds = len(inner) + 2
        self._thresholds = [-config.epsilon(), *inner, 1 + config.epsilon()]
        super().__init__(name=name, dtype=dtype)
        self.multi_label = multi_label
        self.num_labels = num_labels
        self.label_weights = None if label_weights is None else np.asarray(label_weights).tolist()
        self._from_logits = from_logits
        self._built = False
        if num_labels or not multi_label:
            self._build((None, num_labels))

    @property
    def thresholds(self):
        """The thresholds, one below 0 and one above 1 with them."""
        return list(self._thresholds)

    def _build(self, shape):
        if len(shape) != 2:
            raise ValueError("AUC: `y_pred` must have rank 2 when `multi_label` is True. Received: "
                             f"y_pred.shape={tuple(shape)}")
        self._add_counts((self.num_thresholds, *((shape[1],) if self.multi_label else ())))
        self._built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_pred = tensor(y_pred)
        if not self._built:
            self._build(y_pred.shape)
        if self._from_logits:
            y_pred = op.sigmoid(cast_array(y_pred, self._count_dtype))
        weights = None
        if self.label_weights is not None and not self.multi_label:
            weights = cast_array(np.array(self.label_weights), self._count_dtype)
        self._count(y_true, y_pred, sample_weight, self._thresholds, self._even, self.multi_label,
                    weights)

    def interpolate_pr_auc(self):
        """The area under the precision-recall curve, by Davis and Goadrich's interpolation."""
        return self._area(self._pr_steps())

    def _pr_steps(self):
        """Between thresholds precision is (intercept + slope p) / p of p positives."""
        tp, fn = self.true_positives, self.false_negatives
        p = op.add(tp, self.false_positives)
        dtp, dp = op.subtract(tp[:-1], tp[1:]), op.subtract(p[:-1], p[1:])
        slope = ops.divide_no_nan(dtp, op.maximum(dp, 0.0))
        intercept = op.subtract(tp[1:], op.multiply(slope, p[1:]))
        both = op.logical_and(op.greater(p[:-1], 0.0), op.greater(p[1:], 0.0))
        ratio = op.where(both, ops.divide_no_nan(p[:-1], p[1:]), 1.0)
        area = op.multiply(slope, op.add(dtp, op.multiply(intercept, op.log(ratio))))
        return ops.divide_no_nan(area, op.add(tp[1:], fn[1:]))

    def _gains(self):
        tp, fp, tn, fn = (getattr(self, kind) for kind in _KINDS)
        factor = ops.divide_no_nan(op.add(tp, fn), op.add(tn, fp))
        none = op.equal(tp, 0.0)
        recall, precision = (op.subtract(1.0, op.multiply(factor, ops.divide_no_nan(x, tp)))
                             for x in (fn, fp))
        return op.maximum(op.where(none, 0.0, recall), 0.0), op.where(none, 1.0, precision)

    def _points(self):
        """x and y of the curve at each threshold."""
        tp, fp, tn, fn = (getattr(self, kind) for kind in _KINDS)
        if self.curve == "ROC":
            return _rate(fp, tn), _rate(tp, fn)
        return (_rate(tp, fn), _rate(tp, fp)) if self.curve == "PR" else self._gains()

    def result(self):
        if not self._built:
            return op.fill((), 0.0, config.floatx())
        if self.curve == "PR" and self.summation_method == "interpolation":
            return self.interpolate_pr_auc()
        x, y = self._points()
        heights = {"interpolation": lambda a, b: op.multiply(op.add(a, b), 0.5),
                   "minoring": op.minimum,
                   "majoring": op.maximum}[self.summation_method](y[:-1], y[1:])
        return self._area(op.multiply(op.subtract(x[:-1], x[1:]), heights))

    def _area(self, steps):
        """The sum over thresholds; of columns their weighted mean."""
        areas = ops.sum(steps, 0)
        if not self.multi_label:
            return areas
        if self.label_weights is None:
            return ops.mean(areas)
        weights = cast_array(np.array(self.label_weights), self.dtype)      # which may widen areas
        return ops.divide_no_nan(ops.sum(op.multiply(areas, weights)), ops.sum(weights))

    def get_config(self):
        found = {**super().get_config(), "num_thresholds": self.num_thresholds,
                 "curve": self.curve, "summation_method": self.summation_method,
                 "multi_label": self.multi_label, "num_labels": self.num_labels,
                 "label_weights": self.label_weights, "from_logits": self._from_logits}
        if self._own_thresholds:
            found["thresholds"] = self.thresholds[1:-1]
        return found
