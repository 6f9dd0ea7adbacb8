"""The data sets beside MNIST, from small files in their layouts, beside Keras's own loaders."""
import gzip
import json
import pickle

import numpy as np
import pytest

from nnc import datasets
from nnc.datasets import pickles
from nnc.utils import file

from live import keras

RNG = np.random.default_rng(0)
NAMES = ("imdb", "reuters", "boston_housing", "california_housing", "fashion_mnist", "cifar10",
         "cifar100")


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """A folder with a small file of each data set; Keras is led there, too."""
    def objects(n):
        made = np.empty(n, object)
        made[:] = [RNG.integers(1, 50, RNG.integers(1, 9)).tolist() for _ in range(n)]
        return made

    np.savez(tmp_path / "imdb.npz", x_train=objects(12), y_train=np.arange(12) % 2,
             x_test=objects(7), y_test=np.arange(7) % 2)
    np.savez(tmp_path / "reuters.npz", x=objects(20), y=np.arange(20))
    for name in ("boston_housing", "california_housing"):
        np.savez(tmp_path / f"{name}.npz", x=RNG.normal(size=(21, 3)), y=np.arange(21.0))
    (tmp_path / "imdb_word_index.json").write_text(json.dumps({"the": 1}))
    (tmp_path / "fashion-mnist").mkdir()
    for part, n in (("train", 3), ("t10k", 2)):
        for what, size, header in (("images-idx3", n * 784, 16), ("labels-idx1", n, 8)):
            with gzip.open(tmp_path / "fashion-mnist" / f"{part}-{what}-ubyte.gz", "wb") as f:
                f.write(bytes(header) + RNG.integers(0, 10, size).astype("uint8").tobytes())
    for inner, files in (("cifar-100-python", ("train", "test")), (
            "cifar-10-batches-py", [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"])):
        (tmp_path / inner).mkdir()
        for name in files:
            found = {b"data": RNG.integers(0, 255, (2, 3072)).astype("uint8"), b"labels": [3, 4],
                     b"fine_labels": [50, 60], b"coarse_labels": [5, 6]}
            (tmp_path / inner / name).write_bytes(pickle.dumps(found))
    monkeypatch.setenv("NNC_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("NNC_HOME", str(tmp_path / "home"))
    for name in ("imdb", "reuters", "boston_housing", "california_housing"):
        module = __import__(f"keras.src.datasets.{name}", fromlist=["x"])
        monkeypatch.setattr(module, "get_file", lambda fname=None, *a, path=None, **k: str(
            tmp_path / (fname or path)))
    return tmp_path


@pytest.mark.parametrize("name, options", [
    ("imdb", {}), ("imdb", {"num_words": 20, "skip_top": 3, "seed": 5}),
    ("imdb", {"maxlen": 6, "start_char": None, "oov_char": None, "num_words": 30}),
    ("imdb", {"index_from": 0, "start_char": None}),
    ("reuters", {}), ("reuters", {"num_words": 20, "test_split": 0.5, "maxlen": 7}),
    ("boston_housing", {}), ("boston_housing", {"test_split": 0.0}),
    ("california_housing", {"seed": 1}), ("california_housing", {"version": "small"}),
], ids=str)
def test_arrays_are_keras(folder, name, options):
    ours = getattr(datasets, name).load_data(**options)
    theirs = getattr(keras.datasets, name).load_data(**options)
    for a, b in zip((*ours[0], *ours[1]), (*theirs[0], *theirs[1])):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert a.tolist() == b.tolist()


def test_arguments_of_earlier_versions(folder):
    """Keras takes them and does nothing."""
    with pytest.warns(UserWarning, match="`nb_words` is now `num_words`"):
        (x, _), _ = datasets.imdb.load_data(nb_words=20)
    assert x.tolist() == datasets.imdb.load_data(num_words=20)[0][0].tolist()
    with pytest.raises(TypeError, match=r"imdb.load_data: unknown arguments. Received: {'words': 3}"):
        datasets.imdb.load_data(words=3)


def test_pictures(folder):
    (x, y), (vx, vy) = datasets.fashion_mnist.load_data()
    assert x.shape == (3, 28, 28) and y.shape == (3,) and vx.shape == (2, 28, 28)
    with gzip.open(folder / "fashion-mnist" / "train-images-idx3-ubyte.gz") as f:
        assert x.tobytes() == f.read()[16:]
    (x, y), (vx, vy) = datasets.cifar10.load_data()
    assert x.shape == (10, 32, 32, 3) and y.shape == (10, 1) and y.dtype == np.uint8
    raw = pickle.loads((folder / "cifar-10-batches-py" / "data_batch_1").read_bytes())[b"data"]
    np.testing.assert_array_equal(x[1, :, :, 2].ravel(), raw[1, 2048:])
    assert datasets.cifar100.load_data()[0][1].ravel().tolist() == [50, 60]
    assert datasets.cifar100.load_data("coarse")[1][1].ravel().tolist() == [5, 6]
    with pytest.raises(ValueError, match="label_mode"):
        datasets.cifar100.load_data("other")


def test_names_and_numbers(folder):
    assert datasets.imdb.get_word_index() == {"the": 1}
    assert datasets.reuters.get_label_names() == keras.datasets.reuters.get_label_names()


@pytest.mark.parametrize("name", NAMES)
def test_nowhere(monkeypatch, tmp_path, name):
    monkeypatch.delenv("NNC_DATA_DIR", raising=False)
    monkeypatch.setenv("NNC_HOME", str(tmp_path))

    def refuse(origin, *_):
        raise OSError(f"no network for {origin}")

    monkeypatch.setattr(file, "_download", refuse)
    with pytest.raises(OSError, match=f"{name}.load_data: the data is not on this machine.*"
                                      "NNC_DATA_DIR"):
        getattr(datasets, name).load_data()


def test_pickles_make_nothing_but_data(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    path = tmp_path / "evil"
    path.write_bytes(pickle.dumps({b"data": Evil()}))
    with pytest.raises(ValueError, match="asks for builtins.print"):
        pickles.read_pickle(path)
    array = np.empty(1, object)
    array[0] = Evil()
    np.savez(tmp_path / "evil.npz", x=array)
    with pytest.raises(ValueError, match="asks for builtins.print"):
        pickles.read_npz_objects(tmp_path / "evil.npz", ["x"])
