/* patches.c - images cut into patches, and the adjoint that adds patches up again.
 *
 * x (n, d, h, w, c) gives y (n, od, oh, ow, kd, kh, kw, c): y[n, o.., k.., :] is
 * x[n, o * stride + k * dilation - low, :], or `value` where that lies outside. A convolution is
 * patches and a matrix product; pooling is patches and a reduction. The adjoint adds an image's
 * patches in their order, one image a piece, so that a sum has one order. */
#include "ops/support.h"
#include "ops/table.h"

#include <string.h>

/* One attribute list, read; `in` and `out` are spatial sizes. */
typedef struct {
    int64_t n, c;
    int64_t in[3], out[3], kernel[3], stride[3], dilation[3], low[3], high[3];
} geometry;

static void read_window(const nnc_attrs *attrs, geometry *g)
{
    for (int i = 0; i < 3; i++) {
        g->kernel[i] = attrs->list[i];
        g->stride[i] = attrs->list[3 + i];
        g->dilation[i] = attrs->list[6 + i];
        g->low[i] = attrs->list[9 + i];
        g->high[i] = attrs->list[12 + i];
    }
}

/* Positions of the window along each axis; wants g->in. */
static nnc_status check_window(nnc_op op, const nnc_attrs *attrs, int count, geometry *g)
{
    const int64_t most = (int64_t)1 << 31;      /* products of two such sizes fit */
    if (attrs->list_count != count)
        return nnc_fail(NNC_EVALUE, "%s: expected a window of %d numbers, received %d",
                        nnc_op_name(op), count, attrs->list_count);
    read_window(attrs, g);
    for (int i = 0; i < 3; i++) {
        bool good = g->kernel[i] >= 1 && g->stride[i] >= 1 && g->dilation[i] >= 1 &&
            g->low[i] >= 0 && g->high[i] >= 0 && g->kernel[i] < most && g->stride[i] < most &&
            g->dilation[i] < most && g->low[i] < most && g->high[i] < most && g->in[i] >= 0 &&
            g->in[i] < most;
        if (!good)
            return nnc_fail(NNC_EVALUE, "%s: expected sizes, strides and dilations >= 1 and "
                            "padding >= 0, received %lld, %lld, %lld and %lld, %lld for an axis "
                            "of size %lld", nnc_op_name(op), (long long)g->kernel[i],
                            (long long)g->stride[i], (long long)g->dilation[i],
                            (long long)g->low[i], (long long)g->high[i], (long long)g->in[i]);
        int64_t span = (g->kernel[i] - 1) * g->dilation[i] + 1;
        int64_t room = g->in[i] + g->low[i] + g->high[i] - span;
        g->out[i] = room < 0 ? 0 : room / g->stride[i] + 1;
    }
    return NNC_OK;
}

static void patches_shape(const geometry *g, nnc_shape *shape)
{
    *shape = (nnc_shape){.rank = 8, .dim = {g->n, g->out[0], g->out[1], g->out[2], g->kernel[0],
                                            g->kernel[1], g->kernel[2], g->c}};
}

static geometry geometry_of(const nnc_call *call, const nnc_shape *image, const nnc_shape *patch)
{
    geometry g = {.n = image->dim[0], .c = image->dim[4]};
    read_window(call->attrs, &g);
    for (int i = 0; i < 3; i++) {
        g.in[i] = image->dim[1 + i];
        g.out[i] = patch->dim[1 + i];
    }
    return g;
}

nnc_status nnc_op_patches_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                int input_count, nnc_array *out)
{
    nnc_status status;
    char text[NNC_SHAPE_TEXT];
    const nnc_shape *x = &in[0].shape;
    int64_t bytes;
    (void)input_count;
    if (x->rank != 5)
        return nnc_fail(NNC_EVALUE, "%s: expected shape (n, d, h, w, c), received %s",
                        nnc_op_name(op), nnc_shape_text(x, text));
    geometry g = {.n = x->dim[0], .c = x->dim[4], .in = {x->dim[1], x->dim[2], x->dim[3]}};
    NNC_TRY(check_window(op, attrs, 15, &g));
    patches_shape(&g, &out->shape);
    out->dtype = in[0].dtype;
    NNC_TRY(nnc_shape_bytes(&out->shape, out->dtype, &bytes));
done:
    return status;
}

/* A piece is some rows (n, od, oh) of the result. */
void nnc_op_patches_plan(const nnc_call *call, nnc_work *work)
{
    const nnc_shape *y = &call->out[0].shape;
    nnc_plan_items(work, nnc_dims_product(y, 0, 3), nnc_dims_product(y, 3, 8), 0.3);
}

/* Where, along axis i, kernel position k of output position o reads; false: in the padding. */
static inline bool source(const geometry *g, int i, int64_t o, int64_t k, int64_t *at)
{
    *at = o * g->stride[i] + k * g->dilation[i] - g->low[i];
    return *at >= 0 && *at < g->in[i];
}

/* Row (n, od, oh) of y. */
static void patches_row(const geometry *g, const nnc_array *x, double value, int64_t row, char *y)
{
    int64_t size = nnc_dtype_size(x->dtype), bytes = g->c * size;
    int64_t oh = row % g->out[1], od = row / g->out[1] % g->out[0];
    int64_t image = row / g->out[1] / g->out[0], d, h, w;
    for (int64_t ow = 0; ow < g->out[2]; ow++) {
        for (int64_t kd = 0; kd < g->kernel[0]; kd++) {
            bool in_d = source(g, 0, od, kd, &d);
            for (int64_t kh = 0; kh < g->kernel[1]; kh++) {
                bool in_h = source(g, 1, oh, kh, &h) && in_d;
                int64_t line = ((image * g->in[0] + d) * g->in[1] + h) * g->in[2];
                for (int64_t kw = 0; kw < g->kernel[2]; kw++, y += bytes) {
                    if (source(g, 2, ow, kw, &w) && in_h)
                        memcpy(y, (const char *)x->data + (line + w) * bytes, (size_t)bytes);
                    else
                        nnc_fill(y, x->dtype, g->c, value);
                }
            }
        }
    }
}

void nnc_op_patches_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const nnc_shape *y = &call->out[0].shape;
    geometry g = geometry_of(call, &call->in[0].shape, y);
    int64_t rows = nnc_dims_product(y, 0, 3), size = nnc_dims_product(y, 3, 8), count;
    int64_t piece = size > 0 ? NNC_PIECE / size : rows;
    (void)phase;
    piece = piece < 1 ? 1 : piece;
    if (rows == 0 || size == 0)
        return;
    int64_t first = nnc_piece_range(rows, piece, begin, end, &count);
    for (int64_t row = first; row < first + count; row++)
        patches_row(&g, &call->in[0], call->attrs->f[0], row,
                    (char *)call->out[0].data + row * size * nnc_dtype_size(call->in[0].dtype));
}

/* dx = the patches of dy added up where they came from; padding takes its part away. */
nnc_status nnc_op_patches_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                   int *dx)
{
    nnc_attrs attrs = graph->nodes[node].attrs;
    nnc_array x = nnc_value_array(graph, graph->nodes[node].inputs[0]);
    if (!need[0])
        return NNC_OK;
    for (int i = 0; i < 3; i++)
        attrs.list[15 + i] = x.shape.dim[1 + i];
    attrs.list_count = 18;
    attrs.f[0] = 0;
    return nnc_emit1(graph, NNC_OP_patches_grad, &attrs, dy[0], &dx[0]);
}

nnc_status nnc_op_patches_grad_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                     int input_count, nnc_array *out)
{
    nnc_status status;
    char want[NNC_SHAPE_TEXT], got[NNC_SHAPE_TEXT];
    const nnc_shape *y = &in[0].shape;
    nnc_shape whole;
    int64_t bytes;
    (void)input_count;
    NNC_TRY(nnc_check_real(op, in[0].dtype));
    if (y->rank != 8) {
        status = nnc_fail(NNC_EVALUE, "%s: expected patches of rank 8, received shape %s",
                          nnc_op_name(op), nnc_shape_text(y, got));
        goto done;
    }
    geometry g = {.n = y->dim[0], .c = y->dim[7],
                  .in = {attrs->list[15], attrs->list[16], attrs->list[17]}};
    NNC_TRY(check_window(op, attrs, 18, &g));
    patches_shape(&g, &whole);
    if (!nnc_shape_equal(&whole, y)) {
        status = nnc_fail(NNC_EVALUE, "%s: expected shape %s, received %s", nnc_op_name(op),
                          nnc_shape_text(&whole, want), nnc_shape_text(y, got));
        goto done;
    }
    out->dtype = in[0].dtype;
    out->shape = (nnc_shape){.rank = 5, .dim = {g.n, g.in[0], g.in[1], g.in[2], g.c}};
    NNC_TRY(nnc_shape_bytes(&out->shape, out->dtype, &bytes));
done:
    return status;
}

/* A piece is an image. */
void nnc_op_patches_grad_plan(const nnc_call *call, nnc_work *work)
{
    int64_t n = call->out[0].shape.dim[0];
    double elements = (double)nnc_shape_size(&call->in[0].shape) +
        (double)nnc_shape_size(&call->out[0].shape);
    *work = (nnc_work){.phases = 1, .pieces = {n < 1 ? 1 : n}, .cost = 20.0 + 0.4 * elements};
}

#define ADD_PATCH(real)                                                                            \
    do {                                                                                           \
        const real *from = (const real *)y + at;                                                   \
        real *to = (real *)x + (line + w) * g->c;                                                  \
        for (int64_t j = 0; j < g->c; j++)                                                         \
            to[j] += from[j];                                                                      \
    } while (0)

/* One image x (d, h, w, c), already zero. */
static void add_patches(const geometry *g, const void *y, void *x, bool is_double)
{
    int64_t d, h, w, at = 0;
    int64_t positions = g->out[0] * g->out[1] * g->out[2];
    for (int64_t o = 0; o < positions; o++) {
        int64_t ow = o % g->out[2], oh = o / g->out[2] % g->out[1];
        int64_t od = o / g->out[2] / g->out[1];
        for (int64_t kd = 0; kd < g->kernel[0]; kd++) {
            bool in_d = source(g, 0, od, kd, &d);
            for (int64_t kh = 0; kh < g->kernel[1]; kh++) {
                bool in_h = source(g, 1, oh, kh, &h) && in_d;
                int64_t line = (d * g->in[1] + h) * g->in[2];
                for (int64_t kw = 0; kw < g->kernel[2]; kw++, at += g->c) {
                    if (!source(g, 2, ow, kw, &w) || !in_h)
                        continue;
                    if (is_double)
                        ADD_PATCH(double);
                    else
                        ADD_PATCH(float);
                }
            }
        }
    }
}

void nnc_op_patches_grad_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const nnc_array *y = &call->in[0], *x = &call->out[0];
    geometry g = geometry_of(call, &x->shape, &y->shape);
    int64_t size = nnc_dtype_size(x->dtype), image = nnc_dims_product(&x->shape, 1, 5) * size;
    int64_t patch = nnc_dims_product(&y->shape, 1, 8) * size;
    (void)phase;
    end = end < g.n ? end : g.n;
    if (image == 0)
        return;
    for (int64_t i = begin; i < end; i++) {
        memset((char *)x->data + i * image, 0, (size_t)image);
        add_patches(&g, (const char *)y->data + i * patch, (char *)x->data + i * image,
                    x->dtype == NNC_F64);
    }
}

/* The adjoint of the adjoint: patches of the gradient, zeros in the padding. */
nnc_status nnc_op_patches_grad_gradient(nnc_graph *graph, int node, const int *dy,
                                        const bool *need, int *dx)
{
    nnc_attrs attrs = graph->nodes[node].attrs;
    if (!need[0])
        return NNC_OK;
    attrs.list_count = 15;
    attrs.f[0] = 0;
    return nnc_emit1(graph, NNC_OP_patches, &attrs, dy[0], &dx[0]);
}
