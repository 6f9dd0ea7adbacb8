/* complex.c - complex64: its parts, conjugates, arithmetic and elementary functions.
 *
 * Gradients follow the convention of a real loss L of z = x + iy: dz = dL/dx + i dL/dy. So a
 * function f with a complex derivative gives dz = dy conj(f'(z)) (elementwise.c). Products and
 * quotients are written out: C's own test for infinities in each of them, which costs a call.
 * Quotients: Smith 1962, "Algorithm 116", scaled by the larger part of the divisor. */
#include "ops/complex.h"

#include "ops/support.h"
#include "ops/table.h"

#include <complex.h>
#include <math.h>

typedef struct {
    float re, im;
} number;

static number product(number a, number b)
{
    return (number){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

static number quotient(number a, number b)
{
    if (fabsf(b.re) >= fabsf(b.im)) {
        float ratio = b.im / b.re, scale = b.re + b.im * ratio;
        if (b.re == 0 && b.im == 0)
            return (number){a.re / b.re, a.im / b.re};
        return (number){(a.re + a.im * ratio) / scale, (a.im - a.re * ratio) / scale};
    }
    float ratio = b.re / b.im, scale = b.re * ratio + b.im;
    return (number){(a.re * ratio + a.im) / scale, (a.im * ratio - a.re) / scale};
}

/* A function of C's library on a number. */
#define LIBRARY(function, v)                                                                       \
    (number){crealf(function(CMPLXF((v).re, (v).im))), cimagf(function(CMPLXF((v).re, (v).im)))}

#define UNARY_OPS(X)                                                                               \
    X(negative, ((number){-v.re, -v.im}))                                                          \
    X(square, product(v, v))                                                                       \
    X(reciprocal, quotient((number){1, 0}, v))                                                     \
    X(exp, LIBRARY(cexpf, v))                                                                      \
    X(log, LIBRARY(clogf, v))                                                                      \
    X(sqrt, LIBRARY(csqrtf, v))                                                                    \
    X(sin, LIBRARY(csinf, v))                                                                      \
    X(cos, LIBRARY(ccosf, v))                                                                      \
    X(sinh, LIBRARY(csinhf, v))                                                                    \
    X(cosh, LIBRARY(ccoshf, v))                                                                    \
    X(tanh, LIBRARY(ctanhf, v))

#define BINARY_OPS(X)                                                                              \
    X(add, ((number){a.re + b.re, a.im + b.im}))                                                   \
    X(subtract, ((number){a.re - b.re, a.im - b.im}))                                              \
    X(multiply, product(a, b))                                                                     \
    X(divide, quotient(a, b))

#define UNARY_LOOP(name, expression)                                                               \
    static void name##_loop(const void *x_data, void *y_data, int64_t first, int64_t n)            \
    {                                                                                              \
        const number *x = (const number *)x_data + first;                                          \
        number *y = (number *)y_data + first;                                                      \
        for (int64_t i = 0; i < n; i++) {                                                          \
            number v = x[i];                                                                       \
            y[i] = expression;                                                                     \
        }                                                                                          \
    }
UNARY_OPS(UNARY_LOOP)

#define BINARY_LOOP(name, expression)                                                              \
    static void name##_loop(const void *a_data, int64_t a_at, int64_t a_step, const void *b_data,  \
                            int64_t b_at, int64_t b_step, void *y_data, int64_t y_at, int64_t n)   \
    {                                                                                              \
        const number *a_row = (const number *)a_data + a_at;                                       \
        const number *b_row = (const number *)b_data + b_at;                                       \
        number *y = (number *)y_data + y_at;                                                       \
        for (int64_t i = 0; i < n; i++) {                                                          \
            number a = a_row[i * a_step], b = b_row[i * b_step];                                   \
            y[i] = expression;                                                                     \
        }                                                                                          \
    }
BINARY_OPS(BINARY_LOOP)

#define CASE(name, expression) case NNC_OP_##name: return name##_loop;

nnc_integer_unary_fn *nnc_complex_unary(nnc_op op, nnc_dtype dtype)
{
    switch (dtype == NNC_C64 ? (int)op : -1) {
        UNARY_OPS(CASE)
    default:
        return NULL;
    }
}

nnc_integer_binary_fn *nnc_complex_binary(nnc_op op, nnc_dtype dtype)
{
    switch (dtype == NNC_C64 ? (int)op : -1) {
        BINARY_OPS(CASE)
    default:
        return NULL;
    }
}

/* ---- parts ---- */

static nnc_status check_dtype(nnc_op op, const nnc_array *array, nnc_dtype dtype)
{
    if (array->dtype == dtype)
        return NNC_OK;
    return nnc_fail(NNC_ETYPE, "%s: expected %s, received %s", nnc_op_name(op),
                    nnc_dtype_name(dtype), nnc_dtype_name(array->dtype));
}

/* (re, im), float32 of one shape, give re + i im. */
nnc_status nnc_op_complex_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                int input_count, nnc_array *out)
{
    nnc_status status;
    (void)attrs;
    for (int k = 0; k < input_count; k++)
        NNC_TRY(check_dtype(op, &in[k], NNC_F32));
    NNC_TRY(nnc_check_same_shape(op, &in[0], &in[1]));
    *out = in[0];
    out->dtype = NNC_C64;
done:
    return status;
}

nnc_status nnc_op_part_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                             int input_count, nnc_array *out)
{
    (void)attrs, (void)input_count;
    *out = in[0];
    out->dtype = NNC_F32;
    return check_dtype(op, &in[0], NNC_C64);
}

nnc_status nnc_op_conj_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                             int input_count, nnc_array *out)
{
    (void)attrs, (void)input_count;
    *out = in[0];
    return check_dtype(op, &in[0], NNC_C64);
}

void nnc_op_complex_plan(const nnc_call *call, nnc_work *work)
{
    nnc_plan_elements(work, nnc_shape_size(&call->out[0].shape), 0.5);
}

static int64_t range_of(const nnc_call *call, int64_t begin, int64_t end, int64_t *last)
{
    int64_t count, n = nnc_shape_size(&call->out[0].shape);
    int64_t first = nnc_piece_range(n, NNC_PIECE, begin, end, &count);
    *last = first + count;
    return first;
}

void nnc_op_complex_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const float *re = call->in[0].data, *im = call->in[1].data;
    number *y = call->out[0].data;
    int64_t last, i = range_of(call, begin, end, &last);
    (void)phase;
    for (; i < last; i++)
        y[i] = (number){re[i], im[i]};
}

void nnc_op_part_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const float *x = (const float *)call->in[0].data + (call->op == NNC_OP_imag);
    float *y = call->out[0].data;
    int64_t last, i = range_of(call, begin, end, &last);
    (void)phase;
    for (; i < last; i++)
        y[i] = x[2 * i];
}

void nnc_op_conj_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const number *x = call->in[0].data;
    number *y = call->out[0].data;
    int64_t last, i = range_of(call, begin, end, &last);
    (void)phase;
    for (; i < last; i++)
        y[i] = (number){x[i].re, -x[i].im};
}

/* dre = Re dy, dim = Im dy */
nnc_status nnc_op_complex_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                   int *dx)
{
    nnc_status status = NNC_OK;
    (void)node;
    for (int k = 0; k < 2; k++) {
        if (need[k])
            NNC_TRY(nnc_emit1(graph, k == 0 ? NNC_OP_real : NNC_OP_imag, NULL, dy[0], &dx[k]));
    }
done:
    return status;
}

/* of Re z: dy; of Im z: i dy */
nnc_status nnc_op_part_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                int *dx)
{
    nnc_status status;
    bool first = graph->nodes[node].op == NNC_OP_real;
    nnc_shape shape = nnc_value_array(graph, dy[0]).shape;
    int zero;
    (void)need;
    NNC_TRY(nnc_emit_fill(graph, 0.0, &shape, NNC_F32, &zero));
    NNC_TRY(nnc_emit2(graph, NNC_OP_complex, NULL, first ? dy[0] : zero, first ? zero : dy[0],
                      &dx[0]));
done:
    return status;
}

nnc_status nnc_op_conj_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                int *dx)
{
    (void)node, (void)need;
    return nnc_emit1(graph, NNC_OP_conj, NULL, dy[0], &dx[0]);
}
