"""`nnc predict` and `nnc bench`."""
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import nnc
from nnc import bench_cli, bench_work, cli, layers

pytest.importorskip("h5py")
X = np.random.default_rng(0).normal(size=(9000, 4)).astype("float32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("files")
    nnc.utils.set_random_seed(0)
    model = nnc.Sequential([nnc.Input((4,)), layers.Dense(5, activation="tanh"), layers.Dense(2)])
    model.save(path / "m.keras")
    picture = nnc.Sequential([nnc.Input((2, 2, 1)), layers.Flatten(), layers.Dense(1)])
    picture.save(path / "p.keras")
    a = nnc.Input((4,))
    nnc.Model(a, [layers.Dense(1)(a), layers.Dense(1)(a)]).save(path / "two.keras")
    np.save(path / "x.npy", X)
    np.savetxt(path / "x.csv", X, delimiter=",", fmt="%.9g")
    np.savetxt(path / "named.csv", X, delimiter=",", fmt="%.9g", header='a,"b,b",c,d', comments="")
    return path


def run(capsys, *arguments):
    status = cli.main([str(a) for a in arguments])
    return (status, *capsys.readouterr())


def test_predict_says_as_json_what_it_wrote(folder, capsys):
    target = str(folder / "told.npy")
    status, out, error = run(capsys, "predict", folder / "m.keras", folder / "x.npy", "-o", target,
                             "--json")
    assert (status, error) == (0, "")
    assert json.loads(out) == {"output": target, "rows": 9000, "shape": [2]}


@pytest.mark.parametrize("source", ["x.npy", "x.csv", "named.csv"])
@pytest.mark.parametrize("target", ["y.npy", "y.csv"])
def test_outputs_are_those_of_predict(folder, capsys, source, target):
    """9,000 rows are three blocks; nine digits hold a float32."""
    status, out, error = run(capsys, "predict", folder / "m.keras", folder / source, "-o",
                             folder / target)
    assert (status, error) == (0, "") and "9000 rows of shape (2,)" in out
    wanted = nnc.models.load_model(folder / "m.keras").predict(X, verbose=0)
    if target.endswith(".npy"):
        found = np.load(folder / target)
        assert found.dtype == "float32"
    else:
        lines = (folder / target).read_text().splitlines()
        assert (lines[0] == "output_0,output_1") == (source == "named.csv")
        found = np.loadtxt(lines[source == "named.csv":], delimiter=",", dtype="float32")
    np.testing.assert_array_equal(found, wanted)


def test_numbers_of_a_line_take_the_models_shape(folder, capsys):
    status, *_ = run(capsys, "predict", folder / "p.keras", folder / "x.csv", "-o",
                     folder / "p.npy", "--batch-size", "100")
    assert status == 0
    wanted = nnc.models.load_model(folder / "p.keras").predict(X.reshape(-1, 2, 2, 1), verbose=0)
    np.testing.assert_array_equal(np.load(folder / "p.npy"), wanted)


WRONG = [
    ("m.keras", "1,2,3\n4,5,6\n", [], "a row has 3 numbers, the model takes 4 numbers"),
    ("m.keras", "1,2,3,4\n\n4,5,6\n", [], "line 3 has 3 columns, the first one has 4"),
    ("m.keras", "1,2,3,4\n4,5,x,7\n", [], "line 2, column 3 is not a number. Received: 'x'"),
    ("m.keras", "1,2,3,4\n4,,6,7\n", [], "line 2, column 2 is not a number. Received: ''"),
    ("m.keras", "a,b,c,d\n1,2,3,4\n", ["--no-header"], "line 1, column 1 is not a number"),
    ("m.keras", "a,b,c,d\n", [], "holds no sample"),
    ("m.keras", "", [], "holds no sample"),
    ("two.keras", "1,2,3,4\n", [], "several outputs"),
    ("none.keras", "1,2,3,4\n", [], "none.keras"),
    ("m.keras", "1,2,3,4\n", ["--batch-size", "0"], "--batch-size must be >= 1"),
]


@pytest.mark.parametrize("model, text, more, message", WRONG, ids=[row[3][:30] for row in WRONG])
def test_what_is_wrong_is_said(folder, tmp_path, capsys, model, text, more, message):
    """The error goes where errors go; a file that was there stays as it was."""
    (tmp_path / "in.csv").write_text(text)
    (tmp_path / "out.csv").write_text("kept")
    status, out, error = run(capsys, "predict", folder / model, tmp_path / "in.csv", "-o",
                             tmp_path / "out.csv", *more)
    assert status == 1 and out == "" and message in error, error
    assert error.startswith("nnc predict: ")
    assert (tmp_path / "out.csv").read_text() == "kept"
    assert sorted(os.listdir(tmp_path)) == ["in.csv", "out.csv"]


def test_other_files_are_refused(folder, tmp_path, capsys):
    np.save(tmp_path / "s.npy", np.array(["a"]))
    np.save(tmp_path / "o.npy", np.array([{}]), allow_pickle=True)
    for source, target in (("s.npy", "y.csv"), ("o.npy", "y.csv"), ("s.npy", "y.txt"),
                           ("none.csv", "y.csv")):
        status, _, error = run(capsys, "predict", folder / "m.keras", tmp_path / source, "-o",
                               tmp_path / target)
        assert status == 1 and error.count("\n") == 1, error


def test_bench_measures(folder, capsys):
    status, out, error = run(capsys, "bench", folder / "m.keras", "--peers", "none", "--samples",
                             "64", "--rounds", "1", "--json")
    assert status == 0, error
    found = json.loads(out)
    assert found["versions"] == {"nnc": nnc.__version__} and found["left_out"] == {}
    assert all(found["figures"]["nnc"][key] > 0 for key in bench_cli.FIGURES)


def test_bench_names_who_is_left_out(capsys, monkeypatch):
    monkeypatch.setitem(bench_cli.PEERS, "absent", ("no_such_library_here",))
    status, out, _ = run(capsys, "bench", "--peers", "absent", "--samples", "32", "--rounds", "1")
    assert status == 1 and "absent is left out: no_such_library_here is not installed" in out
    assert "784-20-20-10: 32 samples" in out and "fit, samples/s" in out
    status, _, error = run(capsys, "bench", "--peers", "tourch")
    assert status == 1 and "there is no 'tourch'; known: torch" in error
    assert bench_cli.choose("none") == ([], {})


@pytest.mark.parametrize("network, loss, logits", [
    ([layers.Dense(3, activation="softmax")], "sparse_categorical_crossentropy", "softmax"),
    ([layers.Dropout(0.5), layers.Dense(2), layers.ReLU(), layers.Dense(1, activation="sigmoid")],
     "binary_crossentropy", "sigmoid"),
    ([layers.Dense(2)], "mean_squared_error", "dense"),
])
def test_work_of_a_model(tmp_path, network, loss, logits):
    """The loss follows from the last layer; the chain is what other libraries rebuild."""
    nnc.Sequential([nnc.Input((4,)), *network]).save(tmp_path / "m.keras")
    work = json.loads(json.dumps(bench_cli.work(str(tmp_path / "m.keras"), 16, 8)))
    x, y = bench_work.data(work)
    assert work["loss"] == loss and x.shape == (16, 4) and len(y) == 16
    known = dict.fromkeys(("linear", "relu", "softmax", "sigmoid"))
    assert bench_work.chain(work, known)[-1][0] == logits
    subject = bench_work.KerasLike("nnc", work)
    assert bench_work.measure(subject, 16)["fit"] > 0


def test_work_refuses_what_it_cannot_measure(folder, tmp_path):
    with pytest.raises(ValueError, match="one input and one output"):
        bench_cli.work(str(folder / "two.keras"), 16, 8)
    nnc.Sequential([nnc.Input((4, 2)), layers.LayerNormalization()]).save(tmp_path / "m.keras")
    work = bench_cli.work(str(tmp_path / "m.keras"), 16, 8)
    with pytest.raises(NotImplementedError, match="LayerNormalization is not rebuilt"):
        bench_work.chain(work, {"linear": None})


@pytest.fixture
def small(tmp_path):
    nnc.Sequential([nnc.Input((2, 2)), layers.Flatten(), layers.Dense(3, activation="relu"),
                    layers.Dense(3, activation="softmax")]).save(tmp_path / "m.keras")
    return str(tmp_path / "m.keras")


def test_a_peer_runs(small, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    status, out, _ = run(capsys, "bench", small, "--peers", "onnxruntime", "--samples", "32",
                         "--rounds", "1", "--json")
    found = json.loads(out)
    assert status == 0 and found["left_out"] == {}
    assert found["figures"]["onnxruntime"]["fit"] is None
    assert found["figures"]["onnxruntime"]["predict"] > 0


def test_torch_learns(small):
    """The loop that is timed is one that trains."""
    pytest.importorskip("torch")
    subject = bench_work.Torch("torch", bench_cli.work(small, 32, 16))

    def loss():
        return subject.compare(subject.logits(subject.x), subject.y).item()
    before = loss()
    for _ in range(20):
        subject.fit()
    assert loss() < before
    subject.predict()
    subject.predict_one()


def test_a_closed_pipe_ends_quietly():
    code = f"{sys.executable} -m nnc info --json | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True)
    assert done.stderr == "" and done.stdout.splitlines()[0] == "{"
    assert done.stdout.splitlines()[1] in ("0", "141")
    code = (f"{sys.executable} -c 'import sys, time, nnc.cli; time.sleep(0.3); "
            "sys.exit(nnc.cli.main([\"info\"]))' | true; echo ${PIPESTATUS[0]}")
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("141\n", "")


def test_help_has_examples(capsys):
    for name in ("predict", "bench"):
        with pytest.raises(SystemExit) as caught:
            cli.main([name, "--help"])
        assert caught.value.code == 0 and f"  nnc {name} m.keras" in capsys.readouterr().out
