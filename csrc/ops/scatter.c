/* scatter.c - by an index for each place (take_along), writing at indices (put), and joining what
 * has one id (segment).
 *
 * Along the axis x is seen as (a, v, b), the indices as (a, n, b). Indices are checked as they are
 * read; negative ones are refused. Where several write to one place they do it in the order of
 * the indices, whatever the threads: a piece owns whole rows. */
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

/* Index i of `indices`, or -1 after telling that it is outside 0..v-1. */
static int64_t checked_index(nnc_call *call, const nnc_array *indices, int64_t i, int64_t v)
{
    int64_t index = -1;
    if (nnc_integer_at(indices->data, indices->dtype, i, &index) && index >= 0 && index < v)
        return index;
    nnc_call_fault(call, NNC_EINDEX, i, "%s: index %lld at position %lld is not in 0..%lld",
                   nnc_op_name(call->op), (long long)index, (long long)i, (long long)v - 1);
    return -1;
}

/* ---- take_along(x, indices), take_along_grad(dy, indices; shape) ---- */

typedef struct {
    int64_t a, v, n, b;
} layout;

static layout layout_of(const nnc_call *call)
{
    const nnc_shape *whole = call->op == NNC_OP_take_along ? &call->in[0].shape
                                                           : &call->out[0].shape;
    int64_t k = call->attrs->k[0];
    int axis = (int)(k < 0 ? k + whole->rank : k);
    return (layout){nnc_dims_product(whole, 0, axis), whole->dim[axis],
                    call->in[1].shape.dim[axis],
                    nnc_dims_product(whole, axis + 1, whole->rank)};
}

static nnc_status along_infer(nnc_op op, int64_t k, const nnc_shape *whole,
                              const nnc_shape *indices)
{
    nnc_status status;
    char a[NNC_SHAPE_TEXT], b[NNC_SHAPE_TEXT];
    int axis;
    bool fits = whole->rank == indices->rank;
    NNC_TRY(nnc_check_axis(op, whole, k, &axis));
    for (int d = 0; d < whole->rank && fits; d++)
        fits = d == axis || whole->dim[d] == indices->dim[d];
    if (!fits)
        status = nnc_fail(NNC_EVALUE, "%s: shapes must be equal but for axis %d. Received: %s and "
                          "indices of shape %s", nnc_op_name(op), axis, nnc_shape_text(whole, a),
                          nnc_shape_text(indices, b));
done:
    return status;
}

nnc_status nnc_op_take_along_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                   int input_count, nnc_array *out)
{
    nnc_status status;
    (void)input_count;
    NNC_TRY(check_indices(op, &in[1]));
    NNC_TRY(along_infer(op, attrs->k[0], &in[0].shape, &in[1].shape));
    out->dtype = in[0].dtype;
    out->shape = in[1].shape;
done:
    return status;
}

nnc_status nnc_op_take_along_grad_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                        int input_count, nnc_array *out)
{
    nnc_status status;
    nnc_shape whole;
    (void)input_count;
    NNC_TRY(nnc_check_real(op, in[0].dtype));
    NNC_TRY(check_indices(op, &in[1]));
    NNC_TRY(nnc_check_same_shape(op, &in[0], &in[1]));
    NNC_TRY(nnc_check_shape(op, attrs, in[0].dtype, &whole));
    NNC_TRY(along_infer(op, attrs->k[0], &whole, &in[1].shape));
    out->dtype = in[0].dtype;
    out->shape = whole;
done:
    return status;
}

void nnc_op_take_along_plan(const nnc_call *call, nnc_work *work)
{
    layout l = layout_of(call);
    nnc_plan_items(work, l.a, (l.v > l.n ? l.v : l.n) * l.b, 2.0);
}

void nnc_op_take_along_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    layout l = layout_of(call);
    nnc_work work;
    int64_t size = nnc_dtype_size(call->in[0].dtype), count;
    int64_t group = nnc_plan_items(&work, l.a, (l.v > l.n ? l.v : l.n) * l.b, 0.0);
    int64_t first = nnc_piece_range(l.a, group, begin, end, &count);
    bool back = call->op == NNC_OP_take_along_grad;
    (void)phase;
    if (back && l.v * l.b > 0)
        memset((char *)call->out[0].data + first * l.v * l.b * size, 0,
               (size_t)(count * l.v * l.b * size));
    for (int64_t at = first * l.n * l.b; at < (first + count) * l.n * l.b; at++) {
        int64_t index = checked_index(call, &call->in[1], at, l.v);
        int64_t place = (at / (l.n * l.b) * l.v + index) * l.b + at % l.b;
        if (index < 0)
            continue;
        if (!back)
            nnc_move((const char *)call->in[0].data + place * size, 0,
                     (char *)call->out[0].data + at * size, 1, size);
        else if (call->in[0].dtype == NNC_F32)
            ((float *)call->out[0].data)[place] += ((const float *)call->in[0].data)[at];
        else
            ((double *)call->out[0].data)[place] += ((const double *)call->in[0].data)[at];
    }
}

nnc_status nnc_op_take_along_gradient(nnc_graph *graph, int index, const int *dy, const bool *need,
                                      int *dx)
{
    const nnc_node node = graph->nodes[index];
    nnc_shape shape = nnc_value_array(graph, node.inputs[0]).shape;
    nnc_attrs attrs = nnc_shape_attrs(&shape);
    attrs.k[0] = node.attrs.k[0];
    return need[0] ? nnc_emit2(graph, NNC_OP_take_along_grad, &attrs, dy[0], node.inputs[1], &dx[0])
                   : NNC_OK;
}

nnc_status nnc_op_take_along_grad_gradient(nnc_graph *graph, int index, const int *dy,
                                           const bool *need, int *dx)
{
    const nnc_node node = graph->nodes[index];
    nnc_attrs attrs = {.k = {node.attrs.k[0]}};
    return need[0] ? nnc_emit2(graph, NNC_OP_take_along, &attrs, dy[0], node.inputs[1], &dx[0])
                   : NNC_OK;
}

/* ---- put(x, indices, rows): x (v, ...) with row indices[i] replaced by rows[i]; the last wins */

nnc_status nnc_op_put_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in, int input_count,
                            nnc_array *out)
{
    nnc_status status;
    char want[NNC_SHAPE_TEXT], got[NNC_SHAPE_TEXT];
    nnc_shape rows = in[0].shape;
    (void)attrs, (void)input_count;
    NNC_TRY(check_indices(op, &in[1]));
    NNC_TRY(nnc_check_same_dtype(op, &in[0], &in[2]));
    if (in[0].shape.rank < 1 || in[1].shape.rank != 1) {
        status = nnc_fail(NNC_EVALUE, "put: expected an array with axes and indices with one. "
                          "Received: shapes %s and %s", nnc_shape_text(&in[0].shape, want),
                          nnc_shape_text(&in[1].shape, got));
        goto done;
    }
    rows.dim[0] = in[1].shape.dim[0];
    if (!nnc_shape_equal(&rows, &in[2].shape)) {
        status = nnc_fail(NNC_EVALUE, "put: expected rows of shape %s, received %s",
                          nnc_shape_text(&rows, want), nnc_shape_text(&in[2].shape, got));
        goto done;
    }
    *out = in[0];
done:
    return status;
}

void nnc_op_put_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const nnc_array *x = &call->in[0], *rows = &call->in[2];
    int64_t row = nnc_dims_product(&x->shape, 1, x->shape.rank) * nnc_dtype_size(x->dtype);
    int64_t bytes = size_of(x) * nnc_dtype_size(x->dtype);
    (void)phase, (void)begin, (void)end;
    if (bytes > 0)
        memcpy(call->out[0].data, x->data, (size_t)bytes);
    for (int64_t i = 0; i < rows->shape.dim[0]; i++) {
        int64_t index = checked_index(call, &call->in[1], i, x->shape.dim[0]);
        if (index >= 0 && row > 0)
            memcpy((char *)call->out[0].data + index * row, (const char *)rows->data + i * row,
                   (size_t)row);
    }
}

/* dx: dy with the replaced rows 0. drows: what lies at the indices, for the one that was last: a
 * put of the numbers 0, 1, ... says who that was. */
nnc_status nnc_op_put_gradient(nnc_graph *graph, int index, const int *dy, const bool *need,
                               int *dx)
{
    nnc_status status = NNC_OK;
    const nnc_node node = graph->nodes[index];
    int indices = node.inputs[1], zeros, blank, order, who, mine, last, picked, nothing;
    nnc_array x = nnc_value_array(graph, node.inputs[0]);
    nnc_array rows = nnc_value_array(graph, node.inputs[2]);
    nnc_shape vector = {.rank = 1, .dim = {x.shape.dim[0]}}, column = rows.shape;
    nnc_attrs axis = {.k = {0}}, count = {.f = {0, 1}, .k = {rows.shape.dim[0]},
                                          .dtype = NNC_I64};
    if (need[0]) {
        NNC_TRY(nnc_emit_fill(graph, 0, &rows.shape, x.dtype, &zeros));
        NNC_TRY(nnc_emit3(graph, NNC_OP_put, NULL, dy[0], indices, zeros, &dx[0]));
    }
    if (!need[2])
        return status;
    for (int d = 1; d < column.rank; d++)
        column.dim[d] = 1;
    NNC_TRY(nnc_emit_fill(graph, -1, &vector, NNC_I64, &blank));
    NNC_TRY(nnc_emit(graph, NNC_OP_arange, &count, NULL, 0, &order));
    NNC_TRY(nnc_emit3(graph, NNC_OP_put, NULL, blank, indices, order, &who));
    NNC_TRY(nnc_emit2(graph, NNC_OP_take, &axis, who, indices, &mine));
    NNC_TRY(nnc_emit2(graph, NNC_OP_equal, NULL, mine, order, &last));
    NNC_TRY(nnc_emit_reshape(graph, last, &column, &last));
    NNC_TRY(nnc_emit2(graph, NNC_OP_take, &axis, dy[0], indices, &picked));
    NNC_TRY(nnc_emit_scalar(graph, 0, x.dtype, &nothing));
    NNC_TRY(nnc_emit3(graph, NNC_OP_where, NULL, last, picked, nothing, &dx[2]));
done:
    return status;
}

/* ---- segment_max, segment_min, segment_prod (rows, ids; count): (count, ...) ---- */

nnc_status nnc_op_segment_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                int input_count, nnc_array *out)
{
    nnc_status status;
    char rows[NNC_SHAPE_TEXT], ids[NNC_SHAPE_TEXT];
    int64_t bytes;
    (void)input_count;
    NNC_TRY(nnc_check_number(op, in[0].dtype));
    NNC_TRY(check_indices(op, &in[1]));
    if (in[0].dtype == NNC_BOOL) {
        status = nnc_fail(NNC_ETYPE, "%s: expected numbers, received bool", nnc_op_name(op));
        goto done;
    }
    if (in[0].shape.rank < 1 || in[1].shape.rank != 1 ||
        in[0].shape.dim[0] != in[1].shape.dim[0] || attrs->k[0] < 0) {
        status = nnc_fail(NNC_EVALUE, "%s: expected an id for each row and count >= 0. Received: "
                          "rows of shape %s, ids of shape %s, count %lld", nnc_op_name(op),
                          nnc_shape_text(&in[0].shape, rows), nnc_shape_text(&in[1].shape, ids),
                          (long long)attrs->k[0]);
        goto done;
    }
    *out = in[0];
    out->shape.dim[0] = attrs->k[0];
    NNC_TRY(nnc_shape_bytes(&out->shape, out->dtype, &bytes));
done:
    return status;
}

/* Integers wrap: products are taken unsigned. NaN wins. */
#define SEGMENT(type, wide, least, most)                                                           \
    do {                                                                                           \
        const type *x = call->in[0].data;                                                          \
        type *y = call->out[0].data, start = op == NNC_OP_segment_prod ? (type)1 :                 \
                                             op == NNC_OP_segment_max ? (type)(least) :            \
                                             (type)(most);                                         \
        for (int64_t i = 0; i < size_of(&call->out[0]); i++)                                       \
            y[i] = start;                                                                          \
        for (int64_t i = 0; i < call->in[0].shape.dim[0]; i++) {                                   \
            int64_t id = checked_index(call, &call->in[1], i, call->out[0].shape.dim[0]);          \
            for (int64_t j = 0; id >= 0 && j < row; j++) {                                         \
                type now = x[i * row + j], *to = &y[id * row + j];                                 \
                if (op == NNC_OP_segment_prod)                                                     \
                    *to = (type)((wide)*to * (wide)now);                                           \
                else if (op == NNC_OP_segment_max ? !(now <= *to) : !(now >= *to))                 \
                    *to = *to != *to ? *to : now;                                                  \
            }                                                                                      \
        }                                                                                          \
    } while (0)
#define SEGMENT_CASE(tag, type, wide, least, most)                                                 \
    case NNC_##tag: SEGMENT(type, wide, least, most); break

void nnc_op_segment_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    nnc_op op = call->op;
    int64_t row = nnc_dims_product(&call->in[0].shape, 1, call->in[0].shape.rank);
    (void)phase, (void)begin, (void)end;
    switch (call->in[0].dtype) {
    SEGMENT_CASE(F32, float, float, -__FLT_MAX__, __FLT_MAX__);
    SEGMENT_CASE(F64, double, double, -__DBL_MAX__, __DBL_MAX__);
    SEGMENT_CASE(U8, uint8_t, uint32_t, 0, UINT8_MAX);
    SEGMENT_CASE(U16, uint16_t, uint32_t, 0, UINT16_MAX);
    SEGMENT_CASE(U32, uint32_t, uint32_t, 0, UINT32_MAX);
    SEGMENT_CASE(U64, uint64_t, uint64_t, 0, UINT64_MAX);
    SEGMENT_CASE(I8, int8_t, uint32_t, INT8_MIN, INT8_MAX);
    SEGMENT_CASE(I16, int16_t, uint32_t, INT16_MIN, INT16_MAX);
    SEGMENT_CASE(I32, int32_t, uint32_t, INT32_MIN, INT32_MAX);
    SEGMENT_CASE(I64, int64_t, uint64_t, INT64_MIN, INT64_MAX);
    default:    /* segment_infer lets no other dtype through */
        break;
    }
}

/* where x == 0 one number, else another: a value a row of x. */
static nnc_status emit_pick(nnc_graph *graph, int mask, int yes, int no, int *out)
{
    return nnc_emit3(graph, NNC_OP_where, NULL, mask, yes, no, out);
}

/* The extremum's: dy over those that reach it, in equal parts, as TensorFlow has it. */
static nnc_status extremum_gradient(nnc_graph *graph, const nnc_node *node, int dy, int *dx)
{
    nnc_status status;
    int x = node->inputs[0], ids = node->inputs[1], y, reached, parts, share, each;
    nnc_dtype dtype = nnc_value_array(graph, x).dtype;
    nnc_shape shape = nnc_value_array(graph, dy).shape;
    nnc_attrs axis = {.k = {0}}, sum = nnc_shape_attrs(&shape);
    NNC_TRY(nnc_emit2(graph, NNC_OP_take, &axis, node->outputs[0], ids, &y));
    NNC_TRY(nnc_emit2(graph, NNC_OP_equal, NULL, x, y, &reached));
    NNC_TRY(nnc_emit_cast(graph, reached, dtype, &each));
    NNC_TRY(nnc_emit2(graph, NNC_OP_take_grad, &sum, each, ids, &parts));
    NNC_TRY(nnc_emit_with(graph, NNC_OP_maximum, parts, 1, &parts));
    NNC_TRY(nnc_emit2(graph, NNC_OP_divide, NULL, dy, parts, &share));
    NNC_TRY(nnc_emit2(graph, NNC_OP_take, &axis, share, ids, &share));
    NNC_TRY(nnc_emit2(graph, NNC_OP_multiply, NULL, each, share, dx));
done:
    return status;
}

/* The product of the others: of the factors that are not 0, over x unless x is 0; 0 where another
 * factor is. */
static nnc_status product_gradient(nnc_graph *graph, const nnc_node *node, int dy, int *dx)
{
    nnc_status status;
    int x = node->inputs[0], ids = node->inputs[1], one, zero, is_zero, safe, rest, zeros, other;
    nnc_dtype dtype = nnc_value_array(graph, x).dtype;
    nnc_shape shape = nnc_value_array(graph, dy).shape;
    nnc_attrs axis = {.k = {0}}, sum = nnc_shape_attrs(&shape);
    NNC_TRY(nnc_emit_scalar(graph, 1, dtype, &one));
    NNC_TRY(nnc_emit_scalar(graph, 0, dtype, &zero));
    NNC_TRY(nnc_emit2(graph, NNC_OP_equal, NULL, x, zero, &is_zero));
    NNC_TRY(emit_pick(graph, is_zero, one, x, &safe));
    NNC_TRY(nnc_emit2(graph, NNC_OP_segment_prod, &node->attrs, safe, ids, &rest));
    NNC_TRY(nnc_emit2(graph, NNC_OP_multiply, NULL, rest, dy, &rest));
    NNC_TRY(nnc_emit2(graph, NNC_OP_take, &axis, rest, ids, &rest));
    NNC_TRY(nnc_emit2(graph, NNC_OP_divide, NULL, rest, safe, &rest));
    NNC_TRY(nnc_emit_cast(graph, is_zero, dtype, &is_zero));
    NNC_TRY(nnc_emit2(graph, NNC_OP_take_grad, &sum, is_zero, ids, &zeros));
    NNC_TRY(nnc_emit2(graph, NNC_OP_take, &axis, zeros, ids, &zeros));
    NNC_TRY(nnc_emit2(graph, NNC_OP_equal, NULL, zeros, is_zero, &other));
    NNC_TRY(emit_pick(graph, other, rest, zero, dx));
done:
    return status;
}

nnc_status nnc_op_segment_gradient(nnc_graph *graph, int index, const int *dy, const bool *need,
                                   int *dx)
{
    const nnc_node node = graph->nodes[index];
    if (!need[0])
        return NNC_OK;
    return node.op == NNC_OP_segment_prod ? product_gradient(graph, &node, dy[0], &dx[0])
                                          : extremum_gradient(graph, &node, dy[0], &dx[0]);
}
