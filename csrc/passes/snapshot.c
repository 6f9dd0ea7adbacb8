/* snapshot.c - not optional: who reads a variable after it has been written, but means what it held
 * before, reads a copy.
 *
 * An effect writes version v of a variable; the value v still means the contents before. If v (or a
 * view of it) is read after the effect, or is an output, then v is copied before its first reader,
 * and all who read v read the copy; the effect alone keeps v. */
#include "passes/passes.h"

static bool reads(const nnc_graph *graph, const nnc_node *node, int value)
{
    for (int k = nnc_effects(node->op, &node->attrs); k < node->input_count; k++) {
        if (nnc_rewrite_root(graph, node->inputs[k]) == value)
            return true;
    }
    return false;
}

static bool writes(const nnc_node *node, int value)
{
    for (int k = 0; k < nnc_effects(node->op, &node->attrs); k++) {
        if (node->inputs[k] == value)
            return true;
    }
    return false;
}

/* last[v]: the last node that reads value v, itself or through a view; node_count if it is an output;
 * -1: none. */
static void find_last_reads(const nnc_pass *pass, int64_t *last)
{
    const nnc_graph *graph = pass->graph;
    for (int64_t v = 0; v < graph->value_count; v++)
        last[v] = -1;
    for (int64_t i = 0; i < graph->node_count; i++) {
        const nnc_node *node = &graph->nodes[i];
        for (int k = nnc_effects(node->op, &node->attrs); k < node->input_count; k++)
            last[nnc_rewrite_root(graph, node->inputs[k])] = i;
    }
    for (int i = 0; i < pass->output_count; i++)
        last[nnc_rewrite_root(graph, pass->outputs[i])] = graph->node_count;
}

/* Puts a copy before the first reader and gives it to all of them. */
static nnc_status take_snapshot(nnc_pass *pass, int value)
{
    nnc_status status = NNC_OK;
    nnc_graph *graph = pass->graph;
    nnc_attrs none = {0};
    int copy;
    int64_t first = 0;
    while (first < graph->node_count && !reads(graph, &graph->nodes[first], value) &&
           !writes(&graph->nodes[first], value))
        first++;
    NNC_TRY(nnc_rewrite_insert(graph, first, NNC_OP_copy, &none, &value, 1, &copy));
    for (int64_t i = first + 1; i < graph->node_count; i++) {
        nnc_node *node = &graph->nodes[i];
        for (int k = nnc_effects(node->op, &node->attrs); k < node->input_count; k++) {
            if (node->inputs[k] == value)
                node->inputs[k] = copy;
        }
    }
    for (int i = 0; i < pass->output_count; i++) {
        if (pass->outputs[i] == value)
            pass->outputs[i] = copy;
    }
done:
    return status;
}

nnc_status nnc_pass_snapshot(nnc_pass *pass)
{
    nnc_status status;
    nnc_graph *graph = pass->graph;
    int64_t *last = NULL, values = graph->value_count;
    NNC_TRY(nnc_alloc(values * (int64_t)sizeof *last, &last));
    find_last_reads(pass, last);
    for (int64_t i = 0; i < graph->node_count; i++) {
        for (int k = 0; k < nnc_effects(graph->nodes[i].op, &graph->nodes[i].attrs); k++) {
            int value = graph->nodes[i].inputs[k];
            if (last[value] <= i)
                continue;
            NNC_TRY(take_snapshot(pass, value));
            i++;                                    /* the node moved on by one */
            for (int64_t v = 0; v < values; v++)
                last[v] += last[v] >= 0;            /* as did the readers, if not those before it */
            last[value] = -1;
        }
    }
done:
    nnc_free(last);
    return status;
}
