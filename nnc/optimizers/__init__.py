"""`nnc.optimizers`: how gradients change weights."""
from .. import identifiers
from . import schedules
from .adadelta import Adadelta
from .adafactor import Adafactor
from .adagrad import Adagrad
from .adam import Adam
from .adamax import Adamax
from .adamw import AdamW
from .ftrl import Ftrl
from .lamb import Lamb
from .lion import Lion
from .loss_scale_optimizer import LossScaleOptimizer
from .multi_optimizer import MultiOptimizer, OptimizerMap
from .muon import Muon
from .nadam import Nadam
from .optimizer import Optimizer
from .rmsprop import RMSprop
from .schedule_free_adamw import ScheduleFreeAdamW
from .sgd import SGD

_CLASSES = (Optimizer, SGD, RMSprop, Adam, AdamW, Adadelta, Adagrad, Adamax, Adafactor, Nadam, Ftrl,
            Lion, Lamb, LossScaleOptimizer, MultiOptimizer, Muon, ScheduleFreeAdamW)
ALL_OBJECTS = {cls.__name__: cls for cls in _CLASSES}
ALL_OBJECTS.update({cls.__name__.lower(): cls for cls in _CLASSES})


def serialize(optimizer):
    """The configuration of an optimizer as a dictionary."""
    return identifiers.serialize(optimizer)


def deserialize(config, custom_objects=None):
    """The optimizer that a name or a configuration describes; case does not matter in names."""
    def plain(name):
        own = not isinstance(name, str) or name in (custom_objects or {})
        return name if own or name.lower() not in ALL_OBJECTS else name.lower()
    if isinstance(config, dict) and "class_name" in config:
        config = dict(config, class_name=plain(config["class_name"]))
    return identifiers.deserialize(plain(config), ALL_OBJECTS, "optimizer", custom_objects)


def get(identifier):
    """The optimizer that `identifier` stands for: a name, a configuration, an object or `None`."""
    if identifier is None:
        return None
    if isinstance(identifier, (str, dict)):
        identifier = deserialize(identifier)
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        identifier = identifier()
    if not isinstance(identifier, Optimizer):
        raise ValueError("Could not interpret optimizer identifier. Expected a name, a "
                         f"configuration dictionary or an Optimizer. Received: {identifier!r} (of "
                         f"type {type(identifier).__name__})")
    return identifier


def __getattr__(name):
    if name == "legacy":
        import importlib

        return importlib.import_module(".legacy", __name__)
    raise AttributeError(f"module 'nnc.optimizers' has no attribute {name!r}")
