"""Tables of vectors."""
from .. import constraints, initializers, ops, regularizers
from ..ops.core import cast_array
from .layer import Layer


class Embedding(Layer):
    """The row of a table for each id.

    Args:
        input_dim: Integer > 0, how many ids there are: 0 to `input_dim - 1`.
        output_dim: Integer > 0, the size of a row.
        embeddings_initializer: First values of the table.
        embeddings_regularizer: Its penalty.
        embeddings_constraint: What it is mapped by after each step.
        mask_zero: Whether the id 0 is masked.
        weights: A list of one array: the table.
        lora_rank: Must be `None`: there is no LoRA here.
        lora_alpha: Must be `None`.
        quantization_config: Must be `None`: weights are not quantized here.
        **kwargs: See `Layer`.

    Input shape: `(batch_size, ...)`. Output shape: `(batch_size, ..., output_dim)`.
    """

    def __init__(self, input_dim, output_dim, embeddings_initializer="uniform",
                 embeddings_regularizer=None, embeddings_constraint=None, mask_zero=False,
                 weights=None, lora_rank=None, lora_alpha=None, quantization_config=None, **kwargs):
        for name, value in (("input_dim", input_dim), ("output_dim", output_dim)):
            if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
                raise ValueError(f"Embedding: `{name}` must be a positive integer. Received: "
                                 f"{name}={value!r}")
        for name, value in (("lora_rank", lora_rank), ("lora_alpha", lora_alpha),
                            ("quantization_config", quantization_config)):
            if value is not None:
                raise ValueError(f"Embedding: `{name}` is not supported here, expected None. "
                                 f"Received: {name}={value!r}")
        length = kwargs.pop("input_length", None)
        if length is not None:
            kwargs["input_shape"] = (length,)
        super().__init__(**kwargs)
        self.input_dim, self.output_dim = input_dim, output_dim
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = bool(mask_zero)
        self.supports_masking = self.mask_zero
        self.autocast = False
        if weights is not None:
            self.build()
            if not (isinstance(weights, list) and len(weights) == 1):
                weights = [weights]
            self.set_weights(weights)

    def build(self, input_shape=None):
        if self.built:
            return
        self.embeddings = self.add_weight(name="embeddings",
                                          shape=(self.input_dim, self.output_dim),
                                          initializer=self.embeddings_initializer,
                                          regularizer=self.embeddings_regularizer,
                                          constraint=self.embeddings_constraint)

    @property
    def input_dtype(self):
        """Whole numbers."""
        return "int32"

    def call(self, inputs):
        if inputs.dtype not in ("int32", "int64"):
            inputs = cast_array(inputs, "int32")
        return ops.take(self.embeddings, inputs, axis=0)

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
                "mask_zero": self.mask_zero, "quantization_config": None}
