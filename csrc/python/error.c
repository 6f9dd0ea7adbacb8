/* error.c - the core's status as a Python exception, and the GIL around long work. */
#include "python.h"

PyObject *py_raise(py_state *state, nnc_status status)
{
    PyObject *type = PyExc_RuntimeError;
    switch (status) {
    case NNC_ENOMEM:
        type = PyExc_MemoryError;
        break;
    case NNC_EVALUE:
        type = PyExc_ValueError;
        break;
    case NNC_ETYPE:
        type = PyExc_TypeError;
        break;
    case NNC_EINDEX:
        type = state->invalid_index;
        break;
    case NNC_ETRACE:
        type = state->trace_error;
        break;
    case NNC_EINTERRUPT:
        if (PyErr_Occurred())       /* what the signal's handler raised */
            return NULL;
        type = PyExc_KeyboardInterrupt;
        break;
    default:
        break;
    }
    PyErr_SetString(type, nnc_error_text());
    return NULL;
}

/* Handlers run on the main thread only; on others PyErr_CheckSignals does nothing. */
static int poll(void *argument)
{
    PyThreadState **saved = argument;
    PyEval_RestoreThread(*saved);
    int stop = PyErr_CheckSignals();
    nnc_poll_set(poll, argument);       /* a handler that called the core has switched it off */
    *saved = PyEval_SaveThread();
    return stop;
}

void py_gil_release(PyThreadState **saved)
{
    *saved = PyEval_SaveThread();
    nnc_poll_set(poll, saved);
}

void py_gil_take(PyThreadState **saved)
{
    nnc_poll_set(NULL, NULL);
    PyEval_RestoreThread(*saved);
}
