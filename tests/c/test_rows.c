/* test_rows.c - steps that go on with a part of the rows: training steps of a small network, whose
 * bits may not depend on how many threads have a part of them; faults, stops and failing allocations
 * in between leave the variables alone. */
#include "check.h"
#include "graph/program.h"
#include "tensors.h"

enum { IN = 784, CLASSES = 5, LAYERS = 3, VARIABLES = 2 * LAYERS, MOST_ROWS = 100, STEPS = 6 };
static const int64_t widths[LAYERS + 1] = {IN, 20, 12, CLASSES};

typedef struct {
    nnc_tensor *variable[VARIABLES], *lr, *x, *y;
    nnc_program *program;
} net;

/* A step of SGD on `rows` rows; its output is the mean of the losses. */
static nnc_status net_program(net *n, int64_t rows)
{
    nnc_status status;
    nnc_graph *g = NULL;
    nnc_shape xs = {2, {rows, IN}}, ys = {1, {rows}};
    int x, y, v[VARIABLES], lr, loss, gradient[VARIABLES], out[2];
    NNC_TRY(nnc_graph_new(false, &g));
    NNC_TRY(nnc_graph_input(g, &xs, NNC_F32, &x));
    NNC_TRY(nnc_graph_input(g, &ys, NNC_I64, &y));
    for (int i = 0; i < VARIABLES; i++)
        NNC_TRY(nnc_graph_tensor(g, n->variable[i], NNC_VARIABLE, &v[i]));
    NNC_TRY(nnc_graph_tensor(g, n->lr, NNC_VARIABLE, &lr));
    out[0] = x;
    for (int i = 0; i < LAYERS; i++) {
        NNC_TRY(append(g, NNC_OP_matmul, out[0], v[2 * i], -1, out));
        NNC_TRY(append(g, NNC_OP_add, out[0], v[2 * i + 1], -1, out));
        if (i + 1 < LAYERS)
            NNC_TRY(append(g, NNC_OP_relu, out[0], -1, -1, out));
    }
    NNC_TRY(append(g, NNC_OP_sparse_softmax_crossentropy, out[0], y, -1, out));
    NNC_TRY(append(g, NNC_OP_mean, out[0], -1, -1, &loss));
    NNC_TRY(nnc_graph_backward(g, &loss, NULL, 1, v, VARIABLES, 0, gradient));
    for (int i = 0; i < VARIABLES; i++)
        NNC_TRY(append(g, NNC_OP_sgd, v[i], gradient[i], lr, out));
    NNC_TRY(nnc_program_new(g, &loss, 1, &n->program));
done:
    nnc_graph_release(g);
    return status;
}

static void net_begin(net *n)
{
    *n = (net){.lr = tensor_of(NNC_F64, 0, 0, 0), .x = noise(NNC_F32, 2, STEPS * MOST_ROWS, IN, 9),
               .y = labels_of(STEPS * MOST_ROWS, CLASSES)};
    *(double *)n->lr->array.data = 0.1;
    for (int i = 0; i < LAYERS; i++) {
        n->variable[2 * i] = noise(NNC_F32, 2, widths[i], widths[i + 1], 2 * i + 1);
        n->variable[2 * i + 1] = noise(NNC_F32, 1, widths[i + 1], 0, 2 * i + 2);
    }
}

static void net_end(net *n)
{
    nnc_program_release(n->program);
    for (int i = 0; i < VARIABLES; i++)
        nnc_tensor_release(n->variable[i]);
    nnc_tensor_release(n->lr);
    nnc_tensor_release(n->x);
    nnc_tensor_release(n->y);
}

static nnc_status train(net *n, const int64_t *order, int64_t steps, float *loss, int64_t *done)
{
    nnc_rows rows[2] = {{n->x->array.data, NNC_F32, IN * 4}, {n->y->array.data, NNC_I64, 8}};
    void *targets[1] = {loss};
    return nnc_program_replay(n->program, rows, order, 0, steps, targets, 0, done);
}

static bool same_variables(const net *a, const net *b)
{
    for (int i = 0; i < VARIABLES; i++) {
        if (!same_bits(a->variable[i], b->variable[i]))
            return false;
    }
    return true;
}

/* How many steps of the program go part by part with others. */
static int64_t in_runs(const net *n)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n->program->step_count; i++)
        count += n->program->steps[i].run;
    return count;
}

TEST(a_part_of_the_rows_each_gives_the_same_bits)
{
    static const int64_t batches[] = {32, 33, 47, 64, MOST_ROWS};
    static const int teams[] = {1, 2, 3, 8};
    static int64_t order[STEPS * MOST_ROWS];
    int before = nnc_pool_threads();
    for (int i = 0; i < STEPS * MOST_ROWS; i++)
        order[i] = (i * 7919L) % (STEPS * MOST_ROWS);
    for (int b = 0; b < 5; b++) {
        net n[4];
        float loss[4][STEPS];
        for (int t = 0; t < 4; t++) {
            int64_t done = 0;
            net_begin(&n[t]);
            OK(nnc_pool_set_threads(teams[t]));
            OK(net_program(&n[t], batches[b]));
            CHECK(in_runs(&n[t]) >= 8 && n[t].program->unfinished > 0);
            for (int s = 0; s < STEPS; s++)
                OK(train(&n[t], order + s * batches[b], 1, &loss[t][s], &done));
            CHECK(same_variables(&n[t], &n[0]));
            CHECK(memcmp(loss[t], loss[0], sizeof loss[0]) == 0);
        }
        for (int t = 0; t < 4; t++)
            net_end(&n[t]);
    }
    OK(nnc_pool_set_threads(before));
    nnc_pool_shutdown();
}

/* A label that is none, in a row of the last part: no variable changes, and the next step is sound. */
TEST(a_fault_in_a_part_leaves_the_variables)
{
    int before = nnc_pool_threads();
    for (int threads = 1; threads <= 3; threads++) {
        net n, untouched;
        float loss;
        int64_t done = 0;
        net_begin(&n);
        net_begin(&untouched);
        OK(nnc_pool_set_threads(threads));
        OK(net_program(&n, 32));
        ((int64_t *)n.y->array.data)[31] = CLASSES;
        CHECK(train(&n, NULL, 1, &loss, &done) == NNC_EINDEX && done == 0);
        CHECK(same_variables(&n, &untouched));
        ((int64_t *)n.y->array.data)[31] = 0;
        OK(train(&n, NULL, 1, &loss, &done));
        CHECK(done == 1 && loss > 0 && !same_variables(&n, &untouched));
        net_end(&n);
        net_end(&untouched);
    }
    OK(nnc_pool_set_threads(before));
    nnc_pool_shutdown();
}

TEST(every_allocation_of_such_a_program_may_fail)
{
    net n;
    int fail = 1;
    nnc_status status = NNC_ENOMEM;
    net_begin(&n);
    int64_t live = nnc_alloc_live_blocks();
    for (; status != NNC_OK; fail++) {
        nnc_alloc_fail_at(fail);
        status = net_program(&n, 32);
        nnc_alloc_fail_at(0);
        CHECK(status == NNC_OK || (status == NNC_ENOMEM && nnc_alloc_live_blocks() == live));
    }
    CHECK(fail > 60 && in_runs(&n) >= 8);
    net_end(&n);
}
