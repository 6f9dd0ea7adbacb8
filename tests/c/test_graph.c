/* test_graph.c - tapes, gradients, programs: a small network recorded once is replayed and
 * compared with the same ops run eagerly; every allocation of it fails once; faults and stops
 * leave variables alone. */
#include "check.h"
#include "graph/program.h"
#include "nnc.h"
#include "tensors.h"

#include <math.h>
#include <string.h>

enum { ROWS = 12, IN = 7, HIDDEN = 5, CLASSES = 3, VARIABLES = 4 };

/* A network (IN, HIDDEN, CLASSES) whose step is a graph: loss out, SGD on four variables. */
typedef struct {
    nnc_graph *graph;
    nnc_tensor *variable[VARIABLES], *lr;
    int loss, gradient[VARIABLES];
} net;

static void net_variables(net *n, nnc_dtype dtype)
{
    n->variable[0] = noise(dtype, 2, IN, HIDDEN, 1);
    n->variable[1] = noise(dtype, 1, HIDDEN, 0, 2);
    n->variable[2] = noise(dtype, 2, HIDDEN, CLASSES, 3);
    n->variable[3] = noise(dtype, 1, CLASSES, 0, 4);
    n->lr = tensor_of(NNC_F64, 0, 0, 0);
    *(double *)n->lr->array.data = 0.1;
}

/* Everything through NNC_TRY: any allocation may fail. */
static nnc_status net_trace(net *n, nnc_dtype dtype, nnc_op activation)
{
    nnc_status status;
    nnc_shape xs = {2, {ROWS, IN}}, ys = {1, {ROWS}};
    int x, y, v[VARIABLES], lr, out[2];
    NNC_TRY(nnc_graph_new(false, &n->graph));
    nnc_graph *g = n->graph;
    NNC_TRY(nnc_graph_input(g, &xs, dtype, &x));
    NNC_TRY(nnc_graph_input(g, &ys, NNC_I64, &y));
    for (int i = 0; i < VARIABLES; i++)
        NNC_TRY(nnc_graph_tensor(g, n->variable[i], NNC_VARIABLE, &v[i]));
    NNC_TRY(nnc_graph_tensor(g, n->lr, NNC_VARIABLE, &lr));
    NNC_TRY(append(g, NNC_OP_matmul, x, v[0], -1, out));
    NNC_TRY(append(g, NNC_OP_add, out[0], v[1], -1, out));
    NNC_TRY(append(g, activation, out[0], -1, -1, out));
    NNC_TRY(append(g, NNC_OP_matmul, out[0], v[2], -1, out));
    NNC_TRY(append(g, NNC_OP_add, out[0], v[3], -1, out));
    NNC_TRY(append(g, NNC_OP_sparse_softmax_crossentropy, out[0], y, -1, out));
    NNC_TRY(append(g, NNC_OP_mean, out[0], -1, -1, &n->loss));
    NNC_TRY(nnc_graph_backward(g, &n->loss, NULL, 1, v, VARIABLES, 0, n->gradient));
    for (int i = 0; i < VARIABLES; i++)
        NNC_TRY(append(g, NNC_OP_sgd, v[i], n->gradient[i], lr, out));
done:
    return status;
}

static void net_clear(net *n)
{
    nnc_graph_release(n->graph);
    for (int i = 0; i < VARIABLES; i++)
        nnc_tensor_release(n->variable[i]);
    nnc_tensor_release(n->lr);
}

static nnc_status replay_steps(nnc_program *p, const nnc_tensor *x, const nnc_tensor *y, int64_t steps,
                               void *loss, int64_t *done)
{
    nnc_rows rows[2] = {
        {x->array.data, x->array.dtype, IN * nnc_dtype_size(x->array.dtype)},
        {y->array.data, y->array.dtype, nnc_dtype_size(y->array.dtype)}};
    void *targets[1] = {loss};
    return nnc_program_replay(p, rows, NULL, 0, steps, targets, 0, done);
}

/* The same steps on a tape, one op at a time. */
static void train_eagerly(net *n, nnc_op activation, nnc_tensor *x, nnc_tensor *y, int steps,
                          double *loss)
{
    nnc_attrs none = {0};
    for (int s = 0; s < steps; s++) {
        nnc_graph *tape = NULL;
        nnc_tensor *h[7] = {NULL}, *pair[2], *p = NULL;
        OK(nnc_graph_new(true, &tape));
        for (int i = 0; i < VARIABLES; i++)
            OK(nnc_tape_watch(tape, n->variable[i]));
        nnc_tape_push(tape);
        OK(nnc_eager(NNC_OP_matmul, &none, (nnc_tensor *[]){x, n->variable[0]}, 2, &h[0]));
        OK(nnc_eager(NNC_OP_add, &none, (nnc_tensor *[]){h[0], n->variable[1]}, 2, &h[1]));
        OK(nnc_eager(activation, &none, &h[1], 1, &h[2]));
        OK(nnc_eager(NNC_OP_matmul, &none, (nnc_tensor *[]){h[2], n->variable[2]}, 2, &h[3]));
        OK(nnc_eager(NNC_OP_add, &none, (nnc_tensor *[]){h[3], n->variable[3]}, 2, &h[4]));
        OK(nnc_eager(NNC_OP_sparse_softmax_crossentropy, &none, (nnc_tensor *[]){h[4], y}, 2, pair));
        h[5] = pair[0];
        p = pair[1];
        OK(nnc_eager(NNC_OP_mean, &none, &h[5], 1, &h[6]));
        nnc_tape_pop(tape);
        int target = nnc_graph_find(tape, h[6]), v[VARIABLES], g[VARIABLES];
        for (int i = 0; i < VARIABLES; i++)
            v[i] = nnc_graph_find(tape, n->variable[i]);
        CHECK(target >= 0);
        OK(nnc_graph_backward(tape, &target, NULL, 1, v, VARIABLES, 0, g));
        for (int i = 0; i < VARIABLES; i++)
            OK(nnc_eager(NNC_OP_sgd, &none,
                         (nnc_tensor *[]){n->variable[i], tape->values[g[i]].tensor, n->lr}, 3, NULL));
        nnc_convert(h[6]->array.data, h[6]->array.dtype, &loss[s], NNC_F64, 1);
        nnc_graph_release(tape);
        nnc_tensor_release(p);
        for (int i = 0; i < 7; i++)
            nnc_tensor_release(h[i]);
    }
}

/* Five recorded steps leave the bits that five eager ones leave, with the passes on and off. */
TEST(program_replays_what_eager_ops_do)
{
    static const char *const passes[] = {"fold", "fuse", "prune", "update", "order", "plan", "none"};
    static const nnc_op activations[] = {NNC_OP_relu, NNC_OP_tanh, NNC_OP_sigmoid, NNC_OP_gelu,
                                         NNC_OP_elu};
    nnc_pass_enable("verify", true);
    for (int off = 0; off < 7; off++) {
        for (int a = 0; a < 5; a++) {
            net recorded = {0}, eager = {0};
            nnc_tensor *x = noise(NNC_F32, 2, 5 * ROWS, IN, 9), *y = labels_of(5 * ROWS, CLASSES);
            nnc_program *program = NULL;
            float loss[5];
            double eager_loss[1];
            int64_t done = 0;
            nnc_pass_enable(passes[off], false);
            net_variables(&recorded, NNC_F32);
            net_variables(&eager, NNC_F32);
            OK(net_trace(&recorded, NNC_F32, activations[a]));
            OK(nnc_program_new(recorded.graph, &recorded.loss, 1, &program));
            OK(replay_steps(program, x, y, 5, loss, &done));
            CHECK(done == 5);
            for (int s = 0; s < 5; s++) {
                nnc_shape xs = {2, {ROWS, IN}}, ys = {1, {ROWS}};
                nnc_tensor *xb = NULL, *yb = NULL;
                OK(nnc_tensor_wrap((float *)x->array.data + s * ROWS * IN, &xs, NNC_F32, NULL, NULL,
                                   &xb));
                OK(nnc_tensor_wrap((int64_t *)y->array.data + s * ROWS, &ys, NNC_I64, NULL, NULL,
                                   &yb));
                train_eagerly(&eager, activations[a], xb, yb, 1, eager_loss);
                CHECK((float)eager_loss[0] == loss[s]);
                nnc_tensor_release(xb);
                nnc_tensor_release(yb);
            }
            for (int i = 0; i < VARIABLES; i++)
                CHECK(same_bits(recorded.variable[i], eager.variable[i]));
            nnc_pass_enable(passes[off], true);
            nnc_program_release(program);
            net_clear(&recorded);
            net_clear(&eager);
            nnc_tensor_release(x);
            nnc_tensor_release(y);
        }
    }
    nnc_pass_enable("verify", false);
}

/* d loss / d variable against central differences, float64; the programs differ in one number. */
TEST(gradients_agree_with_differences)
{
    net n = {0};
    nnc_tensor *x = noise(NNC_F64, 2, ROWS, IN, 9), *y = labels_of(ROWS, CLASSES);
    nnc_program *program = NULL;
    int64_t done;
    net_variables(&n, NNC_F64);
    *(double *)n.lr->array.data = 0;            /* the weights stay */
    OK(net_trace(&n, NNC_F64, NNC_OP_gelu));
    int outputs[1 + VARIABLES] = {n.loss};
    memcpy(outputs + 1, n.gradient, sizeof n.gradient);
    OK(nnc_program_new(n.graph, outputs, 1 + VARIABLES, &program));
    nnc_rows rows[2] = {{x->array.data, NNC_F64, IN * 8}, {y->array.data, NNC_I64, 8}};
    for (int v = 0; v < VARIABLES; v++) {
        double g[IN * HIDDEN], loss[2], *w = n.variable[v]->array.data;
        void *targets[1 + VARIABLES] = {&loss[0]};
        targets[1 + v] = g;
        OK(nnc_program_replay(program, rows, NULL, 0, 1, targets, 0, &done));
        for (int64_t i = 0; i < nnc_shape_size(&n.variable[v]->array.shape); i++) {
            double kept = w[i], h = 1e-5;
            for (int side = 0; side < 2; side++) {
                void *only_loss[1 + VARIABLES] = {&loss[side]};
                w[i] = kept + (side == 0 ? h : -h);
                OK(nnc_program_replay(program, rows, NULL, 0, 1, only_loss, 0, &done));
            }
            w[i] = kept;
            /* truncation h^2 = 1e-10, rounding 1e-16/h = 1e-11 */
            CHECK(fabs((loss[0] - loss[1]) / (2 * h) - g[i]) < 1e-8);
        }
    }
    nnc_program_release(program);
    net_clear(&n);
    nnc_tensor_release(x);
    nnc_tensor_release(y);
}

/* The n-th allocation of recording, planning and replaying fails: an error or nothing, no leak, and
 * weights either untouched or a whole step further. */
TEST(every_allocation_may_fail)
{
    nnc_tensor *x = noise(NNC_F32, 2, ROWS, IN, 9), *y = labels_of(ROWS, CLASSES);
    bool through = false;
    int failures = 0;
    for (int64_t fail = 1; !through; fail++) {
        net n = {0}, fresh = {0};
        nnc_program *program = NULL;
        int64_t done = 0;
        float loss;
        net_variables(&fresh, NNC_F32);
        net_variables(&n, NNC_F32);
        int64_t live = nnc_alloc_live_blocks();
        nnc_alloc_fail_at(fail);
        nnc_status status = net_trace(&n, NNC_F32, NNC_OP_gelu);
        if (status == NNC_OK)
            status = nnc_program_new(n.graph, &n.loss, 1, &program);
        if (status == NNC_OK)
            status = replay_steps(program, x, y, 1, &loss, &done);
        nnc_alloc_fail_at(0);
        through = status == NNC_OK;
        failures += !through;
        CHECK(status == NNC_OK || status == NNC_ENOMEM);
        CHECK(same_bits(n.variable[0], fresh.variable[0]) == (done == 0));
        nnc_program_release(program);
        nnc_graph_release(n.graph);
        n.graph = NULL;
        CHECK(nnc_alloc_live_blocks() == live);
        net_clear(&n);
        net_clear(&fresh);
    }
    CHECK(failures > 50);
    nnc_tensor_release(x);
    nnc_tensor_release(y);
}

static int stop_at_once(void *argument)
{
    ++*(int *)argument;
    return 1;
}

/* A label out of range, and a poll that says stop: the step never happened. */
TEST(faults_and_stops_change_nothing)
{
    net n = {0}, fresh = {0};
    nnc_tensor *x = noise(NNC_F32, 2, 2 * ROWS, IN, 9), *y = labels_of(2 * ROWS, CLASSES);
    nnc_program *program = NULL;
    int64_t done;
    float loss[2];
    int asked = 0;
    net_variables(&n, NNC_F32);
    net_variables(&fresh, NNC_F32);
    OK(net_trace(&n, NNC_F32, NNC_OP_relu));
    OK(nnc_program_new(n.graph, &n.loss, 1, &program));
    ((int64_t *)y->array.data)[4] = CLASSES;
    CHECK(replay_steps(program, x, y, 2, loss, &done) == NNC_EINDEX);
    CHECK(done == 0 && strstr(nnc_error_text(), "3") != NULL);
    ((int64_t *)y->array.data)[4] = 0;
    nnc_poll_set(stop_at_once, &asked);
    nnc_status status = NNC_OK;
    for (int i = 0; i < 1000000 && status == NNC_OK; i++) {     /* until 10 ms have passed */
        for (int v = 0; v < VARIABLES; v++)
            memcpy(n.variable[v]->array.data, fresh.variable[v]->array.data,
                   (size_t)fresh.variable[v]->bytes);
        status = replay_steps(program, x, y, 1, loss, &done);
    }
    nnc_poll_set(NULL, NULL);
    CHECK(status == NNC_EINTERRUPT && asked > 0);
    for (int v = 0; v < VARIABLES; v++)
        CHECK(same_bits(n.variable[v], fresh.variable[v]) == (done == 0));
    nnc_program_release(program);
    net_clear(&n);
    net_clear(&fresh);
    nnc_tensor_release(x);
    nnc_tensor_release(y);
}

/* A tape keeps what it read although the storage is overwritten; both readings count. */
TEST(tape_keeps_overwritten_values)
{
    nnc_attrs none = {0};
    nnc_tensor *v = tensor_of(NNC_F64, 0, 0, 0), *nine = tensor_of(NNC_F64, 0, 0, 0);
    nnc_tensor *a = NULL, *b = NULL, *sum = NULL;
    nnc_graph *tape = NULL;
    int gradient;
    *(double *)v->array.data = 3;
    *(double *)nine->array.data = 9;
    OK(nnc_graph_new(true, &tape));
    OK(nnc_tape_watch(tape, v));
    nnc_tape_push(tape);
    OK(nnc_eager(NNC_OP_square, &none, &v, 1, &a));                             /* v = 3 */
    OK(nnc_eager(NNC_OP_assign, &none, (nnc_tensor *[]){v, nine}, 2, NULL));
    OK(nnc_eager(NNC_OP_square, &none, &v, 1, &b));                             /* v = 9 */
    OK(nnc_eager(NNC_OP_add, &none, (nnc_tensor *[]){a, b}, 2, &sum));
    nnc_tape_pop(tape);
    CHECK(*(double *)sum->array.data == 90);
    int target = nnc_graph_find(tape, sum), source = nnc_graph_find(tape, v);
    OK(nnc_graph_backward(tape, &target, NULL, 1, &source, 1, 0, &gradient));
    CHECK(*(double *)tape->values[gradient].tensor->array.data == 24);      /* 2 3 + 2 9 */
    nnc_graph_release(tape);
    nnc_tensor_release(a);
    nnc_tensor_release(b);
    nnc_tensor_release(sum);
    nnc_tensor_release(v);
    nnc_tensor_release(nine);
}

/* Many small values with short lives share the arena; gradients lie side by side. */
TEST(plan_shares_memory)
{
    net n = {0};
    nnc_program *program = NULL;
    nnc_program_stats stats;
    net_variables(&n, NNC_F32);
    OK(net_trace(&n, NNC_F32, NNC_OP_gelu));
    OK(nnc_program_new(n.graph, &n.loss, 1, &program));
    nnc_program_describe(program, &stats);
    CHECK(stats.arena_bytes < stats.values_bytes);
    CHECK(stats.fused >= 1 && stats.nodes_kept < stats.nodes_recorded);
    nnc_program_release(program);
    net_clear(&n);
}

/* relu(x w) summed up, and SGD on w: large enough that its steps are spread over threads. */
static nnc_status wide_trace(nnc_tensor *w, nnc_tensor *lr, nnc_program **out)
{
    nnc_status status;
    nnc_graph *g = NULL;
    nnc_shape xs = {2, {256, 300}};
    int x, wv, lrv, y[2], loss, gradient;
    NNC_TRY(nnc_graph_new(false, &g));
    NNC_TRY(nnc_graph_input(g, &xs, NNC_F32, &x));
    NNC_TRY(nnc_graph_tensor(g, w, NNC_VARIABLE, &wv));
    NNC_TRY(nnc_graph_tensor(g, lr, NNC_VARIABLE, &lrv));
    NNC_TRY(append(g, NNC_OP_matmul, x, wv, -1, y));
    NNC_TRY(append(g, NNC_OP_gelu, y[0], -1, -1, y));
    NNC_TRY(append(g, NNC_OP_mean, y[0], -1, -1, &loss));
    NNC_TRY(nnc_graph_backward(g, &loss, NULL, 1, &wv, 1, 0, &gradient));
    NNC_TRY(append(g, NNC_OP_sgd, wv, gradient, lrv, y));
    NNC_TRY(nnc_program_new(g, &loss, 1, out));
done:
    nnc_graph_release(g);
    return status;
}

/* Threads share steps, pieces and the gathering of shuffled rows; the bits are those of one thread. */
TEST(threads_replay_the_same_bits)
{
    enum { STEPS = 40, COUNT = 1024 };
    static const int teams[] = {1, 2, 3};
    nnc_tensor *x = noise(NNC_F32, 2, COUNT, 300, 1), *w[3], *lr = tensor_of(NNC_F64, 0, 0, 0);
    static int64_t order[STEPS * 256];
    static float loss[3][STEPS];
    int before = nnc_pool_threads();
    *(double *)lr->array.data = 0.5;
    for (int i = 0; i < STEPS * 256; i++)
        order[i] = (i * 7919L) % COUNT;
    for (int t = 0; t < 3; t++) {
        nnc_program *program = NULL;
        nnc_rows rows = {x->array.data, NNC_F32, 300 * 4};
        void *targets[1] = {loss[t]};
        int64_t done = 0;
        w[t] = noise(NNC_F32, 2, 300, 400, 2);
        OK(nnc_pool_set_threads(teams[t]));
        OK(wide_trace(w[t], lr, &program));
        CHECK(program->any_parallel);
        OK(nnc_program_replay(program, &rows, order, 0, STEPS, targets, 0, &done));
        CHECK(done == STEPS);
        CHECK(same_bits(w[t], w[0]) && memcmp(loss[t], loss[0], sizeof loss[0]) == 0);
        nnc_program_release(program);
    }
    OK(nnc_pool_set_threads(before));
    for (int t = 0; t < 3; t++)
        nnc_tensor_release(w[t]);
    nnc_tensor_release(x);
    nnc_tensor_release(lr);
    nnc_pool_shutdown();
}

/* v is read, written, and its old contents read again: as a view, an output, by a gradient. */
TEST(reads_before_a_write_keep_their_meaning)
{
    nnc_graph *g = NULL;
    nnc_program *program = NULL;
    nnc_shape scalar = {0, {0}};
    nnc_tensor *v = tensor_of(NNC_F64, 0, 0, 0);
    nnc_attrs none = {0};
    int x, first, second, y[2], square, gradient, unused[2];
    int64_t done;
    double out[4], fed = 4;
    *(double *)v->array.data = 3;
    OK(nnc_graph_new(false, &g));
    OK(nnc_graph_input(g, &scalar, NNC_F64, &x));
    OK(nnc_graph_tensor(g, v, NNC_VARIABLE, &first));
    OK(nnc_graph_append(g, NNC_OP_stop_gradient, &none, &first, 1, y));     /* a view */
    OK(append(g, NNC_OP_square, first, -1, -1, &square));
    OK(append(g, NNC_OP_assign_add, first, x, -1, unused));                 /* v = 7 */
    OK(nnc_graph_tensor(g, v, NNC_VARIABLE, &second));
    CHECK(second != first);
    OK(nnc_graph_backward(g, &square, NULL, 1, &second, 1, 0, &gradient));
    int outputs[4] = {y[0], first, second, gradient};
    OK(nnc_program_new(g, outputs, 4, &program));
    void *targets[4] = {&out[0], &out[1], &out[2], &out[3]};
    nnc_rows rows = {&fed, NNC_F64, 0};
    OK(nnc_program_replay(program, &rows, NULL, 0, 1, targets, 0, &done));
    CHECK(out[0] == 3 && out[1] == 3 && out[2] == 7 && out[3] == 6);
    nnc_program_release(program);
    nnc_graph_release(g);
    nnc_tensor_release(v);
}

/* Node by node: the same bits as a replay, times one after another, nothing written without effects,
 * on one thread and on several. */
TEST(watched_steps_are_those_of_a_replay)
{
    static const int teams[] = {1, 3};
    nnc_tensor *x = noise(NNC_F32, 2, 256, 300, 1), *lr = tensor_of(NNC_F64, 0, 0, 0);
    nnc_rows rows = {x->array.data, NNC_F32, 300 * 4};
    nnc_seen seen[64];
    int before = nnc_pool_threads();
    *(double *)lr->array.data = 0.5;
    for (int t = 0; t < 2; t++) {
        nnc_tensor *w[3];
        nnc_program *program[3] = {NULL};
        int64_t done = 0;
        OK(nnc_pool_set_threads(teams[t]));
        for (int i = 0; i < 3; i++) {
            w[i] = noise(NNC_F32, 2, 300, 400, 2);
            OK(wide_trace(w[i], lr, &program[i]));
        }
        int64_t n = nnc_program_node_count(program[1]);
        CHECK(n > 3 && n <= 64);
        OK(nnc_program_replay(program[0], &rows, NULL, 0, 1, NULL, 0, &done));
        OK(nnc_program_watch(program[1], &rows, NULL, 0, 0, true, true, seen));
        CHECK(same_bits(w[0], w[1]));
        for (int64_t i = 0; i < n; i++) {
            CHECK(seen[i].end >= seen[i].begin && seen[i].begin >= (i ? seen[i - 1].end : 0));
            CHECK(!seen[i].nonfinite);
        }
        nnc_tensor *start = noise(NNC_F32, 2, 300, 400, 2);
        OK(nnc_program_watch(program[2], &rows, NULL, 0, 0, false, false, seen));
        CHECK(same_bits(w[2], start));
        nnc_tensor_release(start);
        for (int i = 0; i < 3; i++) {
            nnc_program_release(program[i]);
            nnc_tensor_release(w[i]);
        }
    }
    OK(nnc_pool_set_threads(before));
    nnc_tensor_release(x);
    nnc_tensor_release(lr);
    nnc_pool_shutdown();
}

/* A row with an infinity: the nodes from it on are seen, a guarded replay stops before them. */
TEST(guards_and_checks_find_infinities)
{
    net n = {0};
    nnc_tensor *x = noise(NNC_F32, 2, 3 * ROWS, IN, 9), *y = labels_of(3 * ROWS, CLASSES);
    nnc_rows rows[2] = {{x->array.data, NNC_F32, IN * 4}, {y->array.data, NNC_I64, 8}};
    nnc_program *program = NULL;
    nnc_seen seen[64];
    nnc_tensor *before[VARIABLES];
    int64_t done = 0, makers[8];
    int label, found = 0;
    bool stopped, parallel;
    ((float *)x->array.data)[2 * ROWS * IN + 3] = INFINITY;
    net_variables(&n, NNC_F32);
    OK(net_trace(&n, NNC_F32, NNC_OP_relu));
    OK(nnc_program_new(n.graph, &n.loss, 1, &program));
    OK(nnc_program_replay_guarded(program, rows, NULL, 0, 3, NULL, 0, &done, 0, &stopped));
    CHECK(stopped && done == 2);
    for (int i = 0; i < VARIABLES; i++)
        OK(nnc_tensor_copy(n.variable[i], &before[i]));
    OK(nnc_program_watch(program, rows, NULL, 2 * ROWS, 1, true, false, seen));
    int64_t maker = nnc_program_output_maker(program, 0);
    CHECK(maker > 0 && seen[maker].nonfinite);
    for (int64_t i = 0; i < nnc_program_node_count(program); i++) {
        const nnc_call *call = nnc_program_node(program, i, &label, &parallel, makers);
        bool fed = false;
        for (int k = 0; k < call->input_count; k++) {
            CHECK(makers[k] < i && makers[k] >= -3);
            fed |= makers[k] == -3 && call->in[k].dtype == NNC_F32;
        }
        found += fed && seen[i].nonfinite;
    }
    CHECK(found >= 1);
    for (int i = 0; i < VARIABLES; i++) {
        CHECK(same_bits(before[i], n.variable[i]));
        nnc_tensor_release(before[i]);
    }
    OK(nnc_program_replay_guarded(program, rows, NULL, 0, 2, NULL, 0, &done, 0, &stopped));
    CHECK(!stopped && done == 2);
    nnc_program_release(program);
    net_clear(&n);
    nnc_tensor_release(x);
    nnc_tensor_release(y);
}

/* Gradients carry the label of what they are the gradients of, through fusion too. */
TEST(labels_go_with_their_gradients)
{
    net n = {0};
    nnc_program *program = NULL;
    int label, plain = 0, backward = 0;
    bool parallel;
    net_variables(&n, NNC_F32);
    OK(net_trace(&n, NNC_F32, NNC_OP_tanh));
    for (int64_t i = 0; i < n.graph->node_count; i++)
        n.graph->nodes[i].label += 5;
    OK(nnc_program_new(n.graph, &n.loss, 1, &program));
    for (int64_t i = 0; i < nnc_program_node_count(program); i++) {
        nnc_program_node(program, i, &label, &parallel, NULL);
        CHECK((label & ~NNC_LABEL_BACKWARD) == 5);
        plain += !(label & NNC_LABEL_BACKWARD);
        backward += (label & NNC_LABEL_BACKWARD) != 0;
    }
    CHECK(plain >= 3 && backward >= 3);
    nnc_program_release(program);
    net_clear(&n);
}

TEST(first_nonfinite_of_every_dtype)
{
    static const nnc_dtype dtypes[] = {NNC_F16, NNC_BF16, NNC_F32, NNC_F64};
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int d = 0; d < 4; d++) {
        for (int64_t at = 0; at < 1200; at += 311) {
            nnc_tensor *t = tensor_of(dtypes[d], 1, 1200, 0);
            CHECK(nnc_array_first_nonfinite(&t->array) == -1);
            nnc_convert(&bad[at % 3], NNC_F64,
                        (char *)t->array.data + at * nnc_dtype_size(dtypes[d]), dtypes[d], 1);
            CHECK(nnc_array_first_nonfinite(&t->array) == at);
            nnc_tensor_release(t);
        }
    }
    nnc_tensor *whole = tensor_of(NNC_I64, 1, 4, 0);
    CHECK(nnc_array_first_nonfinite(&whole->array) == -1);
    nnc_tensor_release(whole);
}

TEST(peak_rates_are_measured)
{
    double rate = 0;
    OK(nnc_peak_rate(NNC_F32, 0.002, &rate));
    CHECK(rate > 1e7);
    OK(nnc_peak_rate(NNC_BF16, 0.002, &rate));
    CHECK(rate > 1e7);
    CHECK(nnc_peak_rate(NNC_I32, 0.002, &rate) == NNC_EVALUE);
    double barrier = nnc_barrier_time();
    CHECK(nnc_pool_threads() == 1 ? barrier == 0 : barrier > 0 && barrier < 10);
    nnc_pool_shutdown();
}

/* ---- chains: w = (x + row) column, y = where(|w| < row, w tanh(w), x), and d sum(y) / dx ---- */

enum { CHAIN_ROWS = 9 };

static nnc_status chain_trace(int64_t n, nnc_graph **out, int outputs[3])
{
    nnc_status status;
    nnc_graph *g = NULL;
    nnc_attrs none = {0};
    nnc_shape full = {2, {CHAIN_ROWS, n}}, row = {1, {n}}, column = {2, {CHAIN_ROWS, 1}};
    int x, r, c, sum, w, size, less, t, product, y, total;
    NNC_TRY(nnc_graph_new(false, &g));
    NNC_TRY(nnc_graph_input(g, &full, NNC_F32, &x));
    NNC_TRY(nnc_graph_input(g, &row, NNC_F32, &r));
    NNC_TRY(nnc_graph_input(g, &column, NNC_F32, &c));
    NNC_TRY(append(g, NNC_OP_add, x, r, -1, &sum));
    NNC_TRY(append(g, NNC_OP_multiply, sum, c, -1, &w));
    NNC_TRY(append(g, NNC_OP_absolute, w, -1, -1, &size));
    NNC_TRY(append(g, NNC_OP_less, size, r, -1, &less));
    NNC_TRY(append(g, NNC_OP_tanh, w, -1, -1, &t));
    NNC_TRY(append(g, NNC_OP_multiply, w, t, -1, &product));
    NNC_TRY(append(g, NNC_OP_where, less, product, x, &y));
    NNC_TRY(nnc_graph_append(g, NNC_OP_sum, &none, &y, 1, &total));
    NNC_TRY(nnc_graph_backward(g, &total, NULL, 1, &x, 1, 0, &outputs[1]));
    outputs[0] = y;
    outputs[2] = w;
    *out = g;
    g = NULL;
done:
    nnc_graph_release(g);
    return status;
}

/* Rows shorter and longer than a block, one number a row; outputs of exactly their size, so that a
 * write past an end is seen. */
TEST(chains_keep_every_bit)
{
    static const int64_t widths[] = {29, 64, 256, 1000, 2500};
    for (int k = 0; k < 5; k++) {
        int64_t n = widths[k], done;
        nnc_tensor *in[3] = {noise(NNC_F32, 2, CHAIN_ROWS, n, 1), noise(NNC_F32, 1, n, 0, 2),
                             noise(NNC_F32, 2, CHAIN_ROWS, 1, 3)}, *results[2][3];
        nnc_rows rows[3];
        for (int i = 0; i < 3; i++)
            rows[i] = (nnc_rows){in[i]->array.data, NNC_F32, 0};
        for (int on = 0; on < 2; on++) {
            nnc_graph *g = NULL;
            nnc_program *program = NULL;
            nnc_program_stats stats;
            int outputs[3];
            void *targets[3];
            nnc_pass_enable("chain", on);
            for (int i = 0; i < 3; i++) {
                results[on][i] = tensor_of(NNC_F32, 2, CHAIN_ROWS, n);
                targets[i] = results[on][i]->array.data;
            }
            OK(chain_trace(n, &g, outputs));
            OK(nnc_program_new(g, outputs, 3, &program));
            OK(nnc_program_replay(program, rows, NULL, 0, 1, targets, 0, &done));
            nnc_program_describe(program, &stats);
            CHECK((stats.fused >= 8) == on);
            nnc_program_release(program);
            nnc_graph_release(g);
        }
        for (int i = 0; i < 3; i++) {
            CHECK(same_bits(results[0][i], results[1][i]));
            nnc_tensor_release(results[0][i]);
            nnc_tensor_release(results[1][i]);
            nnc_tensor_release(in[i]);
        }
    }
}

TEST(every_allocation_of_a_chain_may_fail)
{
    int64_t live = nnc_alloc_live_blocks();
    int failures = 0, outputs[3];
    nnc_status status = NNC_ENOMEM;
    for (int64_t fail = 1; status != NNC_OK; fail++) {
        nnc_graph *g = NULL;
        nnc_program *program = NULL;
        nnc_alloc_fail_at(fail);
        status = chain_trace(64, &g, outputs);
        if (status == NNC_OK)
            status = nnc_program_new(g, outputs, 3, &program);
        nnc_alloc_fail_at(0);
        failures += status != NNC_OK;
        CHECK(status == NNC_OK || status == NNC_ENOMEM);
        nnc_program_release(program);
        nnc_graph_release(g);
        CHECK(nnc_alloc_live_blocks() == live);
    }
    CHECK(failures > 20);
}

/* A program in the memory of another: replays of both in turn, the first output of each. */
static nnc_status grow_beside(const int64_t *widths, nnc_tensor *(*in)[3], nnc_tensor *const *out)
{
    nnc_status status;
    nnc_graph *g[2] = {NULL, NULL};
    nnc_program *program[2] = {NULL, NULL};
    int64_t done;
    for (int p = 0; p < 2; p++) {
        int outputs[3];
        NNC_TRY(chain_trace(widths[p], &g[p], outputs));
        NNC_TRY(nnc_program_new_beside(g[p], outputs, 3, program[0], false, &program[p]));
    }
    for (int turn = 0; turn < 4; turn++) {
        nnc_rows rows[3];
        void *targets[3] = {out[turn]->array.data, NULL, NULL};
        for (int i = 0; i < 3; i++)
            rows[i] = (nnc_rows){in[turn % 2][i]->array.data, NNC_F32, 0};
        NNC_TRY(nnc_program_replay(program[turn % 2], rows, NULL, 0, 1, targets, 0, &done));
    }
done:
    for (int p = 0; p < 2; p++) {
        nnc_program_release(program[p]);
        nnc_graph_release(g[p]);
    }
    return status;
}

TEST(memory_that_grows_keeps_its_programs)
{
    int64_t widths[2] = {64, 300};
    nnc_tensor *in[2][3], *out[4], *alone[2];
    nnc_rows rows[3];
    for (int p = 0; p < 2; p++) {
        in[p][0] = noise(NNC_F32, 2, CHAIN_ROWS, widths[p], 1);
        in[p][1] = noise(NNC_F32, 1, widths[p], 0, 2);
        in[p][2] = noise(NNC_F32, 2, CHAIN_ROWS, 1, 3);
        for (int i = 0; i < 3; i++)
            rows[i] = (nnc_rows){in[p][i]->array.data, NNC_F32, 0};
        nnc_graph *g = NULL;
        nnc_program *program = NULL;
        int outputs[3];
        int64_t done;
        alone[p] = tensor_of(NNC_F32, 2, CHAIN_ROWS, widths[p]);
        void *targets[3] = {alone[p]->array.data, NULL, NULL};
        OK(chain_trace(widths[p], &g, outputs));
        OK(nnc_program_new(g, outputs, 3, &program));
        OK(nnc_program_replay(program, rows, NULL, 0, 1, targets, 0, &done));
        nnc_program_release(program);
        nnc_graph_release(g);
    }
    for (int k = 0; k < 4; k++)
        out[k] = tensor_of(NNC_F32, 2, CHAIN_ROWS, widths[k % 2]);
    int64_t live = nnc_alloc_live_blocks(), fail = 1;
    nnc_status status = NNC_ENOMEM;
    for (; status != NNC_OK; fail++) {
        nnc_alloc_fail_at(fail);
        status = grow_beside(widths, in, out);
        nnc_alloc_fail_at(0);
        CHECK(status == NNC_OK || status == NNC_ENOMEM);
        CHECK(nnc_alloc_live_blocks() == live);
    }
    CHECK(fail > 40);
    for (int k = 0; k < 4; k++) {
        CHECK(same_bits(out[k], alone[k % 2]));
        nnc_tensor_release(out[k]);
    }
    for (int p = 0; p < 2; p++) {
        nnc_tensor_release(alone[p]);
        for (int i = 0; i < 3; i++)
            nnc_tensor_release(in[p][i]);
    }
}
