"""Pipeline: preprocessing layers one after another."""
from .layer import Layer


class Pipeline(Layer):
    """Layers one after another, for data: arrays, strings, or dicts of them.

    Args:
        layers: List of layers.
        name: Name.

    Unlike `Sequential` it is no model; layers that change data at random do so unless it is called
    with `training=False`.
    """

    _takes_strings = True

    def __init__(self, layers, name=None):
        super().__init__(name=name)
        if not isinstance(layers, (list, tuple)) or not all(isinstance(layer, Layer)
                                                            for layer in layers):
            raise ValueError(f"Pipeline: `layers` must be a list of layers. Received: {layers!r}")
        self._pipeline_layers = list(layers)
        self.autocast = False
        self._build_at_init()

    @property
    def layers(self):
        """The layers."""
        return self._pipeline_layers

    _given_on = True

    def _convert(self, value, positional):
        return value                    # each layer takes what it is given as it wants it

    def call(self, inputs, training=True, mask=None):
        for layer in self._pipeline_layers:
            kwargs = {}
            if layer._signature.mask and mask is not None:
                kwargs["mask"] = mask
            if layer._signature.training and training is not None:
                kwargs["training"] = training
            inputs = layer(inputs, **kwargs)
            mask = getattr(inputs, "_keras_mask", None)
        return inputs

    def compute_output_spec(self, inputs, training=True, mask=None):
        for layer in self._pipeline_layers:
            inputs = layer.compute_output_spec(inputs)
        return inputs

    def compute_output_shape(self, input_shape):
        for layer in self._pipeline_layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def get_config(self):
        from ..saving.object_registration import serialize_keras_object

        return {"layers": serialize_keras_object(self._pipeline_layers), "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The layer that `get_config` described."""
        from ..saving.object_registration import deserialize_keras_object

        layers = config.get("layers")
        if not isinstance(layers, (list, tuple)):
            raise ValueError("Pipeline: the configuration must hold a list of `layers`. Received: "
                             f"layers={layers!r}")
        return cls(**{**config, "layers": [deserialize_keras_object(layer, custom_objects)
                                           for layer in layers]})
