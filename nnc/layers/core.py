"""The layers of the first networks, and those that hold a function or a mask."""
import numpy as np

from .. import _core, activations, constraints, initializers, ops, regularizers
from .._core import op
from ..ops.core import cast_array
from .adaptable import Adaptable, dense_int8
from .input_spec import InputSpec
from .layer import Layer, _traced_spec

# Activations that the op `dense` applies itself: their numbers in the op table. Softmax and sigmoid
# are not among them: losses want to know their input.
_FUSED = {
    getattr(activations, name): _core.op_names.index(name)
    for name in ("relu", "tanh", "selu", "softplus", "softsign", "silu", "gelu", "relu6",
                 "hard_sigmoid", "hard_silu", "mish", "log_sigmoid")
}
_FUSED[activations.linear] = -1


class Dense(Adaptable, Layer):
    """`activation(x @ kernel + bias)`, over the last axis.

    Args:
        units: Integer > 0, the size of the output.
        activation: A function, the name of one, or `None` for none.
        use_bias: Whether there is a bias. Defaults to `True`.
        kernel_initializer: First values of the kernel, `(inputs, units)`.
        bias_initializer: First values of the bias, `(units,)`.
        kernel_regularizer: Penalty of the kernel.
        bias_regularizer: Penalty of the bias.
        activity_regularizer: Penalty of the output.
        kernel_constraint: What the kernel is mapped by after each step.
        bias_constraint: What the bias is mapped by after each step.
        lora_rank: Integer or `None`: the rank of trained adapters; see `enable_lora`.
        lora_alpha: What the adapters are multiplied by, times `lora_rank`. Defaults to
            `lora_rank`.
        quantization_config: A `quantizers.QuantizationConfig`, for a quantized `dtype`.
        **kwargs: See `Layer`.

    Input shape: `(batch_size, ..., inputs)`. Output shape: `(batch_size, ..., units)`.

    Raises:
        ValueError: If `units` is no positive integer.
    """

    _plain = True

    def __init__(self, units, activation=None, use_bias=True, kernel_initializer="glorot_uniform",
                 bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None,
                 activity_regularizer=None, kernel_constraint=None, bias_constraint=None,
                 lora_rank=None, lora_alpha=None, quantization_config=None, **kwargs):
        if isinstance(units, bool) or not isinstance(units, (int, np.integer)) or units <= 0:
            raise ValueError("Dense: received an invalid value for `units`, expected a positive "
                             f"integer. Received: units={units!r}")
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self._take_adaptation(lora_rank, lora_alpha, quantization_config)
        self.units = int(units)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape):
        inputs = input_shape[-1]
        if inputs is None:
            raise ValueError(f"Layer '{self.name}': the size of the input's last axis must be "
                             f"known. Received: input_shape={tuple(input_shape)}")
        self.bias = None
        if not self.quantization_mode:
            self._add_main((inputs, self.units))
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.units,),
                                        initializer=self.bias_initializer,
                                        regularizer=self.bias_regularizer,
                                        constraint=self.bias_constraint)
        if self.quantization_mode:                      # weights are listed trained ones first
            self._add_main((inputs, self.units))
        self.input_spec = InputSpec(min_ndim=2, axes={-1: inputs})
        self._adapt()

    @property
    def kernel(self):
        """The kernel, `(inputs, units)`: with its adapters, where there are some."""
        return self._merged()

    def call(self, inputs):
        if self.lora_enabled or self._is_quantized:
            return self._adapted_call(inputs)
        kernel, activation = self._main, self.activation
        if inputs.dtype != kernel.dtype:
            inputs = cast_array(inputs, kernel.dtype)
        if self.bias is None:
            x = op.matmul(inputs, kernel, 0, 0)
            return x if activation is activations.linear else activation(x)
        fused = _FUSED.get(activation)
        if fused is not None:
            return op.dense(inputs, kernel, self.bias, fused, 0.0)
        return activation(op.dense(inputs, kernel, self.bias, -1, 0.0))

    def _adapted_call(self, inputs):
        activation, bias, fused = self.activation, self.bias, -1
        if self._is_quantized and self._block is None:         # a scale a column
            if not self.lora_enabled:
                fused = _FUSED.get(activation, -1)
            whole = self._unpacked(self._main) if self._is_packed else self._main
            x = dense_int8(self, inputs, whole, self._scale,
                           None if self.lora_enabled else bias, fused)
            bias = bias if self.lora_enabled else None
        else:
            kernel = self._floating()
            inputs = cast_array(inputs, kernel.dtype)
            x = op.matmul(inputs, kernel, 0, 0)
        if self.lora_enabled:
            a, b = self._adapters
            low = op.matmul(op.matmul(inputs, a, 0, 0), b, 0, 0)
            x = ops.add(x, ops.multiply(self._share, low))
        x = x if bias is None else ops.add(x, bias)
        return x if fused >= 0 or activation is activations.linear else activation(x)

    def quantized_call(self, inputs):
        """The output with the kernel of 8 or 4 bits."""
        return self._adapted_call(inputs)

    def _shared_axes(self):
        return 0

    def _scale_shape(self, shape):
        return (shape[1],)

    def _scale_from_main(self, scale):
        return ops.squeeze(scale, 0)

    def _scale_for_main(self):
        return self._scale

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        config = {
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }
        return {**super().get_config(), **config, **self._adaptation_config()}


class Activation(Layer):
    """An activation function as a layer.

    Args:
        activation: A function or the name of one.
        **kwargs: See `Layer`.
    """

    _plain = True

    def __init__(self, activation, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.activation = activations.get(activation)
        self._build_at_init()

    def call(self, inputs):
        return self.activation(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "activation": activations.serialize(self.activation)}


class Identity(Layer):
    """The input itself."""

    _plain = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self._build_at_init()

    def call(self, inputs):
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape


class Masking(Layer):
    """Masks the steps of a sequence in which all numbers are `mask_value`, and sets them to 0.

    Args:
        mask_value: Number. Defaults to `0.0`.
        **kwargs: See `Layer`.
    """

    def __init__(self, mask_value=0.0, **kwargs):
        super().__init__(**kwargs)
        self.mask_value = mask_value
        self.supports_masking = True
        self._build_at_init()

    def compute_mask(self, inputs, mask=None):
        return ops.any(ops.not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs):
        seen = ops.any(ops.not_equal(inputs, self.mask_value), axis=-1, keepdims=True)
        return ops.multiply(inputs, cast_array(seen, inputs.dtype))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "mask_value": self.mask_value}


class Lambda(Layer):
    """A function as a layer.

    Args:
        function: The function; it may take `mask` and `training` beside the inputs.
        output_shape: The output's shape without the batch axis, or a function of the input's
            shape; by default it is found by recording the function.
        mask: The output's mask, or a function of inputs and mask.
        arguments: Dictionary of further arguments.
        **kwargs: See `Layer`.

    Only functions that are registered (`saving.register_keras_serializable`) can be saved.
    """

    def __init__(self, function, output_shape=None, mask=None, arguments=None, **kwargs):
        super().__init__(**kwargs)
        if not callable(function):
            raise ValueError(f"Lambda: `function` must be callable. Received: {function!r}")
        import inspect

        self.function, self.arguments = function, dict(arguments or {})
        self.mask = mask
        self.supports_masking = mask is not None
        self._shape_argument = output_shape
        try:
            known = inspect.signature(function).parameters
        except (TypeError, ValueError):
            known = ()
        self._takes = tuple(name for name in ("mask", "training") if name in known)

    def call(self, inputs, mask=None, training=None):
        given = {"mask": mask, "training": training}
        return self.function(inputs, **self.arguments,
                             **{name: given[name] for name in self._takes})

    def compute_mask(self, inputs, mask=None):
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def compute_output_shape(self, input_shape):
        shape = self._shape_argument
        if shape is None:
            return Layer.compute_output_shape(self, input_shape)
        if callable(shape):
            return tuple(shape(input_shape))
        batch = input_shape[0] if input_shape and not isinstance(input_shape[0], (list, tuple)) \
            else input_shape[0][0]
        return (batch, *shape)

    def compute_output_spec(self, *args, **kwargs):
        return _traced_spec(self, args, kwargs) if self._shape_argument is None \
            else super().compute_output_spec(*args, **kwargs)

    def get_config(self):
        from ..saving.object_registration import serialize_keras_object

        config = {**super().get_config(), "function": serialize_keras_object(self.function)}
        if self._shape_argument is not None:
            config["output_shape"] = serialize_keras_object(self._shape_argument)
        if self.mask is not None:
            config["mask"] = serialize_keras_object(self.mask)
        return {**config, "arguments": serialize_keras_object(self.arguments)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The layer that `get_config` described."""
        from ..saving.object_registration import deserialize_keras_object

        config = dict(config)
        for key in ("function", "output_shape", "mask", "arguments"):
            if key in config:
                config[key] = deserialize_keras_object(config[key], custom_objects)
        shape = config.get("output_shape")
        config["output_shape"] = tuple(shape) if isinstance(shape, list) else shape
        return cls(**config)
