"""`summary(detail=True)`: counts by hand, memory beside what a process really takes, no traces left."""
import re
import subprocess
import sys

import numpy as np
import pytest

import nnc
from nnc.costs import model_costs

L = nnc.layers


def network(*sizes, loss="sparse_categorical_crossentropy", compiled=True):
    nnc.utils.set_random_seed(0)
    model = nnc.Sequential([nnc.Input(sizes[:1]), *(L.Dense(n, activation="relu", name=f"d{i}")
                                                    for i, n in enumerate(sizes[1:]))])
    if compiled:
        model.compile("adam", loss, metrics=["accuracy"])
    return model


def text_of(model, **options):
    lines = []
    model.summary(print_fn=lines.append, detail=True, **options)
    return lines[0]


def test_counts_are_those_made_by_hand():
    found = model_costs(network(20, 30, 4), 16)
    assert found.of("d0") == {"multiply_adds": 16 * 20 * 30, "activation_bytes": 16 * 30 * 4,
                              "seconds": found.layers["d0"]["seconds"]}
    assert found.of("d1")["multiply_adds"] == 16 * 30 * 4
    assert found.weights_bytes == 4 * (20 * 30 + 30 + 30 * 4 + 4)
    assert found.optimizer_bytes == 2 * found.weights_bytes + 8 + 4     # m, v; step, learning rate
    assert found.train_bytes > found.weights_bytes + found.optimizer_bytes
    assert found.predict_bytes > found.weights_bytes
    assert found.block == 512


def test_convolutions_and_nested_layers():
    inner = nnc.Sequential([L.Conv2D(4, 3, name="conv"), L.Flatten()], name="inner")
    model = nnc.Sequential([nnc.Input((8, 8, 3)), inner, L.Dense(2, name="out")])
    found = model_costs(model, 5)
    places = 5 * 6 * 6
    assert found.of("inner") == found.of("inner/conv")
    assert found.of("inner")["multiply_adds"] == places * 27 * 4
    assert found.of("out")["multiply_adds"] == 5 * 6 * 6 * 4 * 2
    assert "└ conv" in text_of(model, expand_nested=True)


def two_outputs():
    entry = nnc.Input((6,), name="entry")
    hidden = L.Dense(5)(entry)
    model = nnc.Model(entry, {"a": L.Dense(3, activation="softmax", name="a")(hidden),
                              "b": L.Dense(1, name="b")(hidden)})
    model.compile("sgd", {"a": "sparse_categorical_crossentropy", "b": "mse"},
                  metrics={"a": ["accuracy"]}, loss_weights={"a": 0.5, "b": 1.0})
    return model


class Own(nnc.Model):
    def __init__(self):
        super().__init__()
        self.first, self.last = L.Dense(5, name="first"), L.Dense(1, name="last")

    def call(self, x):
        return self.last(self.first(x))


def subclassed():
    model = Own()
    model.build((None, 6))
    model.compile("rmsprop", nnc.losses.MeanSquaredError(), metrics=[nnc.metrics.MeanAbsoluteError()])
    return model


def accumulating():
    model = network(6, 5, 3)
    model.compile(nnc.optimizers.Adam(gradient_accumulation_steps=2), "mse")
    return model


MODELS = {"sequential": lambda: network(6, 5, 3), "two outputs": two_outputs, "subclassed": subclassed,
          "accumulating": accumulating}


@pytest.mark.parametrize("row", MODELS)
def test_nothing_is_left_behind(row):
    """The fit after it gives the bits of one without it, and the optimizer's bytes are its own."""
    x = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
    results = []
    for look in (False, True):
        nnc.utils.set_random_seed(3)
        model = MODELS[row]()
        if look:
            found, text = model_costs(model), text_of(model)
            assert not model.optimizer.built and model.optimizer.iterations.numpy() == 0
            assert "Peak memory of fit" in text and "training step" in text
        labels = np.arange(32) % 3
        y = {"two outputs": {"a": labels, "b": x[:, :1]}, "subclassed": x[:, :1],
             "accumulating": np.eye(3, dtype="float32")[labels]}.get(row, labels)
        history = model.fit(x, y, batch_size=16, epochs=2, verbose=0)
        results.append((history.history, [w.tobytes() for w in model.get_weights()]))
    assert results[0] == results[1]
    taken = sum(v.numpy().nbytes for v in model.optimizer.variables)
    assert found.optimizer_bytes == taken


def test_what_is_not_known_is_said():
    assert "Training step: not known, the model is not compiled" in text_of(
        network(6, 5, 3, compiled=False))

    class Pairs(nnc.Sequential):
        def train_step(self, data):
            raise KeyError("wants pairs")

    model = Pairs([nnc.Input((3,)), L.Dense(1)])
    model.compile("sgd", "mse")
    assert re.search("Training step: not known, KeyError: 'wants pairs'", text_of(model))


@pytest.mark.parametrize("make, options, text", [
    (lambda: nnc.Sequential([L.Dense(3)]), {}, "needs the shapes of the inputs of model"),
    (lambda: nnc.Sequential([nnc.Input((None, 3)), L.Dense(3)]), {},
     r"every size but the batch. Received: .* of shape \(None, None, 3\)"),
    (lambda: network(3, 2), {"batch_size": 0}, "`batch_size` must be an integer >= 1"),
], ids=["unbuilt", "open", "batch"])
def test_what_is_refused(make, options, text):
    with pytest.raises(ValueError, match=text):
        make().summary(detail=True, **options)


BIG = """
import numpy as np, nnc
L = nnc.layers
def dense(width):
    return (width,), (width,), [L.Dense(2 * width, activation="relu"), L.Dense(width)]
def wide():
    return (1000,), (10,), [L.Dense(1000, activation="relu"), L.Dropout(0.3), L.Dense(10)]
def conv():
    return (32, 32, 3), (10,), [L.Conv2D(32, 3, activation="relu"), L.MaxPooling2D(), L.Conv2D(64, 3),
                                L.BatchNormalization(), L.Flatten(), L.Dense(10)]
def make(case):
    shape, out, layers = eval(case)
    model = nnc.Sequential([nnc.Input(shape), *layers])
    model.compile("adam", "mse")
    return shape, out, model
"""
CODE = """
import sys
case, rows, what = sys.argv[1], int(sys.argv[2]), sys.argv[3]
def status(name):
    with open("/proc/self/status") as f:
        return 1024 * next(int(line.split()[1]) for line in f if line.startswith(name + ":"))
small = nnc.Sequential([nnc.Input((4,)), L.Dense(2)])
small.compile("adam", "mse")
small.fit(np.ones((8, 4)), np.ones((8, 2)), verbose=0, validation_data=(np.ones((7, 4)), np.ones((7, 2))))
small.predict(np.ones((600, 4)), verbose=0)
shape, out, _ = make(case)
x, y = np.ones((2 * max(rows, 512), *shape), "float32"), np.ones((2 * max(rows, 512), *out), "float32")
before = status("VmRSS")
shape, out, model = make(case)
with open("/proc/self/clear_refs", "w") as f:
    f.write("5")                                # the peak begins anew
if what == "fit":
    model.fit(x, y, batch_size=rows, verbose=0)
elif what == "fit, short batch, validation":
    model.fit(x[:rows + rows // 2 + 1], y[:rows + rows // 2 + 1], batch_size=rows, verbose=0, epochs=2,
              validation_data=(x[-rows - 7:], y[-rows - 7:]))
else:
    before += model.predict(x, batch_size=rows, verbose=0).nbytes
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("case, rows, what", [
    ("dense(1500)", 256, "fit"), ("wide()", 8192, "fit"), ("conv()", 256, "fit"),
    ("dense(1500)", 256, "predict"), ("conv()", 256, "predict"),
    ("wide()", 4096, "fit, short batch, validation"),
    ("conv()", 256, "fit, short batch, validation")])
def test_peak_memory_is_right(case, rows, what):
    """Within 10 % of what a process really takes, beyond Python, the data and the outputs."""
    made = {}
    exec(BIG, made)
    found = model_costs(made["make"](case)[2], rows)
    done = subprocess.run([sys.executable, "-c", BIG + CODE, case, str(rows), what],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    predicted = found.predict_bytes if what == "predict" else found.train_bytes
    assert 0.9 < int(done.stdout) / predicted < 1.1
