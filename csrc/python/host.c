/* host.c - ops that NumPy computes: the functions of the op `host`, and their gradients.
 *
 * `_host_register(functions, gradients)` is called once, when nnc is imported; the tuples are kept
 * for good, so that a number means one function as long as any program lives. A function gets
 * copies of its inputs and the two numbers of the node: what it does to them concerns nobody. It
 * may be run by any thread, with or without the GIL. An exception ends the call with its text. */
#include "python.h"

#include <string.h>

static PyObject *functions, *rules;         /* tuples */
static py_state *host_state;
static _Thread_local py_differentiable *within;

py_differentiable *py_host_within(py_differentiable *of)
{
    py_differentiable *before = within;
    within = of;
    return before;
}

/* ---- running ---- */

static nnc_status status_of(PyObject *type)
{
    static const struct {
        PyObject **type;
        nnc_status status;
    } known[] = {{&PyExc_MemoryError, NNC_ENOMEM}, {&PyExc_ValueError, NNC_EVALUE},
                 {&PyExc_TypeError, NNC_ETYPE},    {&PyExc_IndexError, NNC_EINDEX},
                 {&PyExc_KeyboardInterrupt, NNC_EINTERRUPT}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (PyErr_GivenExceptionMatches(type, *known[i].type))
            return known[i].status;
    }
    return NNC_EINTERNAL;
}

/* The exception, cleared, as a status and a text of 256 bytes. */
static nnc_status take_exception(char text[256])
{
    PyObject *type = NULL, *value = NULL, *trace = NULL;
    PyErr_Fetch(&type, &value, &trace);
    nnc_status status = type == NULL ? NNC_EINTERNAL : status_of(type);
    PyObject *message = value == NULL ? NULL : PyObject_Str(value);
    const char *utf8 = message == NULL ? NULL : PyUnicode_AsUTF8AndSize(message, NULL);
    snprintf(text, 256, "%s", utf8 == NULL ? "host: the function failed" : utf8);
    PyErr_Clear();
    Py_XDECREF(message);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    return status;
}

static PyObject *call_function(const nnc_call *call)
{
    PyObject *args = PyTuple_New(call->input_count + 2), *result = NULL;
    if (args == NULL)
        return NULL;
    for (int i = 0; i < call->input_count; i++) {
        PyObject *array = py_numpy(host_state, &call->in[i], NULL, true);
        if (array == NULL)
            goto done;
        PyTuple_SetItem(args, i, array);
    }
    for (int i = 0; i < 2; i++) {
        PyObject *number = PyLong_FromLongLong(call->attrs->k[1 + i]);
        if (number == NULL)
            goto done;
        PyTuple_SetItem(args, call->input_count + i, number);
    }
    result = PyObject_CallObject(PyTuple_GetItem(functions, (Py_ssize_t)call->attrs->k[0]), args);
done:
    Py_DECREF(args);
    return result;
}

/* Copies the result to where it belongs; ValueError if it has another shape. */
static int store(const nnc_array *out, PyObject *result)
{
    PyArray_Descr *descr = py_descr(host_state, out->dtype);
    if (descr == NULL)
        return -1;
    PyArrayObject *array = (PyArrayObject *)PyArray_FromAny(    /* takes descr */
        result, descr, 0, 0, NPY_ARRAY_CARRAY | NPY_ARRAY_FORCECAST, NULL);
    if (array == NULL)
        return -1;
    bool same = PyArray_NDIM(array) == out->shape.rank;
    for (int i = 0; i < out->shape.rank && same; i++)
        same = PyArray_DIM(array, i) == out->shape.dim[i];
    if (same)
        memcpy(out->data, PyArray_DATA(array), (size_t)PyArray_NBYTES(array));
    else
        PyErr_SetString(PyExc_ValueError, "host: the function's result has not the shape told");
    Py_DECREF(array);
    return same ? 0 : -1;
}

static void run(nnc_call *call)
{
    char text[256];
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *result = call_function(call);
    if (result == NULL || store(&call->out[0], result) < 0) {
        nnc_status status = take_exception(text);
        nnc_call_fault(call, status, 0, "%s", text);
    }
    Py_XDECREF(result);
    PyGILState_Release(gil);
}

/* ---- gradients: rule(inputs, y, dy, need, a, b) gives a list, a Tensor or None an input ---- */

/* What rule(*args) gives. Meanwhile other threads may use the tape as they may without a rule. */
static PyObject *call_python(PyObject *rule, PyObject *args)
{
    py_differentiable *of = within;
    if (of->alone)
        nnc_tape_end(of->graph);
    PyObject *result = PyObject_CallObject(rule, args);
    if (of->alone)
        nnc_tape_begin(of->graph);
    return result;
}

static PyObject *call_rule(const nnc_node *node, int dy, const bool *need)
{
    PyObject *inputs = PyTuple_New(node->input_count), *needs = PyTuple_New(node->input_count);
    PyObject *y = within->wrap(host_state, within->context, node->outputs[0]);
    PyObject *seed = within->wrap(host_state, within->context, dy), *args, *result = NULL;
    if (inputs == NULL || needs == NULL || y == NULL || seed == NULL)
        goto done;
    for (int i = 0; i < node->input_count; i++) {
        PyObject *x = within->wrap(host_state, within->context, node->inputs[i]);
        if (x == NULL)
            goto done;
        PyTuple_SetItem(inputs, i, x);
        PyTuple_SetItem(needs, i, PyBool_FromLong(need[i]));
    }
    args = Py_BuildValue("OOOOLL", inputs, y, seed, needs, (long long)node->attrs.k[1],
                         (long long)node->attrs.k[2]);
    if (args != NULL)
        result = call_python(PyTuple_GetItem(rules, (Py_ssize_t)node->attrs.k[0]), args);
    Py_XDECREF(args);
done:
    Py_XDECREF(inputs);
    Py_XDECREF(needs);
    Py_XDECREF(y);
    Py_XDECREF(seed);
    return result;
}

/* dx[first], dx[first + 1] ... of a list. */
static int store_gradients(PyObject *result, int first, const nnc_node *node, int *dx)
{
    int count = node->input_count;
    PyObject *list = PySequence_Tuple(result);
    int failed = list == NULL ? -1 : 0;
    for (int i = first; i < count && failed == 0 && i - first < PyTuple_Size(list); i++) {
        PyObject *object = PyTuple_GetItem(list, i - first);
        if (object != Py_None)
            dx[i] = within->find(host_state, within->context, object, true);
        failed = dx[i] == -2 ? -1 : 0;
        nnc_status status = failed < 0 || dx[i] < 0 ? NNC_OK
            : py_match_dtype(within->graph, node->inputs[i], &dx[i]);
        if (status != NNC_OK) {
            py_raise(host_state, status);
            failed = -1;
        }
    }
    Py_XDECREF(list);
    return failed;
}

/* ---- custom: a rule of its own for one node ---- */

typedef struct {
    nnc_shared shared;
    PyObject *rule;             /* NULL: forgotten */
} owned_rule;

static void clear_rule(nnc_shared *shared)
{
    owned_rule *self = (owned_rule *)shared;
    PyGILState_STATE gil = PyGILState_Ensure();
    Py_XDECREF(self->rule);
    PyGILState_Release(gil);
    nnc_free(self);
}

/* rule(dy), a list with an entry for each input but the first. */
static PyObject *call_custom(const nnc_node *node, int dy)
{
    PyObject *rule = ((owned_rule *)node->attrs.shared)->rule;
    if (rule == NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "custom_gradient: a gradient asked for after its recording has ended");
        return NULL;
    }
    PyObject *seed = within->wrap(host_state, within->context, dy), *result = NULL;
    PyObject *args = seed == NULL ? NULL : PyTuple_Pack(1, seed);
    Py_INCREF(rule);
    if (args != NULL)
        result = call_python(rule, args);
    Py_DECREF(rule);
    Py_XDECREF(args);
    Py_XDECREF(seed);
    return result;
}

PyObject *py_custom(PyObject *module, PyObject *args)
{
    py_state *state = PyModule_GetState(module);
    owned_rule *owned = NULL;
    PyObject *inputs[64], *result;
    Py_ssize_t n = PyTuple_Size(args) - 1;
    if (n < 1 || n > 64) {
        PyErr_Format(PyExc_TypeError, "_custom: expected a rule and 1 to 64 tensors. Received: %zd",
                     n);
        return NULL;
    }
    nnc_status status = nnc_alloc_zero(sizeof *owned, &owned);
    if (status != NNC_OK)
        return py_raise(state, status);
    owned->shared.clear = clear_rule;
    atomic_init(&owned->shared.references, 1);
    owned->rule = PyTuple_GetItem(args, 0);
    Py_INCREF(owned->rule);
    for (Py_ssize_t i = 0; i < n; i++)
        inputs[i] = PyTuple_GetItem(args, i + 1);
    nnc_attrs attrs = {.shared = &owned->shared};
    result = py_call(state, NNC_OP_custom, &attrs, inputs, (int)n);
    nnc_shared_release(&owned->shared);
    return result;
}

/* A rule may hold tensors of the trace that holds the rule. */
void py_forget_rules(nnc_graph *graph)
{
    for (int64_t i = 0; i < graph->node_count; i++) {
        nnc_node *node = &graph->nodes[i];
        if (node->op == NNC_OP_custom)
            Py_CLEAR(((owned_rule *)node->attrs.shared)->rule);
    }
}

static nnc_status gradient_with_gil(nnc_graph *graph, int index, const int *dy, const bool *need,
                                    int *dx)
{
    nnc_status status = NNC_OK;
    nnc_node node = graph->nodes[index];        /* a copy: appending moves the array */
    if (within == NULL || within->graph != graph)
        return nnc_fail(NNC_ETRACE, "%s: a gradient that Python makes cannot be recorded within a "
                        "recorded branch or loop", nnc_ops[node.op].name);
    bool custom = node.op == NNC_OP_custom;
    if (!custom && PyTuple_GetItem(rules, (Py_ssize_t)node.attrs.k[0]) == Py_None)
        return NNC_OK;
    int entered = within->enter(within->context);
    PyObject *result = entered < 0 ? NULL
        : custom ? call_custom(&node, dy[0]) : call_rule(&node, dy[0], need);
    if (entered > 0)
        within->leave(within->context);
    if (result == NULL || store_gradients(result, custom, &node, dx) < 0) {
        /* The exception stays set: py_raise leaves it as it is. */
        status = nnc_fail(NNC_EINTERRUPT, "host: the gradient failed");
    }
    Py_XDECREF(result);
    return status;
}

static nnc_status gradient(nnc_graph *graph, int index, const int *dy, const bool *need, int *dx)
{
    py_differentiable *of = within;
    bool without = of != NULL && of->alone;
    if (without)
        py_gil_take(&of->saved);
    nnc_status status = gradient_with_gil(graph, index, dy, need, dx);
    if (without)
        py_gil_release(&of->saved);
    return status;
}

/* ---- the table ---- */

PyObject *py_host_register(PyObject *module, PyObject *args)
{
    PyObject *table, *gradients;
    if (!PyArg_ParseTuple(args, "O!O!:_host_register", &PyTuple_Type, &table, &PyTuple_Type,
                          &gradients))
        return NULL;
    if (functions != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "_host_register: the table is closed");
        return NULL;
    }
    if (PyTuple_Size(table) != PyTuple_Size(gradients)) {
        PyErr_SetString(PyExc_ValueError, "_host_register: expected a gradient a function");
        return NULL;
    }
    Py_INCREF(table);
    Py_INCREF(gradients);
    functions = table;
    rules = gradients;
    host_state = PyModule_GetState(module);
    nnc_host_set(run, gradient, PyTuple_Size(table));
    Py_RETURN_NONE;
}
