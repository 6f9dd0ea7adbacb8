/* crc.c - CRC-32: polynomials over GF(2) modulo P = x^32 + x^26 + x^23 + x^22 + x^16 + x^12 +
 * x^11 + x^10 + x^8 + x^7 + x^5 + x^4 + x^2 + x + 1, the highest power in bit 0.
 * Where the processor multiplies such polynomials, four blocks of 16 bytes are folded at a time: a
 * block that d bits follow counts as its two halves times x^(d+64) and x^d, each modulo P, added to
 * what lies d bits behind it. What is left, 16 bytes, goes through the table of single bytes.
 * Source: Gopal et al. 2009, Fast CRC computation for generic polynomials using PCLMULQDQ. */
#include "core/read.h"

#include <pthread.h>
#include <string.h>

#define POLYNOMIAL 0xEDB88320u      /* P without x^32, x^31 in bit 0 */

enum { SLICES = 8 };

static uint32_t table[SLICES][256];     /* [k][b]: byte b with k bytes of zero behind it */
static pthread_once_t table_made = PTHREAD_ONCE_INIT;

static void make_table(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t c = b;
        for (int bit = 0; bit < 8; bit++)
            c = c >> 1 ^ (c & 1 ? POLYNOMIAL : 0);
        table[0][b] = c;
    }
    for (int k = 1; k < SLICES; k++) {
        for (int b = 0; b < 256; b++)
            table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 255];
    }
}

/* The remainder, without the inversions at begin and end. */
static uint32_t by_table(uint32_t c, const uint8_t *data, int64_t bytes)
{
    for (; bytes >= SLICES; bytes -= SLICES, data += SLICES) {
        uint8_t part[SLICES];
        memcpy(part, data, SLICES);
        for (int i = 0; i < 4; i++)
            part[i] ^= (uint8_t)(c >> 8 * i);
        c = 0;
        for (int i = 0; i < SLICES; i++)
            c ^= table[SLICES - 1 - i][part[i]];
    }
    for (; bytes > 0; bytes--)
        c = c >> 8 ^ table[0][(c ^ *data++) & 255];
    return c;
}

#if defined(__x86_64__)
#include <wmmintrin.h>

#define FOLDING __attribute__((target("pclmul,sse2")))

static bool has_product(void)
{
    return __builtin_cpu_supports("pclmul");
}

/* block * x^d, modulo P, plus next; d stands in `powers`. */
FOLDING static inline __m128i fold(__m128i block, __m128i powers, __m128i next)
{
    __m128i low = _mm_clmulepi64_si128(block, powers, 0x00);
    __m128i high = _mm_clmulepi64_si128(block, powers, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

static inline __m128i load(const uint8_t *data)
{
    return _mm_loadu_si128((const __m128i *)(const void *)data);
}

/* bytes: a multiple of 64, at least 64. The constants are x^(d+32) and x^(d-32) modulo P, for the
 * product of two reversed polynomials is one place off, in 33 bits. */
FOLDING static uint32_t by_folding(uint32_t c, const uint8_t *data, int64_t bytes)
{
    const __m128i far = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);           /* d = 512 */
    const __m128i near = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);          /* d = 128 */
    __m128i block[4];
    uint8_t left[16];
    for (int i = 0; i < 4; i++)
        block[i] = load(data + 16 * i);
    block[0] = _mm_xor_si128(block[0], _mm_cvtsi32_si128((int)c));
    for (data += 64, bytes -= 64; bytes > 0; data += 64, bytes -= 64) {
        for (int i = 0; i < 4; i++)
            block[i] = fold(block[i], far, load(data + 16 * i));
    }
    for (int i = 1; i < 4; i++)
        block[0] = fold(block[0], near, block[i]);
    _mm_storeu_si128((__m128i *)(void *)left, block[0]);
    return by_table(0, left, sizeof left);
}
#else
static bool has_product(void)
{
    return false;
}

static uint32_t by_folding(uint32_t c, const uint8_t *data, int64_t bytes)
{
    return by_table(c, data, bytes);
}
#endif

uint32_t nnc_crc32(uint32_t crc, const void *data, int64_t bytes)
{
    const uint8_t *at = data;
    uint32_t c = ~crc;
    int64_t folded = bytes / 64 * 64;
    pthread_once(&table_made, make_table);
    if (folded > 0 && has_product()) {
        c = by_folding(c, at, folded);
        at += folded;
        bytes -= folded;
    }
    return ~by_table(c, at, bytes);
}

/* a b modulo P. */
static uint32_t product(uint32_t a, uint32_t b)
{
    uint32_t sum = 0;
    for (uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
        sum ^= a & bit ? b : 0;
        b = b >> 1 ^ (b & 1 ? POLYNOMIAL : 0);
    }
    return sum;
}

/* The first times x^(8 bytes), which squaring gives in as many steps as the length has bits. */
uint32_t nnc_crc32_join(uint32_t first, uint32_t second, int64_t bytes)
{
    uint32_t power = 1u << 23;              /* x^8 */
    for (; bytes > 0; bytes >>= 1) {
        if (bytes & 1)
            first = product(power, first);
        power = product(power, power);
    }
    return first ^ second;
}
