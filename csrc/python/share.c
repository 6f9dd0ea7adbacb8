/* share.c - a tensor's memory for others, without a copy: the buffer protocol and DLPack.
 * Both are read-only where the protocol can say so, since a tensor is a value. DLPack's structures
 * are those of its specification, version 1.0 (https://dmlc.github.io/dlpack/latest/c_api.html). */
#include "python.h"

#include <string.h>

/* ---- the buffer protocol ---- */

static const char *const formats[NNC_DTYPE_COUNT] = {
    [NNC_BOOL] = "?", [NNC_U8] = "B", [NNC_U16] = "H", [NNC_U32] = "I", [NNC_U64] = "Q",
    [NNC_I8] = "b", [NNC_I16] = "h", [NNC_I32] = "i", [NNC_I64] = "q", [NNC_F16] = "e",
    [NNC_BF16] = NULL, [NNC_F32] = "f", [NNC_F64] = "d", [NNC_C64] = "Zf"};

static void fill_strides(const nnc_array *array, int64_t unit, int64_t *stride)
{
    for (int i = array->shape.rank - 1; i >= 0; i--) {
        stride[i] = unit;
        unit *= array->shape.dim[i];
    }
}

/* view->internal holds shape, then strides. */
int py_buffer_get(PyObject *self, Py_buffer *view, int flags)
{
    py_tensor *tensor = (py_tensor *)self;
    const nnc_array *array = py_tensor_array(tensor);
    view->obj = NULL;
    if (tensor->graph != NULL) {
        PyErr_SetString(PyExc_BufferError, "a symbolic tensor has no memory");
        return -1;
    }
    bool known = formats[py_tensor_dtype(tensor)] != NULL;
    if ((flags & PyBUF_WRITABLE) == PyBUF_WRITABLE || !known) {
        PyErr_Format(PyExc_BufferError, known
                     ? "a tensor's memory is read-only" : "bfloat16 has no buffer format");
        return -1;
    }
    Py_ssize_t *sizes = PyMem_Malloc(2 * NNC_MAX_RANK * sizeof *sizes);
    if (sizes == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    int64_t stride[NNC_MAX_RANK];
    fill_strides(array, nnc_dtype_size(array->dtype), stride);
    for (int i = 0; i < array->shape.rank; i++) {
        sizes[i] = (Py_ssize_t)array->shape.dim[i];
        sizes[NNC_MAX_RANK + i] = (Py_ssize_t)stride[i];
    }
    static char nothing[1];
    *view = (Py_buffer){.buf = array->data != NULL ? array->data : nothing,
                        .len = (Py_ssize_t)tensor->tensor->bytes,
                        .readonly = 1,
                        .itemsize = (Py_ssize_t)nnc_dtype_size(array->dtype),
                        .ndim = array->shape.rank,
                        .format = flags & PyBUF_FORMAT ? (char *)formats[array->dtype] : NULL,
                        .shape = flags & PyBUF_ND ? sizes : NULL,
                        .internal = sizes};
    if ((flags & PyBUF_STRIDES) == PyBUF_STRIDES)
        view->strides = sizes + NNC_MAX_RANK;
    Py_INCREF(self);
    view->obj = self;
    return 0;
}

void py_buffer_release(PyObject *self, Py_buffer *view)
{
    (void)self;
    PyMem_Free(view->internal);
}

/* ---- DLPack ---- */

typedef struct {
    int32_t type, id;
} device;

typedef struct {
    uint8_t code, bits;
    uint16_t lanes;
} data_type;

typedef struct {
    void *data;
    device device;
    int32_t ndim;
    data_type dtype;
    int64_t *shape, *strides;
    uint64_t byte_offset;
} dl_tensor;

typedef struct dl_managed {
    dl_tensor tensor;
    void *context;
    void (*deleter)(struct dl_managed *);
} dl_managed;

typedef struct dl_versioned {
    uint32_t major, minor;
    void *context;
    void (*deleter)(struct dl_versioned *);
    uint64_t flags;
    dl_tensor tensor;
} dl_versioned;

enum { DEVICE_CPU = 1, READ_ONLY = 1, IS_COPIED = 2 };

/* What a capsule points into. */
typedef struct {
    union {
        dl_managed managed;
        dl_versioned versioned;
    };
    nnc_tensor *owner;
    int64_t sizes[2 * NNC_MAX_RANK];
} export;

/* The consumer may have no GIL; the core's release takes it where it is needed. */
static void delete_export(export *e)
{
    nnc_tensor_release(e->owner);
    nnc_free(e);
}

static void delete_managed(dl_managed *managed)
{
    delete_export((export *)managed->context);
}

static void delete_versioned(dl_versioned *versioned)
{
    delete_export((export *)versioned->context);
}

/* A capsule that nobody took (it would have another name by then). */
static void delete_capsule(PyObject *capsule)
{
    export *e = NULL;
    if (PyCapsule_IsValid(capsule, "dltensor"))
        e = PyCapsule_GetPointer(capsule, "dltensor");
    else if (PyCapsule_IsValid(capsule, "dltensor_versioned"))
        e = PyCapsule_GetPointer(capsule, "dltensor_versioned");
    if (e != NULL)
        delete_export(e);
}

static data_type dl_type(nnc_dtype dtype)
{
    static const uint8_t codes[] = {[NNC_KIND_BOOL] = 6, [NNC_KIND_UINT] = 1, [NNC_KIND_INT] = 0,
                                    [NNC_KIND_FLOAT] = 2, [NNC_KIND_COMPLEX] = 5};
    return (data_type){.code = dtype == NNC_BF16 ? 4 : codes[nnc_dtype_kind(dtype)],
                       .bits = (uint8_t)(8 * nnc_dtype_size(dtype)), .lanes = 1};
}

static void describe(export *e, dl_tensor *out)
{
    const nnc_array *array = &e->owner->array;
    for (int i = 0; i < array->shape.rank; i++)
        e->sizes[i] = array->shape.dim[i];
    fill_strides(array, 1, e->sizes + NNC_MAX_RANK);
    *out = (dl_tensor){.data = array->data, .device = {DEVICE_CPU, 0}, .ndim = array->shape.rank,
                       .dtype = dl_type(array->dtype), .shape = e->sizes,
                       .strides = e->sizes + NNC_MAX_RANK};
}

/* Takes over the tensor. */
static PyObject *export_tensor(py_state *state, nnc_tensor *tensor, bool versioned, bool copied)
{
    export *e = NULL;
    nnc_status status = nnc_alloc_zero(sizeof *e, &e);
    if (status != NNC_OK) {
        nnc_tensor_release(tensor);
        return py_raise(state, status);
    }
    e->owner = tensor;
    if (versioned) {
        e->versioned = (dl_versioned){.major = 1, .context = e, .deleter = delete_versioned,
                                      .flags = copied ? IS_COPIED : READ_ONLY};
        describe(e, &e->versioned.tensor);
    } else {
        e->managed = (dl_managed){.context = e, .deleter = delete_managed};
        describe(e, &e->managed.tensor);
    }
    PyObject *capsule =
        PyCapsule_New(e, versioned ? "dltensor_versioned" : "dltensor", delete_capsule);
    if (capsule == NULL)
        delete_export(e);
    return capsule;
}

/* __dlpack__(*, stream=None, max_version=None, dl_device=None, copy=None) */
PyObject *py_dlpack(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"stream", "max_version", "dl_device", "copy", NULL};
    py_state *state = py_state_of(self);
    py_tensor *tensor = (py_tensor *)self;
    PyObject *stream = Py_None, *version = Py_None, *where = Py_None, *copy = Py_None;
    int major = 0, minor = 0, type = DEVICE_CPU, id = 0;
    nnc_tensor *exported = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$OOOO:__dlpack__", names, &stream, &version,
                                     &where, &copy))
        return NULL;
    if (version != Py_None && !PyArg_ParseTuple(version, "ii:max_version", &major, &minor))
        return NULL;
    if (where != Py_None && !PyArg_ParseTuple(where, "ii:dl_device", &type, &id))
        return NULL;
    if (stream != Py_None || type != DEVICE_CPU || id != 0) {
        PyErr_SetString(PyExc_BufferError,
                        "__dlpack__: tensors lie in main memory: `stream` must be None and "
                        "`dl_device` (1, 0)");
        return NULL;
    }
    if (tensor->graph != NULL)
        return py_trace_error(state, "`__dlpack__`");
    int must = copy == Py_None ? 0 : PyObject_IsTrue(copy);
    if (must < 0)
        return NULL;
    nnc_tensor *shown = py_tensor_shown(state, tensor);
    if (shown == NULL)
        return NULL;
    if (!must) {
        exported = nnc_tensor_retain(shown);
    } else {
        nnc_status status = nnc_tensor_copy(shown, &exported);
        if (status != NNC_OK)
            return py_raise(state, status);
    }
    return export_tensor(state, exported, major >= 1, must);
}

PyObject *py_dlpack_device(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    return Py_BuildValue("(ii)", DEVICE_CPU, 0);
}
