"""Programs: a replay gives the bits of the same ops run one by one, with every pass on or off, from
any layout of the sources, in any order, in parts."""
import itertools

import ml_dtypes  # noqa: F401  (the name "bfloat16")
import numpy as np
import pytest

from nnc import _core
from nnc._core import Graph, Program, Tape, Tensor, Variable, op

PASSES = ("fold", "fuse", "narrow", "widen", "prune", "update", "order", "loss", "chain", "late", "verify",
          "turn", "plan")
OFF_AT_FIRST = {"verify"}


@pytest.fixture(autouse=True)
def passes():
    """The passes as they are at first, again afterwards."""
    yield
    for name in PASSES:
        _core.pass_enable(name, name not in OFF_AT_FIRST)


def data(rows, width=9):
    rng = np.random.default_rng(3)
    return rng.normal(size=(rows, width)).astype("float32"), rng.integers(0, 4, rows)


class Net:
    """Two layers, a loss and Adam, to be run by ops or recorded."""

    def __init__(self, width=9, units=13, classes=4):
        rng = np.random.default_rng(5)
        shapes = [(width, units), (units,), (units, classes), (classes,)]
        self.weights = [Variable(rng.normal(size=s).astype("float32") / 3) for s in shapes]
        self.slots = [[Variable(np.zeros(s, "float32")) for s in shapes] for _ in range(2)]
        self.state = Variable(np.array([11, 0], "uint32"))
        self.step = Variable(np.array(0, "int64"))
        self.total = Variable(np.array(0.0, "float32"))

    def forward(self, x, labels):
        w1, b1, w2, b2 = self.weights
        hidden = op.relu(op.add(op.matmul(x, w1), b1))
        hidden = op.dropout(hidden, op.seed_next(self.state), 0.2)
        scale = op.add(op.fill((13,), 0.5, "float32"), 0.5)         # constants, to be folded
        op.exp(hidden)                                              # nobody asks for it
        hidden = op.multiply(op.tanh(hidden), scale)
        z = op.add(op.matmul(hidden, w2), b2)
        loss, _ = op.sparse_softmax_crossentropy(z, labels)
        return op.mean(loss, (), 0), z

    def update(self, loss, gradients):
        for w, m, v, g in zip(self.weights, *self.slots, gradients):
            op.adam(w, m, v, g, 0.01, self.step, 0.9, 0.999, 1e-7)
        op.assign_add(self.step, 1)
        op.assign_add(self.total, loss)

    def eager(self, x, labels):
        tape = Tape()
        tape.push()
        try:
            loss, z = self.forward(x, labels)
        finally:
            tape.pop()
        self.update(loss, tape.gradients([loss], self.weights))
        return loss.numpy(), z.numpy()

    def program(self, rows, dtype="float32", labels="int64", outputs=True, beside=None):
        graph = Graph()
        with graph:
            x = graph.input((rows, self.weights[0].shape[0]), dtype)
            loss, z = self.forward(x, graph.input((rows,), labels))
            self.update(loss, graph.gradients([loss], self.weights))
        return Program(graph, [loss, z] if outputs else [], beside)

    def bits(self):
        variables = [*self.weights, *self.slots[0], *self.slots[1], self.state, self.step,
                     self.total]
        return [v.numpy().tobytes() for v in variables]


def reference_run(rows, batch, order=None, steps=None):
    """Bits of the variables, losses and outputs of eager steps."""
    x, labels = data(rows)
    order = np.arange(rows) if order is None else order
    net, losses, outputs = Net(), [], []
    for s in range(rows // batch if steps is None else steps):
        picked = order[s * batch:(s + 1) * batch]
        loss, z = net.eager(x[picked], labels[picked])
        losses.append(loss)
        outputs.append(z)
    return net.bits(), np.array(losses), np.concatenate(outputs)


def replayed(rows, batch, order=None, sources=None, **changes):
    net = Net()
    program = net.program(batch)
    steps = rows // batch
    losses, outputs = np.zeros(steps, "float32"), np.zeros((steps * batch, 4), "float32")
    done = program.replay(sources or data(rows), order, 0, steps, [losses, outputs], **changes)
    assert done == steps
    return net.bits(), losses, outputs


def assert_same(ours, theirs):
    assert ours[0] == theirs[0]
    for a, b in zip(ours[1:], theirs[1:]):
        assert a.tobytes() == b.tobytes()


# ---- passes --------------------------------------------------------------------------------------

@pytest.mark.parametrize("batch", [1, 8, 33])
@pytest.mark.parametrize("name", [*PASSES, "none", "all"])
def test_each_pass_changes_no_bit(name, batch):
    want = reference_run(66, batch, steps=66 // batch)
    if name == "none":
        for each in PASSES:
            _core.pass_enable(each, False)
    elif name == "all":
        _core.pass_enable("verify", True)
    else:
        _core.pass_enable(name, name in OFF_AT_FIRST)
    assert_same(replayed(66, batch), want)


@pytest.mark.parametrize("on", list(itertools.product([False, True], repeat=3)))
def test_passes_together(on):
    for name, state in zip(("fold", "fuse", "plan"), on):
        _core.pass_enable(name, state)
    _core.pass_enable("verify", True)
    assert_same(replayed(40, 8), reference_run(40, 8))


def test_passes_do_something():
    """Each pass shows in the program's figures; else the tests above would test nothing."""
    full = Net().program(8).stats()
    assert full["nodes_kept"] < full["nodes_recorded"] and full["fused"] > 0 and full["folded"] > 0
    assert full["arena_bytes"] < full["values_bytes"]
    for name, figure in (("fold", "folded"), ("fuse", "fused"), ("update", "fused")):
        _core.pass_enable(name, False)
        assert Net().program(8).stats()[figure] < full[figure]
        _core.pass_enable(name, True)
    for name, figure in (("prune", "nodes_kept"), ("update", "nodes_kept"), ("plan", "arena_bytes")):
        _core.pass_enable(name, False)
        assert Net().program(8).stats()[figure] > full[figure]
        _core.pass_enable(name, True)


def test_text_has_a_line_for_each_step():
    program = Net().program(8)
    lines = program.text().strip().splitlines()
    assert len(lines) >= program.stats()["nodes_kept"]
    assert any("adam" in line for line in lines) and not any(" exp" in line for line in lines)


def test_calls_are_replays():
    net, program = Net(), None
    x, labels = data(24)
    program = net.program(8)
    results = [program(x[i:i + 8], labels[i:i + 8]) for i in (0, 8, 16)]
    bits, losses, outputs = reference_run(24, 8)
    assert net.bits() == bits
    assert np.array([r[0].numpy() for r in results]).tobytes() == losses.tobytes()
    assert np.concatenate([r[1].numpy() for r in results]).tobytes() == outputs.tobytes()


# ---- sources -------------------------------------------------------------------------------------

def wide(x):
    """Every second of twice as many columns' rows: rows are apart, each is contiguous."""
    spread = np.zeros((len(x), 2 * x.shape[1]), x.dtype)
    spread[:, :x.shape[1]] = x
    return spread[:, :x.shape[1]]


def columns(x):
    spread = np.zeros((len(x), 2 * x.shape[1]), x.dtype)
    spread[:, ::2] = x
    return spread[:, ::2]


def frozen(x):
    x = x.copy()
    x.flags.writeable = False
    return x


SOURCES = {
    "as it is": lambda x: x, "rows apart": wide, "columns apart": columns,
    "Fortran": np.asfortranarray, "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "float64": lambda x: x.astype("float64"), "backwards": lambda x: x[::-1].copy()[::-1],
    "read-only": frozen, "tensor": Tensor,
    "unaligned": lambda x: np.frombuffer(b"." + x.tobytes(), x.dtype, offset=1).reshape(x.shape),
}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("shuffled", [False, True])
def test_layouts_of_sources(kind, shuffled):
    order = np.random.default_rng(1).permutation(40) if shuffled else None
    x, labels = data(40)
    source = SOURCES[kind](x)
    source = source.numpy() if isinstance(source, Tensor) else source
    assert_same(replayed(40, 8, order, [source, labels]), reference_run(40, 8, order))


@pytest.mark.parametrize("dtype",
                         ["int8", "uint8", "int16", "uint16", "int32", "uint64", "float64", ">i4",
                          ">f8",
                                   "bool", "float16"])
def test_dtypes_of_sources(dtype):
    """What is fed is converted as it is read, as `astype` does."""
    graph = Graph()
    with graph:
        y = op.multiply(graph.input((4, 3), "float32"), 2.0)
    program = Program(graph, [y])
    source = (np.arange(36).reshape(12, 3) * 3 % 120).astype(dtype)
    out = np.zeros((12, 3), "float32")
    assert program.replay([source], None, 0, 3, [out]) == 3
    np.testing.assert_array_equal(out, source.astype("float32") * 2)
    order = np.arange(12)[::-1].copy()
    assert program.replay([source], order, 0, 3, [out]) == 3
    np.testing.assert_array_equal(out, source[::-1].astype("float32") * 2)


@pytest.mark.parametrize("source, dtype", [("float32", "bfloat16"), ("float32", "float16"),
                                           ("float32", "int32"), ("float16", "float32"),
                                           ("uint8", "float32"), ("int32", "float64")])
@pytest.mark.parametrize("columns", [0, 1, 7, 30011])
def test_casts_read_rows_where_they_lie(source, dtype, columns):
    """A cast takes shuffled rows one by one; its pieces begin and end within them."""
    graph = Graph()
    with graph:
        x = graph.input((4, columns), source)
        y = op.cast(op.cast(x, dtype), "float32")
        z = op.multiply(op.cast(x, "float32"), -1.0)
    program = Program(graph, [y, z])
    values = (np.random.default_rng(3).normal(size=(12, columns)) * 50 + 100).astype(source)
    order = np.random.default_rng(4).permutation(12)
    wanted = values.astype(np.dtype(dtype)).astype("float32")
    for rows in (None, order):
        out = [np.ones((12, columns), "float32") for _ in range(2)]
        assert program.replay([values], rows, 0, 3, out) == 3
        expected = wanted if rows is None else wanted[rows]
        np.testing.assert_array_equal(out[0], expected)
        np.testing.assert_array_equal(out[1], -(values if rows is None else values[rows])
                                      .astype("float32"))


def test_sources_are_read_where_they_lie():
    """No copy of the whole source is made: an array may change between replays, and memory does not
    grow with it."""
    graph = Graph()
    with graph:
        y = op.sum(graph.input((2, 50), "float32"), (1,), 0)
    program = Program(graph, [y])
    source = np.zeros((20000, 50), "float32")
    before = _core.alloc_stats()["live_bytes"]
    out = np.zeros(4, "float32")
    program.replay([source], None, 0, 2, [out])
    assert not out.any()
    source[:] = 1
    program.replay([source], None, 0, 2, [out])
    assert (out == 50).all()
    assert _core.alloc_stats()["live_bytes"] - before < source.nbytes / 100


def test_scalar_sources_are_fed_whole():
    graph = Graph()
    with graph:
        x, scale = graph.input((2, 3), "float32"), graph.input((), "float32")
        y = op.multiply(x, scale)
    source = np.arange(12, dtype="float32").reshape(4, 3)
    out = np.zeros((4, 3), "float32")
    Program(graph, [y]).replay([source, np.array(3.0)], None, 0, 2, [out])
    np.testing.assert_array_equal(out, 3 * source)


# ---- order, first, steps, targets, seconds -------------------------------------------------------

def test_parts_of_an_epoch_make_the_whole():
    order = np.random.default_rng(2).permutation(48)
    want = reference_run(48, 8, order)
    for cuts in ((1, 5), (2, 2, 2), (1,) * 6, (0, 6, 0)):
        net = Net()
        program = net.program(8)
        losses, first = [], 0
        for steps in cuts:
            part = np.zeros(steps, "float32")
            assert program.replay(data(48), order, first, steps, [part, None]) == steps
            losses.append(part)
            first += 8 * steps
        assert net.bits() == want[0]
        assert np.concatenate(losses).tobytes() == want[1].tobytes()


def test_order_may_repeat_and_leave_out():
    order = np.array([3, 3, 3, 0, 1, 3, 2, 2])
    graph = Graph()
    with graph:
        y = op.copy(graph.input((4,), "float32"))
    out = np.zeros(8, "float32")
    Program(graph, [y]).replay([np.arange(4.0)], order, 0, 2, [out])
    np.testing.assert_array_equal(out, order)


def test_unwanted_targets_and_none():
    for targets in (None, [None, None]):
        net = Net()
        net.program(8).replay(data(40), None, 0, 5, targets)
        assert net.bits() == reference_run(40, 8)[0]


def test_two_programs_over_the_same_variables():
    """The short last batch is a program of its own."""
    net = Net()
    x, labels = data(20)
    eager = Net()
    for i in (0, 8, 16):
        eager.eager(x[i:i + 8], labels[i:i + 8])
    net.program(8).replay([x, labels], None, 0, 2)
    net.program(4).replay([x, labels], None, 16, 1)
    assert net.bits() == eager.bits()


@pytest.mark.parametrize("threads", [1, 3], indirect=True)
def test_programs_in_one_arena(threads):
    """Programs beside one another give the bits of programs that have their own memory, whichever is
    the larger, in any order, after the first one has gone."""
    rows = data(40)

    def steps(beside, sizes):
        net = Net()
        programs, results = [], []
        for size in sizes:
            programs.append(net.program(size, beside=programs[0] if programs and beside else None))
        for turn in range(3):
            for size, program in zip(sizes, programs):
                loss = np.empty((1,), "float32")
                z = np.empty((size, 4), "float32")
                program.replay(rows, None, turn, 1, [loss, z])
                results += [loss.tobytes(), z.tobytes()]
            if turn == 1:
                sizes, programs = sizes[1:], programs[1:]
        return results, net.bits()

    for sizes in ([4, 16, 7, 30], [30, 7], [5, 5, 5]):
        assert steps(True, sizes) == steps(False, sizes)
    with pytest.raises(TypeError, match="`beside` must be a Program or None. Received: 3"):
        Program(Graph(), [], 3)


def test_loops_and_branches_in_one_arena():
    """Bodies move with the program that they are part of."""
    import nnc

    class Turns(nnc.layers.Layer):
        def call(self, x):
            total, rows = nnc.ops.scan(lambda s, r: (s + nnc.ops.tanh(r), s * r), x[0], x)
            more = nnc.ops.cond(nnc.ops.sum(total) > 0, lambda: nnc.ops.exp(-x), lambda: x * 2)
            return nnc.ops.fori_loop(0, 3, lambda i, v: v + nnc.ops.sin(v), rows + more)

    def model():
        return nnc.Sequential([nnc.Input((5,)), Turns()])
    x = np.random.default_rng(0).normal(size=(90, 5)).astype("float32")
    one = model()
    for size in (4, 90, 4, 33, 90):
        np.testing.assert_array_equal(one.predict(x[:size], batch_size=size, verbose=0),
                                      model().predict(x[:size], batch_size=size, verbose=0))


def test_memory_of_programs_in_one_arena():
    """As much as the largest needs, until all have gone."""
    def live():
        return _core.alloc_stats()["live_bytes"]

    net, rows = Net(), data(4000)
    net.program(8)
    before = live()
    small = net.program(1000)
    one = live() - before
    large = net.program(4000, beside=small)
    needed = large.stats()["arena_bytes"]
    large.replay(rows, None, 0, 1)
    small.replay(rows, None, 0, 1)
    both = live() - before
    assert small.stats()["arena_bytes"] < one and needed < both < needed + one / 2
    del small
    assert needed < live() - before < both
    large.replay(rows, None, 0, 1)
    del large
    assert live() == before


def test_an_early_end_goes_on_where_it_was():
    """Whatever time cuts off, the rest gives the bits of one piece."""
    order = np.tile(np.random.default_rng(2).permutation(48), 400)
    whole, parts = Net(), Net()
    steps = len(order) // 8
    whole.program(8).replay(data(48), order, 0, steps)
    program, done, calls = parts.program(8), 0, 0
    while done < steps:
        now = program.replay(data(48), order, 8 * done, steps - done, None,
                             1e-9 if calls < 5 else 0)
        assert now > 0                      # at least a step a call: a loop over it ends
        done += now
        calls += 1
    assert calls > 1 and done == steps
    assert parts.bits() == whole.bits()


def test_a_failing_step_leaves_whole_steps():
    """Labels are checked as they are read: the steps before count, the bad one changes nothing."""
    x, labels = data(40)
    labels[29] = 4
    net = Net()
    with pytest.raises(IndexError, match="label 4"):
        net.program(8).replay([x, labels], None, 0, 5)
    assert int(net.step.numpy()) == 3
    assert net.bits()[:4] == reference_run(40, 8, steps=3)[0][:4]


def view(v, x):
    a = op.reshape(v, (3, 1))
    v.assign_add(x)
    return [a, op.add(a, 1.0)]


def stopped(v, x):
    a = op.stop_gradient(v)
    v.assign_add(x)
    return [op.add(a, 1.0), op.add(v, 1.0)]


def value(v, x):
    a, b = v.value, _core.convert(v)
    v.assign_add(x)
    return [a, b, v.value]


def read_twice(v, x):
    a = op.add(v, x)
    v.assign(x)
    return [a, op.add(v, x)]


@pytest.mark.parametrize("function", [view, stopped, value, read_twice])
def test_what_was_read_before_a_write_stays(function):
    x, results = np.full(3, 10.0, "float32"), []
    for recorded in (False, True):
        v, graph = Variable(np.arange(3, dtype="float32")), Graph()
        if recorded:
            with graph:
                outputs = function(v, graph.input((3,), "float32"))
            outputs = Program(graph, outputs)(x)
        else:
            outputs = function(v, Tensor(x))
        results.append([y.numpy().tobytes() for y in outputs])
    assert results[0] == results[1]


def test_gradients_after_a_write_are_of_what_was_read():
    x, v = np.ones(3, "float32"), Variable(np.arange(3, dtype="float32"))
    graph = Graph()
    with graph:
        y = op.multiply(op.square(v), graph.input((3,), "float32"))
        v.assign_add(y)
        gradient, = graph.gradients([y], [v])
    np.testing.assert_array_equal(Program(graph, [gradient])(x)[0].numpy(), [0, 2, 4])


def test_programs_keep_what_they_need():
    """Graph, variables and constants may go out of sight."""
    def build():
        v, c = Variable(np.full(3, 2.0, "float32")), np.full(3, 5.0, "float32")
        graph = Graph()
        with graph:
            y = op.add(op.multiply(graph.input((3,), "float32"), v), c)
        return Program(graph, [y])
    program = build()
    np.testing.assert_array_equal(program(np.ones(3))[0].numpy(), [7, 7, 7])


def test_outputs_that_are_inputs_variables_and_constants():
    v = Variable(np.arange(3, dtype="float32"))
    graph = Graph()
    with graph:
        x = graph.input((3,), "float32")
        outputs = [x, v.value, op.add(x, v.value), op.reshape(x, (3, 1)), x]
        v.assign_add(x)
        outputs.append(v.value)
    got = Program(graph, outputs)(np.ones(3, "float32"))
    want = [[1, 1, 1], [0, 1, 2], [1, 2, 3], [[1], [1], [1]], [1, 1, 1], [1, 2, 3]]
    for a, b in zip(got, want):
        np.testing.assert_array_equal(a.numpy(), b)


# ---- attempt: the short way of a call ------------------------------------------------------------

def inference(outputs):
    w = Variable(np.arange(6.0, dtype="float32").reshape(2, 3))
    graph = Graph()
    with graph:
        x = graph.input((4, 2), "float32")
        z = op.matmul(x, w)
        values = [op.relu(z), z, x][:outputs]
    return w, Program(graph, values)


def test_attempt_gives_what_a_call_gives():
    w, program = inference(1)
    x = np.arange(-4.0, 4.0, dtype="float32").reshape(4, 2)
    for given in (x, Tensor(x)):
        got = program.attempt(given)
        assert type(got) is Tensor
        assert np.array_equal(np.asarray(got), np.maximum(x @ w.numpy(), 0))
    w.assign(np.zeros((2, 3), "float32"))
    assert not np.asarray(program.attempt(x)).any()
    two = inference(2)[1].attempt(x)
    assert type(two) is tuple and np.array_equal(np.maximum(two[1], 0), two[0])


@pytest.mark.parametrize("given", [
    np.zeros((4, 2)), np.zeros((4, 3), "float32"), np.zeros((3, 2), "float32"), [[0.0] * 2] * 4,
    np.zeros((2, 4), "float32").T, np.zeros((4, 2), ">f4"), Tensor(np.zeros((4, 2))), None])
def test_attempt_leaves_other_inputs_alone(given):
    assert inference(1)[1].attempt(given) is None


def test_attempt_leaves_tapes_and_traces_alone():
    program = inference(1)[1]
    x = np.zeros((4, 2), "float32")
    tape, graph = Tape(), Graph()
    tape.push()
    try:
        assert program.attempt(x) is None
    finally:
        tape.pop()
    with graph:
        assert program.attempt(x) is None
        assert program.attempt(graph.input((4, 2), "float32")) is None
    assert program.attempt(x) is not None


@pytest.mark.parametrize("count", [2, 8, 9])
def test_attempt_with_several_inputs_and_outputs(count):
    graph = Graph()
    with graph:
        a, b = graph.input((2, 3), "float32"), graph.input((3,), "int32")
        made = [op.multiply(a, float(i)) for i in range(count - 1)]
        program = Program(graph, [*made, op.add(b, b)])
    x, y = np.ones((2, 3), "float32"), np.arange(3, dtype="int32")
    for given in ([x, y], (Tensor(x), y)):
        got = program.attempt(given)
        if count > 8:
            assert got is None
            continue
        assert type(got) is tuple and len(got) == count
        for i in range(count - 1):
            np.testing.assert_array_equal(got[i], x * i)
        np.testing.assert_array_equal(got[-1], y + y)
    for given in (x, [x], [x, y, y], [y, x], [x, None], {"a": x, "b": y}, (), [x, y.astype("f4")]):
        assert program.attempt(given) is None


def test_attempts_give_what_is_not_finite():
    """No output stops a run, whatever it holds."""
    for outputs in (1, 2, 3):
        program = inference(outputs)[1]
        x = np.full((4, 2), np.nan, "float32")
        for got in (program.attempt(x), program(x), program.attempt(x)):
            for leaf in got if isinstance(got, (tuple, list)) else [got]:
                assert np.isnan(np.asarray(leaf)).all()
    assert np.isnan(inference(1)[1].attempt_array(x)).all()


def test_attempt_logits():
    x = np.arange(-4.0, 4.0, dtype="float32").reshape(4, 2)
    w, program = inference(2)
    for given in (x, Tensor(x)):
        got = program.attempt_logits(given)
        np.testing.assert_array_equal(got, np.maximum(x @ w.numpy(), 0))
        np.testing.assert_array_equal(got._keras_logits, x @ w.numpy())
        assert list(got.__dict__) == ["_keras_logits"]
    assert program.attempt_logits(x.astype("float64")) is None
    for outputs in (1, 3):
        assert inference(outputs)[1].attempt_logits(x) is None


def test_attempt_array():
    x = np.arange(-4.0, 4.0, dtype="float32").reshape(4, 2)
    w, program = inference(1)
    want = np.maximum(x @ w.numpy(), 0)
    for given in (x, Tensor(x), x.astype("float64"), x.astype("float16")):
        got = program.attempt_array(given)
        assert type(got) is np.ndarray and got.dtype == "float32" and got.flags.owndata
        np.testing.assert_array_equal(got, want)
    for given in (x.astype("int32"), x.astype("complex64"), x[:3], np.asfortranarray(x), x > 0,
                  x.tolist(), None, (x,)):
        assert program.attempt_array(given) is None
    assert inference(2)[1].attempt_array(x) is None


def test_allocation_failures_of_attempts():
    x = np.arange(-4.0, 4.0, dtype="float32").reshape(4, 2)
    _, program = inference(2)
    _, single = inference(1)
    for attempt in (program.attempt, program.attempt_logits, single.attempt_array):
        want, failures = [attempt(x) for _ in range(2)][1], 0     # the second looks for copies to keep
        for n in range(1, 20):
            _core.alloc_fail_at(n)
            try:
                got = attempt(x)
                break
            except MemoryError:
                failures += 1
            finally:
                _core.alloc_fail_at(0)
        first = [leaf[0] if type(leaf) is tuple else leaf for leaf in (got, want)]
        np.testing.assert_array_equal(*first)
        assert failures == (0 if attempt == single.attempt_array else 2)


# ---- chains of element-wise ops ------------------------------------------------------------------

def swish(x, row, column):
    return op.multiply(x, op.sigmoid(op.multiply(x, 1.5)))


def gelu(x, row, column):
    inner = op.multiply(op.add(x, op.multiply(op.multiply(op.square(x), x), 0.044715)), 0.797885)
    return op.multiply(op.multiply(x, 0.5), op.add(op.tanh(inner), 1.0))


def normalized(x, row, column):
    centred = op.subtract(x, op.mean(x, (-1,), 1))
    scale = op.rsqrt(op.add(op.mean(op.square(centred), (-1,), 1), 1e-3))
    return op.add(op.multiply(op.multiply(centred, scale), row), column)


def huber(x, row, column):
    error = op.subtract(x, row)
    size = op.absolute(error)
    return op.where(op.logical_and(op.less(size, column), op.isfinite(x)),
                    op.multiply(op.square(error), 0.5), op.subtract(size, 0.5))


def through_types(x, row, column):
    """Casts, whole numbers and truth values on the way."""
    steps = op.cast(op.cast(op.multiply(x, 3.0), "int32"), str(x.dtype))
    half = op.cast(op.cast(x, "bfloat16"), str(x.dtype))
    above = op.cast(op.greater(x, row), str(x.dtype))
    return op.add(op.multiply(op.subtract(x, steps), half), above)


def many(x, row, column):
    """More steps, alphas and outputs than one node takes."""
    total = x
    for k in range(30):
        total = op.add(op.leaky_relu(op.multiply(total, 0.9), 0.1 * k), column)
    return op.multiply(total, op.sin(op.add(total, row)))


CHAINS = (swish, gelu, normalized, huber, through_types, many)


def chain_program(function, x, gradients):
    row = np.linspace(-1, 1, x.shape[-1]).astype(x.dtype)
    column = np.linspace(0.5, 2, x.shape[0])[:, None].astype(x.dtype)
    graph = Graph()
    with graph:
        symbols = [graph.input(a.shape, a.dtype.name) for a in (x, row, column)]
        y = function(*symbols)
        outputs = [y]
        if gradients:
            target = op.sum(op.multiply(y, y), (), 0)
            outputs += [g for g in graph.gradients([target], symbols) if g is not None]
    return Program(graph, outputs), (x, row, column)


@pytest.mark.parametrize("shape", [(7, 300), (520, 5), (40, 64), (300, 1), (17, 2049)])
@pytest.mark.parametrize("function", CHAINS, ids=lambda f: f.__name__)
def test_chains_change_no_bit(function, shape):
    _core.pass_enable("verify", True)
    rng = np.random.default_rng(8)
    for dtype, gradients in itertools.product(("float32", "float64"), (False, True)):
        x = rng.normal(size=shape).astype(dtype)
        x[0, 0], x[-1, -1], x[1, -1] = np.nan, np.inf, -0.0
        found = []
        for on in (False, True):
            _core.pass_enable("chain", on)
            program, sources = chain_program(function, x, gradients)
            results = program(*sources)
            found.append([np.where(np.isnan(a.numpy()), np.nan, a.numpy()).tobytes() for a in
                          (results if isinstance(results, (tuple, list)) else [results])])
            assert ("chain" in program.text()) is on
        assert found[0] == found[1]


def test_chains_leave_what_a_write_parts():
    """A value read before a variable is written keeps meaning what it meant."""
    v = Variable(np.full((20, 20), 2.0, "float32"))
    graph = Graph()
    with graph:
        x = graph.input((20, 20), "float32")
        before = op.multiply(op.add(x, v), 2.0)
        op.assign_add(v, before)
        after = op.subtract(op.multiply(op.add(x, v), 2.0), before)
    _core.pass_enable("verify", True)
    ones = np.ones((20, 20), "float32")
    got = Program(graph, [before, after])(ones)
    assert got[0].numpy()[0, 0] == 6.0 and got[1].numpy()[0, 0] == 12.0
    assert v.numpy()[0, 0] == 8.0


def test_chains_do_not_pass_a_reader():
    """A sum between two element-wise ops of one value: nothing may be computed too late."""
    graph = Graph()
    with graph:
        x = graph.input((30, 30), "float32")
        a = op.exp(x)
        b = op.multiply(a, op.sum(a, (0,), 1))
        c = op.add(op.multiply(b, a), op.max(b, (1,), 1))
    _core.pass_enable("verify", True)
    data = np.random.default_rng(2).normal(size=(30, 30)).astype("float32")
    program = Program(graph, [c])
    e = np.exp(data.astype("float64"))
    b = e * e.sum(0)
    want = b * e + b.max(1, keepdims=True)
    got = program(data)
    got = got[0] if isinstance(got, (tuple, list)) else got
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-5)      # sums of 30 in float32


@pytest.mark.parametrize("seed", range(12))
def test_order_keeps_what_writes_and_reads_mean(seed):
    """Random writes and reads of three variables: the same numbers with and without the pass."""
    found = []
    for on in (False, True):
        _core.pass_enable("order", on)
        _core.pass_enable("verify", True)
        rng = np.random.default_rng(seed)
        variables = [Variable(np.full(300, k + 1.0)) for k in range(3)]
        graph, seen = Graph(), []
        with graph:
            seen.append(graph.input((300,), "float64"))
            for _ in range(40):
                a, b = rng.integers(0, 3, 2)
                what, some = rng.integers(0, 4), seen[rng.integers(0, len(seen))]
                if what == 0:
                    op.assign(variables[a], op.multiply(some, 0.5))
                elif what == 1:
                    op.assign_add(variables[a], variables[b])
                elif what == 2:
                    seen.append(op.reshape(variables[a], (300,)))
                else:
                    seen.append(op.tanh(op.add(some, variables[a])))
        results = Program(graph, seen[1:])(np.linspace(-1, 1, 300))
        found.append([a.numpy().tobytes() for a in [*results, *variables]])
    assert found[0] == found[1]
