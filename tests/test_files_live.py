"""Files in both directions for every layer, optimizer, loss and metric: written by Keras and read
here, written here and read by Keras, with equal outputs, variables and configurations.

A file holds several rows of the tables of the other tests, each a branch of one model: TensorFlow's
calls cost more than the files.
"""
import inspect

import numpy as np
import pytest

import nnc
from tests.live import keras, plain, values
from tests.test_layers_table import ROWS
from tests.test_losses import LOSSES
from tests.test_metrics import METRICS

pytest.importorskip("h5py")
LINE, IMAGE, VOLUME = (6, 2), (6, 5, 2), (4, 5, 4, 2)
PLACES = [("1D", LINE), ("2D", IMAGE), ("3D", VOLUME)]
MORE = [
    ("Dense", {"units": 3, "activation": "gelu", "kernel_regularizer": "l1"}, (4,)),
    ("Flatten", {}, (3, 4)), ("Identity", {}, (4,)), ("Dropout", {"rate": 0.3, "seed": 3}, (4,)),
    ("Activation", {"activation": "silu"}, (4,)), ("Embedding", {"input_dim": 9, "output_dim": 3},
                                                   "ids"),
    ("CategoryEncoding", {"num_tokens": 9, "output_mode": "multi_hot"}, "ids"),
    *((f"Conv{d}", {"filters": 3, "kernel_size": 2, "strides": 2, "padding": "same"}, shape)
      for d, shape in PLACES),
    *((f"Conv{d}Transpose", {"filters": 3, "kernel_size": 2, "activation": "relu"}, shape)
      for d, shape in PLACES),
    *((f"DepthwiseConv{d}", {"kernel_size": 2, "depth_multiplier": 2}, shape)
      for d, shape in PLACES[:2]),
    *((f"SeparableConv{d}", {"filters": 3, "kernel_size": 2}, shape) for d, shape in PLACES[:2]),
    *((f"{kind}Pooling{d}", {"pool_size": 2, "padding": "same"}, shape)
      for kind in ("Max", "Average") for d, shape in PLACES),
    *((f"Global{kind}Pooling{d}", {"keepdims": True}, shape)
      for kind in ("Max", "Average") for d, shape in PLACES),
    *((f"Adaptive{kind}Pooling{d}", {"output_size": 2}, shape)
      for kind in ("Max", "Average") for d, shape in PLACES),
    # preprocessing; what draws numbers passes its input on when it is not trained
    *((name, arguments, (8, 8, 3)) for name, arguments in [
        ("AugMix", {}), ("ContrastLimitedAdaptiveHistogramEqualization", {}),
        ("RandomElasticTransform", {}), ("AutoContrast", {}),
        ("CenterCrop", {"height": 4, "width": 4}), ("CutMix", {}),
        ("MaxNumBoundingBoxes", {"max_number": 3}), ("MixUp", {}),
        ("RandAugment", {}), ("RandomBrightness", {"factor": 0.2}),
        ("RandomColorDegeneration", {"factor": 0.2}), ("RandomColorJitter", {}),
        ("RandomContrast", {"factor": 0.2}), ("RandomErasing", {}), ("RandomFlip", {}), ("RandomGaussianBlur", {}),
        ("RandomGrayscale", {}), ("RandomHue", {"factor": 0.2}), ("RandomInvert", {}),
        ("RandomPerspective", {}), ("RandomPosterization", {"factor": 4}),
        ("RandomRotation", {"factor": 0.2}), ("RandomSaturation", {"factor": 0.2}),
        ("RandomSharpness", {"factor": 0.2}), ("RandomShear", {}),
        ("RandomTranslation", {"height_factor": 0.2, "width_factor": 0.2}),
        ("RandomZoom", {"height_factor": 0.2}), ("Resizing", {"height": 4, "width": 4}),
        ("Solarization", {})]),
    ("Discretization", {"bin_boundaries": [0.0, 1.0]}, (4,)),
    ("Hashing", {"num_bins": 5}, "ids"),
    ("ReversibleEmbedding", {"input_dim": 9, "output_dim": 3}, "ids"),
    ("IntegerLookup", {"vocabulary": [1, 2, 3]}, "ids"),
    ("MelSpectrogram", {}, (4096,)),
    ("STFTSpectrogram", {}, (4096, 1)),
]
WRAPPED = [("TimeDistributed", lambda k: k.layers.TimeDistributed(k.layers.Dense(3)), (2, 4)),
           ("SpectralNormalization",
            lambda k: k.layers.SpectralNormalization(k.layers.Dense(3)), (4,)),
           ("Pipeline", lambda k: k.layers.Pipeline([k.layers.Rescaling(0.5),
                                                     k.layers.CenterCrop(4, 4)]), (8, 8, 3))]
LAYERS = [(name, lambda k, name=name, arguments=arguments: getattr(k.layers, name)(**arguments),
           shape) for name, arguments, shape in ROWS + MORE] + WRAPPED
SIZE = 12
CHUNKS = [LAYERS[i:i + SIZE] for i in range(0, len(LAYERS), SIZE)]
# No file holds these alone: bases, what runs the user's code, an input.
ALONE = {"Layer", "Wrapper", "Lambda", "InputLayer"}


def test_each_layer_has_a_row():
    ours = {cls.__name__ for cls in vars(nnc.layers).values() if inspect.isclass(cls)
            and issubclass(cls, nnc.layers.Layer) and hasattr(keras.layers, cls.__name__)}
    assert ours - ALONE <= {name for name, _, _ in LAYERS} | NEW
    assert {cls.__name__ for cls in vars(nnc.losses).values() if inspect.isclass(cls)} \
        - {"Loss", "LossFunctionWrapper"} <= {row[0] for row in LOSSES} | {"CTC", "Circle"}
    assert names_of(nnc.optimizers) - {"MultiOptimizer"} <= set(OPTIMIZERS)


#: Layers whose files their own tests write and read (test_string_models.py): they take strings.
#: Keras cannot call Equalization on a symbolic tensor, and its RandomCrop crops in training only.
NEW = {"Equalization", "RandomCrop", "HashedCrossing", "StringLookup", "TextVectorization"}


def names_of(module):
    return {cls.__name__ for cls in vars(module).values() if inspect.isclass(cls)
            and cls.__module__.startswith(module.__name__)} - {"Optimizer", "OptimizerMap"}


def inputs(k, shape):
    if shape == "ids":
        return k.Input((4,), dtype="int32")
    if isinstance(shape, list):
        return [k.Input(one) for one in shape]
    return k.Input(shape)


def numbers(shape, rng):
    if shape == "ids":
        return rng.integers(0, 9, (3, 4)).astype("int32")
    if isinstance(shape, list):
        return [numbers(one, rng) for one in shape]
    return rng.normal(size=(3, *shape)).astype("float32")


def branches(k, chunk):
    """A model with a branch a row."""
    given = [inputs(k, shape) for _, _, shape in chunk]
    return k.Model(given, [make(k)(x) for (_, make, _), x in zip(chunk, given)])


def pairs_of(ours, theirs, x):
    a, b = ours(x, training=False), theirs(x, training=False)
    return list(zip(a, b, strict=True))


@pytest.mark.parametrize("chunk", CHUNKS, ids=[f"{c[0][0]}-to-{c[-1][0]}" for c in CHUNKS])
def test_layers_both_ways(tmp_path, chunk):
    rng = np.random.default_rng(4)
    theirs = branches(keras, chunk)
    theirs.set_weights([rng.uniform(0.2, 1, w.shape).astype(w.dtype)
                        for w in theirs.get_weights()])
    x = [numbers(shape, rng) for _, _, shape in chunk]
    theirs.save(tmp_path / "theirs.keras")
    ours = nnc.saving.load_model(tmp_path / "theirs.keras")
    ours.save(tmp_path / "ours.keras")
    again = keras.saving.load_model(tmp_path / "ours.keras")
    for a, b, c in zip(ours.weights, theirs.weights, again.weights, strict=True):
        assert values(a).tobytes() == values(b).tobytes() == values(c).tobytes()
    # rtol, atol: sums of up to 64 products of numbers near 1, in another order
    for (name, _, _), (a, b) in zip(chunk, pairs_of(ours, theirs, x)):
        np.testing.assert_allclose(values(a), values(b), rtol=2e-5, atol=2e-5, err_msg=name)
    for (name, _, _), b, c in zip(chunk, theirs(x, training=False), again(x, training=False)):
        assert values(b).tobytes() == values(c).tobytes(), name
    theirs.save_weights(tmp_path / "t.weights.h5")
    fresh = branches(nnc, chunk)
    fresh.load_weights(tmp_path / "t.weights.h5")
    for a, b in zip(fresh.weights, theirs.weights, strict=True):
        assert values(a).tobytes() == values(b).tobytes()


# ---- optimizers ----------------------------------------------------------------------------------

# MultiOptimizer is made of a function, which no file holds.
OPTIMIZERS = {name: lambda k, name=name: getattr(k.optimizers, name)(learning_rate=0.02)
              for name in names_of(nnc.optimizers) - {"MultiOptimizer"}}
OPTIMIZERS.update(
    LossScaleOptimizer=lambda k: k.optimizers.LossScaleOptimizer(k.optimizers.Adam(0.02)),
    SGD=lambda k: k.optimizers.SGD(k.optimizers.schedules.PiecewiseConstantDecay(
        [2, 5], [0.1, 0.05, 0.01]), momentum=0.9, nesterov=True, use_ema=True),
    Adam=lambda k: k.optimizers.Adam(k.optimizers.schedules.CosineDecay(0.1, 9), amsgrad=True,
                                     gradient_accumulation_steps=2),
    RMSprop=lambda k: k.optimizers.RMSprop(0.02, centered=True, momentum=0.3))


def trained(k, optimizer):
    """A model whose optimizer has been at work: its variables hold numbers of their own."""
    model = k.Sequential([k.Input((4,)), k.layers.Dense(3, "tanh"), k.layers.Dense(2)])
    model.compile(optimizer, loss="mse")
    model.optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(3)
    for v in model.optimizer.variables:
        if len(v.shape):
            v.assign(rng.uniform(0.1, 1, tuple(v.shape)).astype("float32"))
        elif "int" in str(v.dtype):
            v.assign(3)
    return model


@pytest.mark.parametrize("name", sorted(name for name in OPTIMIZERS
                                        if hasattr(keras.optimizers, name)))
def test_optimizers_both_ways(tmp_path, name):
    theirs = trained(keras, OPTIMIZERS[name](keras))
    theirs.save(tmp_path / "theirs.keras")
    ours = nnc.saving.load_model(tmp_path / "theirs.keras")
    ours.save(tmp_path / "ours.keras")
    again = keras.saving.load_model(tmp_path / "ours.keras")
    for a, b, c in zip(*(m.optimizer.variables for m in (ours, theirs, again)), strict=True):
        np.testing.assert_array_equal(values(a), values(b), err_msg=a.path)
        np.testing.assert_array_equal(values(c), values(b), err_msg=a.path)
    assert plain(again.optimizer.get_config()) == plain(theirs.optimizer.get_config())


# ---- losses and metrics --------------------------------------------------------------------------

def once(rows):
    """The last row of each class: it has the most arguments."""
    return list({row[0]: row for row in rows}.values())


# Keras cannot read its own file of an AUC with `label_weights`.
MEASURES = once(row for row in METRICS if "label_weights" not in row[3])
GOALS = once(LOSSES)


def compiled(k, losses, metrics):
    """A model with an output a loss; the metrics are spread over them."""
    x = k.Input((4,))
    model = k.Model(x, [k.layers.Dense(4, name=f"y{i}")(x) for i in range(len(losses))])
    made = [getattr(k.metrics, row[0])(**{"name": f"m{i}", **row[3]})
            for i, row in enumerate(metrics)]
    model.compile("sgd", loss=[getattr(k.losses, row[0])(**row[4]) for row in losses],
                  metrics=[made[i::len(losses)] for i in range(len(losses))])
    return model


def parts(model):
    """Classes and configurations of the losses and metrics, as a file would give them back."""
    config = model.get_compile_config()
    return [(part["class_name"], plain(part["config"]))
            for part in [*config["loss"], *(m for some in config["metrics"] for m in some)]]


@pytest.mark.parametrize("i", range(3))
def test_losses_and_metrics_both_ways(tmp_path, i):
    rows = GOALS[i::3], MEASURES[i::3]
    theirs = compiled(keras, *rows)
    theirs.save(tmp_path / "theirs.keras")
    ours = nnc.saving.load_model(tmp_path / "theirs.keras")
    ours.save(tmp_path / "ours.keras")
    again = keras.saving.load_model(tmp_path / "ours.keras")
    assert len(parts(ours)) == sum(map(len, rows))
    assert parts(ours) == parts(theirs) == parts(again)
