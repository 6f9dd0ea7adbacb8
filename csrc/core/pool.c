/* pool.c - the threads that work is spread over, and the poll for interrupts. Workers are made
 * when first needed and stay. A run wakes its team along a tree of FAN branches: each thread tells
 * its children, then works. A word tells one thing to whoever waits for it: it spins, for what
 * comes soon; yields; then marks the word with SLEEPER and sleeps on it (wait.h), and the one who
 * changes a marked word wakes the sleepers. So an idle pool costs nothing, and more threads than
 * processors only cost switches. Words that different threads write lie LINE bytes apart. */
#define _GNU_SOURCE
#include "core/cpus.h"
#include "core/wait.h"
#include "nnc.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    MOST_THREADS = 256,
    FAN = 4,
    LINE = 128,             /* processors fetch cache lines in pairs */
    MOST_SPINS = 2000,      /* pauses: 25 to 100 us, more than lies between two eager ops */
    LEAST_SPINS = 32,
    SOON_NS = 200000,       /* a wait that MOST_SPINS or about as much more would have covered */
    YIELDS = 8
};

/* ---- words to wait for ---- */

#define SLEEPER 0x80000000u

static atomic_bool crowded;     /* more threads than processors: to spin would hold up the others */

static void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

/* How many pauses this thread spins: twice as many after a wait that spinning ended, or would
 * have; half as many after a long one, and after a change seen right behind a yield, which says
 * that whoever made it had been waiting for this processor, kept from it by the spinning. */
static _Thread_local int patience = MOST_SPINS;

static int64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void adapt(int spins, bool soon)
{
    if (soon)
        patience = spins < MOST_SPINS / 2 ? 2 * spins : MOST_SPINS;
    else
        patience = spins > 2 * LEAST_SPINS ? spins / 2 : LEAST_SPINS;
}

/* Waits until the word is no longer `old`; returns what it is. */
static unsigned wait_change(atomic_uint *word, unsigned old)
{
    int spins = atomic_load_explicit(&crowded, memory_order_relaxed) ? 0 : patience;
    int64_t sleeps_since = 0;
    for (int turn = 0;; turn += turn < spins + YIELDS) {
        unsigned value = atomic_load_explicit(word, memory_order_acquire);
        if ((value & ~SLEEPER) != old) {
            if (turn > 0 && spins > 0)
                adapt(spins, sleeps_since ? clock_ns() < sleeps_since + SOON_NS : turn <= spins);
            return value & ~SLEEPER;
        }
        if (turn < spins) {
            pause_briefly();
        } else if (turn < spins + YIELDS) {
            sched_yield();
        } else if (value == (old | SLEEPER) ||
                   atomic_compare_exchange_strong(word, &value, old | SLEEPER)) {
            if (sleeps_since == 0 && spins > 0)
                sleeps_since = clock_ns();
            nnc_wait_word(word, old | SLEEPER);
        }
    }
}

static void change(atomic_uint *word, unsigned value)
{
    if (atomic_exchange_explicit(word, value, memory_order_acq_rel) & SLEEPER)
        nnc_wake_word(word);
}

/* ---- the pool ---- */

enum { IDLE = 0, EXIT = MOST_THREADS + 1 };     /* a worker's word; else the size of its team */

static struct {
    _Alignas(LINE) atomic_uint word;
    pthread_t thread;
} workers[MOST_THREADS];                        /* worker i is thread i + 1 of a team */
static int worker_count;                        /* these three: the holder of `busy` */
static atomic_bool refused;                     /* the system gave fewer than asked for */
static struct {
    nnc_pool_task *task;
    void *argument;
    int processor;                              /* that the caller was on when the run began */
} run;

static _Alignas(LINE) atomic_bool busy;                     /* a run is on */
static _Alignas(LINE) atomic_int working;                   /* workers not finished */
static _Alignas(LINE) atomic_uint finished;                 /* changes when all have */
static _Alignas(LINE) atomic_int arrived;                   /* at the barrier */
static _Alignas(LINE) atomic_uint barrier;                  /* changes when all have */

static _Alignas(LINE) pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;     /* held briefly */
static pthread_once_t fork_handlers = PTHREAD_ONCE_INIT;
static atomic_int wanted;                       /* threads by default; 0: not looked up yet */
static _Atomic(const char *) reason;
static int allowed;                             /* processors */

static _Thread_local int team_here;     /* size of the team that this thread works in, 0: none */

static _Thread_local struct {
    nnc_poll_fn *ask;
    void *argument;
    int64_t next;                               /* ms */
    bool stop, asking;
} poll;

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void after_fork_parent(void)
{
    pthread_mutex_unlock(&lock);
}

/* The workers do not exist here. If the thread that forked was in the middle of a run (from its
 * poll), the run is broken off: nobody is waited for, and the poll says stop. */
static void after_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
    nnc_wait_reset();
    for (int i = 0; i < worker_count; i++)
        atomic_store(&workers[i].word, IDLE);
    worker_count = 0;
    atomic_store(&refused, false);
    atomic_store(&busy, false);
    atomic_store(&working, 0);
    atomic_store(&arrived, 0);
    atomic_store(&barrier, 0);
    atomic_store(&finished, (atomic_load(&finished) & ~SLEEPER) ^ 1);
    if (team_here > 1) {
        team_here = 1;
        poll.stop = true;
    }
}

static void install_fork_handlers(void)
{
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static void take_lock(void)
{
    pthread_once(&fork_handlers, install_fork_handlers);
    pthread_mutex_lock(&lock);
}

static void wake_children(int thread, int team)
{
    for (int child = FAN * thread + 1; child <= FAN * thread + FAN && child < team; child++)
        change(&workers[child - 1].word, (unsigned)team);
}

#if defined(__linux__)
/* A thread that was woken often finds itself on the processor of whoever woke it, and there it
 * stays for milliseconds: both then run at half speed. It leaves by giving that processor up for a
 * moment. */
static void step_aside(void)
{
    cpu_set_t all, others;
    int here = sched_getcpu();
    if (here < 0 || here != run.processor || atomic_load_explicit(&crowded, memory_order_relaxed) ||
        sched_getaffinity(0, sizeof all, &all) != 0)
        return;
    others = all;
    CPU_CLR(here, &others);
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof others, &others) == 0)
        sched_setaffinity(0, sizeof all, &all);
}
#else
static void step_aside(void)
{
}
#endif

static void *work(void *argument)
{
    int thread = (int)(intptr_t)argument;
    atomic_uint *word = &workers[thread - 1].word;
    for (;;) {
        unsigned team = wait_change(word, IDLE);
        if (team == EXIT)
            return NULL;
        atomic_store_explicit(word, IDLE, memory_order_relaxed);    /* next told after this run */
        wake_children(thread, (int)team);
        step_aside();
        team_here = (int)team;
        run.task(run.argument, thread, (int)team);
        team_here = 0;
        if (atomic_fetch_sub_explicit(&working, 1, memory_order_acq_rel) == 1) {
            unsigned was = atomic_load_explicit(&finished, memory_order_relaxed) & ~SLEEPER;
            change(&finished, was ^ 1);
        }
    }
}

/* Signals are for the embedder's threads, but for those that a fault in our own code raises. */
static bool start_worker(int thread)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        sigdelset(&blocked, own[i]);
    atomic_store_explicit(&workers[thread - 1].word, IDLE, memory_order_relaxed);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int error = pthread_create(&workers[thread - 1].thread, NULL, work, (void *)(intptr_t)thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
#if defined(__linux__)
    if (error == 0)
        pthread_setname_np(workers[thread - 1].thread, "nnc-worker");
#endif
    return error == 0;
}

/* Sees to it that there are `threads` if possible; returns how many a team may have. */
static int prepare_team(int threads)
{
    threads = threads < MOST_THREADS ? threads : MOST_THREADS;
    if (worker_count < threads - 1 && !atomic_load_explicit(&refused, memory_order_relaxed)) {
        nnc_pool_threads();             /* sets `allowed` */
        take_lock();
        while (worker_count < threads - 1 && start_worker(worker_count + 1))
            worker_count++;
        if (worker_count < threads - 1)
            atomic_store(&refused, true);
        pthread_mutex_unlock(&lock);
    }
    return threads <= worker_count ? threads : worker_count + 1;
}

static void run_alone(nnc_pool_task *task, void *argument)
{
    int outer = team_here;
    team_here = 1;
    task(argument, 0, 1);
    team_here = outer;
}

static void run_team(nnc_pool_task *task, void *argument, int team)
{
    run.task = task;
    run.argument = argument;
#if defined(__linux__)
    run.processor = sched_getcpu();
#endif
    atomic_store_explicit(&crowded, team > allowed, memory_order_relaxed);
    atomic_store_explicit(&working, team - 1, memory_order_relaxed);
    unsigned was = atomic_load_explicit(&finished, memory_order_relaxed) & ~SLEEPER;
    team_here = team;
    wake_children(0, team);
    task(argument, 0, team);
    team_here = 0;
    wait_change(&finished, was);
}

void nnc_pool_run(nnc_pool_task *task, void *argument, int threads)
{
    if (threads <= 1 || team_here > 0 ||
        atomic_exchange_explicit(&busy, true, memory_order_acquire)) {
        run_alone(task, argument);
        return;
    }
    int team = prepare_team(threads);
    if (team > 1)
        run_team(task, argument, team);
    else
        run_alone(task, argument);
    atomic_store_explicit(&busy, false, memory_order_release);
}

void nnc_pool_barrier(int thread)
{
    nnc_pool_barrier_then(thread, NULL, NULL);
}

void nnc_pool_barrier_then(int thread, void (*action)(void *argument), void *argument)
{
    (void)thread;
    if (team_here <= 1) {
        if (action != NULL)
            action(argument);
        return;
    }
    unsigned was = atomic_load_explicit(&barrier, memory_order_relaxed) & ~SLEEPER;
    if (atomic_fetch_add_explicit(&arrived, 1, memory_order_acq_rel) == team_here - 1) {
        atomic_store_explicit(&arrived, 0, memory_order_relaxed);
        if (action != NULL)
            action(argument);
        change(&barrier, (was + 1) & ~SLEEPER);
    } else {
        wait_change(&barrier, was);
    }
}

void nnc_pool_shutdown(void)
{
    if (team_here > 0)
        return;
    while (atomic_exchange_explicit(&busy, true, memory_order_acquire))
        sched_yield();
    take_lock();
    for (int i = 0; i < worker_count; i++)
        change(&workers[i].word, EXIT);
    for (int i = 0; i < worker_count; i++)
        pthread_join(workers[i].thread, NULL);
    worker_count = 0;
    atomic_store(&refused, false);
    pthread_mutex_unlock(&lock);
    atomic_store_explicit(&busy, false, memory_order_release);
}

/* ---- how many threads ---- */

/* The value of an environment variable: a number from 1 on, of a list the first. 0: not set; -1:
 * garbage. */
static int number_from(const char *variable)
{
    const char *text = getenv(variable);
    char *end;
    if (text == NULL || *text == '\0')
        return 0;
    long value = strtol(text, &end, 10);
    while (*end == ' ' || *end == '\t')
        end++;
    if (end == text || (*end != '\0' && *end != ',') || value < 1)
        return -1;
    return value < MOST_THREADS ? (int)value : MOST_THREADS;
}

static void look_up_threads(void)
{
    static const char *const variables[] = {"NNC_NUM_THREADS", "OMP_NUM_THREADS"};
    static char with_garbage[128];
    const char *why;
    const char *garbage = NULL;
    allowed = nnc_cpus_allowed(&why);
    int threads = allowed < MOST_THREADS ? allowed : MOST_THREADS;
    for (int i = 0; i < 2; i++) {
        int number = number_from(variables[i]);
        if (number > 0) {
            threads = number;
            why = variables[i];
            break;
        }
        if (number < 0 && garbage == NULL)
            garbage = variables[i];
    }
    if (garbage != NULL) {
        snprintf(with_garbage, sizeof with_garbage, "%s (%s is not a number from 1 on: ignored)",
                 why, garbage);
        why = with_garbage;
    }
    atomic_store(&reason, why);
    atomic_store(&wanted, threads);
}

int nnc_pool_threads(void)
{
    int threads = atomic_load(&wanted);
    if (threads > 0)
        return threads;
    take_lock();
    if (atomic_load(&wanted) == 0)
        look_up_threads();
    pthread_mutex_unlock(&lock);
    return atomic_load(&wanted);
}

nnc_status nnc_pool_set_threads(int threads)
{
    if (threads < 1 || threads > MOST_THREADS)
        return nnc_fail(NNC_EVALUE, "the number of threads must be from 1 to %d, received %d",
                        MOST_THREADS, threads);
    nnc_pool_threads();         /* sets `allowed` */
    take_lock();
    atomic_store(&reason, "set");
    atomic_store(&wanted, threads);
    atomic_store(&refused, false);
    pthread_mutex_unlock(&lock);
    return NNC_OK;
}

const char *nnc_pool_reason(void)
{
    nnc_pool_threads();
    return atomic_load(&reason);
}

/* ---- the poll ---- */

enum { POLL_MS = 10 };

/* The coarse clock is a few ns of reading memory; its steps of 1 to 10 ms are fine enough. */
static int64_t now_ms(void)
{
    struct timespec t;
#if defined(CLOCK_MONOTONIC_COARSE)
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
#else
    clock_gettime(CLOCK_MONOTONIC, &t);
#endif
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void nnc_poll_set(nnc_poll_fn *ask, void *argument)
{
    poll.ask = ask;
    poll.argument = argument;
    poll.next = ask != NULL ? now_ms() + POLL_MS : 0;
    poll.stop = false;
}

bool nnc_poll_due(void)
{
    if (poll.stop || poll.ask == NULL || poll.asking)
        return poll.stop;
    int64_t now = now_ms();
    if (now < poll.next)
        return false;
    poll.next = now + POLL_MS;
    poll.asking = true;
    bool stop = poll.ask(poll.argument) != 0;
    poll.asking = false;
    poll.stop = poll.stop || stop;
    return poll.stop;
}
