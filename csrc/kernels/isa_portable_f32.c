/* isa_portable_f32.c - the kernels of level portable for float: any processor: 16-byte vectors
 * of the compiler's making. */
#define UNIT portable_f32
#include "kernels.h"
#include "simd/portable_f32.h"
#include "bodies.inc"
