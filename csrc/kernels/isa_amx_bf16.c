/* isa_amx_bf16.c - products of bfloat16 on level amx: a register holds a tile, an instruction
 * multiplies two. Compile with the flags of level avx512 and -mavx512bf16 -mamx-tile -mamx-bf16. */
#include "kernels.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__)
#include <immintrin.h>

#include "bf16.inc"

/* Registers 0 to 3 are C, 4 and 5 A, 6 and 7 B; each 16 rows of 64 bytes. */
static void begin(void)
{
    static const struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } config = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64},
                {16, 16, 16, 16, 16, 16, 16, 16}};
    _tile_loadconfig(&config);
}

/* A thread without tiles in use costs the system less when it changes threads. */
static void end(void)
{
    _tile_release();
}

/* The compiler does not know that tiles are loaded from memory and stored to it. */
#define MEMORY() __asm__ volatile("" ::: "memory")
#define LINE (NNC_TILE_STEPS * 2)
#define EACH_C(what)                     \
    do {                                 \
        what(0, 0, 0);                   \
        if (columns == 2)                \
            what(1, 0, 1);               \
        if (rows == 2)                   \
            what(2, 1, 0);               \
        if (rows == 2 && columns == 2)   \
            what(3, 1, 1);               \
    } while (0)
#define LOAD(tile, i, j) _tile_loadd(tile, c + 16 * (i) * ldc + 16 * (j), ldc * 4)
#define ZERO(tile, i, j) _tile_zero(tile)
#define STORE(tile, i, j) _tile_stored(tile, c + 16 * (i) * ldc + 16 * (j), ldc * 4)

PACK_FN void multiply_body(const uint16_t *a, const int rows, const uint16_t *b, const int columns,
                           int64_t steps, bool add, float *c, int64_t ldc)
{
    MEMORY();
    if (add)
        EACH_C(LOAD);
    else
        EACH_C(ZERO);
    for (int64_t i = 0; i < steps; i++, a += NNC_STRIP_NUMBERS, b += NNC_STRIP_NUMBERS) {
        _tile_loadd(6, b, LINE);
        _tile_loadd(4, a, LINE);
        _tile_dpbf16ps(0, 4, 6);
        if (rows == 2) {
            _tile_loadd(5, a + NNC_TILE_NUMBERS, LINE);
            _tile_dpbf16ps(2, 5, 6);
        }
        if (columns == 2) {
            _tile_loadd(7, b + NNC_TILE_NUMBERS, LINE);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (rows == 2 && columns == 2)
            _tile_dpbf16ps(3, 5, 7);
    }
    EACH_C(STORE);
    MEMORY();
}

static void multiply(const uint16_t *a, int64_t a_row, int rows, const uint16_t *b, int columns,
                     int64_t k, bool add, float *c, int64_t ldc)
{
    int64_t steps = (k + NNC_TILE_STEPS - 1) / NNC_TILE_STEPS;
    (void)a_row;
    if (rows > NNC_TILE && columns > NNC_TILE)
        multiply_body(a, 2, b, 2, steps, add, c, ldc);
    else if (rows > NNC_TILE)
        multiply_body(a, 2, b, 1, steps, add, c, ldc);
    else if (columns > NNC_TILE)
        multiply_body(a, 1, b, 2, steps, add, c, ldc);
    else
        multiply_body(a, 1, b, 1, steps, add, c, ldc);
}

/* Products on registers: four sums, so that one does not wait for another. */
static float peak(int64_t rounds)
{
    _Alignas(64) float c[NNC_TILE * NNC_TILE];
    begin();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(6);
    for (int64_t i = 0; i < rounds; i++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 6);
        _tile_dpbf16ps(2, 4, 6);
        _tile_dpbf16ps(3, 4, 6);
    }
    _tile_stored(0, c, 64);
    MEMORY();
    end();
    return c[0];
}

const nnc_kernels_bf16 nnc_kernels_amx_bf16 = {6, false, pack, multiply, NULL, begin, end, peak};
#else
const nnc_kernels_bf16 nnc_kernels_amx_bf16 = {0};    /* not this machine, or compiler */
#endif
