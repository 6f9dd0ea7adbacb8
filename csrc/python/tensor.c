/* tensor.c - the type Tensor: a value. Concrete, it has a core tensor; symbolic, a place in a
 * trace. */
#include "python.h"

static py_tensor *allocate(py_state *state)
{
    return (py_tensor *)PyType_GenericAlloc(state->tensor_type, 0);
}

PyObject *py_tensor_wrap(py_state *state, nnc_tensor *tensor)
{
    return py_tensor_wrap_loose(state, tensor, false);
}

PyObject *py_tensor_wrap_loose(py_state *state, nnc_tensor *tensor, bool loose)
{
    py_tensor *self = allocate(state);
    if (self == NULL) {
        nnc_tensor_release(tensor);
        return NULL;
    }
    self->tensor = tensor;
    self->loose = loose;
    return (PyObject *)self;
}

nnc_tensor *py_tensor_shown(py_state *state, py_tensor *tensor)
{
    if (!tensor->loose)
        return tensor->tensor;
    if (tensor->rounded == NULL) {
        const nnc_array *array = &tensor->tensor->array;
        nnc_status status = nnc_tensor_new(&array->shape, NNC_BF16, &tensor->rounded);
        if (status != NNC_OK) {
            py_raise(state, status);
            return NULL;
        }
        nnc_convert(array->data, NNC_F32, tensor->rounded->array.data, NNC_BF16,
                    nnc_shape_size(&array->shape));
    }
    return tensor->rounded;
}

PyObject *py_tensor_symbolic(py_state *state, PyObject *graph, int value)
{
    py_tensor *self = allocate(state);
    if (self == NULL)
        return NULL;
    Py_INCREF(graph);
    self->graph = graph;
    self->value = value;
    return (PyObject *)self;
}

PyObject *py_trace_error(py_state *state, const char *asked)
{
    PyErr_Format(state->trace_error,
                 "%s was asked of a symbolic tensor, which has no value while the "
                 "function is being recorded",
                 asked);
    return NULL;
}

/* Tensor(value, dtype=None) */
static PyObject *tensor_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"value", "dtype", NULL};
    py_state *state = PyType_GetModuleState(type);
    PyObject *value, *dtype_object = Py_None;
    nnc_dtype dtype = NNC_DTYPE_COUNT;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:Tensor", names, &value, &dtype_object))
        return NULL;
    if (dtype_object != Py_None && py_dtype_parse(dtype_object, &dtype) < 0)
        return NULL;
    PyObject *result = py_convert(state, value, dtype, false);
    if (result != value || result == NULL)
        return result;
    py_tensor *x = (py_tensor *)value, *self = allocate(state);
    if (self != NULL) {                     /* the same value, another object */
        self->tensor = x->tensor == NULL ? NULL : nnc_tensor_retain(x->tensor);
        self->loose = x->loose;
        self->value = x->value;
        self->graph = x->graph;
        Py_XINCREF(self->graph);
    }
    Py_DECREF(result);
    return (PyObject *)self;
}

static int tensor_traverse(PyObject *object, visitproc visit, void *arg)
{
    py_tensor *self = (py_tensor *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->graph);
    Py_VISIT(self->dict);
    return 0;
}

static int tensor_clear(PyObject *object)
{
    Py_CLEAR(((py_tensor *)object)->dict);
    return 0;
}

void py_tensor_dealloc(PyObject *object)
{
    py_tensor *self = (py_tensor *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->weak != NULL)
        PyObject_ClearWeakRefs(object);
    Py_XDECREF(self->dict);
    Py_XDECREF(self->shape);
    nnc_tensor_release(self->tensor);
    nnc_tensor_release(self->rounded);
    Py_XDECREF(self->graph);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

/* ---- what it tells ---- */

static PyObject *get_shape(PyObject *object, void *unused)
{
    py_tensor *self = (py_tensor *)object;
    (void)unused;
    if (self->shape == NULL)
        self->shape = py_shape_tuple(&py_tensor_array(self)->shape);
    Py_XINCREF(self->shape);
    return self->shape;
}

static PyObject *get_dtype(PyObject *object, void *unused)
{
    py_state *state = PyType_GetModuleState(Py_TYPE(object));
    PyObject *name = state->dtype_name[py_tensor_dtype((py_tensor *)object)];
    (void)unused;
    Py_INCREF(name);
    return name;
}

static PyObject *get_ndim(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromLong(py_tensor_array((py_tensor *)object)->shape.rank);
}

static PyObject *get_size(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromLongLong(nnc_shape_size(&py_tensor_array((py_tensor *)object)->shape));
}

static PyObject *get_symbolic(PyObject *object, void *unused)
{
    (void)unused;
    return PyBool_FromLong(((py_tensor *)object)->graph != NULL);
}

static PyObject *get_transposed(PyObject *object, void *unused)
{
    py_state *state = PyType_GetModuleState(Py_TYPE(object));
    int rank = py_tensor_array((py_tensor *)object)->shape.rank;
    nnc_attrs attrs = {.list_count = rank};
    (void)unused;
    for (int i = 0; i < rank; i++)
        attrs.list[i] = rank - 1 - i;
    return py_call1(state, NNC_OP_transpose, &attrs, object);
}

static PyObject *numpy(PyObject *object, const char *asked)
{
    py_state *state = PyType_GetModuleState(Py_TYPE(object));
    py_tensor *self = (py_tensor *)object;
    if (self->graph != NULL)
        return py_trace_error(state, asked);
    const nnc_tensor *shown = py_tensor_shown(state, self);
    return shown == NULL ? NULL : py_numpy(state, &shown->array, object, false);
}

static PyObject *method_numpy(PyObject *object, PyObject *unused)
{
    (void)unused;
    return numpy(object, "`.numpy()`");
}

static PyObject *method_array(PyObject *object, PyObject *args, PyObject *kwargs)
{
    PyObject *array = numpy(object, "A NumPy array");
    if (array == NULL)
        return NULL;
    PyObject *result = py_array_protocol(array, args, kwargs);
    Py_DECREF(array);
    return result;
}

static PyObject *method_item(PyObject *object, PyObject *unused)
{
    (void)unused;
    return py_scalar(object, "`.item()`");
}

/* <nnc.Tensor: shape=(2,), dtype=float32, value=[1. 2.]> */
static PyObject *tensor_repr(PyObject *object)
{
    py_tensor *self = (py_tensor *)object;
    PyObject *text = NULL, *value = NULL, *array = NULL, *shape = get_shape(object, NULL);
    const char *dtype = nnc_dtype_name(py_tensor_dtype(self));
    if (shape == NULL)
        return NULL;
    if (self->graph != NULL) {
        text = PyUnicode_FromFormat("<nnc.Tensor: shape=%R, dtype=%s, symbolic>", shape, dtype);
    } else {
        array = numpy(object, "repr()");
        value = array == NULL ? NULL : PyObject_Str(array);
        if (value != NULL)
            text = PyUnicode_FromFormat("<nnc.Tensor: shape=%R, dtype=%s, value=%U>", shape, dtype,
                                        value);
    }
    Py_XDECREF(array);
    Py_XDECREF(value);
    Py_DECREF(shape);
    return text;
}

/* Of a single number: as the number. */
static PyObject *method_format(PyObject *object, PyObject *spec)
{
    py_tensor *self = (py_tensor *)object;
    PyObject *text, *what;
    if (self->graph == NULL && self->tensor->array.shape.rank == 0)
        what = py_scalar(object, "format()");
    else
        what = PyObject_Str(object);
    text = what == NULL ? NULL : PyObject_Format(what, spec);
    Py_XDECREF(what);
    return text;
}

static PyObject *method_reduce(PyObject *object, PyObject *unused)
{
    py_tensor *self = (py_tensor *)object;
    py_state *state = PyType_GetModuleState(Py_TYPE(object));
    (void)unused;
    if (self->graph != NULL)
        return py_trace_error(state, "A pickle");
    const nnc_tensor *shown = py_tensor_shown(state, self);
    PyObject *array = shown == NULL ? NULL : py_numpy(state, &shown->array, NULL, true);
    return array == NULL ? NULL : Py_BuildValue("O(N)", Py_TYPE(object), array);
}

/* Whether the memory, or that which it is a view of, is not the core's own. */
PyObject *py_is_lent(PyObject *module, PyObject *object)
{
    py_state *state = PyModule_GetState(module);
    const nnc_tensor *tensor = py_is_tensor(state, object) ? ((py_tensor *)object)->tensor : NULL;
    return PyBool_FromLong(tensor != NULL && nnc_tensor_storage(tensor)->owner != NULL);
}

/* A value needs no second copy. */
static PyObject *method_copy(PyObject *object, PyObject *unused)
{
    (void)unused;
    Py_INCREF(object);
    return object;
}

static PyObject *method_complex(PyObject *object, PyObject *unused)
{
    (void)unused;
    PyObject *number = py_scalar(object, "complex(...)");
    PyObject *result =
        number == NULL ? NULL : PyObject_CallFunctionObjArgs((PyObject *)&PyComplex_Type, number, NULL);
    Py_XDECREF(number);
    return result;
}

static PyMethodDef methods[] = {
    {"numpy", method_numpy, METH_NOARGS, "The values as a read-only NumPy array, without a copy."},
    {"item", method_item, METH_NOARGS, "The value of a tensor of one element as a Python number."},
    {"__array__", (PyCFunction)(void (*)(void))method_array, METH_VARARGS | METH_KEYWORDS, NULL},
    {"__dlpack__", (PyCFunction)(void (*)(void))py_dlpack, METH_VARARGS | METH_KEYWORDS, NULL},
    {"__complex__", method_complex, METH_NOARGS, NULL},
    {"__dlpack_device__", py_dlpack_device, METH_NOARGS, NULL},
    {"__round__", py_round, METH_VARARGS, NULL},
    {"__format__", method_format, METH_O, NULL},
    {"__reduce__", method_reduce, METH_NOARGS, NULL},
    {"__copy__", method_copy, METH_NOARGS, NULL},
    {"__deepcopy__", method_copy, METH_O, NULL},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef getset[] = {
    {"shape", get_shape, NULL, "The sizes, a tuple.", NULL},
    {"dtype", get_dtype, NULL, "The name of the dtype.", NULL},
    {"ndim", get_ndim, NULL, "How many dimensions.", NULL},
    {"size", get_size, NULL, "How many elements.", NULL},
    {"T", get_transposed, NULL, "The axes in reverse order.", NULL},
    {"symbolic", get_symbolic, NULL, "Whether it is a value of a trace.", NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyMemberDef members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(py_tensor, dict), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(py_tensor, weak), READONLY, NULL},
    {NULL, 0, 0, 0, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Tensor(value, dtype=None): an immutable array, or a symbolic value of a trace."},
    {Py_tp_new, tensor_new}, {Py_tp_dealloc, py_tensor_dealloc}, {Py_tp_traverse, tensor_traverse},
    {Py_tp_clear, tensor_clear}, {Py_tp_repr, tensor_repr}, {Py_tp_methods, methods},
    {Py_tp_getset, getset}, {Py_tp_members, members}, {Py_bf_getbuffer, py_buffer_get},
    {Py_bf_releasebuffer, py_buffer_release}, PY_NUMBER_SLOTS, {0, NULL}};

PyType_Spec py_tensor_spec = {.name = "nnc._core.Tensor", .basicsize = sizeof(py_tensor),
                              .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, .slots = slots};
