"""Options of optimizers together, for each optimizer; all arguments of the schedules; optimizers
around others: beside Keras.
"""
from itertools import product

import numpy as np
import pytest
from live import keras, plain, same, values
from test_optimizers import SHAPES, compare, steps

import nnc

#: class and arguments besides the learning rate
OPTIMIZERS = {
    "SGD": {"momentum": 0.9}, "RMSprop": {"momentum": 0.5}, "Adam": {"amsgrad": True}, "AdamW": {},
    "Adagrad": {}, "Adadelta": {}, "Adamax": {}, "Ftrl": {"l1_regularization_strength": 0.01},
    "Nadam": {}, "Lion": {}, "Lamb": {}, "Adafactor": {}, "Muon": {}}
#: options, and what `steps` takes besides
OPTIONS = [
    ({"weight_decay": 0.05}, {"exclude": ["w1"]}),
    ({"weight_decay": 0.05, "clipnorm": 0.5}, {"exclude": ["w"]}),
    ({"clipnorm": 0.0, "use_ema": True, "ema_momentum": 0.8}, {"constraint": "MaxNorm"}),
    ({"clipvalue": 0.2, "use_ema": True, "ema_momentum": 0.6, "ema_overwrite_frequency": 2}, {}),
    ({"loss_scale_factor": 4.0, "global_clipnorm": 0.7, "weight_decay": 0.0}, {}),
    ({"use_ema": True, "ema_overwrite_frequency": 1, "loss_scale_factor": 8}, {}),
    ({"gradient_accumulation_steps": 3, "clipvalue": 0.3, "weight_decay": 0.1,
      "loss_scale_factor": 2.0}, {"exclude": ["^w0", "w[2-9]"]}),
    ({"gradient_accumulation_steps": 2, "use_ema": True, "ema_overwrite_frequency": 2,
      "global_clipnorm": 0.3}, {"constraint": "NonNeg"}),
    ({"gradient_accumulation_steps": 2, "weight_decay": 0.1}, {"missing": (1, 2)}),
    ({"weight_decay": 0.1, "learning_rate": ("ExponentialDecay", 0.1, 2, 0.5, True),
      "gradient_accumulation_steps": 2}, {}),
]


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: "-".join([*option[0], *option[1]]))
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_options_together(name, option):
    """Four steps, then the end of training."""
    found = []
    for library in (nnc, keras):
        arguments = {"learning_rate": 0.05, **OPTIMIZERS[name], **option[0]}
        if isinstance(arguments["learning_rate"], tuple):
            schedule, *rest = arguments["learning_rate"]
            arguments["learning_rate"] = getattr(library.optimizers.schedules, schedule)(*rest)
        found.append(steps(library, name, arguments, 4, **option[1]))
    compare(*found)
    assert int(values(found[0][0].iterations)) == int(values(found[1][0].iterations))
    for optimizer, weights in found:
        optimizer.finalize_variable_values(weights)
    compare(*found)


def grid(**choices):
    return [dict(zip(choices, row)) for row in product(*choices.values())]


#: class and argument sets; their bounds lie at steps 1 to 8
SCHEDULES = [(name, arguments) for name, rows in (
    ("ExponentialDecay", grid(initial_learning_rate=(0.3,), decay_steps=(1, 4, 2.5),
                              decay_rate=(0.0, 0.5, 1.3), staircase=(False, True))),
    ("InverseTimeDecay", grid(initial_learning_rate=(0.3,), decay_steps=(1, 4, 2.5),
                              decay_rate=(0.0, 0.5, 3), staircase=(False, True))),
    ("PiecewiseConstantDecay", [
        {"boundaries": [0], "values": [0.1, 0.2]},
        {"boundaries": [2, 4], "values": [1.0, 0.5, 0.1]},
        {"boundaries": [2.5, 5.0], "values": [0.1, 0.2, 0.0], "name": "p"},
        {"boundaries": (1, 2, 8), "values": (0.1, 0.3, 0.2, 0.05)}]),
    ("PolynomialDecay", grid(initial_learning_rate=(0.3,), decay_steps=(1, 4, 2.5),
                             end_learning_rate=(0.0, 0.5), power=(0.0, 0.5, 3),
                             cycle=(False, True))),
    ("CosineDecay", grid(initial_learning_rate=(0.3,), decay_steps=(1, 6), alpha=(0.0, 0.2),
                         warmup_target=(None, 0.5), warmup_steps=(0, 4))),
    ("CosineDecayRestarts", grid(initial_learning_rate=(0.3,), first_decay_steps=(4,),
                                 t_mul=(1.0, 1.5, 2.0, 3), m_mul=(0.5, 1.2), alpha=(0.2,))),
) for arguments in rows]


@pytest.mark.parametrize("name", sorted({name for name, _ in SCHEDULES}))
def test_all_arguments_of_schedules(name):
    """Before, at and after the bounds, of a number and of tensors as an optimizer's counter is."""
    for arguments in (row for other, row in SCHEDULES if other == name):
        ours, theirs = (getattr(library.optimizers.schedules, name)(**arguments)
                        for library in (nnc, keras))
        assert plain(ours.get_config()) == plain(theirs.get_config())
        for step in (0, 1, 2, 3, 4, 5, 8, 9, 1000):
            for dtype in (None, "int64", "float32")[:3 if step == 4 else 1]:
                got, want = (schedule(step if dtype is None
                                      else library.ops.convert_to_tensor(step, dtype))
                             for library, schedule in ((nnc, ours), (keras, theirs)))
                same(got, want, rtol=1e-5)      # two libraries' pow, cos and log


@pytest.mark.parametrize("name", sorted({name for name, _ in SCHEDULES}))
def test_schedules_in_optimizers(name):
    rows = [row for other, row in SCHEDULES if other == name]
    for arguments in rows[len(rows) // 4::len(rows) // 2]:
        compare(*(steps(library, "SGD", {
            "learning_rate": getattr(library.optimizers.schedules, name)(**arguments),
            "momentum": 0.5}, 6) for library in (nnc, keras)))


# ---- optimizers around others --------------------------------------------------------------------

def fresh(library):
    rng = np.random.default_rng(3)
    return [library.Variable(rng.normal(size=shape).astype("float32"), name=f"w{i}")
            for i, shape in enumerate(SHAPES)]


def apply(library, optimizer, weights, count, infinite=()):
    """Steps with gradients that are not finite in some of them."""
    rng = np.random.default_rng(5)
    for k in range(count):
        grads = [rng.normal(size=shape).astype("float32") for shape in SHAPES]
        if k in infinite:
            grads[1][2] = np.inf if k % 2 else np.nan
        optimizer.apply([library.ops.convert_to_tensor(g) for g in grads], weights)


def close(ours, theirs, rate):
    """float32 operations of some steps; Keras's 1 - beta_2^t is off by 3e-5."""
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(values(a), values(b), rtol=2e-5, atol=2e-6 + 7 * 3e-5 * rate)


@pytest.mark.parametrize("scale, growth, infinite", [
    (2.0**15, 3, (1,)), (8, 2, (2, 3, 5))], ids=str)
@pytest.mark.parametrize("name, options", [
    *((name, {}) for name in OPTIMIZERS), ("AdamW", {"clipnorm": 0.5}),
    ("SGD", {"loss_scale_factor": 4.0, "weight_decay": 0.1}),
    ("RMSprop", {"use_ema": True, "ema_overwrite_frequency": 2}),
    ("Adam", {"gradient_accumulation_steps": 2, "global_clipnorm": 0.5})], ids=str)
def test_a_scaled_optimizer(name, options, scale, growth, infinite):
    """Weights, the scale, its counter and the steps taken. Not the slots: Keras forgets some."""
    found = []
    for library in (nnc, keras):
        inner = getattr(library.optimizers, name)(0.05, **options)
        optimizer = library.optimizers.LossScaleOptimizer(inner, scale, growth)
        weights = fresh(library)
        optimizer.build(weights)
        first = optimizer.scale_loss(library.ops.convert_to_tensor(2.0))
        apply(library, optimizer, weights, 7, infinite)
        optimizer.finalize_variable_values(weights)
        found.append([*weights, first, optimizer.scale_loss(library.ops.convert_to_tensor(2.0)),
                      optimizer.step_counter, optimizer.iterations, optimizer.learning_rate])
    close(*found, 0.05)


def maps(o):
    """What MultiOptimizer takes, of the optimizers of a library."""
    decay, adam, nadam = o.schedules.ExponentialDecay(0.1, 2, 0.5), o.Adam(0.1), o.Nadam(0.1)
    return {
        "default": o.OptimizerMap(o.SGD(0.1)),
        "a name before a pattern": o.OptimizerMap(o.SGD(0.1, momentum=0.5), {
            "w0": adam, "w[012]": o.Lion(0.05)}),
        "options": o.OptimizerMap(o.AdamW(0.1, clipnorm=0.3, loss_scale_factor=8.0), {
            "w[01]": o.RMSprop(decay, use_ema=True, ema_overwrite_frequency=2, weight_decay=0.1)}),
        "accumulation": o.OptimizerMap(o.SGD(0.1, gradient_accumulation_steps=2), {
            "w1": o.Adam(0.1, gradient_accumulation_steps=3, global_clipnorm=0.2)}),
        "unused": o.OptimizerMap(o.SGD(0.1), {"none": o.Adam(0.1)}),
        "shared": o.OptimizerMap(adam, {"w1": adam, "w2": o.SGD(0.3)}),
        "a function": lambda variable: adam if len(variable.shape) == 1 else nadam,
        "new ones": lambda variable: o.SGD(0.1),
    }


@pytest.mark.parametrize("scale", [None, 4.0])
@pytest.mark.parametrize("kind", maps(nnc.optimizers))
def test_several_optimizers(kind, scale):
    """Weights and all variables; a loss scale that changes between steps."""
    found, names = [], []
    for library in (nnc, keras):
        optimizer = library.optimizers.MultiOptimizer(maps(library.optimizers)[kind],
                                                      loss_scale_factor=scale)
        weights = fresh(library)
        apply(library, optimizer, weights, 3)
        optimizer.loss_scale_factor = 16.0
        apply(library, optimizer, weights, 2)
        optimizer.finalize_variable_values(weights)
        found.append([*weights, *optimizer.variables,
                      optimizer.scale_loss(library.ops.convert_to_tensor(2.0))])
        names.append([type(one).__name__ for one in optimizer.optimizers])
    assert names[0] == names[1]
    close(*found, 0.1)


@pytest.mark.parametrize("make, text", [
    (lambda o: o.OptimizerMap(o.SGD(), {"w.*": o.Adam(), ".1": o.Lion()}), "w1"),
    (lambda o: lambda variable: o.LossScaleOptimizer(o.SGD()), "LossScaleOptimizer"),
    (lambda o: lambda variable: "sgd", "Optimizer")], ids=["two keys", "scaled", "a name"])
def test_several_optimizers_refuse(make, text):
    for library in (nnc, keras):
        weights = fresh(library)
        optimizer = library.optimizers.MultiOptimizer(make(library.optimizers))
        with pytest.raises(ValueError, match=text):
            apply(library, optimizer, weights, 1)
        for weight, before in zip(weights, fresh(library)):
            np.testing.assert_array_equal(values(weight), values(before))
