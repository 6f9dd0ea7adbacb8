"""What layers and models can do about files: mixed into `Layer` and `Model`."""
import functools
import inspect

from .. import config as settings
from .. import dtype_policies, tree

_PLAIN = (str, int, float, bool, type(None))


@functools.lru_cache(maxsize=1000)
def _signature(cls):
    """The signature of `__init__` of a user's class without a `get_config` of its own, else `None`.
    """
    from ..layers.layer import Layer

    own = not cls.__module__.startswith("nnc.") and cls.get_config is Layer.get_config
    return inspect.signature(cls.__init__) if own else None


class LayerFiles:
    """A layer's own variables, to and from a mapping; and the configuration of a class that says
    nothing of its own: the arguments that it was made with.
    """

    def __new__(cls, *args, **kwargs):
        made = super().__new__(cls)
        if _signature(cls) is not None:
            made.__dict__["_arguments"] = cls._bound(args, kwargs)
        return made

    @classmethod
    def _bound(cls, args, kwargs):
        """The arguments of `__init__` by name, defaults included; as text why there are none."""
        signature = _signature(cls)
        try:
            bound = signature.bind(None, *args, **kwargs)
        except TypeError:
            return {}                               # `__init__` will say so
        bound.apply_defaults()
        found = dict(list(bound.arguments.items())[1:])
        for parameter in signature.parameters.values():
            if parameter.kind == parameter.VAR_KEYWORD:
                found.update(found.pop(parameter.name))
            elif parameter.kind == parameter.VAR_POSITIONAL and not found.get(parameter.name):
                found.pop(parameter.name, None)
            elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY) and \
                    parameter.name in found:
                return "positional-only arguments"
        if not all(isinstance(leaf, _PLAIN) for leaf in tree.flatten(found)):
            return "arguments that are no plain values"
        return found

    def _with_arguments(self, config):
        """The base's configuration, and the arguments of `__init__` if `get_config` is not
        overridden; without what `__init__` does not take and would have as it is.

        Raises:
            NotImplementedError: If the arguments cannot be written.
        """
        signature = _signature(type(self))
        found = self.__dict__.get("_arguments")
        if signature is None or found is None:
            return config
        if isinstance(found, str):
            raise NotImplementedError(
                f"Object {type(self).__name__} was created by passing {found} to `__init__()`, and "
                "therefore must override `get_config()` in order to be serializable.")
        if not any(p.kind == p.VAR_KEYWORD for p in signature.parameters.values()):
            usual = {"name": self.name, "trainable": True,
                     "dtype": dtype_policies.serialize(settings.dtype_policy())}
            config = {key: value for key, value in config.items()
                      if key in signature.parameters or value != usual.get(key)}
        return {**found, **config}

    def _own_in_order(self):
        """The layer's own variables: those first that were trained when it got them, as in Keras."""
        from ..variables import Variable

        found, seen = [], set()
        for variable in self._own_variables + self._parts(Variable):
            if id(variable) not in seen:
                seen.add(id(variable))
                found.append(variable)
        return sorted(found, key=lambda v: not v.__dict__.get(
            "_trained_first", v.__dict__.get("_was_trainable", v.trainable)))

    def save_own_variables(self, store):
        """Writes the layer's own variables into a mapping, under their numbers. May be overridden.
        """
        for i, variable in enumerate(self._own_in_order()):
            store[str(i)] = variable

    def _check_own_variables(self, store):
        """Compares numbers and shapes, where `load_own_variables` is this one."""
        if type(self).load_own_variables is LayerFiles.load_own_variables:
            self._compare(store, self._own_in_order())

    def _compare(self, store, variables):
        keys = store.keys()
        if len(keys) != len(variables):
            hint = " The layer was never built: build it (or override `build_from_config`) first." \
                if not variables and not self.built else ""
            raise ValueError(f"Layer '{self.name}' expected {len(variables)} variables, but "
                             f"received {len(keys)} variables during loading. Expected: "
                             f"{[v.name for v in variables]}.{hint}")
        for i, variable in enumerate(variables):
            shape = store.shape(str(i)) if hasattr(store, "shape") else store[str(i)].shape
            if tuple(shape) != tuple(variable.shape):
                raise ValueError(f"Layer '{self.name}': variable '{variable.path}' has shape "
                                 f"{tuple(variable.shape)}, the saved one {tuple(shape)}.")

    def load_own_variables(self, store):
        """Reads the layer's own variables from such a mapping. May be overridden."""
        from .state import fill

        variables = self._own_in_order()
        self._compare(store, variables)
        for i, variable in enumerate(variables):
            fill(variable, store, str(i))


class ModelFiles:
    """A model's files."""

    def save(self, filepath, overwrite=True, zipped=None, **kwargs):
        """Saves the model: configuration, weights, and how far training is.

        Args:
            filepath: Path ending in `.keras`, or in `.h5` for the older format.
            overwrite: Must be true if the file is there; the old one stays whole until the new one
                is.
            zipped: `False` makes a folder instead of one `.keras` file.
            **kwargs: `include_optimizer=False` leaves the optimizer out.
        """
        from .api import save_model

        return save_model(self, filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def save_weights(self, filepath, overwrite=True, max_shard_size=None, **kwargs):
        """Saves the weights (and the optimizer's state): see `nnc.saving.save_weights`."""
        from .api import save_weights

        return save_weights(self, filepath, overwrite=overwrite, max_shard_size=max_shard_size,
                            **kwargs)

    def load_weights(self, filepath, skip_mismatch=False, **kwargs):
        """Loads weights: see `nnc.saving.load_weights`."""
        from .api import load_weights

        return load_weights(self, filepath, skip_mismatch=skip_mismatch, **kwargs)

    def export(self, filepath, format="tf_saved_model", verbose=None, input_signature=None,
               **kwargs):
        """Writes the forward pass as a file that runs without nnc.

        Args:
            filepath: Path of the file.
            format: `"onnx"`, which ONNX Runtime and others run, or `"c"`, one C source file and a
                header with all that they need. Keras's other formats need TensorFlow or torch and
                are refused; `"tf_saved_model"`, its default, is one of them.
            verbose: Whether what was written is printed. Defaults to `True`.
            input_signature: A list with a nest of InputSpecs, KerasTensors or arrays for each
                argument. Defaults to what the model was built for. `None` in a shape is a size
                not known; C sources take one sample at a time, and other sizes must be known.
            **kwargs: For ONNX: `opset_version`, 18 (the default) or more; `external_data`, whether
                weights go into a second file beside the first (its name and `.data`). Defaults to
                where one file cannot hold all, which ends at 2 GiB.

        Weights are those of now. Nothing is written if something cannot be expressed.

        Raises:
            ValueError: If the format is not one of the two, or the inputs are not known.
            NotImplementedError: If a layer uses what the format cannot express; the text names
                both.
            ImportError: `"onnx"` without the package onnx.
        """
        from ..export.archive import export_model

        export_model(self, filepath, format, verbose, input_signature, **kwargs)
