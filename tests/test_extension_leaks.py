"""The extension nnc._core leaks nothing, on good and bad calls and where memory runs out."""
import gc
import pickle
import sys

import numpy as np

from nnc import _core
from nnc._core import Graph, Program, Tape, Tensor, Variable, op

from test_extension import BAD_CALLS, ramp


def workout():
    """Good and bad calls through every part."""
    x, v, array = Tensor(ramp(4, 3)), Variable(ramp(4, 3)), ramp(4, 3)
    x.note = [x]
    for key in [0, (1, 2), np.s_[:, 1], np.s_[..., 0], np.s_[::-1], np.s_[None, :, None], [0, 1], np.s_[:, [1, 0]],
                array > 3, np.s_[[0, 1], [1, 2]]]:
        x[key], v[key]
    (x + v) / 2 - array * 3 @ np.eye(3, dtype="f4")
    x == v, abs(-x), +v, list(x), repr(x), repr(v), f"{x[0, 0]:.1f}", float(x[0, 0]), x.T, v.value, x.numpy()
    np.asarray(x, "f8"), memoryview(x), x.__dlpack__(), np.from_dlpack(x), pickle.loads(pickle.dumps(v))
    x.__dlpack__(max_version=(1, 0), copy=True)
    v.assign(array), v.assign_add(x), v.assign_sub(v)
    tape = Tape()
    tape.push()
    y = op.sum(x * v, (), 0)
    tape.pop()
    tape.gradients([y], [v, x, Tensor(1.0)], [Tensor(1.0)])
    tape.clear()
    graph = Graph()
    with graph, _core.no_trace(), graph:
        s = graph.input((2, 3), "float32")
        loss = op.mean(op.square(s - v[:2]), (0, 1), 0)
        gradient, none = graph.gradients([loss], [v, Variable(1.0)])
        v.assign_sub(gradient)
    graph.nodes(), graph.values(), graph.node_count, graph.find(s), graph.held(graph.find(v))
    program = Program(graph, [loss, gradient])
    program(array[:2])
    program.replay([array], np.arange(4), 0, 2, [np.zeros(2, "f4"), None])
    program.text(), program.stats(), program.input_signature
    _core.permutation(5, 1, 2, 3), _core.check_labels([5], 3), _core.first_nonfinite([np.nan]), _core.result_dtype(x, 1)
    op.concatenate(*[x] * 20, 0), op.sparse_softmax_crossentropy(x, np.arange(4) % 3)
    for bad, error, _ in BAD_CALLS:
        try:
            bad()
        except error:
            pass
    for bad in (lambda: program.replay([array], None, 0, 9), lambda: program.replay([array[:, :1]], None, 0, 1),
                lambda: program.replay([array], np.arange(4) + 9, 0, 2), lambda: program(1.0), lambda: float(loss),
                lambda: program.replay([array], None, 0, 2, [np.zeros(1, "f4"), None]), lambda: loss + 1,
                lambda: x[9], lambda: x["a"], lambda: x[..., ...], lambda: x[[9]], lambda: v.assign(1.0),
                lambda: tape.gradients([y], [v], [x]), lambda: graph.gradients([1.0], [v]), lambda: Tensor([s, s])):
        try:
            bad()
        except (TypeError, ValueError, IndexError):
            pass


def test_good_and_bad_calls_leak_nothing():
    """Caches of Python and NumPy fill for a while; a leak of one object a round would never stop."""
    blocks, rounds = [], 10
    for _ in range(60):
        for _ in range(rounds):
            workout()
        gc.collect()
        blocks.append((sys.getallocatedblocks(), _core.alloc_stats()["live_blocks"]))
        if len(blocks) > 1 and blocks[-1][0] - blocks[-2][0] < rounds:
            break
    assert blocks[-1][0] - blocks[-2][0] < rounds
    assert {live for _, live in blocks[1:]} == {blocks[0][1]}


def test_every_failing_allocation_is_a_memory_error_and_leaks_nothing():
    """The n-th allocation fails, for every n of the workout without its bad calls."""
    def work():
        x, v = Tensor(ramp(4, 300)), Variable(ramp(4, 300))
        tape = Tape()
        tape.push()
        try:
            y = op.sum(x[1:, ::2] * v[1:, ::2], (), 0)
        finally:
            tape.pop()
        tape.gradients([y], [v, x])
        v.assign_sub(op.concatenate(*[x[:, :30]] * 10, 1))
        graph = Graph()
        with graph:
            s = graph.input((2, 300), "float32")
            loss = op.mean(op.square(s - v[:2]), (0, 1), 0)
            gradient, = graph.gradients([loss], [v])
            v.assign_sub(gradient)
        graph.nodes(), graph.values(), graph.held(graph.find(v))
        program = Program(graph, [loss])
        program(ramp(2, 300))
        program.replay([ramp(4, 300)], np.arange(4), 0, 2, [np.zeros(2, "f4")])
        x.__dlpack__(copy=True), program.text()

    work()
    gc.collect()
    before = _core.alloc_stats()["live_blocks"]
    count = _core.alloc_stats()["count"]
    work()
    count = _core.alloc_stats()["count"] - count
    assert count > 100
    failures = 0
    for n in range(1, count + 1):
        _core.alloc_fail_at(n)
        try:
            work()
        except MemoryError:
            failures += 1
        finally:
            _core.alloc_fail_at(0)
        assert _core.current_graph() is None
    gc.collect()
    assert failures == count
    assert _core.alloc_stats()["live_blocks"] == before
