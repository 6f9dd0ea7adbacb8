/* loss.c - cross-entropy of softmax(logits), which has a better gradient than its parts.
 *
 * Rows of c logits x; p = softmax(x).
 *   dense target t: loss = -sum(t log p),  dlogits = (p sum(t) - t) dloss
 *   labels:         loss = -log p[label],  dlogits = (p - one_hot) dloss
 * log p = (x - max x) + log(max p), since max p = 1 / sum(exp(x - max x)): large logits cost no
 * accuracy. p is an output too, and what comes back through it is added to dlogits.
 * Labels are checked here: any integer dtype, or floats holding whole numbers. */
#include "ops/support.h"
#include "ops/table.h"

#include <math.h>
#include <string.h>

static int64_t classes_of(const nnc_array *logits)
{
    return logits->shape.dim[logits->shape.rank - 1];
}

/* What is said to the user: the public loss that the labels were given to. */
static const char *public_name(void)
{
    return "sparse_categorical_crossentropy";
}

/* ---- shapes ---- */

/* `rows` has the shape of `whole` without its last axis. */
static bool is_rows_of(const nnc_array *rows, const nnc_array *whole)
{
    nnc_shape shape = whole->shape;
    shape.rank--;
    return nnc_shape_equal(&shape, &rows->shape);
}

static nnc_status check_logits(nnc_op op, const nnc_array *logits)
{
    char text[NNC_SHAPE_TEXT];
    if (logits->shape.rank < 1 || classes_of(logits) < 1)
        return nnc_fail(NNC_EVALUE, "%s: expected logits of shape (..., classes), received %s",
                        nnc_op_name(op), nnc_shape_text(&logits->shape, text));
    return nnc_check_real(op, logits->dtype);
}

static nnc_status check_labels(nnc_op op, const nnc_array *labels, const nnc_array *logits)
{
    char got[NNC_SHAPE_TEXT], all[NNC_SHAPE_TEXT];
    if (is_rows_of(labels, logits))
        return NNC_OK;
    return nnc_fail(NNC_EVALUE, "%s: labels of shape %s do not fit logits of shape %s: expected "
                    "the logits' shape without its last axis", nnc_op_name(op),
                    nnc_shape_text(&labels->shape, got), nnc_shape_text(&logits->shape, all));
}

nnc_status nnc_op_softmax_crossentropy_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                             int input_count, nnc_array *out)
{
    nnc_status status;
    (void)attrs, (void)input_count;
    NNC_TRY(check_logits(op, &in[0]));
    if (op == NNC_OP_softmax_crossentropy) {
        NNC_TRY(nnc_check_same_dtype(op, &in[0], &in[1]));
        NNC_TRY(nnc_check_same_shape(op, &in[0], &in[1]));
    } else {
        NNC_TRY(check_labels(op, &in[1], &in[0]));
    }
    out[0].dtype = out[1].dtype = in[0].dtype;
    out[0].shape = out[1].shape = in[0].shape;
    out[0].shape.rank--;
done:
    return status;
}

nnc_status nnc_op_sparse_grad_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                    int input_count, nnc_array *out)
{
    nnc_status status;
    char got[NNC_SHAPE_TEXT], all[NNC_SHAPE_TEXT];
    (void)attrs, (void)input_count;
    NNC_TRY(check_logits(op, &in[0]));
    NNC_TRY(check_labels(op, &in[1], &in[0]));
    NNC_TRY(nnc_check_same_dtype(op, &in[0], &in[2]));
    if (!is_rows_of(&in[2], &in[0])) {
        status = nnc_fail(NNC_EVALUE, "%s: a gradient of shape %s does not fit logits of shape %s",
                          nnc_op_name(op), nnc_shape_text(&in[2].shape, got),
                          nnc_shape_text(&in[0].shape, all));
        goto done;
    }
    out->dtype = in[0].dtype;
    out->shape = in[0].shape;
done:
    return status;
}

static int64_t rows_of(const nnc_call *call)
{
    return nnc_dims_product(&call->in[0].shape, 0, call->in[0].shape.rank - 1);
}

void nnc_op_softmax_crossentropy_plan(const nnc_call *call, nnc_work *work)
{
    bool gradient = call->op == NNC_OP_sparse_softmax_crossentropy_grad;
    if (nnc_shape_size(&call->in[0].shape) == 0)
        nnc_plan_elements(work, 0, 0.0);
    else
        nnc_plan_items(work, rows_of(call), classes_of(&call->in[0]), gradient ? 0.3 : 1.5);
}

/* The rows of pieces begin..end-1. */
static int64_t piece_rows(const nnc_call *call, int64_t begin, int64_t end, int64_t *count)
{
    nnc_work work;
    *count = 0;
    if (nnc_shape_size(&call->in[0].shape) == 0)
        return 0;
    int64_t rows = rows_of(call);
    int64_t group = nnc_plan_items(&work, rows, classes_of(&call->in[0]), 0.0);
    return nnc_piece_range(rows, group, begin, end, count);
}

/* ---- forward ---- */

/* The label of a row; tells and gives 0 if it is no class. */
static int64_t checked_label(nnc_call *call, int64_t row, int64_t c)
{
    int64_t label = -1;
    if (nnc_integer_at(call->in[1].data, call->in[1].dtype, row, &label)) {
        if (label >= 0 && label < c)
            return label;
        nnc_call_fault(call, NNC_EINDEX, row, "%s: label %lld at row %lld is outside 0..%lld (%lld "
                       "class%s)", public_name(), (long long)label, (long long)row,
                       (long long)(c - 1), (long long)c, c == 1 ? "" : "es");
    } else {
        double value;
        int64_t size = nnc_dtype_size(call->in[1].dtype);
        nnc_convert((const char *)call->in[1].data + row * size, call->in[1].dtype, &value, NNC_F64,
                    1);
        nnc_call_fault(call, NNC_EINDEX, row, "%s: label %g at row %lld is no whole number",
                       public_name(), value, (long long)row);
    }
    return 0;
}

/* Labels: -log p; where p has all but vanished, lse - x, which is large then and loses nothing. */
#define CROSSENTROPY(suffix, real, LOG)                                                            \
    static void sparse_rows_##suffix(nnc_call *call, const real *x, int64_t row, int64_t count,    \
                                     int64_t c, real *p, real *loss)                               \
    {                                                                                              \
        const nnc_kernels_##suffix *k = nnc_kernels->suffix;                                       \
        for (int64_t i = 0; i < count; i++)                                                        \
            loss[i] = p[i * c + checked_label(call, row + i, c)];                                  \
        k->unary[NNC_UNARY_log](loss, loss, count, 0);                                             \
        for (int64_t i = 0; i < count; i++) {                                                      \
            if (loss[i] > (real)-69) {                                                             \
                loss[i] = 0 - loss[i];                                                             \
            } else {                                                                               \
                real chosen = x[i * c + checked_label(call, row + i, c)];                          \
                loss[i] = k->softmax_lse(x + i * c, p + i * c, c) - chosen;                        \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static real dense_row_##suffix(const real *x, const real *t, const real *p, int64_t c)         \
    {                                                                                              \
        enum { CHUNK = 256 };                                                                      \
        const nnc_kernels_##suffix *k = nnc_kernels->suffix;                                       \
        real shifted[CHUNK], top = k->max(x, c), weight = k->sum(t, c), sum = 0;                   \
        for (int64_t j = 0; j < c; j += CHUNK) {                                                   \
            int64_t n = c - j < CHUNK ? c - j : CHUNK;                                             \
            k->binary[NNC_BINARY_subtract][NNC_VS](x + j, &top, shifted, n);                       \
            sum += k->dot(t + j, shifted, n);                                                      \
        }                                                                                          \
        return 0 - sum - weight * LOG(k->max(p, c));                                               \
    }                                                                                              \
                                                                                                   \
    static void crossentropy_##suffix(nnc_call *call, int64_t row, int64_t count, int64_t c)       \
    {                                                                                              \
        int64_t at = row * c;                                                                      \
        const real *x = (const real *)call->in[0].data + at;                                       \
        real *loss = (real *)call->out[0].data + row, *p = (real *)call->out[1].data + at;         \
        nnc_kernels->suffix->softmax(x, p, count, c);                                              \
        if (call->op == NNC_OP_sparse_softmax_crossentropy) {                                      \
            sparse_rows_##suffix(call, x, row, count, c, p, loss);                                 \
            return;                                                                                \
        }                                                                                          \
        const real *t = (const real *)call->in[1].data + at;                                       \
        for (int64_t i = 0; i < count; i++)                                                        \
            loss[i] = dense_row_##suffix(x + i * c, t + i * c, p + i * c, c);                      \
    }
CROSSENTROPY(f32, float, logf)
CROSSENTROPY(f64, double, log)

void nnc_op_softmax_crossentropy_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    int64_t count, row = piece_rows(call, begin, end, &count);
    (void)phase;
    if (call->in[0].dtype == NNC_F32)
        crossentropy_f32(call, row, count, classes_of(&call->in[0]));
    else
        crossentropy_f64(call, row, count, classes_of(&call->in[0]));
}

/* ---- sparse_softmax_crossentropy_grad: (p - one_hot) dloss, in place of p if wished ---- */

enum { FEW_CLASSES = 32 };      /* a call of a kernel costs more than the row */

#define SPARSE_GRADIENT(suffix, real)                                                              \
    do {                                                                                           \
        const real *p = call->in[0].data, *dloss = call->in[2].data;                               \
        real *dx = call->out[0].data;                                                              \
        for (int64_t stop = row + count; row < stop; row++) {                                      \
            int64_t label = checked_label(call, row, c);                                           \
            real chosen = p[row * c + label] - 1;                                                  \
            if (c <= FEW_CLASSES)                                                                  \
                for (int64_t j = 0; j < c; j++)                                                    \
                    dx[row * c + j] = p[row * c + j] * dloss[row];                                 \
            else                                                                                   \
                nnc_kernels->suffix->binary[NNC_BINARY_multiply][NNC_VS](                          \
                    p + row * c, dloss + row, dx + row * c, c);                                    \
            dx[row * c + label] = chosen * dloss[row];                                             \
        }                                                                                          \
    } while (0)

void nnc_op_sparse_grad_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    int64_t count, row = piece_rows(call, begin, end, &count), c = classes_of(&call->in[0]);
    (void)phase;
    if (call->in[0].dtype == NNC_F32)
        SPARSE_GRADIENT(f32, float);
    else
        SPARSE_GRADIENT(f64, double);
}

/* ---- gradients ---- */

/* A value of shape (...) as (..., 1). */
static nnc_status emit_column(nnc_graph *graph, int value, int *out)
{
    nnc_shape shape = nnc_value_array(graph, value).shape;
    shape.dim[shape.rank++] = 1;
    return nnc_emit_reshape(graph, value, &shape, out);
}

/* dx += what comes back through p = softmax(x) */
static nnc_status add_through_p(nnc_graph *graph, int p, int dp, int *dx)
{
    nnc_status status = NNC_OK;
    nnc_attrs attrs = {.k = {-1}};
    int part;
    if (dp < 0)
        return NNC_OK;
    NNC_TRY(nnc_emit2(graph, NNC_OP_softmax_grad, &attrs, p, dp, &part));
    if (*dx < 0)
        *dx = part;
    else
        NNC_TRY(nnc_emit2(graph, NNC_OP_add, NULL, *dx, part, dx));
done:
    return status;
}

/* dlogits = (p sum(t) - t) dloss;  dt = -log_softmax(logits) dloss */
nnc_status nnc_op_softmax_crossentropy_gradient(nnc_graph *graph, int node, const int *dy,
                                                const bool *need, int *dx)
{
    nnc_status status = NNC_OK;
    int x = graph->nodes[node].inputs[0], t = graph->nodes[node].inputs[1];
    int p = graph->nodes[node].outputs[1], column = -1, part, total;
    int last = nnc_value_array(graph, x).shape.rank - 1;
    nnc_attrs attrs = {.k = {-1}};
    if (dy[0] >= 0)
        NNC_TRY(emit_column(graph, dy[0], &column));
    if (need[0] && column >= 0) {
        NNC_TRY(nnc_emit_reduce(graph, NNC_OP_sum, t, last, true, &total));
        NNC_TRY(nnc_emit2(graph, NNC_OP_multiply, NULL, p, total, &part));
        NNC_TRY(nnc_emit2(graph, NNC_OP_subtract, NULL, part, t, &part));
        NNC_TRY(nnc_emit2(graph, NNC_OP_multiply, NULL, part, column, &dx[0]));
    }
    if (need[0])
        NNC_TRY(add_through_p(graph, p, dy[1], &dx[0]));
    if (need[1] && column >= 0) {
        NNC_TRY(nnc_emit1(graph, NNC_OP_log_softmax, &attrs, x, &part));
        NNC_TRY(nnc_emit1(graph, NNC_OP_negative, NULL, part, &part));
        NNC_TRY(nnc_emit2(graph, NNC_OP_multiply, NULL, part, column, &dx[1]));
    }
done:
    return status;
}

nnc_status nnc_op_sparse_softmax_crossentropy_gradient(nnc_graph *graph, int node, const int *dy,
                                                       const bool *need, int *dx)
{
    nnc_status status = NNC_OK;
    int labels = graph->nodes[node].inputs[1], p = graph->nodes[node].outputs[1];
    if (!need[0])
        return NNC_OK;
    if (dy[0] >= 0)
        NNC_TRY(nnc_emit3(graph, NNC_OP_sparse_softmax_crossentropy_grad, NULL, p, labels, dy[0],
                          &dx[0]));
    NNC_TRY(add_through_p(graph, p, dy[1], &dx[0]));
done:
    return status;
}

/* z = (p - one_hot) dloss, g its gradient: for p: g dloss;  for dloss: sum(g (p - one_hot)). */
nnc_status nnc_op_sparse_grad_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                       int *dx)
{
    nnc_status status = NNC_OK;
    int p = graph->nodes[node].inputs[0], labels = graph->nodes[node].inputs[1];
    int dloss = graph->nodes[node].inputs[2], column, hot, part;
    nnc_array array = nnc_value_array(graph, p);
    nnc_attrs attrs = {.k = {classes_of(&array), -1}, .dtype = array.dtype};
    if (need[0]) {
        NNC_TRY(emit_column(graph, dloss, &column));
        NNC_TRY(nnc_emit2(graph, NNC_OP_multiply, NULL, dy[0], column, &dx[0]));
    }
    if (need[2]) {
        NNC_TRY(nnc_emit_cast(graph, labels, NNC_I64, &hot));
        NNC_TRY(nnc_emit1(graph, NNC_OP_one_hot, &attrs, hot, &hot));
        NNC_TRY(nnc_emit2(graph, NNC_OP_subtract, NULL, p, hot, &part));
        NNC_TRY(nnc_emit2(graph, NNC_OP_multiply, NULL, dy[0], part, &part));
        NNC_TRY(nnc_emit_reduce(graph, NNC_OP_sum, part, array.shape.rank - 1, false, &dx[2]));
    }
done:
    return status;
}
