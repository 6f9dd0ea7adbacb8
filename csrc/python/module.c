/* module.c - nnc._core: starts the core, makes the types from a table, and the functions that are
 * no ops. */
#define PY_IMPORT_NUMPY
#include "ops/tiles.h"
#include "python.h"

#include <string.h>

/* Tensor and Variable are known by their dealloc; a class derived from Variable has one of them as
 * a base. */
py_state *py_state_of(PyObject *object)
{
    for (PyTypeObject *type = Py_TYPE(object); type != NULL;
         type = PyType_GetSlot(type, Py_tp_base)) {
        void *dealloc = PyType_GetSlot(type, Py_tp_dealloc);
        if (dealloc == (void *)py_tensor_dealloc || dealloc == (void *)py_variable_dealloc)
            return PyType_GetModuleState(type);
    }
    return NULL;
}

/* ---- functions ---- */

static PyObject *current_graph(PyObject *module, PyObject *unused)
{
    PyObject *graph = py_graph_current();
    (void)module, (void)unused;
    graph = graph != NULL ? graph : Py_None;
    Py_INCREF(graph);
    return graph;
}

static PyObject *tape_active(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyBool_FromLong(nnc_tape_active());
}

static PyObject *convert(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"value", "dtype", "given", NULL};
    PyObject *value, *dtype_object = Py_None;
    nnc_dtype dtype = NNC_DTYPE_COUNT;
    int given = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|Op:convert", names, &value, &dtype_object,
                                     &given))
        return NULL;
    if (dtype_object != Py_None && py_dtype_parse(dtype_object, &dtype) < 0)
        return NULL;
    return py_convert(PyModule_GetState(module), value, dtype, given);
}

static PyObject *result_dtype(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    py_state *state = PyModule_GetState(module);
    nnc_dtype dtype;
    if (py_result_dtype(state, args, count, &dtype) < 0)
        return NULL;
    Py_INCREF(state->dtype_name[dtype]);
    return state->dtype_name[dtype];
}

static PyObject *get_num_threads(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyLong_FromLong(nnc_pool_threads());
}

static PyObject *set_num_threads(PyObject *module, PyObject *number)
{
    Py_ssize_t n = PyNumber_AsSsize_t(number, PyExc_OverflowError);
    if (n == -1 && PyErr_Occurred())
        return NULL;
    nnc_status status = nnc_pool_set_threads(n < 0 ? -1 : n > 1000000 ? 1000000 : (int)n);
    if (status != NNC_OK)
        return py_raise(PyModule_GetState(module), status);
    Py_RETURN_NONE;
}

static PyObject *num_threads_reason(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyUnicode_FromString(nnc_pool_reason());
}

static PyObject *isa(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyUnicode_FromString(nnc_isa_name());
}

static PyObject *isa_available(PyObject *module, PyObject *unused)
{
    const char *const *names = nnc_isa_available();
    Py_ssize_t n = 0;
    (void)module, (void)unused;
    while (names[n] != NULL)
        n++;
    PyObject *tuple = PyTuple_New(n);
    for (Py_ssize_t i = 0; tuple != NULL && i < n; i++) {
        PyObject *name = PyUnicode_FromString(names[i]);
        if (name == NULL)
            Py_CLEAR(tuple);
        else
            PyTuple_SetItem(tuple, i, name);
    }
    return tuple;
}

static PyObject *widens_bfloat16(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyBool_FromLong(!nnc_tiles_there());
}

static PyObject *set_isa(PyObject *module, PyObject *name)
{
    const char *text = PyUnicode_AsUTF8AndSize(name, NULL);
    if (text == NULL)
        return NULL;
    nnc_status status = nnc_isa_set(text);
    if (status != NNC_OK)
        return py_raise(PyModule_GetState(module), status);
    Py_RETURN_NONE;
}

static PyObject *alloc_fail_at(PyObject *module, PyObject *number)
{
    long long n = PyLong_AsLongLong(number);
    (void)module;
    if (n == -1 && PyErr_Occurred())
        return NULL;
    if (n < 0) {
        PyErr_Format(PyExc_ValueError, "alloc_fail_at: expected n >= 0. Received: %lld", n);
        return NULL;
    }
    nnc_alloc_fail_at(n);
    Py_RETURN_NONE;
}

static PyObject *alloc_stats(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return Py_BuildValue("{sLsLsL}", "count", (long long)nnc_alloc_count(), "live_blocks",
                         (long long)nnc_alloc_live_blocks(), "live_bytes",
                         (long long)nnc_alloc_live_bytes());
}

static PyObject *pass_enable(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"name", "on", NULL};
    const char *name;
    int on;
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "sp:pass_enable", names, &name, &on))
        return NULL;
    if (!nnc_pass_enable(name, on)) {
        PyErr_Format(PyExc_ValueError, "pass_enable: unknown pass. Received: name='%s'", name);
        return NULL;
    }
    Py_RETURN_NONE;
}

#define KEYWORDS(f) (PyCFunction)(void (*)(void))f, METH_VARARGS | METH_KEYWORDS
static PyMethodDef functions[] = {
    {"current_graph", current_graph, METH_NOARGS, "The trace that is on in this thread, or None."},
    {"convert", KEYWORDS(convert),
     "convert(value, dtype=None, given=False): a Tensor; one that fits passes through. An array that "
     "is given is not copied: nobody writes to it any more."},
    {"is_lent", py_is_lent, METH_O,
     "is_lent(x): whether x is a Tensor in memory that is not the core's own."},
    {"tape_active", tape_active, METH_NOARGS, "Whether a tape records in this thread."},
    {"result_dtype", (PyCFunction)(void (*)(void))result_dtype, METH_FASTCALL,
     "The dtype that values promote to; Python numbers are weak."},
    {"permutation", KEYWORDS(py_permutation),
     "permutation(n, seed, stream, step): of 0..n-1, int64."},
    {"read_file", KEYWORDS(py_read_file),
     "read_file(file, offset, size, into=None, check=True): reads bytes of an open file into a "
     "Variable (None: only for the checksum); their CRC-32, or None."},
    {"crc32", KEYWORDS(py_crc32), "crc32(data, value=0): as zlib.crc32."},
    {"crc32_join", KEYWORDS(py_crc32_join),
     "crc32_join(first, second, length): of two parts, the second `length` bytes long."},
    {"zeros", KEYWORDS(py_zeros), "zeros(shape, dtype): a Tensor; its memory is not touched yet."},
    {"barrier_time", py_barrier_time, METH_NOARGS,
     "barrier_time(): seconds that all threads need to wait for one another; 0.0 on one thread."},
    {"peak_rate", KEYWORDS(py_peak_rate),
     "peak_rate(dtype='float32', seconds=0.05): multiply-adds a second of all threads, times 2."},
    {"check_labels", KEYWORDS(py_check_labels),
     "check_labels(labels, classes): the first (row, label) that is none of 0..classes-1, or "
     "None."},
    {"first_nonfinite", py_first_nonfinite, METH_O,
     "(row, column) of the first NaN or infinity, or None."},
    {"get_num_threads", get_num_threads, METH_NOARGS, "Threads that work is spread over."},
    {"set_num_threads", set_num_threads, METH_O, "1 to 256 threads, from the next run on."},
    {"num_threads_reason", num_threads_reason, METH_NOARGS, "Why that many threads."},
    {"isa", isa, METH_NOARGS, "The instruction set level in use."},
    {"isa_available", isa_available, METH_NOARGS, "The levels this machine has, worst first."},
    {"widens_bfloat16", widens_bfloat16, METH_NOARGS,
     "Whether programs with excess precision keep bfloat16 in float32."},
    {"set_isa", set_isa, METH_O, "Chooses a level; not while anything runs."},
    {"alloc_fail_at", alloc_fail_at, METH_O,
     "For tests: the n-th allocation from now fails; 0: none."},
    {"alloc_stats", alloc_stats, METH_NOARGS, "For tests: count, live_blocks, live_bytes."},
    {"pass_enable", KEYWORDS(pass_enable), "For tests: switches a pass on or off."},
    {"_host_register", py_host_register, METH_VARARGS, NULL},
    {"_custom", py_custom, METH_VARARGS, NULL},
    {"autocast", py_autocast, METH_NOARGS,
     "autocast(): the dtype that ops of this thread read variables in; None: their own."},
    {"set_autocast", py_set_autocast, METH_O,
     "The dtype that variables are read in from now on in this thread, or None; what it was."},
    {"floats_as", (PyCFunction)(void (*)(void))py_floats, METH_FASTCALL,
     "floats_as(x, dtype): a Tensor in dtype if it holds floats, else x; with its `_keras_mask`."},
    {"run_layers", (PyCFunction)(void (*)(void))py_run_layers, METH_FASTCALL,
     "run_layers(calls, dtype, reading, x, training): x through the calls, one behind the other."},
    {"_branch", py_branch, METH_VARARGS, NULL},
    {"_loop", py_loop, METH_VARARGS, NULL},
    {"_rebuild_variable", py_variable_rebuild, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL}};

/* ---- start ---- */

/* Every type, where the state keeps it, and the name it has in the module. */
static const struct {
    PyType_Spec *spec;
    size_t offset;
    const char *name;
} types[] = {
    {&py_tensor_spec, offsetof(py_state, tensor_type), "Tensor"},
    {&py_variable_spec, offsetof(py_state, variable_type), "Variable"},
    {&py_graph_spec, offsetof(py_state, graph_type), "Graph"},
    {&py_no_trace_spec, offsetof(py_state, no_trace_type), "no_trace"},
    {&py_tape_spec, offsetof(py_state, tape_type), "Tape"},
    {&py_program_spec, offsetof(py_state, program_type), "Program"},
    {&py_op_spec, offsetof(py_state, op_type), NULL},
};
enum { TYPE_COUNT = sizeof types / sizeof types[0] };

static PyTypeObject **type_slot(py_state *state, int i)
{
    return (PyTypeObject **)(void *)((char *)state + types[i].offset);
}

static int add_types(py_state *state, PyObject *module)
{
    for (int i = 0; i < TYPE_COUNT; i++) {
        PyObject *type = PyType_FromModuleAndSpec(module, types[i].spec, NULL);
        *type_slot(state, i) = (PyTypeObject *)type;
        if (type == NULL ||
            (types[i].name != NULL && PyModule_AddObjectRef(module, types[i].name, type) < 0))
            return -1;
    }
    PyObject *priority = PyFloat_FromDouble(100);   /* array + tensor is the tensor's to answer */
    int failed = priority == NULL ||
                 PyObject_SetAttrString((PyObject *)state->tensor_type, "__array_priority__",
                                        priority) < 0 ||
                 PyObject_SetAttrString((PyObject *)state->variable_type, "__array_priority__",
                                        priority) < 0;
    Py_XDECREF(priority);
    return failed ? -1 : 0;
}

static int add_exceptions(py_state *state, PyObject *module)
{
    PyObject *bases = PyTuple_Pack(2, PyExc_IndexError, PyExc_ValueError);
    if (bases == NULL)
        return -1;
    state->invalid_index = PyErr_NewExceptionWithDoc(
        "nnc._core.InvalidIndex", "An id, a label or a row that is out of range.", bases, NULL);
    Py_DECREF(bases);
    state->trace_error = PyErr_NewExceptionWithDoc(
        "nnc._core.TraceError", "A traced value was asked for its number.", PyExc_TypeError, NULL);
    if (state->invalid_index == NULL || state->trace_error == NULL ||
        PyModule_AddObjectRef(module, "InvalidIndex", state->invalid_index) < 0)
        return -1;
    return PyModule_AddObjectRef(module, "TraceError", state->trace_error);
}

static int import_numpy(void)
{
    import_array1(-1);
    return 0;
}

static int execute(PyObject *module)
{
    py_state *state = PyModule_GetState(module);
    state->module = module;
    if (import_numpy() < 0 || add_exceptions(state, module) < 0)
        return -1;
    nnc_status status = nnc_init();
    if (status != NNC_OK) {
        py_raise(state, status);
        return -1;
    }
    py_tape_init();
    for (int i = 0; i < NNC_DTYPE_COUNT; i++) {
        state->dtype_name[i] = PyUnicode_InternFromString(nnc_dtype_name((nnc_dtype)i));
        if (state->dtype_name[i] == NULL)
            return -1;
    }
    state->keras_logits = PyUnicode_InternFromString("_keras_logits");
    state->keras_mask = PyUnicode_InternFromString("_keras_mask");
    if (state->keras_logits == NULL || state->keras_mask == NULL || add_types(state, module) < 0 ||
        py_ops_add(state, module) < 0 || py_describe_add(module) < 0 || py_text_add(module) < 0)
        return -1;
    return PyModule_AddStringConstant(module, "__version__", NNC_VERSION);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    py_state *state = PyModule_GetState(module);
    if (state == NULL)
        return 0;
    for (int i = 0; i < TYPE_COUNT; i++)
        Py_VISIT(*type_slot(state, i));
    Py_VISIT(state->trace_error);
    Py_VISIT(state->invalid_index);
    Py_VISIT(state->bfloat16);
    return 0;
}

/* Only at the very end: a tensor that outlives the clearing of cycles still asks the state. */
static void module_free(void *module)
{
    py_state *state = PyModule_GetState(module);
    if (state == NULL)
        return;
    for (int i = 0; i < TYPE_COUNT; i++)
        Py_CLEAR(*type_slot(state, i));
    for (int i = 0; i < NNC_DTYPE_COUNT; i++)
        Py_CLEAR(state->dtype_name[i]);
    Py_CLEAR(state->keras_logits);
    Py_CLEAR(state->keras_mask);
    Py_CLEAR(state->trace_error);
    Py_CLEAR(state->invalid_index);
    Py_CLEAR(state->bfloat16);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, execute},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},     /* as NumPy */
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_USED},      /* tapes and traces are guarded by it */
#endif
    {0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "nnc._core", .m_doc = "The C core of nnc.",
    .m_size = sizeof(py_state), .m_methods = functions, .m_slots = slots,
    .m_traverse = module_traverse, .m_free = module_free};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
