/* isa_portable_i8.c - the 8-bit products of level portable: no flags, any processor. */
#include "kernels.h"

enum { LANES = 8 };
typedef struct {
    int32_t at[LANES];
} vector;

static inline vector v_load(const int32_t *from)
{
    vector v;
    for (int i = 0; i < LANES; i++)
        v.at[i] = from[i];
    return v;
}

static inline void v_store(int32_t *to, vector v)
{
    for (int i = 0; i < LANES; i++)
        to[i] = v.at[i];
}

/* A pair of 16-bit numbers a lane, in its low and high half. */
static inline vector v_pairs(const int16_t *from)
{
    vector v;
    for (int i = 0; i < LANES; i++)
        v.at[i] = (int32_t)((uint32_t)(uint16_t)from[2 * i] |
                            (uint32_t)(uint16_t)from[2 * i + 1] << 16);
    return v;
}

static inline vector v_pair(const int16_t *from)
{
    vector v;
    for (int i = 0; i < LANES; i++)
        v.at[i] = (int32_t)((uint32_t)(uint16_t)from[0] | (uint32_t)(uint16_t)from[1] << 16);
    return v;
}

static inline vector v_dot(vector c, vector a, vector b)
{
    for (int i = 0; i < LANES; i++)
        c.at[i] += (int16_t)a.at[i] * (int16_t)b.at[i] + (a.at[i] >> 16) * (b.at[i] >> 16);
    return c;
}

static inline void pack_pairs(const int8_t *first, const int8_t *second, int16_t *to)
{
    for (int i = 0; i < LANES; i++) {
        to[2 * i] = first[i];
        to[2 * i + 1] = second[i];
    }
}

#include "int8.inc"

const nnc_kernels_i8 nnc_kernels_portable_i8 = {quantize, gemm};
