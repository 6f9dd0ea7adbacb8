/* rows.c - steps that work row by row, run a part of the rows at a time.
 *
 * Where each row of what a step makes depends on that row of what it reads, and on whole other arrays
 * such as weights, a part of the rows may go through several such steps before the next part begins:
 * threads then meet once, not between any two steps, and find in their caches what they have just
 * made. A row's bits do not depend on the rows beside it (the ops say so), so that it is the same
 * whoever runs which part. Where there are few rows, each thread has its own part of them, and a
 * product that all threads have shared may come before: a thread adds up the rows that it goes on
 * with. */
#include "graph/rows.h"

#include "graph/call.h"
#include "ops/chain.h"
#include "ops/loss.h"
#include "ops/optimizer.h"

enum {
    PART_ROWS = 128,            /* at least: narrow products pack their weight for each part */
    MOST_PARTS = 16,            /* enough for the threads there are */
    FEW_PARTS = 4,              /* of fewer rows than two such parts: then each has ... */
    FEW_ROWS = 16,              /* ... so many at least, and its thread */
    MOST_INPUTS = 8,
    MOST_EXTENTS = NNC_MAX_OUTPUTS + MOST_INPUTS + 1,
    MOST_BYTES = 1 << 22,       /* of what a step makes: more is worth a barrier, and memory */
    SHARED_BYTES = 1 << 18      /* of what every part reads, at most: a part of a second-level cache */
};
#define RUN_COST 4000.0         /* ns: worth another thread, and a barrier */
#define TAIL_COST 1500.0        /* where threads have met before it and will after it anyway */

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
    case NNC_OP_softmax_loss:
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
    case NNC_OP_softmax_loss:
        return call->in[0].shape.rank == 2;
    default:
        return nnc_chain_takes(call->op);
    }
}

/* The parts that the rows are cut into; less than 2: it is left whole. */
static int64_t parts_of(const nnc_call *call, int threads)
{
    const nnc_shape *out = &call->out[0].shape;
    bool outputs = call->output_count == 1 || call->op == NNC_OP_softmax_loss;
    if (!outputs || out->rank == 0 || call->wide || call->input_count > MOST_INPUTS ||
        !is_by_rows(call) ||
        nnc_shape_size(out) * nnc_dtype_size(call->out[0].dtype) > MOST_BYTES)
        return 0;
    for (int k = 0; k < call->input_count; k++) {
        if (goes_along(call, k) && call->in[k].shape.dim[0] != out->dim[0])
            return 0;
    }
    int64_t count = out->dim[0] / PART_ROWS, few = out->dim[0] / FEW_ROWS;
    int most = threads < 2 ? 2 : threads < FEW_PARTS ? threads : FEW_PARTS;
    if (count < 2)
        return few < most ? few : most;
    return count < MOST_PARTS ? count : MOST_PARTS;
}

static int64_t first_row(const nnc_row_parts *parts, int64_t part)
{
    return parts->rows * part + (part < parts->longer ? part : parts->longer);
}

/* Whether its parts are few, each for one thread that is known beforehand. */
static bool has_few(const nnc_step *step)
{
    return step->rows != NULL && step->rows->count <= FEW_PARTS &&
        step->rows->rows < PART_ROWS;
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

nnc_status nnc_rows_prepare(nnc_step *step, int threads)
{
    nnc_status status = NNC_OK;
    const nnc_call *whole = &step->call;
    int64_t count = parts_of(whole, threads), rows = whole->out[0].shape.dim[0];
    nnc_row_parts *parts = NULL;
    if (count < 2)
        return NNC_OK;
    NNC_TRY(nnc_alloc_zero(sizeof *parts, &parts));
    step->rows = parts;
    *parts = (nnc_row_parts){.count = count, .rows = rows / count, .longer = rows % count};
    if (whole->op == NNC_OP_softmax_loss)
        goto done;
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

/* What a step writes, and then what it reads. *made: how many of the first; returns how many of all. */
static int extents_of(const nnc_call *call, extent out[MOST_EXTENTS], int *made)
{
    int n = 0;
    for (int k = 0; k < call->output_count; k++)
        out[n++] = extent_of(&call->out[k], call->out[k].shape.rank > 0);
    out[n++] = (extent){call->workspace, call->work.workspace, false};
    *made = n;
    for (int k = 0; k < call->input_count; k++)
        out[n++] = extent_of(&call->in[k], goes_along(call, k));
    return n;
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
    extent first[MOST_EXTENTS], second[MOST_EXTENTS];
    int first_made, second_made;
    int first_count = extents_of(&step->call, first, &first_made);
    int second_count = extents_of(&later->call, second, &second_made);
    for (int i = 0; i < first_count; i++) {
        int from = step == later ? second_made : 0;     /* what it writes are different things */
        int to = i < first_made ? second_count : step == later ? from : second_made;
        for (int k = from; k < to; k++) {
            if (!keeps_apart(first[i], second[k]))
                return false;
        }
    }
    return true;
}

/* The neighbouring steps from `begin` on whose rows are cut alike. */
static int64_t length_alike(const nnc_program *program, int64_t begin)
{
    const nnc_step *steps = program->steps;
    int64_t end = begin;
    while (end < program->first_effect && steps[end].rows != NULL &&
           steps[end].call.out[0].shape.dim[0] == steps[begin].call.out[0].shape.dim[0] &&
           steps[end].rows->count == steps[begin].rows->count)
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

/* A softmax_loss in a run is finished as threads meet before the first effect, directly behind it. */
static int64_t length_to_finish(const nnc_program *program, int64_t begin, int64_t length)
{
    for (int64_t i = begin; i < begin + length; i++) {
        if (program->steps[i].call.op == NNC_OP_softmax_loss &&
            (program->inner || begin + length != program->first_effect))
            return i - begin;
    }
    return length;
}

/* Whether a step that all threads share adds up its rows in a last phase: each thread may do so for
 * its own, and go on with them. */
static bool is_head(nnc_step *step)
{
    return has_few(step) && step->parallel && step->call.op == NNC_OP_dense &&
        step->call.work.phases > 1 && nnc_dense_end_rows(&step->call, 0, 0);
}

static void join(nnc_program *program, int64_t begin, int64_t length, bool head)
{
    program->steps[begin].run = length;
    program->steps[begin].head = head;
    program->any_parallel = true;
    for (int64_t i = begin; i < begin + length; i++) {
        program->steps[i].parallel = true;
        program->steps[i].joined = false;
        if (program->steps[i].call.op == NNC_OP_softmax_loss)
            program->unfinished = i;
    }
}

void nnc_rows_join(nnc_program *program)
{
    program->unfinished = -1;
    for (int64_t i = 0, length; i < program->first_effect; i += length > 0 ? length : 1) {
        double cost = 0;
        bool head = is_head(&program->steps[i]);
        length = length_to_finish(program, i, length_of_run(program, i));
        for (int64_t j = i + head; j < i + length; j++)
            cost += program->steps[j].call.work.cost;
        if (length >= 2 &&
            cost >= (head && i + length == program->first_effect ? TAIL_COST : RUN_COST))
            join(program, i, length, head);
    }
}

/* ---- replay ---- */

/* The step's op on part i, its addresses those of this replay. */
static void run_part(nnc_step *step, int64_t i)
{
    const nnc_row_parts *parts = step->rows;
    nnc_call *whole = &step->call;
    int64_t first = first_row(parts, i), rows = parts->rows * parts->count + parts->longer;
    if (whole->op == NNC_OP_softmax_loss) {
        nnc_softmax_loss_rows(whole, i, first, first_row(parts, i + 1) - first);
        return;
    }
    nnc_call call = parts->calls[i < parts->longer];
    nnc_array in[MOST_INPUTS];
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

static void run_parts(nnc_step *first, int64_t part)
{
    for (nnc_step *step = first + first->head; step < first + first->run; step++)
        run_part(step, part);
}

/* Parts of this thread's own: the same as the head ends and in what follows. */
static void run_few(nnc_running *running, nnc_step *first, int thread, int threads, bool may_stop)
{
    nnc_call *call = &first->call;
    int64_t begin, end, count = first->rows->count;
    int last = first->head ? call->work.phases - 1 : 0;     /* the phase of the parts */
    nnc_call_share(count, thread, threads, &begin, &end);
    for (int phase = 0; phase < last; phase++) {
        nnc_step_run_phase(running, first, phase, thread, threads, may_stop);
        nnc_pool_barrier(thread);
    }
    if (begin == end || (may_stop && nnc_running_stopped(running, thread)))
        return;
    if (first->head)
        nnc_dense_end_rows(call, first_row(first->rows, begin), first_row(first->rows, end));
    for (int64_t part = begin; part < end; part++)
        run_parts(first, part);
}

void nnc_rows_run(nnc_running *running, nnc_step *first, int thread, int threads, bool may_stop)
{
    int64_t part, end, count = first->rows->count;
    if (has_few(first)) {
        run_few(running, first, thread, threads, may_stop);
        return;
    }
    while (nnc_taken_next(&first->taken[0], count, thread, threads, 1, &part, &end) &&
           !(may_stop && nnc_running_stopped(running, thread)))
        run_parts(first, part);
}
