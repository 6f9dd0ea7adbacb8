"""Layers that make one tensor of several: sums, products, extremes, concatenation, dot products.

Inputs of fewer axes get axes of size 1 after the batch axis.
"""
from .. import ops
from .layer import Layer


class _Merge(Layer):
    """Base of the layers that fold an element-wise function over their inputs."""

    _plain = True
    _count = None               # how many inputs there must be
    _function = None

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape):
        shapes = _check_shapes(self, input_shape, 1 if self._count is None else self._count)
        if self._count is not None and len(shapes) != self._count:
            raise ValueError(f"{type(self).__name__} layer '{self.name}': expected {self._count} "
                             f"inputs. Received: {len(shapes)}")
        batches = {shape[0] for shape in shapes if shape} - {None}
        if len(batches) > 1:
            raise ValueError(f"{type(self).__name__} layer '{self.name}': cannot merge tensors "
                             f"with different batch sizes. Received: input_shape={input_shape}")
        self.compute_output_shape(shapes)

    def call(self, inputs):
        rank = max(len(x.shape) for x in inputs)
        inputs = [_with_rank(x, rank) for x in inputs]
        return self._merge(inputs)

    def _merge(self, inputs):
        output = inputs[0]
        for x in inputs[1:]:
            output = type(self)._function(output, x)
        return output

    def compute_output_shape(self, input_shape):
        result = tuple(input_shape[0])
        for shape in input_shape[1:]:
            result = self._broadcast(result, tuple(shape))
        return result

    def _broadcast(self, a, b):
        if len(a) > len(b):
            a, b = b, a
        a = a[:1] + (1,) * (len(b) - len(a)) + a[1:]
        sizes = []
        for m, n in zip(a, b):
            if m == 1 or n == 1:
                sizes.append(n if m == 1 else m)
            elif m is None or n is None:
                sizes.append(m if n is None else n)
            elif m == n:
                sizes.append(m)
            else:
                raise ValueError(f"{type(self).__name__} layer '{self.name}': inputs have "
                                 f"incompatible shapes. Received: {a} and {b}")
        return tuple(sizes)

    def compute_mask(self, inputs, mask=None):
        """The union of the masks; none if an input has none."""
        if mask is None or any(m is None for m in _check_masks(inputs, mask)):
            return None
        output = mask[0]
        for m in mask[1:]:
            output = ops.logical_or(output, m)
        return output


def _check_shapes(layer, input_shape, least):
    if not isinstance(input_shape, (list, tuple)) or len(input_shape) < least or not all(
            isinstance(shape, (list, tuple)) for shape in input_shape):
        raise ValueError(f"A {type(layer).__name__} layer should be called on a list of at least "
                         f"{least} input(s). Received: input_shape={input_shape}")
    return input_shape


def _check_masks(inputs, mask):
    if not isinstance(mask, (list, tuple)) or not isinstance(inputs, (list, tuple)) \
            or len(mask) != len(inputs):
        raise ValueError("compute_mask: `inputs` and `mask` must be lists of one length. Received: "
                         f"inputs={inputs}, mask={mask}")
    return mask


def _with_rank(x, rank):
    while len(x.shape) < rank:
        x = ops.expand_dims(x, 1)
    return x


class Add(_Merge):
    """The sum of the inputs, element-wise."""

    _plain = True
    _function = ops.add


class Subtract(_Merge):
    """The first of two inputs less the second."""

    _plain = True
    _count = 2
    _function = ops.subtract


class Multiply(_Merge):
    """The product of the inputs, element-wise.

    Where an input is masked it counts as 1.
    """

    _plain = True
    _function = ops.multiply

    def _merge(self, inputs):
        output = None
        for x in inputs:
            mask = getattr(x, "__dict__", {}).get("_keras_mask")
            if mask is not None:
                x = ops.where(_as_long(mask, x), x, ops.ones_like(x))
            output = x if output is None else ops.multiply(output, x)
        return output


class Average(_Merge):
    """The mean of the inputs, element-wise."""

    _plain = True
    _function = ops.add

    def _merge(self, inputs):
        return ops.divide(super()._merge(inputs), float(len(inputs)))


class Maximum(_Merge):
    """The largest of the inputs, element-wise."""

    _plain = True
    _function = ops.maximum


class Minimum(_Merge):
    """The smallest of the inputs, element-wise."""

    _plain = True
    _function = ops.minimum


def _as_long(mask, x):
    while len(mask.shape) < len(x.shape):
        mask = ops.expand_dims(mask, -1)
    return mask


class Concatenate(Layer):
    """The inputs one after another along an axis.

    Args:
        axis: The axis. Defaults to `-1`.
        **kwargs: See `Layer`.

    Raises:
        ValueError: If the other axes differ.
    """

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis
        self.supports_masking = True

    def build(self, input_shape):
        self.compute_output_shape(_check_shapes(self, input_shape, 1))

    def call(self, inputs):
        return ops.concatenate(inputs, axis=self.axis)

    def compute_output_shape(self, input_shape):
        shapes = [tuple(shape) for shape in _check_shapes(self, input_shape, 1)]
        rank = len(shapes[0])
        if not -rank <= self.axis < rank:
            raise ValueError(f"Concatenate layer '{self.name}': axis {self.axis} is out of range. "
                             f"Received: input_shape={input_shape}")
        axis = self.axis % rank
        result = list(shapes[0])
        for shape in shapes[1:]:
            if len(shape) != rank or any(a != b and None not in (a, b) for i, (a, b) in
                                         enumerate(zip(result, shape)) if i != axis):
                raise ValueError(f"Concatenate layer '{self.name}' requires inputs with matching "
                                 "shapes except for the concatenation axis. Received: "
                                 f"input_shape={input_shape}, axis={self.axis}")
            result = [(None if None in (a, b) else a + b) if i == axis else b if a is None else a
                      for i, (a, b) in enumerate(zip(result, shape))]
        return tuple(result)

    def compute_mask(self, inputs, mask=None):
        """The masks concatenated; an input without one is all unmasked."""
        if mask is None or all(m is None for m in _check_masks(inputs, mask)):
            return None
        masks = []
        for x, m in zip(inputs, mask):
            if m is None:
                m = ops.ones_like(x, dtype="bool")
            elif len(m.shape) < len(x.shape):
                m = ops.logical_or(ops.expand_dims(m, -1), ops.zeros_like(x, dtype="bool"))
            masks.append(m)
        return ops.any(ops.concatenate(masks, axis=self.axis), axis=-1)

    def get_config(self):
        return {**super().get_config(), "axis": self.axis}


class Dot(Layer):
    """The dot product of two inputs along an axis of each, sample by sample.

    Args:
        axes: Integer or pair of integers: the axes; not the batch axis.
        normalize: Whether both are first divided by their length along the axis.
        **kwargs: See `Layer`.
    """

    _plain = True

    def __init__(self, axes, normalize=False, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(axes, int):
            if not isinstance(axes, (list, tuple)):
                raise TypeError("Dot: `axes` must be an integer or a pair of integers. "
                                f"Received: axes={axes}")
            if len(axes) != 2 or not all(isinstance(a, int) for a in axes):
                raise ValueError("Dot: `axes` must hold two integers. "
                                 f"Received: axes={axes}")
        self.axes = axes
        self.normalize = normalize
        self.supports_masking = True

    def build(self, input_shape):
        if len(_check_shapes(self, input_shape, 2)) != 2:
            raise ValueError(f"Dot layer '{self.name}': expected 2 inputs. Received: "
                             f"{len(input_shape)}")
        a, b = self._axes(*input_shape)
        m, n = input_shape[0][a], input_shape[1][b]
        if None not in (m, n) and m != n:
            raise ValueError(f"Dot layer '{self.name}': incompatible sizes: axis {a} of "
                             f"{tuple(input_shape[0])} and axis {b} of {tuple(input_shape[1])}")

    def _axes(self, first, second):
        axes = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        axes = [a % len(shape) for a, shape in zip(axes, (first, second))]
        if 0 in axes:
            raise ValueError(f"Dot layer '{self.name}': the batch axis cannot be summed over. "
                             f"Received: axes={self.axes}")
        return axes

    def call(self, inputs):
        x, y = inputs
        a, b = self._axes(x.shape, y.shape)
        if self.normalize:
            x, y = (ops.divide(z, ops.sqrt(ops.maximum(
                ops.sum(ops.square(z), axis=axis, keepdims=True), 1e-12)))
                for z, axis in ((x, a), (y, b)))
        left, right = list(x.shape), list(y.shape)
        x = ops.moveaxis(x, a, -1)
        y = ops.moveaxis(y, b, 1)
        size = left.pop(a)
        right.pop(b)
        x = ops.reshape(x, (left[0], -1, size))
        y = ops.reshape(y, (right[0], size, -1))
        shape = (*left, *right[1:])
        return ops.reshape(ops.matmul(x, y), shape if len(shape) > 1 else (*shape, 1))

    def compute_output_shape(self, input_shape):
        first, second = (list(shape) for shape in input_shape)
        a, b = self._axes(first, second)
        first.pop(a)
        second.pop(b)
        shape = (*first, *second[1:])
        return shape if len(shape) > 1 else (*shape, 1)

    def compute_mask(self, inputs, mask=None):
        return None

    def get_config(self):
        return {**super().get_config(), "axes": self.axes, "normalize": self.normalize}


def _functional(name, cls):
    def function(inputs, **kwargs):
        return cls(**kwargs)(inputs)
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The `{cls.__name__}` layer called on a list of inputs."
    return function


add = _functional("add", Add)
subtract = _functional("subtract", Subtract)
multiply = _functional("multiply", Multiply)
average = _functional("average", Average)
maximum = _functional("maximum", Maximum)
minimum = _functional("minimum", Minimum)


def concatenate(inputs, axis=-1, **kwargs):
    """The `Concatenate` layer called on a list of inputs."""
    return Concatenate(axis=axis, **kwargs)(inputs)


def dot(inputs, axes=-1, **kwargs):
    """The `Dot` layer called on a list of two inputs."""
    return Dot(axes=axes, **kwargs)(inputs)
