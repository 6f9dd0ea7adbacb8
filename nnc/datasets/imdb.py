"""IMDB: 50,000 film reviews as word numbers, with their sentiment.

Maas et al. 2011, https://ai.stanford.edu/~amaas/data/sentiment/.
"""
import warnings

import numpy as np

from nnc.datasets import words
from nnc.datasets.loading import FOLDER, find_file, read_json
from nnc.datasets.pickles import read_npz_objects

_ORIGIN = FOLDER + "imdb.npz"
_SHA256 = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
_INDEX_ORIGIN = FOLDER + "imdb_word_index.json"
_INDEX_MD5 = "bfafd718b763782e994055a2d397834f"


def load_data(path="imdb.npz", num_words=None, skip_top=0, maxlen=None, seed=113, start_char=1,
              oov_char=2, index_from=3, **kwargs):
    """Loads the reviews.

    Args:
        path: Name of the file: see `mnist.load_data`.
        num_words: Words with this number or a higher one become `oov_char`.
        skip_top: Words with a lower number become `oov_char`.
        maxlen: Reviews of so many words or more are left out.
        seed: Seed of the order.
        start_char: Number that each review begins with, or `None`.
        oov_char: Number of words left out, or `None`: they are dropped.
        index_from: What is added to each word's number.
        **kwargs: `nb_words`, the name of `num_words` in earlier versions of Keras.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: arrays of lists of numbers; labels 0 and 1.

    Raises:
        TypeError: If there is any other keyword.
    """
    if "nb_words" in kwargs:
        warnings.warn("imdb.load_data: the argument `nb_words` is now `num_words`.", stacklevel=2)
        num_words = kwargs.pop("nb_words")
    if kwargs:
        raise TypeError(f"imdb.load_data: unknown arguments. Received: {kwargs}")
    file = find_file("imdb", path, _ORIGIN, _SHA256)
    x_train, y_train, x_test, y_test = read_npz_objects(
        file, ("x_train", "y_train", "x_test", "y_test"))
    parts, random = [], np.random.RandomState(seed)
    for x, y in ((x_train, y_train), (x_test, y_test)):
        x, y = words.shuffled(random, x, y)
        parts.append(words.shorter(words.mark(x, start_char, index_from or 0), y, maxlen))
    texts = words.limit(parts[0][0] + parts[1][0], num_words, skip_top, oov_char)
    at = len(parts[0][0])
    return ((words.as_objects(texts[:at]), np.asarray(parts[0][1])),
            (words.as_objects(texts[at:]), np.asarray(parts[1][1])))


def get_word_index(path="imdb_word_index.json"):
    """Dict of words and their numbers (before `index_from` is added)."""
    return read_json(find_file("imdb", path, _INDEX_ORIGIN, _INDEX_MD5))
