/* rows.c - steps that work row by row, run a part of the rows at a time.
 *
 * Where each row of what a step makes depends on that row of what it reads, and on whole other arrays
 * such as weights, a part of the rows may go through several such steps before the next part begins:
 * threads then meet once, not between any two steps, and find in their caches what they have just
 * made. A row's bits do not depend on the rows beside it (the ops say so), so that it is the same
 * whoever runs which part. */
#include "graph/rows.h"

#include "graph/call.h"
#include "ops/chain.h"

enum {
    PART_ROWS = 128,            /* at least: narrow products pack their weight for each part */
    MOST_PARTS = 16,            /* enough for the threads there are */
    MOST_INPUTS = 8,
    MOST_BYTES = 1 << 22,       /* of what a step makes: more is worth a barrier, and memory */
    SHARED_BYTES = 1 << 18      /* of what every part reads, at most: a part of a second-level cache */
};
#define RUN_COST 4000.0         /* ns: worth another thread */

/* ---- a step ---- */

static bool is_last_axis(const nnc_call *call)
{
    int rank = call->in[0].shape.rank;
    return rank >= 2 && (call->attrs->k[0] == -1 || call->attrs->k[0] == rank - 1);
}

/* Whether input k goes along with the rows of the output; else all of it is read for each row. */
static bool goes_along(const nnc_call *call, int k)
{
    const nnc_shape *in = &call->in[k].shape, *out = &call->out[0].shape;
    switch ((int)call->op) {
    case NNC_OP_dense:
    case NNC_OP_matmul:
        return k == 0;
    case NNC_OP_softmax:
    case NNC_OP_softmax_grad:
    case NNC_OP_log_softmax:
    case NNC_OP_log_softmax_grad:
    case NNC_OP_argmax:
        return true;
    default:                    /* element-wise */
        return in->rank == out->rank && in->dim[0] == out->dim[0];
    }
}

/* Whether the op works row by row, the rows being those of its first dimension. */
static bool is_by_rows(const nnc_call *call)
{
    int64_t factor = call->input_count > 1 ? nnc_shape_size(&call->in[1].shape) *
            nnc_dtype_size(call->in[1].dtype) : 0;
    switch ((int)call->op) {
    case NNC_OP_dense:
        return factor <= SHARED_BYTES;
    case NNC_OP_matmul:
        return call->in[0].shape.rank == 2 && call->in[1].shape.rank == 2 &&
            call->attrs->k[0] == 0 && factor <= SHARED_BYTES;
    case NNC_OP_softmax:
    case NNC_OP_softmax_grad:
    case NNC_OP_log_softmax:
    case NNC_OP_log_softmax_grad:
    case NNC_OP_argmax:
        return is_last_axis(call);
    case NNC_OP_chain:
    case NNC_OP_cast:
    case NNC_OP_round_bf16:
    case NNC_OP_round_f16:
        return true;
    default:
        return nnc_chain_takes(call->op);
    }
}

/* The parts that the rows are cut into; less than 2: it is left whole. */
static int64_t parts_of(const nnc_call *call)
{
    const nnc_shape *out = &call->out[0].shape;
    if (call->output_count != 1 || out->rank == 0 || call->wide ||
        call->input_count > MOST_INPUTS || !is_by_rows(call) ||
        nnc_shape_size(out) * nnc_dtype_size(call->out[0].dtype) > MOST_BYTES)
        return 0;
    for (int k = 0; k < call->input_count; k++) {
        if (goes_along(call, k) && call->in[k].shape.dim[0] != out->dim[0])
            return 0;
    }
    int64_t count = out->dim[0] / PART_ROWS;
    return count < MOST_PARTS ? count : MOST_PARTS;
}

/* The call on so many of the rows, of shapes only. */
static void cut_call(const nnc_call *whole, nnc_row_parts *parts, int longer)
{
    nnc_call *call = &parts->calls[longer];
    *call = *whole;
    call->in = parts->in + longer * whole->input_count;
    for (int k = 0; k < whole->input_count; k++) {
        call->in[k] = whole->in[k];
        if (goes_along(whole, k))
            call->in[k].shape.dim[0] = parts->rows + longer;
    }
    call->out[0].shape.dim[0] = parts->rows + longer;
    nnc_call_plan(call);
    if (call->work.workspace > parts->workspace)
        parts->workspace = (call->work.workspace + 63) / 64 * 64;
}

nnc_status nnc_rows_prepare(nnc_step *step)
{
    nnc_status status = NNC_OK;
    const nnc_call *whole = &step->call;
    int64_t count = parts_of(whole), rows = whole->out[0].shape.dim[0];
    nnc_row_parts *parts = NULL;
    if (count < 2)
        return NNC_OK;
    NNC_TRY(nnc_alloc_zero(sizeof *parts, &parts));
    step->rows = parts;
    *parts = (nnc_row_parts){.count = count, .rows = rows / count, .longer = rows % count};
    NNC_TRY(nnc_alloc_zero(2 * (int64_t)sizeof *parts->calls, &parts->calls));
    NNC_TRY(nnc_alloc_zero(2 * whole->input_count * (int64_t)sizeof *parts->in, &parts->in));
    cut_call(whole, parts, 0);
    cut_call(whole, parts, 1);
    if (count * parts->workspace > step->call.work.workspace)
        step->call.work.workspace = count * parts->workspace;
done:
    return status;
}

void nnc_rows_release(nnc_step *step)
{
    if (step->rows == NULL)
        return;
    nnc_free(step->rows->calls);
    nnc_free(step->rows->in);
    nnc_free(step->rows);
    step->rows = NULL;
}

/* ---- runs ---- */

/* An array of a step as others see it. */
typedef struct {
    const char *data;
    int64_t bytes;
    bool along;             /* a part of the rows is a part of it */
} extent;

static extent extent_of(const nnc_array *array, bool along)
{
    return (extent){array->data, nnc_shape_size(&array->shape) * nnc_dtype_size(array->dtype),
                    along};
}

/* Whether part p of one touches nothing of the other but its part p. */
static bool keeps_apart(extent a, extent b)
{
    if (a.data == NULL || b.data == NULL || a.data >= b.data + b.bytes ||
        b.data >= a.data + a.bytes)
        return true;
    return a.along && b.along && a.data == b.data && a.bytes == b.bytes;
}

/* Whether a part may go through `later` before all others have been through `step`: what one writes
 * the other reads or writes within the same part. */
static bool may_follow(const nnc_step *step, const nnc_step *later)
{
    const nnc_call *a = &step->call, *b = &later->call;
    extent made = extent_of(&a->out[0], true), make = extent_of(&b->out[0], true);
    if (step->rows->workspace > 0 || later->rows->workspace > 0 || !keeps_apart(made, make))
        return false;
    for (int k = 0; k < b->input_count; k++) {
        if (!keeps_apart(made, extent_of(&b->in[k], goes_along(b, k))))
            return false;
    }
    for (int k = 0; k < a->input_count; k++) {
        if (!keeps_apart(make, extent_of(&a->in[k], goes_along(a, k))))
            return false;
    }
    return true;
}

/* The neighbouring steps from `begin` on whose rows are cut alike. */
static int64_t length_alike(const nnc_program *program, int64_t begin)
{
    const nnc_step *steps = program->steps;
    int64_t end = begin;
    while (end < program->first_effect && steps[end].rows != NULL &&
           steps[end].call.out[0].shape.dim[0] == steps[begin].call.out[0].shape.dim[0])
        end++;
    return end - begin;
}

void nnc_rows_together(const nnc_program *program, int64_t *until)
{
    for (int64_t i = 0; i < program->graph->node_count; i++)
        until[i] = i;
    for (int64_t i = 0, length; i < program->step_count; i += length > 0 ? length : 1) {
        length = length_alike(program, i);
        for (int64_t node = program->steps[i].node;
             length > 0 && node < program->steps[i + length - 1].node; node++)
            until[node] = program->steps[i + length - 1].node;
    }
}

/* The steps from `begin` on that make one run. */
static int64_t length_of_run(const nnc_program *program, int64_t begin)
{
    const nnc_step *steps = program->steps;
    int64_t end = begin + length_alike(program, begin);
    for (int64_t later = begin; later < end; later++) {
        for (int64_t i = begin; i <= later; i++) {
            if (!may_follow(&steps[i], &steps[later]))
                return later - begin;
        }
    }
    return end - begin;
}

void nnc_rows_join(nnc_program *program)
{
    for (int64_t i = 0, length; i < program->first_effect; i += length > 0 ? length : 1) {
        double cost = 0;
        length = length_of_run(program, i);
        for (int64_t j = i; j < i + length; j++)
            cost += program->steps[j].call.work.cost;
        if (length < 2 || cost < RUN_COST)
            continue;
        program->steps[i].run = length;
        program->any_parallel = true;
        for (int64_t j = i; j < i + length; j++) {
            program->steps[j].parallel = true;
            program->steps[j].joined = false;
        }
    }
}

/* ---- replay ---- */

/* The step's op on part i, its addresses those of this replay. */
static void run_part(const nnc_step *step, int64_t i)
{
    const nnc_row_parts *parts = step->rows;
    const nnc_call *whole = &step->call;
    nnc_call call = parts->calls[i < parts->longer];
    nnc_array in[MOST_INPUTS];
    int64_t first = parts->rows * i + (i < parts->longer ? i : parts->longer);
    int64_t rows = parts->rows * parts->count + parts->longer;
    for (int k = 0; k < call.input_count; k++) {
        extent all = extent_of(&whole->in[k], goes_along(whole, k));
        in[k] = call.in[k];
        in[k].data = whole->in[k].data;
        if (all.along && all.data != NULL)
            in[k].data = (char *)whole->in[k].data + all.bytes / rows * first;
    }
    call.in = in;
    call.out[0].data =
        (char *)whole->out[0].data + extent_of(&whole->out[0], true).bytes / rows * first;
    call.rows = whole->rows == NULL ? NULL : whole->rows + first;
    call.workspace =
        whole->workspace == NULL ? NULL : (char *)whole->workspace + i * parts->workspace;
    call.fault = whole->fault;
    for (int phase = 0; phase < call.work.phases; phase++)
        nnc_call_run(&call, phase, 0, call.work.pieces[phase]);
}

void nnc_rows_run(nnc_running *running, nnc_step *first, int thread, bool may_stop)
{
    int64_t part, count = first->rows->count;
    while ((part = atomic_fetch_add_explicit(&first->taken[0], 1, memory_order_relaxed)) < count &&
           !(may_stop && nnc_running_stopped(running, thread))) {
        for (const nnc_step *step = first; step < first + first->run; step++)
            run_part(step, part);
    }
}
