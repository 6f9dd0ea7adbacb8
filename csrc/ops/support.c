/* support.c - what the op families share; see support.h. */
#include "ops/support.h"

#include <math.h>
#include <string.h>

/* ---- checks ---- */

nnc_status nnc_check_real(nnc_op op, nnc_dtype dtype)
{
    if (nnc_dtype_kind(dtype) == NNC_KIND_FLOAT)
        return NNC_OK;
    return nnc_fail(NNC_ETYPE, "%s: expected a floating-point dtype, received %s", nnc_op_name(op),
                    nnc_dtype_name(dtype));
}

nnc_status nnc_check_number(nnc_op op, nnc_dtype dtype)
{
    if ((int)dtype >= 0 && dtype < NNC_DTYPE_COUNT)
        return NNC_OK;
    return nnc_fail(NNC_ETYPE, "%s: unknown dtype %d", nnc_op_name(op), (int)dtype);
}

nnc_status nnc_check_same_dtype(nnc_op op, const nnc_array *a, const nnc_array *b)
{
    if (a->dtype == b->dtype)
        return NNC_OK;
    return nnc_fail(NNC_ETYPE, "%s: expected inputs of one dtype, received %s and %s",
                    nnc_op_name(op), nnc_dtype_name(a->dtype), nnc_dtype_name(b->dtype));
}

nnc_status nnc_check_same_shape(nnc_op op, const nnc_array *a, const nnc_array *b)
{
    char first[NNC_SHAPE_TEXT], second[NNC_SHAPE_TEXT];
    if (nnc_shape_equal(&a->shape, &b->shape))
        return NNC_OK;
    return nnc_fail(NNC_EVALUE, "%s: expected inputs of one shape, received %s and %s",
                    nnc_op_name(op), nnc_shape_text(&a->shape, first),
                    nnc_shape_text(&b->shape, second));
}

nnc_status nnc_check_axis(nnc_op op, const nnc_shape *shape, int64_t axis, int *out)
{
    char text[NNC_SHAPE_TEXT];
    if (axis < -shape->rank || axis >= shape->rank)
        return nnc_fail(NNC_EVALUE, "%s: axis %lld is out of range for shape %s", nnc_op_name(op),
                        (long long)axis, nnc_shape_text(shape, text));
    *out = (int)(axis < 0 ? axis + shape->rank : axis);
    return NNC_OK;
}

nnc_status nnc_check_shape(nnc_op op, const nnc_attrs *attrs, nnc_dtype dtype, nnc_shape *out)
{
    int64_t bytes;
    if (attrs->list_count < 0 || attrs->list_count > NNC_MAX_RANK)
        return nnc_fail(NNC_EVALUE, "%s: expected a shape of at most %d dimensions, received %d",
                        nnc_op_name(op), NNC_MAX_RANK, attrs->list_count);
    out->rank = attrs->list_count;
    for (int i = 0; i < out->rank; i++) {
        out->dim[i] = attrs->list[i];
        if (out->dim[i] < 0)
            return nnc_fail(NNC_EVALUE, "%s: expected sizes >= 0, received %lld at dimension %d",
                            nnc_op_name(op), (long long)out->dim[i], i);
    }
    return nnc_shape_bytes(out, dtype, &bytes);
}

/* ---- cutting work ---- */

void nnc_plan_elements(nnc_work *work, int64_t n, double ns)
{
    *work = (nnc_work){.phases = 1, .pieces = {(n + NNC_PIECE - 1) / NNC_PIECE},
                       .cost = 20.0 + ns * (double)n};
    if (work->pieces[0] < 1)
        work->pieces[0] = 1;
}

int64_t nnc_plan_items(nnc_work *work, int64_t items, int64_t size, double ns)
{
    int64_t piece = size > 0 ? NNC_PIECE / size : items;
    piece = piece < 1 ? 1 : piece;
    *work = (nnc_work){.phases = 1, .pieces = {(items + piece - 1) / piece},
                       .cost = 20.0 + ns * (double)items * (double)size};
    if (work->pieces[0] < 1)
        work->pieces[0] = 1;
    return piece;
}

/* ---- walking ---- */

void nnc_strides(const nnc_shape *shape, int64_t stride[NNC_MAX_RANK])
{
    int64_t step = 1;
    for (int d = shape->rank - 1; d >= 0; d--) {
        stride[d] = step;
        step *= shape->dim[d];
    }
}

void nnc_walk_strided(nnc_walk *walk, const nnc_shape *shape,
                      const int64_t stride[][NNC_MAX_RANK], int count)
{
    int rank = 0;
    memset(walk, 0, sizeof *walk);
    walk->operands = count;
    for (int d = 0; d < shape->rank; d++) {
        bool joins = rank > 0;
        if (shape->dim[d] == 1)
            continue;
        for (int k = 0; k < count && joins; k++)
            joins = walk->stride[k][rank - 1] == stride[k][d] * shape->dim[d];
        rank += !joins;
        walk->dim[rank - 1] = joins ? walk->dim[rank - 1] * shape->dim[d] : shape->dim[d];
        for (int k = 0; k < count; k++)
            walk->stride[k][rank - 1] = stride[k][d];
    }
    if (rank == 0) {
        walk->dim[0] = 1;
        rank = 1;
    }
    walk->rank = rank;
    for (int k = 0; k < count; k++)
        walk->step[k] = walk->stride[k][rank - 1];
}

void nnc_walk_broadcast(nnc_walk *walk, const nnc_shape *out, const nnc_array *in, int count)
{
    int64_t stride[NNC_WALK_OPERANDS][NNC_MAX_RANK];
    for (int k = 0; k < count; k++) {
        int64_t own[NNC_MAX_RANK];
        int missing = out->rank - in[k].shape.rank;
        nnc_strides(&in[k].shape, own);
        for (int d = 0; d < out->rank; d++)
            stride[k][d] = d < missing || in[k].shape.dim[d - missing] == 1 ? 0 : own[d - missing];
    }
    nnc_walk_strided(walk, out, (const int64_t (*)[NNC_MAX_RANK])stride, count);
}

void nnc_walk_seek(nnc_walk *walk, int64_t first, int64_t count)
{
    int64_t rest = first;
    walk->done = first;
    walk->end = first + count;
    if (count <= 0)
        return;
    for (int d = walk->rank - 1; d >= 0; d--) {
        walk->index[d] = rest % walk->dim[d];
        rest /= walk->dim[d];
    }
}

int64_t nnc_walk_next(nnc_walk *walk)
{
    int last = walk->rank - 1;
    int64_t left = walk->end - walk->done, n;
    if (left <= 0)
        return 0;
    if (walk->index[last] == walk->dim[last]) {
        int d = last;
        while (walk->index[d] == walk->dim[d]) {
            walk->index[d--] = 0;
            walk->index[d]++;
        }
    }
    n = walk->dim[last] - walk->index[last];
    n = n < left ? n : left;
    for (int k = 0; k < walk->operands; k++) {
        walk->at[k] = walk->base[k];
        for (int d = 0; d <= last; d++)
            walk->at[k] += walk->index[d] * walk->stride[k][d];
    }
    walk->index[last] += n;
    walk->done += n;
    return n;
}

/* ---- elements by size ---- */

#define MOVE_LOOP(type, source, target)                                                            \
    do {                                                                                           \
        const type *from = (const type *)(const void *)x;                                          \
        type *to = (type *)(void *)y;                                                              \
        for (int64_t i = 0; i < n; i++)                                                            \
            to[target] = from[source];                                                             \
    } while (0)

#define MOVE_BY_SIZE(source, target)                                                               \
    do {                                                                                           \
        if (size == 4)                                                                             \
            MOVE_LOOP(uint32_t, source, target);                                                   \
        else if (size == 1)                                                                        \
            MOVE_LOOP(uint8_t, source, target);                                                    \
        else if (size == 8)                                                                        \
            MOVE_LOOP(uint64_t, source, target);                                                   \
        else                                                                                       \
            MOVE_LOOP(uint16_t, source, target);                                                   \
    } while (0)

void nnc_move(const char *x, int64_t step, char *y, int64_t n, int64_t size)
{
    if (step == 1)
        memcpy(y, x, (size_t)(n * size));
    else if (step == 0)
        MOVE_BY_SIZE(0, i);
    else
        MOVE_BY_SIZE(i * step, i);
}

void nnc_scatter(const char *x, char *y, int64_t step, int64_t n, int64_t size)
{
    if (step == 1)
        memcpy(y, x, (size_t)(n * size));
    else
        MOVE_BY_SIZE(i, i * step);
}

void nnc_fill(void *y, nnc_dtype dtype, int64_t n, double value)
{
    int64_t size = nnc_dtype_size(dtype);
    char one[8] = {0};
    bool zero = true;
    nnc_convert(&value, NNC_F64, one, dtype, 1);
    for (int64_t i = 0; i < size; i++)
        zero = zero && one[i] == 0;
    if (zero && n > 0)
        memset(y, 0, (size_t)(n * size));
    else
        nnc_move(one, 0, y, n, size);
}

bool nnc_integer_at(const void *data, nnc_dtype dtype, int64_t i, int64_t *out)
{
    int64_t size = nnc_dtype_size(dtype);
    const char *place = (const char *)data + i * size;
    double number;
    switch (dtype) {
    case NNC_I64:
        *out = ((const int64_t *)data)[i];
        return true;
    case NNC_I32:
        *out = ((const int32_t *)data)[i];
        return true;
    case NNC_U8:
    case NNC_BOOL:
        *out = ((const uint8_t *)data)[i];
        return true;
    case NNC_U64:
        *out = ((const int64_t *)data)[i];
        return *out >= 0;
    case NNC_F16:
    case NNC_BF16:
    case NNC_F32:
    case NNC_F64:
        nnc_convert(place, dtype, &number, NNC_F64, 1);
        if (!(number >= -9.0e18 && number <= 9.0e18) || number != floor(number))
            return false;
        *out = (int64_t)number;
        return true;
    default:
        nnc_convert(place, dtype, out, NNC_I64, 1);
        return true;
    }
}

/* ---- gradient rules ---- */

nnc_attrs nnc_shape_attrs(const nnc_shape *shape)
{
    nnc_attrs attrs = {.list_count = shape->rank};
    for (int i = 0; i < shape->rank; i++)
        attrs.list[i] = shape->dim[i];
    return attrs;
}

nnc_status nnc_emit(nnc_graph *graph, nnc_op op, const nnc_attrs *attrs, const int *in, int count,
                    int *out)
{
    static const nnc_attrs none;
    return nnc_graph_append(graph, op, attrs == NULL ? &none : attrs, in, count, out);
}

nnc_status nnc_emit1(nnc_graph *graph, nnc_op op, const nnc_attrs *attrs, int a, int *out)
{
    return nnc_emit(graph, op, attrs, &a, 1, out);
}

nnc_status nnc_emit2(nnc_graph *graph, nnc_op op, const nnc_attrs *attrs, int a, int b, int *out)
{
    int in[2] = {a, b};
    return nnc_emit(graph, op, attrs, in, 2, out);
}

nnc_status nnc_emit3(nnc_graph *graph, nnc_op op, const nnc_attrs *attrs, int a, int b, int c,
                     int *out)
{
    int in[3] = {a, b, c};
    return nnc_emit(graph, op, attrs, in, 3, out);
}

nnc_status nnc_emit_scalar(nnc_graph *graph, double value, nnc_dtype dtype, int *out)
{
    nnc_status status;
    nnc_shape shape = {0};
    nnc_tensor *tensor = NULL;
    NNC_TRY(nnc_tensor_new(&shape, dtype, &tensor));
    nnc_convert(&value, NNC_F64, tensor->array.data, dtype, 1);
    NNC_TRY(nnc_graph_tensor(graph, tensor, NNC_CONSTANT, out));
done:
    nnc_tensor_release(tensor);
    return status;
}

nnc_status nnc_emit_fill(nnc_graph *graph, double value, const nnc_shape *shape, nnc_dtype dtype,
                         int *out)
{
    nnc_attrs attrs = nnc_shape_attrs(shape);
    attrs.f[0] = value;
    attrs.dtype = dtype;
    return nnc_emit(graph, NNC_OP_fill, &attrs, NULL, 0, out);
}

nnc_status nnc_emit_with(nnc_graph *graph, nnc_op op, int a, double value, int *out)
{
    nnc_status status;
    int scalar;
    NNC_TRY(nnc_emit_scalar(graph, value, graph->values[a].array.dtype, &scalar));
    NNC_TRY(nnc_emit2(graph, op, NULL, a, scalar, out));
done:
    return status;
}

static nnc_status emit_to_shape(nnc_graph *graph, nnc_op op, int a, const nnc_shape *shape,
                                int *out)
{
    if (nnc_shape_equal(&graph->values[a].array.shape, shape)) {
        *out = a;
        return NNC_OK;
    }
    nnc_attrs attrs = nnc_shape_attrs(shape);
    return nnc_emit1(graph, op, &attrs, a, out);
}

nnc_status nnc_emit_reshape(nnc_graph *graph, int a, const nnc_shape *shape, int *out)
{
    return emit_to_shape(graph, NNC_OP_reshape, a, shape, out);
}

nnc_status nnc_emit_broadcast(nnc_graph *graph, int a, const nnc_shape *shape, int *out)
{
    return emit_to_shape(graph, NNC_OP_broadcast_to, a, shape, out);
}

nnc_status nnc_emit_sum_to(nnc_graph *graph, int a, const nnc_shape *shape, int *out)
{
    nnc_status status;
    int part[2];
    if (graph->values[a].array.dtype != NNC_C64 ||
        nnc_shape_equal(&graph->values[a].array.shape, shape))
        return emit_to_shape(graph, NNC_OP_sum_to, a, shape, out);
    for (int k = 0; k < 2; k++) {
        NNC_TRY(nnc_emit1(graph, k == 0 ? NNC_OP_real : NNC_OP_imag, NULL, a, &part[k]));
        NNC_TRY(emit_to_shape(graph, NNC_OP_sum_to, part[k], shape, &part[k]));
    }
    NNC_TRY(nnc_emit2(graph, NNC_OP_complex, NULL, part[0], part[1], out));
done:
    return status;
}

nnc_status nnc_emit_cast(nnc_graph *graph, int a, nnc_dtype dtype, int *out)
{
    nnc_attrs attrs = {.dtype = dtype};
    if (graph->values[a].array.dtype == dtype) {
        *out = a;
        return NNC_OK;
    }
    return nnc_emit1(graph, NNC_OP_cast, &attrs, a, out);
}

nnc_status nnc_emit_reduce(nnc_graph *graph, nnc_op op, int a, int axis, bool keepdims, int *out)
{
    nnc_attrs attrs = {.list = {axis}, .list_count = 1, .k = {keepdims}};
    return nnc_emit1(graph, op, &attrs, a, out);
}
