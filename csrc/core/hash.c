/* hash.c - the hashes of text.h. Letters: a b c d e f g h, x y z, v w of FarmHash's description;
 * n: bytes of a string. */
#include "core/text.h"

#include <stdio.h>
#include <string.h>

enum { PIECE = 4096 };          /* strings: fewer are not worth a second thread */

/* ---- FarmHash's Fingerprint64 ---- */

static const uint64_t K0 = 0xc3a5c85c97cb3127u, K1 = 0xb492b66fbe98f273u,
                      K2 = 0x9ae16a3b2f90404fu;

typedef struct {
    uint64_t first, second;
} pair;

static inline uint64_t read64(const char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

static inline uint64_t read32(const char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap32(value);
#endif
    return value;
}

static inline uint64_t rotate(uint64_t x, int right)
{
    return x >> right | x << (64 - right);
}

static inline uint64_t shift_mix(uint64_t x)
{
    return x ^ x >> 47;
}

static inline uint64_t mix(uint64_t u, uint64_t v, uint64_t multiplier)
{
    uint64_t a = shift_mix((u ^ v) * multiplier);
    return shift_mix((v ^ a) * multiplier) * multiplier;
}

static uint64_t fingerprint_16(const char *s, uint64_t n)
{
    const uint64_t multiplier = K2 + n * 2;
    if (n >= 8) {
        uint64_t a = read64(s) + K2, b = read64(s + n - 8);
        return mix(rotate(b, 37) * multiplier + a, (rotate(a, 25) + b) * multiplier, multiplier);
    }
    if (n >= 4)
        return mix(n + (read32(s) << 3), read32(s + n - 4), multiplier);
    if (n == 0)
        return K2;
    uint32_t y = (unsigned char)s[0] + ((uint32_t)(unsigned char)s[n >> 1] << 8);
    uint32_t z = (uint32_t)n + ((uint32_t)(unsigned char)s[n - 1] << 2);
    return shift_mix(y * K2 ^ z * K0) * K2;
}

static uint64_t fingerprint_32(const char *s, uint64_t n)
{
    const uint64_t multiplier = K2 + n * 2;
    uint64_t a = read64(s) * K1, b = read64(s + 8);
    uint64_t c = read64(s + n - 8) * multiplier, d = read64(s + n - 16) * K2;
    return mix(rotate(a + b, 43) + rotate(c, 30) + d, a + rotate(b + K2, 18) + c, multiplier);
}

static uint64_t fingerprint_64(const char *s, uint64_t n)
{
    const uint64_t multiplier = K2 + n * 2;
    uint64_t a = read64(s) * K2, b = read64(s + 8);
    uint64_t c = read64(s + n - 8) * multiplier, d = read64(s + n - 16) * K2;
    uint64_t y = rotate(a + b, 43) + rotate(c, 30) + d;
    uint64_t z = mix(y, a + rotate(b + K2, 18) + c, multiplier);
    uint64_t e = read64(s + 16) * multiplier, f = read64(s + 24);
    uint64_t g = (y + read64(s + n - 32)) * multiplier, h = (z + read64(s + n - 24)) * multiplier;
    return mix(rotate(e + f, 43) + rotate(g, 30) + h, e + rotate(f + a, 18) + g, multiplier);
}

static inline pair weak_32(const char *s, uint64_t a, uint64_t b)
{
    uint64_t w = read64(s), x = read64(s + 8), y = read64(s + 16), z = read64(s + 24);
    a += w;
    b = rotate(b + a + z, 21);
    uint64_t c = a;
    a += x + y;
    b += rotate(a, 44);
    return (pair){a + z, b + c};
}

/* One block of 64 bytes; `last` is 1, or 9 for the block at the end. */
static inline void block_64(const char *s, uint64_t multiplier, uint64_t last, uint64_t *x,
                            uint64_t *y, uint64_t *z, pair *v, pair *w)
{
    *x = rotate(*x + *y + v->first + read64(s + 8), 37) * multiplier;
    *y = rotate(*y + v->second + read64(s + 48), 42) * multiplier;
    *x ^= w->second * last;
    *y += v->first * last + read64(s + 40);
    *z = rotate(*z + w->first, 33) * multiplier;
    *v = weak_32(s, v->second * multiplier, *x + w->first);
    *w = weak_32(s + 32, *z + w->second, *y + read64(s + 16));
    uint64_t swapped = *z;
    *z = *x;
    *x = swapped;
}

uint64_t nnc_text_fingerprint(const char *s, int64_t length)
{
    const uint64_t n = (uint64_t)length, seed = 81;
    if (n <= 16)
        return fingerprint_16(s, n);
    if (n <= 32)
        return fingerprint_32(s, n);
    if (n <= 64)
        return fingerprint_64(s, n);
    uint64_t x = seed * K2 + read64(s), y = seed * K1 + 113, z = shift_mix(y * K2 + 113) * K2;
    pair v = {0, 0}, w = {0, 0};
    const char *last = s + n - 64, *end = s + (n - 1) / 64 * 64;
    for (; s != end; s += 64)
        block_64(s, K1, 1, &x, &y, &z, &v, &w);
    const uint64_t multiplier = K1 + ((z & 0xff) << 1);
    w.first += (n - 1) & 63;
    v.first += w.first;
    w.first += v.first;
    block_64(last, multiplier, 9, &x, &y, &z, &v, &w);
    return mix(mix(v.first, w.first, multiplier) + shift_mix(y) * K0 + z,
               mix(v.second, w.second, multiplier) + x, multiplier);
}

/* ---- SipHash-2-4 ---- */

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 51) ^ v[0];
    v[3] = rotate(v[3], 48) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 47) ^ v[2];
    v[3] = rotate(v[3], 43) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static inline void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
}

uint64_t nnc_text_siphash(const uint64_t key[2], const char *s, int64_t n)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    uint64_t word = (uint64_t)n << 56;
    int64_t at = 0;
    for (; at + 8 <= n; at += 8)
        sip_word(v, read64(s + at));
    for (int i = 0; at + i < n; i++)
        word |= (uint64_t)(unsigned char)s[at + i] << (8 * i);
    sip_word(v, word);
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- many ---- */

static inline int64_t bin_of(const char *s, int64_t n, const uint64_t *key, uint64_t bins)
{
    uint64_t hash = key == NULL ? nnc_text_fingerprint(s, n) : nnc_text_siphash(key, s, n);
    return (int64_t)(bins == 0 ? hash : hash % bins);
}

typedef struct {
    const nnc_text *text;
    const int64_t *x;
    int64_t n, k;
    const uint64_t *key;
    uint64_t bins;
    int64_t *out;
} job;

/* What thread `thread` of `threads` does: whole pieces, so that no two write to one cache line. */
static void range_of(int64_t n, int thread, int threads, int64_t *first, int64_t *end)
{
    int64_t pieces = (n + PIECE - 1) / PIECE, share = (pieces + threads - 1) / threads;
    *first = share * thread * PIECE < n ? share * thread * PIECE : n;
    *end = n - *first < share * PIECE ? n : *first + share * PIECE;
}

static void run(nnc_pool_task *task, job *argument, int64_t n)
{
    int threads = n < 2 * PIECE ? 1 : nnc_pool_threads();
    if (threads == 1)
        task(argument, 0, 1);
    else
        nnc_pool_run(task, argument, threads);
}

static void text_task(void *argument, int thread, int threads)
{
    const job *j = argument;
    const nnc_text *t = j->text;
    int64_t i, end;
    range_of(j->n, thread, threads, &i, &end);
    for (; i < end; i++)
        j->out[i] = bin_of(t->bytes + t->begin[i], t->end[i] - t->begin[i], j->key, j->bins);
}

void nnc_text_hash(const nnc_text *text, const uint64_t *key, uint64_t bins, int64_t *out)
{
    job j = {.text = text, .n = text->count, .key = key, .bins = bins, .out = out};
    run(text_task, &j, text->count);
}

/* The decimal digits of x before `end`; where they begin. */
static char *digits(int64_t x, char *end)
{
    uint64_t rest = x < 0 ? 0 - (uint64_t)x : (uint64_t)x;
    do {
        *--end = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    if (x < 0)
        *--end = '-';
    return end;
}

static void integers_task(void *argument, int thread, int threads)
{
    const job *j = argument;
    char text[24], *last = text + sizeof text;
    int64_t i, end;
    range_of(j->n, thread, threads, &i, &end);
    for (; i < end; i++) {
        const char *s = digits(j->x[i], last);
        j->out[i] = bin_of(s, last - s, j->key, j->bins);
    }
}

void nnc_integers_hash(const int64_t *x, int64_t n, const uint64_t *key, uint64_t bins,
                       int64_t *out)
{
    job j = {.x = x, .n = n, .key = key, .bins = bins, .out = out};
    run(integers_task, &j, n);
}

static inline uint64_t joined(uint64_t a, uint64_t b)
{
    const uint64_t multiplier = 0xc6a4a7935bd1e995u;
    uint64_t result = a ^ multiplier;
    result ^= shift_mix(b * multiplier) * multiplier;
    result *= multiplier;
    return shift_mix(shift_mix(result) * multiplier);
}

static void cross_task(void *argument, int thread, int threads)
{
    const job *j = argument;
    int64_t i, end;
    range_of(j->n, thread, threads, &i, &end);
    for (; i < end; i++) {
        uint64_t hash = 0xDECAFCAFFEu;          /* TensorFlow's key */
        for (int64_t row = 0; row < j->k; row++)
            hash = joined(hash, (uint64_t)j->x[row * j->n + i]);
        j->out[i] = (int64_t)(hash % j->bins);
    }
}

void nnc_integers_cross(const int64_t *x, int64_t k, int64_t n, uint64_t bins, int64_t *out)
{
    job j = {.x = x, .n = n, .k = k, .bins = bins, .out = out};
    run(cross_task, &j, n);
}
