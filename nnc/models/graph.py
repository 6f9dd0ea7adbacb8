"""The nodes between KerasTensors: which there are, in which order, and calling them again."""
from .. import tree
from ..ops.keras_tensor import KerasTensor
from ..ops.operation import node_of


def find_nodes(inputs, outputs):
    """The nodes that lead to the outputs, each after those it needs, and the operations' numbers in
    the order of discovery.

    Raises:
        ValueError: If an output needs an input that is not among `inputs`.
    """
    entries = {id(tensor) for tensor in inputs}
    finished, order, numbers = set(), [], {}
    for output in outputs:
        stack = [(output, False)]
        while stack:
            tensor, done = stack.pop()
            node = node_of(tensor)
            if id(node) in finished:
                continue
            if done:
                finished.add(id(node))
                order.append(node)
                continue
            numbers.setdefault(id(node.operation), len(numbers))
            stack.append((tensor, True))
            if id(tensor) in entries:
                continue
            if node.is_input:
                raise ValueError("Model: an output depends on an input that is not among "
                                 f"`inputs`: '{node.operation.name}'. Received: "
                                 f"inputs={[t.name for t in inputs]}")
            stack.extend((parent, False) for parent in reversed(node.input_tensors)
                         if id(node_of(parent)) not in finished)
    return order, numbers


def sort_operations(inputs, nodes, numbers):
    """The operations by their depth (the farthest from the outputs first), then by discovery."""
    depths, operations = {}, {}
    node_depths = {}
    for node in reversed(nodes):
        key = id(node.operation)
        operations[key] = node.operation
        depth = max(node_depths.get(id(node), 0), depths.get(key, 0))
        depths[key] = node_depths[id(node)] = depth
        for parent in node.parent_nodes:
            node_depths[id(parent)] = max(depth + 1, node_depths.get(id(parent), 0))
    for tensor in inputs:
        operation = tensor._keras_history.operation
        if id(operation) not in depths:                 # an input that no output needs
            operations[id(operation)] = operation
            depths[id(operation)], numbers[id(operation)] = 0, -1
    return sorted(operations.values(), key=lambda o: (-depths[id(o)], numbers[id(o)]))


def fill(nest, values):
    """The nest with `values[id(tensor)]` in the place of each KerasTensor."""
    if isinstance(nest, KerasTensor):
        return values[id(nest)]
    if isinstance(nest, (list, tuple, dict)):
        return tree.map_leaves(
            lambda leaf: values[id(leaf)] if isinstance(leaf, KerasTensor) else leaf, nest)
    return nest


def replay(nodes, values, call):
    """Calls each node's operation again on what `values` holds, by `call(operation, args, kwargs)`.

    Args:
        nodes: Nodes, each after those it needs.
        values: Dictionary of `id(KerasTensor)` and what stands for it; outputs are added.
        call: Makes the outputs of a node.
    """
    for node in nodes:
        if all(id(tensor) in values for tensor in node.output_tensors):
            continue
        made = call(node.operation, fill(node.args, values), fill(node.kwargs, values))
        for tensor, value in zip(node.output_tensors, tree.flatten(made)):
            values[id(tensor)] = value
