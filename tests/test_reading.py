"""Files read straight into the memory of variables: the same values as by the way through arrays,
whatever the dtype and the layout; what is damaged is refused.
"""
import os
import zlib

import numpy as np
import pytest

import nnc
from nnc import _core, layers, saving

BYTES = (9 << 20) + 77                              # three pieces of the reader, the last one short


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("read") / "data"
    path.write_bytes(np.random.default_rng(0).bytes(BYTES))
    return path


def test_checksums_are_those_of_zlib(data):
    whole = data.read_bytes()
    for begin, end in ((0, 0), (0, 1), (1, 64), (3, 200), (0, BYTES), (7, 1 << 20)):
        part = whole[begin:end]
        assert _core.crc32(part) == zlib.crc32(part)
        assert _core.crc32(part, 12345) == zlib.crc32(part, 12345)
        assert _core.crc32_join(zlib.crc32(whole[:begin]), zlib.crc32(part), len(part)) == \
            zlib.crc32(whole[:end])


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_read_file(data, threads):
    before = _core.get_num_threads()
    _core.set_num_threads(threads)
    try:
        whole = data.read_bytes()
        with open(data, "rb") as f:
            for begin, count in ((0, 4), (8, BYTES // 4 - 2), (4 << 20, 1 << 20)):
                part = whole[begin:begin + 4 * count]
                variable = _core.Variable(np.zeros(count, "int32"))
                assert _core.read_file(f.fileno(), begin, len(part), variable) == zlib.crc32(part)
                assert variable.numpy().tobytes() == part
                assert _core.read_file(f.fileno(), begin, len(part)) == zlib.crc32(part)
                assert _core.read_file(f.fileno(), begin, len(part), variable, False) is None
    finally:
        _core.set_num_threads(before)


REFUSED = [
    (lambda f, v: _core.read_file(f, 0, 8, v), ValueError, "exactly 8 bytes"),
    (lambda f, v: _core.read_file(f, BYTES - 3, 4, v), ValueError, "the file ends before 4 bytes"),
    (lambda f, v: _core.read_file(f, -1, 4, v), ValueError, "offset=-1"),
    (lambda f, v: _core.read_file(f, 1 << 62, 4, v), ValueError, "the file ends"),
    (lambda f, v: _core.read_file(f, (1 << 63) - 1, 4, v), MemoryError, None),
    (lambda f, v: _core.read_file(-1, 0, 4, v), ValueError, "cannot be read"),
    (lambda f, v: _core.read_file(f, 0, 4, np.zeros(1)), TypeError, "a Variable or None"),
    (lambda f, v: _core.read_file(f, 0, 4, _core.Variable(np.zeros(4, bool))), ValueError,
     "of numbers"),
    (lambda f, v: _core.zeros((1 << 40, 1 << 40), "float32"), MemoryError, "too large"),
]


@pytest.mark.parametrize("i", range(len(REFUSED)))
def test_refusals(data, i):
    call, error, text = REFUSED[i]
    with open(data, "rb") as f, pytest.raises(error, match=text):
        call(f.fileno(), _core.Variable(np.zeros(1, "int32")))


def test_traces_and_tapes(data):
    variable = nnc.Variable(np.array([3.0], "float32"))
    with open(data, "rb") as f:
        with nnc.GradientTape() as tape:
            y = variable * variable
            _core.read_file(f.fileno(), 0, 4, variable)
        assert tape.gradient(y, variable).numpy() == [6.0]      # of the value at that time
        with pytest.raises(_core.TraceError), _core.Graph():
            _core.read_file(f.fileno(), 0, 4, variable)


def test_memory_that_fails(data):
    with open(data, "rb") as f:
        _core.read_file(f.fileno(), 0, BYTES)
        live = _core.alloc_stats()["live_blocks"]
        for n in (1, 2):
            _core.alloc_fail_at(n)
            with pytest.raises(MemoryError):
                _core.read_file(f.fileno(), 0, BYTES)
        assert _core.alloc_stats()["live_blocks"] == live
        _core.alloc_fail_at(1)
        with pytest.raises(MemoryError):
            _core.zeros((1000, 1000), "float32")
        assert _core.alloc_stats()["live_blocks"] == live


# ---- through the formats -------------------------------------------------------------------------

SHAPE = (160, 130)                                  # large enough to be read past HDF5
DTYPES = ["float32", "float64", "float16", "bfloat16", "int8", "int32", "uint8", "bool"]


class Holder(layers.Layer):
    def __init__(self, dtypes=DTYPES, **kwargs):
        super().__init__(**kwargs)
        self.dtypes = list(dtypes)

    def build(self, shape):
        for i, name in enumerate(self.dtypes):
            self.add_weight((4, *SHAPE), "zeros", name, trainable=False, name=f"w{i}")
        self.built = True

    def call(self, x):
        return x

    def get_config(self):
        return {**super().get_config(), "dtypes": self.dtypes}


def model(dtypes=DTYPES):
    return nnc.Sequential([nnc.Input((2,)), Holder(dtypes, name="holder"),
                           layers.Dense(300, name="a"), layers.Dense(300, name="b")])


def filled():
    made, draw = model(), np.random.default_rng(1)
    made.set_weights([draw.integers(0, 2 if w.dtype == "bool" else 100, w.shape)
                      for w in made.get_weights()])
    return made


def bits(made):
    return [w.tobytes() for w in made.get_weights()]


@pytest.mark.parametrize("suffix", ["keras", "h5", "weights.h5", "npz", "safetensors"])
def test_every_dtype(tmp_path, suffix):
    made, path = filled(), tmp_path / f"m.{suffix}"
    if suffix in ("keras", "h5"):
        made.save(path)
        again = saving.load_model(path, {"Holder": Holder}, compile=False)
        assert bits(again) == bits(made)
    else:
        made.save_weights(path)
    if suffix != "keras":
        again = model()
        again.load_weights(path)
        assert bits(again) == bits(made)


@pytest.mark.parametrize("suffix", ["weights.h5", "npz", "safetensors"])
def test_other_dtypes_are_converted(tmp_path, suffix):
    made, path = model(["float64", "float32", "int32"]), tmp_path / f"m.{suffix}"
    made.set_weights([np.full(w.shape, 3) for w in made.get_weights()])
    made.save_weights(path)
    again = model(["float32", "bfloat16", "int8"])
    again.load_weights(path)
    assert all((w == 3).all() for w in again.get_weights())


def test_other_layouts(tmp_path):
    """Big-endian, compressed, chunked, and in Fortran's order: read by way of an array."""
    h5py = pytest.importorskip("h5py")
    made = nnc.Sequential([nnc.Input((160,)), layers.Dense(160, use_bias=False)])
    value = np.random.default_rng(2).random((160, 160), dtype="float32")
    for options in ({"dtype": ">f4"}, {"compression": "gzip"}, {"chunks": (16, 16)}, {}):
        with h5py.File(tmp_path / "m.weights.h5", "w") as f:
            group = f.create_group("layers/dense/vars")
            group.create_dataset("0", data=value, **options)
        made.set_weights([np.zeros((160, 160))])
        made.load_weights(tmp_path / "m.weights.h5")
        np.testing.assert_array_equal(made.get_weights()[0], value)
    for array in (value.astype(">f4"), np.asfortranarray(value), value.astype("f8"), value):
        np.savez(tmp_path / "m.npz", kernel=array)
        made.set_weights([np.zeros((160, 160))])
        made.load_weights(tmp_path / "m.npz")
        np.testing.assert_array_equal(made.get_weights()[0], value)


@pytest.mark.parametrize("suffix", ["keras", "npz"])
def test_flipped_bits_are_found(tmp_path, suffix):
    """In what is read into the weights, and in what lies between."""
    made = nnc.Sequential([nnc.Input((300,)), layers.Dense(300), layers.Dense(300)])
    path, keep = tmp_path / f"m.{suffix}", bits(made)
    (made.save if suffix == "keras" else made.save_weights)(path)
    whole = path.read_bytes()
    first = whole.find(b"\x89HDF") if suffix == "keras" else 200
    for at in range(first, len(whole) - 2000, len(whole) // 23):
        bad = bytearray(whole)
        bad[at] ^= 4
        path.write_bytes(bad)
        with pytest.raises(ValueError, match="checksum|damaged|CRC"):
            saving.load_model(path) if suffix == "keras" else made.load_weights(path)
        with pytest.raises(ValueError):
            made.load_weights(path)
        assert bits(made) == keep
    path.write_bytes(whole)
    made.load_weights(path)


def test_weights_of_a_file_are_not_drawn_first(tmp_path):
    """Large ones have the file's values or, where the file has none, those of their initializer."""
    made = nnc.Sequential([nnc.Input((300,)), layers.Dense(300), layers.Dense(300, name="hidden")])
    made.save(tmp_path / "m.keras")
    drawn = []
    call = nnc.initializers.GlorotUniform.__call__

    def noted(self, shape, dtype=None):
        drawn.append(tuple(shape))
        return call(self, shape, dtype)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nnc.initializers.GlorotUniform, "__call__", noted)
        again = saving.load_model(tmp_path / "m.keras")
        assert drawn == [] and bits(again) == bits(made)
        assert type(again.layers[0].kernel.initializer).__name__ == "GlorotUniform"
        patch.setattr(layers.Dense, "load_own_variables",
                      lambda self, store: None if self.name == "hidden" else
                      layers.Layer.load_own_variables(self, store))
        layers.Dense.load_own_variables.__module__ = "nnc.tests"
        again = saving.load_model(tmp_path / "m.keras")
        assert drawn == [(300, 300)]
        assert again.layers[1].kernel.numpy().std() > 0.01


def test_open_files_and_pipes(tmp_path):
    import gzip
    import io

    made = nnc.Sequential([nnc.Input((300,)), layers.Dense(300)])
    made.save(tmp_path / "m.keras")
    data = (tmp_path / "m.keras").read_bytes()
    (tmp_path / "m.gz").write_bytes(gzip.compress(data, 1))
    for f in (io.BytesIO(data), open(tmp_path / "m.keras", "rb"), gzip.open(tmp_path / "m.gz"),
              open(tmp_path / "m.keras", "rb", buffering=0)):
        with f:
            assert bits(saving.load_model(f)) == bits(made)
    assert os.path.getsize(tmp_path / "m.keras") == len(data)
