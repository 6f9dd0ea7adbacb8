/* avx2_f64.h - the vocabulary for 4 doubles. */
#ifndef NNC_SIMD_AVX2_F64_H
#define NNC_SIMD_AVX2_F64_H

#define NNC_REAL_IS_F64
typedef double real;
typedef int64_t sbits;
typedef uint64_t ubits;
#define SUFFIX f64
#define BYTES 32
#define AVX(op) _mm256_##op##_pd
#include "avx2.h"

V_FN vec v_broadcast(const real *p) { return _mm256_broadcast_sd(p); }

/* As in avx2_f32.h. */
V_FN vec v_load_tail(const real *p, int64_t n)
{
    switch (n) {
    case 1:
        return _mm256_zextpd128_pd256(_mm_load_sd(p));
    case 2:
        return _mm256_zextpd128_pd256(_mm_loadu_pd(p));
    default:
        return _mm256_maskload_pd(p, (__m256i)v_first(n));
    }
}

/* In halves: a masked store costs dozens of cycles on AMD. */
V_FN void v_store_tail(real *p, vec v, int64_t n)
{
    __m128d rest = _mm256_castpd256_pd128(v);
    if (n & 2) {
        _mm_storeu_pd(p, rest);
        rest = _mm256_extractf128_pd(v, 1);
        p += 2;
    }
    if (n & 1)
        _mm_store_sd(p, rest);
}

#define V_FOLD(name, op)                                                                           \
    V_FN real name(vec v)                                                                          \
    {                                                                                              \
        __m128d s = _mm_##op##_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));         \
        return _mm_cvtsd_f64(_mm_##op##_sd(s, _mm_unpackhi_pd(s, s)));                             \
    }
V_FOLD(v_reduce_add, add)
V_FOLD(v_reduce_max, max)
V_FOLD(v_reduce_min, min)
#undef V_FOLD

V_FN vec v_evens(vec a, vec b) { return _mm256_unpacklo_pd(a, b); }
V_FN vec v_odds(vec a, vec b) { return _mm256_unpackhi_pd(a, b); }
V_FN vec v_zip_low(vec a, vec b) { return _mm256_unpacklo_pd(a, b); }
V_FN vec v_zip_high(vec a, vec b) { return _mm256_unpackhi_pd(a, b); }

#include "math.h"
#endif
