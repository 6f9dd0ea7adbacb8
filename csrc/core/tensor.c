/* tensor.c - dtypes and how they promote, shapes, counted storage, and numbers that are none.
 * A tensor of our own is one block: the struct, filled up to cache lines, then the data. */
#include "core/tensor.h"

#include <stdio.h>
#include <string.h>

/* ---- dtypes ---- */

static const struct {
    const char *name;
    int64_t bytes;
    nnc_kind kind;
} dtypes[NNC_DTYPE_COUNT] = {
#define ROW(name, text, bytes, kind) [NNC_##name] = {text, bytes, kind},
    NNC_DTYPES(ROW)
#undef ROW
};

int64_t nnc_dtype_size(nnc_dtype dtype)
{
    return dtypes[dtype].bytes;
}

nnc_kind nnc_dtype_kind(nnc_dtype dtype)
{
    return dtypes[dtype].kind;
}

bool nnc_dtype_differentiable(nnc_dtype dtype)
{
    return dtypes[dtype].kind >= NNC_KIND_FLOAT;
}

const char *nnc_dtype_name(nnc_dtype dtype)
{
    return dtypes[dtype].name;
}

bool nnc_dtype_parse(const char *name, nnc_dtype *out)
{
    for (int i = 0; i < NNC_DTYPE_COUNT; i++) {
        if (dtypes[i].name[0] == name[0] && strcmp(dtypes[i].name, name) == 0) {
            *out = (nnc_dtype)i;
            return true;
        }
    }
    return false;
}

/* The least type above both in JAX's lattice:
 *     bool -> uint8 -> uint16 -> uint32 -> uint64 -+
 *        \      \         \         \              +-> float16, bfloat16 -> float32 -> float64
 *         int8 -> int16 ---> int32 ---> int64 -----+                            below complex64
 * Above uint64 and a signed type lies only "a float", which Keras takes as float32; above float16
 * and bfloat16 lies float32. Keras makes uint32 of every uint64 result; that would lose the upper
 * half, so uint64 stays here. */
nnc_dtype nnc_dtype_promote(nnc_dtype a, nnc_dtype b)
{
    nnc_kind kind_a = dtypes[a].kind, kind_b = dtypes[b].kind;
    if (kind_a > kind_b || (kind_a == kind_b && a > b))
        return nnc_dtype_promote(b, a);
    if ((a == NNC_F16 && b == NNC_BF16) || (b == NNC_F16 && a == NNC_BF16))
        return NNC_F32;
    if (kind_a == NNC_KIND_UINT && kind_b == NNC_KIND_INT) {
        if (a == NNC_U64)
            return NNC_F32;
        nnc_dtype above = (nnc_dtype)(a - NNC_U8 + NNC_I16);
        return b > above ? b : above;
    }
    return b;
}

/* ---- shapes ---- */

int64_t nnc_shape_size(const nnc_shape *shape)
{
    int64_t size = 1;
    bool none = false;
    for (int i = 0; i < shape->rank; i++) {     /* also (2^62, 2^62, 0) cannot be held */
        if (shape->dim[i] == 0)
            none = true;
        else if (__builtin_mul_overflow(size, shape->dim[i], &size))
            return -1;
    }
    return none ? 0 : size;
}

nnc_status nnc_shape_bytes(const nnc_shape *shape, nnc_dtype dtype, int64_t *out)
{
    char text[NNC_SHAPE_TEXT];
    int64_t size = nnc_shape_size(shape), bytes;
    if (size < 0 || __builtin_mul_overflow(size, dtypes[dtype].bytes, &bytes))
        return nnc_fail(NNC_ENOMEM, "shape %s of %s is too large to be held",
                        nnc_shape_text(shape, text), dtypes[dtype].name);
    *out = bytes;
    return NNC_OK;
}

bool nnc_shape_equal(const nnc_shape *a, const nnc_shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++) {
        if (a->dim[i] != b->dim[i])
            return false;
    }
    return true;
}

bool nnc_shape_broadcast(const nnc_shape *a, const nnc_shape *b, nnc_shape *out)
{
    nnc_shape shape = {.rank = a->rank > b->rank ? a->rank : b->rank};
    if (shape.rank > NNC_MAX_RANK)
        return false;
    for (int i = 0; i < shape.rank; i++) {
        int ia = i - (shape.rank - a->rank), ib = i - (shape.rank - b->rank);
        int64_t p = ia < 0 ? 1 : a->dim[ia], q = ib < 0 ? 1 : b->dim[ib];
        if (p != q && p != 1 && q != 1)
            return false;
        shape.dim[i] = p == 1 ? q : p;
    }
    *out = shape;
    return true;
}

char *nnc_shape_text(const nnc_shape *shape, char text[NNC_SHAPE_TEXT])
{
    int at = snprintf(text, NNC_SHAPE_TEXT, "(");
    for (int i = 0; i < shape->rank; i++)       /* 8 numbers of 20 digits fit */
        at += snprintf(text + at, (size_t)(NNC_SHAPE_TEXT - at), "%s%lld", i > 0 ? ", " : "",
                       (long long)shape->dim[i]);
    snprintf(text + at, (size_t)(NNC_SHAPE_TEXT - at), shape->rank == 1 ? ",)" : ")");
    return text;
}

/* ---- storage ---- */

enum { HEAD_BYTES = (sizeof(nnc_tensor) + 63) / 64 * 64 };

static nnc_status check_shape(const nnc_shape *shape, nnc_dtype dtype, int64_t *bytes)
{
    char text[NNC_SHAPE_TEXT];
    if ((unsigned)dtype >= NNC_DTYPE_COUNT)
        return nnc_fail(NNC_ETYPE, "unknown dtype: %d", (int)dtype);
    if (shape->rank < 0 || shape->rank > NNC_MAX_RANK)
        return nnc_fail(NNC_EVALUE, "a tensor has 0 to %d axes, received %d", NNC_MAX_RANK,
                        shape->rank);
    for (int i = 0; i < shape->rank; i++) {
        if (shape->dim[i] < 0)
            return nnc_fail(NNC_EVALUE, "negative size in shape %s", nnc_shape_text(shape, text));
    }
    return nnc_shape_bytes(shape, dtype, bytes);
}

static nnc_tensor *init(void *block, void *data, const nnc_shape *shape, nnc_dtype dtype,
                        int64_t bytes)
{
    nnc_tensor *tensor = block;
    tensor->array = (nnc_array){data, dtype, *shape};
    tensor->bytes = bytes;
    atomic_init(&tensor->references, 1);
    tensor->owner = NULL;
    tensor->release_owner = NULL;
    return tensor;
}

static nnc_status make(const nnc_shape *shape, nnc_dtype dtype,
                       nnc_status (*alloc)(int64_t bytes, void *out), nnc_tensor **out)
{
    nnc_status status;
    int64_t bytes, total;
    char *block;
    NNC_TRY(check_shape(shape, dtype, &bytes));
    NNC_TRY(nnc_size_add(bytes, HEAD_BYTES, &total));
    NNC_TRY(alloc(total, &block));
    *out = init(block, block + HEAD_BYTES, shape, dtype, bytes);
done:
    return status;
}

nnc_status nnc_tensor_new(const nnc_shape *shape, nnc_dtype dtype, nnc_tensor **out)
{
    return make(shape, dtype, nnc_alloc, out);
}

nnc_status nnc_tensor_zeros(const nnc_shape *shape, nnc_dtype dtype, nnc_tensor **out)
{
    return make(shape, dtype, nnc_alloc_zero, out);
}

nnc_status nnc_tensor_wrap(void *data, const nnc_shape *shape, nnc_dtype dtype, void *owner,
                           void (*release_owner)(void *), nnc_tensor **out)
{
    nnc_status status;
    int64_t bytes;
    void *block;
    nnc_tensor *tensor;
    NNC_TRY(check_shape(shape, dtype, &bytes));
    NNC_TRY(nnc_alloc((int64_t)sizeof(nnc_tensor), &block));
    tensor = init(block, data, shape, dtype, bytes);
    tensor->owner = owner;
    tensor->release_owner = release_owner;
    *out = tensor;
done:
    return status;
}

static void release_base(void *base)
{
    nnc_tensor_release(base);
}

const nnc_tensor *nnc_tensor_storage(const nnc_tensor *tensor)
{
    return tensor->release_owner == release_base ? tensor->owner : tensor;
}

nnc_status nnc_tensor_view(nnc_tensor *base, const nnc_shape *shape, nnc_tensor **out)
{
    char have[NNC_SHAPE_TEXT], want[NNC_SHAPE_TEXT];
    if (nnc_shape_size(shape) != nnc_shape_size(&base->array.shape))
        return nnc_fail(NNC_EVALUE, "shape %s cannot be seen as %s: the sizes differ",
                        nnc_shape_text(&base->array.shape, have), nnc_shape_text(shape, want));
    /* A view of a view keeps the storage itself alive, not the view. */
    nnc_tensor *storage = (nnc_tensor *)nnc_tensor_storage(base);
    nnc_status status = nnc_tensor_wrap(base->array.data, shape, base->array.dtype, storage,
                                        release_base, out);
    if (status == NNC_OK)
        nnc_tensor_retain(storage);
    return status;
}

nnc_status nnc_tensor_copy(const nnc_tensor *source, nnc_tensor **out)
{
    nnc_tensor *copy;
    nnc_status status = nnc_tensor_new(&source->array.shape, source->array.dtype, &copy);
    if (status == NNC_OK) {
        if (source->bytes > 0)
            memcpy(copy->array.data, source->array.data, (size_t)source->bytes);
        *out = copy;
    }
    return status;
}

nnc_tensor *nnc_tensor_retain(nnc_tensor *tensor)
{
    if (tensor != NULL)
        atomic_fetch_add_explicit(&tensor->references, 1, memory_order_relaxed);
    return tensor;
}

static atomic_ullong writes = 1;

uint64_t nnc_tensor_writes(void)
{
    return atomic_load(&writes);
}

void nnc_tensor_written(void)
{
    atomic_fetch_add(&writes, 1);
}

void nnc_tensor_release(nnc_tensor *tensor)
{
    if (tensor == NULL ||
        atomic_fetch_sub_explicit(&tensor->references, 1, memory_order_acq_rel) != 1)
        return;
    if (tensor->release_owner != NULL)
        tensor->release_owner(tensor->owner);
    nnc_free(tensor);
}

/* ---- numbers that are none ---- */

enum { CHUNK = 512 };

/* x - x is 0 for every finite x and NaN else, so a sum of those tells of a whole chunk without a
 * branch. */
#define FIRST_NONFINITE(name, type)                                                                \
    static int64_t name(const type *x, int64_t n)                                                  \
    {                                                                                              \
        for (int64_t first = 0; first < n; first += CHUNK) {                                       \
            int64_t end = first + CHUNK < n ? first + CHUNK : n;                                   \
            int bad = 0;                                                                           \
            for (int64_t i = first; i < end; i++)                                                  \
                bad |= !(x[i] - x[i] == 0);                                                        \
            for (int64_t i = first; i < end && bad; i++) {                                         \
                if (!(x[i] - x[i] == 0))                                                           \
                    return i;                                                                      \
            }                                                                                      \
        }                                                                                          \
        return -1;                                                                                 \
    }
FIRST_NONFINITE(nonfinite_f32, float)
FIRST_NONFINITE(nonfinite_f64, double)

int64_t nnc_array_first_nonfinite(const nnc_array *array)
{
    float value[CHUNK];
    nnc_dtype dtype = array->dtype;
    const char *data = array->data;
    int64_t n = nnc_shape_size(&array->shape);
    if (data == NULL || nnc_dtype_kind(dtype) != NNC_KIND_FLOAT)
        return -1;
    if (dtype == NNC_F32)
        return nonfinite_f32((const float *)(const void *)data, n);
    if (dtype == NNC_F64)
        return nonfinite_f64((const double *)(const void *)data, n);
    for (int64_t first = 0; first < n; first += CHUNK) {
        int64_t count = n - first < CHUNK ? n - first : CHUNK;
        nnc_convert(data + first * nnc_dtype_size(dtype), dtype, value, NNC_F32, count);
        int64_t at = nonfinite_f32(value, count);
        if (at >= 0)
            return first + at;
    }
    return -1;
}
