"""What `quantize` is told where it looks at data first: `GPTQConfig`, `AWQConfig`."""
from .quantizers import QuantizationConfig


def _whole(who, name, value, least=1):
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{who}: `{name}` must be an integer >= {least}. Received: "
                         f"{name}={value!r}")


class _Calibrated(QuantizationConfig):
    """What both have: data, and groups of weights that share a scale."""

    _BITS = ()
    _NAMES = ("weight_bits", "num_samples", "sequence_length", "group_size")

    def _take(self, dataset, tokenizer, numbers, structure):
        who = type(self).__name__
        super().__init__()
        self.dataset, self.tokenizer = dataset, tokenizer
        self.weight_bits, self.num_samples, self.sequence_length, self.group_size = numbers
        if isinstance(self.weight_bits, bool) or self.weight_bits not in self._BITS:
            raise ValueError(f"{who}: `weight_bits` must be one of {self._BITS}. Received: "
                             f"weight_bits={self.weight_bits!r}")
        _whole(who, "num_samples", self.num_samples)
        _whole(who, "sequence_length", self.sequence_length)
        if self.group_size != -1:
            _whole(who, "group_size", self.group_size)
        self.quantization_layer_structure = structure

    def dtype_policy_string(self):
        """The beginning of the name of the layers' dtype policy: `"gptq/4/128"`."""
        return f"{self.mode}/{self.weight_bits}/{self.group_size}"

    def get_config(self):
        """The numbers. What serves the calibration only (data, tokenizer, layers) is `None`."""
        return {"dataset": None, "tokenizer": None, "quantization_layer_structure": None,
                **{name: getattr(self, name) for name in self._NAMES}}

    @classmethod
    def from_config(cls, config):
        """The configuration that `get_config` described."""
        return cls(**config)


class GPTQConfig(_Calibrated):
    """Weights of few bits, each column rounded so that the outputs for given data change least: the
    error of a rounded weight is made good by those of its row that are not rounded yet.

    Args:
        dataset: Texts, or arrays of token ids: any iterable. They are joined and cut into samples.
        tokenizer: An object with a method `tokenize`, or a function, for texts.
        weight_bits: 2, 3, 4 or 8.
        num_samples: Integer > 0: how many samples are looked at.
        per_channel: Whether each output has a scale of its own (always so in groups).
        sequence_length: Integer > 0: tokens in a sample.
        hessian_damping: From 0 to 1: this share of the mean of the Hessian's diagonal is added to
            that.
        group_size: Weights of one output that share a scale and a zero point; -1: all.
        symmetric: Whether the range is as wide below zero as above.
        activation_order: Whether the inputs that matter most are rounded first.
        quantization_layer_structure: `{"pre_block_layers": [...], "sequential_blocks": [...]}`:
            layers that a sample passes first, then the blocks whose layers are quantized. Else
            `Model.get_quantization_layer_structure` says it.

    The inverse Hessian follows what is already rounded (by its Cholesky factor, as in the paper);
    Keras 3.15 keeps the whole one, which makes good too much.
    Reference: Frantar et al., 2022, arXiv:2210.17323
    """

    _BITS = (2, 3, 4, 8)
    _NAMES = (*_Calibrated._NAMES, "per_channel", "hessian_damping", "symmetric",
              "activation_order")

    def __init__(self, dataset, tokenizer, *, weight_bits=4, num_samples=128, per_channel=True,
                 sequence_length=512, hessian_damping=0.01, group_size=128, symmetric=False,
                 activation_order=False, quantization_layer_structure=None):
        self._take(dataset, tokenizer, (weight_bits, num_samples, sequence_length, group_size),
                   quantization_layer_structure)
        if not 0 <= hessian_damping <= 1:
            raise ValueError("GPTQConfig: `hessian_damping` must be from 0 to 1. Received: "
                             f"hessian_damping={hessian_damping!r}")
        self.per_channel, self.symmetric = bool(per_channel), bool(symmetric)
        self.hessian_damping, self.activation_order = hessian_damping, bool(activation_order)

    @property
    def mode(self):
        return "gptq"


class AWQConfig(_Calibrated):
    """Weights of 4 bits; those of inputs that grow large are stretched before they are rounded, so
    that their errors are smaller.

    Args:
        dataset, tokenizer, num_samples, sequence_length, group_size,
            quantization_layer_structure: See `GPTQConfig`.
        weight_bits: 4.
        num_grid_points: Integer > 0: how many powers of the inputs' magnitudes are tried.

    Reference: Lin et al., 2023, arXiv:2306.00978
    """

    _BITS = (4,)
    _NAMES = (*_Calibrated._NAMES, "num_grid_points")

    def __init__(self, dataset, tokenizer, *, weight_bits=4, num_samples=128, sequence_length=512,
                 group_size=128, num_grid_points=20, quantization_layer_structure=None):
        self._take(dataset, tokenizer, (weight_bits, num_samples, sequence_length, group_size),
                   quantization_layer_structure)
        _whole("AWQConfig", "num_grid_points", num_grid_points)
        self.num_grid_points = num_grid_points

    @property
    def mode(self):
        return "awq"
