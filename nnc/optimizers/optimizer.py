"""The base class of optimizers: what happens to gradients before and to weights after each step.

A step is, in this order: gradients divided by the loss scale, (accumulated,) clipped; weights
decayed; each weight and its slots updated by one op of the core; moving averages; constraints; the
step counter. It runs the same way eagerly and recorded in a program.
"""
import re
import warnings

from .. import _core, config, identifiers, initializers, ops
from .._core import Tensor, op
from ..naming import auto_name
from ..ops.core import cast_array
from ..saving.state import fill
from ..stateless import apart
from ..variables import Variable, changes
from .schedules import LearningRateSchedule

BASE_ARGUMENTS = """name: Name. Defaults to one made from the class.
        weight_decay: Float: weights lose this share, times the learning rate, before each step.
        clipnorm: Float: the gradient of each weight is scaled down to this norm.
        clipvalue: Float: elements of gradients are moved into `-clipvalue` to `clipvalue`.
        global_clipnorm: Float: all gradients together are scaled down to this norm.
        use_ema: Whether to keep an exponential moving average of the weights. Defaults to `False`.
        ema_momentum: Float, 0 to 1: the share of the old average that is kept. Defaults to `0.99`.
        ema_overwrite_frequency: Integer: after so many steps the weights become their averages;
            `None`: not before the end of training (`finalize_variable_values`).
        loss_scale_factor: Float: the loss is multiplied by it (`scale_loss`), the gradients
            divided.
        gradient_accumulation_steps: Integer >= 2: weights are updated after so many steps only, by
            the mean of their gradients."""


def documented(cls):
    """Puts the arguments that all optimizers have into the docstring of `cls`."""
    if cls.__doc__:
        cls.__doc__ = cls.__doc__.replace("{base}", BASE_ARGUMENTS)
    return cls


class Optimizer:
    """Base class: override `build`, `update_step` and `get_config`.

    Args:
        learning_rate: Float, a `LearningRateSchedule`, a `Variable`, or a callable without
            arguments that gives the learning rate.
        {base}
    """

    def __init__(self, learning_rate, weight_decay=None, clipnorm=None, clipvalue=None,
                 global_clipnorm=None, use_ema=False, ema_momentum=0.99,
                 ema_overwrite_frequency=None, loss_scale_factor=None,
                 gradient_accumulation_steps=None, name=None, **kwargs):
        if kwargs.pop("decay", None) is not None:
            warnings.warn("Argument `decay` is no longer supported and will be ignored.",
                          stacklevel=3)
        if kwargs:
            raise ValueError(f"{type(self).__name__}: argument(s) not recognized: {kwargs}")
        self.name = name or auto_name(self.__class__.__name__)
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self._check_arguments()
        self.built = False
        self._variables = []
        self._trainable_variables = []
        self._indices = {}
        self._excluded, self._excluded_pattern = frozenset(), None
        with _core.no_trace():
            self._iterations = self.add_variable((), dtype="int64", name="iteration")
        self._learning_rate = self._standardize_learning_rate(learning_rate)

    def __setattr__(self, name, value):
        """A recorded step keeps numbers as they were: who sets one lets it be recorded again."""
        old = self.__dict__.get(name)
        object.__setattr__(self, name, value)
        if self.__dict__.get("built") and old is not value and (
                name[0] != "_" and name in self.__dict__):
            self._version = self.__dict__.get("_version", 0) + 1
            changes[0] += 1

    def _settings(self):
        """What a recorded step depends on besides variables: it changes when a setting does."""
        return self.__dict__.get("_version", 0), id(self._learning_rate)

    def _check_arguments(self):
        """Refuses values that no step could follow."""
        steps, frequency = self.gradient_accumulation_steps, self.ema_overwrite_frequency
        if steps and (not isinstance(steps, int) or steps < 2):
            raise ValueError("`gradient_accumulation_steps` must be an integer >= 2. Received: "
                             f"gradient_accumulation_steps={steps}")
        if self.use_ema and not 0 <= self.ema_momentum <= 1:
            raise ValueError("`ema_momentum` must be in the range [0, 1]. Received: "
                             f"ema_momentum={self.ema_momentum}")
        if self.use_ema and frequency and (not isinstance(frequency, int) or frequency < 1):
            raise ValueError("`ema_overwrite_frequency` must be an integer >= 1 or None. Received: "
                             f"ema_overwrite_frequency={frequency}")
        clips = (self.clipnorm, self.clipvalue, self.global_clipnorm)
        if sum(clip is not None for clip in clips) > 1:
            raise ValueError("Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be "
                             f"set. Received: clipnorm={self.clipnorm}, "
                             f"clipvalue={self.clipvalue}, "
                             f"global_clipnorm={self.global_clipnorm}")

    def _standardize_learning_rate(self, learning_rate):
        if isinstance(learning_rate, (LearningRateSchedule, Variable)) or callable(learning_rate):
            return learning_rate
        if isinstance(learning_rate, bool) or not isinstance(learning_rate, (float, int)):
            raise ValueError("Argument `learning_rate` should be float, or an instance of "
                             "LearningRateSchedule, or a callable (that takes no arguments and "
                             "returns the learning rate). Received instead: "
                             f"learning_rate={learning_rate!r}")
        with _core.no_trace():
            return self.add_variable((), initializers.Constant(float(learning_rate)),
                                     config.floatx(), name="learning_rate")

    # ---- variables ----

    @property
    def variables(self):
        """All variables of the optimizer: the step counter, the learning rate, the slots."""
        return self._variables[:]

    @property
    def iterations(self):
        """How many steps have been taken (with gradient accumulation: how many updates)."""
        if self.gradient_accumulation_steps:
            return op.floor_divide(self._iterations, self.gradient_accumulation_steps)
        return self._iterations

    def add_variable(self, shape, initializer="zeros", dtype=None, aggregation="none", layout=None,
                     name=None):
        """A new variable of the optimizer.

        Args:
            shape: Its shape.
            initializer: Its first value. Defaults to zeros.
            dtype: Its dtype. Defaults to `floatx()`.
            aggregation: How replicas would be brought together.
            layout: Must be `None`: nothing is distributed.
            name: Its name.
        """
        if layout is not None:
            raise ValueError(f"{self.name}: `layout` must be None, nothing is distributed here. "
                             f"Received: layout={layout!r}")
        variable = Variable(initializers.get(initializer), shape=tuple(shape), dtype=dtype,
                            trainable=False, aggregation=aggregation, name=name)
        variable.path = f"{self.name}/{variable.name}"
        self._variables.append(variable)
        return variable

    def add_variable_from_reference(self, reference_variable, name=None, initializer="zeros"):
        """A new variable of the shape and dtype of another, named after it."""
        path = getattr(reference_variable, "path", None) or reference_variable.name
        return self.add_variable(reference_variable.shape, initializer, reference_variable.dtype,
                                 name=f"{path.replace('/', '_')}_{name or 'var'}")

    def add_optimizer_variables(self, trainable_variables, name, initializer="zeros"):
        """A new variable for each weight.

        Args:
            trainable_variables: The weights.
            name: What the slot is called; or a list: several slots a weight.
            initializer: First value, or a list of them for a list of names.

        Returns:
            A list of variables; for a list of names a tuple of lists.
        """
        names = [name] if isinstance(name, str) else list(name)
        several = isinstance(initializer, (list, tuple))
        first = list(initializer) if several else [initializer] * len(names)
        if len(names) != len(first):
            raise ValueError("The number of provided names must match the number of provided "
                             f"initializers. Received: name={name}, initializer={initializer}")
        slots = tuple([] for _ in names)
        for variable in trainable_variables:
            for kept, slot, value in zip(slots, names, first):
                kept.append(self.add_variable_from_reference(variable, slot, value))
        return slots[0] if isinstance(name, str) else slots

    def build(self, variables):
        """Makes the slots for `variables`, the weights that will be trained."""
        variables = list(variables)
        if self.use_ema:
            self._averages = self.add_optimizer_variables(variables, "average")
        if self.gradient_accumulation_steps:
            self._accumulated = self.add_optimizer_variables(variables, "gradient_accumulator")
        self._indices = {id(variable): i for i, variable in enumerate(variables)}
        self._trainable_variables = variables
        self.built = True

    def _build_whole(self, variables):
        """As `build`; if it fails (no memory), as if it had not been called."""
        kept = self._variables[:]
        try:
            with _core.no_trace():
                self.build(variables)
        except BaseException:
            self.built, self._variables = False, kept
            raise

    def __setstate__(self, state):
        """After `copy` and `pickle` the weights are other objects."""
        self.__dict__.update(state)
        self._indices = {id(variable): i for i, variable in enumerate(self._trainable_variables)}

    def _get_variable_index(self, variable):
        return self._indices[id(variable)]

    def assign(self, variable, value):
        """Sets a variable."""
        variable.assign(cast_array(value, variable.dtype))

    def assign_add(self, variable, value):
        """Adds to a variable."""
        variable.assign_add(cast_array(value, variable.dtype))

    def assign_sub(self, variable, value):
        """Subtracts from a variable."""
        variable.assign_sub(cast_array(value, variable.dtype))

    # ---- one step ----

    def apply_gradients(self, grads_and_vars):
        """One step, of pairs of a gradient and its weight; gives the step counter."""
        pairs = list(grads_and_vars)
        self.apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])
        return self._iterations

    def apply(self, grads, trainable_variables=None):
        """One step.

        Args:
            grads: A gradient for each weight; `None` leaves its weight alone, with a warning.
            trainable_variables: The weights. Defaults to those that the optimizer was built with.
        """
        grads = list(grads)
        if not grads:
            return
        grads, variables = self._with_gradients(grads, self._weights(grads, trainable_variables))
        if self.loss_scale_factor is not None:
            grads = [op.divide(gradient, float(self.loss_scale_factor)) for gradient in grads]
        if self.gradient_accumulation_steps:
            self._accumulate(grads, variables)
        else:
            self._update(grads, variables)
        if self.use_ema:
            self._update_averages()
        for variable in variables:
            constraint = getattr(variable, "constraint", None)
            if constraint is not None:
                variable.assign(constraint(variable))
        self._iterations.assign_add(1)

    def stateless_apply(self, optimizer_variables, grads, trainable_variables):
        """One step that changes no variable.

        Args:
            optimizer_variables: A value for each of `variables`.
            grads: A gradient for each weight.
            trainable_variables: A value for each weight that the optimizer was built with.

        Returns:
            The new values of the weights and of `variables`, two lists.
        """
        if not self.built:
            raise ValueError(f"{self.name}: to call `stateless_apply` the optimizer must be built. "
                             "Call `optimizer.build(trainable_variables)` first.")
        weights, own = self._all_trainable(), self.variables
        values, state = list(trainable_variables), list(optimizer_variables)
        for name, given, wanted in (("optimizer_variables", state, own),
                                    ("trainable_variables", values, weights)):
            if len(given) != len(wanted):
                raise ValueError(f"{self.name}: `stateless_apply` expected {len(wanted)} values in "
                                 f"`{name}`, one a variable. Received: {len(given)}")
        new = apart(weights + own, values + state, lambda: self.apply(grads, weights))[1]
        return new[:len(weights)], new[len(weights):]

    def _all_trainable(self):
        return list(self._trainable_variables)

    def _weights(self, grads, trainable_variables):
        if trainable_variables is None:
            if not self.built:
                raise ValueError("When passing `grads` without `variables`, the optimizer must "
                                 "already be built on a list of variables. Call "
                                 "`optimizer.build(trainable_variables)` "
                                 "first.")
            variables = self._trainable_variables
        else:
            variables = list(trainable_variables)
            if not self.built:
                self._build_whole(variables)
            for variable in variables:
                if id(variable) not in self._indices:
                    raise ValueError(f"Unknown variable: {variable}. This optimizer can only be "
                                     "called for the variables it was originally built with. For "
                                     "other variables make a new optimizer.")
        if len(grads) != len(variables):
            raise ValueError(f"{self.name}: expected a gradient for each of {len(variables)} "
                             f"variables. Received: {len(grads)} gradients")
        return variables

    def _with_gradients(self, grads, variables):
        """The pairs whose gradient is not `None`."""
        kept = [(g, v) for g, v in zip(grads, variables) if g is not None]
        if not kept:
            raise ValueError("No gradients provided for any variable.")
        if len(kept) < len(grads):
            missing = [getattr(v, "path", v.name) for g, v in zip(grads, variables) if g is None]
            warnings.warn(f"Gradients do not exist for variables {missing} when minimizing the "
                          "loss. If using `model.compile()`, did you forget to provide a `loss` "
                          "argument?",
                          stacklevel=4)
        return [cast_array(g, v.dtype) for g, v in kept], [v for _, v in kept]

    def _update(self, grads, variables):
        """Clips, decays and updates."""
        grads = self._clip_gradients(grads)
        learning_rate = self.learning_rate
        for variable in variables:
            decay = self._decay_of(variable)
            if decay is not None and self._use_weight_decay(variable):
                op.decay_weights(variable, learning_rate, float(decay))
        self._before_update(variables, learning_rate)
        for gradient, variable in zip(grads, variables):
            self.update_step(gradient, variable, learning_rate)

    def _decay_of(self, variable):
        """The share that `variable` loses, times the learning rate; `None`: nothing."""
        return self.weight_decay

    def _before_update(self, variables, learning_rate):
        """What happens once a step, before any weight is updated."""

    def update_step(self, gradient, variable, learning_rate):
        """Updates one weight and its slots."""
        raise NotImplementedError(f"{type(self).__name__} must override `update_step()`.")

    def _accumulate(self, grads, variables):
        """Adds gradients up; in every n-th step updates by their mean and begins again."""
        steps = self.gradient_accumulation_steps
        due = op.equal(op.mod(op.add(self._iterations, 1), steps), 0)
        sums = [self._accumulated[self._get_variable_index(v)] for v in variables]
        for total, gradient in zip(sums, grads):
            total.assign_add(gradient)

        def update():
            self._update([op.divide(total, float(steps)) for total in sums], variables)
            for total in self._accumulated:     # of a weight without a gradient now too
                total.assign(ops.zeros_like(total))
        ops.cond(due, update, lambda: None)

    # ---- gradients ----

    def _clip_gradients(self, grads):
        if self.clipnorm and self.clipnorm > 0:
            return [self._clip_by_norm(gradient) for gradient in grads]
        if self.global_clipnorm and self.global_clipnorm > 0:
            return self._clip_by_global_norm(grads)
        if self.clipvalue and self.clipvalue > 0:
            return [ops.clip(gradient, -float(self.clipvalue), float(self.clipvalue))
                    for gradient in grads]
        return grads

    def _clip_by_norm(self, gradient):
        limit = float(self.clipnorm)
        norm = op.sqrt(ops.sum(op.square(gradient)))
        return op.divide(op.multiply(gradient, limit), op.maximum(norm, limit))

    def _clip_by_global_norm(self, grads):
        limit = float(self.global_clipnorm)
        squares = [cast_array(ops.sum(op.square(gradient)), "float32") for gradient in grads]
        norm = op.sqrt(ops.sum(ops.stack(squares)))
        scale = op.multiply(op.minimum(op.reciprocal(norm), 1.0 / limit), limit)
        scale = op.add(scale, op.subtract(norm, norm))      # NaN if the norm is not finite
        return [op.multiply(gradient, cast_array(scale, gradient.dtype)) for gradient in grads]

    def scale_loss(self, loss):
        """The loss that gradients are to be taken of."""
        if self.loss_scale_factor is None:
            return loss
        return op.multiply(loss, float(self.loss_scale_factor))

    # ---- weight decay ----

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Names weights that do not decay; to be called before `build`.

        Args:
            var_list: Weights.
            var_names: Patterns (regular expressions) that their names are searched for.
        """
        if self.built:
            raise ValueError("`exclude_from_weight_decay()` can only be configured before the "
                             "optimizer is built.")
        self._excluded = frozenset(id(variable) for variable in var_list or ())
        self._excluded_pattern = re.compile("|".join(var_names)) if var_names else None

    def _use_weight_decay(self, variable):
        return id(variable) not in self._excluded and not (
            self._excluded_pattern and self._excluded_pattern.search(variable.name))

    # ---- moving averages ----

    def _update_averages(self):
        momentum = op.multiply(cast_array(op.not_equal(self.iterations, 0), "float32"),
                               self.ema_momentum)
        due = None
        if self.ema_overwrite_frequency:
            due = op.equal(op.mod(op.add(self.iterations, 1), self.ema_overwrite_frequency), 0)
        for variable, average in zip(self._trainable_variables, self._averages):
            share = cast_array(momentum, variable.dtype)
            average.assign(op.add(op.multiply(average, share),
                                  op.multiply(variable, op.subtract(1.0, share))))
            if due is not None:
                variable.assign(op.where(due, average, variable))

    def finalize_variable_values(self, var_list):
        """Sets weights to their moving averages, if those are kept."""
        if self.use_ema:
            if len(var_list) != len(self._averages):
                raise ValueError(f"{self.name}: expected the {len(self._averages)} variables that "
                                 f"the optimizer was built with. Received: {len(var_list)}")
            for variable, average in zip(var_list, self._averages):
                variable.assign(op.copy(average))

    # ---- learning rate ----

    @property
    def learning_rate(self):
        """The learning rate of this step: a `Variable`, or a tensor for a schedule."""
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            return rate(self._iterations)
        if isinstance(rate, Variable):
            return rate
        value = rate()
        if not isinstance(value, (Tensor, _core.Variable)):
            if _core.current_graph() is not None:
                raise _core.TraceError(f"{self.name}: `learning_rate` is a callable that gives a "
                                       "number, which a recorded step would keep for ever.")
            value = Tensor(float(value), config.floatx())
        return value

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        if isinstance(learning_rate, LearningRateSchedule) or (
                callable(learning_rate) and not isinstance(learning_rate, _core.Variable)):
            self._variables = [v for v in self._variables if v is not self._learning_rate]
            self._learning_rate = learning_rate
        elif isinstance(self._learning_rate, LearningRateSchedule):
            raise TypeError("This optimizer was created with a `LearningRateSchedule` object as "
                            "its `learning_rate` constructor argument, hence its learning rate is "
                            "not settable. If you need the learning rate to be settable, you "
                            "should instantiate the optimizer with a float `learning_rate` "
                            "argument.")
        elif isinstance(self._learning_rate, Variable):
            self._learning_rate.assign(learning_rate)
        else:
            self._learning_rate = self._standardize_learning_rate(learning_rate)

    # ---- values and configuration ----

    def set_weights(self, weights):
        """Sets all variables of the optimizer, in the order of `variables`."""
        if not self.built:
            raise ValueError("You are calling `set_weights()` on an optimizer that has not yet "
                             "been built. Please call `optimizer.build(trainable_variables)` "
                             "first.")
        weights = list(weights)
        if len(weights) != len(self.variables):
            raise ValueError(f"{self.name}: expected {len(self.variables)} arrays, one a "
                             f"variable. Received: {len(weights)}")
        for variable, weight in zip(self.variables, weights):
            if tuple(variable.shape) != tuple(getattr(weight, "shape", ())):
                raise ValueError(f"Optimizer variable {variable.path} has shape "
                                 f"{tuple(variable.shape)} not "
                                 f"compatible with provided weight shape {tuple(weight.shape)}.")
        for variable, weight in zip(self.variables, weights):
            variable.assign(weight)

    def get_weights(self):
        """The values of all variables of the optimizer, as NumPy arrays."""
        return [variable.numpy() for variable in self.variables]

    def save_own_variables(self, store):
        """Writes the variables into a mapping, under their numbers."""
        for i, variable in enumerate(self.variables):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store):
        """Reads the variables from such a mapping; warns and reads none if their number differs."""
        if len(store) != len(self.variables):
            warnings.warn(f"Skipping variable loading for optimizer '{self.name}', because it has "
                          f"{len(self.variables)} variables whereas the saved optimizer has "
                          f"{len(store)} "
                          "variables.", stacklevel=2)
            return
        for i, variable in enumerate(self.variables):
            fill(variable, store, str(i))

    def get_config(self):
        """The arguments of `__init__` as a dictionary."""
        rate = self._learning_rate
        if isinstance(rate, Variable):
            rate = float(rate.numpy())
        else:
            rate = identifiers.serialize(rate)
        return {"name": self.name, "learning_rate": rate, "weight_decay": self.weight_decay,
                "clipnorm": self.clipnorm, "global_clipnorm": self.global_clipnorm,
                "clipvalue": self.clipvalue, "use_ema": self.use_ema,
                "ema_momentum": self.ema_momentum,
                "ema_overwrite_frequency": self.ema_overwrite_frequency,
                "loss_scale_factor": self.loss_scale_factor,
                "gradient_accumulation_steps": self.gradient_accumulation_steps}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The optimizer that `get_config` described."""
        if isinstance(config.get("learning_rate"), dict):
            from . import schedules

            rate = schedules.deserialize(config["learning_rate"], custom_objects)
            config = dict(config, learning_rate=rate)
        return cls(**config)


documented(Optimizer)
