"""What the data sets of texts share: reviews and news as lists of word numbers."""
import numpy as np


def shuffled(random, *arrays):
    """The arrays in one new order, drawn by NumPy's `RandomState` as in Keras."""
    order = np.arange(len(arrays[0]))
    random.shuffle(order)
    return [array[order] for array in arrays]


def check_share(test_split):
    """Refuses a share that is not in [0, 1)."""
    if not 0 <= test_split < 1:
        raise ValueError("load_data: `test_split` must be at least 0 and less than 1. Received: "
                         f"test_split={test_split}")


def split_rows(x, y, test_split, seed):
    """`(x_train, y_train), (x_test, y_test)` of rows in a new order."""
    x, y = shuffled(np.random.RandomState(seed), x, y)
    at = int(len(x) * (1 - test_split))
    return (x[:at], y[:at]), (x[at:], y[at:])


def mark(texts, start_char, index_from):
    """Texts with a start mark, and with word numbers from `index_from` on."""
    first = [] if start_char is None else [start_char]
    return [first + [word + index_from for word in text] for text in texts]


def shorter(texts, labels, maxlen):
    """The texts of fewer than `maxlen` words, with their labels."""
    if not maxlen:
        return texts, labels
    kept = [i for i, text in enumerate(texts) if len(text) < maxlen]
    if not kept:
        raise ValueError(f"load_data: no text has fewer than maxlen={maxlen} words. Increase "
                         "`maxlen`.")
    return [texts[i] for i in kept], np.asarray(labels)[kept]


def limit(texts, num_words, skip_top, oov_char):
    """Texts in which rare and very frequent words are `oov_char`, or left out if that is `None`."""
    if not num_words:
        num_words = max((max(text) for text in texts if len(text)), default=0)
    if oov_char is None:
        return [[w for w in text if skip_top <= w < num_words] for text in texts]
    return [[w if skip_top <= w < num_words else oov_char for w in text] for text in texts]


def as_objects(texts):
    """An array with a list in each place."""
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array
