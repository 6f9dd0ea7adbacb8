"""Every layer that nnc has, as an ONNX file: equal in ONNX Runtime and when it is loaded again, or
refused for a reason that is stated here. And files with their weights beside them.
"""
import inspect
import os
import resource
import signal
import time

import numpy as np
import pytest

import nnc
from nnc import layers as L

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tests.test_export_onnx import LAYERS, TOLERANCE, random_weights, served     # noqa: E402
from tests.test_files_live import MORE, NEW                                     # noqa: E402
from tests.test_layers_table import ROWS                                        # noqa: E402

TABLE = ROWS + MORE + [("Pipeline", {"layers": [L.Rescaling(0.5), L.CenterCrop(4, 4)]}, (8, 8, 3))]
#: Why a class has no row: bases, and an input, which is no node of a graph.
NO_ROW = {"Layer": "a base", "Wrapper": "a base", "InputLayer": "an input of the graph"}
#: What ONNX cannot say, and what the message says of it.
REFUSED = {"Discretization": "searchsorted", "Hashing": "NumPy computes it",
           "IntegerLookup": "searchsorted", "MelSpectrogram": "NumPy computes it",
           "ContrastLimitedAdaptiveHistogramEqualization": "Fix the sizes by an `input_signature`"}
EXPORTED = [row for row in TABLE if row[0] not in REFUSED]
SIZE = 12


def test_each_layer_has_a_row():
    ours = {cls.__name__ for cls in vars(L).values()
            if inspect.isclass(cls) and issubclass(cls, L.Layer)}
    rows = {name for name, _, _ in TABLE} | {type(row[0]()).__name__ for row in LAYERS}
    assert ours == rows | set(NO_ROW) | (NEW & ours)


def branch(name, arguments, shape):
    """Inputs, output, and arrays for the inputs of a layer."""
    if shape == "ids":
        inputs = [nnc.Input((4,), dtype="int32")]
    else:
        inputs = [nnc.Input(one) for one in (shape if isinstance(shape, list) else [shape])]
    y = getattr(L, name)(**arguments)(inputs if isinstance(shape, list) else inputs[0])
    rng = np.random.default_rng(1)
    data = [rng.integers(0, 5, (3, *x.shape[1:])).astype("int32") if x.dtype == "int32" else
            rng.normal(size=(3, *(n or 4 for n in x.shape[1:]))).astype("float32") for x in inputs]
    return inputs, y, data


@pytest.mark.parametrize("chunk", range(-(-len(EXPORTED) // SIZE)))
def test_layers(chunk, tmp_path):
    rows = EXPORTED[chunk * SIZE:(chunk + 1) * SIZE]
    branches = [branch(*row) for row in rows]
    inputs = [x for one in branches for x in one[0]]
    data = [x for one in branches for x in one[2]]
    model = nnc.Model(inputs, [one[1] for one in branches])
    random_weights(model, np.random.default_rng(0))
    path = tmp_path / "m.onnx"
    model.export(path, format="onnx", verbose=False)
    onnx.checker.check_model(str(path), full_check=True)
    want = model.predict(data, verbose=0)
    again = nnc.models.load_onnx(path).predict(data, verbose=0)
    if len(rows) == 1:
        again = [again]                             # a file says no more of lists than the names
    for row, a, b, c in zip(rows, served(path, *data).values(), again, want, strict=True):
        np.testing.assert_allclose(a, c, **TOLERANCE, err_msg=str(row))
        np.testing.assert_allclose(b, c, **TOLERANCE, err_msg=str(row))


@pytest.mark.parametrize("name", sorted(REFUSED) or [None])
def test_refused(name, tmp_path):
    for row in TABLE:
        if row[0] == name:
            inputs, y, _ = branch(*row)
            with pytest.raises(NotImplementedError, match=REFUSED[name]):
                nnc.Model(inputs, y).export(tmp_path / "m.onnx", format="onnx")


def test_every_operator_that_is_written_is_read():
    """Every name of an operator in the writing files has a row in the reading table."""
    import re

    from nnc.export import onnx_layers, onnx_norms, onnx_ops, onnx_patterns, onnx_writer

    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    written = set()
    for module in (onnx_ops, onnx_patterns, onnx_norms, onnx_writer):
        written |= known & set(re.findall(r'"([A-Z]\w+)"', inspect.getsource(module)))
    assert len(written) > 80 and written <= set(onnx_layers.ROWS)


def test_quantized_models_come_back(tmp_path):
    """Whole numbers are summed exactly; the roundings of scales differ by units of float32."""
    model = nnc.Sequential([nnc.Input((40,)), L.Dense(9, activation="relu"), L.Dense(3)])
    model.quantize("int8")
    model.export(tmp_path / "m.onnx", format="onnx", verbose=False)
    x = np.random.default_rng(0).normal(size=(5, 40)).astype("f")
    got = nnc.models.load_onnx(tmp_path / "m.onnx").predict(x, verbose=0)
    np.testing.assert_allclose(got, model.predict(x, verbose=0), rtol=1e-6, atol=1e-6)


# ---- weights in a file beside --------------------------------------------------------------------

def dense(value=None):
    made = nnc.Sequential([nnc.Input((40,)), L.Dense(30, name="a"), L.Dense(20, name="b")])
    if value is not None:
        made.set_weights([np.full(w.shape, value) for w in made.get_weights()])
    return made


def beside(made, path):
    made.export(path, format="onnx", external_data=True, verbose=False)


def test_weights_beside(tmp_path):
    path, made = tmp_path / "m.onnx", dense()
    beside(made, path)
    assert sorted(os.listdir(tmp_path)) == ["m.onnx", "m.onnx.data"]
    assert os.path.getsize(path) < 2000 < os.path.getsize(tmp_path / "m.onnx.data")
    onnx.checker.check_model(str(path), full_check=True)
    x = np.random.default_rng(0).normal(size=(3, 40)).astype("f")
    want = made.predict(x, verbose=0)
    (got,) = served(path, x).values()
    np.testing.assert_allclose(got, want, **TOLERANCE)
    again = nnc.models.load_onnx(path)
    assert all(np.array_equal(a, b) for a, b in zip(made.get_weights(), again.get_weights()))
    for turn in (1, 2):                             # data that nothing names are removed
        beside(dense(turn), path)
        assert len(os.listdir(tmp_path)) == 2
        assert nnc.models.load_onnx(path).get_weights()[0][0, 0] == turn
    dense(3).export(path, format="onnx", verbose=False)
    assert nnc.models.load_onnx(path).get_weights()[0][0, 0] == 3


def test_more_than_one_file_can_hold(tmp_path, monkeypatch):
    """The limit lowered: what is larger goes beside by itself."""
    from nnc.export import onnx_data

    monkeypatch.setattr(onnx_data, "MOST_INSIDE", 5000)
    dense(1).export(tmp_path / "m.onnx", format="onnx", verbose=False)
    assert sorted(os.listdir(tmp_path)) == ["m.onnx", "m.onnx.data"]
    with pytest.raises(ValueError, match="external_data=False"):
        dense(1).export(tmp_path / "n.onnx", format="onnx", external_data=False)
    with pytest.raises(ValueError, match="external_data=3"):
        dense(1).export(tmp_path / "n.onnx", format="onnx", external_data=3)
    assert len(os.listdir(tmp_path)) == 2


def test_killed_and_full(tmp_path):
    """The old model or the new one, whole, and no litter after the next."""
    path = str(tmp_path / "m.onnx")
    made = dense(0)
    beside(made, path)
    draw, cut = np.random.default_rng(6), 0
    for i in range(30):
        child = os.fork()
        if child == 0:
            try:
                while True:
                    beside(made, path)
            finally:
                os._exit(1)
        time.sleep(draw.uniform(0.02, 0.06))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        cut += len(os.listdir(tmp_path)) > 2
        assert all((w == 0).all() for w in nnc.models.load_onnx(path).get_weights())
    beside(made, path)
    assert len(os.listdir(tmp_path)) == 2
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, old[1]))
    try:
        with pytest.raises(OSError):
            beside(dense(2), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, kept)
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before


def told(**changes):
    """A change of what a file says of its first tensor with data beside it."""
    def change(model):
        tensor = next(one for one in model.graph.initializer if one.external_data)
        for key, value in changes.items():
            found = [one for one in tensor.external_data if one.key == key]
            entry = found[0] if found else tensor.external_data.add()
            entry.key, entry.value = key, value
    return change


def all_the_same(model):
    """Every tensor asks for the whole file."""
    tensor = next(one for one in model.graph.initializer if one.external_data)
    for i in range(50):
        model.graph.initializer.add().CopyFrom(tensor)
        model.graph.initializer[-1].name = f"copy_{i}"


BAD = [
    (told(location="../m.onnx.data"), "is no name of a file beside"),
    (told(location="/etc/passwd"), "is no name of a file beside"),
    (told(location=".."), "is no name of a file beside"),
    (told(location="a\\b"), "is no name of a file beside"),
    (told(location=""), "is no name of a file beside"),
    (told(location="none.data"), "there is no file 'none.data'"),
    (told(location="link.data"), "is a link"),
    (told(location="folder"), "no plain file"),
    (told(location="pipe"), "no plain file"),
    (told(offset="-1"), "its offset is no number"),
    (told(offset="9" * 30), "its offset is no number"),
    (told(offset="999999999"), "the file has"),
    (told(length="12"), "it says 12 bytes"),
    (told(length="x"), "its length is no number"),
    (told(basepath="/"), "unknown or repeated keys"),
    (told(checksum="00"), "its checksum is wrong"),
    (all_the_same, "more bytes than the file has"),
]


@pytest.mark.parametrize("i", range(len(BAD)))
def test_what_lies_beside_is_checked(i, tmp_path):
    change, match = BAD[i]
    path = tmp_path / "m.onnx"
    beside(dense(), path)
    os.symlink("m.onnx.data", tmp_path / "link.data")
    os.mkdir(tmp_path / "folder")
    os.mkfifo(tmp_path / "pipe")
    model = onnx.load(path, load_external_data=False)
    change(model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=match):
        nnc.models.load_onnx(path)


def test_data_cut_short(tmp_path):
    path = tmp_path / "m.onnx"
    beside(dense(), path)
    data = (tmp_path / "m.onnx.data").read_bytes()
    for count in (0, 100, len(data) - 1):
        (tmp_path / "m.onnx.data").write_bytes(data[:count])
        with pytest.raises(ValueError, match="the file has"):
            nnc.models.load_onnx(path)
