"""nnc.profile: its nodes are those of the programs, its figures add up, the model stays as it is."""
import json
import xml.etree.ElementTree as tree

import numpy as np
import pytest

import nnc
from fitting import classifier, samples, state
from nnc import _core


@pytest.fixture(scope="module")
def profiled():
    model = classifier(dropout=0.2)
    x, y = samples()
    model.fit(x, y, verbose=0)
    before = state(model)
    found = nnc.profile(model, x, y, batch_size=64, seconds=0.1)
    assert state(model) == before               # not a bit of the model has changed
    return model, found


def test_layers_ops_and_work(profiled):
    """Each product of the network is there once, forward and backward, with its 2 m n k."""
    model, found = profiled
    dense = [layer.name for layer in model.layers if hasattr(layer, "kernel")]
    sizes = {dense[0]: 12 * 16, dense[1]: 16 * 16, dense[2]: 16 * 3}
    for kind, times in (("predict", 1), ("train", 3)):
        for name in dense:
            rows = [r for r in found.parts[kind].rows
                    if r["layer"] == name and r["op"].startswith(("dense", "matmul"))]
            products = sum(r["flops"] for r in rows)
            # the first layer's input needs no gradient
            expected = (2 if times == 3 and name == dense[0] else times) * 2 * 64 * sizes[name]
            assert products == pytest.approx(expected), (kind, name)
    phases = {row["phase"] for row in found.parts["train"].rows}
    assert phases == {"forward", "backward", "update"}
    assert {row["phase"] for row in found.parts["predict"].rows} == {"forward"}
    assert {"loss", "optimizer"} <= {row["layer"] for row in found.parts["train"].rows}


def test_figures_add_up(profiled):
    model, found = profiled
    assert found.peak > 0.1 and found.threads == _core.get_num_threads()
    assert found.weights_bytes == sum(v.numpy().nbytes for v in model.variables)
    assert found.optimizer_bytes == sum(v.numpy().nbytes for v in model.optimizer.variables)
    for part in found.parts.values():
        assert part.step_seconds > 0 and part.arena_bytes > 0
        assert sum(r["seconds"] for r in part.table()) == pytest.approx(part.seconds)
        assert sum(r["count"] for r in part.table()) == len(part.rows)
        for row in part.rows:
            assert row["gflops"] * max(row["seconds"], 1e-9) * 1e9 == pytest.approx(row["flops"])
            assert row["share_of_peak"] == pytest.approx(row["gflops"] / found.peak)


def test_nodes_of_a_step_of_microseconds_take_no_longer():
    """On all threads each would wait for the system to wake the others: milliseconds."""
    model = nnc.Sequential([nnc.Input((4,)), nnc.layers.Dense(3, activation="softmax")])
    part = nnc.profile(model, np.zeros((32, 4), "float32"), seconds=0.05).parts["predict"]
    assert part.seconds < 1e-3 > part.step_seconds


def test_text_html_and_files(profiled, tmp_path):
    model, found = profiled
    text = repr(found)
    assert "forward pass" in text and "training step" in text and "GFLOP/s" in text
    assert "<svg" in found._repr_html_()
    root = tree.fromstring(found.svg(tmp_path / "p.svg"))
    assert root.tag.endswith("svg") and (tmp_path / "p.svg").read_text() == found.svg()
    made = found.chrome_trace(tmp_path / "p.json")
    assert json.loads((tmp_path / "p.json").read_text()) == made
    events = [e for e in made["traceEvents"] if e["ph"] == "X"]
    assert len(events) == sum(len(p.rows) for p in found.parts.values())
    assert all(e["dur"] >= 0 and {"name", "ts", "pid", "tid"} <= set(e) for e in events)
    assert json.loads(json.dumps(found.to_dict()))["batch_size"] == 64


def test_functional_models_and_convolutions():
    entry = nnc.Input((8, 8, 3))
    left = nnc.layers.Conv2D(4, 3, name="conv")(entry)
    out = nnc.layers.Dense(2, name="out")(nnc.layers.Flatten()(nnc.ops.relu(left)))
    model = nnc.Model(entry, out)
    found = nnc.profile(model, np.zeros((4, 8, 8, 3), "float32"), batch_size=4, seconds=0.02)
    rows = found.parts["predict"].rows
    assert list(found.parts) == ["predict"]
    # 36 places, windows of 27 numbers, 4 filters
    assert sum(r["flops"] for r in rows if r["layer"] == "conv" and "matmul" in r["op"] or
               r["layer"] == "conv" and "dense" in r["op"]) == 2 * 4 * 36 * 27 * 4
    assert "out" in {r["layer"] for r in rows}


REFUSED = {
    "batch": (dict(batch_size=0), "`batch_size` must be an integer >= 1"),
    "few": (dict(batch_size=500), "a batch of 500 samples is asked for. Received: 300 samples"),
    "seconds": (dict(seconds=0), "`seconds` must be > 0"),
}


@pytest.mark.parametrize("row", REFUSED)
def test_what_is_refused(row):
    options, text = REFUSED[row]
    x, y = samples()
    with pytest.raises(ValueError, match=text):
        nnc.profile(classifier(), x, y, **options)
    with pytest.raises(ValueError, match="compile"):
        nnc.profile(nnc.Sequential([nnc.layers.Dense(3)]), x, y)


def test_watching_gives_the_bits_of_a_replay(threads):
    """Node by node, or at a stretch; effects only where they are asked for."""
    graph = _core.Graph()
    with graph:
        x = graph.input((64, 300), "float32")
        v = nnc.Variable(np.zeros((300, 300), "float32"))
        y = _core.op.matmul(x, v)
        y = _core.op.add(y, x)
        v.assign(_core.op.matmul(x, y, 1, 0))
    program = _core.Program(graph, [y])
    data = np.random.default_rng(0).normal(size=(64, 300)).astype("float32")
    program.watch((data,), None, 0, 0, False, False)
    assert not v.numpy().any()
    program.watch((data,), None, 0)
    seen = v.numpy()
    v.assign(np.zeros((300, 300)))
    program.replay((data,), None, 0, 1)
    assert seen.tobytes() == v.numpy().tobytes() and seen.any()


def test_labels_go_with_nodes_and_their_gradients():
    graph = _core.Graph()
    with graph:
        x = graph.input((4, 4), "float32")
        w = nnc.Variable(np.ones((4, 4), "float32"))
        graph.label = 7
        y = _core.op.tanh(_core.op.matmul(x, w))
        graph.label = 8
        loss = _core.op.sum(y, (0, 1), 0)
        gradient, = graph.gradients([loss], [w])
        assert graph.label == 8
    nodes = _core.Program(graph, [loss, gradient]).nodes()
    assert {(row[2], row[3]) for row in nodes if "tanh" in row[0] or "matmul" in row[0]} \
        >= {(7, False), (7, True)}
    with pytest.raises(ValueError, match="label must be an integer"):
        graph.label = -1


def test_a_guard_stops_before_anything_is_written():
    graph = _core.Graph()
    with graph:
        x = graph.input((2,), "float32")
        total = nnc.Variable(np.float32(0))
        loss = _core.op.sum(_core.op.log(x), (0,), 0)
        total.assign_add(loss)
    program = _core.Program(graph, [loss])
    rows = np.array([1, 1, 2, 1, -1, 1, 3, 1], "float32")
    out = np.zeros(4, "float32")
    assert program.replay((rows,), None, 0, 4, (out,), 0.0, 0) == -1 - 2
    assert total.numpy() == np.log(np.float32(2))
    assert program.replay((rows,), None, 0, 2, (out,), 0.0, 0) == 2
    assert program.replay((rows,), None, 0, 4, (out,)) == 4 and np.isnan(total.numpy())
    with pytest.raises(ValueError, match="guard must be the number of an output"):
        program.replay((rows,), None, 0, 4, (out,), 0.0, 1)
