"""keras.visualization: masks as Keras colours them, boxes where they belong, galleries."""
import inspect

import numpy as np
import pytest

import nnc
from nnc import visualization as ours

FORMATS = {
    "xyxy": (4, 6, 14, 16), "yxyx": (6, 4, 16, 14), "xywh": (4, 6, 10, 10),
    "center_xywh": (9, 11, 10, 10), "center_yxhw": (11, 9, 10, 10),
    "rel_xyxy": (4 / 40, 6 / 20, 14 / 40, 16 / 20), "rel_yxyx": (6 / 20, 4 / 40, 16 / 20, 14 / 40),
    "rel_xywh": (4 / 40, 6 / 20, 10 / 40, 10 / 20), "REL_CENTER_XYWH": (9 / 40, 11 / 20, 0.25, 0.5)}


def images(count=2, dtype="uint8"):
    return np.random.default_rng(0).integers(0, 100, (count, 20, 40, 3)).astype(dtype)


def masks(count=2):
    return np.random.default_rng(1).integers(0, 4, (count, 20, 40, 1)).astype("int32")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("thickness", [1, 2, 3])
def test_boxes_of_every_format(kind, thickness):
    x = images()
    boxes = {"boxes": np.array([[FORMATS[kind]], [FORMATS[kind]]]), "labels": np.array([[0], [-1]])}
    made = ours.draw_bounding_boxes(x, boxes, kind, color=(255, 0, 200), line_thickness=thickness)
    expected = x.copy()
    low, high = thickness // 2, thickness - thickness // 2
    for y in (6, 16):
        expected[0, y - low:y + high, 4 - low:14 + high] = (255, 0, 200)
    for column in (4, 14):
        expected[0, 6 - low:16 + high, column - low:column + high] = (255, 0, 200)
    np.testing.assert_array_equal(made, expected)
    assert made.dtype == np.uint8 and x.max() < 100         # the user's images are as they were


def test_boxes_beyond_the_image_are_cut():
    boxes = {"boxes": np.array([[(-50, -50, 500, 1e12), (2, 2, np.nan, 5)]]),
             "labels": np.zeros((1, 2), int)}
    x = images(1)
    np.testing.assert_array_equal(ours.draw_bounding_boxes(x, boxes, "xyxy"), x)


def test_labels_are_written():
    boxes = {"boxes": np.array([[(2, 12, 30, 18)]]), "labels": np.array([[3]]),
             "confidences": np.array([[0.5]])}
    x = np.zeros((1, 40, 60, 3))
    plain = ours.draw_bounding_boxes(x, boxes, "xyxy", color=(255, 255, 255))
    text = ours.draw_bounding_boxes(x, boxes, "xyxy", {3: "cat"}, (255, 255, 255), font_scale=0.7)
    assert (text != plain).sum() > 20
    first = ours.draw_bounding_boxes(x.transpose(0, 3, 1, 2), boxes, "xyxy",
                                     color=(255, 255, 255), data_format="channels_first")
    np.testing.assert_array_equal(first, plain)


@pytest.mark.parametrize("options", [
    dict(num_classes=4), dict(num_classes=4, alpha=0.3), dict(num_classes=3, ignore_index=0),
    dict(num_classes=4, ignore_index=2), dict(num_classes=4, blend=False),
    dict(num_classes=3, color_mapping={0: (0, 0, 0), 1: (255, 0, 0), 2: (0, 9, 255)})])
def test_masks_are_kerass(options):
    """Keras computes in float32 and cuts to whole numbers: the same here, to the last one."""
    from live import keras

    theirs = np.asarray(keras.visualization.draw_segmentation_masks(images(), masks(), **options))
    made = ours.draw_segmentation_masks(images(), masks(), **options)
    if options.get("blend") is False and options.get("ignore_index", -1) == -1:
        assert made.dtype == theirs.dtype
    np.testing.assert_allclose(made, theirs, atol=1 if made.dtype == np.uint8 else 0)
    assert (made != theirs).mean() < 1e-3       # a sum that falls on a whole number


def test_masks_without_a_number_of_classes():
    """All classes are drawn, the largest too."""
    made = ours.draw_segmentation_masks(images(), masks()[..., 0], alpha=1.0)
    np.testing.assert_array_equal(
        made, ours.draw_segmentation_masks(images(), masks(), num_classes=4, alpha=1.0))
    assert (made[masks()[..., 0] == 3] == (3 * np.array([2**25 - 1, 2**15 - 1, 2**21 - 1])) % 255
            ).all()


def test_signatures_are_kerass():
    from live import keras

    for name in ("draw_bounding_boxes", "draw_segmentation_masks", "plot_image_gallery",
                 "plot_bounding_box_gallery", "plot_segmentation_mask_gallery"):
        mine, theirs = (inspect.signature(getattr(m, name)).parameters
                        for m in (ours, keras.visualization))
        assert [(p.name, p.default) for p in mine.values()] == \
            [(p.name, p.default) for p in theirs.values()], name


@pytest.fixture
def no_screen():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")


def drawn(figure):
    return [axis.images[0].get_array() for axis in figure.axes if axis.images]


def test_galleries_show_every_image(no_screen, tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype("uint8")
    figure = nnc.visualization.plot_image_gallery(
        x, y_true=np.array([0, 1, 0, 1, 2]), label_map={0: "a", 1: "b"}, path=tmp_path / "g.png")
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")
    for shown, image in zip(drawn(figure), x):
        np.testing.assert_array_equal(shown, image)
    assert len(drawn(figure)) == 5
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[:5] == ["Label: a", "Label: b", "Label: a", "Label: b", "Label: Unknown"]
    scaled = ours.plot_image_gallery(x / 255.0, value_range=(0, 1), show=False, rows=1)
    assert abs(drawn(scaled)[2].astype(int) - x[2]).max() <= 1
    gray = ours.plot_image_gallery(x[..., :1].transpose(0, 3, 1, 2), show=False,
                                   data_format="channels_first")
    np.testing.assert_array_equal(drawn(gray)[0], x[0, ..., 0])


def test_galleries_of_boxes_and_masks(no_screen):
    boxes = {"boxes": np.full((2, 1, 4), (4, 6, 14, 16)), "labels": np.zeros((2, 1), int)}
    figure = ours.plot_bounding_box_gallery(images(), "xyxy", boxes, boxes, legend=True, show=False)
    assert (drawn(figure)[0][6, 8] == (255, 235, 59)).all() and len(figure.legends) == 1
    figure = ours.plot_segmentation_mask_gallery(images(), 4, y_true=masks(), y_pred=masks(),
                                                 show=False)
    shown = drawn(figure)
    assert len(shown) == 6
    np.testing.assert_array_equal(shown[0], images()[0])
    np.testing.assert_array_equal(shown[1], shown[2])
    np.testing.assert_array_equal(
        shown[1], ours.draw_segmentation_masks(images(), masks(), num_classes=4)[0])


BOXES = {"boxes": np.zeros((2, 1, 4)), "labels": np.zeros((2, 1))}
REFUSED = {
    "rank": (lambda: ours.draw_bounding_boxes(images()[0], BOXES, "xyxy"), ValueError, "4D"),
    "no dict": (lambda: ours.draw_bounding_boxes(images(), [1], "xyxy"), TypeError, "a dict"),
    "keys": (lambda: ours.draw_bounding_boxes(images(), {"boxes": 1}, "xyxy"), ValueError,
             "'labels'"),
    "format": (lambda: ours.draw_bounding_boxes(images(), BOXES, "xxyy"), ValueError,
               "must be one of xyxy, .* Received: bounding_box_format='xxyy'"),
    "rows": (lambda: ours.draw_bounding_boxes(images(1), BOXES, "xyxy"), ValueError,
             "Received: 1 ima"),
    "floats": (lambda: ours.draw_segmentation_masks(images(), masks() * 1.0), TypeError, "integer"),
    "alpha": (lambda: ours.draw_segmentation_masks(images(), masks(), alpha=2), ValueError,
              "0 to 1"),
    "pixels": (lambda: ours.draw_segmentation_masks(images(), masks()[:, :5]), ValueError,
               "a class for each pixel"),
    "labels": (lambda: ours.plot_image_gallery(images(), y_true=[0, 1]), ValueError, "`label_map`"),
    "path": (lambda: ours.plot_image_gallery(images(), path="a", show=True), ValueError, "either"),
    "legend": (lambda: ours.plot_bounding_box_gallery(images(), "xyxy", legend=True,
                                                      legend_handles=[1]), ValueError, "Only pass"),
}


@pytest.mark.parametrize("row", REFUSED)
def test_what_is_refused(row, no_screen):
    call, kind, text = REFUSED[row]
    with pytest.raises(kind, match=text):
        call()
