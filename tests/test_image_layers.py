"""Image layers against Keras: the same transformation applied by both; their random numbers by what
they must fulfil; boxes, masks, labels; in models; errors.
"""
import json

import numpy as np
import pytest

import nnc
from tests.live import keras, plain, values

layers, theirs = nnc.layers, keras.layers
RNG = np.random.default_rng(5)
X = RNG.uniform(0, 255, (4, 10, 12, 3)).astype("float32")
BOXES = {"boxes": np.array([[[1, 2, 6, 7], [0, 0, 12, 10]], [[3, 1, 9, 4], [5, 5, 8, 9]]] * 2,
                           "float32"), "labels": np.array([[1, 2], [3, 4]] * 2)}


def close(ours, other, atol=1e-3):
    """atol: values up to 255 (float32 spacing 2e-5) through some ten operations; 3.4e-4 was measured."""
    ours, other = values(ours), values(other)
    assert ours.shape == other.shape
    np.testing.assert_allclose(ours, other, rtol=0, atol=atol)


def first(format):
    return np.moveaxis(X, -1, 1).copy() if format == "channels_first" else X


# A layer, its arguments, and a transformation as both take it.
FIXED = [
    ("RandomBrightness", {"factor": 0.2}, {"rgb_delta": np.array([30., -60, 200, 0])}),
    ("RandomContrast", {"factor": 0.5}, {"contrast_factor": np.array([0.5, 1., 1.4, 1.1])}),
    ("RandomGrayscale", {"factor": 0.5}, np.array([True, False, True, False])),
    ("RandomHue", {"factor": 0.5}, {"factor": np.array([0.2, -0.4, 0.0, 0.5], "float32")}),
    ("RandomSaturation", {"factor": 0.5}, {"factor": np.array([0.2, 3., 1., 0.], "float32")}),
    ("RandomInvert", {}, {"apply_inversion": np.array([True, False, True, False])}),
    ("RandomPosterization", {"factor": (1, 7)}, {"shift_factor": np.array([1, 3, 7, 4], "uint8")}),
    ("Solarization", {"addition_factor": 0.5, "threshold_factor": 0.5},
     {"additions": np.array([10., 0, 90, 40]), "thresholds": np.array([10., 128, 90, 255])}),
    ("AutoContrast", {}, None),
    ("RandomSharpness", {"factor": 0.5}, {"factor": np.array([0.1, 0.5, 0.9, 1.0], "float32")}),
    ("RandomColorDegeneration", {"factor": 0.5}, {"factor": np.array([0.1, 0.5, 0.9, 1.0])}),
    ("RandomGaussianBlur", {"kernel_size": 5}, {
        "should_apply_blur": np.array([True, False, True, True]),
        "blur_factor": np.array([0.9, 0.4], "float32")}),
    ("Equalization", {}, None), ("Equalization", {"bins": 64}, None),
    ("RandomFlip", {"mode": "horizontal"}, {"flips": np.array([True, False, True, False])}),
    ("RandomFlip", {"mode": "vertical"}, {"flips": np.array([True, False, True, False])}),
    ("RandomFlip", {}, {"flips": np.array([True, False, True, False])}),
    ("MixUp", {}, {"mix_weight": np.array([0.2, 0.5, 0.9, 1.0], "float32"),
                   "permutation_order": np.array([2, 0, 1, 3])}),
]
PER_IMAGE = {"rgb_delta", "contrast_factor", "additions", "thresholds", "flips"}
COLUMNS = {"RandomColorDegeneration": {"factor"}}


def shaped(name, drawn):
    """The transformation with numbers along the axes of images where the layer has them so."""
    if drawn is None or isinstance(drawn, np.ndarray):
        return drawn if drawn is None else drawn.reshape(4, 1, 1, 1)
    wide = PER_IMAGE | COLUMNS.get(name, set())
    return {key: value.reshape(4, 1, 1, 1).astype("float32" if value.dtype.kind == "f" else
                                                  value.dtype) if key in wide else value
            for key, value in drawn.items()}


def on(module, drawn):
    if isinstance(drawn, dict):
        return {key: module.ops.convert_to_tensor(value) for key, value in drawn.items()}
    return drawn if drawn is None else module.ops.convert_to_tensor(drawn)


@pytest.mark.parametrize("name, options, drawn", FIXED)
@pytest.mark.parametrize("form", ["channels_last", "channels_first"])
def test_transformations_are_keras(name, options, drawn, form):
    if form == "channels_first" and name == "AutoContrast":
        pytest.skip("Keras takes channels for rows there")
    x, drawn = first(form), shaped(name, drawn)
    ours, other = (getattr(module, name)(data_format=form, **options)
                   for module in (layers, theirs))
    close(ours.transform_images(nnc.ops.convert_to_tensor(x), on(nnc, drawn)),
          other.transform_images(keras.ops.convert_to_tensor(x), on(keras, drawn)))
    close(ours(x, training=name == "AutoContrast"), x if name != "AutoContrast" else other(x))


def test_half_the_range():
    x = X / 255
    for name, options, drawn in FIXED:
        if name in ("RandomHue", "RandomPosterization", "Solarization", "AutoContrast",
                    "RandomBrightness", "Equalization"):
            drawn = shaped(name, drawn)
            ours, other = (getattr(module, name)(value_range=(0, 1), **options)
                           for module in (layers, theirs))
            close(ours.transform_images(nnc.ops.convert_to_tensor(x), on(nnc, drawn)),
                  other.transform_images(keras.ops.convert_to_tensor(x), on(keras, drawn)), 2e-5)


def all_layers():
    """One of each."""
    return [layers.RandomBrightness(0.3), layers.RandomContrast(0.4), layers.RandomGrayscale(0.5),
            layers.RandomHue(0.4), layers.RandomSaturation(0.9), layers.RandomInvert(0.5),
            layers.RandomPosterization((1, 6)), layers.Solarization(0.3, 0.6),
            layers.RandomSharpness((0, 1)), layers.RandomColorDegeneration(0.8),
            layers.RandomColorJitter((0, 255), 0.2, 0.3, 0.9, 0.2),
            layers.RandomGaussianBlur(0.9, 3, 0.9), layers.RandomFlip(), layers.RandomCrop(6, 7),
            layers.MixUp(), layers.CutMix(), layers.RandomErasing(0.9),
            layers.RandomRotation(0.3), layers.RandomTranslation(0.3, (0.1, 0.5)),
            layers.RandomZoom(0.4), layers.RandomShear(0.3, 0.2), layers.RandomPerspective(scale=0.4),
            layers.RandAugment(factor=0.4), layers.AugMix(all_ops=False), layers.AugMix(),
            layers.RandomElasticTransform((0.7, 1)),
            layers.RandomElasticTransform(1, (0.4, 1), "nearest", "constant", 3.0)]


@pytest.mark.parametrize("layer", all_layers(), ids=lambda layer: type(layer).__name__)
def test_random_layers(layer):
    nnc.utils.set_random_seed(0)
    again = type(layer).from_config({**layer.get_config(), "seed": 3}) \
        if not isinstance(layer, layers.RandomGrayscale) else layers.RandomGrayscale(0.5, seed=3)
    twin = type(layer).from_config({**layer.get_config(), "seed": 3}) \
        if not isinstance(layer, layers.RandomGrayscale) else layers.RandomGrayscale(0.5, seed=3)
    one, two = values(again(X)), values(twin(X))
    np.testing.assert_array_equal(one, two)                 # a seed, the same numbers
    assert any((values(again(X)) != one).any() for _ in range(8))   # and then others
    assert one.dtype == np.float32 and np.isfinite(one).all()
    if not isinstance(layer, (layers.RandomSaturation, layers.RandomColorJitter)):
        assert one.min() >= -1e-3 and one.max() <= 255 + 1e-3
    single = values(layer(X[0]))
    assert single.shape == one.shape[1:]
    model = nnc.Sequential([nnc.Input((10, 12, 3)), layer])
    close(model.predict(X, verbose=0), layer(X, training=False), 1e-4)
    mean = nnc.Sequential([nnc.Input((10, 12, 3)), again, layers.GlobalAveragePooling2D(),
                           layers.Dense(1)])
    mean.compile("sgd", "mse")
    mean.fit(X / 255, np.zeros(4), epochs=2, verbose=0)      # recorded, with the random numbers


@pytest.mark.parametrize("name, options", [
    ("RandomBrightness", {"factor": 0.2, "seed": 3}), ("RandomContrast", {"factor": 0.2}),
    ("RandomGrayscale", {}), ("RandomHue", {"factor": 0.2}), ("RandomSaturation", {"factor": 0.2}),
    ("RandomInvert", {}), ("RandomPosterization", {"factor": 3}), ("Solarization", {}),
    ("AutoContrast", {}), ("RandomSharpness", {"factor": 0.2}),
    ("RandomColorDegeneration", {"factor": 0.3}), ("RandomColorJitter", {"hue_factor": 0.2}),
    ("RandomGaussianBlur", {}), ("Equalization", {}), ("CenterCrop", {"height": 3, "width": 4}),
    ("RandomCrop", {"height": 3, "width": 4, "seed": 1}), ("RandomFlip", {}),
    ("Resizing", {"height": 3, "width": 4}), ("MixUp", {}), ("CutMix", {}), ("RandomErasing", {}),
    ("MaxNumBoundingBoxes", {"max_number": 3}),
    ("AugMix", {}), ("AugMix", {"num_chains": 2, "factor": (0.1, 0.2), "all_ops": False}),
    ("RandomElasticTransform", {"scale": 0.4, "fill_mode": "mirror"}),
    ("ContrastLimitedAdaptiveHistogramEqualization", {"tile_grid_size": (2, 3)})])
def test_configurations_are_keras(name, options):
    ours, other = (getattr(module, name)(**options) for module in (layers, theirs))
    mine, wanted = (json.loads(json.dumps(plain(layer.get_config()))) for layer in (ours, other))
    for config in (mine, wanted):
        config.pop("name")
    if name == "MaxNumBoundingBoxes":
        assert mine.pop("fill_value") == -1                 # Keras forgets it
    if name in ("RandomGrayscale", "RandomColorJitter", "Equalization"):
        extra = set(mine) - set(wanted)                     # Keras loses the seed of some
        assert extra <= {"seed", "factor"}
        mine = {key: value for key, value in mine.items() if key not in extra}
        wanted.pop("factor", None) if "factor" not in mine else None
    assert mine == wanted
    again = type(ours).from_config(ours.get_config())
    assert plain(again.get_config()) == plain(ours.get_config())


SIZES = [("CenterCrop", {"height": 6, "width": 5}), ("CenterCrop", {"height": 20, "width": 8}),
         ("CenterCrop", {"height": 5, "width": 30}), ("Resizing", {"height": 5, "width": 24}),
         ("Resizing", {"height": 5, "width": 8, "interpolation": "nearest"}),
         ("Resizing", {"height": 5, "width": 8, "interpolation": "area"}),
         ("Resizing", {"height": 7, "width": 7, "crop_to_aspect_ratio": True}),
         ("Resizing", {"height": 7, "width": 7, "pad_to_aspect_ratio": True, "fill_value": 9.0})]


@pytest.mark.parametrize("name, options", SIZES)
@pytest.mark.parametrize("form", ["channels_last", "channels_first"])
def test_sizes_are_keras(name, options, form):
    ours, other = (getattr(module, name)(data_format=form, bounding_box_format="xyxy", **options)
                   for module in (layers, theirs))
    x = first(form)
    close(ours(x), other(x), 1e-2)
    close(ours(x[0]), other(x[0]), 1e-2)
    assert tuple(ours.compute_output_shape(x.shape)) == ours(x).shape
    copy = {key: value.copy() for key, value in BOXES.items()}
    a, b = ours({"images": x, "bounding_boxes": BOXES}), other({"images": x,
                                                                "bounding_boxes": copy})
    close(a["bounding_boxes"]["boxes"], b["bounding_boxes"]["boxes"])
    np.testing.assert_array_equal(values(a["bounding_boxes"]["labels"]),
                                  values(b["bounding_boxes"]["labels"]))


def test_whole_numbers_are_resized_to_whole_numbers():
    x = X.astype("uint8")
    ours, other = layers.Resizing(5, 7)(x), theirs.Resizing(5, 7)(x)
    assert ours.dtype == "uint8"
    np.testing.assert_allclose(values(ours).astype(int), values(other).astype(int), atol=1)


def test_parts_of_the_data_go_together():
    marks = np.zeros((4, 10, 12, 1), "float32")             # a box of ones, and where it is
    marks[:, 2:5, 1:7] = 1
    boxes = {"boxes": np.array([[[1, 2, 7, 5]]] * 4, "float32"), "labels": np.ones((4, 1), int)}
    for layer in (layers.RandomFlip(seed=1, bounding_box_format="xyxy"),
                  layers.RandomCrop(8, 9, seed=1, bounding_box_format="xyxy"),
                  layers.CenterCrop(8, 9, bounding_box_format="xyxy")):
        out = layer({"images": np.repeat(marks, 3, -1), "segmentation_masks": marks,
                     "bounding_boxes": boxes, "labels": np.arange(4), "more": np.ones(2)})
        np.testing.assert_array_equal(values(out["labels"]), np.arange(4))
        np.testing.assert_array_equal(values(out["images"])[..., :1],
                                      values(out["segmentation_masks"]))
        for mask, box in zip(values(out["segmentation_masks"]), values(
                out["bounding_boxes"]["boxes"])):
            rows, columns = np.nonzero(mask[..., 0])
            assert box[0].tolist() == [columns.min(), rows.min(), columns.max() + 1,
                                       rows.max() + 1]
    out = layers.MixUp(seed=2, bounding_box_format="xyxy")(
        {"images": X, "labels": np.eye(4, dtype="float32"), "bounding_boxes": BOXES})
    np.testing.assert_allclose(values(out["labels"]).sum(1), 1, rtol=1e-6)
    assert out["bounding_boxes"]["boxes"].shape == (4, 4, 4)
    out = layers.CutMix(seed=2)({"images": X, "labels": np.eye(4, dtype="float32")})
    np.testing.assert_allclose(values(out["labels"]).sum(1), 1, rtol=1e-6)
    assert np.isin(values(out["images"]), X).all()
    few = layers.MaxNumBoundingBoxes(3, bounding_box_format="xyxy")(
        {"images": X[:2], "bounding_boxes": {"boxes": [[[1, 2, 3, 4]], [[1, 1, 2, 2]] * 2],
                                             "labels": [[5], [6, 7]]}})
    assert values(few["bounding_boxes"]["labels"]).tolist() == [[5, -1, -1], [6, 7, -1]]


MOVES = [
    ("RandomRotation", {"factor": 0.5}, {"angle": np.array([30., -200, 0, 90], "float32")}),
    ("RandomTranslation", {"height_factor": 0.9, "width_factor": 0.9}, {
        "translations": np.array([[3., -2], [0.5, 7.25], [0, 0], [-9, 4]], "float32")}),
    ("RandomZoom", {"height_factor": 0.5}, {
        "height_zoom": np.array([[0.6], [1.4], [1.], [1.7]], "float32"),
        "width_zoom": np.array([[1.2], [0.7], [1.], [1.5]], "float32")}),
    ("RandomShear", {"x_factor": 0.5}, {
        "shear_factor": np.array([[0.3, 0.], [0, -0.4], [0.2, 0.5], [-0.6, 0.1]], "float32")})]


@pytest.mark.parametrize("name, options, drawn", MOVES)
@pytest.mark.parametrize("form", ["channels_last", "channels_first"])
@pytest.mark.parametrize("fill", ["reflect", "constant", "nearest", "wrap"])
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_moves_are_keras(name, options, drawn, form, fill, interpolation):
    x = first(form)
    made = [getattr(module, name)(data_format=form, fill_mode=fill, interpolation=interpolation,
                                  fill_value=7.0, bounding_box_format="xyxy", **options)
            for module in (layers, theirs)]
    mine, wanted = (json.loads(json.dumps(plain(layer.get_config()))) for layer in made)
    assert {**mine, "name": 0} == {**wanted, "name": 0}
    again = type(made[0]).from_config(mine)
    assert plain(again.get_config()) == plain(made[0].get_config())
    ours = {**on(nnc, drawn), "input_shape": x.shape}
    other = {**on(keras, drawn), "input_shape": x.shape, "image_height": 10, "image_width": 12,
             "batch_size": 4}
    if name == "RandomRotation":
        zeros = keras.ops.zeros(4)
        other["rotation_matrix"] = made[1]._compute_affine_matrix(
            0.5, 0.5, other["angle"], zeros, zeros, zeros + 1, zeros, zeros, 10, 12)
    a = made[0].transform_images(nnc.ops.convert_to_tensor(x), ours)
    b = made[1].transform_images(keras.ops.convert_to_tensor(x), other)
    if interpolation == "nearest":      # a place halfway between two pixels may round either way
        assert (np.abs(values(a) - values(b)) > 1e-2).mean() < 0.02
    else:                               # 255 a pixel, and places that differ by 2e-6
        close(a, b, 2e-2)
    if name != "RandomShear":
        boxes = {"boxes": nnc.ops.convert_to_tensor(BOXES["boxes"]), "labels": BOXES["labels"]}
        theirs_boxes = {"boxes": keras.ops.convert_to_tensor(BOXES["boxes"]),
                        "labels": keras.ops.convert_to_tensor(BOXES["labels"])}
        a = made[0].transform_bounding_boxes(boxes, ours)
        b = made[1].transform_bounding_boxes(theirs_boxes, other)
        close(a["boxes"], b["boxes"])


@pytest.mark.parametrize("form", ["channels_last", "channels_first"])
def test_perspective_is_keras(form):
    x = first(form)
    start = np.array([[[0, 0], [11, 0], [0, 9], [11, 9]]] * 4, "float32")
    drawn = {"apply_perspective": np.array([True, True, False, True]), "start_points": start,
             "end_points": start + RNG.uniform(-2, 2, start.shape).astype("float32")}
    made = [module.RandomPerspective(data_format=form, bounding_box_format="xyxy", fill_value=3.0)
            for module in (layers, theirs)]
    mine, wanted = (json.loads(json.dumps(plain(layer.get_config()))) for layer in made)
    assert {**mine, "name": 0} == {**wanted, "name": 0}
    ours, other = ({**on(module, drawn), "input_shape": x.shape} for module in (nnc, keras))
    # 255 a pixel; places that differ by 1e-5: Keras solves for the map in float32
    a, b = (values(layer.transform_images(module.ops.convert_to_tensor(x), part))
            for layer, module, part in zip(made, (nnc, keras), (ours, other)))
    assert (np.abs(a - b) > 0.05).mean() < 0.01            # a place at the very edge is in or out
    a, b = (layer.transform_bounding_boxes(
        {"boxes": module.ops.convert_to_tensor(BOXES["boxes"]),
         "labels": module.ops.convert_to_tensor(BOXES["labels"])}, part)
        for layer, module, part in zip(made, (nnc, keras), (ours, other)))
    close(a["boxes"], b["boxes"])
    with pytest.raises(ValueError, match="start_points"):
        nnc.ops.image.perspective_transform(X, start[:, :3], start[:, :3])


def test_rand_augment():
    layer = layers.RandAugment(num_ops=2, seed=1, bounding_box_format="xyxy")
    other = theirs.RandAugment(num_ops=2, seed=1, bounding_box_format="xyxy")
    mine, wanted = (json.loads(json.dumps(plain(one.get_config()))) for one in (layer, other))
    assert {**mine, "name": 0} == {**wanted, "name": 0}
    drawn = layer.get_random_transformation(X)
    for i, name in enumerate(layer._AUGMENT_LAYERS):        # each by its number, twice
        drawn["layer_idxes"] = nnc.ops.convert_to_tensor(np.array([i, i], "int32"))
        part, x = getattr(layer, name), nnc.ops.convert_to_tensor(X)
        for _ in range(2):
            x = part.transform_images(x, drawn["transforms"][name])
        close(layer.transform_images(nnc.ops.convert_to_tensor(X), drawn), x, 1e-4)
    out = layer({"images": X, "bounding_boxes": BOXES, "labels": np.arange(4),
                 "segmentation_masks": X[..., :1]})
    assert out["bounding_boxes"]["boxes"].shape == (4, 2, 4)
    assert out["segmentation_masks"].shape == (4, 10, 12, 1)
    for wrong in (0, 1.5):
        with pytest.raises(ValueError, match="num_ops"):
            layers.RandAugment(num_ops=wrong)


def test_aug_mix():
    """Each place of each chain by its number: the layers one after another, then the shares."""
    layer = layers.AugMix(num_chains=2, chain_depth=2, seed=1, bounding_box_format="xyxy")
    names, x = layer._augment_layers, nnc.ops.convert_to_tensor(X)
    assert names == tuple(layers.RandAugment._AUGMENT_LAYERS) \
        and len(layers.AugMix(all_ops=False)._augment_layers) == 7
    drawn = layer.get_random_transformation(X)
    shares = values(drawn["chain_mixing_weights"])
    assert abs(shares.sum() - 1) < 1e-6 and 0 < float(drawn["weight_sample"]) < 1
    for first, second in ((0, 3), (8, 2), (11, 11), (10, 11)):      # 11: no layer
        drawn["layer_idxes"] = nnc.ops.convert_to_tensor(
            np.array([[first, second], [second, 11]], "int32"))
        mixed = 0
        for share, chain, numbers in zip(shares, drawn["chain_transforms"],
                                         ([first, second], [second, 11])):
            copy = x
            for number, transforms in zip(numbers, chain):
                if number < 11:
                    copy = getattr(layer, names[number]).transform_images(
                        copy, transforms[names[number]])
            mixed = mixed + values(copy) * share
        own = float(drawn["weight_sample"])
        close(layer.transform_images(x, drawn), np.clip(own * X + (1 - own) * mixed, 0, 255))
    out = layer({"images": X, "bounding_boxes": BOXES, "segmentation_masks": X[..., :1] > 9})
    np.testing.assert_array_equal(values(out["bounding_boxes"]["boxes"]), BOXES["boxes"])
    assert out["segmentation_masks"].shape == (4, 10, 12, 1)


@pytest.mark.parametrize("options", [
    {}, {"clip_limit": 0.0}, {"clip_limit": 1.5, "tile_grid_size": (3, 5)},
    {"tile_grid_size": (1, 1)}, {"value_range": (0, 1)}], ids=str)
@pytest.mark.parametrize("form", ["channels_last", "channels_first"])
def test_equalization_by_tiles_is_keras(options, form):
    x = first(form) / (255 if "value_range" in options else 1)
    ours, other = (module.ContrastLimitedAdaptiveHistogramEqualization(data_format=form, **options)
                   for module in (layers, theirs))
    close(ours(x), other(x), 1e-4)
    close(ours(x, training=False)[0], other(x[0]), 1e-4)
    whole, wanted = ours(x.astype("uint8")), other(x.astype("uint8"))
    assert whole.dtype == "uint8"
    np.testing.assert_array_equal(values(whole), values(wanted))


@pytest.mark.parametrize("mode", ["constant", "nearest", "mirror", "reflect"])
@pytest.mark.parametrize("interpolation, order", [("nearest", 0), ("bilinear", 1)])
def test_elastic_ways_are_followed(mode, interpolation, order):
    """Beside SciPy: Keras's map_coordinates on TensorFlow reads outside of images if mirrored."""
    ndimage = pytest.importorskip("scipy.ndimage")
    layer = layers.RandomElasticTransform(interpolation=interpolation, fill_mode=mode,
                                          fill_value=7.0)
    ways = RNG.normal(size=(4, 10, 12, 2)).astype("float32") * 3
    made = layer.transform_images(nnc.ops.convert_to_tensor(X), {
        "apply_transform": nnc.ops.convert_to_tensor([True, True, False, True]),
        "ways": nnc.ops.convert_to_tensor(ways)})
    y, x = np.meshgrid(np.arange(10.0), np.arange(12.0), indexing="ij")
    for i, image in enumerate(X):
        places = np.stack([y + ways[i, ..., 0], x + ways[i, ..., 1]]).astype("float32")
        wanted = image if i == 2 else np.stack([ndimage.map_coordinates(
            image[..., c], places, order=order, cval=7.0,
            mode="grid-constant" if mode == "constant" else mode) for c in range(3)], -1)
        close(values(made)[i], wanted)


def test_elastic_ways_are_smoothed_noise():
    """Against the definition: a normal distribution of 6 * int(sigma) | 1 numbers, zeros outside."""
    layer = layers.RandomElasticTransform(scale=1.0)
    noise = RNG.normal(size=(2, 40, 60, 2)).astype("float32")
    for strength in (1.0, 0.6, 0.1):
        alpha, sigma = layer.get_elastic_transform_params(40, 60, strength)
        half = 3 * int(sigma)
        bell = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
        wanted = noise * sigma
        for axis in (1, 2):
            wanted = np.apply_along_axis(np.convolve, axis, wanted, bell / bell.sum(), "same")
        ways = layer._ways(nnc.ops.convert_to_tensor(noise),
                           nnc.ops.convert_to_tensor(strength, "float32"))
        np.testing.assert_allclose(values(ways), alpha * wanted, atol=2e-5)     # sums of 13 of 1
    with pytest.raises(NotImplementedError, match="bounding boxes"):
        layers.RandomElasticTransform(bounding_box_format="xyxy")(
            {"images": X, "bounding_boxes": BOXES})
    masks = {"images": X, "segmentation_masks": X}
    out = layers.RandomElasticTransform(interpolation="nearest")(masks)     # alike: one way
    np.testing.assert_array_equal(values(out["images"]), values(out["segmentation_masks"]))


def test_keras_helpers_of_boxes():
    x = np.array([[1.0], [3.0]], "float32")
    numbers = np.array([[1, 0.2, 3, 0.1, 1, -2, 0.01, 0.02]] * 2, "float32")
    shift = np.array([[1.0], [-2.0], [0.5], [3.0]], "float32")
    edges = [np.full((4, 1), n, "float32") for n in (8, 1, 6, 2)]
    for name in ("RandomShear", "RandomTranslation", "RandomZoom"):
        ours, other = (getattr(module, name)(0.1, 0.1) for module in (layers, theirs))
        for a, b in zip(ours.get_transformed_x_y(x, x * 2, nnc.ops.convert_to_tensor(numbers)),
                        other.get_transformed_x_y(x, x * 2, keras.ops.convert_to_tensor(numbers))):
            close(a, b, 1e-5)
        copy = {key: value.copy() for key, value in BOXES.items()}
        method, given = ("get_clipped_bbox", edges) if name == "RandomZoom" else \
            ("get_shifted_bbox", [shift, shift * 2])
        close(getattr(ours, method)(BOXES, *given)["boxes"],
              getattr(other, method)(copy, *given)["boxes"], 1e-5)


def test_boxes_follow_sheared_images():
    marks = np.zeros((1, 40, 60, 1), "float32")
    marks[:, 15:25, 20:40] = 1
    layer = layers.RandomShear(0.4, fill_mode="constant", bounding_box_format="xyxy")
    for shear in ([0.3, 0.0], [-0.2, 0.0], [0.0, 0.2]):
        drawn = {"shear_factor": nnc.ops.convert_to_tensor(np.array([shear], "float32")),
                 "input_shape": marks.shape}
        image = values(layer.transform_images(nnc.ops.convert_to_tensor(marks), drawn))[0, ..., 0]
        box = values(layer.transform_bounding_boxes(
            {"boxes": nnc.ops.convert_to_tensor(np.array([[[20., 15, 40, 25]]], "float32")),
             "labels": np.ones((1, 1))}, drawn)["boxes"])[0, 0]
        rows, columns = np.nonzero(image > 0.5)
        np.testing.assert_allclose(box, [columns.min(), rows.min(), columns.max() + 1,
                                         rows.max() + 1], atol=1.5)     # pixels


def test_gradients_of_moved_images():
    x = nnc.ops.convert_to_tensor(RNG.normal(size=(2, 5, 6, 2)), "float64")
    matrix = np.array([[0.9, 0.1, 0.3, -0.2, 1.1, 0.4, 0, 0]] * 2)
    weights = RNG.normal(size=(2, 5, 6, 2))
    for fill in ("constant", "reflect"):
        v = nnc.Variable(x)

        def total(images):
            return nnc.ops.sum(nnc.ops.image.affine_transform(images, matrix, fill_mode=fill)
                               * weights)
        with nnc.GradientTape() as tape:
            y = total(v)
        gradient = values(tape.gradient(y, v))
        for place in ((0, 0, 0, 0), (1, 2, 3, 1), (0, 4, 5, 1)):
            step = np.zeros(x.shape)
            step[place] = 1e-3
            slope = (float(total(x + step)) - float(total(x - step))) / 2e-3    # linear in x
            assert gradient[place] == pytest.approx(slope, abs=1e-6)


FORMATS = nnc.utils.bounding_boxes.FORMATS


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
def test_box_formats_are_keras(source, target):
    boxes = RNG.uniform(0, 9, (2, 3, 4)).astype("float32")
    ours, other = (module.utils.bounding_boxes.convert_format(boxes, source, target, 10, 12)
                   for module in (nnc, keras))
    close(ours, other, 1e-4)


def test_box_functions_are_keras():
    ours, other = nnc.utils.bounding_boxes, keras.utils.bounding_boxes
    boxes = BOXES["boxes"]
    close(ours.crop(boxes, 2, 1, 4, 5), other.crop(boxes, 2, 1, 4, 5))
    close(ours.pad(boxes, 2, 1), other.pad(boxes, 2, 1))
    a, b = (m.clip_to_image_size({"boxes": boxes - 3, "labels": BOXES["labels"]}, 5, 6)
            for m in (ours, other))
    close(a["boxes"], b["boxes"])
    np.testing.assert_array_equal(values(a["labels"]), values(b["labels"]))
    numbers = [np.array(v, "float32") for v in ([10, -20, 0, 90], [0.1, 0, -0.2, 0],
                                                [0, 0.1, 0, 0.3], [1, 2, 0.5, 1], [0, 5, -9, 0],
                                                [0, 0, 4, 2])]
    mine = ours.affine_transform(boxes, *numbers, 10, 12)
    tensors = [keras.ops.convert_to_tensor(v) for v in numbers]
    close(mine, other.affine_transform(boxes, *tensors, 10, 12))
    anchors = boxes + 1
    for variance in (None, [0.1, 0.1, 0.2, 0.2]):
        a, b = (m.encode_box_to_deltas(anchors, boxes, "xyxy", "xyxy", variance=variance)
                for m in (ours, other))
        close(a, b)
        close(ours.decode_deltas_to_boxes(anchors, a, "xyxy", "xyxy", variance=variance), boxes)


ERRORS = [
    (lambda: layers.RandomBrightness(2.0), "factor"), (lambda: layers.RandomContrast(-0.1), "factor"),
    (lambda: layers.RandomBrightness(0.1, value_range=255), "value_range"),
    (lambda: layers.RandomGrayscale(1.5), "factor"),
    (lambda: layers.RandomFlip(mode="both"), "mode"), (lambda: layers.RandomCrop(0, 3), "height"),
    (lambda: layers.RandomPosterization(9), "factor"),
    (lambda: layers.RandomPosterization((2, 4.5)), "integer"),
    (lambda: layers.RandomGaussianBlur(kernel_size=4), "kernel_size"),
    (lambda: layers.AugMix(alpha=0), "alpha"), (lambda: layers.AugMix(num_chains=0), "num_chains"),
    (lambda: layers.AugMix(chain_depth=1.5), "chain_depth"),
    (lambda: layers.AugMix(interpolation="cubic"), "interpolation"),
    (lambda: layers.ContrastLimitedAdaptiveHistogramEqualization(clip_limit=-1), "clip_limit"),
    (lambda: layers.ContrastLimitedAdaptiveHistogramEqualization(tile_grid_size=(0, 2)),
     "tile_grid_size"),
    (lambda: layers.RandomElasticTransform(scale=2), "scale"),
    (lambda: layers.Equalization(bins=1), "bins"), (lambda: layers.MixUp(alpha=0), "alpha"),
    (lambda: layers.RandomErasing(fill_value=(1, 2)), "fill_value"),
    (lambda: layers.Resizing(3, 3, interpolation="cubic"), "interpolation"),
    (lambda: layers.Resizing(3, 3, fill_mode="reflect"), "fill_mode"),
    (lambda: layers.RandomFlip(data_format="last"), "data_format"),
    (lambda: layers.RandomRotation(0.1, fill_mode="mirror"), "fill_mode"),
    (lambda: layers.RandomRotation(0.1, interpolation="bicubic"), "interpolation"),
    (lambda: layers.RandomZoom(-1.0), "height_factor"),
    (lambda: layers.RandomTranslation(0.1, (0.2, 3)), "width_factor"),
    (lambda: layers.RandomShear((-0.5, 0.2)), "x_factor"),
    (lambda: nnc.ops.image.affine_transform(X, np.ones((3, 8))), "8 numbers"),
    (lambda: layers.RandomFlip()(X[0, 0]), "3 axes"),
    (lambda: layers.RandomFlip()({"images": X, "bounding_boxes": BOXES}), "bounding_box_format"),
    (lambda: layers.RandomFlip(bounding_box_format="xyxy")({"images": X, "bounding_boxes": 3}),
     "'boxes' and 'labels'"),
    (lambda: nnc.utils.bounding_boxes.convert_format(BOXES, "xy", "xyxy"), "xy"),
    (lambda: nnc.utils.bounding_boxes.convert_format(BOXES, "xyxy", "rel_xyxy"), "height")]


@pytest.mark.parametrize("make, text", ERRORS)
def test_errors_name_what_is_wrong(make, text):
    with pytest.raises(ValueError, match=text):
        make()
    with pytest.raises(NotImplementedError, match="CutMix"):
        layers.CutMix(bounding_box_format="xyxy")({"images": X, "bounding_boxes": BOXES})


def test_a_pipeline():
    pipeline = layers.Pipeline([layers.RandomFlip(seed=1), layers.Rescaling(1 / 255)])
    again = layers.Pipeline.from_config(pipeline.get_config())
    np.testing.assert_array_equal(values(pipeline(X)), values(again(X)))
    close(pipeline(X, training=False), X / 255, 1e-6)
    words = layers.Pipeline([layers.StringLookup(vocabulary=["a", "b"]),
                             layers.CategoryEncoding(3, "one_hot")])
    assert values(words(["b", "z"])).tolist() == [[0, 0, 1], [1, 0, 0]]
    model = nnc.Sequential([nnc.Input((10, 12, 3)), pipeline, layers.Flatten(), layers.Dense(1)])
    assert model.predict(X, verbose=0).shape == (4, 1)
    other = theirs.Pipeline([theirs.RandomFlip(seed=1), theirs.Rescaling(1 / 255)])
    assert set(pipeline.get_config()) == set(other.get_config())
    with pytest.raises(ValueError, match="layers"):
        layers.Pipeline([3])
