/* lead.c - puts long effects before short ones, in small programs: while all threads are at the
 * long ones' pieces, who is ready first goes on with the short ones. Only the effects behind the last
 * other node are moved, a branch that writes counting as such, and none past another that it must
 * follow. */
#include "graph/call.h"
#include "passes/passes.h"

#include <string.h>

enum { MOST_SORTED = 256 };
#define LONG_EFFECT 4000.0      /* ns: spread over threads */

static int effects(const nnc_node *node)
{
    return nnc_op_effects(&nnc_ops[node->op]);
}

/* Whether one of the inputs is the storage of `variable` in another version. */
static bool touches_other(const nnc_graph *graph, const nnc_node *node, int variable)
{
    for (int k = 0; k < node->input_count; k++) {
        int root = nnc_rewrite_root(graph, node->inputs[k]);
        if (root != variable && graph->values[root].kind == NNC_VARIABLE &&
            graph->values[root].tensor == graph->values[variable].tensor)
            return true;
    }
    return false;
}

static bool overwrites(const nnc_graph *graph, const nnc_node *node, int variable)
{
    for (int k = 0; k < effects(node); k++) {
        if (graph->values[node->inputs[k]].tensor == graph->values[variable].tensor)
            return true;
    }
    return false;
}

/* Whether `effect` must stay before a later one: that reads or writes a later version of what it
 * writes, overwrites what it reads, or reads its output. */
static bool must_precede(const nnc_graph *graph, const nnc_node *effect, const nnc_node *later)
{
    for (int k = 0; k < effect->input_count; k++) {
        int variable = nnc_rewrite_root(graph, effect->inputs[k]);
        if (graph->values[variable].kind == NNC_VARIABLE &&
            (k < effects(effect) ? touches_other(graph, later, variable)
                                 : overwrites(graph, later, variable)))
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

/* Nanoseconds that a node takes on one thread, estimated. */
static nnc_status cost_of(const nnc_graph *graph, const nnc_node *node, double *out)
{
    nnc_status status;
    nnc_array *in = NULL;
    nnc_call call = {.op = node->op, .attrs = &node->attrs, .input_count = node->input_count,
                     .output_count = node->output_count};
    NNC_TRY(nnc_alloc_zero((node->input_count + 1) * (int64_t)sizeof *in, &in));
    for (int k = 0; k < node->input_count; k++) {
        in[k] = graph->values[node->inputs[k]].array;
        in[k].data = NULL;
    }
    for (int k = 0; k < node->output_count; k++)
        call.out[k] = graph->values[node->outputs[k]].array;
    call.in = in;
    nnc_call_plan(&call);
    *out = call.work.cost;
done:
    nnc_free(in);
    return status;
}

nnc_status nnc_pass_lead(nnc_pass *pass)
{
    nnc_status status = NNC_OK;
    nnc_graph *graph = pass->graph;
    int64_t first = graph->node_count;
    while (first > 0 && effects(&graph->nodes[first - 1]) > 0)
        first--;
    if (graph->node_count - first > MOST_SORTED)
        return NNC_OK;
    for (int64_t i = first; i < graph->node_count; i++) {
        nnc_node node = graph->nodes[i];
        double cost, other = 0;
        int64_t j = i;
        NNC_TRY(cost_of(graph, &node, &cost));
        for (; j > first && cost > LONG_EFFECT; j--) {
            if (must_precede(graph, &graph->nodes[j - 1], &node))
                break;
            NNC_TRY(cost_of(graph, &graph->nodes[j - 1], &other));
            if (other > LONG_EFFECT)
                break;
        }
        memmove(&graph->nodes[j + 1], &graph->nodes[j], (size_t)(i - j) * sizeof node);
        graph->nodes[j] = node;
    }
done:
    nnc_rewrite_renumber(graph, first);
    return status;
}
