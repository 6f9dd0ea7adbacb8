"""The same bits: on any number of threads, from the same seed, for a row in any batch; and training
works on each instruction set level."""
import numpy as np
import pytest

import nnc
from nnc import _core
from fitting import classifier, samples, state

X, Y = samples()
CASES = {
    "adam": {}, "dropout": {"dropout": 0.3}, "momentum": {"optimizer": nnc.optimizers.SGD(0.1,
                                                                                          0.9)},
    "wide": {"units": 300, "dropout": 0.2},
}


def run(threads=None, batch_size=32, epochs=2, **case):
    """Weights, history and predictions of a fit, as bits."""
    before = _core.get_num_threads()
    if "optimizer" in case:
        config = case["optimizer"].get_config()
        case = {**case, "optimizer": type(case["optimizer"]).from_config(config)}
    try:
        _core.set_num_threads(threads or before)
        model = classifier(**case)
        history = model.fit(X, Y, batch_size=batch_size, epochs=epochs, validation_split=0.2,
                            verbose=0)
        return state(model), history.history, model.predict(X, verbose=0).tobytes()
    finally:
        _core.set_num_threads(before)


@pytest.fixture(scope="module")
def alone():
    """Each case on one thread."""
    return {name: run(1, **case) for name, case in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_bits_do_not_depend_on_threads(alone, threads, name):
    assert run(threads, **CASES[name]) == alone[name]


@pytest.mark.parametrize("name", CASES)
def test_a_seed_repeats_everything(alone, name):
    assert run(**CASES[name]) == alone[name]


def test_another_seed_gives_other_numbers(alone):
    assert run(1, seed=8)[1] != alone["adam"][1]


@pytest.mark.parametrize("name", ["adam", "dropout"])
def test_stopping_and_going_on_changes_no_bit(name):
    """Slots, steps and masks go on where they were; only a shuffle is drawn anew by each `fit`."""
    whole, parts = classifier(**CASES[name]), classifier(**CASES[name])
    whole.fit(X, Y, epochs=3, shuffle=False, verbose=0)
    for epoch in range(3):
        parts.fit(X, Y, epochs=epoch + 1, initial_epoch=epoch, shuffle=False, verbose=0)
    assert state(parts) == state(whole)


def test_levels_train(isa):
    """Each level learns; its bits are its own and repeat."""
    first, second = (run(epochs=15, optimizer=nnc.optimizers.Adam(0.02)) for _ in range(2))
    assert first == second
    assert first[1]["accuracy"][-1] > 0.85 and first[1]["loss"][-1] < first[1]["loss"][0]


def test_levels_stay_close():
    """Sums of another order differ by units of 6e-8, which two epochs of Adam carry on by some
    hundreds."""
    before, weights = _core.isa(), []
    try:
        for level in _core.isa_available():
            _core.set_isa(level)
            weights.append(np.concatenate([np.frombuffer(b, "float32") for b in run()[0][:6]]))
    finally:
        _core.set_isa(before)
    for other in weights[1:]:
        np.testing.assert_allclose(other, weights[0], atol=1e-4)


@pytest.mark.parametrize("units", [16, 300])
def test_a_row_does_not_depend_on_its_batch(threads, units):
    model = classifier(units=units)
    whole = model.predict(X, verbose=0)
    for count, batch_size in [(1, 32), (2, 1), (33, 32), (64, 7), (299, 100), (300, 300)]:
        part = model.predict(X[-count:], batch_size=batch_size, verbose=0)
        assert part.tobytes() == whole[-count:].tobytes()
    assert np.concatenate([model(row[None]).numpy()
                           for row in X[:20]]).tobytes() == whole[:20].tobytes()


def test_order_of_rows_is_followed_by_predictions(threads):
    model = classifier()
    order = np.random.default_rng(0).permutation(len(X))
    assert model.predict(X[order], verbose=0).tobytes() == model.predict(X,
                                                                         verbose=0)[order].tobytes()


def test_initial_weights_and_masks_do_not_depend_on_threads():
    drawn = set()
    before = _core.get_num_threads()
    try:
        for threads in (1, 2, 8):
            _core.set_num_threads(threads)
            nnc.utils.set_random_seed(1)
            w = nnc.initializers.GlorotUniform()((300, 500)).numpy()
            n = nnc.random.normal((100001,)).numpy()
            drawn.add(w.tobytes() + n.tobytes()
                      + nnc.random.dropout(np.ones(100001, "float32"), 0.5,
                                                                     seed=3).numpy().tobytes())
    finally:
        _core.set_num_threads(before)
    assert len(drawn) == 1


def test_permutations_hold_each_number_once_and_are_even():
    """Number 0 lands in each of 7 places about 1000 times in 7000 draws, with a standard deviation
    of 29; 150 is five of them."""
    places = np.zeros(7)
    for step in range(7000):
        p = _core.permutation(7, 1, 0, step)
        assert sorted(p) == list(range(7))
        places[list(p).index(0)] += 1
    assert abs(places - 1000).max() < 150
