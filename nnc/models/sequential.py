"""Sequential: layers one after another."""
import numpy as np

from .. import _core
from .._core import Tensor, op
from ..dtype_policies import DTypePolicy
from ..layers.input_layer import InputLayer
from ..layers.keras_tensor import KerasTensor, standardize_shape
from ..layers.arrays import entering
from ..layers.layer import Layer, context
from ..ops.core import _FLOATS
from ..recording import feed_dtype
from ..strings import holds_strings, string_array
from ..variables import changes
from .front import Entered, as_array, fit_strings
from .model import Model
from .quick import PLAIN_NUMBERS, Repeated, is_ours, lends, record, taking_back


class Sequential(Model):
    """A plain stack of layers.

    Args:
        layers: List of layers (or an `Input` first), or `None`.
        trainable: Whether the weights are trained. Defaults to `True`.
        name: Name.

    With an `Input` (or `input_shape=` in the first layer) weights are made as layers are added;
    else when the model first meets data, or in `build(input_shape)`.
    """

    def __init__(self, layers=None, trainable=True, name=None):
        super().__init__(trainable=trainable, name=name)
        self._layers = []
        self._ready = None              # see _remember
        self._repeated = Repeated()     # see _again
        if isinstance(layers, Layer) or layers is not None and not hasattr(layers, "__iter__"):
            raise ValueError("Sequential: `layers` must be a list of layers. "
                             f"Received: layers={layers!r} (of type {type(layers).__name__})")
        for layer in layers or ():
            self.add(layer, rebuild=False)
        if self._layers:
            self._maybe_rebuild()

    # ---- the stack ----

    def add(self, layer, rebuild=True):
        """Puts a layer on top of the stack.

        Raises:
            ValueError: If it is no layer, its name is taken, or it is a second input.
        """
        if isinstance(layer, KerasTensor) and layer._keras_history is not None:
            layer = layer._keras_history[0]
        if not isinstance(layer, Layer):
            raise ValueError("Only instances of `keras.Layer` can be added to a Sequential model. "
                             f"Received: {layer!r} (of type {type(layer).__name__})")
        if not self._layers and layer._batch_shape_argument is not None:
            self._layers.append(InputLayer(batch_shape=layer._batch_shape_argument,
                                           dtype=layer.compute_dtype))
        if any(other.name == layer.name and other is not layer for other in self._layers):
            raise ValueError("All layers added to a Sequential model should have unique names. "
                             f"Name '{layer.name}' is already the name of a layer in this model: "
                             "pass another `name`.")
        if isinstance(layer, InputLayer) and self._layers:
            if isinstance(self._layers[0], InputLayer):
                raise ValueError(f"Sequential model '{self.name}' has already been configured to "
                                 f"use input shape {self._layers[0].batch_shape}. You cannot add a "
                                 "different Input layer to it.")
            raise ValueError(f"Sequential model '{self.name}': an Input must be the first layer.")
        self._layers = [*self._layers, layer]
        if rebuild:
            self._maybe_rebuild()
        else:
            self.built = False

    def pop(self, rebuild=True):
        """Takes the top layer off and returns it."""
        if not self.layers:
            raise ValueError(f"Sequential model '{self.name}' has no layers to take off.")
        layer = self._layers[-1]
        self._layers = self._layers[:-1]
        self.built = False
        if rebuild:
            self._maybe_rebuild()
        return layer

    @property
    def layers(self):
        """The layers, without an `InputLayer`."""
        layers = self._layers
        return layers[1:] if layers and isinstance(layers[0], InputLayer) else layers[:]

    @layers.setter
    def layers(self, _):
        raise AttributeError("`Sequential.layers` is reserved: use `add()` and `pop()` to change "
                             "the layers.")

    def _maybe_rebuild(self):
        self.built = False
        self._ready, self._repeated = None, Repeated()
        first = self._layers[0] if self._layers else None
        if isinstance(first, InputLayer):
            if len(self._layers) > 1:
                self.build(first.batch_shape)
        elif isinstance(first, Sequential) and first._has_shape() and len(self._layers) > 1:
            self.build(first.input_shape)

    # ---- building ----

    def build(self, input_shape=None):
        """Makes the weights, for inputs of a shape (with the batch size, or `None` for it)."""
        if input_shape is None and self._layers and isinstance(self._layers[0], InputLayer):
            input_shape = self._layers[0].batch_shape
        shape = standardize_shape(input_shape)
        if not self._layers:
            raise ValueError(f"Sequential model '{self.name}' cannot be built because it has no "
                             "layers. Call `model.add(layer)`.")
        if isinstance(self._layers[0], InputLayer):
            wanted = self._layers[0].batch_shape
            if len(wanted) != len(shape) or any(a is not None and b is not None and a != b
                                                for a, b in zip(wanted[1:], shape[1:])):
                raise ValueError(f"Sequential model '{self.name}' has already been configured to "
                                 f"use input shape {wanted}. You cannot build it with input_shape "
                                 f"{shape}.")
        else:
            dtype = self._layers[0].input_dtype
            first = InputLayer(batch_shape=shape, dtype=dtype)
        layers = self._layers if isinstance(self._layers[0], InputLayer) else [first, *self._layers]
        x = layers[0].output
        for layer in layers[1:]:
            x = layer(x)
        self._layers = layers
        self._outputs = x
        self._front_layers, self._front_fixed = self._count_front()
        self._ready, self._repeated = None, Repeated()

    def _build_for(self, args, kwargs):
        if isinstance(args[0], np.ndarray):                             # of strings
            self._layers = [InputLayer(batch_shape=(None, *args[0].shape[1:]), dtype="string"),
                            *self._layers]
            self.build()
            return
        self.build((None, *args[0].shape[1:]) if args[0].shape else args[0].shape)

    # ---- strings ----

    def _count_front(self):
        """How many layers, behind the input, take strings; and whether the size of what they give
        is known."""
        tensor, count = self._layers[0].output, 0
        while tensor.dtype == "string":
            count += 1
            tensor = self._layers[count]._inbound_nodes[-1].output_tensors[0]
        return count, None not in tensor.shape[1:]

    @property
    def _takes_strings(self):
        if self._has_shape():
            return self._layers[0].input_dtype == "string"
        layers = self.__dict__.get("_layers")
        return bool(layers) and (layers[0]._takes_strings or layers[0].input_dtype == "string")

    def _string_inputs(self):
        if not self._takes_strings:
            return None
        return "whole" if self._has_shape() and self._front_fixed else "batches"

    def _enter(self, inputs):
        """What enters the recorded part, of an array."""
        if isinstance(inputs, (list, tuple, dict)):
            raise ValueError(f"{self._who()}: expected one array. Received: "
                             f"{type(inputs).__name__} of {len(inputs)}")
        if not isinstance(inputs, np.ndarray) or inputs.dtype.kind not in "USO":
            return inputs
        if not self._has_shape():
            self._build_for((inputs,), {})
        for layer in self._layers[1:1 + self._front_layers]:
            inputs = as_array(layer(fit_strings(inputs, self.input_shape, self._who())
                                    if layer is self._layers[1] else inputs))
        return Entered(inputs)

    def _who(self):
        return f"Input of model '{self.name}'"

    def _feed_dtype(self, dtype):
        return feed_dtype(dtype, self.compute_dtype) if self._takes_strings and \
            self.input_dtype == "string" else super()._feed_dtype(dtype)

    def _has_shape(self):
        return self.built and "_outputs" in self.__dict__

    def _shape_of(self, what):
        if not self._has_shape():
            raise AttributeError(f"Sequential model '{self.name}' has no defined {what} yet.")

    @property
    def input_shape(self):
        """The input's shape, with `None` for the batch size."""
        self._shape_of("input shape")
        return self._layers[0].batch_shape

    @property
    def output_shape(self):
        """The output's shape, with `None` for the batch size."""
        self._shape_of("output shape")
        return self._outputs.shape

    @property
    def inputs(self):
        """The symbolic inputs, as a list."""
        self._shape_of("inputs")
        return [self._layers[0].output]

    @property
    def outputs(self):
        """The symbolic outputs, as a list."""
        self._shape_of("outputs")
        return [self._outputs]

    @property
    def input_dtype(self):
        """The dtype that inputs are converted to."""
        return self._layers[0].input_dtype if self._layers else self.compute_dtype

    def compute_output_shape(self, input_shape):
        """The output's shape for an input of a shape."""
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    # ---- calling ----

    def __call__(self, inputs, training=None, mask=None):
        """The output of the last layer. A shape that has gone through takes the short way."""
        repeated, first = self._repeated, inputs
        plain = mask is None and not training and (training is not None or not context.training)
        if plain and repeated.stamp == changes[0] \
                and (type(inputs) is np.ndarray
                     or type(inputs) is Tensor and "_keras_mask" not in inputs.__dict__):
            for attempt in repeated.attempts:
                outputs = attempt(inputs)
                if outputs is not None:
                    return outputs
        if plain and type(inputs) is np.ndarray and lends(inputs) and all(
                layer._plain and layer.activity_regularizer is None and is_ours(layer)
                for layer in self.layers):
            lent = entering(inputs, self.input_dtype, given=True)
            return taking_back(self(lent, training=training))
        ready = self._ready
        if ready is not None and ready[0] == changes[0] and mask is None:
            if type(inputs) is not Tensor:
                inputs = self._tensor(inputs)
            if inputs.shape in ready[2] and "_keras_mask" not in inputs.__dict__:
                if inputs.dtype != ready[1]:
                    inputs = op.cast(inputs, ready[1])
                outputs = repeated.attempt(inputs) if plain and inputs is not first else None
                if outputs is not None:
                    return outputs
                training = context.training if training is None else bool(training)
                x = self._run(inputs, training)
                return self._again(inputs, x) if plain else x
        if self._takes_strings and holds_strings(inputs):
            inputs = string_array(inputs, self._who())
        elif type(inputs) not in (Tensor, Entered) and not isinstance(inputs, KerasTensor):
            inputs = self._tensor(inputs)
        outputs = super().__call__(inputs, training=training, mask=mask)
        if type(inputs) is Tensor and mask is None:
            self._remember(inputs)
            ready = self._ready
            if plain and ready is not None and ready[0] == changes[0] \
                    and inputs.shape in ready[2] and "_keras_mask" not in inputs.__dict__:
                return self._again(inputs, outputs)
        return outputs

    def _tensor(self, inputs):
        """Inputs as a tensor of the model's input dtype."""
        if type(inputs) is np.ndarray and inputs.dtype.char in PLAIN_NUMBERS:
            return entering(inputs, self.input_dtype)
        from ..layers.layer import numeric_array

        if isinstance(inputs, (Tensor, _core.Variable)):
            return inputs
        array = numeric_array(inputs, f"Model '{self.name}': the input")
        return entering(array, self.input_dtype)

    def _remember(self, inputs):
        """Notes that inputs like these went through, if the layers' `call`, and casts between
        dtypes, are all that it takes."""
        layers, own = self.layers, self.input_dtype
        if self.activity_regularizer is not None or not all(
                layer._plain and layer.built and layer.activity_regularizer is None
                and layer.autocast and type(layer._dtype_policy) is DTypePolicy
                for layer in layers):
            return
        if inputs.dtype != own and not (inputs.dtype in _FLOATS and own in _FLOATS):
            return
        if self._has_shape() and len(inputs.shape) != len(self.input_shape):
            return
        if self._ready is None or self._ready[0] != changes[0]:
            self.__dict__["_ready"] = (changes[0], own, set(), _stretches(layers))
        if len(self._ready[2]) < 256:
            self._ready[2].add(inputs.shape)

    def _again(self, inputs, outputs):
        """Notes a call outside training and what it gave; makes a program of it if it is due, whose
        outputs are returned then."""
        key = inputs.shape
        if self._repeated.is_due(self, key):
            if all(is_ours(layer) for layer in self.layers):
                self._repeated.keep(key, record(lambda x: self._run(x[0], False),
                                                [(key, self._ready[1])]))
            else:
                self._repeated.keep(key, None)
            again = self._repeated.attempt(inputs)
            return outputs if again is None else again
        return outputs

    def _run(self, x, training):
        """The output for a tensor, as `_ready` says."""
        for dtype, reading, calls in self._ready[3]:
            x = _core.run_layers(calls, dtype, reading, x, training)
        return x

    _given_on = True

    def _convert(self, value, positional):
        return value

    def call(self, inputs, training=None, mask=None):
        """Runs the layers."""
        layers = self.layers
        if type(inputs) is Entered:
            inputs, layers = inputs[0], layers[self._front_layers:]
        elif isinstance(inputs, np.ndarray):                            # of strings
            inputs = fit_strings(inputs, self.input_shape, self._who())
        else:
            inputs = self._fit_input(inputs)
        for layer in layers:
            kwargs = {}
            if mask is not None and layer._signature.mask:
                kwargs["mask"] = mask
            if training is not None and layer._signature.training:
                kwargs["training"] = training
            inputs = layer(inputs, **kwargs)
            mask = inputs.__dict__.get("_keras_mask") if type(inputs) is Tensor else None
        return inputs

    def _fit_input(self, inputs):
        """The input in the model's dtype, with a last axis of size 1 added or dropped as needed."""
        if not self._has_shape() or type(inputs) is not Tensor:
            return inputs
        wanted, shape = self.input_shape, tuple(inputs.shape)
        if len(shape) == len(wanted) - 1 and wanted[-1] == 1:
            inputs = op.reshape(inputs, (*shape, 1))
        elif len(shape) == len(wanted) + 1 and shape[-1] == 1:
            inputs = op.reshape(inputs, shape[:-1])
        shape = tuple(inputs.shape)
        if len(shape) != len(wanted) or any(a is not None and a != b
                                            for a, b in zip(wanted[1:], shape[1:])):
            first = self.layers[0].name
            raise ValueError(f"Input of layer '{first}' (the first of model '{self.name}') has the "
                             f"wrong shape: expected {wanted}, received {shape}.")
        return inputs if inputs.dtype == self.input_dtype else op.cast(inputs, self.input_dtype)

    # ---- configuration ----

    def get_config(self):
        from ..saving.object_registration import serialize_keras_object

        config = super().get_config()
        config["layers"] = [serialize_keras_object(layer) for layer in self._layers]
        if self._has_shape():
            config["build_input_shape"] = self._layers[0].batch_shape
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The model that `get_config` (nnc's or Keras's) described, with new weights."""
        from ..saving.object_registration import deserialize_keras_object

        if "name" not in config or "layers" not in config:
            raise ValueError("A Sequential model configuration must be a dictionary containing the "
                             f"'name' and 'layers' keys. Received: config={config}")
        model = cls(name=config["name"])
        for layer in config["layers"]:
            model.add(deserialize_keras_object(layer, custom_objects=custom_objects), rebuild=False)
        if model._layers:
            model._maybe_rebuild()
        shape = config.get("build_input_shape")
        if not model.built and shape and model._layers:
            model.build(tuple(shape))
        if config.get("trainable") is False:
            model.trainable = False
        return model


def _stretches(layers):
    """Layers as stretches that read their variables alike: `(dtype, reading, calls)`. dtype: what
    each of them casts its input to; `None`: all layers are of one dtype, and none casts."""
    casts = any(layer._dtype_policy._is_mixed or layer._dtype_policy != layers[0]._dtype_policy
                for layer in layers)
    stretches = []
    for layer in layers:
        kind = layer.compute_dtype if casts else None, layer._reading()
        if not stretches or stretches[-1][:2] != kind:
            stretches.append((*kind, []))
        stretches[-1][2].append((layer.call, layer._signature.training))
    return [(dtype, reading, tuple(calls)) for dtype, reading, calls in stretches]
