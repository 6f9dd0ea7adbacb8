"""Functional models beside Keras's: graphs, calls, configurations both ways, training, copies."""
import copy
import inspect
import json
import pickle

import numpy as np
import pytest

from tests.live import keras, plain, values

import nnc

RNG = np.random.default_rng(3)
A, B = (RNG.normal(size=(6, 4)).astype("float32") for _ in range(2))


def two_inputs(k):
    """Two named inputs, a shared layer, ops, two outputs."""
    a, b = k.Input((4,), name="a"), k.Input((4,), name="b")
    shared = k.layers.Dense(4, activation="tanh", name="shared")
    joined = k.layers.Add(name="joined")([shared(a), shared(b)])
    part = k.ops.concatenate([joined[:, 1:3], k.ops.mean(joined * 2.0, axis=1, keepdims=True)], -1)
    first = k.layers.Dense(2, name="first")(part)
    second = k.layers.Dense(1, name="second")(k.ops.relu(joined) - 1.0)
    return k.Model({"a": a, "b": b}, [first, second], name="two"), {"a": A, "b": B}


def dict_outputs(k):
    x = k.Input((4,), name="x")
    h = k.layers.Dense(3, name="h")(x)
    return k.Model(x, {"sum": k.ops.sum(h, axis=-1), "soft": k.layers.Softmax(name="s")(h)}), A


def nested(k):
    """A functional and a sequential model as layers of a third, the first called twice."""
    i = k.Input((4,), name="i")
    inner = k.Model(i, k.layers.Dense(4, name="d")(i), name="inner")
    tail = k.Sequential([k.Input((4,)), k.layers.Dense(2, name="t")], name="tail")
    x, y = k.Input((4,), name="x"), k.Input((4,), name="y")
    joined = k.layers.Concatenate(axis=0, name="c")([inner(x), inner(y)])
    return k.Model([x, y], tail(joined), name="outer"), [A, B]


def residual(k):
    """A layer at several depths, a reshape by -1, comparisons, a split."""
    x = k.Input((4,), name="x")
    d = k.layers.Dense(4, name="d")
    h = d(d(x)) + x
    h = k.ops.where(h > 0, h, 0.1 * h)
    p, q = k.ops.split(h, 2, axis=-1)
    return k.Model(x, k.ops.reshape(p @ k.ops.transpose(p), (-1, 1)) * q[0, 0] / 2.0), A


MODELS = [two_inputs, dict_outputs, nested, residual]


def flat(outputs):
    return [values(leaf) for leaf in nnc.tree.flatten(outputs)]


def same_outputs(a, b):
    a, b = flat(a), flat(b)
    assert len(a) == len(b)
    for p, q in zip(a, b):
        assert p.shape == q.shape
        np.testing.assert_allclose(p, q, rtol=2e-5, atol=2e-6)     # float32, sums of 4 terms


def reset():
    for k in (nnc, keras):
        k.utils.clear_session()


def pair(make):
    reset()
    (ours, x), (theirs, _) = make(nnc), make(keras)
    theirs.set_weights(ours.get_weights())
    return ours, theirs, x


@pytest.mark.parametrize("make", MODELS)
def test_outputs_shapes_and_order(make):
    ours, theirs, x = pair(make)
    same_outputs(ours(x), theirs(x))
    shapes = [tuple(t.shape) for t in theirs.outputs]
    assert [t.shape for t in ours.outputs] == shapes
    assert ours.input_shape == theirs.input_shape and ours.output_shape == theirs.output_shape
    assert [o.name for o in ours.operations] == [o.name for o in theirs.operations]
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    if make is not residual and make is not nested:
        predicted = ours.predict(x, batch_size=4, verbose=0)
        same_outputs(predicted, theirs(x))


@pytest.mark.parametrize("make", MODELS)
def test_configurations_go_both_ways(make):
    ours, theirs, x = pair(make)
    a, b = json.loads(ours.to_json()), json.loads(theirs.to_json())
    # Keras notes an empty build_config for functional models, and the backend in some versions.
    assert _normal(a["config"]) == _normal(b["config"])
    for text in (ours.to_json(), theirs.to_json()):
        for k in (nnc, keras):
            model = k.models.model_from_json(text)
            model.set_weights(ours.get_weights())
            same_outputs(model(x), theirs(x))
    again = nnc.models.model_from_json(ours.to_json())
    assert again.to_json() == ours.to_json()


def _normal(config):
    if isinstance(config, dict):
        return {key: _normal(value) for key, value in config.items()
                if not (key == "build_config" and (value or {}).get("input_shape") is None)}
    return [_normal(part) for part in config] if isinstance(config, list) else config


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)),
                                       nnc.models.clone_model])
def test_copies_compute_the_same_and_share_nothing(make, duplicate):
    reset()
    model, x = make(nnc)
    other = duplicate(model)
    assert other.to_json() == model.to_json()
    assert not {id(w) for w in other.weights} & {id(w) for w in model.weights}
    other.set_weights(model.get_weights())
    for p, q in zip(flat(model(x)), flat(other(x))):
        assert p.tobytes() == q.tobytes()


def test_parts_of_a_model():
    ours, theirs, x = pair(two_inputs)
    for k, model in ((nnc, ours), (keras, theirs)):
        part = k.Model(model.input, model.get_layer("joined").output)
        middle = k.Model(model.get_layer("joined").output, model.outputs[1])
        result = middle(part(x))
        if k is nnc:
            mine = result
    same_outputs(mine, result)
    same_outputs(mine, theirs(x)[1])
    assert ours.get_layer("first").input.shape == (None, 3)
    with pytest.raises(AttributeError, match="never been called"):
        nnc.layers.Dense(1).output


@pytest.mark.parametrize("make", [two_inputs, nested])
def test_summary_is_keras_s(make, capsys):
    ours, theirs, _ = pair(make)
    for expand in (False, True):
        lines = []
        ours.summary(print_fn=lines.append, expand_nested=expand, line_length=100)
        theirs.summary(print_fn=lambda text, **_: lines.append(text), expand_nested=expand,
                       line_length=100)
        names = [[line.split()[1] for line in text.splitlines() if line.startswith("│ ")]
                 for text in lines]
        assert names[0] == names[1]
        assert "Connected to" in lines[0] and ("joined" in lines[0]) == (make is two_inputs)


def test_training_follows_keras():
    reset()

    def make(k):
        a, b = k.Input((4,), name="a"), k.Input((4,), name="b")
        shared = k.layers.Dense(5, activation="relu", name="s")
        h = k.layers.BatchNormalization(name="n")(shared(a) * 0.5 + shared(b))
        return k.Model([a, b], k.layers.Dense(1, name="o")(h))
    ours, theirs = make(nnc), make(keras)
    theirs.set_weights(ours.get_weights())
    y = A[:, :1] - B[:, 1:2]
    losses = []
    for model in (ours, theirs):
        model.compile("sgd", "mse")
        losses.append(model.fit([A, B], y, epochs=4, batch_size=3, shuffle=False,
                                verbose=0).history["loss"])
    # roundings of 8 steps in float32: up to 8e-7 in the loss, 1.5e-7 in the weights over 12 seeds
    np.testing.assert_allclose(*losses, rtol=5e-6)
    for p, q in zip(ours.get_weights(), theirs.get_weights()):
        np.testing.assert_allclose(p, q, rtol=0, atol=1e-6)


def test_training_reaches_layers_inside():
    x = nnc.Input((50,))
    inner = nnc.Model(x, nnc.layers.Dropout(0.5)(x))
    y = nnc.Input((50,))
    model = nnc.Model(y, inner(y) + 0.0)
    ones = np.ones((4, 50), "float32")
    assert (values(model(ones, training=True)) == 0).any()
    assert (values(model(ones)) == 1).all() and (values(model(ones, training=False)) == 1).all()
    always = nnc.Model(y, nnc.layers.Dropout(0.5)(y, training=True))
    assert (values(always(ones)) == 0).any()


def test_masks_travel():
    x = nnc.Input((3, 2))
    h = nnc.layers.Masking()(x)
    marked = nnc.layers.Lambda(
        lambda v, mask: nnc.ops.where(nnc.ops.expand_dims(mask, -1), v, -5.0),
        mask=lambda v, mask: mask)(h)
    model = nnc.Model(x, nnc.layers.Add()([marked, marked]))
    data = np.array([[[1, 2], [0, 0], [3, 0]]], "float32")
    result = model(data)
    assert values(result).tolist() == [[[2, 4], [-10, -10], [6, 0]]]
    assert values(result._keras_mask).tolist() == [[True, False, True]]
    assert model.predict(data, verbose=0).tolist() == values(result).tolist()


def test_inputs_are_fitted():
    x = nnc.Input((1,), name="x")
    model = nnc.Model(x, x * 2.0)
    assert values(model(np.ones(3))).shape == (3, 1)
    assert values(model([[1.0], [2.0]])).tolist() == [[2.0], [4.0]]
    assert values(model({"x": np.ones((2, 1)), "other": 3.0})).shape == (2, 1)
    whole = nnc.Input((2,), dtype="int32", name="ids")
    assert values(nnc.Model(whole, whole + 1)(np.ones((2, 2)))).dtype == "int32"


def test_subclass_of_a_functional_model():
    class Doubled(nnc.Model):
        def test_step(self, data):
            return {"two": 2.0}

    x = nnc.Input((4,))
    model = Doubled(x, nnc.layers.Dense(1)(x))
    assert model.layers[1].name.startswith("dense")
    model.compile("sgd", "mse")
    assert model.evaluate(A, A[:, :1], verbose=0, return_dict=True) == {"two": 2.0}


def test_clone_with_functions():
    model, x = two_inputs(nnc)
    clone = nnc.models.clone_model(
        model, clone_function=lambda layer: nnc.layers.Dense(7, name="wide")
        if layer.name == "shared" else type(layer).from_config(layer.get_config()),
        call_function=lambda layer, *args, **kwargs: layer(*args, **kwargs))
    assert clone.get_layer("wide").units == 7 and clone.get_layer("second").kernel.shape == (7, 1)


def test_stateless_call():
    model, x = two_inputs(nnc)
    new = [w.numpy() * 2 for w in model.trainable_variables]
    kept = model.get_weights()
    outputs, state = model.stateless_call(new, [], x)
    for before, after in zip(kept, model.get_weights()):
        assert before.tobytes() == after.tobytes()
    model.set_weights(new)
    assert values(model(x)[0]).tobytes() == values(outputs[0]).tobytes() and state == []
    norm = nnc.layers.BatchNormalization(momentum=0.0)
    norm.build((None, 4))
    _, state = norm.stateless_call([np.ones(4), np.zeros(4)], [np.zeros(4), np.ones(4)], A,
                                   training=True)
    np.testing.assert_allclose(values(state[0]), A.mean(0), rtol=1e-4, atol=1e-6)
    assert (norm.moving_mean.numpy() == 0).all()


@pytest.mark.parametrize("make, text", [
    (lambda x, m: nnc.Model(x, 3), "must be KerasTensors"),
    (lambda x, m: nnc.Model([x, x], x), "named twice"),
    (lambda x, m: nnc.Model(nnc.Input((4,)), nnc.layers.Dense(1)(x)), "not among `inputs`"),
    (lambda x, m: nnc.Model(x, nnc.layers.Dense(2, name="d")(nnc.layers.Dense(2, name="d")(x))),
     "\"d\" is used 2 times"),
    (lambda x, m: m({"a": A}), "'b' is missing"),
    (lambda x, m: m([A]), "expects 2 input"),
    (lambda x, m: m([A, B[:, :3]]), "expected \\(None, 4\\), received \\(6, 3\\)"),
    (lambda x, m: np.asarray(x), "symbolic placeholder"),
    (lambda x, m: bool(x > 0), "symbolic placeholder"),
    (lambda x, m: nnc.ops.matmul(x, np.ones((3, 3))), "3"),
    (lambda x, m: nnc.models.model_from_json('{"module": "keras.src.ops.numpy", "class_name": '
                                             '"Nothing", "config": {}}'), "Nothing"),
])
def test_errors(make, text):
    model, _ = two_inputs(nnc)
    with pytest.raises((ValueError, TypeError), match=text):
        make(nnc.Input((4,)), model)


OPS = [
    lambda o, x, y: o.add(x, y), lambda o, x, y: o.clip(x, 0.0, 1.0),
    lambda o, x, y: o.max(x, axis=1), lambda o, x, y: o.where(x > y, x, y),
    lambda o, x, y: o.stack([x, y], axis=1), lambda o, x, y: o.expand_dims(x, 1),
    lambda o, x, y: o.transpose(x), lambda o, x, y: o.tile(x, (1, 2)),
    lambda o, x, y: o.cast(x, "int32"), lambda o, x, y: o.softmax(x, axis=-1),
    lambda o, x, y: o.leaky_relu(x, 0.1), lambda o, x, y: o.one_hot(o.cast(x > 0, "int32"), 2),
    lambda o, x, y: o.logsumexp(x, axis=-1, keepdims=True), lambda o, x, y: o.absolute(x) ** 2,
    lambda o, x, y: o.power(o.absolute(x), y), lambda o, x, y: o.take(x, [0, 2], axis=1),
    lambda o, x, y: o.squeeze(x[:, :1], axis=1), lambda o, x, y: o.repeat(x, 2, axis=1),
    lambda o, x, y: o.std(x, axis=1), lambda o, x, y: o.pad(x, [[0, 0], [1, 2]]),
    lambda o, x, y: o.tensordot(x, np.ones((4, 2), "float32"), 1), lambda o, x, y: o.erf(x),
    lambda o, x, y: o.argmax(x, axis=1), lambda o, x, y: o.norm(x, axis=1),
    lambda o, x, y: o.log_softmax(x), lambda o, x, y: o.swapaxes(x, 0, 1),
    lambda o, x, y: o.true_divide(x, y), lambda o, x, y: o.logical_and(x > 0, y > 0),
]


def test_ops_are_keras_s_operations():
    """Specs, numbers and the class, module, options and arguments of each op in configurations."""
    for function in OPS:
        made = []
        reset()
        for k in (nnc, keras):
            x, y = k.Input((4,), name="x"), k.Input((4,), name="y")
            output = function(k.ops, x, y)
            made.append((k.Model([x, y], output), output))
        (ours, a), (theirs, b) = made
        assert (a.shape, a.dtype) == (tuple(b.shape), b.dtype)
        eager = function(nnc.ops, nnc.Tensor(A), nnc.Tensor(B))
        assert values(ours([A, B])).tobytes() == values(eager).tobytes()
        assert plain(json.loads(ours.to_json())["config"]) == \
            plain(json.loads(theirs.to_json())["config"])


def test_exported_ops_are_the_ops():
    """Names, signatures and docstrings of the functions behind them; pickles; argument errors."""
    found = [getattr(nnc.ops, name) for name in dir(nnc.ops)
             if hasattr(getattr(nnc.ops, name), "_nnc_op")]
    assert len(found) > 300
    for op in found:
        inside = op._nnc_op
        assert inspect.signature(op) == inspect.signature(inside)
        assert (op.__name__, op.__doc__) == (inside.__name__, inside.__doc__)
        assert pickle.loads(pickle.dumps(op)) is op
    x = nnc.KerasTensor((None, 4))
    for args in ((), (x,), (x, x, x)):
        with pytest.raises(TypeError, match=r"^add\(\) "):
            nnc.ops.add(*args)
    assert nnc.ops.einsum("ij,kj->ik", x, nnc.KerasTensor((3, 4))).shape == (None, 3)
    assert nnc.ops.add(x2=x, x1=np.ones((1, 4))).shape == (None, 4)


ACTIVATIONS = [("relu", ()), ("relu", (0.1, 6.0)), ("softmax", ()), ("gelu", (True,)),
               ("exponential", ()), ("threshold", (0.1, 0.0)), ("glu", ()), ("selu", ())]


def test_activations_of_keras_tensors():
    """A node each, with Keras's configuration; two that Keras refuses work too."""
    for name, args in ACTIVATIONS:
        made = []
        reset()
        for k in (nnc, keras):
            x = k.Input((4,), name="x")
            made.append(k.Model(x, getattr(k.activations, name)(x, *args)))
        ours, theirs = (json.loads(model.to_json())["config"] for model in made)
        assert plain(ours) == plain(theirs)
        eager = getattr(nnc.activations, name)(nnc.Tensor(A), *args)
        for model in (made[0], nnc.models.model_from_json(made[1].to_json())):
            assert values(model(A)).tobytes() == values(eager).tobytes()
    for name, function in nnc.activations.ALL_OBJECTS.items():
        x = nnc.Input((4,))
        output = function(x, *((0.1, 0.0) if name == "threshold" else ()))
        assert output.shape == ((None, 2) if name == "glu" else (None, 4))
        assert pickle.loads(pickle.dumps(function)) is function
    model = nnc.Model(x, nnc.activations.mish(x))
    again = nnc.Model.from_config(model.get_config())
    assert values(again(A)).tobytes() == values(nnc.activations.mish(A)).tobytes()


SIZES = [((None, 4), (32, 4)), ((None, 4), (1, 4)), ((None, 1), (None, 4)), ((2, None), (2, 7)),
         ((None, None), (32, 7)), ((None, None, 8), (50, 8)), ((None, None, 3), (32, 1, 3)),
         ((None, None, 3), (1, 5, 1)), ((None, 4), (8, 4)), ((None, 3), (96, 3))]
BROADCASTING = [lambda o, x, y: x + y, lambda o, x, y: o.where(y > 0, x, y),
                lambda o, x, y: o.arctan2(x, y), lambda o, x, y: o.minimum(y, x)]


@pytest.mark.parametrize("a, b", SIZES)
def test_sizes_not_known_meet_fixed_ones(a, b):
    """The broadcast shape is Keras's."""
    for function in BROADCASTING:
        ours, theirs = (function(k.ops, k.KerasTensor(a), k.KerasTensor(b)).shape
                        for k in (nnc, keras))
        assert ours == tuple(theirs)


def test_sizes_not_known_in_layers():
    """Of merged inputs, of a layer's own weights, of joined arrays; and what fits nothing."""
    class Positions(nnc.Layer):
        def build(self, input_shape):
            self.table = self.add_weight((50, 8))

        def call(self, x):
            return x + self.table
    x = nnc.Input((None, 8))
    model = nnc.Model(x, Positions()(x))
    assert model.output_shape == (None, 50, 8)
    assert model(np.ones((3, 50, 8), "float32")).shape == (3, 50, 8)
    some, fixed = nnc.KerasTensor((None, 4)), nnc.KerasTensor((8, 4))
    assert nnc.layers.Add()([some, fixed]).shape == (8, 4)
    assert nnc.ops.concatenate([some, fixed], 1).shape == (None, 8)
    assert (some + np.ones((8, 4), "float32")).shape == (8, 4)
    for other in ((8, 5), (3, 5)):
        with pytest.raises(ValueError, match="do not broadcast"):
            some + nnc.KerasTensor(other)
    with pytest.raises(ValueError):
        nnc.ops.concatenate([nnc.KerasTensor((None, None)), fixed], 1)


def test_ops_have_keras_s_modules():
    """What `ops` has of Keras's `ops.nn`, `ops.numpy` and `ops.linalg` is there too."""
    for place in ("nn", "numpy", "linalg"):
        names = [name for name in dir(getattr(keras.ops, place))
                 if not name.startswith("_") and hasattr(nnc.ops, name)]
        assert len(names) > 12
        missing = [name for name in names if not hasattr(getattr(nnc.ops, place), name)]
        assert not missing
    with pytest.raises(AttributeError, match="no attribute 'no_such'"):
        nnc.ops.numpy.no_such


def test_ops_of_other_files_are_in_no_module():
    for module in (nnc.ops.nn, nnc.ops.numpy):
        for name in ("fft", "no_such_op", "_hidden"):
            with pytest.raises(AttributeError, match=name):
                getattr(module, name)


@pytest.mark.parametrize("given", [True, False, None])
def test_training_of_the_model_comes_first(given):
    """Before what a layer was called with when the model was made, as in Keras."""
    x = np.random.default_rng(0).normal(3, 5, (20, 4)).astype("float32")
    results = []
    for library in (nnc, keras):
        inputs = library.Input((4,))
        layer = library.layers.BatchNormalization()
        model = library.Model(inputs, layer(inputs) if given is None else layer(inputs, training=given))
        results.append([abs(values(model(x, training=training))).mean() < 2 for training in (True, False, None)]
                       + [abs(model.predict(x, verbose=0)).mean() < 2])
    assert results[0] == results[1] == [True, False, bool(given), False]


def test_ops_whose_arguments_have_other_names_are_symbolic():
    """Their shapes, and in a model as NumPy's."""
    x = nnc.Input((4, 3))
    turned = nnc.ops.rot90(x, 1, (1, 2))
    grid, _ = nnc.ops.meshgrid(x[0, 0], x[0, 1], indexing="ij")
    assert turned.shape == (None, 3, 4) and grid.shape == (3, 3)
    assert round(x, 1).shape == (None, 4, 3)
    a = np.arange(24, dtype="f").reshape(2, 4, 3) / 7
    got = nnc.Model(x, [turned, grid, round(x, 1)])(a)
    for y, want in zip(got, (np.rot90(a, 1, (1, 2)), np.meshgrid(a[0, 0], a[0, 1], indexing="ij")[0],
                             np.round(a, 1))):
        np.testing.assert_allclose(y, want, rtol=1e-6)      # round multiplies and divides
    v = nnc.Variable(a)
    np.testing.assert_allclose(round(v, 1), np.round(a, 1), rtol=1e-6)


def test_nested_models_with_ops_that_ask_for_values():
    """`nonzero` cannot be recorded; a layer that says its shape makes a model that nests."""
    x = np.array([[0, 1], [2, 0], [3, 4]], "float32")

    def build(k):
        class Places(k.layers.Layer):
            def call(self, x):
                return x + k.ops.cast(k.ops.sum(k.ops.nonzero(x)[0]), "float32")

            def compute_output_shape(self, input_shape):
                return input_shape
        a, b = k.Input((2,)), k.Input((2,))
        middle = k.Model(a, k.layers.Dense(3, kernel_initializer="ones")(Places()(a)))
        outer = k.Model(b, k.Model(b, middle(b) * 2.0)(b) + 1.0)
        assert tuple(outer.output_shape) == (None, 3)
        outer.compile("sgd", "mse")
        return outer
    ours, theirs = build(nnc), build(keras)
    want = values(theirs(x))
    np.testing.assert_allclose(values(ours(x)), want, rtol=1e-6)
    np.testing.assert_allclose(ours.predict(x, verbose=0), want, rtol=1e-6)
    y = np.ones((3, 3), "float32")
    np.testing.assert_allclose(ours.evaluate(x, y, verbose=0), theirs.evaluate(x, y, verbose=0),
                               rtol=1e-6)
    with pytest.raises(ValueError, match="expected"):
        ours(nnc.Input((2, 2, 2)))


#: Nested inputs, of which a flat dict names each.
NESTED = {
    "dict in a dict": lambda x, y, b: {"a": {"x": x, "y": y}, "b": b},
    "list in a dict": lambda x, y, b: {"l": [x, y], "b": b},
}


@pytest.mark.parametrize("name", NESTED)
def test_a_flat_dict_for_nested_inputs_is_taken_by_name_with_a_warning(name):
    """Keras takes its values in the order of its keys, whatever the names, under such a warning."""
    x, y, b = (nnc.Input((1,), name=name) for name in "xyb")
    model = nnc.Model(NESTED[name](x, y, b), x * 100.0 + y * 10.0 + b)
    given = {key: np.full((2, 1), value, "float32") for key, value in
             {"b": 3, "x": 1, "y": 2, "unused": 9}.items()}
    for call in (model, lambda flat: model.predict(flat, verbose=0)):
        with pytest.warns(UserWarning, match="structure of `inputs` doesn't match the expected"):
            assert np.asarray(call(given)).tolist() == [[123.0], [123.0]]
        with pytest.raises(ValueError, match="is missing"):
            call({"x": given["x"], "y": given["y"]})
