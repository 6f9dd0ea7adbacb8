/* host.c - the op host: a function that the embedder runs, as one node.
 *
 * The core knows the functions by number only. A call is one piece on one thread and never asks
 * for the pool: who starts it may hold a lock of the embedder that a worker would wait for. */
#include "ops/support.h"
#include "ops/table.h"

/* Nanoseconds, told to the schedule; short of what wakes the pool for an eager call. */
#define HOST_COST 90000.0

static nnc_host_fn *host_fn;
static nnc_host_gradient_fn *host_gradient_fn;
static int64_t host_count;

void nnc_host_set(nnc_host_fn *run, nnc_host_gradient_fn *gradient, int64_t count)
{
    host_fn = run;
    host_gradient_fn = gradient;
    host_count = count;
}

nnc_status nnc_op_host_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                             int input_count, nnc_array *out)
{
    nnc_status status;
    (void)in, (void)input_count;
    if (attrs->k[0] < 0 || attrs->k[0] >= host_count)
        return nnc_fail(NNC_EVALUE, "%s: expected function 0 to %lld, received %lld",
                        nnc_op_name(op), (long long)host_count - 1, (long long)attrs->k[0]);
    if ((int)attrs->dtype < 0 || attrs->dtype >= NNC_DTYPE_COUNT)
        return nnc_fail(NNC_ETYPE, "%s: unknown dtype %d", nnc_op_name(op), (int)attrs->dtype);
    NNC_TRY(nnc_check_shape(op, attrs, attrs->dtype, &out->shape));
    out->dtype = attrs->dtype;
done:
    return status;
}

void nnc_op_host_plan(const nnc_call *call, nnc_work *work)
{
    (void)call;
    *work = (nnc_work){.phases = 1, .pieces = {1}, .cost = HOST_COST};
}

void nnc_op_host_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    (void)phase;
    if (begin < end)
        host_fn(call);
}

/* y, then what it has a gradient with respect to; the rule is the embedder's: attrs->shared. */
nnc_status nnc_op_custom_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                               int input_count, nnc_array *out)
{
    (void)input_count;
    if (attrs->shared == NULL)
        return nnc_fail(NNC_EVALUE, "%s: there is no rule for the gradient", nnc_op_name(op));
    out->dtype = in[0].dtype;
    out->shape = in[0].shape;
    return NNC_OK;
}

nnc_status nnc_op_host_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                int *dx)
{
    return host_gradient_fn(graph, node, dy, need, dx);
}
