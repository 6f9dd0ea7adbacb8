"""Settings of the process: `nnc.config`."""
import contextlib

from . import _core

_FLOATS = ("float16", "float32", "float64", "bfloat16")
_state = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last",
          "policy": None, "max_epochs": None, "max_steps_per_epoch": None,
          "flash_attention": None, "excepthook": None}


def floatx():
    """The default floating-point dtype."""
    return _state["floatx"]


def set_floatx(value):
    """Sets the default floating-point dtype: `"float32"`, `"float64"`, `"bfloat16"` or
    `"float16"`.
    """
    if value not in _FLOATS:
        raise ValueError(f"set_floatx: expected one of {', '.join(map(repr, _FLOATS))}. Received: "
                         f"{value!r}")
    _state["floatx"] = str(value)


def epsilon():
    """The small number that keeps divisions and logarithms finite."""
    return _state["epsilon"]


def set_epsilon(value):
    """Sets `epsilon()`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise ValueError(f"set_epsilon: expected a float >= 0. Received: {value!r}")
    _state["epsilon"] = float(value)


def image_data_format():
    """Where the channels of images stand: `"channels_last"` or `"channels_first"`."""
    return _state["image_data_format"]


def set_image_data_format(data_format):
    """Sets `image_data_format()`."""
    _state["image_data_format"] = standardize_data_format(data_format)


@contextlib.contextmanager
def device(device_name):
    """A context in which tensors lie on a device: the processor, the only one there is.

    Args:
        device_name: `"cpu"` or `"cpu:0"`, in any case; `None` stands for it too.

    Raises:
        ValueError: For other devices.
    """
    if device_name is not None and str(device_name).lower() not in ("cpu", "cpu:0"):
        raise ValueError("device: `device_name` must be 'cpu' or 'cpu:0', there is no other device "
                         f"here. Received: device_name={device_name!r}")
    yield


def standardize_data_format(data_format):
    """`data_format`, or the default one for `None`."""
    if data_format is None:
        return image_data_format()
    name = str(data_format).lower()
    if name not in ("channels_first", "channels_last"):
        raise ValueError("The `data_format` argument must be 'channels_first' or 'channels_last'. "
                         f"Received: data_format={data_format!r}")
    return name


def backend():
    """`"nnc"`."""
    return "nnc"


def dtype_policy():
    """The dtype policy of layers that are given none."""
    from .dtype_policies import DTypePolicy

    policy = _state["policy"]
    return DTypePolicy(floatx()) if policy is None else policy


def set_dtype_policy(policy):
    """Sets `dtype_policy()`: a policy or the name of one."""
    from . import dtype_policies

    _state["policy"] = None if policy is None else dtype_policies.get(policy)


def max_epochs():
    """The most epochs that `fit` runs, or `None`."""
    return _state["max_epochs"]


def set_max_epochs(max_epochs):
    """Sets `max_epochs()`: a script can be tried out without a change."""
    _state["max_epochs"] = _limit("max_epochs", max_epochs)


def max_steps_per_epoch():
    """The most steps of an epoch of `fit`, `evaluate` and `predict`, or `None`."""
    return _state["max_steps_per_epoch"]


def set_max_steps_per_epoch(max_steps_per_epoch):
    """Sets `max_steps_per_epoch()`."""
    _state["max_steps_per_epoch"] = _limit("max_steps_per_epoch", max_steps_per_epoch)


def _limit(name, value):
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError(f"set_{name}: expected an integer >= 1 or None. Received: {value!r}")
    return value


def get_num_threads():
    """How many threads work is spread over."""
    return _core.get_num_threads()


def set_num_threads(n):
    """Sets how many threads work is spread over, 1 to 256. Results do not depend on it."""
    _core.set_num_threads(n)


def enable_interactive_logging():
    """Messages go to the standard output."""
    from .utils import io

    io.enable_interactive_logging()


def disable_interactive_logging():
    """Messages go to Python's `logging`."""
    from .utils import io

    io.disable_interactive_logging()


def is_interactive_logging_enabled():
    """Whether messages go to the standard output."""
    from .utils import io

    return io.is_interactive_logging_enabled()


def show_config():
    """Prints versions, the instruction set in use, threads and optional libraries."""
    from . import cli
    from .utils import io

    io.print_message(cli.info_text())


def set_backend(backend):
    """There is one backend, `"nnc"`; another name is refused."""
    if backend != "nnc":
        raise ValueError("set_backend: there is one backend here, 'nnc'. Received: "
                         f"backend={backend!r}")


def is_nnx_enabled():
    """`False`: NNX is a part of the JAX backend."""
    return False


def enable_flash_attention():
    """Takes back `disable_flash_attention`.

    As in Keras, this leaves open whether a layer has another way to compute attention.
    """
    _state["flash_attention"] = None


def disable_flash_attention():
    """Layers compute attention in the plain way only, which is what they do in any case."""
    _state["flash_attention"] = False


def is_flash_attention_enabled():
    """`False` after `disable_flash_attention`, else `None`: as it comes."""
    return _state["flash_attention"]


def enable_traceback_filtering():
    """From here on, errors that end a script are shown without nnc's own lines.

    Unlike in Keras this is not so from the beginning, and exceptions themselves stay as they are:
    only what Python prints of one that nobody catches is shorter. Not in notebooks.
    """
    import sys

    if _state["excepthook"] is None:
        _state["excepthook"] = sys.excepthook
        sys.excepthook = _print_filtered


def disable_traceback_filtering():
    """Takes back `enable_traceback_filtering`."""
    import sys

    if _state["excepthook"] is not None:
        if sys.excepthook is _print_filtered:
            sys.excepthook = _state["excepthook"]
        _state["excepthook"] = None


def is_traceback_filtering_enabled():
    """Whether nnc's own lines are left out of what is shown of an error."""
    return _state["excepthook"] is not None


def _print_filtered(kind, error, trace):
    """Prints an error as Python does, without lines in nnc's folder."""
    folder = __file__.rpartition("config.py")[0]
    frames = []
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(folder):
            frames.append(trace)
        trace = trace.tb_next
    kept = None
    for frame in reversed(frames):
        kept = type(frame)(kept, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    _state["excepthook"](kind, error.with_traceback(kept), kept)


def enable_unsafe_deserialization():
    """Refused: nnc never runs code from a file. See `saving.load_model`."""
    raise ValueError("enable_unsafe_deserialization: nnc does not run code from a file, whatever "
                     "is asked for. Define functions and classes in your script and pass them as "
                     "`custom_objects`.")
