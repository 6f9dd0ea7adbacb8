"""New models like given ones, and models of JSON."""
from .. import tree
from ..layers.input_layer import Input, InputLayer
from ..layers.keras_tensor import KerasTensor
from ..layers.layer import Layer
from .functional import Functional
from .graph import fill, replay
from .model import Model
from .sequential import Sequential


def clone_model(model, input_tensors=None, clone_function=None, call_function=None,
                recursive=False, **kwargs):
    """A model of the same layers with new weights.

    Args:
        model: A `Sequential` or functional model, or one that has `get_config`.
        input_tensors: KerasTensors that the new model begins with; by default new inputs.
        clone_function: Makes the new layer of a layer (inputs are not asked for). By default
            `layer.from_config(layer.get_config())`.
        call_function: Calls a new layer: `call_function(layer, *args, **kwargs)`; functional models
            only.
        recursive: Whether models in the model are cloned layer by layer too.
        **kwargs: Must be empty.

    Raises:
        ValueError: If an argument does not fit the kind of the model.
    """
    cache = kwargs.pop("cache", None)
    cache = {} if cache is None else cache
    if kwargs:
        raise ValueError(f"clone_model: unexpected arguments {sorted(kwargs)}.")
    if isinstance(model, Sequential):
        if call_function is not None:
            raise ValueError("clone_model: `call_function` is for functional models. Received: a "
                             "Sequential model")
        return _clone_sequential(model, input_tensors,
                                 _cloner(clone_function, recursive, None, cache))
    if isinstance(model, Functional):
        if input_tensors is None or isinstance(input_tensors, (list, tuple, dict, KerasTensor)):
            return _clone_functional(model, input_tensors, _cloner(
                clone_function, recursive, call_function, cache), call_function)
        raise ValueError("clone_model: `input_tensors` must be KerasTensors. Received: "
                         f"{input_tensors!r}")
    if not isinstance(model, Model):
        raise ValueError(f"clone_model: expected a Model. Received: {model!r}")
    if clone_function is not None or input_tensors is not None:
        raise ValueError("clone_model: a subclassed model is cloned by its configuration; "
                         "`clone_function` and `input_tensors` must be None.")
    return type(model).from_config(model.get_config())


def _cloner(clone_function, recursive, call_function, cache):
    """The function that gives the new layer of a layer, the same one each time."""
    def clone(layer):
        if id(layer) not in cache:
            if recursive and isinstance(layer, (Sequential, Functional)):
                made = clone_model(layer, clone_function=clone_function, recursive=True,
                                   call_function=call_function
                                   if isinstance(layer, Functional) else None, cache=cache)
            elif clone_function is not None and isinstance(layer, Layer):
                made = clone_function(layer)
                if not isinstance(made, Layer):
                    raise ValueError("clone_model: `clone_function` must return a layer. Received: "
                                     f"{made!r} for layer '{layer.name}'")
            elif isinstance(layer, Layer):
                made = type(layer).from_config(layer.get_config())
            else:
                made = type(layer)(layer._function, **layer.get_config())
            cache[id(layer)] = made
        return cache[id(layer)]
    return clone


def _clone_sequential(model, input_tensors, clone):
    layers = [clone(layer) for layer in model.layers]
    first = model._layers[0] if model._layers else None
    if input_tensors is not None:
        tensors = tree.flatten(input_tensors)
        if len(tensors) != 1 or not isinstance(tensors[0], KerasTensor):
            raise ValueError("clone_model: a Sequential model takes one KerasTensor as "
                             f"`input_tensors`. Received: {input_tensors!r}")
        layers.insert(0, Input(batch_shape=tensors[0].shape, dtype=tensors[0].dtype))
    elif isinstance(first, InputLayer):
        layers.insert(0, InputLayer.from_config(first.get_config()))
    return Sequential(layers, name=model.name, trainable=model.trainable)


def _clone_functional(model, input_tensors, clone, call_function):
    if input_tensors is None:
        made = [InputLayer.from_config(tensor._keras_history.operation.get_config()).output
                for tensor in model.inputs]
    else:
        made = tree.flatten(input_tensors)
        if len(made) != len(model.inputs):
            raise ValueError(f"clone_model: expected {len(model.inputs)} `input_tensors`. "
                             f"Received: {len(made)}")
    values = {id(old): new for old, new in zip(model.inputs, made)}

    def call(operation, args, kwargs):
        new = clone(operation)
        if call_function is not None and isinstance(operation, Layer):
            return call_function(new, *args, **kwargs)
        return new(*args, **kwargs)
    replay(model._nodes, values, call)
    return type(model)(fill(model._inputs_struct, values), fill(model._outputs_struct, values),
                       name=model.name)


def model_from_json(json_string, custom_objects=None):
    """The model that `to_json` described, with new weights.

    Raises:
        ValueError: If the text is no JSON, or no model's.
        TypeError: If it names a class that is neither nnc's nor registered.
    """
    from ..saving.hdf5 import parse_json
    from ..saving.keras_file import make

    return make(parse_json(json_string, "model_from_json"), custom_objects, "model_from_json")
