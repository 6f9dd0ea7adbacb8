"""Label and array helpers of `keras.utils`, on NumPy arrays and nnc tensors."""
import numpy as np


def _is_tensor(x):
    from nnc import _core

    return isinstance(x, (_core.Tensor, _core.Variable))


def normalize(x, axis=-1, order=2):
    """Divides an array by its norm along an axis.

    Args:
        x: Array to normalize.
        axis: Axis along which the norm is taken.
        order: Order of the norm (`2` for L2).

    Returns:
        A normalized copy: a NumPy array for an array, a tensor for a tensor. Where the norm is
        zero the values stay zero.
    """
    if _is_tensor(x):
        from nnc import ops

        return ops.normalize(x, axis=axis, order=order)
    x = np.asarray(x)
    norm = np.linalg.norm(x, order, axis, keepdims=True)
    return x / np.where(norm == 0, 1, norm)


def to_categorical(x, num_classes=None):
    """Turns a vector of class numbers into a matrix with one 1 a row.

    Args:
        x: Array-like of integers from `0` to `num_classes - 1`. A last axis of length 1 is dropped.
        num_classes: Number of classes. Defaults to `max(x) + 1`.

    Returns:
        Array of shape `x.shape + (num_classes,)`: float64 for an array, a float32 tensor for a
        tensor.

    Raises:
        ValueError: If a class number is negative, not whole, or not below `num_classes`.
    """
    if _is_tensor(x):
        from nnc import ops

        if num_classes is None:
            raise ValueError("to_categorical: `num_classes` must be given when `x` is a tensor.")
        if x.ndim > 1 and x.shape[-1] == 1:
            x = ops.reshape(x, x.shape[:-1])
        return ops.one_hot(x, num_classes)
    raw = np.asarray(x)
    labels = _whole_numbers(raw)
    shape = labels.shape[:-1] if labels.ndim > 1 and labels.shape[-1] == 1 else labels.shape
    labels = labels.reshape(-1)
    if num_classes is None:
        if labels.size == 0:
            raise ValueError("to_categorical: `num_classes` must be given when `x` is empty.")
        num_classes = int(labels.max()) + 1
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if wrong.size:
        raise ValueError(
            f"to_categorical: class numbers must be from 0 to {num_classes - 1}. "
            f"Received: {labels[wrong[0]]} at position {wrong[0]}"
        )
    out = np.zeros((labels.size, int(num_classes)))
    out[np.arange(labels.size), labels] = 1
    return out.reshape(*shape, int(num_classes))


def _whole_numbers(raw):
    if raw.dtype.kind not in "biuf":
        raise ValueError(
            f"to_categorical: `x` must hold class numbers. Received: dtype={raw.dtype}"
        )
    with np.errstate(invalid="ignore"):             # NaN and Inf are refused just below
        labels = raw.astype(np.int64)
    if raw.dtype.kind == "f" and not np.array_equal(labels, raw):
        raise ValueError("to_categorical: `x` must hold whole numbers. Received a fraction.")
    return labels
