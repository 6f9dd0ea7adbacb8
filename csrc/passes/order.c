/* order.c - moves effects as late as their meaning allows, so that a step which is given up before
 * its first effect has changed nothing.
 *
 * A variable that is written has versions: values of one storage, one after another. An effect stays
 * before the next node that reads or writes a later version of what it writes, or that overwrites
 * what it reads. (Who reads the version before it may come later: snapshot.c sees to that.)
 * A seed_next is an effect that somebody needs at once; it becomes a copy of the state, and an
 * addition to the state that can be moved. */
#include "passes/passes.h"

#include <string.h>

static int effects(const nnc_node *node)
{
    return nnc_effects(node->op, &node->attrs);
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

static void sink_effects(nnc_graph *graph)
{
    for (int64_t i = graph->node_count - 1; i >= 0; i--) {
        nnc_node node = graph->nodes[i];
        int64_t j = i + 1;
        if (effects(&node) == 0)
            continue;
        while (j < graph->node_count && !must_precede(graph, &node, &graph->nodes[j]))
            j++;
        memmove(&graph->nodes[i], &graph->nodes[i + 1], (size_t)(j - 1 - i) * sizeof node);
        graph->nodes[j - 1] = node;
        nnc_rewrite_renumber(graph, i);
    }
}

/* The constant (0, 1) that a state goes on by. */
static nnc_status step_constant(nnc_graph *graph, int *out)
{
    nnc_status status;
    nnc_tensor *tensor = NULL;
    nnc_shape shape = {.rank = 1, .dim = {2}};
    NNC_TRY(nnc_tensor_new(&shape, NNC_U32, &tensor));
    ((uint32_t *)tensor->array.data)[0] = 0;
    ((uint32_t *)tensor->array.data)[1] = 1;
    NNC_TRY(nnc_graph_tensor(graph, tensor, NNC_CONSTANT, out));
done:
    nnc_tensor_release(tensor);
    return status;
}

static nnc_status split_seeds(nnc_graph *graph)
{
    nnc_status status = NNC_OK;
    int one = -1;
    for (int64_t i = 0; i < graph->node_count; i++) {
        nnc_attrs none = {0};
        if (graph->nodes[i].op != NNC_OP_seed_next)
            continue;
        if (one < 0)
            NNC_TRY(step_constant(graph, &one));
        int in[2] = {graph->nodes[i].inputs[0], one};
        NNC_TRY(nnc_rewrite_insert(graph, i + 1, NNC_OP_assign_add, &none, in, 2, NULL));
        graph->nodes[i].op = NNC_OP_copy;
    }
done:
    return status;
}

nnc_status nnc_pass_order(nnc_pass *pass)
{
    nnc_status status = split_seeds(pass->graph);
    if (status == NNC_OK)
        sink_effects(pass->graph);
    return status;
}
