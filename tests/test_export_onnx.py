"""Models as ONNX files: ONNX Runtime gives what `predict` gives."""
import os

import numpy as np
import pytest

import nnc
from nnc import layers as L
from nnc import ops

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

# Both compute in float32 (unit 6e-8): a chain of some ten roundings, sums of up to 100 terms in
# another order, and two libraries' exp and erf.
TOLERANCE = dict(rtol=5e-6, atol=2e-6)


def session(path):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options)


def served(path, *arrays):
    """What ONNX Runtime gives for the arrays, in the order of the file's inputs; by name."""
    s = session(path)
    feed = dict(zip([i.name for i in s.get_inputs()], arrays))
    return dict(zip([o.name for o in s.get_outputs()], s.run(None, feed)))


def random_weights(model, rng):
    for weight in model.weights:
        if weight.dtype.startswith("float"):
            weight.assign(np.abs(rng.normal(size=weight.shape)) * 0.5 + 0.1)


def check(model, path, shape, dtype="float32", batches=(1, 4)):
    rng = np.random.default_rng(0)
    random_weights(model, rng)
    model.export(path, format="onnx", verbose=False)
    onnx.checker.check_model(str(path), full_check=True)
    for n in batches:
        x = rng.normal(size=(n, *shape)) if dtype[0] in "fb" else rng.integers(0, 5, (n, *shape))
        x = x.astype(dtype)
        (got,) = served(path, x).values()
        want = model.predict(x, verbose=0)
        assert got.dtype == want.dtype and got.shape == want.shape
        np.testing.assert_allclose(got, want, **TOLERANCE)


class Scale(L.Layer):
    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1],), name="w")

    def call(self, x):
        return ops.where(x > 0, x * self.w, ops.expm1(x)) + ops.shape(x)[0]


LAYERS = [
    (lambda: L.Dense(3, activation="gelu"), (4,)),
    (lambda: L.Dense(3, activation="softmax"), (5, 4)),
    (lambda: L.Dense(3, use_bias=False), (4,)),
    (lambda: L.EinsumDense("abc,cde->abde", output_shape=(None, 2, 3), bias_axes="e"), (5, 4)),
    (lambda: L.BatchNormalization(), (4,)),
    (lambda: L.BatchNormalization(axis=1), (3, 4, 2)),
    (lambda: L.LayerNormalization(), (5, 4)),
    (lambda: L.RMSNormalization(), (4,)),
    (lambda: L.GroupNormalization(2), (5, 4)),
    (lambda: L.UnitNormalization(), (4,)),
    (lambda: L.SpectralNormalization(L.Dense(3)), (4,)),
    (lambda: L.Normalization(mean=[1.0, 2.0], variance=[3.0, 4.0]), (2,)),
    (lambda: L.Rescaling(2.0, 1.0), (4,)),
    (lambda: L.Conv1D(3, 3, padding="causal", dilation_rate=2), (8, 3)),
    (lambda: L.Conv2D(3, 3, strides=2, padding="same", activation="relu"), (9, 8, 3)),
    (lambda: L.Conv2D(4, (2, 3), groups=2, dilation_rate=2), (8, 8, 4)),
    (lambda: L.Conv2D(4, 3, data_format="channels_first"), (3, 7, 8)),
    (lambda: L.Conv3D(2, 2, use_bias=False), (4, 4, 4, 3)),
    (lambda: L.DepthwiseConv2D(3, depth_multiplier=2), (7, 7, 3)),
    (lambda: L.SeparableConv2D(3, 3), (7, 7, 3)),
    (lambda: L.Conv1DTranspose(3, 2, strides=3), (8, 3)),
    (lambda: L.Conv2DTranspose(3, 3, strides=2, padding="same"), (5, 6, 3)),
    (lambda: L.Conv2DTranspose(3, 3, strides=2, output_padding=1), (5, 6, 3)),
    (lambda: L.MaxPooling2D(3, 2, padding="same"), (8, 7, 3)),
    (lambda: L.MaxPooling1D(2), (8, 3)),
    (lambda: L.AveragePooling2D(2, padding="same"), (7, 8, 3)),
    (lambda: L.AveragePooling3D(2), (4, 5, 4, 2)),
    (lambda: L.GlobalAveragePooling2D(), (4, 4, 2)),
    (lambda: L.GlobalMaxPooling1D(keepdims=True), (4, 2)),
    (lambda: L.AdaptiveAveragePooling2D(3), (8, 7, 2)),
    (lambda: L.AdaptiveMaxPooling1D(3), (8, 2)),
    (lambda: L.UpSampling2D((2, 3)), (3, 3, 1)),
    (lambda: L.UpSampling2D(2, interpolation="bilinear"), (3, 4, 1)),
    (lambda: L.ZeroPadding2D(((1, 2), (0, 1))), (4, 4, 2)),
    (lambda: L.Cropping2D(1), (5, 5, 2)),
    (lambda: L.Flatten(), (4, 2)),
    (lambda: L.Reshape((4, -1)), (8,)),
    (lambda: L.Permute((2, 1)), (3, 4)),
    (lambda: L.RepeatVector(3), (4,)),
    (lambda: L.Dropout(0.5), (4,)),
    (lambda: L.GaussianNoise(0.5), (4,)),
    (lambda: L.PReLU(), (4,)),
    (lambda: L.ReLU(max_value=1.0, negative_slope=0.2, threshold=0.1), (4,)),
    (lambda: L.LeakyReLU(0.3), (4,)),
    (lambda: L.Softmax(axis=1), (4, 3)),
    (lambda: L.TimeDistributed(L.Dense(2)), (3, 4)),
    (lambda: L.Masking(), (3, 4)),
    (lambda: L.Embedding(5, 3), (4,), "int32"),
    (lambda: L.CategoryEncoding(6, output_mode="multi_hot"), (3,), "int32"),
    (lambda: L.Lambda(lambda x: x[:, ::-2, None] ** 2 % 0.7), (5,)),
    (lambda: L.Lambda(lambda x: ops.top_k(x, 2)[0] + ops.cast(ops.argmax(x, 1, True), "float32")),
     (5,)),
    (lambda: L.Lambda(lambda x: ops.cumsum(ops.sort(x, -1), 1) // 0.3), (5,)),
    (lambda: L.Lambda(lambda x: ops.any(x > 1, 1) | ops.all(ops.isfinite(x), 1)), (3,)),
    (lambda: L.Lambda(lambda x: ops.concatenate([x, ops.ones((ops.shape(x)[0], 2))], 1)), (3,)),
    (lambda: L.Lambda(lambda x: x * ops.arange(3, dtype="int32") + ops.mean(x, (0, 1)) * 0), (3,)),
    (lambda: L.Dense(3, dtype="float64"), (4,), "float64"),
]


@pytest.mark.parametrize("row", LAYERS, ids=range(len(LAYERS)))
def test_layers(row, tmp_path):
    make, shape, *dtype = row
    dtype = dtype[0] if dtype else "float32"
    model = nnc.Sequential([nnc.Input(shape, dtype=dtype), make()])
    check(model, tmp_path / "m.onnx", shape, dtype)


ACTIVATIONS = [
    "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "sigmoid", "log_sigmoid",
    "hard_sigmoid", "hard_silu", "hard_tanh", "tanh", "tanh_shrink", "soft_shrink", "hard_shrink",
    "softplus", "softsign", "squareplus", "sparse_plus", "sparse_sigmoid", "mish", "exponential",
    "linear", "glu", "softmax", "log_softmax", "sparsemax"]


def test_activations(tmp_path):
    """All in one file: an output each, alone and fused into a Dense."""
    x = nnc.Input((6,), name="x")
    h = L.Dense(6)(x)
    outputs = {}
    for name in ACTIVATIONS:
        outputs[name] = L.Activation(name)(h)
        outputs[f"dense_{name}"] = L.Dense(4, activation=name)(x)
    outputs["gelu_tanh"] = L.Activation(lambda x: nnc.activations.gelu(x, True))(h)
    model = nnc.Model(x, outputs)
    model.export(tmp_path / "m.onnx", format="onnx", verbose=False)
    data = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    data[0] = [-1e4, -80, -1, 0, 50, 1e4]
    got, want = served(tmp_path / "m.onnx", data), model.predict(data, verbose=0)
    assert list(got) == sorted(want)
    for name in want:
        # rtol: at |x| of 1e4 the rounding of Dense's sums counts, beside TOLERANCE's reasons
        np.testing.assert_allclose(got[name], want[name], rtol=1e-5, atol=2e-6, err_msg=name)


def test_element_wise_ops(tmp_path):
    """Every row of the op table that has a formula, exported, or refused by name."""
    from nnc._core import op, op_formulas, op_table

    missing = []
    rng = np.random.default_rng(1)
    a, b = (rng.uniform(0.1, 0.9, (2, 3)).astype("float32") for _ in range(2))
    for name in op_formulas:
        inputs, _, attrs = op_table[name]
        alpha = (0.5,) if "alpha" in attrs else ()
        archive = nnc.export.ExportArchive("onnx")
        path = tmp_path / f"{name}.onnx"
        specs = [nnc.InputSpec(shape=(None, 3), dtype="float32")] * inputs
        try:
            archive.add_endpoint("f", lambda *x: getattr(op, name)(*x, *alpha), specs)
            archive.write_out(path, verbose=False)
        except NotImplementedError as error:
            assert f"'{name}'" in str(error) and not os.path.exists(path)
            missing.append(name)
            continue
        if name == "arccosh":
            a = a + 1
        (got,) = served(path, *(a, b)[:inputs]).values()
        want = getattr(op, name)(*(a, b)[:inputs], *alpha).numpy()
        assert got.dtype == want.dtype
        # expm1 and log1p are said by exp and log: their error is that of numbers near 1, 2 units
        np.testing.assert_allclose(got, want, rtol=3e-6, atol=3e-7, err_msg=name)
    assert missing == ["erfinv", "i0", "i1", "arctan2", "nextafter"]


# ---- models --------------------------------------------------------------------------------------

def two_in_two_out():
    a, b = nnc.Input((4,), name="a"), nnc.Input((3,), name="b")
    h = L.Concatenate()([L.Dense(3)(a), b])
    h = L.Add()([L.Dense(6, activation="relu")(h), h])
    return nnc.Model([a, b], [L.Dense(2, name="p")(h), L.Multiply(name="q")([h, h])])


def test_inputs_and_outputs_keep_their_names(tmp_path):
    model = two_in_two_out()
    model.export(tmp_path / "m.onnx", format="onnx", verbose=False)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 4)).astype("f"), rng.normal(size=(5, 3)).astype("f")
    s = session(tmp_path / "m.onnx")
    assert [(i.name, i.shape, i.type) for i in s.get_inputs()] == [
        ("a", ["batch", 4], "tensor(float)"), ("b", ["batch", 3], "tensor(float)")]
    assert [o.name for o in s.get_outputs()] == ["p", "q"]
    for got, want in zip(s.run(None, {"b": b, "a": a}), model.predict([a, b], verbose=0)):
        np.testing.assert_allclose(got, want, **TOLERANCE)
    weights = {i.name for i in onnx.load(tmp_path / "m.onnx").graph.initializer}
    assert {w.path for w in model.weights} <= weights


def test_dicts_and_nested_models(tmp_path):
    inner = nnc.Sequential([nnc.Input((4,)), L.Dense(3), L.LayerNormalization()])
    x = {"u": nnc.Input((4,)), "v": nnc.Input((4,))}
    model = nnc.Model(x, {"sum": L.Add()([inner(x["u"]), inner(x["v"])]),
                          "all": [inner(x["u"]), x["v"]]})
    model.export(tmp_path / "m.onnx", format="onnx", verbose=False)
    u, v = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("f")
    got = served(tmp_path / "m.onnx", u, v)
    want = model.predict({"u": u, "v": v}, verbose=0)
    assert list(got) == ["all_0", "all_1", "sum"]
    np.testing.assert_allclose(got["sum"], want["sum"], **TOLERANCE)
    np.testing.assert_array_equal(got["all_1"], v)


class Own(nnc.Model):
    def __init__(self):
        super().__init__()
        self.scale, self.out = Scale(), L.Dense(2)

    def call(self, x, training=False):
        if training:
            raise AssertionError("exported for training")
        return {"y": self.out(self.scale(x)), "x": x}


def test_subclasses(tmp_path):
    model = Own()
    with pytest.raises(ValueError, match="has no weights yet"):
        model.export(tmp_path / "m.onnx", format="onnx")
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("f")
    want = model.predict(x, verbose=0)
    model.export(tmp_path / "m.onnx", format="onnx", verbose=False)
    got = served(tmp_path / "m.onnx", x)
    np.testing.assert_allclose(got["y"], want["y"], **TOLERANCE)
    np.testing.assert_array_equal(got["x"], x)


class Pair(nnc.Model):
    def __init__(self):
        super().__init__()
        self.d = L.Dense(2)

    def call(self, a, b):
        return self.d(a["left"]) * b, a["right"][0]


def test_several_arguments(tmp_path):
    model = Pair()
    x, y = np.ones((3, 4), "f"), np.full((3, 2), 2, "f")
    want = model({"left": x, "right": [y]}, y)[0].numpy()

    def spec(n, name):
        return nnc.KerasTensor((None, n), name=name)
    model.export(tmp_path / "m.onnx", format="onnx", verbose=False, input_signature=[
        {"left": spec(4, "left"), "right": [spec(2, "right")]}, spec(2, "b")])
    assert [i.name for i in session(tmp_path / "m.onnx").get_inputs()] == ["left", "right", "b"]
    got = list(served(tmp_path / "m.onnx", x, y, y).values())
    np.testing.assert_allclose(got[0], want, **TOLERANCE)
    np.testing.assert_array_equal(got[1], y)


@pytest.mark.parametrize("signature", [
    [nnc.InputSpec(shape=(None, None, 4), dtype="float32")],
    nnc.InputSpec(shape=(2, 5, 4), dtype="float32"),
    [np.zeros((2, 5, 4), "float32")],
    [nnc.KerasTensor((None, 5, 4), name="tokens")]])
def test_input_signature(signature, tmp_path):
    """Sizes not known: the batch's, and that of the second axis."""
    model = nnc.Sequential([nnc.Input((None, 4)), L.Dense(3), L.Softmax(axis=1), L.UpSampling1D(2),
                            L.Cropping1D((1, 0)), L.Lambda(lambda x: x - ops.max(x, 1, True))])
    model.export(tmp_path / "m.onnx", format="onnx", input_signature=signature, verbose=False)
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("f")
    (got,) = served(tmp_path / "m.onnx", x).values()
    np.testing.assert_allclose(got, model.predict(x, verbose=0), **TOLERANCE)
    if isinstance(signature, list) and getattr(signature[0], "name", None):
        assert session(tmp_path / "m.onnx").get_inputs()[0].name == "tokens"


def test_weights_are_those_of_now(tmp_path):
    model = nnc.Sequential([nnc.Input((3,)), L.Dense(2)])
    model.export(tmp_path / "a.onnx", format="onnx", verbose=False)
    model.set_weights([np.ones((3, 2)), np.ones(2)])
    model.export(tmp_path / "b.onnx", format="onnx", verbose=False)
    x = np.ones((1, 3), "f")
    assert list(served(tmp_path / "b.onnx", x).values())[0].tolist() == [[4, 4]]
    assert list(served(tmp_path / "a.onnx", x).values())[0].tolist() != [[4, 4]]


def test_opset(tmp_path):
    model = nnc.Sequential([nnc.Input((3,)), L.Dense(2, activation="gelu")])
    newest = onnx.defs.onnx_opset_version()
    for version, want in ((None, 18), (19, 19), (21, 21)):
        model.export(tmp_path / "m.onnx", format="onnx", opset_version=version, verbose=False)
        assert onnx.load(tmp_path / "m.onnx").opset_import[0].version == want
        check(model, tmp_path / "m.onnx", (3,))
    for wrong in (17, newest + 1, "18"):
        with pytest.raises(ValueError, match="opset_version"):
            model.export(tmp_path / "n.onnx", format="onnx", opset_version=wrong)


# ---- what is refused -----------------------------------------------------------------------------

class AsksForValues(nnc.Model):
    def call(self, x):
        return x if float(ops.sum(x)) > 0 else -x


class ChangesWithBatch(L.Layer):
    def call(self, x):
        return x if ops.shape(x)[0] > 6 else -x


class Counts(L.Layer):
    def build(self, shape):
        self.n = self.add_weight(shape=(), trainable=False)

    def call(self, x):
        self.n.assign_add(1.0)
        return x * self.n


REFUSED = [
    (lambda: L.Lambda(ops.erfinv, name="inv"), NotImplementedError, r"'inv' \(Lambda\).*'erfinv'"),
    (lambda: L.Lambda(lambda x: ops.rfft(x)[0], name="f"), NotImplementedError, r"'f'.*'host'"),
    (lambda: L.Lambda(lambda x: nnc.random.normal(ops.shape(x), seed=1) + x), (
        NotImplementedError, ValueError), "constant"),
    (lambda: ChangesWithBatch(), ValueError, "changes with the size 'batch'"),
    (lambda: Counts(name="c"), NotImplementedError, r"'c' \(Counts\).*changes a variable"),
]


@pytest.mark.parametrize("row", REFUSED, ids=range(len(REFUSED)))
def test_refusals_come_before_the_file(row, tmp_path):
    make, error, match = row
    model = nnc.Sequential([nnc.Input((4,)), L.Dense(4), make()])
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")
    with pytest.raises(error, match=match):
        model.export(path, format="onnx")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["m.onnx"]
    assert len(model.predict(np.ones((2, 4), "f"), verbose=0)) == 2


def test_models_that_ask_for_values_are_refused(tmp_path):
    model = AsksForValues()
    model(np.ones((2, 3), "f"))
    with pytest.raises(NotImplementedError, match="asks for the values"):
        model.export(tmp_path / "m.onnx", format="onnx",
                     input_signature=[nnc.InputSpec(shape=(None, 3), dtype="float32")])


@pytest.mark.parametrize("format", ["tf_saved_model", "litert", "openvino", "torch", "pdf"])
def test_formats(format, tmp_path):
    model = nnc.Sequential([nnc.Input((3,)), L.Dense(2)])
    with pytest.raises(ValueError, match=f"must be 'onnx' or 'c'.*{format}"):
        model.export(tmp_path / "m", format=format)
    with pytest.raises(ValueError, match="must be 'onnx' or 'c'"):
        nnc.export.ExportArchive(format)
    assert not os.listdir(tmp_path)


def test_without_onnx(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    model = nnc.Sequential([nnc.Input((3,)), L.Dense(2)])
    with pytest.raises(ImportError, match="pip install onnx"):
        model.export(tmp_path / "m.onnx", format="onnx")
    assert not os.listdir(tmp_path)


def test_archive(tmp_path, capsys):
    model = two_in_two_out()
    archive = nnc.export.ExportArchive("onnx")
    with pytest.raises(ValueError, match="add_endpoint"):
        archive.write_out(tmp_path / "m")
    with pytest.raises(ValueError, match="expected a layer"):
        archive.track(3)
    archive.track(model)
    assert len(archive.variables) == len(model.variables) == len(archive.trainable_variables)
    specs = [nnc.InputSpec(shape=(None, 4), dtype="float32"),
             nnc.InputSpec(shape=(None, 3), dtype="float32")]
    archive.add_endpoint("serve", model)
    archive.add_endpoint("double", lambda a, b: 2 * model([a, b])[0], specs)
    for name in ("serve", "no name"):
        with pytest.raises(ValueError, match=name):
            archive.add_endpoint(name, model)
    with pytest.raises(ValueError, match="input_signature"):
        archive.add_endpoint("other", lambda x: x)
    archive.write_out(tmp_path / "m")
    assert sorted(os.listdir(tmp_path / "m")) == ["double.onnx", "serve.onnx"]
    assert "serve.onnx" in capsys.readouterr().out
    a, b = np.ones((2, 4), "f"), np.ones((2, 3), "f")
    (got,) = served(tmp_path / "m" / "double.onnx", a, b).values()
    np.testing.assert_allclose(got, 2 * model.predict([a, b], verbose=0)[0], **TOLERANCE)


@pytest.mark.parametrize("make, shape, want", [
    (lambda: L.Conv2D(3, 3, strides=2, padding="same"), (9, 8, 2), "Conv"),
    (lambda: L.Conv1D(3, 2, dilation_rate=2, use_bias=False), (9, 2), "Conv"),
    (lambda: L.Conv3D(3, 2), (4, 4, 5, 2), "Conv"),
    (lambda: L.Conv2D(3, 1), (None, 8, 2), "Conv"),
    (lambda: L.MaxPooling2D(3, 2, padding="same"), (9, 8, 2), "MaxPool"),
    (lambda: L.MaxPooling1D(2), (9, 2), "MaxPool")])
def test_convolutions_and_pooling_are_one_operator(make, shape, want, tmp_path):
    model = nnc.Sequential([nnc.Input(shape), make()])
    model.export(tmp_path / "m.onnx", format="onnx", verbose=False)
    found = [node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node]
    assert want in found and not {"Gather", "Where", "MatMul"} & set(found)
    x = np.random.default_rng(0).normal(size=(2, *(n or 6 for n in shape))).astype("f")
    (got,) = served(tmp_path / "m.onnx", x).values()
    np.testing.assert_allclose(got, model.predict(x, verbose=0), **TOLERANCE)


@pytest.mark.parametrize("make, shape, want", [
    (lambda: L.BatchNormalization(), (4,), ["BatchNormalization"]),
    (lambda: L.BatchNormalization(scale=False, epsilon=0.1), (3, 4),
     ["Transpose", "BatchNormalization", "Transpose"]),
    (lambda: L.BatchNormalization(axis=1, center=False), (3, 4, 2), ["BatchNormalization"]),
    (lambda: L.LayerNormalization(epsilon=0.1), (3, 4), ["LayerNormalization"]),
    (lambda: L.LayerNormalization(center=False), (4,), ["LayerNormalization"]),
    (lambda: L.LayerNormalization(scale=False), (4,), ["LayerNormalization"]),
    (lambda: L.LayerNormalization(axis=1), (3, 4), None),
    (lambda: L.Lambda(lambda x: (x - ops.mean(x, -1, True)) * 2), (4,), None)])
def test_normalizations_are_one_operator(make, shape, want, tmp_path):
    """Where ONNX has it; with the weights under their names, and nothing that is not used."""
    model = nnc.Sequential([nnc.Input(shape), make()])
    check(model, tmp_path / "m.onnx", shape)
    graph = onnx.load(tmp_path / "m.onnx").graph
    found = [node.op_type for node in graph.node if node.op_type != "Identity"]
    assert found == want if want else not {"BatchNormalization", "LayerNormalization"} & set(found)
    assert {w.path for w in model.weights} <= {i.name for i in graph.initializer}
    read = {name for node in graph.node for name in node.input}
    assert {i.name for i in graph.initializer} <= read


def test_quantized_models(tmp_path):
    """Whole numbers are summed exactly in both, and rounded to by the same formula: of 30 seeds none
    differed in a bit. What is left is the last rounding of the scale."""
    model = nnc.Sequential([nnc.Input((40,)), L.Dense(9, activation="relu"), L.Dense(3)])
    model.quantize("int8")
    model.export(tmp_path / "m.onnx", format="onnx", verbose=False)
    x = np.random.default_rng(0).normal(size=(5, 40)).astype("f")
    (got,) = served(tmp_path / "m.onnx", x).values()
    np.testing.assert_allclose(got, model.predict(x, verbose=0), rtol=1e-6, atol=1e-6)
    assert "MatMulInteger" in {n.op_type for n in onnx.load(tmp_path / "m.onnx").graph.node}


def test_half_precision(tmp_path):
    """float16 has a unit of 1e-3 at 1, and ONNX Runtime rounds after the product and after the bias
    where one rounding does here: 1.5e-3 at most over 30 seeds."""
    model = nnc.Sequential([nnc.Input((8,)), L.Dense(5, "relu", dtype="mixed_float16"),
                            L.Dense(2, dtype="float32")])
    model.export(tmp_path / "m.onnx", format="onnx", verbose=False)
    x = np.random.default_rng(0).normal(size=(4, 8)).astype("f")
    (got,) = served(tmp_path / "m.onnx", x).values()
    np.testing.assert_allclose(got, model.predict(x, verbose=0), rtol=0, atol=3e-3)
