"""Rematerialization: the bits of training without it, in a smaller arena."""
import numpy as np
import pytest

import nnc
from nnc import _core, ops

rng = np.random.default_rng(7)
X = rng.normal(size=(64, 16)).astype("float32")
Y = X[:, :1]
# What is left of the arena is mostly the weights' gradients. Element-wise nodes in one keep some
# values out of it with or without rematerialization: 0.62 was measured.
LEFT = 0.65


class Block(nnc.layers.Layer):
    """Much wider inside than outside, with noise."""

    def build(self, shape):
        self.up = self.add_weight(shape=(shape[-1], 256), initializer="glorot_uniform")
        self.down = self.add_weight(shape=(256, shape[-1]), initializer="glorot_uniform")
        self.drop = nnc.layers.Dropout(0.2, seed=4)

    def call(self, x, training=None):
        h = ops.sin(ops.tanh(ops.matmul(x, self.up)) * 1.5)
        return x + ops.matmul(self.drop(ops.exp(h), training=training), self.down)


class Wrapped(nnc.layers.Layer):
    """A function of its own, rematerialized or not."""

    def __init__(self, around, **kwargs):
        super().__init__(**kwargs)
        self.block, self.around = Block(), around

    def call(self, x, training=None):
        return self.around(lambda v: self.block(v, training=training))(x)


def same_function(f):
    return f


def train(make, eagerly=False):
    nnc.utils.set_random_seed(1)
    model = make()
    model.compile("adam", "mse", run_eagerly=eagerly)
    model.fit(X, Y, batch_size=32, epochs=2, verbose=0)
    arena = max([r.program.stats()["arena_bytes"] for r in model._programs.values()], default=0)
    return [v.numpy().tobytes() for v in model.variables], arena


def stack(layer, count=6):
    return lambda: nnc.Sequential([nnc.Input((16,)), *(layer() for _ in range(count)),
                                   nnc.layers.Dense(1)])


def scoped(make, **options):
    def scope():
        with nnc.RematScope(**options):
            return make()
    return scope


def test_a_function():
    plain, large = train(stack(lambda: Wrapped(same_function)))
    again, small = train(stack(lambda: Wrapped(nnc.remat)))
    assert again == plain
    assert small < LEFT * large


@pytest.mark.parametrize("options, smaller", [
    ({}, True), ({"mode": None}, False), ({"mode": "larger_than", "output_size_threshold": 15}, True),
    ({"mode": "larger_than", "output_size_threshold": 16}, False),
    ({"mode": "list_of_layers", "layer_names": [f"block_{i}" for i in range(6)]}, True),
    ({"mode": "list_of_layers", "layer_names": ["other"]}, False),
    ({"mode": "activations"}, False)])
def test_scopes(options, smaller):
    def blocks():
        numbers = iter(range(6))
        return stack(lambda: Block(name=f"block_{next(numbers)}"))()
    plain, large = train(blocks)
    again, other = train(scoped(blocks, **options))
    assert again == plain
    assert other < LEFT * large if smaller else other == large


def test_activations():
    def wide(x):
        for _ in range(4):
            x = ops.sin(ops.exp(ops.tanh(x) * 0.5))
        return x
    make = stack(lambda: nnc.layers.Dense(128, activation=wide))
    plain, large = train(make)
    again, small = train(scoped(make, mode="activations"))
    assert again == plain and small < large


def test_eager_and_nested_and_inner_scopes():
    plain = train(stack(Block, 2), eagerly=True)[0]
    assert train(scoped(stack(Block, 2)), eagerly=True)[0] == plain
    nested = train(stack(lambda: Wrapped(lambda f: nnc.remat(nnc.remat(f)))))[0]
    assert nested == train(stack(lambda: Wrapped(same_function)))[0]
    with nnc.RematScope():
        with nnc.RematScope(mode=None):
            assert nnc.layers.Dense(1)._remat_mode is None
        assert nnc.layers.Dense(1)._remat_mode.mode == "full"
    assert nnc.layers.Dense(1)._remat_mode is None


def test_in_a_functional_model_with_batch_normalization():
    def model():
        x = h = nnc.Input((16,))
        for _ in range(4):
            h = nnc.layers.BatchNormalization()(nnc.layers.Dense(64, "tanh")(h))
            h = nnc.layers.add([nnc.layers.Dense(16)(h), x])
        return nnc.Model(x, nnc.layers.Dense(1)(h))
    assert train(scoped(model))[0] == train(model)[0]


def test_a_gradient_of_a_gradient():
    w = nnc.Variable(rng.normal(size=(16, 16)).astype("float32"))

    def step(f):
        graph = _core.Graph()
        with graph:
            x = graph.input((4, 16), "float32")
            with nnc.GradientTape() as outer:
                with nnc.GradientTape() as inner:
                    y = ops.sum(f(lambda v: ops.sin(ops.exp(v @ w)))(x))
                g = ops.sum(ops.square(inner.gradient(y, w)))
            found = outer.gradient(g, w)
            return np.asarray(_core.Program(graph, [found])(X[:4])[0])
    assert step(nnc.remat).tobytes() == step(same_function).tobytes()


def test_refusals():
    with pytest.raises(ValueError, match="RematScope: `mode`"):
        nnc.RematScope(mode="some")
    with pytest.raises(TypeError, match="remat"):
        nnc.remat(3)
