/* reduce.c - sum, mean, prod, max, min, any, all over axes; sum_to; argmax, argmin; with their
 * gradients.
 *
 * Neighbouring axes of one kind are joined; then each reduced group, last first, is one pass over
 * x seen as (a, r, b): r is summed away. A long r is cut into slices whose partial results a
 * further pass joins in order: that bounds rounding errors and gives the pool pieces. All of it
 * depends on the shape alone. float32 and float64 go through the kernels; everything else through
 * 64-bit integers: sums of integers wrap, means of integers are exact before the one division. */
#include "ops/support.h"
#include "ops/table.h"

#include <string.h>

enum {
    ROW_SLICE = 16384,    /* elements of a contiguous row that one kernel call sums */
    ROWS_SLICE = 512,     /* rows that are added one after another */
    COLUMNS = 256         /* columns of a piece, at least: 16 cache lines a row */
};

/* ---- shapes ---- */

/* mask[d]: whether dimension d is reduced. No axes: all. */
static nnc_status axes_mask(nnc_op op, const nnc_attrs *attrs, const nnc_shape *shape,
                            bool mask[NNC_MAX_RANK])
{
    nnc_status status = NNC_OK;
    for (int d = 0; d < shape->rank; d++)
        mask[d] = attrs->list_count == 0;
    for (int i = 0; i < attrs->list_count; i++) {
        int axis;
        NNC_TRY(nnc_check_axis(op, shape, attrs->list[i], &axis));
        if (mask[axis]) {
            status = nnc_fail(NNC_EVALUE, "%s: axis %lld is given twice", nnc_op_name(op),
                              (long long)attrs->list[i]);
            goto done;
        }
        mask[axis] = true;
    }
done:
    return status;
}

/* Keras: small integers are summed as 32-bit ones; the mean of integers is float32. */
static nnc_dtype result_dtype(nnc_op op, nnc_dtype dtype)
{
    if (op == NNC_OP_any || op == NNC_OP_all)
        return NNC_BOOL;
    if (op == NNC_OP_max || op == NNC_OP_min || nnc_dtype_kind(dtype) == NNC_KIND_FLOAT)
        return dtype;
    if (op == NNC_OP_mean)
        return NNC_F32;
    if (nnc_dtype_size(dtype) >= 4)
        return dtype;
    return nnc_dtype_kind(dtype) == NNC_KIND_UINT ? NNC_U32 : NNC_I32;
}

/* max, min, argmax, argmin of nothing do not exist. */
static nnc_status check_not_empty(nnc_op op, const nnc_shape *in, const nnc_shape *out)
{
    char text[NNC_SHAPE_TEXT];
    if (nnc_shape_size(in) != 0 || nnc_shape_size(out) == 0)
        return NNC_OK;
    return nnc_fail(NNC_EVALUE, "%s: cannot reduce an axis of size 0, received shape %s",
                    nnc_op_name(op), nnc_shape_text(in, text));
}

static void reduced_shape(const nnc_shape *in, const bool *mask, bool keepdims, nnc_shape *out)
{
    nnc_shape shape = {0};
    for (int d = 0; d < in->rank; d++) {
        if (!mask[d] || keepdims)
            shape.dim[shape.rank++] = mask[d] ? 1 : in->dim[d];
    }
    *out = shape;
}

nnc_status nnc_op_reduce_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                               int input_count, nnc_array *out)
{
    nnc_status status;
    bool mask[NNC_MAX_RANK];
    (void)input_count;
    if (op != NNC_OP_any && op != NNC_OP_all)
        NNC_TRY(nnc_check_number(op, in[0].dtype));
    NNC_TRY(axes_mask(op, attrs, &in[0].shape, mask));
    reduced_shape(&in[0].shape, mask, attrs->k[0] != 0, &out->shape);
    out->dtype = result_dtype(op, in[0].dtype);
    if (op == NNC_OP_max || op == NNC_OP_min)
        NNC_TRY(check_not_empty(op, &in[0].shape, &out->shape));
done:
    return status;
}

nnc_status nnc_op_sum_to_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                               int input_count, nnc_array *out)
{
    nnc_status status;
    nnc_shape both;
    char from[NNC_SHAPE_TEXT], to[NNC_SHAPE_TEXT];
    (void)input_count;
    NNC_TRY(nnc_check_real(op, in[0].dtype));
    NNC_TRY(nnc_check_shape(op, attrs, in[0].dtype, &out->shape));
    out->dtype = in[0].dtype;
    if (!nnc_shape_broadcast(&out->shape, &in[0].shape, &both) ||
        !nnc_shape_equal(&both, &in[0].shape))
        status = nnc_fail(NNC_EVALUE, "%s: shape %s does not broadcast to %s", nnc_op_name(op),
                          nnc_shape_text(&out->shape, to), nnc_shape_text(&in[0].shape, from));
done:
    return status;
}

/* ---- passes ---- */

/* x (a, r, b) becomes y (a, slices, b): an item is one slice of one block of columns. */
typedef struct {
    int64_t a, r, b;
    int64_t slice, slices, columns, blocks;
    int64_t group;      /* items of a piece */
    int64_t offset;     /* of y in the workspace, in bytes; -1: the output itself */
} pass;

typedef struct {
    pass passes[NNC_OP_PHASES];
    int count;
    int64_t workspace;
    double divisor;     /* of a mean */
} reduction;

static int64_t pass_items(const pass *p)
{
    return p->a * p->slices * p->blocks;
}

static pass new_pass(int64_t a, int64_t r, int64_t b, bool cut)
{
    int64_t most = b == 1 ? ROW_SLICE : ROWS_SLICE;
    pass p = {.a = a, .r = r, .b = b, .slice = r, .slices = 1, .offset = -1};
    if (cut && r > most) {
        p.slices = (r + most - 1) / most;
        p.slice = (r + p.slices - 1) / p.slices;
        p.slices = (r + p.slice - 1) / p.slice;
    }
    p.columns = NNC_PIECE / (p.slice > 0 ? p.slice : 1) & ~(int64_t)63;
    p.columns = p.columns > COLUMNS ? p.columns : COLUMNS;
    p.columns = p.columns < b ? p.columns : b;
    p.blocks = (b + p.columns - 1) / p.columns;
    p.group = NNC_PIECE / (p.slice > 0 ? p.slice * p.columns : p.columns);
    p.group = p.group > 0 ? p.group : 1;
    return p;
}

static bool is_real(const nnc_call *call)
{
    return nnc_dtype_kind(call->out[0].dtype) == NNC_KIND_FLOAT &&
           call->in[0].dtype == call->out[0].dtype;
}

/* Bytes of a partial result: real kinds keep theirs, the rest is 64-bit. */
static int64_t partial_size(const nnc_call *call)
{
    return is_real(call) ? nnc_dtype_size(call->out[0].dtype) : 8;
}

static void call_mask(const nnc_call *call, bool mask[NNC_MAX_RANK])
{
    const nnc_shape *in = &call->in[0].shape, *out = &call->out[0].shape;
    int missing = in->rank - out->rank;
    if (call->op != NNC_OP_sum_to) {
        axes_mask(call->op, call->attrs, in, mask);     /* infer has checked */
        return;
    }
    for (int d = 0; d < in->rank; d++)
        mask[d] = d < missing || (out->dim[d - missing] == 1 && in->dim[d] != 1);
}

static void add_pass(reduction *red, int64_t a, int64_t r, int64_t b, int later)
{
    pass p = new_pass(a, r, b, red->count + 2 + later <= NNC_OP_PHASES);
    red->passes[red->count++] = p;
    if (p.slices > 1)
        red->passes[red->count++] = new_pass(a, p.slices, b, false);
}

/* Joins the axes and lists the passes; none if the output is empty. */
static void build(const nnc_call *call, reduction *red)
{
    const nnc_shape *in = &call->in[0].shape;
    int64_t outputs = nnc_shape_size(&call->out[0].shape), n = nnc_shape_size(in);
    int64_t dim[NNC_MAX_RANK], b = 1, size = partial_size(call);
    bool mask[NNC_MAX_RANK], reduced[NNC_MAX_RANK];
    int rank = 0, groups = 0;
    *red = (reduction){.divisor = outputs > 0 ? (double)n / (double)outputs : 1.0};
    if (outputs == 0)
        return;
    call_mask(call, mask);
    for (int d = 0; d < in->rank && n > 0; d++) {
        if (in->dim[d] == 1)
            continue;
        if (rank > 0 && reduced[rank - 1] == mask[d]) {
            dim[rank - 1] *= in->dim[d];
            continue;
        }
        reduced[rank] = mask[d];
        dim[rank++] = in->dim[d];
        groups += mask[d];
    }
    if (groups == 0)
        add_pass(red, 1, n > 0, outputs, 0);
    for (int g = rank - 1; g >= 0; g--) {
        if (!reduced[g]) {
            b *= dim[g];
            continue;
        }
        int64_t a = 1;
        for (int d = 0; d < g; d++)
            a *= dim[d];
        add_pass(red, a, dim[g], b, --groups);
    }
    for (int i = 0; i < red->count; i++) {
        pass *p = &red->passes[i];
        if (i + 1 == red->count && is_real(call))
            break;
        p->offset = red->workspace;
        red->workspace += (p->a * p->slices * p->b * size + 63) & ~(int64_t)63;
    }
}

void nnc_op_reduce_plan(const nnc_call *call, nnc_work *work)
{
    reduction red;
    double n = (double)nnc_shape_size(&call->in[0].shape);
    build(call, &red);
    *work = (nnc_work){.phases = red.count > 0 ? red.count : 1, .pieces = {1},
                       .workspace = red.workspace,
                       .cost = 20.0 + n * (is_real(call) ? 0.1 : 0.6)};
    for (int i = 0; i < red.count; i++)
        work->pieces[i] = (pass_items(&red.passes[i]) + red.passes[i].group - 1) /
                          red.passes[i].group;
}

/* ---- one item ---- */

/* y[j] = over i < rows of x[i*ld + j], j < n; ld == 1: one contiguous row. */
#define REDUCE_REAL(suffix, real)                                                                  \
    static void reduce_##suffix(nnc_op op, const real *x, int64_t rows, int64_t n, int64_t ld,     \
                                real *y)                                                           \
    {                                                                                              \
        const nnc_kernels_##suffix *k = nnc_kernels->suffix;                                       \
        if (rows == 0) {    /* only sums and products get here */                                  \
            nnc_fill(y, sizeof(real) == 4 ? NNC_F32 : NNC_F64, n, op == NNC_OP_prod);              \
        } else if (ld == 1) {                                                                      \
            *y = (op == NNC_OP_prod ? k->prod : op == NNC_OP_max ? k->max :                        \
                  op == NNC_OP_min ? k->min : k->sum)(x, rows);                                    \
        } else {                                                                                   \
            (op == NNC_OP_prod ? k->prod_rows : op == NNC_OP_max ? k->max_rows :                   \
             op == NNC_OP_min ? k->min_rows : k->sum_rows)(x, rows, n, ld, y);                     \
        }                                                                                          \
    }
REDUCE_REAL(f32, float)
REDUCE_REAL(f64, double)

/* The same over integers, s being what there is so far and v the next. */
#define REDUCE_LOOP(type, start, next)                                                             \
    do {                                                                                           \
        if (ld == 1) {                                                                             \
            wide s = (start);                                                                      \
            for (int64_t i = 0; i < rows; i++) {                                                   \
                wide v = (wide)x[i];                                                               \
                s = (wide)(next);                                                                  \
            }                                                                                      \
            *y = s;                                                                                \
            break;                                                                                 \
        }                                                                                          \
        for (int64_t j = 0; j < n; j++)                                                            \
            y[j] = (start);                                                                        \
        for (int64_t i = 0; i < rows; i++) {                                                       \
            for (int64_t j = 0; j < n; j++) {                                                      \
                wide s = y[j], v = (wide)x[i * ld + j];                                            \
                y[j] = (wide)(next);                                                               \
            }                                                                                      \
        }                                                                                          \
    } while (0)

#define REDUCE_INTEGER(type, wide_type, low, high)                                                 \
    static void reduce_##type(nnc_op op, const type *x, int64_t rows, int64_t n, int64_t ld,       \
                              void *target)                                                        \
    {                                                                                              \
        typedef wide_type wide;                                                                    \
        wide *y = target;                                                                          \
        switch (op) {                                                                              \
        case NNC_OP_prod: REDUCE_LOOP(type, 1, (uint64_t)s * (uint64_t)v); break;                  \
        case NNC_OP_max: REDUCE_LOOP(type, low, s > v ? s : v); break;                             \
        case NNC_OP_min: REDUCE_LOOP(type, high, s < v ? s : v); break;                            \
        default: REDUCE_LOOP(type, 0, (uint64_t)s + (uint64_t)v); break;                           \
        }                                                                                          \
    }
REDUCE_INTEGER(uint8_t, int64_t, INT64_MIN, INT64_MAX)
REDUCE_INTEGER(uint16_t, int64_t, INT64_MIN, INT64_MAX)
REDUCE_INTEGER(uint32_t, int64_t, INT64_MIN, INT64_MAX)
REDUCE_INTEGER(uint64_t, uint64_t, 0, UINT64_MAX)
REDUCE_INTEGER(int8_t, int64_t, INT64_MIN, INT64_MAX)
REDUCE_INTEGER(int16_t, int64_t, INT64_MIN, INT64_MAX)
REDUCE_INTEGER(int32_t, int64_t, INT64_MIN, INT64_MAX)
REDUCE_INTEGER(int64_t, int64_t, INT64_MIN, INT64_MAX)

/* any, all: an element is true if a bit under `truth` is set (a float's sign bit does not
 * count). */
#define REDUCE_TRUTH(type)                                                                         \
    static void truth_##type(nnc_op op, const type *x, int64_t rows, int64_t n, int64_t ld,        \
                             uint64_t truth, uint64_t *y)                                          \
    {                                                                                              \
        typedef uint64_t wide;                                                                     \
        if (op == NNC_OP_any)                                                                      \
            REDUCE_LOOP(type, 0, s | ((v & truth) != 0));                                          \
        else                                                                                       \
            REDUCE_LOOP(type, 1, s & ((v & truth) != 0));                                          \
    }
REDUCE_TRUTH(uint8_t)
REDUCE_TRUTH(uint16_t)
REDUCE_TRUTH(uint32_t)
REDUCE_TRUTH(uint64_t)

static void reduce_truth(nnc_op op, nnc_dtype dtype, const char *x, int64_t rows, int64_t n,
                         int64_t ld, uint64_t *y)
{
    const void *place = x;
    int64_t size = nnc_dtype_size(dtype);
    uint64_t truth = UINT64_MAX;
    if (nnc_dtype_kind(dtype) == NNC_KIND_FLOAT)
        truth = (UINT64_MAX >> (64 - 8 * size)) >> 1;
    if (size == 1)
        truth_uint8_t(op, place, rows, n, ld, truth, y);
    else if (size == 2)
        truth_uint16_t(op, place, rows, n, ld, truth, y);
    else if (size == 4)
        truth_uint32_t(op, place, rows, n, ld, truth, y);
    else
        truth_uint64_t(op, place, rows, n, ld, truth, y);
}

static void reduce_item(nnc_op op, nnc_dtype dtype, const void *x, int64_t rows, int64_t n,
                        int64_t ld, void *y)
{
    if (op == NNC_OP_any || op == NNC_OP_all) {
        reduce_truth(op, dtype, x, rows, n, ld, y);
        return;
    }
    switch (dtype) {
    case NNC_F32: reduce_f32(op, x, rows, n, ld, y); break;
    case NNC_F64: reduce_f64(op, x, rows, n, ld, y); break;
    case NNC_BOOL:
    case NNC_U8: reduce_uint8_t(op, x, rows, n, ld, y); break;
    case NNC_U16: reduce_uint16_t(op, x, rows, n, ld, y); break;
    case NNC_U32: reduce_uint32_t(op, x, rows, n, ld, y); break;
    case NNC_U64: reduce_uint64_t(op, x, rows, n, ld, y); break;
    case NNC_I8: reduce_int8_t(op, x, rows, n, ld, y); break;
    case NNC_I16: reduce_int16_t(op, x, rows, n, ld, y); break;
    case NNC_I32: reduce_int32_t(op, x, rows, n, ld, y); break;
    case NNC_I64: reduce_int64_t(op, x, rows, n, ld, y); break;
    default: break;     /* reduce_infer lets no other dtype through */
    }
}

/* ---- the last step: to the output's dtype ---- */

#define NARROW(type)                                                                               \
    do {                                                                                           \
        type *y = (type *)call->out[0].data + first;                                               \
        for (int64_t j = 0; j < n; j++)                                                            \
            y[j] = (type)partial[j];                                                               \
    } while (0)

/* Outputs first..first+n-1 from 64-bit partials; integers keep their low bits. */
static void finish_wide(nnc_call *call, const uint64_t *partial, int64_t first, int64_t n,
                        double divisor)
{
    if (call->op == NNC_OP_mean) {
        float *y = (float *)call->out[0].data + first;
        for (int64_t j = 0; j < n; j++)
            y[j] = call->in[0].dtype == NNC_U64 ? (float)((double)partial[j] / divisor)
                                                : (float)((double)(int64_t)partial[j] / divisor);
        return;
    }
    switch (nnc_dtype_size(call->out[0].dtype)) {
    case 1: NARROW(uint8_t); break;
    case 2: NARROW(uint16_t); break;
    case 4: NARROW(uint32_t); break;
    default: NARROW(uint64_t);
    }
}

static void finish_mean(nnc_call *call, int64_t first, int64_t n, double divisor)
{
    if (call->out[0].dtype == NNC_F32) {
        float *y = (float *)call->out[0].data + first, by = (float)divisor;
        for (int64_t j = 0; j < n; j++)
            y[j] /= by;
    } else {
        double *y = (double *)call->out[0].data + first;
        for (int64_t j = 0; j < n; j++)
            y[j] /= divisor;
    }
}

void nnc_op_reduce_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    reduction red;
    int64_t count, size = partial_size(call);
    build(call, &red);
    if (red.count == 0)
        return;
    const pass *p = &red.passes[phase];
    bool last = phase + 1 == red.count;
    nnc_dtype dtype = phase == 0 || is_real(call) ? call->in[0].dtype :
                      call->in[0].dtype == NNC_U64 ? NNC_U64 : NNC_I64;
    const char *x = phase == 0 ? call->in[0].data
                               : (char *)call->workspace + red.passes[phase - 1].offset;
    char *y = p->offset < 0 ? call->out[0].data : (char *)call->workspace + p->offset;
    int64_t item = nnc_piece_range(pass_items(p), p->group, begin, end, &count);
    for (int64_t stop = item + count; item < stop; item++) {
        int64_t i = item, s = 0, c = 0;
        if (p->slices * p->blocks > 1) {
            c = item % p->blocks * p->columns;
            s = item / p->blocks % p->slices;
            i = item / (p->blocks * p->slices);
        }
        int64_t rows = p->slice < p->r - s * p->slice ? p->slice : p->r - s * p->slice;
        int64_t n = p->columns < p->b - c ? p->columns : p->b - c;
        int64_t from = (i * p->r + s * p->slice) * p->b + c, to = (i * p->slices + s) * p->b + c;
        reduce_item(call->op, dtype, x + from * nnc_dtype_size(dtype), rows, n, p->b,
                    y + to * size);
        if (last && !is_real(call))
            finish_wide(call, (uint64_t *)(void *)(y + to * 8), to, n, red.divisor);
        else if (last && call->op == NNC_OP_mean)
            finish_mean(call, to, n, red.divisor);
    }
}

/* ---- argmax, argmin: int32, over one axis ---- */

static pass arg_pass(const nnc_shape *shape, int axis)
{
    return new_pass(nnc_dims_product(shape, 0, axis), shape->dim[axis],
                    nnc_dims_product(shape, axis + 1, shape->rank), false);
}

nnc_status nnc_op_argreduce_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                  int input_count, nnc_array *out)
{
    nnc_status status;
    bool mask[NNC_MAX_RANK] = {false};
    int axis;
    (void)input_count;
    NNC_TRY(nnc_check_number(op, in[0].dtype));
    NNC_TRY(nnc_check_axis(op, &in[0].shape, attrs->k[0], &axis));
    mask[axis] = true;
    reduced_shape(&in[0].shape, mask, attrs->k[1] != 0, &out->shape);
    out->dtype = NNC_I32;
    NNC_TRY(check_not_empty(op, &in[0].shape, &out->shape));
    if (in[0].shape.dim[axis] > INT32_MAX)
        status = nnc_fail(NNC_EVALUE, "%s: axis %d has %lld elements, more than int32 can count",
                          nnc_op_name(op), axis, (long long)in[0].shape.dim[axis]);
done:
    return status;
}

static int call_axis(const nnc_call *call)
{
    int64_t axis = call->attrs->k[0];
    return (int)(axis < 0 ? axis + call->in[0].shape.rank : axis);
}

void nnc_op_argreduce_plan(const nnc_call *call, nnc_work *work)
{
    int64_t n = nnc_shape_size(&call->in[0].shape);
    *work = (nnc_work){.phases = 1, .pieces = {1}, .cost = 20.0 + 0.3 * (double)n};
    if (n == 0)
        return;
    pass p = arg_pass(&call->in[0].shape, call_axis(call));
    work->pieces[0] = (pass_items(&p) + p.group - 1) / p.group;
}

/* y[j]: the row of the first best x[row*ld + j]; the first NaN is best. Without branches: the best
 * so far stand beside their rows. */
#define ARG_LOOP(type, better)                                                                     \
    do {                                                                                           \
        for (int64_t i = 1; i < rows; i++) {                                                       \
            const type *row = x + i * ld + from;                                                   \
            for (int64_t j = 0; j < count; j++) {                                                  \
                int take = (row[j] better best[j]) | ((row[j] != row[j]) & (best[j] == best[j]));  \
                best[j] = take ? row[j] : best[j];                                                 \
                at[j] = take ? (int32_t)i : at[j];                                                 \
            }                                                                                      \
        }                                                                                          \
    } while (0)

#define ARG_PLAIN(type)                                                                            \
    static void arg_##type(bool largest, const type *x, int64_t rows, int64_t n, int64_t ld,       \
                           int32_t *y)                                                             \
    {                                                                                              \
        type best[COLUMNS];                                                                        \
        int32_t at[COLUMNS];                                                                       \
        for (int64_t from = 0; from < n; from += COLUMNS) {                                        \
            int64_t count = n - from < COLUMNS ? n - from : COLUMNS;                               \
            memcpy(best, x + from, (size_t)count * sizeof(type));                                  \
            memset(at, 0, sizeof at);                                                              \
            if (largest)                                                                           \
                ARG_LOOP(type, >);                                                                 \
            else                                                                                   \
                ARG_LOOP(type, <);                                                                 \
            memcpy(y + from, at, (size_t)count * sizeof *at);                                      \
        }                                                                                          \
    }
ARG_PLAIN(float)
ARG_PLAIN(double)
ARG_PLAIN(uint8_t)
ARG_PLAIN(uint16_t)
ARG_PLAIN(uint32_t)
ARG_PLAIN(uint64_t)
ARG_PLAIN(int8_t)
ARG_PLAIN(int16_t)
ARG_PLAIN(int32_t)
ARG_PLAIN(int64_t)

static void arg_item(nnc_dtype dtype, bool largest, const void *x, int64_t rows, int64_t n,
                     int64_t ld, int32_t *y)
{
    const nnc_kernels_f32 *f32 = nnc_kernels->f32;
    const nnc_kernels_f64 *f64 = nnc_kernels->f64;
    switch (dtype) {
    case NNC_F32:
        if (ld == 1)
            *y = (int32_t)(largest ? f32->argmax : f32->argmin)(x, rows);
        else
            arg_float(largest, x, rows, n, ld, y);
        break;
    case NNC_F64:
        if (ld == 1)
            *y = (int32_t)(largest ? f64->argmax : f64->argmin)(x, rows);
        else
            arg_double(largest, x, rows, n, ld, y);
        break;
    case NNC_BOOL:
    case NNC_U8: arg_uint8_t(largest, x, rows, n, ld, y); break;
    case NNC_U16: arg_uint16_t(largest, x, rows, n, ld, y); break;
    case NNC_U32: arg_uint32_t(largest, x, rows, n, ld, y); break;
    case NNC_U64: arg_uint64_t(largest, x, rows, n, ld, y); break;
    case NNC_I8: arg_int8_t(largest, x, rows, n, ld, y); break;
    case NNC_I16: arg_int16_t(largest, x, rows, n, ld, y); break;
    case NNC_I32: arg_int32_t(largest, x, rows, n, ld, y); break;
    case NNC_I64: arg_int64_t(largest, x, rows, n, ld, y); break;
    default: break;     /* argreduce_infer lets no other dtype through */
    }
}

void nnc_op_argreduce_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const nnc_array *x = &call->in[0];
    int64_t size = nnc_dtype_size(x->dtype), count;
    (void)phase;
    if (nnc_shape_size(&x->shape) == 0)
        return;
    pass p = arg_pass(&x->shape, call_axis(call));
    int64_t item = nnc_piece_range(pass_items(&p), p.group, begin, end, &count);
    for (int64_t stop = item + count; item < stop; item++) {
        int64_t i = item / p.blocks, c = item % p.blocks * p.columns;
        int64_t n = p.columns < p.b - c ? p.columns : p.b - c;
        arg_item(x->dtype, call->op == NNC_OP_argmax,
                 (const char *)x->data + (i * p.r * p.b + c) * size, p.r, n, p.b,
                 (int32_t *)call->out[0].data + i * p.b + c);
    }
}

/* ---- gradients ---- */

/* A value of the node's output shape, with the reduced axes back as ones. */
static nnc_status emit_kept(nnc_graph *graph, int node, int value, int *out)
{
    nnc_status status;
    bool mask[NNC_MAX_RANK];
    nnc_shape kept, shape = nnc_value_array(graph, graph->nodes[node].inputs[0]).shape;
    NNC_TRY(axes_mask(graph->nodes[node].op, &graph->nodes[node].attrs, &shape, mask));
    reduced_shape(&shape, mask, true, &kept);
    NNC_TRY(nnc_emit_reshape(graph, value, &kept, out));
done:
    return status;
}

/* dx = dy, everywhere */
nnc_status nnc_op_sum_gradient(nnc_graph *graph, int node, const int *dy, const bool *need, int *dx)
{
    nnc_status status = NNC_OK;
    nnc_shape shape = nnc_value_array(graph, graph->nodes[node].inputs[0]).shape;
    int kept;
    if (!need[0])
        return NNC_OK;
    NNC_TRY(emit_kept(graph, node, dy[0], &kept));
    NNC_TRY(nnc_emit_broadcast(graph, kept, &shape, &dx[0]));
done:
    return status;
}

/* dx = dy / count */
nnc_status nnc_op_mean_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                int *dx)
{
    nnc_status status = NNC_OK;
    nnc_shape shape = nnc_value_array(graph, graph->nodes[node].inputs[0]).shape;
    nnc_shape small = nnc_value_array(graph, dy[0]).shape;
    double n = (double)nnc_shape_size(&shape), outputs = (double)nnc_shape_size(&small);
    int kept, part;
    if (!need[0] || nnc_value_array(graph, graph->nodes[node].inputs[0]).dtype !=
                    nnc_value_array(graph, dy[0]).dtype)
        return NNC_OK;      /* the mean of integers has no gradient */
    NNC_TRY(emit_kept(graph, node, dy[0], &kept));
    NNC_TRY(nnc_emit_with(graph, NNC_OP_divide, kept, outputs > 0 ? n / outputs : 1.0, &part));
    NNC_TRY(nnc_emit_broadcast(graph, part, &shape, &dx[0]));
done:
    return status;
}

/* dx = dy * (product of the others). With p the product of the factors that are not 0:
 * no zero among them: p / x; one zero: p at its place, 0 elsewhere; more: 0.
 * The second derivative that follows is right where no factor is 0. */
nnc_status nnc_op_prod_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                int *dx)
{
    nnc_status status = NNC_OK;
    int x = graph->nodes[node].inputs[0];
    nnc_dtype dtype = nnc_value_array(graph, x).dtype;
    nnc_attrs over = graph->nodes[node].attrs;
    int zero, one, is_zero, count, safe, product, none, single, ratio, lone, others, kept;
    if (!need[0])
        return NNC_OK;
    over.k[0] = 1;
    NNC_TRY(nnc_emit_scalar(graph, 0.0, dtype, &zero));
    NNC_TRY(nnc_emit_scalar(graph, 1.0, dtype, &one));
    NNC_TRY(nnc_emit2(graph, NNC_OP_equal, NULL, x, zero, &is_zero));
    NNC_TRY(nnc_emit_cast(graph, is_zero, dtype, &count));
    NNC_TRY(nnc_emit1(graph, NNC_OP_sum, &over, count, &count));
    NNC_TRY(nnc_emit3(graph, NNC_OP_where, NULL, is_zero, one, x, &safe));
    NNC_TRY(nnc_emit1(graph, NNC_OP_prod, &over, safe, &product));
    NNC_TRY(nnc_emit2(graph, NNC_OP_equal, NULL, count, zero, &none));
    NNC_TRY(nnc_emit2(graph, NNC_OP_equal, NULL, count, one, &single));
    NNC_TRY(nnc_emit2(graph, NNC_OP_divide, NULL, product, safe, &ratio));
    NNC_TRY(nnc_emit3(graph, NNC_OP_where, NULL, none, ratio, zero, &ratio));
    NNC_TRY(nnc_emit3(graph, NNC_OP_where, NULL, single, product, zero, &lone));
    NNC_TRY(nnc_emit3(graph, NNC_OP_where, NULL, is_zero, lone, ratio, &others));
    NNC_TRY(emit_kept(graph, node, dy[0], &kept));
    NNC_TRY(nnc_emit2(graph, NNC_OP_multiply, NULL, others, kept, &dx[0]));
done:
    return status;
}

/* dx = dy at the places of the extremum, shared equally among ties (as TensorFlow does). */
nnc_status nnc_op_extremum_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                    int *dx)
{
    nnc_status status = NNC_OK;
    int x = graph->nodes[node].inputs[0], y = graph->nodes[node].outputs[0];
    nnc_dtype dtype = nnc_value_array(graph, x).dtype;
    nnc_attrs over = graph->nodes[node].attrs;
    int kept, hit, count;
    if (!need[0])
        return NNC_OK;
    over.k[0] = 1;
    NNC_TRY(emit_kept(graph, node, y, &y));
    NNC_TRY(nnc_emit2(graph, NNC_OP_equal, NULL, x, y, &hit));
    NNC_TRY(nnc_emit_cast(graph, hit, dtype, &hit));
    NNC_TRY(nnc_emit1(graph, NNC_OP_sum, &over, hit, &count));
    NNC_TRY(nnc_emit2(graph, NNC_OP_divide, NULL, hit, count, &hit));
    NNC_TRY(emit_kept(graph, node, dy[0], &kept));
    NNC_TRY(nnc_emit2(graph, NNC_OP_multiply, NULL, hit, kept, &dx[0]));
done:
    return status;
}

/* dx = dy, broadcast again */
nnc_status nnc_op_sum_to_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                  int *dx)
{
    nnc_shape shape = nnc_value_array(graph, graph->nodes[node].inputs[0]).shape;
    return need[0] ? nnc_emit_broadcast(graph, dy[0], &shape, &dx[0]) : NNC_OK;
}
