/* late.c - sums that only effects read wait for these.
 *
 * The gradient of a bias is a sum over the rows of a batch, and the step of an optimizer is all that
 * reads it. Between steps that work row by row it would make the threads meet (graph/rows.c); behind
 * the first effect it is done by whoever does the step. */
#include "passes/passes.h"

enum { LARGEST = 1 << 14 };     /* numbers summed: more are worth all threads */

/* Whether the node may stand directly before the first who reads it, an effect at *reader: it reads
 * no variables, which effects in between may write. */
static bool may_wait(const nnc_pass *pass, int64_t first_effect, int64_t i, const int *reader)
{
    const nnc_graph *graph = pass->graph;
    const nnc_node *node = &graph->nodes[i];
    if (node->op != NNC_OP_sum_to || reader[i] < first_effect)
        return false;
    for (int k = 0; k < node->input_count; k++) {
        const nnc_value *value = &graph->values[nnc_rewrite_root(graph, node->inputs[k])];
        if (value->kind != NNC_COMPUTED || nnc_shape_size(&value->array.shape) > LARGEST)
            return false;
    }
    return true;
}

/* The first node that reads what node i makes, views seen through; the number of nodes: none does, -1:
 * it is given back. */
static nnc_status find_readers(const nnc_pass *pass, int **out)
{
    nnc_status status;
    const nnc_graph *graph = pass->graph;
    int *reader = NULL;
    NNC_TRY(nnc_alloc(graph->node_count * (int64_t)sizeof *reader, &reader));
    for (int64_t i = 0; i < graph->node_count; i++)
        reader[i] = (int)graph->node_count;
    for (int64_t i = graph->node_count - 1; i >= 0; i--) {
        const nnc_node *node = &graph->nodes[i];
        for (int k = 0; k < node->input_count; k++) {
            const nnc_value *value =
                &graph->values[nnc_rewrite_root(graph, node->inputs[k])];
            if (value->kind == NNC_COMPUTED)
                reader[value->node] = (int)i;
        }
    }
    for (int k = 0; k < pass->output_count; k++) {
        const nnc_value *value = &graph->values[nnc_rewrite_root(graph, pass->outputs[k])];
        if (value->kind == NNC_COMPUTED)
            reader[value->node] = -1;
    }
    *out = reader;
done:
    return status;
}

/* Nodes in their order, but for those that wait: next[i] is another one before the same reader. */
static void move(nnc_graph *graph, const int *head, const int *next, const bool *waits,
                 nnc_node *nodes)
{
    int64_t n = 0;
    for (int64_t i = 0; i < graph->node_count; i++) {
        for (int j = head[i]; j >= 0; j = next[j])
            nodes[n++] = graph->nodes[j];
        if (!waits[i])
            nodes[n++] = graph->nodes[i];
    }
}

static int64_t first_effect_of(const nnc_graph *graph)
{
    int64_t i = 0;
    while (i < graph->node_count &&
           nnc_effects(graph->nodes[i].op, &graph->nodes[i].attrs) == 0)
        i++;
    return i;
}

nnc_status nnc_pass_late(nnc_pass *pass)
{
    nnc_status status;
    nnc_graph *graph = pass->graph;
    int *reader = NULL, *head = NULL, *next = NULL;
    bool *waits = NULL;
    nnc_node *nodes = NULL;
    int64_t capacity = 0, first = first_effect_of(graph), count = graph->node_count;
    NNC_TRY(find_readers(pass, &reader));
    NNC_TRY(nnc_alloc_zero(count, &waits));
    NNC_TRY(nnc_alloc(count * (int64_t)sizeof *head, &head));
    NNC_TRY(nnc_alloc(count * (int64_t)sizeof *next, &next));
    NNC_TRY(nnc_grow(&nodes, &capacity, count, sizeof *nodes));
    for (int64_t i = 0; i < count; i++)
        head[i] = -1;
    for (int64_t i = first - 1; i >= 0; i--) {
        waits[i] = reader[i] < count && may_wait(pass, first, i, reader);
        if (waits[i]) {
            next[i] = head[reader[i]];
            head[reader[i]] = (int)i;
        }
    }
    move(graph, head, next, waits, nodes);
    nnc_free(graph->nodes);
    graph->nodes = nodes;
    graph->node_capacity = capacity;
    nodes = NULL;
    nnc_rewrite_renumber(graph, 0);
done:
    nnc_free(nodes);
    nnc_free(next);
    nnc_free(head);
    nnc_free(waits);
    nnc_free(reader);
    return status;
}
