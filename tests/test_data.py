"""Where batches come from: each source trains as the arrays it was cut from do."""
import os
import sys
import threading
import time
import types

import numpy as np
import pytest

import nnc
from nnc.data import Stream, open_source

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROWS, WIDTH, BATCH = 44, 5, 8                       # the last batch is shorter


def arrays():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(ROWS, WIDTH)).astype("float32")
    return x, x[:, :3].argmax(1).astype("int64"), np.linspace(0.5, 2, ROWS).astype("float32")


def model(seed=5, **compiled):
    nnc.utils.set_random_seed(seed)
    made = nnc.Sequential([nnc.Input((WIDTH,)), nnc.layers.Dense(7, activation="relu"),
                           nnc.layers.Dense(3, activation="softmax")])
    made.compile(**{"optimizer": "adam", "loss": "sparse_categorical_crossentropy",
                    "metrics": ["accuracy"], "weighted_metrics": ["accuracy"], **compiled})
    return made


def cut(*parts):
    return [tuple(p[i:i + BATCH] for p in parts) for i in range(0, ROWS, BATCH)]


class Dataset(nnc.utils.PyDataset):
    """Batches by index; notes the hooks."""

    def __init__(self, batches, **kwargs):
        super().__init__(**kwargs)
        self.all, self.hooks = batches, []

    def __len__(self):
        return len(self.all)

    def __getitem__(self, index):
        return self.all[index]

    def on_epoch_begin(self):
        self.hooks.append("begin")

    def on_epoch_end(self):
        self.hooks.append("end")


class Unsized:
    """An iterable that cannot say how long it is."""

    def __init__(self, batches):
        self.all = batches

    def __iter__(self):
        return iter(self.all)


def endless(batches):
    while True:
        yield from batches


def loader(batches):
    torch = pytest.importorskip("torch")
    x, y = (torch.from_numpy(np.concatenate(p)) for p in zip(*batches))
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=BATCH)


def tf_dataset(batches):
    tf = pytest.importorskip("tensorflow")
    parts = tuple(np.concatenate(p) for p in zip(*batches))
    return tf.data.Dataset.from_tensor_slices(parts).batch(BATCH)


def dataset(**kwargs):
    return lambda batches: Dataset(batches, **kwargs)


# A way to give batches, and what fit needs to know beside it.
SOURCES = {
    "generator": (endless, {"steps_per_epoch": 6}),
    "iterable": (Unsized, {}),
    "dataset": (dataset(), {}),
    "dataset, 3 threads": (dataset(workers=3), {}),
    "dataset, 2 processes": (dataset(workers=2, use_multiprocessing=True, max_queue_size=2), {}),
    "torch": (loader, {}),
    "tf.data": (tf_dataset, {}),
}


def fit(m, *args, **kwargs):
    """`fit` with an order of samples that does not depend on what was drawn before."""
    nnc.utils.set_random_seed(1)
    return m.fit(*args, **{"verbose": 0, **kwargs})


def same(a, b):
    for one, other in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_trains_as_its_arrays_do(name):
    make, more = SOURCES[name]
    x, y, _ = arrays()
    by_arrays, by_source = model(), model()
    expected = by_arrays.fit(x, y, batch_size=BATCH, epochs=2, shuffle=False, verbose=0,
                             validation_data=(x, y))
    steps = {"validation_steps": 6} if more else {}
    history = by_source.fit(make(cut(x, y)), epochs=2, shuffle=False, verbose=0,
                            validation_data=make(cut(x, y)), **more, **steps)
    same(by_arrays, by_source)
    loose = [k for k in history.history if k.startswith("val_")]
    for key, values in expected.history.items():
        # validation's batches have other sizes there than here
        tolerance = 1e-6 if key in loose else 0
        np.testing.assert_allclose(history.history[key], values, rtol=tolerance, err_msg=key)
    steps = {"steps": 6} if more else {}
    assert by_source.evaluate(make(cut(x, y)), verbose=0, **steps) == pytest.approx(
        by_arrays.evaluate(x, y, verbose=0), rel=1e-6)      # sums over other batches
    np.testing.assert_array_equal(by_source.predict(make(cut(x, y)), verbose=0, **steps),
                                  by_arrays.predict(x, verbose=0))


@pytest.mark.parametrize("weights", ["sample_weight", "class_weight"])
def test_weights_come_with_batches(weights):
    x, y, w = arrays()
    a, b = model(), model()
    options = {"epochs": 2, "shuffle": False, "verbose": 0}
    if weights == "sample_weight":
        a.fit(x, y, sample_weight=w, batch_size=BATCH, **options)
        b.fit(Unsized(cut(x, y, w)), **options)
    else:
        a.fit(x, y, class_weight={0: 3.0}, batch_size=BATCH, **options)
        b.fit(Unsized(cut(x, y)), class_weight={0: 3.0}, **options)
    same(a, b)
    with pytest.raises(ValueError, match="`class_weight` cannot be passed when batches hold"):
        b.fit(Unsized(cut(x, y, w)), class_weight={0: 3.0}, verbose=0)


def test_hooks_of_a_dataset_and_its_order():
    x, y, _ = arrays()
    data = Dataset(cut(x, y))
    model().fit(data, epochs=3, verbose=0)
    assert data.hooks == ["end"] + ["begin", "end"] * 3
    a, b, c = (model() for _ in range(3))
    for one in (a, b):
        nnc.utils.set_random_seed(9)
        one.fit(Dataset(cut(x, y)), epochs=2, verbose=0)
    same(a, b)                                      # shuffled the same way by the same seed
    c.fit(Dataset(cut(x, y)), epochs=2, shuffle=False, verbose=0)
    assert any((p != q).any() for p, q in zip(a.get_weights(), c.get_weights()))


@pytest.mark.parametrize("make", [dataset(), dataset(workers=2), lambda b: iter(b)],
                         ids=["dataset", "threads", "generator"])
@pytest.mark.parametrize("at", [0, 3])
def test_the_users_exception_comes_out_and_the_model_goes_on(make, at):
    x, y, _ = arrays()

    class Broken(list):
        def __getitem__(self, index):
            if index == at:
                raise KeyError("mine")
            return super().__getitem__(index)

        def __iter__(self):
            return (self[i] for i in range(len(self)))

    m = model()
    before = threading.active_count()
    with pytest.raises(KeyError, match="mine"):
        m.fit(make(Broken(cut(x, y))), shuffle=False, verbose=0)
    assert m.optimizer.iterations.numpy() == at     # the steps before it were made
    m.fit(x, y, verbose=0)
    assert threading.active_count() <= before + 2   # idle workers of a closed pool at most


class Needy(Exception):
    """It cannot be made again of its `args`, as another process does."""

    def __init__(self, text, more):
        super().__init__(text)


@pytest.mark.parametrize("workers", [
    {}, {"workers": 2}, {"workers": 2, "use_multiprocessing": True}
], ids=["none", "threads", "processes"])
@pytest.mark.parametrize("error, expected, text", [
    (StopIteration("mine"), RuntimeError, "StopIteration"), (Needy("mine", 1), Exception, "mine"),
], ids=["stop", "needy"])
def test_exceptions_that_iterators_and_processes_trip_over(workers, error, expected, text):
    """A StopIteration ends no epoch, and one that cannot travel ends no pool of processes."""
    class Broken(list):
        def __getitem__(self, index):
            if index == 2:
                raise error
            return super().__getitem__(index)

    x, y, _ = arrays()
    with pytest.raises(expected, match=text):
        model().fit(Dataset(Broken(cut(x, y)), **workers), shuffle=False, verbose=0)


def test_single_samples_of_torch_are_refused_with_the_way_out():
    torch = pytest.importorskip("torch")
    x, y, _ = arrays()
    samples = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    with pytest.raises(TypeError, match="TensorDataset.*single samples.*DataLoader"):
        model().fit(samples, verbose=0)


def test_the_end_of_a_generator():
    x, y, _ = arrays()
    m = model()
    with pytest.warns(UserWarning, match="ran out of data"):
        history = m.fit(iter(cut(x, y)), epochs=3, verbose=0)
    assert len(history.epoch) == 1
    with pytest.warns(UserWarning, match="gave 2 of the 4 batches"):    # and then has ended
        history = model().fit(iter(cut(x, y)), epochs=3, steps_per_epoch=4, verbose=0)
    assert len(history.epoch) == 2
    with pytest.raises(ValueError, match="gave no batch"):
        m.fit(iter([]), verbose=0)


@pytest.mark.parametrize("options, text", [
    ({"y": np.zeros(4)}, "`y` cannot be passed when `x` is a Unsized"),
    ({"sample_weight": np.zeros(4)}, "`sample_weight` cannot be passed"),
    ({"validation_split": 0.5}, "`validation_split` needs arrays"),
], ids=lambda v: next(iter(v)) if isinstance(v, dict) else "")
def test_what_a_source_does_not_take(options, text):
    x, y, _ = arrays()
    m = model()
    with pytest.raises(ValueError, match=text):
        m.fit(Unsized(cut(x, y)), verbose=0, **options)
    assert m.optimizer.iterations.numpy() == 0


def test_batches_that_are_wrong_are_named():
    x, y, _ = arrays()
    bad = cut(x, y)
    bad[2] = (x[:8], y[:7])
    with pytest.raises(ValueError, match="a batch of Unsized.*same number of samples"):
        model().fit(Unsized(bad), verbose=0)
    bad[2] = (x[:8], np.full(8, 3))
    with pytest.raises(ValueError, match="label 3 in row 0"):
        model().fit(Unsized(bad), verbose=0)


def test_the_thread_reads_ahead_no_further_than_the_pass():
    asked, passes = [], []

    class Counted(Dataset):
        def __getitem__(self, index):
            asked.append(index)
            return super().__getitem__(index)

        def on_epoch_end(self):
            passes.append(sorted(asked))
            asked.clear()

    x, y, _ = arrays()
    model().fit(Counted(cut(x, y)), epochs=3, verbose=0)
    assert passes == [[]] + [list(range(6))] * 3    # called before the first epoch, too


def test_light_batches_are_made_between_steps_and_others_by_a_thread(monkeypatch):
    """By a clock of the test's own: a step takes a second, a batch what `costs` says."""
    from nnc.data import streams

    now, where = [0.0], []
    monkeypatch.setattr(streams, "time", types.SimpleNamespace(perf_counter=lambda: now[0]))

    def batches(costs):
        for i, cost in enumerate(costs):
            now[0] += cost
            where.append(threading.current_thread().name)
            yield i
    reader = streams._Reader(batches([9.0, 0.01, 0.04, 0.2, 0.0, 0.0]))
    reader.first()
    got = [reader.next()]
    now[0] += 1000                              # what is recorded before the first step
    while got[-1] is not None:
        got.append(reader.next())
        now[0] += 1
    assert got == [0, 1, 2, 3, 4, 5, None] and reader.next() is None
    here = threading.current_thread().name
    assert where == [here] * 4 + ["nnc-data"] * 2
    reader.close()


def test_steps_per_execution_groups_batches_of_a_source():
    x, y, _ = arrays()
    seen = []
    hook = nnc.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: seen.append(("begin", batch)),
        on_train_batch_end=lambda batch, logs: seen.append(("end", batch)))
    model(steps_per_execution=4).fit(Unsized(cut(x, y)), verbose=0, callbacks=[hook])
    assert seen == [("begin", 0), ("end", 3), ("begin", 4), ("end", 7)]


# ---- arrays of other libraries -------------------------------------------------------------------

def test_sparse_rows():
    sparse = pytest.importorskip("scipy.sparse")
    x, y, w = arrays()
    x[x < 0] = 0
    for form in ("csr_matrix", "csc_matrix", "dok_matrix", "coo_array"):
        a, b = model(), model()
        options = {"batch_size": BATCH, "epochs": 2, "verbose": 0, "sample_weight": w,
                   "validation_split": 0.25, "shuffle": False}
        one = fit(a, x, y, **options)
        two = fit(b, getattr(sparse, form)(x), y, **options)
        same(a, b)
        np.testing.assert_allclose(one.history["val_loss"], two.history["val_loss"], rtol=1e-6)
    m = getattr(sparse, form)(x)
    np.testing.assert_array_equal(b.predict(m, verbose=0), a.predict(x, verbose=0))
    assert b.evaluate(m, y, verbose=0) == pytest.approx(a.evaluate(x, y, verbose=0), rel=1e-6)
    c, d = model(), model()
    fit(c, x, y, verbose=0)
    fit(d, m, y)
    same(c, d)                                      # the same shuffled order
    a, b, c = model(), model(), model()
    fit(a, x, y, batch_size=BATCH, shuffle=False)
    fit(b, ((sparse.csr_matrix(p), q) for p, q in cut(x, y)))
    fit(c, {"x": sparse.dok_matrix(x)}["x"], y, batch_size=BATCH, shuffle=False)
    same(a, b)
    same(a, c)
    hot = np.eye(3, dtype="float32")[y]
    a, b = (model(loss="categorical_crossentropy") for _ in range(2))
    assert a.train_on_batch(x, hot) == b.train_on_batch(m, sparse.csc_array(hot))
    same(a, b)


def test_hdf5_and_memory_maps(tmp_path):
    h5py = pytest.importorskip("h5py")
    x, y, _ = arrays()
    np.save(tmp_path / "x.npy", x)
    a, b, c = model(), model(), model()
    fit(a, x, y, batch_size=BATCH, verbose=0)
    fit(b, np.load(tmp_path / "x.npy", mmap_mode="r"), y, batch_size=BATCH)
    same(a, b)
    with h5py.File(tmp_path / "x.h5", "w") as f:
        f["x"] = x
        fit(c, f["x"], y, batch_size=BATCH)
    same(a, c)


def test_tables():
    pandas = pytest.importorskip("pandas")
    x, y, _ = arrays()
    table = pandas.DataFrame(x.astype("float64"), columns=list("abcde"))
    a, b = model(), model()
    fit(a, x, y, verbose=0)
    fit(b, table, pandas.Series(y))
    same(a, b)
    table.columns = list("abcda")                   # two of one name
    c = model()
    fit(c, table, pandas.Series(y))
    same(a, c)
    table.columns = list("abcde")
    with pytest.raises(TypeError, match="column 'c' of `x` holds (Python objects|strings)"):
        fit(b, table.assign(c="text"), y, verbose=0)


def test_tables_of_polars():
    polars = pytest.importorskip("polars")
    x, y, _ = arrays()
    table = polars.DataFrame(x, schema=list("abcde"))
    a, b = model(), model()
    fit(a, x, y, verbose=0)
    fit(b, table, polars.Series("y", y))
    same(a, b)
    np.testing.assert_array_equal(b.predict(table, verbose=0), a.predict(x, verbose=0))
    with pytest.raises(TypeError, match="column 'c' of `x` holds strings"):
        fit(b, table.with_columns(polars.lit("z").alias("c")), y, verbose=0)
    inputs = [nnc.Input((1,), name=name) for name in "ab"]
    named = nnc.Model(inputs, nnc.layers.Dense(3)(nnc.layers.Concatenate()(inputs)))
    np.testing.assert_array_equal(named.predict(table, verbose=0), named.predict([x[:, 0], x[:, 1]], verbose=0))
    with pytest.raises(ValueError, match="`x` has no column 'b'"):
        named.predict(table.drop("b"), verbose=0)


def test_columns_of_a_hugging_face_data_set():
    x, y, _ = arrays()

    class Columns:                                  # what nnc asks of datasets.Dataset
        column_names = ["pixels", "label"]

        def with_format(self, name):
            assert name == "numpy"
            return self

        def __getitem__(self, rows):
            return {"pixels": x[rows], "label": y[rows]}

        def __len__(self):
            return len(x)

    Column = type("Column", (), {"__module__": "datasets.arrow_dataset",
                                 "__init__": lambda self, all: setattr(self, "all", all),
                                 "__len__": lambda self: len(self.all),
                                 "__iter__": lambda self: iter(self.all),
                                 "__getitem__": lambda self, rows: self.all[rows].tolist()})
    a, b, c = model(), model(), model()
    fit(a, x, y, verbose=0)
    fit(b, Columns())
    fit(c, Column(x), Column(y), validation_data=(Column(x), Column(y)))
    same(a, b)
    same(a, c)
    np.testing.assert_array_equal(c.predict(Column(x), verbose=0), c.predict(x, verbose=0))
    splits = type("DatasetDict", (dict,), {"column_names": {}, "with_format": None})
    stream = type("IterableDataset", (), {"column_names": ["a"], "with_format": None})
    for wrong, text in ((splits(train=1), r"splits \['train'\]"), (stream(), r"x.with_format")):
        with pytest.raises(TypeError, match=text):
            fit(model(), wrong)


def test_a_hugging_face_data_set():
    pytest.importorskip("pyarrow")
    datasets = pytest.importorskip("datasets")
    x, y, _ = arrays()
    data = datasets.Dataset.from_dict({"pixels": x, "label": y})
    a, b, c = model(), model(), model()
    fit(a, x, y)
    fit(b, data)
    fit(c, data["pixels"], data.with_format("numpy")["label"])
    same(a, b)
    same(a, c)
    with pytest.raises(TypeError, match="IterableDataset gives rows"):
        fit(model(), data.to_iterable_dataset())
    with pytest.raises(TypeError, match="splits"):
        fit(model(), datasets.DatasetDict(train=data))


def test_nothing_is_imported_to_recognise_things():
    assert open_source(np.ones(3)) is None and open_source([1, 2]) is None
    fake = types.ModuleType("tensorflow")
    fake.data = types.SimpleNamespace(Dataset=type("Dataset", (), {}))
    saved = sys.modules.get("tensorflow")
    sys.modules["tensorflow"] = fake
    try:
        source = open_source(iter([]))
    finally:
        del sys.modules["tensorflow"]
        if saved is not None:
            sys.modules["tensorflow"] = saved
    assert source.once and isinstance(Stream(source), Stream)


class Ramp(nnc.utils.PyDataset):
    """Five batches: the targets are the batch's number."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return np.zeros((2, 1), "float32"), np.full((2, 1), float(index), "float32")


@pytest.mark.parametrize("kind", ["arrays", "dataset", "iterable"])
def test_each_validation_begins_with_the_first_batch(kind):
    """With validation_steps too: val_loss of one epoch is comparable with that of the next."""
    batches = [Ramp()[i] for i in range(5)]
    data = {"arrays": tuple(np.concatenate(part) for part in zip(*batches)), "dataset": Ramp(),
            "iterable": type("Again", (), {"__iter__": lambda self: iter(batches)})()}[kind]
    model = nnc.Sequential([nnc.Input((1,)), nnc.layers.Dense(1, kernel_initializer="zeros")])
    model.compile(nnc.optimizers.SGD(0.0), "mse")
    history = model.fit(np.zeros((4, 1)), np.zeros((4, 1)), epochs=4, verbose=0, validation_data=data,
                        validation_steps=2, **({"validation_batch_size": 2} if kind == "arrays" else {}))
    assert history.history["val_loss"] == [0.5] * 4         # the mean of 0 and 1


@pytest.mark.parametrize("workers", [1, 3])
def test_no_batch_of_the_next_epoch_is_asked_for_before_the_hook(workers):
    """An epoch of fewer steps than a pass has: its hook comes before what the next one reads."""
    class Asked(nnc.utils.PyDataset):
        def __init__(self):
            super().__init__(workers=workers)
            self.seen, self.at_end = set(), []

        def __len__(self):
            return 9

        def __getitem__(self, index):
            self.seen.add(index)
            return np.ones((4, 3)), np.zeros(4)

        def on_epoch_end(self):
            time.sleep(0.1)                         # time to read ahead in, wrongly
            self.at_end.append(len(self.seen))

    dataset = Asked()
    m = nnc.Sequential([nnc.Input((3,)), nnc.layers.Dense(1)])
    m.compile("sgd", "mse")
    m.fit(dataset, epochs=3, steps_per_epoch=3, shuffle=False, verbose=0)
    assert dataset.at_end == [0, 3, 6, 9]
