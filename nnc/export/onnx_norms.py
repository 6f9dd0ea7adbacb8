"""Groups of nodes that are one normalization in ONNX: see `onnx_patterns`.

    batch   y = x s + t,  s = rsqrt(var + epsilon) gamma,  t = beta - mean s
    layer   y = d rsqrt(mean(d^2) + epsilon) gamma + beta,  d = x - mean(x)
"""
import numpy as np

from .record import Rule


def _made(graph, number, op):
    """The node that makes a value, if its op is this one."""
    node = graph.makers.get(number) if number is not None else None
    return node if node is not None and node.op == op else None


def _scalar(graph, number):
    """The number that a constant holds; `None` if it is none, or has axes."""
    value = graph.weight(number)
    return float(graph.recording.held(number)) if value and value.shape == () else None


def _flat_weight(graph, number, size):
    """A weight of `size` numbers, as it is or reshaped; its number."""
    weight, _ = graph.reshaped_weight(number)
    weight = number if weight is None and graph.weight(number) else weight
    return weight if weight is not None and graph.values[weight].shape == (size,) else None


def _parameter(w, weight, size, value, dtype):
    return w.constant(np.full(size, value, dtype)) if weight is None else w.value(weight)


def _scale_of(graph, number, size):
    """(epsilon, var, gamma) of a factor s; gamma may be None; or None."""
    gamma = None
    product = _made(graph, number, "multiply")
    if product is not None:
        gamma = _flat_weight(graph, product.inputs[1], size)
        number = product.inputs[0]
        if gamma is None:
            return None
    root = _made(graph, number, "rsqrt")
    total = _made(graph, root.inputs[0] if root else None, "add")
    if total is None:
        return None
    epsilon, var = _scalar(graph, total.inputs[1]), _flat_weight(graph, total.inputs[0], size)
    return None if epsilon is None or var is None else (epsilon, var, gamma)


def _shift_of(graph, number, scale, size):
    """(mean, beta) of a summand t; beta may be None; or None."""
    beta = None
    total = _made(graph, number, "add")
    if total is not None:
        beta = _flat_weight(graph, total.inputs[1], size)
        number = total.inputs[0]
        if beta is None:
            return None
    turned = _made(graph, number, "negative")
    product = _made(graph, turned.inputs[0] if turned else None, "multiply")
    if product is None or product.inputs[1] != scale:
        return None
    mean = _flat_weight(graph, product.inputs[0], size)
    return None if mean is None else (mean, beta)


def batch_normalization(graph, node):
    """The group that begins with the product x s."""
    x, scale = node.inputs
    last = graph.only_reader(node)
    shape, rank = graph.values[x].rules, graph.rank(x)
    if last is None or last.op != "add" or last.inputs[0] != node.outputs[0] or rank < 2 \
            or graph.rank(scale) != rank:
        return None
    own = graph.values[scale].shape
    axes = [i for i, size in enumerate(own) if size != 1] or [rank - 1]
    axis = axes[0]
    if len(axes) != 1 or axis not in (1, rank - 1) or isinstance(shape[axis], Rule) \
            or own[axis] != shape[axis]:
        return None
    size = own[axis]
    found = _scale_of(graph, scale, size)
    rest = found and _shift_of(graph, last.inputs[1], scale, size)
    if not rest:
        return None
    (epsilon, var, gamma), (mean, beta), dtype = found, rest, graph.values[x].dtype

    def write(w):
        def normalized(x):
            return w.add("BatchNormalization", x, _parameter(w, gamma, size, 1, dtype),
                         _parameter(w, beta, size, 0, dtype), w.value(mean), w.value(var),
                         epsilon=epsilon)
        w.names[last.outputs[0]] = normalized(w.value(x)) if axis == 1 \
            else w.moved(w.value(x), rank - 2, normalized)
    return last, [node, last], write


def layer_normalization(graph, node):
    """The group that begins with the mean of x over the last axes."""
    x, rank = node.inputs[0], graph.rank(node.inputs[0])
    axes, sizes = node.attrs["axes"], graph.values[x].shape
    centered = graph.only_reader(node)
    if centered is None or centered.op != "subtract" or not axes or not node.attrs["keepdims"] \
            or centered.inputs != (x, node.outputs[0]) or tuple(axes) != (rank - 1,) \
            or isinstance(graph.values[x].rules[-1], Rule):
        return None
    square = graph.only_reader(centered, "square")
    chain = square and graph.chain(square, "mean", "add", "rsqrt")
    if not chain or chain[1].attrs["axes"] != axes \
            or len(graph.readers[centered.outputs[0]]) != 2:
        return None
    epsilon = _scalar(graph, chain[2].inputs[1])
    last = graph.only_reader(chain[-1])
    if epsilon is None or last is None or last.op != "multiply" \
            or last.inputs != (centered.outputs[0], chain[-1].outputs[0]):
        return None
    inside, weights, size = [node, centered, *chain, last], [], sizes[-1]
    for op in ("multiply", "add"):
        following = graph.only_reader(last)
        weight = following is not None and following.op == op \
            and following.inputs[0] == last.outputs[0] \
            and _flat_weight(graph, following.inputs[1], size)
        weights.append(None if weight is False else weight)
        if weights[-1] is not None:
            last = following
            inside.append(last)
    dtype = graph.values[x].dtype

    def write(w):
        w.names[last.outputs[0]] = w.add(
            "LayerNormalization", w.value(x), _parameter(w, weights[0], size, 1, dtype),
            *([] if weights[1] is None else [w.value(weights[1])]), epsilon=epsilon)
    return last, inside, write
