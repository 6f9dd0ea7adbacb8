/* kernels.h - what an instruction set level offers: one struct of function pointers for each
 * element type. Kernels are serial, work on plain pointers, cannot fail, never allocate and never
 * read or write past the ends they are given. An element's bits never depend on its position or on
 * how a range is cut (tails are masked, not scalar), except in the reductions, whose order is fixed
 * by n alone. Every kernel may be called with n == 0. Where said, the output may be an input. */
#ifndef NNC_KERNELS_H
#define NNC_KERNELS_H

#include "core/ahead.h"
#include "nnc.h"

/* Element-wise rows: ops/unary.def, ops/binary.def, ops/compare.def. */
typedef enum {
#define UNARY(name, ...) NNC_UNARY_##name,
#include "ops/unary.def"
#undef UNARY
    NNC_UNARY_COUNT
} nnc_unary;

typedef enum {
#define BINARY(name, ...) NNC_BINARY_##name,
#include "ops/binary.def"
#undef BINARY
    NNC_BINARY_COUNT
} nnc_binary;

typedef enum {
#define COMPARE(name, ...) NNC_COMPARE_##name,
#include "ops/compare.def"
#undef COMPARE
    NNC_COMPARE_COUNT
} nnc_compare;

/* How the two operands of a binary kernel run: both vectors; b one number; a one number. */
enum { NNC_VV, NNC_VS, NNC_SV, NNC_FORMS };

/* The floating-point dtypes of 16 bits, as tables count them; and float32 that is rounded to
 * bfloat16, to nearest even, where it is read. */
enum { NNC_HALF_NONE, NNC_HALF_F16, NNC_HALF_BF16, NNC_HALVES, NNC_HALF_ROUNDED = NNC_HALVES };
static inline int nnc_half_of(nnc_dtype dtype)
{
    return dtype == NNC_F16 ? NNC_HALF_F16 : dtype == NNC_BF16 ? NNC_HALF_BF16 : NNC_HALF_NONE;
}

/* narrow and round, which stays in float32, round to nearest, ties to even. Ranges may not overlap;
 * round's y may be x. */
typedef struct {
    void (*widen[NNC_HALVES])(const uint16_t *restrict x, float *restrict y, int64_t n);
    void (*narrow[NNC_HALVES])(const float *restrict x, uint16_t *restrict y, int64_t n);
    void (*round[NNC_HALVES])(const float *x, float *y, int64_t n);
} nnc_kernels_half;

/* C[m,n] = activation(A[m,k] B[k,n] + bias). A(i,p) = a[i*a_row + p*a_col], B(p,j) = b[p*b_row +
 * j*b_col]; in each of A and B one stride is 1 (checked by the op; both may be). C is row-major
 * with row stride ldc. bias: (n) or NULL. activation: a unary kernel applied to finished pieces of
 * C, or NULL. */
typedef struct {
    int64_t m, n, k;
    int64_t a_row, a_col, b_row, b_col, ldc;
    int activation;          /* nnc_unary, or -1 */
    double alpha;            /* the activation's parameter */
    int64_t most_rows;       /* of a piece, where somebody goes on with it at once; 0: any */
    int64_t most_columns;    /* the same */
    int half;                /* NNC_HALF_*: b and bias hold such; a, C the kernel's own */
    int listed;              /* NNC_LIST_*: the operand whose rows lie at rows[i], wherever that is */
    const void *const *rows;
} nnc_gemm;

enum { NNC_LIST_NONE, NNC_LIST_A = 1, NNC_LIST_B = 2 };

/* Rows r0..r1-1, columns c0..c1-1; r0 == r1: nothing. */
typedef struct {
    int64_t r0, r1, c0, c1;
} nnc_region;

#define NNC_KERNELS(suffix, real)                                                                     \
    /* Rows of c logits, each with a label from 0 to c - 1 or a target; scratch: (c), read only where \
     * neither p nor dx is wanted. hit: 1 where the first largest of p (of x: hit_of_x) is the label's,\
     * or the target's first largest, else 0. dloss NULL: ones. Outputs may not be inputs. */         \
    typedef struct {                                                                                  \
        int64_t c;                                                                                    \
        const real *x, *target, *dloss;     /* (rows, c), (rows, c), (rows) */                        \
        const int64_t *label;               /* (rows), if there is no target */                       \
        real *loss, *hit, *p, *dx;          /* (rows) twice, (rows, c) twice; each may be NULL */     \
        bool hit_of_x;                                                                                \
        real *scratch;                                                                                \
    } nnc_crossentropy_##suffix;                                                                      \
    typedef void nnc_unary_##suffix(const real *x, real *y, int64_t n, real alpha);                   \
    typedef void nnc_unary_grad_##suffix(const real *x, const real *y, const real *dy, real *dx,      \
                                         int64_t n, real alpha);                                      \
    typedef void nnc_binary_##suffix(const real *a, const real *b, real *y, int64_t n);               \
    typedef void nnc_compare_##suffix(const real *a, const real *b, uint8_t *y, int64_t n);           \
    typedef struct {                                                                                  \
        const char *level;                                                                            \
        int lanes;                                                                                    \
        /* y may be x (or y); dx may be any of its inputs */                                          \
        nnc_unary_##suffix *unary[NNC_UNARY_COUNT];                                                   \
        nnc_unary_grad_##suffix *unary_grad[NNC_UNARY_COUNT];                                         \
        nnc_binary_##suffix *binary[NNC_BINARY_COUNT][NNC_FORMS];  /* y may be a or b */              \
        nnc_compare_##suffix *compare[NNC_COMPARE_COUNT][NNC_FORMS];                                  \
        void (*select)(const uint8_t *c, const real *a, const real *b, real *y, int64_t n);           \
        /* one number from n: lanes in parallel, then a fixed tree; max and min let NaN through;      \
         * of nothing: 0, 1, -inf, +inf */                                                            \
        real (*sum)(const real *x, int64_t n);                                                        \
        real (*sum_squares)(const real *x, int64_t n);                                                \
        real (*dot)(const real *a, const real *b, int64_t n);                                         \
        real (*prod)(const real *x, int64_t n);                                                       \
        real (*max)(const real *x, int64_t n);                                                        \
        real (*min)(const real *x, int64_t n);                                                        \
        int64_t (*argmax)(const real *x, int64_t n); /* first of the largest; first NaN wins */       \
        int64_t (*argmin)(const real *x, int64_t n);                                                  \
        /* y[j] = over i of x[i*ld + j], rows in order 0, 1, ...; y is written, not added to */       \
        void (*sum_rows)(const real *x, int64_t rows, int64_t n, int64_t ld, real *y);                \
        void (*prod_rows)(const real *x, int64_t rows, int64_t n, int64_t ld, real *y);               \
        void (*max_rows)(const real *x, int64_t rows, int64_t n, int64_t ld, real *y);                \
        void (*min_rows)(const real *x, int64_t rows, int64_t n, int64_t ld, real *y);                \
        /* rows of c values, over the last axis. y may be x. */                                       \
        void (*softmax)(const real *x, real *y, int64_t rows, int64_t c);                             \
        void (*log_softmax)(const real *x, real *y, int64_t rows, int64_t c);                         \
        /* dx = y (dy - sum(dy y));  dx = dy - exp(y) sum(dy). dx may be dy. */                       \
        void (*softmax_grad)(const real *y, const real *dy, real *dx, int64_t rows, int64_t c);       \
        void (*log_softmax_grad)(const real *y, const real *dy, real *dx, int64_t rows, int64_t c);   \
        /* What is not NULL of what crossentropy.inc tells. */                                        \
        void (*crossentropy)(const nnc_crossentropy_##suffix *what, int64_t rows);                    \
        /* y = x * scale where the element's uniform number >= rate, else 0; elements                 \
         * first..first+n-1 of the stream, so any cut gives the same bits. y may be x. Element e uses \
         * word e%4 of block e/4. */                                                                  \
        void (*dropout)(const nnc_rng *rng, int64_t first, const real *x, real *y, int64_t n,         \
                        double rate);                                                                 \
        /* elements first.. of the stream. uniform in [low, high); normal by Box-Muller;              \
         * truncated: normal redrawn outside 2 sigma (the inverse CDF of a uniform) */                \
        void (*uniform)(const nnc_rng *rng, int64_t first, real *y, int64_t n, double low,            \
                        double high);                                                                 \
        void (*normal)(const nnc_rng *rng, int64_t first, real *y, int64_t n, double mean,            \
                       double stddev);                                                                \
        void (*truncated_normal)(const nnc_rng *rng, int64_t first, real *y, int64_t n, double mean,  \
                                 double stddev);                                                      \
        /* Optimizers, in place over n parameters w with gradient g. Formulas: Keras 3. */            \
        void (*sgd)(real *w, const real *g, int64_t n, double lr);                                    \
        /* v = momentum v - lr g; w += v, or with nesterov w += momentum v - lr g */                  \
        void (*momentum)(real *w, real *v, const real *g, int64_t n, double lr, double momentum,      \
                         bool nesterov);                                                              \
        /* m += (g-m)(1-b1); v += (g^2-v)(1-b2); w -= m alpha / (sqrt(v) + eps); vmax (amsgrad):      \
         * vmax = max(vmax, v) takes v's place, or NULL */                                            \
        void (*adam)(real *w, real *m, real *v, real *vmax, const real *g, int64_t n, double alpha,   \
                     double beta_1, double beta_2, double epsilon);                                   \
        /* v = rho v + (1-rho) g^2; mean (centered: mean = rho mean + (1-rho) g, denominator          \
         * v - mean^2 + eps, else v + eps) or NULL; inc = lr g / sqrt(denominator); mom (momentum > 0:\
         * mom = momentum mom + inc; w -= mom) or NULL: w -= inc */                                   \
        void (*rmsprop)(real *w, real *v, real *mean, real *mom, const real *g, int64_t n, double lr, \
                        double rho, double momentum, double epsilon);                                 \
        /* a += g^2; w -= lr g / sqrt(a + eps) */                                                     \
        void (*adagrad)(real *w, real *a, const real *g, int64_t n, double lr, double epsilon);       \
        /* a = rho a + (1-rho) g^2; s = sqrt((d + eps) / (a + eps)) g; d likewise of s; w -= lr s */  \
        void (*adadelta)(real *w, real *a, real *d, const real *g, int64_t n, double lr,              \
                         double rho, double epsilon);                                                 \
        /* m as adam; u = max(b2 u, |g|); w -= alpha m / (u + eps) */                                 \
        void (*adamax)(real *w, real *m, real *u, const real *g, int64_t n, double alpha,             \
                       double beta_1, double beta_2, double epsilon);                                 \
        /* f: power, l1, l2, shrinkage, beta; see optimizer.inc */                                    \
        void (*ftrl)(real *w, real *a, real *l, const real *g, int64_t n, double lr,                  \
                     const double *f);                                                                \
        /* w -= lr sign(b1 m + (1-b1) g); m = b2 m + (1-b2) g */                                      \
        void (*lion)(real *w, real *m, const real *g, int64_t n, double lr, double beta_1,            \
                     double beta_2);                                                                  \
        /* m, v as adam; w -= (by[0] m + by[1] g) / (sqrt(by[2] v) + eps) */                          \
        void (*nadam)(real *w, real *m, real *v, const real *g, int64_t n, const double *by,          \
                      double beta_1, double beta_2, double epsilon);                                  \
        /* step 1, 2 ...; f: beta_1, beta_2, epsilon; see optimizer.inc */                            \
        void (*schedule_free)(real *w, real *z, real *v, const real *g, int64_t n, double lr,         \
                              double step, const double *f);                                          \
        /* f: beta_1, beta_2, epsilon. m, v as adam; squares[0] += |w|^2, squares[1] += |u|^2 of      \
         * u = by[0] m / (sqrt(by[1] v) + epsilon). Then w -= rate u */                               \
        void (*lamb_moments)(const real *w, real *m, real *v, const real *g, int64_t n,               \
                             const double *by, const double *f, double *squares);                     \
        void (*lamb)(real *w, const real *m, const real *v, int64_t n, double rate,                   \
                     const double *by, const double *f);                                              \
        /* columns += g^2 + epsilon; the sum of that over the row */                                  \
        double (*adafactor_squares)(const real *g, real *columns, int64_t n, double epsilon);         \
        /* v = scale c, or v = (1 - share) v + share (g^2 + epsilon); the sum of g^2 / v */           \
        double (*adafactor_row)(real *v, const real *c, const real *g, int64_t n, double scale);      \
        double (*adafactor_mean)(real *v, const real *g, int64_t n, double share,                     \
                                 double epsilon);                                                     \
        /* w -= rate g / sqrt(v) */                                                                   \
        void (*adafactor)(real *w, const real *v, const real *g, int64_t n, double rate);             \
        /* Pieces, phases and workspace of a product; then pieces begin..end-1 of a phase. */         \
        void (*gemm_plan)(const nnc_gemm *gemm, nnc_work *work);                                      \
        void (*gemm_run)(const nnc_gemm *gemm, const real *a, const void *b, const void *bias,        \
                         real *c, void *workspace, int phase, int64_t begin, int64_t end);            \
        /* The part of C that is finished once a piece of a phase has run. */                         \
        nnc_region (*gemm_region)(const nnc_gemm *gemm, int phase, int64_t piece);                    \
        /* The last phase for rows r0..r1-1 of C alone; false: it does not go row by row. */          \
        bool (*gemm_fold_rows)(const nnc_gemm *gemm, const void *bias, real *c, void *workspace,      \
                               int64_t r0, int64_t r1);                                               \
        /* Which operand may be a list of rows: NNC_LIST_*. */                                        \
        int (*gemm_lists)(const nnc_gemm *gemm);                                                      \
        /* 2 * 12 * lanes * rounds operations, as quick as they go; returns some number */            \
        real (*peak)(int64_t rounds);                                                                 \
    } nnc_kernels_##suffix;

NNC_KERNELS(f32, float)
NNC_KERNELS(f64, double)

/* Products of 8-bit whole numbers, exact; the same for every level. int8.inc */
typedef struct {
    /* k of x to whole numbers in low..high and a zero behind an odd k; returns the scale */
    float (*quantize)(const float *x, int16_t *q, int64_t k, float low, float high, float epsilon);
    /* c (m, c_row) = q w[:, j0:j1]: rows of q are k padded to even, w is (k, n); c_row >= j1 - j0, a
     * multiple of 32: what lies behind j1 - j0 is undefined */
    void (*gemm)(const int16_t *q, int64_t m, int64_t k, const int8_t *w, int64_t n, int64_t j0,
                 int64_t j1, int32_t *c, int64_t c_row);
} nnc_kernels_i8;

/* Products of bfloat16 with float32 sums, on instructions for them. Operands are packed into tiles
 * of 16 lines (rows of A, columns of B) by 32 steps of k, 512 numbers, zeros where the matrix ends:
 * A's [line][step], B's [step / 2][line][step % 2]. Two tiles of lines make a strip, in which they
 * lie side by side: [step of tiles][2][tile]. Numbers below 2^-126 count as zero, sums round to
 * nearest even, NaN and Inf go through. bf16.inc */
enum {
    NNC_TILE = 16, NNC_TILE_STEPS = 32, NNC_TILE_NUMBERS = NNC_TILE * NNC_TILE_STEPS,
    NNC_STRIP = 2 * NNC_TILE, NNC_STRIP_NUMBERS = 2 * NNC_TILE_NUMBERS,
    NNC_STREAM_ROWS = 6
};
typedef struct {
    double ns_per_tile;     /* about: a product of two tiles on one thread */
    bool lying;             /* multiply takes rows of A as they lie */
    /* x(l, p) = x[l * line + p * step], line or step being 1, of `lines` and k; wide: float32,
     * rounded to nearest even. pairs: as B's. Strips are `apart` steps of tiles apart; where the
     * last one has no second tile, its place stays as it is. */
    void (*pack)(const void *x, bool wide, int64_t line, int64_t step, int64_t lines, int64_t k,
                 bool pairs, int64_t apart, uint16_t *strips);
    /* c = or += A B of one strip each, k deep; of A `rows`, of B `columns`, 1 to 32; c has room for
     * whole tiles. a_row: of rows of A as they lie, each along k; 0: they are packed. Between begin
     * and end, which a thread calls. */
    void (*multiply)(const uint16_t *a, int64_t a_row, int rows, const uint16_t *b, int columns,
                     int64_t k, bool add, float *c, int64_t ldc);
    /* c = A B of up to NNC_STREAM_ROWS rows, nothing packed: rows of A, each along k, and of B lie
     * a_row and b_row apart; wide: B is float32, rounded as it is read. c has room for whole
     * vectors of 16. The sums are multiply's, bit for bit. NULL: there is none. */
    void (*stream)(const uint16_t *a, int64_t a_row, int rows, const void *b, bool wide,
                   int64_t b_row, int64_t columns, int64_t k, float *c, int64_t c_row);
    void (*begin)(void);
    void (*end)(void);
    float (*peak)(int64_t rounds);  /* 2^16 * rounds operations as quick as they go */
} nnc_kernels_bf16;

typedef struct {
    const char *name;
    const nnc_kernels_f32 *f32;
    const nnc_kernels_f64 *f64;
    const nnc_kernels_i8 *i8;
    const nnc_kernels_half *half;
    const nnc_kernels_bf16 *bf16;       /* NULL: products of bfloat16 are those of float32 */
} nnc_level;

/* The level in use; never NULL after nnc_init(). dispatch.c */
extern const nnc_level *nnc_kernels;

#endif
