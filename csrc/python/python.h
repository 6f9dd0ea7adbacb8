/* python.h - what the files of the extension share: the objects, the module's state, and who does
 * what.
 *
 * The extension parses, calls the core and wraps; nothing else. Files: module.c (start, functions),
 * error.c (status to exception, signals), convert.c (NumPy and numbers to tensors and back),
 * ops.c (an op called from Python), rows.c (the functions of `op`), number.c (operators),
 * index.c (t[...]), tensor.c, share.c (buffer, DLPack), variable.c, layer.c (what layers do),
 * graph.c, describe.c (traces), tape.c, program.c, schedule.c (what a program tells), scan.c
 * (checks on data), host.c (ops that NumPy computes), file.c (bytes of files), text.c
 * (strings). All functions hold the GIL unless they say otherwise, and return -1 or NULL with an
 * exception set. */
#ifndef NNC_PYTHON_H
#define NNC_PYTHON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <stdio.h>

#define NPY_NO_DEPRECATED_API NPY_1_25_API_VERSION
#define NPY_TARGET_VERSION NPY_1_25_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL nnc_numpy_api
#ifndef PY_IMPORT_NUMPY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

#include "nnc.h"

/* ---- objects ---- */

typedef struct {
    PyObject *module;                       /* not counted: the module owns this */
    PyTypeObject *tensor_type, *variable_type, *graph_type, *no_trace_type, *tape_type,
        *program_type, *op_type;
    PyObject *trace_error, *invalid_index;
    PyObject *dtype_name[NNC_DTYPE_COUNT];  /* interned */
    PyObject *keras_logits, *keras_mask;    /* "_keras_logits", "_keras_mask" */
    PyObject *bfloat16;                     /* ml_dtypes' dtype, once it was needed */
} py_state;

/* A tensor, or (graph not NULL) a value of a trace. A loose one is of float32 and passes for
 * bfloat16: ops go on with what it holds, who looks at the numbers sees them rounded. */
typedef struct {
    PyObject_HEAD
    nnc_tensor *tensor;
    nnc_tensor *rounded;                    /* of a loose one, once it was asked for; else NULL */
    bool loose;
    PyObject *graph;
    int value;
    PyObject *shape;                        /* a tuple, made when first asked for */
    PyObject *dict, *weak;
} py_tensor;

/* tensor is NULL until __init__ has run. */
typedef struct {
    PyObject_HEAD
    nnc_tensor *tensor;
    bool trainable;
    bool autocast;                          /* read as py_read_dtype says */
    PyObject *shape;
    PyObject *dict, *weak;
} py_variable;

typedef struct {
    PyObject_HEAD
    nnc_graph *graph;
    PyObject *variables;                    /* a list of the Variables in it, or NULL */
    PyObject *outer;                        /* the trace that this one is a part of, or NULL */
    int *captured;                          /* (inputs) the outer trace's value, or -1 */
    int64_t captured_count, captured_room;
} py_graph;

static inline void py_replace(PyObject **slot, PyObject *value)
{
    PyObject *old = *slot;
    *slot = value;
    Py_XDECREF(old);
}

/* Of a loose one: the array of float32. */
static inline const nnc_array *py_tensor_array(const py_tensor *t)
{
    return t->graph == NULL ? &t->tensor->array
                            : &((py_graph *)t->graph)->graph->values[t->value].array;
}

/* The dtype that it shows. */
static inline nnc_dtype py_tensor_dtype(const py_tensor *t)
{
    return t->loose ? NNC_BF16 : py_tensor_array(t)->dtype;
}

static inline bool py_is_tensor(const py_state *state, PyObject *o)
{
    return Py_TYPE(o) == state->tensor_type;
}

static inline bool py_is_variable(const py_state *state, PyObject *o)
{
    return PyObject_TypeCheck(o, state->variable_type);
}

/* ---- module.c ---- */

/* The state, from an object of one of our types or of a class derived from Variable. NULL (no
 * exception) if it is neither. */
py_state *py_state_of(PyObject *object);

/* ---- error.c ---- */

/* Sets the exception of `status` with the core's text; returns NULL. */
PyObject *py_raise(py_state *state, nnc_status status);
/* The GIL dropped around long work of the core, which asks for signals about every 10 ms. */
void py_gil_release(PyThreadState **saved);
void py_gil_take(PyThreadState **saved);

/* ---- convert.c ---- */

/* -1 and TypeError "<who> has dtype <dtype> ..." if the dtype is none of ours. */
int py_dtype_of(py_state *state, PyArray_Descr *descr, const char *who, nnc_dtype *out);
/* The same at once, without an exception; false if it takes longer to know. */
bool py_dtype_known(const py_state *state, const PyArray_Descr *descr, nnc_dtype *out);
/* A dtype from a string or an object with a `name`. */
int py_dtype_parse(PyObject *object, nnc_dtype *out);
/* NumPy's dtype: a new reference. */
PyArray_Descr *py_descr(py_state *state, nnc_dtype dtype);
/* What NumPy makes of the object, as complex64 if that is complex128; else the object: a new
 * reference. */
PyObject *py_halved(PyObject *object);
/* anything as a C-contiguous array in native byte order, of one of our dtypes; `who` begins the
 * messages. Lists of Python numbers give 32 bits, as in Keras; NumPy's complex128 is refused. */
PyArrayObject *py_array(py_state *state, PyObject *object, const char *who, nnc_dtype *dtype);
/* The object itself (a new reference) if it is such an array already, else NULL and no exception.
 */
PyArrayObject *py_array_direct(PyObject *object, nnc_dtype *dtype);
/* Whether nobody but the caller, who has one reference, can reach the array's memory. */
bool py_array_is_ours(PyArrayObject *array);
/* A tensor over the array's memory, which it keeps alive; arrays of up to `copied` bytes are copied.
 */
nnc_tensor *py_tensor_from_array(py_state *state, PyArrayObject *array, nnc_dtype dtype,
                                 npy_intp copied);
/* Python's number `object` as a tensor () of dtype; OverflowError if it does not fit. */
nnc_tensor *py_tensor_from_number(py_state *state, PyObject *object, nnc_dtype dtype);
/* Element i as a Python number. */
PyObject *py_number(const nnc_array *array, int64_t i);
/* A read-only array over the tensor's data that keeps `owner` alive; writable and a copy if copy.
 */
PyObject *py_numpy(py_state *state, const nnc_array *array, PyObject *owner, bool copy);
/* A new array of the shape and dtype, not filled. */
PyObject *py_new_array(py_state *state, const nnc_array *like);
/* __array__ for both kinds: `array` as NumPy has it, in another dtype or copied if asked for. */
PyObject *py_array_protocol(PyObject *array, PyObject *args, PyObject *kwargs);
PyObject *py_shape_tuple(const nnc_shape *shape);
int py_shape_parse(PyObject *object, const char *who, nnc_shape *out);

/* ---- ops.c ---- */

/* Runs or records op(args) as nnc/_core.pyi says. Returns a Tensor, a tuple of them, or None. */
PyObject *py_call(py_state *state, nnc_op op, const nnc_attrs *attrs, PyObject *const *args,
                  int count);
PyObject *py_call1(py_state *state, nnc_op op, const nnc_attrs *attrs, PyObject *a);
PyObject *py_call2(py_state *state, nnc_op op, PyObject *a, PyObject *b);
/* The dtype that values promote to, Python numbers being weak; `args` are anything. */
int py_result_dtype(py_state *state, PyObject *const *args, Py_ssize_t count, nnc_dtype *out);
/* A Tensor in a dtype if it holds floats, else as it is; with its `_keras_mask`. */
PyObject *py_floats_as(py_state *state, PyObject *x, nnc_dtype dtype);
/* x (Tensor or Variable) in a dtype; x itself if it has it and is a Tensor. */
PyObject *py_cast(py_state *state, PyObject *x, nnc_dtype dtype);
/* Tensor(value, dtype), but a Tensor of that dtype passes. dtype NNC_DTYPE_COUNT: its own. An array's
 * memory is copied, unless it is given: nobody writes to it any more. */
PyObject *py_convert(py_state *state, PyObject *value, nnc_dtype dtype, bool given);

/* ---- rows.c ---- */

/* The namespace _core.op, and _core.op_table with it. */
int py_ops_add(py_state *state, PyObject *module);
extern PyType_Spec py_op_spec;

/* ---- tensor.c ---- */

/* Steals the tensor (also when it fails). */
PyObject *py_tensor_wrap(py_state *state, nnc_tensor *tensor);
/* The same; loose: see py_tensor. */
PyObject *py_tensor_wrap_loose(py_state *state, nnc_tensor *tensor, bool loose);
/* The tensor of the numbers and the dtype that a concrete one shows; borrowed. NULL: no memory. */
nnc_tensor *py_tensor_shown(py_state *state, py_tensor *tensor);
/* is_lent(x) */
PyObject *py_is_lent(PyObject *module, PyObject *object);
PyObject *py_tensor_symbolic(py_state *state, PyObject *graph, int value);
PyObject *py_trace_error(py_state *state, const char *asked);
void py_tensor_dealloc(PyObject *object);       /* also: what tells a Tensor by its type */
extern PyType_Spec py_tensor_spec;

/* ---- number.c, index.c, share.c ---- */

/* Operators and comparisons, for the slots of both types. */
#define PY_NUMBER_SLOTS                                                                            \
    {Py_nb_add, py_add}, {Py_nb_subtract, py_subtract}, {Py_nb_multiply, py_multiply},             \
        {Py_nb_true_divide, py_divide}, {Py_nb_floor_divide, py_floor_divide},                     \
        {Py_nb_remainder, py_mod}, {Py_nb_power, py_power}, {Py_nb_matrix_multiply, py_matmul},    \
        {Py_nb_and, py_and}, {Py_nb_or, py_or}, {Py_nb_xor, py_xor},                               \
        {Py_nb_lshift, py_left_shift}, {Py_nb_rshift, py_right_shift}, {Py_nb_divmod, py_divmod},  \
        {Py_nb_negative, py_negative}, {Py_nb_positive, py_positive},                              \
        {Py_nb_absolute, py_absolute}, {Py_nb_invert, py_invert}, {Py_nb_bool, py_bool},           \
        {Py_nb_int, py_int}, {Py_nb_float, py_float}, {Py_nb_index, py_index},                     \
        {Py_tp_richcompare, py_compare}, {Py_tp_hash, py_hash}, {Py_mp_subscript, py_subscript},   \
        {Py_mp_length, py_length}, {Py_sq_length, py_length}, {Py_sq_item, py_item},               \
    {                                                                                              \
        Py_tp_iter, py_iter                                                                        \
    }
PyObject *py_add(PyObject *a, PyObject *b);
PyObject *py_subtract(PyObject *a, PyObject *b);
PyObject *py_multiply(PyObject *a, PyObject *b);
PyObject *py_divide(PyObject *a, PyObject *b);
PyObject *py_floor_divide(PyObject *a, PyObject *b);
PyObject *py_mod(PyObject *a, PyObject *b);
PyObject *py_power(PyObject *a, PyObject *b, PyObject *modulus);
PyObject *py_matmul(PyObject *a, PyObject *b);
PyObject *py_and(PyObject *a, PyObject *b);
PyObject *py_or(PyObject *a, PyObject *b);
PyObject *py_xor(PyObject *a, PyObject *b);
PyObject *py_left_shift(PyObject *a, PyObject *b);
PyObject *py_right_shift(PyObject *a, PyObject *b);
PyObject *py_divmod(PyObject *a, PyObject *b);
PyObject *py_negative(PyObject *a);
PyObject *py_positive(PyObject *a);
PyObject *py_absolute(PyObject *a);
PyObject *py_invert(PyObject *a);
PyObject *py_round(PyObject *a, PyObject *args);
int py_bool(PyObject *a);
PyObject *py_int(PyObject *a);
PyObject *py_float(PyObject *a);
PyObject *py_index(PyObject *a);
PyObject *py_compare(PyObject *a, PyObject *b, int what);
Py_hash_t py_hash(PyObject *a);
PyObject *py_subscript(PyObject *x, PyObject *key);
Py_ssize_t py_length(PyObject *x);
PyObject *py_item(PyObject *x, Py_ssize_t i);
PyObject *py_iter(PyObject *x);
/* The signature of a Tensor (see py_tensor_array) or a Variable; NULL and an exception if a Variable has no value yet. */
const nnc_array *py_signature(py_state *state, PyObject *x);
/* The number in a concrete object of one element: `asked` is how ("float(...)"). */
PyObject *py_scalar(PyObject *x, const char *asked);

int py_buffer_get(PyObject *self, Py_buffer *view, int flags);
void py_buffer_release(PyObject *self, Py_buffer *view);
PyObject *py_dlpack(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *py_dlpack_device(PyObject *self, PyObject *unused);

/* ---- variable.c ---- */

/* ValueError if it has no value yet. */
int py_variable_check(const py_variable *variable);
/* The dtype that ops read the variable in: its own, or, if it holds floats and is cast by itself,
 * that of the layer which this thread is in (set_autocast). */
nnc_dtype py_read_dtype(const py_variable *variable);
/* set_autocast(dtype or None): returns what it was. */
PyObject *py_set_autocast(PyObject *module, PyObject *dtype);
/* The same in C; NNC_DTYPE_COUNT: none. */
nnc_dtype py_swap_autocast(nnc_dtype dtype);
/* autocast(): what it is. */
PyObject *py_autocast(PyObject *module, PyObject *unused);
PyObject *py_variable_rebuild(PyObject *module, PyObject *args);
void py_variable_dealloc(PyObject *object);
extern PyType_Spec py_variable_spec;

/* ---- layer.c ---- */

PyObject *py_floats(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *py_run_layers(PyObject *module, PyObject *const *args, Py_ssize_t count);

/* ---- graph.c ---- */

/* The trace that is on in this thread, borrowed, or NULL. */
PyObject *py_graph_current(void);
/* The value of a Tensor, Variable or array in the graph; -1 and an exception. */
int py_graph_value(py_state *state, PyObject *graph, PyObject *object);
/* Notes that the trace reads a Variable for the first time. */
int py_graph_note(PyObject *graph, PyObject *variable);
/* gradients() of a trace or a tape; find gives the value of an object, -1 if it is not there, -2
 * and an exception; wrap makes a Tensor of a value. */
typedef struct {
    nnc_graph *graph;
    void *context;
    int (*find)(py_state *state, void *context, PyObject *object, bool seed);
    PyObject *(*wrap)(py_state *state, void *context, int value);
    /* Around a gradient rule in Python: ops are recorded here. enter: 1; 0, they are already; -1. */
    int (*enter)(void *context);
    void (*leave)(void *context);
    bool alone;             /* a long tape, used by this thread alone: without the GIL ... */
    PyThreadState *saved;   /* ... whose state is here */
} py_differentiable;
PyObject *py_gradients(py_state *state, py_differentiable *of, PyObject *args, PyObject *kwargs);
/* A gradient in the dtype of what it is of, where one of them is loose: bfloat16 or float32. */
nnc_status py_match_dtype(nnc_graph *graph, int like, int *value);
extern PyType_Spec py_graph_spec, py_no_trace_spec;

/* ---- describe.c: methods of Graph, and _core.op_formulas ---- */

PyObject *py_graph_nodes(PyObject *graph, PyObject *unused);
PyObject *py_graph_values(PyObject *graph, PyObject *unused);
PyObject *py_graph_find(PyObject *graph, PyObject *thing);
PyObject *py_graph_held(PyObject *graph, PyObject *number);
int py_describe_add(PyObject *module);
/* ---- flow.c ---- */

/* The value in `graph` of a value of a trace around it; -1 and an exception if it is none. */
int py_graph_capture(py_state *state, PyObject *graph, PyObject *of, int value);
PyObject *py_branch(PyObject *module, PyObject *args);
PyObject *py_loop(PyObject *module, PyObject *args);

/* ---- host.c ---- */

/* What gradients are being made of in this thread, for host nodes; returns what it was. */
py_differentiable *py_host_within(py_differentiable *of);
PyObject *py_host_register(PyObject *module, PyObject *args);
PyObject *py_custom(PyObject *module, PyObject *args);
/* Releases the functions of the graph's nodes `custom`. */
void py_forget_rules(nnc_graph *graph);

/* ---- text.c ---- */

/* pack_strings, hash_strings, ... and the type StringTable. */
int py_text_add(PyObject *module);

/* ---- tape.c ---- */

/* Waits for tapes that other threads use are without the GIL. */
void py_tape_init(void);
/* Lets the active tapes that want it watch a Variable that is read. */
int py_tape_read(py_state *state, py_variable *variable);
extern PyType_Spec py_tape_spec;

/* ---- schedule.c: methods and attributes of Program ---- */

PyObject *py_program_input_signature(PyObject *program, void *unused);
PyObject *py_program_output_signature(PyObject *program, void *unused);
PyObject *py_program_stats(PyObject *program, PyObject *unused);
PyObject *py_program_nodes(PyObject *program, PyObject *unused);
PyObject *py_program_makers(PyObject *program, PyObject *unused);
PyObject *py_program_text(PyObject *program, PyObject *unused);

/* ---- program.c, scan.c ---- */

nnc_program *py_program_of(PyObject *object);
extern PyType_Spec py_program_spec;

PyObject *py_permutation(PyObject *module, PyObject *args, PyObject *kwargs);
PyObject *py_read_file(PyObject *module, PyObject *args, PyObject *kwargs);
PyObject *py_crc32(PyObject *module, PyObject *args, PyObject *kwargs);
PyObject *py_crc32_join(PyObject *module, PyObject *args, PyObject *kwargs);
PyObject *py_zeros(PyObject *module, PyObject *args, PyObject *kwargs);
PyObject *py_peak_rate(PyObject *module, PyObject *args, PyObject *kwargs);
PyObject *py_barrier_time(PyObject *module, PyObject *unused);
PyObject *py_check_labels(PyObject *module, PyObject *args, PyObject *kwargs);
PyObject *py_first_nonfinite(PyObject *module, PyObject *rows);

#endif
