/* schedule.c - what a Program tells of itself: signatures, nodes, and what the passes did. */
#include "python.h"

typedef const nnc_array *signature_fn(const nnc_program *program, int64_t k);

static PyObject *signature(const nnc_program *program, int64_t n, signature_fn *of)
{
    PyObject *list = PyList_New((Py_ssize_t)n);
    for (int64_t k = 0; list != NULL && k < n; k++) {
        const nnc_array *array = of(program, k);
        PyObject *row =
            Py_BuildValue("(Ns)", py_shape_tuple(&array->shape), nnc_dtype_name(array->dtype));
        if (row == NULL)
            Py_CLEAR(list);
        else
            PyList_SetItem(list, (Py_ssize_t)k, row);
    }
    return list;
}

PyObject *py_program_input_signature(PyObject *object, void *unused)
{
    (void)unused;
    return signature(py_program_of(object), nnc_program_input_count(py_program_of(object)),
                     nnc_program_input);
}

PyObject *py_program_output_signature(PyObject *object, void *unused)
{
    (void)unused;
    return signature(py_program_of(object), nnc_program_output_count(py_program_of(object)),
                     nnc_program_output);
}

PyObject *py_program_stats(PyObject *object, PyObject *unused)
{
    nnc_program_stats s;
    (void)unused;
    nnc_program_describe(py_program_of(object), &s);
    return Py_BuildValue("{sLsLsLsLsLsLsisLsL}", "nodes_recorded", (long long)s.nodes_recorded,
                         "nodes_kept", (long long)s.nodes_kept, "fused", (long long)s.fused,
                         "folded", (long long)s.folded, "arena_bytes", (long long)s.arena_bytes,
                         "values_bytes", (long long)s.values_bytes, "threads", s.threads,
                         "turned", (long long)s.turned, "kept", (long long)s.kept);
}

/* (shape, dtype) of each array. */
static PyObject *signatures(const nnc_array *arrays, int n)
{
    PyObject *tuple = PyTuple_New(n);
    for (int k = 0; tuple != NULL && k < n; k++) {
        PyObject *row = Py_BuildValue("(Ns)", py_shape_tuple(&arrays[k].shape),
                                      nnc_dtype_name(arrays[k].dtype));
        if (row == NULL)
            Py_CLEAR(tuple);
        else
            PyTuple_SetItem(tuple, k, row);
    }
    return tuple;
}

static PyObject *numbers(const int64_t *value, int n)
{
    PyObject *tuple = PyTuple_New(n);
    for (int k = 0; tuple != NULL && k < n; k++) {
        PyObject *number = PyLong_FromLongLong(value[k]);
        if (number == NULL)
            Py_CLEAR(tuple);
        else
            PyTuple_SetItem(tuple, k, number);
    }
    return tuple;
}

/* What Program.nodes() says of one node. */
static PyObject *node_row(py_state *state, const nnc_program *program, int64_t i)
{
    int64_t *makers = NULL;
    int label;
    bool parallel;
    const nnc_call *call = nnc_program_node(program, i, &label, &parallel, NULL);
    nnc_status status = nnc_alloc((call->input_count + 1) * (int64_t)sizeof *makers, &makers);
    if (status != NNC_OK)
        return py_raise(state, status);
    call = nnc_program_node(program, i, &label, &parallel, makers);
    const char *activation = call->op == NNC_OP_dense && call->attrs->k[0] >= 0
        ? nnc_ops[call->attrs->k[0]].name : "";
    PyObject *row = Py_BuildValue(
        "(ssiNNNiNd)", nnc_ops[call->op].name, activation, label & ~NNC_LABEL_BACKWARD,
        PyBool_FromLong(label & NNC_LABEL_BACKWARD), signatures(call->in, call->input_count),
        signatures(call->out, call->output_count), nnc_effects(call->op, call->attrs),
        numbers(makers, call->input_count), call->work.cost);
    nnc_free(makers);
    return row;
}

PyObject *py_program_nodes(PyObject *object, PyObject *unused)
{
    nnc_program *program = py_program_of(object);
    int64_t n = nnc_program_node_count(program);
    PyObject *list = PyList_New((Py_ssize_t)n);
    (void)unused;
    for (int64_t i = 0; list != NULL && i < n; i++) {
        PyObject *row = node_row(PyType_GetModuleState(Py_TYPE(object)), program, i);
        if (row == NULL)
            Py_CLEAR(list);
        else
            PyList_SetItem(list, (Py_ssize_t)i, row);
    }
    return list;
}

PyObject *py_program_makers(PyObject *object, PyObject *unused)
{
    nnc_program *program = py_program_of(object);
    int64_t n = nnc_program_output_count(program);
    PyObject *list = PyList_New((Py_ssize_t)n);
    (void)unused;
    for (int64_t k = 0; list != NULL && k < n; k++) {
        PyObject *number = PyLong_FromLongLong(nnc_program_output_maker(program, k));
        if (number == NULL)
            Py_CLEAR(list);
        else
            PyList_SetItem(list, (Py_ssize_t)k, number);
    }
    return list;
}

PyObject *py_program_text(PyObject *object, PyObject *unused)
{
    char *text = NULL;
    (void)unused;
    nnc_status status = nnc_program_text(py_program_of(object), &text);
    if (status != NNC_OK)
        return py_raise(PyType_GetModuleState(Py_TYPE(object)), status);
    PyObject *result = PyUnicode_FromString(text);
    nnc_free(text);
    return result;
}
