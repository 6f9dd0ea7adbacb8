/* fold.c - computes small nodes of constants once, and drops nodes that change nothing: x * 1, x /
 * 1, a cast to the same dtype, a reshape, broadcast or sum to the same shape. (Not x + 0, which
 * turns -0 into 0.) */
#include "graph/tape.h"
#include "passes/passes.h"

enum { LARGEST_CONSTANT = 4096 };      /* bytes; larger ones are cheaper to make than to read */

static bool is_scalar_one(const nnc_value *value)
{
    if (value->kind != NNC_CONSTANT || nnc_shape_size(&value->array.shape) != 1)
        return false;
    double number = 0;
    nnc_convert(value->tensor->array.data, value->array.dtype, &number, NNC_F64, 1);
    return number == 1.0;
}

/* The input that the node gives back unchanged, or -1. */
static int same_as(const nnc_graph *graph, const nnc_node *node)
{
    if (node->output_count != 1 || node->input_count < 1)
        return -1;
    const nnc_value *y = &graph->values[node->outputs[0]];
    const nnc_value *a = &graph->values[node->inputs[0]];
    bool same = a->array.dtype == y->array.dtype &&
        nnc_shape_equal(&a->array.shape, &y->array.shape);
    switch ((int)node->op) {
    case NNC_OP_cast:
    case NNC_OP_reshape:
    case NNC_OP_broadcast_to:
    case NNC_OP_sum_to:
    case NNC_OP_custom:             /* its rule has done its work */
        return same ? node->inputs[0] : -1;
    case NNC_OP_multiply:
    case NNC_OP_divide:
        if (same && is_scalar_one(&graph->values[node->inputs[1]]))
            return node->inputs[0];
        if (node->op == NNC_OP_multiply && is_scalar_one(a)) {
            const nnc_value *b = &graph->values[node->inputs[1]];
            if (b->array.dtype == y->array.dtype &&
                nnc_shape_equal(&b->array.shape, &y->array.shape))
                return node->inputs[1];
        }
        return -1;
    default:
        return -1;
    }
}

static bool foldable(const nnc_graph *graph, const nnc_node *node)
{
    int64_t bytes;
    if (node->output_count != 1 || (nnc_ops[node->op].flags & (NNC_EFFECT | NNC_SHARED)))
        return false;
    for (int k = 0; k < node->input_count; k++) {
        if (graph->values[node->inputs[k]].kind != NNC_CONSTANT)
            return false;
    }
    const nnc_array *y = &graph->values[node->outputs[0]].array;
    return nnc_shape_bytes(&y->shape, y->dtype, &bytes) == NNC_OK && bytes <= LARGEST_CONSTANT;
}

static nnc_status make_constant(nnc_graph *graph, const nnc_node *node)
{
    nnc_status status;
    nnc_tensor **in = NULL, *out[NNC_MAX_OUTPUTS];
    NNC_TRY(nnc_alloc(node->input_count * (int64_t)sizeof *in, &in));
    for (int k = 0; k < node->input_count; k++)
        in[k] = graph->values[node->inputs[k]].tensor;
    NNC_TRY(nnc_eager_compute(node->op, &node->attrs, in, node->input_count, out));
    nnc_value *value = &graph->values[node->outputs[0]];
    value->kind = NNC_CONSTANT;
    value->tensor = out[0];
    value->node = -1;
done:
    nnc_free(in);
    return status;
}

nnc_status nnc_pass_fold(nnc_pass *pass)
{
    nnc_status status;
    nnc_graph *graph = pass->graph;
    bool *keep = NULL;
    int *map = NULL;
    NNC_TRY(nnc_alloc(graph->node_count, &keep));
    NNC_TRY(nnc_alloc(graph->value_count * (int64_t)sizeof *map, &map));
    for (int64_t i = 0; i < graph->value_count; i++)
        map[i] = (int)i;
    for (int64_t i = 0; i < graph->node_count; i++) {
        nnc_node *node = &graph->nodes[i];
        for (int k = 0; k < node->input_count; k++)
            node->inputs[k] = map[node->inputs[k]];
        int same = same_as(graph, node);
        keep[i] = same < 0 && !foldable(graph, node);
        if (same >= 0)
            map[node->outputs[0]] = same;
        else if (!keep[i])
            NNC_TRY(make_constant(graph, node));
        pass->stats->folded += !keep[i];
    }
    nnc_rewrite_uses(pass, map);
    nnc_rewrite_keep(graph, keep);
done:
    nnc_free(keep);
    nnc_free(map);
    return status;
}
