/* fuse.c - joins nodes that one kernel does better:
 *   matmul, add of a bias, activation    -> dense (the epilogue works on the finished tile);
 *   softmax beside a cross-entropy of the same logits -> the probabilities that the loss computes.
 * The gradient of an activation is made to read only what its rule needs, the output alone if that
 * does, so that the value before the activation need not exist. All of it keeps every bit: the same
 * kernels run on the same numbers. Products of 16-bit floats round after each op, fused once, at
 * their end: they are joined with a relu, which comes to the same, and those of bfloat16 with
 * others in programs that may keep excess precision. */
#include "ops/chain.h"
#include "ops/optimizer.h"
#include "passes/passes.h"

static bool is_unary(nnc_op op)
{
    static const nnc_op all[] = {
#define UNARY(name, ...) NNC_OP_##name,
#include "ops/unary.def"
#undef UNARY
    };
    return op >= all[0] && op <= all[sizeof all / sizeof all[0] - 1];
}

static const nnc_node *producer(const nnc_graph *graph, int value)
{
    const nnc_value *v = &graph->values[value];
    return v->kind == NNC_COMPUTED ? &graph->nodes[v->node] : NULL;
}

/* name_grad(x, y, dy): what the rule does not read is replaced by what it reads, so that it need
 * not be kept. relu(x) > 0 exactly where x > 0, so relu reads y. */
static void read_less_in_gradients(nnc_graph *graph)
{
    for (int64_t i = 0; i < graph->node_count; i++) {
        nnc_node *node = &graph->nodes[i];
        unsigned reads = node->op == NNC_OP_relu_grad ? 6 : nnc_unary_grad_reads(node->op);
        if ((reads & 3) == 0)
            node->inputs[0] = node->inputs[1] = node->inputs[2];
        else if (!(reads & 1))
            node->inputs[0] = node->inputs[1];
        else if (!(reads & 2))
            node->inputs[1] = node->inputs[0];
    }
}

/* Whether a product whose value it is may be joined with `next`, which alone reads it. */
static bool may_join(const nnc_pass *pass, int value, nnc_op next)
{
    nnc_dtype dtype = pass->graph->values[value].array.dtype;
    return next == NNC_OP_relu || (dtype == NNC_BF16 ? pass->excess : dtype != NNC_F16);
}

/* add(matmul(x, w), bias) where nobody else reads the product: which input is the product, or
 * -1. */
static int bias_of(const nnc_pass *pass, const nnc_node *add, const int *uses)
{
    const nnc_graph *graph = pass->graph;
    for (int k = 0; k < 2; k++) {
        const nnc_node *product = producer(graph, add->inputs[k]);
        if (product == NULL || product->op != NNC_OP_matmul || uses[add->inputs[k]] != 1 ||
            product->attrs.k[0] || product->attrs.k[1] || product->attrs.k[NNC_MATMUL_WIDE] ||
            !may_join(pass, add->inputs[k], NNC_OP_add))
            continue;
        const nnc_shape *w = &graph->values[product->inputs[1]].array.shape;
        const nnc_shape *bias = &graph->values[add->inputs[1 - k]].array.shape;
        if (w->rank == 2 && bias->rank == 1 && bias->dim[0] == w->dim[1])
            return k;
    }
    return -1;
}

static nnc_status fuse_bias(nnc_pass *pass, nnc_node *add, const int *uses, bool *keep)
{
    nnc_status status;
    nnc_graph *graph = pass->graph;
    int k = bias_of(pass, add, uses);
    int *inputs = NULL;
    if (k < 0)
        return NNC_OK;
    NNC_TRY(nnc_alloc(3 * (int64_t)sizeof *inputs, &inputs));
    int product = graph->values[add->inputs[k]].node;
    inputs[0] = graph->nodes[product].inputs[0];
    inputs[1] = graph->nodes[product].inputs[1];
    inputs[2] = add->inputs[1 - k];
    nnc_free(add->inputs);
    add->inputs = inputs;
    add->input_count = 3;
    add->op = NNC_OP_dense;
    add->attrs = (nnc_attrs){.k = {-1}};
    add->label = graph->nodes[product].label;
    keep[product] = false;
    pass->stats->fused++;
done:
    return status;
}

/* The activation takes the place of the dense node that it alone reads. */
static void fuse_activation(nnc_pass *pass, nnc_node *unary, const int *uses, bool *keep)
{
    nnc_graph *graph = pass->graph;
    const nnc_node *dense = producer(graph, unary->inputs[0]);
    if (dense == NULL || dense->op != NNC_OP_dense || dense->attrs.k[0] >= 0 ||
        uses[unary->inputs[0]] != 1 || !may_join(pass, unary->inputs[0], unary->op))
        return;
    nnc_attrs attrs = dense->attrs;
    attrs.k[0] = (int64_t)unary->op;
    attrs.f[0] = unary->attrs.f[0];
    keep[graph->values[unary->inputs[0]].node] = false;
    unary->label = dense->label;
    int *inputs = unary->inputs;
    unary->inputs = dense->inputs;
    graph->nodes[graph->values[inputs[0]].node].inputs = inputs;   /* freed with the dropped node */
    unary->input_count = 3;
    unary->op = NNC_OP_dense;
    unary->attrs = attrs;
    pass->stats->fused++;
}

static nnc_status fuse_dense(nnc_pass *pass)
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
        if (node->op == NNC_OP_add)
            NNC_TRY(fuse_bias(pass, node, uses, keep));
        else if (is_unary(node->op))
            fuse_activation(pass, node, uses, keep);
    }
    nnc_rewrite_keep(graph, keep);
done:
    nnc_free(uses);
    nnc_free(keep);
    return status;
}

static int64_t first_reader(const nnc_graph *graph, int value)
{
    for (int64_t i = 0; i < graph->node_count; i++) {
        for (int k = 0; k < graph->nodes[i].input_count; k++) {
            if (graph->nodes[i].inputs[k] == value)
                return i;
        }
    }
    return graph->node_count;
}

/* softmax(x) over the last axis, read only after a cross-entropy of x: its second output. */
static nnc_status share_softmax(nnc_pass *pass)
{
    nnc_status status;
    nnc_graph *graph = pass->graph;
    int *map = NULL;
    NNC_TRY(nnc_alloc(graph->value_count * (int64_t)sizeof *map, &map));
    for (int64_t i = 0; i < graph->value_count; i++)
        map[i] = (int)i;
    for (int64_t i = 0; i < graph->node_count; i++) {
        const nnc_node *loss = &graph->nodes[i];
        if (loss->op != NNC_OP_softmax_crossentropy &&
            loss->op != NNC_OP_sparse_softmax_crossentropy)
            continue;
        int rank = graph->values[loss->inputs[0]].array.shape.rank;
        for (int64_t j = 0; j < graph->node_count; j++) {
            const nnc_node *other = &graph->nodes[j];
            if (other->op != NNC_OP_softmax || other->inputs[0] != loss->inputs[0] ||
                (other->attrs.k[0] != -1 && other->attrs.k[0] != rank - 1) ||
                first_reader(graph, other->outputs[0]) <= i)
                continue;
            map[other->outputs[0]] = loss->outputs[1];
            pass->stats->fused++;
        }
    }
    nnc_rewrite_uses(pass, map);
done:
    nnc_free(map);
    return status;
}

nnc_status nnc_pass_fuse(nnc_pass *pass)
{
    nnc_status status;
    read_less_in_gradients(pass->graph);
    NNC_TRY(fuse_dense(pass));
    NNC_TRY(share_softmax(pass));
done:
    return status;
}
