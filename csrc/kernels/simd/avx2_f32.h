/* avx2_f32.h - the vocabulary for 8 floats. */
#ifndef NNC_SIMD_AVX2_F32_H
#define NNC_SIMD_AVX2_F32_H

typedef float real;
typedef int32_t sbits;
typedef uint32_t ubits;
#define SUFFIX f32
#define BYTES 32
#define AVX(op) _mm256_##op##_ps
#include "avx2.h"

/* From memory: GCC makes a splat of a loaded number two instructions. */
V_FN vec v_broadcast(const real *p) { return _mm256_broadcast_ss(p); }

/* 1, 2 and 4 numbers have instructions of their own, which clear the rest; a masked load takes ten
 * cycles on Zen 1. */
V_FN vec v_load_tail(const real *p, int64_t n)
{
    switch (n) {
    case 1:
        return _mm256_zextps128_ps256(_mm_load_ss(p));
    case 2:
        return _mm256_zextps128_ps256(
            _mm_castsi128_ps(_mm_loadl_epi64((const __m128i *)(const void *)p)));
    case 4:
        return _mm256_zextps128_ps256(_mm_loadu_ps(p));
    default:
        return _mm256_maskload_ps(p, (__m256i)v_first(n));
    }
}

/* In halves: a masked store costs dozens of cycles on AMD. */
V_FN void v_store_tail(real *p, vec v, int64_t n)
{
    __m128 rest = _mm256_castps256_ps128(v);
    if (n & 4) {
        _mm_storeu_ps(p, rest);
        rest = _mm256_extractf128_ps(v, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)(void *)p, rest);
        rest = _mm_movehl_ps(rest, rest);
        p += 2;
    }
    if (n & 1)
        _mm_store_ss(p, rest);
}

#define V_FOLD(name, op)                                                                           \
    V_FN real name(vec v)                                                                          \
    {                                                                                              \
        __m128 s = _mm_##op##_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));          \
        s = _mm_##op##_ps(s, _mm_movehl_ps(s, s));                                                 \
        return _mm_cvtss_f32(_mm_##op##_ss(s, _mm_movehdup_ps(s)));                                \
    }
V_FOLD(v_reduce_add, add)
V_FOLD(v_reduce_max, max)
V_FOLD(v_reduce_min, min)
#undef V_FOLD

/* y[0..3] = v_reduce_add of a, b, c, d: in 16 bytes, for what crosses their border is slow on Zen 1. */
#define V_HAS_REDUCE_4 1
V_FN __m128 v_add_halves(vec a)
{
    return _mm256_castps256_ps128(a) + _mm256_extractf128_ps(a, 1);
}
V_FN void v_reduce_add_4(vec a, vec b, vec c, vec d, real *y)
{
    __m128 a4 = v_add_halves(a), b4 = v_add_halves(b), c4 = v_add_halves(c), d4 = v_add_halves(d);
    __m128 ab = _mm_movelh_ps(a4, b4) + _mm_movehl_ps(b4, a4);      /* a a b b */
    __m128 cd = _mm_movelh_ps(c4, d4) + _mm_movehl_ps(d4, c4);
    _mm_storeu_ps(y, _mm_shuffle_ps(ab, cd, 0x88) + _mm_shuffle_ps(ab, cd, 0xdd));
}

/* Within 16 bytes: every second lane of a, then of b; and lanes of a and b in turns. */
V_FN vec v_evens(vec a, vec b) { return _mm256_shuffle_ps(a, b, 0x88); }
V_FN vec v_odds(vec a, vec b) { return _mm256_shuffle_ps(a, b, 0xdd); }
V_FN vec v_zip_low(vec a, vec b) { return _mm256_unpacklo_ps(a, b); }
V_FN vec v_zip_high(vec a, vec b) { return _mm256_unpackhi_ps(a, b); }

/* table[i], i the low bits of each lane, 0 to 7. */
#define V_HAS_LOOKUP 1
V_FN vec v_lookup(const real table[8], uvec i)
{
    return _mm256_permutevar8x32_ps(v_load(table), (__m256i)i);
}

#include "math.h"
#endif
