/* graph.c - a graph: nodes over values, appended one by one; a tape when values hold data.
 *
 * A trace (eager == false) only knows shapes. On a tape (tape.c) every value holds a tensor, and
 * append computes as it writes down. */
#include "graph/call.h"
#include "graph/lookup.h"
#include "graph/tape.h"

#include <string.h>

nnc_status nnc_graph_new(bool eager, nnc_graph **out)
{
    nnc_status status;
    nnc_graph *graph = NULL;
    NNC_TRY(nnc_alloc_zero(sizeof *graph, &graph));
    NNC_TRY(nnc_alloc_zero(sizeof *graph->by_tensor, &graph->by_tensor));
    graph->eager = eager;
    atomic_init(&graph->references, 1);
    if (eager)
        nnc_tape_created(graph);
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
        nnc_tape_ended(graph);
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
    bool locked = nnc_tape_lock(graph);
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
    nnc_tape_unlock(locked);
    return status;
}

int nnc_graph_find(const nnc_graph *graph, const nnc_tensor *tensor)
{
    return nnc_lookup_find(graph->by_tensor, tensor);
}

nnc_status nnc_graph_add_node(nnc_graph *graph, nnc_op op, const nnc_attrs *attrs,
                              const int *inputs, int input_count, const nnc_array *arrays,
                              nnc_tensor *const *tensors, int *out)
{
    nnc_status status;
    bool locked = nnc_tape_lock(graph);
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
    nnc_tape_unlock(locked);
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

/* ---- append ---- */

static nnc_status append_eager(nnc_graph *graph, nnc_op op, const nnc_attrs *attrs,
                               const int *inputs, int input_count, int *out)
{
    nnc_status status;
    nnc_tensor **in = NULL, *results[NNC_MAX_OUTPUTS] = {NULL};
    nnc_array arrays[NNC_MAX_OUTPUTS];
    int retained = 0;
    NNC_TRY(nnc_alloc(input_count * (int64_t)sizeof *in, &in));
    nnc_tape_wait(graph);
    for (int i = 0; i < input_count; i++)       /* a signal's handler may detach them meanwhile */
        in[i] = nnc_tensor_retain(graph->values[inputs[i]].tensor);
    retained = input_count;
    NNC_TRY(nnc_eager_compute(op, attrs, in, input_count, results));
    NNC_TRY(nnc_tape_record(graph, op, attrs, in, input_count, results));
    for (int i = 0; i < nnc_ops[op].outputs; i++)
        arrays[i] = results[i]->array;
    NNC_TRY(nnc_graph_add_node(graph, op, attrs, inputs, input_count, arrays, results, out));
done:
    for (int i = 0; i < retained; i++)
        nnc_tensor_release(in[i]);
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
    NNC_TRY(nnc_graph_add_node(graph, op, attrs, inputs, input_count, arrays, NULL, out));
    for (int i = 0; i < effects; i++)
        graph->values[inputs[i]].stale = true;      /* the next read is another version */
done:
    nnc_free(in);
    if (arrays != few)
        nnc_free(arrays);
    return status;
}
