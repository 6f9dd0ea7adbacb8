/* table.h - prototypes of every function that a row of ops.def names: nnc_op_<word>. */
#ifndef NNC_OPS_TABLE_H
#define NNC_OPS_TABLE_H

#include "nnc.h"

#define OP(name, inputs, outputs, attrs, flags, infer, plan, run, gradient)                          \
    nnc_infer_fn nnc_op_##infer;                                                                     \
    nnc_plan_fn nnc_op_##plan;                                                                       \
    nnc_run_fn nnc_op_##run;                                                                         \
    nnc_gradient_fn nnc_op_##gradient;
#include "ops/ops.def"
#undef OP

#endif
