"""Archives that are not to be trusted, sounds, and data sets for other libraries."""
import io
import os
import stat
import tarfile
import wave
import zipfile

import numpy as np
import pytest

import nnc
from nnc.utils import archives
from nnc.utils.audio import read_wav


def tar_of(*members):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as t:
        for name, options in members:
            info = tarfile.TarInfo(name)
            for key, value in options.items():
                setattr(info, key, value)
            t.addfile(info, io.BytesIO(bytes(info.size)))
    return raw.getvalue()


def zip_of(*members):
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as z:
        for name, mode, data in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            z.writestr(info, data, zipfile.ZIP_DEFLATED)
    return raw.getvalue()


GOOD = ("good", {"size": 3})
SYM, HARD = {"type": tarfile.SYMTYPE}, {"type": tarfile.LNKTYPE}
BAD = {
    "tar parent": (tar_of(GOOD, ("a/../../x", {})), "'a/../../x'.*outside"),
    "tar absolute": (tar_of(GOOD, ("/tmp/x", {})), "outside"),
    "tar drive": (tar_of(GOOD, ("c:\\x", {})), "outside"),
    "tar link out": (tar_of(GOOD, ("x", {**SYM, "linkname": "../../etc"})), "not safe"),
    "tar absolute link": (tar_of(GOOD, ("x", {**SYM, "linkname": "/etc"})), "not safe"),
    "tar hard link": (tar_of(GOOD, ("x", {**HARD, "linkname": "../../x"})), "not safe"),
    "tar behind link": (tar_of(GOOD, ("x", {**SYM, "linkname": "."}), ("x/y", {})), "behind"),
    "tar device": (tar_of(GOOD, ("x", {"type": tarfile.CHRTYPE})), "not safe"),
    "tar pipe": (tar_of(GOOD, ("x", {"type": tarfile.FIFOTYPE})), "not safe"),
    "zip parent": (zip_of(("good", 0, b"x"), ("../x", 0, b"x")), "outside"),
    "zip absolute": (zip_of(("good", 0, b"x"), ("/x", 0, b"x")), "outside"),
    "zip link": (zip_of(("good", 0, b"x"), ("x", stat.S_IFLNK, b"/etc/passwd")), "link"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_archives_are_not_unpacked(tmp_path, case):
    """Nothing of them is written, the good member before the bad one included."""
    data, message = BAD[case]
    path, folder = tmp_path / "a", tmp_path / "in" / "out"
    path.write_bytes(data)
    folder.parent.mkdir()
    with pytest.raises(ValueError, match=message):
        archives.unpack(str(path), str(folder), "auto")
    assert os.listdir(folder.parent) == [] and sorted(os.listdir(tmp_path)) == ["a", "in"]


@pytest.mark.parametrize("make", [
    lambda n: tar_of(("big", {"size": n})), lambda n: zip_of(("big", 0, bytes(n)))])
def test_archives_out_of_proportion(tmp_path, monkeypatch, make):
    """Zeros shrink about a thousand times; the limits are set low, not the archive large."""
    (tmp_path / "a").write_bytes(make(1 << 22))
    monkeypatch.setattr(archives, "_SMALL", 1 << 23)
    archives.unpack(str(tmp_path / "a"), str(tmp_path / "small"), "auto")
    assert (tmp_path / "small" / "big").stat().st_size == 1 << 22
    monkeypatch.setattr(archives, "_SMALL", 1 << 21)
    with pytest.raises(ValueError, match="would unpack to 4,194,304"):
        archives.unpack(str(tmp_path / "a"), str(tmp_path / "out"), "auto")
    monkeypatch.setattr(archives, "_RATIO", 1 << 20)
    monkeypatch.setattr(archives, "_MEMBERS", 0)
    with pytest.raises(ValueError, match="more than 0 members"):
        archives.unpack(str(tmp_path / "a"), str(tmp_path / "out"), "auto")
    assert not (tmp_path / "out").exists()


def test_unpacking_that_fails_leaves_no_folder(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(zip_of(("x", 0, b"x"), ("y", 0, b"y")))

    def stops(self, place):
        self.extract("x", place)
        raise KeyboardInterrupt
    monkeypatch.setattr(zipfile.ZipFile, "extractall", stops)
    with pytest.raises(KeyboardInterrupt):
        archives.unpack(str(tmp_path / "a"), str(tmp_path / "out"), "zip")
    assert os.listdir(tmp_path) == ["a"]


def test_links_within_are_kept(tmp_path):
    (tmp_path / "a").write_bytes(tar_of(("d/x", {"size": 3}), ("l", {**SYM, "linkname": "d/x"})))
    archives.unpack(str(tmp_path / "a"), str(tmp_path / "out"), "tar")
    assert (tmp_path / "out" / "l").stat().st_size == 3


# ---- sounds --------------------------------------------------------------------------------------

def write_wav(path, values, width=2, rate=8000, channels=1):
    with wave.open(str(path), "wb") as f:
        f.setnchannels(channels)
        f.setsampwidth(width)
        f.setframerate(rate)
        sign = 128 if width == 1 else 0
        f.writeframes(b"".join(int(v + sign).to_bytes(width, "little", signed=width > 1)
                               for v in values))


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_wav_of_each_width(tmp_path, width):
    top = 2 ** (8 * width - 1)
    values = [0, 1, -1, top // 2, -top, top - 1]
    write_wav(tmp_path / "a.wav", values, width, channels=2)
    x, rate = read_wav(tmp_path / "a.wav")
    assert rate == 8000 and x.shape == (3, 2) and x.dtype == "float32"
    np.testing.assert_array_equal(x.ravel(), (np.array(values) / top).astype("float32"))


@pytest.fixture
def sounds(tmp_path):
    for i, name in enumerate(("cat/a", "cat/b", "dog/c")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_wav(tmp_path / f"{name}.wav", range(10 * i, 10 * i + 4 + i), rate=8000)
    return tmp_path


@pytest.mark.parametrize("options", [
    {"batch_size": 2}, {"batch_size": 3, "label_mode": "categorical"},
    {"batch_size": 2, "output_sequence_length": 5}, {"batch_size": None, "label_mode": None}],
    ids=str)
def test_audio_dataset_as_in_keras(sounds, options):
    keras = pytest.importorskip("keras")
    ours, theirs = (k.utils.audio_dataset_from_directory(str(sounds), shuffle=False, verbose=False,
                                                         **options) for k in (nnc, keras))
    assert ours.class_names == (theirs.class_names or ["cat", "dog"])      # Keras: none unlabelled
    batches = list(theirs)
    assert len(ours) == len(batches)
    for a, b in zip(ours, batches):
        for mine, other in zip(nnc.tree.flatten(a), nnc.tree.flatten(b)):
            np.testing.assert_array_equal(mine, other.numpy())


def test_audio_dataset_more(sounds):
    make = nnc.utils.audio_dataset_from_directory
    x, _ = make(sounds, ragged=True, shuffle=False, verbose=False)[0]
    assert x.dtype == object and [part.shape for part in x] == [(4, 1), (5, 1), (6, 1)]
    pytest.importorskip("scipy")
    assert make(sounds, sampling_rate=16000, verbose=False)[0][0].shape == (3, 12, 1)
    for options, message in (({"sampling_rate": 0}, "sampling_rate=0"),
                             ({"ragged": True, "output_sequence_length": 3}, "have one length"),
                             ({"output_sequence_length": 1.5}, "output_sequence_length=1.5")):
        with pytest.raises(ValueError, match=message):
            make(sounds, verbose=False, **options)
    (sounds / "cat" / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(ValueError, match="a.wav is no WAV file"):
        list(make(sounds, verbose=False))


# ---- other data sets -----------------------------------------------------------------------------

def test_formats():
    make = nnc.utils.timeseries_dataset_from_array
    assert len(make(np.arange(10), None, 3, format="tf")[0]) == 8
    for make in (make, nnc.utils.image_dataset_from_directory,
                 nnc.utils.text_dataset_from_directory):
        more = (None, 3) if make is nnc.utils.timeseries_dataset_from_array else ()
        with pytest.raises(NotImplementedError, match="grain"):
            make(np.arange(10) if more else "x", *more, format="grain")
        with pytest.raises(ValueError, match="format='tff'"):
            make(np.arange(10) if more else "x", *more, format="tff")


@pytest.mark.parametrize("backend", [None, "nnc", "tensorflow", "torch"])
def test_split_dataset_for_a_backend(backend):
    if backend in ("tensorflow", "torch"):
        pytest.importorskip(backend)
    x, y = np.arange(20.0).reshape(10, 2), np.arange(10)
    left, right = nnc.utils.split_dataset((x, y), left_size=0.7, preferred_backend=backend)
    if backend in ("tensorflow", "torch"):
        assert (len(left), len(right)) == (7, 3)
        a, b = next(iter(right))
        assert a.numpy().tolist() == [14.0, 15.0] and int(b) == 7
    else:
        np.testing.assert_array_equal(right[0], x[7:])
    with pytest.raises(ValueError, match="preferred_backend='mxnet'"):
        nnc.utils.split_dataset(x, 0.5, preferred_backend="mxnet")


@pytest.mark.parametrize("shape, size, options", [
    ((7, 12, 3), (4, 4), {}), ((2, 5, 9, 1), (6, 3), {"interpolation": "nearest"}),
    ((2, 3, 8, 5), (4, 6), {"data_format": "channels_first"}),
    ((6, 6, 1), (9, 3), {"interpolation": "bilinear"})], ids=str)
def test_smart_resize_as_in_keras(shape, size, options):
    keras = pytest.importorskip("keras")
    x = np.random.default_rng(0).random(shape).astype("float32")
    ours, theirs = (k.preprocessing.image.smart_resize(x, size, **options) for k in (nnc, keras))
    # The resizes themselves agree within 1e-5 (test_image.py).
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    with pytest.raises(ValueError, match="tuple of 2"):
        nnc.preprocessing.image.smart_resize(x, (3, 3, 3))
