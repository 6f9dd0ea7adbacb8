/* verify.c - off unless asked for: checks that the other passes left a graph that means something.
 * Every value is computed before it is read, by the node that claims it; every shape is what the
 * op's rule says; effects write variables. */
#include "graph/call.h"
#include "passes/passes.h"

static nnc_status broken(const nnc_node *node, int64_t index, const char *what)
{
    return nnc_fail(NNC_EINTERNAL, "verify: node %lld (%s): %s", (long long)index,
                    nnc_ops[node->op].name, what);
}

static nnc_status check_node(const nnc_graph *graph, int64_t index, nnc_array *in, nnc_array *out)
{
    nnc_status status = NNC_OK;
    const nnc_node *node = &graph->nodes[index];
    for (int k = 0; k < node->input_count; k++) {
        const nnc_value *value = &graph->values[node->inputs[k]];
        if (value->kind == NNC_COMPUTED && value->node >= index)
            return broken(node, index, "reads a value before it is computed");
        if (k < nnc_effects(node->op, &node->attrs) && value->kind != NNC_VARIABLE)
            return broken(node, index, "writes what is no variable");
        in[k] = value->array;
        in[k].data = NULL;
    }
    NNC_TRY(nnc_call_infer(node->op, &node->attrs, in, node->input_count, out));
    for (int k = 0; k < node->output_count; k++) {
        const nnc_value *value = &graph->values[node->outputs[k]];
        if (value->node != index || value->output != k)
            return broken(node, index, "its output names another node");
        if (value->array.dtype != out[k].dtype || !nnc_shape_equal(&value->array.shape, &out[k].shape))
            return broken(node, index, "its output has another dtype or shape than its rule gives");
    }
done:
    return status;
}

nnc_status nnc_pass_verify(nnc_pass *pass)
{
    nnc_status status = NNC_OK;
    nnc_array *in = NULL, *out = NULL;
    int most = 1, most_outputs = 1;
    for (int64_t i = 0; i < pass->graph->node_count; i++) {
        if (pass->graph->nodes[i].input_count > most)
            most = pass->graph->nodes[i].input_count;
        if (pass->graph->nodes[i].output_count > most_outputs)
            most_outputs = pass->graph->nodes[i].output_count;
    }
    NNC_TRY(nnc_alloc(most * (int64_t)sizeof *in, &in));
    NNC_TRY(nnc_alloc(most_outputs * (int64_t)sizeof *out, &out));
    for (int64_t i = 0; i < pass->graph->node_count; i++)
        NNC_TRY(check_node(pass->graph, i, in, out));
done:
    nnc_free(in);
    nnc_free(out);
    return status;
}
