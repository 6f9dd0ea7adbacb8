/* turn.c - narrow weights, turned for the length of a run, or for as long as nobody writes them.
 *
 * A dense layer with few units sums along its inputs (kernels/gemm_dot.inc): it reads w (k, n) by
 * columns. The step of such a weight reads and writes the columns of its gradient. Where these two
 * are all that a program does with w and its optimizer's slots, they work on twins (n, k) instead:
 * the replay turns the variables into them before its first step and back after its last one. The
 * gradient a^T b of the twin is b^T a, its rows along the rows of a: so the rows of a batch may lie
 * anywhere, too. Weights that a program does not write at all have twins that are made anew only once
 * some variable has been written. Every number goes through the same operations in the same order. */
#include "ops/optimizer.h"
#include "passes/passes.h"

enum {
    TURNED_FROM = 2048,     /* numbers of w: smaller ones lie in the nearest cache whole */
    MOST_STEPS = 256        /* of the gradient's sum: one block, whatever the layout */
};

static nnc_call call_of(const nnc_graph *graph, const nnc_node *node, nnc_array *in)
{
    nnc_call call = {.op = node->op, .attrs = &node->attrs, .in = in,
                     .input_count = node->input_count, .output_count = node->output_count};
    for (int k = 0; k < node->input_count; k++)
        in[k] = graph->values[node->inputs[k]].array;
    for (int k = 0; k < node->output_count; k++)
        call.out[k] = graph->values[node->outputs[k]].array;
    return call;
}

static bool is_narrow_dense(const nnc_graph *graph, const nnc_node *node)
{
    nnc_array in[3];
    if (node->op != NNC_OP_dense || node->input_count != 3)
        return false;
    nnc_call call = call_of(graph, node, in);
    return nnc_dense_is_dot(&call);
}

static bool holds(const nnc_graph *graph, int value, const nnc_tensor *tensor)
{
    const nnc_value *v = &graph->values[nnc_rewrite_root(graph, value)];
    return v->kind == NNC_VARIABLE && v->tensor == tensor;
}

/* Whether nobody but the step, and for w narrow dense layers, has to do with the variable. */
static bool is_private(const nnc_pass *pass, const nnc_node *step, int slot)
{
    const nnc_graph *graph = pass->graph;
    const nnc_tensor *tensor = graph->values[step->inputs[slot]].tensor;
    for (int k = 0; k < pass->output_count; k++) {
        if (holds(graph, pass->outputs[k], tensor))
            return false;
    }
    for (int64_t i = 0; i < graph->node_count; i++) {
        const nnc_node *node = &graph->nodes[i];
        for (int k = 0; k < node->input_count; k++) {
            if (!holds(graph, node->inputs[k], tensor))
                continue;
            bool own = node == step && k == slot;
            bool read = slot == 0 && k == 1 && node->inputs[1] == step->inputs[0] &&
                is_narrow_dense(graph, node);
            if (!own && !read)
                return false;
        }
    }
    return true;
}

static bool is_read(const nnc_graph *graph, const nnc_node *step)
{
    for (int64_t i = 0; i < graph->node_count; i++) {
        if (graph->nodes[i].op == NNC_OP_dense && graph->nodes[i].inputs[1] == step->inputs[0])
            return true;
    }
    return false;
}

/* Its gradient is a^T b; w and its slots are two-dimensional, of one shape. */
static bool can_turn(const nnc_pass *pass, const nnc_node *step)
{
    const nnc_graph *graph = pass->graph;
    const nnc_update *row = nnc_update_of_both(step->op);
    if (row == NULL)
        return false;
    int slots = nnc_op_effects(&nnc_ops[step->op]);
    const nnc_array *w = &graph->values[step->inputs[0]].array;
    const nnc_array *a = &graph->values[step->inputs[slots]].array;
    const nnc_array *b = &graph->values[step->inputs[slots + 1]].array;
    if (step->attrs.k[row->integers] != 1 || step->attrs.k[row->integers + 1] != 0 ||
        nnc_shape_size(&w->shape) < TURNED_FROM || a->shape.dim[0] > MOST_STEPS ||
        a->dtype != w->dtype || b->dtype != w->dtype || !is_read(graph, step))
        return false;
    for (int k = 0; k < slots; k++) {
        const nnc_value *slot = &graph->values[step->inputs[k]];
        if (slot->kind != NNC_VARIABLE || !nnc_shape_equal(&slot->array.shape, &w->shape) ||
            !is_private(pass, step, k))
            return false;
    }
    return true;
}

/* All values of the variable's storage stand for its twin's from now on. */
static nnc_status give_twin(nnc_pass *pass, nnc_tensor *plain)
{
    nnc_status status;
    nnc_graph *graph = pass->graph;
    nnc_tensor *turned = NULL;
    NNC_TRY(nnc_twins_add(pass->twins, plain, plain->array.dtype, NNC_HALF_NONE, true, true,
                          &turned));
    for (int64_t v = 0; v < graph->value_count; v++) {
        nnc_value *value = &graph->values[v];
        if (value->kind != NNC_VARIABLE || value->tensor != plain)
            continue;
        value->tensor = nnc_tensor_retain(turned);
        value->array = turned->array;
        nnc_tensor_release(plain);
    }
done:
    nnc_tensor_release(turned);
    return status;
}

static nnc_status turn(nnc_pass *pass, nnc_node *step)
{
    nnc_status status = NNC_OK;
    nnc_graph *graph = pass->graph;
    int slots = nnc_op_effects(&nnc_ops[step->op]), a = step->inputs[slots];
    for (int64_t i = 0; i < graph->node_count; i++) {
        nnc_node *node = &graph->nodes[i];
        if (node->op == NNC_OP_dense && node->inputs[1] == step->inputs[0])
            node->attrs.k[NNC_DENSE_TURNED] = 1;
    }
    step->inputs[slots] = step->inputs[slots + 1];
    step->inputs[slots + 1] = a;
    for (int k = 0; k < slots; k++)
        NNC_TRY(give_twin(pass, graph->values[step->inputs[k]].tensor));
done:
    return status;
}

nnc_status nnc_pass_turn(nnc_pass *pass)
{
    nnc_status status = NNC_OK;
    for (int64_t i = 0; i < pass->graph->node_count; i++) {
        if (can_turn(pass, &pass->graph->nodes[i]))
            NNC_TRY(turn(pass, &pass->graph->nodes[i]));
    }
done:
    return status;
}

/* Whether w may have a twin that is read beside it; numbers: of those that there are already. */
static bool may_stand(const nnc_pass *pass, const nnc_node *dense, int64_t numbers)
{
    const nnc_graph *graph = pass->graph;
    const nnc_value *w = &graph->values[dense->inputs[1]];
    int64_t size = nnc_shape_size(&w->array.shape);
    return w->kind == NNC_VARIABLE && w->tensor->owner == NULL &&
        (w->array.dtype == NNC_F32 || w->array.dtype == NNC_F64) && size <= NNC_LARGEST_TWIN &&
        size <= NNC_MOST_TWINS - numbers &&
        !nnc_nodes_write(graph, graph->nodes, graph->node_count, w->tensor);
}

nnc_status nnc_pass_turn_read(nnc_pass *pass)
{
    nnc_status status = NNC_OK;
    nnc_graph *graph = pass->graph;
    nnc_tensor *twin = NULL;
    int64_t numbers = 0;
    if (!nnc_nodes_call_nobody(graph->nodes, graph->node_count))
        return NNC_OK;
    for (int64_t i = 0; i < graph->node_count; i++) {
        nnc_node *node = &graph->nodes[i];
        if (!is_narrow_dense(graph, node) || node->attrs.k[NNC_DENSE_TURNED] ||
            !may_stand(pass, node, numbers))
            continue;
        nnc_tensor *plain = graph->values[node->inputs[1]].tensor;
        NNC_TRY(nnc_twins_add(pass->twins, plain, plain->array.dtype, NNC_HALF_NONE, true, false,
                              &twin));
        NNC_TRY(nnc_graph_tensor(graph, twin, NNC_CONSTANT, &node->inputs[1]));
        nnc_tensor_release(twin);
        twin = NULL;
        node->attrs.k[NNC_DENSE_TURNED] = 1;
        numbers += nnc_shape_size(&plain->array.shape);
    }
done:
    nnc_tensor_release(twin);
    return status;
}
