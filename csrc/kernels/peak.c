/* peak.c - what the machine gives, measured: multiply-adds a second, of which shares of a peak are
 * taken, and the time of a barrier, which every dependence between threads costs. */
#include "kernels.h"

#include <math.h>
#include <time.h>

enum { ROUNDS = 4096, SUMS = 12 };

typedef struct {
    nnc_dtype dtype;
    double seconds;
    _Atomic double rate;        /* operations a second, of all threads */
    _Atomic double kept;        /* so that the work is not left out */
} measuring;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void add(_Atomic double *total, double more)
{
    double before = atomic_load(total);
    while (!atomic_compare_exchange_weak(total, &before, before + more))
        ;
}

/* One turn; returns how many operations it was. */
static double turn(nnc_dtype dtype, double *kept)
{
    enum { OF_TILES = 1 << 16 };
    if (dtype == NNC_BF16 && nnc_kernels->bf16 != NULL) {
        *kept += (double)nnc_kernels->bf16->peak(ROUNDS / 16);
        return (double)OF_TILES * (ROUNDS / 16);
    }
    bool f64 = dtype == NNC_F64;
    *kept += f64 ? nnc_kernels->f64->peak(ROUNDS) : (double)nnc_kernels->f32->peak(ROUNDS);
    return 2.0 * SUMS * ROUNDS * (f64 ? nnc_kernels->f64->lanes : nnc_kernels->f32->lanes);
}

/* The quickest of the turns that fit into the time, on each thread. */
static void measure(void *argument, int thread, int threads)
{
    measuring *m = argument;
    double best = 0, kept = 0, began;
    (void)threads;
    nnc_pool_barrier(thread);
    began = now();
    do {
        double start = now();
        double operations = turn(m->dtype, &kept), rate = operations / (now() - start + 1e-9);
        best = rate > best ? rate : best;
    } while (now() - began < m->seconds);
    add(&m->rate, best);
    add(&m->kept, kept);
}

nnc_status nnc_peak_rate(nnc_dtype dtype, double seconds, double *out)
{
    measuring m = {.dtype = dtype, .seconds = seconds};
    if (dtype != NNC_F32 && dtype != NNC_F64 && dtype != NNC_BF16)
        return nnc_fail(NNC_EVALUE, "peak_rate: dtype must be float32, float64 or bfloat16. "
                        "Received: %s", nnc_dtype_name(dtype));
    nnc_pool_run(measure, &m, nnc_pool_threads());
    *out = atomic_load(&m.rate);
    return NNC_OK;
}

enum { BARRIERS = 200, BARRIER_TURNS = 20 };

/* The quickest turn: a thread that the system holds up says nothing about the barrier. */
static void measure_barrier(void *argument, int thread, int threads)
{
    double best = INFINITY;
    (void)threads;
    for (int turn = 0; turn < BARRIER_TURNS; turn++) {
        double start = now();
        for (int i = 0; i < BARRIERS; i++)
            nnc_pool_barrier(thread);
        double t = (now() - start) / BARRIERS;
        best = t < best ? t : best;
    }
    if (thread == 0)
        *(double *)argument = best;
}

double nnc_barrier_time(void)
{
    double seconds = 0;
    if (nnc_pool_threads() > 1)
        nnc_pool_run(measure_barrier, &seconds, nnc_pool_threads());
    return seconds;
}
