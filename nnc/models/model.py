"""Model: a layer that is trained."""
import inspect

from .. import tree
from ..layers.input_layer import InputLayer
from ..layers.keras_tensor import KerasTensor
from ..layers.layer import Layer
from ..layers.nests import _placeholders
from ..layers.quantization import ModelQuantization
from ..saving.saveable import ModelFiles
from ..stateless import apart
from ..strings import holds_strings, string_array
from ..trainer import Trainer
from ..utils.text import suggest
from .quick import Repeated


def is_functional(args, kwargs):
    """Whether these are the arguments of a functional model."""
    return len(args) == 2 or len(args) == 1 and "outputs" in kwargs \
        or "inputs" in kwargs and "outputs" in kwargs


class Model(ModelFiles, ModelQuantization, Trainer, Layer):
    """`Model(inputs, outputs)`: the layers between KerasTensors. Without these, the base class of
    models: subclass it, make layers in `__init__`, use them in `call`.

    Args:
        inputs: Nest of KerasTensors that `Input` gave.
        outputs: Nest of KerasTensors that were computed of them.
        **kwargs: `name`, `trainable`, `dtype`: see `Layer`.

    Example:

        class Two(nnc.Model):
            def __init__(self):
                super().__init__()
                self.hidden = nnc.layers.Dense(32, activation="relu")
                self.out = nnc.layers.Dense(1)

            def call(self, x):
                return self.out(self.hidden(x))
    """

    _takes_remat = False

    def __new__(cls, *args, **kwargs):
        if cls is Model and is_functional(args, kwargs):
            from .functional import Functional

            cls = Functional
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args, **kwargs):
        if is_functional(args, kwargs):
            from .functional import Functional, make_functional

            make_functional(type(self))
            Functional.__init__(self, *args, **kwargs)
            return
        if args:
            raise ValueError(f"{type(self).__name__}: expected `Model(inputs, outputs)`, or no "
                             f"positional arguments. Received: {args}")
        Layer.__init__(self, **kwargs)
        Trainer.__init__(self)

    def __getstate__(self):
        """For `copy` and `pickle`: without programs (they are recorded anew) and history."""
        dropped = ("_programs", "_fast", "_eager_kinds", "_ready", "_repeated", "_found", "_flat",
                   "_last_loss", "history", "train_function", "test_function", "predict_function")
        return {key: value for key, value in super().__getstate__().items() if key not in dropped}

    def __setstate__(self, state):
        super().__setstate__(dict(state, history=None, _ready=None, _repeated=Repeated()))
        self._forget()

    @property
    def layers(self):
        """The layers of the model."""
        return [layer for layer in self._sublayers if not isinstance(layer, InputLayer)]

    @layers.setter
    def layers(self, _):
        raise AttributeError("`Model.layers` is reserved: name the attribute otherwise.")

    def get_layer(self, name=None, index=None):
        """The layer of a name or at an index.

        Raises:
            ValueError: If there is none; the text names the nearest one there is.
        """
        if (name is None) == (index is None):
            raise ValueError("get_layer: pass either a layer name or an index. "
                             f"Received: name={name!r}, index={index!r}")
        layers = self.layers
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ValueError(f"get_layer: there are {len(layers)} layers. Received: "
                                 f"index={index}")
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        raise ValueError(f"No such layer: {name!r}; "
                         f"{suggest(name, [layer.name for layer in layers])}")

    def _convert(self, value, positional):
        """As of any layer; strings stay arrays if a layer of the model takes them."""
        if not isinstance(value, KerasTensor) and holds_strings(value) and any(
                layer._takes_strings for layer in self._flatten_layers(include_self=False)):
            return string_array(value, f"Model '{self.name}': the input")
        return super()._convert(value, positional)

    def build(self, input_shape):
        """Makes the weights by recording a call on inputs of a shape."""
        self.compute_output_spec(_placeholders(tuple(input_shape) if isinstance(input_shape, list)
                                               and not any(tree.is_nest(n) for n in input_shape)
                                               else input_shape, self.input_dtype))

    def _build_for(self, args, kwargs):
        """A model that does not override `build` is built by its first call."""
        if type(self).build is not Model.build:
            super()._build_for(args, kwargs)
            return
        shapes = tree.map_leaves(lambda x: (None, *x.shape[1:]), args[0]) if args else None
        self._build_shapes = {"input_shape": shapes}
        if any(isinstance(leaf, KerasTensor) for leaf in tree.flatten(list(args))):
            self.built = True

    def summary(self, line_length=None, positions=None, print_fn=None, expand_nested=False,
                show_trainable=False, layer_range=None, detail=False, batch_size=32):
        """Prints a table of the layers, their output shapes and numbers of parameters.

        Args:
            line_length: Characters in a line.
            positions: Shares of the line at which the columns end.
            print_fn: What prints: called with the text. Defaults to `print`.
            expand_nested: Whether layers in layers are shown.
            show_trainable: Whether a column says what is trained.
            layer_range: Two names (patterns): the first and the last layer shown.
            detail: Whether a second table tells what a batch will cost: the dtype, multiply-adds,
                bytes of activations and estimated time of each layer, and the peak memory of
                `predict` and (if the model is compiled) of `fit`, beyond Python, the data and the
                outputs; a shorter last batch takes its own activations and gradients besides.
                Nothing is trained or changed. Not in Keras.
            batch_size: Samples in that batch.

        Raises:
            ValueError: If `detail` is asked for and the shapes of the inputs are not known.
        """
        from ..summary import print_summary

        print_summary(self, line_length, positions, print_fn, expand_nested, show_trainable,
                      layer_range, detail, batch_size)

    def _repr_html_(self):
        from ..html import model_html

        return model_html(self)

    def compiled_loss(self, y, y_pred, sample_weight=None, regularization_losses=None):
        """`compute_loss`, by its name of earlier versions, with a warning.

        Args:
            y, y_pred, sample_weight: As for `compute_loss`.
            regularization_losses: `None` or `model.losses`, which are in the result either way.

        Raises:
            ValueError: If `regularization_losses` are not as many as `model.losses`.
        """
        import warnings

        own = len(self.losses)
        if regularization_losses is not None and len(regularization_losses) != own:
            raise ValueError("compiled_loss: `regularization_losses` must be None or `model.losses`, "
                             f"{own} here. Received: {len(regularization_losses)}")
        warnings.warn("`model.compiled_loss()` is deprecated. Use `model.compute_loss(x, y, y_pred, "
                      "sample_weight, training)`.", UserWarning, stacklevel=2)
        return self.compute_loss(x=None, y=y, y_pred=y_pred, sample_weight=sample_weight)

    def loss(self, y, y_pred, sample_weight=None):
        """`compute_loss`, by its name of earlier versions, with a warning. As in Keras it is reached
        through the class only: the attribute of a model is what `compile` was given.

        Args:
            y, y_pred, sample_weight: As for `compute_loss`.
        """
        import warnings

        warnings.warn("`model.loss()` is deprecated. Use `model.compute_loss(x, y, y_pred, "
                      "sample_weight, training)`.", UserWarning, stacklevel=2)
        return self.compute_loss(x=None, y=y, y_pred=y_pred, sample_weight=sample_weight)

    def stateless_compute_loss(self, trainable_variables, non_trainable_variables,
                               metrics_variables, x=None, y=None, y_pred=None,
                               sample_weight=None, training=True):
        """`compute_loss` with other values in the place of the variables, which stay as they are.

        Args:
            trainable_variables, non_trainable_variables, metrics_variables: A value for each of the
                model's variables of that kind.
            x, y, y_pred, sample_weight, training: As for `compute_loss`.

        Returns:
            The loss, and a tuple of the three lists of values after it.
        """
        kinds = self.trainable_variables, self.non_trainable_variables, self.metrics_variables
        given = (list(trainable_variables), list(non_trainable_variables), list(metrics_variables))
        for name, own, new in zip(("trainable", "non_trainable", "metrics"), kinds, given):
            if len(own) != len(new):
                raise ValueError(f"stateless_compute_loss: the model has {len(own)} variables for "
                                 f"`{name}_variables`. Received: {len(new)} values")
        loss, state = apart(sum(map(list, kinds), []), sum(given, []), lambda: self.compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training))
        first, second = len(kinds[0]), len(kinds[0]) + len(kinds[1])
        return loss, (state[:first], state[first:second], state[second:])

    def get_state_tree(self, value_format="backend_tensor"):
        """All variables as nested dictionaries: kind, then the parts of the path, then the value.

        Args:
            value_format: `"backend_tensor"` or `"numpy_array"`: what the values are.

        Returns:
            Dict with the keys `trainable_variables`, `non_trainable_variables`,
            `optimizer_variables` and `metrics_variables`. The values are copies.
        """
        from .state_tree import get_state_tree

        return get_state_tree(self, value_format)

    def set_state_tree(self, state_tree):
        """Gives variables the values of what `get_state_tree` returned, or of a part of it.

        Raises ValueError for a path that the model lacks (Keras passes over those) or another
        shape; then no variable has changed.
        """
        from .state_tree import set_state_tree

        set_state_tree(self, state_tree)

    def to_json(self, **kwargs):
        """The model's configuration as JSON; `kwargs` go to `json.dumps`."""
        import json

        from ..saving.object_registration import serialize_keras_object

        return json.dumps(serialize_keras_object(self), **kwargs)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The model that `get_config` described."""
        from .functional import Functional, functional_from_config

        if {"layers", "input_layers", "output_layers"} <= set(config):
            if cls is Model or issubclass(cls, Functional) or any(
                    p.kind == p.VAR_KEYWORD or p.name == "inputs"
                    for p in inspect.signature(cls.__init__).parameters.values()):
                return functional_from_config(cls, config, custom_objects)
        known = inspect.signature(cls.__init__).parameters
        if not any(p.kind == p.VAR_KEYWORD for p in known.values()):
            config = {key: value for key, value in config.items() if key in known}
        return super().from_config(config)
