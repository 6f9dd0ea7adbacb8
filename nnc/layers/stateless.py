"""Calls of a layer with other values in the place of its variables."""
import contextlib

from .. import _core


def stateless_call(layer, trainable_variables, non_trainable_variables, args, return_losses,
                   kwargs):
    """See `Layer.stateless_call`."""
    if not layer.built:
        raise ValueError(f"To call stateless_call, layer '{layer.name}' must be built (its "
                         "variables must have been created).")
    variables = layer.trainable_variables, layer.non_trainable_variables
    values = list(trainable_variables), list(non_trainable_variables)
    for kind, own, new in zip(("trainable", "non_trainable"), variables, values):
        if len(own) != len(new):
            raise ValueError(f"stateless_call: layer '{layer.name}' has {len(own)} {kind} "
                             f"variables. Received: {len(new)}")
    fixed, kept = variables[1], [variable.numpy() for variable in variables[1]]
    swaps = {id(variable): _core.convert(value, variable.dtype)
             for variable, value in zip(variables[0], values[0])}
    try:
        for variable, value in zip(fixed, values[1]):
            variable.assign(value)
        with _swapped(layer, swaps):
            outputs = layer(*args, **kwargs)
            losses = _losses(layer, swaps) if return_losses else None
        state = [_core.convert(variable.numpy()) for variable in fixed]
    finally:
        for variable, value in zip(fixed, kept):
            variable.assign(value)
    return (outputs, state, losses) if return_losses else (outputs, state)


def _losses(layer, swaps):
    """`layer.losses`, with the penalties of the weights' given values."""
    penalties = [weight.regularizer(swaps[id(weight)]) for weight in layer.trainable_weights
                 if weight.regularizer is not None]
    losses = layer.losses
    return losses[:len(losses) - len(penalties)] + penalties


@contextlib.contextmanager
def _swapped(layer, swaps):
    """Tensors in the place of variables, in the attributes of a layer and of those in it."""
    replaced = []
    for inner in layer._flatten_layers():
        for name, value in list(inner.__dict__.items()):
            if isinstance(value, _core.Variable) and id(value) in swaps:
                replaced.append((inner.__dict__, name, value))
                inner.__dict__[name] = swaps[id(value)]
    try:
        yield
    finally:
        for attributes, name, value in replaced:
            attributes[name] = value
