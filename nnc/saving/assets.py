"""Files that layers keep beside their weights, such as vocabularies: `assets/<path>/<name>`.

A layer with `save_assets(folder)` writes into a folder that is its own, and reads the same files
back in `load_assets(folder)`. Between the two they are members of the archive.
"""
import os
import tempfile

from .archive import INFLATED
from .state import walk

FOLDER = "assets"
ASSET_BYTES = INFLATED          # of one file


def saved(model):
    """Pairs of a member's name and its bytes, for all files of all layers."""
    for path, thing in walk(model):
        if not hasattr(thing, "save_assets"):
            continue
        with tempfile.TemporaryDirectory() as folder:
            thing.save_assets(folder)
            for place, _, files in sorted(os.walk(folder)):
                for name in sorted(files):
                    full = os.path.join(place, name)
                    inner = os.path.relpath(full, folder).replace(os.sep, "/")
                    with open(full, "rb") as f:
                        yield "/".join(part for part in (FOLDER, path, inner) if part), f.read()


def load(model, names, read, what):
    """Gives each layer its files.

    Args:
        model: The model.
        names: The members of the archive.
        read: Gives the bytes of a member: `read(name, limit)`.
        what: How messages call the file.

    Raises:
        ValueError: Which layer's files are missing or damaged.
    """
    for path, thing in walk(model):
        if not hasattr(thing, "load_assets"):
            continue
        prefix = f"{FOLDER}/{path}/" if path else f"{FOLDER}/"
        with tempfile.TemporaryDirectory() as folder:
            for name in names:
                if name.startswith(prefix) and not name.endswith("/"):
                    target = os.path.join(folder, *name[len(prefix):].split("/"))
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    with open(target, "wb") as f:
                        f.write(read(name, ASSET_BYTES))
            try:
                thing.load_assets(folder)
            except (OSError, UnicodeDecodeError, ValueError, RuntimeError) as error:
                raise ValueError(f"{what}: the files of '{path}' ({type(thing).__name__}) cannot "
                                 f"be loaded: {error}") from error
