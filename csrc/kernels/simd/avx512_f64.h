/* avx512_f64.h - the vocabulary for 8 doubles. */
#ifndef NNC_SIMD_AVX512_F64_H
#define NNC_SIMD_AVX512_F64_H

#include <immintrin.h>

#define NNC_REAL_IS_F64
typedef double real;
typedef int64_t sbits;
typedef uint64_t ubits;
typedef __mmask8 mask;
#define SUFFIX f64
#define BYTES 64
#define AVX(op) _mm512_##op##_pd
#define COMPARE_MASK _mm512_cmp_pd_mask
#define TEST_MASK _mm512_test_epi64_mask
#include "avx512.h"

V_FN vec v_broadcast(const real *p) { return _mm512_set1_pd(*p); }

#define V_FOLD(name, op)                                                                           \
    V_FN real name(vec v)                                                                          \
    {                                                                                              \
        __m256d h = _mm256_##op##_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd(v, 1));     \
        __m128d s = _mm_##op##_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));         \
        return _mm_cvtsd_f64(_mm_##op##_sd(s, _mm_unpackhi_pd(s, s)));                             \
    }
V_FOLD(v_reduce_add, add)
V_FOLD(v_reduce_max, max)
V_FOLD(v_reduce_min, min)
#undef V_FOLD

V_FN vec v_evens(vec a, vec b) { return _mm512_unpacklo_pd(a, b); }
V_FN vec v_odds(vec a, vec b) { return _mm512_unpackhi_pd(a, b); }
V_FN vec v_zip_low(vec a, vec b) { return _mm512_unpacklo_pd(a, b); }
V_FN vec v_zip_high(vec a, vec b) { return _mm512_unpackhi_pd(a, b); }

#include "math.h"
#endif
