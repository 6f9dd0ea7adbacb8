/* chain.c - joins element-wise nodes into one that runs block by block (ops/chain.c): what one
 * computes the next reads from the first cache instead of from memory. It keeps every bit: the same
 * kernels run on the same numbers.
 *
 * A group is a set of nodes with results of one shape; the joint node stands where the last of them
 * stood. So nobody may read a member's result before that place: a group is open until another node
 * does, and a node joins the open groups that it reads. Groups that a node joins together become
 * one: neither can depend on the other, for then it would have been closed. An effect closes all
 * groups, so that no read of a variable moves past a write. Results that are read from outside are
 * outputs of the joint node, at most NNC_MAX_OUTPUTS. */
#include "ops/chain.h"

#include "passes/passes.h"

#include <string.h>

typedef struct {
    int members[NNC_CHAIN_STEPS];   /* nodes, ascending */
    int count;                      /* 0: it has become part of another */
    int epoch;                      /* effects before it */
    bool closed;
} group;

typedef struct {
    nnc_pass *pass;
    nnc_graph *graph;
    int *uses;              /* (values) readers, outputs of the program too */
    int *group_of;          /* (nodes) or -1 */
    group *groups;
    int64_t group_count;
    int epoch;
    bool *keep;             /* (nodes) */
    int64_t nodes, values;  /* before anything was added */
} chains;

static const nnc_array *result_of(const chains *c, int node)
{
    return &c->graph->values[c->graph->nodes[node].outputs[0]].array;
}

static bool is_half(const chains *c, int value)
{
    nnc_dtype dtype = c->graph->values[value].array.dtype;
    return dtype == NNC_F16 || dtype == NNC_BF16;
}

/* 16-bit floats are rounded after each op by the op's own kernel: they stay out. */
static bool may_join(const chains *c, int i)
{
    const nnc_node *node = &c->graph->nodes[i];
    for (int k = 0; k < node->input_count; k++) {
        if (is_half(c, node->inputs[k]))
            return false;
    }
    return nnc_chain_takes(node->op) && !is_half(c, node->outputs[0]) &&
        nnc_shape_size(&result_of(c, i)->shape) >= NNC_CHAIN_SMALLEST;
}

static bool is_open(const chains *c, int g)
{
    return g >= 0 && !c->groups[g].closed && c->groups[g].epoch == c->epoch;
}

/* The node that computes a value and was there at first, or -1. */
static int maker(const chains *c, int value)
{
    const nnc_value *v = &c->graph->values[value];
    return v->kind == NNC_COMPUTED && value < c->values ? v->node : -1;
}

static int position_in(const group *g, int node)
{
    for (int j = 0; j < g->count; j++) {
        if (g->members[j] == node)
            return j;
    }
    return -1;
}

/* What is read in place of a value that only spreads another. */
static int source_of(const chains *c, int value)
{
    for (int node = maker(c, value); node >= 0; node = maker(c, value)) {
        if (c->graph->nodes[node].op != NNC_OP_broadcast_to)
            break;
        value = c->graph->nodes[node].inputs[0];
    }
    return value;
}

static bool contains(const int *list, int count, int item)
{
    for (int i = 0; i < count; i++) {
        if (list[i] == item)
            return true;
    }
    return false;
}

/* The distinct inputs of the joint node, at most NNC_CHAIN_INPUTS of them; returns how many there
 * would be. */
static int inputs_of(const chains *c, const group *g, int inputs[NNC_CHAIN_INPUTS])
{
    int count = 0;
    for (int j = 0; j < g->count; j++) {
        const nnc_node *node = &c->graph->nodes[g->members[j]];
        for (int k = 0; k < node->input_count; k++) {
            int value = source_of(c, node->inputs[k]);
            if (position_in(g, maker(c, node->inputs[k])) >= 0 || contains(inputs, count, value))
                continue;
            if (count == NNC_CHAIN_INPUTS)
                return count + 1;
            inputs[count++] = value;
        }
    }
    return count;
}

/* How often members read a value. */
static int reads_inside(const chains *c, const group *g, int value)
{
    int reads = 0;
    for (int j = 0; j < g->count; j++) {
        const nnc_node *node = &c->graph->nodes[g->members[j]];
        for (int k = 0; k < node->input_count; k++)
            reads += node->inputs[k] == value;
    }
    return reads;
}

static bool is_output(const chains *c, const group *g, int j)
{
    int value = c->graph->nodes[g->members[j]].outputs[0];
    return j + 1 == g->count || reads_inside(c, g, value) < c->uses[value];
}

static int outputs_of(const chains *c, const group *g)
{
    int outputs = 0;
    for (int j = 0; j < g->count; j++)
        outputs += is_output(c, g, j);
    return outputs;
}

/* The place of a node's alpha among those of the group; `count` grows. -1: no room. */
static int parameter_of(double f, double *parameters, int *count)
{
    for (int i = 0; i < *count; i++) {
        if (memcmp(&parameters[i], &f, sizeof f) == 0)
            return i;
    }
    if (*count == NNC_CHAIN_PARAMETERS)
        return -1;
    parameters[*count] = f;
    return (*count)++;
}

/* Only a unary op and its gradient have one. */
static double alpha_of(const nnc_node *node)
{
    return nnc_ops[node->op].attrs[0] == 'f' ? node->attrs.f[0] : 0;
}

static bool fits(const chains *c, const group *g)
{
    int inputs[NNC_CHAIN_INPUTS], count = 0;
    double parameters[NNC_CHAIN_PARAMETERS];
    for (int j = 0; j < g->count; j++) {
        if (parameter_of(alpha_of(&c->graph->nodes[g->members[j]]), parameters, &count) < 0)
            return false;
    }
    return inputs_of(c, g, inputs) <= NNC_CHAIN_INPUTS && outputs_of(c, g) <= NNC_MAX_OUTPUTS;
}

/* into := the members of both, in order; false if they are too many. */
static bool merge(const group *a, const group *b, group *into)
{
    group g = {.epoch = a->epoch};
    if (a->count + b->count > NNC_CHAIN_STEPS)
        return false;
    for (int i = 0, j = 0; i < a->count || j < b->count;) {
        bool first = j == b->count || (i < a->count && a->members[i] < b->members[j]);
        g.members[g.count++] = first ? a->members[i++] : b->members[j++];
    }
    *into = g;
    return true;
}

/* ---- making groups ---- */

/* The groups that node i could join: open, of its shape. */
static int candidates_of(const chains *c, int i, int candidates[3])
{
    const nnc_node *node = &c->graph->nodes[i];
    int count = 0;
    for (int k = 0; k < node->input_count; k++) {
        int from = maker(c, node->inputs[k]), g = from < 0 ? -1 : c->group_of[from];
        if (is_open(c, g) && !contains(candidates, count, g) &&
            nnc_shape_equal(&result_of(c, from)->shape, &result_of(c, i)->shape))
            candidates[count++] = g;
    }
    return count;
}

/* Makes node i a member of the group that it becomes with some of the candidates: all, else one of
 * them, else none. */
static void join(chains *c, int i)
{
    int candidates[3], count = candidates_of(c, i, candidates);
    for (int first = -1; first < count; first++) {
        group g = {.members = {i}, .count = 1, .epoch = c->epoch};
        bool room = count > 0;
        for (int k = 0; k < count && room; k++) {
            if (first < 0 || first == k)
                room = merge(&c->groups[candidates[k]], &g, &g);
        }
        if (!room || !fits(c, &g) || (first >= 0 && count == 1))
            continue;
        int target = candidates[first < 0 ? 0 : first];
        for (int k = 0; k < count; k++) {
            if (first < 0 || first == k)
                c->groups[candidates[k]].count = 0;
        }
        c->groups[target] = g;
        for (int j = 0; j < g.count; j++)
            c->group_of[g.members[j]] = target;
        return;
    }
    c->groups[c->group_count] = (group){.members = {i}, .count = 1, .epoch = c->epoch};
    c->group_of[i] = (int)c->group_count++;
}

static void make_groups(chains *c)
{
    for (int i = 0; i < (int)c->nodes; i++) {
        const nnc_node *node = &c->graph->nodes[i];
        c->group_of[i] = -1;
        if (may_join(c, i))
            join(c, i);
        for (int k = 0; k < node->input_count; k++) {
            int from = maker(c, node->inputs[k]), g = from < 0 ? -1 : c->group_of[from];
            if (g >= 0 && g != c->group_of[i])
                c->groups[g].closed = true;
        }
        c->epoch += nnc_effects(node->op, &node->attrs) > 0;
    }
}

/* ---- writing the joint nodes ---- */

/* First the input that dies here and has the first output's size, so that it may be overwritten. */
static void put_dying_first(const chains *c, const group *g, int *inputs, int count)
{
    const nnc_array *y = result_of(c, g->members[g->count - 1]);
    for (int i = 0; i < count; i++) {
        const nnc_value *v = &c->graph->values[inputs[i]];
        int node = maker(c, inputs[i]);
        if (node < 0 || (nnc_ops[c->graph->nodes[node].op].flags & NNC_VIEW) ||
            v->array.dtype != y->dtype || !nnc_shape_equal(&v->array.shape, &y->shape) ||
            reads_inside(c, g, inputs[i]) < c->uses[inputs[i]])
            continue;
        int first = inputs[0];
        inputs[0] = inputs[i];
        inputs[i] = first;
        return;
    }
}

/* The last member that reads member j's result. */
static int last_reader(const chains *c, const group *g, int j)
{
    int value = c->graph->nodes[g->members[j]].outputs[0], last = j;
    for (int i = j + 1; i < g->count; i++) {
        const nnc_node *node = &c->graph->nodes[g->members[i]];
        if (contains(node->inputs, node->input_count, value))
            last = i;
    }
    return last;
}

/* A slot that no result holds which is still to be read; busy[s]: the last member that needs it. */
static int free_slot(int *busy, int *slots, int j, int until)
{
    int s = 0;
    while (s < *slots && busy[s] >= j)
        s++;
    *slots = s == *slots ? s + 1 : *slots;
    busy[s] = until;
    return s;
}

static void write_steps(const chains *c, const group *g, const int *inputs, int count,
                        nnc_attrs *attrs)
{
    int busy[NNC_CHAIN_STEPS], slots = 0, parameters = 0;
    const nnc_shape *shape = &result_of(c, g->members[0])->shape;
    *attrs = (nnc_attrs){.list = {shape->rank}, .list_count = g->count + 1};
    memcpy(attrs->k, shape->dim, (size_t)shape->rank * sizeof *shape->dim);
    for (int j = 0; j < g->count; j++) {
        const nnc_node *node = &c->graph->nodes[g->members[j]];
        nnc_chain_step step = {.op = node->op};
        for (int k = 0; k < node->input_count; k++) {
            int member = position_in(g, maker(c, node->inputs[k])), i = 0;
            int value = source_of(c, node->inputs[k]);
            while (member < 0 && i < count - 1 && inputs[i] != value)
                i++;
            step.operands[k] = member >= 0 ? NNC_CHAIN_RESULT + member : i;
        }
        step.parameter = parameter_of(alpha_of(node), attrs->f, &parameters);
        step.dtype = result_of(c, g->members[j])->dtype;
        if (step.dtype == c->graph->values[node->inputs[node->input_count - 1]].array.dtype)
            step.dtype = NNC_DTYPE_COUNT;
        step.slot = is_output(c, g, j) ? NNC_CHAIN_OUTPUT :
            free_slot(busy, &slots, j, last_reader(c, g, j));
        attrs->list[j + 1] = nnc_chain_pack(&step);
    }
}

/* Whether the joint node is worth its place: two members, or an input that need not be spread. */
static bool pays(const chains *c, const group *g)
{
    if (g->count != 1)
        return g->count > 1;
    const nnc_node *node = &c->graph->nodes[g->members[0]];
    for (int k = 0; k < node->input_count; k++) {
        if (source_of(c, node->inputs[k]) != node->inputs[k])
            return true;
    }
    return false;
}

static nnc_status write_group(chains *c, const group *g)
{
    nnc_status status;
    int few[NNC_CHAIN_INPUTS], *inputs = NULL, count = inputs_of(c, g, few);
    int *all = NULL, outputs = 1;
    nnc_attrs attrs;
    nnc_node *last = &c->graph->nodes[g->members[g->count - 1]];
    put_dying_first(c, g, few, count);
    write_steps(c, g, few, count, &attrs);
    NNC_TRY(nnc_alloc(count * (int64_t)sizeof *inputs, &inputs));
    memcpy(inputs, few, (size_t)count * sizeof *inputs);
    NNC_TRY(nnc_alloc(NNC_MAX_OUTPUTS * (int64_t)sizeof *all, &all));
    all[0] = last->outputs[0];
    for (int j = 0; j + 1 < g->count; j++) {
        int node = g->members[j], value = c->graph->nodes[node].outputs[0];
        c->keep[node] = false;
        if (!is_output(c, g, j))
            continue;
        all[outputs] = value;
        c->graph->values[value].output = outputs++;
    }
    nnc_free(last->inputs);
    nnc_free(last->outputs);
    last->inputs = inputs;
    last->outputs = all;
    inputs = all = NULL;
    last->input_count = count;
    last->output_count = outputs;
    last->op = NNC_OP_chain;
    last->attrs = attrs;
    c->pass->stats->fused += g->count - 1;
done:
    nnc_free(inputs);
    nnc_free(all);
    return status;
}

/* broadcast_to nodes that nobody reads any more. */
static nnc_status drop_spreads(chains *c)
{
    nnc_status status;
    int *uses = NULL;
    nnc_rewrite_keep(c->graph, c->keep);
    NNC_TRY(nnc_rewrite_count_uses(c->pass, &uses));
    for (int64_t i = c->graph->node_count - 1; i >= 0; i--) {
        const nnc_node *node = &c->graph->nodes[i];
        c->keep[i] = node->op != NNC_OP_broadcast_to || uses[node->outputs[0]] > 0;
        if (!c->keep[i])
            uses[node->inputs[0]]--;
    }
    nnc_rewrite_keep(c->graph, c->keep);
done:
    nnc_free(uses);
    return status;
}

nnc_status nnc_pass_chain(nnc_pass *pass)
{
    nnc_status status;
    nnc_graph *graph = pass->graph;
    chains c = {.pass = pass, .graph = graph, .nodes = graph->node_count,
                .values = graph->value_count};
    NNC_TRY(nnc_rewrite_count_uses(pass, &c.uses));
    NNC_TRY(nnc_alloc(c.nodes * (int64_t)sizeof *c.group_of, &c.group_of));
    NNC_TRY(nnc_alloc(c.nodes * (int64_t)sizeof *c.groups, &c.groups));
    NNC_TRY(nnc_alloc(c.nodes, &c.keep));
    for (int64_t i = 0; i < c.nodes; i++)
        c.keep[i] = true;
    make_groups(&c);
    for (int64_t g = 0; g < c.group_count; g++) {
        if (pays(&c, &c.groups[g]))
            NNC_TRY(write_group(&c, &c.groups[g]));
    }
    NNC_TRY(drop_spreads(&c));
done:
    nnc_free(c.uses);
    nnc_free(c.group_of);
    nnc_free(c.groups);
    nnc_free(c.keep);
    return status;
}
