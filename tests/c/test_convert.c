/* test_convert.c - nnc_convert for all pairs of dtypes, against a reference in long double. A long
 * double of 64 mantissa bits holds every value of every dtype, so the reference rounds once, by
 * definition: scale so that the last bit kept is 1, round to an integer, scale back. Sources:
 * every pattern of the types of one and two bytes; for the wider ones, the neighbourhood of every
 * power of two and of every value of float16 and bfloat16 and of the ties between them, and random
 * patterns. */
#include "check.h"
#include "core/philox.h"
#include "nnc.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

_Static_assert(LDBL_MANT_DIG >= 64, "the reference needs a long double of 64 bits");

enum { MOST_VALUES = 400000 };

/* ---- the reference ---- */

static const struct {
    int mantissa, lowest, highest;  /* bits with the hidden one; exponents of the normal numbers */
} floats[NNC_DTYPE_COUNT] = {
    [NNC_F16] = {11, -14, 15},
    [NNC_BF16] = {8, -126, 127},
    [NNC_F32] = {24, -126, 127},
    [NNC_F64] = {53, -1022, 1023},
};

static long double decode_float(uint64_t bits, nnc_dtype dtype)
{
    int width = (int)nnc_dtype_size(dtype) * 8, fraction = floats[dtype].mantissa - 1;
    uint64_t mantissa = bits & (((uint64_t)1 << fraction) - 1);
    int field = (int)(bits >> fraction & (((uint64_t)1 << (width - 1 - fraction)) - 1));
    bool top = field == floats[dtype].highest - floats[dtype].lowest + 2;
    long double value = top ? (mantissa ? NAN : INFINITY)
        : ldexpl((long double)mantissa + (field ? ldexpl(1, fraction) : 0),
                 (field ? field - 1 : 0) + floats[dtype].lowest - fraction);
    return bits >> (width - 1) & 1 ? -value : value;
}

static uint64_t element_bits(const void *data, nnc_dtype dtype, int64_t i)
{
    int64_t bytes = nnc_dtype_size(dtype);
    uint64_t bits = 0;
    memcpy(&bits, (const char *)data + i * bytes, (size_t)bytes);   /* little-endian */
    return bits;
}

static long double decode(uint64_t bits, nnc_dtype dtype)
{
    int width = (int)nnc_dtype_size(dtype) * 8;
    switch (nnc_dtype_kind(dtype)) {
    case NNC_KIND_FLOAT:
        return decode_float(bits, dtype);
    case NNC_KIND_INT:
        return (long double)((int64_t)(bits << (64 - width)) >> (64 - width));
    case NNC_KIND_BOOL:
        return bits != 0;
    default:
        return (long double)bits;
    }
}

static long double round_to(long double x, nnc_dtype dtype)
{
    int exponent;
    if (x == 0 || isnan(x) || isinf(x))
        return x;
    frexpl(x, &exponent);
    exponent--;                         /* |x| in [2^exponent, 2^(exponent+1)) */
    if (exponent < floats[dtype].lowest)
        exponent = floats[dtype].lowest;
    int unit = exponent - floats[dtype].mantissa + 1;
    long double y = ldexpl(rintl(ldexpl(x, -unit)), unit);
    long double end = ldexpl(1, floats[dtype].highest + 1);
    return y >= end ? INFINITY : y <= -end ? -INFINITY : y;
}

/* What `x`, an element of dtype `from` with the given bits, must become; compared as a value. */
static bool right(uint64_t bits, nnc_dtype from, uint64_t got, nnc_dtype to)
{
    long double x = decode(bits, from), y = decode(got, to);
    int width = (int)nnc_dtype_size(to) * 8;
    bool is_signed = nnc_dtype_kind(to) == NNC_KIND_INT;
    if (nnc_dtype_kind(to) == NNC_KIND_BOOL)
        return got == (x != 0);
    if (nnc_dtype_kind(to) == NNC_KIND_FLOAT) {
        long double expected = round_to(x, to);
        return isnan(expected) ? isnan(y) : y == expected && signbit(y) == signbit(expected);
    }
    if (nnc_dtype_kind(from) == NNC_KIND_FLOAT) {
        long double low = is_signed ? -ldexpl(1, width - 1) : 0;
        long double high = ldexpl(1, is_signed ? width - 1 : width) - 1;
        return y == (isnan(x) ? 0 : x < low ? low : x > high ? high : truncl(x));
    }
    uint64_t whole = x < 0 ? (uint64_t)(int64_t)x : (uint64_t)x;
    return got == whole << (64 - width) >> (64 - width);    /* modulo 2^width */
}

/* ---- the sources ---- */

static int64_t value_count;
static void *values, *results;

static void add(uint64_t bits, nnc_dtype dtype)
{
    int64_t bytes = nnc_dtype_size(dtype);
    if (value_count < MOST_VALUES)
        memcpy((char *)values + value_count++ * bytes, &bits, (size_t)bytes);
}

/* The pattern of the value and of its neighbours, both signs. */
static void add_around(long double x, nnc_dtype dtype)
{
    uint64_t bits = 0, sign = (uint64_t)1 << (nnc_dtype_size(dtype) * 8 - 1);
    if (dtype == NNC_F32) {
        float f = (float)x;
        memcpy(&bits, &f, sizeof f);
    } else if (dtype == NNC_F64) {
        double d = (double)x;
        memcpy(&bits, &d, sizeof d);
    } else {
        bits = x < 0x1p63L ? (uint64_t)x : (uint64_t)1 << 63;
    }
    for (int step = -1; step <= 1; step++) {
        add(bits + (uint64_t)step, dtype);
        if (nnc_dtype_kind(dtype) == NNC_KIND_FLOAT)
            add((bits + (uint64_t)step) ^ sign, dtype);
        else
            add(0 - (bits + (uint64_t)step), dtype);
    }
}

static void collect(nnc_dtype dtype)
{
    int64_t bytes = nnc_dtype_size(dtype);
    nnc_rng rng = {1, dtype, 0};
    value_count = 0;
    if (bytes <= 2) {
        for (uint64_t bits = 0; bits < (uint64_t)1 << (8 * bytes); bits++)
            add(bits, dtype);
        return;
    }
    for (int exponent = -1080; exponent < 1030; exponent++)
        add_around(ldexpl(1, exponent), dtype);
    for (uint64_t bits = 0; bits < 0x7c00; bits += 3)               /* values of float16 and ties */
        add_around(decode_float(bits, NNC_F16) + (bits % 2 ? ldexpl(1, -25) : 0), dtype);
    for (uint64_t bits = 0; bits < 0x7f80; bits += 3) {
        long double x = decode_float(bits, NNC_BF16), next = decode_float(bits + 1, NNC_BF16);
        add_around(isinf(next) ? x : (x + next) / 2, dtype);
    }
    for (uint64_t bits = 0; bits < 0x7bff; bits += 5)
        add_around((decode_float(bits, NNC_F16) + decode_float(bits + 1, NNC_F16)) / 2, dtype);
    for (int i = 0; i < 20000; i++) {
        uint32_t w[4];
        nnc_rng_block(&rng, (uint64_t)i, w);
        add((uint64_t)w[0] << 32 | w[1], dtype);
        add(((uint64_t)w[2] << 32 | w[3]) >> (w[0] % 64), dtype);
    }
}

static void check_from(nnc_dtype from)
{
    collect(from);
    CHECK(value_count >= 256 && value_count < MOST_VALUES);
    for (int to = 0; to < NNC_C64; to++) {      /* complex64 is tested below */
        int64_t wrong = 0;
        nnc_convert(values, from, results, (nnc_dtype)to, value_count);
        for (int64_t i = 0; i < value_count; i++) {
            uint64_t bits = element_bits(values, from, i);
            uint64_t got = element_bits(results, (nnc_dtype)to, i);
            if (!right(bits, from, got, (nnc_dtype)to) && wrong++ == 0)
                printf("%s to %s: %#llx gives %#llx\n", nnc_dtype_name(from),
                       nnc_dtype_name((nnc_dtype)to), (unsigned long long)bits,
                       (unsigned long long)got);
        }
        CHECK(wrong == 0);
    }
}

TEST(every_pair_rounds_as_defined)
{
    values = malloc(MOST_VALUES * 8);
    results = malloc(MOST_VALUES * 8);
    for (int from = 0; from < NNC_C64 && values && results; from++)
        check_from((nnc_dtype)from);
    CHECK(values && results);
    free(values);
    free(results);
}

/* ---- what the values above leave open ---- */

TEST(nan_keeps_sign_and_upper_bits_between_floats)
{
    uint32_t nan = 0xffc12345, back = 0;
    uint16_t half = 0, brain = 0;
    nnc_convert(&nan, NNC_F32, &half, NNC_F16, 1);
    nnc_convert(&nan, NNC_F32, &brain, NNC_BF16, 1);
    CHECK(half == (0xfc00 | (0x412345 >> 13)) && brain == 0xffc1);
    nnc_convert(&half, NNC_F16, &back, NNC_F32, 1);
    CHECK(back == 0xffc12000);
    nan = 0x7f800001;                   /* its upper bits alone would be infinity */
    nnc_convert(&nan, NNC_F32, &half, NNC_F16, 1);
    nnc_convert(&nan, NNC_F32, &brain, NNC_BF16, 1);
    CHECK(half == 0x7e00 && brain == 0x7fc0);
}

TEST(same_dtype_copies_bits_but_bools_become_0_or_1)
{
    uint32_t nan = 0x7f800001, copy = 0;
    uint8_t bools[4] = {0, 1, 2, 255}, out[4];
    nnc_convert(&nan, NNC_F32, &copy, NNC_F32, 1);
    CHECK(copy == nan);
    nnc_convert(bools, NNC_BOOL, out, NNC_BOOL, 4);
    CHECK(out[0] == 0 && out[1] == 1 && out[2] == 1 && out[3] == 1);
}

/* The real part is converted as a float, and the other way with an imaginary part of 0; true is what
 * has a part that is not 0. */
TEST(complex_numbers_go_by_their_real_part)
{
    static const float pairs[][2] = {{1.5f, -2}, {-3e38f, 1}, {0, 0}, {-0.0f, 7}, {0, NAN},
                                     {1e-45f, 0}, {INFINITY, 0}, {65520, 1}};
    enum { PAIRS = sizeof pairs / sizeof pairs[0] };
    for (int to = 1; to < NNC_C64; to++) {
        uint64_t direct = 0, through = 0;
        for (int i = 0; i < PAIRS; i++) {
            nnc_convert(&pairs[i][0], NNC_F32, &direct, (nnc_dtype)to, 1);
            nnc_convert(pairs[i], NNC_C64, &through, (nnc_dtype)to, 1);
            CHECK(direct == through);
        }
        uint64_t three = 0;
        int64_t number = 3;
        float back[2] = {9, 9};
        nnc_convert(&number, NNC_I64, &three, (nnc_dtype)to, 1);
        nnc_convert(&three, (nnc_dtype)to, back, NNC_C64, 1);
        CHECK(back[0] == 3 && back[1] == 0);
    }
    for (int i = 0; i < PAIRS; i++) {
        uint8_t truth = 9;
        nnc_convert(pairs[i], NNC_C64, &truth, NNC_BOOL, 1);
        CHECK(truth == (pairs[i][0] != 0 || pairs[i][1] != 0));
    }
}

/* Vector loops have tails: every length gives the same elements, and nothing behind them. */
TEST(every_length_gives_the_same)
{
    enum { MOST = 70 };
    uint8_t source[MOST * 8], whole[MOST * 8], part[MOST * 8 + 8];
    nnc_rng rng = {4, 5, 6};
    nnc_philox_words words;
    nnc_philox_open(&rng, &words);
    for (int i = 0; i < MOST * 8; i++)
        source[i] = (uint8_t)nnc_philox_word(&words);
    for (int pair = 0; pair < NNC_DTYPE_COUNT * NNC_DTYPE_COUNT; pair++) {
        nnc_dtype from = (nnc_dtype)(pair / NNC_DTYPE_COUNT);
        nnc_dtype to = (nnc_dtype)(pair % NNC_DTYPE_COUNT);
        nnc_convert(source, from, whole, to, MOST);
        for (int64_t n = 0; n <= MOST; n++) {
            size_t bytes = (size_t)(n * nnc_dtype_size(to));
            memset(part, 0xa5, sizeof part);
            nnc_convert(source, from, part, to, n);
            CHECK(memcmp(part, whole, bytes) == 0);
            for (size_t i = bytes; i < bytes + 8; i++)
                CHECK(part[i] == 0xa5);
        }
    }
}
