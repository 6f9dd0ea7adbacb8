"""The base class of layers: weights, nested layers, losses, and what happens around `call`.

A call goes through these steps: arrays become tensors of the layer's dtype, the input is checked,
weights are made if this is the first call, `training` and masks that were not given are filled in,
`call` runs, losses and masks are noted. `_plain` layers (see `Layer._plain`) need none of it once
they are built: a model calls their `call` directly.

Variables, layers and metrics are found where they are: in attributes, and in lists, tuples and
dicts there.
"""
import contextlib
import functools
import inspect
import threading

import numpy as np

from .. import _core, constraints, dtype_policies, initializers, regularizers, tree
from .._core import Tensor, op
from ..metrics.metric import Metric
from ..naming import auto_name, current_path, name_scope
from ..ops.bodies import in_reach, loss_is_within
from ..ops.core import _FLOATS, standardize_dtype
from ..ops.keras_tensor import _holds_symbol
from ..ops.operation import Node, Operation, fresh, traced_spec
from ..random.seed_generator import SeedGenerator
from ..rematerialization import get_current_remat_mode, rematerialized
from ..saving.saveable import LayerFiles
from ..saving.state import may_wait, wait
from ..stateless import collect_loss
from ..utils.text import suggest
from ..variables import Variable, changes
from .arrays import entering, numeric_array
from .input_spec import assert_input_compatibility
from .keras_tensor import KerasTensor, standardize_shape
from .nests import (_add_once, _collect, _flatten, _has_mask, _holds_arrays, _is_data, _mask_of,
                    _placeholders)
from .quantization import LayerQuantization
from .signature import signature_of


class _Context(threading.local):
    """The calls that this thread is in: how deep, and what `training` is."""

    depth = 0
    training = None


context = _Context()
#: [0]: whether any layer has called add_loss.
added_losses = [False]
# Attributes that neither hold state nor say how `call` computes.
_SILENT = frozenset(("built", "history", "stop_training", "stop_evaluating", "stop_predicting",
                     "_losses", "_build_shapes", "_path", "_output_shape", "_building",
                     "_new", "_inbound_nodes"))


class reading_as:
    """Variables are read in `dtype` (`None`: as they are) by what runs within."""

    __slots__ = "dtype", "outer"

    def __init__(self, dtype):
        self.dtype = dtype

    def __enter__(self):
        self.outer = _core.set_autocast(self.dtype)

    def __exit__(self, *exception):
        _core.set_autocast(self.outer)


def _build_wrapper(build):
    """`build` within the layer's name scope; afterwards the layer counts as built."""
    @functools.wraps(build)
    def wrapped(self, *args, **kwargs):
        if self.__dict__.get("_building"):
            return build(self, *args, **kwargs)             # from a derived class's `build`
        self._building = True
        try:
            with name_scope(self.name), _core.no_trace(), reading_as(None):
                self._path = current_path()
                result = build(self, *args, **kwargs)
        finally:
            self._building = False
        names = list(inspect.signature(build).parameters)[1:]
        self._build_shapes = {**dict(zip(names, args)), **kwargs}
        self.built = True
        return result
    wrapped._nnc_wrapped = True
    return wrapped


class Layer(LayerFiles, LayerQuantization, Operation):
    """Base class: override `call`, and `build` if there are weights that depend on the input's
    shape.

    Args:
        activity_regularizer: Regularizer of the output.
        trainable: Whether the weights are trained. Defaults to `True`.
        dtype: A dtype or a `DTypePolicy`. Defaults to the global policy.
        autocast: Whether floating-point inputs are cast to the layer's dtype. Defaults to `True`.
        name: Name. Defaults to one made from the class.

    `input_shape`, `input_dim` and `batch_input_shape` are taken from the first layer of a
    `Sequential`.
    """

    #: Whether `call(inputs)` or `call(inputs, training)` is all there is to a call of a built
    #: layer: neither masks nor losses arise, and each row of the output depends on that row of the
    #: input only.
    _plain = False
    _remat_mode = None
    _new = True                 # no call has been made
    _takes_remat = True         # models leave it to their layers
    _given_on = False           # whether its layers get what it is given as it is

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        build = cls.__dict__.get("build")
        if build is not None and not hasattr(build, "_nnc_wrapped"):
            cls.build = _build_wrapper(build)
        # What derives from a plain layer and changes it is not known to be plain.
        if "_plain" not in cls.__dict__ and ("call" in cls.__dict__ or "__call__" in cls.__dict__):
            cls._plain = False

    def __init__(self, *, activity_regularizer=None, trainable=True, dtype=None, autocast=True,
                 name=None, **kwargs):
        if name is not None and (not isinstance(name, str) or "/" in name):
            raise ValueError(f"{type(self).__name__}: `name` must be a string without the "
                             f"character '/'. Received: name={name!r}")
        if not isinstance(trainable, bool):
            raise ValueError("Expected `trainable` to be a boolean. Received: "
                             f"trainable={trainable!r} (of type {type(trainable).__name__})")
        values = self.__dict__
        values["_version"] = 0
        values["name"] = name or auto_name(type(self).__name__)
        values["_own_variables"] = []
        values["_inbound_nodes"] = []
        values["_losses"] = []
        values["_trainable"] = trainable
        values["built"] = False
        values["_building"] = False
        values["_build_shapes"] = None
        values["_path"] = None
        mode = get_current_remat_mode()
        if self._takes_remat and mode is not None and mode.mode is not None:
            values["_remat_mode"], values["_plain"] = mode, False
        self.autocast = autocast
        self.input_spec = None
        self.supports_masking = type(self).compute_mask is not Layer.compute_mask
        self._dtype_policy = dtype_policies.get(dtype)
        self._signature = signature_of(type(self), self.call)
        self._take_shape_arguments(kwargs)
        self.activity_regularizer = regularizers.get(activity_regularizer)

    def _take_shape_arguments(self, kwargs):
        """`input_shape` and its kin of older scripts; refuses everything else."""
        dim, batch_size = kwargs.pop("input_dim", None), kwargs.pop("batch_size", None)
        shape, batch_shape = kwargs.pop("input_shape", None), kwargs.pop("batch_input_shape", None)
        if kwargs:
            known = [p.name for p in inspect.signature(type(self)).parameters.values()
                     if p.kind == p.KEYWORD_ONLY or p.kind == p.POSITIONAL_OR_KEYWORD]
            known += ["activity_regularizer", "trainable", "dtype", "autocast", "name",
                      "input_shape"]
            wrong = next(iter(kwargs))
            raise ValueError(f"Unrecognized keyword arguments passed to {type(self).__name__}: "
                             f"{kwargs}; {suggest(wrong, known)}")
        if dim is not None:
            shape = (dim,)
        if batch_shape is None and shape is not None:
            shape = (shape,) if isinstance(shape, int) else shape
            batch_shape = (batch_size, *shape)
        self._batch_shape_argument = None if batch_shape is None else standardize_shape(batch_shape)

    def __setattr__(self, name, value):
        values = self.__dict__
        if "_version" not in values:
            raise RuntimeError(f"In layer '{type(self).__name__}', `super().__init__()` must be "
                               "the first statement of `__init__()`.")
        object.__setattr__(self, name, value)
        if name not in _SILENT:
            values["_version"] += 1
            changes[0] += 1
            if isinstance(value, Variable) and all(value is not v
                                                   for v in values["_own_variables"]):
                value.__dict__.setdefault("_trained_first", value.trainable)
                values["_own_variables"].append(value)

    def __delattr__(self, name):
        value = self.__dict__.get(name)
        if isinstance(value, Variable):
            self._own_variables[:] = [v for v in self._own_variables if v is not value]
        self.__dict__["_version"] += 1
        changes[0] += 1
        object.__delattr__(self, name)

    # ---- what belongs to the layer ----

    #: Attributes in which nothing is looked for: they point to others, or are told otherwise.
    _UNTRACKED = frozenset((
        "_own_variables", "_losses", "_dtype_policy", "_signature", "input_spec", "_build_shapes",
        "_found", "_flat", "_loss_tracker", "_compile_metrics", "_compile_loss",
        "_compile_arguments", "_programs", "_fast", "_last_results", "_eager_kinds", "_ready",
        "_repeated", "optimizer", "loss", "history", "_inbound_nodes"))

    def _parts(self, kind):
        """The objects of a kind in the attributes, in their order, each once.

        What was found is kept until a layer changes or a variable is made anywhere: whatever is put
        into a list afterwards was made afterwards.
        """
        kept = self.__dict__.get("_found")
        if kept is None or kept[0] != changes[0]:
            kept = self.__dict__["_found"] = (changes[0], {})
        found = kept[1].get(kind)
        if found is None:
            found, seen = kept[1].setdefault(kind, []), set()
            for name, value in self.__dict__.items():
                if name not in self._UNTRACKED:
                    _collect(value, kind, found, seen)
        return found

    @property
    def _sublayers(self):
        return self._parts(Layer)

    def _flatten_layers(self, include_self=True):
        """The layer and those in it, each once, from the outside in."""
        kept = self.__dict__.get("_flat")
        if kept is None or kept[0] != changes[0]:
            kept = self.__dict__["_flat"] = (changes[0], _flatten(self))
        return kept[1] if include_self else kept[1][1:]

    @property
    def weights(self):
        """All weights: the layer's own, trained ones first, then those of the layers in it."""
        found = self._own_in_order()
        seen = set(map(id, found))
        for layer in self._sublayers:
            for variable in layer.weights:
                _add_once(variable, found, seen)
        return found

    @property
    def variables(self):
        """All variables but those of metrics: weights and the states of random generators."""
        found = self._own_in_order() + [one.state for one in self._parts(SeedGenerator)]
        seen = set(map(id, found))
        for layer in self._sublayers:
            for variable in layer.variables:
                _add_once(variable, found, seen)
        return found

    @property
    def trainable_weights(self):
        """Weights that training changes."""
        return [v for v in self.weights if v.trainable] if self._trainable else []

    @property
    def non_trainable_weights(self):
        """Weights that training does not change."""
        return [v for v in self.weights if not v.trainable] if self._trainable else self.weights

    @property
    def trainable_variables(self):
        """Variables that training changes."""
        return [v for v in self.variables if v.trainable] if self._trainable else []

    @property
    def non_trainable_variables(self):
        """Variables that training does not change."""
        return [v for v in self.variables if not v.trainable] if self._trainable else self.variables

    @property
    def metrics(self):
        """The metrics of the layer and of those in it."""
        found = []
        for layer in self._flatten_layers():
            found.extend(layer._parts(Metric))
        return found

    @property
    def metrics_variables(self):
        """The variables of `metrics`."""
        return [v for metric in self.metrics for v in metric.variables]

    @property
    def trainable(self):
        """Whether the weights are trained. Setting it sets it for the layers in this one too."""
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        value = bool(value)
        self._trainable = value
        for variable in self._own_variables:
            if variable.__dict__.get("_was_trainable", variable.trainable):
                variable._was_trainable = True
                variable.trainable = value
        for layer in self._sublayers:
            layer.trainable = value

    # ---- dtypes ----

    @property
    def dtype_policy(self):
        """The dtype policy."""
        return self._dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, value):
        policy, own = dtype_policies.get(value), self._dtype_policy
        if own._is_map and not policy._is_map and self._path:
            if self._path in own:
                del own[self._path]
            own[self._path] = policy
            self._dtype_policy = own            # the layer has changed
        else:
            self._dtype_policy = policy

    @property
    def _own_policy(self):
        """The policy that counts for this layer: of a map, the one of its path."""
        policy = self._dtype_policy
        return policy[self._path] if policy._is_map and self._path else policy

    @property
    def dtype(self):
        """The dtype of the weights."""
        return self._own_policy.variable_dtype

    variable_dtype = dtype

    @property
    def compute_dtype(self):
        """The dtype of computations and of the output."""
        return self._own_policy.compute_dtype

    @property
    def input_dtype(self):
        """The dtype that inputs are converted to."""
        return self.compute_dtype

    def _reading(self):
        """The dtype in which the layer's variables are read, `None`: as they are."""
        dtype, own = self.compute_dtype, self.variable_dtype
        return dtype if dtype != own and self.autocast and dtype in _FLOATS else None

    @property
    def path(self):
        """The layer's path: its name below those of the layers around it."""
        return self._path

    @property
    def output_shape(self):
        """The output's shape where the layer stands in a model whose input shape is known."""
        shape = self.__dict__.get("_output_shape")
        if shape is None:
            raise AttributeError(f"Layer '{self.name}' has no defined output shape yet.")
        return shape

    # ---- weights ----

    def add_weight(self, shape=None, initializer=None, dtype=None, trainable=True, autocast=True,
                   regularizer=None, constraint=None, aggregation="none",
                   overwrite_with_gradient=False, name=None):
        """A new weight of the layer.

        Args:
            shape: Its shape. Defaults to `()`.
            initializer: Its first value. Defaults to `"glorot_uniform"` (zeros for whole numbers).
            dtype: Its dtype. Defaults to the layer's.
            trainable: Whether it is trained. Defaults to `True`.
            autocast: See `Variable`.
            regularizer: What its penalty is.
            constraint: What it is mapped by after each step.
            aggregation: See `Variable`.
            overwrite_with_gradient: Must be `False`: no weight becomes its own gradient here.
            name: Its name.
        """
        if isinstance(shape, str):
            raise ValueError("add_weight: `name` must be passed as a keyword argument. "
                             f"Received: add_weight({shape!r}, ...)")
        if overwrite_with_gradient:
            raise ValueError("add_weight: `overwrite_with_gradient=True` is for float8 training, "
                             "which does not exist here.")
        dtype = self.variable_dtype if dtype is None else standardize_dtype(dtype)
        if initializer is None:
            initializer = "glorot_uniform" if dtype in _FLOATS else "zeros"
        inside = current_path().rpartition("/")[2] == self.name     # as within `build`
        initializer, shape = initializers.get(initializer), () if shape is None else shape
        waits = may_wait(self, initializer, shape)
        with contextlib.nullcontext() if inside else name_scope(self.name):
            variable = Variable(_core.zeros if waits else initializer, shape, dtype, trainable,
                                autocast, aggregation, name=name)
        if waits:
            wait(variable, initializer)
        variable.regularizer = regularizers.get(regularizer)
        variable.constraint = constraints.get(constraint)
        if not self._trainable and trainable:
            variable._was_trainable = True
            variable.trainable = False
        variable._trained_first = bool(trainable)       # wherever it is listed, from now on
        self._own_variables.append(variable)
        self.__dict__["_version"] += 1
        changes[0] += 1
        return variable

    add_variable = add_weight

    def get_weights(self):
        """The weights' values as a list of NumPy arrays (copies)."""
        return [variable.numpy() for variable in self.weights]

    def set_weights(self, weights):
        """Sets all weights, in the order of `get_weights()`.

        Raises:
            ValueError: If there are too few or too many, or one has another shape; then none is
                changed.
        """
        variables, weights = self.weights, list(weights)
        if len(variables) != len(weights):
            raise ValueError(f"You called `set_weights(weights)` on layer '{self.name}' with a "
                             f"weight list of length {len(weights)}, but the layer was expecting "
                             f"{len(variables)} weights.")
        arrays = []
        for variable, weight in zip(variables, weights):
            array = numeric_array(weight, f"set_weights: the value for weight '{variable.path}'")
            if array.shape != tuple(variable.shape):
                raise ValueError(f"Layer '{self.name}': weight '{variable.path}' has shape "
                                 f"{tuple(variable.shape)}, which is not compatible with the "
                                 f"provided weight shape {array.shape}.")
            arrays.append(array)
        for variable, array in zip(variables, arrays):
            variable.assign(array)

    def count_params(self):
        """How many numbers the weights hold."""
        if not self.built:
            raise ValueError(f"You tried to call `count_params` on layer '{self.name}', but the "
                             "layer isn't built. You can build it manually via: "
                             "`layer.build(input_shape)`.")
        return sum(variable.size for variable in self.weights)

    # ---- building ----

    def build(self, input_shape):
        """Makes the weights, for inputs of a shape. Override it; `None` are sizes not known."""
        self.built = True

    def build_from_config(self, config):
        """Builds the layer as one that `get_build_config` described was built."""
        shape = config.get("input_shape") if config else None
        if shape is not None:
            self.build(tuple(shape))
        elif config and "shapes_dict" in config:
            self.build(**config["shapes_dict"])

    def get_build_config(self):
        """What `build` was called with, or `None`."""
        shapes = self._build_shapes
        if not shapes:
            return None
        if len(shapes) == 1:
            return {"input_shape": next(iter(shapes.values()))}
        return {"shapes_dict": dict(shapes)}

    def _build_at_init(self):
        """For layers without weights that depend on shapes."""
        self.built = True

    def _build_for(self, args, kwargs):
        """Builds the layer for these arguments of a call."""
        given = {**dict(zip(self._signature.names, args)), **kwargs}
        shapes = {name: tree.map_leaves(lambda x: tuple(x.shape), value)
                  for name, value in given.items()
                  if _is_data(value) and name not in ("mask", "training")}
        wanted = list(inspect.signature(self.build).parameters)
        if len(wanted) <= 1 or len(shapes) <= 1:
            self.build(next(iter(shapes.values()), None))
            return
        for name in wanted:
            if not name.endswith("_shape") or name[:-6] not in self._signature.known:
                raise ValueError(f"Layer '{self.name}': the arguments of a `build()` with more "
                                 "than one must be named as those of `call()` with `_shape` "
                                 f"behind. Received: build argument `{name}`")
        self.build(**{name: shapes[name[:-6]] for name in wanted if name[:-6] in shapes})

    # ---- calling ----

    def _first_call(self, call, args, kwargs):
        """A call that may make weights of the layer and of layers within: with paths below it."""
        if not self.built:
            self._build_for(args, kwargs)
            self.built = True
        self._new = False
        if self.__dict__.get("_building"):
            return call(self, *args, **kwargs)
        with name_scope(self.name):
            self._path = self._path or current_path()
            return call(self, *args, **kwargs)

    def call(self, *args, **kwargs):
        """What the layer computes. Override it."""
        raise NotImplementedError(f"Layer {type(self).__name__} does not have a `call()` method "
                                  "implemented.")

    def __call__(self, *args, **kwargs):
        """Computes the layer's output. See the head of this file for the steps."""
        if "_signature" not in self.__dict__:
            raise RuntimeError(f"In layer '{type(self).__name__}', `super().__init__()` must be "
                               "the first statement of `__init__()`.")
        signature, policy = self._signature, self._dtype_policy
        if policy._is_map:
            policy = self._own_policy
        dtype = policy.compute_dtype
        if len(args) != 1 or type(args[0]) is not Tensor:
            args = [self._convert(value, True) for value in args]
        elif self.autocast and not self._given_on:
            args = (_core.floats_as(args[0], dtype),)
        if kwargs:
            kwargs = {name: self._convert(value, False) for name, value in kwargs.items()}
            if len(args) == 0 and signature.names and signature.names[0] in kwargs:
                args = [kwargs.pop(signature.names[0])]
        first = args[0] if args else None
        if _holds_symbol(args) or _holds_symbol(kwargs.values()):
            return self._symbolic_call(args, kwargs)
        if self.input_spec is not None:
            assert_input_compatibility(self.input_spec, first, self.name)
        if self._new or not self.built:
            return self._first_call(Layer.__call__, args, kwargs)
        kwargs, training, mask = self._fill_in(signature, args, kwargs)
        outer = context.training
        if context.depth == 0 and added_losses[0]:
            self._clear_losses()
        context.depth += 1
        context.training = training
        call = self.call
        if self._remat_mode is not None:
            call = self.rematerialized_call(call, *args, **kwargs)
        reading = _core.set_autocast(dtype if dtype != policy.variable_dtype and self.autocast
                                     and dtype in _FLOATS else None)
        try:
            outputs = call(*args, **kwargs)
        finally:
            _core.set_autocast(reading)
            context.depth -= 1
            context.training = outer
        if self.activity_regularizer is not None:
            self._regularize(outputs)
        if mask is not None or self.supports_masking:
            self._pass_mask(first, outputs, mask)
        return outputs

    def rematerialized_call(self, layer_call, *args, **kwargs):
        """`layer_call`, computed again in the backward pass if the `RematScope` in which the layer
        was made says so."""
        return layer_call if self._remat_mode is None else rematerialized(self, layer_call)

    def stateless_call(self, trainable_variables, non_trainable_variables, *args,
                       return_losses=False, **kwargs):
        """The output for these values of the variables; the layer's own stay as they are.

        Args:
            trainable_variables: Values, in the order of `trainable_variables`.
            non_trainable_variables: Values, in the order of `non_trainable_variables`.
            *args, **kwargs: Arguments of the call.
            return_losses: Whether `losses` are returned too.

        Returns:
            Outputs, the new values of the non-trainable variables, and, if asked for, the losses.

        Gradients flow to the values of trainable variables.
        """
        from .stateless import stateless_call

        return stateless_call(self, trainable_variables, non_trainable_variables, args,
                              return_losses, kwargs)

    def _fill_in(self, signature, args, kwargs):
        """The keyword arguments of `call` with `training` and `mask`; and what these are."""
        training = kwargs.pop("training", None) if kwargs else None
        if len(args) > 1:
            given = dict(zip(signature.names, args))
            training = given.get("training", training)
            taken = "training" in given
            mask = given.get("mask")
        else:
            taken, mask = False, None
        if training is None:
            training = context.training
            if training is None:
                training = signature.training_default
        mask = kwargs.get("mask", mask) if kwargs else mask
        if mask is None and args:
            mask = _mask_of(args[0])
        if not kwargs and not (signature.training and training is not None and not taken) \
                and (mask is None or not signature.mask):
            return {}, training, mask
        kwargs = dict(kwargs)
        if signature.training and training is not None and not taken:
            kwargs["training"] = training
        if signature.mask and mask is not None and "mask" not in dict(zip(signature.names, args)):
            kwargs["mask"] = mask
        elif not signature.mask:
            kwargs.pop("mask", None)
        return kwargs, training, mask

    def _convert(self, value, positional):
        """An argument as the layer computes with it."""
        if type(value) is Tensor:
            return _core.floats_as(value, self.compute_dtype) if self.autocast else value
        if value is None or isinstance(value, (bool, str, KerasTensor, _core.Variable)):
            return value
        if isinstance(value, (list, tuple)) and value and not _holds_arrays(value) and positional:
            value = numeric_array(value, f"Layer '{self.name}': the input")
        if isinstance(value, (list, tuple, dict)):
            return tree.map_leaves(lambda leaf: self._convert(leaf, False), value)
        if hasattr(value, "__array__"):
            array = numeric_array(value, f"Layer '{self.name}': the input")
            floating = array.dtype.kind == "f" and self.autocast
            return entering(array, self.compute_dtype if floating else None)
        if positional and isinstance(value, (int, float)):
            return _core.convert(float(value), self.compute_dtype)
        if positional:
            raise ValueError(f"Layer '{self.name}': only tensors and arrays may be passed as "
                             f"positional arguments. Received: {value!r} (of type "
                             f"{type(value).__name__})")
        return value

    def _symbolic_call(self, args, kwargs):
        """The call on KerasTensors: builds the layer, gives KerasTensors."""
        first = args[0] if args else None
        self._refuse_strings(args, kwargs)
        kwargs = {name: value for name, value in kwargs.items() if value is not None}
        if self.input_spec is not None:
            assert_input_compatibility(self.input_spec, first, self.name)
        if self._new or not self.built:
            return self._first_call(Layer.symbolic_call, args, kwargs)
        outputs = fresh(self.compute_output_spec(*args, **kwargs))
        noted = kwargs
        if self._signature.mask and len(args) == 1 and not _has_mask(first):
            noted = {"mask": None, **kwargs}            # as in Keras's configurations
        Node(self, args, noted, outputs)
        if self.supports_masking and type(outputs) is KerasTensor and (
                type(self).compute_mask is not Layer.compute_mask or _has_mask(first)):
            mask = traced_spec(lambda x: self.compute_mask(x, _mask_of(x)), (first,), {})
            if mask is not None:
                outputs._keras_mask = mask
        self._output_shape = tree.map_leaves(lambda leaf: leaf.shape, outputs)
        return outputs

    def symbolic_call(self, *args, **kwargs):
        """The call on KerasTensors; it leaves a node."""
        return self._symbolic_call(args, kwargs)

    # ---- shapes ----

    def compute_output_shape(self, input_shape):
        """The output's shape for an input of a shape; `None` are sizes not known."""
        return tree.map_leaves(lambda leaf: leaf.shape, self.compute_output_spec(
            _placeholders(input_shape, self.input_dtype)))

    def compute_output_spec(self, *args, **kwargs):
        """A KerasTensor for each output, of the arguments of a call."""
        if type(self).compute_output_shape is not Layer.compute_output_shape and len(args) == 1 \
                and not kwargs:
            shapes = tree.map_leaves(lambda leaf: tuple(leaf.shape), args[0])
            result = self.compute_output_shape(shapes)
            return _placeholders(result, self.compute_dtype)
        return _traced_spec(self, args, kwargs)

    # ---- losses and masks ----

    def add_metric(self, *args, **kwargs):
        """Not possible, as in Keras 3; the error says what to do instead."""
        raise NotImplementedError("Layer `add_metric()` is no longer there. Pass metrics to "
                                  "`compile(metrics=[...])`, or make one in `__init__` and call "
                                  "its `update_state()` in `call`.")

    def add_loss(self, loss):
        """Adds a scalar to what training makes small. To be called from `call()`."""
        for leaf in tree.flatten(loss):
            if not isinstance(leaf, Tensor):
                raise ValueError("`add_loss()` can only be called from inside `build()` or "
                                 f"`call()`, on a tensor input. Received invalid value: {leaf!r}")
            if not loss_is_within(self._losses):
                self._losses.append(leaf)
                collect_loss(leaf)
        added_losses[0] = True

    @property
    def losses(self):
        """Scalars from `add_loss` of the last call, and the penalties of regularized weights."""
        found = []
        if added_losses[0]:
            for layer in self._flatten_layers():
                found.extend(in_reach(layer._losses))
        found.extend(v.regularizer(v) for v in self.trainable_weights if v.regularizer is not None)
        return found

    def _clear_losses(self):
        for layer in self._flatten_layers():
            layer._losses.clear()

    def _regularize(self, outputs):
        for leaf in tree.flatten(outputs):
            if isinstance(leaf, Tensor):
                loss = self.activity_regularizer(leaf)
                if leaf.shape:
                    loss = op.divide(loss, float(max(leaf.shape[0], 1)))
                self.add_loss(loss)

    def compute_mask(self, inputs, previous_mask):
        """The mask of the output: the input's, unless overridden."""
        return previous_mask

    def _pass_mask(self, inputs, outputs, mask):
        if not self.supports_masking:
            if mask is not None:
                import warnings

                warnings.warn(f"Layer '{self.name}' (of type {type(self).__name__}) was passed an "
                              "input with a mask attached to it, but does not support masking: "
                              "layers behind it will not see the mask.", stacklevel=3)
            return
        made = self.compute_mask(inputs, mask)
        if made is None:
            return
        masks = tree.flatten(made, keep_none=True)
        for leaf, leaf_mask in zip(tree.flatten(outputs), masks):
            if leaf_mask is not None and "_keras_mask" not in leaf.__dict__:
                leaf._keras_mask = leaf_mask

    # ---- configuration ----

    def get_config(self):
        """The arguments of `__init__` as a dictionary."""
        config = {"name": self.name, "trainable": self.trainable,
                  "dtype": dtype_policies.serialize(self._dtype_policy)}
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        return self._with_arguments(config)

    @classmethod
    def from_config(cls, config):
        """The layer that `get_config` described."""
        try:
            return cls(**config)
        except TypeError as error:
            raise TypeError(f"{cls.__name__}.from_config: the configuration does not fit "
                            f"`__init__`: {error}. Received: config={config}") from error

    # ---- copies ----

    def __getstate__(self):
        """For `copy` and `pickle`: without the calls on KerasTensors, and what is found anew."""
        dropped = ("_inbound_nodes", "_found", "_flat")
        return {key: value for key, value in self.__dict__.items() if key not in dropped}

    def __setstate__(self, state):
        self.__dict__.update(state, _inbound_nodes=[])
        changes[0] += 1

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


Layer.build = _build_wrapper(Layer.build)


def _traced_spec(layer, args, kwargs):
    """The output's KerasTensors by recording the call; see `traced_spec`."""
    def call(*args, **kwargs):
        mask = _mask_of(args[0]) if len(args) == 1 else None
        if mask is not None and layer._signature.mask and "mask" not in kwargs:
            kwargs["mask"] = mask
        with reading_as(layer._reading()):
            return layer.call(*args, **kwargs)
    depth, context.depth = context.depth, 1                         # leaves the losses alone
    try:
        return traced_spec(call, args, kwargs, layer.weights)
    finally:
        context.depth = depth
        for inner in layer._flatten_layers():
            inner._losses.clear()
