"""Quantizers: numbers as whole numbers of 8 (or 4) bits and a scale; and how layers use them.

`q = round(x * scale)` with `scale = high / (max|x| + epsilon)`, so that `x` is about `q / scale`.
A layer's weights are quantized once, a scale a channel; its inputs at each call, a scale a row.

What serves only training on accelerators (float8) is refused where it is asked for.
"""
import numpy as np

from . import identifiers, ops
from .ops.core import cast_array, standardize_dtype, tensor

_EPSILON = 1e-7
MODES = ("int8", "float8", "int4", "gptq", "awq")


class Quantizer:
    """Base class: called with a tensor, gives the quantized one.

    Args:
        output_dtype: The dtype of the quantized numbers.
    """

    def __init__(self, output_dtype="int8"):
        self.output_dtype = output_dtype

    def __call__(self, x):
        """The quantized tensor; here `x` itself."""
        return x

    @classmethod
    def from_config(cls, config):
        """The quantizer that `get_config` described."""
        return cls(**config)

    def get_config(self):
        """The arguments of `__init__` as a dictionary. To be overridden."""
        raise NotImplementedError(f"{type(self).__name__} does not implement get_config()")


class AbsMaxQuantizer(Quantizer):
    """Scales by the largest magnitude along an axis: `abs_max_quantize` as an object.

    Args:
        axis: Integer or tuple, the axes that share a scale; may be given in the call instead.
        value_range: The smallest and the largest whole number.
        epsilon: What is added to the largest magnitude, against division by zero.
        output_dtype: The dtype of the quantized numbers.

    Raises:
        ValueError: If the range does not fit int8.
    """

    def __init__(self, axis=None, value_range=(-127, 127), epsilon=_EPSILON, output_dtype="int8"):
        super().__init__(output_dtype)
        self.axis = (axis,) if isinstance(axis, int) else None if axis is None else tuple(axis)
        self.value_range = tuple(value_range)
        self.epsilon = epsilon
        if output_dtype == "int8" and (value_range[0] < -128 or value_range[1] > 127):
            raise ValueError("AbsMaxQuantizer: `value_range` must lie within (-128, 127) for "
                             f"output_dtype='int8'. Received: value_range={value_range}")

    def __call__(self, x, axis=None, to_numpy=False):
        """The quantized tensor and the scale, for `axis` (else the constructor's, else -1)."""
        axis = self.axis if axis is None else axis
        return abs_max_quantize(x, -1 if axis is None else axis, self.value_range,
                                self.output_dtype, self.epsilon, to_numpy)

    def get_config(self):
        config = {"value_range": self.value_range, "epsilon": self.epsilon,
                  "output_dtype": self.output_dtype}
        return config if self.axis is None else {**config, "axis": self.axis}


def abs_max_quantize(inputs, axis, value_range=(-127, 127), dtype="int8", epsilon=_EPSILON,
                     to_numpy=False):
    """Quantizes by the largest magnitude along axes.

    Args:
        inputs: The tensor.
        axis: Integer or tuple: the axes that share a scale.
        value_range: The smallest and the largest whole number.
        dtype: The dtype of the quantized numbers.
        epsilon: What is added to the largest magnitude.
        to_numpy: Accepted as Keras's argument; the numbers are the same.

    Returns:
        The quantized tensor, and the scale, whose `axis` have size 1.
    """
    inputs = tensor(inputs)
    largest = ops.max(ops.abs(inputs), axis=axis, keepdims=True)
    scale = ops.divide(ops.cast(value_range[1], inputs.dtype),
                       ops.add(largest, ops.cast(epsilon, inputs.dtype)))
    outputs = ops.clip(ops.round(ops.multiply(inputs, scale)), *value_range)
    return ops.cast(outputs, dtype), scale


def abs_max_quantize_grouped_with_zero_point(inputs, block_size, value_range=(-8, 7), dtype="int8",
                                             epsilon=_EPSILON, to_numpy=False):
    """Quantizes a matrix in blocks of rows, each with a scale and a zero point a column.

    Args:
        inputs: `(rows, columns)`.
        block_size: Rows of a block; the last may be shorter.
        value_range: The smallest and the largest whole number.
        dtype: The dtype of the quantized numbers.
        epsilon: What is added to the range of a block.
        to_numpy: Accepted as Keras's argument; the numbers are those of Keras's `to_numpy=True`.

    Returns:
        The quantized matrix; scale `(blocks, columns)`; zero point of the same shape, int8.
    """
    inputs = tensor(inputs)
    if len(inputs.shape) != 2 or isinstance(block_size, bool) or not isinstance(block_size, int) \
            or block_size < 1:
        raise ValueError("abs_max_quantize_grouped_with_zero_point: expected a matrix and a "
                         f"`block_size` >= 1. Received: shape {tuple(inputs.shape)}, "
                         f"block_size={block_size!r}")
    rows, columns = inputs.shape
    blocks, (low, high) = -(-rows // block_size), value_range
    padded = ops.pad(inputs, ((0, blocks * block_size - rows), (0, 0)))
    cut = ops.reshape(padded, (blocks, block_size, columns))
    smallest, largest = ops.min(cut, axis=1, keepdims=True), ops.max(cut, axis=1, keepdims=True)
    scale = ops.divide(ops.add(ops.subtract(largest, smallest), epsilon), float(high - low))
    zero = ops.clip(ops.add(ops.round(ops.divide(ops.negative(smallest), scale)), float(low)),
                    low, high)
    quantized = ops.clip(ops.add(ops.round(ops.divide(cut, scale)), zero), low, high)
    quantized = ops.cast(ops.reshape(quantized, (blocks * block_size, columns))[:rows], dtype)
    return quantized, ops.squeeze(scale, 1), ops.cast(ops.squeeze(zero, 1), "int8")


def fake_quant_with_min_max_vars(inputs, min_vals, max_vals, num_bits=8, narrow_range=False,
                                 axis=None):
    """`inputs` as they would be after quantization and back, within `[min_vals, max_vals]`.

    Args:
        inputs: A floating-point tensor.
        min_vals, max_vals: The range: scalars, or one number a channel.
        num_bits: Bits of the whole numbers.
        narrow_range: Whether the smallest of them is left out.
        axis: The axis of the channels; `None`: one range for all.

    Gradients pass within the range; outside, they go to its ends.
    """
    inputs, min_vals, max_vals = tensor(inputs), tensor(min_vals), tensor(max_vals)
    shape = () if axis is None else tuple(
        n if i == axis % len(inputs.shape) else 1 for i, n in enumerate(inputs.shape))
    low, high = (ops.reshape(ops.cast(v, inputs.dtype), shape) for v in (min_vals, max_vals))
    first, last = float(narrow_range), float((1 << int(num_bits)) - 1)
    step = ops.divide(ops.subtract(high, low), last - first)
    inverse = ops.divide(last - first, ops.subtract(high, low))
    zero = ops.round(ops.clip(first - ops.divide(low, step), first, last))

    def nudged(value, end):
        """The end of the range that zero is a whole step from; its gradient is the range's."""
        exact = ops.multiply(ops.subtract(end, zero), step)
        return ops.add(value, ops.stop_gradient(ops.subtract(exact, value))), exact
    (start, exact), (stop, _) = nudged(low, first), nudged(high, last)
    kept = ops.minimum(ops.maximum(inputs, start), stop)
    offset = ops.floor(ops.add(ops.multiply(ops.negative(exact), inverse), 0.5))
    steps = ops.subtract(ops.multiply(ops.subtract(kept, exact), inverse), offset)
    result = ops.multiply(ops.floor(ops.add(steps, 0.5)), step)
    return ops.add(kept, ops.stop_gradient(ops.subtract(result, kept)))


# ---- four bits -----------------------------------------------------------------------------------

def pack_int4(arr, axis=0, dtype="int8"):
    """Two numbers of 4 bits a byte: the first in the low half, along `axis`.

    Args:
        arr: int8 numbers from -8 to 7 (or uint8 from 0 to 15).
        axis: The axis that is halved; an odd one gets a zero at its end.
        dtype: `"int8"` or `"uint8"`.

    Returns:
        The packed tensor, its shape, and the length of `axis` before.
    """
    _check_four_bits("pack_int4", dtype)
    arr = tensor(arr)
    if arr.dtype != dtype:
        raise TypeError(f"pack_int4: expected a tensor of {dtype}. Received: {arr.dtype}")
    numbers = np.moveaxis(arr.numpy(), axis, 0).view(np.uint8)
    count = numbers.shape[0]
    if count % 2:
        numbers = np.concatenate([numbers, np.zeros_like(numbers[:1])])
    packed = (numbers[::2] & 0x0F) | (numbers[1::2] & 0x0F) << 4
    packed = np.ascontiguousarray(np.moveaxis(packed, 0, axis)).view(dtype)
    return ops.convert_to_tensor(packed), packed.shape, count


def unpack_int4(packed, orig_len, axis=0, dtype="int8"):
    """What `pack_int4` packed.

    Args:
        packed: int8 or uint8, two numbers a byte along `axis`.
        orig_len: The length of `axis` before packing.
        axis: The axis that was halved.
        dtype: `"int8"` for numbers from -8 to 7, `"uint8"` for 0 to 15.
    """
    _check_four_bits("unpack_int4", dtype)
    packed = tensor(packed)
    if packed.dtype not in ("int8", "uint8"):
        raise TypeError(f"unpack_int4: expected a tensor of int8 or uint8. Received: "
                        f"{packed.dtype}")
    axis %= len(packed.shape)
    four = ops.cast(4, packed.dtype)
    if packed.dtype == dtype == "int8":                 # shifts to the right keep the sign
        halves = [ops.right_shift(ops.left_shift(packed, four), four), ops.right_shift(packed, four)]
    else:
        halves = [ops.bitwise_and(half, ops.cast(15, packed.dtype))
                  for half in (packed, ops.right_shift(packed, four))]
        if dtype == "int8":
            eight = ops.cast(8, packed.dtype)
            halves = [ops.subtract(ops.bitwise_xor(half, eight), eight) for half in halves]
    shape = list(packed.shape)
    shape[axis] *= 2
    both = ops.reshape(ops.stack(halves, axis=axis + 1), shape)
    kept = tuple(slice(orig_len) if i == axis else slice(None) for i in range(len(shape)))
    return cast_array(both[kept], dtype)


def _check_four_bits(who, dtype):
    if dtype not in ("int8", "uint8"):
        raise ValueError(f"{who}: `dtype` must be 'int8' or 'uint8'. Received: dtype={dtype!r}")


# ---- float8 --------------------------------------------------------------------------------------

def compute_float8_scale(amax, scale, dtype_max, margin=0):
    """The next scale of float8 training, from the largest magnitude seen."""
    amax, before = tensor(amax), ops.reciprocal(scale)
    wanted = ops.divide(ops.divide(dtype_max, amax), 2.0 ** margin)
    fits = ops.logical_and(ops.greater(amax, 0.0), ops.isfinite(amax))
    return ops.reciprocal(ops.where(fits, wanted, before))


def compute_float8_amax_history(x, amax_history):
    """The history of the largest magnitudes, the newest first."""
    amax_history = tensor(amax_history)
    newest = ops.reshape(ops.cast(ops.max(ops.abs(x)), amax_history.dtype), (1,))
    return ops.concatenate([newest, ops.roll(amax_history, -1)[1:]])


def quantize_and_dequantize(inputs, scale, quantized_dtype, compute_dtype):
    """`inputs` rounded to int8 and back, with `x / scale` as the whole number.

    Raises:
        NotImplementedError: For float8, which only accelerators compute in.
    """
    if standardize_dtype(quantized_dtype) != "int8":
        raise NotImplementedError("quantize_and_dequantize: float8 serves training on "
                                  "accelerators; here `quantized_dtype` must be 'int8'. "
                                  f"Received: quantized_dtype={quantized_dtype!r}")
    scale = ops.cast(scale, compute_dtype)
    x = ops.clip(ops.divide(ops.cast(inputs, compute_dtype), scale), -127.0, 127.0)
    return ops.multiply(ops.cast(ops.cast(x, "int8"), compute_dtype), scale)


# ---- how layers are quantized --------------------------------------------------------------------

class QuantizationConfig:
    """Base class of what `quantize` is told.

    Args:
        weight_quantizer: Called with a weight, gives whole numbers and a scale; `None`: the
            layer's own.
        activation_quantizer: The same for inputs; `None`: they stay as they are.
    """

    def __init__(self, weight_quantizer=None, activation_quantizer=None):
        self.weight_quantizer = weight_quantizer
        self.activation_quantizer = activation_quantizer

    @property
    def mode(self):
        """The quantization mode."""
        raise NotImplementedError("QuantizationConfig: `mode` is defined by the derived classes. "
                                  "Use Int8QuantizationConfig.")

    def get_config(self):
        """The arguments of `__init__` as a dictionary."""
        return {"weight_quantizer": serialize(self.weight_quantizer),
                "activation_quantizer": serialize(self.activation_quantizer)}

    @classmethod
    def from_config(cls, config):
        """The configuration that `get_config` described."""
        return cls(**{key: get(value) for key, value in config.items()})

    @staticmethod
    def weight_quantizer_or_default(config, default):
        """The weights' quantizer of a configuration, else `default`."""
        own = None if config is None else config.weight_quantizer
        return default if own is None else own

    @staticmethod
    def activation_quantizer_or_default(config, default):
        """The inputs' quantizer of a configuration; `default` if there is none."""
        return default if config is None else config.activation_quantizer


class Int8QuantizationConfig(QuantizationConfig):
    """Weights in 8 bits, inputs quantized at each call.

    Args:
        weight_quantizer: A quantizer with `output_dtype="int8"`, or `None`.
        activation_quantizer: `"default"`: `AbsMaxQuantizer()`; `None`: inputs stay as they are.
    """

    def __init__(self, weight_quantizer=None, activation_quantizer="default"):
        if activation_quantizer == "default":
            activation_quantizer = AbsMaxQuantizer()
        super().__init__(weight_quantizer, activation_quantizer)
        if weight_quantizer is not None and weight_quantizer.output_dtype != "int8":
            raise ValueError("Int8QuantizationConfig: `weight_quantizer` must have "
                             "output_dtype='int8'. Received: "
                             f"output_dtype={weight_quantizer.output_dtype}")

    @property
    def mode(self):
        return "int8"


class Int4QuantizationConfig(QuantizationConfig):
    """Weights in 4 bits, two a byte.

    Args:
        weight_quantizer: With a scale a channel: a quantizer with `value_range=(-8, 7)` and
            `output_dtype="int8"`, or `None`.
        activation_quantizer: With a scale a channel: a quantizer of the inputs; `"default"` and
            `None`: inputs stay as they are.
        block_size: Weights of one output that share a scale and a zero point; `None` or -1: all
            share a scale, without a zero point.
    """

    def __init__(self, weight_quantizer=None, activation_quantizer="default", block_size=128):
        who = "Int4QuantizationConfig"
        if activation_quantizer == "default":
            activation_quantizer = None
        super().__init__(weight_quantizer, activation_quantizer)
        if block_size is not None and (isinstance(block_size, bool) or not isinstance(
                block_size, int) or block_size < 1 and block_size != -1):
            raise ValueError(f"{who}: `block_size` must be None, -1 or a positive integer. "
                             f"Received: block_size={block_size!r}")
        if block_size not in (None, -1) and (weight_quantizer, activation_quantizer) != (None, None):
            raise ValueError(f"{who}: quantizers of one's own go with block_size=None or -1 only. "
                             f"Received: block_size={block_size}")
        if weight_quantizer is not None and (tuple(weight_quantizer.value_range) != (-8, 7) or
                                             weight_quantizer.output_dtype != "int8"):
            raise ValueError(f"{who}: `weight_quantizer` must have value_range=(-8, 7) and "
                             "output_dtype='int8'. Received: "
                             f"value_range={weight_quantizer.value_range}, "
                             f"output_dtype={weight_quantizer.output_dtype}")
        self.block_size = block_size

    @property
    def mode(self):
        return "int4"

    def get_config(self):
        return {**super().get_config(), "block_size": self.block_size}

    @classmethod
    def from_config(cls, config):
        """The configuration that `get_config` described; without a block size, as older files are,
        a scale a channel.
        """
        return cls(get(config.get("weight_quantizer")), get(config.get("activation_quantizer")),
                   config.get("block_size"))


def _refused(name, why):
    """A class of Keras's that cannot be used here, and says so when an object is asked for."""
    def __init__(self, *args, **kwargs):
        raise NotImplementedError(f"{name}: {why} Use 'int8' (Int8QuantizationConfig) or 'int4' "
                                  "(Int4QuantizationConfig).")
    return type(name, (QuantizationConfig,), {"__init__": __init__, "__module__": __name__,
                                              "__doc__": f"Refused: {why}"})


Float8QuantizationConfig = _refused("Float8QuantizationConfig",
                                    "float8 serves training on accelerators.")

from .quantizers_calibrated import AWQConfig, GPTQConfig  # noqa: E402  (derived from the above)


def resolve(mode, config, who):
    """The configuration that `mode` and `config` stand for.

    Raises:
        ValueError: If they contradict each other or are none.
        NotImplementedError: For a mode that Keras has and nnc has not.
    """
    if isinstance(config, str):
        mode, config = config, None
    if mode is None and config is None:
        raise ValueError(f"{who}: give `mode` or `config`. Received: mode=None, config=None")
    if config is not None and not isinstance(config, QuantizationConfig):
        raise ValueError(f"{who}: `config` must be a QuantizationConfig. Received: "
                         f"config={config!r} (of type {type(config).__name__})")
    if mode is not None and mode not in MODES:
        raise ValueError(f"{who}: `mode` must be one of {MODES}. Received: mode={mode!r}")
    known = {"int8": Int8QuantizationConfig, "int4": Int4QuantizationConfig}
    if mode == "float8":
        raise NotImplementedError(f"{who}: weights are quantized to 'int8', 'int4', 'gptq' or 'awq'. "
                                  "Received: mode='float8'")
    if config is None and mode not in known:
        raise ValueError(f"{who}: mode '{mode}' needs a configuration: it holds the data. Received: "
                         "config=None")
    config = known[mode]() if config is None else config
    if mode is not None and config.mode != mode:
        raise ValueError(f"{who}: `mode` and `config` contradict each other. Received: "
                         f"mode={mode!r}, config.mode={config.mode!r}")
    return config


# ---- names ---------------------------------------------------------------------------------------

_CLASSES = (Quantizer, AbsMaxQuantizer, QuantizationConfig, Int8QuantizationConfig,
            Int4QuantizationConfig, Float8QuantizationConfig, GPTQConfig, AWQConfig)
ALL_OBJECTS = {cls.__name__: cls for cls in _CLASSES}
ALL_OBJECTS.update(quantizer=Quantizer, abs_max_quantizer=AbsMaxQuantizer)


def serialize(initializer):
    """The configuration of a quantizer, in Keras's form; `None` for `None`."""
    return None if initializer is None else identifiers.serialize(initializer)


def deserialize(config, custom_objects=None):
    """The quantizer that a configuration describes."""
    return identifiers.deserialize(config, ALL_OBJECTS, "quantizer", custom_objects)


def get(identifier, **kwargs):
    """The quantizer that a name, a configuration or an object stands for; `None` for `None`."""
    if identifier is None:
        return None
    if isinstance(identifier, QuantizationConfig):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str) and kwargs:
        return identifiers.lookup(identifier, ALL_OBJECTS, "quantizer")(**kwargs)
    return identifiers.get(identifier, ALL_OBJECTS, "quantizer")
