"""TextVectorization: text as the places of its words in a vocabulary."""
import numpy as np

from .. import _core, config
from ..strings import Packed, holds_strings, pack, string_array, unpack
from .keras_tensor import KerasTensor
from .lookup import StringLookup
from .string_layer import CategoryLayer, batches, check_modes
from .vocabulary import row_numbers

_STANDARDIZE = {"lower": 1, "strip_punctuation": 2, "lower_and_strip_punctuation": 3}


class TextVectorization(CategoryLayer):
    """Text made plain, split, and its parts as their places in a vocabulary.

    Args:
        max_tokens: The most tokens, padding and OOV included; `None`: no limit.
        standardize: `None`, `"lower_and_strip_punctuation"` (of ASCII), `"lower"`,
            `"strip_punctuation"`, or a function of an array of str.
        split: `None`, `"whitespace"`, `"character"`, or a function of an array of str that gives a
            list of words for each.
        ngrams: `None`, an integer (all lengths up to it) or a tuple of lengths: runs of words as
            well, joined by spaces.
        output_mode: `"int"`, `"one_hot"`, `"multi_hot"`, `"count"` or `"tf_idf"`.
        output_sequence_length: For `"int"`: rows are cut or filled with zeros to this length;
            `None`: to the longest row of the batch.
        pad_to_max_tokens: Whether codes have `max_tokens` places, however many tokens there are.
        vocabulary: List, array or tensor of tokens, or the path of a text file with one a line;
            `None`: `adapt` finds it.
        idf_weights: The weight of each, for output_mode `"tf_idf"`.
        sparse: Must be `False`: all tensors are dense.
        ragged: For `"int"`: whether rows keep their lengths: an array of objects comes out, each an
            array of int64, which no model can go on with. Not with a symbolic input.
        encoding: Must be `"utf-8"`.
        name: Name.
        **kwargs: See `Layer`.

    Input shape: `(batch_size,)` or `(batch_size, 1)` strings; with `split=None` any: the last axis
        is a row of words.
    """

    def __init__(self, max_tokens=None, standardize="lower_and_strip_punctuation",
                 split="whitespace", ngrams=None, output_mode="int", output_sequence_length=None,
                 pad_to_max_tokens=False, vocabulary=None, idf_weights=None, sparse=False,
                 ragged=False, encoding="utf-8", name=None, vocabulary_size=None,
                 has_input_vocabulary=None, **kwargs):
        super().__init__(name=name, **kwargs)
        who = "TextVectorization"
        for argument, value, known in (("standardize", standardize, tuple(_STANDARDIZE)),
                                       ("split", split, ("whitespace", "character"))):
            if value is not None and not callable(value) and value not in known:
                raise ValueError(f"{who}: `{argument}` must be None, one of {known} or a function. "
                                 f"Received: {argument}={value!r}")
        output_mode = check_modes(who, output_mode, sparse,
                                  ("int", "one_hot", "multi_hot", "count", "tf_idf"))
        widths = tuple(range(1, ngrams + 1)) if isinstance(ngrams, int) else ngrams
        if widths is not None and (not isinstance(widths, tuple) or not all(
                isinstance(n, int) and n > 0 for n in widths)):
            raise ValueError(f"{who}: `ngrams` must be None, an integer > 0 or a tuple of such. "
                             f"Received: ngrams={ngrams!r}")
        length = output_sequence_length
        if length is not None and (output_mode != "int" or not isinstance(length, int)
                                   or length < 1):
            raise ValueError(f"{who}: `output_sequence_length` must be None or an integer > 0, and "
                             f"None unless output_mode is 'int'. Received: {length!r}, "
                             f"output_mode={output_mode!r}")
        if ragged and output_mode != "int":
            raise ValueError(f"{who}: `ragged=True` is for output_mode='int'. Received: "
                             f"output_mode={output_mode!r}")
        if output_mode == "one_hot" and split is not None:
            raise ValueError(f"{who}: output_mode='one_hot' needs rows of one length: pass "
                             f"split=None. Received: split={split!r}")
        self._standardize, self._split, self._ngrams_arg = standardize, split, ngrams
        self._ngrams, self._ragged, self._output_mode = widths, bool(ragged), output_mode
        self._output_sequence_length, self._encoding = length, encoding
        self._lookup_layer = StringLookup(
            max_tokens=max_tokens, vocabulary=vocabulary, idf_weights=idf_weights, mask_token="",
            pad_to_max_tokens=pad_to_max_tokens, output_mode=output_mode, encoding=encoding,
            vocabulary_size=vocabulary_size, has_input_vocabulary=has_input_vocabulary)

    # ---- the vocabulary: the lookup layer's ----

    @property
    def _has_input_vocabulary(self):
        return self._lookup_layer._has_input_vocabulary

    def adapt(self, data, batch_size=None, steps=None):
        """Finds the vocabulary: the most frequent tokens first, of equally many the larger first.

        Args:
            data: Array or list of text; or an iterable of such batches.
            batch_size: Of no effect, as in Keras: all of an array is read at once.
            steps: How many batches of an iterable are taken; `None`: all.
        """
        self._lookup_layer._check_adaptable()
        self.reset_state()
        for batch, whole in batches(data, steps, "TextVectorization.adapt"):
            batch = string_array(batch, f"TextVectorization layer '{self.name}': the data")
            self.update_state(batch.reshape(-1, 1) if whole and batch.ndim == 1 else batch)
        self.finalize_state()

    def update_state(self, data):
        """Counts the tokens of a batch."""
        self._lookup_layer._check_adaptable()
        tokens, row = self._tokens_of(data)
        self._lookup_layer._count_rows(tokens, row_numbers(row, len(row) - 1), len(row) - 1)

    def finalize_state(self):
        """Makes what was counted the vocabulary."""
        self._lookup_layer.finalize_state()
        self._lookup_layer = self._lookup_layer         # what was recorded is no longer so

    def reset_state(self):
        """Forgets what was counted."""
        self._lookup_layer.reset_state()

    def get_vocabulary(self, include_special_tokens=True):
        """The tokens as a list; see `StringLookup`."""
        return self._lookup_layer.get_vocabulary(include_special_tokens)

    def vocabulary_size(self):
        """How many tokens there are, padding and OOV included."""
        return self._lookup_layer.vocabulary_size()

    def set_vocabulary(self, vocabulary, idf_weights=None):
        """Sets the tokens, instead of `adapt`; see `StringLookup`."""
        self._lookup_layer.set_vocabulary(vocabulary, idf_weights)
        self._lookup_layer = self._lookup_layer

    # ---- text to tokens ----

    def _tokens_of(self, inputs):
        """Tokens, packed, and where each row begins: `(tokens, row)`."""
        what = f"TextVectorization layer '{self.name}'"
        packed = self._standardized(inputs, what)
        if self._split is None:
            shape = packed.shape or (1,)
            size = int(np.prod(shape[:-1]))
            row = np.arange(size + 1, dtype="int64") * shape[-1]
            tokens = packed
        else:
            if len(packed.shape) > 1 and (packed.shape[-1] != 1 or len(packed.shape) > 2):
                raise ValueError(f"{what}: to be split, text must have the shape (batch_size,) or "
                                 f"(batch_size, 1). Received: shape={packed.shape}")
            tokens, row = self._divided(packed, what)
        if self._ngrams is not None:
            row, parts = _core.ngram_text(*tokens.parts, row, np.array(self._ngrams, "int64"))
            tokens = Packed(*parts)
        return tokens, row

    def _standardized(self, inputs, what):
        if callable(self._standardize):
            return pack(self._standardize(unpack(inputs, what)), f"{what}: what `standardize` gave")
        packed = pack(inputs, what)
        if self._standardize is None:
            return packed
        return Packed(*_core.standardize_text(*packed.parts, _STANDARDIZE[self._standardize]),
                      packed.shape)

    def _divided(self, packed, what):
        if not callable(self._split):
            row, begin, end = _core.split_text(*packed.parts, self._split == "character")
            return Packed(packed.bytes, begin, end), row
        texts = np.empty(len(packed.begin), object)
        texts[:] = packed.tolist()
        rows = [list(words) for words in self._split(texts)]
        if len(rows) != len(texts):
            raise ValueError(f"{what}: `split` must give a list of words for each text. Received: "
                             f"{len(rows)} lists for {len(texts)} texts")
        words = np.empty(sum(map(len, rows)), object)
        words[:] = [word for part in rows for word in part]
        row = np.cumsum([0, *map(len, rows)], dtype="int64")
        return pack(words, f"{what}: what `split` gave"), row

    # ---- calling ----

    def call(self, inputs):
        if not holds_strings(inputs) and getattr(inputs, "size", 1):
            raise TypeError(f"TextVectorization layer '{self.name}': the input must hold strings. "
                            f"Received: {type(inputs).__name__} of dtype "
                            f"{getattr(inputs, 'dtype', None)}")
        shape = np.shape(inputs)
        tokens, row = self._tokens_of(inputs)
        ids = self._lookup_layer._find(tokens)
        if self._ragged:
            cut = self._output_sequence_length
            rows = np.empty(len(row) - 1, object)
            rows[:] = [part[:cut] for part in np.split(ids, row[1:-1])]
            return rows
        mode = self._output_mode
        width = self._output_sequence_length if mode == "int" else None
        if width is None:
            width = int(np.diff(row).max(initial=0))
        ids = _core.pad_rows(ids, row, width, 0 if mode == "int" else -1)
        if self._split is None:
            ids = ids.reshape(*shape[:-1], *ids.shape[1:] if shape else ())
        elif not shape:
            ids = ids[0]
        return self._lookup_layer._encoded(_core.convert(ids))

    def _depth(self):
        return self._lookup_layer._depth()

    @property
    def output_mode(self):
        """How tokens are coded."""
        return self._output_mode

    @property
    def compute_dtype(self):
        """The dtype of text."""
        return "string"

    @property
    def input_dtype(self):
        """The dtype of text."""
        return "string"

    def compute_output_shape(self, input_shape):
        shape = tuple(input_shape)
        if self._output_mode == "int":
            if self._split is None and self._ngrams is None:
                return (*shape[:-1], self._output_sequence_length or shape[-1])
            return (shape[0], self._output_sequence_length)
        if self._split is None:
            return self._lookup_layer.compute_output_shape(shape)
        return (shape[0], self._depth())

    def compute_output_spec(self, inputs):
        if self._ragged:
            raise ValueError(f"TextVectorization layer '{self.name}': `ragged=True` gives rows of "
                             "different lengths, which no model can go on with.")
        if inputs.dtype != "string":
            raise ValueError(f"TextVectorization layer '{self.name}': the input must be of dtype "
                             f"'string', as `Input(..., dtype='string')`. Received: dtype="
                             f"{inputs.dtype}")
        if self._split is None and len(inputs.shape) < 2 and (
                self._output_mode != "int" or self._output_sequence_length or self._ngrams):
            raise ValueError(f"TextVectorization layer '{self.name}': with split=None the last axis "
                             "is a row of words: expected a shape such as (batch_size, words). "
                             f"Received: shape={inputs.shape}")
        dtype = "int64" if self._output_mode == "int" else config.floatx()
        return KerasTensor(self.compute_output_shape(inputs.shape), dtype)

    # ---- files ----

    def get_config(self):
        lookup = self._lookup_layer
        return {**super().get_config(), "max_tokens": lookup.max_tokens,
                "standardize": self._standardize, "split": self._split, "ngrams": self._ngrams_arg,
                "output_mode": self._output_mode,
                "output_sequence_length": self._output_sequence_length,
                "pad_to_max_tokens": lookup.pad_to_max_tokens, "sparse": False,
                "ragged": self._ragged, "vocabulary": lookup._given.vocabulary,
                "idf_weights": lookup._given.idf_weights, "encoding": self._encoding,
                "vocabulary_size": self.vocabulary_size()}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The layer that `get_config` described."""
        from ..saving.object_registration import deserialize_keras_object

        config = dict(config)
        for key in ("standardize", "split"):
            if not isinstance(config.get(key), (str, type(None))):
                config[key] = deserialize_keras_object(config[key], custom_objects)
        if isinstance(config.get("ngrams"), list):
            config["ngrams"] = tuple(config["ngrams"])
        return cls(**config)

    def save_own_variables(self, store):
        """The weights of `"tf_idf"`."""
        self._lookup_layer.save_own_variables(store)

    def load_own_variables(self, store):
        """Reads them."""
        self._lookup_layer.load_own_variables(store)

    def save_assets(self, dir_path):
        """Writes the vocabulary, unless it is in the configuration."""
        self._lookup_layer.save_assets(dir_path)

    def load_assets(self, dir_path):
        """Reads the vocabulary."""
        self._lookup_layer.load_assets(dir_path)
        self._lookup_layer = self._lookup_layer

