/* eager.c - an op on concrete tensors: check, take memory, run, record. */
#include "graph/call.h"
#include "graph/tape.h"

enum { FEW_INPUTS = 8 };

static nnc_status take_outputs(nnc_call *call, nnc_tensor *const *in, nnc_tensor **results)
{
    nnc_status status = NNC_OK;
    for (int i = 0; i < call->output_count; i++) {
        if (nnc_ops[call->op].flags & NNC_VIEW)
            NNC_TRY(nnc_tensor_view(in[0], &call->out[i].shape, &results[i]));
        else
            NNC_TRY(nnc_tensor_new(&call->out[i].shape, call->out[i].dtype, &results[i]));
        call->out[i].data = results[i]->array.data;
    }
done:
    return status;
}

static nnc_status run(nnc_call *call)
{
    nnc_status status = NNC_OK;
    nnc_fault fault = {.set = 0};
    call->fault = &fault;
    nnc_call_plan(call);
    if (call->work.workspace > 0)
        NNC_TRY(nnc_alloc(call->work.workspace, &call->workspace));
    bool whole = call->work.cost > NNC_PARALLEL_COST && nnc_pool_threads() > 1
        ? nnc_call_run_parallel(call) : nnc_call_run_serial(call);
    if (!whole)
        status = nnc_fail(NNC_EINTERRUPT, "%s: interrupted", nnc_ops[call->op].name);
    else
        status = nnc_fault_raise(&fault);
done:
    nnc_free(call->workspace);
    return status;
}

/* inferred: what nnc_call_infer gives for these inputs, or NULL. */
static nnc_status compute(nnc_op op, const nnc_attrs *attrs, nnc_tensor *const *in,
                          int input_count, const nnc_array *inferred, nnc_tensor **out)
{
    nnc_status status;
    nnc_array few[FEW_INPUTS], *many = NULL;
    nnc_tensor *results[NNC_MAX_OUTPUTS] = {NULL};
    nnc_call call = {.op = op, .input_count = input_count, .attrs = attrs,
                     .output_count = nnc_ops[op].outputs, .in = few};
    if (input_count > FEW_INPUTS) {
        NNC_TRY(nnc_alloc(input_count * (int64_t)sizeof *many, &many));
        call.in = many;
    }
    for (int i = 0; i < input_count; i++)
        call.in[i] = in[i]->array;
    if (inferred == NULL)
        NNC_TRY(nnc_call_infer(op, attrs, call.in, input_count, call.out));
    for (int i = 0; inferred != NULL && i < call.output_count; i++)
        call.out[i] = inferred[i];
    for (int i = 0; i < nnc_op_effects(&nnc_ops[op]); i++)
        NNC_TRY(nnc_tape_detach(in[i]));
    NNC_TRY(take_outputs(&call, in, results));
    if (!(nnc_ops[op].flags & NNC_VIEW))
        NNC_TRY(run(&call));
    for (int i = 0; i < call.output_count; i++) {
        out[i] = results[i];
        results[i] = NULL;
    }
done:
    if (nnc_op_effects(&nnc_ops[op]) > 0)
        nnc_tensor_written();
    nnc_free(many);
    for (int i = 0; i < NNC_MAX_OUTPUTS; i++)
        nnc_tensor_release(results[i]);
    return status;
}

nnc_status nnc_eager_compute(nnc_op op, const nnc_attrs *attrs, nnc_tensor *const *in,
                             int input_count, nnc_tensor **out)
{
    return compute(op, attrs, in, input_count, NULL, out);
}

nnc_status nnc_eager_inferred(nnc_op op, const nnc_attrs *attrs, nnc_tensor *const *in,
                              int input_count, const nnc_array *inferred, nnc_tensor **out)
{
    nnc_status status;
    nnc_tensor *results[NNC_MAX_OUTPUTS] = {NULL};
    NNC_TRY(compute(op, attrs, in, input_count, inferred, results));
    if (nnc_tape_active())
        NNC_TRY(nnc_tape_record(NULL, op, attrs, in, input_count, results));
    for (int i = 0; i < nnc_ops[op].outputs; i++) {
        out[i] = results[i];
        results[i] = NULL;
    }
done:
    for (int i = 0; i < nnc_ops[op].outputs; i++)
        nnc_tensor_release(results[i]);
    return status;
}

nnc_status nnc_eager(nnc_op op, const nnc_attrs *attrs, nnc_tensor *const *in, int input_count,
                     nnc_tensor **out)
{
    return nnc_eager_inferred(op, attrs, in, input_count, NULL, out);
}
