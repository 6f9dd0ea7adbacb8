/* isa_portable_f64.c - the kernels of level portable for double: any processor: 16-byte vectors
 * of the compiler's making. */
#define UNIT portable_f64
#include "kernels.h"
#include "simd/portable_f64.h"
#include "bodies.inc"
