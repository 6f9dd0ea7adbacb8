"""`nnc.optimizers.legacy`: names that Keras 3 has only to say that they are gone."""


class Optimizer:
    """Raises ImportError: Keras 3 has no legacy optimizers, and nnc has none."""

    def __init__(self, *args, **kwargs):
        raise ImportError("`keras.optimizers.legacy` is not supported in Keras 3. Use "
                          f"`keras.optimizers.{type(self).__name__}` instead.")


class Adagrad(Optimizer):
    """Raises ImportError."""


class Adam(Optimizer):
    """Raises ImportError."""


class Ftrl(Optimizer):
    """Raises ImportError."""


class RMSprop(Optimizer):
    """Raises ImportError."""


class SGD(Optimizer):
    """Raises ImportError."""
