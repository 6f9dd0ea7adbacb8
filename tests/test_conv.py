"""Convolutions, pooling and their layers: against Keras live and finite differences."""
import numpy as np
import pytest

import nnc
from live import keras, plain, same, values
from nnc import ops
from reference.row import numbers
from test_ops import check_gradient

SHAPES = {1: (2, 9, 4), 2: (2, 7, 8, 4), 3: (1, 5, 6, 5, 4)}
# A sum of up to some hundred products: so many roundings of terms of size 1, in another order.
TOLERANCE = {"rtol": 2e-5, "atol": 2e-5}


def image(rank):
    return numbers(*SHAPES[rank]).astype("float32")


def kernel(*shape):
    return numbers(*shape, low=-1, high=1).astype("float32")


WAYS = [dict(), dict(strides=2, padding="same"), dict(dilation_rate=2, padding="same"),
        dict(strides=2), dict(dilation_rate=2)]


def names(way):
    return "-".join(f"{key}={value}" for key, value in way.items()) or "plain"


@pytest.mark.parametrize("way", WAYS, ids=names)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_conv(rank, way):
    x, size = image(rank), (3, 2, 2)[:rank]
    for k in (kernel(*size, 4, 5), kernel(*size, 2, 6)):
        if k.shape[-2] == 4 or "dilation_rate" not in way:      # TensorFlow has no such groups
            same(ops.conv(x, k, **way), keras.ops.conv(x, k, **way), **TOLERANCE)
    if "dilation_rate" not in way:                                  # nor dilated transposes
        k = kernel(*(3, 3, 3)[:rank], 5, 4)
        for more in (None, 0):
            same(ops.conv_transpose(x, k, output_padding=more, **way),
                 keras.ops.conv_transpose(x, k, output_padding=more, **way), **TOLERANCE)
    if rank < 3:
        depth, point = kernel(*size, 4, 2), kernel(*(1,) * rank, 8, 3)
        same(ops.depthwise_conv(x, depth, **way), keras.ops.depthwise_conv(x, depth, **way),
             **TOLERANCE)
        same(ops.separable_conv(x, depth, point, **way),
             keras.ops.separable_conv(x, depth, point, **way), **TOLERANCE)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_pool(rank, padding):
    x = image(rank)
    for size, strides in ((2, None), (3, 2), (2, 1)):
        for name in ("max_pool", "average_pool"):
            same(getattr(ops, name)(x, size, strides, padding),
                 getattr(keras.ops, name)(x, size, strides, padding), **TOLERANCE)


def test_channels_first_is_a_transpose():
    x, k = image(2), kernel(3, 3, 4, 2)
    first = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    for name, arguments in (("conv", (k,)), ("conv_transpose", (kernel(3, 3, 2, 4),)),
                            ("depthwise_conv", (k,)), ("max_pool", (2,)), ("average_pool", (2,)),
                            ("adaptive_max_pool", (3,))):
        function = getattr(ops, name)
        np.testing.assert_array_equal(
            function(first, *arguments, data_format="channels_first").numpy(),
            function(x, *arguments, data_format="channels_last").numpy().transpose(0, 3, 1, 2))


def test_blocks_and_patches():
    x = numbers(2, 3, 6, 7).astype("float32")
    for way in (((2, 3), 1, 1, 2), (2, 2, 0, 1)):
        same(ops.unfold(x, *way), keras.ops.unfold(x, *way))
        y = ops.unfold(x, *way).numpy()
        same(ops.fold(y, (6, 7), *way), keras.ops.fold(y, (6, 7), *way))
    x = numbers(2, 4, 6, 8).astype("float32")
    for name in ("depth_to_space", "space_to_depth"):
        same(getattr(ops, name)(x, 2), getattr(keras.ops, name)(x, 2))
    for size in (2, (3, 5)):
        for name in ("adaptive_average_pool", "adaptive_max_pool"):
            same(getattr(ops, name)(x, size),
                 getattr(keras.ops, name)(keras.ops.convert_to_tensor(x), size), **TOLERANCE)


GRADIENTS = {
    "conv": (lambda x, k: ops.conv(x, k, 2, "same"), (2, 4, 3, 2), (3, 2, 2, 2)),
    "groups": (lambda x, k: ops.conv(x, k, 1, "valid", dilation_rate=2), (1, 5, 2), (2, 1, 2)),
    "transpose": (lambda x, k: ops.conv_transpose(x, k, 2, "same"), (1, 2, 3, 2), (3, 3, 1, 2)),
    "depthwise": (lambda x, k: ops.depthwise_conv(x, k, 1, "same"), (1, 3, 3, 2), (2, 2, 2, 2)),
    "max": (lambda x: ops.max_pool(x, 2, 1, "same"), (1, 3, 4, 2)),
    "average": (lambda x: ops.average_pool(x, 2, 2, "same"), (2, 3, 3, 1)),
    "adaptive average": (lambda x: ops.adaptive_average_pool(x, 2), (1, 3, 5, 2)),
    "adaptive max": (lambda x: ops.adaptive_max_pool(x, (2, 3)), (1, 3, 5, 2)),
    "unfold": (lambda x: ops.unfold(x, 2, padding=1), (1, 2, 3, 3)),
    "fold": (lambda x: ops.fold(x, 3, 2), (1, 8, 4)),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient(name):
    function, *shapes = GRADIENTS[name]
    inputs = [numbers(*shape, seed=i) for i, shape in enumerate(shapes)]
    check_gradient(function, inputs, range(len(inputs)), name)


def test_second_gradient():
    def gradient(x, k):
        with nnc.GradientTape() as tape:
            tape.watch(x)
            tape.watch(k)
            y = ops.sum(ops.sin(ops.max_pool(ops.conv(x, k, 1, "same"), 2)))
        return tuple(tape.gradient(y, [x, k]))
    check_gradient(gradient, [numbers(1, 4, 4, 1), numbers(2, 2, 1, 2, seed=5)], (0, 1), "conv")


def test_ties_of_max_pool_go_to_the_first():
    x = nnc.Tensor(np.zeros((1, 4, 1), "float32"))
    with nnc.GradientTape() as tape:
        tape.watch(x)
        y = ops.max_pool(x, 2)
    np.testing.assert_array_equal(tape.gradient(y, x).numpy().ravel(), [1, 0, 1, 0])


def test_nan_is_not_hidden():
    x = numbers(1, 6, 1)
    x[0, 2] = np.nan
    for name in ("max_pool", "average_pool"):
        found = np.isnan(getattr(ops, name)(x, 2).numpy().ravel())
        assert found.tolist() == [False, True, False], name


REFUSED = {
    "channels": (lambda: ops.conv(image(2), kernel(3, 3, 3, 2)), r"conv.*\(3, 3, 3, 2\)"),
    "rank": (lambda: ops.conv(image(2), kernel(3, 4, 2)), "conv.*one rank"),
    "too large": (lambda: ops.conv(image(1), kernel(11, 4, 2)), "conv.*larger"),
    "padding": (lambda: ops.max_pool(image(1), 2, padding="full"), "max_pool.*'full'"),
    "strides": (lambda: ops.max_pool(image(1), 2, 0), "max_pool.*strides"),
    "format": (lambda: ops.conv(image(1), kernel(1, 4, 2), data_format="nhwc"), "nhwc"),
    "output_padding": (lambda: ops.conv_transpose(image(1), kernel(3, 2, 4), 1, "valid", 1),
                       "output_padding"),
    "layer size": (lambda: nnc.layers.Conv2D(0, 3), "Conv2D.*filters"),
    "layer groups": (lambda: nnc.layers.Conv2D(3, 3, groups=2), "Conv2D.*groups"),
    "layer both": (lambda: nnc.layers.Conv2D(3, 3, strides=2, dilation_rate=2), "dilation_rate"),
    "layer kernel": (lambda: nnc.layers.Conv2D(3, 9)(image(2)), "Conv2D.*larger"),
    "layer pool": (lambda: nnc.layers.MaxPooling2D((2, 2, 2)), "MaxPooling2D.*pool_size"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    call, text = REFUSED[name]
    with pytest.raises(ValueError, match=text):
        call()


# ---- layers --------------------------------------------------------------------------------------

LAYERS = [(f"{name}{rank}D", arguments, options)
          for rank in (1, 2, 3)
          for name, arguments, options in (
              ("Conv", (4, 3), dict(groups=2, padding="same", activation="relu")),
              ("ConvTranspose", (3, 2), dict(strides=2, output_padding=1)),
              ("DepthwiseConv", (3,), dict(depth_multiplier=2)),
              ("SeparableConv", (5, 3), dict(depth_multiplier=2, padding="same")),
              ("AveragePooling", (2,), dict(padding="same")), ("MaxPooling", (), dict(strides=1)),
              ("GlobalAveragePooling", (), dict(keepdims=True)), ("GlobalMaxPooling", (), {}),
              ("AdaptiveAveragePooling", (3,), {}), ("AdaptiveMaxPooling", (2,), {}))
          if rank < 3 or not name.startswith(("Depthwise", "Separable"))]
LAYERS += [("Conv1D", (4, 3), dict(padding="causal", dilation_rate=2, use_bias=False))]
LAYERS += [(f"{name}{rank}D", arguments, dict(padding=padding, strides=strides, **options))
           for rank in (1, 2) for padding in ("valid", "same") for strides in (2, 3)
           for name, arguments, options in (
               ("Conv", (4, 3), dict(groups=2)), ("MaxPooling", (3,), {}),
               ("AveragePooling", (3,), {}), ("ConvTranspose", (3, 3), {}),
               ("DepthwiseConv", (3,), dict(dilation_rate=2, depth_multiplier=2)),
               ("SeparableConv", (5, 3), dict(dilation_rate=2, use_bias=False)))]


@pytest.mark.parametrize("name, arguments, options", LAYERS)
def test_layer(name, arguments, options):
    if "ConvTranspose" in name:
        name = f"Conv{name[-2:]}Transpose"
    ours = getattr(nnc.layers, name)(*arguments, **options, name="layer")
    theirs = getattr(keras.layers, name)(*arguments, **options, name="layer")
    x = image(int(name[-2] if name[-1] == "D" else name[4]))
    want = theirs(keras.ops.convert_to_tensor(x))
    ours.build(x.shape)
    ours.set_weights(theirs.get_weights())
    same(ours(x), want, **TOLERANCE)
    assert ours.compute_output_shape((None, *x.shape[1:])) == (None, *values(want).shape[1:])
    ignored = ("dtype",)
    config, known = plain(ours.get_config()), plain(theirs.get_config())
    for key, value in known.items():
        if key not in ignored and not key.endswith("initializer"):
            assert config[key] == value, key
    assert set(config) == set(known)
    again = type(ours).from_config(ours.get_config())
    assert plain(again.get_config()) == config


def test_mask_of_global_average_pooling():
    x = image(1)
    mask = np.arange(9)[None] < np.array([[3], [7]])
    same(nnc.layers.GlobalAveragePooling1D()(x, mask=mask),
         keras.layers.GlobalAveragePooling1D()(x, mask=keras.ops.convert_to_tensor(mask)))


def test_a_small_network_learns():
    nnc.utils.set_random_seed(3)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 128)
    x = rng.normal(size=(128, 6, 6, 1)).astype("float32")
    x[y == 1, :3] += 1.0
    model = nnc.Sequential([nnc.Input((6, 6, 1)),
                            nnc.layers.Conv2D(4, 3, padding="same", activation="relu"),
                            nnc.layers.MaxPooling2D(), nnc.layers.SeparableConv2D(4, 2),
                            nnc.layers.GlobalAveragePooling2D(), nnc.layers.Dense(2)])
    model.compile(nnc.optimizers.Adam(0.02),
                  nnc.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses = model.fit(x, y, epochs=8, batch_size=32, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]


def test_same_bits_on_any_number_of_threads(threads):
    x, k = numbers(9, 13, 11, 3), numbers(3, 3, 3, 7)

    def run():
        t, w = nnc.Tensor(x), nnc.Tensor(k)
        with nnc.GradientTape() as tape:
            tape.watch(t), tape.watch(w)
            y = ops.max_pool(ops.conv(t, w, 1, "same"), 2)
        return [g.numpy().tobytes() for g in tape.gradient(y, [t, w])]
    ours = run()
    before = nnc._core.get_num_threads()
    nnc._core.set_num_threads(1)
    try:
        assert run() == ours
    finally:
        nnc._core.set_num_threads(before)
