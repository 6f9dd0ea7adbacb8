/* loss.c - cross-entropy of softmax(logits), which has a better gradient than its parts.
 *
 * Rows of c logits x; p = softmax(x).
 *   dense target t: loss = -sum(t log p),  dlogits = (p sum(t) - t) dloss
 *   labels:         loss = -log p[label],  dlogits = (p - one_hot) dloss
 * p is an output too, and what comes back through it is added to dlogits. The rows themselves are
 * the kernels' (crossentropy.inc).
 * Labels are checked here: any integer dtype, or floats holding whole numbers. */
#include "ops/loss.h"
#include "ops/support.h"
#include "ops/table.h"


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

#define CHECK_LABELS(tag, type)                                                                    \
    case NNC_##tag:                                                                                \
        for (int64_t i = 0; i < n; i++) {                                                          \
            labels[i] = (int64_t)((const type *)call->in[1].data)[row + i];                        \
            wrong |= (uint64_t)labels[i] >= (uint64_t)c;                                           \
        }                                                                                          \
        break

/* The labels of n rows; what is no class is told, and becomes 0. */
static void read_labels(nnc_call *call, int64_t row, int64_t n, int64_t c, int64_t *labels)
{
    bool wrong = false;
    switch (call->in[1].dtype) {
    CHECK_LABELS(BOOL, uint8_t);
    CHECK_LABELS(U8, uint8_t);
    CHECK_LABELS(U16, uint16_t);
    CHECK_LABELS(U32, uint32_t);
    CHECK_LABELS(U64, uint64_t);
    CHECK_LABELS(I8, int8_t);
    CHECK_LABELS(I16, int16_t);
    CHECK_LABELS(I32, int32_t);
    CHECK_LABELS(I64, int64_t);
    default:
        wrong = true;
    }
    for (int64_t i = 0; wrong && i < n; i++)
        labels[i] = checked_label(call, row + i, c);
}

/* What is computed of rows row..row+count-1; data NULL: not wanted. Labels go through a block. */
typedef struct {
    const void *dloss, *weights;
    void *loss, *hit, *p, *dx, *scratch;
    bool hit_of_x;
} wanted;

enum { BLOCK = 256 };

#define AT(pointer, real, place) (pointer == NULL ? NULL : (real *)pointer + (place))
#define CROSSENTROPY(suffix, real)                                                                 \
    static void crossentropy_##suffix(nnc_call *call, const wanted *w, int64_t row, int64_t count) \
    {                                                                                              \
        int64_t c = classes_of(&call->in[0]), labels[BLOCK];                                       \
        bool dense = nnc_shape_equal(&call->in[1].shape, &call->in[0].shape);                      \
        for (int64_t stop = row + count, n; row < stop; row += n) {                                \
            n = stop - row < BLOCK ? stop - row : BLOCK;                                           \
            nnc_crossentropy_##suffix rows = {                                                     \
                .c = c, .x = (const real *)call->in[0].data + row * c, .label = labels,            \
                .target = dense ? (const real *)call->in[1].data + row * c : NULL,                 \
                .dloss = AT(w->dloss, const real, row), .loss = AT(w->loss, real, row),            \
                .hit = AT(w->hit, real, row), .p = AT(w->p, real, row * c),                        \
                .dx = AT(w->dx, real, row * c), .hit_of_x = w->hit_of_x, .scratch = w->scratch};   \
            if (!dense)                                                                            \
                read_labels(call, row, n, c, labels);                                              \
            nnc_kernels->suffix->crossentropy(&rows, n);                                           \
            for (int64_t i = 0; w->weights != NULL && rows.loss != NULL && i < n; i++)             \
                rows.loss[i] *= ((const real *)w->weights)[row + i];                               \
        }                                                                                          \
    }
CROSSENTROPY(f32, float)
CROSSENTROPY(f64, double)

static void run_rows(nnc_call *call, const wanted *w, int64_t row, int64_t count)
{
    (call->in[0].dtype == NNC_F32 ? crossentropy_f32 : crossentropy_f64)(call, w, row, count);
}

void nnc_op_softmax_crossentropy_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    int64_t count, row = piece_rows(call, begin, end, &count);
    wanted w = {.loss = call->out[0].data, .p = call->out[1].data};
    (void)phase;
    run_rows(call, &w, row, count);
}

/* ---- softmax_loss: all that a step of training or evaluation wants of the rows ---- */

enum { STEP_PIECE = 4096 };                         /* elements: some 10 us */

nnc_status nnc_op_softmax_loss_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                     int input_count, nnc_array *out)
{
    nnc_status status;
    bool weighted = attrs->k[NNC_LOSS_WEIGHTED] != 0;
    nnc_array rows;
    if (input_count < 2 + weighted || input_count > 3 + weighted)
        return nnc_fail(NNC_EVALUE, "%s: expected logits, target%s%s, received %d inputs",
                        nnc_op_name(op), ", perhaps a gradient", weighted ? ", weights" : "",
                        input_count);
    NNC_TRY(check_logits(op, &in[0]));
    rows = (nnc_array){.dtype = in[0].dtype, .shape = in[0].shape};
    rows.shape.rank--;
    for (int k = 1; k < input_count; k++) {
        bool target = k == 1 && nnc_shape_equal(&in[1].shape, &in[0].shape);
        if (k > 1 || target)
            NNC_TRY(nnc_check_same_dtype(op, &in[0], &in[k]));
        if (target || nnc_shape_size(&in[k].shape) == nnc_shape_size(&rows.shape))
            continue;
        status = nnc_fail(NNC_EVALUE, "%s: input %d: expected a number for each row",
                          nnc_op_name(op), k);
        goto done;
    }
    out[NNC_LOSS_ROWS] = out[NNC_LOSS_HIT] = rows;
    out[NNC_LOSS_P] = out[NNC_LOSS_GRADIENT] =
        (nnc_array){.dtype = in[0].dtype, .shape = in[0].shape};
    out[NNC_LOSS_MEAN] = out[NNC_LOSS_SCALED] = out[NNC_LOSS_HITS] =
        (nnc_array){.dtype = in[0].dtype};
done:
    return status;
}

/* Rows of a piece. */
static int64_t step_rows(const nnc_call *call)
{
    int64_t c = classes_of(&call->in[0]);
    return c < STEP_PIECE ? STEP_PIECE / c : 1;
}

/* The workspace: losses; from here on hits; then a row for each piece if there is no gradient. */
static int64_t step_hits_at(const nnc_call *call)
{
    return (rows_of(call) * nnc_dtype_size(call->in[0].dtype) + 63) / 64 * 64;
}

void nnc_op_softmax_loss_plan(const nnc_call *call, nnc_work *work)
{
    int64_t rows = rows_of(call), c = classes_of(&call->in[0]), by = step_rows(call);
    int64_t pieces = rows > by ? (rows + by - 1) / by : 1;
    *work = (nnc_work){.phases = pieces > 1 ? 2 : 1, .pieces = {pieces, 1},
                       .workspace = 2 * step_hits_at(call),
                       .cost = 100.0 + 3.0 * (double)rows * (double)c};
    if (call->attrs->k[NNC_LOSS_NO_GRADIENT])
        work->workspace += (pieces > NNC_LOSS_PARTS ? pieces : NNC_LOSS_PARTS) * c *
            nnc_dtype_size(call->in[0].dtype);
}

/* The numbers that stand for all rows. */
#define FINISH(suffix, real)                                                                       \
    static void finish_##suffix(nnc_call *call, const wanted *w)                                   \
    {                                                                                              \
        const nnc_kernels_##suffix *k = nnc_kernels->suffix;                                       \
        real *mean = call->out[NNC_LOSS_MEAN].data, *scaled = call->out[NNC_LOSS_SCALED].data;     \
        real *hits = call->out[NNC_LOSS_HITS].data;                                                \
        int64_t rows = rows_of(call);                                                              \
        if (mean != NULL || scaled != NULL) {                                                      \
            real value = k->sum(w->loss, rows) / (real)rows;                                       \
            if (mean != NULL)                                                                      \
                *mean = value;                                                                     \
            if (scaled != NULL)                                                                    \
                *scaled = value * (real)call->attrs->f[0];                                         \
        }                                                                                          \
        if (hits != NULL)                                                                          \
            *hits = k->sum(w->hit, rows);                                                          \
    }
FINISH(f32, float)
FINISH(f64, double)

static wanted wanted_of_step(const nnc_call *call, int64_t piece)
{
    int weighted = call->attrs->k[NNC_LOSS_WEIGHTED] != 0, last = call->input_count - 1;
    int64_t size = nnc_dtype_size(call->in[0].dtype), hits_at = step_hits_at(call);
    char *spare = call->workspace;
    wanted w = {.p = call->out[NNC_LOSS_P].data, .dx = call->out[NNC_LOSS_GRADIENT].data,
                .loss = call->out[NNC_LOSS_ROWS].data, .hit = call->out[NNC_LOSS_HIT].data,
                .dloss = last - weighted == 2 ? call->in[2].data : NULL,
                .weights = weighted ? call->in[last].data : NULL,
                .hit_of_x = call->attrs->k[NNC_LOSS_HIT_OF_X] != 0};
    if (w.loss == NULL && (call->out[NNC_LOSS_MEAN].data != NULL ||
                           call->out[NNC_LOSS_SCALED].data != NULL))
        w.loss = spare;
    if (w.hit == NULL && call->out[NNC_LOSS_HITS].data != NULL)
        w.hit = spare + hits_at;
    if (call->attrs->k[NNC_LOSS_NO_GRADIENT])
        w.scratch = spare + 2 * hits_at + piece * classes_of(&call->in[0]) * size;
    return w;
}

void nnc_softmax_loss_rows(nnc_call *call, int64_t part, int64_t row, int64_t count)
{
    wanted w = wanted_of_step(call, part);
    run_rows(call, &w, row, count);
}

void nnc_softmax_loss_finish(nnc_call *call)
{
    wanted w = wanted_of_step(call, 0);
    if (call->in[0].dtype == NNC_F32)
        finish_f32(call, &w);
    else
        finish_f64(call, &w);
}

void nnc_op_softmax_loss_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    if (phase == 0) {
        int64_t count, row = nnc_piece_range(rows_of(call), step_rows(call), begin, end, &count);
        nnc_softmax_loss_rows(call, begin, row, count);
    }
    if (phase + 1 == call->work.phases)
        nnc_softmax_loss_finish(call);
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
