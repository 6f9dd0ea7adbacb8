"""Pictures of models: what is in them, and that nothing lies on anything else."""
import builtins
import xml.etree.ElementTree as tree

import numpy as np
import pytest

import nnc
from nnc import layers
from nnc.utils import (get_source_inputs, layout, model_graph, model_to_dot, model_to_mermaid,
                       model_visualization, plot_model)


def sequential():
    return nnc.Sequential([nnc.Input((8, 8, 1)), layers.Conv2D(2, 3, activation="relu", name="conv"),
                           layers.Flatten(name="flat"), layers.Dense(3, name="out")], name="chain")


def residual(x, name):
    y = layers.Dense(8, activation="relu", name=f"{name}_a")(x)
    return layers.Add(name=f"{name}_add")([x, layers.Dense(8, name=f"{name}_b")(y)])


def functional():
    """Two inputs and outputs, a shared layer, residuals, a nested model, an op, a long edge."""
    left, right = nnc.Input((16,), name="left"), nnc.Input((16,), name="right")
    shared = layers.Dense(8, name="shared")
    encoder = nnc.Sequential([nnc.Input((8,), name="enter"), layers.Dense(8, name="e1"),
                              layers.Dense(8, name="e2")], name="encoder")
    a, b = shared(left), shared(right)
    c = residual(residual(a, "r1"), "r2")
    joined = layers.Concatenate(name="join")([c, encoder(b), a])
    value = nnc.ops.relu(layers.Dense(1, name="value")(joined))
    return nnc.Model([left, right], [layers.Dense(3, name="class")(joined), value], name="two")


class Subclassed(nnc.Model):
    """Residual, one layer called twice in a row, one that is the identity in inference."""

    def __init__(self):
        super().__init__(name="mine")
        self.a, self.b = layers.Dense(8, name="a"), layers.Dense(8, name="b")
        self.drop, self.out = layers.Dropout(0.5, name="drop"), layers.Dense(2, name="out")

    def call(self, x):
        h = nnc.ops.tanh(self.a(x))
        h = h + self.drop(self.b(h))
        return self.out(self.b(h))


def subclassed():
    model = Subclassed()
    model(np.zeros((2, 4), "float32"))
    return model


def inception():
    entry = x = nnc.Input((16, 16, 3))
    for _ in range(2):
        branches = [layers.Conv2D(4, 1, padding="same")(x)]
        for size in (3, 5):
            inner = layers.Conv2D(4, 1, padding="same")(x)
            branches.append(layers.Conv2D(4, size, padding="same")(inner))
        branches.append(layers.MaxPooling2D(3, 1, padding="same")(x))
        x = layers.Concatenate()(branches)
    return nnc.Model(entry, layers.GlobalAveragePooling2D()(x))


MODELS = {"sequential": sequential, "functional": functional, "subclassed": subclassed,
          "inception": inception}


def edges_of(model, **options):
    """Pairs of names."""
    diagram = model_graph.diagram_of(model, **options)
    return {(diagram.boxes[a].name, diagram.boxes[b].name) for a, b in diagram.pairs()}


def test_what_leads_to_what():
    assert {b for _, b in edges_of(sequential())} == {"conv", "flat", "out"}
    found = edges_of(functional())
    assert {("left", "shared"), ("right", "shared"), ("shared", "r1_a"), ("shared", "r1_add"),
            ("shared", "encoder"), ("shared", "join"), ("encoder", "join"), ("r2_add", "join"),
            ("join", "class"), ("join", "value")} <= found
    assert len(found) == 17                     # and six of the residuals, one to relu
    assert edges_of(subclassed()) == {
        ("input", "a"), ("a", "tanh"), ("tanh", "b (call 1)"), ("b (call 1)", "drop"),
        ("tanh", "add"), ("drop", "add"), ("add", "b (call 2)"), ("b (call 2)", "out")}


def test_shapes_of_calls():
    boxes = {box.name: box for box in model_graph.diagram_of(subclassed()).boxes}
    assert boxes["a"].inputs == [(None, 4)] and boxes["a"].outputs == [(None, 8)]
    assert boxes["out"].outputs == [(None, 2)] and boxes["out"].dtype == "float32"
    boxes = {box.name: box for box in model_graph.diagram_of(functional()).boxes}
    assert boxes["join"].inputs == [(None, 8)] * 3 and boxes["shared"].calls == 2


def rectangles(scene):
    return [(x, y, x + w, y + h) for kind, x, y, w, h, *_ in
            (item for item in scene.items if item[0] == "box")]


@pytest.mark.parametrize("direction", ["TB", "LR", "BT", "RL"])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("row", MODELS)
def test_nothing_overlaps(row, nested, direction):
    """No box lies on another, no text is wider than its box, no edge runs through a box that it
    neither leaves nor enters, and all of it is within the picture.
    """
    options = model_visualization._Options(True, True, True, direction, True, True)
    scene = model_visualization._scene(model_graph.diagram_of(MODELS[row](), nested), options)
    boxes = rectangles(scene)
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        assert -0.5 <= x0 and x1 <= scene.size[0] + 0.5 and -0.5 <= y0 and y1 <= scene.size[1] + 0.5
        for u0, v0, u1, v1 in boxes[:i]:
            assert x1 <= u0 or u1 <= x0 or y1 <= v0 or v1 <= y0
    for item in scene.items:
        if item[0] != "edge":
            continue
        points = item[1]
        for (x0, y0), (x1, y1) in zip(points, points[1:]):
            for t in np.linspace(0.02, 0.98, 15):
                x, y = x0 + t * (x1 - x0), y0 + t * (y1 - y0)
                assert not any(a + 1 < x < c - 1 and b + 1 < y < d - 1 for a, b, c, d in boxes)


@pytest.mark.parametrize("seed", range(8))
def test_layouts_of_random_graphs(seed):
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 25))
    edges = list({(int(a), int(b)) for a, b in random.integers(0, count, (2 * count, 2)) if a < b})
    sizes = [tuple(map(float, random.integers(20, 200, 2))) for _ in range(count)]
    centres, routes, (across, along) = layout.place(sizes, edges)
    for i in range(count):
        for j in range(i):
            apart = [abs(centres[i][k] - centres[j][k]) - (sizes[i][k] + sizes[j][k]) / 2
                     for k in (0, 1)]
            assert max(apart) > -1e-6
    for (a, b), route in zip(edges, routes):
        assert centres[a][1] < centres[b][1]
        assert route[0][1] == pytest.approx(centres[a][1] + sizes[a][1] / 2)
        assert route[-1][1] == pytest.approx(centres[b][1] - sizes[b][1] / 2)
        assert all(p[1] <= q[1] for p, q in zip(route, route[1:]))


OPTIONS = {
    "show_shapes": ["Input shape: (None, 6, 6, 2)", "Output shape: (None, 72)"],
    "show_dtype": ["Output dtype: float32"], "show_layer_names": ["conv (Conv2D)"],
    "show_layer_activations": ["Activation: relu"], "show_trainable": ["Trainable"]}


@pytest.mark.parametrize("option", OPTIONS)
def test_options_show_what_they_say(option, tmp_path):
    model = sequential()
    path = tmp_path / "model.svg"
    for on in (False, True):
        picture = plot_model(model, path, **{"show_layer_names": False, option: on})
        texts = [t.text for t in tree.fromstring(path.read_text()).iter() if t.tag.endswith("text")]
        assert all((wanted in texts) == on for wanted in OPTIONS[option])
        assert "Conv2D" in texts or option == "show_layer_names"
        assert picture._repr_svg_() == path.read_text()
        dot = str(model_to_dot(model, **{"show_layer_names": False, option: on}).to_string())
        mermaid = model_to_mermaid(model, **{"show_layer_names": False, option: on})
        assert all((wanted in dot) == on and (wanted in mermaid) == on
                   for wanted in OPTIONS[option])


def test_files(tmp_path):
    model = functional()
    for kind, begin in (("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<svg"),
                        ("dot", b"digraph"), ("mmd", b"flowchart")):
        path = tmp_path / f"model.{kind}"
        plot_model(model, str(path), expand_nested=True, dpi=40)
        assert path.read_bytes().startswith(begin)
    assert plot_model(model, None).svg.startswith("<svg")
    small, large = tmp_path / "a.png", tmp_path / "b.png"
    plot_model(model, small, dpi=48)
    plot_model(model, large, dpi=96)
    widths = [int.from_bytes(p.read_bytes()[16:20], "big") for p in (small, large)]
    assert abs(widths[1] - 2 * widths[0]) <= 2


def test_nested_models_are_clusters():
    closed, opened = (str(model_to_dot(functional(), expand_nested=on).to_string())
                      for on in (False, True))
    assert "e1 (Dense)" not in closed and "encoder (Sequential)" in closed
    assert "e1 (Dense)" in opened and 'label="encoder"' in opened.replace("label=encoder",
                                                                          'label="encoder"')
    assert "cluster" in str(model_to_dot(sequential(), subgraph=True).to_string())
    assert 'subgraph s' in model_to_mermaid(functional(), expand_nested=True)


REFUSED = {
    "unbuilt": (lambda p: plot_model(nnc.Sequential([layers.Dense(2)]), p / "a.svg"), ValueError,
                "has not yet been built"),
    "direction": (lambda p: plot_model(sequential(), p / "a.svg", rankdir="UP"), ValueError,
                  "one of TB, BT, LR, RL. Received: rankdir='UP'"),
    "kind": (lambda p: plot_model(sequential(), p / "a.bmp"), ValueError, "must end in .svg, .png"),
    "range": (lambda p: plot_model(sequential(), p / "a.svg", layer_range=["a", "b"]), ValueError,
              "`layer_range` is not supported"),
    "unknown": (lambda p: model_to_dot(sequential(), colour=1), ValueError,
                "unrecognized keyword arguments"),
    "dpi": (lambda p: plot_model(sequential(), p / "a.svg", dpi=0), ValueError, "from 10 to 2400"),
}


@pytest.mark.parametrize("row", REFUSED)
def test_what_is_refused(row, tmp_path):
    call, kind, text = REFUSED[row]
    with pytest.raises(kind, match=text):
        call(tmp_path)
    assert not list(tmp_path.iterdir())


def test_png_without_matplotlib_says_what_it_needs(monkeypatch, tmp_path):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] in ("matplotlib", "cairosvg", "pydot"):
            raise ImportError(name)
        return real(name, *args, **kwargs)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="needs matplotlib .*or cairosvg; a .svg file needs noth"):
        plot_model(sequential(), tmp_path / "a.png")
    plot_model(sequential(), tmp_path / "a.svg")
    dot = model_to_dot(sequential())
    assert dot.write(tmp_path / "a.dot") and (tmp_path / "a.dot").read_text() == dot.to_string()
    with pytest.raises(ImportError, match="pydot.* and graphviz are needed for png"):
        dot.write(tmp_path / "b.png", format="png")


def test_a_call_that_cannot_be_recorded_is_one_box():
    class Asking(nnc.Model):
        def call(self, x):
            return x if float(nnc.ops.sum(x)) > 0 else -x
    model = Asking(name="asking")
    model(np.zeros((2, 3), "float32"))
    assert [box.name for box in model_graph.diagram_of(model).boxes] == ["asking"]


def test_source_inputs():
    model = functional()
    assert [t.name for t in get_source_inputs(model.outputs[0])] in (["left", "right"],
                                                                     ["right", "left"])
    assert get_source_inputs(model.inputs[0]) == [model.inputs[0]]
    assert get_source_inputs(3) == 3
