/* elementwise.c - unary.def and binary.def as ops: shapes, kernels, gradients.
 *
 * A row's text is compiled twice: over vectors (kernels/) and, here, over nodes of a graph, where
 * v_add appends an `add`. So the gradient of a unary op is one fused node, <name>_grad(x, y, dy),
 * and when someone differentiates that, its text unfolds into ops that have gradients themselves.
 */
#include "ops/complex.h"
#include "ops/integer.h"
#include "ops/support.h"
#include "ops/table.h"

/* Enum values follow the order of the rows, so an op's row is its distance from the first. */
static const nnc_op unary_ops[] = {
#define UNARY(name, ...) NNC_OP_##name,
#include "ops/unary.def"
#undef UNARY
};
static const nnc_op unary_grad_ops[] = {
#define UNARY(name, ...) NNC_OP_##name##_grad,
#include "ops/unary.def"
#undef UNARY
};
static const nnc_op binary_ops[] = {
#define BINARY(name, ...) NNC_OP_##name,
#include "ops/binary.def"
#undef BINARY
};

/* Nanoseconds an element, about: arithmetic, and with exp or log in it. */
static double cost_of(nnc_op op)
{
    switch ((int)op) {
    case NNC_OP_relu:
    case NNC_OP_relu_grad:
    case NNC_OP_negative:
    case NNC_OP_absolute:
    case NNC_OP_square:
        return 0.1;
    default:
        return op >= binary_ops[0] ? 0.15 : 0.5;
    }
}

/* ---- text over nodes ---- */

typedef struct {
    nnc_graph *graph;
    nnc_status status;      /* the first failure; nothing is appended after it */
    nnc_dtype dtype;
    double parameter;       /* the op's alpha */
} text;

static int put(text *t, nnc_op op, int count, int a, int b, int c)
{
    int in[3] = {a, b, c}, out = -1;
    nnc_attrs attrs = {.f = {t->parameter}};
    if (t->status == NNC_OK)
        t->status = nnc_graph_append(t->graph, op, &attrs, in, count, &out);
    return out;
}

static int number(text *t, double value)
{
    int out = -1;
    if (t->status == NNC_OK)
        t->status = nnc_emit_scalar(t->graph, value, t->dtype, &out);
    return out;
}

#define zero number(t, 0)
#define one number(t, 1)
#define alpha number(t, t->parameter)
#define v_const(value) number(t, value)
#define v_add(a, b) put(t, NNC_OP_add, 2, a, b, -1)
#define v_sub(a, b) put(t, NNC_OP_subtract, 2, a, b, -1)
#define v_mul(a, b) put(t, NNC_OP_multiply, 2, a, b, -1)
#define v_div(a, b) put(t, NNC_OP_divide, 2, a, b, -1)
#define v_max(a, b) put(t, NNC_OP_maximum, 2, a, b, -1)
#define v_min(a, b) put(t, NNC_OP_minimum, 2, a, b, -1)
#define v_pow(a, b) put(t, NNC_OP_power, 2, a, b, -1)
#define v_eq(a, b) put(t, NNC_OP_equal, 2, a, b, -1)
#define v_ne(a, b) put(t, NNC_OP_not_equal, 2, a, b, -1)
#define v_lt(a, b) put(t, NNC_OP_less, 2, a, b, -1)
#define v_le(a, b) put(t, NNC_OP_less_equal, 2, a, b, -1)
#define v_gt(a, b) put(t, NNC_OP_greater, 2, a, b, -1)
#define v_ge(a, b) put(t, NNC_OP_greater_equal, 2, a, b, -1)
#define v_select(c, a, b) put(t, NNC_OP_where, 3, c, a, b)
#define v_neg(a) put(t, NNC_OP_negative, 1, a, -1, -1)
#define v_abs(a) put(t, NNC_OP_absolute, 1, a, -1, -1)
#define v_sq(a) put(t, NNC_OP_square, 1, a, -1, -1)
#define v_sqrt(a) put(t, NNC_OP_sqrt, 1, a, -1, -1)
#define v_floor(a) put(t, NNC_OP_floor, 1, a, -1, -1)
#define v_ceil(a) put(t, NNC_OP_ceil, 1, a, -1, -1)
#define v_rint(a) put(t, NNC_OP_round, 1, a, -1, -1)
#define v_exp(a) put(t, NNC_OP_exp, 1, a, -1, -1)
#define v_log(a) put(t, NNC_OP_log, 1, a, -1, -1)
#define v_log1p(a) put(t, NNC_OP_log1p, 1, a, -1, -1)
#define v_expm1(a) put(t, NNC_OP_expm1, 1, a, -1, -1)
#define v_tanh(a) put(t, NNC_OP_tanh, 1, a, -1, -1)
#define v_erf(a) put(t, NNC_OP_erf, 1, a, -1, -1)
#define v_sigmoid(a) put(t, NNC_OP_sigmoid, 1, a, -1, -1)
#define v_sin(a) put(t, NNC_OP_sin, 1, a, -1, -1)
#define v_cos(a) put(t, NNC_OP_cos, 1, a, -1, -1)
#define v_sinh(a) put(t, NNC_OP_sinh, 1, a, -1, -1)
#define v_cosh(a) put(t, NNC_OP_cosh, 1, a, -1, -1)
#define v_i0(a) put(t, NNC_OP_i0, 1, a, -1, -1)
#define v_i1(a) put(t, NNC_OP_i1, 1, a, -1, -1)
#define NNC_NO_GRADIENT (-1)

#define UNARY(name, value, gradient, source)                                                       \
    static int name##_dx(text *t, int x, int y, int dy)                                            \
    {                                                                                              \
        (void)t, (void)x, (void)y, (void)dy;                                                       \
        return gradient;                                                                           \
    }
#include "ops/unary.def"
#undef UNARY

#define BINARY(name, value, gradient_a, gradient_b, note)                                          \
    static int name##_da(text *t, int a, int b, int y, int dy)                                     \
    {                                                                                              \
        (void)t, (void)a, (void)b, (void)y, (void)dy;                                              \
        return gradient_a;                                                                         \
    }                                                                                              \
    static int name##_db(text *t, int a, int b, int y, int dy)                                     \
    {                                                                                              \
        (void)t, (void)a, (void)b, (void)y, (void)dy;                                              \
        return gradient_b;                                                                         \
    }
#include "ops/binary.def"
#undef BINARY

static int (*const unary_text[])(text *, int, int, int) = {
#define UNARY(name, ...) name##_dx,
#include "ops/unary.def"
#undef UNARY
};
static int (*const binary_text[][2])(text *, int, int, int, int) = {
#define BINARY(name, ...) {name##_da, name##_db},
#include "ops/binary.def"
#undef BINARY
};

/* A text gives f' dy of a function f of complex numbers; the gradient is dy times the conjugate of
 * f', conj(f' conj(dy)). Of real numbers: the value itself. */
static int conj_of(text *t, int value)
{
    return t->dtype == NNC_C64 && value >= 0 ? put(t, NNC_OP_conj, 1, value, -1, -1) : value;
}

/* ---- one number in ---- */

nnc_status nnc_op_unary_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                              int input_count, nnc_array *out)
{
    (void)attrs, (void)input_count;
    *out = in[0];
    if (nnc_integer_unary(op, in[0].dtype) != NULL || nnc_complex_unary(op, in[0].dtype) != NULL)
        return NNC_OK;
    return nnc_check_real(op, in[0].dtype);
}

nnc_status nnc_op_unary_grad_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                   int input_count, nnc_array *out)
{
    nnc_status status;
    (void)attrs;
    NNC_TRY(nnc_check_real(op, in[0].dtype));
    for (int k = 1; k < input_count; k++) {
        NNC_TRY(nnc_check_same_dtype(op, &in[0], &in[k]));
        NNC_TRY(nnc_check_same_shape(op, &in[0], &in[k]));
    }
    *out = in[0];
done:
    return status;
}

void nnc_op_unary_plan(const nnc_call *call, nnc_work *work)
{
    nnc_plan_elements(work, nnc_shape_size(&call->out[0].shape), cost_of(call->op));
}

static void unary_half(const nnc_call *call, int row, int64_t first, int64_t count)
{
    float x[NNC_BLOCK];
    for (int64_t end = first + count, n; first < end; first += n) {
        n = end - first < NNC_BLOCK ? end - first : NNC_BLOCK;
        nnc_widen(&call->in[0], first, x, n);
        nnc_kernels->f32->unary[row](x, x, n, (float)call->attrs->f[0]);
        nnc_narrow(x, &call->out[0], first, n);
    }
}

static void unary_grad_half(const nnc_call *call, int row, int64_t first, int64_t count)
{
    float x[NNC_BLOCK], y[NNC_BLOCK], dy[NNC_BLOCK];
    for (int64_t end = first + count, n; first < end; first += n) {
        n = end - first < NNC_BLOCK ? end - first : NNC_BLOCK;
        nnc_widen(&call->in[0], first, x, n);
        nnc_widen(&call->in[1], first, y, n);
        nnc_widen(&call->in[2], first, dy, n);
        nnc_kernels->f32->unary_grad[row](x, y, dy, dy, n, (float)call->attrs->f[0]);
        nnc_narrow(dy, &call->out[0], first, n);
    }
}

void nnc_op_unary_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    int64_t count, n = nnc_shape_size(&call->out[0].shape);
    int64_t first = nnc_piece_range(n, NNC_PIECE, begin, end, &count);
    int row = (int)call->op - (int)unary_ops[0];
    const void *x = call->in[0].data;
    void *y = call->out[0].data;
    (void)phase;
    if (call->in[0].dtype == NNC_F32)
        nnc_kernels->f32->unary[row]((const float *)x + first, (float *)y + first, count,
                                     (float)call->attrs->f[0]);
    else if (call->in[0].dtype == NNC_F64)
        nnc_kernels->f64->unary[row]((const double *)x + first, (double *)y + first, count,
                                     call->attrs->f[0]);
    else if (nnc_is_half(&call->in[0]))
        unary_half(call, row, first, count);
    else if (call->in[0].dtype == NNC_C64)
        nnc_complex_unary(call->op, NNC_C64)(x, y, first, count);
    else
        nnc_integer_unary(call->op, call->in[0].dtype)(x, y, first, count);
}

void nnc_op_unary_grad_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    int64_t count, n = nnc_shape_size(&call->out[0].shape);
    int64_t first = nnc_piece_range(n, NNC_PIECE, begin, end, &count);
    int row = (int)call->op - (int)unary_grad_ops[0];
    const nnc_array *in = call->in;
    (void)phase;
    if (in[0].dtype == NNC_F32)
        nnc_kernels->f32->unary_grad[row](
            (const float *)in[0].data + first, (const float *)in[1].data + first,
            (const float *)in[2].data + first, (float *)call->out[0].data + first, count,
            (float)call->attrs->f[0]);
    else if (nnc_is_half(&in[0]))
        unary_grad_half(call, row, first, count);
    else
        nnc_kernels->f64->unary_grad[row](
            (const double *)in[0].data + first, (const double *)in[1].data + first,
            (const double *)in[2].data + first, (double *)call->out[0].data + first, count,
            call->attrs->f[0]);
}

nnc_status nnc_op_unary_gradient(nnc_graph *graph, int index, const int *dy, const bool *need, int *dx)
{
    const nnc_node node = graph->nodes[index];
    int row = (int)node.op - (int)unary_ops[0];
    (void)need;
    if (nnc_value_array(graph, dy[0]).dtype == NNC_C64) {
        text t = {.graph = graph, .dtype = NNC_C64, .parameter = node.attrs.f[0]};
        dx[0] = conj_of(&t, unary_text[row](&t, node.inputs[0], node.outputs[0],
                                            conj_of(&t, dy[0])));
        return t.status;
    }
    return nnc_emit3(graph, unary_grad_ops[row], &node.attrs, node.inputs[0], node.outputs[0], dy[0],
                     &dx[0]);
}

/* Unfolds dx = text(x, y, dy) and differentiates that with respect to x, y and dy. */
nnc_status nnc_op_unary_grad_gradient(nnc_graph *graph, int index, const int *dy, const bool *need,
                                      int *dx)
{
    const nnc_node node = graph->nodes[index];
    int row = (int)node.op - (int)unary_grad_ops[0];
    text t = {.graph = graph, .dtype = graph->values[node.inputs[0]].array.dtype,
              .parameter = node.attrs.f[0]};
    int64_t first = graph->node_count;
    (void)need;
    int unfolded = unary_text[row](&t, node.inputs[0], node.inputs[1], node.inputs[2]);
    if (t.status != NNC_OK)
        return t.status;
    return nnc_graph_backward(graph, &unfolded, dy, 1, node.inputs, 3, first, dx);
}

/* ---- two numbers in ---- */

nnc_status nnc_op_binary_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                               int input_count, nnc_array *out)
{
    nnc_status status;
    char a[NNC_SHAPE_TEXT], b[NNC_SHAPE_TEXT];
    (void)attrs, (void)input_count;
    NNC_TRY(nnc_check_same_dtype(op, &in[0], &in[1]));
    if (nnc_integer_binary(op, in[0].dtype) == NULL && nnc_complex_binary(op, in[0].dtype) == NULL)
        NNC_TRY(nnc_check_real(op, in[0].dtype));
    out->dtype = in[0].dtype;
    if (!nnc_shape_broadcast(&in[0].shape, &in[1].shape, &out->shape))
        status = nnc_fail(NNC_EVALUE, "%s: shapes %s and %s do not broadcast", nnc_op_name(op),
                          nnc_shape_text(&in[0].shape, a), nnc_shape_text(&in[1].shape, b));
done:
    return status;
}

void nnc_op_binary_plan(const nnc_call *call, nnc_work *work)
{
    nnc_plan_elements(work, nnc_shape_size(&call->out[0].shape),
                      call->op >= NNC_OP_power ? 5.0 : cost_of(call->op));
}

/* One run of 16-bit floats; a number that does not step is widened once. */
static void binary_half(const nnc_call *call, int row, int form, int64_t a, int64_t b, int64_t y,
                        int64_t count)
{
    float x[NNC_BLOCK], z[NNC_BLOCK], result[NNC_BLOCK];
    const nnc_array *in = call->in;
    nnc_widen(&in[0], a, x, 1);
    nnc_widen(&in[1], b, z, 1);
    for (int64_t done = 0, n; done < count; done += n) {
        n = count - done < NNC_BLOCK ? count - done : NNC_BLOCK;
        if (form != NNC_SV)
            nnc_widen(&in[0], a + done, x, n);
        if (form != NNC_VS)
            nnc_widen(&in[1], b + done, z, n);
        nnc_kernels->f32->binary[row][form](x, z, result, n);
        nnc_narrow(result, &call->out[0], y + done, n);
    }
}

/* One run: operands step by 0 or 1 element. */
static void binary_run(const nnc_call *call, int64_t a, int64_t a_step, int64_t b, int64_t b_step,
                       int64_t y, int64_t n)
{
    int row = (int)call->op - (int)binary_ops[0];
    int form = b_step == 0 ? NNC_VS : a_step == 0 ? NNC_SV : NNC_VV;
    const nnc_array *in = call->in;
    if (a_step == 0 && b_step == 0 && n > 1) {
        for (int64_t i = 0; i < n; i++)
            binary_run(call, a, 1, b, 1, y + i, 1);
        return;
    }
    if (in[0].dtype == NNC_F32)
        nnc_kernels->f32->binary[row][form]((const float *)in[0].data + a,
                                            (const float *)in[1].data + b,
                                            (float *)call->out[0].data + y, n);
    else if (in[0].dtype == NNC_F64)
        nnc_kernels->f64->binary[row][form]((const double *)in[0].data + a,
                                            (const double *)in[1].data + b,
                                            (double *)call->out[0].data + y, n);
    else if (nnc_is_half(&in[0]))
        binary_half(call, row, form, a, b, y, n);
    else
        (in[0].dtype == NNC_C64 ? nnc_complex_binary : nnc_integer_binary)(call->op, in[0].dtype)(
            in[0].data, a, a_step, in[1].data, b, b_step, call->out[0].data, y, n);
}

void nnc_op_binary_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    int64_t count, n = nnc_shape_size(&call->out[0].shape);
    int64_t first = nnc_piece_range(n, NNC_PIECE, begin, end, &count);
    nnc_walk walk;
    (void)phase;
    int64_t a = nnc_shape_size(&call->in[0].shape), b = nnc_shape_size(&call->in[1].shape);
    if ((a == n || a == 1) && (b == n || b == 1)) {
        binary_run(call, a == n ? first : 0, a == n, b == n ? first : 0, b == n, first, count);
        return;
    }
    nnc_walk_broadcast(&walk, &call->out[0].shape, call->in, 2);
    nnc_walk_seek(&walk, first, count);
    for (int64_t run; (run = nnc_walk_next(&walk)) > 0;)
        binary_run(call, walk.at[0], walk.step[0], walk.at[1], walk.step[1], walk.done - run, run);
}

nnc_status nnc_op_binary_gradient(nnc_graph *graph, int index, const int *dy, const bool *need,
                                  int *dx)
{
    nnc_status status = NNC_OK;
    const nnc_node node = graph->nodes[index];
    int row = (int)node.op - (int)binary_ops[0];
    text t = {.graph = graph, .dtype = graph->values[node.outputs[0]].array.dtype};
    for (int k = 0; k < 2; k++) {
        if (!need[k])
            continue;
        nnc_shape shape = graph->values[node.inputs[k]].array.shape;
        int full = conj_of(&t, binary_text[row][k](&t, node.inputs[0], node.inputs[1],
                                                   node.outputs[0], conj_of(&t, dy[0])));
        NNC_TRY(t.status);
        if (full >= 0)
            NNC_TRY(nnc_emit_sum_to(graph, full, &shape, &dx[k]));
    }
done:
    return status;
}
