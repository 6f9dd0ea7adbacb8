"""Data sets: where they are looked for, and what is said when they are nowhere."""
import os

import numpy as np
import pytest

from nnc.datasets import loading, mnist
from nnc.utils import file


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No folder with data, an empty cache, and a network that refuses at once."""
    monkeypatch.delenv("NNC_DATA_DIR", raising=False)
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("NNC_HOME", str(tmp_path / "home"))
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(mnist, "_ORIGIN", "http://127.0.0.1:1/mnist.npz")    # nobody listens there


def write(path, **changes):
    """A small file in MNIST's layout."""
    arrays = {
        "x_train": np.arange(2 * 784, dtype=np.uint16).astype(np.uint8).reshape(2, 28, 28),
        "y_train": np.uint8([3, 4]),
        "x_test": np.zeros((1, 28, 28), np.uint8),
        "y_test": np.uint8([5]),
        **changes,
    }
    os.makedirs(path.parent, exist_ok=True)
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return arrays


def test_from_the_data_folder(monkeypatch, tmp_path):
    arrays = write(tmp_path / "data" / "mnist.npz")
    monkeypatch.setenv("NNC_DATA_DIR", str(tmp_path / "data"))
    train, test = mnist.load_data()
    for ours, name in zip((*train, *test), ("x_train", "y_train", "x_test", "y_test")):
        np.testing.assert_array_equal(ours, arrays[name])
        assert ours.dtype == np.uint8


@pytest.mark.parametrize("variable", ["NNC_HOME", "KERAS_HOME"])
def test_from_the_cache(monkeypatch, tmp_path, variable):
    monkeypatch.delenv("NNC_HOME")
    monkeypatch.setenv(variable, str(tmp_path / "cache"))
    path = tmp_path / "cache" / "datasets" / "mnist.npz"
    write(path)
    monkeypatch.setattr(mnist, "_SHA256", file.file_digest(path))
    assert mnist.load_data()[0][1].tolist() == [3, 4]


def test_a_wrong_file_in_the_cache_is_not_used(tmp_path):
    write(tmp_path / "home" / "datasets" / "mnist.npz")
    with pytest.raises(OSError, match="could not be downloaded"):
        mnist.load_data()


def test_nowhere_says_where_to_put_it(monkeypatch, tmp_path):
    with pytest.raises(OSError) as caught:
        mnist.load_data()
    message = str(caught.value)
    for part in ("not on this machine", "127.0.0.1:1", "NNC_DATA_DIR",
                 str(tmp_path / "home" / "datasets" / "mnist.npz")):
        assert part in message
    monkeypatch.setenv("NNC_DATA_DIR", str(tmp_path / "d"))
    with pytest.raises(OSError, match=str(tmp_path / "d" / "mnist.npz")):
        mnist.load_data()


def test_an_absolute_path(tmp_path):
    write(tmp_path / "mine.npz")
    assert mnist.load_data(str(tmp_path / "mine.npz"))[1][1].tolist() == [5]
    with pytest.raises(FileNotFoundError, match="there is no file"):
        mnist.load_data(str(tmp_path / "other.npz"))


@pytest.mark.parametrize("spoil", [
    lambda path: write(path, x_test=None),
    lambda path: write(path, x_test=np.array([{}], dtype=object)),       # would need pickle
    lambda path: path.write_bytes(b"PK\x03\x04 torn"),
    lambda path: path.write_bytes(b""),
    lambda path: np.save(open(path, "wb"), np.zeros(3)),
])
def test_a_file_with_other_contents(tmp_path, spoil):
    path = tmp_path / "mine.npz"
    spoil(path)
    with pytest.raises(ValueError, match="mine.npz is not a data file with the arrays x_train"):
        mnist.load_data(str(path))


def test_home(monkeypatch):
    monkeypatch.delenv("NNC_HOME")
    assert loading.home() == os.path.expanduser("~/.keras")
