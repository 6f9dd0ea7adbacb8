/* isa_avx2_f32.c - the kernels of level avx2 for float: compile with -mavx2 -mfma. */
#if defined(__x86_64__)
#define UNIT avx2_f32
#include "kernels.h"
#include "simd/avx2_f32.h"
#include "bodies.inc"
#else
typedef int nnc_no_avx2_f32; /* another architecture: nothing here */
#endif
