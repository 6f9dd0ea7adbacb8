/* file.c - bytes of files straight into the storage of variables, and CRC-32. */
#include "core/read.h"
#include "core/tensor.h"
#include "python.h"

/* read_file(file, offset, size, into=None, check=True) */
PyObject *py_read_file(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"file", "offset", "size", "into", "check", NULL};
    py_state *state = PyModule_GetState(module);
    PyObject *into = Py_None;
    nnc_tensor *storage = NULL;
    int file, check = 1;
    long long offset, size;
    uint32_t crc = 0;
    PyThreadState *saved;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iLL|Op:read_file", names, &file, &offset,
                                     &size, &into, &check))
        return NULL;
    if (into != Py_None) {
        if (!PyObject_TypeCheck(into, state->variable_type)) {
            PyErr_SetString(PyExc_TypeError, "read_file: `into` must be a Variable or None");
            return NULL;
        }
        if (py_variable_check((py_variable *)into) < 0)
            return NULL;
        if (py_graph_current() != NULL)
            return py_trace_error(state, "Reading a file into a variable");
        storage = ((py_variable *)into)->tensor;
        if (storage->bytes != size || storage->array.dtype == NNC_BOOL) {
            PyErr_Format(PyExc_ValueError, "read_file: the variable must be of numbers and hold "
                         "exactly %lld bytes. Received: one of %lld bytes of %s", size,
                         (long long)storage->bytes, nnc_dtype_name(storage->array.dtype));
            return NULL;
        }
        nnc_tensor_retain(storage);
    }
    /* with the GIL, which keeps other threads from their tapes */
    nnc_status status = storage == NULL ? NNC_OK : nnc_tape_detach(storage);
    if (status == NNC_OK) {
        py_gil_release(&saved);
        status = nnc_read(file, offset, size, storage == NULL ? NULL : storage->array.data,
                          check ? &crc : NULL);
        nnc_tensor_written();
        py_gil_take(&saved);
    }
    nnc_tensor_release(storage);
    if (status != NNC_OK)
        return py_raise(state, status);
    if (check)
        return PyLong_FromUnsignedLong(crc);
    Py_RETURN_NONE;
}

/* crc32(data, value=0) */
PyObject *py_crc32(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"data", "value", NULL};
    Py_buffer data;
    unsigned int value = 0;
    PyThreadState *saved;
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y*|I:crc32", names, &data, &value))
        return NULL;
    py_gil_release(&saved);
    uint32_t crc = nnc_crc32(value, data.buf, data.len);
    py_gil_take(&saved);
    PyBuffer_Release(&data);
    return PyLong_FromUnsignedLong(crc);
}

/* crc32_join(first, second, length) */
PyObject *py_crc32_join(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"first", "second", "length", NULL};
    unsigned int first, second;
    long long length;
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "IIL:crc32_join", names, &first, &second,
                                     &length))
        return NULL;
    return PyLong_FromUnsignedLong(nnc_crc32_join(first, second, length));
}

/* zeros(shape, dtype): memory that nobody has touched. */
PyObject *py_zeros(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"shape", "dtype", NULL};
    py_state *state = PyModule_GetState(module);
    PyObject *shape_object, *dtype_object;
    nnc_shape shape;
    nnc_dtype dtype;
    nnc_tensor *tensor = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO:zeros", names, &shape_object,
                                     &dtype_object) ||
        py_shape_parse(shape_object, "zeros", &shape) < 0 ||
        py_dtype_parse(dtype_object, &dtype) < 0)
        return NULL;
    nnc_status status = nnc_tensor_zeros(&shape, dtype, &tensor);
    return status == NNC_OK ? py_tensor_wrap(state, tensor) : py_raise(state, status);
}
