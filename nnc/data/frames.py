"""Tables with named columns (pandas, polars, Hugging Face) as arrays.

Recognised by what they can do; none of these libraries is imported.
"""
import numpy as np

from ..layers.layer import numeric_array
from ..strings import holds_strings, string_array

#: Columns of a Hugging Face data set that are targets.
_LABELS = ("label", "labels", "target")


def is_frame(value):
    """Whether `value` is a table of pandas or polars."""
    return hasattr(value, "columns") and hasattr(value, "to_numpy") and len(value.shape) == 2


def is_columns(value):
    """Whether `value` is a Hugging Face data set."""
    return hasattr(value, "column_names") and hasattr(value, "with_format")


def is_column(value):
    """Whether `value` is one column of a Hugging Face data set, whose rows are read when asked for.
    """
    return type(value).__name__ == "Column" and type(value).__module__.startswith("datasets.")


def is_sparse(value):
    """Whether `value` is one of SciPy's sparse matrices or arrays."""
    return hasattr(value, "toarray") and type(value).__module__.startswith("scipy.")


def array_of(value, what, strings):
    """An array of numbers; or of strings, where they are allowed."""
    if is_column(value):
        value = value[:]
    if is_sparse(value):
        value = value.toarray()
    if strings and holds_strings(value):
        return string_array(value, what)
    return numeric_array(value, what)


def frame_arrays(frame, names, name, who, strings=False):
    """The columns of a table.

    Args:
        frame: The table.
        names: Names of the model's inputs, or `None`.
        name: What the argument is called.
        who: The method, for messages.
        strings: Whether columns may hold strings.

    Returns:
        A dict of columns of shape `(n, 1)`, one for each of `names`, if these are columns; else
        one array with a column for each of the table's.
    """
    columns = list(frame.columns)
    if names and len(names) > 1 and any(n in columns for n in names):
        missing = [n for n in names if n not in columns]
        if missing:
            raise ValueError(f"{who}: `{name}` has no column {missing[0]!r}, which the model has "
                             f"an input of. Received columns: {columns}")
        return {n: _array(frame[n], n, name, who, strings).reshape(-1, 1) for n in names}
    if not columns:
        raise ValueError(f"{who}: `{name}` has no columns.")
    by_place = getattr(frame, "iloc", None)         # pandas: two columns may have one name
    parts = [frame[c] if by_place is None else by_place[:, i] for i, c in enumerate(columns)]
    return np.stack([_array(part, c, name, who, strings) for part, c in zip(parts, columns)],
                    axis=1)


def _array(series, column, name, who, strings):
    array = np.asarray(series)
    kind = str(getattr(series, "dtype", "")).rstrip("0123456789")
    if array.dtype == object and kind in ("Int", "UInt", "Float", "boolean"):
        array = series.to_numpy(dtype="float64", na_value=np.nan)       # pandas' own dtypes
    return array_of(array, f"{who}: column {column!r} of `{name}`", strings)


def columns_xy(dataset, who):
    """`(x, y)` of a Hugging Face data set: `y` is its column `label` (or `labels`, `target`).

    Inputs are one array if there is one other column, else a dict of them.

    Raises:
        TypeError: If it is a dict of splits, or is read as a stream.
    """
    if isinstance(dataset, dict):
        raise TypeError(f"{who}: `x` is a {type(dataset).__name__} of the splits {list(dataset)}; "
                        "expected one of them: x['train']")
    if not hasattr(dataset, "__len__"):
        raise TypeError(f"{who}: `x` of type {type(dataset).__name__} gives rows one after the "
                        "other; expected batches: ((b['pixels'], b['label']) for b in "
                        "x.with_format('numpy').iter(32))")
    names = list(dataset.column_names)
    rows = dataset.with_format("numpy")[:]
    arrays = {n: numeric_array(rows[n], f"{who}: column {n!r} of `x`") for n in names}
    labels = [n for n in names if n in _LABELS]
    y = arrays.pop(labels[0]) if len(labels) == 1 and len(names) > 1 else None
    return (next(iter(arrays.values())) if len(arrays) == 1 else arrays), y
