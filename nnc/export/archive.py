"""`ExportArchive`, and what `Model.export` does.

A function of tensors is recorded (`record`), and its nodes are written in another language by a
table of the ops: `onnx_ops`, `c_ops`. All is made in memory before a file is touched.
"""
import os

from .. import tree
from ..layers.layer import Layer
from .record import Spec, output_names, record, to_spec

#: Keras's formats that are not here, and why.
_REFUSED = {
    "tf_saved_model": "a SavedModel holds TensorFlow's graph, which TensorFlow alone can write",
    "saved_model": "a SavedModel holds TensorFlow's graph, which TensorFlow alone can write",
    "litert": "TensorFlow Lite's converter is part of TensorFlow",
    "tflite": "TensorFlow Lite's converter is part of TensorFlow",
    "openvino": "OpenVINO has a converter of its own, which reads ONNX files: export 'onnx', then "
                "`ovc model.onnx`",
    "torch": "an ExportedProgram holds torch's graph, which torch alone can write",
    "neptune_model": "no program but Keras on TensorFlow reads it",
}


def check_format(format, who):
    """`format` if it is one of `FORMATS`.

    Raises:
        ValueError: If it is not; the text says why.
    """
    if format in FORMATS:
        return format
    why = _REFUSED.get(format)
    reason = f": {why}" if why else ""
    raise ValueError(f"{who}: `format` must be 'onnx' or 'c'. Received: format={format!r}{reason}. "
                     "Pass format='onnx' for ONNX Runtime and other programs, format='c' for a C "
                     "source file")


# ---- what a model takes --------------------------------------------------------------------------

def signature_of(model):
    """The nest of `Spec`s of each argument of a model's call, from what it was built for."""
    from ..models.functional import Functional

    if isinstance(model, Functional):
        struct = model._inputs_struct
        if isinstance(struct, dict):
            return [{key: tree.map_leaves(lambda t, key=key: Spec(t.shape, t.dtype, key), part)
                     for key, part in struct.items()}]
        return [tree.map_leaves(lambda t: Spec(t.shape, t.dtype,
                                               t._keras_history.operation.name), struct)]
    try:
        shape = model.input_shape
    except AttributeError:
        shape = (model.__dict__.get("_build_shapes") or {}).get("input_shape")
    if shape is None:
        raise ValueError(f"export: the inputs of model '{model.name}' are not known: call it on "
                         "data first, or pass an `input_signature`, such as "
                         "[InputSpec(shape=(None, 3), dtype='float32')]")
    names = iter(_input_names(model))
    return [_map_shapes(lambda one: Spec(one, model.input_dtype, next(names, None)), shape)]


def _input_names(model):
    layers = getattr(model, "_layers", ())
    from ..layers.input_layer import InputLayer

    return [layers[0].name] if layers and isinstance(layers[0], InputLayer) else []


def _map_shapes(function, shape):
    if isinstance(shape, dict):
        return {key: _map_shapes(function, shape[key]) for key in sorted(shape)}
    if all(n is None or isinstance(n, int) for n in shape):
        return function(shape)
    return type(shape)(_map_shapes(function, part) for part in shape)


def given_signature(model, signature):
    """The `Spec`s of an `input_signature` in Keras's form: a list, or tuple, of the arguments."""
    from ..models.functional import Functional

    if not isinstance(signature, (list, tuple)):
        signature = [signature]
    known = signature_of(model) if isinstance(model, Functional) else None
    count = len(tree.flatten(known)) if known else 0
    if count > 1 and len(signature) == count and not any(map(tree.is_nest, signature)):
        signature = [tree.pack(known[0], list(signature))]
    specs = [tree.map_leaves(to_spec, part) for part in signature]
    if known and len(tree.flatten(specs)) != count:
        raise ValueError(f"export: model '{model.name}' takes {count} input(s). Received: "
                         f"input_signature={signature!r}")
    for spec, mine in zip(tree.flatten(specs), tree.flatten(known or [])):
        spec.name = spec.name or mine.name
    return specs


def _names_of(model):
    """A function from a nest of outputs to their names: Keras's `output_names`, or keys."""
    from ..models.functional import Functional
    from ..models.sequential import Sequential

    def names(found):
        if isinstance(found, dict):
            return output_names(found)
        if isinstance(model, Functional):
            return [tensor._keras_history.operation.name for tensor in model.outputs]
        if isinstance(model, Sequential) and model.layers:
            return [model.layers[-1].name]
        return output_names(found)
    return names


# ---- formats -------------------------------------------------------------------------------------

def _onnx_files(recordings, path, opset_version=None, external_data=None):
    from .onnx_file import to_file

    if external_data not in (None, True, False):
        raise ValueError("export: `external_data` must be True, False or None. Received: "
                         f"external_data={external_data!r}")
    return {path if len(recordings) == 1 else os.path.join(path, f"{name}.onnx"):
            to_file(recording, name, opset_version, external_data)
            for name, recording in recordings.items()}


def _c_files(recordings, path):
    from .c_file import to_sources

    return to_sources(recordings, path)


FORMATS = {"onnx": _onnx_files, "c": _c_files}


def _write(files, verbose, who):
    """Writes texts, bytes, and what writes itself, by path, each whole or not at all."""
    from ..utils.file import atomic_write

    for path, data in files.items():
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        if hasattr(data, "write"):
            data.write(path)
            continue
        with atomic_write(path, "wb" if isinstance(data, bytes) else "w") as file:
            file.write(data)
    if verbose:
        print(f"{who}: wrote {', '.join(files)}")


def export_model(model, filepath, format, verbose=None, input_signature=None, **kwargs):
    """See `Model.export`."""
    check_format(format, "Model.export")
    allowed = ("opset_version", "external_data") if format == "onnx" else ()
    unknown = [name for name in kwargs if name not in allowed]
    if unknown:
        raise TypeError(f"Model.export: format='{format}' takes no argument {unknown[0]!r}. "
                        f"Received: {sorted(kwargs)}")
    if not model.built:
        raise ValueError(f"Model.export: model '{model.name}' has no weights yet: build it or "
                         "call it on data first")
    strings = [t.name for t in getattr(model, "inputs", ()) if t.dtype == "string"] \
        if getattr(model, "_takes_strings", False) and model.built else []
    if strings:
        raise NotImplementedError(f"export: the input '{strings[0]}' of model '{model.name}' holds "
                                  "strings, which exported files do not take. Export a model of the "
                                  "layers behind those that make numbers of them.")
    signature = signature_of(model) if input_signature is None \
        else given_signature(model, input_signature)
    recording = record(lambda *args: model(*args, training=False), signature,
                       model._flatten_layers(), _names_of(model))
    _write(FORMATS[format]({model.name: recording}, os.fspath(filepath), **kwargs),
           True if verbose is None else verbose, "Model.export")


class ExportArchive:
    """Writes functions of a model, its endpoints, as files that run without nnc.

    Args:
        format: `"onnx"` or `"c"`. Keras's default, a SavedModel, needs TensorFlow.

    Example:

        archive = nnc.export.ExportArchive(format="onnx")
        archive.track(model)
        archive.add_endpoint("serve", model.call,
                             input_signature=[nnc.InputSpec(shape=(None, 3), dtype="float32")])
        archive.write_out("model.onnx")

    Raises:
        ValueError: If the format is not one of the two; the text says why.
    """

    def __init__(self, format="saved_model"):
        self.format = check_format(format, "ExportArchive")
        self._tracked, self._endpoints, self._collections = [], {}, {}

    def track(self, resource):
        """Notes a layer or a model whose weights the endpoints use."""
        if not isinstance(resource, Layer):
            raise ValueError("track: expected a layer or a model. Received: "
                             f"resource={resource!r} (of type {type(resource).__name__})")
        if not resource.built:
            raise ValueError(f"track: '{resource.name}' has no weights yet: build it or call it "
                             "on data first")
        if not any(one is resource for one in self._tracked):
            self._tracked.append(resource)

    def add_endpoint(self, name, fn, input_signature=None):
        """Adds a function.

        Args:
            name: Its name, and, where there are several, that of its file or C function.
            fn: A function of tensors, such as `model.call`; only tensors may depend on them.
            input_signature: A list with a nest of InputSpecs, KerasTensors or arrays for each of
                its arguments; `None` in a shape is a size not known. May be left out if `fn` is a
                model or a method of one that was built.

        Returns:
            `fn`.
        """
        if name in self._endpoints:
            raise ValueError(f"add_endpoint: there is an endpoint of this name already. Received: "
                             f"name={name!r}")
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError("add_endpoint: `name` must be a name as programs have them. Received: "
                             f"name={name!r}")
        model = fn if isinstance(fn, Layer) else getattr(fn, "__self__", None)
        if input_signature is None:
            if not isinstance(model, Layer) or not hasattr(model, "fit"):
                raise ValueError("add_endpoint: an `input_signature` is needed for a function "
                                 f"that is no model's. Received: fn={fn!r}")
            signature = signature_of(model)
        else:
            signature = [tree.map_leaves(to_spec, part) for part in (
                input_signature if isinstance(input_signature, (list, tuple))
                else [input_signature])]
        layers = list(self._tracked)
        if isinstance(model, Layer) and not any(one is model for one in layers):
            layers.append(model)
        found, seen = [], set()
        for layer in (inner for one in layers for inner in one._flatten_layers()):
            if id(layer) not in seen:
                seen.add(id(layer))
                found.append(layer)
        self._endpoints[name] = record(fn, signature, found)
        return fn

    def track_and_add_endpoint(self, name, resource, input_signature):
        """`track(resource)`, then `add_endpoint` of its call."""
        self.track(resource)
        return self.add_endpoint(name, resource, input_signature)

    def _variables(self, kind):
        found, seen = [], set()
        for layer in self._tracked:
            for variable in getattr(layer, kind):
                if id(variable) not in seen:
                    seen.add(id(variable))
                    found.append(variable)
        return found

    @property
    def variables(self):
        """The variables of what is tracked."""
        return self._variables("variables")

    @property
    def trainable_variables(self):
        """Those that training changes."""
        return self._variables("trainable_variables")

    @property
    def non_trainable_variables(self):
        """Those that training does not change."""
        return self._variables("non_trainable_variables")

    def write_out(self, filepath, options=None, verbose=True):
        """Writes the files.

        Args:
            filepath: Path of the file. ONNX with several endpoints: of a folder, which gets a
                file for each. C: of the source file; the header stands beside it.
            options: Must be `None`: they are TensorFlow's.
            verbose: Whether what was written is printed.
        """
        if options is not None:
            raise ValueError("write_out: `options` are TensorFlow's and must be None. Received: "
                             f"options={options!r}")
        if not self._endpoints:
            raise ValueError("write_out: there is no endpoint: call `add_endpoint` first")
        _write(FORMATS[self.format](self._endpoints, os.fspath(filepath)), verbose, "write_out")
