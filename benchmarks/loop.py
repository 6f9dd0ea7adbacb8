"""What the training loop itself costs, in figures with a limit each.

    python benchmarks/loop.py                    # all; needs 8 GB of sparse file in a temp. folder
    python benchmarks/loop.py --only sources,hooks --json loop.json

sources    seconds of an epoch fed by a generator and by a PyDataset, over those fed by arrays
           (784-512-512-10, batches of 128): at most 1.10
hooks      microseconds a batch that a callback with both batch hooks adds: under 20
mapped     MB resident beyond the model while fit reads a memory-mapped file of 8 GB: under 200
rows       KiB that a million predict(x[:1]) add to resident memory: under 1024
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import nnc

BATCH = 128
LIMITS = {"generator": 1.10, "pydataset": 1.10, "hook_us": 20, "mapped_mb": 200, "rows_kib": 1024}


def status(name):
    """A line of /proc/self/status, in KiB."""
    with open("/proc/self/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(name + ":"))


def seconds(call):
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def network(*sizes):
    nnc.utils.set_random_seed(0)
    layers = [nnc.layers.Dense(n, activation="relu") for n in sizes[1:-1]]
    model = nnc.Sequential([nnc.Input(sizes[:1]), *layers,
                            nnc.layers.Dense(sizes[-1], activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Slices(nnc.utils.PyDataset):
    """Batches cut out of two arrays."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x) // BATCH

    def __getitem__(self, index):
        rows = slice(index * BATCH, (index + 1) * BATCH)
        return self.x[rows], self.y[rows]


def sources(repeats=9):
    """The ratio of two epochs that follow one another, its median: the machine's moods cancel."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(BATCH * 100, 784)).astype("float32"), rng.integers(0, 10, BATCH * 100)
    model, data = network(784, 512, 512, 10), Slices(x, y)
    ways = {
        "array": lambda: model.fit(x, y, batch_size=BATCH, verbose=0),
        "generator": lambda: model.fit((data[i] for i in range(len(data))), verbose=0),
        "pydataset": lambda: model.fit(data, verbose=0),
    }
    for way in ways.values():
        way()
    found = {"generator": [], "pydataset": []}
    for _ in range(repeats):
        times = {name: seconds(way) for name, way in ways.items()}
        times["array"] = (times["array"] + seconds(ways["array"])) / 2
        for name in found:
            found[name].append(times[name] / times["array"])
    return {name: statistics.median(values) for name, values in found.items()}


class Hooks(nnc.callbacks.Callback):
    """A callback with both hooks of batches."""

    def on_train_batch_begin(self, batch, logs=None):
        pass

    def on_train_batch_end(self, batch, logs=None):
        pass


def hooks(repeats=15, batches=2000):
    """The best of several runs with the callback, less the best without."""
    x = np.random.default_rng(0).normal(size=(32 * batches, 8)).astype("float32")
    y, model = np.arange(len(x)) % 3, network(8, 4, 3)
    best = {}
    for _ in range(repeats):
        for many in (0, 1):
            taken = seconds(lambda: model.fit(x, y, verbose=0, callbacks=[Hooks()] * many))
            best[many] = min(taken, best.get(many, taken))
    return {"hook_us": (best[1] - best[0]) / batches * 1e6}


def mapped():
    """The peak of resident memory of a process that trains from the file, less before `fit`."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.bin")
        rows = 8 * 2**30 // (784 * 4)
        with open(path, "wb") as f:
            f.truncate(rows * 784 * 4)
        done = subprocess.run([sys.executable, __file__, "--mapped", path, str(rows)],
                              check=True, capture_output=True, text=True)
    return {"mapped_mb": float(done.stdout)}


def mapped_here(path, rows):
    """An epoch in the file's order and 100 shuffled batches; prints MB beyond labels and model."""
    x = np.memmap(path, "float32", "r", shape=(rows, 784))
    y = np.zeros(rows, "int32")
    model = network(784, 16, 10)
    model.fit(x[:1000], y[:1000], verbose=0)
    before = status("VmRSS") + y.nbytes // 1024     # zeros take no memory before they are read
    model.fit(x, y, batch_size=256, shuffle=False, verbose=0)
    model.fit(x, y, batch_size=256, steps_per_epoch=100, verbose=0)
    print((status("VmHWM") - before) / 1024)


def rows(calls=1_000_000):
    """Resident memory after the calls, less that after a hundredth of them."""
    model, x = network(8, 4, 3), np.ones((8, 8), "float32")
    for i in range(calls):
        if i == calls // 100:
            before = status("VmRSS")
        model.predict(x[:1], verbose=0)
    return {"rows_kib": status("VmRSS") - before}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="sources,hooks,mapped,rows")
    parser.add_argument("--json", metavar="FILE", help="also write the figures as JSON")
    parser.add_argument("--mapped", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.mapped:
        mapped_here(options.mapped[0], int(options.mapped[1]))
        return 0
    works = {"sources": sources, "hooks": hooks, "mapped": mapped, "rows": rows}
    found = {}
    for name in options.only.split(","):
        if name not in works:
            parser.error(f"unknown figure {name!r}; known: {', '.join(works)}")
        found.update(works[name]())
    for name, value in found.items():
        print(f"{name:<10} {value:10.2f}   limit {LIMITS[name]:<6} "
              f"{'reached' if value <= LIMITS[name] else 'NOT REACHED'}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump(found, f, indent=2)
    return int(any(value > LIMITS[name] for name, value in found.items()))


if __name__ == "__main__":
    sys.exit(main())
