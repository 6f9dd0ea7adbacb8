/* stack.c - see stack.h. Block j begins with round FIRST * (2^j - 1). */
#include "graph/stack.h"

enum { FIRST = 4, LINE = 64 };

/* The block that holds round t, and t's place in it. */
static int block_of(int64_t t, int64_t *place)
{
    int j = 63 - __builtin_clzll((unsigned long long)(t / FIRST + 1));
    *place = t - FIRST * (((int64_t)1 << j) - 1);
    return j;
}

int64_t nnc_stack_bytes(const nnc_array *carry)
{
    int64_t bytes = nnc_shape_size(&carry->shape) * nnc_dtype_size(carry->dtype);
    return bytes == 0 ? LINE : (bytes + LINE - 1) / LINE * LINE;
}

nnc_status nnc_stack_reserve(nnc_stack *stack, int64_t t, int64_t bytes)
{
    int64_t place, total;
    int j = block_of(t, &place);
    if (j >= NNC_STACK_BLOCKS || __builtin_mul_overflow((int64_t)FIRST << j, bytes, &total))
        return nnc_fail(NNC_ENOMEM, "while_loop: %lld rounds of %lld bytes are too many",
                        (long long)t, (long long)bytes);
    return stack->block[j] != NULL ? NNC_OK : nnc_alloc(total, &stack->block[j]);
}

char *nnc_stack_round(const nnc_stack *stack, int64_t t, int64_t bytes)
{
    int64_t place;
    int j = block_of(t, &place);
    return stack->block[j] + place * bytes;
}

void nnc_stack_clear(nnc_stack *stack)
{
    for (int j = 0; j < NNC_STACK_BLOCKS; j++)
        nnc_free(stack->block[j]);
    *stack = (nnc_stack){.block = {NULL}};
}
