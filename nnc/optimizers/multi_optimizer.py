"""Several optimizers at once, each for weights of its own."""
import re
from collections.abc import MutableMapping

from .loss_scale_optimizer import LossScaleOptimizer
from .optimizer import Optimizer


def _check_inner(optimizer, where):
    if not isinstance(optimizer, Optimizer) or isinstance(optimizer, (LossScaleOptimizer,
                                                                      MultiOptimizer)):
        raise ValueError(f"{where}: expected an Optimizer that is neither a LossScaleOptimizer nor "
                         f"a MultiOptimizer. Received: {optimizer!r}")


class OptimizerMap(MutableMapping):
    """Says which optimizer a weight is updated by: `map[path]`, `map(variable)`.

    Args:
        default_optimizer: The `Optimizer` of all paths that no key matches.
        optimizer_map: A dictionary of optimizers. A key is a whole path or a pattern (regular
            expression) that matches whole paths.

    Raises:
        TypeError: If an argument is not of these kinds.
    """

    def __init__(self, default_optimizer, optimizer_map=None):
        if not isinstance(default_optimizer, Optimizer):
            raise TypeError("OptimizerMap: `default_optimizer` must be an Optimizer. Received: "
                            f"default_optimizer={default_optimizer!r}")
        if optimizer_map is not None and not isinstance(optimizer_map, dict):
            raise TypeError("OptimizerMap: `optimizer_map` must be a dictionary. Received: "
                            f"optimizer_map={optimizer_map!r}")
        self._default_optimizer = default_optimizer
        self._optimizer_map = {}
        for key, optimizer in (optimizer_map or {}).items():
            self[key] = optimizer

    @property
    def default_optimizer(self):
        """The optimizer of all paths that no key matches."""
        return self._default_optimizer

    def __getitem__(self, key):
        if key in self._optimizer_map:
            return self._optimizer_map[key]
        found = [pattern for pattern in self._optimizer_map if re.fullmatch(pattern, key)]
        if len(found) > 1:
            raise ValueError("OptimizerMap: a variable must match one key at most. Received: "
                             f"{key!r}, which matches {found}")
        return self._optimizer_map[found[0]] if found else self._default_optimizer

    def __setitem__(self, key, optimizer):
        if not isinstance(key, str):
            raise ValueError(f"OptimizerMap: keys must be strings. Received: {key!r}")
        if key in self._optimizer_map:
            raise ValueError(f"OptimizerMap: {key!r} already exists. Delete it first.")
        _check_inner(optimizer, "OptimizerMap")
        self._optimizer_map[key] = optimizer

    def __delitem__(self, key):
        del self._optimizer_map[key]

    def __len__(self):
        return len(self._optimizer_map)

    def __iter__(self):
        return iter(self._optimizer_map)

    def __call__(self, variable):
        return self[variable.path]

    def get_config(self):
        """The arguments of `__init__` as a dictionary."""
        from . import serialize

        return {"default_optimizer": serialize(self._default_optimizer),
                "optimizer_map": {key: serialize(o) for key, o in self._optimizer_map.items()}}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The map that `get_config` described."""
        from . import deserialize

        return cls(deserialize(config["default_optimizer"], custom_objects),
                   {key: deserialize(o, custom_objects)
                    for key, o in config["optimizer_map"].items()})


class MultiOptimizer(Optimizer):
    """Gives each weight to the optimizer that is its own. Learning rates are those of `optimizers`.

    Args:
        optimizer_map: An `OptimizerMap`, or a callable that gives the optimizer of a variable.
        loss_scale_factor: Float or `None`: takes the place of that of each optimizer.
        name: Name. Defaults to one made from the class.
    """

    def __init__(self, optimizer_map, loss_scale_factor=None, name=None):
        if not callable(optimizer_map):
            raise ValueError("MultiOptimizer: `optimizer_map` must be an OptimizerMap or a "
                             f"callable. Received: optimizer_map={optimizer_map!r}")
        self._inner_optimizers = []
        super().__init__(0.0, loss_scale_factor=loss_scale_factor, name=name)
        self._optimizer_map = optimizer_map
        if isinstance(optimizer_map, OptimizerMap):
            for optimizer in [*optimizer_map.values(), optimizer_map.default_optimizer]:
                self._add(optimizer)

    def _add(self, optimizer):
        """The place of an optimizer among `optimizers`."""
        for i, other in enumerate(self._inner_optimizers):
            if other is optimizer:
                return i
        _check_inner(optimizer, self.name)
        optimizer.loss_scale_factor = self.loss_scale_factor
        self._inner_optimizers.append(optimizer)
        return len(self._inner_optimizers) - 1

    def build(self, variables):
        if self.built:
            return
        variables = list(variables)
        self._places = [self._add(self._optimizer_map(variable)) for variable in variables]
        for i, optimizer in enumerate(self._inner_optimizers):
            own = [v for v, place in zip(variables, self._places) if place == i]
            if own:
                optimizer.build(own)
        super().build(variables)

    @property
    def optimizers(self):
        """The optimizers, those of the map first."""
        return self._inner_optimizers

    @property
    def variables(self):
        found = self._variables[:]
        for optimizer in self._inner_optimizers:
            found.extend(optimizer.variables)
        return found

    @property
    def iterations(self):
        return self._iterations

    @property
    def learning_rate(self):
        raise AttributeError("A MultiOptimizer has no learning rate of its own; ask one of "
                             "`optimizers` for its.")

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        raise AttributeError("A MultiOptimizer has no learning rate of its own; set that of one of "
                             "`optimizers`.")

    @property
    def loss_scale_factor(self):
        """What the loss is multiplied by, for all optimizers."""
        return self._loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, value):
        self._loss_scale_factor = value
        for optimizer in self._inner_optimizers:
            optimizer.loss_scale_factor = value

    def _settings(self):
        inner = tuple(optimizer._settings() for optimizer in self._inner_optimizers)
        return super()._settings(), inner

    def _groups(self, variables):
        """For each optimizer the places of its weights in `variables`."""
        groups = [[] for _ in self._inner_optimizers]
        for k, variable in enumerate(variables):
            groups[self._places[self._get_variable_index(variable)]].append(k)
        return list(zip(self._inner_optimizers, groups))

    def apply(self, grads, trainable_variables=None):
        grads = list(grads)
        if not grads:
            return
        weights = self._weights(grads, trainable_variables)
        for optimizer, group in self._groups(weights):
            if group:
                optimizer.apply([grads[k] for k in group], [weights[k] for k in group])
        self._iterations.assign_add(1)

    def finalize_variable_values(self, var_list):
        var_list = list(var_list)
        for optimizer, group in self._groups(var_list):
            if group:
                optimizer.finalize_variable_values([var_list[k] for k in group])

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        for optimizer in self._inner_optimizers:
            optimizer.exclude_from_weight_decay(var_list, var_names)

    def get_config(self):
        if not isinstance(self._optimizer_map, OptimizerMap):
            raise NotImplementedError("MultiOptimizer: a callable `optimizer_map` has no "
                                      "configuration. Use an OptimizerMap.")
        config = {"module": "keras.optimizers", "class_name": "OptimizerMap",
                  "config": self._optimizer_map.get_config(), "registered_name": None}
        return {"optimizer_map": config, "loss_scale_factor": self.loss_scale_factor,
                "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        inner = config["optimizer_map"]
        config["optimizer_map"] = OptimizerMap.from_config(inner.get("config", inner),
                                                           custom_objects)
        return cls(**config)
