/* rows.c - the functions of the namespace `op`: one for each row of the op table, made by a loop
 * over it. A function's attributes follow its inputs by position; the row's `attrs` says which
 * there are. Those at the end may be left out: 0, an empty list, and for `activation` none. */
#include "python.h"

#include <string.h>

enum { MAX_ATTRIBUTES = 16, LIST_ROOM = NNC_MAX_RANK * 3 };

typedef struct {
    char kind;              /* of nnc_attrs: L, s, k, f, d */
    bool activation;
    char name[24];
} attribute;

/* What a function is bound to. */
typedef struct {
    PyObject_HEAD
    py_state *state;
    PyObject *module;       /* keeps the state alive */
    nnc_op op;
    int attribute_count, required;
    attribute attributes[MAX_ATTRIBUTES];
    PyMethodDef method;
    char text[256];
} py_op;

/* ---- attributes ---- */

static int list_attribute(PyObject *object, nnc_attrs *attrs)
{
    PyObject *items = PySequence_Tuple(object);
    int failed = -1;
    if (items == NULL)
        return -1;
    Py_ssize_t n = PyTuple_Size(items);
    if (n > LIST_ROOM) {
        PyErr_Format(PyExc_ValueError, "a list of at most %d numbers was expected", LIST_ROOM);
        goto done;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        attrs->list[i] = PyNumber_AsSsize_t(PyTuple_GetItem(items, i), PyExc_OverflowError);
        if (attrs->list[i] == -1 && PyErr_Occurred())
            goto done;
    }
    attrs->list_count = (int)n;
    failed = 0;
done:
    Py_DECREF(items);
    return failed;
}

/* An op's number, its name, or None. */
static int activation_attribute(PyObject *object, int64_t *out)
{
    nnc_op op;
    *out = -1;
    if (object == Py_None)
        return 0;
    if (!PyUnicode_Check(object)) {
        *out = PyNumber_AsSsize_t(object, PyExc_OverflowError);
        return *out == -1 && PyErr_Occurred() ? -1 : 0;
    }
    const char *name = PyUnicode_AsUTF8AndSize(object, NULL);
    if (name == NULL)
        return -1;
    if (nnc_op_parse(name, &op)) {
        *out = op;
        return 0;
    }
    PyErr_Format(PyExc_ValueError, "unknown activation %R", object);
    return -1;
}

static int one_attribute(const attribute *a, PyObject *object, nnc_attrs *attrs, int *k, int *f)
{
    switch (a->kind) {
    case 'L':
    case 's':
        return list_attribute(object, attrs);
    case 'd':
        return py_dtype_parse(object, &attrs->dtype);
    case 'f':
        attrs->f[*f] = PyFloat_AsDouble(object);
        return attrs->f[(*f)++] == -1 && PyErr_Occurred() ? -1 : 0;
    default:
        if (a->activation)
            return activation_attribute(object, &attrs->k[(*k)++]);
        attrs->k[*k] = PyNumber_AsSsize_t(object, PyExc_OverflowError);
        return attrs->k[(*k)++] == -1 && PyErr_Occurred() ? -1 : 0;
    }
}

/* Says before what went wrong where: "sum: axes=(None,): ...". */
static int explain(const py_op *self, const attribute *a, PyObject *object)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_Format(type, "%s: %s=%R: %S", nnc_ops[self->op].name, a->name, object,
                 value == NULL ? Py_None : value);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    return -1;
}

static int parse_attributes(const py_op *self, PyObject *const *args, Py_ssize_t count,
                            nnc_attrs *attrs)
{
    int k = 0, f = 0;
    for (Py_ssize_t i = 0; i < self->attribute_count; i++) {
        const attribute *a = &self->attributes[i];
        if (i < count) {
            if (one_attribute(a, args[i], attrs, &k, &f) < 0)
                return explain(self, a, args[i]);
        } else if (a->activation) {
            attrs->k[k++] = -1;
        }
    }
    return 0;
}

/* ---- the functions ---- */

static PyObject *call_row(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    const py_op *self = (const py_op *)object;
    nnc_attrs attrs = {0};
    Py_ssize_t inputs = nnc_ops[self->op].inputs;
    if (inputs < 0)
        inputs = count - self->attribute_count < 1 ? 1 : count - self->attribute_count;
    if (count < inputs + self->required || count > inputs + self->attribute_count) {
        PyErr_Format(PyExc_TypeError, "%s. Received: %zd arguments", self->text, count);
        return NULL;
    }
    if (self->attribute_count > 0 &&
        parse_attributes(self, args + inputs, count - inputs, &attrs) < 0)
        return NULL;
    return py_call(self->state, self->op, &attrs, args, (int)inputs);
}

static int op_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((py_op *)object)->module);
    return 0;
}

static int op_clear(PyObject *object)
{
    Py_CLEAR(((py_op *)object)->module);
    return 0;
}

static void op_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    Py_XDECREF(((py_op *)object)->module);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

static PyType_Slot slots[] = {{Py_tp_dealloc, op_dealloc}, {Py_tp_traverse, op_traverse},
                              {Py_tp_clear, op_clear}, {0, NULL}};
PyType_Spec py_op_spec = {.name = "nnc._core._Op", .basicsize = sizeof(py_op),
                          .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
                              Py_TPFLAGS_DISALLOW_INSTANTIATION,
                          .slots = slots};

/* ---- making them ---- */

/* "k:axis k:keepdims" into the list of attributes; the last dtype or shape, and what comes before,
 * must be given, and everything where the number of inputs is open. */
static void read_row(py_op *self)
{
    const nnc_op_row *row = &nnc_ops[self->op];
    const char *at = row->attrs;
    size_t used = (size_t)snprintf(self->text, sizeof self->text, "%s(", row->name);
    for (int i = 0; i < row->inputs; i++)
        used += (size_t)snprintf(self->text + used, sizeof self->text - used, "%sinput%d",
                                 i > 0 ? ", " : "", i);
    if (row->inputs < 0)
        used += (size_t)snprintf(self->text + used, sizeof self->text - used, "*inputs");
    while (*at != 0 && self->attribute_count < MAX_ATTRIBUTES) {
        attribute *a = &self->attributes[self->attribute_count++];
        size_t length = strcspn(at + 2, " ");
        a->kind = at[0];
        snprintf(a->name, sizeof a->name, "%.*s", (int)length, at + 2);
        a->activation = strcmp(a->name, "activation") == 0;
        if (a->kind == 'd' || a->kind == 's' || row->inputs < 0)
            self->required = self->attribute_count;
        if (used + 48 < sizeof self->text)
            used += (size_t)snprintf(self->text + used, sizeof self->text - used, "%s%s",
                                     self->text[used - 1] == '(' ? "" : ", ", a->name);
        at += 2 + length;
        at += *at == ' ';
    }
    snprintf(self->text + used, sizeof self->text - used, ")");
}

static PyObject *new_function(py_state *state, PyObject *module, PyObject *module_name, nnc_op op)
{
    py_op *self = (py_op *)PyType_GenericAlloc(state->op_type, 0);
    if (self == NULL)
        return NULL;
    Py_INCREF(module);
    self->module = module;
    self->state = state;
    self->op = op;
    read_row(self);
    self->method = (PyMethodDef){nnc_ops[op].name, (PyCFunction)(void (*)(void))call_row,
                                 METH_FASTCALL, self->text};
    PyObject *function = PyCFunction_NewEx(&self->method, (PyObject *)self, module_name);
    Py_DECREF(self);
    return function;
}

/* Takes over `value`. */
static int put(PyObject *dict, const char *name, PyObject *value)
{
    int failed = value == NULL ? -1 : PyDict_SetItemString(dict, name, value);
    Py_XDECREF(value);
    return failed;
}

int py_ops_add(py_state *state, PyObject *module)
{
    int failed = -1;
    PyObject *names = PyTuple_New(NNC_OP_COUNT), *table = PyDict_New();
    Py_ssize_t count = 0;
    PyObject *space = PyModule_New("nnc._core.op");
    PyObject *space_name = PyUnicode_FromString("nnc._core.op");
    if (names == NULL || table == NULL || space == NULL || space_name == NULL)
        goto done;
    for (int op = 0; op < NNC_OP_COUNT; op++) {
        const nnc_op_row *row = &nnc_ops[op];
        if (row->flags & NNC_SHARED)
            continue;
        PyObject *name = PyUnicode_InternFromString(row->name);
        if (name == NULL)
            goto done;
        PyTuple_SetItem(names, count++, name);
        if (put(table, row->name, Py_BuildValue("(iis)", row->inputs, row->outputs, row->attrs)) <
                0 ||
            put(PyModule_GetDict(space), row->name,
                new_function(state, module, space_name, (nnc_op)op)) < 0)
            goto done;
    }
    PyObject *all = names;
    names = PyTuple_GetSlice(all, 0, count);
    Py_DECREF(all);
    if (names != NULL && PyModule_AddObjectRef(module, "op_names", names) == 0 &&
        PyModule_AddObjectRef(module, "op_table", table) == 0 &&
        PyModule_AddObjectRef(module, "op", space) == 0)
        failed = 0;
done:
    Py_XDECREF(names);
    Py_XDECREF(table);
    Py_XDECREF(space);
    Py_XDECREF(space_name);
    return failed;
}
