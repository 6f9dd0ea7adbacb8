/* call.c - checks, cuts and runs one call of an op. */
#include "graph/call.h"
#include "core/lock.h"
#include "graph/taken.h"
#include "graph/wide.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#define STRETCH_COST 5e6    /* ns between two questions whether to stop, where pieces go together */

static pthread_mutex_t fault_lock = PTHREAD_MUTEX_INITIALIZER;

/* Ops that were not made for complex numbers would take them for pairs of something else. */
static nnc_status check_complex(nnc_op op, const nnc_array *arrays, int count)
{
    for (int i = 0; i < count; i++) {
        if (nnc_dtype_kind(arrays[i].dtype) == NNC_KIND_COMPLEX)
            return nnc_fail(NNC_ETYPE, "%s: is not there for complex numbers, received %s",
                            nnc_ops[op].name, nnc_dtype_name(arrays[i].dtype));
    }
    return NNC_OK;
}

nnc_status nnc_call_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in, int input_count,
                          nnc_array *out)
{
    nnc_status status;
    const nnc_op_row *row = &nnc_ops[op];
    if (row->inputs >= 0 ? input_count != row->inputs : input_count < 1)
        return nnc_fail(NNC_EVALUE, "%s: expected %s%d input%s, received %d", row->name,
                        row->inputs < 0 ? "at least " : "", row->inputs < 0 ? 1 : row->inputs,
                        row->inputs == 1 || row->inputs < 0 ? "" : "s", input_count);
    if (row->flags & NNC_COMPLEX)
        return row->infer(op, attrs, in, input_count, out);
    NNC_TRY(check_complex(op, in, input_count));
    NNC_TRY(row->infer(op, attrs, in, input_count, out));
    NNC_TRY(check_complex(op, out, nnc_op_outputs(op, attrs)));
done:
    return status;
}

void nnc_call_plan_op(nnc_call *call)
{
    const nnc_op_row *row = &nnc_ops[call->op];
    int64_t n = 0;
    call->work = (nnc_work){.phases = 1, .pieces = {1}};
    for (int i = 0; i < call->output_count; i++)
        n += nnc_shape_size(&call->out[i].shape);
    for (int i = 0; i < call->input_count; i++)
        n += nnc_shape_size(&call->in[i].shape);
    call->work.cost = 20.0 + 0.5 * (double)n;
    if (row->plan != NULL)
        row->plan(call, &call->work);
}

void nnc_call_plan(nnc_call *call)
{
    call->wide = nnc_wide_needed(call);
    if (call->wide)
        nnc_wide_plan(call, &call->work);
    else
        nnc_call_plan_op(call);
}

void nnc_call_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    if (call->wide)
        nnc_wide_run(call, phase, begin, end);
    else
        nnc_ops[call->op].run(call, phase, begin, end);
}

int64_t nnc_call_stretch(const nnc_call *call, int phase)
{
    double pieces = (double)call->work.pieces[phase], cost = call->work.cost;
    if (cost < NNC_PARALLEL_COST)
        return call->work.pieces[phase];
    if (!call->work.together || cost > pieces * STRETCH_COST)
        return 1;
    return (int64_t)(cost > STRETCH_COST ? pieces * STRETCH_COST / cost : pieces);
}

bool nnc_call_run_serial(nnc_call *call)
{
    for (int phase = 0; phase < call->work.phases; phase++) {
        int64_t pieces = call->work.pieces[phase], some = nnc_call_stretch(call, phase);
        for (int64_t begin = 0; begin < pieces; begin += some) {
            if (call->work.cost >= NNC_PARALLEL_COST && nnc_poll_due())
                return false;
            nnc_call_run(call, phase, begin, pieces - begin < some ? pieces : begin + some);
        }
    }
    return true;
}

typedef struct {
    nnc_call *call;
    atomic_int stop;
    nnc_taken taken[NNC_MAX_PHASES];
} parallel_call;

static void parallel_task(void *argument, int thread, int threads)
{
    parallel_call *task = argument;
    nnc_call *call = task->call;
    for (int phase = 0; phase < call->work.phases; phase++) {
        int64_t begin, end, most = nnc_call_stretch(call, phase);
        while (nnc_taken_next(&task->taken[phase], call->work.pieces[phase], thread, threads, most,
                              &begin, &end)) {
            if (thread == 0 && nnc_poll_due())
                atomic_store_explicit(&task->stop, 1, memory_order_relaxed);
            if (atomic_load_explicit(&task->stop, memory_order_relaxed))
                break;
            nnc_call_run(call, phase, begin, end);
        }
        if (phase + 1 < call->work.phases)
            nnc_pool_barrier(thread);
    }
}

bool nnc_call_run_parallel(nnc_call *call)
{
    parallel_call task = {.call = call};
    nnc_pool_run(parallel_task, &task, nnc_pool_threads());
    return !atomic_load(&task.stop);
}

void nnc_call_fault(nnc_call *call, nnc_status status, int64_t position, const char *format, ...)
{
    nnc_fault *fault = call->fault;
    nnc_lock_at_fork(&fault_lock, true);
    pthread_mutex_lock(&fault_lock);
    if (!atomic_load(&fault->set) || position < fault->position) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(fault->text, sizeof fault->text, format, arguments);
        va_end(arguments);
        fault->status = status;
        fault->position = position;
        atomic_store(&fault->set, 1);
    }
    pthread_mutex_unlock(&fault_lock);
}

nnc_status nnc_fault_raise(const nnc_fault *fault)
{
    if (!atomic_load(&fault->set))
        return NNC_OK;
    return nnc_fail(fault->status, "%s", fault->text);
}
