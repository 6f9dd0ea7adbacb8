"""How far predictions rise and fall with the targets."""
from .. import config, ops
from .._core import op
from ..losses.loss import squeeze_or_expand_to_same_rank
from ..ops.core import cast_array, float_array
from .reduction import NamedMean


def _centred(y_true, y_pred, axis):
    """Both with their means along `axis` taken off, and the means."""
    y_pred = float_array(y_pred)
    pair = squeeze_or_expand_to_same_rank(cast_array(y_true, y_pred.dtype), y_pred)
    means = [ops.mean(y, axis, True) for y in pair]
    return [op.subtract(y, mean) for y, mean in zip(pair, means)], means


def pearson_correlation(y_true, y_pred, axis=-1):
    """The covariance along `axis` over the product of the standard deviations: -1 to 1."""
    parts, _ = _centred(y_true, y_pred, axis)
    a, b = (op.divide(part, ops.std(part, axis, True)) for part in parts)
    return ops.mean(op.multiply(a, b), axis)


def concordance_correlation(y_true, y_pred, axis=-1):
    """Twice the covariance along `axis` over the variances and the squared difference of the
    means: 1 only for equal values.
    """
    (a, b), (mean_a, mean_b) = _centred(y_true, y_pred, axis)
    product = op.multiply(a, b)
    off = op.square(op.subtract(mean_a, mean_b))
    norm = op.add(op.add(ops.var(a, axis, True), ops.var(b, axis, True)), off)
    return ops.mean(op.divide(op.multiply(product, 2.0), op.add(norm, config.epsilon())), axis)


class PearsonCorrelation(NamedMean):
    """The mean over samples of `pearson_correlation`.

    Args:
        name: Name.
        dtype: See `Metric`.
        axis: The axis along which values are correlated. Defaults to `-1`.
    """

    _config_names = ("axis",)
    _direction = "up"

    def __init__(self, name="pearson_correlation", dtype=None, axis=-1):
        super().__init__(pearson_correlation, name, dtype, axis=axis)


class ConcordanceCorrelation(NamedMean):
    """The mean over samples of `concordance_correlation`.

    Args:
        name: Name.
        dtype: See `Metric`.
        axis: The axis along which values are correlated. Defaults to `-1`.
    """

    _config_names = ("axis",)
    _direction = "up"

    def __init__(self, name="concordance_correlation", dtype=None, axis=-1):
        super().__init__(concordance_correlation, name, dtype, axis=axis)
