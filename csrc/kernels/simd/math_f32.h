/* math_f32.h - functions of float that double leaves to the C library: powers, cube root,
 * hyperbolic and inverse functions, arctan2, erfc, sinc. Included by math.h, after what they are made of.
 *
 * Each states its largest error in ulp, measured over every 97th float on AVX2 and portable;
 * tests/c/test_kernels.c holds it to that. Polynomials of the inverse circular functions: Cephes
 * (Moshier 1989), asinf.c and atanf.c; the reductions are the usual ones (Muller 2016). */
#ifndef NNC_SIMD_MATH_F32_H
#define NNC_SIMD_MATH_F32_H

#define HALF_PI v_const(1.5707963267948966)
#define LN2 v_const(0.69314718055994531)

/* 1.0 ulp. 2^n exp(f ln 2), n whole, f = x - n exact. */
V_FN vec v_exp2(vec x)
{
    mask gone = v_lt(x, v_set(-151));
    vec clamped = v_zero_where(gone, v_min(v_set(129), x));
    vec t = clamped + v_set(EXP_MAGIC);
    exp_parts e = {.n = t - v_set(EXP_MAGIC), .power = (uvec)t & 0x3ff};
    vec f = clamped - e.n;
    e.high = f * LN2;
    e.low = f * v_const(-1.904654323148236e-9) + v_fma(f, LN2, v_neg(e.high)); /* ln 2 - LN2 */
    vec p = exp_less_one(e) + 1;
#ifdef V_HAS_SCALE
    p = v_scale(p, e.n);
#else
    p = p * exp_scale_a(e) * exp_scale_b(e);
#endif
    return v_zero_where(gone, p);
}

/* 1.2 ulp. A third of the bits, then Halley's rule twice: y + y (1 - t)/(1 + 2t), t = y^3/x. Below
 * the normal numbers x is first made 2^24 times larger. */
V_FN vec v_cbrt(vec x)
{
    vec a = v_abs(x);
    mask small = v_lt(a, v_const(1e-30));
    vec s = v_select(small, a * v_set(0x1p24f), a);
    vec bits = __builtin_convertvector((ivec)s, vec);
    vec y = (vec)__builtin_convertvector(v_fma(bits, v_const(1.0 / 3), v_set(709921077)), ivec);
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        vec t = y * y * (y / s);
        y = v_fma(y, (1 - t) / v_fma(v_set(2), t, v_set(1)), y);
    }
    y = v_select(small, y * v_set(0x1p-8f), y);
    mask ordinary = v_and(v_gt(a, v_set(0)), v_lt(a, V_INFINITY));
    return v_or_sign(v_select(ordinary, y, a), x);
}

/* 2.5 ulp. (e + e/(e + 1))/2, e = exp(a) - 1; near overflow exp(a/2)^2/2. */
V_FN vec v_sinh(vec x)
{
    vec a = v_abs(x), e = v_expm1(v_min(v_set(80), a)), root = v_exp(v_const(0.5) * a);
    vec y = v_const(0.5) * (e + e / (e + 1)), far = v_const(0.5) * root * root;
    return v_or_sign(v_select(v_gt(a, v_set(80)), far, y), x);
}

/* 2.5 ulp. (e + 1/e)/2, e = exp(a); near overflow exp(a/2)^2/2. */
V_FN vec v_cosh(vec x)
{
    vec a = v_abs(x), e = v_exp(v_min(v_set(80), a)), root = v_exp(v_const(0.5) * a);
    vec y = v_const(0.5) * e + v_const(0.5) / e, far = v_const(0.5) * root * root;
    return v_select(v_gt(a, v_set(80)), far, y);
}

/* arcsin(s) = s + s z P(z), z = s^2, |s| <= 1/2 */
V_FN vec arcsin_near(vec s, vec z)
{
    static const real c[] = {1.6666752422e-1f, 7.4953002686e-2f, 4.5470025998e-2f,
                             2.4181311049e-2f, 4.2163199048e-2f};
    return v_fma(s * z, V_POLYNOMIAL(z, c), s);
}
/* 2.4 ulp. Beyond 1/2: pi/2 - 2 arcsin(sqrt((1 - a)/2)). */
V_FN vec v_arcsin(vec x)
{
    vec a = v_abs(x), z = v_const(0.5) * (1 - a);
    mask far = v_gt(a, v_const(0.5));
    z = v_select(far, z, a * a);
    vec near = arcsin_near(v_select(far, v_sqrt(z), a), z);
    return v_or_sign(v_select(far, v_fma(v_set(-2), near, HALF_PI), near), x);
}
/* 1.3 ulp. Beyond 1/2: 2 arcsin(sqrt((1 - a)/2)), or pi less that. */
V_FN vec v_arccos(vec x)
{
    vec a = v_abs(x), z = v_const(0.5) * (1 - a);
    mask far = v_gt(a, v_const(0.5)), below = v_lt(x, v_set(0));
    z = v_select(far, z, a * a);
    vec near = arcsin_near(v_select(far, v_sqrt(z), a), z);
    vec twice = near + near;
    twice = v_select(below, v_const(3.1415926535897932) - twice, twice);
    vec middle = v_select(below, HALF_PI + near, HALF_PI - near);
    return v_select(far, twice, middle);
}

/* 2.9 ulp. Beyond tan(3 pi/8): pi/2 - arctan(1/a); beyond tan(pi/8): pi/4 + arctan((a-1)/(a+1)). */
V_FN vec v_arctan(vec x)
{
    static const real c[] = {-3.33329491539e-1f, 1.99777106478e-1f, -1.38776856032e-1f,
                             8.05374449538e-2f};
    vec a = v_abs(x);
    mask far = v_gt(a, v_const(2.414213562373095)), middle = v_gt(a, v_const(0.41421356237309503));
    vec above = v_select(far, v_set(-1), a - 1), below = v_select(far, a, a + 1);
    vec s = v_select(middle, above / below, a), z = s * s;
    vec base = v_select(far, HALF_PI, v_select(middle, v_const(0.78539816339744831), v_set(0)));
    return v_or_sign(base + v_fma(s * z, V_POLYNOMIAL(z, c), s), x);
}

/* 1.8 ulp. log(1 + a + a^2/(1 + sqrt(a^2 + 1))); log(2 a) where the square says no more. */
V_FN vec v_arcsinh(vec x)
{
    vec a = v_abs(x), b = v_min(v_set(4096), a), square = b * b;
    vec y = v_log1p(b + square / (1 + v_sqrt(square + 1)));
    return v_or_sign(v_select(v_gt(a, v_set(4096)), v_log(a) + LN2, y), x);
}
/* 2.2 ulp. log(1 + t + sqrt(t (t + 2))), t = x - 1. */
V_FN vec v_arccosh(vec x)
{
    vec t = v_min(v_set(4096), x) - 1;
    vec y = v_log1p(t + v_sqrt(t * (t + 2)));
    y = v_select(v_gt(x, v_set(4096)), v_log(x) + LN2, y);
    return v_select(v_lt(x, v_set(1)), v_set((real)NAN), y);
}
/* 2.0 ulp. log(1 + 2a/(1 - a))/2. */
V_FN vec v_arctanh(vec x)
{
    vec a = v_abs(x);
    vec y = v_const(0.5) * v_log1p((a + a) / (1 - a));
    return v_select(v_le(a, v_set(1)), v_or_sign(y, x), v_set((real)NAN));
}

/* 5.2 ulp down to the denormals. 1 - erf(x) below 1/2; above, exp(-x^2) P(s)/(x + 2), s = (x - 2) /
 * (x + 2), with the square in two exact parts. */
V_FN vec v_erfc(vec x)
{
    /* erfc(x) exp(x^2) (x + 2) for 0.5 <= x <= 10.1; error 8.5e-9 */
    static const real c[] = {1.0215827226638794f, -0.6871606707572937f, 0.279471218585968f,
                             -0.03644150123000145f, -0.021496178582310677f, 0.00647021783515811f,
                             0.0030091949738562107f, -0.0008018854423426092f,
                             -0.0004806012730114162f};
    vec b = v_max(v_const(0.5), v_min(v_const(10.5), x));
    vec head = (vec)((uvec)b & 0xfffff000u), rest = b - head;
    vec small = v_exp(v_neg(rest) * (b + head)), s = (b - 2) / (b + 2);
    vec far = v_exp(v_neg(head) * head) * (small * V_POLYNOMIAL(s, c) / (b + 2));
    return v_select(v_gt(x, v_const(0.5)), far, 1 - v_erf(x));
}

/* 3.8 ulp. sin(pi x)/(pi x): the half turns are taken off exactly. */
V_FN vec v_sinc(vec x)
{
    vec whole = v_rint(x), f = v_abs(x - whole), g = f + f, halves = whole * v_const(0.5);
    vec s = v_select(v_le(g, v_const(0.5)), sin_quarters(g), cos_quarters(1 - g));
    vec turned = v_select(v_ne(halves, v_floor(halves)), v_neg(s), s);
    /* of |x|, whose part beyond the whole may lie on either side */
    turned = v_select(v_lt(v_abs(x), v_abs(whole)), v_neg(turned), turned);
    vec y = turned / (v_const(3.1415926535897932) * v_abs(x));
    return v_select(v_lt(v_abs(x), v_const(1e-4)), v_set(1), y);
}

/* 3.5 ulp. The angle of |a|/|b|, taken from pi where b is negative. */
V_FN vec v_arctan2(vec a, vec b)
{
    vec x = v_abs(b), y = v_abs(a), ratio = y / x;
    ratio = v_select(v_eq(y, v_set(0)), v_select(v_isnan(x), x, v_set(0)), ratio);
    ratio = v_select(v_and(v_eq(x, V_INFINITY), v_eq(y, V_INFINITY)), v_set(1), ratio);
    vec angle = v_arctan(ratio);
    vec turned = v_const(3.1415927410125732) - (angle + v_const(8.7422776e-8));
    mask left = v_lt(v_or_sign(v_set(1), b), v_set(0));
    return v_or_sign(v_select(left, turned, angle), a);
}

/* Half of a vector's floats as doubles. */
typedef real half_vec __attribute__((vector_size(BYTES / 2)));
typedef double double_vec __attribute__((vector_size(BYTES)));
typedef uint64_t double_bits __attribute__((vector_size(BYTES)));
typedef union {
    vec whole;
    half_vec part[2];
} halved;

/* a where the bits of m are set, else b. */
V_FN double_vec double_select(double_bits m, double_vec a, double_vec b)
{
    return (double_vec)((m & (double_bits)a) | (~m & (double_bits)b));
}

/* c[0] + c[1] x + ... + c[n-1] x^(n-1), n odd: in x^2 and x^4, so that no product waits long. */
V_FN double_vec double_polynomial(double_vec x, const double *c, int n)
{
    double_vec square = x * x, fourth = square * square, y = c[n - 1] - (double_vec){0};
    int i = n - 1;
    if (i % 4 == 2) {
        i -= 2;
        y = (c[i] + c[i + 1] * x) + y * square;
    }
#pragma GCC unroll 4
    for (i -= 4; i >= 0; i -= 4)
        y = (c[i] + c[i + 1] * x) + (c[i + 2] + c[i + 3] * x) * square + y * fourth;
    return y;
}

/* 2^(b log2 a) for a > 0, kept within 2^-200 .. 2^200. a = 2^k m, m in [sqrt(1/2), sqrt 2), and
 * log2 m = 2/ln 2 artanh(s), s = (m - 1)/(m + 1): the series to s^13 (next term below 2e-12 of
 * it). 2^t = 2^n exp((t - n) ln 2): the series to the 8th power (2e-10). */
V_FN double_vec pow_positive(double_vec a, double_vec b)
{
    static const double artanh_c[] = {2.8853900817779268, 0.96179669392597561, 0.57707801635558535,
                                      0.41219858311113239, 0.32059889797532520, 0.26230818925253880,
                                      0.22195308321368667};
    static const double exp_c[] = {1, 0.69314718055994531, 0.24022650695910071,
                                   5.5504108664821580e-2, 9.6181291076284772e-3,
                                   1.3333558146428443e-3, 1.5403530393381610e-4,
                                   1.5252733804059840e-5, 1.3215486790144309e-6};
    const uint64_t one = 0x3ff0000000000000u, sqrt_half = 0x3fe6a09e667f3bcdu;
    double_bits t = (double_bits)a + (one - sqrt_half);
    double_vec m = (double_vec)((t & 0xfffffffffffffu) + sqrt_half);
    double_vec k = (double_vec)((t >> 52) | 0x4330000000000000u) - (0x1p52 + 1023);
    const double_vec most = 200 - (double_vec){0};
    double_vec s = (m - 1) / (m + 1);
    double_vec power = b * (k + s * double_polynomial(s * s, artanh_c, 7));
    power = double_select((double_bits)(power > most), most, power);
    power = double_select((double_bits)(power < -most), -most, power);
    double_vec shifted = power + (0x1.8p52 + 1023), f = power - (shifted - (0x1.8p52 + 1023));
    return double_polynomial(f, exp_c, 9) * (double_vec)((double_bits)shifted << 52);
}

/* a^b, in double and rounded once; the odd places as C's pow has them. */
V_FN vec pow_general(vec a, vec b)
{
    vec size = v_abs(a), half = v_const(0.5) * b;
    halved x = {.whole = size}, y = {.whole = b}, r;
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++)
        r.part[i] = __builtin_convertvector(
            pow_positive(__builtin_convertvector(x.part[i], double_vec),
                         __builtin_convertvector(y.part[i], double_vec)), half_vec);
    mask rising = v_gt(b, v_set(0)), whole = v_eq(b, v_floor(b));
    vec z = v_select(v_eq(size, v_set(0)), v_select(rising, v_set(0), V_INFINITY), r.whole);
    z = v_select(v_eq(size, V_INFINITY), v_select(rising, V_INFINITY, v_set(0)), z);
    z = v_select(v_eq(size, v_set(1)), v_set(1), z);        /* b may be infinite */
    mask odd = v_and(whole, v_ne(half, v_floor(half)));
    z = v_select(odd, v_or_sign(z, a), z);
    mask below = v_and(v_lt(a, v_set(0)), v_gt(a, v_neg(V_INFINITY)));
    z = v_select(v_and(below, v_ne(b, v_floor(b))), v_set((real)NAN), z);
    z = v_select(v_isnan(a), a, v_select(v_isnan(b), b, z));
    return v_select(v_or(v_eq(b, v_set(0)), v_eq(a, v_set(1))), v_set(1), z);
}

#endif
