"""Reuters: 11,228 news as word numbers, of 46 topics."""
import numpy as np

from nnc.datasets import words
from nnc.datasets.loading import FOLDER, find_file, read_json
from nnc.datasets.pickles import read_npz_objects

_ORIGIN = FOLDER + "reuters.npz"
_SHA256 = "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"
_INDEX_ORIGIN = FOLDER + "reuters_word_index.json"
_INDEX_MD5 = "4d44cc38712099c9e383dc6e5f11a921"

_LABELS = (
    "cocoa grain veg-oil earn acq wheat copper housing money-supply coffee sugar trade reserves "
    "ship cotton carcass crude nat-gas cpi money-fx interest gnp meal-feed alum oilseed gold tin "
    "strategic-metal livestock retail ipi iron-steel rubber heat jobs lei bop zinc orange pet-chem "
    "dlr gas silver wpi hog lead")


def load_data(path="reuters.npz", num_words=None, skip_top=0, maxlen=None, test_split=0.2,
              seed=113, start_char=1, oov_char=2, index_from=3):
    """Loads the news; `test_split` is the share of the test set, the others as in `imdb.load_data`.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: arrays of lists of numbers; labels 0 to 45.
    """
    words.check_share(test_split)
    file = find_file("reuters", path, _ORIGIN, _SHA256)
    texts, labels = words.shuffled(np.random.RandomState(seed),
                                   *read_npz_objects(file, ("x", "y")))
    texts, labels = words.shorter(words.mark(texts, start_char, index_from or 0), labels, maxlen)
    texts = words.limit(texts, num_words, skip_top, oov_char)
    at = int(len(texts) * (1 - test_split))
    return ((words.as_objects(texts[:at]), np.asarray(labels[:at])),
            (words.as_objects(texts[at:]), np.asarray(labels[at:])))


def get_word_index(path="reuters_word_index.json"):
    """Dict of words and their numbers (before `index_from` is added)."""
    return read_json(find_file("reuters", path, _INDEX_ORIGIN, _INDEX_MD5))


def get_label_names():
    """The names of the 46 topics, in the order of their numbers."""
    return tuple(_LABELS.split())
