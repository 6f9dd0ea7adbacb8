/* lookup.h - a hash table from addresses to values of a graph. Open addressing, grows by doubling.
 */
#ifndef NNC_GRAPH_LOOKUP_H
#define NNC_GRAPH_LOOKUP_H

#include "nnc.h"

typedef struct nnc_lookup {
    const void **key;      /* NULL: free */
    int *value;
    int64_t capacity;      /* a power of two, or 0 */
    int64_t used;
} nnc_lookup;

void nnc_lookup_clear(nnc_lookup *lookup);
/* The value of key, or -1. */
int nnc_lookup_find(const nnc_lookup *lookup, const void *key);
/* Makes room for one more, so that the next nnc_lookup_put cannot fail. */
nnc_status nnc_lookup_reserve(nnc_lookup *lookup);
/* key is not NULL; an existing entry gets the new value. */
void nnc_lookup_put(nnc_lookup *lookup, const void *key, int value);
void nnc_lookup_remove(nnc_lookup *lookup, const void *key);

#endif
