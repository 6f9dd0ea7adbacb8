/* wide.h - calls with 16-bit floats whose op has kernels for float32 only. */
#ifndef NNC_GRAPH_WIDE_H
#define NNC_GRAPH_WIDE_H

#include "nnc.h"

/* Whether the call has float16 or bfloat16 arrays that its op does not take as they are. */
bool nnc_wide_needed(const nnc_call *call);
/* As the op's own plan and run, with widening before and narrowing after. */
void nnc_wide_plan(const nnc_call *call, nnc_work *work);
void nnc_wide_run(nnc_call *call, int phase, int64_t begin, int64_t end);

/* Whether the op on float32, its results rounded, is the op on 16-bit floats; not said of products. */
bool nnc_is_same_wide(nnc_op op, const nnc_attrs *attrs);
/* Whether it gives only numbers which it is given, or 0, or their negatives. */
bool nnc_makes_no_numbers(nnc_op op);

#endif
