"""Sequences, pictures, folders and other helpers of `keras.utils`, beside Keras's own."""
import numpy as np
import pytest

import nnc
from nnc import utils

from live import keras

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("options", [
    {}, {"maxlen": 2}, {"maxlen": 5, "padding": "post"}, {"maxlen": 2, "truncating": "post"},
    {"dtype": "float32", "value": -1.5}, {"maxlen": 3, "dtype": object, "value": "x"}], ids=str)
def test_pad_sequences_is_keras(options):
    rows = [[1, 2, 3], [], [4], [5, 6]]
    ours, theirs = utils.pad_sequences(rows, **options), keras.utils.pad_sequences(rows, **options)
    assert ours.dtype == theirs.dtype and ours.tolist() == theirs.tolist()
    deep = [np.ones((2, 3)), np.ones((1, 3))]
    np.testing.assert_array_equal(nnc.preprocessing.sequence.pad_sequences(deep),
                                  keras.utils.pad_sequences(deep))


@pytest.mark.parametrize("rows, options, text", [
    ([[1], 2], {}, "Received: 2 at position 1"), ([[1]], {"padding": "left"}, "`padding` must be"),
    ([[1]], {"value": "a"}, "pass dtype=object"), (3, {}, "must be a list of sequences"),
    ([[[1]], [[1, 2]]], {}, "at position 1")], ids=range(5))
def test_pad_sequences_refuses(rows, options, text):
    with pytest.raises(ValueError, match=text):
        utils.pad_sequences(rows, **options)


@pytest.mark.parametrize("options", [
    {}, {"sequence_stride": 3, "sampling_rate": 2}, {"start_index": 4, "end_index": 22},
    {"batch_size": None}], ids=str)
def test_windows_are_keras(options):
    data, targets = np.arange(60.0).reshape(30, 2), np.arange(100, 130)
    arguments = {"sequence_length": 4, "batch_size": 5, **options}
    for y in (targets, None):
        ours = list(utils.timeseries_dataset_from_array(data, y, **arguments))
        theirs = list(keras.utils.timeseries_dataset_from_array(data, y, **arguments))
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            for p, q in zip(a if y is not None else [a], b if y is not None else [b]):
                np.testing.assert_array_equal(p, q.numpy())


def test_windows_train_a_model():
    data = np.sin(np.arange(200) / 5).astype("float32")
    windows = utils.timeseries_dataset_from_array(data, data[8:], 8, batch_size=16, shuffle=True,
                                                  seed=1)
    model = nnc.Sequential([nnc.Input((8,)), nnc.layers.Dense(1)])
    model.compile(optimizer=nnc.optimizers.Adam(0.05), loss="mse")
    losses = model.fit(windows, epochs=15, verbose=0).history["loss"]
    assert losses[-1] < 0.05 * losses[0]
    with pytest.raises(ValueError, match="`sampling_rate` must be higher"):
        utils.timeseries_dataset_from_array(data, None, 4, sampling_rate=0)


@pytest.mark.parametrize("shape", [(4, 5, 3), (4, 5, 1), (4, 5, 4)])
@pytest.mark.parametrize("form", ["channels_last", "channels_first"])
def test_images_are_keras(tmp_path, shape, form):
    pytest.importorskip("PIL")
    x = RNG.integers(0, 255, shape).astype("float32")
    x = x.transpose(2, 0, 1) if form == "channels_first" else x
    ours, theirs = (k.utils.array_to_img(x, data_format=form) for k in (nnc, keras))
    assert ours.mode == theirs.mode and ours.tobytes() == theirs.tobytes()
    np.testing.assert_array_equal(*(k.utils.img_to_array(ours, form) for k in (nnc, keras)))
    utils.save_img(tmp_path / "x.png", x, data_format=form)
    for options in ({}, {"color_mode": "grayscale"}, {"target_size": (3, 2)},
                    {"target_size": (2, 4), "keep_aspect_ratio": True,
                     "interpolation": "bilinear"}):
        a, b = (k.utils.load_img(tmp_path / "x.png", **options) for k in (nnc, keras))
        assert a.mode == b.mode and a.size == b.size and a.tobytes() == b.tobytes()


@pytest.fixture
def folder(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for i in range(10):
        place = tmp_path / ("cats" if i % 3 else "dogs")
        place.mkdir(exist_ok=True)
        (place / f"{i}.txt").write_text(f"text {i}")
        image.fromarray(np.full((6, 4, 3), i, "uint8")).save(place / f"{i}.png")
    return tmp_path


def test_texts_and_images_of_folders(folder):
    texts = utils.text_dataset_from_directory(folder, batch_size=4, shuffle=False, verbose=False)
    assert texts.class_names == ["cats", "dogs"] and len(texts) == 3
    x, y = texts[0]
    assert x.tolist() == ["text 1", "text 2", "text 4", "text 5"] and y.tolist() == [0] * 4
    images = utils.image_dataset_from_directory(folder, image_size=(3, 2), label_mode="categorical",
                                                batch_size=3, verbose=False, seed=1)
    theirs = keras.utils.image_dataset_from_directory(
        folder, image_size=(3, 2), label_mode="categorical", batch_size=10, verbose=False)
    (x, y), (tx, ty) = (map(np.concatenate, zip(*images)), next(iter(theirs)))
    rows = np.argsort(x[:, 0, 0, 0])
    others = np.argsort(tx.numpy()[:, 0, 0, 0])
    # pictures of one colour: any way to resize gives that colour
    np.testing.assert_allclose(x[rows], tx.numpy()[others], atol=1e-4)
    np.testing.assert_array_equal(y[rows], ty.numpy()[others])
    one, two = utils.image_dataset_from_directory(
        folder, image_size=(2, 2), validation_split=0.3, subset="both", seed=3, verbose=False)
    assert not set(one.file_paths) & set(two.file_paths) and len(two.file_paths) == 3


@pytest.mark.parametrize("options", [
    {}, {"color_mode": "grayscale"}, {"color_mode": "rgba"}, {"crop_to_aspect_ratio": True},
    {"pad_to_aspect_ratio": True}, {"interpolation": "nearest"}, {"interpolation": "bicubic"},
    {"interpolation": "area"}, {"interpolation": "lanczos3"}, {"data_format": "channels_first"},
    {"image_size": (19, 7)}, {"class_names": ["dogs"]}], ids=str)
def test_pictures_of_folders_are_keras(tmp_path, options):
    """Smaller and larger, and of other proportions."""
    image = pytest.importorskip("PIL.Image")
    for i in range(6):
        place = tmp_path / ("cats" if i % 2 else "dogs")
        place.mkdir(exist_ok=True)
        image.fromarray(RNG.integers(0, 256, (9 + i, 12, 3), "uint8")).save(place / f"{i}.png")
    options = {"image_size": (8, 6), "shuffle": False, "verbose": False, **options}
    (x, y), (tx, ty) = (next(iter(k.utils.image_dataset_from_directory(tmp_path, **options)))
                        for k in (nnc, keras))
    assert x.dtype == np.float32
    # float32 of up to 255; one step where libpng and Pillow round a grey differently
    np.testing.assert_allclose(x, np.asarray(tx), atol=1 if "color_mode" in options else 2e-3)
    np.testing.assert_array_equal(y, ty)


def test_sizes_of_pictures_are_refused(folder):
    with pytest.raises(ValueError, match=r"`image_size` must be \(height, width\)"):
        utils.image_dataset_from_directory(folder, image_size=(8,), verbose=False)


@pytest.mark.parametrize("options, text", [
    ({"label_mode": "other"}, "`label_mode` must be"), ({"subset": "both"}, "passed together"),
    ({"validation_split": 0.2, "subset": "both"}, "`seed` must be passed"),
    ({"class_names": ["a"]}, "names of the subfolders"),
    ({"labels": [1]}, "a number for each file"),
], ids=range(5))
def test_folders_refuse(folder, options, text):
    with pytest.raises(ValueError, match=text):
        utils.text_dataset_from_directory(folder, verbose=False, **options)


@pytest.mark.parametrize("sizes, expected", [
    ({"left_size": 0.7}, (7, 3)), ({"right_size": 2}, (8, 2)),
    ({"left_size": 3, "right_size": 0.4}, (3, 4))], ids=str)
def test_split_dataset(sizes, expected):
    x, y = np.arange(20).reshape(10, 2), np.arange(10)
    (a, b), (c, d) = utils.split_dataset((x, y), **sizes)
    assert (len(a), len(c)) == expected == (len(b), len(d))
    np.testing.assert_array_equal(c, x[10 - expected[1]:])
    one, two = utils.split_dataset(x, shuffle=True, seed=1, **sizes)
    assert len(np.unique(np.concatenate([one, two]), axis=0)) == sum(expected)
    with pytest.raises(ValueError, match="split_dataset"):
        utils.split_dataset(x, left_size=10)


def test_config_and_kinds():
    config = utils.Config(a=1, b=2)
    config.c = 3
    config["d"] = 4
    assert config.a == 1 and list(config) == ["a", "b", "c", "d"] and config.pop("d") == 4
    config.freeze()
    for change in (lambda: setattr(config, "a", 2), lambda: config.update(a=2)):
        with pytest.raises(ValueError, match="frozen"):
            change()
    with pytest.raises(AttributeError, match="did you mean"):
        nnc.utils.Config(alpha=1).alpa
    for dtype in (None, float, "float16", np.float64, np.dtype("int8"), bool, int):
        assert utils.standardize_dtype(dtype) == keras.utils.standardize_dtype(dtype)
    with pytest.raises(ValueError, match="Invalid dtype"):
        utils.standardize_dtype("complex64")
    assert utils.is_keras_tensor(nnc.Input((2,))) and not utils.is_keras_tensor(np.ones(2))
