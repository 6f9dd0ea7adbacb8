/* isa_avx512_f32.c - the kernels of level avx512 for float: compile with -mavx512f -mavx512dq
 * -mavx512bw -mavx512vl -mfma. */
#if defined(__AVX512F__)
#define UNIT avx512_f32
#include "kernels.h"
#include "simd/avx512_f32.h"
#include "bodies.inc"
#else
#include "kernels.h"

const nnc_kernels_f32 nnc_kernels_avx512_f32 = {0};    /* compiled without the level */
#endif
