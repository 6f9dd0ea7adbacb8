/* random.c - random numbers from a state (seed, step): uniform, normal, whole numbers; dropout;
 * seed_next.
 *
 * Element e of an op's output depends on the state and e alone (Philox, core/rng.c), so any cut
 * of the work gives the same bits. An op reads the state and leaves it; seed_next hands out the
 * state and moves the variable on. Dropout's gradient draws the same mask again instead of
 * keeping it. */
#include "ops/support.h"
#include "ops/table.h"

static int64_t size_of(const nnc_array *array)
{
    return nnc_shape_size(&array->shape);
}

static nnc_status check_state(nnc_op op, const nnc_array *state)
{
    char text[NNC_SHAPE_TEXT];
    if (state->dtype == NNC_U32 && state->shape.rank == 1 && state->shape.dim[0] == 2)
        return NNC_OK;
    return nnc_fail(NNC_EVALUE, "%s: expected a random state of shape (2,) and dtype uint32, "
                    "received shape %s and dtype %s", nnc_op_name(op),
                    nnc_shape_text(&state->shape, text),
                    nnc_dtype_name(state->dtype));
}

static nnc_rng rng_of(const nnc_array *state)
{
    const uint32_t *words = state->data;
    return (nnc_rng){.seed = words[0], .step = words[1]};
}

/* ---- dropout(x, state): x / (1 - rate) with probability 1 - rate, else 0 ---- */

nnc_status nnc_op_dropout_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                int input_count, nnc_array *out)
{
    nnc_status status;
    (void)input_count;
    NNC_TRY(nnc_check_real(op, in[0].dtype));
    NNC_TRY(check_state(op, &in[1]));
    if (!(attrs->f[0] >= 0.0 && attrs->f[0] <= 1.0)) {
        status = nnc_fail(NNC_EVALUE, "%s: expected a rate from 0 to 1, received %g",
                          nnc_op_name(op), attrs->f[0]);
        goto done;
    }
    out->dtype = in[0].dtype;
    out->shape = in[0].shape;
done:
    return status;
}

void nnc_op_dropout_plan(const nnc_call *call, nnc_work *work)
{
    nnc_plan_elements(work, size_of(&call->out[0]), 1.5);
}

void nnc_op_dropout_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const nnc_array *x = &call->in[0], *y = &call->out[0];
    nnc_rng rng = rng_of(&call->in[1]);
    double rate = call->attrs->f[0];
    int64_t count, first = nnc_piece_range(size_of(y), NNC_PIECE, begin, end, &count);
    (void)phase;
    if (rate == 1.0)
        nnc_fill((char *)y->data + first * nnc_dtype_size(y->dtype), y->dtype, count, 0.0);
    else if (y->dtype == NNC_F32)
        nnc_kernels->f32->dropout(&rng, first, (const float *)x->data + first,
                                  (float *)y->data + first, count, rate);
    else
        nnc_kernels->f64->dropout(&rng, first, (const double *)x->data + first,
                                  (double *)y->data + first, count, rate);
}

/* The same mask and scale on dy. */
nnc_status nnc_op_dropout_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                   int *dx)
{
    nnc_attrs attrs = graph->nodes[node].attrs;
    int state = graph->nodes[node].inputs[1];
    return need[0] ? nnc_emit2(graph, NNC_OP_dropout, &attrs, dy[0], state, &dx[0]) : NNC_OK;
}

/* ---- numbers of a shape ---- */

/* high - 1 must be a number of the dtype, and so must low. */
static nnc_status check_range(nnc_op op, const nnc_attrs *attrs)
{
    int64_t low = attrs->k[0], high = attrs->k[1];
    int bits = 8 * (int)nnc_dtype_size(attrs->dtype);
    bool is_signed = nnc_dtype_kind(attrs->dtype) == NNC_KIND_INT;
    int64_t top = INT64_MAX >> (64 - bits), least = 0;
    if (!is_signed && nnc_dtype_kind(attrs->dtype) != NNC_KIND_UINT)
        return nnc_fail(NNC_ETYPE, "%s: expected an integer dtype, received %s", nnc_op_name(op),
                        nnc_dtype_name(attrs->dtype));
    if (is_signed)
        least = -top - 1;
    else if (bits < 64)
        top = 2 * top + 1;
    if (low < high && low >= least && high - 1 <= top)
        return NNC_OK;
    return nnc_fail(NNC_EVALUE, "%s: expected low < high within %s, received low %lld, high %lld",
                    nnc_op_name(op), nnc_dtype_name(attrs->dtype), (long long)low, (long long)high);
}

nnc_status nnc_op_random_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                               int input_count, nnc_array *out)
{
    nnc_status status;
    (void)input_count;
    NNC_TRY(check_state(op, &in[0]));
    if ((int)attrs->dtype < 0 || attrs->dtype >= NNC_DTYPE_COUNT) {
        status = nnc_fail(NNC_ETYPE, "%s: unknown dtype %d", nnc_op_name(op), (int)attrs->dtype);
        goto done;
    }
    if (op == NNC_OP_random_integers)
        NNC_TRY(check_range(op, attrs));
    else
        NNC_TRY(nnc_check_real(op, attrs->dtype));
    NNC_TRY(nnc_check_shape(op, attrs, attrs->dtype, &out->shape));
    out->dtype = attrs->dtype;
done:
    return status;
}

void nnc_op_random_plan(const nnc_call *call, nnc_work *work)
{
    nnc_plan_elements(work, size_of(&call->out[0]), call->op == NNC_OP_random_uniform ? 1.5 : 5.0);
}

/* low + floor(w (high - low) / 2^64), w the 64-bit number of words 2e, 2e+1 of the stream: a
 * value's chance is off by less than 2^-64, which for ranges up to 2^32 is a relative bias below
 * 2^-32. */
static void run_integers(nnc_call *call, const nnc_rng *rng, int64_t first, int64_t count)
{
    const nnc_array *y = &call->out[0];
    int64_t low = call->attrs->k[0], size = nnc_dtype_size(y->dtype);
    uint64_t range = (uint64_t)call->attrs->k[1] - (uint64_t)low;
    uint32_t words[4];
    for (int64_t e = first; e < first + count; e++) {
        if (e == first || e % 2 == 0)
            nnc_rng_block(rng, (uint64_t)(e / 2), words);
        uint64_t w = (uint64_t)words[e % 2 * 2 + 1] << 32 | words[e % 2 * 2];
        int64_t value = (int64_t)((uint64_t)low + (uint64_t)((unsigned __int128)w * range >> 64));
        nnc_convert(&value, NNC_I64, (char *)y->data + e * size, y->dtype, 1);
    }
}

#define RUN_REAL(suffix, real)                                                                     \
    do {                                                                                           \
        const nnc_kernels_##suffix *k = nnc_kernels->suffix;                                       \
        (call->op == NNC_OP_random_uniform ? k->uniform : call->op == NNC_OP_random_normal         \
             ? k->normal : k->truncated_normal)(&rng, first, (real *)call->out[0].data + first,    \
                                                count, call->attrs->f[0], call->attrs->f[1]);      \
    } while (0)

void nnc_op_random_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    nnc_rng rng = rng_of(&call->in[0]);
    int64_t count, first = nnc_piece_range(size_of(&call->out[0]), NNC_PIECE, begin, end, &count);
    (void)phase;
    if (call->op == NNC_OP_random_integers)
        run_integers(call, &rng, first, count);
    else if (call->out[0].dtype == NNC_F32)
        RUN_REAL(f32, float);
    else
        RUN_REAL(f64, double);
}

/* ---- seed_next: the step wraps at 2^32 ---- */

nnc_status nnc_op_seed_next_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                  int input_count, nnc_array *out)
{
    (void)attrs, (void)input_count;
    out->dtype = in[0].dtype;
    out->shape = in[0].shape;
    return check_state(op, &in[0]);
}

void nnc_op_seed_next_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    uint32_t *state = call->in[0].data, *was = call->out[0].data;
    (void)phase, (void)begin, (void)end;
    was[0] = state[0];
    was[1] = state[1]++;
}
