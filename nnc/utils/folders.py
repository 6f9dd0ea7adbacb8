"""Data sets from folders with one subfolder a class, and data sets cut in two."""
import os

import numpy as np

from nnc import tree
from nnc.data.py_dataset import PyDataset
from nnc.utils.io import print_message

_IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")


class Files(PyDataset):
    """Batches read from files.

    Attributes:
        class_names: Names of the classes.
        file_paths: Paths of the files, in their order.
    """

    def __init__(self, paths, labels, class_names, batch_size, shuffle, seed, read):
        super().__init__()
        self.class_names, self.file_paths = class_names, paths
        self._labels, self._batch, self._read = labels, batch_size, read
        self._order = np.arange(len(paths))
        self._random = np.random.RandomState(seed) if shuffle else None

    def __len__(self):
        return -(-len(self.file_paths) // (self._batch or 1))

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        size = self._batch or 1
        rows = self._order[index * size:(index + 1) * size]
        x = self._read([self.file_paths[i] for i in rows])
        if self._batch is None:
            x = x[0]
        if self._labels is None:
            return x
        return x, self._labels[rows[0] if self._batch is None else rows]

    def on_epoch_end(self):
        if self._random is not None:
            self._random.shuffle(self._order)


def text_dataset_from_directory(directory, labels="inferred", label_mode="int", class_names=None,
                                batch_size=32, max_length=None, shuffle=True, seed=None,
                                validation_split=None, subset=None, follow_links=False,
                                format="tf", verbose=True):
    """Texts (`.txt`) with the class of the subfolder that they lie in.

    Args:
        directory: The folder.
        labels: `"inferred"`, `None`, or a list of numbers, one for each file in the order of paths.
        label_mode: `"int"`, `"categorical"`, `"binary"` or `None`.
        class_names: Names of subfolders, to set their order; others are left aside.
        batch_size: Files in a batch; `None`: single texts.
        max_length: Characters that are kept of a text.
        shuffle: Whether the files come in a random order, a new one in each epoch.
        seed: Seed of the orders; needed where `validation_split` is used with `shuffle`.
        validation_split: Share that validates.
        subset: `"training"`, `"validation"` or `"both"`.
        follow_links: Whether links to folders are followed.
        format: `"tf"`, Keras's default: what comes is a `PyDataset`, which `fit` and loops take in
            the place of a `tf.data.Dataset`. `"grain"` is refused.
        verbose: Whether the number of files is printed.

    Returns:
        A `PyDataset` whose batches are arrays of strings, or a pair of these for `"both"`.
    """
    check_format(format, "text_dataset_from_directory")

    def read(paths):
        texts = np.empty(len(paths), object)
        for i, path in enumerate(paths):
            with open(path, encoding="utf-8", errors="replace") as f:
                texts[i] = f.read() if max_length is None else f.read(max_length)
        return texts

    return from_folder(directory, (".txt",), read, labels, label_mode, class_names, batch_size,
                        shuffle, seed, validation_split, subset, follow_links, verbose)


def image_dataset_from_directory(directory, labels="inferred", label_mode="int", class_names=None,
                                 color_mode="rgb", batch_size=32, image_size=(256, 256),
                                 shuffle=True, seed=None, validation_split=None, subset=None,
                                 interpolation="bilinear", follow_links=False,
                                 crop_to_aspect_ratio=False, pad_to_aspect_ratio=False,
                                 data_format=None, format="tf", verbose=True):
    """Pictures with the class of the subfolder that they lie in, as float32 from 0 to 255.

    Args:
        color_mode: `"grayscale"`, `"rgb"` or `"rgba"`.
        image_size: `(height, width)` of all pictures.
        interpolation: That of `ops.image.resize`, which takes no averages where it makes a picture
            smaller: `"bilinear"`, `"nearest"`, `"bicubic"`, `"area"`, `"lanczos3"` or `"lanczos5"`.
        crop_to_aspect_ratio: Whether the middle is cut out instead of changing proportions.
        pad_to_aspect_ratio: Whether black bars are added instead.
        data_format: Where the channels stand; by default as configured.

    The other arguments are those of `text_dataset_from_directory`.
    """
    from nnc.ops.image import _INTERPOLATIONS
    from nnc.utils import images

    check_format(format, "image_dataset_from_directory")
    if interpolation not in _INTERPOLATIONS or color_mode not in images._MODES:
        raise ValueError("image_dataset_from_directory: `interpolation` must be one of "
                         f"{sorted(_INTERPOLATIONS)}, `color_mode` one of "
                         f"{sorted(images._MODES)}. Received: interpolation={interpolation!r}, "
                         f"color_mode={color_mode!r}")
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError("image_dataset_from_directory: only one of `crop_to_aspect_ratio` and "
                         "`pad_to_aspect_ratio` can be True.")
    images.pillow("image_dataset_from_directory")
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(size) != 2:
        raise ValueError("image_dataset_from_directory: `image_size` must be (height, width). "
                         f"Received: image_size={image_size!r}")
    fit = "crop" if crop_to_aspect_ratio else "pad" if pad_to_aspect_ratio else None

    def read(paths):
        return np.stack([images.read_image(path, size, color_mode, interpolation, fit, data_format)
                         for path in paths])

    return from_folder(directory, _IMAGES, read, labels, label_mode, class_names, batch_size,
                        shuffle, seed, validation_split, subset, follow_links, verbose)


def check_format(format, who):
    """Refuses formats of data sets that cannot be given."""
    if format == "grain":
        raise NotImplementedError(f"{who}: format='grain' is not possible here: what comes is a "
                                  "`PyDataset`; leave `format` out.")
    if format not in ("tf", None):
        raise ValueError(f"{who}: `format` must be 'tf' or 'grain'. Received: format={format!r}")


def from_folder(directory, endings, read, labels, label_mode, class_names, batch_size, shuffle,
                 seed, validation_split, subset, follow_links, verbose):
    if label_mode not in ("int", "categorical", "binary", None):
        raise ValueError("`label_mode` must be 'int', 'categorical', 'binary' or None. Received: "
                         f"label_mode={label_mode!r}")
    if (validation_split is None) != (subset is None) or subset not in (
            None, "training", "validation", "both") or validation_split is not None \
            and not 0 < validation_split < 1:
        raise ValueError("`validation_split` (between 0 and 1) and `subset` ('training', "
                         "'validation' or 'both') must be passed together. Received: "
                         f"validation_split={validation_split}, subset={subset!r}")
    if validation_split is not None and shuffle and seed is None:
        raise ValueError("`seed` must be passed when `validation_split` is used with "
                         "`shuffle=True`: else the two parts would overlap.")
    paths, numbers, class_names = _index(directory, endings, labels, class_names, follow_links)
    if labels is None or label_mode is None:
        numbers = None
    if verbose:
        print_message(f"Found {len(paths)} files" + (
            "." if numbers is None else f" belonging to {len(class_names)} classes."))
    if numbers is not None:
        numbers = _encode(numbers, label_mode, class_names)
    order = np.arange(len(paths))
    if shuffle:
        np.random.RandomState(seed).shuffle(order)
    at = len(paths) - int((validation_split or 0) * len(paths))
    parts = {None: order, "training": order[:at], "validation": order[at:]}

    def make(name):
        rows = parts[name]
        if not len(rows):
            raise ValueError(f"No {name or ''} files found in {directory}. Allowed endings: "
                             f"{', '.join(endings)}")
        return Files([paths[i] for i in rows], None if numbers is None else numbers[rows],
                     class_names, batch_size, shuffle, seed, read)

    return (make("training"), make("validation")) if subset == "both" else make(subset)


def _index(directory, endings, labels, class_names, follow_links):
    """Sorted paths, a class number for each, and the names of the classes."""
    if not os.path.isdir(directory):
        raise NotADirectoryError(f"There is no folder {directory}")
    folders = sorted(n for n in os.listdir(directory)
                     if os.path.isdir(os.path.join(directory, n)))
    inferred = isinstance(labels, str) and labels == "inferred"
    if not inferred and labels is not None and not isinstance(labels, (list, tuple)):
        raise ValueError("`labels` must be 'inferred', a list or None. Received: "
                         f"labels={labels!r}")
    if inferred and class_names is not None and not set(class_names) <= set(folders):
        raise ValueError("`class_names` must be the names of the subfolders. Received: "
                         f"{list(class_names)}, there are {folders}")
    names = list(class_names or folders) if inferred else [""]
    paths, numbers = [], []
    for number, name in enumerate(names):
        found = []
        for place, _, files in os.walk(os.path.join(directory, name), followlinks=follow_links):
            found += [os.path.join(place, f) for f in files if f.lower().endswith(endings)]
        paths += sorted(found)
        numbers += [number] * len(found)
    if not inferred and labels is not None:
        if len(labels) != len(paths):
            raise ValueError("`labels` must have a number for each file. Received: "
                             f"{len(labels)} labels for {len(paths)} files")
        numbers = list(labels)
        names = [str(n) for n in sorted(set(numbers))]
    return paths, np.array(numbers, "int32"), names


def _encode(numbers, label_mode, class_names):
    if label_mode == "binary":
        if len(class_names) != 2:
            raise ValueError("label_mode='binary' needs exactly 2 classes. Received: "
                             f"class_names={class_names}")
        return numbers.astype("float32").reshape(-1, 1)
    if label_mode == "categorical":
        return np.eye(len(class_names), dtype="float32")[numbers]
    return numbers


# ---- data sets cut in two ------------------------------------------------------------------------

def split_dataset(dataset, left_size=None, right_size=None, shuffle=False, seed=None,
                  preferred_backend=None):
    """Arrays (or nests of them, or a list of samples) cut in two.

    Args:
        dataset: An array, a nest of arrays with equally many rows, or what gives samples when it is
            iterated over.
        left_size: How many rows (int), or which share (float), the first part has.
        right_size: The same for the second part; by default what is left.
        shuffle: Whether rows are taken in a random order.
        seed: Seed of the order.
        preferred_backend: `None` or `"nnc"`: arrays; `"tensorflow"`: two `tf.data.Dataset`;
            `"torch"`: two `torch.utils.data.TensorDataset`.

    Returns:
        Two nests of arrays like `dataset`, or two data sets of the backend that was asked for.
    """
    if preferred_backend not in (None, "nnc", "tensorflow", "torch"):
        raise ValueError("split_dataset: `preferred_backend` must be None, 'nnc', 'tensorflow' or "
                         f"'torch'. Received: preferred_backend={preferred_backend!r}")
    if not tree.is_nest(dataset) and not hasattr(dataset, "shape"):
        samples = list(dataset)
        leaves = [tree.flatten(sample) for sample in samples]
        columns = [np.stack([np.asarray(leaf) for leaf in column]) for column in zip(*leaves)]
        dataset = tree.pack(samples[0], columns) if samples else ()
    elif isinstance(dataset, list):
        dataset = np.asarray(dataset) if not hasattr(dataset[0], "shape") else tuple(dataset)
    arrays = [np.asarray(leaf) for leaf in tree.flatten(dataset)]
    counts = {len(array) for array in arrays}
    if len(counts) != 1:
        raise ValueError("split_dataset: all arrays must have the same number of rows. Received: "
                         f"{sorted(counts)}")
    count = counts.pop()
    left, right = _sizes(count, left_size, right_size)
    order = np.arange(count)
    if shuffle:
        np.random.RandomState(seed).shuffle(order)
    return tuple(_as_dataset(tree.pack(dataset, [array[rows] for array in arrays]),
                             preferred_backend)
                 for rows in (order[:left], order[count - right:]))


def _as_dataset(arrays, backend):
    """Arrays as a data set of another library; it must be installed."""
    if backend == "tensorflow":
        import tensorflow

        return tensorflow.data.Dataset.from_tensor_slices(arrays)
    if backend == "torch":
        import torch

        return torch.utils.data.TensorDataset(*map(torch.from_numpy, tree.flatten(arrays)))
    return arrays


def _sizes(count, left, right):
    def rows(size, name):
        if size is None:
            return None
        if isinstance(size, bool) or not isinstance(size, (int, float)) or (
                not 0 < size < 1 if isinstance(size, float) else not 0 < size < count):
            raise ValueError(f"split_dataset: `{name}` must be a number of rows from 1 to "
                             f"{count - 1}, or a share between 0 and 1. Received: {name}={size!r}")
        if isinstance(size, int):
            return size
        return round(size * count)

    if left is None and right is None:
        raise ValueError("split_dataset: at least one of `left_size` and `right_size` must be "
                         "passed.")
    left, right = rows(left, "left_size"), rows(right, "right_size")
    left = count - right if left is None else left
    right = count - left if right is None else right
    if left + right > count or not left or not right:
        raise ValueError(f"split_dataset: {left} and {right} rows cannot be taken out of {count}.")
    return left, right
