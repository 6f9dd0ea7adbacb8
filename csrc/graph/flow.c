/* flow.c - closes recorded bodies and appends the node that owns them; see flow.h.
 *
 * Closing: a variable that a body only reads becomes an input. One that it writes gets storage of
 * the body's own, which is assigned from an input first and given as an output at the end. */
#include "graph/flow.h"

#include "graph/lookup.h"
#include "passes/passes.h"

#include <string.h>

void nnc_body_clear(nnc_body *body)
{
    nnc_graph_release(body->graph);
    nnc_free(body->outputs);
    nnc_free(body->feeds);
    *body = (nnc_body){.graph = NULL};
}

static void clear_flow(nnc_shared *shared)
{
    nnc_flow *flow = (nnc_flow *)shared;
    for (int b = 0; b < flow->body_count; b++)
        nnc_body_clear(&flow->bodies[b]);
    nnc_free(flow->bodies);
    nnc_free(flow);
}

nnc_status nnc_flow_new(const nnc_flow *plan, int body_count, nnc_flow **out)
{
    nnc_status status;
    nnc_flow *flow = NULL;
    NNC_TRY(nnc_alloc_zero(sizeof *flow, &flow));
    *flow = *plan;
    flow->bodies = NULL;
    NNC_TRY(nnc_alloc_zero(body_count * (int64_t)sizeof *flow->bodies, &flow->bodies));
    flow->body_count = body_count;
    flow->shared.clear = clear_flow;
    atomic_init(&flow->shared.references, 1);
    *out = flow;
    flow = NULL;
done:
    nnc_free(flow);
    return status;
}

/* ---- closing bodies ---- */

/* A list of values that grows. */
typedef struct {
    int *item;
    int64_t count, capacity;
} list;

static nnc_status push(list *l, int value)
{
    nnc_status status = nnc_grow(&l->item, &l->capacity, l->count + 1, sizeof *l->item);
    if (status == NNC_OK)
        l->item[l->count++] = value;
    return status;
}

/* The place of a value in the list, put there if it is new. */
static nnc_status place_of(list *l, int value, int *out)
{
    for (int64_t i = 0; i < l->count; i++) {
        if (l->item[i] == value) {
            *out = (int)i;
            return NNC_OK;
        }
    }
    *out = (int)l->count;
    return push(l, value);
}

static bool is_written(const nnc_graph *graph, const nnc_tensor *tensor)
{
    for (int64_t v = 0; v < graph->value_count; v++) {
        if (graph->values[v].tensor == tensor && graph->values[v].kind == NNC_VARIABLE &&
            graph->values[v].stale)
            return true;
    }
    return false;
}

/* The variables that a body writes, as values of the outer graph. */
static nnc_status find_written(nnc_graph *outer, const nnc_body *body, list *written)
{
    nnc_status status = NNC_OK;
    for (int64_t v = 0; v < body->graph->value_count; v++) {
        const nnc_value *value = &body->graph->values[v];
        int at, place;
        if (value->kind != NNC_VARIABLE || value->earlier >= 0 ||
            !is_written(body->graph, value->tensor))
            continue;
        NNC_TRY(nnc_graph_tensor(outer, value->tensor, NNC_VARIABLE, &at));
        NNC_TRY(place_of(written, at, &place));
    }
done:
    return status;
}

/* A new input of the body, fed from a value of the outer graph. */
static nnc_status add_input(nnc_body *body, const nnc_array *like, int from, int *out)
{
    nnc_status status;
    int64_t have = body->graph->input_count;
    NNC_TRY(nnc_grow(&body->feeds, &have, have + 1, sizeof *body->feeds));
    body->feeds[body->graph->input_count] = from;
    NNC_TRY(nnc_graph_input(body->graph, &like->shape, like->dtype, out));
done:
    return status;
}

/* A variable that is only read becomes an input: value v of the body is fed. */
static nnc_status read_as_input(nnc_body *body, int64_t v, int from)
{
    nnc_status status;
    nnc_graph *graph = body->graph;
    int64_t have = graph->input_count;
    NNC_TRY(nnc_grow(&body->feeds, &have, have + 1, sizeof *body->feeds));
    NNC_TRY(nnc_grow(&graph->inputs, &graph->input_capacity, graph->input_count + 1,
                     sizeof *graph->inputs));
    body->feeds[graph->input_count] = from;
    graph->inputs[graph->input_count++] = (int)v;
    nnc_value *value = &graph->values[v];
    nnc_lookup_remove(graph->by_tensor, value->tensor);
    value->kind = NNC_INPUT;
    value->array.data = NULL;
    nnc_tensor_release(value->tensor);
    value->tensor = NULL;
done:
    return status;
}

static nnc_status close_reads(nnc_graph *outer, nnc_body *body)
{
    nnc_status status = NNC_OK;
    for (int64_t v = 0; v < body->graph->value_count; v++) {
        nnc_tensor *tensor = body->graph->values[v].tensor;
        int from;
        if (body->graph->values[v].kind != NNC_VARIABLE || is_written(body->graph, tensor))
            continue;
        NNC_TRY(nnc_graph_tensor(outer, tensor, NNC_VARIABLE, &from));
        NNC_TRY(read_as_input(body, v, from));
    }
done:
    return status;
}

/* Gives the body storage of its own for a variable that it writes: `input` is assigned to it at the
 * start. Returns the value of the last contents. */
static nnc_status own_storage(nnc_body *body, nnc_tensor *variable, int input, int *out)
{
    nnc_status status;
    nnc_graph *graph = body->graph;
    nnc_tensor *own = NULL;
    nnc_attrs none = {0};
    int latest = nnc_graph_find(graph, variable), first = -1, before;
    NNC_TRY(nnc_tensor_new(&variable->array.shape, variable->array.dtype, &own));
    NNC_TRY(nnc_lookup_reserve(graph->by_tensor));
    NNC_TRY(nnc_graph_tensor(graph, own, NNC_VARIABLE, &before));
    for (int64_t v = 0; v < graph->value_count; v++) {
        nnc_value *value = &graph->values[v];
        if (value->tensor != variable)
            continue;
        value->tensor = nnc_tensor_retain(own);
        value->array.data = own->array.data;
        nnc_tensor_release(variable);
        if (value->earlier < 0)
            first = (int)v;
    }
    int in[2] = {before, input};
    nnc_lookup_remove(graph->by_tensor, variable);
    NNC_TRY(nnc_rewrite_insert(graph, 0, NNC_OP_assign, &none, in, 2, NULL));
    graph->values[first].earlier = before;
    nnc_lookup_put(graph->by_tensor, own, latest);
    NNC_TRY(nnc_graph_tensor(graph, own, NNC_VARIABLE, out));
done:
    nnc_tensor_release(own);
    return status;
}

/* Makes written variables inputs and outputs of the body: output `at` is the last contents. */
static nnc_status close_writes(nnc_graph *outer, nnc_body *body, const list *written, int at)
{
    nnc_status status = NNC_OK;
    int64_t have = body->output_count;
    NNC_TRY(nnc_grow(&body->outputs, &have, body->output_count + written->count,
                     sizeof *body->outputs));
    memmove(body->outputs + at + written->count, body->outputs + at,
            (size_t)(body->output_count - at) * sizeof *body->outputs);
    for (int64_t i = 0; i < written->count; i++) {
        nnc_tensor *tensor = outer->values[written->item[i]].tensor;
        bool writes = is_written(body->graph, tensor);
        int value;
        NNC_TRY(add_input(body, &tensor->array, written->item[i], &value));
        if (writes)
            NNC_TRY(own_storage(body, tensor, value, &value));
        body->outputs[at + i] = value;
    }
    body->output_count += (int)written->count;
done:
    return status;
}

/* ---- appending ---- */

/* feeds: from values of the outer graph to places among the node's inputs. */
static nnc_status number_feeds(nnc_body *body, list *inputs)
{
    nnc_status status = NNC_OK;
    for (int64_t k = 0; k < body->graph->input_count; k++) {
        if (body->feeds[k] >= 0)
            NNC_TRY(place_of(inputs, body->feeds[k], &body->feeds[k]));
    }
done:
    return status;
}

static void take_bodies(nnc_flow *flow, nnc_body *bodies)
{
    for (int b = 0; b < flow->body_count; b++) {
        flow->bodies[b] = bodies[b];
        bodies[b] = (nnc_body){.graph = NULL};
    }
}

static nnc_status assign_states(nnc_graph *graph, const list *written, const int *states)
{
    nnc_status status = NNC_OK;
    nnc_attrs none = {0};
    for (int64_t i = 0; i < written->count; i++) {
        nnc_tensor *tensor = graph->values[written->item[i]].tensor;
        int in[2] = {-1, states[i]};
        NNC_TRY(nnc_graph_tensor(graph, tensor, NNC_VARIABLE, &in[0]));
        NNC_TRY(nnc_graph_append(graph, NNC_OP_assign, &none, in, 2, NULL));
    }
done:
    return status;
}

nnc_status nnc_flow_branch(nnc_graph *graph, int index, nnc_body *bodies, int body_count,
                           bool in_place, int *out)
{
    nnc_status status = NNC_OK;
    nnc_flow plan = {.limit = -1, .count_input = -1}, *flow = NULL;
    list written = {.item = NULL}, inputs = {.item = NULL};
    int count = bodies[0].output_count, *all = NULL;
    nnc_attrs attrs = {0};
    for (int b = 0; b < body_count; b++)
        NNC_TRY(find_written(graph, &bodies[b], &written));
    in_place = in_place && count == 0;
    for (int64_t i = 0; in_place && i < written.count; i++)
        NNC_TRY(push(&inputs, written.item[i]));
    plan.effects = (int)inputs.count;
    plan.states = in_place ? 0 : (int)written.count;
    NNC_TRY(push(&inputs, index));
    for (int b = 0; b < body_count; b++) {
        NNC_TRY(close_reads(graph, &bodies[b]));
        if (!in_place)
            NNC_TRY(close_writes(graph, &bodies[b], &written, count));
        NNC_TRY(number_feeds(&bodies[b], &inputs));
    }
    if (count + written.count == 0)
        goto done;                              /* it does nothing */
    plan.results = count + plan.states;
    NNC_TRY(nnc_flow_new(&plan, body_count, &flow));
    take_bodies(flow, bodies);
    attrs.shared = &flow->shared;
    NNC_TRY(nnc_alloc((plan.results + 1) * (int64_t)sizeof *all, &all));
    NNC_TRY(nnc_graph_append(graph, NNC_OP_branch, &attrs, inputs.item, (int)inputs.count, all));
    for (int k = 0; k < count; k++)
        out[k] = all[k];
    if (!in_place)
        NNC_TRY(assign_states(graph, &written, all + count));
done:
    nnc_shared_release(flow == NULL ? NULL : &flow->shared);
    nnc_free(all);
    nnc_free(written.item);
    nnc_free(inputs.item);
    return status;
}

/* The body's inputs in order: i, carries, states, slices, others. States were added at the end. */
static void order_inputs(nnc_body *body, const nnc_flow *flow, int *room)
{
    nnc_graph *graph = body->graph;
    int plain = 1 + flow->carries - flow->states, n = (int)graph->input_count, at = 0;
    int *feeds = room + n;
    for (int k = 0; k < n; k++) {
        int from = k < plain ? k
            : k < plain + flow->states ? n - flow->states + (k - plain) : k - flow->states;
        room[at] = graph->inputs[from];
        feeds[at++] = k < 1 + flow->carries + flow->slices ? -1 : body->feeds[from];
    }
    memcpy(graph->inputs, room, (size_t)n * sizeof *room);
    memcpy(body->feeds, feeds, (size_t)n * sizeof *room);
}

/* Closes both bodies and lists the node's inputs. */
static nnc_status close_loop(nnc_graph *graph, nnc_flow *plan, nnc_body *bodies, int body_count,
                             const int *given, list *written, list *inputs)
{
    nnc_status status = NNC_OK;
    int *room = NULL, carries = plan->carries;
    list apart = {.item = NULL};
    if (body_count > 1) {
        NNC_TRY(find_written(graph, &bodies[1], &apart));
        if (apart.count > 0) {
            status = nnc_fail(NNC_EVALUE, "while_loop: `cond` must not write variables");
            goto done;
        }
    }
    NNC_TRY(find_written(graph, &bodies[0], written));
    for (int b = 0; b < body_count; b++)
        NNC_TRY(close_reads(graph, &bodies[b]));
    NNC_TRY(close_writes(graph, &bodies[0], written, carries));
    plan->states = (int)written->count;
    plan->carries += plan->states;
    NNC_TRY(nnc_alloc(2 * bodies[0].graph->input_count * (int64_t)sizeof *room, &room));
    order_inputs(&bodies[0], plan, room);
    for (int k = 0; k < carries; k++)
        NNC_TRY(push(inputs, given[k]));
    for (int64_t k = 0; k < written->count; k++)
        NNC_TRY(push(inputs, written->item[k]));
    for (int k = 0; k < plan->slices; k++)
        NNC_TRY(push(inputs, given[carries + k]));
    for (int b = 0; b < body_count; b++)
        NNC_TRY(number_feeds(&bodies[b], inputs));
done:
    nnc_free(room);
    nnc_free(apart.item);
    return status;
}

nnc_status nnc_flow_loop(nnc_graph *graph, const nnc_flow *given, nnc_body *bodies, int body_count,
                         const int *inputs_given, int *out)
{
    nnc_status status;
    nnc_flow plan = *given, *flow = NULL;
    list written = {.item = NULL}, inputs = {.item = NULL};
    int carries = plan.carries, *all = NULL;
    nnc_attrs attrs = {0};
    plan.count_input = -1;
    NNC_TRY(close_loop(graph, &plan, bodies, body_count, inputs_given, &written, &inputs));
    NNC_TRY(nnc_flow_new(&plan, body_count, &flow));
    take_bodies(flow, bodies);
    attrs.shared = &flow->shared;
    NNC_TRY(nnc_alloc((2 * plan.carries + plan.results + 1) * (int64_t)sizeof *all, &all));
    NNC_TRY(nnc_graph_append(graph, NNC_OP_loop, &attrs, inputs.item, (int)inputs.count, all));
    for (int k = 0; k < carries; k++)
        out[k] = all[k];
    for (int k = 0; k < plan.results; k++)
        out[carries + k] = all[plan.carries + k];
    out[carries + plan.results] = all[nnc_op_outputs(NNC_OP_loop, &attrs) - 1];
    NNC_TRY(assign_states(graph, &written, all + carries));
done:
    nnc_shared_release(flow == NULL ? NULL : &flow->shared);
    nnc_free(all);
    nnc_free(written.item);
    nnc_free(inputs.item);
    return status;
}
