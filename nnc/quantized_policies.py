"""Dtype policies of quantized layers: `"int8_from_float32"`.

The name says how the weights are kept, and the policy that the layer had before.
"""
from .dtype_policies import DTypePolicy
from .quantizers import MODES


class QuantizedDTypePolicy(DTypePolicy):
    """The policy of a layer whose weights are quantized.

    Args:
        mode: `"int8"` or `"int4"`; `"gptq"` and `"awq"` have policies of their own below.
            `"float8"` makes a policy too, which layers then refuse.
        source_name: The policy without quantization. Defaults to the global one.
    """

    def __init__(self, mode, source_name=None):
        self._source = DTypePolicy(source_name)
        if mode not in MODES:
            raise ValueError(f"{type(self).__name__}: `mode` must be one of {MODES}. Received: "
                             f"mode={mode!r}")
        self._mode = mode
        self._compute_dtype = self._source.compute_dtype
        self._variable_dtype = self._source.variable_dtype
        self._name = f"{mode}_from_{self._source.name}"

    @property
    def quantization_mode(self):
        """How the weights are kept."""
        return self._mode

    def get_config(self):
        return {"mode": self._mode, "source_name": self._source.name}

    def __repr__(self):
        return f'<{type(self).__name__} "{self._name}">'


class QuantizedFloat8DTypePolicy(QuantizedDTypePolicy):
    """The policy of float8 training, which layers here refuse.

    Args:
        mode: `"float8"`.
        source_name: The policy without quantization.
        amax_history_length: How many largest magnitudes are kept.
    """

    default_amax_history_length = 1024

    def __init__(self, mode, source_name=None, amax_history_length=1024):
        super().__init__(mode, source_name)
        if isinstance(amax_history_length, bool) or not isinstance(amax_history_length, int):
            raise TypeError("QuantizedFloat8DTypePolicy: `amax_history_length` must be an integer. "
                            f"Received: amax_history_length={amax_history_length!r}")
        self.amax_history_length = amax_history_length

    def get_config(self):
        return {**super().get_config(), "amax_history_length": self.amax_history_length}


class _NumberedPolicy(QuantizedDTypePolicy):
    """A mode with numbers behind it, such as `"int4/128"`."""

    _form, _kind, _bits = "", "", ()

    def __init__(self, mode, source_name=None):
        parts = mode.split("/") if isinstance(mode, str) else []
        try:
            numbers = [int(part) for part in parts[1:]]
        except ValueError:
            numbers = []
        if len(parts) != self._form.count("/") + 1 or parts[0] != self._kind or \
                len(numbers) != len(parts) - 1 or numbers[-1] < -1 or numbers[-1] == 0 or \
                self._bits and numbers[0] not in self._bits:
            bits = f" with weight_bits one of {self._bits}" if self._bits else ""
            raise ValueError(f"{type(self).__name__}: `mode` must be '{self._form}'{bits} and a "
                             f"size of -1 or > 0. Received: mode={mode!r}")
        super().__init__(parts[0], source_name)
        self._full, self.mode = mode, parts[0]
        self._name = f"{mode}_from_{self._source.name}"
        names = [part.strip("<>") for part in self._form.split("/")[1:]]
        for name, number in zip(names, numbers):
            setattr(self, name, number)

    def get_config(self):
        return {**super().get_config(), "mode": self._full}


class Int4DTypePolicy(_NumberedPolicy):
    """The policy of weights of 4 bits: `mode="int4/<block_size>"`; -1 is a scale a channel."""

    _form, _kind = "int4/<block_size>", "int4"


class GPTQDTypePolicy(_NumberedPolicy):
    """The policy of GPTQ: `mode="gptq/<weight_bits>/<group_size>"`."""

    _form, _kind, _bits = "gptq/<weight_bits>/<group_size>", "gptq", (2, 3, 4, 8)


class AWQDTypePolicy(_NumberedPolicy):
    """The policy of AWQ: `mode="awq/4/<group_size>"`."""

    _form, _kind, _bits = "awq/<weight_bits>/<group_size>", "awq", (4,)


ALL_OBJECTS = {cls.__name__: cls for cls in (QuantizedDTypePolicy, QuantizedFloat8DTypePolicy,
                                             Int4DTypePolicy, GPTQDTypePolicy, AWQDTypePolicy)}


def by_name(name):
    """The policy of a name such as `"int8_from_float32"`; `None` if the name is of another kind."""
    mode, _, source = name.partition("_from_")
    kind = mode.partition("/")[0]
    if kind not in MODES or not source:
        return None
    if kind == "float8":
        return QuantizedFloat8DTypePolicy(mode, source)
    numbered = {"int4": Int4DTypePolicy, "gptq": GPTQDTypePolicy, "awq": AWQDTypePolicy}
    cls = numbered.get(kind, QuantizedDTypePolicy)
    return (QuantizedDTypePolicy if mode == "int4" else cls)(mode, source)
