/* snapshot.c - not optional: who reads a variable after it has been written, but means what it held
 * before, reads a copy.
 *
 * An effect writes version v of a variable; the value v still means the contents before. If v (or a
 * view of it) is read after the effect, or is an output, then v is copied before its first reader,
 * and all who read v read the copy; the effect alone keeps v. */
#include "passes/passes.h"

static bool reads(const nnc_graph *graph, const nnc_node *node, int value)
{
    for (int k = nnc_op_effects(&nnc_ops[node->op]); k < node->input_count; k++) {
        if (nnc_rewrite_root(graph, node->inputs[k]) == value)
            return true;
    }
    return false;
}

/* Whether anything after node `index` reads the value; views count when they are read. */
static bool read_after(const nnc_pass *pass, int64_t index, int value)
{
    const nnc_graph *graph = pass->graph;
    for (int64_t i = index + 1; i < graph->node_count; i++) {
        if (reads(graph, &graph->nodes[i], value))
            return true;
    }
    for (int i = 0; i < pass->output_count; i++) {
        if (nnc_rewrite_root(graph, pass->outputs[i]) == value)
            return true;
    }
    return false;
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
           !(nnc_op_effects(&nnc_ops[graph->nodes[first].op]) > 0 &&
             graph->nodes[first].inputs[0] == value))
        first++;
    NNC_TRY(nnc_rewrite_insert(graph, first, NNC_OP_copy, &none, &value, 1, &copy));
    for (int64_t i = first + 1; i < graph->node_count; i++) {
        nnc_node *node = &graph->nodes[i];
        for (int k = nnc_op_effects(&nnc_ops[node->op]); k < node->input_count; k++) {
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
    nnc_status status = NNC_OK;
    nnc_graph *graph = pass->graph;
    for (int64_t i = 0; i < graph->node_count; i++) {
        for (int k = 0; k < nnc_op_effects(&nnc_ops[graph->nodes[i].op]); k++) {
            int value = graph->nodes[i].inputs[k];
            if (!graph->values[value].stale || !read_after(pass, i, value))
                continue;
            NNC_TRY(take_snapshot(pass, value));
            i++;                                    /* the node moved on by one */
        }
    }
done:
    return status;
}
