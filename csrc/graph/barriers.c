/* barriers.c - who waits for whom: where threads meet between the steps of a program, and which of
 * them runs a step that is not shared.
 *
 * Two steps need a barrier between them if one writes what the other reads or writes and at least
 * one of them is spread over threads; addresses tell, so sharing of arena memory is seen as well. */
#include "graph/program.h"

#include <string.h>

static bool overlap(const void *a, int64_t a_bytes, const void *b, int64_t b_bytes)
{
    uintptr_t x = (uintptr_t)a, y = (uintptr_t)b;
    return a != NULL && b != NULL && x < y + (uintptr_t)b_bytes && y < x + (uintptr_t)a_bytes;
}

static int64_t bytes_of(const nnc_array *array)
{
    return nnc_shape_size(&array->shape) * nnc_dtype_size(array->dtype);
}

static bool range_touched(const nnc_call *call, const void *data, int64_t bytes, bool reads_too)
{
    int written = nnc_effects(call->op, call->attrs);
    for (int k = 0; k < call->output_count; k++) {
        if (overlap(call->out[k].data, bytes_of(&call->out[k]), data, bytes))
            return true;
    }
    for (int k = 0; k < (reads_too ? call->input_count : written); k++) {
        if (overlap(call->in[k].data, bytes_of(&call->in[k]), data, bytes))
            return true;
    }
    return overlap(call->workspace, call->work.workspace, data, bytes);
}

/* Whether b, which comes after a, must wait for it. */
static bool conflicts(const nnc_call *a, const nnc_call *b)
{
    int written = nnc_effects(b->op, b->attrs);
    for (int k = 0; k < b->output_count; k++) {
        if (range_touched(a, b->out[k].data, bytes_of(&b->out[k]), true))
            return true;
    }
    for (int k = 0; k < b->input_count; k++) {
        if (range_touched(a, b->in[k].data, bytes_of(&b->in[k]), k < written))
            return true;
    }
    return range_touched(a, b->workspace, b->work.workspace, true);
}

enum {
    OWNERS = 4,
    MOST_KEPT = 1 << 18         /* bytes */
};
#define OWNED_COST 100.0        /* ns: a shorter step is not worth another thread */

/* Whether threads other than 0 may still be at work when it is thread 0's turn again. (A node that
 * owns graphs ends with all threads together.) */
static bool is_spread(const nnc_step *step)
{
    if (step->flow != NULL)
        return false;
    return step->parallel ? !step->joined : step->owner != 0;
}

/* Who runs step i, an effect that is not parallel: one that writes or reads what a step since the
 * last barrier did goes to the same thread, others to the one with the least to do. Returns whether
 * the step needs a barrier. load: nanoseconds. */
static bool choose_owner(nnc_program *program, int64_t since, int64_t i, double load[OWNERS])
{
    nnc_step *step = &program->steps[i];
    int owner = -1;
    for (int64_t j = since; j < i; j++) {
        const nnc_step *before = &program->steps[j];
        if (!conflicts(&before->call, &step->call))
            continue;
        int theirs = before->parallel ? 0 : before->owner;
        if ((before->parallel && !before->joined) || (owner >= 0 && owner != theirs))
            return true;
        owner = theirs;
    }
    for (int k = 0; owner < 0 && k < OWNERS && step->call.work.cost > OWNED_COST; k++) {
        if (load[k] < load[step->owner])
            step->owner = k;
    }
    if (owner >= 0)
        step->owner = owner;
    load[step->owner] += step->call.work.cost;
    return false;
}

/* Whether step i must wait for those of since..before-1. */
static bool needs_barrier(const nnc_program *program, int64_t since, int64_t before, int64_t i)
{
    const nnc_step *step = &program->steps[i];
    for (int64_t j = since; j < before; j++) {
        if ((step->parallel || is_spread(&program->steps[j])) &&
            conflicts(&program->steps[j].call, &step->call))
            return true;
    }
    return false;
}

/* Whether one of the steps of a run must wait for those before the run. */
static bool run_needs_barrier(const nnc_program *program, int64_t since, int64_t first)
{
    int64_t end = first + program->steps[first].run;
    for (int64_t i = first; i < end; i++) {
        if (needs_barrier(program, since, first, i))
            return true;
    }
    return false;
}

/* Bytes of the arena that a node reads, its workspace among them. */
static int64_t arena_read(const nnc_program *program, const nnc_step *step)
{
    const nnc_graph *graph = program->graph;
    const nnc_node *node = &graph->nodes[step->node];
    int64_t bytes = step->call.work.workspace;
    for (int k = 0; k < node->input_count; k++) {
        const nnc_value *value = &graph->values[nnc_rewrite_root(graph, node->inputs[k])];
        bytes += value->kind == NNC_COMPUTED ? bytes_of(&value->array) : 0;
    }
    return bytes;
}

void nnc_program_keep_apart(const nnc_program *program, int64_t *until)
{
    int64_t kept = 0;
    for (int64_t i = program->first_effect; i < program->step_count; i++) {
        int64_t bytes = arena_read(program, &program->steps[i]);
        if (program->steps[i].flow != NULL || bytes > MOST_KEPT - kept)
            continue;
        kept += bytes;
        until[program->steps[i].node] = program->graph->node_count - 1;
    }
}

void nnc_program_place_barriers(nnc_program *program)
{
    int64_t since = 0;
    double load[OWNERS] = {0};
    for (int64_t i = 0, length; i < program->step_count; i += length) {
        nnc_step *step = &program->steps[i];
        length = step->run > 0 ? step->run : 1;
        bool flow = i > 0 && (step->flow != NULL || program->steps[i - 1].flow != NULL);
        if (i == program->first_effect) {
            step->barrier = i > 0;
        } else if (flow || i < program->first_effect || step->parallel) {
            step->barrier = flow || (step->run > 0 ? run_needs_barrier(program, since, i)
                                                   : needs_barrier(program, since, i, i));
        } else {
            step->barrier = choose_owner(program, since, i, load);
        }
        if (step->barrier) {
            since = i;
            memset(load, 0, sizeof load);
        }
    }
}
