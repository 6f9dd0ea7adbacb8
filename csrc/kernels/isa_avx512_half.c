/* isa_avx512_half.c - float16 and bfloat16 on level avx512: compile with -mavx512f -mavx512dq
 * -mavx512bw -mavx512vl -mfma -mf16c. */
#if defined(__AVX512F__)
#define UNIT avx512_half
#include <immintrin.h>

#include "kernels.h"
#include "halves.inc"
#else
#include "kernels.h"

const nnc_kernels_half nnc_kernels_avx512_half = {0};    /* compiled without the level */
#endif
