"""Ctrl-C ends what runs, and leaves whole steps and a model that goes on."""
import os
import signal
import threading

import numpy as np
import pytest

import nnc
from nnc import _core
from fitting import classifier, samples, state

X, Y = samples(2000)
FOREVER = 10**7     # epochs that nobody waits for


class Interrupt:
    """Sends the signal of Ctrl-C to this process some seconds after `go`, once.

    The tests count what was done, never time: a busy machine only interrupts later.
    """

    def __init__(self, seconds):
        self.timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))

    def __enter__(self):
        self.before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.timer.start()

    def __exit__(self, *exc):
        self.timer.cancel()
        self.timer.join()
        signal.signal(signal.SIGINT, self.before)


@pytest.fixture
def one_thread():
    before = _core.get_num_threads()
    _core.set_num_threads(1)
    yield
    _core.set_num_threads(before)


def steps(model):
    return int(model.optimizer.iterations.numpy())


@pytest.mark.parametrize("case", [{}, {"dropout": 0.3}, {"run_eagerly": True}], ids=str)
def test_fit_ends(case):
    model = classifier(**case)
    model.fit(X[:32], Y[:32], verbose=0)
    with pytest.raises(KeyboardInterrupt), Interrupt(0.2):
        model.fit(X, Y, epochs=FOREVER, verbose=0)
    done = steps(model)
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert len(model.predict(X, verbose=0)) == len(X)
    model.fit(X[:64], Y[:64], verbose=0)
    assert steps(model) == done + 2


def test_what_was_done_is_whole_steps():
    """The interrupted run's state is that of so many steps of an undisturbed one, to the bit."""
    x, y = X[:640], Y[:640]                     # 20 steps an epoch
    model = classifier(0.2)
    model.fit(x, y, shuffle=False, verbose=0)
    with pytest.raises(KeyboardInterrupt), Interrupt(0.1):
        model.fit(x, y, epochs=FOREVER, shuffle=False, verbose=0)
    epochs, rest = divmod(steps(model), 20)
    again = classifier(0.2)
    again.fit(x, y, epochs=epochs, shuffle=False, verbose=0)
    if rest:
        again.fit(x, y, batch_size=32, steps_per_epoch=rest, shuffle=False, verbose=0)
    assert steps(again) == steps(model)
    assert state(again) == state(model)


@pytest.mark.parametrize("what", ["evaluate", "predict"])
def test_evaluate_and_predict_end(what):
    model = classifier(units=200)
    call = {"evaluate": lambda: model.evaluate(X, Y, verbose=0),
            "predict": lambda: model.predict(X, verbose=0)}[what]
    call()
    before = state(model)
    with pytest.raises(KeyboardInterrupt), Interrupt(0.2):
        while True:
            call()
    assert state(model) == before
    call()


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_one_huge_batch_is_given_up(one_thread, dropout):
    """The signal comes in the middle of a step that takes seconds on one thread: all
    of it is given up, and nothing has changed, the dropout's state included."""
    rows, width, units = 30000, 500, 1000
    x, y = np.zeros((rows, width), "float32"), np.ones((rows, 1), "float32")
    nnc.utils.set_random_seed(1)
    model = nnc.Sequential([nnc.Input((width,)), nnc.layers.Dropout(dropout),
                            nnc.layers.Dense(units, activation="tanh"),
                            nnc.layers.Dense(units, activation="tanh"), nnc.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x[:8], y[:8], batch_size=8, verbose=0)
    before, start = state(model), steps(model)
    with pytest.raises(KeyboardInterrupt), Interrupt(0.5):
        model.fit(x, y, batch_size=rows, epochs=FOREVER, shuffle=False, verbose=0)
    assert steps(model) == start
    assert state(model) == before
    assert np.isfinite(model.predict(x[:3], verbose=0)).all()


def test_callbacks_may_raise_too():
    """What a callback raises ends `fit` between whole steps."""
    class Stop(Exception):
        pass

    class Stopping(nnc.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 4:
                raise Stop

    model = classifier()
    with pytest.raises(Stop):
        model.fit(X, Y, epochs=FOREVER, callbacks=[Stopping()], verbose=0)
    assert steps(model) == 5
    model.fit(X[:32], Y[:32], verbose=0)
    assert steps(model) == 6


def test_a_handler_that_returns_does_not_disturb():
    """A signal that raises nothing changes no bit."""
    calm, disturbed, seen = classifier(), classifier(), []
    calm.fit(X, Y, epochs=30, verbose=0)
    disturbed = classifier()
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        disturbed.fit(X, Y, epochs=30, verbose=0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen
    assert state(disturbed) == state(calm)
