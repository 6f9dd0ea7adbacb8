/* scan.c - looks through a user's data before training: labels out of range, numbers that are none;
 * and the functions beside it that need no type: permutations, the peak of the machine. */
#include "python.h"

#include <math.h>

enum { CHUNK = 512 };

/* permutation(n, seed, stream, step): int64, a permutation of 0..n-1. */
PyObject *py_permutation(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"n", "seed", "stream", "step", NULL};
    Py_ssize_t n;
    unsigned long long seed, stream, step;
    PyThreadState *saved;
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "nKKK:permutation", names, &n, &seed, &stream,
                                     &step))
        return NULL;
    if (n < 0) {
        PyErr_Format(PyExc_ValueError, "permutation: n must be >= 0. Received: n=%zd", n);
        return NULL;
    }
    npy_intp dims[1] = {n};
    PyObject *order = PyArray_SimpleNew(1, dims, NPY_INT64);
    if (order == NULL)
        return NULL;
    nnc_rng rng = {.seed = seed, .stream = stream, .step = step};
    py_gil_release(&saved);
    nnc_rng_permutation(&rng, n, PyArray_DATA((PyArrayObject *)order));
    py_gil_take(&saved);
    return order;
}

PyObject *py_peak_rate(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"dtype", "seconds", NULL};
    const char *dtype_name = "float32";
    nnc_dtype dtype;
    double seconds = 0.05, rate;
    PyThreadState *saved;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|sd:peak_rate", names, &dtype_name, &seconds))
        return NULL;
    if (!nnc_dtype_parse(dtype_name, &dtype) || !(seconds >= 0 && seconds <= 10)) {
        PyErr_Format(PyExc_ValueError, "peak_rate: expected a dtype, and seconds from 0 to 10. "
                     "Received: dtype=%s", dtype_name);
        return NULL;
    }
    py_gil_release(&saved);
    nnc_status status = nnc_peak_rate(dtype, seconds, &rate);
    py_gil_take(&saved);
    return status == NNC_OK ? PyFloat_FromDouble(rate)
                            : py_raise(PyModule_GetState(module), status);
}

PyObject *py_barrier_time(PyObject *module, PyObject *unused)
{
    PyThreadState *saved;
    (void)module, (void)unused;
    py_gil_release(&saved);
    double seconds = nnc_barrier_time();
    py_gil_take(&saved);
    return PyFloat_FromDouble(seconds);
}

static int64_t row_elements(PyArrayObject *array)
{
    int64_t n = 1;
    for (int i = 1; i < PyArray_NDIM(array); i++)
        n *= PyArray_DIM(array, i);
    return n;
}

/* The place of the first number outside 0..classes-1, or that is not whole; -1: none. */
static int64_t find_bad_label(const char *data, nnc_dtype dtype, int64_t n, int64_t classes)
{
    double value[CHUNK];
    int64_t size = nnc_dtype_size(dtype);
    for (int64_t first = 0; first < n; first += CHUNK) {
        int64_t count = n - first < CHUNK ? n - first : CHUNK;
        nnc_convert(data + first * size, dtype, value, NNC_F64, count);
        for (int64_t i = 0; i < count; i++) {
            if (!(value[i] >= 0 && value[i] < (double)classes && floor(value[i]) == value[i]))
                return first + i;
        }
    }
    return -1;
}

static PyObject *row_and(PyArrayObject *array, nnc_dtype dtype, int64_t at, bool label)
{
    int64_t row = row_elements(array);
    if (!label)
        return Py_BuildValue("(LL)", (long long)(at / row), (long long)(at % row));
    nnc_array one = {.data = PyArray_DATA(array), .dtype = dtype};
    return Py_BuildValue("(LN)", (long long)(at / row), py_number(&one, at));
}

PyObject *py_check_labels(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"labels", "classes", NULL};
    py_state *state = PyModule_GetState(module);
    PyObject *labels;
    long long classes;
    nnc_dtype dtype;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OL:check_labels", names, &labels, &classes))
        return NULL;
    PyArrayObject *array = py_array(state, labels, "check_labels: labels", &dtype);
    if (array == NULL)
        return NULL;
    int64_t at = find_bad_label(PyArray_DATA(array), dtype, PyArray_SIZE(array), classes);
    PyObject *result = Py_None;
    if (at >= 0)
        result = row_and(array, dtype, at, true);
    else
        Py_INCREF(result);
    Py_DECREF(array);
    return result;
}

PyObject *py_first_nonfinite(PyObject *module, PyObject *rows)
{
    nnc_dtype dtype;
    PyThreadState *saved;
    PyArrayObject *array =
        py_array(PyModule_GetState(module), rows, "first_nonfinite: the rows", &dtype);
    if (array == NULL)
        return NULL;
    py_gil_release(&saved);
    nnc_array all = {.data = PyArray_DATA(array), .dtype = dtype,
                     .shape = {.rank = 1, .dim = {PyArray_SIZE(array)}}};
    int64_t at = nnc_array_first_nonfinite(&all);
    py_gil_take(&saved);
    PyObject *result = Py_None;
    if (at >= 0)
        result = row_and(array, dtype, at, false);
    else
        Py_INCREF(result);
    Py_DECREF(array);
    return result;
}
