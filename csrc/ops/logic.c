/* logic.c - comparisons, logic, tests for NaN and infinity, where, cast.
 *
 * Comparisons give bool (bytes 0 and 1) and stop gradients. float32 and float64 are compared by the
 * kernels, integers and bool by the plain loops here. where and cast are differentiable. */
#include "ops/support.h"
#include "ops/table.h"

#include <string.h>

static nnc_status broadcast_infer(nnc_op op, const nnc_array *a, const nnc_array *b, nnc_shape *out)
{
    char first[NNC_SHAPE_TEXT], second[NNC_SHAPE_TEXT];
    if (nnc_shape_broadcast(&a->shape, &b->shape, out))
        return NNC_OK;
    return nnc_fail(NNC_EVALUE, "%s: shapes %s and %s do not broadcast", nnc_op_name(op),
                    nnc_shape_text(&a->shape, first), nnc_shape_text(&b->shape, second));
}

static int64_t size_of(const nnc_array *array)
{
    return nnc_shape_size(&array->shape);
}

/* ---- comparisons ---- */

static const nnc_op compare_ops[] = {
#define COMPARE(name, ...) NNC_OP_##name,
#include "ops/compare.def"
#undef COMPARE
};

nnc_status nnc_op_compare_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                int input_count, nnc_array *out)
{
    nnc_status status;
    (void)attrs, (void)input_count;
    NNC_TRY(nnc_check_number(op, in[0].dtype));
    NNC_TRY(nnc_check_same_dtype(op, &in[0], &in[1]));
    NNC_TRY(broadcast_infer(op, &in[0], &in[1], &out->shape));
    out->dtype = NNC_BOOL;
done:
    return status;
}

void nnc_op_compare_plan(const nnc_call *call, nnc_work *work)
{
    nnc_plan_elements(work, size_of(&call->out[0]), 0.3);
}

#define COMPARE_LOOP(expression)                                                                   \
    do {                                                                                           \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i] = a[i * sa] expression b[i * sb];                                                 \
    } while (0)

/* y[i] = a[i*sa] op b[i*sb] for a type without kernels */
#define COMPARE_PLAIN(type)                                                                        \
    static void compare_##type(nnc_op op, const type *a, int64_t sa, const type *b, int64_t sb,    \
                               uint8_t *y, int64_t n)                                              \
    {                                                                                              \
        switch (op) {                                                                              \
        case NNC_OP_equal: COMPARE_LOOP(==); break;                                                \
        case NNC_OP_not_equal: COMPARE_LOOP(!=); break;                                            \
        case NNC_OP_less: COMPARE_LOOP(<); break;                                                  \
        case NNC_OP_less_equal: COMPARE_LOOP(<=); break;                                           \
        case NNC_OP_greater: COMPARE_LOOP(>); break;                                               \
        default: COMPARE_LOOP(>=); break;                                                          \
        }                                                                                          \
    }
COMPARE_PLAIN(uint8_t)
COMPARE_PLAIN(uint16_t)
COMPARE_PLAIN(uint32_t)
COMPARE_PLAIN(uint64_t)
COMPARE_PLAIN(int8_t)
COMPARE_PLAIN(int16_t)
COMPARE_PLAIN(int32_t)
COMPARE_PLAIN(int64_t)

#define COMPARE_CASE(tag, type)                                                                    \
    case NNC_##tag:                                                                                \
        compare_##type(call->op, (const type *)a->data + w->at[0], w->step[0],                     \
                       (const type *)b->data + w->at[1], w->step[1], y, n);                        \
        break

static void compare_half(const nnc_call *call, int row, const nnc_walk *w, uint8_t *y,
                         int64_t count)
{
    float a[NNC_BLOCK], b[NNC_BLOCK];
    int form = nnc_walk_form(w);
    nnc_widen(&call->in[0], w->at[0], a, 1);
    nnc_widen(&call->in[1], w->at[1], b, 1);
    for (int64_t done = 0, n; done < count; done += n) {
        n = count - done < NNC_BLOCK ? count - done : NNC_BLOCK;
        if (form != NNC_SV)
            nnc_widen(&call->in[0], w->at[0] + w->step[0] * done, a, n);
        if (form != NNC_VS)
            nnc_widen(&call->in[1], w->at[1] + w->step[1] * done, b, n);
        nnc_kernels->f32->compare[row][form](a, b, y + done, n);
    }
}

static void compare_row(nnc_call *call, const nnc_walk *w, uint8_t *y, int64_t n)
{
    const nnc_array *a = &call->in[0], *b = &call->in[1];
    int row = (int)call->op - (int)compare_ops[0], form = nnc_walk_form(w);
    switch (a->dtype) {
    case NNC_F32:
        nnc_kernels->f32->compare[row][form]((const float *)a->data + w->at[0],
                                             (const float *)b->data + w->at[1], y, n);
        break;
    case NNC_F64:
        nnc_kernels->f64->compare[row][form]((const double *)a->data + w->at[0],
                                             (const double *)b->data + w->at[1], y, n);
        break;
    case NNC_F16:
    case NNC_BF16:
        compare_half(call, row, w, y, n);
        break;
    COMPARE_CASE(BOOL, uint8_t);
    COMPARE_CASE(U8, uint8_t);
    COMPARE_CASE(U16, uint16_t);
    COMPARE_CASE(U32, uint32_t);
    COMPARE_CASE(U64, uint64_t);
    COMPARE_CASE(I8, int8_t);
    COMPARE_CASE(I16, int16_t);
    COMPARE_CASE(I32, int32_t);
    COMPARE_CASE(I64, int64_t);
    default:    /* compare_infer lets no other dtype through */
        break;
    }
}

void nnc_op_compare_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    nnc_walk walk;
    int64_t count, first = nnc_piece_range(size_of(&call->out[0]), NNC_PIECE, begin, end, &count);
    (void)phase;
    nnc_walk_broadcast(&walk, &call->out[0].shape, call->in, 2);
    nnc_walk_seek(&walk, first, count);
    for (int64_t n; (n = nnc_walk_next(&walk)) > 0;)
        compare_row(call, &walk, (uint8_t *)call->out[0].data + walk.done - n, n);
}

/* ---- logic: bool in, bool out ---- */

static nnc_status check_bool(nnc_op op, const nnc_array *array)
{
    if (array->dtype == NNC_BOOL)
        return NNC_OK;
    return nnc_fail(NNC_ETYPE, "%s: expected dtype bool, received %s", nnc_op_name(op),
                    nnc_dtype_name(array->dtype));
}

nnc_status nnc_op_logical_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                int input_count, nnc_array *out)
{
    nnc_status status;
    (void)attrs, (void)input_count;
    NNC_TRY(check_bool(op, &in[0]));
    NNC_TRY(check_bool(op, &in[1]));
    NNC_TRY(broadcast_infer(op, &in[0], &in[1], &out->shape));
    out->dtype = NNC_BOOL;
done:
    return status;
}

void nnc_op_logical_plan(const nnc_call *call, nnc_work *work)
{
    nnc_plan_elements(work, size_of(&call->out[0]), 0.3);
}

void nnc_op_logical_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    nnc_walk walk;
    int64_t count, first = nnc_piece_range(size_of(&call->out[0]), NNC_PIECE, begin, end, &count);
    (void)phase;
    nnc_walk_broadcast(&walk, &call->out[0].shape, call->in, 2);
    nnc_walk_seek(&walk, first, count);
    for (int64_t n; (n = nnc_walk_next(&walk)) > 0;) {
        const uint8_t *a = (const uint8_t *)call->in[0].data + walk.at[0];
        const uint8_t *b = (const uint8_t *)call->in[1].data + walk.at[1];
        uint8_t *y = (uint8_t *)call->out[0].data + walk.done - n;
        int64_t sa = walk.step[0], sb = walk.step[1];
        if (call->op == NNC_OP_logical_and)
            COMPARE_LOOP(&);
        else if (call->op == NNC_OP_logical_or)
            COMPARE_LOOP(|);
        else
            COMPARE_LOOP(^);
    }
}

nnc_status nnc_op_logical_not_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                    int input_count, nnc_array *out)
{
    (void)attrs, (void)input_count;
    *out = in[0];
    return check_bool(op, &in[0]);
}

void nnc_op_logical_not_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const uint8_t *x = call->in[0].data;
    uint8_t *y = call->out[0].data;
    int64_t count, first = nnc_piece_range(size_of(&call->out[0]), NNC_PIECE, begin, end, &count);
    (void)phase;
    for (int64_t i = first; i < first + count; i++)
        y[i] = !x[i];
}

/* ---- isnan, isinf, isfinite: any dtype; integers are finite ---- */

nnc_status nnc_op_float_test_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                   int input_count, nnc_array *out)
{
    (void)op, (void)attrs, (void)input_count;
    out->dtype = NNC_BOOL;
    out->shape = in[0].shape;
    return NNC_OK;
}

/* By the bits without the sign: above `infinity` is NaN, below is finite. */
#define FLOAT_TEST(type, infinity)                                                                 \
    do {                                                                                           \
        const type *x = (const type *)call->in[0].data + first;                                    \
        for (int64_t i = 0; i < n; i++) {                                                          \
            type bits = (type)(x[i] & ((type)~(type)0 >> 1));                                      \
            y[i] = test == NNC_OP_isnan ? bits > (infinity) :                                      \
                   test == NNC_OP_isinf ? bits == (infinity) : bits < (infinity);                  \
        }                                                                                          \
    } while (0)

void nnc_op_float_test_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    int64_t n, first = nnc_piece_range(size_of(&call->out[0]), NNC_PIECE, begin, end, &n);
    uint8_t *y = (uint8_t *)call->out[0].data + first;
    nnc_op test = call->op;
    (void)phase;
    if (n <= 0)
        return;
    switch (call->in[0].dtype) {
    case NNC_F16:
        FLOAT_TEST(uint16_t, 0x7c00);
        break;
    case NNC_BF16:
        FLOAT_TEST(uint16_t, 0x7f80);
        break;
    case NNC_F32:
        FLOAT_TEST(uint32_t, 0x7f800000u);
        break;
    case NNC_F64:
        FLOAT_TEST(uint64_t, 0x7ff0000000000000u);
        break;
    default:
        memset(y, test == NNC_OP_isfinite, (size_t)n);
    }
}

/* ---- where(condition, a, b): any dtype, by element size ---- */

nnc_status nnc_op_where_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                              int input_count, nnc_array *out)
{
    nnc_status status;
    nnc_array both;
    (void)attrs, (void)input_count;
    NNC_TRY(check_bool(op, &in[0]));
    NNC_TRY(nnc_check_same_dtype(op, &in[1], &in[2]));
    both.dtype = out->dtype = in[1].dtype;
    NNC_TRY(broadcast_infer(op, &in[1], &in[2], &both.shape));
    NNC_TRY(broadcast_infer(op, &in[0], &both, &out->shape));
done:
    return status;
}

void nnc_op_where_plan(const nnc_call *call, nnc_work *work)
{
    nnc_plan_elements(work, size_of(&call->out[0]), 0.4);
}

#define WHERE_LOOP(type)                                                                           \
    do {                                                                                           \
        const type *a = (const type *)call->in[1].data + w->at[1];                                 \
        const type *b = (const type *)call->in[2].data + w->at[2];                                 \
        type *y = (type *)call->out[0].data + w->done - n;                                         \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i] = c[i * sc] ? a[i * sa] : b[i * sb];                                              \
    } while (0)

/* The kernel takes three vectors: one number is first repeated over a chunk. */
#define WHERE_KERNEL(suffix, real)                                                                 \
    do {                                                                                           \
        enum { CHUNK = 512 };                                                                      \
        const real *a = (const real *)call->in[1].data + w->at[1];                                 \
        const real *b = (const real *)call->in[2].data + w->at[2];                                 \
        real *y = (real *)call->out[0].data + w->done - n, as[CHUNK], bs[CHUNK];                   \
        for (int64_t i = 0; i < CHUNK && i < n && sa == 0; i++)                                    \
            as[i] = *a;                                                                            \
        for (int64_t i = 0; i < CHUNK && i < n && sb == 0; i++)                                    \
            bs[i] = *b;                                                                            \
        for (int64_t i = 0; i < n; i += CHUNK)                                                     \
            nnc_kernels->suffix->select(c + i, sa == 0 ? as : a + i, sb == 0 ? bs : b + i, y + i,  \
                                        n - i < CHUNK ? n - i : CHUNK);                            \
    } while (0)

static void where_row(const nnc_call *call, const nnc_walk *w, int64_t n)
{
    const uint8_t *c = (const uint8_t *)call->in[0].data + w->at[0];
    int64_t sc = w->step[0], sa = w->step[1], sb = w->step[2];
    if (sc == 1 && call->out[0].dtype == NNC_F32) {
        WHERE_KERNEL(f32, float);
        return;
    }
    if (sc == 1 && call->out[0].dtype == NNC_F64) {
        WHERE_KERNEL(f64, double);
        return;
    }
    switch (nnc_dtype_size(call->out[0].dtype)) {
    case 1:
        WHERE_LOOP(uint8_t);
        break;
    case 2:
        WHERE_LOOP(uint16_t);
        break;
    case 4:
        WHERE_LOOP(uint32_t);
        break;
    default:
        WHERE_LOOP(uint64_t);
    }
}

void nnc_op_where_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    nnc_walk walk;
    int64_t count, first = nnc_piece_range(size_of(&call->out[0]), NNC_PIECE, begin, end, &count);
    (void)phase;
    nnc_walk_broadcast(&walk, &call->out[0].shape, call->in, 3);
    nnc_walk_seek(&walk, first, count);
    for (int64_t n; (n = nnc_walk_next(&walk)) > 0;)
        where_row(call, &walk, n);
}

/* da = where(c, dy, 0), db = where(c, 0, dy), each summed back to its shape. */
nnc_status nnc_op_where_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                 int *dx)
{
    nnc_status status;
    int zero, condition = graph->nodes[node].inputs[0];
    int in[2] = {graph->nodes[node].inputs[1], graph->nodes[node].inputs[2]};
    NNC_TRY(nnc_emit_scalar(graph, 0.0, nnc_value_array(graph, dy[0]).dtype, &zero));
    for (int k = 0; k < 2; k++) {
        nnc_shape shape = nnc_value_array(graph, in[k]).shape;
        int part;
        if (!need[k + 1])
            continue;
        NNC_TRY(nnc_emit3(graph, NNC_OP_where, NULL, condition, k == 0 ? dy[0] : zero,
                          k == 0 ? zero : dy[0], &part));
        NNC_TRY(nnc_emit_sum_to(graph, part, &shape, &dx[k + 1]));
    }
done:
    return status;
}

/* ---- cast ---- */

nnc_status nnc_op_cast_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                             int input_count, nnc_array *out)
{
    (void)input_count;
    if ((int)attrs->dtype < 0 || attrs->dtype >= NNC_DTYPE_COUNT)
        return nnc_fail(NNC_ETYPE, "%s: unknown dtype %d", nnc_op_name(op), (int)attrs->dtype);
    if (in[0].dtype == NNC_C64 && attrs->dtype != NNC_C64 && attrs->dtype != NNC_BOOL)
        return nnc_fail(NNC_ETYPE, "%s: complex64 as %s would lose the imaginary part; take the "
                        "real part or the absolute value", nnc_op_name(op),
                        nnc_dtype_name(attrs->dtype));
    out->dtype = attrs->dtype;
    out->shape = in[0].shape;
    return NNC_OK;
}

void nnc_op_cast_plan(const nnc_call *call, nnc_work *work)
{
    nnc_plan_elements(work, size_of(&call->out[0]), 0.5);
}

/* `count` numbers at x, those of y from element `first` on. */
static void cast_run(const nnc_call *call, const char *x, int64_t first, int64_t count)
{
    const nnc_array *in = &call->in[0], *y = &call->out[0];
    if (call->op != NNC_OP_cast)
        nnc_kernels->half->round[call->op == NNC_OP_round_bf16 ? NNC_HALF_BF16 : NNC_HALF_F16](
            (const float *)(const void *)x, (float *)y->data + first, count);
    else if (in->dtype == NNC_F32 && nnc_is_half(y))
        nnc_narrow((const float *)(const void *)x, y, first, count);
    else
        nnc_convert(x, in->dtype, (char *)y->data + first * nnc_dtype_size(y->dtype), y->dtype,
                    count);
}

nnc_status nnc_op_round_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                              int input_count, nnc_array *out)
{
    (void)attrs, (void)input_count;
    *out = in[0];
    if (in[0].dtype != NNC_F32)
        return nnc_fail(NNC_ETYPE, "%s: expected float32, received %s", nnc_op_name(op),
                        nnc_dtype_name(in[0].dtype));
    return NNC_OK;
}

void nnc_op_cast_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const nnc_array *x = &call->in[0], *y = &call->out[0];
    int64_t size = nnc_dtype_size(x->dtype), columns = call->rows != NULL ? x->shape.dim[1] : 0;
    int64_t count, first = nnc_piece_range(size_of(y), NNC_PIECE, begin, end, &count);
    (void)phase;
    if (call->rows == NULL && nnc_is_half(x) && y->dtype == NNC_F32)
        nnc_widen(x, first, (float *)y->data + first, count);
    else if (call->rows == NULL)
        cast_run(call, (const char *)x->data + first * size, first, count);
    for (int64_t n; columns > 0 && count > 0; first += n, count -= n) {
        int64_t column = first % columns;
        n = columns - column < count ? columns - column : count;
        cast_run(call, (const char *)call->rows[first / columns] + column * size, first, n);
    }
}

nnc_status nnc_op_cast_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                int *dx)
{
    nnc_status status = NNC_OK;
    nnc_dtype dtype = nnc_value_array(graph, graph->nodes[node].inputs[0]).dtype;
    int from = dy[0];
    if (!need[0] || !nnc_dtype_differentiable(dtype))
        return NNC_OK;
    if (nnc_value_array(graph, from).dtype == NNC_C64)
        NNC_TRY(nnc_emit1(graph, NNC_OP_real, NULL, from, &from));
    NNC_TRY(nnc_emit_cast(graph, from, dtype, &dx[0]));
done:
    return status;
}
