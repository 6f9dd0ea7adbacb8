/* test_gradients.c - gradients of the op families, first and second, against central differences in
 * float64.
 *
 * F = sum(seed * op(x)) is differentiated, then G = sum(seed2 * dF/dx), seeds being noise. */
#include "ops_cases.inc"

enum { FEW = 3 };

typedef struct {
    nnc_op op;
    nnc_attrs attrs;
    nnc_tensor *in[FEW];
    int count;
    unsigned smooth;    /* bit k: input k is differentiated */
} gradient_case;

/* The sums F (order 1) or G (order 2); gradient[k], if wanted: of that sum for input k. */
static double evaluate(const gradient_case *c, int order, nnc_tensor **gradient)
{
    nnc_graph *tape = NULL;
    int in[FEW], out[NNC_MAX_OUTPUTS], seed[FEW], targets[FEW], dx[FEW], sources[FEW], n = 0;
    double sum = 0;
    nnc_tensor *seeds[2 * FEW] = {NULL};
    OK(nnc_graph_new(true, &tape));
    for (int k = 0; k < c->count; k++) {
        OK(nnc_tape_watch(tape, c->in[k]));
        in[k] = nnc_graph_find(tape, c->in[k]);
        if (c->smooth >> k & 1)
            sources[n++] = in[k];
    }
    OK(nnc_graph_append(tape, c->op, &c->attrs, in, c->count, out));
    int count = nnc_ops[c->op].outputs;
    for (int step = 1;; step++) {
        int from = step == 1 ? 0 : FEW;
        memcpy(targets, step == 1 ? out : dx, sizeof targets);
        sum = 0;
        for (int k = 0; k < count; k++) {
            const nnc_tensor *t = tape->values[targets[k]].tensor;
            seeds[from + k] = noise(NNC_F64, t->array.shape, (uint64_t)(10 * step + k));
            OK(nnc_graph_tensor(tape, seeds[from + k], NNC_CONSTANT, &seed[k]));
            for (int64_t i = 0; i < size_of(t); i++)
                sum += get(t, i) * get(seeds[from + k], i);
        }
        if (step == order && gradient == NULL)
            break;
        OK(nnc_graph_backward(tape, targets, seed, count, sources, n, 0, dx));
        if (step == order)
            break;
        count = n;
        for (int k = 0; k < n; k++)
            CHECK(dx[k] >= 0);
    }
    for (int k = 0; k < n && gradient != NULL; k++)
        gradient[k] = dx[k] < 0 ? NULL : nnc_tensor_retain(tape->values[dx[k]].tensor);
    for (int k = 0; k < 2 * FEW; k++)
        nnc_tensor_release(seeds[k]);
    nnc_graph_release(tape);
    return sum;
}

/* Central differences with step h are off by about h^2 f''' + 1e-15 f / h: some 1e-8 for h = 1e-5
 * and f of size 1 to 100. */
static void check_gradient(gradient_case c, int orders)
{
    const double h = 1e-5, slack = 3e-7;
    for (int order = 1; order <= orders; order++) {
        nnc_tensor *gradient[FEW] = {NULL};
        int n = 0, bad = 0;
        evaluate(&c, order, gradient);
        for (int k = 0; k < c.count; k++) {
            if (!(c.smooth >> k & 1))
                continue;
            nnc_tensor *g = gradient[n++];
            for (int64_t i = 0; i < size_of(c.in[k]); i++) {
                double x = get(c.in[k], i), up, down;
                set(c.in[k], i, x + h);
                up = evaluate(&c, order, NULL);
                set(c.in[k], i, x - h);
                down = evaluate(&c, order, NULL);
                set(c.in[k], i, x);
                double want = (up - down) / (2 * h), got = g == NULL ? 0.0 : get(g, i);
                bad += !(fabs(got - want) <= slack * (1 + fabs(want)));
            }
            nnc_tensor_release(g);
        }
        if (bad > 0)
            printf("    %s: gradient %d has %d wrong\n", nnc_ops[c.op].name, order, bad);
        CHECK(bad == 0);
    }
}

static void gradient_of(nnc_op op, nnc_attrs attrs, nnc_tensor *a, nnc_tensor *b, nnc_tensor *c,
                        unsigned smooth, int orders)
{
    gradient_case g = {op, attrs, {a, b, c}, c != NULL ? 3 : b != NULL ? 2 : 1, smooth};
    check_gradient(g, orders);
    nnc_tensor_release(a), nnc_tensor_release(b), nnc_tensor_release(c);
}

static nnc_tensor *reals(nnc_shape shape, uint64_t seed)
{
    return noise(NNC_F64, shape, seed);
}

TEST(gradients_of_reductions)
{
    static const nnc_op ops[] = {NNC_OP_sum, NNC_OP_mean, NNC_OP_prod, NNC_OP_max, NNC_OP_min};
    for (int k = 0; k < 5; k++) {
        gradient_of(ops[k], (nnc_attrs){LIST(1)}, reals(SHAPE(2, 3, 2), 1), NULL, NULL, 1, 2);
        gradient_of(ops[k], (nnc_attrs){LIST(0, 2), .k = {1}}, reals(SHAPE(2, 3, 2), 2), NULL, NULL,
                    1, 2);
        gradient_of(ops[k], (nnc_attrs){.list_count = 0}, reals(SHAPE(5), 3), NULL, NULL, 1, 2);
    }
    for (int zeros = 1; zeros < 3; zeros++) {
        nnc_tensor *x = reals(SHAPE(2, 4), 4);
        set(x, 1, 0), set(x, 1 + zeros, 0);
        gradient_of(NNC_OP_prod, (nnc_attrs){LIST(1)}, x, NULL, NULL, 1, 1);
    }
    gradient_of(NNC_OP_sum_to, (nnc_attrs){LIST(3, 1)}, reals(SHAPE(2, 3, 4), 1), NULL, NULL, 1, 2);
    nnc_tensor *x = empty(NNC_F64, SHAPE(4)), *gradient[FEW] = {NULL};
    set(x, 1, 5), set(x, 3, 5);
    gradient_case tie = {NNC_OP_max, {.list_count = 0}, {x}, 1, 1};
    evaluate(&tie, 1, gradient);
    CHECK(get(gradient[0], 0) == 0 && get(gradient[0], 1) == get(gradient[0], 3));
    CHECK(fabs(get(gradient[0], 1)) > 0.01);
    nnc_tensor_release(x), nnc_tensor_release(gradient[0]);
}

TEST(gradients_of_shapes_and_indices)
{
    nnc_attrs none = {.list_count = 0};
    gradient_of(NNC_OP_where, none, noise(NNC_BOOL, SHAPE(3, 4), 1), reals(SHAPE(4), 2),
                reals(SHAPE(3, 1), 3), 6, 1);
    gradient_of(NNC_OP_reshape, (nnc_attrs){LIST(3, 4)}, reals(SHAPE(2, 6), 1), NULL, NULL, 1, 1);
    gradient_of(NNC_OP_copy, none, reals(SHAPE(3), 1), NULL, NULL, 1, 1);
    gradient_of(NNC_OP_broadcast_to, (nnc_attrs){LIST(2, 3, 4)}, reals(SHAPE(3, 1), 1), NULL, NULL,
                1, 1);
    gradient_of(NNC_OP_transpose, (nnc_attrs){LIST(2, 0, 1)}, reals(SHAPE(2, 3, 4), 1), NULL, NULL,
                1, 1);
    gradient_of(NNC_OP_concatenate, (nnc_attrs){.k = {1}}, reals(SHAPE(2, 3), 1),
                reals(SHAPE(2, 1), 2), reals(SHAPE(2, 2), 3), 7, 1);
    gradient_of(NNC_OP_slice, (nnc_attrs){LIST(0, 4, 3, -1, 2, -2)}, reals(SHAPE(4, 5), 1), NULL,
                NULL, 1, 1);
    gradient_of(NNC_OP_unslice, (nnc_attrs){LIST(1, 6, 2), .k = {8}}, reals(SHAPE(3), 1), NULL,
                NULL, 1, 1);
    gradient_of(NNC_OP_pad, (nnc_attrs){LIST(1, 0, 0, 2)}, reals(SHAPE(2, 3), 1), NULL, NULL, 1, 1);
    nnc_tensor *index = noise(NNC_U8, SHAPE(2, 3), 1);
    gradient_of(NNC_OP_take, (nnc_attrs){.k = {1}}, reals(SHAPE(2, 7, 2), 1),
                nnc_tensor_retain(index), NULL, 1, 1);
    gradient_of(NNC_OP_take_grad, (nnc_attrs){LIST(7, 2), .k = {0}}, reals(SHAPE(2, 3, 2), 1),
                index, NULL, 1, 1);
    gradient_of(NNC_OP_dropout, (nnc_attrs){.f = {0.5}}, reals(SHAPE(10), 1),
                empty(NNC_U32, SHAPE(2)), NULL, 1, 1);
}

TEST(gradients_of_softmax_and_losses)
{
    static const nnc_op ops[] = {NNC_OP_softmax, NNC_OP_log_softmax, NNC_OP_softmax_grad,
                                 NNC_OP_log_softmax_grad};
    for (int k = 0; k < 4; k++) {
        for (int axis = 0; axis < 2; axis++)
            gradient_of(ops[k], (nnc_attrs){.k = {axis}}, reals(SHAPE(3, 4), 1),
                        k < 2 ? NULL : reals(SHAPE(3, 4), 2), NULL, k < 2 ? 1 : 3, 2);
    }
    nnc_attrs none = {.list_count = 0};
    gradient_of(NNC_OP_softmax_crossentropy, none, reals(SHAPE(3, 4), 1),
                reals(SHAPE(3, 4), 2), NULL, 3, 2);
    nnc_tensor *labels = empty(NNC_I32, SHAPE(3));
    set(labels, 0, 2), set(labels, 1, 1);
    gradient_of(NNC_OP_sparse_softmax_crossentropy, none, reals(SHAPE(3, 4), 1),
                nnc_tensor_retain(labels), NULL, 1, 2);
    gradient_of(NNC_OP_sparse_softmax_crossentropy_grad, none, reals(SHAPE(3, 4), 1), labels,
                reals(SHAPE(3), 2), 5, 2);
}
