/* ops.c - an op called from Python: its operands, their promotion, and whether it runs now or is
 * recorded.
 *
 * Every row of the op table is a function of the namespace `op`. Operands are taken one by one
 * (tensor, variable, number, anything NumPy understands), brought to one dtype where the row
 * promotes, then run by nnc_eager, or appended to the trace of this thread if one of them is
 * symbolic or a variable. */
#include "ops/tiles.h"
#include "python.h"

#include <string.h>

enum {
    FEW = 8,
    SMALL_BYTES = 1024,     /* copying is quicker than keeping an array alive */
    MANY_ELEMENTS = 16384   /* from there on the GIL is dropped: some 5 us of work */
};

/* How a row treats its operands' dtypes. */
typedef enum {
    KEEP,               /* as they come */
    PROMOTE,            /* all to the dtype they promote to */
    PROMOTE_REST,       /* the first to bool, the others promote */
    TO_BOOL,
    AS_FIRST            /* all to the dtype of the first */
} rule;

static const unsigned char rules[NNC_OP_COUNT] = {
#define BINARY(name, ...) [NNC_OP_##name] = PROMOTE,
#include "ops/binary.def"
#undef BINARY
#define COMPARE(name, ...) [NNC_OP_##name] = PROMOTE,
#include "ops/compare.def"
#undef COMPARE
    [NNC_OP_matmul] = PROMOTE,          [NNC_OP_dense] = PROMOTE,
    [NNC_OP_concatenate] = PROMOTE,     [NNC_OP_where] = PROMOTE_REST,
    [NNC_OP_logical_and] = TO_BOOL,     [NNC_OP_logical_or] = TO_BOOL,
    [NNC_OP_logical_xor] = TO_BOOL,     [NNC_OP_logical_not] = TO_BOOL,
    [NNC_OP_bitwise_and] = PROMOTE,     [NNC_OP_bitwise_or] = PROMOTE,
    [NNC_OP_bitwise_xor] = PROMOTE,     [NNC_OP_left_shift] = PROMOTE,
    [NNC_OP_right_shift] = PROMOTE,     [NNC_OP_gcd] = PROMOTE,
    [NNC_OP_lcm] = PROMOTE,             [NNC_OP_searchsorted] = PROMOTE,
    [NNC_OP_recurrence] = PROMOTE,
    [NNC_OP_assign] = AS_FIRST,         [NNC_OP_assign_add] = AS_FIRST,
};

typedef enum { CONCRETE, ARRAY, VARIABLE, SYMBOLIC, NUMBER } source;

/* A number's dtype: bool is BOOL; int, float and complex are weak. */
typedef enum { STRONG, WEAK_INT, WEAK_FLOAT, WEAK_COMPLEX } strength;

typedef struct {
    PyObject *object;       /* borrowed */
    source source;
    strength strength;
    nnc_dtype dtype;        /* that it shows; unless weak */
    bool loose;             /* the tensor is of float32, the dtype bfloat16: see py_tensor */
    nnc_tensor *tensor; /* a reference; NULL: symbolic, a number so far, or a value of the trace */
    int value;              /* in the trace */
} operand;

typedef struct {
    py_state *state;
    nnc_op op;
    operand *operands;
    int count;
    PyObject *trace;        /* where it is recorded (borrowed), or NULL */
} call;

/* ---- taking operands ---- */

static bool take_number(PyObject *object, operand *o)
{
    o->source = NUMBER;
    o->dtype = NNC_BOOL;
    if (PyFloat_CheckExact(object))
        o->strength = WEAK_FLOAT;
    else if (PyBool_Check(object))
        o->strength = STRONG;
    else if (PyLong_Check(object))
        o->strength = WEAK_INT;
    else if (Py_TYPE(object) == &PyComplex_Type)
        o->strength = WEAK_COMPLEX;
    else
        return false;
    return true;
}

static int take_symbolic(call *c, int position, operand *o)
{
    py_tensor *tensor = (py_tensor *)o->object;
    PyObject *current = py_graph_current();
    o->source = SYMBOLIC;
    o->value = tensor->value;
    o->dtype = py_tensor_array(tensor)->dtype;
    if (tensor->graph == current)
        return 0;
    if (current != NULL && ((py_graph *)current)->outer != NULL) {
        o->value = py_graph_capture(c->state, current, tensor->graph, tensor->value);
        return o->value < 0 ? -1 : 0;
    }
    if (current == NULL)
        PyErr_Format(c->state->trace_error,
                     "%s: input %d is symbolic, but nothing is being recorded "
                     "in this thread",
                     nnc_ops[c->op].name, position);
    else
        PyErr_Format(PyExc_ValueError, "%s: input %d is a symbolic tensor of another trace",
                     nnc_ops[c->op].name, position);
    return -1;
}

static int take_array(call *c, int position, operand *o)
{
    char who[96];
    PyArrayObject *array = py_array_direct(o->object, &o->dtype);
    if (array == NULL) {
        snprintf(who, sizeof who, "%s: input %d", nnc_ops[c->op].name, position);
        array = py_array(c->state, o->object, who, &o->dtype);
    }
    if (array == NULL)
        return -1;
    o->source = ARRAY;
    o->tensor = py_tensor_from_array(c->state, array, o->dtype, SMALL_BYTES);
    Py_DECREF(array);
    return o->tensor == NULL ? -1 : 0;
}

static int take(call *c, int position, PyObject *object, operand *o)
{
    *o = (operand){.object = object, .value = -1};
    if (py_is_tensor(c->state, object)) {
        py_tensor *tensor = (py_tensor *)object;
        if (tensor->graph != NULL)
            return take_symbolic(c, position, o);
        o->source = CONCRETE;
        o->tensor = nnc_tensor_retain(tensor->tensor);
        o->dtype = py_tensor_dtype(tensor);
        o->loose = tensor->loose;
        return 0;
    }
    if (take_number(object, o))
        return 0;
    if (!py_is_variable(c->state, object))
        return take_array(c, position, o);
    py_variable *variable = (py_variable *)object;
    if (py_variable_check(variable) < 0)
        return -1;
    o->source = VARIABLE;
    o->tensor = nnc_tensor_retain(variable->tensor);
    o->dtype = o->tensor->array.dtype;
    return 0;
}

static int take_all(call *c, PyObject *const *args)
{
    int effects = nnc_op_effects(&nnc_ops[c->op]);
    bool symbolic = false;
    PyObject *current = py_graph_current();
    for (int i = 0; i < c->count; i++) {
        operand *o = &c->operands[i];
        if (take(c, i, args[i], o) < 0)
            return -1;
        symbolic |= o->source == SYMBOLIC || o->source == VARIABLE;
        if (i < effects && o->source != VARIABLE) {
            PyErr_Format(PyExc_TypeError, "%s: input %d is written to, so it must be a Variable. "
                         "Received: %R", nnc_ops[c->op].name, i, args[i]);
            return -1;
        }
        if (o->source == VARIABLE && i >= effects && current == NULL &&
            py_tape_read(c->state, (py_variable *)o->object) < 0)
            return -1;
    }
    c->trace = symbolic ? current : NULL;
    return 0;
}

/* ---- dtypes ---- */

/* What has been seen of the operands of one promotion. */
typedef struct {
    nnc_dtype dtype;        /* NNC_DTYPE_COUNT: none that is strong */
    bool weak_int, weak_float, weak_complex;
} promotion;

static void promote(promotion *p, const operand *o)
{
    p->weak_int |= o->strength == WEAK_INT;
    p->weak_float |= o->strength == WEAK_FLOAT;
    p->weak_complex |= o->strength == WEAK_COMPLEX;
    if (o->strength == STRONG && o->dtype != p->dtype)
        p->dtype = p->dtype == NNC_DTYPE_COUNT ? o->dtype : nnc_dtype_promote(p->dtype, o->dtype);
}

static nnc_dtype promoted(const promotion *p)
{
    bool none = p->dtype == NNC_DTYPE_COUNT;
    if (p->weak_complex)
        return NNC_C64;
    if (p->weak_float && (none || nnc_dtype_kind(p->dtype) < NNC_KIND_FLOAT))
        return NNC_F32;
    if (p->weak_int && (none || p->dtype == NNC_BOOL))
        return NNC_I32;
    return none ? NNC_F32 : p->dtype;
}

int py_result_dtype(py_state *state, PyObject *const *args, Py_ssize_t count, nnc_dtype *out)
{
    promotion p = {.dtype = NNC_DTYPE_COUNT};
    for (Py_ssize_t i = 0; i < count; i++) {
        operand o = {.strength = STRONG};
        if (py_is_tensor(state, args[i]) || py_is_variable(state, args[i])) {
            const nnc_array *array = py_signature(state, args[i]);
            if (array == NULL)
                return -1;
            o.dtype = py_is_tensor(state, args[i]) ? py_tensor_dtype((py_tensor *)args[i])
                                                   : py_read_dtype((py_variable *)args[i]);
        } else if (!take_number(args[i], &o)) {
            PyArrayObject *array = py_array(state, args[i], "result_dtype: a value", &o.dtype);
            if (array == NULL)
                return -1;
            Py_DECREF(array);
        }
        promote(&p, &o);
    }
    *out = promoted(&p);
    return 0;
}

/* The operand's value in the trace. */
static nnc_status trace_value(call *c, operand *o)
{
    nnc_status status = NNC_OK;
    nnc_graph *graph = ((py_graph *)c->trace)->graph;
    if (o->value < 0 && o->source == VARIABLE && py_graph_note(c->trace, o->object) < 0)
        return nnc_fail(NNC_ENOMEM, "no memory");
    if (o->value < 0)
        status = nnc_graph_tensor(graph, o->tensor,
                                  o->source == VARIABLE ? NNC_VARIABLE : NNC_CONSTANT, &o->value);
    return status;
}

/* The operand in another dtype, now. */
static nnc_status cast_now(operand *o, nnc_dtype dtype)
{
    nnc_attrs attrs = {.dtype = dtype};
    nnc_tensor *result = NULL;
    nnc_status status = nnc_eager(NNC_OP_cast, &attrs, &o->tensor, 1, &result);
    if (status != NNC_OK)
        return status;
    nnc_tensor_release(o->tensor);
    o->tensor = result;
    o->source = CONCRETE;
    o->dtype = dtype;
    o->loose = false;
    return NNC_OK;
}

/* A number becomes a tensor (), everything else is cast if it must be: recorded like any op. */
static int settle(call *c, operand *o, nnc_dtype dtype)
{
    nnc_status status;
    nnc_attrs attrs = {.dtype = dtype};
    if (o->source == NUMBER) {
        o->tensor = py_tensor_from_number(c->state, o->object, dtype);
        return o->tensor == NULL ? -1 : 0;
    }
    if (o->dtype == dtype)
        return 0;
    if (o->loose && dtype == NNC_F32) {
        o->loose = false;
        o->dtype = dtype;
        return 0;
    }
    if (c->trace != NULL && (o->source == SYMBOLIC || o->source == VARIABLE)) {
        NNC_TRY(trace_value(c, o));
        NNC_TRY(nnc_graph_append(((py_graph *)c->trace)->graph, NNC_OP_cast, &attrs, &o->value, 1,
                                 &o->value));
        o->source = SYMBOLIC;
    } else {
        NNC_TRY(cast_now(o, dtype));
    }
    o->dtype = dtype;
done:
    if (status != NNC_OK)
        py_raise(c->state, status);
    return status == NNC_OK ? 0 : -1;
}

/* Whether what is of float32 may pass for the dtype, in an op that runs now. */
static bool may_pass(const call *c, const operand *o, nnc_dtype dtype)
{
    return c->trace == NULL && o->source != NUMBER && o->dtype == NNC_F32 && dtype == NNC_BF16 &&
        !nnc_tiles_there();
}

/* Variables that are read, in the dtype of the layer that reads them. */
static int settle_variables(call *c)
{
    for (int i = nnc_op_effects(&nnc_ops[c->op]); i < c->count; i++) {
        operand *o = &c->operands[i];
        if (o->source != VARIABLE)
            continue;
        nnc_dtype dtype = py_read_dtype((py_variable *)o->object);
        if (may_pass(c, o, dtype)) {
            o->loose = true;
            o->dtype = dtype;
        } else if (settle(c, o, dtype) < 0) {
            return -1;
        }
    }
    return 0;
}

/* What is recorded holds what it shows. */
static int round_loose(call *c)
{
    nnc_status status = NNC_OK;
    for (int i = 0; i < c->count && c->trace != NULL && status == NNC_OK; i++) {
        if (c->operands[i].loose)
            status = cast_now(&c->operands[i], NNC_BF16);
    }
    if (status != NNC_OK)
        py_raise(c->state, status);
    return status == NNC_OK ? 0 : -1;
}

/* KEEP: a float takes the dtype of the first floating-point operand; integers are 32 bits wide,
 * counters of the optimizers 64. */
static nnc_dtype number_dtype(const call *c, const operand *o)
{
    if (o->strength == STRONG)
        return NNC_BOOL;
    if (o->strength == WEAK_COMPLEX)
        return NNC_C64;
    if (o->strength == WEAK_INT)
        return nnc_op_effects(&nnc_ops[c->op]) > 0 ? NNC_I64 : NNC_I32;
    for (int i = 0; i < c->count; i++) {
        const operand *other = &c->operands[i];
        if (other->source != NUMBER && nnc_dtype_kind(other->dtype) == NNC_KIND_FLOAT)
            return other->dtype;
    }
    return NNC_F32;
}

static int settle_all(call *c)
{
    rule how = (rule)rules[c->op];
    promotion p = {.dtype = NNC_DTYPE_COUNT};
    nnc_dtype dtype = how == TO_BOOL ? NNC_BOOL : c->count > 0 ? c->operands[0].dtype : NNC_F32;
    int first = 0;
    if (how == KEEP) {
        for (int i = 0; i < c->count; i++) {
            operand *o = &c->operands[i];
            if (o->source == NUMBER && settle(c, o, number_dtype(c, o)) < 0)
                return -1;
        }
        return 0;
    }
    if (how == PROMOTE_REST && c->count > 0) {
        if (settle(c, &c->operands[0], NNC_BOOL) < 0)
            return -1;
        first = 1;
    }
    if (how == PROMOTE || how == PROMOTE_REST) {
        for (int i = first; i < c->count; i++)
            promote(&p, &c->operands[i]);
        dtype = promoted(&p);
    }
    for (int i = first; i < c->count; i++) {
        if (settle(c, &c->operands[i], dtype) < 0)
            return -1;
    }
    return 0;
}

/* ---- running ---- */

/* What will outlive the call may share memory neither with the user's array nor with a variable. */
static nnc_status own_operands(call *c)
{
    nnc_status status = NNC_OK;
    nnc_tensor *copy = NULL;
    nnc_attrs none = {0};
    bool view = (nnc_ops[c->op].flags & NNC_VIEW) != 0;
    bool kept = view || c->trace != NULL || nnc_tape_active();
    for (int i = 0; i < c->count && kept; i++) {
        operand *o = &c->operands[i];
        if (o->source == ARRAY && o->tensor->owner != NULL)
            NNC_TRY(nnc_tensor_copy(o->tensor, &copy));
        else if (o->source == VARIABLE && view && c->trace == NULL)
            NNC_TRY(nnc_eager(NNC_OP_copy, &none, &o->tensor, 1, &copy));
        else
            continue;
        nnc_tensor_release(o->tensor);
        o->tensor = copy;
    }
done:
    return status;
}

/* Whether others should run meanwhile. Not while a tape is active or a variable is written: tapes
 * are guarded by the GIL. */
static bool is_long(const call *c, const nnc_attrs *attrs, nnc_tensor *const *in)
{
    int64_t sum = 0;
    double product = 1;
    for (int i = 0; i < c->count; i++) {
        int64_t n = nnc_shape_size(&in[i]->array.shape);
        sum += n;
        product *= (double)n;
    }
    if (nnc_ops[c->op].attrs[0] == 's') {
        product = 1;
        for (int i = 0; i < attrs->list_count; i++)
            product *= (double)attrs->list[i];
        sum += product < 1e18 ? (int64_t)product : INT64_MAX / 2;
    }
    return (sum > MANY_ELEMENTS || product > 1e7) && !nnc_tape_active() &&
        nnc_op_effects(&nnc_ops[c->op]) == 0;
}

/* Makes objects of the outputs; of `out`, which it takes over, or of `value`, whichever is given.
 */
static PyObject *wrap(call *c, nnc_tensor **out, const bool *loose, const int *value)
{
    int count = nnc_ops[c->op].outputs;
    if (count == 0)
        Py_RETURN_NONE;
    if (count == 1)
        return out != NULL ? py_tensor_wrap_loose(c->state, out[0], loose[0])
                           : py_tensor_symbolic(c->state, c->trace, value[0]);
    PyObject *tuple = PyTuple_New(count);
    for (int i = 0; i < count; i++) {
        PyObject *object = NULL;
        if (tuple != NULL)
            object = out != NULL ? py_tensor_wrap_loose(c->state, out[i], loose[i])
                                 : py_tensor_symbolic(c->state, c->trace, value[i]);
        else if (out != NULL)
            nnc_tensor_release(out[i]);
        if (object != NULL)
            PyTuple_SetItem(tuple, i, object);
        else
            Py_CLEAR(tuple);
    }
    return tuple;
}

/* Whether a cast gives the same numbers under the other dtype; loosens: which is bfloat16. */
static bool is_renaming(const nnc_attrs *attrs, bool loose, bool may, bool *loosens)
{
    *loosens = !attrs->k[NNC_CAST_KEPT] && attrs->dtype == NNC_BF16 && (loose || may);
    return *loosens || (loose && attrs->dtype == NNC_F32);
}

/* The cast of a variable or an array, where it is a renaming; NULL and no exception where it is
 * none. */
static PyObject *renamed(call *c, const nnc_attrs *attrs)
{
    bool loosens;
    nnc_attrs none = {0};
    nnc_tensor *same = NULL;
    operand *o = &c->operands[0];
    if (!is_renaming(attrs, o->loose, may_pass(c, o, attrs->dtype), &loosens))
        return NULL;
    nnc_status status = nnc_eager(NNC_OP_copy, &none, &o->tensor, 1, &same);
    return status == NNC_OK ? py_tensor_wrap_loose(c->state, same, loosens)
                            : py_raise(c->state, status);
}

/* The same of a concrete tensor, at once: nothing is computed. */
static PyObject *renamed_tensor(py_state *state, const nnc_attrs *attrs, PyObject *object)
{
    bool loosens;
    py_tensor *x = (py_tensor *)object;
    if (!py_is_tensor(state, object) || x->graph != NULL ||
        !is_renaming(attrs, x->loose, x->tensor->array.dtype == NNC_F32 && !nnc_tiles_there(),
                     &loosens))
        return NULL;
    PyObject *result = py_tensor_wrap_loose(state, nnc_tensor_retain(x->tensor), loosens);
    if (result != NULL)
        ((py_tensor *)result)->shape = Py_XNewRef(x->shape);
    return result;
}

static PyObject *run_now(call *c, const nnc_attrs *attrs)
{
    nnc_status status = NNC_OK;
    nnc_tensor *few[FEW], **in = few, *out[NNC_MAX_OUTPUTS];
    bool few_loose[FEW], *in_loose = few_loose, out_loose[NNC_MAX_OUTPUTS] = {false}, any = false;
    PyThreadState *saved;
    if (c->op == NNC_OP_cast) {
        PyObject *result = renamed(c, attrs);
        if (result != NULL || PyErr_Occurred())
            return result;
    }
    if (c->count > FEW) {
        in_loose = NULL;
        NNC_TRY(nnc_alloc(c->count * (int64_t)sizeof *in, &in));
        NNC_TRY(nnc_alloc(c->count, &in_loose));
    }
    for (int i = 0; i < c->count; i++) {
        in[i] = c->operands[i].tensor;
        in_loose[i] = c->operands[i].loose;
        any |= in_loose[i];
    }
    bool others = is_long(c, attrs, in);
    if (others)
        py_gil_release(&saved);
    status = any ? nnc_eager_loose(c->op, attrs, in, in_loose, c->count, out, out_loose)
                 : nnc_eager(c->op, attrs, in, c->count, out);
    if (others)
        py_gil_take(&saved);
done:
    if (in != few) {
        nnc_free(in);
        nnc_free(in_loose);
    }
    return status == NNC_OK ? wrap(c, out, out_loose, NULL) : py_raise(c->state, status);
}

static PyObject *record(call *c, const nnc_attrs *attrs)
{
    nnc_status status = NNC_OK;
    int few[FEW], *in = few, out[NNC_MAX_OUTPUTS];
    if (c->count > FEW)
        NNC_TRY(nnc_alloc(c->count * (int64_t)sizeof *in, &in));
    for (int i = 0; i < c->count; i++) {
        NNC_TRY(trace_value(c, &c->operands[i]));
        in[i] = c->operands[i].value;
    }
    NNC_TRY(nnc_graph_append(((py_graph *)c->trace)->graph, c->op, attrs, in, c->count, out));
done:
    if (in != few)
        nnc_free(in);
    return status == NNC_OK ? wrap(c, NULL, NULL, out) : py_raise(c->state, status);
}

PyObject *py_call(py_state *state, nnc_op op, const nnc_attrs *attrs, PyObject *const *args,
                  int count)
{
    operand few[FEW];
    PyObject *result = NULL;
    call c = {.state = state, .op = op, .operands = few, .count = count};
    if (op == NNC_OP_cast) {
        result = renamed_tensor(state, attrs, args[0]);
        if (result != NULL || PyErr_Occurred())
            return result;
    }
    if (count > FEW) {
        c.operands = PyMem_Malloc((size_t)count * sizeof *c.operands);
        if (c.operands == NULL)
            return PyErr_NoMemory();
    }
    for (int i = 0; i < count; i++)
        c.operands[i].tensor = NULL;
    if (take_all(&c, args) == 0 && settle_variables(&c) == 0 && settle_all(&c) == 0 &&
        round_loose(&c) == 0) {
        nnc_status status = own_operands(&c);
        if (status != NNC_OK)
            py_raise(state, status);
        else
            result = c.trace == NULL ? run_now(&c, attrs) : record(&c, attrs);
    }
    for (int i = 0; i < count; i++)
        nnc_tensor_release(c.operands[i].tensor);
    if (c.operands != few)
        PyMem_Free(c.operands);
    return result;
}

PyObject *py_call1(py_state *state, nnc_op op, const nnc_attrs *attrs, PyObject *a)
{
    nnc_attrs none = {0};
    return py_call(state, op, attrs == NULL ? &none : attrs, &a, 1);
}

PyObject *py_call2(py_state *state, nnc_op op, PyObject *a, PyObject *b)
{
    nnc_attrs none = {0};
    PyObject *both[2] = {a, b};
    return py_call(state, op, &none, both, 2);
}

/* ---- conversion ---- */

PyObject *py_floats_as(py_state *state, PyObject *x, nnc_dtype dtype)
{
    py_tensor *tensor = (py_tensor *)x;
    nnc_attrs attrs = {.dtype = dtype};
    nnc_dtype own = py_tensor_dtype(tensor);
    if (own == dtype || nnc_dtype_kind(own) != NNC_KIND_FLOAT)
        return Py_NewRef(x);
    PyObject *result = py_call1(state, NNC_OP_cast, &attrs, x);
    PyObject *mask = result == NULL || tensor->dict == NULL
        ? NULL : PyDict_GetItemWithError(tensor->dict, state->keras_mask);
    if (PyErr_Occurred() || (mask != NULL && PyObject_SetAttr(result, state->keras_mask, mask) < 0))
        Py_CLEAR(result);
    return result;
}

PyObject *py_cast(py_state *state, PyObject *x, nnc_dtype dtype)
{
    nnc_attrs attrs = {.dtype = dtype, .k = {[NNC_CAST_KEPT] = 1}};
    const nnc_array *array = py_signature(state, x);
    if (array == NULL)
        return NULL;
    nnc_dtype own = py_is_tensor(state, x) ? py_tensor_dtype((py_tensor *)x)
                                           : py_read_dtype((py_variable *)x);
    if (own != dtype)
        return py_call1(state, NNC_OP_cast, &attrs, x);
    if (py_is_variable(state, x))
        return py_call1(state, NNC_OP_copy, NULL, x);
    Py_INCREF(x);
    return x;
}

static bool fits_int32(PyObject *number)
{
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    return overflow == 0 && value >= INT32_MIN && value <= INT32_MAX;
}

PyObject *py_convert(py_state *state, PyObject *value, nnc_dtype dtype, bool given)
{
    nnc_dtype own;
    operand number;
    nnc_tensor *tensor;
    if (py_is_tensor(state, value) || py_is_variable(state, value)) {
        const nnc_array *array = py_signature(state, value);
        return array == NULL
                   ? NULL
                   : py_cast(state, value, dtype != NNC_DTYPE_COUNT ? dtype
                                    : py_is_tensor(state, value) ? py_tensor_dtype((py_tensor *)value)
                                    : py_read_dtype((py_variable *)value));
    }
    if (take_number(value, &number)) {
        own = number.strength == WEAK_FLOAT ? NNC_F32 : number.strength == WEAK_COMPLEX ? NNC_C64
            : PyBool_Check(value) ? NNC_BOOL : fits_int32(value) ? NNC_I32 : NNC_I64;
        tensor = py_tensor_from_number(state, value, dtype == NNC_DTYPE_COUNT ? own : dtype);
        return tensor == NULL ? NULL : py_tensor_wrap(state, tensor);
    }
    value = dtype == NNC_C64 ? py_halved(value) : Py_NewRef(value);
    PyArrayObject *array = value == NULL ? NULL : py_array(state, value, "Tensor: the value", &own);
    Py_XDECREF(value);
    if (array == NULL)
        return NULL;
    bool cast_too = dtype != NNC_DTYPE_COUNT && dtype != own;   /* which copies */
    tensor = py_tensor_from_array(
        state, array, own, given || cast_too || py_array_is_ours(array) ? -1 : NPY_MAX_INTP);
    Py_DECREF(array);
    PyObject *result = tensor == NULL ? NULL : py_tensor_wrap(state, tensor);
    if (result == NULL || !cast_too)
        return result;
    PyObject *cast = py_cast(state, result, dtype);
    Py_DECREF(result);
    return cast;
}
