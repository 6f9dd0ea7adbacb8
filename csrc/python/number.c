/* number.c - operators of Tensor and Variable: each is a row of the op table.
 * The other operand may be a tensor, a variable, a number, a NumPy array or a list; anything else
 * answers NotImplemented, so that its own operators are tried. */
#include "python.h"

#include <math.h>

/* ---- operands ---- */

static bool is_operand(py_state *state, PyObject *o)
{
    return py_is_tensor(state, o) || PyFloat_Check(o) || PyLong_Check(o) || PyComplex_Check(o) ||
           py_is_variable(state, o) || PyArray_Check(o) || PyArray_IsScalar(o, Generic) ||
           PyList_Check(o) || PyTuple_Check(o);
}

/* The state if both can be operands, one of them being ours; else NULL. */
static py_state *state_of_both(PyObject *a, PyObject *b)
{
    py_state *state = py_state_of(a);
    if (state == NULL)
        state = py_state_of(b);
    return state != NULL && is_operand(state, a) && is_operand(state, b) ? state : NULL;
}

static PyObject *binary(nnc_op op, PyObject *a, PyObject *b)
{
    py_state *state = state_of_both(a, b);
    if (state == NULL)
        Py_RETURN_NOTIMPLEMENTED;
    return py_call2(state, op, a, b);
}

#define BINARY_SLOT(name, op)                                                                      \
    PyObject *py_##name(PyObject *a, PyObject *b)                                                  \
    {                                                                                              \
        return binary(NNC_OP_##op, a, b);                                                          \
    }
BINARY_SLOT(add, add)
BINARY_SLOT(subtract, subtract)
BINARY_SLOT(multiply, multiply)
BINARY_SLOT(floor_divide, floor_divide)
BINARY_SLOT(mod, mod)
BINARY_SLOT(left_shift, left_shift)
BINARY_SLOT(right_shift, right_shift)

/* (a // b, a % b) */
PyObject *py_divmod(PyObject *a, PyObject *b)
{
    PyObject *whole = py_floor_divide(a, b), *rest, *both = NULL;
    if (whole == NULL || whole == Py_NotImplemented)
        return whole;
    rest = py_mod(a, b);
    if (rest != NULL)
        both = PyTuple_Pack(2, whole, rest);
    Py_XDECREF(rest);
    Py_DECREF(whole);
    return both;
}

/* ---- complex numbers, by ops on their parts ---- */

/* op(values[a], values[b]); values 0 and 1 are the operands, the others what the steps gave. */
typedef struct {
    nnc_op op;
    int a, b;
} step;

#define PARTS                                                                                      \
    {NNC_OP_real, 0, -1}, {NNC_OP_imag, 0, -1}, {NNC_OP_real, 1, -1}, {NNC_OP_imag, 1, -1}
static const step absolute_steps[] = {PARTS, {NNC_OP_hypot, 2, 3}};
static const step equal_steps[] = {PARTS, {NNC_OP_equal, 2, 4}, {NNC_OP_equal, 3, 5},
                                   {NNC_OP_logical_and, 6, 7}};
static const step not_equal_steps[] = {PARTS, {NNC_OP_not_equal, 2, 4}, {NNC_OP_not_equal, 3, 5},
                                       {NNC_OP_logical_or, 6, 7}};
static const step matmul_steps[] = {
    PARTS, {NNC_OP_matmul, 2, 4}, {NNC_OP_matmul, 3, 5}, {NNC_OP_subtract, 6, 7},
    {NNC_OP_matmul, 2, 5}, {NNC_OP_matmul, 3, 4}, {NNC_OP_add, 9, 10}, {NNC_OP_complex, 8, 11}};
enum { MOST_VALUES = 16 };

static PyObject *composed(py_state *state, const step *steps, int count, PyObject *a, PyObject *b)
{
    PyObject *values[MOST_VALUES] = {py_convert(state, a, NNC_C64, false), NULL};
    int made = 1;
    if (values[0] != NULL)
        values[made++] = py_convert(state, b, NNC_C64, false);
    for (int i = 0; i < count && values[made - 1] != NULL; i++, made++)
        values[made] = steps[i].b < 0
            ? py_call1(state, steps[i].op, NULL, values[steps[i].a])
            : py_call2(state, steps[i].op, values[steps[i].a], values[steps[i].b]);
    for (int i = 0; i < made - 1; i++)
        Py_DECREF(values[i]);
    return values[made - 1];
}
#define COMPOSED(state, steps, a, b)                                                               \
    composed(state, steps, sizeof(steps) / sizeof(steps[0]), a, b)

/* Whether two operands promote to complex numbers; -1 with an exception. */
static int are_complex(py_state *state, PyObject *a, PyObject *b)
{
    PyObject *both[2] = {a, b};
    nnc_dtype dtype;
    if (py_result_dtype(state, both, 2, &dtype) < 0)
        return -1;
    return nnc_dtype_kind(dtype) == NNC_KIND_COMPLEX;
}

PyObject *py_power(PyObject *a, PyObject *b, PyObject *modulus)
{
    if (modulus != Py_None)
        Py_RETURN_NOTIMPLEMENTED;
    return binary(NNC_OP_power, a, b);
}

/* Two whole numbers (or booleans) divide as float32. */
PyObject *py_divide(PyObject *a, PyObject *b)
{
    py_state *state = state_of_both(a, b);
    PyObject *both[2] = {a, b}, *x, *result = NULL;
    nnc_dtype dtype;
    if (state == NULL)
        Py_RETURN_NOTIMPLEMENTED;
    if (py_result_dtype(state, both, 2, &dtype) < 0)
        return NULL;
    if (nnc_dtype_differentiable(dtype))
        return py_call2(state, NNC_OP_divide, a, b);
    x = py_convert(state, a, NNC_F32, false);
    PyObject *y = x == NULL ? NULL : py_convert(state, b, NNC_F32, false);
    if (y != NULL)
        result = py_call2(state, NNC_OP_divide, x, y);
    Py_XDECREF(x);
    Py_XDECREF(y);
    return result;
}

static PyObject *reshape(py_state *state, PyObject *x, int64_t rows, int64_t cols)
{
    nnc_attrs attrs = {.list = {rows, cols}, .list_count = 2};
    return py_call1(state, NNC_OP_reshape, &attrs, x);
}

static PyObject *product_of(py_state *state, PyObject *x, PyObject *y)
{
    int parts = are_complex(state, x, y);
    if (parts < 0)
        return NULL;
    return parts ? COMPOSED(state, matmul_steps, x, y) : py_call2(state, NNC_OP_matmul, x, y);
}

/* A vector is a row at the left and a column at the right; that axis goes again. */
PyObject *py_matmul(PyObject *a, PyObject *b)
{
    py_state *state = state_of_both(a, b);
    PyObject *x, *y = NULL, *product = NULL, *result = NULL;
    nnc_attrs attrs = {0};
    if (state == NULL)
        Py_RETURN_NOTIMPLEMENTED;
    x = py_convert(state, a, NNC_DTYPE_COUNT, false);
    if (x == NULL)
        return NULL;
    y = py_convert(state, b, NNC_DTYPE_COUNT, false);
    if (y == NULL)
        goto done;
    const nnc_shape left = py_signature(state, x)->shape, right = py_signature(state, y)->shape;
    if (left.rank == 1)
        py_replace(&x, reshape(state, x, 1, left.dim[0]));
    if (right.rank == 1)
        py_replace(&y, reshape(state, y, right.dim[0], 1));
    if (x != NULL && y != NULL)
        product = product_of(state, x, y);
    if (product == NULL || (left.rank != 1 && right.rank != 1)) {
        result = product;
        goto done;
    }
    const nnc_shape *shape = &py_signature(state, product)->shape;
    for (int i = 0; i < shape->rank; i++) {
        bool added =
            (left.rank == 1 && i == shape->rank - 2) || (right.rank == 1 && i == shape->rank - 1);
        if (!added)
            attrs.list[attrs.list_count++] = shape->dim[i];
    }
    result = py_call1(state, NNC_OP_reshape, &attrs, product);
    Py_DECREF(product);
done:
    Py_XDECREF(x);
    Py_XDECREF(y);
    return result;
}

/* Of booleans the truth, of whole numbers the bits. */
static PyObject *logical(nnc_op of_truth, nnc_op of_bits, PyObject *a, PyObject *b)
{
    py_state *state = state_of_both(a, b);
    PyObject *both[2] = {a, b};
    nnc_dtype dtype;
    if (state == NULL)
        Py_RETURN_NOTIMPLEMENTED;
    if (py_result_dtype(state, both, 2, &dtype) < 0)
        return NULL;
    nnc_kind kind = nnc_dtype_kind(dtype);
    if (kind != NNC_KIND_BOOL && kind != NNC_KIND_INT && kind != NNC_KIND_UINT) {
        PyErr_Format(PyExc_TypeError, "&, | and ^ take booleans or whole numbers. Received: "
                     "dtype=%s", nnc_dtype_name(dtype));
        return NULL;
    }
    return py_call2(state, kind == NNC_KIND_BOOL ? of_truth : of_bits, a, b);
}

PyObject *py_and(PyObject *a, PyObject *b)
{
    return logical(NNC_OP_logical_and, NNC_OP_bitwise_and, a, b);
}

PyObject *py_or(PyObject *a, PyObject *b)
{
    return logical(NNC_OP_logical_or, NNC_OP_bitwise_or, a, b);
}

PyObject *py_xor(PyObject *a, PyObject *b)
{
    return logical(NNC_OP_logical_xor, NNC_OP_bitwise_xor, a, b);
}

/* ---- one operand ---- */

PyObject *py_negative(PyObject *a)
{
    return py_call1(py_state_of(a), NNC_OP_negative, NULL, a);
}

PyObject *py_positive(PyObject *a)
{
    return py_convert(py_state_of(a), a, NNC_DTYPE_COUNT, false);
}

PyObject *py_absolute(PyObject *a)
{
    py_state *state = py_state_of(a);
    const nnc_array *array = py_signature(state, a);
    if (array == NULL)
        return NULL;
    if (nnc_dtype_kind(array->dtype) == NNC_KIND_COMPLEX)
        return COMPOSED(state, absolute_steps, a, a);
    return py_call1(state, NNC_OP_absolute, NULL, a);
}

PyObject *py_invert(PyObject *a)
{
    py_state *state = py_state_of(a);
    const nnc_array *array = py_signature(state, a);
    if (array == NULL)
        return NULL;
    nnc_kind kind = nnc_dtype_kind(array->dtype);
    if (kind != NNC_KIND_BOOL && kind != NNC_KIND_INT && kind != NNC_KIND_UINT) {
        PyErr_Format(PyExc_TypeError, "~ takes booleans or whole numbers. Received: dtype=%s",
                     nnc_dtype_name(array->dtype));
        return NULL;
    }
    return py_call1(state, kind == NNC_KIND_BOOL ? NNC_OP_logical_not : NNC_OP_bitwise_not, NULL,
                    a);
}

/* round(a * 10^n) / 10^n. Whole numbers are that already for n >= 0; for n < 0 float64 has them. */
static PyObject *rounded(py_state *state, PyObject *a, const nnc_array *array, int n)
{
    bool whole = nnc_dtype_kind(array->dtype) != NNC_KIND_FLOAT;
    nnc_dtype dtype = py_is_tensor(state, a) ? py_tensor_dtype((py_tensor *)a) : array->dtype;
    if (whole && n >= 0)
        return py_convert(state, a, NNC_DTYPE_COUNT, false);
    PyObject *x = py_convert(state, a, whole ? NNC_F64 : dtype, false);
    PyObject *factor = n == 0 ? NULL : PyFloat_FromDouble(pow(10.0, n));
    if (x != NULL && factor != NULL)
        py_replace(&x, py_call2(state, NNC_OP_multiply, x, factor));
    if (x != NULL)
        py_replace(&x, py_call1(state, NNC_OP_round, NULL, x));
    if (x != NULL && factor != NULL)
        py_replace(&x, py_call2(state, NNC_OP_divide, x, factor));
    if (x != NULL && whole)
        py_replace(&x, py_convert(state, x, dtype, false));
    Py_XDECREF(factor);
    return x;
}

/* round(a), round(a, n): a tensor, halves to the even number. */
PyObject *py_round(PyObject *a, PyObject *args)
{
    py_state *state = py_state_of(a);
    const nnc_array *array = py_signature(state, a);
    PyObject *digits = Py_None;
    long n = 0;
    if (array == NULL || !PyArg_ParseTuple(args, "|O:__round__", &digits))
        return NULL;
    if (digits != Py_None) {
        n = PyLong_AsLong(digits);
        if (n == -1 && PyErr_Occurred())
            return NULL;
    }
    if (n < -300 || n > 300) {
        PyErr_Format(PyExc_ValueError, "round: `ndigits` must be -300 to 300. Received: %ld", n);
        return NULL;
    }
    nnc_kind kind = nnc_dtype_kind(array->dtype);
    if (kind != NNC_KIND_FLOAT && kind != NNC_KIND_INT && kind != NNC_KIND_UINT) {
        PyErr_Format(PyExc_TypeError, "round takes real numbers. Received: dtype=%s",
                     nnc_dtype_name(array->dtype));
        return NULL;
    }
    return rounded(state, a, array, (int)n);
}

PyObject *py_compare(PyObject *a, PyObject *b, int what)
{
    static const nnc_op ops[] = {[Py_LT] = NNC_OP_less, [Py_LE] = NNC_OP_less_equal,
                                 [Py_EQ] = NNC_OP_equal, [Py_NE] = NNC_OP_not_equal,
                                 [Py_GT] = NNC_OP_greater, [Py_GE] = NNC_OP_greater_equal};
    py_state *state = state_of_both(a, b);
    int parts = state != NULL && (what == Py_EQ || what == Py_NE) ? are_complex(state, a, b) : 0;
    if (parts < 0)
        return NULL;
    if (parts)
        return what == Py_EQ ? COMPOSED(state, equal_steps, a, b)
                             : COMPOSED(state, not_equal_steps, a, b);
    return binary(ops[what], a, b);
}

/* By identity, as == is element-wise. */
Py_hash_t py_hash(PyObject *a)
{
    size_t address = (size_t)a;
    Py_hash_t hash = (Py_hash_t)((address >> 4) | (address << (8 * sizeof address - 4)));
    return hash == -1 ? -2 : hash;
}

/* ---- as Python numbers ---- */

const nnc_array *py_signature(py_state *state, PyObject *x)
{
    if (py_is_tensor(state, x))
        return py_tensor_array((py_tensor *)x);
    py_variable *variable = (py_variable *)x;
    return py_variable_check(variable) < 0 ? NULL : &variable->tensor->array;
}

PyObject *py_scalar(PyObject *x, const char *asked)
{
    py_state *state = py_state_of(x);
    const nnc_array *array = py_signature(state, x);
    if (array == NULL)
        return NULL;
    if (py_is_tensor(state, x) ? ((py_tensor *)x)->graph != NULL : py_graph_current() != NULL)
        return py_trace_error(state, asked);
    if (nnc_shape_size(&array->shape) != 1) {
        char text[NNC_SHAPE_TEXT];
        PyErr_Format(PyExc_ValueError, "%s needs a tensor of one element. Received: shape=%s",
                     asked, nnc_shape_text(&array->shape, text));
        return NULL;
    }
    if (py_is_tensor(state, x)) {
        const nnc_tensor *shown = py_tensor_shown(state, (py_tensor *)x);
        return shown == NULL ? NULL : py_number(&shown->array, 0);
    }
    return py_number(array, 0);
}

int py_bool(PyObject *a)
{
    PyObject *number = py_scalar(a, "bool(...)");
    int truth = number == NULL ? -1 : PyObject_IsTrue(number);
    Py_XDECREF(number);
    return truth;
}

PyObject *py_int(PyObject *a)
{
    PyObject *number = py_scalar(a, "int(...)");
    PyObject *whole = number == NULL ? NULL : PyNumber_Long(number);
    Py_XDECREF(number);
    return whole;
}

PyObject *py_float(PyObject *a)
{
    PyObject *number = py_scalar(a, "float(...)");
    PyObject *real = number == NULL ? NULL : PyNumber_Float(number);
    Py_XDECREF(number);
    return real;
}

PyObject *py_index(PyObject *a)
{
    py_state *state = py_state_of(a);
    const nnc_array *array = py_signature(state, a);
    if (array == NULL)
        return NULL;
    nnc_kind kind = nnc_dtype_kind(array->dtype);
    if (array->shape.rank != 0 || (kind != NNC_KIND_INT && kind != NNC_KIND_UINT)) {
        char text[NNC_SHAPE_TEXT];
        PyErr_Format(PyExc_TypeError,
                     "only a whole-number tensor of shape () can be an index. Received: "
                     "dtype=%s, shape=%s",
                     nnc_dtype_name(array->dtype), nnc_shape_text(&array->shape, text));
        return NULL;
    }
    return py_scalar(a, "An index");
}
