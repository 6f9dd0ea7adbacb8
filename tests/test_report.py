"""nnc.report against scikit-learn's scores and definitions in NumPy."""
import json

import numpy as np
import pytest

import nnc

metrics = pytest.importorskip("sklearn.metrics")


def classifier(classes, activation, loss, width=6):
    """An untrained network: it errs enough for every score to be a number of its own."""
    nnc.utils.set_random_seed(3)
    model = nnc.Sequential([nnc.Input((width,)), nnc.layers.Dense(
        classes, activation=activation, kernel_initializer="random_normal")])
    model.layers[0].kernel.assign(8 * model.layers[0].kernel.numpy())
    model.compile("sgd", loss)
    return model


def samples(count=400, width=6, classes=4):
    random = np.random.default_rng(0)
    x = random.normal(size=(count, width)).astype("float32")
    return x, np.minimum(random.integers(0, classes, count), random.integers(0, classes, count))


def logits(name):
    return getattr(nnc.losses, name)(from_logits=True)


#: classes, last activation, loss, what is made of the labels
CASES = {
    "sparse": (4, "softmax", "sparse_categorical_crossentropy", lambda y: y),
    "column": (4, "softmax", "sparse_categorical_crossentropy", lambda y: y[:, None]),
    "one-hot": (4, "softmax", "categorical_crossentropy", lambda y: np.eye(4)[y]),
    "logits": (4, None, logits("SparseCategoricalCrossentropy"), lambda y: y),
    "binary": (1, "sigmoid", "binary_crossentropy", lambda y: y % 2),
    "binary column": (1, "sigmoid", "binary_crossentropy", lambda y: (y % 2)[:, None]),
    "binary logits": (1, None, logits("BinaryCrossentropy"), lambda y: (y % 2).astype("float32")),
}


def probabilities(model, x):
    """By definition, in float64."""
    kernel, bias = (w.astype("float64") for w in model.get_weights())
    z = x.astype("float64") @ kernel + bias
    if z.shape[1] == 1:
        p = 1 / (1 + np.exp(-z))
        return np.concatenate([1 - p, p], axis=1)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("row", CASES)
def test_classes_are_scikit_learns(row):
    classes, activation, loss, targets = CASES[row]
    x, y = samples()
    model = classifier(classes, activation, loss)
    found = nnc.report(model, x, targets(y))
    y = y % 2 if classes == 1 else y
    p = probabilities(model, x)
    made = p.argmax(axis=1)
    theirs = metrics.classification_report(y, made, output_dict=True, zero_division=0)
    pairs = {"precision": "precision", "recall": "recall", "f1": "f1-score", "support": "support"}
    for name, scores in found.classes.items():
        for ours, their in pairs.items():
            assert scores[ours] == pytest.approx(theirs[name][their], abs=1e-12)
    for ours, their in (("macro", "macro avg"), ("weighted", "weighted avg")):
        for kind in ("precision", "recall", "f1"):
            assert getattr(found, ours)[kind] == pytest.approx(theirs[their][pairs[kind]], abs=1e-12)
    assert found.accuracy == pytest.approx(theirs["accuracy"])
    np.testing.assert_array_equal(found.confusion, metrics.confusion_matrix(y, made))
    # the network computes in float32: some 1e-6 of a probability
    assert found.log_loss == pytest.approx(metrics.log_loss(y, p), rel=1e-4)
    if classes > 3:
        assert found.top_k == {3: pytest.approx(metrics.top_k_accuracy_score(y, p, k=3))}


def test_calibration_by_definition():
    x, y = samples()
    model = classifier(4, "softmax", "sparse_categorical_crossentropy")
    found = nnc.report(model, x, y, bins=10)
    p = probabilities(model, x)
    right, confidence = p.argmax(axis=1) == y, p.max(axis=1)
    total = 0.0
    for b in found.calibration:
        inside = (confidence >= b["low"]) & (confidence < b["high"])
        assert b["count"] == inside.sum()
        assert b["accuracy"] == pytest.approx(right[inside].mean())
        assert b["confidence"] == pytest.approx(confidence[inside].mean(), rel=1e-5)
        total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert found.ece == pytest.approx(total, rel=1e-4)


def test_worst_samples():
    x, y = samples()
    model = classifier(4, "softmax", "sparse_categorical_crossentropy")
    found = nnc.report(model, x, y, worst=5, class_names=["a", "b", "c", "d"])
    loss = -np.log(probabilities(model, x)[np.arange(len(y)), y])
    assert [w["index"] for w in found.worst] == list(np.argsort(-loss)[:5])
    assert [w["true"] for w in found.worst] == ["abcd"[y[w["index"]]] for w in found.worst]
    assert list(found.classes) == ["a", "b", "c", "d"]


def test_a_class_that_is_never_predicted_scores_0():
    x, _ = samples(50)
    model = classifier(4, "softmax", "sparse_categorical_crossentropy")
    model.layers[0].bias.assign([50.0, 0, 0, 0])
    found = nnc.report(model, x, np.ones(50, "int64"))
    assert found.classes["1"] == {"precision": 0, "recall": 0, "f1": 0, "support": 50}
    assert found.accuracy == 0


@pytest.mark.parametrize("outputs", [1, 3])
def test_regression_is_scikit_learns(outputs):
    x, _ = samples()
    y = np.random.default_rng(1).normal(size=(400, outputs))
    model = classifier(outputs, None, "mse")
    found = nnc.report(model, x, y if outputs > 1 else y[:, 0])
    made = model.predict(x, verbose=0)
    assert found.mae == pytest.approx(metrics.mean_absolute_error(y, made))
    assert found.rmse == pytest.approx(metrics.mean_squared_error(y, made) ** 0.5)
    assert found.r2 == pytest.approx(metrics.r2_score(y, made), abs=1e-9)
    for q, value in found.quantiles.items():
        assert value == pytest.approx(np.quantile(made - y, q), rel=1e-6, abs=1e-9)
    loss = ((made - y) ** 2).mean(axis=1)
    assert [w["index"] for w in found.worst] == list(np.argsort(-loss)[:10])


def test_uncompiled_models_go_by_the_targets():
    x, y = samples()
    model = nnc.Sequential([nnc.Input((6,)), nnc.layers.Dense(4, activation="softmax")])
    assert isinstance(nnc.report(model, x, y), type(nnc.report(
        classifier(4, "softmax", "sparse_categorical_crossentropy"), x, y)))
    line = nnc.Sequential([nnc.Input((6,)), nnc.layers.Dense(1)])
    assert "R2" in repr(nnc.report(line, x, y.astype("float32")))


def with_three_outputs(form):
    nnc.utils.set_random_seed(3)
    entry = nnc.Input((6,))
    outputs = {"kind": nnc.layers.Dense(4, activation="softmax", name="kind")(entry),
               "flag": nnc.layers.Dense(1, name="flag")(entry),
               "size": nnc.layers.Dense(2, name="size")(entry)}
    losses = {"kind": "sparse_categorical_crossentropy", "flag": logits("BinaryCrossentropy"),
              "size": "mse"}
    if form == "list":
        outputs, losses = list(outputs.values()), list(losses.values())
    model = nnc.Model(entry, outputs)
    model.compile("sgd", losses)
    return model


@pytest.mark.parametrize("form", ["dict", "list"])
@pytest.mark.parametrize("trained", [False, True])
def test_several_outputs_have_a_report_each(form, trained):
    """Each is that of the model with that output alone."""
    x, y = samples()
    targets = {"kind": y, "flag": y % 2, "size": np.random.default_rng(1).normal(size=(400, 2))}
    model = with_three_outputs(form)
    if trained:
        model.fit(x, targets if form == "dict" else list(targets.values()), verbose=0)
    found = nnc.report(model, x, targets if form == "dict" else list(targets.values()),
                       class_names={"kind": list("abcd")}, task="auto")
    assert set(found) == set(targets) and found.name == model.name
    assert list(found["kind"].classes) == list("abcd")
    losses = {"kind": "sparse_categorical_crossentropy", "flag": logits("BinaryCrossentropy"),
              "size": "mse"}
    for name, report in found.items():
        alone = nnc.Model(model.inputs, model.get_layer(name).output)
        alone.compile("sgd", losses[name])
        expected = nnc.report(alone, x, targets[name], class_names=list("abcd")
                              if name == "kind" else None).to_dict()
        assert {**report.to_dict(), "name": 0} == {**expected, "name": 0}
    assert json.loads(json.dumps(found.to_dict()))["size"]["count"] == 400
    text, html = repr(found), found._repr_html_()
    assert all(f"output {name}" in text and f"output {name}" in html for name in found)
    figures = found.plot()
    assert all(len(figure.axes) == 2 for figure in figures.values())
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.mark.parametrize("names, text", [
    (["a"], "`class_names` must be a dict"), ({"other": ["a"]}, "names the output 'other'")])
def test_class_names_of_several_outputs(names, text):
    x, y = samples()
    with pytest.raises(ValueError, match=text):
        nnc.report(with_three_outputs("list"), x, [y, y % 2, np.ones((400, 2))], class_names=names)


REFUSED = {
    "no y": (dict(y=None), "`y` must be the targets. Received: y=None"),
    "two targets": (dict(y=[np.zeros(400), np.zeros(400)]), "has one output. Received: 2 arrays"),
    "out of range": (dict(y=np.full(400, 4)), "from 0 to 3. Received: 4 to 4"),
    "several classes": (dict(y=np.ones((400, 4))), "must be one-hot"),
    "short names": (dict(class_names=["a"]), "a name for each of 4 classes. Received: 1"),
    "task": (dict(task="guess"), "`task` must be one of auto, classification, regression"),
    "bins": (dict(bins=0), "`bins` must be an integer >= 1. Received: bins=0"),
}


@pytest.mark.parametrize("row", REFUSED)
def test_what_is_refused(row):
    options, text = REFUSED[row]
    x, y = samples()
    model = classifier(4, "softmax", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=text):
        nnc.report(model, x, **{"y": y, **options})


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_text_html_json_and_picture(kind):
    from html.parser import HTMLParser

    x, y = samples()
    model = classifier(4, "softmax", "sparse_categorical_crossentropy") if kind == "classes" \
        else classifier(1, None, "mse")
    found = nnc.report(model, x, y)
    assert json.loads(json.dumps(found.to_dict()))["count"] == 400
    text, html = repr(found), found._repr_html_()
    assert "Worst samples" in text and "Worst samples" in html
    assert all(len(line) < 130 for line in text.splitlines())
    parser = HTMLParser()
    parser.feed(html)
    figure = found.plot()
    assert len(figure.axes) == 2
    import matplotlib.pyplot as plt

    plt.close(figure)


# ---- what gives batches --------------------------------------------------------------------------

class _Cut(nnc.utils.PyDataset):
    """Arrays in batches, counted as they are read."""

    def __init__(self, x, y, **options):
        super().__init__(**options)
        self.arrays, self.read = (x, y), []

    def __len__(self):
        return 10

    def __getitem__(self, i):
        self.read.append(i)
        return tuple(a[40 * i:40 * i + 40] for a in self.arrays)


#: What gives ten batches of 40 samples.
BATCHES = {
    "PyDataset": lambda data: data,
    "PyDataset of two workers": lambda data: _Cut(*data.arrays, workers=2),
    "generator": lambda data: (data[i] for i in range(10)),
    "iterable": lambda data: [data[i] for i in range(10)].__iter__(),
    "tf.data": lambda data: pytest.importorskip("tensorflow").data.Dataset.from_tensor_slices(
        data.arrays).batch(40),
    "loader": lambda data: _loader(*data.arrays),
}


def _loader(x, y):
    torch = pytest.importorskip("torch")
    return torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y)), batch_size=40)


@pytest.mark.parametrize("steps", [None, 3])
@pytest.mark.parametrize("name", BATCHES)
def test_batches_are_reported_like_their_arrays(name, steps):
    x, y = samples()
    model = classifier(4, "softmax", "sparse_categorical_crossentropy")
    data = _Cut(x, y)
    count = 400 if steps is None else 40 * steps
    found = nnc.report(model, BATCHES[name](data), steps=steps).to_dict()
    assert found == nnc.report(model, x[:count], y[:count]).to_dict()
    assert len(set(data.read)) == len(data.read)           # one pass


@pytest.mark.parametrize("x, y, text", [
    ([np.ones((2, 6))].__iter__(), None, "must be tuples .inputs, targets."),
    ([(np.ones((2, 6)), np.ones(2))].__iter__(), np.ones(2), "`y` must be None")])
def test_batches_without_targets_or_with_two_are_refused(x, y, text):
    model = classifier(4, "softmax", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=text):
        nnc.report(model, x, y)


def test_what_is_no_model_or_has_batches_of_its_own_is_refused():
    model = nnc.Sequential([nnc.Input((3,)), nnc.layers.Dense(2)])
    model.compile("sgd", "mse")
    batches = [(np.ones((2, 3)), np.ones((2, 2)))]
    with pytest.raises(TypeError, match="report: `model` must be a model. Received: 3"):
        nnc.report(3, np.ones((2, 3)), np.ones((2, 2)))
    with pytest.raises(ValueError, match="`batch_size` must be None. Received: batch_size=4"):
        nnc.report(model, iter(batches), batch_size=4)
    with pytest.raises(ValueError, match="`y` must be None"):
        nnc.report(model, iter(batches), np.ones((2, 2)))
