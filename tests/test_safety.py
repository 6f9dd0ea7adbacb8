"""Files made to do harm: each is refused, by an exception that says which member and why, within
limits of time and memory, and nothing of it is run.
"""
import gc
import io
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import time
import warnings
import zipfile

import numpy as np
import pytest

import nnc
from nnc import layers, saving

h5py = pytest.importorskip("h5py")


def model():
    made = nnc.Sequential([nnc.Input((3,)), layers.Dense(2, name="dense")], name="m")
    made.compile("sgd", "mse")
    return made


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Name and bytes of the members of a good `.keras` file."""
    path = tmp_path_factory.mktemp("good") / "m.keras"
    model().save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


# ---- configurations ------------------------------------------------------------------------------

def layer(module, name, config, **more):
    return {"module": module, "class_name": name, "config": config, "registered_name": None, **more}


def function(module, name):
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


CODE = {"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None,
                                               "closure": None}}
ATTACKS = {
    # the layer Lambda with marshalled code, however it is named (CVE-2024-3660, CVE-2025-9905)
    "lambda": layer("keras.layers", "Lambda", {"name": "l", "function": CODE}),
    "lambda in an activation": layer("keras.layers", "Dense", {"units": 2, "activation": CODE}),
    # any module and any function of it (CVE-2025-1550)
    "os.system": layer("os", "system", {"command": "touch PWNED"}),
    "subprocess": layer("subprocess", "Popen", {"args": ["touch", "PWNED"]}),
    "builtins.eval": layer("builtins", "eval", {"source": "open('PWNED', 'w')"}),
    "function of os": layer("keras.layers", "Dense", {"units": 2, "activation": function(
        "os", "system")}),
    "numpy": layer("numpy", "load", {"file": "x.npy", "allow_pickle": True}),
    # functions of the package itself (CVE-2025-8747): downloads, file writers
    "get_file": layer("keras.utils", "get_file", {"origin": "file:///etc/passwd",
                                                  "fname": "PWNED"}),
    "get_file of nnc": layer("nnc.utils.file", "get_file", {"origin": "file:///etc/passwd"}),
    "function of keras": layer("keras.layers", "Dense", {"units": 2, "activation": function(
        "keras.utils", "get_file")}),
    "enable_unsafe": layer("keras.config", "enable_unsafe_deserialization", {}),
    "enable_unsafe 2": layer("keras.src.saving.serialization_lib",
                             "enable_unsafe_deserialization", {}),
    "load_model": layer("keras.models", "load_model", {"filepath": "other.keras"}),
    # other ways to a module
    "registered name": layer(None, "system", {}, ) | {"registered_name": "os>system"},
    "no module": {"class_name": "system", "config": {}},
    "dunder": layer("keras.layers", "__class__", {}),
    "typespec": {"class_name": "__typespec__", "config": {"class_name": "x"}},
    # TorchModuleWrapper reads a pickle (CVE-2025-49655); TFSMLayer loads a program (CVE-2026-1462)
    "torch": layer("keras.layers", "TorchModuleWrapper", {"module": "gASV"}),
    "tfsm": layer("keras.layers", "TFSMLayer", {"filepath": "/tmp/evil"}),
    # files read when a layer is made (CVE-2025-12058)
    "vocabulary": layer("keras.layers", "StringLookup", {"vocabulary": "/etc/passwd"}),
    # memory
    "units": layer("keras.layers", "Dense", {"units": 10**12}),
    "units 2": layer("keras.layers", "Dense", {"units": 10**8}),
    "strings": layer("keras.layers", "Dense", {"units": "x"}),
    "unknown arguments": layer("keras.layers", "Dense", {"units": 2, "evil": 1}),
    "config is a list": layer("keras.layers", "Dense", [1, 2]),
}


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_configurations(tmp_path, good, name, suffix, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = json.loads(good["config.json"])
    config["config"]["layers"][1] = ATTACKS[name]
    path = tmp_path / f"bad.{suffix}"
    if suffix == "keras":
        write(path, [(key, json.dumps(config) if key == "config.json" else data)
                     for key, data in good.items()])
    else:
        model().save(path)
        with h5py.File(path, "a") as file:
            file.attrs["model_config"] = json.dumps(config)
    with pytest.raises((ValueError, TypeError)) as caught:
        saving.load_model(path)
    assert str(caught.value)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("where", ["optimizer", "loss", "metrics"])
def test_compile_configurations(tmp_path, good, where):
    config = json.loads(good["config.json"])
    config["compile_config"][where] = layer("os", "system", {"command": "touch PWNED"})
    path = write(tmp_path / "bad.keras", [
        (key, json.dumps(config) if key == "config.json" else data) for key, data in good.items()])
    with pytest.raises((ValueError, TypeError), match="system"):
        saving.load_model(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"x"', "null", "[" * 100_000, '{"a":' * 500,
                                  '{"class_name": "Sequential"}', '{"class_name": 3, "config": 4}',
                                  '{"class_name": "Sequential", "config": {"name": 1}}', "\xff"])
def test_json(tmp_path, good, text):
    path = write(tmp_path / "bad.keras", [(key, text if key == "config.json" else data)
                                          for key, data in good.items()])
    with pytest.raises((ValueError, TypeError)):
        saving.load_model(path)


def test_importlib_is_not_used():
    root = os.path.dirname(saving.__file__)
    for name in os.listdir(root):
        if name.endswith(".py"):
            with open(os.path.join(root, name), encoding="utf-8") as f:
                text = f.read()
            for word in ("importlib", "__import__", "marshal", "import pickle", "eval(", "exec("):
                assert word not in text, (name, word)


# ---- archives ------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a\\..\\b", "C:evil", "a/../../b",
                                  "x\x01", "/".join("a" * 70)])
def test_names_of_members(tmp_path, good, name):
    path = write(tmp_path / "bad.keras", [*good.items(), (name, b"x")])
    with pytest.raises(ValueError, match="refused"):
        saving.load_model(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives(tmp_path, good):
    path = tmp_path / "bad.keras"
    cases = {"twice": [*good.items(), ("config.json", b"{}")],
             "10000 are allowed": [*good.items(), *((str(i), b"") for i in range(10_000))]}
    for text, members in cases.items():
        with pytest.raises(ValueError, match=text):
            saving.load_model(write(path, members))
    write(path, [*good.items(), ("bomb", bytes(400 << 20))], zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="'bomb' refused.*bomb"):
        saving.load_model(path)
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    write(path, [*good.items(), (link, b"/etc/passwd")])
    with pytest.raises(ValueError, match="'link' refused.*symbolic"):
        saving.load_model(path)
    for method, text in ((zipfile.ZIP_LZMA, "compression"), (zipfile.ZIP_BZIP2, "compression")):
        with pytest.raises(ValueError, match=text):
            saving.load_model(write(path, good.items(), method))
    saving.load_model(write(path, good.items(), zipfile.ZIP_DEFLATED))      # this one is allowed
    write(path, [(key, data) for key, data in good.items() if key != "model.weights.h5"])
    with pytest.raises(ValueError, match="no member 'model.weights.h5'"):
        saving.load_model(path)


def test_a_flipped_bit_of_the_weights_is_found(tmp_path, good):
    data = (write(tmp_path / "bad.keras", good.items())).read_bytes()
    at = data.index(good["model.weights.h5"]) + len(good["model.weights.h5"]) // 2
    (tmp_path / "bad.keras").write_bytes(data[:at] + bytes([data[at] ^ 16]) + data[at + 1:])
    with pytest.raises(ValueError, match="checksum"):
        saving.load_model(tmp_path / "bad.keras")


# ---- HDF5 ----------------------------------------------------------------------------------------

def _deep(file):
    group = file
    for _ in range(80):
        group = group.create_group("g")


def _circle(file):
    file["layers/again"] = file["layers"]


def _virtual(file):
    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (2,))
    file.create_virtual_dataset("v", layout)


def _plugin(file):
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((4,))
    plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
    h5py.h5d.create(file.id, b"z", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((4,)), plist)


HDF5 = {
    "ExternalLink": lambda f: f.__setitem__("l", h5py.ExternalLink("/etc/passwd", "/")),
    "SoftLink": lambda f: f.__setitem__("l", h5py.SoftLink("/layers")),
    "another file": lambda f: f.create_dataset("e", (8,), "u1", external=[("/etc/passwd", 0, 8)]),
    "virtual": _virtual,
    "shape .* bytes": lambda f: f.create_dataset("s", (1 << 40,), "f4"),
    "shape .* bytes ": lambda f: f.create_dataset("s", (1 << 40,), "f4", compression="gzip",
                                                  chunks=(1 << 16,)),
    "levels": _deep,
    "circle": _circle,
    "no numbers": lambda f: f.create_dataset("o", data=["a", "b"], dtype=h5py.string_dtype()),
    "filter 32015": _plugin,
}


@pytest.mark.parametrize("text", HDF5)
@pytest.mark.parametrize("kind", ["weights.h5", "h5", "keras"])
def test_hdf5(tmp_path, good, text, kind):
    data = io.BytesIO(good["model.weights.h5"])
    if kind == "h5":
        model().save(tmp_path / "m.h5")
        data = io.BytesIO((tmp_path / "m.h5").read_bytes())
    with h5py.File(data, "a") as file:
        file.require_group("layers")
        HDF5[text](file)
    path = tmp_path / f"bad.{kind}"
    if kind == "keras":
        write(path, [(key, data.getvalue() if key == "model.weights.h5" else value)
                     for key, value in good.items()])
    else:
        path.write_bytes(data.getvalue())
    with pytest.raises(ValueError, match=f"refused.*{text.strip()}"):
        model().load_weights(path)
    if kind != "weights.h5":
        with pytest.raises(ValueError, match=f"refused.*{text.strip()}"):
            saving.load_model(path)


def test_shards_stay_in_their_folder(tmp_path):
    (tmp_path / "m.weights.json").write_text(json.dumps(
        {"metadata": {}, "weight_map": {"/vars": ["../../etc/x.h5"]}}))
    with pytest.raises(ValueError, match="beside the map"):
        model().load_weights(tmp_path / "m.weights.json")


# ---- arrays --------------------------------------------------------------------------------------

def _tensors(header, data=b""):
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return struct.pack("<Q", len(text)) + text + data


SAFETENSORS = {
    "short": b"abc",
    "length": struct.pack("<Q", 1 << 60) + b"{}",
    "no json": _tensors(b"{]"),
    "list": _tensors([1]),
    "shape": _tensors({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4]}}, b"1234"),
    "negative": _tensors({"a": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}},
                         b"1234"),
    "overlap": _tensors({name: {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}
                         for name in "ab"}, b"1234"),
    "hole": _tensors({"a": {"dtype": "U8", "shape": [2], "data_offsets": [2, 4]}}, b"1234"),
    "rest": _tensors({"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}}, b"1234"),
    "dtype": _tensors({"a": {"dtype": "OBJ", "shape": [4], "data_offsets": [0, 4]}}, b"1234"),
    "floats": _tensors({"a": {"dtype": "U8", "shape": [4.0], "data_offsets": [0, 4]}}, b"1234"),
}


@pytest.mark.parametrize("name", SAFETENSORS)
def test_safetensors(tmp_path, name):
    (tmp_path / "m.safetensors").write_bytes(SAFETENSORS[name])
    with pytest.raises(ValueError, match="m.safetensors"):
        model().load_weights(tmp_path / "m.safetensors")


def test_npz(tmp_path):
    np.savez(tmp_path / "m.npz", a=np.array([{"a": 1}], object))
    with pytest.raises(ValueError, match="no numbers"):
        model().load_weights(tmp_path / "m.npz")
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"shape": (1 << 40,), "fortran_order": False,
                                                "descr": "<f4"})
    write(tmp_path / "m.npz", [("a.npy", head.getvalue() + b"1234")])
    with pytest.raises(ValueError, match="4 are stored"):
        model().load_weights(tmp_path / "m.npz")


# ---- random damage -------------------------------------------------------------------------------

FUZZ = '''
import os, random, resource, sys, time, warnings
warnings.simplefilter("ignore")
import nnc
from nnc import saving
kind, source, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
data = open(source, "rb").read()
def make():
    m = nnc.Sequential([nnc.Input((3,)), nnc.layers.Dense(2, name="dense")], name="m")
    m.compile("sgd", "mse")
    return m
def read(path):
    target.load_weights(path) if kind in ("weights.h5", "npz", "safetensors") else \\
        saving.load_model(path)
target = make()
path = source + ".bad." + kind
with open(path, "wb") as f:
    f.write(data)
read(path)
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
draw = random.Random(5)
refused = 0
for i in range(count):
    bad = bytearray(data)
    if draw.random() < 0.2:
        at = draw.randrange(len(bad))
        del bad[at:at + draw.choice((1, 8, 1 << 20))]
    else:
        for _ in range(draw.choice((1, 1, 4))):
            at = draw.randrange(len(bad)) if draw.random() < 0.5 else draw.randrange(
                min(len(bad), 3000))
            bad[at] = draw.choice((bad[at] ^ (1 << draw.randrange(8)), 0, 255))
    with open(path, "wb") as f:
        f.write(bad)
    start = time.process_time()
    try:
        read(path)
    except (ValueError, TypeError):
        refused += 1
    except BaseException as error:
        sys.exit(f"{i}: {type(error).__name__}: {error}")
    if time.process_time() - start > 3:
        sys.exit(f"{i}: took {time.process_time() - start:.1f} s")
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) >> 10
print(refused, grown)
'''


@pytest.mark.parametrize("kind, count, least", [("keras", 600, 0.75), ("weights.h5", 600, 0.2),
                                                ("h5", 300, 0.1), ("npz", 600, 0.75),
                                                ("safetensors", 1000, 0.3)])
def test_random_damage(tmp_path, kind, count, least):
    """Ends in `ValueError` or `TypeError`, or (values changed where no checksum is) in a model.

    least: the share that is refused at least; what is not lies in values without a checksum, or in
    fields of headers that say nothing (dates, versions).
    """
    made, path = model(), tmp_path / f"m.{kind}"
    (made.save if kind in ("keras", "h5") else made.save_weights)(path)
    done = subprocess.run([sys.executable, "-c", FUZZ, kind, str(path), str(count)],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    refused, grown = map(int, done.stdout.split())
    assert refused >= least * count
    assert grown < 300                              # MB: no damaged size was believed


# ---- killed while saving -------------------------------------------------------------------------

def saving_child(save, n):
    """A fork that saves again and again; its number, and a pipe that gets a byte before each."""
    starts, end = os.pipe()
    child = os.fork()
    if child == 0:
        gc.disable()                    # a collection would copy all pages of a large parent
        try:
            while True:
                n += 1
                os.write(end, b".")
                save(n)
        finally:
            os._exit(1)
    os.close(end)
    return child, starts


@pytest.mark.parametrize("suffix, kills", [("keras", 80), ("h5", 60), ("weights.h5", 60),
                                           ("npz", 50), ("safetensors", 50)])
def test_killed_while_saving(tmp_path, suffix, kills):
    """kill -9 at any moment leaves a whole file: all weights of one save; and no litter after it.

    Children share one start: each is a fork of a process that has imported everything. With the
    shards of test_shards.py they are more than 300.
    """
    size = 512                      # a megabyte: most of a save is writing, where kills shall come
    path = str(tmp_path / f"m.{suffix}")
    made = nnc.Sequential([nnc.Input((size,)), layers.Dense(size, use_bias=False,
                                                            kernel_initializer="zeros")])
    whole = suffix in ("keras", "h5")

    def save(value):
        made.set_weights([np.full((size, size), value, "float32")])
        (made.save if whole else made.save_weights)(path)

    save(0)
    begin = time.perf_counter()
    save(0)
    took = time.perf_counter() - begin
    draw, cut = np.random.default_rng(6), 0
    for i in range(kills):
        child, starts = saving_child(save, 1000 * i)
        for _ in range(3):      # the first saves of a fork take long: it copies each page it touches
            os.read(starts, 1)
        time.sleep(draw.uniform(0, took))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(starts)
        cut += len(os.listdir(tmp_path)) > 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")                 # the model was not compiled
            again = saving.load_model(path) if whole else made
        if not whole:
            again.load_weights(path)
        values = again.get_weights()[0]
        assert (values == values[0, 0]).all()
    assert cut > 0                                          # kills came within saves
    save(-1)
    assert os.listdir(tmp_path) == [f"m.{suffix}"]


@pytest.mark.parametrize("suffix", ["keras", "weights.h5", "h5", "npz", "safetensors"])
def test_full_disk_leaves_the_old_file(tmp_path, suffix):
    """A limit of the file's size stands for the disk that is full."""
    path, made = tmp_path / f"m.{suffix}", model()
    save = made.save if suffix in ("keras", "h5") else made.save_weights
    save(path)
    before = path.read_bytes()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, old[1]))
    try:
        with pytest.raises((OSError, RuntimeError, ValueError)):
            save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, kept)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]
