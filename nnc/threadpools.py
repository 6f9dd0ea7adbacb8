"""threadpoolctl's limits hold for nnc: `with threadpool_limits(1): model.fit(...)` uses one thread.

threadpoolctl is not needed and not imported here. It is told of nnc's pool when it is there already,
or else when it is imported later.
"""
import importlib.util
import os
import sys

from . import _core

_NAME = "threadpoolctl"


def _register(threadpoolctl):
    if not hasattr(threadpoolctl, "register"):          # before 3.2 it cannot be told
        return

    class NncController(threadpoolctl.LibController):
        """nnc's thread pool."""
        user_api = "nnc"
        internal_api = "nnc"
        filename_prefixes = (os.path.basename(_core.__file__),)
        check_symbols = ("PyInit__core",)

        def get_num_threads(self):
            return _core.get_num_threads()

        def set_num_threads(self, num_threads):
            _core.set_num_threads(max(1, num_threads))

        def get_version(self):
            return _core.__version__

    threadpoolctl.register(NncController)


class _Finder:
    """Meets the import of threadpoolctl, once, and lets the others do it."""

    def find_spec(self, name, path=None, target=None):
        if name != _NAME:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                _register(module)
            spec.loader.exec_module = exec_module
        return spec


def install():
    """Tells threadpoolctl, now or as soon as it is imported."""
    if _NAME in sys.modules:
        _register(sys.modules[_NAME])
    else:
        sys.meta_path.insert(0, _Finder())
