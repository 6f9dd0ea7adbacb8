/* check.h - a test program in C: TEST(name) { ... CHECK(condition); ... } as often as needed.
 * Tests run in the order of the file; CHECK notes a failure and goes on. A failing test prints one
 * line, its first failure; the last line is "N passed, N failed". Arguments: run only tests whose
 * name contains one of them. Include it in one file of a program: it holds main(). */
#ifndef CHECK_H
#define CHECK_H

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

typedef struct check_test {
    const char *name;
    void (*run)(void);
    struct check_test *next;
} check_test;

static check_test *check_first, **check_end = &check_first;
static const char *check_name;
static atomic_int check_failures;       /* of the test that runs; checks may come from threads */

#define TEST(test)                                                      \
    static void test_##test(void);                                      \
    __attribute__((constructor)) static void check_add_##test(void)     \
    {                                                                   \
        static check_test entry = {#test, test_##test, NULL};           \
        *check_end = &entry;                                            \
        check_end = &entry.next;                                        \
    }                                                                   \
    static void test_##test(void)

#define CHECK(condition) check_that(condition, __FILE__, __LINE__, #condition)

/* Returns the condition, for what makes no sense to go on without. */
static inline int check_that(int condition, const char *file, int line, const char *text)
{
    if (!condition && atomic_fetch_add(&check_failures, 1) == 0)
        printf("FAILED %s (%s:%d): %s\n", check_name, file, line, text);
    return condition;
}

int main(int count, char **arguments)
{
    int passed = 0, failed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (check_test *test = check_first; test != NULL; test = test->next) {
        int chosen = count < 2;
        for (int i = 1; i < count; i++)
            chosen |= strstr(test->name, arguments[i]) != NULL;
        if (!chosen)
            continue;
        check_name = test->name;
        atomic_store(&check_failures, 0);
        test->run();
        if (atomic_load(&check_failures) == 0)
            passed++;
        else
            failed++;
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0 || passed == 0;
}

#endif
