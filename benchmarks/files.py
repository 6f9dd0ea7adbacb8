"""Saving and loading a large model beside writing and reading the same bytes.

    python benchmarks/files.py [--megabytes 1024] [--repeats 3] [--folder DIR] [--cold]

"raw write" writes as many bytes as the model has in pieces of 4 MB and syncs them; "raw read" reads
a file of that size in such pieces into memory of that size. Saving and loading are timed in turns
with it, on the same disk; the best of the repeats counts. Files that are read are in the system's
memory; with `--cold` it has dropped them, and the disk is measured too. `load_model` makes its
model and takes memory anew, so it is compared with a raw read into fresh memory ("raw read, fresh").
"memory" is what the process took beyond the weights that it held before (for loading: beyond the
weights loaded).
"""
import argparse
import os
import sys
import tempfile
import threading
import time

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import nnc                                                                      # noqa: E402

PIECE = 4 << 20
NAMES = ("model.keras", "model.weights.h5", "model.npz", "model.safetensors")


def resident():
    """Bytes of memory that the process holds."""
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Peak:
    """The most memory held within a `with` block, looked at every 2 ms."""

    def __enter__(self):
        self.start = self.most = resident()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self):
        while not self._done.wait(0.002):
            self.most = max(self.most, resident())

    def __exit__(self, *exc):
        self._done.set()
        self._thread.join()

    @property
    def grown(self):
        return self.most - self.start


def raw_write(path, count, piece):
    with open(path, "wb", buffering=0) as f:
        for _ in range(count // len(piece)):
            f.write(piece)
        os.fsync(f.fileno())


def raw_read(path, memory):
    """Reads a file into memory; `None`: into memory that the system gives for it."""
    memory = np.empty(os.path.getsize(path), "uint8") if memory is None else memory
    view, at = memoryview(memory), 0
    with open(path, "rb", buffering=0) as f:
        while count := f.readinto(view[at:at + PIECE]):
            at += count


def forget(path):
    """Has the system drop a file from its memory: what reads it next reads the disk."""
    with open(path, "rb") as f:
        os.fsync(f.fileno())
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed(call, *arguments):
    with Peak() as peak:
        start = time.perf_counter()
        call(*arguments)
        seconds = time.perf_counter() - start
    return seconds, peak.grown


def make(megabytes):
    """A model of matrices of 64 MB."""
    layers = [nnc.layers.Dense(4096, use_bias=False) for _ in range(max(1, megabytes // 64))]
    return nnc.Sequential([nnc.Input((4096,)), *layers])


def calls(model, path):
    """How a file of that name is written, and how it is read."""
    if path.endswith(".keras"):
        return lambda: model.save(path), lambda: nnc.models.load_model(path)
    return lambda: model.save_weights(path), lambda: model.load_weights(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", default=None)
    parser.add_argument("--cold", action="store_true")
    options = parser.parse_args()
    model = make(options.megabytes)
    count = sum(w.size * 4 for w in model.weights)
    piece = np.random.default_rng(1).bytes(PIECE)
    memory = np.ones(count, "uint8")
    prepare = forget if options.cold else lambda path: None
    best, most = {}, {}

    def note(what, seconds, grown=0):
        best[what] = min(best.get(what, 1e9), seconds)
        most[what] = max(most.get(what, 0), grown)

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        raw = os.path.join(folder, "raw")
        for _ in range(options.repeats):
            note("raw write", *timed(raw_write, raw, count, piece))
            for what, into in (("raw read", memory), ("raw read, fresh", None)):
                prepare(raw)
                note(what, *timed(raw_read, raw, into))
            os.unlink(raw)
            for name in NAMES:
                path = os.path.join(folder, name)
                save, load = calls(model, path)
                note(f"save {name}", *timed(save))
                prepare(path)
                note(f"load {name}", *timed(load))
                os.unlink(path)
    print(f"{count / 1e6:.0f} MB of weights, best of {options.repeats}")
    for what, seconds in best.items():
        base = "raw write" if what.startswith(("raw write", "save")) else \
            "raw read, fresh" if what == "load model.keras" else "raw read"
        print(f"{what:24} {seconds:7.3f} s {count / seconds / 1e9:6.2f} GB/s "
              f"{best[base] / seconds:6.0%} of {base}, memory {most[what] / 1e6:7.0f} MB")


if __name__ == "__main__":
    main()
