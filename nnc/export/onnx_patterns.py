"""Groups of nodes that ONNX has one operator for: convolutions and pooling over patches.

A group is looked for from its `patches` node on; each value between its nodes must have no other
reader. The rest of the graph is written node by node (`onnx_ops`), and so is a group that differs
in anything: these rows only make files shorter and faster.
"""
import numpy as np

_CONV = ("patches", "reshape", "reshape", "matmul", "reshape")
_MAX_POOL = ("patches", "reshape", "argmax", "one_hot", "where", "sum", "reshape")


def find(recording):
    """Last nodes of groups, with what writes the group; and the nodes that are then left out."""
    readers, makers = {}, {}
    for node in recording.nodes:
        makers.update((number, node) for number in node.outputs)
        for number in set(node.inputs):
            readers.setdefault(number, []).append(node)
    for _, number in recording.outputs:
        readers.setdefault(number, []).append(None)
    groups, left_out = {}, set()
    for node in recording.nodes:
        found = None
        if node.op == "patches" and node.inputs[0] in makers:
            found = _conv(recording, node, readers, makers) or \
                _max_pool(recording, node, readers, makers)
        if found:
            last, inside, write = found
            groups[id(last)] = write
            left_out |= {id(one) for one in inside} - {id(last)}
    return groups, left_out


def _chain(node, ops, readers):
    """The nodes of these ops, each the only reader of the one before; or `None`."""
    found = [node]
    for op in ops[1:]:
        following = readers.get(found[-1].outputs[0], [])
        if op == "where" or found[-1].op == "reshape" and op == "argmax":
            following = [one for one in following if one is not None and one.op == op]
        if len(following) != 1 or following[0] is None or following[0].op != op:
            return None
        found.append(following[0])
    return found


def _before(node, readers, makers):
    """The reshape to (n, d, h, w, c) before the patches, and what it reshapes."""
    first = makers[node.inputs[0]]
    if first.op != "reshape" or len(readers[first.outputs[0]]) != 1:
        return None
    return first


def _window(recording, node, spatial):
    """Kernel, strides, dilations and pads of the last axes; `None` if others are not trivial."""
    window = node.attrs["window"]
    if not all(isinstance(number, int) for number in window):
        return None
    parts = [window[i:i + 3] for i in range(0, 15, 3)]
    neutral = (1, 1, 1, 0, 0)
    if any(part[axis] != neutral[i] for i, part in enumerate(parts)
           for axis in range(3 - spatial)):
        return None
    kernel, strides, dilations, low, high = (list(part[3 - spatial:]) for part in parts)
    return {"kernel_shape": kernel, "strides": strides, "dilations": dilations,
            "pads": low + high}


def _moved(w, x, spatial, write):
    """`write` on (n, c, ...), for numbers that lie as (n, ..., c)."""
    x = w.add("Transpose", x, perm=[0, spatial + 1, *range(1, spatial + 1)])
    return w.add("Transpose", write(x), perm=[0, *range(2, spatial + 2), 1])


def _conv(recording, node, readers, makers):
    chain, first = _chain(node, _CONV, readers), _before(node, readers, makers)
    if chain is None or first is None or node.attrs["value"] != 0:
        return None
    product, last = chain[3], chain[4]
    flat = makers.get(product.inputs[1])
    if product.attrs["transpose_a"] or product.attrs["transpose_b"] or flat is None \
            or flat.op != "reshape" or product.inputs[0] != chain[2].outputs[0]:
        return None
    kernel = recording.values[flat.inputs[0]]
    spatial = len(kernel.shape) - 2
    window = _window(recording, node, spatial) if 1 <= spatial <= 3 else None
    if kernel.kind not in ("variable", "constant") or window is None \
            or list(kernel.shape[:spatial]) != window["kernel_shape"] \
            or len(recording.values[first.inputs[0]].shape) != spatial + 2 \
            or len(recording.values[last.outputs[0]].shape) != spatial + 2:
        return None

    def write(w):
        array = recording.held(flat.inputs[0])
        turned = np.transpose(array, (spatial + 1, spatial, *range(spatial)))
        name = w.fresh(recording.names.get(flat.inputs[0], "kernel"))
        w.initializers.append(w.tensor(turned, name))
        x = w.value(first.inputs[0])
        w.names[last.outputs[0]] = _moved(w, x, spatial,
                                          lambda x: w.add("Conv", x, name, **window))
    inside = [first, *chain]
    if len(readers[flat.outputs[0]]) == 1:
        inside.append(flat)
    return last, inside, write


def _max_pool(recording, node, readers, makers):
    chain, first = _chain(node, _MAX_POOL, readers), _before(node, readers, makers)
    if chain is None or first is None or node.attrs["value"] != float("-inf"):
        return None
    columns, place, mark, picked, total, last = chain[1:]
    spatial = len(recording.values[first.inputs[0]].shape) - 2
    if not 1 <= spatial <= 3 or len(recording.values[last.outputs[0]].shape) != spatial + 2:
        return None
    window = _window(recording, node, spatial)
    same = place.attrs["axis"] == mark.attrs["axis"] == 2 and total.attrs["axes"] == (2,) \
        and picked.inputs[:2] == (mark.outputs[0], columns.outputs[0]) \
        and set(map(id, readers[columns.outputs[0]])) == {id(place), id(picked)}
    if window is None or not same:
        return None

    def write(w):
        w.names[last.outputs[0]] = _moved(w, w.value(first.inputs[0]), spatial,
                                          lambda x: w.add("MaxPool", x, **window))
    return last, [first, *chain], write
