"""A recording as an ONNX file."""
from . import onnx_data, onnx_patterns
from .onnx_ops import convert
from .onnx_writer import DTYPES, Writer

#: The operators' versions: 18 is the first with axes as inputs everywhere.
OPSET = 18


def import_onnx():
    """The package.

    Raises:
        ImportError: If it is missing; the text says how to install it.
    """
    try:
        import onnx
    except ImportError:
        raise ImportError("ONNX files need the package onnx: pip install onnx "
                          "(or nnc-core[onnx])") from None
    return onnx


def to_file(recording, name, opset_version=None, external_data=None):
    """What an ONNX file holds, checked by `onnx.checker`: its bytes, or (with `external_data`, or
    where it would be larger than the format allows) the `Data` of two files.

    Raises:
        ImportError: Without the package onnx.
        NotImplementedError: If a layer uses what ONNX cannot say.
        ValueError: If `opset_version` is too old or not known, or `external_data` is False where
            one file cannot hold all.
    """
    onnx = import_onnx()
    opset = OPSET if opset_version is None else opset_version
    newest = onnx.defs.onnx_opset_version()
    if not isinstance(opset, int) or not OPSET <= opset <= newest:
        raise ValueError(f"export: `opset_version` must be in {OPSET} to {newest}. Received: "
                         f"opset_version={opset_version!r}")
    for given, number in recording.inputs + recording.outputs:
        dtype = recording.values[number].dtype
        if dtype not in DTYPES:
            raise NotImplementedError(f"export to ONNX: '{given}' has the dtype {dtype}, which "
                                      "ONNX has not")
    writer = Writer(recording, onnx)
    writer.names.update((number, given) for given, number in recording.inputs)
    groups, left_out = onnx_patterns.find(recording)
    for node in recording.nodes:
        if id(node) in groups:
            groups[id(node)](writer)
        elif id(node) not in left_out:
            convert(writer, node)
    model = writer.model(name, opset)
    large = [(tensor, writer.arrays[tensor.name]) for tensor in model.graph.initializer
             if tensor.name in writer.arrays]
    size = model.ByteSize() + sum(array.nbytes for _, array in large)
    if external_data is False and size > onnx_data.MOST_INSIDE:
        raise ValueError("export to ONNX: the model has more than 2 GiB, the most that one file can "
                         f"hold: {size:,} bytes. Received: external_data=False")
    if large and (external_data or size > onnx_data.MOST_INSIDE):
        _check_without(model, [tensor.name for tensor, _ in large], onnx)
        return onnx_data.Data(model, large, onnx)
    writer.fill(model)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _check_without(model, large, onnx):
    """Checks a model whose large tensors have no data: as if they were inputs."""
    checked = onnx.ModelProto()
    checked.CopyFrom(model)
    graph, large = checked.graph, set(large)
    for tensor in list(graph.initializer):
        if tensor.name in large:
            graph.input.append(onnx.helper.make_tensor_value_info(
                tensor.name, tensor.data_type, list(tensor.dims)))
            graph.initializer.remove(tensor)
    onnx.checker.check_model(checked)
