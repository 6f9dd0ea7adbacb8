/* describe.c - what a trace has recorded, for those that write it in another language: its nodes,
 * its values, what constants and variables hold, and the element-wise rows of the op table as text
 * over the vocabulary of kernels/simd. */
#include "python.h"

#include <string.h>

static const char *const kinds[] = {"computed", "input", "constant", "variable"};

/* `count` numbers as a tuple: those of `wide`, or of `values` where that is NULL. */
static PyObject *int_tuple(const int64_t *wide, const int *values, int count)
{
    PyObject *tuple = PyTuple_New(count);
    for (int i = 0; tuple != NULL && i < count; i++) {
        PyObject *number = PyLong_FromLongLong(wide != NULL ? wide[i] : values[i]);
        if (number == NULL)
            Py_CLEAR(tuple);
        else
            PyTuple_SetItem(tuple, i, number);
    }
    return tuple;
}

/* The attribute of kind `kind`; k and f: how many integers and numbers came before it. */
static PyObject *attribute_value(const nnc_attrs *attrs, char kind, const char *name, int *k,
                                 int *f)
{
    int64_t number;
    switch (kind) {
    case 'L':
    case 's':
        return int_tuple(attrs->list, NULL, attrs->list_count);
    case 'd':
        return PyUnicode_FromString(nnc_dtype_name(attrs->dtype));
    case 'f':
        return PyFloat_FromDouble(attrs->f[(*f)++]);
    default:
        number = attrs->k[(*k)++];
        if (strcmp(name, "activation") != 0)
            return PyLong_FromLongLong(number);
        if (number >= 0 && number < NNC_OP_COUNT)
            return PyUnicode_FromString(nnc_ops[number].name);
        Py_RETURN_NONE;
    }
}

static PyObject *attribute_dict(const nnc_node *node)
{
    char name[24];
    const char *at = nnc_ops[node->op].attrs;
    int k = 0, f = 0;
    PyObject *dict = PyDict_New();
    while (dict != NULL && *at != 0) {
        size_t length = strcspn(at + 2, " ");
        snprintf(name, sizeof name, "%.*s", (int)length, at + 2);
        PyObject *value = attribute_value(&node->attrs, at[0], name, &k, &f);
        if (value == NULL || PyDict_SetItemString(dict, name, value) < 0)
            Py_CLEAR(dict);
        Py_XDECREF(value);
        at += 2 + length;
        at += *at == ' ';
    }
    return dict;
}

static PyObject *describe_node(const nnc_graph *graph, int64_t i)
{
    const nnc_node *node = &graph->nodes[i];
    PyObject *inputs = int_tuple(NULL, node->inputs, node->input_count);
    PyObject *outputs = int_tuple(NULL, node->outputs, node->output_count);
    PyObject *attrs = attribute_dict(node), *result = NULL;
    if (inputs != NULL && outputs != NULL && attrs != NULL)
        result = Py_BuildValue("(sOOO)", nnc_ops[node->op].name, inputs, outputs, attrs);
    Py_XDECREF(inputs);
    Py_XDECREF(outputs);
    Py_XDECREF(attrs);
    return result;
}

static PyObject *describe_value(const nnc_graph *graph, int64_t i)
{
    const nnc_value *value = &graph->values[i];
    PyObject *shape = py_shape_tuple(&value->array.shape), *result = NULL;
    if (shape != NULL)
        result = Py_BuildValue("(sOs)", kinds[value->kind], shape,
                               nnc_dtype_name(value->array.dtype));
    Py_XDECREF(shape);
    return result;
}

/* ---- methods of Graph ---- */

/* A list of what `describe` gives for each of `count` items. */
static PyObject *describe_all(const nnc_graph *graph, int64_t count,
                              PyObject *(*describe)(const nnc_graph *, int64_t))
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (int64_t i = 0; list != NULL && i < count; i++) {
        PyObject *item = describe(graph, i);
        if (item == NULL)
            Py_CLEAR(list);
        else
            PyList_SetItem(list, (Py_ssize_t)i, item);
    }
    return list;
}

PyObject *py_graph_nodes(PyObject *object, PyObject *unused)
{
    const nnc_graph *graph = ((py_graph *)object)->graph;
    (void)unused;
    return describe_all(graph, graph->node_count, describe_node);
}

PyObject *py_graph_values(PyObject *object, PyObject *unused)
{
    const nnc_graph *graph = ((py_graph *)object)->graph;
    (void)unused;
    return describe_all(graph, graph->value_count, describe_value);
}

PyObject *py_graph_find(PyObject *object, PyObject *thing)
{
    py_state *state = PyType_GetModuleState(Py_TYPE(object));
    const nnc_graph *graph = ((py_graph *)object)->graph;
    const nnc_tensor *tensor;
    if (py_is_variable(state, thing)) {
        if (py_variable_check((py_variable *)thing) < 0)
            return NULL;
        tensor = ((py_variable *)thing)->tensor;
    } else if (py_is_tensor(state, thing)) {
        if (((py_tensor *)thing)->graph == object)
            return PyLong_FromLong(((py_tensor *)thing)->value);
        if (((py_tensor *)thing)->graph != NULL)
            return PyLong_FromLong(-1);
        tensor = py_tensor_shown(state, (py_tensor *)thing);
        if (tensor == NULL)
            return NULL;
    } else {
        PyErr_Format(PyExc_TypeError, "find: expected a Tensor or a Variable. Received: %R", thing);
        return NULL;
    }
    return PyLong_FromLong(nnc_graph_find(graph, tensor));
}

PyObject *py_graph_held(PyObject *object, PyObject *number)
{
    py_state *state = PyType_GetModuleState(Py_TYPE(object));
    const nnc_graph *graph = ((py_graph *)object)->graph;
    nnc_tensor *copy;
    Py_ssize_t i = PyNumber_AsSsize_t(number, PyExc_OverflowError);
    if (i == -1 && PyErr_Occurred())
        return NULL;
    if (i < 0 || i >= graph->value_count || graph->values[i].tensor == NULL) {
        PyErr_Format(PyExc_ValueError, "held: value %zd is no constant and no variable", i);
        return NULL;
    }
    nnc_status status = nnc_tensor_copy(graph->values[i].tensor, &copy);
    return status == NNC_OK ? py_tensor_wrap(state, copy) : py_raise(state, status);
}

/* ---- the rows' text ---- */

static const char *const formulas[][2] = {
#define UNARY(name, value, gradient, source) {#name, #value},
#include "ops/unary.def"
#undef UNARY
#define BINARY(name, value, da, db, note) {#name, #value},
#include "ops/binary.def"
#undef BINARY
#define COMPARE(name, truth) {#name, #truth},
#include "ops/compare.def"
#undef COMPARE
};

int py_describe_add(PyObject *module)
{
    PyObject *dict = PyDict_New();
    int failed = dict == NULL ? -1 : 0;
    for (size_t i = 0; failed == 0 && i < sizeof formulas / sizeof formulas[0]; i++) {
        PyObject *text = PyUnicode_FromString(formulas[i][1]);
        failed = text == NULL ? -1 : PyDict_SetItemString(dict, formulas[i][0], text);
        Py_XDECREF(text);
    }
    if (failed == 0)
        failed = PyModule_AddObjectRef(module, "op_formulas", dict);
    Py_XDECREF(dict);
    return failed;
}
