"""The forward program of a function of tensors, as the exporters read it.

The function is recorded by the core, before any pass. Sizes that are not known (`None` in a
signature) have no place in a recording, so it is recorded again with other sizes: numbers that do
not change are fixed, the others are a rule of one size (`n`, `2 * n + 1`) or a product of sizes.
Two further recordings for each size check the rule; what follows no rule is refused.

Letters: a `symbol` is a size not known, a `rule` a number as a function of the symbols.
"""
from .. import _core, tree
from ..recording import lock


class Node:
    """One recorded op.

    Attributes:
        op: Its name in the op table.
        inputs, outputs: Numbers of values.
        attrs: Attributes by name.
        layer: `"'name' (Class)"` of the layer that recorded it, or "the model".
    """

    def __init__(self, op, inputs, outputs, attrs, layer):
        self.op, self.inputs, self.outputs, self.attrs = op, inputs, outputs, attrs
        self.layer = layer

    def refuse(self, where, why):
        """What an exporter raises that cannot express the node."""
        return NotImplementedError(f"export to {where}: layer {self.layer} uses the op "
                                   f"'{self.op}': {why}")


class Value:
    """A value of a recording.

    Attributes:
        kind, shape, dtype: As the core has them.
        rules: Its sizes, numbers or `Rule`s.
        content: `None`, or the numbers of a constant that holds sizes, as `Rule`s and numbers.
    """

    def __init__(self, kind, shape, dtype):
        self.kind, self.shape, self.dtype = kind, shape, dtype
        self.rules, self.content = list(shape), None


class Rule:
    """`constant + factor * product of symbols`: a number that depends on sizes not known."""

    def __init__(self, symbols, factor, constant=0):
        self.symbols, self.factor, self.constant = symbols, factor, constant

    def at(self, sizes):
        """The number for these sizes."""
        product = self.factor
        for symbol in self.symbols:
            product *= sizes[symbol]
        return self.constant + product

    def _key(self):
        return sorted(self.symbols), self.factor, self.constant

    def __eq__(self, other):
        return isinstance(other, Rule) and self._key() == other._key()

    def __hash__(self):
        return hash((tuple(sorted(self.symbols)), self.factor, self.constant))

    def __mul__(self, other):
        if isinstance(other, Rule):
            if self.constant or other.constant:
                return NotImplemented
            return Rule((*self.symbols, *other.symbols), self.factor * other.factor)
        return Rule(self.symbols, self.factor * other, self.constant * other)

    def __add__(self, other):
        if isinstance(other, Rule):
            return NotImplemented
        return Rule(self.symbols, self.factor, self.constant + other)

    def __sub__(self, other):
        return self + -other if not isinstance(other, Rule) else NotImplemented

    __rmul__, __radd__ = __mul__, __add__

    @property
    def plain(self):
        """The symbol, if the number is just one, else `None`."""
        one = len(self.symbols) == 1 and self.factor == 1 and self.constant == 0
        return self.symbols[0] if one else None


class Recording:
    """A recorded function.

    Attributes:
        nodes: The nodes that the outputs need, in order.
        values: All values by number.
        inputs, outputs: Pairs of a name and the number of a value.
        symbols: Names of the sizes not known.
        names: Names of variables by number of value.
    """

    def __init__(self, graph, nodes, values, inputs, outputs, names):
        self.graph, self.nodes, self.values = graph, nodes, values
        self.inputs, self.outputs, self.names = inputs, outputs, names
        self.symbols = ()

    def held(self, value):
        """The array that a constant or a variable holds."""
        return self.graph.held(value).numpy()


# ---- signatures ----------------------------------------------------------------------------------

class Spec:
    """Shape, dtype and name of one input."""

    def __init__(self, shape, dtype, name=None):
        self.shape, self.dtype, self.name = tuple(shape), dtype, name


def to_spec(thing, dtype="float32"):
    """A `Spec` of an `InputSpec`, a KerasTensor, a tensor or an array."""
    shape = getattr(thing, "shape", None)
    if shape is None:
        raise ValueError("input_signature: expected InputSpecs, KerasTensors or arrays, with their "
                         f"whole shapes. Received: {thing!r}")
    shape = tuple(None if n is None else int(n) for n in shape)
    dtype = getattr(thing, "dtype", None) or dtype
    return Spec(shape, getattr(dtype, "name", dtype), getattr(thing, "name", None))


def _symbols_of(signature):
    """Sizes not known: names by (input, axis). The first axes of all inputs are one size."""
    found, used = {}, {}
    for i, spec in enumerate(tree.flatten(signature)):
        for axis, size in enumerate(spec.shape):
            if size is None:
                name = "batch" if axis == 0 else f"{spec.name or f'input_{i}'}_{axis}"
                found[i, axis] = used.setdefault(name, name)
    return found, tuple(used)


# ---- recording -----------------------------------------------------------------------------------

class _Watched:
    """Notes, while it is entered, which nodes each layer records."""

    def __init__(self, layers, graph):
        self.layers, self.graph, self.ranges = layers, graph, []

    def __enter__(self):
        for layer in self.layers:
            layer.__dict__["call"] = self._watch(layer)
        return self

    def _watch(self, layer):
        call = layer.call
        text = f"'{layer.name}' ({type(layer).__name__})"

        def watched(*args, **kwargs):
            if _core.current_graph() is not self.graph:
                return call(*args, **kwargs)
            first = self.graph.node_count
            result = call(*args, **kwargs)
            self.ranges.append((first, self.graph.node_count, text))
            return result
        return watched

    def __exit__(self, *exc):
        for layer in self.layers:
            layer.__dict__.pop("call", None)

    def names(self, count):
        """The innermost layer of each node: inner calls end first."""
        names = [None] * count
        for first, last, text in self.ranges:
            for i in range(first, last):
                names[i] = names[i] or text
        return [name or "the model itself" for name in names]


def _record_once(fn, signature, layers, sizes, places):
    """One recording: the graph, its nodes, and the outputs' structure."""
    graph = _core.Graph()
    numbers = iter(range(len(tree.flatten(signature))))

    def make(spec):
        i = next(numbers)
        shape = [sizes[places[i, axis]] if size is None else size
                 for axis, size in enumerate(spec.shape)]
        inputs.append(graph.input(shape, spec.dtype))
        return inputs[-1]
    inputs = []
    plain = [layer for layer in layers if "call" not in layer.__dict__]
    with graph, _Watched(plain, graph) as watched:
        arguments = tree.map_leaves(make, list(signature))
        outputs = tree.map_leaves(_core.convert, fn(*arguments))
        found = tree.map_leaves(lambda leaf: _place(graph, leaf), outputs)
    layer_of = watched.names(graph.node_count)
    nodes = [Node(*row, layer_of[i]) for i, row in enumerate(graph.nodes())]
    return graph, nodes, [graph.find(x) for x in inputs], found


def _place(graph, leaf):
    """The number of an output."""
    at = graph.find(leaf)
    if at < 0:
        raise ValueError("export: an output depends on no input and no weight. Received: a "
                         f"constant of shape {tuple(leaf.shape)}")
    return at


def _needed(nodes, outputs):
    """The nodes that outputs depend on. Those that change variables are refused."""
    for node in nodes:
        if not node.outputs:
            raise node.refuse("a file", "it changes a variable, which an exported model has not. "
                              "Call the layer with training=False")
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            kept.append(node)
            wanted.update(node.inputs)
    return kept[::-1]


def record(fn, signature, layers=(), names=None):
    """The `Recording` of `fn(*inputs)`.

    Args:
        fn: A function of tensors that gives a tensor or a nest of them.
        signature: A list with a nest of `Spec`s for each argument.
        layers: The layers that are called in it, for messages and names.
        names: A function from the nest of outputs to a list of their names.

    Raises:
        ValueError: If what is recorded depends on sizes in a way that follows no rule.
        NotImplementedError: If the function asks for values, or changes variables.
    """
    places, symbols = _symbols_of(signature)
    base = {symbol: 5 if symbol == "batch" else 40 + 7 * i for i, symbol in enumerate(symbols)}

    def recorded(sizes):
        try:
            return _record_once(fn, signature, layers, sizes, places)
        except _core.TraceError as error:
            raise NotImplementedError("export: the model asks for the values of tensors while it "
                                      f"computes, so it has no fixed program: {error}") from None
    with lock:
        graph, nodes, inputs, found = recorded(base)
        others = {}
        for symbol in symbols:
            for step in (1, 3):
                sizes = dict(base, **{symbol: base[symbol] + step})
                others[symbol, step] = sizes, recorded(sizes)
    outputs = tree.flatten(found)
    nodes = _needed(nodes, outputs)
    values = [Value(*row) for row in graph.values()]
    recording = Recording(graph, nodes, values, [], [], _variable_names(graph, layers))
    recording.symbols = symbols
    _find_rules(recording, base, others)
    specs = tree.flatten(signature)
    recording.inputs = list(zip(_unique([spec.name or f"input_{i}"
                                         for i, spec in enumerate(specs)]), inputs))
    given = names(found) if names else None
    recording.outputs = list(zip(_unique(given or output_names(found), [
        name for name, _ in recording.inputs]), outputs))
    return recording


def output_names(found):
    """Names for a nest of outputs: keys of a dict, else `output_0` and so on."""
    if isinstance(found, dict):
        return [name for key in sorted(found) for name in (
            [str(key)] if not tree.is_nest(found[key]) else
            [f"{key}_{i}" for i in range(len(tree.flatten(found[key])))])]
    return [f"output_{i}" for i in range(len(tree.flatten(found)))]


def _unique(names, taken=()):
    used, result = set(taken), []
    for name in names:
        fresh, i = name, 1
        while fresh in used:
            fresh, i = f"{name}_{i}", i + 1
        used.add(fresh)
        result.append(fresh)
    return result


def _variable_names(graph, layers):
    found = {}
    for layer in layers:
        for variable in layer.variables:
            at = graph.find(variable)
            if at >= 0:
                found.setdefault(at, variable.path)
    return found


# ---- sizes not known -----------------------------------------------------------------------------

def _find_rules(recording, base, others):
    """Turns numbers that change with the sizes into rules, in values and attributes."""
    variants = {}
    for key, (sizes, (graph, nodes, _, found)) in others.items():
        kept = _needed(nodes, tree.flatten(found))
        same = len(kept) == len(recording.nodes) and all(
            a.op == b.op and a.inputs == b.inputs and a.outputs == b.outputs
            for a, b in zip(recording.nodes, kept))
        if not same:
            raise ValueError(f"export: what the model computes changes with the size '{key[0]}'. "
                             "Fix that size by an `input_signature`")
        variants[key] = sizes, graph, kept, graph.values()
    used = {number for node in recording.nodes for number in (*node.inputs, *node.outputs)}
    for number, value in enumerate(recording.values):
        if number not in used and value.kind != "input":
            continue
        for axis, size in enumerate(value.shape):
            samples = {key: (sizes, values[number][1][axis])
                       for key, (sizes, _, _, values) in variants.items()}
            value.rules[axis] = _rule(size, base, samples, lambda: f"a shape {value.shape}")
    for i, node in enumerate(recording.nodes):
        for name, given in node.attrs.items():
            if isinstance(given, (tuple, int)) and not isinstance(given, bool):
                node.attrs[name] = _attribute_rule(recording, variants, base, i, name, given)
            elif any(kept[i].attrs[name] != given for _, _, kept, _ in variants.values()):
                raise node.refuse("a file", f"its `{name}` changes with a size that is not known. "
                                  "Fix the sizes by an `input_signature`")
    _check_constants(recording, base, variants)


def _attribute_rule(recording, variants, base, i, name, given):
    node = recording.nodes[i]

    def where():
        return f"'{name}' of the op '{node.op}' in layer {node.layer}"
    if isinstance(given, int):
        return _rule(given, base, {key: (sizes, kept[i].attrs[name])
                                   for key, (sizes, _, kept, _) in variants.items()}, where)
    return tuple(_rule(number, base, {key: (sizes, kept[i].attrs[name][at])
                                      for key, (sizes, _, kept, _) in variants.items()}, where)
                 for at, number in enumerate(given))


def _rule(number, base, samples, where):
    """The rule that gives `number` at `base` and each sample at its sizes."""
    changing = [symbol for symbol in base if any(
        key[0] == symbol and sample != number for key, (_, sample) in samples.items())]
    if not changing:
        return number
    if len(changing) == 1:
        symbol = changing[0]
        factor = samples[symbol, 1][1] - number
        rule = Rule((symbol,), factor, number - factor * base[symbol])
    else:
        product = 1
        for symbol in changing:
            product *= base[symbol]
        rule = Rule(tuple(changing), number // product)
    if rule.at(base) != number or any(rule.at(sizes) != sample
                                      for sizes, sample in samples.values()):
        raise ValueError(f"export: {where()} depends on the sizes {changing} in a way that is "
                         "neither linear nor a product. Fix these sizes by an `input_signature`")
    return rule


_MOST_SIZES = 64        # numbers in a constant that may be sizes


def _check_constants(recording, base, variants):
    """Constants may be longer for other sizes if all their numbers are one, or hold sizes."""
    for node in recording.nodes:
        for number in node.inputs:
            value = recording.values[number]
            if value.kind != "constant":
                continue
            array = recording.held(number)
            others = {key: (sizes, graph.held(number).numpy())
                      for key, (sizes, graph, _, _) in variants.items()}
            if all(other.tobytes() == array.tobytes() and other.shape == array.shape
                   for _, other in others.values()):
                continue
            same = array.size > 0 and all((other == array.flat[0]).all() for _, other in (
                (base, array), *others.values()))
            if same:
                continue
            value.content = _content(array, base, others)
            if value.content is None:
                raise node.refuse("a file", "a constant of it holds numbers that depend on a size "
                                  "that is not known. Fix the sizes by an `input_signature`")


def _content(array, base, others):
    """Rules for the numbers of a constant, or `None` if they follow none."""
    if array.size > _MOST_SIZES or any(other.shape != array.shape
                                       for _, other in others.values()):
        return None
    try:
        return [_rule(_whole(n), base, {key: (sizes, _whole(other.flat[i]))
                                        for key, (sizes, other) in others.items()},
                      lambda: "a constant") for i, n in enumerate(array.flat)]
    except ValueError:
        return None


def _whole(number):
    if int(number) != number:
        raise ValueError
    return int(number)
