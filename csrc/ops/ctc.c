/* ctc.c - connectionist temporal classification: Graves et al. 2006.
 *
 * For each of b samples: logits x (t, v), labels (l), how many of each count. The labels with
 * blanks around them are s = 2 l + 1 states; a path begins in the first or second state and stays,
 * goes on by one, or by two over a blank between different labels. loss = -log(sum of the
 * paths' chances);
 * slope = dloss/dx = softmax(x) - the chance that a path shows a class at a time. Sums of
 * exponentials are made about their largest, in double. A sample without any path has an infinite
 * loss and the slope 0. Letters: f and g, the logarithms of all beginnings up to a state and of
 * all ends from it on. */
#include "ops/ctc.h"
#include "ops/support.h"
#include "ops/table.h"

#include <math.h>

typedef struct {
    int64_t t, v, l, s;     /* of the arrays */
    int64_t steps, states;  /* that count in this sample */
    int64_t blank;
    double *logp, *f, *g;   /* (t, v), (t, s), (t, s) */
    int64_t *label;         /* (s) */
} sample;

static int64_t workspace_each(const nnc_call *call)
{
    int64_t t = call->in[0].shape.dim[1], v = call->in[0].shape.dim[2];
    int64_t s = 2 * call->in[1].shape.dim[1] + 1;
    return t * v + 2 * t * s + s;
}

/* (b, t, v), (b, l), (b), (b) -> (b), (b, t, v) */
nnc_status nnc_op_ctc_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in, int input_count,
                            nnc_array *out)
{
    nnc_status status;
    const nnc_shape *x = &in[0].shape;
    NNC_TRY(nnc_check_real(op, in[0].dtype));
    for (int k = 1; k < input_count; k++) {
        int rank = k == 1 ? 2 : 1;
        if (in[k].dtype != NNC_I64 || in[k].shape.rank != rank || x->rank != 3 ||
            in[k].shape.dim[0] != x->dim[0]) {
            status = nnc_fail(NNC_EVALUE, "%s: expected logits of shape (batch, time, classes), "
                              "int64 labels (batch, length), and int64 lengths (batch,) of labels "
                              "and logits", nnc_op_name(op));
            goto done;
        }
    }
    if (attrs->k[0] < 0 || attrs->k[0] >= x->dim[2]) {
        status = nnc_fail(NNC_EVALUE, "%s: the blank must be one of %lld classes, received %lld",
                          nnc_op_name(op), (long long)x->dim[2], (long long)attrs->k[0]);
        goto done;
    }
    out[0].dtype = out[1].dtype = in[0].dtype;
    out[0].shape = in[2].shape;
    out[1].shape = *x;
done:
    return status;
}

void nnc_op_ctc_plan(const nnc_call *call, nnc_work *work)
{
    int64_t b = call->in[0].shape.dim[0], each = workspace_each(call);
    *work = (nnc_work){.phases = 1, .pieces = {b > 0 ? b : 1}, .workspace = b * each * 8,
                       .cost = (double)(b * each) * 30};
}

static double log_add(double a, double b)
{
    double top = a > b ? a : b, low = a > b ? b : a;
    return low == -INFINITY ? top : top + log1p(exp(low - top));
}

void nnc_ctc_log_softmax(const nnc_array *x, int64_t row, int64_t v, double *logp)
{
    int64_t size = nnc_dtype_size(x->dtype);
    double top = -INFINITY, sum = 0;
    nnc_convert((const char *)x->data + row * v * size, x->dtype, logp, NNC_F64, v);
    for (int64_t k = 0; k < v; k++)
        top = logp[k] > top ? logp[k] : top;
    for (int64_t k = 0; k < v; k++)
        sum += exp(logp[k] - top);
    for (int64_t k = 0; k < v; k++)
        logp[k] -= top + log(sum);
}

/* Reads labels and lengths; false (and a fault) if one is out of range. */
static bool read_sample(nnc_call *call, int64_t i, sample *a)
{
    const int64_t *labels = (const int64_t *)call->in[1].data + i * a->l;
    int64_t length = ((const int64_t *)call->in[2].data)[i];
    a->steps = ((const int64_t *)call->in[3].data)[i];
    if (length < 0 || length > a->l || a->steps < 0 || a->steps > a->t) {
        nnc_call_fault(call, NNC_EVALUE, i, "ctc_loss: sample %lld has a label length of %lld (at "
                       "most %lld) and an output length of %lld (at most %lld)", (long long)i,
                       (long long)length, (long long)a->l, (long long)a->steps, (long long)a->t);
        return false;
    }
    a->states = 2 * length + 1;
    for (int64_t k = 0; k < a->states; k++) {
        int64_t label = k % 2 ? labels[k / 2] : a->blank;
        if (label < 0 || label >= a->v) {
            nnc_call_fault(call, NNC_EINDEX, i, "ctc_loss: label %lld of sample %lld is outside "
                           "0..%lld", (long long)label, (long long)i, (long long)(a->v - 1));
            return false;
        }
        a->label[k] = label;
    }
    return true;
}

/* Whether a path may come into state k over the blank before it. */
static bool may_skip(const sample *a, int64_t k)
{
    return k >= 2 && k % 2 == 1 && a->label[k] != a->label[k - 2];
}

static void forward(const sample *a)
{
    for (int64_t t = 0; t < a->steps; t++) {
        double *now = a->f + t * a->s, *before = now - a->s;
        for (int64_t k = 0; k < a->states; k++) {
            double sum = t == 0 ? (k < 2 ? 0 : -INFINITY) : before[k];
            if (t > 0 && k >= 1)
                sum = log_add(sum, before[k - 1]);
            if (t > 0 && may_skip(a, k))
                sum = log_add(sum, before[k - 2]);
            now[k] = sum + a->logp[t * a->v + a->label[k]];
        }
    }
}

static void backward(const sample *a)
{
    for (int64_t t = a->steps - 1; t >= 0; t--) {
        double *now = a->g + t * a->s;
        const double *next = now + a->s, *logp = a->logp + (t + 1) * a->v;
        for (int64_t k = 0; k < a->states; k++) {
            if (t == a->steps - 1) {
                now[k] = k >= a->states - 2 ? 0 : -INFINITY;
                continue;
            }
            now[k] = next[k] + logp[a->label[k]];
            if (k + 1 < a->states)
                now[k] = log_add(now[k], next[k + 1] + logp[a->label[k + 1]]);
            if (k + 2 < a->states && may_skip(a, k + 2))
                now[k] = log_add(now[k], next[k + 2] + logp[a->label[k + 2]]);
        }
    }
}

/* The logarithm of the chance of the labels. */
static double total(const sample *a)
{
    if (a->steps == 0)
        return a->states == 1 ? 0 : -INFINITY;
    const double *last = a->f + (a->steps - 1) * a->s;
    double sum = last[a->states - 1];
    return a->states > 1 ? log_add(sum, last[a->states - 2]) : sum;
}

/* logp becomes the slope. */
static void slopes(const sample *a, double all)
{
    for (int64_t t = 0; t < a->t; t++) {
        double *row = a->logp + t * a->v;
        bool counts = t < a->steps && all > -INFINITY;
        for (int64_t k = 0; k < a->v; k++)
            row[k] = counts ? exp(row[k]) : 0;
        for (int64_t k = 0; counts && k < a->states; k++)
            row[a->label[k]] -= exp(a->f[t * a->s + k] + a->g[t * a->s + k] - all);
    }
}

/* One piece a sample. */
void nnc_op_ctc_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const nnc_array *x = &call->in[0], *slope = &call->out[1];
    int64_t b = x->shape.dim[0], each = workspace_each(call), size = nnc_dtype_size(x->dtype);
    sample a = {.t = x->shape.dim[1], .v = x->shape.dim[2], .l = call->in[1].shape.dim[1],
                .blank = call->attrs->k[0]};
    (void)phase;
    a.s = 2 * a.l + 1;
    for (int64_t i = begin; i < end && i < b; i++) {
        double all = -INFINITY, loss;
        a.logp = (double *)call->workspace + i * each;
        a.f = a.logp + a.t * a.v;
        a.g = a.f + a.t * a.s;
        a.label = (int64_t *)(a.g + a.t * a.s);
        for (int64_t t = 0; t < a.t; t++)
            nnc_ctc_log_softmax(x, i * a.t + t, a.v, a.logp + t * a.v);
        a.steps = a.states = 0;
        if (read_sample(call, i, &a)) {
            forward(&a);
            backward(&a);
            all = total(&a);
        }
        slopes(&a, all);
        loss = -all;
        nnc_convert(&loss, NNC_F64, (char *)call->out[0].data + i * size, x->dtype, 1);
        nnc_convert(a.logp, NNC_F64, (char *)slope->data + i * a.t * a.v * size, x->dtype,
                    a.t * a.v);
    }
}

/* dx = slope dloss. */
nnc_status nnc_op_ctc_gradient(nnc_graph *graph, int node, const int *dy, const bool *need, int *dx)
{
    nnc_status status = NNC_OK;
    int slope = graph->nodes[node].outputs[1], column;
    nnc_array array = nnc_value_array(graph, slope);
    nnc_shape shape = array.shape;
    if (need[0] && dy[1] >= 0)
        return nnc_fail(NNC_EVALUE, "ctc_loss: second derivatives cannot be computed");
    if (!need[0] || dy[0] < 0)
        return NNC_OK;
    shape.dim[1] = shape.dim[2] = 1;
    NNC_TRY(nnc_emit_reshape(graph, dy[0], &shape, &column));
    NNC_TRY(nnc_emit2(graph, NNC_OP_multiply, NULL, slope, column, &dx[0]));
done:
    return status;
}
