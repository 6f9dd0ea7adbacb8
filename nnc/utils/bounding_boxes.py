"""`nnc.utils.bounding_boxes`: boxes in images: formats, clipping, cropping, moving.

A box is four numbers along the last axis. Formats: `xyxy` (left, top, right, bottom), `yxyx`, `xywh`
(left, top, width, height), `center_xywh`, `center_yxhw`, in pixels; with `rel_` before them (all but
`center_yxhw`) as shares of the image's size.
"""
import math

from .. import config, ops
from ..ops.core import cast_array

FORMATS = ("xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw", "rel_xyxy", "rel_yxyx", "rel_xywh",
           "rel_center_xywh")


def _columns(boxes):
    return [boxes[..., i:i + 1] for i in range(4)]


def _joined(*columns):
    return ops.concatenate(columns, axis=-1)


def _to_corners(boxes, form):
    a, b, c, d = _columns(boxes)
    if form == "xyxy":
        return a, b, c, d
    if form == "yxyx":
        return b, a, d, c
    if form == "xywh":
        return a, b, a + c, b + d
    x, y, w, h = (b, a, d, c) if form == "center_yxhw" else (a, b, c, d)
    return x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0


def _from_corners(x1, y1, x2, y2, form):
    if form == "xyxy":
        return _joined(x1, y1, x2, y2)
    if form == "yxyx":
        return _joined(y1, x1, y2, x2)
    w, h = x2 - x1, y2 - y1
    if form == "xywh":
        return _joined(x1, y1, w, h)
    x, y = x1 + w / 2.0, y1 + h / 2.0
    return _joined(y, x, h, w) if form == "center_yxhw" else _joined(x, y, w, h)


def convert_format(boxes, source, target, height=None, width=None, dtype="float32"):
    """Boxes in another format.

    Args:
        boxes: Array `(..., 4)`, or a dict with one under `"boxes"`: then a new dict comes back.
        source, target: The formats; see the head of this file.
        height, width: The image's size, for relative formats.
        dtype: The dtype of the result.
    """
    if isinstance(boxes, dict):
        return {**boxes, "boxes": convert_format(boxes["boxes"], source, target, height, width,
                                                 dtype)}
    boxes = cast_array(boxes, dtype)
    source, target = source.lower(), target.lower()
    for form in (source, target):
        if form not in FORMATS:
            raise ValueError(f"convert_format: a format must be one of {FORMATS}. Received: {form!r}")
    if not boxes.shape or boxes.shape[-1] != 4:
        raise ValueError("convert_format: the last axis of `boxes` must have 4 numbers. Received: "
                         f"boxes.shape={tuple(boxes.shape)}")
    relative = [form.startswith("rel_") for form in (source, target)]
    if any(relative) and (height is None or width is None):
        raise ValueError("convert_format: `height` and `width` must be given for relative formats. "
                         f"Received: source={source!r}, target={target!r}, height={height}, "
                         f"width={width}")
    if source == target:
        return boxes
    corners = _to_corners(boxes, source.removeprefix("rel_"))
    if relative[0] != relative[1]:
        sizes = [cast_array(n, dtype) for n in (width, height)] * 2
        corners = [ops.multiply(c, n) if relative[0] else ops.divide(c, n)
                   for c, n in zip(corners, sizes)]
    return _from_corners(*corners, target.removeprefix("rel_"))


def clip_to_image_size(bounding_boxes, height=None, width=None, bounding_box_format="xyxy"):
    """Boxes cut at the image's edges; what has no area left gets the label -1.

    Args:
        bounding_boxes: Dict with `"boxes"`, and perhaps `"labels"`.
        height, width: The image's size.
        bounding_box_format: `"xyxy"` or `"rel_xyxy"`.
    """
    if bounding_box_format not in ("xyxy", "rel_xyxy"):
        raise NotImplementedError("clip_to_image_size: `bounding_box_format` must be 'xyxy' or "
                                  f"'rel_xyxy'. Received: {bounding_box_format!r}")
    if bounding_box_format == "rel_xyxy":
        height = width = 1.0
    elif height is None or width is None:
        raise ValueError("clip_to_image_size: `height` and `width` must be given for 'xyxy'. "
                         f"Received: height={height}, width={width}")
    boxes = _clipped(_columns(ops.convert_to_tensor(bounding_boxes["boxes"])), height, width)
    result = {**bounding_boxes, "boxes": boxes}
    if bounding_boxes.get("labels") is not None:
        x1, y1, x2, y2 = _columns(boxes)
        area = ops.squeeze((x2 - x1) * (y2 - y1), -1)
        result["labels"] = ops.where(area > 0, bounding_boxes["labels"], -1)
    return result


def _clipped(columns, height, width):
    return _joined(*(ops.minimum(ops.maximum(c, 0), n)
                     for c, n in zip(columns, (width, height, width, height))))


def _only_corners(name, form):
    if form != "xyxy":
        raise NotImplementedError(f"{name}: `bounding_box_format` must be 'xyxy'. Received: "
                                  f"{form!r}")


def crop(boxes, top, left, height, width, bounding_box_format="xyxy"):
    """Boxes in a part of the image of this size that begins at `top` and `left`; cut at its edges.
    """
    _only_corners("crop", bounding_box_format)
    x1, y1, x2, y2 = _columns(ops.convert_to_tensor(boxes))
    return _clipped([x1 - left, y1 - top, x2 - left, y2 - top], height, width)


def pad(boxes, top, left, height=None, width=None, bounding_box_format="xyxy"):
    """Boxes in an image to which rows and columns were added before the first ones. `height` and
    `width` are of no effect, as in Keras.
    """
    _only_corners("pad", bounding_box_format)
    x1, y1, x2, y2 = _columns(ops.convert_to_tensor(boxes))
    return _joined(x1 + left, y1 + top, x2 + left, y2 + top)


def affine_transform(boxes, angle, translate_x, translate_y, scale, shear_x, shear_y, height, width,
                     center_x=None, center_y=None, bounding_box_format="xyxy"):
    """The boxes around boxes that were turned, moved, scaled and sheared.

    Args:
        boxes: Array `(batch, n, 4)`.
        angle, shear_x, shear_y: Degrees, one for each image.
        translate_x, translate_y: Shares of the width and height.
        scale: Factors.
        height, width: The image's size.
        center_x, center_y: What stays in place, as shares. Default to the middle.
        bounding_box_format: Must be `"xyxy"`.
    """
    _only_corners("affine_transform", bounding_box_format)
    angle = ops.convert_to_tensor(angle)
    matrix = _inverse_affine(0.5 if center_x is None else center_x,
                             0.5 if center_y is None else center_y, angle, translate_x,
                             translate_y, scale, shear_x, shear_y, height, width)
    x1, y1, x2, y2 = _columns(cast_array(boxes, angle.dtype))
    xs, ys = ops.concatenate([x1, x2, x2, x1], -1), ops.concatenate([y1, y1, y2, y2], -1)
    a0, a1, a2, b0, b1, b2 = (ops.reshape(m, (-1, 1, 1)) for m in matrix)
    new_x, new_y = a0 * xs + a1 * ys + a2, b0 * xs + b1 * ys + b2
    return ops.stack([ops.min(new_x, -1), ops.min(new_y, -1), ops.max(new_x, -1),
                      ops.max(new_y, -1)], -1)


def _inverse_affine(center_x, center_y, angle, translate_x, translate_y, scale, shear_x, shear_y,
                    height, width):
    """Two rows of three numbers for each image."""
    degree = math.pi / 180.0
    cx, cy = center_x * (width - 1), center_y * (height - 1)
    rot, sx, sy = -angle * degree, -ops.convert_to_tensor(shear_x) * degree, \
        -ops.convert_to_tensor(shear_y) * degree
    tx = -ops.convert_to_tensor(translate_x) * (width - 1)
    ty = -ops.convert_to_tensor(translate_y) * (height - 1)
    a = ops.cos(rot - sy) / ops.cos(sy)
    b = a * ops.tan(sx) + ops.sin(rot)
    c = -ops.sin(rot - sy) / ops.cos(sy)
    d = ops.cos(rot) - c * ops.tan(sx)
    a0, a1, b0, b1 = d * scale, -b * scale, -c * scale, a * scale
    return (a0, a1, cx - a0 * (cx + tx) - a1 * (cy + ty),
            b0, b1, cy - b0 * (cx + tx) - b1 * (cy + ty))


def _variance(variance):
    if variance is None:
        return None
    variance = cast_array(variance, "float32")
    if variance.shape[-1] != 4:
        raise ValueError("`variance` must hold 4 numbers. Received: "
                         f"shape={tuple(variance.shape)}")
    return variance


def _check_encoding(name, form):
    if form not in ("center_xywh", "center_yxhw"):
        raise ValueError(f"{name}: the encoding must be 'center_xywh' or 'center_yxhw'. Received: "
                         f"{form!r}")


def encode_box_to_deltas(anchors, boxes, anchor_format, box_format, encoding_format="center_yxhw",
                         variance=None, image_shape=None):
    """What leads from anchors to boxes: moves in units of the anchor, logarithms of sizes.

    Args:
        anchors, boxes: Arrays `(..., 4)`.
        anchor_format, box_format: Their formats.
        encoding_format: `"center_yxhw"` or `"center_xywh"`.
        variance: Four numbers that the result is divided by.
        image_shape: `(height, width, channels)`, for relative formats.
    """
    variance = _variance(variance)
    _check_encoding("encode_box_to_deltas", encoding_format)
    height, width = (None, None) if image_shape is None else image_shape[:2]
    anchors = convert_format(anchors, anchor_format, encoding_format, height, width)
    boxes = convert_format(boxes, box_format, encoding_format, height, width)
    size = ops.maximum(anchors[..., 2:], config.epsilon())
    deltas = ops.concatenate([
        (boxes[..., :2] - anchors[..., :2]) / size,
        ops.log(ops.maximum(boxes[..., 2:], config.epsilon()) / size)], axis=-1)
    return deltas if variance is None else deltas / variance


def decode_deltas_to_boxes(anchors, boxes_delta, anchor_format, box_format,
                           encoded_format="center_yxhw", variance=None, image_shape=None):
    """The boxes that deltas lead to from anchors; see `encode_box_to_deltas`. Dicts of levels give
    a dict.
    """
    if isinstance(anchors, dict) and isinstance(boxes_delta, dict):
        return {level: decode_deltas_to_boxes(anchor, boxes_delta[level], anchor_format, box_format,
                                              encoded_format, variance, image_shape)
                for level, anchor in anchors.items()}
    variance = _variance(variance)
    _check_encoding("decode_deltas_to_boxes", encoded_format)
    height, width = (None, None) if image_shape is None else image_shape[:2]
    anchors = convert_format(anchors, anchor_format, encoded_format, height, width)
    deltas = cast_array(boxes_delta, "float32")
    deltas = deltas if variance is None else deltas * variance
    boxes = ops.concatenate([deltas[..., :2] * anchors[..., 2:] + anchors[..., :2],
                             ops.exp(deltas[..., 2:]) * anchors[..., 2:]], axis=-1)
    return convert_format(boxes, encoded_format, box_format, height, width)


def _pixels(name, boxes1, boxes2, form, target, image_shape):
    """Both in pixels in the target format."""
    if form.startswith("rel") and image_shape is None:
        raise ValueError(f"{name}: relative formats need `image_shape`. Received: "
                         f"bounding_box_format={form!r}, image_shape=None")
    height, width = (None, None) if image_shape is None else image_shape[:2]
    return [convert_format(boxes, form, target, height, width) for boxes in (boxes1, boxes2)]


def compute_iou(boxes1, boxes2, bounding_box_format, use_masking=False, mask_val=-1,
                image_shape=None):
    """What each pair of boxes shares, over what both cover together.

    Args:
        boxes1, boxes2: Arrays `(N, 4)` or `(batch, N, 4)`; `(M, 4)` or `(batch, M, 4)`.
        bounding_box_format: The format of both; see the head of this file.
        use_masking: Whether pairs with a box of negative numbers only give `mask_val`.
        image_shape: `(height, width, channels)`, for relative formats.

    Returns:
        Tensor `(N, M)`, or `(batch, N, M)` if any of them is batched.

    Raises:
        ValueError: For boxes of another rank, or a relative format without `image_shape`.
    """
    for name, boxes in (("boxes1", boxes1), ("boxes2", boxes2)):
        if len(ops.shape(boxes)) not in (2, 3):
            raise ValueError(f"compute_iou: `{name}` must have the shape (N, 4) or (batch, N, 4). "
                             f"Received: {name}.shape={tuple(ops.shape(boxes))}")
    one, two = _pixels("compute_iou", boxes1, boxes2, bounding_box_format, "yxyx", image_shape)
    a, b = one[..., :, None, :], two[..., None, :, :]
    sides = ops.maximum(ops.minimum(a[..., 2:4], b[..., 2:4]) - ops.maximum(
        a[..., :2], b[..., :2]), 0.0)
    shared = sides[..., 0] * sides[..., 1]
    areas = [(x[..., 2] - x[..., 0]) * (x[..., 3] - x[..., 1]) for x in (a, b)]
    result = shared / (areas[0] + areas[1] - shared + config.epsilon())
    if not use_masking:
        return result
    outside = ops.logical_or(ops.max(a, axis=-1) < 0.0, ops.max(b, axis=-1) < 0.0)
    return ops.where(outside, ops.cast(mask_val, result.dtype), result)


def compute_ciou(boxes1, boxes2, bounding_box_format, image_shape=None):
    """The complete IoU of boxes, one by one: Zheng et al. 2020, arXiv:1911.08287.

    The IoU, less the distance of the centres over the diagonal of what holds both, less how the
    sides' ratios differ.

    Args:
        boxes1, boxes2: Arrays `(..., 4)`.
        bounding_box_format: The format of both; see the head of this file.
        image_shape: `(height, width, channels)`, for relative formats (which Keras refuses).

    Returns:
        Tensor `(...)`.
    """
    small = config.epsilon()
    a, b = _pixels("compute_ciou", boxes1, boxes2, bounding_box_format, "xyxy", image_shape)
    sides = [x[..., 2:4] - x[..., :2] for x in (a, b)]
    width, height = zip(*((s[..., 0], s[..., 1] + small) for s in sides))
    inner = ops.maximum(ops.minimum(a[..., 2:4], b[..., 2:4]) - ops.maximum(
        a[..., :2], b[..., :2]), 0.0)
    shared = inner[..., 0] * inner[..., 1]
    union = width[0] * height[0] + width[1] * height[1] - shared + small
    iou = shared / (union + small)
    outer = ops.maximum(a[..., 2:4], b[..., 2:4]) - ops.minimum(a[..., :2], b[..., :2])
    diagonal = ops.sum(ops.square(outer), axis=-1) + small
    apart = (a[..., :2] + a[..., 2:4] - b[..., :2] - b[..., 2:4]) / 2
    distance = ops.sum(ops.square(apart), axis=-1)
    v = 4 / math.pi ** 2 * ops.square(ops.arctan(width[1] / height[1])
                                      - ops.arctan(width[0] / height[0]))
    return iou - (distance / diagonal + v * (v / (v - iou + (1 + small))))
