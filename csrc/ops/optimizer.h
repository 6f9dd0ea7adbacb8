/* optimizer.h - an optimizer's step on a part of a variable, for whoever has just computed that part
 * of the gradient. */
#ifndef NNC_OPS_OPTIMIZER_H
#define NNC_OPS_OPTIMIZER_H

#include "kernels/kernels.h"
#include "nnc.h"

/* What multiplies the step of call->op: the learning rate, or Adam's alpha. */
double nnc_optimizer_rate(const nnc_call *call);

/* The step on `rows` runs of `columns` elements, the first at element `first`, each `apart` from the
 * one before. */
void nnc_optimizer_rows(nnc_call *call, double rate, int64_t first, int64_t rows, int64_t columns,
                        int64_t apart);

/* The attribute of a matmul with nnc_gemm's most_rows. */
enum { NNC_MATMUL_MOST_ROWS = 2 };

/* The part of a product of two matrices that is finished once a piece of a phase has run. */
nnc_region nnc_matmul_region(const nnc_call *call, int phase, int64_t piece);

/* The optimizers whose step may stand behind a product that is its gradient (update.c), and the op
 * that does both; `integers`: how many of its attributes are whole numbers. */
typedef struct {
    nnc_op step, both;
    int integers;
} nnc_update;
/* The row with this step, or with this op that does both; NULL if there is none. */
const nnc_update *nnc_update_of_step(nnc_op step);
const nnc_update *nnc_update_of_both(nnc_op both);

#endif
