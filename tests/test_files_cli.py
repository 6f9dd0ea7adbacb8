"""The commands about files."""
import json

import numpy as np
import pytest

import nnc
from nnc import cli, layers

pytest.importorskip("h5py")


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = nnc.Sequential([nnc.Input((3,)), layers.Dropout(0.5), layers.Dense(2, name="d")])
    model.compile("adam", "mse")
    model.fit(np.ones((4, 3), "f"), np.ones((4, 2), "f"), verbose=0)
    model.save("m.keras")
    model.save("m.h5")
    model.save_weights("m.weights.h5")
    model.save_weights("m.npz")
    model.save_weights("m.safetensors")
    return model


def run(capsys, *arguments):
    status = cli.main(list(arguments))
    return status, capsys.readouterr().out


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "m.weights.h5", "m.npz", "m.safetensors"])
def test_inspect_and_verify(files, capsys, name):
    status, text = run(capsys, "inspect", name, "--json")
    facts = json.loads(text)
    assert status == 0 and facts["parameters"] == 8 and len(facts["sha256"]) == 64
    if name == "m.keras":
        assert facts["layers"][-1] == ["Dense", "d"] and facts["random"]
        assert facts["written_by"]["keras_version"]
    assert facts["foreign_classes"] == []
    assert run(capsys, "inspect", name)[0] == 0
    assert run(capsys, "verify", name)[0] == 0


def test_functional_models_have_no_foreign_classes(tmp_path, capsys):
    x = nnc.Input((3,))
    path = str(tmp_path / "f.keras")
    nnc.Model(x, layers.Add()([layers.Dense(2)(x), nnc.ops.relu(layers.Dense(2)(x))])).save(path)
    status, text = run(capsys, "inspect", path, "--json")
    assert status == 0 and json.loads(text)["foreign_classes"] == []
    assert run(capsys, "verify", path)[0] == 0


def test_verify_finds_what_is_wrong(files, capsys):
    with open("m.keras", "r+b") as f:
        f.truncate(3000)
    status, text = run(capsys, "verify", "m.keras")
    assert status == 1 and "m.keras" in text
    files.layers[-1].bias.assign([np.nan, 0])
    files.save("m.h5")
    status, text = run(capsys, "verify", "m.h5")
    assert status == 1 and "not finite" in text
    assert run(capsys, "verify", "m.txt")[0] == 1


def test_foreign_classes_are_named(files, capsys):
    class Mine(layers.Layer):
        def call(self, x):
            return x

    nnc.Sequential([nnc.Input((3,)), Mine()]).save("mine.keras")
    assert ".Mine" in run(capsys, "inspect", "mine.keras")[1]
    assert run(capsys, "verify", "mine.keras")[0] == 1


@pytest.mark.parametrize("source", ["m.keras", "m.h5", "m.weights.h5", "m.npz", "m.safetensors"])
@pytest.mark.parametrize("target", ["o.keras", "o.h5", "o.weights.h5", "o.npz", "o.safetensors"])
def test_convert(files, capsys, source, target):
    status, text = run(capsys, "convert", source, target)
    model = source in ("m.keras", "m.h5")
    if not model and not target.endswith((".npz", ".safetensors")):
        assert status == 1 and "without a model" in text
        return
    assert status == 0, text
    status, text = run(capsys, "inspect", target, "--json")
    assert json.loads(text)["parameters"] == 8


def test_convert_to_bfloat16(files, capsys):
    pytest.importorskip("ml_dtypes")
    assert run(capsys, "convert", "m.keras", "o.safetensors", "--dtype", "bfloat16")[0] == 0
    facts = json.loads(run(capsys, "inspect", "o.safetensors", "--json")[1])
    assert {array["dtype"] for array in facts["arrays"].values()} == {"bfloat16"}


def test_diff(files, capsys):
    assert run(capsys, "diff", "m.npz", "m.safetensors") == (0, "0 of 2 arrays differ\n")
    files.layers[-1].bias.assign(files.layers[-1].bias.numpy() + 1)
    files.save_weights("n.npz")
    status, text = run(capsys, "diff", "m.npz", "n.npz")
    assert status == 1 and "differs by 1 at most" in text and "1 of 2" in text


def test_diff_of_formats(files, capsys):
    """By layer and number in it: the weights of one model are the same in every format."""
    made = files
    made.save_weights("s.weights.json", max_shard_size=3e-7)
    made.export("m.onnx", format="onnx", verbose=False)
    names = ["m.keras", "m.h5", "m.weights.h5", "s.weights.json", "m.npz", "m.safetensors", "m.onnx"]
    for a in names:
        for b in names:
            assert cli.main(["diff", a, b]) == 0, (a, b)
            out = capsys.readouterr().out
            assert out.splitlines()[-1].startswith("0 of ") and "only in" not in out
    made.set_weights([w + 1 for w in made.get_weights()])
    made.save_weights("n.npz")
    for a in names:
        assert cli.main(["diff", a, "n.npz"]) == 1
        assert "differs by 1 at most" in capsys.readouterr().out


def test_shards_and_folders(files, capsys):
    made = files
    made.save_weights("s.weights.json", max_shard_size=3e-7)
    made.save("whole", zipped=False)
    for name, text in (("s.weights.json", "s_00000.weights.h5: "), ("whole", "bytes in a folder")):
        assert cli.main(["inspect", name]) == 0
        assert text in capsys.readouterr().out
        assert cli.main(["verify", name]) == 0
    assert cli.main(["convert", "s.weights.json", "s.npz"]) == 0
    capsys.readouterr()
    assert cli.main(["diff", "s.npz", "m.weights.h5"]) == 1
    out = capsys.readouterr().out                        # the optimizer's values alone
    assert all(line.startswith("optimizer/") for line in out.splitlines()[:-1])
    assert cli.main(["inspect", "none.keras"]) == 1
    assert capsys.readouterr().out == "nnc inspect: none.keras: No such file or directory\n"
