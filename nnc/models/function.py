"""Function: the operations between KerasTensors as one operation, without state of its own."""
from .. import tree
from ..ops.keras_tensor import KerasTensor
from ..ops.operation import Node, Operation
from .graph import find_nodes, replay, sort_operations


class Function(Operation):
    """What leads from some KerasTensors to others, to be applied to new inputs.

    Args:
        inputs: Nest of KerasTensors.
        outputs: Nest of KerasTensors that can be computed of these.
        name: Name.

    Attributes:
        inputs, outputs: Flat lists of the KerasTensors.
        operations: List of the operations.

    Example:

        a = keras.KerasTensor(shape=(None, 3))
        double = keras.Function(a, a * 2)
        double(np.ones((2, 3)))
    """

    def __init__(self, inputs, outputs, name=None):
        super().__init__(name=name)
        for argument, nest in (("inputs", inputs), ("outputs", outputs)):
            leaves = tree.flatten(nest)
            if not leaves or not all(isinstance(leaf, KerasTensor) for leaf in leaves):
                raise ValueError(f"Function: `{argument}` must be KerasTensors, at least one. "
                                 f"Received: {argument}={nest!r}")
        self._inputs_struct, self._outputs_struct = inputs, outputs
        self.inputs, self.outputs = tree.flatten(inputs), tree.flatten(outputs)
        given = {id(tensor) for tensor in self.inputs}
        for tensor in self.inputs:
            if tensor._keras_history is None:           # made by itself: it enters here
                Node(Operation(), outputs=tensor)
        for tensor in self.outputs:
            if tensor._keras_history is None:
                raise ValueError(f"Function: the output {tensor!r} is not connected to `inputs`.")
        nodes, numbers = find_nodes(self.inputs, self.outputs)
        self._nodes = [node for node in nodes if not given.issuperset(
            id(tensor) for tensor in node.output_tensors)]
        self.operations = sort_operations(self.inputs, nodes, numbers)

    def _run(self, inputs, call):
        self._check(inputs)
        values = dict(zip(map(id, self.inputs), tree.flatten(inputs)))
        replay(self._nodes, values, call)
        return tree.pack(self._outputs_struct, [values[id(tensor)] for tensor in self.outputs])

    def call(self, inputs):
        """The outputs for new inputs, in the structure of `outputs`."""
        return self._run(inputs, lambda operation, args, kwargs: operation(*args, **kwargs))

    def compute_output_spec(self, inputs):
        """A KerasTensor for each output."""
        return self._run(inputs, lambda operation, args, kwargs:
                         operation.compute_output_spec(*args, **kwargs))

    def compute_output_shape(self, input_shape):
        """The outputs' shapes for inputs of these shapes."""
        dtypes = iter(self.inputs)
        spec = self.compute_output_spec(tree.map_shape_structure(
            lambda shape: KerasTensor(shape, dtype=next(dtypes).dtype), input_shape))
        return tree.map_leaves(lambda leaf: leaf.shape, spec)

    def _check(self, inputs):
        try:
            tree.assert_same_structure(inputs, self._inputs_struct)
        except ValueError:
            raise ValueError(f"Function '{self.name}': the inputs must have the structure of "
                             f"{self._inputs_struct}. Received: {inputs!r}") from None
        for x, wanted in zip(tree.flatten(inputs), self.inputs):
            shape = tuple(getattr(x, "shape", ()))
            if len(shape) != len(wanted.shape) or any(
                    None not in pair and pair[0] != pair[1] for pair in zip(shape, wanted.shape)):
                raise ValueError(f"Function '{self.name}': input '{wanted.name}' must have the "
                                 f"shape {wanted.shape}. Received: shape={shape}")
