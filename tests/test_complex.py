"""complex64 beside TensorFlow and NumPy: values, gradients, what is refused, in and out."""
import pickle

import numpy as np
import pytest

from live import keras, same, values

import nnc
from nnc import _core, ops
from nnc._core import Graph, Program, Tensor, op

tf = pytest.importorskip("tensorflow")
rng = np.random.default_rng(3)


def draw(*shape):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype("complex64")


Z, W, ROW = draw(3, 4), draw(3, 4), draw(4)
REAL = rng.normal(size=(3, 4)).astype("float32")
PAIRS = rng.normal(size=(2, 3, 2)).astype("float32")

#: the same function of both libraries, and its arguments
SAME = [
    *[(name, getattr(ops, name), getattr(tf.math, name if name != "negative" else "negative"), (Z,))
      for name in ("exp", "log", "sqrt", "sin", "cos", "sinh", "cosh", "tanh", "square",
                   "reciprocal", "negative", "conj", "real", "imag", "angle", "abs")],
    ("add", ops.add, tf.add, (Z, W)), ("subtract", ops.subtract, tf.subtract, (Z, W)),
    ("multiply", ops.multiply, tf.multiply, (Z, W)), ("divide", ops.divide, tf.divide, (Z, W)),
    ("multiply by a row", ops.multiply, tf.multiply, (Z, ROW)),
    ("divide by a column", ops.divide, tf.divide, (Z, W[:, :1])),
    ("sum", lambda z: ops.sum(z, 0), lambda z: tf.reduce_sum(z, 0), (Z,)),
    ("mean", lambda z: ops.mean(z, 1, keepdims=True),
     lambda z: tf.reduce_mean(z, 1, keepdims=True), (Z,)),
    ("matmul", ops.matmul, tf.matmul, (Z, draw(4, 2))),
    ("transposed", lambda z: ops.conj(ops.transpose(z)) * 2j,
     lambda z: tf.math.conj(tf.transpose(z)) * 2j, (Z,)),
    ("parts moved", lambda z: ops.concatenate([z[1:], z[:1]], 0) * z,
     lambda z: tf.concat([z[1:], z[:1]], 0) * z, (Z,)),
    ("where", lambda z, w: ops.where(REAL > 0, z, w), lambda z, w: tf.where(REAL > 0, z, w),
     (Z, W)),
    ("cast", lambda x: ops.cast(x, "complex64") * Z, lambda x: tf.cast(x, "complex64") * Z,
     (REAL,)),
    ("view_as_complex", ops.view_as_complex, lambda x: tf.complex(x[..., 0], x[..., 1]), (PAIRS,)),
    ("view_as_real", ops.view_as_real,
     lambda z: tf.stack([tf.math.real(z), tf.math.imag(z)], -1), (Z,)),
    ("polar", ops.polar, lambda r, a: tf.complex(r * tf.cos(a), r * tf.sin(a)), (REAL, REAL * 2)),
    ("several", lambda z: ops.abs(z * z + ops.exp(1j * z)) * ops.real(z),
     lambda z: tf.abs(z * z + tf.exp(1j * z)) * tf.math.real(z), (Z,)),
]


def total(library, y):
    """A real number of a complex or real tensor, in which each part counts differently."""
    y = ops.view_as_real(y) if library is nnc else tf.stack([tf.math.real(y), tf.math.imag(y)], -1)
    weights = np.cos(np.arange(np.prod(y.shape)) * 1.7).reshape(y.shape).astype("float32")
    return ops.sum(y * weights) if library is nnc else tf.reduce_sum(y * weights)


@pytest.mark.parametrize("name, ours, theirs, arguments", SAME, ids=[row[0] for row in SAME])
def test_values_and_gradients(name, ours, theirs, arguments):
    x, z = [Tensor(a) for a in arguments], [tf.constant(a) for a in arguments]
    with nnc.GradientTape() as tape:
        for a in x:
            tape.watch(a)
        y = ours(*x)
        loss = total(nnc, y)
    with tf.GradientTape() as other:
        for a in z:
            other.watch(a)
        wanted = theirs(*z)
        goal = total(tf, wanted)
    # float32 in both: a dozen roundings of numbers up to 20 in size
    same(y, wanted, rtol=1e-5, atol=1e-5)
    for got, want in zip(tape.gradient(loss, x), other.gradient(goal, z)):
        same(got, want, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name, ours, theirs, arguments", SAME, ids=[row[0] for row in SAME])
def test_recorded_is_eager_bit_for_bit(name, ours, theirs, arguments):
    graph = Graph()
    with graph:
        x = [graph.input(a.shape, a.dtype.name) for a in arguments]
        y = ours(*x)
        gradients = graph.gradients([total(nnc, y)], x)
    program = Program(graph, [y, *gradients])
    x = [Tensor(a) for a in arguments]
    with nnc.GradientTape() as tape:
        for a in x:
            tape.watch(a)
        eager = ours(*x)
        loss = total(nnc, eager)
    expected = [eager, *tape.gradient(loss, x)]
    for got, want in zip(program(*arguments), expected, strict=True):
        assert got.dtype == want.dtype and values(got).tobytes() == values(want).tobytes()


@pytest.mark.parametrize("call, numbers", [
    (lambda k: k.ops.view_as_complex(k.ops.convert_to_tensor(PAIRS)), None),
    (lambda k: k.ops.view_as_real(k.ops.convert_to_tensor(Z)), None),
    (lambda k: k.ops.polar(k.ops.convert_to_tensor(REAL), k.ops.convert_to_tensor(REAL)), None),
    (lambda k: k.ops.nn.polar(k.ops.convert_to_tensor(REAL), k.ops.convert_to_tensor(REAL)), None),
    *[(lambda k, name=name: getattr(k.ops, name)(k.ops.convert_to_tensor(Z)), None)
      for name in ("real", "imag", "conj", "conjugate", "absolute", "abs")],
    (lambda k: k.ops.cast(k.ops.convert_to_tensor(Z), "float32"), None),
    (lambda k: k.ops.cast(k.ops.convert_to_tensor(REAL), "complex64"), None),
    (lambda k: k.ops.equal(k.ops.convert_to_tensor(Z), k.ops.convert_to_tensor(Z)), None),
])
def test_as_keras(call, numbers):
    same(call(nnc), call(keras), rtol=1e-6)


def test_operators_and_promotion():
    z, w = Tensor(Z), Tensor(W)
    cases = [(1j * z, 1j * Z), (z + 1, Z + 1), (2.5 - z, 2.5 - Z), (z / (2 + 1j), Z / (2 + 1j)),
             (abs(z), abs(Z)), (-z, -Z), (z @ w.T, Z @ W.T), (z == z, Z == Z), (z != w, Z != W),
             (z * REAL, Z * REAL), (Tensor(REAL) * 1j, REAL * np.complex64(1j)), (z[1, ::2], Z[1, ::2]),
             (z == z[0, 0], Z == Z[0, 0]), (Z * w, Z * W)]
    for got, want in cases:
        assert got.dtype == want.dtype
        np.testing.assert_allclose(values(got), want, rtol=1e-6)
    assert complex(z[0, 0]) == complex(Z[0, 0]) and z[0, 0].item() == Z[0, 0]
    assert ops.add(1j, 2).dtype == ops.convert_to_tensor([1j]).dtype == "complex64"
    for dtype in ("bool", "int64", "bfloat16", "float64"):
        assert ops.add(ops.ones((2,), dtype), z[0, :2]).dtype == "complex64"
        assert ops.add(ops.ones((2,), dtype), 1j).dtype == "complex64"
    assert ops.cast(z, "bool").numpy().all() and not ops.cast(z * 0, "bool").numpy().any()


def test_quotients_neither_overflow_nor_underflow():
    """Smith's algorithm: as numpy's complex128 quotient, rounded."""
    a = np.complex64([1e30 + 1e30j, 1e-30 + 2e-30j, 3 + 4j, 1e38, 1])
    b = np.complex64([2e30 - 1e30j, 1e-30 + 1e-30j, 1e-20 + 5j, 1e38j, 1e-38 + 1e-38j])
    np.testing.assert_allclose(op.divide(a, b).numpy(), a.astype(complex) / b, rtol=1e-6)


def test_in_and_out():
    z = Tensor(Z)
    assert z.dtype == "complex64" and z.numpy().dtype == "complex64"
    wide = Z.astype("complex128")
    for call in (lambda: ops.convert_to_tensor(wide), lambda: op.conj(wide), lambda: z * wide,
                 lambda: ops.convert_to_tensor([wide[0, 0]]), lambda: op.real(wide[0, 0])):
        with pytest.raises(TypeError, match="complex128.*complex64"):
            call()
    for x in (ops.convert_to_tensor(wide, "complex64"), ops.array(wide, dtype="complex64"),
              ops.cast(wide, "complex64"), nnc.Variable(wide, dtype="complex64")):
        np.testing.assert_array_equal(x.numpy(), Z)
    assert memoryview(z).format == "Zf"
    assert np.array_equal(np.from_dlpack(z), Z) and np.array_equal(pickle.loads(pickle.dumps(z)), Z)
    assert "1j" not in repr(Tensor(REAL)) and "complex64" in repr(z)
    variable = nnc.Variable(Z)
    variable.assign(variable * 2j)
    np.testing.assert_array_equal(variable.numpy(), Z * np.complex64(2j))


def test_on_symbolic_tensors():
    inputs = nnc.Input((3, 2))
    outputs = ops.view_as_real(ops.conj(ops.view_as_complex(inputs)))
    assert ops.view_as_complex(inputs).shape == (None, 3)
    assert ops.view_as_complex(inputs).dtype == "complex64" and outputs.shape == (None, 3, 2)
    assert ops.polar(nnc.Input((3,)), nnc.Input((3,))).dtype == "complex64"
    model = nnc.Model(inputs, outputs)
    again = nnc.Model.from_config(model.get_config())
    x = rng.normal(size=(5, 3, 2)).astype("float32")
    wanted = x * np.float32([1, -1])
    for m in (model, again):
        np.testing.assert_array_equal(m.predict(x, verbose=0), wanted)


REFUSED = [
    (lambda z: ops.sort(z), "sort: .*complex64"), (lambda z: ops.max(z), "max: .*complex64"),
    (lambda z: ops.relu(z), "floating-point dtype, received complex64"),
    (lambda z: ops.log1p(z), "log1p: .*complex64"), (lambda z: ops.isnan(z), "isnan: .*complex64"),
    (lambda z: z < z, "less: .*complex64"), (lambda z: z ** 2, "power: .*complex64"),
    (lambda z: ops.prod(z), "prod: .*complex64"), (lambda z: ops.softmax(z), "complex64"),
    (lambda z: op.cast(z, "float32"), "would lose the imaginary part"),
    (lambda z: float(z[0, 0]), "complex"), (lambda z: int(z[0, 0]), "complex"),
    (lambda z: nnc.layers.Dense(2)(z), "complex64"),
    (lambda z: op.random_uniform(np.uint32([1, 0]), (2,), 0.0, 1.0, "complex64"), "complex64"),
    (lambda z: op.assign_add(nnc.Variable(Z), z), "assign_add: .*complex64"),
    (lambda z: ops.view_as_complex(z), "must be real"),
    (lambda z: ops.view_as_complex(REAL), "last axis hold 2"),
    (lambda z: ops.polar(z, REAL), "`abs_` must be floating point"),
    (lambda z: ops.polar(REAL, np.int32(REAL)), "`angle` must be floating point"),
]


@pytest.mark.parametrize("call, text", REFUSED, ids=[text for _, text in REFUSED])
def test_what_is_not_there_is_refused_by_name(call, text):
    with pytest.raises((TypeError, ValueError), match=text):
        call(Tensor(Z))


def test_every_other_op_refuses_complex_numbers():
    """No row takes them by accident: pairs of floats would be read as something else."""
    from reference import ROWS

    taken = {"add", "subtract", "multiply", "divide", "negative", "square", "reciprocal", "exp",
             "log", "sqrt", "sin", "cos", "sinh", "cosh", "tanh", "where", "cast", "complex", "real",
             "imag", "conj", "reshape", "stop_gradient", "copy", "broadcast_to", "transpose",
             "concatenate", "slice", "unslice", "pad", "fill", "take", "take_along", "assign"}
    for name, row in ROWS.items():
        inputs, attributes = row.cases[-1]
        if name in taken or name == "host" or not any(a.dtype == "float64" for a in inputs):
            continue
        inputs = [a.astype("complex64") if a.dtype == "float64" else a for a in inputs]
        inputs[:row.effects] = map(_core.Variable, inputs[:row.effects])
        with pytest.raises(TypeError, match="complex64"):
            getattr(op, name)(*inputs, *attributes)


# ---- eigenvalues ----

MATRICES = {"turns": np.array([[0, 1], [-1, 0]], "float32"),
            "real": rng.normal(size=(2, 4, 4)).astype("float32"), "complex": draw(3, 3)}


def _spectrum(library, x):
    """What does not depend on the vectors' phases nor on the order of the eigenvalues: the squares
    of the sizes, weighted by smooth functions of the values."""
    if library is nnc:
        w, v = ops.eig(x)
        u, size = ops.view_as_real(w), ops.square(ops.abs(v))
        weight = ops.cos(u[..., 0]) + ops.sin(2.0 * u[..., 1])
        rows = ops.sum(size * ops.expand_dims(weight, -2), -1)
        return ops.sum(rows * ROWS[:x.shape[-1]])
    w, v = keras.ops.eig(x)
    weight = tf.cos(tf.math.real(w)) + tf.sin(2.0 * tf.math.imag(w))
    rows = tf.reduce_sum(tf.square(tf.abs(v)) * tf.expand_dims(weight, -2), -1)
    return tf.reduce_sum(rows * ROWS[:x.shape[-1]])


ROWS = np.array([1.0, -0.5, 2.0, 0.3], "float32")


@pytest.mark.parametrize("name", MATRICES)
def test_eig_and_its_gradient(name):
    x = MATRICES[name]
    w, v = (part.numpy() for part in ops.eig(x))
    assert w.dtype == v.dtype == np.complex64
    # float32, LAPACK: some dozen units of numbers up to 4 in size
    np.testing.assert_allclose(x @ v, v * w[..., None, :], atol=2e-5)
    np.testing.assert_allclose(np.sum(np.abs(v) ** 2, -2), 1, rtol=1e-5)
    a, z = Tensor(x), tf.constant(x)
    with nnc.GradientTape() as tape:
        tape.watch(a)
        y = _spectrum(nnc, a)
    with tf.GradientTape() as other:
        other.watch(z)
        goal = _spectrum(tf, z)
    got = tape.gradient(y, a)
    assert got.dtype == a.dtype
    # float32: 4e-7 was measured, and 4e-6 of the gradient, where gaps of some tenths divide it
    same(y, goal, rtol=2e-6, atol=2e-6)
    same(got, other.gradient(goal, z), rtol=2e-5, atol=5e-6)


def test_eig_recorded_is_eager_bit_for_bit():
    for x in MATRICES.values():
        graph = Graph()
        with graph:
            a = graph.input(x.shape, x.dtype.name)
            outputs = [*ops.eig(a), *graph.gradients([_spectrum(nnc, a)], [a])]
        t = Tensor(x)
        with nnc.GradientTape() as tape:
            tape.watch(t)
            y = _spectrum(nnc, t)
        expected = [*ops.eig(t), tape.gradient(y, t)]
        for got, want in zip(Program(graph, outputs)(x), expected, strict=True):
            assert values(got).tobytes() == values(want).tobytes()


@pytest.mark.parametrize("name", ["turns", "real"])
def test_second_gradient_of_eig(name):
    x = MATRICES[name]

    def second(library, tape_of, total, a):
        with tape_of() as outer:
            outer.watch(a)
            with tape_of() as tape:
                tape.watch(a)
                y = _spectrum(library, a)
            z = total(tape.gradient(y, a) ** 2)
        return outer.gradient(z, a)
    got = second(nnc, nnc.GradientTape, ops.sum, Tensor(x))
    want = second(tf, tf.GradientTape, tf.reduce_sum, tf.constant(x))
    # float32; the gaps of the eigenvalues, some tenths, divide the error up to four times: 3e-6 was
    # measured
    same(got, want, rtol=2e-5, atol=2e-6 * np.abs(want).max())
