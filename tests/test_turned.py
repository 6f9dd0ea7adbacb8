"""Narrow weights that a long run, or any while nobody writes them, keeps turned, and rows that it reads
where they lie: the bits are those of steps one by one, and the variables hold them whenever Python
looks."""
import itertools

import numpy as np
import pytest

import nnc as keras
from nnc import _core

OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.1),
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "adam_decay": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "adam_ema": lambda: keras.optimizers.Adam(0.01, use_ema=True),
    "adam_clipped": lambda: keras.optimizers.Adam(0.01, clipnorm=0.5),
}


@pytest.fixture(autouse=True)
def passes():
    yield
    _core.pass_enable("turn", True)


def data(rows, width, dtype="float32"):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(rows, width)) * 3
    x = x if np.dtype(dtype).kind == "f" else x + 20
    return x.astype(dtype), rng.integers(0, 4, rows)


def trained(turn, x, y, units=20, optimizer="adam", batch=32, epochs=2, shuffle=True, layers=(),
            dtype="float32", **fit):
    _core.pass_enable("turn", turn)
    keras.utils.set_random_seed(7)
    model = keras.Sequential([
        keras.layers.Input(x.shape[1:]), *[make() for make in layers],
        keras.layers.Dense(units, activation="relu", dtype=dtype),
        keras.layers.Dense(4, activation="softmax", dtype=dtype)])
    model.compile(optimizer=OPTIMIZERS[optimizer](), loss="sparse_categorical_crossentropy",
                  metrics=["accuracy"])
    history = model.fit(x, y, batch_size=batch, epochs=epochs, shuffle=shuffle, verbose=0, **fit)
    weights = [w.numpy() for w in model.weights + model.optimizer.variables]
    return model, history.history, weights


def same(one, other):
    return all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


def turned_variables(model):
    return max(p.program.stats()["turned"] for p in model._programs.values() if hasattr(p, "program"))


@pytest.mark.parametrize("optimizer, slots", [("sgd", 1), ("momentum", 2), ("rmsprop", 2), ("adam", 3),
                                              ("adam_ema", 0), ("adam_clipped", 0)])
def test_weights_are_turned_where_nobody_else_reads_them(optimizer, slots):
    x, y = data(700, 784)
    assert turned_variables(trained(True, x, y, 20, optimizer)[0]) == slots
    assert turned_variables(trained(False, x, y, 20, optimizer)[0]) == 0
    assert turned_variables(trained(True, x, y, 32, optimizer)[0]) == 0       # no lanes are wasted
    assert turned_variables(trained(True, x[:200], y[:200], 20, optimizer)[0]) == 0     # a short run


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("width, units", [(784, 20), (300, 10), (513, 3), (400, 1), (96, 24)])
def test_turned_weights_keep_every_bit(width, units, optimizer):
    x, y = data(700, width)
    plain = trained(False, x, y, units, optimizer)
    turned = trained(True, x, y, units, optimizer)
    assert plain[1] == turned[1] and same(plain[2], turned[2])


@pytest.mark.parametrize("batch", (16, 33, 300))
@pytest.mark.parametrize("dtype", ("float32", "uint8", "float64"))
@pytest.mark.parametrize("shuffle", (True, False))
def test_rows_are_read_where_they_lie(shuffle, dtype, batch):
    x, y = data(1100, 784, dtype)
    plain = trained(False, x, y, batch=batch, shuffle=shuffle)
    turned = trained(True, x, y, batch=batch, shuffle=shuffle)
    assert plain[1] == turned[1] and same(plain[2], turned[2])


def test_rows_of_every_layout():
    """Views with rows apart, columns apart, from an odd address: fed as they would be copied."""
    wide, y = data(700, 2 * 784)
    shifted = np.frombuffer(b"x" + wide.tobytes(), dtype="uint8")[1:].view("float32")
    shifted = shifted.reshape(wide.shape)
    half = wide[:, :784]
    for x in (half, wide[:, ::2], half[::-1], shifted[:, :784], np.asfortranarray(half)):
        assert same(trained(True, x, y)[2], trained(False, np.ascontiguousarray(x), y)[2])


def test_behind_a_flatten_and_in_float64():
    x, y = data(700, 784)
    images = x.reshape(-1, 28, 28)
    flat = trained(True, images, y, layers=[keras.layers.Flatten])
    assert same(flat[2], trained(False, x, y)[2])
    wide = [trained(on, x.astype("float64"), y, dtype="float64") for on in (False, True)]
    assert same(wide[0][2], wide[1][2])


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_threads(threads):
    x, y = data(900, 784)
    before = keras.config.get_num_threads()
    want = trained(True, x, y)[2]
    try:
        keras.config.set_num_threads(threads)
        assert same(trained(True, x, y)[2], want)
    finally:
        keras.config.set_num_threads(before)


def test_long_runs_are_as_steps_one_by_one():
    """A hook for every batch replays step by step: with plain weights; and it sees them."""
    x, y = data(700, 784)
    seen = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(self.model.weights[0].numpy())

    long = trained(True, x, y, epochs=3)
    short = trained(True, x, y, epochs=3, callbacks=[Look()])
    assert same(long[2], short[2]) and len(seen) == 3 * 22
    assert seen[-1].tobytes() == long[2][0].tobytes()
    assert not same([seen[0]], [seen[1]])


def test_variables_hold_what_the_run_left():
    """Between runs, after an interrupt, and for a model that shares a layer."""
    x, y = data(700, 784)
    model, _, weights = trained(True, x, y)
    again = keras.models.clone_model(model)
    again.set_weights(model.get_weights())
    assert again.predict(x, verbose=0).tobytes() == model.predict(x, verbose=0).tobytes()
    model.layers[0].kernel.assign(np.zeros((784, 20), "float32"))
    model.fit(x, y, batch_size=32, epochs=1, verbose=0)
    assert np.isfinite(model.layers[0].kernel.numpy()).all()

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=32, epochs=3, verbose=0, callbacks=[Stop()])
    before = model.get_weights()
    model.evaluate(x, y, verbose=0)
    assert same(before, model.get_weights())


def test_allocation_failures_leave_the_weights():
    x, y = data(400, 784)
    model, _, _ = trained(True, x, y, epochs=1)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    before = model.get_weights()
    failures = 0
    for n in itertools.count(1):
        _core.alloc_fail_at(n)
        try:
            model.fit(x, y, batch_size=32, epochs=1, verbose=0, shuffle=False)
            break
        except MemoryError:
            failures += 1
            assert same(before, model.get_weights())
        finally:
            _core.alloc_fail_at(0)
    assert failures > 5


# ---- weights that stand still -------------------------------------------------------------------

def still(turn):
    _core.pass_enable("turn", turn)
    keras.utils.set_random_seed(7)
    model = keras.Sequential([keras.layers.Input((784,)),
                              keras.layers.Dense(17, activation="relu"),
                              keras.layers.Dense(4, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def kept_copies(model):
    return max(p.program.stats()["kept"] for p in model._programs.values() if hasattr(p, "program"))


def test_weights_that_stand_are_kept_turned():
    """From the second run on, and in a long one; not in a model that trains between."""
    x, y = data(400, 784)
    plain, model = still(False), still(True)
    want = plain.predict(x[:8], verbose=0)
    for again in range(4):
        assert model.predict(x[:8], verbose=0).tobytes() == want.tobytes()
        assert kept_copies(model) == (again > 0)
    assert kept_copies(plain) == 0
    assert model.predict(x, verbose=0).tobytes() == plain.predict(x, verbose=0).tobytes()
    assert [model.evaluate(x, y, verbose=0) for _ in range(3)] == \
        [plain.evaluate(x, y, verbose=0) for _ in range(3)]
    trained = still(True)
    for _ in range(3):
        trained.train_on_batch(x[:32], y[:32])
    assert kept_copies(trained) == 0 and turned_variables(trained) == 0


def writes(model, x, y, tmp_path):
    """What changes weights, one after another."""
    kernel = model.layers[0].kernel
    kernel.assign(np.flip(kernel.numpy(), 0))
    yield "assign"
    kernel.assign_add(np.ones(kernel.shape) * 0.01)
    yield "assign_add"
    model.set_weights([w * 0.5 for w in model.get_weights()])
    yield "set_weights"
    model.train_on_batch(x[:32], y[:32])
    yield "train_on_batch"
    model.fit(x, y, batch_size=32, verbose=0, shuffle=False)
    yield "fit"
    model.save_weights(tmp_path / f"{id(model)}.weights.h5")
    model.fit(x, y, batch_size=300, verbose=0, shuffle=False)
    model.load_weights(tmp_path / f"{id(model)}.weights.h5")
    yield "load_weights"
    with keras.GradientTape() as tape:
        loss = keras.ops.mean(model(x[:32], training=True)[:, 0])
    variables = model.trainable_variables
    model.optimizer.apply(tape.gradient(loss, variables), variables)
    yield "apply"
    model.quantize("int8")
    yield "quantize"


def test_every_write_is_seen(tmp_path):
    x, y = data(400, 784)
    results = []
    for turn in (False, True):
        model, found = still(turn), []
        for what in itertools.chain(["nothing"], writes(model, x, y, tmp_path)):
            for _ in range(3):
                found.append((what, model.predict(x[:8], verbose=0).tobytes(),
                              model.predict(x, verbose=0).tobytes(), model(x[:5]).numpy().tobytes(),
                              model.evaluate(x, y, verbose=0)))
        results.append(found)
    assert results[0] == results[1]
    assert len({part[1] for part in results[0]}) == 8      # load_weights brings back those of fit


def test_layers_that_share_or_freeze_a_weight():
    """A narrow layer called twice has two copies; a frozen one under an optimizer that trains others."""
    x, y = data(400, 784)
    results = []
    for turn in (False, True):
        _core.pass_enable("turn", turn)
        keras.utils.set_random_seed(3)
        given = keras.Input((784,))
        shared = keras.layers.Dense(10, activation="tanh")
        both = keras.layers.Concatenate()([shared(given), shared(-given)])
        model = keras.Model(given, keras.layers.Dense(4, activation="softmax")(both))
        shared.trainable = False
        model.compile("adam", "sparse_categorical_crossentropy")
        history = model.fit(x, y, batch_size=32, epochs=2, verbose=0).history
        results.append((history, model.predict(x, verbose=0).tobytes(),
                        [w.tobytes() for w in model.get_weights()]))
        if turn:
            assert kept_copies(model) == 2
    assert results[0] == results[1]


def test_allocation_failures_of_kept_weights():
    x, _ = data(8, 784)
    want, failures = still(False).predict(x, verbose=0), 0
    for n in itertools.count(1):
        model = still(True)
        model.predict(x, verbose=0)
        _core.alloc_fail_at(n)
        try:
            model.predict(x, verbose=0)
            break
        except MemoryError:
            failures += 1
        finally:
            _core.alloc_fail_at(0)
        assert model.predict(x, verbose=0).tobytes() == want.tobytes()
    assert failures > 5 and kept_copies(model) == 1
