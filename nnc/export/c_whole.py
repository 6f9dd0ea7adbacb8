"""Whole numbers, int32, in exported C. Only inputs and outputs are arrays of them: what computes
one is an expression of C that is written out where it is used, `@` being the element's index.

Truth values that compare whole numbers are such expressions too, until another op wants an array.
"""
import re

from .c_writer import VIEWS

_COMPARED = {"equal": "==", "not_equal": "!=", "less": "<", "less_equal": "<=", "greater": ">",
             "greater_equal": ">="}
_ARITHMETIC = {"add": "whole_add", "subtract": "whole_subtract", "multiply": "whole_multiply"}
_MOST_TEXT = 1000       # of an expression: it stands in full wherever the number is used


def is_whole(w, number):
    """Whether a value is of int32 and known only as the function runs."""
    value = w.recording.values[number]
    return value.dtype == "int32" and value.kind not in ("constant", "variable")


def expression(w, number):
    """A value's element as C; `None` if it is no single number and no array that is computed."""
    if number in w.whole:
        return w.whole[number]
    value, array = w.recording.values[number], w.constant(number)
    if array is None:
        form = {"int32": "(int32_t){}[@]", "bool": "({}[@] != 0.0f)", "float32": "{}[@]"}
        return form[value.dtype].format(w.at(number)) if value.dtype in form else None
    if array.size != 1 or value.dtype != "int32":
        return None
    one = int(array.flat[0])
    return f"(-{-one - 1} - 1)" if one < 0 else str(one)    # -2147483648 is no number of C


def stored(w, number):
    """Writes the elements of an expression to the value's array, or, of int32, to a new one.

    Returns:
        The number of the value that has them.
    """
    text = expression(w, number)
    target = w.temporary(w.size(number)) if is_whole(w, number) else number
    w.whole.pop(target, None)
    _store(w, target, f"(float){text}")
    return target


def _store(w, target, text):
    w.loops((w.size(target),), [(0, [1])],
            lambda i: f"{w.at(target)}[{i}] = {text.replace('@', i)};", target, *values_of(text))


def write_outputs(w):
    """Writes the outputs that are of int32."""
    for given, number in w.recording.outputs:
        if w.recording.values[number].dtype == "int32":
            text = expression(w, number)
            if text is None:
                raise NotImplementedError(f"export to C: the output '{given}' depends on no input")
            w.line(f"for (long i = 0; i < {w.size(number)}; i++)")
            w.line(f"    {w.arguments[given, 'output']}[i] = {text.replace('@', 'i')};",
                   *values_of(text))


def values_of(text):
    """The values that an expression reads."""
    return [int(number) for number in re.findall(r"\{(-?\d+)\}", text)]


# ---- the ops -------------------------------------------------------------------------------------

def _operands(w, node):
    shape, texts = w.shape(node.outputs[0]), []
    for number in node.inputs:
        text = expression(w, number)
        if text is None or w.constant(number) is None and w.shape(number) != shape:
            raise node.refuse("C", "there is no kernel for whole numbers of different shapes yet")
        texts.append(text)
    return texts


def _hold(w, node, text):
    if len(text) > _MOST_TEXT:
        raise node.refuse("C", "its whole numbers follow from too many others")
    w.whole[node.outputs[0]] = text


def _arithmetic(w, node):
    _hold(w, node, f"{_ARITHMETIC[node.op]}({', '.join(_operands(w, node))})")


def _compare(w, node):
    a, b = _operands(w, node)
    _hold(w, node, f"({a} {_COMPARED[node.op]} {b})")


def _where(w, node):
    _hold(w, node, "({} ? {} : {})".format(*_operands(w, node)))


def _cast(w, node):
    x, y = node.inputs[0], node.outputs[0]
    dtype = w.recording.values[x].dtype
    if dtype not in ("float32", "bool", "int32"):
        raise node.refuse("C", f"it turns {dtype} into int32")
    w.whole[y] = ("whole_cast({})" if dtype == "float32" else "(int32_t){}").format(
        expression(w, x))


def _uncast(w, node):
    x, y = node.inputs[0], node.outputs[0]
    form = {"float32": "(float){}", "bool": "(float)({} != 0)"}.get(w.recording.values[y].dtype)
    if form is None:
        raise node.refuse("C", f"it turns int32 into {w.recording.values[y].dtype}")
    w.note(node)
    _store(w, y, form.format(expression(w, x)))


def _view(w, node):
    x, y = node.inputs[0], node.outputs[0]
    if x in w.whole:
        w.whole[y] = w.whole[x]         # the elements' order is the same
    else:
        w.roots[y] = x


def _take(w, node):
    x, indices = node.inputs
    y, shape, table = node.outputs[0], w.shape(x), w.constant(x)
    kernel = None if table is None else {"float32": "k_take", "int8": "k_take_int8"}.get(
        table.dtype.name)
    if kernel is None or node.attrs["axis"] not in (0, -len(shape)):
        raise node.refuse("C", "there is a kernel only for rows of a weight of float32 or int8")
    text, size = expression(w, indices), w.size(x) // shape[0]
    w.note(node)
    w.loops((w.size(indices),), [(0, [1])],
            lambda i: f"{kernel}({w.at(x)}, {text.replace('@', i)}, {shape[0]}, {size}, "
            f"{w.at(y)} + {i} * {size});", y, *values_of(text))


def row_of(w, node):
    """The function that writes a node of whole numbers; `None` if it is of others, or unknown."""
    y = w.recording.values[node.outputs[0]]
    if node.op == "cast" and y.dtype == "int32":
        return _cast
    if node.op in VIEWS:
        return _view if is_whole(w, node.inputs[0]) or node.inputs[0] in w.whole else None
    if not any(is_whole(w, number) for number in node.inputs):
        return None
    if node.op in _COMPARED:
        return _compare
    if y.dtype == "int32":
        return _where if node.op == "where" else _arithmetic if node.op in _ARITHMETIC else None
    return {"cast": _uncast, "take": _take}.get(node.op)
