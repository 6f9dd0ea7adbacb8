"""What `predict` cuts its rows into, and what it gathers their outputs in."""
import numpy as np

from . import tree

#: Rows that `predict` takes at once where rows do not depend on one another.
BLOCK = 512


def rows_are_independent(layer):
    """Whether it is known that each row of a layer's output depends on that row of its input only.

    It is not of functions of the user's in the place of an activation.
    """
    from . import activations
    from .layers.layer import Layer
    from .models.sequential import Sequential

    for part in layer._flatten_layers():
        if not part._plain and type(part) is not Sequential:
            return False
        made = part.__dict__.get("activation")
        if made is not None and not isinstance(made, Layer) and not (
                getattr(made, "__module__", "").startswith("nnc.")
                and hasattr(activations, getattr(made, "__name__", ""))):
            return False
    return True


class Outputs:
    """What `predict` gathers: arrays with a row for each sample, written to by the programs."""

    def __init__(self, count):
        self.count = count
        self.structure = None
        self.arrays = None          # whole arrays, if outputs have a row a sample
        self.parts = None           # lists of arrays otherwise
        self.filled = 0

    def targets(self, recorded, rows, first, steps):
        """Where the next `steps` batches are to be written."""
        shapes = recorded.shapes
        if any(not shape for shape, _ in shapes):
            raise ValueError("predict: the model's output must have a batch axis. Received an "
                             "output of shape ()")
        if self.count is not None and self.parts is None \
                and all(shape[0] == rows for shape, _ in shapes):
            if self.arrays is None:
                self.arrays = [np.empty((self.count, *shape[1:]), dtype) for shape, dtype in shapes]
            return [a[first:first + steps * rows] for a in self.arrays]
        return [np.empty((steps * shape[0], *shape[1:]), dtype) for shape, dtype in shapes]

    def add(self, first, structure, made):
        """Notes what was made; returns it in the outputs' structure."""
        self.structure = structure
        if self.arrays is None:
            if self.parts is None:
                self.parts = [[] for _ in made]
            for part, array in zip(self.parts, made):
                part.append(array)
        else:
            self.filled = first + len(made[0]) if made else first
        return tree.pack(structure, made)

    def result(self):
        """The arrays in the outputs' structure."""
        if self.arrays is None:
            return tree.pack(self.structure, [np.concatenate(part) for part in self.parts])
        return tree.pack(self.structure, [a if self.filled == self.count else a[:self.filled]
                                          for a in self.arrays])


class Groups:
    """The batch hooks of `predict`, which are called once for all batches of an execution; the last
    group counts as a whole one, as in Keras."""

    def __init__(self, callbacks, size):
        self.callbacks, self.size = callbacks, size
        self.count, self.begun, self.made = 0, 0, []

    def begin(self, step):
        """Before batch `step`; returns how many there may be before `end`."""
        if not self.count:
            self.begun = step
            self.callbacks.on_predict_batch_begin(step)
        return self.size - self.count

    def end(self, done, made):
        """After `done` batches, which gave `made`."""
        self.count += done
        self.made.append(made)
        if self.count == self.size:
            self.close()

    def close(self):
        """After the last batch of a group."""
        if self.count:
            made = self.made[0] if len(self.made) == 1 else tree.map_structure(
                lambda *parts: np.concatenate(parts), *self.made)
            self.count, self.made = 0, []
            self.callbacks.on_predict_batch_end(self.begun + self.size - 1, {"outputs": made})


def row_blocks(count):
    """Runs of blocks that cover `count` rows: as many large ones as fit, then powers of two."""
    first = 0
    if count >= BLOCK:
        yield BLOCK, 0, count // BLOCK
        first = count // BLOCK * BLOCK
    size = BLOCK // 2
    while first < count:
        if count - first >= size:
            yield size, first, 1
            first += size
        size //= 2
