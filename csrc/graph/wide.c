/* wide.c - ops on float16 and bfloat16 by way of float32.
 *
 * A call is run on float32 copies of its 16-bit arrays, which lie in its workspace: a phase that
 * widens what is read, the op's own phases, a phase that rounds what is written, to nearest even.
 * So an op rounds once whatever it does inside, and sums are float32 sums. Ops whose kernels take
 * 16-bit floats block by block (NNC_HALF in ops.def) do not come here.
 *
 * Workspace: the op's own, then the copies of inputs and outputs one after another. */
#include "graph/wide.h"

#include "graph/call.h"
#include "kernels/kernels.h"
#include "ops/table.h"

enum { MOST_INPUTS = 12, PIECE = 16384 };

static bool is_half(const nnc_array *array)
{
    return nnc_half_of(array->dtype) != NNC_HALF_NONE;
}

bool nnc_wide_needed(const nnc_call *call)
{
    unsigned flags = nnc_ops[call->op].flags;
    if ((flags & (NNC_HALF | NNC_VIEW)) || ((flags & NNC_HALF_FACTORS) && !is_half(&call->in[0])))
        return false;
    for (int i = 0; i < call->input_count; i++) {
        if (is_half(&call->in[i]))
            return call->input_count <= MOST_INPUTS;
    }
    for (int i = 0; i < call->output_count; i++) {
        if (is_half(&call->out[i]))
            return call->input_count <= MOST_INPUTS;
    }
    return false;
}

/* The call as the op sees it. */
typedef struct {
    nnc_call call;
    nnc_array in[MOST_INPUTS];
    int64_t own;            /* bytes of the op's own workspace, rounded up */
    int64_t reads, writes;  /* pieces of the first and of the last phase; 0: there is none */
    double numbers;         /* of both phases */
} inside;

static int64_t pieces_of(const nnc_array *array)
{
    return (nnc_shape_size(&array->shape) + PIECE - 1) / PIECE;
}

/* Inputs that the op writes are rounded at the end as outputs are. */
static bool is_written(const nnc_call *call, int input)
{
    return input < nnc_op_effects(&nnc_ops[call->op]);
}

/* Gives the array its place behind the copies so far. */
static void place(nnc_array *array, const nnc_call *call, int64_t *at)
{
    if (!is_half(array))
        return;
    array->dtype = NNC_F32;
    array->data = call->workspace == NULL ? NULL : (char *)call->workspace + *at;
    *at += (nnc_shape_size(&array->shape) * 4 + 63) / 64 * 64;
}

/* Returns the bytes of the whole workspace. */
static int64_t look_inside(const nnc_call *call, inside *w)
{
    int64_t at;
    w->call = *call;
    w->call.in = w->in;
    w->reads = w->writes = 0;
    w->numbers = 0;
    for (int i = 0; i < call->input_count; i++) {
        w->in[i] = call->in[i];
        if (!is_half(&call->in[i]))
            continue;
        w->in[i].dtype = NNC_F32;
        w->reads += pieces_of(&call->in[i]);
        w->writes += is_written(call, i) ? pieces_of(&call->in[i]) : 0;
        w->numbers += (double)nnc_shape_size(&call->in[i].shape) * (1 + is_written(call, i));
    }
    for (int i = 0; i < call->output_count; i++) {
        if (!is_half(&call->out[i]))
            continue;
        w->call.out[i].dtype = NNC_F32;
        w->writes += pieces_of(&call->out[i]);
        w->numbers += (double)nnc_shape_size(&call->out[i].shape);
    }
    nnc_call_plan_op(&w->call);
    at = w->own = (w->call.work.workspace + 63) / 64 * 64;
    for (int i = 0; i < call->input_count; i++) {
        w->in[i].dtype = call->in[i].dtype;
        place(&w->in[i], call, &at);
    }
    for (int i = 0; i < call->output_count; i++) {
        w->call.out[i].dtype = call->out[i].dtype;
        place(&w->call.out[i], call, &at);
    }
    return at;
}

void nnc_wide_plan(const nnc_call *call, nnc_work *work)
{
    inside w;
    nnc_call shapes = *call;
    shapes.workspace = NULL;
    int64_t bytes = look_inside(&shapes, &w);
    const nnc_work *own = &w.call.work;
    *work = (nnc_work){.workspace = bytes,
                       .cost = own->cost + 0.1 * w.numbers};
    if (w.reads > 0)
        work->pieces[work->phases++] = w.reads;
    for (int phase = 0; phase < own->phases; phase++)
        work->pieces[work->phases++] = own->pieces[phase];
    if (w.writes > 0)
        work->pieces[work->phases++] = w.writes;
}

/* y[i], x[i] rounded, must not be above x[i]: a uniform number stays below its bound. */
static void round_down(const float *x, uint16_t *y, int half, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float back;
        nnc_kernels->half->widen[half](&y[i], &back, 1);
        if (back > x[i])
            y[i] = (uint16_t)(y[i] & 0x8000 ? y[i] + 1 : y[i] - 1);
    }
}

/* The parts of `narrow` that pieces begin..end-1 are about, `before` being those of other arrays;
 * from its 16 bits to its copy, or back. */
static void convert(const nnc_array *narrow, const nnc_array *copy, bool back, int64_t *before,
                    int64_t begin, int64_t end)
{
    int half = nnc_half_of(narrow->dtype);
    int64_t n = nnc_shape_size(&narrow->shape), pieces = pieces_of(narrow);
    int64_t first = begin - *before, last = end - *before;
    *before += pieces;
    first = (first > 0 ? first : 0) * PIECE;
    last = (last < pieces ? last : pieces) * PIECE;
    last = last < n ? last : n;
    if (first >= last)
        return;
    if (back)
        nnc_kernels->half->narrow[half]((const float *)copy->data + first,
                                        (uint16_t *)narrow->data + first, last - first);
    else
        nnc_kernels->half->widen[half]((const uint16_t *)narrow->data + first,
                                       (float *)copy->data + first, last - first);
}

void nnc_wide_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    inside w;
    int64_t before = 0;
    look_inside(call, &w);
    bool reading = w.reads > 0 && phase == 0;
    int own = phase - (w.reads > 0);
    if (!reading && own < w.call.work.phases) {
        nnc_ops[call->op].run(&w.call, own, begin, end);
        return;
    }
    for (int i = 0; i < call->input_count; i++) {
        if (is_half(&call->in[i]) && (reading || is_written(call, i)))
            convert(&call->in[i], &w.in[i], !reading, &before, begin, end);
    }
    for (int i = 0; i < call->output_count && !reading; i++) {
        if (is_half(&call->out[i]))
            convert(&call->out[i], &w.call.out[i], true, &before, begin, end);
    }
    if (!reading && call->op == NNC_OP_random_uniform) {
        int64_t n = nnc_shape_size(&call->out[0].shape), first = begin * PIECE;
        int64_t last = end * PIECE < n ? end * PIECE : n, count = last > first ? last - first : 0;
        round_down((const float *)w.call.out[0].data + first,
                   (uint16_t *)call->out[0].data + first, nnc_half_of(call->out[0].dtype), count);
    }
}
