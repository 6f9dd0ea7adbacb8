/* ahead.h - memory that a thread will read soon, asked for a little at a time.
 *
 * The rows of the next batch lie anywhere in memory. Asked for all at once they hold up the thread;
 * asked for between the tiles of a product they arrive meanwhile. A cursor goes over `rows` pieces of
 * memory, each `lines` cache lines long; every thread has its own. */
#ifndef NNC_CORE_AHEAD_H
#define NNC_CORE_AHEAD_H

#include <stdint.h>

typedef struct {
    const char *data;           /* of the source */
    const int64_t *order;       /* row numbers, or NULL where nothing is to be asked for */
    int64_t row_bytes, rows;
    int64_t lines;              /* of a row, from `data` on */
    int64_t row, line;          /* the next */
} nnc_ahead;

extern _Thread_local nnc_ahead nnc_ahead_now;

/* Asks for up to n more cache lines. */
static inline void nnc_ahead_ask(nnc_ahead *ahead, int64_t n)
{
    while (n > 0 && ahead->row < ahead->rows) {
        const char *line = ahead->data + ahead->order[ahead->row] * ahead->row_bytes +
            64 * ahead->line;
        int64_t some = ahead->lines - ahead->line < n ? ahead->lines - ahead->line : n;
        for (int64_t i = 0; i < some; i++)
            __builtin_prefetch(line + 64 * i, 0, 2);
        n -= some;
        ahead->line += some;
        if (ahead->line == ahead->lines) {
            ahead->line = 0;
            ahead->row++;
        }
    }
}

#endif
