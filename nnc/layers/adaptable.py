"""What layers with one large weight share: low-rank adapters (LoRA), and weights of 8 bits.

LoRA: the weight `w` is frozen, and `w + (alpha / rank) a b` takes its place, with `a` of `rank`
columns and `b` of `rank` rows, which are trained. The product is never made in a call: `x a b` costs
little beside `x w`. Files hold the merged weight, as Keras's do.

8 bits: `w` becomes whole numbers and a scale a channel, and nothing trains it any more; adapters
beside it can be trained.

Source: Hu et al., 2021 (arXiv:2106.09685).
"""
from .. import _core, dtype_policies, initializers, ops, quantizers
from .._core import op
from ..quantizers import AbsMaxQuantizer, QuantizationConfig
from ..saving.state import fill, settle

_MAX_SUM = 1 << 17                      # products that the op sums exactly


class Adaptable:
    """Mixed into a layer before `Layer`. The layer names its weight in `_MAIN` and says how it is
    quantized.
    """

    _MAIN = "kernel"
    _is_quantized = False
    lora_enabled = False

    # ---- what the layers call ----

    def _take_adaptation(self, rank, alpha, config):
        """The arguments `lora_rank`, `lora_alpha` and `quantization_config`, checked."""
        who = type(self).__name__
        if rank is not None:
            _check_rank(who, "lora_rank", rank, alpha)
        if isinstance(config, dict):
            config = quantizers.get(config)
        if config is not None and not isinstance(config, QuantizationConfig):
            raise ValueError(f"{who}: `quantization_config` must be a QuantizationConfig. Received: "
                             f"quantization_config={config!r}")
        if self.quantization_mode not in (None, "int8"):
            raise NotImplementedError(f"{who}: weights are quantized to 'int8' only. Received: "
                                      f"dtype={self._dtype_policy.name!r}")
        self.lora_rank, self.lora_alpha = rank, rank if alpha is None else alpha
        self.lora_enabled = False
        self.quantization_config = config

    def _add_main(self, shape):
        """Makes the weight, in the layer's dtype or quantized."""
        if self.quantization_mode is not None:
            self.quantized_build(shape, self.quantization_mode, self.quantization_config)
            return
        get = [getattr(self, f"{self._MAIN}_{part}")
               for part in ("initializer", "regularizer", "constraint")]
        setattr(self, f"_{self._MAIN}", self.add_weight(
            name=self._MAIN, shape=shape, initializer=get[0], regularizer=get[1],
            constraint=get[2]))

    def _adapt(self):
        """At the end of `build`: adapters, where the arguments ask for them."""
        if self.lora_rank:
            self.built = True
            self.enable_lora(self.lora_rank, self.lora_alpha)

    def _adaptation_config(self):
        config = {"quantization_config": quantizers.serialize(self.quantization_config)}
        if self.lora_rank:
            config.update(lora_rank=self.lora_rank, lora_alpha=self.lora_alpha)
        return config

    @property
    def _main(self):
        main = self.__dict__.get(f"_{self._MAIN}")
        if main is None:
            raise AttributeError(f"Layer '{self.name}': build the layer before reading "
                                 f"`{self._MAIN}`.")
        return main

    @property
    def _scale(self):
        return self.__dict__[f"{self._MAIN}_scale"]

    def _merged(self):
        """The weight that calls compute with, as a variable or a tensor."""
        if not self.lora_enabled:
            return self._main
        return ops.add(self._floating(), ops.multiply(self._share, ops.matmul(*self._adapters)))

    def _floating(self):
        """The weight without adapters, in the layer's dtype."""
        if not self._is_quantized:
            return self._main
        return ops.divide(ops.cast(self._main, self.variable_dtype), self._scale_for_main())

    @property
    def _adapters(self):
        values = self.__dict__
        return values[f"lora_{self._MAIN}_a"], values[f"lora_{self._MAIN}_b"]

    @property
    def _share(self):
        return self.lora_alpha / self.lora_rank

    # ---- adapters ----

    def enable_lora(self, rank, lora_alpha=None, a_initializer="he_uniform",
                    b_initializer="zeros"):
        """Freezes the weight and puts two trained matrices beside it.

        Args:
            rank: Integer > 0: columns of the first, rows of the second.
            lora_alpha: The product is multiplied by `lora_alpha / rank`. Defaults to `rank`.
            a_initializer, b_initializer: First values; zeros in one leave the layer as it was.

        Raises:
            ValueError: If the layer is not built, has adapters, or constrains the weight.

        Unlike in Keras, `lora_alpha` of `Dense` and `Embedding` outlives a file, and setting
        `trainable` does not thaw the weight.
        """
        who = f"Layer '{self.name}': enable_lora"
        _check_rank(who, "rank", rank, lora_alpha)
        if getattr(self, f"{self._MAIN}_constraint"):
            raise ValueError(f"{who}: adapters and `{self._MAIN}_constraint` do not go together; "
                             "remove the constraint.")
        if not self.built:
            raise ValueError(f"{who}: the layer has no weights yet. Build it first.")
        if self.lora_enabled:
            raise ValueError(f"{who}: the layer has adapters already.")
        a_initializer, b_initializer = (initializers.get(given) for given in (a_initializer,
                                                                              b_initializer))
        shape, regularizer = self._full_shape, getattr(self, f"{self._MAIN}_regularizer")
        for part, size, initializer in (("a", (*shape[:-1], rank), a_initializer),
                                        ("b", (rank, shape[-1]), b_initializer)):
            name = f"lora_{self._MAIN}_{part}"
            setattr(self, name, self.add_weight(
                name=name, shape=size, initializer=initializer, dtype=self.variable_dtype,
                regularizer=regularizer))
        self._main.trainable = self._main._was_trainable = False
        if self._is_quantized:                          # weights are listed trained ones first
            self._own_variables.sort(key=lambda v: v is self._main or v is self._scale)
        self.lora_enabled = True
        self.lora_rank, self.lora_alpha = rank, rank if lora_alpha is None else lora_alpha

    @property
    def _full_shape(self):
        return tuple(self._main.shape)

    # ---- eight bits ----

    def _check_quantize(self, mode):
        if not self.built:
            raise ValueError(f"Layer '{self.name}': cannot quantize a layer that has no weights "
                             "yet. Build it first.")
        if self._is_quantized:
            raise ValueError(f"Layer '{self.name}' is already quantized with "
                             f"dtype_policy='{self._dtype_policy.name}'. Received: mode={mode}")

    def quantize(self, mode=None, type_check=True, config=None):
        """Turns the weight into whole numbers of 8 bits and a scale a channel.

        Args:
            mode: `"int8"`.
            type_check: Whether a class derived from Keras's layer is refused.
            config: A `quantizers.Int8QuantizationConfig`.

        Raises:
            ValueError: If the layer is not built, or quantized already.
            NotImplementedError: For another mode.
        """
        if type_check and not type(self).__module__.startswith("nnc.layers."):
            raise self._no_quantization("quantize")
        config = quantizers.resolve(mode, config, f"Layer '{self.name}': quantize")
        self._check_quantize(config.mode)
        shape = self._full_shape
        with _core.no_trace():
            value, scale = self._to_whole(self._main, config)
        adapters = self.lora_enabled
        delattr(self, f"_{self._MAIN}")
        self.quantized_build(shape, config.mode, config)
        self._main.assign(value)
        self._scale.assign(scale)
        if adapters:
            self._main._was_trainable = False
        self.quantization_config = config
        self._dtype_policy = dtype_policies.get(f"{config.mode}_from_{self._dtype_policy.name}")

    def quantized_build(self, input_shape, mode, config=None):
        """Makes the weight of 8 bits and its scale; `input_shape` is the weight's."""
        if mode != "int8":
            raise NotImplementedError(f"Layer '{self.name}': weights are quantized to 'int8' only. "
                                      f"Received: mode={mode!r}")
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
        """Whole numbers and scale of the weight, the scale in the shape that it is kept in."""
        quantizer = QuantizationConfig.weight_quantizer_or_default(
            config, AbsMaxQuantizer(axis=self._shared_axes()))
        value, scale = quantizer(ops.convert_to_tensor(value), to_numpy=True)
        return value, self._scale_from_main(scale)

    # ---- files ----

    def _saved_names(self):
        """The weights that files hold, in their order."""
        names = [self._MAIN]
        if getattr(self, "bias", None) is not None:
            names.append("bias")
        return names + [f"{self._MAIN}_scale"] if self._is_quantized else names

    def _saved_variables(self):
        """Those weights; what a derived class has beside follows."""
        if f"_{self._MAIN}" not in self.__dict__:
            return []
        values = self.__dict__
        found = [self._main if name == self._MAIN else values[name]
                 for name in self._saved_names()]
        known = {id(v) for v in (*found, *(self._adapters if self.lora_enabled else ()))}
        return found + [v for v in self._own_in_order() if id(v) not in known]

    def save_own_variables(self, store):
        """Writes the layer's own variables, adapters merged, under their numbers."""
        values = self._saved_variables()
        if self.lora_enabled:
            with _core.no_trace():
                merged = self._merged()
                new = self._to_whole(merged) if self._is_quantized else (merged,)
            values[0] = new[0]
            if self._is_quantized:
                values[len(self._saved_names()) - 1] = new[1]
        for i, value in enumerate(values):
            store[str(i)] = value

    def _check_own_variables(self, store):
        if type(self).load_own_variables is Adaptable.load_own_variables:
            self._compare(store, self._saved_variables())

    def load_own_variables(self, store):
        """Reads them; adapters begin anew, from zero."""
        variables = self._saved_variables()
        self._compare(store, variables)
        for i, variable in enumerate(variables):
            fill(variable, store, str(i))
        if self.lora_enabled:
            for variable in self._adapters:
                variable.assign(ops.zeros(variable.shape, variable.dtype))
                settle(variable)


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


def _check_rank(who, name, rank, alpha):
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise ValueError(f"{who}: `{name}` must be a positive integer. Received: {name}={rank!r}")
    if alpha is not None and (isinstance(alpha, bool) or not isinstance(alpha, (int, float))):
        raise ValueError(f"{who}: `lora_alpha` must be a number. Received: lora_alpha={alpha!r}")
