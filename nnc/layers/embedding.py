"""Tables of vectors."""
from .. import constraints, initializers, ops, regularizers
from ..ops.core import cast_array
from .adaptable import Adaptable
from .layer import Layer


class Embedding(Adaptable, Layer):
    """The row of a table for each id.

    Args:
        input_dim: Integer > 0, how many ids there are: 0 to `input_dim - 1`.
        output_dim: Integer > 0, the size of a row.
        embeddings_initializer: First values of the table.
        embeddings_regularizer: Its penalty.
        embeddings_constraint: What it is mapped by after each step.
        mask_zero: Whether the id 0 is masked.
        weights: A list of one array: the table.
        lora_rank: Integer or `None`: the rank of trained adapters; see `enable_lora`.
        lora_alpha: What the adapters are multiplied by, times `lora_rank`. Defaults to
            `lora_rank`.
        quantization_config: A `quantizers.QuantizationConfig`, for a quantized `dtype`.
        **kwargs: See `Layer`.

    Input shape: `(batch_size, ...)`. Output shape: `(batch_size, ..., output_dim)`.
    """

    _MAIN = "embeddings"
    _group_axis = 1

    def __init__(self, input_dim, output_dim, embeddings_initializer="uniform",
                 embeddings_regularizer=None, embeddings_constraint=None, mask_zero=False,
                 weights=None, lora_rank=None, lora_alpha=None, quantization_config=None, **kwargs):
        for name, value in (("input_dim", input_dim), ("output_dim", output_dim)):
            if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
                raise ValueError(f"Embedding: `{name}` must be a positive integer. Received: "
                                 f"{name}={value!r}")
        length = kwargs.pop("input_length", None)
        if length is not None:
            kwargs["input_shape"] = (length,)
        super().__init__(**kwargs)
        self._take_adaptation(lora_rank, lora_alpha, quantization_config)
        self.input_dim, self.output_dim = input_dim, output_dim
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = bool(mask_zero)
        self.supports_masking = self.mask_zero
        self.autocast = False
        self._take_weights(weights)

    def _take_weights(self, weights):
        """The argument `weights`: builds the layer with it, if it was given."""
        if weights is not None:
            self.build()
            self.set_weights(weights if isinstance(weights, list) else [weights])

    def build(self, input_shape=None):
        if self.built:
            return
        self._add_main((self.input_dim, self.output_dim))
        self._adapt()

    @property
    def embeddings(self):
        """The table, `(input_dim, output_dim)`: with its adapters, where there are some."""
        return self._merged()

    @property
    def input_dtype(self):
        """Whole numbers."""
        return "int32"

    def call(self, inputs):
        if inputs.dtype not in ("int32", "int64"):
            inputs = cast_array(inputs, "int32")
        if self.lora_enabled or self._is_quantized:
            return self._adapted_call(inputs)
        return cast_array(ops.take(self._main, inputs, axis=0), self.compute_dtype)

    def _adapted_call(self, inputs):
        outputs = ops.take(self._main, inputs, axis=0)
        if self._is_packed:
            scale = ops.take(self._scale, inputs, axis=0)
            zero = None if self._zero is None else ops.take(self._zero, inputs, axis=0)
            outputs = self._scaled(self._unpacked(outputs), scale, zero, -1)
        elif self._is_quantized:
            scale = ops.expand_dims(ops.take(self._scale, inputs, axis=0), -1)
            outputs = ops.divide(ops.cast(outputs, self.compute_dtype), scale)
        if self.lora_enabled:
            a, b = self._adapters
            low = ops.matmul(ops.take(a, inputs, axis=0), b)
            outputs = ops.add(outputs, ops.multiply(self._share, low))
        return cast_array(outputs, self.compute_dtype)

    def quantized_call(self, inputs):
        """The output with the table of 8 or 4 bits."""
        return self.call(inputs)

    def _shared_axes(self):
        return -1

    def _scale_shape(self, shape):
        return (shape[0],)

    def _scale_from_main(self, scale):
        return ops.squeeze(scale, -1)

    def _scale_for_main(self):
        return ops.expand_dims(self._scale, -1)

    def compute_mask(self, inputs, mask=None):
        return ops.not_equal(inputs, 0) if self.mask_zero else None

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.output_dim)

    def get_config(self):
        return {**super().get_config(), "input_dim": self.input_dim, "output_dim": self.output_dim,
                "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
                "embeddings_regularizer": regularizers.serialize(self.embeddings_regularizer),
                "activity_regularizer": regularizers.serialize(self.activity_regularizer),
                "embeddings_constraint": constraints.serialize(self.embeddings_constraint),
                "mask_zero": self.mask_zero, **self._adaptation_config()}
