"""Calls without lasting effect: variables hold given values during a call, and their own again
after it.
"""
from . import _core


def apart(variables, values, call):
    """What `call()` gives and what it leaves in `variables` when they begin as `values`.

    Args:
        variables: The variables; they keep their own values.
        values: A value for each.
        call: A function without arguments.

    Returns:
        The result of `call` and a list of tensors, one a variable.

    Raises:
        ValueError: If a value has another shape than its variable; nothing is called then.
    """
    values = [_core.convert(value) for value in values]
    for variable, value in zip(variables, values):
        if tuple(variable.shape) != tuple(value.shape):
            raise ValueError("Expected a value of the shape of its variable "
                             f"{getattr(variable, 'path', variable.name)}, "
                             f"{tuple(variable.shape)}. Received: {tuple(value.shape)}")
    kept = [_core.op.copy(variable) for variable in variables]
    try:
        for variable, value in zip(variables, values):
            variable.assign(_core.op.cast(value, variable.dtype))
        result = call()
        return result, [_core.op.copy(variable) for variable in variables]
    finally:
        for variable, value in zip(variables, kept):
            variable.assign(value)
