/* isa_avx512_half.c - float16 and bfloat16 on level avx512: compile with -mavx512f -mavx512dq
 * -mavx512bw -mavx512vl -mfma -mf16c. */
#if defined(__x86_64__)
#define UNIT avx512_half
#include <immintrin.h>

#include "kernels.h"
#include "halves.inc"
#else
typedef int nnc_no_avx512_half; /* another architecture: nothing here */
#endif
