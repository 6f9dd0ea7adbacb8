/* isa_portable_f32.c - the kernels of level portable for float: no flags, any processor. */
#define UNIT portable_f32
#include "kernels.h"
#include "simd/portable_f32.h"
#include "bodies.inc"
