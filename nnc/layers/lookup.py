"""Layers that turn categories into numbers by a vocabulary: StringLookup, IntegerLookup.

The places of a result: 0 for the mask token (if there is one and the output is whole numbers), then
`num_oov_indices` for tokens that are not in the vocabulary, then the vocabulary. Strings are looked
up on the host; whole numbers by ordinary ops, so they may come from other layers.
"""
import os

import numpy as np

from .. import _core, config, ops
from .._core import Tensor
from ..ops import host
from ..strings import pack
from .string_layer import MODES, CategoryLayer, batches, check_modes, check_salt, encode
from .vocabulary import (IntegerCounter, IntegerVocabulary, StringCounter, StringVocabulary,
                         repeated)


class _Given:
    """What was passed for a configuration: not looked through for layers."""

    def __init__(self, vocabulary, idf_weights):
        self.vocabulary, self.idf_weights = _plain(vocabulary), _plain(idf_weights)


def _plain(values):
    """An array, tensor or sequence as a list; a path and `None` as `None`."""
    if values is None or isinstance(values, str):
        return None
    values = values.numpy() if isinstance(values, (Tensor, _core.Variable)) else values
    values = np.asarray(values, object if isinstance(values, (list, tuple)) else None).tolist()
    return [v.decode("utf-8") if isinstance(v, bytes) else v for v in values]


class IndexLookup(CategoryLayer):
    """What `StringLookup` and `IntegerLookup` have in common; see there for the arguments."""

    _vocabulary_dtype = "string"

    def __init__(self, max_tokens, num_oov_indices, mask_token, oov_token, vocabulary=None,
                 idf_weights=None, invert=False, output_mode="int", sparse=False,
                 pad_to_max_tokens=False, oov_method="floormod", salt=None, name=None,
                 vocabulary_size=None, has_input_vocabulary=None, trainable=True, dtype=None,
                 **kwargs):
        super().__init__(name=name, **kwargs)
        who = type(self).__name__
        if max_tokens is not None and max_tokens <= 1:
            raise ValueError(f"{who}: `max_tokens` must be greater than 1. Received: "
                             f"max_tokens={max_tokens}")
        if pad_to_max_tokens and max_tokens is None:
            raise ValueError(f"{who}: `pad_to_max_tokens` needs `max_tokens`. Received: "
                             "max_tokens=None")
        if num_oov_indices < 0:
            raise ValueError(f"{who}: `num_oov_indices` must be >= 0. Received: "
                             f"num_oov_indices={num_oov_indices}")
        if oov_method not in ("floormod", "farmhash"):
            raise ValueError(f"{who}: `oov_method` must be 'floormod' or 'farmhash'. Received: "
                             f"oov_method={oov_method!r}")
        output_mode = check_modes(who, output_mode, sparse, (*MODES, "tf_idf"))
        if invert and output_mode != "int":
            raise ValueError(f"{who}: `invert` needs output_mode='int'. Received: "
                             f"output_mode={output_mode!r}")
        if idf_weights is not None and output_mode != "tf_idf":
            raise ValueError(f"{who}: `idf_weights` is for output_mode='tf_idf'. Received: "
                             f"output_mode={output_mode!r}")
        if salt is not None and self._vocabulary_dtype != "string" and oov_method != "farmhash":
            raise ValueError(f"{who}: `salt` needs oov_method='farmhash'. Received: "
                             f"oov_method={oov_method!r}")
        self.invert, self.max_tokens, self.num_oov_indices = bool(invert), max_tokens, \
            num_oov_indices
        self.mask_token, self.oov_token, self.output_mode = mask_token, oov_token, output_mode
        self.sparse, self.pad_to_max_tokens = False, bool(pad_to_max_tokens)
        self.oov_method, self.salt = oov_method, check_salt(who, salt)
        self._frozen_vocab_size = vocabulary_size
        self._given = _Given(vocabulary, idf_weights)
        self._has_input_vocabulary = vocabulary is not None if has_input_vocabulary is None \
            else has_input_vocabulary
        self._idf = None
        self._vocabulary, self._counter = self._empty()
        if output_mode == "tf_idf" and vocabulary is not None and idf_weights is None:
            raise ValueError(f"{who}: with `vocabulary` and output_mode='tf_idf', `idf_weights` "
                             "must be passed too.")
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)

    # ---- the vocabulary ----

    @property
    def input_vocabulary(self):
        """The vocabulary that was passed to `__init__`, as a list, or `None`."""
        return self._given.vocabulary

    @property
    def vocabulary_dtype(self):
        """The dtype of tokens."""
        return self._vocabulary_dtype

    @property
    def idf_weights(self):
        """The weights of output_mode `"tf_idf"`, an array, or `None`."""
        return self._idf

    def _oov_start(self):
        return int(self.mask_token is not None and self.output_mode == "int")

    def _token_start(self):
        return self._oov_start() + self.num_oov_indices

    def get_vocabulary(self, include_special_tokens=True):
        """The tokens as a list.

        Args:
            include_special_tokens: Whether those of masks and of unknown tokens come first, so that
                a token's place in the list is what the layer gives for it.
        """
        if not include_special_tokens:
            return list(self._vocabulary.tokens)
        mask = [self.mask_token] * self._oov_start()
        return [*mask, *[self.oov_token] * self.num_oov_indices, *self._vocabulary.tokens]

    def vocabulary_size(self):
        """How many tokens there are, those of masks and unknown tokens included."""
        return len(self._vocabulary) + self._token_start()

    def set_vocabulary(self, vocabulary, idf_weights=None):
        """Sets the tokens, instead of `adapt`.

        Args:
            vocabulary: List, array or tensor of tokens, with or without those of masks and unknown
                tokens at its beginning; or the path of a text file with a token a line.
            idf_weights: The weight of each, for output_mode `"tf_idf"`.

        Raises:
            ValueError: If tokens repeat, are reserved, are too many, or weights do not fit.
        """
        who = f"{type(self).__name__} layer '{self.name}'"
        if (self.output_mode == "tf_idf") != (idf_weights is not None):
            raise ValueError(f"{who}: `idf_weights` must be passed if, and only if, output_mode is "
                             f"'tf_idf'. Received: output_mode={self.output_mode!r}")
        if isinstance(vocabulary, str):
            vocabulary = self._read(vocabulary, who)
        vocabulary, weights = _plain(vocabulary), _plain(idf_weights)
        if not vocabulary:
            raise ValueError(f"{who}: the vocabulary must not be empty. Received: "
                             f"vocabulary={vocabulary}")
        specials = [self.mask_token] * self._oov_start() + [self.oov_token] * self.num_oov_indices
        special = vocabulary[:len(specials)] == specials
        tokens = vocabulary[len(specials):] if special else vocabulary
        self._check_tokens(tokens, specials, who)
        size = len(tokens) + len(specials)
        if weights is not None:
            weights = self._padded(weights, vocabulary, len(specials) if not special else 0, who)
        self._take(tokens, size, weights)

    def _read(self, path, who):
        if self.output_mode == "tf_idf":
            raise ValueError(f"{who}: with output_mode='tf_idf' the vocabulary cannot be a file. "
                             f"Received: vocabulary={path!r}")
        if not os.path.exists(path):
            raise ValueError(f"{who}: the vocabulary file {path!r} does not exist.")
        with open(path, encoding="utf-8") as f:
            lines = f.read().split("\n")
        return lines[:-1] if lines and lines[-1] == "" else lines

    def _check_tokens(self, tokens, specials, who):
        twice = repeated(tokens)
        if twice:
            raise ValueError(f"{who}: the vocabulary has tokens more than once: {twice[:10]}")
        reserved = [("mask", self.mask_token)] + [("OOV", self.oov_token)] * self.invert
        for kind, token in reserved:
            if token is not None and token in tokens:
                raise ValueError(f"{who}: the vocabulary holds the {kind} token {token!r} at "
                                 f"{tokens.index(token)}. Leave mask and OOV tokens out, or begin "
                                 f"with precisely {specials}.")
        size = len(tokens) + len(specials)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ValueError(f"{who}: the vocabulary is larger than `max_tokens`. Received: {size} "
                             f"tokens with those of masks and OOV, max_tokens={self.max_tokens}")

    def _padded(self, weights, vocabulary, front, who):
        """The weights of all indices: the mean for unknown tokens, 0 up to `max_tokens`."""
        if len(weights) != len(vocabulary):
            raise ValueError(f"{who}: `idf_weights` must be as long as the vocabulary. Received: "
                             f"{len(weights)} weights, {len(vocabulary)} tokens")
        weights = np.asarray(weights, "float64")
        if weights.ndim != 1:
            raise ValueError(f"{who}: `idf_weights` must have one axis. Received: "
                             f"shape={weights.shape}")
        return np.concatenate([np.full(front, weights.mean()), weights])

    def _take(self, tokens, size, weights=None):
        """Makes it the vocabulary."""
        if self.output_mode != "int" and not self.pad_to_max_tokens and \
                self._frozen_vocab_size not in (None, size):
            raise RuntimeError(
                f"{type(self).__name__} layer '{self.name}': with output_mode={self.output_mode!r} "
                "and pad_to_max_tokens=False the vocabulary's size cannot change: it was "
                f"{self._frozen_vocab_size}, the new one is {size}.")
        self._vocabulary = type(self._vocabulary)(tokens, self.mask_token)
        self._frozen_vocab_size = size
        if weights is not None:
            missing = self.max_tokens - len(weights) if self.pad_to_max_tokens else 0
            self._idf = np.concatenate([weights, np.zeros(missing)]).astype(config.floatx())

    def _depth(self):
        """How many codes there are."""
        depth = self.max_tokens if self.pad_to_max_tokens else self._frozen_vocab_size
        if depth is None:
            raise RuntimeError(
                f"{type(self).__name__} layer '{self.name}': with output_mode={self.output_mode!r} "
                "and pad_to_max_tokens=False the vocabulary must be there before the layer is "
                "called: pass `vocabulary` or call `adapt`.")
        return depth

    # ---- adapt ----

    def adapt(self, data, steps=None):
        """Finds the vocabulary: the most frequent tokens first, of equally many the larger first.

        Args:
            data: Array, list or tensor of tokens; or an iterable of such batches.
            steps: How many batches of an iterable are taken; `None`: all.

        Raises:
            ValueError: If the layer was given a vocabulary when it was made.
        """
        self._check_adaptable()
        self.reset_state()
        for batch, whole in batches(data, steps, f"{type(self).__name__}.adapt"):
            batch = self._tokens(batch)
            if whole and len(batch.shape) == 1:
                batch = self._reshaped(batch, (*batch.shape, 1))
            self._count(batch)
        self.finalize_state()

    def _check_adaptable(self):
        if self._has_input_vocabulary:
            raise ValueError(f"{type(self).__name__} layer '{self.name}': `adapt` is not possible "
                             "where `vocabulary` was passed.")

    def update_state(self, data):
        """Counts the tokens of a batch."""
        self._check_adaptable()
        self._count(self._tokens(data))

    def _count(self, batch):
        shape = batch.shape if len(batch.shape) > 1 else (1, int(np.prod(batch.shape)))
        row = int(np.prod(shape[1:]))
        self._count_rows(batch, np.repeat(np.arange(shape[0]), row), shape[0])

    def _count_rows(self, tokens, row_of, rows):
        """Counts tokens of which the rows are known."""
        self._counter.add(self._one_axis(tokens), row_of, rows, self.output_mode == "tf_idf")

    def finalize_state(self):
        """Makes what was counted the vocabulary."""
        counter, (_, self._counter) = self._counter, self._empty()
        if self._has_input_vocabulary or not counter.rows:
            return
        tokens, documents = counter.result({self.mask_token, self.oov_token})
        start = self._token_start()
        if self.max_tokens is not None:
            most = max(self.max_tokens - start, 0)
            tokens, documents = tokens[:most], documents[:most]
        weights = None
        if self.output_mode == "tf_idf":
            weights = np.log(1 + counter.rows / (1 + documents)).astype(config.floatx())
            mean = weights.mean(dtype=weights.dtype) if len(weights) else 0
            weights = np.concatenate([np.full(start, mean, weights.dtype), weights])
        self._take(tokens, len(tokens) + start, weights)

    def reset_state(self):
        """Forgets what was counted."""
        _, self._counter = self._empty()

    # ---- calling ----

    def call(self, inputs):
        if self.invert:
            return self._inverted(inputs)
        return self._encoded(self._indices(inputs))

    def _encoded(self, ids):
        """The output for a tensor of indices; -1: no token."""
        if self.output_mode == "int":
            return ids
        mode = "count" if self.output_mode == "tf_idf" else self.output_mode
        codes = encode(ids, mode, self._depth(), self._float_dtype())
        if self.output_mode == "tf_idf":
            if self._idf is None:
                raise ValueError(f"{type(self).__name__} layer '{self.name}': output_mode='tf_idf' "
                                 "needs weights: call `adapt` or `set_vocabulary` first.")
            codes = ops.multiply(codes, self._idf)
        return codes

    def _mask_index(self):
        return 0 if self.output_mode == "int" else -1

    def _unknown(self, example):
        raise ValueError(f"{type(self).__name__} layer '{self.name}': with num_oov_indices=0 all "
                         f"inputs must be in the vocabulary. Received: {example}")

    def _float_dtype(self):
        return config.floatx()

    @property
    def compute_dtype(self):
        """The dtype of tokens."""
        return self._vocabulary_dtype

    # ---- files ----

    def get_build_config(self):
        """Nothing: shapes do not matter."""
        return {}

    def build_from_config(self, config):
        """Nothing."""

    def get_config(self):
        return {**super().get_config(), "invert": self.invert, "max_tokens": self.max_tokens,
                "num_oov_indices": self.num_oov_indices, "oov_token": self.oov_token,
                "mask_token": self.mask_token, "output_mode": self.output_mode, "sparse": False,
                "pad_to_max_tokens": self.pad_to_max_tokens,
                "idf_weights": self._given.idf_weights, "vocabulary": self._given.vocabulary,
                "vocabulary_size": self._frozen_vocab_size, "oov_method": self.oov_method,
                "salt": self.salt}

    def save_own_variables(self, store):
        """The weights of `"tf_idf"`."""
        if self.output_mode == "tf_idf" and self._idf is not None:
            store["idf_weights"] = self._idf

    def load_own_variables(self, store):
        """Reads them; the vocabulary comes with the assets."""
        if self.output_mode == "tf_idf":
            self._idf = np.asarray(store["idf_weights"], config.floatx())

    def save_assets(self, dir_path):
        """Writes the vocabulary, unless it is in the configuration: a token a line."""
        if self._given.vocabulary is not None:
            return
        tokens = [str(token) for token in self.get_vocabulary()]
        broken = next((token for token in tokens if len(token.splitlines()) > 1
                       or token.endswith(("\n", "\r"))), None)
        if broken is not None:
            raise ValueError(f"{type(self).__name__} layer '{self.name}': the token {broken!r} "
                             "holds the end of a line, so the vocabulary cannot be written as "
                             "lines. Pass it as `vocabulary` instead.")
        with open(os.path.join(dir_path, "vocabulary.txt"), "w", encoding="utf-8",
                  newline="\n") as f:
            f.write("\n".join(tokens))

    def load_assets(self, dir_path):
        """Reads the vocabulary."""
        if self._given.vocabulary is not None:
            return
        with open(os.path.join(dir_path, "vocabulary.txt"), encoding="utf-8") as f:
            lines = f.read().splitlines()
        while lines and lines[-1] == "":
            lines.pop()
        tokens = [self._parsed(line) for line in lines]
        if tokens:
            self.set_vocabulary(tokens, None if self._idf is None else self._idf[:len(tokens)])


class StringLookup(IndexLookup):
    """Strings as the places they have in a vocabulary.

    Args:
        max_tokens: The most tokens, those of masks and OOV included; `None`: no limit.
        num_oov_indices: How many places there are for strings that are not in the vocabulary (OOV):
            0, an error; 1, all have the same; more, by their hash. Defaults to 1.
        mask_token: The string that stands for nothing: place 0, or no code. Defaults to `None`.
        oov_token: What `invert` gives for a place of none. Defaults to `"[UNK]"`.
        vocabulary: List, array or tensor of strings, or the path of a text file with one a line;
            `None`: `adapt` finds it.
        idf_weights: The weight of each, for output_mode `"tf_idf"`.
        invert: Whether places become strings instead: an array of str comes out.
        output_mode: `"int"`, `"one_hot"`, `"multi_hot"`, `"count"` or `"tf_idf"` (the count times
            the weight). All but the first give `floatx()` numbers.
        pad_to_max_tokens: Whether codes have `max_tokens` places, however many tokens there are.
        sparse: Must be `False`: all tensors are dense.
        encoding: Must be `"utf-8"`.
        name: Name.
        salt: One or two integers: OOV strings are hashed by SipHash with them, not by FarmHash.
        **kwargs: See `Layer`.

    The input is an array (str, bytes, objects) or a list of strings, or a KerasTensor of dtype
    `"string"`; whole numbers with `invert`, which works on values only, not within a model.
    """

    _vocabulary_dtype = "string"

    def __init__(self, max_tokens=None, num_oov_indices=1, mask_token=None, oov_token="[UNK]",
                 vocabulary=None, idf_weights=None, invert=False, output_mode="int",
                 pad_to_max_tokens=False, sparse=False, encoding="utf-8", name=None, salt=None,
                 **kwargs):
        if str(encoding).lower().replace("_", "-") not in ("utf-8", "utf8"):
            raise ValueError("StringLookup: `encoding` must be 'utf-8': decode other bytes first. "
                             f"Received: encoding={encoding!r}")
        super().__init__(max_tokens, num_oov_indices, mask_token, oov_token, vocabulary,
                         idf_weights, invert, output_mode, sparse, pad_to_max_tokens, salt=salt,
                         name=name, **kwargs)
        self.encoding = encoding

    def _empty(self):
        return StringVocabulary((), self.mask_token), StringCounter()

    def _tokens(self, data):
        return pack(data, f"StringLookup layer '{self.name}'")

    def _reshaped(self, packed, shape):
        packed.shape = shape
        return packed

    def _one_axis(self, packed):
        return packed

    def _parsed(self, line):
        return line

    def _indices(self, inputs):
        packed = inputs if hasattr(inputs, "parts") else self._strings(inputs)
        return _core.convert(self._find(packed).reshape(packed.shape))

    def _strings(self, inputs):
        if isinstance(inputs, (Tensor, _core.Variable)):
            raise TypeError(f"StringLookup layer '{self.name}': the input must hold strings. "
                            f"Received: a tensor of dtype {inputs.dtype}. Numbers that other "
                            "layers compute are no strings; IntegerLookup takes them.")
        return self._tokens(inputs)

    def _find(self, packed):
        """The index of each string; -1 for masks that leave no code."""
        places = self._vocabulary.find(packed)
        unknown = places < 0
        masked = None if self.mask_token is None else places == len(self._vocabulary)
        ids = places + self._token_start()
        if unknown.any():
            ids[unknown] = self._oov_start() + self._oov(packed, unknown)
        if masked is not None:
            ids[masked] = self._mask_index()
        return ids

    def _oov(self, packed, unknown):
        """The places of strings that are not in the vocabulary, among those for them."""
        if self.num_oov_indices == 0:
            at = int(np.flatnonzero(unknown)[0])
            self._unknown(repr(packed.bytes[packed.begin[at]:packed.end[at]].tobytes()))
        if self.num_oov_indices == 1:
            return 0
        return _core.hash_strings(packed.bytes, packed.begin[unknown], packed.end[unknown],
                                  self.num_oov_indices, self.salt)

    def _inverted(self, inputs):
        """Strings of places: an array of str."""
        ids = inputs
        if isinstance(ids, (Tensor, _core.Variable)):
            ids = ids.numpy()
        ids = np.asarray(ids)
        if ids.dtype.kind not in "iuf":
            raise TypeError(f"StringLookup layer '{self.name}': with `invert` the input must hold "
                            f"whole numbers. Received: dtype={ids.dtype}")
        size = self.vocabulary_size()
        words = np.array([*self.get_vocabulary(), self.oov_token], object)
        ids = ids.astype("int64")
        return words[np.where((ids < 0) | (ids >= size), size, ids)]

    def compute_output_spec(self, inputs):
        if self.invert:
            raise ValueError(f"StringLookup layer '{self.name}': `invert` gives strings, which no "
                             "model can go on with. Call it on what `predict` returns.")
        if inputs.dtype != "string":
            raise ValueError(f"StringLookup layer '{self.name}': the input must be of dtype "
                             f"'string', as `Input(..., dtype='string')`. Received: dtype="
                             f"{inputs.dtype}")
        return super().compute_output_spec(inputs)

    @property
    def input_dtype(self):
        """The dtype of inputs."""
        return "int64" if self.invert else "string"

    def get_config(self):
        return {**super().get_config(), "encoding": self.encoding}


class IntegerLookup(IndexLookup):
    """Whole numbers as the places they have in a vocabulary.

    Args:
        max_tokens, num_oov_indices, mask_token, idf_weights, invert, output_mode, sparse,
            pad_to_max_tokens, name: See `StringLookup`. With more than one, `num_oov_indices`
            unknown numbers are told apart as `oov_method` says.
        oov_token: What `invert` gives for a place of no number. Defaults to `-1`.
        vocabulary: List, array or tensor of whole numbers, or the path of a text file with one a
            line; `None`: `adapt` finds it.
        vocabulary_dtype: Must be `"int64"`.
        oov_method: `"floormod"`, the remainder, or `"farmhash"`, the hash of the digits.
        salt: With `"farmhash"`: see `StringLookup`.
        **kwargs: See `Layer`.
    """

    _vocabulary_dtype = "int64"
    _takes_strings = False

    def __init__(self, max_tokens=None, num_oov_indices=1, mask_token=None, oov_token=-1,
                 vocabulary=None, vocabulary_dtype="int64", idf_weights=None, invert=False,
                 output_mode="int", sparse=False, pad_to_max_tokens=False, oov_method="floormod",
                 salt=None, name=None, **kwargs):
        if vocabulary_dtype != "int64":
            raise ValueError("IntegerLookup: `vocabulary_dtype` must be 'int64'. Received: "
                             f"vocabulary_dtype={vocabulary_dtype!r}")
        if isinstance(vocabulary, (list, tuple)):
            vocabulary = [int(value) for value in vocabulary]
        super().__init__(max_tokens, num_oov_indices, mask_token, oov_token, vocabulary,
                         idf_weights, invert, output_mode, sparse, pad_to_max_tokens, oov_method,
                         salt, name, **kwargs)

    def _empty(self):
        return IntegerVocabulary(), IntegerCounter()

    def _tokens(self, data):
        value = data.numpy() if isinstance(data, (Tensor, _core.Variable)) else np.asarray(data)
        if value.dtype.kind not in "biuf":
            raise TypeError(f"IntegerLookup layer '{self.name}': expected whole numbers. Received: "
                            f"an array of dtype {value.dtype}")
        return value.astype("int64")

    def _reshaped(self, values, shape):
        return values.reshape(shape)

    def _one_axis(self, values):
        return values.reshape(-1)

    def _parsed(self, line):
        return int(line)

    def _read(self, path, who):
        return [int(line) for line in super()._read(path, who)]

    def _indices(self, inputs):
        x = self._integers(inputs)
        places = self._vocabulary.find(x)
        unknown = ops.less(places, 0)
        if self.mask_token is not None:
            masked = ops.equal(x, int(self.mask_token))
            unknown = ops.logical_and(unknown, ops.logical_not(masked))
        ids = ops.where(unknown, ops.add(self._oov(x, unknown), self._oov_start()),
                        ops.add(places, self._token_start()))
        return ids if self.mask_token is None else ops.where(masked, self._mask_index(), ids)

    def _oov(self, x, unknown):
        """The places of numbers that are not in the vocabulary, among those for them."""
        if self.num_oov_indices == 0:
            if isinstance(x, Tensor) and x.symbolic or _core.current_graph() is not None:
                return host.call("refuse_unknown", tuple(x.shape), "int64", x, unknown)
            if unknown.numpy().any():
                self._unknown(str(int(x.numpy()[unknown.numpy()].flat[0])))
            return ops.zeros_like(x)
        if self.num_oov_indices == 1:
            return ops.zeros_like(x)
        if self.oov_method == "floormod":
            return ops.mod(x, self.num_oov_indices)
        return hashed_integers(x, self.num_oov_indices, self.salt)

    def _inverted(self, inputs):
        x = self._integers(inputs)
        size = self.vocabulary_size()
        values = [self.oov_token if v is None else v for v in self.get_vocabulary()]
        values = np.array([*values, self.oov_token], "int64")
        inside = ops.logical_and(ops.greater_equal(x, 0), ops.less(x, size))
        return ops.take(values, ops.where(inside, x, size))

    def get_config(self):
        given = self._given.vocabulary
        return {**super().get_config(), "vocabulary_dtype": "int64",
                "vocabulary": None if given is None else [int(v) for v in given]}


def hashed_integers(x, bins, salt):
    """The hash of the digits of each whole number, modulo `bins`; in a recording too."""
    key = np.array([0, 0] if salt is None else salt, "int64")
    return host.call("hash", tuple(x.shape), "int64", x, key, bins, int(salt is not None))

