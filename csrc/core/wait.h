/* wait.h - sleeping until a word changes: the futex of Linux; elsewhere one lock and one
 * condition. */
#ifndef NNC_CORE_WAIT_H
#define NNC_CORE_WAIT_H

#include <stdatomic.h>

/* Sleeps while *word == value; may return early, so the caller looks again. */
void nnc_wait_word(atomic_uint *word, unsigned value);
/* Wakes all that sleep on the word, which has been changed before. */
void nnc_wake_word(atomic_uint *word);
/* In a child after fork(): nobody sleeps. */
void nnc_wait_reset(void);

#endif
