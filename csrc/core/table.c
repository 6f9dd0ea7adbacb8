/* table.c - distinct strings and their numbers: open addressing with linear probing, at most half
 * full, by FarmHash's fingerprint. A slot holds 16 bits of the hash beside the number, so that a
 * string is compared with hardly any other. */
#include "core/text.h"

#include <string.h>

enum { LEAST_SLOTS = 64, AHEAD = 16, PIECE = 4096 };

static const uint64_t NUMBER = ((uint64_t)1 << 48) - 1;

static inline uint64_t tag_of(uint64_t hash)
{
    return hash & ~NUMBER;
}

void nnc_table_clear(nnc_table *table)
{
    nnc_free(table->bytes);
    nnc_free(table->entry);
    nnc_free(table->slot);
    *table = (nnc_table){0};
}

/* The slot that holds the string, or the empty one where it belongs; slot_count is not 0. */
static inline uint64_t probe(const nnc_table *table, uint64_t hash, const char *s, int64_t n)
{
    const uint64_t mask = (uint64_t)table->slot_count - 1;
    for (uint64_t at = hash & mask;; at = (at + 1) & mask) {
        uint64_t slot = table->slot[at];
        if (slot == 0)
            return at;
        if (tag_of(slot) != tag_of(hash))
            continue;
        const nnc_table_entry *e = &table->entry[(slot & NUMBER) - 1];
        if (e->hash == hash && e->end - e->begin == n &&
            (n == 0 || memcmp(table->bytes + e->begin, s, (size_t)n) == 0))
            return at;
    }
}

/* Makes room for one more string in the slots. */
static nnc_status widen(nnc_table *table)
{
    nnc_status status;
    uint64_t *slot = NULL;
    int64_t slots = LEAST_SLOTS, bytes;
    if (table->slot_count > 0)
        NNC_TRY(nnc_size_mul(table->slot_count, 2, &slots));
    NNC_TRY(nnc_size_mul(slots, (int64_t)sizeof *slot, &bytes));
    NNC_TRY(nnc_alloc_zero(bytes, &slot));
    for (int64_t i = 0; i < table->count; i++) {
        uint64_t hash = table->entry[i].hash, at = hash & ((uint64_t)slots - 1);
        while (slot[at] != 0)
            at = (at + 1) & ((uint64_t)slots - 1);
        slot[at] = tag_of(hash) | (uint64_t)(i + 1);
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
    NNC_TRY(nnc_grow(&table->entry, &table->entry_room, i + 1, (int64_t)sizeof *table->entry));
    if (n > 0)
        memcpy(table->bytes + table->byte_count, s, (size_t)n);
    table->entry[i] = (nnc_table_entry){hash, table->byte_count, bytes};
    table->byte_count = bytes;
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
        uint64_t at = probe(table, hash, s, n);
        if (table->slot[at] == 0) {
            NNC_TRY(append(table, hash, s, n));
            table->slot[at] = tag_of(hash) | (uint64_t)table->count;
        }
        id[i] = (int64_t)(table->slot[at] & NUMBER) - 1;
    }
done:
    return status;
}

/* The numbers of at most AHEAD strings from `first` on, in passes that bring the memory of the next
 * one to the cache: slots, entries, bytes. */
static void find_some(const nnc_table *table, const nnc_text *t, int64_t first, int64_t count,
                      int64_t *id)
{
    const uint64_t mask = (uint64_t)table->slot_count - 1;
    uint64_t hash[AHEAD], slot[AHEAD];
    for (int64_t i = 0; i < count; i++) {
        int64_t k = first + i;
        hash[i] = nnc_text_fingerprint(t->bytes + t->begin[k], t->end[k] - t->begin[k]);
        __builtin_prefetch(&table->slot[hash[i] & mask]);
    }
    for (int64_t i = 0; i < count; i++) {
        slot[i] = table->slot[hash[i] & mask];
        if (slot[i] != 0)
            __builtin_prefetch(&table->entry[(slot[i] & NUMBER) - 1]);
    }
    for (int64_t i = 0; i < count; i++) {
        if (slot[i] != 0)
            __builtin_prefetch(table->bytes + table->entry[(slot[i] & NUMBER) - 1].begin);
    }
    for (int64_t i = 0; i < count; i++) {
        int64_t k = first + i;
        uint64_t at = probe(table, hash[i], t->bytes + t->begin[k], t->end[k] - t->begin[k]);
        id[k] = (int64_t)(table->slot[at] & NUMBER) - 1;
    }
}

typedef struct {
    const nnc_table *table;
    const nnc_text *text;
    int64_t *id;
} job;

static void find_task(void *argument, int thread, int threads)
{
    const job *j = argument;
    int64_t count = j->text->count, pieces = (count + PIECE - 1) / PIECE;
    int64_t share = (pieces + threads - 1) / threads;
    int64_t first = share * thread * PIECE, end = first + share * PIECE;
    end = end < count ? end : count;
    for (; first < end; first += AHEAD)
        find_some(j->table, j->text, first, end - first < AHEAD ? end - first : AHEAD, j->id);
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
