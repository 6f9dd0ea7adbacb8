/* convert.h - numbers as each dtype stores them.
 * read_X gives an element's value in a C type that holds it exactly; write_X turns a value of any
 * such type into an element, rounding once: to nearest even among floats, towards zero to
 * integers. A float outside an integer's range becomes the nearest end of it, NaN becomes 0;
 * integers wrap. Of a complex number only the real part becomes a real one; it is false if both
 * parts are 0. */
#ifndef NNC_CORE_CONVERT_H
#define NNC_CORE_CONVERT_H

#include <complex.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t storage_BOOL, storage_U8;
typedef uint16_t storage_U16, storage_F16, storage_BF16;
typedef uint32_t storage_U32;
typedef uint64_t storage_U64;
typedef int8_t storage_I8;
typedef int16_t storage_I16;
typedef int32_t storage_I32;
typedef int64_t storage_I64;
typedef float storage_F32;
typedef double storage_F64;
typedef float _Complex storage_C64;

static inline uint32_t bits_of_float(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* ---- float16: 1 sign, 5 exponent, 10 mantissa bits; bfloat16: the upper half of a float ---- */

/* Without a branch, so that loops over it become vectors. */
static inline uint32_t choose(int condition, uint32_t yes, uint32_t no)
{
    uint32_t mask = 0u - (uint32_t)condition;
    return (yes & mask) | (no & ~mask);
}

/* A half's exponent and mantissa, moved to a float's place, are 2^112 times too small as a float,
 * denormals included: one exact product puts that right. Inf and NaN need the full exponent. */
static inline float float_from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = (uint32_t)(h & 0x7fff) << 13;
    uint32_t finite = bits_of_float(float_of_bits(rest) * 0x1p112f);
    return float_of_bits(sign | choose((int32_t)rest >= 0x0f800000, rest | 0x7f800000u, finite));
}

/* Adds half of the last kept bit, a unit less if that bit is 0; below the normal halves (2^-14) the
 * addition of 0.5 leaves the rounded multiple of 2^-24 in the float's lowest bits. 65520 and more is
 * infinity. A NaN keeps its upper bits and becomes quiet. */
static inline uint16_t f16_from_float(float x)
{
    uint32_t bits = bits_of_float(x), sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
    int32_t size = (int32_t)rest;       /* orders magnitudes as the floats do */
    uint32_t normal = (rest - (112u << 23) + 0x0fffu + (rest >> 13 & 1u)) >> 13;
    uint32_t small = bits_of_float(float_of_bits(rest) + 0.5f) - bits_of_float(0.5f);
    uint32_t half = choose(size < 0x38800000, small, normal);
    half = choose(size >= 0x477ff000, 0x7c00u, half);
    half = choose(size > 0x7f800000, 0x7e00u | (rest >> 13 & 0x3ffu), half);
    return (uint16_t)(sign | half);
}

static inline float float_from_bf16(uint16_t b)
{
    return float_of_bits((uint32_t)b << 16);
}

static inline uint16_t bf16_from_float(float x)
{
    uint32_t bits = bits_of_float(x);
    uint32_t rounded = bits + 0x7fffu + (bits >> 16 & 1u), nan = bits | 0x400000u;
    return (uint16_t)(choose((int32_t)(bits & 0x7fffffffu) > 0x7f800000, nan, rounded) >> 16);
}

/* A float on the way to a narrower one must not be rounded to nearest itself (twice rounded is
 * wrong near ties). Rounded to odd it may be: what does not fit goes to the neighbour whose last
 * bit is 1 (Boldo & Melquiond 2008, "Emulation of FMA and correctly rounded sums"). */
static inline float odd_float_from_double(double x)
{
    float f = (float)x;
    uint32_t bits = bits_of_float(f);
    if (x != x || (double)f == x)
        return f;
    if ((double)f > x ? x > 0 : x < 0)      /* away from zero; also from infinity to the largest */
        bits--;
    return float_of_bits(bits | 1u);
}

/* Beyond 53 bits the lowest 11 are taken together into one that says "there was something". */
static inline double odd_double_from_u64(uint64_t x)
{
    return x < (uint64_t)1 << 53 ? (double)x : (double)(x >> 11 | ((x & 0x7ff) != 0)) * 0x1p11;
}

static inline double odd_double_from_i64(int64_t x)
{
    return x < 0 ? -odd_double_from_u64(0 - (uint64_t)x) : odd_double_from_u64((uint64_t)x);
}

#define NARROW_FLOATS(type)                                                                        \
    static inline uint16_t type##_from_double(double x)                                            \
    {                                                                                              \
        return type##_from_float(odd_float_from_double(x));                                        \
    }                                                                                              \
    static inline uint16_t type##_from_u64(uint64_t x)                                             \
    {                                                                                              \
        return type##_from_double(odd_double_from_u64(x));                                         \
    }                                                                                              \
    static inline uint16_t type##_from_i64(int64_t x)                                              \
    {                                                                                              \
        return type##_from_double(odd_double_from_i64(x));                                         \
    }                                                                                              \
    static inline uint16_t type##_from_complex(float _Complex x)                                   \
    {                                                                                              \
        return type##_from_float(crealf(x));                                                       \
    }
NARROW_FLOATS(f16)
NARROW_FLOATS(bf16)
#undef NARROW_FLOATS

/* ---- floats to integers ---- */

/* `end` is 2^digits, the first number too large. */
#define INTEGER_FROM_REAL(name, type, low, high, end)                                              \
    static inline type name##_from_float(float x)                                                  \
    {                                                                                              \
        return x >= (float)(end) ? (high) : x > (float)(low) ? (type)x : x == x ? (low) : 0;       \
    }                                                                                              \
    static inline type name##_from_double(double x)                                                \
    {                                                                                              \
        return x >= (end) ? (high) : x > (double)(low) ? (type)x : x == x ? (low) : 0;             \
    }                                                                                              \
    static inline type name##_from_complex(float _Complex x)                                       \
    {                                                                                              \
        return name##_from_float(crealf(x));                                                       \
    }
INTEGER_FROM_REAL(u8, uint8_t, 0, UINT8_MAX, 0x1p8)
INTEGER_FROM_REAL(u16, uint16_t, 0, UINT16_MAX, 0x1p16)
INTEGER_FROM_REAL(u32, uint32_t, 0, UINT32_MAX, 0x1p32)
INTEGER_FROM_REAL(u64, uint64_t, 0, UINT64_MAX, 0x1p64)
INTEGER_FROM_REAL(i8, int8_t, INT8_MIN, INT8_MAX, 0x1p7)
INTEGER_FROM_REAL(i16, int16_t, INT16_MIN, INT16_MAX, 0x1p15)
INTEGER_FROM_REAL(i32, int32_t, INT32_MIN, INT32_MAX, 0x1p31)
INTEGER_FROM_REAL(i64, int64_t, INT64_MIN, INT64_MAX, 0x1p63)
#undef INTEGER_FROM_REAL

#define WRAP(name, type)                               \
    static inline type name##_from_integer(uint64_t x) \
    {                                                  \
        return (type)x;                                \
    }
WRAP(u8, uint8_t)
WRAP(u16, uint16_t)
WRAP(u32, uint32_t)
WRAP(u64, uint64_t)
WRAP(i8, int8_t)
WRAP(i16, int16_t)
WRAP(i32, int32_t)
WRAP(i64, int64_t)
#undef WRAP

/* ---- one element ---- */

#define read_BOOL(x) ((uint8_t)((x) != 0))
#define read_U8(x) (x)
#define read_U16(x) (x)
#define read_U32(x) (x)
#define read_U64(x) (x)
#define read_I8(x) (x)
#define read_I16(x) (x)
#define read_I32(x) (x)
#define read_I64(x) (x)
#define read_F16(x) float_from_f16(x)
#define read_BF16(x) float_from_bf16(x)
#define read_F32(x) (x)
#define read_F64(x) (x)
#define read_C64(x) (x)

#define WRITE_INTEGER(name, v)                                          \
    _Generic((v), float: name##_from_float, double: name##_from_double, \
             float _Complex: name##_from_complex, default: name##_from_integer)(v)
#define WRITE_NARROW(name, v)                                           \
    _Generic((v), float: name##_from_float, double: name##_from_double, \
             float _Complex: name##_from_complex, uint64_t: name##_from_u64, \
             default: name##_from_i64)(v)
#define write_BOOL(v) ((uint8_t)((v) != 0))
#define write_U8(v) WRITE_INTEGER(u8, v)
#define write_U16(v) WRITE_INTEGER(u16, v)
#define write_U32(v) WRITE_INTEGER(u32, v)
#define write_U64(v) WRITE_INTEGER(u64, v)
#define write_I8(v) WRITE_INTEGER(i8, v)
#define write_I16(v) WRITE_INTEGER(i16, v)
#define write_I32(v) WRITE_INTEGER(i32, v)
#define write_I64(v) WRITE_INTEGER(i64, v)
#define write_F16(v) WRITE_NARROW(f16, v)
#define write_BF16(v) WRITE_NARROW(bf16, v)
#define write_F32(v) ((float)(v))
#define write_F64(v) ((double)(v))
#define write_C64(v) ((float _Complex)(v))

#endif
