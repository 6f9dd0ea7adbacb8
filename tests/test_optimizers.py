"""Optimizers and schedules beside Keras: weights and slots over 20 steps, options,
configurations.
"""
import numpy as np
import pytest
from live import keras, label, plain, values

import nnc
from reference.state import schedule_free_adamw

#: class and arguments
OPTIMIZERS = [
    ("SGD", {}), ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    ("RMSprop", {}), ("RMSprop", {"centered": True}), ("RMSprop", {"momentum": 0.5, "rho": 0.8}),
    ("RMSprop", {"rho": 0.0, "epsilon": 0.01, "momentum": 0.5}), ("Lion", {"beta_2": 0.0}),
    ("Adam", {"beta_1": 0.0, "amsgrad": True}), ("AdamW", {"weight_decay": 0.0, "epsilon": 0.1}),
    ("Adagrad", {"initial_accumulator_value": 0.0, "epsilon": 0.1, "learning_rate": 0.05}),
    ("Adadelta", {"rho": 0.0, "learning_rate": 0.5}), ("Nadam", {"beta_1": 0.0, "epsilon": 0.1}),
    ("Adamax", {"beta_1": 0.0, "epsilon": 0.1}), ("Lamb", {"beta_1": 0.0, "epsilon": 0.1}),
    ("Ftrl", {"learning_rate_power": 0.0, "l1_regularization_strength": 0.1}),
    ("Adafactor", {"epsilon_1": 1e-3, "epsilon_2": 0.1, "clip_threshold": 5.0}),
    ("RMSprop", {"momentum": 0.5, "centered": True, "learning_rate": 0.01}),
    ("Adam", {}), ("Adam", {"amsgrad": True, "learning_rate": 0.01}),
    ("Adam", {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3}),
    ("AdamW", {}), ("AdamW", {"weight_decay": 0.1, "amsgrad": True}),
    ("Adagrad", {}), ("Adagrad", {"initial_accumulator_value": 0.5, "learning_rate": 0.1}),
    ("Adadelta", {}), ("Adadelta", {"learning_rate": 1.0, "rho": 0.8, "epsilon": 1e-4}),
    ("Adamax", {}), ("Adamax", {"beta_1": 0.8, "beta_2": 0.9, "learning_rate": 0.05}),
    ("Ftrl", {}), ("Ftrl", {"learning_rate": 0.1, "l1_regularization_strength": 0.05,
                            "l2_regularization_strength": 0.1, "beta": 0.2,
                            "l2_shrinkage_regularization_strength": 0.05}),
    ("Ftrl", {"learning_rate": 0.1, "learning_rate_power": -0.7,
              "initial_accumulator_value": 0.5}),
    ("Lion", {}), ("Lion", {"beta_1": 0.7, "beta_2": 0.9, "learning_rate": 0.01}),
    ("Nadam", {}), ("Nadam", {"beta_1": 0.8, "beta_2": 0.99, "learning_rate": 0.02}),
    ("Lamb", {}), ("Lamb", {"beta_1": 0.8, "beta_2": 0.99, "learning_rate": 0.02}),
    ("Adafactor", {}), ("Adafactor", {"learning_rate": 0.05, "clip_threshold": 0.5,
                                      "beta_2_decay": -0.6, "relative_step": False}),
    ("Muon", {}), ("Muon", {"nesterov": False, "rms_rate": None, "learning_rate": 0.02,
                            "ns_steps": 3, "adam_lr_ratio": 0.5, "weight_decay": None}),
    ("Muon", {"exclude_layers": ["w0"], "adam_weight_decay": None}),
]
#: not beside Keras on TensorFlow, which reads a variable that has changed; see the class
FREE = [("ScheduleFreeAdamW", {}),
        ("ScheduleFreeAdamW", {"warmup_steps": 5, "beta_1": 0.8, "learning_rate": 0.02})]
#: what every optimizer accepts
OPTIONS = [
    {"weight_decay": 0.05}, {"clipnorm": 0.5}, {"clipvalue": 0.2}, {"global_clipnorm": 0.7},
    {"use_ema": True, "ema_momentum": 0.8}, {"use_ema": True, "ema_overwrite_frequency": 3},
    {"use_ema": True, "ema_momentum": 0.0}, {"use_ema": True, "ema_momentum": 1.0},
    {"gradient_accumulation_steps": 2, "global_clipnorm": 0.1, "use_ema": True,
     "ema_overwrite_frequency": 2},
    {"loss_scale_factor": 4.0}, {"gradient_accumulation_steps": 3},
    {"gradient_accumulation_steps": 2, "use_ema": True, "weight_decay": 0.05, "clipnorm": 1.0},
]
SHAPES = ((3, 5), (5,), ())
# 20 steps of a few float32 operations each; Adam's power and square root differ in the last bit.
TOLERANCE = {"rtol": 2e-5, "atol": 2e-6}


def steps(library, name, arguments, count=20, constraint=None, exclude=None, missing=()):
    """The optimizer and its weights after `count` steps on gradients that depend on the weights.
    `exclude`: names without weight decay. `missing`: steps in which `w1` has no gradient.
    """
    rng = np.random.default_rng(3)
    optimizer = getattr(library.optimizers, name)(**arguments)
    weights = [library.Variable(rng.normal(size=shape).astype("float32"), name=f"w{i}")
               for i, shape in enumerate(SHAPES)]
    if constraint:
        weights[0].constraint = getattr(library.constraints, constraint)()
    if exclude:
        optimizer.exclude_from_weight_decay(var_names=exclude)
    for k in range(count):
        noise = [rng.normal(size=shape).astype("float32") for shape in SHAPES]
        grads = [library.ops.convert_to_tensor((values(w) * 0.5 + n).astype("float32"))
                 for w, n in zip(weights, noise)]
        grads[1] = None if k in missing else grads[1]
        optimizer.apply(grads, weights)
    return optimizer, weights


def compare(ours, theirs):
    """The same weights and slots. Keras forms 1 - beta_2^t in float32, an error of 3e-5 in Adam's
    step.
    """
    (optimizer, weights), (other, wanted) = ours, theirs
    tolerance = dict(TOLERANCE)
    if hasattr(optimizer, "beta_2") or hasattr(optimizer, "adam_beta_2"):
        rate = optimizer.get_config()["learning_rate"]
        rate = rate["config"]["initial_learning_rate"] if isinstance(rate, dict) else rate
        tolerance["atol"] += 20 * 3e-5 * rate
    for w, v in zip(weights, wanted):
        np.testing.assert_allclose(values(w), values(v), **tolerance)
    assert len(optimizer.variables) == len(other.variables)
    for w, v in zip(optimizer.variables, other.variables):
        assert w.name == v.name or v.name.startswith("variable")    # Keras gave it no name
        assert w.dtype == v.dtype
        np.testing.assert_allclose(values(w), values(v), err_msg=v.name, **tolerance)


@pytest.mark.parametrize("name, arguments", OPTIMIZERS, ids=str)
def test_twenty_steps(name, arguments):
    compare(steps(nnc, name, arguments), steps(keras, name, arguments))


@pytest.mark.parametrize("name, arguments", FREE, ids=str)
def test_schedule_free(name, arguments):
    """Against the formula in float64."""
    rng = np.random.default_rng(0)
    optimizer = nnc.optimizers.ScheduleFreeAdamW(**arguments)
    w = nnc.Variable(rng.normal(size=(4,)), dtype="float64")
    x, z, v = w.numpy(), w.numpy(), np.zeros(4)
    config = optimizer.get_config()
    rate = float(np.float32(config["learning_rate"]))   # the learning rate is a float32 variable
    for t in range(10):
        g = rng.normal(size=4)
        optimizer.apply([nnc.ops.convert_to_tensor(g)], [w])
        x, z, v = schedule_free_adamw(x, z, v, g, rate, t, config["beta_1"], config["beta_2"],
                                      config["epsilon"], config["warmup_steps"])
    np.testing.assert_allclose(w.numpy(), x, rtol=1e-10)    # float64, ten steps


@pytest.mark.parametrize("option", OPTIONS, ids=str)
@pytest.mark.parametrize("name", ["SGD", "Adam", "Nadam", "Muon"])
def test_options(name, option):
    arguments = dict(option, learning_rate=0.05)
    compare(steps(nnc, name, arguments), steps(keras, name, arguments))


@pytest.mark.parametrize("name, arguments", OPTIMIZERS + FREE + [
    *(("Adam", option) for option in OPTIONS),
    ("SGD", {"learning_rate": nnc.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)})], ids=label)
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


@pytest.mark.parametrize("name", ["Lamb", "Adafactor", "Muon"])
def test_bits_do_not_depend_on_threads(name):
    """Several pieces: of 16384 numbers, and of at most 512 rows."""
    before, found = nnc._core.get_num_threads(), []
    try:
        for threads in (1, 2, 7):
            nnc._core.set_num_threads(threads)
            rng = np.random.default_rng(2)
            weights = [nnc.Variable(rng.normal(size=shape).astype("float32"))
                       for shape in ((1300, 40), (40000,), (3, 3, 60, 70), (230, 400))]
            optimizer = getattr(nnc.optimizers, name)(0.1)
            for _ in range(3):
                optimizer.apply([nnc.ops.array(rng.normal(size=w.shape).astype("float32"))
                                 for w in weights], weights)
            found.append([values(v).tobytes() for v in weights + optimizer.variables])
    finally:
        nnc._core.set_num_threads(before)
    assert found[0] == found[1] == found[2]


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
    # Of several optimizers it reaches each; in Keras 3.15 it reaches none.
    weights = [nnc.Variable(np.ones(2, "float32"), name=name) for name in ("a", "b", "c")]
    inner = [nnc.optimizers.SGD(0.5, weight_decay=0.5) for _ in range(2)]
    optimizer = nnc.optimizers.MultiOptimizer(nnc.optimizers.OptimizerMap(inner[0], {"b": inner[1]}))
    optimizer.exclude_from_weight_decay(var_names=["a", "b"])
    optimizer.apply([nnc.ops.zeros(2)] * 3, weights)
    assert [values(w).tolist() for w in weights] == [[1, 1], [1, 1], [0.75, 0.75]]


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


ALL = OPTIMIZERS + FREE + [("Adam", option) for option in OPTIONS]


@pytest.mark.parametrize("name, arguments", ALL, ids=str)
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
    (lambda: nnc.optimizers.Lion(beta_1=0.0), "beta_1"),
    (lambda: nnc.optimizers.Ftrl(learning_rate_power=0.5), "learning_rate_power"),
    (lambda: nnc.optimizers.Ftrl(l1_regularization_strength=-1.0), "l1_regularization_strength"),
    (lambda: nnc.optimizers.LossScaleOptimizer(nnc.optimizers.SGD(), clipnorm=1.0), "clipnorm"),
    (lambda: nnc.optimizers.LossScaleOptimizer("sgd"), "inner_optimizer"),
    (lambda: nnc.optimizers.MultiOptimizer(3), "optimizer_map"),
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


def fresh(count=3):
    return [nnc.Variable(np.full(shape, 0.5, "float32"), name=f"w{i}")
            for i, shape in enumerate(SHAPES[:count])]


@pytest.mark.parametrize("name, arguments", [("SGD", {"momentum": 0.9}), ("Adam", {}),
                                             ("Nadam", {}), ("Adam", OPTIONS[-1])], ids=str)
def test_stateless_apply(name, arguments):
    """The values that `apply` gives, and no variable changes."""
    weights, others = fresh(), fresh()
    one, two = (getattr(nnc.optimizers, name)(**arguments) for _ in range(2))
    with pytest.raises(ValueError, match="must be built"):
        one.stateless_apply([], [], [])
    one.build(weights)
    state, values_ = [v.numpy() for v in one.variables], [w.numpy() for w in weights]
    before = state + values_
    for _ in range(3):
        grads = [nnc.ops.ones(shape) for shape in SHAPES]
        two.apply(grads, others)
        values_, state = one.stateless_apply(state, grads, values_)
    for got, want in zip(values_ + state, others + two.variables, strict=True):
        np.testing.assert_array_equal(values(got), values(want))
    for variable, old in zip(one.variables + weights, before):
        np.testing.assert_array_equal(values(variable), old)
    with pytest.raises(ValueError, match="expected"):
        one.stateless_apply(state[1:], grads, values_)
    with pytest.raises(ValueError, match="shape"):
        one.stateless_apply(state, grads, values_[::-1])


@pytest.mark.parametrize("recorded", [False, True])
def test_loss_scale_optimizer(recorded):
    """Beside Keras: a step that is not finite is left out and halves the scale."""
    results = []
    for library in (nnc, keras):
        weights = [library.Variable(np.ones(3, "float32"), name="w")]
        inner = library.optimizers.Adam(0.1)
        optimizer = library.optimizers.LossScaleOptimizer(inner, initial_scale=8.0,
                                                          dynamic_growth_steps=2)
        optimizer.build(weights)
        step = lambda g: optimizer.apply([library.ops.convert_to_tensor(g)], weights)
        if recorded and library is nnc:
            graph = nnc._core.Graph()
            with graph:
                optimizer.apply([graph.input((3,), "float32")], weights)
            step = nnc._core.Program(graph, [])
        for scale in (1, 2, np.inf, 3, np.nan, 1, 1, 2):
            step(np.array([1, scale, -2], "float32"))
        results.append([float(values(optimizer.scale_loss(1.0)))]
                       + [values(v) for v in weights + optimizer.variables])
    for ours, theirs in zip(*results, strict=True):
        assert np.asarray(ours).dtype == np.asarray(theirs).dtype
        # six steps of 0.1: Keras's 1 - beta_2^t in float32 is off by 3e-5
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=6 * 0.1 * 3e-5)
    config = optimizer.get_config()
    again = nnc.optimizers.LossScaleOptimizer.from_config(
        nnc.optimizers.LossScaleOptimizer(nnc.optimizers.SGD(), name="l").get_config())
    assert type(again.inner_optimizer).__name__ == "SGD" and again.name == "l"
    assert set(config) == set(again.get_config())


def test_multi_optimizer():
    results = []
    for library in (nnc, keras):
        weights = [library.Variable(np.ones(shape, "float32"), name=f"w{i}")
                   for i, shape in enumerate(SHAPES)]
        table = library.optimizers.OptimizerMap(library.optimizers.SGD(0.1),
                                                {"w[01]": library.optimizers.Adam(0.2)})
        optimizer = library.optimizers.MultiOptimizer(table, loss_scale_factor=2.0)
        for _ in range(3):
            optimizer.apply([library.ops.ones(s) for s in SHAPES], weights)
        assert [type(o).__name__ for o in optimizer.optimizers] == ["Adam", "SGD"]
        results.append([values(v) for v in weights + optimizer.variables])
        with pytest.raises(AttributeError):
            optimizer.learning_rate
        with pytest.raises(ValueError):
            table["w[01]"] = library.optimizers.SGD()
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=3 * 0.2 * 3e-5)    # as above
    again = nnc.optimizers.MultiOptimizer.from_config(
        nnc.optimizers.MultiOptimizer(nnc.optimizers.OptimizerMap(
            nnc.optimizers.SGD(), {"a": nnc.optimizers.Lion()})).get_config())
    assert [type(o).__name__ for o in again.optimizers] == ["Lion", "SGD"]


def fitted(change):
    """A model's weights after two epochs of `fit`, with `change(optimizer)` between them."""
    nnc.utils.set_random_seed(3)
    model = nnc.Sequential([nnc.layers.Dense(2)])
    model.compile(nnc.optimizers.SGD(0.1), "mse")
    x = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
    for k in range(2):
        model.fit(x, x[:, :2], batch_size=8, verbose=0, shuffle=False)
        if k == 0:
            change(model.optimizer)
    return [values(w) for w in model.weights]


def test_settings_changed_after_a_fit_take_effect():
    same_as_before, decayed, clipped = (fitted(change) for change in (
        lambda o: None, lambda o: setattr(o, "weight_decay", 0.5),
        lambda o: setattr(o, "clipvalue", 1e-3)))
    for a, b, c in zip(same_as_before, decayed, clipped):
        assert not np.allclose(a, b) and not np.allclose(a, c)


@pytest.mark.parametrize("name", ["Ftrl", "Muon", "LossScaleOptimizer", "MultiOptimizer", "Nadam"])
def test_fit_with(name):
    make = {"LossScaleOptimizer": lambda cls: cls(nnc.optimizers.Adam(0.05)),
            "MultiOptimizer": lambda cls: cls(lambda v: small if len(v.shape) < 2 else large)}
    small, large = nnc.optimizers.SGD(0.05), nnc.optimizers.Adam(0.05)
    cls = getattr(nnc.optimizers, name)
    nnc.utils.set_random_seed(3)
    model = nnc.Sequential([nnc.layers.Dense(8, activation="tanh"), nnc.layers.Dense(1)])
    model.compile(make.get(name, lambda cls: cls(0.05))(cls), "mse")
    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    loss = model.fit(x, x[:, :1], batch_size=16, epochs=8, verbose=0).history["loss"]
    assert loss[-1] < 0.7 * loss[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_moments_reach_zero(dtype):
    """A moment that only shrinks ends as 0, not as a denormal number, which is slow on many processors; what
    is computed elsewhere keeps its denormals."""
    tiny = float(np.finfo(dtype).tiny)
    weight = nnc.Variable(np.ones(37, dtype), dtype=dtype)
    optimizer = nnc.optimizers.Adam(0.1)
    optimizer.build([weight])
    moment = optimizer._momentums[0]
    moment.assign(np.full(37, 1.05 * tiny, dtype))
    optimizer.apply([nnc.ops.zeros(37, dtype)], [weight])
    assert np.all(np.asarray(moment) == 0)
    assert np.all(np.asarray(nnc.ops.convert_to_tensor(np.full(37, tiny, dtype)) * 0.5) == tiny / 2)


def test_parts_of_muon():
    """What Keras's class offers besides, on matrices and stacks of them."""
    rng = np.random.default_rng(4)
    for shape in ((3, 5), (5, 3), (2, 4, 3), (2, 2, 3, 4)):
        x = rng.normal(size=shape).astype("float32")
        pair = [library.optimizers.Muon(rms_rate=0.3) for library in (nnc, keras)]
        inputs = [library.ops.convert_to_tensor(x) for library in (nnc, keras)]
        for call in (lambda o, x: o.transpose_last_axis(x),
                     lambda o, x: o.zeropower_via_newtonschulz5(x, 4)):
            ours, theirs = (call(o, x) for o, x in zip(pair, inputs))
            # four steps of matrix products with factors of 3 to 5
            np.testing.assert_allclose(values(ours), values(theirs), rtol=1e-4, atol=1e-5)
    for shape in ((210, 260), (400, 200)):      # several blocks of the symmetric products
        made = []
        gradients = [rng.normal(size=shape).astype("float32") for _ in range(2)]
        for library in (nnc, keras):
            w = library.Variable(np.zeros(shape, "float32"))
            optimizer = library.optimizers.Muon(0.1, weight_decay=None)
            for gradient in gradients:
                optimizer.apply([library.ops.convert_to_tensor(gradient)], [w])
            made.append(values(w))
        np.testing.assert_allclose(*made, rtol=1e-4, atol=1e-5 * abs(made[1]).max())
    wide = np.ones((2, 5), "float32")
    for rate in (0.2, None):
        optimizer = nnc.optimizers.Muon(rms_rate=rate)
        np.testing.assert_allclose(values(optimizer.lr_adjust(wide)),
                                   1 if rate is None else 5 ** 0.5 * rate, rtol=1e-6)
    with pytest.raises(ValueError, match="at least 2 axes"):
        nnc.optimizers.Muon().zeropower_via_newtonschulz5(np.ones(3, "float32"), 2)
