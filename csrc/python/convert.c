/* convert.c - NumPy arrays, lists and numbers as tensors, and back.
 *
 * An array that is C-contiguous, aligned and in native byte order is used where it lies; any other
 * is first copied by NumPy. A tensor that outlives the call gets a copy of memory that somebody else
 * may write to. Arrays given back are read-only views: a tensor is a value. bfloat16
 * exists in NumPy only through the package ml_dtypes, imported when the first such array is asked
 * for. */
#include "python.h"

#include <string.h>

/* ---- dtypes ---- */

static const int numpy_type[NNC_DTYPE_COUNT] = {
    [NNC_BOOL] = NPY_BOOL, [NNC_U8] = NPY_UINT8, [NNC_U16] = NPY_UINT16, [NNC_U32] = NPY_UINT32,
    [NNC_U64] = NPY_UINT64, [NNC_I8] = NPY_INT8, [NNC_I16] = NPY_INT16, [NNC_I32] = NPY_INT32,
    [NNC_I64] = NPY_INT64, [NNC_F16] = NPY_FLOAT16, [NNC_BF16] = -1, [NNC_F32] = NPY_FLOAT32,
    [NNC_F64] = NPY_FLOAT64, [NNC_C64] = NPY_COMPLEX64};

/* Several NumPy types have the same size (long, long long), so kind and size decide. */
static bool builtin_dtype(const PyArray_Descr *descr, nnc_dtype *out)
{
    static const struct {
        char kind;
        nnc_dtype dtype;
    } rows[] = {{'b', NNC_BOOL}, {'u', NNC_U8}, {'u', NNC_U16}, {'u', NNC_U32}, {'u', NNC_U64},
                {'i', NNC_I8}, {'i', NNC_I16}, {'i', NNC_I32}, {'i', NNC_I64},
                {'f', NNC_F16}, {'f', NNC_F32}, {'f', NNC_F64}, {'c', NNC_C64}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (descr->kind == rows[i].kind &&
            PyDataType_ELSIZE(descr) == nnc_dtype_size(rows[i].dtype)) {
            *out = rows[i].dtype;
            return true;
        }
    }
    return false;
}

/* "float32" of anything with a `name` that is a string; "" and no exception if it has none. */
static void name_of(PyObject *object, char text[32])
{
    PyObject *name = PyObject_GetAttrString(object, "name");
    const char *utf8 =
        name != NULL && PyUnicode_Check(name) ? PyUnicode_AsUTF8AndSize(name, NULL) : NULL;
    snprintf(text, 32, "%s", utf8 != NULL ? utf8 : "");
    PyErr_Clear();
    Py_XDECREF(name);
}

/* Whether it is ml_dtypes' bfloat16, as far as is known: asking for its name takes microseconds. */
static bool is_bfloat16(const py_state *state, const PyArray_Descr *descr)
{
    return state->bfloat16 != NULL &&
        descr->type_num == ((const PyArray_Descr *)state->bfloat16)->type_num;
}

bool py_dtype_known(const py_state *state, const PyArray_Descr *descr, nnc_dtype *out)
{
    if (descr->type_num < NPY_USERDEF && builtin_dtype(descr, out))
        return true;
    *out = NNC_BF16;
    return is_bfloat16(state, descr);
}

int py_dtype_of(py_state *state, PyArray_Descr *descr, const char *who, nnc_dtype *out)
{
    char name[32];
    if (py_dtype_known(state, descr, out))
        return 0;
    if (descr->kind == 'U' || descr->kind == 'S')
        snprintf(name, sizeof name, "str");     /* NumPy's name for it has the length in bits */
    else
        name_of((PyObject *)descr, name);
    if (descr->type_num >= NPY_USERDEF && nnc_dtype_parse(name, out)) {
        PyObject *known = *out == NNC_BF16 ? (PyObject *)py_descr(state, NNC_BF16) : NULL;
        if (PyErr_Occurred())
            PyErr_Clear();          /* it is asked for its name again */
        Py_XDECREF(known);
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "%s: expected numbers or booleans of a supported dtype. "
                 "Received: dtype=%s", who, name);
    return -1;
}

int py_dtype_parse(PyObject *object, nnc_dtype *out)
{
    char name[32];
    if (PyUnicode_Check(object)) {
        const char *utf8 = PyUnicode_AsUTF8AndSize(object, NULL);
        if (utf8 == NULL)
            return -1;
        if (nnc_dtype_parse(utf8, out))
            return 0;
    } else {
        name_of(object, name);
        if (nnc_dtype_parse(name, out))
            return 0;
    }
    PyErr_Format(PyExc_ValueError,
                 "Unknown dtype. Received: dtype=%R. Expected a name like 'float32', "
                 "'int32' or 'bool'.",
                 object);
    return -1;
}

PyArray_Descr *py_descr(py_state *state, nnc_dtype dtype)
{
    if (dtype != NNC_BF16)
        return PyArray_DescrFromType(numpy_type[dtype]);
    if (state->bfloat16 == NULL) {
        PyArray_Descr *descr = NULL;
        PyObject *module = PyImport_ImportModule("ml_dtypes");
        PyObject *type = module == NULL ? NULL : PyObject_GetAttrString(module, "bfloat16");
        if (type == NULL || !PyArray_DescrConverter(type, &descr))
            descr = NULL;
        Py_XDECREF(module);
        Py_XDECREF(type);
        if (descr == NULL)
            return NULL;
        if (state->bfloat16 == NULL)
            state->bfloat16 = (PyObject *)descr;
        else
            Py_DECREF(descr);
    }
    Py_INCREF(state->bfloat16);
    return (PyArray_Descr *)state->bfloat16;
}

/* ---- shapes ---- */

PyObject *py_shape_tuple(const nnc_shape *shape)
{
    PyObject *tuple = PyTuple_New(shape->rank);
    for (int i = 0; tuple != NULL && i < shape->rank; i++) {
        PyObject *size = PyLong_FromLongLong(shape->dim[i]);
        if (size == NULL)
            Py_CLEAR(tuple);
        else
            PyTuple_SetItem(tuple, i, size);
    }
    return tuple;
}

int py_shape_parse(PyObject *object, const char *who, nnc_shape *out)
{
    PyObject *sizes = PySequence_Tuple(object);
    int failed = -1;
    if (sizes == NULL)
        return -1;
    Py_ssize_t rank = PyTuple_Size(sizes);
    if (rank > NNC_MAX_RANK) {
        PyErr_Format(PyExc_ValueError, "%s: a shape has at most %d dimensions. Received: shape=%R",
                     who, NNC_MAX_RANK, object);
        goto done;
    }
    out->rank = (int)rank;
    for (Py_ssize_t i = 0; i < rank; i++) {
        Py_ssize_t size = PyNumber_AsSsize_t(PyTuple_GetItem(sizes, i), PyExc_OverflowError);
        if (size == -1 && PyErr_Occurred())
            goto done;
        if (size < 0) {
            PyErr_Format(PyExc_ValueError, "%s: sizes must be >= 0. Received: shape=%R", who,
                         object);
            goto done;
        }
        out->dim[i] = size;
    }
    failed = 0;
done:
    Py_DECREF(sizes);
    return failed;
}

/* ---- arrays in ---- */

/* Whether a nested list holds nothing but Python's own numbers. */
static bool only_python_numbers(PyObject *object)
{
    bool list = PyList_Check(object);
    if (!list && !PyTuple_Check(object))
        return PyLong_Check(object) || PyFloat_CheckExact(object) ||
               Py_TYPE(object) == &PyComplex_Type || Py_TYPE(object) == &PyRange_Type;
    Py_ssize_t n = list ? PyList_Size(object) : PyTuple_Size(object);
    for (Py_ssize_t i = 0; i < n; i++) {
        if (!only_python_numbers(list ? PyList_GetItem(object, i) : PyTuple_GetItem(object, i)))
            return false;
    }
    return true;
}

static bool fits_int32(PyArrayObject *array)
{
    const int64_t *x = PyArray_DATA(array);
    for (npy_intp i = 0, n = PyArray_SIZE(array); i < n; i++) {
        if (x[i] < INT32_MIN || x[i] > INT32_MAX)
            return false;
    }
    return true;
}

/* Replaces a 64-bit array by one of 32 bits; steals it. */
static PyArrayObject *narrow(PyArrayObject *array, nnc_dtype *dtype)
{
    nnc_dtype to = *dtype == NNC_F64 ? NNC_F32 : NNC_I32;
    PyArrayObject *result = (PyArrayObject *)PyArray_SimpleNew(PyArray_NDIM(array),
                                                               PyArray_DIMS(array), numpy_type[to]);
    if (result != NULL) {
        nnc_convert(PyArray_DATA(array), *dtype, PyArray_DATA(result), to, PyArray_SIZE(array));
        *dtype = to;
    }
    Py_DECREF(array);
    return result;
}

PyArrayObject *py_array_direct(PyObject *object, nnc_dtype *dtype)
{
    PyArrayObject *array = (PyArrayObject *)object;
    if (!PyArray_CheckExact(object) || !PyArray_ISCARRAY_RO(array) ||
        PyArray_NDIM(array) > NNC_MAX_RANK || PyArray_DESCR(array)->type_num >= NPY_USERDEF ||
        !builtin_dtype(PyArray_DESCR(array), dtype))
        return NULL;
    Py_INCREF(object);
    return array;
}

PyObject *py_halved(PyObject *object)
{
    PyObject *array = PyArray_FROM_O(object), *half = NULL;
    if (array == NULL)
        return NULL;
    if (PyArray_TYPE((PyArrayObject *)array) == NPY_COMPLEX128)
        half = PyArray_CastToType((PyArrayObject *)array, PyArray_DescrFromType(NPY_COMPLEX64), 0);
    else
        half = Py_NewRef(object);
    Py_DECREF(array);
    return half;
}

/* complex128 of Python's own numbers becomes complex64, as floats become float32; that of NumPy is
 * refused. Steals the array. */
static PyArrayObject *halve(PyArrayObject *array, PyObject *object, const char *who)
{
    PyObject *half = NULL;
    if (only_python_numbers(object))
        half = py_halved((PyObject *)array);
    else
        PyErr_Format(PyExc_TypeError, "%s is of complex128, which does not exist here: convert it "
                     "to complex64, with half its digits, by dtype=\"complex64\" or NumPy's astype.",
                     who);
    Py_DECREF(array);
    return (PyArrayObject *)half;
}

PyArrayObject *py_array(py_state *state, PyObject *object, const char *who, nnc_dtype *dtype)
{
    PyArrayObject *array = py_array_direct(object, dtype);
    if (array != NULL)
        return array;
    array = (PyArrayObject *)PyArray_CheckFromAny(object, NULL, 0, 0,
                                                  NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED |
                                                      NPY_ARRAY_NOTSWAPPED | NPY_ARRAY_ENSUREARRAY,
                                                  NULL);
    if (array != NULL && PyArray_TYPE(array) == NPY_COMPLEX128)
        array = halve(array, object, who);
    if (array == NULL)
        return NULL;
    if (py_dtype_of(state, PyArray_DESCR(array), who, dtype) < 0)
        goto failed;
    if (PyArray_NDIM(array) > NNC_MAX_RANK) {
        PyErr_Format(PyExc_ValueError, "%s: an array has at most %d dimensions. Received: %d", who,
                     NNC_MAX_RANK, PyArray_NDIM(array));
        goto failed;
    }
    if ((*dtype == NNC_F64 || *dtype == NNC_I64) && !PyArray_Check(object) &&
        (only_python_numbers(object) || (PyList_Check(object) && PyArray_SIZE(array) == 0)) &&
        (*dtype == NNC_F64 || fits_int32(array)))
        return narrow(array, dtype);
    return array;
failed:
    Py_DECREF(array);
    return NULL;
}

/* May come from a thread without the GIL, or when the interpreter is gone. */
static void release_array(void *array)
{
    if (!Py_IsInitialized())
        return;
    PyGILState_STATE gil = PyGILState_Ensure();
    Py_DECREF((PyObject *)array);
    PyGILState_Release(gil);
}

bool py_array_is_ours(PyArrayObject *array)
{
    return Py_REFCNT((PyObject *)array) == 1 && PyArray_CHKFLAGS(array, NPY_ARRAY_OWNDATA) &&
        PyArray_BASE(array) == NULL;
}

nnc_tensor *py_tensor_from_array(py_state *state, PyArrayObject *array, nnc_dtype dtype,
                                 npy_intp copied)
{
    nnc_status status;
    nnc_tensor *tensor = NULL;
    nnc_shape shape = {.rank = PyArray_NDIM(array)};
    for (int i = 0; i < shape.rank; i++)
        shape.dim[i] = PyArray_DIM(array, i);
    if (PyArray_NBYTES(array) <= copied) {
        NNC_TRY(nnc_tensor_new(&shape, dtype, &tensor));
        memcpy(tensor->array.data, PyArray_DATA(array), (size_t)PyArray_NBYTES(array));
        return tensor;
    }
    NNC_TRY(nnc_tensor_wrap(PyArray_DATA(array), &shape, dtype, array, release_array, &tensor));
    Py_INCREF((PyObject *)array);
done:
    if (status != NNC_OK)
        py_raise(state, status);
    return tensor;
}

/* ---- numbers ---- */

static int does_not_fit(PyObject *number, nnc_dtype dtype)
{
    PyErr_Format(PyExc_OverflowError, "Python integer %R is out of bounds for %s", number,
                 nnc_dtype_name(dtype));
    return -1;
}

/* `number` (an int) into an integer of dtype at `target`. */
static int store_integer(PyObject *number, nnc_dtype dtype, void *target)
{
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow == 0 && value == -1 && PyErr_Occurred())
        return -1;
    if (dtype == NNC_U64) {
        unsigned long long whole = overflow < 0 || (overflow == 0 && value < 0)
            ? 0 : PyLong_AsUnsignedLongLong(number);
        if (PyErr_Occurred())
            PyErr_Clear();
        else if (overflow >= 0 && (overflow > 0 || value >= 0)) {
            memcpy(target, &whole, sizeof whole);
            return 0;
        }
        return does_not_fit(number, dtype);
    }
    int bits = 8 * (int)nnc_dtype_size(dtype);
    bool sign = nnc_dtype_kind(dtype) == NNC_KIND_INT;
    int64_t high = sign ? INT64_MAX >> (64 - bits) : (int64_t)((UINT64_C(1) << bits) - 1);
    int64_t low = sign ? -high - 1 : 0;
    if (overflow != 0 || value < low || value > high)
        return does_not_fit(number, dtype);
    int64_t whole = value;
    nnc_convert(&whole, NNC_I64, target, dtype, 1);
    return 0;
}

nnc_tensor *py_tensor_from_number(py_state *state, PyObject *object, nnc_dtype dtype)
{
    nnc_shape shape = {.rank = 0};
    nnc_tensor *tensor = NULL;
    nnc_kind kind = nnc_dtype_kind(dtype);
    nnc_status status = nnc_tensor_new(&shape, dtype, &tensor);
    if (status != NNC_OK) {
        py_raise(state, status);
        return NULL;
    }
    if (PyLong_Check(object) && (kind == NNC_KIND_INT || kind == NNC_KIND_UINT)) {
        if (store_integer(object, dtype, tensor->array.data) == 0)
            return tensor;
    } else if (PyComplex_Check(object) && kind == NNC_KIND_COMPLEX) {
        float parts[2] = {(float)PyComplex_RealAsDouble(object),
                          (float)PyComplex_ImagAsDouble(object)};
        memcpy(tensor->array.data, parts, sizeof parts);
        return tensor;
    } else {
        double value = PyFloat_AsDouble(object);
        if (value != -1 || !PyErr_Occurred()) {
            if (dtype == NNC_F32)
                *(float *)tensor->array.data = (float)value;
            else
                nnc_convert(&value, NNC_F64, tensor->array.data, dtype, 1);
            return tensor;
        }
    }
    nnc_tensor_release(tensor);
    return NULL;
}

PyObject *py_number(const nnc_array *array, int64_t i)
{
    const char *at = (const char *)array->data + i * nnc_dtype_size(array->dtype);
    double value;
    float parts[2];
    int64_t whole;
    switch (nnc_dtype_kind(array->dtype)) {
    case NNC_KIND_BOOL:
        return PyBool_FromLong(*at);
    case NNC_KIND_UINT:
        if (array->dtype == NNC_U64)
            return PyLong_FromUnsignedLongLong(*(const uint64_t *)(const void *)at);
        nnc_convert(at, array->dtype, &whole, NNC_I64, 1);
        return PyLong_FromLongLong(whole);
    case NNC_KIND_INT:
        nnc_convert(at, array->dtype, &whole, NNC_I64, 1);
        return PyLong_FromLongLong(whole);
    case NNC_KIND_COMPLEX:
        memcpy(parts, at, sizeof parts);
        return PyComplex_FromDoubles(parts[0], parts[1]);
    default:
        nnc_convert(at, array->dtype, &value, NNC_F64, 1);
        return PyFloat_FromDouble(value);
    }
}

/* ---- arrays out ---- */

/* Of the shape and dtype; over memory (NULL: its own). */
static PyObject *array_like(py_state *state, const nnc_array *like, void *data, int flags)
{
    npy_intp dims[NNC_MAX_RANK];
    PyArray_Descr *descr = py_descr(state, like->dtype);
    if (descr == NULL)
        return NULL;
    for (int i = 0; i < like->shape.rank; i++)
        dims[i] = (npy_intp)like->shape.dim[i];
    return PyArray_NewFromDescr(&PyArray_Type, descr, like->shape.rank, dims, NULL, data, flags,
                                NULL);          /* takes descr */
}

PyObject *py_new_array(py_state *state, const nnc_array *like)
{
    return array_like(state, like, NULL, 0);
}

PyObject *py_numpy(py_state *state, const nnc_array *array, PyObject *owner, bool copy)
{
    PyObject *result = array_like(state, array, copy ? NULL : array->data,
                                  copy ? 0 : NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED);
    if (result == NULL)
        return NULL;
    if (copy) {
        memcpy(PyArray_DATA((PyArrayObject *)result), array->data,
               (size_t)PyArray_NBYTES((PyArrayObject *)result));
        return result;
    }
    Py_INCREF(owner);
    if (PyArray_SetBaseObject((PyArrayObject *)result, owner) < 0)  /* takes owner */
        Py_CLEAR(result);
    return result;
}

PyObject *py_array_protocol(PyObject *array, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"dtype", "copy", NULL};
    PyArray_Descr *descr = NULL;
    PyObject *copy = Py_None, *result = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O&O:__array__", names, PyArray_DescrConverter2,
                                     &descr, &copy))
        goto done;
    bool same = descr == NULL || PyArray_EquivTypes(descr, PyArray_DESCR((PyArrayObject *)array));
    int must = copy == Py_None ? 0 : PyObject_IsTrue(copy);
    if (must < 0)
        goto done;
    if (!same && copy != Py_None && !must) {
        PyErr_SetString(PyExc_ValueError, "__array__: another dtype cannot be had without a copy");
        goto done;
    }
    if (!same) {
        result = PyArray_CastToType((PyArrayObject *)array, descr, 0);      /* takes descr */
        descr = NULL;
    } else if (must) {
        result = PyArray_NewCopy((PyArrayObject *)array, NPY_CORDER);
    } else {
        Py_INCREF(array);
        result = array;
    }
done:
    Py_XDECREF((PyObject *)descr);
    return result;
}
