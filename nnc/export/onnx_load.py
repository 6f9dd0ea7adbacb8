"""Functional models of ONNX files.

The graph is walked once; what each name stands for is one of: a NumPy array (weights, and all that
can be computed of them now; sizes not known are `Rule`s in arrays of objects), a KerasTensor, or a
`Moved` one. `onnx_layers` has a row for each operator.

ONNX's images are (n, c, h, w). Where a file transposes (n, h, w, c) into that only for a
convolution, as nnc's own do, the transpositions vanish: a `Moved` is a tensor whose axes are yet
to be moved, and convolutions, pooling and element-wise operators take it as it is.

A file is data: nothing in it is run, operators of other domains and data anywhere but in it or in
plain files beside it are refused, and sizes are checked against what is stored before memory is
taken.
"""
import os
import re

import numpy as np

from ..layers.input_layer import Input
from ..layers.keras_tensor import KerasTensor
from .onnx_data import Files
from .onnx_file import import_onnx
from .record import Rule

MOST_NODES = 100_000
MOST_NUMBERS = 1 << 26          # in an array that is computed while loading
MOST_RANK = 8
_OPSETS = range(7, 100)


class Moved:
    """A tensor with the channels last that stands for one with them first."""

    def __init__(self, tensor):
        self.tensor = tensor


class Builder:
    """What the rows of `onnx_layers` use.

    Attributes:
        values: What each name stands for.
        readers: How many nodes and outputs read a name.
        opset: The version of the operators.
        weights: Pairs of a layer and its weights.
    """

    def __init__(self, onnx, graph, opset, where):
        self.onnx, self.graph, self.opset, self.where = onnx, graph, opset, where
        self.values, self.readers, self.nodes_reading = {"": None}, {}, {}
        self.nodes, self.skipped, self._names, self.weights = list(graph.node), set(), set(), []
        for node in self.nodes:
            for name in node.input:
                self.readers[name] = self.readers.get(name, 0) + 1
                self.nodes_reading.setdefault(name, []).append(node)
        for output in graph.output:
            self.readers[output.name] = self.readers.get(output.name, 0) + 1

    # ---- inputs ----

    def get(self, name):
        """What a name stands for; a `Moved` one moved."""
        value = self.raw(name)
        if isinstance(value, Moved):
            from ..layers import Permute

            rank = len(value.tensor.shape)
            value = self.values[name] = Permute(
                (rank - 1, *range(1, rank - 1)), dtype=value.tensor.dtype)(value.tensor)
        return value

    def raw(self, name):
        """What a name stands for, as it is."""
        if name not in self.values:
            raise ValueError(f"{self.where}: nothing gives {name!r}, which a node reads")
        return self.values[name]

    def array(self, node, i, default=None):
        """Input i, which must be known now."""
        name = node.input[i] if i < len(node.input) else ""
        if not name:
            return default
        value = self.get(name)
        if not isinstance(value, np.ndarray):
            raise self.refuse(node, f"its input {i} ({name!r}) depends on the model's inputs, and "
                              "must be fixed here")
        return value

    def numbers(self, node, i, default=None):
        """Input i as a list of whole numbers and rules."""
        value = self.array(node, i)
        return default if value is None else value.reshape(-1).tolist()

    def attributes(self, node):
        """The attributes by name, as Python has them."""
        found = {}
        for one in node.attribute:
            if one.type in (one.GRAPH, one.GRAPHS):
                raise self.refuse(node, "it holds a graph of its own (loops and branches)")
            value = self.onnx.helper.get_attribute_value(one)
            if one.type == one.TENSOR:
                value = read_tensor(self.onnx, value, self.where)
            elif one.type == one.STRING:
                value = value.decode("utf-8", "replace")
            found[one.name] = value
        return found

    def layer(self, node, layer, x, weights=(), moved=False):
        """What a layer gives, which gets these weights at the end."""
        y = layer(x)
        if weights:
            self.weights.append((layer, list(weights)))
        return Moved(y) if moved else y

    def refuse(self, node, why):
        """The error for a node that cannot be loaded."""
        return NotImplementedError(f"{self.where}: the node {node.name or node.output[0]!r} "
                                   f"({node.op_type}) cannot be loaded: {why}")

    # ---- names ----

    def name(self, weight):
        """A name for a layer with a weight of this name: what stands before its last part."""
        text = re.sub(r"[/.](kernel|weight|gamma|scale|alpha|embeddings)$", "", weight)
        text = re.sub(r"\W+", "_", text.rpartition("/")[2]).strip("_") or "layer"
        fresh, i = text, 0
        while fresh in self._names:
            i += 1
            fresh = f"{text}_{i}"
        self._names.add(fresh)
        return fresh

    def taken(self, name):
        """Notes a name that is used."""
        self._names.add(name)


# ---- reading -------------------------------------------------------------------------------------

def numpy_dtype(onnx, number, what):
    """NumPy's dtype for the number that a file has for one."""
    try:
        return onnx.helper.tensor_dtype_to_np_dtype(number)
    except KeyError:
        raise ValueError(f"{what} has a dtype that does not exist: {number}") from None


def read_tensor(onnx, tensor, where, files=None):
    """The array of a `TensorProto`, once its sizes are known to fit.

    Args:
        files: The `onnx_data.Files` that its data may be in.

    Raises:
        ValueError: If they do not, or its data are in another file that is none of those.
    """
    name = tensor.name or "a constant"
    external = tensor.data_location == onnx.TensorProto.EXTERNAL or bool(tensor.external_data)
    if external and files is None:
        raise ValueError(f"{where}: the data of {name!r} are in another file, which only those of "
                         "the graph's own tensors may be")
    if tensor.data_type in (onnx.TensorProto.STRING, onnx.TensorProto.UNDEFINED):
        raise ValueError(f"{where}: {name!r} holds no numbers")
    if len(tensor.dims) > MOST_RANK or any(size < 0 for size in tensor.dims):
        raise ValueError(f"{where}: {name!r} has the shape {tuple(tensor.dims)}: expected at most "
                         f"{MOST_RANK} sizes of 0 or more")
    count = 1
    for size in tensor.dims:
        count *= size
    dtype = numpy_dtype(onnx, tensor.data_type, f"{where}: {name!r}")
    if external:
        if dtype.name not in _DTYPES:
            raise _no_dtype(where, name, dtype)
        return files.read(tensor, dtype, count)
    stored = len(tensor.raw_data) // max(dtype.itemsize, 1) if tensor.HasField("raw_data") else max(
        len(field) for field in (tensor.float_data, tensor.int32_data, tensor.int64_data,
                                 tensor.double_data, tensor.uint64_data))
    if stored != count:
        raise ValueError(f"{where}: {name!r} has the shape {tuple(tensor.dims)}, {count} numbers, "
                         f"but {stored} are stored")
    array = onnx.numpy_helper.to_array(tensor)
    if array.dtype.name not in _DTYPES:
        raise _no_dtype(where, name, array.dtype)
    return array


def _no_dtype(where, name, dtype):
    return NotImplementedError(f"{where}: {name!r} has the dtype {dtype.name}, which nnc has not")


_DTYPES = {"float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8",
           "uint16", "uint32", "uint64", "bool"}


def read_model(path):
    """The package and the `ModelProto` of a file.

    Raises:
        ValueError: If it is no ONNX file, or larger than the format can be.
    """
    onnx = import_onnx()
    path = os.fspath(path)
    size = os.path.getsize(path)
    if size > 2 ** 31 - 1:
        raise ValueError(f"{path}: an ONNX file has at most 2 GiB. Received: {size:,} bytes")
    try:
        model = onnx.load_model(path, "protobuf", load_external_data=False)
    except Exception as error:                  # protobuf's errors have no base class of their own
        if isinstance(error, (OSError, MemoryError)):
            raise
        raise ValueError(f"{path}: this is no ONNX file, or a damaged one: {error}") from None
    if not model.HasField("graph") or not model.opset_import:
        raise ValueError(f"{path}: this is no ONNX file, or a damaged one: it has no graph")
    return onnx, model


def _check(onnx, model, where):
    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)
    if opset not in _OPSETS:
        raise ValueError(f"{where}: operators of version {opset} are not known, those from "
                         f"{_OPSETS[0]} on are")
    graph = model.graph
    if model.functions or graph.sparse_initializer:
        raise NotImplementedError(f"{where}: functions and sparse tensors cannot be loaded")
    if max(len(graph.node), len(graph.initializer), len(graph.input)) > MOST_NODES:
        raise ValueError(f"{where}: more than {MOST_NODES:,} nodes or tensors. Received: "
                         f"{len(graph.node):,} nodes")
    if not graph.output:
        raise ValueError(f"{where}: the graph has no output")
    names = [one.name for group in (graph.node, graph.initializer, graph.input, graph.output)
             for one in group] + [graph.name]
    names += [text for node in graph.node for text in (
        node.op_type, node.domain, *node.input, *node.output, *(a.name for a in node.attribute))]
    if not all(isinstance(text, str) for text in names):
        raise ValueError(f"{where}: the file is damaged: a name in it is no text")
    for node in graph.node:
        if not node.output:
            raise ValueError(f"{where}: the file is damaged: the node {node.name!r} "
                             f"({node.op_type}) gives nothing")
        if node.domain not in ("", "ai.onnx"):
            raise NotImplementedError(f"{where}: the node {node.name!r} is of the domain "
                                      f"{node.domain!r}, not ONNX's own")
    return opset


def contents(path):
    """Arrays by name, facts about the writer, and pairs of operator and name, of a file."""
    onnx, model = read_model(path)
    files = Files(os.path.dirname(os.path.realpath(path)), path)
    values = {one.name: read_tensor(onnx, one, path, files) for one in model.graph.initializer}
    facts = {"producer": f"{model.producer_name} {model.producer_version}".strip(),
             "ir_version": model.ir_version, "graph": model.graph.name,
             "operators": ", ".join(f"{one.domain or 'ai.onnx'} {one.version}"
                                    for one in model.opset_import),
             "inputs": ", ".join(one.name for one in model.graph.input if one.name not in values),
             "outputs": ", ".join(one.name for one in model.graph.output)}
    return values, facts, [(node.op_type, node.name or ", ".join(node.output))
                           for node in model.graph.node]


def _input(builder, info):
    onnx, kind = builder.onnx, info.type
    if not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
        raise ValueError(f"{builder.where}: the input {info.name!r} is no tensor of known rank")
    dtype = numpy_dtype(onnx, kind.tensor_type.elem_type,
                        f"{builder.where}: the input {info.name!r}").name
    shape = [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None
             for dim in kind.tensor_type.shape.dim]
    if not shape or len(shape) > MOST_RANK or dtype not in _DTYPES:
        raise NotImplementedError(f"{builder.where}: the input {info.name!r} has the shape "
                                  f"{tuple(shape)} and the dtype {dtype}: expected 1 to "
                                  f"{MOST_RANK} axes, and a dtype that nnc has")
    name = re.sub(r"[^\w.-]", "_", info.name)
    builder.taken(name)
    return Input(batch_shape=shape, dtype=dtype, name=name)


# ---- the whole -----------------------------------------------------------------------------------

def load_onnx(filepath, name=None):
    """A functional model of an ONNX file.

    Args:
        filepath: Path of the file; its weights must be inside, or in files beside it.
        name: Name of the model. Defaults to the graph's.

    Returns:
        A `Model` that computes the same, to be trained, saved or changed as any other. Weights of
        `Gemm`, `MatMul`, `Conv`, `ConvTranspose`, `BatchNormalization`, `LayerNormalization`,
        `PRelu` and of `Gather` from a table belong to layers; other constants are arguments of ops
        and stay as they are.

    Raises:
        ImportError: Without the package onnx.
        ValueError: If the file is damaged, or its data are in files that are not beside it.
        NotImplementedError: If it has an operator that nnc cannot express; the text names it.
    """
    from ..models.model import Model
    from .onnx_layers import convert

    onnx, file = read_model(filepath)
    where = f"load_onnx: {os.fspath(filepath)}"
    opset = _check(onnx, file, where)
    builder = Builder(onnx, file.graph, opset, where)
    files = Files(os.path.dirname(os.path.realpath(filepath)), where)
    for tensor in file.graph.initializer:
        builder.values[tensor.name] = read_tensor(onnx, tensor, where, files)
    inputs = []
    for info in file.graph.input:
        if info.name not in builder.values:
            inputs.append(_input(builder, info))
            builder.values[info.name] = inputs[-1]
    for node in builder.nodes:
        if id(node) not in builder.skipped:
            convert(builder, node)
    outputs = [builder.get(output.name) for output in file.graph.output]
    for output, value in zip(file.graph.output, outputs):
        if not isinstance(value, KerasTensor):
            raise NotImplementedError(f"{where}: the output {output.name!r} depends on no input")
    if name is None:
        name = re.sub(r"\W+", "_", file.graph.name).strip("_") or None
    model = Model(inputs[0] if len(inputs) == 1 else inputs,
                  outputs[0] if len(outputs) == 1 else outputs, name=name)
    for layer, weights in builder.weights:
        layer.set_weights(weights)
    return model


def rules_of(tensor):
    """The sizes of a KerasTensor, those not known as rules."""
    return [Rule((f"axis {i} of {tensor.name}" if i else "batch",), 1) if size is None else size
            for i, size in enumerate(tensor.shape)]
