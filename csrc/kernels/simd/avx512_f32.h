/* avx512_f32.h - the vocabulary for 16 floats. */
#ifndef NNC_SIMD_AVX512_F32_H
#define NNC_SIMD_AVX512_F32_H

#include <immintrin.h>

typedef float real;
typedef int32_t sbits;
typedef uint32_t ubits;
typedef __mmask16 mask;
#define SUFFIX f32
#define BYTES 64
#define AVX(op) _mm512_##op##_ps
#define COMPARE_MASK _mm512_cmp_ps_mask
#define TEST_MASK _mm512_test_epi32_mask
#include "avx512.h"

V_FN vec v_broadcast(const real *p) { return _mm512_set1_ps(*p); }

#define V_FOLD(name, op)                                                                           \
    V_FN real name(vec v)                                                                          \
    {                                                                                              \
        __m256 h = _mm256_##op##_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));      \
        __m128 s = _mm_##op##_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));          \
        s = _mm_##op##_ps(s, _mm_movehl_ps(s, s));                                                 \
        return _mm_cvtss_f32(_mm_##op##_ss(s, _mm_movehdup_ps(s)));                                \
    }
V_FOLD(v_reduce_add, add)
V_FOLD(v_reduce_max, max)
V_FOLD(v_reduce_min, min)
#undef V_FOLD

/* y[0..3] = v_reduce_add of a, b, c, d. */
#define V_HAS_REDUCE_4 1
V_FN void v_reduce_add_4(vec a, vec b, vec c, vec d, real *y)
{
    const __m512i firsts = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    __m512 ab = _mm512_shuffle_f32x4(a, b, 0x44) + _mm512_shuffle_f32x4(a, b, 0xee);
    __m512 cd = _mm512_shuffle_f32x4(c, d, 0x44) + _mm512_shuffle_f32x4(c, d, 0xee);
    __m512 s = _mm512_shuffle_f32x4(ab, cd, 0x88) + _mm512_shuffle_f32x4(ab, cd, 0xdd);
    s += _mm512_permute_ps(s, 0x0e);
    s += _mm512_permute_ps(s, 0x01);
    _mm_storeu_ps(y, _mm512_castps512_ps128(_mm512_permutexvar_ps(firsts, s)));
}

V_FN vec v_evens(vec a, vec b) { return _mm512_shuffle_ps(a, b, 0x88); }
V_FN vec v_odds(vec a, vec b) { return _mm512_shuffle_ps(a, b, 0xdd); }
V_FN vec v_zip_low(vec a, vec b) { return _mm512_unpacklo_ps(a, b); }
V_FN vec v_zip_high(vec a, vec b) { return _mm512_unpackhi_ps(a, b); }

/* table[i], i the low bits of each lane, 0 to 7. */
#define V_HAS_LOOKUP 1
V_FN vec v_lookup(const real table[8], uvec i)
{
    return _mm512_permutexvar_ps((__m512i)i, _mm512_castps256_ps512(_mm256_loadu_ps(table)));
}

/* a / (sqrt(x) + e) without the divider, which takes twice as long as all the rest of a step of Adam:
 * estimates of 14 bits, each made whole by one step of Newton's, within an ulp of dividing. What the
 * estimates are not made for (a root of less than 2^-50 but not 0, of NaN) is divided, lane by lane. */
#define V_HAS_OVER_ROOT 1
V_FN vec v_over_root(vec a, vec x, vec e)
{
    const vec least = _mm512_set1_ps(0x1p-100f), none = _mm512_setzero_ps();
    mask rooted = v_ge(x, least);
    vec r = _mm512_rsqrt14_ps(x), s = x * r;
    s = _mm512_maskz_fmadd_ps(rooted, _mm512_fnmadd_ps(s, s, x), r * 0.5f, s);
    vec by = s + e;
    mask good = v_and(v_or(rooted, v_eq(x, none)), v_ge(by, least));
    vec q = _mm512_rcp14_ps(by), t = a * q, rest = _mm512_fnmadd_ps(t, by, a);
    t = v_select(v_isnan(rest), t, _mm512_fmadd_ps(rest, q, t));        /* a is Inf: t */
    return good == 0xffff ? t : v_select(good, t, a / (_mm512_sqrt_ps(x) + e));
}

#include "math.h"
#endif
