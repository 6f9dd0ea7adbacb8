/* isa_avx2_i8.c - the 8-bit products of level avx2: compile with -mavx2. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "kernels.h"

enum { LANES = 8 };
typedef __m256i vector;

#define v_load(from) _mm256_loadu_si256((const __m256i *)(from))
#define v_store(to, v) _mm256_storeu_si256((__m256i *)(to), v)
#define v_pairs(from) v_load(from)
#define v_dot(c, a, b) _mm256_add_epi32(c, _mm256_madd_epi16(a, b))

static inline vector v_pair(const int16_t *from)
{
    int32_t both;
    __builtin_memcpy(&both, from, sizeof both);
    return _mm256_set1_epi32(both);
}

static inline void pack_pairs(const int8_t *first, const int8_t *second, int16_t *to)
{
    __m128i a = _mm_loadl_epi64((const __m128i *)first);
    __m128i b = _mm_loadl_epi64((const __m128i *)second);
    v_store(to, _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(a, b)));
}

#include "int8.inc"

const nnc_kernels_i8 nnc_kernels_avx2_i8 = {quantize, gemm};
#else
typedef int nnc_no_avx2_i8; /* another architecture: nothing here */
#endif
