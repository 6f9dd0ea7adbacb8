/* update.c - puts an optimizer's step behind the product that is its gradient: one node instead of
 * two where nobody else reads the gradient. It keeps every bit.
 *
 * Only where the product is then cut into whole rows: a step on pieces of rows walks w and its
 * slots in short runs far apart, which costs more than the gradient's way through the cache saves
 * (784 x 512 at a batch of 128: a tenth of the training step; whole rows save a twentieth). */
#include "ops/optimizer.h"
#include "passes/passes.h"

/* Whether a factor lies in storage that the step writes. */
static bool factor_is_written(const nnc_graph *graph, const nnc_node *step, int factor)
{
    const nnc_value *value = &graph->values[nnc_rewrite_root(graph, factor)];
    for (int k = 0; k < nnc_op_effects(&nnc_ops[step->op]); k++) {
        const nnc_value *written = &graph->values[nnc_rewrite_root(graph, step->inputs[k])];
        if (value->tensor != NULL && value->tensor == written->tensor)
            return true;
    }
    return false;
}

static bool is_cut_by_rows(const nnc_graph *graph, const nnc_node *product)
{
    nnc_array in[2] = {graph->values[product->inputs[0]].array,
                       graph->values[product->inputs[1]].array};
    nnc_attrs attrs = product->attrs;
    nnc_call call = {.op = NNC_OP_matmul, .input_count = 2, .output_count = 1, .attrs = &attrs,
                     .in = in};
    call.out[0] = graph->values[product->outputs[0]].array;
    nnc_update_cut(&attrs, call.out[0].shape.dim[0], call.out[0].shape.dim[1]);
    if (nnc_matmul_is_tiled(&call))
        return true;            /* in long runs */
    int phase = nnc_matmul_first_phase(&call);
    nnc_region first = nnc_matmul_region(&call, phase, 0);
    if (first.r0 == first.r1)   /* copies, or sums of parts of k */
        first = nnc_matmul_region(&call, phase + 1, 0);
    return first.r0 == first.r1 || first.c1 - first.c0 == call.out[0].shape.dim[1];
}

/* The product of two matrices that is the step's gradient and nothing else; NULL if there is none. */
static const nnc_node *product_of(const nnc_graph *graph, const nnc_node *step, const int *uses)
{
    int gradient = step->inputs[nnc_op_effects(&nnc_ops[step->op])];
    const nnc_value *value = &graph->values[gradient];
    if (value->kind != NNC_COMPUTED || uses[gradient] != 1 || value->array.shape.rank != 2 ||
        value->array.dtype == NNC_F16 || value->array.dtype == NNC_BF16)
        return NULL;
    const nnc_node *product = &graph->nodes[value->node];
    int64_t wide = product->attrs.k[NNC_MATMUL_WIDE];
    if (product->op != NNC_OP_matmul || (wide & (NNC_ROUND_BF16 | NNC_ROUND_F16)) ||
        ((wide & NNC_WIDE_B) && graph->values[product->inputs[0]].array.dtype == NNC_F32))
        return NULL;
    for (int k = 0; k < 2; k++) {
        if (graph->values[product->inputs[k]].array.shape.rank != 2 ||
            factor_is_written(graph, step, product->inputs[k]))
            return NULL;
    }
    return is_cut_by_rows(graph, product) ? product : NULL;
}

static nnc_status join(nnc_node *step, const nnc_node *product)
{
    nnc_status status;
    const nnc_update *row = nnc_update_of_step(step->op);
    int slots = nnc_op_effects(&nnc_ops[step->op]), *inputs = NULL, count = 0;
    NNC_TRY(nnc_alloc((step->input_count + 1) * (int64_t)sizeof *inputs, &inputs));
    for (int k = 0; k < step->input_count; k++) {
        if (k == slots)
            inputs[count++] = product->inputs[0];
        inputs[count++] = k == slots ? product->inputs[1] : step->inputs[k];
    }
    nnc_free(step->inputs);
    step->inputs = inputs;
    step->input_count = count;
    step->op = row->both;
    step->label = product->label;
    step->attrs.k[row->integers] = product->attrs.k[0];
    step->attrs.k[row->integers + 1] = product->attrs.k[1];
done:
    return status;
}

nnc_status nnc_pass_update(nnc_pass *pass)
{
    nnc_status status;
    nnc_graph *graph = pass->graph;
    int *uses = NULL;
    bool *keep = NULL;
    NNC_TRY(nnc_rewrite_count_uses(pass, &uses));
    NNC_TRY(nnc_alloc(graph->node_count, &keep));
    for (int64_t i = 0; i < graph->node_count; i++)
        keep[i] = true;
    for (int64_t i = 0; i < graph->node_count; i++) {
        nnc_node *step = &graph->nodes[i];
        if (nnc_update_of_step(step->op) == NULL)
            continue;
        const nnc_node *product = product_of(graph, step, uses);
        if (product == NULL)
            continue;
        keep[product - graph->nodes] = false;
        NNC_TRY(join(step, product));
        pass->stats->fused++;
    }
    nnc_rewrite_keep(graph, keep);
done:
    nnc_free(uses);
    nnc_free(keep);
    return status;
}
