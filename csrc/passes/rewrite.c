/* rewrite.c - the tools that passes are made of. */
#include "passes/passes.h"

#include <string.h>

static nnc_status copy_nodes(const nnc_graph *graph, nnc_graph *copy)
{
    nnc_status status = NNC_OK;
    NNC_TRY(nnc_grow(&copy->nodes, &copy->node_capacity, graph->node_count, sizeof *copy->nodes));
    for (int64_t i = 0; i < graph->node_count; i++) {
        nnc_node node = graph->nodes[i];
        int64_t bytes = node.input_count * (int64_t)sizeof *node.inputs;
        int64_t out_bytes = node.output_count * (int64_t)sizeof *node.outputs;
        node.inputs = node.outputs = NULL;
        NNC_TRY(nnc_alloc(bytes, &node.inputs));
        status = nnc_alloc(out_bytes, &node.outputs);
        if (status != NNC_OK) {
            nnc_free(node.inputs);
            goto done;
        }
        if (bytes > 0)
            memcpy(node.inputs, graph->nodes[i].inputs, (size_t)bytes);
        if (out_bytes > 0)
            memcpy(node.outputs, graph->nodes[i].outputs, (size_t)out_bytes);
        nnc_shared_retain(node.attrs.shared);
        copy->nodes[copy->node_count++] = node;
    }
done:
    return status;
}

nnc_status nnc_graph_clone(const nnc_graph *graph, nnc_graph **out)
{
    nnc_status status;
    nnc_graph *copy = NULL;
    NNC_TRY(nnc_graph_new(false, &copy));
    NNC_TRY(nnc_grow(&copy->values, &copy->value_capacity, graph->value_count,
                     sizeof *copy->values));
    NNC_TRY(nnc_grow(&copy->inputs, &copy->input_capacity, graph->input_count,
                     sizeof *copy->inputs));
    for (int64_t i = 0; i < graph->value_count; i++) {
        copy->values[i] = graph->values[i];
        if (copy->values[i].tensor != NULL)
            nnc_tensor_retain(copy->values[i].tensor);
        copy->value_count++;
    }
    for (int64_t i = 0; i < graph->input_count; i++)
        copy->inputs[copy->input_count++] = graph->inputs[i];
    copy->segments = graph->segments;
    NNC_TRY(copy_nodes(graph, copy));
    *out = copy;
    copy = NULL;
done:
    nnc_graph_release(copy);
    return status;
}

void nnc_rewrite_keep(nnc_graph *graph, const bool *keep)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < graph->node_count; i++) {
        if (!keep[i]) {
            nnc_node_clear(&graph->nodes[i]);
            continue;
        }
        graph->nodes[kept++] = graph->nodes[i];
    }
    graph->node_count = kept;
    nnc_rewrite_renumber(graph, 0);
}

void nnc_rewrite_renumber(nnc_graph *graph, int64_t first)
{
    for (int64_t i = first; i < graph->node_count; i++) {
        for (int k = 0; k < graph->nodes[i].output_count; k++)
            graph->values[graph->nodes[i].outputs[k]].node = (int)i;
    }
}

nnc_status nnc_rewrite_insert(nnc_graph *graph, int64_t index, nnc_op op, const nnc_attrs *attrs,
                              const int *inputs, int input_count, int *out)
{
    nnc_status status;
    NNC_TRY(nnc_graph_append(graph, op, attrs, inputs, input_count, out));
    nnc_node node = graph->nodes[graph->node_count - 1];
    node.label = graph->nodes[index].label;
    memmove(&graph->nodes[index + 1], &graph->nodes[index],
            (size_t)(graph->node_count - 1 - index) * sizeof node);
    graph->nodes[index] = node;
    nnc_rewrite_renumber(graph, index);
done:
    return status;
}

void nnc_rewrite_uses(const nnc_pass *pass, const int *map)
{
    nnc_graph *graph = pass->graph;
    for (int64_t i = 0; i < graph->node_count; i++) {
        for (int k = 0; k < graph->nodes[i].input_count; k++)
            graph->nodes[i].inputs[k] = map[graph->nodes[i].inputs[k]];
    }
    for (int i = 0; i < pass->output_count; i++)
        pass->outputs[i] = map[pass->outputs[i]];
}

nnc_status nnc_rewrite_count_uses(const nnc_pass *pass, int **out)
{
    nnc_status status;
    const nnc_graph *graph = pass->graph;
    int *uses = NULL;
    NNC_TRY(nnc_alloc_zero(graph->value_count * (int64_t)sizeof *uses, &uses));
    for (int64_t i = 0; i < graph->node_count; i++) {
        for (int k = 0; k < graph->nodes[i].input_count; k++)
            uses[graph->nodes[i].inputs[k]]++;
    }
    for (int i = 0; i < pass->output_count; i++)
        uses[pass->outputs[i]]++;
    *out = uses;
done:
    return status;
}

int nnc_rewrite_root(const nnc_graph *graph, int value)
{
    while (graph->values[value].kind == NNC_COMPUTED) {
        const nnc_node *node = &graph->nodes[graph->values[value].node];
        if (!(nnc_ops[node->op].flags & NNC_VIEW))
            break;
        value = node->inputs[0];
    }
    return value;
}
