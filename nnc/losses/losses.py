"""The losses: a function gives the loss of each sample, a class wraps it with a reduction.

Functions take targets and predictions of one shape (a last axis of size 1 too many is dropped) and
reduce the last axis.
"""
import warnings

from .. import config, identifiers, ops
from .._core import op
from ..ops.core import cast_array, float_array, one_axis, tensor
from .loss import Loss, map_structure, squeeze_or_expand_to_same_rank


# ---- functions -----------------------------------------------------------------------------------

def _pair(y_true, y_pred):
    """Both as floating-point arrays of one dtype and rank."""
    y_pred = float_array(y_pred)
    return squeeze_or_expand_to_same_rank(cast_array(y_true, y_pred.dtype), y_pred)


def _same_dtype(y_true, y_pred):
    y_pred = float_array(y_pred)
    return cast_array(y_true, y_pred.dtype), y_pred


def mean_squared_error(y_true, y_pred):
    """`mean((y_true - y_pred)^2)`."""
    y_true, y_pred = _pair(y_true, y_pred)
    return ops.mean(op.square(op.subtract(y_true, y_pred)), -1)


def mean_absolute_error(y_true, y_pred):
    """`mean(|y_true - y_pred|)`."""
    y_true, y_pred = _pair(y_true, y_pred)
    return ops.mean(op.absolute(op.subtract(y_true, y_pred)), -1)


def mean_absolute_percentage_error(y_true, y_pred):
    """`100 mean(|(y_true - y_pred) / y_true|)`; the divisor is at least `epsilon()`."""
    y_true, y_pred = _pair(y_true, y_pred)
    divisor = op.maximum(op.absolute(y_true), config.epsilon())
    return op.multiply(ops.mean(op.absolute(op.divide(op.subtract(y_true, y_pred), divisor)), -1),
                       100.0)


def mean_squared_logarithmic_error(y_true, y_pred):
    """`mean((log(y_true + 1) - log(y_pred + 1))^2)`; both are at least `epsilon()`."""
    y_true, y_pred = _pair(y_true, y_pred)
    logs = [op.log(op.add(op.maximum(y, config.epsilon()), 1.0)) for y in (y_pred, y_true)]
    return ops.mean(op.square(op.subtract(*logs)), -1)


def cosine_similarity(y_true, y_pred, axis=-1):
    """`-sum(l2_norm(y_true) * l2_norm(y_pred))` along `axis`: -1 for the same direction."""
    y_true, y_pred = _pair(y_true, y_pred)
    product = op.multiply(ops.normalize(y_true, axis), ops.normalize(y_pred, axis))
    return op.negative(ops.sum(product, axis))


def huber(y_true, y_pred, delta=1.0):
    """The mean of `e^2 / 2` where `|e| <= delta`, of `delta |e| - delta^2 / 2` elsewhere."""
    y_true, y_pred = _pair(y_true, y_pred)
    error = op.subtract(y_pred, y_true)
    size = op.absolute(error)
    near = op.multiply(op.square(error), 0.5)
    far = op.subtract(op.multiply(size, float(delta)), 0.5 * delta * delta)
    return ops.mean(op.where(op.less_equal(size, float(delta)), near, far), -1)


def log_cosh(y_true, y_pred):
    """`mean(log(cosh(y_pred - y_true)))`."""
    y_true, y_pred = _pair(y_true, y_pred)
    error = op.subtract(y_pred, y_true)
    tail = op.softplus(op.multiply(error, -2.0))
    return ops.mean(op.subtract(op.add(error, tail), 0.6931471805599453), -1)


def _hinge_labels(y_true):
    """Labels of 0 and 1 as -1 and 1; others as they are."""
    binary = ops.all(op.logical_or(op.equal(y_true, 0), op.equal(y_true, 1)))
    return op.where(binary, op.subtract(op.multiply(y_true, 2.0), 1.0), y_true)


def _margin(y_true, y_pred):
    y_true, y_pred = _same_dtype(y_true, y_pred)
    return op.maximum(op.subtract(1.0, op.multiply(_hinge_labels(y_true), y_pred)), 0.0)


def hinge(y_true, y_pred):
    """`mean(max(1 - y_true y_pred, 0))`, labels -1 and 1 (0 and 1 are converted)."""
    return ops.mean(_margin(y_true, y_pred), -1)


def squared_hinge(y_true, y_pred):
    """`mean(max(1 - y_true y_pred, 0)^2)`, labels -1 and 1 (0 and 1 are converted)."""
    return ops.mean(op.square(_margin(y_true, y_pred)), -1)


def categorical_hinge(y_true, y_pred):
    """`max(max((1 - y_true) y_pred) - sum(y_true y_pred) + 1, 0)`, `y_true` one-hot."""
    y_true, y_pred = _same_dtype(y_true, y_pred)
    positive = ops.sum(op.multiply(y_true, y_pred), -1)
    negative = ops.max(op.multiply(op.subtract(1.0, y_true), y_pred), -1)
    return op.maximum(op.add(op.subtract(negative, positive), 1.0), 0.0)


def kl_divergence(y_true, y_pred):
    """`sum(y_true log(y_true / y_pred))`, both within `epsilon()` to 1."""
    y_true, y_pred = _same_dtype(y_true, y_pred)
    y_true, y_pred = (ops.clip(y, config.epsilon(), 1.0) for y in (y_true, y_pred))
    return ops.sum(op.multiply(y_true, op.log(op.divide(y_true, y_pred))), -1)


def poisson(y_true, y_pred):
    """`mean(y_pred - y_true log(y_pred + epsilon()))`."""
    y_true, y_pred = _same_dtype(y_true, y_pred)
    log = op.log(op.add(y_pred, config.epsilon()))
    return ops.mean(op.subtract(y_pred, op.multiply(y_true, log)), -1)


def _smooth_binary(y_true, label_smoothing):
    if not label_smoothing:
        return y_true
    return op.add(op.multiply(y_true, 1.0 - label_smoothing), 0.5 * label_smoothing)


def binary_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """The cross-entropy of labels 0 and 1, its mean along `axis`.

    Args:
        y_true: Labels, 0 to 1.
        y_pred: Probabilities, or logits if `from_logits`.
        from_logits: Whether a sigmoid is still to be applied.
        label_smoothing: Float, 0 to 1: how far labels move towards 0.5.
        axis: What the mean runs over. Defaults to `-1`.
    """
    y_true, y_pred = _same_dtype(y_true, y_pred)
    y_true = _smooth_binary(y_true, label_smoothing)
    return ops.mean(ops.binary_crossentropy(y_true, y_pred, from_logits), axis)


def binary_focal_crossentropy(y_true, y_pred, apply_class_balancing=False, alpha=0.25, gamma=2.0,
                              from_logits=False, label_smoothing=0.0, axis=-1):
    """`binary_crossentropy` times `(1 - p)^gamma`, p being the probability given to the true label.

    Args:
        y_true: Labels, 0 to 1.
        y_pred: Probabilities, or logits if `from_logits`.
        apply_class_balancing: Whether label 1 weighs `alpha` and label 0 `1 - alpha`.
        alpha: Float, 0 to 1.
        gamma: Float: how much well-classified samples count less.
        from_logits: Whether a sigmoid is still to be applied.
        label_smoothing: Float, 0 to 1: how far labels move towards 0.5.
        axis: What the mean runs over. Defaults to `-1`.

    Reference: Lin et al., 2018, arXiv:1708.02002.
    """
    y_true, y_pred = _same_dtype(y_true, y_pred)
    y_true = _smooth_binary(y_true, label_smoothing)
    y_pred = ops.sigmoid(y_pred) if from_logits else y_pred
    loss = ops.binary_crossentropy(y_true, y_pred)
    opposite = op.subtract(1.0, y_true)
    right = op.add(op.multiply(y_true, y_pred), op.multiply(opposite, op.subtract(1.0, y_pred)))
    loss = op.multiply(ops.power(op.subtract(1.0, right), float(gamma)), loss)
    if apply_class_balancing:
        weight = op.add(op.multiply(y_true, float(alpha)), op.multiply(opposite, 1.0 - alpha))
        loss = op.multiply(weight, loss)
    return ops.mean(loss, axis)


def _categorical(name, y_true, y_pred, label_smoothing, axis):
    if isinstance(axis, bool):
        raise ValueError("`axis` must be of type `int`. "
                         f"Received: axis={axis} of type {type(axis)}")
    y_true, y_pred = _same_dtype(y_true, y_pred)
    if y_pred.shape[-1:] == (1,):
        warnings.warn(f"In loss {name}, expected y_pred.shape to be (batch_size, num_classes) with "
                      f"num_classes > 1. Received: y_pred.shape={tuple(y_pred.shape)}. Consider "
                      "using 'binary_crossentropy' if you only have 2 classes.", SyntaxWarning,
                      stacklevel=3)
    if label_smoothing:
        y_true = op.add(op.multiply(y_true, 1.0 - label_smoothing),
                        label_smoothing / y_true.shape[-1])
    return y_true, y_pred


def categorical_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """The cross-entropy of one-hot labels (or distributions) along `axis`.

    Args:
        y_true: Distributions over classes.
        y_pred: Probabilities, or logits if `from_logits`.
        from_logits: Whether a softmax is still to be applied.
        label_smoothing: Float, 0 to 1: how far labels move towards an even distribution.
        axis: The axis of the classes. Defaults to `-1`.
    """
    y_true, y_pred = _categorical("categorical_crossentropy", y_true, y_pred, label_smoothing, axis)
    return ops.categorical_crossentropy(y_true, y_pred, from_logits, axis)


def categorical_focal_crossentropy(y_true, y_pred, alpha=0.25, gamma=2.0, from_logits=False,
                                   label_smoothing=0.0, axis=-1):
    """`categorical_crossentropy` with each class times `alpha (1 - p)^gamma`.

    Args:
        y_true: Distributions over classes.
        y_pred: Probabilities, or logits if `from_logits`.
        alpha: Float, or one for each class.
        gamma: Float: how much well-classified samples count less.
        from_logits: Whether a softmax is still to be applied.
        label_smoothing: Float, 0 to 1: how far labels move towards an even distribution.
        axis: The axis of the classes. Defaults to `-1`.

    Reference: Lin et al., 2018, arXiv:1708.02002.
    """
    y_true, y_pred = _categorical("categorical_focal_crossentropy", y_true, y_pred, label_smoothing,
                                  axis)
    y_pred = ops.softmax(y_pred, axis) if from_logits else y_pred
    y_pred = op.divide(y_pred, ops.sum(y_pred, axis, True))
    y_pred = ops.clip(y_pred, config.epsilon(), 1.0 - config.epsilon())
    loss = op.negative(op.multiply(y_true, op.log(y_pred)))
    factor = ops.power(op.subtract(1.0, y_pred), float(gamma))
    alpha = float(alpha) if isinstance(alpha, (int, float)) else cast_array(alpha, y_pred.dtype)
    return ops.sum(op.multiply(op.multiply(factor, alpha), loss), axis)


def sparse_categorical_crossentropy(y_true, y_pred, from_logits=False, ignore_class=None, axis=-1):
    """The cross-entropy of integer labels.

    Args:
        y_true: Labels from 0 to `classes - 1`.
        y_pred: Probabilities, or logits if `from_logits`; the classes are the last axis.
        from_logits: Whether a softmax is still to be applied.
        ignore_class: Integer, a label whose samples have loss 0 and do not count, or `None`.
        axis: The axis of the classes: the last one.
    """
    y_true, y_pred = tensor(y_true), float_array(y_pred)
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape and y_true.shape[axis] == 1:
        y_true = ops.squeeze(y_true, axis)
    if ignore_class is None:
        return ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits, axis)
    one_axis("sparse_categorical_crossentropy", axis, len(y_pred.shape))
    y_true = cast_array(y_true, "int64")    # unsigned labels could not be compared with -1
    valid = op.not_equal(y_true, int(ignore_class))
    logits = getattr(y_pred, "_keras_logits", None)
    if logits is not None:
        y_pred, from_logits = logits, True
    # Ignored places get finite scores and a label that exists; where() keeps them out of the
    # gradient.
    labels = op.where(valid, y_true, 0)
    scores = op.where(ops.expand_dims(valid, -1), y_pred, 0.0)
    loss = ops.sparse_categorical_crossentropy(labels, scores, from_logits, axis)
    loss = op.where(valid, loss, 0.0)
    loss._keras_mask = valid
    return loss


def dice(y_true, y_pred, axis=None):
    """`1 - 2 sum(y_true y_pred) / (sum(y_true) + sum(y_pred))` over `axis` (all of it by
    default).
    """
    y_true, y_pred = _same_dtype(y_true, y_pred)
    overlap = op.multiply(ops.sum(op.multiply(y_true, y_pred), axis), 2.0)
    total = op.add(op.add(ops.sum(y_true, axis), ops.sum(y_pred, axis)), config.epsilon())
    return op.subtract(1.0, op.divide(overlap, total))


def tversky(y_true, y_pred, alpha=0.5, beta=0.5, axis=None):
    """`dice` with false positives weighted by `alpha` and false negatives by `beta`.

    Reference: Salehi et al., 2017, arXiv:1706.05721.
    """
    y_true, y_pred = _same_dtype(y_true, y_pred)
    overlap = ops.sum(op.multiply(y_true, y_pred), axis)
    missed = ops.sum(op.multiply(op.subtract(1.0, y_pred), y_true), axis)
    wrong = ops.sum(op.multiply(y_pred, op.subtract(1.0, y_true)), axis)
    total = op.add(op.add(overlap, op.multiply(missed, float(alpha))),
                   op.multiply(wrong, float(beta)))
    return op.subtract(1.0, op.divide(overlap, op.add(total, config.epsilon())))


# ---- classes -------------------------------------------------------------------------------------

class LossFunctionWrapper(Loss):
    """A loss made of a function of `(y_true, y_pred, **kwargs)`.

    Args:
        fn: The function.
        reduction: See `Loss`.
        name: Name.
        dtype: See `Loss`.
        **kwargs: What else the function is called with.
    """

    def __init__(self, fn, reduction="sum_over_batch_size", name=None, dtype=None, **kwargs):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.fn = fn
        self._fn_kwargs = kwargs

    def call(self, y_true, y_pred):
        if isinstance(y_pred, (dict, list, tuple)):
            pairs = map_structure(lambda t, p: _Pair(*squeeze_or_expand_to_same_rank(t, p)), y_true,
                                  y_pred)
            y_true = map_structure(lambda pair: pair.y_true, pairs)
            y_pred = map_structure(lambda pair: pair.y_pred, pairs)
        else:
            y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self):
        config = super().get_config()
        config["fn"] = identifiers.serialize(self.fn)
        config.update(identifiers.serialize(self._fn_kwargs))
        return config

    @classmethod
    def from_config(cls, config):
        if isinstance(config.get("fn"), (str, dict)):
            from . import deserialize

            config = dict(config, fn=deserialize(config["fn"]))
        return cls(**config)

    def __repr__(self):
        return f"<LossFunctionWrapper({self.fn}, kwargs={self._fn_kwargs})>"


class _Pair:
    """Targets and predictions of one leaf of a nest; it has a shape, as a leaf of
    `map_structure`.
    """

    def __init__(self, y_true, y_pred):
        self.y_true, self.y_pred, self.shape = y_true, y_pred, (1,)


class _Named(LossFunctionWrapper):
    """A loss whose configuration is that of `Loss` and the function's arguments that it names.

    These are attributes as well.
    """

    _config_names = ()

    def __init__(self, fn, reduction, name, dtype, **kwargs):
        super().__init__(fn, reduction=reduction, name=name, dtype=dtype, **kwargs)
        self.__dict__.update({key: kwargs[key] for key in self._config_names})

    def get_config(self):
        config = Loss.get_config(self)
        config.update({name: getattr(self, name) for name in self._config_names})
        return config

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def _plain(name, function, public):
    """A class for a function without further arguments."""
    def __init__(self, reduction="sum_over_batch_size", name=public, dtype=None):
        _Named.__init__(self, function, reduction, name, dtype)
    __init__.__qualname__ = f"{name}.__init__"
    text = function.__doc__ + ("\n\n    Args:\n        reduction: See `Loss`.\n"
                               "        name: Name.\n        dtype: See `Loss`.\n    ")
    return type(name, (_Named,), {"__init__": __init__, "__doc__": text, "__module__": __name__})


MeanSquaredError = _plain("MeanSquaredError", mean_squared_error, "mean_squared_error")
MeanAbsoluteError = _plain("MeanAbsoluteError", mean_absolute_error, "mean_absolute_error")
MeanAbsolutePercentageError = _plain("MeanAbsolutePercentageError", mean_absolute_percentage_error,
                                     "mean_absolute_percentage_error")
MeanSquaredLogarithmicError = _plain("MeanSquaredLogarithmicError", mean_squared_logarithmic_error,
                                     "mean_squared_logarithmic_error")
LogCosh = _plain("LogCosh", log_cosh, "log_cosh")
Hinge = _plain("Hinge", hinge, "hinge")
SquaredHinge = _plain("SquaredHinge", squared_hinge, "squared_hinge")
CategoricalHinge = _plain("CategoricalHinge", categorical_hinge, "categorical_hinge")
KLDivergence = _plain("KLDivergence", kl_divergence, "kl_divergence")
Poisson = _plain("Poisson", poisson, "poisson")


class CosineSimilarity(_Named):
    """`-sum(l2_norm(y_true) * l2_norm(y_pred))`: -1 for the same direction, 1 for opposite ones.

    Args:
        axis: The axis of the features. Defaults to `-1`.
        reduction: See `Loss`.
        name: Name.
        dtype: See `Loss`.
    """

    def __init__(self, axis=-1, reduction="sum_over_batch_size", name="cosine_similarity",
                 dtype=None):
        super().__init__(cosine_similarity, reduction, name, dtype, axis=axis)
        self.axis = axis


class Huber(_Named):
    """Quadratic for errors up to `delta`, linear beyond.

    Args:
        delta: Float, where the loss turns linear. Defaults to `1.0`.
        reduction: See `Loss`.
        name: Name.
        dtype: See `Loss`.
    """

    def __init__(self, delta=1.0, reduction="sum_over_batch_size", name="huber_loss", dtype=None):
        super().__init__(huber, reduction, name, dtype, delta=delta)
        self.delta = delta


class BinaryCrossentropy(_Named):
    """The cross-entropy of labels 0 and 1.

    Args:
        from_logits: Whether `y_pred` are logits, not probabilities. Defaults to `False`.
        label_smoothing: Float, 0 to 1: how far labels move towards 0.5. Defaults to `0.0`.
        axis: What the mean of a sample runs over. Defaults to `-1`.
        reduction: See `Loss`.
        name: Name.
        dtype: See `Loss`.
    """

    _config_names = ("from_logits", "label_smoothing", "axis")

    def __init__(self, from_logits=False, label_smoothing=0.0, axis=-1,
                 reduction="sum_over_batch_size", name="binary_crossentropy", dtype=None):
        super().__init__(binary_crossentropy, reduction, name, dtype, from_logits=from_logits,
                         label_smoothing=label_smoothing, axis=axis)


class BinaryFocalCrossentropy(_Named):
    """`BinaryCrossentropy` in which well-classified samples count less. See
    `binary_focal_crossentropy`.

    Args:
        apply_class_balancing: Whether label 1 weighs `alpha` and label 0 `1 - alpha`.
        alpha: Float, 0 to 1. Defaults to `0.25`.
        gamma: Float. Defaults to `2.0`.
        from_logits: Whether `y_pred` are logits, not probabilities. Defaults to `False`.
        label_smoothing: Float, 0 to 1: how far labels move towards 0.5. Defaults to `0.0`.
        axis: What the mean of a sample runs over. Defaults to `-1`.
        reduction: See `Loss`.
        name: Name.
        dtype: See `Loss`.
    """

    _config_names = ("from_logits", "label_smoothing", "axis", "apply_class_balancing", "alpha",
                     "gamma")

    def __init__(self, apply_class_balancing=False, alpha=0.25, gamma=2.0, from_logits=False,
                 label_smoothing=0.0, axis=-1, reduction="sum_over_batch_size",
                 name="binary_focal_crossentropy", dtype=None):
        super().__init__(binary_focal_crossentropy, reduction, name, dtype,
                         apply_class_balancing=apply_class_balancing, alpha=alpha, gamma=gamma,
                         from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)


class CategoricalCrossentropy(_Named):
    """The cross-entropy of one-hot labels.

    Args:
        from_logits: Whether `y_pred` are logits, not probabilities. Defaults to `False`.
        label_smoothing: Float, 0 to 1: how far labels move towards an even distribution.
        axis: The axis of the classes. Defaults to `-1`.
        reduction: See `Loss`.
        name: Name.
        dtype: See `Loss`.
    """

    _config_names = ("from_logits", "label_smoothing", "axis")

    def __init__(self, from_logits=False, label_smoothing=0.0, axis=-1,
                 reduction="sum_over_batch_size", name="categorical_crossentropy", dtype=None):
        super().__init__(categorical_crossentropy, reduction, name, dtype, from_logits=from_logits,
                         label_smoothing=label_smoothing, axis=axis)


class CategoricalFocalCrossentropy(_Named):
    """`CategoricalCrossentropy` in which well-classified samples count less.

    Args:
        alpha: Float, or one for each class. Defaults to `0.25`.
        gamma: Float. Defaults to `2.0`.
        from_logits: Whether `y_pred` are logits, not probabilities. Defaults to `False`.
        label_smoothing: Float, 0 to 1: how far labels move towards an even distribution.
        axis: The axis of the classes. Defaults to `-1`.
        reduction: See `Loss`.
        name: Name.
        dtype: See `Loss`.
    """

    _config_names = ("from_logits", "label_smoothing", "axis", "alpha", "gamma")

    def __init__(self, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1,
                 reduction="sum_over_batch_size", name="categorical_focal_crossentropy",
                 dtype=None):
        super().__init__(categorical_focal_crossentropy, reduction, name, dtype, alpha=alpha,
                         gamma=gamma, from_logits=from_logits, label_smoothing=label_smoothing,
                         axis=axis)


class SparseCategoricalCrossentropy(_Named):
    """The cross-entropy of integer labels.

    Args:
        from_logits: Whether `y_pred` are logits, not probabilities. Defaults to `False`.
        ignore_class: Integer, a label whose samples do not count, or `None`.
        reduction: See `Loss`.
        axis: The axis of the classes: the last one.
        name: Name.
        dtype: See `Loss`.
    """

    _config_names = ("from_logits", "ignore_class")

    def __init__(self, from_logits=False, ignore_class=None, reduction="sum_over_batch_size",
                 axis=-1, name="sparse_categorical_crossentropy", dtype=None):
        super().__init__(sparse_categorical_crossentropy, reduction, name, dtype,
                         from_logits=from_logits, ignore_class=ignore_class, axis=axis)

    def _labels(self, y_true):
        return tensor(y_true)       # whole numbers stay what they are: float32 ends at 2^24


class Dice(_Named):
    """One less twice the overlap over the sum of both areas.

    Args:
        reduction: See `Loss`.
        name: Name.
        axis: Tuple, what the sums run over. Defaults to `None`: everything.
        dtype: See `Loss`.
    """

    _config_names = ("axis",)

    def __init__(self, reduction="sum_over_batch_size", name="dice", axis=None, dtype=None):
        super().__init__(dice, reduction, name, dtype, axis=axis)


class Tversky(_Named):
    """`Dice` with false positives weighted by `alpha` and false negatives by `beta`.

    Args:
        alpha: Float. Defaults to `0.5`.
        beta: Float. Defaults to `0.5`.
        reduction: See `Loss`.
        name: Name.
        axis: Tuple, what the sums run over. Defaults to `None`: everything.
        dtype: See `Loss`.

    Reference: Salehi et al., 2017, arXiv:1706.05721.
    """

    _config_names = ("alpha", "beta", "axis")

    def __init__(self, alpha=0.5, beta=0.5, reduction="sum_over_batch_size", name="tversky",
                 axis=None, dtype=None):
        super().__init__(tversky, reduction, name, dtype, alpha=alpha, beta=beta, axis=axis)
