/* rng.c - random words by counter, and permutations. See philox.h. */
#include "core/philox.h"

void nnc_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    nnc_philox_block(counter, key, out);
}

void nnc_rng_block(const nnc_rng *rng, uint64_t index, uint32_t out[4])
{
    uint32_t counter[4], key[2];
    nnc_philox_start(rng, index, counter, key);
    nnc_philox_block(counter, key, out);
}

void nnc_rng_permutation(const nnc_rng *rng, int64_t n, int64_t *order)
{
    nnc_philox_words words;
    nnc_philox_open(rng, &words);
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)nnc_philox_below(&words, (uint64_t)i + 1);
        int64_t kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}
