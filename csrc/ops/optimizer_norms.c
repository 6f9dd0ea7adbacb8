/* optimizer_norms.c - steps whose length hangs on norms of the whole variable: Lamb, Adafactor.
 *
 * A phase goes over the variable and leaves sums of squares of its pieces, of w and of the step u, in
 * the workspace; the next one adds them in order and steps. Lamb: You et al. 2019,
 * arXiv:1904.00962. Adafactor: Shazeer & Stern 2018, arXiv:1804.04235; formulas: Keras 3.
 * Letters: t the step's number 1, 2 ...; a matrix is one of `a` with `rows` rows of `c`. */
#include "core/flush.h"
#include "kernels/kernels.h"
#include "ops/optimizer.h"
#include "ops/support.h"
#include "ops/table.h"

#include <math.h>

enum { LEAST_ROWS = 32, MOST_ROWS = 512 };      /* in a piece of a matrix */

/* Sum w^2 (which: 0) or u^2 (1) of all pieces. */
static double total(const double *parts, int64_t pieces, int which)
{
    double sum = 0;
    for (int64_t i = 0; i < pieces; i++)
        sum += parts[2 * i + which];
    return sum;
}

static double larger(double a, double b)        /* NaN in a stays */
{
    return a < b ? b : a;
}

static void plan_two_passes(const nnc_call *call, nnc_work *work)
{
    nnc_plan_elements(work, nnc_shape_size(&call->in[0].shape), 1.2);
    work->phases = 2;
    work->pieces[1] = work->pieces[0];
    work->workspace = work->pieces[0] * 2 * (int64_t)sizeof(double);
}
void nnc_op_lamb_plan(const nnc_call *call, nnc_work *work) { plan_two_passes(call, work); }
void nnc_op_adafactor_vector_plan(const nnc_call *call, nnc_work *work)
{
    plan_two_passes(call, work);
}

/* ---- Lamb: w, m, v, g, lr, t ---- */

static double lamb_rate(const nnc_call *call)
{
    double w = sqrt(total(call->workspace, call->work.pieces[0], 0));
    double u = sqrt(total(call->workspace, call->work.pieces[0], 1));
    double ratio = w > 0 && u > 0 ? w / u : 1;
    return ratio * nnc_optimizer_number(&call->in[4]);
}

#define LAMB(suffix, type)                                                                         \
    static void lamb_##suffix(nnc_call *call, int phase, int64_t begin, int64_t end)               \
    {                                                                                              \
        const double *f = call->attrs->f, t = nnc_optimizer_number(&call->in[5]) + 1;              \
        const double by[2] = {1 / (1 - pow(f[0], t)), 1 / (1 - pow(f[1], t))};                     \
        type *w = call->in[0].data, *m = call->in[1].data, *v = call->in[2].data;                  \
        const type *g = call->in[3].data;                                                          \
        double *parts = call->workspace, rate = phase == 0 ? 0 : lamb_rate(call);                  \
        for (int64_t piece = begin; piece < end; piece++) {                                        \
            int64_t n, i = nnc_piece_range(nnc_shape_size(&call->in[0].shape), NNC_PIECE, piece,   \
                                           piece + 1, &n);                                         \
            if (phase == 0) {                                                                      \
                parts[2 * piece] = parts[2 * piece + 1] = 0;                                       \
                nnc_kernels->suffix->lamb_moments(w + i, m + i, v + i, g + i, n, by, f,            \
                                                  parts + 2 * piece);                              \
            } else {                                                                               \
                nnc_kernels->suffix->lamb(w + i, m + i, v + i, n, rate, by, f);                    \
            }                                                                                      \
        }                                                                                          \
    }
LAMB(f32, float)
LAMB(f64, double)

void nnc_op_lamb_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    unsigned before = nnc_flush_begin();
    if (call->in[0].dtype == NNC_F32)
        lamb_f32(call, phase, begin, end);
    else
        lamb_f64(call, phase, begin, end);
    nnc_flush_end(before);
}

/* ---- Adafactor ---- */

/* What multiplies u, of the squares in `parts`; f: decay, epsilon_1, epsilon_2, threshold. */
static double adafactor_rate(const nnc_call *call, const double *parts, int64_t pieces, double lr,
                             double t)
{
    const double *f = call->attrs->f;
    double n = (double)nnc_shape_size(&call->in[0].shape);
    double rho = 1 / sqrt(t) < lr ? 1 / sqrt(t) : lr;
    double alpha = larger(sqrt(total(parts, pieces, 0) / n), f[2]) * rho;
    return alpha / larger(sqrt(total(parts, pieces, 1) / n) / f[3], 1);
}

/* The step's number and the share of new means. */
static double adafactor_time(const nnc_call *call, double *share)
{
    double t = nnc_optimizer_number(&call->in[call->input_count - 1]) + 1;
    *share = pow(t, call->attrs->f[0]);
    return t;
}

#define ADAFACTOR_VECTOR(suffix, type)                                                             \
    static void adafactor_vector_##suffix(nnc_call *call, int phase, int64_t begin, int64_t end)   \
    {                                                                                              \
        const nnc_kernels_##suffix *kernels = nnc_kernels->suffix;                                 \
        double share, t = adafactor_time(call, &share), rate = 0, *parts = call->workspace;        \
        type *w = call->in[0].data, *v = call->in[1].data;                                         \
        const type *g = call->in[2].data;                                                          \
        if (phase == 1)                                                                            \
            rate = adafactor_rate(call, parts, call->work.pieces[0],                               \
                                  nnc_optimizer_number(&call->in[3]), t);                          \
        for (int64_t piece = begin; piece < end; piece++) {                                        \
            int64_t n, i = nnc_piece_range(nnc_shape_size(&call->in[0].shape), NNC_PIECE, piece,   \
                                           piece + 1, &n);                                         \
            if (phase == 0) {                                                                      \
                parts[2 * piece] = (double)kernels->sum_squares(w + i, n);                         \
                parts[2 * piece + 1] = kernels->adafactor_mean(v + i, g + i, n, share,             \
                                                               call->attrs->f[1]);                 \
            } else {                                                                               \
                kernels->adafactor(w + i, v + i, g + i, n, rate);                                  \
            }                                                                                      \
        }                                                                                          \
    }
ADAFACTOR_VECTOR(f32, float)
ADAFACTOR_VECTOR(f64, double)

void nnc_op_adafactor_vector_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    unsigned before = nnc_flush_begin();
    if (call->in[0].dtype == NNC_F32)
        adafactor_vector_f32(call, phase, begin, end);
    else
        adafactor_vector_f64(call, phase, begin, end);
    nnc_flush_end(before);
}

/* Matrices: how they are cut, and where things lie in the workspace. */
typedef struct {
    int64_t a, rows, c;
    int64_t piece_rows, each, pieces;   /* rows of a piece; pieces of a matrix and of all */
    double *parts, *means;              /* two numbers a piece; the mean of each matrix's r */
    void *columns;                      /* (pieces, c): sums over the rows of a piece */
} matrices;

static matrices cut(const nnc_call *call)
{
    const nnc_shape *shape = &call->in[0].shape;
    matrices x = {.a = nnc_dims_product(shape, 0, shape->rank - 2),
                  .rows = shape->dim[shape->rank - 2], .c = shape->dim[shape->rank - 1]};
    x.piece_rows = x.c > 0 ? NNC_PIECE / x.c : MOST_ROWS;
    x.piece_rows = x.piece_rows < LEAST_ROWS ? LEAST_ROWS : x.piece_rows;
    x.piece_rows = x.piece_rows > MOST_ROWS ? MOST_ROWS : x.piece_rows;
    x.each = (x.rows + x.piece_rows - 1) / x.piece_rows;
    x.pieces = x.a * x.each;
    x.parts = call->workspace;
    if (x.parts != NULL) {
        x.means = x.parts + 2 * x.pieces;
        x.columns = x.means + x.a;
    }
    return x;
}

nnc_status nnc_op_adafactor_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                  int input_count, nnc_array *out)
{
    nnc_status status;
    nnc_shape expected[2];
    char text[NNC_SHAPE_TEXT], received[NNC_SHAPE_TEXT];
    int rank = in[0].shape.rank;
    (void)attrs, (void)out;
    NNC_TRY(nnc_check_real(op, in[0].dtype));
    if (rank < 2) {
        status = nnc_fail(NNC_EVALUE, "adafactor: w must have at least 2 axes, received shape %s",
                          nnc_shape_text(&in[0].shape, text));
        goto done;
    }
    expected[0] = expected[1] = in[0].shape;
    expected[0].rank = expected[1].rank = rank - 1;
    expected[0].dim[rank - 1] = expected[1].dim[rank - 1] = 0;
    expected[1].dim[rank - 2] = in[0].shape.dim[rank - 1];
    for (int k = 0; k < 2; k++) {
        NNC_TRY(nnc_check_same_dtype(op, &in[0], &in[k + 1]));
        if (!nnc_shape_equal(&in[k + 1].shape, &expected[k])) {
            status = nnc_fail(NNC_EVALUE, "adafactor: %s must have the shape %s, received %s",
                              k == 0 ? "r" : "c", nnc_shape_text(&expected[k], text),
                              nnc_shape_text(&in[k + 1].shape, received));
            goto done;
        }
    }
    for (int k = 3; k < 5; k++) {
        NNC_TRY(nnc_check_same_dtype(op, &in[0], &in[k]));
        NNC_TRY(nnc_check_same_shape(op, &in[0], &in[k]));
    }
    NNC_TRY(nnc_optimizer_check_numbers(op, in, 5, input_count));
done:
    return status;
}

void nnc_op_adafactor_plan(const nnc_call *call, nnc_work *work)
{
    nnc_call shapes = *call;
    shapes.workspace = NULL;
    matrices x = cut(&shapes);
    int64_t pieces = x.pieces > 0 ? x.pieces : 1;
    *work = (nnc_work){.phases = 4, .pieces = {pieces, x.a > 0 ? x.a : 1, pieces, pieces},
                       .workspace = (2 * x.pieces + x.a) * (int64_t)sizeof(double) +
                                    x.pieces * x.c * nnc_dtype_size(call->in[0].dtype),
                       .cost = 20 + 2.0 * (double)nnc_shape_size(&call->in[0].shape)};
}

/* 0: r, and the sums of columns of each piece; 1: c; 2: v and the squares of u; 3: w. */
#define ADAFACTOR(suffix, type)                                                                    \
    static void rows_##suffix(nnc_call *call, const matrices *x, int64_t piece, double share)      \
    {                                                                                              \
        const nnc_kernels_##suffix *kernels = nnc_kernels->suffix;                                 \
        int64_t first = piece % x->each * x->piece_rows, last = first + x->piece_rows;             \
        int64_t row = piece / x->each * x->rows;                                                   \
        type *r = (type *)call->in[1].data + row, *columns = (type *)x->columns + piece * x->c;    \
        const type *g = (const type *)call->in[4].data + row * x->c;                               \
        last = last < x->rows ? last : x->rows;                                                    \
        for (int64_t j = 0; j < x->c; j++)                                                         \
            columns[j] = 0;                                                                        \
        for (int64_t i = first; i < last; i++) {                                                   \
            double sum = kernels->adafactor_squares(g + i * x->c, columns, x->c,                   \
                                                    call->attrs->f[1]);                            \
            r[i] = (type)((1 - share) * (double)r[i] + share * sum / (double)x->c);                \
        }                                                                                          \
        x->parts[2 * piece] = (double)kernels->sum_squares(                                        \
            (type *)call->in[0].data + (row + first) * x->c, (last - first) * x->c);               \
    }                                                                                              \
    static void columns_##suffix(nnc_call *call, const matrices *x, int64_t a, double share)       \
    {                                                                                              \
        const type *r = (const type *)call->in[1].data + a * x->rows;                              \
        type *c = (type *)call->in[2].data + a * x->c;                                             \
        type *sums = (type *)x->columns + a * x->each * x->c;                                      \
        double sum = 0;                                                                            \
        for (int64_t i = 0; i < x->rows; i++)                                                      \
            sum += (double)r[i];                                                                   \
        x->means[a] = sum / (double)x->rows;                                                       \
        if (x->each > 1)                                                                           \
            nnc_kernels->suffix->sum_rows(sums, x->each, x->c, x->c, sums);                        \
        for (int64_t j = 0; j < x->c; j++) {                                                       \
            double mean = x->each > 0 ? (double)sums[j] / (double)x->rows : (double)NAN;           \
            c[j] = (type)((1 - share) * (double)c[j] + share * mean);                              \
        }                                                                                          \
    }                                                                                              \
    static void step_##suffix(nnc_call *call, const matrices *x, int64_t piece, double rate,       \
                              bool last_phase)                                                     \
    {                                                                                              \
        const nnc_kernels_##suffix *kernels = nnc_kernels->suffix;                                 \
        int64_t a = piece / x->each, first = piece % x->each * x->piece_rows;                      \
        int64_t last = first + x->piece_rows < x->rows ? first + x->piece_rows : x->rows;          \
        int64_t at = (a * x->rows + first) * x->c;                                                 \
        type *v = (type *)call->in[3].data + at;                                                   \
        const type *r = (const type *)call->in[1].data + a * x->rows;                              \
        const type *c = (const type *)call->in[2].data + a * x->c;                                 \
        const type *g = (const type *)call->in[4].data + at;                                       \
        if (last_phase) {                                                                          \
            kernels->adafactor((type *)call->in[0].data + at, v, g, (last - first) * x->c, rate);  \
            return;                                                                                \
        }                                                                                          \
        double sum = 0;                                                                            \
        for (int64_t i = first; i < last; i++, v += x->c, g += x->c)                               \
            sum += kernels->adafactor_row(v, c, g, x->c, (double)r[i] / x->means[a]);              \
        x->parts[2 * piece + 1] = sum;                                                             \
    }
ADAFACTOR(f32, float)
ADAFACTOR(f64, double)

void nnc_op_adafactor_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    matrices x = cut(call);
    double share, rate = 0, t = adafactor_time(call, &share);
    bool single = call->in[0].dtype == NNC_F32;
    int64_t most = phase == 1 ? x.a : x.pieces;
    unsigned before = nnc_flush_begin();
    if (phase == 3)
        rate = adafactor_rate(call, x.parts, x.pieces, nnc_optimizer_number(&call->in[5]), t);
    for (int64_t i = begin; i < end && i < most; i++) {
        if (phase == 0)
            (single ? rows_f32 : rows_f64)(call, &x, i, share);
        else if (phase == 1)
            (single ? columns_f32 : columns_f64)(call, &x, i, share);
        else
            (single ? step_f32 : step_f64)(call, &x, i, rate, phase == 3);
    }
    nnc_flush_end(before);
}
