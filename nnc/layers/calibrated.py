"""Weights that were quantized with an eye on data (GPTQ, AWQ), as Keras keeps them.

The weight is a matrix (see `Packed._matrix_shape`), turned: `(columns, rows)` whole numbers from 0
on, in uint8, those of 4 bits two a byte along the first axis. Beside it stand scale and zero point of
each output and group, `(columns, groups)`, the group of each row, and, for AWQ, what each row was
multiplied by: `w = (whole - zero) * scale / stretch`.
"""
from .. import dtype_policies, ops, quantizers


class Calibrated:
    """What `Adaptable` knows of such weights."""

    _is_calibrated = False
    _ZERO_NAME = "kernel_zero"

    def _build_calibrated(self, shape, mode, config):
        """Makes the variables for a weight of this shape."""
        source = self._own_policy if config is None else config
        bits, group = source.weight_bits, source.group_size
        rows, columns = self._matrix_shape(shape)
        groups = 1 if group == -1 else -(-rows // group)
        self._packed_shape, self._bits, self.inputs_quantizer = tuple(shape), bits, None
        self._block = group
        stored = (columns + 1) // 2 if bits == 4 else columns
        parts = [("_kernel", "kernel", (stored, rows), "uint8", "zeros"),
                 ("kernel_scale", "kernel_scale", (columns, groups), None, "ones"),
                 ("kernel_zero", self._ZERO_NAME, (columns, groups), "uint8", "zeros")]
        if mode == "awq":
            parts.append(("awq_scales", "awq_scales", (rows,), None, "ones"))
        parts.append(("g_idx", "g_idx", (rows,), "float32", "zeros"))
        for attribute, name, size, dtype, first in parts:
            setattr(self, attribute, self.add_weight(name=name, shape=size, initializer=first,
                                                     dtype=dtype, trainable=False))
        self._is_quantized = self._is_calibrated = True

    def _check_calibration(self):
        """Refuses a layer whose weight cannot be calibrated, before anything changes."""
        if self.lora_enabled:
            raise ValueError(f"Layer '{self.name}': quantize: a weight with adapters cannot be "
                             "calibrated. Save and load the model first, which merges them.")

    def _calibration_inputs(self, inputs):
        """The inputs with the axes that the weight sums over last, in its order."""
        return inputs

    def _calibrated_names(self):
        """The attributes beside the weight, in the order of files."""
        stretch = ["awq_scales"] if "awq_scales" in self.__dict__ else []
        return ["kernel_scale", "kernel_zero", *stretch, "g_idx"]

    def _take_calibrated(self, whole, values, config):
        """Puts a calibrated weight in the place of the floating-point one.

        Args:
            whole: `(columns, rows)`, uint8.
            values: Those of `_calibrated_names`.
            config: The `GPTQConfig` or `AWQConfig`.
        """
        shape = self._full_shape
        if config.weight_bits == 4:
            whole = quantizers.pack_int4(whole, axis=0, dtype="uint8")[0]
        del self._kernel
        self.quantized_build(shape, config.mode, config)
        self._kernel.assign(whole)
        for name, value in zip(self._calibrated_names(), values, strict=True):
            getattr(self, name).assign(value)
        self.quantization_config = config
        self._dtype_policy = dtype_policies.get(
            f"{config.dtype_policy_string()}_from_{self._dtype_policy.name}")

    def _floating_calibrated(self):
        """The weight in its own shape, in the dtype of the scale."""
        rows, columns = self._matrix_shape(self._packed_shape)
        whole = self._main
        if self._bits == 4:
            whole = quantizers.unpack_int4(whole, columns, axis=0, dtype="uint8")
        matrix = ops.transpose(self._scaled(whole, self._scale, self._zero, -1))
        if "awq_scales" in self.__dict__:
            matrix = ops.divide(matrix, ops.expand_dims(self.awq_scales, -1))
        return ops.reshape(matrix, self._packed_shape)
