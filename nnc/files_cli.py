"""The commands about files: `nnc inspect`, `convert`, `diff` and `verify`. None runs anything of a
file.

    nnc inspect m.keras                 what is in it
    nnc verify m.keras                  whether it can be opened, and every value is finite
    nnc convert m.keras m.safetensors   the same weights in another format
    nnc diff a.keras b.h5               which weights differ, and by how much
"""
import os

import numpy as np

_SUFFIXES = (".keras", ".weights.h5", ".weights.json", ".h5", ".hdf5", ".npz", ".safetensors",
             ".onnx")


def add_commands(add):
    """Adds the commands; `add(name, text)` makes the parser of one."""
    show = add("inspect", "what is in a file of a model or of weights")
    show.add_argument("file")
    show.add_argument("--json", action="store_true", help="print JSON")
    verify = add("verify", "whether a file is whole and safe to open")
    verify.add_argument("file")
    convert = add("convert", "write a model or weights in another format")
    convert.add_argument("source")
    convert.add_argument("target")
    convert.add_argument("--dtype", help="store floating-point values so (.npz, .safetensors)")
    diff = add("diff", "which weights of two files differ")
    diff.add_argument("a")
    diff.add_argument("b")


def run(options):
    """Runs a command; returns the exit status."""
    try:
        return {"inspect": _inspect, "verify": _verify, "convert": _convert, "diff": _diff}[
            options.command](options)
    except BrokenPipeError:
        raise
    except (ValueError, TypeError, OSError, ImportError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            error = f"{error.filename}: {error.strerror}"
        print(f"nnc {options.command}: {error}")
        return 1


# ---- reading without a model ---------------------------------------------------------------------

def _arrays_of(file, places):
    """Name and array of each dataset of an HDF5 file, but nnc's own; `places` gets the layer and
    the number in it that each belongs to.
    """
    from .saving import hdf5, legacy

    found = {}

    def add(name, thing):
        if hasattr(thing, "shape") and not name.startswith("nnc/"):
            found[name] = hdf5.read(thing)
            owner = thing.parent.attrs.get("name")
            if owner is not None:
                places[name] = legacy._text(owner), name.rpartition("/")[2]
        elif not hasattr(thing, "shape"):
            for i, weight in enumerate(legacy._names(thing, "weight_names")):
                places[f"{name}/{weight}"] = name.rpartition("/")[2], str(i)
    file.visititems(add)
    return found


def _places_of(names):
    """The layer and the number in it of arrays that are named by the paths of weights."""
    counts, places = {}, {}
    for name in names:
        layer = name.rpartition("/")[0]
        places[name] = layer.rpartition("/")[2], str(counts.get(layer, 0))
        counts[layer] = counts.get(layer, 0) + 1
    return places


def read_file(path):
    """Arrays by name, and a dict of facts: `places` (of arrays: the layer and the number in it),
    `config`, `metadata` and `random` (those that the file has).
    """
    values, facts = _read_file(path)
    facts.setdefault("places", _places_of(values))
    return values, facts


def _read_file(path):
    from .saving import arrays, hdf5, keras_file, legacy

    facts = {}
    if path.endswith(".keras") or os.path.isdir(path):
        with keras_file.members(path) as (read, weights, _):
            facts["config"] = hdf5.parse_json(read(keras_file.CONFIG), keras_file.CONFIG)
            facts["metadata"] = hdf5.parse_json(read(keras_file.METADATA), keras_file.METADATA)
            with weights() as file:
                facts["random"], facts["places"] = _random(file), {}
                return _arrays_of(file, facts["places"]), facts
    if path.endswith(".weights.json"):
        return _shards(path, facts)
    if path.endswith((".h5", ".hdf5")):
        with hdf5.opened(path, path) as file:
            facts["config"] = legacy._json(file, "model_config", path)
            version = file.attrs.get("keras_version")
            facts["metadata"] = {} if version is None else {"keras_version": legacy._text(version)}
            facts["random"], facts["places"] = _random(file), {}
            return _arrays_of(file, facts["places"]), facts
    if path.endswith((".npz", ".safetensors")):
        if path.endswith(".safetensors"):
            facts["metadata"] = arrays.read_header(path)[0].get("__metadata__")
        return arrays.load(path), facts
    if path.endswith(".onnx"):
        from .export.onnx_load import contents

        values, facts["metadata"], facts["layers"] = contents(path)
        return values, facts
    raise ValueError(f"the name must end in one of {', '.join(_SUFFIXES)}. Received: {path}")


def _shards(path, facts):
    """The arrays of all files that a map of shards names."""
    import contextlib

    from .saving import hdf5

    values, facts["places"] = {}, {}
    with contextlib.ExitStack() as stack:
        shards = hdf5.ShardReader(path, stack)
        for name, file in shards.files.items():
            size = os.path.getsize(os.path.join(os.path.dirname(path), name))
            facts.setdefault("metadata", {})[name] = f"{size:,} bytes"
            values.update(_arrays_of(file, facts["places"]))
    return values, facts


def _random(file):
    from .saving.state import RANDOM

    found = {}
    if RANDOM in file:
        file[RANDOM].visititems(lambda name, thing: found.update({name: thing[()].tolist()})
                                if hasattr(thing, "shape") else None)
    return found


def foreign_classes(config):
    """The classes and functions of a configuration that are neither nnc's nor registered."""
    from .ops.symbolic import find_op
    from .saving.object_registration import _find

    found, rest = [], [config]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            if isinstance(value.get("class_name"), str) and "config" in value:
                name, module = value["class_name"], value.get("module")
                known = name in ("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__",
                                 "__slice__", "__ellipsis__", "__tuple__")
                try:
                    known = known or find_op(value) or _find(value, None) is not None
                except (TypeError, AttributeError):
                    pass
                if not known:
                    found.append(f"{module}.{name}" if module else name)
            rest += value.values()
        elif isinstance(value, list):
            rest += value
    return sorted(set(found))


def _layers(config):
    inner = (config or {}).get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else None
    return [(str(layer.get("class_name")), str((layer.get("config") or {}).get("name")))
            for layer in layers or () if isinstance(layer, dict)
            and isinstance(layer.get("config"), (dict, type(None)))]


def inspect_file(path):
    """What a file holds, as a dictionary."""
    from .utils.file import file_digest

    values, facts = read_file(path)
    config = facts.get("config")
    return {
        "file": path,
        "bytes": _bytes_of(path),
        "sha256": None if os.path.isdir(path) else file_digest(path),
        "written_by": facts.get("metadata") or {},
        "model": (config or {}).get("class_name") or ("ONNX graph" if "layers" in facts else None),
        "layers": facts.get("layers") or _layers(config),
        "foreign_classes": foreign_classes(config) if config else [],
        "parameters": sum(int(a.size) for name, a in values.items() if not _is_optimizer(name)),
        "optimizer_values": sum(int(a.size) for name, a in values.items() if _is_optimizer(name)),
        "random": facts.get("random") or {},
        "arrays": {name: {"shape": list(a.shape), "dtype": a.dtype.name, "bytes": int(a.nbytes),
                          "layer": facts["places"].get(name, (None,))[0]}
                   for name, a in values.items()},
    }


def _bytes_of(path):
    if not os.path.isdir(path):
        return os.path.getsize(path)
    return sum(entry.stat().st_size for entry in os.scandir(path) if entry.is_file())


def _is_optimizer(name):
    return name.startswith(("optimizer/", "optimizer_weights/"))


# ---- the commands --------------------------------------------------------------------------------

def _inspect(options):
    facts = inspect_file(options.file)
    if options.json:
        import json

        print(json.dumps(facts, indent=2))
        return 0
    print(f"{facts['file']}: {facts['bytes']:,} bytes"
          + (f", SHA-256 {facts['sha256']}" if facts["sha256"] else " in a folder"))
    for key, value in facts["written_by"].items():
        print(f"  {key}: {value}")
    if facts["model"]:
        print(f"  model: {facts['model']}")
        for name, own in facts["layers"]:
            print(f"    {own} ({name})")
    for name in facts["foreign_classes"]:
        print(f"  NOT KNOWN: {name}: neither nnc's nor registered; the model cannot be loaded "
              "without it")
    print(f"  {facts['parameters']:,} parameters, {facts['optimizer_values']:,} values of the "
          "optimizer")
    for name, array in facts["arrays"].items():
        own = array["layer"] or ""
        own = "" if own in name.split("/") else f" of '{own}'"
        print(f"    {name}{own}: {tuple(array['shape'])} {array['dtype']}, {array['bytes']:,} bytes")
    for name, value in facts["random"].items():
        print(f"    random generator {name}: {value}")
    return 0


def _verify(options):
    values, facts = read_file(options.file)
    wrong = [f"'{name}' has values that are not finite" for name, value in values.items()
             if value.dtype.kind in "fV" and not np.isfinite(value.astype("float64")).all()]
    config = facts.get("config")
    if config:
        wrong += [f"class {name} is neither nnc's nor registered"
                  for name in foreign_classes(config)]
    for text in wrong:
        print(f"{options.file}: {text}")
    if not wrong:
        print(f"{options.file}: good: {len(values)} arrays"
              + (", a model" if config else ""))
    return 1 if wrong else 0


def _cast(values, dtype):
    from .ops.core import numpy_dtype

    if dtype is None:
        return values
    if dtype not in ("bfloat16", "float16", "float32", "float64"):
        raise ValueError("--dtype must be bfloat16, float16, float32 or float64. Received: "
                         f"{dtype}")
    return {name: value.astype(numpy_dtype(dtype)) if value.dtype.kind in "fV" else value
            for name, value in values.items()}


def _convert(options):
    from .saving import arrays

    source, target = options.source, options.target
    if target.endswith((".npz", ".safetensors")):
        if source.endswith((".npz", ".safetensors")):
            values = arrays.load(source)
        elif source.endswith((".weights.h5", ".weights.json")):
            values = {name: value for name, value in read_file(source)[0].items()
                      if not _is_optimizer(name)}
        else:
            model = _load(source, compile=False)
            values = {name: v.numpy() for name, v in arrays.named_weights(model).items()}
        arrays.save(target, _cast(values, options.dtype))
        again = arrays.load(target)
        count = len(again)
    else:
        if options.dtype:
            raise ValueError("--dtype is for .npz and .safetensors: the dtypes of a model are part "
                             f"of its configuration. Received: {target}")
        count = _convert_model(source, target)
    print(f"{target}: {count} arrays")
    return 0


def _load(path, **kwargs):
    from .saving import load_model

    if path.endswith(".onnx"):
        from .export.onnx_load import load_onnx

        return load_onnx(path)
    return load_model(path, **kwargs)


def _convert_model(source, target):
    """Loads a model and saves it otherwise; then both must give the same on random input."""
    if source.endswith((".weights.h5", ".weights.json", ".npz", ".safetensors")):
        raise ValueError(f"{source} holds weights without a model: it can become .npz or "
                         f".safetensors. Received: {target}")
    model = _load(source)
    if target.endswith(".weights.h5"):
        model.save_weights(target)
        return len(model.weights)
    if target.endswith(".c"):
        model.export(target, format="c", verbose=False)
        return len(model.weights)
    if target.endswith(".onnx"):
        model.export(target, format="onnx", verbose=False)
    else:
        model.save(target)
    again = _load(target)
    shape = getattr(model, "input_shape", None)
    if isinstance(shape, tuple) and all(n is None or isinstance(n, int) for n in shape):
        x = np.random.default_rng(0).normal(size=[n or 2 for n in shape]).astype("float32")
        before, after = model.predict(x, verbose=0), again.predict(x, verbose=0)
        # Layers may have become their parts on the way through ONNX: rounding differs then.
        near = ".onnx" in (source[-5:], target[-5:]) and np.allclose(before, after, 1e-4, 1e-5)
        if not near and np.asarray(before).tobytes() != np.asarray(after).tobytes():
            raise ValueError(f"{target}: the model gives other outputs than {source}")
    return len(again.weights)


def _comparable(*files):
    """The arrays of two files under names that both have: their own, or those of layers."""
    (a, a_facts), (b, b_facts) = files
    if set(a) & set(b):
        return a, b
    found = []
    for values, facts in ((a, a_facts), (b, b_facts)):
        values = {name: value for name, value in values.items() if not _is_optimizer(name)}
        named = {"/".join(facts["places"].get(name, (name,))): value
                 for name, value in values.items()}
        found.append(named if len(named) == len(values) else values)
    if not set(found[0]) & set(found[1]):
        return a, b
    print("formats differ: weights are compared by layer and number, the optimizer's are not")
    return found


def _diff(options):
    a, b = _comparable(read_file(options.a), read_file(options.b))
    differ = 0
    for name in [*a, *(name for name in b if name not in a)]:
        if name not in a or name not in b:
            text = f"only in {options.a if name in a else options.b}"
        elif a[name].shape != b[name].shape:
            text = f"shape {a[name].shape} and {b[name].shape}"
        else:
            x, y = a[name].astype("float64"), b[name].astype("float64")
            if np.array_equal(x, y, equal_nan=True):
                continue
            gap, size = np.abs(x - y), np.maximum(np.abs(x), np.abs(y))
            relative = np.divide(gap, size, out=np.zeros_like(gap), where=size > 0)
            text = f"differs by {gap.max():.3g} at most, relative {relative.max():.3g}"
        differ += 1
        print(f"{name}: {text}")
    print(f"{differ} of {len(set(a) | set(b))} arrays differ")
    return 1 if differ else 0
