"""The part of a model that takes strings: it runs on arrays, before the recorded program.

Layers that take strings cannot be recorded. Nothing before them is trained and nothing but the
model's inputs leads to them, so they are run on the arrays that come in: once on all of them, or
batch by batch where the size of the result depends on what the strings are. What they give, and the
inputs that hold numbers, enter the program.
"""
import numpy as np

from .. import tree
from .._core import Tensor
from .graph import fill


class Entered(tuple):
    """What enters a model behind its layers of strings: arrays, or tensors in their place."""

    _fields = ()            # so that nests keep the class
    entered = True          # such inputs are taken as they are

    def __new__(cls, *parts):
        return super().__new__(cls, parts)


class Front:
    """The nodes of a model that take strings.

    Args:
        name: The model's name.
        inputs: Its KerasTensors.
        nodes: Its nodes, in order.

    Attributes:
        nodes: Those that run on arrays.
        rest: Those that are recorded.
        cut: The KerasTensors between them: inputs that hold numbers, and what `nodes` give.

    Raises:
        ValueError: If such a node needs what a layer of numbers computes, or is trained.
    """

    def __init__(self, name, inputs, nodes):
        self.nodes, self.rest = [], []
        self.cut = [tensor for tensor in inputs if tensor.dtype != "string"]
        known = {id(tensor) for tensor in inputs}
        for node in nodes:
            if not any(tensor.dtype == "string" for tensor in node.input_tensors):
                if not any(tensor.dtype == "string" for tensor in node.output_tensors):
                    self.rest.append(node)
                continue
            for tensor in node.input_tensors:
                if id(tensor) not in known:
                    raise ValueError(
                        f"Model '{name}': layer '{node.operation.name}' takes strings, so all of "
                        "its inputs must be inputs of the model or come from layers of strings. "
                        f"Received: what '{tensor._keras_history.operation.name}' computes")
            if getattr(node.operation, "trainable_weights", None):
                raise ValueError(f"Model '{name}': '{node.operation.name}' takes strings and has "
                                 "weights that are trained. Put its layers into the model "
                                 "themselves instead of the model that holds them.")
            self.nodes.append(node)
            known.update(id(tensor) for tensor in node.output_tensors)
            self.cut += [tensor for tensor in node.output_tensors if tensor.dtype != "string"]

    @property
    def is_fixed(self):
        """Whether the size of what enters does not depend on what the strings are."""
        return all(None not in tensor.shape[1:] for tensor in self.cut)

    def enter(self, values):
        """`Entered` for a dictionary of `id(KerasTensor)` and arrays."""
        for node in self.nodes:
            made = node.operation(*fill(node.args, values), **fill(node.kwargs, values))
            for tensor, value in zip(node.output_tensors, tree.flatten(made)):
                values[id(tensor)] = as_array(value)
        return Entered(*(values[id(tensor)] for tensor in self.cut))


def as_array(value):
    """A tensor as an array; arrays of strings stay as they are."""
    return value.numpy() if isinstance(value, Tensor) else value


def fit_strings(array, wanted, who):
    """An array of strings with a last axis of size 1 added or dropped, so that it has the shape.

    Raises:
        TypeError: If it holds no strings.
        ValueError: If the shape is another one.
    """
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "USO":
        raise TypeError(f"{who} must hold strings. Received: {type(array).__name__} of dtype "
                        f"{getattr(array, 'dtype', None)}")
    return fit_shape(array, wanted, who)


def fit_shape(array, wanted, who):
    """An array with a last axis of size 1 added or dropped, so that it has the shape."""
    shape = array.shape
    if len(shape) == len(wanted) + 1 and shape[-1] == 1:
        array = array.reshape(shape[:-1])
    elif len(shape) == len(wanted) - 1 and wanted[-1] == 1:
        array = array.reshape(*shape, 1)
    if array.ndim != len(wanted) or any(a is not None and a != b
                                        for a, b in zip(wanted[1:], array.shape[1:])):
        raise ValueError(f"{who} has the wrong shape: expected {tuple(wanted)}, received {shape}.")
    return array
