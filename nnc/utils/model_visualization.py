"""Pictures of models: `plot_model`, `model_to_dot`, `model_to_mermaid`.

The layout is our own (layout.py), so nothing need be installed for SVG. A scene is a list of
rectangles, lines and texts in pixels; one function writes it as SVG, one draws it with matplotlib.
"""
import os

from nnc.utils import layout
from nnc.utils.model_graph import diagram_of

_DIRECTIONS = ("TB", "BT", "LR", "RL")
_LINE, _PAD = 19, 9                             # pixels: a line of text, the edge of a box
_BOLD, _PLAIN = 8.7, 7.4                        # a character, at most, at 13 and 12 pixels
_HEAD, _BORDER, _EDGE = "#2f3e54", "#8b97a8", "#5b6b80"
_YES, _NO = "#2e7d4f", "#a83232"


class _Options:
    """What is shown, and in which direction."""

    def __init__(self, show_shapes, show_dtype, show_layer_names, rankdir, show_layer_activations,
                 show_trainable):
        if rankdir not in _DIRECTIONS:
            raise ValueError(f"plot_model: `rankdir` must be one of {', '.join(_DIRECTIONS)}. "
                             f"Received: rankdir={rankdir!r}")
        self.shapes, self.dtype, self.names = show_shapes, show_dtype, show_layer_names
        self.rankdir, self.activations = rankdir, show_layer_activations
        self.trainable = show_trainable

    def title(self, box):
        """The head of a box."""
        text = f"{box.name} ({box.kind})" if self.names and box.name != box.kind else box.kind
        return text + (f" ×{box.calls}" if box.calls > 1 else "")

    def lines(self, box):
        """The lines below it: `(text, colour or None)`."""
        layer, lines = box.layer, []
        function = getattr(layer, "activation", None)
        if self.activations and function is not None:
            name = getattr(function, "__name__", None) or getattr(function, "name", str(function))
            lines.append((f"Activation: {name}", None))
        if self.shapes:
            if box.kind != "InputLayer":
                lines.append((f"Input shape: {_shapes_text(box.inputs)}", None))
            lines.append((f"Output shape: {_shapes_text(box.outputs)}", None))
        if self.dtype:
            lines.append((f"Output dtype: {box.dtype or '?'}", None))
        if self.trainable and getattr(layer, "weights", None):
            lines.append(("Trainable", _YES) if layer.trainable else ("Non-trainable", _NO))
        return lines


def _shapes_text(shapes):
    texts = ["(" + ", ".join(str(n) for n in shape) + ("," if len(shape) == 1 else "") + ")"
             for shape in shapes or ()]
    if not texts:
        return "?"
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


# ---- scenes --------------------------------------------------------------------------------------

class _Scene:
    """Primitives in pixels.

    Attributes:
        items: `("box", x, y, w, h, title, lines)`, `("frame", x, y, w, h, title)` and
            `("edge", points, whether it goes sideways)`.
        size: Width and height.
    """

    def __init__(self, items, size):
        self.items, self.size = items, size


def _scene(diagram, options):
    inner = [None if box.inner is None else _scene(box.inner, options) for box in diagram.boxes]
    sizes = [_box_size(box, options) if one is None else
             (max(one.size[0], _BOLD * len(box.name)) + 4 * _PAD, one.size[1] + 4 * _PAD + _LINE)
             for box, one in zip(diagram.boxes, inner)]
    flat = options.rankdir in ("LR", "RL")
    abstract = [(h, w) if flat else (w, h) for w, h in sizes]
    pairs = diagram.pairs()
    centres, routes, (across, along) = layout.place(abstract, pairs)
    width, height = (along, across) if flat else (across, along)

    def turned(point):
        a, l = point
        if options.rankdir in ("BT", "RL"):
            l = along - l
        return (l, a) if flat else (a, l)
    items = [("edge", [turned(p) for p in route], flat) for route in routes]
    for box, one, (w, h), centre in zip(diagram.boxes, inner, sizes, centres):
        x, y = turned(centre)
        x, y = x - w / 2, y - h / 2
        if one is None:
            items.append(("box", x, y, w, h, options.title(box), options.lines(box)))
            continue
        items.append(("frame", x, y, w, h, box.name))
        dx, dy = x + (w - one.size[0]) / 2, y + _LINE + 2 * _PAD
        items += [_moved(item, dx, dy) for item in one.items]
    return _Scene(items, (width, height))


def _box_size(box, options):
    title, lines = options.title(box), options.lines(box)
    width = max([_BOLD * len(title)] + [_PLAIN * len(text) for text, _ in lines])
    return width + 2 * _PAD, (1 + len(lines)) * _LINE + (_PAD if lines else _PAD / 2)


def _moved(item, dx, dy):
    if item[0] == "edge":
        return ("edge", [(x + dx, y + dy) for x, y in item[1]], item[2])
    return (item[0], item[1] + dx, item[2] + dy, *item[3:])


def _pieces(points, flat):
    """A route as pieces: `("line", end)`, or `("curve", control, control, end)`."""
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        straight = abs(y0 - y1) < 0.5 if flat else abs(x0 - x1) < 0.5
        if straight:
            yield ("line", (x1, y1))
        elif flat:
            yield ("curve", ((x0 + x1) / 2, y0), ((x0 + x1) / 2, y1), (x1, y1))
        else:
            yield ("curve", (x0, (y0 + y1) / 2), (x1, (y0 + y1) / 2), (x1, y1))


def _arrow(points):
    """The three corners of an arrow's head at the end of a route, which is straight."""
    (x0, y0), (x1, y1) = points[-2:]
    ux, uy = (0, 1 if y1 > y0 else -1) if abs(y1 - y0) > abs(x1 - x0) else (
        1 if x1 > x0 else -1, 0)
    return [(x1, y1), (x1 - 9 * ux - 4 * uy, y1 - 9 * uy - 4 * ux),
            (x1 - 9 * ux + 4 * uy, y1 - 9 * uy + 4 * ux)]


# ---- SVG -----------------------------------------------------------------------------------------

def _svg(scene, title):
    from nnc.html import _escape

    margin = 12
    width, height = (round(n) + 2 * margin for n in scene.size)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
             f'viewBox="{-margin} {-margin} {width} {height}" '
             'font-family="DejaVu Sans, Verdana, Arial, sans-serif" font-size="12" role="img">'
             f'<title>{_escape(title)}</title>'
             f'<rect x="{-margin}" y="{-margin}" width="{width}" height="{height}" fill="white"/>']
    for item in scene.items:
        if item[0] == "edge":
            parts.append(_svg_edge(item[1], item[2]))
            continue
        _, x, y, w, h, text = item[:6]
        place = f'x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"'
        if item[0] == "frame":
            parts.append(f'<rect {place} rx="6" fill="none" stroke="{_EDGE}" '
                         'stroke-dasharray="5 4"/>'
                         f'<text x="{x + _PAD:.1f}" y="{y + _LINE:.1f}" font-weight="bold" '
                         f'font-size="13" fill="{_HEAD}">{_escape(text)}</text>')
            continue
        middle = x + w / 2
        parts.append(f'<rect {place} rx="4" fill="white" stroke="{_BORDER}"/>'
                     f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" '
                     f'height="{_LINE + _PAD / 2:.1f}" rx="4" fill="{_HEAD}"/>'
                     f'<text x="{middle:.1f}" y="{y + 16:.1f}" text-anchor="middle" fill="white" '
                     f'font-weight="bold" font-size="13">{_escape(text)}</text>')
        for k, (line, colour) in enumerate(item[6]):
            parts.append(f'<text x="{middle:.1f}" y="{y + (k + 2) * _LINE:.1f}" '
                         f'text-anchor="middle" fill="{colour or "#222"}">{_escape(line)}</text>')
    return "".join(parts) + "</svg>"


def _svg_edge(points, flat):
    def text(point):
        return f"{point[0]:.1f} {point[1]:.1f}"
    path = f"M{text(points[0])}"
    for kind, *rest in _pieces(points, flat):
        path += ("L" if kind == "line" else "C") + ",".join(text(p) for p in rest)
    head = " ".join(f"{x:.1f},{y:.1f}" for x, y in _arrow(points))
    return (f'<path d="{path}" fill="none" stroke="{_EDGE}" stroke-width="1.4"/>'
            f'<polygon points="{head}" fill="{_EDGE}"/>')


# ---- matplotlib ----------------------------------------------------------------------------------

def _draw(scene, to_file, dpi, kind):
    """Draws the scene into a file with matplotlib, a pixel of it 1/96 of an inch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
    from matplotlib.path import Path

    margin = 12
    width, height = (n + 2 * margin for n in scene.size)
    figure = Figure(figsize=(width / 96, height / 96))
    FigureCanvasAgg(figure)
    axes = figure.add_axes([0, 0, 1, 1])
    axes.set(xlim=(-margin, width - margin), ylim=(height - margin, -margin))
    axes.axis("off")

    def box(x, y, w, h, **style):
        axes.add_patch(FancyBboxPatch((x + 3, y + 3), w - 6, h - 6,
                                      boxstyle="round,pad=3,rounding_size=4", **style))

    def text(x, y, words, size=12, **style):
        axes.text(x, y, words.replace("$", r"\$"), fontsize=size * 0.75, va="baseline", **style)
    for item in scene.items:
        if item[0] == "edge":
            vertices, codes = [item[1][0]], [Path.MOVETO]
            for piece, *points in _pieces(item[1], item[2]):
                vertices += points
                codes += [Path.LINETO] if piece == "line" else [Path.CURVE4] * 3
            axes.add_patch(PathPatch(Path(vertices, codes), fill=False, edgecolor=_EDGE, lw=1))
            axes.add_patch(Polygon(_arrow(item[1]), facecolor=_EDGE, edgecolor="none"))
            continue
        _, x, y, w, h, title = item[:6]
        if item[0] == "frame":
            box(x, y, w, h, fill=False, edgecolor=_EDGE, linestyle="--", linewidth=0.8)
            text(x + _PAD, y + _LINE, title, 13, weight="bold", color=_HEAD)
            continue
        box(x, y, w, h, facecolor="white", edgecolor=_BORDER, linewidth=0.8)
        box(x, y, w, _LINE + _PAD / 2, facecolor=_HEAD, edgecolor="none")
        text(x + w / 2, y + 16, title, 13, weight="bold", color="white", ha="center")
        for k, (line, colour) in enumerate(item[6]):
            text(x + w / 2, y + (k + 2) * _LINE, line, ha="center", color=colour or "#222222")
    figure.savefig(to_file, dpi=dpi, format=kind)


def _write_image(scene, text, to_file, dpi, kind):
    """PNG and the like: with matplotlib, else with cairosvg."""
    try:
        import matplotlib                               # noqa: F401
    except ImportError:
        try:
            import cairosvg
        except ImportError:
            raise ImportError(f"plot_model: a .{kind} file needs matplotlib (pip install "
                              "matplotlib) or cairosvg; a .svg file needs nothing. Received: "
                              f"to_file={to_file!r}") from None
        if kind != "png":
            raise ValueError(f"plot_model: cairosvg writes .png files here. Received: "
                             f"to_file={to_file!r}") from None
        cairosvg.svg2png(bytestring=text.encode(), write_to=to_file, scale=dpi / 96)
        return
    _draw(scene, to_file, dpi, kind)


class ModelPicture:
    """A picture of a model: in a notebook it shows itself.

    Attributes:
        svg: SVG as text.
    """

    def __init__(self, svg):
        self.svg = svg

    def _repr_svg_(self):
        return self.svg

    def __repr__(self):
        return f"<ModelPicture: SVG of {len(self.svg)} characters>"


_FORMATS = ("png", "pdf", "jpg", "jpeg")


def plot_model(model, to_file="model.png", show_shapes=False, show_dtype=False,
               show_layer_names=False, rankdir="TB", expand_nested=False, dpi=200,
               show_layer_activations=False, show_trainable=False, splines="ortho", **kwargs):
    """Draws a model into a file; neither graphviz nor pydot is needed.

    Args:
        model: A built model.
        to_file: The file: `.svg` needs nothing, `.png`, `.pdf` and `.jpg` need matplotlib (or, for
            `.png`, cairosvg); `.dot` and `.mmd` are written as text. `None`: none.
        show_shapes: Whether the shapes of inputs and outputs are shown.
        show_dtype: Whether the dtype of the output is shown.
        show_layer_names: Whether names are shown beside the classes.
        rankdir: `"TB"`, from top to bottom; `"LR"`, from left to right; `"BT"`, `"RL"`.
        expand_nested: Whether models in the model are drawn open.
        dpi: Dots per inch of a `.png` file.
        show_layer_activations: Whether activations are shown.
        show_trainable: Whether it is shown if layers with weights are trained.
        splines: Accepted for Keras's scripts; written into `.dot` files. Edges are drawn as curves.

    Returns:
        A `ModelPicture`, which a notebook shows.

    Subclassed models are drawn too (Keras draws one box): their call is recorded. A layer that is
    called several times is one box, marked with how often, unless that would make a circle.

    Raises:
        ValueError: If the model is not built, or the kind of file is not known.
        ImportError: If what the kind of file needs is not installed.
    """
    _no_more("plot_model", kwargs)
    options = _Options(show_shapes, show_dtype, show_layer_names, rankdir, show_layer_activations,
                       show_trainable)
    kind = os.path.splitext(os.fspath(to_file))[1][1:].lower() or "png" \
        if to_file is not None else None
    if kind not in (None, "svg", "dot", "mmd", *_FORMATS):
        raise ValueError("plot_model: `to_file` must end in .svg, .png, .pdf, .jpg, .dot or .mmd. "
                         f"Received: to_file={os.fspath(to_file)!r}")
    if not isinstance(dpi, (int, float)) or not 10 <= dpi <= 2400:
        raise ValueError(f"plot_model: `dpi` must be from 10 to 2400. Received: dpi={dpi!r}")
    diagram = diagram_of(model, expand_nested)
    scene = _scene(diagram, options)
    text = _svg(scene, model.name)
    if kind in _FORMATS:
        _write_image(scene, text, os.fspath(to_file), dpi, kind)
    elif kind is not None:
        from nnc.utils.file import atomic_write

        written = {"svg": lambda: text, "mmd": lambda: _mermaid(diagram, options),
                   "dot": lambda: _dot(diagram, options, dpi, splines)}[kind]()
        with atomic_write(to_file, "w", encoding="utf-8") as f:
            f.write(written)
    return ModelPicture(text)


def _no_more(who, kwargs):
    if kwargs.pop("layer_range", None) is not None:
        raise ValueError(f"{who}: `layer_range` is not supported: pass a model of these layers.")
    if kwargs:
        raise ValueError(f"{who}: unrecognized keyword arguments: {kwargs}")


# ---- DOT and Mermaid -----------------------------------------------------------------------------

class DotSource:
    """What `model_to_dot` gives where pydot is not installed: the text of a DOT file.

    Attributes:
        text: The text.
    """

    def __init__(self, text):
        self.text = text

    def to_string(self):
        """The text, as pydot's `to_string`."""
        return self.text

    def write(self, path, prog=None, format="raw"):
        """Writes the text; pictures of it need graphviz: `plot_model` draws without.

        Raises:
            ImportError: If another format than DOT is asked for.
        """
        if format not in ("raw", "dot"):
            raise ImportError("DotSource: `pip install pydot` and graphviz are needed for "
                              f"{format}; utils.plot_model draws without them.")
        from nnc.utils.file import atomic_write

        with atomic_write(path, "w", encoding="utf-8") as f:
            f.write(self.text)
        return True

    def __str__(self):
        return self.text


def model_to_dot(model, show_shapes=False, show_dtype=False, show_layer_names=True, rankdir="TB",
                 expand_nested=False, dpi=200, subgraph=False, show_layer_activations=False,
                 show_trainable=False, splines="ortho", **kwargs):
    """A model in graphviz's language.

    Args:
        model: A built model.
        subgraph: Whether the model becomes a cluster, to be put into another graph.
        show_shapes, show_dtype, show_layer_names, rankdir, expand_nested, dpi,
        show_layer_activations, show_trainable, splines: See `plot_model`.

    Returns:
        A `pydot.Dot` (or `pydot.Cluster`) if pydot is installed, else a `DotSource`: both have
        `to_string()`.

    Raises:
        ValueError: If the model is not built.
    """
    _no_more("model_to_dot", kwargs)
    options = _Options(show_shapes, show_dtype, show_layer_names, rankdir, show_layer_activations,
                       show_trainable)
    text = _dot(diagram_of(model, expand_nested), options, dpi, splines, subgraph)
    try:
        import pydot
    except ImportError:
        return DotSource(text)
    if subgraph:
        return pydot.graph_from_dot_data(f"digraph {{ {text} }}")[0].get_subgraphs()[0]
    return pydot.graph_from_dot_data(text)[0]


def _flattened(diagram, prefix=""):
    """Boxes and edges with nested ones in their places: names for boxes, clusters as a nest."""
    names, clusters = {}, []
    for i, box in enumerate(diagram.boxes):
        name = f"{prefix}{i}"
        if box.inner is None:
            names[i] = ([name], [name])
            clusters.append((name, box))
            continue
        parts, entries, exits, edges = _flattened(box.inner, f"{name}_")
        names[i] = (entries, exits)
        clusters.append((name, box.inner.name, parts, edges))
    edges = []
    for a, b, output, number in diagram.edges:
        source, target = names[a][1], names[b][0]
        edge = (source[min(output, len(source) - 1)], target[min(number, len(target) - 1)])
        if edge not in edges:
            edges.append(edge)
    return (clusters, [names[i][0][0] for i in diagram.entries],
            [names[i][1][0] for i in diagram.exits], edges)


def _dot(diagram, options, dpi, splines, subgraph=False):
    def quoted(text):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    def body(clusters, edges, indent):
        for part in clusters:
            if len(part) == 2:
                label = "\n".join([options.title(part[1]),
                                   *(text for text, _ in options.lines(part[1]))])
                yield f"{indent}n{part[0]} [label={quoted(label)}];".replace("\n", "\\n")
                continue
            name, title, inner, links = part
            yield f"{indent}subgraph cluster_{name} {{"
            yield f"{indent}  label={quoted(title)}; labeljust=l; style=dashed;"
            yield from body(inner, links, indent + "  ")
            yield indent + "}"
        for a, b in edges:
            yield f"{indent}n{a} -> n{b};"
    clusters, _, _, edges = _flattened(diagram)
    head = [f"subgraph {quoted('cluster_' + diagram.name)} {{", f"  label={quoted(diagram.name)}; "
            "labeljust=l; style=dashed;"] if subgraph else \
        [f"digraph {quoted(diagram.name)} {{", f"  rankdir={options.rankdir}; dpi={dpi}; "
         f"splines={splines}; concentrate=true;"]
    head.append('  node [shape=box, fontname="Helvetica"];')
    return "\n".join([*head, *body(clusters, edges, "  "), "}"]) + "\n"


def model_to_mermaid(model, show_shapes=False, show_dtype=False, show_layer_names=True,
                     rankdir="TB", expand_nested=False, show_layer_activations=False,
                     show_trainable=False):
    """A model as a Mermaid flowchart, which GitHub and many editors draw. Not in Keras.

    Args:
        model: A built model.
        show_shapes, show_dtype, show_layer_names, rankdir, expand_nested, show_layer_activations,
        show_trainable: See `plot_model`.
    """
    options = _Options(show_shapes, show_dtype, show_layer_names, rankdir, show_layer_activations,
                       show_trainable)
    return _mermaid(diagram_of(model, expand_nested), options)


def _mermaid(diagram, options):
    def quoted(text):
        for sign, code in (("#", "#35;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;")):
            text = text.replace(sign, code)
        return text

    def body(clusters, edges, indent):
        for part in clusters:
            if len(part) == 2:
                lines = [options.title(part[1]), *(text for text, _ in options.lines(part[1]))]
                yield f'{indent}n{part[0]}["{"<br>".join(map(quoted, lines))}"]'
                continue
            name, title, inner, links = part
            yield f'{indent}subgraph s{name}["{quoted(title)}"]'
            yield from body(inner, links, indent + "  ")
            yield f"{indent}end"
        for a, b in edges:
            yield f"{indent}n{a} --> n{b}"
    clusters, _, _, edges = _flattened(diagram)
    return "\n".join([f"flowchart {options.rankdir}", *body(clusters, edges, "  ")]) + "\n"
