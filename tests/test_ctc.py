"""ctc_loss and ctc_decode: against Keras on TensorFlow."""
import numpy as np
import pytest

import nnc
from nnc import _core, ops

from live import keras, same

rng = np.random.default_rng(11)
X = (rng.normal(size=(3, 9, 6)) * 2).astype("float32")
LENGTHS = np.array([9, 5, 7], "int32")


@pytest.mark.parametrize("mask", [0, 2, 5])
def test_loss(mask):
    labels = np.array([[1, 3, 1, 4], [3, 3, 4, 1], [4, 1, 3, 3]], "int32")
    counts = np.array([4, 2, 3], "int32")
    same(ops.ctc_loss(labels, X, counts, LENGTHS, mask),
         keras.ops.ctc_loss(labels, X, counts, LENGTHS, mask), rtol=1e-5)   # sums of exponentials


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("mask", [0, 3, 5])
def test_greedy(mask, merge):
    held = np.repeat(X, 2, 1)[:, :9]                # with repetitions
    for x in (X, held):
        ours = ops.ctc_decode(x, LENGTHS, "greedy", merge_repeated=merge, mask_index=mask)
        theirs = keras.ops.ctc_decode(x, LENGTHS, "greedy", merge_repeated=merge, mask_index=mask)
        same(ours[0], theirs[0])
        same(ours[1], theirs[1])


@pytest.mark.parametrize("paths, mask", [(1, 0), (4, 5), (3, 2)])
def test_beam(paths, mask):
    """The beam holds all sequences of four labels. On beams that must drop some, TensorFlow's scores
    differ from the textbook's (by 0.5 % once), so those are compared with the definition below."""
    args = (X[:, :4], np.array([4, 2, 3], "int32"), "beam_search", 1000, paths)
    ours, theirs = (o.ctc_decode(*args, mask_index=mask) for o in (ops, keras.ops))
    same(ours[0], theirs[0])
    same(ours[1], theirs[1], rtol=1e-4)             # TensorFlow adds up in float32


def narrow_beam(x, times, width, blank):
    """The definition: chances of prefixes that end in a blank and of those that do not."""
    x = x.astype("float64")
    x = x - np.log(np.exp(x).sum(-1, keepdims=True))
    beam = {(): (0.0, -np.inf)}
    for row in x[:times]:
        made = {}

        def add(prefix, ends, goes):
            old = made.get(prefix, (-np.inf, -np.inf))
            made[prefix] = np.logaddexp(old[0], ends), np.logaddexp(old[1], goes)
        for prefix, (ends, goes) in beam.items():
            both = np.logaddexp(ends, goes)
            add(prefix, both + row[blank], goes + row[prefix[-1]] if prefix else -np.inf)
            for label in set(range(len(row))) - {blank}:
                again = bool(prefix) and prefix[-1] == label
                add(prefix + (label,), -np.inf, (ends if again else both) + row[label])
        best = sorted(made.items(), key=lambda item: -np.logaddexp(*item[1]))
        beam = dict(best[:width])
    return [(prefix, np.logaddexp(*chances)) for prefix, chances in beam.items()]


@pytest.mark.parametrize("width, paths, mask", [(100, 4, 5), (8, 3, 2), (1, 1, 0)])
def test_a_narrow_beam(width, paths, mask):
    labels, scores = (np.asarray(o) for o in ops.ctc_decode(X, LENGTHS, "beam_search", width, paths,
                                                            mask_index=mask))
    for i, times in enumerate(LENGTHS):
        for n, (prefix, score) in enumerate(narrow_beam(X[i], times, width, mask)[:paths]):
            assert tuple(k for k in labels[n, i] if k >= 0) == prefix
            np.testing.assert_allclose(scores[i, n], score, rtol=1e-6)


def test_recorded_and_symbolic():
    graph = _core.Graph()
    with graph:
        x = graph.input(X.shape, "float32")
        out = [t for s in ("greedy", "beam_search") for t in ops.ctc_decode(x, LENGTHS, s)]
        program = _core.Program(graph, out)
    eager = [t for s in ("greedy", "beam_search") for t in ops.ctc_decode(X, LENGTHS, s)]
    for a, b in zip(program(X), eager):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    inputs = [nnc.Input((9, 6)), nnc.Input((), dtype="int32")]
    labels, scores = ops.ctc_decode(*inputs, strategy="beam_search", top_paths=2)
    assert labels.shape == (2, None, 9) and scores.shape == (None, 2)


@pytest.mark.parametrize("options, text", [
    ({"strategy": "best"}, "strategy"), ({"mask_index": 6}, "mask_index"),
    ({"strategy": "beam_search", "beam_width": 2, "top_paths": 3}, "top_paths")])
def test_refusals(options, text):
    with pytest.raises(ValueError, match=text):
        ops.ctc_decode(X, LENGTHS, **options)
