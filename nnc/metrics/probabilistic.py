"""Cross-entropies and divergences of predicted distributions."""
from ..losses import losses
from .reduction import NamedMean, named_mean

KLDivergence = named_mean("KLDivergence", losses.kl_divergence, "kl_divergence", None, __name__)
Poisson = named_mean("Poisson", losses.poisson, "poisson", None, __name__)


class BinaryCrossentropy(NamedMean):
    """The mean cross-entropy of labels 0 and 1.

    Args:
        name: Name.
        dtype: See `Metric`.
        from_logits: Whether `y_pred` are logits, not probabilities. Defaults to `False`.
        label_smoothing: Float, 0 to 1: how far labels move towards 0.5. Defaults to `0`.
    """

    _config_names = ("from_logits", "label_smoothing")
    _direction = "down"

    def __init__(self, name="binary_crossentropy", dtype=None, from_logits=False,
                 label_smoothing=0):
        super().__init__(losses.binary_crossentropy, name, dtype, from_logits=from_logits,
                         label_smoothing=label_smoothing)


class CategoricalCrossentropy(NamedMean):
    """The mean cross-entropy of one-hot labels.

    Args:
        name: Name.
        dtype: See `Metric`.
        from_logits: Whether `y_pred` are logits, not probabilities. Defaults to `False`.
        label_smoothing: Float, 0 to 1: how far labels move towards an even distribution.
        axis: The axis of the classes. Defaults to `-1`.
    """

    _config_names = ("from_logits", "label_smoothing", "axis")
    _direction = "down"

    def __init__(self, name="categorical_crossentropy", dtype=None, from_logits=False,
                 label_smoothing=0, axis=-1):
        super().__init__(losses.categorical_crossentropy, name, dtype, from_logits=from_logits,
                         label_smoothing=label_smoothing, axis=axis)


class SparseCategoricalCrossentropy(NamedMean):
    """The mean cross-entropy of integer labels.

    Args:
        name: Name.
        dtype: See `Metric`.
        from_logits: Whether `y_pred` are logits, not probabilities. Defaults to `False`.
        ignore_class: Integer, a label whose samples have loss 0, or `None`.
        axis: The axis of the classes: the last one.
    """

    _config_names = ("from_logits", "ignore_class", "axis")
    _direction = "down"

    def __init__(self, name="sparse_categorical_crossentropy", dtype=None, from_logits=False,
                 ignore_class=None, axis=-1):
        super().__init__(losses.sparse_categorical_crossentropy, name, dtype,
                         from_logits=from_logits, ignore_class=ignore_class, axis=axis)
