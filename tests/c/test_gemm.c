/* test_gemm.c - the matrix product of every level, float32 and float64: exact on whole numbers at
 * many sizes and layouts, within the error bound on real ones; the same bits for any cut and for
 * any number of rows; NaN and Inf; no read or write past an end. */
#define _GNU_SOURCE
#include "check.h"
#include "kernels/blocksizes.h"
#include "kernels/kernels.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CANARY 0x5a

static int told;    /* failures described in detail: a few are enough */

/* A block that ends where a page without access begins, and has canaries before it. */
typedef struct {
    void *data, *pages;
    int64_t bytes;
    size_t size;
} guarded;

static guarded guarded_new(int64_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    guarded x = {NULL, NULL, bytes, ((size_t)bytes + 64 + page - 1) / page * page};
    x.pages = mmap(NULL, x.size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(x.pages != MAP_FAILED);
    CHECK(mprotect((char *)x.pages + x.size, page, PROT_NONE) == 0);
    x.data = (char *)x.pages + x.size - bytes;
    memset((char *)x.data - 64, CANARY, 64);
    return x;
}

static bool guarded_front_untouched(const guarded *x)
{
    for (int i = 1; i <= 64; i++)
        if (((const unsigned char *)x->data)[-i] != CANARY)
            return false;
    return true;
}

static void guarded_free(guarded *x)
{
    munmap(x->pages, x->size + (size_t)sysconf(_SC_PAGESIZE));
}

/* Whole numbers from -4 to 4: 2100 products of two are below 2^24. */
static double whole_number(int64_t row, int64_t column, int which)
{
    uint64_t bits = (uint64_t)(row * 2654435761u + column * 40503 + which * 97);
    bits ^= bits >> 13;
    return (double)(bits * 2246822519u % 9) - 4;
}

/* Numbers in (-1, 1) with all bits of a float in use. */
static double real_number(int64_t row, int64_t column, int which)
{
    uint64_t bits = (uint64_t)(row * 1000003 + column * 7919 + which * 31 + 1);
    bits *= 0x9e3779b97f4a7c15u;
    bits ^= bits >> 29;
    bits *= 0xbf58476d1ce4e5b9u;
    return (double)(int64_t)bits / 9.3e18;
}

/* How the pieces of a phase are run: one call; one by one from the last; the later half first. */
enum { FORWARDS, BACKWARDS, HALVES };

#define REAL float
#define KERNELS nnc_kernels->f32
#define T(name) name##_f32
#include "gemm_cases.inc"
#undef REAL
#undef KERNELS
#undef T
#define REAL double
#define KERNELS nnc_kernels->f64
#define T(name) name##_f64
#include "gemm_cases.inc"

/* Walks the levels that this processor has. */
static const char *level(int i)
{
    const char *name = nnc_isa_available()[i];
    if (name)
        CHECK(nnc_isa_set(name) == NNC_OK);
    return name;
}

/* sums = a b, a row of b at a time: each number is made once. */
static void multiply_whole_numbers(int64_t m, int64_t n, int64_t k, double *sums)
{
    double *row = malloc((size_t)n * sizeof *row);
    memset(sums, 0, (size_t)(m * n) * sizeof *sums);
    for (int64_t q = 0; q < k; q++) {
        for (int64_t j = 0; j < n; j++)
            row[j] = whole_number(q, j, 1);
        for (int64_t i = 0; i < m; i++) {
            double x = whole_number(i, q, 0);
            for (int64_t j = 0; j < n; j++)
                sums[i * n + j] += x * row[j];
        }
    }
    free(row);
}

/* Layouts and options take turns, so that each meets each size modulo the vector and the tile. */
static void check_size(int64_t m, int64_t n, int64_t k)
{
    static int turn;
    double *sums = malloc((size_t)(m * n) * sizeof *sums);
    multiply_whole_numbers(m, n, k, sums);
    for (int i = 0; level(i); i++)
        for (int layout = 0; layout < 4; layout++) {
            turn++;
            check_exact_f32(m, n, k, sums, layout + 4 * (turn % 16));
            check_exact_f64(m, n, k, sums, layout + 4 * ((turn + 5) % 16));
        }
    free(sums);
}

TEST(gemm_is_exact_on_whole_numbers)
{
    static const int64_t sizes[] = {1, 3, 7, 15, 17, 31, 33, 65, 130};
    static const int64_t depths[] = {0, 1, 5, 64, 257};
    for (int m = 0; m < 9; m++)
        for (int n = 0; n < 9; n++)
            for (int k = 0; k < 5; k++)
                check_size(sizes[m], sizes[n], depths[k]);
}

TEST(gemm_is_exact_on_long_sums)
{
    static const int64_t sizes[] = {1, 4, 15, 33}, depths[] = {1025, 2100};
    for (int m = 0; m < 4; m++)
        for (int n = 0; n < 4; n++)
            for (int k = 0; k < 2; k++)
                check_size(sizes[m], sizes[n], depths[k]);
}

/* A few rows by a B that is larger than a cache read it in its order. */
TEST(gemm_is_exact_on_few_rows)
{
    for (int64_t m = 2; m <= 7; m++)
        check_size(m, 1100 + m, 520);
}

/* A few columns by a turned A that is large: its rows go by. */
TEST(gemm_is_exact_on_few_columns)
{
    for (int64_t n = 1; n <= 7; n++)
        check_size(1100 + n, n, 270);
}

/* One column: eight rows of A at a time, or as a row. */
TEST(gemm_is_exact_on_one_column)
{
    static const int64_t depths[] = {2, 7, 8, 14, 41, 520, 1100};
    for (int64_t m = 1; m <= 75; m += m < 20 ? 1 : 11)
        for (int k = 0; k < 7; k++)
            check_size(m, 1, depths[k]);
}

/* One row or two, whichever way B runs. */
TEST(gemm_is_exact_on_one_or_two_rows)
{
    static const int64_t depths[] = {3, 14, 90, 530};
    for (int64_t n = 1; n <= 100; n += n < 26 ? 1 : 13)
        for (int k = 0; k < 4; k++) {
            check_size(1, n, depths[k]);
            check_size(2, n, depths[k]);
        }
    check_size(2, 90, 512);             /* columns that clash */
    check_size(1, 90, 512);
}

/* A few steps of k go row after row of C. */
TEST(gemm_is_exact_on_few_steps)
{
    for (int64_t k = 1; k <= 9; k++)
        for (int64_t n = 60 + k; n < 600; n += 61)
            check_size(3 + k, n, k);
    check_size(2, 8192 / 3 + 5, 6);     /* more of B than stays near */
    check_size(2, 4101, 1);
}

/* Operands of large products are copied in a phase before: whole, or for parts of k. */
TEST(gemm_is_exact_where_operands_are_copied_before)
{
    nnc_gemm large = {521, 401, 3611, 3611, 1, 401, 1, 401, -1, 0, 0, 0, 0, 0, NULL};
    nnc_work work;
    for (int i = 0; level(i); i++) {
        nnc_kernels->f32->gemm_plan(&large, &work);
        CHECK(work.phases == 2 && work.workspace >= 4 * 401 * 3611);    /* of b, at least */
        nnc_region none = nnc_kernels->f32->gemm_region(&large, 0, 0);
        CHECK(none.r0 == none.r1);
        nnc_region first = nnc_kernels->f32->gemm_region(&large, 1, 0);
        CHECK(first.r0 < first.r1 && first.c0 < first.c1);
    }
    check_size(521, 401, 3611);
    check_size(100, 101, 20100);
}

TEST(gemm_tiles_of_every_size)
{
    for (int64_t m = 1; m <= 15; m++)
        for (int64_t n = 1; n <= 36; n++)
            check_size(m, n, 9);
}

TEST(gemm_bounds_pieces_and_special_numbers)
{
    for (int i = 0; level(i); i++) {
        check_shapes_f32();
        check_shapes_f64();
    }
}

TEST(gemm_row_does_not_depend_on_the_others)
{
    static const int64_t columns[] = {1, 2, 7, 10, 20, 24, 31, 64, 100, 300};
    static const int64_t depths[] = {1, 6, 7, 50, 300, 784, 1500};
    for (int i = 0; level(i); i++) {
        check_rows_f32(1100, 530, false);   /* few rows of a large B */
        check_rows_f32(2000, 2900, i % 2);  /* A is copied before, where there are many rows */
        for (int n = 0; n < 10; n++)
            for (int k = 0; k < 7; k++) {
                check_rows_f32(columns[n], depths[k], (n + k) % 2);
                check_rows_f64(columns[n], depths[k], (n + k) % 2);
            }
    }
}

/* A long k with few rows and columns must be cut for the pool where A is turned; else only by the
 * blocks of the sum, and not into too many. */
TEST(gemm_cuts_long_sums)
{
    nnc_gemm turned = {64, 32, 50000, 1, 64, 32, 1, 32, -1, 0, 0, 0, 0, 0, NULL};
    nnc_gemm plain = {64, 32, 50000, 50000, 1, 32, 1, 32, -1, 0, 0, 0, 0, 0, NULL};
    nnc_work work;
    for (int i = 0; level(i); i++) {
        nnc_kernels->f32->gemm_plan(&turned, &work);
        CHECK(work.phases == 2 && work.workspace > 0 && work.pieces[0] >= 8);
        nnc_kernels->f32->gemm_plan(&plain, &work);
        CHECK(work.phases == 1);
        nnc_gemm narrow = {64, 2 * nnc_kernels->f32->lanes, 784, 784, 1, 0, 1, 0, -1, 0, 0, 0, 0, 0, NULL};
        narrow.b_row = narrow.ldc = narrow.n;
        nnc_kernels->f32->gemm_plan(&narrow, &work);
        CHECK(work.phases == 2 && work.pieces[0] >= 2 && work.pieces[1] == 1);
        narrow.m = 256;
        nnc_kernels->f32->gemm_plan(&narrow, &work);
        CHECK(work.phases == 1 && work.pieces[0] >= 2);
        narrow.most_rows = 40;
        nnc_kernels->f32->gemm_plan(&narrow, &work);
        CHECK(work.phases == 1 && work.pieces[0] >= 7);
        nnc_region first = nnc_kernels->f32->gemm_region(&narrow, 0, 0);
        CHECK(first.r0 == 0 && first.r1 > 0 && first.r1 <= 40 && first.c1 == narrow.n);
    }
}

TEST(gemm_blocksizes_are_listed_for_every_level)
{
    for (int i = 0; level(i); i++) {
        const nnc_blocksizes *sizes = nnc_blocksizes_find(nnc_kernels->f32->level);
        CHECK(sizes && sizes->bytes == nnc_kernels->f32->lanes * 4);
        CHECK(sizes && sizes->nv >= 1 && sizes->mr[sizes->nv] >= 1 && sizes->kc >= 1);
    }
    CHECK(nnc_blocksizes_find("none such") == NULL);
}
