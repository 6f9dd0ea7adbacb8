"""Metrics beside Keras: values over several batches, weights, resets, configurations, names."""
import numpy as np
import pytest
from live import keras, label, plain, same, values

import nnc

rng = np.random.default_rng(11)
CLASSES = 7


def numbers(shape):
    return rng.normal(size=shape).astype("float32")


def bits(shape):
    return (rng.random(shape) < 0.5).astype("float32")


def probabilities(shape):
    x = np.exp(rng.normal(size=shape)).astype("float32")
    return x / x.sum(-1, keepdims=True)


def one_hot(shape):
    return np.eye(shape[-1], dtype="float32")[rng.integers(0, shape[-1], shape[:-1])]


def labels(shape):
    return rng.integers(0, shape[-1], shape[:-1])


def column(shape):
    return labels(shape)[..., None]


def unit(shape):
    x = rng.random(shape).astype("float32")
    x[0, :2] = (0, 1)       # the ends, and a threshold
    x[-1, 0] = 0.5
    return x


def whole(shape):
    return rng.integers(0, 3, shape).astype("float32")


#: class, maker of targets, maker of predictions, arguments
METRICS = [
    ("Accuracy", whole, whole, {}), ("BinaryAccuracy", bits, probabilities, {}),
    ("BinaryAccuracy", bits, probabilities, {"threshold": 0.1}),
    ("CategoricalAccuracy", one_hot, probabilities, {}),
    ("SparseCategoricalAccuracy", labels, probabilities, {}),
    ("SparseCategoricalAccuracy", column, probabilities, {}),
    ("TopKCategoricalAccuracy", one_hot, probabilities, {"k": 3}),
    ("SparseTopKCategoricalAccuracy", labels, probabilities, {"k": 2}),
    ("MeanSquaredError", numbers, numbers, {}), ("MeanAbsoluteError", numbers, numbers, {}),
    ("RootMeanSquaredError", numbers, numbers, {}),
    ("MeanAbsolutePercentageError", numbers, numbers, {}),
    ("MeanSquaredLogarithmicError", probabilities, probabilities, {}),
    ("CosineSimilarity", numbers, numbers, {}), ("LogCoshError", numbers, numbers, {}),
    ("BinaryCrossentropy", bits, probabilities, {}),
    ("BinaryCrossentropy", bits, numbers, {"from_logits": True, "label_smoothing": 0.1}),
    ("CategoricalCrossentropy", one_hot, probabilities, {}),
    ("CategoricalCrossentropy", one_hot, numbers, {"from_logits": True, "label_smoothing": 0.2}),
    ("SparseCategoricalCrossentropy", labels, probabilities, {}),
    ("SparseCategoricalCrossentropy", labels, numbers, {"from_logits": True}),
    ("SparseCategoricalCrossentropy", labels, numbers, {"from_logits": True, "ignore_class": 2}),
    ("KLDivergence", probabilities, probabilities, {}),
    ("Poisson", probabilities, probabilities, {}), ("Hinge", bits, numbers, {}),
    ("SquaredHinge", bits, numbers, {}), ("CategoricalHinge", one_hot, numbers, {}),
    *((name, bits, unit, arguments)
      for name in ("TruePositives", "FalsePositives", "TrueNegatives", "FalseNegatives")
      for arguments in ({}, {"thresholds": [0.2, 0.7]}, {"thresholds": [0.0, 0.5, 1.0]})),
    *((name, bits, unit, arguments) for name in ("Precision", "Recall")
      for arguments in ({}, {"thresholds": 0.3}, {"thresholds": [0.1, 0.4, 0.8]}, {"top_k": 2},
                        {"class_id": 3}, {"class_id": 1, "top_k": 3},
                        {"thresholds": [0.0, 0.25, 0.5, 0.75, 1.0]})),
    *((name, bits, unit, {argument: value, **more}) for name, argument in (
        ("SensitivityAtSpecificity", "specificity"), ("SpecificityAtSensitivity", "sensitivity"),
        ("PrecisionAtRecall", "recall"), ("RecallAtPrecision", "precision"))
      for value, more in ((0.5, {}), (0.7, {"num_thresholds": 11, "class_id": 2}),
                          (0.3, {"num_thresholds": 1}))),
    *(("AUC", bits, unit, {"curve": curve, "summation_method": method, **more})
      for curve in ("ROC", "PR", "PRGAIN") for method in ("interpolation", "minoring", "majoring")
      for more in ({}, {"multi_label": True, "num_thresholds": 9})),
    ("AUC", bits, unit, {"thresholds": [0.2, 0.3, 0.9]}),
    ("AUC", bits, unit, {"thresholds": [0.25, 0.5, 0.75]}),
    ("AUC", bits, numbers, {"from_logits": True}),
    ("AUC", bits, unit, {"multi_label": True, "num_labels": CLASSES, "thresholds": [0.2, 0.9],
                         "label_weights": [1.0, 2.0, 0.5, 1.0, 0.0, 3.0, 1.0]}),
    ("AUC", bits, unit, {"label_weights": [1.0, 2.0, 0.5, 1.0, 0.0, 3.0, 1.0]}),
    *((name, one_hot, probabilities, {"average": average, **more})
      for name, average, more in (("F1Score", None, {}), ("F1Score", "macro", {"threshold": 0.2}),
                                  ("FBetaScore", "micro", {"beta": 2.0}),
                                  ("FBetaScore", "weighted", {"beta": 0.5, "threshold": 0.1}))),
    ("SparseTopKCategoricalAccuracy", labels, probabilities, {"k": 2, "from_sorted_ids": True}),
    ("CosineSimilarity", numbers, numbers, {"axis": 1}),
    ("BinaryCrossentropy", bits, probabilities, {"label_smoothing": 0.1}),
    ("Precision", bits, unit, {"thresholds": [0.3, 0.6], "class_id": 1}),
    ("Recall", bits, unit, {"top_k": 2, "class_id": 0}),
    ("PrecisionAtRecall", bits, unit, {"recall": 0.4, "class_id": 1, "num_thresholds": 9}),
    ("F1Score", one_hot, probabilities, {"average": "weighted"}),
    ("FBetaScore", one_hot, probabilities, {"average": "micro", "beta": 0.5, "threshold": 0.3}),
    ("PearsonCorrelation", numbers, numbers, {"axis": 1}),
    ("PearsonCorrelation", numbers, numbers, {}),
    ("ConcordanceCorrelation", numbers, numbers, {}),
    ("OneHotIoU", one_hot, probabilities, {"num_classes": CLASSES, "target_class_ids": [0, 2],
                                           "dtype": "float32"}),
    ("OneHotMeanIoU", one_hot, probabilities, {"num_classes": CLASSES, "ignore_class": 1,
                                               "dtype": "float32"}),
]
IDS = [f"{row[0]}-{'-'.join(row[3])}-{i}" for i, row in enumerate(METRICS)]
TOLERANCE = {"rtol": 1e-5, "atol": 2e-6}       # sums of a hundred float32 numbers in another order


def pair(name, arguments):
    return [getattr(library.metrics, name)(**arguments) for library in (nnc, keras)]


@pytest.mark.parametrize("name, make_true, make_pred, arguments", METRICS, ids=IDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_three_batches(name, make_true, make_pred, arguments, weighted):
    ours, theirs = pair(name, arguments)
    for batch in (5, 8, 3):
        y_true, y_pred = make_true((batch, CLASSES)), make_pred((batch, CLASSES))
        weight = rng.random(batch).astype("float32") if weighted else None
        for metric in (ours, theirs):
            metric.update_state(y_true, y_pred, sample_weight=weight)
        same(ours.result(), theirs.result(), **TOLERANCE)
    ours.reset_state()
    assert all(not values(v).any() for v in ours.variables)
    same(ours(y_true, y_pred), keras_value(theirs, y_true, y_pred), **TOLERANCE)


@pytest.mark.parametrize("name, make_true, make_pred, arguments", [
    row for row in METRICS if "dtype" not in row[3] and "label_weights" not in row[3]],
    ids=label)
def test_dtypes(name, make_true, make_pred, arguments):
    """Values and variables in the dtype asked for; counts of confusion in `floatx()`."""
    for dtype, tolerance in (("float64", 1e-5), ("bfloat16", 2e-2)):   # of float32 losses; 8 bits
        ours, theirs = pair(name, {**arguments, "dtype": dtype})
        y_true, y_pred = make_true((5, CLASSES)), make_pred((5, CLASSES))
        weight = rng.random(5).astype("float32")
        for metric in (ours, theirs):
            metric.update_state(y_true, y_pred, sample_weight=weight)
        same(nnc.ops.cast(ours.result(), "float64"), keras.ops.cast(theirs.result(), "float64"),
             rtol=tolerance, atol=tolerance)
        assert str(values(ours.result()).dtype) == str(values(theirs.result()).dtype)
        assert [v.dtype for v in ours.variables] == [v.dtype for v in theirs.variables]
        assert ours.dtype == theirs.dtype == dtype


@pytest.mark.parametrize("name, make_true, make_pred, arguments", METRICS, ids=IDS)
def test_recorded_updates_are_the_eager_ones(name, make_true, make_pred, arguments):
    batches = [(make_true((6, CLASSES)), make_pred((6, CLASSES))) for _ in range(3)]
    metric, replayed = (getattr(nnc.metrics, name)(**arguments) for _ in range(2))
    graph = nnc._core.Graph()
    with graph:
        inputs = [graph.input(x.shape, str(x.dtype)) for x in batches[0]]
        replayed.update_state(*inputs)
        result = replayed.result()
    program = nnc._core.Program(graph, [result])
    for batch in batches:
        metric.update_state(*batch)
        np.testing.assert_array_equal(values(metric.result()), values(program(*batch)[0]))
    for ours, other in zip(metric.variables, replayed.variables):
        np.testing.assert_array_equal(values(ours), values(other))


def keras_value(metric, y_true, y_pred):
    metric.reset_state()
    return metric(y_true, y_pred)


@pytest.mark.parametrize("name", ["MeanSquaredError", "SparseCategoricalAccuracy",
                                  "CategoricalAccuracy", "SparseTopKCategoricalAccuracy",
                                  "BinaryAccuracy"])
def test_sequences(name):
    """(batch, time, classes), with weights for samples and for places."""
    make_true = {"Sparse": labels, "Catego": one_hot, "Binary": bits}.get(name[:6], numbers)
    for shape in (None, (6,), (6, 3)):
        ours, theirs = pair(name, {})
        y_true, y_pred = make_true((6, 3, CLASSES)), probabilities((6, 3, CLASSES))
        weight = None if shape is None else rng.random(shape).astype("float32")
        for metric in (ours, theirs):
            metric.update_state(y_true, y_pred, sample_weight=weight)
        same(ours.result(), theirs.result(), **TOLERANCE)


@pytest.mark.parametrize("name", ["Mean", "Sum"])
def test_reductions(name):
    for shape, weights in (((), None), ((5,), None), ((5,), (5,)), ((5, 3), None), ((5, 3), (5,)),
                           ((5, 3), (5, 3)), ((5, 3), (5, 1))):
        ours, theirs = pair(name, {})
        for _ in range(2):
            x = numbers(shape)
            weight = None if weights is None else rng.random(weights).astype("float32")
            for metric in (ours, theirs):
                metric.update_state(x, sample_weight=weight)
        same(ours.result(), theirs.result(), **TOLERANCE)
    empty = getattr(nnc.metrics, name)()
    assert float(empty.result()) == 0.0


@pytest.mark.parametrize("arguments", [{}, {"class_aggregation": None}, {"num_regressors": 2},
                                       {"class_aggregation": "variance_weighted_average"}], ids=str)
def test_r2(arguments):
    ours, theirs = pair("R2Score", arguments)
    for _ in range(2):
        y_true, y_pred = numbers((9, 3)), numbers((9, 3))
        weight = rng.random(9).astype("float32")
        for metric in (ours, theirs):
            metric.update_state(y_true, y_pred, sample_weight=weight)
    # atol: a difference of sums of squares.
    same(ours.result(), theirs.result(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name, arguments", [
    ("IoU", {"num_classes": 4, "target_class_ids": [0, 3]}), ("MeanIoU", {"num_classes": 4}),
    ("MeanIoU", {"num_classes": 4, "ignore_class": 0, "dtype": "float32"}),
    ("IoU", {"num_classes": 4, "target_class_ids": [1], "ignore_class": -1}),
    ("MeanIoU", {"num_classes": 4, "sparse_y_pred": False}), ("BinaryIoU", {}),
    ("BinaryIoU", {"target_class_ids": [1], "threshold": 0.3})], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_intersection_over_union(name, arguments, weighted):
    ours, theirs = pair(name, {"name": "m", **arguments})
    for _ in range(3):
        y_true = rng.integers(-1, 4, (6, 5)) if name != "BinaryIoU" else bits((6, 5))
        y_pred = rng.integers(0, 5, (6, 5)) if name != "BinaryIoU" else unit((6, 5))
        if arguments.get("sparse_y_pred") is False:
            y_pred = numbers((6, 5, 4))
        weight = rng.integers(0, 4, (6, 5)) if weighted else None
        for metric in (ours, theirs):
            metric.update_state(y_true, y_pred, sample_weight=weight)
    same(ours.result(), theirs.result())
    assert plain(ours.get_config()) == plain(theirs.get_config())
    assert type(ours).from_config(ours.get_config()).get_config() == ours.get_config()


@pytest.mark.parametrize("name, arguments", [("AUC", {}), ("MeanSquaredError", {}),
                                             ("MeanIoU", {"num_classes": 2})], ids=str)
def test_stateless(name, arguments):
    """The values that the methods with state give, and no variable changes."""
    metric, other = (getattr(nnc.metrics, name)(**arguments) for _ in range(2))
    state = metric.stateless_reset_state()
    for _ in range(2):
        y_true, y_pred = bits((5,)), bits((5,))
        state = metric.stateless_update_state(state, y_true, y_pred)
        other.update_state(y_true, y_pred)
        np.testing.assert_array_equal(values(metric.stateless_result(state)),
                                      values(other.result()))
    assert all(not values(v).any() for v in metric.variables)
    with pytest.raises(ValueError, match="metric_variables"):
        metric.stateless_result(state[1:])


@pytest.mark.parametrize("call, text", [
    (lambda: nnc.metrics.AUC(num_thresholds=1), "num_thresholds"),
    (lambda: nnc.metrics.AUC(curve="roq"), "curve"),
    (lambda: nnc.metrics.AUC(num_labels=3), "num_labels"),
    (lambda: nnc.metrics.AUC(thresholds=[2.0]), "thresholds"),
    (lambda: nnc.metrics.Precision(thresholds=1.5), "thresholds"),
    (lambda: nnc.metrics.PrecisionAtRecall(1.5), "recall"),
    (lambda: nnc.metrics.Precision(class_id=1)(np.ones(3), np.ones(3)), "class_id"),
    (lambda: nnc.metrics.F1Score(average="mean"), "average"),
    (lambda: nnc.metrics.FBetaScore(beta=1), "beta"),
    (lambda: nnc.metrics.F1Score(threshold=0.0), "threshold"),
    (lambda: nnc.metrics.F1Score()(np.ones(3), np.ones(3)), "batch_size, output_dim"),
    (lambda: nnc.metrics.IoU(2, [2]), "target_class_ids")], ids=label)
def test_bad_arguments(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_top_k_from_sorted_ids():
    ours, theirs = pair("SparseTopKCategoricalAccuracy", {"k": 2, "from_sorted_ids": True})
    ids = np.argsort(-probabilities((6, CLASSES)), -1)
    y_true = labels((6, CLASSES))
    for metric in (ours, theirs):
        metric.update_state(y_true, ids)
    same(ours.result(), theirs.result())
    assert ours.get_config() == theirs.get_config()


def test_mask():
    ours, theirs = pair("MeanSquaredError", {})
    y_true, y_pred = numbers((6, 3, 2)), numbers((6, 3, 2))
    mask = rng.random((6, 3)) < 0.5
    x, z = nnc.ops.array(y_pred), keras.ops.array(y_pred)
    x._keras_mask = nnc.ops.array(mask)
    keras.src.backend.set_keras_mask(z, keras.ops.array(mask))
    ours.update_state(y_true, x)
    theirs.update_state(y_true, z)
    same(ours.result(), theirs.result(), **TOLERANCE)


def test_large_labels_stay_exact():
    """Labels beyond 2^24 are no float32 numbers: comparing must not go through floats."""
    y_true = np.array([2**24 + 1], "int64")
    metric = nnc.metrics.Accuracy()
    metric.update_state(y_true, np.array([2**24], "int64"))
    assert float(metric.result()) == 0.0


@pytest.mark.parametrize("name, arguments", [(row[0], row[3]) for row in METRICS] + [
    ("Mean", {}), ("Sum", {"name": "s"}), ("R2Score", {"num_regressors": 1})])
def test_configuration(name, arguments):
    arguments = {key: value for key, value in arguments.items() if key != "label_weights"}
    ours, theirs = pair(name, {"name": "m", **arguments})
    assert plain(ours.get_config()) == plain(theirs.get_config())
    assert type(ours).from_config(ours.get_config()).get_config() == ours.get_config()
    assert plain(nnc.metrics.serialize(ours)) == plain(keras.metrics.serialize(theirs))
    back = nnc.metrics.deserialize(nnc.metrics.serialize(ours))
    assert type(back) is type(ours) and back.get_config() == ours.get_config()


def test_variables_have_keras_names():
    ours, theirs = pair("SparseCategoricalAccuracy", {})
    assert [v.name for v in ours.variables] == [v.name for v in theirs.variables]
    assert [v.dtype for v in ours.variables] == [v.dtype for v in theirs.variables]


def test_own_metrics():
    class Largest(nnc.metrics.Metric):
        def __init__(self, name="largest", dtype=None):
            super().__init__(name=name, dtype=dtype)
            self.top = self.add_weight(name="top")
            self.parts = [nnc.metrics.Mean(name="inner")]

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.top.assign(nnc.ops.maximum(self.top, nnc.ops.max(y_pred)))

        def result(self):
            return self.top

    metric = Largest()
    metric.update_state(None, np.array([1.0, 5.0], "float32"))
    metric.update_state(None, np.array([2.0], "float32"))
    assert float(values(metric.result())) == 5.0
    assert [v.name for v in metric.variables] == ["top", "total", "count"]
    metric.reset_state()
    assert float(values(metric.result())) == 0.0

    wrapped = nnc.metrics.MeanMetricWrapper(nnc.losses.huber, name="h", delta=0.5)
    again = nnc.metrics.MeanMetricWrapper.from_config(wrapped.get_config())
    for one in (wrapped, again):
        one.update_state(np.ones((2, 1), "float32"), np.zeros((2, 1), "float32"))
        assert float(one.result()) == 0.375


def test_names():
    import keras.src.metrics as table

    needed = {"PrecisionAtRecall", "RecallAtPrecision", "SensitivityAtSpecificity", "IoU",
              "SpecificityAtSensitivity", "MeanIoU", "OneHotIoU", "OneHotMeanIoU"}
    for name, cls in table.ALL_OBJECTS_DICT.items():
        if cls.__name__ in needed | {"Metric", "MeanMetricWrapper"}:
            assert nnc.metrics.ALL_OBJECTS[name].__name__ == cls.__name__
            continue
        assert type(nnc.metrics.get(name)).__name__ == cls.__name__
    assert nnc.metrics.get(None) is None


@pytest.mark.parametrize("bad, text", [("acuracy", "did you mean 'accuracy'"),
                                       (3, "Could not interpret metric")])
def test_unknown_metrics_are_refused(bad, text):
    with pytest.raises(ValueError, match=text):
        nnc.metrics.get(bad)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_label_weights_are_of_the_metrics_dtype(dtype):
    """They may widen the area; in a configuration they are plain numbers."""
    y, p = bits((20, 3)), unit((20, 3))
    made = []
    for k in (nnc, keras):
        metric = k.metrics.AUC(num_thresholds=20, multi_label=True, num_labels=3, dtype=dtype,
                               label_weights=np.array([1.0, 2.0, 0.3]))
        metric.update_state(y, p)
        made.append(metric.result())
    assert made[0].dtype == made[1].dtype.name
    # 1e-3 is one unit of float16, in case a sum is rounded the other way; equal was measured
    np.testing.assert_allclose(*map(values, made), rtol=1e-3 if dtype == "float16" else 1e-6)
    metric = nnc.metrics.AUC(multi_label=True, label_weights=np.array([1, 2], "float32"))
    assert metric.get_config()["label_weights"] == [1.0, 2.0]
    assert type(metric.get_config()["label_weights"][0]) is float
