/* lock.c - see lock.h. */
#include "core/lock.h"

enum { MAX_LOCKS = 16 };

static struct {
    pthread_mutex_t *lock;
    bool brief;
} locks[MAX_LOCKS];
static int lock_count;
static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;

static void before_fork(void)
{
    pthread_mutex_lock(&registry);
    for (int i = 0; i < lock_count; i++) {
        if (locks[i].brief)
            pthread_mutex_lock(locks[i].lock);
    }
}

static void after_fork_parent(void)
{
    for (int i = lock_count - 1; i >= 0; i--) {
        if (locks[i].brief)
            pthread_mutex_unlock(locks[i].lock);
    }
    pthread_mutex_unlock(&registry);
}

static void after_fork_child(void)
{
    for (int i = 0; i < lock_count; i++)
        pthread_mutex_init(locks[i].lock, NULL);
    pthread_mutex_init(&registry, NULL);
}

void nnc_lock_at_fork(pthread_mutex_t *lock, bool brief)
{
    pthread_mutex_lock(&registry);
    for (int i = 0; i < lock_count; i++) {
        if (locks[i].lock == lock)
            goto done;
    }
    if (lock_count == 0)
        pthread_atfork(before_fork, after_fork_parent, after_fork_child);
    if (lock_count < MAX_LOCKS) {
        locks[lock_count].lock = lock;
        locks[lock_count++].brief = brief;
    }
done:
    pthread_mutex_unlock(&registry);
}
