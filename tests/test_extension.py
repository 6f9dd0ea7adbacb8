"""The extension nnc._core: what goes in and out, what is refused, and that nothing leaks on any path."""
import copy
import gc
import pickle
import signal
import sys
import threading
import time
import weakref

import numpy as np
import pytest

from nnc import _core
from nnc._core import Graph, Program, Tape, Tensor, TraceError, Variable, op

DTYPES = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32",
          "float64"]


def ramp(*shape, dtype="float32"):
    return np.arange(int(np.prod(shape)), dtype=dtype).reshape(shape)


def traced(function, *signature):
    """The program of function, and its outputs, for inputs of (shape, dtype)."""
    graph = Graph()
    with graph:
        outputs = function(*(graph.input(shape, dtype) for shape, dtype in signature))
    return Program(graph, outputs)


# ---- in and out --------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", DTYPES)
def test_array_round_trip(dtype):
    array = ramp(2, 3).astype(dtype)
    tensor = Tensor(array)
    assert (tensor.dtype, tensor.shape, tensor.ndim, tensor.size) == (dtype, (2, 3), 2, 6)
    assert tensor.numpy().dtype == array.dtype
    np.testing.assert_array_equal(tensor.numpy(), array)
    np.testing.assert_array_equal(np.from_dlpack(tensor), array)
    np.testing.assert_array_equal(np.asarray(memoryview(tensor)), array)


def test_bfloat16_round_trip():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    array = ramp(4).astype(bfloat16)
    tensor = Tensor(array)
    assert tensor.dtype == "bfloat16" and tensor.numpy().dtype == bfloat16
    assert np.asarray(tensor).dtype == bfloat16
    assert [float(x) for x in tensor] == [0, 1, 2, 3]
    with pytest.raises(BufferError, match="bfloat16"):
        memoryview(tensor)


LAYOUTS = {
    "contiguous": lambda a: a,
    "swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "fortran": np.asfortranarray,
    "reversed": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "strided": lambda a: np.repeat(a, 2, 1)[:, ::2],
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout):
    array = LAYOUTS[layout](ramp(3, 4))
    array.flags.writeable = False
    np.testing.assert_array_equal(Tensor(array).numpy(), np.array(array))
    np.testing.assert_array_equal(op.add(array, 1.0).numpy(), np.array(array) + 1)
    out = np.zeros((2, 4), "f4")
    program = traced(lambda x: [op.add(x, 1.0)], ((1, 4), "float32"))
    assert program.replay([array], None, 1, 2, [out]) == 2
    np.testing.assert_array_equal(out, np.array(array)[1:] + 1)
    assert program.replay([array], np.array([2, 0]), 0, 2, [out]) == 2
    np.testing.assert_array_equal(out, np.array(array)[[2, 0]] + 1)


def test_zero_dimensions_and_no_elements():
    assert Tensor(np.array(2.5)).shape == () and float(Tensor(np.array(2.5))) == 2.5
    for shape in [(0,), (3, 0), (0, 5)]:
        assert Tensor(np.ones(shape)).numpy().shape == shape
        assert op.add(np.ones(shape), 1.0).shape == shape
        assert memoryview(Tensor(np.ones(shape))).shape == shape


def test_given_arrays_are_shared_and_views_keep_the_memory():
    array = ramp(1000)
    assert not np.shares_memory(array, Tensor(array).numpy())
    tensor = _core.convert(array, given=True)
    assert _core.is_lent(tensor) and _core.is_lent(op.reshape(tensor, (10, 100)))
    assert not _core.is_lent(op.copy(tensor)) and not _core.is_lent(array)
    view = tensor.numpy()
    assert np.shares_memory(array, view) and not view.flags.writeable
    buffer = memoryview(tensor)
    capsule = tensor.__dlpack__()
    dead = weakref.ref(array)
    del array, tensor
    np.testing.assert_array_equal(view, ramp(1000))
    del view
    assert bytes(buffer[:2]) == ramp(2).tobytes() and dead() is not None
    del buffer
    assert dead() is not None
    del capsule
    gc.collect()
    assert dead() is None


def test_results_never_share_with_arrays_or_variables():
    array = ramp(300, 2)
    variable = Variable(array)
    kept = [op.reshape(array, (600,)), op.reshape(variable, (600,)), op.stop_gradient(variable), variable.value,
            variable[...], _core.convert(variable), +variable]
    program = traced(lambda x: [op.add(x, array)], ((300, 2), "float32"))
    array[:] = -1
    variable.assign(np.full((300, 2), -2.0))
    for tensor in kept:
        np.testing.assert_array_equal(tensor.numpy().ravel(), ramp(600))
    np.testing.assert_array_equal(program(np.zeros((300, 2)))[0].numpy(), ramp(300, 2))


def test_python_numbers():
    assert [Tensor(x).dtype for x in (1, 1.0, True, [1, 2], [1.0], [True], [], (1, 2.5))] == \
        ["int32", "float32", "bool", "int32", "float32", "bool", "float32", "float32"]
    assert Tensor([2**40]).dtype == Tensor(2**40).dtype == "int64"
    assert Tensor([np.float64(1)]).dtype == Tensor(np.float64(1)).dtype == "float64"
    assert Tensor([Tensor([1.0]), Tensor([2.0])]).shape == (2, 1)
    assert Tensor([1.7, -1.7], "int8").numpy().tolist() == [1, -1]
    with pytest.raises(OverflowError, match="300.*uint8"):
        Tensor(np.uint8([1])) + 300


def test_weak_numbers_and_promotion():
    f64, f32, i64, i32, u8, boolean = (Tensor(np.ones(2, d)) for d in ("f8", "f4", "i8", "i4", "u1", "?"))
    table = [(f64, 1.0, "float64"), (f32, 1.0, "float32"), (f32, 1, "float32"), (i32, 1.0, "float32"),
             (i64, 1, "int64"), (u8, 1, "uint8"), (u8, True, "uint8"), (boolean, 1, "int32"), (i64, f32, "float32"),
             (i32, i64, "int64"), (u8, i32, "int32"), (boolean, f64, "float64"), (f32, f64, "float64"),
             (f32, np.ones(2), "float64"), (1, 2.0, "float32"), (1, 2, "int32")]
    for a, b, dtype in table:
        assert op.add(a, b).dtype == op.add(b, a).dtype == _core.result_dtype(a, b) == dtype, (a, b)
    assert op.where(i32, 1, f64).dtype == "float64"
    assert op.concatenate(i32, f32, 0).dtype == "float32"
    assert (i32 / 2).dtype == (i32 / i64).dtype == "float32" and (i32 / f64).dtype == "float64"
    assert op.equal(i32, 1.5).dtype == "bool"


def test_foreign_arrays():
    torch = pytest.importorskip("torch")
    tensor = Tensor(torch.arange(3.0))
    assert tensor.dtype == "float32" and tensor.numpy().tolist() == [0, 1, 2]
    assert torch.from_dlpack(tensor).tolist() == [0, 1, 2]


def test_dlpack_arguments():
    tensor = Tensor(ramp(3))
    assert tensor.__dlpack_device__() == (1, 0)

    class Copied:           # NumPy 1.26 has no np.from_dlpack(..., copy=True)
        __dlpack_device__ = tensor.__dlpack_device__

        def __dlpack__(self, **options):
            return tensor.__dlpack__(**{**options, "copy": True})
    copied = np.from_dlpack(Copied())
    assert not np.shares_memory(copied, tensor.numpy())
    assert "dltensor_versioned" in repr(tensor.__dlpack__(max_version=(1, 0)))
    with pytest.raises(BufferError, match="main memory"):
        tensor.__dlpack__(stream=1)
    with pytest.raises(BufferError, match="main memory"):
        tensor.__dlpack__(dl_device=(2, 0))


def test_array_protocol():
    tensor = Tensor(ramp(3))
    assert np.array(tensor).flags.writeable and np.asarray(tensor, "f8").dtype == "f8"
    assert tensor.__array__(copy=True).flags.writeable
    with pytest.raises(ValueError, match="copy"):
        tensor.__array__("f8", copy=False)
    assert type(np.add(ramp(3), tensor)) is np.ndarray
    assert type(ramp(3) + tensor) is Tensor and type(tensor + ramp(3)) is Tensor
    assert type(ramp(3) + Variable(ramp(3))) is Tensor


# ---- what tensors can do -----------------------------------------------------------------------------

def test_operators():
    a, b = np.float32([1.5, -2, 3]), np.float32([2, 3, 4])
    x, y = Tensor(a), Variable(b)
    pairs = [(x + y, a + b), (x - 1, a - 1), (1 - x, 1 - a), (x * y, a * b), (x / y, a / b), (x // y, a // b),
             (x % y, a % b), (y ** 2, b ** 2), (2 ** y, 2 ** b), (-x, -a), (+x, a), (abs(x), abs(a)), (x @ y, a @ b),
             (x < y, a < b), (x <= 1.5, a <= 1.5), (x == a, a == a), (x != y, a != b), (x > y, a > b), (x >= y, a >= b),
             (~(x > 0), ~(a > 0)), ((x > 0) & True, a > 0), ((x > 0) | (y > 3), (a > 0) | (b > 3)),
             (round(x), np.round(a)), (round(y / 7, 2), np.round(b / 7, 2)), (round(x * 9, -1), np.round(a * 9, -1)),
             *zip(divmod(x, y), divmod(a, b)), *zip(divmod(7.5, y), divmod(np.float32(7.5), b)),
             ((x > 0) ^ (y > 3), (a > 0) ^ (b > 3)), ([1, 2, 3] - x, np.float32([1, 2, 3]) - a)]
    for got, want in pairs:
        assert type(got) is Tensor and got.dtype == want.dtype.name
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)     # pow is within 2 ulp of NumPy's
    matrix = ramp(3, 2)
    np.testing.assert_array_equal((x @ matrix).numpy(), a @ matrix)
    np.testing.assert_array_equal((Tensor(matrix).T @ x).numpy(), matrix.T @ a)
    assert (x == None) is False and (x != "a") is True               # noqa: E711
    for bad in (lambda: x + "a", lambda: x + None, lambda: x + object(), lambda: x & 1, lambda: ~x, lambda: x << 1, lambda: 1 >> x,
                lambda: divmod(x, "a"), lambda: round(x, 1.5), lambda: round(x > 0),
                lambda: x ^ True):
        with pytest.raises(TypeError):
            bad()
    with pytest.raises(ValueError, match=r"\(3,\).*\(2,\)"):
        x + Tensor([1.0, 2.0])


def test_reflected_operators_of_other_classes_are_tried():
    class Other:
        def __radd__(self, other):
            return "other"
    assert Tensor(1.0) + Other() == "other"


KEYS = [0, -1, (1, 2), np.s_[:, 1], np.s_[..., 0], np.s_[::-1], np.s_[:, ::-2, 1:3], np.s_[None, :, None], np.s_[1:1],
        np.s_[...], (), np.s_[..., None], [1, 0], np.s_[:, [0, -1]], np.s_[[1, 0], [2, 1]], np.s_[:, [0, 1], [1, 2]],
        np.s_[0, [1, 2]], np.s_[[[0, 1], [1, 0]]], np.s_[:, np.array([[0, 1], [2, 0]])], np.s_[[]],
        np.array([True, False]), np.s_[:, np.array([True, False, True])], ramp(2, 3, 4) > 5, np.int64(1),
        np.s_[None, 0, ..., -1], np.s_[-5:10, 2:0:-1], np.s_[[0, 1], None], np.s_[0, :, [1]],
        np.s_[[0, 1], :, [2, 3]], np.s_[[[0], [1]], ::-1, [2, 3]], np.s_[[1, 0], None, [2, 1], ..., None],
        np.s_[np.array([True, False]), :, [0, 1]]]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing_like_numpy(key):
    array = ramp(2, 3, 4)
    for x in (Tensor(array), Variable(array)):
        got = x[key]
        assert got.shape == array[key].shape
        np.testing.assert_array_equal(got.numpy(), array[key])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint16"])
def test_bits_by_operators(dtype):
    a, b = np.arange(12).astype(dtype), (np.arange(12) * 7).astype(dtype)
    x, y = Tensor(a), Variable(b)
    for got, want in ((x & y, a & b), (x | y, a | b), (x ^ y, a ^ b), (~x, ~a), (x & 5, a & 5),
                      (3 | x, 3 | a), (y ^ 1, b ^ 1), (x & Tensor(True), a & True), (x << 2, a << 2),
                      (y >> 1, b >> 1), (3 << Tensor(a[:3]), 3 << a[:3]), (100 >> x[:6], 100 >> a[:6]),
                      (round(x), a), (round(y, 1), b), (round(y, -1), np.round(b.astype("f8"), -1).astype(dtype)),
                      *zip(divmod(y, 3), divmod(b, 3)), *zip(divmod(9, x + 1), divmod(9, a + 1))):
        assert got.dtype == want.dtype.name
        np.testing.assert_array_equal(got.numpy(), want)
    program = traced(lambda t: [t & 6, ~t], ((12,), dtype))
    np.testing.assert_array_equal(program(a)[0].numpy(), a & 6)
    np.testing.assert_array_equal(program(a)[1].numpy(), ~a)


def test_indexing_by_tensors_and_in_a_trace():
    array = ramp(3, 4)
    index = Tensor([2, -1])
    np.testing.assert_array_equal(Tensor(array)[index].numpy(), array[[2, -1]])
    np.testing.assert_array_equal(Tensor(array)[Tensor(1)].numpy(), array[1])
    np.testing.assert_array_equal(Tensor(array)[Tensor(array) > 5].numpy(), array[array > 5])
    program = traced(lambda x, i: [x[1:, ::-1], x[i], x[0, i], x[i, i]], ((3, 4), "float32"), ((2,), "int32"))
    got = program(array, [2, -1])
    for y, want in zip(got, (array[1:, ::-1], array[[2, -1]], array[0, [2, -1]], array[[2, -1], [2, -1]])):
        np.testing.assert_array_equal(y.numpy(), want)


@pytest.mark.parametrize("key, error, text", [
    (2, IndexError, "axis 0 of size 2"), ((0, 0, 0, 0), IndexError, "too many"),
    (np.s_[..., ...], IndexError, "ellipsis"), ([5], IndexError, "index 5"), (1.5, IndexError, "integers"),
    ("a", TypeError, "str"), (True, IndexError, "boolean"), (np.s_[::0], ValueError, "zero"),
    (np.array([True] * 3), IndexError, "axis 0 has size 2. Received: a mask of size 3"),
    (np.array([False] * 3), IndexError, "mask of size 3"), (np.array([True]), IndexError, "mask of size 1"),
    (np.zeros(0, "bool"), IndexError, "mask of size 0"),
    (np.s_[:, np.ones((3, 2), "bool")], IndexError, "axis 2 has size 4")], ids=str)
def test_bad_indices(key, error, text):
    tensor = Tensor(ramp(2, 3, 4))
    with pytest.raises(error, match=text):
        tensor[key]


def test_scalars_sequences_and_text():
    assert bool(Tensor(0.5)) and int(Tensor([3.7])) == 3 and float(Tensor(2)) == 2 and Tensor([[7]]).item() == 7
    assert [10, 20, 30][Tensor(1)] == 20 and len(Tensor([1, 2])) == 2 and [int(x) for x in Tensor([1, 2])] == [1, 2]
    assert f"{Tensor(3.14159):.2f}" == "3.14" and f"{Tensor([1])}".startswith("<nnc.Tensor")
    assert repr(Tensor([1.0, 2.0])) == "<nnc.Tensor: shape=(2,), dtype=float32, value=[1. 2.]>"
    assert Tensor(np.uint64([2**64 - 1])).item() == 2**64 - 1
    for bad in (lambda: bool(Tensor([1, 2])), lambda: float(Tensor([]))):
        with pytest.raises(ValueError, match="one element"):
            bad()
    for bad in (lambda: len(Tensor(1)), lambda: iter(Tensor(1)), lambda: [1][Tensor(0.0)], lambda: [1][Tensor([0])]):
        with pytest.raises(TypeError):
            bad()


def test_attributes_weak_references_copies_and_pickles():
    x, v = Tensor(ramp(3)), Variable(ramp(3))
    x.note = v.note = "kept"
    assert x.note == x.__dict__["note"] == "kept" and weakref.ref(x)() is x and weakref.ref(v)() is v
    with pytest.raises(AttributeError):
        x.shape = (1,)
    assert copy.copy(x) is x and copy.deepcopy(x) is x
    assert pickle.loads(pickle.dumps(x)).numpy().tolist() == [0, 1, 2]
    v.trainable = False
    for twin in (pickle.loads(pickle.dumps(v)), copy.deepcopy(v)):
        assert twin.note == "kept" and not twin.trainable
        twin.assign_add([1, 1, 1])
        assert twin.numpy().tolist() == [1, 2, 3] and v.numpy().tolist() == [0, 1, 2]
    assert hash(x) == hash(x) and x in {x: 1}


def test_tensors_in_cycles_are_collected():
    x, v = Tensor(1.0), Variable(1.0)
    x.loop, v.loop = [x], [v]
    dead = [weakref.ref(x), weakref.ref(v)]
    del x, v
    gc.collect()
    assert [d() for d in dead] == [None, None]


# ---- variables ---------------------------------------------------------------------------------------

def test_variable_assignment():
    v = Variable([1.0, 2.0])
    before = v.value
    v.assign([3, 4])
    v.assign_add(np.float64([1, 1]))
    v.assign_sub(Tensor([0.5, 0.5]))
    assert v.numpy().tolist() == [3.5, 4.5] and before.numpy().tolist() == [1, 2]
    v.assign(v)
    with pytest.raises(ValueError, match=r"value.shape=\(\).*variable.shape=\(2,\)"):
        v.assign(1.0)
    with pytest.raises(TypeError, match="must be a Variable"):
        op.assign(Tensor([1.0, 2.0]), [1.0, 2.0])
    assert v.numpy().tolist() == [3.5, 4.5]


def test_variable_owns_its_values():
    array, tensor = ramp(300), Tensor(ramp(300))
    for value in (array, tensor):
        v = Variable(value)
        v.assign_add(np.ones(300))
        np.testing.assert_array_equal(np.asarray(value), ramp(300))


def test_variable_subclasses():
    class Named(Variable):
        def __init__(self, value, *, name):
            super().__init__(value)
            self.name = name

    class Lazy(Variable):
        def __init__(self):
            pass

    v = Named([1.0], name="w")
    assert (v + 1).numpy().tolist() == [2.0] and (1 + v).numpy().tolist() == [2.0] and v.trainable
    assert copy.deepcopy(v).name == "w"
    for use in (lambda x: x.shape, lambda x: x + 1, lambda x: x.numpy(), lambda x: x.assign(1.0), lambda x: x[0], len,
                float, Tensor, lambda x: Tape().watch(x), lambda x: pickle.dumps(x)):
        with pytest.raises(ValueError, match="no value yet"):
            use(Lazy())
    assert "without a value" in repr(Lazy())


# ---- traces and programs -----------------------------------------------------------------------------

def test_symbolic_tensors_have_no_numbers():
    graph = Graph()
    x = graph.input((2, 1), "float32")
    assert x.symbolic and x.shape == (2, 1) and repr(x) == "<nnc.Tensor: shape=(2, 1), dtype=float32, symbolic>"
    asks = [bool, float, int, np.asarray, np.array, Tensor.numpy, Tensor.item, pickle.dumps, lambda t: t.__dlpack__(),
            lambda t: [1][t], lambda t: Tensor([t, t]), lambda t: Tensor(np.ones(2))[t > 0], Tape().watch]
    with graph:
        for ask in asks:
            with pytest.raises((TraceError, TypeError)):
                ask(graph.input((), "int32") if ask is asks[9] else x)
        with pytest.raises(TraceError):
            float(Variable(1.0) + 0)
        with pytest.raises(TraceError):
            float(Variable(1.0))
        with pytest.raises(TraceError):
            Variable(x)
    with pytest.raises(BufferError):
        memoryview(x)


def test_trace_contexts():
    graph, other, v = Graph(), Graph(), Variable(1.0)
    x = graph.input((), "float32")
    assert _core.current_graph() is None
    with pytest.raises(TraceError, match="input 0 is symbolic"):
        op.add(x, 1)
    with graph:
        assert _core.current_graph() is graph and (v + 1).symbolic and not (Tensor(1.0) + 1).symbolic
        with _core.no_trace():
            assert _core.current_graph() is None and not (v + 1).symbolic
            with graph:
                assert (v + x).symbolic
        with other, pytest.raises(ValueError, match="another trace"):
            op.add(x, 1)
        seen = []
        thread = threading.Thread(target=lambda: seen.append(_core.current_graph()))
        thread.start()
        thread.join()
        assert seen == [None]
    assert _core.current_graph() is None
    with pytest.raises(RuntimeError):
        graph.__exit__(None, None, None)
    with pytest.raises(ValueError, match="another trace"):
        Program(other, [x])


def test_a_graph_tells_what_it_holds():
    v, graph = Variable(np.ones((3, 2), "f4")), Graph()
    with graph:
        x = graph.input((4, 3), "float32")
        y = op.dense(x, v, np.zeros(2, "f4"), "gelu")
        z = op.sum(op.reshape(y, (2, 4)), (1,), 1)
    assert graph.node_count == 3 and graph.find(Variable(1.0)) == -1
    values, (dense, reshape, total) = graph.values(), graph.nodes()
    assert dense[0] == "dense" and dense[3] == {"activation": "gelu", "alpha": 0.0}
    assert dense[1][:2] == (graph.find(x), graph.find(v)) and dense[2] == (graph.find(y),)
    assert reshape[0] == "reshape" and reshape[3] == {"shape": (2, 4)}
    assert total[2] == (graph.find(z),) and total[3] == {"axes": (1,), "keepdims": 1}
    assert values[graph.find(x)] == ("input", (4, 3), "float32")
    assert values[graph.find(v)][0] == "variable" and values[dense[1][2]][0] == "constant"
    assert values[graph.find(z)] == ("computed", (2, 1), "float32")
    held = graph.held(graph.find(v))
    v.assign(np.zeros((3, 2)))
    assert held.numpy().tolist() == [[1, 1]] * 3
    with pytest.raises(ValueError, match="no constant"):
        graph.held(graph.find(x))
    assert _core.op_formulas["square"] == "v_sq(x)"
    assert _core.op_formulas["less"] == "v_lt(a, b)"


def test_program_trains_a_variable():
    data, target = ramp(8, 3) / 10, ramp(8, 1)
    w = Variable(np.ones((3, 1), "f4"))
    graph = Graph()
    with graph:
        x, y = graph.input((2, 3), "float32"), graph.input((2, 1), "float32")
        loss = op.mean(op.square(x @ w - y), (0, 1), 0)
        (dw,) = graph.gradients([loss], [w])
        w.assign_sub(0.1 * dw)
    program = Program(graph, [loss])
    assert program.input_signature == [((2, 3), "float32"), ((2, 1), "float32")]
    assert program.output_signature == [((), "float32")]
    order, losses = np.array([7, 0, 3, 2, 1, 5, 6, 4]), np.zeros(4, "f4")
    assert program.replay([data.astype("f8"), target], order, 0, 4, [losses]) == 4
    want, expected = np.ones((3, 1)), []
    for rows in order.reshape(4, 2):
        error = data[rows] @ want - target[rows]
        expected.append((error ** 2).mean())
        want = want - 0.1 * data[rows].T @ error
    np.testing.assert_allclose(losses, expected, rtol=1e-5)      # float32 sums against float64
    np.testing.assert_allclose(w.numpy(), want, rtol=1e-5)
    assert "matmul" in program.text() and program.stats()["nodes_kept"] > 0
    del w, graph
    assert program.replay([data, target], None, 0, 4) == 4


def test_program_scalars_and_constants():
    table = Tensor(ramp(4))
    program = traced(lambda x, s: [x * s + table, s, table], ((2, 4), "float32"), ((), "float32"))
    out = np.zeros((4, 4), "f4")
    assert program.replay([ramp(4, 4), np.float64(2)], None, 0, 2, [out, None, None]) == 2
    np.testing.assert_array_equal(out, ramp(4, 4) * 2 + ramp(4))
    y, s, same = program(ramp(2, 4), 3)
    assert float(s) == 3 and same.numpy().tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(y.numpy(), ramp(2, 4) * 3 + ramp(4))


def replay_case(**changes):
    program = traced(lambda x: [op.add(x, 1.0)], ((2, 3), "float32"))
    arguments = {"sources": [ramp(6, 3)], "order": None, "first": 0, "steps": 3, "targets": None}
    return lambda: program.replay(**{**arguments, **changes})


@pytest.mark.parametrize("changes, error, text", [
    ({"sources": []}, ValueError, "expected 1 sources"),
    ({"sources": [ramp(6, 4)]}, ValueError, r"\(2, 3\).*\(6, 4\)"),
    ({"sources": [ramp(6)]}, ValueError, "rows like"),
    ({"sources": [np.array([["a"] * 3] * 6)]}, TypeError, "source 0.*str"),
    ({"sources": [np.ones((6, 3), complex)]}, TypeError, "complex"),
    ({"sources": [np.ones((6, 3), "complex64")]}, TypeError, "complex64 cannot be fed .*float32"),
    ({"steps": 4}, ValueError, "rows 0 to 8.*6 rows"),
    ({"first": 1}, ValueError, "rows 1 to 7"),
    ({"first": -1}, ValueError, "first=-1"),
    ({"steps": -1}, ValueError, "steps=-1"),
    ({"steps": 2**62}, ValueError, "size that can be held"),
    ({"order": [0, 1]}, TypeError, "int64"),
    ({"order": np.arange(6, dtype="i4")}, TypeError, "int64"),
    ({"order": np.arange(12)[::2]}, TypeError, "contiguous"),
    ({"order": np.arange(5)}, ValueError, "reach to 6"),
    ({"order": np.arange(6) + 1}, IndexError, "row 6"),
    ({"order": np.arange(6) - 1}, IndexError, "row -1"),
    ({"targets": []}, ValueError, "expected 1 targets"),
    ({"targets": [np.zeros((5, 3), "f4")]}, ValueError, "target 0"),
    ({"targets": [np.zeros((6, 3))]}, ValueError, "float64"),
    ({"targets": [np.zeros((6, 6), "f4")[:, ::2]]}, TypeError, "contiguous"),
    ({"targets": [[0.0]]}, TypeError, "writable"),
])
def test_replay_refuses(changes, error, text):
    call = replay_case(**changes)
    with pytest.raises(error, match=text):
        call()
    assert replay_case()() == 3


def test_labels_out_of_range_are_index_and_value_errors():
    program = traced(lambda x, y: list(op.sparse_softmax_crossentropy(x, y)), ((2, 3), "float32"), ((2,), "int32"))
    for error in (IndexError, ValueError):
        with pytest.raises(error, match="7"):
            program(ramp(2, 3), [0, 7])


def slow_program(n=1200):
    def chain(x):
        for _ in range(4):
            x = op.matmul(x, x) * 1e-4
        return [x]
    return traced(chain, ((n, n), "float32"))


class Alarm(Exception):
    pass


def test_signals_interrupt_a_replay_and_leave_variables_whole():
    n = 1200
    v, graph = Variable(np.zeros(())), Graph()
    with graph:
        x = graph.input((n, n), "float32")
        y = x
        for _ in range(4):
            y = op.matmul(y, x)
        v.assign_add(op.sum(y * 0, (0, 1), 0) + 1)
    program = Program(graph, [])

    def ring(*_):
        raise Alarm
    old = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.15)
        start = time.perf_counter()
        with pytest.raises(Alarm):
            for _ in range(10**6):
                program(np.zeros((n, n), "f4"))
        assert time.perf_counter() - start < 2.0        # 0.1 s in peace; others may have the processor
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert float(v) == int(float(v))
    before = float(v)
    program(np.zeros((n, n), "f4"))
    assert float(v) == before + 1


def test_a_handler_may_use_the_core_during_a_replay():
    """It rings until three rings found the replay running; one at a time, so that on a busy machine
    none comes within another, and one that comes before the replay has begun is not counted."""
    program, seen = slow_program(), []
    small, large = np.ones((300, 300), "f4"), np.zeros((1200, 1200), "f4")
    order = np.tile(np.arange(1200), 5000)

    def ring(*_):
        try:
            program(large)
        except RuntimeError as error:
            assert "running in this thread" in str(error)
            seen.append(float(op.sum(op.matmul(small, small), (), 0)))
        if len(seen) == 3:
            raise Alarm
        signal.setitimer(signal.ITIMER_REAL, 0.05)
    old = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Alarm):      # one long replay: each ring comes in the midst of it
            program.replay([large], order, 0, 5000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert seen == [300.0 ** 3] * 3


def test_seconds_end_a_replay_early():
    program = traced(lambda x: [op.matmul(x, x)], ((400, 400), "float32"))
    source = np.zeros((400, 400), "f4")
    order = np.tile(np.arange(400), 20000)
    done = program.replay([source], order, 0, 20000, None, 0.05)
    assert 0 < done < 20000


def test_other_threads_run_during_a_replay():
    program, counts = slow_program(), [0]
    stop = threading.Event()

    def count():
        while not stop.is_set():
            counts[0] += 1
            time.sleep(0.001)
    thread = threading.Thread(target=count)
    thread.start()
    while counts[0] == 0:
        time.sleep(0.001)
    before = counts[0]
    program(np.zeros((1200, 1200), "f4"))
    after = counts[0]
    stop.set()
    thread.join()
    assert after > before


# ---- tapes -------------------------------------------------------------------------------------------

def test_tape():
    x, v, frozen = Tensor([1.0, 2.0]), Variable([3.0, 4.0]), Variable([5.0, 6.0])
    frozen.trainable = False
    tape = Tape()
    tape.push()
    tape.watch(x)
    y = op.sum(x * v * frozen, (0,), 0)
    v.assign([0.0, 0.0])
    tape.pop()
    dx, dv, df, none = tape.gradients([y], [x, v, frozen, Tensor(1.0)])
    assert dx.numpy().tolist() == [15, 24] and dv.numpy().tolist() == [5, 12]
    assert none is None and not (df is not None and np.any(df.numpy() != [3, 8]))
    seeded, = tape.gradients([y], [x], [Tensor(2.0)])
    assert seeded.numpy().tolist() == [30, 48]
    tape.clear()
    assert tape.gradients([y], [x]) == [None]


def test_tape_without_automatic_watching_and_nested_tapes():
    v = Variable(3.0)
    outer, inner, blind = Tape(), Tape(), Tape()
    blind.watch_variables = False
    for t in (outer, inner, blind):
        t.push()
    y = v * v * v
    inner.pop()
    dy, = inner.gradients([y], [v])
    outer.pop()
    blind.pop()
    assert float(dy) == 27 and float(outer.gradients([dy], [v])[0]) == 18 and blind.gradients([y], [v]) == [None]


def test_tape_misuse():
    tape = Tape()
    with pytest.raises(RuntimeError, match="not recording"):
        tape.pop()
    tape.push()
    with pytest.raises(RuntimeError, match="already"):
        tape.push()
    tape.pop()
    with pytest.raises(TypeError, match="int32"):
        tape.watch(Tensor(1))
    with pytest.raises(TypeError, match="Received"):
        tape.watch(1.0)
    x = Tensor([1.0, 2.0])
    tape.watch(x)
    tape.push()
    y = x * 2
    tape.pop()
    with pytest.raises(ValueError, match="one seed a target"):
        tape.gradients([y], [x], [])
    with pytest.raises(ValueError, match="like its target"):
        tape.gradients([y], [x], [Tensor(1.0)])


# ---- refusals ----------------------------------------------------------------------------------------

BAD_CALLS = [
    (lambda: op.add(Tensor(1.0)), TypeError, r"add\(input0, input1\)"),
    (lambda: op.add(1.0, 2.0, 3.0), TypeError, "3 arguments"),
    (lambda: op.add(Tensor(1.0), "a"), TypeError, "add: input 1.*str"),
    (lambda: op.add(np.array([object()]), 1.0), TypeError, "add: input 0.*object"),
    (lambda: op.add(np.ones(2, "S3"), 1.0), TypeError, "add: input 0.*str"),
    (lambda: op.add(np.array(["2020"], "M8[Y]"), 1.0), TypeError, "add: input 0.*datetime64"),
    (lambda: op.add(np.ones(2, "longdouble"), 1.0), TypeError, "add: input 0"),
    (lambda: op.add(None, 1.0), TypeError, "object"),
    (lambda: op.add([[1.0], [1.0, 2.0]], 1.0), ValueError, "inhomogeneous"),
    (lambda: op.sum(Tensor([1.0]), (None,), 0), TypeError, "sum: axes"),
    (lambda: op.sum(Tensor([1.0]), tuple(range(30)), 0), ValueError, "at most 24"),
    (lambda: op.sum(Tensor([1.0]), 0, 0), TypeError, "sum: axes=0"),
    (lambda: op.cast(Tensor(1.0), "foo"), ValueError, "cast: dtype='foo'"),
    (lambda: op.cast(Tensor(1.0)), TypeError, r"cast\(input0, dtype\)"),
    (lambda: op.leaky_relu(Tensor(1.0), "a"), TypeError, "leaky_relu: alpha='a'"),
    (lambda: op.dense(np.ones((1, 2)), np.ones((2, 2)), np.ones(2), "foo"), ValueError, "unknown activation 'foo'"),
    (lambda: op.concatenate(0), TypeError, r"concatenate\(\*inputs, axis\)"),
    (lambda: Tensor(), TypeError, "value"),
    (lambda: Tensor(np.ones((1,) * 9)), ValueError, "at most 8"),
    (lambda: Tensor(1.0, "complex128"), ValueError, "complex128"),
    (lambda: Tensor("abc"), TypeError, "str"),
    (lambda: Variable(None), TypeError, "object"),
    (lambda: Graph().input((-1,), "float32"), ValueError, ">= 0"),
    (lambda: Graph().input((1,) * 9, "float32"), ValueError, "at most 8"),
    (lambda: Graph().input((2**40, 2**40), "float32"), MemoryError, None),
    (lambda: Graph().find(1), TypeError, "expected a Tensor or a Variable"),
    (lambda: Graph().held(0), ValueError, "value 0 is no constant"),
    (lambda: op.fill((2**40, 2**40), 0.0, "float32"), MemoryError, None),
    (lambda: op.take(Tensor([1.0]), [1], 0), IndexError, "index 1"),
    (lambda: Program(None, []), TypeError, None),
    (lambda: Program(Graph(), [1.0]), TypeError, "outputs must be Tensors"),
    (lambda: _core.set_num_threads(0), ValueError, "1 to 256"),
    (lambda: _core.set_num_threads(2**40), ValueError, "1 to 256"),
    (lambda: _core.set_isa("mmx"), ValueError, "mmx"),
    (lambda: _core.pass_enable("foo", True), ValueError, "foo"),
    (lambda: _core.alloc_fail_at(-1), ValueError, "-1"),
    (lambda: _core.permutation(-1, 0, 0, 0), ValueError, "-1"),
    (lambda: _core.check_labels(["a"], 3), TypeError, "str"),
    (lambda: _core.first_nonfinite(["a"]), TypeError, "str"),
]


@pytest.mark.parametrize("number", range(len(BAD_CALLS)))
def test_refused(number):
    call, error, text = BAD_CALLS[number]
    with pytest.raises(error, match=text):
        call()


def test_every_op_refuses_nothing_at_all():
    for name, (inputs, outputs, attrs) in _core.op_table.items():
        function = getattr(op, name)
        assert function.__name__ == name and function.__doc__.startswith(name + "(")
        with pytest.raises(TypeError):
            function(*[Tensor(1.0)] * 40)
        if inputs != 0:
            with pytest.raises(TypeError):
                function()
    assert _core.op_names == tuple(_core.op_table)


# ---- checks on data ----------------------------------------------------------------------------------

def test_check_labels():
    assert _core.check_labels(np.arange(3), 3) is None and _core.check_labels([], 3) is None
    assert _core.check_labels(np.int64([0, 1, 7, 9]), 3) == (2, 7)
    assert _core.check_labels(np.uint8([[0], [3]]), 3) == (1, 3)
    assert _core.check_labels(np.float32([0, 2, -1]), 3) == (2, -1)
    assert _core.check_labels([0.0, 0.5], 3) == (1, 0.5)
    assert np.isnan(_core.check_labels([0.0, np.nan], 3)[1])
    assert _core.check_labels(np.r_[np.zeros(2000), 3], 3) == (2000, 3)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_first_nonfinite(dtype):
    rows = np.zeros((700, 3), dtype)
    assert _core.first_nonfinite(rows) is None and _core.first_nonfinite(rows.astype("i4")) is None
    rows[650, 1], rows[690, 0] = np.inf, np.nan
    assert _core.first_nonfinite(rows) == (650, 1) and _core.first_nonfinite(rows[651:]) == (39, 0)
    assert _core.first_nonfinite(rows[:, ::2]) == (690, 0)


def test_permutation():
    order = _core.permutation(1000, 1, 2, 3)
    assert order.dtype == np.int64 and sorted(order) == list(range(1000))
    np.testing.assert_array_equal(order, _core.permutation(1000, 1, 2, 3))
    assert any((order != _core.permutation(1000, *key)).any() for key in [(2, 2, 3), (1, 3, 3), (1, 2, 4)])


def test_settings():
    threads, level = _core.get_num_threads(), _core.isa()
    assert level in _core.isa_available() and _core.isa_available()[0] == "portable" and _core.num_threads_reason()
    try:
        for name in _core.isa_available():
            _core.set_isa(name)
            assert _core.isa() == name
        _core.set_num_threads(3)
        assert _core.get_num_threads() == 3
    finally:
        _core.set_isa(level)
        _core.set_num_threads(threads)
