/* integer.h - element-wise ops on integers and bool: plain loops, wrapping like NumPy's. */
#ifndef NNC_OPS_INTEGER_H
#define NNC_OPS_INTEGER_H

#include "kernels/kernels.h"

/* Elements first..first+n-1 of x to y. */
typedef void nnc_integer_unary_fn(const void *x, void *y, int64_t first, int64_t n);
/* n elements: a from index a in steps of a_step (0 or 1), b likewise, y from index y. */
typedef void nnc_integer_binary_fn(const void *a_data, int64_t a, int64_t a_step, const void *b_data,
                                   int64_t b, int64_t b_step, void *y_data, int64_t y, int64_t n);

/* NULL where the op has no meaning for the dtype, or the dtype is a float. */
nnc_integer_unary_fn *nnc_integer_unary(nnc_op op, nnc_dtype dtype);
nnc_integer_binary_fn *nnc_integer_binary(nnc_op op, nnc_dtype dtype);

#endif
