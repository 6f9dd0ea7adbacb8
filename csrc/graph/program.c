/* program.c - makes a graph ready to run again and again.
 *
 * The graph is copied, rewritten by the passes, its memory planned, and each node becomes a step: a
 * call with every address filled in. */
#include "graph/program.h"

#include "graph/call.h"
#include "graph/rows.h"
#include "ops/chain.h"
#include "ops/optimizer.h"
#include "passes/passes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A step shorter than this, in nanoseconds, is quicker on one thread than a barrier's wait. */
#define PARALLEL_STEP_COST 4000.0

static struct {
    const char *name;
    bool on;
    nnc_status (*run)(nnc_pass *);
} passes[] = {                      /* in this order */
    {"excess", true, nnc_pass_excess},
    {"fold", true, nnc_pass_fold},
    {"remat", true, nnc_pass_remat},
    {"fuse", true, nnc_pass_fuse},
    {"narrow", true, nnc_pass_narrow},
    {"widen", true, nnc_pass_widen},
    {"prune", true, nnc_pass_prune},
    {"update", true, nnc_pass_update},
    {"order", true, nnc_pass_order},
    {"loss", true, nnc_pass_loss},
    {"lead", true, nnc_pass_lead},
    {"chain", true, nnc_pass_chain},
    {"late", true, nnc_pass_late},
    {"snapshot", true, nnc_pass_snapshot},      /* cannot be switched off */
    {"verify", false, nnc_pass_verify},
    {"turn", true, NULL},           /* of programs for long runs alone */
    {"plan", true, NULL},           /* off: no memory is shared */
};
enum { PASS_COUNT = sizeof passes / sizeof passes[0] };

bool nnc_pass_enable(const char *name, bool on)
{
    for (int i = 0; i < PASS_COUNT; i++) {
        if (strcmp(passes[i].name, name) == 0 && passes[i].run != nnc_pass_snapshot) {
            passes[i].on = on;
            return true;
        }
    }
    return false;
}

bool nnc_pass_enabled(const char *name)
{
    for (int i = 0; i < PASS_COUNT; i++) {
        if (strcmp(passes[i].name, name) == 0)
            return passes[i].on;
    }
    return false;
}

void *nnc_program_data(const nnc_program *program, int value)
{
    int root = nnc_rewrite_root(program->graph, value);
    const nnc_value *v = &program->graph->values[root];
    if (v->tensor != NULL && v->kind != NNC_COMPUTED)
        return v->tensor->array.data;
    return program->offset[root] < 0 ? NULL : program->arena + program->offset[root];
}

/* ---- making the steps ---- */

static int64_t count_node_inputs(const nnc_graph *graph)
{
    int64_t n = 0;
    for (int64_t i = 0; i < graph->node_count; i++)
        n += graph->nodes[i].input_count;
    return n;
}

static nnc_status prepare(const nnc_graph *graph, const int *outputs, int output_count, bool inner,
                          bool excess, nnc_program **out);

/* Rounds of a loop that nobody knows the number of, for the estimate. */
enum { SOME_ROUNDS = 16 };

/* The bodies of a node as programs, whose arenas share one workspace. */
static nnc_status prepare_flow(nnc_program *program, const nnc_node *node, nnc_step *step)
{
    nnc_status status;
    nnc_flow_step *own = NULL;
    const nnc_flow *flow = nnc_flow_of(&node->attrs);
    int64_t rounds = node->op == NNC_OP_branch ? 1 : flow->limit < 0 ? SOME_ROUNDS : flow->limit;
    NNC_TRY(nnc_alloc_zero(sizeof *own, &own));
    step->flow = own;
    own->flow = flow;
    own->out_count = node->output_count;
    NNC_TRY(nnc_alloc_zero(flow->body_count * (int64_t)sizeof *own->bodies, &own->bodies));
    NNC_TRY(nnc_alloc((node->output_count + 1) * (int64_t)sizeof *own->out, &own->out));
    for (int k = 0; k < node->output_count; k++)
        own->out[k] = program->graph->values[node->outputs[k]].array;
    nnc_work work = {.phases = 0};
    for (int b = 0; b < flow->body_count; b++) {
        const nnc_body *body = &flow->bodies[b];
        NNC_TRY(prepare(body->graph, body->outputs, body->output_count, true, program->excess,
                        &own->bodies[b]));
        nnc_program *inner = own->bodies[b];
        own->all_threads |= inner->any_parallel;
        work.cost += inner->cost * (double)rounds;
        if (inner->plan.arena_bytes > work.workspace)
            work.workspace = inner->plan.arena_bytes;
    }
    step->call.work = work;
    program->any_parallel |= own->all_threads;
done:
    return status;
}

/* Shapes only; views make no step. */
static nnc_status prepare_calls(nnc_program *program)
{
    nnc_status status = NNC_OK;
    nnc_graph *graph = program->graph;
    nnc_array *in = program->in;
    int threads = nnc_pool_threads();
    program->first_effect = -1;
    for (int64_t i = 0; i < graph->node_count; i++) {
        nnc_node *node = &graph->nodes[i];
        if (nnc_ops[node->op].flags & NNC_VIEW)
            continue;
        nnc_step *step = &program->steps[program->step_count];
        *step = (nnc_step){.node = i, .call = {.op = node->op, .attrs = &node->attrs, .in = in,
                                    .input_count = node->input_count,
                                    .output_count = node->output_count}};
        program->step_count++;
        for (int k = 0; k < node->input_count; k++) {
            *in = graph->values[node->inputs[k]].array;
            in++->data = NULL;
        }
        if (nnc_ops[node->op].flags & NNC_SHARED) {
            step->call.output_count = 0;
            NNC_TRY(prepare_flow(program, node, step));
        } else {
            for (int k = 0; k < node->output_count; k++)
                step->call.out[k] = graph->values[node->outputs[k]].array;
            nnc_call_plan(&step->call);
            NNC_TRY(nnc_rows_prepare(step, threads));
        }
        program->cost += step->call.work.cost;
        for (int phase = 0; phase < step->call.work.phases; phase++)
            step->parallel |= step->call.work.pieces[phase] > 1 &&
                step->call.work.cost > PARALLEL_STEP_COST;
        program->any_parallel |= step->parallel;
        step->joined = step->call.work.phases > 1 &&
            step->call.work.pieces[step->call.work.phases - 1] == 1;
        if (program->first_effect < 0 && nnc_effects(node->op, &node->attrs) > 0)
            program->first_effect = program->step_count - 1;
    }
    if (program->first_effect < 0)
        program->first_effect = program->step_count;
done:
    return status;
}

static void fill_addresses(nnc_program *program, char *arena)
{
    nnc_graph *graph = program->graph;
    program->arena = arena;
    for (int64_t s = 0; s < program->step_count; s++) {
        nnc_step *step = &program->steps[s];
        const nnc_node *node = &graph->nodes[step->node];
        nnc_call *call = &step->call;
        for (int k = 0; k < node->input_count; k++)
            call->in[k].data = nnc_program_data(program, node->inputs[k]);
        for (int k = 0; k < call->output_count; k++)
            call->out[k].data = nnc_program_data(program, node->outputs[k]);
        if (program->plan.workspace[step->node] >= 0)
            call->workspace = arena + program->plan.workspace[step->node];
        if (step->flow == NULL)
            continue;
        for (int k = 0; k < node->output_count; k++)
            step->flow->out[k].data = nnc_program_data(program, node->outputs[k]);
        for (int b = 0; b < step->flow->flow->body_count; b++)
            fill_addresses(step->flow->bodies[b], call->workspace);
    }
    for (int64_t j = 0; j < graph->input_count; j++)
        program->bound[j] = nnc_program_data(program, graph->inputs[j]);
}

/* The places that hold addresses of inputs. */
static nnc_status find_patches(nnc_program *program)
{
    nnc_status status = NNC_OK;
    const nnc_graph *graph = program->graph;
    int64_t capacity = 0;
    for (int64_t s = 0; s < program->step_count; s++) {
        nnc_call *call = &program->steps[s].call;
        const nnc_node *node = &graph->nodes[program->steps[s].node];
        for (int k = 0; k < node->input_count; k++) {
            int root = nnc_rewrite_root(graph, node->inputs[k]);
            for (int64_t j = 0; j < graph->input_count; j++) {
                if (graph->inputs[j] != root)
                    continue;
                NNC_TRY(nnc_grow(&program->patches, &capacity, program->patch_count + 1,
                                 sizeof *program->patches));
                program->patches[program->patch_count++] =
                    (nnc_patch){.input = (int)j, .slot = &call->in[k].data};
            }
        }
    }
done:
    return status;
}

/* Whether all who read the input take its rows wherever they lie; views keep the rows. */
static bool may_be_listed(const nnc_program *program, int64_t input)
{
    const nnc_graph *graph = program->graph;
    int value = graph->inputs[input];
    const nnc_shape *shape = &graph->values[value].array.shape;
    bool read = false;
    for (int k = 0; k < program->output_count; k++) {
        if (nnc_rewrite_root(graph, program->outputs[k]) == value)
            return false;
    }
    for (int64_t s = 0; s < program->step_count; s++) {
        const nnc_step *step = &program->steps[s];
        const nnc_node *node = &graph->nodes[step->node];
        for (int k = 0; k < node->input_count; k++) {
            const nnc_array *in = &graph->values[node->inputs[k]].array;
            if (nnc_rewrite_root(graph, node->inputs[k]) != value)
                continue;
            if (step->flow != NULL || shape->rank < 2 || in->shape.rank != 2 ||
                in->shape.dim[0] != shape->dim[0] || nnc_call_lists(&step->call) != k)
                return false;
            read = true;
        }
    }
    return read;
}

static nnc_status list_rows(nnc_program *program, int64_t input)
{
    nnc_status status = NNC_OK;
    nnc_list *list = &program->lists[input];
    if (program->inner || !may_be_listed(program, input))
        return NNC_OK;
    list->count = nnc_program_input(program, input)->shape.dim[0];
    NNC_TRY(nnc_alloc_zero(list->count * (int64_t)sizeof *list->rows, &list->rows));
    for (int64_t s = 0; s < program->step_count; s++) {
        nnc_step *step = &program->steps[s];
        int k = nnc_call_lists(&step->call);
        const int *inputs = program->graph->nodes[step->node].inputs;
        if (k >= 0 &&
            nnc_rewrite_root(program->graph, inputs[k]) == program->graph->inputs[input])
            step->call.rows = list->rows;
    }
done:
    return status;
}

/* ---- new, release ---- */

static nnc_status run_passes(nnc_program *program)
{
    nnc_status status = NNC_OK;
    nnc_pass pass = {.graph = program->graph, .outputs = program->outputs,
                     .output_count = program->output_count, .stats = &program->stats,
                     .twins = program->inner ? NULL : &program->twins,
                     .excess = program->excess && nnc_pass_enabled("excess"),
                     .rounds_outputs = !program->inner};
    program->stats.nodes_recorded = program->graph->node_count;
    for (int i = 0; i < PASS_COUNT; i++) {
        if (passes[i].on && passes[i].run != NULL)
            NNC_TRY(passes[i].run(&pass));
    }
    program->stats.nodes_kept = program->graph->node_count;
done:
    return status;
}

/* Nobody may take what an inner program gives for what it is fed: outputs that are inputs or
 * variables are copied. */
static nnc_status copy_fed_outputs(nnc_program *program)
{
    nnc_status status = NNC_OK;
    nnc_attrs none = {0};
    for (int k = 0; k < program->output_count; k++) {
        int root = nnc_rewrite_root(program->graph, program->outputs[k]);
        nnc_value_kind kind = program->graph->values[root].kind;
        if (kind == NNC_INPUT || kind == NNC_VARIABLE)
            NNC_TRY(nnc_graph_append(program->graph, NNC_OP_copy, &none, &program->outputs[k], 1,
                                     &program->outputs[k]));
    }
done:
    return status;
}

static nnc_status plan_memory(nnc_program *program)
{
    nnc_status status;
    int64_t *workspaces = NULL, *until = NULL, s = 0;
    nnc_graph *graph = program->graph;
    nnc_pass pass = {.graph = graph, .outputs = program->outputs, .inputs_apart = program->inner,
                     .output_count = program->output_count, .stats = &program->stats};
    NNC_TRY(nnc_alloc_zero(graph->node_count * (int64_t)sizeof *workspaces, &workspaces));
    for (int64_t i = 0; i < graph->node_count; i++) {
        if (!(nnc_ops[graph->nodes[i].op].flags & NNC_VIEW))
            workspaces[i] = program->steps[s++].call.work.workspace;
    }
    NNC_TRY(nnc_alloc(graph->node_count * (int64_t)sizeof *until, &until));
    nnc_rows_together(program, until);
    nnc_program_keep_apart(program, until);
    NNC_TRY(nnc_plan_memory(&pass, workspaces, until, &program->plan));
    program->offset = program->plan.value;
    program->plan.value = NULL;
    program->stats.arena_bytes = program->plan.arena_bytes;
    program->stats.values_bytes = program->plan.values_bytes;
done:
    nnc_free(workspaces);
    nnc_free(until);
    return status;
}

/* Patches and barriers, of the program and its bodies. */
static nnc_status place(nnc_program *program)
{
    nnc_status status = NNC_OK;
    NNC_TRY(find_patches(program));
    for (int64_t i = 0; i < program->graph->input_count; i++)
        NNC_TRY(list_rows(program, i));
    nnc_rows_join(program);
    nnc_program_place_barriers(program);
    for (int64_t s = 0; s < program->step_count; s++) {
        nnc_flow_step *flow = program->steps[s].flow;
        for (int b = 0; flow != NULL && b < flow->flow->body_count; b++)
            NNC_TRY(place(flow->bodies[b]));
    }
done:
    return status;
}

/* A program with its own copy of the graph, not yet rewritten. */
static nnc_status begin(const nnc_graph *graph, const int *outputs, int output_count,
                        nnc_program **out)
{
    nnc_status status;
    nnc_program *program = NULL;
    NNC_TRY(nnc_alloc_zero(sizeof *program, &program));
    atomic_init(&program->references, 1);
    NNC_TRY(nnc_graph_clone(graph, &program->graph));
    NNC_TRY(nnc_alloc(output_count * (int64_t)sizeof *outputs, &program->outputs));
    NNC_TRY(nnc_alloc(output_count * (int64_t)sizeof *program->leaving, &program->leaving));
    for (int i = 0; i < output_count; i++) {
        program->outputs[i] = outputs[i];
        program->leaving[i] = graph->values[outputs[i]].array;
        program->leaving[i].data = NULL;
    }
    program->output_count = output_count;
    *out = program;
    program = NULL;
done:
    nnc_program_release(program);
    return status;
}

/* Steps for the rewritten graph, and where everything will lie. */
static nnc_status schedule(nnc_program *program)
{
    nnc_status status;
    const nnc_graph *g = program->graph;
    NNC_TRY(nnc_alloc_zero(g->node_count * (int64_t)sizeof *program->steps, &program->steps));
    NNC_TRY(nnc_alloc(count_node_inputs(g) * (int64_t)sizeof *program->in, &program->in));
    NNC_TRY(nnc_alloc_zero(g->input_count * (int64_t)sizeof *program->bound, &program->bound));
    NNC_TRY(nnc_alloc_zero(g->input_count * (int64_t)sizeof *program->feed, &program->feed));
    NNC_TRY(nnc_alloc_zero(g->input_count * (int64_t)sizeof *program->lists, &program->lists));
    NNC_TRY(prepare_calls(program));
    NNC_TRY(plan_memory(program));
done:
    return status;
}

/* ---- memory ---- */

static void release_memory(nnc_arena *memory)
{
    if (memory == NULL ||
        atomic_fetch_sub_explicit(&memory->references, 1, memory_order_acq_rel) != 1)
        return;
    nnc_free(memory->data);
    nnc_free(memory);
}

/* Memory of its own, or that of a program that lies beside it. Another thread may be replaying that
 * one: where it is too small it is exchanged by the first replay of this one. */
static nnc_status take_memory(nnc_program *program, const nnc_program *beside)
{
    nnc_status status = NNC_OK;
    nnc_arena *memory = NULL;
    int64_t bytes = program->stats.arena_bytes;
    char *data = NULL;
    if (beside != NULL) {
        program->memory = beside->memory;
        atomic_fetch_add_explicit(&beside->memory->references, 1, memory_order_relaxed);
        if (bytes > beside->memory->bytes)
            NNC_TRY(nnc_alloc(bytes, &program->larger));
        goto done;
    }
    NNC_TRY(nnc_alloc_zero(sizeof *memory, &memory));
    atomic_init(&memory->references, 1);
    program->memory = memory;
    NNC_TRY(nnc_alloc(bytes, &data));
    memory->data = data;
    memory->bytes = bytes;
done:
    return status;
}

void nnc_program_settle(nnc_program *program)
{
    nnc_arena *memory = program->memory;
    if (program->larger != NULL) {
        bool grows = program->stats.arena_bytes > memory->bytes;
        nnc_free(grows ? memory->data : program->larger);
        if (grows) {
            memory->data = program->larger;
            memory->bytes = program->stats.arena_bytes;
        }
        program->larger = NULL;
    }
    if (program->arena != memory->data)
        fill_addresses(program, memory->data);
}

static bool updates_weights(const nnc_graph *graph)
{
    for (int64_t i = 0; i < graph->node_count; i++) {
        if (nnc_update_of_both(graph->nodes[i].op) != NULL)
            return true;
    }
    return false;
}

/* Everything but addresses. */
static nnc_status prepare(const nnc_graph *graph, const int *outputs, int output_count, bool inner,
                          bool excess, nnc_program **out)
{
    nnc_status status;
    nnc_program *program = NULL;
    NNC_TRY(begin(graph, outputs, output_count, &program));
    program->inner = inner;
    program->excess = excess;
    NNC_TRY(run_passes(program));
    program->trains = updates_weights(program->graph);
    if (inner)
        NNC_TRY(copy_fed_outputs(program));
    NNC_TRY(schedule(program));
    *out = program;
    program = NULL;
done:
    nnc_program_release(program);
    return status;
}

/* Its memory, and every address in it. */
static nnc_status settle_new(nnc_program *program, const nnc_program *beside)
{
    nnc_status status;
    NNC_TRY(take_memory(program, beside));
    fill_addresses(program, program->larger != NULL ? program->larger : program->memory->data);
    NNC_TRY(place(program));
done:
    return status;
}

nnc_status nnc_program_new(const nnc_graph *graph, const int *outputs, int output_count,
                           nnc_program **out)
{
    return nnc_program_new_beside(graph, outputs, output_count, NULL, false, out);
}

nnc_status nnc_program_new_beside(const nnc_graph *graph, const int *outputs, int output_count,
                                  const nnc_program *beside, bool excess, nnc_program **out)
{
    nnc_status status;
    nnc_program *program = NULL;
    NNC_TRY(prepare(graph, outputs, output_count, false, excess, &program));
    NNC_TRY(settle_new(program, beside));
    *out = program;
    program = NULL;
done:
    nnc_program_release(program);
    return status;
}

/* Turning weights there and back takes about as long as one step saves. */
enum { LONG_RUN = 8 };

static nnc_status turn(nnc_program *program)
{
    nnc_status status = NNC_OK;
    nnc_program *turned = NULL;
    NNC_TRY(begin(program->graph, program->outputs, program->output_count, &turned));
    memcpy(turned->leaving, program->leaving,
           (size_t)program->output_count * sizeof *program->leaving);
    nnc_pass pass = {.graph = turned->graph, .outputs = turned->outputs,
                     .output_count = turned->output_count, .stats = &turned->stats,
                     .twins = &turned->twins};
    NNC_TRY(nnc_pass_turn(&pass));
    NNC_TRY(nnc_pass_turn_read(&pass));
    if (turned->twins.count > 0) {
        NNC_TRY(schedule(turned));
        NNC_TRY(settle_new(turned, program));
        program->turned = turned;
        turned = NULL;
    }
    program->turned_tried = true;
done:
    nnc_program_release(turned);
    return status;
}

nnc_status nnc_program_for(nnc_program *program, int64_t steps, nnc_program **out)
{
    nnc_status status = NNC_OK;
    bool stands = program->writes == nnc_tensor_writes() && !program->trains;
    *out = program;
    if (steps < LONG_RUN && !stands)
        return NNC_OK;
    if (!program->turned_tried && nnc_pass_enabled("turn"))
        NNC_TRY(turn(program));
    if (program->turned != NULL)
        *out = program->turned;
done:
    return status;
}

static void release_flow(nnc_flow_step *own)
{
    if (own == NULL)
        return;
    for (int b = 0; own->bodies != NULL && b < own->flow->body_count; b++)
        nnc_program_release(own->bodies[b]);
    nnc_stack_clear(&own->stack);
    nnc_free(own->bodies);
    nnc_free(own->out);
    nnc_free(own);
}

nnc_program *nnc_program_retain(nnc_program *program)
{
    atomic_fetch_add_explicit(&program->references, 1, memory_order_relaxed);
    return program;
}

void nnc_program_release(nnc_program *program)
{
    if (program == NULL ||
        atomic_fetch_sub_explicit(&program->references, 1, memory_order_acq_rel) != 1)
        return;
    for (int64_t i = 0; i < program->step_count; i++) {
        release_flow(program->steps[i].flow);
        nnc_rows_release(&program->steps[i]);
    }
    nnc_plan_clear(&program->plan);
    nnc_free(program->outputs);
    nnc_free(program->leaving);
    nnc_free(program->larger);
    release_memory(program->memory);
    nnc_free(program->offset);
    nnc_free(program->steps);
    nnc_free(program->in);
    nnc_free(program->bound);
    nnc_free(program->feed);
    for (int64_t i = 0; program->lists != NULL && i < program->graph->input_count; i++)
        nnc_free(program->lists[i].rows);
    nnc_free(program->lists);
    nnc_twins_clear(&program->twins);
    nnc_program_release(program->turned);
    nnc_graph_release(program->graph);
    nnc_free(program->patches);
    nnc_free(program);
}

/* ---- what a program tells ---- */

const nnc_array *nnc_program_input(const nnc_program *program, int64_t k)
{
    return &program->graph->values[program->graph->inputs[k]].array;
}

const nnc_array *nnc_program_output(const nnc_program *program, int64_t k)
{
    return &program->leaving[k];
}

int64_t nnc_program_input_count(const nnc_program *program)
{
    return program->graph->input_count;
}

int64_t nnc_program_output_count(const nnc_program *program)
{
    return program->output_count;
}

int64_t nnc_program_node_count(const nnc_program *program)
{
    return program->step_count;
}

/* The step that makes a value, or what it is instead: see nnc_program_node. */
static int64_t maker_of(const nnc_program *program, int value)
{
    const nnc_value *v =
        &program->graph->values[nnc_rewrite_root(program->graph, value)];
    if (v->kind != NNC_COMPUTED)
        return v->kind == NNC_VARIABLE ? -1 : v->kind == NNC_CONSTANT ? -2 : -3;
    int64_t low = 0, high = program->step_count - 1;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (program->steps[middle].node < v->node)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const nnc_call *nnc_program_node(const nnc_program *program, int64_t i, int *label,
                                 bool *parallel, int64_t *makers)
{
    const nnc_step *step = &program->steps[i];
    const nnc_node *node = &program->graph->nodes[step->node];
    *label = node->label;
    *parallel = step->parallel;
    for (int k = 0; makers != NULL && k < node->input_count; k++)
        makers[k] = maker_of(program, node->inputs[k]);
    return &step->call;
}

int64_t nnc_program_output_maker(const nnc_program *program, int64_t k)
{
    return maker_of(program, program->outputs[k]);
}

void nnc_program_describe(const nnc_program *program, nnc_program_stats *out)
{
    *out = program->stats;
    if (program->turned != NULL)
        program = program->turned;
    out->turned = out->kept = 0;
    for (int64_t i = 0; i < program->twins.count; i++) {
        out->turned += program->twins.items[i].written;
        out->kept += !program->twins.items[i].written;
    }
    if (program->time_one > 0 && program->time_all > 0)
        out->threads = program->time_all < program->time_one ? program->threads_timed : 1;
}

typedef struct {
    char *text;
    int64_t length, capacity;
} writer;

static nnc_status write_text(writer *w, const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    n = n < (int)sizeof line ? n : (int)sizeof line - 1;
    nnc_status status = nnc_grow(&w->text, &w->capacity, w->length + n + 1, 1);
    if (status == NNC_OK) {
        memcpy(w->text + w->length, line, (size_t)n + 1);
        w->length += n;
    }
    return status;
}

nnc_status nnc_program_text(const nnc_program *program, char **out)
{
    nnc_status status = NNC_OK;
    writer w = {.text = NULL};
    char shape[NNC_SHAPE_TEXT];
    int64_t run_end = 0;
    for (int64_t i = 0; i < program->step_count; i++) {
        const nnc_step *step = &program->steps[i];
        if (step->run > 0)
            run_end = i + step->run;
        NNC_TRY(write_text(&w, "%3lld %c%c %-34s", (long long)i, step->barrier ? '|' : ' ',
                           i < run_end ? '#' : step->parallel ? '='
                               : step->owner > 0 ? (char)('0' + step->owner) : ' ',
                           nnc_ops[step->call.op].name));
        for (int k = 0; k < step->call.input_count; k++)
            NNC_TRY(write_text(&w, " %s", nnc_shape_text(&step->call.in[k].shape, shape)));
        NNC_TRY(write_text(&w, " ->"));
        for (int k = 0; k < step->call.output_count; k++)
            NNC_TRY(write_text(&w, " %s", nnc_shape_text(&step->call.out[k].shape, shape)));
        NNC_TRY(write_text(&w, "  %.0f ns", step->call.work.cost));
        for (int k = 1; step->call.op == NNC_OP_chain && k < step->call.attrs->list_count; k++)
            NNC_TRY(write_text(&w, "%s %s", k == 1 ? " :" : ",",
                               nnc_ops[nnc_chain_unpack(step->call.attrs->list[k]).op].name));
        NNC_TRY(write_text(&w, "\n"));
    }
    NNC_TRY(write_text(&w, "arena %lld bytes, without sharing %lld\n",
                       (long long)program->stats.arena_bytes,
                       (long long)program->stats.values_bytes));
    *out = w.text;
    w.text = NULL;
done:
    nnc_free(w.text);
    return status;
}
