/* test_tiles.c - products of bfloat16 on the levels that have instructions for them: operands of any
 * size and layout are packed as kernels.h says, with nothing read past their ends; products of whole
 * numbers are exact for any cut and order of the pieces; NaN, Inf and the smallest numbers; a row
 * does not depend on the others. */
#define _GNU_SOURCE
#include "check.h"
#include "core/convert.h"
#include "kernels/kernels.h"
#include "ops/tiles.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A block that ends where a page without access begins. */
typedef struct {
    char *data, *pages;
    size_t size;
} guarded;

static guarded guarded_new(int64_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    guarded x = {.size = ((size_t)bytes + page - 1) / page * page + page};
    x.pages = mmap(NULL, x.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(x.pages != MAP_FAILED);
    CHECK(mprotect(x.pages + x.size - page, page, PROT_NONE) == 0);
    x.data = x.pages + x.size - page - bytes;
    return x;
}

/* Whole numbers from -4 to 4, which bfloat16 holds. */
static float whole_number(int64_t row, int64_t column, int which)
{
    uint64_t bits = (uint64_t)(row * 2654435761u + column * 40503 + which * 97);
    bits ^= bits >> 13;
    return (float)(bits * 2246822519u % 9) - 4;
}

/* An operand x(l, p) with its lines or its steps contiguous. */
typedef struct {
    guarded block;
    bool wide;
    int64_t line, step;
} operand;

static operand operand_new(int64_t lines, int64_t k, bool along, bool wide)
{
    operand x = {guarded_new(lines * k * (wide ? 4 : 2)), wide, along ? k : 1, along ? 1 : lines};
    return x;
}

static void operand_put(const operand *x, int64_t l, int64_t p, float value)
{
    int64_t at = l * x->line + p * x->step;
    uint16_t half = bf16_from_float(value);
    if (x->wide)
        memcpy(x->block.data + 4 * at, &value, 4);
    else
        memcpy(x->block.data + 2 * at, &half, 2);
}

static void operand_fill(const operand *x, int64_t lines, int64_t k, int which)
{
    for (int64_t l = 0; l < lines; l++)
        for (int64_t p = 0; p < k; p++)
            operand_put(x, l, p, whole_number(which ? p : l, which ? l : p, which));
}

static void operand_free(const operand *x)
{
    munmap(x->block.pages, x->block.size);
}

static void each_level(void (*body)(void))
{
    CHECK(nnc_init() == NNC_OK);
    for (const char *const *name = nnc_isa_available(); *name != NULL; name++) {
        CHECK(nnc_isa_set(*name) == NNC_OK);
        if (nnc_tiles_there())
            body();
    }
    CHECK(nnc_init() == NNC_OK);
}

static void check_packing(int64_t lines, int64_t k, bool along, bool wide, bool pairs)
{
    int64_t strips = (lines + 31) / 32, steps = (k + 31) / 32, apart = steps + 1, wrong = 0;
    operand x = operand_new(lines, k, along, wide);
    uint16_t *packed = aligned_alloc(64, (size_t)(strips * apart * NNC_STRIP_NUMBERS) * 2);
    operand_fill(&x, lines, k, 0);
    memset(packed, 0x5a, (size_t)(strips * apart * NNC_STRIP_NUMBERS) * 2);
    nnc_kernels->bf16->pack(x.block.data, wide, x.line, x.step, lines, k, pairs, apart, packed);
    for (int64_t l = 0; l < (lines + 15) / 16 * 16; l++)
        for (int64_t p = 0; p < steps * 32; p++) {
            const uint16_t *tile = packed + (l / 32 * apart + p / 32) * NNC_STRIP_NUMBERS +
                l / 16 % 2 * NNC_TILE_NUMBERS;
            int64_t i = l % 16, q = p % 32;
            float value = l < lines && p < k ? whole_number(l, p, 0) : 0;
            wrong += tile[pairs ? q / 2 * 32 + 2 * i + q % 2 : i * 32 + q] !=
                bf16_from_float(value);
        }
    CHECK(wrong == 0);
    free(packed);
    operand_free(&x);
}

static void packing_body(void)
{
    static const int64_t sizes[] = {1, 2, 3, 15, 16, 17, 31, 32, 33, 65};
    for (int a = 0; a < 10; a++)
        for (int b = 0; b < 10; b++)
            for (int form = 0; form < 8; form++)
                check_packing(sizes[a], sizes[b], form & 1, form & 2, form & 4);
}

TEST(tiles_packing_of_every_size)
{
    each_level(packing_body);
}

/* C as floats, each number given once. */
typedef struct {
    float *c;
    int64_t n;
    int *given;
} result;

static void take(void *argument, const nnc_region *part, float *c, int64_t c_row)
{
    result *r = argument;
    for (int64_t i = part->r0; i < part->r1; i++)
        for (int64_t j = part->c0; j < part->c1; j++) {
            r->c[i * r->n + j] = c[(i - part->r0) * c_row + (j - part->c0)];
            r->given[i * r->n + j]++;
        }
}

/* Phases in order, the pieces of each one by one from the last, or all at once. */
static float *product(const nnc_tiles *t, const void *a, const void *b, bool backwards)
{
    nnc_work work;
    int64_t n = t->gemm.m * t->gemm.n, wrong = 0;
    nnc_tiles_plan(t, &work);
    void *workspace = aligned_alloc(64, (size_t)(work.workspace + 64) / 64 * 64);
    result r = {malloc((size_t)n * 4 + 1), t->gemm.n, calloc((size_t)n + 1, sizeof(int))};
    for (int phase = 0; phase < work.phases; phase++) {
        if (!backwards)
            nnc_tiles_run(t, a, b, workspace, phase, 0, work.pieces[phase], take, &r);
        for (int64_t i = work.pieces[phase] - 1; i >= 0 && backwards; i--)
            nnc_tiles_run(t, a, b, workspace, phase, i, i + 1, take, &r);
    }
    for (int64_t i = 0; i < n; i++)
        wrong += r.given[i] != 1;
    CHECK(wrong == 0);
    free(r.given);
    free(workspace);
    return r.c;
}

static nnc_tiles tiles_of(int64_t m, int64_t n, int64_t k, const operand *a, const operand *b)
{
    return (nnc_tiles){.gemm = {.m = m, .n = n, .k = k, .a_row = a->line, .a_col = a->step,
                                .b_row = b->step, .b_col = b->line, .activation = -1},
                       .a_wide = a->wide, .b_wide = b->wide};
}

static void check_product(int64_t m, int64_t n, int64_t k, int form)
{
    operand a = operand_new(m, k, form & 1, form & 2), b = operand_new(n, k, form & 4, form & 8);
    int64_t wrong = 0;
    operand_fill(&a, m, k, 0);
    operand_fill(&b, n, k, 1);
    nnc_tiles t = tiles_of(m, n, k, &a, &b);
    float *c = product(&t, a.block.data, b.block.data, form & 16);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t p = 0; p < k; p++)
                sum += (double)whole_number(i, p, 0) * whole_number(p, j, 1);
            wrong += c[i * n + j] != (float)sum;
        }
    CHECK(wrong == 0);
    free(c);
    operand_free(&a);
    operand_free(&b);
}

static void products_body(void)
{
    static const int64_t sizes[] = {1, 3, 7, 15, 17, 31, 33, 65, 130}, depths[] = {0, 1, 5, 64, 257};
    int form = 0;
    for (int m = 0; m < 9; m++)
        for (int n = 0; n < 9; n++)
            for (int k = 0; k < 5; k++)
                check_product(sizes[m], sizes[n], depths[k], form++ % 32);
    /* several pieces, several blocks of k, both; a wide piece */
    static const int64_t large[][3] = {{300, 40, 520}, {40, 300, 1030}, {290, 530, 513},
                                       {3, 1100, 70}, {600, 1100, 33}, {0, 5, 3}, {5, 0, 3},
                                       {2, 7000, 33}, {6, 2000, 65}, {40, 33, 2048}};
    for (int i = 0; i < 10; i++)
        for (int f = 0; f < 32; f += 9)
            check_product(large[i][0], large[i][1], large[i][2], f);
}

TEST(tiles_products_are_exact_on_whole_numbers)
{
    each_level(products_body);
}

/* One row of A times a column of B, k = 40: x at place 37, ones elsewhere. */
static float special(float x, float y, bool wide)
{
    operand a = operand_new(1, 40, true, wide), b = operand_new(1, 40, true, false);
    for (int64_t p = 0; p < 40; p++) {
        operand_put(&a, 0, p, p == 37 ? x : 0);
        operand_put(&b, 0, p, p == 37 ? y : 1);
    }
    nnc_tiles t = tiles_of(1, 1, 40, &a, &b);
    float *c = product(&t, a.block.data, b.block.data, false), value = c[0];
    free(c);
    operand_free(&a);
    operand_free(&b);
    return value;
}

static void special_body(void)
{
    for (int wide = 0; wide < 2; wide++) {
        CHECK(isnan(special(NAN, 1, wide)));
        CHECK(special(INFINITY, 2, wide) == INFINITY && special(-INFINITY, 2, wide) == -INFINITY);
        CHECK(isnan(special(INFINITY, 0, wide)));
        CHECK(special(0x1p-126f, 1, wide) == 0x1p-126f);        /* the smallest that counts */
        CHECK(special(0x1p-127f, 0x1p100f, wide) == 0);
        CHECK(special(0x1p-100f, 0x1p-27f, wide) == 0);         /* nor does a product below it */
        CHECK(special(0x1.fep127f, 2, wide) == INFINITY);
    }
    CHECK(special(0x1.01p0f, 1, true) == 1.0f);                 /* halfway: to even */
    CHECK(special(0x1.03p0f, 1, true) == 0x1.04p0f);
    CHECK(special(0x1.010002p0f, 1, true) == 0x1.02p0f);
}

TEST(tiles_special_numbers)
{
    each_level(special_body);
}

/* The first rows of a product are the product of the first rows, bit for bit, whichever form they
 * take: packed, as they lie, by as B streams. */
static void check_rows(int64_t n, int64_t k, bool a_wide, bool b_along, bool b_wide)
{
    enum { M = 300 };
    operand a = operand_new(M, k, true, a_wide), b = operand_new(n, k, b_along, b_wide);
    for (int64_t p = 0; p < k; p++) {
        for (int64_t i = 0; i < M; i++)
            operand_put(&a, i, p, sinf((float)(i * 31 + p * 7)));
        for (int64_t j = 0; j < n; j++)
            operand_put(&b, j, p, sinf((float)(j * 17 + p * 3)));
    }
    nnc_tiles t = tiles_of(M, n, k, &a, &b);
    float *all = product(&t, a.block.data, b.block.data, true);
    for (int64_t m = 1; m < M; m += m < 8 ? 1 : m < 40 ? 13 : 100) {
        t.gemm.m = m;
        float *some = product(&t, a.block.data, b.block.data, m & 1);
        CHECK(memcmp(all, some, (size_t)(m * n) * sizeof *some) == 0);
        free(some);
    }
    free(all);
    operand_free(&a);
    operand_free(&b);
}

static void rows_body(void)
{
    static const int64_t sizes[][2] = {{70, 1100}, {1, 33}, {17, 31}, {65, 15}, {300, 7}, {2100, 65}};
    for (int i = 0; i < 6; i++)
        for (int form = 0; form < 8; form++)
            check_rows(sizes[i][0], sizes[i][1], form & 1, form & 2, form & 4);
}

TEST(tiles_row_does_not_depend_on_the_others)
{
    each_level(rows_body);
}

/* A product whose pieces threads take as they come. */
typedef struct {
    const nnc_tiles *t;
    const void *a, *b;
    void *workspace;
    nnc_work work;
    atomic_llong taken[2];
    result r;
} shared;

static void take_pieces(void *argument, int thread, int threads)
{
    shared *s = argument;
    (void)threads;
    for (int phase = 0; phase < s->work.phases; phase++) {
        long long i;
        while ((i = atomic_fetch_add(&s->taken[phase], 1)) < s->work.pieces[phase])
            nnc_tiles_run(s->t, s->a, s->b, s->workspace, phase, i, i + 1, take, &s->r);
        nnc_pool_barrier(thread);
    }
}

static void threads_body(void)
{
    enum { M = 300, N = 530, K = 600 };
    operand a = operand_new(M, K, true, false), b = operand_new(N, K, true, true);
    operand_fill(&a, M, K, 0);
    operand_fill(&b, N, K, 1);
    nnc_tiles t = tiles_of(M, N, K, &a, &b);
    float *alone = product(&t, a.block.data, b.block.data, false);
    for (int threads = 2; threads <= 8; threads += 3) {
        shared s = {.t = &t, .a = a.block.data, .b = b.block.data,
                    .r = {malloc(M * N * sizeof(float)), N, calloc(M * N, sizeof(int))}};
        nnc_tiles_plan(&t, &s.work);
        s.workspace = aligned_alloc(64, (size_t)(s.work.workspace + 64) / 64 * 64);
        nnc_pool_run(take_pieces, &s, threads);
        CHECK(memcmp(alone, s.r.c, M * N * sizeof(float)) == 0);
        free(s.r.c);
        free(s.r.given);
        free(s.workspace);
    }
    nnc_pool_shutdown();
    free(alone);
    operand_free(&a);
    operand_free(&b);
}

TEST(tiles_on_many_threads)
{
    each_level(threads_body);
}

static void peak_body(void)
{
    CHECK(nnc_kernels->bf16->peak(10) == 0);
}

TEST(tiles_peak_runs)
{
    each_level(peak_body);
}
