/* test_int8.c - the 8-bit products of every level: exact for any size and for the extreme numbers,
 * with nothing read past the end of w; whole numbers of rows of any kind, NaN and Inf among them. */
#include "check.h"
#include "kernels/kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint32_t seed = 1;

static int draw(int n)
{
    seed = seed * 1664525u + 1013904223u;
    return (int)(seed >> 8) % n;
}

static void check_product(int m, int k, int n, int j0, int j1, bool extreme)
{
    int q_row = (k + 1) / 2 * 2, c_row = (j1 - j0 + 31) / 32 * 32, wrong = 0;
    int16_t *q = calloc((size_t)(m * q_row) + 1, sizeof *q);
    int8_t *w = malloc((size_t)(k * n));            /* the sanitizer sees a read past it */
    int32_t *c = malloc((size_t)(m * c_row) * sizeof *c);
    CHECK(q != NULL && w != NULL && c != NULL);
    for (int i = 0; i < m; i++)
        for (int p = 0; p < k; p++)
            q[i * q_row + p] = (int16_t)(extreme ? -127 : draw(255) - 127);
    for (int i = 0; i < k * n; i++)
        w[i] = (int8_t)(extreme ? -128 : draw(256) - 128);
    nnc_kernels->i8->gemm(q, m, k, w, n, j0, j1, c, c_row);
    for (int i = 0; i < m; i++)
        for (int j = j0; j < j1; j++) {
            int32_t sum = 0;
            for (int p = 0; p < k; p++)
                sum += q[i * q_row + p] * w[p * n + j];
            wrong += c[i * c_row + j - j0] != sum;
        }
    CHECK(wrong == 0);
    free(q), free(w), free(c);
}

static void each_level(void (*body)(void))
{
    CHECK(nnc_init() == NNC_OK);
    for (const char *const *name = nnc_isa_available(); *name != NULL; name++) {
        CHECK(nnc_isa_set(*name) == NNC_OK);
        body();
    }
}

static void products_body(void)
{
    static const int ks[] = {1, 2, 7, 8, 9, 33, 513};
    static const int ns[] = {1, 15, 16, 17, 40, 64};
    for (int m = 1; m <= 9; m += m < 7 ? 1 : 2)
        for (int a = 0; a < (int)(sizeof ks / sizeof *ks); a++)
            for (int b = 0; b < (int)(sizeof ns / sizeof *ns); b++) {
                check_product(m, ks[a], ns[b], 0, ns[b], false);
                if (ns[b] > 20)
                    check_product(m, ks[a], ns[b], 16, ns[b] - 3, false);
            }
    check_product(7, 1031, 33, 0, 33, true);        /* -127 * -128 each time */
    check_product(1, 1031, 33, 0, 33, true);
}

TEST(products_are_exact)
{
    each_level(products_body);
}

static void rows_body(void)
{
    float x[19];
    int16_t q[20];
    for (int k = 1; k <= 19; k++) {
        float largest = 0;
        for (int i = 0; i < k; i++) {
            x[i] = (float)(draw(2001) - 1000) / 37.0f;
            largest = fmaxf(largest, fabsf(x[i]));
        }
        float s = nnc_kernels->i8->quantize(x, q, k, -127, 127, 1e-7f);
        CHECK(s == 127.0f / (largest + 1e-7f));
        for (int i = 0; i < k; i++)
            CHECK(q[i] == (int16_t)rintf(x[i] * s));
        CHECK(k % 2 == 0 || q[k] == 0);
    }
    x[3] = NAN;
    CHECK(isnan(nnc_kernels->i8->quantize(x, q, 19, -127, 127, 1e-7f)));
    x[3] = -INFINITY;
    CHECK(nnc_kernels->i8->quantize(x, q, 19, -127, 127, 1e-7f) == 0);
    memset(x, 0, sizeof x);
    CHECK(nnc_kernels->i8->quantize(x, q, 19, -127, 127, 0) == INFINITY && q[0] == 0);
}

TEST(rows_become_whole_numbers)
{
    each_level(rows_body);
}
