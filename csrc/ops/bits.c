/* bits.c - ops on the bits of integers and bool, greatest common divisors, and a cast that keeps
 * the bits. Operands have one dtype and broadcast as NumPy does; nothing here has a gradient.
 * A shift by the width or more, or by a negative number, gives 0 (-1 right of a negative). */
#include "ops/support.h"
#include "ops/table.h"

#include <string.h>

#pragma GCC diagnostic ignored "-Wtype-limits"    /* a < 0 of an unsigned type is meant */

static int64_t size_of(const nnc_array *array)
{
    return nnc_shape_size(&array->shape);
}

static nnc_status check_integer(nnc_op op, nnc_dtype dtype)
{
    nnc_kind kind = nnc_dtype_kind(dtype);
    bool whole = kind == NNC_KIND_INT || kind == NNC_KIND_UINT;
    bool logic = op == NNC_OP_bitwise_and || op == NNC_OP_bitwise_or || op == NNC_OP_bitwise_xor ||
                 op == NNC_OP_bitwise_not;
    if (whole || (kind == NNC_KIND_BOOL && logic))
        return NNC_OK;
    return nnc_fail(NNC_ETYPE, "%s: expected integers, received %s", nnc_op_name(op),
                    nnc_dtype_name(dtype));
}

nnc_status nnc_op_bits_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                             int input_count, nnc_array *out)
{
    nnc_status status;
    char a[NNC_SHAPE_TEXT], b[NNC_SHAPE_TEXT];
    (void)attrs;
    *out = in[0];
    NNC_TRY(check_integer(op, in[0].dtype));
    if (input_count < 2)
        goto done;
    NNC_TRY(nnc_check_same_dtype(op, &in[0], &in[1]));
    if (!nnc_shape_broadcast(&in[0].shape, &in[1].shape, &out->shape))
        status = nnc_fail(NNC_EVALUE, "%s: shapes %s and %s do not broadcast", nnc_op_name(op),
                          nnc_shape_text(&in[0].shape, a), nnc_shape_text(&in[1].shape, b));
done:
    return status;
}

void nnc_op_bits_plan(const nnc_call *call, nnc_work *work)
{
    bool slow = call->op == NNC_OP_gcd || call->op == NNC_OP_lcm;
    nnc_plan_elements(work, size_of(&call->out[0]), slow ? 60.0 : 0.4);
}

static uint64_t gcd_of(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

#define BITS_LOOP(expression)                                                                      \
    do {                                                                                           \
        for (int64_t i = 0; i < n; i++) {                                                          \
            type_of a = p[i * sp], b = q[i * sq];                                                  \
            (void)b;                                                                               \
            y[i] = (type_of)(expression);                                                          \
        }                                                                                          \
    } while (0)

/* |v| as a 64-bit number, even of the least negative one. */
#define SIZE_OF(v) ((v) > 0 ? (uint64_t)(v) : 0 - (uint64_t)(v))
#define SHIFTED(a, b, within, beyond)                                                              \
    ((uint64_t)(b) < 8 * sizeof(a) ? (uint64_t)(within) : (uint64_t)(beyond))

#define BITS(name, type)                                                                           \
    static void bits_##name(nnc_op op, const type *p, int64_t sp, const type *q, int64_t sq,       \
                            type *y, int64_t n)                                                    \
    {                                                                                              \
        typedef type type_of;                                                                      \
        switch (op) {                                                                              \
        case NNC_OP_bitwise_and: BITS_LOOP(a & b); break;                                          \
        case NNC_OP_bitwise_or: BITS_LOOP(a | b); break;                                           \
        case NNC_OP_bitwise_xor: BITS_LOOP(a ^ b); break;                                          \
        case NNC_OP_bitwise_not: BITS_LOOP(~a); break;                                             \
        case NNC_OP_left_shift: BITS_LOOP(SHIFTED(a, b, (uint64_t)a << b, 0)); break;              \
        case NNC_OP_right_shift: BITS_LOOP(SHIFTED(a, b, a >> b, a < 0 ? -1 : 0)); break; \
        case NNC_OP_gcd: BITS_LOOP(gcd_of(SIZE_OF(a), SIZE_OF(b))); break;                         \
        default:                                                                                   \
            BITS_LOOP(a == 0 || b == 0 ? 0 : SIZE_OF(a) / gcd_of(SIZE_OF(a), SIZE_OF(b)) *         \
                                             SIZE_OF(b));                                          \
        }                                                                                          \
    }
BITS(U8, uint8_t)
BITS(U16, uint16_t)
BITS(U32, uint32_t)
BITS(U64, uint64_t)
BITS(I8, int8_t)
BITS(I16, int16_t)
BITS(I32, int32_t)
BITS(I64, int64_t)

#define BITS_CASE(tag, type)                                                                       \
    case NNC_##tag:                                                                                \
        bits_##tag(call->op, (const type *)a->data + w->at[0], w->step[0],                         \
                   (const type *)b->data + w->at[last], w->step[last],                             \
                   (type *)call->out[0].data + w->done - n, n);                                    \
        break

static void bits_row(const nnc_call *call, const nnc_walk *w, int64_t n)
{
    int last = call->input_count - 1;
    const nnc_array *a = &call->in[0], *b = &call->in[last];
    switch (a->dtype) {
    BITS_CASE(U8, uint8_t);
    BITS_CASE(U16, uint16_t);
    BITS_CASE(U32, uint32_t);
    BITS_CASE(U64, uint64_t);
    BITS_CASE(I8, int8_t);
    BITS_CASE(I16, int16_t);
    BITS_CASE(I32, int32_t);
    BITS_CASE(I64, int64_t);
    default:    /* bool: bytes 0 and 1 */
        bits_U8(call->op, (const uint8_t *)a->data + w->at[0], w->step[0],
                (const uint8_t *)b->data + w->at[last], w->step[last],
                (uint8_t *)call->out[0].data + w->done - n, n);
        for (int64_t i = w->done - n; i < w->done; i++)
            ((uint8_t *)call->out[0].data)[i] &= 1;
    }
}

void nnc_op_bits_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    nnc_walk walk;
    int64_t count, first = nnc_piece_range(size_of(&call->out[0]), NNC_PIECE, begin, end, &count);
    (void)phase;
    nnc_walk_broadcast(&walk, &call->out[0].shape, call->in, call->input_count);
    nnc_walk_seek(&walk, first, count);
    for (int64_t n; (n = nnc_walk_next(&walk)) > 0;)
        bits_row(call, &walk, n);
}

/* ---- bitcast: another size of element changes the last axis, as in NumPy ---- */

nnc_status nnc_op_bitcast_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                int input_count, nnc_array *out)
{
    nnc_status status = NNC_OK;
    char text[NNC_SHAPE_TEXT];
    (void)input_count;
    if ((int)attrs->dtype < 0 || attrs->dtype >= NNC_DTYPE_COUNT)
        return nnc_fail(NNC_ETYPE, "%s: unknown dtype %d", nnc_op_name(op), (int)attrs->dtype);
    int64_t from = nnc_dtype_size(in[0].dtype), to = nnc_dtype_size(attrs->dtype);
    nnc_shape shape = in[0].shape;
    int last = shape.rank - 1;
    bool fits = from == to || (last >= 0 && (from > to || shape.dim[last] * from % to == 0));
    if (!fits || in[0].dtype == NNC_BOOL || attrs->dtype == NNC_BOOL) {
        if (in[0].dtype == attrs->dtype)
            goto same;
        return nnc_fail(NNC_EVALUE, "bitcast: %s of shape %s cannot be seen as %s",
                        nnc_dtype_name(in[0].dtype), nnc_shape_text(&shape, text),
                        nnc_dtype_name(attrs->dtype));
    }
    if (from != to)
        shape.dim[last] = shape.dim[last] * from / to;
same:
    out->dtype = attrs->dtype;
    out->shape = shape;
    return status;
}

void nnc_op_bitcast_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    int64_t bytes = size_of(&call->in[0]) * nnc_dtype_size(call->in[0].dtype);
    (void)phase, (void)begin, (void)end;
    if (bytes > 0)
        memcpy(call->out[0].data, call->in[0].data, (size_t)bytes);
}
