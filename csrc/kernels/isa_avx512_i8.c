/* isa_avx512_i8.c - the 8-bit products of level avx512: compile with -mavx512f -mavx512bw. */
#if defined(__AVX512F__)
#include <immintrin.h>

#include "kernels.h"

enum { LANES = 16 };
typedef __m512i vector;

#define v_load(from) _mm512_loadu_si512(from)
#define v_store(to, v) _mm512_storeu_si512(to, v)
#define v_pairs(from) v_load(from)
#define v_dot(c, a, b) _mm512_add_epi32(c, _mm512_madd_epi16(a, b))

static inline vector v_pair(const int16_t *from)
{
    int32_t both;
    __builtin_memcpy(&both, from, sizeof both);
    return _mm512_set1_epi32(both);
}

static inline void pack_pairs(const int8_t *first, const int8_t *second, int16_t *to)
{
    __m128i a = _mm_loadu_si128((const __m128i *)first);
    __m128i b = _mm_loadu_si128((const __m128i *)second);
    __m256i both = _mm256_set_m128i(_mm_unpackhi_epi8(a, b), _mm_unpacklo_epi8(a, b));
    v_store(to, _mm512_cvtepi8_epi16(both));
}

#include "int8.inc"

const nnc_kernels_i8 nnc_kernels_avx512_i8 = {quantize, gemm};
#else
#include "kernels.h"

const nnc_kernels_i8 nnc_kernels_avx512_i8 = {0};    /* compiled without the level */
#endif
