/* wait.c - see wait.h. */
#define _GNU_SOURCE
#include "core/wait.h"

#if defined(__linux__) && !defined(NNC_WITHOUT_FUTEX)

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(sizeof(atomic_uint) == 4, "a futex is a word of 32 bits");

void nnc_wait_word(atomic_uint *word, unsigned value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

void nnc_wake_word(atomic_uint *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void nnc_wait_reset(void)
{
}

#else

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

void nnc_wait_word(atomic_uint *word, unsigned value)
{
    pthread_mutex_lock(&lock);
    if (atomic_load(word) == value)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

void nnc_wake_word(atomic_uint *word)
{
    (void)word;
    pthread_mutex_lock(&lock);  /* whoever saw the old value sleeps by now */
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void nnc_wait_reset(void)
{
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&changed, NULL);
}

#endif
