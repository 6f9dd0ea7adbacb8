"""Layers around a layer."""
from .. import ops
from .layer import Layer


class Wrapper(Layer):
    """Base of layers that hold one layer.

    Args:
        layer: The layer.
        **kwargs: See `Layer`.
    """

    def __init__(self, layer, **kwargs):
        if not isinstance(layer, Layer):
            raise ValueError(f"{type(self).__name__}: `layer` must be a layer. Received: "
                             f"layer={layer!r} (of type {type(layer).__name__})")
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape=None):
        if not self.layer.built:
            self.layer.build(input_shape)
            self.layer.built = True

    def get_config(self):
        from ..saving.object_registration import serialize_keras_object

        return {"layer": serialize_keras_object(self.layer), **super().get_config()}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The layer that `get_config` described."""
        from ..saving.object_registration import deserialize_keras_object

        config = dict(config)
        layer = deserialize_keras_object(config.pop("layer"), custom_objects=custom_objects)
        return cls(layer, **config)


class TimeDistributed(Wrapper):
    """A layer applied to each step of a sequence `(batch_size, time, ...)`.

    Args:
        layer: The layer.
        **kwargs: See `Layer`.

    Layers that treat each row by itself get all steps at once; others (normalization over the
    batch, recurrent ones) are called step by step, as in Keras.
    """

    def __init__(self, layer, **kwargs):
        super().__init__(layer, **kwargs)
        self.supports_masking = True

    def _inner(self, input_shape):
        if not isinstance(input_shape, (list, tuple)) or len(input_shape) < 3:
            raise ValueError(f"TimeDistributed layer '{self.name}': the input must have at least 3 "
                             f"axes. Received: input_shape={input_shape}")
        return (input_shape[0], *input_shape[2:])

    def build(self, input_shape):
        super().build(self._inner(tuple(input_shape)))

    def compute_output_shape(self, input_shape):
        shape = self.layer.compute_output_shape(self._inner(tuple(input_shape)))
        return (shape[0], input_shape[1], *shape[1:])

    def call(self, inputs, training=None, mask=None):
        b, t = inputs.shape[:2]
        if mask is not None and tuple(mask.shape[:2]) != (b, t):
            raise ValueError(f"TimeDistributed layer '{self.name}': the mask must begin with the "
                             f"inputs' batch and time axes. Received: mask.shape="
                             f"{tuple(mask.shape)}, inputs.shape={tuple(inputs.shape)}")
        takes = self.layer._signature
        options = {"training": training} if takes.training else {}
        if not (takes.mask and mask is not None) and self._by_rows():
            y = self.layer.call(ops.reshape(inputs, (b * t, *inputs.shape[2:])), **options)
            return ops.reshape(y, (b, t, *y.shape[1:]))
        steps = []
        for i in range(t):
            if takes.mask and mask is not None:
                options["mask"] = mask[:, i]
            steps.append(self.layer.call(inputs[:, i], **options))
        return ops.stack(steps, axis=1)

    def _by_rows(self):
        from ..predicting import rows_are_independent
        from .normalization import BatchNormalization

        return rows_are_independent(self.layer) and not any(
            isinstance(inner, BatchNormalization) for inner in self.layer._flatten_layers())
