/* loss.h - what the op softmax_loss gives and is told, for the pass that makes it. */
#ifndef NNC_OPS_LOSS_H
#define NNC_OPS_LOSS_H

#include "nnc.h"

enum {                      /* outputs; a program leaves out what nobody reads */
    NNC_LOSS_ROWS,          /* (...): the losses, times weights */
    NNC_LOSS_P,             /* (..., c) */
    NNC_LOSS_GRADIENT,      /* (..., c); made unless NNC_LOSS_NO_GRADIENT */
    NNC_LOSS_HIT,           /* (...): 1 where the largest stands where it should, else 0 */
    NNC_LOSS_MEAN,          /* (): of the rows */
    NNC_LOSS_SCALED,        /* (): that times attrs.f[0] */
    NNC_LOSS_HITS,          /* (): the sum of hits */
    NNC_LOSS_OUTPUTS
};

enum {                      /* attrs.k */
    NNC_LOSS_WEIGHTED,      /* the last input is a weight for each row */
    NNC_LOSS_HIT_OF_X,      /* the largest of the logits, else of p */
    NNC_LOSS_NO_GRADIENT
};

enum { NNC_LOSS_PARTS = 16 };   /* of the rows that may be at work at once, at least */

/* The op in two: what each of `count` rows from `row` on gives, as part number `part` (below
 * NNC_LOSS_PARTS) of those at work; and then what stands for all rows. Two-dimensional logits. */
void nnc_softmax_loss_rows(nnc_call *call, int64_t part, int64_t row, int64_t count);
void nnc_softmax_loss_finish(nnc_call *call);

#endif
