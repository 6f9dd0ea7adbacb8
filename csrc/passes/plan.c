/* plan.c - one arena for everything that lives only during a replay.
 *
 * A block is a value (through its views) or a workspace; it lives from the node that writes it to
 * the last that reads it. Gradients that optimizers read are placed first, side by side: one range
 * for whoever wants all of them. Then the largest block first, at the lowest offset free during its
 * whole life. Blocks of a page and more begin 17 cache lines further into their page each time
 * (arrays walked together must not meet in one cache set). An op marked NNC_INPLACE writes over its
 * first input when nobody needs that any more. */
#include "graph/flow.h"
#include "ops/loss.h"
#include "passes/passes.h"

#include <stdlib.h>

enum { LINE = 64, PAGE = 4096, STAGGER = 17 * LINE };

typedef struct {
    int64_t size, first, last, offset;
    int order;              /* for the stagger and for a stable sort */
    bool gradient;
} block;

typedef struct {
    const nnc_pass *pass;
    block *blocks;
    int block_count;
    int *of_value;          /* (values) its block, or -1 */
    int *of_workspace;      /* (nodes) */
} plan;

static int64_t round_up(int64_t size)
{
    return (size + LINE - 1) / LINE * LINE;
}

static nnc_status value_bytes(const nnc_graph *graph, int value, int64_t *out)
{
    const nnc_array *array = &graph->values[value].array;
    return nnc_shape_bytes(&array->shape, array->dtype, out);
}

static int add_block(plan *p, int64_t size, int64_t first, int64_t last)
{
    p->blocks[p->block_count] = (block){.size = round_up(size > 0 ? size : 1), .first = first,
                                        .last = last, .order = p->block_count};
    return p->block_count++;
}

/* Marks that block lives on to `last`. */
static void extend(plan *p, int value, int64_t last)
{
    int b = p->of_value[nnc_rewrite_root(p->pass->graph, value)];
    if (b >= 0 && p->blocks[b].last < last)
        p->blocks[b].last = last;
}

/* Whether node may write its output over its first input: the input dies here and is a block of its
 * own size that only this node reads now. */
static bool may_overwrite(const plan *p, const int64_t *last_use, const nnc_node *node, int64_t index)
{
    const nnc_graph *graph = p->pass->graph;
    int64_t in_bytes, out_bytes;
    if (!(nnc_ops[node->op].flags & NNC_INPLACE))
        return false;
    int root = nnc_rewrite_root(graph, node->inputs[0]);
    if (graph->values[root].kind != NNC_COMPUTED || last_use[root] != index)
        return false;
    for (int k = 1; k < node->input_count; k++) {
        if (nnc_rewrite_root(graph, node->inputs[k]) == root && node->inputs[k] != node->inputs[0])
            return false;
    }
    return value_bytes(graph, root, &in_bytes) == NNC_OK &&
        value_bytes(graph, node->outputs[0], &out_bytes) == NNC_OK && in_bytes == out_bytes;
}

/* The last node that reads each root; outputs are read at the end. */
static nnc_status find_last_uses(const nnc_pass *pass, int64_t **out)
{
    nnc_status status;
    const nnc_graph *graph = pass->graph;
    int64_t *last = NULL;
    NNC_TRY(nnc_alloc(graph->value_count * (int64_t)sizeof *last, &last));
    for (int64_t i = 0; i < graph->value_count; i++)
        last[i] = -1;
    for (int64_t i = 0; i < graph->node_count; i++) {
        for (int k = 0; k < graph->nodes[i].input_count; k++)
            last[nnc_rewrite_root(graph, graph->nodes[i].inputs[k])] = i;
    }
    for (int i = 0; i < pass->output_count; i++)
        last[nnc_rewrite_root(graph, pass->outputs[i])] = graph->node_count;
    *out = last;
done:
    return status;
}

/* Of a branch, a loop or a softmax_loss only those outputs are made that somebody reads; carries and
 * a gradient are at work. */
static bool is_left_out(const nnc_node *node, int k)
{
    if (node->op == NNC_OP_softmax_loss)
        return k != NNC_LOSS_GRADIENT || node->attrs.k[NNC_LOSS_NO_GRADIENT];
    return node->op == NNC_OP_branch ||
        (node->op == NNC_OP_loop && k >= nnc_flow_of(&node->attrs)->carries);
}

static nnc_status collect_blocks(plan *p, const int64_t *workspaces, const int64_t *last_use)
{
    nnc_status status = NNC_OK;
    const nnc_graph *graph = p->pass->graph;
    int64_t bytes;
    for (int64_t i = 0; i < graph->input_count && !p->pass->inputs_apart; i++) {
        NNC_TRY(value_bytes(graph, graph->inputs[i], &bytes));
        p->of_value[graph->inputs[i]] = add_block(p, bytes, -1, last_use[graph->inputs[i]]);
    }
    for (int64_t i = 0; i < graph->node_count; i++) {
        const nnc_node *node = &graph->nodes[i];
        for (int k = 0; k < node->output_count && !(nnc_ops[node->op].flags & NNC_VIEW); k++) {
            int value = node->outputs[k];
            if (last_use[value] < 0 && is_left_out(node, k))
                continue;
            NNC_TRY(value_bytes(graph, value, &bytes));
            if (k == 0 && may_overwrite(p, last_use, node, i)) {
                p->of_value[value] = p->of_value[nnc_rewrite_root(graph, node->inputs[0])];
                extend(p, value, last_use[value]);
                continue;
            }
            p->of_value[value] = add_block(p, bytes, i, last_use[value] > i ? last_use[value] : i);
        }
        if (workspaces[i] > 0)
            p->of_workspace[i] = add_block(p, workspaces[i], i, i);
    }
done:
    return status;
}

/* Gradients: what an optimizer reads after the variables it writes. */
static void mark_gradients(plan *p)
{
    const nnc_graph *graph = p->pass->graph;
    for (int64_t i = 0; i < graph->node_count; i++) {
        const nnc_node *node = &graph->nodes[i];
        int effects = nnc_effects(node->op, &node->attrs);
        if (effects == 0 || node->output_count > 0 || effects >= node->input_count ||
            (nnc_ops[node->op].flags & NNC_SHARED))
            continue;
        int b = p->of_value[nnc_rewrite_root(graph, node->inputs[effects])];
        if (b >= 0 && p->blocks[b].size >= LINE && p->blocks[b].first >= 0)
            p->blocks[b].gradient = true;
    }
}

static int by_size(const void *left, const void *right)
{
    const block *a = *(block *const *)left, *b = *(block *const *)right;
    if (a->gradient != b->gradient)
        return a->gradient ? -1 : 1;
    if (a->gradient || a->size == b->size)
        return a->order < b->order ? -1 : 1;
    return a->size > b->size ? -1 : 1;
}

static int by_offset(const void *left, const void *right)
{
    const block *a = *(block *const *)left, *b = *(block *const *)right;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

static int64_t stagger(const block *b, int64_t offset)
{
    if (b->size < PAGE || b->gradient)
        return offset;
    int64_t want = (int64_t)b->order * STAGGER % PAGE;
    return offset + (want - offset % PAGE + PAGE) % PAGE;
}

/* The lowest offset for b among the placed blocks that live at the same time. */
static void place(block *b, block **placed, int placed_count)
{
    int64_t offset = stagger(b, 0);
    for (int i = 0; i < placed_count; i++) {            /* in order of offset */
        const block *other = placed[i];
        if (other->last < b->first || b->last < other->first)
            continue;
        if (offset + b->size <= other->offset)
            break;
        if (other->offset + other->size > offset)
            offset = stagger(b, other->offset + other->size);
    }
    b->offset = offset;
}

static nnc_status place_all(plan *p, nnc_memory_plan *out)
{
    nnc_status status;
    block **sorted = NULL, **placed = NULL;
    NNC_TRY(nnc_alloc(p->block_count * (int64_t)sizeof *sorted, &sorted));
    NNC_TRY(nnc_alloc(p->block_count * (int64_t)sizeof *placed, &placed));
    for (int i = 0; i < p->block_count; i++)
        sorted[i] = &p->blocks[i];
    if (nnc_pass_enabled("plan"))
        qsort(sorted, (size_t)p->block_count, sizeof *sorted, by_size);
    for (int i = 0; i < p->block_count; i++) {
        block *b = sorted[i];
        if (nnc_pass_enabled("plan"))
            place(b, placed, i);
        else
            b->offset = stagger(b, out->arena_bytes);   /* nothing shares */
        int at = i;
        for (; at > 0 && by_offset(&placed[at - 1], &b) > 0; at--)
            placed[at] = placed[at - 1];
        placed[at] = b;
        out->values_bytes += b->size;
        if (b->offset + b->size > out->arena_bytes)
            out->arena_bytes = b->offset + b->size;
    }
done:
    nnc_free(sorted);
    nnc_free(placed);
    return status;
}

void nnc_plan_clear(nnc_memory_plan *plan)
{
    nnc_free(plan->value);
    nnc_free(plan->workspace);
    *plan = (nnc_memory_plan){.value = NULL};
}

nnc_status nnc_plan_memory(const nnc_pass *pass, const int64_t *workspaces, const int64_t *until,
                           nnc_memory_plan *out)
{
    nnc_status status;
    const nnc_graph *graph = pass->graph;
    int64_t values = graph->value_count, nodes = graph->node_count, *last_use = NULL;
    plan p = {.pass = pass};
    nnc_memory_plan result = {.value = NULL};
    int64_t most = values + nodes + 1;
    NNC_TRY(nnc_alloc(most * (int64_t)sizeof *p.blocks, &p.blocks));
    NNC_TRY(nnc_alloc(values * (int64_t)sizeof *p.of_value, &p.of_value));
    NNC_TRY(nnc_alloc(nodes * (int64_t)sizeof *p.of_workspace, &p.of_workspace));
    NNC_TRY(nnc_alloc(values * (int64_t)sizeof *result.value, &result.value));
    NNC_TRY(nnc_alloc(nodes * (int64_t)sizeof *result.workspace, &result.workspace));
    for (int64_t i = 0; i < values; i++)
        p.of_value[i] = -1;
    for (int64_t i = 0; i < nodes; i++)
        p.of_workspace[i] = -1;
    NNC_TRY(find_last_uses(pass, &last_use));
    NNC_TRY(collect_blocks(&p, workspaces, last_use));
    for (int i = 0; i < p.block_count; i++) {
        block *b = &p.blocks[i];
        if (b->last >= 0 && b->last < nodes && until[b->last] > b->last)
            b->last = until[b->last];
    }
    mark_gradients(&p);
    NNC_TRY(place_all(&p, &result));
    for (int64_t i = 0; i < values; i++)
        result.value[i] = p.of_value[i] < 0 ? -1 : p.blocks[p.of_value[i]].offset;
    for (int64_t i = 0; i < nodes; i++)
        result.workspace[i] = p.of_workspace[i] < 0 ? -1 : p.blocks[p.of_workspace[i]].offset;
    *out = result;
    result = (nnc_memory_plan){.value = NULL};
done:
    nnc_plan_clear(&result);
    nnc_free(p.blocks);
    nnc_free(p.of_value);
    nnc_free(p.of_workspace);
    nnc_free(last_use);
    return status;
}
