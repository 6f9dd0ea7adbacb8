/* loose.c - ops on values that pass for bfloat16 and are float32: they hold more precision than
 * they show, and nothing is rounded on the way. An op runs as its float32 self if rounding its
 * results would give what it gives for bfloat16; else its operands are rounded first. Programs do
 * the same with whole graphs (passes/widen.c). */
#include "graph/call.h"
#include "graph/tape.h"
#include "graph/wide.h"
#include "ops/chain.h"

#include <math.h>
#include <string.h>

bool nnc_makes_no_numbers(nnc_op op)
{
    switch ((int)op) {
    case NNC_OP_relu:
    case NNC_OP_relu_grad:
    case NNC_OP_negative:
    case NNC_OP_absolute:
    case NNC_OP_maximum:
    case NNC_OP_minimum:
    case NNC_OP_where:
    case NNC_OP_max:
    case NNC_OP_min:
    case NNC_OP_reshape:
    case NNC_OP_stop_gradient:
    case NNC_OP_copy:
    case NNC_OP_broadcast_to:
    case NNC_OP_transpose:
    case NNC_OP_concatenate:
    case NNC_OP_slice:
    case NNC_OP_unslice:
    case NNC_OP_pad:
    case NNC_OP_patches:
    case NNC_OP_take:
    case NNC_OP_take_along:
        return true;
    default:
        return false;
    }
}

bool nnc_is_same_wide(nnc_op op, const nnc_attrs *attrs)
{
    const nnc_op_row *row = &nnc_ops[op];
    bool fills = op == NNC_OP_pad || op == NNC_OP_patches;
    if ((row->flags & (NNC_EFFECT | NNC_SHARED)) ||
        (fills && attrs->f[0] != 0 && !isinf(attrs->f[0])))
        return false;
    if ((row->flags & NNC_HALF) && !nnc_chain_takes(op) && !nnc_makes_no_numbers(op))
        return false;
    return row->attrs[0] == 0 || strstr(row->attrs, "d:dtype") == NULL;
}

static bool is_product(nnc_op op)
{
    return op == NNC_OP_matmul || op == NNC_OP_dense;
}

enum { FEW = 8 };

/* The outputs that the op shows. */
static nnc_status infer_shown(nnc_op op, const nnc_attrs *attrs, nnc_tensor *const *in,
                              const bool *loose, int count, nnc_array *out)
{
    nnc_status status;
    nnc_array few[FEW], *shown = few, *many = NULL;
    if (count > FEW) {
        NNC_TRY(nnc_alloc(count * (int64_t)sizeof *many, &many));
        shown = many;
    }
    for (int i = 0; i < count; i++) {
        shown[i] = in[i]->array;
        if (loose[i])
            shown[i].dtype = NNC_BF16;
    }
    NNC_TRY(nnc_call_infer(op, attrs, shown, count, out));
done:
    nnc_free(many);
    return status;
}

/* Whether an operand must be cast: where the op runs as its float32 self, what is of bfloat16; else
 * what only passes for it. */
static bool is_other(const nnc_tensor *in, bool loose, bool wide)
{
    return wide ? in->array.dtype == NNC_BF16 : loose;
}

/* The op on operands of which some are cast first. */
static nnc_status run_cast(nnc_op op, const nnc_attrs *attrs, nnc_tensor *const *in,
                           const bool *loose, int count, bool wide, const nnc_array *shown,
                           nnc_tensor **out)
{
    nnc_status status;
    nnc_tensor *few[FEW] = {NULL}, **operands = few, **many = NULL;
    nnc_attrs cast = {.dtype = wide ? NNC_F32 : NNC_BF16};
    if (count > FEW) {
        NNC_TRY(nnc_alloc_zero(count * (int64_t)sizeof *many, &many));
        operands = many;
    }
    for (int i = 0; i < count; i++) {
        if (is_other(in[i], loose[i], wide))
            NNC_TRY(nnc_eager(NNC_OP_cast, &cast, &in[i], 1, &operands[i]));
        else
            operands[i] = nnc_tensor_retain(in[i]);
    }
    NNC_TRY(nnc_eager_inferred(op, attrs, operands, count, shown, out));
done:
    for (int i = 0; (operands == many || count <= FEW) && i < count; i++)
        nnc_tensor_release(operands[i]);
    nnc_free(many);
    return status;
}

nnc_status nnc_eager_loose(nnc_op op, const nnc_attrs *attrs, nnc_tensor *const *in,
                           const bool *loose, int count, nnc_tensor **out, bool *out_loose)
{
    nnc_status status;
    nnc_array shown[NNC_MAX_OUTPUTS];
    bool wide = is_product(op) || nnc_is_same_wide(op, attrs), casts = false;
    NNC_TRY(infer_shown(op, attrs, in, loose, count, shown));
    for (int i = 0; i < count; i++)
        casts |= is_other(in[i], loose[i], wide);
    for (int k = 0; k < nnc_ops[op].outputs; k++) {
        out_loose[k] = wide && shown[k].dtype == NNC_BF16;
        if (out_loose[k])
            shown[k].dtype = NNC_F32;           /* what its float32 self gives */
    }
    if (casts)
        NNC_TRY(run_cast(op, attrs, in, loose, count, wide, shown, out));
    else
        NNC_TRY(nnc_eager_inferred(op, attrs, in, count, shown, out));
done:
    return status;
}
