/* int8.c - activation(x w / scale + bias) with w in 8 bits: y (m, n) of x (m, k), w (k, n) int8,
 * scale and bias (n). Each row of x becomes whole numbers q = x s, s = high / (max |x| + epsilon);
 * the sums of q w are exact in 32 bits, so a row's result depends neither on the other rows nor on
 * how the work is cut, and y = sums / (s scale). The scheme of Keras's AbsMaxQuantizer.
 *
 * Phase 0 makes q and s, phase 1 tiles: ROWS rows and COLUMNS columns, or, for a
 * few rows, WIDE columns, so that w is read in long runs. Gradient: as if w /
 * scale were the weights and q / s were x. */
#include "kernels/kernels.h"
#include "ops/support.h"
#include "ops/table.h"

enum { ROWS = 96, COLUMNS = 64, FEW = 6, WIDE = 512, SUMS = ROWS * COLUMNS };
enum { MAX_K = 1 << 17 };               /* so many products of 127 * 128 fit in 31 bits */

typedef struct {
    int64_t m, n, k, q_row;             /* q_row: k padded to even */
} sizes;

static sizes sizes_of(const nnc_array *in)
{
    const nnc_shape *x = &in[0].shape, *w = &in[1].shape;
    return (sizes){nnc_dims_product(x, 0, x->rank - 1), w->dim[1], w->dim[0],
                   (w->dim[0] + 1) / 2 * 2};
}

static nnc_status check_dtypes(nnc_op op, const nnc_array *in)
{
    if (in[0].dtype != NNC_F32 || in[1].dtype != NNC_I8 || in[2].dtype != NNC_F32 ||
        in[3].dtype != NNC_F32)
        return nnc_fail(NNC_ETYPE, "%s: expected x, scale and bias of float32 and w of int8, "
                        "received %s, %s, %s and %s", nnc_op_name(op),
                        nnc_dtype_name(in[0].dtype), nnc_dtype_name(in[2].dtype),
                        nnc_dtype_name(in[3].dtype), nnc_dtype_name(in[1].dtype));
    return NNC_OK;
}

nnc_status nnc_op_dense_int8_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                   int input_count, nnc_array *out)
{
    nnc_status status;
    char text[4][NNC_SHAPE_TEXT];
    const nnc_shape *x = &in[0].shape, *w = &in[1].shape;
    (void)input_count;
    NNC_TRY(check_dtypes(op, in));
    if (x->rank < 2 || w->rank != 2 || x->dim[x->rank - 1] != w->dim[0] ||
        in[2].shape.rank != 1 || in[2].shape.dim[0] != w->dim[1] ||
        !nnc_shape_equal(&in[2].shape, &in[3].shape))
        status = nnc_fail(NNC_EVALUE, "%s: expected x (..., k), w (k, n), scale (n) and bias (n), "
                          "received shapes %s, %s, %s and %s", nnc_op_name(op),
                          nnc_shape_text(x, text[0]), nnc_shape_text(w, text[1]),
                          nnc_shape_text(&in[2].shape, text[2]),
                          nnc_shape_text(&in[3].shape, text[3]));
    else if (w->dim[0] > MAX_K)
        status = nnc_fail(NNC_EVALUE, "%s: sums of at most %d products are exact, received k=%lld",
                          nnc_op_name(op), MAX_K, (long long)w->dim[0]);
    else if (!(attrs->f[1] >= -127 && attrs->f[1] <= 0 && attrs->f[2] >= 1 && attrs->f[2] <= 127))
        status = nnc_fail(NNC_EVALUE, "%s: low must be in -127..0 and high in 1..127, received "
                          "low=%g, high=%g", nnc_op_name(op), attrs->f[1], attrs->f[2]);
    else if (attrs->k[0] != -1 && (attrs->k[0] < NNC_OP_relu ||
                                   attrs->k[0] >= NNC_OP_relu + NNC_UNARY_COUNT))
        status = nnc_fail(NNC_EVALUE, "%s: activation %lld is no element-wise op", nnc_op_name(op),
                          (long long)attrs->k[0]);
    *out = in[0];
    if (status == NNC_OK)
        out->shape.dim[x->rank - 1] = w->dim[1];
done:
    return status;
}

static int64_t pieces_of(int64_t n, int64_t piece)
{
    return (n + piece - 1) / piece;
}

static int64_t width_of(const sizes *s)
{
    return s->m < FEW ? WIDE : COLUMNS;
}

/* The scales of the rows lie before the rows of q. */
static int64_t scales_bytes(int64_t m)
{
    return (m * (int64_t)sizeof(float) + 63) / 64 * 64;
}

void nnc_op_dense_int8_plan(const nnc_call *call, nnc_work *work)
{
    sizes s = sizes_of(call->in);
    work->phases = 2;
    work->pieces[0] = pieces_of(s.m, ROWS);
    work->pieces[1] = pieces_of(s.m, ROWS) * pieces_of(s.n, width_of(&s));
    work->workspace = scales_bytes(s.m) + s.m * s.q_row * (int64_t)sizeof(int16_t);
    work->cost = (double)s.m * (double)s.k * 0.2 + (double)s.n * (double)s.k * 0.1 +
                 (double)s.m * (double)s.n * ((double)s.k * 0.02 + 1);
}

/* Rows i0..i1-1, columns j0..j1-1 of y. */
static void run_tile(nnc_call *call, const sizes *s, int64_t i0, int64_t i1, int64_t j0, int64_t j1)
{
    int32_t sums[SUMS];
    const int64_t c_row = (j1 - j0 + 31) / 32 * 32;
    const float *row_scale = call->workspace, *bias = call->in[3].data;
    const int16_t *q = (const int16_t *)((const char *)call->workspace + scales_bytes(s->m));
    const float *scale = call->in[2].data;
    const int64_t activation = call->attrs->k[0];
    nnc_kernels->i8->gemm(q + i0 * s->q_row, i1 - i0, s->k, call->in[1].data, s->n, j0, j1, sums,
                          c_row);
    for (int64_t i = i0; i < i1; i++) {
        float *y = (float *)call->out[0].data + i * s->n + j0;
        const int32_t *sum = sums + (i - i0) * c_row;
        for (int64_t j = 0; j < j1 - j0; j++)
            y[j] = (float)sum[j] / (row_scale[i] * scale[j0 + j]) + bias[j0 + j];
        if (activation >= 0)
            nnc_kernels->f32->unary[activation - NNC_OP_relu](y, y, j1 - j0,
                                                              (float)call->attrs->f[0]);
    }
}

void nnc_op_dense_int8_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    sizes s = sizes_of(call->in);
    float *row_scale = call->workspace;
    int16_t *q = (int16_t *)((char *)call->workspace + scales_bytes(s.m));
    const double *f = call->attrs->f;
    int64_t width = width_of(&s), across = pieces_of(s.n, width);
    if (phase == 0) {
        for (int64_t i = begin * ROWS; i < end * ROWS && i < s.m; i++)
            row_scale[i] = nnc_kernels->i8->quantize((const float *)call->in[0].data + i * s.k,
                                                     q + i * s.q_row, s.k, (float)f[1],
                                                     (float)f[2], (float)f[3]);
        return;
    }
    for (int64_t piece = begin; piece < end; piece++) {
        int64_t i0 = piece / across * ROWS, j0 = piece % across * width;
        int64_t i1 = i0 + ROWS < s.m ? i0 + ROWS : s.m;
        int64_t j1 = j0 + width < s.n ? j0 + width : s.n;
        run_tile(call, &s, i0, i1, j0, j1);
    }
}

/* With z = x w / scale + bias made again: dz = activation'(z) dy, dx = dz (w / scale)^T, dbias =
 * sum of dz. Nothing flows to w and scale. */
nnc_status nnc_op_dense_int8_gradient(nnc_graph *graph, int index, const int *dy, const bool *need,
                                      int *dx)
{
    nnc_status status = NNC_OK;
    const nnc_node node = graph->nodes[index];
    const nnc_attrs turned = {.k = {0, 1}};
    nnc_shape bias = nnc_value_array(graph, node.inputs[3]).shape;
    int dz = dy[0], z, w;
    if (node.attrs.k[0] >= 0) {
        nnc_attrs linear = node.attrs, attrs = {.f = {node.attrs.f[0]}};
        nnc_op rule = (nnc_op)(node.attrs.k[0] - NNC_OP_relu + NNC_OP_relu_grad);
        linear.k[0] = -1;
        NNC_TRY(nnc_emit(graph, NNC_OP_dense_int8, &linear, node.inputs, 4, &z));
        NNC_TRY(nnc_emit3(graph, rule, &attrs, z, node.outputs[0], dy[0], &dz));
    }
    if (need[0]) {
        NNC_TRY(nnc_emit_cast(graph, node.inputs[1], NNC_F32, &w));
        NNC_TRY(nnc_emit2(graph, NNC_OP_divide, NULL, w, node.inputs[2], &w));
        NNC_TRY(nnc_emit2(graph, NNC_OP_matmul, &turned, dz, w, &dx[0]));
    }
    if (need[3])
        NNC_TRY(nnc_emit_sum_to(graph, dz, &bias, &dx[3]));
done:
    return status;
}
