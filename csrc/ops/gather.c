/* gather.c - rows by index: take, what undoes it, one_hot.
 *
 * x is seen as (a, v, b): v positions along the axis. Indices are checked as they are read;
 * negative ones are refused. take_grad adds in index order: each piece owns some of the v
 * positions and goes through all the indices, so the sum at a position has one order, whoever
 * computes it. */
#include "ops/support.h"
#include "ops/table.h"

#include <string.h>

static int64_t size_of(const nnc_array *array)
{
    return nnc_shape_size(&array->shape);
}

static nnc_status check_indices(nnc_op op, const nnc_array *indices)
{
    nnc_kind kind = nnc_dtype_kind(indices->dtype);
    if (kind == NNC_KIND_INT || kind == NNC_KIND_UINT)
        return NNC_OK;
    return nnc_fail(NNC_ETYPE, "%s: expected integer indices, received %s", nnc_op_name(op),
                    nnc_dtype_name(indices->dtype));
}

/* ---- take(x, indices): indices replace the axis ---- */

nnc_status nnc_op_take_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                             int input_count, nnc_array *out)
{
    nnc_status status;
    const nnc_shape *x = &in[0].shape, *indices = &in[1].shape;
    nnc_shape y = {0};
    int axis;
    int64_t bytes;
    (void)input_count;
    NNC_TRY(check_indices(op, &in[1]));
    NNC_TRY(nnc_check_axis(op, x, attrs->k[0], &axis));
    if (x->rank - 1 + indices->rank > NNC_MAX_RANK) {
        status = nnc_fail(NNC_EVALUE, "%s: the result would have %d dimensions, at most %d are "
                          "held", nnc_op_name(op), x->rank - 1 + indices->rank, NNC_MAX_RANK);
        goto done;
    }
    for (int d = 0; d < axis; d++)
        y.dim[y.rank++] = x->dim[d];
    for (int d = 0; d < indices->rank; d++)
        y.dim[y.rank++] = indices->dim[d];
    for (int d = axis + 1; d < x->rank; d++)
        y.dim[y.rank++] = x->dim[d];
    out->dtype = in[0].dtype;
    out->shape = y;
    NNC_TRY(nnc_shape_bytes(&y, out->dtype, &bytes));
done:
    return status;
}

/* The whole as (a, v, b), and the number of indices. */
typedef struct {
    int64_t a, v, b, count;
} layout;

static layout layout_of(const nnc_call *call, const nnc_shape *whole)
{
    int64_t k = call->attrs->k[0];
    int axis = (int)(k < 0 ? k + whole->rank : k);
    return (layout){nnc_dims_product(whole, 0, axis), whole->dim[axis],
                    nnc_dims_product(whole, axis + 1, whole->rank), size_of(&call->in[1])};
}

/* Index i, or -1 after telling that it is out of range. */
static int64_t checked_index(nnc_call *call, int64_t i, int64_t v)
{
    int64_t index = -1;
    bool whole = nnc_integer_at(call->in[1].data, call->in[1].dtype, i, &index);
    if (whole && index >= 0 && index < v)
        return index;
    if (!whole)
        nnc_call_fault(call, NNC_EINDEX, i, "%s: index at position %lld is too large for int64",
                       nnc_op_name(call->op), (long long)i);
    else if (v == 0)
        nnc_call_fault(call, NNC_EINDEX, i, "%s: index %lld at position %lld: the axis is empty",
                       nnc_op_name(call->op), (long long)index, (long long)i);
    else
        nnc_call_fault(call, NNC_EINDEX, i, "%s: index %lld at position %lld is outside 0..%lld",
                       nnc_op_name(call->op), (long long)index, (long long)i, (long long)(v - 1));
    return -1;
}

void nnc_op_take_plan(const nnc_call *call, nnc_work *work)
{
    int64_t n = size_of(&call->out[0]);
    if (n == 0) {
        nnc_plan_elements(work, size_of(&call->in[1]), 1.0);
        work->pieces[0] = 1;
        return;
    }
    layout l = layout_of(call, &call->in[0].shape);
    nnc_plan_items(work, l.a * l.count, l.b, 0.3);
    work->cost += 2.0 * (double)(l.a * l.count);
}

void nnc_op_take_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const nnc_array *x = &call->in[0];
    (void)phase;
    if (size_of(&call->out[0]) == 0) {      /* nothing to copy: only the check */
        layout l = layout_of(call, &x->shape);
        for (int64_t i = 0; i < l.count; i++)
            checked_index(call, i, l.v);
        return;
    }
    layout l = layout_of(call, &x->shape);
    nnc_work work;
    int64_t size = nnc_dtype_size(x->dtype), row = l.b * size, count;
    int64_t group = nnc_plan_items(&work, l.a * l.count, l.b, 0.0);
    int64_t item = nnc_piece_range(l.a * l.count, group, begin, end, &count);
    for (int64_t stop = item + count; item < stop; item++) {
        int64_t index = checked_index(call, item % l.count, l.v);
        if (index >= 0)
            memcpy((char *)call->out[0].data + item * row,
                   (const char *)x->data + (item / l.count * l.v + index) * row, (size_t)row);
    }
}

nnc_status nnc_op_take_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                int *dx)
{
    nnc_shape shape = nnc_value_array(graph, graph->nodes[node].inputs[0]).shape;
    nnc_attrs attrs = nnc_shape_attrs(&shape);
    int64_t axis = graph->nodes[node].attrs.k[0];
    attrs.k[0] = axis < 0 ? axis + shape.rank : axis;
    if (!need[0])
        return NNC_OK;
    return nnc_emit2(graph, NNC_OP_take_grad, &attrs, dy[0], graph->nodes[node].inputs[1], &dx[0]);
}

/* ---- take_grad(dy, indices): zeros of `shape`, dy added at the indices ---- */

enum { MOST_OWNERS = 16 };      /* each reads all the indices: more would only read */

nnc_status nnc_op_take_grad_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                  int input_count, nnc_array *out)
{
    nnc_status status;
    nnc_array whole[2] = {{.dtype = in[0].dtype}, in[1]}, taken;
    char got[NNC_SHAPE_TEXT], want[NNC_SHAPE_TEXT];
    (void)input_count;
    NNC_TRY(nnc_check_number(op, in[0].dtype));
    NNC_TRY(nnc_check_shape(op, attrs, in[0].dtype, &whole[0].shape));
    NNC_TRY(nnc_op_take_infer(op, attrs, whole, 2, &taken));
    if (!nnc_shape_equal(&taken.shape, &in[0].shape)) {
        status = nnc_fail(NNC_EVALUE, "%s: expected shape %s, received %s", nnc_op_name(op),
                          nnc_shape_text(&taken.shape, want),
                          nnc_shape_text(&in[0].shape, got));
        goto done;
    }
    out->dtype = in[0].dtype;
    out->shape = whole[0].shape;
done:
    return status;
}

/* Positions along v that one piece owns. */
static int64_t owned(const layout *l)
{
    int64_t owners = l->v * l->b / NNC_PIECE;
    owners = owners < 1 ? 1 : owners > MOST_OWNERS ? MOST_OWNERS : owners;
    return (l->v + owners - 1) / owners;
}

/* Phase 0: the indices, checked, as int64 in the workspace. Phase 1: the sums. */
void nnc_op_take_grad_plan(const nnc_call *call, nnc_work *work)
{
    int64_t count = size_of(&call->in[1]), n = size_of(&call->out[0]), dy = size_of(&call->in[0]);
    *work = (nnc_work){.phases = 2, .pieces = {(count + NNC_PIECE - 1) / NNC_PIECE, 0},
                       .workspace = count * 8,
                       .cost = 20.0 + 2.0 * (double)count + 0.1 * (double)n + 0.3 * (double)dy};
    if (n > 0) {
        layout l = layout_of(call, &call->out[0].shape);
        int64_t own = owned(&l);
        work->pieces[1] = l.a * ((l.v + own - 1) / own);
    }
}

#define ADD_ROWS(suffix, real)                                                                     \
    do {                                                                                           \
        nnc_binary_##suffix *add = nnc_kernels->suffix->binary[NNC_BINARY_add][NNC_VV];            \
        const real *from = (const real *)call->in[0].data + i * l.count * l.b;                     \
        real *to = (real *)call->out[0].data + i * l.v * l.b;                                      \
        memset(to + low * l.b, 0, (size_t)((high - low) * l.b) * sizeof(real));                    \
        for (int64_t k = 0; k < l.count; k++) {                                                    \
            real *row = to + indices[k] * l.b;                                                     \
            if (indices[k] < low || indices[k] >= high)                                            \
                continue;                                                                          \
            if (l.b >= 8)                                                                          \
                add(row, from + k * l.b, row, l.b);                                                \
            else                                                                                   \
                for (int64_t j = 0; j < l.b; j++)                                                  \
                    row[j] += from[k * l.b + j];                                                   \
        }                                                                                          \
    } while (0)

/* Integers wrap, bool is or: both as unsigned sums of the type's size. */
#define ADD_PLAIN(type)                                                                            \
    do {                                                                                           \
        const type *from = (const type *)call->in[0].data + i * l.count * l.b;                     \
        type *to = (type *)call->out[0].data + i * l.v * l.b;                                      \
        memset(to + low * l.b, 0, (size_t)((high - low) * l.b) * sizeof(type));                    \
        for (int64_t k = 0; k < l.count; k++)                                                      \
            for (int64_t j = 0; j < l.b && indices[k] >= low && indices[k] < high; j++) {          \
                type *at = &to[indices[k] * l.b + j], add = from[k * l.b + j];                     \
                *at = logic ? *at | add : (type)(*at + add);                                       \
            }                                                                                      \
    } while (0)

void nnc_op_take_grad_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    int64_t *indices = call->workspace;
    layout l = layout_of(call, &call->out[0].shape);
    if (phase == 0) {
        int64_t count, first = nnc_piece_range(l.count, NNC_PIECE, begin, end, &count);
        for (int64_t k = first; k < first + count; k++)
            indices[k] = checked_index(call, k, l.v);
        return;
    }
    if (l.v == 0)
        return;
    int64_t own = owned(&l), owners = (l.v + own - 1) / own;
    int64_t size = nnc_dtype_size(call->out[0].dtype);
    bool logic = call->out[0].dtype == NNC_BOOL;
    for (int64_t piece = begin; piece < end; piece++) {
        int64_t i = piece / owners, low = piece % owners * own;
        int64_t high = low + own < l.v ? low + own : l.v;
        if (call->out[0].dtype == NNC_F32)
            ADD_ROWS(f32, float);
        else if (call->out[0].dtype == NNC_F64)
            ADD_ROWS(f64, double);
        else if (size == 1)
            ADD_PLAIN(uint8_t);
        else if (size == 2)
            ADD_PLAIN(uint16_t);
        else if (size == 4)
            ADD_PLAIN(uint32_t);
        else
            ADD_PLAIN(uint64_t);
    }
}

/* The gradient for dy is what take picks from the gradient of the whole. */
nnc_status nnc_op_take_grad_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                     int *dx)
{
    nnc_attrs attrs = {.k = {graph->nodes[node].attrs.k[0]}};
    if (!need[0])
        return NNC_OK;
    return nnc_emit2(graph, NNC_OP_take, &attrs, dy[0], graph->nodes[node].inputs[1], &dx[0]);
}

/* ---- one_hot: as in Keras, a row for an index outside 0..num_classes-1 is all zeros ---- */

nnc_status nnc_op_one_hot_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                int input_count, nnc_array *out)
{
    nnc_status status;
    const nnc_shape *x = &in[0].shape;
    nnc_shape y = {.rank = x->rank + 1};
    int axis;
    int64_t bytes;
    (void)input_count;
    NNC_TRY(check_indices(op, &in[0]));
    if (attrs->k[0] < 0 || y.rank > NNC_MAX_RANK || (int)attrs->dtype < 0 ||
        attrs->dtype >= NNC_DTYPE_COUNT) {
        status = nnc_fail(NNC_EVALUE, "%s: expected num_classes >= 0, at most %d dimensions and a "
                          "known dtype, received %lld classes, %d dimensions, dtype %d",
                          nnc_op_name(op), NNC_MAX_RANK, (long long)attrs->k[0], y.rank,
                          (int)attrs->dtype);
        goto done;
    }
    for (int d = 0; d < x->rank; d++)
        y.dim[d] = x->dim[d];
    y.dim[x->rank] = attrs->k[0];
    NNC_TRY(nnc_check_axis(op, &y, attrs->k[1], &axis));
    for (int d = x->rank; d > axis; d--)
        y.dim[d] = x->dim[d - 1];
    y.dim[axis] = attrs->k[0];
    NNC_TRY(nnc_shape_bytes(&y, attrs->dtype, &bytes));
    out->dtype = attrs->dtype;
    out->shape = y;
done:
    return status;
}

/* The indices behind the axis. */
static int64_t one_hot_inner(const nnc_call *call)
{
    int64_t k = call->attrs->k[1];
    const nnc_shape *x = &call->in[0].shape;
    return nnc_dims_product(x, (int)(k < 0 ? k + x->rank + 1 : k), x->rank);
}

/* Pieces of whole outer indices. */
void nnc_op_one_hot_plan(const nnc_call *call, nnc_work *work)
{
    int64_t inner = one_hot_inner(call), n = size_of(&call->out[0]);
    if (n == 0)
        nnc_plan_elements(work, 0, 0);
    else
        nnc_plan_items(work, size_of(&call->in[0]) / inner, call->attrs->k[0] * inner, 0.2);
}

void nnc_op_one_hot_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const nnc_array *x = &call->in[0], *y = &call->out[0];
    int64_t classes = call->attrs->k[0], size = nnc_dtype_size(y->dtype), index, count;
    char one[8];
    double value = 1.0;
    nnc_work work;
    (void)phase;
    if (size_of(y) == 0)
        return;
    int64_t inner = one_hot_inner(call), outer = size_of(x) / inner;
    int64_t group = nnc_plan_items(&work, outer, classes * inner, 0);
    int64_t first = nnc_piece_range(outer, group, begin, end, &count);
    memset((char *)y->data + first * classes * inner * size, 0,
           (size_t)(count * classes * inner * size));
    nnc_convert(&value, NNC_F64, one, y->dtype, 1);
    for (int64_t i = first; i < first + count; i++) {
        for (int64_t j = 0; j < inner; j++) {
            bool whole = nnc_integer_at(x->data, x->dtype, i * inner + j, &index);
            if (whole && index >= 0 && index < classes)
                memcpy((char *)y->data + ((i * classes + index) * inner + j) * size, one,
                       (size_t)size);
        }
    }
}
