"""Preprocessing of strings beside Keras on TensorFlow: milliseconds, the median of several runs.

    python benchmarks/preprocessing.py [--runs 5] [--no-keras]

A million short strings through Hashing, StringLookup (a vocabulary of 100,000) and its `adapt`;
10,000 texts of about 230 words through TextVectorization and its `adapt`. What comes in are NumPy
arrays of str objects; Keras is given these too, and tensors of strings that were made beforehand.
"""
import argparse
import os
import statistics
import time

import numpy as np


def tokens(count, kinds, rng):
    """Strings, the frequent ones short."""
    return np.array([f"token{k}" for k in np.minimum(rng.zipf(1.2, count), kinds)], object)


def texts(count, rng):
    """Sentences with punctuation and capitals."""
    made = []
    for length in rng.poisson(230, count):
        words = [f"w{k}" for k in np.minimum(rng.zipf(1.25, length), 50000)]
        words[::9] = [word.capitalize() + "," for word in words[::9]]
        made.append(" ".join(words) + ".")
    return np.array(made, object)


def median(run, runs):
    """Milliseconds."""
    run()
    took = []
    for _ in range(runs):
        begin = time.perf_counter()
        run()
        took.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(took)


def cases(layers, many, reviews):
    """Name of each measurement, and what makes a function of its input."""
    vocabulary = [f"token{k}" for k in range(1, 100000)]
    lookup, hashing = layers.StringLookup(vocabulary=vocabulary), layers.Hashing(100000)
    vectorize = layers.TextVectorization(max_tokens=20000, output_sequence_length=200)
    vectorize.adapt(reviews)
    counts = layers.TextVectorization(max_tokens=2000, output_mode="tf_idf")
    counts.adapt(reviews)

    def adapt(make):
        return lambda data: make().adapt(data)
    return {
        "Hashing, 1,000,000 strings": (hashing, many),
        "StringLookup, 1,000,000 strings": (lookup, many),
        "StringLookup.adapt, 1,000,000 strings": (adapt(layers.StringLookup), many),
        "TextVectorization, 10,000 texts": (vectorize, reviews),
        "TextVectorization tf_idf, 10,000 texts": (counts, reviews),
        "TextVectorization.adapt, 10,000 texts": (adapt(layers.TextVectorization), reviews),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-keras", action="store_true", help="nnc alone")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error(f"--runs must be >= 1. Received: {options.runs}")
    import nnc

    rng = np.random.default_rng(0)
    many, reviews = tokens(1_000_000, 200_000, rng), texts(10_000, rng)
    ours = cases(nnc.layers, many, reviews)
    theirs = {}
    if not options.no_keras:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ["KERAS_BACKEND"] = "tensorflow"
        import keras
        import tensorflow as tf

        theirs = cases(keras.layers, many, reviews)
    print(f"{'':42}{'nnc':>10}" + (f"{'Keras':>10}{'of tensors':>12}" if theirs else ""))
    for name, (run, data) in ours.items():
        line = f"{name:42}{median(lambda: run(data), options.runs):10,.0f}"
        if theirs:
            other, tensor = theirs[name][0], tf.constant(data)
            line += f"{median(lambda: other(data), options.runs):10,.0f}"
            line += f"{median(lambda: other(tensor), options.runs):12,.0f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
