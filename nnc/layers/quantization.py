"""Quantization as every layer and model knows it: mixed into `Layer` and `Model`."""
import re
import warnings


class LayerQuantization:
    """What a layer says of quantization; those with large weights override it."""

    @property
    def quantization_mode(self):
        """`"int8"`, `"int4"`, `"gptq"` or `"awq"` where the weights are quantized, else `None`."""
        return self._dtype_policy.quantization_mode

    def quantize(self, mode=None, type_check=True, config=None):
        """Turns the weights into whole numbers. Only some layers can do it."""
        raise self._no_quantization("quantize")

    def quantized_build(self, input_shape, mode):
        """Makes the quantized weights."""
        raise self._no_quantization("quantized_build")

    def quantized_call(self, *args, **kwargs):
        """What the layer computes with quantized weights."""
        raise self._no_quantization("quantized_call")

    def _check_quantize(self, mode):
        """Refuses what would keep `quantize` from working, before anything changes."""

    def _no_quantization(self, method):
        return NotImplementedError(f"Layer {type(self).__name__} does not have a `{method}()` "
                                   "method implemented.")


class ModelQuantization:
    """What a model does about it: the same for all its layers."""

    def quantize(self, mode=None, config=None, filters=None, **kwargs):
        """Quantizes the weights of all layers that can do it; the others are left, with a warning.

        Args:
            mode: `"int8"`, `"int4"`, `"gptq"` or `"awq"`; may be left out if `config` is given.
            config: A `quantizers.Int8QuantizationConfig` or `Int4QuantizationConfig`; with data
                to calibrate by, a `GPTQConfig` or `AWQConfig`: these quantize the `Dense` and
                `EinsumDense` layers of the blocks that they, or `get_quantization_layer_structure`,
                name, and leave all others as they are.
            filters: Which layers: a regular expression, a list of them (for names), or a function
                of a layer.
            **kwargs: `type_check`: whether layers derived from Keras's classes are left out.

        The model must be built, and compiled again before it is trained further.
        """
        from ..quantizers import resolve

        type_check = kwargs.pop("type_check", True)
        if kwargs:
            raise ValueError(f"quantize: unknown arguments {sorted(kwargs)}")
        if filters is not None and not callable(filters) and \
                not isinstance(filters, (str, list, tuple)):
            raise ValueError("quantize: `filters` must be a regular expression, a list of them, or "
                             f"a function. Received: filters={filters!r} (of type "
                             f"{type(filters).__name__})")
        config = resolve(mode, config, "quantize")
        if config.mode in ("gptq", "awq"):
            from ..calibration import calibrate

            calibrate(self, config, lambda layer: _passes(layer, filters) and (
                not type_check or type(layer).__module__.startswith("nnc.layers.")))
            return
        chosen = [layer for layer in self._flatten_layers() if len(layer._flatten_layers()) == 1
                  and (layer.weights or not layer.built) and _passes(layer, filters)]
        for layer in chosen:                            # all that is wrong, before any is changed
            layer._check_quantize(config.mode)
        for layer in chosen:
            try:
                layer.quantize(config.mode, type_check=type_check, config=config)
            except NotImplementedError as error:
                warnings.warn(str(error), stacklevel=2)

    def get_quantization_layer_structure(self, mode=None):
        """In which order layers follow one another, as `"gptq"` and `"awq"` have to know: a
        dictionary with `"pre_block_layers"` and `"sequential_blocks"`. `None` unless overridden.
        """
        return None


def _passes(layer, filters):
    if filters is None:
        return True
    if callable(filters):
        return bool(filters(layer))
    names = [filters] if isinstance(filters, str) else filters
    return any(re.search(name, layer.name) for name in names)
