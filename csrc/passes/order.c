/* order.c - moves effects as late as their meaning allows, so that a step which is given up before
 * its first effect has changed nothing. An effect stays before the next node that reads or writes a
 * variable it writes, or writes a variable it reads. */
#include "passes/passes.h"

#include <string.h>

static int effects(const nnc_node *node)
{
    return nnc_op_effects(&nnc_ops[node->op]);
}

static bool touches(const nnc_graph *graph, const nnc_node *node, int first, int last, int variable)
{
    for (int k = first; k < last; k++) {
        if (nnc_rewrite_root(graph, node->inputs[k]) == variable)
            return true;
    }
    return false;
}

static bool must_precede(const nnc_graph *graph, const nnc_node *effect, const nnc_node *later)
{
    for (int k = 0; k < effect->input_count; k++) {
        int variable = nnc_rewrite_root(graph, effect->inputs[k]);
        if (graph->values[variable].kind != NNC_VARIABLE)
            continue;
        int watch = k < effects(effect) ? later->input_count : effects(later);
        if (touches(graph, later, 0, watch, variable))
            return true;
    }
    for (int k = 0; k < effect->output_count; k++) {
        for (int j = 0; j < later->input_count; j++) {
            if (later->inputs[j] == effect->outputs[k])
                return true;
        }
    }
    return false;
}

nnc_status nnc_pass_order(nnc_pass *pass)
{
    nnc_graph *graph = pass->graph;
    for (int64_t i = graph->node_count - 1; i >= 0; i--) {
        nnc_node node = graph->nodes[i];
        int64_t j = i + 1;
        if (effects(&node) == 0)
            continue;
        while (j < graph->node_count && !must_precede(graph, &node, &graph->nodes[j]))
            j++;
        memmove(&graph->nodes[i], &graph->nodes[i + 1], (size_t)(j - 1 - i) * sizeof node);
        graph->nodes[j - 1] = node;
        for (int64_t k = i; k < j; k++) {
            for (int o = 0; o < graph->nodes[k].output_count; o++)
                graph->values[graph->nodes[k].outputs[o]].node = (int)k;
        }
    }
    return NNC_OK;
}
