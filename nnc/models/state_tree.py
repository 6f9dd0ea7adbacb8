"""A model's variables as nested dictionaries by the parts of their paths."""
from .. import _core

_KINDS = ("trainable_variables", "non_trainable_variables", "optimizer_variables",
          "metrics_variables")


def _variables(model, kind):
    if kind == "optimizer_variables":
        return [] if model.optimizer is None else model.optimizer.variables
    if kind == "metrics_variables":
        return [v for metric in model.metrics for v in metric.variables]
    return getattr(model, kind)


def get_state_tree(model, value_format):
    """See `Model.get_state_tree`."""
    if value_format not in ("backend_tensor", "numpy_array"):
        raise ValueError("get_state_tree: `value_format` must be 'backend_tensor' or "
                         f"'numpy_array'. Received: value_format={value_format!r}")
    made = {}
    for kind in _KINDS:
        made[kind], seen = {}, set()
        for variable in _variables(model, kind):
            if variable.path in seen:
                raise ValueError(f"get_state_tree: two variables have the path '{variable.path}'. "
                                 "Give the layers (or metrics) different names.")
            seen.add(variable.path)
            *folders, name = variable.path.split("/")
            place = made[kind]
            for folder in folders:
                place = place.setdefault(folder, {})
            value = variable.numpy()
            place[name] = value if value_format == "numpy_array" else _core.convert(value)
    return made


def set_state_tree(model, state_tree):
    """See `Model.set_state_tree`."""
    todo = []
    for kind, nest in state_tree.items():
        if kind not in _KINDS:
            raise ValueError(f"set_state_tree: the keys must be of {', '.join(_KINDS)}. Received: "
                             f"{kind!r}")
        known = {variable.path: variable for variable in _variables(model, kind)}
        for path, value in _paths(nest):
            variable = known.get(path)
            if variable is None:
                raise ValueError(f"set_state_tree: the model has no variable '{path}' among its "
                                 f"{kind}. Received values for {path!r}")
            if tuple(variable.shape) != tuple(getattr(value, "shape", ())):
                raise ValueError(f"set_state_tree: '{path}' has the shape {tuple(variable.shape)}. "
                                 f"Received: shape={tuple(getattr(value, 'shape', ()))}")
            todo.append((variable, value))
    for variable, value in todo:
        variable.assign(value)


def _paths(nest, prefix=""):
    for key, value in nest.items():
        if isinstance(value, dict):
            yield from _paths(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value
