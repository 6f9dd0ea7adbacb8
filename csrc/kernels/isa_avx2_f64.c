/* isa_avx2_f64.c - the kernels of level avx2 for double: compile with -mavx2 -mfma. */
#if defined(__x86_64__)
#define UNIT avx2_f64
#include "kernels.h"
#include "simd/avx2_f64.h"
#include "bodies.inc"
#else
typedef int nnc_no_avx2_f64; /* another architecture: nothing here */
#endif
