/* test_pool.c - the thread pool, the number of threads, fork, and the poll. */
#define _GNU_SOURCE
#include "check.h"
#include "core/cpus.h"
#include "graph/taken.h"
#include "nnc.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LENGTH(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const int team_sizes[] = {1, 2, 3, 5, 8, 33};

/* ---- runs and barriers ---- */

typedef struct {
    atomic_int ran[256];
    atomic_int threads, calls;
} attendance;

static void attend(void *argument, int thread, int threads)
{
    attendance *a = argument;
    atomic_fetch_add(&a->ran[thread], 1);
    atomic_fetch_add(&a->calls, 1);
    atomic_store(&a->threads, threads);
}

TEST(every_thread_of_a_team_runs_once)
{
    for (int i = 0; i < LENGTH(team_sizes); i++) {
        for (int turn = 0; turn < 50; turn++) {
            attendance a = {0};
            nnc_pool_run(attend, &a, team_sizes[i]);
            CHECK(atomic_load(&a.threads) == team_sizes[i]);
            CHECK(atomic_load(&a.calls) == team_sizes[i]);
            for (int t = 0; t < team_sizes[i]; t++)
                CHECK(atomic_load(&a.ran[t]) == 1);
        }
    }
}

TEST(teams_of_odd_sizes_are_put_right)
{
    static const int sizes[] = {0, -3, 1000};
    for (int i = 0; i < LENGTH(sizes); i++) {
        attendance a = {0};
        nnc_pool_run(attend, &a, sizes[i]);
        CHECK(atomic_load(&a.threads) == (sizes[i] > 256 ? 256 : 1));
        CHECK(atomic_load(&a.calls) == atomic_load(&a.threads));
    }
    nnc_pool_shutdown();
}

enum { ROUNDS = 200 };

typedef struct {
    int64_t value[2][64];       /* plain: only the barriers order them */
    atomic_int wrong;
} relay;

/* In each round a thread adds up what all wrote in the round before. */
static void pass_on(void *argument, int thread, int threads)
{
    relay *r = argument;
    r->value[0][thread] = thread;
    int64_t expected = (int64_t)threads * (threads - 1) / 2;
    for (int round = 0; round < ROUNDS; round++) {
        nnc_pool_barrier(thread);
        int64_t sum = 0;
        for (int t = 0; t < threads; t++)
            sum += r->value[round % 2][t];
        if (sum != expected)
            atomic_fetch_add(&r->wrong, 1);
        r->value[(round + 1) % 2][thread] = sum % 1000 + thread;
        expected = expected % 1000 * threads + (int64_t)threads * (threads - 1) / 2;
    }
}

TEST(barriers_hold_all_threads)
{
    for (int i = 0; i < LENGTH(team_sizes); i++) {
        relay r = {0};
        nnc_pool_run(pass_on, &r, team_sizes[i]);
        CHECK(atomic_load(&r.wrong) == 0);
    }
}

static void run_inside(void *argument, int thread, int threads)
{
    attendance inner = {0};
    nnc_pool_barrier(thread);
    nnc_pool_run(attend, &inner, 4);
    if (atomic_load(&inner.calls) == 1 && atomic_load(&inner.threads) == 1)
        atomic_fetch_add((atomic_int *)argument, 1);
    nnc_pool_shutdown();        /* from inside: does nothing */
    (void)threads;
    nnc_pool_barrier(thread);   /* of the outer team still */
}

TEST(a_run_inside_a_run_is_serial)
{
    for (int threads = 1; threads <= 5; threads++) {
        atomic_int good = 0;
        nnc_pool_run(run_inside, &good, threads);
        CHECK(atomic_load(&good) == threads);
    }
}

TEST(a_barrier_outside_of_a_run_passes)
{
    nnc_pool_barrier(0);
}

/* ---- pieces ---- */

typedef struct {
    nnc_taken taken;
    int64_t pieces, most;
    atomic_int ran[1000], wrong;
} taking;

static void take_all(void *argument, int thread, int threads)
{
    taking *t = argument;
    int64_t begin, end;
    while (nnc_taken_next(&t->taken, t->pieces, thread, threads, t->most, &begin, &end)) {
        if (begin < 0 || begin >= end || end > t->pieces || end - begin > t->most)
            atomic_store(&t->wrong, 1);
        for (int64_t i = begin; i < end && i < LENGTH(t->ran); i++)
            atomic_fetch_add(&t->ran[i], 1);
    }
}

TEST(every_piece_is_taken_once)
{
    static const int64_t pieces[] = {0, 1, 2, 3, 7, 16, 33, 1000}, most[] = {1, 3, 1000};
    static taking t;
    for (int i = 0; i < LENGTH(team_sizes); i++) {
        for (int j = 0; j < LENGTH(pieces) * LENGTH(most); j++) {
            memset(&t, 0, sizeof t);
            t.pieces = pieces[j / LENGTH(most)];
            t.most = most[j % LENGTH(most)];
            nnc_pool_run(take_all, &t, team_sizes[i]);
            CHECK(!atomic_load(&t.wrong));
            for (int64_t k = 0; k < LENGTH(t.ran); k++)
                CHECK(atomic_load(&t.ran[k]) == (k < t.pieces));
        }
    }
}

TEST(a_thread_takes_its_own_share_first)
{
    static const int64_t order[][2] = {{8, 12}, {12, 14}, {14, 15}, {15, 16}, {7, 8}, {6, 7}};
    nnc_taken taken;
    int64_t begin, end;
    nnc_taken_reset(&taken);
    for (int i = 0; i < LENGTH(order); i++) {
        CHECK(nnc_taken_next(&taken, 16, 1, 2, 16, &begin, &end));
        CHECK(begin == order[i][0] && end == order[i][1]);
    }
    CHECK(nnc_taken_next(&taken, 16, 0, 2, 16, &begin, &end) && begin == 0 && end == 3);
}

static void *run_often(void *argument)
{
    for (int i = 0; i < 300; i++) {
        relay r = {0};
        attendance a = {0};
        nnc_pool_run(attend, &a, 3);
        CHECK(atomic_load(&a.calls) == atomic_load(&a.threads));
        if (i % 20 == 0)
            nnc_pool_run(pass_on, &r, 3);
        CHECK(atomic_load(&r.wrong) == 0);
    }
    return argument;
}

TEST(runs_from_several_threads_at_once)
{
    pthread_t threads[3];
    for (int i = 0; i < LENGTH(threads); i++)
        pthread_create(&threads[i], NULL, run_often, NULL);
    for (int i = 0; i < 20; i++)
        nnc_pool_shutdown();
    for (int i = 0; i < LENGTH(threads); i++)
        pthread_join(threads[i], NULL);
}

TEST(the_pool_starts_again_after_shutdown)
{
    for (int turn = 0; turn < 5; turn++) {
        attendance a = {0};
        nnc_pool_run(attend, &a, 4);
        CHECK(atomic_load(&a.calls) == 4);
        nnc_pool_shutdown();
        nnc_pool_shutdown();
    }
}

static void look_at_signals(void *argument, int thread, int threads)
{
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    bool worker = thread > 0;
    if ((sigismember(&blocked, SIGINT) == 1) == worker && !sigismember(&blocked, SIGSEGV))
        atomic_fetch_add((atomic_int *)argument, 1);
    (void)threads;
}

TEST(workers_leave_signals_to_others)
{
    atomic_int good = 0;
    nnc_pool_run(look_at_signals, &good, 3);
    CHECK(atomic_load(&good) == 3);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

#if defined(__linux__)
/* Threads of this process other than the caller's that are not asleep. */
static int threads_awake(void)
{
    int awake = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; tasks != NULL && (entry = readdir(tasks)) != NULL;) {
        char path[300], state = 'S';
        snprintf(path, sizeof path, "/proc/self/task/%s/stat", entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (file != NULL) {
            if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
                state = 'S';
            fclose(file);
        }
        awake += state != 'S' && atoi(entry->d_name) != getpid();
    }
    closedir(tasks);
    return awake;
}

TEST(idle_workers_sleep_and_wake_up)
{
    for (int turn = 0; turn < 3; turn++) {
        attendance a = {0};
        int64_t end = now_ms() + 20000;         /* a loaded machine takes its time */
        nnc_pool_run(attend, &a, turn + 2);
        CHECK(atomic_load(&a.calls) == turn + 2);
        while (threads_awake() > 0 && now_ms() < end)
            sched_yield();
        CHECK(now_ms() < end);
    }
}
#endif

/* ---- fork: the thread sanitizer cannot start threads in a child of many threads ---- */

#if !defined(__SANITIZE_THREAD__)

/* In a child: does a team of 4 work? Its answer through the exit status. */
static bool child_runs(void)
{
    pid_t child = fork();
    if (child == 0) {
        relay r = {0};
        attendance a = {0};
        nnc_pool_run(attend, &a, 4);
        nnc_pool_run(pass_on, &r, 4);
        nnc_pool_shutdown();
        _exit(atomic_load(&a.calls) == 4 && atomic_load(&r.wrong) == 0 ? 0 : 1);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(a_forked_child_has_a_pool_of_its_own)
{
    attendance a = {0};
    nnc_pool_run(attend, &a, 4);
    CHECK(child_runs());
    nnc_pool_run(attend, &a, 4);
    CHECK(atomic_load(&a.calls) == 8);
    nnc_pool_shutdown();
    CHECK(child_runs());
}

static atomic_bool keep_running;

static void *run_until_told(void *argument)
{
    do {
        relay r = {0};
        nnc_pool_run(pass_on, &r, 3);
    } while (atomic_load(&keep_running));
    return argument;
}

TEST(fork_while_another_thread_runs)
{
    pthread_t thread;
    atomic_store(&keep_running, true);
    pthread_create(&thread, NULL, run_until_told, NULL);
    for (int i = 0; i < 10; i++)
        CHECK(child_runs());
    atomic_store(&keep_running, false);
    pthread_join(thread, NULL);
}

/* Thread 0 forks in the middle of the run; the child's run ends early and says stop. */
static void fork_inside(void *argument, int thread, int threads)
{
    pid_t *child = argument;
    nnc_pool_barrier(thread);
    if (thread == 0)
        *child = fork();
    (void)threads;
    nnc_pool_barrier(thread);
}

TEST(fork_in_the_middle_of_a_run)
{
    pid_t child = -1;
    int status = -1;
    nnc_pool_run(fork_inside, &child, 3);
    if (child == 0) {
        attendance a = {0};
        bool stop = nnc_poll_due();
        nnc_pool_run(attend, &a, 3);
        nnc_pool_shutdown();
        _exit(stop && atomic_load(&a.calls) == 3 ? 0 : 1);
    }
    CHECK(!nnc_poll_due());
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#endif

/* ---- how many threads: asked of this program started afresh ---- */

__attribute__((constructor)) static void answer(void)
{
    const char *question = getenv("TEST_POOL_ASKS");
    if (question == NULL)
        return;
    if (strcmp(question, "refused") == 0) {             /* no room for a thread's stack */
        struct rlimit limit = {1 << 20, 1 << 20};
        attendance a = {0};
        setrlimit(RLIMIT_AS, &limit);
        nnc_pool_run(attend, &a, 4);
        nnc_pool_run(attend, &a, 4);
        printf("%d %d\n", atomic_load(&a.threads), atomic_load(&a.calls));
    } else {
        printf("%d %s\n", nnc_pool_threads(), nnc_pool_reason());
    }
    fflush(stdout);
    _exit(0);
}

/* Fills `line` with the answer. nnc, omp: the two variables, or NULL; one_cpu: affinity of one. */
static void ask(const char *question, const char *nnc, const char *omp, bool one_cpu,
                char line[200])
{
    int ends[2];
    line[0] = '\0';
    if (!CHECK(pipe(ends) == 0))
        return;
    pid_t child = fork();
    if (child == 0) {
        cpu_set_t set;
        sched_getaffinity(0, sizeof set, &set);
        for (int cpu = 0, seen = 0; one_cpu && cpu < CPU_SETSIZE; cpu++) {
            if (CPU_ISSET(cpu, &set) && seen++ > 0)
                CPU_CLR(cpu, &set);
        }
        sched_setaffinity(0, sizeof set, &set);
        dup2(ends[1], 1);
        setenv("TEST_POOL_ASKS", question, 1);
        nnc ? setenv("NNC_NUM_THREADS", nnc, 1) : unsetenv("NNC_NUM_THREADS");
        omp ? setenv("OMP_NUM_THREADS", omp, 1) : unsetenv("OMP_NUM_THREADS");
        execl("/proc/self/exe", "test_pool", (char *)NULL);
        _exit(1);
    }
    close(ends[1]);
    ssize_t length = 0, got;
    while (length < 199 && (got = read(ends[0], line + length, (size_t)(199 - length))) > 0)
        length += got;
    line[length] = '\0';
    close(ends[0]);
    waitpid(child, NULL, 0);
}

TEST(environment_and_affinity_set_the_default)
{
    static const struct {
        const char *nnc, *omp, *expected;
    } cases[] = {
        {"3", NULL, "3 NNC_NUM_THREADS\n"},
        {" 7 ", "5", "7 NNC_NUM_THREADS\n"},
        {NULL, "5,2", "5 OMP_NUM_THREADS\n"},
        {"", "5", "5 OMP_NUM_THREADS\n"},
        {"100000", NULL, "256 NNC_NUM_THREADS\n"},
        {"many", "6", "6 OMP_NUM_THREADS (NNC_NUM_THREADS is not a number from 1 on: ignored)\n"},
    };
    char line[200];
    for (int i = 0; i < LENGTH(cases); i++) {
        ask("threads", cases[i].nnc, cases[i].omp, false, line);
        CHECK(strcmp(line, cases[i].expected) == 0);
    }
    static const char *const garbage[] = {"0", "-2", "2x", "x", "1.5"};
    for (int i = 0; i < LENGTH(garbage); i++) {
        ask("threads", garbage[i], NULL, true, line);
        CHECK(strncmp(line, "1 ", 2) == 0);
        CHECK(strstr(line, "NNC_NUM_THREADS is not a number") != NULL);
    }
    ask("threads", NULL, NULL, true, line);
    CHECK(strncmp(line, "1 ", 2) == 0);
    CHECK(sysconf(_SC_NPROCESSORS_ONLN) == 1 || strcmp(line, "1 affinity\n") == 0);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they need address space */
TEST(a_refused_thread_makes_the_team_smaller)
{
    char line[200];
    ask("refused", NULL, NULL, false, line);
    CHECK(strcmp(line, "1 2\n") == 0);
}
#endif

TEST(threads_are_set_within_bounds)
{
    int before = nnc_pool_threads();
    CHECK(before >= 1 && before <= 256);
    CHECK(nnc_pool_set_threads(0) == NNC_EVALUE && nnc_pool_set_threads(257) == NNC_EVALUE);
    CHECK(strstr(nnc_error_text(), "257") != NULL);
    CHECK(nnc_pool_threads() == before);
    CHECK(nnc_pool_set_threads(7) == NNC_OK && nnc_pool_threads() == 7);
    CHECK(strcmp(nnc_pool_reason(), "set") == 0);
    nnc_pool_set_threads(before);
}

/* ---- the container's quota, on made-up files ---- */

static char tree[] = "/tmp/test_pool_XXXXXX";

static void put(const char *name, const char *text)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", tree, name);
    for (char *slash = path + strlen(tree) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    if (CHECK(file != NULL)) {
        fputs(text, file);
        fclose(file);
    }
}

static int quota(const char *membership)
{
    char path[400];
    put("membership", membership);
    snprintf(path, sizeof path, "%s/membership", tree);
    return nnc_cpus_quota(path, tree);
}

TEST(the_least_quota_above_counts)
{
    char command[400];
    if (!CHECK(mkdtemp(tree) != NULL))
        return;
    CHECK(quota("0::/a/b\n") == 0);
    put("cpu.max", "max 100000\n");
    CHECK(quota("0::/a/b\n") == 0);
    put("a/b/cpu.max", "350000 100000\n");
    CHECK(quota("0::/a/b\n") == 4);             /* rounded up */
    put("a/cpu.max", "200000 100000\n");
    CHECK(quota("0::/a/b\n") == 2);
    CHECK(quota("0::/not/there/a/b\n") == 0);   /* only the groups above the process */
    put("cpu.max", "50000 100000\n");
    CHECK(quota("0::/not/there\n") == 1);
    CHECK(quota("0::/\n") == 1);
    put("cpu.max", "max 100000\n");
    put("cpu,cpuacct/c/cpu.cfs_quota_us", "300000\n");
    put("cpu,cpuacct/c/cpu.cfs_period_us", "100000\n");
    put("cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    put("cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    CHECK(quota("3:cpuset:/c\n2:cpu,cpuacct:/c/d\n0::/\n") == 3);
    CHECK(quota("3:cpuset:/c\n2:cpu,cpuacct:/\n") == 0);
    put("cpu/e/cpu.cfs_quota_us", "300000\n");
    put("cpu/e/cpu.cfs_period_us", "100000\n");
    CHECK(quota("3:cpuset:/e\n") == 0);
    CHECK(quota("garbage\n\n1:2\n") == 0);
    put("cpu.max", "0 0\n");
    CHECK(quota("0::/\n") == 0);
    CHECK(nnc_cpus_quota("/no/such/file", tree) == 0);
    snprintf(command, sizeof command, "rm -rf '%s'", tree);
    CHECK(system(command) == 0);
}

/* ---- the poll ---- */

static int asked;

static int stop_at_third(void *argument)
{
    asked++;
    return *(int *)argument == asked;
}

static void *poll_elsewhere(void *argument)
{
    for (int i = 0; i < 1000; i++)
        CHECK(!nnc_poll_due());
    return argument;
}

TEST(the_poll_is_asked_now_and_then)
{
    pthread_t thread;
    int third = 3;
    int64_t start = now_ms();
    asked = 0;
    CHECK(!nnc_poll_due());
    nnc_poll_set(stop_at_third, &third);
    CHECK(!nnc_poll_due());
    pthread_create(&thread, NULL, poll_elsewhere, NULL);
    while (!nnc_poll_due() && now_ms() < start + 20000)
        continue;
    int64_t took = now_ms() - start;
    CHECK(asked == 3);
    CHECK(took >= 20 && took < 20000);  /* three times 10 ms, less the coarse clock's steps */
    CHECK(nnc_poll_due() && nnc_poll_due() && asked == 3);
    pthread_join(thread, NULL);
    nnc_poll_set(stop_at_third, &third);
    CHECK(!nnc_poll_due());
    nnc_poll_set(NULL, NULL);
    CHECK(!nnc_poll_due());
}

/* Takes so long that it would be due again. */
static int ask_from_inside(void *argument)
{
    int64_t end = now_ms() + 40;
    asked++;
    while (now_ms() < end && asked < 5)
        *(bool *)argument = nnc_poll_due() || *(bool *)argument;
    return 0;
}

TEST(the_poll_is_not_asked_from_inside)
{
    bool stop = false;
    int64_t end = now_ms() + 20000;
    asked = 0;
    nnc_poll_set(ask_from_inside, &stop);
    while (asked == 0 && now_ms() < end)
        CHECK(!nnc_poll_due());
    nnc_poll_set(NULL, NULL);
    CHECK(asked == 1 && !stop);
}

TEST(shutdown_at_the_end)
{
    nnc_pool_shutdown();
}
