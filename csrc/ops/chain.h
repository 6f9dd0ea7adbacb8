/* chain.h - how a chain of element-wise ops is written into the attributes of one node (chain.c
 * runs it, passes/chain.c makes it). attrs->list: the rank, then a packed step each; k: the sizes;
 * f: the steps' parameters. */
#ifndef NNC_OPS_CHAIN_H
#define NNC_OPS_CHAIN_H

#include "nnc.h"

enum {
    NNC_CHAIN_STEPS = NNC_MAX_RANK * 3 - 1,
    NNC_CHAIN_INPUTS = 16,
    NNC_CHAIN_PARAMETERS = 6,
    NNC_CHAIN_RESULT = 32,      /* operand 32 + j: the result of step j; below: an input */
    NNC_CHAIN_OUTPUT = 31,      /* as a slot: the result is an output of the node */
    NNC_CHAIN_SMALLEST = 256    /* elements; below, the steps one by one are quicker */
};

/* The last step gives output 0, the others that are outputs 1, 2 ... in their order. */
typedef struct {
    nnc_op op;
    int operands[3];
    int parameter;      /* index in f of the op's alpha */
    nnc_dtype dtype;    /* of the result; NNC_DTYPE_COUNT: that of the last operand */
    int slot;           /* where the result lies in scratch memory, or NNC_CHAIN_OUTPUT */
} nnc_chain_step;

int64_t nnc_chain_pack(const nnc_chain_step *step);
nnc_chain_step nnc_chain_unpack(int64_t packed);

/* Whether an op may be a step: element i of the result needs element i of each operand. */
bool nnc_chain_takes(nnc_op op);

/* Which of x, y, dy the gradient of a unary op reads: bits 0, 1, 2. 7 for any other op. reads.c */
unsigned nnc_unary_grad_reads(nnc_op op);

#endif
