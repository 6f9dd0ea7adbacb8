/* softmax.c - softmax and log_softmax over one axis, and their gradients.
 *
 * x is seen as (a, c, b): b == 1 is the last axis, rows for the kernels. Otherwise c rows of up
 * to BLOCK columns are worked together, vector operations running along the columns.
 *   softmax:     y = exp(x - max) / sum(exp(x - max));         dx = y (dy - sum(dy y))
 *   log_softmax: y = x - max - log(sum(exp(x - max)));         dx = dy - exp(y) sum(dy) */
#include "ops/support.h"
#include "ops/table.h"

enum { BLOCK = 256 };

/* ---- shapes ---- */

nnc_status nnc_op_softmax_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                int input_count, nnc_array *out)
{
    nnc_status status;
    int axis;
    (void)input_count;
    NNC_TRY(nnc_check_real(op, in[0].dtype));
    NNC_TRY(nnc_check_axis(op, &in[0].shape, attrs->k[0], &axis));
    out->dtype = in[0].dtype;
    out->shape = in[0].shape;
done:
    return status;
}

nnc_status nnc_op_softmax_grad_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                     int input_count, nnc_array *out)
{
    nnc_status status;
    NNC_TRY(nnc_op_softmax_infer(op, attrs, in, input_count, out));
    NNC_TRY(nnc_check_same_dtype(op, &in[0], &in[1]));
    NNC_TRY(nnc_check_same_shape(op, &in[0], &in[1]));
done:
    return status;
}

/* Items: rows of the last axis; else blocks of columns. */
typedef struct {
    int64_t a, c, b, blocks, items, group;
} layout;

static layout layout_of(const nnc_call *call, nnc_work *work)
{
    const nnc_shape *shape = &call->in[0].shape;
    int64_t k = call->attrs->k[0];
    int axis = (int)(k < 0 ? k + shape->rank : k);
    layout l = {.a = nnc_dims_product(shape, 0, axis), .c = shape->dim[axis],
                .b = nnc_dims_product(shape, axis + 1, shape->rank)};
    l.blocks = (l.b + BLOCK - 1) / BLOCK;
    l.items = l.a * l.blocks;
    l.group = nnc_plan_items(work, l.items, l.c * (l.b < BLOCK ? l.b : BLOCK), 1.5);
    return l;
}

void nnc_op_softmax_plan(const nnc_call *call, nnc_work *work)
{
    if (nnc_shape_size(&call->in[0].shape) == 0)
        nnc_plan_elements(work, 0, 0.0);
    else
        layout_of(call, work);
}

/* ---- columns: c rows of n columns, ld apart ---- */

#define SOFTMAX_COLUMNS(suffix, real)                                                              \
    static void softmax_columns_##suffix(bool logarithm, const real *x, real *y, int64_t c,        \
                                         int64_t n, int64_t ld)                                    \
    {                                                                                              \
        const nnc_kernels_##suffix *k = nnc_kernels->suffix;                                       \
        real top[BLOCK], sum[BLOCK] = {0}, e[BLOCK];                                               \
        k->max_rows(x, c, n, ld, top);                                                             \
        for (int64_t i = 0; i < c; i++) {                                                          \
            real *row = y + i * ld, *power = logarithm ? e : row;                                  \
            k->binary[NNC_BINARY_subtract][NNC_VV](x + i * ld, top, row, n);                       \
            k->unary[NNC_UNARY_exp](row, power, n, 0);                                             \
            k->binary[NNC_BINARY_add][NNC_VV](sum, power, sum, n);                                 \
        }                                                                                          \
        if (logarithm)                                                                             \
            k->unary[NNC_UNARY_log](sum, sum, n, 0);                                               \
        for (int64_t i = 0; i < c; i++)                                                            \
            k->binary[logarithm ? NNC_BINARY_subtract : NNC_BINARY_divide][NNC_VV](                \
                y + i * ld, sum, y + i * ld, n);                                                   \
    }                                                                                              \
                                                                                                   \
    static void gradient_columns_##suffix(bool logarithm, const real *y, const real *dy, real *dx, \
                                          int64_t c, int64_t n, int64_t ld)                        \
    {                                                                                              \
        const nnc_kernels_##suffix *k = nnc_kernels->suffix;                                       \
        real sum[BLOCK] = {0}, t[BLOCK];                                                           \
        for (int64_t i = 0; i < c; i++) {                                                          \
            const real *row = dy + i * ld;                                                         \
            if (!logarithm)                                                                        \
                k->binary[NNC_BINARY_multiply][NNC_VV](y + i * ld, row, t, n);                     \
            k->binary[NNC_BINARY_add][NNC_VV](sum, logarithm ? row : t, sum, n);                   \
        }                                                                                          \
        for (int64_t i = 0; i < c; i++) {                                                          \
            const real *row = dy + i * ld;                                                         \
            if (logarithm) {                                                                       \
                k->unary[NNC_UNARY_exp](y + i * ld, t, n, 0);                                      \
                k->binary[NNC_BINARY_multiply][NNC_VV](t, sum, t, n);                              \
                k->binary[NNC_BINARY_subtract][NNC_VV](row, t, dx + i * ld, n);                    \
            } else {                                                                               \
                k->binary[NNC_BINARY_subtract][NNC_VV](row, sum, t, n);                            \
                k->binary[NNC_BINARY_multiply][NNC_VV](y + i * ld, t, dx + i * ld, n);             \
            }                                                                                      \
        }                                                                                          \
    }
SOFTMAX_COLUMNS(f32, float)
SOFTMAX_COLUMNS(f64, double)

/* ---- forward ---- */

#define RUN_FORWARD(suffix, real)                                                                  \
    do {                                                                                           \
        const real *x = call->in[0].data;                                                          \
        real *y = call->out[0].data;                                                               \
        if (l.b == 1) {                                                                            \
            (logarithm ? nnc_kernels->suffix->log_softmax : nnc_kernels->suffix->softmax)(         \
                x + item * l.c, y + item * l.c, count, l.c);                                       \
            break;                                                                                 \
        }                                                                                          \
        for (int64_t stop = item + count; item < stop; item++) {                                   \
            int64_t j = item % l.blocks * BLOCK, n = l.b - j < BLOCK ? l.b - j : BLOCK;            \
            int64_t at = item / l.blocks * l.c * l.b + j;                                          \
            softmax_columns_##suffix(logarithm, x + at, y + at, l.c, n, l.b);                      \
        }                                                                                          \
    } while (0)

void nnc_op_softmax_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    bool logarithm = call->op == NNC_OP_log_softmax;
    nnc_work work;
    int64_t count;
    (void)phase;
    if (nnc_shape_size(&call->in[0].shape) == 0)
        return;
    layout l = layout_of(call, &work);
    int64_t item = nnc_piece_range(l.items, l.group, begin, end, &count);
    if (call->in[0].dtype == NNC_F32)
        RUN_FORWARD(f32, float);
    else
        RUN_FORWARD(f64, double);
}

/* ---- gradient ---- */

#define RUN_GRADIENT(suffix, real)                                                                 \
    do {                                                                                           \
        const real *y = call->in[0].data, *dy = call->in[1].data;                                  \
        real *dx = call->out[0].data;                                                              \
        if (l.b == 1) {                                                                            \
            int64_t at = item * l.c;                                                               \
            const nnc_kernels_##suffix *k = nnc_kernels->suffix;                                   \
            (logarithm ? k->log_softmax_grad : k->softmax_grad)(                                   \
                y + at, dy + at, dx + at, count, l.c);                                             \
            break;                                                                                 \
        }                                                                                          \
        for (int64_t stop = item + count; item < stop; item++) {                                   \
            int64_t j = item % l.blocks * BLOCK, n = l.b - j < BLOCK ? l.b - j : BLOCK;            \
            int64_t at = item / l.blocks * l.c * l.b + j;                                          \
            gradient_columns_##suffix(logarithm, y + at, dy + at, dx + at, l.c, n, l.b);           \
        }                                                                                          \
    } while (0)

void nnc_op_softmax_grad_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    bool logarithm = call->op == NNC_OP_log_softmax_grad;
    nnc_work work;
    int64_t count;
    (void)phase;
    if (nnc_shape_size(&call->in[0].shape) == 0)
        return;
    layout l = layout_of(call, &work);
    int64_t item = nnc_piece_range(l.items, l.group, begin, end, &count);
    if (call->in[0].dtype == NNC_F32)
        RUN_GRADIENT(f32, float);
    else
        RUN_GRADIENT(f64, double);
}

nnc_status nnc_op_softmax_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                   int *dx)
{
    nnc_attrs attrs = graph->nodes[node].attrs;
    nnc_op op = graph->nodes[node].op == NNC_OP_softmax ? NNC_OP_softmax_grad
                                                        : NNC_OP_log_softmax_grad;
    if (!need[0])
        return NNC_OK;
    return nnc_emit2(graph, op, &attrs, graph->nodes[node].outputs[0], dy[0], &dx[0]);
}

/* z = y (dy - s), s = sum(dy y); g is the gradient of z:
 * for dy: y (g - sum(g y));  for y: g (dy - s) - dy sum(g y). */
static nnc_status softmax_grad_parts(nnc_graph *graph, int node, int axis, int g, const bool *need,
                                     int *dx)
{
    nnc_status status = NNC_OK;
    int y = graph->nodes[node].inputs[0], dy = graph->nodes[node].inputs[1];
    nnc_attrs attrs = graph->nodes[node].attrs;
    int s, left, right;
    if (need[1])
        NNC_TRY(nnc_emit2(graph, NNC_OP_softmax_grad, &attrs, y, g, &dx[1]));
    if (need[0]) {
        NNC_TRY(nnc_emit2(graph, NNC_OP_multiply, NULL, dy, y, &s));
        NNC_TRY(nnc_emit_reduce(graph, NNC_OP_sum, s, axis, true, &s));
        NNC_TRY(nnc_emit2(graph, NNC_OP_subtract, NULL, dy, s, &left));
        NNC_TRY(nnc_emit2(graph, NNC_OP_multiply, NULL, g, left, &left));
        NNC_TRY(nnc_emit2(graph, NNC_OP_multiply, NULL, g, y, &right));
        NNC_TRY(nnc_emit_reduce(graph, NNC_OP_sum, right, axis, true, &right));
        NNC_TRY(nnc_emit2(graph, NNC_OP_multiply, NULL, dy, right, &right));
        NNC_TRY(nnc_emit2(graph, NNC_OP_subtract, NULL, left, right, &dx[0]));
    }
done:
    return status;
}

/* z = dy - exp(y) s, s = sum(dy):  for dy: g - sum(g exp(y));  for y: -g exp(y) s. */
static nnc_status log_softmax_grad_parts(nnc_graph *graph, int node, int axis, int g,
                                         const bool *need, int *dx)
{
    nnc_status status = NNC_OK;
    int y = graph->nodes[node].inputs[0], dy = graph->nodes[node].inputs[1], s, power, part;
    NNC_TRY(nnc_emit1(graph, NNC_OP_exp, NULL, y, &power));
    NNC_TRY(nnc_emit2(graph, NNC_OP_multiply, NULL, g, power, &part));
    if (need[1]) {
        NNC_TRY(nnc_emit_reduce(graph, NNC_OP_sum, part, axis, true, &s));
        NNC_TRY(nnc_emit2(graph, NNC_OP_subtract, NULL, g, s, &dx[1]));
    }
    if (need[0]) {
        NNC_TRY(nnc_emit_reduce(graph, NNC_OP_sum, dy, axis, true, &s));
        NNC_TRY(nnc_emit2(graph, NNC_OP_multiply, NULL, part, s, &part));
        NNC_TRY(nnc_emit1(graph, NNC_OP_negative, NULL, part, &dx[0]));
    }
done:
    return status;
}

nnc_status nnc_op_softmax_grad_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                        int *dx)
{
    int rank = nnc_value_array(graph, dy[0]).shape.rank;
    int64_t k = graph->nodes[node].attrs.k[0];
    int axis = (int)(k < 0 ? k + rank : k);
    if (graph->nodes[node].op == NNC_OP_softmax_grad)
        return softmax_grad_parts(graph, node, axis, dy[0], need, dx);
    return log_softmax_grad_parts(graph, node, axis, dy[0], need, dx);
}
