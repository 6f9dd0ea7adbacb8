/* remat.c - segments of a recording whose insides are computed again where the backward pass reads
 * them, instead of being kept until then (Chen et al. 2016, arXiv:1604.06174).
 *
 * A segment's nodes carry its number; values that it gives are marked as kept. Whoever reads
 * another of its values from outside, and later, is part of a gradient: all that the segment computes is
 * repeated before the first such reader, and they read the repetition; prune.c drops what nobody
 * reads. Effects are not repeated, nor what they give (the states of random numbers): the same
 * numbers are drawn, and every bit stays. */
#include "passes/passes.h"

typedef struct {
    nnc_pass *pass;
    int64_t nodes;          /* there were at the start */
    int *map;               /* (values) the repetition, or -1 */
    int64_t values;         /* there were at the start */
    int64_t *before;        /* (nodes appended) the node that each goes before */
    int64_t before_room;
} repeating;

/* Whether a node outside reads what the segment keeps for itself. */
static bool reads_inside(const nnc_graph *graph, const nnc_node *node, int segment)
{
    if (node->segment == segment)
        return false;
    for (int k = 0; k < node->input_count; k++) {
        const nnc_value *value = &graph->values[node->inputs[k]];
        if (value->kind == NNC_COMPUTED && !value->kept &&
            graph->nodes[value->node].segment == segment &&
            nnc_effects(graph->nodes[value->node].op, &graph->nodes[value->node].attrs) == 0)
            return true;
    }
    return false;
}

/* The repetition of a value; -1 if there is none. */
static int repetition(const repeating *r, int value)
{
    return value < r->values ? r->map[value] : -1;
}

/* Appends node i again, reading repetitions. */
static nnc_status repeat_node(repeating *r, int64_t i, int64_t reader)
{
    nnc_status status;
    nnc_graph *graph = r->pass->graph;
    nnc_node node = graph->nodes[i];
    int *work = NULL;
    NNC_TRY(nnc_alloc((node.input_count + node.output_count + 1) * (int64_t)sizeof *work, &work));
    for (int k = 0; k < node.input_count; k++) {
        int again = repetition(r, node.inputs[k]);
        work[k] = again >= 0 ? again : node.inputs[k];
    }
    NNC_TRY(nnc_grow(&r->before, &r->before_room, graph->node_count - r->nodes + 1,
                     sizeof *r->before));
    NNC_TRY(nnc_graph_append(graph, node.op, &node.attrs, work, node.input_count,
                             work + node.input_count));
    r->before[graph->node_count - 1 - r->nodes] = reader;
    for (int k = 0; k < node.output_count; k++)
        r->map[node.outputs[k]] = work[node.input_count + k];
done:
    nnc_free(work);
    return status;
}

static nnc_status repeat_segment(repeating *r, int segment)
{
    nnc_status status = NNC_OK;
    nnc_graph *graph = r->pass->graph;
    int64_t first = 0, last = -1, reader;
    for (int64_t i = 0; i < r->nodes; i++)
        last = graph->nodes[i].segment == segment ? i : last;
    for (reader = last + 1; reader < r->nodes; reader++) {
        if (reads_inside(graph, &graph->nodes[reader], segment))
            break;
    }
    if (last < 0 || reader == r->nodes)
        return NNC_OK;
    while (graph->nodes[first].segment != segment)
        first++;
    for (int64_t i = first; i <= last; i++) {
        const nnc_node *node = &graph->nodes[i];
        if (node->segment == segment && nnc_effects(node->op, &node->attrs) == 0)
            NNC_TRY(repeat_node(r, i, reader));
    }
    for (int64_t i = reader; i < r->nodes; i++) {
        nnc_node *node = &graph->nodes[i];
        for (int k = 0; k < node->input_count && node->segment != segment; k++) {
            int value = node->inputs[k];
            if (repetition(r, value) >= 0 && !graph->values[value].kept)
                node->inputs[k] = r->map[value];
        }
    }
    for (int64_t i = first; i <= last; i++) {
        for (int k = 0; k < graph->nodes[i].output_count; k++)
            r->map[graph->nodes[i].outputs[k]] = -1;
    }
done:
    return status;
}

/* Puts what was appended where it belongs. */
static nnc_status reorder(repeating *r)
{
    nnc_status status;
    nnc_graph *graph = r->pass->graph;
    nnc_node *sorted = NULL;
    int64_t *place = NULL, added = graph->node_count - r->nodes, before = 0;
    NNC_TRY(nnc_alloc(graph->node_count * (int64_t)sizeof *sorted, &sorted));
    NNC_TRY(nnc_alloc_zero((r->nodes + 1) * (int64_t)sizeof *place, &place));
    for (int64_t k = 0; k < added; k++)
        place[r->before[k]]++;
    for (int64_t i = 0; i < r->nodes; i++) {
        int64_t here = place[i];
        place[i] = i + before;                  /* where the first that goes before node i lies */
        before += here;
        sorted[i + before] = graph->nodes[i];
    }
    for (int64_t k = 0; k < added; k++)
        sorted[place[r->before[k]]++] = graph->nodes[r->nodes + k];
    for (int64_t i = 0; i < graph->node_count; i++)
        graph->nodes[i] = sorted[i];
    nnc_rewrite_renumber(graph, 0);
done:
    nnc_free(sorted);
    nnc_free(place);
    return status;
}

nnc_status nnc_pass_remat(nnc_pass *pass)
{
    nnc_status status = NNC_OK;
    repeating r = {.pass = pass, .nodes = pass->graph->node_count,
                   .values = pass->graph->value_count};
    if (pass->graph->segments == 0)
        return NNC_OK;
    NNC_TRY(nnc_alloc(r.values * (int64_t)sizeof *r.map, &r.map));
    for (int64_t v = 0; v < r.values; v++)
        r.map[v] = -1;
    for (int s = 1; s <= pass->graph->segments; s++)
        NNC_TRY(repeat_segment(&r, s));
    if (pass->graph->node_count > r.nodes)
        NNC_TRY(reorder(&r));
done:
    nnc_free(r.map);
    nnc_free(r.before);
    return status;
}
