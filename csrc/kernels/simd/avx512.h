/* avx512.h - what avx512_f32.h and avx512_f64.h share: 64-byte vectors, a mask is a bit a lane.
 * AVX(op) is the intrinsic for the element type at hand. */
#include <immintrin.h>
#include "base.h"

#define LEVEL_NAME "avx512"
#define LEVEL_AVX512 1

#define V_HAS_FMA 1
V_FN vec v_fma(vec a, vec b, vec c) { return AVX(fmadd)(a, b, c); }
V_FN vec v_sqrt(vec a) { return AVX(sqrt)(a); }
V_FN vec v_max(vec a, vec b) { return AVX(max)(a, b); }
V_FN vec v_min(vec a, vec b) { return AVX(min)(a, b); }
#define V_ROUND(mode) (_MM_FROUND_NO_EXC | (mode))
V_FN vec v_floor(vec a) { return AVX(roundscale)(a, V_ROUND(_MM_FROUND_TO_NEG_INF)); }
V_FN vec v_ceil(vec a) { return AVX(roundscale)(a, V_ROUND(_MM_FROUND_TO_POS_INF)); }
V_FN vec v_rint(vec a) { return AVX(roundscale)(a, V_ROUND(_MM_FROUND_TO_NEAREST_INT)); }
#undef V_ROUND

V_FN mask v_lt(vec a, vec b) { return COMPARE_MASK(a, b, _CMP_LT_OQ); }
V_FN mask v_le(vec a, vec b) { return COMPARE_MASK(a, b, _CMP_LE_OQ); }
V_FN mask v_gt(vec a, vec b) { return COMPARE_MASK(a, b, _CMP_GT_OQ); }
V_FN mask v_ge(vec a, vec b) { return COMPARE_MASK(a, b, _CMP_GE_OQ); }
V_FN mask v_eq(vec a, vec b) { return COMPARE_MASK(a, b, _CMP_EQ_OQ); }
V_FN mask v_ne(vec a, vec b) { return COMPARE_MASK(a, b, _CMP_NEQ_UQ); }
V_FN mask v_and(mask a, mask b) { return (mask)(a & b); }
V_FN mask v_or(mask a, mask b) { return (mask)(a | b); }
V_FN mask v_isnan(vec a) { return COMPARE_MASK(a, a, _CMP_UNORD_Q); }
V_FN mask v_unordered(vec a, vec b) { return COMPARE_MASK(a, b, _CMP_UNORD_Q); }
V_FN mask v_none(void) { return 0; }
V_FN vec v_select(mask m, vec a, vec b) { return AVX(mask_blend)(m, b, a); }
V_FN vec v_zero_where(mask m, vec a) { return AVX(maskz_mov)((mask)~m, a); }
/* A bit a lane. */
V_FN unsigned v_mask_bits(mask m) { return m; }
/* The lanes whose byte is not 0. */
V_FN mask v_truth(const uint8_t *p)
{
    ivec b = v_load_bytes(p);
    return TEST_MASK((__m512i)b, (__m512i)b);
}
/* The lanes below n. */
V_FN mask v_first(int64_t n) { return (mask)((1u << n) - 1); }

V_FN vec v_load_tail(const real *p, int64_t n) { return AVX(maskz_loadu)(v_first(n), p); }
V_FN void v_store_tail(real *p, vec v, int64_t n) { AVX(mask_storeu)(p, v_first(n), v); }
/* p * 2^n with one rounding, for the exponentials. */
#define V_HAS_SCALE 1
V_FN vec v_scale(vec p, vec n) { return AVX(scalef)(p, n); }

V_FN wide w_mul_even(words a, words b) { return (wide)_mm512_mul_epu32((__m512i)a, (__m512i)b); }
V_FN words w_zip_low(words a, words b)
{
    return (words)_mm512_unpacklo_epi32((__m512i)a, (__m512i)b);
}
V_FN words w_zip_high(words a, words b)
{
    return (words)_mm512_unpackhi_epi32((__m512i)a, (__m512i)b);
}
V_FN words w_zip_low_pairs(words a, words b)
{
    return (words)_mm512_unpacklo_epi64((__m512i)a, (__m512i)b);
}
V_FN words w_zip_high_pairs(words a, words b)
{
    return (words)_mm512_unpackhi_epi64((__m512i)a, (__m512i)b);
}
/* Even words of a, odd words of b. */
V_FN words w_blend(words a, words b)
{
    return (words)_mm512_mask_blend_epi32(0xaaaa, (__m512i)a, (__m512i)b);
}
