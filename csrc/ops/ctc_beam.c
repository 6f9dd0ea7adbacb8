/* ctc_beam.c - the likeliest label sequences of a CTC model: prefix beam search (Graves 2012,
 * Hannun et al. 2014).
 *
 * For each of b samples: logits x (t, v). A prefix has two chances, of paths that end in a blank
 * and of those that do not, as logarithms. At each time a prefix stays as it is (blank, or its last
 * label again) or goes on by a label (the last one only after a blank); the `width` best are kept.
 * Prefixes are entries of a tree, so that one that was dropped and comes again is the same. Where
 * chances are equal the one found first wins. */
#include "ops/ctc.h"
#include "ops/support.h"
#include "ops/table.h"

#include <math.h>
#include <string.h>

typedef struct {
    int32_t parent, label, child, sibling;
    int32_t place;          /* in the beam, or -1 */
} entry;

typedef struct {
    double blank, other, all;
    int32_t node;           /* -1: not made yet */
    int32_t parent, label;
} prefix;

typedef struct {
    int64_t t, v, width, blank;
    const double *logp;     /* (v) of the time in hand */
    entry *tree;
    int32_t tree_count;
    prefix *beam, *next;    /* (width), the best first */
    int64_t count, next_count;
} search;

/* logp, tree, beam, next: bytes, each a multiple of 64. */
static void rooms(int64_t t, int64_t v, int64_t width, int64_t room[4])
{
    room[0] = v * 8;
    room[1] = (1 + t * width) * (int64_t)sizeof(entry);
    room[2] = room[3] = width * (int64_t)sizeof(prefix);
    for (int i = 0; i < 4; i++)
        room[i] = (room[i] + 63) / 64 * 64;
}

static int64_t workspace_each(const nnc_call *call)
{
    const nnc_shape *x = &call->in[0].shape;
    int64_t room[4];
    rooms(x->dim[1], x->dim[2], call->attrs->k[0], room);
    return room[0] + room[1] + room[2] + room[3];
}

/* (b, t, v), (b) -> (paths, b, t) int32, (b, paths) */
nnc_status nnc_op_ctc_beam_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                 int input_count, nnc_array *out)
{
    nnc_status status;
    const nnc_shape *x = &in[0].shape;
    int64_t width = attrs->k[0], paths = attrs->k[1], blank = attrs->k[2], bytes;
    (void)input_count;
    NNC_TRY(nnc_check_real(op, in[0].dtype));
    if (x->rank != 3 || in[1].dtype != NNC_I64 || in[1].shape.rank != 1 ||
        in[1].shape.dim[0] != x->dim[0])
        return nnc_fail(NNC_EVALUE, "%s: expected logits of shape (batch, time, classes) and "
                        "int64 lengths (batch,)", nnc_op_name(op));
    if (blank < 0 || blank >= x->dim[2])
        return nnc_fail(NNC_EVALUE, "%s: the blank must be one of %lld classes, received %lld",
                        nnc_op_name(op), (long long)x->dim[2], (long long)blank);
    if (width < 1 || width > 1 << 20 || paths < 1 || paths > width)
        return nnc_fail(NNC_EVALUE, "%s: expected 1 <= top_paths <= beam_width <= 1048576, "
                        "received top_paths %lld and beam_width %lld", nnc_op_name(op),
                        (long long)paths, (long long)width);
    NNC_TRY(nnc_size_mul(x->dim[1] + 1, width * (int64_t)sizeof(entry), &bytes));
    if (bytes > INT32_MAX)
        return nnc_fail(NNC_ENOMEM, "%s: a beam of %lld over %lld times is too large",
                        nnc_op_name(op), (long long)width, (long long)x->dim[1]);
    NNC_TRY(nnc_size_mul(bytes + x->dim[2] * 8, x->dim[0] + 1, &bytes));
    out[0].dtype = NNC_I32;
    out[0].shape = (nnc_shape){.rank = 3, .dim = {paths, x->dim[0], x->dim[1]}};
    out[1].dtype = in[0].dtype;
    out[1].shape = (nnc_shape){.rank = 2, .dim = {x->dim[0], paths}};
    NNC_TRY(nnc_shape_bytes(&out[0].shape, NNC_I32, &bytes));
done:
    return status;
}

void nnc_op_ctc_beam_plan(const nnc_call *call, nnc_work *work)
{
    const nnc_shape *x = &call->in[0].shape;
    int64_t b = x->dim[0];
    *work = (nnc_work){.phases = 1, .pieces = {b > 0 ? b : 1},
                       .workspace = b * workspace_each(call),
                       .cost = 20.0 * (double)b * (double)x->dim[1] * (double)x->dim[2] *
                           (double)call->attrs->k[0]};
}

static double log_sum(double a, double b)
{
    double top = a > b ? a : b, low = a > b ? b : a;
    return low == -INFINITY ? top : top + log1p(exp(low - top));
}

static int32_t child_of(const search *s, int32_t node, int32_t label)
{
    int32_t child = s->tree[node].child;
    while (child >= 0 && s->tree[child].label != label)
        child = s->tree[child].sibling;
    return child;
}

/* Among the best, if there is room or it is better than the last. */
static void keep(search *s, prefix p)
{
    int64_t at = s->next_count;
    p.all = log_sum(p.blank, p.other);
    if (p.all == -INFINITY || (at == s->width && !(p.all > s->next[at - 1].all)))
        return;
    if (at == s->width)
        at--;
    else
        s->next_count++;
    for (; at > 0 && p.all > s->next[at - 1].all; at--)
        s->next[at] = s->next[at - 1];
    s->next[at] = p;
}

/* What prefix i gains when it goes on by a label. */
static double extended(const search *s, const prefix *p, int32_t label)
{
    return (s->tree[p->node].label == label ? p->blank : p->all) + s->logp[label];
}

/* Makes the kept prefixes the beam. */
static void advance(search *s)
{
    for (int64_t i = 0; i < s->count; i++)
        s->tree[s->beam[i].node].place = -1;
    for (int64_t i = 0; i < s->next_count; i++) {
        prefix *p = &s->next[i];
        if (p->node < 0) {
            p->node = s->tree_count++;
            s->tree[p->node] = (entry){.parent = p->parent, .label = p->label, .child = -1,
                                       .sibling = s->tree[p->parent].child};
            s->tree[p->parent].child = p->node;
        }
        s->tree[p->node].place = (int32_t)i;
    }
    prefix *other = s->beam;
    s->beam = s->next;
    s->next = other;
    s->count = s->next_count;
}

/* One time. Prefixes that stay take over what comes to them from their parents. */
static void one_time(search *s)
{
    s->next_count = 0;
    for (int64_t i = 0; i < s->count; i++) {
        const prefix *p = &s->beam[i];
        const entry *e = &s->tree[p->node];
        prefix stays = {.node = p->node, .blank = p->all + s->logp[s->blank],
                        .other = e->label < 0 ? -INFINITY : p->other + s->logp[e->label]};
        int32_t from = e->parent < 0 ? -1 : s->tree[e->parent].place;
        if (from >= 0)
            stays.other = log_sum(stays.other, extended(s, &s->beam[from], e->label));
        keep(s, stays);
    }
    for (int64_t i = 0; i < s->count; i++) {
        const prefix *p = &s->beam[i];
        for (int32_t label = 0; label < s->v; label++) {
            prefix on = {.blank = -INFINITY, .parent = p->node, .label = label};
            if (label == s->blank)
                continue;
            on.node = child_of(s, p->node, label);
            if (on.node >= 0 && s->tree[on.node].place >= 0)
                continue;                       /* it is in the beam itself */
            on.other = extended(s, p, label);
            keep(s, on);
        }
    }
    advance(s);
}

/* The labels of a prefix, from its end, into a row of -1. */
static void write_labels(const search *s, int32_t node, int32_t *row)
{
    int64_t length = 0;
    for (int32_t at = node; s->tree[at].parent >= 0; at = s->tree[at].parent)
        length++;
    for (int32_t at = node; s->tree[at].parent >= 0; at = s->tree[at].parent)
        row[--length] = s->tree[at].label;
}

/* One piece a sample. */
void nnc_op_ctc_beam_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const nnc_array *x = &call->in[0];
    int64_t b = x->shape.dim[0], t = x->shape.dim[1], paths = call->attrs->k[1], room[4];
    int64_t size = nnc_dtype_size(x->dtype), each = workspace_each(call);
    (void)phase;
    rooms(t, x->shape.dim[2], call->attrs->k[0], room);
    for (int64_t i = begin; i < end && i < b; i++) {
        char *work = (char *)call->workspace + i * each;
        double *logp = (double *)(void *)work;
        search s = {.t = t, .v = x->shape.dim[2], .width = call->attrs->k[0],
                    .blank = call->attrs->k[2], .logp = logp, .tree_count = 1, .count = 1,
                    .tree = (entry *)(void *)(work + room[0]),
                    .beam = (prefix *)(void *)(work + room[0] + room[1]),
                    .next = (prefix *)(void *)(work + room[0] + room[1] + room[2])};
        int64_t steps = ((const int64_t *)call->in[1].data)[i];
        if (steps < 0 || steps > t) {
            nnc_call_fault(call, NNC_EVALUE, i, "ctc_decode (ctc_beam): sample %lld has a length "
                           "of %lld (at most %lld)", (long long)i, (long long)steps, (long long)t);
            steps = 0;
        }
        s.tree[0] = (entry){.parent = -1, .label = -1, .child = -1, .sibling = -1};
        s.beam[0] = (prefix){.other = -INFINITY};
        for (int64_t at = 0; at < steps; at++) {
            nnc_ctc_log_softmax(x, i * t + at, s.v, logp);
            one_time(&s);
        }
        for (int64_t p = 0; p < paths; p++) {
            int32_t *row = (int32_t *)call->out[0].data + (p * b + i) * t;
            double score = p < s.count ? s.beam[p].all : -INFINITY;
            memset(row, 0xff, (size_t)t * sizeof *row);
            if (p < s.count)
                write_labels(&s, s.beam[p].node, row);
            nnc_convert(&score, NNC_F64, (char *)call->out[1].data + (i * paths + p) * size,
                        x->dtype, 1);
        }
    }
}
