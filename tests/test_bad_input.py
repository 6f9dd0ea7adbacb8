"""Wrong calls: each raises, names the culprit, and changes neither weights nor the optimizer."""
import re

import numpy as np
import pytest
import scipy.sparse

import nnc

X = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
Y = np.arange(40) % 3


def compiled():
    model = nnc.Sequential([nnc.Input((6,)), nnc.layers.Dense(8, activation="relu", name="first"),
                            nnc.layers.Dense(3, activation="softmax", name="last")], name="net")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(X, Y, verbose=0)
    return model


def changed(array, row, value):
    array = array.copy()
    array[row] = value
    return array


def fit(x=X, y=Y, **options):
    return lambda m: m.fit(x, y, verbose=0, **options)


OBJECTS = np.array([[1, "a"]] * 40, dtype=object)
ROWS = [
    # shapes
    ("rank", fit(x=np.zeros((40, 28, 28))), ValueError,
     r"layer 'first'.*expected \(None, 6\), received \(\d+, 28, 28\)"),
    ("width", fit(x=np.zeros((40, 7))), ValueError, r"layer 'first'.*\(None, 6\).*\(\d+, 7\)"),
    ("predict width", lambda m: m.predict(np.zeros((4, 7)), verbose=0), ValueError,
     r"layer 'first'.*\(None, 6\).*7\)"),
    ("call width", lambda m: m(np.zeros((4, 7))), ValueError,
     r"layer 'first'.*\(None, 6\).*\(4, 7\)"),
    ("layer width", lambda m: m.layers[1](np.zeros((4, 7))), ValueError,
     r"layer 'last'.*axis -1.*value 8, found 7.*\(4, 7\)"),
    ("targets", fit(y=np.zeros((40, 5))), ValueError, r"target.*\(32, 5\).*\(32, 3\)"),
    ("scalar", fit(x=3.0), ValueError, r"`x` must hold one row for each sample"),
    ("ragged", fit(x=[[1, 2], [3]]), ValueError, r"`x` is no array of numbers: its rows"),
    # lengths
    ("lengths", fit(y=Y[:39]), ValueError, r"same number of samples. Received: x has 40, y has 39"),
    ("weights' length", fit(sample_weight=np.ones(3)), ValueError, r"sample_weight has 3"),
    ("weights' shape", fit(sample_weight=np.ones((40, 2))), ValueError,
     r"`sample_weight` must broadcast"),
    ("empty", fit(x=X[:0], y=Y[:0]), ValueError, r"`x` holds no samples.*\(0, 6\)"),
    ("validation lengths", fit(validation_data=(X, Y[:3])), ValueError,
     r"validation_data: all arrays.*x has 40, y has 3"),
    ("validation width", fit(validation_data=(X[:, :2], Y)), ValueError, r"layer 'first'.*2\)"),
    ("validation kind", fit(validation_data=3), ValueError, r"`validation_data` must be a tuple"),
    # labels
    ("label too large", fit(y=changed(Y, 17, 7)), ValueError,
     r"label 7 in row 17 of `y`.*3 classes.*0 to 2"),
    ("label negative", fit(y=changed(Y, 3, -1)), ValueError, r"label -1 in row 3"),
    ("label float", fit(y=changed(Y.astype("float32"), 5, 9.0)), ValueError, r"label 9.0 in row 5"),
    ("evaluate label", lambda m: m.evaluate(X, changed(Y, 2, 3), verbose=0), ValueError,
     r"evaluate: label 3 in row 2"),
    ("validation label", fit(validation_data=(X, changed(Y, 1, 8))), ValueError,
     r"label 8 in row 1"),
    ("batch label", lambda m: m.train_on_batch(X, changed(Y, 0, 5)), ValueError,
     r"label 5 in row 0"),
    # kinds
    ("objects", fit(x=OBJECTS), TypeError, r"`x` holds Python objects \(dtype object\)"),
    ("strings", fit(x=np.array([["a"] * 6] * 40)), TypeError, r"`x` holds strings \(dtype <U1\)"),
    ("string labels", fit(y=np.array(["cat"] * 40)), TypeError, r"`y` holds strings"),
    ("complex", fit(x=X.astype("complex64")), TypeError, r"`x` holds complex numbers"),
    ("generator", fit(x=(row for row in X)), ValueError, r"`y` cannot be passed.*generator"),
    ("nothing", fit(x=None), ValueError, r"`x` must be an array.*x=None"),
    ("no targets", fit(y=None), ValueError, r"needs targets: pass `y`"),
    ("layer objects", lambda m: m.layers[0](OBJECTS), TypeError, r"Layer 'first'.*Python objects"),
    ("call strings", lambda m: m("abc"), TypeError, r"Model 'net'.*strings"),
    ("dict of one", fit(x={"a": X}), TypeError,
     r"Model 'net'.*expected an array of numbers.*dict with the keys \['a'\]; pass the array"),
    ("call sparse", lambda m: m(scipy.sparse.csr_matrix(X)), TypeError,
     r"Model 'net'.*Received: csr_matrix; `.toarray\(\)`"),
    # numbers
    ("batch size", fit(batch_size=0), ValueError,
     r"`batch_size` must be an integer >= 1.*batch_size=0"),
    ("batch size kind", fit(batch_size=2.5), ValueError, r"batch_size=2.5"),
    ("epochs", fit(epochs=-1), ValueError, r"`epochs` must be an integer >= 0.*epochs=-1"),
    ("steps", fit(steps_per_epoch=0), ValueError, r"`steps_per_epoch`.*=0"),
    ("split", fit(validation_split=1.5), ValueError, r"between 0 and 1.*validation_split=1.5"),
    ("split too small", fit(validation_split=0.99), ValueError, r"40 samples are not enough"),
    ("shuffle", fit(shuffle="yes"), ValueError, r"`shuffle` must be.*'yes'"),
    ("verbose", lambda m: m.fit(X, Y, verbose=7), ValueError, r"verbose=7"),
    ("frequency", fit(validation_freq=0), ValueError, r"`validation_freq`.*=0"),
    ("class weights", fit(class_weight=[1, 2, 3]), ValueError, r"`class_weight` must be a dict"),
    ("both weights", fit(class_weight={0: 1.0}, sample_weight=np.ones(40)), ValueError,
     r"`class_weight` and `sample_weight` cannot both"),
    ("infinite weight", fit(sample_weight=changed(np.ones(40), 4, np.inf)), ValueError,
     r"inf in row 4"),
    ("callback class", fit(callbacks=[nnc.callbacks.EarlyStopping]), TypeError, r"pass an object"),
    # names
    ("optimizer", lambda m: m.compile("adamm", "mse"), ValueError,
     r"'adamm'; did you mean 'adam'\?"),
    ("loss", lambda m: m.compile("adam", "mean_square_error"), ValueError,
     r"did you mean 'mean_squared_error'\?"),
    ("metric", lambda m: m.compile("adam", "mse", metrics=["acuracy"]), ValueError,
     r"did you mean '\w*accuracy'\?"),
    ("activation", lambda m: nnc.layers.Dense(2, activation="rellu"), ValueError,
     r"did you mean 'relu'\?"),
    ("initializer", lambda m: nnc.layers.Dense(2, kernel_initializer="zeroes"), ValueError,
     r"did you mean 'zeros'\?"),
    ("keyword", lambda m: nnc.layers.Dense(2, activaton="relu"), ValueError,
     r"passed to Dense.*did you mean 'activation'\?"),
    ("layer name", lambda m: m.get_layer("firts"), ValueError, r"did you mean 'first'\?"),
    ("metrics as weights", lambda m: m.compile("adam", "mse", ["accuracy"]), ValueError,
     r"`loss_weights` must hold numbers.*`metrics`.*accuracy"),
    ("metrics kind", lambda m: m.compile("adam", "mse", metrics="accuracy"), ValueError,
     r"`metrics` to be a list.*'accuracy'"),
    ("loss kind", lambda m: m.compile("adam", 3), ValueError, r"`loss` must be.*3"),
    # weights
    ("weights' number", lambda m: m.set_weights(m.get_weights()[:-1]), ValueError,
     r"list of length 3.*expecting 4"),
    ("a weight's shape", lambda m: m.set_weights([w.T for w in m.get_weights()]), ValueError,
     r"'net/first/kernel' has shape \(6, 8\).*\(8, 6\)"),
    ("last weight's shape", lambda m: m.set_weights([w + 1
                                                     for w in m.get_weights()[:3]] + [np.ones(9)]),
     ValueError, r"'net/last/bias' has shape \(3,\).*\(9,\)"),
    ("a weight's kind", lambda m: m.set_weights(["a"] * 4), TypeError,
     r"'net/first/kernel'.*strings"),
    # layers
    ("units", lambda m: nnc.layers.Dense(-2), ValueError, r"positive integer.*units=-2"),
    ("rate", lambda m: nnc.layers.Dropout(1.5), ValueError, r"from 0 to 1.*rate=1.5"),
    ("dtype", lambda m: nnc.layers.Dense(2, dtype="float8"), ValueError,
     r"'float32' or 'bfloat16'.*'float8'"),
    ("no layer", lambda m: m.add(3), ValueError, r"Only instances.*Received: 3"),
    ("same name", lambda m: m.add(nnc.layers.Dense(3, name="last")), ValueError,
     r"unique names.*'last'"),
    ("second input", lambda m: m.add(nnc.layers.InputLayer((3,))), ValueError,
     r"already been configured"),
    ("functional", lambda m: nnc.Model(1, 2), ValueError, r"must be KerasTensors"),
    ("shape", lambda m: nnc.Input((3, -1)), ValueError, r"negative sizes"),
]


def state(model):
    return [w.copy() for w in model.get_weights()] + [v.numpy() for v in model.optimizer.variables]


@pytest.mark.parametrize("call, error, text", [row[1:] for row in ROWS], ids=[row[0]
                                                                              for row in ROWS])
def test_refused_and_nothing_changed(call, error, text):
    model = compiled()
    before, optimizer, layers = state(model), model.optimizer, model.layers
    with pytest.raises(error) as caught:
        call(model)
    message = str(caught.value)
    assert re.search(text, message, re.S), message
    assert "\x1b" not in message and len(message) < 600
    assert model.optimizer is optimizer and model.layers == layers
    for a, b in zip(before, state(model)):
        np.testing.assert_array_equal(a, b)
    model.fit(X, Y, verbose=0)                  # and the model goes on


def test_before_compile():
    model = nnc.Sequential([nnc.layers.Dense(2)])
    for call in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match=r"`compile\(\)` before"):
            call(X, Y)
    assert not model.built


def test_the_example_of_ten_inputs_fed_with_images():
    model = nnc.Sequential([nnc.layers.Dense(20, activation="relu", input_shape=(10,)),
                            nnc.layers.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"layer 'dense\w*'.*expected \(None, 10\), received "
                                         r"\(\d+, 28, 28\)"):
        model.fit(np.zeros((50, 28, 28)), np.zeros(50), epochs=5, verbose=0)
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert not model.optimizer.built


def test_weights_are_not_half_changed_when_memory_runs_out():
    from nnc import _core

    model = compiled()
    before = state(model)
    failed = 0
    for n in range(1, 400):
        _core.alloc_fail_at(n)
        try:
            model.predict(X[:5], verbose=0)
        except MemoryError:
            failed += 1
            continue
        finally:
            _core.alloc_fail_at(0)
        break
    for a, b in zip(before, state(model)):
        np.testing.assert_array_equal(a, b)


def test_training_survives_any_failed_allocation():
    """The n-th allocation of compile and fit fails, for every n: MemoryError or nothing."""
    from nnc import _core

    failed = 0
    for n in range(1, 3000):
        model = nnc.Sequential([nnc.Input((6,)), nnc.layers.Dense(4, activation="relu"),
                                nnc.layers.Dense(3, activation="softmax")])
        steps = None
        _core.alloc_fail_at(n)
        try:
            model.compile("adam", "sparse_categorical_crossentropy")
            steps = model.optimizer
            model.fit(X, Y, batch_size=16, verbose=0)
        except MemoryError:
            failed += 1
        else:
            break
        finally:
            _core.alloc_fail_at(0)
        if steps is not None:
            assert np.isfinite(model.fit(X, Y, verbose=0).history["loss"]).all()
    assert 20 < failed < 2999
