"""StatelessScope, SymbolicScope and `compiled_loss`: beside Keras's, and what must be the same again
afterwards.
"""
import gc
import threading

import numpy as np
import pytest

import nnc
from tests.live import keras, same, values


def model_of(k, **more):
    model = k.Sequential([k.Input((4,)), k.layers.Dense(6, activation="tanh", **more),
                          k.layers.BatchNormalization(), k.layers.Dense(2)])
    rng = np.random.default_rng(2)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape).astype("float32") for w in model.weights])
    return model


X = np.random.default_rng(3).normal(size=(5, 4)).astype("float32")


def given_to(model):
    rng = np.random.default_rng(4)
    return [rng.uniform(0.2, 2, w.shape).astype("float32") for w in model.weights]


def bits(variables):
    return [values(v).tobytes() for v in variables]


def test_as_keras():
    """Outputs, new values and losses of a call in training; nothing has changed afterwards."""
    found = []
    for k in (nnc, keras):
        model = model_of(k, activity_regularizer="l2")
        before = bits(model.weights)
        with k.StatelessScope(list(zip(model.weights, given_to(model))),
                              collect_losses=True) as scope:
            y = model(X, training=True)
            inside = [values(scope.get_current_value(v)) for v in model.weights]
            model.weights[-1].assign_add(np.ones(2, "float32"))
        assert bits(model.weights) == before
        after = [values(scope.get_current_value(v)) for v in model.weights]
        found.append((values(y), inside, after, [float(loss) for loss in scope.losses]))
        assert scope.get_current_value(k.Variable(1.0)) is None
    ours, theirs = found
    same(ours[0], theirs[0], rtol=1e-5, atol=1e-5)
    for a, b in zip(ours[1] + ours[2], theirs[1] + theirs[2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    np.testing.assert_allclose(ours[3], theirs[3], rtol=1e-5)
    assert len(ours[3]) == 1


def test_whatever_changes_variables_is_undone():
    """Steps of optimizers, states of random generators, metrics, variables made within."""
    model = model_of(nnc)
    model.compile(nnc.optimizers.Adam(0.1), loss="mse", metrics=["mae"])
    seed, y = nnc.random.SeedGenerator(1), np.ones((5, 2), "float32")
    half, flag = nnc.Variable([1.5, 2.0], dtype="bfloat16"), nnc.Variable(True, dtype="bool")
    model.fit(X, y, verbose=0, shuffle=False)
    watched = [*model.variables, *model.optimizer.variables, *model.metrics_variables, seed.state,
               half, flag]
    before = bits(watched)
    with nnc.StatelessScope([(half, [2.5, 3.0])]) as scope:
        model.fit(X, y, verbose=0, epochs=2)
        first = values(nnc.random.normal((3,), seed=seed))
        made = nnc.Variable([1.0, 2.0])
        made.assign([5.0, 6.0])
        half.assign_add([1.0, 1.0])
        flag.assign(False)
        assert bits(watched) != before
    assert bits(watched) == before
    assert values(made).tolist() == [1.0, 2.0]
    assert values(scope.get_current_value(made)).tolist() == [5.0, 6.0]
    assert scope.get_current_value(half).dtype == "bfloat16"
    assert values(scope.get_current_value(half)).astype(float).tolist() == [3.5, 4.0]
    assert scope.get_current_value(flag).dtype == "bool" and not scope.get_current_value(flag)
    assert scope.get_current_value(model.optimizer.iterations).numpy() == 3
    assert values(nnc.random.normal((3,), seed=seed)).tobytes() == first.tobytes()
    model.fit(X, y, verbose=0, shuffle=False)              # as if nothing had been
    other = model_of(nnc)
    other.compile(nnc.optimizers.Adam(0.1), loss="mse", metrics=["mae"])
    other.fit(X, y, verbose=0, shuffle=False, epochs=2)
    assert bits(other.weights) == bits(model.weights)


def test_undone_after_an_error():
    v = nnc.Variable([1.0, 2.0])
    with pytest.raises(KeyError):
        with nnc.StatelessScope([(v, [3.0, 4.0])]):
            v.assign([5.0, 6.0])
            raise KeyError
    assert values(v).tolist() == [1.0, 2.0]
    with nnc.StatelessScope() as scope:     # the next is not hindered
        pass
    assert scope.get_current_value(v) is None


def test_nested():
    """Within the inner scope the outer's values do not hold, as in Keras."""
    for k in (nnc, keras):
        a, b = k.Variable([1.0]), k.Variable([2.0])
        with k.StatelessScope([(a, [10.0])]) as outer:
            b.assign([20.0])
            with k.StatelessScope([(b, [200.0])]) as inner:
                assert float(a.value[0]) == 1 and float(b.value[0]) == 200
                a.assign([100.0])
            assert float(a.value[0]) == 10 and float(b.value[0]) == 20
        assert float(a.value[0]) == 1 and float(b.value[0]) == 2
        for scope, x, y in ((outer, 10, 20), (inner, 100, 200)):
            assert float(scope.get_current_value(a)[0]) == x
            assert float(scope.get_current_value(b)[0]) == y


def test_add_update():
    for k in (nnc, keras):
        v = k.Variable([1.0, 2.0])
        scope = k.StatelessScope()
        with scope:
            scope.add_update((v, k.ops.convert_to_tensor([3.0, 4.0])))
            assert values(v.value).tolist() == [3.0, 4.0]
        assert values(v.value).tolist() == [1.0, 2.0]
        assert values(scope.get_current_value(v)).tolist() == [3.0, 4.0]


def test_gradients_are_those_of_the_variables():
    """As if the variables held the values all along; the values themselves are refused."""
    model, given = model_of(nnc), None
    given = [nnc.ops.convert_to_tensor(value) for value in given_to(model)]
    plain = model_of(nnc)
    plain.set_weights(given_to(model))
    with nnc.GradientTape() as tape:
        loss = nnc.ops.sum(plain(X) ** 2)
    expected = tape.gradient(loss, plain.trainable_weights)
    with nnc.GradientTape(persistent=True) as tape:
        tape.watch(given[0])
        doubled = given[0] * 1.0
        with nnc.StatelessScope([(model.weights[0], doubled),
                                 *zip(model.weights[1:], given[1:])]):
            loss = nnc.ops.sum(model(X) ** 2)
    for g, e in zip(tape.gradient(loss, model.trainable_weights), expected, strict=True):
        assert values(g).tobytes() == values(e).tobytes()
    for source in (given[0], given[1], doubled):
        with pytest.raises(NotImplementedError, match="gradient of the variable"):
            tape.gradient(loss, source)
    with nnc.StatelessScope(list(zip(model.weights, given))):
        with nnc.GradientTape() as tape:
            tape.watch(given[0])
            loss = nnc.ops.sum(model(X))
    with pytest.raises(NotImplementedError, match="gradient of the variable"):
        tape.gradient(loss, given[0])


def test_threads_wait_for_one_another():
    v, seen = nnc.Variable([0.0]), []

    def work(number):
        for _ in range(50):
            with nnc.StatelessScope([(v, [number])]) as scope:
                v.assign_add([1.0])
            seen.append(float(scope.get_current_value(v)[0]) == number + 1)
    threads = [threading.Thread(target=work, args=(float(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 200 and all(seen) and values(v).tolist() == [0.0]


def test_variables_are_not_kept():
    from nnc.variables import live

    gc.collect()
    count = len(live())
    v = nnc.Variable([1.0])
    with nnc.StatelessScope([(v, [2.0])]) as scope:
        pass
    assert len(live()) == count + 1
    del v, scope
    gc.collect()
    assert len(live()) == count


def test_symbolic_scope():
    """Calls for shapes are in one, and give no losses to a scope that collects them."""
    from nnc.stateless import in_symbolic_scope

    seen = []

    class Adds(nnc.layers.Layer):
        def call(self, x):
            seen.append(in_symbolic_scope())
            self.add_loss(nnc.ops.sum(x))
            return x
    layer = Adds()
    with nnc.StatelessScope(collect_losses=True) as scope:
        layer(nnc.Input((3,)))
        assert all(seen) and seen and not scope.losses
        layer(nnc.ops.ones((2, 3)))
        assert not seen[-1] and [float(loss) for loss in scope.losses] == [6.0]
        with nnc.SymbolicScope() as symbolic:
            assert in_symbolic_scope() and isinstance(symbolic, nnc.SymbolicScope)
            layer(nnc.ops.ones((2, 3)))
    assert not in_symbolic_scope() and len(scope.losses) == 1


def test_compiled_loss():
    """Keras's deprecated name of `compute_loss`; the losses of layers are in it, once."""
    y, weight = np.ones((5, 2), "float32"), np.arange(5, dtype="float32")
    found = []
    for k in (nnc, keras):
        model = model_of(k, kernel_regularizer="l2")
        model.compile("sgd", loss="mae")
        with pytest.warns(UserWarning, match="compiled_loss"):
            total = model.compiled_loss(y, model(X), weight, regularization_losses=model.losses)
        found.append(float(total))
        assert float(model.compute_loss(None, y, model(X), weight)) == found[-1]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def within_a_step():
    class Inner(nnc.Model):
        def train_step(self, data):
            with nnc.StatelessScope():
                return {"loss": nnc.ops.sum(self(data[0]))}

        def call(self, x):
            return x
    model = Inner()
    model.compile(nnc.optimizers.SGD())
    model.fit(X, X, verbose=0)


def other_losses():
    model = model_of(nnc)
    model.compile("sgd", loss="mae")
    model.compiled_loss(np.ones((5, 2)), model(X), regularization_losses=[nnc.ops.ones(())])


def twice():
    scope = nnc.StatelessScope()
    with scope, scope:
        pass


REFUSED = [
    (lambda: nnc.StatelessScope([(3, 4)]), ValueError, "must be variables"),
    (lambda: nnc.StatelessScope([(nnc.Variable([1.0]), [1.0, 2.0])]), ValueError, "shape"),
    (lambda: nnc.StatelessScope(initialize_variables=False), ValueError, "initialize_variables"),
    (lambda: nnc.StatelessScope().add_update((nnc.Variable([1.0]), [[1.0]])), ValueError, "shape"),
    (twice, RuntimeError, "open already"),
    (other_losses, ValueError, "`model.losses`, 0 here"),
    (within_a_step, RuntimeError, "run_eagerly"),
]


@pytest.mark.parametrize("call, kind, text", REFUSED)
def test_refused(call, kind, text):
    with pytest.raises(kind, match=text):
        call()
