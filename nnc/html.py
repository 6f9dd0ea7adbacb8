"""How models and histories show themselves in notebooks: tables and SVG curves in plain HTML.

No JavaScript and no style sheet: a saved notebook shows the same everywhere. Colours are readable
on light and dark pages; everything that comes from the user is escaped.
"""
import math

_TABLE = 'style="border-collapse:collapse;font-size:90%"'
_CELL = 'style="padding:2px 10px;text-align:{align};border-bottom:1px solid #8884"'
_COLOURS = ("#3b78c2", "#d9762b")                   # training, validation
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 320, 200, 52, 26, 22


def _escape(text):
    from html import escape

    return escape(str(text))


def table_html(header, rows, align):
    """A table; `align` holds "left" or "right" for each column."""
    def line(tag, cells):
        row = ""
        for cell, side in zip(cells, align):
            row += f"<{tag} {_CELL.format(align=side)}>{_escape(cell)}</{tag}>"
        return f"<tr>{row}</tr>"

    body = "".join(line("td", row) for row in rows)
    return (f"<table {_TABLE}><thead>{line('th', header)}</thead><tbody>{body}</tbody></table>")


def model_html(model):
    """Table of a model's layers with output shapes and parameters, and the totals."""
    from nnc import summary

    rows = [
        (layer.name, type(layer).__name__, summary.output_shape_text(layer),
         summary.params_text(layer))
        for layer in model.layers
    ]
    totals = "<br>".join(
        f"{_escape(label)}: {count:,} ({summary.memory_text(size)})"
        for label, count, size in summary.totals(model)
    )
    return (
        f"<div><b>{_escape(type(model).__name__)}</b> {_escape(model.name)}"
        + table_html(("Layer", "Type", "Output shape", "Parameters"), rows,
                     ("left", "left", "left", "right"))
        + f"<small>{totals}</small></div>"
    )


def history_html(history):
    """Curves, one picture a quantity, and a table of the first, best and last epochs."""
    groups = history.curve_groups()
    if not groups:
        return "<div><b>History</b>: no epoch yet</div>"
    pictures = "".join(curves_svg(name, curves) for name, curves in groups.items())
    names = [n for curves in groups.values() for n in curves]
    count = max(len(history.history[n]) for n in names)
    best = history.best_index()
    shown = sorted({0, count - 1} | ({best} if best is not None else set()))
    rows = []
    for i in shown:
        label = f"{history.epoch_numbers()[i]}" + (" (best)" if i == best else "")
        values = (history.history[n][i] if i < len(history.history[n]) else None for n in names)
        rows.append((label, *("" if v is None else f"{v:.4g}" for v in values)))
    table = table_html(("Epoch", *names), rows, ("left", *("right" for _ in names)))
    plural = "s" if count > 1 else ""
    return f"<div><b>History</b>, {count} epoch{plural}<br>{pictures}{table}</div>"


def curves_svg(title, curves):
    """One picture: `curves` is a dict of label and values; NaN and Inf break the line."""
    finite = [v for values in curves.values() for v in values if math.isfinite(v)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if high - low < 1e-12 * max(abs(high), 1e-300):
        low, high = low - abs(low) * 0.05 - 1e-12, high + abs(high) * 0.05 + 1e-12
    count = max(len(values) for values in curves.values())
    width, height = _WIDTH - _LEFT - 10, _HEIGHT - _TOP - _BOTTOM

    def point(i, v):
        x = _LEFT + (width * i / (count - 1) if count > 1 else width / 2)
        return f"{x:.1f},{_TOP + height * (high - v) / (high - low):.1f}"

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
             f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="11" '
             f'fill="#888" role="img"><title>{_escape(title)} by epoch</title>']
    parts += _axes(title, low, high, count)
    for k, (label, values) in enumerate(curves.items()):
        colour = _COLOURS[1 if label.startswith("val_") else 0]
        for run in _finite_runs(values):
            points = [point(i, values[i]) for i in run]
            if len(points) > 1:
                parts.append(f'<polyline points="{" ".join(points)}" fill="none" '
                             f'stroke="{colour}" stroke-width="1.5"/>')
            if len(points) == 1 or count <= 30:
                parts += [f'<circle cx="{p.split(",")[0]}" cy="{p.split(",")[1]}" r="2" '
                          f'fill="{colour}"/>' for p in points]
        parts.append(f'<text x="{_LEFT + 90 + 110 * k}" y="14" fill="{colour}">'
                     f'{_escape(label)}</text>')
    return "".join(parts) + "</svg>"


def _axes(title, low, high, count):
    right, bottom = _WIDTH - 10, _HEIGHT - _BOTTOM
    yield f'<text x="{_LEFT}" y="14" font-weight="bold">{_escape(title)}</text>'
    for k in range(4):
        y = _TOP + (bottom - _TOP) * k / 3
        value = high - (high - low) * k / 3
        yield (f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#8883"/>'
               f'<text x="{_LEFT - 4}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    yield (f'<text x="{_LEFT}" y="{_HEIGHT - 8}">1</text>'
           f'<text x="{right}" y="{_HEIGHT - 8}" text-anchor="end">epoch {count}</text>')


def _finite_runs(values):
    run = []
    for i, v in enumerate(values):
        if math.isfinite(v):
            run.append(i)
        elif run:
            yield run
            run = []
    if run:
        yield run
