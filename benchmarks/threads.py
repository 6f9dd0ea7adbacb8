"""Training on different numbers of threads, beside each other in one process.

    python benchmarks/threads.py [--threads 1,2,3,8] [--work 784-512-512-10] [--batch 128] [--rounds 5]

A round fits once on each number of threads, one after the other; the median of the rounds counts. More
threads than processors must not collapse, and the weights must be the same bits on any number.
"""

import argparse
import hashlib
import statistics
import time

import numpy as np

import nnc as keras
from nnc import _core


def new_model(sizes):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((sizes[0],))]
        + [keras.layers.Dense(n, activation="relu") for n in sizes[1:-1]]
        + [keras.layers.Dense(sizes[-1], activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def digest(model):
    """Of the bits of all weights."""
    total = hashlib.sha256()
    for weight in model.get_weights():
        total.update(np.ascontiguousarray(weight).tobytes())
    return total.hexdigest()[:16]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", default="1,2,3,8")
    parser.add_argument("--work", default="784-512-512-10", help="layer sizes")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rows", type=int, default=12800)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    sizes = [int(size) for size in options.work.split("-")]
    counts = [int(count) for count in options.threads.split(",")]
    random = np.random.default_rng(0)
    x = random.random((options.rows, sizes[0]), dtype=np.float32)
    y = random.integers(0, sizes[-1], options.rows)
    models = {count: new_model(sizes) for count in counts}
    rates = {count: [] for count in counts}
    usual = _core.get_num_threads()
    for turn in range(options.rounds + 1):              # the first one warms up
        for count, model in models.items():
            _core.set_num_threads(count)
            keras.utils.set_random_seed(turn)           # the same order of rows for all
            start = time.perf_counter()
            model.fit(x, y, batch_size=options.batch, epochs=1, verbose=0)
            if turn:
                rates[count].append(options.rows / (time.perf_counter() - start))
    _core.set_num_threads(usual)
    print(f"{options.work}, batch {options.batch}, {usual} processors' worth of threads by default")
    best = statistics.median(rates[min(counts, key=lambda count: abs(count - usual))])
    for count in counts:
        rate = statistics.median(rates[count])
        print(f"{count:3d} threads: {rate:10.0f} samples/s, {100 * rate / best:4.0f} % of {usual} threads', "
              f"weights {digest(models[count])}")


if __name__ == "__main__":
    main()
