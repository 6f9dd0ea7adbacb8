/* peak.c - how many fused multiply-adds a second this processor does in float32, on all threads.
 * Twelve independent chains of full vectors keep two FMA units with a latency of four or five
 * cycles busy.
 * Build: cc -O2 -march=native -ffp-contract=fast peak.c -o peak -lpthread.  Run: peak THREADS. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifdef __AVX512F__
enum { BYTES = 64 };
#else
enum { BYTES = 32 };
#endif
enum { LANES = BYTES / 4, CHAINS = 12, STEPS = 10000000, REPEATS = 3, MAX_THREADS = 256 };

typedef float vector __attribute__((vector_size(BYTES)));

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

static void *work(void *out)
{
    vector b = {0}, c = {0}, sum = {0};
    b += 0.999f;
    c += 1e-3f;
#define DECLARE(i) vector a##i = {i * 0.1f};
    EACH(DECLARE)
    for (long k = 0; k < STEPS; k++) {
#define STEP(i) a##i = a##i * b + c;
        EACH(STEP)
        __asm__ volatile("" : "+m"(*(char *)out));  /* keeps the loop */
    }
#define ADD(i) sum += a##i;
    EACH(ADD)
    for (int i = 0; i < LANES; i++)
        *(float *)out += sum[i];
    return NULL;
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 1;
    pthread_t id[MAX_THREADS];
    static float sink[MAX_THREADS][16];
    double best = 0;

    if (threads < 1 || threads > MAX_THREADS)
        return 2;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        double start = now();
        for (int i = 0; i < threads; i++)
            if (pthread_create(&id[i], NULL, work, sink[i]))
                return 1;
        for (int i = 0; i < threads; i++)
            pthread_join(id[i], NULL);
        double flops = 2.0 * threads * STEPS * CHAINS * LANES / (now() - start);
        if (flops > best)
            best = flops;
    }
    printf("%.1f\n", best * 1e-9);
    return 0;
}
