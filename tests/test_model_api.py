"""What `Model` offers, the same script run with nnc and with Keras: nests of inputs and outputs,
models in models, shared layers, copies, JSON, the text of `summary`, look-ups, mistakes.
"""
import json

import numpy as np
import pytest

from live import keras, plain, values
from test_layer_api import as_plain

import nnc

X = np.linspace(-1, 1, 12).reshape(3, 4).astype("float32")
Y = np.linspace(0, 2, 6).reshape(3, 2).astype("float32")


def dense(k, units, name, **options):
    return k.layers.Dense(units, kernel_initializer="ones", bias_initializer="ones", name=name,
                          **options)


def chain(k):
    return k.Sequential([k.Input((4,), name="x"), dense(k, 3, "a", activation="relu"),
                         dense(k, 2, "b")], name="chain")


def deferred(k):
    return k.Sequential([dense(k, 3, "a"), k.layers.Dropout(0.5, name="drop"), dense(k, 2, "b")],
                        name="deferred")


def two_inputs(k):
    a, b = k.Input((4,), name="a"), k.Input((2,), name="b")
    h = k.layers.Concatenate(name="both")([a, b])
    return k.Model([a, b], dense(k, 2, "out")(h), name="two_inputs")


def dictionaries(k):
    a, b = k.Input((4,), name="a"), k.Input((2,), name="b")
    h = k.layers.Add(name="sum")([dense(k, 2, "left")(a), b])
    return k.Model({"a": a, "b": b}, {"sum": h, "right": dense(k, 1, "right")(h)},
                   name="dictionaries")


def nested_lists(k):
    a, b, c = (k.Input((4,), name=name) for name in "abc")
    h = k.layers.Average(name="mean")([a, k.layers.Maximum(name="most")([b, c])])
    return k.Model([a, [b, c]], [h, {"deep": dense(k, 2, "out")(h)}], name="nested_lists")


def shared(k):
    a, b = k.Input((4,), name="a"), k.Input((4,), name="b")
    one = dense(k, 2, "one")
    return k.Model([a, b], k.layers.Subtract(name="diff")([one(a), one(b)]), name="shared")


def within(k):
    inner = chain(k)
    x = k.Input((4,), name="outside")
    h = inner(x)
    other = k.Model(x, k.layers.Multiply(name="mul")([h, inner(x)]), name="inner_model")
    z = k.Input((4,), name="z")
    return k.Model(z, dense(k, 1, "top")(other(z)), name="within")


def ops_between(k):
    x = k.Input((4,), name="x")
    h = k.ops.relu(x * 2 - 1)
    h = k.ops.concatenate([h, k.ops.square(x)], axis=-1)
    return k.Model(x, dense(k, 2, "out")(h / 3.0), name="ops_between")


def image(k):
    x = k.Input((6, 6, 3), name="image")
    h = k.layers.Conv2D(2, 3, kernel_initializer="ones", name="conv")(x)
    h = k.layers.BatchNormalization(name="norm")(h)
    h = k.layers.GlobalAveragePooling2D(name="pool")(k.layers.ReLU(name="relu")(h))
    return k.Model(x, dense(k, 2, "out")(h), name="image_model")


def subclassed(k):
    class Own(k.Model):
        def __init__(self):
            super().__init__(name="own")
            self.first = dense(k, 3, "first")
            self.rest = [dense(k, 3, "second"), dense(k, 2, "third")]

        def call(self, x, training=None):
            x = self.first(x)
            for layer in self.rest:
                x = layer(x)
            return x
    model = Own()
    model(X)
    return model


MODELS = {"chain": (chain, X), "two_inputs": (two_inputs, [X, Y]), "shared": (shared, [X, X[::-1]]),
          "dictionaries": (dictionaries, {"a": X, "b": Y}),
          "nested_lists": (nested_lists, [X, [X * 2, X[::-1]]]), "within": (within, X),
          "ops_between": (ops_between, X),
          "image": (image, np.ones((2, 6, 6, 3), "float32")), "subclassed": (subclassed, X)}


def structure(k, name):
    """Everything about a model that needs no numbers."""
    make, _ = MODELS[name]
    model = make(k)
    own = name == "subclassed"
    yield model.name, [layer.name for layer in model.layers], model.built
    yield [w.path for w in model.weights], [w.path for w in model.trainable_weights]
    yield [tuple(w.shape) for w in model.get_weights()], model.count_params()
    if not own:
        if name != "chain":     # a Sequential has none that was not called
            yield as_plain(k.tree.map_structure(lambda t: (t.shape, t.dtype, t.name), model.input))
            yield k.tree.map_structure(lambda t: list(t.shape), model.output)
        yield as_plain(model.input_shape), as_plain(model.output_shape)
        yield [t.name for t in model.inputs], len(model.outputs)
        yield as_plain(model.compute_output_shape(model.input_shape))
    yield model.get_layer(index=1).name, model.get_layer(model.layers[-1].name).name
    for wanted in ({"name": "nope"}, {"index": 99}, {}, {"name": "out", "index": 1}):
        try:
            yield model.get_layer(**wanted).name
        except Exception as error:
            yield type(error).__name__


def numbers(k, name):
    make, x = MODELS[name]
    model = make(k)
    x = k.tree.map_structure(k.ops.convert_to_tensor, x)
    yield k.tree.map_structure(lambda t: values(t).round(4), model(x))
    yield k.tree.map_structure(lambda t: t.round(4), model.predict(
        k.tree.map_structure(values, x), verbose=0))
    if name != "subclassed":
        spec = model.compute_output_spec(k.tree.map_structure(
            lambda t: k.KerasTensor((None, *t.shape[1:])), x))
        yield k.tree.map_structure(lambda t: (list(t.shape), t.dtype), spec)
    model.trainable = False
    yield len(model.trainable_weights), len(model.non_trainable_weights)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("script", [structure, numbers], ids=lambda script: script.__name__)
def test_as_keras(script, name):
    found = []
    for k in (nnc, keras):
        (k.utils.clear_session if hasattr(k.utils, "clear_session") else k.backend.clear_session)()
        found.append([as_plain(plain(one)) for one in script(k, name)])
    wrong = [(i, a, b) for i, (a, b) in enumerate(zip(*found, strict=True)) if a != b]
    assert not wrong, "\n".join(f"{i}: {a}\n   {b}" for i, a, b in wrong)


def text_of(model, **options):
    lines = []
    model.summary(print_fn=lambda text, *more, **kwargs: lines.append(text), **options)
    return "\n".join(lines)


@pytest.mark.parametrize("options", [{}, {"expand_nested": True}, {"show_trainable": True},
                                     {"line_length": 70}, {"line_length": 120}], ids=str)
@pytest.mark.parametrize("name", ["deferred", *MODELS])
def test_summary(name, options, monkeypatch):
    monkeypatch.setenv("COLUMNS", "130")        # the width that Keras's is cut to
    texts = []
    for k in (nnc, keras):
        (k.utils.clear_session if hasattr(k.utils, "clear_session") else k.backend.clear_session)()
        make = deferred if name == "deferred" else MODELS[name][0]
        texts.append(text_of(make(k), **options))
    assert texts[0] == texts[1]


@pytest.mark.parametrize("name", [name for name in MODELS if name != "subclassed"])
def test_json_and_copies(name):
    """JSON goes both ways; copies compute the same, have weights of their own and Keras's names."""
    make, x = MODELS[name]
    x_of = {k: k.tree.map_structure(k.ops.convert_to_tensor, x) for k in (nnc, keras)}
    model, theirs = make(nnc), make(keras)
    for source, target, one in ((nnc, keras, model), (keras, nnc, theirs), (nnc, nnc, model)):
        text = one.to_json()
        again = target.models.model_from_json(text)
        assert [layer.name for layer in again.layers] == [layer.name for layer in one.layers]
        again.set_weights(one.get_weights())
        for a, b in zip(nnc.tree.flatten(again(x_of[target])), nnc.tree.flatten(one(x_of[source]))):
            np.testing.assert_allclose(values(a), values(b), rtol=1e-5, atol=1e-5)
    keys = [set(json.loads(one.to_json())) - {"build_config"} for one in (model, theirs)]
    assert keys[0] == keys[1]           # Keras notes an empty build_config for functional models
    copies = [k.models.clone_model(one) for k, one in ((nnc, model), (keras, theirs))]
    assert [layer.name for layer in copies[0].layers] == [layer.name for layer in copies[1].layers]
    assert [w.path for w in copies[0].weights] == [w.path for w in copies[1].weights]
    assert not {id(w) for w in copies[0].weights} & {id(w) for w in model.weights}
    assert type(model).from_config(model.get_config()).count_params() == model.count_params()


def sequential_changes(k):
    model = k.Sequential(name="s")
    yield model.built, len(model.layers), model.layers == []
    model.add(dense(k, 3, "a"))
    yield model.built, [w.path for w in model.weights]
    model.add(dense(k, 2, "b"))
    model.build((None, 4))      # a call alone leaves Keras's with a batch of 3
    yield values(model(X)), model.built, [w.path for w in model.weights]
    yield model.input_shape, model.output_shape, [one.name for one in model.layers]
    model.pop()
    yield [one.name for one in model.layers], values(model(X))
    model.add(k.layers.Flatten(name="f"))
    yield values(model(X)), model.output_shape
    model = k.Sequential([k.layers.Dense(2, name="d")], name="t")
    model.build((None, 5))
    yield [tuple(w.shape) for w in model.weights], model.input_shape
    model = k.Sequential([k.Input(shape=(4,), batch_size=3), k.layers.Flatten()])
    yield model.input_shape, model.output_shape, len(model.layers)


def parts(k):
    model = within(k)
    inner = model.get_layer("inner_model")
    middle = k.Model(inner.input, inner.get_layer("mul").output, name="m")
    yield values(middle(X)), [layer.name for layer in middle.layers]
    yield inner.get_layer("chain").get_layer("a").count_params()
    yield model.get_layer("top").input.shape, model.get_layer("top").output.shape
    bottom = chain(k)
    yield values(k.Model(bottom.inputs, bottom.layers[0].output)(X))
    yield values(k.Model(bottom.inputs, [one.output for one in bottom.layers])(X)[0])


def mistakes(k):
    x, z = k.Input((4,), name="x"), k.Input((4,), name="z")
    y = k.layers.Dense(2, name="d")(x)
    model = k.Model(x, y)
    calls = [
        lambda: k.Model(z, y), lambda: k.Model(x, np.ones(3)), lambda: k.Model(y, x),
        lambda: k.Model([x, x], y), lambda: k.Model(X, y), lambda: k.Model(x),
        lambda: k.Model(inputs=x, outputs=y, nmae="n"), lambda: k.Model(x, y, name=3),
        lambda: k.Model(x, [y, k.layers.Dense(2, name="d")(y)]), lambda: k.Sequential([3]),
        lambda: k.Sequential([k.layers.Dense(2, name="a"), k.layers.Dense(2, name="a")]),
        lambda: k.Sequential().add("dense"), lambda: k.Sequential().pop(),
        lambda: k.Sequential([k.Input((4,)), k.Input((4,))]),
        lambda: k.Sequential([k.layers.Dense(2)]).summary(print_fn=lambda *a, **o: None),
        lambda: k.Sequential([k.layers.Dense(2)]).get_weights(),
        lambda: k.Sequential([k.layers.Dense(2)]).output_shape, lambda: model(X[:, :3]),
        lambda: model([X, X]), lambda: model(), lambda: model(X[0]), lambda: model({"y": X}),
        lambda: model({"x": X}), lambda: model.predict(X[:, :2], verbose=0),
        lambda: model.fit(X, Y, verbose=0), lambda: model.evaluate(X, Y, verbose=0),
        lambda: model.compile(optimizer="adm"), lambda: model.compile(loss="mze"),
        lambda: model.load_weights("/nowhere.weights.h5"), lambda: model.save("/nowhere/x.txt"),
        lambda: model.save_weights("/tmp/x"), lambda: model.to_json(indent=2),
        lambda: k.models.model_from_json("{"), lambda: k.models.model_from_json("{}"),
        lambda: k.models.clone_model("model"), lambda: k.models.clone_model(model).built,
        lambda: k.models.load_model("/nowhere.keras"), lambda: model.set_weights([]),
        lambda: setattr(model, "layers", []), lambda: k.Input(), lambda: k.Input((4,), dtype="f"),
        lambda: k.Input(shape="abc"), lambda: k.Input((2, "a")), lambda: k.Input((-1,)),
        lambda: k.Input((4,), batch_size=2).shape, lambda: k.Input(batch_shape=(2, None)).shape,
        lambda: k.layers.Dense(2)(x).shape, lambda: bool(x), lambda: float(x), lambda: x.numpy(),
        lambda: len(x), lambda: iter(x), lambda: np.asarray(x), lambda: x + X.shape, lambda: x[9],
        lambda: x @ z, lambda: k.ops.matmul(x, np.ones((3, 2), "float32")),
        lambda: k.ops.reshape(x, (3, 5)), lambda: k.layers.Add()([x, y]),
        lambda: k.Model(x, y).get_layer(3), lambda: k.Model(x, y).compute_output_shape((3,)),
    ]
    for i, call in enumerate(calls):
        try:
            result = call()
            yield i, list(result) if isinstance(result, tuple) else "taken"
        except Exception:
            yield i, "refused"


# What Keras takes, to fail later or to give what cannot be: one input twice, unknown arguments, a
# loss that does not exist, an empty JSON, a copy of a string, a reshape to a size that no batch
# has, the output's shape of an input without a batch.
STRICTER = {3, 6, 27, 33, 34, 57, 60}


@pytest.mark.parametrize("script", [sequential_changes, parts, mistakes],
                         ids=lambda script: script.__name__)
def test_scripts(script):
    found = []
    for k in (nnc, keras):
        (k.utils.clear_session if hasattr(k.utils, "clear_session") else k.backend.clear_session)()
        found.append([as_plain(plain(one)) for one in script(k)])
    if script is mistakes:
        found = [[one for one in side if one[0] not in STRICTER] for side in found]
    wrong = [(i, a, b) for i, (a, b) in enumerate(zip(*found, strict=True)) if a != b]
    assert not wrong, "\n".join(f"{i}: {a}\n   {b}" for i, a, b in wrong)
