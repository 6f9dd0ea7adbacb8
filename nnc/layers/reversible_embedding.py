"""An embedding that also projects back to the ids."""
from .. import ops, quantizers
from .._core import op
from ..ops.core import cast_array, result_type, standardize_dtype
from ..quantizers import AbsMaxQuantizer, QuantizationConfig
from .adaptable import dense_int8
from .embedding import Embedding

_RANGE = (-8, 7)


class ReversibleEmbedding(Embedding):
    """The row of a table for each id; called with `reverse=True`, a score for each id:
    `logits = inputs @ transpose(embeddings)`, without a bias.

    Args:
        input_dim: Integer > 0, how many ids there are.
        output_dim: Integer > 0, the size of a row.
        tie_weights: Whether both ways share the table. If not, the way back has a trained matrix
            `reverse_embeddings` of its own, of shape `(output_dim, input_dim)`.
        embeddings_initializer: First values of the table, and of that matrix.
        embeddings_regularizer: The table's penalty.
        embeddings_constraint: What the table is mapped by after each step.
        mask_zero: Whether the id 0 is masked.
        reverse_dtype: The dtype of the way back. Defaults to that of its input and the layer's.
        logit_soft_cap: Float > 0 or `None`. Logits become `tanh(logits / cap) * cap`.
        **kwargs: See `Embedding` and `Layer`.

    Input shape: `(batch_size, ...)`; with `reverse=True`, `(batch_size, ..., output_dim)`.
    Output shape: `(batch_size, ..., output_dim)`; with `reverse=True`,
    `(batch_size, ..., input_dim)`.

    Unlike in Keras, adapters (`enable_lora`) of a quantized table count on the way back too, as
    they do in what files hold, and `reverse_dtype` outlives `quantize`.
    References: Press & Wolf, 2016, arXiv:1608.05859; soft cap: Gemma Team, 2024, arXiv:2408.00118.
    """

    def __init__(self, input_dim, output_dim, tie_weights=True, embeddings_initializer="uniform",
                 embeddings_regularizer=None, embeddings_constraint=None, mask_zero=False,
                 reverse_dtype=None, logit_soft_cap=None, **kwargs):
        if logit_soft_cap is not None and (isinstance(logit_soft_cap, bool) or not isinstance(
                logit_soft_cap, (int, float)) or not logit_soft_cap > 0):
            raise ValueError("ReversibleEmbedding: `logit_soft_cap` must be a number > 0 or None. "
                             f"Received: logit_soft_cap={logit_soft_cap!r}")
        if reverse_dtype is not None and "float" not in standardize_dtype(reverse_dtype):
            raise ValueError("ReversibleEmbedding: `reverse_dtype` must be a floating-point dtype "
                             f"or None. Received: reverse_dtype={reverse_dtype!r}")
        weights = kwargs.pop("weights", None)
        super().__init__(input_dim, output_dim, embeddings_initializer=embeddings_initializer,
                         embeddings_regularizer=embeddings_regularizer,
                         embeddings_constraint=embeddings_constraint, mask_zero=mask_zero,
                         **kwargs)
        self.tie_weights = bool(tie_weights)
        self.reverse_dtype = None if reverse_dtype is None else standardize_dtype(reverse_dtype)
        self.logit_soft_cap = logit_soft_cap
        self._take_weights(weights)

    def build(self, input_shape=None):
        if self.built:
            return
        super().build(input_shape)
        if not (self.tie_weights or self.quantization_mode):
            self.reverse_embeddings = self.add_weight(
                name="reverse_embeddings", shape=(self.output_dim, self.input_dim),
                initializer=self.embeddings_initializer)

    # ---- calls ----

    def call(self, inputs, reverse=False):
        if reverse:
            return self._reverse_call(inputs)
        outputs = super().call(inputs)
        if self.mask_zero:
            outputs._keras_mask = ops.not_equal(inputs, 0)
        return outputs

    def quantized_call(self, inputs, reverse=False):
        """The output with the table of 8 or 4 bits."""
        return self.call(inputs, reverse=reverse)

    def _reverse_call(self, inputs):
        if inputs.shape[-1] != self.output_dim:
            raise ValueError(f"Layer '{self.name}': with `reverse=True`, the input's last axis "
                             f"must have the size `output_dim`={self.output_dim}. Received: "
                             f"input shape {tuple(inputs.shape)}")
        logits = self._quantized_logits(inputs) if self._is_quantized else self._logits(inputs)
        if self.lora_enabled and self.tie_weights:
            a, b = (cast_array(part, logits.dtype) for part in self._adapters)
            low = op.matmul(cast_array(inputs, logits.dtype), b, 0, 1)
            logits = ops.add(logits, ops.multiply(self._share, op.matmul(low, a, 0, 1)))
        if self.logit_soft_cap is not None:
            cap = float(self.logit_soft_cap)
            logits = ops.multiply(ops.tanh(ops.divide(logits, cap)), cap)
        return logits

    def _logits(self, inputs):
        kernel = cast_array(self._main if self.tie_weights else self.reverse_embeddings,
                            self.compute_dtype)
        dtype = self.reverse_dtype or result_type(inputs.dtype, kernel.dtype)
        return op.matmul(cast_array(inputs, dtype), cast_array(kernel, dtype), 0,
                         int(self.tie_weights))

    def _quantized_logits(self, inputs):
        """With the matrix of the way back, `(output_dim, input_dim)`, from the whole numbers."""
        whole, scale, zero = self._reverse_parts()
        if zero is None:
            logits = dense_int8(self, inputs, whole, scale, None, -1)
            return logits if self.reverse_dtype is None else cast_array(logits, self.reverse_dtype)
        kernel, inputs_scale = self._scaled(whole, scale, zero, 0), None
        if self.inputs_quantizer is not None:
            inputs, inputs_scale = self.inputs_quantizer(inputs)
        dtype = self.reverse_dtype or self.compute_dtype
        logits = op.matmul(cast_array(inputs, dtype), cast_array(kernel, dtype), 0, 0)
        return logits if inputs_scale is None else ops.divide(logits, cast_array(inputs_scale,
                                                                                 dtype))

    def _reverse_parts(self):
        """Whole numbers `(output_dim, input_dim)`, their scale, and zero points or `None`."""
        if not self.tie_weights:
            whole, zero = self.reverse_embeddings, self.__dict__.get("reverse_embeddings_zero")
            if self._is_packed:
                whole = quantizers.unpack_int4(whole, self.output_dim, axis=0)
            return whole, self.reverse_embeddings_scale, zero
        whole = ops.transpose(self._unpacked(self._main) if self._is_packed else self._main)
        if self._zero is None:
            return whole, self._scale, None
        return whole, ops.transpose(self._scale), ops.transpose(self._zero)

    # ---- whole numbers ----

    def quantized_build(self, input_shape, mode, config=None):
        """Makes the table of 8 or 4 bits, and the matrix of the way back beside it."""
        super().quantized_build(input_shape, mode, config)
        self.inputs_quantizer = QuantizationConfig.activation_quantizer_or_default(
            config, AbsMaxQuantizer(axis=-1))
        if self.tie_weights:
            return
        if "reverse_embeddings" in self.__dict__:
            del self.reverse_embeddings
        rows = (self.output_dim + 1) // 2 if self._is_packed else self.output_dim
        scale = (self.input_dim,)
        if self._block is not None:
            scale = (-(-self.output_dim // self._block), self.input_dim)
        parts = [("", (rows, self.input_dim), "int8", "zeros"), ("_scale", scale, None, "ones")]
        if self._block is not None:
            parts.append(("_zero", scale, None, "zeros"))
        for end, shape, dtype, first in parts:
            name = f"reverse_embeddings{end}"
            setattr(self, name, self.add_weight(name=name, shape=shape, initializer=first,
                                                dtype=dtype, trainable=False))

    def quantize(self, mode=None, type_check=True, config=None):
        config = quantizers.resolve(mode, config, f"Layer '{self.name}': quantize")
        self._check_quantize(config.mode)
        values = [] if self.tie_weights else self._reverse_to_whole(config)
        super().quantize(config.mode, type_check, config)
        for end, value in zip(("", "_scale", "_zero"), values):
            getattr(self, f"reverse_embeddings{end}").assign(value)

    quantize.__doc__ = Embedding.quantize.__doc__

    def _reverse_to_whole(self, config):
        """The quantized matrix of the way back, its scale and, in blocks, its zero points."""
        matrix = ops.convert_to_tensor(self.reverse_embeddings)
        if config.mode == "int4" and self._block_for(config) is not None:
            whole, *rest = quantizers.abs_max_quantize_grouped_with_zero_point(
                matrix, self._block_for(config), _RANGE, to_numpy=True)
        else:
            own = AbsMaxQuantizer(axis=0) if config.mode == "int8" else AbsMaxQuantizer(
                axis=0, value_range=_RANGE, output_dtype="int8")
            whole, scale = QuantizationConfig.weight_quantizer_or_default(config, own)(
                matrix, to_numpy=True)
            if scale.shape != (1, self.input_dim):
                raise ValueError(f"Layer '{self.name}': quantize: with tie_weights=False, a "
                                 "`weight_quantizer` of one's own must share its scale along axis "
                                 f"0 of `reverse_embeddings`. Received: a scale of shape "
                                 f"{tuple(scale.shape)}")
            rest = [ops.squeeze(scale, 0)]
        return [quantizers.pack_int4(whole, axis=0)[0] if config.mode == "int4" else whole, *rest]

    # ---- shapes ----

    def compute_mask(self, inputs, mask=None):
        """`None`: `call` sets the mask of the way to the rows itself."""
        return None

    def compute_output_shape(self, input_shape, reverse=False):
        return (*input_shape[:-1], self.input_dim) if reverse else (*input_shape, self.output_dim)

    def get_config(self):
        return {**super().get_config(), "tie_weights": self.tie_weights,
                "reverse_dtype": self.reverse_dtype, "logit_soft_cap": self.logit_soft_cap}
