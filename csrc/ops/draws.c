/* draws.c - random numbers made by rejection: gamma, beta, binomial; and permutations.
 *
 * Element e draws from blocks e 2^20, e 2^20 + 1 ... of the state's stream (beta's second gamma
 * from 2^19 on), so its value depends on the state, e and its parameters alone. Computed in double.
 * gamma: Marsaglia & Tsang 2000; below 1 the one above times u^(1/alpha), in logarithms, as beta
 * divides two of them. binomial: inversion where the mean is below 10, else Hormann's BTRS 1993. */
#include "ops/support.h"
#include "ops/table.h"

#include <math.h>

enum { TRIES = 1 << 19 };

static nnc_rng rng_of(const nnc_array *state)
{
    const uint32_t *words = state->data;
    return (nnc_rng){.seed = words[0], .step = words[1]};
}

static nnc_status check_state(nnc_op op, const nnc_array *state)
{
    if (state->dtype == NNC_U32 && state->shape.rank == 1 && state->shape.dim[0] == 2)
        return NNC_OK;
    return nnc_fail(NNC_EVALUE, "%s: expected a random state of shape (2,) and dtype uint32",
                    nnc_op_name(op));
}

/* The parameters have one floating-point dtype and the result's shape. */
nnc_status nnc_op_draw_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                             int input_count, nnc_array *out)
{
    nnc_status status;
    NNC_TRY(check_state(op, &in[0]));
    NNC_TRY(nnc_check_real(op, attrs->dtype));
    for (int k = 1; k < input_count; k++) {
        NNC_TRY(nnc_check_real(op, in[k].dtype));
        NNC_TRY(nnc_check_same_dtype(op, &in[1], &in[k]));
        NNC_TRY(nnc_check_same_shape(op, &in[1], &in[k]));
    }
    out->dtype = attrs->dtype;
    out->shape = in[1].shape;
done:
    return status;
}

void nnc_op_draw_plan(const nnc_call *call, nnc_work *work)
{
    nnc_plan_elements(work, nnc_shape_size(&call->out[0].shape), 150.0);
}

/* A word as a number in (0, 1). */
static double unit(uint32_t word) { return (word + 0.5) * 0x1p-32; }

/* log(y), y of the gamma distribution; NaN unless alpha > 0. */
static double log_gamma_draw(const nnc_rng *rng, uint64_t index, double alpha)
{
    uint32_t w[4];
    double d = (alpha < 1 ? alpha + 1 : alpha) - 1.0 / 3, c = 1 / sqrt(9 * d);
    if (!(alpha > 0) || alpha == INFINITY)
        return alpha == INFINITY ? INFINITY : NAN;
    for (int k = 0; k < TRIES; k++) {
        nnc_rng_block(rng, index + (uint64_t)k, w);
        double x = sqrt(-2 * log(unit(w[0]))) * cos(6.283185307179586 * unit(w[1]));
        double v = (1 + c * x) * (1 + c * x) * (1 + c * x);
        if (1 + c * x > 0 && log(unit(w[2])) < x * x / 2 + d - d * v + d * log(v))
            return log(d) + log(v) + (alpha < 1 ? log(unit(w[3])) / alpha : 0);
    }
    return log(d);
}

static double beta_draw(const nnc_rng *rng, uint64_t index, double alpha, double beta)
{
    double x = log_gamma_draw(rng, index, alpha), y = log_gamma_draw(rng, index + TRIES, beta);
    return 1 / (1 + exp(y - x));
}

/* Adds the chances of 0, 1, 2 ... up to a uniform number of 53 bits; p <= 1/2, n p < 10. */
static double binomial_by_inversion(const nnc_rng *rng, uint64_t index, double n, double p)
{
    uint32_t w[4];
    nnc_rng_block(rng, index, w);
    double u = (double)(((uint64_t)w[1] << 32 | w[0]) >> 11) * 0x1p-53;
    double ratio = p / (1 - p), chance = exp(n * log1p(-p)), k = 0;
    while (u > chance && k < n) {
        u -= chance;
        k++;
        chance *= ratio * (n - k + 1) / k;
        if (chance < 1e-300 && k > n * p)
            break;
    }
    return k;
}

static double log_factorial(double k)
{
    int sign;
    return lgamma_r(k + 1, &sign);
}

/* Transformed rejection with squeeze; p <= 1/2, n p >= 10. */
static double binomial_by_rejection(const nnc_rng *rng, uint64_t index, double n, double p)
{
    double spread = sqrt(n * p * (1 - p)), b = 1.15 + 2.53 * spread;
    double a = -0.0873 + 0.0248 * b + 0.01 * p, c = n * p + 0.5, vr = 0.92 - 4.2 / b;
    double alpha = (2.83 + 5.1 / b) * spread, odds = log(p / (1 - p)), mode = floor((n + 1) * p);
    double top = log_factorial(mode) + log_factorial(n - mode);
    uint32_t w[4];
    for (int k = 0; k < TRIES; k++) {
        nnc_rng_block(rng, index + (uint64_t)k, w);
        double u = unit(w[0]) - 0.5, v = unit(w[1]), us = 0.5 - fabs(u);
        double x = floor((2 * a / us + b) * u + c);
        if (us >= 0.07 && v <= vr)
            return x;
        if (x < 0 || x > n)
            continue;
        if (log(v * alpha / (a / (us * us) + b)) <=
            top - log_factorial(x) - log_factorial(n - x) + (x - mode) * odds)
            return x;
    }
    return mode;
}

/* NaN unless n >= 0 and 0 <= p <= 1; n is cut to a whole number. */
static double binomial_draw(const nnc_rng *rng, uint64_t index, double n, double p)
{
    n = floor(n);
    if (!(n >= 0 && n < 0x1p53 && p >= 0 && p <= 1))
        return NAN;
    double q = p > 0.5 ? 1 - p : p;
    if (n == 0 || q == 0)
        return p > 0.5 ? n : 0;
    double k = n * q < 10 ? binomial_by_inversion(rng, index, n, q)
                          : binomial_by_rejection(rng, index, n, q);
    return p > 0.5 ? n - k : k;
}

static double parameter(const nnc_array *array, int64_t e)
{
    double value;
    const char *data = array->data;
    nnc_convert(data + e * nnc_dtype_size(array->dtype), array->dtype, &value, NNC_F64, 1);
    return value;
}

void nnc_op_draw_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const nnc_array *y = &call->out[0];
    nnc_rng rng = rng_of(&call->in[0]);
    int64_t count, size = nnc_dtype_size(y->dtype);
    int64_t first = nnc_piece_range(nnc_shape_size(&y->shape), NNC_PIECE, begin, end, &count);
    (void)phase;
    for (int64_t e = first; e < first + count; e++) {
        uint64_t index = (uint64_t)e << 20;
        double one = parameter(&call->in[1], e);
        double two = call->input_count > 2 ? parameter(&call->in[2], e) : 0;
        double value = call->op == NNC_OP_random_gamma ? exp(log_gamma_draw(&rng, index, one))
                       : call->op == NNC_OP_random_beta ? beta_draw(&rng, index, one, two)
                                                        : binomial_draw(&rng, index, one, two);
        nnc_convert(&value, NNC_F64, (char *)y->data + e * size, y->dtype, 1);
    }
}

/* ---- the whole numbers below n in random order ---- */

nnc_status nnc_op_permutation_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                    int input_count, nnc_array *out)
{
    nnc_status status;
    (void)input_count;
    NNC_TRY(check_state(op, &in[0]));
    if (attrs->k[0] < 0 || attrs->k[0] > INT64_MAX / 8) {
        status = nnc_fail(NNC_EVALUE, "%s: expected a number >= 0, received %lld", nnc_op_name(op),
                          (long long)attrs->k[0]);
        goto done;
    }
    out->dtype = NNC_I64;
    out->shape = (nnc_shape){.rank = 1, .dim = {attrs->k[0]}};
done:
    return status;
}

void nnc_op_permutation_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    nnc_rng rng = rng_of(&call->in[0]);
    (void)phase, (void)begin, (void)end;
    nnc_rng_permutation(&rng, call->attrs->k[0], call->out[0].data);
}
