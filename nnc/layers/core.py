"""The layers of the first networks: Dense and Activation."""
import numpy as np

from .. import _core, activations, constraints, initializers, regularizers
from .._core import op
from ..ops.core import cast_array
from .input_spec import InputSpec
from .layer import Layer

# Activations that the op `dense` applies itself: their numbers in the op table. Softmax and sigmoid
# are not among them: losses want to know their input.
_FUSED = {
    getattr(activations, name): _core.op_names.index(name)
    for name in ("relu", "tanh", "selu", "softplus", "softsign", "silu", "gelu", "relu6",
                 "hard_sigmoid", "hard_silu", "mish", "log_sigmoid")
}
_FUSED[activations.linear] = -1


class Dense(Layer):
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
        lora_rank: Must be `None`: there is no LoRA here.
        lora_alpha: Must be `None`.
        quantization_config: Must be `None`: weights are not quantized here.
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
        for name, value in (("lora_rank", lora_rank), ("lora_alpha", lora_alpha),
                            ("quantization_config", quantization_config)):
            if value is not None:
                raise ValueError(f"Dense: `{name}` is not supported here, expected None. "
                                 f"Received: {name}={value!r}")
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
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
        self.kernel = self.add_weight(name="kernel", shape=(inputs, self.units),
                                      initializer=self.kernel_initializer,
                                      regularizer=self.kernel_regularizer,
                                      constraint=self.kernel_constraint)
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.units,),
                                        initializer=self.bias_initializer,
                                        regularizer=self.bias_regularizer,
                                        constraint=self.bias_constraint)
        self.input_spec = InputSpec(min_ndim=2, axes={-1: inputs})

    def call(self, inputs):
        kernel, activation = self.kernel, self.activation
        if inputs.dtype != kernel.dtype:
            inputs = cast_array(inputs, kernel.dtype)
        if self.bias is None:
            x = op.matmul(inputs, kernel, 0, 0)
            return x if activation is activations.linear else activation(x)
        fused = _FUSED.get(activation)
        if fused is not None:
            return op.dense(inputs, kernel, self.bias, fused, 0.0)
        return activation(op.dense(inputs, kernel, self.bias, -1, 0.0))

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
            "quantization_config": None,
        }
        return {**super().get_config(), **config}


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
