"""Loose tensors: where float32 computes what is of bfloat16, layers that run op by op keep float32
between their ops, as recorded programs do. Who looks at a tensor sees its dtype's numbers; what a
user casts is rounded; gradients go the same way."""
import pickle

import ml_dtypes
import numpy as np
import pytest

import nnc
from nnc import _core, ops
from nnc._core import Graph, Program, Tensor, Variable, op
from test_memory import allocations, failing, live
from test_widen import TILED

layers = nnc.layers
BF16 = np.dtype(ml_dtypes.bfloat16)
THIRDS = np.arange(1, 13, dtype="float32").reshape(3, 4) / 3
ROUNDED = THIRDS.astype(BF16)


@pytest.fixture(autouse=True)
def loosens(isa):
    """Where there are products of bfloat16, nothing is loose."""
    if isa in TILED:
        pytest.skip("bfloat16 has products of its own at this level")
    yield
    _core.alloc_fail_at(0)


@pytest.fixture
def x():
    return op.cast(Tensor(THIRDS), "bfloat16")


def wide(x):
    """What a tensor holds."""
    return op.cast(x, "float32").numpy()


# ---- what is seen of one ----

#: How it is looked at: what is got, what a tensor of the rounded numbers gives.
LOOKS = {
    "dtype": lambda x: x.dtype,
    "shape": lambda x: (x.shape, x.ndim, x.size),
    "numpy": lambda x: (x.numpy().tobytes(), x.numpy().dtype),
    "array": lambda x: np.asarray(x).tobytes(),
    "as float64": lambda x: np.asarray(x, "float64").tobytes(),
    "repr": repr,
    "item": lambda x: x[0, 0].item(),
    "float": lambda x: float(x[1, 2]),
    "format": lambda x: f"{x[2, 3]:.9f}",
    "round": lambda x: round(x[0, 1]).numpy().tobytes(),
    "dlpack": lambda x: nnc.ops.convert_to_tensor(x).__dlpack_device__(),
    "pickle": lambda x: pickle.loads(pickle.dumps(x)).numpy().tobytes(),
    "copied": lambda x: Tensor(x).numpy().tobytes(),
    "variable": lambda x: Variable(x).numpy().tobytes(),
    "in float32": lambda x: Variable(ops.cast(ops.cast(x, "float64"), "float32")).dtype,
    "fed": lambda x: fed(x).numpy().tobytes(),
    "recorded": lambda x: recorded(x).numpy().tobytes(),
}


def fed(x):
    graph = Graph()
    with graph:
        y = op.negative(graph.input((3, 4), "bfloat16"))
    return Program(graph, [y])(x)[0]


def recorded(x):
    graph = Graph()
    with graph:
        y = op.add(graph.input((4,), "bfloat16"), x)
    return Program(graph, [y])(np.zeros(4, BF16))[0]


@pytest.mark.parametrize("look", LOOKS)
def test_its_numbers_are_those_of_its_dtype(x, look):
    assert LOOKS[look](x) == LOOKS[look](Tensor(ROUNDED))


def test_it_has_no_buffer_as_bfloat16_has_none(x):
    with pytest.raises(BufferError, match="bfloat16 has no buffer format"):
        memoryview(x)


def test_torch_takes_it(x):
    torch = pytest.importorskip("torch")
    got = torch.from_dlpack(x)
    assert got.dtype == torch.bfloat16
    np.testing.assert_array_equal(got.float().numpy(), ROUNDED.astype("float32"))


# ---- what ops make of it ----

def test_nothing_is_rounded_between_ops(x):
    y = op.multiply(op.tanh(x, 0.0), 0.5)
    assert y.dtype == "bfloat16"
    want = np.tanh(THIRDS.astype("float64")) * 0.5
    np.testing.assert_allclose(wide(y), want, rtol=1e-6)
    np.testing.assert_array_equal(y.numpy(), wide(y).astype(BF16))


def test_products_keep_float32(x):
    w = op.cast(Tensor(THIRDS.T.copy()), "bfloat16")
    y = op.matmul(x, w, 0, 0)
    assert y.dtype == "bfloat16"
    np.testing.assert_allclose(wide(y), THIRDS @ THIRDS.T, rtol=1e-6)


def test_what_was_rounded_stays_so(x):
    """An operand of bfloat16's own numbers, and a Python number, enter as they are."""
    np.testing.assert_array_equal(wide(op.add(x, Tensor(ROUNDED))),
                                  THIRDS + ROUNDED.astype("float32"))
    np.testing.assert_array_equal(wide(op.add(x, 1 / 3)),
                                  THIRDS + np.float32(BF16.type(1 / 3)))


def test_with_float32_it_is_float32(x):
    y = op.add(x, Tensor(THIRDS))
    assert y.dtype == "float32"
    np.testing.assert_array_equal(y.numpy(), THIRDS + THIRDS)


def test_users_casts_round(x):
    y = ops.cast(ops.cast(THIRDS, "bfloat16"), "float32")
    np.testing.assert_array_equal(y.numpy(), ROUNDED.astype("float32"))
    assert nnc.ops.convert_to_tensor(THIRDS, "bfloat16").numpy().tobytes() == ROUNDED.tobytes()
    # Its own dtype changes nothing, as in a program.
    np.testing.assert_array_equal(wide(ops.cast(x, "bfloat16")), THIRDS)
    assert ops.cast(x, "int32").numpy().tolist() == ROUNDED.astype("int32").tolist()
    assert ops.cast(x, "float16").dtype == "float16"


def test_ops_with_a_dtype_of_their_own_take_the_rounded(x):
    """One that is told its dtype, and one that runs a function of Python's."""
    assert op.one_hot(ops.cast(x, "int32"), 5, -1, "bfloat16").dtype == "bfloat16"
    np.testing.assert_array_equal(ops.sort(x).numpy(), ROUNDED)


def test_a_variable_takes_what_it_shows(x):
    v, b = Variable(np.zeros((3, 4), "float32")), Variable(np.zeros((3, 4), BF16))
    v.assign(x)
    b.assign(x)
    np.testing.assert_allclose(v.numpy(), THIRDS, rtol=2 ** -8)
    assert b.numpy().tobytes() == ROUNDED.tobytes()
    b.assign_add(x)
    assert b.dtype == "bfloat16"


def test_a_variables_value_stays_what_it_was():
    """Read in bfloat16 it is a copy, not the variable's memory."""
    layer = layers.Dense(2, dtype="mixed_bfloat16")
    layer.build((None, 3))
    seen = []

    class Reader(layers.Layer):
        def call(self, x):
            kernel = layer.kernel
            seen.extend([kernel.value, op.cast(kernel, "bfloat16"), op.reshape(kernel, (6,))])
            return x
    before = layer.kernel.numpy()
    Reader(dtype="mixed_bfloat16")(np.ones((1, 1), "float32"))
    assert [t.dtype for t in seen] == ["bfloat16"] * 3
    layer.kernel.assign(np.zeros((3, 2)))
    for tensor in seen:
        np.testing.assert_array_equal(wide(tensor).reshape(3, 2), before)


# ---- gradients ----

def test_gradients_are_those_of_float32():
    """Of weights in float32, of the loose in their dtype; with seeds of either kind."""
    rng = np.random.default_rng(0)
    data = rng.standard_normal((5, 7)).astype("float32")
    made = {}
    for policy in ("float32", "mixed_bfloat16"):
        nnc.utils.set_random_seed(3)
        stack = [layers.Dense(6, activation="tanh", dtype=policy), layers.Dense(2, dtype=policy)]
        source = op.cast(Tensor(data), stack[0].compute_dtype)
        with nnc.GradientTape(persistent=True) as tape:
            tape.watch(source)
            y = stack[1](stack[0](source))
        variables = [v for layer in stack for v in layer.trainable_variables]
        made[policy] = tape.gradient(y, [source, *variables])
        for seed in (np.full(y.shape, 2.0, BF16), np.full(y.shape, 2.0, "float32")):
            doubled = tape.gradient(y, variables, output_gradients=Tensor(seed))
            for got, want in zip(doubled, made[policy][1:], strict=True):
                np.testing.assert_allclose(got.numpy(), 2 * want.numpy(), rtol=1e-6)
    for got, want in zip(made["mixed_bfloat16"], made["float32"], strict=True):
        np.testing.assert_array_equal(wide(got), want.numpy())
    assert [g.dtype for g in made["mixed_bfloat16"]] == ["bfloat16"] + ["float32"] * 4


def test_a_gradient_goes_through_what_rounds(x):
    """ops.sort runs on rounded numbers: its gradient comes back to the loose ones."""
    with nnc.GradientTape() as tape:
        tape.watch(x)
        y = ops.sum(ops.sort(op.multiply(x, x)))
    gradient = tape.gradient(y, x)
    assert gradient.dtype == "bfloat16"
    np.testing.assert_allclose(wide(gradient), 2 * THIRDS, rtol=2 ** -8)


def test_custom_gradients_take_and_give_it(x):
    @nnc.ops.custom_gradient
    def thrice(a):
        return a * 3, lambda *upstream: op.multiply(op.cast(Tensor(THIRDS), "bfloat16"), upstream[-1])
    with nnc.GradientTape() as tape:
        tape.watch(x)
        y = thrice(op.multiply(x, 1.0))
    gradient = tape.gradient(y, x)
    assert y.dtype == gradient.dtype == "bfloat16"
    np.testing.assert_allclose(wide(gradient), THIRDS, rtol=2 ** -7)


def test_second_derivatives(x):
    with nnc.GradientTape() as outer:
        outer.watch(x)
        with nnc.GradientTape() as inner:
            inner.watch(x)
            y = op.multiply(op.multiply(x, x), x)
        first = inner.gradient(y, x)
    np.testing.assert_allclose(wide(outer.gradient(first, x)), 6 * THIRDS, rtol=1e-5)


def test_overwriting_a_variable_under_a_tape():
    layer = layers.Dense(2, use_bias=False, dtype="mixed_bfloat16")
    layer(np.ones((1, 3), "float32"))
    with nnc.GradientTape() as tape:
        y = ops.sum(op.cast(layer(np.ones((1, 3), "float32")), "float32") ** 2)
        before = layer.kernel.numpy()
        layer.kernel.assign(np.zeros((3, 2)))
    want = np.tile(2 * before.sum(0), (3, 1))
    np.testing.assert_allclose(tape.gradient(y, layer.kernel).numpy(), want, rtol=1e-5)


# ---- layers and models ----

def test_models_op_by_op_give_float32s_numbers():
    """A Sequential with layers of both policies, a functional model, run_eagerly: what a step makes
    of the weights is as near to float32's as its inputs, which a program rounds, allow."""
    rng = np.random.default_rng(1)
    # Numbers that bfloat16 holds: programs round their inputs.
    data = (rng.integers(-8, 8, (16, 6)) / 4).astype("float32")
    labels = rng.integers(0, 3, 16)

    def model(policy, functional, eager):
        nnc.utils.set_random_seed(5)
        parts = [layers.Dense(8, activation="relu", dtype=policy),
                 layers.Dense(8, activation="tanh", dtype=policy), layers.Dense(3, "softmax")]
        if functional:
            made = inputs = nnc.Input((6,))
            for part in parts:
                made = part(made)
            made = nnc.Model(inputs, made)
        else:
            made = nnc.Sequential([nnc.Input((6,)), *parts])
        made.compile("adam", "sparse_categorical_crossentropy", run_eagerly=eager)
        made.fit(data, labels, batch_size=8, epochs=2, shuffle=False, verbose=0)
        return made.get_weights()
    for functional in (False, True):
        want = model("float32", functional, True)
        for eager in (False, True):
            for a, b in zip(model("mixed_bfloat16", functional, eager), want, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_float32_model_within_a_mixed_layer_reads_its_own_dtype():
    inner = nnc.Sequential([nnc.Input((4,)), layers.Dense(3, dtype="float32")])

    class Outer(layers.Layer):
        def call(self, x):
            return inner(op.cast(x, "float32"))
    outer = Outer(dtype="mixed_bfloat16")
    for _ in range(4):
        y = outer(THIRDS)
        assert y.dtype == "float32"
        np.testing.assert_allclose(y.numpy(), THIRDS @ inner.layers[0].kernel.numpy(), rtol=1e-5)
    assert _core.autocast() is None


# ---- memory ----

def test_every_allocation():
    layer = layers.Dense(3, activation="relu", dtype="mixed_bfloat16")
    source = Tensor(THIRDS)
    layer(source)

    def work():
        x = op.cast(source, "bfloat16")
        with nnc.GradientTape() as tape:
            tape.watch(x)
            y = op.concatenate(*[layer(x)] * 9, Tensor(np.ones((3, 1), BF16)), -1)
            y.numpy()
            y = ops.sort(y)
        gradient = tape.gradient(y, x, output_gradients=Tensor(np.ones(y.shape, BF16)))
        Variable(gradient), fed(x)
    count = allocations(work)
    before = live()
    assert failing(work, count) > 20
    assert live() == before
