"""Optimizers and schedules beside Keras: weights and slots over 20 steps, options,
configurations.
"""
import numpy as np
import pytest
from live import keras, plain, values

import nnc

#: class and arguments
OPTIMIZERS = [
    ("SGD", {}), ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    ("RMSprop", {}), ("RMSprop", {"centered": True}), ("RMSprop", {"momentum": 0.5, "rho": 0.8}),
    ("RMSprop", {"momentum": 0.5, "centered": True, "learning_rate": 0.01}),
    ("Adam", {}), ("Adam", {"amsgrad": True, "learning_rate": 0.01}),
    ("Adam", {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3}),
    ("AdamW", {}), ("AdamW", {"weight_decay": 0.1, "amsgrad": True}),
    ("Adagrad", {}), ("Adagrad", {"initial_accumulator_value": 0.5, "learning_rate": 0.1}),
]
#: what every optimizer accepts
OPTIONS = [
    {"weight_decay": 0.05}, {"clipnorm": 0.5}, {"clipvalue": 0.2}, {"global_clipnorm": 0.7},
    {"use_ema": True, "ema_momentum": 0.8}, {"use_ema": True, "ema_overwrite_frequency": 3},
    {"loss_scale_factor": 4.0}, {"gradient_accumulation_steps": 3},
    {"gradient_accumulation_steps": 2, "use_ema": True, "weight_decay": 0.05, "clipnorm": 1.0},
]
SHAPES = ((3, 5), (5,), ())
# 20 steps of a few float32 operations each; Adam's power and square root differ in the last bit.
TOLERANCE = {"rtol": 2e-5, "atol": 2e-6}


def steps(library, name, arguments, count=20, constraint=None):
    """The optimizer and its weights after `count` steps on gradients that depend on the weights."""
    rng = np.random.default_rng(3)
    optimizer = getattr(library.optimizers, name)(**arguments)
    weights = [library.Variable(rng.normal(size=shape).astype("float32"), name=f"w{i}")
               for i, shape in enumerate(SHAPES)]
    if constraint:
        weights[0].constraint = getattr(library.constraints, constraint)()
    for _ in range(count):
        noise = [rng.normal(size=shape).astype("float32") for shape in SHAPES]
        grads = [library.ops.convert_to_tensor((values(w) * 0.5 + n).astype("float32"))
                 for w, n in zip(weights, noise)]
        optimizer.apply(grads, weights)
    return optimizer, weights


def compare(ours, theirs):
    """The same weights and slots. Keras forms 1 - beta_2^t in float32, an error of 3e-5 in Adam's
    step.
    """
    (optimizer, weights), (other, wanted) = ours, theirs
    tolerance = dict(TOLERANCE)
    if hasattr(optimizer, "beta_2"):
        tolerance["atol"] += 20 * 3e-5 * optimizer.get_config()["learning_rate"]
    for w, v in zip(weights, wanted):
        np.testing.assert_allclose(values(w), values(v), **tolerance)
    assert len(optimizer.variables) == len(other.variables)
    for w, v in zip(optimizer.variables, other.variables):
        assert w.name == v.name
        assert w.dtype == v.dtype
        np.testing.assert_allclose(values(w), values(v), err_msg=v.name, **tolerance)


@pytest.mark.parametrize("name, arguments", OPTIMIZERS, ids=str)
def test_twenty_steps(name, arguments):
    compare(steps(nnc, name, arguments), steps(keras, name, arguments))


@pytest.mark.parametrize("option", OPTIONS, ids=str)
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_options(name, option):
    arguments = dict(option, learning_rate=0.05)
    compare(steps(nnc, name, arguments), steps(keras, name, arguments))


@pytest.mark.parametrize("name, arguments", OPTIMIZERS + [
    *(("Adam", option) for option in OPTIONS),
    ("SGD", {"learning_rate": nnc.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)})], ids=str)
def test_recorded_steps_are_the_eager_ones(name, arguments):
    """A step recorded once and replayed changes weights and slots as the eager one does, bit for
    bit.
    """
    rng = np.random.default_rng(1)
    grads = [[rng.normal(size=shape).astype("float32") for shape in SHAPES] for _ in range(7)]
    results = []
    for recorded in (False, True):
        optimizer = getattr(nnc.optimizers, name)(**arguments)
        weights = [nnc.Variable(np.full(shape, 0.5, "float32")) for shape in SHAPES]
        step = optimizer.apply
        if recorded:
            graph = nnc._core.Graph()
            with graph:
                step([graph.input(shape, "float32") for shape in SHAPES], weights)
            step = nnc._core.Program(graph, [])
        for each in grads:
            step(*each) if recorded else step([nnc.ops.array(g) for g in each], weights)
        results.append([values(v) for v in weights + optimizer.variables])
    for eager, replayed in zip(*results):
        np.testing.assert_array_equal(eager, replayed)


@pytest.mark.parametrize("constraint", ["MaxNorm", "NonNeg", "UnitNorm", "MinMaxNorm"])
def test_constraints(constraint):
    arguments = {"learning_rate": 0.3}
    compare(steps(nnc, "SGD", arguments, constraint=constraint),
            steps(keras, "SGD", arguments, constraint=constraint))


def test_float64():
    """Against Adam's formula in float64."""
    rng = np.random.default_rng(0)
    w = nnc.Variable(rng.normal(size=(4,)), dtype="float64")
    optimizer = nnc.optimizers.Adam(0.01)
    x, m, v = w.numpy(), np.zeros(4), np.zeros(4)
    rate = float(np.float32(0.01))      # the learning rate is a float32 variable
    for t in range(1, 11):
        g = rng.normal(size=4)
        optimizer.apply([nnc.ops.convert_to_tensor(g)], [w])
        m += (g - m) * (1 - 0.9)
        v += (g * g - v) * (1 - 0.999)
        x -= m * rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) / (np.sqrt(v) + 1e-7)
    np.testing.assert_allclose(w.numpy(), x, rtol=1e-12)    # float64, ten steps


def test_finalize_and_ema():
    (ours, weights), (theirs, wanted) = (steps(library, "SGD", {"use_ema": True})
                                         for library in (nnc, keras))
    ours.finalize_variable_values(weights)
    theirs.finalize_variable_values(wanted)
    for w, v in zip(weights, wanted):
        np.testing.assert_allclose(values(w), values(v), **TOLERANCE)


def test_scale_loss():
    assert float(nnc.optimizers.SGD(loss_scale_factor=8.0).scale_loss(nnc.ops.array(2.0))) == 16.0


def test_exclude_from_weight_decay():
    for how in ({"var_names": ["w1"]}, {}):
        results = []
        for library in (nnc, keras):
            weights = [library.Variable(np.ones((2,), "float32"), name=f"w{i}") for i in range(2)]
            optimizer = library.optimizers.SGD(0.5, weight_decay=0.5)
            optimizer.exclude_from_weight_decay(**(how or {"var_list": weights[:1]}))
            optimizer.apply([library.ops.zeros((2,))] * 2, weights)
            results.append([values(w).tolist() for w in weights])
        assert results[0] == results[1]
        with pytest.raises(ValueError, match="before the optimizer is built"):
            nnc_built().exclude_from_weight_decay(var_names=["w"])


def nnc_built():
    optimizer = nnc.optimizers.SGD()
    optimizer.build([nnc.Variable(np.ones(2, "float32"))])
    return optimizer


SCHEDULES = [
    ("ExponentialDecay", (0.1, 5, 0.5), {}),
    ("ExponentialDecay", (0.1, 5, 0.5), {"staircase": True}),
    ("InverseTimeDecay", (0.1, 5, 0.5), {}),
    ("InverseTimeDecay", (0.1, 5, 0.5), {"staircase": True}),
    ("PiecewiseConstantDecay", ([3, 8], [0.1, 0.05, 0.01]), {}), ("PolynomialDecay", (0.1, 7), {}),
    ("PolynomialDecay", (0.1, 7), {"power": 2.0, "cycle": True}), ("CosineDecay", (0.1, 9), {}),
    ("CosineDecay", (0.1, 9), {"alpha": 0.2}),
    ("CosineDecay", (0.0, 9), {"warmup_target": 0.1, "warmup_steps": 4}),
    ("CosineDecayRestarts", (0.1, 4), {}),
    ("CosineDecayRestarts", (0.1, 4), {"t_mul": 1.0, "m_mul": 0.7, "alpha": 0.1}),
    ("CosineDecayRestarts", (0.1, 4), {"t_mul": 1.5, "m_mul": 0.5}),
]


@pytest.mark.parametrize("name, positional, arguments", SCHEDULES, ids=str)
def test_schedules(name, positional, arguments):
    ours, theirs = (getattr(library.optimizers.schedules, name)(*positional, **arguments)
                    for library in (nnc, keras))
    for step in range(30):
        # Where a wave begins again the two may differ by one restart; 4, 12, 28 are such steps,
        # exact here.
        np.testing.assert_allclose(values(ours(step)), values(theirs(step)), rtol=1e-5, atol=1e-7)
    assert plain(ours.get_config()) == plain(theirs.get_config())
    compare(steps(nnc, "SGD", {"learning_rate": ours}),
            steps(keras, "SGD", {"learning_rate": theirs}))
    config = nnc.optimizers.SGD(ours).get_config()
    assert plain(config) == {**plain(keras.optimizers.SGD(theirs).get_config()),
                             "name": config["name"]}
    back = nnc.optimizers.SGD.from_config(config)
    assert back.get_config() == config


def test_learning_rate_is_settable():
    optimizer, weights = steps(nnc, "SGD", {"learning_rate": 0.1}, 1)
    before = [w.numpy() for w in weights]
    optimizer.learning_rate = 0.25
    assert float(values(optimizer.learning_rate)) == 0.25
    optimizer.apply([nnc.ops.ones(w.shape) for w in weights], weights)
    for w, old in zip(weights, before):
        np.testing.assert_allclose(w.numpy(), old - 0.25, rtol=1e-6)
    optimizer.learning_rate = nnc.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)
    with pytest.raises(TypeError, match="not settable"):
        optimizer.learning_rate = 0.1


def test_callable_learning_rate():
    rates = iter([0.5, 0.25, 0.125])
    optimizer = nnc.optimizers.SGD(lambda: next(rates))
    w = nnc.Variable(np.zeros((1,), "float32"))
    for _ in range(3):
        optimizer.apply([nnc.ops.ones((1,))], [w])
    assert values(w).tolist() == [-0.875]


@pytest.mark.parametrize("name, arguments", OPTIMIZERS + [("Adam", option) for option in OPTIONS],
                         ids=str)
def test_configuration(name, arguments):
    ours, theirs = (getattr(library.optimizers, name)(**dict(arguments, name="o"))
                    for library in (nnc, keras))
    assert plain(ours.get_config()) == plain(theirs.get_config())
    assert type(ours).from_config(ours.get_config()).get_config() == ours.get_config()
    assert plain(nnc.optimizers.serialize(ours)) == plain(keras.optimizers.serialize(theirs))
    back = nnc.optimizers.deserialize(nnc.optimizers.serialize(ours))
    assert type(back) is type(ours) and back.get_config() == ours.get_config()


def test_get():
    for name in ("sgd", "Adam", "RMSPROP", "adamw", "Adagrad"):
        assert type(nnc.optimizers.get(name)).__name__.lower() == name.lower()
    optimizer = nnc.optimizers.SGD()
    assert nnc.optimizers.get(optimizer) is optimizer
    assert nnc.optimizers.get(None) is None
    assert nnc.optimizers.get({"class_name": "Adam",
                               "config": {"learning_rate": 0.5}}).beta_1 == 0.9


def test_weights_round_trip():
    optimizer, weights = steps(nnc, "Adam", {}, 3)
    saved = optimizer.get_weights()
    store = {}
    optimizer.save_own_variables(store)
    other, _ = steps(nnc, "Adam", {}, 1)
    other.set_weights(saved)
    for a, b in zip(other.variables, optimizer.variables):
        np.testing.assert_array_equal(values(a), values(b))
    third, _ = steps(nnc, "Adam", {}, 1)
    third.load_own_variables(store)
    np.testing.assert_array_equal(values(third.variables[2]), saved[2])
    with pytest.raises(ValueError, match="shape"):
        other.set_weights(saved[:-1] + [np.zeros((9, 9))])
    np.testing.assert_array_equal(values(other.variables[2]), saved[2])


BAD = [
    (lambda: nnc.optimizers.get("adamm"), "did you mean 'adam'"),
    (lambda: nnc.optimizers.get(3), "Could not interpret optimizer"),
    (lambda: nnc.optimizers.SGD("fast"), "learning_rate"),
    (lambda: nnc.optimizers.SGD(momentum=1.5), "momentum"),
    (lambda: nnc.optimizers.SGD(speed=3), "not recognized.*speed"),
    (lambda: nnc.optimizers.Adam(clipnorm=1.0, clipvalue=1.0), "Only one of"),
    (lambda: nnc.optimizers.Adam(gradient_accumulation_steps=1), "gradient_accumulation_steps"),
    (lambda: nnc.optimizers.Adam(use_ema=True, ema_momentum=2.0), "ema_momentum"),
    (lambda: nnc.optimizers.AdamW(weight_decay=None), "weight_decay"),
    (lambda: nnc.optimizers.Adagrad(initial_accumulator_value=-1.0), "initial_accumulator_value"),
    (lambda: nnc.optimizers.SGD().apply([nnc.ops.ones(2)]), "must already be built"),
    (lambda: nnc_built().apply([nnc.ops.ones(2)], [nnc.Variable(np.ones(2, "float32"))]),
     "Unknown variable"),
    (lambda: nnc_built().apply([None]), "No gradients"),
    (lambda: nnc_built().apply([nnc.ops.ones(2)] * 2), "expected a gradient for each"),
    (lambda: nnc_built().apply([nnc.ops.ones(3)]), "shape"),
    (lambda: nnc.optimizers.schedules.CosineDecay(0.1, 0), "decay_steps"),
    (lambda: nnc.optimizers.schedules.PiecewiseConstantDecay([1], [0.1]), "boundaries"),
]


@pytest.mark.parametrize("call, text", BAD, ids=[text for _, text in BAD])
def test_bad_arguments(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_missing_gradients_warn():
    weights = [nnc.Variable(np.ones(2, "float32"), name=f"w{i}") for i in range(2)]
    optimizer = nnc.optimizers.SGD(0.5)
    with pytest.warns(UserWarning, match="Gradients do not exist.*w1"):
        optimizer.apply([nnc.ops.ones(2), None], weights)
    assert values(weights[0]).tolist() == [0.5, 0.5] and values(weights[1]).tolist() == [1, 1]


def test_own_optimizers():
    class Sign(nnc.optimizers.Optimizer):
        def build(self, variables):
            super().build(variables)
            self.counts = self.add_optimizer_variables(variables, "count")

        def update_step(self, gradient, variable, learning_rate):
            self.assign_add(self.counts[self._get_variable_index(variable)],
                            nnc.ops.ones(variable.shape))
            self.assign_sub(variable, nnc.ops.sign(gradient) * learning_rate)

    w = nnc.Variable(np.zeros((2,), "float32"), name="w")
    optimizer = Sign(0.5)
    optimizer.apply([nnc.ops.array([3.0, -2.0])], [w])
    assert values(w).tolist() == [-0.5, 0.5]
    slot = optimizer.variables[-1]
    assert slot.name == "w_count" and values(slot).tolist() == [1, 1]
