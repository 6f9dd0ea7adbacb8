/* isa_avx512_f64.c - the kernels of level avx512 for double: compile with -mavx512f -mavx512dq
 * -mavx512bw -mavx512vl -mfma. */
#if defined(__AVX512F__)
#define UNIT avx512_f64
#include "kernels.h"
#include "simd/avx512_f64.h"
#include "bodies.inc"
#else
#include "kernels.h"

const nnc_kernels_f64 nnc_kernels_avx512_f64 = {0};    /* compiled without the level */
#endif
