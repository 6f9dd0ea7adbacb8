/* index.c - t[...]: integers, slices, None and Ellipsis become the ops slice and reshape; arrays of
 * integers, and masks as the arrays of their true places, become take.
 *
 * First every axis is cut by its slice or integer, then axes are dropped and added by one reshape.
 * k index arrays then pick from their k axes, which stand side by side or are brought to the front,
 * and which a reshape joins into one: with sizes n1 .. nk the place is (i1 n2 + i2) n3 + ... */
#include "python.h"

#include <string.h>

enum { MAX_ITEMS = 4 * NNC_MAX_RANK };

typedef enum { INTEGER, SLICE, NEW_AXIS, ELLIPSIS, INDEX } item_kind;

typedef struct {
    item_kind kind;
    PyObject *object;       /* a reference; an INDEX is a Tensor by then */
    int64_t masked;         /* INDEX: the size of the mask's axis that it comes from; else -1 */
} item;

typedef struct {
    py_state *state;
    PyObject *x;            /* a reference: what has been made so far */
    item items[MAX_ITEMS];
    int count;
} indexing;

/* ---- reading the key ---- */

/* Takes over `object`. */
static int push(indexing *w, item_kind kind, PyObject *object)
{
    if (object == NULL)
        return -1;
    if (w->count == MAX_ITEMS) {
        PyErr_SetString(PyExc_IndexError, "too many indices");
        Py_DECREF(object);
        return -1;
    }
    w->items[w->count++] = (item){.kind = kind, .object = object, .masked = -1};
    return 0;
}

/* A mask (an array) as one array of places for each of its axes. */
static int push_mask(indexing *w, PyArrayObject *mask)
{
    PyObject *places;
    int failed = 0;
    if (PyArray_NDIM(mask) == 0) {
        PyErr_SetString(PyExc_IndexError, "a single boolean is no index");
        return -1;
    }
    places = PyObject_CallMethod((PyObject *)mask, "nonzero", NULL);
    if (places == NULL)
        return -1;
    for (int i = 0; i < PyArray_NDIM(mask) && failed == 0; i++) {
        PyObject *place = PyTuple_GetItem(places, i);
        Py_XINCREF(place);
        failed = push(w, INDEX, place);
        if (failed == 0)
            w->items[w->count - 1].masked = PyArray_DIM(mask, i);
    }
    Py_DECREF(places);
    return failed;
}

/* An array, a list, or a concrete tensor that is not a single integer. */
static int push_array(indexing *w, PyObject *object)
{
    nnc_dtype dtype;
    PyArrayObject *array = py_array(w->state, object, "An index", &dtype);
    int failed = -1;
    if (array == NULL)
        return -1;
    nnc_kind of = nnc_dtype_kind(dtype);
    if (of == NNC_KIND_BOOL) {
        failed = push_mask(w, array);
    } else if (of == NNC_KIND_FLOAT && PyArray_SIZE(array) > 0) {
        PyErr_Format(PyExc_IndexError, "indices must be integers or booleans. Received: dtype=%s",
                     nnc_dtype_name(dtype));
    } else if (PyArray_NDIM(array) == 0) {
        failed = push(w, INTEGER, PyNumber_Index((PyObject *)array));
    } else {
        Py_INCREF((PyObject *)array);
        failed = push(w, INDEX, (PyObject *)array);
    }
    Py_DECREF(array);
    return failed;
}

static int push_item(indexing *w, PyObject *object)
{
    item_kind kind;
    if (py_is_tensor(w->state, object) && ((py_tensor *)object)->graph != NULL) {
        nnc_kind of = nnc_dtype_kind(py_tensor_array((py_tensor *)object)->dtype);
        if (of == NNC_KIND_BOOL) {
            py_trace_error(w->state, "A mask's number of elements");
            return -1;
        }
        kind = INDEX;
    } else if (object == Py_None) {
        kind = NEW_AXIS;
    } else if (object == Py_Ellipsis) {
        kind = ELLIPSIS;
    } else if (PySlice_Check(object)) {
        kind = SLICE;
    } else if (PyLong_Check(object) && !PyBool_Check(object)) {
        kind = INTEGER;
    } else {
        return push_array(w, object);
    }
    Py_INCREF(object);
    return push(w, kind, object);
}

/* The ellipsis, or else the end, becomes `missing` slices of everything. */
static void spread(indexing *w, int missing)
{
    item all[MAX_ITEMS];
    int count = 0;
    bool spread = false;
    for (int i = 0; i <= w->count; i++) {
        bool here = i == w->count ? !spread : w->items[i].kind == ELLIPSIS;
        for (int k = 0; k < missing && here; k++)
            all[count++] = (item){.kind = SLICE};
        spread |= here;
        if (i < w->count && w->items[i].kind != ELLIPSIS)
            all[count++] = w->items[i];
        else if (i < w->count)
            Py_DECREF(w->items[i].object);
    }
    memcpy(w->items, all, (size_t)count * sizeof all[0]);
    w->count = count;
}

/* Items for every axis. */
static int read_key(indexing *w, PyObject *key, int rank)
{
    bool many = PyTuple_Check(key);
    Py_ssize_t n = many ? PyTuple_Size(key) : 1;
    int ellipsis = -1, axes = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        if (push_item(w, many ? PyTuple_GetItem(key, i) : key) < 0)
            return -1;
    }
    for (int i = 0; i < w->count; i++) {
        if (w->items[i].kind == ELLIPSIS && ellipsis >= 0) {
            PyErr_SetString(PyExc_IndexError, "an index can have one ellipsis (...)");
            return -1;
        }
        ellipsis = w->items[i].kind == ELLIPSIS ? i : ellipsis;
        axes += w->items[i].kind != ELLIPSIS && w->items[i].kind != NEW_AXIS;
    }
    if (axes > rank || w->count + rank - axes > MAX_ITEMS) {
        PyErr_Format(PyExc_IndexError, "too many indices: a tensor of rank %d was indexed with %d",
                     rank, axes);
        return -1;
    }
    spread(w, rank - axes);
    return 0;
}

/* ---- slice and reshape ---- */

static int cut_axis(const item *it, int axis, int64_t size, int64_t *range, int rank)
{
    Py_ssize_t start = 0, stop = (Py_ssize_t)size, step = 1;
    if (it->kind == INTEGER) {
        start = PyNumber_AsSsize_t(it->object, PyExc_IndexError);
        if (start == -1 && PyErr_Occurred())
            return -1;
        if (start < -size || start >= size) {
            PyErr_Format(PyExc_IndexError, "index %zd is out of range for axis %d of size %lld",
                         start, axis, (long long)size);
            return -1;
        }
        start += start < 0 ? (Py_ssize_t)size : 0;
        stop = start + 1;
    } else if (it->kind == INDEX && it->masked >= 0 && it->masked != size) {
        PyErr_Format(PyExc_IndexError, "a mask must have the size of what it picks from: axis %d "
                     "has size %lld. Received: a mask of size %lld", axis, (long long)size,
                     (long long)it->masked);
        return -1;
    } else if (it->kind == SLICE && it->object != NULL) {
        if (PySlice_Unpack(it->object, &start, &stop, &step) < 0)
            return -1;
        PySlice_AdjustIndices((Py_ssize_t)size, &start, &stop, step);
    }
    range[axis] = start;
    range[rank + axis] = stop;
    range[2 * rank + axis] = step;
    return 0;
}

/* x becomes op(x); nothing if that failed. */
static int apply(indexing *w, nnc_op op, const nnc_attrs *attrs)
{
    PyObject *y = py_call1(w->state, op, attrs, w->x);
    py_replace(&w->x, y);
    return y == NULL ? -1 : 0;
}

static int cut(indexing *w)
{
    const nnc_shape shape = py_signature(w->state, w->x)->shape;
    nnc_attrs attrs = {.list_count = 3 * shape.rank};
    bool whole = true;
    int axis = 0;
    for (int i = 0; i < w->count; i++) {
        if (w->items[i].kind == NEW_AXIS)
            continue;
        if (cut_axis(&w->items[i], axis, shape.dim[axis], attrs.list, shape.rank) < 0)
            return -1;
        whole &= attrs.list[axis] == 0 && attrs.list[shape.rank + axis] == shape.dim[axis] &&
            attrs.list[2 * shape.rank + axis] == 1;
        axis++;
    }
    return whole ? 0 : apply(w, NNC_OP_slice, &attrs);
}

static int drop_and_add_axes(indexing *w)
{
    const nnc_shape shape = py_signature(w->state, w->x)->shape;
    nnc_attrs attrs = {0};
    bool same = true;
    int axis = 0;
    for (int i = 0; i < w->count; i++) {
        item_kind k = w->items[i].kind;
        same &= k != NEW_AXIS && k != INTEGER;
        if (k != INTEGER && attrs.list_count == NNC_MAX_RANK) {
            PyErr_Format(PyExc_ValueError, "a tensor has at most %d dimensions", NNC_MAX_RANK);
            return -1;
        }
        if (k != INTEGER)
            attrs.list[attrs.list_count++] = k == NEW_AXIS ? 1 : shape.dim[axis];
        axis += k != NEW_AXIS;
    }
    return same ? 0 : apply(w, NNC_OP_reshape, &attrs);
}

/* ---- take ---- */

/* Indices as 0 to n - 1: an array's are checked here, a symbolic tensor's when they are used. */
static PyObject *whole_index(py_state *state, PyObject *object, int axis, int64_t n)
{
    PyObject *index = NULL, *result = NULL;
    if (py_is_tensor(state, object)) {
        PyObject *size = PyLong_FromLongLong(n), *zero = PyLong_FromLong(0), *parts[3] = {NULL};
        nnc_attrs none = {0};
        if (size != NULL && zero != NULL) {
            parts[0] = py_call2(state, NNC_OP_less, object, zero);
            parts[1] = parts[0] == NULL ? NULL : py_call2(state, NNC_OP_add, object, size);
            parts[2] = object;
            if (parts[1] != NULL)
                index = py_call(state, NNC_OP_where, &none, parts, 3);
        }
        Py_XDECREF(parts[0]);
        Py_XDECREF(parts[1]);
        Py_XDECREF(size);
        Py_XDECREF(zero);
        result = index == NULL ? NULL : py_cast(state, index, NNC_I64);
        Py_XDECREF(index);
        return result;
    }
    PyArrayObject *places = (PyArrayObject *)PyArray_FROMANY(
        object, NPY_INT64, 0, 0, NPY_ARRAY_CARRAY | NPY_ARRAY_ENSURECOPY | NPY_ARRAY_FORCECAST);
    if (places == NULL)
        return NULL;
    int64_t *at = PyArray_DATA(places);
    for (npy_intp i = 0; i < PyArray_SIZE(places); i++) {
        if (at[i] < -n || at[i] >= n) {
            PyErr_Format(PyExc_IndexError, "index %lld is out of range for axis %d of size %lld",
                         (long long)at[i], axis, (long long)n);
            Py_DECREF(places);
            return NULL;
        }
        at[i] += at[i] < 0 ? n : 0;
    }
    result = py_convert(state, (PyObject *)places, NNC_DTYPE_COUNT, true);
    Py_DECREF(places);
    return result;
}

/* flat = flat * n + index; takes over both. */
static PyObject *join(py_state *state, PyObject *flat, int64_t n, PyObject *index)
{
    PyObject *size = PyLong_FromLongLong(n), *scaled = NULL, *sum = NULL;
    if (flat != NULL && index != NULL && size != NULL)
        scaled = py_call2(state, NNC_OP_multiply, flat, size);
    if (scaled != NULL)
        sum = py_call2(state, NNC_OP_add, scaled, index);
    Py_XDECREF(size);
    Py_XDECREF(scaled);
    Py_XDECREF(flat);
    Py_XDECREF(index);
    return sum;
}

/* Whether arrays, and integers among them, do not stand side by side: what they pick comes first
 * then, as in NumPy. */
static bool are_apart(const indexing *w)
{
    int begin = -1, end = -1;
    for (int i = 0; i < w->count; i++) {
        if (w->items[i].kind != INDEX && w->items[i].kind != INTEGER)
            continue;
        begin = begin < 0 ? i : begin;
        end = i;
    }
    for (int i = begin; i <= end && begin >= 0; i++) {
        if (w->items[i].kind != INDEX && w->items[i].kind != INTEGER)
            return true;
    }
    return false;
}

/* The axis (of x after the reshape) of each array, in order; how many axes x has. */
static int index_axes(const indexing *w, int *axes)
{
    int axis = 0, found = 0;
    for (int i = 0; i < w->count; i++) {
        if (w->items[i].kind == INDEX)
            axes[found++] = axis;
        axis += w->items[i].kind != INTEGER;
    }
    return axis;
}

/* Moves the axes that arrays pick from to the front. */
static int bring_forward(indexing *w, const int *axes, int count, int rank)
{
    nnc_attrs order = {.list_count = rank};
    bool moved[NNC_MAX_RANK] = {false};
    int at = 0;
    for (int k = 0; k < count; k++) {
        order.list[at++] = axes[k];
        moved[axes[k]] = true;
    }
    for (int d = 0; d < rank; d++) {
        if (!moved[d])
            order.list[at++] = d;
    }
    return apply(w, NNC_OP_transpose, &order);
}

static int take_indices(indexing *w)
{
    nnc_attrs joined = {0}, take = {0};
    PyObject *flat = NULL;
    int axes[MAX_ITEMS], count = 0, used = 0;
    for (int i = 0; i < w->count; i++)
        count += w->items[i].kind == INDEX;
    int rank = index_axes(w, axes), first = are_apart(w) ? 0 : axes[0], axis = first;
    if (are_apart(w) && bring_forward(w, axes, count, rank) < 0)
        return -1;
    const nnc_shape shape = py_signature(w->state, w->x)->shape;
    for (int i = 0; i < w->count; i++) {
        if (w->items[i].kind != INDEX)
            continue;
        PyObject *index = whole_index(w->state, w->items[i].object, axis, shape.dim[axis]);
        flat = used == 0 ? index : join(w->state, flat, shape.dim[axis], index);
        if (flat == NULL)
            return -1;
        used++;
        axis++;
    }
    for (int d = 0; d < shape.rank; d++) {
        if (d > first && d < first + used)
            joined.list[joined.list_count - 1] *= shape.dim[d];
        else
            joined.list[joined.list_count++] = shape.dim[d];
    }
    take.k[0] = first;
    if (used == 1 || apply(w, NNC_OP_reshape, &joined) == 0) {
        PyObject *both[2] = {w->x, flat}, *y = py_call(w->state, NNC_OP_take, &take, both, 2);
        py_replace(&w->x, y);
    }
    Py_DECREF(flat);
    return w->x == NULL ? -1 : 0;
}

PyObject *py_subscript(PyObject *x, PyObject *key)
{
    indexing w = {.state = py_state_of(x)};
    const nnc_array *array = py_signature(w.state, x);
    bool indexed = false;
    if (array == NULL)
        return NULL;
    Py_INCREF(x);
    w.x = x;
    int failed = read_key(&w, key, array->shape.rank);
    for (int i = 0; i < w.count; i++)
        indexed |= w.items[i].kind == INDEX;
    if (failed == 0 && cut(&w) == 0 && drop_and_add_axes(&w) == 0 && indexed)
        failed = take_indices(&w);
    for (int i = 0; i < w.count; i++)
        Py_XDECREF(w.items[i].object);
    if (PyErr_Occurred())
        Py_CLEAR(w.x);
    if (w.x == x && py_is_variable(w.state, x))         /* v[...]: its value */
        py_replace(&w.x, py_convert(w.state, x, NNC_DTYPE_COUNT, false));
    return w.x;
}

/* ---- as a sequence ---- */

Py_ssize_t py_length(PyObject *x)
{
    const nnc_array *array = py_signature(py_state_of(x), x);
    if (array == NULL)
        return -1;
    if (array->shape.rank == 0) {
        PyErr_SetString(PyExc_TypeError, "len() of a tensor of shape ()");
        return -1;
    }
    return (Py_ssize_t)array->shape.dim[0];
}

PyObject *py_item(PyObject *x, Py_ssize_t i)
{
    PyObject *index = PyLong_FromSsize_t(i);
    PyObject *result = index == NULL ? NULL : py_subscript(x, index);
    Py_XDECREF(index);
    return result;
}

PyObject *py_iter(PyObject *x)
{
    const nnc_array *array = py_signature(py_state_of(x), x);
    if (array == NULL)
        return NULL;
    if (array->shape.rank == 0) {
        PyErr_SetString(PyExc_TypeError, "iteration over a tensor of shape ()");
        return NULL;
    }
    return PySeqIter_New(x);
}
