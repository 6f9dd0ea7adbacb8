/* test_flow.c - branches and loops as nodes: against the same ops written out, bit for bit, on one
 * thread and on three; what bodies write; every allocation fails once. */
#include "check.h"
#include "graph/flow.h"
#include "nnc.h"

#include <string.h>

enum { N = 4, ROUNDS = 12 };

typedef struct {
    nnc_graph *graph;
    nnc_tensor *w, *count;
    int x, pick, out[3];        /* y, dw, dx */
} model;

static nnc_status model_init(model *m)
{
    nnc_status status;
    nnc_shape square = {2, {N, N}}, none = {0};
    *m = (model){.graph = NULL};
    NNC_TRY(nnc_tensor_new(&square, NNC_F32, &m->w));
    NNC_TRY(nnc_tensor_new(&none, NNC_F32, &m->count));
    for (int i = 0; i < N * N; i++)
        ((float *)m->w->array.data)[i] = (float)(i % 5 - 2) * 0.2f;
    *(float *)m->count->array.data = 0;
    NNC_TRY(nnc_graph_new(false, &m->graph));
    NNC_TRY(nnc_graph_input(m->graph, &square, NNC_F32, &m->x));
    NNC_TRY(nnc_graph_input(m->graph, &none, NNC_I32, &m->pick));
done:
    return status;
}

static void model_clear(model *m)
{
    nnc_graph_release(m->graph);
    nnc_tensor_release(m->w);
    nnc_tensor_release(m->count);
}

static nnc_status add(nnc_graph *g, nnc_op op, int a, int b, int *out)
{
    nnc_attrs none = {0};
    int in[2] = {a, b};
    return nnc_graph_append(g, op, &none, in, b < 0 ? 1 : 2, out);
}

/* y = tanh(x w) */
static nnc_status layer(const model *m, nnc_graph *g, int x, int *out)
{
    nnc_status status;
    int w;
    NNC_TRY(nnc_graph_tensor(g, m->w, NNC_VARIABLE, &w));
    NNC_TRY(add(g, NNC_OP_matmul, x, w, out));
    NNC_TRY(add(g, NNC_OP_tanh, *out, -1, out));
done:
    return status;
}

/* A body with inputs i (for a loop) and x; one output, for now x itself. */
static nnc_status body_init(nnc_body *body, bool loop, int from, int *x)
{
    nnc_status status;
    nnc_shape square = {2, {N, N}}, none = {0};
    int i;
    NNC_TRY(nnc_graph_new(false, &body->graph));
    NNC_TRY(nnc_alloc(2 * (int64_t)sizeof(int), &body->feeds));
    NNC_TRY(nnc_alloc((int64_t)sizeof(int), &body->outputs));
    if (loop)
        NNC_TRY(nnc_graph_input(body->graph, &none, NNC_I32, &i));
    NNC_TRY(nnc_graph_input(body->graph, &square, NNC_F32, x));
    body->feeds[0] = body->feeds[loop] = loop ? -1 : from;
    body->outputs[0] = *x;
    body->output_count = 1;
done:
    return status;
}

static nnc_status count_up(const model *m, nnc_graph *g)
{
    nnc_status status;
    int count, one;
    nnc_attrs fill = {.f = {1.0}, .dtype = NNC_F32};
    NNC_TRY(nnc_graph_tensor(g, m->count, NNC_VARIABLE, &count));
    NNC_TRY(nnc_graph_append(g, NNC_OP_fill, &fill, NULL, 0, &one));
    NNC_TRY(add(g, NNC_OP_assign_add, count, one, NULL));
done:
    return status;
}

static nnc_status number(nnc_graph *g, double value, int *out)
{
    nnc_attrs fill = {.f = {value}, .dtype = NNC_I32};
    return nnc_graph_append(g, NNC_OP_fill, &fill, NULL, 0, out);
}

/* ROUNDS layers in a loop that counts. */
static nnc_status limited_loop(model *m, int *y)
{
    nnc_status status;
    nnc_body body = {.graph = NULL};
    nnc_flow plan = {.carries = 1, .limit = ROUNDS};
    int x, out[2];
    NNC_TRY(body_init(&body, true, -1, &x));
    NNC_TRY(layer(m, body.graph, x, &body.outputs[0]));
    NNC_TRY(count_up(m, body.graph));
    NNC_TRY(nnc_flow_loop(m->graph, &plan, &body, 1, &m->x, out));
    *y = out[0];
done:
    nnc_body_clear(&body);
    return status;
}

/* Inputs (i for a loop,) x and a number. */
static nnc_status counted_body_init(nnc_body *body, bool loop, int *x, int *n)
{
    nnc_status status;
    nnc_shape none = {0};
    NNC_TRY(body_init(body, loop, -1, x));
    nnc_free(body->feeds);
    nnc_free(body->outputs);
    body->feeds = body->outputs = NULL;
    NNC_TRY(nnc_alloc(3 * (int64_t)sizeof(int), &body->feeds));
    NNC_TRY(nnc_alloc(2 * (int64_t)sizeof(int), &body->outputs));
    for (int k = 0; k < 3; k++)
        body->feeds[k] = -1;
    NNC_TRY(nnc_graph_input(body->graph, &none, NNC_I32, n));
done:
    return status;
}

/* The same without a limit: while n < ROUNDS. */
static nnc_status endless_loop(model *m, int *y)
{
    nnc_status status;
    nnc_body bodies[2] = {{.graph = NULL}};
    nnc_flow plan = {.carries = 2, .limit = -1};
    int x, n, one, in[2] = {m->x, -1}, out[3];
    NNC_TRY(counted_body_init(&bodies[0], true, &x, &n));
    NNC_TRY(layer(m, bodies[0].graph, x, &bodies[0].outputs[0]));
    NNC_TRY(number(bodies[0].graph, 1, &one));
    NNC_TRY(add(bodies[0].graph, NNC_OP_add, n, one, &bodies[0].outputs[1]));
    bodies[0].output_count = 2;
    NNC_TRY(count_up(m, bodies[0].graph));
    NNC_TRY(counted_body_init(&bodies[1], false, &x, &n));
    NNC_TRY(number(bodies[1].graph, ROUNDS, &one));
    NNC_TRY(add(bodies[1].graph, NNC_OP_less, n, one, &bodies[1].outputs[0]));
    NNC_TRY(number(m->graph, 0, &in[1]));
    NNC_TRY(nnc_flow_loop(m->graph, &plan, bodies, 2, in, out));
    *y = out[0];
done:
    nnc_body_clear(&bodies[0]);
    nnc_body_clear(&bodies[1]);
    return status;
}

typedef nnc_status make_loop(model *m, int *y);

/* A loop, then one of two branches. */
static nnc_status with_nodes(model *m, make_loop *loop, int *y)
{
    nnc_status status;
    nnc_body bodies[2] = {{.graph = NULL}};
    int x, out[1];
    NNC_TRY(loop(m, out));
    NNC_TRY(body_init(&bodies[0], false, out[0], &x));
    NNC_TRY(body_init(&bodies[1], false, out[0], &x));
    NNC_TRY(layer(m, bodies[1].graph, x, &bodies[1].outputs[0]));
    NNC_TRY(nnc_flow_branch(m->graph, m->pick, bodies, 2, true, y));
done:
    nnc_body_clear(&bodies[0]);
    nnc_body_clear(&bodies[1]);
    return status;
}

static nnc_status written_out(model *m, int pick, int *y)
{
    nnc_status status = NNC_OK;
    *y = m->x;
    for (int i = 0; i < ROUNDS + pick; i++)
        NNC_TRY(layer(m, m->graph, *y, y));
    for (int i = 0; i < ROUNDS; i++)
        NNC_TRY(count_up(m, m->graph));
done:
    return status;
}

/* Results of a replay: y, dw, dx. loop: that and a branch; NULL: written out. */
static nnc_status results(make_loop *loop, int32_t pick, float *result, float *count)
{
    nnc_status status;
    model m;
    nnc_program *program = NULL;
    float x[N * N];
    void *targets[3] = {result, result + N * N, result + 2 * N * N};
    int sources[2];
    int64_t steps;
    for (int i = 0; i < N * N; i++)
        x[i] = (float)(i % 7 - 3) * 0.3f;
    NNC_TRY(model_init(&m));
    NNC_TRY(loop != NULL ? with_nodes(&m, loop, &m.out[0]) : written_out(&m, pick, &m.out[0]));
    NNC_TRY(nnc_graph_tensor(m.graph, m.w, NNC_VARIABLE, &sources[0]));
    sources[1] = m.x;
    NNC_TRY(nnc_graph_backward(m.graph, m.out, NULL, 1, sources, 2, 0, m.out + 1));
    NNC_TRY(nnc_program_new(m.graph, m.out, 3, &program));
    nnc_rows rows[2] = {{x, NNC_F32, 0}, {&pick, NNC_I32, 0}};
    NNC_TRY(nnc_program_replay(program, rows, NULL, 0, 1, targets, 0, &steps));
    *count = *(float *)m.count->array.data;
done:
    nnc_program_release(program);
    model_clear(&m);
    return status;
}

static void compare(make_loop *loop)
{
    for (int32_t pick = 0; pick < 2; pick++) {
        float want[3 * N * N], got[3 * N * N], count = 0;
        CHECK(results(NULL, pick, want, &count) == NNC_OK && count == ROUNDS);
        for (int threads = 1; threads < 4; threads += 2) {
            nnc_pool_set_threads(threads);
            CHECK(results(loop, pick, got, &count) == NNC_OK && count == ROUNDS);
            CHECK(memcmp(got, want, N * N * sizeof *got) == 0);
            for (int i = 0; i < 3 * N * N; i++)      /* sums over w in another order */
                CHECK(got[i] - want[i] < 1e-5f && want[i] - got[i] < 1e-5f);
        }
        nnc_pool_set_threads(1);
    }
}

TEST(nodes_give_what_ops_give)
{
    compare(limited_loop);
    compare(endless_loop);
}

static void fail_each(make_loop *loop)
{
    float got[3 * N * N], count;
    int64_t live = nnc_alloc_live_blocks(), n = 1;
    nnc_status status = NNC_ENOMEM;
    for (; status != NNC_OK && n < 5000; n++) {
        nnc_alloc_fail_at(n);
        status = results(loop, 1, got, &count);
        nnc_alloc_fail_at(0);
        CHECK(status == NNC_OK || status == NNC_ENOMEM);
        CHECK(nnc_alloc_live_blocks() == live);
    }
    CHECK(n > 100 && status == NNC_OK);
}

TEST(every_allocation_fails_once)
{
    fail_each(limited_loop);
    fail_each(endless_loop);
}
