"""A forked child has a pool of its own, and predicts and trains to the bits of its parent; neither
hangs, whatever the parent was doing."""
import os
import signal
import threading

import numpy as np
import pytest

from nnc import _core
from fitting import classifier, samples, state

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
X, Y = samples(400)
WIDE = 256          # units: enough work for the pool


@pytest.fixture(autouse=True)
def two_threads():
    before = _core.get_num_threads()
    _core.set_num_threads(2)
    yield
    _core.set_num_threads(before)


def in_child(work):
    """What work returns in a forked child, as bytes; an alarm ends a child that hangs."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(60)
            os.close(reader)
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(work())
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        result = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return result


def trained():
    model = classifier(0.2, units=WIDE)
    model.fit(X, Y, epochs=1, verbose=0)
    return model


def go_on(model):
    """The bits after some more training."""
    model.fit(X, Y, epochs=1, shuffle=False, verbose=0)
    return b"".join(state(model)) + model.predict(X, verbose=0).tobytes()


def test_a_child_predicts_and_trains_like_its_parent():
    model = trained()
    predicted = model.predict(X, verbose=0).tobytes()
    assert in_child(lambda: model.predict(X, verbose=0).tobytes()) == predicted
    theirs = in_child(lambda: go_on(model))
    assert go_on(model) == theirs               # the child's training was its own


def test_children_one_after_another_and_of_children():
    model = trained()
    predicted = model.predict(X, verbose=0).tobytes()
    for _ in range(3):
        assert in_child(lambda: model.predict(X, verbose=0).tobytes()) == predicted
    assert in_child(lambda: in_child(lambda: model.predict(X, verbose=0).tobytes())) == predicted
    assert model.predict(X, verbose=0).tobytes() == predicted


def test_a_child_makes_models_of_its_own():
    def work():
        return b"".join(state(trained()))
    assert in_child(work) == work()


def test_a_child_may_set_its_threads():
    model = trained()
    predicted = model.predict(X, verbose=0).tobytes()

    def work():
        _core.set_num_threads(3)
        return model.predict(X, verbose=0).tobytes()
    assert in_child(work) == predicted
    assert _core.get_num_threads() == 2


def test_forking_while_another_thread_trains():
    """Locks and the pool are in a known state in the child, in the middle of whatever runs."""
    busy, own = trained(), trained()
    predicted = own.predict(X, verbose=0).tobytes()
    stop, errors, rounds = threading.Event(), [], []

    def train():
        try:
            while not stop.is_set():
                busy.fit(X, Y, epochs=2, verbose=0)
                rounds.append(1)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for _ in range(8):
            assert in_child(lambda: own.predict(X, verbose=0).tobytes()) == predicted
    finally:
        stop.set()
        thread.join()
    assert not errors and rounds
    assert np.isfinite(busy.predict(X, verbose=0)).all()


def test_multiprocessing_by_fork():
    """A pool of workers, as data loaders and grid searches use it."""
    import multiprocessing
    model = trained()
    parts = np.array_split(X, 4)
    global shared
    shared = model
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = pool.map_async(predict_shared, parts).get(timeout=60)
    assert np.concatenate(results).tobytes() == model.predict(X, verbose=0).tobytes()


shared = None


def predict_shared(part):
    return shared.predict(part, verbose=0)


def test_forking_while_another_thread_computes_a_gradient():
    """The child assigns to what a tape holds whose thread it has not, and has its own tapes."""
    import nnc

    v = nnc.Variable(np.eye(200, dtype="float32"))
    with nnc.GradientTape(persistent=True) as tape:
        y = nnc.ops.matmul(nnc.ops.matmul(v, v), v)
    done = threading.Event()

    def compute():
        while not done.is_set():
            tape.gradient(y, v)

    def work():
        v.assign_add(v)
        with nnc.GradientTape() as own:
            z = nnc.ops.sum(v * v)
        return own.gradient(z, v).numpy().tobytes()

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        for _ in range(5):
            assert in_child(work) == (4 * np.eye(200, dtype="float32")).tobytes()
    finally:
        done.set()
        thread.join()
