/* ahead.h - memory that a thread will read soon, asked for a little at a time.
 *
 * The rows of the next batch lie anywhere in memory. Asked for all at once they hold up the thread;
 * asked for between the tiles of a product they arrive meanwhile. A cursor goes over `rows` pieces of
 * memory, each `lines` cache lines long; every thread has its own. */
#ifndef NNC_CORE_AHEAD_H
#define NNC_CORE_AHEAD_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const char *data;           /* of the source */
    const int64_t *order;       /* row numbers of those to come */
    int64_t row_bytes, rows;    /* how many are still to come */
    int64_t lines;              /* of a row, from `data` on */
    const char *line;           /* the next of the row in hand, of which `left` are still to come */
    int64_t left;
} nnc_ahead;

extern _Thread_local nnc_ahead nnc_ahead_now;

static inline bool nnc_ahead_done(const nnc_ahead *ahead)
{
    return ahead->left == 0 && ahead->rows == 0;
}

/* Asks for up to n more cache lines. */
static inline void nnc_ahead_ask(nnc_ahead *ahead, int64_t n)
{
    while (n > 0) {
        if (ahead->left == 0) {
            if (ahead->rows == 0)
                return;
            ahead->line = ahead->data + *ahead->order++ * ahead->row_bytes;
            ahead->left = ahead->lines;
            ahead->rows--;
        }
        int64_t some = ahead->left < n ? ahead->left : n;
        const char *end = ahead->line + 64 * some;
        for (; ahead->line < end; ahead->line += 64)
            __builtin_prefetch(ahead->line, 0, 2);
        ahead->left -= some;
        n -= some;
    }
}

#endif
