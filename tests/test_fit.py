"""fit, evaluate, predict: beside Keras on TensorFlow, and what nnc adds: bits, signals, threads."""
import copy
import os
import pickle
import signal
import threading
import time
import warnings

import numpy as np
import pytest

import nnc
from nnc import _core

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Sums of float32 in another order differ by some units in the last place, and steps of Adam carry
# that on: a few epochs end within a ten-thousandth of one another.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def keras():
    return pytest.importorskip("keras")


def samples(count=70, width=6, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, width)).astype("float32")
    y = (np.abs(x[:, :classes]).argmax(1)).astype("int64")
    return x, y


def twins(build, x):
    """The same model in both libraries with the same weights."""
    ours, theirs = build(nnc), build(keras())
    ours.build((None, *x.shape[1:]))
    theirs.build((None, *x.shape[1:]))
    theirs.set_weights(ours.get_weights())
    return ours, theirs


def classifier(k, classes=3, activation="softmax", **options):
    return k.Sequential([k.layers.Dense(16, activation="relu", **options),
                         k.layers.Dense(classes, activation=activation)])


def compare_histories(build, compiled, x, y, **fit):
    ours, theirs = twins(build, x)
    results = []
    for library, model in ((nnc, ours), (keras(), theirs)):
        model.compile(**(compiled(library) if callable(compiled) else compiled))
        options = {"epochs": 3, "batch_size": 16, "shuffle": False, "verbose": 0, **fit}
        results.append(model.fit(x, y, **options).history)
    assert set(results[0]) == set(results[1])
    for name in results[1]:
        np.testing.assert_allclose(results[0][name], results[1][name], err_msg=name, **CLOSE)
    for a, b in zip(ours.get_weights(), theirs.get_weights()):
        # weights after some dozen steps: rounding only, carried on by the optimizer's divisions
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)
    return ours, theirs


SPARSE = {"optimizer": "adam", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}


@pytest.mark.parametrize("compiled", [
    SPARSE,
    {**SPARSE, "optimizer": "sgd"},
    {**SPARSE, "optimizer": "rmsprop", "metrics": ["acc"]},
    {**SPARSE, "metrics": ["sparse_categorical_accuracy", "accuracy"], "loss_weights": [0.5]},
    lambda k: {"optimizer": k.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
               "loss": k.losses.SparseCategoricalCrossentropy(),
               "metrics": [k.metrics.SparseCategoricalAccuracy(name="right"), "accuracy"]},
    lambda k: {"optimizer": k.optimizers.AdamW(0.01), "loss": "crossentropy",
               "metrics": ["accuracy"]},
    lambda k: {"optimizer": k.optimizers.Adagrad(0.1), "loss": "sparse_categorical_crossentropy"},
], ids=range(7))
def test_sparse_labels(compiled):
    x, y = samples()
    compare_histories(classifier, compiled, x, y)


def test_one_hot_labels_and_logits():
    x, y = samples()
    hot = np.eye(3, dtype="float32")[y]

    def build(k):
        return classifier(k, activation=None)

    compare_histories(build, lambda k: {
        "optimizer": "adam", "loss": k.losses.CategoricalCrossentropy(from_logits=True),
        "metrics": ["accuracy", "mse"]}, x, hot)


@pytest.mark.parametrize("loss", ["mse", "mae", "binary_crossentropy"])
def test_one_output(loss):
    x, y = samples()
    target = (y > 0).astype("float64")          # float64, of shape (n,): the output has (n, 1)

    def build(k):
        return classifier(k, 1, "sigmoid")

    compare_histories(build, {"optimizer": "adam", "loss": loss, "metrics": ["accuracy", "mae"]}, x,
                      target)


def test_regularizers_constraints_and_activity():
    x, y = samples()

    def build(k):
        return k.Sequential([
            k.layers.Dense(8, activation="tanh", kernel_regularizer=k.regularizers.L1L2(0.01, 0.02),
                           bias_regularizer="l2", activity_regularizer=k.regularizers.L2(0.01),
                           kernel_constraint=k.constraints.MaxNorm(1.0)),
            k.layers.Dense(3, activation="softmax")])

    compare_histories(build, SPARSE, x, y)


@pytest.mark.parametrize("fit", [
    {"validation_split": 0.3},
    {"validation_split": 0.2, "validation_batch_size": 5, "validation_freq": 2},
    {"class_weight": {0: 2.0, 2: 0.5}},
    {"class_weight": {0: 2.0, 2: 0.5}, "validation_split": 0.2},
    {"steps_per_epoch": 3, "epochs": 1},
    {"initial_epoch": 1, "epochs": 4},
    {"batch_size": 100},
    {"batch_size": 14},
], ids=str)
def test_fit_arguments(fit):
    x, y = samples()
    compare_histories(classifier, {**SPARSE, "weighted_metrics": ["accuracy"]}, x, y, **fit)


def test_sample_weights_and_validation_data():
    x, y = samples()
    vx, vy = samples(31, seed=1)
    weight = np.linspace(0, 2, len(x))
    compare_histories(classifier, {**SPARSE, "weighted_metrics": ["accuracy"]}, x, y,
                      sample_weight=weight, validation_data=(vx, vy, np.linspace(1, 2, 31)))


def test_evaluate_and_predict_are_keras():
    x, y = samples()
    ours, theirs = twins(classifier, x)
    for model in (ours, theirs):
        model.compile(**SPARSE)
    for options in ({}, {"batch_size": 7}, {"sample_weight": np.arange(70.0)}):
        a, b = (m.evaluate(x, y, verbose=0, **options) for m in (ours, theirs))
        np.testing.assert_allclose(a, b, **CLOSE)
    assert ours.evaluate(x, y, batch_size=32, steps=2, verbose=0) == ours.evaluate(
        x[:64], y[:64], verbose=0)
    result = ours.evaluate(x, y, verbose=0, return_dict=True)
    assert set(result) == {"loss", "accuracy"} and all(type(v) is float for v in result.values())
    np.testing.assert_allclose(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), **CLOSE)
    assert ours.metrics_names == theirs.metrics_names


def test_epochs_of_some_steps_go_on_where_the_last_one_ended():
    x, y = samples(64)
    with pytest.warns(UserWarning, match="`x` gave 1 of the 3 batches asked for"):
        a, one = fitted(x=x, y=y, steps_per_epoch=3, epochs=6)
    b, _ = fitted(x=x, y=y, epochs=3)
    same(a, b)                                  # of four batches a pass: 3, 1, 3, 1, 3, 1
    assert len(one["loss"]) == 6 and int(a.optimizer.iterations.numpy()) == 12


def test_single_batches_are_keras():
    x, y = samples(32)
    ours, theirs = twins(classifier, x)
    for model in (ours, theirs):
        model.compile(**{**SPARSE, "optimizer": "sgd"})
    for _ in range(3):
        a, b = (m.train_on_batch(x, y, return_dict=True) for m in (ours, theirs))
        assert set(a) == set(b)
        np.testing.assert_allclose([a[k] for k in sorted(a)], [b[k] for k in sorted(b)], **CLOSE)
    np.testing.assert_allclose(ours.test_on_batch(x, y), theirs.test_on_batch(x, y), **CLOSE)
    np.testing.assert_allclose(ours.predict_on_batch(x), theirs.predict_on_batch(x), **CLOSE)
    a, b = (m.train_on_batch(x, y, class_weight={0: 3.0}) for m in (ours, theirs))
    np.testing.assert_allclose(a, b, **CLOSE)


# ---- recorded or not -----------------------------------------------------------------------------

def fitted(seed=1, x=None, y=None, build=classifier, compiled=SPARSE, threads=None, **fit):
    """Weights and history after a run that begins from a seed."""
    nnc.utils.set_random_seed(seed)
    if x is None:
        x, y = samples()
    model = build(nnc)
    model.compile(**compiled)
    before = _core.get_num_threads()
    try:
        if threads:
            _core.set_num_threads(threads)
        history = model.fit(x, y, verbose=0, **{"epochs": 2, "batch_size": 16, **fit}).history
    finally:
        _core.set_num_threads(before)
    return model, history


def same(a, b):
    assert len(a.get_weights()) == len(b.get_weights())
    for left, right in zip(a.get_weights(), b.get_weights()):
        np.testing.assert_array_equal(left, right)


def dropped(k):
    return k.Sequential([k.layers.Dense(16, activation="relu"), k.layers.Dropout(0.3),
                         k.layers.Dense(3, activation="softmax")])


def test_eager_steps_give_the_bits_of_recorded_ones():
    a, one = fitted(build=dropped)
    b, two = fitted(build=dropped, compiled={**SPARSE, "run_eagerly": True})
    same(a, b)
    assert one == two


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_bits_do_not_depend_on_threads(threads):
    x, y = samples(300, 40)
    a, one = fitted(x=x, y=y, build=dropped, threads=2)
    b, two = fitted(x=x, y=y, build=dropped, threads=threads)
    same(a, b)
    assert one == two


def test_a_seed_repeats_everything_and_another_does_not():
    (a, one), (b, two), (c, three) = (fitted(seed=s, build=dropped) for s in (1, 1, 2))
    same(a, b)
    assert one == two and one != three


def test_a_batch_hook_changes_no_bit():
    seen = []
    hook = nnc.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    a, one = fitted(build=dropped)
    b, two = fitted(build=dropped, callbacks=[hook])
    same(a, b)
    assert one == two and seen == [0, 1, 2, 3, 4] * 2


def test_steps_per_execution_is_the_distance_of_batch_hooks():
    seen = []
    hook = nnc.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    a, _ = fitted(callbacks=[hook], compiled={**SPARSE, "steps_per_execution": 3}, epochs=1)
    assert seen == [2, 5]           # three full batches; one, and the short one, told as three
    same(a, fitted(epochs=1)[0])


def test_shuffling_reaches_every_sample_once_an_epoch():
    """A model that adds up what it sees."""
    class Sum(nnc.Model):
        def __init__(self):
            super().__init__()
            self.seen = self.add_weight(shape=(40,), initializer="zeros", trainable=False,
                                        name="seen")
            self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

        def call(self, x):
            self.seen.assign_add(nnc.ops.sum(nnc.ops.one_hot(nnc.ops.cast(x[:, 0], "int32"), 40),
                                             0))
            return x * self.scale

    for shuffle in (True, False, "batch"):
        model = Sum()
        model.compile("sgd", "mse")
        x = np.arange(40, dtype="float32")[:, None]
        model.fit(x, x, batch_size=7, epochs=3, shuffle=shuffle, verbose=0)
        np.testing.assert_array_equal(model.seen.numpy(), np.full(40, 3.0))


def test_a_step_that_asks_for_numbers_runs_eagerly_with_one_notice():
    class Asks(nnc.Model):
        def __init__(self):
            super().__init__()
            self.dense = nnc.layers.Dense(1)

        def call(self, x):
            y = self.dense(x)
            if float(nnc.ops.sum(y)) > 1e9:     # known only when it runs
                return y * 0.0
            return y

    x = np.ones((20, 3), "float32")
    model = Asks()
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match=r"cannot be recorded.*test_fit\.py, line \d+") as seen:
        history = model.fit(x, x[:, :1], epochs=3, batch_size=8, verbose=0).history
    assert len([w for w in seen if "cannot be recorded" in str(w.message)]) == 1
    assert history["loss"][-1] < history["loss"][0]


def test_own_train_step():
    class Own(nnc.Sequential):
        def train_step(self, data):
            x, y = data
            with nnc.GradientTape() as tape:
                loss = nnc.ops.mean(nnc.ops.square(self(x, training=True) - y))
            weights = self.trainable_weights
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
            return {"mine": loss}

    x, _ = samples()
    model = Own([nnc.layers.Dense(1)])
    model.compile("sgd")
    history = model.fit(x, x[:, :1], epochs=4, verbose=0).history
    assert list(history) == ["mine"] and history["mine"][-1] < history["mine"][0]


def test_a_step_with_gradients_of_gradients_and_a_loss_of_its_own():
    """The returned loss is what is logged, recorded or not, though a metric has that name too."""
    class Smooth(nnc.Sequential):
        def train_step(self, data):
            x, y = data
            with nnc.GradientTape() as outer:
                with nnc.GradientTape() as inner:
                    inner.watch(x)
                    p = self(x, training=True)
                slope = inner.gradient(p, x)
                loss = nnc.ops.mean(nnc.ops.square(p - y)) + nnc.ops.mean(nnc.ops.square(slope))
            weights = self.trainable_weights
            self.optimizer.apply_gradients(zip(outer.gradient(loss, weights), weights))
            return {"loss": loss}

    def build(k):
        return Smooth([k.layers.Dense(5, activation="tanh"), k.layers.Dense(1)])

    x, _ = samples()
    a, one = fitted(x=x, y=x[:, :1], build=build, compiled={"optimizer": "adam"})
    b, two = fitted(x=x, y=x[:, :1], build=build,
                    compiled={"optimizer": "adam", "run_eagerly": True})
    same(a, b)
    assert one == two and all(loss > 0 for loss in one["loss"])


@pytest.mark.parametrize("make", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_independent(make):
    x, y = samples()
    model, _ = fitted(build=dropped)
    other = make(model)
    same(model, other)
    np.testing.assert_array_equal(model.predict(x, verbose=0), other.predict(x, verbose=0))
    one, two = (m.fit(x, y, shuffle=False, verbose=0).history for m in (model, other))
    assert one == two                           # optimizer slots and random states came along
    same(model, other)
    before = model.get_weights()
    other.fit(x, y, verbose=0)
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_changes_after_recording_are_seen():
    x, y = samples()
    model, _ = fitted()
    model.layers[0].trainable = False
    frozen, free = model.layers[0].get_weights(), model.layers[1].get_weights()
    model.fit(x, y, verbose=0)
    for a, b in zip(frozen, model.layers[0].get_weights()):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(free, model.layers[1].get_weights()))
    before = model.predict(x[:3], verbose=0)
    model.layers[1].activation = nnc.activations.linear
    assert not np.allclose(before, model.predict(x[:3], verbose=0))
    model.set_weights([w * 0 for w in model.get_weights()])
    assert not model.predict(x[:3], verbose=0).any()


def test_learning_rate_changes_are_seen():
    x, y = samples()
    model, _ = fitted()
    model.optimizer.learning_rate = 0.0
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)


# ---- inputs --------------------------------------------------------------------------------------

def layouts():
    x, y = samples()
    wide = np.zeros((70, 12), "float32")
    wide[:, ::2] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    big = x.astype(">f4")
    return {
        "fortran": (np.asfortranarray(x), y), "strided": (wide[:, ::2], y), "byte-swapped": (big,
                                                                                             y),
        "read-only": (read_only, y), "reversed": (x[::-1][::-1], y), "rows": (np.repeat(x, 2,
                                                                                        0)[::2], y),
        "float64": (x.astype("float64"), y), "lists": (x.tolist(), y.tolist()),
        "tensor": (nnc.Tensor(x), y),
        "int32 labels": (x, y.astype("int32")), "uint8 labels": (x, y.astype("uint8")),
        "column of labels": (x, y[:, None]), "part of a row": (np.hstack([x, x])[:, :6], y),
        "long floats": (x.astype("longdouble"), y), "negative stride": (x[::-1].copy()[::-1], y),
    }


@pytest.mark.parametrize("name", layouts())
def test_any_layout(name):
    x, y = layouts()[name]
    a, one = fitted(x=x, y=y)
    b, two = fitted()
    same(a, b)
    assert one == two


def test_bytes_are_fed_as_they_are():
    x = np.random.default_rng(0).integers(0, 256, (50, 4, 4)).astype("uint8")
    y = np.arange(50) % 3
    results = []
    for data in (x, x.astype("float32"), x.astype("float64"), x.astype("int64")):
        nnc.utils.set_random_seed(3)
        model = nnc.Sequential([nnc.layers.Flatten(input_shape=(4, 4)),
                                nnc.layers.Dense(3, "softmax")])
        model.compile(**SPARSE)
        model.fit(data, y, verbose=0)
        results.append(model.predict(data, verbose=0))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_boolean_labels():
    x, y = samples()
    def build(k):
        return classifier(k, 1, "sigmoid")
    compare_histories(build, {"optimizer": "sgd", "loss": "binary_crossentropy"}, x, y > 0)


# ---- predict -------------------------------------------------------------------------------------

@pytest.mark.parametrize("count", [1, 2, 31, 128, 129, 300])
def test_predictions_do_not_depend_on_the_batch(count):
    x, _ = samples(300)
    model, _ = fitted()
    whole = model.predict(x, verbose=0)
    np.testing.assert_array_equal(whole[:count], model.predict(x[:count], verbose=0))
    np.testing.assert_array_equal(whole[:count], model.predict(x[:count], batch_size=7, verbose=0))
    np.testing.assert_array_equal(whole[:count], model(x[:count]).numpy())
    np.testing.assert_array_equal(whole[:count], model.predict_on_batch(x[:count]))
    assert whole.dtype == np.float32 and whole.shape == (300, 3)


def test_predict_calls_callbacks_by_batches():
    x, _ = samples(50)
    model, _ = fitted()
    seen = []
    hook = nnc.callbacks.LambdaCallback(
        on_predict_batch_end=lambda batch, logs: seen.append((batch, logs["outputs"].shape)))
    y = model.predict(x, batch_size=20, verbose=0, callbacks=[hook])
    assert seen == [(0, (20, 3)), (1, (20, 3)), (2, (10, 3))] and y.shape == (50, 3)


def test_predict_with_a_layer_over_the_batch_keeps_its_batches():
    class Centered(nnc.layers.Layer):
        def call(self, x):
            return x - nnc.ops.mean(x, 0, True)

    x, _ = samples(50)
    model = nnc.Sequential([Centered()])
    expected = np.concatenate([p - p.mean(0, keepdims=True) for p in (x[:20], x[20:40], x[40:])])
    np.testing.assert_allclose(model.predict(x, batch_size=20, verbose=0), expected, atol=1e-6)


def test_predict_results_are_the_users_own():
    x, _ = samples(5)
    model, _ = fitted()
    a = model.predict(x, verbose=0)
    b = model.predict(x, verbose=0)
    a[:] = 0
    assert b.any() and model.predict(x, verbose=0).any()


# ---- signals, threads, processes -----------------------------------------------------------------

def interrupt_after(seconds):
    """Sends the signal of Ctrl-C to this process later."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    return timer


def test_interrupt_in_the_middle_of_fit():
    x, y = samples(20000)
    model, _ = fitted()
    timer = interrupt_after(0.3)
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, epochs=100000, verbose=0)
    took = time.perf_counter() - start
    timer.join()
    assert took < 2                             # 0.3 s and 0.1 s, and a busy machine's share
    assert all(np.isfinite(w).all() for w in model.get_weights())
    steps = int(model.optimizer.iterations.numpy())
    model.fit(x[:64], y[:64], batch_size=32, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == steps + 2


def test_interrupt_in_one_huge_batch():
    x = np.zeros((40000, 1000), "float32")
    model = nnc.Sequential([nnc.Input((1000,)), nnc.layers.Dense(1500, activation="tanh"),
                            nnc.layers.Dense(1500, activation="tanh"), nnc.layers.Dense(1)])
    model.compile("sgd", "mse")
    before = model.get_weights()
    y = np.ones((40000, 1), "float32")
    timer = interrupt_after(0.5)
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=40000, epochs=50, verbose=0)
    took = time.perf_counter() - start
    timer.join()
    assert took < 4                             # one step takes several times that
    steps = int(model.optimizer.iterations.numpy())
    changed = any((a != b).any() for a, b in zip(before, model.get_weights()))
    assert changed == (steps > 0)               # a step is whole or has not been
    assert np.isfinite(model.predict(x[:3], verbose=0)).all()


def test_two_threads_predict_and_train_on_one_model():
    x, y = samples(500)
    model, _ = fitted()
    errors, results = [], []
    expected = model.predict(x, verbose=0)

    def work():
        try:
            for _ in range(20):
                results.append(model.predict(x, verbose=0))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for result in results:
        np.testing.assert_array_equal(result, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_predicts_and_trains():
    x, y = samples(500)
    model, _ = fitted(threads=2)
    expected = model.predict(x, verbose=0)
    child = os.fork()
    if child == 0:
        signal.alarm(30)                        # a child that hangs ends itself
        ok = np.array_equal(model.predict(x, verbose=0), expected)
        ok = ok and np.isfinite(model.fit(x, y, verbose=0).history["loss"]).all()
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(model.predict(x, verbose=0), expected)


def test_memory_does_not_grow():
    x, y = samples(64)
    model, _ = fitted()
    model.predict(x, verbose=0)
    model.fit(x, y, verbose=0)
    model.evaluate(x, y, verbose=0)
    before = _core.alloc_stats()["live_blocks"]
    for _ in range(20):
        model.fit(x, y, verbose=0)
        model.evaluate(x, y, verbose=0)
        model.predict(x, verbose=0)
    assert _core.alloc_stats()["live_blocks"] <= before + 2


def test_nan_in_the_data_is_named_once():
    x, y = samples()
    x[13, 4] = np.nan
    model = classifier(nnc)
    model.compile(**SPARSE)
    with pytest.warns(nnc.NumericWarning, match=r"`x` holds nan in row 13, column 4") as seen:
        model.fit(x, y, epochs=3, verbose=0)
    assert len([w for w in seen if w.category is nnc.NumericWarning]) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted()                                # none without NaN
