"""nnc: Keras's API on a C core. `import nnc as keras`."""
from . import _core
from ._core import Tensor
from . import backend, config, dtype_policies, ops, random, tree
from . import activations, constraints, initializers, regularizers
from . import losses, metrics, optimizers, layers, saving, models, callbacks, datasets, utils, export
from .autograd import GradientTape
from .config import device, show_config
from .dtype_policies import DTypePolicy, FloatDTypePolicy
from .initializers import Initializer
from .layers import Input, InputSpec, Layer
from .layers.keras_tensor import KerasTensor
from .ops.operation import Operation
from .losses import Loss
from .metrics import Metric
from .models import Model, Sequential
from .models.function import Function
from .naming import name_scope
from .optimizers import Optimizer
from .regularizers import Regularizer
from .rematerialization import RematScope, remat
from .stateless import StatelessScope, SymbolicScope
from .variables import Variable
from .warnings import NumericWarning
from .quantizers import Quantizer
from . import mixed_precision, preprocessing, quantizers, threadpools, visualization, wrappers

__version__ = _core.__version__
threadpools.install()


# Imported when first used: name and module.
_LATER = {"profile": "profiling", "report": "reporting"}
_MODULES = ("distillation", "distribution", "legacy", "testing")


def __getattr__(name):
    if name in _LATER:
        import importlib

        return getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
    if name in _MODULES:
        import importlib

        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module 'nnc' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_LATER, *_MODULES})


def install_as_keras():
    """From here on, `import keras` (and `tensorflow.keras`, `tf_keras`) gives nnc."""
    from .alias import install_as_keras as install

    install()


def version():
    """The version of nnc."""
    return __version__
