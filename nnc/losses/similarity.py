"""Losses beside the usual ones: sequences without alignment, embeddings, noisy labels."""
import math

import numpy as np

from .. import ops
from .._core import Tensor, op
from ..ops.core import cast_array, float_array, tensor
from ..ops.ctc import ctc_loss
from .losses import _Named


def ctc(y_true, y_pred):
    """`ctc_loss` of labels that are not 0, in all times of the logits."""
    y_true, y_pred = tensor(y_true), float_array(y_pred)
    if len(y_true.shape) != 2:
        raise ValueError("ctc: `y_true` must have shape (batch_size, max_length). Received: "
                         f"y_true.shape={tuple(y_true.shape)}")
    if len(y_pred.shape) != 3:
        raise ValueError("ctc: `y_pred` must have shape (batch_size, max_length, num_classes). "
                         f"Received: y_pred.shape={tuple(y_pred.shape)}")
    length = ops.sum(op.cast(op.not_equal(y_true, 0), "int64"), -1)
    times = op.fill((y_pred.shape[0],), float(y_pred.shape[1]), "int64")
    return ctc_loss(y_true, y_pred, length, times)


def circle(y_true, y_pred, ref_labels=None, ref_embeddings=None, remove_diagonal=True, gamma=80,
           margin=0.4):
    """For each sample `softplus(logsumexp(gamma a_p (d_p - margin)) + logsumexp(gamma a_n (1 -
    margin - d_n)))` over its positive and negative pairs at distances `d = 1 - cosine`, with
    weights `a_p = margin + d_p` and `a_n = 1 + margin - d_n`. Samples with a loss of 0 are masked.

    Args:
        y_true: Labels, of shape `(batch,)`.
        y_pred: Embeddings of length 1, of shape `(batch, size)`.
        ref_labels: Labels of what they are paired with. Defaults to `y_true`.
        ref_embeddings: Embeddings of the same. Defaults to `y_pred`.
        remove_diagonal: Whether sample i is not paired with reference i. Defaults to `True`.
        gamma: Float. Defaults to `80`.
        margin: Float. Defaults to `0.4`.

    Reference: Sun et al., 2020, arXiv:2002.10857.
    """
    y_pred = float_array(y_pred)
    labels = cast_array(y_true, "int32")
    others = y_pred if ref_embeddings is None else cast_array(ref_embeddings, y_pred.dtype)
    names = labels if ref_labels is None else cast_array(ref_labels, "int32")
    distance = op.maximum(op.subtract(1.0, op.matmul(y_pred, others, 0, 1)), 0.0)
    rows, columns = distance.shape
    same = op.equal(ops.reshape(labels, (rows, 1)), ops.reshape(names, (1, columns)))
    apart = op.logical_not(same)
    if remove_diagonal:
        same = op.logical_and(same, Tensor(~np.eye(rows, columns, dtype="bool")))
    margin, gamma = float(margin), float(gamma)
    near = op.multiply(op.maximum(op.add(distance, margin), 0.0), op.subtract(distance, margin))
    far = op.multiply(op.maximum(op.subtract(1 + margin, distance), 0.0),
                      op.subtract(1 - margin, distance))
    none = -math.inf
    sums = [ops.logsumexp(op.where(mask, op.multiply(part, gamma), none), 1)
            for mask, part in ((same, near), (apart, far))]
    loss = op.softplus(op.add(*sums))
    loss._keras_mask = op.greater(loss, 0.0)
    return loss


def categorical_generalized_cross_entropy(y_true, y_pred, q):
    """`(1 - p^q) / q` of the probability p of the label: cross-entropy for small q, the absolute
    error for 1.
    """
    y_pred = float_array(y_pred)
    hot = ops.one_hot(cast_array(y_true, "int32"), y_pred.shape[-1], dtype=y_pred.dtype)
    p = ops.sum(op.multiply(y_pred, hot), -1)
    return op.divide(op.subtract(1.0, op.power(p, float(q))), float(q))


class CTC(_Named):
    """Connectionist temporal classification. See `ctc`: labels of 0 do not count.

    Args:
        reduction: See `Loss`.
        name: Name.
        dtype: See `Loss`.
    """

    def __init__(self, reduction="sum_over_batch_size", name="ctc", dtype=None):
        super().__init__(ctc, reduction, name, dtype)


class Circle(_Named):
    """Circle loss of embeddings. See `circle`.

    Args:
        gamma: Float. Defaults to `80.0`.
        margin: Float. Defaults to `0.4`.
        remove_diagonal: Whether samples are not paired with themselves. Defaults to `True`.
        reduction: See `Loss`.
        name: Name.
        dtype: See `Loss`.
    """

    _config_names = ("gamma", "margin", "remove_diagonal")

    def __init__(self, gamma=80.0, margin=0.4, remove_diagonal=True,
                 reduction="sum_over_batch_size", name="circle", dtype=None):
        super().__init__(circle, reduction, name, dtype, gamma=gamma, margin=margin,
                         remove_diagonal=remove_diagonal)


class CategoricalGeneralizedCrossEntropy(_Named):
    """Cross-entropy that wrong labels harm less. See `categorical_generalized_cross_entropy`.

    Args:
        q: Float, above 0 and below 1. Defaults to `0.5`.
        reduction: See `Loss`.
        name: Name.
        dtype: See `Loss`.

    Reference: Zhang and Sabuncu, 2018, arXiv:1805.07836.
    """

    _config_names = ("q",)

    def __init__(self, q=0.5, reduction="sum_over_batch_size",
                 name="categorical_generalized_cross_entropy", dtype=None):
        if not 0 < q < 1:
            raise ValueError("CategoricalGeneralizedCrossEntropy: `q` must be above 0 and below 1. "
                             f"Received: q={q}")
        super().__init__(categorical_generalized_cross_entropy, reduction, name, dtype, q=q)
