"""Softmax and cross-entropies."""
import itertools
import math

import numpy as np

from .arrays import one_hot
from .elementwise import WORDS
from .row import ROWS, Row, numbers


def softmax(x, axis=-1):
    e = np.exp(x - np.max(x, axis, keepdims=True, initial=-np.inf))
    return e / e.sum(axis, keepdims=True)


def log_softmax(x, axis=-1):
    x = x - np.max(x, axis, keepdims=True, initial=-np.inf)
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


AXES = [((7,), 0), ((3, 5), -1), ((3, 5), 0), ((2, 3, 41), 2), ((2, 41, 3), 1), ((300, 2), 0),
        ((0, 3), 1), ((1,), 0)]
SMALL = [((5,), 0), ((2, 3), 1), ((2, 3), 0), ((2, 3, 2), 1)]
WRONG_AXIS = (([np.ones((2, 3))], (2,), ValueError), ([WORDS[0]], (0,), TypeError))


def on_axes(shapes, first):
    return [([first(x, axis) for x in [numbers(*s)]]
             + ([] if first is logits else [numbers(*s, seed=1)]), (axis,))
            for s, axis in shapes]


def logits(x, axis):
    return x * 5


for _name, _value, _slope in [
        ("softmax", softmax, lambda y, dy, axis: y * (dy - (dy * y).sum(axis, keepdims=True))),
        ("log_softmax", log_softmax,
         lambda y, dy, axis: dy - np.exp(y) * dy.sum(axis, keepdims=True))]:
    # log(sum) and the sums of dy have the size of some units
    ROWS[_name] = Row(_value, on_axes(AXES, logits), (0,), on_axes(SMALL, logits),
                      scale=5.0 if "log" in _name else 0.0,
                      units=16, refused=WRONG_AXIS)
    ROWS[f"{_name}_grad"] = Row(
        _slope, on_axes(AXES, _value), (0, 1), on_axes(SMALL, _value), scale=5.0,
        refused=(([np.ones(3), np.ones(4)], (0,), ValueError),
                 ([np.ones(3), np.ones(3, "float32")], (0,), TypeError)))


def crossentropy(x, target):
    return -(target * log_softmax(x)).sum(-1), softmax(x)


def sparse_crossentropy(x, labels):
    chosen = np.take_along_axis(log_softmax(x), labels.astype("int64")[..., None], -1)
    return -chosen[..., 0], softmax(x)


def sparse_slope(p, labels, dloss):
    return (p - one_hot(labels.astype("int64"), p.shape[-1], -1, "float64")) * dloss[..., None]


def labelled(shapes, dtype="int64"):
    return [([numbers(*s) * 4,
              (np.arange(math.prod(s[:-1])).reshape(s[:-1]) * 7 % s[-1]).astype(dtype)],
              ()) for s in shapes]


ROWED = [(4, 3), (5,), (2, 3, 10), (33, 41), (0, 3), (2, 1)]
FAR_LABELS = tuple(([np.ones((2, 3)), np.array(i)], (), IndexError)
                   for i in ([0, 3], [-1, 0], [0, 0.5], [np.nan, 0]))
ROWS["softmax_crossentropy"] = Row(
    crossentropy, [([numbers(*s) * 4, numbers(*s, low=0, high=1, seed=1)], ()) for s in ROWED],
    (0, 1),
    [([numbers(*s) * 2, numbers(*s, low=0, high=1, seed=1)], ()) for s in [(2, 3), (4,)]],
    scale=25.0,
    gives=lambda dtype: (dtype, dtype),
    refused=(([np.ones((2, 3)), np.ones((2, 4))], (), ValueError),
             ([np.ones((2, 3)), np.ones((2, 3), "float32")], (), TypeError)))
ROWS["sparse_softmax_crossentropy"] = Row(
    sparse_crossentropy, labelled(ROWED) + labelled(ROWED[:2], "uint8")
    + labelled(ROWED[:2], "float64"), (0,),
    labelled([(2, 3), (4,)]), scale=5.0, gives=lambda dtype: (dtype, dtype),
    refused=FAR_LABELS + (([np.ones((2, 3)), np.ones(3)], (), ValueError),
                          ([np.ones((2, 3), "int32"), np.ones(2)], (), TypeError)))
ROWS["sparse_softmax_crossentropy_grad"] = Row(
    sparse_slope, [([softmax(x), i, numbers(*i.shape, seed=3)], ())
                   for (x, i), _ in labelled(ROWED)], (0, 2),
    scale=3.0, refused=(([np.ones((2, 3)), np.array([0, 1]), np.ones(3)], (), ValueError),
                        ([np.ones((2, 3)), np.array([0, 3]), np.ones(2)], (), IndexError)))


def softmax_loss(*arguments):
    """Labels are integers here."""
    x, target, *rest = arguments[:-4]
    weighted, hit_of_x, _, scale = arguments[-4:]
    wanted = target if target.dtype.kind == "f" else one_hot(
        target.reshape(x.shape[:-1]).astype("int64"), x.shape[-1], -1, "float64")
    loss, p = crossentropy(x, wanted)
    weights = rest.pop().reshape(loss.shape) if weighted else 1.0
    dloss = rest.pop().reshape(loss.shape) if rest else np.ones(loss.shape)
    dx = (p * wanted.sum(-1, keepdims=True) - wanted) * dloss[..., None]
    hit = ((x if hit_of_x else p).argmax(-1) == wanted.argmax(-1)).astype("float64")
    loss = loss * weights
    with np.errstate(invalid="ignore"):
        mean = loss.sum() / np.float64(loss.size)
    return loss, p, dx, hit, mean, mean * scale, hit.sum()


def stepped():
    """Labels, their gradient and weights; targets; other shapes of what belongs to rows."""
    for ((x, i), _), k in zip(labelled(ROWED), itertools.count()):
        dloss, weights = numbers(*i.shape, seed=3), numbers(*i.shape, low=0, high=2, seed=4)
        yield [x, i, dloss, weights], (1, k % 2, 0, 3.0)
        yield [x, i, weights], (1, 0, 1, 3.0)
        yield [x, numbers(*x.shape, low=0, high=1, seed=1), dloss.reshape(-1)], (0, k % 2, 0, 0.5)
    yield [x * 2, i], (0, 0, 1, 1.0)
    (x, i), _ = labelled([(33, 41)], "uint8")[0]
    yield [x, i[:, None]], (0, 1, 0, 33.0)


# A loss has the scale 25 (as above), some weights are nearly 2, and the mean comes times 3.
ROWS["softmax_loss"] = Row(
    softmax_loss, list(stepped()), scale=75.0, gives=lambda dtype: (dtype,) * 7,
    refused=tuple((case[0], (0, 0, 0, 1.0), case[2]) for case in FAR_LABELS) + (
        ([np.ones((2, 3)), np.ones((2, 4))], (0, 0, 0, 1.0), ValueError),
        ([np.ones((2, 3)), np.zeros(3)], (0, 0, 0, 1.0), ValueError),
        ([np.ones((2, 3))], (0, 0, 0, 1.0), ValueError),
        ([np.ones((2, 3)), np.zeros(2)], (1, 0, 0, 1.0), ValueError),
        ([np.ones((2, 3)), np.zeros(2), np.ones(2), np.ones(2)], (0, 0, 0, 1.0), ValueError),
        ([np.ones((2, 3)), np.zeros(2), np.ones(3)], (0, 0, 0, 1.0), ValueError),
        ([np.ones((2, 3)), np.zeros(2), np.ones(2, "float32")], (0, 0, 0, 1.0), TypeError),
        ([np.ones((2, 3)), np.ones((2, 3), "float32")], (0, 0, 0, 1.0), TypeError),
        ([np.ones((2, 3), "int32"), np.ones(2)], (0, 0, 0, 1.0), TypeError)))


def ctc(x, labels, label_length, length, blank):
    """The sum over all paths that show the labels; the slope by the paths' shares."""
    losses, slopes = [], np.zeros_like(x)
    for i in range(len(x)):
        t, p = int(length[i]), softmax(x[i])
        wanted = [int(k) for k in labels[i][:int(label_length[i])]]
        total, shown = 0.0, np.zeros_like(p)
        for path in itertools.product(range(x.shape[2]), repeat=t):
            if [k for k, _ in itertools.groupby(path) if k != blank] == wanted:
                chance = math.prod(p[j, k] for j, k in enumerate(path))
                total += chance
                for j, k in enumerate(path):
                    shown[j, k] += chance
        losses.append(-math.log(total) if total else math.inf)
        if total:
            slopes[i, :t] = p[:t] - shown[:t] / total
    return np.array(losses), slopes


_LABELS = np.array([[1, 2], [2, 2], [1, 0]])
_COUNTS = [np.array([2, 2, 0]), np.array([4, 4, 3])]
ROWS["ctc"] = Row(
    ctc, [([numbers(3, 4, 3), _LABELS, *_COUNTS], (0,)),
          ([numbers(3, 4, 4), _LABELS, np.array([1, 1, 1]), np.array([1, 2, 4])], (3,)),
          ([numbers(3, 2, 3), _LABELS, *(n // 2 for n in _COUNTS)], (0,)),
          ([numbers(3, 2, 3), np.array([[1, 1]] * 3), np.array([2, 1, 0]), np.array([2, 0, 0])],
           (0,)),
          ([numbers(0, 2, 3), np.zeros((0, 1), "int64"), *[np.zeros(0, "int64")] * 2], (0,))],
    gives=lambda dtype: (dtype, dtype), scale=3.0, once=True,
    refused=(([numbers(3, 4, 3), _LABELS.astype("int32"), *_COUNTS], (0,), ValueError),
             ([numbers(3, 4, 3), _LABELS, *_COUNTS], (3,), ValueError),
             ([numbers(3, 4, 3), _LABELS, _COUNTS[0] + 1, _COUNTS[1]], (0,), ValueError),
             ([numbers(3, 4, 3), _LABELS + 1, *_COUNTS], (0,), IndexError)))


def ctc_beam(x, length, width, paths, blank):
    """The likeliest label sequences, by all paths; the beam is wide enough for all of them."""
    b, t = x.shape[:2]
    labels, scores = np.full((paths, b, t), -1), np.full((b, paths), -np.inf)
    for i in range(b):
        steps, p, chances = int(length[i]), softmax(x[i]), {}
        for path in itertools.product(range(x.shape[2]), repeat=steps):
            shown = tuple(k for k, _ in itertools.groupby(path) if k != blank)
            chances[shown] = chances.get(shown, 0) + math.prod(p[j, k] for j, k in enumerate(path))
        for n, (shown, chance) in enumerate(sorted(chances.items(), key=lambda c: -c[1])[:paths]):
            labels[n, i, :len(shown)], scores[i, n] = shown, math.log(chance)
    return labels, scores


ROWS["ctc_beam"] = Row(
    ctc_beam, [([numbers(3, 4, 3), np.array([4, 4, 3])], (200, 3, 0)),
               ([numbers(2, 3, 4), np.array([3, 1])], (100, 2, 3)),
               ([numbers(2, 3, 3), np.array([0, 2])], (30, 4, 1)),
               ([numbers(0, 3, 3), np.zeros(0, "int64")], (5, 1, 1))],
    gives=lambda dtype: ("int32", dtype), scale=3.0,
    refused=(([numbers(2, 3, 4), np.array([3, 1])], (3, 4, 0), ValueError),
             ([numbers(2, 3, 4), np.array([3, 1])], (3, 1, 4), ValueError),
             ([numbers(2, 3, 4), np.array([3, 4])], (3, 1, 0), ValueError),
             ([numbers(2, 3, 4), np.array([3, 1], "int32")], (3, 1, 0), ValueError)))
