"""Ops on KerasTensors: a call becomes a node instead of numbers.

`dispatching(op)` is the op as the package exports it. A KerasTensor cannot be converted to an
array, so an op that meets one raises; only then it is looked for, and an eager call pays for one
more Python call and no more. In configurations an op is the class that it is in Keras: its tensors
are arguments of the call, everything else of `__init__`.
"""
import functools
import inspect

from .. import _core, config
from ..naming import auto_name
from .keras_tensor import any_symbolic_tensors
from .operation import Node, Operation, fresh, traced_spec

# Parameters that are arguments of the call in Keras's classes.
_TENSORS = frozenset((
    "x", "x1", "x2", "x3", "xs", "inputs", "array", "arrays", "condition", "indices", "key",
    "values", "start_indices", "updates", "constant_values", "weights", "target", "output",
    "y_true", "y_pred", "a", "b", "data", "segment_ids", "variable", "kernel", "mean",
    "variance", "targets", "predictions", "start", "stop", "y", "query", "value", "bias",
    "mask", "operands", "images", "target_length", "output_length", "sequence_lengths", "N",
    "sorted_sequence", "v", "bins", "coordinates", "abs_", "angle", "volumes", "transform",
    "start_points", "end_points", "image1", "image2"))
# Names that are not the op's in camel case; and what is no tensor in one op though in others.
_CLASSES = {"abs": "Absolute", "psnr": "PSNR", "batch_normalization": "BatchNorm",
            "layer_normalization": "LayerNorm", "rms_normalization": "RMSNorm", "swish": "Silu",
            "hard_swish": "HardSilu", "expand_dims": "ExpandDims", "conj": "Conjugate",
            "absolute": "Absolute", "rgb_to_grayscale": "RGBToGrayscale", "rgb_to_hsv": "RGBToHSV",
            "hsv_to_rgb": "HSVToRGB", "extract_patches_3d": "ExtractPatches", "ssim": "SSIM",
            "ctc_loss": "CTCLoss", "ctc_decode": "CTCDecode"}
_OPTIONS = {"threshold": ("value",), "full_like": ("value",), "squareplus": ("b",)}
# And what is a tensor in one op only.
_MORE = {"scale_and_translate": ("output_shape", "scale", "translation")}
_MATH = frozenset(("segment_sum", "segment_max", "top_k", "in_top_k", "logsumexp", "rsqrt", "erf",
                   "erfinv", "logdet", "fft", "fft2", "ifft2", "rfft", "irfft", "stft", "istft",
                   "extract_sequences", "view_as_complex", "view_as_real"))
_PLACES = {"arrays": "numpy", "sampling": "image", "warping": "image"}
# The classes of `activations`, of which some have the names of ops.
_ACTIVATIONS = {"relu": "ReLU", "mish": "Mish"}


@functools.lru_cache(maxsize=None)
def _parameters(function):
    return list(inspect.signature(function).parameters.values())


@functools.lru_cache(maxsize=None)
def _tensor_names(function):
    """The parameters of an op that are tensors, in their order."""
    name = function.__name__
    options, more = _OPTIONS.get(name, ()), _MORE.get(name, ())
    return [p.name for p in _parameters(function) if p.kind == p.VAR_POSITIONAL or p.name in more
            or p.name in _TENSORS and p.name not in options]


def class_name(name):
    """The name of an op's class in Keras: `"get_item"` is `"GetItem"`."""
    return _CLASSES.get(name) or "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def _class_of(function):
    """The name of a function's class in Keras."""
    if function.__module__ == "nnc.activations":
        return _ACTIVATIONS[function.__name__]
    return class_name(function.__name__)


class OpOperation(Operation):
    """An op and its options.

    Args:
        function: The op.
        name: Name. Defaults to one made from Keras's class.
        **options: Its arguments that are no tensors.
    """

    def __init__(self, function, name=None, **options):
        super().__init__(name or auto_name(_class_of(function)))
        self._function, self._options = function, options

    @property
    def class_name(self):
        """The name of the class in Keras."""
        return _class_of(self._function)

    def call(self, *args, **kwargs):
        """The op on these tensors. A number (a size) becomes a tensor."""
        made = self._applied(self._function, args, kwargs)
        return _core.convert(made) if type(made) is int else made

    def compute_output_spec(self, *args, **kwargs):
        """A KerasTensor for each output."""
        spec = getattr(self._function, "_nnc_spec", None)
        found = None if spec is None else self._applied(spec, args, kwargs)
        return traced_spec(self.call, args, kwargs) if found is None else found

    def _applied(self, function, args, kwargs):
        """What `function` gives, of the op's parameters, for the tensors and the options."""
        if self._function.__name__ == "get_item" and isinstance(args[1], list):
            args = (args[0], tuple(args[1]))            # files have lists in the place of tuples
        names = _tensor_names(self._function)
        kinds = {p.name: p.kind for p in _parameters(self._function)}
        if inspect.Parameter.VAR_POSITIONAL in kinds.values():
            named = {name: value for name, value in self._options.items()
                     if kinds[name] is inspect.Parameter.KEYWORD_ONLY}
            first = [value for name, value in self._options.items() if name not in named]
            return function(*first, *args, **named, **kwargs)
        return function(**self._options, **dict(zip(names, args)), **kwargs)

    def get_config(self):
        """Name and options."""
        return {"name": self.name, **self._options}

    def _keras_form(self):
        """The configuration in Keras's form."""
        from ..saving.object_registration import serialize_keras_object

        place = self._function.__module__.rpartition(".")[2]
        place = "math" if self._function.__name__ in _MATH else _PLACES.get(place, place)
        module = "activations.activations" if place == "activations" else f"ops.{place}"
        return {"module": f"keras.src.{module}", "class_name": self.class_name,
                "config": serialize_keras_object(self.get_config()),
                "registered_name": self.class_name}


def find_op(form):
    """The op or activation whose class in Keras a configuration names; `None` if there is none."""
    from .. import activations, ops
    from ..saving.object_registration import OP_MODULES

    module = str(form.get("module"))
    if not module.startswith(OP_MODULES):
        return None
    place = next((part for name, part in (("activations", activations), ("image", ops.image))
                  if name in module), ops)
    for name in dir(place):
        function = getattr(place, name)
        if hasattr(function, "_nnc_op") and form["class_name"] == (
                _ACTIVATIONS.get(name) if place is activations else class_name(name)):
            return function
    return None


def from_keras_form(form):
    """The operation that a configuration (nnc's or Keras's) describes.

    Raises:
        TypeError: If there is no such op here.
    """
    function = find_op(form)
    if function is not None:
        known = {p.name for p in _parameters(function)} | {"name"}
        options = {k: v for k, v in form["config"].items() if k in known or v is not None}
        return OpOperation(function._nnc_op, **options)
    raise TypeError(f"Could not locate the op '{form['class_name']}' of "
                    f"'{form.get('module')}': there is none of that name here.")


def _symbolic(function, args, kwargs):
    """The call of an op on KerasTensors."""
    parameters = _parameters(function)
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    names = _tensor_names(function)
    tensors, options, named = [], {}, {}
    for p in parameters:
        value = bound.arguments[p.name]
        if p.kind == p.VAR_POSITIONAL:
            tensors.extend(value)
        elif p.kind == p.VAR_KEYWORD:
            options.update(value)
        elif p.name in names:
            tensors.append(value)
        elif any_symbolic_tensors((value,)):
            named[p.name] = value
        else:
            options[p.name] = value
    while tensors and tensors[-1] is None:
        tensors.pop()                           # an optional tensor that was not given
    if function.__name__ in ("one_hot", "multi_hot") and options.get("dtype") is None:
        options["dtype"] = config.floatx()      # noted in the configuration
    if function.__name__ == "extract_patches_3d" and isinstance(options["size"], int):
        options["size"] = (options["size"],) * 3        # the class is that of `extract_patches`
    operation = OpOperation(function, **_without_name(options))
    outputs = fresh(operation.compute_output_spec(*tensors, **named))
    noted = {"constant_values": None} if function.__name__ == "pad" and len(tensors) == 1 else {}
    Node(operation, tensors, {**noted, **named}, outputs)
    return outputs


def _without_name(options):
    return {key: value for key, value in options.items() if key not in ("name", "function")}


def _packed(function):
    """`dispatching` for ops with `*`, `**` or arguments by keyword only."""
    def op(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except Exception:
            if not any_symbolic_tensors(args, kwargs):
                raise
        return _symbolic(function, args, kwargs)
    return op


_WRAPPER = """
def make(_function):
    def op({0}):
        try:
            return _function({0})
        except Exception:
            if not any_symbolic_tensors(({0},)):
                raise
        return _symbolic(_function, ({0},), {{}})
    return op
"""


@functools.lru_cache(maxsize=None)
def _maker(count):
    """What makes wrappers of ops with `count` parameters."""
    names = {"any_symbolic_tensors": any_symbolic_tensors, "_symbolic": _symbolic}
    text = _WRAPPER.format(", ".join(f"a{i}" for i in range(count)))
    exec(compile(text, __file__, "exec"), names)
    return names["make"]


def dispatching(function):
    """`function`, that takes KerasTensors too.

    The wrapper has the op's own parameters and no `*args`, which would be packed and unpacked by
    each call: wrappers of as many parameters are copies of one, under other names.
    """
    code = function.__code__
    if code.co_kwonlyargcount or code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
        op = functools.wraps(function)(_packed(function))
    else:
        op = _maker(code.co_argcount)(function)
        op.__code__ = op.__code__.replace(co_varnames=code.co_varnames[:code.co_argcount],
                                          co_name=function.__name__)
        op.__defaults__ = function.__defaults__
        functools.update_wrapper(op, function)
        del op.__wrapped__                      # the signature is its own
    op._nnc_op = function
    return op


def dispatch_all(names, package, sources=None):
    """Puts `dispatching` about the ops among `names` (the dictionary of the module `package`),
    which modules whose names begin as `sources` (`package`, if not given) define.
    """
    plain = ("shape", "dtype", "is_tensor", "convert_to_numpy", "ndim")
    for name, value in list(names.items()):
        if inspect.isfunction(value) and not name.startswith("_") and name not in plain \
                and value.__module__.startswith(sources or package + ".") \
                and not hasattr(value, "_nnc_op") and value.__module__ != __name__:
            names[name] = dispatching(value)
            names[name].__module__ = package            # `pickle` finds it there by its name
