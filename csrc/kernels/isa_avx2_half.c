/* isa_avx2_half.c - float16 and bfloat16 on level avx2: compile with -mavx2 -mfma -mf16c. */
#if defined(__x86_64__)
#define UNIT avx2_half
#include <immintrin.h>

#include "kernels.h"
#include "halves.inc"
#else
typedef int nnc_no_avx2_half; /* another architecture: nothing here */
#endif
