"""How each op of the op table is said in ONNX: a row an op.

A row is a function `(w, node, *names)` of the writer, the node and the names of its inputs; it
returns the name of its result, or a list of names. Element-wise ops without a row of their own are
put together from the table's formula and `VOCABULARY`, so that a new one needs nothing here.
Opset 18 is the least: axes are inputs there.
"""
import numpy as np

from .. import _core
from .formulas import evaluate
from .record import Rule

FLOATS = ("float32", "float64", "float16", "bfloat16")
_LAST = np.iinfo("int64").max


def convert(writer, node):
    """Writes a node; its outputs get names.

    Raises:
        NotImplementedError: If ONNX has nothing for it.
    """
    names = [writer.value(number) for number in node.inputs]
    row = ROWS.get(node.op) or (_formula if node.op in _core.op_formulas else None)
    if row is None:
        raise node.refuse("ONNX", REASONS.get(node.op, "there is no ONNX operator for it"))
    results = row(writer, node, *names)
    results = [results] if isinstance(results, str) else results
    writer.names.update(zip(node.outputs, results))


def _dtype(w, node, i=0):
    return w.recording.values[node.inputs[i]].dtype


def _out_dtype(w, node):
    return w.recording.values[node.outputs[0]].dtype


def _rules(w, node, i=0):
    return w.recording.values[node.inputs[i]].rules


def _rank(w, node, i=0):
    return len(_rules(w, node, i))


def _axis(w, node):
    axis = node.attrs["axis"]
    return axis + _rank(w, node) if axis < 0 else axis


def _cast(w, name, dtype):
    return w.add("Cast", name, to=w.enum(dtype))


def _numpy(dtype):
    if dtype == "bfloat16":
        import ml_dtypes

        return ml_dtypes.bfloat16
    return dtype


# ---- element-wise --------------------------------------------------------------------------------

def _vocabulary(w, dtype):
    """What the functions of the formulas are in ONNX, for numbers of a dtype."""
    def const(number):
        return w.constant(np.array(number).astype(_numpy(dtype)))

    def node(op_type):
        return lambda *names: w.add(op_type, *names)

    def sinc(x):
        turn = w.add("Mul", x, const(np.pi))
        zero = w.add("Equal", x, const(0))
        safe = w.add("Where", zero, const(1), turn)
        return w.add("Where", zero, const(1), w.add("Div", w.add("Sin", turn), safe))

    def mod(a, b):
        if dtype not in FLOATS:
            return w.add("Mod", a, b)
        return w.add("Sub", a, w.add("Mul", b, w.add("Floor", w.add("Div", a, b))))

    def floor_divide(a, b):
        if dtype in FLOATS:
            return w.add("Floor", w.add("Div", a, b))
        return w.add("Div", w.add("Sub", a, mod(a, b)), b)

    return {
        "v_const": const, "v_add": node("Add"), "v_sub": node("Sub"), "v_mul": node("Mul"),
        "v_div": node("Div"), "v_neg": node("Neg"), "v_abs": node("Abs"), "v_max": node("Max"),
        "v_min": node("Min"), "v_select": node("Where"), "v_gt": node("Greater"),
        "v_ge": node("GreaterOrEqual"), "v_lt": node("Less"), "v_le": node("LessOrEqual"),
        "v_eq": node("Equal"), "v_ne": lambda a, b: w.add("Not", w.add("Equal", a, b)),
        "v_sq": lambda x: w.add("Mul", x, x), "v_sqrt": node("Sqrt"), "v_exp": node("Exp"),
        "v_log": node("Log"), "v_sigmoid": node("Sigmoid"), "v_tanh": node("Tanh"),
        "v_erf": node("Erf"), "v_floor": node("Floor"), "v_ceil": node("Ceil"),
        "v_rint": node("Round"), "v_sin": node("Sin"), "v_cos": node("Cos"),
        "v_pow": node("Pow"), "v_sinh": node("Sinh"), "v_cosh": node("Cosh"),
        "v_arcsin": node("Asin"), "v_arccos": node("Acos"), "v_arctan": node("Atan"),
        "v_arcsinh": node("Asinh"), "v_arccosh": node("Acosh"), "v_arctanh": node("Atanh"),
        "v_expm1": lambda x: w.add("Sub", w.add("Exp", x), const(1)),
        "v_log1p": lambda x: w.add("Log", w.add("Add", x, const(1))),
        "v_erfc": lambda x: w.add("Sub", const(1), w.add("Erf", x)),
        "v_exp2": lambda x: w.add("Pow", const(2), x),
        "v_cbrt": lambda x: w.add("Mul", w.add("Sign", x),
                                  w.add("Pow", w.add("Abs", x), const(1 / 3))),
        "v_hypot": lambda a, b: w.add("Sqrt", w.add("Add", w.add("Mul", a, a),
                                                    w.add("Mul", b, b))),
        "v_sinc": sinc, "v_mod": mod, "v_floor_divide": floor_divide,
        "v_fmod": lambda a, b: w.add("Mod", a, b, fmod=1),
    }


def _formula(w, node, *names):
    """An element-wise op from its row in the op table."""
    return _apply(w, node, node.op, _dtype(w, node), node.attrs.get("alpha", 0.0), *names)


def _apply(w, node, op, dtype, alpha, *names):
    vocabulary = _vocabulary(w, dtype)
    const = vocabulary["v_const"]
    given = {"alpha": lambda: const(alpha), "zero": lambda: const(0), "one": lambda: const(1)}
    given.update((key, lambda name=name: name)
                 for key, name in zip(("x",) if len(names) == 1 else ("a", "b"), names))
    try:
        return evaluate(_core.op_formulas[op], given, vocabulary)
    except KeyError as error:
        raise node.refuse("ONNX", f"there is no ONNX operator for its {error.args[0][2:]}") \
            from None


def _activated(w, node, name, op, alpha, dtype):
    """An element-wise op on a name, by its row here or its formula."""
    row = SHORT.get(op)
    if row is None:
        return _apply(w, node, op, dtype, alpha, name)
    op_type, attributes = row
    attributes = {key: alpha if value is None else value for key, value in attributes.items()}
    return w.add(op_type, name, **attributes)


def _short(w, node, name):
    return _activated(w, node, name, node.op, node.attrs.get("alpha", 0.0), _dtype(w, node))


#: Ops that ONNX has: operator and attributes (`None`: the op's alpha).
SHORT = {
    "relu": ("Relu", {}), "leaky_relu": ("LeakyRelu", {"alpha": None}),
    "elu": ("Elu", {"alpha": None}), "celu": ("Celu", {"alpha": None}),
    "selu": ("Selu", {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}),
    "sigmoid": ("Sigmoid", {}), "softplus": ("Softplus", {}), "softsign": ("Softsign", {}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "hard_silu": ("HardSwish", {}), "mish": ("Mish", {}), "sign": ("Sign", {}),
    "reciprocal": ("Reciprocal", {}),
}


def _maximum(op_type):
    return lambda w, node, a, b: w.add(op_type, a, b)


# ---- logic ---------------------------------------------------------------------------------------

def _truth(w, node, i, name):
    return name if _dtype(w, node, i) == "bool" else _cast(w, name, "bool")


def _logical(op_type):
    return lambda w, node, *names: w.add(op_type, *[_truth(w, node, i, name)
                                                    for i, name in enumerate(names)])


def _compare(w, node, a, b):
    if _dtype(w, node) == "bool" and node.op not in ("equal", "not_equal"):
        a, b = _cast(w, a, "int32"), _cast(w, b, "int32")
    return _apply(w, node, node.op, _dtype(w, node), 0.0, a, b)


def _isfinite(w, node, x):
    return w.add("Not", w.add("Or", w.add("IsNaN", x), w.add("IsInf", x)))


def _where(w, node, condition, a, b):
    return w.add("Where", _truth(w, node, 0, condition), a, b)


# ---- products ------------------------------------------------------------------------------------

def _turned(w, name, rank):
    return w.add("Transpose", name, perm=[*range(rank - 2), rank - 1, rank - 2])


def _matmul(w, node, a, b):
    if node.attrs["transpose_a"]:
        a = _turned(w, a, _rank(w, node))
    if node.attrs["transpose_b"]:
        b = _turned(w, b, _rank(w, node, 1))
    return w.add("MatMul", a, b)


def _dense(w, node, x, kernel, bias):
    if _rank(w, node) == 2:
        y = w.add("Gemm", x, kernel, bias)
    else:
        y = w.add("Add", w.add("MatMul", x, kernel), bias)
    activation = node.attrs["activation"]
    return y if activation is None else _activated(w, node, y, activation, node.attrs["alpha"],
                                                   _dtype(w, node))


def _dense_int8(w, node, x, kernel, scale, bias):
    """Rows as whole numbers of 8 bits, exact sums of 32, and back: the same steps as here."""
    def number(key):
        return w.constant(np.float32(node.attrs[key]))
    top = w.add("ReduceMax", w.add("Abs", x), w.numbers([-1]), keepdims=1)
    s = w.add("Div", number("high"), w.add("Add", top, number("epsilon")))
    q = w.add("Clip", w.add("Round", w.add("Mul", x, s)), number("low"), number("high"))
    sums = _cast(w, w.add("MatMulInteger", _cast(w, q, "int8"), kernel), "float32")
    y = w.add("Add", w.add("Div", sums, w.add("Mul", s, scale)), bias)
    activation = node.attrs["activation"]
    return y if activation is None else _activated(w, node, y, activation, node.attrs["alpha"],
                                                   "float32")


# ---- over axes -----------------------------------------------------------------------------------

def _reduced(op_type):
    def row(w, node, x):
        axes, dtype = node.attrs["axes"], _out_dtype(w, node)
        if node.op in ("any", "all"):
            x = _cast(w, _truth(w, node, 0, x), "int32")
        elif _dtype(w, node) != dtype:
            x = _cast(w, x, dtype)
        inputs = (x, w.numbers(axes)) if axes else (x,)
        y = w.add(op_type, *inputs, keepdims=node.attrs["keepdims"])
        return _cast(w, y, "bool") if node.op in ("any", "all") else y
    return row


def _arg(op_type):
    return lambda w, node, x: _cast(w, w.add(op_type, x, axis=_axis(w, node),
                                             keepdims=node.attrs["keepdims"]), "int32")


# ---- where elements lie --------------------------------------------------------------------------

def _slice(w, node, x):
    ranges = node.attrs["ranges"]
    rank = len(ranges) // 3
    starts, stops, steps = ranges[:rank], list(ranges[rank:2 * rank]), ranges[2 * rank:]
    stops = [-_LAST if step < 0 and stop == -1 else stop for stop, step in zip(stops, steps)]
    return w.add("Slice", x, w.numbers(starts), w.numbers(stops), w.numbers(range(rank)),
                 w.numbers(steps))


def _pad(w, node, x):
    value = w.constant(np.array(node.attrs["value"]).astype(_numpy(_dtype(w, node))))
    return w.add("Pad", x, w.numbers(node.attrs["widths"]), value)


def _fill(w, node):
    dtype = node.attrs["dtype"]
    value = w.constant(np.array(node.attrs["value"]).astype(_numpy(dtype)))
    return w.add("Expand", value, w.numbers(node.attrs["shape"]))


def _arange(w, node):
    dtype = node.attrs["dtype"]
    count = _cast(w, w.add("Reshape", w.numbers([node.attrs["count"]]), w.numbers([])), "float64")
    index = w.add("Range", w.constant(0.0, "float64"), count, w.constant(1.0, "float64"))
    y = w.add("Add", w.add("Mul", index, w.constant(node.attrs["step"], "float64")),
              w.constant(node.attrs["start"], "float64"))
    return _cast(w, y, dtype)


# ---- by index, in order --------------------------------------------------------------------------

def _indices(w, node, i, name):
    return name if _dtype(w, node, i) in ("int32", "int64") else _cast(w, name, "int64")


def _take(w, node, x, indices):
    return w.add("Gather", x, _indices(w, node, 1, indices), axis=_axis(w, node))


def _take_along(w, node, x, indices):
    return w.add("GatherElements", x, _indices(w, node, 1, indices), axis=_axis(w, node))


def _one_hot(w, node, x):
    """A comparison with 0, 1, ...: what is out of range gives zeros, as here."""
    axis, count, rank = node.attrs["axis"], node.attrs["num_classes"], _rank(w, node) + 1
    axis = axis + rank if axis < 0 else axis
    classes = np.arange(count).reshape([count if i == axis else 1 for i in range(rank)])
    x = w.add("Unsqueeze", _cast(w, x, "int64"), w.numbers([axis]))
    return _cast(w, w.add("Equal", x, w.constant(classes, "int64")), node.attrs["dtype"])


def _cumsum(w, node, x):
    return w.add("CumSum", x, w.constant(_axis(w, node), "int64"), reverse=node.attrs["reverse"])


def _sort(w, node, x):
    axis = _axis(w, node)
    values, order = w.add("TopK", x, w.numbers([_rules(w, node)[axis]]), outputs=2, axis=axis,
                          largest=node.attrs["descending"])
    return values if node.op == "sort" else _cast(w, order, _out_dtype(w, node))


def _top_k(w, node, x):
    values, order = w.add("TopK", x, w.numbers([node.attrs["k"]]), outputs=2)
    return [values, _cast(w, order, w.recording.values[node.outputs[1]].dtype)]


# ---- images as patches ---------------------------------------------------------------------------

def _window(node):
    """Kernel, strides, dilations, padding before and after, of three axes each."""
    window = node.attrs["window"]
    if any(isinstance(rule, Rule) for rule in window):
        raise node.refuse("ONNX", "its padding depends on a size that is not known. Fix the sizes "
                          "by an `input_signature`")
    return [window[i:i + 3] for i in range(0, 15, 3)]


def _patches(w, node, x):
    """Each axis is gathered by the places that its windows read: exact for every number."""
    kernel, strides, dilations, low, high = _window(node)
    rules = _rules(w, node)
    if any(isinstance(size, Rule) for size in rules[1:]):
        raise node.refuse("ONNX", "the size of the images is not known. Fix it by an "
                          "`input_signature`")
    if any(low) or any(high):
        value = w.constant(np.array(node.attrs["value"]).astype(_numpy(_dtype(w, node))))
        x = w.add("Pad", x, w.numbers((0, *low, 0, 0, *high, 0)), value)
    rank = 5
    for i in range(3):      # (n, d, h, w, c), then (n, od, kd, h, w, c) ...
        size = rules[1 + i] + low[i] + high[i]
        out = (size - (kernel[i] - 1) * dilations[i] - 1) // strides[i] + 1
        places = np.arange(out)[:, None] * strides[i] + np.arange(kernel[i]) * dilations[i]
        x = w.add("Gather", x, w.constant(places.astype("int64")), axis=1 + 2 * i)
        rank += 1
    return w.add("Transpose", x, perm=[0, 1, 3, 5, 2, 4, 6, 7])


def _patches_grad(w, node, y):
    """The adjoint: a transposed convolution whose kernel puts each number in its place."""
    kernel, strides, dilations, low, high = _window(node)
    sizes, c = node.attrs["window"][15:18], _rules(w, node)[-1]
    out = _rules(w, node)[1:4]
    count = int(np.prod(kernel))
    places = np.tile(np.eye(count, dtype=_numpy(_dtype(w, node))).reshape(1, count, 1, *kernel),
                     (c, 1, 1, 1, 1, 1)).reshape(c * count, 1, *kernel)
    # (n, o..., k..., c) -> (n, c k, o...)
    y = w.add("Transpose", y, perm=[0, 7, 4, 5, 6, 1, 2, 3])
    y = w.reshape(y, [_rules(w, node)[0], c * count, *out])
    x = w.add("ConvTranspose", y, w.constant(places), group=c, strides=list(strides),
              dilations=list(dilations), kernel_shape=list(kernel))
    for i in range(3):      # what the windows cover, from `low` on, `sizes` of it
        covered = (out[i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1
        missing = low[i] + sizes[i] - covered
        if missing > 0:
            widths = [0] * 10
            widths[5 + 2 + i] = missing
            x = w.add("Pad", x, w.numbers(widths))
        if low[i] or missing:
            x = w.add("Slice", x, w.numbers([low[i]]), w.numbers([low[i] + sizes[i]]),
                      w.numbers([2 + i]))
    return w.add("Transpose", x, perm=[0, 2, 3, 4, 1])


# ---- the table -----------------------------------------------------------------------------------

ROWS = {
    **{op: _short for op in SHORT},
    **{op: _compare for op in ("equal", "not_equal", "less", "less_equal", "greater",
                               "greater_equal")},
    "maximum": _maximum("Max"), "minimum": _maximum("Min"),
    "logical_and": _logical("And"), "logical_or": _logical("Or"), "logical_xor": _logical("Xor"),
    "logical_not": _logical("Not"),
    "isnan": lambda w, node, x: w.add("IsNaN", x), "isinf": lambda w, node, x: w.add("IsInf", x),
    "isfinite": _isfinite, "where": _where,
    "cast": lambda w, node, x: _cast(w, x, node.attrs["dtype"]),
    "matmul": _matmul, "dense": _dense, "dense_int8": _dense_int8,
    "sum": _reduced("ReduceSum"), "mean": _reduced("ReduceMean"), "prod": _reduced("ReduceProd"),
    "max": _reduced("ReduceMax"), "min": _reduced("ReduceMin"),
    "any": _reduced("ReduceMax"), "all": _reduced("ReduceMin"),
    "argmax": _arg("ArgMax"), "argmin": _arg("ArgMin"),
    "reshape": lambda w, node, x: w.reshape(x, node.attrs["shape"]),
    "stop_gradient": lambda w, node, x: x, "copy": lambda w, node, x: x,
    "custom": lambda w, node, x, *others: x,
    "broadcast_to": lambda w, node, x: w.add("Expand", x, w.numbers(node.attrs["shape"])),
    "transpose": lambda w, node, x: w.add("Transpose", x, perm=list(node.attrs["perm"])),
    "concatenate": lambda w, node, *names: w.add("Concat", *names, axis=_axis(w, node)),
    "slice": _slice, "pad": _pad, "fill": _fill, "arange": _arange,
    "take": _take, "take_along": _take_along, "one_hot": _one_hot,
    "cumsum": _cumsum, "sort": _sort, "argsort": _sort, "top_k": _top_k,
    "bitwise_and": lambda w, node, a, b: w.add("BitwiseAnd", a, b),
    "bitwise_or": lambda w, node, a, b: w.add("BitwiseOr", a, b),
    "bitwise_xor": lambda w, node, a, b: w.add("BitwiseXor", a, b),
    "bitwise_not": lambda w, node, x: w.add("BitwiseNot", x),
    "softmax": lambda w, node, x: w.add("Softmax", x, axis=_axis(w, node)),
    "log_softmax": lambda w, node, x: w.add("LogSoftmax", x, axis=_axis(w, node)),
    "patches": _patches, "patches_grad": _patches_grad,
}

_RANDOM = "random numbers are not drawn the same way there. Call the layer with training=False"
REASONS = {op: _RANDOM for op in _core.op_names if op.startswith("random_")}
REASONS.update(dropout=_RANDOM, host="NumPy computes it, and ONNX has no such operator")
