/* state.c - writing variables: assign and assign_add.
 *
 * The variable is input 0 and is written in place; dtype and shape never change: what is assigned
 * must have both already (casting and broadcasting are ops of their own). */
#include "ops/integer.h"
#include "ops/support.h"
#include "ops/table.h"

#include <string.h>

nnc_status nnc_op_assign_infer(nnc_op op, const nnc_attrs *attrs, const nnc_array *in,
                               int input_count, nnc_array *out)
{
    char variable[NNC_SHAPE_TEXT], value[NNC_SHAPE_TEXT];
    (void)attrs, (void)input_count, (void)out;
    if (in[0].dtype != in[1].dtype)
        return nnc_fail(NNC_ETYPE, "%s: the variable has dtype %s, the value has dtype %s",
                        nnc_op_name(op), nnc_dtype_name(in[0].dtype), nnc_dtype_name(in[1].dtype));
    if (!nnc_shape_equal(&in[0].shape, &in[1].shape))
        return nnc_fail(NNC_EVALUE, "%s: the variable has shape %s, the value has shape %s",
                        nnc_op_name(op), nnc_shape_text(&in[0].shape, variable),
                        nnc_shape_text(&in[1].shape, value));
    if (op == NNC_OP_assign_add && in[0].dtype == NNC_BOOL)
        return nnc_fail(NNC_ETYPE, "%s: nothing can be added to a bool variable", nnc_op_name(op));
    return op == NNC_OP_assign_add ? nnc_check_number(op, in[0].dtype) : NNC_OK;
}

void nnc_op_assign_plan(const nnc_call *call, nnc_work *work)
{
    nnc_plan_elements(work, nnc_shape_size(&call->in[0].shape), 0.2);
}

void nnc_op_assign_run(nnc_call *call, int phase, int64_t begin, int64_t end)
{
    const nnc_array *variable = &call->in[0], *value = &call->in[1];
    int64_t size = nnc_dtype_size(variable->dtype), n = nnc_shape_size(&variable->shape), count;
    int64_t first = nnc_piece_range(n, NNC_PIECE, begin, end, &count);
    char *to = (char *)variable->data + first * size;
    const char *from = (const char *)value->data + first * size;
    (void)phase;
    if (count == 0)
        return;
    if (call->op == NNC_OP_assign)
        memmove(to, from, (size_t)(count * size));      /* a variable may be assigned to itself */
    else if (variable->dtype == NNC_F32)
        nnc_kernels->f32->binary[NNC_BINARY_add][NNC_VV]((float *)(void *)to,
                                                         (const float *)(const void *)from,
                                                         (float *)(void *)to, count);
    else if (variable->dtype == NNC_F64)
        nnc_kernels->f64->binary[NNC_BINARY_add][NNC_VV]((double *)(void *)to,
                                                         (const double *)(const void *)from,
                                                         (double *)(void *)to, count);
    else
        nnc_integer_binary(NNC_OP_add, variable->dtype)(to, 0, 1, from, 0, 1, to, 0, count);
}
