/* shape.c - where elements lie: reshape, broadcast, transpose, concatenate, slice, pad, fill,
 * arange.
 *
 * Nothing here computes: elements are moved by their size, whatever their dtype. Each op that
 * loses or repeats elements names the one that undoes it: that is its gradient. */
#include "ops/support.h"
#include "ops/table.h"

#include <math.h>
#include <string.h>

static int64_t size_of(const nnc_array *array)
{
    return nnc_shape_size(&array->shape);
}

/* ---- reshape, stop_gradient, copy ---- */

/* One size may be -1: what is left. */
nnc_status nnc_op_reshape_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                int input_count, nnc_array *out)
{
    nnc_status status;
    nnc_attrs sizes = *attrs;
    int64_t n = size_of(&in[0]);
    int open = -1;
    char from[NNC_SHAPE_TEXT], to[NNC_SHAPE_TEXT];
    (void)input_count;
    for (int i = 0; i < sizes.list_count && i < NNC_MAX_RANK; i++) {
        if (sizes.list[i] == -1 && open < 0) {
            open = i;
            sizes.list[i] = 1;
        }
    }
    NNC_TRY(nnc_check_shape(op, &sizes, in[0].dtype, &out->shape));
    out->dtype = in[0].dtype;
    if (open >= 0) {
        int64_t known = nnc_shape_size(&out->shape);
        out->shape.dim[open] = known > 0 && n % known == 0 ? n / known : -1;
    }
    if ((open >= 0 && out->shape.dim[open] < 0) || nnc_shape_size(&out->shape) != n)
        status = nnc_fail(NNC_EVALUE, "%s: cannot reshape %s (%lld elements) to %s",
                          nnc_op_name(op), nnc_shape_text(&in[0].shape, from), (long long)n,
                          nnc_shape_text(&out->shape, to));
done:
    return status;
}

nnc_status nnc_op_reshape_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                   int *dx)
{
    nnc_shape shape = nnc_value_array(graph, graph->nodes[node].inputs[0]).shape;
    return need[0] ? nnc_emit_reshape(graph, dy[0], &shape, &dx[0]) : NNC_OK;
}

nnc_status nnc_op_identity_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                 int input_count, nnc_array *out)
{
    (void)op, (void)attrs, (void)input_count;
    out->dtype = in[0].dtype;
    out->shape = in[0].shape;
    return NNC_OK;
}

/* What only moves elements: pieces of the result. */
void nnc_op_moves_plan(const nnc_call *call, nnc_work *work)
{
    nnc_plan_elements(work, size_of(&call->out[0]), 0.25);
}

/* Two phases: a constant into the whole result, then the input into its part. */
void nnc_op_spread_plan(const nnc_call *call, nnc_work *work)
{
    nnc_work part;
    nnc_plan_elements(work, size_of(&call->out[0]), 0.15);
    nnc_plan_elements(&part, size_of(&call->in[0]), 0.25);
    work->phases = 2;
    work->pieces[1] = part.pieces[0];
    work->cost += part.cost;
}

/* Pieces begin..end-1 of an array: where they are, and how many elements. */
static char *pieces_of(const nnc_array *y, int64_t begin, int64_t end, int64_t *first,
                       int64_t *count)
{
    *first = nnc_piece_range(size_of(y), NNC_PIECE, begin, end, count);
    return (char *)y->data + *first * nnc_dtype_size(y->dtype);
}

void nnc_op_copy_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const nnc_array *y = &call->out[0];
    int64_t first, count, size = nnc_dtype_size(y->dtype);
    char *to = pieces_of(y, begin, end, &first, &count);
    (void)phase;
    if (count > 0)
        nnc_move((const char *)call->in[0].data + first * size, 1, to, count, size);
}

nnc_status nnc_op_copy_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                int *dx)
{
    (void)graph, (void)node;
    dx[0] = need[0] ? dy[0] : -1;
    return NNC_OK;
}

/* ---- walks over one operand ---- */

/* y[first..first+count-1] = x at the walk's places. */
static void gather_walk(nnc_walk *walk, const char *x, char *y, int64_t first, int64_t count,
                        int64_t size)
{
    nnc_walk_seek(walk, first, count);
    for (int64_t n; (n = nnc_walk_next(walk)) > 0;)
        nnc_move(x + walk->at[0] * size, walk->step[0], y + (walk->done - n) * size, n, size);
}

/* y at the walk's places = x[first..first+count-1]. */
static void scatter_walk(nnc_walk *walk, const char *x, char *y, int64_t first, int64_t count,
                         int64_t size)
{
    nnc_walk_seek(walk, first, count);
    for (int64_t n; (n = nnc_walk_next(walk)) > 0;)
        nnc_scatter(x + (walk->done - n) * size, y + walk->at[0] * size, walk->step[0], n, size);
}

/* ---- broadcast_to ---- */

nnc_status nnc_op_broadcast_to_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                     int input_count, nnc_array *out)
{
    nnc_status status;
    nnc_shape both;
    char from[NNC_SHAPE_TEXT], to[NNC_SHAPE_TEXT];
    (void)input_count;
    NNC_TRY(nnc_check_shape(op, attrs, in[0].dtype, &out->shape));
    out->dtype = in[0].dtype;
    if (!nnc_shape_broadcast(&in[0].shape, &out->shape, &both) ||
        !nnc_shape_equal(&both, &out->shape))
        status = nnc_fail(NNC_EVALUE, "%s: shape %s does not broadcast to %s", nnc_op_name(op),
                          nnc_shape_text(&in[0].shape, from), nnc_shape_text(&out->shape, to));
done:
    return status;
}

void nnc_op_broadcast_to_plan(const nnc_call *call, nnc_work *work)
{
    nnc_plan_elements(work, size_of(&call->out[0]), 0.15);
}

void nnc_op_broadcast_to_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const nnc_array *y = &call->out[0];
    nnc_walk walk;
    int64_t count, first = nnc_piece_range(size_of(y), NNC_PIECE, begin, end, &count);
    (void)phase;
    nnc_walk_broadcast(&walk, &y->shape, call->in, 1);
    gather_walk(&walk, call->in[0].data, y->data, first, count, nnc_dtype_size(y->dtype));
}

nnc_status nnc_op_broadcast_to_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                        int *dx)
{
    nnc_shape shape = nnc_value_array(graph, graph->nodes[node].inputs[0]).shape;
    return need[0] ? nnc_emit_sum_to(graph, dy[0], &shape, &dx[0]) : NNC_OK;
}

/* ---- transpose: y's dimension d is x's dimension perm[d]; no perm: reversed ---- */

static int source_axis(const nnc_attrs *attrs, int rank, int d)
{
    int64_t axis = attrs->list_count == 0 ? rank - 1 - d : attrs->list[d];
    return (int)(axis < 0 ? axis + rank : axis);
}

nnc_status nnc_op_transpose_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                  int input_count, nnc_array *out)
{
    int rank = in[0].shape.rank, axis;
    bool seen[NNC_MAX_RANK] = {false};
    nnc_status status = NNC_OK;
    (void)input_count;
    if (attrs->list_count != 0 && attrs->list_count != rank)
        return nnc_fail(NNC_EVALUE, "%s: expected a permutation of %d axes, received %d",
                        nnc_op_name(op), rank, attrs->list_count);
    out->dtype = in[0].dtype;
    out->shape.rank = rank;
    for (int d = 0; d < rank; d++) {
        NNC_TRY(nnc_check_axis(op, &in[0].shape,
                               attrs->list_count == 0 ? rank - 1 - d : attrs->list[d], &axis));
        if (seen[axis])
            return nnc_fail(NNC_EVALUE, "%s: axis %d is given twice", nnc_op_name(op), axis);
        seen[axis] = true;
        out->shape.dim[d] = in[0].shape.dim[axis];
    }
done:
    return status;
}

/* y as (outer..., rows, n): the walk over y has x's strides; `lane` is the joined dimension along
 * which x is contiguous, so tiles of lane x last are turned within a few cache lines. */
typedef struct {
    nnc_walk walk;
    int lane;
    int64_t y_stride[NNC_MAX_RANK];
    int64_t tiles;          /* blocks of TILE along lane */
    int64_t outer;          /* product of the other dimensions but the last */
} turn;

enum { TILE = 32 };

static void turn_init(const nnc_call *call, turn *t)
{
    const nnc_shape *x = &call->in[0].shape, *y = &call->out[0].shape;
    int64_t own[NNC_MAX_RANK], stride[1][NNC_MAX_RANK], step = 1;
    nnc_strides(x, own);
    for (int d = 0; d < y->rank; d++)
        stride[0][d] = own[source_axis(call->attrs, y->rank, d)];
    nnc_walk_strided(&t->walk, y, (const int64_t (*)[NNC_MAX_RANK])stride, 1);
    t->lane = t->walk.rank - 1;
    t->outer = 1;
    for (int d = t->walk.rank - 1; d >= 0; d--) {
        t->y_stride[d] = step;
        step *= t->walk.dim[d];
        if (t->walk.stride[0][d] == 1)
            t->lane = d;
    }
    for (int d = 0; d < t->walk.rank - 1; d++)
        t->outer *= d == t->lane ? 1 : t->walk.dim[d];
    t->tiles = (t->walk.dim[t->lane] + TILE - 1) / TILE;
}

static bool turn_is_rows(const turn *t)
{
    return t->lane == t->walk.rank - 1;     /* the last dimension stays last: rows are copied */
}

void nnc_op_transpose_plan(const nnc_call *call, nnc_work *work)
{
    turn t;
    int64_t n = size_of(&call->out[0]);
    nnc_plan_elements(work, n, 0.5);
    if (n == 0)
        return;
    turn_init(call, &t);
    if (!turn_is_rows(&t))
        nnc_plan_items(work, t.outer * t.tiles, TILE * t.walk.dim[t.walk.rank - 1], 0.5);
}

/* y[j*ldy + i] = x[i*ldx + j], i < m, j < n */
#define TURN_TILE(type)                                                                            \
    do {                                                                                           \
        const type *from = (const type *)(const void *)x;                                          \
        type *to = (type *)(void *)y;                                                              \
        for (int64_t i0 = 0; i0 < m; i0 += 8) {                                                    \
            int64_t i1 = i0 + 8 < m ? i0 + 8 : m;                                                  \
            for (int64_t j = 0; j < n; j++) {                                                      \
                for (int64_t i = i0; i < i1; i++)                                                  \
                    to[j * ldy + i] = from[i * ldx + j];                                           \
            }                                                                                      \
        }                                                                                          \
    } while (0)

static void turn_tile(const char *x, int64_t ldx, char *y, int64_t ldy, int64_t m, int64_t n,
                      int64_t size)
{
    if (size == 4)
        TURN_TILE(uint32_t);
    else if (size == 1)
        TURN_TILE(uint8_t);
    else if (size == 8)
        TURN_TILE(uint64_t);
    else
        TURN_TILE(uint16_t);
}

/* Item: one index of the outer dimensions and one block along lane. */
static void turn_item(const turn *t, int64_t item, const char *x, char *y, int64_t size)
{
    int last = t->walk.rank - 1;
    int64_t rest = item / t->tiles, j = item % t->tiles * TILE, from = j, to;
    int64_t n = t->walk.dim[t->lane] - j;
    to = j * t->y_stride[t->lane];
    for (int d = last - 1; d >= 0; d--) {
        if (d == t->lane)
            continue;
        from += rest % t->walk.dim[d] * t->walk.stride[0][d];
        to += rest % t->walk.dim[d] * t->y_stride[d];
        rest /= t->walk.dim[d];
    }
    turn_tile(x + from * size, t->walk.stride[0][last], y + to * size, t->y_stride[t->lane],
              t->walk.dim[last], n < TILE ? n : TILE, size);
}

void nnc_op_transpose_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const nnc_array *y = &call->out[0];
    int64_t size = nnc_dtype_size(y->dtype), count, first;
    turn t;
    (void)phase;
    if (size_of(y) == 0)
        return;
    turn_init(call, &t);
    if (turn_is_rows(&t)) {
        first = nnc_piece_range(size_of(y), NNC_PIECE, begin, end, &count);
        gather_walk(&t.walk, call->in[0].data, y->data, first, count, size);
        return;
    }
    nnc_work work;
    int64_t group = nnc_plan_items(&work, t.outer * t.tiles, TILE * t.walk.dim[t.walk.rank - 1], 0);
    first = nnc_piece_range(t.outer * t.tiles, group, begin, end, &count);
    for (int64_t i = 0; i < count; i++)
        turn_item(&t, first + i, call->in[0].data, y->data, size);
}

/* dx = transpose(dy, the inverse of perm) */
nnc_status nnc_op_transpose_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                     int *dx)
{
    int rank = nnc_value_array(graph, dy[0]).shape.rank;
    nnc_attrs inverse = {.list_count = rank};
    for (int d = 0; d < rank; d++)
        inverse.list[source_axis(&graph->nodes[node].attrs, rank, d)] = d;
    return need[0] ? nnc_emit1(graph, NNC_OP_transpose, &inverse, dy[0], &dx[0]) : NNC_OK;
}

/* ---- concatenate ---- */

nnc_status nnc_op_concatenate_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                    int input_count, nnc_array *out)
{
    nnc_status status;
    int axis;
    int64_t bytes;
    char first[NNC_SHAPE_TEXT], other[NNC_SHAPE_TEXT];
    NNC_TRY(nnc_check_axis(op, &in[0].shape, attrs->k[0], &axis));
    out->dtype = in[0].dtype;
    out->shape = in[0].shape;
    for (int i = 1; i < input_count; i++) {
        nnc_shape same = in[i].shape;
        NNC_TRY(nnc_check_same_dtype(op, &in[0], &in[i]));
        if (same.rank == in[0].shape.rank)
            same.dim[axis] = in[0].shape.dim[axis];
        if (!nnc_shape_equal(&same, &in[0].shape)) {
            status = nnc_fail(NNC_EVALUE, "%s: shapes differ outside axis %d: input 0 has %s, "
                              "input %d has %s", nnc_op_name(op), axis,
                              nnc_shape_text(&in[0].shape, first), i,
                              nnc_shape_text(&in[i].shape, other));
            goto done;
        }
        NNC_TRY(nnc_size_add(out->shape.dim[axis], in[i].shape.dim[axis], &out->shape.dim[axis]));
    }
    NNC_TRY(nnc_shape_bytes(&out->shape, out->dtype, &bytes));
done:
    return status;
}

void nnc_op_concatenate_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const nnc_array *y = &call->out[0];
    int axis = (int)(call->attrs->k[0] < 0 ? call->attrs->k[0] + y->shape.rank : call->attrs->k[0]);
    (void)phase;
    if (size_of(y) == 0)
        return;
    int64_t size = nnc_dtype_size(y->dtype), count, at = 0;
    int64_t row = nnc_dims_product(&y->shape, axis, y->shape.rank);
    int64_t first = nnc_piece_range(size_of(y), NNC_PIECE, begin, end, &count);
    for (int i = 0; i < call->input_count; i++) {
        const nnc_array *x = &call->in[i];
        int64_t part = nnc_dims_product(&x->shape, axis, x->shape.rank);
        for (int64_t k = first / row; k * row + at < first + count && part > 0; k++) {
            int64_t own = k * row + at, from = first > own ? first - own : 0;
            int64_t to = first + count - own < part ? first + count - own : part;
            if (from < to)
                memcpy((char *)y->data + (own + from) * size,
                       (const char *)x->data + (k * part + from) * size,
                       (size_t)((to - from) * size));
        }
        at += part;
    }
}

static nnc_status emit_slice(nnc_graph *graph, int value, const int64_t *start,
                             const nnc_shape *shape, int *out)
{
    int rank = shape->rank;
    nnc_attrs attrs = {.list_count = 3 * rank};
    for (int d = 0; d < rank; d++) {
        attrs.list[d] = start[d];
        attrs.list[rank + d] = start[d] + shape->dim[d];
        attrs.list[2 * rank + d] = 1;
    }
    return nnc_emit1(graph, NNC_OP_slice, &attrs, value, out);
}

/* Each input's gradient is its slice of dy. */
nnc_status nnc_op_concatenate_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                       int *dx)
{
    nnc_status status = NNC_OK;
    int count = graph->nodes[node].input_count;
    int rank = nnc_value_array(graph, dy[0]).shape.rank;
    int64_t axis = graph->nodes[node].attrs.k[0], start[NNC_MAX_RANK] = {0};
    axis = axis < 0 ? axis + rank : axis;
    for (int i = 0; i < count; i++) {
        nnc_shape shape = nnc_value_array(graph, graph->nodes[node].inputs[i]).shape;
        if (need[i])
            NNC_TRY(emit_slice(graph, dy[0], start, &shape, &dx[i]));
        start[axis] += shape.dim[axis];
    }
done:
    return status;
}

/* ---- slice and unslice: indices start, start + step, ... before stop; counted from 0, no
 * wrapping.      Going down, stop may be -1 ---- */

/* The shape that `ranges` picks from `shape`. */
static nnc_status range_shape(nnc_op op, const nnc_attrs *attrs, const nnc_shape *shape,
                              nnc_shape *out)
{
    int rank = shape->rank;
    if (attrs->list_count != 3 * rank)
        return nnc_fail(NNC_EVALUE, "%s: expected %d numbers for %d axes, received %d",
                        nnc_op_name(op), 3 * rank, rank, attrs->list_count);
    out->rank = rank;
    for (int d = 0; d < rank; d++) {
        int64_t start = attrs->list[d], stop = attrs->list[rank + d];
        int64_t step = attrs->list[2 * rank + d], dim = shape->dim[d];
        bool fits = step > 0 ? start >= 0 && stop <= dim : start < dim && stop >= -1;
        if (step == 0 || (!fits && (step > 0 ? start < stop : start > stop)))
            return nnc_fail(NNC_EVALUE, "%s: start %lld, stop %lld, step %lld do not fit axis %d "
                            "of size %lld", nnc_op_name(op), (long long)start, (long long)stop,
                            (long long)step, d, (long long)dim);
        if (step > 0)
            out->dim[d] = start < stop ? (stop - start - 1) / step + 1 : 0;
        else
            out->dim[d] = start > stop ? (stop - start + 1) / step + 1 : 0;
    }
    return NNC_OK;
}

/* A walk over the picked elements of a whole of shape `whole`. */
static void range_walk(const nnc_attrs *attrs, const nnc_shape *whole, const nnc_shape *part,
                       nnc_walk *walk)
{
    int rank = whole->rank;
    int64_t own[NNC_MAX_RANK], stride[1][NNC_MAX_RANK], base = 0;
    nnc_strides(whole, own);
    for (int d = 0; d < rank; d++) {
        stride[0][d] = part->dim[d] > 1 ? own[d] * attrs->list[2 * rank + d] : 0;
        base += own[d] * attrs->list[d];
    }
    nnc_walk_strided(walk, part, (const int64_t (*)[NNC_MAX_RANK])stride, 1);
    walk->base[0] = base;
}

nnc_status nnc_op_slice_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                              int input_count, nnc_array *out)
{
    (void)input_count;
    out->dtype = in[0].dtype;
    return range_shape(op, attrs, &in[0].shape, &out->shape);
}

void nnc_op_slice_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const nnc_array *y = &call->out[0];
    nnc_walk walk;
    int64_t count, first = nnc_piece_range(size_of(y), NNC_PIECE, begin, end, &count);
    (void)phase;
    if (count <= 0)
        return;
    range_walk(call->attrs, &call->in[0].shape, &y->shape, &walk);
    gather_walk(&walk, call->in[0].data, y->data, first, count, nnc_dtype_size(y->dtype));
}

/* The attributes of unslice: ranges in the list, the whole's shape in k. */
nnc_status nnc_op_slice_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                 int *dx)
{
    nnc_shape shape = nnc_value_array(graph, graph->nodes[node].inputs[0]).shape;
    nnc_attrs attrs = graph->nodes[node].attrs;
    for (int d = 0; d < shape.rank; d++)
        attrs.k[d] = shape.dim[d];
    return need[0] ? nnc_emit1(graph, NNC_OP_unslice, &attrs, dy[0], &dx[0]) : NNC_OK;
}

nnc_status nnc_op_unslice_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                int input_count, nnc_array *out)
{
    nnc_status status;
    nnc_shape part = {0};
    nnc_attrs sizes = {.list_count = in[0].shape.rank};
    char got[NNC_SHAPE_TEXT], want[NNC_SHAPE_TEXT];
    (void)input_count;
    for (int d = 0; d < sizes.list_count; d++)
        sizes.list[d] = attrs->k[d];
    out->dtype = in[0].dtype;
    NNC_TRY(nnc_check_shape(op, &sizes, out->dtype, &out->shape));
    NNC_TRY(range_shape(op, attrs, &out->shape, &part));
    if (!nnc_shape_equal(&part, &in[0].shape))
        status = nnc_fail(NNC_EVALUE, "%s: the ranges have shape %s, the input has %s",
                          nnc_op_name(op), nnc_shape_text(&part, want),
                          nnc_shape_text(&in[0].shape, got));
done:
    return status;
}

void nnc_op_unslice_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const nnc_array *x = &call->in[0], *y = &call->out[0];
    int64_t first, count, size = nnc_dtype_size(y->dtype);
    nnc_walk walk;
    char *to = pieces_of(phase == 0 ? y : x, begin, end, &first, &count);
    if (count <= 0)
        return;
    if (phase == 0) {
        memset(to, 0, (size_t)(count * size));
        return;
    }
    range_walk(call->attrs, &y->shape, &x->shape, &walk);
    scatter_walk(&walk, x->data, y->data, first, count, size);
}

nnc_status nnc_op_unslice_gradient(nnc_graph *graph, int node, const int *dy, const bool *need,
                                   int *dx)
{
    nnc_attrs attrs = graph->nodes[node].attrs;
    return need[0] ? nnc_emit1(graph, NNC_OP_slice, &attrs, dy[0], &dx[0]) : NNC_OK;
}

/* ---- pad ---- */

nnc_status nnc_op_pad_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in, int input_count,
                            nnc_array *out)
{
    nnc_status status = NNC_OK;
    int rank = in[0].shape.rank;
    int64_t bytes;
    (void)input_count;
    if (attrs->list_count != 2 * rank)
        return nnc_fail(NNC_EVALUE, "%s: expected %d widths for %d axes, received %d",
                        nnc_op_name(op), 2 * rank, rank, attrs->list_count);
    out->dtype = in[0].dtype;
    out->shape = in[0].shape;
    for (int d = 0; d < 2 * rank; d++) {
        int64_t *dim = &out->shape.dim[d % rank];
        if (attrs->list[d] < 0)
            return nnc_fail(NNC_EVALUE, "%s: expected widths >= 0, received %lld at axis %d",
                            nnc_op_name(op), (long long)attrs->list[d], d % rank);
        NNC_TRY(nnc_size_add(*dim, attrs->list[d], dim));
    }
    NNC_TRY(nnc_shape_bytes(&out->shape, out->dtype, &bytes));
done:
    return status;
}

void nnc_op_pad_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const nnc_array *x = &call->in[0], *y = &call->out[0];
    int rank = x->shape.rank;
    int64_t own[NNC_MAX_RANK], stride[1][NNC_MAX_RANK], first, count;
    nnc_walk walk;
    char *to = pieces_of(phase == 0 ? y : x, begin, end, &first, &count);
    if (phase == 0)
        nnc_fill(to, y->dtype, count, call->attrs->f[0]);
    if (phase == 0 || count <= 0)
        return;
    nnc_strides(&y->shape, own);
    memcpy(stride[0], own, sizeof own);
    nnc_walk_strided(&walk, &x->shape, (const int64_t (*)[NNC_MAX_RANK])stride, 1);
    for (int d = 0; d < rank; d++)
        walk.base[0] += own[d] * call->attrs->list[d];
    scatter_walk(&walk, x->data, y->data, first, count, nnc_dtype_size(y->dtype));
}

nnc_status nnc_op_pad_gradient(nnc_graph *graph, int node, const int *dy, const bool *need, int *dx)
{
    nnc_shape shape = nnc_value_array(graph, graph->nodes[node].inputs[0]).shape;
    int64_t low[NNC_MAX_RANK] = {0};
    for (int d = 0; d < shape.rank; d++)
        low[d] = graph->nodes[node].attrs.list[d];
    return need[0] ? emit_slice(graph, dy[0], low, &shape, &dx[0]) : NNC_OK;
}

/* ---- fill, arange ---- */

nnc_status nnc_op_fill_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                             int input_count, nnc_array *out)
{
    (void)in, (void)input_count;
    if ((int)attrs->dtype < 0 || attrs->dtype >= NNC_DTYPE_COUNT)
        return nnc_fail(NNC_ETYPE, "%s: unknown dtype %d", nnc_op_name(op), (int)attrs->dtype);
    out->dtype = attrs->dtype;
    return nnc_check_shape(op, attrs, out->dtype, &out->shape);
}

void nnc_op_fill_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    int64_t first, count;
    char *to = pieces_of(&call->out[0], begin, end, &first, &count);
    (void)phase;
    nnc_fill(to, call->out[0].dtype, count, call->attrs->f[0]);
}

nnc_status nnc_op_arange_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                               int input_count, nnc_array *out)
{
    int64_t bytes;
    (void)in, (void)input_count;
    if ((int)attrs->dtype < 0 || attrs->dtype >= NNC_DTYPE_COUNT)
        return nnc_fail(NNC_ETYPE, "%s: unknown dtype %d", nnc_op_name(op), (int)attrs->dtype);
    if (attrs->k[0] < 0)
        return nnc_fail(NNC_EVALUE, "%s: expected a count >= 0, received %lld", nnc_op_name(op),
                        (long long)attrs->k[0]);
    out->dtype = attrs->dtype;
    out->shape = (nnc_shape){.rank = 1, .dim = {attrs->k[0]}};
    return nnc_shape_bytes(&out->shape, out->dtype, &bytes);
}

/* start + i step: in double, or exactly where both are whole numbers and the dtype is an
 * integer. */
void nnc_op_arange_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    enum { CHUNK = 256 };
    const nnc_array *y = &call->out[0];
    double start = call->attrs->f[0], step = call->attrs->f[1];
    int64_t n = size_of(y), size = nnc_dtype_size(y->dtype);
    bool whole = nnc_dtype_kind(y->dtype) != NNC_KIND_FLOAT && start == floor(start) &&
                 step == floor(step) && fabs(start) < 0x1p62 && fabs(step) < 0x1p62;
    (void)phase, (void)begin, (void)end;
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t count = n - i < CHUNK ? n - i : CHUNK, integers[CHUNK];
        double numbers[CHUNK];
        for (int64_t j = 0; j < count && whole; j++)
            integers[j] = (int64_t)((uint64_t)(int64_t)start + (uint64_t)(i + j) *
                                    (uint64_t)(int64_t)step);
        for (int64_t j = 0; j < count && !whole; j++)
            numbers[j] = start + (double)(i + j) * step;
        nnc_convert(whole ? (void *)integers : (void *)numbers, whole ? NNC_I64 : NNC_F64,
                    (char *)y->data + i * size, y->dtype, count);
    }
}
