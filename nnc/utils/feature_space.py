"""FeatureSpace: tables of numbers and categories, column by column, as one vector a row."""
import numpy as np

from .. import _core, layers, ops, tree
from .._core import Tensor
from ..layers.preprocessing import DataLayer
from ..naming import auto_name
from ..saving.object_registration import deserialize_keras_object, serialize_keras_object
from ..strings import holds_strings, string_array

_BATCH = 32         # values that `Discretization.adapt` takes at once, as Keras has it


class Cross:
    """Several features that are hashed together.

    Args:
        feature_names: Sequence of names.
        crossing_dim: How many different results.
        output_mode: `"int"` or `"one_hot"`.
    """

    def __init__(self, feature_names, crossing_dim, output_mode="one_hot"):
        if output_mode not in ("int", "one_hot"):
            raise ValueError("FeatureSpace.cross: `output_mode` must be 'int' or 'one_hot'. "
                             f"Received: output_mode={output_mode!r}")
        self.feature_names = tuple(feature_names)
        self.crossing_dim, self.output_mode = crossing_dim, output_mode

    @property
    def name(self):
        """The names, joined."""
        return "_X_".join(self.feature_names)

    def get_config(self):
        """The arguments of `__init__`."""
        return {"feature_names": self.feature_names, "crossing_dim": self.crossing_dim,
                "output_mode": self.output_mode}

    @classmethod
    def from_config(cls, config):
        """The object that `get_config` described."""
        return cls(**config)


class Feature:
    """A column: its dtype, the layer that prepares it, and what becomes of the result.

    Args:
        dtype: `"float32"`, `"int32"`, `"string"` or another.
        preprocessor: A layer.
        output_mode: `"float"`, `"int"` or `"one_hot"`.
    """

    def __init__(self, dtype, preprocessor, output_mode):
        if output_mode not in ("int", "one_hot", "float"):
            raise ValueError("FeatureSpace.feature: `output_mode` must be 'int', 'one_hot' or "
                             f"'float'. Received: output_mode={output_mode!r}")
        if isinstance(preprocessor, dict):
            preprocessor = deserialize_keras_object(preprocessor)
        self.dtype, self.preprocessor, self.output_mode = dtype, preprocessor, output_mode

    def get_config(self):
        """The arguments of `__init__`."""
        return {"dtype": self.dtype, "preprocessor": serialize_keras_object(self.preprocessor),
                "output_mode": self.output_mode}

    @classmethod
    def from_config(cls, config):
        """The object that `get_config` described."""
        return cls(**config)


class TFDConcat(DataLayer):
    """Arrays, one behind the other along an axis."""

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis
        self.autocast = False

    def call(self, xs):
        return ops.concatenate(xs, axis=self.axis)

    def get_config(self):
        return {**super().get_config(), "axis": self.axis}


class TFDIdentity(DataLayer):
    """The input."""

    def call(self, x):
        return x


class FeatureSpace(layers.Layer):
    """Prepares the columns of a table, and makes one vector of each row.

    Args:
        features: Dict of names of columns and what they are: a string such as
            `"float_normalized"`, or what the class methods of these names give: `float`,
            `float_normalized`, `float_rescaled`, `float_discretized`, `integer_categorical`,
            `string_categorical`, `integer_hashed`, `string_hashed`; or `feature` with a layer.
        output_mode: `"concat"`: one array; or `"dict"`: one for each column and cross.
        crosses: List of tuples of names, or of what `cross` gives: columns that are hashed together.
        crossing_dim: How many different results a cross has. Defaults to 32.
        hashing_dim: The same for `"integer_hashed"` and `"string_hashed"`. Defaults to 32.
        num_discretization_bins: Bins of `"float_discretized"`. Defaults to 32.
        name: Name.

    Call `adapt` once; then call it on dicts of columns, or build a model of `get_inputs()` and
    `get_encoded_features()`, which takes the table as it is.

    Example:

        space = nnc.utils.FeatureSpace({"age": "float_normalized", "town": "string_categorical"})
        space.adapt({"age": [20.0, 30.0], "town": ["Ulm", "Bonn"]})
        vectors = space({"age": [25.0], "town": ["Ulm"]})
    """

    @classmethod
    def cross(cls, feature_names, crossing_dim, output_mode="one_hot"):
        """Features that are hashed together; see `Cross`."""
        return Cross(feature_names, crossing_dim, output_mode=output_mode)

    @classmethod
    def feature(cls, dtype, preprocessor, output_mode):
        """A column with a layer of one's own; see `Feature`."""
        return Feature(dtype, preprocessor, output_mode)

    @classmethod
    def float(cls, name=None):
        """Numbers as they are."""
        name = name or auto_name("float")
        return Feature("float32", TFDIdentity(dtype="float32", name=f"{name}_preprocessor"),
                       "float")

    @classmethod
    def float_rescaled(cls, scale=1.0, offset=0.0, name=None):
        """`x * scale + offset`."""
        name = name or auto_name("float_rescaled")
        return Feature("float32", layers.Rescaling(scale, offset, name=f"{name}_preprocessor"),
                       "float")

    @classmethod
    def float_normalized(cls, name=None):
        """Numbers less their mean, over their standard deviation."""
        name = name or auto_name("float_normalized")
        return Feature("float32", layers.Normalization(axis=-1, name=f"{name}_preprocessor"),
                       "float")

    @classmethod
    def float_discretized(cls, num_bins, bin_boundaries=None, output_mode="one_hot", name=None):
        """Numbers in bins; see `Discretization`."""
        name = name or auto_name("float_discretized")
        return Feature("float32", layers.Discretization(
            num_bins=num_bins, bin_boundaries=bin_boundaries, name=f"{name}_preprocessor"),
            output_mode)

    @classmethod
    def integer_categorical(cls, max_tokens=None, num_oov_indices=1, output_mode="one_hot",
                            name=None):
        """Whole numbers by a vocabulary; see `IntegerLookup`."""
        name = name or auto_name("integer_categorical")
        return Feature("int32", layers.IntegerLookup(
            name=f"{name}_preprocessor", max_tokens=max_tokens, num_oov_indices=num_oov_indices),
            output_mode)

    @classmethod
    def string_categorical(cls, max_tokens=None, num_oov_indices=1, output_mode="one_hot",
                           name=None):
        """Strings by a vocabulary; see `StringLookup`."""
        name = name or auto_name("string_categorical")
        return Feature("string", layers.StringLookup(
            name=f"{name}_preprocessor", max_tokens=max_tokens, num_oov_indices=num_oov_indices),
            output_mode)

    @classmethod
    def string_hashed(cls, num_bins, output_mode="one_hot", name=None):
        """Strings by their hash; see `Hashing`."""
        name = name or auto_name("string_hashed")
        return Feature("string", layers.Hashing(name=f"{name}_preprocessor", num_bins=num_bins),
                       output_mode)

    @classmethod
    def integer_hashed(cls, num_bins, output_mode="one_hot", name=None):
        """Whole numbers by their hash; see `Hashing`."""
        name = name or auto_name("integer_hashed")
        return Feature("int32", layers.Hashing(name=f"{name}_preprocessor", num_bins=num_bins),
                       output_mode)

    def __init__(self, features, output_mode="concat", crosses=None, crossing_dim=32,
                 hashing_dim=32, num_discretization_bins=32, name=None):
        super().__init__(name=name)
        if not features:
            raise ValueError("FeatureSpace: `features` must not be empty. Received: "
                             f"features={features}")
        if output_mode not in ("dict", "concat"):
            raise ValueError("FeatureSpace: `output_mode` must be 'dict' or 'concat'. Received: "
                             f"output_mode={output_mode!r}")
        self.crossing_dim, self.hashing_dim = crossing_dim, hashing_dim
        self.num_discretization_bins, self.output_mode = num_discretization_bins, output_mode
        self.features = {key: self._standardize_feature(key, value)
                         for key, value in features.items()}
        self.crosses = [self._standardize_cross(cross) for cross in crosses or ()]
        self.crosses_by_name = {cross.name: cross for cross in self.crosses}
        self.inputs = {key: layers.Input(shape=(1,), dtype=value.dtype, name=key)
                       for key, value in self.features.items()}
        self.preprocessors = {key: value.preprocessor for key, value in self.features.items()}
        self.crossers = {cross.name: layers.HashedCrossing(cross.crossing_dim, name=cross.name)
                         for cross in self.crosses}
        self.encoded_features = self.concat = None
        self.one_hot_encoders = {}
        self._is_adapted = False

    def _standardize_feature(self, name, feature):
        if isinstance(feature, Feature):
            return feature
        if isinstance(feature, dict):
            return deserialize_keras_object(feature)
        with_size = {"float_discretized": self.num_discretization_bins,
                     "integer_hashed": self.hashing_dim, "string_hashed": self.hashing_dim}
        plain = ("float", "float_normalized", "float_rescaled", "integer_categorical",
                 "string_categorical")
        if feature in plain:
            return getattr(self, feature)(name=name)
        if feature in with_size:
            return getattr(self, feature)(with_size[feature], name=name)
        raise ValueError(f"FeatureSpace: feature {name!r} has an unknown type. Received: "
                         f"{feature!r}. Expected one of {[*plain, *with_size]}, or what the class "
                         "methods of these names give.")

    def _standardize_cross(self, cross):
        if isinstance(cross, dict):
            cross = deserialize_keras_object(cross)
        if not isinstance(cross, Cross):
            if not self.crossing_dim:
                raise ValueError("FeatureSpace: `crosses` need a `crossing_dim`. Received: "
                                 f"crossing_dim={self.crossing_dim}")
            cross = Cross(cross, self.crossing_dim)
        unknown = [name for name in cross.feature_names if name not in self.features]
        if unknown:
            raise ValueError("FeatureSpace: `crosses` must name features. Received: "
                             f"{cross.feature_names}, of which {unknown} are none")
        return cross

    # ---- adapt ----

    def _adaptable(self):
        """The names of features whose layers learn from data."""
        found = []
        for name, layer in self.preprocessors.items():
            given = getattr(layer, "input_mean", None) is not None or \
                getattr(layer, "_has_input_vocabulary", False) or \
                isinstance(layer, layers.Discretization) and layer.num_bins is None
            if hasattr(layer, "adapt") and not given:
                found.append(name)
        return found

    def adapt(self, dataset):
        """Lets the layers of the columns learn from data.

        Args:
            dataset: Dict of columns (arrays or lists), a table of pandas or polars; or an iterable
                of dicts: rows, or batches of them.

        Raises:
            ValueError: If a column is missing, or the data is none of these.
        """
        names = self._adaptable()
        columns = {name: _columns(dataset, name) for name in names} if _is_table(dataset) \
            else _batches(dataset, names)
        for name in names:
            layer, parts = self.preprocessors[name], columns[name]
            if isinstance(layer, layers.Discretization) and _is_table(dataset):
                values = parts[0]
                parts = [values[i:i + _BATCH] for i in range(0, len(values), _BATCH)]
            layer.adapt(iter(parts))
        self._is_adapted = True
        self.get_encoded_features()
        self.built = True

    def _check_adapted(self):
        if not self._is_adapted:
            names = self._adaptable()
            if names:
                raise ValueError(f"FeatureSpace '{self.name}': call `adapt` first; the features "
                                 f"{names} learn from data.")
            self._is_adapted = True

    # ---- what becomes of the columns ----

    def get_inputs(self):
        """The symbolic inputs: a dict of KerasTensors."""
        self.get_encoded_features()
        return self.inputs

    def get_encoded_features(self):
        """The symbolic output for `get_inputs()`: a KerasTensor, or a dict of them."""
        self._check_adapted()
        if self.encoded_features is None:
            self.encoded_features = self._encode(self.inputs)
        return self.encoded_features

    def _encode(self, columns):
        prepared = {name: self.preprocessors[name](columns[name]) for name in columns}
        crossed = {cross.name: self.crossers[cross.name](
            [prepared[name] for name in cross.feature_names]) for cross in self.crosses}
        made = {name: self._coded(name, value, self.features[name])
                for name, value in sorted(prepared.items())}
        made.update({name: self._coded(name, value, self.crosses_by_name[name])
                     for name, value in sorted(crossed.items())})
        if self.output_mode == "dict":
            return made
        if self.concat is None:
            self.concat = TFDConcat(axis=-1)
        return self.concat(list(made.values()))

    def _coded(self, name, value, spec):
        """A prepared column by its output mode; refuses what has no code or cannot be joined."""
        dtype = tree.flatten(value)[0].dtype
        if spec.output_mode == "one_hot":
            if not dtype.startswith("int"):
                raise ValueError(f"FeatureSpace: feature {name!r} has output_mode='one_hot', so its "
                                 f"layer must give whole numbers. Received: dtype={dtype}")
            if name not in self.one_hot_encoders:
                self.one_hot_encoders = {**self.one_hot_encoders, name: layers.CategoryEncoding(
                    num_tokens=self._cardinality(name), output_mode="multi_hot")}
            value = self.one_hot_encoders[name](value)
            dtype = value.dtype
        if self.output_mode == "concat" and not dtype.startswith(("float", "bfloat")):
            raise ValueError(f"FeatureSpace: feature {name!r} cannot be joined with the others: it "
                             f"has dtype {dtype}. Use output_mode='one_hot' for it, or "
                             "output_mode='dict' for all.")
        return value

    def _cardinality(self, name):
        layer = self.preprocessors.get(name) or self.crossers[name]
        if isinstance(layer, (layers.IntegerLookup, layers.StringLookup)):
            return layer.vocabulary_size()
        if isinstance(layer, layers.CategoryEncoding):
            return layer.num_tokens
        if isinstance(layer, layers.Discretization):
            return layer._depth()
        if isinstance(layer, (layers.HashedCrossing, layers.Hashing)):
            return layer.num_bins
        raise ValueError(f"FeatureSpace: feature {name!r} has output_mode='one_hot', but how many "
                         f"categories a {type(layer).__name__} gives is not known. Use "
                         "output_mode='int'.")

    def __call__(self, data):
        """The vectors of rows.

        Args:
            data: Dict of columns: `(n,)` or `(n, 1)`; or of single values, which give one vector.
        """
        self.get_encoded_features()
        if not isinstance(data, dict):
            raise ValueError(f"FeatureSpace '{self.name}': the input must be a dict of columns. "
                             f"Received: {type(data).__name__}")
        missing = [name for name in self.features if name not in data]
        if missing:
            raise ValueError(f"FeatureSpace '{self.name}': the feature {missing[0]!r} is missing. "
                             f"Received: {sorted(data)}")
        columns = {name: _array(data[name], name) for name in self.features}
        single = any(value.ndim == 0 for value in columns.values())
        made = self._encode({
            name: _core.convert(column, self.features[name].dtype)
            if column.dtype.kind not in "USO" else column
            for name, column in ((n, _as_column(c)) for n, c in columns.items())})
        return tree.map_leaves(lambda leaf: ops.squeeze(leaf, 0) if single and leaf.shape[0] == 1
                               else leaf, made)

    # ---- files ----

    def get_config(self):
        return {"features": serialize_keras_object(self.features), "output_mode": self.output_mode,
                "crosses": serialize_keras_object(self.crosses),
                "crossing_dim": self.crossing_dim, "hashing_dim": self.hashing_dim,
                "num_discretization_bins": self.num_discretization_bins}

    @classmethod
    def from_config(cls, config):
        """The object that `get_config` described."""
        return cls(**config)

    def get_build_config(self):
        """What the layers of the columns were built with."""
        return {name: feature.preprocessor.get_build_config()
                for name, feature in self.features.items()}

    def build_from_config(self, config):
        """Builds them."""
        for name, part in config.items():
            layer = self.features[name].preprocessor
            if not layer.built and part:
                layer.build_from_config(part)
        self._is_adapted = True

    def save(self, filepath):
        """Writes a `.keras` file, which `nnc.saving.load_model` reads."""
        from ..saving.api import save_model

        save_model(self, filepath)

    def save_own_variables(self, store):
        """Nothing: the layers save theirs."""

    def load_own_variables(self, store):
        """Nothing."""


# ---- tables --------------------------------------------------------------------------------------

def _is_table(data):
    return isinstance(data, dict) or hasattr(data, "columns") and hasattr(data, "to_numpy")


def _array(value, name):
    """A column, or one value, as an array."""
    if isinstance(value, (Tensor, _core.Variable)):
        return value.numpy()
    if holds_strings(value):
        return string_array(value, f"FeatureSpace: feature {name!r}")
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"FeatureSpace: feature {name!r} must hold numbers or strings. Received: an "
                        f"array of dtype {array.dtype}")
    return array


def _as_column(array):
    """An array of rank 0 or 1 as one of rank 2."""
    return array.reshape(-1, 1) if array.ndim < 2 else array


def _columns(table, name):
    """A column as a list with one array."""
    known = list(table) if isinstance(table, dict) else list(table.columns)
    if name not in known:
        raise ValueError(f"FeatureSpace.adapt: the data has no column {name!r}. Received: {known}")
    return [_as_column(_array(table[name], name))]


def _batches(dataset, names):
    """Name of each column -> list of arrays, of an iterable of dicts that is read once."""
    if not hasattr(dataset, "__iter__"):
        raise ValueError("FeatureSpace.adapt: the data must be a dict of columns, a table, or an "
                         f"iterable of dicts. Received: {type(dataset).__name__}")
    found, single = {name: [] for name in names}, False
    for batch in dataset:
        if not isinstance(batch, dict):
            raise ValueError("FeatureSpace.adapt: batches must be dicts of columns. Received: "
                             f"{type(batch).__name__}")
        for name in names:
            column = _array(_columns_of(batch, name), name)
            single = single or column.ndim == 0
            found[name].append(_as_column(column))
    if single:
        found = {name: [np.concatenate(parts[i:i + _BATCH]) for i in range(
            0, len(parts), _BATCH)] for name, parts in found.items()}
    return found


def _columns_of(batch, name):
    if name not in batch:
        raise ValueError(f"FeatureSpace.adapt: a batch has no column {name!r}. Received: "
                         f"{sorted(batch)}")
    value = batch[name]
    return value.numpy() if hasattr(value, "numpy") and not isinstance(value, Tensor) else value
