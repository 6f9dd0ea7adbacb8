/* philox.h - Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"),
 * one block at a time. The vector kernels use the same constants and the same start.
 *     counter = (index low, index high, step low, step high)
 *     key     = 64 bits mixed from seed and stream
 * Within one (seed, stream) no two (step, index) share a counter. The key is one to one in stream
 * for a fixed seed, and in seed for a fixed stream; any other two pairs share one with probability
 * 2^-64. */
#ifndef NNC_CORE_PHILOX_H
#define NNC_CORE_PHILOX_H

#include "nnc.h"

#define NNC_PHILOX_M0 0xd2511f53u
#define NNC_PHILOX_M1 0xcd9e8d57u
#define NNC_PHILOX_W0 0x9e3779b9u
#define NNC_PHILOX_W1 0xbb67ae85u

/* The finalizer of SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number
 * generators"): a permutation. */
static inline uint64_t nnc_philox_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static inline void nnc_philox_start(const nnc_rng *rng, uint64_t index, uint32_t counter[4],
                                    uint32_t key[2])
{
    uint64_t mixed = nnc_philox_mix(nnc_philox_mix(rng->seed) ^ rng->stream);
    counter[0] = (uint32_t)index;
    counter[1] = (uint32_t)(index >> 32);
    counter[2] = (uint32_t)rng->step;
    counter[3] = (uint32_t)(rng->step >> 32);
    key[0] = (uint32_t)mixed;
    key[1] = (uint32_t)(mixed >> 32);
}

static inline void nnc_philox_block(const uint32_t counter[4], const uint32_t key[2],
                                    uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)NNC_PHILOX_M0 * c0, p1 = (uint64_t)NNC_PHILOX_M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += NNC_PHILOX_W0;
        k1 += NNC_PHILOX_W1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* The words of a stream one after another, four from each block. */
typedef struct {
    uint32_t counter[4], key[2], words[4];
    int used;
} nnc_philox_words;

static inline void nnc_philox_open(const nnc_rng *rng, nnc_philox_words *s)
{
    nnc_philox_start(rng, 0, s->counter, s->key);
    s->used = 4;
}

static inline uint32_t nnc_philox_word(nnc_philox_words *s)
{
    if (s->used == 4) {
        nnc_philox_block(s->counter, s->key, s->words);
        s->used = 0;
        s->counter[1] += ++s->counter[0] == 0;
    }
    return s->words[s->used++];
}

/* A number in 0..bound-1 (bound >= 1), each equally likely: the upper half of word * bound, drawn
 * again in the few cases that would favour some (Lemire 2019, "Fast random integer generation in
 * an interval"); beyond 32 bits, two words without the bits too many, drawn again if too large. */
static inline uint64_t nnc_philox_below(nnc_philox_words *s, uint64_t bound)
{
    if (bound <= UINT32_MAX) {
        uint32_t b = (uint32_t)bound;
        uint64_t product = (uint64_t)nnc_philox_word(s) * b;
        if ((uint32_t)product < b) {
            uint32_t threshold = (0u - b) % b;
            while ((uint32_t)product < threshold)
                product = (uint64_t)nnc_philox_word(s) * b;
        }
        return product >> 32;
    }
    uint64_t mask = UINT64_MAX >> __builtin_clzll(bound - 1), draw;
    do {
        draw = nnc_philox_word(s);
        draw = (draw | (uint64_t)nnc_philox_word(s) << 32) & mask;
    } while (draw >= bound);
    return draw;
}

#endif
