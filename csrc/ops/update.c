/* update.c - a product and the optimizer's step that it is the gradient for, part by part.
 *
 * w (m, n) and its slots step with g = a b as soon as a piece of g is there, while the processor
 * still holds it; the thread that computes a part of g owns that part of w. Each number goes through
 * the same operations in the same order as by matmul and the optimizer's own op. */
#include "kernels/kernels.h"
#include "ops/optimizer.h"
#include "ops/support.h"
#include "ops/table.h"

#include <string.h>

static const nnc_update updates[] = {
    {NNC_OP_sgd, NNC_OP_matmul_sgd, 0},
    {NNC_OP_momentum, NNC_OP_matmul_momentum, 1},
    {NNC_OP_rmsprop, NNC_OP_matmul_rmsprop, 0},
    {NNC_OP_adam, NNC_OP_matmul_adam, 0},
};
enum { NEAR_NUMBERS = 4096, NEAR_ROWS = 32 };   /* of the gradient at a time: in the nearest cache */
enum { UPDATES = sizeof updates / sizeof updates[0] };

const nnc_update *nnc_update_of_step(nnc_op step)
{
    for (int i = 0; i < UPDATES; i++) {
        if (updates[i].step == step)
            return &updates[i];
    }
    return NULL;
}

const nnc_update *nnc_update_of_both(nnc_op both)
{
    for (int i = 0; i < UPDATES; i++) {
        if (updates[i].both == both)
            return &updates[i];
    }
    return NULL;
}

/* The call seen as its two halves. */
typedef struct {
    nnc_call product, step;
    nnc_attrs product_attrs;
    nnc_array factors[2], step_in[NNC_MAX_OUTPUTS + 4];
    int64_t product_workspace;
    double rate;                /* of the step; nnc_op_update_run sets it */
} halves;

/* A product of bfloat16 is the gradient of a float32 variable as it is, not rounded. */
static int64_t wide_of(const nnc_array *w, const nnc_array *factors)
{
    if (w->dtype != NNC_F32 || !nnc_is_half(&factors[0]))
        return 0;
    return NNC_WIDE_C | (factors[1].dtype == NNC_F32 ? NNC_WIDE_B : 0);
}

void nnc_update_cut(nnc_attrs *attrs, int64_t rows, int64_t columns)
{
    attrs->k[NNC_MATMUL_MOST_ROWS] =
        columns >= NEAR_NUMBERS / NEAR_ROWS ? NEAR_ROWS : NEAR_NUMBERS / (columns + 1) + 1;
    if (rows < NEAR_ROWS)
        attrs->k[NNC_MATMUL_MOST_COLUMNS] = NEAR_NUMBERS / (rows + 1) + 1;
}

/* Inputs are those of the optimizer with a, b in the place of the gradient. */
static void split(const nnc_call *call, halves *h)
{
    const nnc_update *row = nnc_update_of_both(call->op);
    int slots = nnc_op_effects(&nnc_ops[call->op]), count = 0;
    int64_t rows = call->in[0].shape.rank == 2 ? call->in[0].shape.dim[0] : 1;
    int64_t columns = call->in[0].shape.rank == 2 ? call->in[0].shape.dim[1] : 1;
    h->product_attrs = (nnc_attrs){.k = {call->attrs->k[row->integers],
                                         call->attrs->k[row->integers + 1]}};
    h->product_attrs.k[NNC_MATMUL_WIDE] = wide_of(&call->in[0], &call->in[slots]);
    nnc_update_cut(&h->product_attrs, rows, columns);
    h->factors[0] = call->in[slots];
    h->factors[1] = call->in[slots + 1];
    h->product = (nnc_call){.op = NNC_OP_matmul, .input_count = 2, .output_count = 1,
                            .attrs = &h->product_attrs, .in = h->factors, .fault = call->fault,
                            .rows = call->rows};
    h->product.out[0] = call->in[0];
    nnc_op_matmul_plan(&h->product, &h->product.work);
    h->product_workspace = (h->product.work.workspace + 63) / 64 * 64;
    h->product.workspace = call->workspace;
    h->product.out[0].data = call->workspace == NULL ? NULL
                                                     : (char *)call->workspace + h->product_workspace;
    for (int k = 0; k < slots; k++)
        h->step_in[count++] = call->in[k];
    h->step_in[count++] = h->product.out[0];
    for (int k = slots + 2; k < call->input_count; k++)
        h->step_in[count++] = call->in[k];
    h->step = (nnc_call){.op = row->step, .input_count = count, .attrs = call->attrs,
                         .in = h->step_in, .fault = call->fault};
}

int nnc_call_lists(const nnc_call *call)
{
    halves h;
    nnc_call shapes = *call;
    if (call->op == NNC_OP_cast || call->op == NNC_OP_round_bf16 ||
        call->op == NNC_OP_round_f16)
        return 0;
    if (call->op == NNC_OP_dense)
        return nnc_dense_is_dot(call) ? 0 : -1;
    if (nnc_update_of_both(call->op) == NULL)
        return -1;
    shapes.workspace = NULL;
    split(&shapes, &h);
    return nnc_matmul_lists_b(&h.product) ? nnc_op_effects(&nnc_ops[call->op]) + 1 : -1;
}

nnc_status nnc_op_update_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                               int input_count, nnc_array *out)
{
    nnc_status status;
    const nnc_update *row = nnc_update_of_both(op);
    int slots = nnc_op_effects(&nnc_ops[op]), count = 0;
    nnc_attrs product_attrs = {.k = {attrs->k[row->integers], attrs->k[row->integers + 1]}};
    nnc_array gradient = in[0], step_in[NNC_MAX_OUTPUTS + 4];
    product_attrs.k[NNC_MATMUL_WIDE] = wide_of(&in[0], &in[slots]);
    char w[NNC_SHAPE_TEXT], g[NNC_SHAPE_TEXT];
    (void)out;
    NNC_TRY(nnc_op_matmul_infer(op, &product_attrs, in + slots, 2, &gradient));
    if (gradient.shape.rank != 2 || !nnc_shape_equal(&gradient.shape, &in[0].shape)) {
        status = nnc_fail(NNC_EVALUE, "%s: the product must have the shape %s of the variable and "
                          "two dimensions, received %s", nnc_op_name(op),
                          nnc_shape_text(&in[0].shape, w), nnc_shape_text(&gradient.shape, g));
        goto done;
    }
    for (int k = 0; k < slots; k++)
        step_in[count++] = in[k];
    step_in[count++] = gradient;
    for (int k = slots + 2; k < input_count; k++)
        step_in[count++] = in[k];
    NNC_TRY(nnc_op_optimizer_infer(op, attrs, step_in, count, NULL));
done:
    return status;
}

void nnc_op_update_plan(const nnc_call *call, nnc_work *work)
{
    halves h;
    nnc_call shapes = *call;
    nnc_work step = {0};
    shapes.workspace = NULL;
    split(&shapes, &h);
    nnc_op_optimizer_plan(&h.step, &step);
    *work = h.product.work;
    work->cost += step.cost;
    work->workspace = h.product_workspace;
    if (!nnc_matmul_is_tiled(&h.product))
        work->workspace += nnc_shape_size(&call->in[0].shape) * nnc_dtype_size(call->in[0].dtype);
}

/* The step on what a piece of the product has finished. */
static void step_region(halves *h, const nnc_region *region)
{
    int64_t n = h->product.out[0].shape.dim[1];
    if (region->r0 < region->r1)
        nnc_optimizer_rows(&h->step, h->rate, region->r0 * n + region->c0,
                           region->r1 - region->r0, region->c1 - region->c0, n, NULL, 0);
}

/* Whole rows of w are one run, so that short ones do not cost a call each: c's are drawn
 * together. */
static void step_part(void *argument, const nnc_region *part, float *c, int64_t c_row)
{
    halves *h = argument;
    int64_t n = h->product.out[0].shape.dim[1], rows = part->r1 - part->r0;
    if (part->c1 - part->c0 == n && n < NEAR_NUMBERS) {
        for (int64_t i = 1; i < rows; i++)
            memmove(c + i * n, c + i * c_row, (size_t)n * sizeof *c);
        nnc_optimizer_rows(&h->step, h->rate, part->r0 * n, 1, rows * n, rows * n, c, rows * n);
        return;
    }
    nnc_optimizer_rows(&h->step, h->rate, part->r0 * n + part->c0, rows, part->c1 - part->c0, n, c,
                       c_row);
}

void nnc_op_update_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    halves h;
    if (begin >= end)
        return;
    split(call, &h);
    h.rate = nnc_optimizer_rate(&h.step);
    if (nnc_matmul_is_tiled(&h.product)) {
        nnc_matmul_run_into(&h.product, phase, begin, end, step_part, &h);
        return;
    }
    for (int64_t piece = begin; piece < end; piece++) {
        nnc_region region = nnc_matmul_region(&h.product, phase, piece);
        nnc_op_matmul_run(&h.product, phase, piece, piece + 1);
        step_region(&h, &region);
    }
}
