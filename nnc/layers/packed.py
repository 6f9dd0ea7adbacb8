"""Weights of 4 bits, two a byte, as Keras packs them.

The weight is a matrix (see `_matrix_shape`) of whole numbers from -8 to 7, packed along its last
axis. Beside it stands a scale a channel (`w = whole / scale`), or, with blocks along the group axis, a
scale and a zero point a block and channel (`w = (whole - zero) * scale`), and for each place of that
axis the number of its block.
"""
from .. import ops, quantizers
from ..quantizers import AbsMaxQuantizer, Int4QuantizationConfig, QuantizationConfig

_RANGE = (-8, 7)


class Packed:
    """What `Adaptable` knows of 4 bits."""

    _is_packed = False
    _block = None               # places of a block; None: a scale a channel
    _group_axis = 0             # the axis of the matrix along which a scale is shared

    def _matrix_shape(self, shape):
        """The shape of the matrix that a weight of a shape is kept as."""
        return tuple(shape)

    def _block_for(self, config):
        """The block size that a configuration asks for, else the dtype policy."""
        source = config if isinstance(config, Int4QuantizationConfig) else self._own_policy
        block = getattr(source, "block_size", None)
        return None if block == -1 else block

    def _build_packed(self, shape, config):
        """Makes the packed weight and what belongs to it."""
        self.inputs_quantizer = QuantizationConfig.activation_quantizer_or_default(config, None)
        self._packed_shape, self._block = tuple(shape), self._block_for(config)
        matrix, axis = self._matrix_shape(shape), self._group_axis
        parts = [(self._MAIN, (matrix[0], (matrix[1] + 1) // 2), "int8", "zeros")]
        scale, kept = (matrix[1 - axis],), matrix[axis]
        if self._block is not None:
            blocks = -(-kept // self._block)
            scale = (blocks, *scale) if axis == 0 else (*scale, blocks)
        parts.append((f"{self._MAIN}_scale", scale, None, "ones"))
        if self._block is not None:
            parts += [(f"{self._MAIN}_zero", scale, "int8", "zeros"),
                      ("g_idx", (kept,), "float32", self._block_numbers)]
        for name, size, dtype, first in parts:
            setattr(self, f"_{name}" if name == self._MAIN else name, self.add_weight(
                name=name, shape=size, initializer=first, dtype=dtype, trainable=False))
        self._is_packed = True

    def _block_numbers(self, shape, dtype=None):
        return ops.floor_divide(ops.arange(shape[0], dtype=dtype), self._block)

    def _pack(self, value, config=None):
        """The values of the variables of `_build_packed`, but for the numbers of blocks."""
        matrix, axis = ops.reshape(value, self._matrix_shape(value.shape)), self._group_axis
        block = self._block_for(config)
        if block is None:
            quantizer = QuantizationConfig.weight_quantizer_or_default(config, AbsMaxQuantizer(
                axis=axis, value_range=_RANGE, output_dtype="int8"))
            whole, scale = quantizer(matrix, to_numpy=True)
            rest = [ops.squeeze(scale, axis)]
        else:
            parts = quantizers.abs_max_quantize_grouped_with_zero_point(
                ops.transpose(matrix) if axis else matrix, block, _RANGE, to_numpy=True)
            whole, *rest = [ops.transpose(part) for part in parts] if axis else parts
        return [quantizers.pack_int4(whole, axis=-1)[0], *rest]

    def _unpacked(self, packed):
        """The whole numbers of packed rows."""
        return quantizers.unpack_int4(packed, self._matrix_shape(self._packed_shape)[1], axis=-1)

    def _scaled(self, whole, scale, zero, axis):
        """Whole numbers as floating-point ones; `axis` is that of the blocks."""
        whole = ops.cast(whole, scale.dtype)
        if zero is None:
            return ops.divide(whole, ops.expand_dims(scale, axis))
        numbers = ops.cast(self.g_idx, "int32")
        scale, zero = (ops.take(part, numbers, axis=axis)
                       for part in (scale, ops.cast(zero, scale.dtype)))
        return ops.multiply(ops.subtract(whole, zero), scale)

    @property
    def _zero(self):
        return self.__dict__.get(f"{self._MAIN}_zero")

    def _floating_packed(self):
        """The weight in its own shape, in the dtype of the scale."""
        matrix = self._scaled(self._unpacked(self._main), self._scale, self._zero,
                              self._group_axis)
        return ops.reshape(matrix, self._packed_shape)
