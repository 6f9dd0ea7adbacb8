"""A recording as the bytes of an ONNX file."""
from . import onnx_patterns
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


def to_bytes(recording, name, opset_version=None):
    """The bytes of an ONNX file, checked by `onnx.checker`.

    Raises:
        ImportError: Without the package onnx.
        NotImplementedError: If a layer uses what ONNX cannot say.
        ValueError: If `opset_version` is too old or not known.
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
    if model.ByteSize() > 2 ** 31 - 1:
        raise NotImplementedError("export to ONNX: the file would hold more than 2 GiB, the most "
                                  f"that its format can. Received: {model.ByteSize():,} bytes")
    onnx.checker.check_model(model)
    return model.SerializeToString()
