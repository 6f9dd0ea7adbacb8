/* portable.h - what portable_f32.h and portable_f64.h share: masks are all-ones or all-zeros
 * integers, and everything is arithmetic that any processor has. Correct first: the levels above
 * are the fast ones. */
#include "base.h"

#define LEVEL_NAME "portable"
#define LEVEL_PORTABLE 1

typedef ivec mask;

V_FN vec v_broadcast(const real *p) { return v_set(*p); }
V_FN vec v_load_tail(const real *p, int64_t n)
{
    vec v = {0};
    for (int64_t i = 0; i < n; i++)
        v[i] = p[i];
    return v;
}
V_FN void v_store_tail(real *p, vec v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        p[i] = v[i];
}

/* Two roundings: no fused product without the instruction, and libm's is a hundred times slower. */
V_FN vec v_fma(vec a, vec b, vec c) { return a * b + c; }

V_FN mask v_lt(vec a, vec b) { return a < b; }
V_FN mask v_le(vec a, vec b) { return a <= b; }
V_FN mask v_gt(vec a, vec b) { return a > b; }
V_FN mask v_ge(vec a, vec b) { return a >= b; }
V_FN mask v_eq(vec a, vec b) { return a == b; }
V_FN mask v_ne(vec a, vec b) { return a != b; }
V_FN mask v_and(mask a, mask b) { return a & b; }
V_FN mask v_or(mask a, mask b) { return a | b; }
V_FN mask v_isnan(vec a) { return a != a; }
V_FN mask v_unordered(vec a, vec b) { return (a != a) | (b != b); }
V_FN mask v_none(void) { return (mask){0}; }
V_FN vec v_select(mask m, vec a, vec b) { return (vec)((m & (ivec)a) | (~m & (ivec)b)); }
V_FN vec v_zero_where(mask m, vec a) { return (vec)(~m & (ivec)a); }
/* A bit a lane. */
V_FN unsigned v_mask_bits(mask m)
{
    unsigned bits = 0;
    for (int i = 0; i < LANES; i++)
        bits |= (unsigned)(m[i] & 1) << i;
    return bits;
}
/* The lanes whose byte is not 0. */
V_FN mask v_truth(const uint8_t *p) { return v_load_bytes(p) != 0; }
/* The lanes below n. */
V_FN mask v_first(int64_t n)
{
    mask m;
    for (int i = 0; i < LANES; i++)
        m[i] = -(sbits)(i < n);
    return m;
}

V_FN vec v_max(vec a, vec b) { return v_select(a > b, a, b); }
V_FN vec v_min(vec a, vec b) { return v_select(a < b, a, b); }

/* Below 2^MANTISSA adding and taking off 2^MANTISSA rounds to a whole number; above all are
 * whole. */
V_FN vec v_rint(vec a)
{
    const vec big = v_set((real)((ubits)1 << MANTISSA));
    vec whole = v_or_sign((v_abs(a) + big) - big, a);
    return v_select(v_abs(a) < big, whole, a);
}
V_FN vec v_floor(vec a)
{
    vec r = v_rint(a);
    return v_or_sign(v_select(r > a, r - 1, r), a);
}
V_FN vec v_ceil(vec a)
{
    vec r = v_rint(a);
    return v_or_sign(v_select(r < a, r + 1, r), a);
}

V_FN real v_reduce_add(vec v)
{
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            v[i] += v[i + half];
    return v[0];
}
V_FN real v_reduce_max(vec v)
{
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            v[i] = v[i] > v[i + half] ? v[i] : v[i + half];
    return v[0];
}
V_FN real v_reduce_min(vec v)
{
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            v[i] = v[i] < v[i + half] ? v[i] : v[i + half];
    return v[0];
}

/* 32-bit words: products of the even ones, 64 bits wide; and the 4x4 turn's steps within 16
 * bytes. */
V_FN wide w_mul_even(words a, words b)
{
    return ((wide)a & 0xffffffffu) * ((wide)b & 0xffffffffu);
}
V_FN words w_zip_low(words a, words b) { return (words){a[0], b[0], a[1], b[1]}; }
V_FN words w_zip_high(words a, words b) { return (words){a[2], b[2], a[3], b[3]}; }
V_FN words w_zip_low_pairs(words a, words b) { return (words){a[0], a[1], b[0], b[1]}; }
V_FN words w_zip_high_pairs(words a, words b) { return (words){a[2], a[3], b[2], b[3]}; }
/* Even words of a, odd words of b. */
V_FN words w_blend(words a, words b)
{
    return (words)(((wide)a & 0xffffffffu) | ((wide)b & 0xffffffff00000000u));
}
