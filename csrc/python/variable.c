/* variable.c - the type Variable: storage that ops read and effects change in place. nnc.Variable
 * derives from it. The storage is the variable's own and never moves, so recorded programs go on
 * seeing it. */
#include "python.h"

static py_variable *cast_self(PyObject *object)
{
    return (py_variable *)object;
}

int py_variable_check(const py_variable *variable)
{
    if (variable->tensor != NULL)
        return 0;
    PyErr_SetString(PyExc_ValueError,
                    "the Variable has no value yet: Variable.__init__ has not been called");
    return -1;
}

static _Thread_local nnc_dtype autocast_dtype = NNC_DTYPE_COUNT;     /* none */

nnc_dtype py_read_dtype(const py_variable *variable)
{
    nnc_dtype own = variable->tensor->array.dtype;
    bool cast = autocast_dtype != NNC_DTYPE_COUNT && variable->autocast &&
                nnc_dtype_kind(own) == NNC_KIND_FLOAT;
    return cast ? autocast_dtype : own;
}

nnc_dtype py_swap_autocast(nnc_dtype dtype)
{
    nnc_dtype was = autocast_dtype;
    autocast_dtype = dtype;
    return was;
}

PyObject *py_set_autocast(PyObject *module, PyObject *dtype)
{
    py_state *state = PyModule_GetState(module);
    nnc_dtype now = NNC_DTYPE_COUNT;
    if (dtype != Py_None && py_dtype_parse(dtype, &now) < 0)
        return NULL;
    nnc_dtype was = py_swap_autocast(now);
    return Py_NewRef(was == NNC_DTYPE_COUNT ? Py_None : state->dtype_name[was]);
}

PyObject *py_autocast(PyObject *module, PyObject *unused)
{
    py_state *state = PyModule_GetState(module);
    (void)unused;
    return Py_NewRef(autocast_dtype == NNC_DTYPE_COUNT ? Py_None
                                                       : state->dtype_name[autocast_dtype]);
}

/* The value as a tensor that nobody else holds. given: whether the caller gives it away though it
 * still has a name for it. */
static nnc_tensor *own_storage(py_state *state, PyObject *value, bool given)
{
    nnc_tensor *storage = NULL;
    py_tensor *tensor = (py_tensor *)value;
    if (tensor->graph != NULL) {
        py_trace_error(state, "The first value of a Variable");
        return NULL;
    }
    nnc_tensor *shown = py_tensor_shown(state, tensor);
    if (shown == NULL)
        return NULL;
    if ((given || Py_REFCNT(value) == 1) && shown->owner == NULL &&
        atomic_load(&shown->references) == 1)
        return nnc_tensor_retain(shown);
    nnc_status status = nnc_tensor_copy(shown, &storage);
    if (status != NNC_OK)
        py_raise(state, status);
    return storage;
}

/* Variable(value, dtype=None, given=False) */
static int variable_init(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"value", "dtype", "given", NULL};
    py_state *state = py_state_of(object);
    int given = 0;
    py_variable *self = cast_self(object);
    PyObject *value, *dtype_object = Py_None;
    nnc_dtype dtype = NNC_DTYPE_COUNT;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|Op:Variable", names, &value,
                                     &dtype_object, &given))
        return -1;
    if (dtype_object != Py_None && py_dtype_parse(dtype_object, &dtype) < 0)
        return -1;
    PyObject *tensor = py_convert(state, value, dtype, true);          /* own_storage copies */
    if (tensor == NULL)
        return -1;
    nnc_tensor *storage = own_storage(state, tensor, given);
    Py_DECREF(tensor);
    if (storage == NULL)
        return -1;
    nnc_tensor_release(self->tensor);
    self->tensor = storage;
    Py_CLEAR(self->shape);
    return 0;
}

/* Any arguments: a derived class's __init__ reads them. */
static PyObject *variable_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args, (void)kwargs;
    PyObject *object = PyType_GenericAlloc(type, 0);
    if (object != NULL)
        cast_self(object)->trainable = cast_self(object)->autocast = true;
    return object;
}

static int variable_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(cast_self(object)->dict);
    return 0;
}

static int variable_clear(PyObject *object)
{
    Py_CLEAR(cast_self(object)->dict);
    return 0;
}

void py_variable_dealloc(PyObject *object)
{
    py_variable *self = cast_self(object);
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->weak != NULL)
        PyObject_ClearWeakRefs(object);
    Py_XDECREF(self->dict);
    Py_XDECREF(self->shape);
    nnc_tensor_release(self->tensor);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

/* ---- what it tells ---- */

static PyObject *get_shape(PyObject *object, void *unused)
{
    py_variable *self = cast_self(object);
    (void)unused;
    if (py_variable_check(self) < 0)
        return NULL;
    if (self->shape == NULL)
        self->shape = py_shape_tuple(&self->tensor->array.shape);
    Py_XINCREF(self->shape);
    return self->shape;
}

static PyObject *get_dtype(PyObject *object, void *unused)
{
    (void)unused;
    if (py_variable_check(cast_self(object)) < 0)
        return NULL;
    PyObject *name = py_state_of(object)->dtype_name[py_read_dtype(cast_self(object))];
    Py_INCREF(name);
    return name;
}

static PyObject *get_ndim(PyObject *object, void *unused)
{
    (void)unused;
    return py_variable_check(cast_self(object)) < 0
        ? NULL : PyLong_FromLong(cast_self(object)->tensor->array.shape.rank);
}

static PyObject *get_size(PyObject *object, void *unused)
{
    (void)unused;
    return py_variable_check(cast_self(object)) < 0
        ? NULL : PyLong_FromLongLong(nnc_shape_size(&cast_self(object)->tensor->array.shape));
}

static PyObject *get_value(PyObject *object, void *unused)
{
    (void)unused;
    return py_call1(py_state_of(object), NNC_OP_copy, NULL, object);
}

static PyObject *get_trainable(PyObject *object, void *unused)
{
    (void)unused;
    return PyBool_FromLong(cast_self(object)->trainable);
}

static int set_trainable(PyObject *object, PyObject *value, void *unused)
{
    (void)unused;
    int truth = value == NULL ? 1 : PyObject_IsTrue(value);
    if (truth < 0)
        return -1;
    cast_self(object)->trainable = truth;
    return 0;
}

static PyObject *get_autocast(PyObject *object, void *unused)
{
    (void)unused;
    return PyBool_FromLong(cast_self(object)->autocast);
}

static int set_autocast(PyObject *object, PyObject *value, void *unused)
{
    (void)unused;
    int truth = value == NULL ? 1 : PyObject_IsTrue(value);
    if (truth < 0)
        return -1;
    cast_self(object)->autocast = truth;
    return 0;
}

/* A copy of the values; not while a step is recorded: the recording would keep today's numbers. */
static PyObject *numpy(PyObject *object, const char *asked)
{
    py_state *state = py_state_of(object);
    if (py_variable_check(cast_self(object)) < 0)
        return NULL;
    if (py_graph_current() != NULL)
        return py_trace_error(state, asked);
    return py_numpy(state, &cast_self(object)->tensor->array, NULL, true);
}

static PyObject *method_numpy(PyObject *object, PyObject *unused)
{
    (void)unused;
    return numpy(object, "`.numpy()` of a variable");
}

static PyObject *method_view(PyObject *object, PyObject *unused)
{
    (void)unused;
    if (py_variable_check(cast_self(object)) < 0)
        return NULL;
    if (py_graph_current() != NULL)
        return py_trace_error(py_state_of(object), "A view of a variable");
    return py_numpy(py_state_of(object), &cast_self(object)->tensor->array, object, false);
}

static PyObject *method_array(PyObject *object, PyObject *args, PyObject *kwargs)
{
    PyObject *array = numpy(object, "A variable as a NumPy array");
    PyObject *result = array == NULL ? NULL : py_array_protocol(array, args, kwargs);
    Py_XDECREF(array);
    return result;
}

static PyObject *method_item(PyObject *object, PyObject *unused)
{
    (void)unused;
    return py_scalar(object, "`.item()`");
}

static PyObject *variable_repr(PyObject *object)
{
    PyObject *shape, *text = NULL;
    if (cast_self(object)->tensor == NULL)
        return PyUnicode_FromString("<nnc.Variable without a value>");
    shape = get_shape(object, NULL);
    if (shape != NULL)
        text = PyUnicode_FromFormat("<nnc.Variable: shape=%R, dtype=%s>", shape,
                                    nnc_dtype_name(cast_self(object)->tensor->array.dtype));
    Py_XDECREF(shape);
    return text;
}

/* ---- assignment ---- */

/* The value in the variable's dtype, its shape checked: a new reference. */
static PyObject *assignable(py_state *state, PyObject *object, PyObject *value)
{
    char have[NNC_SHAPE_TEXT], want[NNC_SHAPE_TEXT];
    if (py_variable_check(cast_self(object)) < 0)
        return NULL;
    const nnc_array *own = &cast_self(object)->tensor->array;
    PyObject *tensor = py_convert(state, value, own->dtype, py_graph_current() == NULL);
    if (tensor == NULL)
        return NULL;
    const nnc_shape *shape = &py_signature(state, tensor)->shape;
    if (nnc_shape_equal(shape, &own->shape))
        return tensor;
    PyErr_Format(PyExc_ValueError,
                 "assign: the value's shape must be the variable's. Received: value.shape=%s, "
                 "variable.shape=%s",
                 nnc_shape_text(shape, have), nnc_shape_text(&own->shape, want));
    Py_DECREF(tensor);
    return NULL;
}

static PyObject *assign_with(PyObject *object, PyObject *value, nnc_op op)
{
    py_state *state = py_state_of(object);
    PyObject *tensor = assignable(state, object, value);
    PyObject *result = tensor == NULL ? NULL : py_call2(state, op, object, tensor);
    Py_XDECREF(tensor);
    return result;
}

static PyObject *method_assign(PyObject *object, PyObject *value)
{
    return assign_with(object, value, NNC_OP_assign);
}

static PyObject *method_assign_add(PyObject *object, PyObject *value)
{
    return assign_with(object, value, NNC_OP_assign_add);
}

static PyObject *method_assign_sub(PyObject *object, PyObject *value)
{
    py_state *state = py_state_of(object);
    PyObject *tensor = assignable(state, object, value), *difference, *result = NULL;
    if (tensor == NULL)
        return NULL;
    nnc_dtype outer = py_swap_autocast(NNC_DTYPE_COUNT);    /* written: not what a layer reads */
    difference = py_call2(state, NNC_OP_subtract, object, tensor);
    py_swap_autocast(outer);
    if (difference != NULL)
        result = py_call2(state, NNC_OP_assign, object, difference);
    Py_XDECREF(difference);
    Py_DECREF(tensor);
    return result;
}

/* ---- pickle and copy: (class, values, attributes); a derived class's __init__ is not called ----
 */

static PyObject *method_reduce(PyObject *object, PyObject *unused)
{
    py_variable *self = cast_self(object);
    py_state *state = py_state_of(object);
    PyObject *rebuild, *array;
    (void)unused;
    if (py_variable_check(self) < 0)
        return NULL;
    rebuild = PyObject_GetAttrString(state->module, "_rebuild_variable");
    if (rebuild == NULL)
        return NULL;
    array = py_numpy(state, &self->tensor->array, NULL, true);
    if (array == NULL) {
        Py_DECREF(rebuild);
        return NULL;
    }
    return Py_BuildValue("N(ONOO)", rebuild, Py_TYPE(object), array,
                         self->trainable ? Py_True : Py_False,
                         self->dict != NULL ? self->dict : Py_None);
}

PyObject *py_variable_rebuild(PyObject *module, PyObject *args)
{
    py_state *state = PyModule_GetState(module);
    PyObject *type, *array, *trainable, *attributes;
    if (!PyArg_ParseTuple(args, "OOOO:_rebuild_variable", &type, &array, &trainable, &attributes))
        return NULL;
    if (!PyType_Check(type) || !PyType_IsSubtype((PyTypeObject *)type, state->variable_type)) {
        PyErr_SetString(PyExc_TypeError,
                        "_rebuild_variable: expected a class derived from Variable");
        return NULL;
    }
    PyObject *object = variable_new((PyTypeObject *)type, NULL, NULL);
    PyObject *values = object == NULL ? NULL : Py_BuildValue("(O)", array), *dict = NULL;
    int failed = values == NULL || variable_init(object, values, NULL) < 0 ||
        set_trainable(object, trainable, NULL) < 0;
    if (!failed && attributes != Py_None) {
        dict = PyObject_GenericGetDict(object, NULL);
        failed = dict == NULL || PyDict_Update(dict, attributes) < 0;
    }
    Py_XDECREF(values);
    Py_XDECREF(dict);
    if (failed)
        Py_CLEAR(object);
    return object;
}

static PyMethodDef methods[] = {
    {"numpy", method_numpy, METH_NOARGS, "The values: a copy, a NumPy array."},
    {"_view", method_view, METH_NOARGS,
     "The values, read-only and without a copy: only until the variable is written next."},
    {"item", method_item, METH_NOARGS,
     "The value of a variable of one element as a Python number."},
    {"__round__", py_round, METH_VARARGS, NULL},
    {"assign", method_assign, METH_O,
     "Overwrites the values; shapes must be equal, dtypes are converted."},
    {"assign_add", method_assign_add, METH_O, "Adds to the values."},
    {"assign_sub", method_assign_sub, METH_O, "Subtracts from the values."},
    {"__array__", (PyCFunction)(void (*)(void))method_array, METH_VARARGS | METH_KEYWORDS, NULL},
    {"__reduce__", method_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef getset[] = {
    {"shape", get_shape, NULL, "The sizes, a tuple.", NULL},
    {"dtype", get_dtype, NULL, "The name of the dtype.", NULL},
    {"ndim", get_ndim, NULL, "How many dimensions.", NULL},
    {"size", get_size, NULL, "How many elements.", NULL},
    {"value", get_value, NULL, "A tensor: a copy of the values; symbolic while recording.", NULL},
    {"trainable", get_trainable, set_trainable, "Whether tapes watch it when it is read.", NULL},
    {"autocast", get_autocast, set_autocast, "Whether layers read it in what they compute in.",
     NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyMemberDef members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(py_variable, dict), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(py_variable, weak), READONLY, NULL},
    {NULL, 0, 0, 0, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "Variable(value, dtype=None): storage that ops read and that assign changes in place."},
    {Py_tp_new, variable_new},
    {Py_tp_init, variable_init},
    {Py_tp_dealloc, py_variable_dealloc},
    {Py_tp_traverse, variable_traverse},
    {Py_tp_clear, variable_clear},
    {Py_tp_repr, variable_repr},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {Py_tp_members, members},
    PY_NUMBER_SLOTS,
    {0, NULL}};

PyType_Spec py_variable_spec = {
    .name = "nnc._core.Variable", .basicsize = sizeof(py_variable),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE, .slots = slots};
