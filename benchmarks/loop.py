"""What the training loop itself costs, in figures with a limit each.

    python benchmarks/loop.py                    # all; needs 8 GB of sparse file in a temp. folder
    python benchmarks/loop.py --only sources,hooks --json loop.json

sources    seconds of an epoch fed by a generator and by a PyDataset, over those fed by arrays
           (784-512-512-10, batches of 128): at most 1.10
hooks      microseconds a batch that a callback with both batch hooks adds: under 20
mapped     MB resident beyond the model while fit reads a memory-mapped file of 8 GB: under 200
rows       KiB that a million predict(x[:1]) add to resident memory: under 1024
predicted  the largest share by which the peak memory that summary(detail=True) tells of fit and of
           predict differs from what a process takes, over dense and convolutional models: 0.10
large      GB resident while a stack of dense layers with 302 million parameters, rematerialized,
           with Adam and accumulated gradients, takes two steps: under 12
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
LIMITS = {"generator": 1.10, "pydataset": 1.10, "hook_us": 20, "mapped_mb": 200, "rows_kib": 1024,
          "predicted": 0.10, "large_gb": 12}


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
        return {"mapped_mb": here("mapped", path, rows) / 1024}


def mapped_here(path, rows):
    """An epoch in the file's order and 100 shuffled batches; KiB beyond labels and model."""
    rows = int(rows)
    x = np.memmap(path, "float32", "r", shape=(rows, 784))
    y = np.zeros(rows, "int32")
    model = network(784, 16, 10)
    model.fit(x[:1000], y[:1000], verbose=0)
    before = status("VmRSS") + y.nbytes // 1024     # zeros take no memory before they are read
    model.fit(x, y, batch_size=256, shuffle=False, verbose=0)
    model.fit(x, y, batch_size=256, steps_per_epoch=100, verbose=0)
    return status("VmHWM") - before


def rows(calls=1_000_000):
    """Resident memory after the calls, less that after a hundredth of them."""
    model, x = network(8, 4, 3), np.ones((8, 8), "float32")
    for i in range(calls):
        if i == calls // 100:
            before = status("VmRSS")
        model.predict(x[:1], verbose=0)
    return {"rows_kib": status("VmRSS") - before}


# Shape of a row, numbers a target, and what makes the layers, of the models of `predicted`.
MODELS = {
    "dense": ((1500,), 1500, lambda L: [L.Dense(3000, activation="relu"), L.Dense(1500)]),
    "rows": ((1000,), 10, lambda L: [L.Dense(1000, activation="relu"), L.Dropout(0.3), L.Dense(10)]),
    "conv": ((32, 32, 3), 10, lambda L: [
        L.Conv2D(32, 3, activation="relu"), L.MaxPooling2D(), L.Conv2D(64, 3),
        L.BatchNormalization(), L.Flatten(), L.Dense(10)]),
}
PREDICTED = [("dense", 256, "fit"), ("dense", 256, "predict"), ("rows", 8192, "fit"),
             ("conv", 256, "fit"), ("conv", 256, "predict")]


def made(name):
    shape, _, layers = MODELS[name]
    model = nnc.Sequential([nnc.Input(shape), *layers(nnc.layers)])
    model.compile("adam", "mse")
    return model


def here(*arguments):
    """The number that this file prints in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--here", *map(str, arguments)], check=True,
                          capture_output=True, text=True)
    return float(done.stdout)


def predicted():
    """Each model is trained, or predicts, in a process of its own."""
    from nnc.costs import model_costs

    worst = 0.0
    for name, rows, what in PREDICTED:
        found = model_costs(made(name), rows)
        told = found.train_bytes if what == "fit" else found.predict_bytes
        ratio = here("predicted", name, rows, what) * 1024 / told
        print(f"  {name}, batches of {rows}, {what}: {told / 2**20:.1f} MB told, {ratio:.3f} of it taken")
        worst = max(worst, abs(ratio - 1))
    return {"predicted": worst}


def predicted_here(name, rows, what):
    """KiB at the peak of `fit` or `predict`, beyond the data, the outputs and Python."""
    small, rows = network(8, 4, 3), int(rows)
    small.fit(np.ones((64, 8)), np.ones(64), verbose=0)
    small.predict(np.ones((600, 8)), verbose=0)
    shape, numbers, _ = MODELS[name]
    x, y = (np.ones((2 * max(rows, 512), *part), "float32") for part in (shape, (numbers,)))
    before = status("VmRSS")
    model = made(name)
    if what == "fit":
        model.fit(x, y, batch_size=rows, verbose=0)
    else:
        before += model.predict(x, batch_size=rows, verbose=0).nbytes / 1024
    return status("VmHWM") - before


def large():
    return {"large_gb": here("large") / 2**20}


def large_here(width=4096, depth=18, batch=256):
    """KiB at the peak of two steps of 18 layers of 4096 units, an update in every second."""
    layers = nnc.layers
    with nnc.RematScope("full"):
        model = nnc.Sequential([nnc.Input((width,)), *(layers.Dense(width, activation="relu")
                                                       for _ in range(depth))])
    model.compile(nnc.optimizers.Adam(1e-4, gradient_accumulation_steps=2), "mse")
    x = np.random.default_rng(0).normal(size=(2 * batch, width)).astype("float32")
    model.fit(x, x, batch_size=batch, verbose=0)
    return status("VmHWM")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="sources,hooks,mapped,rows,predicted,large")
    parser.add_argument("--json", metavar="FILE", help="also write the figures as JSON")
    parser.add_argument("--here", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        own = {"mapped": mapped_here, "predicted": predicted_here, "large": large_here}
        print(own[options.here[0]](*options.here[1:]))
        return 0
    works = {"sources": sources, "hooks": hooks, "mapped": mapped, "rows": rows,
             "predicted": predicted, "large": large}
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
