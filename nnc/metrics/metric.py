"""The base class of metrics: totals kept in variables, updated batch by batch in the step
itself.
"""
import numpy as np

from .. import initializers, tree
from .._core import convert
from ..losses.loss import compute_dtype
from ..naming import auto_name
from ..stateless import apart
from ..variables import Variable


class Metric:
    """Base class: make variables with `add_variable`, override `update_state` and `result`.

    Args:
        dtype: What to compute in: a dtype or a dtype policy. Defaults to `floatx()`.
        name: Name. Defaults to one made from the class.
    """

    def __init__(self, dtype=None, name=None):
        self._variables = []
        self._metrics = []
        self.name = name or auto_name(self.__class__.__name__)
        self._dtype = compute_dtype(dtype)

    def __setattr__(self, name, value):
        if "_metrics" in self.__dict__:
            self._track(value)
        object.__setattr__(self, name, value)

    def _track(self, value):
        """Remembers variables and metrics, in lists and dictionaries too."""
        if isinstance(value, Variable):
            kept = self._variables
        elif isinstance(value, Metric):
            kept = self._metrics
        else:
            parts = value.values() if isinstance(value, dict) else value
            for part in parts if isinstance(value, (list, tuple, dict)) else ():
                self._track(part)
            return
        if all(value is not other for other in kept):
            kept.append(value)

    def _check_super_called(self):
        if "_metrics" not in self.__dict__:
            raise RuntimeError("You forgot to call `super().__init__()` in the `__init__()` method "
                               f"of metric {self.__class__.__name__}.")

    @property
    def dtype(self):
        """The dtype that the metric is computed in."""
        return self._dtype

    @property
    def variables(self):
        """The variables of this metric and of those in it."""
        found = list(self._variables)
        for metric in self._metrics:
            found.extend(metric.variables)
        return found

    def add_variable(self, shape, initializer, dtype=None, aggregation="sum", name=None):
        """A new variable of the state.

        Args:
            shape: Its shape.
            initializer: Its first value: an initializer or the name of one.
            dtype: Its dtype. Defaults to `floatx()`.
            aggregation: How replicas would be brought together.
            name: Its name.
        """
        self._check_super_called()
        variable = Variable(initializers.get(initializer), shape=tuple(shape), dtype=dtype,
                            trainable=False, aggregation=aggregation, synchronization="on_read",
                            name=name)
        variable.path = f"{self.name}/{variable.name}"
        self._track(variable)
        return variable

    def add_weight(self, shape=(), initializer=None, dtype=None, name=None):
        """As `add_variable`; zeros by default."""
        return self.add_variable(shape, "zeros" if initializer is None else initializer, dtype,
                                 name=name)

    def reset_state(self):
        """Sets all variables to 0."""
        for variable in self.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))

    def update_state(self, *args, **kwargs):
        """Takes a batch in."""
        raise NotImplementedError(f"{self.__class__.__name__} must override `update_state()`.")

    def result(self):
        """The value so far."""
        raise NotImplementedError(f"{self.__class__.__name__} must override `result()`.")

    def _apart(self, metric_variables, call):
        values, variables = list(metric_variables), self.variables
        if len(values) != len(variables):
            raise ValueError(f"{self.name}: `metric_variables` must hold a value for each of "
                             f"{len(variables)} variables. Received: {len(values)}")
        return apart(variables, values, call)

    def stateless_update_state(self, metric_variables, *args, **kwargs):
        """The values that `update_state` would leave in `variables`, of values they would have; no
        variable changes.
        """
        return self._apart(metric_variables, lambda: self.update_state(*args, **kwargs))[1]

    def stateless_result(self, metric_variables):
        """What `result` would be, of values that `variables` would have."""
        return self._apart(metric_variables, lambda: tree.map_leaves(convert, self.result()))[0]

    def stateless_reset_state(self):
        """The values of `variables` after `reset_state`; no variable changes."""
        return self._apart(self.variables, self.reset_state)[1]

    def __call__(self, *args, **kwargs):
        """Takes a batch in and gives the value so far."""
        self._check_super_called()
        self.update_state(*args, **kwargs)
        return self.result()

    def get_config(self):
        """The arguments of `__init__` as a dictionary."""
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config):
        """The metric that `get_config` described."""
        return cls(**config)

    def __repr__(self):
        return f"<{self.__class__.__name__} name={self.name}>"
