"""`nnc.distribution`: one process on the processors of one machine, which threads share.

There is one device, `"cpu:0"`. What lays tensors out over several (meshes, layouts, parallel
models) is not there, and the message of the AttributeError says why.
"""


def list_devices(device_type=None):
    """`["cpu:0"]`; an empty list for another type than `"cpu"`."""
    return ["cpu:0"] if device_type is None or device_type.lower() == "cpu" else []


def get_device_count(device_type=None):
    """How many devices `list_devices` names."""
    return len(list_devices(device_type))


def initialize(job_addresses=None, num_processes=None, process_id=None):
    """Nothing is to be done for one process; more than one is refused."""
    if job_addresses is not None or num_processes not in (None, 1) or process_id not in (None, 0):
        raise ValueError("distribution.initialize: nnc runs in one process. Received: "
                         f"job_addresses={job_addresses!r}, num_processes={num_processes!r}, "
                         f"process_id={process_id!r}")


def distribution():
    """`None`: models are on one device."""


def set_distribution(value):
    """`None` is the only distribution there is."""
    if value is not None:
        raise ValueError("set_distribution: there is one device, 'cpu:0', which threads share. "
                         f"Received: value={value!r}, expected None.")


def distribute_tensor(tensor, layout):
    """The tensor, for `None`; layouts are refused."""
    if layout is not None:
        raise ValueError("distribute_tensor: there is one device. Received: "
                         f"layout={layout!r}, expected None.")
    return tensor


def __getattr__(name):
    if name in ("DeviceMesh", "TensorLayout", "LayoutMap", "DataParallel", "ModelParallel"):
        raise AttributeError(f"nnc.distribution has no {name}: there is one device, 'cpu:0', whose "
                             "processors one model's threads share. See `config.set_num_threads`.")
    raise AttributeError(f"module 'nnc.distribution' has no attribute {name!r}")
