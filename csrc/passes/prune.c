/* prune.c - drops what neither an output nor an effect needs. */
#include "passes/passes.h"

nnc_status nnc_pass_prune(nnc_pass *pass)
{
    nnc_status status;
    nnc_graph *graph = pass->graph;
    bool *keep = NULL, *wanted = NULL;
    NNC_TRY(nnc_alloc_zero(graph->node_count, &keep));
    NNC_TRY(nnc_alloc_zero(graph->value_count, &wanted));
    for (int i = 0; i < pass->output_count; i++)
        wanted[pass->outputs[i]] = true;
    for (int64_t i = graph->node_count - 1; i >= 0; i--) {
        const nnc_node *node = &graph->nodes[i];
        keep[i] = nnc_effects(node->op, &node->attrs) > 0;
        for (int k = 0; k < node->output_count; k++)
            keep[i] |= wanted[node->outputs[k]];
        for (int k = 0; k < node->input_count && keep[i]; k++)
            wanted[node->inputs[k]] = true;
    }
    nnc_rewrite_keep(graph, keep);
done:
    nnc_free(keep);
    nnc_free(wanted);
    return status;
}
