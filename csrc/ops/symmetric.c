/* symmetric.c - products of matrices that are known to be symmetric, such as x x^T: y = op(a) op(b)
 * is computed on and below its diagonal, in blocks of rows, and mirrored above it. That is little
 * more than half of the product's work.
 *
 * Each block of BLOCK rows is a product of its own, which ends at the block's last diagonal
 * element; those go on side by side, so phase p of this op is phase p of all of them. In the last phase each
 * block of rows takes what lies right of the diagonal from below it. Letters: y (n, n), k inner. */
#include "kernels/kernels.h"
#include "ops/support.h"
#include "ops/table.h"

enum { BLOCK = 96, MIRROR = 16 };      /* of rows: measured; of columns that are mirrored at once */

/* A block of rows: its product, and where it begins in a (elements) and y. */
typedef struct {
    nnc_gemm gemm;
    nnc_work work;
    int64_t a, y;
} block;

static int64_t block_count(const nnc_call *call)
{
    int64_t n = call->out[0].shape.dim[0];
    return n > 0 ? (n + BLOCK - 1) / BLOCK : 1;
}

static block block_of(const nnc_call *call, int64_t i)
{
    const nnc_shape *a = &call->in[0].shape, *b = &call->in[1].shape;
    bool turn_a = call->attrs->k[0] != 0, turn_b = call->attrs->k[1] != 0;
    int64_t n = call->out[0].shape.dim[0], first = i * BLOCK;
    int64_t last = first + BLOCK < n ? first + BLOCK : n;
    block x = {.gemm = {.m = last - first, .n = last, .k = a->dim[!turn_a], .ldc = n,
                        .a_row = turn_a ? 1 : a->dim[1], .a_col = turn_a ? a->dim[1] : 1,
                        .b_row = turn_b ? 1 : b->dim[1], .b_col = turn_b ? b->dim[1] : 1,
                        .activation = -1}};
    x.a = first * x.gemm.a_row;
    x.y = first * n;
    if (call->in[0].dtype == NNC_F32)
        nnc_kernels->f32->gemm_plan(&x.gemm, &x.work);
    else
        nnc_kernels->f64->gemm_plan(&x.gemm, &x.work);
    x.work.workspace = (x.work.workspace + 63) / 64 * 64;
    return x;
}

nnc_status nnc_op_symmetric_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                  int input_count, nnc_array *out)
{
    nnc_status status;
    char a[NNC_SHAPE_TEXT], b[NNC_SHAPE_TEXT];
    nnc_attrs turns = {.k = {attrs->k[0], attrs->k[1]}};
    NNC_TRY(nnc_op_matmul_infer(op, &turns, in, input_count, out));
    if (in[0].shape.rank != 2 || in[1].shape.rank != 2 || out->shape.dim[0] != out->shape.dim[1])
        status = nnc_fail(NNC_EVALUE, "%s: expected two matrices with a square product, received "
                          "shapes %s and %s", nnc_op_name(op), nnc_shape_text(&in[0].shape, a),
                          nnc_shape_text(&in[1].shape, b));
done:
    return status;
}

void nnc_op_symmetric_plan(const nnc_call *call, nnc_work *work)
{
    int64_t blocks = block_count(call);
    *work = (nnc_work){.phases = 0};
    for (int64_t i = 0; i < blocks; i++) {
        block x = block_of(call, i);
        work->phases = x.work.phases > work->phases ? x.work.phases : work->phases;
        for (int phase = 0; phase < x.work.phases; phase++)
            work->pieces[phase] += x.work.pieces[phase];
        work->workspace += x.work.workspace;
        work->cost += x.work.cost;
    }
    work->pieces[work->phases++] = blocks;
}

/* y[r, c] = y[c, r] right of the diagonal, rows first..last-1; the rows' left part is finished. */
#define MIRROR_ROWS(suffix, type)                                                                  \
    static void mirror_##suffix(type *y, int64_t n, int64_t first, int64_t last)                   \
    {                                                                                              \
        for (int64_t c0 = first; c0 < n; c0 += MIRROR) {                                           \
            int64_t c1 = c0 + MIRROR < n ? c0 + MIRROR : n;                                        \
            for (int64_t r = first; r < last; r++) {                                               \
                for (int64_t c = c0 > r ? c0 : r + 1; c < c1; c++)                                 \
                    y[r * n + c] = y[c * n + r];                                                   \
            }                                                                                      \
        }                                                                                          \
    }
MIRROR_ROWS(f32, float)
MIRROR_ROWS(f64, double)

static void run_block(const nnc_call *call, const block *x, char *workspace, int phase,
                      int64_t begin, int64_t end)
{
    if (call->in[0].dtype == NNC_F32)
        nnc_kernels->f32->gemm_run(&x->gemm, (const float *)call->in[0].data + x->a,
                                   call->in[1].data, NULL, (float *)call->out[0].data + x->y,
                                   workspace, phase, begin, end);
    else
        nnc_kernels->f64->gemm_run(&x->gemm, (const double *)call->in[0].data + x->a,
                                   call->in[1].data, NULL, (double *)call->out[0].data + x->y,
                                   workspace, phase, begin, end);
}

static void mirror(const nnc_call *call, int64_t begin, int64_t end)
{
    int64_t n = call->out[0].shape.dim[0], last = end * BLOCK < n ? end * BLOCK : n;
    for (int64_t first = begin * BLOCK; first < last; first += BLOCK) {
        int64_t stop = first + BLOCK < last ? first + BLOCK : last;
        if (call->in[0].dtype == NNC_F32)
            mirror_f32(call->out[0].data, n, first, stop);
        else
            mirror_f64(call->out[0].data, n, first, stop);
    }
}

void nnc_op_symmetric_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    int64_t blocks = block_count(call), pieces = 0, space = 0;
    if (phase == call->work.phases - 1) {
        mirror(call, begin, end);
        return;
    }
    for (int64_t i = 0; i < blocks && pieces < end; i++) {
        block x = block_of(call, i);
        int64_t own = phase < x.work.phases ? x.work.pieces[phase] : 0;
        int64_t from = begin > pieces ? begin - pieces : 0, to = end - pieces;
        if (from < own)
            run_block(call, &x, call->workspace == NULL ? NULL : (char *)call->workspace + space,
                      phase, from, to < own ? to : own);
        pieces += own;
        space += x.work.workspace;
    }
}
