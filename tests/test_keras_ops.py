"""`nnc.ops` beside `keras.ops`: values, shapes and dtypes, the same call in both."""
import numpy as np
import pytest
from live import keras, same, values

import nnc

rng = np.random.default_rng(5)
A = rng.normal(size=(3, 4)).astype("float32")
B = rng.normal(size=(3, 4)).astype("float32")
POSITIVE = (rng.random((3, 4)) + 0.1).astype("float32")
CUBE = rng.normal(size=(2, 3, 4)).astype("float32")
INT = rng.integers(-4, 5, (3, 4)).astype("int32")
NONZERO = np.where(INT == 0, 3, INT).astype("int32")
BYTE = rng.integers(0, 200, (3, 4)).astype("uint8")
BOOL = rng.random((3, 4)) < 0.5
ODD = np.array([0.5, -0.5, 1.5, 2.5, -0.0, 1e-8, 3.7, -3.7], "float32")
SPECIAL = np.array([np.nan, np.inf, -np.inf, 1.0, -0.0], "float32")


def every(*names, over=(A,), extra=()):
    return [(name, (x, *extra), {}) for name in names for x in over]


CALLS = [
    *every("exp", "expm1", "sin", "cos", "tan", "tanh", "erf", "square", "negative", "absolute",
           "abs", "sign", "sigmoid", "silu", "relu", "logsumexp", over=(A, A[0, 0])),
    *every("log", "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal", over=(POSITIVE,)),
    *every("exp", "sqrt", "log", "tanh", "sin", "square", "negative", "absolute", "sign", "floor",
           "ceil", "sum", "mean", "max", "min", "argmax", "std", "var", "any", "all", "prod",
           "round", over=(abs(INT),)),
    *every("square", "sum", "mean", "max", "min", "any", "all", "prod", "logical_not",
           over=(BOOL,)),
    *every("sum", "prod", "absolute", "mean", over=(BYTE % 3,)),
    *every("floor", "ceil", "round", "sign", "trunc", over=(ODD,)),
    *every("round", over=(A,), extra=(2,)),
    *every("isnan", "isinf", "isfinite", "nan_to_num", over=(SPECIAL,)),
    *every("add", "subtract", "multiply", "divide", "maximum", "minimum", "equal", "not_equal",
           "less", "less_equal", "greater", "greater_equal", "true_divide", "divide_no_nan",
           "logaddexp", over=(A,), extra=(B,)),
    *every("add", "multiply", "subtract", "divide", "maximum", "power", over=(A,), extra=(2.0,)),
    *every("add", "multiply", "subtract", "maximum", "mod", "floor_divide", over=(INT,),
           extra=(3,)),
    *every("add", "subtract", "multiply", "divide", "mod", "floor_divide", "maximum", "equal",
           over=(INT,), extra=(NONZERO,)),
    *every("add", "multiply", "maximum", "divide", over=(INT,), extra=(2.5,)),
    *every("add", "multiply", "divide", over=(INT,), extra=(A,)),
    *every("add", "multiply", over=(BYTE,), extra=(INT,)),
    *every("add", "multiply", over=(A,), extra=(B.astype("float64"),)),
    *every("add", "multiply", "subtract", over=(A,), extra=(B[:1],)),
    *every("add", "multiply", over=(A[:, :1],), extra=(B[0],)),
    *every("logical_and", "logical_or", "logical_xor", over=(BOOL, INT), extra=(BOOL[::-1],)),
    ("mod", (ODD, 2.0), {}), ("mod", (ODD, -2.0), {}), ("floor_divide", (ODD, -2.0), {}),
    ("power", (POSITIVE, A), {}), ("power", (INT, 2), {}), ("power", (ODD, 3.0), {}),
    ("divide_no_nan", (A, np.zeros_like(A)), {}),
    ("where", (BOOL, A, B), {}), ("where", (BOOL, A, 0.0), {}), ("where", (INT, INT, 1.5), {}),
    ("clip", (A, -0.5, 0.5), {}), ("clip", (INT, -1, 2), {}),
    ("isclose", (A, A + 1e-9), {}), ("isclose", (A, B), {}),
    *[(name, (CUBE,), {"axis": axis, "keepdims": keepdims})
      for name in ("sum", "mean", "max", "min", "prod", "var", "std", "logsumexp", "amax", "amin")
      for axis in (None, 0, -1, (0, 2), (-1, 1)) for keepdims in (False, True)],
    *[(name, (CUBE > 0,), {"axis": axis}) for name in ("any", "all") for axis in (None, 1, (0, 2))],
    *[(name, (CUBE,), {"axis": axis, "keepdims": keepdims}) for name in ("argmax", "argmin")
      for axis in (None, 0, -1) for keepdims in (False, True)],
    ("max", (CUBE,), {"axis": 1, "initial": 0.5}), ("count_nonzero", (INT,), {"axis": 0}),
    ("average", (A,), {"axis": 1, "weights": POSITIVE}),
    ("average", (A,), {"axis": 0, "weights": B[:, 0]}), ("average", (A,), {}),
    ("matmul", (A, B.T), {}), ("matmul", (CUBE, A.T), {}), ("matmul", (A[0], B.T), {}),
    ("matmul", (A, B[0]), {}), ("matmul", (A[0], B[0]), {}),
    ("matmul", (CUBE, CUBE.transpose(0, 2, 1)), {}), ("matmul", (INT, INT.T), {}),
    ("dot", (A, B.T), {}), ("dot", (CUBE, B[0]), {}), ("dot", (A[0], B[0]), {}),
    ("inner", (A, B), {}), ("outer", (A[0], B[0]), {}), ("vdot", (A, B), {}),
    ("tensordot", (CUBE, CUBE), {"axes": [[1, 2], [1, 2]]}), ("tensordot", (CUBE, A), {"axes": 2}),
    ("reshape", (CUBE, (6, -1)), {}), ("reshape", (CUBE, (-1,)), {}), ("ravel", (CUBE,), {}),
    ("transpose", (CUBE,), {}), ("transpose", (CUBE,), {"axes": (1, 0, 2)}),
    ("moveaxis", (CUBE, 0, -1), {}), ("moveaxis", (CUBE, (0, 1), (-1, 0)), {}),
    ("swapaxes", (CUBE, 0, 2), {}), ("expand_dims", (A, 0), {}), ("expand_dims", (A, (0, -1)), {}),
    ("squeeze", (A[None, :, None],), {}), ("squeeze", (A[None, :, None],), {"axis": 0}),
    ("broadcast_to", (A[0], (2, 3, 4)), {}), ("concatenate", ([A, B],), {"axis": 1}),
    ("concatenate", ([A, INT],), {}), ("stack", ([A, B],), {"axis": 1}), ("hstack", ([A, B],), {}),
    ("vstack", ([A, B],), {}), ("append", (A, B), {}), ("append", (A, B), {"axis": 0}),
    ("tile", (A, 2), {}), ("tile", (A, (2, 1, 3)), {}), ("repeat", (A, 2), {}),
    ("repeat", (A, 3), {"axis": 1}), ("flip", (CUBE,), {}), ("flip", (CUBE,), {"axis": (0, 2)}),
    ("roll", (A, 2), {}), ("roll", (A, -1), {"axis": 0}), ("pad", (A, ((1, 2), (0, 3))), {}),
    ("pad", (A, ((1, 2), (0, 3))), {"constant_values": 7.0}),
    ("pad", (A, ((1, 2), (0, 3))), {"mode": "reflect"}),
    ("pad", (A, ((1, 2), (0, 3))), {"mode": "symmetric"}),
    ("take", (A, np.array([0, -1, 2])), {"axis": 0}),
    ("take", (A, np.array([[5, 11], [-3, 0]])), {}), ("take", (A, 1), {"axis": -1}),
    ("take_along_axis", (A, np.argsort(A, 1)), {"axis": 1}),
    ("take_along_axis", (CUBE, np.argsort(CUBE, 0)),
                                                              {"axis": 0}),
    ("get_item", (CUBE, (0, slice(None, None, 2), slice(3, 0, -1))), {}),
    ("get_item", (CUBE, 1), {}), ("get_item", (CUBE, (Ellipsis, None, -1)), {}),
    ("diag", (A[0],), {}), ("diag", (A[0],), {"k": -2}), ("diag", (A,), {"k": 1}),
    ("diagonal", (CUBE,), {"offset": 1, "axis1": 1, "axis2": 2}), ("trace", (A,), {}),
    ("trace", (INT,), {"offset": 1}), ("tril", (A,), {}), ("tril", (CUBE,), {"k": -1}),
    ("triu", (A,), {"k": 1}), ("zeros", ((2, 3),), {}), ("ones", ((2,),), {"dtype": "int32"}),
    ("full", ((2, 2), 7),  {}), ("full", ((2, 2), 2.5), {"dtype": "float64"}),
    ("full", ((2, 3), B[0, :3]), {}), ("zeros_like", (INT,), {}),
    ("ones_like", (A,), {"dtype": "bool"}), ("full_like", (A, 3),  {}), ("arange", (5,), {}),
    ("arange", (2, 9, 3), {}), ("arange", (0.0, 1.0, 0.25), {}),
    ("arange", (5, 0, -2), {"dtype": "float32"}), ("eye", (3,), {}),
    ("eye", (2, 4), {"dtype": "int32"}), ("identity", (3,), {}), ("tri", (3, 4), {"k": -1}),
    ("linspace", (0.0, 1.0), {"num": 7}), ("linspace", (0, 10), {"num": 5, "endpoint": False}),
    ("meshgrid", (A[0], B[0, :3]), {}), ("meshgrid", (A[0], B[0, :3]), {"indexing": "ij"}),
    ("split", (A, 2), {"axis": 1}), ("split", (A, [1, 2]), {}), ("size", (CUBE,), {}),
    ("ndim", (CUBE,), {}), ("shape", (CUBE,), {}), ("one_hot", (np.array([0, 2, 5, -1]), 4), {}),
    ("one_hot", (np.array([[0, 2]]), 3), {"axis": 1, "dtype": "int32"}),
    ("multi_hot", (np.array([[0, 2], [1, 1]]), 4), {}), ("softmax", (A,), {}),
    ("softmax", (CUBE,), {"axis": 1}), ("softmax", (A,), {"axis": None}),
    *[(name, (CUBE,), {"axis": axis}) for name in ("softmax", "log_softmax")
      for axis in ((0, 2), (1, 0), (0, 1, 2))], ("log_softmax", (CUBE,), {"axis": 0}),
    *[(name, (x, 2.5), {}) for name in ("fmax", "fmin", "divide_no_nan")
      for x in (A.astype("float16"), A)],
    *[(name, (BYTE, 2), {}) for name in ("fmax", "fmin")], ("log_softmax", (A,), {"axis": None}),
    ("leaky_relu", (A,), {}), ("elu", (A,), {"alpha": 0.5}), ("celu", (A,), {}), ("gelu", (A,), {}),
    ("gelu", (A, False), {}), ("glu", (A,), {}), ("hard_shrink", (A,), {}),
    ("soft_shrink", (A,), {}), ("threshold", (A, 0.1, -3.0), {}), ("squareplus", (A,), {}),
    *every("relu6", "selu", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "log_sigmoid",
           "hard_sigmoid", "hard_silu", "hard_tanh", "tanh_shrink"),
    ("binary_crossentropy", (BOOL.astype("float32"), POSITIVE / 2), {}),
    ("binary_crossentropy", (BOOL.astype("float32"), A * 40), {"from_logits": True}),
    ("categorical_crossentropy", (POSITIVE, POSITIVE[::-1].copy()), {}),
    ("categorical_crossentropy", (POSITIVE, A), {"from_logits": True, "axis": 0}),
    ("sparse_categorical_crossentropy", (np.array([0, 3, 1]), POSITIVE), {}),
    ("sparse_categorical_crossentropy", (np.array([[0], [3], [1]]), A * 40), {"from_logits": True}),
    ("in_top_k", (np.array([0, 3, 1]), A, 2), {}),
    ("in_top_k", (np.array([0, 0, 0]), np.ones((3, 4), "float32"), 2), {}), ("normalize", (A,), {}),
    ("normalize", (A,), {"axis": 0, "order": 1}), ("normalize", (A,), {"order": 3}),
    ("normalize", (np.zeros((2, 2), "float32"),), {}), ("moments", (CUBE, (0, 1)), {}),
    ("moments", (CUBE, (-1,)), {"keepdims": True}),
    ("batch_normalization", (CUBE, B[0], POSITIVE[0], -1), {"offset": B[1], "scale": B[2]}),
    ("batch_normalization", (CUBE, B[:, 0], POSITIVE[:, 0], 1), {}),
    ("layer_normalization", (CUBE,), {"gamma": B[0], "beta": B[1]}),
    ("layer_normalization", (CUBE,), {"axis": (1, 2)}),
    ("rms_normalization", (CUBE,), {"scale": B[0]}), ("psnr", (A, B, 2.0), {}), ("norm", (A,), {}),
    ("norm", (A,), {"ord": 1}), ("norm", (A,), {"ord": "fro"}), ("norm", (A,), {"axis": 0}),
    ("norm", (A,), {"ord": np.inf, "axis": 1, "keepdims": True}),
    ("norm", (A,), {"ord": 3, "axis": -1}), ("norm", (A,), {"ord": -np.inf}),
    ("norm", (CUBE,), {"ord": 1, "axis": (2, 0)}), ("norm", (A,), {"ord": 0, "axis": 1}),
    ("cast", (A * 9, "int32"), {}), ("cast", (INT, "bool"), {}),
    ("convert_to_tensor", ([1.5, 2.0],), {}),
    ("convert_to_tensor", ([1, 2],), {"dtype": "float32"}),
    ("saturate_cast", (A * 1000, "uint8"), {}), ("saturate_cast", (INT, "uint8"), {}),
    ("stop_gradient", (A,), {}), ("slice", (CUBE, (0, 1, 2), (2, 2, 1)), {}),
    ("slice_update", (A, (1, 2), B[:2, :2]), {}), ("unstack", (A,), {"axis": 1}),
    ("copy", (A,), {}), ("array", ([1, 2],), {}), ("ptp", (A,), {"axis": 1}),
    ("allclose", (A, A), {}), ("fabs", (INT,), {}),
]


def flat(result):
    return list(result) if isinstance(result, (list, tuple)) else [result]


#: where keras.ops on TensorFlow wants tensors, not arrays
TENSORS = {"clip", "round", "negative", "trunc", "flip", "split", "isnan", "layer_normalization",
           "rms_normalization", "threshold", "soft_shrink", "sparse_plus", "glu", "softmax",
           "multi_hot", "celu", "hard_shrink", "tanh_shrink", "hard_silu", "saturate_cast",
           "moments", "elu", "get_item", "unstack", "slice", "normalize", "batch_normalization",
           "append", "trace"}


@pytest.mark.parametrize("name, positional, arguments", CALLS,
                         ids=[f"{i}-{name}" for i, (name, _, _) in enumerate(CALLS)])
def test_same_as_keras(name, positional, arguments):
    theirs = positional
    if name in TENSORS:
        theirs = tuple(keras.ops.convert_to_tensor(x)
                       if isinstance(x, np.ndarray) and x.shape else x for x in positional)
    wanted = flat(getattr(keras.ops, name)(*theirs, **arguments))
    got = flat(getattr(nnc.ops, name)(*positional, **arguments))
    assert len(got) == len(wanted)
    for ours, other in zip(got, wanted):
        if isinstance(ours, int) or isinstance(other, (bool, np.bool_)):
            assert values(ours) == other
        else:
            # rtol: a dozen float32 roundings; var and the norms subtract or sum up to 24 numbers.
            same(ours, other, rtol=5e-6, atol=2e-6)


def test_where_keras_on_tensorflow_differs_from_numpy():
    """Infinities that are equal, vectors as rows, diagonals of oblong matrices, limits of int32."""
    np.testing.assert_array_equal(values(nnc.ops.isclose(SPECIAL, SPECIAL)),
                                  np.isclose(SPECIAL, SPECIAL))
    np.testing.assert_array_equal(values(nnc.ops.isclose(SPECIAL, SPECIAL, equal_nan=True)), True)
    np.testing.assert_array_equal(values(nnc.ops.vstack([A[0], B[0]])), np.vstack([A[0], B[0]]))
    np.testing.assert_array_equal(values(nnc.ops.eye(2, 4, k=1)), np.eye(2, 4, 1, "float32"))
    big = np.array([-1e12, 1e12, 5.5, 2147483520.0], "float32")
    assert values(nnc.ops.saturate_cast(big, "int32")).tolist() == [-2**31, 2**31 - 1, 5,
                                                                    2147483520]


def test_products_in_a_dtype():
    """NumPy's; Keras on TensorFlow forgets the argument."""
    for dtype in ("uint8", "bool", "int64", "float16"):
        got = nnc.ops.prod(INT, axis=0, dtype=dtype)
        assert got.dtype == dtype
        np.testing.assert_array_equal(values(got), np.prod(INT.astype(dtype), axis=0, dtype=dtype))


BAD = [
    (lambda: nnc.ops.softmax(A, axis=(0, 2)), "softmax: axis 2"),
    (lambda: nnc.ops.softmax(A, axis=(0, -2)), "softmax: an axis is named twice"),
    (lambda: nnc.ops.sum(A, axis=2), "sum: axis 2 is out of range for an array of rank 2"),
    (lambda: nnc.ops.sum(A, axis=(0, 0)), "sum: an axis is named twice"),
    (lambda: nnc.ops.argmax(A, axis=5), "argmax: axis 5"),
    (lambda: nnc.ops.concatenate([]), "concatenate: expected at least one"),
    (lambda: nnc.ops.concatenate([A, B.T]), "concatenate"),
    (lambda: nnc.ops.stack([A, B.T]), "stack: all arrays must have one shape"),
    (lambda: nnc.ops.reshape(A, (5, -1)), "reshape: 12 elements"),
    (lambda: nnc.ops.reshape(A, (-1, -1)), "reshape"),
    (lambda: nnc.ops.squeeze(A, 0), "squeeze: axis 0 .* size 3"),
    (lambda: nnc.ops.transpose(A, (0, 0)), "transpose"),
    (lambda: nnc.ops.matmul(A, B), "matmul: inner sizes differ"),
    (lambda: nnc.ops.matmul(A, 1.0), "matmul: scalars"),
    (lambda: nnc.ops.add(A, B.T), "add: shapes"),
    (lambda: nnc.ops.broadcast_to(A, (2, 2)), "broadcast_to"),
    (lambda: nnc.ops.split(A, 5), "split"),
    (lambda: nnc.ops.pad(A, -1), "pad"),
    (lambda: nnc.ops.pad(A, 1, mode="wrap"), "pad: `mode`"),
    (lambda: nnc.ops.where(BOOL, A), "where"),
    (lambda: nnc.ops.norm(A, ord="nucleus"), "norm: `ord`"),
    (lambda: nnc.ops.normalize(A, order=0), "normalize: `order`"),
    (lambda: nnc.ops.cast(A, "float31"), "Unknown dtype"),
    (lambda: nnc.ops.zeros((2, -1)), "zeros: sizes"),
    (lambda: nnc.ops.convert_to_tensor(A, sparse=True), "sparse"),
    (lambda: nnc.ops.one_hot(np.array([1]), 3, sparse=True), "sparse"),
    (lambda: nnc.ops.take(A, np.array([0.5])), "take: indices must be integers"),
    (lambda: nnc.ops.take(A, np.array([99])), "take"),
    (lambda: nnc.ops.max(np.zeros((0, 3), "float32"), axis=0), "max: nothing to reduce"),
    (lambda: nnc.ops.slice(A, (0, 0), (4, 1)), "slice: a block"),
    (lambda: nnc.ops.unstack(A, num=9), "unstack"),
    (lambda: nnc.ops.glu(A[:, :3]), "glu: the size of axis 1 must be even"),
    (lambda: nnc.ops.sparse_categorical_crossentropy(np.array([0, 1]), A), "target"),
    (lambda: nnc.ops.categorical_crossentropy(A, B[:2]), "same shape"),
    (lambda: nnc.ops.arange(0, 5, 0), "step"),
]


@pytest.mark.parametrize("call, text", BAD, ids=[text for _, text in BAD])
def test_errors_name_the_op(call, text):
    with pytest.raises((ValueError, IndexError), match=text):
        call()


def test_variables_and_lists_are_arrays():
    v = nnc.Variable(A)
    for call in (lambda x: nnc.ops.sum(x, 1), nnc.ops.exp, lambda x: nnc.ops.add(x, 1),
                 nnc.ops.softmax):
        np.testing.assert_array_equal(values(call(v)), values(call(A)))
        np.testing.assert_array_equal(values(call(A.tolist())), values(call(A)))
    kept = nnc.ops.cast(v, "float32")
    v.assign(np.zeros_like(A))
    np.testing.assert_array_equal(values(kept), A)


def test_same_parameters_as_keras():
    import inspect

    for name in {name for name, _, _ in CALLS}:
        ours = inspect.signature(getattr(nnc.ops, name)).parameters
        theirs = inspect.signature(getattr(keras.ops, name)).parameters
        ours, theirs = ({k: p for k, p in each.items() if p.kind != p.VAR_KEYWORD}
                        for each in (ours, theirs))
        assert list(ours) == list(theirs), name
        defaults = [{k: p.default for k, p in each.items()} for each in (ours, theirs)]
        assert defaults[0] == defaults[1], name


def test_where_and_division_have_no_nan_gradient():
    x = nnc.ops.array(np.array([0.0, 2.0], "float32"))
    with nnc.GradientTape() as tape:
        tape.watch(x)
        y = nnc.ops.sum(nnc.ops.divide_no_nan(1.0, x))
    assert values(tape.gradient(y, x)).tolist() == [0.0, -0.25]
