/* sort.c - sort, argsort, top_k, searchsorted.
 *
 * Every element becomes a whole number whose order is the element's: integers by their sign bit,
 * floats by turning the negative ones around; -0 is 0, and NaN comes after everything, as NumPy
 * has it. Numbers with their places are then sorted stably: a few by insertion, many by digits of
 * 11 bits (LSD radix sort, Knuth 5.2.5), where digits that all share are passed over. x is seen as
 * (a, n, b), n elements along the axis; the rows are cut into at most PIECES pieces, each with
 * room of its own for one row. */
#include "ops/support.h"
#include "ops/table.h"

#include <string.h>

enum { PIECES = 16, FEW = 48, DIGIT = 11, BUCKETS = 1 << DIGIT };

typedef struct {
    uint64_t key;
    int64_t place;
} pair;

/* ---- keys ---- */

#define TOP ((uint64_t)1 << 63)
#define KEY_LOOP(type, expression)                                                                 \
    do {                                                                                           \
        const type *x = (const type *)data + first;                                                \
        for (int64_t i = 0; i < n; i++) {                                                          \
            type v = x[i * step];                                                                  \
            pairs[i] = (pair){(expression) ^ turn, i};                                             \
        }                                                                                          \
    } while (0)

static uint64_t key_of_float(float v)
{
    uint32_t bits;
    v = v == 0 ? 0 : v;
    memcpy(&bits, &v, 4);
    return v != v ? UINT32_MAX : bits >> 31 ? (uint32_t)~bits : bits | 0x80000000u;
}

static uint64_t key_of_double(double v)
{
    uint64_t bits;
    v = v == 0 ? 0 : v;
    memcpy(&bits, &v, 8);
    return v != v ? UINT64_MAX : bits & TOP ? ~bits : bits | TOP;
}

static uint64_t key_of_half(uint16_t v, nnc_dtype dtype)
{
    float wide;
    nnc_convert(&v, dtype, &wide, NNC_F32, 1);
    return key_of_float(wide);
}

/* The keys of n elements from `first` on, `step` apart; `turn` all ones: largest first. */
static void load_keys(const void *data, nnc_dtype dtype, int64_t first, int64_t step, int64_t n,
                      uint64_t turn, pair *pairs)
{
    switch (dtype) {
    case NNC_F32: KEY_LOOP(float, key_of_float(v)); break;
    case NNC_F64: KEY_LOOP(double, key_of_double(v)); break;
    case NNC_F16:
    case NNC_BF16: KEY_LOOP(uint16_t, key_of_half(v, dtype)); break;
    case NNC_BOOL:
    case NNC_U8: KEY_LOOP(uint8_t, v); break;
    case NNC_U16: KEY_LOOP(uint16_t, v); break;
    case NNC_U32: KEY_LOOP(uint32_t, v); break;
    case NNC_U64: KEY_LOOP(uint64_t, v); break;
    case NNC_I8: KEY_LOOP(int8_t, (uint64_t)(v + 128)); break;
    case NNC_I16: KEY_LOOP(int16_t, (uint64_t)(v + 32768)); break;
    case NNC_I32: KEY_LOOP(int32_t, (uint32_t)v ^ 0x80000000u); break;
    default: KEY_LOOP(int64_t, (uint64_t)v ^ TOP); break;
    }
}

/* ---- sorting pairs ---- */

static void insertion_sort(pair *p, int64_t n)
{
    for (int64_t i = 1; i < n; i++) {
        pair now = p[i];
        int64_t j = i;
        for (; j > 0 && p[j - 1].key > now.key; j--)
            p[j] = p[j - 1];
        p[j] = now;
    }
}

/* Stably by key; `spare` holds n pairs too. The result is in p. */
static void sort_pairs(pair *p, pair *spare, int64_t n)
{
    uint64_t all = UINT64_MAX, any = 0;
    pair *from = p, *to = spare;
    if (n <= FEW) {
        insertion_sort(p, n);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        all &= p[i].key;
        any |= p[i].key;
    }
    for (int shift = 0; shift < 64; shift += DIGIT) {
        int64_t at[BUCKETS] = {0}, sum = 0;
        if (((all ^ any) >> shift & (BUCKETS - 1)) == 0)
            continue;
        for (int64_t i = 0; i < n; i++)
            at[from[i].key >> shift & (BUCKETS - 1)]++;
        for (int k = 0; k < BUCKETS; k++) {
            int64_t count = at[k];
            at[k] = sum;
            sum += count;
        }
        for (int64_t i = 0; i < n; i++)
            to[at[from[i].key >> shift & (BUCKETS - 1)]++] = from[i];
        pair *other = from;
        from = to;
        to = other;
    }
    if (from != p)
        memcpy(p, from, (size_t)n * sizeof *p);
}

/* The k smallest, sorted, at the front of p: candidates are gathered behind the best so far and
 * sorted away whenever the room of 2 k + FEW is full. Equal keys keep the order of their places. */
static void select_pairs(pair *p, pair *spare, int64_t n, int64_t k)
{
    int64_t room = 2 * k + FEW, held = 0;
    uint64_t limit = UINT64_MAX;
    if (k == 0 || room >= n) {
        sort_pairs(p, spare, n);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        if (p[i].key > limit || (held >= k && p[i].key == limit && limit != UINT64_MAX))
            continue;
        p[held++] = p[i];
        if (held < room)
            continue;
        sort_pairs(p, spare, held);
        held = k;
        limit = p[k - 1].key;
    }
    sort_pairs(p, spare, held);
}

/* ---- sort, argsort, top_k ---- */

typedef struct {
    int64_t a, n, b, pieces;
} layout;

static layout layout_of(const nnc_call *call)
{
    const nnc_shape *x = &call->in[0].shape;
    int64_t k = call->op == NNC_OP_top_k ? -1 : call->attrs->k[0];
    int axis = (int)(k < 0 ? k + x->rank : k);
    layout l = {nnc_dims_product(x, 0, axis), x->dim[axis],
                nnc_dims_product(x, axis + 1, x->rank), 0};
    int64_t rows = l.a * l.b, small = rows * l.n / NNC_PIECE + 1;
    l.pieces = rows < PIECES ? rows : PIECES;
    l.pieces = l.pieces < small ? l.pieces : small;
    return l;
}

nnc_status nnc_op_sort_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                             int input_count, nnc_array *out)
{
    nnc_status status;
    int axis;
    int64_t k = attrs->k[0];
    (void)input_count;
    NNC_TRY(nnc_check_axis(op, &in[0].shape, op == NNC_OP_top_k ? -1 : k, &axis));
    out[0] = in[0];
    if (op == NNC_OP_top_k) {
        if (k < 0 || k > in[0].shape.dim[axis]) {
            status = nnc_fail(NNC_EVALUE, "top_k: k must be 0 to %lld, the size of the last axis. "
                              "Received: k=%lld", (long long)in[0].shape.dim[axis], (long long)k);
            goto done;
        }
        out[0].shape.dim[axis] = k;
        out[1] = out[0];
        out[1].dtype = NNC_I32;
    }
    if (op == NNC_OP_argsort)
        out[0].dtype = NNC_I32;
    if (op != NNC_OP_sort && in[0].shape.dim[axis] > INT32_MAX)
        status = nnc_fail(NNC_EVALUE, "%s: an axis of %lld elements has indices beyond int32",
                          nnc_op_name(op), (long long)in[0].shape.dim[axis]);
done:
    return status;
}

void nnc_op_sort_plan(const nnc_call *call, nnc_work *work)
{
    layout l = layout_of(call);
    *work = (nnc_work){.phases = 1, .pieces = {l.pieces < 1 ? 1 : l.pieces},
                       .workspace = 2 * l.pieces * l.n * (int64_t)sizeof(pair),
                       .cost = 50.0 + 20.0 * (double)(l.a * l.n * l.b)};
}

/* The first `count` of the sorted row to the outputs, `step` apart. */
static void store_row(const nnc_call *call, const pair *p, int64_t count, int64_t from, int64_t to,
                      int64_t step)
{
    int64_t size = nnc_dtype_size(call->in[0].dtype);
    const char *x = (const char *)call->in[0].data + from * size;
    const nnc_array *places = call->op == NNC_OP_top_k ? &call->out[1] : &call->out[0];
    if (call->op != NNC_OP_argsort)
        for (int64_t i = 0; i < count; i++)
            nnc_move(x + p[i].place * step * size, 0,
                     (char *)call->out[0].data + (to + i * step) * size, 1, size);
    if (call->op != NNC_OP_sort)
        for (int64_t i = 0; i < count; i++)
            ((int32_t *)places->data)[to + i * step] = (int32_t)p[i].place;
}

void nnc_op_sort_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    layout l = layout_of(call);
    bool top = call->op == NNC_OP_top_k;
    int64_t rows = l.a * l.b, count = top ? call->attrs->k[0] : l.n;
    uint64_t turn = top || call->attrs->k[1] ? UINT64_MAX : 0;
    (void)phase;
    if (rows * l.n == 0)
        return;
    for (int64_t piece = begin; piece < end; piece++) {
        pair *p = (pair *)call->workspace + 2 * piece * l.n, *spare = p + l.n;
        for (int64_t r = rows * piece / l.pieces; r < rows * (piece + 1) / l.pieces; r++) {
            int64_t from = r / l.b * l.n * l.b + r % l.b, to = r / l.b * count * l.b + r % l.b;
            load_keys(call->in[0].data, call->in[0].dtype, from, l.b, l.n, turn, p);
            if (top)
                select_pairs(p, spare, l.n, count);
            else
                sort_pairs(p, spare, l.n);
            store_row(call, p, count, from, to, l.b);
        }
    }
}

/* dx: dy back at the places the elements came from. */
nnc_status nnc_op_sort_gradient(nnc_graph *graph, int index, const int *dy, const bool *need,
                                int *dx)
{
    nnc_status status = NNC_OK;
    const nnc_node node = graph->nodes[index];
    nnc_shape shape = nnc_value_array(graph, node.inputs[0]).shape;
    nnc_attrs back = nnc_shape_attrs(&shape), order = node.attrs;
    int64_t axis = order.k[0] < 0 ? order.k[0] + shape.rank : order.k[0];
    int places = node.outputs[1];
    if (!need[0] || dy[0] < 0)
        return NNC_OK;
    if (node.op == NNC_OP_sort)
        NNC_TRY(nnc_emit1(graph, NNC_OP_argsort, &order, node.inputs[0], &places));
    back.k[0] = node.op == NNC_OP_sort ? axis : shape.rank - 1;
    NNC_TRY(nnc_emit2(graph, NNC_OP_take_along_grad, &back, dy[0], places, &dx[0]));
done:
    return status;
}

/* ---- searchsorted(sorted, x): where x would go in ---- */

nnc_status nnc_op_searchsorted_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                                     int input_count, nnc_array *out)
{
    nnc_status status;
    char text[NNC_SHAPE_TEXT];
    (void)attrs, (void)input_count;
    NNC_TRY(nnc_check_same_dtype(op, &in[0], &in[1]));
    if (in[0].shape.rank != 1 || in[0].shape.dim[0] > INT32_MAX) {
        status = nnc_fail(NNC_EVALUE, "searchsorted: the sorted sequence must have one axis of at "
                          "most 2^31 - 1 elements. Received: shape %s",
                          nnc_shape_text(&in[0].shape, text));
        goto done;
    }
    out->dtype = NNC_I32;
    out->shape = in[1].shape;
done:
    return status;
}

/* Phase 0: the keys of the sequence. Phase 1: a binary search an element. */
void nnc_op_searchsorted_plan(const nnc_call *call, nnc_work *work)
{
    int64_t n = call->in[0].shape.dim[0], count = nnc_shape_size(&call->in[1].shape);
    *work = (nnc_work){.phases = 2, .pieces = {1, (count + NNC_PIECE - 1) / NNC_PIECE},
                       .workspace = n * (int64_t)sizeof(pair),
                       .cost = 50.0 + 2.0 * (double)n + 20.0 * (double)count};
}

void nnc_op_searchsorted_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const nnc_array *x = &call->in[1];
    pair *keys = call->workspace, one;
    int64_t n = call->in[0].shape.dim[0], count;
    bool right = call->attrs->k[0] != 0;
    if (phase == 0) {
        load_keys(call->in[0].data, call->in[0].dtype, 0, 1, n, 0, keys);
        return;
    }
    int64_t first = nnc_piece_range(nnc_shape_size(&x->shape), NNC_PIECE, begin, end, &count);
    for (int64_t i = first; i < first + count; i++) {
        int64_t low = 0, high = n;
        load_keys(x->data, x->dtype, i, 1, 1, 0, &one);
        while (low < high) {
            int64_t middle = low + (high - low) / 2;
            bool before = right ? keys[middle].key <= one.key : keys[middle].key < one.key;
            low = before ? middle + 1 : low;
            high = before ? high : middle;
        }
        ((int32_t *)call->out[0].data)[i] = (int32_t)low;
    }
}
