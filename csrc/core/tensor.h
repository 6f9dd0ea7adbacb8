/* tensor.h - storage that comes from the system when it is touched. */
#ifndef NNC_CORE_TENSOR_H
#define NNC_CORE_TENSOR_H

#include "nnc.h"

/* A tensor of zeros. Pages of a large one that nobody has touched take no memory and no time. */
nnc_status nnc_tensor_zeros(const nnc_shape *shape, nnc_dtype dtype, nnc_tensor **out);

#endif
