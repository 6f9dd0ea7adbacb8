"""Dense with an einsum: which axes are summed over, and which the kernel adds."""
import math

from .. import activations, constraints, initializers, ops, regularizers
from .adaptable import Adaptable, dense_int8
from .layer import Layer


class EinsumDense(Adaptable, Layer):
    """`activation(einsum(equation, x, kernel) + bias)`.

    Args:
        equation: String such as `"abc,cd->abd"`; `"..."` at the beginning or end of the input's
            and the output's letters stands for any number of axes.
        output_shape: Integer or tuple: the output's shape without the batch axis and without the
            axes of `"..."`; `None` for the input's size.
        activation: A function, the name of one, or `None`.
        bias_axes: String of the output's letters that the bias has; `None` for no bias.
        kernel_initializer, bias_initializer: First values.
        kernel_regularizer, bias_regularizer: Penalties.
        kernel_constraint, bias_constraint: What the weights are mapped by after each step.
        lora_rank: Integer or `None`: the rank of trained adapters; see `enable_lora`.
        lora_alpha: What the adapters are multiplied by, times `lora_rank`. Defaults to
            `lora_rank`.
        gptq_unpacked_column_size: What the number of the kernel's columns is in a GPTQ `dtype`: it
            follows from the shapes, and `build` compares.
        quantization_config: A `quantizers.QuantizationConfig`, for a quantized `dtype`.
        **kwargs: See `Layer`.
    """

    _plain = False
    _ZERO_NAME = "zero_point"

    def __init__(self, equation, output_shape, activation=None, bias_axes=None,
                 kernel_initializer="glorot_uniform", bias_initializer="zeros",
                 kernel_regularizer=None, bias_regularizer=None, kernel_constraint=None,
                 bias_constraint=None, lora_rank=None, lora_alpha=None,
                 gptq_unpacked_column_size=None, quantization_config=None, **kwargs):
        super().__init__(**kwargs)
        self._take_adaptation(lora_rank, lora_alpha, quantization_config)
        self.gptq_unpacked_column_size = gptq_unpacked_column_size
        self.equation = equation
        self._letters = _parse(equation)
        self.partial_output_shape = (output_shape,) if isinstance(output_shape, int) \
            else tuple(output_shape)
        self.bias_axes = bias_axes
        self.activation = activations.get(activation)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def _full(self, input_shape):
        """Letters of the input and the output with some in the place of `...`; the output's shape.
        """
        x, _, y, side = self._letters
        free = len(input_shape) - len(x)
        if free < 0 or free and side is None:
            raise ValueError(f"EinsumDense layer '{self.name}': the input has {len(input_shape)} "
                             f"axes, which does not fit. Received: equation={self.equation!r}, "
                             f"input_shape={tuple(input_shape)}")
        extra = "".join(chr(0x100 + i) for i in range(free))
        x, y = (extra + x, extra + y) if side == "left" else (x + extra, y + extra)
        sizes = dict(zip(x, input_shape))
        given = self.partial_output_shape
        # The batch axis, and what `...` stands for, are the input's.
        names = y[max(free, 1):] if side == "left" else y[1:len(y) - free]
        if side == "left" and free == 0:
            names = y[1:]
        if len(names) != len(given):
            raise ValueError(f"EinsumDense layer '{self.name}': `output_shape` must hold "
                             f"{len(names)} sizes. Received: output_shape={given}, "
                             f"equation={self.equation!r}")
        for letter, size in zip(names, given):
            known = sizes.get(letter)
            if None not in (size, known) and size != known:
                raise ValueError(f"EinsumDense layer '{self.name}': axis '{letter}' has size "
                                 f"{known} in the input and {size} in `output_shape`. Received: "
                                 f"input_shape={tuple(input_shape)}, output_shape={given}")
            sizes[letter] = known if size is None else size
        return x, y, sizes

    def build(self, input_shape):
        _, y, sizes = self._full(input_shape)
        w = self._letters[1]
        shape = tuple(sizes.get(letter) for letter in w)
        if None in shape:
            raise ValueError(f"EinsumDense layer '{self.name}': the kernel's sizes must be known. "
                             f"Received: input_shape={tuple(input_shape)}, "
                             f"equation={self.equation!r}")
        self.full_output_shape = tuple(sizes[letter] for letter in y)
        self.bias, self._output_letters = None, y
        if not self.quantization_mode:
            self._add_main(shape)
        if self.bias_axes is not None:
            wrong = set(self.bias_axes) - set(y)
            if wrong:
                raise ValueError(f"EinsumDense layer '{self.name}': the bias axis "
                                 f"'{sorted(wrong)[0]}' is not an axis of the output. Received: "
                                 f"bias_axes={self.bias_axes!r}, equation={self.equation!r}")
            first = min(y.index(letter) for letter in self.bias_axes)
            self.bias = self.add_weight(
                name="bias", shape=tuple(sizes[n] if n in self.bias_axes else 1 for n in y[first:]),
                initializer=self.bias_initializer, regularizer=self.bias_regularizer,
                constraint=self.bias_constraint)
        if self.quantization_mode:                      # weights are listed trained ones first
            self._add_main(shape)
        self._adapt()

    @property
    def kernel(self):
        """The kernel: with its adapters, where there are some."""
        return self._merged()

    def call(self, inputs):
        letters, result, _ = self._full(tuple(inputs.shape))
        w = self._letters[1]
        if self._is_packed or self._is_calibrated:
            x = self._contract_packed(letters, w, result, inputs)
        elif self._is_quantized:
            x = self._contract_int8(letters, w, result, inputs)
        else:
            x = _contract(letters, w, result, inputs, self._main)
        if self.lora_enabled:
            x = ops.add(x, ops.multiply(self._share, self._low_rank(letters, w, result, inputs)))
        x = x if self.bias is None else ops.add(x, self.bias)
        return self.activation(x)

    def _low_rank(self, letters, w, result, inputs):
        """What the adapters give. Where the kernel's last axis is summed over, their product has
        to be made.
        """
        a, b = self._adapters
        if w[-1] not in result or w[-1] in letters:
            return _contract(letters, w, result, inputs, ops.matmul(a, b))
        rank = chr(0x80)
        low = _contract(letters, w[:-1] + rank, result.replace(w[-1], rank), inputs, a)
        return _contract(result.replace(w[-1], rank), rank + w[-1], result, low, b)

    def quantized_call(self, inputs):
        """The output with the kernel of 8 or 4 bits."""
        return self.call(inputs)

    def _contract_int8(self, x, w, y, inputs):
        """The einsum with the kernel of 8 bits: one product of matrices if no letter is a batch's,
        else one of floating-point numbers that hold the whole ones.
        """
        if all(c in w or c in y for c in x) and not any(c in x and c in y for c in w) and \
                all(c in x or c in y for c in w):
            def product(a, b, right):
                places = [y.index(c) for c in right]
                rest = [i for i in range(len(y)) if i not in places]
                scale = ops.reshape(ops.transpose(self._scale, rest + places), (-1,))
                return dense_int8(self, a, b, scale, None, -1)
            return _contract(x, w, y, inputs, self._main, product)
        output_scale, dtype = self._scale, self.compute_dtype
        inputs, scale = self._whole_inputs(inputs, x, y)
        if scale is not None:
            output_scale = ops.multiply(output_scale, scale)
        result = _contract(x, w, y, ops.cast(inputs, dtype), ops.cast(self._main, dtype))
        return ops.divide(result, output_scale)

    def _contract_packed(self, x, w, y, inputs):
        """The einsum with the kernel of 4 bits."""
        inputs, scale = self._whole_inputs(inputs, x, y)
        result = _contract(x, w, y, ops.cast(inputs, self.compute_dtype), self._floating())
        return result if scale is None else ops.divide(result, scale)

    def _whole_inputs(self, inputs, x, y):
        """The inputs as the quantizer makes them, and their scale as it divides the output; without
        one, the inputs and `None`.
        """
        if self.inputs_quantizer is None:
            return inputs, None
        summed = tuple(i for i, c in enumerate(x) if c not in y)
        inputs, scale = self.inputs_quantizer(inputs, axis=summed)
        return inputs, _aligned(scale, x, y)

    def _matrix_shape(self, shape):
        rows = math.prod(shape[i] for i in self._shared_axes())
        return rows, math.prod(shape) // max(rows, 1)

    def _build_calibrated(self, shape, mode, config):
        columns, given = self._matrix_shape(shape)[1], self.gptq_unpacked_column_size
        if mode == "gptq" and given is not None and given != columns:
            raise ValueError(f"EinsumDense layer '{self.name}': the kernel has {columns} columns. "
                             f"Received: gptq_unpacked_column_size={given}")
        super()._build_calibrated(shape, mode, config)
        if mode == "gptq":
            self.gptq_unpacked_column_size = columns

    def _check_calibration(self):
        super()._check_calibration()
        x, w, y, _ = self._letters
        inner = [c for c in w if c not in y]
        if list(w[:len(inner)]) != inner or set(inner) - set(x) or set(x) - set(inner) - set(y) or \
                set(w) & set(x) & set(y):
            raise ValueError(f"EinsumDense layer '{self.name}': quantize: to be calibrated, a "
                             "kernel must have the axes that are summed over first, and those of "
                             f"the output behind. Received: equation={self.equation!r}. Leave the "
                             "layer out by `filters`.")

    def _calibration_inputs(self, inputs):
        letters, y, _ = self._full(tuple(inputs.shape))
        inner = [c for c in self._letters[1] if c not in y]
        return ops.transpose(inputs, [letters.index(c) for c in
                                      [c for c in letters if c not in inner] + inner])

    def _shared_axes(self):
        y = self._output_letters
        return tuple(i for i, c in enumerate(self._letters[1]) if c not in y)

    def _scale_shape(self, shape):
        size = dict(zip(self._letters[1], shape))
        return tuple(size.get(c, 1) for c in self._output_letters)

    def _scale_from_main(self, scale):
        return _aligned(scale, self._letters[1], self._output_letters)

    def _scale_for_main(self):
        return _aligned(self._scale, self._output_letters, self._letters[1])

    def compute_output_shape(self, input_shape):
        _, y, sizes = self._full(tuple(input_shape))
        return tuple(sizes[letter] for letter in y)

    def get_config(self):
        return {**super().get_config(), "output_shape": self.partial_output_shape,
                "equation": self.equation, "activation": activations.serialize(self.activation),
                "bias_axes": self.bias_axes,
                "kernel_initializer": initializers.serialize(self.kernel_initializer),
                "bias_initializer": initializers.serialize(self.bias_initializer),
                "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
                "bias_regularizer": regularizers.serialize(self.bias_regularizer),
                "activity_regularizer": regularizers.serialize(self.activity_regularizer),
                "kernel_constraint": constraints.serialize(self.kernel_constraint),
                "bias_constraint": constraints.serialize(self.bias_constraint),
                **({"gptq_unpacked_column_size": self.gptq_unpacked_column_size}
                   if self.gptq_unpacked_column_size else {}), **self._adaptation_config()}


def _aligned(scale, letters, wanted):
    """A scale with axes `letters` (those that are not in `wanted` of size 1) as one with axes
    `wanted`, of size 1 where it has none.
    """
    kept = [c for c in wanted if c in letters]
    size = dict(zip(letters, scale.shape))
    order = [letters.index(c) for c in kept] + [i for i, c in enumerate(letters) if c not in kept]
    return ops.reshape(ops.transpose(scale, order), tuple(size.get(c, 1) for c in wanted))


def _parse(equation):
    """Letters of input, kernel and output, and the side of `...`: `"left"`, `"right"` or `None`."""
    wrong = ValueError("EinsumDense: `equation` must be like 'ab,bc->ac', '...ab,bc->...ac' or "
                       f"'ab...,bc->ac...', no letter twice in a part. Received: "
                       f"equation={equation!r}")
    if not isinstance(equation, str) or equation.count(",") != 1 or equation.count("->") != 1:
        raise wrong
    x, rest = equation.replace(" ", "").split(",")
    w, y = rest.split("->")
    side = None
    if "..." in x + y:
        side = "left" if x.startswith("...") else "right"
        ends = [part.startswith("...") if side == "left" else part.endswith("...")
                for part in (x, y)]
        if not all(ends):
            raise wrong
        x, y = x.replace("...", "", 1), y.replace("...", "", 1)
    for part in (x, w, y):
        if not all(c.isalpha() for c in part) or len(set(part)) != len(part):
            raise wrong
    if set(y) - set(x + w) or set(w) - set(x + y):
        raise wrong
    return x, w, y, side


def _contract(x, w, y, inputs, kernel, product=None):
    """The einsum `x,w->y`: letters of all three are a batch, those of `x` and `w` are summed.

    `product(a, b, letters)` may take the place of the product of the two matrices: `letters` are
    those of the columns of `b`.
    """
    summed = [c for c in x if c not in y and c not in w]
    if summed:                                          # in the input only: summed first
        inputs = ops.sum(inputs, axis=tuple(x.index(c) for c in summed))
        x = "".join(c for c in x if c not in summed)
    batch = [c for c in x if c in w and c in y]
    inner = [c for c in x if c in w and c not in y]
    left = [c for c in x if c not in w]
    right = [c for c in w if c not in x]
    size = {**dict(zip(w, kernel.shape)), **dict(zip(x, inputs.shape))}

    def count(names):
        return math.prod(size[c] for c in names)
    a = ops.transpose(inputs, [x.index(c) for c in batch + left + inner])
    b = ops.transpose(kernel, [w.index(c) for c in batch + inner + right])
    groups = [size[c] for c in batch]
    a = ops.reshape(a, (*groups, count(left), count(inner)))
    b = ops.reshape(b, (*groups, count(inner), count(right)))
    made = batch + left + right
    result = ops.matmul(a, b) if product is None else product(a, b, right)
    result = ops.reshape(result, tuple(size[c] for c in made))
    return ops.transpose(result, [made.index(c) for c in y])
