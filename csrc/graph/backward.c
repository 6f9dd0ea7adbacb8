/* backward.c - reverse-mode differentiation: the gradient rules append more nodes.
 *
 * A value `depends` if a source can reach it; only such values get gradients. The nodes are walked
 * from the last to the first; a value's gradient is complete when its node is met, because all who
 * read it come later. Nodes that the walk appends are not walked. */
#include "graph/flow.h"

typedef struct {
    nnc_graph *graph;
    int64_t values;     /* how many there were at the start */
    bool *depends;      /* (values) */
    int *gradient;      /* (values): the value that holds it so far, or -1 */
    bool *need;         /* (most inputs of a node) */
    int *dx, *dy;
} walk;

static nnc_status ones_like(nnc_graph *graph, int value, int *out)
{
    nnc_array array = graph->values[value].array;
    nnc_attrs attrs = {.list_count = array.shape.rank, .f = {1.0}, .dtype = array.dtype};
    for (int i = 0; i < array.shape.rank; i++)
        attrs.list[i] = array.shape.dim[i];
    return nnc_graph_append(graph, NNC_OP_fill, &attrs, NULL, 0, out);
}

/* gradient[value] += more */
static nnc_status accumulate(walk *w, int value, int more)
{
    nnc_attrs none = {0};
    int both[2] = {w->gradient[value], more};
    if (both[0] >= 0)
        return nnc_graph_append(w->graph, NNC_OP_add, &none, both, 2, &w->gradient[value]);
    w->gradient[value] = more;
    return NNC_OK;
}

static void mark_dependent(walk *w, const int *sources, int source_count, int64_t first_node,
                           int64_t end)
{
    for (int i = 0; i < source_count; i++) {
        for (int v = sources[i]; v >= 0; v = w->graph->values[v].earlier)
            w->depends[v] = true;
    }
    for (int64_t i = first_node; i < end; i++) {
        const nnc_node *node = &w->graph->nodes[i];
        if (nnc_ops[node->op].gradient == NULL)
            continue;
        bool any = false;
        for (int k = 0; k < node->input_count; k++)
            any |= w->depends[node->inputs[k]];
        for (int k = 0; k < node->output_count && any; k++) {
            nnc_dtype dtype = w->graph->values[node->outputs[k]].array.dtype;
            w->depends[node->outputs[k]] |=
                nnc_dtype_differentiable(dtype) || nnc_flow_gives_stack(node, k);
        }
    }
}

static nnc_status seed_targets(walk *w, const int *targets, const int *seeds, int target_count)
{
    nnc_status status = NNC_OK;
    for (int i = 0; i < target_count; i++) {
        int seed = seeds == NULL ? -1 : seeds[i];
        if (!w->depends[targets[i]])
            continue;
        if (seed < 0)
            NNC_TRY(ones_like(w->graph, targets[i], &seed));
        NNC_TRY(accumulate(w, targets[i], seed));
    }
done:
    return status;
}

/* One node: its rule, then its inputs' gradients; what is appended is labelled as its gradient. */
static nnc_status step(walk *w, int index)
{
    nnc_status status = NNC_OK;
    int label = w->graph->label;
    nnc_node node = w->graph->nodes[index];      /* a copy: appending moves the array */
    nnc_gradient_fn *rule = nnc_ops[node.op].gradient;
    int *dy = w->dy;
    bool any = false, wanted = false;
    for (int k = 0; k < node.output_count; k++) {
        dy[k] = w->gradient[node.outputs[k]];
        any |= dy[k] >= 0;
    }
    for (int k = 0; k < node.input_count; k++) {
        w->need[k] = w->depends[node.inputs[k]];
        wanted |= w->need[k];
        w->dx[k] = -1;
    }
    if (!any || !wanted || rule == NULL)
        return NNC_OK;
    w->graph->label = node.label | NNC_LABEL_BACKWARD;
    NNC_TRY(rule(w->graph, index, dy, w->need, w->dx));
    for (int k = 0; k < node.input_count; k++) {
        if (!w->need[k] || w->dx[k] < 0)
            continue;
        const nnc_array *x = &w->graph->values[node.inputs[k]].array;
        const nnc_array *dx = &w->graph->values[w->dx[k]].array;
        if (!nnc_shape_equal(&x->shape, &dx->shape) || x->dtype != dx->dtype) {
            char want[NNC_SHAPE_TEXT], got[NNC_SHAPE_TEXT];
            status = nnc_fail(NNC_EINTERNAL, "%s: the gradient of input %d has shape %s, not %s",
                              nnc_ops[node.op].name, k, nnc_shape_text(&dx->shape, got),
                              nnc_shape_text(&x->shape, want));
            goto done;
        }
        NNC_TRY(accumulate(w, node.inputs[k], w->dx[k]));
    }
done:
    w->graph->label = label;
    return status;
}

/* The gradient of a source: of all the values its storage has had. */
static nnc_status collect(walk *w, int source, int *out)
{
    nnc_status status = NNC_OK;
    for (int v = w->graph->values[source].earlier; v >= 0; v = w->graph->values[v].earlier) {
        int more = w->gradient[v];
        w->gradient[v] = -1;            /* a source named twice must not add it twice */
        if (more >= 0)
            NNC_TRY(accumulate(w, source, more));
    }
    *out = w->gradient[source];
done:
    return status;
}

nnc_status nnc_graph_backward(nnc_graph *graph, const int *targets, const int *seeds,
                              int target_count, const int *sources, int source_count,
                              int64_t first_node, int *out)
{
    nnc_status status;
    walk w = {.graph = graph, .values = graph->value_count};
    int64_t end = graph->node_count;
    int most = 1, most_outputs = 1;
    for (int64_t i = first_node; i < end; i++) {
        const nnc_node *node = &graph->nodes[i];
        most = node->input_count > most ? node->input_count : most;
        most_outputs = node->output_count > most_outputs ? node->output_count : most_outputs;
    }
    NNC_TRY(nnc_alloc_zero(w.values * (int64_t)sizeof *w.depends, &w.depends));
    NNC_TRY(nnc_alloc(w.values * (int64_t)sizeof *w.gradient, &w.gradient));
    NNC_TRY(nnc_alloc(most * (int64_t)sizeof *w.need, &w.need));
    NNC_TRY(nnc_alloc(most * (int64_t)sizeof *w.dx, &w.dx));
    NNC_TRY(nnc_alloc(most_outputs * (int64_t)sizeof *w.dy, &w.dy));
    for (int64_t i = 0; i < w.values; i++)
        w.gradient[i] = -1;
    mark_dependent(&w, sources, source_count, first_node, end);
    NNC_TRY(seed_targets(&w, targets, seeds, target_count));
    for (int64_t i = end - 1; i >= first_node; i--)
        NNC_TRY(step(&w, (int)i));
    for (int i = 0; i < source_count; i++)
        NNC_TRY(collect(&w, sources[i], &out[i]));
done:
    nnc_free(w.depends);
    nnc_free(w.gradient);
    nnc_free(w.need);
    nnc_free(w.dx);
    nnc_free(w.dy);
    return status;
}
