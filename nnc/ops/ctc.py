"""Connectionist temporal classification: labels of sequences without alignment."""
from .._core import op
from .core import cast_array, float_array

_STRATEGIES = ("greedy", "beam_search")


def _real(x):
    x = float_array(x)
    return x if x.dtype in ("float32", "float64") else op.cast(x, "float32")


def ctc_loss(target, output, target_length, output_length, mask_index=0):
    """The loss of each sample: minus the logarithm of the chance of all alignments of its labels.

    Args:
        target: Labels, of shape `(batch, length)`.
        output: Logits, of shape `(batch, time, classes)`.
        target_length: How many labels of each sample count, of shape `(batch,)`.
        output_length: How many times of each sample count, of shape `(batch,)`.
        mask_index: The class that stands for no label. Defaults to `0`.

    A sample whose labels do not fit its times has an infinite loss, and no gradient.

    Reference: Graves et al., 2006.
    """
    whole = [cast_array(x, "int64") for x in (target, target_length, output_length)]
    return op.ctc(_real(output), *whole, int(mask_index))[0]


def _greedy(x, lengths, merge_repeated, blank):
    """The likeliest class of each time, without blanks (and repetitions), moved to the front."""
    batch, times = x.shape[0], x.shape[1]
    best = op.argmax(x, -1, 0)
    within = op.less(op.reshape(op.arange(0.0, 1.0, times, "int64"), (1, times)),
                     op.reshape(lengths, (batch, 1)))
    kept = op.logical_and(within, op.not_equal(best, blank))
    if merge_repeated and times > 1:
        before = op.slice(best, (0, 0, batch, times - 1, 1, 1))
        here = op.slice(best, (0, 1, batch, times, 1, 1))
        new = op.concatenate(op.fill((batch, 1), 1.0, "bool"), op.not_equal(here, before), 1)
        kept = op.logical_and(kept, new)
    order = op.argsort(op.cast(op.logical_not(kept), "int32"), 1, 0)    # stable
    labels = op.take_along(op.where(kept, op.cast(best, "int32"), -1), order, 1)
    top = op.where(within, op.max(x, (-1,), 0), 0.0)
    return op.reshape(labels, (1, batch, times)), op.negative(op.sum(top, (1,), 1))


def ctc_decode(inputs, sequence_lengths, strategy="greedy", beam_width=100, top_paths=1,
               merge_repeated=True, mask_index=0):
    """The labels that a CTC model's output stands for.

    Args:
        inputs: Logits, of shape `(batch, time, classes)`.
        sequence_lengths: How many times of each sample count, of shape `(batch,)`.
        strategy: `"greedy"`, the likeliest class of each time, or `"beam_search"`, the likeliest
            label sequences of all alignments together.
        beam_width: How many sequences the beam holds. Defaults to `100`.
        top_paths: How many of them are given. Defaults to `1`.
        merge_repeated: With `"greedy"`: whether a class repeated without a blank between counts
            once.
        mask_index: The class that stands for no label; `None` for the last one. Defaults to `0`.

    Returns:
        Labels of shape `(top_paths, batch, time)` (one path with `"greedy"`), int32, `-1` behind
        each sequence; and scores: with `"greedy"` minus the sum of the largest logits, of shape
        `(batch, 1)`, else logarithms of chances, of shape `(batch, top_paths)`.
    """
    if strategy not in _STRATEGIES:
        raise ValueError(f"ctc_decode: `strategy` must be one of {_STRATEGIES}. Received: "
                         f"strategy={strategy!r}")
    x, lengths = _real(inputs), cast_array(sequence_lengths, "int64")
    if len(x.shape) != 3 or tuple(lengths.shape) != (x.shape[0],):
        raise ValueError("ctc_decode: `inputs` must have shape (batch, time, classes) and "
                         "`sequence_lengths` shape (batch,). Received: shapes "
                         f"{tuple(x.shape)} and {tuple(lengths.shape)}")
    classes = x.shape[2]
    blank = classes - 1 if mask_index is None else int(mask_index)
    if not -classes <= blank < classes:
        raise ValueError(f"ctc_decode: `mask_index` must be one of {classes} classes. Received: "
                         f"mask_index={mask_index}")
    blank %= classes
    if strategy == "greedy":
        return _greedy(x, lengths, merge_repeated, blank)
    return op.ctc_beam(x, lengths, int(beam_width), int(top_paths), blank)
