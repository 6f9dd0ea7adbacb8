/* table.c - the op table: ops.def as an array. */
#include "ops/table.h"
#include "graph/flow.h"

#include <string.h>

#define nnc_op_no_plan NULL
#define nnc_op_no_run NULL
#define nnc_op_no_gradient NULL

const nnc_op_row nnc_ops[NNC_OP_COUNT] = {
#define OP(name, inputs, outputs, attrs, flags, infer, plan, run, gradient)                        \
    {#name, inputs, outputs, attrs, flags, nnc_op_##infer, nnc_op_##plan, nnc_op_##run,            \
     nnc_op_##gradient},
#include "ops/ops.def"
#undef OP
};

int nnc_op_effects(const nnc_op_row *row)
{
    if (row->flags & NNC_EFFECT_1)
        return 1;
    if (row->flags & NNC_EFFECT_2)
        return 2;
    if (row->flags & NNC_EFFECT_3)
        return 3;
    return row->flags & NNC_EFFECT_4 ? 4 : 0;
}

int nnc_effects(nnc_op op, const nnc_attrs *attrs)
{
    return op == NNC_OP_branch ? nnc_flow_of(attrs)->effects : nnc_op_effects(&nnc_ops[op]);
}

int nnc_op_outputs(nnc_op op, const nnc_attrs *attrs)
{
    if (nnc_ops[op].outputs >= 0)
        return nnc_ops[op].outputs;
    const nnc_flow *flow = nnc_flow_of(attrs);
    if (op == NNC_OP_branch)
        return flow->results;
    return flow->carries + flow->results + (flow->limit < 0 ? 1 : flow->carries) + 1;
}

bool nnc_op_parse(const char *name, nnc_op *out)
{
    for (int op = 0; op < NNC_OP_COUNT; op++) {
        if (strcmp(nnc_ops[op].name, name) == 0) {
            *out = (nnc_op)op;
            return true;
        }
    }
    return false;
}
