/* graph.c - a graph: nodes over values, appended one by one; a tape when values hold data.
 *
 * A trace (eager == false) only knows shapes. On a tape every value holds a tensor, and append
 * computes as it writes down. The tapes of a thread form a list; nnc_eager appends to each one that
 * watches an input. All tapes alive form another list, so that an overwritten tensor can be given
 * to them as it was. */
#include "core/lock.h"
#include "graph/call.h"
#include "graph/lookup.h"
#include "graph/tape.h"

#include <pthread.h>
#include <string.h>

static pthread_mutex_t alive_lock = PTHREAD_MUTEX_INITIALIZER;
static nnc_graph *alive;
static _Thread_local nnc_graph *active;     /* each entry holds a reference */

nnc_status nnc_graph_new(bool eager, nnc_graph **out)
{
    nnc_status status;
    nnc_graph *graph = NULL;
    NNC_TRY(nnc_alloc_zero(sizeof *graph, &graph));
    NNC_TRY(nnc_alloc_zero(sizeof *graph->by_tensor, &graph->by_tensor));
    graph->eager = eager;
    atomic_init(&graph->references, 1);
    if (eager) {
        nnc_lock_at_fork(&alive_lock, true);
        pthread_mutex_lock(&alive_lock);
        graph->next_alive = alive;
        if (alive != NULL)
            alive->previous_alive = graph;
        alive = graph;
        pthread_mutex_unlock(&alive_lock);
    }
    *out = graph;
    graph = NULL;
done:
    nnc_free(graph);
    return status;
}

nnc_graph *nnc_graph_retain(nnc_graph *graph)
{
    atomic_fetch_add_explicit(&graph->references, 1, memory_order_relaxed);
    return graph;
}

static void forget_alive(nnc_graph *graph)
{
    pthread_mutex_lock(&alive_lock);
    if (graph->previous_alive != NULL)
        graph->previous_alive->next_alive = graph->next_alive;
    else
        alive = graph->next_alive;
    if (graph->next_alive != NULL)
        graph->next_alive->previous_alive = graph->previous_alive;
    pthread_mutex_unlock(&alive_lock);
}

nnc_shared *nnc_shared_retain(nnc_shared *shared)
{
    if (shared != NULL)
        atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed);
    return shared;
}

void nnc_shared_release(nnc_shared *shared)
{
    if (shared != NULL &&
        atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel) == 1)
        shared->clear(shared);
}

void nnc_node_clear(nnc_node *node)
{
    nnc_free(node->inputs);
    nnc_free(node->outputs);
    nnc_shared_release(node->attrs.shared);
}

void nnc_graph_release(nnc_graph *graph)
{
    if (graph == NULL ||
        atomic_fetch_sub_explicit(&graph->references, 1, memory_order_acq_rel) != 1)
        return;
    if (graph->eager)
        forget_alive(graph);
    for (int64_t i = 0; i < graph->node_count; i++)
        nnc_node_clear(&graph->nodes[i]);
    for (int64_t i = 0; i < graph->value_count; i++)
        nnc_tensor_release(graph->values[i].tensor);
    nnc_lookup_clear(graph->by_tensor);
    nnc_free(graph->by_tensor);
    nnc_free(graph->nodes);
    nnc_free(graph->values);
    nnc_free(graph->inputs);
    nnc_free(graph);
}

/* Room for `count` more values, so that add_value cannot fail. */
static nnc_status reserve_values(nnc_graph *graph, int count)
{
    return nnc_grow(&graph->values, &graph->value_capacity, graph->value_count + count,
                    sizeof *graph->values);
}

static int add_value(nnc_graph *graph, const nnc_array *array, nnc_value_kind kind,
                     nnc_tensor *tensor)
{
    int value = (int)graph->value_count++;
    graph->values[value] = (nnc_value){.array = *array, .kind = kind, .node = -1,
                                         .earlier = -1};
    if (tensor != NULL) {
        graph->values[value].tensor = nnc_tensor_retain(tensor);
        nnc_lookup_put(graph->by_tensor, tensor, value);
    }
    return value;
}

nnc_status nnc_graph_input(nnc_graph *graph, const nnc_shape *shape, nnc_dtype dtype, int *out)
{
    nnc_status status;
    int64_t bytes;
    nnc_array array = {.dtype = dtype, .shape = *shape};
    NNC_TRY(nnc_shape_bytes(shape, dtype, &bytes));
    NNC_TRY(reserve_values(graph, 1));
    NNC_TRY(nnc_grow(&graph->inputs, &graph->input_capacity, graph->input_count + 1,
                     sizeof *graph->inputs));
    *out = add_value(graph, &array, NNC_INPUT, NULL);
    graph->inputs[graph->input_count++] = *out;
done:
    return status;
}

nnc_status nnc_graph_tensor(nnc_graph *graph, nnc_tensor *tensor, nnc_value_kind kind, int *out)
{
    nnc_status status = NNC_OK;
    int value = nnc_lookup_find(graph->by_tensor, tensor);
    if (value < 0 || graph->values[value].stale) {
        int earlier = value;
        NNC_TRY(nnc_lookup_reserve(graph->by_tensor));
        NNC_TRY(reserve_values(graph, 1));
        value = add_value(graph, &tensor->array, kind, tensor);
        graph->values[value].earlier = earlier;
        graph->values[value].differentiable =
            earlier >= 0 && graph->values[earlier].differentiable;
    }
    *out = value;
done:
    return status;
}

int nnc_graph_find(const nnc_graph *graph, const nnc_tensor *tensor)
{
    return nnc_lookup_find(graph->by_tensor, tensor);
}

/* Writes a node down; its outputs are arrays (a trace) or tensors. */
static nnc_status add_node(nnc_graph *graph, nnc_op op, const nnc_attrs *attrs, const int *inputs,
                           int input_count, const nnc_array *arrays, nnc_tensor *const *tensors,
                           int *out)
{
    nnc_status status;
    const nnc_op_row *row = &nnc_ops[op];
    int outputs = nnc_op_outputs(op, attrs);
    bool differentiable = false;
    nnc_node node = {.op = op, .input_count = input_count, .output_count = outputs,
                     .segment = graph->segment, .attrs = *attrs, .label = graph->label};
    NNC_TRY(nnc_grow(&graph->nodes, &graph->node_capacity, graph->node_count + 1,
                     sizeof *graph->nodes));
    NNC_TRY(reserve_values(graph, outputs));
    for (int i = 0; tensors != NULL && i < outputs; i++)
        NNC_TRY(nnc_lookup_reserve(graph->by_tensor));
    NNC_TRY(nnc_alloc(input_count * (int64_t)sizeof *inputs, &node.inputs));
    NNC_TRY(nnc_alloc(outputs * (int64_t)sizeof *node.outputs, &node.outputs));
    nnc_shared_retain(attrs->shared);
    for (int i = 0; i < input_count; i++) {
        node.inputs[i] = inputs[i];
        differentiable |= graph->values[inputs[i]].differentiable;
    }
    for (int i = 0; i < outputs; i++) {
        int value = add_value(graph, &arrays[i], NNC_COMPUTED, tensors == NULL ? NULL : tensors[i]);
        graph->values[value].node = (int)graph->node_count;
        graph->values[value].output = i;
        graph->values[value].differentiable = differentiable && row->gradient != NULL &&
            nnc_dtype_differentiable(arrays[i].dtype);
        node.outputs[i] = out[i] = value;
    }
    graph->nodes[graph->node_count++] = node;
    node.inputs = NULL;
done:
    if (status != NNC_OK)
        nnc_free(node.inputs);
    return status;
}

bool nnc_graph_begin_segment(nnc_graph *graph)
{
    if (graph->segment != 0)
        return false;
    graph->segment = ++graph->segments;
    return true;
}

void nnc_graph_end_segment(nnc_graph *graph)
{
    graph->segment = 0;
}

/* ---- tapes ---- */

nnc_status nnc_tape_watch(nnc_graph *tape, nnc_tensor *tensor)
{
    nnc_status status;
    int value;
    NNC_TRY(nnc_graph_tensor(tape, tensor, NNC_CONSTANT, &value));
    tape->values[value].differentiable = true;
done:
    return status;
}

void nnc_tape_push(nnc_graph *tape)
{
    tape->next_active = active;
    active = nnc_graph_retain(tape);
}

void nnc_tape_pop(nnc_graph *tape)
{
    for (nnc_graph **link = &active; *link != NULL; link = &(*link)->next_active) {
        if (*link == tape) {
            *link = tape->next_active;
            tape->next_active = NULL;
            nnc_graph_release(tape);
            return;
        }
    }
}

bool nnc_tape_active(void)
{
    return active != NULL;
}

nnc_status nnc_tape_detach(nnc_tensor *tensor)
{
    nnc_status status = NNC_OK;
    nnc_tensor *copy = NULL;
    if (alive == NULL)
        return NNC_OK;
    pthread_mutex_lock(&alive_lock);
    for (nnc_graph *tape = alive; tape != NULL; tape = tape->next_alive) {
        int value = nnc_lookup_find(tape->by_tensor, tensor);
        if (value < 0 || tape->values[value].stale)
            continue;
        if (copy == NULL)
            NNC_TRY(nnc_tensor_copy(tensor, &copy));
        nnc_value *held = &tape->values[value];
        held->tensor = nnc_tensor_retain(copy);
        held->array.data = copy->array.data;
        held->stale = true;     /* the next read is another value; gradients for both are added */
        nnc_tensor_release(tensor);
    }
done:
    pthread_mutex_unlock(&alive_lock);
    nnc_tensor_release(copy);
    return status;
}

nnc_status nnc_tape_record(nnc_graph *except, nnc_op op, const nnc_attrs *attrs,
                           nnc_tensor *const *in, int input_count, nnc_tensor *const *out)
{
    nnc_status status = NNC_OK;
    int *inputs = NULL, outputs[NNC_MAX_OUTPUTS];
    nnc_array arrays[NNC_MAX_OUTPUTS];
    if (nnc_ops[op].gradient == NULL)
        return NNC_OK;
    for (nnc_graph *tape = active; tape != NULL; tape = tape->next_active) {
        bool watched = false;
        for (int i = 0; i < input_count && !watched; i++) {
            int value = nnc_lookup_find(tape->by_tensor, in[i]);
            watched = value >= 0 && tape->values[value].differentiable;
        }
        if (!watched || tape == except)
            continue;
        if (inputs == NULL)
            NNC_TRY(nnc_alloc(input_count * (int64_t)sizeof *inputs, &inputs));
        for (int i = 0; i < input_count; i++)
            NNC_TRY(nnc_graph_tensor(tape, in[i], NNC_CONSTANT, &inputs[i]));
        for (int i = 0; i < nnc_ops[op].outputs; i++)
            arrays[i] = out[i]->array;
        NNC_TRY(add_node(tape, op, attrs, inputs, input_count, arrays, out, outputs));
    }
done:
    nnc_free(inputs);
    return status;
}

/* ---- append ---- */

static nnc_status append_eager(nnc_graph *graph, nnc_op op, const nnc_attrs *attrs,
                               const int *inputs, int input_count, int *out)
{
    nnc_status status;
    nnc_tensor **in = NULL, *results[NNC_MAX_OUTPUTS] = {NULL};
    nnc_array arrays[NNC_MAX_OUTPUTS];
    NNC_TRY(nnc_alloc(input_count * (int64_t)sizeof *in, &in));
    for (int i = 0; i < input_count; i++)
        in[i] = graph->values[inputs[i]].tensor;
    NNC_TRY(nnc_eager_compute(op, attrs, in, input_count, results));
    NNC_TRY(nnc_tape_record(graph, op, attrs, in, input_count, results));
    for (int i = 0; i < nnc_ops[op].outputs; i++)
        arrays[i] = results[i]->array;
    NNC_TRY(add_node(graph, op, attrs, inputs, input_count, arrays, results, out));
done:
    nnc_free(in);
    for (int i = 0; i < NNC_MAX_OUTPUTS; i++)
        nnc_tensor_release(results[i]);
    return status;
}

nnc_status nnc_graph_append(nnc_graph *graph, nnc_op op, const nnc_attrs *attrs, const int *inputs,
                            int input_count, int *out)
{
    nnc_status status;
    nnc_array *in = NULL, few[NNC_MAX_OUTPUTS], *arrays = few;
    int effects = nnc_effects(op, attrs), outputs = nnc_op_outputs(op, attrs);
    if (graph->eager)
        return append_eager(graph, op, attrs, inputs, input_count, out);
    NNC_TRY(nnc_alloc(input_count * (int64_t)sizeof *in, &in));
    if (outputs > NNC_MAX_OUTPUTS)
        NNC_TRY(nnc_alloc(outputs * (int64_t)sizeof *arrays, &arrays));
    for (int i = 0; i < input_count; i++) {
        in[i] = graph->values[inputs[i]].array;
        in[i].data = NULL;
    }
    for (int i = 0; i < effects && i < input_count; i++) {
        if (graph->values[inputs[i]].kind != NNC_VARIABLE) {
            status = nnc_fail(NNC_ETYPE, "%s: input %d must be a variable", nnc_ops[op].name, i);
            goto done;
        }
    }
    NNC_TRY(nnc_call_infer(op, attrs, in, input_count, arrays));
    NNC_TRY(add_node(graph, op, attrs, inputs, input_count, arrays, NULL, out));
    for (int i = 0; i < effects; i++)
        graph->values[inputs[i]].stale = true;      /* the next read is another version */
done:
    nnc_free(in);
    if (arrays != few)
        nnc_free(arrays);
    return status;
}
