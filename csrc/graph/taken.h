/* taken.h - pieces of one phase that threads take: each its own share first, from its beginning,
 * and then what is left of the others' from their ends. So a thread meets the same part of a weight
 * in every step, and none waits for longer than a piece takes. */
#ifndef NNC_GRAPH_TAKEN_H
#define NNC_GRAPH_TAKEN_H

#include "graph/call.h"

enum { NNC_SHARES = 8 };    /* more threads go to them in turn */

typedef struct {
    atomic_llong share[NNC_SHARES];     /* taken from its beginning, and 2^32 times from its end */
} nnc_taken;

static inline void nnc_taken_reset(nnc_taken *taken)
{
    for (int i = 0; i < NNC_SHARES; i++)
        atomic_store_explicit(&taken->share[i], 0, memory_order_relaxed);
}

/* Pieces *begin..*end-1 of share s: of one's own half of those left, `most` at most; one of
 * another's. Returns false if there are none left. */
static inline bool nnc_taken_from(nnc_taken *taken, int64_t pieces, int s, int shares, bool own,
                                  int64_t most, int64_t *begin, int64_t *end)
{
    int64_t first, last, some;
    long long before = atomic_load_explicit(&taken->share[s], memory_order_relaxed), after;
    nnc_call_share(pieces, s, shares, &first, &last);
    do {
        *begin = first + (before & UINT32_MAX);
        *end = last - (before >> 32);
        if (*begin >= *end)
            return false;
        some = own ? (*end - *begin) / 2 : 1;
        some = some < 1 ? 1 : some > most ? most : some;
        after = before + (own ? some : some << 32);
    } while (!atomic_compare_exchange_weak_explicit(&taken->share[s], &before, after,
                                                    memory_order_relaxed, memory_order_relaxed));
    if (own)
        *end = *begin + some;
    else
        *begin = *end - some;
    return true;
}

/* The next pieces for a thread, *begin..*end-1, no more than `most`; false: there are none left. */
static inline bool nnc_taken_next(nnc_taken *taken, int64_t pieces, int thread, int threads,
                                  int64_t most, int64_t *begin, int64_t *end)
{
    int shares = threads < NNC_SHARES ? threads : NNC_SHARES;
    for (int i = 0; i < shares; i++)
        if (nnc_taken_from(taken, pieces, (thread + i) % shares, shares, i == 0, most, begin, end))
            return true;
    return false;
}

#endif
