/* isa_portable_f64.c - the kernels of level portable for double: no flags, any processor. */
#define UNIT portable_f64
#include "kernels.h"
#include "simd/portable_f64.h"
#include "bodies.inc"
