"""A functional model called again and again: the third call alike is recorded, later ones replay it
with the bits of the first; what may do more than compute runs each time."""
import copy

import numpy as np
import pytest

import nnc

RNG = np.random.default_rng(5)
A, B = (RNG.normal(size=(6, 4)).astype("float32") for _ in range(2))
layers = nnc.layers


def one(last="softmax"):
    x = nnc.Input((4,))
    h = layers.Dropout(0.5)(layers.Dense(8, activation="relu")(x))
    return nnc.Model(x, layers.Dense(3, activation=last)(h)), A


def many():
    """Two inputs, a shared layer, ops, outputs in a dict."""
    a, b = nnc.Input((4,)), nnc.Input((4,))
    shared = layers.Dense(4, activation="tanh")
    joined = layers.Add()([shared(a), shared(b)])
    part = nnc.ops.concatenate([joined[:, 1:3], nnc.ops.mean(joined * 2.0, 1, keepdims=True)], -1)
    return nnc.Model([a, b], {"p": layers.Dense(3, activation="softmax")(part), "q": [part]}), [A, B]


def nested():
    x, y = nnc.Input((4,)), nnc.Input((4,))
    inner = nnc.Model(x, layers.Dense(4)(x))
    tail = nnc.Sequential([nnc.Input((4,)), layers.Dense(2)])
    return nnc.Model(y, tail(inner(y) + y)), A


def ids():
    x = nnc.Input((5,), dtype="int32")
    h = layers.Dense(3)(nnc.ops.one_hot(x, 7))
    return nnc.Model(x, [layers.Flatten()(h)]), RNG.integers(0, 7, (6, 5), "int32")


def leaves(outputs):
    return [leaf.numpy().tobytes() for leaf in nnc.tree.flatten(outputs)]


def tensors(x):
    return nnc.tree.map_structure(nnc.ops.convert_to_tensor, x)


@pytest.mark.parametrize("make", [one, many, nested, ids])
def test_later_calls_give_the_bits_of_the_first(make):
    model, x = make()
    first = model(x)
    for again in (x, tensors(x), x, tensors(x), x, nnc.tree.map_structure(np.asfortranarray, x)):
        result = model(again, training=False)
        assert leaves(result) == leaves(first)
        nnc.tree.assert_same_structure(result, first)
        for p, q in zip(nnc.tree.flatten(result), nnc.tree.flatten(first)):
            assert hasattr(p, "_keras_logits") == hasattr(q, "_keras_logits")
    assert model._repeated.attempts
    some = nnc.tree.map_structure(lambda part: part[:2], x)
    assert [leaf.shape[0] for leaf in nnc.tree.flatten(model(some))] == [2] * len(leaves(first))
    again = copy.deepcopy(model)
    assert leaves(again(x)) == leaves(first)
    model.set_weights([np.zeros(w.shape) for w in model.get_weights()])
    assert all(len(set(leaf.numpy().ravel().tolist())) == 1
               for leaf in nnc.tree.flatten(model(x)))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
def test_later_calls_cast_as_the_first(policy):
    x = nnc.Input((4,))
    h = layers.Dense(8, activation="relu", dtype=policy)(x)
    model = nnc.Model(x, layers.Dense(3, dtype=policy)(h))
    first = model(A)
    for again in (A, A, A, A, A.astype("float64"), A.tolist()):
        result = model(again)
        assert result.dtype == first.dtype and leaves(result) == leaves(first)
    assert model._repeated.attempts


@pytest.mark.parametrize("make", [one, many, nested])
def test_what_is_not_finite(make):
    model, x = make()
    for _ in range(5):
        result = model(nnc.tree.map_structure(lambda leaf: leaf * np.nan, x))
        assert all(np.isnan(leaf.numpy()).all() for leaf in nnc.tree.flatten(result))


def kinds(model):
    return len(model._repeated.attempts)


@pytest.mark.parametrize("make", [one, many])
def test_shapes_that_take_turns(make):
    """The third call of each is recorded, whatever came between; the oldest of many gives way."""
    model, x = make()
    parts = [nnc.tree.map_structure(lambda leaf: leaf[:rows], x) for rows in range(1, 7)]
    first = [leaves(model(part)) for part in parts]
    for round, wanted in ((2, 0), (3, 6), (4, 6)):
        for part, bits in zip(parts, first):
            assert leaves(model(part)) == bits
        assert kinds(model) == wanted, round
    wide = nnc.tree.map_structure(lambda leaf: np.concatenate([leaf] * 3), x)
    for rows in range(7, 13):
        part = nnc.tree.map_structure(lambda leaf: leaf[:rows], wide)
        bits = leaves(model(part))
        assert all(leaves(model(part)) == bits for _ in range(3))
    assert kinds(model) == 8
    for _ in range(2):
        for part, bits in zip(parts, first):
            assert leaves(model(part)) == bits
    assert kinds(model) == 8


def test_the_same_inputs_in_a_dict():
    model, (a, b) = many()
    named = {t._keras_history.operation.name: value for t, value in zip(model.inputs, (a, b))}
    first = leaves(model(named))
    for _ in range(4):
        assert leaves(model(named)) == first == leaves(model([a.astype("float64"), b]))
    assert kinds(model) == 1


def test_later_calls_train_differentiate_and_refuse():
    model, x = one(None)
    for _ in range(5):
        still = model(x)
    assert leaves(model(x, training=True)) != leaves(still)
    with nnc.GradientTape() as tape:
        loss = nnc.ops.sum(model(x))
    assert all(g is not None for g in tape.gradient(loss, model.trainable_variables))
    assert leaves(model(x)) == leaves(still)
    for wrong in (x[:, :3], [x, x], np.zeros((6, 4, 4), "float32")):
        with pytest.raises(ValueError):
            model(wrong)
    assert model(nnc.Input((4,))).shape == (None, 3)


@pytest.mark.filterwarnings("ignore:.*does not support masking")
def test_masks_of_tensors_are_heeded():
    x = nnc.Input((5, 3))
    model = nnc.Model(x, layers.Dense(3)(x))
    given = nnc.ops.convert_to_tensor(RNG.normal(size=(2, 5, 3)).astype("float32"))
    masked = given + 0.0
    masked._keras_mask = nnc.ops.convert_to_tensor(np.arange(5) < np.array([[2], [3]]))
    assert hasattr(model(masked), "_keras_mask")
    for _ in range(5):
        assert not hasattr(model(given), "_keras_mask")
    assert model._repeated.attempts
    assert hasattr(model(masked), "_keras_mask")


class Counting(nnc.layers.Layer):
    calls = 0

    def call(self, x):
        Counting.calls += 1
        return x * 2.0


class Own(nnc.Model):
    calls = 0

    def call(self, inputs, training=None, mask=None):
        Own.calls += 1
        return super().call(inputs, training, mask)


def test_what_a_user_writes_runs_each_time():
    x, seen = nnc.Input((4,)), []

    def noted(t):
        seen.append(1)
        return t + 1.0
    h = layers.Dense(3)(x)
    for model, count in ((nnc.Model(x, Counting()(h)), lambda: Counting.calls),
                         (nnc.Model(x, layers.Lambda(noted, output_shape=(3,))(h)),
                          lambda: len(seen)),
                         (nnc.Model(x, layers.Activation(noted)(h)), lambda: len(seen)),
                         (Own(x, h), lambda: Own.calls)):
        for _ in range(4):
            model(A)
        before = count()
        for _ in range(3):
            model(A)
        assert count() == before + 3 and not model._repeated.attempts


def test_losses_and_own_training_run_each_time():
    x = nnc.Input((4,))
    model = nnc.Model(x, layers.Dense(3, activity_regularizer="l2")(x))
    for _ in range(6):
        model(A)
        assert len(model.losses) == 1
    assert not model._repeated.attempts
    model = nnc.Model(x, layers.Dropout(0.5)(x, training=True))
    assert len({model(A).numpy().tobytes() for _ in range(6)}) == 6
    assert not model._repeated.attempts
    assert len({model(A, training=False).numpy().tobytes() for _ in range(6)}) == 1


def test_a_stopped_layer_or_new_weight_is_seen():
    model, x = one(None)
    for _ in range(5):
        first = model(x)
    model.layers[1].activation = nnc.activations.tanh
    assert leaves(model(x)) != leaves(first)
    doubled = model.layers[1].call
    model.layers[1].call = lambda inputs: doubled(inputs) * 2.0
    once = [leaves(model(x)) for _ in range(6)]
    assert len({tuple(o) for o in once}) == 1
    del model.layers[1].call
    assert leaves(model(x)) != once[0]
