"""Weights quantized with an eye on data: GPTQ and AWQ, layer by layer.

Samples pass the layers before the first block; then, block by block, each layer's inputs are looked
at, its weight is quantized, and the samples pass the block as it is now, so that later blocks see
what the earlier ones have become. This happens once in a model's life and is NumPy's but for the
passes and the products of inputs.

Letters: w (columns, rows) a weight, turned: a row of it is an output; h (rows, rows) = 2/n x^T x.
GPTQ: Frantar et al., 2022, arXiv:2210.17323. AWQ: Lin et al., 2023, arXiv:2306.00978; choices that
the paper leaves (largest inputs, loss): Keras 3.
"""
import math
from contextlib import contextmanager

import numpy as np

from . import ops
from .progress import Progbar

_BLOCK = 128                            # columns that are rounded before the rest is corrected


# ---- rounding ------------------------------------------------------------------------------------

def parameters(w, bits, symmetric=False, per_channel=True):
    """Scale and zero point for the rows of `w`, `(columns, 1)` each: `whole = round(w / scale) +
    zero` lies within 0 to `2**bits - 1`, and 0 is a whole number.
    """
    most = 2 ** bits - 1
    rows = w if per_channel else w.reshape(1, -1)
    low = np.minimum(rows.min(1), 0)
    high = np.maximum(rows.max(1), 0)
    if symmetric:
        high = np.maximum(-low, high)
        low = -high
    low, high = (np.where(low == high, end, value) for end, value in ((-1, low), (1, high)))
    scale = (high - low) / most
    zero = np.full_like(scale, (most + 1) // 2) if symmetric else np.round(-low / scale)
    shape = (len(w), 1)
    return tuple(np.broadcast_to(part.reshape(-1, 1), shape).copy() for part in (scale, zero))


def _rounded(w, scale, zero, bits):
    return np.clip(np.round(w / scale + zero), 0, 2 ** bits - 1)


def gptq(w, h, config):
    """The matrix rounded column by column, each error made good by the columns to come.

    Args:
        w: `(columns, rows)`.
        h: `(rows, rows)`, symmetric, no negative eigenvalues.
        config: A `GPTQConfig`.

    Returns:
        Whole numbers `(columns, rows)`; scale and zero point `(columns, groups)`; the group of each
        row.

    Raises:
        numpy.linalg.LinAlgError: If `h`, damped, is singular.
    """
    w, h = np.array(w, "float64"), np.array(h, "float64")
    rows, bits = w.shape[1], config.weight_bits
    diagonal = np.einsum("ii->i", h)
    diagonal[diagonal == 0] = 1                         # inputs that are always 0
    diagonal += config.hessian_damping * diagonal.mean()
    order = np.argsort(-diagonal, kind="stable") if config.activation_order else np.arange(rows)
    w, h = w[:, order], h[np.ix_(order, order)]
    # Row j: what column j's error does to the columns behind it when those before are fixed.
    rest = np.linalg.cholesky(np.linalg.inv(h)).T
    group = rows if config.group_size == -1 else config.group_size
    whole, scales = np.zeros_like(w), []
    for first in range(0, rows, _BLOCK):
        last = min(first + _BLOCK, rows)
        errors = np.zeros((len(w), last - first))
        for j in range(first, last):
            if j % group == 0:
                scales.append(parameters(w[:, j:j + group], bits, config.symmetric,
                                         config.per_channel))
            scale, zero = (part[:, 0] for part in scales[-1])
            whole[:, j] = _rounded(w[:, j], scale, zero, bits)
            error = (w[:, j] - (whole[:, j] - zero) * scale) / rest[j, j]
            w[:, j + 1:last] -= np.outer(error, rest[j, j + 1:last])
            errors[:, j - first] = error
        w[:, last:] -= errors @ rest[first:last, last:]
    back = np.argsort(order)
    scale, zero = (np.concatenate(parts, 1) for parts in zip(*scales))
    return whole[:, back], scale, zero, (np.arange(rows) // group)[back]


def awq(w, largest, config):
    """The matrix rounded after its columns were stretched by a power of their inputs' magnitudes:
    that of those tried which makes the outputs' error smallest.

    Args:
        w: `(columns, rows)`.
        largest: `(rows,)`: the largest magnitude of each input.
        config: An `AWQConfig`.

    Returns:
        As `gptq`, and before the groups the stretch of each row.
    """
    w, largest = (np.asarray(part, "float32") for part in (w, largest))
    rows = w.shape[1]
    group = rows if config.group_size == -1 else config.group_size
    numbers, best, least = np.arange(rows) // group, None, None
    largest = np.where(largest < 1e-8, np.float32(1), largest)
    for i in range(config.num_grid_points + 1):
        stretch = np.maximum(largest ** np.float32(i / config.num_grid_points), np.float32(1e-4))
        stretch = stretch / max(np.sqrt(stretch.max() * stretch.min()), np.float32(1e-8))
        wide = w * stretch
        scale, zero = (np.concatenate(parts, 1) for parts in zip(*(
            parameters(wide[:, j:j + group], 4) for j in range(0, rows, group))))
        whole = _rounded(wide, scale[:, numbers], zero[:, numbers], 4)
        again = (whole - zero[:, numbers]) * scale[:, numbers] / stretch
        loss = np.mean(np.square(w - again) * np.square(largest))
        if best is None or loss < least:
            best, least = (whole, scale, zero, stretch, numbers), loss
    return best


# ---- looking at layers ---------------------------------------------------------------------------

class _Hessian:
    """`2/n x^T x` over all inputs of a layer."""

    def __init__(self, rows):
        self.sum, self.count = np.zeros((rows, rows)), 0

    def see(self, x):
        """Takes inputs `(n, rows)` in."""
        self.sum += ops.matmul(ops.transpose(x), x).numpy()
        self.count += x.shape[0]

    def quantized(self, w, config):
        """What `gptq` gives for a weight with these inputs."""
        return gptq(w, 2 * self.sum / self.count, config)


class _Largest:
    """The largest magnitude of each input of a layer."""

    def __init__(self, rows):
        self.largest, self.count = np.zeros(rows, "float32"), 0

    def see(self, x):
        """Takes inputs `(n, rows)` in."""
        self.largest = np.maximum(self.largest, ops.max(ops.abs(x), 0).numpy())
        self.count += x.shape[0]

    def quantized(self, w, config):
        """What `awq` gives for a weight with these inputs."""
        return awq(w, self.largest, config)


@contextmanager
def _watched(seen):
    """Within it, the layers (keys) show their inputs to what stands for them."""
    def watch(layer, call, looker):
        def watched(inputs, *args, **kwargs):
            rows = layer._matrix_shape(layer._full_shape)[0]
            looker.see(ops.cast(ops.reshape(layer._calibration_inputs(inputs), (-1, rows)),
                                "float32"))
            return call(inputs, *args, **kwargs)
        return watched
    try:
        for layer, looker in seen.items():
            layer.__dict__["call"] = watch(layer, layer.call, looker)
        yield
    finally:
        for layer in seen:
            layer.__dict__.pop("call", None)


def _quantize(layer, looker, config):
    who = f"quantize: layer '{layer.name}'"
    if looker.count == 0:
        raise ValueError(f"{who} was never called when its block was, so there is nothing to "
                         "calibrate it with. Leave it out by `filters`.")
    w = np.asarray(ops.convert_to_numpy(ops.cast(layer._main, "float32")))
    w = w.reshape(layer._matrix_shape(w.shape)).T
    try:
        whole, *values = looker.quantized(w, config)
    except np.linalg.LinAlgError:
        raise ValueError(f"{who}: the Hessian of its inputs is singular, or not of numbers. "
                         f"Received: hessian_damping={config.hessian_damping}; raise it.") from None
    if not all(np.isfinite(value).all() for value in (whole, *values)):
        raise ValueError(f"{who}: its weight or its inputs are not finite.")
    dtypes = ["float32", "uint8", *["float32"] * (len(values) - 2)]
    layer._take_calibrated(ops.convert_to_tensor(whole.astype("uint8")), [
        value.astype(dtype) for value, dtype in zip(values, dtypes)], config)


# ---- data ----------------------------------------------------------------------------------------

def samples(config):
    """`(num_samples, 1, sequence_length)` token ids, int32: windows at equal distances of all data
    behind one another, which is repeated if it is short.
    """
    who = type(config).__name__
    data = config.dataset
    if data is None or isinstance(data, (str, bytes)) or not hasattr(data, "__iter__"):
        raise TypeError(f"{who}: `dataset` must be an iterable of texts or of arrays of token ids. "
                        f"Received: dataset={data!r}")
    pieces = []
    for piece in data:
        if isinstance(piece, str):
            if config.tokenizer is None:
                raise ValueError(f"{who}: `dataset` holds texts, so `tokenizer` must be given. "
                                 "Received: tokenizer=None")
            piece = getattr(config.tokenizer, "tokenize", config.tokenizer)(piece)
        pieces.append(np.asarray(ops.convert_to_numpy(piece)).reshape(-1).astype("int32"))
    tokens = np.concatenate(pieces) if pieces else np.zeros(0, "int32")
    if tokens.size == 0:
        raise ValueError(f"{who}: `dataset` is empty.")
    length, count = config.sequence_length, config.num_samples
    if tokens.size < count * length:
        tokens = np.tile(tokens, math.ceil(count * length / tokens.size))
    starts = tokens.size - length + 1
    first = np.arange(count) * max(1, starts // count) % starts
    return np.lib.stride_tricks.sliding_window_view(tokens, length)[first][:, None, :]


def _structure(model, config):
    structure = config.quantization_layer_structure
    if structure is None:
        structure = model.get_quantization_layer_structure(config.mode)
    if not isinstance(structure, dict) or not structure.get("sequential_blocks"):
        raise ValueError(f"quantize: mode '{config.mode}' needs to know in which order layers "
                         "follow one another: a dictionary with 'pre_block_layers' and "
                         "'sequential_blocks', as `quantization_layer_structure` of the configuration or from the "
                         "model's `get_quantization_layer_structure(mode)`. Received: "
                         f"{structure!r}")
    return list(structure.get("pre_block_layers") or []), list(structure["sequential_blocks"])


def _targets(block, mode, passes):
    from .layers import Dense, EinsumDense

    found = [layer for layer in block._flatten_layers()
             if isinstance(layer, (Dense, EinsumDense)) and passes(layer)]
    for layer in found:
        layer._check_quantize(mode)
        layer._check_calibration()
    return found


def calibrate(model, config, passes):
    """Quantizes the `Dense` and `EinsumDense` layers of a model's blocks.

    Args:
        model: The model, built.
        config: A `GPTQConfig` or an `AWQConfig`.
        passes: Which layers: a function of a layer.

    Raises:
        ValueError: If data, order or a layer do not fit; if a layer's inputs do not, the layers of
            the blocks before stay quantized.
    """
    before, blocks = _structure(model, config)
    data = samples(config)
    targets = [_targets(block, config.mode, passes) for block in blocks]
    inputs = []
    for sample in data:
        x = ops.convert_to_tensor(np.ascontiguousarray(sample))
        for layer in before:
            x = layer(x)
        inputs.append(x)
    kind = _Hessian if config.mode == "gptq" else _Largest
    bar = Progbar(target=len(blocks))
    for i, (block, layers) in enumerate(zip(blocks, targets)):
        seen = {layer: kind(layer._matrix_shape(layer._full_shape)[0]) for layer in layers}
        with _watched(seen):
            for x in inputs if seen else ():
                block(x)
        for layer, looker in seen.items():
            _quantize(layer, looker, config)
        if i < len(blocks) - 1:
            inputs = [_first(block(x)) for x in inputs]
        bar.update(i + 1)


def _first(outputs):
    """The tensor that the next block takes."""
    return outputs[0] if isinstance(outputs, (list, tuple)) else outputs
