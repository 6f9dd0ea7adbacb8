"""An ONNX graph as it grows: nodes, constants, and sizes not known.

What a row of `onnx_ops` needs: `add` appends a node and gives its result's name, `constant` gives
the name of an initializer (equal ones are one), `numbers` a list of whole numbers in which rules
of sizes may stand, computed in the graph of the inputs' shapes.
"""
import numpy as np

from .onnx_data import LEAST
from .record import Rule

#: What each dtype is called in `onnx.TensorProto`.
DTYPES = {"float32": "FLOAT", "float64": "DOUBLE", "float16": "FLOAT16", "bfloat16": "BFLOAT16",
          "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64", "uint8": "UINT8",
          "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "bool": "BOOL"}


class Writer:
    """The graph of a recording.

    Args:
        recording: The `Recording`.
        onnx: The package.
    """

    def __init__(self, recording, onnx):
        self.recording, self.onnx = recording, onnx
        self.nodes, self.initializers = [], []
        self.arrays = {}                # name of an initializer -> its array, if that is large
        self.names = {}                 # value -> name
        self._constants, self._symbols, self._count = {}, {}, 0
        self._used = {name for name, _ in (*recording.inputs, *recording.outputs)}

    def enum(self, dtype):
        """The number of a dtype in ONNX."""
        return getattr(self.onnx.TensorProto, DTYPES[dtype])

    def fresh(self, wanted):
        """A name that is not used yet: `wanted`, or with a number."""
        name, i = wanted, 0
        while name in self._used:
            i += 1
            name = f"{wanted}_{i}"
        self._used.add(name)
        return name

    # ---- nodes and constants ----

    def add(self, op_type, *inputs, outputs=1, **attributes):
        """Appends a node; its result's name, or a list of names."""
        self._count += 1
        names = [f"v{self._count}" if outputs == 1 else f"v{self._count}_{i}"
                 for i in range(outputs)]
        names = [self.fresh(name) for name in names]
        self.nodes.append(self.onnx.helper.make_node(op_type, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, array, dtype=None, name="const"):
        """The name of an initializer that holds an array."""
        array = np.asarray(array, dtype)
        key = array.dtype.name, array.shape, array.tobytes() if array.size < 256 else None
        if key[2] is not None and key in self._constants:
            return self._constants[key]
        found = self.fresh(name)
        self.initializers.append(self.tensor(array, found))
        if key[2] is not None:
            self._constants[key] = found
        return found

    def tensor(self, array, name):
        """A `TensorProto`, whose data lie as they are; `fill` adds those of a large one."""
        array = np.ascontiguousarray(array) if array.ndim else array
        if array.nbytes >= LEAST:
            self.arrays[name] = array
            return self.onnx.TensorProto(name=name, data_type=self.enum(array.dtype.name),
                                         dims=array.shape)
        return self.onnx.helper.make_tensor(name, self.enum(array.dtype.name), array.shape,
                                            array.tobytes(), raw=True)

    # ---- values ----

    def value(self, number):
        """The name of a value of the recording: constants and variables become initializers."""
        if number not in self.names:
            self.names[number] = self._held(number)
        return self.names[number]

    def _held(self, number):
        value = self.recording.values[number]
        array = self.recording.held(number)
        if value.content is not None:
            flat = self.add("Cast", self.numbers(value.content), to=self.enum(value.dtype))
            return self.add("Reshape", flat, self.numbers(value.shape))
        if any(isinstance(size, Rule) for size in value.rules):     # all its numbers are one
            return self.add("Expand", self.constant(array.flat[0]), self.numbers(value.rules))
        if value.kind == "constant":
            return self.constant(array)
        name = self.fresh(self.recording.names.get(number, "variable"))
        self.initializers.append(self.tensor(array, name))
        return name

    # ---- sizes ----

    def symbol(self, name):
        """A size that is not known, as an int64 tensor of shape (1)."""
        if name not in self._symbols:
            for given, number in self.recording.inputs:
                rules = self.recording.values[number].rules
                for axis, rule in enumerate(rules):
                    if isinstance(rule, Rule) and rule.plain == name:
                        self._symbols[name] = self.add("Shape", given, start=axis, end=axis + 1)
                        return self._symbols[name]
        return self._symbols[name]

    def numbers(self, rules):
        """Whole numbers as an int64 tensor (n)."""
        if not any(isinstance(rule, Rule) for rule in rules):
            return self.constant(np.array(rules, "int64"))
        parts, fixed = [], []
        for rule in rules:
            if isinstance(rule, Rule):
                if fixed:
                    parts.append(self.constant(np.array(fixed, "int64")))
                    fixed = []
                parts.append(self._computed(rule))
            else:
                fixed.append(rule)
        if fixed:
            parts.append(self.constant(np.array(fixed, "int64")))
        return parts[0] if len(parts) == 1 else self.add("Concat", *parts, axis=0)

    def _computed(self, rule):
        result = self.symbol(rule.symbols[0])
        for symbol in rule.symbols[1:]:
            result = self.add("Mul", result, self.symbol(symbol))
        if rule.factor != 1:
            result = self.add("Mul", result, self.constant(np.array([rule.factor], "int64")))
        if rule.constant != 0:
            result = self.add("Add", result, self.constant(np.array([rule.constant], "int64")))
        return result

    def reshape(self, x, shape):
        """x in a shape of numbers and rules; one size that is not known is left to ONNX."""
        unknown = [i for i, rule in enumerate(shape) if isinstance(rule, Rule)]
        if len(unknown) == 1 and 0 not in shape:
            shape = [-1 if i == unknown[0] else size for i, size in enumerate(shape)]
        return self.add("Reshape", x, self.numbers(shape))

    def moved(self, x, spatial, write):
        """`write` on (n, c, ...), for numbers that lie as (n, ..., c); ... are `spatial` axes."""
        if spatial == 0:
            return write(x)
        x = self.add("Transpose", x, perm=[0, spatial + 1, *range(1, spatial + 1)])
        return self.add("Transpose", write(x), perm=[0, *range(2, spatial + 2), 1])

    # ---- the whole ----

    def fill(self, model):
        """Puts the data of large tensors into the finished model."""
        for tensor in model.graph.initializer:
            if tensor.name in self.arrays:
                tensor.raw_data = self.arrays[tensor.name].tobytes()

    def signature(self, name, number):
        """A `ValueInfoProto` for an input or an output."""
        value = self.recording.values[number]
        shape = [(rule.plain or None) if isinstance(rule, Rule) else rule for rule in value.rules]
        return self.onnx.helper.make_tensor_value_info(name, self.enum(value.dtype), shape)

    def _prune(self):
        """Drops what no output needs: parts of groups that were written as one."""
        wanted, kept = {name for name, _ in self.recording.outputs}, []
        for node in reversed(self.nodes):
            if wanted.intersection(node.output):
                kept.append(node)
                wanted.update(node.input)
        self.nodes = kept[::-1]
        self.initializers = [one for one in self.initializers if one.name in wanted]

    def model(self, name, opset):
        """The finished `ModelProto`."""
        from .. import _core

        helper, recording = self.onnx.helper, self.recording
        for given, number in recording.outputs:
            self.nodes.append(helper.make_node("Identity", [self.value(number)], [given]))
        self._prune()
        graph = helper.make_graph(
            self.nodes, name, [self.signature(*one) for one in recording.inputs],
            [self.signature(*one) for one in recording.outputs], self.initializers)
        opsets = [helper.make_opsetid("", opset)]
        return helper.make_model(graph, opset_imports=opsets, producer_name="nnc",
                                 producer_version=_core.__version__,
                                 ir_version=helper.find_min_ir_version_for(opsets))
