/* portable_f64.h - the vocabulary for 2 doubles, without intrinsics. */
#ifndef NNC_SIMD_PORTABLE_F64_H
#define NNC_SIMD_PORTABLE_F64_H

#define NNC_REAL_IS_F64
typedef double real;
typedef int64_t sbits;
typedef uint64_t ubits;
#define SUFFIX f64
#define BYTES 16
#include "portable.h"

V_FN vec v_sqrt(vec a) { return (vec){sqrt(a[0]), sqrt(a[1])}; }

V_FN vec v_evens(vec a, vec b) { return (vec){a[0], b[0]}; }
V_FN vec v_odds(vec a, vec b) { return (vec){a[1], b[1]}; }
V_FN vec v_zip_low(vec a, vec b) { return (vec){a[0], b[0]}; }
V_FN vec v_zip_high(vec a, vec b) { return (vec){a[1], b[1]}; }

#include "math.h"
#endif
