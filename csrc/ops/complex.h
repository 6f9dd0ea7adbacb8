/* complex.h - element-wise ops on complex64: plain loops over pairs of floats. */
#ifndef NNC_OPS_COMPLEX_H
#define NNC_OPS_COMPLEX_H

#include "ops/integer.h"

/* NULL where the op is not there for complex numbers, or the dtype is not complex64. */
nnc_integer_unary_fn *nnc_complex_unary(nnc_op op, nnc_dtype dtype);
nnc_integer_binary_fn *nnc_complex_binary(nnc_op op, nnc_dtype dtype);

#endif
