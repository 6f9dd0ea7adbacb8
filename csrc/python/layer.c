/* layer.c - what a layer does around its `call`, where a call takes a microsecond: floats in its
 * dtype, variables read in it, and layers that need no more one behind the other. */
#include "python.h"

static int dtype_or_none(PyObject *object, nnc_dtype *out)
{
    *out = NNC_DTYPE_COUNT;
    return object == Py_None ? 0 : py_dtype_parse(object, out);
}

/* floats_as(x, dtype) */
PyObject *py_floats(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    py_state *state = PyModule_GetState(module);
    nnc_dtype dtype;
    if (count != 2 || !py_is_tensor(state, args[0])) {
        PyErr_SetString(PyExc_TypeError, "floats_as: expected a Tensor and a dtype");
        return NULL;
    }
    return py_dtype_parse(args[1], &dtype) < 0 ? NULL : py_floats_as(state, args[0], dtype);
}

/* The output of one layer; takes x over. `entry` is (call, whether it takes `training`). */
static PyObject *run_one(py_state *state, PyObject *entry, nnc_dtype dtype, PyObject *x,
                         PyObject *training)
{
    PyObject *call = PyTuple_GetItem(entry, 0), *takes = PyTuple_GetItem(entry, 1);
    PyObject *result = NULL;
    if (dtype != NNC_DTYPE_COUNT && py_is_tensor(state, x)) {
        PyObject *cast = py_floats_as(state, x, dtype);
        Py_DECREF(x);
        x = cast;
    }
    if (x != NULL && call != NULL && takes != NULL)
        result = PyObject_CallFunctionObjArgs(call, x, takes == Py_True ? training : NULL, NULL);
    Py_XDECREF(x);
    return result;
}

/* run_layers(calls, dtype, reading, x, training): calls is a tuple; each casts a tensor of floats to
 * dtype first (None: as it comes), and its variables are read in `reading`. */
PyObject *py_run_layers(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    py_state *state = PyModule_GetState(module);
    nnc_dtype dtype, reading;
    if (count != 5 || !PyTuple_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError,
                        "run_layers: expected (calls, dtype, reading, x, training)");
        return NULL;
    }
    if (dtype_or_none(args[1], &dtype) < 0 || dtype_or_none(args[2], &reading) < 0)
        return NULL;
    for (Py_ssize_t i = 0; i < PyTuple_Size(args[0]); i++) {
        PyObject *entry = PyTuple_GetItem(args[0], i);
        if (!PyTuple_Check(entry) || PyTuple_Size(entry) != 2) {
            PyErr_SetString(PyExc_TypeError,
                            "run_layers: expected calls of (call, whether it takes `training`)");
            return NULL;
        }
    }
    PyObject *x = Py_NewRef(args[3]);
    nnc_dtype outer = py_swap_autocast(reading);
    for (Py_ssize_t i = 0; x != NULL && i < PyTuple_Size(args[0]); i++)
        x = run_one(state, PyTuple_GetItem(args[0], i), dtype, x, args[4]);
    py_swap_autocast(outer);
    return x;
}
