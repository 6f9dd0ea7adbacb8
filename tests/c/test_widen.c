/* test_widen.c - programs of bfloat16 numbers kept in float32: exact ones have the bits of the ops
 * run one by one, those with excess precision do not round inside; every allocation of both fails
 * once. */
#include "check.h"
#include "graph/program.h"
#include "nnc.h"
#include "ops/tiles.h"

#include <math.h>
#include <string.h>

#define OK(call) CHECK((call) == NNC_OK)

/* k * n is more than what is kept in float32 beside a variable; N units are few. */
enum { ROWS = 3, LARGE_K = 1100, LARGE_N = 1000, N = 6, OUTPUTS = 2 };

typedef struct {
    nnc_tensor *w, *bias, *v;           /* (LARGE_K, LARGE_N), (LARGE_N), (LARGE_N, N) of float32 */
} weights;

static nnc_tensor *noise(int rank, int64_t d0, int64_t d1, uint64_t seed)
{
    nnc_shape shape = {.rank = rank, .dim = {d0, d1}};
    nnc_rng rng = {.seed = seed};
    nnc_tensor *t = NULL;
    OK(nnc_tensor_new(&shape, NNC_F32, &t));
    for (int64_t i = 0; i < nnc_shape_size(&shape); i++) {
        uint32_t word[4];
        nnc_rng_block(&rng, (uint64_t)i, word);
        ((float *)t->array.data)[i] = (float)(word[0] / 4294967296.0 - 0.5);
    }
    return t;
}

static weights make_weights(void)
{
    return (weights){noise(2, LARGE_K, LARGE_N, 1), noise(1, LARGE_N, 0, 2),
                     noise(2, LARGE_N, N, 3)};
}

static void drop_weights(weights *own)
{
    nnc_tensor_release(own->w);
    nnc_tensor_release(own->bias);
    nnc_tensor_release(own->v);
}

static nnc_status cast(nnc_graph *g, int x, nnc_dtype dtype, int64_t kept, int *out)
{
    nnc_attrs attrs = {.dtype = dtype, .k = {[NNC_CAST_KEPT] = kept}};
    return nnc_graph_append(g, NNC_OP_cast, &attrs, &x, 1, out);
}

static nnc_status variable(nnc_graph *g, nnc_tensor *tensor, int64_t kept, int *out)
{
    nnc_status status;
    NNC_TRY(nnc_graph_tensor(g, tensor, NNC_VARIABLE, out));
    NNC_TRY(cast(g, *out, NNC_BF16, kept, out));
done:
    return status;
}

/* tanh(x w + bias) v in float32, and w in bfloat16: x (ROWS, LARGE_K). */
static nnc_status trace(const weights *own, int64_t kept, nnc_graph **out, int outputs[OUTPUTS])
{
    nnc_status status;
    nnc_graph *g = NULL;
    nnc_shape x = {2, {ROWS, LARGE_K}};
    nnc_attrs linear = {.k = {-1}}, none = {0};
    int in[3];
    NNC_TRY(nnc_graph_new(false, &g));
    NNC_TRY(nnc_graph_input(g, &x, NNC_F32, &in[0]));
    NNC_TRY(cast(g, in[0], NNC_BF16, kept, &in[0]));
    NNC_TRY(variable(g, own->w, kept, &in[1]));
    NNC_TRY(variable(g, own->bias, kept, &in[2]));
    outputs[1] = in[1];
    NNC_TRY(nnc_graph_append(g, NNC_OP_dense, &linear, in, 3, &in[0]));
    NNC_TRY(nnc_graph_append(g, NNC_OP_tanh, &none, in, 1, &in[0]));
    NNC_TRY(variable(g, own->v, kept, &in[1]));
    NNC_TRY(nnc_graph_append(g, NNC_OP_matmul, &none, in, 2, &in[0]));
    NNC_TRY(cast(g, in[0], NNC_F32, 0, &outputs[0]));
    *out = g;
    g = NULL;
done:
    nnc_graph_release(g);
    return status;
}

/* One replay of the network. y: (ROWS, N); w: the bits of w. */
static nnc_status replay(const weights *own, const nnc_tensor *x, int64_t kept, bool excess,
                         float *y, uint16_t *w)
{
    nnc_status status;
    nnc_graph *g = NULL;
    nnc_program *program = NULL;
    nnc_rows rows = {x->array.data, NNC_F32, 0};
    void *targets[OUTPUTS] = {y, w};
    int outputs[OUTPUTS];
    int64_t done;
    NNC_TRY(trace(own, kept, &g, outputs));
    NNC_TRY(nnc_program_new_beside(g, outputs, OUTPUTS, NULL, excess, &program));
    NNC_TRY(nnc_program_replay(program, &rows, NULL, 0, 1, targets, 0, &done));
done:
    nnc_program_release(program);
    nnc_graph_release(g);
    return status;
}

/* The largest difference of two results. */
static double apart(const float *a, const float *b)
{
    double most = 0;
    for (int i = 0; i < ROWS * N; i++)
        most = fmax(most, fabs((double)a[i] - b[i]));
    return most;
}

static float y[4][ROWS * N];
static uint16_t bits[2][LARGE_K * LARGE_N];

TEST(excess_precision_rounds_what_leaves_and_what_is_kept)
{
    weights own = make_weights();
    nnc_tensor *x = noise(2, ROWS, LARGE_K, 4);
    nnc_pass_enable("widen", false);
    OK(replay(&own, x, 0, false, y[0], bits[0]));       /* the ops on 16 bits themselves */
    nnc_pass_enable("widen", true);
    OK(replay(&own, x, 0, false, y[1], bits[1]));
    CHECK(memcmp(y[0], y[1], sizeof y[0]) == 0);
    CHECK(memcmp(bits[0], bits[1], sizeof bits[0]) == 0);
    OK(replay(&own, x, 0, true, y[2], bits[1]));
    CHECK(memcmp(bits[0], bits[1], sizeof bits[0]) == 0);
    /* Sums of 1000 products of numbers below 1, each rounded to 8 bits. */
    CHECK(apart(y[0], y[2]) < 0.25);
    OK(replay(&own, x, 1, true, y[3], bits[1]));
    CHECK(apart(y[0], y[3]) < 0.25);
    if (nnc_tiles_there())
        CHECK(memcmp(y[2], y[3], sizeof y[2]) == 0);
    else
        CHECK(apart(y[0], y[2]) > 0 && apart(y[2], y[3]) > 0);
    nnc_tensor_release(x);
    drop_weights(&own);
}

TEST(every_allocation_may_fail)
{
    weights own = make_weights();
    nnc_tensor *x = noise(2, ROWS, LARGE_K, 4);
    for (int excess = 0; excess < 2; excess++) {
        int64_t live = nnc_alloc_live_blocks();
        int failures = 0;
        nnc_status status = NNC_ENOMEM;
        for (int64_t fail = 1; status != NNC_OK; fail++) {
            nnc_alloc_fail_at(fail);
            status = replay(&own, x, 0, excess, y[0], bits[0]);
            nnc_alloc_fail_at(0);
            failures += status != NNC_OK;
            CHECK(status == NNC_OK || status == NNC_ENOMEM);
            CHECK(nnc_alloc_live_blocks() == live);
        }
        CHECK(failures > 20);
    }
    nnc_tensor_release(x);
    drop_weights(&own);
}
