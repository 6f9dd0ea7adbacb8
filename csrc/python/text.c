/* text.c - core/text.h for Python. A text is three arrays: bytes (uint8), begin and end (int64), as
 * pack_strings makes them of an array of str or bytes. What is passed is checked: nothing is read
 * outside of the arrays. */
#include "python.h"

#include "core/text.h"

#include <string.h>

/* ---- arrays in and out ---- */

/* Borrowed: a contiguous array of one axis (or any number, if rank < 0) of a type. */
static PyArrayObject *checked(PyObject *object, int type, int rank, const char *who)
{
    PyArrayObject *array = (PyArrayObject *)object;
    if (!PyArray_Check(object) || PyArray_TYPE(array) != type ||
        !(PyArray_FLAGS(array) & NPY_ARRAY_C_CONTIGUOUS) ||
        !(PyArray_FLAGS(array) & NPY_ARRAY_ALIGNED) || PyArray_DESCR(array)->byteorder == '>' ||
        (rank >= 0 && PyArray_NDIM(array) != rank)) {
        PyErr_Format(PyExc_TypeError, "%s: expected contiguous arrays of uint8 (bytes) and int64",
                     who);
        return NULL;
    }
    return array;
}

static int64_t *int64s(PyObject *object, int64_t *count, const char *who)
{
    PyArrayObject *array = checked(object, NPY_INT64, -1, who);
    if (array == NULL)
        return NULL;
    *count = PyArray_SIZE(array);
    return PyArray_DATA(array);
}

static int take_text(PyObject *bytes, PyObject *begin, PyObject *end, const char *who,
                     nnc_text *out)
{
    int64_t ends;
    PyArrayObject *block = checked(bytes, NPY_UINT8, 1, who);
    if (block == NULL)
        return -1;
    out->begin = int64s(begin, &out->count, who);
    if (out->begin == NULL)
        return -1;
    out->end = int64s(end, &ends, who);
    if (out->end == NULL)
        return -1;
    out->bytes = PyArray_DATA(block);
    if (ends != out->count || !nnc_text_valid(out, PyArray_SIZE(block))) {
        PyErr_Format(PyExc_ValueError, "%s: a string lies outside of the bytes", who);
        return -1;
    }
    return 0;
}

static PyObject *new_array(int64_t n, int type)
{
    npy_intp dims[1] = {n};
    return PyArray_SimpleNew(1, dims, type);
}

static void *data_of(PyObject *array)
{
    return PyArray_DATA((PyArrayObject *)array);
}

/* (first, second, third), which are taken; NULL if one of them is. third may be no argument. */
static PyObject *triple(PyObject *first, PyObject *second, PyObject *third)
{
    PyObject *tuple = first != NULL && second != NULL && third != NULL
        ? PyTuple_Pack(3, first, second, third) : NULL;
    Py_XDECREF(first);
    Py_XDECREF(second);
    Py_XDECREF(third);
    return tuple;
}

/* ---- strings of NumPy and Python ---- */

/* The bytes of one element of an object array, which are its own. */
static int string_of(PyObject *item, int64_t at, const char **bytes, Py_ssize_t *size)
{
    char *block;
    if (PyUnicode_Check(item)) {
        *bytes = PyUnicode_AsUTF8AndSize(item, size);
        return *bytes == NULL ? -1 : 0;
    }
    if (PyBytes_Check(item)) {
        if (PyBytes_AsStringAndSize(item, &block, size) < 0)
            return -1;
        *bytes = block;
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "expected strings (str or bytes). Received: %R (of %R) as "
                 "element %lld", item, Py_TYPE(item), (long long)at);
    return -1;
}

/* Each object is looked at once: it lies anywhere in memory. */
static PyObject *pack_objects(PyArrayObject *array)
{
    enum { AHEAD = 16 };
    int64_t n = PyArray_SIZE(array), total = 0, room = 0, need;
    PyObject **items = PyArray_DATA(array), *bytes = NULL;
    PyObject *begin = new_array(n, NPY_INT64), *end = new_array(n, NPY_INT64);
    char *block = NULL;
    const char *from;
    Py_ssize_t size;
    if (begin == NULL || end == NULL)
        goto done;
    int64_t *first = data_of(begin), *last = data_of(end);
    for (int64_t i = 0; i < n; i++) {
        if (i + AHEAD < n)
            __builtin_prefetch(items[i + AHEAD]);
        if (string_of(items[i] == NULL ? Py_None : items[i], i, &from, &size) < 0)
            goto done;
        if (nnc_size_add(total, size, &need) != NNC_OK ||
            nnc_grow(&block, &room, need, 1) != NNC_OK) {
            PyErr_NoMemory();
            goto done;
        }
        if (size > 0)
            memcpy(block + total, from, (size_t)size);
        first[i] = total;
        last[i] = total = need;
    }
    bytes = new_array(total, NPY_UINT8);
    if (bytes != NULL && total > 0)
        memcpy(data_of(bytes), block, (size_t)total);
done:
    nnc_free(block);
    return triple(bytes, begin, end);
}

static PyObject *pack_codes(PyArrayObject *array)
{
    int64_t n = PyArray_SIZE(array), width = PyArray_ITEMSIZE(array) / 4;
    const uint32_t *codes = PyArray_DATA(array);
    PyObject *bytes = NULL, *begin = new_array(n, NPY_INT64), *end = new_array(n, NPY_INT64);
    if (begin == NULL || end == NULL)
        goto done;
    int64_t size = nnc_text_encode(codes, n, width, NULL, NULL, NULL);
    if (size < 0) {
        PyErr_Format(PyExc_ValueError, "expected strings that UTF-8 can hold. Received: a lone "
                     "surrogate in element %lld", (long long)(-1 - size));
        goto done;
    }
    bytes = new_array(size, NPY_UINT8);
    if (bytes != NULL)
        nnc_text_encode(codes, n, width, data_of(bytes), data_of(begin), data_of(end));
done:
    return triple(bytes, begin, end);
}

static PyObject *pack_bytes(PyArrayObject *array)
{
    int64_t n = PyArray_SIZE(array), width = PyArray_ITEMSIZE(array);
    const char *from = PyArray_DATA(array);
    PyObject *bytes = new_array(n * width, NPY_UINT8), *begin = new_array(n, NPY_INT64);
    PyObject *end = new_array(n, NPY_INT64);
    if (bytes != NULL && begin != NULL && end != NULL) {
        int64_t *first = data_of(begin), *last = data_of(end);
        if (n * width > 0)
            memcpy(data_of(bytes), from, (size_t)(n * width));
        for (int64_t i = 0; i < n; i++) {
            int64_t size = width;
            while (size > 0 && from[i * width + size - 1] == 0)
                size--;
            first[i] = i * width;
            last[i] = i * width + size;
        }
    }
    return triple(bytes, begin, end);
}

static PyObject *pack_strings(PyObject *module, PyObject *object)
{
    PyArrayObject *array = (PyArrayObject *)object;
    (void)module;
    if (!PyArray_Check(object) || !(PyArray_FLAGS(array) & NPY_ARRAY_C_CONTIGUOUS) ||
        !(PyArray_FLAGS(array) & NPY_ARRAY_ALIGNED) || PyArray_DESCR(array)->byteorder == '>') {
        PyErr_SetString(PyExc_TypeError, "pack_strings: expected a contiguous array");
        return NULL;
    }
    switch (PyArray_TYPE(array)) {
    case NPY_OBJECT:
        return pack_objects(array);
    case NPY_UNICODE:
        return pack_codes(array);
    case NPY_STRING:
        return pack_bytes(array);
    default:
        PyErr_SetString(PyExc_TypeError, "pack_strings: expected an array of str, bytes or objects");
        return NULL;
    }
}

/* ---- hashes ---- */

/* None, or two whole numbers into key; the pointer to pass on through *out. */
static int take_key(PyObject *object, uint64_t key[2], const uint64_t **out)
{
    *out = NULL;
    if (object == Py_None)
        return 0;
    for (int i = 0; i < 2; i++) {
        PyObject *number = PySequence_GetItem(object, i);
        if (number == NULL)
            return -1;
        key[i] = PyLong_AsUnsignedLongLongMask(number);
        Py_DECREF(number);
        if (key[i] == (uint64_t)-1 && PyErr_Occurred())
            return -1;
    }
    *out = key;
    return 0;
}

static PyObject *hash_strings(PyObject *module, PyObject *args)
{
    PyObject *bytes, *begin, *end, *key_object, *out;
    unsigned long long bins;
    uint64_t key[2];
    const uint64_t *use;
    nnc_text text;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOKO:hash_strings", &bytes, &begin, &end, &bins, &key_object) ||
        take_text(bytes, begin, end, "hash_strings", &text) < 0 ||
        take_key(key_object, key, &use) < 0)
        return NULL;
    out = new_array(text.count, NPY_INT64);
    if (out != NULL) {
        Py_BEGIN_ALLOW_THREADS
        nnc_text_hash(&text, use, bins, data_of(out));
        Py_END_ALLOW_THREADS
    }
    return out;
}

static PyObject *hash_integers(PyObject *module, PyObject *args)
{
    PyObject *x, *key_object, *out;
    unsigned long long bins;
    uint64_t key[2];
    const uint64_t *use;
    int64_t n, *data;
    (void)module;
    if (!PyArg_ParseTuple(args, "OKO:hash_integers", &x, &bins, &key_object) ||
        take_key(key_object, key, &use) < 0 || (data = int64s(x, &n, "hash_integers")) == NULL)
        return NULL;
    out = new_array(n, NPY_INT64);
    if (out != NULL) {
        Py_BEGIN_ALLOW_THREADS
        nnc_integers_hash(data, n, use, bins, data_of(out));
        Py_END_ALLOW_THREADS
    }
    return out;
}

static PyObject *cross_integers(PyObject *module, PyObject *args)
{
    PyObject *x, *out;
    unsigned long long bins;
    (void)module;
    if (!PyArg_ParseTuple(args, "OK:cross_integers", &x, &bins))
        return NULL;
    PyArrayObject *array = checked(x, NPY_INT64, 2, "cross_integers");
    if (array == NULL)
        return NULL;
    if (bins == 0) {
        PyErr_SetString(PyExc_ValueError, "cross_integers: expected bins > 0. Received: bins=0");
        return NULL;
    }
    out = new_array(PyArray_DIM(array, 1), NPY_INT64);
    if (out != NULL) {
        Py_BEGIN_ALLOW_THREADS
        nnc_integers_cross(PyArray_DATA(array), PyArray_DIM(array, 0), PyArray_DIM(array, 1), bins,
                           data_of(out));
        Py_END_ALLOW_THREADS
    }
    return out;
}

/* ---- taking text apart ---- */

static PyObject *standardize_text(PyObject *module, PyObject *args)
{
    PyObject *bytes, *begin, *end;
    int how;
    int64_t size;
    nnc_text text;
    if (!PyArg_ParseTuple(args, "OOOi:standardize_text", &bytes, &begin, &end, &how) ||
        take_text(bytes, begin, end, "standardize_text", &text) < 0)
        return NULL;
    nnc_status status = nnc_text_size(&text, &size);
    if (status != NNC_OK)
        return py_raise(PyModule_GetState(module), status);
    PyObject *to = new_array(size, NPY_UINT8), *first = new_array(text.count, NPY_INT64);
    PyObject *last = new_array(text.count, NPY_INT64);
    if (to != NULL && first != NULL && last != NULL) {
        Py_BEGIN_ALLOW_THREADS
        nnc_text_standardize(&text, how, data_of(to), data_of(first), data_of(last));
        Py_END_ALLOW_THREADS
    }
    return triple(to, first, last);
}

/* The array without its last element, or NULL if it is NULL. */
static PyObject *but_last(PyObject *array)
{
    return array == NULL ? NULL
                         : PySequence_GetSlice(array, 0, PyArray_SIZE((PyArrayObject *)array) - 1);
}

static PyObject *split_text(PyObject *module, PyObject *args)
{
    PyObject *bytes, *begin, *end, *first = NULL, *last = NULL;
    int characters;
    nnc_text text;
    if (!PyArg_ParseTuple(args, "OOOp:split_text", &bytes, &begin, &end, &characters) ||
        take_text(bytes, begin, end, "split_text", &text) < 0)
        return NULL;
    PyObject *row = new_array(text.count + 1, NPY_INT64);
    if (row == NULL)
        return NULL;
    int64_t *rows = data_of(row);
    nnc_status status = nnc_text_split(&text, characters, rows, NULL, NULL);
    if (status != NNC_OK) {
        Py_DECREF(row);
        return py_raise(PyModule_GetState(module), status);
    }
    first = new_array(rows[text.count] + 1, NPY_INT64);
    last = new_array(rows[text.count] + 1, NPY_INT64);
    if (first != NULL && last != NULL)
        nnc_text_split(&text, characters, rows, data_of(first), data_of(last));
    py_replace(&first, but_last(first));
    py_replace(&last, but_last(last));
    return triple(row, first, last);
}

/* The rows of tokens: rising, from 0 to how many tokens there are. */
static int take_rows(PyObject *object, int64_t count, const char *who, int64_t **rows, int64_t *n)
{
    *rows = int64s(object, n, who);
    if (*rows == NULL)
        return -1;
    bool bad = *n < 1 || (*rows)[0] != 0 || (*rows)[*n - 1] != count;
    for (int64_t i = 1; !bad && i < *n; i++)
        bad = (*rows)[i] < (*rows)[i - 1];
    if (bad) {
        PyErr_Format(PyExc_ValueError, "%s: the rows do not fit the tokens", who);
        return -1;
    }
    --*n;
    return 0;
}

static PyObject *ngram_text(PyObject *module, PyObject *args)
{
    PyObject *bytes, *begin, *end, *row, *width, *to = NULL, *first = NULL, *last = NULL;
    int64_t *rows, *widths, n, width_count, size;
    nnc_text text;
    if (!PyArg_ParseTuple(args, "OOOOO:ngram_text", &bytes, &begin, &end, &row, &width) ||
        take_text(bytes, begin, end, "ngram_text", &text) < 0 ||
        take_rows(row, text.count, "ngram_text", &rows, &n) < 0 ||
        (widths = int64s(width, &width_count, "ngram_text")) == NULL)
        return NULL;
    for (int64_t i = 0; i < width_count; i++) {
        if (widths[i] < 1 || width_count > 1000000) {
            PyErr_SetString(PyExc_ValueError, "ngram_text: expected widths >= 1");
            return NULL;
        }
    }
    PyObject *out = new_array(n + 1, NPY_INT64), *text_of = NULL, *result = NULL;
    if (out == NULL)
        return NULL;
    int64_t *out_rows = data_of(out);
    nnc_status status = nnc_text_ngrams(&text, rows, n, widths, (int)width_count, out_rows, &size,
                                        NULL, NULL, NULL);
    if (status != NNC_OK) {
        py_raise(PyModule_GetState(module), status);
        goto done;
    }
    to = new_array(size, NPY_UINT8);
    first = new_array(out_rows[n], NPY_INT64);
    last = new_array(out_rows[n], NPY_INT64);
    if (to != NULL && first != NULL && last != NULL)
        nnc_text_ngrams(&text, rows, n, widths, (int)width_count, out_rows, &size, data_of(to),
                        data_of(first), data_of(last));
    text_of = triple(to, first, last);
    result = text_of == NULL ? NULL : PyTuple_Pack(2, out, text_of);
done:
    Py_DECREF(out);
    Py_XDECREF(text_of);
    return result;
}

static PyObject *pad_rows(PyObject *module, PyObject *args)
{
    PyObject *id, *row, *out = NULL;
    int64_t *ids, *rows, count, n, size;
    long long width, fill;
    if (!PyArg_ParseTuple(args, "OOLL:pad_rows", &id, &row, &width, &fill) ||
        (ids = int64s(id, &count, "pad_rows")) == NULL ||
        take_rows(row, count, "pad_rows", &rows, &n) < 0)
        return NULL;
    if (width < 0) {
        PyErr_SetString(PyExc_ValueError, "pad_rows: expected width >= 0");
        return NULL;
    }
    nnc_status status = nnc_size_mul(n, width, &size);
    if (status != NNC_OK)
        return py_raise(PyModule_GetState(module), status);
    npy_intp dims[2] = {n, width};
    out = PyArray_SimpleNew(2, dims, NPY_INT64);
    if (out != NULL)
        nnc_rows_pad(ids, rows, n, width, fill, data_of(out));
    return out;
}

/* ---- StringTable ---- */

typedef struct {
    PyObject_HEAD
    nnc_table table;
} py_table;

static PyObject *table_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_Size(args) != 0 || kwargs != NULL) {
        PyErr_SetString(PyExc_TypeError, "StringTable takes no arguments");
        return NULL;
    }
    allocfunc allocate = PyType_GetSlot(type, Py_tp_alloc);
    return allocate(type, 0);           /* of zeros: an empty table */
}

static void table_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = PyType_GetSlot(type, Py_tp_free);
    nnc_table_clear(&((py_table *)self)->table);
    release(self);
    Py_DECREF(type);
}

static PyObject *numbers(PyObject *self, PyObject *args, bool add)
{
    PyObject *bytes, *begin, *end;
    nnc_table *table = &((py_table *)self)->table;
    nnc_text text;
    nnc_status status = NNC_OK;
    const char *who = add ? "StringTable.add" : "StringTable.find";
    if (!PyArg_ParseTuple(args, "OOO", &bytes, &begin, &end) ||
        take_text(bytes, begin, end, who, &text) < 0)
        return NULL;
    PyObject *id = new_array(text.count, NPY_INT64);
    if (id == NULL)
        return NULL;
    if (add)                            /* with the GIL: the table changes */
        status = nnc_table_add(table, &text, data_of(id));
    else
        nnc_table_find(table, &text, data_of(id));
    if (status != NNC_OK) {
        Py_DECREF(id);
        return py_raise(PyType_GetModuleState(Py_TYPE(self)), status);
    }
    return id;
}

static PyObject *table_add(PyObject *self, PyObject *args)
{
    return numbers(self, args, true);
}

static PyObject *table_find(PyObject *self, PyObject *args)
{
    return numbers(self, args, false);
}

static PyObject *table_keys(PyObject *self, PyObject *unused)
{
    const nnc_table *table = &((py_table *)self)->table;
    (void)unused;
    PyObject *list = PyList_New(table->count);
    for (int64_t i = 0; list != NULL && i < table->count; i++) {
        const nnc_table_entry *entry = &table->entry[i];
        int64_t n = entry->end - entry->begin;
        PyObject *key = PyBytes_FromStringAndSize(n > 0 ? table->bytes + entry->begin : "", n);
        if (key == NULL)
            Py_CLEAR(list);
        else
            PyList_SetItem(list, i, key);
    }
    return list;
}

static Py_ssize_t table_length(PyObject *self)
{
    return ((py_table *)self)->table.count;
}

static PyMethodDef table_methods[] = {
    {"add", table_add, METH_VARARGS,
     "add(bytes, begin, end): the number of each string, int64; new ones get the next."},
    {"find", table_find, METH_VARARGS, "find(bytes, begin, end): the number of each, or -1."},
    {"keys", table_keys, METH_NOARGS, "The strings as a list of bytes, by their numbers."},
    {NULL, NULL, 0, NULL}};
static PyType_Slot table_slots[] = {{Py_tp_new, table_new},
                                    {Py_tp_dealloc, table_dealloc},
                                    {Py_tp_methods, table_methods},
                                    {Py_mp_length, table_length},
                                    {Py_tp_doc, "Distinct strings, numbered as they come."},
                                    {0, NULL}};
static PyType_Spec table_spec = {.name = "nnc._core.StringTable", .basicsize = sizeof(py_table),
                                 .flags = Py_TPFLAGS_DEFAULT, .slots = table_slots};

/* ---- the module ---- */

static PyMethodDef functions[] = {
    {"pack_strings", pack_strings, METH_O,
     "pack_strings(array): (bytes, begin, end) of an array of str, bytes or objects."},
    {"hash_strings", hash_strings, METH_VARARGS,
     "hash_strings(bytes, begin, end, bins, key): FarmHash, or SipHash with a key, modulo bins; "
     "bins = 0: all bits."},
    {"hash_integers", hash_integers, METH_VARARGS,
     "hash_integers(x, bins, key): the same of the decimal digits of whole numbers."},
    {"cross_integers", cross_integers, METH_VARARGS,
     "cross_integers(x, bins): the hash of each column of x (k, n)."},
    {"standardize_text", standardize_text, METH_VARARGS,
     "standardize_text(bytes, begin, end, how): 1 small letters, 2 no punctuation, 3 both."},
    {"split_text", split_text, METH_VARARGS,
     "split_text(bytes, begin, end, characters): (row, begin, end) of words or characters."},
    {"pad_rows", pad_rows, METH_VARARGS,
     "pad_rows(ids, row, width, fill): rows of one length, cut or filled."},
    {"ngram_text", ngram_text, METH_VARARGS,
     "ngram_text(bytes, begin, end, row, widths): (row, (bytes, begin, end))."},
    {NULL, NULL, 0, NULL}};

int py_text_add(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &table_spec, NULL);
    if (type == NULL)
        return -1;
    int failed = PyModule_AddObjectRef(module, "StringTable", type);
    Py_DECREF(type);
    return failed < 0 ? -1 : PyModule_AddFunctions(module, functions);
}
