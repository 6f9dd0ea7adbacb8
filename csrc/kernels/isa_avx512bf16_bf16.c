/* isa_avx512bf16_bf16.c - products of bfloat16 on level avx512bf16: vdpbf16ps adds the products of
 * a pair of steps to each of 16 sums. Compile with the flags of level avx512 and -mavx512bf16. */
#include "kernels.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>

#include "bf16.inc"

static void nothing(void)
{
}

/* 16 sums of 16 columns: a number pair of A, broadcast from memory, times a row of B. */
PACK_FN void multiply_tile(const uint16_t *a, const uint16_t *b, int64_t steps, bool add, float *c,
                           int64_t ldc)
{
    __m512 sum[16];
    PACK_UNROLL
    for (int i = 0; i < 16; i++)
        sum[i] = add ? _mm512_loadu_ps(c + i * ldc) : _mm512_setzero_ps();
    for (int64_t s = 0; s < steps; s++, a += NNC_STRIP_NUMBERS, b += NNC_STRIP_NUMBERS) {
        for (int q = 0; q < 16; q++) {
            __m512i row = _mm512_load_si512(b + 32 * q);
            PACK_UNROLL
            for (int i = 0; i < 16; i++) {
                int32_t pair;
                memcpy(&pair, a + 32 * i + 2 * q, sizeof pair);
                sum[i] = _mm512_dpbf16_ps(sum[i], (__m512bh)_mm512_set1_epi32(pair),
                                          (__m512bh)row);
            }
        }
    }
    PACK_UNROLL
    for (int i = 0; i < 16; i++)
        _mm512_storeu_ps(c + i * ldc, sum[i]);
}

static void multiply(const uint16_t *a, int rows, const uint16_t *b, int columns, int64_t steps,
                     bool add, float *c, int64_t ldc)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            multiply_tile(a + i * NNC_TILE_NUMBERS, b + j * NNC_TILE_NUMBERS, steps, add,
                          c + 16 * i * ldc + 16 * j, ldc);
}

/* 1024 instructions of 64 operations a round. */
static float peak(int64_t rounds)
{
    __m512 sum[16];
    __m512i x = _mm512_set1_epi32(0);
    for (int i = 0; i < 16; i++)
        sum[i] = _mm512_setzero_ps();
    for (int64_t r = 0; r < 64 * rounds; r++) {
        __asm__ volatile("" : "+v"(x));
        PACK_UNROLL
        for (int i = 0; i < 16; i++)
            sum[i] = _mm512_dpbf16_ps(sum[i], (__m512bh)x, (__m512bh)x);
    }
    for (int i = 1; i < 16; i++)
        sum[0] = _mm512_add_ps(sum[0], sum[i]);
    return _mm512_reduce_add_ps(sum[0]);
}

const nnc_kernels_bf16 nnc_kernels_avx512bf16_bf16 = {75, pack, multiply, nothing, nothing, peak};
#else
const nnc_kernels_bf16 nnc_kernels_avx512bf16_bf16 = {0};     /* not this machine, or compiler */
#endif
