"""What the base class `Layer` offers, the same script run with nnc and with Keras: building,
weights, tracking, masks, stateless calls, symbolic shapes, dtype policies; and the configuration of
every layer there is.
"""
import inspect

import numpy as np
import pytest

from live import keras, plain, values

import nnc

X = np.linspace(-1, 1, 12).reshape(3, 4).astype("float32")


def own_layers(k):
    """Classes that use the base class in the ways users do."""

    class Scaled(k.layers.Layer):
        """One weight; made in build."""

        def __init__(self, units=4, **kwargs):
            super().__init__(**kwargs)
            self.units = units

        def build(self, input_shape):
            self.scale = self.add_weight(shape=(self.units,), initializer="ones", name="scale",
                                         regularizer="l2", constraint="non_neg")
            self.count = self.add_weight(initializer="zeros", dtype="int32", trainable=False,
                                         name="count")

        def call(self, x, training=None):
            if training:
                self.count.assign_add(1)
            return x * self.scale

        def get_config(self):
            return {**super().get_config(), "units": self.units}

    class Outer(k.layers.Layer):
        """Layers in attributes, lists, dictionaries and tuples."""

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.first = k.layers.Dense(4, kernel_initializer="ones", name="first")
            self.many = [Scaled(name="a"), Scaled(name="b")]
            self.named = {"c": k.layers.Dense(2, kernel_initializer="ones", name="c")}

        def call(self, x):
            for layer in (self.first, *self.many):
                x = layer(x)
            return self.named["c"](x)

    class Two(k.layers.Layer):
        """Two inputs and a mask; gives a dictionary."""

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.supports_masking = True

        def build(self, a_shape, b_shape):
            self.shapes = (tuple(a_shape), tuple(b_shape))

        def call(self, a, b=None, mask=None):
            return {"sum": a + b, "masked": k.ops.cast(mask is not None, "int32")}

        def compute_output_shape(self, a_shape, b_shape):
            return {"sum": a_shape, "masked": ()}

    return Scaled, Outer, Two


def build_states(k):
    Scaled, _, _ = own_layers(k)
    layer = Scaled(name="s")
    yield layer.built, layer.weights, len(layer.variables), layer.trainable
    layer.build((None, 4))
    yield layer.built, [w.name for w in layer.weights], [w.path for w in layer.weights]
    layer = Scaled(name="s")
    y = layer(X)
    yield values(y), layer.built, [w.path for w in layer.weights], layer.count_params()
    yield [w.trainable for w in layer.weights], len(layer.trainable_weights)
    yield [str(w.dtype) for w in layer.weights], [tuple(w.shape) for w in layer.weights]
    yield [values(loss) for loss in layer.losses]
    layer(X, training=True)
    yield values(layer.count)
    layer.trainable = False
    yield len(layer.trainable_weights), len(layer.non_trainable_weights), layer.losses
    layer.trainable = True
    layer.set_weights([np.full(4, 2, "float32"), np.array(7, "int32")])
    yield layer.get_weights(), values(layer(X))
    yield plain({key: value for key, value in layer.get_config().items() if key != "dtype"})
    yield Scaled.from_config(layer.get_config()).units, layer.name, layer.path


def tracking(k):
    _, Outer, _ = own_layers(k)
    layer = Outer(name="outer")
    yield values(layer(X))
    yield [w.path for w in layer.weights], [w.path for w in layer.trainable_variables]
    yield [one.name for one in layer._flatten_layers()]
    yield len(layer.losses), layer.count_params()
    layer.many[0].trainable = False
    yield [w.path for w in layer.trainable_weights]
    layer.trainable = False
    yield len(layer.trainable_weights), layer.first.trainable
    layer.trainable = True
    yield len(layer.trainable_weights), layer.many[0].trainable


def weights_of_all_kinds(k):
    class Many(k.layers.Layer):
        def __init__(self):
            super().__init__(name="many", dtype="float32")
            self.a = self.add_weight(shape=(2, 3), initializer="zeros", name="a")
            self.b = self.add_weight(shape=(3,), initializer="ones", trainable=False)
            self.c = self.add_weight(initializer=k.initializers.Constant(2.5), dtype="float64",
                                     name="c")
            self.d = self.add_weight(shape=[2], initializer="one", aggregation="mean", name="d")
            self.e = k.Variable(np.ones((2, 2), "float32"), name="e")

        def call(self, x):
            return x * self.b
    layer = Many()
    yield [(w.name, tuple(w.shape), str(w.dtype), w.trainable) for w in layer.weights]
    yield layer.built, [values(w) for w in layer.weights]
    yield values(layer(np.ones((2, 3), "float32"))), layer.built
    yield [w.path for w in layer.weights]
    layer.a.trainable = False           # stays where it was
    yield [w.path for w in layer.weights], [w.path for w in layer.trainable_weights]


def variables_with_seeds(k):
    class Mixed(k.layers.Layer):
        def __init__(self):
            super().__init__(name="mixed")
            self.drop = k.layers.Dropout(0.5, seed=1, name="drop")
            self.norm = k.layers.BatchNormalization(name="norm")
            self.own = k.random.SeedGenerator(3)
            self.last = k.layers.GaussianNoise(0.1, seed=2, name="last")

        def call(self, x):
            return self.last(self.norm(self.drop(x)))
    layer = Mixed()
    layer(X)
    yield [tuple(v.shape) for v in layer.variables], [v.name for v in layer.weights]
    yield [tuple(v.shape) for v in layer.non_trainable_variables]


def inputs_and_masks(k):
    _, _, Two = own_layers(k)
    layer = Two(name="two")
    y = layer(X, b=X)
    yield layer.shapes, values(y["sum"]), values(y["masked"])
    yield layer.supports_masking, values(k.layers.Embedding(
        5, 2, mask_zero=True).compute_mask(k.ops.convert_to_tensor(np.array([[1, 0, 2]]))))
    spec = layer.compute_output_spec(k.KerasTensor((None, 4)), b=k.KerasTensor((None, 4)))
    yield {key: one.shape for key, one in spec.items()}


def symbolic(k):
    Scaled, Outer, Two = own_layers(k)
    own = Scaled()
    own.build((None, 4))
    for layer in (own, k.layers.Dense(3), k.layers.Flatten(), k.layers.Dropout(0.5),
                  k.layers.BatchNormalization(), k.layers.ReLU(), k.layers.Activation("softmax")):
        for shape in ((None, 4), (2, 4)):
            spec = layer.compute_output_spec(k.KerasTensor(shape))
            yield spec.shape, spec.dtype
        yield tuple(layer(k.KerasTensor((None, 4))).shape)
    spec = Outer().compute_output_spec(k.KerasTensor((7, 4)))
    yield spec.shape, spec.dtype


def stateless(k):
    Scaled, _, _ = own_layers(k)
    layer = Scaled()
    layer.build((None, 4))
    trainable = [np.full(4, 3, "float32")]
    y, state = layer.stateless_call(trainable, [np.array(5, "int32")], X, training=True)
    yield values(y), [values(s) for s in state], values(layer.count), values(layer.scale)
    y, state, losses = layer.stateless_call(trainable, [np.array(5, "int32")], X,
                                            return_losses=True)
    yield [values(loss) for loss in losses], [values(s) for s in state]
    layer = k.layers.BatchNormalization()
    layer.build((None, 4))
    y, state = layer.stateless_call([w.value for w in layer.trainable_variables],
                                    [w.value for w in layer.non_trainable_variables], X,
                                    training=True)
    yield values(y).round(4), [values(s).round(5) for s in state]
    yield [values(w) for w in layer.non_trainable_variables]


def policies(k):
    Scaled, Outer, _ = own_layers(k)
    for policy in ("float32", "float16", "mixed_float16", "mixed_bfloat16", "float64",
                   k.DTypePolicy("mixed_float16")):
        for make in (lambda p: Scaled(dtype=p), lambda p: k.layers.Dense(3, dtype=p),
                     lambda p: k.layers.BatchNormalization(dtype=p),
                     lambda p: k.layers.LayerNormalization(dtype=p)):
            layer = make(policy)
            y = layer(X)
            yield (layer.compute_dtype, layer.variable_dtype, layer.dtype, layer.dtype_policy.name,
                   layer.input_dtype if hasattr(layer, "input_dtype") else None,
                   [k.backend.standardize_dtype(w.dtype) for w in layer.weights]
                   if k is keras else [str(w.dtype) for w in layer.weights],
                   k.ops.dtype(y) if hasattr(k.ops, "dtype") else None)
    layer = Scaled(dtype="mixed_float16", autocast=False)
    yield str(np.dtype(values(layer(X)).dtype))
    layer = Outer(dtype="float16")
    layer(X)
    yield layer.first.compute_dtype, layer.compute_dtype
    yield plain(k.layers.Dense(2, dtype="mixed_float16", name="d").get_config()["dtype"])


def losses_and_metrics(k):
    class Penalized(k.layers.Layer):
        def __init__(self):
            super().__init__(name="p")
            self.mean = k.metrics.Mean(name="mean")
            self.inner = k.layers.Dense(2, kernel_initializer="ones", kernel_regularizer="l1",
                                        activity_regularizer="l2", name="inner")

        def call(self, x):
            self.add_loss(k.ops.sum(x * x))
            self.mean.update_state(x)
            return self.inner(x)
    layer = Penalized()
    for _ in range(2):
        layer(X)
        yield [round(float(loss), 4) for loss in layer.losses]
    yield layer.mean.name, round(float(layer.mean.result()), 5)
    yield len(layer.variables), len(layer.weights), [w.path for w in layer.variables]


def input_specs(k):
    class Strict(k.layers.Layer):
        def __init__(self, spec):
            super().__init__(name="strict")
            self.input_spec = spec

        def call(self, x):
            return x
    InputSpec = k.layers.InputSpec
    for spec in (InputSpec(ndim=2), InputSpec(min_ndim=3), InputSpec(max_ndim=1),
                 InputSpec(axes={-1: 4}), InputSpec(axes={1: 5}), InputSpec(shape=(None, 4)),
                 InputSpec(shape=(2, 4)), InputSpec(shape=(None, 3), allow_last_axis_squeeze=True),
                 InputSpec(dtype="float16"), [InputSpec(ndim=2), InputSpec(ndim=2)], None):
        try:
            yield values(Strict(spec)(X)).shape
        except ValueError as error:
            yield "ValueError", "expected" in str(error)


def mistakes(k):
    """Each call's exception, or what it gives."""
    L = k.layers.Layer

    class Bare(L):
        pass

    class NoSuper(L):
        def __init__(self):
            self.x = 1
    calls = [
        lambda: Bare()(X), lambda: NoSuper()(X), lambda: L(nmae="x"), lambda: L(name=3),
        lambda: L(dtype="float31"), lambda: k.layers.Dense(3)("text"), lambda: k.layers.Dense(3)(),
        lambda: k.layers.Dense(3).set_weights([X]), lambda: k.layers.Dense(3).count_params(),
        lambda: L().add_weight(shape=(None, 2)), lambda: L().add_weight(shape=(2, -1)),
        lambda: L().add_weight(shape="ab"), lambda: L().add_weight((2,), initializer="nope"),
        lambda: L().add_weight((2,), regularizer="nope"),
        lambda: L().add_weight((2,), constraint="nope"),
        lambda: L().add_weight((2,), dtype="complexity"), lambda: L(trainable="maybe").trainable,
        lambda: k.layers.Dense(3).build(None), lambda: k.layers.Dense(3)(X, trainin=True),
        lambda: k.layers.Dense(3)(X, X, X), lambda: k.layers.Dense(3)(None),
        lambda: k.layers.Dense(3).from_config({"unitz": 3}), lambda: k.layers.Dense(3)([X]),
        lambda: k.layers.Dense(3)(X).shape, lambda: k.layers.Dense(3)({"a": X}),
        lambda: k.layers.Dense(3)(np.ones((), "float32")),
        lambda: setattr(k.layers.Dense(3), "trainable", None),
        lambda: k.layers.get("Dense") if hasattr(k.layers, "get") else None,
        lambda: k.layers.deserialize({"class_name": "Dens", "config": {}}),
        lambda: k.layers.Dense(3).stateless_call([], [], X),
        lambda: Bare().compute_output_shape((None, 3)), lambda: k.layers.Dense(3, input_dim=4)(X),
        lambda: k.layers.Dense(3, input_shape=(4,)).built, lambda: k.layers.Layer().get_config(),
    ]
    for i, call in enumerate(calls):
        try:
            result = call()
            yield i, "taken" if not isinstance(result, bool) else result
        except Exception as error:
            yield i, "refused"


SCRIPTS = [build_states, tracking, weights_of_all_kinds, variables_with_seeds, inputs_and_masks,
           symbolic, stateless, policies, losses_and_metrics, input_specs, mistakes]


def as_plain(thing):
    if isinstance(thing, (list, tuple)):
        return [as_plain(one) for one in thing]
    if isinstance(thing, dict):
        return {key: as_plain(value) for key, value in thing.items()}
    return np.asarray(thing).tolist() if isinstance(thing, (np.ndarray, np.generic)) else thing


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_as_keras(script):
    for k in (nnc, keras):
        (k.utils.clear_session if hasattr(k.utils, "clear_session") else k.backend.clear_session)()
    ours, theirs = [as_plain(list(script(nnc)))], [as_plain(list(script(keras)))]
    ours, theirs = ours[0], theirs[0]
    assert len(ours) == len(theirs)
    wrong = [(i, a, b) for i, (a, b) in enumerate(zip(ours, theirs)) if a != b]
    assert not wrong, "\n".join(f"{i}: {a}\n   {b}" for i, a, b in wrong)


# ---- every layer ---------------------------------------------------------------------------------

GIVEN = {"units": 2, "filters": 2, "kernel_size": 1, "output_size": 1, "rate": 0.2, "input_dim": 4,
         "output_dim": 2, "shape": (4,), "target_shape": (-1,), "dims": (1,), "n": 2, "axes": -1,
         "stddev": 0.1,
         "equation": "ab,bc->ac", "output_shape": 3, "num_tokens": 3, "activation": "relu",
         "bin_boundaries": [0.0, 1.0], "num_bins": 3, "height": 2, "width": 2, "factor": 0.2,
         "pool_size": 1, "scale": 0.5, "seed": 1, "value_range": (0, 1), "sequence_length": None}


# Of these Keras takes one argument or another, or it has others in mind.
EITHER = {"CategoryEncoding": ["num_tokens"], "Discretization": ["bin_boundaries"],
          "InputLayer": ["shape"]}
OUT_OF_RANGE = ("RandomPosterization",)     # its factor is a number of bits


def constructible():
    """Layers of both libraries whose required arguments are known here."""
    for name in sorted(set(dir(nnc.layers)) & set(dir(keras.layers))):
        theirs = getattr(keras.layers, name)
        if not inspect.isclass(theirs) or not issubclass(theirs, keras.layers.Layer):
            continue
        needed = [p.name for p in inspect.signature(theirs.__init__).parameters.values()
                  if p.default is p.empty and p.name != "self" and
                  p.kind == p.POSITIONAL_OR_KEYWORD]
        needed += EITHER.get(name, ())
        if all(n in GIVEN for n in needed) and name not in (*OUT_OF_RANGE, "Layer"):
            yield name, {n: GIVEN[n] for n in needed}


@pytest.mark.parametrize("name, options", list(constructible()), ids=str)
def test_configuration_of_every_layer(name, options):
    """The configuration with defaults is Keras's; it goes round, and each library reads the
    other's; the class has Keras's arguments, in their order, with their defaults."""
    ours_class, theirs_class = getattr(nnc.layers, name), getattr(keras.layers, name)
    ours, theirs = ours_class(**options, name="x"), theirs_class(**options, name="x")
    a, b = plain(ours.get_config()), plain(theirs.get_config())
    for config in (a, b):       # Keras draws a seed where none is given, or forgets it
        config.pop("dtype", None)
        config.pop("seed", None)
    assert set(a) == set(b)
    assert {key: value for key, value in a.items() if a[key] != b[key]} == {}
    again = ours_class.from_config(ours.get_config())
    assert plain(again.get_config()) == plain(ours.get_config())
    read, written = (plain(one.get_config()) for one in (
        ours_class.from_config(theirs.get_config()), ours))
    read.pop("seed", None), written.pop("seed", None)
    assert read == written
    for parameter in inspect.signature(theirs_class.__init__).parameters.values():
        if parameter.kind == parameter.POSITIONAL_OR_KEYWORD:
            own = inspect.signature(ours_class.__init__).parameters
            assert parameter.name in own, parameter
            mine = own[parameter.name].default
            theirs = parameter.default
            if isinstance(theirs, tuple) and len(set(theirs)) == 1 and isinstance(mine, int):
                theirs = theirs[0]          # strides=1 of any rank
            assert mine == theirs or (callable(mine) and callable(theirs)), (parameter, mine)
