/* math.h - exp, log, tanh, erf ... on the vocabulary, written once for every level and both
 * element types.
 *
 * Polynomials are minimax (Remez exchange in 50 digits, for the interval and the weight given
 * beside each). Each function states its largest error in units in the last place (ulp),
 * measured for float over every 97th number, for double over random samples, on AVX2 and
 * portable; tests/c/test_kernels.c holds it to that.
 * The reductions are the usual ones: Muller, Elementary Functions, 3rd ed. 2016; log as in Tang
 * 1990. */
#ifndef NNC_SIMD_MATH_H
#define NNC_SIMD_MATH_H

#include <stdbool.h>

#ifndef V_HAS_OVER_ROOT
/* a / (sqrt(x) + e) */
V_FN vec v_over_root(vec a, vec x, vec e) { return a / (v_sqrt(x) + e); }
#endif

/* c[0] + c[1] x + ...: Horner's rule in x^2 over pairs, which waits half as long as in x. */
V_FN vec v_polynomial(vec x, const real *c, int n)
{
    vec square = x * x;
    vec y = n & 1 ? v_set(c[n - 1]) : v_fma(v_set(c[n - 1]), x, v_set(c[n - 2]));
#pragma GCC unroll 16
    for (int i = n - 3 - (n & 1 ? 0 : 1); i >= 0; i -= 2)
        y = v_fma(y, square, v_fma(v_set(c[i + 1]), x, v_set(c[i])));
    return y;
}
#define V_POLYNOMIAL(x, c) v_polynomial(x, c, (int)(sizeof(c) / sizeof(c[0])))

/* ln 2 in two parts: a multiple of the first by an exponent is exact. */
#define LN2_HIGH REAL(0.693359375, 0.693145751953125)
#define LN2_LOW REAL(-2.12194440e-4, 1.42860682030941723212e-6)
#define V_INFINITY v_set((real)INFINITY)

/* exp(x) = 2^n exp(r), |r| <= ln 2 / 2. `power` is n + 2 BIAS in the low bits of a number so
 * large that its last bit is a unit: the rounding and the conversion to an integer in one
 * addition. */
typedef struct {
    vec high, low, n; /* r = high + low, high exact */
    uvec power;
} exp_parts;
#define EXP_MAGIC ((real)(3 * ((ubits)1 << (MANTISSA - 1))) + 2 * EXPONENT_BIAS)

V_FN exp_parts exp_reduce(vec x)
{
    exp_parts e;
    vec t = v_fma(x, v_const(1.4426950408889634074), v_set(EXP_MAGIC));
    e.n = t - v_set(EXP_MAGIC);
    e.high = v_fma(e.n, v_set(-LN2_HIGH), x);
    e.low = e.n * v_set(-LN2_LOW);
    e.power = (uvec)t & (REAL_IS_F64 ? 0xfff : 0x3ff);
    return e;
}
/* 2^a and 2^b with a + b = n: each is a normal number even where 2^n is none. */
V_FN vec exp_scale_a(exp_parts e) { return (vec)((e.power >> 1) << MANTISSA); }
V_FN vec exp_scale_b(exp_parts e) { return (vec)((e.power - (e.power >> 1)) << MANTISSA); }

/* exp(r) - 1 = r + r^2 P(r); `high` comes last, so that low's rounding does not count. */
V_FN vec exp_less_one(exp_parts e)
{
    /* (exp(r) - 1 - r) / r^2 for |r| <= 0.348; error 1.4e-9, 1.4e-18 */
    static const real c[] = {
#ifdef NNC_REAL_IS_F64
        0.5, 0.16666666666666671, 0.041666666666666684, 0.0083333333333259724,
        0.0013888888888874086, 0.00019841269875387502, 2.480158734808048e-5, 2.7557254683564299e-6,
        2.7557252196980542e-7, 2.5105514322649417e-8, 2.0921830951754552e-9
#else
        0.500000001f, 0.166666668f, 0.0416664626f, 0.00833328551f, 0.00139339025f, 0.000199079383f
#endif
    };
    vec r = e.high + e.low;
    return e.high + v_fma(r * r, V_POLYNOMIAL(r, c), e.low);
}

/* 0.9 ulp. Overflows to inf, underflows through the denormals to 0. What is certainly 0 (masked
 * logits) is not computed: an underflow in the products costs more than all the rest. */
V_FN vec v_exp(vec x)
{
    mask gone = v_lt(x, v_const(REAL(-104.0, -746.0)));
    exp_parts e = exp_reduce(v_zero_where(gone, v_min(v_const(REAL(89.0, 710.0)), x)));
    vec p = exp_less_one(e) + 1;
#ifdef V_HAS_SCALE
    p = v_scale(p, e.n);
#else
    p = p * exp_scale_a(e) * exp_scale_b(e);
#endif
    return v_zero_where(gone, p);
}

/* 1.6 ulp. exp(x) - 1 = 2^b (2^a p + (2^a - 2^-b)), p = exp(r) - 1. */
V_FN vec v_expm1(vec x)
{
    vec clamped = v_max(v_const(REAL(-30.0, -60.0)), v_min(v_const(REAL(89.0, 710.0)), x));
    exp_parts e = exp_reduce(clamped);
    vec p = exp_less_one(e);
    vec a = exp_scale_a(e), b = exp_scale_b(e);
    vec inverse_b = (vec)(v_set_bits((ubits)(2 * EXPONENT_BIAS) << MANTISSA) - (uvec)b);
    return v_or_sign(v_fma(p, a, a - inverse_b) * b, x);
}

/* 1.7 ulp. 1/(1 + exp(-x)) = 2^-b / (2^-b + 2^a + 2^a p), exp(-x) = 2^(a+b) (1 + p): one
 * rounding where 2^a + 2^-b is exact; beyond, 2^-b goes first to what is small. Neither overflows,
 * and small results pass through the denormals to 0. */
V_FN vec v_sigmoid(vec x)
{
    vec turned = v_min(v_const(REAL(104.0, 746.0)), v_neg(x));
    exp_parts e = exp_reduce(v_max(v_const(REAL(-18.0, -38.0)), turned));
    vec p = exp_less_one(e), a = exp_scale_a(e);
    vec b = (vec)(v_set_bits((ubits)(2 * EXPONENT_BIAS) << MANTISSA) - (uvec)exp_scale_b(e));
    vec exact = v_fma(a, p, a + b), far = v_fma(a, p, b) + a;
    return b / v_select(v_gt(e.n, v_set(MANTISSA - 1)), far, exact);
}

/* log(x + c) = k ln 2 + log(1 + f), 1 + f in [sqrt(1/2), sqrt 2); with s = f/(2 + f),
 * log(1 + f) = f - (f^2/2 - s (f^2/2 + R(s^2))). x is a normal number, c what rounding took from
 * it, half_c the half of that; k comes out of the exponent with `bias` too much. */
V_FN vec log_normal(vec x, vec half_c, vec bias)
{
    /* (log((1+s)/(1-s))/s - 2) / s^2 in s^2 <= 0.02945; error 1.2e-9, 3.1e-16 */
    static const real p[] = {
#ifdef NNC_REAL_IS_F64
        0.66666666666666697, 0.39999999999898239, 0.28571428626493829, 0.22222211057352945,
        0.1818289434670592, 0.15331559527572228, 0.14618334423610078
#else
        0.666666666f, 0.400001229f, 0.28550723f, 0.233327662f
#endif
    };
    const ubits sqrt_half = REAL_IS_F64 ? (ubits)0x3fe6a09e667f3bcd : (ubits)0x3f3504f3;
    const ubits one = (ubits)EXPONENT_BIAS << MANTISSA;
    uvec bits = (uvec)x + (one - sqrt_half);
    uvec m = (bits & (((ubits)1 << MANTISSA) - 1)) + sqrt_half;
    vec k = (vec)((bits >> MANTISSA) | (uvec)v_set((real)((ubits)1 << MANTISSA))) - bias;
    /* 2^(1-k), 0 for the largest k */
    vec scale = (vec)(m - (uvec)x + one + ((ubits)1 << MANTISSA));
    vec f = v_fma(half_c, scale, (vec)m - 1);
    vec s = f / (f + 2), z = s * s, half = v_set((real)0.5) * f * f;
    vec tail = s * v_fma(z, V_POLYNOMIAL(z, p), half);
    tail = v_fma(k, v_set(LN2_LOW), tail) - half;
    return v_fma(k, v_set(LN2_HIGH), tail + f);
}
#define LOG_BIAS ((real)((ubits)1 << MANTISSA) + EXPONENT_BIAS)

/* r where x is finite and positive; log's values at the other places. */
V_FN vec log_special(vec x, vec r)
{
    vec none = v_select(v_eq(x, v_set(0)), v_neg(V_INFINITY), v_set((real)NAN));
    r = v_select(v_lt(x, V_INFINITY), r, x);
    return v_select(v_le(x, v_set(0)), none, r);
}
/* 0.8 ulp. */
V_FN vec v_log(vec x)
{
    /* what is below the normal numbers is first made larger */
    mask small = v_lt(x, v_set(REAL(1.17549435e-38, 2.2250738585072014e-308)));
    vec up = x * v_set((real)((ubits)1 << MANTISSA));
    vec bias = v_select(small, v_set(LOG_BIAS + MANTISSA), v_set(LOG_BIAS));
    return log_special(x, log_normal(v_select(small, up, x), v_set(0), bias));
}

/* 1.4 ulp. log(u + c) with u = 1 + x rounded and c what the rounding took. */
V_FN vec v_log1p(vec x)
{
    vec u = x + 1, c = x - (u - 1);
    vec r = log_special(u, log_normal(u, v_set((real)0.5) * c, v_set(LOG_BIAS)));
    return v_or_sign(r, v_select(v_isnan(x), v_set(0), x));
}

/* 1.3 ulp. x + x^3 P(x^2) below 0.625, where 1 - 2/(exp(2x) + 1) would cancel. */
V_FN vec v_tanh(vec x)
{
    /* (tanh(s)/s - 1)/s^2 in s^2 <= 0.625^2; error 4.1e-8, 1.0e-16 */
    static const real c[] = {
#ifdef NNC_REAL_IS_F64
        -0.33333333333333323, 0.1333333333332704, -0.053968253961717557, 0.021869488271083218,
        -0.008863230005678142, 0.0035920606446669269, -0.0014553189827634066,
        0.00058747211519831981, -0.00023085186321898687, 7.9690660949138984e-5,
        -1.7291477097686305e-5
#else
        -0.333333292f, 0.133327946f, -0.0538540703f, 0.021010083f, -0.00611319283f
#endif
    };
    vec a = v_abs(x), z = x * x;
    vec near = v_fma(a * z, V_POLYNOMIAL(z, c), a);
    vec far = 1 - 2 / (v_exp(a + a) + 1);
    return v_or_sign(v_select(v_lt(a, v_const(0.625)), near, far), x);
}

#ifdef V_HAS_LOOKUP
/* 1.4 ulp. x h + x (g(x) - h), g = erf(x)/x in eight pieces 9/16 wide, about k 9/16, h a power of
 * two near g so that x h is exact: the coefficients of piece k come from tables of one register.
 * Relative error of each piece at most 2.1e-8. */
V_FN vec v_erf(vec x)
{
    static const real h[8] = {1, 1, 1, 0.5f, 0.5f, 0.25f, 0.25f, 0.25f};
    static const real c[7][8] = {
        {0.128379166f, 0.0198657f, -0.21032157f, 0.0825124245f, -0.0562056521f, 0.105530791f,
         0.0462957584f, 0.00396824744f},
        {0.0f, -0.35118942f, -0.419026409f, -0.306423192f, -0.194067518f, -0.126263692f,
         -0.087787558f, -0.0644998194f},
        {-0.376125757f, -0.197983645f, 0.0541931672f, 0.116160661f, 0.0791099956f, 0.0444796375f,
         0.0259983735f, 0.0163806963f},
        {0.0f, 0.172987242f, 0.0962517738f, -0.00814586056f, -0.0255097188f, -0.015089181f,
         -0.00767574128f, -0.00415965464f},
        {0.112797918f, 0.0168112794f, -0.0606461475f, -0.0245635158f, 0.00285169113f,
         0.00448061062f, 0.00223241636f, 0.00105574973f},
        {0.0f, -0.0478545153f, -0.00114173596f, 0.0158882352f, 0.00359866361f, -0.000775871513f,
         -0.000614205287f, -0.000263241285f},
        {-0.0260535743f, 0.00430807007f, 0.0139524208f, -0.00248068329f, -0.00281169994f,
         -0.000224099043f, 0.000135713531f, 7.90348708e-5f},
    };
    const vec magic = v_set(0x1p23f); /* its last bit is a unit: k in the low bits of t */
    vec a = v_min(v_set(4), v_abs(x));
    vec t = v_fma(a, v_const(16.0 / 9), magic);
    vec s = v_fma(t - magic, v_const(-9.0 / 16), a), z = s * s;
    vec y = v_lookup(c[6], (uvec)t);
#pragma GCC unroll 3
    for (int i = 4; i >= 0; i -= 2)
        y = v_fma(y, z, v_fma(v_lookup(c[i + 1], (uvec)t), s, v_lookup(c[i], (uvec)t)));
    y = v_fma(a, y, a * v_lookup(h, (uvec)t));
    return v_or_sign(v_min(v_set(1), y), x);
}
#else
/* 1.4 ulp. x + x P(x^2) below ERF_SPLIT, 1 - exp(Q(x)) above. */
#define ERF_SPLIT REAL(0.9375, 1.0)
#define ERF_ONE REAL(4.0, 6.0) /* erf is 1 from here on */
V_FN vec v_erf(vec x)
{
    /* erf(s)/s - 1 in s^2; error 5.1e-10, 7.3e-18 */
    static const real near_c[] = {
#ifdef NNC_REAL_IS_F64
        0.1283791670955126, -0.3761263890318352, 0.11283791670944185, -0.02686617064311149,
        0.0052239776061186141, -0.00085483259293193896, 0.00012055293577001943,
        -1.4924712303234306e-5, 1.6447131578968686e-6, -1.6206313770175555e-7,
        1.371098027940167e-8, -7.7794680067317043e-10
#else
        0.128379167f, -0.376126326f, 0.11283679f, -0.0268584971f, 0.00519882995f, -0.000811807647f,
        8.26746614e-5f
#endif
    };
    /* log(1 - erf(s)), weighted by 1 - erf; error 2.8e-11, 1.4e-17 */
    static const real far_c[] = {
#ifdef NNC_REAL_IS_F64
        -1.6042759975251961e-7, -1.1283775028974317, -0.63662777030408274, -0.10274904812736528,
        0.019081161194853039, 0.0002769751906105762, -0.0017661349502769367,
        0.00063965871015655568, -4.4498037714611959e-5, -7.0128094928083523e-5,
        4.4741058836187188e-5, -1.6340597660692298e-5, 4.2591855622784022e-6,
        -8.3152835661424476e-7, 1.218318869650997e-7, -1.3067053011793116e-8,
        9.7108238874014446e-10, -4.4728825224609034e-11, 9.6204007632830424e-13
#else
        0.000171786771f, -1.12949439f, -0.633406498f, -0.108186284f, 0.0250310488f, -0.0041197707f,
        0.000416495882f, -1.76144521e-5f, -2.85975333e-7f
#endif
    };
    vec a = v_abs(x), z = x * x, b = v_min(v_set(ERF_ONE), a);
    vec near = v_fma(a, V_POLYNOMIAL(z, near_c), a);
    vec far = 1 - v_exp(V_POLYNOMIAL(b, far_c));
    return v_or_sign(v_select(v_lt(a, v_set(ERF_SPLIT)), near, far), x);
}
#endif

/* sin and cos of a quarter turn times f, |f| <= 1/2. */
V_FN vec sin_quarters(vec f)
{
    /* sin(pi s/2)/s - 1 in s^2; error 4.6e-12, 1.9e-21 */
    static const real c[] = {
#ifdef NNC_REAL_IS_F64
        0.57079632679489662, -0.64596409750624625, 0.079692626246166921, -0.0046817541353147314,
        0.00016044118472557298, -3.5988427106586941e-6, 5.6919259523168799e-8,
        -6.6274066615969602e-10
#else
        0.570796327f, -0.645964096f, 0.0796925818f, -0.00468126023f, 0.000158194177f
#endif
    };
    return v_fma(f, V_POLYNOMIAL(f * f, c), f);
}
V_FN vec cos_quarters(vec f)
{
    /* (cos(pi s/2) - 1)/s^2 in s^2; error 8.9e-13, 2.5e-22 */
    static const real c[] = {
#ifdef NNC_REAL_IS_F64
        -1.2337005501361698, 0.25366950790104801, -0.02086348076335295, 0.00091926027483908885,
        -2.5202042367753939e-5, 4.710874325969465e-7, -6.3863889494914677e-9,
        6.5132043827054663e-11
#else
        -1.23370055f, 0.253669508f, -0.0208634751f, 0.000919196308f, -2.49091617e-5f
#endif
    };
    vec z = f * f;
    return v_fma(z, V_POLYNOMIAL(z, c), v_set(1));
}

/* One lane at a time, by the C library. */
#ifdef NNC_REAL_IS_F64
#define LIBM(name) name
#else
#define LIBM(name) name##f
#endif
#define V_LIBM_1(name, call)                                                                       \
    V_FN vec name(vec a)                                                                           \
    {                                                                                              \
        real x[LANES];                                                                             \
        v_store(x, a);                                                                             \
        for (int i = 0; i < LANES; i++)                                                            \
            x[i] = call(x[i]);                                                                     \
        return v_load(x);                                                                          \
    }
#define V_LIBM_2(name, call)                                                                       \
    V_FN vec name(vec a, vec b)                                                                    \
    {                                                                                              \
        real x[LANES], y[LANES];                                                                   \
        v_store(x, a);                                                                             \
        v_store(y, b);                                                                             \
        for (int i = 0; i < LANES; i++)                                                            \
            x[i] = call(x[i], y[i]);                                                               \
        return v_load(x);                                                                          \
    }

/* NumPy's remainder: the sign is the divisor's; of 0 it is NaN. */
static inline real mod_one(real a, real b)
{
    real r = LIBM(fmod)(a, b);
    if (r == 0)
        return LIBM(copysign)(0, b);
    return (r < 0) != (b < 0) ? r + b : r;
}
/* NumPy's a // b: (a - a mod b)/b made whole; by 0 it is a / b. */
static inline real floor_divide_one(real a, real b)
{
    if (b == 0)
        return a / b;
    real r = LIBM(fmod)(a, b), q = (a - r) / b;
    if (r != 0 && (r < 0) != (b < 0))
        q -= 1;
    if (q == 0)
        return LIBM(copysign)(0, a / b);
    real whole = LIBM(floor)(q);
    return q - whole > (real)0.5 ? whole + 1 : whole;
}

/* erfinv by Halley's rule from Winitzki's guess (2008), in double: each step triples the digits.
 * Beyond 1/2 the distance to 1 counts, so erfc is inverted there. */
static inline double erfinv_one(double x)
{
    double a = fabs(x);
    if (!(a < 1))
        return a == 1 ? copysign(INFINITY, x) : NAN;
    if (a < 1e-8)
        return x * 0.88622692545275801;
    double l = log1p(-a * a), t = 4.3307467508 + l / 2;
    double y = sqrt(sqrt(t * t - l / 0.147) - t);
    for (int i = 0; i < 3; i++) {
        double off = a > 0.5 ? (1 - a) - erfc(y) : erf(y) - a;
        double u = off * 0.88622692545275801 * exp(y * y);
        y -= u / (1 + y * u);
    }
    return copysign(y, x);
}
/* sin(pi x)/(pi x): the half turns are taken off exactly. */
static inline double sinc_one(double x)
{
    if (x == 0)
        return 1;
    double whole = rint(x), s = sin(3.1415926535897932 * (x - whole));
    return (fmod(whole, 2) != 0 ? -s : s) / (3.1415926535897932 * x);
}
/* Modified Bessel function of order 0 or 1: the power series up to 20, the asymptotic one beyond
 * (Abramowitz & Stegun 9.6.10, 9.7.1), in long double since 50 terms are summed. */
static inline double bessel_i(double x, int order)
{
    long double a = fabsl((long double)x), term = 1, sum = 0;
    if (!(a < INFINITY))
        return order == 1 ? copysign((double)a, x) : (double)a;
    if (a < 20) {
        term = order == 1 ? a / 2 : 1;
        for (int k = 1; sum + term != sum; k++) {
            sum += term;
            term *= a * a / 4 / k / (k + order);
        }
    } else {
        for (int k = 1; sum + term != sum && k < 60; k++) {
            sum += term;
            term *= ((2 * k - 1) * (2 * k - 1) - 4 * order) / (8 * a * k);
        }
        sum *= expl(a) / sqrtl(6.283185307179586476925L * a);
    }
    return order == 1 ? copysign((double)sum, x) : (double)sum;
}
static inline real i0_one(real x) { return (real)bessel_i(x, 0); }
static inline real i1_one(real x) { return (real)bessel_i(x, 1); }
static inline real erfinv_real(real x) { return (real)erfinv_one(x); }
static inline real sinc_real(real x) { return (real)sinc_one(x); }

#ifdef NNC_REAL_IS_F64
V_LIBM_1(v_erfc, LIBM(erfc))
V_LIBM_1(v_exp2, LIBM(exp2))
V_LIBM_1(v_cbrt, LIBM(cbrt))
V_LIBM_1(v_sinh, LIBM(sinh))
V_LIBM_1(v_cosh, LIBM(cosh))
V_LIBM_1(v_arcsin, LIBM(asin))
V_LIBM_1(v_arccos, LIBM(acos))
V_LIBM_1(v_arctan, LIBM(atan))
V_LIBM_1(v_arcsinh, LIBM(asinh))
V_LIBM_1(v_arccosh, LIBM(acosh))
V_LIBM_1(v_arctanh, LIBM(atanh))
V_LIBM_1(v_sinc, sinc_real)
V_LIBM_2(pow_general, LIBM(pow))
V_LIBM_2(v_arctan2, LIBM(atan2))
#else
#include "math_f32.h"
#endif
V_LIBM_1(v_erfinv, erfinv_real)
V_LIBM_1(v_i0, i0_one)
V_LIBM_1(v_i1, i1_one)
V_LIBM_2(v_fmod, LIBM(fmod))
V_LIBM_2(v_nextafter, LIBM(nextafter))
V_LIBM_1(sin_lanes, LIBM(sin))
V_LIBM_1(cos_lanes, LIBM(cos))
V_LIBM_2(mod_lanes, mod_one)
V_LIBM_2(floor_divide_lanes, floor_divide_one)

V_FN bool all_lanes(mask m) { return v_mask_bits(m) == v_mask_bits(v_first(LANES)); }

#if defined(V_HAS_FMA) && !REAL_IS_F64
/* 1.6 ulp. sin(x + shift quarter turns): r = x - k pi/2 in three parts, the first product exact
 * with a fused one (Cody & Waite 1980); sin or cos of |r| <= pi/4 as k is even or odd. Beyond
 * 2^16 (and inf, NaN) by the C library. Polynomials: Cephes, sinf.c. */
V_FN vec sin_shifted(vec x, ubits shift)
{
    static const real sin_c[] = {-1.6666654611e-1f, 8.3321608736e-3f, -1.9515295891e-4f};
    static const real cos_c[] = {4.166664568298827e-2f, -1.388731625493765e-3f,
                                 2.443315711809948e-5f};
    const vec magic = v_set(0x1.8p23f);
    vec t = v_fma(x, v_const(0.63661977236758134), magic), k = t - magic;
    vec r = v_fma(k, v_const(-1.57079637050628662), x);
    r = v_fma(k, v_const(4.37113900018624283e-8), r);
    r = v_fma(k, v_const(1.71512449518814e-15), r);
    vec z = r * r;
    vec odd = v_fma(r * z, V_POLYNOMIAL(z, sin_c), r);
    vec even = v_fma(z * z, V_POLYNOMIAL(z, cos_c), v_fma(v_set(-0.5f), z, v_set(1)));
    uvec quarter = (uvec)t + shift;
    vec swap = (vec)(((quarter & 1) << 23) + (127u << 23));     /* 1 or 2 */
    vec y = v_select(v_eq(swap, v_set(1)), odd, even);
    y = (vec)((uvec)y ^ ((quarter & 2) << 30));
    return shift == 0 ? v_select(v_eq(x, v_set(0)), x, y) : y;
}
V_FN vec v_sin(vec x)
{
    mask near = v_le(v_abs(x), v_set(65536));
    vec y = sin_shifted(x, 0);
    return all_lanes(near) ? y : v_select(near, y, sin_lanes(x));
}
V_FN vec v_cos(vec x)
{
    mask near = v_le(v_abs(x), v_set(65536));
    vec y = sin_shifted(x, 1);
    return all_lanes(near) ? y : v_select(near, y, cos_lanes(x));
}
#else
V_FN vec v_sin(vec x) { return sin_lanes(x); }
V_FN vec v_cos(vec x) { return cos_lanes(x); }
#endif

/* 1.25 ulp. Both numbers are first divided by the larger one's power of two (one that has an
 * inverse), so that no square overflows and none that counts underflows. */
V_FN vec v_hypot(vec a, vec b)
{
    vec x = v_abs(a), y = v_abs(b);
    uvec exponents = v_set_bits((ubits)(2 * EXPONENT_BIAS + 1) << MANTISSA);
    vec power = (vec)((uvec)v_max(x, y) & exponents);
    power = v_max(v_min(power, (vec)v_set_bits((ubits)(2 * EXPONENT_BIAS - 1) << MANTISSA)),
                  (vec)v_set_bits((ubits)1 << MANTISSA));
    vec scale = (vec)(v_set_bits((ubits)(2 * EXPONENT_BIAS) << MANTISSA) - (uvec)power);
    x = x * scale;
    y = y * scale;
    vec r = v_sqrt(v_fma(x, x, y * y)) * power;
    mask endless = v_or(v_eq(v_abs(a), V_INFINITY), v_eq(v_abs(b), V_INFINITY));
    return v_select(endless, V_INFINITY, r);
}

/* The commonest powers: squares, roots (-0 and -inf as C's pow has them), and of float cubes (1.5
 * ulp); the others 0.6 ulp. */
V_FN vec v_pow(vec a, vec b)
{
    mask two = v_eq(b, v_set(2)), half = v_eq(b, v_const(0.5));
    mask three = REAL_IS_F64 ? v_none() : v_eq(b, v_set(3));
    if (all_lanes(two))
        return a * a;
    vec root = v_select(v_eq(a, v_neg(V_INFINITY)), V_INFINITY, v_sqrt(a) + 0);
    vec y = v_select(three, a * a * a, v_select(half, root, a * a));
    mask known = v_or(two, v_or(three, half));
    return all_lanes(known) ? y : v_select(known, y, pow_general(a, b));
}

#ifdef V_HAS_FMA
/* r = a - q b in one rounding, q = floor(a/b). The rounding of a/b may have reached a whole
 * number from below, never from above; then r has the wrong sign and q is one too large. Both
 * are exact (r as NumPy rounds it) while |a/b| < 2^(MANTISSA - 2), b is finite and nothing
 * underflows: `safe`. */
typedef struct {
    vec q, r;
    mask safe;
} quotient;
V_FN quotient divide_down(vec a, vec b)
{
    quotient d;
    vec ratio = a / b, q = v_floor(ratio), r = v_fma(v_neg(q), b, a);
    mask wrong = v_or(v_and(v_lt(r, v_set(0)), v_gt(b, v_set(0))),
                      v_and(v_gt(r, v_set(0)), v_lt(b, v_set(0))));
    d.q = v_select(wrong, q - 1, q);
    d.q = v_select(v_eq(d.q, v_set(0)), (vec)v_sign_bit(ratio), d.q);
    d.r = v_select(wrong, r + b, r);
    d.r = v_select(v_eq(d.r, v_set(0)), (vec)v_sign_bit(b), d.r);
    d.safe = v_and(v_lt(v_abs(ratio), v_set((real)((ubits)1 << (MANTISSA - 2)))),
                   v_and(v_gt(v_abs(a), v_set(REAL(1e-30, 1e-290))),
                         v_lt(v_abs(b), v_set(REAL(1e30, 1e290)))));
    return d;
}
V_FN vec v_mod(vec a, vec b)
{
    quotient d = divide_down(a, b);
    return all_lanes(d.safe) ? d.r : v_select(d.safe, d.r, mod_lanes(a, b));
}
V_FN vec v_floor_divide(vec a, vec b)
{
    quotient d = divide_down(a, b);
    return all_lanes(d.safe) ? d.q : v_select(d.safe, d.q, floor_divide_lanes(a, b));
}
#else
V_FN vec v_mod(vec a, vec b) { return mod_lanes(a, b); }
V_FN vec v_floor_divide(vec a, vec b) { return floor_divide_lanes(a, b); }
#endif

#endif
