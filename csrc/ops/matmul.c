/* matmul.c - products of matrices: y = a b, and activation(x w + bias). Letters: y (m, n) = a (m,
 * k) b (k, n). Leading dimensions broadcast; where b is one matrix, those of a are rows like any
 * others. Transposes are strides, never copies. Gradients: da = dy b^T, db = a^T dy. */
#include "kernels/kernels.h"
#include "ops/optimizer.h"
#include "ops/support.h"
#include "ops/table.h"
#include "ops/tiles.h"

#include <string.h>

/* A call seen as `batch` products of one size. */
typedef struct {
    nnc_gemm gemm;
    int64_t batch;
    nnc_shape lead;             /* leading dimensions of y */
} product;

static nnc_shape leading(const nnc_shape *shape)
{
    nnc_shape lead = *shape;
    lead.rank -= 2;
    return lead;
}

/* Strides of a matrix whose rows have `cols` elements, seen as it is or turned. */
static void matrix_strides(int64_t cols, bool turned, int64_t *row, int64_t *col)
{
    *row = turned ? 1 : cols;
    *col = turned ? cols : 1;
}

static int64_t wide_flags(const nnc_call *call)
{
    return call->attrs->k[call->op == NNC_OP_dense ? NNC_DENSE_WIDE : NNC_MATMUL_WIDE];
}

/* What the second operand of a product holds: 16-bit floats, or float32 that is rounded. */
static int half_of(const nnc_call *call)
{
    bool rounded = call->in[1].dtype == NNC_F32 && (wide_flags(call) & NNC_WIDE_B);
    return rounded ? NNC_HALF_ROUNDED : nnc_half_of(call->in[1].dtype);
}

/* What the float32 result is rounded to. */
static int rounded_to(const nnc_call *call)
{
    int64_t flags = wide_flags(call);
    return flags & NNC_ROUND_BF16 ? NNC_HALF_BF16 : flags & NNC_ROUND_F16 ? NNC_HALF_F16
        : NNC_HALF_NONE;
}

static void matmul_product(const nnc_call *call, product *p)
{
    const nnc_shape *a = &call->in[0].shape, *b = &call->in[1].shape, *y = &call->out[0].shape;
    bool turn_a = call->attrs->k[0] != 0, turn_b = call->attrs->k[1] != 0;
    nnc_gemm *g = &p->gemm;
    *p = (product){.gemm = {.activation = -1, .half = half_of(call)},
                   .lead = leading(y)};
    g->m = y->dim[y->rank - 2];
    g->n = y->dim[y->rank - 1];
    g->k = a->dim[a->rank - (turn_a ? 2 : 1)];
    g->ldc = g->n;
    g->most_rows = call->attrs->k[NNC_MATMUL_MOST_ROWS];
    g->most_columns = call->attrs->k[NNC_MATMUL_MOST_COLUMNS];
    g->listed = call->rows != NULL ? NNC_LIST_B : NNC_LIST_NONE;
    g->rows = call->rows;
    matrix_strides(a->dim[a->rank - 1], turn_a, &g->a_row, &g->a_col);
    matrix_strides(b->dim[b->rank - 1], turn_b, &g->b_row, &g->b_col);
    p->batch = nnc_shape_size(&p->lead);
    if (b->rank == 2 && !turn_a) {
        g->m *= p->batch;
        p->batch = 1;
    }
}

/* wide: which arrays of a product of 16-bit floats are float32. One of float32 that rounds its
 * result may have a second operand of 16 bits. */
static nnc_status infer_pair(nnc_op op, const nnc_array *in, int64_t wide)
{
    nnc_status status;
    char a[NNC_SHAPE_TEXT], b[NNC_SHAPE_TEXT];
    nnc_array second = in[1];
    if ((wide & NNC_WIDE_B) && in[0].dtype == NNC_BF16 && second.dtype == NNC_F32)
        second.dtype = NNC_BF16;
    if ((wide & (NNC_ROUND_BF16 | NNC_ROUND_F16)) && in[0].dtype == NNC_F32 && nnc_is_half(&second))
        second.dtype = NNC_F32;
    NNC_TRY(nnc_check_same_dtype(op, &in[0], &second));
    NNC_TRY(nnc_check_real(op, in[0].dtype));
    if (in[0].shape.rank < 2 || in[1].shape.rank < 2)
        status = nnc_fail(NNC_EVALUE, "%s: expected inputs of at least 2 dimensions, received shapes "
                          "%s and %s", nnc_op_name(op), nnc_shape_text(&in[0].shape, a),
                          nnc_shape_text(&in[1].shape, b));
done:
    return status;
}

nnc_status nnc_op_matmul_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                               int input_count, nnc_array *out)
{
    nnc_status status;
    const nnc_shape *a = &in[0].shape, *b = &in[1].shape;
    char a_text[NNC_SHAPE_TEXT], b_text[NNC_SHAPE_TEXT];
    (void)input_count;
    NNC_TRY(infer_pair(op, in, attrs->k[NNC_MATMUL_WIDE]));
    bool turn_a = attrs->k[0] != 0, turn_b = attrs->k[1] != 0;
    int64_t inner_a = a->dim[a->rank - (turn_a ? 2 : 1)];
    int64_t inner_b = b->dim[b->rank - (turn_b ? 1 : 2)];
    nnc_shape lead_a = leading(a), lead_b = leading(b);
    out->dtype = attrs->k[NNC_MATMUL_WIDE] & NNC_WIDE_C ? NNC_F32 : in[0].dtype;
    if (inner_a != inner_b)
        status = nnc_fail(NNC_EVALUE, "%s: inner sizes differ, %lld and %lld: a has shape %s%s, b has "
                          "shape %s%s", nnc_op_name(op), (long long)inner_a, (long long)inner_b,
                          nnc_shape_text(a, a_text), turn_a ? " (transposed)" : "",
                          nnc_shape_text(b, b_text), turn_b ? " (transposed)" : "");
    else if (!nnc_shape_broadcast(&lead_a, &lead_b, &out->shape) ||
             out->shape.rank + 2 > NNC_MAX_RANK)
        status = nnc_fail(NNC_EVALUE, "%s: leading dimensions of shapes %s and %s do not broadcast",
                          nnc_op_name(op), nnc_shape_text(a, a_text), nnc_shape_text(b, b_text));
    else {
        out->shape.dim[out->shape.rank++] = a->dim[a->rank - (turn_a ? 1 : 2)];
        out->shape.dim[out->shape.rank++] = b->dim[b->rank - (turn_b ? 2 : 1)];
    }
done:
    return status;
}

bool nnc_matmul_is_tiled(const nnc_call *call)
{
    return nnc_tiles_there() && call->in[0].dtype == NNC_BF16;
}

/* 16-bit floats where there are no tiles for them: a phase of its own widens A, B is widened by the
 * kernel as it copies it, C is made in float32, and each part of it is rounded to y as soon as it is
 * finished, if y is of 16 bits. Behind the kernels' own workspace lie A and C. */
static bool is_widened(const nnc_call *call)
{
    return nnc_is_half(&call->in[0]) && !nnc_matmul_is_tiled(call);
}

int nnc_matmul_first_phase(const nnc_call *call)
{
    return is_widened(call);
}

static int64_t wide_bytes(const nnc_call *call, const nnc_array *array)
{
    return is_widened(call) && nnc_is_half(array)
        ? (nnc_shape_size(&array->shape) * 4 + 63) / 64 * 64 : 0;
}

static float *wide_a(const nnc_call *call)
{
    char *end = (char *)call->workspace + call->work.workspace;
    return (float *)(void *)(end - wide_bytes(call, &call->out[0]) -
                             wide_bytes(call, &call->in[0]));
}

static float *wide_c(const nnc_call *call)
{
    char *end = (char *)call->workspace + call->work.workspace;
    return (float *)(void *)(end - wide_bytes(call, &call->out[0]));
}

static nnc_tiles tiles_of(const nnc_call *call, const nnc_gemm *gemm)
{
    return (nnc_tiles){.gemm = *gemm, .b_wide = call->in[1].dtype == NNC_F32};
}

/* The pieces of all products, one product after another. */
static void kernel_plan(const nnc_call *call, const nnc_gemm *gemm, int64_t batch, nnc_work *work)
{
    nnc_work own;
    int64_t n = nnc_shape_size(&call->in[0].shape);
    nnc_tiles tiles = tiles_of(call, gemm);
    if (nnc_matmul_is_tiled(call))
        nnc_tiles_plan(&tiles, &own);
    else if (call->in[0].dtype == NNC_F64)
        nnc_kernels->f64->gemm_plan(gemm, &own);
    else
        nnc_kernels->f32->gemm_plan(gemm, &own);
    *work = (nnc_work){.cost = own.cost * (double)batch, .together = true};
    if (is_widened(call))
        work->pieces[work->phases++] = (n + NNC_PIECE - 1) / NNC_PIECE;
    for (int phase = 0; phase < own.phases; phase++)
        work->pieces[work->phases++] = own.pieces[phase] * batch;
    work->workspace = (own.workspace + 63) / 64 * 64 * batch + wide_bytes(call, &call->in[0]) +
        wide_bytes(call, &call->out[0]);
}

/* Which operand may be a list of rows. */
static int product_lists(const nnc_call *call, const nnc_gemm *gemm)
{
    if (call->in[0].dtype == NNC_F32 && call->in[1].dtype == NNC_F32)
        return nnc_kernels->f32->gemm_lists(gemm);
    return call->in[0].dtype == NNC_F64 ? nnc_kernels->f64->gemm_lists(gemm) : NNC_LIST_NONE;
}

static void widen_a(const nnc_call *call, int64_t begin, int64_t end)
{
    int64_t count, n = nnc_shape_size(&call->in[0].shape);
    int64_t first = nnc_piece_range(n, NNC_PIECE, begin, end, &count);
    if (count > 0)
        nnc_widen(&call->in[0], first, wide_a(call) + first, count);
}

static void narrow_region(const nnc_gemm *g, const float *c, uint16_t *y, int half,
                          const nnc_region *part)
{
    for (int64_t i = part->r0; i < part->r1; i++)
        nnc_kernels->half->narrow[half](c + i * g->n + part->c0, y + i * g->n + part->c0,
                                        part->c1 - part->c0);
}

static void round_region(const nnc_gemm *g, float *c, int half, const nnc_region *part)
{
    int64_t n = part->c1 - part->c0, rows = part->r1 - part->r0;
    float *first = c + part->r0 * g->n + part->c0;
    if (n == g->n) {
        nnc_kernels->half->round[half](first, first, rows * n);
        return;
    }
    for (int64_t i = 0; i < rows; i++)
        nnc_kernels->half->round[half](first + i * g->n, first + i * g->n, n);
}

/* The end of a product on tiles: bias, activation, y from element `c` on. */
typedef struct {
    const nnc_call *call;
    const nnc_gemm *gemm;
    int64_t c;
} ending;

enum { NEAR_COLUMNS = 1024 };

/* n numbers of a row: from s to y, columns from c0 on. */
static void end_run(const ending *e, const float *bias, float *s, int64_t y, int64_t n)
{
    const nnc_kernels_f32 *kernels = nnc_kernels->f32;
    const nnc_array *out = &e->call->out[0];
    if (bias != NULL)
        kernels->binary[NNC_BINARY_add][NNC_VV](s, bias, s, n);
    if (e->gemm->activation >= 0)
        kernels->unary[e->gemm->activation](s, s, n, (float)e->gemm->alpha);
    if (nnc_is_half(out))
        nnc_narrow(s, out, y, n);
    else
        memcpy((float *)out->data + y, s, (size_t)n * sizeof *s);
}

static void end_part(void *argument, const nnc_region *part, float *c, int64_t c_row)
{
    const ending *e = argument;
    float bias[NEAR_COLUMNS];
    bool biased = e->call->input_count > 2;
    for (int64_t j = part->c0, n; j < part->c1; j += n) {
        n = part->c1 - j < NEAR_COLUMNS ? part->c1 - j : NEAR_COLUMNS;
        if (biased)
            nnc_widen(&e->call->in[2], j, bias, n);
        for (int64_t i = part->r0; i < part->r1; i++)
            end_run(e, biased ? bias : NULL, c + (i - part->r0) * c_row + (j - part->c0),
                    e->c + i * e->gemm->n + j, n);
    }
}

static void widened_run(const nnc_call *call, const nnc_gemm *gemm, int64_t a, const void *b,
                        const void *bias, int64_t c, char *workspace, int phase, int64_t piece)
{
    bool rounded = nnc_is_half(&call->out[0]);
    nnc_region part = nnc_kernels->f32->gemm_region(gemm, phase, piece);
    float *y = (rounded ? wide_c(call) : (float *)call->out[0].data) + c;
    nnc_kernels->f32->gemm_run(gemm, wide_a(call) + a, b, bias, y, workspace, phase, piece,
                               piece + 1);
    if (rounded)
        narrow_region(gemm, y, (uint16_t *)call->out[0].data + c,
                      nnc_half_of(call->out[0].dtype), &part);
}

/* float32 whose finished parts are rounded. */
static void rounded_run(const nnc_call *call, const nnc_gemm *gemm, int64_t a, const void *b,
                        const void *bias, int64_t c, char *workspace, int phase, int64_t piece)
{
    nnc_region part = {0, gemm->m, 0, gemm->n};
    float *y = (float *)call->out[0].data + c;
    if (call->work.phases > 1 || call->work.pieces[0] > 1)
        part = nnc_kernels->f32->gemm_region(gemm, phase, piece);
    nnc_kernels->f32->gemm_run(gemm, (const float *)call->in[0].data + a, b, bias, y, workspace,
                               phase, piece, piece + 1);
    round_region(gemm, y, rounded_to(call), &part);
}

/* a, b, bias and c from the given elements of their arrays on; phases of the kernel. */
static void kernel_run(const nnc_call *call, const nnc_gemm *gemm, int64_t a, int64_t b, int64_t c,
                       char *workspace, int phase, int64_t begin, int64_t end)
{
    const nnc_array *in = call->in;
    const void *bias = call->input_count > 2 ? in[2].data : NULL;
    const char *a_data = (const char *)in[0].data + a * nnc_dtype_size(in[0].dtype);
    const char *b_data = (const char *)in[1].data + b * nnc_dtype_size(in[1].dtype);
    if (nnc_matmul_is_tiled(call)) {
        ending e = {call, gemm, c};
        nnc_tiles tiles = tiles_of(call, gemm);
        nnc_tiles_run(&tiles, a_data, b_data, workspace, phase, begin, end, end_part, &e);
    } else if (in[0].dtype == NNC_F32 && rounded_to(call) != NNC_HALF_NONE) {
        for (int64_t i = begin; i < end; i++)
            rounded_run(call, gemm, a, b_data, bias, c, workspace, phase, i);
    } else if (in[0].dtype == NNC_F32) {
        nnc_kernels->f32->gemm_run(gemm, (const float *)in[0].data + a, b_data, bias,
                                   (float *)call->out[0].data + c, workspace, phase, begin, end);
    } else if (in[0].dtype == NNC_F64) {
        nnc_kernels->f64->gemm_run(gemm, (const double *)in[0].data + a, b_data, bias,
                                   (double *)call->out[0].data + c, workspace, phase, begin, end);
    } else {
        for (int64_t i = begin; i < end; i++)
            widened_run(call, gemm, a, b_data, bias, c, workspace, phase, i);
    }
}

void nnc_op_matmul_plan(const nnc_call *call, nnc_work *work)
{
    product p;
    matmul_product(call, &p);
    kernel_plan(call, &p.gemm, p.batch, work);
}

/* The matrix of an operand that goes with matrix i of y: leading dimensions broadcast. */
static int64_t matrix_of(const nnc_shape *operand, const nnc_shape *lead, int64_t i)
{
    int64_t matrix = 0, stride = 1;
    for (int d = lead->rank - 1, o = operand->rank - 3; d >= 0 && o >= 0; d--, o--) {
        int64_t at = i % lead->dim[d];
        i /= lead->dim[d];
        if (operand->dim[o] != 1)
            matrix += at * stride;
        stride *= operand->dim[o];
    }
    return matrix;
}

void nnc_op_matmul_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    product p;
    matmul_product(call, &p);
    bool half = is_widened(call);
    if (half && phase == 0) {
        widen_a(call, begin, end);
        return;
    }
    int64_t pieces = call->work.pieces[phase] / (p.batch > 0 ? p.batch : 1);
    phase -= half;
    if (p.batch == 1) {
        kernel_run(call, &p.gemm, 0, 0, 0, call->workspace, phase, begin, end);
        return;
    }
    int64_t workspace = call->work.workspace - wide_bytes(call, &call->in[0]) -
        wide_bytes(call, &call->out[0]);
    workspace = p.batch > 0 ? workspace / p.batch : 0;
    while (begin < end) {
        int64_t i = begin / pieces, from = begin - i * pieces;
        int64_t to = end - i * pieces < pieces ? end - i * pieces : pieces;
        int64_t a = matrix_of(&call->in[0].shape, &p.lead, i) * p.gemm.m * p.gemm.k;
        int64_t b = matrix_of(&call->in[1].shape, &p.lead, i) * p.gemm.k * p.gemm.n;
        char *space = call->workspace == NULL ? NULL : (char *)call->workspace + i * workspace;
        kernel_run(call, &p.gemm, a, b, i * p.gemm.m * p.gemm.n, space, phase, from, to);
        begin += to - from;
    }
}

void nnc_matmul_run_into(nnc_call *call, int phase, int64_t begin, int64_t end,
                         nnc_tiles_sink *sink, void *argument)
{
    product p;
    matmul_product(call, &p);
    nnc_tiles tiles = tiles_of(call, &p.gemm);
    nnc_tiles_run(&tiles, call->in[0].data, call->in[1].data, call->workspace, phase, begin, end,
                  sink, argument);
}

nnc_region nnc_matmul_region(const nnc_call *call, int phase, int64_t piece)
{
    product p;
    matmul_product(call, &p);
    phase -= nnc_matmul_first_phase(call);
    if (phase < 0)
        return (nnc_region){0, 0, 0, 0};
    if (call->in[0].dtype == NNC_F64)
        return nnc_kernels->f64->gemm_region(&p.gemm, phase, piece);
    return nnc_kernels->f32->gemm_region(&p.gemm, phase, piece);
}

bool nnc_matmul_lists_b(const nnc_call *call)
{
    product p;
    matmul_product(call, &p);
    return p.batch == 1 && product_lists(call, &p.gemm) == NNC_LIST_B;
}

static nnc_status emit_matmul(nnc_graph *graph, int a, int b, bool turn_a, bool turn_b, int *out)
{
    nnc_attrs attrs = {.k = {turn_a, turn_b}};
    return nnc_emit2(graph, NNC_OP_matmul, &attrs, a, b, out);
}

/* Leading dimensions as rows: (..., m, k) -> (rows, k). */
static nnc_status emit_rows(nnc_graph *graph, int value, int *out)
{
    nnc_shape shape = nnc_value_array(graph, value).shape;
    int64_t cols = shape.dim[shape.rank - 1], rows = nnc_dims_product(&shape, 0, shape.rank - 1);
    nnc_shape flat = {.rank = 2, .dim = {rows, cols}};
    return nnc_emit_reshape(graph, value, &flat, out);
}

/* da for y = a b (or a^T b, a b^T, a^T b^T), then summed over what was broadcast. */
static nnc_status gradient_a(nnc_graph *graph, int a, int b, bool turn_a, bool turn_b, int dy, int *out)
{
    nnc_status status;
    nnc_shape shape = nnc_value_array(graph, a).shape;
    int full;
    if (turn_a)
        NNC_TRY(emit_matmul(graph, b, dy, turn_b, true, &full));
    else
        NNC_TRY(emit_matmul(graph, dy, b, false, !turn_b, &full));
    NNC_TRY(nnc_emit_sum_to(graph, full, &shape, out));
done:
    return status;
}

static nnc_status gradient_b(nnc_graph *graph, int a, int b, bool turn_a, bool turn_b, int dy, int *out)
{
    nnc_status status;
    nnc_shape shape = nnc_value_array(graph, b).shape;
    int full;
    if (shape.rank == 2 && !turn_a) {
        NNC_TRY(emit_rows(graph, a, &a));
        NNC_TRY(emit_rows(graph, dy, &dy));
    }
    if (turn_b)
        NNC_TRY(emit_matmul(graph, dy, a, true, turn_a, &full));
    else
        NNC_TRY(emit_matmul(graph, a, dy, !turn_a, false, &full));
    NNC_TRY(nnc_emit_sum_to(graph, full, &shape, out));
done:
    return status;
}

nnc_status nnc_op_matmul_gradient(nnc_graph *graph, int index, const int *dy, const bool *need,
                                  int *dx)
{
    nnc_status status = NNC_OK;
    const nnc_node node = graph->nodes[index];
    bool turn_a = node.attrs.k[0] != 0, turn_b = node.attrs.k[1] != 0;
    int a = node.inputs[0], b = node.inputs[1];
    if (need[0])
        NNC_TRY(gradient_a(graph, a, b, turn_a, turn_b, dy[0], &dx[0]));
    if (need[1])
        NNC_TRY(gradient_b(graph, a, b, turn_a, turn_b, dy[0], &dx[1]));
done:
    return status;
}

/* ---- dense: x (..., k), w (k, n), bias (n) ---- */

static void dense_product(const nnc_call *call, nnc_gemm *g)
{
    const nnc_shape *x = &call->in[0].shape, *w = &call->in[1].shape;
    bool turned = call->attrs->k[NNC_DENSE_TURNED] != 0;
    int64_t k = w->dim[turned], n = w->dim[!turned];
    *g = (nnc_gemm){.m = nnc_dims_product(x, 0, x->rank - 1), .n = n, .k = k, .a_row = k, .a_col = 1,
                    .ldc = n, .activation = -1, .alpha = call->attrs->f[0], .half = half_of(call),
                    .listed = call->rows != NULL ? NNC_LIST_A : NNC_LIST_NONE, .rows = call->rows};
    matrix_strides(w->dim[1], turned, &g->b_row, &g->b_col);
    if (call->attrs->k[0] >= 0)
        g->activation = (int)call->attrs->k[0] - (int)NNC_OP_relu;
}

nnc_status nnc_op_dense_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in, int input_count,
                              nnc_array *out)
{
    nnc_status status;
    char x[NNC_SHAPE_TEXT], w[NNC_SHAPE_TEXT], bias[NNC_SHAPE_TEXT];
    bool turned = attrs->k[NNC_DENSE_TURNED] != 0;
    (void)input_count;
    NNC_TRY(infer_pair(op, in, attrs->k[NNC_DENSE_WIDE]));
    NNC_TRY(nnc_check_same_dtype(op, &in[attrs->k[NNC_DENSE_WIDE] & (NNC_ROUND_BF16 | NNC_ROUND_F16)
                                         && nnc_is_half(&in[1])], &in[2]));
    if (in[1].shape.rank != 2 || in[2].shape.rank != 1 ||
        in[0].shape.dim[in[0].shape.rank - 1] != in[1].shape.dim[turned] ||
        in[2].shape.dim[0] != in[1].shape.dim[!turned])
        status = nnc_fail(NNC_EVALUE, "dense: expected x (..., k), w (k, n) and bias (n), received "
                          "shapes %s, %s and %s", nnc_shape_text(&in[0].shape, x),
                          nnc_shape_text(&in[1].shape, w), nnc_shape_text(&in[2].shape, bias));
    else if (attrs->k[0] != -1 && (attrs->k[0] < NNC_OP_relu ||
                                   attrs->k[0] >= NNC_OP_relu + NNC_UNARY_COUNT))
        status = nnc_fail(NNC_EVALUE, "dense: activation %lld is no element-wise op",
                          (long long)attrs->k[0]);
    *out = in[0];
    if (status == NNC_OK)
        out->shape.dim[out->shape.rank - 1] = in[1].shape.dim[!turned];
done:
    return status;
}

bool nnc_dense_is_dot(const nnc_call *call)
{
    nnc_gemm gemm;
    dense_product(call, &gemm);
    return product_lists(call, &gemm) == NNC_LIST_A;
}

bool nnc_dense_end_rows(nnc_call *call, int64_t begin, int64_t end)
{
    nnc_gemm gemm;
    dense_product(call, &gemm);
    if (nnc_matmul_is_tiled(call) || is_widened(call) || rounded_to(call) != NNC_HALF_NONE)
        return false;
    if (call->in[0].dtype == NNC_F64)
        return nnc_kernels->f64->gemm_fold_rows(&gemm, call->in[2].data, call->out[0].data,
                                                call->workspace, begin, end);
    return nnc_kernels->f32->gemm_fold_rows(&gemm, call->in[2].data, call->out[0].data,
                                            call->workspace, begin, end);
}

void nnc_op_dense_plan(const nnc_call *call, nnc_work *work)
{
    nnc_gemm gemm;
    dense_product(call, &gemm);
    kernel_plan(call, &gemm, 1, work);
}

void nnc_op_dense_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    nnc_gemm gemm;
    bool half = is_widened(call);
    if (half && phase == 0) {
        widen_a(call, begin, end);
        return;
    }
    dense_product(call, &gemm);
    kernel_run(call, &gemm, 0, 0, 0, call->workspace, phase - half, begin, end);
}

/* With z = x w + bias made again: dz = activation'(z) dy, dx = dz w^T, dw = x^T dz, dbias = sum of
 * dz. */
nnc_status nnc_op_dense_gradient(nnc_graph *graph, int index, const int *dy, const bool *need, int *dx)
{
    nnc_status status = NNC_OK;
    const nnc_node node = graph->nodes[index];
    int x = node.inputs[0], w = node.inputs[1], dz = dy[0], z;
    nnc_shape bias = nnc_value_array(graph, node.inputs[2]).shape;
    if (node.attrs.k[0] >= 0) {
        nnc_attrs linear = {.k = {-1}}, attrs = {.f = {node.attrs.f[0]}};
        nnc_op rule = (nnc_op)(node.attrs.k[0] - NNC_OP_relu + NNC_OP_relu_grad);
        NNC_TRY(nnc_emit(graph, NNC_OP_dense, &linear, node.inputs, 3, &z));
        NNC_TRY(nnc_emit3(graph, rule, &attrs, z, node.outputs[0], dy[0], &dz));
    }
    if (need[0])
        NNC_TRY(gradient_a(graph, x, w, false, false, dz, &dx[0]));
    if (need[1])
        NNC_TRY(gradient_b(graph, x, w, false, false, dz, &dx[1]));
    if (need[2])
        NNC_TRY(nnc_emit_sum_to(graph, dz, &bias, &dx[2]));
done:
    return status;
}
