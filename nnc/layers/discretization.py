"""Discretization: the number of the bin that each value falls into."""
import numpy as np

from .. import config, ops
from ..ops.core import cast_array
from .arrays import numeric_array
from .keras_tensor import KerasTensor
from .preprocessing import DataLayer
from .string_layer import MODES, batches, check_modes, encode, encoded_shape


class Discretization(DataLayer):
    """The number of the bin that each value falls into.

    Args:
        bin_boundaries: List of ascending numbers: `[0., 1.]` makes the bins `(-inf, 0.)`,
            `[0., 1.)` and `[1., inf)`.
        num_bins: Instead: how many bins `adapt` makes, each with about as many values.
        epsilon: How exactly `adapt` finds them: the share of the values that a boundary may be off.
            Defaults to `0.01`.
        output_mode: `"int"`, `"one_hot"`, `"multi_hot"` or `"count"`.
        sparse: Must be `False`: all tensors are dense.
        dtype: The dtype of codes; `"int"` gives `"int32"`.
        name: Name.
    """

    def __init__(self, bin_boundaries=None, num_bins=None, epsilon=0.01, output_mode="int",
                 sparse=False, dtype=None, name=None):
        super().__init__(name=name, dtype=dtype)
        self.output_mode = check_modes("Discretization", output_mode, sparse, MODES)
        if num_bins is not None and (not isinstance(num_bins, int) or num_bins < 0):
            raise ValueError("Discretization: `num_bins` must be an integer >= 0. Received: "
                             f"num_bins={num_bins!r}")
        if (num_bins is None) == (bin_boundaries is None):
            raise ValueError("Discretization: exactly one of `num_bins` and `bin_boundaries` must "
                             f"be passed. Received: num_bins={num_bins}, "
                             f"bin_boundaries={bin_boundaries}")
        if not isinstance(epsilon, (int, float)) or not 0 < epsilon < 1:
            raise ValueError("Discretization: `epsilon` must be a number between 0 and 1. "
                             f"Received: epsilon={epsilon!r}")
        self.bin_boundaries = None if bin_boundaries is None else \
            [float(value) for value in np.asarray(bin_boundaries).reshape(-1)]
        self.num_bins, self.epsilon, self.sparse = num_bins, epsilon, False
        self.summary = None if bin_boundaries is not None else np.zeros((2, 0), "float32")
        self.autocast = False
        self._build_at_init()

    @property
    def input_dtype(self):
        """The dtype that inputs are converted to."""
        return config.floatx()

    @property
    def output_dtype(self):
        """The dtype of the output."""
        return "int32" if self.output_mode == "int" else self.compute_dtype

    # ---- adapt ----

    def adapt(self, data, steps=None):
        """Finds boundaries between which there are about equally many values.

        Args:
            data: An array; or an iterable of batches, a list among them.
            steps: How many batches of an iterable are taken; `None`: all.
        """
        if self.num_bins is None:
            raise ValueError(f"Discretization layer '{self.name}': `adapt` is not possible where "
                             "`bin_boundaries` was passed.")
        self.reset_state()
        if isinstance(data, (list, tuple)):
            data = iter(data)
        for batch, _ in batches(data, steps, "Discretization.adapt"):
            self.update_state(batch)
        self.finalize_state()

    def update_state(self, data):
        """Takes a batch into the summary of what was seen."""
        values = numeric_array(data, f"Discretization layer '{self.name}': the data")
        summary = _summarized(values.astype("float32"), self.epsilon)
        merged = np.concatenate((summary, self.summary), axis=1)
        self.summary = _compressed(merged[:, np.argsort(merged[0])], self.epsilon)

    def finalize_state(self):
        """Makes boundaries of what was seen."""
        if self.num_bins is not None:
            if not self.summary.size:
                raise ValueError(f"Discretization layer '{self.name}': there were no values to "
                                 "find boundaries in.")
            self.bin_boundaries = _compressed(self.summary, 1.0 / self.num_bins)[0, :-1].tolist()

    def reset_state(self):
        """Forgets what was seen."""
        if self.num_bins is not None:
            self.summary = np.zeros((2, 0), "float32")

    # ---- calling ----

    def _depth(self):
        return self.num_bins if self.bin_boundaries is None else len(self.bin_boundaries) + 1

    def call(self, inputs):
        if self.bin_boundaries is None:
            raise ValueError(f"Discretization layer '{self.name}': pass `bin_boundaries` or call "
                             "`adapt` before calling the layer.")
        x = cast_array(inputs, "float32") if inputs.dtype != "float64" else inputs
        ids = ops.digitize(x, np.asarray(self.bin_boundaries, x.dtype))
        if self.output_mode == "int":
            return ids
        return encode(ids, self.output_mode, self._depth(), self.output_dtype)

    def compute_output_shape(self, input_shape):
        shape = tuple(input_shape)
        return shape if self.output_mode == "int" else encoded_shape(shape, self.output_mode,
                                                                     self._depth())

    def compute_output_spec(self, inputs):
        return KerasTensor(self.compute_output_shape(inputs.shape), self.output_dtype)

    # ---- files ----

    def load_own_variables(self, store):
        """Nothing: the boundaries are in the configuration. Older files hold a summary."""
        if len(store.keys()) == 1:
            self.summary = np.asarray(store["0"])

    def get_config(self):
        return {"bin_boundaries": self.bin_boundaries, "num_bins": self.num_bins,
                "epsilon": self.epsilon, "output_mode": self.output_mode, "sparse": False,
                "name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The layer that `get_config` described: boundaries that `adapt` found included."""
        config = dict(config)
        found = config.pop("bin_boundaries") if config.get("num_bins") is not None else None
        layer = cls(**config)
        if found is not None:
            layer.bin_boundaries = list(found)
        return layer


# ---- summaries: values (first row) and how many each stands for ----------------------------------

def _summarized(values, epsilon):
    """A summary of at most about `1 / epsilon` of the values."""
    values = np.sort(values.reshape(-1))
    step = max(values.size * epsilon, 1)
    kept = values[int(step - 1)::int(step)]
    return np.stack([kept, np.full_like(kept, step)])


def _compressed(summary, epsilon):
    """A summary of `1 / epsilon` values at equal steps of the cumulated weight."""
    if summary.shape[1] * epsilon < 1:
        return summary
    shares = epsilon + np.arange(0.0, 1.0, epsilon)
    weights = summary[1].cumsum()
    places = weights / weights[-1]
    values = np.interp(shares, places, summary[0])
    weights = np.interp(shares, places, weights)
    return np.stack([values, np.diff(weights, prepend=0)]).astype("float32")
