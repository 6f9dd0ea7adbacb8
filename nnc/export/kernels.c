/* kernels.c - what an exported C source may need. A block, up to an empty line, is copied where one
 * of its names is used; this head never is. The same functions, in the same order of operations, as
 * the core's kernels of the level "portable", for one lane: so that results are the same bits.
 * Sources: csrc/kernels/simd/{base,portable,math}.h, gemm.inc, gemm_dot.inc, int8.inc,
 * reduce.inc, softmax.inc. */

#include <math.h>

#define v_const(number) ((float)(number))

static uint32_t v_bits(float x)
{
    union { float number; uint32_t bits; } u;
    u.number = x;
    return u.bits;
}

static float v_number(uint32_t bits)
{
    union { float number; uint32_t bits; } u;
    u.bits = bits;
    return u.number;
}

static float v_nan(void) { return v_number(0x7fc00000u); }

static float v_infinity(void) { return v_number(0x7f800000u); }

static float v_add(float a, float b) { return a + b; }

static float v_sub(float a, float b) { return a - b; }

static float v_mul(float a, float b) { return a * b; }

static float v_div(float a, float b) { return a / b; }

static float v_sq(float a) { return a * a; }

static float v_neg(float a) { return v_number(v_bits(a) ^ 0x80000000u); }

static float v_abs(float a) { return v_number(v_bits(a) & 0x7fffffffu); }

/* a with the sign of s added. */
static float v_or_sign(float a, float s) { return v_number(v_bits(a) | (v_bits(s) & 0x80000000u)); }

static int v_lt(float a, float b) { return a < b; }

static int v_le(float a, float b) { return a <= b; }

static int v_gt(float a, float b) { return a > b; }

static int v_ge(float a, float b) { return a >= b; }

static int v_eq(float a, float b) { return a == b; }

static int v_ne(float a, float b) { return a != b; }

static float v_select(int truth, float a, float b) { return truth ? a : b; }

static float v_max(float a, float b) { return a > b ? a : b; }

static float v_min(float a, float b) { return a < b ? a : b; }

/* Correctly rounded: in double, Newton's rule from a guess by the exponent's half. A root of 24
 * bits is never so near the middle of two floats that the double's error could matter. */
static float v_sqrt(float a)
{
    double x = a, y;
    if (!(a > 0.0f) || a == v_infinity())
        return a < 0.0f ? v_nan() : a;
    if (a < 1.17549435e-38f)
        return v_sqrt(a * 16777216.0f) / 4096.0f;
    y = v_number((v_bits(a) >> 1) + 0x1fc00000u);
    for (int i = 0; i < 5; i++)
        y = 0.5 * (y + x / y);
    return (float)y;
}

static float v_rint(float a)
{
    float whole = v_or_sign((v_abs(a) + 8388608.0f) - 8388608.0f, a);
    return v_abs(a) < 8388608.0f ? whole : a;
}

static float v_floor(float a)
{
    float r = v_rint(a);
    return v_or_sign(r > a ? r - 1.0f : r, a);
}

static float v_ceil(float a)
{
    float r = v_rint(a);
    return v_or_sign(r < a ? r + 1.0f : r, a);
}

/* c[0] + c[1] x + ...: Horner's rule in x^2 over pairs. */
static float v_polynomial(float x, const float *c, int n)
{
    float square = x * x;
    float y = n & 1 ? c[n - 1] : c[n - 1] * x + c[n - 2];
    for (int i = n - 3 - (n & 1 ? 0 : 1); i >= 0; i -= 2)
        y = y * square + (c[i + 1] * x + c[i]);
    return y;
}

/* x = n ln 2 + high + low; power: n + 254. */
typedef struct {
    float high, low, n;
    uint32_t power;
} exp_parts;

static exp_parts exp_reduce(float x)
{
    exp_parts e;
    float t = x * v_const(1.4426950408889634074) + 12583166.0f;
    e.n = t - 12583166.0f;
    e.high = e.n * -0.693359375f + x;
    e.low = e.n * 2.12194440e-4f;
    e.power = v_bits(t) & 0x3ffu;
    return e;
}

static float exp_scale_a(exp_parts e) { return v_number((e.power >> 1) << 23); }

static float exp_scale_b(exp_parts e) { return v_number((e.power - (e.power >> 1)) << 23); }

static float exp_less_one(exp_parts e)
{
    static const float c[] = {0.500000001f, 0.166666668f, 0.0416664626f, 0.00833328551f,
                              0.00139339025f, 0.000199079383f};
    float r = e.high + e.low;
    return e.high + (r * r * v_polynomial(r, c, 6) + e.low);
}

static float v_exp(float x)
{
    exp_parts e;
    if (x < -104.0f)
        return 0.0f;
    e = exp_reduce(v_min(89.0f, x));
    return (exp_less_one(e) + 1.0f) * exp_scale_a(e) * exp_scale_b(e);
}

static float v_expm1(float x)
{
    exp_parts e = exp_reduce(v_max(-30.0f, v_min(89.0f, x)));
    float p = exp_less_one(e), a = exp_scale_a(e), b = exp_scale_b(e);
    float inverse_b = v_number((254u << 23) - v_bits(b));
    return v_or_sign((p * a + (a - inverse_b)) * b, x);
}

static float v_sigmoid(float x)
{
    exp_parts e = exp_reduce(v_max(-18.0f, v_min(104.0f, v_neg(x))));
    float p = exp_less_one(e), a = exp_scale_a(e);
    float b = v_number((254u << 23) - v_bits(exp_scale_b(e)));
    float exact = a * p + (a + b), far = (a * p + b) + a;
    return b / (e.n > 23.0f ? far : exact);
}

static float log_normal(float x, float half_c, float bias)
{
    static const float c[] = {0.666666666f, 0.400001229f, 0.28550723f, 0.233327662f};
    const uint32_t sqrt_half = 0x3f3504f3u, one = 127u << 23;
    uint32_t bits = v_bits(x) + (one - sqrt_half), m = (bits & 0x7fffffu) + sqrt_half;
    float k = v_number((bits >> 23) | v_bits(8388608.0f)) - bias;
    float scale = v_number(m - v_bits(x) + one + (1u << 23));
    float f = half_c * scale + (v_number(m) - 1.0f);
    float s = f / (f + 2.0f), z = s * s, half = 0.5f * f * f;
    float tail = s * (z * v_polynomial(z, c, 4) + half);
    tail = (k * -2.12194440e-4f + tail) - half;
    return k * 0.693359375f + (tail + f);
}

static float log_special(float x, float r)
{
    if (x <= 0.0f)
        return x == 0.0f ? v_neg(v_infinity()) : v_nan();
    return x < v_infinity() ? r : x;
}

static float v_log(float x)
{
    int small = x < 1.17549435e-38f;
    float up = x * 8388608.0f;
    return log_special(x, log_normal(small ? up : x, 0.0f, small ? 8388758.0f : 8388735.0f));
}

static float v_log1p(float x)
{
    float u = x + 1.0f, c = x - (u - 1.0f);
    return v_or_sign(log_special(u, log_normal(u, 0.5f * c, 8388735.0f)), x != x ? 0.0f : x);
}

static float v_tanh(float x)
{
    static const float c[] = {-0.333333292f, 0.133327946f, -0.0538540703f, 0.021010083f,
                              -0.00611319283f};
    float a = v_abs(x), z = x * x;
    float near = a * z * v_polynomial(z, c, 5) + a;
    float far = 1.0f - 2.0f / (v_exp(a + a) + 1.0f);
    return v_or_sign(a < 0.625f ? near : far, x);
}

static float v_erf(float x)
{
    static const float near_c[] = {0.128379167f, -0.376126326f, 0.11283679f, -0.0268584971f,
                                   0.00519882995f, -0.000811807647f, 8.26746614e-5f};
    static const float far_c[] = {0.000171786771f, -1.12949439f, -0.633406498f, -0.108186284f,
                                  0.0250310488f, -0.0041197707f, 0.000416495882f,
                                  -1.76144521e-5f, -2.85975333e-7f};
    float a = v_abs(x), z = x * x;
    float near = a * v_polynomial(z, near_c, 7) + a;
    float far = 1.0f - v_exp(v_polynomial(v_min(4.0f, a), far_c, 9));
    return v_or_sign(a < 0.9375f ? near : far, x);
}

static float v_sin(float x) { return sinf(x); }

static float v_cos(float x) { return cosf(x); }

static float v_erfc(float x) { return erfcf(x); }

static float v_exp2(float x) { return exp2f(x); }

static float v_cbrt(float x) { return cbrtf(x); }

static float v_sinh(float x) { return sinhf(x); }

static float v_cosh(float x) { return coshf(x); }

static float v_arcsin(float x) { return asinf(x); }

static float v_arccos(float x) { return acosf(x); }

static float v_arctan(float x) { return atanf(x); }

static float v_arcsinh(float x) { return asinhf(x); }

static float v_arccosh(float x) { return acoshf(x); }

static float v_arctanh(float x) { return atanhf(x); }

static float v_arctan2(float a, float b) { return atan2f(a, b); }

static float v_hypot(float a, float b) { return hypotf(a, b); }

static float v_fmod(float a, float b) { return fmodf(a, b); }

static float v_pow(float a, float b) { return b == 2.0f ? a * a : powf(a, b); }

static float v_mod(float a, float b)
{
    float r = fmodf(a, b);
    if (r == 0.0f)
        return copysignf(0.0f, b);
    return (r < 0.0f) != (b < 0.0f) ? r + b : r;
}

/* c (m, n) = a (m, k) b + bias; b(p, j) = b[p b_row + j b_col]; bias may be NULL. k is cut into
 * blocks of at most 256 steps that differ by one at most: a block is summed from zero, step by
 * step, then added. */
static void k_gemm(const float *a, const float *b, long b_row, long b_col, const float *bias,
                   float *c, long m, long n, long k)
{
    enum { COLUMNS = 64, STEPS = 256 };
    float sum[COLUMNS];
    long blocks = k > 0 ? (k + STEPS - 1) / STEPS : 1;
    for (long i = 0; i < m; i++, a += k, c += n) {
        for (long j0 = 0; j0 < n; j0 += COLUMNS) {
            long width = n - j0 < COLUMNS ? n - j0 : COLUMNS;
            const float *w = b + j0 * b_col;
            for (long block = 0, p = 0; block < blocks; block++) {
                long end = p + k / blocks + (block < k % blocks);
                for (long j = 0; j < width; j++)
                    sum[j] = 0.0f;
                for (; p < end; p++)
                    for (long j = 0; j < width; j++)
                        sum[j] += a[p] * w[p * b_row + j * b_col];
                for (long j = 0; j < width; j++)
                    c[j0 + j] = block > 0 ? c[j0 + j] + sum[j] : sum[j];
            }
            for (long j = 0; bias && j < width; j++)
                c[j0 + j] += bias[j0 + j];
        }
    }
}

/* c (m, n) = a (m, k) b / (s scale) + bias, b in 8 bits: a row of a becomes whole numbers q = a s,
 * s = high / (max |a| + epsilon); sums of whole numbers are exact. q: space for k numbers. */
static void k_dense_int8(const float *a, const signed char *b, const float *scale,
                         const float *bias, float *q, float *c, long m, long n, long k, float low,
                         float high, float epsilon)
{
    enum { COLUMNS = 64 };
    int32_t sum[COLUMNS];
    for (long i = 0; i < m; i++, a += k, c += n) {
        uint32_t largest = 0;
        float s;
        for (long p = 0; p < k; p++)        /* as bits, NaN is above all */
            largest = v_bits(v_abs(a[p])) > largest ? v_bits(v_abs(a[p])) : largest;
        s = high / (v_number(largest) + epsilon);
        for (long p = 0; p < k; p++)
            q[p] = s > 0.0f && s < v_infinity()
                ? v_min(high, v_max(low, (a[p] * s + 12582912.0f) - 12582912.0f)) : 0.0f;
        for (long j0 = 0; j0 < n; j0 += COLUMNS) {
            long width = n - j0 < COLUMNS ? n - j0 : COLUMNS;
            for (long j = 0; j < width; j++)
                sum[j] = 0;
            for (long p = 0; p < k; p++)
                for (long j = 0; j < width; j++)
                    sum[j] += (int32_t)q[p] * b[p * n + j0 + j];
            for (long j = 0; j < width; j++)
                c[j0 + j] = (float)sum[j] / (s * scale[j0 + j]) + bias[j0 + j];
        }
    }
}

/* Towards zero; the nearest there is where there is none, and 0 for NaN. */
static int32_t whole_cast(float x)
{
    if (x >= 2147483648.0f)
        return INT32_MAX;
    if (x > -2147483648.0f)
        return (int32_t)x;
    return x == x ? INT32_MIN : 0;
}

/* Sums and products of whole numbers are taken modulo 2^32. */
static int32_t whole_of_bits(uint32_t bits)
{
    return bits <= INT32_MAX ? (int32_t)bits : -(int32_t)~bits - 1;
}

static int32_t whole_add(int32_t a, int32_t b)
{
    return whole_of_bits((uint32_t)a + (uint32_t)b);
}

static int32_t whole_subtract(int32_t a, int32_t b)
{
    return whole_of_bits((uint32_t)a - (uint32_t)b);
}

static int32_t whole_multiply(int32_t a, int32_t b)
{
    return whole_of_bits((uint32_t)a * (uint32_t)b);
}

/* A row of x (rows, size); one of NaN where there is none. */
static void k_take(const float *x, int32_t index, long rows, long size, float *y)
{
    int there = index >= 0 && index < rows;
    for (long j = 0; j < size; j++)
        y[j] = there ? x[index * size + j] : v_nan();
}

static void k_take_int8(const signed char *x, int32_t index, long rows, long size, float *y)
{
    int there = index >= 0 && index < rows;
    for (long j = 0; j < size; j++)
        y[j] = there ? (float)x[index * size + j] : v_nan();
}

/* Lane i is joined with lane i + 2, then the two that are left. */
static float fold_sum(const float *v) { return (v[0] + v[2]) + (v[1] + v[3]); }

/* The same product where n is 1, 2 or 3 and k is long. k is cut into parts of at most 512 steps,
 * whole sixteens but for the last one's end: lane l sums a part's steps l, l + 4, ... */
static void k_dot(const float *a, const float *b, long b_row, long b_col, const float *bias,
                  float *c, long m, long n, long k)
{
    long parts = (k + 511) / 512;
    for (long i = 0; i < m * n; i++) {
        const float *x = a + i / n * k, *w = b + i % n * b_col;
        for (long part = 0, p = 0; part < parts; part++) {
            long end = part + 1 < parts ? k / 16 * (part + 1) / parts * 16 : k;
            float lane[4] = {0.0f}, sum;
            for (long l = 0; p < end; l++, p++)
                lane[l & 3] += x[p] * w[p * b_row];
            sum = fold_sum(lane);
            c[i] = part > 0 ? c[i] + sum : sum;
        }
        if (bias)
            c[i] += bias[i % n];
    }
}

static float sum_block(const float *x, long n)
{
    float s[16] = {0.0f};
    long i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++)
            s[j] += x[i + j];
    for (; i + 4 <= n; i += 4)
        for (int j = 0; j < 4; j++)
            s[j] += x[i + j];
    for (int j = 0; j < 4; j++)
        s[4 + j] += i + j < n ? x[i + j] : 0.0f;
    for (int j = 0; j < 4; j++)
        s[j] = (s[j] + s[4 + j]) + (s[8 + j] + s[12 + j]);
    return fold_sum(s);
}

/* Blocks of 2048, their sums added in pairs, pairs of pairs ... */
static float row_sum(const float *x, long n)
{
    float partial[64], s;
    int depth = 0;
    if (n <= 2048)
        return sum_block(x, n);
    for (long k = 0, i = 0; i < n; k++, i += 2048) {
        s = sum_block(x + i, n - i < 2048 ? n - i : 2048);
        for (long carry = k; carry & 1; carry >>= 1)
            s = partial[--depth] + s;
        partial[depth++] = s;
    }
    s = partial[--depth];
    while (depth > 0)
        s = partial[--depth] + s;
    return s;
}

static float row_prod(const float *x, long n)
{
    float s[16], p;
    long i = 0;
    for (int j = 0; j < 16; j++)
        s[j] = 1.0f;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++)
            s[j] *= x[i + j];
    for (; i + 4 <= n; i += 4)
        for (int j = 0; j < 4; j++)
            s[j] *= x[i + j];
    for (int j = 0; i + j < n; j++)
        s[4 + j] *= x[i + j];
    for (int j = 0; j < 4; j++)
        s[j] = (s[j] * s[4 + j]) * (s[8 + j] * s[12 + j]);
    p = s[0];
    for (int j = 1; j < 4; j++)
        p *= s[j];
    return p;
}

/* The largest of n numbers, or the least of them; NaN if one is. */
static float row_extremum(const float *x, long n, float (*pick)(float, float), float worst)
{
    float s[16];
    int nan = 0;
    long i = 0;
    for (int j = 0; j < 16; j++)
        s[j] = worst;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) {
            nan |= x[i + j] != x[i + j];
            s[j] = pick(s[j], x[i + j]);
        }
    for (int j = 0; j < 4; j++)
        for (long k = i + j; k < n; k += 4) {
            nan |= x[k] != x[k];
            s[j] = pick(s[j], x[k]);
        }
    if (nan)
        return v_nan();
    for (int j = 0; j < 4; j++)
        s[j] = pick(pick(s[j], s[4 + j]), pick(s[8 + j], s[12 + j]));
    return pick(pick(s[0], s[2]), pick(s[1], s[3]));
}

static float row_max(const float *x, long n)
{
    return row_extremum(x, n, v_max, v_neg(v_infinity()));
}

static float row_min(const float *x, long n)
{
    return row_extremum(x, n, v_min, v_infinity());
}

/* One step down the columns. */
static float step_sum(float s, float x) { return s + x; }

static float step_prod(float s, float x) { return s * x; }

static float step_max(float s, float x) { return s != s || s >= x ? s : x; }

static float step_min(float s, float x) { return s != s || s <= x ? s : x; }

/* x (a, r, b) becomes y (a, slices, b), each of at most `slice` of the r. */
static void k_reduce(const float *x, float *y, long a, long r, long b, long slice, long slices,
                     float (*row)(const float *, long), float (*step)(float, float), float empty)
{
    for (long i = 0; i < a * slices; i++, y += b) {
        long first = i % slices * slice, rows = r - first < slice ? r - first : slice;
        const float *from = x + (i / slices * r + first) * b;
        for (long j = 0; j < b; j++) {
            if (rows > 0 && b == 1)
                y[j] = row(from, rows);
            else
                y[j] = rows > 0 ? from[j] : empty;
            for (long k = 1; k < rows && b > 1; k++)
                y[j] = step(y[j], from[k * b + j]);
        }
    }
}

/* The largest for softmax, where a NaN comes back in the sum. */
static float softmax_top(const float *x, long c)
{
    float m[8];
    long j = 0;
    for (int i = 0; i < 8; i++)
        m[i] = v_neg(v_infinity());
    for (; j + 8 <= c; j += 8)
        for (int i = 0; i < 8; i++)
            m[i] = v_max(m[i], x[j + i]);
    for (int i = 0; i < 4; i++)
        for (long k = j + i; k < c; k += 4)
            m[i] = v_max(m[i], x[k]);
    for (int i = 0; i < 4; i++)
        m[i] = v_max(m[i], m[4 + i]);
    return v_max(v_max(m[0], m[2]), v_max(m[1], m[3]));
}

static void k_softmax(const float *x, float *y, long rows, long c)
{
    for (long i = 0; i < rows; i++, x += c, y += c) {
        float top = softmax_top(x, c), s[4] = {0.0f}, total;
        for (long j = 0; j < c; j++) {
            y[j] = v_exp(x[j] - top);
            s[j & 3] += y[j];
        }
        total = fold_sum(s);
        for (long j = 0; j < c; j++)
            y[j] = y[j] / total;
    }
}

static void k_log_softmax(const float *x, float *y, long rows, long c)
{
    for (long i = 0; i < rows; i++, x += c, y += c) {
        float top = softmax_top(x, c), s[4] = {0.0f}, total;
        for (long j = 0; j < c; j++)
            s[j & 3] += v_exp(x[j] - top);
        total = v_log(fold_sum(s));
        for (long j = 0; j < c; j++)
            y[j] = (x[j] - top) - total;
    }
}

/* The same down the columns: x (a, c, b). A NaN in a column is its largest. */
static void k_softmax_columns(const float *x, float *y, long a, long c, long b, int logarithm)
{
    for (long i = 0; i < a * b; i++) {
        long at = i / b * c * b + i % b;
        float top = x[at], total = 0.0f;
        for (long k = 1; k < c; k++)
            top = step_max(top, x[at + k * b]);
        for (long k = 0; k < c; k++) {
            float z = x[at + k * b] - top, e = v_exp(z);
            y[at + k * b] = logarithm ? z : e;
            total = total + e;
        }
        total = logarithm ? v_log(total) : total;
        for (long k = 0; k < c; k++)
            y[at + k * b] = logarithm ? y[at + k * b] - total : y[at + k * b] / total;
    }
}

/* The first place of the largest, or of the first NaN; sign -1: of the least. x (a, r, b). */
static void k_arg(const float *x, float *y, long a, long r, long b, float sign)
{
    for (long i = 0; i < a; i++, x += r * b, y += b)
        for (long j = 0; j < b; j++) {
            float best = sign * x[j];
            y[j] = 0.0f;
            for (long k = 1; k < r && best == best; k++)
                if (!(sign * x[k * b + j] <= best)) {
                    best = sign * x[k * b + j];
                    y[j] = (float)k;
                }
        }
}

/* y (a, n, b): 1 where the number in x (a, b) is the place, else 0. */
static void k_one_hot(const float *x, float *y, long a, long n, long b)
{
    for (long i = 0; i < a; i++, x += b)
        for (long k = 0; k < n; k++, y += b)
            for (long j = 0; j < b; j++)
                y[j] = (float)(x[j] == (float)k);
}

/* Where place i of the windows (n, out..., kernel...) begins in x (n, size..., c); -1: in the
 * padding. Each of size, out, kernel, stride, dilation and low has three numbers. */
static long patch_place(long i, const long *size, const long *out, const long *kernel,
                        const long *stride, const long *dilation, const long *low, long c)
{
    long outs = out[0] * out[1] * out[2], places = kernel[0] * kernel[1] * kernel[2], at[3];
    long image = i / places / outs, o = i / places % outs, k = i % places;
    at[2] = o % out[2] * stride[2] + k % kernel[2] * dilation[2] - low[2];
    at[1] = o / out[2] % out[1] * stride[1] + k / kernel[2] % kernel[1] * dilation[1] - low[1];
    at[0] = o / out[2] / out[1] * stride[0] + k / kernel[2] / kernel[1] * dilation[0] - low[0];
    for (int d = 0; d < 3; d++)
        if (at[d] < 0 || at[d] >= size[d])
            return -1;
    return (((image * size[0] + at[0]) * size[1] + at[1]) * size[2] + at[2]) * c;
}

/* x as its windows y, `places` in all; `value` in the padding. */
static void k_patches(const float *x, float *y, long places, const long *size, const long *out,
                      const long *kernel, const long *stride, const long *dilation,
                      const long *low, long c, float value)
{
    for (long i = 0; i < places; i++, y += c) {
        long at = patch_place(i, size, out, kernel, stride, dilation, low, c);
        for (long j = 0; j < c; j++)
            y[j] = at < 0 ? value : x[at + j];
    }
}

/* The adjoint: windows x are added up, in their order, to y of n numbers. */
static void k_patches_grad(const float *x, float *y, long n, long places, const long *size,
                           const long *out, const long *kernel, const long *stride,
                           const long *dilation, const long *low, long c)
{
    for (long i = 0; i < n; i++)
        y[i] = 0.0f;
    for (long i = 0; i < places; i++, x += c) {
        long at = patch_place(i, size, out, kernel, stride, dilation, low, c);
        for (long j = 0; j < c && at >= 0; j++)
            y[at + j] += x[j];
    }
}
