"""Python threads that use models at once: one model, many models, and settings meanwhile."""
import sys
import threading
import time

import numpy as np
import pytest

import nnc
from nnc import _core
from nnc._core import Graph, Program, Tape, Tensor, Variable, op
from fitting import classifier, samples, state

X, Y = samples(500)


@pytest.fixture(autouse=True)
def thread_count():
    before = _core.get_num_threads()
    yield
    _core.set_num_threads(before)


def at_once(*works):
    """Runs them in threads that begin together; raises what one of them raised."""
    barrier, errors = threading.Barrier(len(works)), []

    def run(work):
        try:
            barrier.wait()
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_two_threads_predict_with_one_model():
    model = classifier(units=200)
    whole = model.predict(X, verbose=0).tobytes()

    def work():
        for i in range(10):
            assert model.predict(X, batch_size=32 + i % 3, verbose=0).tobytes() == whole
            assert model(X[:1]).numpy().tobytes() == whole[:12]
    at_once(work, work, work)


def test_first_uses_at_once():
    """Recording happens once, in one of them; the others wait."""
    for _ in range(5):
        model = classifier()
        results = []
        at_once(*[lambda: results.append(model.predict(X, verbose=0).tobytes())] * 4)
        assert len(set(results)) == 1


def test_two_threads_train_one_model():
    """Steps exclude one another: each is whole and all are counted."""
    model = classifier(0.2)
    model.fit(X[:32], Y[:32], verbose=0)

    def work():
        model.fit(X, Y, epochs=3, verbose=0)
    at_once(work, work)
    assert int(model.optimizer.iterations.numpy()) == 1 + 2 * 3 * 16
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert model.evaluate(X, Y, verbose=0)[0] < 1.2        # log 3 is where it began


def test_one_predicts_while_another_trains():
    model = classifier()
    done, seen = threading.Event(), []

    def train():
        try:
            model.fit(X, Y, epochs=20, verbose=0)
        finally:
            done.set()

    def predict():
        while not done.is_set() or not seen:
            seen.append(model.predict(X, verbose=0))
    at_once(train, predict)
    for p in seen:          # a replay sees whole steps: each row is a softmax of some weights
        np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)     # ten additions in float32


def test_each_thread_its_model_gives_the_bits_of_one_thread():
    models = [classifier(0.2) for _ in range(4)]
    want = classifier(0.2)
    want.fit(X, Y, epochs=2, shuffle=False, verbose=0)

    def work(model):
        return lambda: model.fit(X, Y, epochs=2, shuffle=False, verbose=0)
    at_once(*[work(model) for model in models])
    for model in models:
        assert state(model) == state(want)


def test_thread_counts_change_meanwhile():
    model = classifier(units=200)
    whole = model.predict(X, verbose=0).tobytes()
    done = threading.Event()

    def switch():
        n = 0
        while not done.is_set():
            n = n % 4 + 1
            _core.set_num_threads(n)

    def predict():
        try:
            for _ in range(10):
                assert model.predict(X, verbose=0).tobytes() == whole
        finally:
            done.set()
    at_once(switch, predict)


def test_traces_and_tapes_belong_to_their_threads():
    def work(number):
        def run():
            for _ in range(50):
                v = Variable(np.full(3, number, "float32"))
                tape, graph = Tape(), Graph()
                tape.push()
                y = op.sum(op.square(v), (), 0)
                tape.pop()
                assert tape.gradients([y], [v])[0].numpy().tolist() == [2 * number] * 3
                with graph:
                    z = op.multiply(graph.input((3,), "float32"), v)
                assert _core.current_graph() is None
                assert Program(graph, [z])(np.ones(3))[0].numpy().tolist() == [number] * 3
        return run
    at_once(*[work(number) for number in range(1, 5)])


def test_eager_ops_at_once():
    """Big enough that the GIL is dropped and the pool is shared."""
    x = np.random.default_rng(0).normal(size=(300, 400)).astype("float32")
    want = op.matmul(x, x, 0, 1).numpy().tobytes()
    total = op.sum(Tensor(x), (), 0).numpy()

    def work():
        for _ in range(20):
            assert op.matmul(x, x, 0, 1).numpy().tobytes() == want
            assert op.sum(x, (), 0).numpy() == total
    at_once(work, work, work)


def test_seeds_are_drawn_once_each():
    """Initializers in two threads never share a seed by accident of timing."""
    nnc.utils.set_random_seed(1)
    drawn = []

    def work():
        for _ in range(100):
            drawn.append(nnc.initializers.RandomNormal()((4,)).numpy().tobytes())
    at_once(work, work)
    assert len(set(drawn)) == 200


# ---- gradients without the GIL -------------------------------------------------------------------

def deep_tape(x, v, depth=6):
    """A tape that has recorded `depth` layers of v, and what they gave."""
    tape = nnc.GradientTape(persistent=True)
    with tape:
        y = x
        for _ in range(depth):
            y = nnc.ops.tanh(nnc.ops.matmul(y, v))
    return tape, y


@pytest.fixture
def no_forced_switches():
    """Another thread runs only when one gives the GIL back by itself."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    yield
    sys.setswitchinterval(before)


def test_other_threads_go_on_while_a_tape_computes(no_forced_switches):
    """A thread that counts, and gives the GIL back after each number, counts on meanwhile; not
    while the gradient is a matter of microseconds."""
    rng = np.random.default_rng(0)
    count, stop = [0], threading.Event()

    def counting():
        while not stop.is_set():
            count[0] += 1
            time.sleep(0)

    def gradients(n, times):
        v = Variable(rng.normal(size=(n, n)).astype("float32") / n**0.5)
        tape, y = deep_tape(Tensor(rng.normal(size=(n, n)).astype("float32")), v)
        for _ in range(times):
            before = count[0]
            tape.gradient(y, v)
            if count[0] != before:
                return True
        return False

    thread = threading.Thread(target=counting)
    thread.start()
    try:
        assert gradients(256, 1000)
        assert not gradients(4, 10)
    finally:
        stop.set()
        thread.join()


def test_variables_assigned_while_their_gradient_is_computed():
    """The gradient is that of the values that were read, whoever overwrites them meanwhile."""
    rng = np.random.default_rng(1)
    start = rng.normal(size=(160, 160)).astype("float32") / 12
    v, x = Variable(start), Tensor(rng.normal(size=(160, 160)).astype("float32"))
    tape, y = deep_tape(x, v)
    expected = tape.gradient(y, v).numpy().tobytes()
    for _ in range(10):
        v.assign(start)
        tape, y = deep_tape(x, v)
        at_once(lambda: [v.assign(start * k) for k in range(30)],
                lambda: [v.assign_add(start) for _ in range(30)],
                *[lambda: assert_equal(tape.gradient(y, v).numpy().tobytes(), expected)] * 3)


def assert_equal(a, b):
    assert a == b


def test_rules_in_python_within_a_long_tape():
    """A rule may change variables, ask tapes and call NumPy, in some threads at once."""
    rng = np.random.default_rng(2)
    v = Variable(rng.normal(size=(150, 150)).astype("float32") / 12)
    other = Variable(np.zeros(3, "float32"))

    @nnc.ops.custom_gradient
    def doubled(x):
        def rule(*args, upstream=None):
            dy = args[0] if upstream is None else upstream
            v.assign_add(nnc.ops.zeros_like(v))
            other.assign_add(np.ones(3, "float32"))
            inner, z = deep_tape(nnc.ops.ones((150, 150)), Variable(np.eye(150, dtype="float32")))
            assert inner.gradient(z, inner.watched_variables()[0]).shape == (150, 150)
            return 2 * dy
        return 2 * x, rule

    x = Tensor(rng.normal(size=(150, 150)).astype("float32"))

    def work():
        for _ in range(3):
            with nnc.GradientTape() as tape:
                y = nnc.ops.matmul(doubled(nnc.ops.matmul(x, v)), v)
                y = y + nnc.ops.linalg.inv(v)
            found.append(tape.gradient(y, v).numpy())
    found = []
    at_once(work, work, work)
    assert len(found) == 9
    for gradient in found:      # v was read before and after an assignment: parts add in two orders.
        # 1.2e-4 was measured, one unit of float32 at the largest, 1,410
        np.testing.assert_allclose(gradient, found[0], rtol=1e-6, atol=5e-4)
    np.testing.assert_array_equal(other.numpy(), 9)


def test_a_tape_is_not_cleared_under_its_rules():
    @nnc.ops.custom_gradient
    def through(x):
        def rule(*args, upstream=None):
            with pytest.raises(RuntimeError, match="being computed"):
                tape.clear()
            return args[0] if upstream is None else upstream
        return x * 1.0, rule
    tape = Tape()
    v = Variable(np.ones((200, 200), "float32"))
    tape.push()
    y = through(nnc.ops.matmul(v, v))
    tape.pop()
    assert tape.gradients([y], [v])[0].numpy()[0, 0] == 400
