"""Groups of nodes that ONNX has one operator for: convolutions and pooling, which are recorded over
patches, products of many rows, and the normalizations of `onnx_norms`.

A group is looked for from its first node on; each value between its nodes must have no other
reader. The rest of the graph is written node by node (`onnx_ops`), and so is a group that differs
in anything: these rows only make files shorter and faster. Letters: images (n, ..., c), kernels
(k..., c, f), `spatial` axes between.
"""
import math

import numpy as np

from .onnx_norms import batch_normalization, layer_normalization
from .record import Rule


class _Graph:
    """A recording with who makes and who reads each value."""

    def __init__(self, recording):
        self.recording, self.values = recording, recording.values
        self.readers, self.makers = {}, {}
        for node in recording.nodes:
            self.makers.update((number, node) for number in node.outputs)
            for number in set(node.inputs):
                self.readers.setdefault(number, []).append(node)
        for _, number in recording.outputs:
            self.readers.setdefault(number, []).append(None)

    def only_reader(self, node, op=None):
        """The node that alone reads a node's output; `None` if there is none, or of another op."""
        following = self.readers.get(node.outputs[0], [])
        if op is not None and len(following) > 1:           # others may read it too: see _max_pool
            following = [one for one in following if one is not None and one.op == op]
        return following[0] if len(following) == 1 else None

    def chain(self, node, *ops):
        """The nodes of these ops, each the only reader of the one before; or `None`."""
        found = [node]
        for op in ops:
            following = self.only_reader(found[-1])
            if following is None or following.op != op \
                    or following.inputs[0] != found[-1].outputs[0]:
                return None
            found.append(following)
        return found

    def weight(self, number):
        """The value if it is a variable or a constant."""
        value = self.values[number]
        return value if value.kind in ("variable", "constant") else None

    def reshaped_weight(self, number):
        """The number of the weight that a value is a reshaped form of, and the node; or `None`s."""
        node = self.makers.get(number)
        if node is None or node.op != "reshape" or self.weight(node.inputs[0]) is None:
            return None, None
        return node.inputs[0], node

    def with_bias(self, last, f):
        """The node that adds one number a channel after `last`, and its bias; or `last` itself."""
        add = self.only_reader(last)
        if add is not None and add.op == "add" and add.inputs[0] == last.outputs[0] \
                and self.weight(add.inputs[1]) and self.values[add.inputs[1]].shape == (f,):
            return add, add.inputs[1]
        return last, None

    def rank(self, number):
        return len(self.values[number].shape)


def find(recording):
    """What writes each group, by its last node; and the nodes that are left out then."""
    graph = _Graph(recording)
    groups, left_out = {}, set()
    for node in recording.nodes:
        if id(node) in left_out:
            continue
        for row in _ROWS.get(node.op, ()):
            found = row(graph, node)
            if found:
                last, inside, write = found
                groups[id(last)] = write
                left_out |= {id(one) for one in inside} - {id(last)}
                break
    return groups, left_out


def _images(graph, node):
    """The reshape to (n, d, h, w, c) before patches, and the number of spatial axes."""
    first = graph.makers.get(node.inputs[0])
    if first is None or first.op != "reshape" or graph.only_reader(first) is not node:
        return None, 0
    spatial = graph.rank(first.inputs[0]) - 2
    return (first, spatial) if 1 <= spatial <= 3 else (None, 0)


def _window(node, spatial):
    """Attributes for the last axes; `None` if the others, or sizes not known, take part."""
    window = node.attrs["window"]
    if any(isinstance(number, Rule) for number in window):
        return None
    parts = [window[i:i + 3] for i in range(0, 15, 3)]
    if any(part[axis] != neutral for part, neutral in zip(parts, (1, 1, 1, 0, 0))
           for axis in range(3 - spatial)):
        return None
    kernel, strides, dilations, low, high = (list(part[3 - spatial:]) for part in parts)
    return {"kernel_shape": kernel, "strides": strides, "dilations": dilations,
            "pads": low + high}


def _convolution(graph, op_type, x, kernel, turned, bias, spatial, attributes):
    """What writes a convolution; `turned`: a function of the kernel's array."""
    def write(w, target):
        name = w.fresh(graph.recording.names.get(kernel, "kernel"))
        w.initializers.append(w.tensor(turned(graph.recording.held(kernel)), name))
        more = [] if bias is None else [w.value(bias)]
        w.names[target] = w.moved(w.value(x), spatial,
                                  lambda x: w.add(op_type, x, name, *more, **attributes))
    return write


def _group(graph, last, inside, flat, write):
    """The group, with the kernel's reshape if nothing else reads it."""
    if graph.only_reader(flat) is not None:
        inside = [*inside, flat]
    return last, inside, lambda w: write(w, last.outputs[0])


# ---- the groups ----------------------------------------------------------------------------------

def _conv(graph, node):
    first, spatial = _images(graph, node)
    chain = graph.chain(node, "reshape", "reshape", "matmul", "reshape")
    if first is None or chain is None or node.attrs["value"] != 0:
        return None
    product, last = chain[3], chain[4]
    kernel, flat = graph.reshaped_weight(product.inputs[1])
    window = _window(node, spatial)
    if kernel is None or window is None or product.attrs["transpose_a"] \
            or product.attrs["transpose_b"] or graph.rank(last.outputs[0]) != spatial + 2 \
            or list(graph.values[kernel].shape[:-2]) != window["kernel_shape"]:
        return None
    last, bias = graph.with_bias(last, graph.values[kernel].shape[-1])
    write = _convolution(graph, "Conv", first.inputs[0], kernel, lambda array: np.transpose(
        array, (spatial + 1, spatial, *range(spatial))), bias, spatial, window)
    return _group(graph, last, [first, *chain, last], flat, write)


def _depthwise(graph, node):
    first, spatial = _images(graph, node)
    chain = graph.chain(node, "reshape", "reshape", "multiply", "sum", "reshape")
    if first is None or chain is None or node.attrs["value"] != 0:
        return None
    product, total, last = chain[3:]
    kernel, flat = graph.reshaped_weight(product.inputs[1])
    window = _window(node, spatial)
    if kernel is None or window is None or total.attrs["axes"] != (2,) \
            or graph.rank(last.outputs[0]) != spatial + 2:
        return None
    *sizes, c, multiplier = graph.values[kernel].shape
    shape = graph.values[flat.outputs[0]].shape
    if sizes != window["kernel_shape"] or shape != (1, 1, math.prod(sizes), c, multiplier):
        return None
    last, bias = graph.with_bias(last, c * multiplier)
    write = _convolution(graph, "Conv", first.inputs[0], kernel, lambda array: np.transpose(
        array, (spatial, spatial + 1, *range(spatial))).reshape(c * multiplier, 1, *sizes),
        bias, spatial, {**window, "group": c})
    return _group(graph, last, [first, *chain, last], flat, write)


def _max_pool(graph, node):
    first, spatial = _images(graph, node)
    columns = graph.only_reader(node)
    if first is None or columns is None or columns.op != "reshape" \
            or node.attrs["value"] != float("-inf"):
        return None
    place = graph.only_reader(columns, "argmax")
    chain = place and graph.chain(place, "one_hot", "where", "sum", "reshape")
    window = _window(node, spatial)
    if not chain or window is None:
        return None
    place, mark, picked, total, last = chain
    same = place.attrs["axis"] == mark.attrs["axis"] == 2 and total.attrs["axes"] == (2,) \
        and picked.inputs[1] == columns.outputs[0] and len(graph.readers[columns.outputs[0]]) == 2
    if not same or graph.rank(last.outputs[0]) != spatial + 2:
        return None

    def write(w):
        w.names[last.outputs[0]] = w.moved(w.value(first.inputs[0]), spatial,
                                           lambda x: w.add("MaxPool", x, **window))
    return last, [first, node, columns, *chain], write


def _average_pool(graph, node):
    first, spatial = _images(graph, node)
    chain = graph.chain(node, "reshape", "sum", "divide", "reshape")
    window = first and _window(node, spatial)
    if not window or chain is None or node.attrs["value"] != 0 \
            or any(n != 1 for n in window["dilations"]):
        return None
    total, quotient, last = chain[2:]
    counts = graph.values[quotient.inputs[1]]
    if total.attrs["axes"] != (2,) or counts.kind != "constant" \
            or graph.rank(last.outputs[0]) != spatial + 2:
        return None
    wanted = _counts(graph.values[first.inputs[0]].rules[1:-1], window)
    held = graph.recording.held(quotient.inputs[1])
    if wanted is None or held.size not in (1, wanted.size) \
            or not (held.reshape(-1) == wanted.reshape(-1)).all():
        return None
    window = {key: value for key, value in window.items() if key != "dilations"}

    def write(w):
        w.names[last.outputs[0]] = w.moved(w.value(first.inputs[0]), spatial,
                                           lambda x: w.add("AveragePool", x, **window))
    return last, [first, *chain], write


def _counts(sizes, window):
    """How many numbers each window holds that are not padding."""
    spatial = len(sizes)
    whole = np.array(math.prod(window["kernel_shape"]), "float32")
    if not any(window["pads"]):
        return whole
    if any(isinstance(size, Rule) for size in sizes):
        return None
    counts = np.ones(1)
    for i, size in enumerate(sizes):
        low, high = window["pads"][i], window["pads"][spatial + i]
        k, stride = window["kernel_shape"][i], window["strides"][i]
        starts = np.arange((size + low + high - k) // stride + 1) * stride - low
        own = np.minimum(starts + k, size) - np.maximum(starts, 0)
        counts = np.multiply.outer(counts, own)
    return counts.astype("float32")


def _conv_transpose(graph, node):
    chain = graph.chain(node, "matmul", "reshape", "reshape", "patches_grad", "reshape")
    if chain is None:
        return None
    product, adjoint, last = chain[1], chain[4], chain[5]
    spatial = graph.rank(node.inputs[0]) - 2
    kernel, flat = graph.reshaped_weight(product.inputs[1])
    window = _window(adjoint, spatial) if 1 <= spatial <= 3 else None
    if kernel is None or window is None or product.attrs["transpose_a"] \
            or not product.attrs["transpose_b"] or graph.rank(last.outputs[0]) != spatial + 2 \
            or list(graph.values[kernel].shape[:-2]) != window["kernel_shape"]:
        return None
    sizes = adjoint.attrs["window"][15:18][3 - spatial:]
    out = graph.values[node.inputs[0]].rules[1:-1]
    if any(isinstance(size, Rule) for size in (*sizes, *out)):
        return None
    pads, more = window["pads"][:spatial], [0] * spatial
    for i in range(spatial):
        stride, reach = window["strides"][i], \
            (window["kernel_shape"][i] - 1) * window["dilations"][i] + 1
        end = (out[i] - 1) * stride + reach - pads[i] - sizes[i]
        more[i] = max(-end, 0)
        if more[i] >= stride:
            return None
        pads.append(max(end, 0))
    last, bias = graph.with_bias(last, graph.values[kernel].shape[-2])
    write = _convolution(graph, "ConvTranspose", node.inputs[0], kernel, lambda array: np.transpose(
        array, (spatial + 1, spatial, *range(spatial))), bias, spatial,
        {**window, "pads": pads, "output_padding": more})
    return _group(graph, last, [*chain, last], flat, write)


def _rows(graph, node):
    """(lead..., k) as rows, times a matrix, and as (lead..., n...) again: one product."""
    chain = graph.chain(node, "matmul", "reshape")
    if chain is None:
        return None
    product, last = chain[1:]
    lead = graph.values[node.inputs[0]].rules[:-1]
    shape = list(last.attrs["shape"])
    if product.attrs["transpose_a"] or product.attrs["transpose_b"] or len(lead) < 2 \
            or graph.rank(product.inputs[1]) != 2 or graph.rank(node.outputs[0]) != 2 \
            or node.attrs["shape"][-1] != graph.values[node.inputs[0]].rules[-1] \
            or shape[:len(lead)] != lead or len(shape) == len(lead):
        return None

    def write(w):
        y = w.add("MatMul", w.value(node.inputs[0]), w.value(product.inputs[1]))
        if len(shape) > len(lead) + 1:
            y = w.reshape(y, shape)
        w.names[last.outputs[0]] = y
    return last, chain, write


_ROWS = {"patches": (_conv, _max_pool, _average_pool, _depthwise),
         "reshape": (_conv_transpose, _rows),
         "multiply": (batch_normalization,), "mean": (layer_normalization,)}
