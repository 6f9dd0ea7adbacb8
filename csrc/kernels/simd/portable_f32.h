/* portable_f32.h - the vocabulary for 4 floats, without intrinsics. */
#ifndef NNC_SIMD_PORTABLE_F32_H
#define NNC_SIMD_PORTABLE_F32_H

typedef float real;
typedef int32_t sbits;
typedef uint32_t ubits;
#define SUFFIX f32
#define BYTES 16
#include "portable.h"

V_FN vec v_sqrt(vec a) { return (vec){sqrtf(a[0]), sqrtf(a[1]), sqrtf(a[2]), sqrtf(a[3])}; }

V_FN vec v_evens(vec a, vec b) { return (vec){a[0], a[2], b[0], b[2]}; }
V_FN vec v_odds(vec a, vec b) { return (vec){a[1], a[3], b[1], b[3]}; }
V_FN vec v_zip_low(vec a, vec b) { return (vec){a[0], b[0], a[1], b[1]}; }
V_FN vec v_zip_high(vec a, vec b) { return (vec){a[2], b[2], a[3], b[3]}; }

#include "math.h"
#endif
