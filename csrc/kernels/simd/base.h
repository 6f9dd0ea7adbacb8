/* base.h - the part of the vocabulary that reads the same on every level: GCC's vector
 * extensions, which compile to whatever instructions the unit may use. A level's header defines,
 * before it includes this:
 *   real, sbits, ubits   the element and the integers of its size
 *   BYTES              the width of a vector
 * and after it what the extensions cannot say: masks, fused products, square roots, rounding.
 *
 * The vocabulary. vec: LANES numbers; ivec, uvec: as many integers; mask: a truth value a lane;
 * words: BYTES / 4 32-bit words. v_max, v_min give their second argument if either is NaN or
 * both are equal, on every level (x86's rule). v_fma(a,b,c) is a*b + c, with one rounding on
 * AVX2 and AVX-512, with two on portable. Comparisons with NaN are false, v_ne true. Reductions
 * over the lanes fold halves: lane i with lane i + LANES/2, again and again. */
#ifndef NNC_SIMD_BASE_H
#define NNC_SIMD_BASE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define V_FN static inline __attribute__((always_inline, unused))
#define LANES ((int)(BYTES / sizeof(real)))

typedef real vec __attribute__((vector_size(BYTES)));
typedef sbits ivec __attribute__((vector_size(BYTES)));
typedef ubits uvec __attribute__((vector_size(BYTES)));
typedef uint32_t words __attribute__((vector_size(BYTES)));
typedef uint64_t wide __attribute__((vector_size(BYTES)));
/* Where a vector lies in memory, at any address. */
typedef real vec_memory __attribute__((vector_size(BYTES), aligned(sizeof(real)), may_alias));
typedef uint32_t words_memory __attribute__((vector_size(BYTES), aligned(4), may_alias));

/* What both element types call differently. */
#ifdef NNC_REAL_IS_F64
#define REAL_IS_F64 1
#define MANTISSA 52
#define EXPONENT_BIAS 1023
#define SIGN_BIT ((ubits)1 << 63)
#define REAL(f32, f64) (f64)
#else
#define REAL_IS_F64 0
#define MANTISSA 23
#define EXPONENT_BIAS 127
#define SIGN_BIT ((ubits)1 << 31)
#define REAL(f32, f64) (f32##f)
#endif

/* LANES bytes as integers of the lanes' size. */
typedef uint8_t bytes_memory __attribute__((vector_size(BYTES / sizeof(real)), aligned(1)));
V_FN ivec v_load_bytes(const uint8_t *p)
{
    bytes_memory b;
    memcpy(&b, p, sizeof b);
    return __builtin_convertvector(b, ivec);
}

V_FN vec v_load(const real *p) { return *(const vec_memory *)p; }
V_FN void v_store(real *p, vec v) { *(vec_memory *)p = v; }
V_FN vec v_set(real x) { return x - (vec){0}; }
V_FN uvec v_set_bits(ubits x) { return x - (uvec){0}; }
#define v_const(x) v_set((real)(x))

V_FN vec v_add(vec a, vec b) { return a + b; }
V_FN vec v_sub(vec a, vec b) { return a - b; }
V_FN vec v_mul(vec a, vec b) { return a * b; }
V_FN vec v_div(vec a, vec b) { return a / b; }
V_FN vec v_sq(vec a) { return a * a; }
V_FN vec v_neg(vec a) { return (vec)((uvec)a ^ SIGN_BIT); }
V_FN vec v_abs(vec a) { return (vec)((uvec)a & ~SIGN_BIT); }
V_FN uvec v_sign_bit(vec a) { return (uvec)a & SIGN_BIT; }
/* a with the sign of s added: for a >= 0, and for results that are 0 where they should be -0. */
V_FN vec v_or_sign(vec a, vec s) { return (vec)((uvec)a | v_sign_bit(s)); }

#endif
