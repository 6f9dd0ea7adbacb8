/* sort.c - sort, argsort, top_k, searchsorted.
 *
 * Every element becomes a whole number whose order is the element's: integers by their sign bit,
 * floats by turning the negative ones around; -0 is 0, and NaN comes after everything, as NumPy
 * has it. Numbers with their places are then sorted stably: a few by insertion, many by digits of
 * 11 bits (LSD radix sort, Knuth 5.2.5), where digits that all share are passed over. Numbers of 32
 * bits share one word with their places; where only the elements are asked for and can be told from
 * their numbers, places are left out. x is seen as (a, n, b), n elements along the axis; the rows
 * are cut into at most PIECES pieces, each with room of its own for one row. */
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
            PUT_KEY((expression) ^ turn);                                                          \
        }                                                                                          \
    } while (0)
#define PUT_KEY(key) pairs[i] = (pair){key, i}

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
#undef PUT_KEY

/* The same for dtypes of 32 bits and less, n < 2^31: the number above, the place below. */
#define PUT_KEY(key) words[i] = (uint64_t)(uint32_t)(key) << 32 | (uint64_t)i
static void load_words(const void *data, nnc_dtype dtype, int64_t first, int64_t step, int64_t n,
                       uint64_t turn, uint64_t *words)
{
    switch (dtype) {
    case NNC_F32: KEY_LOOP(float, key_of_float(v)); break;
    case NNC_F16:
    case NNC_BF16: KEY_LOOP(uint16_t, key_of_half(v, dtype)); break;
    case NNC_BOOL:
    case NNC_U8: KEY_LOOP(uint8_t, v); break;
    case NNC_U16: KEY_LOOP(uint16_t, v); break;
    case NNC_U32: KEY_LOOP(uint32_t, v); break;
    case NNC_I8: KEY_LOOP(int8_t, (uint64_t)(v + 128)); break;
    case NNC_I16: KEY_LOOP(int16_t, (uint64_t)(v + 32768)); break;
    default: KEY_LOOP(int32_t, (uint32_t)v ^ 0x80000000u); break;
    }
}
#undef PUT_KEY

/* And for float32, int32, uint32 without the places. Returns whether an element cannot be told from
 * its number: -0 or a NaN. */
#define PUT_KEY(key) keys[i] = (uint32_t)(key)
static bool load_numbers(const void *data, nnc_dtype dtype, int64_t first, int64_t step, int64_t n,
                         uint64_t turn, uint32_t *keys)
{
    uint32_t odd = 0;
    if (dtype == NNC_I32)
        KEY_LOOP(int32_t, (uint32_t)v ^ 0x80000000u);
    else if (dtype == NNC_U32)
        KEY_LOOP(uint32_t, v);
    else
        KEY_LOOP(float, key_of_float(v));
    const uint32_t *bits = (const uint32_t *)data + first;
    for (int64_t i = 0; i < n && dtype == NNC_F32; i++)
        odd |= bits[i * step] == 0x80000000u || (bits[i * step] & 0x7fffffffu) > 0x7f800000u;
    return odd != 0;
}
#undef PUT_KEY

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

/* The same for words and numbers: by the 32 bits from `low` on. Words with equal numbers keep the
 * order of their places, which whole words have. */
#define SORT_32(name, type, low)                                                                   \
    static void name(type *p, type *spare, int64_t n)                                              \
    {                                                                                              \
        uint32_t at[3][BUCKETS] = {{0}};                                                           \
        type *from = p, *to = spare;                                                               \
        for (int64_t i = 1; i < n && n <= FEW; i++) {                                              \
            type now = p[i];                                                                       \
            int64_t j = i;                                                                         \
            for (; j > 0 && p[j - 1] > now; j--)                                                   \
                p[j] = p[j - 1];                                                                   \
            p[j] = now;                                                                            \
        }                                                                                          \
        if (n <= FEW)                                                                              \
            return;                                                                                \
        for (int64_t i = 0; i < n; i++)                                                            \
            for (int d = 0; d < 3; d++)                                                            \
                at[d][(uint32_t)(p[i] >> (low)) >> d * DIGIT & (BUCKETS - 1)]++;                   \
        for (int d = 0; d < 3; d++) {                                                              \
            uint32_t sum = 0;                                                                      \
            if (at[d][(uint32_t)(p[0] >> (low)) >> d * DIGIT & (BUCKETS - 1)] == n)                \
                continue;                                                                          \
            for (int k = 0; k < BUCKETS; k++) {                                                    \
                uint32_t count = at[d][k];                                                         \
                at[d][k] = sum;                                                                    \
                sum += count;                                                                      \
            }                                                                                      \
            for (int64_t i = 0; i < n; i++)                                                        \
                to[at[d][(uint32_t)(from[i] >> (low)) >> d * DIGIT & (BUCKETS - 1)]++] = from[i];  \
            type *other = from;                                                                    \
            from = to;                                                                             \
            to = other;                                                                            \
        }                                                                                          \
        if (from != p)                                                                             \
            memcpy(p, from, (size_t)n * sizeof *p);                                                \
    }
SORT_32(sort_words, uint64_t, 32)
SORT_32(sort_numbers, uint32_t, 0)

/* The k smallest words, as select_pairs below. */
static void select_words(uint64_t *p, uint64_t *spare, int64_t n, int64_t k)
{
    int64_t room = 2 * k + FEW, held = 0;
    uint64_t limit = UINT64_MAX;
    if (k == 0 || room >= n) {
        sort_words(p, spare, n);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        if (p[i] > limit)
            continue;
        p[held++] = p[i];
        if (held < room)
            continue;
        sort_words(p, spare, held);
        held = k;
        limit = p[k - 1];
    }
    sort_words(p, spare, held);
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

static bool takes_words(const nnc_call *call, int64_t n)
{
    return nnc_dtype_size(call->in[0].dtype) <= 4 && n <= INT32_MAX;
}

void nnc_op_sort_plan(const nnc_call *call, nnc_work *work)
{
    layout l = layout_of(call);
    int64_t item = takes_words(call, l.n) ? sizeof(uint64_t) : sizeof(pair);
    *work = (nnc_work){.phases = 1, .pieces = {l.pieces < 1 ? 1 : l.pieces},
                       .workspace = 2 * l.pieces * l.n * item,
                       .cost = 50.0 + 10.0 * (double)(l.a * l.n * l.b)};
}

/* A row of x, and of the outputs: where it begins, in elements; its elements lie `step` apart. */
typedef struct {
    int64_t from, to, step, n, count;
    uint64_t turn;
} row;

static void store_one(const nnc_call *call, const row *r, int64_t i, int64_t place)
{
    const nnc_array *x = &call->in[0];
    const nnc_array *places = call->op == NNC_OP_top_k ? &call->out[1] : &call->out[0];
    int64_t size = nnc_dtype_size(x->dtype);
    if (call->op != NNC_OP_argsort)
        memcpy((char *)call->out[0].data + (r->to + i * r->step) * size,
               (const char *)x->data + (r->from + place * r->step) * size, (size_t)size);
    if (call->op != NNC_OP_sort)
        ((int32_t *)places->data)[r->to + i * r->step] = (int32_t)place;
}

static void sort_row(const nnc_call *call, const row *r, pair *p)
{
    pair *spare = p + r->n;
    load_keys(call->in[0].data, call->in[0].dtype, r->from, r->step, r->n, r->turn, p);
    if (call->op == NNC_OP_top_k)
        select_pairs(p, spare, r->n, r->count);
    else
        sort_pairs(p, spare, r->n);
    for (int64_t i = 0; i < r->count; i++)
        store_one(call, r, i, p[i].place);
}

static void sort_row_words(const nnc_call *call, const row *r, uint64_t *p)
{
    uint64_t *spare = p + r->n;
    load_words(call->in[0].data, call->in[0].dtype, r->from, r->step, r->n, r->turn, p);
    if (call->op == NNC_OP_top_k)
        select_words(p, spare, r->n, r->count);
    else
        sort_words(p, spare, r->n);
    for (int64_t i = 0; i < r->count; i++)
        store_one(call, r, i, (int64_t)(p[i] & UINT32_MAX));
}

/* False, with nothing done, where elements cannot be told from their numbers. */
static bool sort_row_numbers(const nnc_call *call, const row *r, uint32_t *p)
{
    nnc_dtype dtype = call->in[0].dtype;
    uint32_t turn = (uint32_t)r->turn, *y = (uint32_t *)call->out[0].data + r->to;
    if (load_numbers(call->in[0].data, dtype, r->from, r->step, r->n, r->turn, p))
        return false;
    sort_numbers(p, p + r->n, r->n);
    for (int64_t i = 0; i < r->n; i++) {
        uint32_t key = p[i] ^ turn;
        y[i * r->step] = dtype == NNC_U32 ? key :
            dtype == NNC_I32 || key >> 31 ? key ^ 0x80000000u : ~key;
    }
    return true;
}

void nnc_op_sort_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    layout l = layout_of(call);
    bool top = call->op == NNC_OP_top_k, words = takes_words(call, l.n);
    nnc_dtype dtype = call->in[0].dtype;
    bool numbers = call->op == NNC_OP_sort && words &&
        (dtype == NNC_F32 || dtype == NNC_I32 || dtype == NNC_U32);
    int64_t rows = l.a * l.b, count = top ? call->attrs->k[0] : l.n;
    int64_t item = words ? sizeof(uint64_t) : sizeof(pair);
    (void)phase;
    if (rows * l.n == 0)
        return;
    for (int64_t piece = begin; piece < end; piece++) {
        void *room = (char *)call->workspace + 2 * piece * l.n * item;
        for (int64_t k = rows * piece / l.pieces; k < rows * (piece + 1) / l.pieces; k++) {
            row r = {k / l.b * l.n * l.b + k % l.b, k / l.b * count * l.b + k % l.b, l.b, l.n,
                     count, top || call->attrs->k[1] ? UINT64_MAX : 0};
            if (numbers && sort_row_numbers(call, &r, room))
                continue;
            if (words)
                sort_row_words(call, &r, room);
            else
                sort_row(call, &r, room);
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
