"""Layers whose large weight can be kept in 8 or 4 bits (for the latter see packed.py; calibrated.py
for those that data has had a say in), with adapters (see low_rank.py) beside it.

The weight `w` becomes whole numbers and a scale a channel, and nothing trains it any more; adapters
can be trained.
"""
from .. import _core, dtype_policies, ops, quantizers
from .._core import op
from ..quantizers import AbsMaxQuantizer, QuantizationConfig
from .calibrated import Calibrated
from .low_rank import LowRank
from .packed import Packed

_MAX_SUM = 1 << 17                      # products that the op sums exactly


class Adaptable(Calibrated, Packed, LowRank):
    """Mixed into a layer before `Layer`. The layer names its weight in `_MAIN` and says how it is
    quantized.
    """

    _MAIN = "kernel"
    _is_quantized = False

    @property
    def _modes(self):
        """How the weight may be kept."""
        return ("int8", "int4", "gptq", "awq") if self._MAIN == "kernel" else ("int8", "int4")

    # ---- what the layers call ----

    def _take_adaptation(self, rank, alpha, config):
        """The arguments `lora_rank`, `lora_alpha` and `quantization_config`, checked."""
        who = type(self).__name__
        self._take_rank(rank, alpha)
        if isinstance(config, dict):
            config = quantizers.get(config)
        if config is not None and not isinstance(config, QuantizationConfig):
            raise ValueError(f"{who}: `quantization_config` must be a QuantizationConfig. Received: "
                             f"quantization_config={config!r}")
        if self.quantization_mode not in (None, *self._modes):
            raise NotImplementedError(f"{who}: weights are quantized to one of {self._modes}. "
                                      f"Received: dtype={self._dtype_policy.name!r}")
        self.quantization_config = config

    def _add_main(self, shape):
        """Makes the weight, in the layer's dtype or quantized."""
        if self.quantization_mode is None:
            super()._add_main(shape)
        else:
            self.quantized_build(shape, self.quantization_mode, self.quantization_config)

    def _adaptation_config(self):
        return {"quantization_config": quantizers.serialize(self.quantization_config),
                **self._rank_config()}

    @property
    def _scale(self):
        return self.__dict__[f"{self._MAIN}_scale"]

    def _floating(self):
        """The weight without adapters, in the layer's dtype."""
        if not self._is_quantized:
            return super()._floating()
        if self._is_calibrated:
            return self._floating_calibrated()
        if self._is_packed:
            return self._floating_packed()
        return ops.divide(ops.cast(self._main, self.variable_dtype), self._scale_for_main())

    def enable_lora(self, rank, lora_alpha=None, a_initializer="he_uniform",
                    b_initializer="zeros"):
        if self._is_calibrated:
            raise NotImplementedError(f"Layer '{self.name}': enable_lora: adapters do not go with "
                                      f"weights of dtype '{self._dtype_policy.name}'.")
        super().enable_lora(rank, lora_alpha, a_initializer, b_initializer)

    enable_lora.__doc__ = LowRank.enable_lora.__doc__

    @property
    def _full_shape(self):
        packed = self._is_packed or self._is_calibrated
        return self._packed_shape if packed else super()._full_shape

    def _quantized_names(self):
        """The variables beside the weight, in their order."""
        if self._is_calibrated:
            return self._calibrated_names()
        more = [f"{self._MAIN}_zero", "g_idx"] if self._block is not None else []
        return [f"{self._MAIN}_scale", *more] if self._is_quantized else []

    def _quantized_variables(self):
        return [self._main, *(self.__dict__[name] for name in self._quantized_names())]

    # ---- files ----

    def _saved_names(self):
        names = super()._saved_names()
        return (names[::-1] if self._is_calibrated else names) + self._quantized_names()

    def _put_merged(self, values):
        if not self._is_quantized:
            super()._put_merged(values)
            return
        new = self._to_whole(self._merged())
        places = [0, *map(self._saved_names().index, self._quantized_names())]
        for place, value in zip(places, new):
            values[place] = value

    # ---- whole numbers ----

    def _check_quantize(self, mode):
        if not self.built:
            raise ValueError(f"Layer '{self.name}': cannot quantize a layer that has no weights "
                             "yet. Build it first.")
        if self._is_quantized:
            raise ValueError(f"Layer '{self.name}' is already quantized with "
                             f"dtype_policy='{self._dtype_policy.name}'. Received: mode={mode}")

    def quantize(self, mode=None, type_check=True, config=None):
        """Turns the weight into whole numbers of 8 or 4 bits, with scales.

        Args:
            mode: `"int8"` or `"int4"`.
            type_check: Whether a class derived from Keras's layer is refused.
            config: A `quantizers.Int8QuantizationConfig` or `Int4QuantizationConfig`.

        Raises:
            ValueError: If the layer is not built, or quantized already.
            NotImplementedError: For another mode.
        """
        if type_check and not type(self).__module__.startswith("nnc.layers."):
            raise self._no_quantization("quantize")
        config = quantizers.resolve(mode, config, f"Layer '{self.name}': quantize")
        if config.mode in ("gptq", "awq"):
            raise NotImplementedError(f"Layer '{self.name}': quantize: '{config.mode}' looks at "
                                      "the data of a whole model: call the model's quantize().")
        self._check_quantize(config.mode)
        shape = self._full_shape
        with _core.no_trace():
            values = self._to_whole(self._main, config)
        adapters = self.lora_enabled
        delattr(self, f"_{self._MAIN}")
        self.quantized_build(shape, config.mode, config)
        for variable, value in zip(self._quantized_variables(), values):
            variable.assign(value)
        if adapters:
            self._main._was_trainable = False
        self.quantization_config = config
        form = f"int4/{self._block or -1}" if self._is_packed else config.mode
        self._dtype_policy = dtype_policies.get(f"{form}_from_{self._dtype_policy.name}")

    def quantized_build(self, input_shape, mode, config=None):
        """Makes the weight of 8 or 4 bits and its scales; `input_shape` is the weight's."""
        if mode not in self._modes:
            raise NotImplementedError(f"Layer '{self.name}': weights are quantized to one of "
                                      f"{self._modes}. Received: mode={mode!r}")
        if mode in ("gptq", "awq"):
            self._build_calibrated(input_shape, mode, config)
            return
        if mode == "int4":
            self._build_packed(input_shape, config)
            self._is_quantized = True
            return
        self.inputs_quantizer = QuantizationConfig.activation_quantizer_or_default(
            config, AbsMaxQuantizer())
        setattr(self, f"_{self._MAIN}", self.add_weight(
            name=self._MAIN, shape=tuple(input_shape), initializer="zeros", dtype="int8",
            trainable=False))
        name = f"{self._MAIN}_scale"
        setattr(self, name, self.add_weight(name=name, shape=self._scale_shape(input_shape),
                                            initializer="ones", trainable=False))
        self._is_quantized = True

    def _to_whole(self, value, config=None):
        """The values of `_quantized_variables` for a weight, each in the shape that it is kept in."""
        mode = self.quantization_mode if config is None else config.mode
        if mode == "int4":
            return self._pack(ops.convert_to_tensor(value), config)
        quantizer = QuantizationConfig.weight_quantizer_or_default(
            config, AbsMaxQuantizer(axis=self._shared_axes()))
        value, scale = quantizer(ops.convert_to_tensor(value), to_numpy=True)
        return value, self._scale_from_main(scale)

def dense_int8(layer, inputs, kernel, scale, bias, activation):
    """`activation(inputs @ kernel / scale + bias)` for a matrix of int8, `scale` and `bias` (or
    `None`) a number a column; `activation` is a number as the op takes it.
    """
    quantizer, columns = layer.inputs_quantizer, kernel.shape[1]
    if _is_plain(quantizer) and inputs.dtype == "float32" and kernel.shape[0] <= _MAX_SUM:
        if bias is None:
            bias = ops.zeros((columns,), "float32")
        low, high = quantizer.value_range
        return op.dense_int8(inputs, kernel, scale, bias, activation, 0.0, float(low), float(high),
                             float(quantizer.epsilon))
    output_scale = scale
    if quantizer is not None:
        inputs, inputs_scale = quantizer(inputs, axis=-1)
        output_scale = ops.multiply(scale, inputs_scale)
    dtype = layer.compute_dtype
    x = ops.matmul(ops.cast(inputs, dtype), ops.cast(kernel, dtype))
    x = ops.divide(x, output_scale)
    x = x if bias is None else ops.add(x, bias)
    return x if activation < 0 else getattr(op, _core.op_names[activation])(x, 0.0)


def _is_plain(quantizer):
    """Whether the op quantizes rows as this quantizer does."""
    return type(quantizer) is AbsMaxQuantizer and quantizer.output_dtype == "int8" and \
        -127 <= quantizer.value_range[0] <= 0 < quantizer.value_range[1] <= 127
