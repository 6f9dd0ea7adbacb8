/* lock.h - locks that are in a known state after fork(). A lock that is held briefly is taken
 * before the fork and given back on both sides, so that what it guards is whole in the child. A
 * lock that may be held for long (a replay) is not waited for: the child gets it fresh, and whoever
 * held it does not exist there. */
#ifndef NNC_CORE_LOCK_H
#define NNC_CORE_LOCK_H

#include <pthread.h>
#include <stdbool.h>

/* At most 16 locks; the same lock may be registered again. */
void nnc_lock_at_fork(pthread_mutex_t *lock, bool brief);

#endif
