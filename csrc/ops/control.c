/* control.c - branch and loop: what they give, and their gradients. How they run: graph/steps.c.
 *
 * Gradients run the bodies forward again, part by part: a branch's from its inputs, a loop's from
 * the carries that it saved before each round. So nothing inside a body is kept, and dropout draws
 * the same numbers, since what a body writes is an input of it.
 *
 *   branch: the same branch of the bodies' gradients: (inputs, dy) -> dx.
 *   loop:   a loop the other way round. Carries: d carry, and d other so far; slices: what was
 *           sliced before, the saved carries, and d results, d saved. Without a limit the saved
 *           carries are a stack, which has no gradient: there is no second derivative. */
#include "graph/flow.h"
#include "ops/support.h"
#include "ops/table.h"
#include "passes/passes.h"

#include <string.h>

static const nnc_array *output_of(const nnc_body *body, int k)
{
    return &body->graph->values[body->outputs[k]].array;
}

static nnc_status check_like(nnc_op op, const char *what, int k, const nnc_array *want,
                             const nnc_array *got)
{
    char first[NNC_SHAPE_TEXT], second[NNC_SHAPE_TEXT];
    if (want->dtype == got->dtype && nnc_shape_equal(&want->shape, &got->shape))
        return NNC_OK;
    return nnc_fail(NNC_EVALUE, "%s: %s %d must be %s of shape %s, received %s of shape %s",
                    nnc_op_name(op), what, k, nnc_dtype_name(want->dtype),
                    nnc_shape_text(&want->shape, first), nnc_dtype_name(got->dtype),
                    nnc_shape_text(&got->shape, second));
}

static nnc_array signature(const nnc_array *array)
{
    nnc_array result = *array;
    result.data = NULL;
    return result;
}

nnc_status nnc_op_branch_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                               int input_count, nnc_array *out)
{
    nnc_status status = NNC_OK;
    const nnc_flow *flow = nnc_flow_of(attrs);
    if (flow == NULL || input_count <= flow->effects || in[flow->effects].dtype != NNC_I32 ||
        in[flow->effects].shape.rank != 0)
        return nnc_fail(NNC_EVALUE, "%s: expected an index, int32 of shape ()", nnc_op_name(op));
    for (int b = 0; b < flow->body_count; b++) {
        const nnc_body *body = &flow->bodies[b];
        for (int64_t k = 0; k < body->graph->input_count; k++)
            NNC_TRY(check_like(op, "input", (int)k,
                               &body->graph->values[body->graph->inputs[k]].array,
                               &in[body->feeds[k]]));
        for (int k = 0; k < flow->results; k++) {
            if (b == 0)
                out[k] = signature(output_of(body, k));
            NNC_TRY(check_like(op, "output", k, &out[k], output_of(body, k)));
        }
    }
done:
    return status;
}

/* (limit, ...) of what a round gives. */
static nnc_status stacked(nnc_op op, const nnc_array *one, int64_t limit, nnc_array *out)
{
    int64_t bytes;
    if (one->shape.rank == NNC_MAX_RANK)
        return nnc_fail(NNC_EVALUE, "%s: what a round gives has at most %d axes, received %d",
                        nnc_op_name(op), NNC_MAX_RANK - 1, NNC_MAX_RANK);
    out->data = NULL;
    out->dtype = one->dtype;
    out->shape.rank = one->shape.rank + 1;
    out->shape.dim[0] = limit;
    for (int d = 0; d < one->shape.rank; d++)
        out->shape.dim[d + 1] = one->shape.dim[d];
    return nnc_shape_bytes(&out->shape, out->dtype, &bytes);
}

static const nnc_array one_number = {.dtype = NNC_I64};

nnc_status nnc_op_loop_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                             int input_count, nnc_array *out)
{
    nnc_status status = NNC_OK;
    const nnc_flow *flow = nnc_flow_of(attrs);
    int sliced = flow == NULL || flow->from_stack ? 0 : flow->slices;
    if (flow == NULL || input_count < flow->carries + (flow->from_stack ? 1 : sliced))
        return nnc_fail(NNC_EVALUE, "%s: expected carries and slices", nnc_op_name(op));
    const nnc_body *body = &flow->bodies[0];
    for (int k = 0; k < flow->carries; k++) {
        NNC_TRY(check_like(op, "carry", k, &in[k], output_of(body, k)));
        *out++ = signature(&in[k]);
    }
    if (flow->from_stack)
        NNC_TRY(check_like(op, "stack", 0, &one_number, &in[flow->carries]));
    for (int k = 0; k < sliced; k++) {
        nnc_array whole;
        int value = body->graph->inputs[1 + flow->carries + k];
        NNC_TRY(stacked(op, &body->graph->values[value].array, flow->limit, &whole));
        NNC_TRY(check_like(op, "slice", k, &whole, &in[flow->carries + k]));
    }
    for (int k = 0; k < flow->results; k++)
        NNC_TRY(stacked(op, output_of(body, flow->carries + k), flow->limit, out++));
    for (int k = 0; k < flow->carries && flow->limit >= 0; k++)
        NNC_TRY(stacked(op, &in[k], flow->limit, out++));
    if (flow->limit < 0)
        *out++ = one_number;                    /* the stack */
    *out = one_number;
done:
    return status;
}

/* ---- gradients of a body ---- */

/* A body's graph on its way to its gradient. */
typedef struct {
    nnc_body body;          /* the clone; outputs: those of the gradient */
    int *seed_of;           /* (outputs of the original) the input that holds its seed, or -1 */
    int *found;             /* (inputs of the original) */
} reversal;

static void clear_reversal(reversal *r)
{
    nnc_body_clear(&r->body);
    nnc_free(r->seed_of);
    nnc_free(r->found);
}

/* A clone with an input for the gradient of each output that is wanted. */
static nnc_status begin_reversal(const nnc_body *body, const bool *wanted, reversal *r)
{
    nnc_status status;
    NNC_TRY(nnc_graph_clone(body->graph, &r->body.graph));
    NNC_TRY(nnc_alloc((body->output_count + 1) * (int64_t)sizeof(int), &r->seed_of));
    NNC_TRY(nnc_alloc((body->graph->input_count + 1) * (int64_t)sizeof(int), &r->found));
    for (int k = 0; k < body->output_count; k++) {
        const nnc_array *y = output_of(body, k);
        r->seed_of[k] = -1;
        if (wanted[k])
            NNC_TRY(nnc_graph_input(r->body.graph, &y->shape, y->dtype, &r->seed_of[k]));
    }
done:
    return status;
}

/* found[k]: the gradient of input k, where sources[k]; else -1. */
static nnc_status run_reversal(const nnc_body *body, const bool *sources, reversal *r)
{
    nnc_status status;
    int n = (int)body->graph->input_count, from_count = 0, to_count = 0;
    int *work = NULL;
    NNC_TRY(nnc_alloc(2 * (n + body->output_count + 1) * (int64_t)sizeof *work, &work));
    int *from = work, *result = work + n, *to = work + 2 * n, *seeds = to + body->output_count;
    for (int k = 0; k < body->output_count; k++) {
        if (r->seed_of[k] < 0)
            continue;
        to[to_count] = body->outputs[k];
        seeds[to_count++] = r->seed_of[k];
    }
    for (int k = 0; k < n; k++) {
        r->found[k] = -1;
        if (sources[k])
            from[from_count++] = body->graph->inputs[k];
    }
    if (to_count > 0 && from_count > 0) {
        NNC_TRY(nnc_graph_backward(r->body.graph, to, seeds, to_count, from, from_count, 0,
                                   result));
        for (int k = 0, i = 0; k < n; k++)
            r->found[k] = sources[k] ? result[i++] : -1;
    }
done:
    nnc_free(work);
    return status;
}

static nnc_status zeros_like(nnc_graph *graph, const nnc_array *like, int *out)
{
    return nnc_emit_fill(graph, 0.0, &like->shape, like->dtype, out);
}

/* found, or zeros where there is nothing. */
static nnc_status or_zeros(nnc_graph *graph, const nnc_array *like, int found, int *out)
{
    *out = found;
    return found >= 0 ? NNC_OK : zeros_like(graph, like, out);
}

/* ---- branch ---- */

/* One body's gradient: outputs for the needed inputs of the node, in their order. */
static nnc_status reverse_branch(const nnc_body *body, const nnc_array *in, int inputs,
                                 const bool *need, const bool *wanted, int first_seed,
                                 reversal *r)
{
    nnc_status status;
    int n = (int)body->graph->input_count, count = 0, given = 0;
    bool *sources = NULL;
    NNC_TRY(nnc_alloc(n, &sources));
    for (int k = 0; k < n; k++)
        sources[k] = need[body->feeds[k]];
    NNC_TRY(begin_reversal(body, wanted, r));
    NNC_TRY(run_reversal(body, sources, r));
    nnc_graph *graph = r->body.graph;
    NNC_TRY(nnc_alloc((graph->input_count + 1) * (int64_t)sizeof(int), &r->body.feeds));
    NNC_TRY(nnc_alloc((inputs + 1) * (int64_t)sizeof(int), &r->body.outputs));
    for (int64_t k = 0; k < graph->input_count; k++)
        r->body.feeds[k] = k < n ? body->feeds[k] : first_seed + given++;
    for (int i = 0; i < inputs; i++) {
        int found = -1;
        for (int k = 0; k < n; k++)
            found = body->feeds[k] == i && r->found[k] >= 0 ? r->found[k] : found;
        if (need[i])
            NNC_TRY(or_zeros(graph, &in[i], found, &r->body.outputs[count++]));
    }
    r->body.output_count = count;
done:
    nnc_free(sources);
    return status;
}

nnc_status nnc_op_branch_gradient(nnc_graph *graph, int index, const int *dy, const bool *need,
                                  int *dx)
{
    nnc_status status;
    nnc_node node = graph->nodes[index];
    nnc_flow *flow = nnc_flow_of(&node.attrs), *back = NULL;
    nnc_flow plan = {.limit = -1, .count_input = -1};
    int n = node.input_count, *inputs = NULL, *out = NULL, count = n;
    nnc_array *in = NULL;
    bool *wanted = NULL;
    reversal r = {.seed_of = NULL};
    nnc_attrs attrs = {0};
    NNC_TRY(nnc_alloc((n + flow->results) * (int64_t)sizeof *inputs, &inputs));
    NNC_TRY(nnc_alloc((n + 1) * (int64_t)sizeof *out, &out));
    NNC_TRY(nnc_alloc((n + 1) * (int64_t)sizeof *in, &in));
    NNC_TRY(nnc_alloc(flow->results + 1, &wanted));
    for (int i = 0; i < n; i++) {
        inputs[i] = node.inputs[i];
        in[i] = nnc_value_array(graph, node.inputs[i]);
        plan.results += need[i];
    }
    for (int k = 0; k < flow->results; k++) {
        wanted[k] = dy[k] >= 0;
        if (wanted[k])
            inputs[count++] = dy[k];
    }
    NNC_TRY(nnc_flow_new(&plan, flow->body_count, &back));
    for (int b = 0; b < flow->body_count; b++) {
        NNC_TRY(reverse_branch(&flow->bodies[b], in, n, need, wanted, n, &r));
        back->bodies[b] = r.body;
        r.body = (nnc_body){.graph = NULL};
        clear_reversal(&r);
        r = (reversal){.seed_of = NULL};
    }
    attrs.shared = &back->shared;
    NNC_TRY(nnc_emit(graph, NNC_OP_branch, &attrs, inputs, count, out));
    for (int i = 0, k = 0; i < n; i++)
        dx[i] = need[i] ? out[k++] : -1;
done:
    clear_reversal(&r);
    nnc_shared_release(back == NULL ? NULL : &back->shared);
    nnc_free(inputs);
    nnc_free(out);
    nnc_free(in);
    nnc_free(wanted);
    return status;
}

/* ---- loop ---- */

/* What a loop's gradient is made from. c, m, p: carries, slices, results; n: inputs of the node. */
typedef struct {
    nnc_graph *graph;
    nnc_node node;
    const nnc_flow *flow;
    const nnc_body *body;
    const int *dy;
    const bool *need;
    int c, m, p, n;
    bool *active;           /* (c) carries that have a gradient */
    bool *wanted;           /* (c + p) outputs of the body that are seeded */
    bool *sources;          /* (inputs of the body) */
    int *inputs;            /* of the new node */
    int input_count, carry_count, slice_count;
    int *order, *feeds;     /* (inputs of the new body) */
    int order_count;
    int *results;           /* (outputs of the new body) */
    int result_count;
} unrolling;

static bool is_float(const nnc_array *array)
{
    return nnc_dtype_differentiable(array->dtype);
}

static int saved_of(const unrolling *u, int k)
{
    return u->node.outputs[u->c + u->p + k];
}

static void choose(unrolling *u)
{
    for (int k = 0; k < u->c; k++)
        u->wanted[k] = u->active[k] = k < u->c - u->flow->states && is_float(output_of(u->body, k));
    for (int k = 0; k < u->p; k++)
        u->wanted[u->c + k] = u->dy[u->c + k] >= 0;
    for (int64_t k = 0; k < u->body->graph->input_count; k++)
        u->sources[k] = k == 0 ? false
            : k <= u->c ? u->active[k - 1]
            : k <= u->c + u->m ? u->need[k - 1]
            : u->need[u->body->feeds[k]];
}

static void add_input(unrolling *u, int body_input, int node_input)
{
    u->order[u->order_count] = body_input;
    u->feeds[u->order_count++] = -1;
    u->inputs[u->input_count++] = node_input;
}

/* The carries of the new loop: d carry, then d other so far; their initial values are dy and
 * zeros. */
static nnc_status add_carries(unrolling *u, reversal *r, int *so_far)
{
    nnc_status status = NNC_OK;
    int first = 1 + u->c + u->m, value;
    for (int k = 0; k < u->c; k++) {
        if (!u->active[k])
            continue;
        nnc_array like = nnc_value_array(u->graph, u->node.inputs[k]);
        NNC_TRY(or_zeros(u->graph, &like, u->dy[k], &value));
        add_input(u, r->seed_of[k], value);
    }
    for (int k = first; k < u->body->graph->input_count; k++) {
        so_far[k] = -1;
        if (!u->sources[k])
            continue;
        nnc_array like = u->body->graph->values[u->body->graph->inputs[k]].array;
        NNC_TRY(nnc_graph_input(r->body.graph, &like.shape, like.dtype, &so_far[k]));
        NNC_TRY(zeros_like(u->graph, &like, &value));
        add_input(u, so_far[k], value);
    }
    u->carry_count = u->input_count;
done:
    return status;
}

/* The slices: saved carries, what was sliced, d results, d saved (whose inputs are dsaved). */
static nnc_status add_slices(unrolling *u, reversal *r, int *dsaved)
{
    nnc_status status = NNC_OK;
    const int *in = u->body->graph->inputs;
    bool stack = u->flow->limit < 0;
    for (int k = 0; k < u->c; k++) {
        add_input(u, in[1 + k], saved_of(u, stack ? 0 : k));
        u->input_count -= stack && k > 0;       /* one input for all */
    }
    for (int k = 0; k < u->m; k++)
        add_input(u, in[1 + u->c + k], u->node.inputs[u->c + k]);
    for (int k = 0; k < u->p; k++) {
        if (u->wanted[u->c + k])
            add_input(u, r->seed_of[u->c + k], u->dy[u->c + k]);
    }
    for (int k = 0; k < u->c; k++) {
        const nnc_array *like = output_of(u->body, k);
        dsaved[k] = -1;
        if (stack || !u->active[k] || u->dy[u->c + u->p + k] < 0)
            continue;
        NNC_TRY(nnc_graph_input(r->body.graph, &like->shape, like->dtype, &dsaved[k]));
        add_input(u, dsaved[k], u->dy[u->c + u->p + k]);
    }
    u->slice_count = u->order_count - 1 - u->carry_count;
done:
    return status;
}

/* Others of the body, and how many rounds there were. */
static void add_others(unrolling *u, nnc_flow *plan)
{
    for (int k = 1 + u->c + u->m; k < u->body->graph->input_count; k++) {
        u->order[u->order_count] = u->body->graph->inputs[k];
        u->feeds[u->order_count++] = u->input_count;
        u->inputs[u->input_count++] = u->node.inputs[u->body->feeds[k]];
    }
    if (u->flow->body_count > 1 || u->flow->count_input >= 0) {
        plan->count_input = u->input_count;
        u->inputs[u->input_count++] = u->node.outputs[u->node.output_count - 1];
    }
}

static nnc_status add_results(unrolling *u, reversal *r, const int *so_far, const int *dsaved)
{
    nnc_status status = NNC_OK;
    nnc_graph *graph = r->body.graph;
    int first = 1 + u->c + u->m, value;
    for (int k = 0; k < u->c; k++) {
        if (!u->active[k])
            continue;
        value = r->found[1 + k];
        if (dsaved[k] >= 0 && value >= 0)
            NNC_TRY(nnc_emit2(graph, NNC_OP_add, NULL, value, dsaved[k], &value));
        else if (dsaved[k] >= 0)
            value = dsaved[k];
        NNC_TRY(or_zeros(graph, output_of(u->body, k), value, &u->results[u->result_count++]));
    }
    for (int k = first; k < u->body->graph->input_count; k++) {
        if (!u->sources[k])
            continue;
        value = so_far[k];
        if (r->found[k] >= 0)
            NNC_TRY(nnc_emit2(graph, NNC_OP_add, NULL, so_far[k], r->found[k], &value));
        u->results[u->result_count++] = value;
    }
    for (int k = 0; k < u->m; k++) {
        nnc_array like = u->body->graph->values[u->body->graph->inputs[1 + u->c + k]].array;
        if (u->need[u->c + k])
            NNC_TRY(or_zeros(graph, &like, r->found[1 + u->c + k],
                             &u->results[u->result_count++]));
    }
done:
    return status;
}

/* What belongs to whom among the outputs of the new loop. */
static nnc_status hand_out(unrolling *u, const int *out, int *dx)
{
    nnc_status status = NNC_OK;
    int at = 0;
    for (int k = 0; k < u->c; k++) {
        if (u->active[k])
            dx[k] = u->need[k] ? out[at++] : (at++, -1);
    }
    for (int k = 1 + u->c + u->m; k < u->body->graph->input_count; k++) {
        int i = u->body->feeds[k];
        if (!u->sources[k])
            continue;
        if (dx[i] >= 0)                         /* read as a carry's first value, too */
            NNC_TRY(nnc_emit2(u->graph, NNC_OP_add, NULL, dx[i], out[at++], &dx[i]));
        else
            dx[i] = out[at++];
    }
    for (int k = 0; k < u->m; k++) {
        int i = u->c + k;
        if (!u->need[i])
            continue;
        if (dx[i] >= 0)
            NNC_TRY(nnc_emit2(u->graph, NNC_OP_add, NULL, dx[i], out[at++], &dx[i]));
        else
            dx[i] = out[at++];
    }
done:
    return status;
}

static nnc_status take_room(unrolling *u, int **work, int **so_far, int **dsaved)
{
    nnc_status status;
    int64_t inputs = u->body->graph->input_count, most = 4 * (u->c + u->m + u->p + u->n + 2) +
        3 * inputs;
    bool *flags = NULL;
    NNC_TRY(nnc_alloc_zero((7 * most + inputs) * (int64_t)sizeof **work, work));
    u->inputs = *work;
    u->order = u->inputs + most;
    u->feeds = u->order + most;
    u->results = u->feeds + most;
    *so_far = u->results + most;
    *dsaved = *so_far + most;
    flags = (bool *)(*dsaved + most);
    u->active = flags;
    u->wanted = flags + u->c + 1;
    u->sources = u->wanted + u->c + u->p + 1;
done:
    return status;
}

static nnc_status finish_body(const unrolling *u, reversal *r)
{
    nnc_status status;
    nnc_graph *graph = r->body.graph;
    NNC_TRY(nnc_alloc((u->order_count + 1) * (int64_t)sizeof(int), &r->body.feeds));
    NNC_TRY(nnc_alloc((u->result_count + 1) * (int64_t)sizeof(int), &r->body.outputs));
    memcpy(r->body.feeds, u->feeds, (size_t)u->order_count * sizeof(int));
    memcpy(r->body.outputs, u->results, (size_t)u->result_count * sizeof(int));
    memcpy(graph->inputs, u->order, (size_t)u->order_count * sizeof(int));
    r->body.output_count = u->result_count;
done:
    return status;
}

nnc_status nnc_op_loop_gradient(nnc_graph *graph, int index, const int *dy, const bool *need,
                                int *dx)
{
    nnc_status status;
    unrolling u = {.graph = graph, .node = graph->nodes[index], .dy = dy, .need = need};
    nnc_flow plan, *back = NULL;
    int *work = NULL, *so_far, *dsaved, *out = NULL;
    reversal r = {.seed_of = NULL};
    nnc_attrs attrs = {0};
    u.flow = nnc_flow_of(&u.node.attrs);
    u.body = &u.flow->bodies[0];
    u.c = u.flow->carries, u.m = u.flow->slices, u.p = u.flow->results, u.n = u.node.input_count;
    if (u.flow->from_stack)
        return nnc_fail(NNC_ETRACE, "while_loop: a gradient of a gradient of a recorded loop needs "
                        "`maximum_iterations`");
    plan = (nnc_flow){.limit = u.flow->limit, .start = u.flow->start, .count_input = -1,
                      .reverse = !u.flow->reverse, .from_stack = u.flow->limit < 0};
    NNC_TRY(take_room(&u, &work, &so_far, &dsaved));
    choose(&u);
    NNC_TRY(begin_reversal(u.body, u.wanted, &r));
    NNC_TRY(run_reversal(u.body, u.sources, &r));
    u.order[u.order_count] = u.body->graph->inputs[0];
    u.feeds[u.order_count++] = -1;
    NNC_TRY(add_carries(&u, &r, so_far));
    NNC_TRY(add_slices(&u, &r, dsaved));
    add_others(&u, &plan);
    NNC_TRY(add_results(&u, &r, so_far, dsaved));
    NNC_TRY(finish_body(&u, &r));
    plan.carries = u.carry_count;
    plan.slices = u.slice_count;
    plan.results = u.result_count - u.carry_count;
    NNC_TRY(nnc_flow_new(&plan, 1, &back));
    back->bodies[0] = r.body;
    r.body = (nnc_body){.graph = NULL};
    attrs.shared = &back->shared;
    NNC_TRY(nnc_alloc(nnc_op_outputs(NNC_OP_loop, &attrs) * (int64_t)sizeof *out, &out));
    NNC_TRY(nnc_emit(graph, NNC_OP_loop, &attrs, u.inputs, u.input_count, out));
    NNC_TRY(hand_out(&u, out, dx));
done:
    clear_reversal(&r);
    nnc_shared_release(back == NULL ? NULL : &back->shared);
    nnc_free(work);
    nnc_free(out);
    return status;
}
