"""Recorded branches and loops, which are nodes with bodies: against the same functions run eagerly
(bit for bit), TensorFlow, and differences; what they write; replays on threads, interrupted, without
memory."""
import gc
import signal

import numpy as np
import pytest

import nnc
from nnc import _core, ops

from live import keras, same

tf = pytest.importorskip("tensorflow")
rng = np.random.default_rng(5)
X = rng.normal(size=(12, 3)).astype("float32")
W = (rng.normal(size=(3, 3)) * 0.4).astype("float32")


@pytest.fixture(autouse=True)
def checked_passes():
    _core.pass_enable("verify", True)
    yield
    _core.pass_enable("verify", False)
    _core.alloc_fail_at(0)


def program(function, *arrays):
    graph = _core.Graph()
    with graph:
        outputs = function(*(graph.input(a.shape, a.dtype.name) for a in arrays))
        return _core.Program(graph, nnc.tree.flatten(outputs))


def recorded(function, *arrays):
    return [np.asarray(out) for out in program(function, *arrays)(*arrays)]


def eager(function, *arrays):
    found = function(*(ops.convert_to_tensor(a) for a in arrays))
    return [np.asarray(v) for v in nnc.tree.flatten(found)]


# ---- values and gradients, of x and w; s says where a branch goes ----

def rounds(o, x, w, s):
    """A condition on data."""
    return o.while_loop(lambda i, v: o.sum(o.abs(v)) > 4.0,
                        lambda i, v: (i + 1, o.tanh(o.matmul(v, w)) * 0.9),
                        (o.zeros((), "int32"), x), maximum_iterations=15)[1]


def unlimited(o, x, w, s):
    """The same without a limit: rounds lie in a stack that grows."""
    return o.while_loop(lambda i, v: o.sum(o.abs(v)) > 4.0,
                        lambda i, v: (i + 1, o.tanh(o.matmul(v, w)) * 0.9 + v * w[0, 0] * 0.01),
                        (o.zeros((), "int32"), x))[1]


def unlimited_in_scan(o, x, w, s):
    """Loops of other lengths within each round of another."""
    def turn(c, v):
        inner = o.while_loop(lambda u: o.sum(o.abs(u)) > 0.5, lambda u: (o.sin(u * w[1]) * 0.7,),
                             (c + v,))[0]
        return inner, c * v
    return o.scan(turn, x[0], x)[1]


FUNCTIONS = {
    "cond": lambda o, x, w, s: o.cond(s > 0, lambda: o.tanh(o.matmul(x, w)), lambda: x * x + w[0]),
    "cond of a nest": lambda o, x, w, s: o.cond(
        s > 0, lambda: [o.sin(x), w], lambda: [o.stop_gradient(x), w * 2.0])[0],
    "cond that does not depend": lambda o, x, w, s: x * o.cond(
        s > 0, lambda: o.ones((3,)), lambda: o.zeros((3,))) + o.sum(w),
    "cond in cond": lambda o, x, w, s: o.cond(
        s > -5, lambda: o.cond(s > 0, lambda: o.exp(x), lambda: o.matmul(x, w)), lambda: x),
    "switch": lambda o, x, w, s: o.switch(
        o.cast(s, "int32"), [lambda a, b: a + b[0], lambda a, b: o.matmul(a, b),
                             lambda a, b: o.sin(a) * b[1]], x, w),
    "scan": lambda o, x, w, s: o.scan(
        lambda c, v: (o.tanh(o.matmul(o.expand_dims(c, 0), w)[0] + v), c * v), x[0] * 0.5, x)[1],
    "scan backwards": lambda o, x, w, s: o.scan(
        lambda c, v: (o.sin(c + v * w[0]), c), x[1], x, reverse=True)[0],
    "fori_loop": lambda o, x, w, s: o.fori_loop(
        0, 11, lambda i, v: o.tanh(o.matmul(v, w)) + o.cast(i, "float32") * 0.01 * x, x),
    "map": lambda o, x, w, s: o.map(lambda v: o.matmul(o.expand_dims(o.exp(v), 0), w), x),
    "while_loop": rounds,
    "while_loop without limit": unlimited,
    "while_loop in a branch": lambda o, x, w, s: o.cond(
        s > -5, lambda: unlimited(o, x, w, s), lambda: x),
    "while_loop in while_loop": lambda o, x, w, s: o.while_loop(
        lambda v: o.sum(o.abs(v)) > 0.3, lambda v: (o.while_loop(
            lambda u: o.sum(o.abs(u)) > o.sum(o.abs(v)) * 0.5,
            lambda u: (o.sin(u) * (1 - w[0] * w[0]),), (v,))[0],), (x,))[0],
    "while_loop in scan": unlimited_in_scan,
    "fori_loop to a tensor": lambda o, x, w, s: o.fori_loop(
        0, o.cast(o.sum(x * x), "int32"), lambda i, v: o.tanh(o.matmul(v, w)) + x * 0.1, x),
    "scan over a cond": lambda o, x, w, s: o.scan(
        lambda c, v: (o.cond(o.sum(v) > 0, lambda: c * 0.9 + v, lambda: o.matmul(
            o.expand_dims(c, 0), w)[0]), c), x[0], x)[1],
    "scan in scan": lambda o, x, w, s: o.scan(
        lambda c, v: (o.scan(lambda d, u: (o.tanh(d + u * v), d), c, x)[0], c), x[0], x)[0],
}

#: A loop that reads a weight twice in a round sums its gradient round by round, eager use by use.
OTHER_SUMS = ("scan in scan", "scan over a cond", "while_loop without limit",
              "while_loop in a branch", "while_loop in while_loop", "while_loop in scan")


def slopes(function, tape_of, o):
    def run(x, w, s):
        with tape_of() as tape:
            tape.watch([x, w])
            y = function(o, x, w, s)
            loss = o.sum(y * y)
        return [y, *tape.gradient(loss, [x, w], unconnected_gradients="zero"
                                  if o is ops else tf.UnconnectedGradients.ZERO)]
    return run


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_recorded_is_eager_bit_for_bit(name, side):
    if side < 0 and not name.startswith(("cond", "switch")):
        return
    run, s = slopes(FUNCTIONS[name], nnc.GradientTape, ops), np.float32(side)
    ours, now = recorded(run, X, W, s), eager(run, X, W, s)
    for a, b in zip(ours, now):
        if name in OTHER_SUMS:
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        else:
            assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_tensorflow(name):
    s = np.float32(1.0)
    want = slopes(FUNCTIONS[name], tf.GradientTape, keras.ops)(*map(tf.constant, (X, W, s)))
    for a, b in zip(recorded(slopes(FUNCTIONS[name], nnc.GradientTape, ops), X, W, s), want):
        same(a, b, rtol=2e-4, atol=2e-5)     # twelve rounds of tanh or sin, each a few roundings


@pytest.mark.parametrize("name", ["cond", "scan", "while_loop", "fori_loop"])
def test_second_derivatives_by_differences(name):
    x64, w64 = X[:9].astype("float64"), W.astype("float64")

    def first(x, w):
        with nnc.GradientTape() as tape:
            tape.watch(w)
            y = FUNCTIONS[name](ops, x, w, ops.sum(x) * 0 + 1.0)
            loss = ops.sum(y * y)
        return tape.gradient(loss, w)

    def second(x, w):
        with nnc.GradientTape() as tape:
            tape.watch(w)
            g = ops.sum(ops.sin(first(x, w)))
        return tape.gradient(g, w)
    (got,) = recorded(second, x64, w64)
    once = program(first, x64, w64)
    for place in ((0, 1), (2, 2)):
        step = np.zeros_like(w64)
        step[place] = 1e-6
        high, low = (np.sin(np.asarray(once(x64, w64 + d)[0])).sum() for d in (step, -step))
        assert got[place] == pytest.approx((high - low) / 2e-6, rel=1e-5, abs=1e-6)


def test_trip_counts_are_data():
    run = program(lambda x, n: ops.fori_loop(0, n, lambda i, v: v * 2.0 + ops.cast(i, "float32"), x),
                  X, np.int32(0))
    for n in (0, 1, 5, 40):
        want = X
        for i in range(n):
            want = want * np.float32(2) + np.float32(i)
        np.testing.assert_array_equal(run(X, np.int32(n))[0], want)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_loop_without_limit_runs_as_often_as_the_data_say(threads):
    """Replays of one program: the stack is kept, and grows when there are more rounds."""
    big = rng.normal(size=(400, 300)).astype("float32")
    start = np.abs(X) + 1
    before = _core.get_num_threads()
    _core.set_num_threads(threads)

    def halve(x, y, least):
        with nnc.GradientTape() as tape:
            tape.watch(x)
            v, z = ops.while_loop(lambda v, z: ops.max(v) > least,
                                  lambda v, z: (v * v / (v + 1), ops.sin(z)), (x, y))
            loss = ops.sum(v)
        return v, z, tape.gradient(loss, x)
    try:
        run = program(halve, start, big, np.float32(0))
        for least in (1e9, 0.5, 0.02, 1.0, 0.01):
            want = eager(halve, start, big, np.float32(least))
            for a, b in zip(run(start, big, np.float32(least)), want):
                assert np.asarray(a).tobytes() == b.tobytes()
    finally:
        _core.set_num_threads(before)


def test_a_second_gradient_of_a_loop_needs_a_limit():
    def slope(x):
        with nnc.GradientTape() as outer:
            outer.watch(x)
            with nnc.GradientTape() as tape:
                tape.watch(x)
                y = ops.while_loop(lambda v: ops.max(v) > 0.1, lambda v: (ops.sin(v) / 2,), (x,))[0]
            first = tape.gradient(y, x)
        return outer.gradient(first, x)
    with pytest.raises(_core.TraceError, match="maximum_iterations"):
        recorded(slope, X)


@pytest.mark.parametrize("call, text", [
    (lambda x: ops.cond(x[0, 0] > 0, lambda: x, lambda: x[0]), "same shapes and dtypes"),
    (lambda x: ops.cond(x[0] > 0, lambda: x, lambda: x), "must be one number"),
    (lambda x: ops.while_loop(lambda v: ops.sum(v) > 0, lambda v: (v[:1],), (x,)), "loop_vars"),
])
def test_refusals(call, text):
    with pytest.raises(ValueError, match=text):
        recorded(call, X)


def test_a_carry_that_changes_and_an_index_of_python_are_unrolled():
    def grow(x):
        return ops.fori_loop(0, 10, lambda i, v: ops.concatenate([v, x[:1]], 0), x)
    table = [float(i) for i in range(12)]

    def pick(x):
        return ops.fori_loop(0, 12, lambda i, v: v + table[i], x)
    for f in (grow, pick):
        (a,), (b,) = recorded(f, X), eager(f, X)
        assert a.tobytes() == b.tobytes()


# ---- what bodies write ----

class Counting(nnc.layers.Layer):
    """Writes a variable in a branch and in a loop, and draws in both."""

    def build(self, shape):
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)
        self.w = self.add_weight(shape=(3, 3), initializer="glorot_uniform")
        self.drop = nnc.layers.Dropout(0.4, seed=3)

    def call(self, x):
        def wild():
            self.count.assign_add(1.0)
            return self.drop(x, training=True) * self.count

        def turn(c, v):
            self.count.assign_add(0.5)
            return self.drop(ops.tanh(c @ self.w), training=True) + v, None
        y = ops.cond(ops.sum(x) > 0, wild, lambda: x @ self.w)
        carry, _ = ops.scan(turn, y, ops.stack([x] * 9, 0))
        return carry


def trained(eagerly, threads=1, optimizer="sgd", **options):
    nnc.utils.set_random_seed(2)
    before = _core.get_num_threads()
    _core.set_num_threads(threads)
    try:
        model = nnc.Sequential([nnc.Input((3,)), Counting(), nnc.layers.BatchNormalization(),
                                nnc.layers.Dense(1)])
        model.compile(optimizer, "mse", run_eagerly=eagerly)
        model.fit(X, X[:, :1], batch_size=4, epochs=2, shuffle=False, verbose=0, **options)
    finally:
        _core.set_num_threads(before)
    return model, [v.numpy() for v in model.variables]


def test_training_with_writes_and_draws_equals_eager():
    model, graph = trained(False)
    assert not model._eager_kinds
    assert model.layers[0].count >= 27              # 6 steps of 9 rounds, and the branch's
    for a, b in zip(graph, trained(True)[1]):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)      # the sum of w's gradients
    for threads in (2, 7):
        for a, b in zip(graph, trained(False, threads)[1]):
            assert a.tobytes() == b.tobytes()


def inner_layer(k, kind):
    """A layer that a body calls: it adds a loss, or writes a metric or moving statistics."""
    class Inner(k.layers.Layer):
        def __init__(self):
            super().__init__()
            self.mean = k.metrics.Mean(name="inner")

        def call(self, x):
            if kind == "loss":
                self.add_loss(k.ops.mean(x * x))
            else:
                self.mean.update_state(x)
            return x * 0.9
    return k.layers.BatchNormalization() if kind == "statistics" else Inner()


BODIES = {
    "cond": lambda o, f, x: o.cond(o.sum(x) > 0, lambda: f(x), lambda: x),
    "scan": lambda o, f, x: o.scan(lambda c, v: (f(c), None), x, o.zeros((10, 2)))[0],
    "fori_loop": lambda o, f, x: o.fori_loop(0, 11, lambda i, v: f(v), x),
    "scan in fori_loop": lambda o, f, x: o.fori_loop(0, 9, lambda i, v: o.scan(
        lambda c, u: (f(c), None), v, o.zeros((9, 2)))[0], x),
    "while_loop": lambda o, f, x: o.while_loop(lambda v: o.max(v) > 0.5, lambda v: (f(v),), (x,),
                                               maximum_iterations=9)[0],
    "while_loop without limit": lambda o, f, x: o.while_loop(
        lambda i, v: i < 10, lambda i, v: (i + 1, f(v)), (o.zeros((), "int32"), x))[1],
}


def trained_around(k, kind, body, eagerly):
    """The history and the weights of a model whose layer calls another within a body."""
    class Around(k.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = inner_layer(k, kind)

        def build(self, shape):
            self.inner.build(shape)

        def call(self, x, training=None):
            call = self.inner
            return BODIES[body](k.ops, lambda v: call(v, training=training)
                                if kind == "statistics" else call(v), x)

    model = k.Sequential([k.Input((3,)), Around(), k.layers.Dense(1, kernel_initializer="ones")])
    model.compile("sgd", "mse", run_eagerly=eagerly)
    history = model.fit(X, X[:, :1], batch_size=4, epochs=2, shuffle=False, verbose=0).history
    return model, history, [np.asarray(w) for w in model.get_weights()]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("kind", ["loss", "metric", "statistics"])
def test_losses_metrics_and_statistics_within_bodies(kind, body):
    """Recorded as Keras gives them eagerly. (Recorded, Keras refuses losses of a body.)"""
    model, ours, weights = trained_around(nnc, kind, body, False)
    _, theirs, wanted = trained_around(keras, kind, body, True)
    assert bool(model._eager_kinds) == (kind == "loss" and body in (
        "cond", "while_loop", "while_loop without limit"))      # other loops are unrolled
    assert set(ours) == set(theirs)
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=2e-5)     # six steps of ten rounds
    for a, b in zip(weights, wanted):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


def test_losses_of_a_body_are_not_read_outside():
    class Around(nnc.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = inner_layer(nnc, "loss")

        def call(self, x):
            return ops.cond(ops.sum(x) > 0, lambda: self.inner(x), lambda: x)
    layer = Around()

    def work(x):
        y = layer(x)
        return y + sum(layer.losses)
    with pytest.raises(_core.TraceError, match="add_loss"):
        recorded(work, X)
    layer(X)                                    # eagerly, they are known again
    assert len(layer.losses) == (1 if X.sum() > 0 else 0)


def test_a_branch_without_outputs_writes_in_place():
    v, u = nnc.Variable(np.zeros(3, "f")), nnc.Variable(np.ones(3, "f"))

    def update(x):
        before = ops.copy(v)

        def write():
            v.assign_add(x[0])
            u.assign(v * 2.0)
        ops.cond(ops.sum(x) > 0, write, lambda: None)
        return before, ops.copy(v), ops.copy(u)
    run = program(update, X)
    assert run.stats()["arena_bytes"] < 4096
    one = np.abs(X)
    a, b, c = (np.asarray(o) for o in run(one))
    np.testing.assert_array_equal(a, 0 * one[0])
    np.testing.assert_array_equal(b, one[0])
    np.testing.assert_array_equal(c, 2 * one[0])
    run(-one)
    np.testing.assert_array_equal(v.numpy(), one[0])
    run(one)
    np.testing.assert_array_equal(v.numpy(), one[0] + one[0])


def test_large_bodies_on_threads():
    big = rng.normal(size=(600, 300)).astype("float32")
    w = nnc.Variable((rng.normal(size=(300, 300)) * 0.05).astype("float32"))

    def work(x):
        with nnc.GradientTape() as tape:
            y = ops.fori_loop(0, 9, lambda i, v: ops.tanh(v @ w), x)
            y = ops.cond(ops.sum(y) > 1e9, lambda: y, lambda: y @ w)
            loss = ops.sum(y * y)
        return y, tape.gradient(loss, w)
    run, found = program(work, big), []
    before = _core.get_num_threads()
    for threads in (1, 2, 5):
        _core.set_num_threads(threads)
        for _ in range(3):                          # times one thread against all
            found.append([np.asarray(o).tobytes() for o in run(big)])
    _core.set_num_threads(before)
    assert all(f == found[0] for f in found)


# ---- faults ----

def test_faults_in_a_body_are_told():
    table = nnc.Variable(np.arange(4, dtype="f"))

    def pick(ids):
        return ops.map(lambda i: ops.take(table, i), ids)
    run = program(pick, np.zeros(20, "int32"))
    np.testing.assert_array_equal(run(np.full(20, 3, "int32"))[0], np.full(20, 3.0))
    bad = np.zeros(20, "int32")
    bad[13] = 9
    with pytest.raises(IndexError, match="9"):
        run(bad)


def test_an_endless_loop_can_be_interrupted():
    v = nnc.Variable(np.float32(0.0))

    def endless(x):
        y = ops.while_loop(lambda a: ops.sum(a) > -1.0, lambda a: (a * 0.5,), (x * x,))[0]
        v.assign_add(1.0)
        return y
    run = program(endless, X)

    class Alarm(Exception):
        pass

    def ring(*_):
        raise Alarm
    old = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Alarm):
            run(X)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert v.numpy() == 0.0


def test_every_allocation_may_fail():
    w = nnc.Variable(W)
    count = nnc.Variable(np.float32(0.0), trainable=False)

    def work(x):
        with nnc.GradientTape() as tape:
            def turn(c, v):
                count.assign_add(1.0)
                return ops.tanh(c + v @ w), c
            y = ops.scan(turn, x[0], x)[1]
            y = ops.cond(ops.sum(y) > 0, lambda: y * count, lambda: y @ w)
            y, = ops.while_loop(lambda v: ops.max(ops.abs(v)) > 0.05, lambda v: (ops.sin(v) * 0.8,),
                                (y,))
            loss = ops.sum(y * y)
        return loss, tape.gradient(loss, w)

    def once():
        return recorded(work, X)
    once()
    want = once()
    start = count.numpy()
    before = _core.alloc_stats()["count"]
    once()
    needed = _core.alloc_stats()["count"] - before
    gc.collect()
    live = _core.alloc_stats()["live_blocks"]
    raised = 0
    for n in range(1, needed + 1, 3):
        count.assign(start - 12)
        _core.alloc_fail_at(n)
        try:
            once()
        except MemoryError:
            raised += 1
        finally:
            _core.alloc_fail_at(0)
    assert raised > needed / 4
    gc.collect()
    assert _core.alloc_stats()["live_blocks"] == live
    count.assign(start - 12)
    assert [a.tobytes() for a in once()] == [a.tobytes() for a in want]
