/* order.c - moves effects as late as their meaning allows, so that a step which is given up before
 * its first effect has changed nothing.
 *
 * A variable that is written has versions: values of one storage, one after another. An effect
 * stays before the next node that reads or writes a later version of what it writes, that
 * overwrites what it reads, or that reads its output. (Who reads the version before it may come
 * later: snapshot.c sees to that.) So the nodes are taken in their order, effects wait, and before
 * each node go the effects that it must follow, with those that they must follow; the rest goes at
 * the end. Waiting effects are found by the storage that they write or read: time is linear in what
 * nodes read.
 * A seed_next is an effect that somebody needs at once; it becomes a copy of the state, and an
 * addition to the state that can be moved. */
#include "passes/passes.h"

#include <stdlib.h>

/* An effect that waits, as a writer or a reader of a storage. */
typedef struct {
    int node, value;        /* the version that it writes or reads */
    int next;
} waiting;

typedef struct {
    nnc_graph *graph;
    int *storage;           /* (values) of variables: their storage's number; else -1 */
    int *writers, *readers; /* (storages) first in waits, or -1 */
    waiting *waits;
    int wait_count;
    bool *placed;           /* (nodes) */
    int *order;             /* (nodes) what stands at each place */
    int order_count;
    int *needed;            /* effects that go next */
    int needed_count;
} sorter;

static int effects(const nnc_node *node)
{
    return nnc_effects(node->op, &node->attrs);
}

typedef struct {
    const nnc_tensor *tensor;
    int value;
} owner;

static int by_tensor(const void *left, const void *right)
{
    const owner *a = left, *b = right;
    if (a->tensor != b->tensor)
        return (uintptr_t)a->tensor < (uintptr_t)b->tensor ? -1 : 1;
    return a->value - b->value;
}

/* Numbers the storages of the variables. */
static nnc_status number_storages(sorter *s)
{
    nnc_status status;
    const nnc_graph *graph = s->graph;
    owner *owners = NULL;
    int count = 0, number = -1;
    NNC_TRY(nnc_alloc(graph->value_count * (int64_t)sizeof *owners, &owners));
    for (int v = 0; v < (int)graph->value_count; v++) {
        s->storage[v] = -1;
        if (graph->values[v].kind == NNC_VARIABLE)
            owners[count++] = (owner){graph->values[v].tensor, v};
    }
    qsort(owners, (size_t)count, sizeof *owners, by_tensor);
    for (int i = 0; i < count; i++) {
        number += i == 0 || owners[i].tensor != owners[i - 1].tensor;
        s->storage[owners[i].value] = number;
        s->writers[number] = s->readers[number] = -1;
    }
done:
    nnc_free(owners);
    return status;
}

static void need(sorter *s, int node)
{
    if (s->placed[node])
        return;
    s->placed[node] = true;
    s->needed[s->needed_count++] = node;
}

/* Takes those out of a list that wait with another version than `value` (-1: all). */
static void need_list(sorter *s, int *head, int value)
{
    int kept = -1, next;
    for (int w = *head; w >= 0; w = next) {
        next = s->waits[w].next;
        if (s->waits[w].value != value) {
            need(s, s->waits[w].node);
        } else if (!s->placed[s->waits[w].node]) {
            s->waits[w].next = kept;
            kept = w;
        }
    }
    *head = kept;
}

/* The waiting effects before node i that it must follow. */
static void need_before(sorter *s, int i)
{
    const nnc_node *node = &s->graph->nodes[i];
    for (int k = 0; k < node->input_count; k++) {
        const nnc_value *input = &s->graph->values[node->inputs[k]];
        if (input->kind == NNC_COMPUTED && effects(&s->graph->nodes[input->node]) > 0)
            need(s, input->node);
        int root = nnc_rewrite_root(s->graph, node->inputs[k]), t = s->storage[root];
        if (t < 0)
            continue;
        need_list(s, &s->writers[t], root);
        if (k < effects(node))
            need_list(s, &s->readers[t], -1);
    }
}

static int ascending(const void *left, const void *right)
{
    return *(const int *)left - *(const int *)right;
}

/* Places what node i must follow. Who must follow another stood after it: their order will do. */
static void place_before(sorter *s, int i)
{
    s->needed_count = 0;
    need_before(s, i);
    for (int k = 0; k < s->needed_count; k++)
        need_before(s, s->needed[k]);
    qsort(s->needed, (size_t)s->needed_count, sizeof *s->needed, ascending);
    for (int k = 0; k < s->needed_count; k++)
        s->order[s->order_count++] = s->needed[k];
}

static void wait(sorter *s, int i)
{
    const nnc_node *node = &s->graph->nodes[i];
    for (int k = 0; k < node->input_count; k++) {
        int root = nnc_rewrite_root(s->graph, node->inputs[k]), t = s->storage[root];
        if (t < 0)
            continue;
        int *head = k < effects(node) ? &s->writers[t] : &s->readers[t];
        s->waits[s->wait_count] = (waiting){.node = i, .value = root, .next = *head};
        *head = s->wait_count++;
    }
}

static void find_order(sorter *s)
{
    int count = (int)s->graph->node_count;
    for (int i = 0; i < count; i++) {
        if (effects(&s->graph->nodes[i]) > 0) {
            wait(s, i);
            continue;
        }
        place_before(s, i);
        s->placed[i] = true;
        s->order[s->order_count++] = i;
    }
    for (int i = 0; i < count; i++) {
        if (!s->placed[i])
            s->order[s->order_count++] = i;
    }
}

/* Nodes in the order found. */
static nnc_status reorder(const sorter *s)
{
    nnc_status status;
    nnc_graph *graph = s->graph;
    nnc_node *nodes = NULL;
    int64_t capacity = 0;
    NNC_TRY(nnc_grow(&nodes, &capacity, graph->node_count, sizeof *nodes));
    for (int64_t i = 0; i < graph->node_count; i++)
        nodes[i] = graph->nodes[s->order[i]];
    nnc_free(graph->nodes);
    graph->nodes = nodes;
    graph->node_capacity = capacity;
    nnc_rewrite_renumber(graph, 0);
done:
    return status;
}

static nnc_status sink_effects(nnc_graph *graph)
{
    nnc_status status;
    sorter s = {.graph = graph};
    int64_t values = graph->value_count, nodes = graph->node_count, waits = 0;
    for (int64_t i = 0; i < nodes; i++)
        waits += effects(&graph->nodes[i]) > 0 ? graph->nodes[i].input_count : 0;
    if (waits == 0)
        return NNC_OK;
    NNC_TRY(nnc_alloc(values * (int64_t)sizeof(int), &s.storage));
    NNC_TRY(nnc_alloc(values * (int64_t)sizeof(int), &s.writers));
    NNC_TRY(nnc_alloc(values * (int64_t)sizeof(int), &s.readers));
    NNC_TRY(nnc_alloc(waits * (int64_t)sizeof *s.waits, &s.waits));
    NNC_TRY(nnc_alloc_zero(nodes, &s.placed));
    NNC_TRY(nnc_alloc(nodes * (int64_t)sizeof(int), &s.order));
    NNC_TRY(nnc_alloc(nodes * (int64_t)sizeof(int), &s.needed));
    NNC_TRY(number_storages(&s));
    find_order(&s);
    NNC_TRY(reorder(&s));
done:
    nnc_free(s.storage);
    nnc_free(s.writers);
    nnc_free(s.readers);
    nnc_free(s.waits);
    nnc_free(s.placed);
    nnc_free(s.order);
    nnc_free(s.needed);
    return status;
}

/* The constant (0, 1) that a state goes on by. */
static nnc_status step_constant(nnc_graph *graph, int *out)
{
    nnc_status status;
    nnc_tensor *tensor = NULL;
    nnc_shape shape = {.rank = 1, .dim = {2}};
    NNC_TRY(nnc_tensor_new(&shape, NNC_U32, &tensor));
    ((uint32_t *)tensor->array.data)[0] = 0;
    ((uint32_t *)tensor->array.data)[1] = 1;
    NNC_TRY(nnc_graph_tensor(graph, tensor, NNC_CONSTANT, out));
done:
    nnc_tensor_release(tensor);
    return status;
}

static nnc_status split_seeds(nnc_graph *graph)
{
    nnc_status status = NNC_OK;
    int one = -1;
    for (int64_t i = 0; i < graph->node_count; i++) {
        nnc_attrs none = {0};
        if (graph->nodes[i].op != NNC_OP_seed_next)
            continue;
        if (one < 0)
            NNC_TRY(step_constant(graph, &one));
        int in[2] = {graph->nodes[i].inputs[0], one};
        NNC_TRY(nnc_rewrite_insert(graph, i + 1, NNC_OP_assign_add, &none, in, 2, NULL));
        graph->nodes[i].op = NNC_OP_copy;
    }
done:
    return status;
}

nnc_status nnc_pass_order(nnc_pass *pass)
{
    nnc_status status = split_seeds(pass->graph);
    if (status == NNC_OK)
        status = sink_effects(pass->graph);
    return status;
}
