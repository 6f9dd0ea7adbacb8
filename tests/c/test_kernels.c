/* test_kernels.c - every kernel but the matrix product, of every level, in float32 and float64,
 * against the formula in long double: values within stated units in the last place, gradients
 * against differences, special values; the same bits wherever a range begins and ends; no access
 * past an end. NNC_TEST_STRIDE=97 is how many floats apart the sweep's samples lie. */
#define _GNU_SOURCE
#include "check.h"
#include "kernels/kernels.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef long double wide;

/* Selects level i; false after the last one. */
static bool level(int i)
{
    const char *name = nnc_isa_available()[i];
    return name && nnc_isa_set(name) == NNC_OK;
}

/* ---- memory that ends at a page without access, canaries before it
 * ---------------------------- */

typedef struct {
    unsigned char *data, *pages;
    size_t size;
} guarded;

static guarded guarded_new(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    guarded g = {NULL, NULL, (bytes + 64 + page - 1) / page * page};
    g.pages = mmap(NULL, g.size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.pages == MAP_FAILED || mprotect(g.pages + g.size, page, PROT_NONE) != 0) {
        fprintf(stderr, "test_kernels: no memory\n");
        exit(1);
    }
    g.data = g.pages + g.size - bytes;
    memset(g.data - 64, 0x5a, 64);
    return g;
}
static bool guarded_free(guarded *g)
{
    bool whole = true;
    for (int i = 1; i <= 64; i++)
        whole = whole && g->data[-i] == 0x5a;
    munmap(g->pages, g->size + (size_t)sysconf(_SC_PAGESIZE));
    return whole;
}

/* ---- the rows of unary.def, again, from their definitions
 * --------------------------------------- */

#define REFERENCE(name, formula)                                                                   \
    static wide ref_##name(wide x, wide alpha)                                                     \
    {                                                                                              \
        (void)alpha;                                                                               \
        return formula;                                                                            \
    }
static wide phi(wide x) { return 0.5L * erfcl(-x / sqrtl(2)); }
static wide logistic(wide x) { return x >= 0 ? 1 / (1 + expl(-x)) : expl(x) / (1 + expl(x)); }
static wide positive_log1pexp(wide x) { return fmaxl(x, 0) + log1pl(expl(-fabsl(x))); }
static wide clip(wide x, wide low, wide high) { return x < low ? low : x > high ? high : x; }

REFERENCE(relu, x < 0 ? 0 : x)
REFERENCE(relu6, clip(x, 0, 6))
REFERENCE(leaky_relu, x > 0 ? x : alpha * x)
REFERENCE(elu, x > 0 ? x : alpha * expm1l(x))
REFERENCE(selu, 1.05070098735548049342L * (x > 0 ? x : 1.67326324235437728482L * expm1l(x)))
REFERENCE(celu, x > 0 ? x : alpha * expm1l(x / alpha))
REFERENCE(gelu, x * phi(x))
REFERENCE(gelu_tanh, 0.5L * x * (1 + tanhl(sqrtl(2 / acosl(-1)) * (x + 0.044715L * x * x * x))))
REFERENCE(silu, x * logistic(x))
REFERENCE(sigmoid, logistic(x))
REFERENCE(log_sigmoid, 0 - positive_log1pexp(-x))
REFERENCE(hard_sigmoid, clip(x + 3, 0, 6) / 6)
REFERENCE(hard_silu, x * clip(x + 3, 0, 6) / 6)
REFERENCE(sparse_sigmoid, clip(0.5L * (x + 1), 0, 1))
REFERENCE(tanh, tanhl(x))
REFERENCE(softplus, positive_log1pexp(x))
REFERENCE(softsign, x / (1 + fabsl(x)))
REFERENCE(mish, x * tanhl(positive_log1pexp(x)))
REFERENCE(hard_tanh, clip(x, -1, 1))
REFERENCE(tanh_shrink, x - tanhl(x))
REFERENCE(soft_shrink, x > alpha ? x - alpha : x < -alpha ? x + alpha : isnan(x) ? x : 0)
REFERENCE(hard_shrink, fabsl(x) <= alpha ? 0 : x)
REFERENCE(squareplus, (x + sqrtl(x * x + alpha)) / 2)
REFERENCE(sparse_plus, x <= -1 ? 0 : x < 1 ? (x + 1) * (x + 1) / 4 : x)
REFERENCE(exp, expl(x))
REFERENCE(expm1, expm1l(x))
REFERENCE(log, logl(x))
REFERENCE(log1p, log1pl(x))
REFERENCE(log2, log2l(x))
REFERENCE(log10, log10l(x))
REFERENCE(sqrt, sqrtl(x))
REFERENCE(rsqrt, 1 / sqrtl(x))
REFERENCE(square, x *x)
REFERENCE(absolute, fabsl(x))
REFERENCE(negative, -x)
REFERENCE(reciprocal, 1 / x)
REFERENCE(sign, x > 0 ? 1 : x < 0 ? -1 : x == 0 ? 0 : x)
REFERENCE(floor, floorl(x))
REFERENCE(ceil, ceill(x))
REFERENCE(round, rintl(x))
REFERENCE(sin, sinl(x))
REFERENCE(cos, cosl(x))
REFERENCE(erf, erfl(x))
REFERENCE(erfc, erfcl(x))
/* Newton's steps on erf, from the outside in; on erfc beyond 1/2, where 1 - |x| counts. */
static wide inverse_erf(wide x)
{
    wide a = fabsl(x), y = a < 0.9L ? a : sqrtl(-logl((1 - a) * sqrtl(acosl(-1))));
    if (!(a < 1))
        return a == 1 ? copysignl(INFINITY, x) : NAN;
    for (int i = 0; i < 60; i++)
        y += ((a > 0.5L ? erfcl(y) - (1 - a) : a - erfl(y)) * 0.5L * sqrtl(acosl(-1))) *
             expl(y * y);
    return copysignl(y, x);
}
REFERENCE(erfinv, fabsl(x) < 1e-9L ? x * 0.886226925452758013649L : inverse_erf(x))
REFERENCE(exp2, exp2l(x))
REFERENCE(cbrt, cbrtl(x))
REFERENCE(sinh, sinhl(x))
REFERENCE(cosh, coshl(x))
REFERENCE(arcsin, asinl(x))
REFERENCE(arccos, acosl(x))
REFERENCE(arctan, atanl(x))
REFERENCE(arcsinh, asinhl(x))
REFERENCE(arccosh, acoshl(x))
REFERENCE(arctanh, atanhl(x))
/* the half turns of x are taken off first: pi x would round them away */
REFERENCE(sinc, x == 0 ? 1 : (fmodl(rintl(x), 2) != 0 ? -1 : 1) *
                                 sinl(acosl(-1) * (x - rintl(x))) / (acosl(-1) * x))
/* 1/pi times the integral of exp(x cos t) cos(n t) over half a turn; the trapezoidal rule on a
 * period is exact to all digits once the nodes are dense enough for x. */
static wide bessel(wide x, int n)
{
    int nodes = 64 + 2 * (int)fminl(fabsl(x), 2000);
    wide sum = 0, z = 1, small = n == 1 ? x / 2 : 1;
    if (!(fabsl(x) < 12000))
        return isnan(x) ? x : n == 1 && x < 0 ? -INFINITY : INFINITY;
    for (int i = 0; i < nodes; i++) {
        wide t = acosl(-1) * (i + 0.5L) / nodes;
        sum += expl(x * cosl(t)) * cosl(n * t);
    }
    for (int i = 20; i > 0; i--)        /* near 0, where the integral cancels: the series */
        z = 1 + x * x / 4 / i / (i + n) * z;
    return fabsl(x) < 1 ? small * z : sum / nodes;
}
REFERENCE(i0, bessel(x, 0))
REFERENCE(i1, bessel(x, 1))

static const struct {
    const char *name;
    wide (*reference)(wide x, wide alpha);
} rows[] = {
#define UNARY(name, ...) {#name, ref_##name},
#include "ops/unary.def"
#undef UNARY
};

/* How far a row may be off: `ulps` units of the result's last place (each step of its formula
 * rounds), and `slack` half units of the input's, where the formula cancels. Rows not named: 4 and
 * 0. */
static const struct {
    int row;
    double ulps, slack;
} bounds[] = {
    {NNC_UNARY_exp, 1, 0}, {NNC_UNARY_log, 1, 0}, {NNC_UNARY_log1p, 1.5, 0},
    {NNC_UNARY_expm1, 1.75, 0}, {NNC_UNARY_tanh, 1.5, 0}, {NNC_UNARY_sigmoid, 1.75, 0},
    {NNC_UNARY_exp2, 1, 0}, {NNC_UNARY_sinh, 2.5, 0},
    {NNC_UNARY_cosh, 2.5, 0}, {NNC_UNARY_arcsin, 2.5, 0}, {NNC_UNARY_arccos, 1.5, 0},
    {NNC_UNARY_arctan, 3, 0}, {NNC_UNARY_arcsinh, 2, 0}, {NNC_UNARY_arccosh, 2.25, 0},
    {NNC_UNARY_arctanh, 2.25, 0}, {NNC_UNARY_erfc, 5.25, 0}, {NNC_UNARY_sinc, 4, 0},
    {NNC_UNARY_erf, 1.5, 0}, {NNC_UNARY_sin, 1.75, 0}, {NNC_UNARY_cos, 1.75, 0}, {NNC_UNARY_sqrt, 0.5, 0},
    {NNC_UNARY_log2, 2.25, 0}, {NNC_UNARY_log10, 2.25, 0}, {NNC_UNARY_relu, 0, 0},
    {NNC_UNARY_relu6, 0, 0}, {NNC_UNARY_absolute, 0, 0}, {NNC_UNARY_negative, 0, 0},
    {NNC_UNARY_sign, 0, 0}, {NNC_UNARY_floor, 0, 0}, {NNC_UNARY_ceil, 0, 0}, {NNC_UNARY_round, 0,
                                                                              0},
    /* 1 + erf(x) for x < 0; the logistic's argument is 2u, rounded */
    {NNC_UNARY_gelu, 4, 4}, {NNC_UNARY_gelu_tanh, 4, 4},
    /* x - tanh x; x + sqrt(x^2 + alpha) for x < 0; x + 3, x + 1, x - alpha */
    {NNC_UNARY_tanh_shrink, 2, 4}, {NNC_UNARY_squareplus, 2, 4}, {NNC_UNARY_hard_sigmoid, 2, 2},
    {NNC_UNARY_hard_silu, 2, 4}, {NNC_UNARY_sparse_sigmoid, 1, 1}, {NNC_UNARY_sparse_plus, 2, 2},
};
static void bound_of(int row, double *ulps, double *slack)
{
    *ulps = 4, *slack = 0;
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++)
        if (bounds[i].row == row)
            *ulps = bounds[i].ulps, *slack = bounds[i].slack;
}

static const wide specials[] = {0.0L, -0.0L, INFINITY, -INFINITY, NAN, 1, -1, 0.5L, -0.5L, 3, -3, 6,
                                88.5L, 89, -87, -88, -103.9L, -104.1L, 709.7L, -708.4L, -745.2L,
                                    20.5L,
                                1e30L, -1e30L, 3e38L, -3e38L, 1e-40L, -1e-40L, 1e-45L, 1.5L, 2.5L};
#define SPECIALS ((int)(sizeof specials / sizeof specials[0]))

static uint64_t dice_state;
static double dice(void)
{
    dice_state = dice_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(dice_state >> 11) * 0x1p-53;
}

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define T(name) JOIN(name, SUFFIX)
/* TEST under a name that is put together first. */
#define TEST_OF(name) TEST(name)
#define K(kernel) (nnc_kernels->SUFFIX->kernel)

#define SUFFIX f32
#define REAL float
#define DIGITS FLT_MANT_DIG
#define LOWEST FLT_MIN_EXP
#define LARGEST FLT_MAX
#include "kernels_cases.inc"
#include "crossentropy_cases.inc"
#undef SUFFIX
#undef REAL
#undef DIGITS
#undef LOWEST
#undef LARGEST

#define SUFFIX f64
#define REAL double
#define DIGITS DBL_MANT_DIG
#define LOWEST DBL_MIN_EXP
#define LARGEST DBL_MAX
#include "kernels_cases.inc"
#include "crossentropy_cases.inc"

/* ---- float only: the sweep over every so many floats
 * -------------------------------------------------- */

static double logistic_double(double x) { return x >= 0 ? 1 / (1 + exp(-x))
                                         : exp(x) / (1 + exp(x)); }

/* Even to the sign of its zeros. */
static double sinc_double(double x)
{
    x = fabs(x);
    double whole = rint(x), s = sin(3.14159265358979323846 * (x - whole));
    return x == 0 ? 1 : (fmod(whole, 2) != 0 ? -s : s) / (3.14159265358979323846 * x);
}

/* Double's own error, about 1e-16, is nothing beside half a unit of a float. */
static const struct {
    int row;
    double (*reference)(double);
} swept[] = {
    {NNC_UNARY_exp, exp},   {NNC_UNARY_log, log},   {NNC_UNARY_log1p, log1p},
    {NNC_UNARY_expm1, expm1}, {NNC_UNARY_tanh, tanh}, {NNC_UNARY_sigmoid, logistic_double},
    {NNC_UNARY_erf, erf},     {NNC_UNARY_sin, sin},   {NNC_UNARY_cos, cos},
    {NNC_UNARY_exp2, exp2},   {NNC_UNARY_cbrt, cbrt}, {NNC_UNARY_sinh, sinh},
    {NNC_UNARY_cosh, cosh},   {NNC_UNARY_arcsin, asin}, {NNC_UNARY_arccos, acos},
    {NNC_UNARY_arctan, atan}, {NNC_UNARY_arcsinh, asinh}, {NNC_UNARY_arccosh, acosh},
    {NNC_UNARY_arctanh, atanh}, {NNC_UNARY_erfc, erfc}, {NNC_UNARY_sinc, sinc_double},
};

/* close_f32 for the common case, by the bits: a float's unit is 2^-23 of the power of two below. */
static bool quickly_close(float y, double r, double ulps)
{
    uint64_t bits;
    double unit;
    memcpy(&bits, &r, 8);
    bits = (bits >> 52 & 0x7ff) - 23;
    bits <<= 52;
    memcpy(&unit, &bits, 8);
    return fabs(r) >= FLT_MIN && fabs(r) < FLT_MAX && fabs(y - r) <= ulps * unit;
}

static void sweep(int k, uint64_t stride)
{
    enum { N = 4099 };
    static float x[N], y[N];
    static double r[N];
    double ulps, slack;
    bound_of(swept[k].row, &ulps, &slack);
    if (swept[k].row == NNC_UNARY_cbrt)     /* the bound of 4 is for double: the C library's */
        ulps = 1.25;
    for (uint64_t start = 0; start < (1ull << 32); start += stride * N) {
        for (int i = 0; i < N; i++) {
            uint32_t bits = (uint32_t)(start + stride * (uint64_t)i);
            memcpy(&x[i], &bits, 4);
            r[i] = swept[k].reference(x[i]);
        }
        for (int l = 0; level(l); l++) {
            int wrong = -1;
            nnc_kernels->f32->unary[swept[k].row](x, y, N, 0);
            for (int i = 0; i < N; i++)
                if (!quickly_close(y[i], r[i], ulps) && !close_f32(y[i], r[i], ulps, 0))
                    wrong = i;
            if (wrong >= 0)
                fprintf(stderr, "%s %s(%.9g) = %.9g, expected %.17g\n", nnc_isa_name(),
                        rows[swept[k].row].name, x[wrong], y[wrong], r[wrong]);
            CHECK(wrong < 0);
        }
    }
}

TEST(kernels_sweep_of_all_floats)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    uint64_t stride = 49999;
#else
    uint64_t stride = 97;
#endif
    const char *wanted = getenv("NNC_TEST_STRIDE");
    if (wanted && atoi(wanted) > 0)
        stride = (uint64_t)atoi(wanted);
    for (int k = 0; k < (int)(sizeof swept / sizeof swept[0]); k++)
        sweep(k, stride);
}

/* ---- dispatch
 * ------------------------------------------------------------------------------------------ */

TEST(kernels_levels_fill_their_tables)
{
    for (int l = 0; level(l); l++) {
        const void *const *p = (const void *const *)nnc_kernels->f32;
        if (nnc_kernels->bf16 == NULL)      /* else products of bfloat16 are all that is its own */
            CHECK(strcmp(nnc_kernels->f32->level, nnc_isa_name()) == 0);
        else
            CHECK(strcmp(nnc_kernels->f32->level, "avx512") == 0);
        CHECK(nnc_kernels->f64->lanes * 2 == nnc_kernels->f32->lanes);
        for (size_t i = 0; i < sizeof(nnc_kernels_f32) / sizeof(void *); i++)
            CHECK(i == 1 || p[i] != NULL); /* 1: lanes and padding */
        p = (const void *const *)nnc_kernels->f64;
        for (size_t i = 0; i < sizeof(nnc_kernels_f64) / sizeof(void *); i++)
            CHECK(i == 1 || p[i] != NULL);
    }
}

TEST(kernels_isa_by_name)
{
    CHECK(strcmp(nnc_isa_available()[0], "portable") == 0);
    CHECK(nnc_isa_set("portable") == NNC_OK && strcmp(nnc_isa_name(), "portable") == 0);
    CHECK(nnc_isa_set("z80") == NNC_EVALUE);
    CHECK(strstr(nnc_error_text(), "z80") && strstr(nnc_error_text(), "portable"));
    CHECK(strcmp(nnc_isa_name(), "portable") == 0);
    setenv("NNC_ISA", "z80", 1);
    CHECK(nnc_init() == NNC_EVALUE && strstr(nnc_error_text(), "NNC_ISA"));
    unsetenv("NNC_ISA");
    CHECK(nnc_init() == NNC_OK);
}
