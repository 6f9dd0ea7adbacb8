"""Which of Keras's names a script uses, read from its text without running it."""
import ast

_ROOTS = ("tensorflow.keras", "tf_keras", "keras")


def names_used(text, path="<script>"):
    """Set of full names, `"keras.layers.Dense"`, that a script imports or reaches by attributes;
    what it uses of TensorFlow beside Keras is among them. `path` is for messages.
    """
    module = ast.parse(text, path)
    known, used = {}, set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for item in node.names:
                full = item.name
                known[item.asname or full.partition(".")[0]] = \
                    full if item.asname else full.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for item in node.names:
                full = f"{node.module}.{item.name}"
                known[item.asname or item.name] = full
                if _inner(full):
                    used.add(_inner(full))
    for node in ast.walk(module):                   # layers = keras.layers
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            full = _full(node.value, known)
            if full:
                known[node.targets[0].id] = full
    inside = {node.value for node in ast.walk(module) if isinstance(node, ast.Attribute)}
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and node not in inside:
            full = _full(node, known)
            if full and _inner(full):
                used.add(_inner(full))
    return used


def _full(node, known):
    """The full name that a chain of attributes reaches, from an imported name on."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in known:
        return None
    return ".".join([known[node.id], *reversed(parts)])


def _inner(full):
    """The name as Keras's, or as TensorFlow's; `None` if it is of neither."""
    for root in _ROOTS:
        if full.startswith(root + "."):
            return "keras" + full[len(root):]
    return full if full.startswith("tensorflow.") and full not in _ROOTS else None


def served(name):
    """Whether nnc has `keras.a.b`; of TensorFlow it has nothing else."""
    import nnc

    if not name.startswith("keras."):
        return False
    if name == "keras.__version__":
        return True
    value = nnc
    for part in name.split(".")[1:]:
        try:
            value = getattr(value, part)
        except AttributeError:
            return False
    return True
