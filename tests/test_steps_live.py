"""`steps_per_epoch`, `validation_steps` and `steps`: which batches each step sees, what ends an
epoch, and what is warned of, beside Keras itself.

Not compared, for Keras's own is of no use there: generators that end (it repeats their first two
batches), data of unknown length whose pass ends with an epoch (it adds an empty epoch with a loss
of 0), validation by a generator (it begins with the first two batches again), the rounding up of
steps to `steps_per_execution`, and the group that it begins after the last batch of data whose length
it does not know.
"""
import warnings

import numpy as np
import pytest

import nnc

from live import keras

tf = pytest.importorskip("tensorflow")
ROWS = np.arange(20, dtype="float32").reshape(20, 1)
BATCH = 4


class Batches:
    """Batches by index, five of them; for a class that derives from a library's PyDataset."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        rows = ROWS[BATCH * index:BATCH * (index + 1)]
        return rows, rows


def endless():
    while True:
        yield from (Batches()[i] for i in range(5))


def dataset():
    return tf.data.Dataset.from_tensor_slices((ROWS, ROWS)).batch(BATCH)


#: What gives the five batches, as arguments of `fit`.
SOURCES = {
    "arrays": lambda k: {"x": ROWS, "y": ROWS, "batch_size": BATCH},
    "arrays, no batch size": lambda k: {"x": ROWS, "y": ROWS},
    "PyDataset": lambda k: {"x": type("Five", (Batches, k.utils.PyDataset), {})()},
    "generator": lambda k: {"x": endless()},
    "tf.data": lambda k: {"x": dataset()},
    "tf.data of unknown length": lambda k: {"x": dataset().filter(lambda x, y: True)},
    "tf.data without end": lambda k: {"x": dataset().repeat()},
}


def model(k):
    """Its loss is the mean of the rows: the batches that it has seen can be read off it."""
    class Mean(k.losses.Loss):
        def call(self, y, p):
            return k.ops.mean(y + 0 * p, axis=-1)

    made = k.Sequential([k.Input((1,)), k.layers.Dense(1)])
    made.compile(optimizer=k.optimizers.SGD(0.0), loss=Mean())
    return made


def told(k, run):
    """The hooks' indices and logs of `run(model, callbacks)`, and how often data ran out."""
    log = []

    class Notes(k.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            log.append(("train", batch, logs["loss"]))

        def on_test_batch_end(self, batch, logs=None):
            log.append(("test", batch, logs["loss"]))

        def on_epoch_end(self, epoch, logs=None):
            log.append(("epoch", epoch, *(logs[name] for name in sorted(logs))))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(model(k), [Notes()])
    return log, sum("ran out of data" in str(one.message) for one in caught)


def same(ours, theirs):
    assert [entry[:2] for entry in ours] == [entry[:2] for entry in theirs]
    for a, b in zip(ours, theirs):
        assert a[2:] == pytest.approx(b[2:], rel=1e-6)      # means of up to 20 numbers in float32


@pytest.mark.parametrize("steps", [None, 2, 3, 5, 7])
@pytest.mark.parametrize("name", SOURCES)
def test_steps_of_an_epoch(name, steps):
    if steps is None and name in ("generator", "tf.data without end"):
        pytest.skip("an epoch would not end")
    if steps in (None, 5) and "unknown" in name:
        pytest.skip("Keras adds a warning, or empty epochs")
    (ours, a), (theirs, b) = (told(k, lambda m, callbacks: m.fit(
        **SOURCES[name](k), steps_per_epoch=steps, epochs=4, shuffle=False, verbose=0,
        callbacks=callbacks)) for k in (nnc, keras))
    same(ours, theirs)
    assert a == b


@pytest.mark.parametrize("steps", [None, 2, 5, 7])
@pytest.mark.parametrize("name", [name for name in SOURCES if name != "generator"])
def test_steps_of_a_validation(name, steps):
    if steps is None and name == "tf.data without end":
        pytest.skip("a validation would not end")

    def run(k):
        given = SOURCES[name](k)
        size = {"validation_batch_size": given.pop("batch_size")} if "batch_size" in given else {}
        given = (given["x"], given["y"]) if "y" in given else given["x"]
        return told(k, lambda m, callbacks: m.fit(
            ROWS, ROWS, batch_size=BATCH, epochs=3, shuffle=False, verbose=0, callbacks=callbacks,
            validation_data=given, validation_steps=steps, **size))

    (ours, a), (theirs, b) = run(nnc), run(keras)
    same(ours, theirs)
    if "unknown" not in name:
        assert (a > 0) == (b > 0)       # told once where it is known beforehand, by Keras each time


@pytest.mark.parametrize("steps", [None, 2, 5, 7])
@pytest.mark.parametrize("name", ["arrays", "arrays, no batch size", "PyDataset", "tf.data",
                                  "generator"])
def test_steps_of_evaluate_and_predict(name, steps):
    if steps is None and name == "generator":
        pytest.skip("it would not end")
    logs, outputs = [], []
    for k in (nnc, keras):
        logs.append(told(k, lambda m, callbacks: m.evaluate(
            **SOURCES[name](k), steps=steps, verbose=0, callbacks=callbacks)))
        given = SOURCES[name](k)
        given.pop("y", None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outputs.append(model(k).predict(**given, steps=steps, verbose=0).shape)
    same(logs[0][0], logs[1][0])
    assert (logs[0][1] > 0) == (logs[1][1] > 0) and outputs[0] == outputs[1]


@pytest.mark.parametrize("size", [2, 3, 5, 7])
@pytest.mark.parametrize("call", ["fit", "evaluate", "predict"])
@pytest.mark.parametrize("name", SOURCES)
def test_hooks_of_executions_of_several_steps(name, call, size):
    """They are told a whole group, also where fewer batches were left."""
    endless = name in ("generator", "tf.data without end")

    def run(k):
        log = []

        class Notes(k.callbacks.Callback):
            def on_train_batch_begin(self, batch, logs=None):
                log.append(("begin", batch))

            def on_train_batch_end(self, batch, logs=None):
                log.append(("end", batch, *(np.shape(part) for part in [(logs or {}).get("outputs")]
                                            if part is not None)))

            on_test_batch_begin = on_predict_batch_begin = on_train_batch_begin
            on_test_batch_end = on_predict_batch_end = on_train_batch_end

        given, m = SOURCES[name](k), model(k)
        m.compile(optimizer=m.optimizer, loss=m.loss, steps_per_execution=size)
        if call == "predict":
            given.pop("y", None)
        if endless:
            given["steps_per_epoch" if call == "fit" else "steps"] = 2 * size
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            getattr(m, call)(**given, verbose=0, callbacks=[Notes()])
        return log

    ours, theirs = run(nnc), run(keras)
    if theirs[-1][0] == "begin":
        assert "unknown" in name
        del theirs[-1]
    assert ours == theirs and len(ours) > 0


#: Calls with a data set, and one to validate with.
RUNS = {
    "fit": lambda m, data, held: m.fit(data, epochs=3, verbose=0),
    "fit in parts": lambda m, data, held: m.fit(data, epochs=4, steps_per_epoch=2, verbose=0),
    "fit and validate": lambda m, data, held: m.fit(data, epochs=3, validation_data=held,
                                                    validation_freq=2, verbose=0),
    "fit and validate in parts": lambda m, data, held: m.fit(
        data, epochs=3, validation_data=held, validation_steps=2, verbose=0),
    "evaluate": lambda m, data, held: m.evaluate(data, verbose=0),
    "predict": lambda m, data, held: m.predict(data, verbose=0),
}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("name", RUNS)
def test_hooks_of_a_dataset(name, workers):
    """`on_epoch_end` comes before the first epoch, too, and before each validation."""
    def run(k):
        class Noted(Batches, k.utils.PyDataset):
            def __init__(self):
                k.utils.PyDataset.__init__(self, workers=workers)
                self.hooks = []

            def on_epoch_begin(self):
                self.hooks.append("begin")

            def on_epoch_end(self):
                self.hooks.append("end")

        data, held, m = Noted(), Noted(), model(k)
        for _ in range(2):
            RUNS[name](m, data, held)
        return data.hooks, held.hooks

    assert run(nnc) == run(keras)


def test_a_generator_for_validation_that_ends():
    """No validation is told of that did not happen."""
    batches = [Batches()[i] for i in range(5)]
    with pytest.warns(UserWarning, match="ran out of data: `x` .a generator. can be read once"):
        history = model(nnc).fit(ROWS, ROWS, epochs=4, verbose=0, validation_steps=3,
                                 validation_data=(batch for batch in batches)).history
    assert len(history["loss"]) == 4 and len(history["val_loss"]) == 2


def test_an_iterable_whose_second_pass_is_empty():
    class Spent:
        def __init__(self):
            self.left = [Batches()[i] for i in range(3)]

        def __iter__(self):
            while self.left:
                yield self.left.pop(0)

    with pytest.warns(UserWarning, match="ran out of data: `x` .a Spent. gave 0 of the 1 batches"):
        model(nnc).fit(Spent(), epochs=2, verbose=0)
