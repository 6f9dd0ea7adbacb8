"""What each ONNX operator becomes: a row an operator, `row(b, node, attributes)`.

A row gives what the node's output stands for (see `onnx_load`), or a tuple for several outputs.
"""
import math

import numpy as np

from .. import layers as L
from .. import ops
from ..layers.keras_tensor import KerasTensor
from .onnx_load import MOST_NUMBERS, Moved, numpy_dtype, rules_of
from .record import Rule


def convert(b, node):
    """Gives the node's outputs a meaning.

    Raises:
        NotImplementedError: If there is no row, or the row cannot say what the node does.
        ValueError: If the node is not valid.
    """
    row = ROWS.get(node.op_type)
    if row is None:
        raise b.refuse(node, "there is nothing for this operator")
    if not node.output:
        raise ValueError(f"{b.where}: a node {node.op_type} has no output")
    try:
        result = row(b, node, b.attributes(node))
    except (TypeError, IndexError, KeyError, AttributeError, ZeroDivisionError) as error:
        raise b.refuse(node, f"its inputs or attributes do not fit ({error})") from None
    results = result if isinstance(result, tuple) else (result,)
    b.values.update((name, _plain(value)) for name, value in zip(node.output, results) if name)


def _plain(value):
    """Tensors as arrays."""
    return value.numpy() if hasattr(value, "numpy") and not isinstance(value, KerasTensor) \
        else value


def _get(b, node, i):
    return b.get(node.input[i]) if i < len(node.input) and node.input[i] else None


def _raw(b, node, i=0):
    """The tensor of input i, and whether its channels come last."""
    value = b.raw(node.input[i])
    moved = isinstance(value, Moved)
    return (value.tensor if moved else value), moved


def _symbolic(value):
    return isinstance(value, KerasTensor)


def _dtype(x):
    """The argument that keeps a layer from casting x."""
    dtype = str(x.dtype)
    return {} if dtype == "float32" or "float" not in dtype else {"dtype": dtype}


def _sizes(value):
    """Whether it is an array with sizes that are not known."""
    return isinstance(value, np.ndarray) and value.dtype == object


def _operand(value):
    """An array without axes as a Python number beside a tensor."""
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _limit(b, node, shape):
    """Refuses an array that is too large to be made while loading."""
    if math.prod(shape) > MOST_NUMBERS:
        raise b.refuse(node, f"it makes an array of shape {tuple(shape)}; at most "
                       f"{MOST_NUMBERS:,} numbers are computed while loading")


# ---- element-wise --------------------------------------------------------------------------------

def _unary(function):
    def row(b, node, attributes):
        x, moved = _raw(b, node)
        y = getattr(ops, function)(x)
        return Moved(y) if moved else y
    return row


def _activation(make):
    """A layer; on arrays the layer's function."""
    def row(b, node, attributes):
        x, moved = _raw(b, node)
        if not _symbolic(x):
            return make(attributes)(x)
        return b.layer(node, make(attributes, **_dtype(x)), x, moved=moved)
    return row


def _named(name):
    return _activation(lambda attributes, **more: L.Activation(name, **more))


def _scaled(make, **defaults):
    return _activation(lambda attributes, **more: make(
        *[attributes.get(key, value) for key, value in defaults.items()], **more))


def _fixed(name, **wanted):
    """An activation that has no parameters here, where those in the file are these."""
    def row(b, node, attributes):
        for key, value in wanted.items():
            if abs(attributes.get(key, value) - value) > 1e-6:
                raise b.refuse(node, f"{key} must be {value}. Received: {attributes[key]}")
        return _named(name)(b, node, attributes)
    return row


def _hard_sigmoid(b, node, attributes):
    alpha, beta = attributes.get("alpha", 0.2), attributes.get("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return _named("hard_sigmoid")(b, node, attributes)
    return ops.clip(_get(b, node, 0) * alpha + beta, 0.0, 1.0)


def _celu(b, node, attributes):
    return ops.celu(_get(b, node, 0), attributes.get("alpha", 1.0))


def _gelu(b, node, attributes):
    return ops.gelu(_get(b, node, 0), attributes.get("approximate", "none") == "tanh")


_MERGING = {"add": L.Add, "multiply": L.Multiply, "subtract": L.Subtract, "maximum": L.Maximum,
            "minimum": L.Minimum}


def _binary(function):
    def row(b, node, attributes):
        (x, x_moved), (y, y_moved) = _raw(b, node), _raw(b, node, 1)
        both = x_moved and y_moved
        if not both:
            x, y = _get(b, node, 0), _get(b, node, 1)
        if _symbolic(x) and _symbolic(y):
            same = function in _MERGING and x.dtype == y.dtype and x.shape == y.shape and x is not y
            made = b.layer(node, _MERGING[function](**_dtype(x)), [x, y]) if same \
                else getattr(ops, function)(x, y)
            return Moved(made) if both else made
        if _sizes(x) or _sizes(y):
            return _with_sizes(b, node, function, x, y)
        if not _symbolic(x) and not _symbolic(y):
            _limit(b, node, np.broadcast_shapes(x.shape, y.shape))
            return getattr(ops, function)(x, y)
        return getattr(ops, function)(_operand(x), _operand(y))
    return row


def _with_sizes(b, node, function, x, y):
    if function not in ("add", "subtract", "multiply") or _symbolic(x) or _symbolic(y):
        raise b.refuse(node, "it computes with a size that is not known")
    function = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply}[function]
    return function(x.astype(object), y.astype(object))


def _divide(b, node, attributes):
    x, y = _get(b, node, 0), _get(b, node, 1)
    dtype = (x if _symbolic(x) else y).dtype
    if np.dtype(dtype).kind in "iu":    # towards zero, as C
        return ops.cast(ops.trunc(ops.divide(ops.cast(x, "float64"), ops.cast(y, "float64"))),
                        str(np.dtype(dtype)))
    return _binary("divide")(b, node, attributes)


def _mod(b, node, attributes):
    return _binary("fmod" if attributes.get("fmod") else "mod")(b, node, attributes)


def _many(function):
    """Any number of inputs."""
    def row(b, node, attributes):
        total = _operand(_get(b, node, 0))
        for i in range(1, len(node.input)):
            total = getattr(ops, function)(total, _operand(_get(b, node, i)))
        return total
    return row


def _mean_of(b, node, attributes):
    return _many("add")(b, node, attributes) / len(node.input)


def _clip(b, node, attributes):
    x, moved = _raw(b, node)
    low = attributes.get("min", b.array(node, 1))
    high = attributes.get("max", b.array(node, 2))
    low, high = (None if n is None else float(n) for n in (low, high))
    if low == 0 and high is not None and _symbolic(x):
        return b.layer(node, L.ReLU(max_value=high, **_dtype(x)), x, moved=moved)
    y = x if low is None else ops.maximum(x, low)
    y = y if high is None else ops.minimum(y, high)
    return Moved(y) if moved else y


def _prelu(b, node, attributes):
    x, slope = _get(b, node, 0), b.array(node, 1)
    if not _symbolic(x):
        return ops.where(x < 0, x * slope, x)
    shape = (1,) * (len(x.shape) - 1 - slope.ndim) + slope.shape
    shape = shape[1:] if len(shape) == len(x.shape) and shape[0] == 1 else shape
    shared = [i + 1 for i, size in enumerate(shape) if size == 1 and x.shape[i + 1] != 1]
    layer = L.PReLU(shared_axes=shared or None, name=b.name(node.input[1]), **_dtype(x))
    return b.layer(node, layer, x, [slope.reshape(shape)])


def _where(b, node, attributes):
    return ops.where(*[_operand(_get(b, node, i)) for i in range(3)])


def _cast(b, node, attributes):
    x = _get(b, node, 0)
    dtype = numpy_dtype(b.onnx, attributes["to"], f"{b.where}: the cast {node.output[0]!r}").name
    if _sizes(x):
        if np.dtype(dtype).kind not in "iu":
            raise b.refuse(node, "it computes with a size that is not known")
        return x
    return x.astype(dtype) if isinstance(x, np.ndarray) else ops.cast(x, dtype)


# ---- products ------------------------------------------------------------------------------------

def _dense(b, node, x, kernel, bias):
    layer = L.Dense(kernel.shape[1], use_bias=bias is not None, name=b.name(node.input[1]),
                    **_dtype(x))
    return b.layer(node, layer, x, [kernel] if bias is None else [kernel, bias])


def _gemm(b, node, attributes):
    x, w, c = (_get(b, node, i) for i in range(3))
    alpha, beta = attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
    x = ops.transpose(x) if attributes.get("transA") else x
    w = (w.T if isinstance(w, np.ndarray) else ops.transpose(w)) if attributes.get("transB") else w
    if _symbolic(x) and isinstance(w, np.ndarray) and w.dtype.kind == "f" and (
            c is None or isinstance(c, np.ndarray) and c.size in (1, w.shape[1])):
        bias = None if c is None else np.broadcast_to(c.reshape(-1) * c.dtype.type(beta),
                                                      w.shape[1:])
        return _dense(b, node, x, w * w.dtype.type(alpha), bias)
    y = ops.matmul(x, w)
    y = y if alpha == 1 else y * alpha
    return y if c is None else y + (c if beta == 1 else c * beta)


def _matmul(b, node, attributes):
    x, w = _get(b, node, 0), _get(b, node, 1)
    if not (_symbolic(x) and isinstance(w, np.ndarray) and w.ndim == 2 and w.dtype.kind == "f"
            and len(x.shape) > 1):
        return ops.matmul(x, w)
    readers = b.nodes_reading.get(node.output[0], [])
    if b.readers.get(node.output[0]) == 1 and len(readers) == 1 and readers[0].op_type == "Add":
        add = readers[0]
        other = add.input[1] if add.input[0] == node.output[0] else add.input[0]
        bias = b.values.get(other)
        if isinstance(bias, np.ndarray) and bias.size == bias.shape[-1] == w.shape[1] \
                and bias.ndim <= len(x.shape):
            b.skipped.add(id(add))
            y = b.values[add.output[0]] = _dense(b, node, x, w, bias.reshape(-1))
            return y
    return _dense(b, node, x, w, None)


def _matmul_integer(b, node, attributes):
    """Sums of products of whole numbers, each less its zero point, in int32."""
    parts = []
    for i in (0, 1):
        x, zero = _get(b, node, i), b.array(node, i + 2)
        if zero is not None and zero.size != 1 and (i == 0 or zero.ndim != 1):
            raise b.refuse(node, "zero points of rows")
        if zero is not None and np.any(zero):
            x = ops.subtract(ops.cast(x, "int32"), zero.astype("int32"))
        parts.append(x)
    if not all(x.dtype == "int8" for x in parts):
        parts = [ops.cast(x, "int32") for x in parts]
    return ops.matmul(*parts)


# ---- images --------------------------------------------------------------------------------------

def _pads(b, node, attributes, x, moved, kernel, strides, dilations):
    """"valid", "same", or widths before and after each axis."""
    spatial = len(kernel)
    kind = attributes.get("auto_pad", "NOTSET")
    if kind == "SAME_UPPER":
        return "same"
    if kind not in ("NOTSET", "VALID"):
        raise b.refuse(node, f"auto_pad={kind}: expected NOTSET, VALID or SAME_UPPER")
    pads = list(attributes.get("pads", [0] * 2 * spatial)) if kind == "NOTSET" \
        else [0] * 2 * spatial
    if min(pads) < 0 or len(pads) != 2 * spatial:
        raise b.refuse(node, f"pads={pads}: expected {2 * spatial} numbers of 0 or more")
    if not any(pads):
        return "valid"
    sizes = x.shape[1:-1] if moved else x.shape[2:]
    same = []
    for size, k, s, d in zip(sizes, kernel, strides, dilations):
        reach = d * (k - 1) + 1
        if size is None and s > 1:
            break
        total = reach - 1 if s == 1 else max((-(-size // s) - 1) * s + reach - size, 0)
        same.append((total // 2, total - total // 2))
    widths = list(zip(pads[:spatial], pads[spatial:]))
    return "same" if same == widths else widths


def _padded(node, x, widths, moved, value=0.0):
    edge = [(0, 0)]
    widths = edge + list(widths) + edge if moved else 2 * edge + list(widths)
    return ops.pad(x, widths, constant_values=value)


def _numbers(attributes, key, count, default=1):
    return list(attributes.get(key, [default] * count))


_DIMENSIONS = {1: "1D", 2: "2D", 3: "3D"}


def _image_layer(b, node, kind, spatial):
    if spatial not in _DIMENSIONS:
        raise b.refuse(node, f"it has {spatial} axes beside the channels: expected 1 to 3")
    return getattr(L, kind.format(_DIMENSIONS[spatial]))


def _format(moved):
    return "channels_last" if moved else "channels_first"


def _conv(b, node, attributes):
    (x, moved), w, bias = _raw(b, node), b.array(node, 1), b.array(node, 2)
    spatial = w.ndim - 2
    make = _image_layer(b, node, "Conv{}", spatial)
    kernel, strides = list(w.shape[2:]), _numbers(attributes, "strides", spatial)
    dilations = _numbers(attributes, "dilations", spatial)
    padding = _pads(b, node, attributes, x, moved, kernel, strides, dilations)
    if isinstance(padding, list):
        x, padding = _padded(node, x, padding, moved), "valid"
    layer = make(w.shape[0], kernel, strides, padding, _format(moved), dilations,
                 attributes.get("group", 1), use_bias=bias is not None,
                 name=b.name(node.input[1]), **_dtype(x))
    weights = [np.transpose(w, (*range(2, spatial + 2), 1, 0))]
    return b.layer(node, layer, x, weights if bias is None else [*weights, bias], moved)


def _conv_transpose(b, node, attributes):
    (x, moved), w, bias = _raw(b, node), b.array(node, 1), b.array(node, 2)
    spatial = w.ndim - 2
    make = _image_layer(b, node, "Conv{}Transpose", spatial)
    if attributes.get("group", 1) != 1 or any(
            n != 1 for n in _numbers(attributes, "dilations", spatial)) \
            or attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") \
            or "output_shape" in attributes:
        raise b.refuse(node, "only transposed convolutions of one group, without dilation and "
                       "with given pads, can be loaded")
    strides = _numbers(attributes, "strides", spatial)
    pads = _numbers(attributes, "pads", 2 * spatial, 0)
    more = _numbers(attributes, "output_padding", spatial, 0)
    layer = make(w.shape[1], list(w.shape[2:]), strides, output_padding=more,
                 data_format=_format(moved), use_bias=bias is not None, name=b.name(node.input[1]),
                 **_dtype(x))
    weights = [np.transpose(w, (*range(2, spatial + 2), 1, 0))]
    y = b.layer(node, layer, x, weights if bias is None else [*weights, bias])
    first = 1 if moved else 2
    index = [slice(None)] * (spatial + 2)
    for i in range(spatial):
        index[first + i] = slice(pads[i], -pads[spatial + i] or None)
    y = y if all(one == slice(None) or one == slice(0, None) for one in index) else y[tuple(index)]
    return Moved(y) if moved else y


def _pool(kind):
    def row(b, node, attributes):
        x, moved = _raw(b, node)
        kernel = list(attributes["kernel_shape"])
        make = _image_layer(b, node, kind + "Pooling{}", len(kernel))
        ones = [1] * len(kernel)
        if attributes.get("ceil_mode") or list(attributes.get("dilations", ones)) != ones \
                or len(node.output) > 1:
            raise b.refuse(node, "only pooling without dilation, ceil_mode and indices can be "
                           "loaded")
        strides = _numbers(attributes, "strides", len(kernel))
        padding = _pads(b, node, attributes, x, moved, kernel, strides, ones)
        counted = kind == "Average" and attributes.get("count_include_pad", 0)
        if isinstance(padding, list) or counted and padding == "same":
            if kind == "Average" and not counted:
                raise b.refuse(node, "an average that leaves out padding that is not 'same'")
            if padding == "same":
                half = len(attributes.get("pads", ())) // 2
                if not half:
                    raise b.refuse(node, "an average that counts automatic padding")
                padding = list(zip(attributes["pads"][:half], attributes["pads"][half:]))
            value = 0.0 if kind == "Average" else -np.inf
            x, padding = _padded(node, x, padding, moved, value), "valid"
        layer = make(kernel, strides, padding, _format(moved), **_dtype(x))
        return b.layer(node, layer, x, moved=moved)
    return row


def _global_pool(kind):
    def row(b, node, attributes):
        x, moved = _raw(b, node)
        make = _image_layer(b, node, f"Global{kind}Pooling{{}}", len(x.shape) - 2)
        layer = make(data_format=_format(moved), keepdims=True, **_dtype(x))
        return b.layer(node, layer, x, moved=moved)
    return row


def _batch_norm(b, node, attributes):
    x, moved = _raw(b, node)
    if attributes.get("training_mode"):
        raise b.refuse(node, "it is in training mode")
    weights = [b.array(node, i) for i in range(1, 5)]
    layer = L.BatchNormalization(axis=-1 if moved or len(x.shape) == 2 else 1,
                                 momentum=attributes.get("momentum", 0.9),
                                 epsilon=attributes.get("epsilon", 1e-5),
                                 name=b.name(node.input[1]), **_dtype(x))
    return b.layer(node, layer, x, weights, moved)


def _layer_norm(b, node, attributes):
    x, scale, bias = _get(b, node, 0), b.array(node, 1), b.array(node, 2)
    rank = len(x.shape)
    axis = attributes.get("axis", -1) % rank
    if len(node.output) > 1 and any(node.output[1:]):
        raise b.refuse(node, "its mean and deviation are read")
    layer = L.LayerNormalization(axis=list(range(axis, rank)),
                                 epsilon=attributes.get("epsilon", 1e-5), center=bias is not None,
                                 name=b.name(node.input[1]), **_dtype(x))
    shape = x.shape[axis:]
    weights = [np.broadcast_to(one, shape) for one in (scale, bias) if one is not None]
    return b.layer(node, layer, x, weights)


# ---- where elements lie --------------------------------------------------------------------------

def _transpose(b, node, attributes):
    x, moved = _raw(b, node)
    rank = len(x.shape)
    perm = list(attributes.get("perm", range(rank)[::-1]))
    if isinstance(x, np.ndarray):
        return np.transpose(x, perm)
    forward = [0, rank - 1, *range(1, rank - 1)]
    if moved:
        perm = [forward[axis] for axis in perm]
        if perm == list(range(rank)):
            return x
    if perm == forward and 3 <= rank <= 5:
        return Moved(x)
    if perm[0] == 0:
        return b.layer(node, L.Permute(perm[1:], **_dtype(x)), x)
    return ops.transpose(x, perm)


def _reshape(b, node, attributes):
    x, shape = _get(b, node, 0), b.numbers(node, 1)
    if not attributes.get("allowzero"):
        known = rules_of(x) if _symbolic(x) else x.shape
        shape = [known[i] if isinstance(size, int) and size == 0 else size
                 for i, size in enumerate(shape)]
    if isinstance(x, np.ndarray):
        return x.reshape(shape)
    return _to_shape(b, node, x, shape)


def _to_shape(b, node, x, shape):
    unknown = [i for i, size in enumerate(shape) if isinstance(size, Rule)]
    rest = shape[1:]
    samples = bool(unknown) and unknown[0] == 0 and shape[0].plain == "batch"
    if shape and shape[0] == -1 and None not in x.shape[1:]:
        samples = math.prod(rest) == math.prod(x.shape[1:])
    if samples and not unknown[1:]:
        layer = L.Flatten(**_dtype(x)) if len(rest) == 1 and len(x.shape) > 1 and (
            rest[0] == -1 or None in x.shape[1:] or rest[0] == math.prod(x.shape[1:])) \
            else L.Reshape(rest, **_dtype(x))
        return b.layer(node, layer, x)
    if len(unknown) > 1 or unknown and -1 in shape:
        raise b.refuse(node, "more than one size of its result is not known")
    return ops.reshape(x, [-1 if isinstance(size, Rule) else size for size in shape])


def _flatten(b, node, attributes):
    x, axis = _get(b, node, 0), attributes.get("axis", 1)
    if axis == 1 and _symbolic(x):
        return b.layer(node, L.Flatten(**_dtype(x)), x)
    axis = axis % (len(x.shape) + 1)
    return ops.reshape(x, (-1, math.prod(x.shape[axis:])))


def _concat(b, node, attributes):
    axis, values = attributes["axis"], [b.raw(name) for name in node.input]
    if all(isinstance(value, Moved) for value in values):
        tensors = [value.tensor for value in values]
        rank = len(tensors[0].shape)
        axis = [0, rank - 1, *range(1, rank - 1)][axis]
        return b.layer(node, L.Concatenate(axis, **_dtype(tensors[0])), tensors, moved=True)
    values = [b.get(name) for name in node.input]
    if all(isinstance(value, np.ndarray) for value in values):
        return np.concatenate(values, axis)
    if len(values) > 1 and all(map(_symbolic, values)):
        return b.layer(node, L.Concatenate(axis, **_dtype(values[0])), values)
    return ops.concatenate(values, axis)


def _axes(b, node, attributes, i):
    """Axes, an attribute or input i."""
    axes = attributes.get("axes")
    return list(axes) if axes is not None else b.numbers(node, i)


def _slice(b, node, attributes):
    x = _get(b, node, 0)
    starts, ends = (attributes.get(key) or b.numbers(node, i)
                    for i, key in ((1, "starts"), (2, "ends")))
    axes = _axes(b, node, attributes, 3) or range(len(starts))
    steps = b.numbers(node, 4) or [1] * len(starts)
    index = [slice(None)] * len(x.shape)
    for start, end, axis, step in zip(starts, ends, axes, steps):
        size = x.shape[axis]
        if isinstance(end, Rule) and size is None and end.constant <= 0 and end.factor == 1:
            end = end.constant or None
        if isinstance(start, Rule) or isinstance(end, Rule):
            raise b.refuse(node, "it computes with a size that is not known")
        if end is not None and (end > 2 ** 31 - 2 or step < 0 and end < -2 ** 30):
            end = None
        if step < 0 and start > 2 ** 30:
            start = None
        index[axis] = slice(start, end, step)
    return x[tuple(index)]


def _pad(b, node, attributes):
    x, rank = _get(b, node, 0), len(_get(b, node, 0).shape)
    pads = attributes.get("pads") or b.numbers(node, 1)
    if b.array(node, 3) is not None:
        raise b.refuse(node, "pads for some axes only")
    value = b.array(node, 2)
    mode = attributes.get("mode", "constant")
    if min(pads) < 0 or mode not in ("constant", "reflect"):
        raise b.refuse(node, f"mode={mode}, pads={pads}: expected constant or reflect, and no "
                       "negative number")
    if isinstance(x, np.ndarray):
        _limit(b, node, [size + pads[i] + pads[rank + i] for i, size in enumerate(x.shape)])
    extra = {} if mode == "reflect" else {
        "constant_values": attributes.get("value", 0.0) if value is None else value.item()}
    return ops.pad(x, list(zip(pads[:rank], pads[rank:])), mode=mode, **extra)


def _squeeze(b, node, attributes):
    x, axes = _get(b, node, 0), _axes(b, node, attributes, 1)
    if isinstance(x, np.ndarray):
        return np.squeeze(x, None if axes is None else tuple(axes))
    if axes is None:
        axes = [i for i, size in enumerate(x.shape) if size == 1]
    return ops.squeeze(x, tuple(axes))


def _unsqueeze(b, node, attributes):
    x, axes = _get(b, node, 0), _axes(b, node, attributes, 1)
    if isinstance(x, np.ndarray):
        return np.expand_dims(x, tuple(axes))
    rank = len(x.shape) + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = ops.expand_dims(x, axis)
    return x


def _expand(b, node, attributes):
    x, shape = _get(b, node, 0), b.numbers(node, 1)
    if isinstance(x, np.ndarray):
        if any(isinstance(size, Rule) for size in shape):
            raise b.refuse(node, "it spreads a constant over a size that is not known")
        shape = np.broadcast_shapes(x.shape, tuple(shape))
        _limit(b, node, shape)
        return np.broadcast_to(x, shape)
    missing = len(shape) - len(x.shape)
    for i, size in enumerate(shape):
        own = x.shape[i - missing] if i >= missing else 1
        if isinstance(size, Rule) and own is not None:
            raise b.refuse(node, "it spreads an axis over a size that is not known")
    ones = [1 if isinstance(size, Rule) else size for size in shape]
    _limit(b, node, ones)
    if x.dtype == "bool":
        return ops.logical_or(x, np.zeros(ones, bool))
    return ops.multiply(x, np.ones(ones, str(x.dtype)))


def _gather(b, node, attributes):
    x, indices, axis = _get(b, node, 0), _get(b, node, 1), attributes.get("axis", 0)
    if isinstance(x, np.ndarray) and isinstance(indices, np.ndarray):
        return np.asarray(np.take(x, indices, axis))
    if isinstance(x, np.ndarray) and x.ndim == 2 and axis == 0 and x.dtype.kind == "f":
        layer = L.Embedding(*x.shape, name=b.name(node.input[0]), **_dtype(x))
        return b.layer(node, layer, indices, [x])
    return ops.take(x, indices, axis)


def _split(b, node, attributes):
    x, axis = _get(b, node, 0), attributes.get("axis", 0)
    sizes = attributes.get("split") or b.numbers(node, 1)
    if not sizes:
        count = attributes.get("num_outputs", len(node.output))
        whole = -(-x.shape[axis] // count)
        sizes = [whole] * (count - 1) + [x.shape[axis] - whole * (count - 1)]
    return tuple(ops.split(x, np.cumsum(sizes)[:-1].tolist(), axis))


def _shape(b, node, attributes):
    x = _get(b, node, 0)
    sizes = rules_of(x) if _symbolic(x) else list(x.shape)
    sizes = sizes[attributes.get("start", 0):attributes.get("end")]
    known = not any(isinstance(size, Rule) for size in sizes)
    return np.array(sizes, "int64" if known else object)


def _constant(b, node, attributes):
    (key, value), = attributes.items()
    if key == "value":
        return value
    dtype = {"value_float": "float32", "value_floats": "float32", "value_int": "int64",
             "value_ints": "int64"}[key]
    return np.array(value, dtype)


def _constant_of_shape(b, node, attributes):
    shape = b.numbers(node, 0)
    if any(isinstance(size, Rule) for size in shape):
        raise b.refuse(node, "it spreads a constant over a size that is not known")
    _limit(b, node, shape)
    value = attributes.get("value", np.zeros(1, "float32"))
    return np.full(shape, value.reshape(-1)[0], value.dtype)


def _range(b, node, attributes):
    start, stop, step = (b.array(node, i).item() for i in range(3))
    count = max(math.ceil((stop - start) / step), 0)
    _limit(b, node, (count,))
    return (start + step * np.arange(count)).astype(b.array(node, 0).dtype)


# ---- over axes, in order -------------------------------------------------------------------------

def _reduce(function, before=None, after=None):
    def row(b, node, attributes):
        x, axes = _get(b, node, 0), _axes(b, node, attributes, 1)
        if not axes and attributes.get("noop_with_empty_axes"):
            return x
        x = getattr(ops, before)(x) if before else x
        y = getattr(ops, function)(x, axis=tuple(axes) if axes else None,
                                   keepdims=bool(attributes.get("keepdims", 1)))
        return getattr(ops, after)(y) if after else y
    return row


def _arg(function):
    def row(b, node, attributes):
        if attributes.get("select_last_index"):
            raise b.refuse(node, "select_last_index")
        y = getattr(ops, function)(_get(b, node, 0), axis=attributes.get("axis", 0),
                                   keepdims=bool(attributes.get("keepdims", 1)))
        return ops.cast(y, "int64")
    return row


def _softmax(make):
    def row(b, node, attributes):
        x = _get(b, node, 0)
        rank = len(x.shape)
        axis = attributes.get("axis", 1 if b.opset < 13 else -1)
        if b.opset < 13 and axis % rank != rank - 1:
            raise b.refuse(node, f"axis={axis} of {rank}, before version 13, spans several axes")
        if make == "softmax" and _symbolic(x):
            return b.layer(node, L.Softmax(axis, **_dtype(x)), x)
        return getattr(ops, make)(x, axis)
    return row


def _top_k(b, node, attributes):
    x, axis = _get(b, node, 0), attributes.get("axis", -1)
    rank = len(x.shape)
    k = b.numbers(node, 1)[0]
    axis, whole = axis % rank, x.shape[axis] == k
    if attributes.get("largest", 1) and axis == rank - 1 and isinstance(k, int):
        values, order = ops.top_k(x, k)
    elif whole:
        values, order = ops.sort(x, axis), ops.argsort(x, axis)
        if attributes.get("largest", 1):
            values, order = ops.flip(values, axis), ops.flip(order, axis)
    else:
        raise b.refuse(node, "only the largest numbers of the last axis, or all of an axis")
    return values, ops.cast(order, "int64")


def _cumsum(b, node, attributes):
    x, axis = _get(b, node, 0), int(b.array(node, 1).item())
    if attributes.get("exclusive"):
        raise b.refuse(node, "exclusive=1")
    if attributes.get("reverse"):
        return ops.flip(ops.cumsum(ops.flip(x, axis), axis), axis)
    return ops.cumsum(x, axis)


def _take_along(b, node, attributes):
    return ops.take_along_axis(_get(b, node, 0), _get(b, node, 1), attributes.get("axis", 0))


def _tile(b, node, attributes):
    x, repeats = _get(b, node, 0), b.numbers(node, 1)
    _limit(b, node, [(size or 1) * n for size, n in zip(x.shape, repeats)])
    return ops.tile(x, repeats)


def _same(b, node, attributes):
    return b.raw(node.input[0])


# ---- the table -----------------------------------------------------------------------------------

ROWS = {
    **{op_type: _named(name) for op_type, name in {
        "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Softplus": "softplus",
        "Softsign": "softsign", "HardSwish": "hard_silu", "Mish": "mish"}.items()},
    **{op_type: _unary(name) for op_type, name in {
        "Abs": "abs", "Neg": "negative", "Exp": "exp", "Log": "log", "Sqrt": "sqrt", "Erf": "erf",
        "Floor": "floor", "Ceil": "ceil", "Round": "round", "Sign": "sign",
        "Reciprocal": "reciprocal", "Sin": "sin", "Cos": "cos", "Tan": "tan", "Sinh": "sinh",
        "Cosh": "cosh", "Asin": "arcsin", "Acos": "arccos", "Atan": "arctan", "Asinh": "arcsinh",
        "Acosh": "arccosh", "Atanh": "arctanh", "Not": "logical_not", "IsNaN": "isnan",
        "IsInf": "isinf", "BitwiseNot": "bitwise_not"}.items()},
    **{op_type: _binary(name) for op_type, name in {
        "Add": "add", "Sub": "subtract", "Mul": "multiply", "Pow": "power", "Equal": "equal",
        "Greater": "greater", "GreaterOrEqual": "greater_equal", "Less": "less",
        "LessOrEqual": "less_equal", "And": "logical_and", "Or": "logical_or",
        "Xor": "logical_xor", "BitwiseAnd": "bitwise_and", "BitwiseOr": "bitwise_or",
        "BitwiseXor": "bitwise_xor"}.items()},
    "LeakyRelu": _scaled(L.LeakyReLU, alpha=0.01), "Elu": _scaled(L.ELU, alpha=1.0),
    "Selu": _fixed("selu", alpha=1.6732632423543772, gamma=1.0507009873554805),
    "Celu": _celu, "HardSigmoid": _hard_sigmoid, "Gelu": _gelu, "PRelu": _prelu, "Clip": _clip,
    "Div": _divide, "Mod": _mod, "Max": _many("maximum"), "Min": _many("minimum"),
    "Sum": _many("add"), "Mean": _mean_of, "Where": _where, "Cast": _cast,
    "Gemm": _gemm, "MatMul": _matmul, "MatMulInteger": _matmul_integer,
    "Conv": _conv, "ConvTranspose": _conv_transpose,
    "MaxPool": _pool("Max"), "AveragePool": _pool("Average"),
    "GlobalMaxPool": _global_pool("Max"), "GlobalAveragePool": _global_pool("Average"),
    "BatchNormalization": _batch_norm, "LayerNormalization": _layer_norm,
    "Transpose": _transpose, "Reshape": _reshape, "Flatten": _flatten, "Concat": _concat,
    "Slice": _slice, "Pad": _pad, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze,
    "Expand": _expand, "Gather": _gather, "GatherElements": _take_along, "Split": _split,
    "Tile": _tile, "Shape": _shape, "Constant": _constant,
    "ConstantOfShape": _constant_of_shape, "Range": _range,
    "ReduceSum": _reduce("sum"), "ReduceMean": _reduce("mean"), "ReduceMax": _reduce("max"),
    "ReduceMin": _reduce("min"), "ReduceProd": _reduce("prod"),
    "ReduceSumSquare": _reduce("sum", before="square"),
    "ReduceL1": _reduce("sum", before="abs"),
    "ReduceL2": _reduce("sum", before="square", after="sqrt"),
    "ReduceLogSumExp": _reduce("logsumexp"),
    "ArgMax": _arg("argmax"), "ArgMin": _arg("argmin"),
    "Softmax": _softmax("softmax"), "LogSoftmax": _softmax("log_softmax"),
    "TopK": _top_k, "CumSum": _cumsum,
    "Identity": _same, "Dropout": _same,
}
