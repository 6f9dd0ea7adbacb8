"""Image ops and attention against Keras live; resizing's gradient against finite differences."""
import numpy as np
import pytest

import nnc
from live import answer, keras, same
from nnc import ops
from reference.row import numbers
from test_ops import check_gradient

IMAGE = numbers(2, 6, 7, 3, low=0, high=1).astype("float32")
BYTES = (255 * IMAGE).astype("uint8")
ATTENTION = tuple(numbers(2, n, 4, 5, seed=i).astype("float32") for i, n in enumerate((3, 6, 6)))
SHARED = ATTENTION[0], ATTENTION[1][:, :, :2], ATTENTION[2][:, :, :2]

# Sums of some ten products; TensorFlow's weights of the cubic filter come from a table of 1024.
CASES = {
    **{f"resize {how} {size} {antialias}": ("resize", (IMAGE, size, how, antialias), {})
       for how in ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5", "area")
       for size in ((9, 13), (3, 4)) for antialias in (False, True)},
    "resize bytes": ("resize", (BYTES, (4, 9)), {}),
    "resize nearest bytes": ("resize", (BYTES, (4, 9), "nearest"), {}),
    "resize crop": ("resize", (IMAGE, (4, 8)), {"crop_to_aspect_ratio": True}),
    "resize pad": ("resize", (IMAGE, (4, 12)), {"pad_to_aspect_ratio": True, "fill_value": 0.5}),
    "resize one": ("resize", (IMAGE[0], (4, 8)), {}),
    "gray": ("rgb_to_grayscale", (IMAGE,), {}),
    "gray bytes": ("rgb_to_grayscale", (BYTES[0],), {}),
    "hsv": ("rgb_to_hsv", (np.concatenate([IMAGE, IMAGE * 0, IMAGE[:, :, :, :1].repeat(3, 3)]),),
            {}),
    "rgb": ("hsv_to_rgb", (IMAGE,), {}),
    "pad": ("pad_images", (IMAGE, 1, 2), {"target_height": 9, "right_padding": 0}),
    "crop": ("crop_images", (IMAGE, 1), {"bottom_cropping": 2, "target_width": 3,
                                         "right_cropping": 1}),
    "patches": ("extract_patches", (IMAGE, (2, 3)), {}),
    "patches same": ("extract_patches", (IMAGE[0], 2, 1, 1, "same"), {}),
    "blur deviations": ("gaussian_blur", (IMAGE, (5, 5), (0.4, 2.0)),
                        {"data_format": "channels_last"}),
    "blur": ("gaussian_blur", (IMAGE, (3, 3), (1.0, 1.0)), {"data_format": "channels_last"}),
}


@pytest.mark.parametrize("name", CASES)
def test_image(name):
    function, arguments, options = CASES[name]
    first, *rest = arguments
    theirs = getattr(keras.ops.image, function)(keras.ops.convert_to_tensor(first), *rest,
                                                **options)
    tolerance = 5e-4 if "bicubic" in name else 2e-5
    same(getattr(ops.image, function)(first, *rest, **options), theirs, rtol=tolerance,
         atol=tolerance)


def test_channels_first_is_a_transpose():
    first = np.ascontiguousarray(IMAGE.transpose(0, 3, 1, 2))
    for name, arguments in (("resize", ((4, 5),)), ("rgb_to_grayscale", ()), ("rgb_to_hsv", ()),
                            ("extract_patches", (2,)), ("gaussian_blur", ())):
        function = getattr(ops.image, name)
        np.testing.assert_array_equal(
            function(first, *arguments, data_format="channels_first").numpy(),
            function(IMAGE, *arguments).numpy().transpose(0, 3, 1, 2))


MOVED = np.array([[1, 0, 0.5, 0, 1, -0.5, 0, 0], [1, 0.1, 0, 0, 1, 0, 0, 0.01]], "float32")
CORNERS = numbers(2, 4, 2, low=0, high=6).astype("float32")
SYMBOLIC = [
    ("rgb_to_grayscale", {}), ("rgb_to_hsv", {}), ("hsv_to_rgb", {}),
    ("resize", {"size": (3, 4), "interpolation": "nearest"}),
    ("resize", {"size": (3, 8), "pad_to_aspect_ratio": True, "fill_value": 0.5}),
    ("affine_transform", {"transform": MOVED, "fill_mode": "reflect"}),
    ("perspective_transform", {"start_points": CORNERS, "end_points": CORNERS[:, ::-1] + 1}),
    ("extract_patches", {"size": (2, 3)}),
    ("pad_images", {"top_padding": 1, "left_padding": 2, "target_height": 9, "right_padding": 0}),
    ("crop_images", {"top_cropping": 1, "left_cropping": 0, "target_height": 3, "target_width": 4}),
    ("gaussian_blur", {"sigma": (0.5, 1.5)}),
]


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("name, options", SYMBOLIC, ids=[f"{n}-{i}" for i, (n, _) in
                                                         enumerate(SYMBOLIC)])
def test_on_keras_tensors(name, options, data_format, tmp_path):
    """A node beside Keras's; the file of the model is read by both."""
    images = IMAGE if data_format == "channels_last" else IMAGE.transpose(0, 3, 1, 2)
    models = []
    for library in (nnc, keras):
        inputs = library.Input(images.shape[1:])
        models.append(library.Model(inputs, getattr(library.ops.image, name)(
            inputs, **options, data_format=data_format)))
    ours, theirs = models
    assert ours.output_shape == theirs.output_shape
    wanted = answer(theirs, images)
    same(ours(images), wanted, rtol=2e-5, atol=2e-5)        # as `test_image`
    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    for library in (nnc, keras):
        for file in ("ours.keras", "theirs.keras"):
            same(library.saving.load_model(tmp_path / file)(images), wanted, rtol=2e-5, atol=2e-5)


def test_patches_of_volumes_on_keras_tensors():
    inputs = nnc.Input((4, 5, 6, 2))
    model = nnc.Model(inputs, ops.image.extract_patches_3d(inputs, 2))
    x = numbers(2, 4, 5, 6, 2).astype("float32")
    again = nnc.Model.from_config(model.get_config())
    np.testing.assert_array_equal(again(x), ops.image.extract_patches_3d(x, 2))
    assert again.output_shape == (None, 2, 2, 3, 16)


@pytest.mark.parametrize("name, options", [
    ("resize", {"size": (3, 4)}), ("rgb_to_hsv", {}), ("extract_patches", {"size": 2}),
    ("gaussian_blur", {}),
    ("crop_images", {"top_cropping": 1, "left_cropping": 0, "target_height": 3,
                     "target_width": 4})])
def test_sizes_not_known(name, options):
    models = []
    for library in (nnc, keras):
        inputs = library.Input((None, None, 3))
        models.append(library.Model(inputs, getattr(library.ops.image, name)(inputs, **options)))
    assert models[0].output_shape == models[1].output_shape
    for images in (IMAGE, IMAGE[:, :5, :4]):
        same(models[0](images), models[1](images), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("how", ["bilinear", "nearest", "bicubic"])
def test_gradient_of_resize(how):
    check_gradient(lambda x: ops.image.resize(x, (5, 2), how), [numbers(1, 3, 4, 1)], (0,), how)


@pytest.mark.parametrize("call, text", [
    (lambda: ops.image.resize(IMAGE, (3, 3), "cubic"), "resize.*'cubic'"),
    (lambda: ops.image.resize(IMAGE, 3), "resize.*size"),
    (lambda: ops.image.resize(IMAGE[0, 0], (3, 3)), "resize.*rank"),
    (lambda: ops.image.pad_images(IMAGE, 1, 1), "pad_images.*two"),
    (lambda: ops.image.crop_images(IMAGE, 4, 0, 4, 0), "crop_images"),
    (lambda: ops.image.rgb_to_hsv(BYTES), "rgb_to_hsv.*uint8"),
    (lambda: ops.dot_product_attention(IMAGE, IMAGE[:, :, :2], IMAGE), "dot_product_attention")])
def test_refused(call, text):
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.parametrize("inputs", [ATTENTION, SHARED], ids=["heads", "shared"])
@pytest.mark.parametrize("options", [
    {}, {"is_causal": True}, {"scale": 0.3, "mask": np.arange(6) < 4},
    {"bias": numbers(3, 6).astype("float32")}], ids=["plain", "causal", "mask", "bias"])
def test_attention(inputs, options):
    theirs = {key: keras.ops.convert_to_tensor(x) if isinstance(x, np.ndarray) else x
              for key, x in options.items()}
    same(ops.dot_product_attention(*inputs, **options),
         keras.ops.dot_product_attention(*inputs, **theirs), rtol=1e-5, atol=1e-5)


def test_gradient_of_attention():
    inputs = [numbers(1, 2, 2, 3, seed=i) for i in range(3)]
    check_gradient(lambda *x: ops.dot_product_attention(*x, is_causal=True,
                                                        attn_logits_soft_cap=2.0),
                   inputs, range(3), "attention")
