/* isa_avx512_f32.c - the kernels of level avx512 for float: compile with -mavx512f -mavx512dq
 * -mavx512bw -mavx512vl -mfma. */
#if defined(__x86_64__)
#define UNIT avx512_f32
#include "kernels.h"
#include "simd/avx512_f32.h"
#include "bodies.inc"
#else
typedef int nnc_no_avx512_f32; /* another architecture: nothing here */
#endif
