/* narrow.c - lets products of bfloat16 read and give float32 themselves instead of by way of casts:
 *   cast of a float32 variable, second operand -> the product rounds it as it reads it; the numbers
 *       are the same (where there are instructions for such products; else widen.c does it);
 *   product of a turned first operand (a weight's gradient), cast to float32
 *                                              -> the product gives its float32 sums: it is not
 *       rounded at all where it would have been once. Other products keep their rounding, so that a
 *       model that is run as a program gives the bits of one that is called op by op.
 * So a weight that is kept in float32 is read once by each product, and its gradient goes as it is
 * summed to the optimizer. */
#include "ops/optimizer.h"
#include "passes/passes.h"

static bool is_cast(const nnc_graph *graph, const nnc_node *node, nnc_dtype from, nnc_dtype to)
{
    return node->op == NNC_OP_cast && graph->values[node->inputs[0]].array.dtype == from &&
        graph->values[node->outputs[0]].array.dtype == to;
}

static const nnc_node *producer(const nnc_graph *graph, int value)
{
    const nnc_value *v = &graph->values[value];
    return v->kind == NNC_COMPUTED ? &graph->nodes[v->node] : NULL;
}

static void read_wide(nnc_graph *graph, nnc_node *product)
{
    const nnc_node *cast = producer(graph, product->inputs[1]);
    if (!nnc_tiles_there() || cast == NULL || !is_cast(graph, cast, NNC_F32, NNC_BF16) ||
        graph->values[product->inputs[0]].array.dtype != NNC_BF16 ||
        graph->values[cast->inputs[0]].kind != NNC_VARIABLE)
        return;
    product->inputs[1] = cast->inputs[0];
    product->attrs.k[product->op == NNC_OP_dense ? NNC_DENSE_WIDE : NNC_MATMUL_WIDE] |= NNC_WIDE_B;
}

/* The cast becomes the product, which goes. */
static bool give_wide(nnc_graph *graph, nnc_node *cast, const int *uses)
{
    nnc_node *product = (nnc_node *)producer(graph, cast->inputs[0]);
    if (product == NULL || product->op != NNC_OP_matmul || product->attrs.k[0] == 0 ||
        uses[cast->inputs[0]] != 1)
        return false;
    int *inputs = cast->inputs;
    cast->inputs = product->inputs;
    product->inputs = inputs;               /* freed with it */
    product->input_count = cast->input_count;
    cast->input_count = 2;
    cast->op = NNC_OP_matmul;
    cast->attrs = product->attrs;
    cast->attrs.k[NNC_MATMUL_WIDE] |= NNC_WIDE_C;
    cast->label = product->label;
    return true;
}

nnc_status nnc_pass_narrow(nnc_pass *pass)
{
    nnc_status status;
    nnc_graph *graph = pass->graph;
    int *uses = NULL;
    bool *keep = NULL;
    NNC_TRY(nnc_rewrite_count_uses(pass, &uses));
    NNC_TRY(nnc_alloc(graph->node_count, &keep));
    for (int64_t i = 0; i < graph->node_count; i++) {
        nnc_node *node = &graph->nodes[i];
        keep[i] = true;
        if (node->op == NNC_OP_matmul || node->op == NNC_OP_dense)
            read_wide(graph, node);
        if (!is_cast(graph, node, NNC_BF16, NNC_F32))
            continue;
        int product = graph->values[node->inputs[0]].node;
        if (give_wide(graph, node, uses)) {
            keep[product] = false;
            pass->stats->fused++;
        }
    }
    nnc_rewrite_keep(graph, keep);
done:
    nnc_free(uses);
    nnc_free(keep);
    return status;
}
