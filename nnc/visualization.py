"""`keras.visualization`: boxes and masks drawn into images, and galleries of images.

Boxes are drawn here, so that OpenCV is not needed; labels beside them need Pillow, galleries need
matplotlib. Images come back as NumPy arrays, channels last.
"""
import math

import numpy as np

from . import config

_FORMATS = ("xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw")


def _images(images, data_format):
    """Images as a NumPy array, channels last, and whether they came so."""
    data_format = data_format or config.image_data_format()
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError("`data_format` must be 'channels_last' or 'channels_first'. Received: "
                         f"data_format={data_format!r}")
    images = np.asarray(images)
    if images.ndim != 4:
        raise ValueError("`images` must be batched 4D tensor. Received: images.shape="
                         f"{images.shape}")
    if data_format == "channels_first":
        images = images.transpose(0, 2, 3, 1)
    return images, data_format == "channels_first"


# ---- boxes ---------------------------------------------------------------------------------------

def _corners(boxes, kind, height, width):
    """Boxes of a format as left, top, right, bottom, in pixels."""
    name = str(kind).lower()
    relative, plain = name.startswith("rel_"), name.removeprefix("rel_")
    if plain not in _FORMATS:
        raise ValueError(f"draw_bounding_boxes: `bounding_box_format` must be one of "
                         f"{', '.join(_FORMATS)}, or one of these with rel_ before it. Received: "
                         f"bounding_box_format={kind!r}")
    boxes = np.asarray(boxes, "float32")
    if boxes.ndim != 3 or boxes.shape[-1] != 4:
        raise ValueError("draw_bounding_boxes: 'boxes' must have the shape (images, boxes, 4). "
                         f"Received: {boxes.shape}")
    a, b, c, d = np.moveaxis(boxes, -1, 0)
    if plain in ("yxyx", "center_yxhw"):
        a, b, c, d = b, a, d, c
    if relative:
        a, b, c, d = a * width, b * height, c * width, d * height
    if plain.startswith("center"):
        a, b = a - c / 2, b - d / 2
    if plain not in ("xyxy", "yxyx"):
        c, d = a + c, b + d
    return np.stack([a, b, c, d], axis=-1)


def _frame(image, box, color, thickness):
    """Draws the four sides of a box, `thickness` pixels wide, as far as they lie in the image."""
    x1, y1, x2, y2 = (int(v) for v in box)
    low, high = thickness // 2, thickness - thickness // 2
    height, width = image.shape[:2]

    def fill(left, top, right, bottom):
        image[max(top, 0):max(min(bottom, height), 0),
              max(left, 0):max(min(right, width), 0)] = color
    for y in (y1, y2):
        fill(x1 - low, y - low, x2 + high, y + high)
    for x in (x1, x2):
        fill(x - low, y1 - low, x + high, y2 + high)


def _write(image, text, x, y, scale, thickness, color):
    """Writes a label above a place, or below where there is no room."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise ImportError("draw_bounding_boxes: labels need Pillow: pip install pillow (or leave "
                          "`class_mapping` out)") from error
    size = max(int(round(12 * scale)), 6)
    font = ImageFont.load_default(size)
    y = y - size - 5 if y - size - 5 > 0 else y + 3
    drawn = Image.fromarray(image)
    ImageDraw.Draw(drawn).text((x + 3, y), text, fill=tuple(color), font=font,
                               stroke_width=max(thickness - 2, 0) // 2)
    image[:] = np.asarray(drawn)


def draw_bounding_boxes(images, bounding_boxes, bounding_box_format, class_mapping=None,
                        color=(128, 128, 128), line_thickness=2, text_thickness=1, font_scale=1.0,
                        data_format=None):
    """Draws bounding boxes into images.

    Args:
        images: A batch of images, of 0 to 255, or floats of 0 to 1.
        bounding_boxes: Dict of `"boxes"` (images, boxes, 4), `"labels"` (images, boxes; -1: no
            box), and perhaps `"confidences"` (images, boxes).
        bounding_box_format: `"xyxy"`, `"yxyx"`, `"xywh"`, `"center_xywh"`, `"center_yxhw"`, or one
            of these after `"rel_"`, as shares of the image.
        class_mapping: Dict of label and text, written beside the box.
        color: Red, green, blue of boxes and texts.
        line_thickness: Pixels.
        text_thickness: Strength of the texts; `None`: that of the lines.
        font_scale: Size of the texts.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        A uint8 array of the images, channels last.

    Raises:
        ValueError: If shapes, formats or keys are wrong.
        TypeError: If `bounding_boxes` is no dict.
        ImportError: If there are texts to write and Pillow is not installed.
    """
    images, _ = _images(images, data_format)
    if not isinstance(bounding_boxes, dict):
        raise TypeError("`bounding_boxes` should be a dict. Received: bounding_boxes="
                        f"{bounding_boxes} of type {type(bounding_boxes)}")
    if "boxes" not in bounding_boxes or "labels" not in bounding_boxes:
        raise ValueError("`bounding_boxes` should be a dict containing 'boxes' and 'labels' keys. "
                         f"Received: bounding_boxes={bounding_boxes}")
    if isinstance(line_thickness, bool) or not isinstance(line_thickness, int) \
            or line_thickness < 1:
        raise ValueError("draw_bounding_boxes: `line_thickness` must be an integer >= 1. "
                         f"Received: line_thickness={line_thickness!r}")
    class_mapping = class_mapping or {}
    boxes = _corners(bounding_boxes["boxes"], bounding_box_format, *images.shape[1:3])
    labels = np.asarray(bounding_boxes["labels"])
    confidences = bounding_boxes.get("confidences")
    confidences = None if confidences is None else np.asarray(confidences)
    if labels.shape != boxes.shape[:2] or len(boxes) != len(images):
        raise ValueError("draw_bounding_boxes: 'boxes' and 'labels' must have a row for each "
                         f"image and box. Received: {len(images)} images, boxes of shape "
                         f"{boxes.shape}, labels of shape {labels.shape}")
    made = _bytes(images)
    for image, row, classes, i in zip(made, boxes, labels, range(len(made))):
        for k, (box, label) in enumerate(zip(row, classes)):
            if int(label) == -1 or not np.isfinite(box).all():
                continue
            box = np.clip(box, -2 ** 30, 2 ** 30)
            _frame(image, box, color, line_thickness)
            if int(label) in class_mapping:
                text = str(class_mapping[int(label)])
                if confidences is not None:
                    text += f" | {confidences[i, k]:.2f}"
                _write(image, text, int(box[0]), int(box[1]), font_scale,
                       text_thickness or line_thickness, color)
    return made


def _bytes(images):
    """Images as uint8, in new memory: floats of 0 to 1 are scaled."""
    if images.dtype.kind == "f" and images.size:
        top = 1.0 if images.max() <= 1.0 else 255.0
        images = np.clip(images, 0, top) * (255.0 / top)
    return np.array(images, dtype="uint8", order="C")


# ---- masks ---------------------------------------------------------------------------------------

def _palette(count):
    steps = np.array([2 ** 25 - 1, 2 ** 15 - 1, 2 ** 21 - 1])
    return {i: ((i * steps) % 255).tolist() for i in range(count)}


def draw_segmentation_masks(images, segmentation_masks, num_classes=None, color_mapping=None,
                            alpha=0.8, blend=True, ignore_index=-1, data_format=None):
    """Colours the pixels of images by their class.

    Args:
        images: A batch of images, of 0 to 255.
        segmentation_masks: Classes: whole numbers, (images, height, width) or with an axis of 1
            behind (with `"channels_first"`, before height).
        num_classes: Classes 0 to `num_classes - 1` are drawn. By default all that there are
            (Keras leaves the largest out).
        color_mapping: Dict of class and colour. By default a palette, with black for class 0.
        alpha: How much of the colour is seen, 0 to 1.
        blend: Whether the image is seen through it.
        ignore_index: A class that is not drawn.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        An array of the images, channels last: uint8 if `blend`, else float32.

    Raises:
        ValueError: If shapes or `alpha` are wrong.
        TypeError: If the masks are not whole numbers.
    """
    images, first = _images(images, data_format)
    if not 0 <= alpha <= 1:
        raise ValueError("draw_segmentation_masks: `alpha` must be from 0 to 1. Received: alpha="
                         f"{alpha!r}")
    masks = np.asarray(segmentation_masks)
    if masks.dtype.kind not in "iu":
        raise TypeError("`segmentation_masks` must be in integer dtype. Received: "
                        f"segmentation_masks.dtype={masks.dtype.name}")
    if masks.ndim == 4:
        masks = masks[:, 0] if first else masks[..., 0]
    if masks.shape != images.shape[:3]:
        raise ValueError("draw_segmentation_masks: masks must have a class for each pixel. "
                         f"Received: images of shape {images.shape}, masks of shape "
                         f"{np.shape(segmentation_masks)}")
    if num_classes is None:
        num_classes = int(masks.max(initial=0)) + 1
    colors = _palette(num_classes) if color_mapping is None else color_mapping
    images = images.astype("float32")
    made = images.copy()
    for label, color in colors.items():
        if 0 <= label < num_classes and label != ignore_index:
            made[masks == label] = np.array(color, "float32")
    if not blend:
        return made
    mixed = images * np.float32(1 - alpha) + made * np.float32(alpha)
    return np.where((masks != ignore_index)[..., None], mixed, images).astype("uint8")


# ---- galleries -----------------------------------------------------------------------------------

def _pyplot(who):
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f"{who} needs matplotlib: pip install matplotlib") from error
    return plt


def _scaled(images, value_range):
    low, high = value_range
    if not high > low:
        raise ValueError("`value_range` must be (low, high) with low < high. Received: "
                         f"value_range={value_range!r}")
    scaled = (images.astype("float32") - low) * (255.0 / (high - low))
    return np.clip(scaled, 0, 255).astype("uint8")


def _title(index, y_true, y_pred, label_map):
    parts = []
    for word, labels in (("Label", y_true), ("Pred", y_pred)):
        if labels is not None and index < len(labels):
            parts.append(f"{word}: {label_map.get(np.asarray(labels)[index].item(), 'Unknown')}")
    return "  ".join(parts)


def plot_image_gallery(images, y_true=None, y_pred=None, label_map=None, rows=None, cols=None,
                       value_range=(0, 255), scale=2, path=None, show=None, transparent=True,
                       dpi=60, legend_handles=None, data_format=None):
    """Shows images in rows and columns.

    Args:
        images: A batch of images.
        y_true, y_pred: Classes, written above the images.
        label_map: Dict of class and text, for these.
        rows, cols: How many; by default enough for all images (Keras leaves some out).
        value_range: The least and the largest value of the images.
        scale: Inches of an image.
        path: File to write; then nothing is shown.
        show: Whether it is shown. Defaults to `path is None`.
        transparent: Whether the file has no background.
        dpi: Dots per inch of the file.
        legend_handles: matplotlib's handles for a legend.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        The matplotlib figure (`None` in Keras).

    Raises:
        ValueError: If arguments do not fit.
        ImportError: If matplotlib is not installed.
    """
    plt = _pyplot("plot_image_gallery")
    if path is not None and show:
        raise ValueError("plot_image_gallery: expects either `path` to be set, or `show` to be "
                         f"true. Received: path={path!r}, show={show!r}")
    if (y_true is not None or y_pred is not None) and label_map is None:
        raise ValueError("If `y_true` or `y_pred` are provided, a `label_map` must also be "
                         "provided.")
    images, _ = _images(images, data_format)
    count = len(images)
    rows = rows or (math.ceil(count / cols) if cols else math.ceil(math.sqrt(count)))
    cols = cols or math.ceil(count / max(rows, 1))
    figure, axes = plt.subplots(max(rows, 1), max(cols, 1), frameon=False, layout="tight",
                                figsize=(max(cols, 1) * scale, max(rows, 1) * scale),
                                squeeze=False, sharex="row", sharey="col")
    for index, axis in enumerate(axes.ravel()):
        axis.axis("off")
        if index >= count:
            continue
        shown = _scaled(images[index], value_range)
        axis.imshow(shown[..., 0] if shown.shape[-1] == 1 else shown,
                    **({"cmap": "gray", "vmin": 0, "vmax": 255} if shown.shape[-1] == 1 else {}))
        axis.margins(x=0, y=0)
        title = _title(index, y_true, y_pred, label_map)
        if title:
            axis.set_title(title, fontsize=8)
    if legend_handles is not None:
        figure.legend(handles=legend_handles, loc="lower center")
    if path is not None:
        figure.savefig(path, pad_inches=0, bbox_inches="tight", transparent=transparent, dpi=dpi)
    elif show or show is None:
        plt.show()
    plt.close(figure)
    return figure


def plot_bounding_box_gallery(images, bounding_box_format, y_true=None, y_pred=None,
                              value_range=(0, 255), true_color=(0, 188, 212),
                              pred_color=(255, 235, 59), line_thickness=2, font_scale=1.0,
                              text_thickness=None, class_mapping=None, ground_truth_mapping=None,
                              prediction_mapping=None, legend=False, legend_handles=None,
                              rows=None, cols=None, data_format=None, **kwargs):
    """Shows images with boxes: those that are true, and those that were predicted.

    Args:
        images: A batch of images.
        bounding_box_format, line_thickness, font_scale, text_thickness: See `draw_bounding_boxes`.
        y_true, y_pred: Dicts of boxes: see `draw_bounding_boxes`.
        value_range: The least and the largest value of the images.
        true_color, pred_color: Colours of the two.
        class_mapping: Dict of label and text.
        ground_truth_mapping, prediction_mapping: The same for one of the two.
        legend: Whether a legend names the two.
        legend_handles: matplotlib's handles for a legend of one's own.
        rows, cols: See `plot_image_gallery`.
        data_format: `"channels_last"` or `"channels_first"`.
        **kwargs: More arguments of `plot_image_gallery`.

    Returns:
        The matplotlib figure.
    """
    _pyplot("plot_bounding_box_gallery")
    images, _ = _images(images, data_format)
    if legend and legend_handles:
        raise ValueError("Only pass `legend` OR `legend_handles` to "
                         "`keras.visualization.plot_bounding_box_gallery()`.")
    images = _scaled(images, value_range)
    for boxes, color, mapping in ((y_true, true_color, ground_truth_mapping),
                                  (y_pred, pred_color, prediction_mapping)):
        if boxes is not None:
            images = draw_bounding_boxes(
                images, boxes, bounding_box_format, mapping or class_mapping, color,
                line_thickness, text_thickness, font_scale, "channels_last")
    if legend:
        from matplotlib.patches import Patch

        legend_handles = [Patch(color=np.array(color) / 255.0, label=label) for color, label in
                          ((true_color, "Ground Truth"), (pred_color, "Prediction"))]
    return plot_image_gallery(images, legend_handles=legend_handles, rows=rows, cols=cols,
                              data_format="channels_last", **kwargs)


def plot_segmentation_mask_gallery(images, num_classes, value_range=(0, 255), y_true=None,
                                   y_pred=None, color_mapping=None, blend=True, alpha=0.8,
                                   ignore_index=-1, data_format=None, **kwargs):
    """Shows images, a row each, beside them with their true and their predicted masks.

    Args:
        images: A batch of images.
        num_classes, color_mapping, blend, alpha, ignore_index: See `draw_segmentation_masks`.
        value_range: The least and the largest value of the images.
        y_true, y_pred: Masks.
        data_format: `"channels_last"` or `"channels_first"`.
        **kwargs: More arguments of `plot_image_gallery`.

    Returns:
        The matplotlib figure.
    """
    images, first = _images(images, data_format)
    images = _scaled(images, value_range)
    columns = [images]
    for masks in (y_true, y_pred):
        if masks is not None:
            masks = np.asarray(masks).astype("int32")
            masks = masks[:, 0] if first and masks.ndim == 4 else masks
            columns.append(np.asarray(draw_segmentation_masks(
                images, masks, num_classes, color_mapping, alpha, blend, ignore_index,
                "channels_last")).astype("uint8"))
    gallery = np.stack(columns, axis=1).reshape(-1, *images.shape[1:])
    return plot_image_gallery(gallery, rows=len(images), cols=len(columns),
                              data_format="channels_last", **kwargs)
