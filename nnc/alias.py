"""nnc under Keras's names: scripts that import keras, tensorflow.keras or tf_keras run on nnc.

A finder stands first in `sys.meta_path` and gives nnc's modules for the names of Keras. Names that
nnc has not are noted, so that a run can end with a list of them.
"""
import importlib
import importlib.abc
import importlib.machinery
import sys
import types

from nnc.saving.keras_file import KERAS_VERSION

#: The packages whose place nnc takes.
NAMES = ("keras", "tf_keras", "tensorflow.keras")
missing = {}        # names that were asked for and are not there, with how often


class _Alias(types.ModuleType):
    """Passes every name on to nnc's module."""

    def __getattr__(self, name):
        if name == "__version__":
            return KERAS_VERSION                # scripts ask whether it is Keras 3
        if name.startswith("__"):
            raise AttributeError(name)
        module = self.__dict__["_module"]
        try:
            return getattr(module, name)
        except AttributeError:
            full = f"{self.__name__}.{name}"
            missing[full] = missing.get(full, 0) + 1
            raise AttributeError(f"nnc has no {full}") from None

    def __dir__(self):
        return dir(self.__dict__["_module"])


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, fullname, path=None, target=None):
        for name in NAMES:
            if fullname == name or fullname.startswith(name + "."):
                return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        if fullname == "tensorflow":                # the package around tensorflow.keras only
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec):
        if spec.name == "tensorflow":
            return _Tensorflow(spec.name)
        root = next(n for n in NAMES if spec.name == n or spec.name.startswith(n + "."))
        inner = spec.name[len(root):]
        module = importlib.import_module("nnc")
        for part in inner.split(".")[1:]:
            try:
                module = getattr(module, part)
            except AttributeError:
                missing[spec.name] = missing.get(spec.name, 0) + 1
                raise ModuleNotFoundError(f"nnc has no {spec.name}", name=spec.name) from None
        made = _Alias(spec.name)
        made.__dict__["_module"] = module
        return made

    def exec_module(self, module):
        pass


class _Tensorflow(types.ModuleType):
    """A `tensorflow` that has `keras` and nothing else."""

    def __getattr__(self, name):
        if name == "keras":
            return importlib.import_module("tensorflow.keras")
        if name.startswith("__") and name != "__version__":
            raise AttributeError(name)
        full = f"tensorflow.{name}"
        missing[full] = missing.get(full, 0) + 1
        raise AttributeError(f"nnc has no {full}: of TensorFlow it has tensorflow.keras only")


def install_as_keras():
    """From here on, `import keras` (and `tensorflow.keras`, `tf_keras`) gives nnc.

    Raises:
        RuntimeError: If one of these has been imported already.
    """
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    found = [name for name in (*NAMES, "tensorflow") if name in sys.modules]
    if found:
        raise RuntimeError(f"install_as_keras: {found[0]} has been imported already; call it "
                           "before.")
    sys.meta_path.insert(0, _Finder())
