"""Images sampled at any places, edges and likeness, beside Keras and from their definitions."""
import numpy as np
import pytest

import nnc
from live import keras, same, values
from nnc import ops
from reference.row import numbers
from test_ops import check_gradient

IMAGE = numbers(2, 6, 7, 3, low=0, high=1).astype("float32")
OTHER = np.clip(IMAGE + 0.1 * numbers(2, 6, 7, 3, seed=4), 0, 1).astype("float32")
VOLUME = numbers(4, 5, 6, seed=1).astype("float32")
#: d coordinates each, on both sides of the array and in it; Keras is right from 0 on in "reflect"
PLACES = np.random.default_rng(2).uniform(-9, 12, (3, 4, 5)).astype("float32")
SCALE, MOVE = np.array([2.0, 0.4], "float32"), np.array([0.3, 1.5], "float32")
TO = (2, 9, 4, 3)

CASES = {
    **{f"map {mode} {order}": ("map_coordinates", (VOLUME, PLACES, order, mode, 1.5), {})
       for mode in ("constant", "nearest", "wrap") for order in (0, 1)},
    **{f"map reflect {order}": ("map_coordinates", (VOLUME, abs(PLACES), order, "reflect"), {})
       for order in (0, 1)},
    "map integers": ("map_coordinates", ((100 * VOLUME).astype("int32"), PLACES, 1), {}),
    **{f"scale {method} {antialias}": ("scale_and_translate", (
        IMAGE, TO, SCALE, MOVE, (1, -2), method, antialias), {})
       for method in ("linear", "trilinear", "cubic", "bicubic", "lanczos3", "lanczos5")
       for antialias in (True, False)},
    "scale one axis": ("scale_and_translate", (IMAGE[0, 0, :, 0], (9,), SCALE[:1], MOVE[:1], (0,),
                                               "linear"), {}),
    "scale nothing": ("scale_and_translate", (IMAGE, TO, SCALE[:0], MOVE[:0], (), "linear"), {}),
    "sobel": ("sobel_edges", (IMAGE,), {}),
    "sobel channels first": ("sobel_edges", (np.ascontiguousarray(IMAGE.transpose(0, 3, 1, 2)),
                                             "channels_first"), {}),
    **{f"ssim {size}": ("ssim", (IMAGE, OTHER), {"filter_size": size, "filter_sigma": 0.8})
       for size in (1, 4, 5)},
    "ssim one": ("ssim", (IMAGE[0], OTHER[0]), {"filter_size": 3, "max_val": 255.0, "k1": 0.2}),
    "ssim bytes": ("ssim", ((255 * IMAGE).astype("uint8"), (255 * OTHER).astype("uint8")),
                   {"filter_size": 3, "max_val": 255.0}),
    "ssim channels first": ("ssim", (IMAGE.transpose(0, 3, 1, 2), OTHER.transpose(0, 3, 1, 2)),
                            {"filter_size": 3, "data_format": "channels_first"}),
}


@pytest.mark.parametrize("name", CASES)
def test_beside_keras(name):
    function, arguments, options = CASES[name]
    if name == "scale nothing":
        arguments = (IMAGE, IMAGE.shape, *arguments[2:])
    # float32: sums of some ten products, quotients of such
    same(getattr(ops.image, function)(*arguments, **options),
         getattr(keras.ops.image, function)(*arguments, **options), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("mode", ["mirror", "reflect"])
def test_mirrors_as_they_are_defined(mode):
    """NumPy's pads hold what lies outside, but call the two the other way round."""
    wide = np.pad(VOLUME, 20, "reflect" if mode == "mirror" else "symmetric")
    for order in (0, 1):
        got = values(ops.image.map_coordinates(VOLUME, PLACES, order, mode))
        same(got, ops.image.map_coordinates(wide, PLACES + 20, order), rtol=1e-5, atol=1e-5)
    one = np.full((1, 1), 3.0, "float32")
    np.testing.assert_allclose(values(ops.image.map_coordinates(one, PLACES[:2], 1, mode)), 3,
                               rtol=1e-6)
    # Whole places; Keras on TensorFlow cuts the numbers that are read there to whole ones.
    same(ops.image.map_coordinates(VOLUME, PLACES.astype("int32"), 0, mode),
         ops.image.map_coordinates(VOLUME, np.trunc(PLACES), 0, mode))


def test_places_that_are_no_numbers():
    for mode in ("constant", "nearest", "wrap", "mirror", "reflect"):
        for at in (np.nan, np.inf, -np.inf, 1e30, -1e30):
            places = np.full((1, 2), at, "float32")
            got = values(ops.image.map_coordinates(VOLUME[0, 0], places, 1, mode))
            assert got.shape == (2,)                    # and nothing outside is read
        assert np.isnan(values(ops.image.map_coordinates(
            VOLUME[0, 0], np.full((1, 2), np.nan, "float32"), 1, mode))).all() or mode == "constant"


def test_bytes_are_rounded_and_kept_within_their_range():
    """Keras on TensorFlow fails here."""
    image = (255 * IMAGE).astype("uint8")
    wide = values(ops.image.scale_and_translate(image.astype("float32"), TO, SCALE, MOVE, (1, 2),
                                                "cubic"))
    got = values(ops.image.scale_and_translate(image, TO, SCALE, MOVE, (1, 2), "cubic"))
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, np.clip(np.round(wide), image.min(), image.max()))


def test_gradients():
    """Of images, places, scales: places away from whole numbers, where the weights have kinks."""
    x = VOLUME[0].astype("float64")
    places = np.random.default_rng(0).uniform(0.1, 0.9, (2, 5)) + np.arange(5) % 4
    image, other = (z[0, :4, :4].astype("float64") for z in (IMAGE, OTHER))
    for function, inputs, label in (
            (lambda x, at: ops.image.map_coordinates(x, at, 1), [x, places], "places"),
            (lambda x, s, t: ops.image.scale_and_translate(x, (7, 6), s, t, (0,), "cubic"),
             [x, np.array([1.37]), np.array([0.21])], "scales"),
            (ops.image.sobel_edges, [image[None]], "edges"),
            (lambda x, y: ops.image.ssim(x, y, filter_size=3), [image, other], "ssim")):
        check_gradient(function, inputs, range(len(inputs)), label)


def test_symbolic(tmp_path):
    """In functional models that go through files both ways."""
    for k in (nnc, keras):
        x, y = (k.Input((6, 7, 3), batch_size=2, name=name) for name in "xy")
        outputs = [k.ops.image.sobel_edges(x), k.ops.image.ssim(x, y, filter_size=3),
                   k.ops.image.scale_and_translate(x, TO, SCALE, MOVE, (1, 2), "linear")]
        assert [tuple(o.shape) for o in outputs] == [(2, 6, 7, 3, 2), (2,), TO]
        model = k.Model([x, y], outputs[:2])
        model.save(tmp_path / f"{k.__name__}.keras")
    for name in ("nnc", "keras"):
        for k in (nnc, keras):
            again = k.saving.load_model(tmp_path / f"{name}.keras")
            for got, want in zip(again([IMAGE, OTHER]), (
                    ops.image.sobel_edges(IMAGE), ops.image.ssim(IMAGE, OTHER, filter_size=3))):
                same(values(got), want, rtol=1e-5, atol=1e-5)
    x, at = nnc.Input(batch_shape=(4, 5)), nnc.Input(batch_shape=(2, 3))
    model = nnc.Model([x, at], nnc.ops.image.map_coordinates(x, at, 1))
    places = np.array([[0.5, 1, 2], [3.25, 0, 1]], "float32")
    plane = VOLUME[0, :4, :5]
    same(model([plane, places]), ops.image.map_coordinates(plane, places, 1))
    assert nnc.ops.image.elastic_transform(nnc.Input((6, 7, 3))).shape == (None, 6, 7, 3)


# ---- elastic -------------------------------------------------------------------------------------

@pytest.mark.parametrize("mode", ["constant", "nearest", "wrap", "reflect"])
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_elastic_transform(interpolation, mode):
    """Noise of the seed, blurred; then each channel is read where it points."""
    noise = values(nnc.random.normal((2, 6, 7, 2), seed=3)) * 1.2
    ways = 4.0 * values(ops.image.gaussian_blur(noise, (7, 7), 1.2))
    grid = np.stack(np.meshgrid(np.arange(6), np.arange(7), indexing="ij"), -1).astype("float32")
    got = values(ops.image.elastic_transform(IMAGE, 4.0, 1.2, interpolation, mode, 0.5, seed=3))
    for i in range(2):
        at = np.moveaxis(grid + ways[i], -1, 0).astype("float32")
        for channel in range(3):
            want = ops.image.map_coordinates(IMAGE[i, ..., channel], at,
                                             int(interpolation == "bilinear"), mode, 0.5)
            np.testing.assert_allclose(got[i, ..., channel], values(want), rtol=1e-4, atol=1e-4)


def test_elastic_transform_of_other_forms():
    transform = ops.image.elastic_transform
    np.testing.assert_array_equal(values(transform(IMAGE, alpha=0.0, seed=1)), IMAGE)
    first = np.ascontiguousarray(IMAGE.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(
        values(transform(first, seed=1, data_format="channels_first")).transpose(0, 2, 3, 1),
        values(transform(IMAGE, seed=1)))
    image = (255 * IMAGE).astype("uint8")
    got = values(transform(image[0], seed=1))
    assert got.dtype == np.uint8 and got.shape == image[0].shape
    assert (values(transform(IMAGE, seed=1)) != values(transform(IMAGE, seed=2))).any()


@pytest.mark.parametrize("call, text", [
    (lambda i: i.map_coordinates(VOLUME, PLACES, 2), "order"),
    (lambda i: i.map_coordinates(VOLUME, PLACES, 1, "edge"), "fill_mode"),
    (lambda i: i.map_coordinates(VOLUME, PLACES[:2], 1), "coordinates"),
    (lambda i: i.map_coordinates(VOLUME[:0], PLACES, 1), "empty"),
    (lambda i: i.scale_and_translate(IMAGE, TO, SCALE, MOVE, (1, 2), "nearest"), "method"),
    (lambda i: i.scale_and_translate(IMAGE, TO, SCALE, MOVE, (1, 1), "linear"), "spatial_dims"),
    (lambda i: i.scale_and_translate(IMAGE, TO, SCALE, MOVE, (1, 4), "linear"), "spatial_dims"),
    (lambda i: i.scale_and_translate(IMAGE, (1, *TO[1:]), SCALE, MOVE, (1, 2), "linear"),
     "output_shape"),
    (lambda i: i.scale_and_translate(IMAGE, TO, SCALE[:1], MOVE, (1, 2), "linear"), "scale"),
    (lambda i: i.sobel_edges(IMAGE[0]), "rank 4"),
    (lambda i: i.sobel_edges(IMAGE[:, :1]), "2 x 2"),
    (lambda i: i.ssim(IMAGE, IMAGE), "filter_size"),
    (lambda i: i.ssim(IMAGE, IMAGE[:1], filter_size=3), "one shape"),
    (lambda i: i.elastic_transform(IMAGE, sigma=0), "sigma"),
    (lambda i: i.elastic_transform(IMAGE, interpolation="cubic"), "interpolation"),
])
def test_refused(call, text):
    with pytest.raises((ValueError, NotImplementedError), match=text):
        call(ops.image)
