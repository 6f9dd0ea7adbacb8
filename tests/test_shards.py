"""Weights in shards are one file to the reader: all old, or all new; and nothing is left over.

`NNC_KILLS=300` kills a writer three hundred times instead of thirty.
"""
import json
import os
import resource
import signal
import time

import numpy as np
import pytest

import nnc
from nnc import layers

pytest.importorskip("h5py")
LIMIT = 5e-6                                        # GB: a matrix of 32 x 32 a file


def model():
    return nnc.Sequential([nnc.Input((32,)), *(layers.Dense(32, use_bias=False)
                                               for _ in range(4))])


def save(made, path, value):
    made.set_weights([np.full((32, 32), value, "float32")] * 4)
    made.save_weights(path, max_shard_size=LIMIT)


def check(path, names=None):
    """The values of one save, in the files that the map names and no others."""
    again = model()
    again.load_weights(path)
    value = again.get_weights()[0][0, 0]
    assert all((w == value).all() for w in again.get_weights())
    if names is not None:
        with open(path) as f:
            used = {name for files in json.load(f)["weight_map"].values() for name in files}
        # Keras opens the first name before it reads the map: an empty file may stand there.
        assert set(os.listdir(names)) == used | {"m.weights.json", "m_00000.weights.h5"}
    return value


def test_saved_again_and_smaller(tmp_path):
    path, made = tmp_path / "m.weights.json", model()
    save(made, path, 1)
    assert check(path, tmp_path) == 1
    assert {f"m_{i:05}.weights.h5" for i in range(4)} <= set(os.listdir(tmp_path))
    save(made, path, 2)
    assert check(path, tmp_path) == 2
    made.save_weights(path, max_shard_size=1)
    assert check(path, tmp_path) == 2 and len(os.listdir(tmp_path)) == 3


def test_keras_reads_the_second_save(tmp_path):
    from tests.live import keras

    path, made = tmp_path / "m.weights.json", model()
    save(made, path, 1)
    save(made, path, 2)
    theirs = keras.Sequential([keras.Input((32,)), *(keras.layers.Dense(32, use_bias=False)
                                                     for _ in range(4))])
    theirs.load_weights(path)
    assert all((w == 2).all() for w in theirs.get_weights())
    theirs.save_weights(path, max_shard_size=LIMIT)
    assert check(path) == 2


def test_full_disk_leaves_the_old_ones(tmp_path):
    """A limit of a file's size stands for the disk that is full."""
    path, made = tmp_path / "m.weights.json", model()
    save(made, path, 1)
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, old[1]))
    try:
        with pytest.raises((OSError, RuntimeError, ValueError)):
            save(made, path, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, kept)
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before


def test_killed_while_saving(tmp_path):
    path, made = tmp_path / "m.weights.json", model()
    save(made, path, 0)
    draw = np.random.default_rng(6)
    for i in range(int(os.environ.get("NNC_KILLS", "30"))):
        child = os.fork()
        if child == 0:
            try:
                n = 1000 * i
                while True:
                    n += 1
                    save(made, path, n)
            finally:
                os._exit(1)
        time.sleep(draw.uniform(0.001, 0.05))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        check(path)
    save(made, path, -1)
    assert check(path, tmp_path) == -1
