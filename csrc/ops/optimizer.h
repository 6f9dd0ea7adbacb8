/* optimizer.h - an optimizer's step on a part of a variable, for whoever has just computed that part
 * of the gradient. */
#ifndef NNC_OPS_OPTIMIZER_H
#define NNC_OPS_OPTIMIZER_H

#include "kernels/kernels.h"
#include "nnc.h"
#include "ops/tiles.h"

/* The one number that an array holds. */
double nnc_optimizer_number(const nnc_array *array);
/* Checks the inputs from `first` on: the learning rate, then counters: one number each. */
nnc_status nnc_optimizer_check_numbers(nnc_op op, const nnc_array *in, int first, int input_count);

/* What multiplies the step of call->op: the learning rate, or Adam's alpha. */
double nnc_optimizer_rate(const nnc_call *call);

/* The step on `rows` runs of `columns` elements, the first at element `first`, each `apart` from the
 * one before. gradient: where that of the first element lies, its rows gradient_apart elements from
 * one another; NULL: in the call's own array. */
void nnc_optimizer_rows(nnc_call *call, double rate, int64_t first, int64_t rows, int64_t columns,
                        int64_t apart, const void *gradient, int64_t gradient_apart);

/* Attributes of a matmul: nnc_gemm's most_rows and most_columns, and which of its arrays are
 * float32 though it is a product of 16-bit floats. Of a dense: NNC_DENSE_WIDE, the same;
 * NNC_DENSE_TURNED: w is (n, k). Passes set them. */
enum {
    NNC_MATMUL_MOST_ROWS = 2, NNC_MATMUL_WIDE = 3, NNC_MATMUL_MOST_COLUMNS = 4,
    NNC_DENSE_WIDE = 1, NNC_DENSE_TURNED = 2
};
enum {
    NNC_WIDE_B = 1,             /* the second operand: rounded to bfloat16 as it is read; where the
                                 * first is float32 as well, so is the bias */
    NNC_WIDE_C = 2,             /* the result of 16-bit factors: not rounded */
    NNC_ROUND_BF16 = 4,         /* the float32 result of float32 factors: rounded to such numbers */
    NNC_ROUND_F16 = 8
};

/* Whether the product is one on tiles: a part of it is given to a sink (tiles.h). */
bool nnc_matmul_is_tiled(const nnc_call *call);
void nnc_matmul_run_into(nnc_call *call, int phase, int64_t begin, int64_t end,
                         nnc_tiles_sink *sink, void *argument);
/* The first phase of a product that makes parts of it. */
int nnc_matmul_first_phase(const nnc_call *call);

/* The part of a product of two matrices that is finished once a piece of a phase has run. */
nnc_region nnc_matmul_region(const nnc_call *call, int phase, int64_t piece);

/* Whether the dense's product runs along k, so that w turned is what it likes best. */
bool nnc_dense_is_dot(const nnc_call *call);
/* The last phase of a dense for rows begin..end-1 of y alone; false: it does not go row by row. With no
 * rows it says only that. */
bool nnc_dense_end_rows(nnc_call *call, int64_t begin, int64_t end);
/* Whether the rows of b may lie anywhere. */
bool nnc_matmul_lists_b(const nnc_call *call);
/* The input whose rows may lie anywhere (call->rows), -1 if there is none. */
int nnc_call_lists(const nnc_call *call);

/* The optimizers whose step may stand behind a product that is its gradient (update.c), and the op
 * that does both; `integers`: how many of its attributes are whole numbers. */
typedef struct {
    nnc_op step, both;
    int integers;
} nnc_update;
/* The row with this step, or with this op that does both; NULL if there is none. */
const nnc_update *nnc_update_of_step(nnc_op step);
const nnc_update *nnc_update_of_both(nnc_op both);
/* Has a product (m, n) that a step follows cut into pieces that stay near. */
void nnc_update_cut(nnc_attrs *product, int64_t rows, int64_t columns);

#endif
