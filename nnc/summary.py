"""The text of `model.summary()`: Keras's table, drawn here.

Columns get shares of the line; a cell's words wrap, a word wider than its column ends in an
ellipsis.
"""
import math
import re
import shutil

_ITEM_BITS = {
    "bool": 8, "float16": 16, "bfloat16": 16, "float32": 32, "float64": 64,
    **{f"{kind}{bits}": bits for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
}
_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


def count_params(weights):
    """Number of values in a list of variables."""
    return sum(math.prod(w.shape) for w in weights)


def memory_bytes(weights):
    """Bytes of a list of variables; one that is listed twice counts once."""
    unique = {id(w): w for w in weights}.values()
    return sum(math.prod(w.shape) * _ITEM_BITS[str(w.dtype)] for w in unique) / 8


def memory_text(size):
    """`"63.79 KB"`."""
    for unit in _UNITS[:-1]:
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} {_UNITS[-1]}"


def totals(model):
    """List of `(label, number of values, bytes)` for the lines under the table."""
    trainable, fixed = model.trainable_weights, model.non_trainable_weights
    optimizer = getattr(model, "optimizer", None)
    slots = optimizer.variables if optimizer is not None and optimizer.built else None
    parts = [("Trainable params", trainable), ("Non-trainable params", fixed)]
    if slots is not None:
        parts.append(("Optimizer params", slots))
    rows = [(label, count_params(w), memory_bytes(w)) for label, w in parts]
    return [("Total params", sum(r[1] for r in rows), sum(r[2] for r in rows)), *rows]


def output_shape_text(layer):
    """`"(None, 20)"`, a nest of such, or `"?"` before the shape is known."""
    shape = getattr(layer, "_output_shape", None)           # known from a symbolic call
    if shape is None:
        try:
            nodes = getattr(layer, "_inbound_nodes", None)
            if nodes:
                return _shape_text([t.shape for t in nodes[0].output_tensors])
            built = getattr(layer, "_build_shapes", None)
            if not built:
                return "?"
            shape = layer.compute_output_shape(*(_open_batch(part) for part in built.values()))
        except (AttributeError, NotImplementedError, TypeError, ValueError):
            return "?"
    return _shape_text(shape)


def _open_batch(shape):
    """`None` again for the batch where a model was built by a stand-in for it."""
    from .ops.operation import STAND_INS

    plain = isinstance(shape, tuple) and shape and shape[0] == STAND_INS[0]
    return (None, *shape[1:]) if plain else shape


def _shape_text(shape):
    if isinstance(shape, dict):
        return "{" + ", ".join(f"{k}: {_shape_text(v)}" for k, v in shape.items()) + "}"
    if all(d is None or isinstance(d, int) for d in shape):
        return f"({', '.join(str(d) for d in shape)})"
    if len(shape) == 1:
        return _shape_text(shape[0])
    inner = ", ".join(_shape_text(s) for s in shape)
    return f"[{inner}]" if isinstance(shape, list) else f"({inner})"


def params_text(layer):
    """`"15,700"`, or `"0 (unbuilt)"`."""
    if not getattr(layer, "built", True):
        return "0 (unbuilt)"
    return f"{layer.count_params():,}" if hasattr(layer, "count_params") else "0"


def summary_text(model, line_length=None, positions=None, expand_nested=False,
                 show_trainable=False, layer_range=None):
    """The whole summary as one string, without a line end after it."""
    header, align, default = ["Layer (type)", "Output Shape", "Param #"], "llr", 88
    parts = model.layers
    connected = hasattr(model, "operations") and not is_chain(model)
    if connected:
        header.append("Connected to")
        align, default, parts = align + "l", 108, model.operations
        positions = list(positions or (0.3, 0.56, 0.74, 1.0))
    else:
        positions = list(positions or (0.45, 0.80, 1.0))
    if show_trainable:
        header.append("Trainable")
        align, default = align + "c", default + 12
        positions = [p * 0.90 for p in positions] + [1.0]
    if len(positions) != len(header):
        raise ValueError(
            f"summary: `positions` must have {len(header)} values, one a column. "
            f"Received: positions={positions}"
        )
    line_length = line_length or min(default, shutil.get_terminal_size().columns - 4)
    widths = _column_widths(positions, line_length)
    rows = []
    for layer in _in_range(parts, layer_range):
        rows += _layer_rows(layer, expand_nested, show_trainable, 0,
                            model if connected else None)
    lines = [f'Model: "{model.name}"', *_table(header, rows, widths, align)]
    lines += [f" {label}: {count:,} ({memory_text(size)})" for label, count, size in totals(model)]
    return "\n".join(lines)


def detail_text(model, batch_size=32, expand_nested=False, layer_range=None):
    """What a batch will cost: a table of the layers, and lines for memory and time."""
    from ._core import get_num_threads
    from .costs import model_costs

    found = model_costs(model, batch_size)
    header = ["Layer", "Dtype", "Multiply-adds", "Activations", "Time (ms)"]
    parts = model.operations if hasattr(model, "operations") else model.layers
    rows = []
    for layer in _in_range(parts, layer_range):
        rows += _detail_rows(layer, found, expand_nested, layer.name, 0)
    widths = [max(len(row[k]) for row in (header, *rows)) for k in range(len(header))]
    threads = get_num_threads()
    lines = [f"Forward pass of a batch of {batch_size}:", *_table(header, rows, widths, "llrrr")]
    predict, train = found.predict_bytes, found.train_bytes
    weights, slots = found.weights_bytes, found.optimizer_bytes
    lines.append(f" Peak memory of predict: {memory_text(predict)} ({found.block} rows at once: "
                 f"weights {memory_text(weights)}, rows and activations "
                 f"{memory_text(predict - weights)})")
    if train is None:
        lines.append(f" Training step: not known, {found.train_reason}")
    else:
        rest = memory_text(train - weights - slots)
        lines.append(f" Peak memory of fit: {memory_text(train)} (weights {memory_text(weights)}, "
                     f"optimizer {memory_text(slots)}, batch, activations and gradients {rest})")
    times = [f"forward {1e3 * found.predict_seconds:.3f} ms"]
    if train is not None:
        times.append(f"training step {1e3 * found.train_seconds:.3f} ms")
    return "\n".join([*lines, f" Estimated time on {threads} thread{'s' * (threads > 1)}: "
                      + ", ".join(times)])


def _detail_rows(layer, found, expand_nested, path, depth):
    cost = found.of(path)
    kind = getattr(layer, "compute_dtype", None) or "-"
    rows = [["   " * depth + "└ " * (depth > 0) + layer.name, kind, f"{cost['multiply_adds']:,}",
             memory_text(cost["activation_bytes"]), f"{1e3 * cost['seconds']:.3f}"]]
    for inner in (getattr(layer, "layers", None) or ()) if expand_nested else ():
        rows += _detail_rows(inner, found, True, f"{path}/{inner.name}", depth + 1)
    return rows


def print_summary(model, line_length=None, positions=None, print_fn=None, expand_nested=False,
                  show_trainable=False, layer_range=None, detail=False, batch_size=32):
    """Prints the summary; `print_fn`, if given, gets the whole text in one call."""
    text = summary_text(model, line_length, positions, expand_nested, show_trainable, layer_range)
    if detail:
        text += "\n" + detail_text(model, batch_size, expand_nested, layer_range)
    if print_fn is None:
        from nnc.utils.io import print_message as print_fn
    else:
        text += "\n"
    print_fn(text)


def _column_widths(positions, line_length):
    """Widths of the cells' text. Padding and borders are taken evenly from the columns' shares."""
    shares, current = [], 0
    for p in positions:
        width = int(p * line_length) - current
        if width < 4:
            raise ValueError(
                f"summary: the line of {line_length} characters is too short for the table; pass a "
                "larger `line_length`."
            )
        shares.append(width + 2)                    # a blank at each side
        current += width
    excess = sum(shares) + len(shares) + 1 - line_length
    for k in range(len(shares)):
        part = round(excess / (len(shares) - k))
        shares[k] -= part
        excess -= part
    return [max(s - 2, 1) for s in shares]


def _in_range(layers, layer_range):
    if layer_range is None:
        return layers
    if len(layer_range) != 2 or not all(isinstance(r, str) for r in layer_range):
        raise ValueError(
            f"summary: `layer_range` must be two layer names. Received: layer_range={layer_range}"
        )
    first, last = (
        [i for i, layer in enumerate(layers) if re.match(pattern, layer.name)]
        for pattern in layer_range
    )
    if not first or not last:
        raise ValueError(
            f"summary: no layer matches the names in layer_range={layer_range}. "
            f"Layers: {[layer.name for layer in layers]}"
        )
    if min(first) > max(last):
        first, last = last, first
    return layers[min(first):max(last) + 1]


def is_chain(model):
    """Whether a functional model's nodes stand in one line."""
    counts = {}
    for node in model._nodes:
        if len(node.input_tensors) > 1 or len(node.output_tensors) > 1:
            return False
        for tensor in node.input_tensors:
            counts[id(tensor)] = counts.get(id(tensor), 0) + 1
    operations = [id(node.operation) for node in model._nodes]
    return all(count == 1 for count in counts.values()) and len(set(operations)) == len(operations)


def connections_text(model, layer):
    """`"dense[0][0], add[0][0]"`: where the inputs of a layer's calls in a model come from."""
    kept = {id(node) for node in model._nodes}
    texts = []
    for node in layer._inbound_nodes:
        if id(node) in kept:
            for tensor in node.input_tensors:
                operation, index, output = tensor._keras_history
                number = sum(id(n) in kept for n in operation._inbound_nodes[:index])
                texts.append(f"{operation.name}[{number}][{output}]")
    return ", ".join(texts) or "-"


def _layer_rows(layer, expand_nested, show_trainable, depth, model=None):
    prefix = "   " * depth + "└ " if depth else ""
    kind = getattr(layer, "class_name", None) or type(layer).__name__
    row = [f"{prefix}{layer.name} ({kind})", output_shape_text(layer), params_text(layer)]
    if model is not None:
        row.append("-" if depth else connections_text(model, layer))
    if show_trainable:
        row.append("-" if not getattr(layer, "weights", None) else "Y" if layer.trainable else "N")
    rows = [row]
    if expand_nested:
        for inner in getattr(layer, "layers", None) or ():
            rows += _layer_rows(inner, expand_nested, show_trainable, depth + 1, model)
    return rows


def _table(header, rows, widths, align):
    """Lines of the table: heavy borders about the header, light ones about the rows."""
    def rule(left, fill, middle, right):
        return left + middle.join(fill * (w + 2) for w in widths) + right

    lines = [rule("┏", "━", "┳", "┓"), *_row(header, widths, align, "┃", top=False),
             rule("┡", "━", "╇", "┩")]
    for i, row in enumerate(rows):
        if i:
            lines.append(rule("├", "─", "┼", "┤"))
        lines += _row(row, widths, align, "│")
    return lines + [rule("└", "─", "┴", "┘")]


def _row(cells, widths, align, border, top=True):
    """Lines of one row; a cell with fewer lines than its neighbours stands at the top or bottom."""
    columns = [_wrap(cell, width) for cell, width in zip(cells, widths)]
    height = max(len(c) for c in columns)
    for column in columns:
        blank = [""] * (height - len(column))
        column[:] = column + blank if top else blank + column
    for k in range(height):
        texts = [_justify(c[k], w, a) for c, w, a in zip(columns, widths, align)]
        yield border + border.join(f" {t} " for t in texts) + border


def _wrap(text, width):
    """Breaks a text between words; a word wider than `width` is cut with an ellipsis."""
    lines, line = [], ""
    for word in re.findall(r"\s*\S+\s*", text):
        if line and len(line) + len(word.rstrip()) > width:
            lines.append(line)
            line = ""
        line += word
    lines = [part.rstrip() for part in (*lines, line)]
    return [part if len(part) <= width else part[:width - 1] + "…" for part in lines]


def _justify(text, width, align):
    if align == "r":
        return text.rjust(width)
    if align == "c":
        left = (width - len(text)) // 2
        return (" " * left + text).ljust(width)
    return text.ljust(width)
