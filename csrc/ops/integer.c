/* integer.c - element-wise ops on integers and bool. Overflow wraps (the arithmetic is done
 * unsigned); a division by zero gives 0, as NumPy has it; floor_divide and mod round down. bool:
 * add and maximum are or, multiply and minimum are and. */
#include "ops/integer.h"

#pragma GCC diagnostic ignored "-Wtype-limits"    /* v < 0 of an unsigned type is meant */

#define INTEGER_TYPES(X)                                                                           \
    X(U8, uint8_t, uint8_t) X(U16, uint16_t, uint32_t) X(U32, uint32_t, uint32_t)                  \
    X(U64, uint64_t, uint64_t) X(I8, int8_t, uint8_t) X(I16, int16_t, uint32_t)                    \
    X(I32, int32_t, uint32_t) X(I64, int64_t, uint64_t)

#define IS_SIGNED(type) ((type)-1 < (type)1)

/* Two's complement through the unsigned type `wide`. */
#define UNARY_LOOP(suffix, type, name, expression)                                                 \
    static void name##_##suffix(const void *x_data, void *y_data, int64_t first, int64_t n)        \
    {                                                                                              \
        const type *x = (const type *)x_data + first;                                              \
        type *y = (type *)y_data + first;                                                          \
        for (int64_t i = 0; i < n; i++) {                                                          \
            type v = x[i];                                                                         \
            y[i] = (type)(expression);                                                             \
        }                                                                                          \
    }

#define BINARY_LOOP(suffix, type, name, expression)                                                \
    static void name##_##suffix(const void *a_data, int64_t a_at, int64_t a_step,                  \
                                const void *b_data, int64_t b_at, int64_t b_step, void *y_data,    \
                                int64_t y_at, int64_t n)                                           \
    {                                                                                              \
        const type *a_row = (const type *)a_data + a_at, *b_row = (const type *)b_data + b_at;     \
        type *y = (type *)y_data + y_at;                                                           \
        for (int64_t i = 0; i < n; i++) {                                                          \
            type a = a_row[i * a_step], b = b_row[i * b_step];                                     \
            y[i] = (type)(expression);                                                             \
        }                                                                                          \
    }

#define HELPERS(suffix, type, wide)                                                                \
    static inline type quotient_##suffix(type a, type b)                                           \
    {                                                                                              \
        if (b == 0)                                                                                \
            return 0;                                                                              \
        if (IS_SIGNED(type) && b == (type)-1)                                                      \
            return (type)(0 - (wide)a);                                                            \
        type q = (type)(a / b);                                                                    \
        return a % b != 0 && (a < 0) != (b < 0) ? (type)(q - 1) : q;                               \
    }                                                                                              \
    static inline type remainder_##suffix(type a, type b)                                          \
    {                                                                                              \
        if (b == 0 || (IS_SIGNED(type) && b == (type)-1))                                          \
            return 0;                                                                              \
        type r = (type)(a % b);                                                                    \
        return r != 0 && (r < 0) != (b < 0) ? (type)(r + b) : r;                                   \
    }                                                                                              \
    static inline type power_of_##suffix(type a, type b)                                           \
    {                                                                                              \
        wide result = 1, base = (wide)a;                                                           \
        if (b < 0)                                                                                 \
            return a == 1 ? 1 : IS_SIGNED(type) && a == (type)-1 ? (type)(b % 2 == 0 ? 1 : -1) : 0;  \
        for (uint64_t e = (uint64_t)b; e > 0; e >>= 1) {                                           \
            if (e & 1)                                                                             \
                result *= base;                                                                    \
            base *= base;                                                                          \
        }                                                                                          \
        return (type)result;                                                                       \
    }

#define LOOPS(suffix, type, wide)                                                                  \
    HELPERS(suffix, type, wide)                                                                    \
    UNARY_LOOP(suffix, type, negative, 0 - (wide)v)                                                \
    UNARY_LOOP(suffix, type, absolute, v < 0 ? (type)(0 - (wide)v) : v)                            \
    UNARY_LOOP(suffix, type, sign, (v > 0) - (v < 0))                                              \
    UNARY_LOOP(suffix, type, square, (wide)v *(wide)v)                                             \
    UNARY_LOOP(suffix, type, relu, v > 0 ? v : 0)                                                  \
    UNARY_LOOP(suffix, type, same, v)                                                              \
    BINARY_LOOP(suffix, type, add, (wide)a + (wide)b)                                              \
    BINARY_LOOP(suffix, type, subtract, (wide)a - (wide)b)                                         \
    BINARY_LOOP(suffix, type, multiply, (wide)a *(wide)b)                                          \
    BINARY_LOOP(suffix, type, maximum, a > b ? a : b)                                              \
    BINARY_LOOP(suffix, type, minimum, a < b ? a : b)                                              \
    BINARY_LOOP(suffix, type, floor_divide, quotient_##suffix(a, b))                               \
    BINARY_LOOP(suffix, type, mod, remainder_##suffix(a, b))                                       \
    BINARY_LOOP(suffix, type, power, power_of_##suffix(a, b))
INTEGER_TYPES(LOOPS)

BINARY_LOOP(BOOL, uint8_t, or, (a | b) != 0)
BINARY_LOOP(BOOL, uint8_t, and, (a & b) != 0)

#define UNARY_CASE(name, loop)                                                                     \
    case NNC_OP_##name: {                                                                          \
        static nnc_integer_unary_fn *const by_dtype[NNC_DTYPE_COUNT] = {INTEGER_TYPES(loop)};      \
        return by_dtype[dtype];                                                                    \
    }
#define NEGATIVE(suffix, type, wide) [NNC_##suffix] = negative_##suffix,
#define ABSOLUTE(suffix, type, wide) [NNC_##suffix] = absolute_##suffix,
#define SIGN(suffix, type, wide) [NNC_##suffix] = sign_##suffix,
#define SQUARE(suffix, type, wide) [NNC_##suffix] = square_##suffix,
#define RELU(suffix, type, wide) [NNC_##suffix] = relu_##suffix,
#define SAME(suffix, type, wide) [NNC_##suffix] = same_##suffix,

nnc_integer_unary_fn *nnc_integer_unary(nnc_op op, nnc_dtype dtype)
{
    switch ((int)op) {
        UNARY_CASE(negative, NEGATIVE)
        UNARY_CASE(absolute, ABSOLUTE)
        UNARY_CASE(sign, SIGN)
        UNARY_CASE(square, SQUARE)
        UNARY_CASE(relu, RELU)
        UNARY_CASE(floor, SAME)
        UNARY_CASE(ceil, SAME)
        UNARY_CASE(round, SAME)
    default:
        return NULL;
    }
}

#define BINARY_CASE(name, loop, boolean)                                                           \
    case NNC_OP_##name: {                                                                          \
        static nnc_integer_binary_fn *const by_dtype[NNC_DTYPE_COUNT] = {INTEGER_TYPES(loop)};     \
        return dtype == NNC_BOOL ? boolean : by_dtype[dtype];                                      \
    }
#define ADD(suffix, type, wide) [NNC_##suffix] = add_##suffix,
#define SUBTRACT(suffix, type, wide) [NNC_##suffix] = subtract_##suffix,
#define MULTIPLY(suffix, type, wide) [NNC_##suffix] = multiply_##suffix,
#define MAXIMUM(suffix, type, wide) [NNC_##suffix] = maximum_##suffix,
#define MINIMUM(suffix, type, wide) [NNC_##suffix] = minimum_##suffix,
#define FLOOR_DIVIDE(suffix, type, wide) [NNC_##suffix] = floor_divide_##suffix,
#define MOD(suffix, type, wide) [NNC_##suffix] = mod_##suffix,
#define POWER(suffix, type, wide) [NNC_##suffix] = power_##suffix,

nnc_integer_binary_fn *nnc_integer_binary(nnc_op op, nnc_dtype dtype)
{
    switch ((int)op) {
        BINARY_CASE(add, ADD, or_BOOL)
        BINARY_CASE(subtract, SUBTRACT, NULL)
        BINARY_CASE(multiply, MULTIPLY, and_BOOL)
        BINARY_CASE(maximum, MAXIMUM, or_BOOL)
        BINARY_CASE(minimum, MINIMUM, and_BOOL)
        BINARY_CASE(floor_divide, FLOOR_DIVIDE, NULL)
        BINARY_CASE(mod, MOD, NULL)
        BINARY_CASE(power, POWER, NULL)
    default:
        return NULL;
    }
}
