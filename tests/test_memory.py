"""Memory: the n-th allocation fails for every n of a training run, and the result is a MemoryError
or nothing: weights are as before or whole steps on, nothing leaks, the next run is as good as ever.
Sizes that cannot be held are refused before memory is taken."""
import gc

import numpy as np
import pytest

import nnc
from nnc import _core
from nnc._core import Graph, Program, Tensor, Variable, op
from fitting import classifier, samples, state
from test_program import Net, data

X, Y = samples(48)


@pytest.fixture(autouse=True)
def no_failing():
    yield
    _core.alloc_fail_at(0)


def live():
    gc.collect()
    return _core.alloc_stats()["live_blocks"]


def allocations(work):
    """How many a call makes, after calls that fill caches."""
    for _ in range(2):
        work()
    before = _core.alloc_stats()["count"]
    work()
    return _core.alloc_stats()["count"] - before


def failing(work, count, check=lambda error: None):
    """Runs work with its n-th allocation failing, for every n; how many of them raised."""
    raised = 0
    for n in range(1, count + 1):
        error = None
        _core.alloc_fail_at(n)
        try:
            work()
        except MemoryError as caught:
            error = caught.with_traceback(None)
            raised += 1
        finally:
            _core.alloc_fail_at(0)
        assert _core.current_graph() is None
        check(error)
    return raised


def test_every_allocation_of_recording_and_replaying():
    """Through the core: trace, gradients, program, replay."""
    nets = []

    def work():
        nets[:] = [Net()]
        nets[0].program(8).replay(data(24), None, 0, 3)

    work()
    after = nets[0].bits()
    start = Net().bits()

    def check(error):
        if nets:
            assert nets[0].bits() in ([start] if error else [after])
        nets.clear()

    count = allocations(work)
    assert count > 200
    nets.clear()
    before = live()
    assert failing(work, count, check) == count
    assert live() == before


def test_every_allocation_of_eager_steps():
    x, labels = data(8)
    net = Net()
    count = allocations(lambda: net.eager(x, labels))
    net = Net()
    before = live()

    def check(error):
        # Eager ops are single: each optimizer step is whole, the step counter never runs ahead.
        assert all(np.isfinite(w.numpy()).all() for w in net.weights)

    assert failing(lambda: net.eager(x, labels), count, check) > 0
    assert live() == before


def fit(model):
    model.fit(X, Y, batch_size=16, epochs=1, shuffle=False, verbose=0)


def states_of_a_fit(dropout):
    """The state before, after one step, two and three."""
    model = classifier(dropout)
    model.fit(X[:16], Y[:16], batch_size=16, shuffle=False, verbose=0)
    states = [state(model)]
    for i in (0, 16, 32):
        model.fit(X[i:i + 16], Y[i:i + 16], batch_size=16, shuffle=False, verbose=0)
        states.append(state(model))
    return states


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_every_allocation_of_a_fit(dropout):
    """From recording on; the model has been built, and has taken one step, before."""
    states = states_of_a_fit(dropout)
    models = []

    def fresh():
        models[:] = [classifier(dropout)]
        models[0].fit(X[:16], Y[:16], batch_size=16, shuffle=False, verbose=0)

    def work():
        fit(models[0])

    fresh()
    before = _core.alloc_stats()["count"]
    work()
    assert state(models[0]) == states[3]
    count = _core.alloc_stats()["count"] - before
    fresh()
    start, raised = live(), 0
    for n in range(1, count + 1):
        fresh()
        _core.alloc_fail_at(n)
        try:
            work()
            assert state(models[0]) == states[3]
        except MemoryError:
            raised += 1
            _core.alloc_fail_at(0)
            assert state(models[0]) in states
        _core.alloc_fail_at(0)
        if n % 16 == 0:
            fit(models[0])                      # usable
            assert np.isfinite(models[0].predict(X, verbose=0)).all()
    assert count >= 10 and raised > count / 2
    fresh()
    assert live() <= start + 2                  # a message kept for the next error


def test_every_allocation_of_a_first_fit():
    """Building, compiling and the first fit of a model: nothing leaks, whatever was half made."""
    def work():
        fit(classifier(0.3))

    count = allocations(work)
    before = live()
    raised = failing(work, count)
    assert raised > count / 2
    work()
    assert live() <= before + 2


def test_every_allocation_of_a_prediction():
    model = classifier()
    whole = model.predict(X, verbose=0)

    def work():
        assert model.predict(X, batch_size=7, verbose=0).tobytes() == whole.tobytes()

    count = allocations(work)
    before = live()
    failing(work, count)
    assert live() == before
    work()


# ---- sizes that cannot be held -------------------------------------------------------------------

HUGE = [
    lambda: op.fill((2**40, 2**40), 0.0, "float32"),
    lambda: op.fill((2**62,), 0.0, "float32"),
    lambda: op.fill((2**31, 2**31, 2), 0.0, "int8"),
    lambda: op.arange(0, 1, 2**62, "float64"),
    lambda: op.broadcast_to(Tensor(1.0), (2**31, 2**31, 2**31)),
    lambda: op.random_uniform(np.array([0, 0], "uint32"), (2**33, 2**33), 0.0, 1.0, "float32"),
    lambda: op.one_hot(np.zeros(4, "int64"), 2**61, -1, "float32"),
    lambda: op.pad(np.ones(2, "float32"), (2**61, 2**61), 0.0),
    lambda: op.pad(np.ones(2, "float32"), (2**62, 2**62), 0.0),
    lambda: op.unslice(np.ones(1, "float32"), (0, 1, 1), 2**62),
    lambda: op.take_grad(np.ones(1, "float32"), np.zeros(1, "int64"), (2**62,), 0),
    lambda: Graph().input((2**40, 2**40), "float32"),
    lambda: nnc.initializers.Zeros()((2**40, 2**40)),
    lambda: nnc.layers.Dense(2**40).build((None, 2**40)),
    lambda: nnc.ops.zeros((2**62, 4)),
]


@pytest.mark.parametrize("number", range(len(HUGE)))
def test_sizes_that_overflow(number):
    before = live()
    with pytest.raises((MemoryError, ValueError, OverflowError)):
        HUGE[number]()
    assert live() <= before + 1


def huge_product(x):
    """Broadcasts (n, 1) and (1, n) to n^2 elements."""
    return op.add(x, op.transpose(x, (1, 0)))


def test_recorded_sizes_that_overflow():
    """A trace takes no memory: it is refused when it is written down or made ready."""
    graph = Graph()
    with pytest.raises((MemoryError, ValueError)), graph:
        y = huge_product(graph.input((2**40, 1), "float32"))
        Program(graph, [y])
    assert _core.current_graph() is None
    graph = Graph()
    with graph:
        y = op.sum(huge_product(graph.input((2**24, 1), "float32")), (), 0)
    with pytest.raises(MemoryError):
        Program(graph, [y])                     # an arena of 2^50 bytes


def test_failed_ops_name_the_size():
    with pytest.raises(MemoryError) as caught:
        op.fill((2**50,), 0.0, "float64")
    assert str(caught.value)


def test_variables_stay_when_assigning_fails():
    v = Variable(np.arange(1000, dtype="float32"))
    start, failed = v.numpy().tobytes(), 0
    for n in range(1, 6):
        _core.alloc_fail_at(n)
        try:
            v.assign(np.arange(1000, dtype="float64") + 1)
        except MemoryError:
            failed += 1
            assert v.numpy().tobytes() == start
        _core.alloc_fail_at(0)
        v.assign(np.arange(1000))
    assert 0 < failed < 5


def test_nothing_is_left_when_models_go():
    before = live()
    for _ in range(3):
        model = classifier(0.2)
        fit(model)
        model.evaluate(X, Y, verbose=0)
        model.predict(X, verbose=0)
        del model
    assert live() <= before + 2
