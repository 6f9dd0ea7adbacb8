"""KerasFileEditor: looks into a file of weights, compares it with a model, renames and removes."""
import os

import numpy as np

from .state import walk


class KerasFileEditor:
    """The weights of a `.keras` or `.weights.h5` file, to be looked at and changed.

    Args:
        filepath: Path of the file.

    Attributes:
        weights_dict: The objects and, in them, their weights, as nested dictionaries.
        metadata: What the file says about itself (`.keras` only).
        config: The model's configuration (`.keras` only).
    """

    def __init__(self, filepath):
        from . import hdf5, keras_file

        self.filepath = filepath = os.fspath(filepath)
        self.metadata = self.config = self.model = None
        self.object_metadata = {}
        if filepath.endswith(".keras"):
            with keras_file.members(filepath) as (read, weights, _):
                self.config = hdf5.parse_json(read(keras_file.CONFIG), keras_file.CONFIG)
                self.metadata = hdf5.parse_json(read(keras_file.METADATA), keras_file.METADATA)
                with weights() as file:
                    self.weights_dict = self._read(file, "")
        elif filepath.endswith(".weights.h5"):
            with hdf5.opened(filepath, filepath) as file:
                self.weights_dict = self._read(file, "")
        else:
            raise ValueError("KerasFileEditor: the name must end in `.keras` or `.weights.h5`. "
                             f"Received: filepath={filepath}")

    def _read(self, group, path):
        """Nested dictionaries of arrays; the group `vars` of an object is the object itself."""
        from .hdf5 import read

        marks = dict(group.attrs.items())
        if marks:
            self.object_metadata[path] = marks
        found = {}
        for key in group:
            if not path and key == "nnc":
                continue
            inner = group[key]
            if hasattr(inner, "shape"):
                found[key] = read(inner)
            elif key == "vars":
                found.update(self._read(inner, f"{path}/vars"))
            else:
                found[key] = self._read(inner, f"{path}/{key}")
        return found

    # ---- looking ----

    def _lines(self, weights, depth=0):
        for name, value in weights.items():
            if isinstance(value, dict):
                yield f"{'    ' * depth}{name}:"
                yield from self._lines(value, depth + 1)
            else:
                yield f"{'    ' * depth}{name}: shape={value.shape}, dtype={value.dtype}"

    def _holders(self, weights, path=""):
        """The paths of the objects that have weights themselves."""
        if any(not isinstance(value, dict) for value in weights.values()):
            yield path
        for name, value in weights.items():
            if isinstance(value, dict):
                yield from self._holders(value, f"{path}/{name}" if path else name)

    def summary(self):
        """Prints the objects and the shapes and dtypes of their weights."""
        from ..utils.io import print_message

        print_message(f"Weights file '{self.filepath}'")
        for line in self._lines(self.weights_dict):
            print_message(line)

    def compare(self, reference_model):
        """Compares the file with a model.

        Returns:
            Dict of `status` (`"success"` or `"error"`), `error_count` and `match_count`.
        """
        from ..utils.io import print_message

        errors = matches = 0
        known = set()
        for path, thing in walk(reference_model):
            known.add(path)
            if not hasattr(thing, "_own_in_order"):
                continue
            there = self.weights_dict
            for part in path.split("/") if path else ():
                there = there.get(part, {}) if isinstance(there, dict) else {}
            if thing._own_in_order() and not there:
                errors += 1
                print_message(f"...Object missing: '{path}'")
                continue
            for i, variable in enumerate(thing._own_in_order()):
                saved = there.get(str(i))
                if saved is None or isinstance(saved, dict):
                    errors += 1
                    print_message(f"...Weight missing: '{path}/{i}' ({variable.path})")
                elif tuple(saved.shape) != tuple(variable.shape):
                    errors += 1
                    print_message(f"...Weight shape mismatch: '{path}/{i}' ({variable.path}): "
                                  f"expected {tuple(variable.shape)}, in the file {saved.shape}")
                else:
                    matches += 1
        for path in self._holders(self.weights_dict):
            if path not in known:
                errors += 1
                print_message(f"...Object of the file that the model has not: '{path}'")
        return {"status": "error" if errors else "success", "error_count": errors,
                "match_count": matches}

    # ---- changing ----

    def _find(self, name):
        """The dictionary that holds an object of a name (or path), and its key."""
        if "/" in name:
            *outer, last = name.split("/")
            inner = self.weights_dict
            for part in outer:
                if not isinstance(inner.get(part), dict):
                    raise ValueError(f"Could not find object at path '{name}': there is no "
                                     f"'{part}'.")
                inner = inner[part]
            if last not in inner:
                raise ValueError(f"Could not find object at path '{name}'.")
            return inner, last
        found, rest = [], [self.weights_dict]
        while rest:
            inner = rest.pop()
            if name in inner:
                found.append(inner)
            rest += [part for part in inner.values() if isinstance(part, dict)]
        if len(found) != 1:
            raise ValueError(f"The name '{name}' occurs {len(found)} times in the file, expected "
                             "once: pass the full path.")
        return found[0], name

    def rename_object(self, object_name, new_name):
        """Gives an object (a name or a path) another name."""
        if "/" in new_name:
            raise ValueError("rename_object: the new name must be a name, without '/'. Received: "
                             f"new_name={new_name!r}")
        inner, key = self._find(object_name)
        if new_name in inner:
            raise ValueError(f"rename_object: there is an object '{new_name}' beside it already")
        inner[new_name] = inner.pop(key)

    def delete_object(self, object_name):
        """Removes an object."""
        inner, key = self._find(object_name)
        del inner[key]

    def add_object(self, object_path, weights):
        """Adds an object at a path, with a dict of names and arrays."""
        self._check(weights)
        *outer, last = object_path.split("/")
        inner = self.weights_dict
        for part in outer:
            if not isinstance(inner.get(part), dict):
                raise ValueError(f"Path '{'/'.join(outer)}' not found in model.")
            inner = inner[part]
        inner[last] = dict(weights)

    def delete_weight(self, object_name, weight_name):
        """Removes a weight of an object."""
        inner, key = self._find(object_name)
        if weight_name not in inner[key]:
            raise ValueError(f"Weight {weight_name} not found in object {object_name}. Weights "
                             f"found: {list(inner[key])}")
        del inner[key][weight_name]

    def add_weights(self, object_name, weights):
        """Adds weights to an object, or puts others in the place of those of the same names."""
        self._check(weights)
        inner, key = self._find(object_name)
        inner[key].update(weights)

    @staticmethod
    def _check(weights):
        if not isinstance(weights, dict):
            raise ValueError("Argument `weights` should be a dict of names (usually '0', '1', "
                             f"etc.) and arrays. Received: {type(weights).__name__}")

    def save(self, filepath):
        """Writes the weights as they are now into a `.weights.h5` file."""
        from ..utils.file import atomic_write
        from . import hdf5

        filepath = os.fspath(filepath)
        if not filepath.endswith(".weights.h5"):
            raise ValueError("KerasFileEditor: the name must end in `.weights.h5`. Received: "
                             f"filepath={filepath}")
        with atomic_write(filepath, "w+b") as f, hdf5.h5py().File(f, "w") as file:
            store = hdf5.Store(file)
            rest = [("", self.weights_dict)]
            while rest:
                path, inner = rest.pop()
                mark = self.object_metadata.get(f"/{path}/vars" if path else "/vars", {})
                entry = store.make(path, mark.get("name"))
                for key, value in inner.items():
                    if isinstance(value, dict):
                        rest.append((f"{path}/{key}" if path else key, value))
                    else:
                        entry[key] = np.asarray(value)

    def resave_weights(self, filepath):
        """The same as `save`."""
        self.save(filepath)
