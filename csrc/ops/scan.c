/* scan.c - running sums and products along an axis, and the linear recurrence that is their
 * gradient.
 *
 * x is seen as (a, n, b): n steps along the axis. A step depends on the one before it, so the
 * pieces are columns of a and b; each runs through its n steps in order, whatever the threads.
 *     cumsum      y_i = y_{i-1} + x_i            dx = cumsum(dy) from the other end
 *     cumprod     y_i = y_{i-1} x_i              dx_i = y_{i-1} s_i, s_i = dy_i + x_{i+1} s_{i+1}
 *     recurrence  s_i = a_i s_{i-1} + b_i        db_i = ds_i + a_{i+1} db_{i+1},
 *                                                da_i = db_i s_{i-1}
 * So no gradient divides, and zeros among the factors do no harm. `reverse` runs from the end. */
#include "ops/support.h"
#include "ops/table.h"

enum { COLUMNS = 512 };      /* of b in a piece */

typedef struct {
    int64_t a, n, b;
} layout;

static layout layout_of(const nnc_call *call)
{
    const nnc_shape *shape = &call->out[0].shape;
    int64_t k = call->attrs->k[0];
    int axis = (int)(k < 0 ? k + shape->rank : k);
    return (layout){nnc_dims_product(shape, 0, axis), shape->dim[axis],
                    nnc_dims_product(shape, axis + 1, shape->rank)};
}

nnc_status nnc_op_scan_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                             int input_count, nnc_array *out)
{
    nnc_status status;
    int axis;
    NNC_TRY(op == NNC_OP_recurrence ? nnc_check_real(op, in[0].dtype)
                                    : nnc_check_number(op, in[0].dtype));
    if (in[0].dtype == NNC_BOOL) {
        status = nnc_fail(NNC_ETYPE, "%s: expected numbers, received bool", nnc_op_name(op));
        goto done;
    }
    NNC_TRY(nnc_check_axis(op, &in[0].shape, attrs->k[0], &axis));
    if (input_count == 2) {
        NNC_TRY(nnc_check_same_dtype(op, &in[0], &in[1]));
        NNC_TRY(nnc_check_same_shape(op, &in[0], &in[1]));
    }
    *out = in[0];
done:
    return status;
}

/* Rows of a in a piece, where b is one block. */
static int64_t rows_of(const layout *l)
{
    int64_t size = l->n * l->b;
    return size > 0 && size < NNC_PIECE ? NNC_PIECE / size : 1;
}

void nnc_op_scan_plan(const nnc_call *call, nnc_work *work)
{
    layout l = layout_of(call);
    int64_t blocks = (l.b + COLUMNS - 1) / COLUMNS, rows = rows_of(&l);
    nnc_plan_elements(work, l.a * l.n * l.b, l.b == 1 ? 1.5 : 0.5);
    work->pieces[0] = blocks * ((l.a + rows - 1) / rows);
    if (work->pieces[0] < 1)
        work->pieces[0] = 1;
}

/* Steps `first`, first + step, ... of columns low..high-1; the step before is `step` behind. */
#define SCAN(type, expression)                                                                     \
    do {                                                                                           \
        const type *x = (const type *)call->in[0].data + row;                                      \
        const type *z = (const type *)call->in[two].data + row;                                    \
        type *y = (type *)call->out[0].data + row;                                                 \
        (void)z;                                                                                   \
        for (int64_t j = low; j < high; j++)                                                       \
            y[first + j] = z[first + j];                                                           \
        for (int64_t i = 1; i < l->n; i++) {                                                       \
            int64_t at = first + i * step;                                                         \
            for (int64_t j = low; j < high; j++) {                                                 \
                type before = y[at - step + j], now = x[at + j], add = z[at + j];                  \
                (void)add;                                                                         \
                y[at + j] = (type)(expression);                                                    \
            }                                                                                      \
        }                                                                                          \
    } while (0)

/* Integers wrap: the arithmetic is done unsigned. */
#define SCAN_CASE(tag, type, wide)                                                                 \
    case NNC_##tag:                                                                                \
        if (call->op == NNC_OP_cumsum)                                                             \
            SCAN(type, (wide)before + (wide)now);                                                  \
        else                                                                                       \
            SCAN(type, (wide)before *(wide)now);                                                   \
        break

static void scan_columns(const nnc_call *call, const layout *l, int64_t row, int64_t low,
                         int64_t high)
{
    bool reverse = call->attrs->k[1] != 0;
    int two = call->input_count - 1;
    int64_t first = reverse ? (l->n - 1) * l->b : 0, step = reverse ? -l->b : l->b;
    if (call->op == NNC_OP_recurrence && call->in[0].dtype == NNC_F32) {
        SCAN(float, now * before + add);
        return;
    }
    if (call->op == NNC_OP_recurrence) {
        SCAN(double, now * before + add);
        return;
    }
    switch (call->in[0].dtype) {
    SCAN_CASE(F32, float, float);
    SCAN_CASE(F64, double, double);
    SCAN_CASE(U8, uint8_t, uint32_t);
    SCAN_CASE(U16, uint16_t, uint32_t);
    SCAN_CASE(U32, uint32_t, uint32_t);
    SCAN_CASE(U64, uint64_t, uint64_t);
    SCAN_CASE(I8, int8_t, uint32_t);
    SCAN_CASE(I16, int16_t, uint32_t);
    SCAN_CASE(I32, int32_t, uint32_t);
    SCAN_CASE(I64, int64_t, uint64_t);
    default:    /* scan_infer lets no other dtype through */
        break;
    }
}

void nnc_op_scan_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    layout l = layout_of(call);
    int64_t blocks = (l.b + COLUMNS - 1) / COLUMNS, rows = rows_of(&l);
    (void)phase;
    if (l.a * l.n * l.b == 0)
        return;
    for (int64_t piece = begin; piece < end; piece++) {
        int64_t low = piece % blocks * COLUMNS, row = piece / blocks * rows;
        int64_t high = low + COLUMNS < l.b ? low + COLUMNS : l.b;
        int64_t last = row + rows < l.a ? row + rows : l.a;
        for (; row < last; row++)
            scan_columns(call, &l, row * l.n * l.b, low, high);
    }
}

/* ---- gradients ---- */

/* y_i = x_{i-1} (or x_{i+1}, back), `fill` at the end that has none. */
static nnc_status emit_shifted(nnc_graph *graph, int x, int axis, bool back, double fill, int *out)
{
    nnc_status status;
    nnc_array array = nnc_value_array(graph, x);
    int rank = array.shape.rank, in[2], part, edge;
    int64_t n = array.shape.dim[axis];
    nnc_attrs ranges = {.list_count = 3 * rank}, join = {.k = {axis}};
    nnc_shape one = array.shape;
    one.dim[axis] = n > 0;
    for (int d = 0; d < rank; d++) {
        ranges.list[d] = d == axis && back && n > 0;
        ranges.list[rank + d] = array.shape.dim[d] - (d == axis && !back && n > 0);
        ranges.list[2 * rank + d] = 1;
    }
    NNC_TRY(nnc_emit1(graph, NNC_OP_slice, &ranges, x, &part));
    NNC_TRY(nnc_emit_fill(graph, fill, &one, array.dtype, &edge));
    in[0] = back ? part : edge;
    in[1] = back ? edge : part;
    NNC_TRY(nnc_emit(graph, NNC_OP_concatenate, &join, in, 2, out));
done:
    return status;
}

static int axis_of(const nnc_graph *graph, const nnc_node *node)
{
    int64_t k = node->attrs.k[0];
    return (int)(k < 0 ? k + nnc_value_array(graph, node->inputs[0]).shape.rank : k);
}

nnc_status nnc_op_cumsum_gradient(nnc_graph *graph, int index, const int *dy, const bool *need,
                                  int *dx)
{
    nnc_attrs attrs = graph->nodes[index].attrs;
    (void)need;
    attrs.k[1] = !attrs.k[1];
    return nnc_emit1(graph, NNC_OP_cumsum, &attrs, dy[0], &dx[0]);
}

/* s = dy_i + factor_{i+1} s_{i+1}, against the direction of the node. */
static nnc_status emit_back(nnc_graph *graph, const nnc_node *node, int factor, int dy, int *out)
{
    nnc_status status;
    nnc_attrs attrs = node->attrs;
    int next;
    attrs.k[1] = !attrs.k[1];
    NNC_TRY(emit_shifted(graph, factor, axis_of(graph, node), !node->attrs.k[1], 0, &next));
    NNC_TRY(nnc_emit2(graph, NNC_OP_recurrence, &attrs, next, dy, out));
done:
    return status;
}

nnc_status nnc_op_cumprod_gradient(nnc_graph *graph, int index, const int *dy, const bool *need,
                                   int *dx)
{
    nnc_status status;
    const nnc_node node = graph->nodes[index];
    int s, before;
    (void)need;
    NNC_TRY(emit_back(graph, &node, node.inputs[0], dy[0], &s));
    NNC_TRY(emit_shifted(graph, node.outputs[0], axis_of(graph, &node), node.attrs.k[1] != 0, 1,
                         &before));
    NNC_TRY(nnc_emit2(graph, NNC_OP_multiply, NULL, before, s, &dx[0]));
done:
    return status;
}

nnc_status nnc_op_recurrence_gradient(nnc_graph *graph, int index, const int *dy, const bool *need,
                                      int *dx)
{
    nnc_status status;
    const nnc_node node = graph->nodes[index];
    int db, before;
    NNC_TRY(emit_back(graph, &node, node.inputs[0], dy[0], &db));
    dx[1] = db;
    if (need[0]) {
        NNC_TRY(emit_shifted(graph, node.outputs[0], axis_of(graph, &node), node.attrs.k[1] != 0,
                             0, &before));
        NNC_TRY(nnc_emit2(graph, NNC_OP_multiply, NULL, before, db, &dx[0]));
    }
done:
    return status;
}
