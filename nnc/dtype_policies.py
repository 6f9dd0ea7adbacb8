"""Dtype policies: what a layer computes in and what it keeps weights in; here one dtype."""
from . import config

_NAMES = ("float32", "float64")


class DTypePolicy:
    """The dtype of a layer.

    Args:
        name: `"float32"` or `"float64"`. Defaults to the global policy.

    Raises:
        ValueError: For any other policy.
    """

    def __init__(self, name=None):
        if name is None:
            name = config.dtype_policy().name
        if name not in _NAMES:
            raise ValueError(f"DTypePolicy: layers compute in {' or '.join(map(repr, _NAMES))}. "
                             f"Received: name={name!r}")
        self._name = str(name)

    @property
    def name(self):
        """The policy's name."""
        return self._name

    @property
    def compute_dtype(self):
        """What the layer computes in."""
        return self._name

    @property
    def variable_dtype(self):
        """What the layer keeps its weights in."""
        return self._name

    @property
    def quantization_mode(self):
        """`None`: weights are not quantized."""
        return None

    def convert_input(self, x, autocast, dtype):
        """`x` as a layer takes it in: a tensor, in `dtype` if it is floating point and `autocast`
        is true.
        """
        from .ops.core import cast_array, is_float, standardize_dtype, tensor

        x = tensor(x)
        return cast_array(x, standardize_dtype(dtype)) if autocast and is_float(x.dtype) else x

    def get_config(self):
        """The arguments of `__init__` as a dictionary."""
        return {"name": self._name}

    @classmethod
    def from_config(cls, config):
        """The policy that `get_config` described."""
        return cls(**config)

    def __eq__(self, other):
        return type(other) is type(self) and other._name == self._name

    def __hash__(self):
        return hash(self._name)

    def __repr__(self):
        return f'<DTypePolicy "{self._name}">'


FloatDTypePolicy = DTypePolicy


def get(identifier):
    """The policy that `identifier` stands for: a policy, a configuration, a dtype or `None`."""
    if identifier is None:
        return config.dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, dict):
        from .quantized_policies import ALL_OBJECTS

        if identifier.get("class_name") in ALL_OBJECTS:
            return ALL_OBJECTS[identifier["class_name"]].from_config(identifier["config"])
        if identifier.get("class_name") not in ("DTypePolicy", "FloatDTypePolicy"):
            raise ValueError("dtype: expected the configuration of a DTypePolicy. "
                             f"Received: {identifier!r}")
        return DTypePolicy.from_config(identifier["config"])
    if isinstance(identifier, str):
        from .quantized_policies import by_name

        return by_name(identifier) or DTypePolicy(identifier)
    from .ops.core import standardize_dtype

    try:
        return DTypePolicy(standardize_dtype(identifier))
    except ValueError:
        raise ValueError("dtype: expected a DTypePolicy, the name of one, or a dtype. "
                         f"Received: {identifier!r} (of type "
                         f"{type(identifier).__name__})") from None


def serialize(dtype_policy):
    """The configuration of a policy, in Keras's form."""
    quantized = dtype_policy.quantization_mode is not None
    return {"module": "keras.dtype_policies" if quantized else "keras",
            "class_name": type(dtype_policy).__name__ if quantized else "DTypePolicy",
            "config": dtype_policy.get_config(), "registered_name": None}


def deserialize(config, custom_objects=None):
    """The policy that a configuration describes."""
    if not isinstance(config, dict):
        raise ValueError("dtype_policies.deserialize: expected a configuration dictionary. "
                         f"Received: {config!r}")
    own = (custom_objects or {}).get(config.get("class_name"))
    return get(config) if own is None else own.from_config(config["config"])


def __getattr__(name):
    """The policies of quantized layers, which stand in a file of their own."""
    from . import quantized_policies

    if name in quantized_policies.ALL_OBJECTS:
        return quantized_policies.ALL_OBJECTS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
