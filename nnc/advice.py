"""What `fit` looks at besides training: mistakes that cost hours and can be seen in a moment.

Before the first step: how the outputs and the losses fit together, whether images are scaled,
whether rows to validate with are rows to train with. Samples of the rows are read, never all of
them; once a `compile`. After epochs: a loss that stands still, layers that are dead.
"""
import numpy as np

from . import activations, tree
from .data.mapped import pick
from .layers import (Activation, ActivityRegularization, BatchNormalization, Dense, Dropout,
                     Flatten, Identity, InputLayer, Layer, Reshape, Softmax)
from .layers.convolutional import _Convolution
from .models.functional import Functional
from .models.sequential import Sequential
from .warnings import tell, wanted

_LOSSES = ("binary_crossentropy", "binary_focal_crossentropy", "categorical_crossentropy",
           "categorical_focal_crossentropy", "sparse_categorical_crossentropy")
_PROBABILITIES = ("softmax", "sigmoid", "hard_sigmoid")
# Layers that leave the values of their input as they are.
_THROUGH = (ActivityRegularization, Dropout, Flatten, Identity, Reshape)
# Rows that are looked at.
_IMAGES, _TRAINED, _VALIDATED, _COLUMNS = 16, 2048, 512, 8
# Shares of the validation rows: found among the training rows; alike among themselves.
_OVERLAP, _REPEATED = 0.05, 0.01


def before_training(model, run, validation):
    """All that can be told before the first step; once a `compile`."""
    values = model.__dict__
    if values.get("_advised"):
        return
    values["_advised"] = True
    check_outputs(model)
    check_images(model, run.data)
    if validation is not None and hasattr(validation[1], "order"):
        check_overlap(model, run.data, validation[0].data)


# ---- outputs and losses --------------------------------------------------------------------------

def output_layers(model):
    """The layer that makes each output, as far as the model says; else an empty list."""
    if isinstance(model, Sequential):
        found = [layer for layer in model.layers if not isinstance(layer, _THROUGH)]
        return _inner(found[-1]) if found else []
    if isinstance(model, Functional):
        return [_maker(tensor) for tensor in model.outputs]
    return []


def _inner(layer):
    return output_layers(layer) if isinstance(layer, (Sequential, Functional)) else [layer]


def _maker(tensor):
    """The layer or op behind a KerasTensor, through those that change no value."""
    operation, index, number = tensor._keras_history
    while isinstance(operation, _THROUGH):
        parent = operation._inbound_nodes[index].input_tensors[0]
        operation, index, number = parent._keras_history
    inner = _inner(operation)
    return inner[number] if number < len(inner) else None


def activation_name(layer):
    """The name of the function that a layer ends with; `None` if that is not known."""
    if isinstance(layer, Softmax):
        return "softmax"
    function = getattr(layer, "_function", None)            # an op
    if function is None and isinstance(layer, (Dense, _Convolution, Activation)):
        function = activations.linear if layer.activation is None else layer.activation
    return getattr(function, "__name__", None)


def check_outputs(model):
    """Softmax over one unit; probabilities and logits against the losses' `from_logits`."""
    for layer in model._flatten_layers():
        nodes = layer._nodes if isinstance(layer, Functional) else ()
        ops = [node.operation for node in nodes if not isinstance(node.operation, Layer)]
        for part in (layer, *ops):
            if _softmax_of_one(part):
                tell("softmax-of-one", f"Layer '{part.name}' of model '{model.name}': softmax over "
                     "one unit is always 1, and nothing is learned. Use activation='sigmoid' with "
                     "'binary_crossentropy', or a unit for each class.", model)
    layers = output_layers(model)
    for index, loss, *_ in getattr(model._compile_loss, "_entries", None) or ():
        name = getattr(getattr(loss, "fn", None), "__name__", None)
        if name not in _LOSSES or index >= len(layers):
            continue
        logits = bool((getattr(loss, "_fn_kwargs", None) or {}).get("from_logits", False))
        _check_logits(model, layers[index], name, logits)


def _check_logits(model, layer, loss, logits):
    made = activation_name(layer)
    if logits and made in _PROBABILITIES:
        tell("from-logits", f"Model '{model.name}': layer '{layer.name}' ends with {made}, which "
             f"gives probabilities, but the loss {loss} has from_logits=True. Drop one of the two.",
             model)
    elif not logits and made == "linear":
        right = "sigmoid" if loss.startswith("binary") else "softmax"
        tell("from-logits", f"Model '{model.name}': layer '{layer.name}' has no activation, so it "
             f"gives logits, but the loss {loss} has from_logits=False and expects probabilities. "
             f"Pass from_logits=True to the loss, or end the model with activation='{right}'.",
             model)


def _softmax_of_one(part):
    """Whether a layer, or an op of a functional model, is a softmax over an axis of size 1."""
    if activation_name(part) != "softmax":
        return False
    if isinstance(part, Dense):
        return part.units == 1
    axis = getattr(part, "_options", {}).get("axis", getattr(part, "axis", -1))
    return isinstance(axis, int) and any(
        -len(t.shape) <= axis < len(t.shape) and t.shape[axis] == 1
        for node in part._inbound_nodes for t in node.output_tensors)


# ---- images --------------------------------------------------------------------------------------

def _first_layer(model):
    """The layer that the first input goes into, if the model says."""
    layers = model.layers if isinstance(model, Sequential) else []
    if isinstance(model, Functional):
        tensor = model.inputs[0]
        readers = [node for node in model._nodes if any(t is tensor for t in node.input_tensors)]
        while len(readers) == 1 and isinstance(readers[0].operation, _THROUGH):
            tensor = readers[0].output_tensors[0]
            readers = [n for n in model._nodes if any(t is tensor for t in n.input_tensors)]
        layers = [readers[0].operation] if len(readers) == 1 else []
    found = [layer for layer in layers if not isinstance(layer, (*_THROUGH, InputLayer))]
    if found and isinstance(found[0], (Sequential, Functional)):
        return _first_layer(found[0])
    return found[0] if found else None


def _looks_like_image(shape):
    """Whether rows of a shape can be images: two sides, or a square of 64 and more laid flat."""
    if len(shape) == 3:
        return shape[-1] in (1, 3, 4) or shape[0] in (1, 3, 4)
    if len(shape) == 2:
        return min(shape) >= 8
    side = round(max(shape[0], 1) ** 0.5) if len(shape) == 1 else 0
    third = round((shape[0] / 3) ** 0.5) if len(shape) == 1 else 0
    return side >= 8 and (side * side == shape[0] or 3 * third * third == shape[0])


def check_images(model, data):
    """Images of 0 to 255 that go straight into a dense or convolutional layer."""
    leaves = tree.flatten(data.x)
    if len(leaves) != 1 or not wanted("unscaled-images", model):
        return
    x, first = leaves[0], _first_layer(model)
    if x.dtype.kind not in "uif" or not _looks_like_image(x.shape[1:]) \
            or not isinstance(first, (Dense, _Convolution)):
        return
    picked = np.arange(0, len(x), max(len(x) // _IMAGES, 1))[:_IMAGES]
    rows = pick(x, picked).astype("float64")
    if not rows.size:
        return
    low, high = rows.min(), rows.max()
    if low >= 0 and 100 < high <= 255 and (rows == np.floor(rows)).all():
        tell("unscaled-images", f"Model '{model.name}': `x` looks like images with values of 0 to "
             f"{high:g}, and goes unscaled into layer '{first.name}'. Networks learn badly from "
             "such values: divide by 255 (x.astype('float32') / 255), or begin the model with "
             "layers.Rescaling(1 / 255).", model)


# ---- validation rows that are training rows ------------------------------------------------------

def _keys(x, rows, columns):
    """A number for each row, the same for equal rows."""
    part = x.reshape(len(x), -1)[rows[:, None], columns].astype("float64")
    return (part * np.sqrt(np.arange(2, len(columns) + 2))).sum(axis=1)


def _some(count, most, random):
    return np.arange(count) if count <= most else random.integers(0, count, most)


def _pairs(x, y, random):
    """Rows of x and y that may be equal, and how many of the rows of y that were looked at were
    alike: `(trained, validated, looked at, alike)`."""
    width = x[0].size
    columns = np.unique(np.linspace(0, width - 1, _COLUMNS + 2)[1:-1].astype(int)) \
        if width > 4 * _COLUMNS else np.arange(width)
    trained, validated = _some(len(x), _TRAINED, random), _some(len(y), _VALIDATED, random)
    validated = np.unique(validated)
    keys, order = np.unique(_keys(x, trained, columns), return_index=True)
    mine = _keys(y, validated, columns)
    place = np.minimum(np.searchsorted(keys, mine), len(keys) - 1)
    hit = keys[place] == mine
    return trained[order[place[hit]]], validated[hit], len(validated), \
        len(mine) - len(np.unique(mine))


def check_overlap(model, data, other):
    """Rows of the validation among those of the training, by a sample of both."""
    leaves, theirs = tree.flatten(data.x), tree.flatten(other.x)
    x, y = leaves[0], theirs[0]
    if not wanted("validation-in-training", model) or len(leaves) != len(theirs) \
            or x.shape[1:] != y.shape[1:] or not len(x) or not len(y) or x[0].size < 2 \
            or any(isinstance(a, np.memmap) or a.dtype.kind not in "uifb"
                   or not a.flags.c_contiguous for a in (x, y)):
        return
    trained, validated, looked, alike = _pairs(x, y, np.random.default_rng(0))
    if alike > _REPEATED * looked or not len(validated):
        return                                  # rows repeat by their nature, as of a few flags
    same = [all(np.array_equal(a[i], b[j]) for a, b in zip(leaves, theirs))
            for i, j in zip(trained[:64], validated[:64])]
    share = len(validated) / looked * np.mean(same) * max(len(x) / _TRAINED, 1)
    if sum(same) < min(3, looked) or share < _OVERLAP:
        return
    first = same.index(True)
    tell("validation-in-training", f"Model '{model.name}': about {min(share, 1):.0%} of the rows "
         f"to validate with are rows to train with (row {validated[first]} of the validation's "
         f"`x` is row {trained[first]} of `x`), so val_loss says little about new data. Pass rows "
         "that are not trained with, or validation_split.", model)
