"""Dtype policies: what a layer computes in and what it keeps weights in.

A name is a dtype for both, or `"mixed_bfloat16"` and `"mixed_float16"`: weights in float32, which
the layer reads in 16 bits, computations and outputs in 16 bits. A `DTypePolicyMap` gives each layer
its own by its path.
"""
import re
from collections.abc import MutableMapping

from . import config

_MIXED = {"mixed_float16": "float16", "mixed_bfloat16": "bfloat16"}


def _dtypes_of(name):
    """What a policy of that name computes in, and what it keeps weights in."""
    from .ops.core import _DTYPES

    if not isinstance(name, str):
        raise TypeError("DTypePolicy: `name` must be a string, such as 'mixed_bfloat16'. Received: "
                        f"name={name!r} (of type {type(name).__name__})")
    if name in _MIXED:
        return _MIXED[name], "float32"
    if name not in _DTYPES:
        raise ValueError("DTypePolicy: expected the name of a dtype, such as 'float32' or "
                         "'bfloat16', or 'mixed_float16' or 'mixed_bfloat16'. Received: "
                         f"name={name!r}")
    return str(name), str(name)


class DTypePolicy:
    """The dtypes of a layer.

    Where the processor has no products of bfloat16, `fit`, `evaluate`, `predict` and the like may
    keep what a layer computes in bfloat16 in float32, unrounded, as long as it does not leave the
    step: the same time as float32, and no less exact. `ops.cast(x, "bfloat16")` always rounds.

    Args:
        name: The name of a dtype, `"mixed_bfloat16"` or `"mixed_float16"`. Defaults to the global
            policy.

    Raises:
        ValueError: For any other policy.
    """

    #: Whether there is a policy for each path in it.
    _is_map = False

    def __init__(self, name=None):
        if name is None:
            name = config.dtype_policy().name
        self._compute_dtype, self._variable_dtype = _dtypes_of(name)
        self._name = str(name)

    @property
    def name(self):
        """The policy's name."""
        return self._name

    @property
    def compute_dtype(self):
        """What the layer computes in."""
        return self._compute_dtype

    @property
    def variable_dtype(self):
        """What the layer keeps its weights in."""
        return self._variable_dtype

    @property
    def _is_mixed(self):
        """Whether weights may have to be cast as they are read."""
        return self._compute_dtype != self._variable_dtype

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


class DTypePolicyMap(DTypePolicy, MutableMapping):
    """A policy for each layer, by the layer's path.

    Args:
        default_policy: The policy of paths that are not in the map. Defaults to the global one.
        policy_map: A dictionary, path or regular expression to policy. A path that is a key has
            that key's policy; else one key may match all of it as a regular expression.

    Raises:
        ValueError: If `default_policy` is a map itself, a key is set twice, or several keys match
            a path.
        TypeError: If `policy_map` is no dictionary.
    """

    _is_map = _is_mixed = True

    def __init__(self, default_policy=None, policy_map=None):
        if isinstance(default_policy, DTypePolicyMap):
            raise ValueError("DTypePolicyMap: `default_policy` cannot be a DTypePolicyMap. "
                             f"Received: default_policy={default_policy!r}")
        if policy_map is not None and not isinstance(policy_map, dict):
            raise TypeError("DTypePolicyMap: `policy_map` must be a dict. Received: "
                            f"policy_map={policy_map!r} (of type {type(policy_map).__name__})")
        self._given = default_policy
        self._default_policy = get(default_policy)
        self._policy_map = {key: get(policy) for key, policy in (policy_map or {}).items()}

    @property
    def name(self):
        """`"map_"` and the name of the default policy."""
        return f"map_{self.default_policy.name}"

    @property
    def default_policy(self):
        """The policy of paths that are not in the map."""
        return self._default_policy

    @property
    def compute_dtype(self):
        """What the default policy computes in."""
        return self.default_policy.compute_dtype

    @property
    def variable_dtype(self):
        """What the default policy keeps weights in."""
        return self.default_policy.variable_dtype

    @property
    def quantization_mode(self):
        """That of the default policy."""
        return self.default_policy.quantization_mode

    def __getitem__(self, key):
        """The policy of the layer with the path `key`."""
        if key in self._policy_map:
            return self._policy_map[key]
        found = [pattern for pattern in self._policy_map if re.fullmatch(pattern, key)]
        if len(found) > 1:
            raise ValueError(f"DTypePolicyMap: the path {key!r} matches several keys: {found}. "
                             "Each path may match one.")
        return self._policy_map[found[0]] if found else self.default_policy

    def __setitem__(self, key, policy):
        if key in self._policy_map:
            raise ValueError(f"DTypePolicyMap: the key {key!r} is there already, for "
                             f"{self._policy_map[key]}; delete it first.")
        self._policy_map[key] = get(policy)

    def __delitem__(self, key):
        del self._policy_map[key]

    def __contains__(self, key):
        return key in self._policy_map

    def __len__(self):
        return len(self._policy_map)

    def __iter__(self):
        return iter(self._policy_map)

    def get_config(self):
        """The arguments of `__init__` as a dictionary. As in Keras, a map without a default policy
        of its own keeps no names: all its policies will be the global one where it is loaded.
        """
        policies = {key: serialize(policy) for key, policy in self._policy_map.items()}
        if self._given is None:
            for policy in policies.values():
                policy["config"] = {"name": None}
        given = self._given
        return {"default_policy": serialize(given) if isinstance(given, DTypePolicy) else given,
                "policy_map": policies}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The map that `get_config` described."""
        policies = {key: deserialize(policy, custom_objects) if isinstance(policy, dict)
                    else get(policy) for key, policy in config["policy_map"].items()}
        return cls(config.get("default_policy"), policies)

    def __eq__(self, other):
        return type(other) is type(self) and other._policy_map == self._policy_map \
            and other._default_policy == self._default_policy

    __hash__ = object.__hash__

    def __repr__(self):
        policies = [(key, policy.name) for key, policy in self._policy_map.items()]
        return f"<DTypePolicyMap default_policy={self.default_policy.name}, mapping={policies}>"


_CLASSES = {"DTypePolicy": DTypePolicy, "FloatDTypePolicy": DTypePolicy,
            "DTypePolicyMap": DTypePolicyMap}


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
        if identifier.get("class_name") not in _CLASSES:
            raise ValueError("dtype: expected the configuration of a DTypePolicy. "
                             f"Received: {identifier!r}")
        return _CLASSES[identifier["class_name"]].from_config(identifier["config"])
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
    plain = not dtype_policy._is_map and dtype_policy.quantization_mode is None
    return {"module": "keras" if plain else "keras.dtype_policies",
            "class_name": "DTypePolicy" if plain else type(dtype_policy).__name__,
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
