/* isa_avx512_f64.c - the kernels of level avx512 for double: compile with -mavx512f -mavx512dq
 * -mavx512bw -mavx512vl -mfma. */
#if defined(__x86_64__)
#define UNIT avx512_f64
#include "kernels.h"
#include "simd/avx512_f64.h"
#include "bodies.inc"
#else
typedef int nnc_no_avx512_f64; /* another architecture: nothing here */
#endif
