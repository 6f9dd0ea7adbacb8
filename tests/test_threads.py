"""Python threads that use models at once: one model, many models, and settings meanwhile."""
import threading

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
