/* table.c - distinct strings and their numbers: open addressing with linear probing, at most half
 * full, by FarmHash's fingerprint. */
#include "core/text.h"

#include <string.h>

enum { LEAST_SLOTS = 64, AHEAD = 8, PIECE = 4096 };

void nnc_table_clear(nnc_table *table)
{
    nnc_free(table->bytes);
    nnc_free(table->begin);
    nnc_free(table->end);
    nnc_free(table->hash);
    nnc_free(table->slot);
    *table = (nnc_table){0};
}

/* The slot that holds the string, or the empty one where it belongs; slot_count is not 0. */
static inline int64_t probe(const nnc_table *table, uint64_t hash, const char *s, int64_t n)
{
    const uint64_t mask = (uint64_t)table->slot_count - 1;
    for (uint64_t at = hash & mask;; at = (at + 1) & mask) {
        int64_t i = table->slot[at] - 1;
        if (i < 0 || (table->hash[i] == hash && table->end[i] - table->begin[i] == n &&
                      (n == 0 || memcmp(table->bytes + table->begin[i], s, (size_t)n) == 0)))
            return (int64_t)at;
    }
}

/* Makes room for one more string in the slots. */
static nnc_status widen(nnc_table *table)
{
    nnc_status status;
    int64_t *slot = NULL, slots = LEAST_SLOTS, bytes;
    if (table->slot_count > 0)
        NNC_TRY(nnc_size_mul(table->slot_count, 2, &slots));
    NNC_TRY(nnc_size_mul(slots, (int64_t)sizeof *slot, &bytes));
    NNC_TRY(nnc_alloc_zero(bytes, &slot));
    for (int64_t i = 0; i < table->count; i++) {
        uint64_t at = table->hash[i] & ((uint64_t)slots - 1);
        while (slot[at] != 0)
            at = (at + 1) & ((uint64_t)slots - 1);
        slot[at] = i + 1;
    }
    nnc_free(table->slot);
    table->slot = slot;
    table->slot_count = slots;
done:
    return status;
}

static nnc_status append(nnc_table *table, uint64_t hash, const char *s, int64_t n)
{
    nnc_status status;
    int64_t bytes, i = table->count;
    NNC_TRY(nnc_size_add(table->byte_count, n, &bytes));
    NNC_TRY(nnc_grow(&table->bytes, &table->byte_room, bytes, 1));
    NNC_TRY(nnc_grow(&table->begin, &table->begin_room, i + 1, (int64_t)sizeof *table->begin));
    NNC_TRY(nnc_grow(&table->end, &table->end_room, i + 1, (int64_t)sizeof *table->end));
    NNC_TRY(nnc_grow(&table->hash, &table->hash_room, i + 1, (int64_t)sizeof *table->hash));
    if (n > 0)
        memcpy(table->bytes + table->byte_count, s, (size_t)n);
    table->begin[i] = table->byte_count;
    table->end[i] = table->byte_count = bytes;
    table->hash[i] = hash;
    table->count = i + 1;
done:
    return status;
}

nnc_status nnc_table_add(nnc_table *table, const nnc_text *text, int64_t *id)
{
    nnc_status status = NNC_OK;
    for (int64_t i = 0; i < text->count; i++) {
        const char *s = text->bytes + text->begin[i];
        int64_t n = text->end[i] - text->begin[i];
        uint64_t hash = nnc_text_fingerprint(s, n);
        if (table->count >= table->slot_count / 2)
            NNC_TRY(widen(table));
        int64_t at = probe(table, hash, s, n);
        if (table->slot[at] == 0) {
            NNC_TRY(append(table, hash, s, n));
            table->slot[at] = table->count;
        }
        id[i] = table->slot[at] - 1;
    }
done:
    return status;
}

typedef struct {
    const nnc_table *table;
    const nnc_text *text;
    int64_t *id;
} job;

/* Hashes of a few strings first, with their slots on the way to the cache. */
static void find_task(void *argument, int thread, int threads)
{
    const job *j = argument;
    const nnc_table *table = j->table;
    const nnc_text *t = j->text;
    int64_t pieces = (t->count + PIECE - 1) / PIECE, share = (pieces + threads - 1) / threads;
    int64_t first = share * thread * PIECE, end = first + share * PIECE;
    end = end < t->count ? end : t->count;
    for (; first < end; first += AHEAD) {
        uint64_t hash[AHEAD];
        int64_t some = end - first < AHEAD ? end - first : AHEAD;
        for (int64_t i = 0; i < some; i++) {
            int64_t k = first + i;
            hash[i] = nnc_text_fingerprint(t->bytes + t->begin[k], t->end[k] - t->begin[k]);
            __builtin_prefetch(&table->slot[hash[i] & ((uint64_t)table->slot_count - 1)]);
        }
        for (int64_t i = 0; i < some; i++) {
            int64_t k = first + i;
            int64_t at = probe(table, hash[i], t->bytes + t->begin[k], t->end[k] - t->begin[k]);
            j->id[k] = table->slot[at] - 1;
        }
    }
}

void nnc_table_find(const nnc_table *table, const nnc_text *text, int64_t *id)
{
    job j = {table, text, id};
    int threads = text->count < 2 * PIECE ? 1 : nnc_pool_threads();
    if (table->slot_count == 0) {
        for (int64_t i = 0; i < text->count; i++)
            id[i] = -1;
    } else if (threads == 1) {
        find_task(&j, 0, 1);
    } else {
        nnc_pool_run(find_task, &j, threads);
    }
}
