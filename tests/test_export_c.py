"""Models as C sources: compiled without a warning, and the bits of the portable level."""
import ctypes
import os
import re
import shutil
import subprocess

import numpy as np
import pytest

import nnc
from nnc import _core, ops
from nnc import layers as L

STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic"]
COMPILERS = ["gcc", "clang"]
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


@pytest.fixture
def portable():
    """The level that the exported kernels are written after."""
    before = _core.isa()
    _core.set_isa("portable")
    yield
    _core.set_isa(before)


def compiled(source, compiler="gcc", flags=("-O2",)):
    """The functions of a C source, as a library."""
    library = str(source)[:-2] + f"_{compiler}{''.join(flags)}.so"
    run = subprocess.run([compiler, *STRICT, *flags, "-shared", "-fPIC", str(source), "-o", library,
                          "-lm"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[:2000]
    return ctypes.CDLL(library)


def pointer(array):
    return array.ctypes.data_as(ctypes.c_void_p)


def called(function, inputs, shapes):
    """The outputs of these shapes, each surrounded by numbers that must stay."""
    room = [np.full(int(np.prod(shape)) + 2, 7, "float32") for shape in shapes]
    function(*map(pointer, inputs), *[pointer(r[1:]) for r in room],
             ctypes.c_size_t(len(inputs[0])))
    assert all(r[0] == 7 and r[-1] == 7 for r in room)
    return [r[1:-1].reshape(shape) for r, shape in zip(room, shapes)]


def same_bits(a, b):
    """Equal bits; NaN is NaN, whatever its sign."""
    nan = np.isnan(a)
    np.testing.assert_array_equal(nan, np.isnan(b))
    np.testing.assert_array_equal(np.where(nan, 0, a).view("uint32"),
                                  np.where(nan, 0, b).view("uint32"))


def data(rng, shape, special=True):
    x = (rng.normal(size=shape) * 2).astype("float32")
    if special:
        x.flat[:5] = [np.inf, -0.0, 1e-42, -100, 3e38]
        x.flat[-1] = np.nan
    return x


def build(rows, rng):
    """Models with random weights, exported into one archive: many layers, one compilation."""
    models = []
    for make, shape in rows:
        model = nnc.Sequential([nnc.Input(shape), make()])
        for weight in model.weights:
            if weight.dtype == "int8":
                weight.assign(rng.integers(-128, 128, weight.shape))
                continue
            weight.assign(np.abs(rng.normal(size=weight.shape)) * 0.5 + 0.1)
        models.append(model)
    return models


def quantized(*layers):
    """A row's layer: a model whose weights are of 8 bits."""
    model = nnc.Sequential([nnc.Input((layers[0],)), *layers[1:]])
    model.quantize("int8")
    return model


def whole_numbers(x):
    """int32 through casts, arithmetic that overflows, comparisons, and a choice."""
    n = ops.reshape(ops.cast(x * 1e9, "int32"), (-1, 8, 20))
    truth = n * 3 < n + -2**31
    return ops.cast(ops.where(truth, n, 7 + n), "float32") + ops.cast(truth, "float32") \
        + ops.where(ops.logical_or(truth, n > 5), 0.5, ops.reshape(x, (-1, 8, 20)))


WEIGHT = np.random.default_rng(2).normal(size=(70, 300)).astype("float32")
LAYERS = [
    (lambda: L.Dense(3, activation="relu"), (4,)),
    (lambda: L.Dense(70, activation="gelu"), (260,)),
    (lambda: L.Dense(9), (1030,)),
    (lambda: L.Dense(1, activation="sigmoid"), (257,)),
    *[(lambda n=n: L.Dense(n, activation="tanh"), (k,)) for n, ks in (
        (1, (10, 11, 512, 513, 1550)), (2, (31, 32, 1030)), (3, (95, 96, 99, 1537)), (4, (700,)))
      for k in ks],
    (lambda: L.Dense(130, activation="softmax"), (5, 30)),
    (lambda: L.Dense(5, use_bias=False), (256,)),
    (lambda: L.EinsumDense("abc,cd->abd", output_shape=(None, 3)), (3, 4)),
    (lambda: L.TimeDistributed(L.Dense(2)), (3, 4)),
    (lambda: L.BatchNormalization(), (4,)),
    (lambda: L.BatchNormalization(axis=1), (3, 4)),
    (lambda: L.LayerNormalization(), (5, 40)),
    (lambda: L.LayerNormalization(), (5000,)),
    (lambda: L.LayerNormalization(axis=1), (600, 3)),
    (lambda: L.LayerNormalization(axis=(1, 2)), (7, 3)),
    (lambda: L.RMSNormalization(), (33,)),
    (lambda: L.GroupNormalization(2), (8,)),
    (lambda: L.UnitNormalization(), (6,)),
    (lambda: L.Normalization(mean=[1.0, 2.0, 0.0], variance=[3.0, 4.0, 0.5]), (2, 3)),
    (lambda: L.Rescaling(2.0, 1.0), (8,)),
    (lambda: L.Dropout(0.5), (6,)),
    (lambda: L.GaussianDropout(0.5), (6,)),
    (lambda: L.Flatten(), (4, 2)),
    (lambda: L.Reshape((4, -1)), (8,)),
    (lambda: L.Permute((3, 1, 2)), (3, 4, 2)),
    (lambda: L.RepeatVector(3), (6,)),
    (lambda: L.ZeroPadding1D((2, 1)), (4, 3)),
    (lambda: L.Cropping1D(1), (4, 3)),
    (lambda: L.UpSampling2D(2), (3, 4, 1)),
    (lambda: L.GlobalAveragePooling1D(), (1200, 3)),
    (lambda: L.GlobalMaxPooling1D(), (1200, 3)),
    (lambda: L.PReLU(), (6,)),
    (lambda: L.LeakyReLU(0.3), (6,)),
    (lambda: L.ReLU(max_value=2.0, negative_slope=0.2, threshold=0.1), (6,)),
    (lambda: L.Softmax(), (3, 3)),
    (lambda: L.Softmax(), (7,)),
    (lambda: L.Softmax(), (2, 29)),
    (lambda: L.Softmax(axis=1), (9, 5)),
    (lambda: L.Lambda(lambda x: nnc.activations.log_softmax(x, 2)), (2, 7, 3)),
    (lambda: L.Lambda(lambda x: _core.op.matmul(x, WEIGHT, 0, 1)), (2, 300)),
    (lambda: L.Lambda(lambda x: _core.op.matmul(x, WEIGHT[:3], 0, 1)), (2, 300)),
    (lambda: L.Lambda(lambda x: ops.matmul(x, ops.transpose(x, (0, 2, 1)))), (3, 1100)),
    (lambda: L.Lambda(lambda x: _core.op.matmul(x, x[:, :2], 0, 1)), (9, 1100)),
    (lambda: quantized(300, L.Dense(70, activation="gelu"), L.Dense(3, use_bias=False)), (300,)),
    (lambda: quantized(7, L.Dense(1, activation="leaky_relu")), (7,)),
    (lambda: L.Masking(0.5), (6, 4)),
    (lambda: L.Lambda(lambda x: x * ops.exp(_core.convert(WEIGHT[0, :5]))), (5,)),
    (lambda: L.Lambda(lambda x: ops.where(ops.all(x > -1, 1, True), x, 0)), (3, 5)),
    (lambda: L.Lambda(lambda x: nnc.activations.log_softmax(x)), (37,)),
    (lambda: L.Lambda(lambda x: ops.sum(x, 1, True)), (40000,)),
    (lambda: L.Lambda(lambda x: ops.sum(x, 1)), (1030, 3)),
    (lambda: L.Lambda(lambda x: ops.max(x, 1) - ops.min(x, -1, True)[:, 0]), (8, 8)),
    (lambda: L.Lambda(lambda x: ops.prod(x, 1, True)), (77,)),
    (lambda: L.Lambda(lambda x: ops.matmul(x, ops.transpose(x, (0, 2, 1)))), (6, 5)),
    (lambda: L.Lambda(lambda x: x[:, ::-2] * 3 - 1 / x[:, 1:4]), (5,)),
    (lambda: L.Lambda(lambda x: ops.where((x > 0) & (x < 1) | ~(x < 2), x, -x)), (9,)),
    (lambda: L.Lambda(lambda x: ops.sqrt(ops.abs(x)) + ops.floor(x) * ops.round(x)), (900,)),
    (lambda: L.Conv2D(5, 3, strides=2, padding="same", activation="relu"), (9, 8, 3)),
    (lambda: L.Conv1D(3, 3, padding="causal", dilation_rate=2), (11, 30)),
    (lambda: L.Conv1D(2, 40, activation="silu"), (50, 2)),
    (lambda: L.DepthwiseConv2D(3, depth_multiplier=2), (5, 6, 2)),
    (lambda: L.Conv2D(6, 3, groups=2, activation="relu"), (6, 5, 8)),
    (lambda: L.Conv1D(4, 10, groups=2, strides=2), (25, 24)),
    (lambda: L.SeparableConv2D(4, 3), (6, 5, 3)),
    (lambda: L.Conv2DTranspose(4, 3, strides=2, padding="same"), (5, 4, 3)),
    (lambda: L.Conv1DTranspose(2, 4, strides=3, activation="relu"), (6, 5)),
    (lambda: L.Conv3D(2, 2), (4, 3, 5, 2)),
    (lambda: L.MaxPooling1D(3, padding="same"), (8, 3)),
    (lambda: L.AveragePooling3D(2), (4, 5, 4, 2)),
    (lambda: L.MaxPooling2D(3, 2, padding="same"), (8, 7, 3)),
    (lambda: L.AveragePooling2D(2, padding="same"), (7, 8, 3)),
    (lambda: L.GlobalAveragePooling2D(), (5, 6, 3)),
    (lambda: L.Lambda(lambda x: ops.cast(ops.argmin(x, 1), "float32")), (8, 3)),
    (lambda: L.Lambda(lambda x: ops.one_hot(ops.argmax(x, 1) + 1, 8)), (8, 3)),
    (lambda: L.Lambda(whole_numbers), (4, 40)),
    (lambda: L.Lambda(lambda x: ops.log(ops.abs(x)) - ops.ceil(x)), (900,)),
]


@pytest.mark.parametrize("compiler", COMPILERS)
def test_layers(portable, tmp_path, compiler):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    rng = np.random.default_rng(0)
    models = build(LAYERS, rng)
    archive = nnc.export.ExportArchive("c")
    for i, model in enumerate(models):
        archive.add_endpoint(f"m{i}", model)
    archive.write_out(tmp_path / "net.c", verbose=False)
    library = compiled(tmp_path / "net.c", compiler)
    for i, model in enumerate(models):
        for special in (True, False):
            x = data(rng, (3, *LAYERS[i][1]), special)
            want = model.predict(x, verbose=0)
            (got,) = called(getattr(library, f"net_m{i}_batch"), [x], [want.shape])
            try:
                same_bits(got, want)
            except AssertionError as error:
                raise AssertionError(f"row {i}, {model.layers[-1].name}: {error}") from None


ACTIVATIONS = [
    "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "sigmoid", "log_sigmoid",
    "hard_sigmoid", "hard_silu", "hard_tanh", "tanh", "tanh_shrink", "soft_shrink", "hard_shrink",
    "softplus", "softsign", "squareplus", "sparse_plus", "sparse_sigmoid", "mish", "exponential",
    "linear", "softmax", "log_softmax"]


def activations_model():
    x = nnc.Input((400,))
    outputs = [L.Activation(name)(x) for name in ACTIVATIONS]
    outputs.append(L.Activation(lambda x: nnc.activations.gelu(x, True))(x))
    outputs.append(L.Activation(lambda x: nnc.activations.threshold(x, 0.5, 2.0))(x))
    outputs += [L.Dense(5, activation=name)(x) for name in ("selu", "leaky_relu", "mish")]
    return nnc.Model(x, outputs)


@pytest.mark.parametrize("compiler, flags", [
    ("gcc", ("-O0",)), ("gcc", ("-O3", "-march=native")), ("clang", ("-O3",)),
    ("clang", ("-O1", "-march=native"))])
def test_activations(portable, tmp_path, compiler, flags):
    """With and without optimization, and where the processor could fuse products."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    model = activations_model()
    model.export(tmp_path / "acts.c", format="c", verbose=False)
    library = compiled(tmp_path / "acts.c", compiler, flags)
    rng = np.random.default_rng(0)
    x = data(rng, (12, 400))
    x[1] = np.linspace(-110, 110, 400)
    x[2] = np.geomspace(1e-44, 3e38, 400)
    x[3] = -x[2]
    x[4:] *= np.geomspace(1e-3, 30, 8)[:, None].astype("f")
    want = model.predict(x, verbose=0)
    for got, wanted in zip(called(library.acts_predict_batch, [x], [w.shape for w in want]), want):
        same_bits(got, wanted)


def net():
    a, b = nnc.Input((4,), name="a"), nnc.Input((3, 2), name="int")
    h = L.Dense(6, activation="tanh")(a)
    g = L.Flatten()(b)
    h = L.Concatenate()([h, g, L.Multiply()([h, g])])
    h = L.LayerNormalization()(L.Dense(6)(h))
    h = L.Maximum()([L.Average()([h, g]), L.Subtract()([h, g])])
    return nnc.Model({"a": a, "int": b}, {"p": L.Dense(3, activation="softmax")(h), "same": a,
                                          "q*/": L.Reshape((2, 3))(h)})


@pytest.mark.parametrize("compiler", COMPILERS)
def test_models(portable, tmp_path, compiler):
    """Several inputs and outputs, names that C has not, an output that is an input."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    model = net()
    model.export(str(tmp_path / "some net.c"), format="c", verbose=False)
    assert sorted(os.listdir(tmp_path)) == ["some net.c", "some net.h"]
    header = (tmp_path / "some net.h").read_text()
    assert "void some_net_predict(const float *in_a, const float *in_n_int, float *out_p," in header
    assert max(map(len, header.splitlines())) <= 100
    rng = np.random.default_rng(0)
    a, b = data(rng, (5, 4), False), data(rng, (5, 3, 2), False)
    library = compiled(tmp_path / "some net.c", compiler)
    want = model.predict({"a": a, "int": b}, verbose=0)
    names = sorted(want)
    got = called(library.some_net_predict_batch, [a, b], [want[name].shape for name in names])
    for name, array in zip(names, got):
        same_bits(array, want[name])


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_embeddings(portable, tmp_path, compiler, dtype):
    """Rows of a table: numbers from its end, as floats and as whole ones; NaN where none is."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    i = nnc.Input((6,), dtype=dtype, name="i")
    embedding, flat = L.Embedding(11, 3, mask_zero=True), L.Flatten()(L.Embedding(11, 4)(i))
    h = embedding(i)
    model = nnc.Model(i, [L.GlobalAveragePooling1D()(h), L.Dense(2)(flat), h,
                          L.Embedding(4, 1)(L.Reshape((2, 3))(i) - 7)])
    model.export(tmp_path / "net.c", format="c", verbose=False)
    library = compiled(tmp_path / "net.c", compiler)
    x = np.array([[9, 10, 3, 7, 8, 6], [4, 5, 6, 7, 3, 10]], dtype)
    want = model.predict(x, verbose=0)
    shapes = [w.shape for w in want]
    for got, wanted in zip(called(library.net_predict_batch, [x], shapes), want):
        same_bits(got, wanted)
    x[0] = [11, -12, -1, 2**30, -2**31, 0]
    rows = called(library.net_predict_batch, [x], shapes)[2]
    table = np.pad(embedding.get_weights()[0], ((0, 1), (0, 0)), constant_values=np.nan)
    same_bits(rows[0], table[[11, 11, 10, 11, 11, 0]])


@pytest.mark.parametrize("compiler", COMPILERS)
def test_whole_outputs(portable, tmp_path, compiler):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    x, n = nnc.Input((30,)), nnc.Input((30,), dtype="int32")
    model = nnc.Model([x, n], [L.Lambda(make)([x, n]) for make in (
        lambda a: ops.argmax(a[0], 1, keepdims=True), lambda a: ops.cast(a[0] * 1e9, "int32"),
        lambda a: ops.where(a[1] == 3, a[1] * 5 - 2, a[1]), lambda a: a[1])])
    model.export(tmp_path / "net.c", format="c", verbose=False)
    rng = np.random.default_rng(0)
    given = [data(rng, (4, 30), True), rng.integers(-9, 9, (4, 30)).astype("int32")]
    given[1].flat[:3] = 3, 2**31 - 1, -2**31
    want = model.predict(given, verbose=0)
    got = called(compiled(tmp_path / "net.c", compiler).net_predict_batch, given,
                 [w.shape for w in want])
    for one, wanted in zip(got, want):
        assert wanted.dtype == "int32"
        np.testing.assert_array_equal(one.view("int32"), wanted)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_quantized_embeddings(portable, tmp_path, compiler):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    model = nnc.Sequential([nnc.Input((4,), dtype="int32"), L.Embedding(300, 5)])
    model.quantize("int8")
    model.export(tmp_path / "net.c", format="c", verbose=False)
    assert "static const signed char" in (tmp_path / "net.c").read_text()
    x = np.array([[0, 299, 3, 3], [17, 5, 256, 128]], "int32")
    (got,) = called(compiled(tmp_path / "net.c", compiler).net_predict_batch, [x], [(2, 4, 5)])
    same_bits(got, model.predict(x, verbose=0))


@needs_gcc
def test_an_arena_of_the_callers_own(portable, tmp_path):
    """The *_in function with the least arena, between numbers that must stay."""
    model = nnc.Sequential([nnc.Input((8,)), *[L.Dense(50, activation="gelu") for _ in range(4)],
                            L.LayerNormalization(), L.Dense(3)])
    model.export(tmp_path / "net.c", format="c", verbose=False)
    size = int(re.search(r"#define NET_ARENA (\d+)", (tmp_path / "net.h").read_text())[1])
    assert size <= 4 * 50           # not the sum of all arrays, which is 9 * 50
    arena = np.full(size + 2, 7, "float32")
    x, y = data(np.random.default_rng(0), (1, 8), False), np.empty((1, 3), "float32")
    compiled(tmp_path / "net.c").net_predict_in(pointer(x), pointer(y), pointer(arena[1:]))
    assert arena[0] == arena[-1] == 7
    same_bits(y, model.predict(x, verbose=0))


@needs_gcc
def test_whole_batches(portable, tmp_path):
    """With a batch of fixed size, samples may meet."""
    model = nnc.Sequential([nnc.Input((4,)), L.Lambda(lambda x: x - ops.mean(x, 0))])
    with pytest.raises(NotImplementedError, match="joins the samples of a batch"):
        model.export(tmp_path / "net.c", format="c")
    model.export(tmp_path / "net.c", format="c", verbose=False,
                 input_signature=[nnc.InputSpec(shape=(6, 4), dtype="float32")])
    x, y = data(np.random.default_rng(0), (6, 4), False), np.empty((6, 4), "float32")
    compiled(tmp_path / "net.c").net_predict(pointer(x), pointer(y))
    same_bits(y, model(x).numpy())


@needs_gcc
def test_a_program_of_its_own(portable, tmp_path):
    """Compiled and linked without the mathematics library."""
    model = nnc.Sequential([nnc.Input((3,)), L.Dense(4, activation="tanh"), L.BatchNormalization(),
                            L.LayerNormalization(), L.Dense(2, activation="softmax")])
    (tmp_path / "main.c").write_text(
        '#include "net.h"\n#include <stdio.h>\nint main(void)\n{\n'
        "    const float x[6] = {1, 2, 3, 4, 5, 6};\n    float y[4];\n"
        '    net_predict_batch(x, y, 2);\n    printf("%a %a %a %a", y[0], y[1], y[2], y[3]);\n'
        "    return 0;\n}\n")
    model.layers[0].bias.assign([0.5, -1, 0, 1e-45])
    model.export(tmp_path / "net", format="c", verbose=False)
    subprocess.run(["gcc", *STRICT, "main.c", "net.c", "-o", "main"], cwd=tmp_path, check=True)
    text = subprocess.run([str(tmp_path / "main")], capture_output=True, text=True, check=True)
    want = model.predict(np.arange(1, 7, dtype="f").reshape(2, 3), verbose=0)
    assert [float.fromhex(one) for one in text.stdout.split()] == want.ravel().tolist()
    assert "which needs no library" in (tmp_path / "net.c").read_text()


@pytest.mark.parametrize("compiler", COMPILERS)
def test_weights_that_are_not_finite(portable, tmp_path, compiler):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    model = nnc.Sequential([nnc.Input((2,)), L.Dense(5)])
    model.layers[0].bias.assign([np.inf, -np.inf, np.nan, 1e-45, -0.0])
    model.export(tmp_path / "net.c", format="c", verbose=False)
    x = data(np.random.default_rng(0), (3, 2), False)
    (got,) = called(compiled(tmp_path / "net.c", compiler).net_predict_batch, [x], [(3, 5)])
    same_bits(got, model.predict(x, verbose=0))


REFUSED = [
    (lambda: L.Lambda(lambda x: ops.sort(x, -1), name="s"), (4,), r"'s' \(Lambda\).*'sort'"),
    (lambda: L.Lambda(ops.erfinv, name="e"), (4,), r"'e'.*erfinv"),
    (lambda: L.Lambda(lambda x: nnc.activations.softmax(x, 0), name="x"), (4, 3),
     r"'x' \(Lambda\).*joins the samples"),
    (lambda: L.Lambda(lambda x: x[:0], name="z"), (4,), r"'z'|batch"),
    (lambda: L.Lambda(lambda x: ops.transpose(nnc.activations.softmax(ops.transpose(x)))), (4,),
     "joins the samples"),
    (lambda: L.Lambda(lambda x: ops.transpose(ops.transpose(x) + ops.transpose(x[:, :1]))), (4,),
     "joins the samples"),
    (lambda: L.Lambda(lambda x: ops.reshape(ops.transpose(x), (-1, 4))), (4,), "joins the samples"),
    (lambda: L.Lambda(lambda x: ops.matmul(x, ops.transpose(x))[:, 0]), (4,), "joins the samples"),
    (lambda: L.Lambda(lambda x: ops.concatenate([x, x], 0)), (4,), "has no batch axis"),
    (lambda: L.Lambda(lambda x: ops.reshape(ops.concatenate([x, x], 0), (-1, 8))), (4,),
     "joins the samples"),
    (lambda: L.Lambda(lambda x: x / ops.shape(x)[0]), (4,), "size of the batch"),
    (lambda: L.Lambda(lambda x: ops.cast(x, "int64")), (4,), "int64"),
    (lambda: L.Dense(2, dtype="float64"), (4,), "float64"),
    (lambda: L.Dense(2), (None, 4), "size '.*_1' is not known"),
]


@pytest.mark.parametrize("row", REFUSED, ids=range(len(REFUSED)))
def test_refusals_come_before_the_files(row, tmp_path):
    make, shape, match = row
    model = nnc.Sequential([nnc.Input(shape), make()])
    with pytest.raises((NotImplementedError, ValueError), match=match):
        model.export(tmp_path / "net.c", format="c")
    assert not os.listdir(tmp_path)
    with pytest.raises(TypeError, match="opset_version"):
        model.export(tmp_path / "net.c", format="c", opset_version=18)
