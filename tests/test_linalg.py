"""Decompositions and systems: against NumPy's definitions, Keras, finite differences; host nodes in
programs, threads and after fork.
"""
import os
import threading

import numpy as np
import pytest

import nnc
from nnc import _core, ops
from nnc._core import Graph, Program, Tensor
from reference.row import numbers
from test_ops import check_gradient

SQUARE = numbers(2, 4, 4, seed=1) + 3 * np.eye(4)
# Far from singular: third derivatives, the error of the differences, grow with the condition.
POSITIVE = SQUARE @ SQUARE.transpose(0, 2, 1) + 4 * np.eye(4)
TALL, WIDE = numbers(2, 5, 3), numbers(2, 3, 5)
SINGULAR = np.ones((2, 2))


def symmetric(function):
    """A function of symmetric matrices on any: what finite differences can move freely."""
    return lambda x: function(0.5 * (x + ops.swapaxes(x, -1, -2)))


def invariant(function):
    """Squares of a decomposition's parts: they do not depend on the vectors' signs."""
    return lambda x: tuple(ops.square(part) for part in function(x))


GRADIENTS = {
    "cholesky": (symmetric(ops.cholesky), [POSITIVE]),
    "cholesky upper": (symmetric(lambda x: ops.cholesky(x, True)), [POSITIVE]),
    "cholesky_inverse": (ops.cholesky_inverse, [np.linalg.cholesky(POSITIVE)]),
    "inv": (ops.inv, [SQUARE]),
    "det": (ops.det, [SQUARE]),
    "slogdet": (lambda x: ops.slogdet(x)[1], [SQUARE]),
    "logdet": (symmetric(ops.logdet), [POSITIVE]),
    "solve": (ops.solve, [SQUARE, numbers(2, 4, 2)]),
    "solve vector": (ops.solve, [SQUARE, numbers(2, 4)]),
    "solve_triangular": (ops.solve_triangular, [SQUARE, numbers(2, 4, 2)]),
    "solve_triangular lower": (lambda a, b: ops.solve_triangular(a, b, True),
                               [SQUARE, numbers(2, 4)]),
    "lu_factor": (lambda x: ops.lu_factor(x)[0], [SQUARE]),
    "qr tall": (ops.qr, [TALL]),
    "qr wide": (ops.qr, [WIDE]),
    "qr square": (lambda x: ops.qr(x, "complete"), [SQUARE]),
    "svd tall": (invariant(lambda x: ops.svd(x, False)), [TALL]),
    "svd wide": (invariant(lambda x: ops.svd(x, False)), [WIDE]),
    "svd values": (lambda x: ops.svd(x)[1], [WIDE]),
    "eigh": (invariant(ops.eigh), [POSITIVE]),
    "eig": (invariant(ops.eig), [POSITIVE + np.triu(SQUARE)]),
    "pinv": (ops.pinv, [TALL]),
    "lstsq": (ops.lstsq, [TALL[0], numbers(5)]),
    "nuclear norm": (lambda x: ops.norm(x, "nuc", (1, 2)), [TALL]),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient(name):
    function, inputs = GRADIENTS[name]
    check_gradient(function, inputs, range(len(inputs)), name)


@pytest.mark.parametrize("name", ["cholesky", "inv", "det", "solve", "qr wide", "svd tall", "eigh",
                                  "eig"])
def test_second_gradient(name):
    function, inputs = GRADIENTS[name]
    small = [x[:1] for x in inputs]

    def gradient(*x):
        with nnc.GradientTape() as tape:
            for one in x:
                tape.watch(one)
            y = function(*x)
            parts = y if isinstance(y, tuple) else (y,)
            total = sum(ops.sum(ops.sin(part)) for part in parts)
        return tuple(tape.gradient(total, list(x)))

    check_gradient(gradient, small, range(len(small)), f"gradient of {name}")


DEFINITIONS = {
    "cholesky": (POSITIVE, lambda x, l: (l @ np.swapaxes(l, -1, -2), x)),
    "inv": (SQUARE, lambda x, y: (x @ y, np.broadcast_to(np.eye(4), x.shape))),
    "det": (SQUARE, lambda x, y: (y, np.linalg.det(x))),
    "logdet": (POSITIVE, lambda x, y: (y, np.linalg.slogdet(x)[1])),
    "slogdet": (SQUARE, lambda x, s, l: (s * np.exp(l), np.linalg.det(x))),
    "qr": (TALL, lambda x, q, r: (q @ r, x)),
    "svd": (WIDE, lambda x, u, s, v: (u * s[:, None] @ v[:, :3], x)),
    "eigh": (POSITIVE, lambda x, w, v: (v * w[:, None] @ np.swapaxes(v, -1, -2), x)),
    "eig": (POSITIVE, lambda x, w, v: (x @ v, v * w[:, None])),
    "pinv": (TALL, lambda x, y: (y, np.linalg.pinv(x))),
    "matrix_rank": (np.stack([SINGULAR, np.eye(2)]), lambda x, y: (y, [1, 2])),
    "lu_factor": (SQUARE, lambda x, lu, p: (np.take_along_axis(
        (np.tril(lu, -1) + np.eye(4)) @ np.triu(lu), p[..., None], 1), x)),
}


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 2e-4)])
@pytest.mark.parametrize("name", DEFINITIONS)
def test_definition(name, dtype, tolerance):
    """The tolerance: some hundred units of rounding, times condition numbers of some ten."""
    x, check = DEFINITIONS[name]
    x = x.astype(dtype)
    results = getattr(ops, name)(x)
    results = results if isinstance(results, tuple) else (results,)
    expected = "complex64" if name == "eig" and dtype == "float32" else dtype
    assert all(y.dtype in (expected, "int32") for y in results)
    got, want = check(x, *(y.numpy() for y in results))
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * np.abs(want).max())


REFUSED = {
    "not positive": (lambda: ops.cholesky(-POSITIVE), ValueError, "cholesky.*positive definite"),
    "not square": (lambda: ops.inv(TALL), ValueError, r"inv.*square.*\(2, 5, 3\)"),
    "a vector": (lambda: ops.svd(np.ones(3)), ValueError, r"svd.*\(3,\)"),
    "singular inv": (lambda: ops.inv(SINGULAR), ValueError, "inv.*singular"),
    "singular solve": (lambda: ops.solve(SINGULAR, np.ones(2)), ValueError, "solve.*singular"),
    "rows": (lambda: ops.solve(SQUARE, np.ones((2, 3))), ValueError, r"solve.*\(2, 3\)"),
    "mode": (lambda: ops.qr(TALL, "full"), ValueError, "qr.*'full'"),
    "complex": (lambda: ops.eig(np.array([[0.0, 1], [-1, 0]])), ValueError,
                "eig.*complex128.*float32"),
    "lstsq": (lambda: ops.lstsq(TALL, TALL), ValueError, "lstsq"),
    "half": (lambda: ops.inv(SQUARE.astype("float16")), TypeError, "inv.*float16"),
    "complete": (lambda: _gradient(lambda x: ops.qr(x, "complete")[0], TALL), NotImplementedError,
                 "qr.*complete"),
    "full": (lambda: _gradient(lambda x: ops.svd(x)[0], TALL), NotImplementedError, "svd.*full"),
    "eig of complex": (lambda: ops.eig(np.ones((2, 3), "complex64")), ValueError,
                       r"eig.*square.*\(2, 3\)"),
}


def _gradient(function, x):
    x = Tensor(x)
    with nnc.GradientTape() as tape:
        tape.watch(x)
        y = ops.sum(function(x))
    return tape.gradient(y, x)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    call, error, text = REFUSED[name]
    with pytest.raises(error, match=text):
        call()


# ---- host nodes ----------------------------------------------------------------------------------

def program(function, *inputs):
    graph = Graph()
    with graph:
        symbols = [graph.input(x.shape, x.dtype.name) for x in inputs]
        outputs = function(*symbols)
    return Program(graph, outputs if isinstance(outputs, (list, tuple)) else [outputs])


def test_the_table_is_closed():
    with pytest.raises(RuntimeError, match="closed"):
        _core._host_register((len,), (None,))


def test_replays_in_threads(threads):
    """Many threads replay programs with host nodes, and call ops, side by side."""
    big = numbers(40, 40) + 20 * np.eye(40)
    replay = program(lambda x: ops.inv(x @ x) @ x, big)
    want, wrong = replay(big)[0].numpy(), []

    def work():
        for _ in range(5):
            for got in (replay(big)[0], ops.inv(Tensor(big) @ big) @ big):
                if got.numpy().tobytes() != want.tobytes():
                    wrong.append(got)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not any(worker.is_alive() for worker in workers) and not wrong


def test_a_fault_ends_the_replay_and_the_next_is_good():
    replay = program(lambda x: ops.cholesky(x), POSITIVE)
    for _ in range(2):
        with pytest.raises(ValueError, match="cholesky.*not positive definite"):
            replay(-POSITIVE)
        np.testing.assert_array_equal(replay(POSITIVE)[0].numpy(), ops.cholesky(POSITIVE).numpy())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_after_fork():
    replay = program(lambda x: ops.inv(x), SQUARE)
    want = replay(SQUARE)[0].numpy()
    child = os.fork()
    if child == 0:
        os._exit(0 if (replay(SQUARE)[0].numpy() == want).all() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_no_leak():
    """What comes from host nodes goes again."""
    def once():
        _gradient(ops.inv, SQUARE)
        program(ops.inv, SQUARE)(SQUARE)
        with pytest.raises(ValueError):
            ops.cholesky(-POSITIVE)
    once()
    before = _core.alloc_stats()["live_blocks"]
    for _ in range(5):
        once()
    assert _core.alloc_stats()["live_blocks"] == before
