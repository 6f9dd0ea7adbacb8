"""CIFAR-100: 60,000 colour pictures of 32x32 pixels in 100 classes of 20 kinds."""
from nnc.datasets.cifar import find_folder, read_batches

_SHA256 = "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"


def load_data(label_mode="fine"):
    """Loads the pictures; `label_mode` is `"fine"` (100 classes) or `"coarse"` (20).

    Shapes are those of `cifar10.load_data`. The files are looked for in
    `$NNC_DATA_DIR/cifar-100-python`, then in the cache.
    """
    if label_mode not in ("fine", "coarse"):
        raise ValueError("cifar100.load_data: `label_mode` must be 'fine' or 'coarse'. Received: "
                         f"label_mode={label_mode!r}")
    folder = find_folder("cifar100", "cifar-100-python.tar.gz", "cifar-100-python-target",
                         "cifar-100-python", _SHA256)
    key = f"{label_mode}_labels"
    return read_batches(folder, ["train"], key), read_batches(folder, ["test"], key)
