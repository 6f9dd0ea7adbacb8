/* isa_portable_half.c - float16 and bfloat16 on level portable. */
#define UNIT portable_half
#include "kernels.h"
#include "halves.inc"
