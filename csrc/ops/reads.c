/* reads.c - what the gradients of unary.def read: their text once more, over sets. x, y, dy are one
 * bit each, a constant is no bit, and every function joins its operands. */
#include "ops/chain.h"

#define zero 0u
#define one 0u
#define alpha 0u
#define v_const(value) 0u
#define v_add(a, b) ((a) | (b))
#define v_sub(a, b) ((a) | (b))
#define v_mul(a, b) ((a) | (b))
#define v_div(a, b) ((a) | (b))
#define v_max(a, b) ((a) | (b))
#define v_min(a, b) ((a) | (b))
#define v_pow(a, b) ((a) | (b))
#define v_eq(a, b) ((a) | (b))
#define v_ne(a, b) ((a) | (b))
#define v_lt(a, b) ((a) | (b))
#define v_le(a, b) ((a) | (b))
#define v_gt(a, b) ((a) | (b))
#define v_ge(a, b) ((a) | (b))
#define v_select(c, a, b) ((c) | (a) | (b))
#define v_neg(a) (a)
#define v_abs(a) (a)
#define v_sq(a) (a)
#define v_sqrt(a) (a)
#define v_floor(a) (a)
#define v_ceil(a) (a)
#define v_rint(a) (a)
#define v_exp(a) (a)
#define v_log(a) (a)
#define v_log1p(a) (a)
#define v_expm1(a) (a)
#define v_tanh(a) (a)
#define v_erf(a) (a)
#define v_sigmoid(a) (a)
#define v_sin(a) (a)
#define v_cos(a) (a)
#define v_sinh(a) (a)
#define v_cosh(a) (a)
#define v_i0(a) (a)
#define v_i1(a) (a)

unsigned nnc_unary_grad_reads(nnc_op op)
{
    const unsigned x = 1, y = 2, dy = 4;
    (void)x, (void)y, (void)dy;
    switch (op) {
#define UNARY(name, value, gradient, source) case NNC_OP_##name##_grad: return gradient;
#include "ops/unary.def"
#undef UNARY
    default: return 7;
    }
}
