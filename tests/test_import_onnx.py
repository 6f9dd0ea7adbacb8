"""ONNX files as models: what nnc has written, what others write, and what is refused."""
import json
import os

import numpy as np
import pytest

import nnc
from nnc import cli
from nnc import layers as L

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from test_export_onnx import LAYERS, TOLERANCE, random_weights, served, two_in_two_out  # noqa: E402

helper = onnx.helper
FLOAT = onnx.TensorProto.FLOAT


# ---- there and back ------------------------------------------------------------------------------

#: Rows of LAYERS with what cannot come back: a constant as long as the batch.
LOST = {53}


@pytest.mark.parametrize("i", range(len(LAYERS)))
def test_layers_come_back(i, tmp_path):
    make, shape, *dtype = LAYERS[i]
    dtype = dtype[0] if dtype else "float32"
    rng = np.random.default_rng(0)
    model = nnc.Sequential([nnc.Input(shape, dtype=dtype), make()])
    random_weights(model, rng)
    model.export(tmp_path / "m.onnx", format="onnx", verbose=False)
    if i in LOST:
        with pytest.raises(NotImplementedError, match="Expand.*size that is not known"):
            nnc.models.load_onnx(tmp_path / "m.onnx")
        return
    again = nnc.models.load_onnx(tmp_path / "m.onnx")
    x = rng.normal(size=(3, *shape)) if dtype[0] in "fb" else rng.integers(0, 5, (3, *shape))
    want = model.predict(x.astype(dtype), verbose=0)
    got = again.predict(x.astype(dtype), verbose=0)
    assert got.dtype == want.dtype or want.dtype.kind in "iu"
    np.testing.assert_allclose(got, want, **TOLERANCE)


def test_a_model_that_came_back_trains_and_is_saved(tmp_path):
    """Layers have their weights and names; training changes them; .keras files go both ways."""
    model = nnc.Sequential([
        nnc.Input((8, 8, 2)), L.Conv2D(4, 3, activation="relu", name="conv"), L.MaxPooling2D(2),
        L.Flatten(), L.Dense(6, activation="tanh", name="hidden"), L.Dense(3, name="out"),
        L.Softmax()])
    model.export(tmp_path / "m.onnx", format="onnx", verbose=False)
    again = nnc.models.load_onnx(tmp_path / "m.onnx")
    assert [type(layer).__name__ for layer in again.layers] == [
        "InputLayer", "Conv2D", "Activation", "MaxPooling2D", "Flatten", "Dense", "Activation",
        "Dense", "Softmax"]
    assert [again.get_layer(name).name for name in ("conv", "hidden", "out")]
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), again.get_weights()))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 8, 8, 2)).astype("f"), rng.integers(0, 3, 64)
    for one in (model, again):
        one.compile(nnc.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    one, other = (m.fit(x, y, epochs=3, shuffle=False, verbose=0).history["loss"]
                  for m in (model, again))
    # Dense and its activation are two layers now, the same sums otherwise
    np.testing.assert_allclose(other, one, rtol=1e-5)
    assert other[-1] < other[0]
    pytest.importorskip("h5py")
    again.save(tmp_path / "m.keras")
    third = nnc.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(third.predict(x, verbose=0), again.predict(x, verbose=0))


def test_several_inputs_and_outputs(tmp_path):
    model = two_in_two_out()
    model.export(tmp_path / "m.onnx", format="onnx", verbose=False)
    again = nnc.models.load_onnx(tmp_path / "m.onnx", name="again")
    assert again.name == "again" and [t.name for t in again.inputs] == ["a", "b"]
    rng = np.random.default_rng(0)
    data = [rng.normal(size=(5, 4)).astype("f"), rng.normal(size=(5, 3)).astype("f")]
    for got, want in zip(again.predict(data, verbose=0), model.predict(data, verbose=0)):
        np.testing.assert_allclose(got, want, **TOLERANCE)


# ---- what others write ---------------------------------------------------------------------------

def file_of(path, nodes, inputs, outputs, weights=(), opset=18, **changes):
    """An ONNX file of nodes; inputs and outputs: names with shapes; weights: arrays by name."""
    graph = helper.make_graph(
        nodes, "graph",
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in dict(weights).items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8,
                              **changes)
    onnx.save_model(model, str(path))
    return str(path)


def compare(path, shapes, exact=True):
    """The model of the file against ONNX Runtime."""
    rng = np.random.default_rng(0)
    data = [rng.normal(size=shape).astype("f") for shape in shapes]
    model = nnc.models.load_onnx(path)
    want = list(served(path, *data).values())
    got = model.predict(data if len(data) > 1 else data[0], verbose=0)
    for a, b in zip(got if isinstance(got, list) else [got], want):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, **TOLERANCE)
    return model


def test_a_network_with_channels_first(tmp_path):
    """As PyTorch writes them: convolution, normalization, a shortcut, pooling, Gemm."""
    rng = np.random.default_rng(0)

    def w(*shape):
        return rng.normal(size=shape).astype("f") * 0.3

    weights = {"stem.weight": w(6, 3, 3, 3), "stem.bias": w(6), "bn.weight": abs(w(6)),
               "bn.bias": w(6), "bn.mean": w(6), "bn.var": abs(w(6)) + 0.5,
               "block.weight": w(6, 2, 3, 3), "fc.weight": w(4, 6), "fc.bias": w(4)}
    node = helper.make_node
    path = file_of(tmp_path / "net.onnx", [
        node("Conv", ["x", "stem.weight", "stem.bias"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c", "bn.weight", "bn.bias", "bn.mean", "bn.var"], ["n"]),
        node("Relu", ["n"], ["r"]),
        node("Conv", ["r", "block.weight"], ["d"], group=3, pads=[1, 1, 1, 1]),
        node("Add", ["d", "r"], ["s"]),
        node("MaxPool", ["s"], ["p"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("GlobalAveragePool", ["p"], ["g"]),
        node("Flatten", ["g"], ["f"]),
        node("Gemm", ["f", "fc.weight", "fc.bias"], ["y"], transB=1),
        node("Softmax", ["y"], ["z"])],
        [("x", ["N", 3, 9, 9])], [("z", ["N", 4])], weights)
    model = compare(path, [(3, 3, 9, 9)])
    assert {"stem", "bn", "block", "fc"} <= {layer.name for layer in model.layers}
    assert len(model.trainable_weights) == 7 and len(model.non_trainable_weights) == 2


NODES = [
    ([("Gemm", ["x", "w"], dict(alpha=2.0, transB=0))], {"w": (4, 3)}),
    ([("MatMul", ["x", "w"], {}), ("Add", ["b", "0"], {})], {"w": (4, 3), "b": (3,)}),
    ([("MatMul", ["x", "w"], {}), ("Add", ["0", "b"], {})], {"w": (4, 3), "b": (2, 3)}),
    ([("Clip", ["x", "lo", "hi"], {})], {"lo": 0.0, "hi": 0.5}),
    ([("Clip", ["x", "", "hi"], {})], {"hi": 0.5}),
    ([("PRelu", ["x", "w"], {})], {"w": (4,)}),
    ([("PRelu", ["x", "w"], {})], {"w": (1,)}),
    ([("LayerNormalization", ["x", "w", "b"], {})], {"w": (4,), "b": (4,)}),
    ([("HardSigmoid", ["x"], dict(alpha=0.3))], {}),
    ([("LeakyRelu", ["x"], {}), ("Elu", ["0"], dict(alpha=0.7)), ("Selu", ["1"], {}),
      ("Celu", ["2"], dict(alpha=0.6)), ("Mish", ["3"], {}), ("HardSwish", ["4"], {})], {}),
    ([("Abs", ["x"], {}), ("Sqrt", ["0"], {}), ("Exp", ["1"], {}), ("Log", ["2"], {}),
      ("Erf", ["3"], {}), ("Neg", ["4"], {}), ("Reciprocal", ["5"], {})], {}),
    ([("Split", ["x"], dict(axis=1, num_outputs=2)), ("Tanh", ["0"], {})], {}),
    ([("ReduceL2", ["x"], dict(keepdims=1)), ("Max", ["0", "x", "w"], {})], {"w": (4,)}),
    ([("ReduceMean", ["x", "axes"], dict(keepdims=1)), ("Sub", ["x", "0"], {})],
     {"axes": [-1]}),
    ([("Unsqueeze", ["x", "axes"], {}), ("Expand", ["0", "shape"], {}),
      ("ReduceSum", ["1", "axes"], dict(keepdims=0))], {"axes": [1], "shape": [1, 3, 1]}),
    ([("Shape", ["x"], {}), ("Gather", ["0", "zero"], {}), ("Unsqueeze", ["1", "axes"], {}),
      ("Concat", ["2", "rest"], dict(axis=0)), ("Reshape", ["x", "3"], {})],
     {"zero": 0, "axes": [0], "rest": [2, 2]}),
    ([("Slice", ["x", "starts", "ends", "axes", "steps"], {})],
     {"starts": [-1], "ends": [-(2 ** 62)], "axes": [1], "steps": [-2]}),
    ([("Pad", ["x", "pads", "value"], {})], {"pads": [0, 1, 0, 2], "value": 3.0}),
    ([("Transpose", ["x"], dict(perm=[1, 0])), ("MatMul", ["x", "0"], {})], {}),
    ([("Greater", ["x", "half"], {}), ("Where", ["0", "x", "half"], {}),
      ("Pow", ["1", "two"], {})], {"half": 0.5, "two": 2.0}),
    ([("LogSoftmax", ["x"], dict(axis=1)), ("CumSum", ["0", "one"], dict(reverse=1))], {"one": 1}),
    ([("Tile", ["x", "times"], {}), ("ReduceLogSumExp", ["0"], dict(keepdims=1))],
     {"times": [1, 2]}),
    ([("Dropout", ["x"], {}), ("Sum", ["0", "x", "x"], {}), ("Mean", ["1", "x"], {})], {}),
    ([("TopK", ["x", "k"], dict(axis=1)), ("Identity", ["0"], {})], {"k": [2]}),
]


@pytest.mark.parametrize("i", range(len(NODES)))
def test_operators(i, tmp_path):
    """Node k of a row gives the name k."""
    rows, weights = NODES[i]
    rng = np.random.default_rng(1)
    arrays = {}
    for name, value in weights.items():
        if isinstance(value, tuple):
            arrays[name] = rng.normal(size=value).astype("f")
        else:
            arrays[name] = np.array(value, "f" if isinstance(value, float) else "int64")
    nodes = []
    for k, (op_type, inputs, attributes) in enumerate(rows):
        outputs = [str(k), f"{k}b"] if op_type in ("Split", "TopK") else [str(k)]
        nodes.append(helper.make_node(op_type, inputs, outputs, **attributes))
    path = file_of(tmp_path / "m.onnx", nodes, [("x", ["N", 4])], [(nodes[-1].output[0], None)],
                   arrays)
    compare(path, [(2, 4)])


@pytest.mark.parametrize("op_type, shape, weight, attributes", [
    ("Conv", (2, 7, 6), (4, 2, 3, 2), dict(pads=[1, 0, 2, 1], strides=[2, 1])),
    ("Conv", (2, 7, 6), (4, 2, 3, 3), dict(auto_pad="SAME_UPPER", strides=[2, 2])),
    ("Conv", (2, 9), (4, 2, 3), dict(dilations=[2])),
    ("ConvTranspose", (2, 4, 5), (2, 3, 3, 3), dict(strides=[2, 2], pads=[1, 1, 1, 1],
                                                   output_padding=[1, 1])),
    ("ConvTranspose", (2, 4), (2, 3, 2), dict(strides=[3])),
    ("MaxPool", (2, 7, 6), None, dict(kernel_shape=[3, 2], pads=[0, 1, 1, 0])),
    ("AveragePool", (2, 7, 6), None, dict(kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1],
                                          count_include_pad=1)),
    ("AveragePool", (2, 6, 6), None, dict(kernel_shape=[3, 3], pads=[1, 1, 1, 1])),
    ("GlobalMaxPool", (2, 6, 6), None, {}),
])
def test_images(op_type, shape, weight, attributes, tmp_path):
    rng = np.random.default_rng(1)
    weights = {} if weight is None else {"w": rng.normal(size=weight).astype("f")}
    path = file_of(tmp_path / "m.onnx", [helper.make_node(op_type, ["x", *weights], ["y"],
                                                          **attributes)],
                   [("x", ["N", *shape])], [("y", None)], weights)
    compare(path, [(2, *shape)])


# ---- what is refused -----------------------------------------------------------------------------

def external(path):
    model = onnx.load(file_of(path, [helper.make_node("Add", ["x", "w"], ["y"])],
                              [("x", ["N", 4])], [("y", None)], {"w": np.ones(4, "f")}))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    return model


def wrong_size(path, dims, raw=None):
    model = onnx.load(file_of(path, [helper.make_node("Add", ["x", "w"], ["y"])],
                              [("x", ["N", 4])], [("y", None)], {"w": np.ones(4, "f")}))
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(dims)
    return model


def graph_of(path, *nodes, weights=None, **changes):
    return onnx.load(file_of(path, list(nodes), [("x", ["N", 4])], [("y", None)], weights or {},
                             **changes))


def loop(path):
    inner = helper.make_graph([], "inner", [], [])
    return graph_of(path, helper.make_node("If", ["x"], ["y"], then_branch=inner,
                                           else_branch=inner))


BAD = [
    (external, ValueError, "another file"),
    (lambda p: wrong_size(p, [5]), ValueError, "5 numbers, but 4 are stored"),
    (lambda p: wrong_size(p, [2 ** 40, 2 ** 40]), ValueError, "but 4 are stored"),
    (lambda p: wrong_size(p, [-4]), ValueError, "0 or more"),
    (lambda p: wrong_size(p, [1] * 60 + [4]), ValueError, "at most 8"),
    (loop, NotImplementedError, r"\(If\)"),
    (lambda p: graph_of(p, helper.make_node("Secret", ["x"], ["y"], domain="evil")),
     NotImplementedError, "domain"),
    (lambda p: graph_of(p, helper.make_node("NonZero", ["x"], ["y"], name="nz")),
     NotImplementedError, r"'nz' \(NonZero\)"),
    (lambda p: graph_of(p, helper.make_node("Relu", ["q"], ["y"])), ValueError,
     "nothing gives 'q'"),
    (lambda p: graph_of(p, helper.make_node("Relu", ["x"], ["z"])), ValueError,
     "nothing gives 'y'"),
    (lambda p: graph_of(p, helper.make_node("Relu", [], ["y"])), NotImplementedError, "do not fit"),
    (lambda p: graph_of(p, helper.make_node("Concat", ["x"], ["y"])), NotImplementedError,
     "do not fit"),
    (lambda p: graph_of(p, helper.make_node("ConstantOfShape", ["s"], ["c"]),
                        helper.make_node("Add", ["x", "c"], ["y"]),
                        weights={"s": np.array([2 ** 20, 2 ** 20])}), NotImplementedError,
     "numbers are computed while loading"),
    (lambda p: graph_of(p, helper.make_node("Range", ["a", "b", "c"], ["r"]),
                        helper.make_node("Add", ["x", "r"], ["y"]),
                        weights={"a": np.array(0), "b": np.array(2 ** 40), "c": np.array(1)}),
     NotImplementedError, "while loading"),
    (lambda p: graph_of(p, helper.make_node("Identity", ["w"], ["y"]),
                        weights={"w": np.ones(4, "f")}), NotImplementedError, "no input"),
    (lambda p: graph_of(p, helper.make_node("Relu", ["x"], ["y"]), opset=5), ValueError,
     "version 5"),
]


@pytest.mark.parametrize("i", range(len(BAD)))
def test_refusals(i, tmp_path):
    make, error, match = BAD[i]
    model = make(tmp_path / "m.onnx")
    with open(tmp_path / "m.onnx", "wb") as file:
        file.write(model.SerializeToString())
    with pytest.raises(error, match=match):
        nnc.models.load_onnx(tmp_path / "m.onnx")


def test_damaged_files_are_refused(tmp_path):
    """Bytes cut and changed: an exception that is ours, or a model."""
    model = nnc.Sequential([nnc.Input((6, 6, 1)), L.Conv2D(2, 3), L.Flatten(), L.Dense(3)])
    model.export(tmp_path / "m.onnx", format="onnx", verbose=False)
    data = (tmp_path / "m.onnx").read_bytes()
    rng = np.random.default_rng(0)
    for i in range(150):
        broken = bytearray(data)
        if i % 3 == 0:
            broken = broken[:rng.integers(0, len(data))]
        else:
            for place in rng.integers(0, len(data), 1 + i % 5):
                broken[place] = rng.integers(0, 256)
        (tmp_path / "b.onnx").write_bytes(bytes(broken))
        try:
            nnc.models.load_onnx(tmp_path / "b.onnx")
        except (ValueError, NotImplementedError):
            pass
    for data in (b"", b"PK\x03\x04", b"\x00" * 100):
        (tmp_path / "b.onnx").write_bytes(data)
        with pytest.raises(ValueError, match="no ONNX file"):
            nnc.models.load_onnx(tmp_path / "b.onnx")
    with pytest.raises(FileNotFoundError):
        nnc.models.load_onnx(tmp_path / "none.onnx")


# ---- the command line ----------------------------------------------------------------------------

def test_commands(tmp_path, capsys, monkeypatch):
    pytest.importorskip("h5py")
    monkeypatch.chdir(tmp_path)
    model = nnc.Sequential([nnc.Input((3,)), L.Dense(2, activation="relu", name="d")])
    model.save("m.keras")

    def run(*arguments):
        status = cli.main(list(arguments))
        return status, capsys.readouterr().out
    assert run("convert", "m.keras", "m.onnx")[0] == 0
    assert run("convert", "m.onnx", "n.keras")[0] == 0
    assert run("convert", "m.onnx", "n.safetensors")[0] == 0
    assert run("convert", "m.onnx", "n.c")[0] == 0 and os.path.exists("n.h")
    again = nnc.saving.load_model("n.keras")
    x = np.ones((2, 3), "f")
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-6)
    status, text = run("inspect", "m.onnx", "--json")
    facts = json.loads(text)
    assert status == 0 and facts["parameters"] == 8 and facts["foreign_classes"] == []
    assert facts["written_by"]["producer"].startswith("nnc ") and facts["layers"][0][0] == "Gemm"
    assert run("inspect", "m.onnx")[0] == 0 and run("verify", "m.onnx")[0] == 0
    assert run("diff", "m.onnx", "m.onnx")[0] == 0
    with open("m.onnx", "wb") as file:
        file.write(b"nothing")
    assert run("verify", "m.onnx")[0] == 1


def test_products_of_whole_numbers(tmp_path):
    """Zero points of a tensor and of columns, signed and unsigned: exact."""
    rng = np.random.default_rng(0)
    cases = [("uint8", "uint8", {"a0": np.uint8(7), "b0": np.uint8(3)}),
             ("uint8", "int8", {"a0": np.uint8(7)}),
             ("int8", "int8", {}),
             ("uint8", "int8", {"a0": np.uint8(0), "b0": np.array([1, -2, 3], "int8")})]
    for left, right, zeros in cases:
        w = rng.integers(-100 if right == "int8" else 0, 100, (4, 3)).astype(right)
        inputs = ["q", "w", *(zeros if "a0" in zeros else [])]
        path = file_of(tmp_path / "m.onnx", [
            helper.make_node("Cast", ["x"], ["q"], to=getattr(onnx.TensorProto, left.upper())),
            helper.make_node("MatMulInteger", inputs, ["s"]),
            helper.make_node("Cast", ["s"], ["y"], to=FLOAT)],
            [("x", ["N", 4])], [("y", None)], {"w": w, **zeros})
        x = rng.integers(0, 100, (5, 4)).astype("f")
        (want,) = served(path, x).values()
        np.testing.assert_array_equal(nnc.models.load_onnx(path).predict(x, verbose=0), want)
