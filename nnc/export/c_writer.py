"""A C function as it grows: where values lie, loops over them, and the arena's plan.

A recording is written for one sample: the size of the batch is 1. That is right only where samples
do not meet: each value that depends on an input must have the batch as, or in, its first axis
(`check_rows`). Letters: `strides` are in elements, an axis of size 1 or that is broadcast has 0.
"""
import math
import re
import textwrap

import numpy as np

from .. import _core
from .record import Rule

#: Ops on weights alone that are computed as the file is written: exact ones, whose result is the
#: same on every level.
FOLDED = {"add", "subtract", "multiply", "divide", "negative", "sqrt", "rsqrt", "square",
          "absolute", "reciprocal", "maximum", "minimum", "reshape", "transpose", "broadcast_to",
          "concatenate", "slice", "pad", "fill", "cast", "stop_gradient", "copy"}
#: Ops whose result is their input's storage under another shape.
VIEWS = {"reshape", "stop_gradient", "copy", "custom"}


class Writer:
    """The function of a recording.

    Args:
        recording: The `Recording`.
        weights: Name and array by content; what is used gets added.
        operations: Texts of C functions by name; what is used gets added.
    """

    def __init__(self, recording, weights, operations):
        self.recording, self.weights, self.operations = recording, weights, operations
        self.sizes = {symbol: 1 for symbol in recording.symbols}
        self.held, self.roots, self.lines = {}, {}, []      # lines: (text, values that it touches)
        self.whole = {}             # expressions of whole numbers: c_whole
        self.places, self.arena, self.temporaries = {}, 0, []
        self._check_signature()
        self.arguments = self._name_arguments()

    # ---- what comes in ----

    def _check_signature(self):
        unknown = [symbol for symbol in self.recording.symbols if symbol != "batch"]
        if unknown:
            raise NotImplementedError(f"export to C: the size '{unknown[0]}' is not known, and C "
                                      "arrays have fixed sizes. Fix it by an `input_signature`")
        for name, number in self.recording.inputs + self.recording.outputs:
            value = self.recording.values[number]
            if value.dtype not in ("float32", "int32"):
                raise NotImplementedError(f"export to C: '{name}' has the dtype {value.dtype}; "
                                          "only float32 and int32 are there. Cast it outside of "
                                          "the model")
            rules = value.rules
            if self.recording.symbols and not (
                    rules and isinstance(rules[0], Rule) and rules[0].plain == "batch"):
                raise NotImplementedError(f"export to C: '{name}' has no batch axis, so samples "
                                          "cannot be computed one by one. Fix the batch size by "
                                          "an `input_signature`")

    def _name_arguments(self):
        from .c_file import identifier

        found, used = {}, set()
        for kind, one, prefix, sides in (
                ("input", "x", "in_", self.recording.inputs),
                ("output", "y", "out_", self.recording.outputs)):
            for given, number in sides:
                name = one if len(sides) == 1 else prefix + identifier(given)
                while name in used:
                    name += "_"
                used.add(name)
                found[given, kind] = name
        return found

    def fixed(self, rule):
        """A number for one sample."""
        return rule.at(self.sizes) if isinstance(rule, Rule) else rule

    def shape(self, number):
        """The shape of a value for one sample."""
        if number < 0:
            return self.temporaries[-number - 1],
        return tuple(self.fixed(rule) for rule in self.recording.values[number].rules)

    def size(self, number):
        return math.prod(self.shape(number))

    def text(self, shape):
        """A shape as text, without the batch's axis."""
        shape = shape[1:] if self.recording.symbols else shape
        return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"

    def check_rows(self, node, number):
        """Refuses a value of a node in which samples may meet: they are one behind another, or a
        transpose has moved their axis and only ops that leave it alone follow."""
        if not self.recording.symbols:
            return
        axes = [self._batch_axis(one) for one in node.inputs
                if any(isinstance(rule, Rule) for rule in self.recording.values[one].rules)]
        axis = self._batch_axis(number)
        if axis is None or {*axes, axis} != {0} and not self._keeps_samples(node, axes, axis):
            raise node.refuse("C", "it joins the samples of a batch. Fix the batch size by an "
                              "`input_signature` to compute a whole batch at once")

    def _batch_axis(self, number):
        """The axis of the batch, or `None` if there is not just one."""
        rules = self.recording.values[number].rules
        found = [d for d, rule in enumerate(rules) if isinstance(rule, Rule)]
        if len(found) != 1 or rules[found[0]].constant or len(rules[found[0]].symbols) != 1:
            return None
        return found[0]

    def _keeps_samples(self, node, axes, axis):
        """Whether samples stay apart where their axis is, or becomes, not the first."""
        if len(axes) != 1 or axes[0] is None:
            return False
        shape, result = self.shape(node.inputs[0]), self.shape(node.outputs[0])
        if node.op == "reshape":
            return math.prod(shape[:axes[0]]) == math.prod(result[:axis])
        return node.op == "transpose" or node.op == "matmul" and \
            self.constant(node.inputs[1]) is not None and axes[0] - len(shape) == axis - len(result)

    # ---- values ----

    def temporary(self, size):
        """The number of a new value of this many elements; below 0."""
        self.temporaries.append(size)
        return -len(self.temporaries)

    def constant(self, number):
        """The array of a value that depends on no input, or `None`."""
        if number < 0:
            return None
        if number not in self.held:
            value = self.recording.values[number]
            if value.kind not in ("constant", "variable") or value.content is not None \
                    or any(isinstance(rule, Rule) for rule in value.rules):
                self.held[number] = None
            else:
                self.held[number] = self.recording.held(number)
        return self.held[number]

    def fold(self, node):
        """Computes a node of constants now; false if it is none, or is not exact."""
        if node.op not in FOLDED:
            return False
        arrays = [self.constant(number) for number in node.inputs]
        if any(array is None for array in arrays):
            return False
        attrs = [tuple(map(self.fixed, given)) if isinstance(given, tuple) else self.fixed(given)
                 for given in node.attrs.values()]
        with _core.no_trace():
            self.held[node.outputs[0]] = getattr(_core.op, node.op)(*arrays, *attrs).numpy()
        return True

    def root(self, number):
        """The value in whose storage this one lies."""
        while number in self.roots:
            number = self.roots[number]
        return number

    def at(self, number):
        """Where a value lies, as C: `{number}` stands for what `plan` decides.

        Other braces are doubled in a line.
        """
        number = self.root(number)
        array = self.constant(number)
        return f"{{{number}}}" if array is None else self.weight(array, number)

    def weight(self, array, number):
        """The name of a static array: of int8, or of float."""
        array = np.ascontiguousarray(array, "int8" if array.dtype == "int8" else "float32")
        key = array.dtype, array.size, array.tobytes()
        if key not in self.weights:
            from .c_file import identifier

            path = self.recording.names.get(number, str(len(self.weights)))
            path = identifier(f"w_{path}")
            taken = {name for name, _ in self.weights.values()}
            while path in taken:
                path += "_"
            self.weights[key] = path, array
        return self.weights[key][0]

    # ---- lines ----

    def line(self, text, *numbers):
        """A statement and the values that it reads and writes."""
        self.lines.append((text, [self.root(number) for number in numbers]))

    def note(self, node):
        """A comment before a node's statements."""
        from .c_file import comment

        self.line(f"/* {comment(node.layer)}: {node.op} */")

    def loops(self, shape, operands, statement, *numbers):
        """Nested loops over a shape.

        Args:
            shape: The sizes.
            operands: Pairs of an offset and strides, one for each array.
            statement: A function from the operands' indices to a statement.
            *numbers: The values that it touches.
        """
        axes = [(size, [strides[i] for _, strides in operands])
                for i, size in enumerate(shape) if size != 1]
        joined = []
        for size, steps in axes:
            if joined and all(a == size * b for a, b in zip(joined[-1][1], steps)):
                joined[-1] = joined[-1][0] * size, steps
            else:
                joined.append((size, steps))
        indices = []
        for k, (offset, _) in enumerate(operands):
            parts = [_product(f"i{d}", steps[k]) for d, (_, steps) in enumerate(joined)]
            parts = [part for part in parts if part] + ([str(offset)] if offset else [])
            indices.append(" + ".join(parts) or "0")
        for d, (size, _) in enumerate(joined):
            self.line("    " * d + f"for (long i{d} = 0; i{d} < {size}; i{d}++)")
        self.line("    " * len(joined) + statement(*indices), *numbers)

    # ---- the arena ----

    def plan(self):
        """Gives each computed value a place: an output, or a range of the arena."""
        for given, number in self.recording.inputs:
            self.places[number] = self.arguments[given, "input"]
        copies = []
        for given, number in self.recording.outputs:
            own, root = self.arguments[given, "output"], self.root(number)
            if self.recording.values[number].dtype == "int32":
                continue                # c_whole has written it
            if root in self.places or self.constant(root) is not None:
                copies.append((own, number))
            else:
                self.places[root] = own
        for own, number in copies:
            self.line(f"for (long i = 0; i < {self.size(number)}; i++)")
            self.line(f"    {own}[i] = {self.at(number)}[i];", number)
        self._place({root for _, roots in self.lines for root in roots
                     if root not in self.places and self.constant(root) is None})

    def _place(self, roots):
        lives = {}
        for i, (_, touched) in enumerate(self.lines):
            for root in touched:
                if root in roots:
                    lives.setdefault(root, [i, i])[1] = i
        placed = []                     # (first, last, begin, end)
        for root, (first, last) in sorted(lives.items(), key=lambda item: -self.size(item[0])):
            size, begin = self.size(root), 0
            for other in sorted((p for p in placed if p[0] <= last and first <= p[1]),
                                key=lambda p: p[2]):
                if other[2] - begin >= size:
                    break
                begin = max(begin, other[3])
            placed.append((first, last, begin, begin + size))
            self.arena = max(self.arena, begin + size)
            self.places[root] = f"(arena + {begin})" if begin else "arena"

    def body(self):
        """The statements."""
        texts = []
        for text, _ in self.lines:
            text = re.sub(r"\{(-?\d+)\}(?!\})", lambda found: self.places[int(found[1])], text)
            text = text.replace("{{", "{").replace("}}", "}")
            texts.append(textwrap.fill(
                text, 100, initial_indent="    ", break_long_words=False, break_on_hyphens=False,
                subsequent_indent="        " + " " * (len(text) - len(text.lstrip()))))
        return "\n".join(texts) + "\n" if texts else ""


def _product(index, step):
    if step == 0:
        return ""
    return index if step == 1 else f"{index} * {step}"


def strides_of(shape):
    """Strides in elements of a C-contiguous array."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.insert(0, step)
        step *= size
    return strides


def broadcast_strides(shape, target):
    """Strides of an array of `shape` seen as one of `target`."""
    own = strides_of(shape)
    missing = len(target) - len(shape)
    return [0] * missing + [0 if size == 1 else step for size, step in zip(shape, own)]
