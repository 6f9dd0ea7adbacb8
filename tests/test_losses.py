"""Losses beside Keras: values, gradients, reductions, weights, masks, configurations, names."""
import numpy as np
import pytest
from live import keras, plain, same, values

import nnc

rng = np.random.default_rng(7)
BATCH, CLASSES = 6, 4


def probabilities(shape):
    x = np.exp(rng.normal(size=shape)).astype("float32")
    return x / x.sum(-1, keepdims=True)


def numbers(shape):
    return rng.normal(size=shape).astype("float32")


def signs(shape):
    return np.where(rng.random(shape) < 0.5, -1, 1).astype("float32")


def bits(shape):
    return (rng.random(shape) < 0.5).astype("float32")


def one_hot(shape):
    return np.eye(shape[-1], dtype="float32")[rng.integers(0, shape[-1], shape[:-1])]


def labels(shape):
    return rng.integers(0, shape[-1], shape[:-1])


#: class, function, maker of targets, maker of predictions, arguments
LOSSES = [
    ("MeanSquaredError", "mean_squared_error", numbers, numbers, {}),
    ("MeanAbsoluteError", "mean_absolute_error", numbers, numbers, {}),
    ("MeanAbsolutePercentageError", "mean_absolute_percentage_error", numbers, numbers, {}),
    ("MeanSquaredLogarithmicError", "mean_squared_logarithmic_error", probabilities, probabilities,
     {}),
    ("CosineSimilarity", "cosine_similarity", numbers, numbers, {}),
    ("CosineSimilarity", "cosine_similarity", numbers, numbers, {"axis": 0}),
    ("Huber", "huber", numbers, numbers, {}),
    ("Huber", "huber", numbers, numbers, {"delta": 0.3}),
    ("LogCosh", "log_cosh", numbers, numbers, {}),
    ("Hinge", "hinge", signs, numbers, {}),
    ("Hinge", "hinge", bits, numbers, {}),
    ("SquaredHinge", "squared_hinge", bits, numbers, {}),
    ("CategoricalHinge", "categorical_hinge", one_hot, numbers, {}),
    ("KLDivergence", "kl_divergence", probabilities, probabilities, {}),
    ("Poisson", "poisson", probabilities, probabilities, {}),
    ("BinaryCrossentropy", "binary_crossentropy", bits, probabilities, {}),
    ("BinaryCrossentropy", "binary_crossentropy", bits, numbers, {"from_logits": True}),
    ("BinaryCrossentropy", "binary_crossentropy", bits, probabilities, {"label_smoothing": 0.2}),
    ("BinaryFocalCrossentropy", "binary_focal_crossentropy", bits, probabilities, {}),
    ("BinaryFocalCrossentropy", "binary_focal_crossentropy", bits, numbers,
     {"from_logits": True, "apply_class_balancing": True, "gamma": 1.5, "label_smoothing": 0.1}),
    ("CategoricalCrossentropy", "categorical_crossentropy", one_hot, probabilities, {}),
    ("CategoricalCrossentropy", "categorical_crossentropy", one_hot, numbers,
     {"from_logits": True}),
    ("CategoricalCrossentropy", "categorical_crossentropy", one_hot, numbers,
     {"from_logits": True, "label_smoothing": 0.1}),
    ("CategoricalCrossentropy", "categorical_crossentropy", probabilities, probabilities,
     {"axis": 0}),
    ("CategoricalFocalCrossentropy", "categorical_focal_crossentropy", one_hot, probabilities, {}),
    ("CategoricalFocalCrossentropy", "categorical_focal_crossentropy", one_hot, numbers,
     {"from_logits": True, "alpha": 0.5, "gamma": 3.0}),
    ("SparseCategoricalCrossentropy", "sparse_categorical_crossentropy", labels, probabilities, {}),
    ("SparseCategoricalCrossentropy", "sparse_categorical_crossentropy", labels, numbers,
     {"from_logits": True}),
    ("SparseCategoricalCrossentropy", "sparse_categorical_crossentropy", labels, numbers,
     {"from_logits": True, "ignore_class": 1}),
    ("CosineSimilarity", "cosine_similarity", numbers, numbers, {"axis": 1}),
    ("BinaryCrossentropy", "binary_crossentropy", bits, probabilities,
     {"axis": 1, "label_smoothing": 0.1}),
    ("BinaryCrossentropy", "binary_crossentropy", bits, numbers, {"from_logits": True, "axis": 0}),
    ("BinaryFocalCrossentropy", "binary_focal_crossentropy", bits, probabilities,
     {"alpha": 0.6, "gamma": 0.0, "apply_class_balancing": True}),
    ("BinaryFocalCrossentropy", "binary_focal_crossentropy", bits, numbers,
     {"from_logits": True, "axis": 1}),
    ("CategoricalCrossentropy", "categorical_crossentropy", one_hot, probabilities,
     {"label_smoothing": 0.2}),
    ("CategoricalFocalCrossentropy", "categorical_focal_crossentropy", one_hot, probabilities,
     {"alpha": 0.1, "gamma": 1.0, "label_smoothing": 0.1}),
    ("CategoricalFocalCrossentropy", "categorical_focal_crossentropy", one_hot, numbers,
     {"from_logits": True, "axis": 1}),
    ("SparseCategoricalCrossentropy", "sparse_categorical_crossentropy", labels, probabilities,
     {"axis": -1, "ignore_class": 0}),
    ("Dice", "dice", bits, probabilities, {}),
    ("Dice", "dice", bits, probabilities, {"axis": (1,)}),
    ("Tversky", "tversky", bits, probabilities, {"alpha": 0.3, "beta": 0.8}),
    ("Dice", "dice", bits, probabilities, {"axis": -1}),
    ("Tversky", "tversky", bits, probabilities, {"axis": (1,), "alpha": 0.2, "beta": 0.9}),
    ("CategoricalGeneralizedCrossEntropy", "categorical_generalized_cross_entropy", labels,
     probabilities, {"q": 0.5}),
    ("CategoricalGeneralizedCrossEntropy", "categorical_generalized_cross_entropy", labels,
     probabilities, {"q": 0.9}),
]
IDS = [f"{row[0]}-{'-'.join(row[4])}-{i}" for i, row in enumerate(LOSSES)]
# Sums of 24 terms, and cosine similarities near 0, where only the absolute error counts.
TOLERANCE = {"rtol": 1e-5, "atol": 2e-6}


def gradient(fn, y_true, y_pred):
    """d sum(fn) / d y_pred in nnc and in TensorFlow."""
    import tensorflow as tf

    x = nnc.ops.convert_to_tensor(y_pred)
    with nnc.GradientTape() as tape:
        tape.watch(x)
        loss = nnc.ops.sum(fn[0](y_true, x))
    z = tf.constant(y_pred)
    with tf.GradientTape() as theirs:
        theirs.watch(z)
        wanted = tf.reduce_sum(fn[1](y_true, z))
    return tape.gradient(loss, x), theirs.gradient(wanted, z)


@pytest.mark.parametrize("name, function, make_true, make_pred, arguments", LOSSES, ids=IDS)
@pytest.mark.parametrize("shape", [(BATCH, CLASSES), (BATCH, 3, CLASSES)], ids=str)
def test_value_and_gradient(name, function, make_true, make_pred, arguments, shape):
    y_true, y_pred = make_true(shape), make_pred(shape)
    ours = getattr(nnc.losses, name)(**arguments)
    theirs = getattr(keras.losses, name)(**arguments)
    same(ours(y_true, y_pred), theirs(y_true, y_pred), **TOLERANCE)
    pair = [lambda t, p, library=library: getattr(library.losses, function)(t, p, **arguments)
            for library in (nnc, keras)]
    if arguments.get("ignore_class") is None:
        same(pair[0](y_true, y_pred), pair[1](y_true, y_pred), **TOLERANCE)
    same(*gradient((ours, theirs), y_true, y_pred), **TOLERANCE)


@pytest.mark.parametrize("arguments", [{}, {"gamma": 5.0, "margin": 0.2},
                                       {"gamma": 5.0, "remove_diagonal": False}], ids=str)
def test_circle(arguments):
    # numbers of its own: of 500 such sets one cancels so far that both libraries miss 2.5e-6
    y_pred = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    y_pred /= np.linalg.norm(y_pred, axis=-1, keepdims=True)
    y_true = np.array([0, 1, 0, 1, 2, 2, 1, 0])
    ours, theirs = (library.losses.Circle(**arguments) for library in (nnc, keras))
    # a product of 80 and a difference near 0, in float32
    same(ours(y_true, y_pred), theirs(y_true, y_pred), rtol=1e-4, atol=1e-5)
    got, wanted = gradient((ours, theirs), y_true, y_pred)
    # sums that nearly cancel: what counts is the largest number, of which both miss 1e-7
    same(got, wanted, rtol=0, atol=1e-6 * abs(np.asarray(wanted)).max())
    plain_pair = [library.losses.circle(y_true, y_pred, ref_labels=y_true[:4],
                                        ref_embeddings=y_pred[:4], remove_diagonal=False,
                                        gamma=5, margin=0.2) for library in (nnc, keras)]
    same(*plain_pair, rtol=1e-4, atol=1e-5)
    assert plain(ours.get_config()) == plain(theirs.get_config())


def test_ctc():
    y_pred = numbers((4, 7, 5))
    y_true = np.array([[1, 2, 2], [3, 0, 0], [4, 1, 0], [1, 1, 1]])
    ours, theirs = (library.losses.CTC() for library in (nnc, keras))
    same(ours(y_true, y_pred), theirs(y_true, y_pred), **TOLERANCE)
    same(*gradient((ours, theirs), y_true, y_pred), **TOLERANCE)
    assert plain(ours.get_config()) == plain(theirs.get_config())
    same(nnc.losses.ctc(y_true, y_pred), keras.losses.ctc(y_true, y_pred), **TOLERANCE)
    with pytest.raises(ValueError, match="y_true"):
        ours(y_true[0], y_pred)
    with pytest.raises(ValueError, match="y_pred"):
        ours(y_true, y_pred[0])


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean", "sum", "none", None,
                                       "mean_with_sample_weight"])
@pytest.mark.parametrize("weights", [None, (BATCH,), (BATCH, 1)], ids=str)
@pytest.mark.parametrize("name", ["MeanSquaredError", "CategoricalCrossentropy"])
def test_reductions_and_weights(name, reduction, weights):
    shape = (BATCH, CLASSES)
    y_true, y_pred = one_hot(shape), probabilities(shape)
    weight = None if weights is None else rng.random(weights).astype("float32")
    ours, theirs = (getattr(library.losses, name)(reduction=reduction)(y_true, y_pred, weight)
                    for library in (nnc, keras))
    same(ours, theirs, **TOLERANCE)


def test_weights_for_places():
    y_true, y_pred = numbers((BATCH, 3, CLASSES)), numbers((BATCH, 3, CLASSES))
    for shape in ((BATCH, 3), (BATCH, 1), (BATCH, 3, 1)):
        weight = rng.random(shape).astype("float32")
        same(nnc.losses.MeanSquaredError()(y_true, y_pred, weight),
             keras.losses.MeanSquaredError()(y_true, y_pred, weight), **TOLERANCE)


def test_weights_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="sample_weight.*shape"):
        nnc.losses.MeanSquaredError()(numbers((4, 2)), numbers((4, 2)), np.ones((4, 5), "float32"))


def test_mask_counts_like_keras():
    y_true, y_pred = numbers((BATCH, 3, CLASSES)), numbers((BATCH, 3, CLASSES))
    mask = rng.random((BATCH, 3)) < 0.5
    for reduction in ("sum_over_batch_size", "sum", "mean_with_sample_weight"):
        ours = nnc.ops.convert_to_tensor(y_pred)
        ours._keras_mask = nnc.ops.convert_to_tensor(mask)
        theirs = keras.ops.convert_to_tensor(y_pred)
        keras.src.backend.set_keras_mask(theirs, keras.ops.convert_to_tensor(mask))
        same(nnc.losses.MeanSquaredError(reduction=reduction)(y_true, ours),
             keras.losses.MeanSquaredError(reduction=reduction)(y_true, theirs), **TOLERANCE)


@pytest.mark.parametrize("shapes", [((BATCH,), (BATCH, 1)), ((BATCH, 1), (BATCH,)),
                                    ((BATCH,), (BATCH,))],
                         ids=str)
def test_a_last_axis_of_one_may_be_missing(shapes):
    y_true, y_pred = bits(shapes[0]), numbers(shapes[1])
    for name in ("MeanSquaredError", "Hinge"):
        same(getattr(nnc.losses, name)()(y_true, y_pred),
             getattr(keras.losses, name)()(y_true, y_pred), **TOLERANCE)
    same(nnc.losses.BinaryCrossentropy(from_logits=True)(y_true, y_pred),
         keras.losses.BinaryCrossentropy(from_logits=True)(y_true, y_pred), **TOLERANCE)


@pytest.mark.parametrize("activation, loss, make", [("softmax", "CategoricalCrossentropy", one_hot),
                                                    ("softmax", "SparseCategoricalCrossentropy",
                                                     labels),
                                                    ("sigmoid", "BinaryCrossentropy", bits)])
def test_logits_are_found_behind_an_activation(activation, loss, make):
    """Logits of 200 give probabilities of 0 and 1 exactly; the loss is still exact, as in Keras."""
    x = (200 * numbers((BATCH, CLASSES))).astype("float32")
    y_true = make((BATCH, CLASSES))
    ours = getattr(nnc.losses, loss)()(y_true,
                                       getattr(nnc.activations, activation)(nnc.ops.array(x)))
    theirs = getattr(keras.losses, loss)()(y_true, getattr(keras.activations, activation)(x))
    same(ours, theirs, **TOLERANCE)
    assert float(ours) > 20     # clipped probabilities would give at most -log(1e-7) = 16


def test_binary_logits_of_zero_have_a_gradient():
    z = nnc.ops.convert_to_tensor(np.zeros((2, 1), "float32"))
    with nnc.GradientTape() as tape:
        tape.watch(z)
        loss = nnc.losses.BinaryCrossentropy(from_logits=True, reduction="sum")([[0.0], [1.0]], z)
    np.testing.assert_array_equal(values(tape.gradient(loss, z)), [[0.5], [-0.5]])


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32"])
def test_label_dtypes(dtype):
    y_pred = numbers((BATCH, CLASSES))
    y_true = labels((BATCH, CLASSES)).astype(dtype)
    for shape in ((BATCH,), (BATCH, 1)):
        labelled = y_true.reshape(shape)
        same(nnc.losses.SparseCategoricalCrossentropy(from_logits=True)(labelled, y_pred),
             keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labelled, y_pred),
             **TOLERANCE)


def test_ignore_class_of_minus_one_and_255():
    y_pred = numbers((BATCH, CLASSES))
    for void, dtype in ((-1, "int64"), (255, "uint8"), (-1, "uint8")):
        y_true = labels((BATCH, CLASSES)).astype(dtype)
        if void != -1 or dtype != "uint8":
            y_true[1] = void
        arguments = {"from_logits": True, "ignore_class": void}
        same(nnc.losses.SparseCategoricalCrossentropy(**arguments)(y_true, y_pred),
             keras.losses.SparseCategoricalCrossentropy(**arguments)(y_true, y_pred), **TOLERANCE)


@pytest.mark.parametrize("label", [7, -1])
def test_labels_out_of_range_are_refused(label):
    with pytest.raises((IndexError, ValueError), match=f"label {label}"):
        nnc.losses.SparseCategoricalCrossentropy()(np.array([0, label]), probabilities((2, 3)))


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="same shape"):
        nnc.losses.CategoricalCrossentropy()(one_hot((4, 3)), probabilities((4, 5)))
    with pytest.raises(ValueError, match="target"):
        nnc.losses.SparseCategoricalCrossentropy()(np.zeros((3,), int), probabilities((4, 5)))


def test_float64():
    y_true, y_pred = numbers((4, 3)).astype("float64"), numbers((4, 3)).astype("float64")
    ours = nnc.losses.MeanSquaredError(dtype="float64")(y_true, y_pred)
    assert ours.dtype == "float64"
    np.testing.assert_allclose(float(ours), np.mean((y_true - y_pred) ** 2),
                               rtol=1e-14)   # a few roundings


@pytest.mark.parametrize("name, arguments", [(row[0], row[4]) for row in LOSSES], ids=IDS)
def test_configuration(name, arguments):
    ours, theirs = (getattr(library.losses, name)(**arguments) for library in (nnc, keras))
    assert plain(ours.get_config()) == plain(theirs.get_config())
    again = type(ours).from_config(ours.get_config())
    assert again.get_config() == ours.get_config()
    assert plain(nnc.losses.serialize(ours)) == plain(keras.losses.serialize(theirs))
    back = nnc.losses.deserialize(nnc.losses.serialize(ours))
    assert type(back) is type(ours) and back.get_config() == ours.get_config()


def test_names():
    import keras.src.losses as table

    for name, thing in table.ALL_OBJECTS_DICT.items():
        if name in ("LossFunctionWrapper", "Loss"):
            continue
        found = nnc.losses.get(name)
        found = type(found) if isinstance(thing, type) else found
        assert found.__name__ == thing.__name__
    assert nnc.losses.get(None) is None
    assert nnc.losses.get({"class_name": "Huber", "config": {"delta": 2.0}}).delta == 2.0
    assert nnc.losses.get(nnc.losses.Huber).delta == 1.0
    function = nnc.losses.get(lambda a, b: a)
    assert function(1, 2) == 1


@pytest.mark.parametrize("bad, text", [("mean_square_error", "did you mean 'mean_squared_error'"),
                                       (3, "Could not interpret loss"), ({"a": 1}, "class_name")])
def test_unknown_losses_are_refused(bad, text):
    with pytest.raises(ValueError, match=text):
        nnc.losses.get(bad)


def test_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="reduction"):
        nnc.losses.Huber(reduction="median")


def test_own_losses():
    class Fourth(nnc.losses.Loss):
        def call(self, y_true, y_pred):
            return nnc.ops.mean(nnc.ops.square(nnc.ops.square(y_pred - y_true)), -1)

    y_true, y_pred = numbers((4, 3)), numbers((4, 3))
    wanted = np.mean((y_true - y_pred) ** 4)
    np.testing.assert_allclose(float(Fourth()(y_true, y_pred)), wanted, rtol=1e-5)      # float32
    wrapped = nnc.losses.losses.LossFunctionWrapper(
        lambda t, p, power: nnc.ops.mean(nnc.ops.power(p - t, power), -1), power=4.0)
    np.testing.assert_allclose(float(wrapped(y_true, y_pred)), wanted, rtol=1e-5)
