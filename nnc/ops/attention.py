"""dot_product_attention: `softmax(q kT * scale) v` for every head, on matmul and softmax.

Letters: b batch, t queries, s keys, h heads, d head size. Vaswani et al. 2017, arXiv:1706.03762.
"""
import math

import numpy as np

from .._core import Tensor, op
from . import arrays
from .core import cast_array, float_array, result_type, tensor

# What a masked logit becomes: finite, so that a row without any key has a softmax.
_MASKED = -0.7 * 3.38953e38


def dot_product_attention(query, key, value, bias=None, mask=None, scale=None, is_causal=False,
                          flash_attention=None, attn_logits_soft_cap=None):
    """Scaled dot-product attention.

    Args:
        query: `(b, t, h, d)`.
        key: `(b, s, heads, d)`; `heads` is `h`, or divides it: heads share keys and values.
        value: As `key`.
        bias: Added to the logits: broadcast to `(b, h, t, s)`.
        mask: Booleans, broadcast to `(b, h, t, s)`; false: not to be seen.
        scale: Factor of the logits. Defaults to `1 / sqrt(d)`.
        is_causal: Whether a query sees only keys up to its own position.
        flash_attention: `None` or false: there is one way to compute it.
        attn_logits_soft_cap: The scaled logits become `cap * tanh(logits / cap)`; not by default.
    """
    name = "dot_product_attention"
    if flash_attention:
        raise ValueError(f"{name}: there is no flash attention here. Received: "
                         f"flash_attention={flash_attention}")
    query, key, value = (float_array(x) for x in (query, key, value))
    shapes = tuple(tuple(x.shape) for x in (query, key, value))
    q, k, v = shapes
    if any(len(s) != 4 for s in shapes) or q[0] != k[0] or k[:3] != v[:3] or q[3] != k[3] \
            or not k[2] or q[2] % k[2]:
        raise ValueError(f"{name}: expected query (b, t, h, d), key and value (b, s, heads, d) "
                         f"with h a multiple of heads. Received: query.shape={q}, key.shape={k}, "
                         f"value.shape={v}")
    dtype = result_type(query.dtype, key.dtype, value.dtype)
    query, key, value = (op.transpose(cast_array(x, dtype), (0, 2, 1, 3))
                         for x in (query, key, value))
    if q[2] > k[2]:
        key, value = (arrays.repeat(x, q[2] // k[2], 1) for x in (key, value))
    scale = 1.0 / math.sqrt(q[3]) if scale is None else scale
    logits = op.multiply(op.matmul(query, key, 0, 1), scale)
    if attn_logits_soft_cap is not None:
        cap = float(attn_logits_soft_cap)
        if not cap > 0:
            raise ValueError(f"{name}: `attn_logits_soft_cap` must be > 0. Received: "
                             f"attn_logits_soft_cap={attn_logits_soft_cap}")
        logits = op.multiply(op.tanh(op.divide(logits, cap)), cap)
    if bias is not None:
        logits = op.add(logits, cast_array(tensor(bias), dtype))
    if mask is not None:
        logits = op.where(cast_array(tensor(mask), "bool"), logits, _MASKED)
    if is_causal:
        logits = op.where(Tensor(np.tri(q[1], k[1], 0, "bool")), logits, _MASKED)
    return op.transpose(op.matmul(op.softmax(logits, 3), value, 0, 0), (0, 2, 1, 3))
