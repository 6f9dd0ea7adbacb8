/* avx2.h - what avx2_f32.h and avx2_f64.h share: 32-byte vectors with FMA. A mask is a vector
 * whose lanes are all ones or all zeros. AVX(op) is the intrinsic for the element type at hand. */
#include <immintrin.h>
#include "base.h"

#define LEVEL_NAME "avx2"
#define LEVEL_AVX2 1

typedef ivec mask;

#define V_HAS_FMA 1
V_FN vec v_fma(vec a, vec b, vec c) { return AVX(fmadd)(a, b, c); }
V_FN vec v_sqrt(vec a) { return AVX(sqrt)(a); }
V_FN vec v_max(vec a, vec b) { return AVX(max)(a, b); }
V_FN vec v_min(vec a, vec b) { return AVX(min)(a, b); }
V_FN vec v_floor(vec a) { return AVX(floor)(a); }
V_FN vec v_ceil(vec a) { return AVX(ceil)(a); }
V_FN vec v_rint(vec a) { return AVX(round)(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

V_FN mask v_lt(vec a, vec b) { return (mask)AVX(cmp)(a, b, _CMP_LT_OQ); }
V_FN mask v_le(vec a, vec b) { return (mask)AVX(cmp)(a, b, _CMP_LE_OQ); }
V_FN mask v_gt(vec a, vec b) { return (mask)AVX(cmp)(a, b, _CMP_GT_OQ); }
V_FN mask v_ge(vec a, vec b) { return (mask)AVX(cmp)(a, b, _CMP_GE_OQ); }
V_FN mask v_eq(vec a, vec b) { return (mask)AVX(cmp)(a, b, _CMP_EQ_OQ); }
V_FN mask v_ne(vec a, vec b) { return (mask)AVX(cmp)(a, b, _CMP_NEQ_UQ); }
V_FN mask v_and(mask a, mask b) { return a & b; }
V_FN mask v_or(mask a, mask b) { return a | b; }
V_FN mask v_isnan(vec a) { return (mask)AVX(cmp)(a, a, _CMP_UNORD_Q); }
V_FN mask v_unordered(vec a, vec b) { return (mask)AVX(cmp)(a, b, _CMP_UNORD_Q); }
V_FN mask v_none(void) { return (mask){0}; }
V_FN vec v_select(mask m, vec a, vec b) { return AVX(blendv)(b, a, (vec)m); }
V_FN vec v_zero_where(mask m, vec a) { return (vec)(~m & (ivec)a); }
/* A bit a lane. */
V_FN unsigned v_mask_bits(mask m) { return (unsigned)AVX(movemask)((vec)m); }

/* The lanes whose byte is not 0. */
V_FN mask v_truth(const uint8_t *p)
{
#ifdef NNC_REAL_IS_F64
    uint32_t bytes;
    memcpy(&bytes, p, sizeof bytes);
    return (mask)_mm256_cvtepu8_epi64(_mm_cvtsi32_si128((int)bytes)) != 0;
#else
    return (mask)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)) != 0;
#endif
}
/* The lanes below n, read from a run of ones and zeros. */
V_FN mask v_first(int64_t n)
{
    static const sbits run[2 * LANES] = {
#ifdef NNC_REAL_IS_F64
        -1, -1, -1, -1,
#else
        -1, -1, -1, -1, -1, -1, -1, -1,
#endif
    };
    return (mask)_mm256_loadu_si256((const __m256i *)(const void *)(run + LANES - n));
}
V_FN wide w_mul_even(words a, words b) { return (wide)_mm256_mul_epu32((__m256i)a, (__m256i)b); }
V_FN words w_zip_low(words a, words b)
{
    return (words)_mm256_unpacklo_epi32((__m256i)a, (__m256i)b);
}
V_FN words w_zip_high(words a, words b)
{
    return (words)_mm256_unpackhi_epi32((__m256i)a, (__m256i)b);
}
V_FN words w_zip_low_pairs(words a, words b)
{
    return (words)_mm256_unpacklo_epi64((__m256i)a, (__m256i)b);
}
V_FN words w_zip_high_pairs(words a, words b)
{
    return (words)_mm256_unpackhi_epi64((__m256i)a, (__m256i)b);
}
/* Even words of a, odd words of b. */
V_FN words w_blend(words a, words b)
{
    return (words)_mm256_blend_epi32((__m256i)a, (__m256i)b, 0xaa);
}
