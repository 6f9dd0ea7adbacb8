/* gemm.c - times the matrix product alone: GFLOP/s a shape and layout, beside the processor's peak
 * measured just before it (multiply-adds on registers, the instruction set's best).
 *
 *     make -C csrc
 *     gcc -O2 -Icsrc benchmarks/gemm.c csrc/build/libnnc.a -lm -lpthread -o /tmp/gemm
 *     /tmp/gemm [threads] [M N K]...          NNC_ISA=... picks the level
 *
 * Layouts: NN forward, NT the input's gradient, TN the weight's. A figure is the best of many
 * samples within 0.1 s of 20 us or more each; the median is beside it, for on a shared machine the
 * two differ. One thread is timed by its own processor time, which leaves out when others had the
 * processor; several by the clock on the wall. */
#define _GNU_SOURCE
#include "kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST_RUNS 4000
#define BUDGET_NS 100e6
#define SAMPLE_NS 20e3

static clockid_t clock_used = CLOCK_MONOTONIC;

static double now(void)
{
    struct timespec t;
    clock_gettime(clock_used, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static bool half;               /* bfloat16 instead of float32 */

/* GFLOP/s of one thread in products of bfloat16, on registers. */
static double half_peak(void)
{
    enum { ROUNDS = 2000, OPERATIONS = 1 << 16 };
    volatile float keep;
    double best = 0;
    for (int i = 0; i < 5; i++) {
        double t = now();
        keep = nnc_kernels->bf16->peak(ROUNDS);
        double rate = (double)OPERATIONS * ROUNDS / (now() - t);
        best = rate > best ? rate : best;
    }
    (void)keep;
    return best;
}

/* GFLOP/s of one thread, by the best instruction set that there is, whichever is timed. */
static double peak(void)
{
    enum { ROUNDS = 100000, SUMS = 12 };    /* chains in the kernels' loop */
    if (half && nnc_kernels->bf16 != NULL)
        return half_peak();
    const char *used = nnc_isa_name();
    const char *const *level = nnc_isa_available();
    volatile float keep;
    double best = 0;
    while (level[1] != NULL)
        level++;
    if (nnc_isa_set(*level) != NNC_OK)
        return 0;
    for (int i = 0; i < 5; i++) {
        double t = now();
        keep = nnc_kernels->f32->peak(ROUNDS);
        double rate = 2.0 * SUMS * nnc_kernels->f32->lanes * ROUNDS / (now() - t);
        best = rate > best ? rate : best;
    }
    (void)keep;
    return nnc_isa_set(used) == NNC_OK ? best : 0;
}

typedef struct {
    nnc_gemm g;
    nnc_work work;
    float *a, *b, *c;
    void *workspace;
    atomic_llong next[NNC_MAX_PHASES];
    nnc_call *call;             /* of 16-bit floats: by way of the op; NULL: the kernel */
} product;

static void run_pieces(product *p, int phase, int64_t begin, int64_t end)
{
    if (p->call != NULL)
        nnc_ops[NNC_OP_matmul].run(p->call, phase, begin, end);
    else
        nnc_kernels->f32->gemm_run(&p->g, p->a, p->b, NULL, p->c, p->workspace, phase, begin, end);
}

static void take_pieces(void *argument, int thread, int threads)
{
    product *p = argument;
    for (int phase = 0; phase < p->work.phases; phase++) {
        long long piece;
        while ((piece = atomic_fetch_add(&p->next[phase], 1)) < p->work.pieces[phase])
            run_pieces(p, phase, piece, piece + 1);
        if (threads > 1 && phase + 1 < p->work.phases)
            nnc_pool_barrier(thread);
    }
}

/* As an op does: a product that is one piece wakes nobody. */
static void run_once(product *p, int threads)
{
    if (threads == 1 || (p->work.phases == 1 && p->work.pieces[0] <= 1)) {
        for (int phase = 0; phase < p->work.phases; phase++)
            run_pieces(p, phase, 0, p->work.pieces[phase]);
    } else {
        memset(p->next, 0, sizeof p->next);
        nnc_pool_run(take_pieces, p, threads);
    }
}

/* Nanoseconds of one run, the mean of `repeats`. */
static double time_runs(product *p, int threads, int repeats)
{
    double began = now();
    for (int i = 0; i < repeats; i++)
        run_once(p, threads);
    return (now() - began) / repeats;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void time_layout(const char *layout, int64_t m, int64_t n, int64_t k, int threads, float *a,
                        float *b, float *c)
{
    static double times[MOST_RUNS];
    product p = {.g = {m, n, k, k, 1, n, 1, n, -1, 0}, .a = a, .b = b, .c = c};
    if (layout[0] == 'T')
        p.g.a_row = 1, p.g.a_col = m;
    if (layout[1] == 'T')
        p.g.b_row = 1, p.g.b_col = k;
    nnc_attrs attrs = {.k = {layout[0] == 'T', layout[1] == 'T'}};
    nnc_array in[2] = {{a, NNC_BF16, {2, {attrs.k[0] ? k : m, attrs.k[0] ? m : k}}},
                       {b, NNC_BF16, {2, {attrs.k[1] ? n : k, attrs.k[1] ? k : n}}}};
    nnc_call call = {.op = NNC_OP_matmul, .input_count = 2, .output_count = 1, .attrs = &attrs,
                     .in = in, .out = {{c, NNC_BF16, {2, {m, n}}}}};
    if (half) {
        p.call = &call;
        nnc_ops[NNC_OP_matmul].plan(&call, &call.work);
        p.work = call.work;
    } else {
        nnc_kernels->f32->gemm_plan(&p.g, &p.work);
    }
    if (nnc_alloc(p.work.workspace, &p.workspace) != NNC_OK)
        return;
    call.workspace = p.workspace;
    double roof = peak() * threads, began = now();
    int runs = 0, repeats = 1 + (int)(SAMPLE_NS / (time_runs(&p, threads, 3) + 1));
    while (runs < MOST_RUNS && (runs < 5 || now() - began < BUDGET_NS))
        times[runs++] = time_runs(&p, threads, repeats);
    qsort(times, (size_t)runs, sizeof times[0], by_value);
    double flops = 2.0 * (double)m * (double)n * (double)k, best = flops / times[0];
    printf("  %s %8.3f (%8.3f) %3.0f%%", layout, best, flops / times[runs / 2],
           roof > 0 ? 100 * best / roof : 0);
    if (layout[0] == 'N' && layout[1] == 'N')
        printf(" [%3lld pieces, %8.1f us]", (long long)p.work.pieces[0], times[0] / 1e3);
    nnc_free(p.workspace);
}

static const int64_t usual[][3] = {
    {128, 512, 784}, {128, 512, 512}, {64, 512, 128},   {32, 20, 784},   {784, 20, 32},
    {32, 20, 20},    {128, 10, 512},  {128, 128, 128},  {256, 256, 256}, {512, 512, 512},
    {1024, 1024, 1024}, {2048, 192, 192}, {2048, 768, 192}, {2048, 192, 768}, {192, 768, 2048},
    {784, 512, 128}, {1, 512, 784},   {1, 20, 784},     {1, 4096, 4096}, {8, 512, 784},
};

static void put(float *x, int64_t i, float value)
{
    if (half)
        nnc_convert(&value, NNC_F32, (uint16_t *)x + i, NNC_BF16, 1);
    else
        x[i] = value;
}

static int time_shape(int64_t m, int64_t n, int64_t k, int threads)
{
    static const char *layouts[] = {"NN", "NT", "TN"};
    nnc_status status;
    float *a = NULL, *b = NULL, *c = NULL;
    NNC_TRY(nnc_alloc(m * k * 4, &a));
    NNC_TRY(nnc_alloc(k * n * 4, &b));
    NNC_TRY(nnc_alloc(m * n * 4, &c));
    for (int64_t i = 0; i < m * k; i++)
        put(a, i, (float)(i % 13) - 6);
    for (int64_t i = 0; i < k * n; i++)
        put(b, i, (float)(i % 11) - 5);
    printf("%5lld %5lld %5lld ", (long long)m, (long long)n, (long long)k);
    for (int l = 0; l < 3; l++)
        time_layout(layouts[l], m, n, k, threads, a, b, c);
    printf("\n");
    fflush(stdout);
done:
    nnc_free(a);
    nnc_free(b);
    nnc_free(c);
    return status == NNC_OK ? 0 : 1;
}

int main(int count, char **words)
{
    int threads = count > 1 ? atoi(words[1]) : 1, failed = 0;
    half = count > 2 && strcmp(words[2], "bfloat16") == 0;
    count -= half;
    words += half;
    if (nnc_init() != NNC_OK || threads < 1 || nnc_pool_set_threads(threads) != NNC_OK) {
        fprintf(stderr, "%s\n", nnc_error_text());
        return 1;
    }
    if (threads == 1)
        clock_used = CLOCK_THREAD_CPUTIME_ID;
    printf("level %s, %d thread(s), peak %.1f GFLOP/s a thread; best (median) %% of peak\n"
           "    M     N     K\n", nnc_isa_name(), threads, peak());
    if (count > 4)
        for (int i = 2; i + 2 < count; i += 3)
            failed |= time_shape(atoll(words[i]), atoll(words[i + 1]), atoll(words[i + 2]),
                                 threads);
    else
        for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
            failed |= time_shape(usual[i][0], usual[i][1], usual[i][2], threads);
    return failed;
}
