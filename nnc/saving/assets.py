"""Assets: files that objects of a model keep beside their weights, in `assets/PATH/` of a `.keras`
file (or folder), PATH being that of the object.

An object writes them in `save_assets(folder)` and reads them in `load_assets(folder)`, both given a
folder of its own.
"""
import contextlib
import os
import tempfile

from .archive import INFLATED
from .state import walk

FOLDER = "assets"


def collect(model, folder):
    """Has the objects write their assets below `folder`; pairs of a member's name and its path."""
    for path, thing in walk(model):
        if hasattr(thing, "save_assets"):
            own = os.path.join(folder, FOLDER, *path.split("/"))
            os.makedirs(own, exist_ok=True)
            thing.save_assets(own)
    found = []
    for outer, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            full = os.path.join(outer, name)
            found.append((os.path.relpath(full, folder).replace(os.sep, "/"), full))
    return found


@contextlib.contextmanager
def collected(model):
    """`collect` into a folder that is removed afterwards; nothing is made if no object has any."""
    if not any(hasattr(thing, "save_assets") for _, thing in walk(model)):
        yield []
        return
    with tempfile.TemporaryDirectory() as folder:
        yield collect(model, folder)


def load(model, names, read, room):
    """Has the objects read their assets, which are written into a folder for them.

    Args:
        names: The names of all members.
        read: A function from a member's name to its bytes.
        room: How many bytes the file has: assets may have 20 times as many, and some more.

    Raises:
        ValueError: If they have more, or an object cannot read its own: which one.
    """
    wanting = [(path, thing) for path, thing in walk(model) if hasattr(thing, "load_assets")]
    if not wanting:
        return
    left = INFLATED + 20 * room
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            if not name.startswith(f"{FOLDER}/") or name.endswith("/"):
                continue
            data = read(name)
            left -= len(data)
            if left < 0:
                raise ValueError(f"member {name!r} refused: the assets are too large for the file")
            full = os.path.join(folder, *name.split("/"))
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "xb") as f:
                f.write(data)
        for path, thing in wanting:
            own = os.path.join(folder, FOLDER, *path.split("/"))
            os.makedirs(own, exist_ok=True)
            try:
                thing.load_assets(own)
            except (OSError, UnicodeDecodeError, ValueError, RuntimeError) as error:
                raise ValueError(f"the files of '{path}' ({type(thing).__name__}) cannot be loaded: "
                                 f"{error}") from error
