/* steps.c - runs one step of a program: a call's pieces, or a node that owns graphs.
 *
 * All threads of a replay go through all steps. Within a branch or a loop thread 0 decides (which
 * body, whether one more round); between its decision and the others' reading of it lies a
 * barrier, and another before the next. A body is a program: its steps are run here, too. */
#include "graph/program.h"

#include "graph/call.h"
#include "graph/rows.h"

#include <string.h>

#define TAKEN_COST 1e5          /* ns: a step from which on its pieces are taken */

bool nnc_running_stopped(nnc_running *running, int thread)
{
    if (thread == 0 && nnc_poll_due())
        atomic_store_explicit(&running->stop, 1, memory_order_relaxed);
    return atomic_load_explicit(&running->stop, memory_order_relaxed);
}

void nnc_program_bind(nnc_program *program, int64_t input, void *data)
{
    if (program->bound[input] == data)
        return;
    program->bound[input] = data;
    for (int64_t i = 0; i < program->patch_count; i++) {
        if (program->patches[i].input == input)
            *program->patches[i].slot = data;
    }
}

/* Whether threads take its pieces or parts; else each has its share. */
static bool is_taken(const nnc_step *step)
{
    return step->parallel && (step->call.work.cost >= TAKEN_COST || step->rows != NULL);
}

void nnc_program_arm(nnc_program *program, nnc_running *running)
{
    for (int64_t i = 0; i < program->step_count; i++) {
        program->steps[i].call.fault = &running->fault;
        if (!is_taken(&program->steps[i]))
            continue;
        for (int phase = 0; phase < program->steps[i].call.work.phases; phase++)
            nnc_taken_reset(&program->steps[i].taken[phase]);
    }
}

/* ---- calls ---- */

void nnc_step_run_phase(nnc_running *running, nnc_step *step, int phase, int thread, int threads,
                        bool may_stop)
{
    nnc_call *call = &step->call;
    int64_t begin, end, pieces = call->work.pieces[phase];
    if (call->work.cost < TAKEN_COST || pieces == 1) {
        nnc_call_share(pieces, thread, threads, &begin, &end);
        if (begin < end && !(may_stop && nnc_running_stopped(running, thread)))
            nnc_call_run(call, phase, begin, end);
        return;
    }
    int64_t most = nnc_call_stretch(call, phase);
    while (nnc_taken_next(&step->taken[phase], pieces, thread, threads, most, &begin, &end) &&
           !(may_stop && nnc_running_stopped(running, thread)))
        nnc_call_run(call, phase, begin, end);
}

static void run_parallel(nnc_running *running, nnc_step *step, int thread, int threads,
                         bool may_stop)
{
    for (int phase = 0; phase < step->call.work.phases; phase++) {
        if (phase > 0)
            nnc_pool_barrier(thread);
        nnc_step_run_phase(running, step, phase, thread, threads, may_stop);
    }
}

static void run_serial(nnc_running *running, nnc_call *call, bool may_stop)
{
    for (int phase = 0; phase < call->work.phases; phase++) {
        int64_t pieces = call->work.pieces[phase], some = nnc_call_stretch(call, phase);
        for (int64_t begin = 0; begin < pieces; begin += some) {
            if (call->work.cost >= TAKEN_COST && may_stop && nnc_running_stopped(running, 0))
                break;
            nnc_call_run(call, phase, begin, pieces - begin < some ? pieces : begin + some);
        }
    }
}

/* ---- bodies ---- */

static void meet(int thread, int threads)
{
    if (threads > 1)
        nnc_pool_barrier(thread);
}

static int64_t bytes_of(const nnc_array *array)
{
    return nnc_shape_size(&array->shape) * nnc_dtype_size(array->dtype);
}

/* This thread's part of a copy; small ones are thread 0's. */
static void copy_share(void *to, const void *from, int64_t bytes, int thread, int threads)
{
    int64_t begin = 0, end = thread == 0 ? bytes : 0;
    if (threads > 1 && bytes > 1 << 16)
        nnc_call_share(bytes, thread, threads, &begin, &end);
    if (to != NULL && begin < end)
        memcpy((char *)to + begin, (const char *)from + begin, (size_t)(end - begin));
}

static const void *output_data(const nnc_program *program, int k)
{
    return nnc_program_data(program, program->outputs[k]);
}

/* Thread 0: feeds what comes from the node's inputs. */
static void feed(nnc_program *program, const nnc_body *body, const nnc_call *call)
{
    for (int64_t k = 0; k < program->graph->input_count; k++) {
        if (body->feeds[k] >= 0)
            nnc_program_bind(program, k, call->in[body->feeds[k]].data);
    }
}

/* All steps; inputs are bound, and all threads know of it. Ends with all threads together. */
static void run_body(nnc_running *running, nnc_program *program, int thread, int threads,
                     bool may_stop)
{
    for (int64_t i = 0; i < program->step_count;) {
        nnc_step *step = &program->steps[i];
        if (step->barrier)
            meet(thread, threads);
        i += nnc_steps_run(running, step, thread, threads, may_stop);
    }
    meet(thread, threads);
}

static void run_branch(nnc_running *running, nnc_step *step, int thread, int threads,
                       bool may_stop)
{
    nnc_flow_step *own = step->flow;
    const nnc_flow *flow = own->flow;
    if (thread == 0) {
        int32_t index = *(const int32_t *)step->call.in[flow->effects].data;
        own->index = index < 0 ? 0 : index < flow->body_count ? index : flow->body_count - 1;
        feed(own->bodies[own->index], &flow->bodies[own->index], &step->call);
        nnc_program_arm(own->bodies[own->index], running);
    }
    meet(thread, threads);
    nnc_program *program = own->bodies[own->index];
    run_body(running, program, thread, threads, may_stop);
    for (int k = 0; k < own->out_count; k++)
        copy_share(own->out[k].data, output_data(program, k), bytes_of(&own->out[k]), thread,
                   threads);
    meet(thread, threads);
}

/* ---- loops ---- */

typedef struct {
    nnc_running *running;
    nnc_step *step;
    nnc_flow_step *own;
    const nnc_flow *flow;
    int thread, threads;
    bool may_stop;
    int64_t rounds;             /* how many there will be; -1: as the condition says */
    int64_t saved;              /* bytes of a round on the stack; 0: it is not written */
} looping;

/* Where part `place` of a stacked array lies; NULL if it is not there. */
static void *part_of(const nnc_array *stacked, int64_t place)
{
    int64_t n = stacked->shape.dim[0];
    if (stacked->data == NULL || n == 0)
        return NULL;
    return (char *)stacked->data + place * (bytes_of(stacked) / n);
}

/* Bytes of a round on a stack of such carries. */
static int64_t round_bytes(const nnc_array *carry, int count)
{
    int64_t bytes = 0;
    for (int k = 0; k < count; k++)
        bytes += nnc_stack_bytes(&carry[k]);
    return bytes;
}

/* Thread 0: whether nothing stands against round t. */
static bool may_begin(looping *l, int64_t t)
{
    if (l->may_stop && (nnc_running_stopped(l->running, 0) ||
                        atomic_load_explicit(&l->running->fault.set, memory_order_relaxed)))
        return false;
    if (l->saved == 0 || nnc_stack_reserve(&l->own->stack, t, l->saved) == NNC_OK)
        return true;
    nnc_call_fault(&l->step->call, NNC_ENOMEM, t, "while_loop: no memory for what round %lld "
                   "begins with, %lld bytes, which its gradient needs", (long long)t,
                   (long long)l->saved);
    return false;
}

/* Whether there is one more round; the same on every thread. */
static bool goes_on(looping *l, int64_t t)
{
    nnc_flow_step *own = l->own;
    if (l->flow->limit >= 0 && t >= l->flow->limit)
        return false;
    if (l->flow->body_count > 1) {
        nnc_program *condition = own->bodies[1];
        if (l->thread == 0) {
            for (int k = 0; k < l->flow->carries - l->flow->states; k++)
                nnc_program_bind(condition, k, own->out[k].data);
            nnc_program_arm(condition, l->running);
        }
        meet(l->thread, l->threads);
        run_body(l->running, condition, l->thread, l->threads, l->may_stop);
    }
    if (l->thread == 0)
        own->go = (l->rounds < 0 ? *(const uint8_t *)output_data(own->bodies[1], 0) != 0
                                 : t < l->rounds) && may_begin(l, t);
    meet(l->thread, l->threads);
    return own->go;
}

/* Thread 0: the carries that another loop saved at a place. */
static void bind_saved(looping *l, int64_t place)
{
    nnc_program *program = l->own->bodies[0];
    const nnc_flow *flow = l->flow;
    const nnc_graph *graph = flow->bodies[0].graph;
    const nnc_stack *stack =
        (const nnc_stack *)(uintptr_t)*(const int64_t *)l->step->call.in[flow->carries].data;
    int64_t bytes = 0, at = 0;
    for (int k = 0; k < flow->slices; k++)
        bytes += nnc_stack_bytes(&graph->values[graph->inputs[1 + flow->carries + k]].array);
    for (int k = 0; k < flow->slices; k++) {
        int input = 1 + flow->carries + k;
        nnc_program_bind(program, input, nnc_stack_round(stack, place, bytes) + at);
        at += nnc_stack_bytes(&graph->values[graph->inputs[input]].array);
    }
}

/* Thread 0: inputs of the round at a place. */
static void bind_round(looping *l, int64_t place)
{
    nnc_program *program = l->own->bodies[0];
    const nnc_flow *flow = l->flow;
    l->own->index = (int32_t)(flow->start + place);
    nnc_program_bind(program, 0, &l->own->index);
    for (int k = 0; k < flow->carries; k++)
        nnc_program_bind(program, 1 + k, l->own->out[k].data);
    if (flow->from_stack)
        bind_saved(l, place);
    for (int k = 0; k < flow->slices && !flow->from_stack; k++)
        nnc_program_bind(program, 1 + flow->carries + k,
                         part_of(&l->step->call.in[flow->carries + k], place));
    nnc_program_arm(program, l->running);
}

/* Keeps what the round at a place begins with. */
static void save_carries(looping *l, int64_t place)
{
    const nnc_flow *flow = l->flow;
    const nnc_array *carry = l->own->out, *saved = carry + flow->carries + flow->results;
    char *to = l->saved == 0 ? NULL : nnc_stack_round(&l->own->stack, place, l->saved);
    if (flow->limit < 0 && to == NULL)
        return;
    for (int k = 0; k < flow->carries; k++) {
        copy_share(flow->limit < 0 ? to : part_of(&saved[k], place), carry[k].data,
                   bytes_of(&carry[k]), l->thread, l->threads);
        to += to == NULL ? 0 : nnc_stack_bytes(&carry[k]);
    }
}

static void run_round(looping *l, int64_t t)
{
    nnc_program *program = l->own->bodies[0];
    const nnc_flow *flow = l->flow;
    nnc_array *carry = l->own->out, *result = carry + flow->carries;
    int64_t place = flow->reverse ? (l->rounds < 0 ? flow->limit : l->rounds) - 1 - t : t;
    save_carries(l, place);
    if (l->thread == 0)
        bind_round(l, place);
    meet(l->thread, l->threads);
    run_body(l->running, program, l->thread, l->threads, l->may_stop);
    for (int k = 0; k < flow->carries; k++)
        copy_share(carry[k].data, output_data(program, k), bytes_of(&carry[k]), l->thread,
                   l->threads);
    for (int k = 0; k < flow->results; k++)
        copy_share(part_of(&result[k], place), output_data(program, flow->carries + k),
                   flow->limit == 0 ? 0 : bytes_of(&result[k]) / flow->limit, l->thread,
                   l->threads);
    meet(l->thread, l->threads);
}

static void run_loop(nnc_running *running, nnc_step *step, int thread, int threads, bool may_stop)
{
    nnc_flow_step *own = step->flow;
    const nnc_flow *flow = own->flow;
    const nnc_array *in = step->call.in;
    looping l = {.running = running, .step = step, .own = own, .flow = flow, .thread = thread,
                 .threads = threads, .may_stop = may_stop, .rounds = flow->limit};
    int64_t t = 0;
    if (flow->limit < 0 && own->out[flow->carries].data != NULL)
        l.saved = round_bytes(own->out, flow->carries);
    if (flow->body_count > 1)
        l.rounds = -1;
    else if (flow->count_input >= 0)
        l.rounds = *(const int64_t *)in[flow->count_input].data;
    if (thread == 0) {
        for (int b = 0; b < flow->body_count; b++)
            feed(own->bodies[b], &flow->bodies[b], &step->call);
        for (int k = 0; k < flow->results && l.rounds != flow->limit; k++) {
            nnc_array *result = &own->out[flow->carries + k];
            if (result->data != NULL)
                memset(result->data, 0, (size_t)bytes_of(result));
        }
    }
    for (int k = 0; k < flow->carries; k++)
        copy_share(own->out[k].data, in[k].data, bytes_of(&own->out[k]), thread, threads);
    meet(thread, threads);
    while (goes_on(&l, t))
        run_round(&l, t++);
    const nnc_array *stack = own->out + flow->carries, *rounds = &own->out[own->out_count - 1];
    if (thread == 0 && l.saved > 0)
        *(int64_t *)stack->data = (int64_t)(uintptr_t)&own->stack;
    if (thread == 0 && rounds->data != NULL)
        *(int64_t *)rounds->data = t;
    meet(thread, threads);
}

void nnc_step_run(nnc_running *running, nnc_step *step, int thread, int threads, bool may_stop)
{
    if (step->flow != NULL && (step->flow->all_threads || thread == 0)) {
        int together = step->flow->all_threads ? threads : 1;
        (step->call.op == NNC_OP_branch ? run_branch : run_loop)(running, step, thread, together,
                                                                 may_stop);
    } else if (step->flow == NULL && step->parallel && threads > 1) {
        run_parallel(running, step, thread, threads, may_stop);
    } else if (step->flow == NULL && thread == step->owner % threads) {
        run_serial(running, &step->call, may_stop);
    }
}

int64_t nnc_steps_run(nnc_running *running, nnc_step *step, int thread, int threads, bool may_stop)
{
    if (step->run > 0 && threads > 1) {
        nnc_rows_run(running, step, thread, threads, may_stop);
        return step->run;
    }
    nnc_step_run(running, step, thread, threads, may_stop);
    return 1;
}
