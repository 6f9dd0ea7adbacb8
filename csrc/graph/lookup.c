/* lookup.c - see lookup.h. Linear probing; removal shifts the following entries back. */
#include "graph/lookup.h"

#include <string.h>

static int64_t slot_of(const nnc_lookup *lookup, const void *key)
{
    uint64_t hash = (uint64_t)(uintptr_t)key;
    hash = (hash >> 4) * UINT64_C(0x9E3779B97F4A7C15);
    return (int64_t)(hash >> 20) & (lookup->capacity - 1);
}

void nnc_lookup_clear(nnc_lookup *lookup)
{
    nnc_free(lookup->key);
    nnc_free(lookup->value);
    memset(lookup, 0, sizeof *lookup);
}

int nnc_lookup_find(const nnc_lookup *lookup, const void *key)
{
    if (lookup->used == 0)
        return -1;
    for (int64_t i = slot_of(lookup, key);; i = (i + 1) & (lookup->capacity - 1)) {
        if (lookup->key[i] == key)
            return lookup->value[i];
        if (lookup->key[i] == NULL)
            return -1;
    }
}

nnc_status nnc_lookup_reserve(nnc_lookup *lookup)
{
    nnc_status status = NNC_OK;
    nnc_lookup larger = {0};
    if (lookup->capacity > 0 && lookup->used + 1 <= lookup->capacity / 2)
        return NNC_OK;
    larger.capacity = lookup->capacity > 0 ? 2 * lookup->capacity : 16;
    NNC_TRY(nnc_alloc_zero(larger.capacity * (int64_t)sizeof *larger.key, &larger.key));
    NNC_TRY(nnc_alloc_zero(larger.capacity * (int64_t)sizeof *larger.value, &larger.value));
    for (int64_t i = 0; i < lookup->capacity; i++) {
        if (lookup->key[i] != NULL)
            nnc_lookup_put(&larger, lookup->key[i], lookup->value[i]);
    }
    nnc_lookup_clear(lookup);
    *lookup = larger;
    memset(&larger, 0, sizeof larger);
done:
    nnc_lookup_clear(&larger);
    return status;
}

void nnc_lookup_put(nnc_lookup *lookup, const void *key, int value)
{
    int64_t i = slot_of(lookup, key);
    while (lookup->key[i] != NULL && lookup->key[i] != key)
        i = (i + 1) & (lookup->capacity - 1);
    if (lookup->key[i] == NULL)
        lookup->used++;
    lookup->key[i] = key;
    lookup->value[i] = value;
}

void nnc_lookup_remove(nnc_lookup *lookup, const void *key)
{
    if (lookup->used == 0)
        return;
    int64_t mask = lookup->capacity - 1, i = slot_of(lookup, key);
    while (lookup->key[i] != key) {
        if (lookup->key[i] == NULL)
            return;
        i = (i + 1) & mask;
    }
    for (int64_t j = (i + 1) & mask; lookup->key[j] != NULL; j = (j + 1) & mask) {
        int64_t home = slot_of(lookup, lookup->key[j]);
        if (((j - home) & mask) >= ((j - i) & mask)) {      /* it may move back to i */
            lookup->key[i] = lookup->key[j];
            lookup->value[i] = lookup->value[j];
            i = j;
        }
    }
    lookup->key[i] = NULL;
    lookup->used--;
}
