/* tiles.h - products of bfloat16 on levels that have instructions for them. */
#ifndef NNC_OPS_TILES_H
#define NNC_OPS_TILES_H

#include "kernels/kernels.h"
#include "nnc.h"

/* C (m, n) = A B: sizes and strides as nnc_gemm has them, the rest of it is not looked at. a_wide,
 * b_wide: the operand is float32 and rounded to bfloat16, to nearest even, as it is read. */
typedef struct {
    nnc_gemm gemm;
    bool a_wide, b_wide;
} nnc_tiles;

/* What is done with a finished part of C, while it is in the nearest caches: part->r1 - part->r0
 * rows of part->c1 - part->c0 numbers, c_row apart, which it may overwrite. */
typedef void nnc_tiles_sink(void *argument, const nnc_region *part, float *c, int64_t c_row);

/* Whether the level in use has them. */
static inline bool nnc_tiles_there(void)
{
    return nnc_kernels->bf16 != NULL;
}
void nnc_tiles_plan(const nnc_tiles *tiles, nnc_work *work);
/* Pieces begin..end-1 of a phase. The workspace is 64-byte aligned. */
void nnc_tiles_run(const nnc_tiles *tiles, const void *a, const void *b, void *workspace, int phase,
                   int64_t begin, int64_t end, nnc_tiles_sink *sink, void *argument);

#endif
