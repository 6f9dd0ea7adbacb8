/* isa_avx512bf16_bf16.c - products of bfloat16 on level avx512bf16: vdpbf16ps adds the products of
 * a pair of steps to each of 16 sums. Compile with the flags of level avx512 and -mavx512bf16. */
#include "kernels.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>

#include "bf16.inc"

static void nothing(void)
{
}

/* Rows of A, a_row apart, as bases of three: base, base + a_row, base + 2 a_row are addresses that
 * an instruction can hold. */
#define MOST_ROWS 14
#define BASES ((MOST_ROWS + 2) / 3)

PACK_FN __m512bh pair_of(const uint16_t *const *base, int64_t a_row, int i, int64_t at)
{
    int32_t pair;
    memcpy(&pair, base[i / 3] + i % 3 * a_row + at, sizeof pair);
    return (__m512bh)_mm512_set1_epi32(pair);
}

/* sum += a pair of steps: numbers `at` and at + 1 of mr rows, times nv rows of B's tiles. */
PACK_FN void add_pair(const int mr, const int nv, __m512 sum[MOST_ROWS][2],
                      const uint16_t *const *base, int64_t a_row, int64_t at, const uint16_t *b)
{
    __m512bh row[2];
    PACK_UNROLL
    for (int j = 0; j < nv; j++)
        row[j] = (__m512bh)_mm512_load_si512(b + j * NNC_TILE_NUMBERS);
    PACK_UNROLL
    for (int i = 0; i < mr; i++) {
        __m512bh x = pair_of(base, a_row, i, at);
        PACK_UNROLL
        for (int j = 0; j < nv; j++)
            sum[i][j] = _mm512_dpbf16_ps(sum[i][j], x, row[j]);
    }
}

/* The same of a step without a second: what lies behind it may not be read. */
PACK_FN void add_single(const int mr, const int nv, __m512 sum[MOST_ROWS][2], const uint16_t *a,
                        int64_t a_row, const uint16_t *b)
{
    PACK_UNROLL
    for (int i = 0; i < mr; i++) {
        __m512bh x = (__m512bh)_mm512_set1_epi32(a[i * a_row]);
        PACK_UNROLL
        for (int j = 0; j < nv; j++)
            sum[i][j] = _mm512_dpbf16_ps(sum[i][j], x,
                                         (__m512bh)_mm512_load_si512(b + j * NNC_TILE_NUMBERS));
    }
}

/* mr rows by nv vectors. a_row: of rows as they lie; a_tile: from 32 steps to the next. */
PACK_FN void multiply_body(const int mr, const int nv, const uint16_t *a, int64_t a_row,
                           const int64_t a_tile, const uint16_t *b, int64_t k, bool add, float *c,
                           int64_t ldc)
{
    __m512 sum[MOST_ROWS][2];
    const uint16_t *base[BASES];
    PACK_UNROLL
    for (int i = 0; i < mr; i++)
        PACK_UNROLL
        for (int j = 0; j < nv; j++)
            sum[i][j] = add ? _mm512_loadu_ps(c + i * ldc + 16 * j) : _mm512_setzero_ps();
    PACK_UNROLL
    for (int i = 0; i < BASES; i++)
        base[i] = a + 3 * i * a_row;
    for (; k >= NNC_TILE_STEPS; k -= NNC_TILE_STEPS, b += NNC_STRIP_NUMBERS) {
        for (int q = 0; q < NNC_TILE_STEPS; q += 2)
            add_pair(mr, nv, sum, base, a_row, q, b + 16 * q);
        PACK_UNROLL
        for (int i = 0; i < BASES; i++)
            base[i] += a_tile;
    }
    for (int q = 0; q + 2 <= k; q += 2)
        add_pair(mr, nv, sum, base, a_row, q, b + 16 * q);
    if (k % 2 != 0)
        add_single(mr, nv, sum, base[0] + k - 1, a_row, b + 16 * (k - 1));
    PACK_UNROLL
    for (int i = 0; i < mr; i++)
        PACK_UNROLL
        for (int j = 0; j < nv; j++)
            _mm512_storeu_ps(c + i * ldc + 16 * j, sum[i][j]);
}

typedef void multiplier(const uint16_t *a, int64_t a_row, const uint16_t *b, int64_t k, bool add,
                        float *c, int64_t ldc);

/* Packed rows are a tile's, whose distance is known here. */
#define DEFINE(mr, nv)                                                                             \
    static void packed_##mr##x##nv(const uint16_t *a, int64_t a_row, const uint16_t *b, int64_t k, \
                                   bool add, float *c, int64_t ldc)                                \
    {                                                                                              \
        (void)a_row;                                                                               \
        multiply_body(mr, nv, a, NNC_TILE_STEPS, NNC_STRIP_NUMBERS, b, k, add, c, ldc);            \
    }                                                                                              \
    static void lying_##mr##x##nv(const uint16_t *a, int64_t a_row, const uint16_t *b, int64_t k,  \
                                  bool add, float *c, int64_t ldc)                                 \
    {                                                                                              \
        multiply_body(mr, nv, a, a_row, NNC_TILE_STEPS, b, k, add, c, ldc);                        \
    }
#define ENTRY(mr, nv) [nv][mr] = {packed_##mr##x##nv, lying_##mr##x##nv},
#define EACH(X, nv)                                                                        \
    X(1, nv) X(2, nv) X(3, nv) X(4, nv) X(5, nv) X(6, nv) X(7, nv) X(8, nv) X(9, nv)       \
    X(10, nv) X(11, nv) X(12, nv) X(13, nv) X(14, nv)
EACH(DEFINE, 1)
EACH(DEFINE, 2)
static multiplier *const multipliers[3][MOST_ROWS + 1][2] = {EACH(ENTRY, 1) EACH(ENTRY, 2)};

/* Rows in parts that differ by one at most: 32 are 11, 11 and 10. */
static void multiply(const uint16_t *a, int64_t a_row, int rows, const uint16_t *b, int columns,
                     int64_t k, bool add, float *c, int64_t ldc)
{
    int parts = (rows + MOST_ROWS - 1) / MOST_ROWS, nv = columns > NNC_TILE ? 2 : 1;
    int64_t apart = a_row > 0 ? a_row : NNC_TILE_STEPS;
    for (; parts > 0; parts--) {
        int mr = (rows + parts - 1) / parts;
        multipliers[nv][mr][a_row > 0](a, a_row, b, k, add, c, ldc);
        a += mr * apart;
        c += mr * ldc;
        rows -= mr;
    }
}

/* Steps p0..p1-1 for mr rows by 16 nv columns, whose sums stay in registers meanwhile. mask: of the
 * last vector. */
PACK_FN void stream_body(const int mr, const int nv, const bool wide, const uint16_t *a,
                         int64_t a_row, const void *b, int64_t b_row, __mmask16 mask, int64_t p0,
                         int64_t p1, float *c, int64_t c_row)
{
    __m512 sum[NNC_STREAM_ROWS][2];
    PACK_UNROLL
    for (int i = 0; i < mr; i++)
        PACK_UNROLL
        for (int j = 0; j < nv; j++)
            sum[i][j] = p0 > 0 ? _mm512_loadu_ps(c + i * c_row + 16 * j) : _mm512_setzero_ps();
    for (int64_t p = p0; p < p1; p += 2) {
        bool both = p + 1 < p1;
        __m512bh row[2];
        PACK_UNROLL
        for (int j = 0; j < nv; j++)
            row[j] = (__m512bh)pack_pairs(b, wide, p * b_row + 16 * j, (p + 1) * b_row + 16 * j,
                                          j + 1 < nv ? (__mmask16)~0u : mask, both);
        PACK_UNROLL
        for (int i = 0; i < mr; i++) {
            int32_t pair = a[i * a_row + p];
            if (both)
                memcpy(&pair, a + i * a_row + p, sizeof pair);
            PACK_UNROLL
            for (int j = 0; j < nv; j++)
                sum[i][j] = _mm512_dpbf16_ps(sum[i][j], (__m512bh)_mm512_set1_epi32(pair), row[j]);
        }
    }
    PACK_UNROLL
    for (int i = 0; i < mr; i++)
        PACK_UNROLL
        for (int j = 0; j < nv; j++)
            _mm512_storeu_ps(c + i * c_row + 16 * j, sum[i][j]);
}

/* Some steps for all columns, then the next ones: so memory is read in its order. Few columns go
 * through all steps at once. */
PACK_FN void stream_rows(const int mr, const bool wide, const uint16_t *a, int64_t a_row,
                         const void *b, int64_t b_row, int64_t columns, int64_t k, float *c,
                         int64_t c_row)
{
    enum { STEPS = 8, NARROW = 64 };
    int64_t steps = columns > NARROW ? STEPS : k, j;
    for (int64_t p = 0; p < k; p += steps) {
        int64_t end = pack_least(k, p + steps);
        for (j = 0; j + 32 <= columns; j += 32)
            stream_body(mr, 2, wide, a, a_row, (const char *)b + j * (wide ? 4 : 2), b_row,
                        (__mmask16)~0u, p, end, c + j, c_row);
        for (; j < columns; j += 16)
            stream_body(mr, 1, wide, a, a_row, (const char *)b + j * (wide ? 4 : 2), b_row,
                        columns - j < 16 ? (__mmask16)((1u << (columns - j)) - 1)
                                         : (__mmask16)~0u, p, end, c + j, c_row);
    }
}

static void stream(const uint16_t *a, int64_t a_row, int rows, const void *b, bool wide,
                   int64_t b_row, int64_t columns, int64_t k, float *c, int64_t c_row)
{
    switch (rows) {
#define STREAM_CASE(mr)                                                                 \
    case mr:                                                                            \
        if (wide)                                                                       \
            stream_rows(mr, true, a, a_row, b, b_row, columns, k, c, c_row);            \
        else                                                                            \
            stream_rows(mr, false, a, a_row, b, b_row, columns, k, c, c_row);           \
        break;
        STREAM_CASE(1) STREAM_CASE(2) STREAM_CASE(3) STREAM_CASE(4) STREAM_CASE(5) STREAM_CASE(6)
#undef STREAM_CASE
    default:
        break;
    }
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

const nnc_kernels_bf16 nnc_kernels_avx512bf16_bf16 = {
    75, true, pack, multiply, stream, nothing, nothing, peak
};
#else
const nnc_kernels_bf16 nnc_kernels_avx512bf16_bf16 = {0};     /* not this machine, or compiler */
#endif
