"""`nnc.distillation` beside Keras's: numbers of training, logs, configurations, errors, files."""
import json
import warnings

import numpy as np
import pytest
from live import keras, plain, same

import nnc

# Keras is told not to trace: a graph for each test would take far longer than the few steps.
EAGER = {nnc: {}, keras: {"run_eagerly": True}}
N = 20
X = np.random.default_rng(0).normal(size=(N, 4)).astype("float32")
Y = X[:, :3].argmax(1)
FAR, NEAR = X @ np.ones((4, 3), "float32"), X[:, :2].copy()


@pytest.fixture(autouse=True)
def no_warning():
    """A step that cannot be recorded warns: every warning of nnc or Keras is an error here."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def stack(k, units=6, name=None, out="softmax"):
    return k.Sequential([k.Input((4,)), k.layers.Dense(units, "tanh", name="hidden"),
                         k.layers.BatchNormalization(name="norm"),
                         k.layers.Dense(3, out, name="out")], name=name)


def two(k, nest, units=6):
    """A model with two outputs, of 3 and of 2 numbers."""
    x = k.Input((4,))
    h = k.layers.Dense(units, "tanh", name="hidden")(x)
    a, b = k.layers.Dense(3, name="a")(h), k.layers.Dense(2, name="b")(h)
    return k.Model(x, {"a": a, "b": b} if nest is dict else nest((a, b)))


def fill(*models):
    """Weights that are the same in both libraries."""
    draw = np.random.default_rng(5)
    for model in models:
        model.set_weights([draw.normal(size=w.shape).astype("float32") * 0.4 + (w.shape == (6,))
                           if "variance" not in w.path else draw.uniform(0.5, 1.5, w.shape)
                           for w in model.weights])


def pair(k, make):
    models = make(k), make(k)
    fill(*models)
    return models


def logits(k, temperature=3.0, loss=None):
    return k.distillation.LogitsDistillation(temperature, loss or k.losses.KLDivergence())


def feature(k, *arguments):
    return k.distillation.FeatureDistillation(*arguments)


CASES = {
    "defaults": (lambda k: k.distillation.LogitsDistillation(), {}),
    "logits": (logits, {}),
    "temperature": (lambda k: logits(k, 1.5), {"student_loss_weight": 0.25}),
    "crossentropy": (lambda k: logits(k, 2, "categorical_crossentropy"), {}),
    "outputs": (lambda k: feature(k), {"student_loss_weight": 0.8}),
    "layers": (lambda k: feature(k, k.losses.MeanAbsoluteError(), "hidden", "hidden"), {}),
    "several": (lambda k: [logits(k), feature(k, "mse", "hidden", "hidden"),
                           feature(k, "cosine_similarity", "norm", "hidden")],
                {"distillation_loss_weights": [1.0, 0.5, 2]}),
    "no student": (logits, {"student_loss_weight": 0}),
    "no teacher": (logits, {"student_loss_weight": 1}),
    "none": (lambda k: [], {}),
}


def train(distiller, x, y, **fit):
    """What training, evaluation and prediction say."""
    history = distiller.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0, **fit).history
    test = distiller.evaluate(x, y, batch_size=8, verbose=0)
    named = distiller.evaluate(x, y, batch_size=8, verbose=0, return_dict=True)
    return history, test, named, distiller.predict(x, verbose=0)


def agree(ours, theirs, teacher):
    """Equal logs, names, outputs and weights; a teacher that is as it was.

    rtol, atol: six steps of float32 through tanh, softmax and logarithms on both sides.
    """
    results = [train(*ours), train(*theirs)]
    assert list(results[0][0]) == list(results[1][0]) and list(results[0][2]) == list(results[1][2])
    for mine, other in zip(nnc.tree.flatten(results[0]), nnc.tree.flatten(results[1]), strict=True):
        np.testing.assert_allclose(mine, other, rtol=5e-5, atol=5e-6)
    assert ours[0].metrics_names == theirs[0].metrics_names
    assert [w.shape for w in ours[0].weights] == [tuple(w.shape) for w in theirs[0].weights]
    for mine, other in zip(ours[0].student.get_weights(), theirs[0].student.get_weights()):
        same(mine, other, rtol=2e-4, atol=2e-5)
    for before, mine in zip(teacher, ours[0].teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(before, mine)
    assert not ours[0].teacher.trainable and not ours[0].teacher.trainable_weights
    assert "train" not in ours[0]._eager_kinds and "test" not in ours[0]._eager_kinds


@pytest.mark.parametrize("case", CASES)
def test_training(case):
    made = []
    for k in (nnc, keras):
        losses, options = CASES[case]
        # Keras's second call of the student, for its features, also trains in `evaluate`.
        make = (lambda k: stack(k)) if case not in ("layers", "several") else \
            (lambda k: two_layers(k))
        teacher, student = pair(k, make)
        distiller = k.distillation.Distiller(teacher, student, losses(k), **options)
        before = teacher.get_weights()
        distiller.compile(k.optimizers.SGD(0.1), "sparse_categorical_crossentropy",
                          metrics=["accuracy"], **EAGER[k])
        made.append((distiller, X, Y))
    agree(*made, before)


def two_layers(k):
    return k.Sequential([k.Input((4,)), k.layers.Dense(6, "tanh", name="hidden"),
                         k.layers.Dense(6, "tanh", name="norm"),
                         k.layers.Dense(3, "softmax", name="out")])


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("nones", [False, True])
def test_several_outputs(named, nones):
    """Tuples: lists and dicts of student's losses cannot be trained with in Keras 3.15."""
    made = []
    for k in (nnc, keras):
        teacher, student = pair(k, lambda k: two(k, tuple))
        before = teacher.get_weights()
        distiller = k.distillation.Distiller(teacher, student, [
            logits(k, 2.0, (None, "mse") if nones else ("mse", k.losses.KLDivergence())),
            feature(k, (k.losses.MeanAbsoluteError(), None))], [0.5, 1.5])
        distiller.compile(k.optimizers.SGD(0.01), ("mse", "mae") if named else (
            k.losses.MeanSquaredError(), k.losses.MeanAbsoluteError()), metrics=[["mae"], ["mse"]],
            **EAGER[k])
        made.append((distiller, X, (FAR, NEAR)))
    agree(*made, before)


@pytest.mark.parametrize("kind", [list, dict])
def test_lists_and_dicts(kind):
    """As tuples. Keras agrees where the student has no loss of its own."""
    def nest(a, b):
        return {"a": a, "b": b} if kind is dict else kind((a, b))

    found = []
    for k, kind_, weight in ((keras, kind, 0), (nnc, kind, 0), (nnc, tuple, 0.5), (nnc, kind, 0.5)):
        pack = nest if kind_ is kind else lambda a, b: (a, b)
        teacher, student = pair(k, lambda k: two(k, kind_))
        distiller = k.distillation.Distiller(teacher, student, [
            logits(k, 2.0, pack(None, "mse")), feature(k, pack("mae", "mse"))],
            student_loss_weight=weight)
        distiller.compile("sgd", pack("mse", k.losses.MeanSquaredError())
                          if weight == 0 else pack(*[k.losses.MeanSquaredError()] * 2), **EAGER[k])
        found.append(train(distiller, X, pack(FAR, NEAR)))
    for ours, theirs in ((found[1], found[0]), (found[3], found[2])):
        assert list(ours[0]) == list(theirs[0])
        for mine, other in zip(nnc.tree.flatten(ours), nnc.tree.flatten(theirs), strict=True):
            np.testing.assert_allclose(mine, other, rtol=5e-5, atol=5e-6)


def test_loss_of_losses():
    """The loss from its definition: probabilities at temperature T, divergence times T squared."""
    p, q = np.random.default_rng(1).normal(size=(2, 5, 4))

    def soft(v):
        e = np.exp(v / 3.0)
        return e / e.sum(-1, keepdims=True)

    want = 9.0 * (soft(p) * np.log(soft(p) / soft(q))).sum(-1).mean()
    loss = nnc.distillation.LogitsDistillation(3.0, nnc.losses.KLDivergence(dtype="float64"))
    assert float(loss.compute_loss(p, q)) == pytest.approx(want, rel=1e-6)   # softmax of float32
    loss = nnc.distillation.FeatureDistillation(["mse", None])
    want = ((p - q) ** 2).mean()
    assert float(loss.compute_loss([p, p], [q, q])) == pytest.approx(want, rel=1e-6)


def test_one_layer_named_is_used():
    """`student_layer_name` alone: the teacher's output is told to that layer."""
    teacher, student = pair(nnc, two_layers)
    wide = nnc.Sequential([nnc.Input((4,)), nnc.layers.Dense(6, name="f"), nnc.layers.Dense(6)])
    other = nnc.Sequential([nnc.Input((4,)), nnc.layers.Dense(6, name="f"), nnc.layers.Dense(6)])
    distiller = nnc.distillation.Distiller(wide, other, feature(nnc, "mse", None, "f"), [2.0],
                                           student_loss_weight=0.0)
    want = 2.0 * np.mean((wide(X).numpy() - other.layers[0](X).numpy()) ** 2)
    assert float(distiller.compute_loss(X)) == pytest.approx(want, rel=1e-5)   # float32 means


def test_evaluation_changes_no_weight():
    teacher, student = pair(nnc, stack)
    distiller = nnc.distillation.Distiller(teacher, student, feature(nnc, "mse", "norm", "norm"))
    distiller.compile("sgd", "sparse_categorical_crossentropy")
    before = student.get_weights()
    distiller.evaluate(X, Y, verbose=0)
    for mine, old in zip(student.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, old)
    distiller.fit(X, Y, verbose=0)
    assert np.any(student.get_weights()[4] != before[4])            # the moving mean


def test_a_layer_may_have_any_name():
    def make(k):
        return k.Sequential([k.Input((4,)), k.layers.Dense(5, name="final_output"),
                             k.layers.Dense(3)])

    teacher, student = pair(nnc, make)
    distiller = nnc.distillation.Distiller(
        teacher, student, [feature(nnc, "mse", "final_output", "final_output"), feature(nnc)],
        student_loss_weight=0)
    want = sum(np.mean((a(X).numpy() - b(X).numpy()) ** 2) for a, b in (
        (teacher, student), (teacher.layers[0], student.layers[0])))
    assert float(distiller.compute_loss(X)) == pytest.approx(want, rel=1e-5)   # float32 means


def test_custom_loss_and_subclassed_models():
    class Gap(nnc.distillation.DistillationLoss):
        def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
            return nnc.ops.mean(nnc.ops.abs(teacher_outputs - student_outputs))

    class Net(nnc.Model):
        def __init__(self):
            super().__init__()
            self.out = nnc.layers.Dense(3, "softmax")

        def call(self, x):
            return self.out(x)

    teacher, student = Net(), Net()
    distiller = nnc.distillation.Distiller(teacher, student, Gap())
    distiller.compile("adam", "sparse_categorical_crossentropy", metrics=("accuracy",))
    logs = distiller.train_on_batch(X, Y, return_dict=True)
    assert logs["distillation_loss"] > 0 and len(distiller.trainable_variables) == 2
    assert distiller.evaluate(X, Y, verbose=0)[0] < logs["loss"]
    with pytest.raises(NotImplementedError, match="compute_loss"):
        nnc.distillation.DistillationLoss().compute_loss(1, 2)
    with pytest.raises(ValueError, match="teacher and student model.* appear to be subclassed"):
        nnc.distillation.Distiller(Net(), Net(), feature(nnc, "mse", "out", "out"))

    class Rows(Gap):
        def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
            return teacher_outputs - student_outputs

    distiller = nnc.distillation.Distiller(Net(), Net(), Rows())
    distiller.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="Rows returned a non-scalar loss with shape"):
        distiller.fit(X, Y, verbose=0)


def test_weighted_metrics():
    weights = np.linspace(0, 1, N).astype("float32")
    found = []
    for k in (nnc, keras):
        teacher, student = pair(k, stack)
        distiller = k.distillation.Distiller(teacher, student, logits(k))
        distiller.compile("sgd", "sparse_categorical_crossentropy", weighted_metrics=["accuracy"],
                          **EAGER[k])
        found.append(distiller.fit(X, Y, sample_weight=weights, shuffle=False, verbose=0).history)
    assert list(found[0]) == list(found[1])
    for key, value in found[0].items():
        np.testing.assert_allclose(value, found[1][key], rtol=5e-5)     # as in `agree`
    distiller = nnc.distillation.Distiller(*pair(nnc, stack), logits(nnc))
    distiller.compile("sgd", "sparse_categorical_crossentropy")
    before = distiller.student.get_weights()
    for options in ({"sample_weight": weights}, {"class_weight": {0: 1.0, 1: 2.0, 2: 3.0}}):
        with pytest.raises(ValueError, match="sample_weight"):
            distiller.fit(X, Y, verbose=0, **options)
    np.testing.assert_array_equal(before[0], distiller.student.get_weights()[0])


# ---- configurations and files --------------------------------------------------------------------

LOSSES = {
    "logits": lambda k: logits(k, 4.0),
    "named": lambda k: logits(k, 2, "mse"),
    "list": lambda k: logits(k, 2.0, ["kl_divergence", None, k.losses.Huber(0.5)]),
    "feature": lambda k: feature(k, "mae", "a", "b"),
    "nones": lambda k: feature(k, [None, k.losses.MeanSquaredError()]),
    "dict": lambda k: feature(k, {"x": "mse", "y": None}),
}


def essence(thing):
    """A configuration without the second name of functions, which Keras leaves out."""
    if isinstance(thing, dict):
        return {key: essence(part) for key, part in thing.items() if key != "registered_name"}
    return [essence(part) for part in thing] if isinstance(thing, list) else thing


@pytest.mark.parametrize("name", LOSSES)
def test_configurations(name):
    ours, theirs = (k.saving.serialize_keras_object(LOSSES[name](k)) for k in (nnc, keras))
    assert essence(plain(ours)) == essence(plain(theirs))
    for config in (ours, theirs):
        again = nnc.saving.deserialize_keras_object(json.loads(json.dumps(config)))
        assert nnc.saving.serialize_keras_object(again) == plain(ours)
        assert type(again).from_config(again.get_config()).get_config() == again.get_config()
    if name != "dict":                                  # which Keras cannot read back
        again = keras.saving.deserialize_keras_object(ours)
        assert essence(plain(again.get_config())) == essence(plain(theirs["config"]))


def distilled(k):
    """A trained distiller with both kinds of losses."""
    teacher, student = pair(k, lambda k: two_layers(k))
    distiller = k.distillation.Distiller(teacher, student, [
        logits(k, 2.0), feature(k, "mse", "hidden", "hidden")], [1.0, 0.5], 0.3, name="both")
    compiled(k, distiller).fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    return distiller


def compiled(k, distiller):
    distiller.compile(k.optimizers.Adam(0.01), k.losses.SparseCategoricalCrossentropy(),
                      metrics=["accuracy"], **EAGER[k])
    return distiller


def test_files_of_keras(tmp_path):
    theirs = distilled(keras)
    theirs.save(tmp_path / "theirs.keras")
    with pytest.warns(UserWarning, match="call `compile\\(\\)`"):
        ours = nnc.saving.load_model(tmp_path / "theirs.keras")
    for mine, other in zip(ours.weights, theirs.weights, strict=True):
        same(mine, other, rtol=0, atol=0)
    assert not ours.teacher.trainable
    assert essence(plain(ours.get_config()["distillation_losses"])) == \
        essence(plain(theirs.get_config()["distillation_losses"]))
    # Both begin with a new optimizer.
    results = [train(compiled(k, one), X, Y) for k, one in ((nnc, ours), (keras, theirs))]
    for mine, other in zip(*map(nnc.tree.flatten, results), strict=True):
        np.testing.assert_allclose(mine, other, rtol=5e-5, atol=5e-6)      # as in `agree`


def test_files_for_keras(tmp_path):
    ours = distilled(nnc)
    ours.save(tmp_path / "ours.keras")
    with pytest.warns(UserWarning, match="compile"):
        theirs = keras.saving.load_model(tmp_path / "ours.keras")
    for mine, other in zip(ours.weights, theirs.weights, strict=True):
        same(mine, other, rtol=0, atol=0)
    assert essence(plain(ours.get_config()["distillation_losses"])) == \
        essence(plain(theirs.get_config()["distillation_losses"]))
    again = nnc.saving.load_model(tmp_path / "ours.keras")     # compiled, its optimizer as it was
    assert again.get_config() == ours.get_config() and again.name == "both"
    results = [train(one, X, Y) for one in (ours, again)]
    for mine, other in zip(*map(nnc.tree.flatten, results), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_weights_files_and_copies(tmp_path):
    ours, theirs = distilled(nnc), distilled(keras)
    theirs.save_weights(tmp_path / "w.weights.h5")
    fill(ours.student)
    ours.load_weights(tmp_path / "w.weights.h5")
    for mine, other in zip(ours.weights, theirs.weights, strict=True):
        same(mine, other, rtol=0, atol=0)
    again = nnc.distillation.Distiller.from_config(ours.get_config())
    assert again.get_config() == ours.get_config() and not again.compiled


# ---- errors --------------------------------------------------------------------------------------

def distiller(losses=None, teacher=None, student=None, **options):
    return nnc.distillation.Distiller(teacher or stack(nnc), student or stack(nnc),
                                      losses or logits(nnc), **options)


def compile(loss="mse", **options):
    return distiller().compile("sgd", loss, **options)


def inputs(shape, dtype="float32", out=3):
    x = nnc.Input(shape, dtype=dtype)
    return nnc.Model(x, nnc.layers.Dense(out)(nnc.layers.Flatten()(nnc.ops.cast(x, "float32"))))


D = nnc.distillation
ERRORS = [
    (lambda: distiller(teacher="big"), "Teacher must be a keras.Model, got <class 'str'>"),
    (lambda: distiller(student=3), "Student must be a keras.Model, got <class 'int'>"),
    (lambda: distiller(student=inputs((5,))), "input shapes are incompatible. Teacher: .*4.*5"),
    (lambda: distiller(student=inputs((4, 1))), "input shapes have different dimensions"),
    (lambda: distiller(student=inputs((4,), out=2)), "output shapes are incompatible"),
    (lambda: distiller(student=inputs((4,), "int32")), "input dtypes must match.*float32.*int32"),
    (lambda: distiller(student=two(nnc, tuple)), "same number of outputs. Teacher: 1, Student: 2"),
    (lambda: distiller(student_loss_weight="x"), "student_loss_weight must be a number, got"),
    (lambda: distiller(student_loss_weight=1.5), "between 0.0 and 1.0, got 1.5"),
    (lambda: distiller(student_loss_weight=-0.1), "between 0.0 and 1.0, got -0.1"),
    (lambda: distiller(student_loss_weight=float("nan")), "between 0.0 and 1.0, got nan"),
    (lambda: D.Distiller(stack(nnc), stack(nnc), None), "'distillation_losses' cannot be `None`"),
    (lambda: distiller("mse"), "must hold DistillationLoss objects. Received: 'mse'"),
    (lambda: distiller([logits(nnc)], distillation_loss_weights=[1, 2]),
     r"distillation_loss_weights \(2\) must match number of distillation_losses \(1\)"),
    (lambda: distiller([logits(nnc)], distillation_loss_weights=["1"]), "finite numbers"),
    (lambda: distiller([logits(nnc)], distillation_loss_weights=1.0), "must be a list"),
    (lambda: distiller(feature(nnc, "mse", "nope", "out")), "In teacher model: No such layer: 'no"),
    (lambda: distiller(feature(nnc, "mse", "out", "nope")), "In student model: No such layer: 'no"),
    (lambda: distiller(feature(nnc, "mse", "out", "out"),
                       student=nnc.Sequential([nnc.layers.Dense(3, name="out")])),
     "The student model.s. appear to be subclassed or not built"),
    (lambda: feature(nnc, "mse", 3), "`teacher_layer_name` must be the name of a layer"),
    (lambda: feature(nnc, None), "FeatureDistillation: .*at least one non-`None` value"),
    (lambda: feature(nnc, "nope"), "FeatureDistillation: Unknown loss: 'nope'"),
    (lambda: D.LogitsDistillation(loss=[None, None]), "at least one non-`None` value"),
    (lambda: D.LogitsDistillation(loss=3), "LogitsDistillation: Could not interpret loss"),
    (lambda: D.LogitsDistillation("hot"), "temperature must be a number.*'hot'"),
    (lambda: D.LogitsDistillation(0), "temperature must be positive"),
    (lambda: D.LogitsDistillation(float("inf")), "temperature must be positive and finite"),
    (lambda: feature(nnc).validate_outputs([1], [1, 2]), "same structure"),
    (lambda: feature(nnc).validate_outputs([1, 2], [1, 2]), "Loss structure mismatch"),
    (lambda: logits(nnc, 1.0, ["mse"]).validate_outputs(1, 2), "Loss structure mismatch"),
    (lambda: compile(None), "'loss' cannot be `None`"),
    (lambda: compile(["mse", None]), "must hold a loss for each output"),
    (lambda: compile("nope"), "Distiller.compile: Unknown loss: 'nope'"),
    (lambda: compile(metrics={"a": "mae"}), "metrics must be a list or tuple, got <class 'dict'>"),
    (lambda: compile(loss_weights=2.0), "`loss_weights` is not used.*Received: loss_weights=2.0"),
]


@pytest.mark.parametrize("row", range(len(ERRORS)))
def test_errors(row):
    call, text = ERRORS[row]
    with pytest.raises(ValueError, match=text):
        call()


def test_nothing_changes_on_errors():
    model = stack(nnc)
    with pytest.raises(ValueError, match="two models"):
        D.Distiller(model, model, logits(nnc))
    with pytest.raises(ValueError, match="between"):
        D.Distiller(model, stack(nnc), logits(nnc), student_loss_weight=2)
    assert model.trainable
    one = distiller()
    one.compile("sgd", ["sparse_categorical_crossentropy"])
    before = one.student.get_weights()
    with pytest.raises(ValueError, match="structure of the student's outputs"):
        one.fit(X, Y, verbose=0)
    one.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="label 4 in row .* 3 classes"):
        one.fit(X, Y + 2, verbose=0)
    for mine, old in zip(one.student.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, old)
