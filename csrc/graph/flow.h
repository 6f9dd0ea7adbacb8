/* flow.h - nodes that own graphs: `branch` runs one of several, `loop` one again and again.
 *
 * A body is a graph whose inputs are fed from the node's inputs; it is differentiated as a graph and
 * run as a program of its own inside the program of the node. Variables that a body reads are inputs
 * of the node. Variables that it writes are, too: the body works on a copy (its own storage) and
 * gives the last contents as an output, which the outer graph assigns; so a node has no effects
 * before its outputs are known to be good. A branch without outputs writes in place instead.
 *
 *   branch  node: [written in place] index (int32), operands;  body: any of them, by `feeds`.
 *           out: results.
 *   loop    node: carries, slices (n, ...), others;  body: i (int32), carries, one part of each
 *           slice, others by `feeds`;  condition: carries, others by `feeds`.
 *           body gives carries, results.
 *           out: carries, results (limit, ...), saved carries (limit, ...), rounds (int64).
 *           A loop without a limit has no results. Its carries are saved in a stack that grows as
 *           it runs (stack.h); in place of saved carries it gives where the stack is (int64, for
 *           nodes of the same graph). Its slices, if it has any, come from such a stack, which is
 *           one input in place of theirs. */
#ifndef NNC_GRAPH_FLOW_H
#define NNC_GRAPH_FLOW_H

#include "nnc.h"

typedef struct {
    nnc_graph *graph;
    int *outputs;               /* values of graph */
    int output_count;
    int *feeds;                 /* (graph->input_count) which input of the node; -1: by place */
} nnc_body;

typedef struct {
    nnc_shared shared;
    nnc_body *bodies;           /* loop: the body, then the condition if there is one */
    int body_count;
    int effects;                /* leading inputs of the node that are written in place */
    int carries, slices, results;
    int states;                 /* the last carries (or outputs of a branch): written variables */
    int64_t limit;              /* rounds at the most; -1: none */
    int64_t start;              /* i of place 0 */
    int count_input;            /* which input says how many rounds (int64); -1: limit */
    bool reverse;               /* places from the last to the first */
    bool from_stack;            /* slices are the carries that a loop without a limit saved */
} nnc_flow;

static inline nnc_flow *nnc_flow_of(const nnc_attrs *attrs)
{
    return (nnc_flow *)attrs->shared;
}

/* Whether output k of a node is a stack: it depends on what the loop does, for gradients too. */
static inline bool nnc_flow_gives_stack(const nnc_node *node, int k)
{
    if (node->op != NNC_OP_loop)
        return false;
    const nnc_flow *flow = nnc_flow_of(&node->attrs);
    return flow->limit < 0 && k == flow->carries;
}

/* A body as it was recorded: feeds are values of the outer graph, -1 for inputs that are fed by
 * place. Taken over by the functions below, changed or not; nnc_body_clear frees what is left. */
void nnc_body_clear(nnc_body *body);

/* A flow like the plan, with room for its bodies. */
nnc_status nnc_flow_new(const nnc_flow *plan, int body_count, nnc_flow **out);
/* Appends a branch; outputs of all bodies are alike. out: bodies[0].output_count values. in_place:
 * whether bodies without outputs may write variables directly. */
nnc_status nnc_flow_branch(nnc_graph *graph, int index, nnc_body *bodies, int body_count,
                           bool in_place, int *out);
/* Appends a loop. plan: carries, slices, results, limit, start, reverse; bodies: body, condition.
 * inputs: carries, then slices. out: carries, results, rounds. */
nnc_status nnc_flow_loop(nnc_graph *graph, const nnc_flow *plan, nnc_body *bodies, int body_count,
                         const int *inputs, int *out);

#endif
