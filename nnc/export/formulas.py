"""The formulas of the op table's element-wise rows, computed over anything.

A row is text such as `v_mul(x, v_sigmoid(x))` (`_core.op_formulas`): calls, names and numbers,
which Python's own parser reads. `evaluate` walks it with a vocabulary: what each `v_` function does
to whatever stands for numbers there, nodes of another graph for example. No text is ever run.
"""
import ast

_KEPT = {}


def parsed(text):
    """The formula as a tree of `ast`."""
    if text not in _KEPT:
        _KEPT[text] = ast.parse(text, mode="eval").body
    return _KEPT[text]


def functions_of(text):
    """The names of the `v_` functions in a formula."""
    return sorted({node.func.id for node in ast.walk(parsed(text)) if isinstance(node, ast.Call)})


def evaluate(text, names, vocabulary):
    """The formula's result.

    Args:
        text: The formula.
        names: Functions that give what `x`, `a`, `b`, `alpha`, `zero` and `one` are.
        vocabulary: Function by name; `v_const` takes a Python number.
    """
    def number(node):
        if isinstance(node, ast.Constant):
            return float(node.value)
        if isinstance(node, ast.UnaryOp):
            return -number(node.operand)
        return number(node.left) / number(node.right)       # the only operator in the table

    def walk(node):
        if isinstance(node, ast.Name):
            return names[node.id]()
        name = node.func.id
        if name == "v_const":
            return vocabulary[name](number(node.args[0]))
        return vocabulary[name](*[walk(argument) for argument in node.args])
    return walk(parsed(text))
