/* stack.h - what each round of a loop without a limit began with, for as many rounds as come.
 *
 * Rounds lie in blocks, each for twice as many as the one before, so that none moves when the next
 * is taken. A round is the loop's carries one after another, each on a cache line. Blocks stay for
 * the next replay. */
#ifndef NNC_GRAPH_STACK_H
#define NNC_GRAPH_STACK_H

#include "nnc.h"

enum { NNC_STACK_BLOCKS = 60 };

typedef struct {
    char *block[NNC_STACK_BLOCKS];      /* block j: FIRST << j rounds; NULL: not taken yet */
} nnc_stack;

/* What a carry takes of a round. */
int64_t nnc_stack_bytes(const nnc_array *carry);
/* Room for round t of so many bytes. Rounds are asked for in order. */
nnc_status nnc_stack_reserve(nnc_stack *stack, int64_t t, int64_t bytes);
/* Where round t lies; it has been reserved. */
char *nnc_stack_round(const nnc_stack *stack, int64_t t, int64_t bytes);
void nnc_stack_clear(nnc_stack *stack);

#endif
