"""Utilities: label helpers, seeds, files, downloads, suggestions."""
import hashlib
import http.server
import io
import logging
import os
import stat
import tarfile
import threading
import zipfile

import numpy as np
import pytest

import nnc
from nnc.utils import file, text

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


# ------------------------------------------------------------------------------------------- arrays

@pytest.mark.parametrize("x, classes", [
    ([0, 1, 2, 1], None), ([0, 1, 2], 5), ([[0], [3]], None), ([[0, 1], [2, 0]], 3), (2, 4),
    (np.array([1.0, 0.0]), None), (np.array([True, False]), 2), ([], 3),
])
def test_to_categorical_is_keras(x, classes):
    keras = pytest.importorskip("keras")
    ours, theirs = nnc.utils.to_categorical(x, classes), keras.utils.to_categorical(x, classes)
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == theirs.dtype


def test_to_categorical_of_a_tensor():
    y = nnc.utils.to_categorical(nnc.ops.convert_to_tensor([[2], [0]]), 3)
    np.testing.assert_array_equal(np.asarray(y), [[0, 0, 1], [1, 0, 0]])


@pytest.mark.parametrize("x, classes, message", [
    ([0, 3], 3, "from 0 to 2. Received: 3 at position 1"),
    ([-1, 0], None, "Received: -1 at position 0"), ([0.5], None, "whole numbers"),
    (["a"], None, "dtype=<U1"), ([], None, "`num_classes` must be given"),
    ([np.nan], 3, "whole numbers"),
])
def test_to_categorical_refuses(x, classes, message):
    with pytest.raises(ValueError, match=message):
        nnc.utils.to_categorical(x, classes)


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("order", [1, 2, np.inf])
def test_normalize_is_keras(axis, order):
    keras = pytest.importorskip("keras")
    x = np.array([[3.0, -4.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 2.0]])
    if axis == 0:                                   # Keras turns axis 0 into the last one
        expected = keras.utils.normalize(x.T, axis=-1, order=order).T
    else:
        expected = keras.utils.normalize(x, axis=axis, order=order)
    np.testing.assert_allclose(nnc.utils.normalize(x, axis=axis, order=order), expected, rtol=1e-15)


def test_set_random_seed_repeats_everything():
    import random

    def draw():
        nnc.utils.set_random_seed(7)
        layer = nnc.layers.Dense(4)
        layer.build((None, 3))
        return [random.random(), np.random.rand(), *np.asarray(nnc.random.normal((3,))),
                *layer.get_weights()[0].ravel()]

    first = draw()
    assert draw() == first
    nnc.utils.set_random_seed(8)
    assert list(np.asarray(nnc.random.normal((3,)))) != first[2:5]


@pytest.mark.parametrize("seed", [1.0, "1", True, -1, 2**32])
def test_set_random_seed_refuses(seed):
    with pytest.raises(ValueError, match="seed"):
        nnc.utils.set_random_seed(seed)


# -------------------------------------------------------------------------------------------- texts

@pytest.mark.parametrize("name, known, answer", [
    ("adma", ["adam", "sgd"], "did you mean 'adam'?"), ("ADAM", ["adam"], "did you mean 'adam'?"),
    ("qqq", ["b", "a"], "known: 'a', 'b'"), (None, ["a"], "known: 'a'"),
    ("zzzzz", range(100, 130), "known: " + ", ".join(f"'{n}'" for n in range(100, 120)) + ", ..."),
])
def test_suggest(name, known, answer):
    assert text.suggest(name, known) == answer


def test_messages_can_go_to_the_log(capsys, caplog):
    from nnc.utils.io import print_message

    nnc.utils.disable_interactive_logging()
    try:
        assert not nnc.utils.is_interactive_logging_enabled()
        with caplog.at_level(logging.INFO, "nnc"):
            print_message("to the log")
    finally:
        nnc.utils.enable_interactive_logging()
    print_message("to the screen")
    assert caplog.messages == ["to the log"] and capsys.readouterr().out == "to the screen\n"


# -------------------------------------------------------------------------------------------- files

def test_atomic_write(tmp_path):
    path = tmp_path / "a.txt"
    with file.atomic_write(path, "w", encoding="utf-8") as f:
        f.write("ä")
        assert not path.exists()
    assert path.read_text("utf-8") == "ä" and os.listdir(tmp_path) == ["a.txt"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_atomic_write_keeps_the_old_file_on_an_error(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o640)
    with pytest.raises(RuntimeError, match="half way"):
        with file.atomic_write(path) as f:
            f.write(b"new")
            raise RuntimeError("half way")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a"]
    with file.atomic_write(path) as f:
        f.write(b"new")
    assert path.read_bytes() == b"new" and stat.S_IMODE(path.stat().st_mode) == 0o640


def test_atomic_write_through_a_link(tmp_path):
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with file.atomic_write(tmp_path / "link") as f:
        f.write(b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_bytes() == b"new"
    with pytest.raises(ValueError, match="mode='a'"):
        with file.atomic_write(tmp_path / "link", "a"):
            pass


# ---------------------------------------------------------------------------------------- downloads

@pytest.fixture
def server():
    """A server here with the pages `served`; /short promises more bytes than it sends."""
    served = {"/data.bin": b"0123456789" * 20000, "/short": b"abc"}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = served.get(self.path)
            if body is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body) + (5 if self.path == "/short" else 0)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    httpd = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}", served
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_get_file(server, tmp_path, capsys):
    url, served = server
    digest = hashlib.sha256(served["/data.bin"]).hexdigest()
    request = {"origin": f"{url}/data.bin", "cache_dir": tmp_path}
    path = nnc.utils.get_file(**request, file_hash=digest)
    assert path == str(tmp_path / "datasets" / "data.bin")
    assert open(path, "rb").read() == served["/data.bin"]
    assert "200000/200000" in capsys.readouterr().out
    served.clear()                                  # from the cache now
    assert nnc.utils.get_file(**request, file_hash=digest) == path
    with pytest.raises(OSError, match="404"):
        nnc.utils.get_file(**request, force_download=True)
    assert os.path.exists(path)                     # what was there stays


def test_get_file_replaces_a_damaged_file(server, tmp_path):
    url, served = server
    md5 = hashlib.md5(served["/data.bin"]).hexdigest()
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "d").write_bytes(b"damaged")
    path = nnc.utils.get_file("d", f"{url}/data.bin", md5_hash=md5, cache_dir=tmp_path,
                              cache_subdir="x")
    assert open(path, "rb").read() == served["/data.bin"]


@pytest.mark.parametrize("page, options, error, message", [
    ("/short", {}, OSError, "received 3 of 8 bytes|IncompleteRead"),
    ("/none", {}, OSError, "404"),
    ("/data.bin", {"file_hash": "0" * 64}, ValueError, "its sha256 hash is .* expected 0000"),
    ("/data.bin", {"fname": "a/b"}, ValueError, "name without folders"),
    ("/data.bin", {"file_hash": "0", "hash_algorithm": "crc"}, ValueError, "'md5' or 'sha256'"),
    ("/", {}, ValueError, "pass `fname`"),
])
def test_get_file_leaves_nothing_behind(server, tmp_path, page, options, error, message):
    with pytest.raises(error, match=message):
        nnc.utils.get_file(origin=server[0] + page, cache_dir=tmp_path, **options)
    assert not any(files for _, _, files in os.walk(tmp_path))


def test_get_file_unpacks(server, tmp_path):
    url, served = server
    for name in ("/a.tar.gz", "/a.zip"):
        raw = io.BytesIO()
        if name.endswith("zip"):
            with zipfile.ZipFile(raw, "w") as z:
                z.writestr("inner.txt", "hello")
        else:
            with tarfile.open(fileobj=raw, mode="w:gz") as t:
                info = tarfile.TarInfo("inner.txt")
                info.size = 5
                t.addfile(info, io.BytesIO(b"hello"))
        served[name] = raw.getvalue()
        folder = nnc.utils.get_file(origin=url + name, cache_dir=tmp_path, extract=True)
        assert open(os.path.join(folder, "inner.txt")).read() == "hello"
    with pytest.raises(ValueError, match="no archive"):
        nnc.utils.get_file(origin=url + "/data.bin", cache_dir=tmp_path, extract=True)


def test_get_file_refuses_to_unpack_outside(server, tmp_path):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as t:
        t.addfile(tarfile.TarInfo("../../evil"))
    server[1]["/evil.tar"] = raw.getvalue()
    with pytest.raises(ValueError, match="outside of its folder"):
        nnc.utils.get_file(origin=server[0] + "/evil.tar", cache_dir=tmp_path / "c", untar=True)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("folder", ["..", "../..", "a/../../b", "./../x"])
def test_get_file_stays_in_the_cache(server, tmp_path, folder):
    cache = tmp_path / "cache"
    with pytest.raises(ValueError, match="`cache_subdir` must lie in the cache folder"):
        nnc.utils.get_file("d", f"{server[0]}/data.bin", cache_dir=cache, cache_subdir=folder)
    assert not list(tmp_path.iterdir())


def test_get_file_goes_to_an_absolute_folder_and_to_one_within(server, tmp_path):
    url = f"{server[0]}/data.bin"
    outside, cache = tmp_path / "outside", tmp_path / "cache"
    assert nnc.utils.get_file("d", url, cache_dir=cache, cache_subdir=str(outside)) \
        == str(outside / "d")
    made = nnc.utils.get_file("d", url, cache_dir=cache, cache_subdir="a/../b")
    assert (cache / "b" / "d").samefile(made)
