/* blocksizes.c - the table of blocksizes.h, to be read while running. */
#include "kernels/blocksizes.h"

#include <stddef.h>
#include <string.h>

#define BLOCK_ROW(level, bytes, nv, mr1, mr2, mr3, mr4, kc, narrow, pack, clash) \
    {#level, bytes, nv, {0, mr1, mr2, mr3, mr4}, kc, narrow, pack, clash},
static const nnc_blocksizes rows[] = {NNC_BLOCKSIZES(BLOCK_ROW)};
#undef BLOCK_ROW

const nnc_blocksizes *nnc_blocksizes_find(const char *level)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].level, level) == 0)
            return &rows[i];
    return NULL;
}
