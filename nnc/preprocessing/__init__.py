"""`keras.preprocessing`: older names of what stands in `nnc.utils`."""
from nnc.preprocessing import image, sequence

__all__ = ["image", "image_dataset_from_directory", "sequence", "text_dataset_from_directory",
           "timeseries_dataset_from_array"]


def __getattr__(name):
    if name in __all__:
        from nnc import utils

        return getattr(utils, name)
    raise AttributeError(f"module 'nnc.preprocessing' has no attribute {name!r}")
