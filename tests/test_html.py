"""What notebooks show: well-formed HTML without scripts, and the right numbers in it."""
import re
import xml.etree.ElementTree as ElementTree

import pytest

import nnc
from nnc import html
from nnc.callbacks import History

NAN = float("nan")


def parse(text):
    """The tree; raises if the text is not well-formed. `<br>` is HTML's only unclosed tag here."""
    assert not re.search(r"<script|javascript:|\son\w+=", text, re.I)
    return ElementTree.fromstring(text.replace("<br>", "<br/>"))


def history(**curves):
    h = History()
    h.set_model(type("Model", (), {})())
    for epoch, values in enumerate(zip(*curves.values())):
        h.epoch.append(epoch)
        for name, value in zip(curves, values):
            h.history.setdefault(name, []).append(value)
    return h


def cells(tree):
    return [["".join(c.itertext()) for c in row] for row in tree.iter("tr")]


def test_model_is_a_table():
    layers = nnc.layers
    model = nnc.Sequential([nnc.Input((28, 28)), layers.Flatten(), layers.Dense(20, name="a<b"),
                            layers.Dense(10)], name="x&y")
    tree = parse(model._repr_html_())
    rows = cells(tree)
    assert rows[0] == ["Layer", "Type", "Output shape", "Parameters"]
    assert rows[2] == ["a<b", "Dense", "(None, 20)", "15,700"]
    text = "".join(tree.itertext())
    assert "x&y" in text and "Total params: 15,910 (62.15 KB)" in text


def test_unbuilt_model_shows_itself():
    rows = cells(parse(nnc.Sequential([nnc.layers.Dense(3)])._repr_html_()))
    assert rows[1][2:] == ["?", "0 (unbuilt)"]


def test_history_is_curves_and_a_table():
    tree = parse(history(loss=[3.0, 2.0, 1.0, 0.5], val_loss=[3.0, 1.0, 1.5, 2.0])._repr_html_())
    assert cells(tree) == [["Epoch", "loss", "val_loss"], ["1", "3", "3"], ["2 (best)", "2", "1"],
                           ["4", "0.5", "2"]]
    svg = "{http://www.w3.org/2000/svg}"
    lines = list(tree.iter(svg + "polyline"))
    assert len(lines) == 2
    points = [tuple(map(float, p.split(","))) for p in lines[0].get("points").split()]
    assert len(points) == 4 and points[0][1] < points[-1][1]     # a loss falls on the screen too
    assert all(0 <= x <= 320 and 0 <= y <= 200 for x, y in points)


@pytest.mark.parametrize("values", [
    [1.0], [2.0, 2.0, 2.0], [NAN, NAN], [1.0, NAN, 3.0, 2.0], [0.0, 0.0], [1e30, -1e30],
    [float("inf"), 1.0],
])
def test_odd_curves(values):
    text = html.curves_svg("<loss>", {"loss": values})
    parse(text)
    assert "nan" not in text and "inf" not in text


def test_a_gap_breaks_the_line():
    text = html.curves_svg("loss", {"loss": [1.0, 2.0, NAN, 3.0, 4.0]})
    assert text.count("<polyline") == 2


def test_empty_history():
    assert "no epoch yet" in History()._repr_html_()
